/**
 * Buckets shared out by weight: every target's part is worked out by largest remainder; targets with too many buckets give up just the surplus, and
 * only those change hands: the least that can. Not a scheduler; `resilient`, `sh` and `dh` stand on it.
 *
 * Whoever has too few takes them by turns, each in an order of buckets of its own that depends on its key alone (as Maglev's places do, mh.ts). So the
 * buckets of a pool that is made anew with one target more or less, as a changed configuration makes it, are nearly where they were. After a change
 * at run time they depend on what was before; where several routers must agree for good, `mh` is the one.
 *
 * A part is off by less than one bucket. Cost: a look is one load, a sharing out buckets × ln(buckets) steps and a sort of the targets.
 */
import { finish, mix } from '../../base/hash.js';
import type { Target } from '../target.js';
import type { Slots } from './address-hash.js';

const NONE = -1;

export class Buckets implements Slots {
  readonly followHistory = true;
  /** Bucket → target, NONE while nobody has a weight. */
  readonly owners: Int32Array;
  /** A target's order of buckets: offset, offset + skip, offset + 2 skip … (mod the count). An odd skip comes to each of a power of two. */
  private readonly offsets: Int32Array;
  private readonly skips: Int32Array;

  /** @param count a power of two. */
  constructor(count: number, targets: readonly Target[]) {
    this.owners = new Int32Array(count).fill(NONE);
    this.offsets = Int32Array.from(targets, ({ key }) => finish(mix(1, key)) & (count - 1));
    this.skips = Int32Array.from(targets, ({ key }) => (finish(mix(2, key)) & (count - 1)) | 1);
  }

  /** The target a hash comes to, or NONE. */
  at(hash: number): number { return this.owners[hash & (this.owners.length - 1)]; }

  /** Share the buckets out by these weights, one per target. Allocates: it is for changes, not for picks. */
  share(weights: ArrayLike<number>): void {
    const { owners } = this;
    const wanted = this.parts(weights);
    const held = new Int32Array(wanted.length);
    for (let b = 0; b < owners.length; b++) {
      const owner = owners[b];
      if (owner === NONE) continue;
      if (held[owner] < wanted[owner]) held[owner]++;
      else owners[b] = NONE;
    }
    const next = this.offsets.slice();
    for (let takers = wanted.map((_, i) => i); takers.length > 0;) {
      takers = takers.filter((target) => held[target] < wanted[target]);
      for (const target of takers) {
        let bucket = next[target];
        while (owners[bucket] !== NONE) bucket = (bucket + this.skips[target]) & (owners.length - 1);
        owners[bucket] = target;
        next[target] = bucket;
        held[target]++;
      }
    }
  }

  /** How many buckets each target is to have. */
  private parts(weights: ArrayLike<number>): number[] {
    const count = this.owners.length;
    const all = Array.from(this.offsets, (_, i) => weights[i]);
    const total = all.reduce((sum, weight) => sum + weight, 0);
    if (total === 0) return all;
    // Whole weights stay whole numbers here, so that equal remainders are equal and the first target wins them.
    const parts = all.map((weight) => Math.floor((weight * count) / total));
    const byRemainder = all.map((weight, i) => ({ i, remainder: (weight * count) % total }))
      .filter(({ i }) => all[i] > 0).sort((a, b) => b.remainder - a.remainder || a.i - b.i);
    let missing = count - parts.reduce((sum, one) => sum + one, 0);
    for (let next = 0; missing > 0; missing--, next++) parts[byRemainder[next % byRemainder.length].i]++;
    return parts;
  }
}
