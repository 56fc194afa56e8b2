/**
 * The store in Redis: one server, the master that sentinels name, or the node of a cluster that serves our slot (all keys have one hash tag, so there is
 * one such node). What is one step is a Lua script (scripts.ts); how a connection is made and judged, redis-connection.ts.
 *
 *            ┌──────────── backoff with jitter ◀───────────┐
 *   open ──▶ connect ──▶ usable: what is asked is sent at once, ──▶ lost: everything unanswered rejects, the generation is over
 *                        in one connection, in order              what is asked meanwhile rejects at once with why
 *   follow ──▶ a connection of its own, to the same server; it waits there for the log to grow
 *
 * Nothing is queued here beyond what is on its way (IN_FLIGHT_BYTES). Memory at the server: records for their life, and the log, cut off every
 * logBytes / LOG_MARKS bytes, so at most logBytes, one such part and one batch more.
 */
import { systemClock } from '../base/clock.js';
import type { Clock } from '../base/clock.js';
import type { RedisPlan } from '../base/plan.js';
import { Random } from '../base/random.js';
import { systemTimers } from '../base/timers.js';
import type { Timers } from '../base/timers.js';
import { formatEndpoint, parseNode, parseUrl, RedisConnection } from './redis-connection.js';
import type { ConnectionContext, Endpoint, Reply } from './redis-connection.js';
import { anyone, GapError, SETTLE_MS, StoreError } from './store.js';
import type { Lease, LogEntry, Peer, Position, Registration, Self, Store, StoreState } from './store.js';

export const LOG_BYTES = 64 * 1024 * 1024;
const LOG_MARKS = 16;
/** Bytes of batches that wait for their replies; more are refused as `slow`. */
export const IN_FLIGHT_BYTES = 16 * 1024 * 1024;
/** The first wait before another attempt, and the longest: within SETTLE_MS everyone has tried. Half of each wait is chance. */
const BACKOFF_MS = 100;
const BACKOFF_LIMIT_MS = 2000;
/** A connection that has held for so long was a good one: the waits begin anew. */
const STABLE_MS = 5000;
/** How long `follow` waits at the server before it asks again. */
const BLOCK_MS = 1000;
const PAGE_ENTRIES = 64;
/** Keys the server looks at in one step of a load. */
const SCAN_COUNT = 1000;
/** A peer not heard of for so many times the time it is taken for alive is forgotten. */
const FORGET_FACTOR = 100;
const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6379;

export interface RedisStoreOptions {
  clock?: Clock;
  timers?: Timers;
  random?: Random;
  logBytes?: number;
  settleMs?: number;
  self?: Self;
}

/** By this its connections are known at the server, among all others. */
const clientName = (incarnation: string): string => `weir-${incarnation}`;
/** Another process of our name may register in our place while it is looked whether the last one is still connected. */
const REGISTER_GOES = 3;

/** `fenced`: generation and name of whom this entry has fenced, '' = nobody. */
interface Entry extends LogEntry { fenced: string }

/** The prefix with a hash tag in it. */
export function taggedPrefix(prefix: string): string {
  return /\{[^}]+\}/.test(prefix) ? prefix : `{${prefix.replaceAll(/[{}]/g, '_')}}`;
}

export class RedisStore implements Store {
  onState: (state: StoreState) => void = () => {};
  private readonly plan: RedisPlan;
  private readonly context: ConnectionContext;
  private readonly clock: Clock;
  private readonly timers: Timers;
  private readonly random: Random;
  private readonly settleMs: number;
  private readonly markBytes: string;
  /** Whom we mean, in words. */
  private readonly who: string;
  private readonly self: Self;
  private connection: RedisConnection | null = null;
  /** Why there is none. */
  private error = new StoreError('closed', 'the store has not been opened');
  private isClosed = false;
  private attempts = 0;
  private timer: unknown = null;
  private usableSinceMs = 0;
  private server: string | null = null;
  /** Until then the server may not remember every lease it has given, or another one did. */
  private settledAtMs = 0;
  private instance = '';
  /** '' = none since the connection was made. */
  private generation = '';
  private inFlightBytes = 0;
  /** The time of leases at the server, as told last, and when that was asked for; 0 = never. */
  private toldMs = 0;
  private askedAtMs = 0;

  constructor(plan: RedisPlan, { clock = systemClock, timers = systemTimers, random, logBytes = LOG_BYTES, settleMs = SETTLE_MS, self = anyone() }: RedisStoreOptions = {}) {
    this.plan = plan;
    this.clock = clock;
    this.timers = timers;
    // Instances that lost the server at the same moment must not come back at the same one.
    this.random = random ?? new Random((process.pid * 2_654_435_761) ^ (performance.timeOrigin & 0x7fffffff));
    this.self = self;
    this.context = { plan, prefix: taggedPrefix(plan.prefix), name: clientName(self.incarnation), clock, timers };
    this.settleMs = settleMs;
    this.markBytes = String(Math.max(1, Math.floor(logBytes / LOG_MARKS)));
    this.who = plan.sentinels.length > 0 ? `Redis master ${plan.sentinelName ?? ''}` : plan.cluster.length > 0 ? 'Redis cluster' : `Redis at ${formatEndpoint(parseUrl(plan.url).endpoint)}`;
  }

  async open(): Promise<void> {
    await this.attempt();
    if (this.connection === null) throw this.error;
  }

  async register(instance: string, before: number | null): Promise<Registration> {
    const connection = this.reach();
    const { incarnation, aliveMs } = this.self;
    let gone = '';
    let from: string | null = null;
    for (let goes = REGISTER_GOES; goes > 0 && from === null; goes--) {
      const [generation, was] = await connection.run('register', instance, before ?? '', this.expected(), incarnation, aliveMs, gone) as [Buffer | number, Buffer];
      if (connection !== this.connection) throw this.error;
      if (generation !== 0) {
        this.instance = instance;
        this.generation = String(generation);
        return { generation: Number(this.generation), before: String(was) as Registration['before'] };
      }
      gone = String(was);
      from = await connection.addressOf(clientName(gone));
    }
    throw new StoreError('namesake', `another instance that is alive has the name ${instance} too: it is connected to ${connection.who} from ${from ?? 'elsewhere'}; give each instance a share.instance of its own`);
  }

  async fence(instance: string): Promise<void> {
    await this.reach().run('fence', ...this.ours(), instance);
  }

  async claim(role: string): Promise<string | null> {
    const before = await this.reach().run('claim', ...this.ours(), role);
    return before === null ? null : String(before);
  }

  async write(batch: Uint8Array): Promise<void> {
    const connection = this.reach();
    const ours = this.ours();
    if (this.inFlightBytes + batch.length > IN_FLIGHT_BYTES) throw new StoreError('slow', `${connection.who} has not answered to ${this.inFlightBytes} bytes yet`);
    this.inFlightBytes += batch.length;
    try {
      await connection.run('write', ...ours, batch, this.markBytes, LOG_MARKS);
    } finally {
      this.inFlightBytes -= batch.length;
    }
  }

  async fetch(key: Uint8Array): Promise<Uint8Array | null> {
    return await this.reach().run('fetch', key) as Buffer | null;
  }

  async load(onPage: (page: { key: Uint8Array; value: Uint8Array }[], total: number) => void | Promise<void>, signal: AbortSignal): Promise<Position> {
    const connection = this.reach();
    const newest = await connection.call('XREVRANGE', this.key('m:log'), '+', '-', 'COUNT', 1) as [[Buffer, Reply]] | [];
    const keys = await connection.call('DBSIZE') as number;
    const start = this.key('k');
    const pattern = `${start.replaceAll(/[\\*?[\]]/g, '\\$&')}*`;
    const skip = Buffer.byteLength(start);
    let scanned = 0;
    let records = 0;
    let next: Promise<Reply> | null = connection.call('SCAN', '0', 'MATCH', pattern, 'COUNT', SCAN_COUNT);
    while (next !== null) {
      const [cursor, found] = await next as [Buffer, Buffer[]];
      called(signal);
      scanned += SCAN_COUNT;
      // The page's values and the next page's keys are asked for together.
      const values: Promise<Reply> | null = found.length > 0 ? connection.call('MGET', ...found) : null;
      next = String(cursor) === '0' ? null : connection.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
      // It is waited for in the next round; should this one fail, its end is nobody's.
      next?.catch(() => {});
      if (values === null) continue;
      const page: { key: Uint8Array; value: Uint8Array }[] = [];
      for (const [i, value] of (await values as (Buffer | null)[]).entries()) {
        if (value !== null) page.push({ key: found[i].subarray(skip), value });
      }
      called(signal);
      records += page.length;
      await onPage(page, next === null ? records : estimateTotal(records, keys, scanned));
    }
    called(signal);
    return newest.length === 0 ? '0-0' : String(newest[0][0]);
  }

  async follow(from: Position, onEntries: (entries: LogEntry[], reached: Position) => void | Promise<void>, signal: AbortSignal): Promise<void> {
    const main = this.reach();
    const { server } = this;
    if (signal.aborted) return;
    const connection = await this.connect(BLOCK_MS);
    const leave = (): void => { connection.close(); };
    signal.addEventListener('abort', leave);
    try {
      if (signal.aborted) return;
      if ((await connection.facts()).server !== server) throw new StoreError('failing-over', `${this.who}: another server answers than a moment ago`);
      const log = this.key('m:log');
      // The entry itself must be there still: it is what shows that none after it has been cut off, or lost with a server that had not been copied from.
      if (from !== '0-0' && (await connection.call('XRANGE', log, from, from) as Reply[]).length === 0) {
        throw new GapError(`the log of ${connection.who} does not hold ${from} any more, from where it was to be followed`);
      }
      let at = from;
      while (!signal.aborted && main.error === null) {
        // The time is told when the entries are: it is asked for behind them.
        const reading = connection.call('XREAD', 'COUNT', PAGE_ENTRIES, 'BLOCK', BLOCK_MS, 'STREAMS', log, at);
        const [found, time] = await Promise.all([reading, connection.call('TIME')]) as [[[Buffer, [Buffer, Buffer[]][]]] | null, [Buffer, Buffer]];
        if (found === null) continue;
        const nowMs = Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1000);
        const entries: LogEntry[] = [];
        for (const [id, fields] of found[0][1]) {
          at = String(id);
          const entry = this.entry(at, fields, nowMs);
          if (this.isFencedBy(entry)) throw new StoreError('fenced', `${entry.instance} has taken over from ${this.instance}`);
          if (entry.instance !== this.instance && entry.batch.length > 0) entries.push(entry);
        }
        await onEntries(entries, at);
      }
      if (!signal.aborted && main.error !== null) throw main.error;
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', leave);
      connection.close();
    }
  }

  async beat(about: string, aliveMs: number): Promise<Peer[]> {
    const found = await this.timed('beat', about, aliveMs, aliveMs * FORGET_FACTOR);
    const peers: Peer[] = [];
    for (let i = 0; i < found.length; i += 4) peers.push({ instance: found[i], generation: Number(found[i + 1]), ageMs: Number(found[i + 2]), about: found[i + 3] });
    return peers;
  }

  async lease(address: string, wanted: readonly number[], count: number, leaseMs: number): Promise<number[]> {
    const connection = this.reach();
    const leftMs = this.settledAtMs - this.clock.nowMs();
    if (leftMs > 0) throw new StoreError('settling', `${connection.who} has begun a moment ago and may have forgotten leases: none are given for ${Math.ceil(leftMs)} ms`);
    return wanted.length === 0 || count < 1 ? [] : (await this.timed('lease', address, count, leaseMs, ...new Set(wanted))).map(Number);
  }

  async renew(address: string, blocks: readonly number[], leaseMs: number): Promise<number[]> {
    return (await this.timed('renew', address, leaseMs, ...blocks)).map(Number);
  }

  async release(address: string, blocks: readonly number[]): Promise<void> {
    await this.reach().run('release', ...this.ours(), this.expected(), address, ...blocks);
  }

  async leases(): Promise<Lease[]> {
    const found = (await this.reach().run('leases', '', '', 0) as Buffer[]).map(String);
    const all: Lease[] = [];
    for (let i = 0; i < found.length; i += 4) {
      const [address, block] = found[i].split(' ');
      all.push({ address, block: Number(block), generation: Number(found[i + 1]), leftMs: Number(found[i + 2]), instance: found[i + 3] });
    }
    return all;
  }

  async resign(): Promise<void> {
    await this.reach().run('resign', ...this.ours(), this.expected());
    this.generation = '';
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.error = new StoreError('closed', 'the store has been closed');
    this.timers.clear(this.timer);
    this.connection?.close();
    this.connection = null;
    return Promise.resolve();
  }

  private key(name: string): string { return this.context.prefix + name; }

  private reach(): RedisConnection {
    if (this.connection === null) throw this.error;
    return this.connection;
  }

  /** Who we are to a script; the server judges whether we may. */
  private ours(): [string, string] {
    if (this.generation === '') throw new StoreError('fenced', 'this instance has no generation: it has not registered since it was connected');
    return [this.instance, this.generation];
  }

  /** A script that tells the server which time to expect, and is told the time first. */
  private async timed(name: 'beat' | 'lease' | 'renew', ...rest: (string | number)[]): Promise<string[]> {
    const askedAtMs = this.clock.nowMs();
    const [now, ...found] = (await this.reach().run(name, ...this.ours(), this.expected(), ...rest) as Buffer[]).map(String);
    this.toldMs = Number(now);
    this.askedAtMs = askedAtMs;
    return found;
  }

  /** The time at the server is at least this, if its clock has not jumped; 0 = no idea. */
  private expected(): number {
    return this.toldMs === 0 ? 0 : Math.round(this.toldMs + this.clock.nowMs() - this.askedAtMs);
  }

  /** True when an entry of the log tells that our generation is over: somebody has fenced it, or there is a newer one of our name. */
  private isFencedBy({ instance, generation, fenced }: Entry): boolean {
    return this.generation !== '' && (fenced === `${this.generation} ${this.instance}` || (instance === this.instance && generation > Number(this.generation)));
  }

  private entry(position: Position, fields: Buffer[], nowMs: number): Entry {
    const entry: Entry = { position, instance: '', generation: 0, ageMs: Math.max(0, nowMs - Number(position.slice(0, position.indexOf('-')))), batch: Buffer.alloc(0), fenced: '' };
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const value = fields[i + 1];
      switch (String(fields[i])) {
        case 'i': entry.instance = String(value); break;
        case 'g': entry.generation = Number(value); break;
        case 'b': entry.batch = value; break;
        case 'f': entry.fenced = String(value); break;
        default: break;
      }
    }
    return entry;
  }

  /** Connect once; what comes of it is told. */
  private async attempt(): Promise<void> {
    this.timer = null;
    this.attempts++;
    try {
      const connection = await this.connect(0);
      try {
        const facts = await connection.facts();
        if (facts.isReplica) throw new StoreError(this.plan.sentinels.length > 0 || this.plan.cluster.length > 0 ? 'failing-over' : 'read-only', `${connection.who} is a replica and takes no writes`);
        await connection.loadScripts();
        await connection.run('probe');
        if (this.isClosed) throw this.error;
        const nowMs = this.clock.nowMs();
        const isOther = this.server !== null && this.server !== facts.server;
        this.settledAtMs = Math.max(this.settledAtMs, nowMs + this.settleMs - (isOther ? 0 : facts.uptimeMs));
        if (isOther) this.toldMs = 0;
        this.server = facts.server;
        this.usableSinceMs = nowMs;
        this.connection = connection;
        connection.onLost = (error) => { this.lost(error); };
        this.onState({ isUsable: true, error: null, server: facts.server, warnings: facts.warnings });
      } catch (error) {
        connection.close();
        throw error;
      }
    } catch (error) {
      this.again(error instanceof StoreError ? error : new StoreError('other', `${this.who}: ${error instanceof Error ? error.message : String(error)}`));
    }
  }

  private lost(error: StoreError): void {
    this.connection = null;
    this.generation = '';
    if (this.clock.nowMs() - this.usableSinceMs >= STABLE_MS) this.attempts = 0;
    this.again(error);
  }

  /** Tell what is wrong, and try again later. */
  private again(error: StoreError): void {
    if (this.isClosed) return;
    this.error = error;
    const limitMs = Math.min(BACKOFF_LIMIT_MS, BACKOFF_MS * 2 ** Math.min(this.attempts, 16));
    const delayMs = limitMs / 2 + (this.random.below(1000) / 1000) * (limitMs / 2);
    this.timer = this.timers.set(() => { void this.attempt(); }, delayMs);
    this.onState({ isUsable: false, error, server: null, warnings: [] });
  }

  /** Find the server and log in there. */
  private async connect(blockMs: number): Promise<RedisConnection> {
    const { plan } = this;
    if (plan.sentinels.length > 0) {
      const sentinels = plan.sentinels.map((node) => parseNode(node, SENTINEL_PORT));
      return await RedisConnection.connect({
        sentinels, name: plan.sentinelName ?? '', role: 'master', sentinelRetryStrategy: () => null, sentinelCommandTimeout: plan.timeoutMs, updateSentinels: true,
        failoverDetector: blockMs === 0, sentinelReconnectStrategy: (times) => Math.min(BACKOFF_LIMIT_MS, BACKOFF_MS * times),
        ...(plan.sentinelPassword === undefined ? {} : { sentinelPassword: plan.sentinelPassword }),
      }, this.who, this.context, blockMs);
    }
    const endpoint = plan.cluster.length > 0 ? await this.locate() : parseUrl(plan.url).endpoint;
    return await this.connectTo(endpoint, plan.cluster.length > 0 ? `Redis cluster's node ${formatEndpoint(endpoint)}` : this.who, blockMs);
  }

  private connectTo({ host, port, path }: Endpoint, who: string, blockMs: number): Promise<RedisConnection> {
    return RedisConnection.connect(path === undefined ? { host, port } : { path }, who, this.context, blockMs);
  }

  /** The node of the cluster that serves the slot of our keys, as the first node knows that answers. */
  private async locate(): Promise<Endpoint> {
    let error = new StoreError('unreachable', `${this.who}: no node is configured`);
    for (const text of this.plan.cluster) {
      const asked = parseNode(text, REDIS_PORT);
      try {
        const connection = await this.connectTo(asked, `Redis cluster's node ${text}`, 0);
        try {
          const [slot, ranges] = await Promise.all([connection.call('CLUSTER', 'KEYSLOT', this.context.prefix), connection.call('CLUSTER', 'SLOTS')]) as [number, [number, number, [Buffer | null, number]][]];
          const range = ranges.find(([first, last]) => first <= slot && slot <= last);
          if (range === undefined) throw new StoreError('failing-over', `${connection.who} knows no node that serves our slot ${slot}`);
          const [host, port] = range[2];
          // A node that does not know its own address, or may not tell it, means the one it was asked at.
          return { host: host === null || host.length === 0 || String(host) === '?' ? asked.host : String(host), port };
        } finally {
          connection.close();
        }
      } catch (caught) {
        if (!(caught instanceof StoreError)) throw caught;
        // What a node that answers has to say says more than that another cannot be reached.
        if (error.trouble === 'unreachable') error = caught;
      }
    }
    throw error;
  }
}

/** How many records there are in all, as far as can be told from those among the keys looked at: `scanned` of `keys`, which may have been none at the beginning. */
export function estimateTotal(records: number, keys: number, scanned: number): number {
  return Math.max(records, Math.round((records * keys) / Math.max(1, Math.min(keys, scanned))));
}

/** A load has been called off. */
function called(signal: AbortSignal): void {
  if (signal.aborted) throw new StoreError('closed', 'the load was called off');
}
