/** The port pool against sets: one port per endpoint and one endpoint per port, whatever comes and goes. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { PortPool } from '../../src/table/port-pool.js';
import { anySeed, check } from '../support/oracle/property.js';

const NONE = -1;

const acquire = (pool: PortPool, address: number, port: number): number => pool.acquire(0, 0, 0xffff, address, port);

/** Endpoint → its port and its users; and who has a port. */
class SlowPool {
  readonly mappings = new Map<string, { port: number; users: number }>();
  owners(): Map<number, string> { return new Map([...this.mappings].map(([endpoint, { port }]) => [port, endpoint])); }
}

const step = fc.record({ isAcquire: fc.integer({ min: 0, max: 9 }).map((n) => n < 6), address: fc.integer({ min: 1, max: 4 }), port: fc.integer({ min: 998, max: 1008 }), pick: fc.nat() });

test('endpoint-independent, exclusive, in the range, preserved where free (RFC 4787 REQ-1, REQ-3)', () => {
  check(fc.property(anySeed, fc.integer({ min: 995, max: 1005 }), fc.integer({ min: 0, max: 12 }), fc.array(step, { maxLength: 120 }), (seed, first, more, steps) => {
    const last = first + more;
    const pool = new PortPool(first, last, new Random(seed));
    const slow = new SlowPool();
    let exhausted = 0;
    for (const s of steps) {
      const key = `${s.address}:${s.port}`;
      if (s.isAcquire) {
        const known = slow.mappings.get(key);
        const owners = slow.owners();
        const got = acquire(pool, s.address, s.port);
        if (known !== undefined) {
          assert.is(got, known.port, 'the same endpoint keeps its port');
          known.users++;
        } else if (owners.size === pool.size) {
          assert.is(got, NONE);
          exhausted++;
        } else {
          assert.ok(got >= first && got <= last, `${got} of ${first} to ${last}`);
          assert.not(owners.has(got), `port ${got} is ${owners.get(got)}'s`);
          if (s.port >= first && s.port <= last && !owners.has(s.port)) assert.is(got, s.port, 'its own port was free');
          slow.mappings.set(key, { port: got, users: 1 });
        }
      } else if (slow.mappings.size > 0) {
        const [gone, mapping] = [...slow.mappings][s.pick % slow.mappings.size];
        pool.release(mapping.port);
        if (--mapping.users === 0) slow.mappings.delete(gone);
      }
      const owners = slow.owners();
      assert.is(pool.used, owners.size);
      assert.is(pool.exhausted, exhausted);
      for (let port = first; port <= last; port++) assert.is(pool.isTaken(port), owners.has(port));
    }
  }), 300);
});

test('every word of an address and the port tell endpoints apart', () => {
  const pool = new PortPool(1024, 65535, new Random(1));
  const ports = [[1, 2, 3, 4, 5], [9, 2, 3, 4, 5], [1, 9, 3, 4, 5], [1, 2, 9, 4, 5], [1, 2, 3, 9, 5], [1, 2, 3, 4, 9]].map(([a, b, c, d, port]) => pool.acquire(a, b, c, d, port));
  assert.is(new Set(ports).size, 6);
  assert.is(pool.acquire(1, 2, 3, 4, 5), ports[0]);
});

test('the whole range can be handed out, each port once, and again after it came back', () => {
  for (const [first, last] of [[0, 65535], [1024, 65535], [1000, 1000], [65535, 65535], [31, 32], [33, 95]] as const) {
    const pool = new PortPool(first, last, new Random(first + 1));
    const size = last - first + 1;
    for (let round = 0; round < 2; round++) {
      const seen = new Set<number>();
      for (let i = 0; i < size; i++) seen.add(acquire(pool, 0x0a000000 + i, 40_000));
      assert.is(seen.size, size);
      assert.ok(seen.has(first) && seen.has(last) && !seen.has(NONE));
      assert.is(pool.used, size);
      assert.is(acquire(pool, 1, 1), NONE);
      assert.is(pool.exhausted, round + 1);
      // One comes back: it is the one the next endpoint gets.
      const freed = first + (size >> 1);
      pool.release(freed);
      assert.is(acquire(pool, 2, 2), freed);
      pool.release(freed);
      acquire(pool, 3, 3);
      for (const port of seen) pool.release(port);
      assert.is(pool.used, 0);
    }
  }
});

test('when the own port is taken the choice is spread over the range (RFC 7857 §9)', () => {
  const pool = new PortPool(1024, 65535, new Random(77));
  const buckets = new Array<number>(8).fill(0);
  let ascending = 0;
  let before = 0;
  for (let i = 0; i < 800; i++) {
    const port = acquire(pool, i + 1, 5);
    buckets[Math.floor((port - 1024) / 8064)]++;
    if (port === before + 1) ascending++;
    before = port;
  }
  // 100 each, six standard deviations either way.
  for (const count of buckets) assert.ok(count > 40 && count < 160, buckets.join());
  assert.ok(ascending < 20, `${ascending} of 800 follow on the one before`);
});

test('a fill of the whole range looks at words, not at ports one by one', () => {
  // The bitmap is read through a counter: even the last free port costs at most one look at each of its 2,048 words and a few more.
  const pool = new PortPool(0, 65535, new Random(3));
  for (let i = 0; i < 65535; i++) acquire(pool, i + 1, 5);
  const inner = pool as unknown as { taken: Int32Array };
  const real = inner.taken;
  let looks = 0;
  inner.taken = new Proxy(real, {
    get: (target, key) => {
      looks++;
      return Reflect.get(target, key, target) as unknown;
    },
  });
  assert.is.not(acquire(pool, 0x7fffffff, 5), NONE);
  assert.ok(looks > 0 && looks <= 2048 + 8, `${looks} looks`);
});

test.run();
