/** The main thread's end of the share worker: what it asks is answered or given up, a crash is told and followed by another worker, the end is bounded. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Unavailable } from '../../src/base/error.js';
import { ShareThread } from '../../src/control/share-thread.js';
import type { ShareWorker } from '../../src/control/share-thread.js';
import type { FromShare, ShareEvent, ShareStatus, ToShare } from '../../src/share/status.js';
import { ManualTimers, settled } from '../health/manual-timers.js';

class FakeWorker implements ShareWorker {
  readonly orders: ToShare[] = [];
  isTerminated = false;
  private readonly listeners: Record<string, ((value: never) => void)[]> = {};

  postMessage(order: ToShare): void { this.orders.push(order); }
  on(event: string, listener: (value: never) => void): void { (this.listeners[event] ??= []).push(listener); }
  tell(message: FromShare): void { this.emit('message', message); }
  emit(event: string, value?: unknown): void { for (const listener of this.listeners[event] ?? []) listener(value as never); }
  terminate(): Promise<void> {
    this.isTerminated = true;
    this.emit('exit');
    return Promise.resolve();
  }
}

function thread(isRequired = false): { share: ShareThread; workers: FakeWorker[]; restarts: boolean[]; generations: (number | null)[]; timers: ManualTimers; events: ShareEvent[]; ready: boolean[] } {
  const timers = new ManualTimers();
  const workers: FakeWorker[] = [];
  const restarts: boolean[] = [];
  const generations: (number | null)[] = [];
  const events: ShareEvent[] = [];
  const ready: boolean[] = [];
  const share = new ShareThread({
    instance: 'a', isRequired, timers, nowMs: () => timers.nowMs(), onStatus: () => undefined, onEvent: (event) => events.push(event), onReady: (isLoaded) => ready.push(isLoaded),
    spawn: (isRestart, generation) => {
      const worker = new FakeWorker();
      workers.push(worker);
      restarts.push(isRestart);
      generations.push(generation);
      return worker;
    },
  });
  return { share, workers, restarts, generations, timers, events, ready };
}

const up: ShareEvent = { event: 'share.up', subject: 'a', message: 'up', fields: { severity: 'info' } };

test('what is asked is answered by its number, or given up in time', async () => {
  const { share, workers, timers } = thread();
  await share.start();
  const first = share.flush(1000), second = share.flush(1000);
  const ids = workers[0].orders.map((order) => ('id' in order ? order.id : 0));
  workers[0].tell({ type: 'done', id: ids[1], error: null });
  workers[0].tell({ type: 'done', id: ids[0], error: '3 changes could not be written' });
  assert.is(await first, '3 changes could not be written');
  assert.is(await second, null);
  const leases = share.leases().catch((error: Error) => error.message);
  await timers.advance(5000);
  assert.is(await leases, 'the share worker has not answered within 3000 ms');
});

test('a crash is told, who waits is answered, and another worker is told what the first one knew', async () => {
  const { share, workers, restarts, generations, timers, events } = thread();
  await share.start();
  share.role('vip', true);
  share.role('other', true);
  share.role('other', false);
  share.drain(true);
  workers[0].tell({ type: 'status', status: { generation: 7 } as ShareStatus });
  const flush = share.flush(1000);
  workers[0].emit('error', new Error('out of memory'));
  workers[0].emit('exit');
  assert.is(await flush, 'the share worker has crashed');
  assert.match(events[0]?.message ?? '', /has crashed \(out of memory\): forwarding goes on, it is started again in 1 s/);
  await timers.advance(999);
  assert.is(workers.length, 1);
  await timers.advance(1);
  assert.equal(restarts, [false, true]);
  assert.equal(generations, [null, 7]);
  assert.equal(workers[1].orders, [{ type: 'role', role: 'vip', isMaster: true }, { type: 'drain', isDrained: true }]);
  // Each time it waits longer, until one has lasted.
  workers[1].emit('exit');
  await timers.advance(1999);
  assert.is(workers.length, 2);
  await timers.advance(1);
  await timers.advance(60_000);
  workers[2].emit('exit');
  await timers.advance(1000);
  assert.is(workers.length, 4);
});

test('with share.require the start waits for the store, and fails with what is wrong', async () => {
  const good = thread(true);
  let isStarted = false;
  const start = good.share.start().then(() => { isStarted = true; });
  await settled();
  assert.not.ok(isStarted);
  good.workers[0].tell({ type: 'event', event: up });
  await start;
  const bad = thread(true);
  const failed = bad.share.start().catch((error: unknown) => error);
  bad.workers[0].tell({ type: 'failed', trouble: 'wrong-password', message: 'WRONGPASS' });
  const error = await failed;
  assert.instance(error, Unavailable);
  assert.match((error as Error).message, /cannot be used \(wrong-password\): WRONGPASS; share.require is true/);
});

test('the end waits for the worker, and not for ever', async () => {
  const { share, workers, timers, events } = thread();
  await share.start();
  const stopped = share.stop(1000);
  assert.equal(workers[0].orders, [{ type: 'stop', withinMs: 1000, isPlaneGone: true }]);
  await timers.advance(2600);
  await stopped;
  assert.ok(workers[0].isTerminated);
  assert.equal(events, [], 'an end that was wanted is no crash');
  await timers.advance(60_000);
  assert.is(workers.length, 1);
});

test.run();
