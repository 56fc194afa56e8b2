/**
 * Never queue: a target without an active flow, if there is one, else as sed. Of several idle ones the heaviest, which is the one sed would take among
 * them (IPVS takes the first in its list). Cost of a pick: one pass over the targets, and a second one when none is idle.
 */
import { Pool } from '../pool.js';
import { delay, least } from './load.js';
import type { SchedulerType } from './scheduler.js';

const NONE = -1;

export const nq: SchedulerType = {
  name: 'nq',
  sentence: 'never queue: an idle server if there is one, the heaviest of several, else as sed',
  use: 'As sed where an idle server must never be left idle.',
  by: 'flow',
  shares: 'load',
  disruption: 'Every client may come to another server with each new flow; a server that comes up is idle and gets the next one.',
  moves: { again: 90, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: ({ targets }) => ({
    pick(): number {
      let idle = NONE;
      for (let i = 0; i < targets.length; i++) {
        const weight = Pool.effectiveWeight(targets[i]);
        if (weight > 0 && targets[i].active === 0 && (idle === NONE || weight > targets[idle].weight)) idle = i;
      }
      return idle === NONE ? least(targets, delay) : idle;
    },
  }),
};
