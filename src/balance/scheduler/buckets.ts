/**
 * Buckets shared out by weight: every target's part is worked out by largest remainder; targets with too many buckets give up just the surplus, and
 * only those change hands: the least that can. Not a scheduler; `resilient`, `sh` and `dh` stand on it.
 *
 * A part is off by less than one bucket. Cost: a look is one load, a sharing out the number of buckets and a sort of the targets.
 */
const NONE = -1;

export class Buckets {
  /** Bucket → target, NONE while nobody has a weight. */
  readonly owners: Int32Array;
  private readonly targetCount: number;

  /** @param count a power of two. */
  constructor(count: number, targetCount: number) {
    this.owners = new Int32Array(count).fill(NONE);
    this.targetCount = targetCount;
  }

  /** The target a hash comes to, or NONE. */
  at(hash: number): number { return this.owners[hash & (this.owners.length - 1)]; }

  /** Share the buckets out by these weights, one per target. Allocates: it is for changes, not for picks. */
  share(weights: ArrayLike<number>): void {
    const { owners, targetCount } = this;
    const count = owners.length;
    let total = 0;
    for (let i = 0; i < targetCount; i++) total += weights[i];
    if (total === 0) {
      owners.fill(NONE);
      return;
    }
    // Whole weights stay whole numbers here, so that equal remainders are equal and the first target wins them.
    const wanted = Array.from({ length: targetCount }, (_, i) => Math.floor((weights[i] * count) / total));
    const byRemainder = wanted.map((_, i) => ({ i, remainder: (weights[i] * count) % total }))
      .filter(({ i }) => weights[i] > 0).sort((a, b) => b.remainder - a.remainder || a.i - b.i);
    let missing = count - wanted.reduce((sum, one) => sum + one, 0);
    for (let next = 0; missing > 0; missing--, next++) wanted[byRemainder[next % byRemainder.length].i]++;

    const held = new Int32Array(targetCount);
    for (let b = 0; b < count; b++) {
      const owner = owners[b];
      if (owner === NONE) continue;
      if (held[owner] < wanted[owner]) held[owner]++;
      else owners[b] = NONE;
    }
    let taker = 0;
    for (let b = 0; b < count; b++) {
      if (owners[b] !== NONE) continue;
      while (held[taker] >= wanted[taker]) taker++;
      owners[b] = taker;
      held[taker]++;
    }
  }
}
