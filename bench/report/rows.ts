/** Every row of the bench: what it measures, its unit, its goal (design goals, kept in docs/performance.md), and what it came to. */
import type { MicroResult } from '../micro/run.js';
import type { FarmResult, NetResult, ShareResult } from '../net/run.js';
import { median } from './statistics.js';

/** A job weir and the kernel both did. */
export interface NetRow {
  key: string;
  work: string;
  unit: string;
  /** True when less is better. */
  less: boolean;
  /** weir ÷ kernel: at least this, or with `less` at most. */
  goal: number;
  /** The same with established flows offloaded to the kernel. */
  offloadedGoal: number;
  meaning: string;
}

const BULK = 'iperf3, received by the far end';
export const NET_ROWS: readonly NetRow[] = [
  { key: 'bulk-1', work: 'bulk TCP, 1 stream', unit: 'Gbit/s', less: false, goal: 0.9, offloadedGoal: 1.2, meaning: BULK },
  { key: 'bulk-4', work: 'bulk TCP, 4 streams', unit: 'Gbit/s', less: false, goal: 0.8, offloadedGoal: 1.2, meaning: BULK },
  { key: 'bulk-16', work: 'bulk TCP, 16 streams', unit: 'Gbit/s', less: false, goal: 0.8, offloadedGoal: 1.2, meaning: BULK },
  { key: 'bulk-1-reverse', work: 'bulk TCP, 1 stream, far end sends', unit: 'Gbit/s', less: false, goal: 0.9, offloadedGoal: 1.2, meaning: BULK },
  { key: 'udp-1', work: '64 B UDP delivered, 1 flow', unit: 'packets/s', less: false, goal: 0.7, offloadedGoal: 0.7, meaning: 'the sender sends as fast as it can; counted where they arrive' },
  { key: 'udp-10000', work: '64 B UDP delivered, 10 k flows', unit: 'packets/s', less: false, goal: 0.7, offloadedGoal: 0.7, meaning: 'the same, round robin over ten thousand destinations' },
  { key: 'udp-cpu-1', work: '64 B UDP per CPU-second, 1 flow', unit: 'packets', less: false, goal: 1, offloadedGoal: 1.5, meaning: 'at half load: packets delivered for each CPU-second the whole machine was busy, sender and receiver included' },
  { key: 'udp-cpu-10000', work: '64 B UDP per CPU-second, 10 k flows', unit: 'packets', less: false, goal: 1, offloadedGoal: 1.5, meaning: 'the same with ten thousand flows' },
  { key: 'new-flows', work: 'new TCP flows', unit: 'flows/s', less: false, goal: 0.7, offloadedGoal: 0.7, meaning: 'connect, 64 bytes, 64 bytes back, closed by the server; 64 at once' },
  { key: 'latency-p50', work: 'round trip at half load, p50', unit: 'µs', less: true, goal: 1.5, offloadedGoal: 1.5, meaning: 'UDP there and back beside a paced load of half the rate the slowest peer delivered' },
  { key: 'latency-p99', work: 'round trip at half load, p99', unit: 'µs', less: true, goal: 2, offloadedGoal: 2, meaning: 'the slowest one in a hundred of them' },
];

/** One line of a table, as text. */
export interface Line { cells: string[]; ok: boolean | null }

export function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e5) return `${(value / 1000).toFixed(0)} k`;
  if (size >= 1000) return `${(value / 1000).toFixed(1)} k`;
  if (size >= 100) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

const LINKS = {
  raw: 'raw–raw', 'raw+': 'raw–raw, offloaded', tap: 'tap–tap', bridge: 'tap–tap on bridges', 'bridge+': 'tap–tap on bridges, offloaded',
} as const;

export const NET_HEAD = ['work', 'links', 'weir', 'kernel', 'ratio', 'goal', ''];

/** One line per row and kind of link; the ratio is the median of the rounds' own ratios. */
export function netLines(net: NetResult): Line[] {
  return NET_ROWS.flatMap(({ key, work, unit, less, goal, offloadedGoal }) => {
    const samples = net.samples[key];
    if (samples === undefined) return [];
    return (['raw', 'raw+', 'tap', 'bridge', 'bridge+'] as const).map((peer): Line => {
      const isOffloaded = peer.endsWith('+');
      const wanted = isOffloaded ? offloadedGoal : goal;
      const ratio = median(samples[peer].map((value, round) => value / samples.kernel[round]));
      const ok = less ? ratio <= wanted : ratio >= wanted;
      const links = LINKS[peer];
      return { cells: [`${work}, ${unit}`, links, number(median(samples[peer])), number(median(samples.kernel)), ratio.toFixed(2), `${less ? '≤' : '≥'} ${wanted}`, ok ? 'ok' : 'not yet'], ok };
    });
  });
}

const BULK_TO = 'iperf3 through one address to one real server, received there';
/** Jobs of virtual servers; the goal is towards the kernel, HAProxy is to be beaten on each. */
export const SERVER_ROWS: readonly Omit<NetRow, 'offloadedGoal'>[] = [
  { key: 'servers-bulk-1', work: 'bulk TCP to a virtual server, 1 stream', unit: 'Gbit/s', less: false, goal: 0.9, meaning: BULK_TO },
  { key: 'servers-bulk-4', work: 'bulk TCP to a virtual server, 4 streams', unit: 'Gbit/s', less: false, goal: 0.8, meaning: BULK_TO },
  { key: 'servers-bulk-16', work: 'bulk TCP to a virtual server, 16 streams', unit: 'Gbit/s', less: false, goal: 0.8, meaning: BULK_TO },
  { key: 'servers-new-flows', work: 'new TCP flows to a virtual server', unit: 'flows/s', less: false, goal: 0.7, meaning: 'connect, 64 bytes, 64 bytes back, closed by the server; 64 at once, two servers by turns' },
];

export const SERVER_HEAD = ['work', 'links', 'weir', 'kernel', 'ratio', 'goal', '', 'HAProxy', 'ratio', ''];

/** One line per row and kind of link, beside the kernel and beside HAProxy. */
export function serverLines({ samples }: FarmResult): Line[] {
  return SERVER_ROWS.flatMap(({ key, work, unit, goal }) => {
    const own = samples[key];
    if (own === undefined) return [];
    return (['raw', 'bridge'] as const).map((peer): Line => {
      const ratioTo = (other: 'kernel' | 'haproxy'): number => median(own[peer].map((value, round) => value / own[other][round]));
      const toKernel = ratioTo('kernel'), toHaproxy = ratioTo('haproxy');
      const word = (ok: boolean): string => (ok ? 'ok' : 'not yet');
      return {
        cells: [`${work}, ${unit}`, LINKS[`${peer}+`], number(median(own[peer])), number(median(own.kernel)), toKernel.toFixed(2), `≥ ${goal}`, word(toKernel >= goal),
          number(median(own.haproxy)), toHaproxy.toFixed(2), word(toHaproxy > 1)],
        ok: toKernel >= goal && toHaproxy > 1,
      };
    });
  });
}

/** The same job with sharing on and off; the goal is of that ratio. */
export const SHARE_ROWS: readonly { key: string; work: string; unit: string; /** null = none was set. */ goal: number | null; meaning: string }[] = [
  { key: 'share-bulk-1', work: 'bulk TCP, 1 stream', unit: 'Gbit/s', goal: 0.9, meaning: BULK },
  { key: 'share-bulk-4', work: 'bulk TCP, 4 streams', unit: 'Gbit/s', goal: 0.9, meaning: BULK },
  { key: 'share-new-flows', work: 'new TCP flows', unit: 'flows/s', goal: null, meaning: 'connect, 64 bytes, 64 bytes back, closed by the server; 64 at once; the share worker and Redis have the same CPUs as all others' },
];

export const SHARE_HEAD = ['work', 'sharing on', 'sharing off', 'ratio', 'goal', ''];

export function shareLines({ samples }: ShareResult): Line[] {
  return SHARE_ROWS.flatMap(({ key, work, unit, goal }) => {
    const own = samples[key];
    if (own === undefined) return [];
    const ratio = median(own.on.map((value, round) => value / own.off[round]));
    const cells = [`${work}, ${unit}`, number(median(own.on)), number(median(own.off)), ratio.toFixed(2)];
    return [goal === null ? { cells: [...cells, '–', ''], ok: null } : { cells: [...cells, `≥ ${goal}`, ratio >= goal ? 'ok' : 'not yet'], ok: ratio >= goal }];
  });
}

export const PIPELINE_HEAD = ['frame', 'flows', 'ns/packet', 'ns/new flow', 'allocated B/packet', 'collections', 'turn p50 µs', 'p99.9', 'longest'];

export function sizeName(bytes: number): string { return bytes >= 60_000 ? '64 KiB GSO' : bytes === 60 ? '64 B' : `${bytes} B`; }
export function countName(count: number): string { return count >= 1e6 ? '1 M' : `${Math.round(count / 1024)} k`; }

export function pipelineLines(micro: MicroResult): Line[] {
  return micro.pipeline.map((r): Line => ({
    cells: [sizeName(r.frameBytes), countName(r.flows), r.nsPerPacket.toFixed(0), r.nsPerNewFlow.toFixed(0), r.allocatedBytesPerPacket.toFixed(1), `${r.minorCollections} + ${r.majorCollections}`,
      r.turnP50Us.toFixed(1), r.turnP999Us.toFixed(1), r.turnMaxUs.toFixed(0)],
    ok: null,
  }));
}

export const TABLE_HEAD = ['table', 'size', 'step', 'ns'];

export function tableLines(micro: MicroResult): Line[] {
  const line = (table: string, size: string, step: string, ns: number): Line => ({ cells: [table, size, step, ns.toFixed(ns < 100 ? 1 : 0)], ok: null });
  return [
    ...micro.flowTable.flatMap((r) => [
      line('flow table', `${countName(r.flows)} flows`, 'find', r.findNs), line('', '', 'find nothing', r.missNs),
      line('', '', 'open and confirm', r.insertNs), line('', '', 'expire', r.expireNs),
    ]),
    ...micro.fib.map((r) => line('FIB', `${r.routes >= 1e6 ? '1 M' : `${r.routes / 1000} k`} routes`, 'look up', r.lookupNs)),
    ...micro.portPool.flatMap((r) => [line('port pool', `${r.percent} % taken`, 'acquire', r.acquireNs), line('', '', 'release', r.releaseNs)]),
  ];
}

export const REPLICATE_HEAD = ['what', 'measured', 'goal', ''];
/** Part of the wanted rate that counts as all of it: a second is not cut to the flow. */
const WHOLE = 0.99;
/** Milliseconds until a change is written. */
const LAG_GOAL_MS = 100;

export function replicateLines({ replicate }: MicroResult): Line[] {
  if (replicate === null) return [];
  const { rate, flowsPerSecond, changesPerSecond, lagP50Ms, lagP99Ms, lagMaxMs, shareUsPerFlow, redisUsPerFlow, lost, bulk } = replicate;
  const line = (what: string, measured: string, goal = '', ok: boolean | null = null): Line => ({ cells: [what, measured, goal, ok === null ? '' : ok ? 'ok' : 'not yet'], ok });
  const ofCpu = (usPerFlow: number): string => `${((usPerFlow * flowsPerSecond) / 1e4).toFixed(0)} % of a CPU, ${usPerFlow.toFixed(1)} µs a flow`;
  const many = `${(bulk.flows / 1e6).toFixed(bulk.flows < 1e6 ? 2 : 0)} M flows`;
  return [
    line('new flows a second, each opened, established and ended', number(flowsPerSecond), `${rate / 1000} k`, flowsPerSecond >= rate * WHOLE && lost === 0),
    line('changes written for them a second', number(changesPerSecond)),
    line('from a change to its being written, p50', `${lagP50Ms} ms`),
    line('p99', `${lagP99Ms} ms`, `≤ ${LAG_GOAL_MS} ms`, lagP99Ms <= LAG_GOAL_MS),
    line('longest', `${lagMaxMs} ms`),
    line('share worker', ofCpu(shareUsPerFlow), '≤ 100 %', shareUsPerFlow * flowsPerSecond <= 1e6),
    line('Redis', ofCpu(redisUsPerFlow)),
    line(`${many} written at once`, `${number(bulk.writtenPerSecond)}/s; share worker ${bulk.writeShareUs.toFixed(1)} µs, Redis ${bulk.writeRedisUs.toFixed(1)} µs each`),
    line(`${many} loaded by another instance`, `${number(bulk.loadedPerSecond)}/s; share worker ${bulk.loadShareUs.toFixed(1)} µs, Redis ${bulk.loadRedisUs.toFixed(1)} µs each`),
  ];
}

export const GOAL_HEAD = ['what', 'measured', 'goal', ''];

/** The goals of scale and steadiness that the micro-benches judge. */
export function goalLines(micro: MicroResult): Line[] {
  const lines: Line[] = [];
  const add = (what: string, measured: string, goal: string, ok: boolean): void => { lines.push({ cells: [what, measured, goal, ok ? 'ok' : 'not yet'], ok }); };
  const small = micro.pipeline.filter((r) => r.frameBytes === 60);
  const few = small.find((r) => r.flows === 1024);
  const many = small.find((r) => r.flows >= 1e6);
  if (few !== undefined && many !== undefined) {
    const ratio = many.nsPerPacket / few.nsPerPacket;
    add('packet at 1 M flows ÷ at 1 k', ratio.toFixed(2), '≤ 2', ratio <= 2);
  }
  const held = micro.flowTable.find((r) => r.flows >= 1e6);
  if (held !== undefined) add('memory of a flow at 1 M', `${held.bytesPerFlow.toFixed(0)} B`, '≤ 256 B', held.bytesPerFlow <= 256);
  const short = micro.fib.find((r) => r.routes === 1000);
  const long = micro.fib.find((r) => r.routes >= 1e6);
  if (short !== undefined && long !== undefined) {
    const ratio = long.lookupNs / short.lookupNs;
    add('route lookup at 1 M ÷ at 1 k', ratio.toFixed(2), '≤ 2', ratio <= 2);
    add('loading 1 M routes', `${long.loadSeconds.toFixed(2)} s`, '≤ 2 s', long.loadSeconds <= 2);
  }
  if (micro.listing !== null) {
    const { without, during } = micro.listing;
    const more = Math.max(0, during.longestCpuUs - without.longestCpuUs) / 1000;
    add('longest turn while 1 M flows are listed, beyond the longest without', `${more.toFixed(2)} ms`, '≤ 1 ms', more <= 1);
    add('waits for a lock or a page while they are listed', String(during.sleeps), '0', during.sleeps === 0);
  }
  if (micro.pipeline.length > 0) {
    const major = micro.pipeline.reduce((total, r) => total + r.majorCollections, 0);
    const allocated = Math.max(...micro.pipeline.map((r) => r.allocatedBytesPerPacket));
    const longest = Math.max(...small.map((r) => r.turnMaxCpuUs)) / 1000;
    add('major collections in the steady state', String(major), '0', major === 0);
    // A heap object of one word is 16 bytes: below one, the packets are not what allocates.
    add('allocated per packet, most of all mixes', `${allocated.toFixed(1)} B`, '< 16 B', allocated < 16);
    add('longest turn of the steady state', `${longest.toFixed(2)} ms`, '< 2 ms', longest < 2);
  }
  return lines;
}
