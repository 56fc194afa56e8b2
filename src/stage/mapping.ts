/**
 * Mappings of new flows (RFC 4787 §4, §5): `map` gives a flow that leaves its external address and port, `inward` lets one in through a
 * mapping that exists; asked by `snat` and `dnat` once per flow. `hold` counts what a confirmed flow uses, `giveBack` ends that. Not stages
 * of the path.
 *
 * Endpoint-independent, an inside endpoint has one external port towards everybody; dependent, one per far endpoint; exclusive either way. The
 * stated exception, when an address has no port left: with `whenExhausted: share` a new flow bears a port that others bear too, towards
 * other destinations (RFC 7857 §3). It holds no mapping then; its answers are told apart by its whole tuple, and nothing else is let
 * in for it. That makes a resting port as good as any for it, while a new mapping never gets one early (RFC 6888 REQ-8). With `refuse` it
 * is NO_PORT.
 *
 * Other instances may translate to the same address at the same time. Its ports are leased then, and whatever makes an external address and port here makes it
 * of a port of a block of ours (table/port-lease.ts): a mapping, a shared port, another one for a flow that clashes. What cannot be told apart by a port,
 * for its protocol has none, and what the box itself sends, which no other instance can answer for, bears the link's own address instead of one
 * that is not this instance's alone.
 *
 * Filtering is about who is outside. What inside hosts send to each other's external addresses (hairpin) always finds its mapping.
 */
import { finish, mix } from '../base/hash.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { Uplink } from '../balance/uplink.js';
import { UPLINK_FLOWS, UPLINK_PORTS_REFUSED, UPLINK_PORTS_SHARED, UPLINK_PORTS_USED } from '../table/counters.js';
import {
  FLAG_COUNTED, FLAG_NO_REFRESH, FLAG_PAIRED, FLAG_PERMIT, FLAG_SHARED, FLAG_SNAT, FLAGS, IN_LINK, INWARD, MAPPING, REPLY_TUPLE, STATE, UPLINK,
} from '../table/flow.js';
import type { PortPool } from '../table/port-pool.js';
import { STATE_MASK, TCP_TIME_WAIT } from '../table/tcp-state.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import type { Tuple } from '../wire/tuple.js';
import { arrivalUplink } from './route.js';
import type { Router } from './router.js';

/** `acquire`'s answer when the inside address has as many ports as it may. */
export const LIMITED = -2;
/** Ports tried at random before a flow is told that none can be shared, or that it clashes. */
const PROBES = 16;
/** And where the port is the link's own address's. */
const OWN_PROBES = 64;
/** Of the flows an inside address may have, the part that may come from outside: strangers must not use up what the host itself needs. */
const INWARD_PART = 0.5;
/** Flags of a flow that counts somewhere besides its mapping. */
const COUNTS = FLAG_SHARED | FLAG_PERMIT | FLAG_COUNTED | FLAG_PAIRED;

/** Give a new flow the external address and port of its uplink: the one it leaves by, or the one that turns it back inside. */
export function map(p: Packet, r: Router): Verdict {
  const uplink = r.uplinks[p.uplink === NONE ? p.hairpin : p.uplink];
  const { snat: addresses } = uplink;
  if (addresses.length === 0) return 0;
  if (r.links[p.link] === r.hostLink && isCommon(r, addresses[0]) && bearOwn(p, r) === 0) return 0;
  if (firstPlace(r, p.tuple, uplink) === NONE) return V.NOT_MASTER;
  if (r.mappings.poolOf(addresses[0], p.protocol) === NONE) {
    const address = addresses[firstPlace(r, p.tuple, uplink)];
    if (r.mappings.leases !== null && r.mappings.leases.isLeased(address)) return bearOwn(p, r);
    p.rewriteSource(address, 0);
    return 0;
  }
  const mapping = acquire(r, p.tuple, uplink);
  if (mapping === LIMITED) return V.SOURCE_PORTS;
  if (mapping !== NONE) {
    p.mapping = mapping;
    bear(p, r, mapping);
    return 0;
  }
  const verdict = uplink.sharesPorts ? share(p, r, uplink) : V.NO_PORT;
  if (verdict === V.NO_PORT) r.counters.addUplink(uplink.index, UPLINK_PORTS_REFUSED, 1);
  return verdict;
}

/** True for an address that other instances use as well: at the same time (leased), or in turn (elected). */
export function isCommon(r: Router, address: number): boolean {
  return (r.mappings.leases !== null && r.mappings.leases.isLeased(address)) || r.elected.ownerOf(address) !== NONE;
}

/** What the box sends from a pinned address always leaves with an address of the uplink: where flows are not translated with its link's own. */
export function mapPinned(p: Packet, r: Router): Verdict {
  return p.uplink !== NONE && r.uplinks[p.uplink].snat.length > 0 ? map(p, r) : bearOwn(p, r);
}

/**
 * The link's own address, with the port the flow has unless that is taken towards this very destination. It holds no mapping, for nobody else is let in by it:
 * so there are as many ports as it has for each real server. Tried at random: with nine in ten taken towards one server, one flow in a thousand finds none.
 */
export function bearOwn(p: Packet, r: Router): Verdict {
  const address = r.links[p.outLink].addressTowards(p.next3);
  return address !== 0 && findPort(p, r, address, p.tuple.sourcePort) ? 0 : V.NO_PORT;
}

/** Give the packet this source with a port nothing else has towards its destination, `wanted` if it may be. */
function findPort(p: Packet, r: Router, address: number, wanted: number): boolean {
  const hasPorts = p.protocol === ip.PROTOCOL_TCP || p.protocol === ip.PROTOCOL_UDP || p.protocol === ip.PROTOCOL_ICMP;
  const { limits } = r.plan;
  let port = wanted;
  for (let i = 0; i < (hasPorts ? OWN_PROBES : 1); i++) {
    if (isFree(p, r, address, port) && !r.probes.uses(address, p.protocol, port)) {
      p.rewriteSource(address, port);
      return true;
    }
    port = limits.snatPortFirst + r.random.below(limits.snatPortLast - limits.snatPortFirst + 1);
  }
  return false;
}

/**
 * The mapping on an uplink of the tuple's source (towards its destination, where mapping is dependent), made if there is none, with one use
 * more: `release` gives it back. On `external`, one of the uplink's addresses, where that is given. NONE when no port is free, LIMITED when
 * the source may have no more.
 */
export function acquire(r: Router, tuple: Tuple, uplink: Uplink, external = 0): number {
  const { mappings } = r;
  const { snat: addresses } = uplink;
  const { s0, s1, s2, s3 } = tuple;
  const count = addresses.length;
  const given = external === 0 ? NONE : addresses.indexOf(external);
  const first = given === NONE ? firstPlace(r, tuple, uplink) : given;
  if (first === NONE) return NONE;
  // A paired host stays with its address (RFC 4787 REQ-2), whatever room there is elsewhere.
  const tries = given === NONE && count > 1 && mappings.pairings.find(uplink.index, s0, s1, s2, s3) === NONE ? count : 1;
  for (let i = 0; i < tries; i++) {
    const place = first + i < count ? first + i : first + i - count;
    if (!r.elected.isEmpty && !r.elected.mayPromise(addresses[place])) continue;
    const number = mappings.poolOf(addresses[place], tuple.protocol);
    const pool = mappings.pool(number);
    let port = pool.find(tuple, uplink.isDependent);
    if (port !== NONE && pool.isLive(port)) {
      pool.retain(port, uplink.index);
      return (number << 16) | port;
    }
    // What a health check needs is no host's to be limited in.
    if (!mappings.sourcePorts.hasRoom(s0, s1, s2, s3) && !r.pins.has(s3)) return LIMITED;
    if (port !== NONE && pool.isUsable(port)) {
      // It rests, and its own endpoint may have it back.
      pool.retain(port, uplink.index);
    } else {
      port = pool.pick(tuple.sourcePort, s3, !isServedPort(r, addresses[place], tuple), r.tick);
      if (port === NONE) {
        pool.exhausted++;
        if (pool.isLeased) askForPorts(r, pool, addresses[place]);
        continue;
      }
      pool.take(port, tuple, uplink.isDependent, uplink.index);
    }
    begin(r, pool, number, port, uplink, place);
    return (number << 16) | port;
  }
  return NONE;
}

/**
 * True for a UDP port at which a virtual server listens. A real server goes on speaking for a while after its flows were let go (stage/fate.ts); given the
 * very address and port its client asks, that would be a flow which the client's next packet belongs to: it would stick to the dead.
 */
function isServedPort(r: Router, address: number, { protocol, sourcePort }: Tuple): boolean {
  return protocol === ip.PROTOCOL_UDP && r.virtualServers.addresses.find(address, protocol, sourcePort) !== NONE;
}

/** One use of a mapping less. `isClean`: nothing can be under way to it on that account, so its port need not rest. */
export function release(r: Router, mapping: number, isClean: boolean): void {
  const pool = r.mappings.pool(mapping >>> 16);
  const port = mapping & 0xffff;
  if (!pool.release(port, r.tick, isClean)) return;
  const uplink = r.uplinks[pool.owner(port)];
  const a0 = pool.address(port, 0), a1 = pool.address(port, 1), a2 = pool.address(port, 2), a3 = pool.address(port, 3);
  r.counters.addUplink(uplink.index, UPLINK_PORTS_USED, -1);
  r.mappings.sourcePorts.drop(a0, a1, a2, a3);
  if (uplink.snat.length > 1) r.mappings.pairings.drop(uplink.index, a0, a1, a2, a3);
}

/**
 * Turn a new flow to an external address inside, when its port is mapped and the sender may use the mapping: a TCP opening or UDP from
 * outside by the uplink's own link, as filtering says (RFC 4787 REQ-8, RFC 5382 REQ-3), or anything such from inside (REQ-9).
 */
export function inward(p: Packet, r: Router): void {
  const { tuple } = p;
  const named = r.mappings.uplinkOf(tuple.d3);
  if (named === NONE) return;
  if (p.protocol === ip.PROTOCOL_TCP ? (p.tcpFlags & (SYN | ACK | RST)) !== SYN : p.protocol !== ip.PROTOCOL_UDP) return;
  const poolNumber = r.mappings.poolOf(tuple.d3, p.protocol);
  const pool = r.mappings.pool(poolNumber);
  const port = tuple.ports & 0xffff;
  if (!pool.isLive(port)) return;
  const mapping = (poolNumber << 16) | port;
  // Several uplinks of the link may translate to this address.
  const number = r.uplinks[named].link === p.link ? arrivalUplink(p, r).index : named;
  const uplink = r.uplinks[number];
  if (uplink.link !== p.link) {
    // What comes in by another uplink is not for this one's address.
    if (r.links[p.link].uplinks.length > 0) return;
    p.hairpin = number;
  } else if (!lets(r, uplink, mapping, tuple)) {
    return;
  }
  const { words } = r.flows;
  words[r.flows.at(p.flow) + INWARD] = mapping;
  words[r.flows.at(p.flow) + UPLINK] = number;
  p.rewriteDestination(pool.address(port, 3), pool.internalPort(port));
}

/** May the tuple's source, outside, send to a mapping? Who may under address-and-port-dependent filtering is already a flow. */
function lets(r: Router, uplink: Uplink, mapping: number, tuple: Tuple): boolean {
  switch (uplink.filtering) {
    case 'endpoint-independent': return true;
    case 'address-dependent': return r.mappings.permissions.allows(mapping, tuple.s0, tuple.s1, tuple.s2, tuple.s3);
    case 'address-and-port-dependent': return false;
  }
}

/**
 * Another port for a new flow whose answers would be another flow's: one of the router's own, or one that shares its port. A mapping that is
 * only this flow's moves; one that others use cannot, so there the flow shares a port, where sharing is allowed. A flow without a mapping that
 * a rule has turned inside keeps its source's address and gets another port of it: one endpoint may call a server by two of its
 * external names, or by two virtual servers. False: it clashes for good.
 */
export function remap(p: Packet, r: Router): boolean {
  if (p.mapping === NONE) return moveSource(p, r);
  const number = p.mapping >>> 16;
  const pool = r.mappings.pool(number);
  const had = p.mapping & 0xffff;
  const isOwn = pool.users(had) === 1 && !pool.isFixed(had);
  const uplink = r.uplinks[pool.owner(had)];
  undo(p, r);
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  const internal = words[at + 8] >>> 16;
  for (let i = 0; isOwn && i < PROBES; i++) {
    const port = pool.pick(internal, words[at + 3], false, r.tick);
    if (port === NONE) break;
    const address = p.tuple.s3;
    if (!isFree(p, r, address, port)) continue;
    const inside = r.spare;
    inside.load(words, at);
    inside.d0 = p.tuple.d0; inside.d1 = p.tuple.d1; inside.d2 = p.tuple.d2; inside.d3 = p.tuple.d3;
    inside.ports = (internal << 16) | (p.tuple.ports & 0xffff);
    pool.take(port, inside, uplink.isDependent, uplink.index);
    begin(r, pool, number, port, uplink, uplink.snat.indexOf(address));
    p.mapping = (number << 16) | port;
    bear(p, r, p.mapping);
    return true;
  }
  return uplink.sharesPorts && share(p, r, uplink) === 0;
}

/** As in `remap`, for a flow that comes in by a rule or is served; what an ALG expects has its port from whom it expects. */
function moveSource(p: Packet, r: Router): boolean {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (p.protocol !== ip.PROTOCOL_TCP && p.protocol !== ip.PROTOCOL_UDP) return false;
  const isMoved = words[at + 7] !== p.tuple.d3 && words[at + 3] === p.tuple.s3;
  if (p.expected !== NONE || (!isMoved && !isServed(p, r))) return false;
  return findPort(p, r, p.tuple.s3, p.tuple.sourcePort);
}

/** Room for one more flow of its inside address? Flows that end at the router, and the box's own, are nobody's. */
export function mayOpen(p: Packet, r: Router): boolean {
  const { sourceFlows } = r.mappings;
  if (sourceFlows.limit === 0) return true;
  const link = r.links[p.link];
  if (link === r.hostLink) return true;
  const { tuple } = p;
  // A real server has limits of its own.
  if (link.uplinks.length > 0 && isServed(p, r)) return true;
  if (link.uplinks.length > 0) return p.isLocal || sourceFlows.hasRoom(tuple.d0, tuple.d1, tuple.d2, tuple.d3, INWARD_PART);
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  return sourceFlows.hasRoom(words[at], words[at + 1], words[at + 2], words[at + 3]);
}

/** Count what a flow that has just been confirmed uses. */
export function hold(p: Packet, r: Router): void {
  const { mappings } = r;
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (mappings.sourceFlows.limit !== 0) holdSource(p, r, at);
  const through = words[at + INWARD];
  if (through >= 0) mappings.pool(through >>> 16).retain(through & 0xffff, words[at + UPLINK]);
  if (words[at + UPLINK] === NONE) return;
  const uplink = r.uplinks[words[at + UPLINK]];
  r.counters.addUplink(uplink.index, UPLINK_FLOWS, 1);
  // RFC 4787 REQ-6: whether the far end's packets prolong a flow; between two inside hosts no end is the far one. What does not leave by
  // an uplink was let in from there. Who asks a virtual server is to be heard.
  if (through >= NONE && !uplink.refreshesInbound && p.protocol === ip.PROTOCOL_UDP && p.hairpin === NONE) words[at + FLAGS] |= FLAG_NO_REFRESH << (p.uplink === NONE ? 0 : 1);
  const isMapped = words[at + MAPPING] !== NONE && (words[at + FLAGS] & FLAG_SHARED) === 0;
  if (isMapped) {
    const { d0, d1, d2, d3 } = p.tuple;
    if (uplink.filtering === 'address-dependent' && p.hairpin === NONE && mappings.permissions.grant(words[at + MAPPING], d0, d1, d2, d3)) {
      words[at + FLAGS] |= FLAG_PERMIT;
    }
    return;
  }
  if ((words[at + FLAGS] & FLAG_SNAT) === 0 || (through < NONE && words[at + MAPPING] === NONE)) return;
  const s0 = words[at], s1 = words[at + 1], s2 = words[at + 2], s3 = words[at + 3];
  if (words[at + MAPPING] !== NONE) {
    mappings.sourcePorts.add(s0, s1, s2, s3);
    mappings.pool(words[at + MAPPING] >>> 16).countShared(words[at + MAPPING] & 0xffff, 1);
  }
  const place = uplink.snat.length > 1 ? uplink.snat.indexOf(p.tuple.s3) : NONE;
  if (place !== NONE && mappings.pairings.add(uplink.index, s0, s1, s2, s3, place)) words[at + FLAGS] |= FLAG_PAIRED;
}

function isServed(p: Packet, r: Router): boolean { return r.flows.words[r.flows.at(p.flow) + INWARD] < NONE; }

function holdSource(p: Packet, r: Router, at: number): void {
  const { words } = r.flows;
  const link = r.links[p.link];
  if (link === r.hostLink || (link.uplinks.length > 0 && (p.isLocal || isServed(p, r)))) return;
  const who = insideAt(r, at);
  if (r.mappings.sourceFlows.add(words[who], words[who + 1], words[who + 2], words[who + 3])) words[at + FLAGS] |= FLAG_COUNTED;
}

/** What a new flow has taken so far, when it is refused after all. */
export function undo(p: Packet, r: Router): void {
  const at = r.flows.at(p.flow);
  if (p.mapping !== NONE) release(r, p.mapping, true);
  p.mapping = NONE;
  r.flows.words[at + MAPPING] = NONE;
}

/** Give back what a flow held, for it has ended. */
export function giveBack(r: Router, flow: number): void {
  const { words } = r.flows;
  const at = r.flows.at(flow);
  const uplink = words[at + UPLINK];
  if (uplink !== NONE) r.counters.addUplink(uplink, UPLINK_FLOWS, -1);
  if ((words[at + FLAGS] & COUNTS) !== 0) giveBackCounts(r, at);
  // After a full close nothing comes any more (RFC 6888 REQ-8 asks nothing of ports whose TCP state is tracked); of the rest that is not known.
  const isClean = words[at + 9] === ip.PROTOCOL_TCP && (words[at + STATE] & STATE_MASK) === TCP_TIME_WAIT;
  const mapping = words[at + MAPPING];
  if (mapping !== NONE && (words[at + FLAGS] & FLAG_SHARED) === 0) release(r, mapping, isClean);
  const through = words[at + INWARD];
  if (through >= 0) release(r, through, isClean);
}

function giveBackCounts(r: Router, at: number): void {
  const { words } = r.flows;
  const { mappings } = r;
  const flags = words[at + FLAGS];
  const s0 = words[at], s1 = words[at + 1], s2 = words[at + 2], s3 = words[at + 3];
  if (flags & FLAG_SHARED) {
    mappings.sourcePorts.drop(s0, s1, s2, s3);
    mappings.pool(words[at + MAPPING] >>> 16).countShared(words[at + MAPPING] & 0xffff, -1);
  }
  if (flags & FLAG_PAIRED) mappings.pairings.drop(words[at + UPLINK], s0, s1, s2, s3);
  if (flags & FLAG_PERMIT) {
    const far = at + REPLY_TUPLE;
    mappings.permissions.revoke(words[at + MAPPING], words[far], words[far + 1], words[far + 2], words[far + 3]);
  }
  if (flags & FLAG_COUNTED) {
    const who = insideAt(r, at);
    mappings.sourceFlows.drop(words[who], words[who + 1], words[who + 2], words[who + 3]);
  }
}

/** Where in a confirmed flow's entry the inside address stands that it counts for: who is called from outside, or who calls. */
export function insideAt(r: Router, at: number): number {
  return r.links[r.flows.words[at + IN_LINK]].uplinks.length > 0 ? at + REPLY_TUPLE : at;
}

/** Place in the uplink's addresses to begin with: the one the inside host is paired with, or one by hash, so that hosts spread; the next of those by which something may be promised, where some are a virtual router's. NONE: there is none. */
function firstPlace(r: Router, tuple: Tuple, uplink: Uplink): number {
  const first = wantedPlace(r, tuple, uplink);
  if (r.elected.isEmpty) return first;
  const count = uplink.snat.length;
  for (let i = 0; i < count; i++) {
    const place = (first + i) % count;
    if (r.elected.mayPromise(uplink.snat[place])) return place;
  }
  return NONE;
}

function wantedPlace(r: Router, tuple: Tuple, uplink: Uplink): number {
  const count = uplink.snat.length;
  if (count === 1) return 0;
  const paired = r.mappings.pairings.find(uplink.index, tuple.s0, tuple.s1, tuple.s2, tuple.s3);
  return paired !== NONE ? paired : (finish(mix(r.plan.seed, tuple.s3)) >>> 0) % count;
}

/** A mapping has come to life: count it, and tell when its pool runs low. */
function begin(r: Router, pool: PortPool, number: number, port: number, uplink: Uplink, place: number): void {
  const a0 = pool.address(port, 0), a1 = pool.address(port, 1), a2 = pool.address(port, 2), a3 = pool.address(port, 3);
  r.counters.addUplink(uplink.index, UPLINK_PORTS_USED, 1);
  r.mappings.sourcePorts.add(a0, a1, a2, a3);
  if (uplink.snat.length > 1) r.mappings.pairings.add(uplink.index, a0, a1, a2, a3, place);
  if (pool.isLeased) askForPorts(r, pool, uplink.snat[place]);
  const percent = pool.reached(r.tick);
  if (percent > 0) {
    const { occupied, resting } = pool;
    r.notify({ event: 'portsLow', uplink: uplink.name, ...r.mappings.describe(number), percent, used: occupied - resting, resting, total: pool.size });
  }
}

/** Leased ports have become few: the share worker is told at once, rather than find out. */
function askForPorts(r: Router, pool: PortPool, address: number): void {
  if (r.mappings.leases === null || r.journal === null || !r.mappings.leases.isScarce(address, pool)) return;
  r.journal.ports(address, pool.occupied, pool.free);
}

/**
 * One use more of this very port of an external address for the tuple's source, for a flow that another instance began: whoever's block it is in. The
 * mapping, to be given back by `release`; NONE: here something else is mapped to it, or the address is none of the uplink's.
 */
export function claim(r: Router, tuple: Tuple, uplink: Uplink, external: number, port: number): number {
  const number = r.mappings.poolOf(external, tuple.protocol);
  const place = uplink.snat.indexOf(external);
  if (number === NONE || place === NONE) return NONE;
  const pool = r.mappings.pool(number);
  const claimed = pool.claim(port, tuple, uplink.isDependent, uplink.index);
  if (claimed === 0) return NONE;
  if (claimed === 2) begin(r, pool, number, port, uplink, place);
  return (number << 16) | port;
}

/**
 * A port of the inside host's address that is free towards this destination alone (RFC 7857 §3). Tried at random, for the whole tuple decides: with
 * most of them taken towards one and the same destination it may not be found.
 */
function share(p: Packet, r: Router, uplink: Uplink): Verdict {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (!r.mappings.sourcePorts.hasRoom(words[at], words[at + 1], words[at + 2], words[at + 3])) return V.SOURCE_PORTS;
  const inside = r.spare;
  inside.load(words, at);
  const place = firstPlace(r, inside, uplink);
  if (place === NONE) return V.NOT_MASTER;
  const address = uplink.snat[place];
  const number = r.mappings.poolOf(address, p.protocol);
  const pool = r.mappings.pool(number);
  for (let i = 0; i < PROBES; i++) {
    // Parity is a wish (RFC 4787 REQ-4), a port is not.
    const port = pool.any(inside.sourcePort, i < PROBES / 2);
    if (port === NONE || !isFree(p, r, address, port)) continue;
    pool.shared++;
    r.counters.addUplink(uplink.index, UPLINK_PORTS_SHARED, 1);
    words[at + FLAGS] |= FLAG_SHARED;
    bear(p, r, (number << 16) | port);
    return 0;
  }
  return V.NO_PORT;
}

/** True when no flow has the tuple this packet's answers would have, were it to leave with that source. */
function isFree(p: Packet, r: Router, address: number, port: number): boolean {
  const reply = r.quoted;
  reply.invert(p.tuple);
  reply.d3 = address;
  reply.ports = (reply.ports & ~0xffff) | port;
  return r.flows.find(reply) === NONE;
}

/** The flow's packets bear a mapping's address and port from now on. */
function bear(p: Packet, r: Router, mapping: number): void {
  r.flows.words[r.flows.at(p.flow) + MAPPING] = mapping;
  p.rewriteSource(r.mappings.addressOf(mapping), mapping & 0xffff);
}
