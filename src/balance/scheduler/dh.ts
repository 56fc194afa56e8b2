/**
 * Destination hashing: what is sent to one address comes to one server, as caches want it. It always falls back: a destination is not to be lost
 * to everybody because its cache is down. Cost of a pick: address-hash.ts.
 */
import type { SchedulerType } from './scheduler.js';
import { bucketHash } from './sh.js';

export const dh: SchedulerType = {
  name: 'dh',
  sentence: 'destination hashing: what is sent to one address always comes to the same server, as caches want it',
  use: 'Caches behind a virtual server of many destinations.',
  by: 'destination',
  shares: 'weight',
  disruption: 'As sh with fallBack, by destination.',
  moves: { again: 0, down: 10, back: 10, added: 13, removed: 12, halved: 4 },
  create: (pool) => bucketHash(pool, true),
};
