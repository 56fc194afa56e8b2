/** The jobs of a router, of a balancer, and of one that shares its state: every load on every peer. */
import { Lab } from '../../netns/kit/lab.js';
import { busySeconds, CPU_COUNT } from './cpu.js';
import { Farm, FARM_LOADS, FARM_PEERS, hasIpvs } from './farm.js';
import type { FarmPeer } from './farm.js';
import { LOADS } from './loads.js';
import { runRounds } from './rounds.js';
import type { Samples } from './rounds.js';
import { SHARE_LOADS, SHARE_PEERS, ShareSite } from './share.js';
import type { SharePeer } from './share.js';
import { PEERS, Site } from './site.js';
import type { Peer } from './site.js';

export interface NetOptions {
  rounds: number;
  seconds: number;
  /** Only loads whose name holds one of these; empty = all. */
  only: readonly string[];
  say: (line: string) => void;
}

export type NetSamples = Samples<Peer>;

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
  const lab = Lab.open('bench');
  try {
    const sites: Site[] = [];
    for (const peer of PEERS) sites.push(await Site.up(lab, peer));
    const others = await othersCpus();
    options.say(`${sites.length} sites are up; ${others.toFixed(2)} of ${CPU_COUNT} CPUs are busy with something else`);
    const samples = await runRounds(sites, loads, options);
    return { rounds: options.rounds, seconds: options.seconds, samples, othersCpus: others };
  } finally {
    lab.close();
  }
}

export interface FarmResult {
  rounds: number;
  seconds: number;
  samples: Samples<FarmPeer>;
  /** What the kernel peer is. */
  kernel: 'IPVS' | 'nftables';
}

/** The jobs of virtual servers. */
export async function runFarm(options: NetOptions): Promise<FarmResult | null> {
  const loads = FARM_LOADS.filter(({ name }) => options.only.length === 0 || options.only.some((part) => name.includes(part)));
  if (loads.length === 0) return null;
  const kernel = hasIpvs() ? 'IPVS' : 'nftables';
  const lab = Lab.open('bench');
  try {
    const farms: Farm[] = [];
    for (const peer of FARM_PEERS) farms.push(await Farm.up(lab, peer));
    options.say(`four farms are up; the kernel's is ${kernel}`);
    return { rounds: options.rounds, seconds: options.seconds, samples: await runRounds(farms, loads, options), kernel };
  } finally {
    lab.close();
  }
}

export interface ShareResult { rounds: number; seconds: number; samples: Samples<SharePeer> }

/** The same jobs with sharing on and off. */
export async function runShare(options: NetOptions): Promise<ShareResult | null> {
  const loads = SHARE_LOADS.filter(({ name }) => options.only.length === 0 || options.only.some((part) => name.includes(part)));
  if (loads.length === 0) return null;
  const lab = Lab.open('bench');
  try {
    const sites: ShareSite[] = [];
    for (const peer of SHARE_PEERS) sites.push(await ShareSite.up(lab, peer));
    options.say('two sites are up; one of them shares its flows through Redis');
    return { rounds: options.rounds, seconds: options.seconds, samples: await runRounds(sites, loads, options) };
  } finally {
    lab.close();
  }
}
