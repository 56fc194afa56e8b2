/**
 * The health checks of the uplinks: a prober each (src/health), what it finds told to the data plane, the view and the event log, and its questions
 * brought to the data plane and back by number.
 *
 *   Prober ──ask──▶ number ──▶ data plane ──▶ the uplink under test ──▶ outcome by number ──▶ Prober ──change──▶ data plane: takes flows, or none
 *                                                                                              ├──round──▶ view
 *                                                                                              └──target, damping──▶ events
 *
 * Where several uplinks ask one target, each asks for itself: what one finds says nothing of another's way. Nothing is left hanging at the end:
 * `stop` ends what is under way, and every question that waits for the data plane has its answer.
 */
import type { Plan } from '../base/plan.js';
import type { CheckContext, DataPlaneProbe, ProbeResult } from '../health/check/check.js';
import type { HealthChange, HealthStatus as ProberStatus } from '../health/health.js';
import { Prober } from '../health/prober.js';
import type { ProberOptions, TargetChange } from '../health/prober.js';
import type { ProbeOutcome, ProbeRequest } from '../stage/probe.js';
import { parseIpv4 } from '../wire/address.js';
import type { HealthStatus } from './api/types.js';
import type { EventLog } from './event.js';

export interface UplinkChecksOptions {
  plan: Plan;
  events: EventLog;
  /** A check has made a round, or has another verdict. */
  onStatus: (uplink: number, status: HealthStatus) => void;
  /** The data plane is to send flows by this uplink, as far as its check is concerned, or none. After onStatus. */
  onHealth: (uplink: number, isHealthy: boolean, reason: string | null) => void;
  /** The data plane is to ask this, and to answer by `answered`. */
  ask: (id: number, request: ProbeRequest) => void;
  /** Milliseconds of the probers' clock, and of Unix time. */
  nowMs?: () => number;
  unixMs?: () => number;
  /** Of the probers, for tests. */
  prober?: Pick<ProberOptions, 'clock' | 'timers' | 'create'>;
}

export class UplinkChecks {
  private readonly options: UplinkChecksOptions;
  /** By uplink; null without a check. */
  private readonly probers: readonly (Prober | null)[];
  private readonly waiting = new Map<number, (result: ProbeResult) => void>();
  private readonly nowMs: () => number;
  private readonly unixMs: () => number;
  private lastId = 0;
  private isRunning = false;

  constructor(options: UplinkChecksOptions) {
    this.options = options;
    this.nowMs = options.nowMs ?? ((): number => performance.now());
    this.unixMs = options.unixMs ?? ((): number => Date.now());
    this.probers = options.plan.uplinks.map(({ index, name, check, pin }) => {
      if (check === undefined) return null;
      const context: CheckContext = { localAddress: pin, uplink: index, ask: (request) => this.ask(request) };
      return new Prober({
        ...options.prober, plan: check, subject: name, context, seed: options.plan.seed,
        onChange: (change) => this.onChange(index, change), onRound: () => this.publish(index), onTarget: (change) => this.onTarget(index, change),
      });
    });
  }

  /** Begin. What the links are like has been told by `carrier` before. */
  start(): void {
    this.isRunning = true;
    this.probers.forEach((prober, uplink) => {
      if (prober === null) return;
      this.publish(uplink);
      prober.start();
    });
  }

  /** A link has carrier, or has none. */
  carrier(link: number, isUp: boolean): void {
    this.probers.forEach((prober, uplink) => {
      if (prober === null || this.options.plan.uplinks[uplink].link !== link) return;
      prober.carrier(isUp);
      this.publish(uplink);
    });
  }

  /** The data plane knows what has become of a question. */
  answered({ id, isOk, latencyMs, reason }: ProbeOutcome): void {
    const resolve = this.waiting.get(id);
    this.waiting.delete(id);
    resolve?.({ isOk, latencyMs, reason });
  }

  /** Ask nothing any more; every question has its answer. */
  stop(): void {
    this.isRunning = false;
    for (const prober of this.probers) prober?.stop();
    for (const resolve of this.waiting.values()) resolve({ isOk: false, latencyMs: null, reason: 'stopped' });
    this.waiting.clear();
  }

  /** Questions that wait for the data plane. */
  get underWay(): number { return this.waiting.size; }

  private ask({ uplink, kind, target, port = 0, ttl = 0, timeoutMs }: DataPlaneProbe): Promise<ProbeResult> {
    if (!this.isRunning) return Promise.resolve({ isOk: false, latencyMs: null, reason: 'stopped' });
    const id = ++this.lastId;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.options.ask(id, { uplink, kind, target: parseIpv4(target), port, ttl, timeoutMs });
    });
  }

  private onChange(uplink: number, { isUp, reason, suppressedUntilMs }: HealthChange): void {
    // First what the reason is taken from, when the data plane says that the uplink is out of use.
    this.publish(uplink);
    this.options.onHealth(uplink, isUp, reason);
    if (suppressedUntilMs === null) return;
    const { name } = this.options.plan.uplinks[uplink];
    const seconds = Math.ceil((suppressedUntilMs - this.nowMs()) / 1000);
    this.options.events.emit('uplink.damped', name, `uplink ${name} fell too often and stays down for ${seconds} s at least`,
      { uplink: name, untilMs: this.unixTime(suppressedUntilMs), severity: 'warning' });
  }

  private onTarget(uplink: number, { target, isOk, reason }: TargetChange): void {
    const { name } = this.options.plan.uplinks[uplink];
    const words = isOk ? 'answers again' : `does not answer as it should${reason === null ? '' : `: ${reason}`}`;
    this.options.events.emit('health.target', name, `${target} by uplink ${name} ${words}`, { uplink: name, target, isOk, reason, severity: isOk ? 'info' : 'warning' });
  }

  private publish(uplink: number): void {
    const status = (this.probers[uplink] as Prober).status;
    this.options.onStatus(uplink, this.toUnix(status));
  }

  private toUnix(status: ProberStatus): HealthStatus {
    const { sinceMs, suppressedUntilMs } = status;
    return { ...status, sinceMs: this.unixTime(sinceMs), suppressedUntilMs: suppressedUntilMs === null ? null : this.unixTime(suppressedUntilMs) };
  }

  private unixTime(atMs: number): number { return Math.round(this.unixMs() + (atMs - this.nowMs())); }
}
