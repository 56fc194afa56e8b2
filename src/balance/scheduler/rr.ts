/**
 * Round robin: one after the other, weights of no account except that 0 gets nothing. Cost of a pick: one step, and one more for every target
 * that may not be chosen.
 */
import { Pool } from '../pool.js';
import type { Scheduler, SchedulerType } from './scheduler.js';

const NONE = -1;

class RoundRobin implements Scheduler {
  private readonly pool: Pool;
  private last = NONE;

  constructor(pool: Pool) { this.pool = pool; }

  pick(): number {
    const { targets } = this.pool;
    for (let steps = 1; steps <= targets.length; steps++) {
      const place = (this.last + steps) % targets.length;
      if (Pool.effectiveWeight(targets[place]) === 0) continue;
      this.last = place;
      return place;
    }
    return NONE;
  }
}

export const rr: SchedulerType = {
  name: 'rr',
  sentence: 'round robin: one after the other, whatever their weights',
  use: 'Servers of equal strength and flows of much the same length.',
  by: 'flow',
  shares: 'equal',
  disruption: 'Every client may come to another server with each new flow; a server that comes or goes only changes whose turn it is.',
  moves: { again: 90, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: (pool) => new RoundRobin(pool),
};
