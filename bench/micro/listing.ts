/**
 * Does a full listing stall forwarding? The pipeline runs on a memory ring in the main thread while a worker thread lists every flow through
 * the control plane's own view, page by page, as JSON. Tells the turns before and meanwhile, less what they stood in line for a CPU. Prints
 * one JSON line.
 *
 *     node listing.js FLOWS
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Plan } from '../../src/base/plan.js';
import { View } from '../../src/control/view.js';
import { turn } from '../../src/pipeline.js';
import type { SharedMemory } from '../../src/stage/router.js';
import { quantile } from '../report/statistics.js';
import { Rig } from './rig.js';
import { Waiting } from './waiting.js';

const PAGE = 1000;
const PACKETS_BEFORE = 1 << 21;
/** Room for the times of so many turns. */
const TURNS_MAX = 1 << 21;

export interface ListingResult {
  flows: number;
  listedFlows: number;
  listSeconds: number;
  turnP999UsBefore: number;
  turnMaxUsBefore: number;
  turnP999UsDuring: number;
  turnMaxUsDuring: number;
  /** Part of the listing's time in which the forwarding thread stood in line for a CPU. */
  waitingShare: number;
}

interface Order { plan: Plan; memory: SharedMemory; done: SharedArrayBuffer }

/** In the worker: the whole table, once. */
function list({ plan, memory, done }: Order): void {
  const view = new View({ plan, links: [], memory, kernelDrops: () => 0, nowMs: () => performance.now() });
  const startMs = performance.now();
  let listed = 0;
  let bytes = 0;
  for (let cursor: number | null = 0; cursor !== null;) {
    const page = view.flows({}, cursor, PAGE);
    bytes += JSON.stringify(page).length;
    listed += page.flows.length;
    cursor = page.nextCursor;
  }
  const result = { listed, bytes, seconds: (performance.now() - startMs) / 1000 };
  Atomics.store(new Int32Array(done), 0, 1);
  parentPort!.postMessage(result);
}

/** Turns until `isOver`, at least `packets`; their times in microseconds. */
function run(rig: Rig, waiting: Waiting, packets: number, isOver: () => boolean): number[] {
  const times = new Float64Array(TURNS_MAX);
  let count = 0;
  let left = packets;
  let waitedMs = waiting.totalMs();
  let beforeMs = performance.now();
  while (count < TURNS_MAX && (left > 0 || !isOver())) {
    rig.ring.play('both ways', rig.ring.batch);
    turn(rig.router, 0);
    left -= rig.ring.batch;
    const tookMs = performance.now() - beforeMs;
    const nowWaitedMs = waiting.totalMs();
    times[count++] = Math.max(0, tookMs - (nowWaitedMs - waitedMs)) * 1000;
    waitedMs = nowWaitedMs;
    beforeMs = performance.now();
  }
  return [...times.subarray(0, count)];
}

async function measure(flows: number): Promise<ListingResult> {
  const rig = new Rig({ flows, frameBytes: 60 });
  rig.establish();
  const waiting = new Waiting();
  run(rig, waiting, PACKETS_BEFORE / 4, () => true);
  const before = run(rig, waiting, PACKETS_BEFORE, () => true);
  const done = new SharedArrayBuffer(4);
  const flag = new Int32Array(done);
  const worker = new Worker(new URL(import.meta.url), { workerData: { plan: rig.plan, memory: rig.memory, done } satisfies Order });
  const answer = once(worker, 'message') as Promise<[{ listed: number; seconds: number }]>;
  const failure = once(worker, 'error').then(([error]) => { throw error as Error; });
  await once(worker, 'online');
  const waitedBeforeMs = waiting.totalMs();
  const startMs = performance.now();
  const during = run(rig, waiting, 0, () => Atomics.load(flag, 0) === 1);
  const waitingShare = (waiting.totalMs() - waitedBeforeMs) / (performance.now() - startMs);
  const [{ listed, seconds }] = await Promise.race([answer, failure]);
  return {
    flows, listedFlows: listed, listSeconds: seconds,
    turnP999UsBefore: quantile(before, 0.999), turnMaxUsBefore: quantile(before, 1), turnP999UsDuring: quantile(during, 0.999), turnMaxUsDuring: quantile(during, 1), waitingShare,
  };
}

if (isMainThread) {
  console.log(JSON.stringify(await measure(Number(process.argv[2]))));
  // The race's other side never ends.
  process.exit(0);
} else {
  list(workerData as Order);
}
