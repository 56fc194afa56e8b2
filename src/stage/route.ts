/**
 * route — where does it go? Policies, FIB, then the pick of an uplink where the answer is a group. Decided on a flow's first packet in each
 * direction and kept on the flow; the answer to a flow that came in by an uplink goes back by that uplink. An ICMP error goes as its flow's
 * packets do: it bears the flow's address.
 *
 * Reads: destination, policies, FIB, groups. Writes: nexthop, outLink, next address, uplink, isLocal; the flow's ROUTE; affinity.
 * Drops: NO_ROUTE NO_UPLINK NO_UPLINK_BLACKHOLE ROUTE_UNREACHABLE ROUTE_PROHIBIT ROUTE_BLACKHOLE BROADCAST UPLINK_DOWN LINK_DOWN_OUT FLOW_ENDED MIDSTREAM NO_BUFFER.
 *
 * Policies are for what opens a flow and comes in by a link. Not for what goes to the router, to a network one of its links is in or to a
 * broadcast address, nor for what a rule of `dnat` has sent inside: a policy about everything must cut off nobody's neighbours or servers.
 *
 * A flow that decides again (another plan) keeps what it has promised: with a source address of an uplink it leaves by that uplink, its answers
 * go back by the way the question came, and what leaves as it is goes only by an uplink that leaves it so.
 */
import type { Group, Uplink } from '../balance/uplink.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { FLAG_SNAT, FLAGS, GENERATION, IN_LINK, INWARD, ORIGINAL_TUPLE, ROUTE, UPLINK } from '../table/flow.js';
import type { Asking } from '../table/policy.js';
import { V4_MAPPED } from '../wire/address.js';
import * as ethernet from '../wire/ethernet.js';
import type { Packet } from '../wire/packet.js';
import { KEEP, NO_RULE, sourceRule } from './nat-rule.js';
import type { Router } from './router.js';

const NONE = -1;
/** Kept in a flow's ROUTE beside nexthop numbers, which are smaller than any of them: a group whose uplinks take turns at the flow's packets, */
export const SPRAYED = 0x4000_0000;
/** and that the flow ends at the router or the box. */
export const LOCAL = 0x7fff_ffff;

export function route(p: Packet, r: Router): Verdict {
  if (p.nexthop !== NONE) return leave(p, r, p.nexthop);
  if (p.flow === NONE) return byFib(p, r);
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (words[at + GENERATION] !== r.epoch) {
    const refusal = r.fates.meet(p);
    if (refusal !== 0) return refusal;
  }
  const decided = words[at + ROUTE + p.direction];
  if (decided >= SPRAYED) return decided === LOCAL ? local(p, r) : spray(p, r, r.groups[decided - SPRAYED]);
  if (decided !== NONE) return leave(p, r, decided);
  const verdict = p.isRelated || p.direction === 1 ? back(p, r, at) : forth(p, r, at);
  if (verdict !== 0 || p.isRelated) return verdict;
  // `forth` has noted a group that sprays.
  if (words[at + ROUTE + p.direction] === NONE) words[at + ROUTE + p.direction] = p.isLocal ? LOCAL : p.nexthop;
  return p.isNew ? decideBack(p, r, at) : 0;
}

/** The answers to a new flow. What comes by an uplink that is down, and would have to be answered by it, is not let in; the router itself answers. */
function decideBack(p: Packet, r: Router, at: number): Verdict {
  const back = backNexthop(p, r);
  const way = p.isLocal || isNeighbourServed(p, r, at) ? back : r.fates.bindBack(p.flow, back);
  r.flows.words[at + ROUTE + 1] = way;
  return leadsNowhere(r, way) ? V.UPLINK_DOWN : 0;
}

/** True for a client on an uplink's own wire that a real server takes: whether the uplink leads anywhere is nothing to them. */
function isNeighbourServed(p: Packet, r: Router, at: number): boolean {
  return r.flows.words[at + INWARD] < NONE && r.links[p.link].isOnLink(p.tuple.s3);
}

/** True for a flow's way by an uplink that is closed now. */
export function leadsNowhere(r: Router, way: number): boolean {
  if (way === NONE || way >= SPRAYED) return false;
  const { uplink, isOpen } = r.nexthops.get(way);
  return uplink !== NONE && !isOpen;
}

/** A packet that has waited for its neighbour: the way it was to go may be closed by now, or its flow go another. */
export function recheck(p: Packet, r: Router): Verdict {
  if (p.uplink === NONE) return 0;
  if (p.flow === NONE) return !p.isOrphan || r.uplinks[p.uplink].isUp ? 0 : V.UPLINK_DOWN;
  const way = r.flows.words[r.flows.at(p.flow) + ROUTE + p.direction];
  if (way === NONE || way >= SPRAYED) return r.uplinks[p.uplink].isUp ? 0 : V.UPLINK_DOWN;
  const { link, isOpen } = r.nexthops.get(way);
  return isOpen && link === p.outLink ? 0 : V.UPLINK_DOWN;
}

/** True for what the box asks a real server from a pinned address (RealServerPlan.pin): it goes as the flows to the server do. */
export function isServerCheck(p: Packet, r: Router): boolean { return r.links[p.link] === r.hostLink && r.serverPins.has(p.tuple.s3); }

/** A flow's own direction: a policy decides, or the FIB. */
function forth(p: Packet, r: Router, at: number): Verdict {
  const bound = p.link !== NONE && r.links[p.link] === r.hostLink ? boundTo(p, r) : null;
  if (bound !== null) return leave(p, r, r.links[bound.link].isOnLink(p.tuple.d3) ? bound.onLink : bound.viaGateway);
  const { policies } = r;
  if (policies.isEmpty || p.link === NONE || isServerCheck(p, r)) return byFib(p, r);
  const number = r.fib.lookup(p.tuple.d3);
  if (number !== NONE && r.routes[number].kind !== 'static') return byRoute(p, r, number);
  if (r.flows.words[at + ORIGINAL_TUPLE + 7] === p.tuple.d3) {
    const policy = policies.find(p.link, p.tuple);
    if (policy !== null && policy.group !== NONE) return byGroup(p, r, r.groups[policy.group], false, policy.asking);
  }
  return number === NONE ? V.NO_ROUTE : byRoute(p, r, number);
}

/**
 * The uplink the box has named by the address it sends from, or null. A pinned one (UplinkPlan.pin) names its uplink whatever policies and routes say; so
 * does an address of an uplink's link for what would leave by some uplink: it bears the right source there and nowhere else. Whether the uplink is
 * usable is not asked: how else is it to be found out that it works again? What is for the router itself stays here.
 */
function boundTo(p: Packet, r: Router): Uplink | null {
  const pinned = r.pins.get(p.tuple.s3);
  const number = r.fib.lookup(p.tuple.d3);
  const kind = number === NONE ? 'static' : r.routes[number].kind;
  if (kind === 'local' || kind === 'broadcast') return null;
  if (pinned !== undefined) return r.uplinks[pinned];
  if (number !== NONE) {
    const { refuse, link } = r.routes[number];
    if (refuse !== 0 || (link !== NONE && r.links[link].uplinks.length === 0)) return null;
  }
  for (const link of r.links) {
    if (link.uplinks.length > 0 && link.hasAddress(p.tuple.s3)) return link.uplinks.find((uplink) => uplink.isUsable) ?? link.uplinks[0];
  }
  return null;
}

/**
 * Answers, and errors, of a flow that decides again. Those to what came in by an uplink or from the box go back by it; the rest is on its way
 * inside.
 */
function back(p: Packet, r: Router, at: number): Verdict {
  if (p.direction === 0) return byFib(p, r);
  const inLink = r.flows.words[at + IN_LINK];
  if (inLink === NONE) return byFib(p, r);
  const link = r.links[inLink];
  if (link === r.hostLink) return leave(p, r, r.hostNexthop);
  if (link.uplinks.length === 0) return byFib(p, r);
  const number = r.flows.words[at + UPLINK];
  const uplink = number !== NONE && r.uplinks[number].link === inLink ? r.uplinks[number] : link.uplinks[0];
  return leave(p, r, link.isOnLink(p.tuple.d3) ? uplink.onLink : uplink.viaGateway);
}

function byFib(p: Packet, r: Router): Verdict {
  const number = r.fib.lookup(p.tuple.d3);
  return number === NONE ? V.NO_ROUTE : byRoute(p, r, number);
}

function byRoute(p: Packet, r: Router, number: number): Verdict {
  const found = r.routes[number];
  if (found.refuse !== 0) return found.refuse;
  if (found.kind === 'local') return local(p, r);
  if (found.group !== NONE) return byGroup(p, r, r.groups[found.group], found.kind === 'connected', null);
  return leave(p, r, r.routeNexthops[number]);
}

/** An uplink of a group. @param isOnLink the destination is in the uplinks' own network. @param asking as in Group.pick. */
function byGroup(p: Packet, r: Router, group: Group, isOnLink: boolean, asking: Asking | null): Verdict {
  if (group.isSprayed && p.flow !== NONE && !isOnLink && group.sprays(asking)) {
    r.flows.words[r.flows.at(p.flow) + ROUTE + p.direction] = SPRAYED + group.index;
    return spray(p, r, group);
  }
  if (p.flow !== NONE && !p.isNew) return again(p, r, group, isOnLink, asking);
  const uplink = group.pick(p.tuple, r.flows.hash(p.tuple), asking, r.nowMs);
  if (uplink === null) return refusal(group);
  const way = isOnLink ? uplink.onLink : uplink.viaGateway;
  return leave(p, r, p.flow === NONE ? way : r.fates.bind(p.flow, group, uplink, way));
}

/** A flow known for some time decides again: it must look to the far end as it has so far. */
function again(p: Packet, r: Router, group: Group, isOnLink: boolean, asking: Asking | null): Verdict {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  const bears = (words[at + FLAGS] & FLAG_SNAT) === 0 ? NONE : words[at + UPLINK];
  if (bears !== NONE) return leave(p, r, r.fates.bind(p.flow, group, r.uplinks[bears], isOnLink ? r.uplinks[bears].onLink : r.uplinks[bears].viaGateway));
  const uplink = group.pick(p.tuple, r.flows.hash(p.tuple), asking, r.nowMs);
  if (uplink === null) return refusal(group);
  const verdict = leave(p, r, r.fates.bind(p.flow, group, uplink, isOnLink ? uplink.onLink : uplink.viaGateway));
  if (verdict !== 0) return verdict;
  const rule = sourceRule(p, r);
  return rule === KEEP || (rule === NO_RULE && uplink.snat.length === 0) ? 0 : V.UPLINK_DOWN;
}

/** No uplink of a group, nor of the groups that are its last resort, is usable. */
function refusal(group: Group): Verdict { return group.isSilent ? V.NO_UPLINK_BLACKHOLE : V.NO_UPLINK; }

/** The flow's packets take turns at the uplinks of a group. */
function spray(p: Packet, r: Router, group: Group): Verdict {
  const uplink = group.spray();
  return uplink === null ? refusal(group) : leave(p, r, uplink.viaGateway);
}

/** Take a nexthop, if it is open. */
function leave(p: Packet, r: Router, number: number): Verdict {
  const nexthop = r.nexthops.get(number);
  p.nexthop = number;
  p.outLink = nexthop.link;
  p.uplink = nexthop.uplink;
  p.setNext(nexthop.gateway === null ? p.tuple.d3 : nexthop.gateway);
  if (nexthop.isOpen) return 0;
  return nexthop.uplink === NONE ? V.LINK_DOWN_OUT : V.UPLINK_DOWN;
}

/** For the router's own address: on to the box's stack where there is a link to it. What the box itself sent does not come back to it, and of virtual addresses, and of a virtual router's that does not accept, it knows nothing. */
function local(p: Packet, r: Router): Verdict {
  p.isLocal = true;
  const host = r.hostLink;
  if (host === null || host.index === p.link || r.onlyVirtual.has(p.tuple.d3) || r.unaccepted.has(p.tuple.d3)) return 0;
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
  const uplink = arrivalUplink(p, r);
  return link.isOnLink(p.tuple.s3) ? uplink.onLink : uplink.viaGateway;
}

/**
 * The uplink a packet has come in by, where a link has several: its flow's, when a NAT rule has named it; else the one that translates to the
 * address it was sent to; else the one whose gateway handed it over; else the first.
 */
export function arrivalUplink(p: Packet, r: Router): Uplink {
  const { uplinks } = r.links[p.link];
  if (uplinks.length === 1) return uplinks[0];
  if (p.flow !== NONE) {
    const uplink = r.flows.words[r.flows.at(p.flow) + UPLINK];
    if (uplink !== NONE && r.uplinks[uplink].link === p.link) return r.uplinks[uplink];
  }
  let meant: Uplink | null = null;
  for (let i = 0; i < uplinks.length && meant === null; i++) if (uplinks[i].snat.includes(p.tuple.d3)) meant = uplinks[i];
  for (let i = 0; i < uplinks.length; i++) {
    if ((meant === null || uplinks[i].snat.includes(p.tuple.d3)) && isFrom(p, r, uplinks[i].gateway)) return uplinks[i];
  }
  return meant ?? uplinks[0];
}

/** True when the frame was sent by the neighbour that has this address. */
function isFrom(p: Packet, r: Router, gateway: number | null): boolean {
  // Put together from fragments it has no frame of its own.
  if (gateway === null || p.frames > 1 || !r.links[p.link].hasEthernet) return false;
  const entry = r.neighbours.find(p.link, 0, 0, V4_MAPPED, gateway);
  return entry !== NONE && r.neighbours.macHigh(entry) === ethernet.sourceHigh(p.view, p.frameAt) && r.neighbours.macLow(entry) === ethernet.sourceLow(p.view, p.frameAt);
}
