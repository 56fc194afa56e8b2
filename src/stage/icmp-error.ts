/**
 * ICMP errors: which flow one is about (`relate`, asked by `track`), and its quote made to look as the quoted packet's sender knows it
 * (`translateQuote`, asked by `dnat`; RFC 5508 §4). Not stages of the path.
 *
 * The quote may be cut short after 8 bytes of transport header (RFC 792), may carry IP options, may be followed by an extension structure
 * (RFC 4884), and may be of a fragment: the first one names its flow by its ports, a later one only by its identification, under which the
 * datagram is remembered for a while (table/sent-datagram.ts).
 *
 * An error belongs to the flow of the packet it quotes and travels in the direction in which that packet's answers would. It never prolongs
 * or ends the flow (RFC 5508 REQ-6, RFC 4787 REQ-12). Whoever on the path may send one (RFC 4787 REQ-12a); its source only has to be possible on
 * its link.
 *
 * Policy for types (RFC 5508 REQ-10, REQ-11): destination unreachable, time exceeded and parameter problem pass; echo and timestamp are queries and
 * `track`'s; redirects are about our own neighbours and never forwarded; source quench is to be ignored (RFC 6633 §4) and is dropped; everything else
 * is dropped.
 *
 * Drops: ICMP_TYPE ICMP_REDIRECT ICMP_SOURCE_QUENCH ICMP_CHECKSUM ICMP_QUOTE ICMP_QUOTED_FRAGMENT STRAY_ERROR SPOOFED_SOURCE MARTIAN_SOURCE.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { SERIAL } from '../table/flow.js';
import { delta16, delta32, update } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { TCP_CHECKSUM_OFFSET } from '../wire/tcp.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import type { Tuple } from '../wire/tuple.js';
import { UDP_CHECKSUM_OFFSET } from '../wire/udp.js';
import type { Router } from './router.js';
import { checkSource } from './source-check.js';

/** Transport bytes a quote holds at least (RFC 792). */
const QUOTED_L4 = 8;

/** Find the flow of an ICMP message that is no query. */
export function relate(p: Packet, r: Router): Verdict {
  if (!icmp.isError(p.icmpType)) return V.ICMP_TYPE;
  if (p.icmpType === icmp.REDIRECT) return V.ICMP_REDIRECT;
  if (p.icmpType === icmp.SOURCE_QUENCH) return V.ICMP_SOURCE_QUENCH;
  const { view, l4At } = p;
  // RFC 5508 REQ-3: both checksums are checked; the quoted transport checksum is not, it may be cut.
  if (!icmp.checksumIsRight(view, l4At, p.end - l4At)) return V.ICMP_CHECKSUM;
  // About what the router itself has asked by this very link, whichever way its sender would be looked for.
  if (r.probes.takeError(p)) return V.TAKEN;
  const verdict = checkSource(p, r);
  if (verdict !== 0) return verdict;
  const at = l4At + icmp.ICMP_HEADER;
  const end = icmp.quoteEnd(view, l4At, p.end);
  if (end - at < ip.IPV4_HEADER || view.getUint8(at) >> 4 !== 4) return V.ICMP_QUOTE;
  const header = ip.headerLength(view, at);
  if (header < ip.IPV4_HEADER || at + header > end) return V.ICMP_QUOTE;
  if (!ip.checksumIsRight(view, at, header)) return V.ICMP_CHECKSUM;
  // It is for who sent the quoted packet, as that packet was out there; to anyone else it is a forgery.
  if (p.tuple.d3 !== ip.source(view, at)) return V.STRAY_ERROR;
  if ((ip.fragmentWord(view, at) & ip.OFFSET_MASK) !== 0) return byDatagram(p, r, at);
  if (!readTuple(view, at, at + header, end, r.quoted)) return V.ICMP_QUOTE;
  r.spare.invert(r.quoted);
  const reference = r.flows.find(r.spare);
  if (reference === NONE) return isForBox(p, r) ? 0 : V.STRAY_ERROR;
  p.flow = reference >>> 1;
  p.direction = reference & 1;
  p.isRelated = true;
  return 0;
}

/** Of no flow of ours: an error about something the router or the box itself has sent is the box's to judge. */
function isForBox(p: Packet, r: Router): boolean { return r.hostLink !== null && r.isOwnAddress(p.tuple.d3); }

/** Read the quoted packet's tuple; false when the quote is too short to name a flow, or of an ICMP message that has none. */
function readTuple(view: DataView, at: number, l4At: number, end: number, into: Tuple): boolean {
  const protocol = ip.protocol(view, at);
  let ports = 0;
  if (protocol === ip.PROTOCOL_TCP || protocol === ip.PROTOCOL_UDP) {
    if (end - l4At < QUOTED_L4) return false;
    ports = view.getInt32(l4At);
  } else if (protocol === ip.PROTOCOL_ICMP) {
    if (end - l4At < QUOTED_L4) return false;
    // The quoted message's own type says which side its identifier is on.
    const type = icmp.type(view, l4At);
    if (!icmp.isQuery(type)) return false;
    ports = icmp.isRequest(type) ? icmp.identifier(view, l4At) << 16 : icmp.identifier(view, l4At);
  }
  into.setV4(ip.source(view, at), ip.destination(view, at), ports, protocol);
  return true;
}

/** The quote of a later fragment: its datagram is known when it left lately with an identification of ours and its flow still lives. */
function byDatagram(p: Packet, r: Router, at: number): Verdict {
  const { flows, sentDatagrams } = r;
  const sent = findSent(p, r, at);
  if (sent === NONE) return isForBox(p, r) ? 0 : V.ICMP_QUOTED_FRAGMENT;
  p.flow = sentDatagrams.flow(sent);
  p.direction = 1 - sentDatagrams.direction(sent);
  p.isRelated = true;
  // As the datagram left: the inverse of how its answers arrive.
  r.spare.load(flows.words, flows.at(p.flow) + p.direction * TUPLE_WORDS);
  r.quoted.invert(r.spare);
  return 0;
}

/** The quoted packet's place among the datagrams sent lately by a flow that still lives, or NONE. */
function findSent(p: Packet, r: Router, at: number): number {
  const { view } = p;
  const { flows, sentDatagrams } = r;
  const sent = sentDatagrams.find(ip.source(view, at), ip.destination(view, at), ip.protocol(view, at), ip.identification(view, at));
  return sent !== NONE && flows.words[flows.at(sentDatagrams.flow(sent)) + SERIAL] === sentDatagrams.serial(sent) ? sent : NONE;
}

/**
 * Make the quote look as the quoted packet did before we translated it: source and destination of `want`, and its sender's identification. Its IP
 * checksum, its transport checksum (when the quote reaches that far; what was wrong stays wrong) and the ICMP checksum around it are mended.
 */
export function translateQuote(p: Packet, r: Router, have: Tuple, want: Tuple): void {
  const { view } = p;
  const at = p.l4At + icmp.ICMP_HEADER;
  const end = icmp.quoteEnd(view, p.l4At, p.end);
  const fragment = ip.fragmentWord(view, at);
  if (fragment !== ip.FLAG_DF) {
    const sent = findSent(p, r, at);
    if (sent !== NONE) ip.setWord(view, at, ip.ID_OFFSET, r.sentDatagrams.before(sent));
  }
  const addressDelta = delta32(have.s3, want.s3) + delta32(have.d3, want.d3);
  view.setInt32(at + 12, want.s3);
  view.setInt32(at + 16, want.d3);
  view.setUint16(at + 10, update(view.getUint16(at + 10), addressDelta));
  if ((fragment & ip.OFFSET_MASK) === 0) translateTransport(view, at + ip.headerLength(view, at), end, have, want, addressDelta);
  icmp.writeChecksum(view, p.l4At, p.end - p.l4At);
}

function translateTransport(view: DataView, l4At: number, end: number, have: Tuple, want: Tuple, addressDelta: number): void {
  const portDelta = delta16(have.sourcePort, want.sourcePort) + delta16(have.destinationPort, want.destinationPort);
  switch (have.protocol) {
    case ip.PROTOCOL_TCP:
      view.setInt32(l4At, want.ports);
      if (l4At + TCP_CHECKSUM_OFFSET + 2 <= end) {
        const checksumAt = l4At + TCP_CHECKSUM_OFFSET;
        view.setUint16(checksumAt, update(view.getUint16(checksumAt), addressDelta + portDelta));
      }
      break;
    case ip.PROTOCOL_UDP: {
      view.setInt32(l4At, want.ports);
      const checksumAt = l4At + UDP_CHECKSUM_OFFSET;
      const stored = view.getUint16(checksumAt);
      if (stored !== 0) view.setUint16(checksumAt, update(stored, addressDelta + portDelta) || 0xffff);
      break;
    }
    case ip.PROTOCOL_ICMP: {
      const id = icmp.isRequest(icmp.type(view, l4At)) ? want.sourcePort : want.destinationPort;
      const idAt = l4At + icmp.ICMP_ID_OFFSET;
      const checksumAt = l4At + icmp.ICMP_CHECKSUM_OFFSET;
      view.setUint16(checksumAt, update(view.getUint16(checksumAt), delta16(view.getUint16(idAt), id)));
      view.setUint16(idAt, id);
      break;
    }
  }
}
