/**
 * Hash: as resilient shares out its buckets, but the bucket alone decides. For what must come to the same target whatever else is going on: all
 * flows of one address. The split is as even as the hashes are, and no target gets less than a bucket's share right.
 */
import { Resilient } from './resilient.js';
import type { SchedulerType } from './scheduler.js';

export const hash: SchedulerType = {
  name: 'hash',
  sentence: 'hash buckets shared out by weight; the same hash comes to the same target as long as the pool stands, and a change moves as few as it can',
  create: (pool) => new Resilient(pool, Infinity),
};
