/**
 * The topology every peer is measured on: one LAN, two uplinks, each to a gateway of its own, and a far end behind both.
 *
 *   ┌ client ─────────────┐   ┌ router ─────────────────────┐   ┌ server ─────────────────────┐
 *   │                eth0 ├───┤ lan                    wan1 ├───┤ wan1  198.51.100.1          │
 *   │ 10.0.0.10 … .17     │   │ 10.0.0.1       198.51.100.2 │   │                             │
 *   │ via 10.0.0.1        │   │                        wan2 ├───┤ wan2  203.0.113.1           │
 *   │                     │   │                 203.0.113.2 │   │ 198.18.0.0/16 all its own   │
 *   └─────────────────────┘   └─────────────────────────────┘   └─────────────────────────────┘
 *
 * kernel   veth cables; the router namespace forwards with a multipath route hashed over ports and SNAT in nftables.
 * raw      veth cables; weir runs in the router namespace and takes its three ends over.
 * tap      no cables: the devices of client and server are weir's own TAP devices, opened inside their namespaces.
 * bridge   weir's TAP devices are in the router namespace, each on a bridge with the router's end of a veth cable.
 * raw+     as raw, with established flows offloaded to the kernel.
 * bridge+  as bridge, with that. (From device to device the kernel hands frames within one namespace only: there is no tap+.)
 *
 * Every peer has its three hosts to itself and stays up for the whole run, so that rounds can go back and forth between peers.
 */
import type { Host, Lab } from '../../netns/kit/lab.js';
import type { Process } from '../../netns/kit/process.js';
import { waitFor } from '../../netns/kit/wait.js';
import { assertRuns, said, socketOf, START_MS, startWeir } from './weir.js';

export type Peer = 'kernel' | 'raw' | 'tap' | 'raw+' | 'bridge' | 'bridge+';
export const PEERS: readonly Peer[] = ['kernel', 'raw', 'tap', 'raw+', 'bridge', 'bridge+'];
/** In names of namespaces and devices. */
const NAMES: Record<Peer, string> = { kernel: 'kernel', raw: 'raw', tap: 'tap', 'raw+': 'rawo', bridge: 'br', 'bridge+': 'bro' };

/** First address of the far end, and how many it has. */
export const SERVER = '198.18.0.1';
export const SERVERS = 60_000;
/** First address of the client, and how many it has. */
export const CLIENT = '10.0.0.10';
export const CLIENTS = 8;

const UPLINKS = [
  { link: 'wan1', own: '198.51.100.2', gateway: '198.51.100.1' },
  { link: 'wan2', own: '203.0.113.2', gateway: '203.0.113.1' },
] as const;

export class Site {
  readonly peer: Peer;
  readonly client: Host;
  readonly router: Host;
  readonly server: Host;
  private readonly lab: Lab;
  private daemon: Process | null = null;

  private readonly name: string;

  private constructor(lab: Lab, peer: Peer, name: string) {
    this.lab = lab;
    this.peer = peer;
    this.name = name;
    this.client = lab.host(`${name}client`);
    this.router = lab.host(`${name}router`);
    this.server = lab.host(`${name}server`);
    if (peer === 'tap') return;
    lab.cable(`${name}lan`, { host: this.router, device: 'lan' }, { host: this.client, device: 'eth0' });
    for (const { link } of UPLINKS) lab.cable(`${name}${link}`, { host: this.router, device: link }, { host: this.server, device: link });
    if (peer.startsWith('bridge')) for (const device of ['lan', 'wan1', 'wan2']) this.bridge(device);
  }

  /** The site of a peer, up, with packets getting through. `variant`: one more site of that peer, of another name, whose configuration has something besides. */
  static async up(lab: Lab, peer: Peer, variant?: { name: string; configure(router: Host): Promise<object> }): Promise<Site> {
    const site = new Site(lab, peer, variant?.name ?? NAMES[peer]);
    if (peer === 'kernel') site.routeWithKernel();
    else await site.startWeir(peer, await variant?.configure(site.router) ?? {});
    site.addressEnds();
    try {
      await waitFor(async () => (await site.client.ping(SERVER, 1)).received === 1, START_MS, `the ${peer} client to reach ${SERVER}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${site.log()}`, { cause: error });
    }
    return site;
  }

  /** The router's process; null where the router is the kernel. */
  get routerPid(): number | null { return this.daemon?.pid ?? null; }

  /** What the daemon said last. */
  log(): string { return this.daemon === null ? '' : said(this.daemon); }

  /** Throws when the router has ended meanwhile. */
  assertRunning(): void { if (this.daemon !== null) assertRuns(this.daemon); }

  /** A bridge with the router's end of a cable on it. */
  private bridge(device: string): void {
    const { router } = this;
    router.ip('link', 'add', `br-${device}`, 'type', 'bridge');
    router.ip('link', 'set', device, 'master', `br-${device}`);
    for (const name of [device, `br-${device}`]) router.ip('link', 'set', name, 'up');
  }

  private addressEnds(): void {
    const { client, server } = this;
    const firstHost = Number(CLIENT.split('.')[3]);
    for (let i = 0; i < CLIENTS; i++) client.ip('address', 'add', `10.0.0.${firstHost + i}/24`, 'dev', 'eth0');
    client.ip('link', 'set', 'eth0', 'up');
    client.ip('route', 'add', 'default', 'via', '10.0.0.1');
    for (const { link, gateway } of UPLINKS) {
      server.ip('address', 'add', `${gateway}/24`, 'dev', link);
      server.ip('link', 'set', link, 'up');
    }
    server.ip('route', 'add', 'local', '198.18.0.0/16', 'dev', 'lo');
  }

  private routeWithKernel(): void {
    const { router } = this;
    router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.fib_multipath_hash_policy': 1, 'net.ipv4.conf.all.send_redirects': 0 });
    router.ip('address', 'add', '10.0.0.1/24', 'dev', 'lan');
    for (const { link, own } of UPLINKS) router.ip('address', 'add', `${own}/24`, 'dev', link);
    router.ip('route', 'add', 'default', ...UPLINKS.flatMap(({ link, gateway }) => ['nexthop', 'via', gateway, 'dev', link, 'weight', '1']));
    router.runNow(['nft', '-f', '-'], { input: `table ip bench { chain postrouting { type nat hook postrouting priority srcnat;
${UPLINKS.map(({ link, own }) => `      oifname "${link}" snat to ${own}`).join('\n')}
      }
    }
` });
  }

  /** Where the daemon is asked. */
  get socket(): string { return socketOf(this.lab, this.name); }

  private async startWeir(peer: Exclude<Peer, 'kernel'>, more: object): Promise<void> {
    const link = (device: string, address: string, host: Host, far: string): object => ({
      addresses: [`${address}/24`],
      ...(peer === 'tap' ? { type: 'tap', device: far, netns: host.namespace }
        : peer.startsWith('bridge') ? { type: 'tap', device: `weir-${device}`, bridge: `br-${device}` } : { type: 'raw', device }),
    });
    this.daemon = await startWeir(this.lab, this.router, this.name, {
      ...more,
      ...(peer.endsWith('+') ? {} : { limits: { offloadedFlows: 0 } }),
      links: {
        lan: link('lan', '10.0.0.1', this.client, 'eth0'),
        ...Object.fromEntries(UPLINKS.map((uplink) => [uplink.link, link(uplink.link, uplink.own, this.server, uplink.link)])),
      },
      uplinks: Object.fromEntries(UPLINKS.map((uplink) => [`by-${uplink.link}`, { link: uplink.link, gateway: uplink.gateway }])),
      groups: { internet: { uplinks: UPLINKS.map((uplink) => `by-${uplink.link}`) } },
      routes: { default: { to: '0.0.0.0/0', group: 'internet' } },
    });
  }
}
