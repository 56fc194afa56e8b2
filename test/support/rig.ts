/**
 * A whole router on memory links, from a small plan. The lab is always the same one, with pieces to add:
 *
 *   pc1 192.168.0.4 ──┐                       ┌── wan1 192.168.201.11 ──┐
 *   pc2 192.168.0.5 ──┴─ lan 192.168.0.1  [R] ┤                         ├── gateway 192.168.201.1 ── the world
 *   (dmz 10.9.0.9 ────── dmz 10.9.0.1)        └── wan2 192.168.201.13 ──┘   (two devices, one on each cable)
 *   (box 100.64.0.2 ──── host 100.64.0.1, TUN)
 *
 * After everything it does the rig checks what must always hold: each frame received is counted under exactly one verdict of its
 * link, IP headers that leave are right and have hops left, what leaves an uplink bears one of the router's addresses there.
 */
import * as assert from 'uvu/assert';
import { ManualClock } from '../../src/base/clock.js';
import type { GroupPlan, LimitsPlan, LinkPlan, Plan, RoutePlan, SharePlan, TimeoutsPlan, UplinkPlan } from '../../src/base/plan.js';
import { affinityBytes } from '../../src/balance/affinity.js';
import { persistenceBytes, persistenceCapacity } from '../../src/balance/persistence.js';
import { ringBytes } from '../../src/base/ring.js';
import { V, VERDICTS } from '../../src/base/verdict.js';
import type { VerdictName } from '../../src/base/verdict.js';
import { KIND_PACKET, KIND_TUN } from '../../src/link/batch.js';
import { Exchange } from '../../src/link/exchange.js';
import { MemoryIo } from '../../src/link/memory.js';
import { turn } from '../../src/pipeline.js';
import { Router } from '../../src/stage/router.js';
import type { Notice, SharedMemory } from '../../src/stage/router.js';
import { countersBytes, countersShape, RX_PACKETS } from '../../src/table/counters.js';
import { flowTableBytes } from '../../src/table/flow.js';
import type { OffloadDevice, OffloadWay } from '../../src/table/offload.js';
import { neighbourTableBytes } from '../../src/table/neighbour.js';
import { VirtualRouters } from '../../src/vrrp/virtual-routers.js';
import * as make from './frames.js';
import { onesSum } from './frames.js';

/** What sharing is in a plan that has none. */
export const NOT_SHARED: SharePlan = { store: 'memory', instance: 'one', require: false, flushMs: 5, holdMs: 200, leaseMs: 600_000, portBlock: 1024, aliveMs: 3000 };

export const PC1 = '192.168.0.4';
export const PC2 = '192.168.0.5';
export const LAN = '192.168.0.1';
export const WAN1 = '192.168.201.11';
export const WAN2 = '192.168.201.13';
export const GATEWAY = '192.168.201.1';
export const DMZ = '10.9.0.1';
export const DMZ_HOST = '10.9.0.9';
export const HOST = '100.64.0.1';
export const BOX = '100.64.0.2';
export const SERVER = '198.51.100.7';

export const MAC = {
  lan: '02:00:00:00:00:01', wan1: '02:00:00:00:00:11', wan2: '02:00:00:00:00:13', dmz: '02:00:00:00:00:09',
  pc1: '02:00:00:00:04:04', pc2: '02:00:00:00:04:05', dmzHost: '02:00:00:00:09:09',
  /** The gateway's address on each cable. */
  gateway1: '02:00:00:00:01:01', gateway2: '02:00:00:00:02:01',
} as const;

export type LinkName = 'lan' | 'wan1' | 'wan2' | 'dmz' | 'host';

/** Our own MAC address on each link. */
export const OUR_MAC: Record<LinkName, string> = { lan: MAC.lan, wan1: MAC.wan1, wan2: MAC.wan2, dmz: MAC.dmz, host: '' };

export interface RigOptions {
  dmz?: boolean;
  /** A TUN link to the box itself. */
  host?: boolean;
  /** wan2 has a subnet of its own: 203.0.113.2/24, gateway 203.0.113.1. */
  separate?: boolean;
  /** Weights of the two uplinks; 1:0 keeps everything on wan1. */
  weights?: [number, number];
  mtu?: Partial<Record<LinkName, number>>;
  offloads?: Partial<Record<LinkName, number>>;
  routes?: RoutePlan[];
  /** Addresses instead of the uplinks' own; [] = no translation. */
  snat?: string[];
  limits?: Partial<LimitsPlan>;
  timeouts?: Partial<TimeoutsPlan>;
  /** Fields of every uplink, and of single links, that are not the usual ones. */
  uplink?: Partial<UplinkPlan>;
  second?: Partial<UplinkPlan>;
  group?: Partial<GroupPlan>;
  link?: Partial<Record<LinkName, Partial<LinkPlan>>>;
  /** Rules and the like: whole parts of the plan. */
  plan?: Partial<Pick<Plan, 'groups' | 'policies' | 'virtualServers' | 'realServers' | 'filters' | 'portForwards' | 'oneToOne' | 'noNat' | 'algs' | 'tcpMidstream' | 'vrrp' | 'share'>>;
  /** Inside addresses that a rule lets leave by an uplink as they are. */
  untranslated?: string[];
  /** False: no neighbour has been heard of. */
  neighbours?: boolean;
  /** False: the links are still down. */
  up?: boolean;
  /** What forwards offloaded flows of the links that have a way, and how many. */
  offload?: { device: OffloadDevice; ways: Partial<Record<LinkName, OffloadWay>>; flows: number };
  /** Rings to and from a share worker, of so many words. */
  rings?: number;
  seed?: number;
}

/** A frame that left. */
export interface Sent { link: LinkName; frame: Buffer; vnet: Buffer; isArp: boolean; /** From the IP header on. */ packet: Buffer }

export interface FrameOptions { vnet?: Buffer | undefined; vlanTci?: number; source?: string; destination?: string; type?: number }

export class Rig {
  readonly router: Router;
  readonly clock = new ManualClock(1_000_000);
  readonly notices: Notice[] = [];
  readonly names: LinkName[];
  readonly exchange: Exchange;
  readonly io: MemoryIo;
  /** What the control plane reads. */
  readonly memory: SharedMemory;
  readonly options: RigOptions;
  private readonly allowed = new Map<LinkName, Set<string>>();

  constructor(options: RigOptions) {
    this.options = options;
    const plan = planOf(options);
    this.names = plan.links.map((link) => link.name as LinkName);
    const kinds = this.names.map((name) => (name === 'host' ? KIND_TUN : KIND_PACKET));
    this.exchange = new Exchange((link) => this.router.countSendError(link));
    this.io = new MemoryIo(this.exchange, kinds);
    this.exchange.connect(this.io);
    this.memory = {
      flows: new SharedArrayBuffer(flowTableBytes(plan.limits.flows)),
      counters: new SharedArrayBuffer(countersBytes(countersShape(plan))),
      neighbours: new SharedArrayBuffer(neighbourTableBytes(plan.limits.neighbours)),
      affinity: new SharedArrayBuffer(affinityBytes(plan.limits.affinity)),
      persistence: new SharedArrayBuffer(persistenceBytes(persistenceCapacity(plan))),
      ...(options.rings === undefined ? {} : { journal: new SharedArrayBuffer(ringBytes(options.rings)), inbox: new SharedArrayBuffer(ringBytes(options.rings)) }),
    };
    this.router = new Router(
      plan,
      this.names.map((name, i) => ({ kind: kinds[i], mac: OUR_MAC[name], mtu: options.mtu?.[name] ?? 1500, offloads: options.offloads?.[name] ?? 0, way: options.offload?.ways[name] ?? null })),
      this.exchange,
      this.memory,
      this.clock,
      (notice) => this.notices.push(notice),
      options.offload?.device ?? null,
    );
    if (plan.vrrp.length > 0) this.router.election = new VirtualRouters(this.router);
    for (const uplink of plan.uplinks) {
      const own = plan.links[uplink.link].addresses.map((a) => a.address);
      const ruled = [...plan.portForwards.filter((rule) => rule.uplink === uplink.index).flatMap((rule) => rule.addresses),
        ...plan.oneToOne.filter((rule) => rule.uplink === uplink.index).map((rule) => rule.external)];
      if (uplink.snat.length > 0) this.allowed.set(this.names[uplink.link], new Set([...own, ...uplink.snat, ...ruled, ...plan.virtualServers.flatMap(({ addresses }) => addresses), ...plan.vrrp.flatMap(({ addresses }) => addresses.map(({ address }) => address)), ...options.untranslated ?? []]));
    }
  }

  /** Queue a frame as it is. */
  put(link: LinkName, frame: Buffer, options: FrameOptions = {}): void {
    this.io.receive(this.index(link), frame, options.vnet, options.vlanTci);
  }

  /** An IP packet in a frame from the neighbour it would come from. */
  frame(link: LinkName, packet: Buffer, options: FrameOptions = {}): Buffer {
    if (link === 'host') return packet;
    const source = options.source ?? this.senderMac(link, packet);
    return make.ethernet({ source, destination: options.destination ?? OUR_MAC[link], type: options.type }, packet);
  }

  /** A packet comes in by a link; what leaves because of it, without ARP. */
  from(link: LinkName, packet: Buffer, options: FrameOptions = {}): Sent[] {
    this.put(link, this.frame(link, packet, options), options);
    return this.run().filter((sent) => !sent.isArp);
  }

  /** As `from`, but the packet must be refused with this verdict. */
  refused(verdict: VerdictName, link: LinkName, packet: Buffer, options: FrameOptions = {}): Sent[] {
    return this.counted(verdict, link, () => this.from(link, packet, options));
  }

  /** Runs something that must count exactly one more of a verdict on a link. */
  counted<T>(verdict: VerdictName, link: LinkName, run: () => T): T {
    const before = this.verdicts(link);
    const result = run();
    const after = this.verdicts(link);
    const changed = VERDICTS.filter((row) => after[row.name] !== before[row.name]).map((row) => `${row.name} ${after[row.name] - before[row.name]}`);
    assert.equal(changed, [`${verdict} 1`], `verdict: expected ${verdict} 1, got ${changed.join(', ') || 'none'}`);
    return result;
  }

  /** Turns until nothing is left to do; everything that left since the last time, ARP included. */
  run(): Sent[] {
    let turns = 0;
    do {
      turn(this.router, 0);
      assert.ok(++turns < 10_000, 'the router comes to rest');
    } while (this.isBusy());
    return this.take();
  }

  /** One turn; what left in it. */
  step(): Sent[] {
    turn(this.router, 0);
    return this.take();
  }

  /** Time passes in steps, with a turn after each. */
  advance(byMs: number, stepMs = byMs): Sent[] {
    const sent: Sent[] = [];
    for (let left = byMs; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left));
      sent.push(...this.run());
    }
    return sent;
  }

  /** Every neighbour answers as if it had been asked, so that all are REACHABLE. */
  teach(): void {
    for (const { link, address, mac } of this.stations()) {
      // Once makes the entry, twice confirms it.
      for (let i = 0; i < 2; i++) this.put(link, this.arpReply(link, address, mac));
    }
    this.run();
  }

  /** The stations of some links answer as if they had been asked. */
  teachAll(...links: LinkName[]): void {
    for (const { link, address, mac } of this.stations()) if (links.includes(link)) this.put(link, this.arpReply(link, address, mac));
    this.run();
  }

  /** The answer of a station to a question of ours. */
  arpReply(link: LinkName, sender: string, senderMac: string): Buffer {
    const target = this.addressOf(link);
    return make.ethernet({ source: senderMac, destination: OUR_MAC[link], type: make.ETHERTYPE.arp },
      make.arp({ operation: 'reply', senderMac, sender, targetMac: OUR_MAC[link], target }));
  }

  arpRequest(sender: string, senderMac: string, target: string, destination: string = make.BROADCAST_MAC): Buffer {
    return make.ethernet({ source: senderMac, destination, type: make.ETHERTYPE.arp }, make.arp({ operation: 'request', senderMac, sender, target }));
  }

  setUp(link: LinkName, isUp: boolean): void { this.router.setLinkUp(this.index(link), isUp); }

  index(link: LinkName): number { return this.names.indexOf(link); }

  addressOf(link: LinkName): string { return this.router.plan.links[this.index(link)].addresses[0].address; }

  verdict(link: LinkName, name: VerdictName): number { return this.router.counters.verdict(this.index(link), V[name]); }

  verdicts(link: LinkName): Record<string, number> {
    return Object.fromEntries(VERDICTS.map((row) => [row.name, this.router.counters.verdict(this.index(link), row.number)]));
  }

  get flowCount(): number { return this.router.flows.count; }

  /** The stations of the lab on its links. */
  stations(): { link: LinkName; address: string; mac: string }[] {
    const all: { link: LinkName; address: string; mac: string }[] = [
      { link: 'lan', address: PC1, mac: MAC.pc1 }, { link: 'lan', address: PC2, mac: MAC.pc2 },
      { link: 'wan1', address: GATEWAY, mac: MAC.gateway1 }, { link: 'wan2', address: this.options.separate ? '203.0.113.1' : GATEWAY, mac: MAC.gateway2 },
      { link: 'dmz', address: DMZ_HOST, mac: MAC.dmzHost },
    ];
    return all.filter(({ link }) => this.names.includes(link));
  }

  private isBusy(): boolean {
    const { exchange } = this;
    return exchange.txCount > 0 || this.io.waitingCount > 0 || this.router.fates.isPending || this.router.replicas?.isPending === true;
  }

  private senderMac(link: LinkName, packet: Buffer): string {
    const source = packet.length >= 20 ? make.formatAddress(packet.subarray(12, 16)) : '';
    const stations = this.stations().filter((station) => station.link === link);
    return (stations.find((station) => station.address === source) ?? stations[0]).mac;
  }

  private take(): Sent[] {
    const sent = this.io.sent.splice(0).map(({ link, frame, vnet }): Sent => {
      const name = this.names[link];
      const bytes = Buffer.from(frame);
      return {
        link: name, frame: bytes, vnet: Buffer.from(vnet), isArp: name !== 'host' && bytes.readUInt16BE(12) === make.ETHERTYPE.arp,
        packet: name === 'host' ? bytes : bytes.subarray(14),
      };
    });
    this.checkAlways(sent);
    return sent;
  }

  /** What holds whatever has happened. */
  private checkAlways(sent: Sent[]): void {
    for (const { link, packet, isArp } of sent) {
      if (isArp) continue;
      const header = (packet[0] & 15) * 4;
      // What is said of a failure is written only then: packets leave by the million.
      if (packet[0] >> 4 !== 4 || header < 20 || onesSum(packet.subarray(0, header)) !== 0xffff) assert.unreachable(`IP header that left by ${link}: ${packet.toString('hex', 0, 60)}`);
      assert.is(packet.readUInt16BE(2), packet.length, 'total length of what left');
      if (link !== 'host') assert.ok(packet[8] > 0, 'hops left');
      const allowed = this.allowed.get(link);
      if (allowed === undefined) continue;
      const source = make.formatAddress(packet.subarray(12, 16));
      if (!allowed.has(source)) assert.unreachable(`${source} left by ${link}: ${packet.toString('hex', 0, 60)}`);
    }
    const { counters } = this.router;
    for (let link = 0; link < this.names.length; link++) {
      let total = 0;
      for (let i = 0; i < VERDICTS.length; i++) total += counters.verdict(link, VERDICTS[i].number);
      assert.is(total, counters.link(link, RX_PACKETS), `verdicts of ${this.names[link]} add up to what it received`);
    }
  }
}

/** A router with its links up, its announcements made and its neighbours known, unless told otherwise. */
export function rig(options: RigOptions = {}): Rig {
  const made = new Rig(options);
  if (options.up === false) return made;
  for (const name of made.names) made.setUp(name, true);
  made.advance(3000, 1000);
  if (options.neighbours !== false) made.teach();
  return made;
}

function planOf(options: RigOptions): Plan {
  const wan2 = options.separate ? { address: '203.0.113.2', gateway: '203.0.113.1' } : { address: WAN2, gateway: GATEWAY };
  const links: LinkPlan[] = [];
  const add = (name: LinkName, address: string, prefixLength: number, peer?: string): number => {
    links.push({
      index: links.length, name, type: name === 'host' ? 'tun' : 'raw', device: name, addresses: [{ address, prefixLength }], defaultRoute: false, offload: true,
      mssClamp: 'auto', sourceCheck: name === 'host' ? 'off' : name.startsWith('wan') ? 'feasible' : 'strict',
      ...(peer === undefined ? {} : { peer }), ...options.link?.[name],
    });
    return links.length - 1;
  };
  add('lan', LAN, 24);
  const one = add('wan1', WAN1, 24);
  const two = add('wan2', wan2.address, 24);
  if (options.dmz) add('dmz', DMZ, 24);
  if (options.host) add('host', HOST, 30, BOX);
  const [first, second] = options.weights ?? [3, 1];
  const usual = { mapping: 'endpoint-independent', filtering: 'endpoint-independent', whenExhausted: 'share', refreshInbound: true } as const;
  const uplinks: UplinkPlan[] = [
    { index: 0, name: 'one', link: one, gateway: GATEWAY, weight: first, snat: options.snat ?? [WAN1], ...usual, ...options.uplink },
    { index: 1, name: 'two', link: two, gateway: wan2.gateway, weight: second, snat: options.snat ?? [wan2.address], ...usual, ...options.uplink, ...options.second },
  ];
  return {
    generation: 1, seed: options.seed ?? 20_240_501, links, uplinks,
    routes: options.routes ?? [{ name: 'default', to: '0.0.0.0/0', group: 0 }],
    groups: [{
      index: 0, name: 'internet', uplinks: [0, 1], tiers: [1, 1], balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 300, lastResort: 'unreachable',
      ...options.group,
    }],
    policies: [], virtualServers: [], realServers: [], vrrp: [], share: NOT_SHARED, filters: [], portForwards: [], oneToOne: [], noNat: [], algs: [{ name: 'ftp', ports: [21] }], tcpMidstream: 'reset', ...options.plan,
    limits: {
      flows: 2048, neighbours: 64, neighbourQueue: 4, heldPackets: 64, fragments: 32, fragmentBytes: 1_048_576,
      icmpErrorsPerSecond: 1000, icmpErrorsPerDestination: 100,
      flowsPerSource: 0, portsPerSource: 0, expectations: 32, affinity: 64, heldSyns: 32, offloadedFlows: options.offload?.flows ?? 0, sharedChanges: 4096, heldFetches: 32, snatPortFirst: 1024, snatPortLast: 65_535, ...options.limits,
    },
    timeouts: {
      tcpOpening: 240, tcpEstablished: 7440, tcpClosing: 240, tcpTimeWait: 120, udp: 300, udpReplied: 300, icmp: 60, other: 600, fragment: 30,
      neighbourReachable: 30, neighbourStale: 600, portQuarantine: 120, synHold: 6, expectation: 30, ...options.timeouts,
    },
    hooks: { directory: '/etc/weir/hooks.d', user: 'nobody', timeoutMs: 10_000 },
    control: { socket: '/run/weir/weir.sock', logLevel: 'info' },
  };
}
