/**
 * Weighted round robin, interleaved (smooth weighted round robin): after n picks a target of share s has had less than n × s + 1 of them, and after a
 * whole round exactly its weight. The hash means nothing: whoever is next is next.
 *
 * Each pick adds to every target's credit its weight, and who has the most pays with the whole of the weights. Integers throughout, so nothing
 * drifts, and after as many picks as the weights add up to all credits are 0 again.
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
    if (this.seenVersion !== this.pool.version) this.begin();
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

  /** With other weights the turns begin anew: who comes back must not be flooded to catch up. */
  private begin(): void {
    this.seenVersion = this.pool.version;
    this.total = 0;
    for (let i = 0; i < this.weight.length; i++) {
      this.weight[i] = Pool.effectiveWeight(this.pool.targets[i]);
      this.total += this.weight[i];
    }
    this.credit.fill(0);
  }
}

export const wrr: SchedulerType = {
  name: 'wrr',
  sentence: 'each target takes its turns, as many as its weight, spread out evenly; the hash means nothing',
  create: (pool) => new WeightedRoundRobin(pool),
};
