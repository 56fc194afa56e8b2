/**
 * The main thread's end of the share worker (share/worker.ts): starts it, hands on what it tells, asks it on behalf of others. When it crashes forwarding goes
 * on; that is told, and another one is started, after longer each time until one has lasted. What the crashed one had in hand the next one finds by reading the
 * flow table and the store.
 */
import { Unavailable } from '../base/error.js';
import type { Timers } from '../base/timers.js';
import type { FromShare, ShareEvent, ShareStatus, ToShare } from '../share/status.js';
import type { Lease } from '../share/store.js';
import type { ShareOrders } from './instance.js';

/** A worker as this needs it. */
export interface ShareWorker {
  postMessage(order: ToShare): void;
  on(event: 'message', listener: (message: FromShare) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
}

export interface ShareThreadOptions {
  instance: string;
  isRequired: boolean;
  /** `generation`: what the one before had last, null = none. */
  spawn: (isRestart: boolean, generation: number | null) => ShareWorker;
  timers: Timers;
  nowMs: () => number;
  onStatus: (status: ShareStatus) => void;
  onEvent: (event: ShareEvent) => void;
  /** Elections may be won from now on. */
  onReady: (isLoaded: boolean) => void;
}

const RESTART_FIRST_MS = 1000;
const RESTART_MOST_MS = 30_000;
/** One that lasted so long has been a good one: the next restart is a first one again. */
const GOOD_MS = 60_000;
/** Beyond the time an order has. */
const GRACE_MS = 500;
/** The store is asked who leases what for so long. */
const LEASES_MS = 3000;

interface Asked { done: (answer: Extract<FromShare, { type: 'done' }>) => void; timer: unknown }

export class ShareThread implements ShareOrders {
  private readonly options: ShareThreadOptions;
  private worker: ShareWorker | null = null;
  private startedAtMs = 0;
  private crashes = 0;
  private restart: unknown = null;
  private isStopping = false;
  private readonly asked = new Map<number, Asked>();
  private lastId = 0;
  /** What a worker that is started again has to be told. */
  private readonly roles = new Set<string>();
  private isDrained = false;
  private generation: number | null = null;
  private settle: { resolve: () => void; reject: (error: Error) => void } | null = null;
  private onExit: () => void = () => undefined;

  constructor(options: ShareThreadOptions) { this.options = options; }

  /** Start it. Settles at once, or with share.require when the store can be used; rejects when it cannot. */
  async start(): Promise<void> {
    const had = this.options.isRequired ? new Promise<void>((resolve, reject) => { this.settle = { resolve, reject }; }) : Promise.resolve();
    this.spawn(false);
    await had;
    this.settle = null;
  }

  /** We are master of a virtual router now, or are not any more. */
  role(role: string, isMaster: boolean): void {
    if (isMaster) this.roles.add(role);
    else if (!this.roles.delete(role)) return;
    this.worker?.postMessage({ type: 'role', role, isMaster });
  }

  async flush(withinMs: number): Promise<string | null> {
    const answer = await this.ask((id) => ({ type: 'flush', id, withinMs }), withinMs + GRACE_MS);
    return answer.error;
  }

  drain(isDrained: boolean): void {
    this.isDrained = isDrained;
    this.worker?.postMessage({ type: 'drain', isDrained });
  }

  async leases(): Promise<readonly Lease[]> {
    const { error, leases } = await this.ask((id) => ({ type: 'leases', id }), LEASES_MS);
    if (error !== null) throw new Error(error);
    return leases ?? [];
  }

  /** End it: what waits is written, leases are given back. Settles when it is gone, in any case. */
  async stop(withinMs: number): Promise<void> {
    const { timers } = this.options;
    this.isStopping = true;
    if (this.restart !== null) timers.clear(this.restart);
    const { worker } = this;
    if (worker === null) return;
    const gone = new Promise<void>((resolve) => { this.onExit = resolve; });
    // It has the time twice: to write, and to give back and resign.
    const timer = timers.set(() => { void worker.terminate(); }, 2 * withinMs + GRACE_MS);
    worker.postMessage({ type: 'stop', withinMs, isPlaneGone: true });
    await gone;
    timers.clear(timer);
  }

  private spawn(isRestart: boolean): void {
    const worker = this.options.spawn(isRestart, this.generation);
    this.worker = worker;
    this.startedAtMs = this.options.nowMs();
    let error: Error | null = null;
    worker.on('message', (message) => this.take(message));
    worker.on('error', (why) => { error = why; });
    worker.on('exit', () => this.gone(error));
    for (const role of this.roles) worker.postMessage({ type: 'role', role, isMaster: true });
    if (this.isDrained) worker.postMessage({ type: 'drain', isDrained: true });
  }

  private take(message: FromShare): void {
    const { onStatus, onEvent, onReady } = this.options;
    switch (message.type) {
      case 'status':
        this.generation = message.status.generation;
        onStatus(message.status);
        break;
      case 'event':
        onEvent(message.event);
        if (message.event.event === 'share.up') this.settle?.resolve();
        break;
      case 'ready': onReady(message.isLoaded); break;
      case 'done': {
        const asked = this.asked.get(message.id);
        if (asked === undefined) break;
        this.asked.delete(message.id);
        this.options.timers.clear(asked.timer);
        asked.done(message);
        break;
      }
      case 'failed':
        this.settle?.reject(new Unavailable(`the store that flows are shared through cannot be used (${message.trouble}): ${message.message}; share.require is true, so weir does not start without it`));
        break;
      case 'stopped': break;
    }
  }

  private gone(error: Error | null): void {
    const { instance, timers, nowMs, onEvent } = this.options;
    this.worker = null;
    this.onExit();
    if (this.isStopping) return;
    for (const [id, asked] of this.asked) {
      timers.clear(asked.timer);
      asked.done({ type: 'done', id, error: 'the share worker has crashed' });
    }
    this.asked.clear();
    this.crashes = nowMs() - this.startedAtMs >= GOOD_MS ? 1 : this.crashes + 1;
    const delayMs = Math.min(RESTART_MOST_MS, RESTART_FIRST_MS * 2 ** (this.crashes - 1));
    const reason = error?.message ?? 'it ended by itself';
    onEvent({
      event: 'share.degraded', subject: instance, message: `the share worker has crashed (${reason}): forwarding goes on, it is started again in ${delayMs / 1000} s`,
      fields: { trouble: 'other', reason, crashes: this.crashes, severity: 'error' },
    });
    // Whoever waits for the start learns what is wrong rather than that time has passed.
    this.settle?.reject(error ?? new Error('the share worker has ended'));
    this.restart = timers.set(() => {
      this.restart = null;
      this.spawn(true);
    }, delayMs);
  }

  private ask(order: (id: number) => ToShare, withinMs: number): Promise<Extract<FromShare, { type: 'done' }>> {
    const id = ++this.lastId;
    const { worker } = this;
    if (worker === null) return Promise.resolve({ type: 'done', id, error: 'the share worker does not run' });
    return new Promise((done) => {
      const timer = this.options.timers.set(() => {
        this.asked.delete(id);
        done({ type: 'done', id, error: `the share worker has not answered within ${withinMs} ms` });
      }, withinMs);
      this.asked.set(id, { done, timer });
      worker.postMessage(order(id));
    });
  }
}
