/**
 * A ring of records between two threads: one writes, one reads, neither ever waits for the other.
 *
 * Shape: RING_HEADER_WORDS int32 words (the next word to be written and what did not fit; on another cache line, for the other side writes it, the next to
 * be read; both modulo 2^32), then a power of two of words. A record is its length in words (itself counted), its kind, and its payload, in a row: where
 * it would pass the end, a record of kind RING_SKIP fills the rest. What a record means is for who uses the ring to say. A record is no longer than
 * half the ring: with a longer one, and what it skips, an empty ring could be too full.
 *
 *      write ──▶ ┌──────┬──────┬────────────┬──────┐ ──▶ read
 *                │ len  │ kind │ payload …  │ len …│
 *                └──────┴──────┴────────────┴──────┘
 *
 * Cost of a record: its words, and one atomic store on each side; the other side's place is looked at when what was last seen of it is not enough.
 */
import { assert } from './assert.js';

export const RING_HEADER_WORDS = 32;
/** Word offsets in the header: places modulo 2^32. */
export const RING_TAIL = 0;
const REFUSED = 1;
export const RING_HEAD = 16;
/** Kind of a record that is none. */
export const RING_SKIP = 0;
/** Words before a record's payload. */
const LEAD = 2;

/** Bytes of a ring of at least so many words. */
export function ringBytes(words: number): number {
  let length = 64;
  while (length < words) length *= 2;
  return (RING_HEADER_WORDS + length) * 4;
}

/** The writing end. */
export class RingWriter {
  /** The ring's memory: a record's payload is written straight into it, between `begin` and `commit`. */
  readonly words: Int32Array;
  private readonly mask: number;
  private next = 0;
  private end = 0;
  /** The reader's place as it was last seen. */
  private head = 0;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
    this.mask = this.words.length - RING_HEADER_WORDS - 1;
    this.end = this.words[RING_TAIL];
    this.head = Atomics.load(this.words, RING_HEAD);
  }

  /** Words of payload a record has at most. */
  get longest(): number { return ((this.mask + 1) >> 1) - LEAD; }

  /** Index in `words` at which a record's payload of so many words is to be written, or -1 when there is no room (counted). */
  begin(kind: number, payloadWords: number): number {
    const { words, mask } = this;
    const length = LEAD + payloadWords;
    assert(length <= (mask + 1) >> 1, 'a record longer than half its ring');
    const left = mask + 1 - (this.end & mask);
    const skip = left < length ? left : 0;
    if (((this.end - this.head) >>> 0) + skip + length > mask + 1) {
      this.head = Atomics.load(words, RING_HEAD);
      if (((this.end - this.head) >>> 0) + skip + length > mask + 1) {
        words[REFUSED]++;
        return -1;
      }
    }
    let at = RING_HEADER_WORDS + (this.end & mask);
    if (skip > 0) {
      words[at] = skip;
      // A rest of one word has no room for its kind; the reader knows by its length.
      if (skip > 1) words[at + 1] = RING_SKIP;
      at = RING_HEADER_WORDS;
    }
    words[at] = length;
    words[at + 1] = kind;
    this.next = (this.end + skip + length) | 0;
    return at + LEAD;
  }

  /** The record begun is whole: the reader may have it. */
  commit(): void {
    this.end = this.next;
    Atomics.store(this.words, RING_TAIL, this.end);
  }

  /** Words that wait to be read. */
  get waiting(): number { return (this.end - Atomics.load(this.words, RING_HEAD)) >>> 0; }

  /** Records there was no room for. */
  get refused(): number { return this.words[REFUSED] >>> 0; }
}

/** The reading end. */
export class RingReader {
  /** The ring's memory: a record's payload is read straight from it, until `done`. */
  readonly words: Int32Array;
  /** The same, as bytes: texts stand in a payload from whole words on. */
  readonly bytes: Uint8Array;
  /** Of the record found by `next`: index of its payload's first word, and its words. */
  kind = 0;
  at = 0;
  length = 0;
  private readonly mask: number;
  private place: number;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
    this.bytes = new Uint8Array(memory);
    this.mask = this.words.length - RING_HEADER_WORDS - 1;
    this.place = this.words[RING_HEAD];
  }

  /** Find the next record; false when there is none. */
  next(): boolean {
    const { words, mask } = this;
    while (this.place !== Atomics.load(words, RING_TAIL)) {
      const at = RING_HEADER_WORDS + (this.place & mask);
      const length = words[at];
      if (length > 1 && words[at + 1] !== RING_SKIP) {
        this.kind = words[at + 1];
        this.at = at + LEAD;
        this.length = length - LEAD;
        return true;
      }
      this.place = (this.place + length) | 0;
      Atomics.store(words, RING_HEAD, this.place);
    }
    return false;
  }

  /** The record found has been read: its room is the writer's again. */
  done(): void {
    this.place = (this.place + LEAD + this.length) | 0;
    Atomics.store(this.words, RING_HEAD, this.place);
  }

  /** Words that wait to be read. */
  get waiting(): number { return (Atomics.load(this.words, RING_TAIL) - this.place) >>> 0; }

  /** Records the writer had no room for. */
  get refused(): number { return Atomics.load(this.words, REFUSED) >>> 0; }
}
