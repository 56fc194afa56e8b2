/**
 * Resilient: hash buckets shared out by weight, kept where they are whenever a weight or a member changes, and held to the weights.
 *
 * Theory of operation. A flow's hash names one of BUCKETS buckets and the bucket names its target, so the same flow comes to the same
 * target as long as the bucket stays. When the pool changes, every target's wanted number of buckets is worked out anew (largest
 * remainder); targets that have too many give up just the surplus, and only those buckets move: the least that can move.
 *
 * A hash alone spreads flows like dice do: of 400 flows at 3:1 one run in fifty is off by five points. So each pick also keeps a
 * balance per target, up by its share, down by one when it is chosen; a flow whose target has run more than SLACK flows ahead of its
 * share goes to the target that lags most. This bounds the error to a few flows however the hashes fall (the idea of consistent
 * hashing with bounded loads), and with many flows turns away only a few in a hundred.
 *
 * Cost of a pick: one load and one pass over the targets (a group has a handful). A rebuild costs BUCKETS steps.
 */
import { Pool } from '../pool.js';
import type { Scheduler, SchedulerType } from './scheduler.js';

export const BUCKETS = 1024;
/** Flows a target may be ahead of its share before it is passed over. */
export const SLACK = 8;
const NONE = -1;

export class Resilient implements Scheduler {
  private readonly pool: Pool;
  private readonly slack: number;
  /** Bucket → target, NONE while nobody may be chosen. */
  readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  private readonly share: Float64Array;
  private readonly balance: Float64Array;
  private seenVersion = NONE;

  /** @param slack flows a target may be ahead of its share; Infinity = the bucket alone decides. */
  constructor(pool: Pool, slack = SLACK) {
    this.pool = pool;
    this.slack = slack;
    this.share = new Float64Array(pool.targets.length);
    this.balance = new Float64Array(pool.targets.length);
  }

  pick(hash: number): number {
    if (this.seenVersion !== this.pool.version) this.rebuild();
    let chosen = this.buckets[hash & (BUCKETS - 1)];
    if (chosen === NONE) return NONE;
    const { share, balance } = this;
    if (balance[chosen] < -this.slack) {
      for (let i = 0; i < balance.length; i++) if (share[i] > 0 && balance[i] > balance[chosen]) chosen = i;
    }
    for (let i = 0; i < balance.length; i++) balance[i] += share[i];
    balance[chosen] -= 1;
    return chosen;
  }

  /** Share the buckets out by the weights of now, moving as few as can be. */
  private rebuild(): void {
    this.seenVersion = this.pool.version;
    const { targets } = this.pool;
    const weights = targets.map((target) => Pool.effectiveWeight(target));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    if (total === 0) {
      this.buckets.fill(NONE);
      this.share.fill(0);
      this.balance.fill(0);
      return;
    }
    // In whole numbers, so that equal remainders are equal and the first target wins them.
    const wanted = weights.map((weight) => Math.floor((weight * BUCKETS) / total));
    const byRemainder = weights.map((weight, i) => ({ i, remainder: (weight * BUCKETS) % total }))
      .sort((a, b) => b.remainder - a.remainder || a.i - b.i);
    let missing = BUCKETS - wanted.reduce((sum, count) => sum + count, 0);
    for (const { i } of byRemainder) if (missing > 0 && weights[i] > 0) { wanted[i]++; missing--; }

    const held = new Int32Array(targets.length);
    for (let b = 0; b < BUCKETS; b++) {
      const owner = this.buckets[b];
      if (owner === NONE) continue;
      if (held[owner] < wanted[owner]) held[owner]++;
      else this.buckets[b] = NONE;
    }
    let taker = 0;
    for (let b = 0; b < BUCKETS; b++) {
      if (this.buckets[b] !== NONE) continue;
      while (held[taker] >= wanted[taker]) taker++;
      this.buckets[b] = taker;
      held[taker]++;
    }
    for (let i = 0; i < weights.length; i++) this.share[i] = weights[i] / total;
    // Past unfairness is forgiven: a target that comes back must not be flooded to catch up.
    this.balance.fill(0);
  }
}

export const resilient: SchedulerType = {
  name: 'resilient',
  sentence: 'hash buckets shared out by weight; a change moves as few flows as it can, and the split keeps to the weights',
  create: (pool) => new Resilient(pool),
};
