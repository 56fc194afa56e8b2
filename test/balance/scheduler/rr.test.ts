/** Round robin: one after the other, whoever may not be chosen left out. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rr } from '../../../src/balance/scheduler/rr.js';
import { check } from '../../support/oracle/property.js';
import { made, poolOf } from '../scheduler-suite.js';

test('of those that may be chosen each has one turn a round, in the order of the pool', () => {
  check(fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 8 }).filter((all) => all.some((w) => w > 0)), fc.nat(30), (all, before) => {
    const scheduler = made(rr, poolOf(...all));
    const turns = all.flatMap((w, i) => (w > 0 ? [i] : []));
    for (let i = 0; i < before; i++) scheduler.pick(i);
    assert.equal(Array.from({ length: 3 * turns.length }, () => scheduler.pick(0)), Array.from({ length: 3 * turns.length }, (_, i) => turns[(before + i) % turns.length]));
  }), 200);
});

test('one that goes or comes only changes whose turn it is', () => {
  const pool = poolOf(1, 1, 1);
  const scheduler = made(rr, pool);
  assert.equal([scheduler.pick(0), scheduler.pick(0)], [0, 1]);
  pool.set(pool.targets[2], { isUsable: false });
  assert.equal([scheduler.pick(0), scheduler.pick(0)], [0, 1]);
  pool.set(pool.targets[2], { isUsable: true });
  assert.equal([scheduler.pick(0), scheduler.pick(0), scheduler.pick(0)], [2, 0, 1]);
});

test.run();
