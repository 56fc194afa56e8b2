/**
 * Which blocks of ports of leased addresses this instance may hand out ports of, and until when. The share worker leases them and tells us by orders
 * (BLOCKS, table/inbox.ts); each order says all there is to know of its address. When the time of an order has come all its blocks are
 * closed, whether or not anybody is there to say so. Looked at at the beginning of a turn, so what a turn maps it maps in time but for the length of the turn,
 * for which there is a margin (share/lease.ts).
 *
 * Once a protocol's ordinary ports in usable blocks are fewer than half a block, more are asked for: once, until there is an answer.
 */
import type { Plan } from '../base/plan.js';
import { parseIpv4 } from '../wire/address.js';
import { BLOCKS_ADDRESS, BLOCKS_BITMAP, BLOCKS_GROWS, BLOCKS_ORDER, BLOCKS_UNTIL_MS } from './inbox.js';
import { blockCount, LeaseBoard, leasedAddresses } from './lease-board.js';
import type { PortPool } from './port-pool.js';

/** Resting ports of a pool looked at per second: with what new flows sweep by the way it keeps up with any rate at which ports come to rest. */
const SWEEP_BUDGET = 1024;

interface LeasedAddress {
  readonly address: number;
  /** Its pools that are in use. */
  readonly pools: PortPool[];
  untilMs: number;
  grows: boolean;
  hasAsked: boolean;
}

export class PortLeases {
  readonly board: LeaseBoard;
  /** Fewer free ports than that are few. */
  private readonly lowWater: number;
  private readonly leased: readonly LeasedAddress[];
  private readonly rows: ReadonlyMap<number, number>;
  /** The soonest `untilMs`. */
  private dueMs = Infinity;
  private readonly moment = new Float64Array(1);
  private readonly momentWords = new Int32Array(this.moment.buffer);

  /** @param memory leaseBoardBytes(plan) of it; what stands in it from before is forgotten. */
  constructor(plan: Plan, memory: SharedArrayBuffer) {
    this.board = new LeaseBoard(memory, blockCount(plan));
    this.board.words.fill(0);
    this.lowWater = plan.share.portBlock / 2;
    this.leased = leasedAddresses(plan).map((text) => ({ address: parseIpv4(text), pools: [], untilMs: Infinity, grows: true, hasAsked: false }));
    this.rows = new Map(this.leased.map(({ address }, row) => [address, row]));
  }

  /** True for an address that other instances translate to as well, at the same time. */
  isLeased(address: number): boolean { return this.rows.has(address); }

  rowOf(address: number): number { return this.rows.get(address) ?? -1; }

  /** A pool of a leased address has been made. */
  add(address: number, pool: PortPool): void {
    const row = this.rowOf(address);
    const leased = this.leased[row];
    leased.pools.push(pool);
    pool.setGrows(leased.grows);
    for (let block = 0; block < this.board.blocks; block++) if (this.board.isUsable(row, block)) pool.setUsable(block, true);
  }

  /** Once a turn. */
  tick(nowMs: number): void {
    this.board.nowMs = nowMs;
    if (nowMs < this.dueMs) return;
    for (let row = 0; row < this.leased.length; row++) {
      if (nowMs < this.leased[row].untilMs) continue;
      this.leased[row].untilMs = Infinity;
      for (let block = 0; block < this.board.blocks; block++) this.setUsable(row, block, false);
    }
    this.settle();
  }

  /** Once a second: ports that have rested long enough are free, also while nobody asks for one, for else their blocks would never be empty. */
  sweep(tick: number): void {
    for (const { pools } of this.leased) for (const pool of pools) pool.sweep(tick, SWEEP_BUDGET);
  }

  /** Carry out an order: its payload is in `words` from `at` on. */
  obey(words: Int32Array, at: number, nowMs: number): void {
    const row = this.rowOf(words[at + BLOCKS_ADDRESS]);
    if (row < 0) return;
    const leased = this.leased[row];
    this.momentWords[0] = words[at + BLOCKS_UNTIL_MS];
    this.momentWords[1] = words[at + BLOCKS_UNTIL_MS + 1];
    const isInTime = nowMs < this.moment[0];
    leased.untilMs = isInTime ? this.moment[0] : Infinity;
    leased.grows = words[at + BLOCKS_GROWS] !== 0;
    leased.hasAsked = false;
    for (let block = 0; block < this.board.blocks; block++) {
      this.setUsable(row, block, isInTime && (words[at + BLOCKS_BITMAP + (block >>> 5)] & (1 << (block & 31))) !== 0);
    }
    for (const pool of leased.pools) pool.setGrows(leased.grows);
    this.board.setOrder(row, words[at + BLOCKS_ORDER]);
    this.settle();
  }

  /** True when a pool's ports have become scarce, and nobody was asked for more since the last order. */
  isScarce(address: number, pool: PortPool): boolean {
    if (pool.free >= this.lowWater) return false;
    const leased = this.leased[this.rowOf(address)];
    if (leased.hasAsked) return false;
    leased.hasAsked = true;
    return true;
  }

  private setUsable(row: number, block: number, isUsable: boolean): void {
    if (this.board.isUsable(row, block) === isUsable) return;
    this.board.setUsable(row, block, isUsable);
    for (const pool of this.leased[row].pools) pool.setUsable(block, isUsable);
  }

  private settle(): void {
    this.dueMs = Infinity;
    for (const { untilMs } of this.leased) this.dueMs = Math.min(this.dueMs, untilMs);
  }
}
