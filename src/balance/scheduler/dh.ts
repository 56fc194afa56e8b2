/**
 * Destination hashing: what is sent to one address comes to one server, as caches want it. It always falls back: a destination is not to be lost
 * to everybody because its cache is down. Cost of a pick: address-hash.ts.
 */
import type { SchedulerType } from './scheduler.js';
import { bucketHash } from './sh.js';

export const dh: SchedulerType = {
  name: 'dh',
  sentence: 'destination hashing: what is sent to one address always comes to the same server, as caches want it',
  by: 'destination',
  shares: 'weight',
  disruption: 'As sh with fallBack, by destination.',
  create: (pool) => bucketHash(pool, true),
};
