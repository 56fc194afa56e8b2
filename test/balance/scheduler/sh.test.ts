/** Source and destination hashing: the hash alone decides, a change moves as little as can be, and who falls back comes back. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Pool } from '../../../src/balance/pool.js';
import { dh } from '../../../src/balance/scheduler/dh.js';
import { sh } from '../../../src/balance/scheduler/sh.js';
import { Random } from '../../../src/base/random.js';
import { isDrawnBy } from '../../support/oracle/chi-square.js';
import { anySeed, check } from '../../support/oracle/property.js';
import { made, poolOf, tally } from '../scheduler-suite.js';

const NONE = -1;
const BUCKETS = 1024;
const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 });

for (const type of [sh, dh]) {
  test(`${type.name}: the same hash comes to the same target, whatever was picked in between and however lopsided that was`, () => {
    check(fc.property(anySeed, weights, (seed, all) => {
      const scheduler = made(type, poolOf(...all));
      const hashes = Array.from({ length: 20 }, (_, i) => Math.imul(seed, i + 1));
      const had = hashes.map((one) => scheduler.pick(one));
      for (let i = 0; i < 500; i++) assert.is(scheduler.pick(hashes[0]), had[0]);
      assert.equal(hashes.map((one) => scheduler.pick(one)), had);
    }), 100);
  });

  test(`${type.name}: a target that goes down takes only its own with it, spread over the others, and has them back when it returns`, () => {
    check(fc.property(weights, fc.nat(), (all, gone) => {
      const pool = poolOf(...all);
      const scheduler = made(type, pool);
      const places = (): number[] => Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
      const before = places(), leaves = gone % all.length;
      pool.set(pool.targets[leaves], { isUsable: false });
      places().forEach((place, bucket) => {
        if (before[bucket] === leaves) assert.ok(place !== leaves && place !== NONE);
        else assert.is(place, before[bucket]);
      });
      pool.set(pool.targets[leaves], { isUsable: true });
      assert.equal(places(), before);
    }), 60);
  });

  // conforms: fwd-split
  test(`${type.name}: chi-square: hashes at random are split by weight, whatever the seed`, () => {
    check(fc.property(anySeed, weights, (seed, all) => {
      const drawn = tally(made(type, poolOf(...all)), all.length, 4000, seed);
      isDrawnBy(drawn.slice(0, all.length), all, `seed ${seed}:`);
    }), 100);
  });
}

test('those of a target that is down are split among the others by weight', () => {
  check(fc.property(anySeed, (seed) => {
    const all = [4, 3, 2, 1];
    const pool = poolOf(...all);
    const scheduler = made(sh, pool);
    const random = new Random(seed);
    const its = Array.from({ length: 20_000 }, () => random.next()).filter((hash) => scheduler.pick(hash) === 0);
    pool.set(pool.targets[0], { isUsable: false });
    const counts = [0, 0, 0, 0];
    for (const hash of its) counts[scheduler.pick(hash)]++;
    isDrawnBy(counts, [0, 3, 2, 1], `seed ${seed}:`);
  }), 20);
});

test('without fallBack those of a target that is down or full are refused, all others are not', () => {
  const pool = poolOf(1, 2, 3);
  const scheduler = made(sh, pool, { fallBack: false });
  const before = Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
  pool.set(pool.targets[1], { isUsable: false });
  assert.equal(Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket)), before.map((place) => (place === 1 ? NONE : place)));
});

test('a target that is drained (weight 0) gives its clients to the others, also without fallBack', () => {
  const pool = poolOf(1, 2, 3);
  const scheduler = made(sh, pool, { fallBack: false });
  const before = Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
  pool.set(pool.targets[2], { weight: 0 });
  const after = Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
  after.forEach((place, bucket) => { assert.ok(before[bucket] === 2 ? place === 0 || place === 1 : place === before[bucket]); });
});

test('those of a heavy one that is down are split by weight as well, however little weight is left', () => {
  const all = [1000, 1, 3];
  const pool = poolOf(...all);
  const scheduler = made(sh, pool);
  pool.set(pool.targets[0], { isUsable: false });
  isDrawnBy(tally(scheduler, 3, 8000, 6).slice(0, 3), [0, 1, 3]);
});

test('a weight set while it is down moves nobody until it is up again; without fallBack a 0 frees its clients at once', () => {
  for (const fallBack of [true, false]) {
    const pool = poolOf(1, 1, 1);
    const scheduler = made(sh, pool, { fallBack });
    const places = (): number[] => Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
    pool.set(pool.targets[0], { isUsable: false });
    scheduler.pick(0);
    const before = places();
    pool.set(pool.targets[0], { weight: 4 });
    assert.equal(places(), before);
    pool.set(pool.targets[0], { weight: 0 });
    if (fallBack) assert.equal(places(), before);
    else assert.not(places().includes(NONE));
    pool.set(pool.targets[0], { weight: 4, isUsable: true });
    assert.is(places().filter((place) => place === 0).length, Math.round((BUCKETS * 4) / 6));
  }
});

test('another weight at run time moves exactly the least buckets it can', () => {
  const pool = poolOf(1, 1, 1, 1);
  const scheduler = made(sh, pool);
  const before = Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
  pool.set(pool.targets[0], { weight: 2 });
  const after = Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
  const moved = after.filter((place, bucket) => place !== before[bucket]);
  assert.ok(moved.every((place) => place === 0));
  // From a quarter of 1024 to two fifths of it, 409.6; the others' 204.8 have the greater remainders.
  assert.is(moved.length, 409 - 256);
});

test('the buckets of a pool made anew in another order are where they were, but for those that rounding shifts', () => {
  const all = [5, 3, 2, 7];
  const pool = poolOf(...all);
  const turned = new Pool([...pool.targets].reverse());
  const one = made(sh, pool), other = made(sh, turned);
  const moved = Array.from({ length: BUCKETS }, (_, bucket) => bucket).filter((bucket) => pool.targets[one.pick(bucket)] !== turned.targets[other.pick(bucket)]);
  assert.ok(moved.length < BUCKETS / 50, `${moved.length} of ${BUCKETS}`);
});

test('no target of at least one bucket’s share is left out; many targets get more buckets', () => {
  const scheduler = made(sh, poolOf(1023, 1));
  const random = new Random(4);
  let light = 0;
  for (let i = 0; i < 20_000; i++) light += scheduler.pick(random.next());
  isDrawnBy([20_000 - light, light], [1023, 1]);
  assert.ok(light > 0);
  const counts = tally(made(sh, poolOf(...new Array<number>(300).fill(1))), 300, 300_000, 5).slice(0, 300);
  assert.ok(Math.min(...counts) > 700 && Math.max(...counts) < 1300, `${Math.min(...counts)} … ${Math.max(...counts)}`);
});

test.run();
