/** Rounds of every load on every peer, back and forth: A B C, B C A, C A B, … so that whatever drifts, drifts for all. */
import { Lab } from '../../netns/kit/lab.js';
import { busySeconds, CPU_COUNT } from './cpu.js';
import { LOADS } from './loads.js';
import { PEERS, Site } from './site.js';
import type { Peer } from './site.js';

export interface NetOptions {
  rounds: number;
  seconds: number;
  /** Only loads whose name holds one of these; empty = all. */
  only: readonly string[];
  say: (line: string) => void;
}

/** Row → peer → one sample a round. */
export type NetSamples = Record<string, Record<Peer, number[]>>;

export interface NetResult {
  rounds: number;
  seconds: number;
  samples: NetSamples;
  /** CPUs that were busy with something else before it began, of all there are. */
  othersCpus: number;
}

const IDLE_LOOK_MS = 1000;

/** How busy the machine is while nothing of ours runs. */
async function othersCpus(): Promise<number> {
  const before = busySeconds();
  const startMs = performance.now();
  await new Promise((resolve) => { setTimeout(resolve, IDLE_LOOK_MS); });
  return ((busySeconds() - before) * 1000) / (performance.now() - startMs);
}

/** Loads the given names stand for. The paced loads and the latency need the floods before them. */
function chosen(only: readonly string[]): typeof LOADS {
  if (only.length === 0) return LOADS;
  const wanted = LOADS.filter(({ name }) => only.some((part) => name.includes(part)));
  const needed = new Set(wanted.flatMap(({ name }) => (name === 'latency' ? ['udp-1', 'udp-10000'] : name.startsWith('udp-cpu-') ? [name.replace('-cpu', '')] : [])));
  return LOADS.filter((load) => wanted.includes(load) || needed.has(load.name));
}

export async function runNet(options: NetOptions): Promise<NetResult | null> {
  const loads = chosen(options.only);
  if (loads.length === 0) return null;
  const samples: NetSamples = {};
  const of = (row: string): Record<Peer, number[]> => (samples[row] ??= { kernel: [], raw: [], tap: [], 'raw+': [], bridge: [], 'bridge+': [] });
  const lab = Lab.open('bench');
  try {
    const sites: Site[] = [];
    for (const peer of PEERS) sites.push(await Site.up(lab, peer));
    const others = await othersCpus();
    options.say(`${sites.length} sites are up; ${others.toFixed(2)} of ${CPU_COUNT} CPUs are busy with something else`);
    for (let round = 0; round < options.rounds; round++) {
      for (const load of loads) {
        const line: string[] = [];
        for (let i = 0; i < sites.length; i++) {
          const site = sites[(i + round) % sites.length];
          const values = await load.run(site, { seconds: options.seconds, samples: (row, peer) => of(row)[peer] });
          site.assertRunning();
          for (const [row, value] of Object.entries(values)) {
            of(row)[site.peer].push(value);
            line.push(`${site.peer} ${value.toPrecision(4)}`);
          }
        }
        options.say(`round ${round + 1} of ${options.rounds}  ${load.name.padEnd(14)} ${line.join('  ')}`);
      }
    }
    return { rounds: options.rounds, seconds: options.seconds, samples, othersCpus: others };
  } finally {
    lab.close();
  }
}
