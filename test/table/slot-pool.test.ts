/** Slots for waiting packets: two sizes, bounded, used again. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RECORD_MAX } from '../../src/link/batch.js';
import { SlotPool } from '../../src/table/slot-pool.js';

const NONE = -1;

test('small packets take small slots while there are any, then big ones; big packets only big ones', () => {
  const pool = new SlotPool(3, 2);
  const small = [1, 2047, 2048].map((length) => pool.take(length));
  assert.equal(small.map((slot) => pool.bytes(slot).length), [2048, 2048, 2048]);
  const big = pool.take(2049);
  assert.is(pool.bytes(big).length, RECORD_MAX);
  const spill = pool.take(5);
  assert.is(pool.bytes(spill).length, RECORD_MAX);
  assert.equal([pool.take(1), pool.take(RECORD_MAX)], [NONE, NONE]);
  assert.is(new Set([...small, big, spill]).size, 5);
  pool.give(small[1]);
  assert.is(pool.take(3000), NONE, 'a small slot is no room for a big packet');
  assert.is(pool.take(3), small[1]);
  pool.give(spill);
  assert.is(pool.take(3000), spill);
});

test('slots keep their bytes apart, and their memory when they come back', () => {
  const pool = new SlotPool(2, 1);
  const a = pool.take(4), b = pool.take(4), c = pool.take(4);
  [a, b, c].forEach((slot, i) => pool.bytes(slot).fill(i + 1));
  assert.equal([a, b, c].map((slot) => pool.bytes(slot)[0]), [1, 2, 3]);
  const memory = pool.bytes(a);
  pool.give(a);
  assert.is(pool.bytes(pool.take(4)), memory, 'nothing is allocated anew');
});

test.run();
