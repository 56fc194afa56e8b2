/**
 * The scenario `active-active`: two gateways forward at the same time between two routers that share packets out over them, without a thought for flows.
 * Both translate to 203.0.113.10, each to ports of the blocks it has leased; what either knows, both know, so that a reply may come back by the other.
 *
 *   inside   10.0.0.0/24 behind a router 10.0.1.1, whose default route is gw1 10.0.1.11 and gw2 10.0.1.12
 *   outside  192.0.2.0/24, a router 192.0.2.1, whose route to 203.0.113.10 is gw1 192.0.2.11 and gw2 192.0.2.12
 */
import { Gateway } from './kit/gateway.js';
import { Lab, type Host } from './kit/lab.js';
import { Redis } from './kit/redis.js';
import type { RunningScenario, Scenario } from './kit/scenario.js';
import { tally, TrafficServer, tcpFlows } from './kit/traffic.js';
import { waitFor } from './kit/wait.js';
import { WebServer } from './kit/web.js';

const DRAWING = `
  ┌ client ─────┐   ┌ inner ────────┐            ┌ gw1 ───────────────────────┐            ┌ outer ────────┐   ┌ server ───────┐
  │             │   │               │            │ 10.0.1.11       192.0.2.11 │            │               │   │               │
  │ 10.0.0.10   ├───┤ 10.0.0.1      │         ┌──┤          10.0.9.11         ├──┐         │          eth1 ├───┤ 198.51.100.10 │
  │ 10.0.0.11   │   │               │         │  └────────────┬───────────────┘  │         │  198.51.100.1 │   │               │
  └─────────────┘   │          eth1 │ br-lan  │          ┌ redis ────┐           │  br-wan │ eth0          │   └───────────────┘
                    │      10.0.1.1 ├─────────┤          │ 10.0.9.1  │           ├─────────┤ 192.0.2.1     │
                    │               │         │          └────┬──────┘           │         │               │
                    │               │         │  ┌ gw2 ───────┴───────────────┐  │         │ 203.0.113.10  │
                    │ default route │         └──┤          10.0.9.12         ├──┘         │ over gw1, gw2 │
                    │ over gw1, gw2 │            │ 10.0.1.12       192.0.2.12 │            └───────────────┘
                    └───────────────┘            └────────────────────────────┘
`;

export const EXTERNAL = '203.0.113.10';
export const CLIENT = '10.0.0.10';
/** Another address of the client's host. */
export const OTHER_CLIENT = '10.0.0.11';
export const SERVER = '198.51.100.10';
const READY_MS = 30_000;

export type GatewayName = 'gw1' | 'gw2';
const OWN: Readonly<Record<GatewayName, { inside: string; outside: string; management: string }>> = {
  gw1: { inside: '10.0.1.11', outside: '192.0.2.11', management: '10.0.9.11/24' },
  gw2: { inside: '10.0.1.12', outside: '192.0.2.12', management: '10.0.9.12/24' },
};
/** By which gateway packets go: one of them, or by the hash of their addresses and ports. */
export type Way = GatewayName | 'both';

export class ActiveActive implements RunningScenario {
  readonly lab: Lab;
  readonly client: Host;
  readonly inner: Host;
  readonly outer: Host;
  readonly server: Host;
  readonly switch: Host;
  readonly storeHost: Host;
  readonly gateways: Readonly<Record<GatewayName, Gateway>>;
  redis!: Redis;
  service!: TrafficServer;

  private constructor(more?: object) {
    this.lab = Lab.open('active-active');
    this.client = this.lab.host('client');
    this.inner = this.lab.host('inner');
    this.outer = this.lab.host('outer');
    this.server = this.lab.host('server');
    this.switch = this.lab.host('switch');
    this.storeHost = this.lab.host('redis');
    for (const bridge of ['br-lan', 'br-wan']) this.switch.bridge(bridge);
    this.storeHost.bridge('br0', '10.0.9.1/24');

    const [lan, wan, store] = [{ host: this.switch, bridge: 'br-lan' }, { host: this.switch, bridge: 'br-wan' }, { host: this.storeHost, bridge: 'br0' }];
    const gateway = (name: GatewayName): Gateway => new Gateway(this.lab, { name, configuration: 'conf/active-active.yaml', management: OWN[name].management, lan, wan, store });
    this.gateways = { gw1: gateway('gw1'), gw2: gateway('gw2') };
    this.lab.cable('client', { host: this.inner, device: 'eth0', address: '10.0.0.1/24' }, { host: this.client, device: 'eth0', address: `${CLIENT}/24` });
    this.lab.cable('inner', { ...lan, device: 'inner' }, { host: this.inner, device: 'eth1', address: '10.0.1.1/24' });
    this.lab.cable('outer', { ...wan, device: 'outer' }, { host: this.outer, device: 'eth0', address: '192.0.2.1/24' });
    this.lab.cable('server', { host: this.outer, device: 'eth1', address: '198.51.100.1/24' }, { host: this.server, device: 'eth0', address: `${SERVER}/24` });
    this.client.ip('address', 'add', `${OTHER_CLIENT}/24`, 'dev', 'eth0');
    this.client.ip('route', 'add', 'default', 'via', '10.0.0.1');
    this.server.ip('route', 'add', 'default', 'via', '198.51.100.1');
    // By addresses and ports: the two directions of a flow have nothing to do with each other.
    for (const router of [this.inner, this.outer]) router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.fib_multipath_hash_policy': 1, 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.conf.default.send_redirects': 0 });
    this.route('both', 'both');

    this.gateways.gw2.daemon.dropIn('60-gw2', {
      links: { lan: { addresses: [`${OWN.gw2.inside}/24`] }, wan: { addresses: [`${OWN.gw2.outside}/24`] } },
      share: { instance: 'gw2' },
    });
    if (more !== undefined) for (const { daemon } of Object.values(this.gateways)) daemon.dropIn('70-more', more);
  }

  /** The scenario, up: both gateways share what they know and have ports to give. `more`: what both configurations have besides. */
  static async up(more?: object): Promise<ActiveActive> {
    const scenario = new ActiveActive(more);
    try {
      await scenario.#start();
      return scenario;
    } catch (error) {
      scenario.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.redis = await Redis.start(this.storeHost);
    const gateways = Object.values(this.gateways);
    [this.service] = await Promise.all([TrafficServer.start(this.server, { http: 8080 }), WebServer.start(this.server, 80), ...gateways.map(({ daemon }) => daemon.start())]);
    for (const gateway of gateways) {
      await gateway.shares('to have ports of its own', ({ phase, leases }) => phase === 'running' && leases.some(({ held }) => held.length > 0));
      await waitFor(async () => {
        this.route(gateway.name as GatewayName, gateway.name as GatewayName);
        return (await this.client.ping(SERVER, 1)).received === 1;
      }, READY_MS, `${SERVER} to answer through ${gateway.name}`);
    }
    this.route('both', 'both');
  }

  /** By which gateway packets leave from now on, and by which those to the shared address come back. */
  route(outward: Way, inward: Way): void {
    const over = (way: Way, side: 'inside' | 'outside'): string[] => way === 'both'
      ? Object.values(OWN).flatMap((own) => ['nexthop', 'via', own[side], 'weight', '1']) : ['via', OWN[way][side]];
    this.inner.ip('route', 'replace', 'default', ...over(outward, 'inside'));
    this.outer.ip('route', 'replace', EXTERNAL, ...over(inward, 'outside'));
  }

  /** Packets of one address of the client leave by that gateway, whatever else is routed. */
  pin(address: string, way: GatewayName): void {
    const table = way === 'gw1' ? '101' : '102';
    this.inner.ip('route', 'replace', 'default', 'via', OWN[way].inside, 'table', table);
    this.inner.ip('rule', 'add', 'from', address, 'lookup', table, 'priority', String(1000 + Number(table)));
  }

  /** What the scenario is for, shown by flows whose replies come back by the other gateway. */
  async show(): Promise<string> {
    const lines: string[] = [];
    for (const [outward, inward] of [['gw1', 'gw2'], ['gw2', 'gw1'], ['both', 'both']] as const) {
      this.route(outward, inward);
      const flows = await tcpFlows(this.client, SERVER, 200);
      const seen = [...tally(flows.map(({ peer }) => peer)).keys()];
      lines.push(`200 flows out by ${outward}, back by ${inward}: ${flows.filter(({ ok }) => ok).length} completed, seen as ${seen.join(', ')}`);
    }
    lines.push('', 'Whose ports are whose (weir leases):', (await this.gateways.gw1.daemon.ask('leases')).trimEnd());
    return lines.join('\n');
  }

  get drawing(): string { return DRAWING; }
  get shellHost(): Host { return this.client; }
  get socket(): string | null { return this.gateways.gw1.daemon.socket; }

  get commands(): RunningScenario['commands'] {
    const on = (host: Host, command: string): string => `ip netns exec ${host.namespace} ${command}`;
    const ip = (host: Host, command: string): string => `ip -n ${host.namespace} ${command}`;
    const ask = (name: GatewayName, command: string): string => `bin/weir ${command} --socket ${this.gateways[name].daemon.socket}`;
    return [
      { command: on(this.client, `curl http://${SERVER}/`), shows: 'the address it is seen as: one, whichever way it goes' },
      { command: ip(this.inner, 'route show default'), shows: 'out over both gateways' },
      { command: ip(this.outer, `route show ${EXTERNAL}`), shows: 'and back over both' },
      { command: ip(this.outer, `route replace ${EXTERNAL} via ${OWN.gw2.outside}`), shows: 'all replies by gw2' },
      { command: ask('gw1', 'leases'), shows: 'whose ports are whose' },
      { command: ask('gw1', 'share'), shows: 'how it stands with the store and the other instance' },
      { command: ask('gw2', 'flows'), shows: 'flows of both' },
      { command: `kill -9 ${this.gateways.gw1.daemon.process?.pid}`, shows: 'its ports are free again once its leases have run out' },
    ];
  }

  close(): void { this.lab.close(); }
}

export const scenario: Scenario = {
  name: 'active-active',
  summary: 'two gateways at the same time behind one address, between routers that send replies by either',
  options: [],
  up() { return ActiveActive.up(); },
};
