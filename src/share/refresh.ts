/**
 * The walk over the flow table, in slices, round and round: it writes again what the store has not heard of, and what has moved by more than a third of its life
 * since it was written (Replicator.isStale). One way round takes PASS_MS, so that even a table of a million flows costs next to nothing.
 *
 * When everything is to be written again (the store was emptied, the journal was full) it hurries, and goes as fast as the queue is written: only while
 * little waits there does it add to it, so that what changes just now never waits long behind what has not.
 */
import type { FlowReader } from '../table/flow-reader.js';
import type { Replicator } from './replicate.js';
import type { ShareCounts } from './status.js';

/** Once round the table. Half of what a record outlives its flow by (ttlOf in replicate.ts) at most. */
export const PASS_MS = 20_000;
/** Entries looked at in one step at most: a fraction of a millisecond. */
const STEP_ENTRIES = 16_384;
/** Changes that may wait while the walk adds to them. */
const LOW_WATER = 2000;

export class Walk {
  private readonly reader: FlowReader;
  private readonly replicator: Replicator;
  private readonly counts: ShareCounts;
  private at = 0;
  private lastMs: number;
  /** Parts of an entry that time has earned and no step has used. */
  private earned = 0;
  /** Entries until everything has been looked at since `all`. */
  private hurry = 0;
  private isPaused = false;

  constructor(reader: FlowReader, replicator: Replicator, counts: ShareCounts, nowMs: number) {
    this.reader = reader;
    this.replicator = replicator;
    this.counts = counts;
    this.lastMs = nowMs;
  }

  /** Everything is being written again. */
  get isHurrying(): boolean { return this.hurry > 0; }

  /** Go round once as fast as it can be written. */
  all(): void {
    this.hurry = Math.max(1, this.reader.high);
    this.counts.rewrites++;
  }

  /** Nothing is ours to write for a while. */
  pause(): void {
    this.isPaused = true;
    this.hurry = 0;
  }

  resume(): void { this.isPaused = false; }

  /** A slice. */
  step(nowMs: number): void {
    const { reader, replicator, counts } = this;
    const passedMs = Math.min(1000, nowMs - this.lastMs);
    this.lastMs = nowMs;
    const { high } = reader;
    if (this.isPaused || high === 0) return;
    this.earned = Math.min(STEP_ENTRIES, this.earned + (high * passedMs) / PASS_MS);
    let left = this.hurry > 0 ? STEP_ENTRIES : Math.floor(this.earned);
    this.earned -= Math.min(left, Math.floor(this.earned));
    for (; left > 0 && replicator.queue.unsent < LOW_WATER; left--) {
      if (this.at >= high) this.at = 0;
      const flow = this.at++;
      if (this.hurry > 0) this.hurry--;
      if (!replicator.isStale(flow)) continue;
      counts.refreshed++;
      replicator.again(flow, nowMs | 0);
    }
  }
}
