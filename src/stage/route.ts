/**
 * route — where does it go? FIB, then the pick of an uplink where the route names a group. Decided on a flow's first packet in each
 * direction and kept on the flow; the answer to a flow that came in by an uplink goes back by that uplink. An ICMP error goes as its flow's
 * packets do: it bears the flow's address.
 *
 * Reads: destination, FIB, groups. Writes: nexthop, outLink, next address, uplink, isLocal; the flow's ROUTE.
 * Drops: NO_ROUTE NO_UPLINK ROUTE_UNREACHABLE ROUTE_PROHIBIT ROUTE_BLACKHOLE BROADCAST UPLINK_DOWN LINK_DOWN_OUT.
 */
import type { Uplink } from '../balance/uplink.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { GENERATION, ROUTE, UPLINK } from '../table/flow.js';
import type { Route } from '../table/route.js';
import type { Packet } from '../wire/packet.js';
import type { Router } from './router.js';

const NONE = -1;
/** Kept in a flow's ROUTE beside nexthop numbers: the flow ends at the router or the box. */
const LOCAL = 0x7fffffff;

export function route(p: Packet, r: Router): Verdict {
  if (p.nexthop !== NONE) return leave(p, r, p.nexthop);
  if (p.flow === NONE) return byFib(p, r);
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (words[at + GENERATION] !== r.plan.generation) {
    words[at + GENERATION] = r.plan.generation;
    words[at + ROUTE] = NONE;
    words[at + ROUTE + 1] = NONE;
  }
  const decided = words[at + ROUTE + p.direction];
  if (decided === LOCAL) return local(p, r);
  if (decided !== NONE) return leave(p, r, decided);
  const verdict = byFib(p, r);
  if (verdict !== 0 || p.isRelated) return verdict;
  words[at + ROUTE + p.direction] = p.isLocal ? LOCAL : p.nexthop;
  if (p.isNew) words[at + ROUTE + 1] = backNexthop(p, r);
  return 0;
}

function byFib(p: Packet, r: Router): Verdict {
  const number = r.fib.lookup(p.tuple.d3);
  if (number === NONE) return V.NO_ROUTE;
  const found = r.routes[number];
  if (found.refuse !== 0) return found.refuse;
  if (found.kind === 'local') return local(p, r);
  if (found.group !== NONE) return byGroup(p, r, found);
  return leave(p, r, r.routeNexthops[number]);
}

function byGroup(p: Packet, r: Router, found: Route): Verdict {
  const uplink = r.groups[found.group].pick(r.flows.hash(p.tuple));
  if (uplink === null) return V.NO_UPLINK;
  return leave(p, r, found.kind === 'connected' ? uplink.onLink : uplink.viaGateway);
}

/** Take a nexthop, if its link is up. */
function leave(p: Packet, r: Router, number: number): Verdict {
  const nexthop = r.nexthops.get(number);
  p.nexthop = number;
  p.outLink = nexthop.link;
  p.uplink = nexthop.uplink;
  p.setNext(nexthop.gateway === null ? p.tuple.d3 : nexthop.gateway);
  if (r.links[nexthop.link].isUp) return 0;
  return nexthop.uplink === NONE ? V.LINK_DOWN_OUT : V.UPLINK_DOWN;
}

/** For the router's own address: on to the box's stack where there is a link to it. What the box itself sent does not come back to it. */
function local(p: Packet, r: Router): Verdict {
  p.isLocal = true;
  const host = r.hostLink;
  if (host === null || host.index === p.link) return 0;
  p.outLink = host.index;
  p.setNext(p.tuple.d3);
  return host.isUp ? 0 : V.LINK_DOWN_OUT;
}

/**
 * The nexthop for answers to a packet, when its link decides that rather than the FIB: what the box sent goes back to the box, whichever
 * address it used (it may forward for others behind it); what came in by an uplink goes back by it, to the neighbour it came from or through
 * the uplink's gateway. NONE: the FIB decides.
 */
export function backNexthop(p: Packet, r: Router): number {
  if (p.link === NONE) return NONE;
  const link = r.links[p.link];
  if (link === r.hostLink) return r.hostNexthop;
  if (link.uplinks.length === 0) return NONE;
  const uplink = uplinkOf(p, r);
  return link.isOnLink(p.tuple.s3) ? uplink.onLink : uplink.viaGateway;
}

/** The uplink a packet has come in by: its flow's, when a NAT rule has named it, else the first one of the link. */
function uplinkOf(p: Packet, r: Router): Uplink {
  const { uplinks } = r.links[p.link];
  if (uplinks.length > 1 && p.flow !== NONE) {
    const uplink = r.flows.words[r.flows.at(p.flow) + UPLINK];
    if (uplink !== NONE && r.uplinks[uplink].link === p.link) return r.uplinks[uplink];
  }
  return uplinks[0];
}
