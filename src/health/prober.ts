/**
 * Runs one check: a round every interval, all its probes at once, what they say put to Health.
 *
 * Rounds stand on a grid of start + n × interval, so they do not drift however long a probe takes. Where the grid begins, and a little more in each
 * round, is left to chance: a hundred checks of one interval do not ask at one moment. A round that is late by whole intervals leaves those out and
 * does not make up for them. No round begins before the last one has ended, and each ends: at the latest when the checks have had their time and
 * some grace, after which a probe that has not come back counts as timed out.
 *
 * Without carrier nobody is asked: the round fails at once with that reason. When the carrier changes, a round that was under way is of no account, and
 * the next one is at once.
 */
import { setMaxListeners } from 'node:events';
import { systemClock } from '../base/clock.js';
import type { Clock } from '../base/clock.js';
import { hashText } from '../base/hash.js';
import type { CheckPlan, ProbePlan } from '../base/plan.js';
import { Random } from '../base/random.js';
import { systemTimers } from '../base/timers.js';
import type { Timers } from '../base/timers.js';
import { failed, TIMED_OUT } from './check/attempt.js';
import type { Check, CheckContext, ProbeResult } from './check/check.js';
import { createCheck } from './check/registry.js';
import { Health, NO_CARRIER } from './health.js';
import type { HealthChange, HealthStatus } from './health.js';
import { targetName } from './target.js';

/** A target that has failed `fall` times in a row, or answered `rise` times, and was told of otherwise before. */
export interface TargetChange { target: string; isOk: boolean; reason: string | null; atMs: number }

export interface ProberOptions {
  plan: CheckPlan;
  /** Whom it is about: the name of the uplink or real server. Seeds the chance, with `seed`. */
  subject: string;
  context: CheckContext;
  onChange: (change: HealthChange) => void;
  /** After each round, after onChange. The results are in the order of the plan's probes. */
  onRound?: (results: readonly ProbeResult[], status: HealthStatus) => void;
  onTarget?: (change: TargetChange) => void;
  clock?: Clock;
  timers?: Timers;
  seed?: number;
  /** Instead of the checks of the registry. */
  create?: (probe: ProbePlan, context: CheckContext) => Check;
}

/** The first round comes within an interval, and within this time. */
const FIRST_MOST_MS = 1_000;
/** A round is put off by up to this part of an interval. */
const JITTER_PART = 1 / 20;
/** A moment of the grid that has passed by less than this part of an interval is not left out: a time limit of a whole interval ends a little later. */
const LATE_PART = 1 / 4;
/** Time the checks have beyond their time limit, since they keep it themselves. */
const GRACE_MS = 500;
/** Steps chance takes between none and all. */
const STEPS = 65_536;

interface Round {
  results: (ProbeResult | null)[];
  missing: number;
  abort: AbortController;
  guard: unknown;
}

export class Prober {
  readonly subject: string;
  private readonly options: ProberOptions;
  private readonly clock: Clock;
  private readonly timers: Timers;
  private readonly random: Random;
  private readonly health: Health;
  private checks: Check[] | null = null;
  private current: Round | null = null;
  /** The next round's, null while one is under way or while stopped. */
  private timer: unknown = null;
  /** Moment of the grid the last round stood on. */
  private dueMs = 0;
  private hasCarrier = true;
  /** Per target: answers of the same kind in a row, and what was last told of it. */
  private readonly runs: { isOk: boolean; length: number; told: boolean | null }[];

  constructor(options: ProberOptions) {
    this.options = options;
    this.subject = options.subject;
    this.clock = options.clock ?? systemClock;
    this.timers = options.timers ?? systemTimers;
    this.random = new Random(hashText(options.subject, options.seed ?? 0));
    this.health = new Health(options.plan, this.clock.nowMs());
    this.runs = options.plan.probes.map(() => ({ isOk: true, length: 0, told: null }));
  }

  get status(): HealthStatus { return this.health.status; }

  /** Begin, or begin again after stop: what is known stays known. */
  start(): void {
    if (this.checks !== null) return;
    const { plan, context, create = createCheck } = this.options;
    this.checks = plan.probes.map((probe) => create(probe, context));
    this.dueMs = this.clock.nowMs() + this.chance() * Math.min(plan.intervalMs, FIRST_MOST_MS);
    this.wait();
  }

  /** End at once, with nothing left open. Nothing is called back afterwards. */
  stop(): void {
    if (this.checks === null) return;
    if (this.timer !== null) this.timers.clear(this.timer);
    this.timer = null;
    this.abandon();
    for (const check of this.checks) check.close();
    this.checks = null;
  }

  /** Tell it of its link's carrier; until told otherwise there is one. */
  carrier(isUp: boolean): void {
    if (isUp === this.hasCarrier) return;
    this.hasCarrier = isUp;
    this.abandon();
    const change = this.health.carrier(isUp, this.clock.nowMs());
    if (this.checks !== null) {
      // A grid anew from here: the first round of a carrier that has come back is at once, so that it takes no more than `rise` intervals to be up.
      if (this.timer !== null) this.timers.clear(this.timer);
      this.dueMs = this.clock.nowMs();
      this.wait();
    }
    if (change !== null) this.options.onChange(change);
  }

  /** A number from 0 to less than 1. */
  private chance(): number { return this.random.below(STEPS) / STEPS; }

  /** Set the timer for the moment of the grid, later by the jitter. */
  private wait(): void {
    const atMs = this.dueMs + this.chance() * this.options.plan.intervalMs * JITTER_PART;
    this.timer = this.timers.set(() => {
      this.timer = null;
      this.ask();
    }, Math.max(0, atMs - this.clock.nowMs()));
  }

  /** On to the next moment of the grid that has not long passed. */
  private schedule(): void {
    const { intervalMs } = this.options.plan;
    const behind = this.clock.nowMs() - this.dueMs;
    this.dueMs += intervalMs * Math.max(1, Math.ceil(behind / intervalMs - LATE_PART));
    this.wait();
  }

  private ask(): void {
    const { plan } = this.options;
    if (!this.hasCarrier) {
      this.conclude(plan.probes.map(() => failed(NO_CARRIER)));
      return;
    }
    const round: Round = { results: plan.probes.map(() => null), missing: plan.probes.length, abort: new AbortController(), guard: null };
    this.current = round;
    // Each probe listens to it: as many as there are is no leak.
    setMaxListeners(0, round.abort.signal);
    round.guard = this.timers.set(() => { this.end(round); }, plan.timeoutMs + GRACE_MS);
    (this.checks as Check[]).forEach((check, i) => {
      void check.probe(plan.timeoutMs, round.abort.signal).then((result) => {
        if (this.current !== round) return;
        round.results[i] = result;
        if (--round.missing === 0) this.end(round);
      });
    });
  }

  private end(round: Round): void {
    this.timers.clear(round.guard);
    this.current = null;
    if (round.missing > 0) round.abort.abort();
    this.conclude(round.results.map((result) => result ?? failed(TIMED_OUT)));
  }

  /** Forget the round under way. */
  private abandon(): void {
    const round = this.current;
    if (round === null) return;
    this.current = null;
    this.timers.clear(round.guard);
    round.abort.abort();
  }

  private conclude(results: readonly ProbeResult[]): void {
    const { onChange, onRound, onTarget } = this.options;
    const nowMs = this.clock.nowMs();
    const change = this.health.round(results, nowMs);
    const targets = this.turned(results, nowMs);
    this.schedule();
    // Who is told may stop it, and is not told any more then.
    const { checks } = this;
    for (const target of targets) if (this.checks === checks) onTarget?.(target);
    if (change !== null && this.checks === checks) onChange(change);
    if (this.checks === checks) onRound?.(results, this.health.status);
  }

  /** The targets whose state has turned with this round. */
  private turned(results: readonly ProbeResult[], atMs: number): TargetChange[] {
    const { plan } = this.options;
    const turned: TargetChange[] = [];
    results.forEach(({ isOk, reason }, i) => {
      const run = this.runs[i];
      run.length = run.isOk === isOk ? run.length + 1 : 1;
      run.isOk = isOk;
      if (run.told === isOk || run.length < (isOk ? plan.rise : plan.fall)) return;
      // That it answers from the start is no news.
      if (run.told !== null || !isOk) turned.push({ target: targetName(plan.probes[i]), isOk, reason, atMs });
      run.told = isOk;
    });
    return turned;
  }
}
