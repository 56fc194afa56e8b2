/**
 * Whether something is up, out of what its check's rounds say: pure, time an argument, the same for uplinks and real servers.
 *
 *            `fall` bad rounds in a row, or no carrier
 *        up ──────────────────────────────────────────▶ down
 *           ◀──────────────────────────────────────────
 *            `rise` good rounds in a row, with carrier, and not suppressed
 *
 * A round is good when `need` of its probes succeeded and no threshold stands exceeded. A threshold is exceeded from the round that finds its value
 * above `fail` until one that finds it below `recover`; between the two it stays as it is. The values are those of the window (window.ts), and a
 * threshold is not exceeded on the word of fewer than a quarter of the window's rounds. For loss the rounds still to come count as answered besides: one
 * probe lost at the start, when three have been made, is not a third of the path's packets.
 *
 * Damping (damping.ts) counts falls. While it suppresses, the rounds are judged as ever, but what they find stays hidden: down it is.
 *
 * Without carrier nothing is asked of the rounds, and the window starts anew when it comes back: the losses of a pulled cable are no measure of the
 * path. Before the first verdict (the first `fall` or `rise` rounds in a row) a carrier that comes back brings the initial state with it.
 */
import type { CheckPlan, ThresholdPlan } from '../base/plan.js';
import type { ProbeResult } from './check/check.js';
import { Damping } from './damping.js';
import { listNames, targetName } from './target.js';
import { Window } from './window.js';
import type { Measures } from './window.js';

export interface TargetStatus {
  target: string;
  /** The last answer; null until it was asked. */
  isOk: boolean | null;
  reason: string | null;
  latencyMs: number | null;
}

/** Moments are of the clock the caller passes as nowMs. */
export interface HealthStatus {
  isUp: boolean;
  /** When isUp last changed. */
  sinceMs: number;
  /** One phrase: why it is down, or null while up. */
  reason: string | null;
  /** Part of the window's probes that were lost, 0 … 1; null before the first round, as the two below. */
  lossRatio: number | null;
  latencyMs: number | null;
  jitterMs: number | null;
  /** Damping holds it down until then, as of the last round; null = it does not. */
  suppressedUntilMs: number | null;
  targets: TargetStatus[];
}

export interface HealthChange {
  isUp: boolean;
  /** Why it went down; null when it came up. */
  reason: string | null;
  atMs: number;
  /** It went down and will stay so until then at least, since it fell too often; null = damping has no say. */
  suppressedUntilMs: number | null;
}

export const NO_CARRIER = 'no carrier';
export const DAMPED = 'damped: it fell too often';

/** Part of the window that must be known before a threshold can be exceeded. */
const KNOWN_PART = 1 / 4;
/** Targets a reason names. */
const NAMES_MAX = 3;

interface Threshold {
  readonly name: string;
  readonly plan: ThresholdPlan;
  readonly value: (measures: Measures) => number | null;
  readonly text: (value: number) => string;
  /** It is a part of the window: rounds that have not been made yet count for the good side. */
  readonly isPart: boolean;
  isExceeded: boolean;
}

const percent = (ratio: number): string => `${Math.round(ratio * 1000) / 10} %`;
const milliseconds = (value: number): string => `${Math.round(value * 10) / 10} ms`;

export class Health {
  private readonly plan: CheckPlan;
  private readonly names: readonly string[];
  private readonly window: Window;
  private readonly thresholds: readonly Threshold[];
  private readonly damping: Damping | null;
  /** What the rounds and the carrier say, before damping. */
  private isWell: boolean;
  private isUp: boolean;
  private sinceMs: number;
  private reason: string | null;
  /** Why it is not well: kept from the round that brought it down, or the last bad one since. */
  private illness: string | null = null;
  private hasCarrier = true;
  private hasVerdict = false;
  private wasFoundUp = false;
  /** In a row, as of the last round. */
  private goodRounds = 0;
  private badRounds = 0;
  private measured: Measures = { lossRatio: null, latencyMs: null, jitterMs: null };
  private readonly targets: TargetStatus[];
  private suppressedUntilMs: number | null = null;

  constructor(plan: CheckPlan, nowMs: number) {
    this.plan = plan;
    this.names = plan.probes.map(targetName);
    this.targets = this.names.map((target) => ({ target, isOk: null, reason: null, latencyMs: null }));
    this.window = new Window(plan.window, plan.probes.length, plan.need);
    this.thresholds = [
      ...(plan.loss === undefined ? [] : [{ name: 'loss', plan: plan.loss, value: (m: Measures) => m.lossRatio, text: percent, isPart: true, isExceeded: false }]),
      ...(plan.latencyMs === undefined ? [] : [{ name: 'latency', plan: plan.latencyMs, value: (m: Measures) => m.latencyMs, text: milliseconds, isPart: false, isExceeded: false }]),
      ...(plan.jitterMs === undefined ? [] : [{ name: 'jitter', plan: plan.jitterMs, value: (m: Measures) => m.jitterMs, text: milliseconds, isPart: false, isExceeded: false }]),
    ];
    this.damping = plan.damping === undefined ? null : new Damping(plan.damping, nowMs);
    this.isWell = plan.initial === 'up';
    this.isUp = this.isWell;
    this.sinceMs = nowMs;
    this.reason = this.isUp ? null : 'not checked yet';
    this.illness = this.reason;
  }

  /** The results of a round, in the order of the plan's probes. A change when it went up or down by it. */
  round(results: readonly ProbeResult[], nowMs: number): HealthChange | null {
    for (let i = 0; i < this.targets.length; i++) {
      const { isOk, reason, latencyMs } = results[i];
      this.targets[i].isOk = isOk;
      this.targets[i].reason = reason;
      this.targets[i].latencyMs = latencyMs;
    }
    if (!this.hasCarrier) return this.publish(nowMs);
    this.window.add(results);
    this.measured = this.window.measures();
    for (const threshold of this.thresholds) this.judge(threshold);
    const bad = this.whatIsBad(results);
    if (bad === null) {
      this.goodRounds++;
      this.badRounds = 0;
      if (this.goodRounds >= this.plan.rise) {
        this.hasVerdict = true;
        this.wasFoundUp = true;
        this.isWell = true;
        this.illness = null;
      }
    } else {
      this.badRounds++;
      this.goodRounds = 0;
      if (!this.isWell) this.illness = bad;
      if (this.badRounds >= this.plan.fall) {
        this.hasVerdict = true;
        this.fall(bad, nowMs);
      }
    }
    return this.publish(nowMs);
  }

  /** The carrier went or came. A change when that took it down, or brought it up before the first verdict. */
  carrier(isUp: boolean, nowMs: number): HealthChange | null {
    if (isUp === this.hasCarrier) return this.publish(nowMs);
    this.hasCarrier = isUp;
    this.goodRounds = 0;
    this.badRounds = 0;
    if (!isUp) {
      this.fall(NO_CARRIER, nowMs);
      this.illness = NO_CARRIER;
      return this.publish(nowMs);
    }
    this.window.clear();
    this.measured = this.window.measures();
    for (const threshold of this.thresholds) threshold.isExceeded = false;
    this.illness = 'not checked yet since the carrier came back';
    if (!this.hasVerdict && this.plan.initial === 'up') {
      this.isWell = true;
      this.illness = null;
    }
    return this.publish(nowMs);
  }

  get status(): HealthStatus {
    return {
      isUp: this.isUp, sinceMs: this.sinceMs, reason: this.reason, ...this.measured, suppressedUntilMs: this.suppressedUntilMs,
      targets: this.targets.map((target) => ({ ...target })),
    };
  }

  private fall(reason: string, nowMs: number): void {
    if (!this.isWell) return;
    this.isWell = false;
    this.illness = reason;
    // What was never found to be up cannot flap: a start without carrier or answers costs nothing.
    if (this.wasFoundUp) this.damping?.fell(nowMs);
  }

  private judge(threshold: Threshold): void {
    const value = threshold.value(this.measured);
    if (value === null) return;
    if (threshold.isExceeded) threshold.isExceeded = value >= threshold.plan.recover;
    else {
      const { length } = this.window;
      const rounds = this.plan.window;
      // A part of the rounds made is a whole number of them: rounded, so that three of twelve are a quarter and not a little more.
      const counted = threshold.isPart ? Math.round(value * length) / rounds : value;
      threshold.isExceeded = length >= rounds * KNOWN_PART && counted > threshold.plan.fail;
    }
  }

  /** One phrase that names the targets or the thresholds; null = the round was good. */
  private whatIsBad(results: readonly ProbeResult[]): string | null {
    const failed = results.filter(({ isOk }) => !isOk).length;
    const good = results.length - failed;
    if (good < this.plan.need) {
      const phrase = this.failures(results);
      return this.plan.need === 1 || good === 0 ? phrase : `${good} of ${results.length} targets good, ${this.plan.need} needed: ${phrase}`;
    }
    const exceeded = this.thresholds.filter(({ isExceeded }) => isExceeded);
    if (exceeded.length === 0) return null;
    return exceeded.map(({ name, plan, value, text }) => {
      const is = value(this.measured);
      if (is === null) return `${name} not known to be below ${text(plan.recover)} again`;
      return is > plan.fail ? `${name} ${text(is)}, above ${text(plan.fail)}` : `${name} ${text(is)}, not below ${text(plan.recover)} yet`;
    }).join('; ');
  }

  /** 'icmp 192.0.2.1 and icmp 192.0.2.2: timed out; tcp 192.0.2.3:80: connection refused'. */
  private failures(results: readonly ProbeResult[]): string {
    const byReason = new Map<string, string[]>();
    results.forEach(({ isOk, reason }, i) => {
      if (isOk) return;
      const phrase = reason ?? 'failed';
      const names = byReason.get(phrase);
      if (names === undefined) byReason.set(phrase, [this.names[i]]);
      else names.push(this.names[i]);
    });
    const phrases = [...byReason].map(([reason, names]) => `${listNames(names, NAMES_MAX)}: ${reason}`);
    return phrases.length > NAMES_MAX ? `${phrases.slice(0, NAMES_MAX).join('; ')}; and more` : phrases.join('; ');
  }

  /** Let be seen what damping lets through. */
  private publish(nowMs: number): HealthChange | null {
    this.suppressedUntilMs = this.damping?.suppressedUntilMs(nowMs) ?? null;
    const isUp = this.isWell && this.suppressedUntilMs === null;
    this.reason = isUp ? null : this.isWell ? DAMPED : this.illness;
    if (isUp === this.isUp) return null;
    this.isUp = isUp;
    this.sinceMs = nowMs;
    return { isUp, reason: this.reason, atMs: nowMs, suppressedUntilMs: this.suppressedUntilMs };
  }
}
