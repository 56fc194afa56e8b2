/** Weighted least connections: the target with the fewest flows for its weight. Cost of a pick: one pass over the targets. */
import { least, load } from './load.js';
import type { SchedulerType } from './scheduler.js';

export const wlc: SchedulerType = {
  name: 'wlc',
  sentence: 'weighted least connections: the server with the fewest flows for its weight',
  by: 'flow',
  shares: 'load',
  disruption: 'Every client may come to another server with each new flow; a server that comes up gets new flows until it has its part.',
  create: ({ targets }) => ({ pick: () => least(targets, load) }),
};
