/**
 * Weighted round robin, interleaved (smooth weighted round robin): after n picks a target of share s has had less than n × s + 1 of them, and after a
 * whole cycle exactly its weight. The hash means nothing: whoever is next is next.
 *
 * Each pick adds to every target's credit its weight, and who has the most pays with the whole of the weights. With whole weights nothing drifts, and
 * after as many picks as the weights add up to all credits are 0 again.
 *
 * When the pool changes, credits go on in the measure of the new weights: targets that come and go often (full, free, full) do not begin the turns
 * anew each time, or the first of them would have every turn. Who comes back begins with nothing, so it is not flooded to catch up.
 *
 * Cost of a pick: one pass over the targets.
 */
import { Pool } from '../pool.js';
import type { Scheduler, SchedulerType } from './scheduler.js';

const NONE = -1;

export class WeightedRoundRobin implements Scheduler {
  private readonly pool: Pool;
  private readonly weight: Float64Array;
  private readonly credit: Float64Array;
  private total = 0;
  private seenVersion = NONE;

  constructor(pool: Pool) {
    this.pool = pool;
    this.weight = new Float64Array(pool.targets.length);
    this.credit = new Float64Array(pool.targets.length);
  }

  pick(): number {
    if (this.seenVersion !== this.pool.version) this.look();
    const { weight, credit } = this;
    let chosen = NONE;
    for (let i = 0; i < weight.length; i++) {
      if (weight[i] === 0) continue;
      credit[i] += weight[i];
      if (chosen === NONE || credit[i] > credit[chosen]) chosen = i;
    }
    if (chosen !== NONE) credit[chosen] -= this.total;
    return chosen;
  }

  private look(): void {
    this.seenVersion = this.pool.version;
    const { weight, credit } = this;
    const before = this.total;
    this.total = 0;
    for (let i = 0; i < weight.length; i++) {
      const had = weight[i];
      weight[i] = Pool.effectiveWeight(this.pool.targets[i]);
      this.total += weight[i];
      if (had === 0 || weight[i] === 0) credit[i] = 0;
    }
    if (before > 0 && this.total > 0 && before !== this.total) for (let i = 0; i < credit.length; i++) credit[i] *= this.total / before;
  }
}

export const wrr: SchedulerType = {
  name: 'wrr',
  sentence: 'weighted round robin: each server takes its turns, as many as its weight, spread out evenly',
  use: 'Servers of unequal strength and flows of much the same length; the split is exact however few flows there are.',
  by: 'flow',
  shares: 'weight',
  disruption: 'Every client may come to another server with each new flow; a change only changes whose turn it is.',
  moves: { again: 90, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: (pool) => new WeightedRoundRobin(pool),
};
