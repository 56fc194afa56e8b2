/** What `weir leases` shows: the store's leases of all instances, beside what is known here of the ports in them. */
import type { Plan } from '../base/plan.js';
import { blockCount, LeaseBoard, leasedAddresses } from '../table/lease-board.js';
import type { Lease } from './store.js';

/** Services' ports, which are kept apart from ordinary ones (table/port-pool.ts). */
const SERVICES_FIRST = 512;
const SERVICES_END = 1024;

export interface LeaseRow {
  address: string;
  block: number;
  /** First and last port of the block that may be handed out. */
  firstPort: number;
  lastPort: number;
  instance: string;
  isOurs: boolean;
  /** Milliseconds the lease is good for. */
  leftMs: number;
  /** Ports in use or at rest, and free ones, in the protocol that has most in use; null = not ours, so that only what was adopted is known. */
  used: number | null;
  free: number | null;
}

/** By address, in the order of the plan, then by block. Leases of addresses that are not in the plan come last. */
export function leaseRows(plan: Plan, memory: SharedArrayBuffer, leases: readonly Lease[]): LeaseRow[] {
  const { share, limits } = plan;
  const board = new LeaseBoard(memory, blockCount(plan));
  const rows = new Map(leasedAddresses(plan).map((address, row) => [address, row]));
  const place = (address: string): number => rows.get(address) ?? rows.size;
  return leases.map(({ address, block, instance, leftMs }): LeaseRow => {
    const from = block * share.portBlock;
    const last = Math.min(limits.snatPortLast, from + share.portBlock - 1);
    const services = limits.snatPortFirst >= SERVICES_END && last < limits.snatPortFirst;
    const firstPort = Math.max(from, services ? SERVICES_FIRST : limits.snatPortFirst);
    const row = rows.get(address);
    const isOurs = instance === share.instance;
    const used = isOurs && row !== undefined ? board.used(row, block) : null;
    return { address, block, firstPort, lastPort: last, instance, isOurs, leftMs, used, free: used === null ? null : Math.max(0, last - firstPort + 1 - used) };
  }).sort((a, b) => place(a.address) - place(b.address) || a.address.localeCompare(b.address) || a.block - b.block);
}
