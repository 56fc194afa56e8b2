/**
 * Overflow: to the heaviest target that has fewer active flows than its weight, the first of equals; what is beyond overflows to the next. With all of
 * them full, none. The weight is the most active flows it gets this way (IPVS lets one more in). A TCP flow is active once it is established, so
 * a burst of opening ones may go beyond. Cost of a pick: one pass over the targets.
 */
import { Pool } from '../pool.js';
import type { SchedulerType } from './scheduler.js';

const NONE = -1;

export const ovf: SchedulerType = {
  name: 'ovf',
  sentence: 'weighted overflow: to the server of the highest weight while it has fewer active flows than its weight, then to the next',
  use: 'Servers that should be filled one after the other, as where each costs money while it runs.',
  by: 'flow',
  shares: 'first',
  disruption: 'When the first server goes new flows fill the next one, and when it returns they go back; with all of them full new flows are refused.',
  moves: { again: 74, down: 82, back: 81, added: 74, removed: 82, halved: 82 },
  create: ({ targets }) => ({
    pick(): number {
      let best = NONE;
      for (let i = 0; i < targets.length; i++) {
        const weight = Pool.effectiveWeight(targets[i]);
        if (weight > targets[i].active && (best === NONE || weight > targets[best].weight)) best = i;
      }
      return best;
    },
  }),
};
