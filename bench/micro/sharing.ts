/**
 * What sharing costs the data plane itself: CPU time of the thread per packet of established TCP flows and per new flow, with and without rings to a share worker.
 * Rounds of the two are interleaved, and the best tenth of the samples counts, so that what else the machine does meets neither. Prints one JSON line.
 *
 *     node --expose-gc sharing.js FLOWS ROUNDS
 */
import { turn } from '../../src/pipeline.js';
import { Rig } from './rig.js';
import { ThreadTime } from './thread-time.js';
import { quantile } from '../report/statistics.js';

const SAMPLE = 1 << 16;
const FRAME_BYTES = 64;
const WARM_SAMPLES = 4;
/** Of each side in each round, by turns. */
const SAMPLES = 10;

const [flows, rounds] = process.argv.slice(2).map(Number);
const time = new ThreadTime();

/** Nanoseconds of CPU a packet costs, harness and all. */
function sample(rig: Rig): number {
  rig.ring.play('both ways', SAMPLE);
  const startMs = time.cpuMs();
  while (!rig.ring.isDone) turn(rig.router, 0);
  return ((time.cpuMs() - startMs) * 1e6) / SAMPLE;
}

/** Room for all that is told: nobody reads it. */
const ringWords = 32 * flows;
const sides = [0, ringWords].map((words) => ({ words, rig: null as Rig | null, perPacket: [] as number[], perNewFlow: [] as number[] }));
for (let round = 0; round < rounds; round++) {
  const ordered = round % 2 === 0 ? sides : [...sides].reverse();
  for (const side of ordered) {
    side.rig = new Rig({ flows, frameBytes: FRAME_BYTES }, undefined, undefined, side.words);
    const startMs = time.cpuMs();
    side.rig.play('open', flows);
    // The first round teaches the compiler.
    if (round > 0) side.perNewFlow.push(((time.cpuMs() - startMs) * 1e6) / flows);
    side.rig.establish();
    for (let i = 0; i < WARM_SAMPLES; i++) sample(side.rig);
  }
  for (let i = 0; i < SAMPLES; i++) for (const side of ordered) side.perPacket.push(sample(side.rig as Rig));
}
const [off, on] = sides.map(({ perPacket, perNewFlow }) => ({ nsPerPacket: quantile(perPacket, 0.1), nsPerNewFlow: quantile(perNewFlow, 0.1) }));
console.log(JSON.stringify({ flows, off, on }));
