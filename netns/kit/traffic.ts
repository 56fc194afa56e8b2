/** Starts the traffic programs of netns/traffic on hosts of a lab and reads what they report. */
import type { Host } from './lab.js';
import { signal, type Process } from './process.js';
import { program } from './program.js';
import { waitFor } from './wait.js';
import type { DatagramResult, FlowResult, WatchResult } from '../traffic/client.js';
import type { DatagramAnswer } from '../traffic/datagrams.js';
import type { LastingEvent } from '../traffic/lasting.js';

export type { DatagramAnswer, DatagramResult, FlowResult, LastingEvent, WatchResult };

export const TCP_PORT = 7000;
export const UDP_PORT = 7001;
export const HTTP_PORT = 80;
const START_MS = 20_000;

/** A flow or datagram as the server saw it arrive. */
export interface Arrival { protocol: string; address: string; port: number }

export class TrafficServer {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  static async start(host: Host, ports: { tcp?: number; udp?: number; http?: number } = {}): Promise<TrafficServer> {
    const started = host.spawn('server', [...program('server'), String(ports.tcp ?? TCP_PORT), String(ports.udp ?? UDP_PORT), String(ports.http ?? HTTP_PORT)]);
    await started.waitForOutput(/^ready$/m, START_MS);
    return new TrafficServer(started);
  }

  /** Everything that arrived since it started, oldest first. */
  arrivals(protocol?: string): Arrival[] { return this.#lines(3, protocol); }

  /** TCP flows that ended with an error. */
  broken(): Arrival[] { return this.#lines(4, 'tcp'); }

  #lines(words: number, protocol?: string): Arrival[] {
    return this.#process.output().split('\n').map((line) => line.split(' ')).filter((word) => word.length === words && (protocol === undefined || word[0] === protocol))
      .map((word) => ({ protocol: word[0], address: word[1], port: Number(word[2]) }));
  }
}

async function client<T>(host: Host, args: readonly (string | number)[], timeoutMs: number): Promise<T> {
  const { stdout } = await host.run([...program('client'), ...args.map(String)], { timeoutMs });
  return JSON.parse(stdout) as T;
}

/** So many TCP flows, each connected, greeted, echoed and closed in good order; `from`: each from a port of its own, in a row. */
export function tcpFlows(host: Host, address: string, count: number, options: { concurrency?: number; port?: number; from?: { address: string; firstPort: number } } = {}): Promise<FlowResult[]> {
  const { concurrency = 32, port = TCP_PORT, from } = options;
  return client(host, ['flows', address, port, count, concurrency, ...(from === undefined ? [] : [from.address, from.firstPort])], 60_000);
}

/** One TCP flow of many segments. */
export function steadyFlow(host: Host, address: string, segments: number, segmentBytes: number, port = TCP_PORT): Promise<FlowResult> {
  return client(host, ['steady', address, port, segments, segmentBytes], 60_000);
}

/** `count` datagrams of each size, one after the other, each from a port of its own. */
export function udpEchoes(host: Host, address: string, count: number, sizesBytes: readonly number[], port = UDP_PORT): Promise<DatagramResult[]> {
  return client(host, ['udp', address, port, count, ...sizesBytes], 90_000);
}

/** What a program has told so far, a JSON line each. */
function told<T>(started: Process): T[] {
  const text = started.output();
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}

/** A new TCP flow every 20 ms until it is stopped. */
export class Watch {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  /** `timeoutMs`: what a flow has to be greeted before it is called bad. */
  static async start(host: Host, address: string, limitMs: number, timeoutMs = 400): Promise<Watch> {
    const watch = new Watch(host.spawn('watch', [...program('client'), 'watch', address, String(TCP_PORT), String(limitMs / 1000), String(timeoutMs)]));
    await watch.#process.waitForOutput(/"atMs"/, START_MS);
    return watch;
  }

  /** Flows that have ended so far, by the time they were started. */
  results(): WatchResult[] { return told<WatchResult>(this.#process).sort((a, b) => a.atMs - b.atMs); }

  async stop(): Promise<WatchResult[]> {
    await this.#process.stop();
    return this.results();
  }
}

/** Flows that last, and what happens to them (netns/traffic/lasting.ts). */
export class Lasting {
  readonly #process: Process;
  /** Flows of a crowd; 0 = a tunnel. */
  readonly #count: number;

  private constructor(started: Process, count: number) {
    this.#process = started;
    this.#count = count;
  }

  /** So many TCP flows, each asking for an echo every `periodMs`, every fourth one silent; what is lost is opened anew. */
  static async crowd(host: Host, address: string, count: number, options: { port?: number; periodMs?: number } = {}): Promise<Lasting> {
    const { port = TCP_PORT, periodMs = 200 } = options;
    const crowd = new Lasting(host.spawn('crowd', [...program('lasting'), 'crowd', address, String(port), String(count), String(periodMs)]), count);
    await waitFor(() => crowd.open.length === count, START_MS, `${count} flows from ${host.name} to ${address} to be open`);
    return crowd;
  }

  /** One UDP flow from a fixed port, a datagram every 100 ms. */
  static async tunnel(host: Host, address: string, localPort: number, port = UDP_PORT): Promise<Lasting> {
    const tunnel = new Lasting(host.spawn('tunnel', [...program('lasting'), 'tunnel', address, String(port), String(localPort)]), 0);
    await tunnel.#process.waitForOutput(/"echo"/, START_MS);
    return tunnel;
  }

  /** All that has happened, oldest first. */
  get events(): LastingEvent[] { return told<LastingEvent>(this.#process); }

  /** Flows that are open now, as they were opened. */
  get open(): LastingEvent[] {
    const open = new Map<number, LastingEvent>();
    for (const event of this.events) {
      if (event.event === 'open') open.set(event.localPort, event);
      if (event.event === 'lost' || event.event === 'closed') open.delete(event.localPort);
    }
    return [...open.values()];
  }

  /** Waits until every flow of a crowd of so many that talks, three of four, has been answered since. */
  async heard(sinceMs: number, count: number): Promise<void> {
    const talking = count - Math.floor(count / 4);
    await waitFor(() => new Set(this.events.filter(({ event, atMs }) => event === 'echo' && atMs > sinceMs).map(({ localPort }) => localPort)).size >= talking, START_MS,
      `each of ${talking} flows to be answered`);
  }

  /** All flows anew: returns once they are, or the tunnel has been answered on its new port. */
  async renew(): Promise<void> {
    const ports = new Set(this.events.map(({ localPort }) => localPort));
    const askedAtMs = Date.now();
    signal(this.#process.pid, 'SIGUSR1');
    await waitFor(() => {
      if (this.#count === 0) return this.events.some(({ localPort }) => !ports.has(localPort));
      const { open } = this;
      return open.length === this.#count && open.every(({ atMs }) => atMs >= askedAtMs);
    }, START_MS, 'all flows to be opened anew');
  }

  stop(): Promise<unknown> { return this.#process.stop(); }
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
  await host.spawn('datagrams', [...program('datagrams'), 'serve', host.name, String(port)]).waitForOutput(/^ready$/m, START_MS);
}

/** Datagrams of one flow, from one port, at a steady rate until it is stopped. */
export class Datagrams {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  /** Returns once the first was answered. */
  static async start(host: Host, address: string, port: number, options: { localPort: number; perSecond: number }): Promise<Datagrams> {
    const datagrams = new Datagrams(host.spawn('datagrams', [...program('datagrams'), 'ask', address, String(port), String(options.localPort), String(options.perSecond)]));
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
