/** The resilient scheduler: exact buckets, the least movement, and a split that keeps to the weights whatever the hashes. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../../src/base/random.js';
import { Pool } from '../../../src/balance/pool.js';
import { BUCKETS, Resilient } from '../../../src/balance/scheduler/resilient.js';
import { anySeed, check } from '../../support/oracle/property.js';
import { poolOf, tally } from '../scheduler-suite.js';

const NONE = -1;
/** A target is passed over once it is this many flows ahead of its share, so it is ahead by at most one more. */
const SLACK = 8;

/** Largest remainder in whole numbers: no rounding to argue about. */
function wantedBuckets(pool: Pool): number[] {
  const weights = pool.targets.map((target) => Pool.effectiveWeight(target));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return weights.map(() => 0);
  const wanted = weights.map((weight) => Math.floor((weight * BUCKETS) / total));
  const order = weights.map((weight, i) => ({ i, rest: (weight * BUCKETS) % total })).sort((a, b) => b.rest - a.rest || a.i - b.i);
  for (let left = BUCKETS - wanted.reduce((sum, count) => sum + count, 0), next = 0; left > 0; left--, next++) wanted[order[next].i]++;
  return wanted;
}

function countsOf(buckets: ArrayLike<number>, targets: number): number[] {
  const counts = new Array<number>(targets).fill(0);
  for (const owner of Array.from(buckets)) if (owner !== NONE) counts[owner]++;
  return counts;
}

/** A pick only to make it look at the pool. */
function settle(scheduler: Resilient): number[] {
  scheduler.pick(0);
  return [...scheduler.buckets.owners];
}

const weight = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(0, 1, 10, 100, 256, 1000));
const weights = fc.array(weight, { minLength: 1, maxLength: 8 });
const change = fc.record({ pick: fc.nat(), weight: fc.option(weight, { nil: undefined }), isUsable: fc.option(fc.boolean(), { nil: undefined }) });

test('buckets are shared out by largest remainder, exactly', () => {
  check(fc.property(weights, (all) => {
    const pool = poolOf(...all);
    const buckets = settle(new Resilient(pool));
    assert.equal(countsOf(buckets, all.length), wantedBuckets(pool));
    assert.is(buckets.includes(NONE), all.every((w) => w === 0));
  }), 300);
});

test('each change moves exactly as many buckets as it must: none but those some target has too many of', () => {
  check(fc.property(weights, fc.array(change, { maxLength: 12 }), (all, changes) => {
    const pool = poolOf(...all);
    const scheduler = new Resilient(pool);
    let before = settle(scheduler);
    for (const c of changes) {
      pool.set(pool.targets[c.pick % all.length], { ...c.weight === undefined ? {} : { weight: c.weight }, ...c.isUsable === undefined ? {} : { isUsable: c.isUsable } });
      const after = settle(scheduler);
      const wanted = wantedBuckets(pool);
      assert.equal(countsOf(after, all.length), wanted);
      if (wanted.some((count) => count > 0)) {
        const held = countsOf(before, all.length);
        const least = before.filter((owner) => owner === NONE).length + held.reduce((sum, count, i) => sum + Math.max(0, count - wanted[i]), 0);
        assert.is(after.filter((owner, b) => owner !== before[b]).length, least);
      }
      before = after;
    }
  }), 200);
});

test('a change that changes no share moves nothing', () => {
  const pool = poolOf(3, 1);
  const scheduler = new Resilient(pool);
  const before = settle(scheduler);
  pool.set(pool.targets[0], { weight: 6 });
  pool.set(pool.targets[1], { weight: 2 });
  assert.equal(settle(scheduler), before);
  pool.version++;
  assert.equal(settle(scheduler), before);
});

test('one of three going down leaves the others’ flows where they are, and coming back takes only its share', () => {
  const pool = poolOf(1, 1, 1);
  const scheduler = new Resilient(pool);
  const before = settle(scheduler);
  pool.set(pool.targets[2], { isUsable: false });
  const without = settle(scheduler);
  before.forEach((owner, b) => { if (owner !== 2) assert.is(without[b], owner, `bucket ${b}`); });
  pool.set(pool.targets[2], { isUsable: true });
  const back = settle(scheduler);
  back.forEach((owner, b) => { if (owner !== 2) assert.is(owner, without[b], `bucket ${b}`); });
});

/** Furthest any target was ahead of and behind its share at any moment. */
function extremes(scheduler: Resilient, all: readonly number[], hashes: Iterable<number>): { ahead: number; behind: number } {
  const total = all.reduce((sum, w) => sum + w, 0);
  const counts = all.map(() => 0);
  let ahead = 0, behind = 0, picks = 0;
  for (const hash of hashes) {
    counts[scheduler.pick(hash)]++;
    picks++;
    for (let i = 0; i < all.length; i++) {
      const error = counts[i] - (picks * all[i]) / total;
      if (error > ahead) ahead = error;
      if (-error > behind) behind = -error;
    }
  }
  return { ahead, behind };
}

function* randomHashes(seed: number, count: number): Generator<number> {
  const random = new Random(seed);
  for (let i = 0; i < count; i++) yield random.next();
}

const EPSILON = 1e-6;

test('at every moment, over random hashes: no target is more than SLACK + 1 flows ahead of its share, and of two none behind by more', () => {
  check(fc.property(anySeed, weights.filter((all) => all.some((w) => w > 0)), (seed, all) => {
    const { ahead, behind } = extremes(new Resilient(poolOf(...all)), all, randomHashes(seed, 3000));
    assert.ok(ahead <= SLACK + 1 + EPSILON, `ahead by ${ahead}`);
    const others = all.filter((w) => w > 0).length - 1;
    assert.ok(behind <= others * (SLACK + 1) + EPSILON, `behind by ${behind}`);
  }), 60);
});

test('and over hashes chosen to spoil it: all alike, or all of one target’s buckets', () => {
  check(fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 }), fc.array(fc.integer(), { minLength: 1, maxLength: 3 }), (all, few) => {
    const hashes = Array.from({ length: 2000 }, (_, i) => few[i % few.length]);
    const { ahead, behind } = extremes(new Resilient(poolOf(...all)), all, hashes);
    assert.ok(ahead <= SLACK + 1 + EPSILON, `ahead by ${ahead}`);
    assert.ok(behind <= (all.length - 1) * (SLACK + 1) + EPSILON, `behind by ${behind}`);
  }), 60);
});

test('400 flows at 3:1 come within five points of 75 %, with any seed; 100,000 within 1 %', () => {
  check(fc.property(anySeed, (seed) => {
    const [first] = tally(new Resilient(poolOf(3, 1)), 2, 400, seed);
    assert.ok(Math.abs(first - 300) <= SLACK + 1, `${first} of 400`);
  }), 50);
  const all = [5, 3, 2];
  tally(new Resilient(poolOf(...all)), 3, 100_000, 5).slice(0, 3).forEach((count, i) => assert.ok(Math.abs(count / (all[i] * 10_000) - 1) < 0.01, `${count}`));
});

test('a target too light for a bucket of its own still gets its share', () => {
  const pool = poolOf(5000, 1);
  const scheduler = new Resilient(pool);
  assert.equal(countsOf(settle(scheduler), 2), [BUCKETS, 0]);
  const [, light] = tally(scheduler, 2, 100_000, 3);
  assert.ok(light > 20 - (SLACK + 1) && light <= 20 + SLACK + 1, `${light} of 100,000`);
});

test('most flows go where their hash says, so that the same flow comes to the same target', () => {
  const scheduler = new Resilient(poolOf(3, 1));
  const buckets = settle(scheduler);
  let elsewhere = 0;
  for (const hash of randomHashes(4, 20_000)) if (scheduler.pick(hash) !== buckets[hash & (BUCKETS - 1)]) elsewhere++;
  assert.ok(elsewhere < 20_000 * 0.1, `${elsewhere} of 20000 are turned away`);
});

test('without a bound the bucket alone decides, however lopsided the hashes are', () => {
  check(fc.property(anySeed, weights, (seed, all) => {
    const scheduler = new Resilient(poolOf(...all), Infinity);
    const before = settle(scheduler);
    for (let i = 0; i < 500; i++) scheduler.pick(seed);
    assert.equal(Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket)), before);
  }), 60);
});

// conforms: fwd-return
test('who comes back is not flooded to catch up', () => {
  const pool = poolOf(1, 1);
  const scheduler = new Resilient(pool);
  tally(scheduler, 2, 500, 1);
  pool.set(pool.targets[1], { isUsable: false });
  assert.equal(tally(scheduler, 2, 5000, 2), [5000, 0, 0]);
  pool.set(pool.targets[1], { isUsable: true });
  const { ahead } = extremes(scheduler, [1, 1], randomHashes(3, 500));
  assert.ok(ahead <= SLACK + 1 + EPSILON, `ahead by ${ahead}`);
});

test.run();
