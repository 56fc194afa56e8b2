/**
 * Resilient: hash buckets shared out by weight, kept where they are whenever a weight or a member changes, and held to the weights.
 *
 * Theory of operation. A flow's hash names one of BUCKETS buckets and the bucket names its target, so the same flow comes to the same
 * target as long as the bucket stays. When the pool changes, the buckets are shared out anew among those that may be chosen, and as few move as
 * can (buckets.ts).
 *
 * A hash alone spreads flows like dice do: of 400 flows at 3:1 one run in fifty is off by five points. So each pick also keeps a
 * balance per target, up by its share, down by one when it is chosen; a flow whose target has run more than SLACK flows ahead of its
 * share goes to the target that lags most. This bounds the error to a few flows however the hashes fall (the idea of consistent
 * hashing with bounded loads), and with many flows turns away only a few in a hundred.
 *
 * Cost of a pick: one load and one pass over the targets (a group has a handful). A change costs BUCKETS steps, at the next pick.
 */
import { Pool } from '../pool.js';
import { Buckets } from './buckets.js';
import type { Scheduler, SchedulerType } from './scheduler.js';

export const BUCKETS = 1024;
/** Flows a target may be ahead of its share before it is passed over. */
export const SLACK = 8;
const NONE = -1;

export class Resilient implements Scheduler {
  readonly buckets: Buckets;
  private readonly pool: Pool;
  private readonly slack: number;
  private readonly share: Float64Array;
  private readonly balance: Float64Array;
  private seenVersion = NONE;

  /** @param slack flows a target may be ahead of its share; Infinity = the bucket alone decides, whatever else is going on. */
  constructor(pool: Pool, slack = SLACK) {
    this.pool = pool;
    this.slack = slack;
    this.buckets = new Buckets(BUCKETS, pool.targets);
    this.share = new Float64Array(pool.targets.length);
    this.balance = new Float64Array(pool.targets.length);
  }

  pick(hash: number): number {
    if (this.seenVersion !== this.pool.version) this.look();
    let chosen = this.buckets.at(hash);
    if (chosen === NONE) return NONE;
    const { share, balance } = this;
    if (balance[chosen] < -this.slack) {
      for (let i = 0; i < balance.length; i++) if (share[i] > 0 && balance[i] > balance[chosen]) chosen = i;
    }
    for (let i = 0; i < balance.length; i++) balance[i] += share[i];
    balance[chosen] -= 1;
    return chosen;
  }

  /** The pool has changed: share the buckets out by the weights of now. */
  private look(): void {
    this.seenVersion = this.pool.version;
    const { share } = this;
    let total = 0;
    for (let i = 0; i < share.length; i++) {
      share[i] = Pool.effectiveWeight(this.pool.targets[i]);
      total += share[i];
    }
    this.buckets.share(share);
    if (total > 0) for (let i = 0; i < share.length; i++) share[i] /= total;
    // Past unfairness is forgiven: a target that comes back must not be flooded to catch up.
    this.balance.fill(0);
  }
}

export const resilient: SchedulerType = {
  name: 'resilient',
  sentence: 'hash buckets shared out by weight; a change moves as few flows as it can, and the split keeps to the weights',
  use: 'UDP, or TCP that is opened again from the same port, where a flow should come back to its server and the split should keep to the weights none the less.',
  by: 'flow',
  shares: 'weight',
  disruption: 'The same flow comes to the same server again, but for a few in a hundred that keep the split to the weights; a change moves as few of the others as it can.',
  moves: { again: 5, down: 15, back: 14, added: 16, removed: 17, halved: 9 },
  create: (pool) => new Resilient(pool),
};
