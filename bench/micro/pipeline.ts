/**
 * The whole pipeline without devices: nanoseconds per packet of established TCP flows, half of the packets in either direction, by number
 * of flows and size of frame; what a first packet costs; and whether the steady state allocates. Prints one JSON line.
 *
 *     node --expose-gc pipeline.js FLOWS FRAME_BYTES SAMPLES
 */
import { setImmediate as breathe } from 'node:timers/promises';
import { turn } from '../../src/pipeline.js';
import { CollectionCount } from './collections.js';
import { Rig } from './rig.js';
import { FlowRing } from './ring.js';
import type { Mix } from './ring.js';
import { median, quantile } from '../report/statistics.js';
import { ThreadTime } from './thread-time.js';

/** Packets of one sample. */
const SAMPLE = 1 << 16;
/** Samples and flows that only warm up. */
const WARM_SAMPLES = 6;
const WARM_FLOWS = 16384;

export interface PipelineResult {
  flows: number;
  frameBytes: number;
  /** Median of the samples, the harness's own cost taken off. */
  nsPerPacket: number;
  harnessNsPerPacket: number;
  /** First packets, on average while the table filled, the harness's own cost taken off. */
  nsPerNewFlow: number;
  minorCollections: number;
  majorCollections: number;
  allocatedBytesPerPacket: number;
  /** Time of one turn of `batch` packets. */
  batch: number;
  turnP50Us: number;
  turnP999Us: number;
  turnMaxUs: number;
  /** The longest by what its thread had of a CPU: neither its place in line nor what a hypervisor takes is in it. */
  turnMaxCpuUs: number;
}

/** Nanoseconds a frame costs to lay out: the same ring with nothing behind it. */
function harnessCost(rig: Rig): number {
  const ring = new FlowRing(rig.exchange, rig.lan, rig.wans, rig.mix);
  ring.uplinkOf.set(rig.ring.uplinkOf);
  const samples: number[] = [];
  for (let sample = 0; sample < 20; sample++) {
    ring.play('both ways', SAMPLE);
    const startMs = performance.now();
    while (!ring.isDone) ring.turn(0);
    samples.push(((performance.now() - startMs) * 1e6) / SAMPLE);
  }
  return median(samples);
}

/** Time of every turn of one sample, into `turns` from `at` on. Returns where it ended. */
function sample(rig: Rig, turns: Float64Array, at: number): number {
  const { ring, router } = rig;
  ring.play('both ways', SAMPLE);
  let end = at;
  let beforeMs = performance.now();
  while (!ring.isDone) {
    turn(router, 0);
    const nowMs = performance.now();
    turns[end++] = nowMs - beforeMs;
    beforeMs = nowMs;
  }
  return end;
}

/** The longest turn of one sample by the thread's CPU clock, milliseconds. */
function longestCpuMs(rig: Rig, time: ThreadTime): number {
  const { ring, router } = rig;
  ring.play('both ways', SAMPLE);
  let longest = 0;
  let beforeMs = time.cpuMs();
  while (!ring.isDone) {
    turn(router, 0);
    const nowMs = time.cpuMs();
    longest = Math.max(longest, nowMs - beforeMs);
    beforeMs = nowMs;
  }
  return longest;
}

async function measure(mix: Mix, samples: number): Promise<PipelineResult> {
  const warm = new Rig({ ...mix, flows: WARM_FLOWS });
  const scratch = new Float64Array(SAMPLE);
  warm.establish();
  for (let i = 0; i < WARM_SAMPLES; i++) sample(warm, scratch, 0);
  const harnessNsPerPacket = harnessCost(warm);

  const rig = new Rig(mix);
  rig.establish();
  const nsPerNewFlow = rig.openMs * 1e6 / mix.flows - harnessNsPerPacket;
  for (let i = 0; i < WARM_SAMPLES; i++) sample(rig, scratch, 0);

  const perSample: number[] = [];
  const turns = new Float64Array(Math.ceil(SAMPLE / rig.ring.batch) * samples);
  // What setting up has left behind is not the steady state's.
  globalThis.gc?.();
  await breathe();
  const collections = new CollectionCount();
  const sentBefore = rig.forwarded;
  let end = 0;
  for (let i = 0; i < samples; i++) {
    const from = end;
    end = sample(rig, turns, end);
    perSample.push((turns.subarray(from, end).reduce((total, ms) => total + ms, 0) * 1e6) / SAMPLE);
  }
  const allocated = collections.allocatedBytes();
  await breathe();
  // The last batch is still to be sent.
  const forwarded = rig.forwarded - sentBefore;
  if (forwarded !== SAMPLE * samples) throw new Error(`${forwarded} packets left where ${SAMPLE * samples} came in`);
  const used = [...turns.subarray(0, end)];
  const time = new ThreadTime();
  let turnMaxCpuMs = 0;
  for (let i = 0; i < samples; i++) turnMaxCpuMs = Math.max(turnMaxCpuMs, longestCpuMs(rig, time));
  return {
    flows: mix.flows, frameBytes: mix.frameBytes, batch: rig.ring.batch,
    nsPerPacket: median(perSample) - harnessNsPerPacket, harnessNsPerPacket, nsPerNewFlow,
    ...collections.end(), allocatedBytesPerPacket: allocated / (SAMPLE * samples),
    turnP50Us: quantile(used, 0.5) * 1000, turnP999Us: quantile(used, 0.999) * 1000, turnMaxUs: quantile(used, 1) * 1000, turnMaxCpuUs: turnMaxCpuMs * 1000,
  };
}

const [flows, frameBytes, samples] = process.argv.slice(2).map(Number);
console.log(JSON.stringify(await measure({ flows, frameBytes }, samples)));
