/**
 * track — which flow is it, in which direction? A packet of no known flow opens one, if it may.
 *
 * Reads: the packet's tuple, the flow table. Writes: flow, direction, isNew, isRelated; the flow's state, deadline and counters.
 * Drops: MIDSTREAM STRAY_REPLY STRAY_ERROR ICMP_CHECKSUM TABLE_FULL SPOOFED_SOURCE MARTIAN_SOURCE.
 *
 * An ICMP error belongs to the flow of the packet it quotes and travels in the direction in which that packet's answers would. It never
 * prolongs or ends the flow (RFC 5508 REQ-6, RFC 4787 REQ-12).
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { UPLINK_RX_BYTES, UPLINK_RX_PACKETS } from '../table/counters.js';
import { FLAG_NO_REFRESH, FLAGS, IN_LINK, STATE, UPLINK } from '../table/flow.js';
import { isOver, nextTcp, STATE_NEW, STATE_REPLIED } from '../table/tcp-state.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import { quotedTuple } from './icmp-error.js';
import type { Router } from './router.js';
import { checkSource } from './source-check.js';
import { timeoutOf } from './timeout.js';

const NONE = -1;

export function track(p: Packet, r: Router): Verdict {
  if (p.protocol === ip.PROTOCOL_ICMP && icmp.isError(p.icmpType)) return trackError(p, r);
  const reference = r.flows.find(p.tuple);
  if (reference === NONE) return open(p, r);
  p.flow = reference >>> 1;
  p.direction = reference & 1;
  const { flows } = r;
  const words = flows.words;
  const at = flows.at(p.flow);
  const uplink = words[at + UPLINK];
  const uplinkLink = uplink === NONE ? NONE : r.uplinks[uplink].link;
  // Whoever knows the addresses and ports could otherwise speak in a flow from the wrong side.
  if (p.link !== (p.direction === 0 ? words[at + IN_LINK] : uplinkLink)) {
    const verdict = checkSource(p, r);
    if (verdict !== 0) return verdict;
  }
  const before = words[at + STATE];
  let after = before;
  if (p.protocol === ip.PROTOCOL_TCP) {
    after = nextTcp(before, p.tcpFlags, p.direction);
  } else if (p.direction === 1 && before === STATE_NEW) {
    after = STATE_REPLIED;
  }
  if (after !== before) words[at + STATE] = after;
  // RFC 7857 §7.1 and RFC 5382 REQ-5: a reset does not prolong what it ends, and nothing prolongs what is over.
  // RFC 4787 REQ-6: nor do packets from outside, where the uplink says so.
  if ((after !== before || !(p.protocol === ip.PROTOCOL_TCP && isOver(before))) && (words[at + FLAGS] & (FLAG_NO_REFRESH << p.direction)) === 0) {
    flows.refresh(p.flow, r.tick, timeoutOf(p.protocol, after, r.plan.timeouts));
  }
  flows.account(p.flow, p.direction, p.end - p.ipAt);
  if (p.link === uplinkLink) {
    r.counters.addUplink(uplink, UPLINK_RX_PACKETS, 1);
    r.counters.addUplink(uplink, UPLINK_RX_BYTES, p.end - p.ipAt);
  }
  return 0;
}

function open(p: Packet, r: Router): Verdict {
  const verdict = checkSource(p, r);
  if (verdict !== 0) return verdict;
  if (p.protocol === ip.PROTOCOL_TCP && (p.tcpFlags & (SYN | ACK | RST)) !== SYN && !mayPickUp(p, r)) return V.MIDSTREAM;
  if (p.protocol === ip.PROTOCOL_ICMP && !icmp.isRequest(p.icmpType)) return V.STRAY_REPLY;
  const flow = r.flows.open(p.tuple, p.link, r.plan.generation);
  if (flow === NONE) return V.TABLE_FULL;
  if (p.protocol === ip.PROTOCOL_TCP) r.flows.words[r.flows.at(flow) + STATE] = nextTcp(STATE_NEW, p.tcpFlags, 0);
  p.flow = flow;
  p.isNew = true;
  return 0;
}

/** In the middle of a connection to the box's stack, which may know it from before we came (SSH to a gateway taken over goes on). */
function mayPickUp(p: Packet, r: Router): boolean {
  const host = r.hostLink;
  return host !== null && host.index !== p.link && (p.tcpFlags & (SYN | ACK | RST)) === ACK && r.isOwnAddress(p.tuple.d3);
}

function trackError(p: Packet, r: Router): Verdict {
  const { view, l4At } = p;
  // RFC 5508 REQ-3: both checksums are checked; the quoted transport checksum is not, it may be cut.
  if (!icmp.checksumIsRight(view, l4At, p.end - l4At)) return V.ICMP_CHECKSUM;
  const quoted = r.quoted;
  if (!quotedTuple(view, l4At + icmp.ICMP_HEADER, p.end, quoted)) return V.ICMP_CHECKSUM;
  // It is for who sent the quoted packet, as that packet was out there; to anyone else it is a forgery.
  if (p.tuple.d3 !== quoted.s3) return V.STRAY_ERROR;
  r.spare.invert(quoted);
  const reference = r.flows.find(r.spare);
  if (reference === NONE) {
    // Of no flow of ours: an error about something the router or the box itself has sent is the box's to judge.
    return r.hostLink !== null && r.isOwnAddress(p.tuple.d3) ? 0 : V.STRAY_ERROR;
  }
  p.flow = reference >>> 1;
  p.direction = reference & 1;
  p.isRelated = true;
  return 0;
}
