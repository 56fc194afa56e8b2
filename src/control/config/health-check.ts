/**
 * Health checks held against themselves and against what they are to check: targets that can be asked, numbers that leave room for an
 * answer. The words are those of a check of an uplink or of a server behind it; what only one of them has is an argument.
 */
import { formatIpv4 } from '../../wire/address.js';
import { DNS_PORT, HOP_PORT, readEndpoint, readPercent, readServer } from './check-text.js';
import { checkKeys, PROBE_KEYS, PROBES_MAX, type CheckKeys, type DampingKeys, type PartThresholdKeys, type ProbeKey } from './check-schema.js';
import type { Findings, Step } from './findings.js';
import { readDuration } from './format.js';
import { readAddress } from './ip.js';
import { and } from './near.js';
import { asList } from './rule-text.js';
import type { Item } from './validate.js';

/** What is known of what a check is about. */
export interface CheckedThing {
  /** Address that `gateway` stands for; undefined = it has none. */
  gateway: string | undefined;
  /** Why there is no ARP; undefined = there is. */
  noArp: string | undefined;
  /** Why the data plane has no address to ask from; undefined = it has one. */
  noSource: string | undefined;
  /** There is a link to the box, so that its own sockets can ask. */
  hasBox: boolean;
  /** The namespace that link's device is in, a word before it; undefined = the daemon's own, where its sockets are. */
  boxElsewhere: string | undefined;
  /** The router's own addresses, with a word on each. */
  ours: (address: number) => string | undefined;
  /** Why nobody with this address can be on the wire; undefined = somebody may. */
  offLink: (address: number) => string | undefined;
}

/** Kinds the box asks through sockets of its own. */
const BY_THE_BOX: readonly ProbeKey[] = ['tcp', 'http', 'dns'];
/** Kinds that bind to an address of the box where it has a link (`pin` of the uplink's plan). */
const BOUND: readonly ProbeKey[] = [...BY_THE_BOX, 'script'];
/** Kinds made in the data plane that bear an address as their source. */
const WITH_SOURCE: readonly ProbeKey[] = ['icmp', 'udp'];

function seconds(text: string | undefined): number | undefined {
  return text === undefined ? undefined : readDuration(text);
}

/** A threshold's number in any unit; undefined when it is not given. */
function level(text: string | undefined): number | undefined {
  return text === undefined ? undefined : readPercent(text) ?? readDuration(text);
}

class HealthCheck {
  readonly #check: Item<CheckKeys>;
  readonly #thing: CheckedThing;
  readonly #findings: Findings;

  constructor(check: Item<CheckKeys>, thing: CheckedThing, findings: Findings) {
    this.#check = check;
    this.#thing = thing;
    this.#findings = findings;
  }

  run(): void {
    const given = PROBE_KEYS.filter((key) => this.#check.given(key));
    // A key nobody knows is most likely one of them, mistyped.
    if (given.length === 0 && !this.#check.hasOthers(Object.keys(checkKeys))) {
      this.#findings.error(this.#check.place, this.#check.steps, 'a check without targets', `at least one of ${and(PROBE_KEYS)}`);
    }
    for (const key of given) this.#kind(key);
    if (given.length > 0 && !given.some((key) => this.#check.refused(key))) this.#count(given);
    checkLevels(this.#check as unknown as Item<LevelKeys>, this.#findings);
  }

  #tell(key: keyof CheckKeys, why: string, allowed: string, index?: number): void {
    const item = index !== undefined && this.#isListed(key) ? index : undefined;
    const steps: Step[] = [...this.#check.steps, key, ...(item === undefined ? [] : [item])];
    this.#findings.error(this.#check.at(key, item), steps, `${this.#check.show(key, item)} (${why})`, allowed);
  }

  /** True when targets stand in a list; that of a script may be one command line. */
  #isListed(key: keyof CheckKeys): boolean {
    return this.#check.isList(key) && (key !== 'script' || this.#check.values.script!.some((_, index) => this.#check.part('script', index) !== undefined));
  }

  #kind(key: ProbeKey): void {
    const { noArp, noSource, hasBox, boxElsewhere } = this.#thing;
    const refuse = (found: string, allowed: string): void => this.#findings.error(this.#check.keyAt(key), [...this.#check.steps, key], found, allowed);
    if (BY_THE_BOX.includes(key) && !hasBox) {
      refuse(`${key} without a link to the box, whose own sockets ask by ${and(BY_THE_BOX)}`, 'a tun link with a peer; icmp, arp, udp and script need none');
    } else if (BOUND.includes(key) && boxElsewhere !== undefined) {
      refuse(`${key} by way of ${boxElsewhere}, where the daemon's sockets are not`, 'the link to the box without netns; icmp, arp and udp need none');
    } else if (key === 'arp' && noArp !== undefined) {
      refuse(`arp on ${noArp}`, 'arp on a tap or raw link only');
    } else if (WITH_SOURCE.includes(key) && noSource !== undefined) {
      refuse(`${key} from ${noSource}`, 'a link with an address, or addresses in snat; arp and script need none');
    } else if (!this.#check.refused(key)) {
      this.#targets(key);
    }
  }

  #targets(key: ProbeKey): void {
    const { values } = this.#check;
    if (key === 'icmp' || key === 'arp') {
      const seen = new Set<string>();
      asList(values[key]!).forEach((text, index) => {
        const address = text === 'gateway' ? this.#thing.gateway : text;
        if (address === undefined) this.#tell(key, 'there is no gateway', 'an address', index);
        else if (seen.has(address)) this.#tell(key, `${address} for the second time`, 'each once', index);
        else if (text !== 'gateway') this.#address(key, readAddress(address)!, index);
        if (address !== undefined) seen.add(address);
      });
    } else if (key === 'tcp') {
      asList(values.tcp!).forEach((text, index) => this.#host(key, readEndpoint(text), index));
    } else {
      const told = new Set<string>();
      (values[key]!).forEach((target, index) => {
        const same = JSON.stringify(Object.entries(target).sort());
        if (told.has(same)) this.#tell(key, 'for the second time', 'each once', index);
        told.add(same);
        if ('server' in target) this.#host(key, readServer(target.server, DNS_PORT), index);
        if ('target' in target) this.#host(key, readServer(target.target, HOP_PORT), index);
      });
    }
  }

  #host(key: ProbeKey, target: { host: string } | string, index: number): void {
    const address = typeof target === 'string' ? undefined : readAddress(target.host);
    if (address !== undefined) this.#address(key, address, index);
  }

  #address(key: ProbeKey, address: number, index: number): void {
    const ours = this.#thing.ours(address);
    const offLink = key === 'arp' ? this.#thing.offLink(address) : undefined;
    if (ours !== undefined) this.#tell(key, ours, 'the address of somebody else', index);
    else if (offLink !== undefined) this.#tell(key, offLink, 'gateway, or an address on the link\'s network', index);
  }

  #count(given: readonly ProbeKey[]): void {
    const { values } = this.#check;
    const count = given.reduce((sum, key) => sum + asList<unknown>(values[key]).length, 0);
    const { need } = values;
    if (count > PROBES_MAX) {
      this.#findings.error(this.#check.place, this.#check.steps, `${count} targets`, `${PROBES_MAX} at most`);
    } else if (need !== undefined && need > count) {
      this.#findings.error(this.#check.at('need'), [...this.#check.steps, 'need'], `${this.#check.show('need')} (of ${count} ${count === 1 ? 'target' : 'targets'})`, `1 to ${count}`);
    }
  }
}

/** The numbers every check has, held against each other. */
export type LevelKeys = Pick<CheckKeys, 'interval' | 'timeout' | 'loss' | 'latency' | 'jitter' | 'damping'>;

/** Tell of a timeout above the interval, and of what would recover above where it fails. */
export function checkLevels(check: Item<LevelKeys>, findings: Findings): void {
  const { interval, timeout } = check.values;
  const every = seconds(interval);
  const patience = seconds(timeout);
  if (every !== undefined && patience !== undefined && patience > every) {
    findings.error(check.at('timeout'), [...check.steps, 'timeout'], `${check.show('timeout')} (longer than the interval of ${interval})`, `at most ${interval}`);
  }
  for (const key of ['loss', 'latency', 'jitter'] as const) {
    const part = check.part<PartThresholdKeys>(key);
    const fail = level(part?.values.fail);
    const recover = level(part?.values.recover);
    if (part === undefined || fail === undefined || recover === undefined || recover <= fail) continue;
    findings.error(part.at('recover'), [...part.steps, 'recover'], `${part.show('recover')} (above fail, ${part.values.fail})`, `at most ${part.values.fail}`);
  }
  const damping = check.part<DampingKeys>('damping');
  if (damping === undefined) return;
  const { suppress, reuse } = damping.values;
  if (suppress === undefined || reuse === undefined || reuse < suppress) return;
  const key = damping.given('reuse') ? 'reuse' : 'suppress';
  findings.error(damping.at(key), [...damping.steps, key], `${reuse} as reuse and ${suppress} as suppress`, 'reuse below suppress');
}

/** Tell of everything in a check that does not fit. */
export function checkHealth(check: Item<CheckKeys>, thing: CheckedThing, findings: Findings): void {
  new HealthCheck(check, thing, findings).run();
}

/** A word on an address that is not on a link's networks. */
export function notOn(address: number, name: string, networks: string): string {
  return `${formatIpv4(address)} is not in ${networks} of ${name}`;
}
