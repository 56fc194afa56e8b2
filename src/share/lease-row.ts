/** What `weir leases` shows of a lease, as the store has it, beside what is known here of the ports in it. */
import type { Plan } from '../base/plan.js';
import { blockCount, LeaseBoard, leasedAddresses } from '../table/lease-board.js';
import type { Lease } from './store.js';

/** Services' ports, which are kept apart from ordinary ones (table/port-pool.ts). */
const SERVICES_FIRST = 512;
const SERVICES_END = 1024;

export interface LeaseRow extends Lease {
  /** First and last port of the block that source translation uses. */
  firstPort: number;
  lastPort: number;
  isOurs: boolean;
  /** Ports in use or at rest, and free ones, in the protocol that has most in use; null = not ours, or not known here. */
  used: number | null;
  free: number | null;
}

/** @param memory the board (table/lease-board.ts); null = there is none. */
export function leaseRow(plan: Plan, memory: SharedArrayBuffer | null, lease: Lease): LeaseRow {
  const { share, limits } = plan;
  const from = lease.block * share.portBlock;
  const lastPort = Math.min(limits.snatPortLast, from + share.portBlock - 1);
  const isServices = limits.snatPortFirst >= SERVICES_END && lastPort < limits.snatPortFirst;
  const firstPort = Math.max(from, isServices ? SERVICES_FIRST : limits.snatPortFirst);
  const isOurs = lease.instance === share.instance;
  const row = leasedAddresses(plan).indexOf(lease.address);
  const used = isOurs && row >= 0 && memory !== null && lease.block < blockCount(plan) ? new LeaseBoard(memory, blockCount(plan)).used(row, lease.block) : null;
  return { ...lease, firstPort, lastPort, isOurs, used, free: used === null ? null : Math.max(0, lastPort - firstPort + 1 - used) };
}
