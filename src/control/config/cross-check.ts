/**
 * How the parts of a configuration fit together: names that must exist, addresses that must be reachable, things that
 * exclude each other. Judges only values that are valid by themselves; what depends on a refused one is passed over, so
 * that one mistake is told once.
 */
import { formatIpv4 } from '../../wire/address.js';
import { checkChoice } from './choice-check.js';
import type { CheckKeys } from './check-schema.js';
import type { Findings } from './findings.js';
import { unroutable } from './format.js';
import { checkHealth, notOn } from './health-check.js';
import { contains, formatNetwork, lastOf, networkOf, notAHost, readAddress, readPrefix, reserved, reservedPrefix, type Prefix } from './ip.js';
import { and, oneOf } from './near.js';
import { boxLink, pinRoom, PINS } from './pins.js';
import { find } from './reference.js';
import { checkRules } from './rule-check.js';
import { checkedServers, checkServers } from './server-check.js';
import type { Secrets } from './secret.js';
import { checkShare, isLoopback } from './share-check.js';
import { readListenAddress } from './share-text.js';
import { SCHEMA, type LinkKeys, type RouteKeys, type UplinkKeys } from './schema.js';
import type { Item, Values } from './validate.js';
import { checkVrrp, virtualAddresses } from './vrrp-check.js';

type Link = Item<LinkKeys>;

/** One address of one link. */
interface OwnAddress extends Prefix { link: Link; index: number }

/** A tap carries an Ethernet header within the 65,535 bytes the kernel's device may be long. */
const TAP_MTU_MAX = 65_535 - 14;

class CrossCheck {
  readonly #values: Values;
  readonly #secrets: Secrets;
  readonly #findings: Findings;
  /** By link, in the order of the file. */
  readonly #own = new Map<Link, OwnAddress[]>();
  /** All of them in one list, in the same order. */
  readonly #all: readonly OwnAddress[];
  readonly #ownByAddress = new Map<number, OwnAddress>();
  /** Addresses of virtual routers, and whose they are. */
  readonly #virtual = new Map<number, string>();
  readonly #uplinkLinks = new Set<Link>();
  /** The link to the box. */
  readonly #box: Link | undefined;

  constructor(values: Values, secrets: Secrets, findings: Findings) {
    this.#values = values;
    this.#secrets = secrets;
    this.#findings = findings;
    for (const link of values.links.items) {
      this.#own.set(link, (link.values.addresses ?? []).flatMap((text, index) => {
        const prefix = readPrefix(text);
        return prefix === undefined ? [] : [{ ...prefix, link, index }];
      }));
    }
    this.#all = [...this.#own.values()].flat();
    for (const { address, router } of virtualAddresses(values)) if (!this.#virtual.has(address)) this.#virtual.set(address, router.name);
    this.#box = boxLink(values.links.items);
    for (const uplink of values.uplinks.items) {
      const link = values.links.byName.get(uplink.values.link ?? '');
      if (link !== undefined) this.#uplinkLinks.add(link);
    }
  }

  run(): void {
    this.#links();
    this.#addresses();
    for (const link of this.#values.links.items) this.#peer(link);
    for (const link of this.#values.links.items) this.#neighbours(link);
    this.#routes();
    for (const uplink of this.#values.uplinks.items) this.#uplink(uplink);
    checkChoice(this.#values, this.#findings);
    this.#pins();
    this.#ports();
    checkRules(this.#values, this.#findings);
    checkServers(this.#values, (address) => this.#isOurs(address), { hasBox: this.#hasBox, boxElsewhere: this.#boxElsewhere }, this.#findings);
    checkVrrp(this.#values, (address) => this.#ownByAddress.get(address)?.link, this.#secrets, this.#findings);
    checkShare(this.#values, this.#secrets, this.#findings);
    this.#metrics();
    // Whether something is used cannot be told while a part of the whole is refused.
    if (!this.#findings.failed) this.#unused();
  }

  /** Keys a type of link does not have, and devices that two links would share. */
  #links(): void {
    const devices = new Map<string, Link>();
    const macs = new Map<string, Link>();
    const defaults = new Map<string, Link>();
    let hasBox = false;
    for (const link of this.#values.links.items) {
      const { type, device, netns = '', bridge, mac, mtu, defaultRoute, sourceCheck } = link.values;
      for (const [key, { types }] of Object.entries(SCHEMA.links.keys) as [keyof LinkKeys, { types?: readonly string[] }][]) {
        if (type !== undefined && types !== undefined && !types.includes(type) && link.given(key)) {
          this.#findings.error(link.keyAt(key), [...link.steps, key], `${key} on a ${type} link`, `${key} on a ${oneOf(types)} link only`);
        }
      }
      if (type === 'tap' && mtu !== undefined && mtu > TAP_MTU_MAX) {
        this.#findings.error(link.at('mtu'), [...link.steps, 'mtu'], `${mtu} (on a tap)`, `576 to ${TAP_MTU_MAX}`);
      }
      // The router knows one link to the box: the first.
      if (type === 'tun' && link.given('peer') && !hasBox) {
        hasBox = true;
        if (sourceCheck !== undefined && sourceCheck !== 'off') {
          this.#findings.error(link.at('sourceCheck'), [...link.steps, 'sourceCheck'], `${link.show('sourceCheck')} (on the link to the box, which may forward for others)`, 'off');
        }
      }
      if (type === 'tun' && defaultRoute === true) {
        if (!link.given('peer')) {
          this.#findings.error(link.at('defaultRoute'), [...link.steps, 'defaultRoute'], 'true without a peer', 'a default route once peer gives the box an address');
        }
        const other = defaults.get(netns);
        if (other !== undefined) {
          this.#findings.error(link.at('defaultRoute'), [...link.steps, 'defaultRoute'], `a second default route (${other.name} has it)`, 'one link with defaultRoute');
        } else defaults.set(netns, link);
      }
      if (device !== undefined && !link.refused('netns')) {
        const key = `${netns}/${device}`;
        const other = devices.get(key);
        if (other !== undefined) {
          this.#findings.error(link.at('device'), [...link.steps, 'device'], `"${device}" (already the device of ${other.name})`, 'a device of its own for each link');
        } else devices.set(key, link);
        if (bridge === device) {
          this.#findings.error(link.at('bridge'), [...link.steps, 'bridge'], `"${bridge}" (the link's own device)`, 'another device\'s name');
        }
      }
      if (mac !== undefined) {
        const other = macs.get(mac.toLowerCase());
        if (other !== undefined) this.#findings.warning(link.at('mac'), [...link.steps, 'mac'], `${other.name} has the same MAC address; they must not meet on one network`);
        else macs.set(mac.toLowerCase(), link);
      }
    }
  }

  /** An address stands once; networks overlap only where uplinks are told apart by their links. */
  #addresses(): void {
    const unique: OwnAddress[] = [];
    for (const own of this.#all) {
      const other = this.#ownByAddress.get(own.address);
      if (other === undefined) {
        this.#ownByAddress.set(own.address, own);
        unique.push(own);
      } else {
        this.#findings.error(own.link.at('addresses', own.index), [...own.link.steps, 'addresses', own.index],
          `${own.link.show('addresses', own.index)} (already an address of ${other.link.name})`, 'each address once');
      }
    }
    // Two prefixes overlap only by one lying in the other, so in this order those a prefix lies in are on the stack.
    const order = new Map(unique.map((own, index) => [own, index]));
    unique.sort((a, b) => networkOf(a) - networkOf(b) || a.prefixLength - b.prefixLength || order.get(a)! - order.get(b)!);
    const around: OwnAddress[] = [];
    const told = new Set<OwnAddress>();
    for (const own of unique) {
      while (around.length > 0 && lastOf(around[around.length - 1]) < own.address) around.pop();
      const other = around.findLast((outer) => outer.link !== own.link && !(this.#uplinkLinks.has(outer.link) && this.#uplinkLinks.has(own.link)));
      if (other !== undefined) {
        // The one that comes later in the files is the one to change.
        const [first, second] = order.get(own)! < order.get(other)! ? [own, other] : [other, own];
        if (!told.has(second)) {
          told.add(second);
          this.#findings.error(second.link.at('addresses', second.index), [...second.link.steps, 'addresses', second.index],
            `${second.link.show('addresses', second.index)} (overlaps ${formatNetwork(first)} of ${first.link.name})`,
            'a network of its own for each link, or an uplink on both links');
        }
      }
      around.push(own);
    }
  }

  /** Told when an address that should be somebody else's is ours. */
  #isOurs(address: number): string | undefined {
    const own = this.#ownByAddress.get(address);
    if (own !== undefined) return `the router's own address on ${own.link.name}`;
    const virtual = this.#virtual.get(address);
    return virtual === undefined ? undefined : `an address of the virtual router ${virtual}`;
  }

  #prefixesOf(link: Link): string {
    const own = this.#own.get(link) ?? [];
    return oneOf([...new Set(own.map(formatNetwork))]);
  }

  #peer(link: Link): void {
    const address = readAddress(link.values.peer ?? '');
    if (address === undefined || link.values.type !== 'tun') return;
    const own = this.#own.get(link) ?? [];
    const around = own.find((prefix) => contains(prefix, address));
    const tell = (why: string, allowed: string): void =>
      this.#findings.error(link.at('peer'), [...link.steps, 'peer'], `${link.show('peer')} (${why})`, allowed);
    const ours = this.#isOurs(address);
    if (ours !== undefined) return tell(ours, 'another address');
    if (around === undefined && link.refused('addresses')) return;
    if (own.length === 0) return tell('the link has no address', 'a peer next to at least one of addresses');
    if (around === undefined) return tell('outside the link\'s networks', `an address of ${this.#prefixesOf(link)}`);
    const not = notAHost(around, address);
    if (not !== undefined) tell(not, 'an address a host can have');
  }

  #neighbours(link: Link): void {
    (link.values.neighbours ?? []).forEach((text, index) => {
      const address = readAddress(String(text).split(' ')[0]);
      const ours = address === undefined ? undefined : this.#isOurs(address);
      if (ours !== undefined) this.#findings.error(link.at('neighbours', index), [...link.steps, 'neighbours', index], `${link.show('neighbours', index)} (${ours})`, 'another station\'s address');
    });
  }

  #routes(): void {
    const seen = new Map<string, Item<RouteKeys>>();
    const connected = new Map<string, Link>();
    for (const [link, own] of this.#own) for (const prefix of own) connected.set(formatNetwork(prefix), link);
    for (const route of this.#values.routes.items) {
      this.#target(route);
      const { to } = route.values;
      if (to === undefined) continue;
      const tell = (why: string, allowed: string): void =>
        this.#findings.error(route.at('to'), [...route.steps, 'to'], `${route.show('to')} (${why})`, allowed);
      const other = seen.get(to);
      if (other !== undefined) {
        tell(`already where ${other.name} leads to`, 'each prefix once');
        continue;
      }
      seen.set(to, route);
      const link = connected.get(to);
      if (link !== undefined) tell(`the network of ${link.name} itself, which needs no route`, 'a prefix no link has');
      else if (to.endsWith('/32') && this.#isOurs(readPrefix(to)!.address) !== undefined) tell(this.#isOurs(readPrefix(to)!.address)!, 'an address elsewhere');
      else if (!route.given('refuse')) {
        const is = unroutable(to);
        if (is !== undefined) tell(is, 'a prefix that may be forwarded to, or refuse');
      }
    }
  }

  /** Exactly one of via, link, group and refuse; via may say which link it is on. */
  #target(route: Item<RouteKeys>): void {
    const targets = (['via', 'link', 'group', 'refuse'] as const).filter((key) => route.given(key));
    const valid = targets.length === 1 || (targets.length === 2 && targets[0] === 'via' && targets[1] === 'link');
    if (!valid) {
      const found = targets.length === 0 ? 'none of via, link, group and refuse' : and(targets);
      this.#findings.error(route.place, route.steps, found, 'exactly one of via, link, group and refuse (via and link may stand together)');
    }
    const { via, link: linkName, group } = route.values;
    if (group !== undefined) {
      find(this.#values.groups, 'a group', group, (found, allowed) => this.#findings.error(route.at('group'), [...route.steps, 'group'], found, allowed));
    }
    const link = linkName === undefined ? undefined
      : find(this.#values.links, 'a link', linkName, (found, allowed) => this.#findings.error(route.at('link'), [...route.steps, 'link'], found, allowed));
    if (via === undefined || !valid) return;
    const tell = (why: string, allowed: string): void =>
      this.#findings.error(route.at('via'), [...route.steps, 'via'], `${route.show('via')} (${why})`, allowed);
    const address = readAddress(via)!;
    const ours = this.#isOurs(address);
    if (ours !== undefined) return tell(ours, 'the address of another router');
    if (route.given('link')) {
      if (link?.values.type === 'tun') return tell(`${link.name} is a tun, which has no gateways`, `link: ${link.name} alone`);
      const around = link === undefined ? undefined : this.#own.get(link)?.find((prefix) => contains(prefix, address));
      const not = around === undefined ? undefined : notAHost(around, address);
      if (not !== undefined) tell(not, 'an address a host can have');
      return;
    }
    const around = this.#around(address);
    if (around.length === 0) {
      // An address that was refused might have been the one.
      if (this.#values.links.refused || this.#values.links.broken.size > 0 || this.#values.links.items.some((item) => item.refused('addresses'))) return;
      return tell('on no link\'s network', 'an address on a network of a link, or link beside via');
    }
    const links = [...new Set(around.map((own) => own.link))];
    if (links.length > 1) return tell(`on the networks of ${and(links.map((item) => item.name))}`, 'link beside via, to say which');
    if (links[0].values.type === 'tun') return tell(`${links[0].name} is a tun, which has no gateways`, `link: ${links[0].name} instead of via`);
    const not = notAHost(around[0], address);
    if (not !== undefined) tell(not, 'an address a host can have');
  }

  #around(address: number): OwnAddress[] {
    return this.#all.filter((prefix) => contains(prefix, address));
  }

  #uplink(uplink: Item<UplinkKeys>): void {
    const { link: linkName, gateway, snat } = uplink.values;
    const tell = (key: keyof UplinkKeys, found: string, allowed: string, index?: number): void =>
      this.#findings.error(uplink.at(key, index), [...uplink.steps, key, ...(index === undefined ? [] : [index])], found, allowed);
    const link = linkName === undefined ? undefined
      : find(this.#values.links, 'a link', linkName, (found, allowed) => tell('link', found, allowed));
    if (link !== undefined) {
      if (link.values.type === 'tun') {
        if (uplink.given('gateway')) {
          this.#findings.error(uplink.keyAt('gateway'), [...uplink.steps, 'gateway'], `a gateway on ${link.name}, a tun`, 'no gateway, a tun has none');
        }
        if (link.values.defaultRoute === true) tell('link', `"${link.name}" (the box's own default route leads into it)`, 'a link that leads elsewhere');
      } else if (link.values.type !== undefined && !uplink.given('gateway')) {
        this.#findings.error(uplink.place, [...uplink.steps, 'gateway'], 'nothing', `the address of the gateway on ${link.name}`);
      }
      if (snat === 'auto' && !link.refused('addresses') && this.#own.get(link)!.length === 0) {
        const found = uplink.given('snat') ? uplink.show('snat') : 'auto (the default)';
        tell('snat', `${found}, but ${link.name} has no address`, 'auto on a link with an address; off, or addresses');
      }
      if (link.values.type !== 'tun' && gateway !== undefined) this.#gateway(uplink, link, readAddress(gateway)!);
      this.#check(uplink, link);
    }
  }

  #gateway(uplink: Item<UplinkKeys>, link: Link, address: number): void {
    const tell = (why: string, allowed: string): void =>
      this.#findings.error(uplink.at('gateway'), [...uplink.steps, 'gateway'], `${uplink.show('gateway')} (${why})`, allowed);
    const ours = this.#isOurs(address);
    if (ours !== undefined) return tell(ours, 'the address of another router');
    const around = this.#own.get(link)!.find((prefix) => contains(prefix, address));
    if (around === undefined) {
      // An address that was refused might have been the one.
      if (link.refused('addresses')) return;
      const networks = this.#prefixesOf(link);
      this.#findings.warning(uplink.at('gateway'), [...uplink.steps, 'gateway'],
        networks === ''
          ? `${formatIpv4(address)} is taken to be on ${link.name}, which has no address of its own`
          : `${formatIpv4(address)} is not in ${networks} of ${link.name}; it is taken to be on that link all the same`);
      return;
    }
    const not = notAHost(around, address);
    if (not !== undefined) tell(not, 'an address a host can have');
  }

  get #hasBox(): boolean {
    // A link that was refused might have been the one.
    return this.#box !== undefined || this.#values.links.refused || this.#values.links.broken.size > 0
      || this.#values.links.items.some((item) => item.refused('type') || !item.given('type'));
  }

  /** The namespace the link to the box is in, when that is not the daemon's own. */
  get #boxElsewhere(): string | undefined {
    return this.#box?.values.netns === undefined ? undefined : `${this.#box.name}, in namespace ${this.#box.values.netns}`;
  }

  /** Why an uplink cannot be asked by what, and by whom. */
  #check(uplink: Item<UplinkKeys>, link: Link): void {
    const check = uplink.part<CheckKeys>('check');
    if (check === undefined) return;
    const { gateway, snat } = uplink.values;
    const { name, values: { type } } = link;
    const own = this.#own.get(link)!;
    const hasAddress = own.length > 0 || link.refused('addresses') || uplink.refused('snat') || (snat !== 'auto' && snat !== 'off');
    checkHealth(check, {
      // A gateway that was refused is told by itself.
      gateway: gateway ?? (uplink.given('gateway') ? 'refused' : undefined),
      noArp: type === 'tun' ? `${name}, a tun, which has none` : undefined,
      noSource: hasAddress ? undefined : `${name}, which has no address`,
      hasBox: this.#hasBox,
      boxElsewhere: this.#boxElsewhere,
      ours: (address) => this.#isOurs(address),
      offLink: (address) => own.length === 0 || link.refused('addresses') || own.some((prefix) => contains(prefix, address))
        || (gateway !== undefined && readAddress(gateway) === address) ? undefined : notOn(address, name, this.#prefixesOf(link)),
    }, this.#findings);
  }

  /** The box's second addresses: as many as there are uplinks, of a prefix that nobody else has. */
  #pins(): void {
    const { items } = this.#values.links;
    for (const link of items) {
      if (link === this.#box || link.values.type !== 'tun' || !link.given('pins')) continue;
      const why = this.#box === undefined ? 'a link without a peer' : `${link.name}; the link to the box is ${this.#box.name}`;
      this.#findings.error(link.keyAt('pins'), [...link.steps, 'pins'], `pins on ${why}`, 'pins on the first tun link with a peer');
    }
    const box = this.#box;
    if (box === undefined || box.refused('pins')) return;
    const text = box.values.pins ?? PINS;
    const pins = readPrefix(text)!;
    const tell = (why: string, allowed: string): void =>
      this.#findings.error(box.at('pins'), [...box.steps, 'pins'], `${box.given('pins') ? box.show('pins') : `${text}, the default`} (${why})`, allowed);
    const is = pins.prefixLength === 0 ? 'everything' : reservedPrefix(pins) ?? reserved(pins.address);
    if (is !== undefined) return tell(is, 'a prefix of addresses hosts can have');
    const room = pinRoom(pins);
    const servers = checkedServers(this.#values);
    const count = this.#values.uplinks.items.length + servers;
    if (room < count) return tell(`${room} ${room === 1 ? 'address' : 'addresses'} for ${count} uplinks${servers === 0 ? '' : ' and real servers with checks'}`, `a prefix with room for ${count}`);
    const overlaps = (other: Prefix): boolean => networkOf(pins) <= lastOf(other) && networkOf(other) <= lastOf(pins);
    const network = this.#all.find(overlaps);
    if (network !== undefined) return tell(`overlaps ${formatNetwork(network)} of ${network.link.name}`, 'a prefix of its own');
    const route = this.#values.routes.items.find(({ values: { to } }) => {
      const prefix = readPrefix(to ?? '');
      return prefix !== undefined && prefix.prefixLength >= pins.prefixLength && overlaps(prefix);
    });
    if (route !== undefined) tell(`the route ${route.name} leads there`, 'a prefix of its own');
  }

  /** What is counted tells who speaks how much; it is for the box alone unless somebody says otherwise. */
  #metrics(): void {
    const { control } = this.#values;
    const { metrics } = control.values;
    const listen = metrics === undefined || metrics === 'off' ? undefined : readListenAddress(metrics);
    if (listen === undefined || typeof listen === 'string' || isLoopback(listen.address)) return;
    this.#findings.warning(control.at('metrics'), [...control.steps, 'metrics'], `whoever reaches ${metrics} can read the metrics, for nothing is asked of them; 127.0.0.1 is for this box alone`);
  }

  #ports(): void {
    const { limits } = this.#values;
    const { snatPortFirst: first, snatPortLast: last } = limits.values;
    if (first === undefined || last === undefined || first <= last) return;
    const key = limits.given('snatPortLast') ? 'snatPortLast' : 'snatPortFirst';
    this.#findings.error(limits.at(key), [...limits.steps, key], `${first} to ${last} as source translation's ports`, 'snatPortLast not below snatPortFirst');
  }

  /** What is not wrong and yet can hardly be meant. */
  #unused(): void {
    const { links, routes, uplinks, groups, policies, start } = this.#values;
    if (links.items.length === 0) this.#findings.warning(start, ['links'], 'there are no links, so nothing is forwarded');
    const usedGroups = new Set([
      ...routes.items.map((route) => route.values.group), ...policies.items.map((policy) => policy.values.group),
      ...groups.items.map(({ values: { lastResort } }) => (typeof lastResort === 'object' ? lastResort.group : undefined)),
    ]);
    for (const group of groups.items) {
      if (!usedGroups.has(group.name)) this.#findings.warning(group.place, group.steps, 'no route, policy or last resort leads to this group');
    }
    const usedUplinks = new Set(groups.items.flatMap((group) => group.values.uplinks ?? []));
    for (const uplink of uplinks.items) {
      if (!usedUplinks.has(uplink.name)) this.#findings.warning(uplink.place, uplink.steps, 'no group has this uplink');
    }
    if (uplinks.items.length > 0 && !routes.items.some((route) => route.values.to === '0.0.0.0/0')) {
      this.#findings.warning(start, ['routes'], 'there are uplinks but no default route: add { to: 0.0.0.0/0, group: … }');
    }
  }
}

/** Tell of everything that does not fit together. */
export function crossCheck(values: Values, secrets: Secrets, findings: Findings): void {
  new CrossCheck(values, secrets, findings).run();
}
