/** The store in Redis, with real servers: the suite of all stores. What can go wrong with a server is in redis-trouble.test.ts. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { estimateTotal, LOG_BYTES, RedisStore, taggedPrefix } from '../../src/share/redis.js';
import { formatEndpoint, parseNode, parseUrl } from '../../src/share/redis-connection.js';
import { anyone, SETTLE_MS } from '../../src/share/store.js';
import type { StoreState } from '../../src/share/store.js';
import { RedisServer, until } from '../support/redis.js';
import { batchOf, followed, loaded, storeSuite, troubleOf } from './store-suite.js';
import type { Ground } from './store-suite.js';

const server = await RedisServer.start();
let prefixes = 0;

function ground(logBytes: number): Ground {
  const prefix = `weir${++prefixes}:`;
  const usable = new Map<RedisStore, boolean>();
  return {
    connect: async (settles = false, self = anyone()) => {
      const store = new RedisStore(server.plan({ prefix }), { logBytes, self, ...(settles ? {} : { settleMs: 0 }) });
      let told: (state: StoreState) => void = () => {};
      Object.defineProperty(store, 'onState', {
        get: () => (state: StoreState): void => {
          usable.set(store, state.isUsable);
          told(state);
        },
        set: (to: (state: StoreState) => void) => { told = to; },
      });
      await store.open();
      return store;
    },
    fresh: (bytes) => Promise.resolve(ground(bytes)),
    pass: async (ms) => {
      const [seconds, micros] = server.ask('TIME').split('\n').map(Number);
      const endMs = performance.now() + ms;
      await until(() => {
        const [s, us] = server.ask('TIME').split('\n').map(Number);
        return performance.now() >= endMs && (s - seconds) * 1000 + (us - micros) / 1000 >= ms;
      }, `${ms} ms to pass`);
    },
    nowMs: () => performance.now(),
    empty: async () => {
      await server.restart();
      await until(() => [...usable.values()].every(Boolean), 'the stores to be back');
    },
  };
}

storeSuite('redis', () => Promise.resolve(ground(LOG_BYTES)), { runs: 12 });

/** A store that is registered; `told` collects its states. */
async function connected(instance: string, options: ConstructorParameters<typeof RedisStore>[1] = {}, prefix = `weir${++prefixes}:`): Promise<{ store: RedisStore; told: StoreState[]; prefix: string }> {
  const store = new RedisStore(server.plan({ prefix }), { settleMs: 0, ...options });
  const told: StoreState[] = [];
  store.onState = (state) => { told.push(state); };
  await store.open();
  await store.register(instance, null);
  return { store, told, prefix };
}

test('where a server is: URLs, nodes, prefixes', () => {
  assert.equal(parseUrl('redis://10.0.0.1:6380/3'), { endpoint: { host: '10.0.0.1', port: 6380 }, database: 3 });
  assert.equal(parseUrl('rediss://cache.example'), { endpoint: { host: 'cache.example', port: 6379 }, database: 0 });
  assert.equal(parseUrl('redis://[2001:db8::1]:7000'), { endpoint: { host: '2001:db8::1', port: 7000 }, database: 0 });
  assert.equal(parseUrl('unix:///run/a%20b.sock'), { endpoint: { host: '/run/a%20b.sock', port: 0, path: '/run/a%20b.sock' }, database: 0 });
  assert.throws(() => parseUrl('http://x'), /redis:\/\/HOST:PORT/);
  assert.equal(parseNode('[2001:db8::1]:5', 9), { host: '2001:db8::1', port: 5 });
  assert.equal(parseNode('host', 9), { host: 'host', port: 9 });
  assert.is(formatEndpoint({ host: '2001:db8::1', port: 5 }), '[2001:db8::1]:5');
  assert.is(taggedPrefix('weir:'), '{weir:}');
  assert.is(taggedPrefix('a{b}c'), 'a{b}c');
  assert.is(taggedPrefix('a{}c'), '{a__c}');
});

test('how many records there are is told from those among the keys looked at, whatever the server said of their number', () => {
  assert.is(estimateTotal(500, 10_000, 1000), 5000);
  assert.is(estimateTotal(500, 800, 1000), 500);
  // They came after it was asked.
  assert.is(estimateTotal(10, 0, 1000), 10);
  assert.is(estimateTotal(0, 0, 1000), 0);
});

test('the log keeps to its bytes, whatever its batches weigh', async () => {
  const limit = 256 * 1024;
  const { store, prefix } = await connected('a', { logBytes: limit });
  const key = `${taggedPrefix(prefix)}m:log`;
  for (const size of [10, 15_000, 400]) {
    for (let round = 0; round < 4; round++) {
      await Promise.all(Array.from({ length: 200 }, (_, i) => store.write(batchOf([{ key: `k${i}`, value: 'x'.repeat(size) }]))));
      const used = Number(server.ask('MEMORY', 'USAGE', key, 'SAMPLES', 0));
      assert.ok(used < limit * 1.3, `${used} bytes after batches of ${size}`);
    }
  }
  // And it is not cut off shorter than that: the last entries are there.
  const kept = Number(server.ask('XLEN', key)) * 400;
  assert.ok(kept > limit / 2, `${kept} bytes`);
  assert.ok(Number(server.ask('LLEN', `${taggedPrefix(prefix)}m:marks`)) <= 16);
  await store.close();
});

test('following waits on a connection of its own: writing does not wait for it', async () => {
  const { store: a, prefix } = await connected('a');
  const { store: b } = await connected('b', {}, prefix);
  const { position } = await loaded(b);
  const stop = new AbortController();
  const got: string[] = [];
  const following = b.follow(position, (entries) => { got.push(...entries.map(({ instance }) => instance)); }, stop.signal);
  await until(() => /cmd=xread/.test(server.ask('CLIENT', 'LIST')), 'a client to wait for the log');
  // It waits at the server for up to a second; these are answered meanwhile.
  for (let i = 0; i < 50; i++) await b.write(batchOf([{ key: `b${i}`, value: 'x' }]));
  await until(() => /cmd=xread/.test(server.ask('CLIENT', 'LIST')), 'it to wait again');
  await a.write(batchOf([{ key: 'a', value: 'x' }]));
  await until(() => got.length === 1, 'the entry');
  stop.abort();
  await following;
  await until(() => !/cmd=xread/.test(server.ask('CLIENT', 'LIST')), 'the connection to go');
  await Promise.all([a.close(), b.close()]);
  await until(() => !/name=weir/.test(server.ask('CLIENT', 'LIST')), 'the others to go, too');
});

test('a clock that jumps ahead at the server ends no lease', async () => {
  // What the server's clock does is seen from the store: while the store's own clock stands still, every moment at the server is a jump.
  let nowMs = 1000;
  const clock = { nowMs: () => nowMs };
  const { store: a, prefix } = await connected('a', { clock });
  const { store: b } = await connected('b', {}, prefix);
  assert.equal(await a.lease('x', [1], 1, 300), [1]);
  const start = performance.now();
  await until(() => performance.now() - start > 700, 'the server\'s clock to run ahead');
  await a.beat('{}', 1000);
  assert.equal(await b.lease('x', [1], 1, 300), []);
  const [{ leftMs }] = await b.leases();
  assert.ok(leftMs > 200 && leftMs <= 300, `${leftMs}`);
  // With the store's clock running, too, it ends.
  nowMs += 400;
  await until(async () => (await b.lease('x', [1], 1, 300)).length === 1, 'the lease to end');
  await Promise.all([a.close(), b.close()]);
});

test('a clock that is set back at the server makes no lease longer than it was', async () => {
  const { store: a, prefix } = await connected('a');
  const { store: b } = await connected('b', {}, prefix);
  assert.equal(await a.lease('x', [1], 1, 200), [1]);
  // As it looks after the clock has been set back by an hour.
  const key = `${taggedPrefix(prefix)}m:leases`;
  const [generation, ends, life, who] = server.ask('HGET', key, 'x 1').split(' ');
  server.ask('HSET', key, 'x 1', `${generation} ${Number(ends) + 3_600_000} ${life} ${who}`);
  const [{ leftMs }] = await b.leases();
  assert.ok(leftMs <= 200, `${leftMs}`);
  await Promise.all([a.close(), b.close()]);
});

test('a server that has begun a moment ago gives no new leases; one that has long been there does', async () => {
  const { store } = await connected('a', { settleMs: SETTLE_MS * 1000 });
  assert.is(await troubleOf(store.lease('x', [1], 1, 1000)), 'settling');
  assert.equal(await store.renew('x', [1], 1000), [1]);
  await store.close();
  await until(() => Number(/uptime_in_seconds:(\d+)/.exec(server.ask('INFO', 'server'))?.[1]) >= 1, 'the server to be up for a second');
  const { store: later } = await connected('b', { settleMs: 900 });
  assert.equal(await later.lease('x', [2], 1, 1000), [2]);
  await later.close();
});

test('what throws keys away is warned of', async () => {
  server.ask('CONFIG', 'SET', 'maxmemory', '1gb', 'maxmemory-policy', 'allkeys-lru');
  const { store, told } = await connected('a');
  assert.is(told.length, 1);
  assert.is(told[0].warnings.length, 1);
  assert.match(told[0].warnings[0].detail, /maxmemory-policy allkeys-lru/);
  assert.match(told[0].warnings[0].advice, /noeviction/);
  await store.close();
  server.ask('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  const { store: again, told: quiet } = await connected('a');
  assert.equal(quiet[0].warnings, []);
  await again.close();
  server.ask('CONFIG', 'SET', 'maxmemory', '0');
});

test('a load tells how far it is', async () => {
  const { store } = await connected('a');
  const count = 20_000;
  for (let i = 0; i < count; i += 400) await store.write(batchOf(Array.from({ length: 400 }, (_, k) => ({ key: `k${i + k}`, alias: `r${i + k}`, value: 'v' }))));
  let seen = 0;
  const totals: number[] = [];
  await store.load((page, total) => {
    seen += page.length;
    totals.push(total);
  }, new AbortController().signal);
  assert.ok(seen >= count);
  for (const total of totals.slice(2)) assert.ok(total > count / 2 && total < count * 2, `${total} of ${count}`);
  assert.ok(Math.abs(totals[totals.length - 1] - seen) <= 1);
  await store.close();
});

test('a follower that is behind catches up in bounded pages', async () => {
  const { store: a, prefix } = await connected('a');
  const { store: b } = await connected('b', {}, prefix);
  const { position } = await loaded(b);
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 50 }, (_, k) => a.write(batchOf([{ key: `k${i}-${k}`, value: 'v' }]))));
  let largest = 0;
  const stop = new AbortController();
  let seen = 0;
  await b.follow(position, (entries) => {
    largest = Math.max(largest, entries.length);
    seen += entries.length;
    if (seen === 500) stop.abort();
  }, stop.signal);
  assert.is(seen, 500);
  assert.ok(largest <= 64, `${largest}`);
  assert.is((await followed(b, position, (some) => some.length === 500)).entries.length, 500);
  await Promise.all([a.close(), b.close()]);
});

test('what cannot be read of a peer or a lease is forgotten or left alone, and keeps nobody from anything', async () => {
  const { store, prefix } = await connected('a');
  server.ask('HSET', `${taggedPrefix(prefix)}m:peers`, 'b', 'nobody knows');
  server.ask('HSET', `${taggedPrefix(prefix)}m:leases`, 'x 1', 'nobody knows');
  assert.equal(await store.beat('{}', 1000), []);
  assert.equal(await store.lease('x', [1, 2], 2, 1000), [2]);
  assert.equal(await store.renew('x', [1, 2], 1000), [2]);
  assert.equal((await store.leases()).filter(({ instance }) => instance === 'a').map(({ block }) => block), [2]);
  await store.release('x', [1, 2]);
  await store.resign();
  assert.is(server.ask('HGET', `${taggedPrefix(prefix)}m:leases`, 'x 1').trim(), 'nobody knows');
  await store.close();
});

test('end', async () => { await server.stop(); });

test.run();
