/**
 * The scenario `one-arm`: the example of BalanceNG's site, one device with two networks on its wire.
 *
 *   network 172.16.1.0/24, real 172.16.1.252, virtual 172.16.1.253; gateway 172.16.1.254, ping 3,8
 *   network 10.1.1.0/24, real 10.1.1.253, virtual 10.1.1.254
 *   server 172.16.1.10:80 → targets 10.1.1.1:80, tcpopen 80,3,10, and 10.1.1.2:80, tcpopen 80,2,10
 *
 * Clients stand on the network outside, behind its gateway and on the wire itself. The targets' default route is 10.1.1.254. The gateway has no route
 * to 10.1.1.0/24. The router is weir or, to compare with, the kernel: DNAT in nftables over a counter, without checks.
 */
import { readFrames } from './kit/capture.js';
import { Lab, type Cable, type Host } from './kit/lab.js';
import type { RunningScenario, Scenario } from './kit/scenario.js';
import { waitFor } from './kit/wait.js';
import { fetchMany, split, splitTable, WebServer, type Part } from './kit/web.js';
import { Daemon } from './kit/weir.js';

const DRAWING = `
  ┌ client ─────┐   ┌ gateway ──────┐   ┌ switch ┐   ┌ balancer ───────────────────┐
  │             ├───┤ 198.51.100.1  │   │        ├───┤ eth0                        │
  │198.51.100.2 │   │               ├───┤        │   │ 172.16.1.252   10.1.1.253   │
  └─────────────┘   │ 172.16.1.254  │   │        │   │ 172.16.1.253   10.1.1.254   │
                    └───────────────┘   │        │   │ 172.16.1.10:80              │
  ┌ pc ──────────────────────────────┐  │        │   └─────────────────────────────┘
  │ 172.16.1.20                      ├──┤        │   ┌ target1 ────────────────────┐
  └──────────────────────────────────┘  │        ├───┤ 10.1.1.1         nginx :80  │
                                        │        │   └─────────────────────────────┘
                                        │        │   ┌ target2 ────────────────────┐
                                        │        ├───┤ 10.1.1.2         nginx :80  │
                                        └────────┘   └─────────────────────────────┘
`;

export const SERVER = '172.16.1.10';
export const OUTSIDE_REAL = '172.16.1.252';
export const OUTSIDE_VIRTUAL = '172.16.1.253';
export const GATEWAY = '172.16.1.254';
export const INSIDE_REAL = '10.1.1.253';
export const INSIDE_VIRTUAL = '10.1.1.254';
export const TARGET1 = '10.1.1.1';
export const TARGET2 = '10.1.1.2';
export const CLIENT = '198.51.100.2';
export const PC = '172.16.1.20';
/** First bytes of every address inside. */
export const INSIDE = '10.1.1.';
const SPLIT_REQUESTS = 200;
export const SPLIT_TOLERANCE = 0.03;
const READY_MS = 20_000;

export type CableName = 'client' | 'gateway' | 'balancer' | 'pc' | 'target1' | 'target2';

export interface OneArmOptions {
  peer?: 'weir' | 'kernel';
  judged?: readonly CableName[];
  /** Instead of conf/one-arm.yaml. */
  configuration?(lab: Lab): Promise<string>;
  /** What the configuration has besides, as a drop-in. */
  more?: object;
}

export class OneArm implements RunningScenario {
  readonly lab: Lab;
  readonly client: Host;
  readonly gateway: Host;
  readonly switch: Host;
  readonly balancer: Host;
  readonly pc: Host;
  readonly hosts: Readonly<Record<'target1' | 'target2', Host>>;
  readonly cables: Readonly<Record<CableName, Cable>>;
  daemon: Daemon | null = null;
  readonly web = {} as Record<'target1' | 'target2', WebServer>;
  readonly url = `http://${SERVER}/`;

  private constructor(options: OneArmOptions) {
    const { peer = 'weir', judged = [] } = options;
    this.lab = Lab.open('one-arm');
    this.client = this.lab.host('client');
    this.gateway = this.lab.host('gateway');
    this.switch = this.lab.host('switch');
    this.balancer = this.lab.host('balancer');
    this.pc = this.lab.host('pc');
    this.hosts = { target1: this.lab.host('target1'), target2: this.lab.host('target2') };
    this.switch.bridge('br0');

    const wire = (name: CableName, host: Host, address?: string): Cable =>
      this.lab.cable(name, { host: this.switch, device: name, bridge: 'br0' }, { host, device: 'eth0', ...(address === undefined ? {} : { address }) }, { judged: judged.includes(name) });
    this.cables = {
      client: this.lab.cable('client', { host: this.gateway, device: 'eth1', address: '198.51.100.1/24' }, { host: this.client, device: 'eth0', address: `${CLIENT}/24` }, { judged: judged.includes('client') }),
      gateway: wire('gateway', this.gateway, `${GATEWAY}/24`),
      balancer: wire('balancer', this.balancer),
      pc: wire('pc', this.pc, `${PC}/24`),
      target1: wire('target1', this.hosts.target1, `${TARGET1}/24`),
      target2: wire('target2', this.hosts.target2, `${TARGET2}/24`),
    };
    this.client.ip('route', 'add', 'default', 'via', '198.51.100.1');
    this.pc.ip('route', 'add', 'default', 'via', GATEWAY);
    this.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    for (const host of Object.values(this.hosts)) host.ip('route', 'add', 'default', 'via', INSIDE_VIRTUAL);

    if (peer === 'kernel') this.#balanceWithKernel();
  }

  /** The scenario, up: both targets serve, and the client has been answered. */
  static async up(options: OneArmOptions = {}): Promise<OneArm> {
    const scenario = new OneArm(options);
    try {
      await scenario.#start(options);
      return scenario;
    } catch (error) {
      scenario.close();
      throw error;
    }
  }

  async #start({ peer = 'weir', configuration, more }: OneArmOptions): Promise<void> {
    if (peer === 'weir') {
      this.daemon = new Daemon(this.balancer, await configuration?.(this.lab) ?? 'conf/one-arm.yaml', {});
      if (more !== undefined) this.daemon.dropIn('70-more', more);
    }
    const [target1, target2] = await Promise.all([WebServer.start(this.hosts.target1, 80), WebServer.start(this.hosts.target2, 80), this.daemon?.start()]);
    Object.assign(this.web, { target1, target2 });
    try {
      await waitFor(async () => (await this.client.run(['curl', '-sS', '-m', '2', this.url], { check: false })).code === 0, READY_MS, `an answer from ${this.url}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.daemon?.log() ?? ''}`, { cause: error });
    }
  }

  get weir(): Daemon {
    if (this.daemon === null) throw new Error('the kernel routes in this lab');
    return this.daemon;
  }

  readonly servers = [{ server: 'target1', address: `${TARGET1}:80`, weight: 1 }, { server: 'target2', address: `${TARGET2}:80`, weight: 1 }];

  /** So many requests, and who answered how often. */
  async split(from: Host = this.client, requests = SPLIT_REQUESTS): Promise<Part[]> { return split(await fetchMany(from, this.url, requests), this.servers); }

  async show(): Promise<string> {
    const [far, near] = [await this.split(this.client), await this.split(this.pc)];
    return [
      `1. ${SPLIT_REQUESTS} requests to ${SERVER}:80 of the client behind the gateway, against the weights:`, splitTable(far),
      `   and ${SPLIT_REQUESTS} of the PC on the wire itself:`, splitTable(near),
      '', '2. From inside to outside, as the wires have it:', ...await this.#fromInside(),
      ...(this.daemon === null ? [] : ['', '3. What is checked, and how it stands (weir servers, weir uplinks):', (await this.daemon.ask('servers')).trimEnd(), '', (await this.daemon.ask('uplinks')).trimEnd()]),
    ].join('\n');
  }

  /** A ping of target1 to the client and to the PC: with which address it leaves, and whether it is answered. */
  async #fromInside(): Promise<string[]> {
    const lines: string[] = [];
    for (const [host, address, cable] of [[this.client, CLIENT, this.cables.client], [this.pc, PC, this.cables.pc]] as const) {
      const wire = await cable.capture();
      const { sent, received } = await this.hosts.target1.ping(address, 1);
      const [asked] = await readFrames(await wire.stop(), `icmp.type == 8 && ip.dst == ${address}`);
      lines.push(`   ${TARGET1} pings ${address.padEnd(12)}  ${host.name.padEnd(6)} sees ${asked?.sources[0] ?? 'nothing'}, ${received} of ${sent} answered`);
    }
    return lines;
  }

  #balanceWithKernel(): void {
    this.balancer.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.conf.default.send_redirects': 0, 'net.ipv4.conf.eth0.send_redirects': 0 });
    for (const address of [OUTSIDE_REAL, OUTSIDE_VIRTUAL, SERVER, INSIDE_REAL, INSIDE_VIRTUAL]) this.balancer.ip('address', 'add', `${address}/24`, 'dev', 'eth0');
    this.balancer.ip('route', 'add', 'default', 'via', GATEWAY);
    this.balancer.runNow(['nft', '-f', '-'], { input: `table ip weir-peer {
      chain prerouting { type nat hook prerouting priority dstnat; ip daddr ${SERVER} tcp dport 80 dnat ip to numgen inc mod 2 map { 0 : ${TARGET1} . 80, 1 : ${TARGET2} . 80 }; }
      chain postrouting { type nat hook postrouting priority srcnat; ip saddr 10.1.1.0/24 ip daddr != 10.1.1.0/24 snat to ${OUTSIDE_VIRTUAL}; }
    }
` });
  }

  get drawing(): string { return DRAWING; }
  get shellHost(): Host { return this.client; }
  get socket(): string | null { return this.daemon?.socket ?? null; }

  get commands(): RunningScenario['commands'] {
    const on = (host: Host, command: string): string => `ip netns exec ${host.namespace} ${command}`;
    const ask = (command: string): string => `bin/weir ${command} --socket ${this.daemon?.socket}`;
    return [
      { command: on(this.client, `curl ${this.url}`), shows: 'who answers: run it again and again' },
      { command: on(this.pc, `curl ${this.url}`), shows: 'the same from the wire itself' },
      { command: on(this.hosts.target1, `ping ${CLIENT}`), shows: `a target on its own account: the client sees ${OUTSIDE_VIRTUAL}` },
      { command: on(this.balancer, 'tcpdump -ni eth0 tcp port 80'), shows: 'every packet twice on the one wire, before and after' },
      ...(this.daemon === null ? [{ command: on(this.balancer, 'conntrack -L'), shows: 'the flows of the kernel' }] : [
        { command: `ip -n ${this.switch.namespace} link set target1 down`, shows: 'target1 is gone: within 10 s it gets no more (up: it is back)' },
        { command: ask('servers'), shows: 'the targets and how their checks stand' },
        { command: ask('uplinks'), shows: 'the gateway, asked by ping' },
        { command: ask('drain server web/target1'), shows: 'no new flows for target1 (undrain: again)' },
        { command: ask('monitor'), shows: 'what happens' },
      ]),
    ];
  }

  close(): void { this.lab.close(); }
}

export const scenario: Scenario = {
  name: 'one-arm',
  summary: 'one device, two networks on its wire, two checked web servers, as in the example of BalanceNG',
  options: ['peer'],
  up({ peer }) { return OneArm.up({ peer }); },
};
