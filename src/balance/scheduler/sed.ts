/** Shortest expected delay: the target that would have the fewest active flows for its weight with this one. Cost of a pick: one pass over the targets. */
import { delay, least } from './load.js';
import type { SchedulerType } from './scheduler.js';

export const sed: SchedulerType = {
  name: 'sed',
  sentence: 'shortest expected delay: the server that would have the fewest active flows for its weight, this one counted',
  use: 'As wlc where few flows meet very unequal servers: no light server is given a flow while a strong one would still be sooner done with it.',
  by: 'flow',
  shares: 'load',
  disruption: 'Every client may come to another server with each new flow; a server that comes up gets new flows until it has its part.',
  moves: { again: 90, down: 90, back: 90, added: 91, removed: 90, halved: 90 },
  create: ({ targets }) => ({ pick: () => least(targets, delay) }),
};
