/**
 * How much one inside address may have of something there is not enough of: flows, external ports (RFC 6888 REQ-4). What is counted is given
 * back when it ends, so a host that stops is at 0 again without any sweep.
 */
import { Tally } from './tally.js';

export class SourceLimit {
  /** Most one address may have; 0 = no limit, and nothing is counted. */
  readonly limit: number;
  private readonly tally: Tally | null;

  /** @param capacity as many as can be counted in all. */
  constructor(limit: number, capacity: number, seed: number) {
    this.limit = limit;
    this.tally = limit === 0 ? null : new Tally(capacity, seed);
  }

  /** Inside addresses that have any. */
  get size(): number { return this.tally === null ? 0 : this.tally.size; }

  /** False when the address has reached `share` of what it may have. */
  hasRoom(a0: number, a1: number, a2: number, a3: number, share = 1): boolean {
    return this.tally === null || this.tally.count(0, a0, a1, a2, a3) < this.limit * share;
  }

  /** Count one more; false when nothing is counted, so there is nothing to give back. */
  add(a0: number, a1: number, a2: number, a3: number): boolean { return this.tally !== null && this.tally.add(0, a0, a1, a2, a3, 0); }

  /** One that `add` has counted has ended. */
  drop(a0: number, a1: number, a2: number, a3: number): void { this.tally?.drop(0, a0, a1, a2, a3); }

  /** What the address has now. */
  count(a0: number, a1: number, a2: number, a3: number): number { return this.tally === null ? 0 : this.tally.count(0, a0, a1, a2, a3); }
}
