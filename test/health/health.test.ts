/** Health: rise and fall, need, thresholds, carrier, damping, reasons; then against a slow oracle, and the promises by themselves. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckPlan } from '../../src/base/plan.js';
import type { ProbeResult } from '../../src/health/check/check.js';
import { Health } from '../../src/health/health.js';
import { judge } from './health-oracle.js';
import type { Happening } from './health-oracle.js';
import { answered, LOST, OK, plan, probesOf, REFUSED } from './plans.js';

/** Drives one Health with a clock that goes on by one interval a round. */
class Driver {
  readonly plan: CheckPlan;
  readonly health: Health;
  nowMs = 0;
  constructor(some: Partial<CheckPlan> = {}) {
    this.plan = plan(some);
    this.health = new Health(this.plan, 0);
  }
  /** One round of these results; what changed, as 'up', 'down' or '-'. */
  round(...results: ProbeResult[]): string {
    this.nowMs += this.plan.intervalMs;
    const change = this.health.round(results, this.nowMs);
    assert.is(change === null || change.atMs === this.nowMs, true);
    return change === null ? '-' : change.isUp ? 'up' : 'down';
  }
  /** Rounds of one target: '.' answered, 'x' lost. */
  rounds(pattern: string): string {
    return [...pattern].map((c) => this.round(c === '.' ? OK : LOST)).join(' ');
  }
  carrier(isUp: boolean): string {
    const change = this.health.carrier(isUp, this.nowMs);
    return change === null ? '-' : change.isUp ? 'up' : 'down';
  }
}

test('it falls after `fall` bad rounds in a row and rises after `rise` good ones, no sooner', () => {
  const d = new Driver({ fall: 3, rise: 2 });
  assert.is(d.rounds('.xx.xxx'), '- - - - - - down');
  assert.is(d.health.status.sinceMs, 7000);
  assert.is(d.rounds('xx.x..'), '- - - - - up');
  assert.equal(d.health.status.isUp, true);
  assert.is(d.health.status.sinceMs, 13_000);
  assert.is(d.health.status.reason, null);
});

test('the initial state holds until the first verdict', () => {
  const up = new Driver({ initial: 'up' });
  assert.is(up.health.status.isUp, true);
  assert.is(up.rounds('xxx'), '- - down');
  const down = new Driver({ initial: 'down' });
  assert.equal([down.health.status.isUp, down.health.status.reason], [false, 'not checked yet']);
  assert.is(down.rounds('.x...'), '- - - - up');
  assert.is(new Driver({ initial: 'down' }).rounds('xxxx'), '- - - -');
});

test('`need` of several targets make a round good; the reason names those that failed and why', () => {
  const d = new Driver({ probes: probesOf(3), need: 2, fall: 1, rise: 1 });
  assert.is(d.round(OK, OK, LOST), '-');
  assert.is(d.round(OK, REFUSED, LOST), 'down');
  assert.is(d.health.status.reason, '1 of 3 targets good, 2 needed: icmp 192.0.2.2: connection refused; icmp 192.0.2.3: timed out');
  assert.equal(d.health.status.targets, [
    { target: 'icmp 192.0.2.1', isOk: true, reason: null, latencyMs: 10 },
    { target: 'icmp 192.0.2.2', isOk: false, reason: 'connection refused', latencyMs: null },
    { target: 'icmp 192.0.2.3', isOk: false, reason: 'timed out', latencyMs: null },
  ]);
  // While it is down the reason follows what is wrong now.
  d.round(LOST, LOST, LOST);
  assert.is(d.health.status.reason, 'icmp 192.0.2.1, icmp 192.0.2.2 and icmp 192.0.2.3: timed out');
  assert.is(d.round(LOST, OK, OK), 'up');
  const many = new Driver({ probes: probesOf(5), fall: 1 });
  many.round(LOST, LOST, LOST, LOST, LOST);
  assert.is(many.health.status.reason, 'icmp 192.0.2.1, icmp 192.0.2.2, icmp 192.0.2.3 and 2 more: timed out');
});

test('loss above `fail` takes it down, and only loss below `recover` brings it back', () => {
  const d = new Driver({ window: 10, fall: 1, rise: 1, loss: { fail: 0.4, recover: 0.2 }, need: 1, probes: probesOf(1) });
  // A lost probe is a bad round of its own here, so the eyes are on the answered rounds.
  for (let i = 0; i < 10; i++) d.round(OK);
  for (let i = 0; i < 4; i++) d.round(LOST);
  assert.is(d.health.status.lossRatio, 0.4);
  assert.is(d.round(OK), 'up', '40 % is not above 40 %');
  for (let i = 0; i < 5; i++) d.round(LOST);
  assert.ok((d.health.status.lossRatio as number) > 0.4);
  assert.is(d.round(OK), '-');
  assert.match(d.health.status.reason as string, /^loss 80 %, above 40 %$/);
  // Ten rounds hold what they held: it takes until fewer than 2 of 10 are lost.
  const changes = Array.from({ length: 9 }, () => d.round(OK));
  assert.is(changes.join(' '), '- - - - - - - up -');
  assert.is(d.health.status.lossRatio, 0);
});

test('between `fail` and `recover` a threshold stays as it is, and says so', () => {
  const d = new Driver({ window: 4, fall: 1, rise: 1, latencyMs: { fail: 100, recover: 50 } });
  for (let i = 0; i < 4; i++) d.round(answered(80));
  assert.is(d.health.status.isUp, true);
  assert.is(d.round(answered(400)), 'down');
  assert.is(d.health.status.reason, 'latency 160 ms, above 100 ms');
  for (let i = 0; i < 4; i++) d.round(answered(80));
  assert.is(d.health.status.reason, 'latency 80 ms, not below 50 ms yet');
  assert.is(d.health.status.isUp, false);
  assert.equal([30, 30, 30].map((ms) => d.round(answered(ms))), ['-', '-', 'up']);
  assert.is(d.health.status.latencyMs, 42.5);
});

test('jitter is the mean difference from one round trip to the next answered one', () => {
  const d = new Driver({ window: 4, fall: 2, rise: 1, jitterMs: { fail: 30, recover: 10 } });
  d.round(answered(10));
  assert.is(d.health.status.jitterMs, null);
  d.round(answered(30));
  assert.is(d.health.status.jitterMs, 20);
  d.round(LOST);
  assert.is(d.health.status.jitterMs, 20);
  assert.is(d.round(answered(80)), 'down');
  assert.is(d.health.status.jitterMs, 35);
});

test('a threshold is not exceeded on the word of less than a quarter of the window', () => {
  const d = new Driver({ window: 20, fall: 1, rise: 1, latencyMs: { fail: 100, recover: 50 } });
  assert.is(Array.from({ length: 4 }, () => d.round(answered(900))).join(' '), '- - - -');
  assert.is(d.round(answered(900)), 'down');
});

test('loss is not exceeded while the rest of the window could still make it good: one lost at the start is no path that loses a third', () => {
  const d = new Driver({ window: 12, fall: 2, rise: 1, loss: { fail: 0.25, recover: 0.1 } });
  for (const result of [LOST, OK, OK, LOST, OK, LOST, OK]) assert.is(d.round(result), '-');
  assert.ok((d.health.status.lossRatio as number) > 0.4);
  assert.is(d.round(LOST), '-');
  assert.is(d.round(OK), 'down', '4 of 12 are above 25 %, whatever the rest will be');
  assert.is(d.health.status.reason, 'loss 44.4 %, above 25 %');
  // As much as the limit is not above it, however many rounds there have been.
  const edge = new Driver({ window: 12, fall: 2, rise: 1, loss: { fail: 0.25, recover: 0.1 } });
  for (const result of [LOST, OK, LOST, OK, LOST, OK, OK, OK, OK, OK, OK, OK]) assert.is(edge.round(result), '-');
});

test('a target that is dead for reasons of its own does not count as loss of the path while enough others answer', () => {
  const d = new Driver({ probes: probesOf(2), need: 1, window: 10, fall: 1, loss: { fail: 0.2, recover: 0.1 } });
  for (let i = 0; i < 20; i++) assert.is(d.round(LOST, OK), '-');
  assert.is(d.health.status.lossRatio, 0);
  // What befalls both does.
  for (let i = 0; i < 3; i++) d.round(LOST, LOST);
  assert.is(d.health.status.lossRatio, 0.3);
});

test('the example of docs/health.md: every second packet lost, then mended', () => {
  const d = new Driver({ intervalMs: 1000, window: 20, loss: { fail: 0.4, recover: 0.1 } });
  assert.ok(!d.rounds('.'.repeat(20)).includes('down'));
  const rounds = d.rounds('x.'.repeat(15)).split(' ');
  assert.is(rounds.filter((change) => change === 'down').length, 1);
  // The ninth of twenty is lost in the seventeenth round, and two rounds later it is left.
  assert.is(rounds.indexOf('down'), 18);
  const back = d.rounds('.'.repeat(30)).split(' ').indexOf('up') + 1;
  assert.ok(back > 15 && back <= 21, `${back} rounds`);
});

test('a pulled cable counts at once, and its return asks for `rise` rounds', () => {
  const d = new Driver({ loss: { fail: 0.4, recover: 0.1 } });
  d.rounds('...');
  assert.is(d.carrier(false), 'down');
  assert.is(d.health.status.reason, 'no carrier');
  assert.is(d.carrier(false), '-');
  // Rounds without carrier tell nothing, not even good ones.
  assert.is(d.rounds('xx....xxxxxxxxxxxxxx'), Array(20).fill('-').join(' '));
  assert.is(d.health.status.reason, 'no carrier');
  assert.is(d.carrier(true), '-');
  assert.match(d.health.status.reason as string, /carrier came back/);
  assert.is(d.rounds('...'), '- - up', 'the losses of the cable do not count');
});

test('before the first verdict a carrier that comes back brings the initial state with it', () => {
  const up = new Driver({ initial: 'up' });
  assert.equal([up.carrier(false), up.carrier(true)], ['down', 'up']);
  const down = new Driver({ initial: 'down' });
  assert.equal([down.carrier(false), down.carrier(true)], ['-', '-']);
  const judged = new Driver({ initial: 'up' });
  judged.rounds('xxx');
  assert.equal([judged.carrier(false), judged.carrier(true)], ['-', '-']);
});

const DAMPING = { halfLifeMs: 60_000, suppress: 3, reuse: 1.5, mostMs: 600_000 };

test('the worked example of docs/health.md: four falls ten seconds apart, out for 70.6 s', () => {
  const d = new Driver({ intervalMs: 1000, fall: 1, rise: 1, damping: DAMPING });
  const falls: number[] = [];
  d.round(OK);
  for (let i = 0; i < 4; i++) {
    assert.is(d.round(LOST), 'down');
    falls.push(d.nowMs);
    if (i < 3) {
      assert.is(d.health.status.suppressedUntilMs, null);
      assert.is(d.round(OK), 'up');
      d.rounds('........');
    }
  }
  assert.equal(falls.map((at) => at - falls[0]), [0, 10_000, 20_000, 30_000]);
  const until = d.health.status.suppressedUntilMs as number;
  assert.is(Math.round((until - d.nowMs) / 100), 706);
  assert.is(d.rounds('.'.repeat(70)), Array(70).fill('-').join(' '));
  assert.is(d.health.status.reason, 'damped: it fell too often');
  assert.is(d.rounds('.'), 'up');
  assert.is(d.health.status.suppressedUntilMs, null);
});

// conforms: fwd-damping
test('what keeps flapping while it is damped stays out, and says what is wrong while it is', () => {
  const d = new Driver({ intervalMs: 1000, fall: 1, rise: 1, damping: DAMPING });
  d.round(OK);
  d.rounds('x.x.x.x');
  assert.is(d.health.status.isUp, false);
  const first = d.health.status.suppressedUntilMs as number;
  assert.is(d.rounds('.x.x.x.x'), Array(8).fill('-').join(' '));
  assert.ok((d.health.status.suppressedUntilMs as number) > first);
  assert.is(d.health.status.reason, 'icmp 192.0.2.1: timed out');
});

test('a fall while it is damped prolongs it, also one that would not have begun it', () => {
  const check = plan({ fall: 1, rise: 1, damping: { halfLifeMs: 60_000, suppress: 2.5, reuse: 0.5, mostMs: 600_000 } });
  const h = new Health(check, 0);
  h.round([OK], 0);
  for (const nowMs of [1000, 3000, 5000]) {
    h.round([LOST], nowMs);
    h.round([OK], nowMs + 1000);
  }
  const first = h.status.suppressedUntilMs as number;
  // 2.93 halved and once more is 0.73; with 1 it is 1.73, less than 2.5, and takes 107 s to 0.5.
  h.round([LOST], 125_000);
  const second = h.status.suppressedUntilMs as number;
  assert.ok(first < 165_000 && second > 230_000 && second < 235_000, `${first}, then ${second}`);
});

test('a change that begins the damping says until when; a start without answers is no fall', () => {
  const check = plan({ fall: 1, rise: 1, damping: { halfLifeMs: 60_000, suppress: 1, reuse: 0.5, mostMs: 600_000 } });
  const h = new Health(check, 0);
  assert.is(h.round([LOST], 1000)?.suppressedUntilMs, null);
  assert.is(h.round([OK], 2000)?.isUp, true);
  const change = h.round([LOST], 3000);
  assert.equal([change?.isUp, change?.suppressedUntilMs], [false, 63_000]);
});

test('status is a copy', () => {
  const d = new Driver();
  d.round(OK);
  d.health.status.targets[0].isOk = false;
  assert.is(d.health.status.targets[0].isOk, true);
});

// Property tests -----------------------------------------------------------------------------------------------------------------------------------

const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 31);
const RUNS = { seed, numRuns: 300 };

const result: fc.Arbitrary<ProbeResult> = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 300 }).map(answered) },
  { weight: 1, arbitrary: fc.constant({ isOk: true, latencyMs: null, reason: null }) },
  { weight: 3, arbitrary: fc.constantFrom(LOST, REFUSED) },
);
const threshold = (least: number, most: number): fc.Arbitrary<{ fail: number; recover: number } | undefined> => fc.option(
  fc.tuple(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 10 })).map(([a, b]) => ({
    fail: least + ((most - least) * Math.max(a, b)) / 10, recover: least + ((most - least) * Math.min(a, b)) / 10,
  })), { nil: undefined });
const damping = fc.option(fc.record({
  halfLifeMs: fc.integer({ min: 500, max: 20_000 }), suppress: fc.constantFrom(1, 1.9, 2.5, 3), reuse: fc.constantFrom(0.3, 0.5, 0.9),
  // High enough for no history here to reach the ceiling; the ceiling has a property of its own.
  mostMs: fc.constant(10_000_000),
}), { nil: undefined });

/** Without the keys that are undefined. */
const defined = <T extends object>(value: T): T => Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;

const checkPlan: fc.Arbitrary<CheckPlan> = fc.integer({ min: 1, max: 4 }).chain((count) => fc.record({
  need: fc.integer({ min: 1, max: count }), fall: fc.integer({ min: 1, max: 4 }), rise: fc.integer({ min: 1, max: 4 }),
  initial: fc.constantFrom('up' as const, 'down' as const), window: fc.integer({ min: 1, max: 9 }),
  loss: threshold(0, 1), latencyMs: threshold(20, 250), jitterMs: threshold(5, 150), damping,
}).map((some) => plan(defined({ ...some, probes: probesOf(count) }) as Partial<CheckPlan>)));

/** Stretches of one mood, so that runs long enough to flip happen often; now and then the carrier. */
const history = (check: CheckPlan): fc.Arbitrary<Happening[]> => {
  const anything = fc.array(result, { minLength: check.probes.length, maxLength: check.probes.length });
  const good = fc.array(fc.integer({ min: 1, max: 60 }).map(answered), { minLength: check.probes.length, maxLength: check.probes.length });
  const bad = fc.constant(check.probes.map(() => LOST));
  const stretch = fc.constantFrom(anything, good, bad).chain((one) => fc.array(one, { minLength: 1, maxLength: 6 }));
  const piece = fc.oneof({ weight: 6, arbitrary: stretch }, { weight: 1, arbitrary: fc.boolean() });
  return fc.tuple(fc.array(piece, { maxLength: 12 }), fc.infiniteStream(fc.integer({ min: 1, max: 4000 }))).map(([pieces, gaps]) => {
    let atMs = 0;
    const next = (): number => (atMs += gaps.next().value as number);
    return pieces.flatMap((one): Happening[] => (typeof one === 'boolean' ? [{ atMs: next(), carrier: one }] : one.map((results) => ({ atMs: next(), results }))));
  });
};
const story = checkPlan.chain((check) => history(check).map((happenings) => ({ check, happenings })));

const put = (health: Health, happening: Happening): ReturnType<Health['round']> => (
  'carrier' in happening ? health.carrier(happening.carrier, happening.atMs) : health.round(happening.results, happening.atMs));

const close = (a: number | null, b: number | null): boolean => (a === null || b === null ? a === b : Math.abs(a - b) < 1e-6);

test(`it says what the oracle says, step by step (seed ${seed})`, () => {
  let flips = 0, damped = 0;
  fc.assert(fc.property(story, ({ check, happenings }) => {
    const health = new Health(check, 0);
    let wasUp = health.status.isUp, sinceMs = 0;
    happenings.forEach((happening, i) => {
      const change = put(health, happening);
      const status = health.status, wanted = judge(check, happenings.slice(0, i + 1));
      assert.is(status.isUp, wanted.isUp);
      assert.is(status.suppressedUntilMs !== null, wanted.isSuppressed);
      assert.is(change !== null, status.isUp !== wasUp, 'a change is told when there is one, and only then');
      assert.is(status.reason === null, status.isUp);
      if (change !== null) {
        assert.equal([change.isUp, change.reason, change.atMs, change.suppressedUntilMs], [status.isUp, status.reason, happening.atMs, status.suppressedUntilMs]);
        sinceMs = happening.atMs;
        flips++;
      }
      if (wanted.isSuppressed) damped++;
      assert.is(status.sinceMs, sinceMs);
      for (const name of ['lossRatio', 'latencyMs', 'jitterMs'] as const) assert.ok(close(status[name], wanted[name]), `${name}: ${status[name]}, wanted ${wanted[name]}`);
      wasUp = status.isUp;
    });
  }), RUNS);
  assert.ok(flips > 100, `the histories flip it: ${flips} times`);
  assert.ok(damped > 50, `the histories damp it: ${damped} steps`);
});

test(`it never falls without \`fall\` rounds in a row or the carrier, never rises without \`rise\` (seed ${seed})`, () => {
  fc.assert(fc.property(story, ({ check, happenings }) => {
    const { loss: _loss, latencyMs: _latency, jitterMs: _jitter, ...bare } = check;
    const health = new Health(bare, 0);
    let run: boolean[] = [];
    let hasCarrier = true, isJudged = false;
    for (const happening of happenings) {
      const change = put(health, happening);
      if ('carrier' in happening) {
        if (change?.isUp === false) assert.is(happening.carrier, false);
        if (change?.isUp === true && happening.carrier !== hasCarrier) assert.ok(happening.carrier && !isJudged && bare.initial === 'up');
        if (happening.carrier !== hasCarrier) run = [];
        hasCarrier = happening.carrier;
        continue;
      }
      if (hasCarrier) run.push(happening.results.filter((r) => r.isOk).length >= bare.need);
      isJudged ||= [[bare.fall, false], [bare.rise, true]].some(([count, isGood]) => run.length >= Number(count) && run.slice(-count).every((v) => v === isGood));
      if (change === null) continue;
      if (!change.isUp) assert.ok(run.length >= bare.fall && run.slice(-bare.fall).every((isGood) => !isGood));
      // Damping may let it out later, in the midst of bad rounds that are not yet enough to fall: `rise` in a row there were.
      else assert.ok(run.some((_, i) => i + 1 >= bare.rise && run.slice(i + 1 - bare.rise, i + 1).every((isGood) => isGood)));
    }
  }), RUNS);
});

test(`damping: out at most mostMs after the last fall, never let in while it is held, however it flaps (seed ${seed})`, () => {
  const flapping = fc.record({
    damping: fc.record({ halfLifeMs: fc.integer({ min: 1000, max: 60_000 }), suppress: fc.constantFrom(1, 2, 3, 4), reuse: fc.constantFrom(0.4, 0.75, 0.99), mostMs: fc.integer({ min: 1000, max: 300_000 }) }),
    gaps: fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 60 }),
  });
  fc.assert(fc.property(flapping, (given) => {
    const health = new Health(plan({ fall: 1, rise: 1, damping: given.damping }), 0);
    let nowMs = 0, fellMs = -Infinity, isGood = false;
    health.round([OK], 0);
    for (const gap of given.gaps) {
      nowMs += gap;
      const before = health.status.suppressedUntilMs;
      const change = health.round([isGood ? OK : LOST], nowMs);
      if (!isGood) fellMs = nowMs;
      if (change?.isUp === true) assert.ok(before === null || nowMs >= before);
      const until = health.status.suppressedUntilMs;
      if (until !== null) assert.ok(until > nowMs && until <= fellMs + given.damping.mostMs + 1e-6);
      isGood = !isGood;
    }
    // Let be, it comes back: mostMs after the last fall at the latest.
    health.round([OK], nowMs + 1);
    health.round([OK], Math.max(nowMs + 2, fellMs + given.damping.mostMs + 1));
    assert.is(health.status.isUp, true);
  }), RUNS);
});

test(`hysteresis: a value that stays between \`recover\` and \`fail\` flips nothing (seed ${seed})`, () => {
  const given = fc.record({ values: fc.array(fc.integer({ min: 50, max: 100 }), { minLength: 1, maxLength: 60 }), isUp: fc.boolean() });
  fc.assert(fc.property(given, ({ values, isUp }) => {
    const d = new Driver({ window: 5, fall: 1, rise: 1, latencyMs: { fail: 100, recover: 50 } });
    for (let i = 0; i < 5; i++) d.round(answered(isUp ? 60 : 500));
    assert.is(d.health.status.isUp, isUp);
    for (const value of values) assert.is(d.round(answered(value)), '-');
  }), RUNS);
});

test.run();
