/**
 * Real web servers and their visitors: nginx that says who it is and whom it sees, curl that counts who answered, requests at a steady rate, and how
 * they were split over the real servers against the weights.
 */
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './lab.js';
import { signal, type Process } from './process.js';
import { program } from './program.js';
import { percent, table } from './text.js';
import { tally } from './traffic.js';
import { waitFor } from './wait.js';
import { chiSquare, type ChiSquare } from '../../src/cli/chi-square.js';
import type { RequestResult } from '../traffic/requests.js';

export type { RequestResult };

const START_MS = 20_000;
/** /file: enough for many segments. /slow: the same, at a rate that takes a few seconds. */
export const FILE_BYTES = 1_000_000;
const SLOW_BYTES_PER_SECOND = 100_000;

/** A request as the server saw it. */
export interface Visit { client: string; clientPort: number; status: number; path: string }

export class WebServer {
  readonly host: Host;
  readonly port: number;
  /** What it calls itself in its answers. */
  readonly name: string;
  readonly #config: string;
  readonly #log: string;
  #nginx: Process | null = null;

  private constructor(host: Host, port: number, name: string) {
    this.host = host;
    this.port = port;
    this.name = name;
    const directory = join(host.lab.directory, `${name}-nginx-${port}`);
    const root = join(directory, 'root');
    mkdirSync(root, { recursive: true, mode: 0o755 });
    const content = Buffer.alloc(FILE_BYTES, `${name} `);
    for (const file of ['file', 'slow']) writeFileSync(join(root, file), content, { mode: 0o644 });
    this.#log = join(directory, 'access.log');
    this.#config = join(directory, 'nginx.conf');
    const own = (name: string): string => `${name}_temp_path ${join(directory, name)};`;
    writeFileSync(this.#config, `daemon off;
pid ${join(directory, 'nginx.pid')};
error_log ${join(directory, 'error.log')};
worker_processes 1;
user root;
events { worker_connections 8192; }
http {
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(own).join('\n  ')}
  log_format visit '$remote_addr $remote_port $status $request_uri';
  access_log ${this.#log} visit;
  server {
    listen ${port} backlog=4096;
    root ${root};
    location / { default_type text/plain; return 200 '${name} $server_addr:$server_port $remote_addr:$remote_port\\n'; }
    location = /file { }
    location = /slow { limit_rate ${SLOW_BYTES_PER_SECOND}; }
  }
}
`);
  }

  /** Returns once it listens. */
  static async start(host: Host, port: number, name = host.name): Promise<WebServer> {
    const server = new WebServer(host, port, name);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const nginx = this.#nginx = this.host.spawn(`nginx-${this.port}`, ['nginx', '-c', this.#config]);
    await waitFor(() => {
      if (nginx.exit !== null) throw new Error(`nginx ended: ${nginx.errors()}${nginx.output()}`);
      return this.host.runNow(['ss', '-Hltn', `sport = :${this.port}`]).stdout.trim() !== '';
    }, START_MS, `nginx to listen on port ${this.port} of ${this.host.name}`);
  }

  /** Killed as a crash kills it, master and workers: its stack answers whoever comes with a reset. */
  async kill(): Promise<void> {
    const { pid, exited } = this.#nginx!;
    const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number).filter((worker) => worker > 0);
    for (const each of [pid, ...workers]) signal(each, 'SIGKILL');
    await exited;
    await waitFor(() => this.host.runNow(['ss', '-Hltn', `sport = :${this.port}`]).stdout.trim() === '', START_MS, 'the killed nginx to be gone');
  }

  /** Requests since it was started, or since forget(). */
  visits(): Visit[] {
    const text = readFileSync(this.#log, 'utf8');
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '').map((line) => {
      const [client, port, status, path] = line.split(' ');
      return { client, clientPort: Number(port), status: Number(status), path };
    });
  }

  forget(): void { truncateSync(this.#log); }
}

/** What nginx answers: its name, its address and port, and ours as it sees them. */
export interface Answer { server: string; at: string; client: string; clientPort: number }

export function readAnswer(line: string): Answer {
  const [server, at, client] = line.trim().split(' ');
  const [address, port] = (client ?? '').split(':');
  return { server, at, client: address, clientPort: Number(port) };
}

/** One fetch after the other with curl, each over a connection of its own; throws when one is not answered. */
export async function fetchMany(host: Host, url: string, count: number): Promise<Answer[]> {
  const { stdout } = await host.run(['curl', '-sS', '--fail', '-m', '60', '--connect-timeout', '5', '-H', 'Connection: close', `${url}?[1-${count}]`], { timeoutMs: 90_000 });
  return stdout.trimEnd().split('\n').map(readAnswer);
}

/** One real server's part of many fetches. */
export interface Part { server: string; address: string; weight: number; wanted: number; count: number; share: number }

/** Who answered how often, against the weights. */
export function split(answers: readonly Pick<Answer, 'server'>[], servers: readonly { server: string; address: string; weight: number }[]): Part[] {
  const counts = tally(answers.map(({ server }) => server));
  const stranger = [...counts.keys()].find((name) => !servers.some(({ server }) => server === name));
  if (stranger !== undefined) throw new Error(`${counts.get(stranger)} of ${answers.length} requests were answered by ${stranger}, who is no real server of these`);
  const total = servers.reduce((sum, { weight }) => sum + weight, 0);
  return servers.map((server) => {
    const count = counts.get(server.server) ?? 0;
    return { ...server, wanted: server.weight / total, count, share: count / answers.length };
  });
}

/** How far the counts are from what the weights ask for, and how likely chance alone strays as far. */
export function splitTest(parts: readonly Part[]): ChiSquare { return chiSquare(parts.map(({ count }) => count), parts.map(({ weight }) => weight)); }

export function splitTable(parts: readonly Part[]): string {
  const rows = parts.map(({ server, address, weight, wanted, share, count }) => [server, address, weight, percent(wanted), percent(share), count]);
  const lines = table([['real server', 'address', 'weight', 'wanted', 'share', 'requests'], ...rows]);
  if (parts.length < 2) return lines;
  const { statistic, degreesOfFreedom, pValue } = splitTest(parts);
  const p = pValue < 0.0001 ? '< 0.0001' : `= ${pValue.toFixed(4)}`;
  return `${lines}\nchi-square ${statistic.toFixed(3)}, ${degreesOfFreedom} degree${degreesOfFreedom === 1 ? '' : 's'} of freedom, p ${p}`;
}

/** Requests started at a steady rate, whatever becomes of those before, until stopped. */
export class Requests {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  /** Returns once the first was answered. A request that has not ended after `limitMs` hangs. */
  static async start(host: Host, address: string, port: number, options: { perSecond: number; limitMs: number }): Promise<Requests> {
    const requests = new Requests(host.spawn('requests', [...program('requests'), address, String(port), String(options.perSecond), String(options.limitMs)]));
    await requests.#process.waitForOutput(/"ok":true/, START_MS);
    return requests;
  }

  /** Those that have ended so far, by the time they were started. */
  results(): RequestResult[] {
    const text = this.#process.output();
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as RequestResult).sort((a, b) => a.atMs - b.atMs);
  }

  /** Starts no more, waits for those under way, and returns all. */
  async stop(): Promise<RequestResult[]> {
    await this.#process.stop('SIGTERM', 60_000);
    return this.results();
  }
}
