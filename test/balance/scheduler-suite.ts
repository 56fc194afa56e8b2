/** What every scheduler owes its pool; runs over each one in the registry. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { Pool } from '../../src/balance/pool.js';
import type { Target } from '../../src/balance/target.js';
import type { Scheduler, SchedulerType } from '../../src/balance/scheduler/scheduler.js';

const NONE = -1;

export function poolOf(...weights: readonly number[]): Pool {
  return new Pool(weights.map((weight): Target => ({ weight, isUsable: true, chosen: 0 })));
}

/** How often each target was picked, the flows' hashes drawn from a seed; NONE last. */
export function tally(scheduler: Scheduler, targets: number, picks: number, seed: number): number[] {
  const random = new Random(seed);
  const counts = new Array<number>(targets + 1).fill(0);
  for (let i = 0; i < picks; i++) {
    const place = scheduler.pick(random.next());
    assert.ok(Number.isInteger(place) && place >= NONE && place < targets, `picked ${place} of ${targets}`);
    counts[place === NONE ? targets : place]++;
  }
  return counts;
}

export function schedulerSuite(type: SchedulerType): void {
  const named = (name: string, run: () => void): void => { test(`${type.name}: ${name}`, run); };

  named('has a name for the configuration and a sentence for the docs', () => {
    assert.match(type.name, /^[a-z][a-z0-9-]*$/);
    assert.ok(type.sentence.split(' ').length > 4);
  });

  named('picks none when nobody may be chosen: no target, all down, no weight', () => {
    assert.is(type.create(poolOf()).pick(5), NONE);
    assert.equal(tally(type.create(poolOf(0, 0)), 2, 50, 1), [0, 0, 50]);
    const pool = poolOf(1, 2);
    for (const target of pool.targets) pool.set(target, { isUsable: false });
    const scheduler = type.create(pool);
    assert.equal(tally(scheduler, 2, 50, 1), [0, 0, 50]);
    pool.set(pool.targets[1], { isUsable: true });
    assert.equal(tally(scheduler, 2, 50, 1), [0, 50, 0]);
  });

  named('a single target gets all', () => {
    assert.equal(tally(type.create(poolOf(7)), 1, 200, 3), [200, 0]);
  });

  named('a target that is down or has no weight gets nothing, from the very next pick on', () => {
    const pool = poolOf(5, 3, 2);
    const scheduler = type.create(pool);
    tally(scheduler, 3, 100, 4);
    pool.set(pool.targets[0], { isUsable: false });
    assert.equal([0, 3].map((i) => tally(scheduler, 3, 500, 5)[i]), [0, 0]);
    pool.set(pool.targets[1], { weight: 0 });
    assert.equal(tally(scheduler, 3, 500, 6), [0, 0, 500, 0]);
    pool.set(pool.targets[0], { isUsable: true });
    const counts = tally(scheduler, 3, 500, 7);
    assert.is(counts[1], 0);
    assert.ok(counts[0] > 0 && counts[2] > 0);
  });

  named('many flows are shared out by weight', () => {
    for (const weights of [[1, 1], [3, 1], [1, 2, 3, 4], [100, 1], [256, 255, 1, 7]]) {
      for (const seed of [1, 2, 3]) {
        const counts = tally(type.create(poolOf(...weights)), weights.length, 20_000, seed);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        weights.forEach((weight, i) => {
          const wanted = (weight / total) * 20_000;
          // Six standard deviations of a fair draw: a scheduler may be as good as dice, and no worse.
          assert.ok(Math.abs(counts[i] - wanted) <= 6 * Math.sqrt(wanted) + 1, `${weights.join(':')}, target ${i}: ${counts[i]}, wanted ${wanted}`);
        });
      }
    }
  });

  named('is a matter of its pool, its history and the hashes alone', () => {
    const pick = (): number[] => {
      const scheduler = type.create(poolOf(2, 3, 5));
      const random = new Random(8);
      return Array.from({ length: 500 }, () => scheduler.pick(random.next()));
    };
    assert.equal(pick(), pick());
  });

  named('two schedulers over one pool do not disturb each other', () => {
    const pool = poolOf(1, 3);
    const alone = tally(type.create(poolOf(1, 3)), 2, 400, 9);
    const one = type.create(pool), other = type.create(pool);
    const random = new Random(9);
    const counts = [0, 0];
    for (let i = 0; i < 400; i++) {
      counts[one.pick(random.next())]++;
      for (let j = 0; j < 3; j++) other.pick(i);
    }
    assert.equal(counts, alone.slice(0, 2));
  });

  named('leaves the counts of its targets to the owner', () => {
    const pool = poolOf(1, 1);
    tally(type.create(pool), 2, 50, 1);
    assert.equal(pool.targets.map((target) => target.chosen), [0, 0]);
  });
}
