/** The stores there are, by the names they have in the configuration. What a store stands on is loaded with it, so that nobody needs a client library for memory. */
import type { SharePlan } from '../base/plan.js';
import { MemoryStore } from './memory.js';
import type { Store } from './store.js';

/** A store as planned, not opened yet. @param incarnation tells this process from every other; absent = whoever it is registers nothing. */
export async function createStore({ store, redis, aliveMs }: SharePlan, incarnation?: string): Promise<Store> {
  switch (store) {
    case 'memory': return new MemoryStore();
    case 'redis': {
      if (redis === undefined) throw new TypeError('a plan with share.store redis has share.redis');
      const { RedisStore } = await import('./redis.js');
      return new RedisStore(redis, incarnation === undefined ? {} : { self: { incarnation, aliveMs } });
    }
  }
}
