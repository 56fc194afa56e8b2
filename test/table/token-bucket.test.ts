/** Token buckets: rates, bursts, many sources, and a table that is full. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BUCKETS, TokenBuckets } from '../../src/table/token-bucket.js';

const rate = (perSecond: number, burst: number, by: 'source' | 'rule') => ({ perSecond, burst, by });
const none = (): void => undefined;
/** Of `count` asked one by one, how many are given. */
const given = (count: number, take: () => boolean): number => Array.from({ length: count }, take).filter(Boolean).length;

test('a bucket begins full, is filled at its rate, and never holds more than its burst', () => {
  const buckets = new TokenBuckets([null, rate(10, 5, 'rule'), rate(10, 5, 'source')], 1, none);
  for (const take of [(nowMs: number) => buckets.takeOfRule(1, 1, nowMs), (nowMs: number) => buckets.takeOfSource(2, 77, 1, nowMs)]) {
    assert.is(given(10, () => take(1000)), 5);
    assert.is(given(10, () => take(1099)), 0);
    assert.is(given(10, () => take(1100)), 1);
    assert.is(given(10, () => take(1450)), 3);
    assert.is(given(10, () => take(1_000_000)), 5);
  }
});

test('over a long time exactly the rate is given', () => {
  const buckets = new TokenBuckets([rate(50, 10, 'source')], 1, none);
  let count = 0;
  for (let ms = 0; ms < 100_000; ms += 5) if (buckets.takeOfSource(0, 1, 1, ms)) count++;
  assert.ok(Math.abs(count - 5010) <= 1, `${count}`);
});

test('more than a burst at once passes with a full bucket and is paid off', () => {
  const buckets = new TokenBuckets([rate(10, 5, 'rule')], 1, none);
  assert.ok(buckets.takeOfRule(0, 20, 0));
  assert.not.ok(buckets.takeOfRule(0, 1, 1000), 'ten given, fifteen owed');
  assert.ok(buckets.takeOfRule(0, 1, 1600));
});

test('sources and rules do not touch each other', () => {
  const buckets = new TokenBuckets([rate(1, 2, 'source'), rate(1, 3, 'source')], 1, none);
  for (let source = -500; source < 500; source++) {
    assert.is(given(5, () => buckets.takeOfSource(0, source, 1, 0)), 2);
    assert.is(given(5, () => buckets.takeOfSource(1, source, 1, 0)), 3);
  }
});

test('a table that is full makes room by the bucket used longest ago, and counts it', () => {
  let evicted = 0;
  const buckets = new TokenBuckets([rate(1, 1000, 'source')], 1, () => { evicted++; });
  for (let source = 0; source < BUCKETS * 3; source++) assert.ok(buckets.takeOfSource(0, source, 1, 0));
  assert.ok(evicted >= BUCKETS * 2, `${evicted}`);
  evicted = 0;
  const idle = new TokenBuckets([rate(1000, 1, 'source')], 1, () => { evicted++; });
  for (let source = 0; source < BUCKETS * 3; source++) idle.takeOfSource(0, source, 1, source * 10);
  assert.is(evicted, 0, 'those that have filled up again are no loss');
});

test('one busy source is held to its rate while a flood of others passes by', () => {
  const buckets = new TokenBuckets([rate(1, 5, 'source')], 1, none);
  let count = 0;
  for (let i = 0; i < 10_000; i++) {
    buckets.takeOfSource(0, 1_000_000 + i, 1, i);
    if (buckets.takeOfSource(0, 7, 1, i)) count++;
  }
  assert.is(count, 5 + 9);
});

test.run();
