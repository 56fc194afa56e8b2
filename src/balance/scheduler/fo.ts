/** Failover: all to the heaviest target that may be chosen, the first of equals. Cost of a pick: one pass over the targets. */
import { Pool } from '../pool.js';
import type { SchedulerType } from './scheduler.js';

const NONE = -1;

export const fo: SchedulerType = {
  name: 'fo',
  sentence: 'weighted failover: all to the server of the highest weight that is up',
  use: 'A server and its stand-ins.',
  by: 'flow',
  shares: 'first',
  disruption: 'All new flows go to the next server when the first one goes, and back when it returns.',
  moves: { again: 0, down: 100, back: 100, added: 0, removed: 100, halved: 100 },
  create: ({ targets }) => ({
    pick(): number {
      let best = NONE;
      for (let i = 0; i < targets.length; i++) {
        const weight = Pool.effectiveWeight(targets[i]);
        if (weight > 0 && (best === NONE || weight > targets[best].weight)) best = i;
      }
      return best;
    },
  }),
};
