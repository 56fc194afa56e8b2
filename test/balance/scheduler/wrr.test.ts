/** Weighted round robin: exact over a whole round, even within it, and begun anew by a change. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { wrr } from '../../../src/balance/scheduler/wrr.js';
import { check } from '../../support/oracle/property.js';
import { poolOf } from '../scheduler-suite.js';

const weight = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 60 }));
const weights = fc.array(weight, { minLength: 1, maxLength: 8 }).filter((all) => all.some((w) => w > 0));
const sum = (all: readonly number[]): number => all.reduce((total, w) => total + w, 0);

test('over each whole round every target gets exactly its weight', () => {
  check(fc.property(weights, (all) => {
    const scheduler = wrr.create(poolOf(...all));
    for (let round = 0; round < 3; round++) {
      const counts = all.map(() => 0);
      for (let i = 0; i < sum(all); i++) counts[scheduler.pick(0)]++;
      assert.equal(counts, all);
    }
  }), 100);
});

test('at every moment no target is a whole turn ahead of its share, and of two none behind by one', () => {
  check(fc.property(weights, (all) => {
    const scheduler = wrr.create(poolOf(...all));
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

test('it is interleaved: 5:1:1 comes as one of five, not as five in a row', () => {
  const scheduler = wrr.create(poolOf(5, 1, 1));
  assert.equal(Array.from({ length: 7 }, () => scheduler.pick(0)), [0, 0, 1, 0, 2, 0, 0]);
});

test('the hash means nothing, and a change begins the turns anew', () => {
  const pool = poolOf(1, 1);
  const scheduler = wrr.create(pool);
  assert.equal([scheduler.pick(9), scheduler.pick(9), scheduler.pick(9)], [0, 1, 0]);
  pool.set(pool.targets[0], { isUsable: false });
  assert.equal(Array.from({ length: 50 }, () => scheduler.pick(9)), new Array<number>(50).fill(1));
  pool.set(pool.targets[0], { isUsable: true });
  assert.equal([scheduler.pick(9), scheduler.pick(9), scheduler.pick(9)], [0, 1, 0], 'who comes back is not flooded to catch up');
});

test.run();
