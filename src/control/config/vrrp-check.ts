/**
 * Virtual routers held against their links, each other, and what they track: numbers and addresses that stand once, intervals the version can
 * say, and priority 255 with addresses that are the link's own, which RFC 9568 §5.2.4 makes one thing.
 */
import { formatIpv4 } from '../../wire/address.js';
import { AUTHENTICATION_LENGTH, INTERVAL_MAX_MS, OWNER_PRIORITY } from '../../wire/vrrp.js';
import type { Findings } from './findings.js';
import { readDuration } from './format.js';
import { contains, formatNetwork, notAHost, readAddress, readPrefix } from './ip.js';
import { didYouMean, oneOf } from './near.js';
import { find } from './reference.js';
import { asList } from './rule-text.js';
import type { LinkKeys } from './schema.js';
import type { Secrets } from './secret.js';
import type { TrackKeys, VrrpKeys } from './share-schema.js';
import type { Item, Things, Values } from './validate.js';

type VirtualRouter = Item<VrrpKeys>;

/** The address of an entry of `addresses`, whose prefix length may be absent. */
export function virtualAddress(text: string): number | undefined {
  return readAddress(text.split('/')[0]);
}

/** Every address of every virtual router that could be read, with its link's name. */
export function virtualAddresses(values: Values): { address: number; router: VirtualRouter }[] {
  return values.vrrp.items.flatMap((router) => (router.values.addresses ?? []).flatMap((text) => {
    const address = virtualAddress(text);
    return address === undefined ? [] : [{ address, router }];
  }));
}

/** What may be tracked, by the word for its kind. */
export const TRACKED = { uplink: 'uplinks', virtualServer: 'virtualServers', link: 'links' } as const;
export type TrackedKind = keyof typeof TRACKED;

/** The kinds of things that have a name. */
export function kindsOf(values: Values, name: string): TrackedKind[] {
  return (Object.keys(TRACKED) as TrackedKind[]).filter((kind) => (values[TRACKED[kind]] as Things<unknown>).byName.has(name));
}

class VrrpCheck {
  readonly #values: Values;
  readonly #ownLink: (address: number) => Item<LinkKeys> | undefined;
  readonly #secrets: Secrets;
  readonly #findings: Findings;

  constructor(values: Values, ownLink: (address: number) => Item<LinkKeys> | undefined, secrets: Secrets, findings: Findings) {
    this.#values = values;
    this.#ownLink = ownLink;
    this.#secrets = secrets;
    this.#findings = findings;
  }

  run(): void {
    const ids = new Map<string, VirtualRouter>();
    const holders = new Map<number, VirtualRouter>();
    const groups = new Map<string, VirtualRouter[]>();
    for (const router of this.#values.vrrp.items) {
      const link = this.#link(router);
      this.#id(router, ids);
      this.#addresses(router, link, holders);
      this.#interval(router);
      this.#version(router);
      this.#password(router);
      this.#peers(router);
      this.#track(router);
      if (router.values.preempt === false && router.given('preemptDelay')) {
        this.#findings.warning(router.at('preemptDelay'), [...router.steps, 'preemptDelay'], 'it never takes over from a living master (preempt: false), so nothing is delayed');
      }
      const { syncGroup } = router.values;
      if (syncGroup !== undefined) groups.set(syncGroup, [...(groups.get(syncGroup) ?? []), router]);
    }
    for (const [group, [first, ...rest]] of groups) {
      if (rest.length === 0 && !this.#values.vrrp.refused && this.#values.vrrp.broken.size === 0 && !this.#values.vrrp.items.some((router) => router.refused('syncGroup'))) {
        this.#findings.warning(first.at('syncGroup'), [...first.steps, 'syncGroup'], `${first.name} is alone in ${group}`);
      }
    }
  }

  #tell(router: VirtualRouter, key: keyof VrrpKeys, why: string, allowed: string, index?: number): void {
    const isItem = index !== undefined && router.isList(key);
    this.#findings.error(router.at(key, index), [...router.steps, key, ...(isItem ? [index] : [])], `${router.show(key, isItem ? index : undefined)} (${why})`, allowed);
  }

  #link(router: VirtualRouter): Item<LinkKeys> | undefined {
    const { link: name } = router.values;
    if (name === undefined) return undefined;
    const link = find(this.#values.links, 'a link', name, (found, allowed) => this.#findings.error(router.at('link'), [...router.steps, 'link'], found, allowed));
    if (link?.values.type === 'tun') this.#tell(router, 'link', 'a tun, which has no neighbours to be elected among', 'a tap or raw link');
    return link;
  }

  #id(router: VirtualRouter, ids: Map<string, VirtualRouter>): void {
    const { link, id } = router.values;
    if (link === undefined || id === undefined) return;
    const key = `${link} ${id}`;
    const other = ids.get(key);
    if (other !== undefined) this.#tell(router, 'id', `already that of ${other.name} on ${link}`, 'a number of its own for each virtual router of a link');
    else ids.set(key, router);
  }

  #addresses(router: VirtualRouter, link: Item<LinkKeys> | undefined, holders: Map<number, VirtualRouter>): void {
    const { addresses, priority } = router.values;
    if (addresses === undefined) return;
    const networks = link === undefined ? undefined : (link.values.addresses ?? []).flatMap((text) => readPrefix(text) ?? []);
    let ownCount = 0;
    let isTold = false;
    const tell = (index: number, why: string, allowed: string): void => {
      isTold = true;
      this.#tell(router, 'addresses', why, allowed, index);
    };
    addresses.forEach((text, index) => {
      const address = virtualAddress(text);
      if (address === undefined) {
        isTold = true;
        return;
      }
      const holder = holders.get(address);
      if (holder !== undefined) return tell(index, `already an address of ${holder.name}`, 'each address in one virtual router');
      holders.set(address, router);
      const own = this.#ownLink(address);
      if (own !== undefined && link !== undefined && own !== link) return tell(index, `the router's own address on ${own.name}`, `addresses of ${link.name}, or addresses nobody has`);
      if (own !== undefined) ownCount++;
      if (networks === undefined || link!.refused('addresses')) return;
      const around = networks.find((network) => contains(network, address));
      const not = around === undefined ? undefined : notAHost(around, address);
      if (not !== undefined) return tell(index, not, 'an address a host can have');
      if (around === undefined) {
        this.#findings.warning(router.at('addresses', index), [...router.steps, 'addresses', index],
          `${formatIpv4(address)} is ${networks.length === 0 ? `on ${link!.name}, which has no address of its own` : `not in ${oneOf(networks.map(formatNetwork))} of ${link!.name}`}; neighbours there may not ask for it`);
      }
    });
    if (isTold || priority === undefined || link === undefined || link.refused('addresses')) return;
    const isOwner = ownCount === addresses.length;
    if (priority === OWNER_PRIORITY && !isOwner) {
      this.#tell(router, 'priority', `${ownCount === 0 ? 'none' : 'not all'} of its addresses are ${link.name}'s own`, `1 to ${OWNER_PRIORITY - 1}, or addresses that are all ${link.name}'s own`);
    } else if (priority !== OWNER_PRIORITY && ownCount > 0) {
      const text = addresses.find((one) => this.#ownLink(virtualAddress(one)!) !== undefined)!;
      const found = router.given('priority') ? String(priority) : `${priority}, the default`;
      this.#findings.error(router.at(router.given('priority') ? 'priority' : 'addresses'), [...router.steps, 'priority'], `${found} (${text.split('/')[0]} is ${link.name}'s own address)`,
        isOwner ? `${OWNER_PRIORITY} for whoever has the addresses as its own` : 'addresses that are all the link\'s own, or none of them');
    }
  }

  #interval(router: VirtualRouter): void {
    const { interval, version } = router.values;
    if (interval === undefined || version === undefined) return;
    const ms = Math.round(readDuration(interval)! * 1000);
    if (version === 2 && ms % 1000 !== 0) this.#tell(router, 'interval', 'version 2 knows whole seconds only', '1s to 4m15s in whole seconds');
    else if (version === 3 && ms > INTERVAL_MAX_MS) this.#tell(router, 'interval', 'version 3 has 12 bits of hundredths for it', '10ms to 40s950ms');
    else if (version === 3 && ms % 10 !== 0) this.#tell(router, 'interval', 'version 3 knows hundredths of a second only', 'a multiple of 10ms');
  }

  /** Passwords are a thing of version 2: RFC 9568 has none. */
  #version(router: VirtualRouter): void {
    if (router.values.version !== 3) return;
    for (const key of ['password', 'passwordFile'] as const) {
      if (router.given(key) && !router.refused(key)) this.#findings.error(router.keyAt(key), [...router.steps, key], `${key} in version 3`, `${key} in version 2 only`);
    }
  }

  #password(router: VirtualRouter): void {
    if (router.given('password') && router.given('passwordFile')) {
      this.#findings.error(router.keyAt('passwordFile'), [...router.steps, 'passwordFile'], 'passwordFile beside password', 'one of them');
      return;
    }
    const key = router.given('password') ? 'password' : 'passwordFile';
    const password = key === 'password' ? router.values.password : this.#secrets.read(router, 'passwordFile', this.#findings);
    if (password === undefined) return;
    const bytes = Buffer.byteLength(password);
    if (bytes > AUTHENTICATION_LENGTH) this.#tell(router, key, `a password of ${bytes} bytes`, `at most ${AUTHENTICATION_LENGTH} bytes`);
  }

  #peers(router: VirtualRouter): void {
    const { peers, addresses } = router.values;
    if (peers === undefined) return;
    asList(peers).forEach((text, index) => {
      const address = readAddress(text);
      if (address === undefined) return;
      const own = this.#ownLink(address);
      if (own !== undefined) this.#tell(router, 'peers', `the router's own address on ${own.name}`, 'addresses of the other routers', index);
      else if ((addresses ?? []).some((one) => virtualAddress(one) === address)) this.#tell(router, 'peers', 'the virtual router\'s own address, which moves', 'the address the other router has by itself', index);
    });
  }

  #track(router: VirtualRouter): void {
    const { track, priority } = router.values;
    if (track === undefined || router.refused('track')) return;
    if (priority === OWNER_PRIORITY) {
      this.#findings.error(router.keyAt('track'), [...router.steps, 'track'], `track with priority ${OWNER_PRIORITY}, which nothing is taken off`, `a priority of 1 to ${OWNER_PRIORITY - 1}`);
      return;
    }
    const seen = new Set<string>();
    const isList = router.isList('track');
    track.forEach(({ name, kind }, index) => {
      const part = router.part<TrackKeys>('track', isList ? index : undefined);
      const steps = [...router.steps, 'track', ...(isList ? [index] : []), ...(part === undefined ? [] : ['name'])];
      const place = part?.at('name') ?? router.at('track', isList ? index : undefined);
      const tell = (found: string, allowed: string): void => this.#findings.error(place, steps, found, allowed);
      let is = kind;
      if (kind !== undefined) {
        if (find(this.#values[TRACKED[kind]] as Things<unknown>, kind === 'virtualServer' ? 'a virtual server' : kind === 'link' ? 'a link' : 'an uplink', name, tell) === undefined) return;
      } else {
        const kinds = kindsOf(this.#values, name);
        if (kinds.length > 1) return tell(`${JSON.stringify(name)} (the name of things of ${kinds.length} kinds)`, `{ name: ${name}, kind: ${oneOf(kinds)} }`);
        if (kinds.length === 0) {
          const things = Object.values(TRACKED).map((section) => this.#values[section] as Things<unknown>);
          if (things.some(({ refused, broken }) => refused || broken.has(name))) return;
          const names = things.flatMap(({ byName }) => [...byName.keys()]);
          return tell(`${JSON.stringify(name)}${didYouMean(name, names)}`, `the name of an uplink, a virtual server or a link: ${oneOf([...new Set(names)])}`);
        }
        [is] = kinds;
      }
      const key = `${is} ${name}`;
      if (seen.has(key)) tell(`${JSON.stringify(name)} (for the second time)`, 'each once');
      seen.add(key);
    });
  }
}

/** Tell of everything in virtual routers that does not fit. `ownLink` gives the link that has an address as its own. */
export function checkVrrp(values: Values, ownLink: (address: number) => Item<LinkKeys> | undefined, secrets: Secrets, findings: Findings): void {
  new VrrpCheck(values, ownLink, secrets, findings).run();
}
