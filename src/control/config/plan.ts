/** From checked values to a plan: names become indexes, `auto` becomes an address, durations become seconds. */
import type { LimitsPlan, LinkPlan, Plan, RoutePlan, TimeoutsPlan, UplinkPlan } from '../../base/plan.js';
import { readDuration } from './format.js';
import { contains, readAddress, type Prefix } from './ip.js';
import type { ControlKeys, GroupKeys, LinkKeys, RouteKeys, TimeoutsKeys, UplinkKeys } from './schema.js';
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

function linkPlan(item: Item<LinkKeys>, index: number): LinkPlan {
  const { type, device, netns, bridge, mac, mtu, addresses, peer, defaultRoute, offload } = complete(item);
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
    ...(peer === undefined ? {} : { peer }),
    defaultRoute, offload, mssClamp: 'auto', sourceCheck: type === 'tun' ? 'off' : 'strict',
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

function uplinkPlan(item: Item<UplinkKeys>, index: number, links: Map<string, number>, linkPlans: readonly LinkPlan[]): UplinkPlan {
  const { link: linkName, gateway, weight, snat } = complete(item);
  const link = links.get(linkName)!;
  const addresses = snat === 'auto' ? [linkPlans[link].addresses[0].address] : snat === 'off' ? [] : typeof snat === 'string' ? [snat] : [...snat];
  return { index, name: item.name, link, ...(gateway === undefined ? {} : { gateway }), weight, snat: addresses,
    mapping: 'endpoint-independent', filtering: 'endpoint-independent', whenExhausted: 'share', refreshInbound: true,
  };
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
export function makePlan(values: Values, options: PlanOptions): Plan {
  const links = indexes(values.links);
  const uplinks = indexes(values.uplinks);
  const groups = indexes(values.groups);
  const linkPlans = values.links.items.map(linkPlan);
  const connected = connectedOf(linkPlans);
  const { socket, group, logLevel }: ControlKeys = complete(values.control);
  return {
    generation: options.generation,
    seed: options.seed,
    links: linkPlans,
    routes: values.routes.items.map((item) => routePlan(item, links, groups, connected)),
    uplinks: values.uplinks.items.map((item, index) => uplinkPlan(item, index, links, linkPlans)),
    groups: values.groups.items.map((item, index) => {
      const keys: GroupKeys = complete(item);
      return { index, name: item.name, uplinks: keys.uplinks.map((name) => uplinks.get(name)!) };
    }),
    filters: [], portForwards: [], oneToOne: [], noNat: [], algs: [{ name: 'ftp', ports: [21] }], tcpMidstream: 'reset',
    limits: { ...complete<LimitsPlan>(values.limits) },
    timeouts: timeoutsPlan(values.timeouts),
    control: { socket, ...(group === undefined ? {} : { group }), logLevel },
  };
}
