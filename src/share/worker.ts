/**
 * The worker thread that shares: it owns the store and all the waiting for it, so that neither the data plane nor the main thread ever does. It reads flows straight
 * from the flow table, and talks to the data plane by two rings (table/journal.ts, table/inbox.ts). All it does is in sharing.ts; this file makes it
 * from what a thread has: shared memory, a clock, a port to the main thread.
 *
 * Told by the main thread: ToShare. Tells the main thread: FromShare (status.ts).
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.js';
import { hashText } from '../base/hash.js';
import { Random } from '../base/random.js';
import { systemTimers } from '../base/timers.js';
import { native } from '../link/native.js';
import { Counters, countersShape, NOW_MS } from '../table/counters.js';
import { leasedAddresses } from '../table/lease-board.js';
import { LeaseManager } from './lease.js';
import { createStore } from './registry.js';
import { Sharing } from './sharing.js';
import type { FromShare, ShareOptions, ToShare } from './status.js';

async function run(options: ShareOptions, port: NonNullable<typeof parentPort>): Promise<void> {
  const { plan, version, flows, journal, inbox, leases, wakeFd, isRestart, generation, incarnation } = options;
  // Orders that come while the store's client is loaded wait in the port.
  const store = await createStore(plan.share, incarnation);
  const counters = new Counters(options.counters, countersShape(plan));
  const sharing = new Sharing({
    plan, version, store, flows, journal, inbox, isRestart, generation, clock: systemClock, timers: systemTimers,
    // Instances of one configuration must not come back to a store at the same moment.
    random: new Random(hashText(plan.share.instance, plan.seed)),
    planeNowMs: () => counters.getRouter(NOW_MS),
    wake: () => { native().wake(wakeFd); },
    tell: (message: FromShare) => {
      port.postMessage(message);
      if (message.type === 'stopped') port.close();
    },
    ...(leasedAddresses(plan).length === 0 ? {} : { leases: { make: (context) => new LeaseManager(context), board: leases } }),
  });
  port.on('message', (order: ToShare) => sharing.order(order));
  await sharing.run();
}

if (!isMainThread && parentPort !== null) await run(workerData as ShareOptions, parentPort);
