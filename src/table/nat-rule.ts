/**
 * NAT rules, compiled: port forwards, 1:1 translations and the flows that leave untranslated. Asked once per new flow, by stage/nat-rule.ts.
 *
 * Shape. What is sent to an external address is looked up in one Map per uplink link (by the address), then by protocol in a RangeMap of
 * ports: the number of rules does not matter. What comes from inside is looked up in a Map of all uplinks' rules together (hairpin). A 1:1
 * rule is what is left of its address when no port forward has taken the port. Nothing is allocated by a lookup: it leaves its answer in
 * `uplink`, `address` and `port`.
 */
import type { Plan, PortForwardPlan } from '../base/plan.js';
import { parseIpv4 } from '../wire/address.js';
import * as ip from '../wire/ipv4.js';
import { MatchList } from './match.js';
import { RangeMap } from './range-map.js';

const NONE = -1;

/** What one external address stands for. */
interface External {
  /** Port → place in Plan.portForwards. */
  tcp: RangeMap;
  udp: RangeMap;
  /** Place in Plan.oneToOne, or NONE. */
  oneToOne: number;
}

export class NatRules {
  /** By link: the rules of its uplinks, by external address. */
  private readonly byLink: readonly ReadonlyMap<number, External>[];
  /** The rules of all uplinks, for what comes from inside. */
  private readonly all: ReadonlyMap<number, External>;
  /** Per port forward: uplink, first external port, inside address, first inside port. */
  private readonly forwards: Int32Array;
  /** Per 1:1 rule: uplink, internal address. */
  private readonly oneToOnes: Int32Array;
  /** Internal address → external address by uplink, 0 = none. */
  private readonly externals: ReadonlyMap<number, Int32Array>;
  private readonly exempt: MatchList;

  /** The answer of `find`. */
  uplink = NONE;
  address = 0;
  port = 0;

  constructor(plan: Plan) {
    const { portForwards, oneToOne, noNat, uplinks, links } = plan;
    this.forwards = Int32Array.from(portForwards.flatMap((rule) => [rule.uplink, rule.ports.first, parseIpv4(rule.to), rule.toPort]));
    this.oneToOnes = Int32Array.from(oneToOne.flatMap((rule) => [rule.uplink, parseIpv4(rule.internal)]));
    this.all = externals(plan, () => true);
    this.byLink = links.map(({ index }) => (uplinks.some((uplink) => uplink.link === index) ? externals(plan, (uplink) => uplinks[uplink].link === index) : this.all));
    const sources = new Map<number, Int32Array>();
    for (const rule of oneToOne) {
      const internal = parseIpv4(rule.internal);
      const row = sources.get(internal) ?? new Int32Array(uplinks.length);
      if (row[rule.uplink] === 0) row[rule.uplink] = parseIpv4(rule.external);
      sources.set(internal, row);
    }
    this.externals = sources;
    this.exempt = new MatchList(noNat.map((rule) => rule.match), links.length);
  }

  /** Where a new flow to an external address and port goes instead: true when there is a rule, which is then in `uplink`, `address`, `port`. */
  find(link: number, destination: number, protocol: number, port: number): boolean {
    const rules = this.byLink[link];
    if (rules.size === 0) return false;
    const external = rules.get(destination);
    if (external === undefined) return false;
    const forward = protocol === ip.PROTOCOL_TCP ? external.tcp.find(port) : protocol === ip.PROTOCOL_UDP ? external.udp.find(port) : NONE;
    if (forward !== NONE) {
      const { forwards } = this;
      this.uplink = forwards[forward * 4];
      this.address = forwards[forward * 4 + 2];
      this.port = forwards[forward * 4 + 3] + (port - forwards[forward * 4 + 1]);
      return true;
    }
    if (external.oneToOne === NONE) return false;
    this.uplink = this.oneToOnes[external.oneToOne * 2];
    this.address = this.oneToOnes[external.oneToOne * 2 + 1];
    this.port = port;
    return true;
  }

  /** External address of an inside address on an uplink by a 1:1 rule, or 0. */
  externalOf(internal: number, uplink: number): number {
    if (this.externals.size === 0) return 0;
    const row = this.externals.get(internal);
    return row === undefined ? 0 : row[uplink];
  }

  /** True for a flow that leaves untranslated. Addresses are int32; ports source << 16 | destination. */
  isExempt(link: number, out: number, protocol: number, source: number, destination: number, ports: number): boolean {
    return !this.exempt.isEmpty && this.exempt.find(0, link, out, protocol, source, destination, ports) !== NONE;
  }
}

/** External addresses of a link's uplinks: those they translate to and those their rules speak for; int32, each once. */
export function externalAddresses(plan: Plan, link: number): number[] {
  const isHere = (uplink: number): boolean => plan.uplinks[uplink].link === link;
  return [...new Set([
    ...plan.uplinks.filter((uplink) => isHere(uplink.index)).flatMap((uplink) => uplink.snat),
    ...plan.portForwards.filter((rule) => isHere(rule.uplink)).flatMap((rule) => rule.addresses),
    ...plan.oneToOne.filter((rule) => isHere(rule.uplink)).map((rule) => rule.external),
  ].map(parseIpv4))];
}

/** By external address, the rules of those uplinks. */
function externals(plan: Plan, isWanted: (uplink: number) => boolean): Map<number, External> {
  const forwards = plan.portForwards.map((rule, place) => ({ rule, place })).filter(({ rule }) => isWanted(rule.uplink));
  const oneToOnes = plan.oneToOne.map((rule, place) => ({ rule, place })).filter(({ rule }) => isWanted(rule.uplink));
  const texts = new Set([...forwards.flatMap(({ rule }) => rule.addresses), ...oneToOnes.map(({ rule }) => rule.external)]);
  return new Map([...texts].map((text) => {
    const ports = (protocol: number): RangeMap => new RangeMap(forwards.filter(({ rule }) => has(rule, text, protocol))
      .map(({ rule, place }) => ({ ...rule.ports, value: place })));
    return [parseIpv4(text), {
      tcp: ports(ip.PROTOCOL_TCP), udp: ports(ip.PROTOCOL_UDP), oneToOne: oneToOnes.find(({ rule }) => rule.external === text)?.place ?? NONE,
    }];
  }));
}

function has(rule: PortForwardPlan, address: string, protocol: number): boolean {
  return rule.addresses.includes(address) && rule.protocols.includes(protocol);
}
