/**
 * The contract of a scheduler: a name, and a pick. It is made for one pool; `pick` is called once per new flow with the flow's hash and
 * answers with the target's place in the pool, or -1 when none may be chosen. It must not allocate.
 */
import type { Pool } from '../pool.js';

export interface Scheduler {
  pick(hash: number): number;
}

export interface SchedulerType {
  readonly name: string;
  /** One sentence for the docs. */
  readonly sentence: string;
  create(pool: Pool): Scheduler;
}
