/**
 * The lab in which uplinks fail: three of them, the third a backup of tier 2, each on a subnet of its own, and hosts on both sides.
 *
 *   ┌ pc ─────────────┐   ┌ router, weir ──────────┐   ┌ gateway ─────────────────────┐   ┌ server ───────┐
 *   │            eth0 ├───┤ lan                    │   │                              │   │               │
 *   │       10.0.1.10 │   │ 10.0.1.1  192.0.2.2    ├───┤ port1 192.0.2.1              │   │               │
 *   │    via 10.0.1.1 │   │           198.51.100.2 ├───┤ port2 198.51.100.1      eth0 ├───┤ eth0          │
 *   │                 │   │           203.0.113.2  ├───┤ port3 203.0.113.1            │   │ 198.18.0.10   │
 *   └─────────────────┘   └────────────────────────┘   └──────────────────────────────┘   └───────────────┘
 *
 * The pc keeps a crowd of TCP flows, a tunnel and a stream of new flows going, the server two crowds to ports that are forwarded to the pc. UDP and pings
 * prefer the first uplink. Every wire is recorded: `assertSourcesRight` holds each uplink's wire to its own address, over everything that happened.
 */
import { writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import type { Capture } from '../../netns/kit/capture.js';
import { Lab, type Cable, type Host } from '../../netns/kit/lab.js';
import type { Recording } from '../../netns/kit/recording.js';
import { ICMP, RST, TCP, UDP } from '../../netns/kit/recording.js';
import { Lasting, TCP_PORT, TrafficServer, Watch } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { Daemon, type Monitor } from '../../netns/kit/weir.js';
import type { UplinkList, UplinkStatus } from '../../src/control/api/types.js';

export const SERVER = '198.18.0.10';
export const PC = '10.0.1.10';
export const INTERVAL_MS = 200;
export const TIMEOUT_MS = 190;
export const FALL = 3;
export const RISE = 3;
export const WAIT_MS = 30_000;
const FORWARDED_PORT = 8080;
const CROWD = 12;
const FORWARDED_CROWD = 4;
const TUNNEL_PORT = 51_820;

export interface Way { name: string; own: string; gateway: string; port: string; device: string; link: string; weight: number }
export const WAYS: readonly Way[] = [
  { name: 'isp1', own: '192.0.2.2', gateway: '192.0.2.1', port: 'port1', device: 'eth1', link: 'wan1', weight: 2 },
  { name: 'isp2', own: '198.51.100.2', gateway: '198.51.100.1', port: 'port2', device: 'eth2', link: 'wan2', weight: 1 },
  { name: 'isp3', own: '203.0.113.2', gateway: '203.0.113.1', port: 'port3', device: 'eth3', link: 'wan3', weight: 1 },
];
export const [ISP1, ISP2, ISP3] = WAYS;

export class FailoverLab {
  readonly lab = Lab.open('failover');
  readonly pc: Host;
  readonly router: Host;
  readonly gateway: Host;
  readonly server: Host;
  readonly lan: Cable;
  readonly cables: readonly Cable[];
  readonly daemon: Daemon;
  wires: readonly Recording[] = [];
  lanWire!: Recording;
  crowd!: Lasting;
  tunnel!: Lasting;
  /** From the server to ports forwarded by isp1 and isp2. */
  forwarded: Lasting[] = [];
  watch!: Watch;
  /** What hears the forwarded flows. */
  inside!: TrafficServer;
  monitor!: Monitor;
  private captures: Capture[] = [];

  /** `checks`: what differs from the usual, by uplink. */
  private constructor(checks: Record<string, object>) {
    this.pc = this.lab.host('pc');
    this.router = this.lab.host('router');
    this.gateway = this.lab.host('gateway');
    this.server = this.lab.host('server');
    this.lan = this.lab.cable('lan', { host: this.router, device: 'eth0' }, { host: this.pc, device: 'eth0', address: `${PC}/24` });
    this.cables = WAYS.map(({ link, device, port, gateway }) =>
      this.lab.cable(link, { host: this.router, device }, { host: this.gateway, device: port, address: `${gateway}/24` }));
    this.lab.cable('net', { host: this.gateway, device: 'eth0', address: '198.18.0.1/24' }, { host: this.server, device: 'eth0', address: `${SERVER}/24` });
    this.pc.ip('route', 'add', 'default', 'via', '10.0.1.1');
    this.server.ip('route', 'add', 'default', 'via', '198.18.0.1');
    this.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });

    const scenario = `${this.lab.directory}/failover-scenario.yaml`;
    writeFileSync(scenario, stringify({
      links: {
        lan: { type: 'raw', device: 'eth0', addresses: ['10.0.1.1/24'] },
        ...Object.fromEntries(WAYS.map(({ link, device, own }) => [link, { type: 'raw', device, addresses: [`${own}/24`] }])),
      },
      uplinks: Object.fromEntries(WAYS.map(({ name, link, gateway, weight }) => [name, {
        link, gateway, weight,
        // isp1 is the one that is judged by the clock. A machine that stalls for half a second is to leave the others alone.
        check: {
          icmp: SERVER, ...(name === ISP1.name ? { interval: `${INTERVAL_MS}ms`, timeout: `${TIMEOUT_MS}ms` } : { interval: '500ms', timeout: '480ms' }),
          fall: FALL, rise: RISE, damping: 'off', ...checks[name],
        },
      }])),
      groups: { internet: { uplinks: WAYS.map(({ name }) => name), tiers: { isp3: 2 }, onDown: 'reset', onRecover: 'keep' } },
      // One pc has all the clients there are, and each packet of theirs is to be answered.
      limits: { icmpErrorsPerDestination: 1000 },
      policies: { steady: { protocol: ['icmp', 'udp'], group: 'internet', prefer: 'isp1' } },
      portForwards: Object.fromEntries([ISP1, ISP2].map(({ name }) => [`in-${name}`, { uplink: name, listen: `${FORWARDED_PORT}/tcp`, to: `${PC}:${TCP_PORT}` }])),
      routes: { default: { to: '0.0.0.0/0', group: 'internet' } },
    }));
    this.daemon = new Daemon(this.router, scenario, {});
  }

  /** The lab with all its traffic, each of the crowds open. */
  static async up(checks: Record<string, object> = {}): Promise<FailoverLab> {
    const self = new FailoverLab(checks);
    try {
      self.captures = await Promise.all([self.lan, ...self.cables].map((cable) => cable.capture()));
      [self.lanWire, ...self.wires] = self.captures.map(({ recording }) => recording);
      [self.inside] = await Promise.all([TrafficServer.start(self.pc), TrafficServer.start(self.server), self.daemon.start()]);
      self.monitor = await self.daemon.monitor();
      for (const { name } of WAYS) await self.comesTo(name, 'up');
      [self.crowd, self.tunnel, self.watch, ...self.forwarded] = await Promise.all([
        Lasting.crowd(self.pc, SERVER, CROWD), Lasting.tunnel(self.pc, SERVER, TUNNEL_PORT), Watch.start(self.pc, SERVER, 200_000, 2000),
        ...[ISP1, ISP2].map(({ own }) => Lasting.crowd(self.server, own, FORWARDED_CROWD, { port: FORWARDED_PORT })),
      ] as const);
      for (const { name } of WAYS) await self.comesTo(name, 'up');
      return self;
    } catch (error) {
      const log = self.daemon.log();
      self.close();
      throw new Error(`${(error as Error).message}\n${log}`, { cause: error });
    }
  }

  close(): void { this.lab.close(); }

  async status(name: string): Promise<UplinkStatus> {
    const { uplinks } = await this.daemon.api<UplinkList>('uplinks');
    return uplinks.find((row) => row.name === name)!;
  }

  comesTo(name: string, state: UplinkStatus['state']): Promise<UplinkStatus> {
    return waitFor(async () => {
      const status = await this.status(name);
      return status.state === state ? status : null;
    }, WAIT_MS, `uplink ${name} to be ${state}`);
  }

  /** Rules of nftables on the gateway while `body` runs: for what it forwards, or at the door of a port. */
  async hindered<T>(family: 'ip' | 'netdev', hook: string, rules: readonly string[], body: () => Promise<T>): Promise<T> {
    this.gateway.runNow(['nft', '-f', '-'], { input: `table ${family} hindrance { chain c { type filter hook ${hook} priority -10;\n${rules.join('\n')}\n}\n}\n` });
    try {
      return await body();
    } finally {
      this.gateway.runNow(['nft', 'delete', 'table', family, 'hindrance'], { check: false });
    }
  }

  /** All flows opened anew, some of the crowd's on isp1, and with data behind them. */
  async renew(): Promise<void> {
    await Promise.all([this.renewClients(ISP1), ...this.forwarded.map((one) => one.renew())]);
  }

  /** Those of the pc, some of the crowd's on the given uplink. */
  async renewClients(on: Way): Promise<void> {
    await Promise.all([this.crowd.renew(), this.tunnel.renew()]);
    await waitFor(async () => {
      if (this.crowd.open.some(({ peer }) => peer === on.own)) return true;
      await this.crowd.renew();
      return false;
    }, WAIT_MS, `a flow of the crowd on ${on.name}`);
    const openedAtMs = Math.max(...this.crowd.open.map(({ atMs }) => atMs));
    await waitFor(() => this.crowd.events.filter(({ event, atMs }) => event === 'echo' && atMs > openedAtMs).length >= CROWD, WAIT_MS, 'echoes');
  }

  /** Questions of an uplink's check on its wire, and the answers to them, by time. */
  asked({ own, name }: Way): { requests: number[]; replies: number[] } {
    const echoes = this.wires[WAYS.findIndex((way) => way.name === name)].frames.filter(({ protocol }) => protocol === ICMP);
    // Pings of the pc pass here too, with a hop less to live.
    const requests = echoes.filter((one) => one.icmpType === 8 && one.source === own && one.destination === SERVER && one.ttl === 64);
    const ids = new Set(requests.map(({ icmpId }) => icmpId));
    const replies = echoes.filter((one) => one.icmpType === 0 && one.source === SERVER && one.destination === own && ids.has(one.icmpId));
    return { requests: requests.map(({ atMs }) => atMs), replies: replies.map(({ atMs }) => atMs) };
  }

  /** Resets sent to the pc since then, by the pc's port. */
  resets(sinceMs: number): Map<number, number[]> {
    const found = new Map<number, number[]>();
    for (const { atMs, tcpFlags, destination, destinationPort } of this.lanWire.frames) {
      if (atMs < sinceMs || (tcpFlags & RST) === 0 || destination !== PC) continue;
      found.set(destinationPort, [...found.get(destinationPort) ?? [], atMs]);
    }
    return found;
  }

  /** `carriers` have carried something of everything, and since the beginning no uplink's wire has seen a packet of the router with another address than that link's own. */
  async assertSourcesRight(carriers: readonly Way[] = WAYS): Promise<void> {
    await Promise.all(this.captures.map((capture) => capture.stop()));
    for (const [i, { own, name, device }] of WAYS.entries()) {
      const [{ address }] = JSON.parse(this.router.ip('-j', 'link', 'show', device)) as { address: string }[];
      const sent = this.wires[i].frames.filter(({ sourceMac }) => sourceMac === address);
      if (carriers.some((way) => way.name === name)) assert.ok([TCP, UDP, ICMP].every((protocol) => sent.some((one) => one.protocol === protocol)), `${name} has carried TCP, UDP and ICMP`);
      const strange = sent.filter(({ source }) => source !== own);
      assert.equal(strange.slice(0, 5).map((one) => `${one.kind} ${one.source} > ${one.destination}`), [], `the wire of ${name} carries packets from ${own} alone`);
    }
  }
}
