/** Least connections: the target with the fewest flows, weights of no account except that 0 gets nothing. Cost of a pick: one pass over the targets. */
import { Pool } from '../pool.js';
import { load } from './load.js';
import type { SchedulerType } from './scheduler.js';

const NONE = -1;

export const lc: SchedulerType = {
  name: 'lc',
  sentence: 'least connections: the server with the fewest flows, whatever their weights',
  use: 'Servers of equal strength and flows of very different length.',
  by: 'flow',
  shares: 'equal-load',
  disruption: 'Every client may come to another server with each new flow; a server that comes up gets the new flows until it has as many as the others.',
  moves: { again: 90, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: ({ targets }) => ({
    pick(): number {
      let best = NONE;
      let bestLoad = 0;
      for (let i = 0; i < targets.length; i++) {
        if (Pool.effectiveWeight(targets[i]) === 0) continue;
        const its = load(targets[i]);
        if (best === NONE || its < bestLoad) {
          best = i;
          bestLoad = its;
        }
      }
      return best;
    },
  }),
};
