/**
 * What every scheduler owes its pool; runs over each one in the registry. In short: whoever is picked may be picked, somebody is as long as somebody may
 * be, new flows are shared out as `shares` says, clients move as `moves` says, and a pick leaves nothing for the collector.
 */
import fc from 'fast-check';
import { getHeapStatistics } from 'node:v8';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { Pool } from '../../src/balance/pool.js';
import type { Scheduler, SchedulerOptions, SchedulerType } from '../../src/balance/scheduler/scheduler.js';
import { anySeed, check } from '../support/oracle/property.js';
import { EVENTS, moved, options, target } from './disruption.js';

export { options } from './disruption.js';

const NONE = -1;

export function poolOf(...weights: readonly number[]): Pool { return new Pool(weights.map((weight, i) => target(i, weight))); }

/** A scheduler over a pool, as most tests want it: a target that may not be chosen is replaced. */
export function made(type: SchedulerType, pool: Pool, others: Partial<SchedulerOptions> = {}): Scheduler { return type.create(pool, { ...options(), ...others }); }

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

/** The same with flows that live on: each target's active ones are counted as the owner of a pool counts them. */
export function fill(pool: Pool, scheduler: Scheduler, flows: number, seed: number): number[] {
  const random = new Random(seed);
  for (let i = 0; i < flows; i++) {
    const place = scheduler.pick(random.next());
    if (place !== NONE) pool.targets[place].active++;
  }
  return pool.targets.map(({ active }) => active);
}

/** What may happen to a pool between two picks. */
export const weight = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(0, 1, 10, 100, 256, 1000), fc.integer({ min: 1, max: 64 }).map((sixteenths) => sixteenths / 16));
const happening = fc.record({
  place: fc.nat(),
  weight: fc.option(weight, { nil: undefined }),
  isUsable: fc.option(fc.boolean(), { nil: undefined }),
  active: fc.option(fc.nat(2000), { nil: undefined }),
  inactive: fc.option(fc.nat(2000), { nil: undefined }),
  passesMs: fc.nat(500_000),
});

/** Rounds of picks until one leaves nothing behind: the first ones run in the interpreter, which makes an object of many a number. */
const ROUNDS = 200;
const PICKS_A_ROUND = 20_000;
/** An object has 16 bytes at least; what else runs in the process allocates a little. */
const BYTES_A_PICK = 4;

export function schedulerSuite(type: SchedulerType): void {
  const named = (name: string, run: () => void): void => { test(`${type.name}: ${name}`, run); };

  named('has a name for the configuration and sentences for the docs', () => {
    assert.match(type.name, /^[a-z][a-z0-9-]*$/);
    for (const sentence of [type.sentence, type.use, type.disruption]) assert.ok(sentence.split(' ').length > 4, sentence);
  });

  named('picks none when nobody may be chosen: no target, all down, no weight', () => {
    assert.is(made(type, poolOf()).pick(5), NONE);
    assert.equal(tally(made(type, poolOf(0, 0)), 2, 50, 1), [0, 0, 50]);
    const pool = poolOf(1, 2);
    for (const one of pool.targets) pool.set(one, { isUsable: false });
    const scheduler = made(type, pool);
    assert.equal(tally(scheduler, 2, 50, 1), [0, 0, 50]);
    pool.set(pool.targets[1], { isUsable: true });
    assert.equal(tally(scheduler, 2, 50, 1), [0, 50, 0]);
  });

  named('a single target gets all', () => {
    assert.equal(tally(made(type, poolOf(7)), 1, 200, 3), [200, 0]);
  });

  named('whatever happens to the pool, who is picked may be picked from the very next pick on, and somebody is as long as somebody may be', () => {
    check(fc.property(fc.array(weight, { minLength: 1, maxLength: 40 }), fc.array(happening, { maxLength: 30 }), anySeed, fc.boolean(), (weights, happenings, seed, fallBack) => {
      const pool = poolOf(...weights);
      let nowMs = 0;
      const scheduler = type.create(pool, options(fallBack, seed, () => nowMs));
      const random = new Random(seed);
      for (const one of [...happenings, ...happenings]) {
        const place = one.place % weights.length;
        nowMs += one.passesMs;
        if (one.weight !== undefined || one.isUsable !== undefined) {
          pool.set(pool.targets[place], { ...one.weight === undefined ? {} : { weight: one.weight }, ...one.isUsable === undefined ? {} : { isUsable: one.isUsable } });
        }
        pool.targets[place].active = one.active ?? pool.targets[place].active;
        pool.targets[place].inactive = one.inactive ?? pool.targets[place].inactive;
        for (let i = 0; i < 10; i++) {
          const picked = scheduler.pick(i < 5 ? random.next() : i);
          assert.ok(picked === NONE || Pool.effectiveWeight(pool.targets[picked]) > 0, `picked ${picked}`);
          // Without fallBack one that hashes may refuse; ovf refuses beyond the weights.
          const hasRoom = pool.targets.some((its) => Pool.effectiveWeight(its) > its.active);
          if (fallBack && hasRoom) assert.is.not(picked, NONE);
        }
      }
    }), 60);
  });

  named('many flows are shared out as it says', () => {
    const flows = 20_000;
    for (const parts of [[1, 1], [3, 1], [1, 2, 3, 4], [100, 1], [256, 255, 1, 7]]) {
      for (const seed of [1, 2, 3]) {
        // Weights that hold all flows: beyond them the order of the heaviest is another matter.
        const pool = poolOf(...parts.map((part) => part * flows));
        const counts = fill(pool, made(type, pool), flows, seed);
        const isEven = type.shares === 'equal' || type.shares === 'equal-load';
        const total = parts.reduce((sum, part) => sum + (isEven ? 1 : part), 0);
        parts.forEach((part, i) => {
          const wanted = type.shares === 'first' ? (part === Math.max(...parts) && parts.indexOf(part) === i ? flows : 0) : ((isEven ? 1 : part) / total) * flows;
          // Six standard deviations of a fair draw: a scheduler may be as good as dice, and no worse. Hashes share by buckets, which are 1/1024 each.
          const allowed = type.shares === 'first' ? 0 : 6 * Math.sqrt(wanted) + flows / 1024;
          assert.ok(Math.abs(counts[i] - wanted) <= allowed, `${parts.join(':')}, seed ${seed}, target ${i}: ${counts[i]}, wanted ${wanted}`);
        });
      }
    }
  });

  for (const event of EVENTS) {
    named(`clients that move as it says: ${event}`, () => {
      const percent = moved(type, event);
      assert.ok(Math.abs(percent - type.moves[event]) <= 1, `${percent.toFixed(1)} in a hundred moved; it says ${type.moves[event]}`);
    });
  }

  named('a pick leaves nothing for the collector', () => {
    const pool = poolOf(50, 30, 20, 0, 70);
    pool.set(pool.targets[2], { isUsable: false });
    const scheduler = made(type, pool);
    const random = new Random(12);
    let least = Infinity;
    for (let round = 0; round < ROUNDS && least > BYTES_A_PICK; round++) {
      const before = getHeapStatistics().used_heap_size;
      for (let i = 0; i < PICKS_A_ROUND; i++) {
        const one = pool.targets[scheduler.pick(random.next() & 0xfff)];
        one.active = (one.active + 1) & 7;
      }
      const bytes = getHeapStatistics().used_heap_size - before;
      // A collection in between says nothing of this round.
      if (bytes >= 0) least = Math.min(least, bytes / PICKS_A_ROUND);
    }
    assert.ok(least <= BYTES_A_PICK, `${least.toFixed(1)} bytes a pick`);
  });

  named('is a matter of its pool, its history, the hashes and the draws alone', () => {
    const pick = (): number[] => {
      const scheduler = made(type, poolOf(2, 3, 5));
      const random = new Random(8);
      return Array.from({ length: 500 }, () => scheduler.pick(random.next()));
    };
    assert.equal(pick(), pick());
  });

  named('two schedulers over one pool do not disturb each other', () => {
    const pool = poolOf(1, 3);
    const alone = tally(made(type, poolOf(1, 3)), 2, 400, 9);
    const one = made(type, pool), other = made(type, pool);
    const random = new Random(9);
    const counts = [0, 0];
    for (let i = 0; i < 400; i++) {
      counts[one.pick(random.next())]++;
      for (let j = 0; j < 3; j++) other.pick(i);
    }
    assert.equal(counts, alone.slice(0, 2));
  });

  named('leaves its targets to the owner', () => {
    const pool = poolOf(1, 1);
    const before = structuredClone(pool.targets);
    tally(made(type, pool), 2, 50, 1);
    assert.equal(pool.targets, before);
  });
}
