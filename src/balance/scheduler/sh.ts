/**
 * Source hashing: the client's address (and port, if so configured) names a bucket, and the bucket its server. The split is as even as the clients
 * are many. After a change of weight at run time the buckets depend on what was before (buckets.ts), so two routers with another history, or one
 * before and after a restart, may lead some clients to different servers; `mh` does not. Cost of a pick: address-hash.ts.
 */
import type { Pool } from '../pool.js';
import { AddressHash } from './address-hash.js';
import { Buckets } from './buckets.js';
import type { SchedulerType } from './scheduler.js';

/** At least so many buckets, and at least so many for each target: a part is off by less than one. */
const BUCKETS = 1024;
const BUCKETS_PER_TARGET = 64;

/** Hashing over buckets, by whatever address the caller hashes. */
export function bucketHash(pool: Pool, fallBack: boolean): AddressHash {
  let count = BUCKETS;
  while (count < pool.targets.length * BUCKETS_PER_TARGET) count *= 2;
  return new AddressHash(pool, new Buckets(count, pool.targets), fallBack);
}

export const sh: SchedulerType = {
  name: 'sh',
  sentence: 'source hashing: a client (its address, or its address and port) always comes to the same server',
  use: 'Servers that keep something of a client and do not share it, with one router, or routers of which one works at a time.',
  by: 'source',
  shares: 'weight',
  disruption: 'A server that is down moves no client but its own: they are refused, or with fallBack spread over the others, and find it again when it returns. Another weight moves the least part of the clients that it can.',
  moves: { again: 0, down: 10, back: 10, added: 13, removed: 12, halved: 4 },
  create: (pool, { fallBack }) => bucketHash(pool, fallBack),
};
