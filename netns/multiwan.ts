/**
 * The scenario `multiwan`: one LAN, two uplinks that share one subnet and one gateway address.
 *
 *   ┌ pc1 ─────────────┐   ┌ router ─────────────────────┐   ┌ gateway ─────────────────────┐   ┌ server ────────┐
 *   │             eth0 ├───┤ lan                    wan1 ├───┤ port1 ┐                      │   │                │
 *   │      192.168.0.4 │   │ 192.168.0.1  192.168.201.11 │   │       ├ br0             eth0 ├───┤ eth0           │
 *   │  via 192.168.0.1 │   │                        wan2 ├───┤ port2 ┘ 192.168.201.1        │   │ 203.0.113.10   │
 *   │                  │   │              192.168.201.13 │   │                  203.0.113.1 │   │ echo, HTTP     │
 *   └──────────────────┘   └─────────────────────────────┘   └──────────────────────────────┘   └────────────────┘
 *
 * The router is weir or, to compare with, the kernel. In the raw form the router's cable ends are eth0, eth1 and eth2 and weir
 * takes them over; in the tap form they are ports of the bridges br-lan, br-wan1 and br-wan2, which weir's TAP devices join.
 * The gateway translates nothing and has no route to the LAN: an untranslated packet gets no answer, and is seen on the wire.
 */
import { Lab, type Cable, type Host } from './kit/lab.js';
import { Daemon } from './kit/weir.js';
import { waitFor } from './kit/wait.js';
import { tally, TCP_PORT, tcpFlows, TrafficServer, type FlowResult } from './kit/traffic.js';
import type { RunningScenario, Scenario } from './kit/scenario.js';

export const DRAWING = `
  ┌ pc1 ─────────────┐   ┌ router ─────────────────────┐   ┌ gateway ─────────────────────┐   ┌ server ────────┐
  │             eth0 ├───┤ lan                    wan1 ├───┤ port1 ┐                      │   │                │
  │      192.168.0.4 │   │ 192.168.0.1  192.168.201.11 │   │       ├ br0             eth0 ├───┤ eth0           │
  │  via 192.168.0.1 │   │                        wan2 ├───┤ port2 ┘ 192.168.201.1        │   │ 203.0.113.10   │
  │                  │   │              192.168.201.13 │   │                  203.0.113.1 │   │ echo, HTTP     │
  └──────────────────┘   └─────────────────────────────┘   └──────────────────────────────┘   └────────────────┘
`;

export const PC1 = '192.168.0.4';
export const ROUTER = '192.168.0.1';
export const WAN1 = '192.168.201.11';
export const WAN2 = '192.168.201.13';
export const GATEWAY = '192.168.201.1';
export const SERVER = '203.0.113.10';
/** First bytes of every address of the LAN, none of which may be seen on an uplink. */
export const INSIDE = '192.168.0.';

export type Form = 'tap' | 'raw';
export type CableName = 'lan' | 'wan1' | 'wan2';

export interface MultiwanOptions {
  form?: Form;
  /** What routes: weir, or the kernel's own forwarding with SNAT in nftables and a multipath route. */
  peer?: 'weir' | 'kernel';
  /** Weights of the two uplinks. */
  weights?: readonly [number, number];
  /** Cables whose recordings are to be judged. */
  judged?: readonly CableName[];
  /** false: the daemon is configured but not started. */
  start?: boolean;
}

/** A split may be off the weights by so much. */
export const SPLIT_TOLERANCE = 0.05;
/** Flows of one draw, and draws at most. */
const DRAW_FLOWS = 400;
const DRAWS = 4;

/** How TCP flows were split over the uplinks, as the server saw it. */
export interface Split {
  flows: FlowResult[];
  /** Flows by the source the server saw. */
  sources: ReadonlyMap<string, number>;
  /** Share of the first uplink. */
  share: number;
  /** Distance to the share its weight gives it. */
  off: number;
}

export class Multiwan implements RunningScenario {
  readonly lab: Lab;
  readonly form: Form;
  readonly weights: readonly [number, number];
  readonly pc1: Host;
  readonly router: Host;
  readonly gateway: Host;
  readonly server: Host;
  readonly cables: Readonly<Record<CableName, Cable>>;
  /** Null when the kernel routes. */
  readonly daemon: Daemon | null;
  #service: TrafficServer | null = null;

  private constructor(options: MultiwanOptions) {
    const { form = 'raw', peer = 'weir', weights = [1, 1], judged = [] } = options;
    this.form = form;
    this.weights = weights;
    this.lab = Lab.open('multiwan');
    this.pc1 = this.lab.host('pc1');
    this.router = this.lab.host('router');
    this.gateway = this.lab.host('gateway');
    this.server = this.lab.host('server');

    this.gateway.bridge('br0', `${GATEWAY}/24`);
    if (form === 'tap') for (const name of ['br-lan', 'br-wan1', 'br-wan2']) this.router.bridge(name);
    const routerEnd = (device: string, bridge: string): { host: Host; device: string; bridge?: string } => ({ host: this.router, device, ...(form === 'tap' ? { bridge } : {}) });
    this.cables = {
      lan: this.lab.cable('lan', routerEnd('eth0', 'br-lan'), { host: this.pc1, device: 'eth0', address: `${PC1}/24` }, { judged: judged.includes('lan') }),
      wan1: this.lab.cable('wan1', routerEnd('eth1', 'br-wan1'), { host: this.gateway, device: 'port1', bridge: 'br0' }, { judged: judged.includes('wan1') }),
      wan2: this.lab.cable('wan2', routerEnd('eth2', 'br-wan2'), { host: this.gateway, device: 'port2', bridge: 'br0' }, { judged: judged.includes('wan2') }),
    };
    this.lab.cable('net', { host: this.gateway, device: 'eth0', address: '203.0.113.1/24' }, { host: this.server, device: 'eth0', address: `${SERVER}/24` });
    this.pc1.ip('route', 'add', 'default', 'via', ROUTER);
    this.server.ip('route', 'add', 'default', 'via', '203.0.113.1');
    this.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });

    this.daemon = peer === 'weir' ? new Daemon(this.router, form === 'tap' ? 'conf/multiwan.yaml' : 'conf/multiwan-raw.yaml', { wan1: weights[0], wan2: weights[1] }) : null;
    if (peer === 'kernel') this.#routeWithKernel();
  }

  /** The scenario, up, with the router ready and its uplinks usable. */
  static async up(options: MultiwanOptions = {}): Promise<Multiwan> {
    const scenario = new Multiwan(options);
    try {
      if (options.start !== false) await scenario.start();
      return scenario;
    } catch (error) {
      scenario.close();
      throw error;
    }
  }

  /** Starts the router and waits until a packet gets from PC1 to the far end. */
  async start(): Promise<void> {
    await this.daemon?.start();
    try {
      await waitFor(async () => (await this.pc1.ping(SERVER, 1)).received === 1, 15_000, `PC1 to reach ${SERVER}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.daemon?.log() ?? ''}`, { cause: error });
    }
  }

  /** The far end's traffic server, started when it is first asked for. */
  async service(): Promise<TrafficServer> { return this.#service ??= await TrafficServer.start(this.server); }

  /** The daemon, where weir is the router. */
  get weir(): Daemon {
    if (this.daemon === null) throw new Error('the kernel routes in this lab');
    return this.daemon;
  }

  /** The gateway takes in nothing any more by one of its ports, whose carrier stays. Returns what makes it listen again. */
  silence(port: 'port1' | 'port2'): () => void {
    this.gateway.runNow(['nft', '-f', '-'], { input: `table netdev silence-${port} { chain c { type filter hook ingress device ${port} priority -10; drop; }\n}\n` });
    return () => this.gateway.runNow(['nft', 'delete', 'table', 'netdev', `silence-${port}`]);
  }

  /** Share of new flows the first uplink should take. */
  get wantedShare(): number { return this.weights[0] / (this.weights[0] + this.weights[1]); }

  /**
   * 400 TCP flows to the server, and how they were split. Each flow is a draw by its hash, so one time in fifty 400 of them
   * stray more than 5 points from 75 % although the choice is fair; then 1,200 more are drawn and all are judged together, which
   * strays that far less than once in 100,000 times, while a choice that is really off stays off.
   */
  async split(): Promise<Split> {
    const service = await this.service();
    const before = service.arrivals('tcp').length;
    const flows: FlowResult[] = [];
    for (let draw = 0; ; draw++) {
      flows.push(...await tcpFlows(this.pc1, SERVER, draw === 0 ? DRAW_FLOWS : DRAW_FLOWS * (DRAWS - 1)));
      const sources = tally(service.arrivals('tcp').slice(before).map((arrival) => arrival.address));
      const share = (sources.get(WAN1) ?? 0) / flows.length;
      const off = Math.abs(share - this.wantedShare);
      if (off <= SPLIT_TOLERANCE || draw === 1) return { flows, sources, share, off };
    }
  }

  /** The router in the kernel: forwarding, a multipath route by weight hashed over ports, SNAT by uplink. */
  #routeWithKernel(): void {
    const [lan, wan1, wan2] = this.form === 'tap' ? ['br-lan', 'br-wan1', 'br-wan2'] : ['eth0', 'eth1', 'eth2'];
    // Each uplink answers ARP for its own address only, although both are on one subnet.
    this.router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.fib_multipath_hash_policy': 1, 'net.ipv4.conf.all.arp_ignore': 1, 'net.ipv4.conf.all.arp_announce': 2, 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.conf.all.ignore_routes_with_linkdown': 1 });
    this.router.ip('address', 'add', `${ROUTER}/24`, 'dev', lan);
    this.router.ip('address', 'add', `${WAN1}/24`, 'dev', wan1, 'noprefixroute');
    this.router.ip('address', 'add', `${WAN2}/24`, 'dev', wan2, 'noprefixroute');
    const [weight1, weight2] = this.weights.map(String);
    this.router.ip('route', 'add', '192.168.201.0/24', 'nexthop', 'dev', wan1, 'weight', weight1, 'nexthop', 'dev', wan2, 'weight', weight2);
    this.router.ip('route', 'add', 'default', 'nexthop', 'via', GATEWAY, 'dev', wan1, 'weight', weight1, 'onlink', 'nexthop', 'via', GATEWAY, 'dev', wan2, 'weight', weight2, 'onlink');
    this.router.runNow(['nft', '-f', '-'], { input: `table ip weir-peer { chain postrouting { type nat hook postrouting priority srcnat;
      oifname "${wan1}" ip saddr 192.168.0.0/24 snat to ${WAN1}
      oifname "${wan2}" ip saddr 192.168.0.0/24 snat to ${WAN2}
    }
    }
` });
  }

  get drawing(): string { return DRAWING; }
  get shellHost(): Host { return this.pc1; }
  get socket(): string | null { return this.daemon?.socket ?? null; }

  get commands(): RunningScenario['commands'] {
    const on = (host: Host, command: string): string => `ip netns exec ${host.namespace} ${command}`;
    const wire = (port: string): string => on(this.gateway, `tcpdump -ni ${port} not arp`);
    const ask = (command: string): string => `bin/weir ${command} --socket ${this.daemon?.socket}`;
    return [
      { command: on(this.pc1, `ping ${GATEWAY}`), shows: 'the gateway, over either uplink' },
      { command: on(this.pc1, `curl http://${SERVER}/`), shows: 'our address as the server sees it: run it again and again' },
      { command: on(this.pc1, `nc ${SERVER} ${TCP_PORT}`), shows: 'a flow that stays: what you type comes back' },
      { command: on(this.pc1, `traceroute -n ${SERVER}`), shows: 'the hops' },
      { command: on(this.router, `curl http://${SERVER}/`), shows: 'traffic of the box itself' },
      { command: wire('port1'), shows: 'the wire of the first uplink' },
      { command: wire('port2'), shows: 'the wire of the second' },
      { command: on(this.gateway, `nft 'add table netdev w; add chain netdev w c { type filter hook ingress device port1 priority 0; policy drop; }'`), shows: 'a gateway silent on the first uplink (nft delete table netdev w: speaks)' },
      { command: `ip -n ${this.gateway.namespace} link set port1 down`, shows: 'pulls the first uplink (up: plugs it in)' },
      ...(this.daemon === null ? [{ command: on(this.router, 'conntrack -L'), shows: 'the flows of the kernel' }] : [
        { command: ask('status'), shows: 'the router on one screen' },
        { command: ask('uplinks'), shows: 'the split against the weights' },
        { command: ask('flows'), shows: 'every flow with its uplink' },
      ]),
    ];
  }

  close(): void { this.lab.close(); }
}

export const scenario: Scenario = {
  name: 'multiwan',
  summary: 'two uplinks on one subnet with one gateway address, a router between, a PC behind it',
  options: ['form', 'peer', 'weights'],
  async up({ form, peer, weights }) {
    const [first = 1, second = 1] = weights ?? [];
    const running = await Multiwan.up({ form, peer, ...(weights === undefined ? {} : { weights: [first, second] }) });
    await running.service();
    return running;
  },
};
