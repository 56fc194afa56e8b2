/** The port pool against sets: one port per endpoint and one endpoint per port, whatever comes and goes. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { PortPool } from '../../src/table/port-pool.js';
import { Tuple } from '../../src/wire/tuple.js';
import { anySeed, check } from '../support/oracle/property.js';

const NONE = -1;

function tupleOf(address: number, port: number, far = 0x08080808, farPort = 53): Tuple {
  const tuple = new Tuple();
  tuple.setV4(address, far, (port << 16) | farPort, 17);
  return tuple;
}

/** As the stage does it: the mapping there is, else a new one; one user more either way. */
function map(pool: PortPool, tuple: Tuple, nowTick = 0, isDependent = false): number {
  const known = pool.find(tuple, isDependent);
  if (known !== NONE) {
    pool.retain(known, 0);
    return known;
  }
  const port = pool.pick(tuple.sourcePort, tuple.s3, true, nowTick);
  if (port !== NONE) pool.take(port, tuple, isDependent, 0);
  return port;
}

const acquire = (pool: PortPool, address: number, port: number): number => map(pool, tupleOf(address, port));
const release = (pool: PortPool, port: number): boolean => pool.release(port, 0, true);

/** Endpoint → its port and its users; and who has a port. */
class SlowPool {
  readonly mappings = new Map<string, { port: number; users: number }>();
  owners(): Map<number, string> { return new Map([...this.mappings].map(([endpoint, { port }]) => [port, endpoint])); }
}

const step = fc.record({ isAcquire: fc.integer({ min: 0, max: 9 }).map((n) => n < 6), address: fc.integer({ min: 1, max: 4 }), port: fc.integer({ min: 998, max: 1008 }), pick: fc.nat() });

// conforms: nat-no-overload nat-preserve
test('endpoint-independent, exclusive, in the range, preserved where free (RFC 4787 REQ-1, REQ-3)', () => {
  check(fc.property(anySeed, fc.integer({ min: 995, max: 1005 }), fc.integer({ min: 0, max: 12 }), fc.array(step, { maxLength: 120 }), (seed, first, more, steps) => {
    const last = first + more;
    const pool = new PortPool(first, last, new Random(seed));
    const slow = new SlowPool();
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
        } else {
          assert.ok(got >= first && got <= last, `${got} of ${first} to ${last}`);
          assert.not(owners.has(got), `port ${got} is ${owners.get(got)}'s`);
          if (s.port >= first && s.port <= last && !owners.has(s.port)) assert.is(got, s.port, 'its own port was free');
          slow.mappings.set(key, { port: got, users: 1 });
        }
      } else if (slow.mappings.size > 0) {
        const [gone, mapping] = [...slow.mappings][s.pick % slow.mappings.size];
        assert.is(release(pool, mapping.port), --mapping.users === 0);
        if (mapping.users === 0) slow.mappings.delete(gone);
      }
      const owners = slow.owners();
      assert.is(pool.used, owners.size);
      for (let port = first; port <= last; port++) assert.is(pool.isTaken(port), owners.has(port));
    }
  }), 300);
});

test('every word of an address and the port tell endpoints apart', () => {
  const pool = new PortPool(1024, 65535, new Random(1));
  const ends = [[1, 2, 3, 4, 5], [9, 2, 3, 4, 5], [1, 9, 3, 4, 5], [1, 2, 9, 4, 5], [1, 2, 3, 9, 5], [1, 2, 3, 4, 9]]
    .map(([s0, s1, s2, s3, port]) => Object.assign(new Tuple(), { s0, s1, s2, s3, ports: port << 16 }));
  const ports = ends.map((tuple) => map(pool, tuple));
  assert.is(new Set(ports).size, 6);
  assert.equal(ends.map((tuple) => pool.find(tuple, false)), ports);
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
      // One comes back: it is the one the next endpoint gets.
      const freed = first + (size >> 1);
      release(pool, freed);
      assert.is(acquire(pool, 2, 2), freed);
      release(pool, freed);
      acquire(pool, 3, 3);
      for (const port of seen) release(pool, port);
      assert.is(pool.used, 0);
    }
  }
});

test('towards each far endpoint a port of its own, when mapping depends on it', () => {
  const pool = new PortPool(1024, 65535, new Random(4));
  const one = tupleOf(1, 2000, 50, 53), other = tupleOf(1, 2000, 51, 53), third = tupleOf(1, 2000, 50, 54);
  const ports = [one, other, third].map((tuple) => map(pool, tuple, 0, true));
  assert.is(new Set(ports).size, 3);
  assert.equal([one, other, third].map((tuple) => map(pool, tuple, 0, true)), ports);
  assert.is(pool.find(one, false), NONE, 'not a mapping for every destination');
});

test('a freed port rests for its time, is given to nobody else meanwhile, and back to its own endpoint at once (RFC 6888 REQ-8)', () => {
  const rules = { hasServices: false, keepsParity: false, quarantine: 120 };
  const pool = new PortPool(2000, 2001, new Random(5), rules);
  const first = map(pool, tupleOf(1, 2000)), second = map(pool, tupleOf(2, 2001));
  assert.equal([first, second], [2000, 2001]);
  pool.release(first, 10, false);
  assert.equal([pool.used, pool.quarantined, pool.isTaken(first), pool.isLive(first)], [1, 1, true, false]);
  assert.is(map(pool, tupleOf(3, 2000), 129), NONE);
  assert.is(map(pool, tupleOf(1, 2000), 129), first);
  pool.release(first, 129, true);
  assert.is(pool.quarantined, 1, 'its unclean end before still counts');
  assert.is(map(pool, tupleOf(3, 2000), 248), NONE);
  assert.is(map(pool, tupleOf(3, 2000), 249), first);
  assert.equal([pool.used, pool.quarantined], [2, 0]);
  pool.release(second, 249, true);
  assert.is(map(pool, tupleOf(4, 9), 249), second, 'a clean end needs no rest');
});

// conforms: nat-port-range nat-parity
test('UDP keeps parity while there is a port of it; services stay below 1024 (RFC 4787 REQ-3a, REQ-4)', () => {
  const pool = new PortPool(1024, 1123, new Random(6), { hasServices: true, keepsParity: true, quarantine: 0 });
  const even = Array.from({ length: 50 }, (_, i) => map(pool, tupleOf(i + 1, 40_000)));
  assert.ok(even.every((port) => port % 2 === 0 && port >= 1024));
  assert.ok(map(pool, tupleOf(99, 40_000)) % 2 === 1, 'then rather the other parity than none');
  const services = Array.from({ length: 20 }, (_, i) => map(pool, tupleOf(i + 1, 123)));
  assert.ok(services.every((port) => port >= 512 && port < 1024 && port % 2 === 1), services.join());
  assert.is(map(pool, tupleOf(70, 700)), 700);
});

// conforms: nat-random
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

test('behind a crowd of taken ports no free one is likelier than the others', () => {
  const random = new Random(11);
  const pool = new PortPool(1024, 65535, random, { hasServices: false, keepsParity: true, quarantine: 0 });
  for (let port = 1024; port < 49152; port++) pool.take(port, tupleOf(1, port), false, 0);
  const picks = new Map<number, number>();
  for (let i = 0; i < 4000; i++) {
    const port = pool.pick(2000, 7, false, 0);
    assert.ok(port >= 49152 && port % 2 === 0);
    picks.set(port, (picks.get(port) ?? 0) + 1);
  }
  // 8,192 even ports: from the first one on, an even choice takes one more than a few times in 4,000 only by a wonder.
  assert.ok(Math.max(...picks.values()) < 20, `one port was chosen ${Math.max(...picks.values())} times`);
  assert.ok(picks.size > 2000, `${picks.size} different ports`);
});

test('the last free port of a range that begins and ends within a word is found, of either parity', () => {
  for (const keepsParity of [false, true]) {
    const pool = new PortPool(1029, 1201, new Random(3), { hasServices: false, keepsParity, quarantine: 0 });
    const given = new Set<number>();
    for (let i = 0; i < 173; i++) {
      const port = pool.pick(i % 7 === 0 ? 2 : 3, 7, false, 0);
      pool.take(port, tupleOf(2, i), false, 0);
      given.add(port);
    }
    assert.equal([...given].sort((a, b) => a - b), Array.from({ length: 173 }, (_, i) => 1029 + i));
    assert.is(pool.pick(3, 7, false, 0), -1);
    pool.release(1201, 0, true);
    assert.is(pool.pick(2, 7, false, 0), 1201);
  }
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

test('an endpoint that had to move is found where it is now, not where its old port rests', () => {
  for (let seed = 1; seed < 40; seed++) {
    const pool = new PortPool(5000, 5031, new Random(seed), { hasServices: false, keepsParity: false, quarantine: 60 });
    const tuple = tupleOf(1, 5000);
    const old = map(pool, tuple);
    pool.release(old, 0, false);
    const moved = pool.pick(5000, 1, false, 1);
    pool.take(moved, tuple, false, 0);
    assert.is.not(moved, old);
    assert.is(pool.find(tuple, false), moved);
    assert.is(pool.quarantined, 1);
    pool.release(moved, 2, true);
    assert.is(pool.find(tuple, false), old);
  }
});

test('a port set aside is nobody’s: not mapped, not shared, not swept, whatever becomes scarce', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const pool = new PortPool(2000, 2007, new Random(seed), { hasServices: false, keepsParity: true, quarantine: 10 });
    const busy = acquire(pool, 1, 5000);
    const own = pool.reserve(0);
    assert.ok(own >= 2000 && own <= 2007 && own !== busy);
    assert.equal([pool.isTaken(own), pool.isLive(own), pool.size, pool.used], [true, false, 7, 1]);
    const others = Array.from({ length: 12 }, (_, i) => acquire(pool, 2, 6000 + i)).filter((port) => port !== NONE);
    assert.is(others.length, 6);
    assert.not.ok(others.includes(own));
    assert.is(acquire(pool, 3, own), NONE, 'nor to who asks for that very port');
    for (let i = 0; i < 200; i++) assert.is.not(pool.any(6000, false), own);
    for (const port of [busy, ...others]) pool.release(port, 0, false);
    pool.sweep(1000, 100);
    assert.ok(pool.isTaken(own));
    assert.is.not(pool.reserve(1000), own, 'a second one is another');
  }
  const full = new PortPool(2000, 2000, new Random(1));
  acquire(full, 1, 5000);
  assert.is(full.reserve(0), NONE);
});

test.run();
