/**
 * The changes that wait to be written, in their order, bounded: when there are too many the oldest give way.
 *
 * Theory of operation. A ring of int32 words, read by the one thread that writes it. An entry is its length in words, its kind, the moment it came (low 32 bits
 * of milliseconds), and its payload. Three places go round in it:
 *
 *      head ──▶ sent, not known to be written ──▶ cursor ──▶ not sent ──▶ tail
 *
 * `next` reads at the cursor and `sent` moves it on. What was written is let go from the head (`written`); what was not is sent again from there on, in its
 * order (`rewind`), for a later change of one key must not be written before an earlier one. All of that costs nothing but a place each: nothing is copied.
 *
 * Places are counts of words since the start, modulo 2^32; the room of an entry that would pass the end of the ring is filled with one of kind SKIP.
 */

import { assert } from '../base/assert.js';

/** Words before an entry's payload. */
const LEAD = 3;
const SKIP = -1;
/** Words an entry has on the average, of what journals hold; with longer ones fewer fit. */
const WORDS_EACH = 12;

/** A place in the queue: how many words and how many entries are before it. */
export interface QueuePlace { at: number; count: number }

export class ChangeQueue {
  /** Payloads are read straight from it. */
  readonly words: Int32Array;
  readonly limit: number;
  /** Of the entry found by `next`. */
  kind = 0;
  payloadAt = 0;
  payloadWords = 0;
  sinceMs = 0;
  /** Told of each entry that gives way, while it can be read by the fields above. */
  onDrop: () => void = () => undefined;
  private readonly mask: number;
  private readonly head: QueuePlace = { at: 0, count: 0 };
  private readonly cursor: QueuePlace = { at: 0, count: 0 };
  private readonly tail: QueuePlace = { at: 0, count: 0 };

  constructor(limit: number) {
    let length = 1024;
    while (length < limit * WORDS_EACH) length *= 2;
    this.words = new Int32Array(length);
    this.mask = length - 1;
    this.limit = limit;
  }

  /** Entries, and of them those that are not sent. */
  get length(): number { return (this.tail.count - this.head.count) >>> 0; }
  get unsent(): number { return (this.tail.count - this.cursor.count) >>> 0; }

  /**
   * Append; gives the index in `words` at which the payload is to be written before anything else is done with the queue. An entry has half of the ring at most: a longer one, and
   * what it skips, might find no room though all others had given way.
   */
  push(kind: number, sinceMs: number, payloadWords: number): number {
    const { words, mask, tail } = this;
    const length = LEAD + payloadWords;
    assert(payloadWords >= 0 && length <= (mask + 1) >> 1, 'a change longer than half its queue');
    const left = mask + 1 - (tail.at & mask);
    const skip = left < length ? left : 0;
    while (this.length >= this.limit || ((tail.at - this.head.at) >>> 0) + skip + length > mask + 1) this.drop();
    if (skip > 0) {
      words[tail.at & mask] = skip;
      if (skip > 1) words[(tail.at & mask) + 1] = SKIP;
      tail.at = (tail.at + skip) | 0;
    }
    const at = tail.at & mask;
    words[at] = length;
    words[at + 1] = kind;
    words[at + 2] = sinceMs;
    tail.at = (tail.at + length) | 0;
    tail.count = (tail.count + 1) | 0;
    return at + LEAD;
  }

  /** Find the next entry to be sent; false when there is none. */
  next(): boolean { return this.find(this.cursor); }

  /** The entry found is part of what is sent now. */
  sent(): void { this.pass(this.cursor); }

  /** Where sending stands: to be named when that which has been sent is known to be written, or is to be sent again. */
  get place(): QueuePlace { return { ...this.cursor }; }

  /** Everything before `place` is written. */
  written(place: QueuePlace): void { if (this.isAhead(place, this.head)) this.move(this.head, place); }

  /** Send again from `place` on; from what is left of it when some has given way since. */
  rewind(place: QueuePlace): void { this.move(this.cursor, this.isAhead(place, this.head) ? place : this.head); }

  /** Milliseconds the oldest entry has waited. */
  ageMs(nowMs: number): number {
    if (this.length === 0 || !this.peekHead()) return 0;
    return Math.max(0, (nowMs - this.sinceMs) | 0);
  }

  /** Behind everything that is in the queue now. */
  get end(): QueuePlace { return { ...this.tail }; }

  /** Whether everything before `place` has left the queue. */
  hasLeft(place: QueuePlace): boolean { return !this.isAhead(place, this.head); }

  /** Every entry between two places, the second one not included, can be read by the fields above in its turn. */
  each(from: QueuePlace, to: QueuePlace, run: () => void): void {
    const place = { ...(this.isAhead(from, this.head) ? from : this.head) };
    while (this.isAhead(to, place) && this.find(place)) {
      run();
      this.pass(place);
    }
  }

  /** Forget everything. */
  clear(): void {
    this.move(this.head, this.tail);
    this.move(this.cursor, this.tail);
  }

  /** The oldest gives way, be it sent or not. */
  private drop(): void {
    if (!this.peekHead()) return;
    this.onDrop();
    this.pass(this.head);
    if (this.isAhead(this.head, this.cursor)) this.move(this.cursor, this.head);
  }

  private peekHead(): boolean { return this.find(this.head); }

  private find(place: QueuePlace): boolean {
    const { words, mask } = this;
    while (place.at !== this.tail.at) {
      const at = place.at & mask;
      const length = words[at];
      if (length > 1 && words[at + 1] !== SKIP) {
        this.kind = words[at + 1];
        this.sinceMs = words[at + 2];
        this.payloadAt = at + LEAD;
        this.payloadWords = length - LEAD;
        return true;
      }
      place.at = (place.at + length) | 0;
    }
    return false;
  }

  /** Move a place over the entry just found there. */
  private pass(place: QueuePlace): void {
    place.at = (place.at + LEAD + this.payloadWords) | 0;
    place.count = (place.count + 1) | 0;
  }

  private isAhead(one: QueuePlace, other: QueuePlace): boolean { return ((one.count - other.count) | 0) > 0; }

  private move(place: QueuePlace, to: QueuePlace): void {
    place.at = to.at;
    place.count = to.count;
  }
}
