/** The prober's rounds: their grid, their ends, carrier, stopping, and what it tells; on timers turned by hand. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckPlan } from '../../src/base/plan.js';
import type { Check, CheckContext, ProbeResult } from '../../src/health/check/check.js';
import type { HealthChange } from '../../src/health/health.js';
import { Prober } from '../../src/health/prober.js';
import type { ProberOptions, TargetChange } from '../../src/health/prober.js';
import { ManualTimers, settled } from './manual-timers.js';
import { LOST, OK, plan, probesOf } from './plans.js';
import { startTcp } from './servers.js';
import { until } from './until.js';

const CONTEXT: CheckContext = { localAddress: undefined, uplink: 0, ask: () => Promise.resolve(OK) };

/** What one target's check was asked, and how it answers: after `afterMs`, with `answer`; never when that is null. */
class Target implements Check {
  readonly timers: ManualTimers;
  readonly askedMs: number[] = [];
  answer: ProbeResult | null = OK;
  afterMs = 20;
  underWay = 0;
  mostUnderWay = 0;
  aborted = 0;
  isClosed = false;
  isDeaf = false;
  private readonly pending: unknown[] = [];

  constructor(timers: ManualTimers) { this.timers = timers; }

  probe(timeoutMs: number, signal: AbortSignal): Promise<ProbeResult> {
    this.askedMs.push(this.timers.nowMs());
    this.underWay++;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    return new Promise((resolve) => {
      const { answer } = this;
      const end = (result: ProbeResult): void => {
        this.underWay--;
        resolve(result);
      };
      const timer = answer === null && this.isDeaf ? null : this.timers.set(() => { end(answer ?? LOST); }, answer === null ? timeoutMs : this.afterMs);
      if (timer !== null) this.pending.push(timer);
      signal.addEventListener('abort', () => {
        this.aborted++;
        if (timer !== null) this.timers.clear(timer);
        end({ ...LOST, reason: 'stopped' });
      });
    });
  }

  close(): void { this.isClosed = true; }
}

interface Scene { timers: ManualTimers; targets: Target[]; prober: Prober; changes: HealthChange[]; told: TargetChange[]; rounds: ProbeResult[][] }

function scene(some: Partial<CheckPlan> = {}, options: Partial<ProberOptions> = {}): Scene {
  const timers = new ManualTimers();
  const targets: Target[] = [];
  const changes: HealthChange[] = [], told: TargetChange[] = [], rounds: ProbeResult[][] = [];
  const prober = new Prober({
    plan: plan(some), subject: 'isp1', context: CONTEXT, clock: timers, timers, seed: 7,
    onChange: (change) => changes.push(change), onTarget: (change) => told.push(change), onRound: (results) => rounds.push([...results]),
    create: () => {
      const target = new Target(timers);
      targets.push(target);
      return target;
    },
    ...options,
  });
  return { timers, targets, prober, changes, told, rounds };
}

test('rounds stand on a grid and do not drift, however long the probes take', async () => {
  const { timers, targets, prober } = scene({ intervalMs: 1000 });
  prober.start();
  targets[0].afterMs = 333;
  await timers.advance(600_000);
  const { askedMs } = targets[0];
  assert.ok(askedMs.length >= 599 && askedMs.length <= 600, `${askedMs.length} rounds in 600 s`);
  const grid = askedMs.map((at, i) => at - i * 1000);
  assert.ok(Math.max(...grid) - Math.min(...grid) < 50, 'within the jitter of one place, first to last');
  assert.ok(new Set(grid.map(Math.floor)).size > 5, 'and there is jitter');
  prober.stop();
});

test('the first round is within an interval and within a second', async () => {
  for (const [intervalMs, withinMs] of [[200, 210], [60_000, 4000]]) {
    const { timers, targets, prober } = scene({ intervalMs });
    prober.start();
    await timers.advance(withinMs);
    assert.is(targets[0].askedMs.length, 1, `${intervalMs}`);
    prober.stop();
  }
});

test('many checks of one interval do not ask at one moment; the same seed asks at the same moments', async () => {
  const first = async (subject: string, seed: number): Promise<number> => {
    const { timers, targets, prober } = scene({}, { subject, seed });
    prober.start();
    await timers.advance(1100);
    prober.stop();
    return targets[0].askedMs[0];
  };
  const moments: number[] = [];
  for (let i = 0; i < 100; i++) moments.push(await first(`uplink${i}`, 1));
  for (let tenth = 0; tenth < 10; tenth++) {
    const count = moments.filter((at) => Math.floor(at / 105) === tenth).length;
    assert.ok(count > 0 && count < 30, `${count} of 100 in tenth ${tenth}`);
  }
  assert.is(await first('uplink3', 1), moments[3]);
  assert.is.not(await first('uplink3', 2), moments[3]);
});

test('a round never begins before the last one has ended, also when probes take longer than the interval', async () => {
  const { timers, targets, prober } = scene({ intervalMs: 200, timeoutMs: 900 });
  prober.start();
  targets[0].answer = null;
  await timers.advance(20_000);
  assert.is(targets[0].mostUnderWay, 1);
  assert.ok(targets[0].askedMs.length >= 18, 'and they go on');
  const grid = targets[0].askedMs.map((at) => (at - targets[0].askedMs[0]) % 200);
  for (const off of grid) assert.ok(off < 11 || off > 189, `on the grid still: ${off}`);
  prober.stop();
});

test('a time limit of a whole interval does not halve the pace of what is silent', async () => {
  const { timers, targets, prober } = scene({ intervalMs: 2000, timeoutMs: 2000 });
  prober.start();
  targets[0].answer = null;
  await timers.advance(60_000);
  const { askedMs, mostUnderWay } = targets[0];
  assert.is(mostUnderWay, 1);
  assert.ok(askedMs.length >= 29, `${askedMs.length} rounds in 60 s`);
  prober.stop();
});

test('rounds that were missed are left out, not made up for', async () => {
  const { timers, targets, prober } = scene({ intervalMs: 1000 });
  prober.start();
  await timers.advance(5000);
  const before = targets[0].askedMs.length;
  timers.block(60_000);
  await timers.advance(2000);
  assert.ok(targets[0].askedMs.length - before <= 4, `${targets[0].askedMs.length - before} rounds in 2 s`);
  prober.stop();
});

test('with interval 200 ms and fall 3 a silent target is left within a second, and taken back within rise × interval', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const { timers, targets, prober, changes } = scene({ intervalMs: 200, timeoutMs: 160 }, { seed });
    prober.start();
    await timers.advance(3000 + seed * 5);
    const silentMs = timers.nowMs();
    targets[0].answer = null;
    await timers.advance(1000);
    assert.equal(changes.map(({ isUp }) => isUp), [false], `seed ${seed}`);
    assert.ok(changes[0].atMs - silentMs < 1000);
    targets[0].answer = OK;
    const backMs = timers.nowMs();
    await timers.advance(1000);
    assert.equal(changes.map(({ isUp }) => isUp), [false, true]);
    // One probe may have been lost just before; jitter and round trip come on top.
    assert.ok(changes[1].atMs - backMs <= 3 * 200 + 10 + 160 + 20, `${changes[1].atMs - backMs}`);
    prober.stop();
  }
});

test('a check that never comes back does not hold up the rounds: it counts as timed out', async () => {
  const { timers, targets, prober, rounds } = scene({ probes: probesOf(2), intervalMs: 1000, timeoutMs: 800 });
  prober.start();
  targets[0].answer = null;
  targets[0].isDeaf = true;
  await timers.advance(10_000);
  assert.ok(rounds.length >= 4, `${rounds.length} rounds`);
  assert.equal(rounds[0], [LOST, OK]);
  assert.is(targets[0].aborted, rounds.length);
  prober.stop();
});

test('the carrier counts at once, nobody is asked without it, and the first round after it is at once', async () => {
  const { timers, targets, prober, changes } = scene({ intervalMs: 1000, rise: 3 });
  prober.start();
  await timers.advance(10_000);
  prober.carrier(false);
  assert.equal(changes.map(({ isUp, reason, atMs }) => [isUp, reason, atMs]), [[false, 'no carrier', 10_000]]);
  const asked = targets[0].askedMs.length;
  await timers.advance(10_000);
  assert.is(targets[0].askedMs.length, asked);
  assert.equal(prober.status.targets[0], { target: 'icmp 192.0.2.1', isOk: false, reason: 'no carrier', latencyMs: null });
  prober.carrier(true);
  await timers.advance(3000);
  assert.is(changes.length, 2);
  assert.ok(changes[1].isUp && changes[1].atMs - 20_000 < 2000 + 50 + 21, `${changes[1].atMs}`);
  prober.stop();
});

test('a round that was under way when the carrier changed is of no account', async () => {
  const { timers, targets, prober, rounds } = scene({ intervalMs: 1000 });
  prober.start();
  targets[0].answer = null;
  await timers.advance(1100);
  assert.is(targets[0].underWay, 1);
  prober.carrier(false);
  assert.equal([targets[0].underWay, targets[0].aborted], [0, 1]);
  prober.carrier(true);
  targets[0].answer = OK;
  await timers.advance(200);
  assert.equal(rounds, [[OK]]);
  prober.stop();
});

test('it may be told of the carrier before it starts', async () => {
  const { timers, prober, changes } = scene({ initial: 'up' });
  prober.carrier(false);
  assert.is(prober.status.isUp, false);
  prober.start();
  prober.carrier(true);
  assert.equal(changes.map(({ isUp }) => isUp), [false, true]);
  prober.stop();
  assert.is(timers.pending, 0);
});

test('stopped, it leaves no timer, no probe and no check open, and says nothing more', async () => {
  const { timers, targets, prober, changes, rounds, told } = scene({ probes: probesOf(2), fall: 1 });
  prober.start();
  for (const target of targets) target.answer = null;
  await timers.advance(1100);
  assert.is(targets[0].underWay, 1);
  prober.stop();
  assert.is(timers.pending, 0);
  for (const target of targets) assert.equal([target.underWay, target.aborted, target.isClosed], [0, 1, true]);
  await timers.advance(10_000);
  assert.equal([changes.length, rounds.length, told.length], [0, 0, 0]);
  prober.stop();
  // Begun again it has checks of its own.
  prober.start();
  await timers.advance(2100);
  assert.is(targets.length, 4);
  assert.ok(rounds.length > 0);
  prober.stop();
});

test('who is told may stop it, and is told nothing more', async () => {
  let stopped: Prober | null = null;
  let after = 0;
  const { timers, targets, prober } = scene({ fall: 1 }, { onChange: () => stopped?.stop(), onRound: () => { after++; } });
  stopped = prober;
  prober.start();
  targets[0].answer = LOST;
  await timers.advance(3000);
  assert.equal([after, timers.pending, targets[0].askedMs.length], [0, 0, 1]);
});

test('stopped when told of a target, it does not go on to tell of the whole', async () => {
  let stopped: Prober | null = null;
  const { timers, targets, prober, changes, rounds } = scene({ fall: 1 }, { onTarget: () => stopped?.stop() });
  stopped = prober;
  prober.start();
  targets[0].answer = LOST;
  await timers.advance(3000);
  assert.equal([changes.length, rounds.length, timers.pending], [0, 0, 0]);
});

test('a target is told of when it has turned, not when it first answers, and not for each lost probe', async () => {
  const { timers, targets, prober, told, changes } = scene({ probes: probesOf(2), need: 1, fall: 3, rise: 2 });
  prober.start();
  await timers.advance(5000);
  targets[1].answer = LOST;
  await timers.advance(2000);
  targets[1].answer = OK;
  await timers.advance(5000);
  assert.equal(told, []);
  targets[1].answer = LOST;
  await timers.advance(5000);
  targets[1].answer = OK;
  await timers.advance(5000);
  assert.equal(told.map(({ target, isOk, reason }) => [target, isOk, reason]), [['icmp 192.0.2.2', false, 'timed out'], ['icmp 192.0.2.2', true, null]]);
  assert.equal(changes, [], 'one of two is enough');
  prober.stop();
});

test('a dozen targets and more cost no warning of too many listeners', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => { warnings.push(warning); };
  process.on('warning', onWarning);
  const probes = Array.from({ length: 24 }, (_, i) => ({ kind: 'icmp' as const, target: `192.0.2.${i + 1}` }));
  const { timers, prober, rounds } = scene({ probes, need: 24 });
  prober.start();
  await timers.advance(2100);
  await settled();
  prober.stop();
  process.off('warning', onWarning);
  assert.ok(rounds.length > 0);
  assert.equal(warnings.map(({ message }) => message), []);
});

test('with the checks of the registry and the time of the system: a server that goes, and one that comes', async () => {
  const changes: HealthChange[] = [];
  const told: TargetChange[] = [];
  const first = await startTcp();
  const prober = new Prober({
    plan: plan({ probes: [{ kind: 'tcp', host: '127.0.0.1', port: first.port }], intervalMs: 100, timeoutMs: 90, fall: 2, rise: 2, initial: 'down' }),
    subject: 'web1', context: CONTEXT, onChange: (change) => changes.push(change), onTarget: (change) => told.push(change),
  });
  try {
    prober.start();
    await until('it is up', () => changes.length === 1);
    assert.is(changes[0].isUp, true);
    await first.close();
    await until('it is down', () => changes.length === 2);
    assert.equal([changes[1].isUp, changes[1].reason], [false, `tcp 127.0.0.1:${first.port}: connection refused`]);
    assert.equal(told.map(({ isOk }) => isOk), [false]);
  } finally {
    prober.stop();
  }
});

test.run();
