/** Runs the micro-benches, each in a process of its own so that none works with what another one taught the compiler. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../netns/kit/command.js';
import type { FailoverResult } from './failover.js';
import type { LifeResult } from './life.js';
import type { ListingResult } from './listing.js';
import type { PipelineResult } from './pipeline.js';
import type { ReplicateResult } from './replicate.js';
import type { FibResult, FlowResult, PortPoolResult } from './tables.js';

/** Where scripts/bench has put the compiled programs: what runs in production is compiled too, and is given the flags of bin/weir. */
const PROGRAMS = fileURLToPath(new URL('../out/js/bench/micro', import.meta.url));
const FLAGS = ['--expose-gc', '--single-threaded-gc', '--max-inlined-bytecode-size-cumulative=8000', '--max-inlined-bytecode-size-absolute=12000'];
const LIMIT_MS = 600_000;

export interface MicroResult {
  pipeline: PipelineResult[];
  life: LifeResult | null;
  flowTable: FlowResult[];
  fib: FibResult[];
  portPool: PortPoolResult[];
  listing: ListingResult | null;
  failover: FailoverResult | null;
  replicate: ReplicateResult | null;
}

export interface MicroOptions {
  isQuick: boolean;
  only: readonly string[];
  say: (line: string) => void;
}

const GSO_BYTES = 14 + 40 + 45 * 1448;
const NAMES = ['pipeline', 'life', 'flow-table', 'fib', 'port-pool', 'listing', 'failover', 'replicate'];

async function program<T>(name: string, ...args: (string | number)[]): Promise<T> {
  const { stdout } = await run([process.execPath, ...FLAGS, join(PROGRAMS, `${name}.js`), ...args.map(String)], { timeoutMs: LIMIT_MS });
  return JSON.parse(stdout) as T;
}

export async function runMicro({ isQuick, only, say }: MicroOptions): Promise<MicroResult | null> {
  const wanted = NAMES.filter((name) => only.length === 0 || only.some((part) => name.includes(part) || part === 'micro'));
  if (wanted.length === 0) return null;
  const result: MicroResult = { pipeline: [], life: null, flowTable: [], fib: [], portPool: [], listing: null, failover: null, replicate: null };
  const k = 1024;
  if (wanted.includes('pipeline')) {
    for (const frameBytes of isQuick ? [60, GSO_BYTES] : [60, 1400, GSO_BYTES]) {
      for (const flows of isQuick ? [k, 64 * k, 1024 * k] : [k, 10 * k, 64 * k, 256 * k, 1024 * k]) {
        const done = await program<PipelineResult>('pipeline', flows, frameBytes, isQuick ? 15 : 40);
        result.pipeline.push(done);
        say(`pipeline    ${String(flows).padStart(8)} flows  ${String(frameBytes).padStart(6)} B  ${done.nsPerPacket.toFixed(0)} ns/packet  ${done.nsPerNewFlow.toFixed(0)} ns/new flow`);
      }
    }
  }
  if (wanted.includes('life')) {
    const done = await program<LifeResult>('life', isQuick ? 150 : 400);
    result.life = done;
    say(`life        a flow of ${Object.keys(done.steps).length} packets ${done.whole.toFixed(0)} ns of a CPU, ${done.steps.SYN.toFixed(0)} of them its first packet, ${done.expiry.toFixed(0)} its end`);
  }
  if (wanted.includes('flow-table')) {
    for (const flows of isQuick ? [k, 1024 * k] : [k, 10 * k, 64 * k, 256 * k, 1024 * k]) {
      const done = await program<FlowResult>('tables', 'flow', flows);
      result.flowTable.push(done);
      say(`flow table  ${String(flows).padStart(8)} flows  find ${done.findNs.toFixed(0)}  open ${done.insertNs.toFixed(0)}  expire ${done.expireNs.toFixed(0)} ns`);
    }
  }
  if (wanted.includes('fib')) {
    for (const routes of isQuick ? [1000, 1_000_000] : [1000, 10_000, 100_000, 1_000_000]) {
      const done = await program<FibResult>('tables', 'fib', routes);
      result.fib.push(done);
      say(`FIB         ${String(routes).padStart(8)} routes  ${done.lookupNs.toFixed(1)} ns  loaded in ${done.loadSeconds.toFixed(2)} s`);
    }
  }
  if (wanted.includes('port-pool')) {
    for (const percent of isQuick ? [10, 90] : [10, 50, 90, 99]) {
      const done = await program<PortPoolResult>('tables', 'port-pool', percent);
      result.portPool.push(done);
      say(`port pool   ${percent} % taken  acquire ${done.acquireNs.toFixed(0)}  release ${done.releaseNs.toFixed(0)} ns`);
    }
  }
  if (wanted.includes('listing')) {
    const done = await program<ListingResult>('listing', 1024 * k, isQuick ? 5 : 11);
    result.listing = done;
    const { without, during } = done;
    say(`listing     ${done.listedFlows} flows in ${during.seconds.toFixed(1)} s; longest turn ${without.longestCpuUs.toFixed(0)} µs of a CPU without, ${during.longestCpuUs.toFixed(0)} µs meanwhile, mean ${without.meanCpuUs.toFixed(1)} and ${during.meanCpuUs.toFixed(1)} µs;`
      + ` ${without.sleeps} and ${during.sleeps} sleeps; by the clock ${without.longestUs.toFixed(0)} and ${during.longestUs.toFixed(0)} µs; in line for a CPU ${without.inLineMsPerSecond.toFixed(1)} and ${during.inLineMsPerSecond.toFixed(1)} ms a second`);
  }
  if (wanted.includes('failover')) {
    const done = await program<FailoverResult>('failover', 10_000);
    result.failover = done;
    say(`failover    ${done.warm.flows} resets in ${done.warm.wholeMs.toFixed(1)} ms, ${done.warm.nsPerFlow.toFixed(0)} ns each; longest turn ${done.warm.turnMaxUs.toFixed(0)} µs, cold ${done.cold.turnMaxUs.toFixed(0)} µs`);
  }
  if (wanted.includes('replicate')) {
    const done = await program<ReplicateResult>('replicate', 50_000, isQuick ? 4 : 10, isQuick ? 250_000 : 1_000_000);
    result.replicate = done;
    const { bulk } = done;
    say(`replicate   ${(done.flowsPerSecond / 1000).toFixed(1)} k flows/s written, lag ${done.lagP50Ms} ms, p99 ${done.lagP99Ms} ms, at most ${done.lagMaxMs} ms; share worker ${done.shareUsPerFlow.toFixed(1)} µs a flow, Redis`
      + ` ${done.redisUsPerFlow.toFixed(1)} µs; ${bulk.flows} flows at once: ${(bulk.writtenPerSecond / 1000).toFixed(0)} k/s written, ${(bulk.loadedPerSecond / 1000).toFixed(0)} k/s loaded`);
  }
  return result;
}
