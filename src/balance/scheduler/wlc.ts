/** Weighted least connections: the target with the fewest flows for its weight. Cost of a pick: one pass over the targets. */
import { least, load } from './load.js';
import type { SchedulerType } from './scheduler.js';

export const wlc: SchedulerType = {
  name: 'wlc',
  sentence: 'weighted least connections: the server with the fewest flows for its weight',
  use: 'The default: flows of very different length on servers of unequal strength.',
  by: 'flow',
  shares: 'load',
  disruption: 'Every client may come to another server with each new flow; a server that comes up gets new flows until it has its part.',
  moves: { again: 90, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: ({ targets }) => ({ pick: () => least(targets, load) }),
};
