/**
 * The contract of a scheduler: a name, and a pick. It is made for one pool; `pick` is called once per new flow with a hash and answers with the target's
 * place in the pool, or -1 when none may be chosen. What the hash is of, `by` says: the caller makes it. A pick must not allocate, unless the pool
 * has changed since the last one.
 */
import type { Random } from '../../base/random.js';
import type { Pool } from '../pool.js';

export interface Scheduler {
  pick(hash: number): number;
  /** Destinations it forgot for want of room, where it remembers any. */
  readonly evicted?: number;
}

/** What some schedulers need besides their pool. */
export interface SchedulerOptions {
  /** sh, mh: when the target the hash names may not be chosen, another one is; else none is. */
  fallBack: boolean;
  random: Random;
  /** Milliseconds, as the data plane reads them once a turn. */
  nowMs: () => number;
}

/**
 * Clients in a hundred that come to another server with their next flow than with their last one, where ten servers have the same weight and room
 * for all. test/balance/disruption.ts measures it; the shared suite compares what is stated with what is measured.
 */
export interface Moves {
  /** Nothing has changed but the order in which they come. */
  again: number;
  /** One server, the first in the list, went down (with fallBack), or came back. */
  down: number;
  back: number;
  /** One was added to the configuration, or the first removed from it. */
  added: number;
  removed: number;
  /** The first one's weight was halved at run time. */
  halved: number;
}

export interface SchedulerType {
  readonly name: string;
  /** One sentence for the docs. */
  readonly sentence: string;
  /** When to take it: one sentence for the docs. */
  readonly use: string;
  /** What `pick` wants a hash of: the whole flow, its source address (and port, if so configured), or its destination address. */
  readonly by: 'flow' | 'source' | 'destination';
  /**
   * What new flows are shared out by: the weights; nothing, each gets the same; the load, so that flows at work are as the weights, or are equal; or
   * nothing but the order, the heaviest first.
   */
  readonly shares: 'weight' | 'equal' | 'load' | 'equal-load' | 'first';
  /** One sentence for the docs: which flows come to another target when one comes, goes or changes its weight. */
  readonly disruption: string;
  readonly moves: Moves;
  create(pool: Pool, options: SchedulerOptions): Scheduler;
}
