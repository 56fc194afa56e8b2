/**
 * An index from 32-bit hashes to small references, open addressing with linear probing over one Int32Array.
 * The caller keeps the entries themselves and compares them; the index only narrows the search.
 *
 * Shape: slots[2 i] = hash, slots[2 i + 1] = reference + 1 (0 = empty). At most half full, so a miss looks at two to three
 * slots on average. Deletion shifts the cluster back, so there are no tombstones and no rebuilds.
 *
 *   for (let at = index.first(hash); at >= 0; at = index.next(at, hash)) if (same(index.reference(at))) …
 */
import { assert } from './assert.js';

export class HashIndex {
  /** Shared with nobody; seen from outside only to be given huge pages. */
  readonly slots: Int32Array;
  private readonly mask: number;
  private readonly capacity: number;
  /** References held. */
  size = 0;

  /** @param capacity most references it will hold. */
  constructor(capacity: number) {
    this.capacity = capacity;
    let length = 8;
    while (length < capacity * 2) length *= 2;
    this.slots = new Int32Array(length * 2);
    this.mask = length - 1;
  }

  /** First position whose hash is equal, or -1. */
  first(hash: number): number {
    return this.probe(hash & this.mask, hash);
  }

  /** Next position after `at` whose hash is equal, or -1. */
  next(at: number, hash: number): number {
    return this.probe((at + 1) & this.mask, hash);
  }

  reference(at: number): number {
    return this.slots[at * 2 + 1] - 1;
  }

  private probe(from: number, hash: number): number {
    const slots = this.slots;
    const mask = this.mask;
    for (let at = from; ; at = (at + 1) & mask) {
      if (slots[at * 2 + 1] === 0) return -1;
      if (slots[at * 2] === hash) return at;
    }
  }

  add(hash: number, reference: number): void {
    assert(this.size < this.capacity, 'hash index over capacity');
    const slots = this.slots;
    const mask = this.mask;
    let at = hash & mask;
    while (slots[at * 2 + 1] !== 0) at = (at + 1) & mask;
    slots[at * 2] = hash;
    slots[at * 2 + 1] = reference + 1;
    this.size++;
  }

  remove(hash: number, reference: number): void {
    const slots = this.slots;
    const mask = this.mask;
    let hole = hash & mask;
    while (slots[hole * 2 + 1] !== reference + 1 || slots[hole * 2] !== hash) {
      assert(slots[hole * 2 + 1] !== 0, 'hash index: reference to remove is not there');
      hole = (hole + 1) & mask;
    }
    // Close the hole: move back every later entry of the cluster that may stand there (its home is not after the hole).
    for (let at = (hole + 1) & mask; slots[at * 2 + 1] !== 0; at = (at + 1) & mask) {
      const home = slots[at * 2] & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole * 2] = slots[at * 2];
        slots[hole * 2 + 1] = slots[at * 2 + 1];
        hole = at;
      }
    }
    slots[hole * 2 + 1] = 0;
    this.size--;
  }
}
