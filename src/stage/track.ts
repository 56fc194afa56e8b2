/**
 * track — which flow is it, in which direction? A packet of no known flow opens one, if it may.
 *
 * Reads: the packet's tuple, the flow table. Writes: flow, direction, isNew, isRelated; the flow's state, deadline and counters.
 * Drops: TCP_FLAGS TCP_OUT_OF_WINDOW MIDSTREAM MIDSTREAM_SILENT STRAY_REPLY FETCH_LIMIT STRAY_ERROR ICMP_CHECKSUM ICMP_QUOTE ICMP_QUOTED_FRAGMENT ICMP_REDIRECT ICMP_SOURCE_QUENCH ICMP_TYPE TABLE_FULL SPOOFED_SOURCE MARTIAN_SOURCE.
 *
 * What answers a probe of the router's own (stage/probe.ts) is no flow's, wherever routes would look for its source. Stops with TAKEN.
 *
 * ICMP messages that are no queries are looked at in stage/icmp-error.ts; they never prolong or end a flow (RFC 5508 REQ-6, RFC 4787 REQ-12).
 *
 * Where state is shared with other instances, a packet that may be of a flow of theirs waits until the store has been asked (stage/fetch.ts): HELD. The first
 * packet of a flow that came from them makes it ours as well (stage/adopt.ts).
 *
 * A TCP segment moves its flow's state when it is known to be a part of the connection (table/tcp-window.ts); a strange one passes and moves
 * nothing, except a reset, which is refused. No reset prolongs a flow (RFC 7857 §7.1).
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { UPLINK_RX_PACKETS } from '../table/counters.js';
import { ALG, DEADLINE, FLAG_NO_REFRESH, FLAG_REPLICA, FLAGS, IN_LINK, INWARD, OFFLOADED, ROUTE, servedBy, STATE, UPLINK, WINDOW } from '../table/flow.js';
import { challengedTcp, followingTcp, isIllegal, isOver, nextTcp, reopenedTcp, reopens, STATE_MASK, STATE_NEW, STATE_REPLIED, TCP_ESTABLISHED } from '../table/tcp-state.js';
import { ALG_SLACK, RESET_INSIDE, RESET_OUTSIDE, STRANGE } from '../table/tcp-window.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import { awaken, lessThanReset, tellState } from './adopt.js';
import { fetch } from './fetch.js';
import { relate } from './icmp-error.js';
import { midstream } from './midstream.js';
import { CONSIDER_AT, CONSIDER_PACKETS } from './offload.js';
import type { Router } from './router.js';
import { checkSource } from './source-check.js';
import { timeoutOf } from './timeout.js';
import { countPacket, countState, mustBegin } from './virtual-server.js';

const NONE = -1;
/** In place of a state: the segment is refused. */
const REFUSED = -1;

export function track(p: Packet, r: Router): Verdict {
  if (p.protocol === ip.PROTOCOL_ICMP) {
    if (!icmp.isQuery(p.icmpType)) return relate(p, r);
    if (p.icmpType === icmp.ECHO_REPLY && r.probes.takeEcho(p)) return V.TAKEN;
  }
  const reference = r.flows.find(p.tuple);
  if (reference === NONE) return open(p, r, r.flows.lastHash);
  p.flow = reference >>> 1;
  p.direction = reference & 1;
  const { flows } = r;
  const words = flows.words;
  const at = flows.at(p.flow);
  if (words[at + ALG] <= OFFLOADED) r.offload.catchUp(p.flow);
  const server = servedBy(words[at + INWARD]);
  if (server !== NONE && p.direction === 0) {
    const last = words[at + STATE];
    if (mustBegin(p, r, at)) {
      p.flow = NONE;
      const verdict = open(p, r, flows.hash(p.tuple));
      // Others may know the one before: theirs is not to be taken for this one.
      if (verdict === 0 && p.protocol === ip.PROTOCOL_TCP) words[flows.at(p.flow) + STATE] = followingTcp(last, words[flows.at(p.flow) + STATE]);
      return verdict;
    }
  }
  const uplink = words[at + UPLINK];
  const uplinkLink = uplink === NONE ? NONE : r.uplinks[uplink].link;
  // Whoever knows the addresses and ports could otherwise speak in a flow from the wrong side. Answers by the link their questions leave by need no
  // look: the route to their source has led there. That the flow bears an address of the link's uplink means nothing: it may be turned back inside.
  if (p.direction === 0 ? p.link !== words[at + IN_LINK] : !r.nexthops.leadsBy(words[at + ROUTE], p.link)) {
    const verdict = checkSource(p, r);
    if (verdict !== 0) return verdict;
  }
  const before = words[at + STATE];
  let after = before;
  if (p.protocol === ip.PROTOCOL_TCP) {
    if (isIllegal(p.tcpFlags)) return V.TCP_FLAGS;
    after = moveTcp(p, r, before, words[at + ALG] < 0 ? 0 : ALG_SLACK);
    if (after === REFUSED) return V.TCP_OUT_OF_WINDOW;
  } else if (p.direction === 1 && before === STATE_NEW) {
    after = STATE_REPLIED;
  }
  if (after !== before) {
    if (r.journal !== null) after = lessThanReset(p, r, at, before, after);
    words[at + STATE] = after;
    if (server !== NONE) countState(r, server, before, after);
    if (p.protocol === ip.PROTOCOL_TCP) {
      if (words[at + ALG] <= OFFLOADED) r.offload.release(p.flow);
      if ((after & STATE_MASK) === TCP_ESTABLISHED) r.offload.consider(p.flow);
    }
    if (r.journal !== null) tellState(r, p.flow, at, before, after);
  }
  if (server !== NONE) countPacket(p, r, at, server);
  // RFC 4787 REQ-6: packets from outside do not prolong it either, where the uplink says so.
  const restraint = words[at + FLAGS] & ((FLAG_NO_REFRESH << p.direction) | FLAG_REPLICA);
  if (restraint === 0) {
    prolong(p, r, at, before, after);
  } else if ((restraint & FLAG_REPLICA) !== 0) {
    after = awaken(p, r, at, server);
    if ((restraint & ~FLAG_REPLICA) === 0) prolong(p, r, at, before, after);
  }
  const count = flows.account(p.flow, p.direction, p.end - p.ipAt);
  if ((count & (CONSIDER_PACKETS - 1)) === 0 || (count === CONSIDER_AT && p.protocol === ip.PROTOCOL_UDP)) r.offload.consider(p.flow);
  if (p.link === uplinkLink) {
    r.counters.countUplinkPacket(uplink, UPLINK_RX_PACKETS, p.end - p.ipAt);
  }
  return 0;
}

/** The state after a segment, its windows moved; or REFUSED. */
function moveTcp(p: Packet, r: Router, before: number, slack: number): number {
  const at = r.flows.at(p.flow);
  const window = r.flows.words[at + WINDOW];
  const isOffloaded = r.flows.words[at + ALG] <= OFFLOADED;
  if (isOffloaded) r.offload.bring(at);
  if (reopens(before, p.tcpFlags)) {
    r.windows.open(window, p, p.direction);
    return reopenedTcp(before, p.tcpFlags, p.direction);
  }
  const found = r.windows.judge(window, p, p.direction, slack);
  if (isOffloaded) r.offload.settle(at);
  switch (found) {
    case STRANGE: return before;
    case RESET_INSIDE: return challengedTcp(before);
    case RESET_OUTSIDE: return REFUSED;
    default: return nextTcp(before, p.tcpFlags, p.direction);
  }
}

/** The packet keeps its flow alive, as long as its state allows. */
function prolong(p: Packet, r: Router, at: number, before: number, after: number): void {
  const { flows } = r;
  const timeout = timeoutOf(p.protocol, after, r.timeouts);
  if (p.protocol === ip.PROTOCOL_TCP) {
    // RFC 7857 §7.1: a reset may shorten, never prolong, what it ends.
    if (p.tcpFlags & RST) {
      if (flows.words[at + DEADLINE] - r.tick <= timeout) return;
    } else if (isOver(before) && ((after ^ before) & STATE_MASK) === 0) {
      // RFC 5382 REQ-5: nothing prolongs what is over, unless it begins anew.
      return;
    }
  }
  flows.refresh(p.flow, r.tick, timeout);
}

/** @param hash that of the packet's tuple. */
function open(p: Packet, r: Router, hash: number): Verdict {
  if (p.protocol === ip.PROTOCOL_UDP) {
    if (r.probes.takeDatagram(p)) return V.TAKEN;
    if (r.probes.isLate(p)) return V.STRAY_REPLY;
  }
  const verdict = checkSource(p, r);
  if (verdict !== 0) return verdict;
  if (r.fetches !== null) {
    const waits = fetch(p, r, r.fetches);
    if (waits !== 0) return waits;
  }
  if (p.protocol === ip.PROTOCOL_TCP) {
    if (isIllegal(p.tcpFlags)) return V.TCP_FLAGS;
    if ((p.tcpFlags & (SYN | ACK | RST)) !== SYN) {
      const refusal = midstream(p, r);
      if (refusal !== 0) return refusal;
    }
  }
  if (p.protocol === ip.PROTOCOL_ICMP && !icmp.isRequest(p.icmpType)) return V.STRAY_REPLY;
  const flow = r.flows.open(p.tuple, p.link, r.epoch, hash);
  if (flow === NONE) return V.TABLE_FULL;
  if (p.protocol === ip.PROTOCOL_TCP) {
    const at = r.flows.at(flow);
    r.flows.words[at + STATE] = nextTcp(STATE_NEW, p.tcpFlags, 0);
    // Only lent until `confirm` takes flow and window.
    const window = r.windows.candidate;
    r.flows.words[at + WINDOW] = window;
    r.windows.open(window, p, 0);
  }
  p.flow = flow;
  p.isNew = true;
  return 0;
}
