/**
 * Cutting packets up in software: a GSO super-frame into its segments, a datagram into fragments, and finishing a partial checksum. Needed
 * only where a link cannot take the super-frame, or where segments exceed its MTU; everything else passes whole.
 */
import { checksum, fold, pseudoHeaderSum, sum } from './checksum.js';
import * as ip from './ipv4.js';
import { NONE } from './packet.js';
import type { Packet } from './packet.js';
import * as tcp from './tcp.js';
import * as udp from './udp.js';
import { GSO_NONE } from './vnet.js';

/** Complete the checksum the sender left to its device (virtio 1.2 §5.1.6.2). */
export function finishChecksum(p: Packet): void {
  if (p.csumAt === NONE) return;
  const from = p.ipAt + p.csumAt;
  const at = from + p.csumOffset;
  const value = ~fold(sum(p.view, from, p.end - from)) & 0xffff;
  p.view.setUint16(at, p.protocol === ip.PROTOCOL_UDP && value === 0 ? 0xffff : value);
  p.csumAt = NONE;
  p.partial = false;
}

/** How many segments a super-frame stands for. */
export function segmentCount(p: Packet): number {
  if (p.gsoType === GSO_NONE || p.gsoSize === 0) return 1;
  return Math.max(1, Math.ceil((p.end - p.payloadAt()) / p.gsoSize));
}

/** Bytes of segment i, IP header included. */
export function segmentLength(p: Packet, i: number): number {
  const payloadAt = p.payloadAt();
  return payloadAt - p.ipAt + Math.min(p.gsoSize, p.end - payloadAt - i * p.gsoSize);
}

/**
 * Write segment i of a super-frame at `to` (the IP header's place), complete with checksums. The IP identification counts up, the
 * TCP sequence follows the payload, FIN and PSH stay on the last segment, CWR on the first (RFC 3168 §6.1.2).
 */
export function writeSegment(p: Packet, i: number, to: number): void {
  const { view, u8, ipAt } = p;
  const payloadAt = p.payloadAt();
  const headers = payloadAt - ipAt;
  const length = segmentLength(p, i);
  const from = payloadAt + i * p.gsoSize;
  u8.copyWithin(to, ipAt, payloadAt);
  u8.copyWithin(to + headers, from, from + length - headers);
  view.setUint16(to + 2, length);
  view.setUint16(to + 4, (ip.identification(view, ipAt) + i) & 0xffff);
  ip.writeChecksum(view, to);
  const l4At = to + (p.l4At - ipAt);
  const l4Length = length - (p.l4At - ipAt);
  const pseudo = pseudoHeaderSum(ip.source(view, to), ip.destination(view, to), p.protocol, l4Length);
  if (p.protocol === ip.PROTOCOL_TCP) {
    const isLast = from + p.gsoSize >= p.end;
    view.setInt32(l4At + 4, (tcp.sequence(view, l4At) + i * p.gsoSize) | 0);
    let flags = tcp.flags(view, l4At);
    if (!isLast) flags &= ~(tcp.FIN | tcp.PSH);
    if (i > 0) flags &= ~tcp.CWR;
    view.setUint8(l4At + 13, flags);
    view.setUint16(l4At + tcp.TCP_CHECKSUM_OFFSET, 0);
    view.setUint16(l4At + tcp.TCP_CHECKSUM_OFFSET, checksum(view, l4At, l4Length, pseudo));
  } else {
    view.setUint16(l4At + 4, l4Length);
    view.setUint16(l4At + udp.UDP_CHECKSUM_OFFSET, 0);
    view.setUint16(l4At + udp.UDP_CHECKSUM_OFFSET, checksum(view, l4At, l4Length, pseudo) || 0xffff);
  }
}

/**
 * Write the fragment of the IP packet at [ipAt, end) whose payload begins at byte `offset`, at most `most` bytes long, at `to`. Returns
 * its length; the next fragment begins where its payload ends (RFC 791 §2.3 and §3.2).
 */
export function writeFragment(p: Packet, ipAt: number, end: number, offset: number, most: number, to: number): number {
  const { view, u8 } = p;
  const header = ip.headerLength(view, ipAt);
  let ownHeader = header;
  if (offset === 0) u8.copyWithin(to, ipAt, ipAt + header);
  else ownHeader = ip.copyFragmentHeader(view, ipAt, to);
  const left = end - ipAt - header - offset;
  const room = (most - ownHeader) & ~7;
  const isLast = left <= most - ownHeader;
  const payload = isLast ? left : room;
  u8.copyWithin(to + ownHeader, ipAt + header + offset, ipAt + header + offset + payload);
  view.setUint16(to + 2, ownHeader + payload);
  const df = ip.fragmentWord(view, ipAt) & ip.FLAG_DF;
  view.setUint16(to + 6, df | (isLast ? 0 : ip.FLAG_MF) | (offset >> 3));
  ip.writeChecksum(view, to);
  return ownHeader + payload;
}
