/**
 * The keys of all flows that live here, as 64 bits of hash each: what is asked, is whether a record of ours in the store still stands for one. Two keys of one
 * hash make a dead record look alive, never a live one dead. Open addressing over pairs of words, at most half full.
 */
import { finish, mix } from '../base/hash.js';

const SEED_HIGH = 0x2545f491;
const SEED_LOW = 0x5bd1e995;

export class LiveKeys {
  /** It was to hold more than it can: it knows nothing any more, and calls everything alive. */
  isOverfull = false;
  private readonly words: Int32Array;
  private readonly mask: number;
  private readonly most: number;
  private count = 0;
  private high = 0;
  private low = 0;

  constructor(capacity: number) {
    let slots = 1024;
    while (slots < capacity * 2) slots *= 2;
    this.words = new Int32Array(slots * 2);
    this.mask = slots - 1;
    this.most = slots / 2;
  }

  add(key: Uint8Array): void {
    const slot = this.find(key);
    if (this.words[slot] !== 0) return;
    if (this.count === this.most) {
      this.isOverfull = true;
      return;
    }
    this.words[slot] = this.high;
    this.words[slot + 1] = this.low;
    this.count++;
  }

  has(key: Uint8Array): boolean { return this.isOverfull || this.words[this.find(key)] !== 0; }

  /** The slot of a key: its own, or the free one where it would stand. */
  private find(key: Uint8Array): number {
    let high = SEED_HIGH;
    let low = SEED_LOW;
    for (let i = 0; i < key.length; i += 4) {
      // Past the end bytes are undefined, and count as 0.
      const word = key[i] | (key[i + 1] << 8) | (key[i + 2] << 16) | (key[i + 3] << 24);
      high = mix(high, word);
      low = mix(low, word);
    }
    // 0 is a free slot.
    this.high = finish(high ^ key.length) || 1;
    this.low = finish(low ^ key.length);
    const { words, mask } = this;
    let slot = this.low & mask;
    while (words[slot * 2] !== 0 && (words[slot * 2] !== this.high || words[slot * 2 + 1] !== this.low)) slot = (slot + 1) & mask;
    return slot * 2;
  }
}
