/** Those that compare loads: each picks what its definition names, and keeps the law that follows from it. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pool } from '../../../src/balance/pool.js';
import { lc } from '../../../src/balance/scheduler/lc.js';
import { nq } from '../../../src/balance/scheduler/nq.js';
import type { SchedulerType } from '../../../src/balance/scheduler/scheduler.js';
import { sed } from '../../../src/balance/scheduler/sed.js';
import { wlc } from '../../../src/balance/scheduler/wlc.js';
import type { Target } from '../../../src/balance/target.js';
import { check } from '../../support/oracle/property.js';
import { fill, made, poolOf } from '../scheduler-suite.js';

const NONE = -1;
const state = fc.record({ weight: fc.integer({ min: 0, max: 12 }), isUsable: fc.boolean(), active: fc.nat(40), inactive: fc.nat(600) });
const states = fc.array(state, { maxLength: 8 });
const positive = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });

function poolLike(all: readonly { weight: number; isUsable: boolean; active: number; inactive: number }[]): Pool {
  const pool = poolOf(...all.map(({ weight }) => weight));
  pool.targets.forEach((one, i) => Object.assign(one, all[i]));
  return pool;
}

/** Place of the least cost ÷ weight among those that may be chosen, in fractions of whole numbers; the first of equals. */
function leastBy(pool: Pool, cost: (one: Target) => number, may: (one: Target) => boolean = () => true): number {
  const candidates = pool.targets.map((one, place) => ({ one, place })).filter(({ one }) => one.isUsable && one.weight > 0 && may(one));
  candidates.sort((a, b) => {
    const left = BigInt(cost(a.one)) * BigInt(b.one.weight), right = BigInt(cost(b.one)) * BigInt(a.one.weight);
    return left < right ? -1 : left > right ? 1 : a.place - b.place;
  });
  return candidates[0]?.place ?? NONE;
}

function picks(type: SchedulerType, by: (pool: Pool) => number): void {
  check(fc.property(states, (all) => {
    const pool = poolLike(all);
    assert.is(made(type, pool).pick(0), by(pool));
  }), 500);
}

/** An active flow costs as much as 256 inactive ones (IPVS). */
const overhead = ({ active, inactive }: Target): number => active * 256 + inactive;

test('lc: the least flows, an active one being 256 inactive ones, whatever the weights', () => {
  picks(lc, (pool) => leastBy(pool, (one) => overhead(one) * one.weight));
});

// conforms: vs-wlc
test('wlc: the least flows for its weight', () => { picks(wlc, (pool) => leastBy(pool, overhead)); });

test('sed: the least active flows for its weight, the new one counted', () => { picks(sed, (pool) => leastBy(pool, ({ active }) => active + 1)); });

test('nq: an idle one, the heaviest first, else as sed', () => {
  picks(nq, (pool) => {
    const idle = leastBy(pool, () => 1, ({ active }) => active === 0);
    return idle === NONE ? leastBy(pool, ({ active }) => active + 1) : idle;
  });
});

const quota = (all: readonly number[], i: number, flows: number): number => (flows * all[i]) / all.reduce((sum, w) => sum + w, 0);

test('wlc, as flows come that stay: nobody ever has a whole flow more than its share', () => {
  check(fc.property(positive, fc.integer({ min: 1, max: 300 }), (all, flows) => {
    const pool = poolOf(...all);
    fill(pool, made(wlc, pool), flows, 1).forEach((active, i) => assert.ok(active <= Math.ceil(quota(all, i, flows)), `${active} of ${flows} for ${all[i]} of ${all}`));
  }), 200);
});

test('sed, as flows come that stay: nobody ever has a whole flow less than its share', () => {
  check(fc.property(positive, fc.integer({ min: 1, max: 300 }), (all, flows) => {
    const pool = poolOf(...all);
    fill(pool, made(sed, pool), flows, 1).forEach((active, i) => assert.ok(active >= Math.floor(quota(all, i, flows)), `${active} of ${flows} for ${all[i]} of ${all}`));
  }), 200);
});

test('lc, as flows come that stay: nobody has two flows more than another', () => {
  check(fc.property(positive, fc.integer({ min: 1, max: 300 }), (all, flows) => {
    const pool = poolOf(...all);
    const counts = fill(pool, made(lc, pool), flows, 1);
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
  }), 100);
});

test('nq, as flows come that stay: everybody has one before anybody has two', () => {
  check(fc.property(positive, (all) => {
    const pool = poolOf(...all);
    assert.equal(fill(pool, made(nq, pool), all.length, 1), all.map(() => 1));
  }), 100);
});

test('where sed leaves a light server idle nq does not', () => {
  const one = poolOf(10, 1), other = poolOf(10, 1);
  assert.equal(fill(one, made(sed, one), 5, 1), [5, 0]);
  assert.equal(fill(other, made(nq, other), 5, 1), [4, 1]);
});

test('one that comes up takes the new flows until it has its part, then they are shared again', () => {
  const pool = poolOf(1, 1, 2);
  const scheduler = made(wlc, pool);
  pool.set(pool.targets[2], { isUsable: false });
  assert.equal(fill(pool, scheduler, 40, 1), [20, 20, 0]);
  pool.set(pool.targets[2], { isUsable: true });
  assert.equal(fill(pool, scheduler, 40, 2), [20, 20, 40]);
  assert.equal(fill(pool, scheduler, 40, 3), [30, 30, 60]);
});

test.run();
