/**
 * Carrying a segment of a control flow over to the other side: what is new in it is read by the ALG, what has been edited is replaced, and
 * its sequence, acknowledgement and SACK numbers are translated for the rest of the flow's life. stream.ts holds the map; this file reads
 * and writes segments.
 *
 * Theory of operation.
 *
 *   read      Each byte is given to the ALG once, in order. Bytes that were read before are a retransmission, and only mapped. A segment that
 *             is ahead of missing bytes is refused where its text might have to be edited (CONTROL_GAP): for its sender it was lost, like the
 *             one before it, and both come again. Where nothing is edited it passes, and reading goes on with the next line.
 *   send on   The segment bears the bytes that may go (stream.ts: all but held ones), with every edit it touches in full. What was cut off
 *             at its end is held, or is not acknowledged and comes again: when more edits are in flight than are kept.
 *   checksum  A complete one is verified before anything is read, for what is read cannot be taken back; a wrong one stays wrong and its text
 *             is not touched. A partial one (offload) only has to learn of a new length. Super-frames are read and written whole.
 *   size      A segment that has outgrown the next link becomes a super-frame of two, which egress or the device cuts up.
 *
 * It differs from what a kernel does in three ways, which are why it holds under loss: the kernel's FTP helper drops a segment that ends
 * within a command, which never ends when the sender waits for its acknowledgement; it does not look into segments out of order; and it keeps
 * one place of change and two offsets a direction, so a second edit spoils a retransmission from before the first.
 *
 * Cost: a flow without edits is read, nothing else. Nothing is allocated but the record in the arena for an edited segment.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { Exchange } from '../link/exchange.js';
import { checksum, delta16, delta32, fold, pseudoHeaderSum, sum, update } from '../wire/checksum.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import * as tcp from '../wire/tcp.js';
import { GSO_ECN, GSO_NONE, GSO_TCPV4 } from '../wire/vnet.js';
import { READ_ALL, TEXT_EDITED } from './alg.js';
import type { AlgCounts, AlgHost, Conversation, StreamAlg } from './alg.js';
import { ACKNOWLEDGED, LEFT_EDGE, RIGHT_EDGE } from './stream.js';
import type { EditedStream } from './stream.js';

const SACK_OPTION = 5;
const NOP_OPTION = 1;
const LENGTH_MAX = 65535;
/** Bytes that may be missing before a segment. */
const AHEAD_MAX = 1 << 20;
const URG = 32;

/**
 * Carry a segment over. `isOpening`: the flow's handshake is under way, so a SYN says where the numbers begin. `mtu` of the link it leaves by.
 * Drops: CONTROL_GAP NO_BUFFER.
 */
export function carry(
  p: Packet, c: Conversation, alg: StreamAlg, isOpening: boolean, mtu: number, exchange: Exchange, host: AlgHost, counts: AlgCounts,
): Verdict {
  const { view } = p;
  const { direction } = p;
  const own = c.streams[direction];
  const other = c.streams[1 - direction];
  const seq = tcp.sequence(view, p.l4At);
  if (p.tcpFlags & tcp.SYN) {
    if (isOpening) greet(c, direction, (seq + 1) | 0, (p.tcpFlags & tcp.ACK) === 0 ? null : tcp.acknowledgement(view, p.l4At));
    translate(p, own, own.forward(seq), other);
    return 0;
  }
  const length = p.end - p.payloadAt();
  let ends = (p.tcpFlags & tcp.FIN) !== 0;
  // A FIN counts as a byte: ahead of bytes that are still to be edited its place is not known.
  if ((length === 0 && !ends) || (p.tcpFlags & tcp.RST) !== 0) {
    // A keep-alive asks one byte before the next (RFC 9293 §3.8.4), and must do so on the other side.
    if (own.isShifted || other.isShifted) {
      const isKeepAlive = own.isKnown && seq === ((own.next - 1) | 0);
      translate(p, own, isKeepAlive ? (own.forward(own.next) - 1) | 0 : own.forward(seq), other);
    }
    return 0;
  }
  if (!isTrusted(p)) {
    translate(p, own, own.forward(seq), other);
    return 0;
  }
  if (!own.isKnown) own.begin(seq);
  let to = (seq + length) | 0;
  let gap = (seq - own.next) | 0;
  if (own.isResumed) {
    own.isResumed = ((to - own.next) | 0) <= 0;
    // What is missing was carried by another instance, which had no time to tell of it. Who speaks in turns begins with a line of its own.
    if (gap > 0 && gap <= AHEAD_MAX) {
      own.skipTo(seq);
      c.readers[direction].reset();
      gap = 0;
    }
  }
  if (gap > 0) {
    if (!c.isOff && (c.isTranslated(direction) || (direction === 0 && c.isTranslated(1)))) return V.CONTROL_GAP;
    // Further ahead than any window of a control connection it is no part of the connection, and its receiver's to refuse.
    if (gap <= AHEAD_MAX) {
      own.next = to;
      if (!c.isOff) alg.skip(c, direction);
    }
  } else if (((to - own.next) | 0) > 0 || (ends && own.held > 0 && to === own.next)) {
    read(p, c, alg, own, seq, to, ends, host, counts);
  }
  const sendable = (own.next - own.held) | 0;
  const isCut = gap <= 0 && ((to - sendable) | 0) > 0;
  if (isCut) {
    to = sendable;
    ends = false;
  }
  if (!isCut && !own.isShifted && !other.isShifted) return 0;
  const from = own.firstUnsettled(seq);
  // Held, or had by the receiver to the last byte: an acknowledgement is asked for, from one byte before its next (stream.ts).
  const isEmptied = ((to - from) | 0) <= 0 && !ends;
  if (((to - from) | 0) < 0) to = from;
  const first = isEmptied ? (own.forward(from) - 1) | 0 : own.firstOf(from, to, ends);
  if (isCut || from !== seq || own.isTouched(from, to, ends)) {
    const verdict = replace(p, own, isEmptied ? to : from, to, ends, (from - seq) | 0, exchange);
    if (verdict !== 0) return verdict;
    if (isCut && (p.tcpFlags & tcp.FIN)) {
      p.tcpFlags &= ~tcp.FIN;
      view.setUint8(p.l4At + 13, p.tcpFlags);
    }
    translate(p, own, first, other);
    seal(p, mtu);
  } else {
    translate(p, own, first, other);
  }
  return 0;
}

/** Map an ICMP error's quote of a segment back to what its sender sent: `seqAt` is where its sequence number lies, `sumAt` the ICMP checksum. */
export function quote(p: Packet, c: Conversation, seqAt: number, sumAt: number): void {
  // The quoted segment went the other way, and is quoted as it left.
  const stream = c.streams[1 - p.direction];
  if (!stream.isShifted) return;
  const seq = p.view.getInt32(seqAt);
  const mapped = stream.backward(seq, RIGHT_EDGE);
  p.view.setInt32(seqAt, mapped);
  p.view.setUint16(sumAt, update(p.view.getUint16(sumAt), delta32(seq, mapped)));
}

/** A SYN: numbers begin anew, unless it is the same one again. The opener's begins the conversation anew; the answer tells where the opener's begin. */
function greet(c: Conversation, direction: number, origin: number, acknowledged: number | null): void {
  const stream = c.streams[direction];
  if (stream.isKnown && stream.origin === origin) return;
  if (direction === 0) c.restart();
  else stream.reset();
  stream.begin(origin);
  const opener = c.streams[1 - direction];
  if (acknowledged !== null && !opener.isKnown) opener.begin(acknowledged);
}

/** True when the segment's bytes are what its sender sent: its checksum is right, or is still to be made by a device. */
function isTrusted(p: Packet): boolean {
  if (p.partial || p.gsoType !== GSO_NONE) return true;
  const length = p.end - p.l4At;
  return fold(sum(p.view, p.l4At, length, pseudoHeaderSum(p.tuple.s3, p.tuple.d3, ip.PROTOCOL_TCP, length))) === 0xffff;
}

/** Give the new bytes of [seq, to) to the ALG and make the edits it asks for. Leaves in `next` and `held` how far they may go. */
function read(
  p: Packet, c: Conversation, alg: StreamAlg, own: EditedStream, seq: number, to: number, ends: boolean, host: AlgHost, counts: AlgCounts,
): void {
  const bytes = p.u8;
  const reader = c.readers[p.direction];
  const payloadAt = p.payloadAt();
  let at = payloadAt + ((own.next - seq) | 0);
  while (at < p.end && !c.isOff) {
    at = alg.read(c, p.direction, bytes, at, p.end, host, counts);
    if (alg.outcome === READ_ALL) break;
    const length = reader.textLength;
    const isEdited = alg.outcome === TEXT_EDITED;
    reader.textLength = 0;
    if (!isEdited && own.held === 0) continue;
    const end = (seq + at - payloadAt) | 0;
    if (!own.hasRoom) {
      reader.rewind();
      own.next = (end - length) | 0;
      return;
    }
    if (isEdited) own.edit(end, length, c.text, c.textLength);
    else own.edit(end, length, reader.text, length);
  }
  own.next = to;
  const begun = reader.textLength;
  if (begun === 0 || !c.isTranslated(p.direction)) return;
  if (ends) {
    // The rest will never come.
    if (own.held > 0) own.edit(to, begun, reader.text, begun);
    reader.rewind();
  } else if (own.held > 0 || own.hasRoom) {
    own.held = begun;
  } else {
    own.next = (to - begun) | 0;
    reader.rewind();
  }
}

/**
 * Make the segment's payload the bytes [from, to) as the receiver is to have them, in a record of its own unless its end is only cut off.
 * `offset` of `from` in the present payload.
 */
function replace(p: Packet, own: EditedStream, from: number, to: number, ends: boolean, offset: number, exchange: Exchange): Verdict {
  const { view, u8 } = p;
  const headers = p.payloadAt() - p.ipAt;
  if (offset > 0 || own.isTouched(from, to, ends)) {
    const bytesAt = p.ipAt + headers + offset;
    const length = headers + own.write(u8, bytesAt, from, to, ends, NONE);
    if (length > LENGTH_MAX) return V.NO_BUFFER;
    const at = exchange.allocate(length);
    if (at < 0) return V.NO_BUFFER;
    u8.copyWithin(at, p.ipAt, p.ipAt + headers);
    own.write(u8, bytesAt, from, to, ends, at + headers);
    p.l4At += at - p.ipAt;
    p.ipAt = at;
    p.end = at + length;
  } else {
    p.end = p.ipAt + headers + ((to - from) | 0);
  }
  ip.setWord(view, p.ipAt, 2, p.end - p.ipAt);
  return 0;
}

/** Write the receiver's number of the first byte, and what the segment acknowledges as the other side counts; the checksum follows. */
function translate(p: Packet, own: EditedStream, first: number, other: EditedStream): void {
  const { view, l4At } = p;
  let delta = 0;
  const seq = tcp.sequence(view, l4At);
  if (p.tcpFlags & URG) {
    // The pointer counts from the segment's first byte (RFC 6093 §4); the byte it points at stays the same.
    const pointer = view.getUint16(l4At + 18);
    const moved = Math.min(Math.max(0, (own.forward(seq + pointer) - first) | 0), LENGTH_MAX);
    view.setUint16(l4At + 18, moved);
    delta += delta16(pointer, moved);
  }
  if (first !== seq) {
    view.setInt32(l4At + 4, first);
    delta += delta32(seq, first);
  }
  if ((p.tcpFlags & tcp.ACK) !== 0 && other.isShifted) {
    const acknowledged = tcp.acknowledgement(view, l4At);
    const mapped = other.backward(acknowledged, ACKNOWLEDGED);
    view.setInt32(l4At + 8, mapped);
    delta += delta32(acknowledged, mapped) + translateSack(p, other);
    if ((p.tcpFlags & tcp.RST) === 0) other.acknowledge(acknowledged);
  }
  if (delta === 0 || p.partial) return;
  const at = l4At + tcp.TCP_CHECKSUM_OFFSET;
  view.setUint16(at, update(view.getUint16(at), fold(delta)));
}

/** The SACK option's blocks (RFC 2018 §3) as the other side counts; one that covers nothing but part of an edit is left out. Returns the checksum's delta. */
function translateSack(p: Packet, other: EditedStream): number {
  const { view, u8, l4At } = p;
  const from = l4At + tcp.TCP_HEADER;
  const end = p.payloadAt();
  let at = from;
  while (at < end && u8[at] !== SACK_OPTION) {
    if (u8[at] === 0) return 0;
    if (u8[at] === NOP_OPTION) at++;
    else if (at + 1 >= end || u8[at + 1] < 2) return 0;
    else at += u8[at + 1];
  }
  if (at + 2 > end || u8[at + 1] < 10 || at + u8[at + 1] > end) return 0;
  const before = sum(view, from, end - from);
  const optionEnd = at + u8[at + 1];
  let to = at + 2;
  for (let block = at + 2; block + 8 <= optionEnd; block += 8) {
    const left = other.backward(view.getInt32(block), LEFT_EDGE);
    const right = other.backward(view.getInt32(block + 4), RIGHT_EDGE);
    if (((right - left) | 0) <= 0) continue;
    view.setInt32(to, left);
    view.setInt32(to + 4, right);
    to += 8;
  }
  if (to === at + 2) to = at;
  else u8[at + 1] = to - at;
  u8.fill(NOP_OPTION, to, optionEnd);
  // Options begin and end on whole words (RFC 9293 §3.1), so the sums may be compared.
  return (~fold(before) & 0xffff) + fold(sum(view, from, end - from));
}

/** The checksum of a segment whose payload is another one now, and what its new size asks for. */
function seal(p: Packet, mtu: number): void {
  const { view, l4At } = p;
  const length = p.end - l4At;
  const pseudo = pseudoHeaderSum(p.tuple.s3, p.tuple.d3, ip.PROTOCOL_TCP, length);
  const payload = p.end - p.payloadAt();
  if (p.gsoType !== GSO_NONE && payload <= p.gsoSize) {
    p.gsoType = GSO_NONE;
    p.gsoSize = 0;
  }
  if (p.gsoType === GSO_NONE && !p.mustFragment && p.end - p.ipAt > mtu) {
    p.gsoType = (p.tcpFlags & tcp.CWR) === 0 ? GSO_TCPV4 : GSO_TCPV4 | GSO_ECN;
    p.gsoSize = mtu - (p.payloadAt() - p.ipAt);
    p.csumAt = l4At - p.ipAt;
    p.csumOffset = tcp.TCP_CHECKSUM_OFFSET;
    p.partial = true;
  }
  const at = l4At + tcp.TCP_CHECKSUM_OFFSET;
  view.setUint16(at, p.partial ? pseudo : 0);
  if (!p.partial) view.setUint16(at, checksum(view, l4At, length, pseudo));
}
