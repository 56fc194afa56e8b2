/**
 * One connection to the Redis server that holds our keys: found (by itself, through sentinels, or as the node of a cluster that serves our slot), made,
 * logged in, looked over, and given up at the first sign of trouble. It never mends itself and queues nothing: redis.ts makes another one.
 *
 *   locate ──▶ connect ──▶ AUTH, SELECT ──▶ INFO: version, role, what is dangerous ──▶ scripts loaded, written to once ──▶ in use ──▶ lost(why)
 *
 * Replies come in the order of the commands, so one watchdog on the oldest command without a reply does for all. Scripts are loaded here and then called
 * by their digest alone: a client library that meets NOSCRIPT and sends the text by itself would do so behind commands that were given later.
 */
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Clock } from '../base/clock.js';
import type { RedisPlan } from '../base/plan.js';
import type { Timers } from '../base/timers.js';
import { answerTrouble, connectionTrouble } from './redis-trouble.js';
import { SCRIPTS } from './scripts.js';
import type { ScriptName } from './scripts.js';
import { StoreError } from './store.js';
import type { StoreTrouble, StoreWarning } from './store.js';

/** XREAD of streams with MINID trimming, and effects of scripts rather than scripts in replication. */
const OLDEST_VERSION: readonly number[] = [6, 2];
/**
 * What an answer may say that ends the connection: another attempt finds another server, or says when it is over. A server that is full, or does not let us do one thing, is
 * still good for everything else.
 */
const FATAL: ReadonlySet<StoreTrouble> = new Set(['unreachable', 'read-only', 'failing-over', 'loading', 'wrong-password']);
/** A timer that comes later than this has had to wait for its thread. */
const HELD_UP_MS = 50;

export type Reply = Buffer | number | null | Reply[];
type Argument = string | number | Uint8Array;

/** Bytes as the client sends them: of an array that is no Buffer it would send its numbers, with commas between them. */
const asSent = (one: Argument): string | number | Buffer => (typeof one === 'object' && !Buffer.isBuffer(one) ? Buffer.from(one.buffer, one.byteOffset, one.byteLength) : one);

/** Where the server listens: a host and port, or the path of a unix socket. */
export interface Endpoint { host: string; port: number; path?: string }

export interface ConnectionContext { plan: RedisPlan; prefix: string; /** What our connections are called at the server. */ name: string; clock: Clock; timers: Timers }

/** redis://HOST:PORT/DATABASE, rediss://… or unix:///PATH, as a plan has it: without credentials. */
export function parseUrl(url: string): { endpoint: Endpoint; database: number } {
  const found = /^(?:rediss?:\/\/([^/@]+)(?:\/(\d*))?|unix:\/\/(\/.+))$/.exec(url);
  if (found === null) throw new StoreError('other', 'share.redis.url: found something else, allowed: redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE, unix:///PATH');
  const [, node, database, path] = found;
  return { endpoint: path === undefined ? parseNode(node, 6379) : { host: path, port: 0, path }, database: Number(database ?? 0) };
}

/** HOST:PORT, or [IPv6]:PORT. */
export function parseNode(text: string, port: number): Endpoint {
  const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  if (found === null) return { host: text, port };
  return { host: found[1] ?? found[2], port: found[3] === undefined ? port : Number(found[3]) };
}

export function formatEndpoint({ host, port, path }: Endpoint): string {
  return path ?? (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
}

/** What a server says of itself. */
export interface ServerFacts {
  /** Unlike every other's, and another one after every start. */
  server: string;
  version: string;
  isReplica: boolean;
  uptimeMs: number;
  warnings: StoreWarning[];
}

export class RedisConnection {
  /** The server in words, for messages. */
  readonly who: string;
  /** Told once, when a connection that was in use is not any more. */
  onLost: (error: StoreError) => void = () => {};
  /** Why it is not in use any more; null = it is. */
  error: StoreError | null = null;
  private readonly client: Redis;
  private readonly context: ConnectionContext;
  private readonly limitMs: number;
  /** When each command without a reply was given, the oldest first, from `oldest` on. */
  private sentMs: number[] = [];
  private oldest = 0;
  private watchdog: unknown = null;

  private constructor(client: Redis, who: string, context: ConnectionContext, limitMs: number) {
    this.client = client;
    this.who = who;
    this.context = context;
    this.limitMs = limitMs;
  }

  /** Connect and log in. `blockMs`: the longest a command of ours waits at the server by our own wish. */
  static async connect(options: RedisOptions, who: string, context: ConnectionContext, blockMs: number): Promise<RedisConnection> {
    const { plan } = context;
    const settings: RedisOptions & { replyMapping: 'legacy' } = {
      ...options, replyMapping: 'legacy',
      ...(plan.tls === undefined ? {} : options.sentinels === undefined ? { tls: tlsOptions(plan.tls, options.host) } : { tls: tlsOptions(plan.tls, undefined), sentinelTLS: tlsOptions(plan.tls, undefined), enableTLSForSentinelMode: true }),
      // Everything that has a will of its own is off: what is lost is lost at once, and told.
      lazyConnect: true, retryStrategy: null, enableOfflineQueue: false, maxRetriesPerRequest: null, autoResendUnfulfilledCommands: false, autoResubscribe: false,
      enableReadyCheck: false, disableClientInfo: true, protocol: 2, connectTimeout: plan.timeoutMs, noDelay: true, keepAlive: 5000,
    };
    const client = new Redis(settings);
    const connection = new RedisConnection(client, who, context, plan.timeoutMs + blockMs);
    let last: unknown = null;
    /** What the sentinels have answered, when it was not a master. */
    let refused: string | null = null;
    client.on('error', (error) => { last = error; });
    client.on('sentinelError', (error: Error) => { refused = error.message; });
    client.on('end', () => { connection.lose(connectionTrouble(last ?? new Error('Connection is closed.'), who)); });
    try {
      await client.connect();
    } catch (error) {
      const found = options.sentinels === undefined ? connectionTrouble(last ?? error, who) : sentinelTrouble(last ?? error, refused, who);
      connection.lose(found);
      throw found;
    }
    try {
      if (plan.password !== undefined) await connection.logIn(plan.username, plan.password);
      await connection.call('CLIENT', 'SETNAME', context.name);
      const database = plan.url === '' ? 0 : parseUrl(plan.url).database;
      if (database !== 0) await connection.call('SELECT', database);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /** A command. Replies are bytes. */
  call(command: string, ...args: Argument[]): Promise<Reply> {
    return this.send(command, args, undefined);
  }

  /** A script, by its digest. */
  run(name: ScriptName, ...args: Argument[]): Promise<Reply> {
    const { sha, lua } = SCRIPTS[name];
    return this.send('EVALSHA', [sha, 1, this.context.prefix, ...args], lua);
  }

  /** Load what `run` runs. */
  async loadScripts(): Promise<void> {
    await Promise.all(Object.values(SCRIPTS).map(({ lua }) => this.call('SCRIPT', 'LOAD', lua)));
  }

  /** Where a connection of this name comes from; null = the server has none. */
  async addressOf(name: string): Promise<string | null> {
    const line = String(await this.call('CLIENT', 'LIST')).split('\n').find((one) => one.includes(` name=${name} `));
    return line === undefined ? null : /(?:^| )addr=(\S+)/.exec(line)?.[1] ?? '';
  }

  async facts(): Promise<ServerFacts> {
    const text = String(await this.call('INFO'));
    const values = new Map(text.split('\r\n').filter((line) => line.includes(':')).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
    const version = values.get('redis_version') ?? '0';
    const [major, minor] = version.split('.').map(Number);
    if (major < OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor < OLDEST_VERSION[1])) {
      throw new StoreError('wrong-version', `${this.who} is Redis ${version}; ${OLDEST_VERSION.join('.')} or newer is needed`);
    }
    if (Number(values.get('loading') ?? 0) !== 0) throw new StoreError('loading', `${this.who} is loading its data`);
    const warnings: StoreWarning[] = [];
    const policy = values.get('maxmemory_policy') ?? 'noeviction';
    if (Number(values.get('maxmemory') ?? 0) > 0 && policy !== 'noeviction') {
      warnings.push({
        detail: `${this.who} throws keys away when it is full (maxmemory-policy ${policy}), so flows and leases of ports may get lost`,
        advice: 'CONFIG SET maxmemory-policy noeviction, and in redis.conf',
      });
    }
    return { server: values.get('run_id') ?? this.who, version, isReplica: values.get('role') === 'slave', uptimeMs: Number(values.get('uptime_in_seconds') ?? 0) * 1000, warnings };
  }

  /** Leave it. What waits for a reply gets an error, and is perhaps carried out. */
  close(): void {
    this.lose(new StoreError('closed', `the connection to ${this.who} has been closed`), false);
  }

  /** It cannot be used any more. */
  lose(error: StoreError, isTold = true): void {
    if (this.error !== null) return;
    this.error = error;
    this.context.timers.clear(this.watchdog);
    // Ending politely would wait for a server that may never answer; whoever waits for replies is to hear now.
    this.client.disconnect();
    (this.client.stream as Redis['stream'] | undefined)?.destroy();
    if (isTold) this.onLost(error);
  }

  private async logIn(username: string | undefined, password: string): Promise<void> {
    try {
      await this.call('AUTH', ...(username === undefined ? [password] : [username, password]));
    } catch (error) {
      // Its default user has no password: that we know one is no reason to stay away.
      if (!(error instanceof StoreError && error.trouble === 'other' && /without any password configured/.test(error.message))) throw error;
    }
  }

  private async send(command: string, args: Argument[], lua: string | undefined): Promise<Reply> {
    if (this.error !== null) throw this.error;
    this.sentMs.push(this.context.clock.nowMs());
    if (this.watchdog === null) this.watch();
    try {
      return await this.client.callBuffer(command, args.map(asSent)) as Reply;
    } catch (error) {
      if (this.error !== null) throw this.error;
      throw this.judge(error, command, lua);
    } finally {
      this.oldest++;
      if (this.oldest === this.sentMs.length) {
        this.sentMs = [];
        this.oldest = 0;
      } else if (this.oldest >= 1024) {
        this.sentMs.splice(0, this.oldest);
        this.oldest = 0;
      }
    }
  }

  private judge(error: unknown, command: string, lua: string | undefined): StoreError {
    const isAnswer = error instanceof Error && error.name === 'ReplyError';
    const found = isAnswer ? answerTrouble(error.message, this.who, lua === undefined ? command : 'a script', lua) : connectionTrouble(error, this.who);
    if (FATAL.has(found.trouble) || (isAnswer && error.message.startsWith('NOSCRIPT'))) this.lose(found);
    return found;
  }

  /** Look again when the oldest command would be too late. Should this thread have been held up by then, the server gets another moment: it may not be the slow one. */
  private watch(leastMs = 0): void {
    const { clock, timers } = this.context;
    const dueMs = Math.max(clock.nowMs() + leastMs, this.sentMs[this.oldest] + this.limitMs);
    this.watchdog = timers.set(() => {
      // A reply that is in the socket already is read before this is judged.
      setImmediate(() => {
        this.watchdog = null;
        if (this.error !== null || this.sentMs.length === 0) return;
        const nowMs = clock.nowMs();
        const waitedMs = nowMs - this.sentMs[this.oldest];
        if (waitedMs < this.limitMs) this.watch();
        else if (nowMs - dueMs > HELD_UP_MS) this.watch(HELD_UP_MS);
        else this.lose(new StoreError('slow', `${this.who} has not answered for ${Math.round(waitedMs)} ms; what it was asked may yet be carried out`));
      });
    }, dueMs - clock.nowMs());
  }
}

function tlsOptions(tls: NonNullable<RedisPlan['tls']>, host: string | undefined): NonNullable<RedisOptions['tls']> {
  const read = (path: string | undefined, what: string): Buffer | undefined => {
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new StoreError('other', `share.redis.tls.${what}: ${path} cannot be read: ${(error as Error).message}`);
    }
  };
  const options = { ca: read(tls.ca, 'ca'), cert: read(tls.cert, 'cert'), key: read(tls.key, 'key'), servername: tls.servername ?? (host !== undefined && !/^[\d.]+$|:/.test(host) ? host : undefined) };
  return { ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)), rejectUnauthorized: tls.verify };
}

/** The sentinels cannot be had, or know no master, or the master they know cannot. */
function sentinelTrouble(error: unknown, refused: string | null, who: string): StoreError {
  if (refused !== null && /No such master|invalid reply/.test(refused)) return new StoreError('failing-over', `${who}: the sentinels know no such master`);
  if (refused !== null && /NOAUTH|WRONGPASS|invalid password/.test(refused)) return new StoreError('wrong-password', `${who}: a sentinel refuses our password, or wants one`);
  if (error instanceof Error && /All sentinels are unreachable/.test(error.message)) return new StoreError('unreachable', `${who}: no sentinel can be reached`);
  return new StoreError('failing-over', `${who}: the master that the sentinels name cannot be reached`);
}
