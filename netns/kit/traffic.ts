/** Starts the traffic programs of netns/traffic on hosts of a lab and reads what they report. */
import { fileURLToPath } from 'node:url';
import type { Host } from './lab.js';
import type { Process } from './process.js';
import type { DatagramResult, FlowResult, WatchResult } from '../traffic/client.js';
import type { DatagramAnswer } from '../traffic/datagrams.js';

export type { DatagramAnswer, DatagramResult, FlowResult, WatchResult };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const TCP_PORT = 7000;
export const UDP_PORT = 7001;
export const HTTP_PORT = 80;
const START_MS = 20_000;

function program(name: string): string[] { return [process.execPath, '--import', 'tsx', fileURLToPath(new URL(`../traffic/${name}.ts`, import.meta.url))]; }

/** A flow or datagram as the server saw it arrive. */
export interface Arrival { protocol: string; address: string; port: number }

export class TrafficServer {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  static async start(host: Host, ports: { tcp?: number; udp?: number; http?: number } = {}): Promise<TrafficServer> {
    const started = host.spawn('server', [...program('server'), String(ports.tcp ?? TCP_PORT), String(ports.udp ?? UDP_PORT), String(ports.http ?? HTTP_PORT)], ROOT);
    await started.waitForOutput(/^ready$/m, START_MS);
    return new TrafficServer(started);
  }

  /** Everything that arrived since it started, oldest first. */
  arrivals(protocol?: string): Arrival[] {
    return this.#process.output().split('\n').map((line) => line.split(' ')).filter((word) => word.length === 3 && (protocol === undefined || word[0] === protocol))
      .map((word) => ({ protocol: word[0], address: word[1], port: Number(word[2]) }));
  }
}

async function client<T>(host: Host, args: readonly (string | number)[], timeoutMs: number): Promise<T> {
  const { stdout } = await host.run([...program('client'), ...args.map(String)], { timeoutMs, cwd: ROOT });
  return JSON.parse(stdout) as T;
}

/** So many TCP flows, each connected, greeted, echoed and closed in good order. */
export function tcpFlows(host: Host, address: string, count: number, options: { concurrency?: number; port?: number } = {}): Promise<FlowResult[]> {
  return client(host, ['flows', address, options.port ?? TCP_PORT, count, options.concurrency ?? 32], 60_000);
}

/** One TCP flow of many segments. */
export function steadyFlow(host: Host, address: string, segments: number, segmentBytes: number, port = TCP_PORT): Promise<FlowResult> {
  return client(host, ['steady', address, port, segments, segmentBytes], 60_000);
}

/** `count` datagrams of each size, one after the other, each from a port of its own. */
export function udpEchoes(host: Host, address: string, count: number, sizesBytes: readonly number[], port = UDP_PORT): Promise<DatagramResult[]> {
  return client(host, ['udp', address, port, count, ...sizesBytes], 90_000);
}

/** A new TCP flow every 20 ms until it is stopped. */
export class Watch {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  static async start(host: Host, address: string, limitMs: number): Promise<Watch> {
    const watch = new Watch(host.spawn('watch', [...program('client'), 'watch', address, String(TCP_PORT), String(limitMs / 1000)], ROOT));
    await watch.#process.waitForOutput(/"atMs"/, START_MS);
    return watch;
  }

  /** Flows that have ended so far, by the time they were started. */
  results(): WatchResult[] {
    const text = this.#process.output();
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as WatchResult).sort((a, b) => a.atMs - b.atMs);
  }

  async stop(): Promise<WatchResult[]> {
    await this.#process.stop();
    return this.results();
  }
}

/** So many new flows in a row without a failure, and a router is called recovered. */
const STEADY_FLOWS = 25;

/** When new flows succeed again for good: the start of the first of STEADY_FLOWS good ones after the last bad one; null while not yet. */
export function recovery(results: readonly WatchResult[], sinceMs: number): { firstGoodMs: number; failed: number } | null {
  const after = results.filter((result) => result.atMs >= sinceMs);
  const lastBad = after.findLastIndex((result) => !result.ok);
  if (after.length - 1 - lastBad < STEADY_FLOWS) return null;
  return { firstGoodMs: after[lastBad + 1].atMs - sinceMs, failed: after.filter((result) => !result.ok).length };
}

/** Answers every datagram to a port of a host with the host's name. */
export async function serveDatagrams(host: Host, port: number): Promise<void> {
  await host.spawn('datagrams', [...program('datagrams'), 'serve', host.name, String(port)], ROOT).waitForOutput(/^ready$/m, START_MS);
}

/** Datagrams of one flow, from one port, at a steady rate until it is stopped. */
export class Datagrams {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  /** Returns once the first was answered. */
  static async start(host: Host, address: string, port: number, options: { localPort: number; perSecond: number }): Promise<Datagrams> {
    const datagrams = new Datagrams(host.spawn('datagrams', [...program('datagrams'), 'ask', address, String(port), String(options.localPort), String(options.perSecond)], ROOT));
    await datagrams.#process.waitForOutput(/\n/, START_MS);
    return datagrams;
  }

  /** Those that have come so far. */
  answers(): DatagramAnswer[] {
    const text = this.#process.output();
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as DatagramAnswer);
  }

  async stop(): Promise<void> { await this.#process.stop('SIGTERM'); }
}

/** How often each value occurs. */
export function tally(values: readonly (string | null)[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value ?? 'none', (counts.get(value ?? 'none') ?? 0) + 1);
  return counts;
}

export interface BulkResult { streams: number; sentBytes: number; receivedBytes: number; receivedBps: number; retransmits: number }

/** Bulk TCP with iperf3 from one host to another, by time or by bytes; `reverse`: the server sends. */
export async function bulkTcp(from: Host, to: Host, address: string, options: { streams?: number; seconds?: number; bytes?: number; reverse?: boolean } = {}): Promise<BulkResult> {
  const { streams = 1, seconds = 2, bytes, reverse = false } = options;
  const server = to.spawn('iperf3', ['iperf3', '-s', '-1', '--forceflush']);
  await server.waitForOutput(/Server listening/, 10_000);
  try {
    const { stdout } = await from.run(['iperf3', '-c', address, '-J', '-P', String(streams), '--connect-timeout', '5000', ...(bytes === undefined ? ['-t', String(seconds)] : ['-n', String(bytes)]), ...(reverse ? ['-R'] : [])], { timeoutMs: seconds * 1000 + 30_000 });
    const { end } = JSON.parse(stdout) as { end: { sum_sent: { bytes: number; retransmits?: number }; sum_received: { bytes: number; bits_per_second: number } } };
    return { streams, sentBytes: end.sum_sent.bytes, receivedBytes: end.sum_received.bytes, receivedBps: end.sum_received.bits_per_second, retransmits: end.sum_sent.retransmits ?? 0 };
  } finally {
    await server.stop();
  }
}

/** Counters of a host's own stack, all of them, by name. */
export function stackCounters(host: Host): Map<string, number> {
  const { kernel } = JSON.parse(host.runNow(['nstat', '-a', '-z', '-s', '-j']).stdout) as { kernel: Record<string, number> };
  return new Map(Object.entries(kernel));
}

/** Packets a host's stack refused for a wrong checksum, by counter; empty when there are none. */
export function checksumErrors(host: Host): Map<string, number> {
  return new Map([...stackCounters(host)].filter(([name, count]) => /CsumErrors$|^IpExtInCsumErrors$/.test(name) && count > 0));
}
