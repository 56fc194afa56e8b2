/**
 * Health checks: a prober (src/health) for each subject, what it finds told to whoever the subject is for and to the event log, and its questions
 * brought to the data plane and back by number. Whether a subject is an uplink or a real server is nothing this file knows (subjects.ts does).
 *
 *   Prober ──ask──▶ number ──▶ data plane ──▶ the way of the subject ──▶ outcome by number ──▶ Prober ──change──▶ onHealth: takes flows, or none
 *                                                                                               ├──round──▶ onStatus, onWeight
 *                                                                                               └──target, damping──▶ events
 *
 * Where several subjects ask one target, each asks for itself: what one finds says nothing of another's way. Nothing is left hanging at the end:
 * `stop` ends what is under way, and every question that waits for the data plane has its answer.
 */
import type { CheckPlan } from '../base/plan.js';
import type { CheckContext, DataPlaneProbe, ProbeResult } from '../health/check/check.js';
import { NO_CARRIER } from '../health/health.js';
import type { HealthChange, HealthStatus as ProberStatus } from '../health/health.js';
import { Prober } from '../health/prober.js';
import type { ProberOptions, TargetChange } from '../health/prober.js';
import type { ProbeOutcome, ProbeRequest } from '../stage/probe.js';
import { parseIpv4 } from '../wire/address.js';
import type { HealthStatus } from './api/types.js';
import type { EventFields, EventLog } from './event.js';

/** Something that is checked. */
export interface Subject {
  /** The first part of its events' words. */
  kind: 'uplink' | 'server';
  name: string;
  /** How its targets stand to it, in messages: 'by uplink isp1', 'of server web/web1'. */
  relation: string;
  /** What its events say of it besides its name. */
  fields: EventFields;
  plan: CheckPlan;
  /** Address the box's own sockets bind to so that they take its way; undefined = by the box's routes. */
  pin: string | undefined;
  /** The uplink by which its probes leave; -1 = they go by the routes. */
  uplink: number;
  /** The link that must have carrier for it to be up; -1 = no single one. */
  link: number;
  /** Its check has made a round, or has another verdict. */
  onStatus: (status: HealthStatus) => void;
  /** The data plane is to send flows there, as far as its check is concerned, or none. After onStatus. */
  onHealth: (isHealthy: boolean, reason: string | null) => void;
  /** A script of its check asks for another weight than it did before. */
  onWeight?: (weight: number) => void;
}

/** Something that nobody asks, and that is of use only while its link has carrier. */
export type Unchecked = Pick<Subject, 'link' | 'onHealth'>;

export interface ChecksOptions {
  subjects: readonly Subject[];
  unchecked: readonly Unchecked[];
  seed: number;
  events: EventLog;
  /** The data plane is to ask this, and to answer by `answered`. */
  ask: (id: number, request: ProbeRequest) => void;
  /** Milliseconds of the probers' clock, and of Unix time. */
  nowMs?: () => number;
  unixMs?: () => number;
  /** Of the probers, for tests. */
  prober?: Pick<ProberOptions, 'clock' | 'timers' | 'create'>;
}

/** A subject with its prober, and the weight a script has asked for last. */
interface Checked { readonly subject: Subject; readonly prober: Prober; weight: number | null }

/** Questions that may wait for the data plane: four times what it takes at once. More only come together when it is silent, which must not cost memory. */
export const QUESTIONS_MAX = 4096;

const SILENT: ProbeResult = { isOk: false, latencyMs: null, reason: 'the data plane does not answer' };
const STOPPED: ProbeResult = { isOk: false, latencyMs: null, reason: 'stopped' };

export class Checks {
  private readonly options: ChecksOptions;
  private readonly all: readonly Checked[];
  private readonly waiting = new Map<number, (result: ProbeResult) => void>();
  private readonly nowMs: () => number;
  private readonly unixMs: () => number;
  private lastId = 0;
  private isRunning = false;

  constructor(options: ChecksOptions) {
    this.options = options;
    this.nowMs = options.nowMs ?? ((): number => performance.now());
    this.unixMs = options.unixMs ?? ((): number => Date.now());
    this.all = options.subjects.map((subject) => {
      const { kind, name, plan, pin, uplink } = subject;
      const context: CheckContext = { localAddress: pin, uplink, ask: (request) => this.ask(request) };
      const checked: Checked = {
        subject, weight: null,
        prober: new Prober({
          // The kind too, so that an uplink and a server of one name do not ask at the same moments.
          ...options.prober, plan, subject: `${kind} ${name}`, context, seed: options.seed,
          onChange: (change) => this.onChange(checked, change), onRound: (results) => this.onRound(checked, results), onTarget: (change) => this.onTarget(checked, change),
        }),
      };
      return checked;
    });
  }

  /** Begin. What the links are like has been told by `carrier` before. */
  start(): void {
    this.isRunning = true;
    for (const checked of this.all) {
      checked.prober.start();
      this.publish(checked);
    }
  }

  /** A link has got or lost its carrier. */
  carrier(link: number, isUp: boolean): void {
    for (const one of this.options.unchecked) if (one.link === link) one.onHealth(isUp, isUp ? null : NO_CARRIER);
    for (const checked of this.all) {
      if (checked.subject.link !== link) continue;
      checked.prober.carrier(isUp);
      this.publish(checked);
    }
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
    for (const { prober } of this.all) prober.stop();
    for (const resolve of this.waiting.values()) resolve(STOPPED);
    this.waiting.clear();
  }

  /** Questions that wait for the data plane. */
  get underWay(): number { return this.waiting.size; }

  private ask({ uplink, kind, target, port = 0, ttl = 0, question, timeoutMs }: DataPlaneProbe): Promise<ProbeResult> {
    if (!this.isRunning) return Promise.resolve(STOPPED);
    if (this.waiting.size >= QUESTIONS_MAX) return Promise.resolve(SILENT);
    const id = ++this.lastId;
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
    const asked = question === undefined ? {} : { question: { send: bytes(question.send), expect: question.expect === undefined ? null : bytes(question.expect) } };
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.options.ask(id, { uplink, kind, target: parseIpv4(target), port, ttl, ...asked, timeoutMs });
    });
  }

  private onChange(checked: Checked, { isUp, reason, suppressedUntilMs }: HealthChange): void {
    const { kind, name, fields, onHealth } = checked.subject;
    // First what the reason is taken from, when the data plane says that it is out of use.
    this.publish(checked);
    onHealth(isUp, reason);
    if (suppressedUntilMs === null) return;
    const seconds = Math.ceil((suppressedUntilMs - this.nowMs()) / 1000);
    this.options.events.emit(`${kind}.damped`, name, `${kind} ${name} fell too often and stays down for ${seconds} s at least`,
      { ...fields, untilMs: this.unixTime(suppressedUntilMs), severity: 'warning' });
  }

  private onRound(checked: Checked, results: readonly ProbeResult[]): void {
    this.publish(checked);
    const weight = results.find((result) => result.weight !== undefined)?.weight;
    // Told when it is another one, so that what a person has set since then stands until the script changes its mind.
    if (weight === undefined || weight === checked.weight) return;
    checked.weight = weight;
    checked.subject.onWeight?.(weight);
  }

  private onTarget({ subject }: Checked, { target, isOk, reason }: TargetChange): void {
    const { name, relation, fields } = subject;
    const words = isOk ? 'answers again' : `does not answer as it should${reason === null ? '' : `: ${reason}`}`;
    this.options.events.emit('health.target', name, `${target} ${relation} ${words}`, { ...fields, target, isOk, reason, severity: isOk ? 'info' : 'warning' });
  }

  private publish({ subject, prober }: Checked): void { subject.onStatus(this.toUnix(prober.status)); }

  private toUnix(status: ProberStatus): HealthStatus {
    const { sinceMs, suppressedUntilMs } = status;
    return { ...status, sinceMs: this.unixTime(sinceMs), suppressedUntilMs: suppressedUntilMs === null ? null : this.unixTime(suppressedUntilMs) };
  }

  private unixTime(atMs: number): number { return Math.round(this.unixMs() + (atMs - this.nowMs())); }
}
