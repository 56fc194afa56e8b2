/**
 * A store in memory: the reference of the contract, and what tests share between instances in one process. What several stores share is their space;
 * each of them stands for one instance's connection to it. Nothing leaves the process: with `share.store: memory` there is one store in a space of its own.
 *
 *   new MemoryStore(space) ──┐
 *                            ├── MemoryStoreSpace: records, aliases, log, generations, peers, leases      (clock and timers injected)
 *   new MemoryStore(space) ──┘
 *
 * A space can be made to fail and to forget, all of it or one store's way to it, as a server can.
 */
import { systemClock } from '../base/clock.js';
import type { Clock } from '../base/clock.js';
import { systemTimers } from '../base/timers.js';
import type { Timers } from '../base/timers.js';
import { ALIAS_SECONDS, BatchReader } from './batch.js';
import { anyone, GapError, SETTLE_MS, StoreError } from './store.js';
import type { Lease, LogEntry, Peer, Position, Registration, Self, Store, StoreState, StoreTrouble } from './store.js';

/** Bytes the log keeps; at least its last entry. */
export const MEMORY_LOG_BYTES = 16 * 1024 * 1024;
/** Records of one page of a load, and log entries told at once. */
const PAGE_RECORDS = 500;
const PAGE_ENTRIES = 64;
/** Every so many batches what has outlived its time is swept out. */
const SWEEP_BATCHES = 1000;
const FENCED = -1;

export interface MemoryStoreOptions {
  clock?: Clock;
  timers?: Timers;
  /** Milliseconds until anything asked of the store is carried out. */
  delayMs?: number;
  logBytes?: number;
}

interface Kept { bytes: Uint8Array; endsAtMs: number }
interface Logged { number: number; atMs: number; instance: string; generation: number; batch: Uint8Array }
interface Held { instance: string; generation: number; endsAtMs: number }

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

export class MemoryStoreSpace {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Milliseconds until anything asked of a store is carried out. */
  delayMs: number;
  readonly stores = new Set<MemoryStore>();
  readonly records = new Map<string, Kept>();
  readonly aliases = new Map<string, Kept>();
  readonly log: Logged[] = [];
  /** Number of the newest entry ever, and of the newest that has been trimmed. */
  logged = 0;
  trimmed = 0;
  generation = 0;
  readonly generations = new Map<string, number>();
  readonly roles = new Map<string, string>();
  readonly registrations = new Map<string, { incarnation: string; atMs: number; asked: number | null; told: Registration }>();
  readonly peers = new Map<string, { generation: number; about: string; atMs: number }>();
  readonly leases = new Map<string, Held>();
  /** Until then no new leases are given. */
  settledAtMs = -Infinity;
  serverNumber = 1;
  private readonly logLimit: number;
  private logBytes = 0;
  private batches = 0;

  constructor({ clock = systemClock, timers = systemTimers, delayMs = 0, logBytes = MEMORY_LOG_BYTES }: MemoryStoreOptions = {}) {
    this.clock = clock;
    this.timers = timers;
    this.delayMs = delayMs;
    this.logLimit = logBytes;
  }

  /** No store of the space can be used until `recover`. */
  fail(trouble: StoreTrouble = 'unreachable', message = 'the store has been made to fail'): void {
    for (const store of this.stores) store.cut(trouble, message);
  }

  recover(): void {
    for (const store of this.stores) store.mend();
  }

  /** As a server that is started anew with nothing: connections are lost, everything is forgotten. To be followed by `recover`. */
  empty(): void {
    this.fail('unreachable', 'the store has been emptied');
    for (const map of [this.records, this.aliases, this.generations, this.roles, this.registrations, this.peers, this.leases]) map.clear();
    this.log.length = 0;
    this.logged = this.trimmed = this.logBytes = this.generation = 0;
    this.settledAtMs = this.clock.nowMs() + SETTLE_MS;
    this.serverNumber++;
  }

  /** Carry out a batch and log it. */
  apply(instance: string, generation: number, batch: Uint8Array): void {
    const nowMs = this.clock.nowMs();
    const bytes = Uint8Array.from(batch);
    const reader = new BatchReader(bytes);
    while (reader.next());
    if (reader.isBroken) throw new StoreError('other', 'the batch cannot be read: an operation passes its end');
    reader.reset(bytes);
    while (reader.next()) {
      const key = textOf(reader.key);
      const alias = reader.alias.length > 0 ? textOf(reader.alias) : null;
      if (reader.isPut) {
        const endsAtMs = nowMs + reader.ttlSeconds * 1000;
        this.records.set(key, { bytes: reader.value, endsAtMs });
        if (alias !== null) this.aliases.set(alias, { bytes: reader.key, endsAtMs: nowMs + Math.max(reader.ttlSeconds, ALIAS_SECONDS) * 1000 });
      } else {
        this.records.delete(key);
        const named = alias === null ? undefined : this.aliases.get(alias);
        if (named !== undefined && textOf(named.bytes) === key) this.aliases.delete(alias as string);
      }
    }
    this.append(instance, generation, bytes);
    if (++this.batches % SWEEP_BATCHES === 0) this.sweep(nowMs);
  }

  append(instance: string, generation: number, batch: Uint8Array): void {
    this.log.push({ number: ++this.logged, atMs: this.clock.nowMs(), instance, generation, batch });
    this.logBytes += batch.length;
    while (this.logBytes > this.logLimit && this.log.length > 1) {
      const oldest = this.log.shift() as Logged;
      this.trimmed = oldest.number;
      this.logBytes -= oldest.batch.length;
    }
    this.wake();
  }

  fence(instance: string): void {
    if (!this.generations.has(instance)) return;
    this.generations.set(instance, FENCED);
    this.wake();
  }

  isConnected(incarnation: string): boolean { return [...this.stores].some((store) => store.isConnectedAs(incarnation)); }

  wake(): void {
    for (const store of this.stores) store.onNews();
  }

  /** A place in the log: no other server has the same ones. */
  position(number: number): Position { return `${this.serverNumber}-${number}`; }

  /** The record under a key or alias. */
  find(key: string): Uint8Array | null {
    const nowMs = this.clock.nowMs();
    const live = (kept: Kept | undefined): Uint8Array | null => (kept !== undefined && kept.endsAtMs > nowMs ? kept.bytes : null);
    const own = live(this.records.get(key));
    if (own !== null) return own;
    const name = live(this.aliases.get(key));
    return name === null ? null : live(this.records.get(textOf(name)));
  }

  private sweep(nowMs: number): void {
    for (const map of [this.records, this.aliases]) {
      for (const [key, kept] of map) if (kept.endsAtMs <= nowMs) map.delete(key);
    }
  }
}

export class MemoryStore implements Store {
  onState: (state: StoreState) => void = () => {};
  private readonly space: MemoryStoreSpace;
  private instance = '';
  /** 0 = not registered since the connection was made. */
  private generation = 0;
  private readonly self: Self;
  private isOpen = false;
  private isClosed = false;
  private error: StoreError | null = null;
  /** Those who wait for the log to grow, or for the connection to end. */
  private readonly waiting = new Set<() => void>();

  constructor(space: MemoryStoreSpace = new MemoryStoreSpace(), self: Self = anyone()) {
    this.space = space;
    this.self = self;
  }

  async open(): Promise<void> {
    this.isOpen = true;
    this.space.stores.add(this);
    await this.pass();
    if (this.error !== null) throw this.error;
    this.tell();
  }

  /** This store's way to its space ends. */
  cut(trouble: StoreTrouble, message: string): void {
    this.generation = 0;
    this.error = new StoreError(trouble, message);
    this.wake();
    this.tell();
  }

  /** And is there again. */
  mend(): void {
    if (this.error === null) return;
    this.error = null;
    this.tell();
  }

  /** The space's log has grown, or somebody has been fenced. */
  onNews(): void { this.wake(); }

  /** This process's, and its way to the space is open. */
  isConnectedAs(incarnation: string): boolean { return this.self.incarnation === incarnation && this.error === null; }

  async register(instance: string, before: number | null): Promise<Registration> {
    const { space } = this;
    await this.reach();
    const { incarnation, aliveMs } = this.self;
    const last = space.registrations.get(instance);
    if (last !== undefined && last.incarnation !== incarnation && space.clock.nowMs() - Math.max(last.atMs, space.peers.get(instance)?.atMs ?? -Infinity) <= aliveMs && space.isConnected(last.incarnation)) {
      throw new StoreError('namesake', `another instance that is alive has the name ${instance} too: it is connected to the same memory; give each instance a share.instance of its own`);
    }
    const found = space.generations.get(instance);
    let was: Registration['before'] = before === null ? 'none' : found === undefined || space.generation < before ? 'unknown' : found === before ? 'kept' : 'fenced';
    // Who asks again has not heard the answer: it gets the same one, unless something has happened since.
    if (last !== undefined && found !== undefined && last.incarnation === incarnation && last.asked === before && last.told.generation === found) was = last.told.before;
    space.generation = Math.max(space.generation, before ?? 0) + 1;
    space.generations.set(instance, space.generation);
    this.instance = instance;
    this.generation = space.generation;
    const told: Registration = { generation: this.generation, before: was };
    space.registrations.set(instance, { incarnation, atMs: space.clock.nowMs(), asked: before, told });
    space.wake();
    return told;
  }

  async fence(instance: string): Promise<void> {
    await this.reachAsOurselves();
    this.space.fence(instance);
  }

  async claim(role: string): Promise<string | null> {
    await this.reachAsOurselves();
    const before = this.space.roles.get(role) ?? null;
    this.space.roles.set(role, this.instance);
    if (before !== null && before !== this.instance) this.space.fence(before);
    return before;
  }

  async write(batch: Uint8Array): Promise<void> {
    await this.reachAsOurselves();
    this.space.apply(this.instance, this.generation, batch);
  }

  async fetch(key: Uint8Array): Promise<Uint8Array | null> {
    await this.reach();
    return this.space.find(textOf(key));
  }

  async load(onPage: (page: { key: Uint8Array; value: Uint8Array }[], total: number) => void | Promise<void>, signal: AbortSignal): Promise<Position> {
    await this.reach();
    const { space } = this;
    const position = space.position(space.logged);
    let page: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const [key, kept] of [...space.records]) {
      if (signal.aborted) throw new StoreError('closed', 'the load was called off');
      if (kept.endsAtMs > space.clock.nowMs()) page.push({ key: Buffer.from(key, 'latin1'), value: kept.bytes });
      if (page.length < PAGE_RECORDS) continue;
      await onPage(page, space.records.size);
      page = [];
      await this.reach();
    }
    if (page.length > 0) await onPage(page, space.records.size);
    if (signal.aborted) throw new StoreError('closed', 'the load was called off');
    return position;
  }

  async follow(from: Position, onEntries: (entries: LogEntry[], reached: Position) => void | Promise<void>, signal: AbortSignal): Promise<void> {
    const { space } = this;
    await this.reach();
    const [server, number] = from.split('-').map(Number);
    let at = number;
    while (!signal.aborted) {
      this.check();
      this.checkFence();
      if (space.serverNumber !== server || at < space.trimmed || at > space.logged) {
        throw new GapError(`the log has entries ${space.position(space.trimmed + 1)} to ${space.position(space.logged)}, and was to be followed from after ${from}`);
      }
      const first = at - space.trimmed;
      const found = space.log.slice(first, first + PAGE_ENTRIES);
      if (found.length === 0) {
        await this.grown(signal);
        continue;
      }
      at = found[found.length - 1].number;
      const nowMs = space.clock.nowMs();
      const entries = found.filter(({ instance }) => instance !== this.instance)
        .map(({ number: entry, atMs, instance, generation, batch }): LogEntry => ({ position: space.position(entry), instance, generation, ageMs: nowMs - atMs, batch }));
      await onEntries(entries, space.position(at));
    }
  }

  async beat(about: string, aliveMs: number): Promise<Peer[]> {
    await this.reachAsOurselves();
    const { peers, clock } = this.space;
    const nowMs = clock.nowMs();
    peers.set(this.instance, { generation: this.generation, about, atMs: nowMs });
    return [...peers].filter(([instance, { atMs }]) => instance !== this.instance && nowMs - atMs <= aliveMs)
      .map(([instance, { generation, about: told, atMs }]) => ({ instance, generation, about: told, ageMs: nowMs - atMs }));
  }

  async lease(address: string, wanted: readonly number[], count: number, leaseMs: number): Promise<number[]> {
    await this.reachAsOurselves();
    const { leases, clock, settledAtMs } = this.space;
    const nowMs = clock.nowMs();
    if (nowMs < settledAtMs) throw new StoreError('settling', `the store has begun a moment ago and may have forgotten leases: none are given for ${settledAtMs - nowMs} ms`);
    const ours: number[] = [];
    const free: number[] = [];
    const ended: { block: number; endsAtMs: number }[] = [];
    for (const block of new Set(wanted)) {
      const held = leases.get(`${address} ${block}`);
      if (held === undefined) free.push(block);
      else if (held.instance === this.instance) {
        if (held.generation !== this.generation) ours.push(block);
        else if (held.endsAtMs <= nowMs) ended.push({ block, endsAtMs: held.endsAtMs });
      } else if (held.endsAtMs <= nowMs) ended.push({ block, endsAtMs: held.endsAtMs });
    }
    ended.sort((a, b) => a.endsAtMs - b.endsAtMs);
    const given = [...ours, ...free, ...ended.map(({ block }) => block)].slice(0, count);
    for (const block of given) this.hold(address, block, nowMs + leaseMs);
    return given;
  }

  async renew(address: string, blocks: readonly number[], leaseMs: number): Promise<number[]> {
    await this.reachAsOurselves();
    const nowMs = this.space.clock.nowMs();
    const kept = blocks.filter((block) => {
      const held = this.space.leases.get(`${address} ${block}`);
      return held === undefined || held.instance === this.instance;
    });
    for (const block of kept) this.hold(address, block, nowMs + leaseMs);
    return kept;
  }

  async release(address: string, blocks: readonly number[]): Promise<void> {
    await this.reachAsOurselves();
    for (const block of blocks) {
      if (this.space.leases.get(`${address} ${block}`)?.instance === this.instance) this.space.leases.delete(`${address} ${block}`);
    }
  }

  async leases(): Promise<Lease[]> {
    await this.reach();
    const nowMs = this.space.clock.nowMs();
    return [...this.space.leases].filter(([, { endsAtMs }]) => endsAtMs > nowMs).map(([name, { instance, generation, endsAtMs }]) => {
      const [address, block] = name.split(' ');
      return { address, block: Number(block), instance, generation, leftMs: endsAtMs - nowMs };
    });
  }

  async resign(): Promise<void> {
    await this.reachAsOurselves();
    const nowMs = this.space.clock.nowMs();
    for (const held of this.space.leases.values()) {
      if (held.instance === this.instance) held.endsAtMs = Math.min(held.endsAtMs, nowMs);
    }
    this.space.peers.delete(this.instance);
    this.space.registrations.delete(this.instance);
    this.space.generations.set(this.instance, FENCED);
    this.generation = 0;
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.space.stores.delete(this);
    this.wake();
    return Promise.resolve();
  }

  private hold(address: string, block: number, endsAtMs: number): void {
    this.space.leases.set(`${address} ${block}`, { instance: this.instance, generation: this.generation, endsAtMs });
  }

  /** On the way to the space. */
  private pass(): Promise<void> {
    const { delayMs, timers } = this.space;
    return delayMs > 0 ? new Promise((resolve) => { timers.set(resolve, delayMs); }) : Promise.resolve();
  }

  /** What is asked is with the space, if it can be. */
  private async reach(): Promise<void> {
    this.check();
    await this.pass();
    this.check();
  }

  private async reachAsOurselves(): Promise<void> {
    const { generation } = this;
    await this.reach();
    if (generation === 0 || generation !== this.generation) throw new StoreError('fenced', 'this instance has no generation: it has not registered since it was connected');
    this.checkFence();
  }

  private checkFence(): void {
    const { generation, instance } = this;
    if (generation !== 0 && this.space.generations.get(instance) !== generation) throw new StoreError('fenced', `generation ${generation} of ${instance} may not write any more: it has been fenced`);
  }

  private check(): void {
    if (this.isClosed) throw new StoreError('closed', 'the store has been closed');
    if (!this.isOpen) throw new StoreError('closed', 'the store has not been opened');
    if (this.error !== null) throw this.error;
  }

  private grown(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.waiting.add(done);
      signal.addEventListener('abort', done);
    });
  }

  private wake(): void {
    for (const done of [...this.waiting]) done();
  }

  private tell(): void {
    if (!this.isOpen || this.isClosed) return;
    this.onState({ isUsable: this.error === null, error: this.error, server: this.error === null ? `memory ${this.space.serverNumber}` : null, warnings: [] });
  }
}
