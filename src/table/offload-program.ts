/**
 * The programs that forward what the data plane has decided: one for each link's tc hook, and for raw links a socket filter that keeps from
 * the packet socket what the first will forward. Both begin with the same look at the frame (`recognise`), made from the same lines
 * here, so that they agree.
 *
 * Theory of operation. The program decides nothing: it knows the packets of flows that have a valid entry (table/offload-slot.ts), and of those
 * only the plain ones, which the path of pipeline.ts would only apply decisions to:
 *
 *     our MAC or a virtual router's that is ours now, untagged, IPv4 without options and with a right checksum, whole, TTL > 1, within the out link's MTU (each segment of a super-frame);
 *     DF set where the identification would have to be ours; TCP with ACK and neither SYN, RST nor URG, whose numbers fit its window just as
 *     table/tcp-window.ts would find them EXPECTED; or UDP.
 *
 * All else goes up to the data plane as if the program were not there, at as little cost as can be: with no entries at all after one look, and most often
 * before anything is checked but the index (table/offload-index.ts). What it forwards, it counts, and moves the window as the data plane would; it notes a FIN, and
 * tells when both sides have sent one.
 * test/link/offload.test.ts lets both have the same frames and compares.
 */
import {
  Assembler, B, CSUM_MANGLED_0, CSUM_PSEUDO_HEADER, DW, H, KTIME_GET_COARSE_NS, L4_CSUM_REPLACE, MAP_LOOKUP, R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9,
  REDIRECT as REDIRECT_CALL, REDIRECT_PEER, SKB_CHANGE_TAIL, SKB_GSO_SIZE, SKB_LENGTH, SKB_LOAD_BYTES, SKB_MARK, SKB_STORE_BYTES, SKB_VLAN_PRESENT, TC_SHOT, TC_UNSPECIFIED, W,
} from '../link/bpf.js';
import { ETHERNET_LENGTH, ETHERTYPE_IPV4 } from '../wire/ethernet.js';
import { IPV4_HEADER, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.js';
import { ACK, FIN, RST, SYN, TCP_CHECKSUM_OFFSET, TCP_HEADER, URG } from '../wire/tcp.js';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER } from '../wire/udp.js';
import { VIRTUAL_MAC_HIGH, VIRTUAL_MAC_LOW } from './elected.js';
import { bucketsFor, factorsOf, REFERENCES, TAG_MASK, WAYS } from './offload-index.js';
import {
  BEAT_SHIFT, BYTES, CONTROL_ELECTED, CONTROL_ENDED, CONTROL_EPOCH, CONTROL_IN_USE, CONTROL_LANES, CONTROL_UNTIL, DELTA, ELECTED_MAX, ENDS, ENTRY, EPOCH, IFINDEX, KEY, LANES, LEAVING, LIMITS, MACS,
  MARK, PACKETS, REDIRECT, TO_PEER, WINDOW,
} from './offload-slot.js';
import { ACKED, BITS, END, IS_STRANGE, KNOWN, LATE_ACK, LIMIT, SCALE_MASK } from './tcp-window.js';

/** What a link's programs are made for. */
export interface ProgramOptions {
  /** The link's index, a part of its flows' keys. */
  link: number;
  /** Our MAC address on it, as wire/ethernet.ts has it: 16 and 32 bits. */
  macHigh: number;
  macLow: number;
  /** Its virtual routers that have MAC addresses of their own: index and VRID. */
  virtualRouters?: readonly { index: number; id: number }[];
  /** Descriptors of the maps, and the flows they are for. */
  index: number;
  slots: number;
  control: number;
  capacity: number;
  /** The index's. */
  seed: number;
}

/** A socket filter keeps nothing of a frame, or all. */
const KEEP_NOTHING = 0;
const KEEP_ALL = -1;

/** The stack. The frame's head lies so that its IP header is 8-byte aligned: its key is read from there in place. */
const FRAME = -62;
const L4_AT = ETHERNET_LENGTH + IPV4_HEADER;
const SHORT_BYTES = L4_AT + UDP_HEADER;
const HEAD_BYTES = L4_AT + TCP_HEADER;
/** Up to the ports: what a translation changes. */
const CHANGED_BYTES = L4_AT + 4;
const IP = FRAME + ETHERNET_LENGTH;
const L4 = FRAME + L4_AT;
const IP_LENGTH = IP + 2, IP_FRAGMENT = IP + 6, IP_TTL = IP + 8, IP_PROTOCOL = IP + 9, IP_CHECKSUM = IP + 10, IP_SOURCE = IP + 12, IP_DESTINATION = IP + 16;
const TCP_SEQUENCE = L4 + 4, TCP_ACKNOWLEDGEMENT = L4 + 8, TCP_OFFSET = L4 + 12, TCP_FLAGS = L4 + 13, TCP_WINDOW = L4 + 14, UDP_LENGTH = L4 + 4;
/** Where the key is put together: over TTL and checksum, right before the addresses. */
const KEY_AT = IP_TTL;
/** 0, or the bytes of an entry for REPLY. */
const DIRECTION = -68;
const SLOT = -72;
const BUCKET = -92;
/** Bytes of IP and transport header. */
const HEADERS = -76;
const TTL_WORD = -80;
/** Bytes of the largest packet it will be on the wire. */
const WIRE = -84;
/** Bytes of a direction's half of ENDS. */
const END_BYTES = 2;
/** Sequence number after the segment. */
const SEGMENT_END = -88;

const ENTRY_BYTES = 64;
const entry = (word: number): number => (ENTRY + word) * 4;
/** The own side of the window, from its base; and bytes of a side. */
const side = (word: number): number => (WINDOW + word) * 4;
const SIDE_BYTES = 16;

/** 16 bits of a frame as a little-endian machine loads them. */
const swapped = (value: number): number => ((value & 255) << 8) | ((value >>> 8) & 255);

/** The program at a link's tc hook. */
export function forwarder(options: ProgramOptions): Uint8Array {
  const a = new Assembler();
  recognise(a, options, true);
  count(a);
  end(a, options.control);
  trim(a);
  a.load(B, R2, R10, IP_PROTOCOL).jump('==', R2, PROTOCOL_UDP, 'udp checksum');
  mendTransport(a, L4_AT + TCP_CHECKSUM_OFFSET, 0, 'tcp');
  a.go('rewrite').label('udp checksum');
  mendTransport(a, L4_AT + UDP_CHECKSUM_OFFSET, CSUM_MANGLED_0, 'udp');
  a.label('rewrite');
  rewrite(a);
  a.load(W, R1, R8, entry(IFINDEX)).load(W, R2, R8, entry(REDIRECT)).jump('==', R2, TO_PEER, 'peer').call(REDIRECT_CALL).exit();
  a.label('peer').move(R2, 0).call(REDIRECT_PEER).exit();
  a.label('up').move(R0, TC_UNSPECIFIED).exit();
  a.label('broken').move(R0, TC_SHOT).exit();
  return a.finish();
}

/** The filter of a raw link's packet socket. */
export function socketFilter(options: ProgramOptions): Uint8Array {
  const a = new Assembler();
  recognise(a, options, false);
  a.move(R0, KEEP_NOTHING).exit();
  a.label('up').move(R0, KEEP_ALL).exit();
  return a.finish();
}

/**
 * Goes on behind its last line when the frame is one to forward, with R6 = context, R7 = slot, R8 = slot + DIRECTION, R9 = length of the IP packet, and jumps to
 * `up` when it is not. `moves`: the TCP window follows.
 */
function recognise(a: Assembler, options: ProgramOptions, moves: boolean): void {
  const { macHigh, macLow, control, virtualRouters = [] } = options;
  a.mapValue(R2, control).load(W, R2, R2, CONTROL_IN_USE * 4).jump('==', R2, 0, 'up').move(R6, R1).load(W, R2, R6, SKB_VLAN_PRESENT).jump('!=', R2, 0, 'up');
  // The head, as far as there is one; what of it is missing reads as 0.
  for (let at = SHORT_BYTES; at < HEAD_BYTES; at += 4) a.store(W, R10, FRAME + at, 0);
  a.load(W, R9, R6, SKB_LENGTH).move(R4, HEAD_BYTES).jump('>=', R9, HEAD_BYTES, 'head').move(R4, SHORT_BYTES).label('head')
    .move(R1, R6).move(R2, 0).move(R3, R10).alu('add', R3, FRAME).call(SKB_LOAD_BYTES).jump('!=', R0, 0, 'up');

  const elected = virtualRouters.filter(({ index }) => index < ELECTED_MAX);
  const isMac = (high: number, low: number, otherwise: string): void => {
    for (const [at, word] of [[4, low & 0xffff], [2, low >>> 16], [0, high]]) a.load(H, R2, R10, FRAME + at).jump('!=', R2, swapped(word), otherwise);
  };
  const next = (i: number): string => (i < elected.length ? `elected ${i}` : 'up');
  isMac(macHigh, macLow, next(0));
  if (elected.length > 0) a.go('ours');
  // Ours for as long as we are its master: the bit is taken away in the same moment.
  elected.forEach(({ index, id }, i) => {
    a.label(next(i));
    isMac(VIRTUAL_MAC_HIGH, VIRTUAL_MAC_LOW | id, next(i + 1));
    a.mapValue(R3, control).load(W, R2, R3, CONTROL_ELECTED * 4).alu('right', R2, index).alu('and', R2, 1).jump('==', R2, 0, 'up');
    if (i + 1 < elected.length) a.go('ours');
  });
  if (elected.length > 0) a.label('ours');
  a.load(H, R2, R10, FRAME + 12).jump('!=', R2, swapped(ETHERTYPE_IPV4), 'up');
  a.load(B, R2, R10, IP).jump('!=', R2, 0x45, 'up').load(B, R2, R10, IP_PROTOCOL).jump('==', R2, PROTOCOL_UDP, 'find').jump('!=', R2, PROTOCOL_TCP, 'up')
    .load(B, R2, R10, TCP_FLAGS).alu('and', R2, URG | ACK | RST | SYN).jump('!=', R2, ACK, 'up');
  a.label('find');
  find(a, options);

  a.load(B, R2, R10, TTL_WORD).jump('<=', R2, 1, 'up');
  a.load(W, R2, R10, IP);
  for (const at of [IP + 4, TTL_WORD, IP_SOURCE, IP_DESTINATION]) a.load(W, R3, R10, at).alu('add', R2, R3);
  for (let i = 0; i < 3; i++) fold(a);
  a.jump('!=', R2, 0xffff, 'up');
  a.load(H, R3, R10, IP_LENGTH).fromNetwork(R3, 16).move(R4, R3).alu('add', R4, ETHERNET_LENGTH).jump('>', R4, R9, 'up').move(R9, R3);

  a.load(B, R2, R10, IP_PROTOCOL).jump('==', R2, PROTOCOL_UDP, 'udp')
    .load(B, R3, R10, TCP_OFFSET).alu('and', R3, 0xf0).alu('right', R3, 2).jump('<', R3, TCP_HEADER, 'up').alu('add', R3, IPV4_HEADER).jump('>', R3, R9, 'up').go('headers');
  a.label('udp').load(H, R4, R10, UDP_LENGTH).fromNetwork(R4, 16).jump('<', R4, UDP_HEADER, 'up').alu('add', R4, IPV4_HEADER).jump('>', R4, R9, 'up')
    .move(R3, IPV4_HEADER + UDP_HEADER);
  a.label('headers').store(W, R10, HEADERS, R3);

  // A super-frame is judged by its segments. One with bytes behind its packet is strange.
  a.store(W, R10, WIRE, R9).load(W, R5, R6, SKB_GSO_SIZE).jump('==', R5, 0, 'lives')
    .load(W, R4, R6, SKB_LENGTH).alu('subtract', R4, ETHERNET_LENGTH).jump('!=', R4, R9, 'up')
    .alu('add', R5, R3).jump('>=', R5, R9, 'lives').store(W, R10, WIRE, R5);

  a.label('lives').mapValue(R1, control).load(W, R2, R1, CONTROL_EPOCH * 4).load(W, R3, R8, entry(EPOCH)).jump('!=', R2, R3, 'up')
    .call(KTIME_GET_COARSE_NS).alu('right', R0, BEAT_SHIFT).mapValue(R1, control).load(W, R2, R1, CONTROL_UNTIL * 4).jump32('>=', R0, R2, 'up')
    .load(W, R2, R10, WIRE).load(H, R3, R8, entry(LIMITS)).jump('>', R2, R3, 'up')
    .load(H, R2, R10, IP_FRAGMENT).alu('xor', R2, swapped(0x4000)).load(H, R3, R8, entry(LIMITS) + 2).alu('and', R2, R3).jump('!=', R2, 0, 'up')
    .load(B, R2, R10, IP_PROTOCOL).jump('==', R2, PROTOCOL_UDP, 'known');
  judge(a);
  if (moves) move(a);
  a.label('known');
}

/** The entry the frame's key leads to. */
function find(a: Assembler, { link, index, slots, capacity, seed }: ProgramOptions): void {
  // The TTL's word keeps the protocol and takes the link's number: with the addresses and ports behind it, the key.
  a.load(W, R2, R10, IP_TTL).store(W, R10, TTL_WORD, R2).alu('and', R2, 0xff00).alu('or', R2, link << 16).store(W, R10, KEY_AT, R2);
  const [first, ...others] = factorsOf(seed);
  a.alu32('multiply', R2, first);
  others.forEach((factor, i) => {
    a.alu32('move', R3, R2).alu32('right', R3, 16).alu32('xor', R2, R3).load(W, R3, R10, KEY_AT + 4 * (i + 1)).alu32('xor', R2, R3).alu32('multiply', R2, factor);
  });
  // finish() of base/hash.ts.
  a.alu32('move', R3, R2).alu32('right', R3, 16).alu32('xor', R2, R3).alu32('multiply', R2, 0x85ebca6b)
    .alu32('move', R3, R2).alu32('right', R3, 13).alu32('xor', R2, R3).alu32('multiply', R2, 0xc2b2ae35)
    .alu32('move', R3, R2).alu32('right', R3, 16).alu32('xor', R2, R3);
  a.alu32('move', R7, R2).alu32('and', R7, TAG_MASK).alu32('and', R2, bucketsFor(capacity) - 1).store(W, R10, BUCKET, R2)
    .map(R1, index).move(R2, R10).alu('add', R2, BUCKET).call(MAP_LOOKUP).jump('==', R0, 0, 'up');
  for (let way = 0; way < WAYS; way++) a.load(W, R2, R0, way * 4).jump('==', R2, 0, 'up').alu32('xor', R2, R7).jump32('<', R2, REFERENCES, 'found');
  a.go('up').label('found').alu32('subtract', R2, 1).move(R3, R2).alu('and', R3, 1).alu('multiply', R3, ENTRY_BYTES).store(W, R10, DIRECTION, R3)
    .alu('right', R2, 1).store(W, R10, SLOT, R2)
    .map(R1, slots).move(R2, R10).alu('add', R2, SLOT).call(MAP_LOOKUP).jump('==', R0, 0, 'up')
    .move(R7, R0).move(R8, R0).load(W, R1, R10, DIRECTION).alu('and', R1, ENTRY_BYTES).alu('add', R8, R1)
    .load(DW, R2, R10, KEY_AT).load(DW, R3, R8, entry(KEY)).jump('!=', R2, R3, 'up')
    .load(DW, R2, R10, KEY_AT + 8).load(DW, R3, R8, entry(KEY + 2)).jump('!=', R2, R3, 'up');
}

/** R2 becomes its lower 16 bits plus the rest. */
function fold(a: Assembler): void { a.move(R3, R2).alu('right', R3, 16).alu('and', R2, 0xffff).alu('add', R2, R3); }

/** As TcpWindows.judge finds a segment EXPECTED that has ACK and no SYN or RST. Leaves R1 = acknowledgement, R3 and R4 = bases of the own and the other side. */
function judge(a: Assembler): void {
  a.load(W, R1, R10, DIRECTION).alu('and', R1, ENTRY_BYTES).alu('right', R1, 2).move(R3, R7).alu('add', R3, R1)
    .alu('xor', R1, SIDE_BYTES).alu('and', R1, SIDE_BYTES).move(R4, R7).alu('add', R4, R1)
    .load(W, R0, R3, side(BITS)).alu('and', R0, KNOWN | IS_STRANGE).jump('!=', R0, KNOWN, 'up')
    .load(W, R5, R4, side(BITS)).move(R0, R5).alu('and', R0, KNOWN).jump('==', R0, 0, 'up');
  // seq - LIMIT > 0
  a.load(W, R1, R10, TCP_SEQUENCE).fromNetwork(R1, 32).load(W, R2, R3, side(LIMIT)).alu32('subtract', R2, R1).jump32('s<', R2, 0, 'up');
  // end = seq + payload, and 1 for a FIN; END - end > the other's window + 1
  a.load(W, R2, R10, HEADERS).alu32('negate', R2, 0).alu32('add', R2, R9).alu32('add', R2, R1).load(B, R0, R10, TCP_FLAGS).alu('and', R0, FIN).alu32('add', R2, R0).store(W, R10, SEGMENT_END, R2)
    .load(W, R1, R3, side(END)).alu32('subtract', R1, R2).alu32('move', R0, R5).alu32('right', R0, 16).alu32('and', R5, SCALE_MASK).alu32('left', R0, R5)
    .alu32('add', R0, 1).jump32('s>', R1, R0, 'up');
  // ack - END of the other > 0, or further back than a window
  a.load(W, R1, R10, TCP_ACKNOWLEDGEMENT).fromNetwork(R1, 32).load(W, R0, R4, side(END)).alu32('subtract', R0, R1).jump32('s<', R0, 0, 'up')
    .load(W, R5, R3, side(BITS)).alu32('move', R2, R5).alu32('right', R2, 16).alu32('and', R5, SCALE_MASK).alu32('left', R2, R5)
    .jump32('>=', R2, LATE_ACK, 'largest').move(R2, LATE_ACK).label('largest').jump32('s>', R0, R2, 'up');
}

/** As TcpWindows.judge moves ACKED, LIMIT, the largest window and END. */
function move(a: Assembler): void {
  a.load(W, R0, R3, side(ACKED)).alu32('move', R2, R1).alu32('subtract', R2, R0).jump32('s<=', R2, 0, 'acked').store(W, R3, side(ACKED), R1).label('acked')
    .load(H, R0, R10, TCP_WINDOW).fromNetwork(R0, 16).load(W, R5, R3, side(BITS)).move(R2, R5).alu('right', R5, 16).jump('<=', R0, R5, 'offered')
    // The upper half of BITS.
    .store(H, R3, side(BITS) + 2, R0).label('offered')
    .alu('and', R2, SCALE_MASK).alu32('left', R0, R2).alu32('add', R0, R1).load(W, R5, R4, side(LIMIT)).alu32('move', R2, R0).alu32('subtract', R2, R5)
    .jump32('s<=', R2, 0, 'limit').store(W, R4, side(LIMIT), R0).label('limit')
    .load(W, R0, R10, SEGMENT_END).load(W, R1, R3, side(END)).alu32('move', R2, R0).alu32('subtract', R2, R1).jump32('s<=', R2, 0, 'known').store(W, R3, side(END), R0);
}

function count(a: Assembler): void {
  a.load(W, R1, R10, DIRECTION).alu('and', R1, ENTRY_BYTES).alu('right', R1, 3).move(R2, R7).alu('add', R2, R1).atomicAdd(DW, R2, BYTES * 4, R9)
    .alu('right', R1, 1).move(R2, R7).alu('add', R2, R1).move(R3, 1).atomicAdd(W, R2, PACKETS * 4, R3);
}

/** A FIN is noted for its direction. When the other one has had its own, the connection has ended: its slot is put into its lane, and then counted. */
function end(a: Assembler, control: number): void {
  a.load(B, R2, R10, IP_PROTOCOL).jump('==', R2, PROTOCOL_UDP, 'goes on').load(B, R2, R10, TCP_FLAGS).alu('and', R2, FIN).jump('==', R2, 0, 'goes on')
    .load(W, R1, R10, DIRECTION).alu('and', R1, ENTRY_BYTES).alu('right', R1, Math.log2(ENTRY_BYTES / END_BYTES)).move(R2, R7).alu('add', R2, R1).store(H, R2, ENDS * 4, 1)
    .alu('xor', R1, END_BYTES).alu('and', R1, END_BYTES).move(R2, R7).alu('add', R2, R1).load(H, R2, R2, ENDS * 4).jump('==', R2, 0, 'goes on')
    .load(W, R1, R10, SLOT).move(R2, R1).alu('add', R2, 1).alu('and', R1, LANES - 1).alu('left', R1, 2).mapValue(R3, control).alu('add', R3, R1).store(W, R3, CONTROL_LANES * 4, R2)
    .mapValue(R3, control).move(R2, 1).atomicAdd(W, R3, CONTROL_ENDED * 4, R2).label('goes on');
}

/** Short frames are padded on Ethernet; the IP length is the true one. */
function trim(a: Assembler): void {
  a.move(R2, R9).alu('add', R2, ETHERNET_LENGTH).load(W, R3, R6, SKB_LENGTH).jump('==', R2, R3, 'trimmed')
    .move(R1, R6).move(R3, 0).call(SKB_CHANGE_TAIL).jump('!=', R0, 0, 'broken').label('trimmed');
}

/** The transport checksum, be it complete or only the pseudo-header's sum: which it is only the kernel's helper knows. */
function mendTransport(a: Assembler, at: number, flags: number, name: string): void {
  const words: [string, number, number, number][] = [
    ['source', IP_SOURCE, entry(LEAVING), CSUM_PSEUDO_HEADER], ['destination', IP_DESTINATION, entry(LEAVING + 1), CSUM_PSEUDO_HEADER], ['ports', L4, entry(LEAVING + 2), 0],
  ];
  for (const [word, before, after, pseudo] of words) {
    const done = `${name} ${word}`;
    a.load(W, R3, R10, before).load(W, R4, R8, after).jump('==', R3, R4, done)
      .move(R1, R6).move(R2, at).move(R5, 4 | pseudo | flags).call(L4_CSUM_REPLACE).jump('!=', R0, 0, 'broken').label(done);
  }
}

/** MAC addresses, TTL, header checksum, addresses and ports, in one piece; and the mark that lets it out. */
function rewrite(a: Assembler): void {
  for (let at = 0; at < 12; at += 2) a.load(H, R2, R8, entry(MACS) + at).store(H, R10, FRAME + at, R2);
  a.load(W, R2, R10, TTL_WORD).store(W, R10, IP_TTL, R2).load(B, R3, R10, IP_TTL).alu('subtract', R3, 1).store(B, R10, IP_TTL, R3);
  a.load(H, R2, R10, IP_CHECKSUM).alu('xor', R2, 0xffff).load(H, R3, R8, entry(DELTA)).alu('add', R2, R3);
  fold(a);
  a.alu('xor', R2, 0xffff).store(H, R10, IP_CHECKSUM, R2);
  for (let i = 0; i < 3; i++) a.load(W, R2, R8, entry(LEAVING + i)).store(W, R10, IP_SOURCE + 4 * i, R2);
  a.move(R1, R6).move(R2, 0).move(R3, R10).alu('add', R3, FRAME).move(R4, CHANGED_BYTES).move(R5, 0).call(SKB_STORE_BYTES).jump('!=', R0, 0, 'broken');
  a.load(W, R2, R8, entry(MARK)).jump('==', R2, 0, 'marked').store(W, R6, SKB_MARK, R2).label('marked');
}
