/** Locality-based least connections, for farms of caches: a destination moves only when its server is overloaded. How: locality.ts. */
import { Locality } from './locality.js';
import type { SchedulerType } from './scheduler.js';

export const lblc: SchedulerType = {
  name: 'lblc',
  sentence: 'locality-based least connections: a destination stays with the server that had it last, unless that one is overloaded and another is not',
  use: 'Caches behind a virtual server of many destinations that are in demand by turns.',
  by: 'destination',
  shares: 'load',
  disruption: 'Destinations of a server that goes move to the least loaded of the others, each with its next flow, and stay there; all others stay where they are.',
  moves: { again: 0, down: 10, back: 0, added: 91, removed: 90, halved: 0 },
  create: (pool, { nowMs }) => new Locality(pool, false, nowMs),
};
