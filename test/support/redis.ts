/**
 * Real redis-servers for tests, and everything that can happen to one: frozen, killed, started again empty, filled, made a replica, with users, with TLS, watched by
 * sentinels, in a cluster. Each has a directory and ports or a unix socket of its own; nothing is ever saved, so that one that was killed comes back empty.
 * A server dies with the test's process, however that ends.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisPlan } from '../../src/base/plan.js';

const WAIT_MS = 20_000;
const POLL_MS = 10;
/** Ports tried for a server whose port somebody else has taken in between. */
const PORT_ATTEMPTS = 8;

/** Waits for a condition; what it threw last says why it did not come. */
export async function until<T>(condition: () => T | Promise<T>, what: string, withinMs = WAIT_MS): Promise<NonNullable<T>> {
  const endMs = performance.now() + withinMs;
  let last: unknown = null;
  for (;;) {
    try {
      const found = await condition();
      if (found) return found;
      last = null;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs) throw new Error(`waited ${withinMs} ms for ${what}${last instanceof Error ? `: ${last.message}` : ''}`);
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  }
}

const running = new Set<ChildProcess>();
const directories = new Set<string>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** A directory that goes when the process ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'weir-redis-'));
  directories.add(directory);
  return directory;
}

/** A port nobody has just now, below those that the kernel gives to whoever asks for any, and one cluster bus port (10,000 above) beside it. */
async function freePort(): Promise<number> {
  const isFree = (port: number): Promise<boolean> => new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => { resolve(false); });
    server.listen(port, '127.0.0.1', () => { server.close(() => { resolve(true); }); });
  });
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 9_000);
    if (await isFree(port) && await isFree(port + 10_000)) return port;
  }
}

export interface RedisWant {
  /** A port of its own; otherwise a unix socket alone. */
  port?: boolean;
  /** Where it works, with what is there; otherwise a directory of its own. */
  directory?: string;
  /** Arguments beside those every server gets. */
  args?: string[];
  tls?: Certificates;
  sentinel?: { name: string; master: RedisServer };
}

export class RedisServer {
  readonly directory: string;
  readonly socket: string;
  port = 0;
  private readonly want: RedisWant;
  private child: ChildProcess | null = null;
  private output = '';

  private constructor(want: RedisWant) {
    this.want = want;
    this.directory = want.directory ?? temporaryDirectory();
    this.socket = join(this.directory, 'redis.sock');
  }

  static async start(want: RedisWant = {}): Promise<RedisServer> {
    const server = new RedisServer(want);
    for (let attempt = 1; ; attempt++) {
      if (want.port === true || want.tls !== undefined || want.sentinel !== undefined) server.port = await freePort();
      try {
        await server.start();
        return server;
      } catch (error) {
        if (attempt === PORT_ATTEMPTS || !/Address already in use/.test(server.output)) throw error;
      }
    }
  }

  /** Start, or start again: empty, at the same place. */
  async start(): Promise<void> {
    const { want, port, directory } = this;
    const args = ['--port', String(want.tls === undefined ? port : 0), '--bind', '127.0.0.1', '--unixsocket', this.socket, '--dir', directory, '--save', '', '--appendonly', 'no',
      '--repl-diskless-sync-delay', '0', ...(want.tls === undefined ? [] : ['--tls-port', String(port), ...want.tls.args]), ...(want.args ?? [])];
    if (want.sentinel !== undefined) {
      const { name, master } = want.sentinel;
      // A sentinel keeps what it learns in its file, so it gets one anew with each start.
      writeFileSync(join(directory, 'sentinel.conf'), [`port ${port}`, 'bind 127.0.0.1', `unixsocket ${this.socket}`, `dir ${directory}`, `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`,
        `sentinel down-after-milliseconds ${name} 300`, `sentinel failover-timeout ${name} 2000`, ''].join('\n'));
    }
    const command = want.sentinel === undefined ? ['redis-server', ...args] : ['redis-server', join(directory, 'sentinel.conf'), '--sentinel'];
    // setpriv lets the kernel end it when this process ends in a way that runs nothing any more.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    this.output = '';
    running.add(child);
    const keep = (data: Buffer): void => { this.output = (this.output + data.toString()).slice(-65_536); };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('close', () => { running.delete(child); });
    let isOver = false;
    child.once('exit', () => { isOver = true; });
    await until(async () => isOver || (await this.rawAsk('PING')) !== '', 'redis-server to answer');
    if (isOver) throw new Error(`redis-server ended: ${this.output.slice(-1000)}`);
  }

  /** A plan of how to get there. */
  plan(want: Partial<RedisPlan> = {}): RedisPlan {
    return { url: this.port > 0 ? `redis://127.0.0.1:${this.port}/0` : `unix://${this.socket}`, prefix: 'weir:', sentinels: [], cluster: [], timeoutMs: 2000, ...want };
  }

  /** A command, as its administrator by its socket, and what comes, as redis-cli shows it. */
  ask(...command: (string | number)[]): string {
    const { stdout, stderr, status } = spawnSync('redis-cli', ['-s', this.socket, ...command.map(String)], { encoding: 'utf8', timeout: WAIT_MS });
    const text = stdout.trim();
    if (status !== 0 || /^(ERR|WRONG|NO)/.test(text)) throw new Error(`${command.join(' ')}: ${text}${stderr}`);
    return text;
  }

  freeze(): void { this.child?.kill('SIGSTOP'); }
  thaw(): void { this.child?.kill('SIGCONT'); }

  /** As a crash: connections are reset, everything is forgotten. */
  async kill(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.child = null;
    const ended = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise<void>((resolve) => { child.once('exit', () => { resolve(); }); });
    child.kill('SIGKILL');
    await ended;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
    directories.delete(this.directory);
  }

  /** Milliseconds of processor time it has used. */
  cpuMs(): number {
    const values = new Map(this.ask('INFO', 'cpu').split(/\r?\n/).map((line) => line.split(':') as [string, string]));
    return 1000 * (Number(values.get('used_cpu_user')) + Number(values.get('used_cpu_sys')));
  }

  /** One inline command over the socket, whatever is answered; '' = nobody listens. */
  private rawAsk(line: string): Promise<string> {
    return new Promise((resolve) => {
      const socket: Socket = createConnection(this.socket);
      socket.once('error', () => { resolve(''); });
      socket.once('connect', () => { socket.write(`${line}\r\n`); });
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
    });
  }
}

/** A certification authority, a server's certificate for localhost and 127.0.0.1, and a client's, made by openssl; for a minute's use. */
export class Certificates {
  readonly directory = temporaryDirectory();
  readonly ca = join(this.directory, 'ca.crt');
  readonly cert = join(this.directory, 'client.crt');
  readonly key = join(this.directory, 'client.key');
  /** For the server: it asks clients for theirs. */
  readonly args: string[];

  constructor() {
    const file = (name: string): string => join(this.directory, name);
    const openssl = (...args: string[]): void => {
      const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
    };
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=Test authority', '-keyout', file('ca.key'), '-out', this.ca);
    writeFileSync(file('server.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    for (const name of ['server', 'client']) {
      openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`));
      openssl('x509', '-req', '-in', file(`${name}.csr`), '-CA', this.ca, '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2', '-out', file(`${name}.crt`), ...(name === 'server' ? ['-extfile', file('server.ext')] : []));
    }
    this.args = ['--tls-cert-file', file('server.crt'), '--tls-key-file', file('server.key'), '--tls-ca-cert-file', this.ca, '--tls-auth-clients', 'yes'];
  }
}

/** A master, a replica of it that has caught up, and a sentinel that watches them. */
export async function startSentinels(name: string): Promise<{ master: RedisServer; replica: RedisServer; sentinel: RedisServer; stop(): Promise<void> }> {
  const master = await RedisServer.start({ port: true });
  const replica = await RedisServer.start({ port: true, args: ['--replicaof', `127.0.0.1 ${master.port}`] });
  await until(() => /master_link_status:up/.test(replica.ask('INFO', 'replication')), 'the replica to catch up');
  const sentinel = await RedisServer.start({ sentinel: { name, master } });
  await until(() => /slaves=1/.test(sentinel.ask('INFO', 'sentinel')), 'the sentinel to find the replica');
  return { master, replica, sentinel, stop: async () => { await Promise.all([sentinel.stop(), replica.stop(), master.stop()]); } };
}

/** Three masters that share the slots. */
export async function startCluster(): Promise<{ nodes: RedisServer[]; stop(): Promise<void> }> {
  const nodes = await Promise.all([1, 2, 3].map(() => RedisServer.start({ port: true, args: ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '1000'] })));
  const { status, stdout, stderr } = spawnSync('redis-cli', ['--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes'], { encoding: 'utf8', timeout: WAIT_MS });
  if (status !== 0) throw new Error(`redis-cli --cluster create: ${stdout}${stderr}`);
  await until(() => nodes.every((node) => /cluster_state:ok/.test(node.ask('CLUSTER', 'INFO'))), 'the cluster to be up');
  return { nodes, stop: async () => { await Promise.all(nodes.map((node) => node.stop())); } };
}
