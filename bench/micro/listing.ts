/**
 * Does a full listing stall forwarding? The pipeline runs on a memory ring in the main thread while a worker thread lists every flow through
 * the control plane's own view, page by page, as JSON. Rounds alternate: in one the worker lists, in the other it only counts for as long, touching
 * no memory, so that what the machine does to two busy threads anyway stands beside what a listing does; each figure is the median over the
 * rounds of its kind. A turn is judged by what its thread had of a CPU during it: a listing can only make that longer (caches, pages, garbage),
 * or make the thread sleep (locks), and sleeps are counted. The rest of a turn by the clock is the machine's: its line for a CPU, its
 * hypervisor. Prints one JSON line.
 *
 *     node listing.js FLOWS ROUNDS
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Plan } from '../../src/base/plan.js';
import { View } from '../../src/control/view.js';
import { turn } from '../../src/pipeline.js';
import type { SharedMemory } from '../../src/stage/router.js';
import { median } from '../report/statistics.js';
import { Rig } from './rig.js';
import { sleeps, ThreadTime } from './thread-time.js';

const PAGE = 1000;
const WARM_PACKETS = 1 << 20;

/** Words of what the threads share: whether the worker works, and how many flows its last listing has told. */
const IS_BUSY = 0;
const LISTED = 1;

/** List everything, or count for so long. */
type Work = { type: 'list' } | { type: 'count'; forMs: number };

/** What the turns of one round came to. */
interface Round {
  seconds: number;
  /** Longest turn by the clock, and by what the thread had of a CPU. */
  longestUs: number;
  longestCpuUs: number;
  /** Mean of all turns, in the same. */
  meanCpuUs: number;
  /** Times the thread gave its CPU up. */
  sleeps: number;
  /** Time in line for a CPU, of every second. */
  inLineMsPerSecond: number;
}

export interface ListingResult { flows: number; listedFlows: number; rounds: number; without: Round; during: Round }

interface Order { plan: Plan; memory: SharedMemory; shared: Int32Array }

/** In the worker: the whole table, or nothing, for as long. */
function serve({ plan, memory, shared }: Order): void {
  const view = new View({ plan, links: [], memory, kernelDrops: () => 0, nowMs: () => performance.now() });
  parentPort!.on('message', (work: Work) => {
    if (work.type === 'list') Atomics.store(shared, LISTED, list(view));
    else count(work.forMs);
    Atomics.store(shared, IS_BUSY, 0);
  });
}

function list(view: View): number {
  let listed = 0;
  for (let cursor: number | null = 0; cursor !== null;) {
    const page = view.flows({}, cursor, PAGE);
    // What the API does with a page; a listing that tells nothing would cost nothing.
    if (JSON.stringify(page).length > 0) listed += page.flows.length;
    cursor = page.nextCursor;
  }
  return listed;
}

function count(forMs: number): void {
  const untilMs = performance.now() + forMs;
  let word = 1;
  while (performance.now() < untilMs) for (let i = 0; i < 10_000; i++) word = Math.imul(word, 31) + i | 0;
}

/** Turns while the worker works. Nothing is kept of each one, so that the harness touches no memory of its own. */
function run(rig: Rig, time: ThreadTime, shared: Int32Array): Round {
  const sleepsBefore = sleeps();
  const inLineBeforeMs = time.inLineMs();
  const startMs = performance.now();
  const startCpuMs = time.cpuMs();
  let turns = 0;
  let longestMs = 0;
  let longestCpuMs = 0;
  let nowMs = startMs;
  let cpuMs = startCpuMs;
  while (Atomics.load(shared, IS_BUSY) !== 0) {
    const beforeMs = nowMs;
    const cpuBeforeMs = cpuMs;
    rig.ring.play('both ways', rig.ring.batch);
    turn(rig.router, 0);
    nowMs = performance.now();
    cpuMs = time.cpuMs();
    turns++;
    longestMs = Math.max(longestMs, nowMs - beforeMs);
    longestCpuMs = Math.max(longestCpuMs, cpuMs - cpuBeforeMs);
  }
  const seconds = (nowMs - startMs) / 1000;
  return {
    seconds, longestUs: longestMs * 1000, longestCpuUs: longestCpuMs * 1000, meanCpuUs: ((cpuMs - startCpuMs) * 1000) / turns,
    sleeps: sleeps() - sleepsBefore, inLineMsPerSecond: (time.inLineMs() - inLineBeforeMs) / seconds,
  };
}

function medians(rounds: readonly Round[]): Round {
  const of = (field: keyof Round): number => median(rounds.map((round) => round[field]));
  return {
    seconds: of('seconds'), longestUs: of('longestUs'), longestCpuUs: of('longestCpuUs'), meanCpuUs: of('meanCpuUs'), sleeps: of('sleeps'), inLineMsPerSecond: of('inLineMsPerSecond'),
  };
}

async function measure(flows: number, rounds: number): Promise<ListingResult> {
  const rig = new Rig({ flows, frameBytes: 60 });
  rig.establish();
  const time = new ThreadTime();
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL(import.meta.url), { workerData: { plan: rig.plan, memory: rig.memory, shared } satisfies Order });
  worker.on('error', (error) => { throw error; });
  await once(worker, 'online');
  const round = (work: Work): Round => {
    Atomics.store(shared, IS_BUSY, 1);
    worker.postMessage(work);
    return run(rig, time, shared);
  };
  rig.play('both ways', WARM_PACKETS);
  // The first one compiles the worker.
  let listed = round({ type: 'list' });
  const without: Round[] = [];
  const during: Round[] = [];
  for (let i = 0; i < rounds; i++) {
    without.push(round({ type: 'count', forMs: listed.seconds * 1000 }));
    listed = round({ type: 'list' });
    during.push(listed);
  }
  return { flows, listedFlows: Atomics.load(shared, LISTED), rounds, without: medians(without), during: medians(during) };
}

if (isMainThread) {
  const [flows, rounds] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await measure(flows, rounds)));
  // The worker waits for another order.
  process.exit(0);
} else {
  serve(workerData as Order);
}
