/** Token buckets: one second's worth, filled again at their rate, per destination and in all. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RateLimit } from '../../src/table/rate-limit.js';

/** How many of `attempts` towards one destination at one moment are let through. */
function burst(limit: RateLimit, destination: number, nowMs: number, attempts = 1000): number {
  let passed = 0;
  for (let i = 0; i < attempts; i++) if (limit.take(destination, nowMs)) passed++;
  return passed;
}

test('one destination gets its own rate, however much is left for all', () => {
  const limit = new RateLimit(100, 10, 1);
  assert.is(burst(limit, 5, 0), 10);
  assert.is(burst(limit, 5, 99), 0);
  assert.is(burst(limit, 5, 100), 1);
  assert.is(burst(limit, 5, 600), 5);
  assert.is(burst(limit, 5, 60_000), 10, 'no more than a second’s worth is saved up');
});

test('all together get the rate for all', () => {
  const limit = new RateLimit(100, 10, 1);
  let passed = 0;
  for (let destination = 0; destination < 200; destination++) passed += burst(limit, destination, 0, 2);
  assert.is(passed, 100);
  passed = 0;
  for (let destination = 1000; destination < 1200; destination++) passed += burst(limit, destination, 250, 1);
  assert.is(passed, 25);
});

test('a noisy destination leaves the others their share', () => {
  const limit = new RateLimit(100, 10, 1);
  burst(limit, 1, 0);
  let served = 0;
  for (let destination = 2; destination < 42; destination++) if (limit.take(destination, 0)) served++;
  // Two destinations may hash to one bucket of the 1,024; hardly ever more of 40 share the noisy one's.
  assert.ok(served >= 38, `${served} of 40`);
});

test('over many seconds the rate holds, to the packet', () => {
  const limit = new RateLimit(1000, 50, 3);
  let passed = 0;
  for (let ms = 0; ms <= 10_000; ms++) if (limit.take(9, ms)) passed++;
  assert.ok(passed >= 549 && passed <= 551, `${passed} in ten seconds and one second saved up`);
});

test('what was not sent is counted; a rate of 0 sends nothing', () => {
  const limit = new RateLimit(100, 10, 1);
  burst(limit, 5, 0, 25);
  assert.is(limit.limited, 15);
  assert.is(burst(new RateLimit(0, 10, 1), 5, 5000), 0);
  assert.is(burst(new RateLimit(10, 0, 1), 5, 5000), 0);
});

test('a clock far from 0 at the start does no harm', () => {
  assert.is(burst(new RateLimit(100, 10, 1), 5, 1e12), 10);
});

test.run();
