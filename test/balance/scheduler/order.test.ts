/** Failover and overflow: the heaviest first. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fo } from '../../../src/balance/scheduler/fo.js';
import { ovf } from '../../../src/balance/scheduler/ovf.js';
import { check } from '../../support/oracle/property.js';
import { fill, made, poolOf } from '../scheduler-suite.js';

const NONE = -1;
const states = fc.array(fc.record({ weight: fc.integer({ min: 0, max: 6 }), isUsable: fc.boolean(), active: fc.nat(8) }), { maxLength: 8 });

test('fo takes the heaviest that may be chosen, ovf the heaviest that has room: the first of equals', () => {
  check(fc.property(states, (all) => {
    const pool = poolOf(...all.map(({ weight }) => weight));
    pool.targets.forEach((one, i) => Object.assign(one, all[i]));
    const order = all.map((_, i) => i).sort((a, b) => all[b].weight - all[a].weight || a - b);
    assert.is(made(fo, pool).pick(0), order.find((i) => all[i].isUsable && all[i].weight > 0) ?? NONE);
    assert.is(made(ovf, pool).pick(0), order.find((i) => all[i].isUsable && all[i].active < all[i].weight) ?? NONE);
  }), 500);
});

test('fo goes back when the first returns', () => {
  const pool = poolOf(2, 3, 1);
  const scheduler = made(fo, pool);
  const picks = [scheduler.pick(0)];
  for (const isUsable of [false, true]) {
    pool.set(pool.targets[1], { isUsable });
    picks.push(scheduler.pick(0));
  }
  assert.equal(picks, [1, 0, 1]);
});

test('ovf fills one after the other, each up to its weight and no further; then there is nobody', () => {
  const pool = poolOf(2, 5, 3);
  const scheduler = made(ovf, pool);
  assert.equal(fill(pool, scheduler, 4, 1), [0, 4, 0]);
  assert.equal(fill(pool, scheduler, 3, 1), [0, 5, 2]);
  assert.equal(fill(pool, scheduler, 9, 1), [2, 5, 3]);
  pool.targets[1].active--;
  assert.equal(fill(pool, scheduler, 1, 1), [2, 5, 3]);
});

test.run();
