/** Locality-based least connections with replication, for farms of caches: a destination in demand gets more servers. How: locality.ts. */
import { Locality } from './locality.js';
import type { SchedulerType } from './scheduler.js';

export const lblcr: SchedulerType = {
  name: 'lblcr',
  sentence: 'locality-based least connections with replication: as lblc, but a destination in demand is served by several servers',
  use: 'As lblc where single destinations are in more demand than one cache can bear.',
  by: 'destination',
  shares: 'load',
  disruption: 'As lblc; a destination with replicas goes on with those that are left.',
  moves: { again: 0, down: 10, back: 0, added: 91, removed: 90, halved: 0 },
  create: (pool, { nowMs }) => new Locality(pool, true, nowMs),
};
