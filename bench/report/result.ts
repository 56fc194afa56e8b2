/** What a run of the bench leaves: the shape of bench/out/bench.json, from which table, plot and documentation are made. */
import type { MicroResult } from '../micro/run.js';
import type { FarmResult, NetResult, ShareResult } from '../net/run.js';
import type { Machine } from './machine.js';

export interface BenchResult {
  schemaVersion: 1;
  /** ISO 8601. */
  startedAt: string;
  seconds: number;
  isQuick: boolean;
  /** Rows asked for; empty = all. */
  only: string[];
  machine: Machine;
  net: NetResult | null;
  /** Virtual servers. */
  servers: FarmResult | null;
  /** With sharing on and off. */
  share: ShareResult | null;
  micro: MicroResult | null;
}
