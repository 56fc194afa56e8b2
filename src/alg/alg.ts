/**
 * What an application-level gateway is: it reads the packets of control flows to some server ports, expects the flows they announce, and
 * has the addresses in their text replaced. An ALG is a file beside this one and a line in registry.ts.
 *
 * A datagram ALG looks at one packet at a time. A stream ALG reads the bytes of each direction in order, each byte once, whatever segments
 * they come in (rewrite.ts sees to that), and stops at every piece of text that may have to be replaced.
 */
import type { Plan } from '../base/plan.js';
import type { Tuple } from '../wire/tuple.js';
import { EditedStream, loadText, storeText, TEXT_BYTES } from './stream.js';

export type AlgName = Plan['algs'][number]['name'];

const NONE = -1;

/** Expectations a control flow may have at once; a newer one takes the place of the oldest. */
const EXPECTED_MAX = 4;

/** How an ALG expects flows. */
export interface AlgHost {
  /**
   * Expect a flow that is opened in `direction` of the control flow (0: by its client, to the server's `port`; 1: by its server, to the
   * client's). Returns the port by which the opener must know that endpoint, or NONE when the flow cannot be had.
   */
  expect(c: Conversation, direction: number, port: number): number;
}

/** What is counted, over all control flows of an ALG. */
export class AlgCounts {
  /** Flows watched now, and those not watched because the limit was reached. */
  watched = 0;
  unwatched = 0;
  /** Announcements honoured, and of these the ones whose text was replaced. */
  announced = 0;
  edited = 0;
  /** Announcements left alone: of an address that is not the control flow's own, of a port that may not be expected, and those nobody asked for. */
  foreign = 0;
  refused = 0;
  unasked = 0;
  /** Control flows that turned out not to speak the protocol, or not in the clear. */
  unreadable = 0;
}

/** What `read` stopped at. */
export const READ_ALL = 0;
/** A piece of text that stays as it is. */
export const TEXT_KEPT = 1;
/** A piece of text to be replaced. */
export const TEXT_EDITED = 2;

/** Where the reading of one direction stands. */
export class Reader {
  state = 0;
  /** State to go back to when the piece of text begun is to be read again. */
  before = 0;
  /** Numbers the ALG keeps: what it has read so far of a verb or code, and the code of a reply of several lines. */
  length = 0;
  code = 0;
  multiline = 0;
  /** The piece of text begun. */
  readonly text = new Uint8Array(TEXT_BYTES);
  textLength = 0;

  reset(): void {
    this.state = 0;
    this.before = 0;
    this.length = 0;
    this.code = 0;
    this.multiline = 0;
    this.textLength = 0;
  }

  copy(from: Reader): void {
    this.state = from.state;
    this.before = from.before;
    this.length = from.length;
    this.code = from.code;
    this.multiline = from.multiline;
    this.textLength = from.textLength;
    this.text.set(from.text);
  }

  store(words: Int32Array, at: number): number {
    words[at] = this.state;
    words[at + 1] = this.before;
    words[at + 2] = this.length;
    words[at + 3] = this.code;
    words[at + 4] = this.multiline;
    words[at + 5] = this.textLength;
    return storeText(words, at + 6, this.text, 0, this.textLength);
  }

  /** Where it ends, or -1. */
  load(words: Int32Array, at: number, end: number): number {
    if (at + 6 > end) return -1;
    this.state = words[at];
    this.before = words[at + 1];
    this.length = words[at + 2];
    this.code = words[at + 3];
    this.multiline = words[at + 4];
    this.textLength = words[at + 5];
    if (this.textLength < 0 || this.textLength > TEXT_BYTES) return -1;
    return loadText(words, at + 6, end, this.text, 0, this.textLength);
  }

  /** Begin a piece of text. */
  begin(before: number, state: number): void {
    this.before = before;
    this.state = state;
    this.textLength = 0;
  }

  /** One more byte of it; false when it is longer than any that counts. */
  add(byte: number, most: number): boolean {
    this.text[this.textLength++] = byte;
    return this.textLength < most;
  }

  /** Forget the piece of text begun: its bytes will come again. */
  rewind(): void {
    this.state = this.before;
    this.textLength = 0;
  }
}

/**
 * A control flow under watch. Kept in a pool and used again. Addresses: the client as it sees itself and as the server sees it, the server as
 * the client sees it and as it sees itself.
 */
export class Conversation {
  flow = NONE;
  alg = 0;
  client = 0;
  clientOutside = 0;
  serverOutside = 0;
  server = 0;
  /** The client's own port. */
  clientPort = 0;
  /** Nothing more is read: it is not the protocol, or not in the clear. Numbers are still translated. */
  isOff = false;
  /** Announcements asked for and not made yet. */
  asked = 0;
  /** By direction. */
  readonly streams: readonly [EditedStream, EditedStream] = [new EditedStream(), new EditedStream()];
  readonly readers: readonly [Reader, Reader] = [new Reader(), new Reader()];
  /** What `read` left: its last piece of text is readers[d].text; this is what it becomes. */
  readonly text = new Uint8Array(TEXT_BYTES);
  textLength = 0;
  private readonly expected = new Int32Array(EXPECTED_MAX);
  private nextExpected = 0;
  /** When others were told of it last (table time), and what of: per direction next, base, edits and held bytes. */
  private toldTick = -Infinity;
  private readonly told = new Int32Array(8);

  /** Watch another flow. */
  open(flow: number, alg: number, original: Tuple, reply: Tuple): void {
    this.flow = flow;
    this.alg = alg;
    this.client = original.s3;
    this.clientPort = original.sourcePort;
    this.clientOutside = reply.d3;
    this.serverOutside = original.d3;
    this.server = reply.s3;
    this.expected.fill(NONE);
    this.toldTick = -Infinity;
    this.restart();
  }

  /** The same two ends begin anew. */
  restart(): void {
    this.isOff = false;
    this.asked = 0;
    for (const stream of this.streams) stream.reset();
    for (const reader of this.readers) reader.reset();
  }

  /**
   * Has anything moved since others were told of it, or is that a third of its life ago? Said once: whoever asks tells. Of one that is not read any more only
   * what its numbers have moved by counts.
   */
  isToBeTold(nowTick: number, lifeS: number): boolean {
    const { told, streams } = this;
    const isOld = (nowTick - this.toldTick) * 3 > lifeS;
    let isMoved = isOld;
    for (let d = 0; d < 2; d++) {
      const { next, base, count, held } = streams[d];
      const at = d * 4;
      if (told[at] !== next && !this.isOff) isMoved = true;
      if (told[at + 1] !== base || told[at + 2] !== count || told[at + 3] !== held) isMoved = true;
      told[at] = next; told[at + 1] = base; told[at + 2] = count; told[at + 3] = held;
    }
    if (isMoved) this.toldTick = nowTick;
    return isMoved;
  }

  /** Write all there is to know of its two directions; how many words that are. */
  store(words: Int32Array): number {
    words[0] = (this.isOff ? 1 : 0) | (this.asked << 8);
    let at = 1;
    for (let d = 0; d < 2; d++) at = this.readers[d].store(words, this.streams[d].store(words, at));
    return at;
  }

  /** Become what `store` has written; false: `store` never wrote that. */
  load(words: Int32Array, count: number): boolean {
    if (count < 1) return false;
    this.isOff = (words[0] & 1) !== 0;
    this.asked = words[0] >>> 8;
    let at = 1;
    for (let d = 0; d < 2 && at >= 0; d++) {
      at = this.streams[d].load(words, at, count);
      if (at >= 0) at = this.readers[d].load(words, at, count);
    }
    return at === count;
  }

  /** What another instance has carried of this flow. */
  merge(from: Conversation): void {
    for (let d = 0; d < 2; d++) if (this.streams[d].merge(from.streams[d])) this.readers[d].copy(from.readers[d]);
    this.isOff ||= from.isOff;
    this.asked = Math.max(this.asked, from.asked);
  }

  /** True when what is said in a direction may have to be changed: the speaker bears another address at the far end. */
  isTranslated(direction: number): boolean {
    return direction === 0 ? this.client !== this.clientOutside : this.server !== this.serverOutside;
  }

  /** Keep an expectation; the one it takes the place of, or NONE. */
  remember(entry: number): number {
    if (this.expected.includes(entry)) return NONE;
    const old = this.expected[this.nextExpected];
    this.expected[this.nextExpected] = entry;
    this.nextExpected = (this.nextExpected + 1) % EXPECTED_MAX;
    return old;
  }

  /** Expectation i, or NONE; it may be another flow's by now. */
  expectation(i: number): number { return this.expected[i]; }
  get expectations(): number { return EXPECTED_MAX; }
}

interface Named { readonly name: AlgName; /** IP protocol number of its control flows. */ readonly protocol: number }

export interface DatagramAlg extends Named {
  readonly kind: 'datagram';
  /** A datagram of the control flow: its payload is [from, to) of `bytes`. */
  read(c: Conversation, direction: number, bytes: Uint8Array, from: number, to: number, host: AlgHost, counts: AlgCounts): void;
}

export interface StreamAlg extends Named {
  readonly kind: 'stream';
  /**
   * Read on in a direction: `bytes` from `from` on, none at or after `to`. Stops behind the last byte of a piece of text (then `outcome` is
   * TEXT_KEPT or TEXT_EDITED, the piece is readers[direction].text and what it becomes is c.text), or at `to`. Returns where it stopped.
   */
  read(c: Conversation, direction: number, bytes: Uint8Array, from: number, to: number, host: AlgHost, counts: AlgCounts): number;
  /** What the last `read` stopped at. */
  readonly outcome: number;
  /** Bytes of this direction are missing: read on at the next line. */
  skip(c: Conversation, direction: number): void;
}

export type Alg = DatagramAlg | StreamAlg;
