/**
 * The seam between the share worker and its lease manager (lease.ts): what the one tells, and what the other may do. The worker owns the store and the
 * rings; the manager decides which blocks of ports to have.
 */
import type { ShareEvent, ShareLeaseStatus } from './status.js';
import type { Store } from './store.js';

export interface Leasing {
  /** Called every LEASE_TICK_MS, whether the store can be used or not: what is due is begun, nothing is waited for. */
  tick(nowMs: number): void;
  /** A PORTS record of the journal: free ports left in the usable blocks of an address (int32). */
  onPorts(address: number, free: number): void;
  /** The store can be used, under a new generation: what we hold is asked for anew, the blocks we had first. */
  onUsable(nowMs: number): void;
  /** It cannot: nothing is asked of it until it can. */
  onAway(nowMs: number): void;
  /** Give everything back, for the instance ends. */
  release(): Promise<void>;
  status(nowMs: number): ShareLeaseStatus[];
}

export const LEASE_TICK_MS = 100;

/** What a lease manager is made with. */
export interface LeasingContext {
  store: Store;
  /**
   * A record for the inbox, in int32 words (table/inbox.ts); it is put there in the order of the calls, and kept until there is room. Threads have clocks of
   * their own: a moment passes as milliseconds from now, to which who reads it adds its own now.
   */
  put(kind: number, words: readonly number[]): void;
  tell(event: ShareEvent): void;
  nowMs(): number;
}
