/**
 * The scenario `ha-pair`: two gateways that serve as one. VRRP moves the addresses, one inside and one outside, together; Redis has what both must know, so
 * that the one that takes over goes on with every flow: through SNAT, through a virtual server, UDP, and FTP with its data.
 *
 *   inside   10.0.1.0/24    gw1 10.0.1.2    gw2 10.0.1.3    virtual 10.0.1.1     VRID 51
 *   outside  192.0.2.0/24   gw1 192.0.2.2   gw2 192.0.2.3   virtual 192.0.2.10   VRID 52, the SNAT address and that of the virtual servers
 *
 * The gateways reach Redis by their own stacks, over a network that weir has no part in. The upstream router knows nothing of 10.0.1.0/24.
 */
import { beginFetch, FTP_MODES, ftpContent, serveFtp, type Fetching, type FtpMode } from './kit/ftp.js';
import { Dialogue, Listener } from './kit/dialogue.js';
import { Gateway } from './kit/gateway.js';
import { Lab, type Cable, type Host } from './kit/lab.js';
import { Redis } from './kit/redis.js';
import type { RunningScenario, Scenario } from './kit/scenario.js';
import { TrafficServer } from './kit/traffic.js';
import { waitFor } from './kit/wait.js';
import { WebServer } from './kit/web.js';
import type { VirtualRouterStatus, VrrpList } from '../src/control/api/types.js';

const DRAWING = `
  ┌ pc1 ─────────┐   ┌ switch ┐   ┌ gw1 ──────────────────────┐   ┌ switch ┐   ┌ gateway ─────┐   ┌ server ────────┐
  │ 10.0.1.10    ├───┤        ├───┤ 10.0.1.2        192.0.2.2 ├───┤        ├───┤ 192.0.2.1    │   │                │
  └──────────────┘   │        │   │         10.0.9.11         │   │        │   │         eth1 ├───┤ 198.51.100.10  │
  ┌ web1 ────────┐   │        │   └────────────┬──────────────┘   │        │   │ 198.51.100.1 │   │ http, ftp, udp │
  │ 10.0.1.21    ├───┤        │           ┌ redis ────┐          │        │   └──────────────┘   └────────────────┘
  └──────────────┘   │ br-lan │           │ 10.0.9.1  │          │ br-wan │
  ┌ web2 ────────┐   │        │           └────┬──────┘          │        │     virtual:  10.0.1.1    (VRID 51)
  │ 10.0.1.22    ├───┤        │   ┌ gw2 ───────┴──────────────┐   │        │               192.0.2.10  (VRID 52)
  └──────────────┘   │        │   │         10.0.9.12         │   │        │
                     │        ├───┤ 10.0.1.3        192.0.2.3 ├───┤        │
                     └────────┘   └───────────────────────────┘   └────────┘
`;

export const VIRTUAL_INSIDE = '10.0.1.1';
export const VIRTUAL_OUTSIDE = '192.0.2.10';
export const PC = '10.0.1.10';
export const WEB1 = '10.0.1.21';
export const SERVER = '198.51.100.10';
/** Where they talk (netns/traffic/dialogue.ts): outside, and by the virtual server inside. */
export const TALK_PORT = 2222;
/** How often each side of a dialogue speaks. */
export const TALK_MS = 20;
/** Ports of the UDP flow: fixed at both ends. */
export const UDP_LOCAL_PORT = 40_500;
/** By FTP at a rate that leaves time for what is to happen meanwhile. */
export const FTP_BYTES = 3_000_000;
export const FTP_BYTES_PER_SECOND = 500_000;
const READY_MS = 30_000;
export type GatewayName = 'gw1' | 'gw2';

export interface HaPairOptions {
  /** What both configurations have besides, or one of them. */
  more?: Partial<Record<GatewayName | 'both', object>>;
  /** Cables that are as real wires are. */
  judged?: readonly ('pc1' | 'server')[];
  /** Gateways to be started; both unless given. */
  start?: readonly GatewayName[];
}

export class HaPair implements RunningScenario {
  readonly lab: Lab;
  readonly pc1: Host;
  readonly web1: Host;
  readonly web2: Host;
  readonly gateway: Host;
  readonly server: Host;
  readonly switch: Host;
  readonly storeHost: Host;
  readonly gateways: Readonly<Record<GatewayName, Gateway>>;
  readonly cables: Readonly<Record<'pc1' | 'server', Cable>>;
  redis!: Redis;
  /** Who talks outside, and inside behind the virtual server. */
  outside!: Listener;
  inside!: Listener;
  /** What serves new flows outside (kit/traffic.ts). */
  service!: TrafficServer;
  readonly ftpHash: string;
  readonly #ftpContent: Buffer;

  private constructor({ more = {}, judged = [] }: HaPairOptions) {
    this.lab = Lab.open('ha-pair');
    this.pc1 = this.lab.host('pc1');
    this.web1 = this.lab.host('web1');
    this.web2 = this.lab.host('web2');
    this.switch = this.lab.host('switch');
    this.storeHost = this.lab.host('redis');
    this.gateway = this.lab.host('gateway');
    this.server = this.lab.host('server');
    for (const bridge of ['br-lan', 'br-wan']) this.switch.bridge(bridge);
    this.storeHost.bridge('br0', '10.0.9.1/24');

    const [lan, wan, store] = [{ host: this.switch, bridge: 'br-lan' }, { host: this.switch, bridge: 'br-wan' }, { host: this.storeHost, bridge: 'br0' }];
    const gateway = (name: GatewayName, management: string): Gateway => new Gateway(this.lab, { name, configuration: 'conf/ha-pair.yaml', management, lan, wan, store });
    this.gateways = { gw1: gateway('gw1', '10.0.9.11/24'), gw2: gateway('gw2', '10.0.9.12/24') };
    const inside = (host: Host, address: string): Cable => {
      const cable = this.lab.cable(host.name, { ...lan, device: host.name }, { host, device: 'eth0', address: `${address}/24` }, { judged: judged.includes(host.name as 'pc1') });
      host.ip('route', 'add', 'default', 'via', VIRTUAL_INSIDE);
      return cable;
    };
    const pc1 = inside(this.pc1, PC);
    inside(this.web1, WEB1);
    inside(this.web2, '10.0.1.22');
    this.lab.cable('gateway', { ...wan, device: 'gateway' }, { host: this.gateway, device: 'eth0', address: '192.0.2.1/24' });
    const server = this.lab.cable('server', { host: this.gateway, device: 'eth1', address: '198.51.100.1/24' }, { host: this.server, device: 'eth0', address: `${SERVER}/24` }, { judged: judged.includes('server') });
    this.cables = { pc1, server };
    this.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    this.server.ip('route', 'add', 'default', 'via', '198.51.100.1');

    this.gateways.gw2.daemon.dropIn('60-gw2', {
      links: { lan: { addresses: ['10.0.1.3/24'] }, wan: { addresses: ['192.0.2.3/24'] } },
      vrrp: { inside: { priority: 100 }, outside: { priority: 100 } },
      share: { instance: 'gw2' },
    });
    for (const name of ['gw1', 'gw2'] as const) {
      if (more.both !== undefined) this.gateways[name].daemon.dropIn('70-both', more.both);
      if (more[name] !== undefined) this.gateways[name].daemon.dropIn('80-own', more[name]);
    }
    ({ content: this.#ftpContent, hash: this.ftpHash } = ftpContent(FTP_BYTES));
  }

  /** The scenario, up: everyone serves, the gateways share what they know, gw1 is master of both virtual routers. */
  static async up(options: HaPairOptions = {}): Promise<HaPair> {
    const scenario = new HaPair(options);
    try {
      await scenario.#start(options.start ?? ['gw1', 'gw2']);
      return scenario;
    } catch (error) {
      scenario.close();
      throw error;
    }
  }

  async #start(names: readonly GatewayName[]): Promise<void> {
    this.redis = await Redis.start(this.storeHost);
    const [outside, inside, service] = await Promise.all([
      Listener.start(this.server, TALK_PORT, TALK_MS), Listener.start(this.web1, TALK_PORT, TALK_MS), TrafficServer.start(this.server, { http: 8080 }),
      WebServer.start(this.web1, 80), WebServer.start(this.web2, 80), WebServer.start(this.server, 80),
      serveFtp(this.server, this.#ftpContent, FTP_BYTES_PER_SECOND), ...names.map((name) => this.gateways[name].daemon.start()),
    ]);
    Object.assign(this, { outside, inside, service });
    for (const name of names) await this.gateways[name].sharing();
    await this.comesToBeMaster(names.includes('gw1') ? 'gw1' : 'gw2');
    await waitFor(async () => (await this.pc1.run(['curl', '-sS', '-m', '2', `http://${SERVER}/`], { check: false })).code === 0, READY_MS, `an answer from ${SERVER}`);
  }

  /** Where a gateway stands with each virtual router. */
  async standing(name: GatewayName): Promise<VirtualRouterStatus[]> { return (await this.gateways[name].daemon.api<VrrpList>('vrrp')).vrrp; }

  /** Waits until a gateway is master of both virtual routers. */
  async comesToBeMaster(name: GatewayName): Promise<void> { await this.comesToBe(name, 'master'); }

  async comesToBe(name: GatewayName, state: VirtualRouterStatus['state']): Promise<void> {
    let last = '';
    try {
      await waitFor(async () => {
        const routers = await this.standing(name);
        last = routers.map((one) => `${one.name} is ${one.state}, ${one.reason}`).join('; ');
        return routers.length === 2 && routers.every((one) => one.state === state);
      }, READY_MS, `${name} to be ${state} of both virtual routers`);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${last}\n${this.gateways[name].daemon.log()}`, { cause: error });
    }
  }

  /** A gateway started again after it was killed or stopped: it runs, and has what the other knows. */
  async returns(name: GatewayName): Promise<void> {
    await this.gateways[name].daemon.start();
    await this.gateways[name].sharing();
  }

  /** One TCP flow through SNAT, one through the virtual server, a UDP flow through SNAT: both sides of each speak all the time. */
  async talk(): Promise<Talk> {
    const [snat, virtual, udp] = await Promise.all([
      Dialogue.start(this.pc1, 'tcp', SERVER, TALK_PORT, { periodMs: TALK_MS }),
      Dialogue.start(this.server, 'tcp', VIRTUAL_OUTSIDE, TALK_PORT, { periodMs: TALK_MS }),
      Dialogue.start(this.pc1, 'udp', SERVER, TALK_PORT, { periodMs: TALK_MS, localPort: this.#nextUdpPort++ }),
    ]);
    return {
      snat, virtual, udp,
      goesOn: async (sinceMs = Date.now()) => { await Promise.all([snat, virtual, udp].map((one) => one.heardSince(sinceMs))); },
      stop: async () => { await Promise.all([snat.stop(this.outside, VIRTUAL_OUTSIDE), virtual.stop(this.inside, SERVER), udp.stop(this.outside)]); },
    };
  }
  #nextUdpPort = UDP_LOCAL_PORT;

  /** A file from outside, slowly. */
  fetch(mode: FtpMode): Fetching { return beginFetch(this.pc1, SERVER, mode); }

  /** What the scenario is for, shown: dialogues and a transfer live through a planned change and a crash. */
  async show(): Promise<string> {
    const talk = await this.talk();
    const lines: string[] = [];
    const step = async (what: string, act: () => Promise<unknown>): Promise<void> => {
      const known = talk.udp.events.length;
      await act();
      await talk.goesOn();
      const heard = talk.udp.events.slice(Math.max(0, known - 1)).filter(({ event }) => event === 'heard');
      const gapMs = Math.max(...heard.slice(1).map(({ atMs }, i) => atMs - heard[i].atMs));
      lines.push(`${String(lines.length + 1)}. ${what}: the longest silence was ${gapMs} ms; both TCP flows go on, every byte in its place.`);
    };
    const fetching = this.fetch(FTP_MODES[2]);
    await waitFor(() => fetching.bytes() > 0, READY_MS, 'the transfer by FTP to begin');
    await step('gw1, the master, is drained (weir drain)', async () => {
      await this.gateways.gw1.daemon.ask('drain');
      await this.comesToBeMaster('gw2');
    });
    await step('gw1 takes part again (weir undrain) and takes over', async () => {
      await this.gateways.gw1.daemon.ask('undrain');
      await this.comesToBeMaster('gw1');
    });
    await step('gw1 is killed (kill -9)', async () => {
      await this.gateways.gw1.kill();
      await this.comesToBeMaster('gw2');
    });
    await step('gw1 comes back, loads what gw2 knows, and takes over', async () => {
      await this.returns('gw1');
      await this.comesToBeMaster('gw1');
    });
    lines.push(`${lines.length + 1}. The transfer by FTP that went on meanwhile is ${await fetching.hash === this.ftpHash ? 'whole' : 'NOT whole'}.`);
    await talk.stop();
    lines.push('', (await this.gateways.gw1.daemon.ask('share')).trimEnd());
    return lines.join('\n');
  }

  get drawing(): string { return DRAWING; }
  get shellHost(): Host { return this.pc1; }
  get socket(): string | null { return this.gateways.gw1.daemon.socket; }

  get commands(): RunningScenario['commands'] {
    const on = (host: Host, command: string): string => `ip netns exec ${host.namespace} ${command}`;
    const { gw1, gw2 } = this.gateways;
    const ask = (gateway: Gateway, command: string): string => `bin/weir ${command} --socket ${gateway.daemon.socket}`;
    return [
      { command: on(this.pc1, `ping -i 0.1 ${SERVER}`), shows: 'watch it while gateways come and go' },
      { command: on(this.pc1, `curl --limit-rate 50k -o /dev/null http://${SERVER}/file`), shows: 'a flow of some seconds' },
      { command: on(this.server, `curl http://${VIRTUAL_OUTSIDE}/`), shows: 'the virtual server from outside' },
      { command: ask(gw1, 'vrrp'), shows: 'who is master of what' },
      { command: ask(gw1, 'share'), shows: 'how it stands with the store and the other instance' },
      { command: ask(gw2, 'flows'), shows: 'gw2 has the flows of gw1' },
      { command: ask(gw1, 'drain'), shows: 'gw2 takes over, nothing is lost (undrain: back)' },
      { command: `kill -9 ${gw1.daemon.process?.pid}`, shows: 'gw2 takes over by itself' },
      { command: on(gw1.host, `bin/weir run -c ${gw1.daemon.configFile}`), shows: 'gw1 comes back, and takes over once it knows everything' },
      { command: `ip -n ${this.storeHost.namespace} link set gw1store down`, shows: 'gw1 cannot reach Redis any more: it forwards on, and says so (up: back)' },
      { command: on(this.switch, 'tcpdump -ni gw1lan vrrp or arp'), shows: 'adverts, and who answers for 10.0.1.1' },
    ];
  }

  close(): void { this.lab.close(); }
}

/** Three flows that last. */
export interface Talk {
  readonly snat: Dialogue;
  readonly virtual: Dialogue;
  readonly udp: Dialogue;
  /** Both ways of all three have been heard again since then; throws when one is lost. */
  goesOn(sinceMs?: number): Promise<void>;
  /** All end in good order, and both ends of each have heard what the other said. */
  stop(): Promise<void>;
}

export const scenario: Scenario = {
  name: 'ha-pair',
  summary: 'two gateways that serve as one, by VRRP and Redis: kill one, and every flow goes on',
  options: [],
  up() { return HaPair.up(); },
};
