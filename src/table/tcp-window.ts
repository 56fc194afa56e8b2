/**
 * What each side of a TCP flow may send now, as far as the middle can tell: is a segment one its receiver would take (after RFC 9293 §3.10.7.4,
 * RFC 5961 §3)? WINDOW_WORDS (8) int32 words a flow, four for each direction; only the data plane reads them. There are half as many as the flow
 * table holds flows: tables are full of flows without windows, and one that finds none left is taken at its word, and counted.
 *
 * Theory of operation. Of each direction are known: END, the number after the last byte it has sent; LIMIT, the first number it may not send,
 * the other side's acknowledgement and window at their furthest; ACKED, what it has acknowledged; and in BITS its largest window, in
 * units of its scale, and the scale, which counts only when both SYNs have offered one (RFC 7323 §2.2). A super-frame counts whole.
 *
 *   ACKED of the other ≤ RCV.NXT of the receiver ≤ END        what is new lies in  [ACKED of the other, LIMIT]
 *
 *   reset     exact: its number is END or ACKED of the other, one of which is the very number its receiver expects, or, refusing a SYN,
 *             it acknowledges that SYN. inside: between ACKED and LIMIT; its receiver asks back (RFC 5961 §3.2) or believes it. outside: no
 *             receiver would take it, so it is a forgery or of a connection long gone, and is refused.
 *   the rest  is known by its numbers to be a part of the connection, or it is strange. The middle is liberal: what is strange passes,
 *             counted, but moves nothing, for the receiver judges better than we do, and a wrong guess here would cut a live connection while
 *             a right one spares the receiver one segment. When both sides are strange to us and neither has since been understood, it is
 *             we who have lost the thread (another path was used for a while): then both windows are learned anew from what comes. One
 *             forger outside can make only one direction strange.
 *
 * A flow that runs over two instances is heard here in one direction only, for a time or for ever (docs/decisions/0008-shared-state.md). What is RESUMED is
 * believed when it is first heard, whatever it is. Of a direction whose other one is silent, END and ACKED follow what comes; a reset whose number cannot be
 * judged for want of the other side passes as one that its receiver has to judge.
 *
 * A flow taken up in its middle is liberal from the start: its scale is unknown and taken to be the largest.
 *
 * Cost: half a cache line read and mostly written per TCP segment; nothing is allocated.
 */
import type { Packet } from '../wire/packet.js';
import * as tcp from '../wire/tcp.js';

const NONE = -1;

/** Int32 words of a flow. */
export const WINDOW_WORDS = 8;

/** What a segment is to its flow. */
export const EXPECTED = 0;
export const STRANGE = 1;
export const RESET_EXACT = 2;
export const RESET_INSIDE = 3;
export const RESET_OUTSIDE = 4;

/** Word offsets within a direction's four. */
export const END = 0;
export const LIMIT = 1;
export const ACKED = 2;
/** Low half: scale (0 … 14) and the bits below; high half: the largest window offered, in units of the scale. */
export const BITS = 3;
export const SIDE = 4;

export const SCALE_MASK = 15;
/** The direction's SYN has offered a scale. */
const HAS_SCALE = 16;
/** The direction has been heard. */
export const KNOWN = 32;
/** The direction has not been heard here, but elsewhere: its first segment may be any. */
export const RESUMED = 64;
/** Its latest segment was strange. */
export const IS_STRANGE = 128;

/** RFC 7323 §2.3: the largest shift. */
const SCALE_MAX = 14;
/** Acknowledgements may be as late as a window, or as the largest one without scaling. */
export const LATE_ACK = 65_535;

/** Where acknowledgements differ from the numbers they answer because an ALG edits the text, they do by less than this. */
export const ALG_SLACK = 65_536;

/** How many windows a table of so many flows has. */
export function windowsOf(flows: number): number { return Math.max(1, flows >>> 1); }

export class TcpWindows {
  /** Window i begins at i × WINDOW_WORDS. */
  readonly words: Int32Array;
  /** Windows no flow has. */
  private readonly free: Int32Array;
  private freeCount: number;
  /** Segments let through though they fitted no window; times both windows had to be learned anew. */
  strange = 0;
  relearned = 0;
  /** Flows that found none left. */
  exhausted = 0;
  /** The answer of `resetsFor`. */
  readonly resets = new Int32Array(2);
  resetAck = 0;

  constructor(flows: number) {
    const capacity = windowsOf(flows);
    this.words = new Int32Array(capacity * WINDOW_WORDS);
    this.free = new Int32Array(capacity);
    for (let i = 0; i < capacity; i++) this.free[i] = capacity - 1 - i;
    this.freeCount = capacity;
  }

  /** The window `take` will give, NONE when none is left: a flow may use it before it is sure to live. */
  get candidate(): number { return this.freeCount === 0 ? NONE : this.free[this.freeCount - 1]; }

  get capacity(): number { return this.free.length; }

  get used(): number { return this.free.length - this.freeCount; }

  take(): void { this.freeCount--; }

  give(window: number): void { this.free[this.freeCount++] = window; }

  /** A flow begins, or begins anew, with this segment. */
  open(window: number, p: Packet, direction: number): void {
    if (window === NONE) return;
    const at = window * WINDOW_WORDS;
    this.words[at + BITS] = 0;
    this.words[at + SIDE + BITS] = 0;
    this.learn(at, p, direction);
  }

  /** A flow that others have had until now begins here. */
  renew(window: number): void {
    const at = window * WINDOW_WORDS;
    this.words.fill(0, at, at + WINDOW_WORDS);
    this.words[at + BITS] = RESUMED;
    this.words[at + SIDE + BITS] = RESUMED;
  }

  /** Others have heard of this flow what was not heard here. */
  resume(window: number): void {
    if (window === NONE) return;
    for (let at = window * WINDOW_WORDS + BITS; at < (window + 1) * WINDOW_WORDS; at += SIDE) if ((this.words[at] & KNOWN) === 0) this.words[at] = RESUMED;
  }

  /** Judge a segment of the flow that has this window, and move it. `slack` is how far acknowledgements may be off (ALG_SLACK), or 0. */
  judge(window: number, p: Packet, direction: number, slack: number): number {
    if (window === NONE) return (p.tcpFlags & tcp.RST) !== 0 ? RESET_EXACT : EXPECTED;
    const { words } = this;
    const at = window * WINDOW_WORDS;
    const own = at + direction * SIDE;
    const other = at + (1 - direction) * SIDE;
    const { view, l4At } = p;
    const flags = p.tcpFlags;
    if (flags & tcp.RST) return this.judgeReset(own, other, p);
    const bits = words[own + BITS];
    if ((bits & KNOWN) === 0) {
      if ((bits & RESUMED) !== 0) return this.join(own, other, p);
      // Only a SYN can come first, and its acknowledgement must be of the other side's.
      const isAnswer = (flags & tcp.ACK) === 0 || this.acknowledges(other, tcp.acknowledgement(view, l4At));
      if ((flags & tcp.SYN) !== 0 && isAnswer) {
        this.learn(at, p, direction);
        return EXPECTED;
      }
      // Kept, for a reset that answers it bears this number (half-open discovery, RFC 9293 §3.5.1).
      if (flags & tcp.ACK) words[own + ACKED] = tcp.acknowledgement(view, l4At);
      return this.wonder(at, own, other, p, direction);
    }
    const otherBits = words[other + BITS];
    const seq = tcp.sequence(view, l4At);
    // SYN and FIN take a number each.
    const end = (seq + (p.end - p.payloadAt()) + (flags & tcp.FIN) + ((flags & tcp.SYN) >> 1)) | 0;
    if ((otherBits & KNOWN) === 0) {
      // The opener speaks on before it is answered: the same SYN again, or one with other numbers, which counts from now on.
      if ((otherBits & RESUMED) !== 0) {
        if ((flags & tcp.ACK) !== 0) words[own + ACKED] = tcp.acknowledgement(view, l4At);
      } else if (flags & tcp.SYN) {
        this.learn(at, p, direction);
        return EXPECTED;
      }
      if (((end - words[own + END]) | 0) > 0) words[own + END] = end;
      return EXPECTED;
    }
    if (((seq - words[own + LIMIT]) | 0) > slack || ((words[own + END] - end) | 0) > (otherBits >>> 16 << (otherBits & SCALE_MASK)) + 1 + slack) {
      return this.wonder(at, own, other, p, direction);
    }
    if (flags & tcp.ACK) {
      const ack = tcp.acknowledgement(view, l4At);
      const raw = view.getUint16(l4At + 14);
      const scale = bits & SCALE_MASK;
      const largest = Math.max(LATE_ACK, bits >>> 16 << scale);
      const ahead = (ack - words[other + END]) | 0;
      if (ahead > slack || -ahead > largest + slack) return this.wonder(at, own, other, p, direction);
      if (((ack - words[own + ACKED]) | 0) > 0) words[own + ACKED] = ack;
      // RFC 7323 §2.2: the window of a SYN is never scaled.
      const limit = (ack + ((flags & tcp.SYN) !== 0 ? raw : raw << scale)) | 0;
      if (((limit - words[other + LIMIT]) | 0) > 0) words[other + LIMIT] = limit;
      if ((flags & tcp.SYN) === 0 && raw > bits >>> 16) words[own + BITS] = (bits & 0xffff) | (raw << 16);
    }
    if (((end - words[own + END]) | 0) > 0) words[own + END] = end;
    if (bits & IS_STRANGE) words[own + BITS] &= ~IS_STRANGE;
    return EXPECTED;
  }

  private judgeReset(own: number, other: number, p: Packet): number {
    const { words } = this;
    const seq = tcp.sequence(p.view, p.l4At);
    const isOtherKnown = (words[other + BITS] & KNOWN) !== 0;
    if ((words[own + BITS] & RESUMED) !== 0) return isOtherKnown && seq === words[other + ACKED] ? RESET_EXACT : RESET_INSIDE;
    if ((words[own + BITS] & KNOWN) === 0) {
      // RFC 9293 §3.10.7.3: to a SYN, a reset counts when it acknowledges it.
      if ((p.tcpFlags & tcp.ACK) !== 0 && this.acknowledges(other, tcp.acknowledgement(p.view, p.l4At))) return RESET_EXACT;
      return RESET_OUTSIDE;
    }
    if (seq === words[own + END]) return RESET_EXACT;
    if ((words[other + BITS] & RESUMED) !== 0) return RESET_INSIDE;
    if (seq === words[other + ACKED]) return isOtherKnown ? RESET_EXACT : RESET_INSIDE;
    return isOtherKnown && ((seq - words[other + ACKED]) | 0) > 0 && ((seq - words[own + LIMIT]) | 0) <= 0 ? RESET_INSIDE : RESET_OUTSIDE;
  }

  /** True when `ack` answers what the side at `side` has sent so far and nobody has answered yet. */
  private acknowledges(side: number, ack: number): boolean {
    const { words } = this;
    if ((words[side + BITS] & KNOWN) === 0) return true;
    return ((ack - words[side + END]) | 0) <= 0 && ((ack - words[side + LIMIT]) | 0) > 0;
  }

  /**
   * By which numbers an end can be reset from the middle: the one to which segments of `direction` go. Leaves in `resets` the sequence numbers of which
   * one is the very next it expects (RFC 5961 §3.2), and in `resetAck` what it has sent so far, by which a SYN is refused (RFC 9293 §3.10.7.3).
   * @param late the segment of this direction that is going to be dropped now, or null.
   * @returns how many of `resets` count: what is under way at this moment may have arrived or not. 0 when nothing is known of the end's numbers.
   */
  resetsFor(window: number, direction: number, late: Packet | null): number {
    if (window === NONE) return 0;
    const { words, resets } = this;
    const own = window * WINDOW_WORDS + direction * SIDE;
    const other = window * WINDOW_WORDS + (1 - direction) * SIDE;
    const isOwnKnown = (words[own + BITS] & KNOWN) !== 0;
    const isOtherKnown = (words[other + BITS] & KNOWN) !== 0;
    if (!isOwnKnown && !isOtherKnown) return 0;
    this.resetAck = isOtherKnown ? words[other + END] : words[own + ACKED];
    if (!isOwnKnown) {
      // Of what others hear, the end's last acknowledgement tells what it expects; a SYN is refused by the number it bears alone.
      resets[0] = (words[own + BITS] & RESUMED) !== 0 ? words[other + ACKED] : 0;
      return 1;
    }
    let end = words[own + END];
    if (late !== null) {
      const { view, l4At } = late;
      const seq = tcp.sequence(view, l4At);
      const flags = late.tcpFlags;
      if (((seq + (late.end - late.payloadAt()) + (flags & tcp.FIN) + ((flags & tcp.SYN) >> 1)) | 0) === end) end = seq;
    }
    resets[0] = end;
    if (!isOtherKnown || words[other + ACKED] === end) return 1;
    resets[1] = words[other + ACKED];
    return 2;
  }

  /** A segment that fits nothing known. */
  private wonder(at: number, own: number, other: number, p: Packet, direction: number): number {
    const { words } = this;
    this.strange++;
    words[own + BITS] |= IS_STRANGE;
    if ((words[other + BITS] & IS_STRANGE) === 0 || (p.tcpFlags & (tcp.SYN | tcp.ACK)) !== tcp.ACK) return STRANGE;
    this.relearned++;
    this.open(at / WINDOW_WORDS, p, direction);
    return EXPECTED;
  }

  /** The first that is heard of a direction: its SYN, or any segment of a flow taken up in its middle. */
  private learn(at: number, p: Packet, direction: number): void {
    const { words } = this;
    const own = at + direction * SIDE;
    const other = at + (1 - direction) * SIDE;
    const { view, l4At } = p;
    const flags = p.tcpFlags;
    const seq = tcp.sequence(view, l4At);
    const raw = view.getUint16(l4At + 14);
    const end = (seq + (p.end - p.payloadAt()) + (flags & tcp.FIN) + ((flags & tcp.SYN) >> 1)) | 0;
    const ack = tcp.acknowledgement(view, l4At);
    const isSyn = (flags & tcp.SYN) !== 0;
    const wasKnown = (words[other + BITS] & KNOWN) !== 0;
    words[own + END] = end;
    if (isSyn) {
      const offered = tcp.windowScale(view, l4At);
      const scale = offered < 0 ? 0 : Math.min(offered, SCALE_MAX);
      words[own + BITS] = KNOWN | (offered < 0 ? 0 : HAS_SCALE) | scale | (Math.min(0xffff, (raw + (1 << scale) - 1) >> scale) << 16);
      if (wasKnown && ((words[own + BITS] & words[other + BITS]) & HAS_SCALE) === 0) {
        this.unscale(own);
        this.unscale(other);
      }
    } else {
      words[own + BITS] = KNOWN | SCALE_MAX | (raw << 16);
      if (!wasKnown) {
        // What is acknowledged was sent; how much may follow is for the window to say.
        words[other + END] = ack;
        words[other + BITS] = KNOWN | SCALE_MAX | (0xffff << 16);
        words[other + LIMIT] = (ack + (raw << SCALE_MAX)) | 0;
      }
    }
    // Nothing of this is acknowledged yet.
    words[other + ACKED] = seq;
    const otherBits = words[other + BITS];
    // Without the other side's window only what was sent is known; then LIMIT is where that begins (`acknowledges`).
    words[own + LIMIT] = (otherBits & KNOWN) === 0 ? seq : (end + (otherBits >>> 16 << (otherBits & SCALE_MASK))) | 0;
    if (flags & tcp.ACK) words[own + ACKED] = ack;
    if (!wasKnown) return;
    const limit = ((flags & tcp.ACK ? ack : words[other + END]) + raw) | 0;
    if (((limit - words[other + LIMIT]) | 0) > 0) words[other + LIMIT] = limit;
  }

  /** The first that is heard here of a direction that was heard elsewhere before. */
  private join(own: number, other: number, p: Packet): number {
    const { words } = this;
    const { view, l4At, tcpFlags: flags } = p;
    const seq = tcp.sequence(view, l4At);
    const raw = view.getUint16(l4At + 14);
    const end = (seq + (p.end - p.payloadAt()) + (flags & tcp.FIN) + ((flags & tcp.SYN) >> 1)) | 0;
    const otherBits = words[other + BITS];
    words[own + END] = end;
    words[own + BITS] = KNOWN | SCALE_MAX | (raw << 16);
    if (flags & tcp.ACK) words[own + ACKED] = tcp.acknowledgement(view, l4At);
    if ((otherBits & KNOWN) === 0) {
      words[own + LIMIT] = end;
      words[other + ACKED] = seq;
      return EXPECTED;
    }
    words[own + LIMIT] = (end + (otherBits >>> 16 << (otherBits & SCALE_MASK))) | 0;
    const limit = (words[own + ACKED] + (raw << SCALE_MAX)) | 0;
    if (((limit - words[other + LIMIT]) | 0) > 0) words[other + LIMIT] = limit;
    return EXPECTED;
  }

  /** One of the two SYNs has offered no scale, so neither side scales. */
  private unscale(side: number): void {
    const { words } = this;
    const bits = words[side + BITS];
    words[side + BITS] = (bits & 0xffff & ~(SCALE_MASK | HAS_SCALE)) | (Math.min(0xffff, bits >>> 16 << (bits & SCALE_MASK)) << 16);
  }
}
