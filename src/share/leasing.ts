/**
 * The seam between the share worker and its lease manager (lease.ts): what the one tells, and what the other may do. The worker owns the store and the
 * rings; the manager decides which blocks of ports to have.
 */
import type { Plan } from '../base/plan.js';
import type { ShareEvent, ShareLeaseStatus } from './status.js';
import type { Store } from './store.js';

export interface Leasing {
  /** Called every LEASE_TICK_MS, whether the store can be used or not: what is due is begun, nothing is waited for. */
  tick(nowMs: number): void;
  /** A PORTS record of the journal (table/journal.ts): ports of an address (int32) in use or resting, and free ones left in its usable blocks. */
  onPorts(address: number, used: number, free: number): void;
  /** The store can be used, under a new generation: what we hold is asked for anew, the blocks we had first. */
  onUsable(nowMs: number): void;
  /** It cannot: nothing is asked of it until it can. */
  onAway(nowMs: number): void;
  /** What we hold is another's who has our name: it is neither used nor prolonged any more. */
  onLost(): void;
  /** Give everything back, for the instance ends. `isPlaneGone`: the data plane has ended, so nobody hands out ports any more and nobody says so. */
  release(isPlaneGone: boolean): Promise<void>;
  status(nowMs: number): ShareLeaseStatus[];
}

/** A rush uses up a block of 1024 ports in this time. */
export const LEASE_TICK_MS = 20;

/** What a lease manager is made with. */
export interface LeasingContext {
  plan: Plan;
  store: Store;
  /** ShareOptions.leases. */
  board: SharedArrayBuffer;
  /** BLOCKS for the inbox (table/inbox.ts), its payload; put there in the order of the calls, behind every flow loaded before, and kept until there is room. */
  blocks(payload: Int32Array): void;
  /** All flows that the store knows are in the data plane, or in the inbox before what is put there now: until then no block is leased that was not held. */
  isLoaded(): boolean;
  tell(event: ShareEvent): void;
  nowMs(): number;
}
