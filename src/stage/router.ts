/**
 * The router: the tables a stage may touch, made from a plan. Constructing one opens no device and starts no timer; it gets its packets
 * from an Exchange and its time from a Clock.
 */
import type { Clock } from '../base/clock.js';
import type { LinkPlan, Plan } from '../base/plan.js';
import { Random } from '../base/random.js';
import { Watch } from '../alg/watch.js';
import { AffinityTable } from '../balance/affinity.js';
import { makeGroups, Uplink } from '../balance/uplink.js';
import type { Group } from '../balance/uplink.js';
import { VirtualServers } from '../balance/virtual-server.js';
import type { RealServer, ServerNotice } from '../balance/virtual-server.js';
import { KIND_TUN } from '../link/batch.js';
import type { Exchange } from '../link/exchange.js';
import {
  AFFINITY_EVICTED, BRIEF_CUT_PERCENT, BUCKETS_EVICTED, Counters, countersShape, RX_ERRORS, SEGMENTS_STRANGE, SYNS_HELD, SYNS_REFUSED, SYNS_TAKEN, TX_ERRORS, TX_PACKETS, UPLINK_USABLE, WINDOWS_EXHAUSTED,
  WINDOWS_RELEARNED, WINDOWS_USED,
} from '../table/counters.js';
import { Elected, HELD_LEAVING, isHeld, unacceptedAddresses } from '../table/elected.js';
import type { LinkElected } from '../table/elected.js';
import { ExpectationTable } from '../table/expectation.js';
import { Fib } from '../table/fib.js';
import { FlowTable } from '../table/flow.js';
import { FilterRules } from '../table/filter-rule.js';
import { FragmentTable } from '../table/fragment.js';
import { HeldFetches } from '../table/held-fetch.js';
import { HeldPackets } from '../table/held.js';
import { InboxReader } from '../table/inbox.js';
import { IpIds } from '../table/ip-id.js';
import { JournalWriter } from '../table/journal.js';
import { MappingTable } from '../table/mapping.js';
import { externalAddresses, NatRules } from '../table/nat-rule.js';
import { NeighbourTable, REACHABLE } from '../table/neighbour.js';
import { NexthopTable } from '../table/nexthop.js';
import type { OffloadDevice, OffloadWay } from '../table/offload.js';
import { Policies } from '../table/policy.js';
import { planRoutes } from '../table/route.js';
import type { Route } from '../table/route.js';
import { SynHold } from '../table/syn-hold.js';
import { TcpWindows } from '../table/tcp-window.js';
import { onlyVirtualAddresses, virtualAddresses, virtualAddressesOn } from '../table/virtual-server.js';
import { RateLimit } from '../table/rate-limit.js';
import { SentDatagrams } from '../table/sent-datagram.js';
import { maskOf, parseIpv4, parseMac, V4_MAPPED } from '../wire/address.js';
import { Packet } from '../wire/packet.js';
import { Tuple } from '../wire/tuple.js';
import { Replicas, tellEnd } from './adopt.js';
import { announce, solicit } from './arp.js';
import { Claims } from './claim.js';
import type { Election, VrrpNotice } from './election.js';
import { giveWindow } from './confirm.js';
import { Expecting } from './expected.js';
import { Fates } from './fate.js';
import type { Fate, FateCounts, FateReason } from './fate.js';
import { detach } from './inspect.js';
import { giveBack, release } from './mapping.js';
import { Offload } from './offload.js';
import { Probes } from './probe.js';
import type { ProbeOutcome } from './probe.js';
import { Timeouts } from './timeout.js';
import { discharge } from './virtual-server.js';

export const NONE = -1;

/** Trouble with a link's device is told of once in this time. */
const ERROR_INTERVAL_MS = 10_000;

/** What is known of a link's device once it is open. */
export interface LinkDevice {
  /** KIND_* of link/batch.ts. */
  kind: number;
  /** Our MAC address on the link; ignored for TUN. */
  mac: string;
  mtu: number;
  /** OFFLOAD_* bits the device takes. */
  offloads: number;
  /** How the kernel reaches it by itself; null or absent = all its frames go through the pipeline. */
  way?: OffloadWay | null;
}

/** Memory shared with the control plane. */
export interface SharedMemory {
  flows: SharedArrayBuffer;
  counters: SharedArrayBuffer;
  neighbours: SharedArrayBuffer;
  affinity: SharedArrayBuffer;
  /** What virtual servers remember (balance/persistence.ts); absent = nobody lists it. */
  persistence?: SharedArrayBuffer;
  /** Rings to and from the share worker (table/journal.ts, table/inbox.ts); absent = nothing is shared with other instances. */
  journal?: SharedArrayBuffer;
  inbox?: SharedArrayBuffer;
  /** Leased ports (table/lease-board.ts). */
  leases?: SharedArrayBuffer;
}

/** Why an uplink takes no new flows; null = it does. */
export type UplinkReason = 'linkDown' | 'gatewaySilent' | 'unhealthy' | 'drained' | null;

/** Something worth telling a person; sent to the control plane, never per packet. */
export type Notice =
  | { event: 'addressConflict'; link: string; address: string; mac: string }
  /** An uplink may take new flows, or may not any more, or still not, but for another reason. */
  | { event: 'uplink'; uplink: number; isUsable: boolean; reason: UplinkReason }
  /** What has become of flows of an uplink: those of this turn (stage/fate.ts, `readFates`), of `total` since the change that caused it. */
  | { event: 'fate'; uplink: number; fate: Fate; reason: FateReason; flows: Int32Array; total: number }
  /** Every flow of an uplink has met its fate since something changed; `detail` is what its check says is wrong with it, if that is known. */
  | ({ event: 'failover'; uplink: number; reason: FateReason; detail: string | null; tookMs: number } & FateCounts)
  /** The same of a real server's flows. */
  | { event: 'serverFate'; server: number; fate: Fate; reason: FateReason; flows: Int32Array; total: number }
  | ({ event: 'serverFailover'; server: number; reason: FateReason; detail: string | null; tookMs: number } & FateCounts)
  | ServerNotice
  | VrrpNotice
  /** A probe made in the data plane has been answered, or will not be. */
  | ProbeOutcome
  | { event: 'deviceError'; link: string; errno: number }
  /** So many percent of an address's ports are taken: in use, or resting for a while after their use. */
  | { event: 'portsLow'; uplink: string; address: string; protocol: string; percent: number; used: number; resting: number; total: number };

/** A link as the stages see it. */
export class Link {
  readonly index: number;
  readonly name: string;
  readonly hasEthernet: boolean;
  readonly macHigh: number;
  readonly macLow: number;
  readonly mtu: number;
  readonly offloads: number;
  /** Our addresses, int32, with their masks. */
  readonly addresses: readonly { address: number; mask: number }[];
  /** Those, and the ones of its virtual routers, whoever has them now: what is in their networks is on the link. */
  private readonly networks: readonly { address: number; mask: number }[];
  /** Uplinks that lead out by this link. */
  readonly uplinks: Uplink[] = [];
  /** How its packets' sources are checked (stage/source-check.ts), and by link: 1 = an uplink there shares a group with one here. */
  readonly sourceCheck: LinkPlan['sourceCheck'];
  /** Highest MSS let through: 'auto' by MTU, a number of bytes, or Infinity. */
  readonly mssClamp: 'auto' | number;
  readonly siblings: Uint8Array;
  /** Addresses we answer for here, those of virtual routers while they are ours: our own, those the link's uplinks translate to, those of their NAT rules, and the virtual ones of its networks. */
  readonly claimed: Set<number>;
  /** Virtual addresses, whichever link they are on: what is asked of them is answered by the link it came in by. */
  private readonly virtual: ReadonlySet<number>;
  /** Addresses that virtual routers of this link have; null = there are none. */
  readonly elected: LinkElected | null;
  private readonly allElected: Elected;
  /** Not in use before the wire has been asked whether somebody has them (stage/claim.ts). */
  readonly probesAddresses: boolean;
  isUp = false;
  hasBeenUp = false;
  /** When we last defended each of them (RFC 5227 §2.4). */
  readonly defendedAtMs = new Map<number, number>();
  /** ARP that may still be looked at, and when that was last topped up (stage/arp.ts). */
  arpTokens = 0;
  arpFilledAtMs = -Infinity;
  /** When we last told of trouble with its device. */
  errorToldAtMs = -Infinity;

  constructor(plan: LinkPlan, device: LinkDevice, whole: Plan, elected: Elected) {
    this.elected = elected.links[plan.index];
    this.allElected = elected;
    this.index = plan.index;
    this.name = plan.name;
    this.hasEthernet = device.kind !== KIND_TUN;
    const mac = this.hasEthernet ? parseMac(device.mac) : { high: 0, low: 0 };
    this.macHigh = mac.high;
    this.macLow = mac.low;
    this.mtu = device.mtu;
    this.offloads = device.offloads;
    this.addresses = plan.addresses.map((a) => ({ address: parseIpv4(a.address), mask: maskOf(a.prefixLength) }));
    this.sourceCheck = plan.sourceCheck;
    this.mssClamp = plan.mssClamp === 'off' ? Infinity : plan.mssClamp;
    const isHere = (uplink: number): boolean => whole.uplinks[uplink].link === plan.index;
    const shared = new Set(whole.groups.filter((group) => group.uplinks.some(isHere)).flatMap((group) => group.uplinks.map((uplink) => whole.uplinks[uplink].link)));
    this.siblings = Uint8Array.from(whole.links, (_, i) => (shared.has(i) ? 1 : 0));
    const others = new Set(whole.vrrp.filter(({ link }) => link !== plan.index).flatMap(({ addresses }) => addresses.map(({ address }) => parseIpv4(address))));
    const here = whole.vrrp.filter(({ link }) => link === plan.index).flatMap(({ addresses }) => addresses.map(({ address, prefixLength }) => ({ address: parseIpv4(address), mask: maskOf(prefixLength) })));
    this.networks = [...this.addresses, ...here];
    this.claimed = new Set([...this.addresses.map((own) => own.address), ...externalAddresses(whole, plan.index), ...virtualAddressesOn(whole, plan.index)].filter((one) => !others.has(one)));
    for (const { address } of here) this.claimed.add(address);
    this.virtual = new Set(virtualAddresses(whole));
    this.probesAddresses = this.hasEthernet && plan.probeAddresses === true && [...this.claimed].some((one) => !elected.has(one));
  }

  hasAddress(address: number): boolean {
    for (let i = 0; i < this.addresses.length; i++) if (this.addresses[i].address === address) return true;
    return false;
  }

  answersFor(address: number): boolean { return this.claimed.has(address) && (this.elected === null || this.elected.holds(address)); }

  /** True for an address that may be seen here as one of ours. */
  maySpeakFor(address: number): boolean { return (this.claimed.has(address) || this.virtual.has(address)) && this.allElected.holds(address); }

  /** True for an address of a virtual router, whose owner the election finds: no address to ask the wire for. */
  isElected(address: number): boolean { return this.allElected.has(address); }

  /** Low word of the MAC address that goes with a source address, and its high word is VIRTUAL_MAC_HIGH then; 0 = the link's own; NOT_OURS = it is another router's. */
  virtualMacOf(source: number): number { return this.elected === null ? 0 : this.elected.macOf(source); }

  /** True when an uplink of this link translates: inside addresses must not be seen there. */
  get translates(): boolean {
    for (let i = 0; i < this.uplinks.length; i++) if (this.uplinks[i].snat.length > 0) return true;
    return false;
  }

  /** Our address in the subnet of `address`, or our first one; 0 when the link has none that is ours now. One of our own comes before one of a virtual router. */
  addressTowards(address: number): number {
    for (const own of this.networks) if (((own.address ^ address) & own.mask) === 0 && this.holds(own.address)) return own.address;
    return this.primaryAddress;
  }

  /** The first of its own addresses that is ours now, or 0: what a virtual router's adverts are sent from (RFC 9568 §5.1.1.1). */
  get primaryAddress(): number {
    for (const own of this.addresses) if (this.holds(own.address)) return own.address;
    return 0;
  }

  private holds(address: number): boolean { return this.elected === null || this.elected.holds(address); }

  /** True when `address` is on one of the link's subnets. */
  isOnLink(address: number): boolean {
    for (const own of this.networks) if (((own.address ^ address) & own.mask) === 0) return true;
    return false;
  }
}

/** A packet the router made, waiting to be sent through `originate`. */
export interface Made {
  ipAt: number;
  end: number;
  /** Nexthop it must take, or NONE: by the FIB. */
  nexthop: number;
  /** Its source is the one that its flow's packets bear there: it leaves with it. */
  bearsFlowsSource?: boolean;
}

export class Router {
  readonly plan: Plan;
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly packet: Packet;
  readonly counters: Counters;
  readonly links: readonly Link[];
  /** Addresses of virtual routers, and which of them are ours now. */
  readonly elected: Elected;
  /** Who decides that; null = there are none. Given by who makes the router, before its first turn. */
  election: Election | null = null;
  /** The TUN link to the box itself, or null. */
  readonly hostLink: Link | null;
  /** The nexthop to the box, or NONE. */
  readonly hostNexthop: number;
  readonly uplinks: readonly Uplink[];
  readonly groups: readonly Group[];
  /** Addresses the box binds to so that its packets leave by an uplink of its choice (UplinkPlan.pin), int32, and that uplink. */
  readonly pins: ReadonlyMap<number, number>;
  /** Addresses the box asks real servers from (RealServerPlan.pin), int32. */
  readonly serverPins: ReadonlySet<number>;
  readonly virtualServers: VirtualServers;
  /** How long flows live on, by protocol and state (stage/timeout.ts). */
  readonly timeouts: Int32Array;
  private readonly lifetimes: Timeouts;
  /** Virtual addresses that are nothing else, int32. */
  readonly onlyVirtual: ReadonlySet<number>;
  /** Addresses of virtual routers that do not answer for them (RFC 9568 §6.1, Accept_Mode), int32. */
  readonly unaccepted: ReadonlySet<number>;
  readonly affinity: AffinityTable;
  readonly policies: Policies;
  readonly nexthops = new NexthopTable();
  /** What the FIB's numbers mean, and the nexthop of each (NONE for a group, an own address or a refusal). */
  readonly routes: readonly Route[];
  readonly routeNexthops: number[] = [];
  readonly fib = new Fib();
  readonly mappings: MappingTable;
  readonly natRules: NatRules;
  readonly filterRules: FilterRules;
  readonly flows: FlowTable;
  readonly neighbours: NeighbourTable;
  readonly held: HeldPackets;
  /** Packets waiting for neighbours, all together. */
  heldCount = 0;
  /** Neighbours whose waiting packets `turn` is to send on, and to refuse. */
  readonly answered: number[] = [];
  readonly unanswered: number[] = [];
  readonly fragments: FragmentTable;
  /** Control flows, and the flows their ALGs expect. */
  readonly watch: Watch;
  readonly expectations: ExpectationTable;
  readonly expecting: Expecting;
  readonly synHold: SynHold;
  readonly windows: TcpWindows;
  readonly offload: Offload;
  readonly icmpLimit: RateLimit;
  readonly probes: Probes;
  readonly claims: Claims;
  readonly ipIds: IpIds;
  readonly sentDatagrams: SentDatagrams;
  readonly random: Random;
  readonly outbox: Made[] = [];
  /** Tuple of the packet an ICMP error quotes, and a spare one. */
  readonly quoted = new Tuple();
  readonly spare = new Tuple();
  readonly fates: Fates;
  /** To and from the share worker; null = nothing is shared. */
  readonly journal: JournalWriter | null;
  readonly inbox: InboxReader | null;
  /** What comes from others, and the packets that wait for it; null = nothing is shared. */
  readonly replicas: Replicas | null;
  readonly fetches: HeldFetches | null;
  /** Told of what a person should know. */
  readonly notify: (notice: Notice) => void;
  /** Milliseconds, read once a turn. */
  nowMs = 0;
  /** Goes up with every change that flows may have to be looked at for; a flow knows the one it was last looked at (stage/fate.ts). */
  epoch: number;
  /** The epoch at which the plan last became another one: flows of before decide again where they go. */
  planEpoch: number;
  /** More flows are due to expire than one turn may look at. */
  isBehind = false;
  /** Seconds since start, the flow table's time. */
  tick = 0;
  private readonly startMs: number;
  private readonly electedRoutes: { address: number; local: number; elsewhere: number }[] = [];
  private announcements: { link: Link; left: number; atMs: number }[] = [];
  private askGatewaysAtMs = 0;
  /** By uplink: why it takes no new flows. */
  private readonly uplinkReasons: UplinkReason[];
  private nextId: number;

  constructor(
    plan: Plan, devices: readonly LinkDevice[], exchange: Exchange, memory: SharedMemory, clock: Clock, notify: (notice: Notice) => void,
    offload: OffloadDevice | null = null,
  ) {
    this.plan = plan;
    this.exchange = exchange;
    this.clock = clock;
    this.notify = notify;
    this.packet = new Packet(exchange.arena);
    this.random = new Random(plan.seed);
    this.nextId = this.random.below(65536);
    this.startMs = clock.nowMs();
    this.journal = memory.journal === undefined ? null : new JournalWriter(memory.journal);
    this.inbox = memory.inbox === undefined ? null : new InboxReader(memory.inbox);
    this.nowMs = this.startMs;
    this.counters = new Counters(memory.counters, countersShape(plan));
    this.elected = new Elected(plan);
    this.links = plan.links.map((link, i) => new Link(link, devices[i], plan, this.elected));
    this.hostLink = this.links.find((link, i) => !link.hasEthernet && plan.links[i].type === 'tun' && plan.links[i].peer !== undefined) ?? null;
    this.hostNexthop = this.hostLink === null ? NONE : this.nexthops.intern(this.hostLink.index, null, NONE);
    this.uplinks = plan.uplinks.map((uplink) => {
      const gateway = uplink.gateway === undefined ? null : parseIpv4(uplink.gateway);
      return new Uplink(uplink, gateway, uplink.snat.map(parseIpv4),
        this.nexthops.internUplink(uplink.link, gateway, uplink.index), this.nexthops.internUplink(uplink.link, null, uplink.index));
    });
    for (const uplink of this.uplinks) this.links[uplink.link].uplinks.push(uplink);
    this.epoch = plan.generation;
    this.planEpoch = plan.generation;
    this.uplinkReasons = this.uplinks.map(() => 'linkDown');
    this.pins = new Map(plan.uplinks.flatMap(({ index, pin }) => (pin === undefined ? [] : [[parseIpv4(pin), index] as const])));
    this.serverPins = new Set(plan.realServers.flatMap(({ pin }) => (pin === undefined ? [] : [parseIpv4(pin)])));
    this.onlyVirtual = onlyVirtualAddresses(plan);
    this.unaccepted = unacceptedAddresses(plan);
    this.affinity = new AffinityTable(
      memory.affinity, plan.limits.affinity, [...plan.groups, ...plan.policies].map((owner) => owner.affinity), plan.seed,
      () => this.counters.addRouter(AFFINITY_EVICTED, 1));
    this.groups = makeGroups(plan, this.uplinks, this.affinity);
    this.policies = new Policies(plan);
    this.flows = new FlowTable(memory.flows, plan.limits.flows, this.random.next(), (flow) => {
      if (this.journal !== null) tellEnd(this, flow, this.journal);
      this.offload.release(flow);
      giveBack(this, flow);
      detach(this, flow);
      giveWindow(this, flow);
      if (!this.virtualServers.isEmpty) discharge(this, flow);
    });
    this.neighbours = new NeighbourTable(
      memory.neighbours, plan.limits.neighbours, this.random.next(), plan.timeouts.neighbourReachable * 1000, plan.timeouts.neighbourStale * 1000, {
        solicit: (link, address, unicast, macHigh, macLow) => solicit(this, link, address, unicast, macHigh, macLow),
        answered: (entry) => this.onNeighbour(entry, true),
        failed: (entry) => this.onNeighbour(entry, false),
        changed: (entry) => this.offload.neighbourChanged(entry),
      });
    for (const { index, neighbours = [] } of plan.links) {
      for (const { address, mac } of neighbours) {
        const { high, low } = parseMac(mac);
        this.neighbours.fix(index, parseIpv4(address), high, low, V4_MAPPED, this.nowMs);
      }
    }
    this.held = new HeldPackets(plan.limits.heldPackets);
    this.fragments = new FragmentTable(plan.limits.fragments, plan.limits.fragmentBytes, this.random.next(), plan.timeouts.fragment * 1000);
    this.synHold = new SynHold(plan.limits.heldSyns, this.random.next());
    this.windows = new TcpWindows(plan.limits.flows);
    this.offload = new Offload(this, offload, devices.map((device) => device.way ?? null), plan.limits.offloadedFlows);
    this.icmpLimit = new RateLimit(plan.limits.icmpErrorsPerSecond, plan.limits.icmpErrorsPerDestination, this.random.next());
    this.ipIds = new IpIds(this.random);
    this.sentDatagrams = new SentDatagrams(this.random.next());
    this.mappings = new MappingTable(plan, this.random, memory.leases);
    this.natRules = new NatRules(plan);
    this.filterRules = new FilterRules(plan.filters, plan.links.length, plan.seed, () => this.counters.addRouter(BUCKETS_EVICTED, 1));
    this.expectations = new ExpectationTable(plan.limits.expectations, this.random.next(), (mapping) => this.releasePort(mapping));
    this.watch = new Watch(plan.algs);
    this.expecting = new Expecting(this);
    this.fates = new Fates(this);
    this.probes = new Probes(this);
    this.replicas = this.inbox === null ? null : new Replicas(this, this.inbox);
    this.fetches = this.inbox === null || plan.share.holdMs === 0 ? null : new HeldFetches(plan.limits.heldFetches, plan.links.length, plan.share.holdMs, this.random.next());
    this.virtualServers = new VirtualServers(plan, this.counters, this.random, () => this.nowMs, (notice) => {
      if (notice.event === 'virtualServer') this.election?.changed();
      notify(notice);
    }, memory.persistence);
    this.claims = new Claims(this, (link) => this.useLink(link, true));
    this.tellRest();
    this.lifetimes = new Timeouts(plan.timeouts);
    this.timeouts = this.lifetimes.table;
    this.routes = planRoutes(plan);
    this.fillFib();
    if (!this.elected.isEmpty) this.findElectedRoutes();
  }

  /** What tables remember besides flows is told to other instances as well. */
  private tellRest(): void {
    const { journal, replicas } = this;
    if (journal === null || replicas === null) return;
    this.expectations.onMade = (entry) => replicas.tellExpectation(entry, journal);
    this.expectations.onGone = (entry, isUsed) => replicas.tellUnexpected(entry, isUsed, journal);
    this.affinity.onKeep = (entry) => replicas.tellAffinity(entry, journal);
    this.affinity.onErase = (entry) => replicas.tellAffinityErased(entry, journal);
    const { persistence } = this.virtualServers;
    persistence.onErase = (owner, at) => replicas.tellPersistenceErased(owner, persistence.words, at, journal);
  }

  /** An identification for a packet of the router's own (RFC 6864 §4.1: need not be unique when DF is set, but must not repeat soon). */
  nextIpId(): number { return (this.nextId = (this.nextId + 1) & 0xffff); }

  /** Read the clock; once a turn. */
  readClock(): void {
    this.nowMs = this.clock.nowMs();
    if (this.mappings.leases !== null) this.mappings.leases.tick(this.nowMs);
    const tick = Math.floor((this.nowMs - this.startMs) / 1000);
    if (tick === this.tick) return;
    this.tick = tick;
    if (this.mappings.leases !== null) this.mappings.leases.sweep(tick);
    this.publish();
  }

  /** Copy what tables count for themselves to where the control plane reads it. */
  private publish(): void {
    const { counters, windows, synHold, watch } = this;
    counters.setRouter(BRIEF_CUT_PERCENT, this.lifetimes.press(this.flows.count / this.flows.capacity, windows.used / windows.capacity));
    counters.setRouter(WINDOWS_USED, windows.used);
    counters.setRouter(WINDOWS_EXHAUSTED, windows.exhausted);
    counters.setRouter(SEGMENTS_STRANGE, windows.strange);
    counters.setRouter(WINDOWS_RELEARNED, windows.relearned);
    counters.setRouter(SYNS_HELD, synHold.count);
    counters.setRouter(SYNS_TAKEN, synHold.taken);
    counters.setRouter(SYNS_REFUSED, synHold.refused);
    for (let i = 0; i < watch.counts.length; i++) counters.setAlg(i, watch.counts[i]);
    this.replicas?.publish();
  }

  /** A link's device came up or went down: neighbours, uplinks and announcements follow in the same step. */
  setLinkUp(index: number, isUp: boolean): void {
    const link = this.links[index];
    if (link.probesAddresses && !link.isUp) {
      if (isUp) return this.claims.begin(link);
      this.claims.end(link);
    }
    this.useLink(link, isUp);
  }

  private useLink(link: Link, isUp: boolean): void {
    const { index } = link;
    if (link.isUp === isUp) return;
    link.isUp = isUp;
    this.nexthops.setLink(index, isUp);
    this.offload.invalidate();
    this.election?.changed();
    if (isUp) this.announcements.push({ link, left: 3, atMs: this.nowMs });
    else this.neighbours.flush(index);
    // At the start packets wait for the gateway like for any neighbour. A link that comes back gets no new flows before its gateway has
    // answered: the far end's port may take a second longer than ours to carry frames.
    const hasBeenUp = link.hasBeenUp;
    link.hasBeenUp ||= isUp;
    this.askGatewaysAtMs = this.nowMs;
    for (const uplink of link.uplinks) {
      uplink.hasGateway = !hasBeenUp || !this.hasGatewayNeighbour(uplink);
      this.settleUplink(uplink);
    }
  }

  /** What an uplink's check has found; `reason` is its phrase for what is wrong. */
  setUplinkHealth(index: number, isHealthy: boolean, reason: string | null = null): void {
    const uplink = this.uplinks[index];
    // The box's own questions that brought it back went by its gateway; the data plane's vouch for themselves (stage/probe.ts).
    const { check } = this.plan.uplinks[index];
    if (isHealthy && !uplink.isHealthy && uplink.gateway !== null && check?.probes.every(({ kind }) => kind !== 'arp' && kind !== 'script') === true) {
      this.neighbours.confirm(uplink.link, 0, 0, V4_MAPPED, uplink.gateway, this.nowMs);
    }
    uplink.isHealthy = isHealthy;
    this.fates.explain(uplink, reason);
    this.settleUplink(uplink);
  }

  /** Its share of new flows from now on; 0 = none. */
  setUplinkWeight(index: number, weight: number): void {
    const uplink = this.uplinks[index];
    if (uplink.weight === weight) return;
    const counted = uplink.weight > 0;
    uplink.weight = weight;
    for (const group of this.groups) group.update(uplink);
    // With a weight or without one: there is somewhere better to go now, or there is not any more.
    if (counted !== weight > 0) this.invalidateDecisions();
  }

  /** Take an uplink out of use by hand, or back: no new flows, the old ones stay. */
  setUplinkDrained(index: number, isDrained: boolean): void {
    const uplink = this.uplinks[index];
    uplink.isDrained = isDrained;
    this.settleUplink(uplink);
  }

  /** What a real server's check has found; `reason` is its phrase for what is wrong, `weight` what a script has given it. */
  setServerHealth(index: number, isUp: boolean, reason: string | null = null, weight?: number): void {
    const server = this.virtualServers.servers[index];
    this.fates.explainServer(server.index, isUp ? null : reason);
    if (weight !== undefined && weight !== server.wanted) this.virtualServers.setWeight(server, weight, this.nowMs);
    if (server.isUp !== isUp) this.settleServer(server, this.virtualServers.setHealth(server, isUp, reason, this.nowMs));
  }

  /** Its share of new flows from now on; 0 = none, old ones stay. */
  setServerWeight(index: number, weight: number): void { this.virtualServers.setWeight(this.virtualServers.servers[index], weight, this.nowMs); }

  /** Take a real server out of use by hand, or back: no new flows; the old ones stay, or, `isFlushed`, end now. */
  setServerDrained(index: number, isDrained: boolean, isFlushed: boolean): void {
    const server = this.virtualServers.servers[index];
    this.settleServer(server, this.virtualServers.setDrained(server, isDrained, isFlushed, this.nowMs));
  }

  /** A real server was lost, or is not any more: its flows are to be looked at. */
  private settleServer(server: RealServer, isChange: boolean): void {
    if (!isChange) return;
    this.invalidateDecisions();
    if (server.isLost) this.fates.expectServer(server);
  }

  /** An uplink's state from all that is known of it: groups, flows and the control plane learn of a change in the same step. */
  private settleUplink(uplink: Uplink): void {
    const isLinkUp = this.links[uplink.link].isUp;
    const isUp = isLinkUp && uplink.hasGateway && uplink.isHealthy;
    const isUsable = isUp && !uplink.isDrained;
    const reason = !isLinkUp ? 'linkDown' : !uplink.hasGateway ? 'gatewaySilent' : !uplink.isHealthy ? 'unhealthy' : uplink.isDrained ? 'drained' : null;
    const had = this.uplinkReasons[uplink.index];
    if (uplink.isUp === isUp && uplink.isUsable === isUsable && had === reason) return;
    const isChange = uplink.isUp !== isUp || uplink.isUsable !== isUsable || (had === 'linkDown') === isLinkUp;
    const wasUp = uplink.isUp;
    uplink.isUp = isUp;
    uplink.isUsable = isUsable;
    this.uplinkReasons[uplink.index] = reason;
    this.nexthops.setUplink(uplink.index, isUp);
    for (const group of this.groups) group.update(uplink);
    if (isChange) this.invalidateDecisions();
    if (wasUp && !isUp) this.fates.expect(uplink);
    this.counters.setUplink(uplink.index, UPLINK_USABLE, isUsable ? 1 : 0);
    this.election?.changed();
    this.notify({ event: 'uplink', uplink: uplink.index, isUsable, reason });
  }

  /** What has been decided about flows may not hold any more: each is looked at again before it goes on. Who forwards by decisions of its own forgets them here. */
  invalidateDecisions(): void {
    this.epoch = (this.epoch + 1) | 0;
    this.offload.invalidate();
    this.fates.begin();
  }

  /**
   * A virtual router's addresses (HELD_* of table/elected.ts) are ours from now on, or another router's: the FIB says so to all that look an address up, and
   * flows decide again. What is sent to an address that is not ours goes on to who has it.
   */
  setHeld(virtualRouter: number, held: number): void {
    const was = this.elected.heldOf(virtualRouter);
    if (was === held) return;
    this.elected.set(virtualRouter, held);
    // What was to be forwarded a moment longer has been.
    if (was === HELD_LEAVING) this.offload.invalidate();
    if (isHeld(was) === isHeld(held)) return;
    for (const { address, local, elsewhere } of this.electedRoutes) {
      if (this.elected.ownerOf(address) !== virtualRouter) continue;
      if (isHeld(held)) this.fib.insert(address, 32, local);
      else if (elsewhere === NONE) this.fib.remove(address, 32);
      else this.fib.insert(address, 32, elsewhere);
    }
    this.offload.setElected(virtualRouter, isHeld(held));
    this.decideAgain();
  }

  /** Another plan: flows decide again where they go, within what they have promised. */
  decideAgain(): void {
    this.planEpoch = (this.epoch + 1) | 0;
    this.invalidateDecisions();
  }

  private hasGatewayNeighbour(uplink: Uplink): boolean { return uplink.gateway !== null && this.links[uplink.link].hasEthernet; }

  /** A neighbour has answered, or will not: an uplink follows its gateway. */
  private onNeighbour(entry: number, hasAnswered: boolean): void {
    if (!hasAnswered) this.offload.neighbourChanged(entry);
    (hasAnswered ? this.answered : this.unanswered).push(entry);
    const address = this.neighbours.address(entry);
    const link = this.links[this.neighbours.link(entry)];
    if (!link.isUp) return;
    for (const uplink of link.uplinks) {
      if (uplink.gateway === address) this.setGateway(uplink, hasAnswered);
    }
  }

  private setGateway(uplink: Uplink, hasAnswered: boolean): void {
    uplink.hasGateway = hasAnswered;
    this.settleUplink(uplink);
  }

  /** Ask the gateways of uplinks that wait for theirs, once a second. */
  askGateways(): void {
    if (this.nowMs < this.askGatewaysAtMs) return;
    this.askGatewaysAtMs = this.nowMs + 1000;
    for (const uplink of this.uplinks) {
      if (uplink.hasGateway || uplink.gateway === null || !this.links[uplink.link].isUp || !this.hasGatewayNeighbour(uplink)) continue;
      const known = this.neighbours.find(uplink.link, 0, 0, V4_MAPPED, uplink.gateway);
      if (known === NONE) this.neighbours.solicit(uplink.link, 0, 0, V4_MAPPED, uplink.gateway, this.nowMs);
      else if (this.neighbours.state(known) === REACHABLE) this.setGateway(uplink, true);
      else this.neighbours.ask(known, this.nowMs);
    }
  }

  /** Gratuitous ARP, three times a second apart, for a link that came up (RFC 5227 §2.3 asks for two). */
  announceDue(): void {
    if (this.announcements.length === 0) return;
    for (const due of this.announcements) {
      if (due.atMs > this.nowMs || !due.link.isUp) continue;
      announce(this, due.link);
      due.left--;
      due.atMs = this.nowMs + 1000;
    }
    this.announcements = this.announcements.filter((due) => due.left > 0 && due.link.isUp);
  }

  /** Milliseconds until something is due, at most `most`; 0 while expiry has not caught up. */
  idleMs(most: number): number {
    if (this.isBehind || this.fates.isPending) return 0;
    if (this.answered.length > 0 || this.unanswered.length > 0) return 0;
    if (this.replicas !== null && this.replicas.isPending) return 0;
    let at = Math.min(this.neighbours.nextDueMs, this.probes.nextDueMs, this.fates.dueMs, this.claims.dueMs, this.virtualServers.dueMs, this.offload.nextDueMs);
    if (this.election !== null) at = Math.min(at, this.election.dueMs);
    for (const due of this.announcements) at = Math.min(at, due.atMs);
    if (this.fetches !== null) at = Math.min(at, this.fetches.dueMs);
    return Math.max(0, Math.min(most, Math.ceil(at - this.nowMs)));
  }

  /** True for every address that is the router's own, on whichever link. */
  isOwnAddress(address: number): boolean {
    const number = this.fib.lookup(address);
    return number !== NONE && this.routes[number].kind === 'local';
  }

  /** True for the broadcast addresses of our subnets. */
  isBroadcast(address: number): boolean {
    const number = this.fib.lookup(address);
    return number !== NONE && this.routes[number].kind === 'broadcast';
  }

  /** Any address of the router, for a link that has none of its own; 0 when there is none at all. */
  get anyAddress(): number {
    for (const link of this.links) if (link.primaryAddress !== 0) return link.primaryAddress;
    return 0;
  }

  countSent(link: number, bytes: number): void {
    this.counters.countFrame(link, TX_PACKETS, bytes);
  }

  /** Reading a device failed. Counted each time, told of at most once in a while: it may be every frame. */
  deviceError(index: number, errno: number): void {
    this.counters.addLink(index, RX_ERRORS, 1);
    const link = this.links[index];
    if (this.nowMs - link.errorToldAtMs < ERROR_INTERVAL_MS) return;
    link.errorToldAtMs = this.nowMs;
    this.notify({ event: 'deviceError', link: link.name, errno });
  }

  /** A device would not take a frame. */
  countSendError(link: number): void { this.counters.addLink(link, TX_ERRORS, 1); }

  /** Give one use of a mapping (its pool << 16 | its port) back. */
  releasePort(mapping: number): void { release(this, mapping, false); }

  /** By address of a virtual router: its route while it is ours, and the network it is in, or NONE: the routes know of none. */
  private findElectedRoutes(): void {
    const { routes, elected } = this;
    routes.forEach(({ kind, prefix: address }, local) => {
      if (kind !== 'local' || !elected.has(address)) return;
      let elsewhere = NONE;
      routes.forEach((route, number) => {
        if (route.kind !== 'connected' || route.prefixLength === 32 || ((route.prefix ^ address) & maskOf(route.prefixLength)) !== 0) return;
        if (elsewhere === NONE || route.prefixLength > routes[elsewhere].prefixLength) elsewhere = number;
      });
      this.electedRoutes.push({ address, local, elsewhere });
      if (elsewhere === NONE) this.fib.remove(address, 32);
      else this.fib.insert(address, 32, elsewhere);
    });
  }

  private fillFib(): void {
    this.routes.forEach((route, number) => {
      this.fib.insert(route.prefix, route.prefixLength, number);
      this.routeNexthops.push(route.link === NONE || route.kind === 'local' || route.kind === 'broadcast'
        ? NONE : this.nexthops.intern(route.link, route.via, this.uplinkFor(route.link, route.via)));
    });
  }

  /** The uplink a flow leaving by `link` (through `gateway`) belongs to, or NONE when the link has none. */
  private uplinkFor(link: number, gateway: number | null): number {
    const uplinks = this.links[link].uplinks;
    const exact = uplinks.find((uplink) => uplink.gateway === gateway);
    return (exact ?? uplinks[0])?.index ?? NONE;
  }
}
