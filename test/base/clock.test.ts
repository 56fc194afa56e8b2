/** Clocks: the manual one stands still, the system's never goes back; and an assert that fails. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assert as insist } from '../../src/base/assert.js';
import { ManualClock, systemClock } from '../../src/base/clock.js';

test('a manual clock moves when it is told to and by as much', () => {
  const clock = new ManualClock(5);
  assert.is(clock.nowMs(), 5);
  assert.is(clock.nowMs(), 5);
  clock.advance(2.5);
  assert.is(clock.nowMs(), 7.5);
  assert.is(new ManualClock().nowMs(), 0);
});

test('the system’s clock goes on', () => {
  const start = systemClock.nowMs();
  let last = start;
  for (let i = 0; i < 10_000_000 && last === start; i++) {
    const now = systemClock.nowMs();
    assert.ok(now >= last);
    last = now;
  }
  assert.ok(last > start);
});

test('an assert lets truth pass and ends what is not', () => {
  insist(true, 'never seen');
  assert.throws(() => insist(false, 'seen'), /^Error: assertion failed: seen$|assertion failed: seen/);
});

test.run();
