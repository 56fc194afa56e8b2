/**
 * A redis-server on a host of a lab, and everything that can happen to it. The lab itself asks it by a unix socket, which no trouble of the network touches.
 * Nothing is saved: a server that was killed comes back empty.
 */
import { join } from 'node:path';
import { run } from './command.js';
import type { Host } from './lab.js';
import { signal, type Process } from './process.js';
import { waitFor } from './wait.js';

export const REDIS_PORT = 6379;
const START_MS = 20_000;

export class Redis {
  readonly host: Host;
  readonly #socket: string;
  #process: Process | null = null;

  private constructor(host: Host) {
    this.host = host;
    this.#socket = join(host.lab.directory, `${host.name}-redis.sock`);
  }

  /** Returns once it answers. */
  static async start(host: Host): Promise<Redis> {
    const redis = new Redis(host);
    await redis.start();
    return redis;
  }

  async start(): Promise<void> {
    const started = this.#process = this.host.spawn('redis', ['redis-server', '--port', String(REDIS_PORT), '--bind', '0.0.0.0', '--protected-mode', 'no',
      '--unixsocket', this.#socket, '--save', '', '--appendonly', 'no', '--daemonize', 'no', '--dir', this.host.lab.directory]);
    await waitFor(async () => {
      if (started.exit !== null) throw new Error(`redis-server ended: ${started.output()}${started.errors()}`);
      return await this.ask('ping') === 'PONG';
    }, START_MS, 'redis-server to answer');
  }

  /** A command, and what it answers as text. */
  async ask(...command: string[]): Promise<string> {
    const { stdout } = await run(['redis-cli', '-s', this.#socket, ...command], { timeoutMs: 10_000 });
    return stdout.trim();
  }

  /** As a crash: connections are reset, everything is forgotten. */
  async kill(): Promise<void> {
    if (this.#process === null) return;
    signal(this.#process.pid, 'SIGKILL');
    await this.#process.exited;
  }

  /** It takes connections and commands, and answers nothing. */
  freeze(): void { signal(this.#process!.pid, 'SIGSTOP'); }
  thaw(): void { signal(this.#process!.pid, 'SIGCONT'); }

  /** Its memory is full from now on: every write is refused, reading goes on. */
  async fill(): Promise<void> {
    await this.ask('config', 'set', 'maxmemory-policy', 'noeviction');
    await this.ask('config', 'set', 'maxmemory', '1');
  }

  async unfill(): Promise<void> { await this.ask('config', 'set', 'maxmemory', '0'); }
}
