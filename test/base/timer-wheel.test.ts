/** The timer wheel against a plain list of deadlines, and what may be done to it while it fires. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TimerWheel } from '../../src/base/timer-wheel.js';
import { check } from '../support/oracle/property.js';

const CAPACITY = 12;
const UNBOUNDED = 1_000_000;

/** A wheel whose owner keeps the true deadlines, as the flow table does; and the list it must agree with. */
class Bench {
  readonly wheel: TimerWheel;
  /** True deadline of each entry that is armed. */
  readonly deadlines = new Map<number, number>();
  /** The first tick that could fire it: the one after that at which it was armed. */
  readonly soonest = new Map<number, number>();
  readonly fired: { entry: number; tick: number; deadline: number }[] = [];
  asked = 0;

  constructor(span: number) { this.wheel = new TimerWheel(CAPACITY, span); }

  arm(entry: number, tick: number): void {
    this.deadlines.set(entry, tick);
    this.soonest.set(entry, this.wheel.firedTick + 1);
    this.wheel.arm(entry, tick);
  }

  /** Only the owner knows; the wheel is not told. */
  prolong(entry: number, tick: number): void {
    const now = this.deadlines.get(entry);
    if (now !== undefined && tick > now) this.deadlines.set(entry, tick);
  }

  disarm(entry: number): void {
    this.deadlines.delete(entry);
    this.wheel.disarm(entry);
  }

  advance(toTick: number, budget = UNBOUNDED): boolean {
    const before = this.asked;
    const isDone = this.wheel.advance(toTick, budget, (entry, tick) => {
      this.asked++;
      const deadline = this.deadlines.get(entry);
      assert.is.not(deadline, undefined, `entry ${entry} was not armed`);
      if ((deadline as number) > tick) return deadline as number;
      this.deadlines.delete(entry);
      this.fired.push({ entry, tick, deadline: deadline as number });
      return 0;
    });
    assert.ok(this.asked - before <= budget, 'no more entries looked at than the budget allows');
    return isDone;
  }
}

type Step = { do: 'arm' | 'prolong'; entry: number; after: number } | { do: 'disarm'; entry: number } | { do: 'advance'; by: number; budget: number };

const entry = fc.integer({ min: 0, max: CAPACITY - 1 });
// Before the present, within the span (16), just at it, and several spans away.
const after = fc.oneof(fc.integer({ min: -5, max: 3 }), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 100 }));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('arm' as const), entry, after }),
  fc.record({ do: fc.constant('prolong' as const), entry, after }),
  fc.record({ do: fc.constant('disarm' as const), entry }),
  fc.record({ do: fc.constant('advance' as const), by: fc.integer({ min: 0, max: 40 }), budget: fc.oneof(fc.constant(UNBOUNDED), fc.integer({ min: 1, max: 4 })) }));

test('everything fires at its deadline, once, in order, and nothing else does', () => {
  check(fc.property(fc.constantFrom(16, 32), fc.array(step, { maxLength: 120 }), (span, steps) => {
    const bench = new Bench(span);
    let now = 0;
    for (const s of steps) {
      switch (s.do) {
        case 'arm': bench.arm(s.entry, now + s.after); break;
        case 'prolong': bench.prolong(s.entry, now + s.after); break;
        case 'disarm': bench.disarm(s.entry); break;
        case 'advance': {
          now += s.by;
          const before = bench.fired.length;
          const isDone = bench.advance(now, s.budget);
          if (isDone) assert.is(bench.wheel.firedTick, now);
          if (isDone) for (const [armed, deadline] of bench.deadlines) assert.ok(Math.max(deadline, bench.soonest.get(armed) as number) > now, `entry ${armed}, due ${deadline}, still there at ${now}`);
          const ticks = bench.fired.slice(before).map((f) => f.tick);
          assert.equal(ticks, [...ticks].sort((a, b) => a - b), 'fired in order of time');
          break;
        }
      }
      for (const f of bench.fired) assert.ok(f.tick >= f.deadline, 'never before its deadline');
    }
    // What is armed then fires on its very tick, or at once when that has passed.
    bench.advance(now);
    const waiting = [...bench.deadlines.values()].map((deadline) => Math.max(deadline, now + 1)).sort((a, b) => a - b);
    const before = bench.fired.length;
    bench.advance(now + 200);
    const rest = bench.fired.slice(before);
    assert.equal(rest.map((f) => f.tick), waiting);
    for (const f of rest) assert.is(f.tick, Math.max(f.deadline, now + 1));
    assert.is(bench.deadlines.size, 0);
  }), 500);
});

test('a budget cuts the work, and the next call goes on where it stopped', () => {
  const bench = new Bench(16);
  for (let e = 0; e < 10; e++) bench.arm(e, 3);
  for (let call = 0; call < 3; call++) {
    assert.not(bench.advance(5, 3));
    assert.is(bench.fired.length, (call + 1) * 3);
    assert.is(bench.wheel.firedTick, 3);
  }
  assert.ok(bench.advance(5, 3));
  assert.is(bench.fired.length, 10);
  assert.is(new Set(bench.fired.map((f) => f.entry)).size, 10);
});

test('between two cut calls entries may be armed and disarmed, the next one in line too', () => {
  const bench = new Bench(16);
  for (let e = 0; e < 6; e++) bench.arm(e, 3);
  assert.not(bench.advance(3, 2));
  const left = [...bench.deadlines.keys()];
  bench.disarm(left[0]);
  bench.disarm(left[3]);
  bench.arm(left[1], 9);
  bench.arm(11, 1);
  assert.ok(bench.advance(3));
  assert.equal(bench.fired.map((f) => f.entry).includes(left[0]), false);
  assert.is(bench.fired.length, 3);
  assert.ok(bench.advance(4));
  assert.is(bench.fired.at(-1)?.entry, 11);
  assert.ok(bench.advance(9));
  assert.is(bench.fired.at(-1)?.entry, left[1]);
  assert.is(bench.fired.length, 5);
});

test('firing may disarm and arm others of the same bucket, and itself', () => {
  const wheel = new TimerWheel(8, 16);
  for (let e = 0; e < 8; e++) wheel.arm(e, 2);
  const fired: number[] = [];
  wheel.advance(2, UNBOUNDED, (e, tick) => {
    fired.push(e);
    if (fired.length === 1) {
      // The next in line and the last one go; another is moved; this one arms itself by hand.
      wheel.disarm(e === 0 ? 1 : e - 1);
      wheel.disarm(e === 0 ? 7 : 0);
      wheel.arm(4, tick + 3);
      wheel.arm(e, tick + 1);
    }
    return 0;
  });
  assert.equal(fired, [7, 5, 3, 2, 1]);
  const later: [number, number][] = [];
  wheel.advance(9, UNBOUNDED, (e, tick) => { later.push([e, tick]); return 0; });
  assert.equal(later, [[7, 3], [4, 5]]);
});

test('disarming twice, or what was never armed, changes nothing', () => {
  const bench = new Bench(16);
  bench.arm(1, 5);
  bench.arm(2, 5);
  bench.disarm(1);
  bench.disarm(1);
  bench.disarm(9);
  bench.advance(20);
  assert.equal(bench.fired, [{ entry: 2, tick: 5, deadline: 5 }]);
});

test('a deadline far beyond the span costs one look per span', () => {
  const bench = new Bench(16);
  bench.arm(0, 1000);
  bench.advance(999);
  assert.is(bench.fired.length, 0);
  assert.ok(bench.asked >= 1000 / 16 - 1 && bench.asked <= 1000 / 15 + 1, `${bench.asked} looks`);
  bench.advance(1000);
  assert.equal(bench.fired, [{ entry: 0, tick: 1000, deadline: 1000 }]);
});

test.run();
