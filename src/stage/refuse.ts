/**
 * refuse — what the sender of a refused packet is told: an ICMP error (RFC 792, RFC 1812 §4.3.2) or a TCP reset, by the verdict's row. Not a
 * stage of the path: `turn` calls it with the verdict a stage gave.
 *
 * The quote is the packet as it was received: translation, a lowered MSS and the hop it has made are taken back first (RFC 5508 §7). Rate-limited in all and
 * per destination. Never about an ICMP error, a later fragment, a broadcast, or a source that is no single host (RFC 1812 §4.3.2.7), nor about
 * a packet whose flow ended while it waited: what it was before translation is not known any more.
 */
import { VERDICTS } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { FLAGS, ORIGINAL_TUPLE } from '../table/flow.js';
import { checksum, pseudoHeaderSum } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import * as tcp from '../wire/tcp.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import { backNexthop } from './route.js';
import type { Router } from './router.js';

/** RFC 1812 §4.3.2.3: the whole error fits 576 bytes. */
const ERROR_MAX = 576;
/** RFC 1812 §5.3.2: no lower default than the Internet's diameter. */
const TTL = 64;

export function refuse(p: Packet, r: Router, verdict: Verdict): void {
  const { answer } = VERDICTS[verdict];
  if (answer === null || p.link === NONE || p.isOrphan) return;
  if ((p.fragment & ip.OFFSET_MASK) !== 0) return;
  if (p.protocol === ip.PROTOCOL_ICMP && icmp.isError(p.icmpType)) return;
  takeTranslationBack(p, r);
  if (p.mssBefore > 0) tcp.restoreMss(p.view, p.l4At, p.mssBefore, p.partial);
  if (p.hops > 0) ip.incrementTtl(p.view, p.ipAt);
  const source = p.tuple.s3;
  if (source === 0 || source >>> 24 === 127 || source >>> 24 >= 224 || r.isOwnAddress(source) && r.links[p.link] !== r.hostLink) return;
  // Not every verdict has come after `route`, which drops these.
  if (r.isBroadcast(p.tuple.d3)) return;
  // By an uplink that is down nothing leaves but what is to find out whether it is up again, what the router itself is asked, and what goes no
  // further than the wire: a virtual server is there for its neighbours whether the gateway is or not.
  if (r.links[p.link].uplinks.length > 0) {
    const { uplink, gateway } = r.nexthops.get(backNexthop(p, r));
    if (gateway !== null && !r.uplinks[uplink].isUp) return;
  }
  const isReset = answer.reset && p.protocol === ip.PROTOCOL_TCP && maySpeakFor(p, r);
  if (!(isReset && answer.isUrgent === true) && !r.icmpLimit.take(source, r.nowMs)) return;
  if (isReset) {
    // A connection the box has had since before we came goes on as soon as its far end speaks (`track`).
    if (!r.isOwnAddress(source)) sendReset(p, r);
  } else {
    sendError(p, r, answer.type, answer.code);
  }
}

/** A reset bears the address it answers for: an inside one must not be seen on an uplink that translates. */
function maySpeakFor(p: Packet, r: Router): boolean {
  const link = r.links[p.link];
  return !link.translates || link.maySpeakFor(p.tuple.d3);
}

/** Make the packet again what it was when it arrived. */
function takeTranslationBack(p: Packet, r: Router): void {
  if (p.flow === NONE || p.isRelated) return;
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  // Of a new flow nothing is noted yet: its packet may have been translated or not.
  if (!p.isNew && words[at + FLAGS] === 0) return;
  const arrived = r.spare;
  arrived.load(words, at + ORIGINAL_TUPLE + p.direction * TUPLE_WORDS);
  if (arrived.protocol !== p.protocol) return;
  p.rewriteSource(arrived.s3, arrived.sourcePort);
  p.rewriteDestination(arrived.d3, arrived.destinationPort);
}

function sendError(p: Packet, r: Router, type: number, code: number): void {
  const link = r.links[p.link];
  // RFC 1812 §4.3.2.4: from an address of the interface the packet came in on.
  const from = link.addressTowards(p.tuple.s3) || r.anyAddress;
  if (from === 0) return;
  const quote = Math.min(p.end - p.ipAt, ERROR_MAX - ip.IPV4_HEADER - icmp.ICMP_HEADER);
  const length = ip.IPV4_HEADER + icmp.ICMP_HEADER + quote;
  const at = r.exchange.allocate(length);
  if (at < 0) return;
  const { view } = p;
  // RFC 1812 §4.3.2.5: precedence of an error is internetwork control. The TOS bits it would have copied are part of the DSCP and of ECN by now
  // (RFC 2474 §3, RFC 3168 §5), where this class stands alone. Nor are the packet's options echoed: none that asks for it (§4.3.2.6) is let in.
  ip.writeIpv4(view, at, length, r.nextIpId(), 0, TTL, ip.PROTOCOL_ICMP, from, p.tuple.s3, 0xc0);
  const icmpAt = at + ip.IPV4_HEADER;
  view.setUint8(icmpAt, type);
  view.setUint8(icmpAt + 1, code);
  // RFC 1191 §4: the next hop's MTU in the low half; 0 for every other error.
  view.setInt32(icmpAt + 4, type === icmp.DESTINATION_UNREACHABLE && code === 4 ? p.mtu : 0);
  p.u8.copyWithin(icmpAt + icmp.ICMP_HEADER, p.ipAt, p.ipAt + quote);
  icmp.writeChecksum(view, icmpAt, icmp.ICMP_HEADER + quote);
  r.outbox.push({ ipAt: at, end: at + length, nexthop: backNexthop(p, r) });
}

/** RFC 9293 §3.10.7.1: a reset for a segment that belongs to no connection. */
function sendReset(p: Packet, r: Router): void {
  if (p.tcpFlags & tcp.RST) return;
  const { view } = p;
  const length = ip.IPV4_HEADER + tcp.TCP_HEADER;
  const at = r.exchange.allocate(length);
  if (at < 0) return;
  ip.writeIpv4(view, at, length, r.nextIpId(), ip.FLAG_DF, TTL, ip.PROTOCOL_TCP, p.tuple.d3, p.tuple.s3);
  const tcpAt = at + ip.IPV4_HEADER;
  const ports = (p.tuple.ports << 16) | (p.tuple.ports >>> 16);
  if (p.tcpFlags & tcp.ACK) {
    tcp.writeTcp(view, tcpAt, ports, tcp.acknowledgement(view, p.l4At), 0, tcp.RST, 0);
  } else {
    const counted = (p.tcpFlags & tcp.SYN ? 1 : 0) + (p.tcpFlags & tcp.FIN ? 1 : 0);
    const ack = (tcp.sequence(view, p.l4At) + (p.end - p.payloadAt()) + counted) | 0;
    tcp.writeTcp(view, tcpAt, ports, 0, ack, tcp.RST | tcp.ACK, 0);
  }
  view.setUint16(tcpAt + tcp.TCP_CHECKSUM_OFFSET,
    checksum(view, tcpAt, tcp.TCP_HEADER, pseudoHeaderSum(p.tuple.d3, p.tuple.s3, ip.PROTOCOL_TCP, tcp.TCP_HEADER)));
  r.outbox.push({ ipAt: at, end: at + length, nexthop: backNexthop(p, r) });
}
