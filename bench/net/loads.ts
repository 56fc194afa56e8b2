/** The jobs every peer does. Each one is run for a moment on one site and gives one number per row of the table it serves. */
import { bulkTcp } from '../../netns/kit/traffic.js';
import { median } from '../report/statistics.js';
import { busySeconds, processSeconds } from './cpu.js';
import { lastJson, READY_MS, ready, start } from './programs.js';
import type { LoadContext as Context, RoundLoad } from './rounds.js';
import { CLIENT, CLIENTS, SERVER, SERVERS, PEERS } from './site.js';
import type { Peer, Site } from './site.js';

/** An Ethernet frame of 64 bytes with its FCS: 18 bytes of UDP payload. */
const SMALL_PAYLOAD_BYTES = 18;
const SINK_PORT = 9000;
const ECHO_PORT = 9001;
const TCP_PORT = 9002;
/** TCP flows under way at once. */
const CONCURRENCY = 64;
const PING_INTERVAL_US = 500;
/** What a program may take beyond its seconds before something is wrong. */
const GRACE_MS = 15_000;
/** Before packets are counted, flows are opened and everybody is warm. */
const WARM_SECONDS = 0.3;

type LoadContext = Context<Peer>;
export type Load = RoundLoad<Peer, Site>;

interface Delivered {
  packetsPerSecond: number;
  packetsPerCpuSecond: number;
  /** CPU-seconds of the router's own process a second; NaN for the kernel. */
  routerCpus: number;
}

/** Datagrams from client to server; rate 0 = as many as the sender can. */
async function datagrams(site: Site, flows: number, rate: number, seconds: number): Promise<Delivered> {
  const sink = await ready(start(site.server, 'udp', 'sink', SINK_PORT, WARM_SECONDS, seconds));
  const sender = start(site.client, 'udp', 'send', SERVER, SINK_PORT, flows, SMALL_PAYLOAD_BYTES, WARM_SECONDS + seconds + 0.2, rate);
  await sink.waitForOutput(/^counting$/m, READY_MS);
  const pid = site.routerPid;
  const routerTime = (): number => (pid === null ? NaN : processSeconds(pid));
  const before = { busy: busySeconds(), router: routerTime(), atMs: performance.now() };
  const { received, seconds: counted } = await lastJson<{ received: number; seconds: number }>(sink);
  const elapsed = (performance.now() - before.atMs) / 1000;
  const cpus = (busySeconds() - before.busy) / elapsed;
  const routerCpus = (routerTime() - before.router) / elapsed;
  await lastJson(sender);
  const packetsPerSecond = received / counted;
  return { packetsPerSecond, packetsPerCpuSecond: packetsPerSecond / cpus, routerCpus };
}

/** Half of what the slowest peer delivered, the same for all: nobody is pushed beyond its own half load. */
function halfRate(context: LoadContext, flows: number): number {
  return Math.min(...PEERS.map((peer) => median(context.samples(`udp-${flows}`, peer)))) / 2;
}

/** Gbit/s that arrive. iperf3 knows whole seconds only. */
export async function bulkThrough(site: Site, streams: number, reverse: boolean, seconds: number): Promise<number> {
  return (await bulkTcp(site.client, site.server, SERVER, { streams, reverse, seconds: Math.ceil(seconds) })).receivedBps / 1e9;
}

function bulk(streams: number, reverse: boolean): Load {
  const name = `bulk-${streams}${reverse ? '-reverse' : ''}`;
  return {
    name,
    run: async (site, { seconds }) => ({ [name]: await bulkThrough(site, streams, reverse, seconds) }),
  };
}

function flood(flows: number): Load {
  return {
    name: `udp-${flows}`,
    run: async (site, { seconds }) => ({ [`udp-${flows}`]: (await datagrams(site, flows, 0, seconds)).packetsPerSecond }),
  };
}

function paced(flows: number): Load {
  return {
    name: `udp-cpu-${flows}`,
    run: async (site, context) => ({ [`udp-cpu-${flows}`]: (await datagrams(site, flows, halfRate(context, flows), context.seconds)).packetsPerCpuSecond }),
  };
}

/** TCP flows opened, used and closed one after the other, so many at once; and how many a second. */
export async function newFlowsThrough(site: Site, seconds: number): Promise<{ done: number; perSecond: number }> {
  const server = await ready(start(site.server, 'tcp', 'serve', TCP_PORT, seconds + 10));
  try {
    const client = start(site.client, 'tcp', 'flows', SERVER, TCP_PORT, SERVERS, CLIENT, CLIENTS, CONCURRENCY, seconds);
    const { done, failed, seconds: took } = await lastJson<{ done: number; failed: number; seconds: number }>(client);
    if (failed > done / 100) throw new Error(`${failed} of ${done + failed} new flows failed through ${site.peer}`);
    return { done, perSecond: done / took };
  } finally {
    await server.stop();
  }
}

const newFlows: Load = {
  name: 'new-flows',
  warmSeconds: 3,
  run: async (site, { seconds }) => ({ 'new-flows': (await newFlowsThrough(site, seconds)).perSecond }),
};

const latency: Load = {
  name: 'latency',
  run: async (site, context) => {
    const { seconds } = context;
    const total = seconds + WARM_SECONDS;
    const [echo, sink] = await Promise.all([
      ready(start(site.server, 'udp', 'echo', SERVER, ECHO_PORT, total + GRACE_MS / 1000)),
      ready(start(site.server, 'udp', 'sink', SINK_PORT, WARM_SECONDS, total)),
    ]);
    try {
      const sender = start(site.client, 'udp', 'send', SERVER, SINK_PORT, 1, SMALL_PAYLOAD_BYTES, total + 0.5, halfRate(context, 1));
      await sink.waitForOutput(/^counting$/m, READY_MS);
      const ping = start(site.client, 'udp', 'ping', SERVER, ECHO_PORT, 1_000_000, PING_INTERVAL_US, seconds);
      const { nanoseconds, lost } = await lastJson<{ nanoseconds: number[]; lost: number }>(ping);
      await lastJson(sender);
      if (lost > nanoseconds.length / 100) throw new Error(`${lost} of ${lost + nanoseconds.length} pings got lost through ${site.peer} at half load`);
      const at = (q: number): number => nanoseconds[Math.min(nanoseconds.length - 1, Math.floor(nanoseconds.length * q))] / 1000;
      return { 'latency-p50': at(0.5), 'latency-p99': at(0.99) };
    } finally {
      await Promise.all([echo.stop(), sink.stop()]);
    }
  },
};

/** In this order: the paced ones go by what the floods have shown. */
export const LOADS: readonly Load[] = [
  bulk(1, false), bulk(4, false), bulk(16, false), bulk(1, true),
  flood(1), flood(10_000), paced(1), paced(10_000), newFlows, latency,
];
