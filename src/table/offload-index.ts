/**
 * The index of offloaded flows: from how a packet arrives (the KEY of table/offload-slot.ts) to where its entry is, in memory that the kernel's
 * programs share. It is written by plain stores: a flow that comes or goes costs no system call, as it would in a hash map of the kernel's.
 *
 * A bucket is WAYS words, filled from the front; the programs stop at the first empty one. A word is the hash's upper TAG_BITS over an
 * entry's reference + 1; 0 = empty. There are about as many buckets as flows, two entries a bucket when all slots are taken. What
 * finds its bucket full, or its tag there already, is not offloaded: at most about one in five hundred.
 *
 * Words are in network order: what differs between neighbours, the end of an address and of a port, is in their upper bytes on a little-endian machine. A product moves
 * upwards only, so the hash is folded before each word; a plain sum of products would know 256 places for all flows of a network.
 *
 * A program may look while a word moves within its bucket: then a packet goes up that need not have. Cost: 32 bytes a flow.
 */
import { finish, mix } from '../base/hash.js';
import { KEY_WORDS } from './offload-slot.js';

export const WAYS = 8;
export const BUCKET_BYTES = WAYS * 4;
/** Bits of a reference: slot << 1 | direction. A million slots fit, and one more than the last. */
const REFERENCE_BITS = 21;
export const REFERENCES = 1 << REFERENCE_BITS;
export const TAG_MASK = -REFERENCES;

/** Buckets for so many flows: a power of two. */
export function bucketsFor(capacity: number): number { return 2 ** Math.max(1, Math.ceil(Math.log2(capacity))); }

/** One odd factor for each word of a key, which no outsider can know. */
export function factorsOf(seed: number): number[] { return Array.from({ length: KEY_WORDS }, (_, i) => finish(mix(seed, i)) | 1); }

export class OffloadIndex {
  /** Entries in it. */
  count = 0;
  private readonly words: Int32Array;
  private readonly mask: number;
  private readonly factors: Int32Array;

  constructor(memory: ArrayBuffer, capacity: number, seed: number) {
    const buckets = bucketsFor(capacity);
    this.words = new Int32Array(memory, 0, buckets * WAYS);
    this.mask = buckets - 1;
    this.factors = Int32Array.from(factorsOf(seed));
  }

  /** Packets with the key at `words[at]` have this entry. False when there is no place for it. */
  put(words: Int32Array, at: number, reference: number): boolean {
    const hash = this.hash(words, at);
    const tag = hash & TAG_MASK;
    const first = (hash & this.mask) * WAYS;
    for (let place = first; place < first + WAYS; place++) {
      const word = this.words[place];
      if (word === 0) {
        this.words[place] = tag | (reference + 1);
        this.count++;
        return true;
      }
      if ((word & TAG_MASK) === tag) return false;
    }
    return false;
  }

  /** The entry that `put` was given is no more. */
  remove(words: Int32Array, at: number, reference: number): void {
    const hash = this.hash(words, at);
    const wanted = (hash & TAG_MASK) | (reference + 1);
    const first = (hash & this.mask) * WAYS;
    let last = first;
    while (last + 1 < first + WAYS && this.words[last + 1] !== 0) last++;
    for (let place = first; place <= last; place++) {
      if (this.words[place] !== wanted) continue;
      this.words[place] = this.words[last];
      this.words[last] = 0;
      this.count--;
      return;
    }
  }

  private hash(words: Int32Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < KEY_WORDS; i++) hash = Math.imul(hash ^ (hash >>> 16) ^ words[at + i], this.factors[i]);
    return finish(hash);
  }
}
