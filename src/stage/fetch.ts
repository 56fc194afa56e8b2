/**
 * fetch — packets of flows that are not known here, and may be known elsewhere. Not a stage of the path: `track` asks it before it refuses such a packet or
 * opens a flow for it; `housekeep` sends on those whose answer has come, or whose time is over.
 *
 *   track ──unknown──▶ waits, FETCH in the journal ──▶ RECORD, FETCHED ──▶ through track again: known now
 *                        │                              FETCHED, not found ─┐
 *                        └── share.holdMs over, or the store is away ───────┴──▶ through track again: what it says without a store
 *
 * May be of another's flow: TCP that is in the middle of something, and what comes to an address we translate to together with others (leased or
 * elected), at a port out of which flows are translated and which nothing here explains. All else is ours to decide. The same tuple is asked for once, however
 * many of its packets wait. While the store cannot be asked nothing waits.
 *
 * Drops: FETCH_LIMIT.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { FETCH_ASKED, FETCH_FOUND, FETCH_LATE, FETCH_NOT_FOUND, FETCH_REFUSED, FETCH_WAITING } from '../table/counters.js';
import { ANSWER_FOUND, ANSWER_LATE } from '../table/held-fetch.js';
import type { HeldFetches } from '../table/held-fetch.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import { isCommon } from './mapping.js';
import type { Router } from './router.js';

/** A packet of no flow: HELD when it waits, FETCH_LIMIT when it may not; 0 = it is ours to decide about. */
export function fetch(p: Packet, r: Router, fetches: HeldFetches): Verdict {
  if (fetches.isReleasing || r.replicas === null || !r.replicas.isUsable || !mayBeOthers(p, r)) return 0;
  const token = fetches.put(p, r.nowMs);
  if (token === NONE) {
    r.counters.addSharing(FETCH_REFUSED, 1);
    return V.FETCH_LIMIT;
  }
  if (fetches.isAsked) {
    r.counters.addSharing(FETCH_ASKED, 1);
    // With the journal full nobody hears of it: it is as if the answer were late already.
    if (r.journal === null || !r.journal.fetch(token, p.tuple)) fetches.expire(token);
  }
  r.counters.setSharing(FETCH_WAITING, fetches.count);
  return V.HELD;
}

function mayBeOthers(p: Packet, r: Router): boolean {
  // What another router has the address of goes on to that one.
  if (!r.elected.isEmpty && !r.elected.holds(p.tuple.d3)) return false;
  switch (p.protocol) {
    case ip.PROTOCOL_TCP: return (p.tcpFlags & (SYN | ACK | RST)) !== SYN && !isOurs(p, r);
    case ip.PROTOCOL_ICMP: return !icmp.isRequest(p.icmpType) && isUnexplained(p, r);
    case ip.PROTOCOL_UDP: return isUnexplained(p, r);
    default: return false;
  }
}

/** TCP between the router or its box and somebody: nobody else has such flows. */
function isOurs(p: Packet, r: Router): boolean {
  return r.links[p.link] === r.hostLink || (r.isOwnAddress(p.tuple.d3) && !isCommon(r, p.tuple.d3) && r.mappings.uplinkOf(p.tuple.d3) === NONE && !r.virtualServers.addresses.has(p.tuple.d3));
}

function isUnexplained(p: Packet, r: Router): boolean {
  const { tuple, protocol } = p;
  const port = tuple.ports & 0xffff;
  if (!isCommon(r, tuple.d3)) return false;
  const pool = r.mappings.poolOf(tuple.d3, protocol);
  if (pool === NONE || !r.mappings.pool(pool).isInRange(port) || r.mappings.pool(pool).isLive(port)) return false;
  return r.virtualServers.addresses.find(tuple.d3, protocol, port) === NONE && !r.natRules.find(p.link, tuple.d3, protocol, port);
}

/** Take the next packet whose wait is over back into the arena; false when there is none, or no room for it in this turn. */
export function releaseFetched(p: Packet, r: Router, fetches: HeldFetches): boolean {
  const length = fetches.nextLength(r.nowMs);
  if (length === NONE) return false;
  const at = r.exchange.allocate(length);
  if (at < 0) return false;
  const answer = fetches.load(p, at);
  if (fetches.isLast) r.counters.addSharing(answer === ANSWER_FOUND ? FETCH_FOUND : answer === ANSWER_LATE ? FETCH_LATE : FETCH_NOT_FOUND, 1);
  r.counters.addVerdict(p.link, V.HELD, -p.frames);
  r.counters.setSharing(FETCH_WAITING, fetches.count);
  return true;
}
