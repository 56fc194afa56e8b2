/**
 * Routes: what the FIB's numbers mean. They follow from the plan alone (`planRoutes`), so the control plane can list them without asking the
 * data plane.
 */
import type { AddressPlan, LinkPlan, Plan } from '../base/plan.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { formatIpv4, maskOf, parseIpv4, parsePrefix } from '../wire/address.js';
import { externalAddresses } from './nat-rule.js';
import { virtualAddresses } from './virtual-server.js';

const NONE = -1;

export type RouteKind = 'static' | 'connected' | 'local' | 'broadcast';

export interface Route {
  readonly kind: RouteKind;
  /** Its name in the configuration; null for those that follow from addresses. */
  readonly name: string | null;
  /** int32, host bits zero. */
  readonly prefix: number;
  readonly prefixLength: number;
  /** Gateway as int32, null when the destination is on the link. */
  readonly via: number | null;
  /** Out link, or NONE. */
  readonly link: number;
  /** Group whose uplinks share the traffic, or NONE. */
  readonly group: number;
  /** What a packet is refused with; 0 when it is not. */
  readonly refuse: Verdict;
}

const REFUSALS = { unreachable: V.ROUTE_UNREACHABLE, prohibit: V.ROUTE_PROHIBIT, blackhole: V.ROUTE_BLACKHOLE } as const;

/**
 * Every route of a plan. Of equal prefixes the later one counts: our own addresses over the broadcast addresses over the links' subnets
 * over what was configured.
 */
export function planRoutes(plan: Plan): Route[] {
  const routes: Route[] = [];
  for (const { name, to, via, link, group, refuse } of plan.routes) {
    const gateway = via === undefined ? null : parseIpv4(via);
    routes.push({
      kind: 'static', name, ...parsePrefix(to), via: gateway, group: group ?? NONE, refuse: refuse === undefined ? 0 : REFUSALS[refuse],
      link: link ?? (gateway === null ? NONE : plan.links.findIndex((l) => isOnLink(l, gateway))),
    });
  }
  const derived = { name: null, via: null, group: NONE, refuse: 0 } as const;
  const of = (link: number, addresses: readonly AddressPlan[]): { link: number; address: number; prefixLength: number }[] =>
    addresses.map(({ address, prefixLength }) => ({ link, address: parseIpv4(address), prefixLength }));
  // Those of virtual routers as well: whether they are ours at the moment is the election's to say, and the router's FIB follows it.
  const all = [...plan.links.flatMap(({ index, addresses }) => of(index, addresses)), ...plan.vrrp.flatMap(({ link, addresses }) => of(link, addresses))];
  for (const { link, address, prefixLength } of all) {
    const prefix = address & maskOf(prefixLength);
    const group = groupSharing(plan, prefix, prefixLength);
    routes.push({ ...derived, kind: 'connected', prefix, prefixLength, link: group === NONE ? link : NONE, group });
  }
  for (const { address, prefixLength, link } of all) {
    // RFC 3021: a /31 has no broadcast address.
    if (prefixLength > 30) continue;
    const mask = maskOf(prefixLength);
    for (const prefix of [address & mask, address | ~mask]) {
      routes.push({ ...derived, kind: 'broadcast', prefix, prefixLength: 32, link, refuse: V.BROADCAST });
    }
  }
  for (const { address, link } of all) routes.push({ ...derived, kind: 'local', prefix: address, prefixLength: 32, link });
  for (const { link, address: prefix } of plan.links.flatMap((link) => externalAddresses(plan, link.index).map((address) => ({ link: link.index, address })))) {
    if (!all.some((own) => own.address === prefix)) routes.push({ ...derived, kind: 'local', prefix, prefixLength: 32, link });
  }
  for (const prefix of virtualAddresses(plan)) {
    if (routes.some((route) => route.kind === 'local' && route.prefix === prefix)) continue;
    // One that is in no link's network has been routed to us.
    const link = all.find((own) => ((own.address ^ prefix) & maskOf(own.prefixLength)) === 0)?.link ?? NONE;
    routes.push({ ...derived, kind: 'local', prefix, prefixLength: 32, link });
  }
  const byPrefix = new Map(routes.map((route) => [`${route.prefix}/${route.prefixLength}`, route]));
  return [...byPrefix.values()];
}

export function formatPrefix(route: Route): string { return `${formatIpv4(route.prefix)}/${route.prefixLength}`; }

function isOnLink(link: LinkPlan, address: number): boolean {
  return link.addresses.some((a) => ((parseIpv4(a.address) ^ address) & maskOf(a.prefixLength)) === 0);
}

/** Group whose uplinks all have this subnet on their own link (two ISPs behind one modem), or NONE when just one link has it. */
function groupSharing(plan: Plan, prefix: number, prefixLength: number): number {
  const links = plan.links.filter((link) =>
    link.addresses.some((a) => a.prefixLength === prefixLength && (parseIpv4(a.address) & maskOf(prefixLength)) === prefix));
  if (links.length < 2) return NONE;
  const group = plan.groups.find((g) => links.every((link) => g.uplinks.some((uplink) => plan.uplinks[uplink].link === link.index)));
  return group?.index ?? NONE;
}
