/**
 * The topology virtual servers are measured on: clients on one network, two real servers on one each, and whoever is measured in between.
 *
 *   ┌ client ─────────────────┐   ┌ router ─────────────────────┐   ┌ server1 ───────────────┐
 *   │                    eth0 ├───┤ wan                    lan1 ├───┤ eth0  10.0.1.2         │
 *   │ 203.0.113.1             │   │ 203.0.113.2        10.0.1.1 │   └────────────────────────┘
 *   │ 198.18.0.0/16 behind it │   │                             │   ┌ server2 ───────────────┐
 *   │                         │   │                        lan2 ├───┤ eth0  10.0.2.2         │
 *   └─────────────────────────┘   │                    10.0.2.1 │   └────────────────────────┘
 *                                 └─────────────────────────────┘
 *
 * At 203.0.113.2 flows to FLOWS_PORT are shared between the servers by turns, those to BULK_PORT all go to the first one: iperf3 wants its connections
 * together.
 *
 * kernel   veth cables; IPVS NAT where the kernel has it and ipvsadm is there, else DNAT by a numgen map in nftables.
 * haproxy  veth cables; HAProxy in TCP mode, as many threads as CPUs.
 * raw      veth cables; weir runs in the router namespace and takes its three ends over; established flows are offloaded to the kernel.
 * bridge   the same cables, each end of the router's on a bridge with a TAP device of weir's; offloaded likewise. (TAP devices opened in other namespaces cannot
 *          be offloaded: net/site.ts measures what that costs.)
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runNow } from '../../netns/kit/command.js';
import type { Host, Lab } from '../../netns/kit/lab.js';
import type { Process } from '../../netns/kit/process.js';
import { bulkTcp } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { lastJson, ready, start } from './programs.js';
import type { LoadContext, RoundLoad } from './rounds.js';
import { assertRuns, said, START_MS, startWeir } from './weir.js';

export type FarmPeer = 'kernel' | 'haproxy' | 'raw' | 'bridge';
export const FARM_PEERS: readonly FarmPeer[] = ['kernel', 'haproxy', 'raw', 'bridge'];

const VIRTUAL = '203.0.113.2';
const FLOWS_PORT = 9002;
/** What iperf3 listens on. */
const BULK_PORT = 5201;
const SERVERS = [{ link: 'lan1', own: '10.0.1.1', address: '10.0.1.2' }, { link: 'lan2', own: '10.0.2.1', address: '10.0.2.2' }] as const;
const GATEWAY = '203.0.113.1';
/** Clients come from beyond the gateway: so many that no run comes back to a tuple of the one before, with one neighbour to know. */
const NETWORK = '198.18.0.0/16';
const FIRST_CLIENT = '198.18.0.1';
const CLIENTS = 200;
/** TCP flows under way at once. */
const CONCURRENCY = 64;
/** Of a hundred flows one server may have so many more than the other. */
const TILT = 5;

/** True when the kernel peer is IPVS. */
export function hasIpvs(): boolean {
  if (!existsSync('/proc/net/ip_vs')) runNow(['modprobe', '-q', 'ip_vs'], { check: false });
  return existsSync('/proc/net/ip_vs') && runNow(['sh', '-c', 'command -v ipvsadm'], { check: false }).code === 0;
}

export class Farm {
  readonly peer: FarmPeer;
  readonly client: Host;
  readonly router: Host;
  readonly servers: readonly Host[];
  private readonly lab: Lab;
  private process: Process | null = null;

  private constructor(lab: Lab, peer: FarmPeer) {
    this.lab = lab;
    this.peer = peer;
    const name = `vs${peer}`;
    this.client = lab.host(`${name}client`);
    this.router = lab.host(`${name}router`);
    this.servers = SERVERS.map((_, i) => lab.host(`${name}server${i + 1}`));
    lab.cable(`${name}wan`, { host: this.router, device: 'wan' }, { host: this.client, device: 'eth0' });
    SERVERS.forEach(({ link }, i) => lab.cable(`${name}${link}`, { host: this.router, device: link }, { host: this.servers[i], device: 'eth0' }));
    if (peer !== 'bridge') return;
    for (const device of ['wan', ...SERVERS.map(({ link }) => link)]) {
      this.router.ip('link', 'add', `br-${device}`, 'type', 'bridge');
      this.router.ip('link', 'set', device, 'master', `br-${device}`);
      for (const name of [device, `br-${device}`]) this.router.ip('link', 'set', name, 'up');
    }
  }

  /** The farm of a peer, up, with each real server reached through it. */
  static async up(lab: Lab, peer: FarmPeer): Promise<Farm> {
    const farm = new Farm(lab, peer);
    if (peer === 'kernel') farm.balanceWithKernel();
    else if (peer === 'haproxy') farm.startHaproxy();
    else farm.process = await farm.startWeir(peer);
    farm.addressEnds();
    try {
      await waitFor(async () => {
        farm.assertRunning();
        const pings = await Promise.all(farm.servers.map((server, i) => server.ping(SERVERS[i].own, 1)));
        return pings.every(({ received }) => received === 1) && (await farm.client.ping(VIRTUAL, 1)).received === 1;
      }, START_MS, `the ${peer} farm to answer`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${farm.process === null ? '' : said(farm.process)}`, { cause: error });
    }
    return farm;
  }

  /** Throws when the router has ended meanwhile. */
  assertRunning(): void { if (this.process !== null) assertRuns(this.process); }

  private addressEnds(): void {
    this.client.ip('address', 'add', `${GATEWAY}/24`, 'dev', 'eth0');
    this.client.ip('link', 'set', 'eth0', 'up');
    this.client.ip('route', 'add', 'local', NETWORK, 'dev', 'lo');
    this.servers.forEach((server, i) => {
      server.ip('address', 'add', `${SERVERS[i].address}/24`, 'dev', 'eth0');
      server.ip('link', 'set', 'eth0', 'up');
      server.ip('route', 'add', 'default', 'via', SERVERS[i].own);
    });
  }

  private addressRouter(): void {
    this.router.ip('address', 'add', `${VIRTUAL}/24`, 'dev', 'wan');
    for (const { link, own } of SERVERS) this.router.ip('address', 'add', `${own}/24`, 'dev', link);
    this.router.ip('route', 'add', NETWORK, 'via', GATEWAY);
    // HAProxy's connections to a server all have one address of their own.
    this.router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.ip_local_port_range': '1024 65535' });
  }

  private balanceWithKernel(): void {
    const { router } = this;
    this.addressRouter();
    if (hasIpvs()) {
      router.sysctl({ 'net.ipv4.vs.conntrack': 0 });
      for (const [port, servers] of [[FLOWS_PORT, SERVERS], [BULK_PORT, SERVERS.slice(0, 1)]] as const) {
        router.runNow(['ipvsadm', '-A', '-t', `${VIRTUAL}:${port}`, '-s', 'rr']);
        for (const { address } of servers) router.runNow(['ipvsadm', '-a', '-t', `${VIRTUAL}:${port}`, '-r', `${address}:${port}`, '-m']);
      }
      return;
    }
    const turns = SERVERS.map(({ address }, i) => `${i} : ${address}`).join(', ');
    router.runNow(['nft', '-f', '-'], { input: `table ip bench { chain prerouting { type nat hook prerouting priority dstnat;
      ip daddr ${VIRTUAL} tcp dport ${FLOWS_PORT} dnat to numgen inc mod ${SERVERS.length} map { ${turns} }
      ip daddr ${VIRTUAL} tcp dport ${BULK_PORT} dnat to ${SERVERS[0].address}
      }
    }
` });
  }

  private startHaproxy(): void {
    this.addressRouter();
    const config = join(this.lab.directory, 'haproxy.cfg');
    const proxy = (name: string, port: number, servers: readonly { link: string; address: string }[]): string => `listen ${name}
  bind ${VIRTUAL}:${port}
  balance roundrobin
${servers.map(({ link, address }) => `  server ${link} ${address}:${port}\n`).join('')}`;
    writeFileSync(config, `global
  maxconn 8192
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
${proxy('flows', FLOWS_PORT, SERVERS)}
${proxy('bulk', BULK_PORT, SERVERS.slice(0, 1))}`);
    this.process = this.router.spawn('haproxy', ['haproxy', '-db', '-f', config]);
  }

  private startWeir(peer: 'raw' | 'bridge'): Promise<Process> {
    const link = (device: string, address: string): object =>
      ({ addresses: [`${address}/24`], ...(peer === 'raw' ? { type: 'raw', device } : { type: 'tap', device: `weir-${device}`, bridge: `br-${device}` }) });
    const realServers = (port: number, servers: readonly { link: string; address: string }[]): object =>
      Object.fromEntries(servers.map(({ link: name, address }) => [name, { address: `${address}:${port}` }]));
    return startWeir(this.lab, this.router, `vs${peer}`, {
      links: {
        wan: link('wan', VIRTUAL),
        ...Object.fromEntries(SERVERS.map((server) => [server.link, link(server.link, server.own)])),
      },
      routes: { clients: { to: NETWORK, via: GATEWAY } },
      virtualServers: {
        flows: { listen: `${VIRTUAL}:${FLOWS_PORT}/tcp`, scheduler: 'rr', realServers: realServers(FLOWS_PORT, SERVERS) },
        bulk: { listen: `${VIRTUAL}:${BULK_PORT}/tcp`, realServers: realServers(BULK_PORT, SERVERS.slice(0, 1)) },
      },
    });
  }
}

type FarmContext = LoadContext<FarmPeer>;
export type FarmLoad = RoundLoad<FarmPeer, Farm>;

function bulk(streams: number): FarmLoad {
  const name = `servers-bulk-${streams}`;
  return {
    name,
    // iperf3 knows whole seconds only.
    run: async (farm: Farm, { seconds }: FarmContext) => ({ [name]: (await bulkTcp(farm.client, farm.servers[0], VIRTUAL, { streams, seconds: Math.ceil(seconds) })).receivedBps / 1e9 }),
  };
}

const newFlows: FarmLoad = {
  name: 'servers-new-flows',
  warmSeconds: 3,
  run: async (farm, { seconds }) => {
    const servers = await Promise.all(farm.servers.map((server) => ready(start(server, 'tcp', 'serve', FLOWS_PORT, seconds + 1))));
    const client = start(farm.client, 'tcp', 'flows', VIRTUAL, FLOWS_PORT, 1, FIRST_CLIENT, CLIENTS, CONCURRENCY, seconds);
    const { done, failed, seconds: took } = await lastJson<{ done: number; failed: number; seconds: number }>(client);
    if (failed > done / 100) throw new Error(`${failed} of ${done + failed} new flows failed through ${farm.peer}`);
    const served = await Promise.all(servers.map(async (server) => (await lastJson<{ served: number }>(server)).served));
    const total = served.reduce((sum, one) => sum + one, 0);
    if (Math.max(...served) - Math.min(...served) > (total * TILT) / 100) throw new Error(`${farm.peer} shares ${total} flows out as ${served.join(' : ')}`);
    return { 'servers-new-flows': done / took };
  },
};

export const FARM_LOADS: readonly FarmLoad[] = [bulk(1), bulk(4), bulk(16), newFlows];
