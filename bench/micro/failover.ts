/**
 * What it takes to reset all flows of an uplink: the time of every turn from the moment it goes down until its last flow is ended, and what a flow
 * costs; once with nothing learned yet by the compiler, as it will be in earnest, and once warm. Prints one JSON line.
 *
 *     node --expose-gc failover.js FLOWS
 */
import { turn } from '../../src/pipeline.js';
import { quantile } from '../report/statistics.js';
import { Rig } from './rig.js';

export interface FailoverRun { flows: number; turns: number; wholeMs: number; nsPerFlow: number; turnP50Us: number; turnMaxUs: number; /** Without the time others had the processor. */ turnCpuMaxUs: number }
export interface FailoverResult { cold: FailoverRun; warm: FailoverRun }

/** All flows live on the first uplink, the second is there to go to. */
function run(flows: number): FailoverRun {
  // Half of a table's flows may have TCP windows.
  const rig = new Rig({ flows, frameBytes: 60 }, 2 * flows);
  const { router } = rig;
  router.setUplinkDrained(1, true);
  rig.establish();
  router.setUplinkDrained(1, false);
  while (router.fates.isPending) turn(router, 0);
  globalThis.gc?.();
  const times: number[] = [];
  let cpuMaxUs = 0;
  const startMs = performance.now();
  router.setUplinkHealth(0, false);
  let beforeMs = startMs;
  do {
    const cpu = process.cpuUsage();
    turn(router, 0);
    const { user, system } = process.cpuUsage(cpu);
    cpuMaxUs = Math.max(cpuMaxUs, user + system);
    const nowMs = performance.now();
    times.push((nowMs - beforeMs) * 1000);
    beforeMs = nowMs;
  } while (router.fates.isPending);
  const wholeMs = beforeMs - startMs;
  if (router.flows.count !== 0) throw new Error(`${router.flows.count} flows were left`);
  return { flows, turns: times.length, wholeMs, nsPerFlow: (wholeMs * 1e6) / flows, turnP50Us: quantile(times, 0.5), turnMaxUs: Math.max(...times), turnCpuMaxUs: cpuMaxUs };
}

const flows = Number(process.argv[2]);
const cold = run(flows);
for (let i = 0; i < 3; i++) run(flows);
console.log(JSON.stringify({ cold, warm: run(flows) } satisfies FailoverResult));
