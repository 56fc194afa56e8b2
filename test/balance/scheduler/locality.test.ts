/** lblc and lblcr: a destination stays where it is until its server is overloaded; then it moves, or gets one more. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pool } from '../../../src/balance/pool.js';
import { lblc } from '../../../src/balance/scheduler/lblc.js';
import { lblcr } from '../../../src/balance/scheduler/lblcr.js';
import { DESTINATIONS, SHRINK_MS } from '../../../src/balance/scheduler/locality.js';
import { made, poolOf } from '../scheduler-suite.js';

const NONE = -1;

function loads(pool: Pool, ...active: readonly number[]): void { pool.targets.forEach((one, i) => { one.active = active[i]; }); }

for (const type of [lblc, lblcr]) {
  test(`${type.name}: a destination goes to the least loaded server, and stays there however full it is while nobody is half empty`, () => {
    const pool = poolOf(4, 4, 4);
    const scheduler = made(type, pool);
    loads(pool, 3, 1, 2);
    assert.is(scheduler.pick(7), 1);
    loads(pool, 2, 40, 2);
    assert.is(scheduler.pick(7), 1, 'nobody has less than half of what it may have');
    loads(pool, 0, 4, 0);
    assert.is(scheduler.pick(7), 1, 'it has no more than it may have');
    assert.is(scheduler.pick(8), 0, 'another destination goes where there is room');
  });

  test(`${type.name}: when its server goes it moves, and stays when that one returns`, () => {
    const pool = poolOf(4, 4);
    const scheduler = made(type, pool);
    assert.is(scheduler.pick(7), 0);
    pool.set(pool.targets[0], { isUsable: false });
    assert.is(scheduler.pick(7), 1);
    pool.set(pool.targets[0], { isUsable: true });
    loads(pool, 0, 3);
    assert.is(scheduler.pick(7), 1);
  });

  test(`${type.name}: with nobody left it picks none, and begins anew when somebody is back`, () => {
    const pool = poolOf(4, 4);
    const scheduler = made(type, pool);
    assert.is(scheduler.pick(7), 0);
    for (const one of pool.targets) pool.set(one, { isUsable: false });
    assert.is(scheduler.pick(7), NONE);
    pool.set(pool.targets[1], { isUsable: true });
    assert.is(scheduler.pick(7), 1);
  });

  test(`${type.name}: ${DESTINATIONS} destinations are remembered, then the one longest out of use makes room, and is counted`, () => {
    const pool = poolOf(1e6, 1e6);
    const scheduler = made(type, pool);
    for (let hash = 0; hash < DESTINATIONS; hash++) {
      loads(pool, hash % 2, 1 - (hash % 2));
      assert.is(scheduler.pick(hash), hash % 2);
    }
    assert.is(scheduler.evicted, 0);
    loads(pool, 1, 0);
    assert.is(scheduler.pick(0), 0, 'it is remembered, and in use now');
    assert.is(scheduler.pick(-5), 1, 'a new one takes the place of destination 1');
    assert.is(scheduler.evicted, 1);
    loads(pool, 0, 1);
    assert.is(scheduler.pick(2), 0);
    assert.is(scheduler.pick(1), 0, 'forgotten: it goes where there is least');
    assert.is(scheduler.evicted, 2);
    assert.is(scheduler.pick(5), 1, 'all others are where they were');
  });
}

test('lblc: an overloaded server’s destination moves to the least loaded one and is not led back', () => {
  const pool = poolOf(4, 4, 4);
  const scheduler = made(lblc, pool);
  assert.is(scheduler.pick(7), 0);
  loads(pool, 5, 2, 1);
  assert.is(scheduler.pick(7), 2);
  loads(pool, 0, 0, 4);
  assert.is(scheduler.pick(7), 2);
});

test('lblcr: it gets one server more instead, and its flows go to the least loaded of them', () => {
  const pool = poolOf(4, 4, 4);
  const scheduler = made(lblcr, pool);
  assert.is(scheduler.pick(7), 0);
  loads(pool, 5, 2, 1);
  assert.is(scheduler.pick(7), 2);
  loads(pool, 3, 0, 4);
  assert.is(scheduler.pick(7), 0);
  loads(pool, 4, 0, 3);
  assert.is(scheduler.pick(7), 2);
});

test('lblcr: a set that has stood for long gives its most loaded server up, one each time, and keeps the last', () => {
  let nowMs = 0;
  const pool = poolOf(4, 4, 4);
  const scheduler = made(lblcr, pool, { nowMs: () => nowMs });
  scheduler.pick(7);
  loads(pool, 5, 1, 2);
  assert.is(scheduler.pick(7), 1);
  loads(pool, 5, 5, 1);
  assert.is(scheduler.pick(7), 2);
  loads(pool, 3, 2, 2);
  nowMs += SHRINK_MS - 1;
  assert.is(scheduler.pick(7), 1, 'all three are there: the first of the least');
  nowMs += 1;
  assert.is(scheduler.pick(7), 1, 'and with this flow the first server leaves the set');
  loads(pool, 0, 3, 2);
  assert.is(scheduler.pick(7), 2);
  nowMs += SHRINK_MS;
  assert.is(scheduler.pick(7), 2, 'now the second one does');
  loads(pool, 0, 0, 4);
  assert.is(scheduler.pick(7), 2);
  nowMs += SHRINK_MS;
  assert.is(scheduler.pick(7), 2, 'the last one stays');
});

test('more than 32 servers: sets are of several words', () => {
  const pool = poolOf(...new Array<number>(70).fill(4));
  const scheduler = made(lblcr, pool);
  pool.targets.forEach((one, i) => { one.active = i === 65 ? 0 : 3; });
  assert.is(scheduler.pick(7), 65);
  pool.targets.forEach((one, i) => { one.active = i === 65 ? 5 : i === 31 ? 1 : 3; });
  assert.is(scheduler.pick(7), 31);
  pool.targets.forEach((one, i) => { one.active = i === 65 ? 2 : 3; });
  assert.is(scheduler.pick(7), 65);
});

test.run();
