/**
 * An instance among others: everything the share worker does, over a store, two rings and the flow table, with time and timers from outside.
 *
 *             open          register              load             follow
 *   connecting ──▶ registering ──▶ loading ──▶ running ─┐
 *        ▲              ▲             │   ▲       │     │ stop
 *        │              │  fenced     │   └───────┘     ▼
 *        │              └─────────────┴── gap     │   stopping: write what waits, give leases back, resign, close
 *        └── away ◀───────────────────────────────┘
 *            the connection, or the generation, is lost
 *
 * From registering until the generation is lost is a term. Changes are written from its beginning, before all has been loaded; when one cannot be written for a
 * reason that may pass (the store is full, slow) the term goes on and it is tried again, while the status says that the store cannot be used. What is done
 * at the beginning of a term depends on what has become of the generation before:
 *
 *   none      nothing is known: load everything
 *   kept      by the same server: go on from where we were. By another one, some of what it had acknowledged may be lost: load, write everything again
 *   unknown   the store was emptied or is another one: load, write everything again
 *   fenced    somebody has taken over: what waits is void, flows here are replicas until a packet of theirs is seen (YIELD), load
 *
 * Being fenced is no trouble to tell of: the store is there, and can be used again a moment later. Where another process that is alive has our name (`namesake`) there is no term until
 * it has gone, and nothing is leased: the blocks of that name are the other's.
 *
 * Nothing here waits for the data plane or makes it wait. No wall clock is read.
 */
import type { Clock } from '../base/clock.js';
import type { Plan } from '../base/plan.js';
import type { Random } from '../base/random.js';
import type { Timers } from '../base/timers.js';
import { FlowReader } from '../table/flow-reader.js';
import { RecordDecoder, RecordEncoder, RecordNames, SharedRecord } from '../table/flow-record.js';
import { InboxWriter } from '../table/inbox.js';
import { FETCH_TOKEN, FETCH_TUPLE, JOURNAL_FETCH, JOURNAL_PORTS, JOURNAL_YIELDED, JournalReader, PORTS_ADDRESS, PORTS_FREE, PORTS_USED } from '../table/journal.js';
import { Feed } from './feed.js';
import { Fetches } from './fetch.js';
import { follow } from './follow.js';
import { LEASE_TICK_MS } from './leasing.js';
import type { Leasing, LeasingContext } from './leasing.js';
import { Load } from './load.js';
import { readPeer, writeAbout } from './peer.js';
import type { QueuePlace } from './queue.js';
import { Walk } from './refresh.js';
import { Replicator, storeError } from './replicate.js';
import { stampOf } from './stamp.js';
import type { FromShare, ShareCounts, ShareEvent, ShareLoadStatus, SharePeer, SharePhase, ShareStatus, ToShare } from './status.js';
import { GapError, StoreError } from './store.js';
import type { Position, Store, StoreState, StoreTrouble, StoreWarning } from './store.js';
import { Worst } from './worst.js';

/** Everything is looked at so often at least: what a packet that waits for the store waits longer for it. */
const TICK_MS = 5;
const STATUS_MS = 500;
/** An instance tells of itself so many times within the time after which it counts as gone. */
const BEATS_ALIVE = 3;
const BEAT_LEAST_MS = 100;
/** Between tries: twice as long each time, and a random part of it more. */
const RETRY_FIRST_MS = 50;
const RETRY_MOST_MS = 5000;
/** A term that lasted so long has been a good one: the next try is a first one again. */
const GOOD_TERM_MS = 10_000;
/** Trouble at the start is told of, or ends it all (share.require), after so long; elections are not held up any longer. */
const START_MS = 5000;
/** Dropped changes are told of once in this time; a burial is tried so often. */
const TELL_MS = 10_000;
const BURIAL_MS = 10_000;
/** Changes that may wait while there is time for a burial. */
const CALM = 1000;
/** The data plane has so long to make replicas of all flows. */
const YIELD_MS = 5000;
/** Goes in one tick at what the journal holds. */
const DRAIN_GOES = 4;

/** Trouble with writing that may pass within a term: the connection is there. */
const PASSING: ReadonlySet<StoreTrouble> = new Set(['slow', 'full', 'loading', 'no-permission', 'settling', 'other']);
/** Trouble that leaves reading as it was. */
const READABLE: ReadonlySet<StoreTrouble> = new Set(['full', 'no-permission', 'settling', 'other', 'read-only']);
/** Trouble that will not pass by waiting: with share.require it ends the start at once. */
const LASTING: ReadonlySet<StoreTrouble> = new Set(['wrong-password', 'no-permission', 'wrong-version']);

export interface SharingOptions {
  plan: Plan;
  version: string;
  store: Store;
  flows: SharedArrayBuffer;
  journal: SharedArrayBuffer;
  inbox: SharedArrayBuffer;
  clock: Clock;
  timers: Timers;
  random: Random;
  /** The data plane's clock, as of its last turn. */
  planeNowMs: () => number;
  /** Ends the data plane's wait. */
  wake: () => void;
  tell: (message: FromShare) => void;
  /** Who leases ports, and what the data plane counts for that (ShareOptions.leases); absent = none are leased. */
  leases?: { make: (context: LeasingContext) => Leasing; board: SharedArrayBuffer };
  isRestart?: boolean;
  /** ShareOptions.generation. */
  generation?: number | null;
  /** How long each batch's oldest change had waited when it was written, and the write's round trip. */
  onWritten?: (lagMs: number, writeMs: number) => void;
}

/** Trouble, since when, and how it is going. */
interface Trouble { error: StoreError; attempts: number; nextTryAtMs: number | null }

interface Term { abort: AbortController; end: (error: StoreError) => void; /** It has a generation: what needs one may be asked. */ isRegistered: boolean }

/** Somebody waits until everything before a place in the queue is written. */
interface Flush { place: QueuePlace | null; endMs: number; done: (isWritten: boolean) => void }

export function noCounts(): ShareCounts {
  return {
    written: 0, deleted: 0, batches: 0, batchBytes: 0, retried: 0, fenced: 0, dropped: 0, droppedEnds: 0, lost: 0, coalesced: 0, refreshed: 0, rewrites: 0, loaded: 0, applied: 0,
    forgotten: 0, unreadable: 0, inboxWaits: 0, gaps: 0, fetches: 0, fetched: 0, fetchesMissed: 0, fetchesRefused: 0, buried: 0,
  };
}

export class Sharing {
  readonly counts = noCounts();
  readonly replicator: Replicator;
  readonly walk: Walk;
  private readonly options: SharingOptions;
  private readonly reader: FlowReader;
  private readonly journal: JournalReader;
  private readonly feed: Feed;
  private readonly load: Load;
  private readonly fetches: Fetches;
  private readonly leasing: Leasing | null;
  private readonly lag: Worst;
  private readonly write: Worst;
  private phase: SharePhase = 'connecting';
  private generation: number | null = null;
  private server: string | null = null;
  private lastServer: string | null = null;
  private position: Position | null = null;
  private term: Term | null = null;
  private isConnected = false;
  private isStopping = false;
  private onYielded: () => void = () => undefined;
  /** Whoever waits for the connection to change, or for a pause to end. */
  private onChange: () => void = () => undefined;
  /** Why there is no term; why writing, and telling of ourselves, fails within one. */
  private away: Trouble | null = null;
  private writing: Trouble | null = null;
  private beating: Trouble | null = null;
  private wasUsable = false;
  private usableChangedAtMs: number;
  /** What people have been told last, and since when they take it for away. */
  private isToldUp = false;
  private toldDownAtMs: number;
  private hasBeenUsable = false;
  /** The trouble last told of. */
  private toldTrouble: StoreTrouble | null = null;
  private loadStatus: ShareLoadStatus | null = null;
  private loadStartedAtMs = 0;
  private hasLoaded = false;
  /** Nothing has been known here before: no flow of ours can be in the store, or be missing there. */
  private isNew: boolean;
  private isReady = false;
  private isBurying = false;
  private peers: SharePeer[] = [];
  /** When their ages were what they say. */
  private peersAtMs = 0;
  private readonly masterOf = new Set<string>();
  private readonly unclaimed = new Set<string>();
  private isDrained = false;
  private warnings: readonly StoreWarning[] = [];
  private followMs: number | null = null;
  private flushes: Flush[] = [];
  private readonly startedAtMs: number;
  private pumpedAtMs = -Infinity;
  private statusAtMs = 0;
  private beatAtMs = 0;
  private isBeating = false;
  private leaseAtMs = 0;
  private buryAtMs = 0;
  private droppedToldAtMs = -Infinity;
  private droppedTold = 0;
  private timer: unknown = null;
  private isGone = false;
  private hasFailed = false;
  /** What the data plane was told last. */
  private toldCanAsk = false;
  private toldLoaded = false;

  constructor(options: SharingOptions) {
    this.options = options;
    const { plan, clock, store, timers } = options;
    const { share, limits } = plan;
    const nowMs = (): number => clock.nowMs();
    const names = new RecordNames(plan);
    const encoder = new RecordEncoder(names);
    const decoder = new RecordDecoder(names);
    const stamp = stampOf(share.instance);
    this.startedAtMs = this.usableChangedAtMs = this.toldDownAtMs = nowMs();
    this.isNew = !(options.isRestart ?? false);
    this.generation = options.generation ?? null;
    this.reader = new FlowReader(options.flows, limits.flows);
    this.journal = new JournalReader(options.journal);
    this.feed = new Feed(new InboxWriter(options.inbox), options.inbox.byteLength / 4, options.wake);
    this.lag = new Worst(nowMs);
    this.write = new Worst(nowMs);
    this.replicator = new Replicator({
      store, journal: this.journal, reader: this.reader, encoder, counts: this.counts, limit: limits.sharedChanges,
      mirrorLimit: 2 * limits.affinity + limits.expectations, stamp, nowMs, planeNowMs: options.planeNowMs,
      onOther: (kind, at) => this.onJournal(kind, at),
      onFailure: (error) => this.onWriteFailed(error),
      onWritten: (lagMs, writeMs) => this.onWritten(lagMs, writeMs),
      onLost: () => this.walk.all(),
    });
    this.replicator.mayHaveDead = !this.isNew;
    this.walk = new Walk(this.reader, this.replicator, this.counts, nowMs());
    this.load = new Load({
      store, feed: this.feed, reader: this.reader, replicator: this.replicator, encoder, decoder, counts: this.counts, stamp,
      breathe: () => this.breathe(), onProgress: (records, total) => this.onProgress(records, total),
    }, new SharedRecord());
    this.fetches = new Fetches({
      store, feed: this.feed, encoder: new RecordEncoder(names), decoder, counts: this.counts, timers, nowMs, holdMs: share.holdMs, limit: limits.heldFetches,
      hasStreams: plan.algs.length > 0,
    }, new SharedRecord());
    const { leases } = options;
    this.leasing = leases === undefined ? null
      : leases.make({ plan, store, board: leases.board, blocks: (payload) => this.feed.blocks(payload), isLoaded: () => this.phase === 'running', tell: (event) => this.tellEvent(event), nowMs });
    store.onState = (state) => this.onStore(state);
  }

  /** Begin. Settles when the instance has ended (`stop`). Never rejects: what goes wrong is told. */
  async run(): Promise<void> {
    const { store } = this.options;
    this.feed.store(false, false);
    this.tick();
    try {
      await store.open();
    } catch (error) {
      this.lost(storeError(error));
    }
    for (let failures = 0; !this.isStopping;) {
      if (!this.isConnected) {
        await this.changed();
        continue;
      }
      const startedAtMs = this.now();
      const error = await this.serve();
      if (this.isStopping) break;
      this.lost(error);
      if (this.now() - startedAtMs > GOOD_TERM_MS) failures = 0;
      // Who has only lost the generation gets another one at once, but not over and over.
      const isFirstFence = error.trouble === 'fenced' && failures === 0;
      failures++;
      if (this.isConnected && !isFirstFence) await this.pause(failures);
    }
  }

  /** An order of the main thread. */
  order(order: ToShare): void {
    const { store, tell } = this.options;
    switch (order.type) {
      case 'role':
        if (order.isMaster) {
          this.masterOf.add(order.role);
          this.unclaimed.add(order.role);
          this.claim();
        } else {
          this.masterOf.delete(order.role);
          this.unclaimed.delete(order.role);
        }
        this.beatAtMs = 0;
        break;
      case 'flush':
        void this.flush(order.withinMs).then((error) => tell({ type: 'done', id: order.id, error }));
        break;
      case 'leases':
        store.leases().then((leases) => tell({ type: 'done', id: order.id, error: null, leases }), (error: unknown) => tell({ type: 'done', id: order.id, error: storeError(error).message }));
        break;
      case 'drain':
        this.isDrained = order.isDrained;
        this.beatAtMs = 0;
        break;
      case 'stop':
        void this.stop(order.withinMs, order.isPlaneGone);
        break;
    }
  }

  /** Write what waits, give back, resign, end; each as far as the store can be used, and not longer than told. */
  async stop(withinMs: number, isPlaneGone: boolean): Promise<void> {
    if (this.isStopping) return;
    const { store, timers, tell } = this.options;
    const wasRunning = this.term !== null;
    this.isStopping = true;
    this.phase = 'stopping';
    this.onChange();
    if (wasRunning) {
      await this.flush(withinMs);
      await new Promise<void>((resolve) => {
        const timer = timers.set(resolve, withinMs);
        const leave = async (): Promise<void> => {
          await this.leasing?.release(isPlaneGone);
          await store.resign();
        };
        leave().catch(() => undefined).finally(() => {
          timers.clear(timer);
          resolve();
        });
      });
    }
    this.abandon();
    await store.close().catch(() => undefined);
    tell({ type: 'status', status: this.status() });
    tell({ type: 'stopped' });
  }

  /** End at once, with nothing written and nobody told; the store is left to who has made it. */
  abandon(): void {
    this.isStopping = this.isGone = true;
    if (this.timer !== null) this.options.timers.clear(this.timer);
    this.term?.end(new StoreError('closed', 'the instance ends'));
    this.fetches.close();
    this.replicator.close();
    this.feed.release();
    this.onChange();
  }

  /** What is due; sets the timer for the next time. */
  private tick(): void {
    if (this.isGone) return;
    const { plan, timers } = this.options;
    this.timer = timers.set(() => this.tick(), Math.min(TICK_MS, plan.share.flushMs));
    const nowMs = this.now();
    const { replicator } = this;
    for (let goes = DRAIN_GOES; goes > 0 && replicator.drain(); goes--);
    this.walk.step(nowMs);
    if (nowMs - this.pumpedAtMs >= plan.share.flushMs) {
      this.pumpedAtMs = nowMs;
      replicator.pump();
    }
    this.feed.tick();
    this.checkFlushes(nowMs);
    if (this.leasing !== null && nowMs >= this.leaseAtMs) {
      this.leaseAtMs = nowMs + LEASE_TICK_MS;
      this.leasing.tick(nowMs);
    }
    if (this.term?.isRegistered === true && !this.isBeating && nowMs >= this.beatAtMs) this.beat(nowMs);
    this.checkReady(nowMs);
    this.checkDropped(nowMs);
    this.checkBurial(nowMs);
    if (nowMs >= this.statusAtMs) {
      this.statusAtMs = nowMs + STATUS_MS;
      this.options.tell({ type: 'status', status: this.status() });
    }
  }

  // A term

  /** Gives why it ended. */
  private async serve(): Promise<StoreError> {
    const abort = new AbortController();
    let end: (error: StoreError) => void = () => undefined;
    const ended = new Promise<StoreError>((resolve) => {
      end = (error) => {
        resolve(error);
        abort.abort(error);
        // Who waits for room sees that it is over.
        this.feed.release();
      };
    });
    this.term = { abort, end, isRegistered: false };
    const work = this.work(this.term, abort.signal).then(() => new StoreError('other', 'the log has ended'), storeError);
    const error = await Promise.race([ended, work]);
    end(error);
    this.term = null;
    this.replicator.close();
    this.fetches.close();
    this.leasing?.onAway(this.now());
    await work;
    return error;
  }

  private async work(term: Term, signal: AbortSignal): Promise<void> {
    const { plan, store } = this.options;
    const { replicator } = this;
    this.phase = 'registering';
    const { generation, before } = await store.register(plan.share.instance, this.generation);
    // Even when the term is over by now: by this number the store knows us.
    this.generation = generation;
    // Soon: should this thread crash the next one asks by this number.
    this.statusAtMs = 0;
    signal.throwIfAborted();
    const isSame = before === 'kept' && this.server === this.lastServer;
    this.lastServer = this.server;
    if (before === 'fenced') await this.yield(signal);
    if (before === 'unknown') {
      this.tellEvent({ event: 'share.emptied', subject: plan.share.instance, message: 'the store knows nothing of this instance any more: it was emptied, or is another one; everything is written again', fields: { generation, severity: 'warning' } });
    }
    if (!isSame) {
      this.position = null;
      replicator.mayHaveDead ||= !this.isNew;
      // Who has just begun has written nothing yet, and what waits is written anyway.
      if (before !== 'fenced' && (before !== 'none' || !this.isNew)) this.rewrite();
    }
    term.isRegistered = true;
    this.writing = this.beating = this.away = null;
    replicator.open();
    this.fetches.open();
    this.leasing?.onUsable(this.now());
    for (const role of this.masterOf) this.unclaimed.add(role);
    this.claim();
    this.beatAtMs = 0;
    for (;;) {
      if (this.position === null) await this.loadAll(before === 'unknown', signal);
      this.phase = this.isStopping ? 'stopping' : 'running';
      this.settle();
      try {
        await follow({
          store, feed: this.feed, counts: this.counts, onAge: (ageMs) => { this.followMs = ageMs; }, onReached: (position) => { this.position = position; },
        }, this.position as unknown as Position, signal);
        return;
      } catch (error) {
        if (!(error instanceof GapError)) throw error;
        this.counts.gaps++;
        this.position = null;
      }
    }
  }

  private async loadAll(keepsReplicas: boolean, signal: AbortSignal): Promise<void> {
    const { plan } = this.options;
    const isFirst = this.isNew;
    this.phase = 'loading';
    this.settle();
    this.loadStartedAtMs = this.now();
    this.loadStatus = { isDone: false, records: 0, total: 0, tookMs: 0 };
    this.tellEvent({ event: 'share.loading', subject: plan.share.instance, message: 'what other instances have written is being loaded', fields: { severity: 'info' } });
    const loadedBefore = this.counts.loaded;
    // What ends while this is going on is for the next burial.
    const mayHaveDead = this.replicator.mayHaveDead;
    this.replicator.mayHaveDead = false;
    try {
      this.position = await this.load.run({ isFirst, onlyBurial: false, keepsReplicas }, signal);
    } catch (error) {
      this.replicator.mayHaveDead ||= mayHaveDead;
      throw error;
    }
    this.hasLoaded = true;
    this.isNew = false;
    const tookMs = this.now() - this.loadStartedAtMs;
    this.loadStatus = { ...this.loadStatus, isDone: true, tookMs };
    const records = this.counts.loaded - loadedBefore;
    this.tellEvent({ event: 'share.loaded', subject: plan.share.instance, message: `${records} records of others have been loaded in ${Math.round(tookMs)} ms`, fields: { records, tookMs, severity: 'info' } });
  }

  /** Somebody has taken over from us. */
  private async yield(signal: AbortSignal): Promise<void> {
    const { plan } = this.options;
    const waiting = this.replicator.queue.length;
    this.counts.fenced++;
    this.replicator.drop();
    this.walk.pause();
    this.feed.yield();
    this.position = null;
    this.tellEvent({
      event: 'share.fenced', subject: plan.share.instance,
      message: `another instance has taken over from ${plan.share.instance}: of what waited to be written ${changes(waiting)} are void, and its flows are the other's until their packets come this way again`,
      fields: { waiting, severity: 'warning' },
    });
    // What is a replica by then can be held against the store; without an answer it is not, and ends in its own time.
    const yielded = new Promise<void>((resolve) => { this.onYielded = resolve; });
    const timer = this.options.timers.set(() => this.onYielded(), YIELD_MS);
    signal.addEventListener('abort', () => this.onYielded(), { once: true });
    this.feed.flush();
    await yielded;
    this.options.timers.clear(timer);
    signal.throwIfAborted();
  }

  /** The store may not have what we believe it has. */
  private rewrite(): void {
    this.replicator.forgetWritten();
    this.walk.all();
  }

  private claim(): void {
    if (this.term?.isRegistered !== true) return;
    const { store } = this.options;
    const { term } = this;
    for (const role of this.unclaimed) {
      this.unclaimed.delete(role);
      store.claim(role).catch((error: unknown) => {
        // Fenced, or out of reach: the next term claims again; else the next beat does.
        if (this.masterOf.has(role)) this.unclaimed.add(role);
        if (term === this.term) this.onTrouble(storeError(error), 'beating');
      });
    }
  }

  private beat(nowMs: number): void {
    const { plan, store, version } = this.options;
    const { aliveMs } = plan.share;
    const { term } = this;
    this.beatAtMs = nowMs + Math.max(BEAT_LEAST_MS, aliveMs / BEATS_ALIVE);
    this.isBeating = true;
    const state = this.isStopping ? 'stopping' : this.isDrained ? 'drained' : this.phase;
    if (this.unclaimed.size > 0) this.claim();
    store.beat(writeAbout({ flows: this.reader.count, state, version, masterOf: [...this.masterOf] }), aliveMs).then((peers) => {
      this.isBeating = false;
      if (term !== this.term) return;
      this.beating = null;
      this.settle();
      this.onPeers(peers.map(readPeer));
    }, (error: unknown) => {
      this.isBeating = false;
      if (term === this.term) this.onTrouble(storeError(error), 'beating');
    });
  }

  private onPeers(peers: SharePeer[]): void {
    const before = new Map(this.peers.map((peer) => [peer.instance, peer]));
    for (const { instance, generation, state, version } of peers) {
      if (!before.delete(instance)) this.tellEvent({ event: 'share.peer.up', subject: instance, message: `instance ${instance} is there: ${state}, weir ${version}`, fields: { instance, generation, state, version, severity: 'info' } });
    }
    for (const { instance, generation, state } of before.values()) {
      const hasLeft = state === 'stopping';
      this.tellEvent({
        event: 'share.peer.down', subject: instance, message: hasLeft ? `instance ${instance} has ended` : `instance ${instance} has not been heard of for ${this.options.plan.share.aliveMs} ms`,
        fields: { instance, generation, hasLeft, severity: hasLeft ? 'info' : 'warning' },
      });
    }
    this.peers = peers;
    this.peersAtMs = this.now();
  }

  // Trouble

  private onStore({ isUsable, error, server, warnings }: StoreState): void {
    // Those of a store that is away are still true when it is back, until it says otherwise.
    if (isUsable) {
      this.server = server;
      this.warnings = warnings;
    }
    this.isConnected = isUsable;
    if (!isUsable) {
      const why = error ?? new StoreError('unreachable', 'the connection was lost');
      if (this.term !== null) this.term.end(why);
      else this.lost(why);
    }
    this.onChange();
  }

  private onWriteFailed(error: StoreError): void {
    this.onTrouble(error, 'writing');
    if (this.term === null || !PASSING.has(error.trouble) || this.writing === null) return;
    const delayMs = this.delayMs(this.writing.attempts);
    this.writing.nextTryAtMs = this.now() + delayMs;
    const { term } = this;
    this.options.timers.set(() => {
      if (term !== this.term) return;
      this.replicator.retry();
      this.replicator.pump();
    }, delayMs);
  }

  private onTrouble(error: StoreError, what: 'writing' | 'beating'): void {
    if (this.term === null || this.isGone) return;
    if (!PASSING.has(error.trouble)) {
      this.term.end(error);
      return;
    }
    this[what] = { error, attempts: (this[what]?.attempts ?? 0) + 1, nextTryAtMs: null };
    this.settle();
  }

  private onWritten(lagMs: number, writeMs: number): void {
    this.lag.note(lagMs);
    this.write.note(writeMs);
    this.options.onWritten?.(lagMs, writeMs);
    if (this.writing === null) return;
    this.writing = null;
    this.settle();
  }

  /** There is no term. */
  private lost(error: StoreError): void {
    if (this.isStopping) return;
    this.away = { error, attempts: (this.away?.attempts ?? 0) + 1, nextTryAtMs: null };
    this.phase = error.trouble === 'fenced' ? 'registering' : this.hasBeenUsable ? 'away' : 'connecting';
    if (error.trouble === 'namesake') this.leasing?.onLost();
    this.settle();
    if (LASTING.has(error.trouble)) this.fail(error);
  }

  /** The store is not to be had at the start: with share.require that is the end. */
  private fail(error: StoreError): void {
    if (!this.options.plan.share.require || this.hasBeenUsable || this.hasFailed) return;
    this.hasFailed = true;
    this.options.tell({ type: 'failed', trouble: error.trouble, message: error.message });
  }

  /** What is wrong with the store. A generation that is only to be got again is not. */
  private get trouble(): Trouble | null {
    const trouble = this.away ?? this.writing ?? this.beating;
    return trouble?.error.trouble === 'fenced' ? null : trouble;
  }

  private get isUsable(): boolean { return this.term !== null && this.trouble === null && (this.phase === 'running' || this.phase === 'loading' || this.phase === 'stopping'); }

  /** The state has changed, or may have: the data plane and people are told of what is new. */
  private settle(): void {
    const nowMs = this.now();
    const { isUsable, trouble } = this;
    const { instance } = this.options.plan.share;
    const canAsk = this.term !== null && this.phase !== 'registering' && (trouble === null || READABLE.has(trouble.error.trouble));
    if (canAsk !== this.toldCanAsk || this.toldLoaded !== this.hasLoaded) {
      this.toldCanAsk = canAsk;
      this.toldLoaded = this.hasLoaded;
      this.feed.store(canAsk, this.hasLoaded);
      this.feed.flush();
      if (canAsk) this.fetches.open();
      else this.fetches.close();
    }
    if (isUsable !== this.wasUsable) {
      this.wasUsable = isUsable;
      this.usableChangedAtMs = nowMs;
    }
    if (isUsable && !this.isToldUp) {
      const forMs = nowMs - this.toldDownAtMs;
      this.isToldUp = this.hasBeenUsable = true;
      this.toldTrouble = null;
      this.tellEvent({ event: 'share.up', subject: instance, message: `the store can be used, after ${seconds(forMs)}`, fields: { forMs, generation: this.generation, severity: 'info' } });
    }
    if (isUsable || trouble === null) return;
    if (this.isToldUp) {
      this.isToldUp = false;
      this.toldDownAtMs = nowMs;
    }
    if (trouble.error.trouble !== this.toldTrouble) {
      this.toldTrouble = trouble.error.trouble;
      this.tellEvent({
        event: 'share.degraded', subject: instance, message: `the store cannot be used (${trouble.error.trouble}): ${trouble.error.message}; forwarding goes on from what is known here`,
        fields: { trouble: trouble.error.trouble, reason: trouble.error.message, severity: 'warning' },
      });
    }
  }

  // What is due

  /** Elections may be won from now on: all is loaded and the data plane has it, or it is not to be had. */
  private checkReady(nowMs: number): void {
    if (this.isReady) return;
    const { plan, tell } = this.options;
    const isLoaded = this.hasLoaded && this.feed.isEmpty;
    const isLate = nowMs - this.startedAtMs >= START_MS && this.term === null;
    if (isLate) this.fail(this.trouble?.error ?? new StoreError('unreachable', `the store has not answered within ${seconds(START_MS)}`));
    if (!isLoaded && !(isLate && !plan.share.require)) return;
    this.isReady = true;
    tell({ type: 'ready', isLoaded });
  }

  private checkDropped(nowMs: number): void {
    const { counts } = this;
    const all = counts.dropped + counts.lost;
    if (all === this.droppedTold || nowMs - this.droppedToldAtMs < TELL_MS) return;
    const dropped = all - this.droppedTold;
    this.droppedToldAtMs = nowMs;
    this.droppedTold = all;
    const { plan } = this.options;
    this.tellEvent({
      event: 'share.dropped', subject: plan.share.instance,
      message: `${changes(dropped)} could not wait any longer to be written to the store (limits.sharedChanges is ${plan.limits.sharedChanges}); their flows are written again later`,
      fields: { dropped, limit: plan.limits.sharedChanges, severity: 'warning' },
    });
  }

  /** There may be records of ours without a flow, and there is time to look for them. */
  private checkBurial(nowMs: number): void {
    const { term, replicator } = this;
    if (!replicator.mayHaveDead || this.isBurying || term === null || this.phase !== 'running' || !this.isUsable || nowMs < this.buryAtMs) return;
    if (this.walk.isHurrying || replicator.queue.length > CALM) return;
    this.isBurying = true;
    this.buryAtMs = nowMs + BURIAL_MS;
    replicator.mayHaveDead = false;
    this.load.run({ isFirst: false, onlyBurial: true, keepsReplicas: true }, term.abort.signal)
      .catch(() => { replicator.mayHaveDead = true; })
      .finally(() => { this.isBurying = false; });
  }

  private checkFlushes(nowMs: number): void {
    if (this.flushes.length === 0) return;
    const { queue } = this.replicator;
    this.flushes = this.flushes.filter((flush) => {
      // What the data plane had told by then has to be in the queue first.
      if (flush.place === null && this.journal.waiting === 0) flush.place = queue.end;
      const isWritten = flush.place !== null && queue.hasLeft(flush.place);
      if (!isWritten && nowMs < flush.endMs) return true;
      flush.done(isWritten);
      return false;
    });
  }

  /** Write what waits; null when that has been done, else why not. */
  private async flush(withinMs: number): Promise<string | null> {
    for (let goes = DRAIN_GOES; goes > 0 && this.replicator.drain(); goes--);
    if (this.term === null) {
      const why = this.trouble === null ? 'it has not been reached yet' : this.trouble.error.message;
      return this.replicator.queue.length === 0 ? null : `the store cannot be used, and ${changes(this.replicator.queue.length)} could not be written: ${why}`;
    }
    this.replicator.pump();
    const isWritten = await new Promise<boolean>((done) => { this.flushes.push({ place: null, endMs: this.now() + withinMs, done }); });
    if (isWritten) return null;
    const { trouble, replicator } = this;
    return `${changes(replicator.queue.length)} could not be written within ${withinMs} ms${trouble === null ? '' : `: ${trouble.error.message}`}`;
  }

  private onJournal(kind: number, at: number): void {
    const { words } = this.journal;
    if (kind === JOURNAL_FETCH) this.fetches.ask(words[at + FETCH_TOKEN], words, at + FETCH_TUPLE);
    else if (kind === JOURNAL_PORTS) this.leasing?.onPorts(words[at + PORTS_ADDRESS], words[at + PORTS_USED], words[at + PORTS_FREE]);
    else if (kind === JOURNAL_YIELDED) {
      this.walk.resume();
      this.onYielded();
    }
  }

  private onProgress(records: number, total: number): void {
    if (this.isBurying && this.phase === 'running') return;
    this.loadStatus = { isDone: false, records, total: Math.max(records, total), tookMs: this.now() - this.loadStartedAtMs };
  }

  // Time

  private now(): number { return this.options.clock.nowMs(); }

  private delayMs(attempts: number): number {
    const mostMs = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(16, attempts - 1));
    return mostMs / 2 + (mostMs / 2) * (this.options.random.below(1024) / 1024);
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => { this.onChange = resolve; });
  }

  /** Wait until the next try, or until something changes. */
  private async pause(failures: number): Promise<void> {
    const { timers } = this.options;
    const delayMs = this.delayMs(failures);
    if (this.away !== null) this.away.nextTryAtMs = this.now() + delayMs;
    const changed = this.changed();
    const timer = timers.set(() => this.onChange(), delayMs);
    await changed;
    timers.clear(timer);
  }

  private breathe(): Promise<void> {
    return new Promise((resolve) => { this.options.timers.set(resolve, 0); });
  }

  private tellEvent(event: ShareEvent): void { this.options.tell({ type: 'event', event }); }

  status(): ShareStatus {
    const { replicator, feed, counts, trouble, options } = this;
    const nowMs = this.now();
    const { share } = options.plan;
    counts.inboxWaits = feed.waits;
    return {
      instance: share.instance, phase: this.phase, isUsable: this.isUsable, forMs: nowMs - this.usableChangedAtMs, generation: this.generation,
      trouble: trouble === null ? null : {
        kind: trouble.error.trouble, message: trouble.error.message, forMs: nowMs - this.usableChangedAtMs, attempts: trouble.attempts,
        nextTryMs: trouble.nextTryAtMs === null ? null : Math.max(0, trouble.nextTryAtMs - nowMs),
      },
      load: this.loadStatus,
      lagMs: replicator.lagMs(nowMs), lagMaxMs: Math.max(replicator.lagMs(nowMs), this.lag.most), writeMs: this.write.last, writeMaxMs: this.write.most, followMs: this.followMs,
      queue: replicator.queue.length, queueLimit: replicator.queue.limit, inFlight: replicator.inFlight,
      journalWords: this.journal.waiting, journalLimit: options.journal.byteLength / 4, inboxWords: feed.words, inboxLimit: feed.limit,
      fetching: this.fetches.underWay, counts: { ...counts },
      peers: this.peers.map((peer) => ({ ...peer, ageMs: peer.ageMs + nowMs - this.peersAtMs })), leases: this.leasing?.status(nowMs) ?? [], isDrained: this.isDrained, warnings: this.warnings.map(({ detail, advice }) => `${detail}: ${advice}`),
    };
  }
}

function changes(count: number): string { return count === 1 ? '1 change' : `${count} changes`; }

function seconds(ms: number): string { return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`; }
