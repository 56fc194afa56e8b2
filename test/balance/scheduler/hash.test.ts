/** The hash scheduler: the hash alone decides, and a change moves as little as can be. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hash } from '../../../src/balance/scheduler/hash.js';
import { BUCKETS } from '../../../src/balance/scheduler/resilient.js';
import { Random } from '../../../src/base/random.js';
import { isDrawnBy } from '../../support/oracle/chi-square.js';
import { anySeed, check } from '../../support/oracle/property.js';
import { poolOf, tally } from '../scheduler-suite.js';

const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 });

test('the same hash comes to the same target, whatever was picked in between and however lopsided that was', () => {
  check(fc.property(anySeed, weights, (seed, all) => {
    const scheduler = hash.create(poolOf(...all));
    const hashes = Array.from({ length: 20 }, (_, i) => Math.imul(seed, i + 1));
    const had = hashes.map((one) => scheduler.pick(one));
    for (let i = 0; i < 500; i++) assert.is(scheduler.pick(hashes[0]), had[0]);
    assert.equal(hashes.map((one) => scheduler.pick(one)), had);
  }), 100);
});

test('a target that goes takes only its own with it, and has them back when it returns', () => {
  check(fc.property(weights, fc.nat(), (all, gone) => {
    const pool = poolOf(...all);
    const scheduler = hash.create(pool);
    const places = (): number[] => Array.from({ length: BUCKETS }, (_, bucket) => scheduler.pick(bucket));
    const before = places(), leaves = gone % all.length;
    pool.set(pool.targets[leaves], { isUsable: false });
    const without = places();
    before.forEach((target, bucket) => { if (target !== leaves) assert.is(without[bucket], target); });
    pool.set(pool.targets[leaves], { isUsable: true });
    const moved = places().filter((target, bucket) => target !== without[bucket]);
    assert.ok(moved.every((target) => target === leaves), 'only it takes');
    assert.is(moved.length, before.filter((target) => target === leaves).length, 'and no more than it had');
  }), 60);
});

// conforms: fwd-split
test('chi-square: hashes at random are split by weight, whatever the seed', () => {
  check(fc.property(anySeed, weights, (seed, all) => {
    const drawn = tally(hash.create(poolOf(...all)), all.length, 4000, seed);
    isDrawnBy(drawn.slice(0, all.length), all, `seed ${seed}:`);
  }), 100);
});

test('no target of at least one bucket’s share is left out', () => {
  const scheduler = hash.create(poolOf(1023, 1));
  const random = new Random(4);
  let light = 0;
  for (let i = 0; i < 20_000; i++) light += scheduler.pick(random.next());
  isDrawnBy([20_000 - light, light], [1023, 1]);
  assert.ok(light > 0);
});

test.run();
