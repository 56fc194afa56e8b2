/** Weighted round robin: exact over a whole round, even within it, and carried on by a change. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { wrr } from '../../../src/balance/scheduler/wrr.js';
import { check } from '../../support/oracle/property.js';
import { made, poolOf } from '../scheduler-suite.js';

const weight = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 60 }));
const weights = fc.array(weight, { minLength: 1, maxLength: 8 }).filter((all) => all.some((w) => w > 0));
const sum = (all: readonly number[]): number => all.reduce((total, w) => total + w, 0);

// conforms: vs-wrr
test('over each whole round every target gets exactly its weight', () => {
  check(fc.property(weights, (all) => {
    const scheduler = made(wrr, poolOf(...all));
    for (let round = 0; round < 3; round++) {
      const counts = all.map(() => 0);
      for (let i = 0; i < sum(all); i++) counts[scheduler.pick(0)]++;
      assert.equal(counts, all);
    }
  }), 100);
});

test('at every moment no target is a whole turn ahead of its share, and of two none behind by one', () => {
  check(fc.property(weights, (all) => {
    const scheduler = made(wrr, poolOf(...all));
    const counts = all.map(() => 0);
    const others = all.filter((w) => w > 0).length - 1;
    for (let picks = 1; picks <= 2 * sum(all); picks++) {
      counts[scheduler.pick(picks)]++;
      all.forEach((w, i) => {
        const ahead = counts[i] - (picks * w) / sum(all);
        assert.ok(ahead < 1 && -ahead <= Math.max(0, others), `${counts} after ${picks} of ${all}`);
        if (others === 1) assert.ok(-ahead < 1, `${counts} after ${picks} of ${all}`);
      });
    }
  }), 150);
});

// conforms: vs-wrr
test('it is interleaved: 5:1:1 comes as one of five, not as five in a row', () => {
  const scheduler = made(wrr, poolOf(5, 1, 1));
  assert.equal(Array.from({ length: 7 }, () => scheduler.pick(0)), [0, 0, 1, 0, 2, 0, 0]);
});

test('the hash means nothing, and who comes back is not flooded to catch up', () => {
  const pool = poolOf(1, 1);
  const scheduler = made(wrr, pool);
  assert.equal([scheduler.pick(9), scheduler.pick(9), scheduler.pick(9)], [0, 1, 0]);
  pool.set(pool.targets[0], { isUsable: false });
  assert.equal(Array.from({ length: 50 }, () => scheduler.pick(9)), new Array<number>(50).fill(1));
  pool.set(pool.targets[0], { isUsable: true });
  const [first, ...others] = Array.from({ length: 8 }, () => scheduler.pick(9));
  assert.equal(others, [1, 0, 1, 0, 1, 0, 1].map((place) => (first === 0 ? place : 1 - place)), 'turn and turn about at once');
});

test('who comes back begins with nothing: a turn that was nearly its own is not kept for it', () => {
  const pool = poolOf(1, 99);
  const scheduler = made(wrr, pool);
  for (let i = 0; i < 49; i++) assert.is(scheduler.pick(0), 1);
  for (const isUsable of [false, true]) {
    pool.set(pool.targets[0], { isUsable });
    assert.is(scheduler.pick(0), 1);
  }
  for (let i = 0; i < 20; i++) assert.is(scheduler.pick(0), 1);
});

const happening = fc.record({ place: fc.nat(), weight: fc.option(weight, { nil: undefined }), isUsable: fc.option(fc.boolean(), { nil: undefined }), picks: fc.nat(30) });

test('whatever has happened before, over the next rounds nobody is off by more than a turn or two', () => {
  check(fc.property(weights, fc.array(happening, { maxLength: 12 }), (all, happenings) => {
    const pool = poolOf(...all);
    const scheduler = made(wrr, pool);
    for (const one of happenings) {
      for (let i = 0; i < one.picks; i++) scheduler.pick(0);
      pool.set(pool.targets[one.place % all.length], { ...one.weight === undefined ? {} : { weight: one.weight }, ...one.isUsable === undefined ? {} : { isUsable: one.isUsable } });
    }
    const now = pool.targets.map((one) => (one.isUsable ? one.weight : 0));
    const counts = now.map(() => 0);
    for (let i = 0; i < 2 * sum(now); i++) counts[scheduler.pick(0)]++;
    counts.forEach((count, i) => assert.ok(Math.abs(count - 2 * now[i]) <= 2, `${counts} of ${now}`));
  }), 300);
});

test('a target that is full again and again does not begin the turns anew: the others keep theirs', () => {
  const pool = poolOf(1, 1, 1);
  const scheduler = made(wrr, pool);
  const counts = [0, 0, 0];
  for (let i = 0; i < 3000; i++) {
    counts[scheduler.pick(0)]++;
    pool.set(pool.targets[2], { isUsable: i % 2 === 0 });
  }
  assert.ok(Math.abs(counts[0] - counts[1]) <= 30, `${counts}`);
});

test.run();
