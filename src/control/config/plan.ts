/** From checked values to a plan: names become indexes, `auto` becomes an address, durations become seconds. */
import type {
  AffinityPlan, AlgPlan, FilterRulePlan, GroupPlan, LimitsPlan, LinkPlan, MatchPlan, OneToOnePlan, Plan, PolicyPlan, PortForwardPlan, PortRangePlan, RoutePlan,
  TimeoutsPlan, UplinkPlan,
} from '../../base/plan.js';
import { formatIpv4 } from '../../wire/address.js';
import { checkPlan, milliseconds } from './check-plan.js';
import { readDuration } from './format.js';
import { contains, readAddress, type Prefix } from './ip.js';
import { boxLink, pinOf } from './pins.js';
import {
  asList, poolAddresses, readListen, readPool, readPorts, readProtocol, readRate, readTarget, WITH_PORTS, type OneOrMore,
} from './rule-text.js';
import type {
  AffinityKeys, AlgsKeys, ControlKeys, FilterKeys, GroupKeys, HooksKeys, LinkKeys, MatchKeys, OneToOneKeys, PolicyKeys, PortForwardKeys, RouteKeys, TimeoutsKeys, UplinkKeys,
} from './schema.js';
import { SCHEMA } from './schema.js';
import type { Secrets } from './secret.js';
import { serversOf } from './server-plan.js';
import { sharePlan, vrrpPlans } from './share-plan.js';
import { readListenAddress } from './share-text.js';
import type { Item, Things, Values } from './validate.js';

export interface PlanOptions {
  generation: number;
  seed: number;
}

/** Every default is filled in and every required key is there: validation has told of what was missing. */
function complete<T>(item: Item<T>): T {
  return item.values as T;
}

function indexes(things: Things<unknown>): Map<string, number> {
  return new Map(things.items.map((item, index) => [item.name, index]));
}

/** What a reader makes of a text that validation has accepted. */
function known<T>(meaning: T | string | undefined): T {
  if (meaning === undefined || typeof meaning === 'string') throw new Error(`a text that validation should have refused: ${meaning}`);
  return meaning;
}

function linkPlan(item: Item<LinkKeys>, index: number, hasUplink: boolean): LinkPlan {
  const { type, device, netns, bridge, mac, mtu, addresses, neighbours, probeAddresses, peer, defaultRoute, offload, mssClamp, sourceCheck } = complete(item);
  return {
    index, name: item.name, type, device,
    ...(netns === undefined ? {} : { netns }),
    ...(bridge === undefined ? {} : { bridge }),
    ...(mac === undefined ? {} : { mac: mac.toLowerCase() }),
    ...(mtu === undefined ? {} : { mtu }),
    addresses: addresses.map((text) => {
      const [address, length] = text.split('/');
      return { address, prefixLength: Number(length) };
    }),
    ...(neighbours === undefined ? {} : { neighbours: neighbours.map((text) => ({ address: text.split(' ')[0], mac: text.split(' ')[1].toLowerCase() })) }),
    ...(probeAddresses ? { probeAddresses } : {}),
    ...(peer === undefined ? {} : { peer }),
    defaultRoute, offload, mssClamp,
    // RFC 3704 §2.3 on uplinks, so that asymmetric paths live; what the box sends may bear any address it forwards for.
    sourceCheck: sourceCheck ?? (hasUplink ? 'feasible' : type === 'tun' ? 'off' : 'strict'),
  };
}

/** A network a link's own address is in, and the link's index. */
interface Connected extends Prefix { link: number }

function connectedOf(linkPlans: readonly LinkPlan[]): Connected[] {
  return linkPlans.flatMap(({ index, addresses }) =>
    addresses.map(({ address, prefixLength }) => ({ address: readAddress(address)!, prefixLength, link: index })));
}

function routePlan(item: Item<RouteKeys>, links: Map<string, number>, groups: Map<string, number>, connected: readonly Connected[]): RoutePlan {
  const { to, via, link, group, refuse } = complete(item);
  const plan: RoutePlan = { name: item.name, to };
  if (via !== undefined) {
    plan.via = via;
    const address = readAddress(via)!;
    // Without a link, the cross-check has seen to it that exactly one link has the gateway on its networks.
    plan.link = link !== undefined ? links.get(link)! : connected.find((prefix) => contains(prefix, address))!.link;
  } else if (link !== undefined) plan.link = links.get(link)!;
  if (group !== undefined) plan.group = groups.get(group)!;
  if (refuse !== undefined) plan.refuse = refuse;
  return plan;
}

function uplinkPlan(item: Item<UplinkKeys>, index: number, links: Map<string, number>, linkPlans: readonly LinkPlan[], box: Item<LinkKeys> | undefined): UplinkPlan {
  const { link: linkName, gateway, weight, snat, mapping, filtering, whenExhausted, refreshInbound, check } = complete(item);
  const link = links.get(linkName)!;
  const addresses = snat === 'auto' ? [linkPlans[link].addresses[0].address]
    : snat === 'off' ? [] : asList(snat).flatMap((text) => poolAddresses(known(readPool(text))));
  return {
    index, name: item.name, link, ...(gateway === undefined ? {} : { gateway }), weight, snat: addresses, mapping, filtering, whenExhausted, refreshInbound,
    ...(check === undefined ? {} : { check: checkPlan(check, gateway) }),
    ...(box === undefined ? {} : { pin: pinOf(box.values.pins, index) }),
  };
}

function affinityPlan({ by, timeout }: AffinityKeys): AffinityPlan {
  return { by, timeout: known(readDuration(timeout)) };
}

function groupPlan(item: Item<GroupKeys>, index: number, uplinks: Map<string, number>, groups: Map<string, number>): GroupPlan {
  const { uplinks: names, tiers, balance, affinity, onDown, onRecover, drainTimeout, lastResort } = complete(item);
  return {
    index, name: item.name, uplinks: names.map((name) => uplinks.get(name)!), tiers: names.map((name) => tiers?.[name] ?? 1), balance,
    ...(affinity === undefined ? {} : { affinity: affinityPlan(affinity) }),
    onDown, onRecover, drainTimeout: known(readDuration(drainTimeout)),
    lastResort: typeof lastResort === 'string' ? lastResort : { group: groups.get(lastResort.group)! },
  };
}

function portRanges(ports: OneOrMore<string | number>): PortRangePlan[] {
  return asList(ports).map((value) => known(readPorts(value, 0)));
}

/** What a rule looks at. Ports alone mean the protocols that have them. */
function matchPlan(keys: MatchKeys & Pick<FilterKeys, 'sourcePorts'>, links: Map<string, number>): MatchPlan {
  const { in: incoming, out, from, to, protocol, ports, sourcePorts } = keys;
  const prefixes = (texts: OneOrMore<string>): string[] => asList(texts).map((text) => (text.includes('/') ? text : `${text}/32`));
  const protocols = protocol !== undefined ? asList(protocol).map((value) => known(readProtocol(value)))
    : ports !== undefined || sourcePorts !== undefined ? [...WITH_PORTS] : undefined;
  return {
    ...(incoming === undefined ? {} : { in: asList(incoming).map((name) => links.get(name)!) }),
    ...(out === undefined ? {} : { out: asList(out).map((name) => links.get(name)!) }),
    ...(from === undefined ? {} : { from: prefixes(from) }),
    ...(to === undefined ? {} : { to: prefixes(to) }),
    ...(protocols === undefined ? {} : { protocols }),
    ...(sourcePorts === undefined ? {} : { sourcePorts: portRanges(sourcePorts) }),
    ...(ports === undefined ? {} : { destinationPorts: portRanges(ports) }),
  };
}

function filterPlan(item: Item<FilterKeys>, index: number, links: Map<string, number>): FilterRulePlan {
  const keys = complete(item);
  const plan: FilterRulePlan = { index, name: item.name, match: matchPlan(keys, links), action: keys.action };
  if (keys.state !== undefined) plan.states = [...asList(keys.state)];
  if (keys.over !== undefined) {
    const { rate, burst, by } = keys.over;
    const perSecond = known(readRate(rate));
    plan.over = { perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond)), by };
  }
  return plan;
}

function policyPlan(item: Item<PolicyKeys>, index: number, links: Map<string, number>, uplinks: Map<string, number>, groups: Map<string, number>): PolicyPlan {
  const keys = complete(item);
  const { group, exclude, prefer, affinity } = keys;
  return {
    index, name: item.name, match: matchPlan(keys, links), exclude,
    ...(group === undefined ? {} : { group: groups.get(group)! }),
    ...(prefer === undefined ? {} : { prefer: uplinks.get(prefer)! }),
    ...(affinity === undefined ? {} : { affinity: affinityPlan(affinity) }),
  };
}

/** Where an uplink is spoken to from outside when a port forward does not say so: the addresses it translates to, else its link's own. */
export function externalAddresses(uplink: UplinkPlan, links: readonly LinkPlan[]): string[] {
  return uplink.snat.length > 0 ? uplink.snat : links[uplink.link].addresses.map(({ address }) => address);
}

function portForwardPlan(item: Item<PortForwardKeys>, index: number, uplinks: readonly UplinkPlan[], links: readonly LinkPlan[]): PortForwardPlan {
  const keys = complete(item);
  const uplink = uplinks.find(({ name }) => name === keys.uplink)!;
  const { address, ports, protocols } = known(readListen(keys.listen));
  const target = known(readTarget(keys.to));
  return {
    index, name: item.name, uplink: uplink.index,
    addresses: address === undefined ? [...externalAddresses(uplink, links)] : [formatIpv4(address)],
    protocols: [...protocols], ports, to: formatIpv4(target.address), toPort: target.ports?.first ?? ports.first,
  };
}

function oneToOnePlan(item: Item<OneToOneKeys>, index: number, uplinks: Map<string, number>): OneToOnePlan {
  const { uplink, external, internal } = complete(item);
  return { index, name: item.name, uplink: uplinks.get(uplink)!, external, internal };
}

function algPlans(item: Item<AlgsKeys>): AlgPlan[] {
  const values = complete(item);
  return (['ftp', 'tftp'] as const).flatMap((name) => {
    const value = values[name];
    if (value === 'off') return [];
    // `on` is the same as a map without keys.
    const ports = value === 'on' ? (SCHEMA.algs.keys[name].part!.keys.ports.default as readonly number[]) : asList(value.ports);
    return [{ name, ports: ports.map((port) => known(readPorts(port, 1)).first) }];
  });
}

function timeoutsPlan(item: Item<TimeoutsKeys>): TimeoutsPlan {
  const values = complete(item);
  const seconds = (key: keyof TimeoutsKeys): number => readDuration(values[key])!;
  return {
    tcpOpening: seconds('tcpOpening'), tcpEstablished: seconds('tcpEstablished'), tcpClosing: seconds('tcpClosing'),
    tcpTimeWait: seconds('tcpTimeWait'), udp: seconds('udp'), udpReplied: seconds('udpReplied'), icmp: seconds('icmp'),
    other: seconds('other'), fragment: seconds('fragment'), neighbourReachable: seconds('neighbourReachable'),
    neighbourStale: seconds('neighbourStale'), portQuarantine: seconds('portQuarantine'), synHold: seconds('synHold'), expectation: seconds('expectation'),
  };
}

/** Only for values without an error. */
export function makePlan(values: Values, secrets: Secrets, options: PlanOptions): Plan {
  const withUplinks = new Set(values.uplinks.items.map((item) => item.values.link));
  const links = indexes(values.links);
  const uplinks = indexes(values.uplinks);
  const groups = indexes(values.groups);
  const linkPlans = values.links.items.map((item, index) => linkPlan(item, index, withUplinks.has(item.name)));
  const connected = connectedOf(linkPlans);
  const box = boxLink(values.links.items);
  const uplinkPlans = values.uplinks.items.map((item, index) => uplinkPlan(item, index, links, linkPlans, box));
  const { socket, group, logLevel, metrics }: ControlKeys = complete(values.control);
  const { directory, user, timeout }: HooksKeys = complete(values.hooks);
  return {
    generation: options.generation,
    seed: options.seed,
    links: linkPlans,
    routes: values.routes.items.map((item) => routePlan(item, links, groups, connected)),
    uplinks: uplinkPlans,
    groups: values.groups.items.map((item, index) => groupPlan(item, index, uplinks, groups)),
    policies: values.policies.items.map((item, index) => policyPlan(item, index, links, uplinks, groups)),
    ...serversOf(values, linkPlans, uplinkPlans.length),
    vrrp: vrrpPlans(values, linkPlans, secrets),
    share: sharePlan(values.share, secrets),
    filters: values.filters.items.map((item, index) => filterPlan(item, index, links)),
    portForwards: values.portForwards.items.map((item, index) => portForwardPlan(item, index, uplinkPlans, linkPlans)),
    oneToOne: values.oneToOne.items.map((item, index) => oneToOnePlan(item, index, uplinks)),
    noNat: values.noNat.items.map((item, index) => ({ index, name: item.name, match: matchPlan(complete(item), links) })),
    algs: algPlans(values.algs),
    tcpMidstream: values.tcp.values.midstream!,
    limits: { ...complete<LimitsPlan>(values.limits) },
    timeouts: timeoutsPlan(values.timeouts),
    hooks: { directory, user, timeoutMs: milliseconds(timeout) },
    control: {
      socket, ...(group === undefined ? {} : { group }), logLevel,
      ...(metrics === 'off' ? {} : { metrics: known(readListenAddress(metrics)) }),
    },
  };
}
