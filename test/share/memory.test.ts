/** The store in memory: the suite of all stores, and what can be done to its space. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ALIAS_SECONDS } from '../../src/share/batch.js';
import { MemoryStore, MemoryStoreSpace } from '../../src/share/memory.js';
import { ManualTimers } from '../health/manual-timers.js';
import { batchOf, storeSuite, troubleOf } from './store-suite.js';
import type { Ground } from './store-suite.js';

function ground(logBytes: number): Ground {
  const timers = new ManualTimers();
  const space = new MemoryStoreSpace({ clock: timers, timers, logBytes });
  return {
    connect: async (_settles, self) => {
      const store = new MemoryStore(space, self);
      await store.open();
      return store;
    },
    fresh: (bytes) => Promise.resolve(ground(bytes)),
    pass: (ms) => timers.advance(ms),
    nowMs: () => timers.nowMs(),
    empty: () => {
      space.empty();
      space.recover();
      return Promise.resolve();
    },
  };
}

storeSuite('memory', () => Promise.resolve(ground(0)), { runs: 300 });

test('what is asked takes as long as the space says, and is carried out then', async () => {
  const timers = new ManualTimers();
  const space = new MemoryStoreSpace({ clock: timers, timers, delayMs: 50 });
  const store = new MemoryStore(space);
  const opened = store.open();
  await timers.advance(50);
  await opened;
  const registered = store.register('a', null);
  await timers.advance(50);
  await registered;
  const written = store.write(batchOf([{ key: 'k', value: 'v' }]));
  await timers.advance(49);
  assert.is(space.records.size, 0);
  await timers.advance(1);
  await written;
  assert.is(space.records.size, 1);
  // Cut off on the way: it never arrives.
  const lost = troubleOf(store.write(batchOf([{ key: 'l', value: 'v' }])));
  store.cut('slow', 'cut off');
  await timers.advance(50);
  assert.is(await lost, 'slow');
  assert.is(space.records.size, 1);
});

test('one store\'s way can be cut while another\'s is whole; a follower hears of it', async () => {
  const space = new MemoryStoreSpace();
  const [a, b] = [new MemoryStore(space), new MemoryStore(space)];
  await Promise.all([a.open(), b.open()]);
  await Promise.all([a.register('a', null), b.register('b', null)]);
  const following = troubleOf(a.follow('1-0', () => {}, new AbortController().signal));
  a.cut('unreachable', 'cut off');
  assert.is(await following, 'unreachable');
  assert.is(await troubleOf(a.fetch(Buffer.from('k'))), 'unreachable');
  await b.write(batchOf([{ key: 'k', value: 'v' }]));
  a.mend();
  assert.is(Buffer.from((await a.fetch(Buffer.from('k')))!).toString(), 'v');
});

test('what has outlived its time is swept out', async () => {
  const timers = new ManualTimers();
  const space = new MemoryStoreSpace({ clock: timers, timers });
  const store = new MemoryStore(space);
  await store.open();
  await store.register('a', null);
  for (let i = 0; i < 999; i++) await store.write(batchOf([{ key: `k${i}`, alias: `r${i}`, value: 'v', ttl: 1 }]));
  await timers.advance(ALIAS_SECONDS * 1000);
  await store.write(batchOf([{ key: 'last', value: 'v', ttl: 1 }]));
  assert.is(space.records.size, 1);
  assert.is(space.aliases.size, 0);
});

test('a batch that cannot be read is refused as a whole', async () => {
  const store = new MemoryStore();
  await store.open();
  await store.register('a', null);
  const batch = batchOf([{ key: 'k', value: 'v' }, { key: 'l', value: 'w' }]);
  assert.is(await troubleOf(store.write(batch.subarray(0, batch.length - 1))), 'other');
  assert.is(await store.fetch(Buffer.from('k')), null);
});

test.run();
