/** Power of two choices: drawn by weight, evener than one draw, and a matter of the draws alone. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { twos } from '../../../src/balance/scheduler/twos.js';
import { Random } from '../../../src/base/random.js';
import { isDrawnBy } from '../../support/oracle/chi-square.js';
import { anySeed, check } from '../../support/oracle/property.js';
import { fill, made, poolOf, tally } from '../scheduler-suite.js';

test('while nobody has a flow the draws decide, by weight, and the first of the two wins', () => {
  check(fc.property(anySeed, fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 2, maxLength: 6 }).filter((all) => all.some((w) => w > 0)), (seed, all) => {
    const drawn = tally(made(twos, poolOf(...all), { random: new Random(seed) }), all.length, 4000, 1);
    isDrawnBy(drawn.slice(0, all.length), all, `seed ${seed}:`);
  }), 60);
});

test('the least and the greatest draw name the first and the last that may be chosen', () => {
  for (const [drawn, place] of [[0, 1], [-1, 2]]) {
    const random = new Random(1);
    random.next = () => drawn;
    assert.is(made(twos, poolOf(0, 1, 1, 0), { random }).pick(0), place);
  }
});

test('with the same draws it picks the same, whatever the hashes', () => {
  const run = (hash: number): number[] => {
    const scheduler = made(twos, poolOf(3, 1, 2), { random: new Random(5) });
    return Array.from({ length: 200 }, () => scheduler.pick(hash));
  };
  assert.equal(run(1), run(77));
});

test('of a hundred equal targets the fullest of 10,000 flows is ahead by less than eight, where single draws are by twenty and more', () => {
  check(fc.property(anySeed, (seed) => {
    const pool = poolOf(...new Array<number>(100).fill(1));
    const counts = fill(pool, made(twos, pool, { random: new Random(seed) }), 10_000, 1);
    assert.ok(Math.max(...counts) < 108, `${Math.max(...counts)}`);
    const alone = new Random(seed);
    const single = new Array<number>(100).fill(0);
    for (let i = 0; i < 10_000; i++) single[alone.below(100)]++;
    assert.ok(Math.max(...single) > Math.max(...counts));
  }), 30);
});

test('one that comes up fills gently: of the next flows it gets no more than the draws that name it', () => {
  const pool = poolOf(1, 1, 1, 1);
  const scheduler = made(twos, pool);
  pool.set(pool.targets[3], { isUsable: false });
  fill(pool, scheduler, 300, 1);
  pool.set(pool.targets[3], { isUsable: true });
  fill(pool, scheduler, 100, 2);
  // Two draws of four name it with 7 in 16.
  isDrawnBy([pool.targets[3].active, 100 - pool.targets[3].active], [7, 9]);
});

test.run();
