/**
 * Counts by key: how many flows, ports or permissions stand under a number and an address. An entry lives while its count is above 0, so
 * nothing has to be swept, and there are never more entries than things counted.
 *
 * An entry is ENTRY_WORDS int32 words: the address (4), the number, the count, a value of the owner's; free entries are chained through the
 * number. Every operation is one look into a HashIndex.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import { V4_MAPPED } from '../wire/address.js';

const NONE = -1;
const ENTRY_WORDS = 8;
const NUMBER = 4;
const COUNT = 5;
const VALUE = 6;

export class Tally {
  private readonly words: Int32Array;
  private readonly index: HashIndex;
  private readonly seed: number;
  private readonly capacity: number;
  /** Entries 0 … high - 1 have been used at some time; of those the free ones are chained from here. */
  private high = 0;
  private free = NONE;
  /** Keys that could not be entered because the table was full. */
  refused = 0;

  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity * ENTRY_WORDS);
    this.index = new HashIndex(capacity);
    this.seed = seed;
  }

  /** Keys that count at least one. */
  get size(): number { return this.index.size; }

  /** The entry of a key, or NONE. */
  find(number: number, a0: number, a1: number, a2: number, a3: number): number {
    const hash = this.hash(number, a0, a1, a2, a3);
    const { index, words } = this;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const entry = index.reference(slot);
      const at = entry * ENTRY_WORDS;
      if (words[at + 3] === a3 && words[at + NUMBER] === number && words[at + 2] === a2 && words[at + 1] === a1 && words[at] === a0) return entry;
    }
    return NONE;
  }

  /** What a key counts. */
  count(number: number, a0: number, a1: number, a2: number, a3: number): number {
    const entry = this.find(number, a0, a1, a2, a3);
    return entry === NONE ? 0 : this.words[entry * ENTRY_WORDS + COUNT];
  }

  /** The value an entry was made with. */
  value(entry: number): number { return this.words[entry * ENTRY_WORDS + VALUE]; }

  /** Count one more under a key; `value` is kept when it is the first. False when the table is full: nothing has been counted. */
  add(number: number, a0: number, a1: number, a2: number, a3: number, value: number): boolean {
    const { words } = this;
    let entry = this.find(number, a0, a1, a2, a3);
    if (entry !== NONE) {
      words[entry * ENTRY_WORDS + COUNT]++;
      return true;
    }
    if (this.free !== NONE) {
      entry = this.free;
      this.free = words[entry * ENTRY_WORDS + NUMBER];
    } else if (this.high < this.capacity) {
      entry = this.high++;
    } else {
      this.refused++;
      return false;
    }
    const at = entry * ENTRY_WORDS;
    words[at] = a0; words[at + 1] = a1; words[at + 2] = a2; words[at + 3] = a3;
    words[at + NUMBER] = number;
    words[at + COUNT] = 1;
    words[at + VALUE] = value;
    this.index.add(this.hash(number, a0, a1, a2, a3), entry);
    return true;
  }

  /** Count one less under a key that `add` has counted. */
  drop(number: number, a0: number, a1: number, a2: number, a3: number): void {
    const entry = this.find(number, a0, a1, a2, a3);
    if (entry === NONE) return;
    const at = entry * ENTRY_WORDS;
    if (--this.words[at + COUNT] > 0) return;
    this.index.remove(this.hash(number, a0, a1, a2, a3), entry);
    this.words[at + NUMBER] = this.free;
    this.free = entry;
  }

  private hash(number: number, a0: number, a1: number, a2: number, a3: number): number {
    const h = mix(mix(this.seed, a3), number);
    return finish(a2 === V4_MAPPED ? h : mix(mix(mix(h, a2), a1), a0));
  }
}
