/**
 * Power of two choices (Mitzenmacher 2001): two targets are drawn by weight, and the one with the fewer flows for its weight takes the flow. Nearly as
 * even as looking at all of them (of n targets the fullest is ahead by about log log n flows, where one draw alone would leave it ahead by log n ÷ log
 * log n), and a crowd of balancers that do not see each other does not run to the same idle target.
 *
 * Cost of a pick: two binary searches among the targets.
 */
import type { Random } from '../../base/random.js';
import { Pool } from '../pool.js';
import { load } from './load.js';
import type { Scheduler, SchedulerType } from './scheduler.js';

const NONE = -1;
const ALL_DRAWS = 0x1_0000_0000;

class TwoChoices implements Scheduler {
  private readonly pool: Pool;
  private readonly random: Random;
  /** Of each target: the weights up to its own, its own with them. */
  private readonly upTo: Float64Array;
  private seenVersion = NONE;

  constructor(pool: Pool, random: Random) {
    this.pool = pool;
    this.random = random;
    this.upTo = new Float64Array(pool.targets.length);
  }

  pick(): number {
    if (this.seenVersion !== this.pool.version) this.look();
    const { targets } = this.pool;
    if (targets.length === 0 || this.upTo[targets.length - 1] === 0) return NONE;
    const one = this.draw(), other = this.draw();
    return load(targets[other]) * targets[one].weight < load(targets[one]) * targets[other].weight ? other : one;
  }

  /** A target, each with the chance its weight has among all: the first whose weights reach beyond the point drawn. */
  private draw(): number {
    const { upTo } = this;
    let high = upTo.length - 1;
    const point = ((this.random.next() >>> 0) / ALL_DRAWS) * upTo[high];
    for (let low = 0; low < high;) {
      const middle = (low + high) >> 1;
      if (upTo[middle] > point) high = middle;
      else low = middle + 1;
    }
    return high;
  }

  private look(): void {
    this.seenVersion = this.pool.version;
    const { targets } = this.pool;
    let total = 0;
    for (let i = 0; i < targets.length; i++) {
      total += Pool.effectiveWeight(targets[i]);
      this.upTo[i] = total;
    }
  }
}

export const twos: SchedulerType = {
  name: 'twos',
  sentence: 'power of two choices: of two servers drawn by weight, the one with the fewer flows for its weight',
  use: 'Very many servers, or several routers at work at once that do not know each other’s flows.',
  by: 'flow',
  shares: 'load',
  disruption: 'Every client may come to another server with each new flow; a server that comes up fills gently, for only the draws that fall on it lead there.',
  moves: { again: 89, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: (pool, { random }) => new TwoChoices(pool, random),
};
