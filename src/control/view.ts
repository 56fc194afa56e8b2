/**
 * What the control plane sees of a running router: the API's JSON made from shared memory, the plan and the links' states. Reads only; nothing
 * here waits for the data plane or makes it wait.
 */
import type { Plan, PortRangePlan } from '../base/plan.js';
import { VERDICTS } from '../base/verdict.js';
import { affinityBytes, readAffinity } from '../balance/affinity.js';
import { persistenceBytes, persistenceCapacity, persistenceOwners, readPersistence } from '../balance/persistence.js';
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from '../link/batch.js';
import type { OpenedLink } from '../link/link.js';
import {
  AFFINITY_EVICTED, BRIEF_CUT_PERCENT, BUCKETS_EVICTED, CLAIM, CLAIM_ASKING, CLAIM_NONE, CONTROL_FLOWS_UNWATCHED, Counters, countersShape, DECLINED, EXPECTATIONS_REFUSED,
  FILTER_BYTES, FILTER_PACKETS, LONGEST_TURN_US, NOW_MS, OFFLOADED_FLOWS, OFFLOADED_RX_BYTES, OFFLOADED_RX_PACKETS, OFFLOADED_TX_BYTES,
  OFFLOADED_TX_PACKETS, OFFLOAD_DECLINED, PERSISTENCE_EVICTED, PERSISTENCE_REFUSED, PROBES_REFUSED, RX_BYTES, RX_ERRORS, RX_PACKETS, SEGMENTS_STRANGE, SYNS_HELD, SYNS_REFUSED, SYNS_TAKEN,
  TURNS, TX_BYTES, TX_ERRORS, TX_PACKETS, UPLINK_FLOWS, UPLINK_NEW_FLOWS, UPLINK_PORTS_REFUSED, UPLINK_PORTS_SHARED, UPLINK_PORTS_USED,
  UPLINK_RX_BYTES, UPLINK_RX_PACKETS, UPLINK_TX_BYTES, UPLINK_TX_PACKETS, UPLINK_USABLE, WINDOWS_EXHAUSTED, WINDOWS_RELEARNED, WINDOWS_USED,
} from '../table/counters.js';
import { ALG, COUNTERS, CREATED, DEADLINE, FLAG_DNAT, FLAGS, IN_LINK, INWARD, OFFLOADED, ORIGINAL_TUPLE, REPLY_TUPLE, servedBy, STATE, UPLINK } from '../table/flow.js';
import { DEFAULT_STATES } from '../table/filter-rule.js';
import { FlowReader } from '../table/flow-reader.js';
import { BUCKETS } from '../table/token-bucket.js';
import { NEIGHBOUR_STATES, readNeighbours } from '../table/neighbour.js';
import { formatPrefix, planRoutes } from '../table/route.js';
import { STATE_MASK, STATE_NAMES } from '../table/tcp-state.js';
import { windowsOf } from '../table/tcp-window.js';
import { formatIpv4, formatMac, maskOf, parseIpv4 } from '../wire/address.js';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.js';
import type {
  AffinityFilter, AffinityPage, AffinityStatus, DropStatus, FilterStatus, FlowFilter, FlowPage, FlowStatus, HealthStatus, LinkStatus, NeighbourStatus, PersistenceFilter, PersistencePage, PersistenceStatus, Problem, RouterView, RouteStatus, UplinkStatus, ViewedStatus,
  VirtualServerStatus,
} from './api/types.js';
import type { ShareReport, VirtualRouterStatus } from './api/share-types.js';
import { SCHEMA_VERSION } from './api/types.js';
import { Rates } from './rate.js';
import { serverProblems, ServerView } from './server-view.js';
import { ShareView } from './share-view.js';
import { vrrpProblems, VrrpView } from './vrrp-view.js';

/** Table entries one call of `flows` looks at, so that the main thread answers others in between. */
const FLOW_SCAN = 50_000;
/** And one call of `affinity`. */
const AFFINITY_SCAN = 10_000;
/** Port pools of one translation address: TCP, UDP, ICMP. */
const POOLS_PER_ADDRESS = 3;
/** What is over makes room earlier on any busy box; kept for half of its time only, it is worth telling. */
const CUT_WARNS_PERCENT = 50;
const OFFLOADS: readonly [number, string][] = [
  [OFFLOAD_CSUM, 'csum'], [OFFLOAD_TSO4, 'tso4'], [OFFLOAD_TSO6, 'tso6'], [OFFLOAD_ECN, 'ecn'], [OFFLOAD_USO, 'uso'],
];
const PROTOCOLS: ReadonlyMap<number, string> = new Map([[PROTOCOL_ICMP, 'icmp'], [PROTOCOL_TCP, 'tcp'], [PROTOCOL_UDP, 'udp']]);

interface LinkState { isUp: boolean; reason: string | null; sinceMs: number }

/** What is known of an uplink beyond its counters. */
interface UplinkState {
  /** What the data plane has last said is wrong with it beyond its link, and when. */
  trouble: string | null;
  sinceMs: number;
  /** What its check has last found; null without a check. */
  health: HealthStatus | null;
  isDrained: boolean;
  /** No longer drained, and the data plane has not said yet what it makes of that. */
  isReturning: boolean;
  weight: number;
}

export interface ViewMemory { flows: SharedArrayBuffer; counters: SharedArrayBuffer; neighbours: SharedArrayBuffer; affinity: SharedArrayBuffer; persistence?: SharedArrayBuffer; leases?: SharedArrayBuffer }

/** By link: null for `way` and a reason where the kernel cannot. */
export interface ViewOffload { reason: string | null; links: readonly { way: object | null; reason: string | null }[] }

export interface ViewOptions {
  plan: Plan;
  links: readonly OpenedLink[];
  memory: ViewMemory;
  /** What of the links the kernel can forward by itself, and why not; absent = nothing, for no reason. */
  offload?: ViewOffload;
  /** Frames the kernel dropped before they could be read, since start, by link index. */
  kernelDrops: (link: number) => number;
  /** A clock that never goes back, milliseconds. */
  nowMs: () => number;
}

/** What an uplink is in a group. */
interface Membership { group: string; tier: number; wantedShare: number; share: number }

export class View implements RouterView {
  private readonly plan: Plan;
  private readonly opened: readonly OpenedLink[];
  private readonly memory: ViewMemory;
  private readonly counters: Counters;
  private readonly reader: FlowReader;
  private readonly states: LinkState[];
  private readonly uplinkStates: UplinkState[];
  private readonly rates: Rates;
  private readonly offload: ViewOffload;
  /** Virtual servers and their real ones. */
  readonly servers: ServerView;
  /** What is shared with other instances. */
  readonly sharing: ShareView;
  /** Virtual routers. */
  readonly elections: VrrpView;
  private readonly kernelDrops: (link: number) => number;
  private readonly nowMs: () => number;
  private readonly startedAtMs: number;

  constructor(options: ViewOptions) {
    this.plan = options.plan;
    this.opened = options.links;
    this.memory = options.memory;
    this.offload = options.offload ?? { reason: null, links: this.plan.links.map(() => ({ way: null, reason: null })) };
    this.kernelDrops = options.kernelDrops;
    this.nowMs = options.nowMs;
    this.startedAtMs = options.nowMs();
    this.counters = new Counters(options.memory.counters, countersShape(this.plan));
    this.reader = new FlowReader(options.memory.flows, this.plan.limits.flows);
    this.uplinkStates = this.plan.uplinks.map(({ weight }) => ({ trouble: null, sinceMs: Date.now(), health: null, isDrained: false, isReturning: false, weight }));
    this.rates = new Rates(this.plan.uplinks.length, (uplink) => [this.counters.uplink(uplink, UPLINK_TX_BYTES), this.counters.uplink(uplink, UPLINK_RX_BYTES)], this.nowMs);
    this.servers = new ServerView(this.plan, this.counters, this.nowMs);
    this.sharing = new ShareView(this.plan, this.nowMs, this.memory.leases ?? null);
    this.elections = new VrrpView(this.plan, this.counters, (link) => this.linkState(link).isUp);
    this.states = this.plan.links.map(() => ({ isUp: false, reason: 'starting', sinceMs: Date.now() }));
  }

  /** A link's device changed; true when that is news. */
  setLink(index: number, isUp: boolean, reason: string | null): boolean {
    const state = this.states[index];
    if (state.isUp === isUp && state.reason === reason) return false;
    const isNews = state.isUp !== isUp || state.reason === 'starting';
    this.states[index] = { isUp, reason, sinceMs: state.isUp === isUp && !isNews ? state.sinceMs : Date.now() };
    return isNews;
  }

  /** An uplink was taken into use or out of it; `trouble` is what is wrong with it beyond its link. */
  setUplink(index: number, trouble: string | null): void { this.note(index, { trouble, isReturning: false, sinceMs: Date.now() }); }

  /** An uplink's check has made a round. Moments in it are Unix time. */
  setHealth(index: number, health: HealthStatus): void { this.note(index, { health }); }

  /** An uplink was drained by hand, or no longer is. */
  setDrained(index: number, isDrained: boolean): void {
    if (this.uplinkStates[index].isDrained !== isDrained) this.note(index, { isDrained, isReturning: !isDrained, sinceMs: Date.now() });
  }

  /** An uplink was given another weight. */
  setWeight(index: number, weight: number): void {
    const before = this.uplinkStates[index].weight;
    // From 0 and to 0 it is another state that begins.
    this.note(index, { weight, ...((before === 0) === (weight === 0) ? {} : { sinceMs: Date.now() }) });
  }

  private note(index: number, news: Partial<UplinkState>): void { this.uplinkStates[index] = { ...this.uplinkStates[index], ...news }; }

  /** Take the sample that rates are made of; to be called about every second. */
  sampleRates(): void {
    this.rates.sample();
    this.servers.sample();
  }

  status(): ViewedStatus {
    const links = this.links();
    const uplinks = this.uplinks();
    const virtualServers = this.virtualServers();
    const vrrp = this.vrrp();
    const problems: Problem[] = [
      ...this.plan.groups.filter((group) => group.uplinks.every((i) => uplinks[i].state !== 'up'))
        .map((group): Problem => ({ severity: 'error', subject: `group ${group.name}`, message: 'no uplink takes new flows' })),
      ...uplinks.flatMap(uplinkProblems),
      ...virtualServers.flatMap(serverProblems),
      ...this.sharing.problems(),
      ...vrrp.flatMap(vrrpProblems),
      ...links.filter((link) => link.state === 'down').map((link): Problem => ({ severity: 'error', subject: `link ${link.name}`, message: link.reason ?? 'down' })),
      ...this.nearLimits(uplinks),
    ];
    const { reader, counters } = this;
    const drops = this.drops();
    return {
      state: problems.some((problem) => problem.severity === 'error') ? 'degraded' : 'up',
      problems, uptimeMs: Math.round(this.nowMs() - this.startedAtMs), generation: this.plan.generation, links, uplinks, virtualServers,
      vrrp, share: this.share(),
      flows: { count: reader.count, limit: reader.capacity, opened: reader.opened, expired: reader.expired },
      packets: {
        received: sum(links.map((link) => link.rxPackets)), sent: sum(links.map((link) => link.txPackets)), dropped: sum(drops.map((row) => row.packets)),
      },
      offload: {
        flows: counters.getRouter(OFFLOADED_FLOWS), limit: this.plan.limits.offloadedFlows,
        packets: sum(links.map((link) => link.offloadedRxPackets)), bytes: sum(links.map((link) => link.offloadedRxBytes)),
        reason: this.offload.reason, declined: Object.fromEntries(DECLINED.map((name, i) => [name, counters.getRouter(OFFLOAD_DECLINED + i)])),
      },
      dataPlane: { turns: counters.getRouter(TURNS), longestTurnUs: Math.round(counters.getRouter(LONGEST_TURN_US)) },
      tcp: {
        windowsUsed: counters.getRouter(WINDOWS_USED), windowsLimit: windowsOf(this.plan.limits.flows), windowsRefused: counters.getRouter(WINDOWS_EXHAUSTED),
        strangeSegments: counters.getRouter(SEGMENTS_STRANGE), windowsRelearned: counters.getRouter(WINDOWS_RELEARNED),
      },
      heldSyns: {
        count: counters.getRouter(SYNS_HELD), limit: this.plan.limits.heldSyns, taken: counters.getRouter(SYNS_TAKEN), refused: counters.getRouter(SYNS_REFUSED),
      },
      algs: this.plan.algs.map(({ name }, i) => ({ name, ...counters.alg(i) })),
    };
  }

  links(): LinkStatus[] {
    return this.plan.links.map((link, i) => {
      const opened = this.opened[i];
      const state = this.linkState(i);
      const count = (counter: number): number => this.counters.link(i, counter);
      return {
        name: link.name, type: link.type, device: opened.device, netns: link.netns ?? null,
        state: state.isUp ? 'up' : 'down', reason: state.reason, sinceMs: state.sinceMs,
        mac: opened.mac, mtuBytes: opened.mtu, addresses: link.addresses.map((a) => `${a.address}/${a.prefixLength}`),
        offloads: OFFLOADS.filter(([bit]) => (opened.offloads & bit) !== 0).map(([, name]) => name),
        refused: opened.refused.map(({ feature, code, syscall }) => ({ feature, code, syscall })),
        rxPackets: count(RX_PACKETS), rxBytes: count(RX_BYTES), txPackets: count(TX_PACKETS), txBytes: count(TX_BYTES),
        rxDrops: sum(VERDICTS.map((row) => (row.kind === 'drop' ? this.counters.verdict(i, row.number) : 0))),
        txErrors: count(TX_ERRORS), kernelDrops: this.kernelDrops(i) + count(RX_ERRORS),
        flowOffload: this.offload.links[i].way !== null, flowOffloadReason: this.offload.links[i].reason,
        offloadedRxPackets: count(OFFLOADED_RX_PACKETS), offloadedRxBytes: count(OFFLOADED_RX_BYTES),
        offloadedTxPackets: count(OFFLOADED_TX_PACKETS), offloadedTxBytes: count(OFFLOADED_TX_BYTES),
      };
    });
  }

  uplinks(): UplinkStatus[] {
    const { limits } = this.plan;
    const memberships = this.memberships();
    return this.plan.uplinks.map((uplink, i) => {
      const { sinceMs, health, isDrained, weight } = this.uplinkStates[i];
      const groups = memberships[i];
      const first = groups.at(0);
      const count = (counter: number): number => this.counters.uplink(i, counter);
      const [txBps, rxBps] = this.rates.perSecond(i).map((bytes) => Math.round(bytes * 8));
      return {
        name: uplink.name, link: this.plan.links[uplink.link].name, gateway: uplink.gateway ?? null,
        groups: groups.map(({ group }) => group), tiers: groups.map(({ group, tier }) => ({ group, tier })),
        ...this.stateOf(i), sinceMs, weight, isDrained, health,
        wantedShare: first?.wantedShare ?? 0, share: first?.share ?? 0,
        snat: uplink.snat, flows: count(UPLINK_FLOWS), newFlows: count(UPLINK_NEW_FLOWS),
        txBytes: count(UPLINK_TX_BYTES), rxBytes: count(UPLINK_RX_BYTES), txPackets: count(UPLINK_TX_PACKETS), rxPackets: count(UPLINK_RX_PACKETS), txBps, rxBps,
        portsUsed: count(UPLINK_PORTS_USED),
        portsTotal: uplink.snat.length * POOLS_PER_ADDRESS * (limits.snatPortLast - limits.snatPortFirst + 1),
        portsRefused: count(UPLINK_PORTS_REFUSED), portsShared: count(UPLINK_PORTS_SHARED),
      };
    });
  }

  /** A link whose device is up is down to everybody as long as it waits for its addresses. */
  private linkState(i: number): LinkState {
    const state = this.states[i];
    const claim = this.counters.link(i, CLAIM);
    if (!state.isUp || claim === CLAIM_NONE) return state;
    return { ...state, isUp: false, reason: claim === CLAIM_ASKING ? 'asks whether its addresses are free' : 'another station has one of its addresses' };
  }

  virtualServers(): VirtualServerStatus[] { return this.servers.list(); }

  vrrp(): VirtualRouterStatus[] { return this.elections.list(); }

  share(): ShareReport { return this.sharing.report(); }

  findServer(virtualServer: string, name: string): number { return this.servers.find(virtualServer, name); }

  /** An uplink that is drained but would not work either is down: whoever drained it wants to know. */
  private stateOf(i: number): Pick<UplinkStatus, 'state' | 'reason'> {
    const link = this.linkState(this.plan.uplinks[i].link);
    const { trouble, health, isDrained, isReturning, weight } = this.uplinkStates[i];
    const wrong = link.isUp ? trouble ?? (health !== null && !health.isUp ? health.reason ?? 'its check fails' : null) : link.reason ?? 'its link is down';
    const drained = isDrained ? 'drained by hand' : weight === 0 ? 'its weight is 0' : null;
    if (this.isUsable(i) || (isReturning && wrong === null)) return { state: drained === null ? 'up' : 'drained', reason: drained };
    // The data plane does not use what is drained by hand, so there it says nothing of its state.
    if (isDrained && wrong === null) return { state: 'drained', reason: drained };
    return { state: 'down', reason: wrong ?? 'waits for its gateway to answer' };
  }

  /**
   * By uplink: the groups it is in, in their order, and what it is to have and has had of their flows. To have is by weight, of those that take new flows
   * and stand on the lowest tier where one does. Every group is looked at once, for there may be hundreds of uplinks.
   */
  private memberships(): Membership[][] {
    const of: Membership[][] = this.plan.uplinks.map(() => []);
    for (const group of this.plan.groups) {
      const takes = group.uplinks.map((j) => this.isUsable(j) && !this.uplinkStates[j].isDrained && this.uplinkStates[j].weight > 0);
      const tier = Math.min(...group.tiers.filter((_, place) => takes[place]));
      const wanted = group.uplinks.map((j, place) => (takes[place] && group.tiers[place] === tier ? this.uplinkStates[j].weight : 0));
      const taken = group.uplinks.map((j) => this.counters.uplink(j, UPLINK_NEW_FLOWS));
      const [wantedOfAll, takenOfAll] = [sum(wanted), sum(taken)];
      group.uplinks.forEach((j, place) => of[j].push({
        group: group.name, tier: group.tiers[place], wantedShare: part(wanted[place], wantedOfAll), share: part(taken[place], takenOfAll),
      }));
    }
    return of;
  }

  /** Why an uplink is not up, or null. */
  uplinkReason(index: number): string | null { return this.stateOf(index).reason; }

  /** As they are now: a virtual router's addresses are ours while it is master here, and the network's otherwise. */
  routes(): RouteStatus[] {
    const elsewhere = this.elections.addressesElsewhere();
    return planRoutes(this.plan).filter((route) => route.kind !== 'local' || !elsewhere.has(route.prefix)).map((route) => ({
      kind: route.kind, name: route.name, to: formatPrefix(route), via: route.via === null ? null : formatIpv4(route.via),
      link: route.link < 0 ? null : this.plan.links[route.link].name, group: route.group < 0 ? null : this.plan.groups[route.group].name,
      refuse: route.kind === 'static' && route.refuse !== 0 ? VERDICTS[route.refuse].name.replace('ROUTE_', '').toLowerCase() : null,
    }));
  }

  neighbours(): NeighbourStatus[] {
    const now = this.counters.getRouter(NOW_MS);
    return readNeighbours(this.memory.neighbours, this.plan.limits.neighbours).map((row) => {
      const state = NEIGHBOUR_STATES[row.state];
      return {
        address: formatIpv4(row.address), link: this.plan.links[row.link].name,
        mac: row.macHigh === 0 && row.macLow === 0 ? null : formatMac(row.macHigh, row.macLow),
        state: state === 'free' ? 'failed' : state, ageMs: state === 'permanent' ? 0 : Math.max(0, Math.round(now - row.confirmedAtMs)), queuedPackets: row.queued,
      };
    });
  }

  flows(filter: FlowFilter, cursor: number, limit: number): FlowPage {
    const { reader } = this;
    const wants = this.matcher(filter);
    const flows: FlowStatus[] = [];
    const high = reader.high;
    const stop = Math.min(high, cursor + FLOW_SCAN);
    let entry = cursor;
    for (; entry < stop && flows.length < limit; entry++) {
      if (reader.read(entry) && wants()) flows.push(this.describe(entry));
    }
    return { schemaVersion: SCHEMA_VERSION, flows, nextCursor: entry < high ? entry : null, total: reader.count, limit: reader.capacity };
  }

  affinity(filter: AffinityFilter, cursor: number): AffinityPage {
    const { groups, policies, uplinks, limits } = this.plan;
    const nowMs = this.counters.getRouter(NOW_MS);
    const end = Math.min(limits.affinity, cursor + AFFINITY_SCAN);
    const entryBytes = affinityBytes(1);
    const text = (address: number | null): string | null => (address === null ? null : formatIpv4(address));
    // A copy of a part: what reads it knows neither where the part began nor that the rest exists.
    const rows = cursor >= end ? [] : readAffinity(this.memory.affinity.slice(cursor * entryBytes, end * entryBytes), nowMs);
    const affinity = rows.map((row): AffinityStatus => {
      // Owners are the groups and behind them the policies.
      const policy = policies.at(row.owner - groups.length);
      const isOfPolicy = row.owner >= groups.length && policy !== undefined;
      const group = isOfPolicy ? policy.group : row.owner;
      return {
        group: groups[group ?? -1]?.name ?? '', policy: isOfPolicy ? policy.name : null, source: text(row.source), destination: text(row.destination),
        uplink: uplinks[row.uplink]?.name ?? '', expiresInMs: Math.max(0, Math.round(row.endsAtMs - nowMs)),
      };
    }).filter((row) => (filter.uplink === undefined || row.uplink === filter.uplink)
      && (filter.address === undefined || row.source === filter.address || row.destination === filter.address));
    return { schemaVersion: SCHEMA_VERSION, affinity, nextCursor: end < limits.affinity ? end : null, limit: limits.affinity, evicted: this.counters.getRouter(AFFINITY_EVICTED) };
  }

  persistence(filter: PersistenceFilter, cursor: number): PersistencePage {
    const { memory, plan } = this;
    const { virtualServers } = plan;
    const limit = memory.persistence === undefined ? 0 : persistenceCapacity(plan);
    const end = Math.min(limit, cursor + AFFINITY_SCAN);
    const entryBytes = persistenceBytes(1);
    const owners = persistenceOwners(virtualServers);
    const servers = filter.server === undefined ? null : this.servers.numbersOf(filter.server);
    const address = filter.address === undefined ? null : parseIpv4(filter.address);
    const { nowTick } = this.reader;
    const rows = cursor >= end ? [] : readPersistence(memory.persistence!.slice(cursor * entryBytes, end * entryBytes));
    const persistence = rows
      .filter((row) => (servers === null || servers.has(row.server)) && (address === null || ((address ^ row.network) & maskOf(row.length)) === 0))
      .map((row): PersistenceStatus => ({
        client: `${formatIpv4(row.network)}/${row.length}`, virtualServers: virtualServers.flatMap(({ name, index }) => (owners[index] === row.owner ? [name] : [])),
        server: this.servers.nameOf(row.server) ?? '', flows: row.flows, expiresInMs: row.endsAtTick === null ? null : Math.max(0, row.endsAtTick - nowTick) * 1000,
      }));
    const { counters } = this;
    return {
      schemaVersion: SCHEMA_VERSION, persistence, nextCursor: end < limit ? end : null, limit, evicted: counters.getRouter(PERSISTENCE_EVICTED), refused: counters.getRouter(PERSISTENCE_REFUSED),
    };
  }

  filters(): FilterStatus[] {
    const names = (links: readonly number[] | undefined): string[] | null => links?.map((i) => this.plan.links[i].name) ?? null;
    const ports = (ranges: readonly PortRangePlan[] | undefined): string[] | null =>
      ranges?.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)) ?? null;
    return this.plan.filters.map(({ index, name, action, states, match, over }) => ({
      name, action, states: [...states ?? DEFAULT_STATES], in: names(match.in), out: names(match.out), from: match.from ?? null, to: match.to ?? null,
      protocols: match.protocols?.map(protocolName) ?? null, sourcePorts: ports(match.sourcePorts), destinationPorts: ports(match.destinationPorts),
      over: over ?? null, packets: this.counters.filter(index, FILTER_PACKETS), bytes: this.counters.filter(index, FILTER_BYTES),
    }));
  }

  drops(): DropStatus[] {
    const rows: DropStatus[] = [];
    for (const row of VERDICTS) {
      if (row.kind !== 'drop') continue;
      const links = this.plan.links.map((link) => ({ link: link.name, packets: this.counters.verdict(link.index, row.number) }))
        .filter(({ packets }) => packets > 0);
      const own = this.counters.verdict(-1, row.number);
      const packets = sum(links.map((link) => link.packets)) + own;
      if (packets === 0) continue;
      const { answer } = row;
      rows.push({ name: row.name, sentence: row.sentence, packets, answer: answer === null ? null : answer.reset ? `tcp reset or ${answer.text}` : answer.text, links });
    }
    return rows;
  }

  private isUsable(uplink: number): boolean { return this.counters.uplink(uplink, UPLINK_USABLE) === 1; }

  /** Warn before a limit is reached, not after. */
  private nearLimits(uplinks: readonly UplinkStatus[]): Problem[] {
    const problems: Problem[] = [];
    const { count, capacity } = this.reader;
    if (count > capacity * 0.9) problems.push({ severity: 'warning', subject: 'flows', message: `${count} of ${capacity} flows in use` });
    const cutPercent = this.counters.getRouter(BRIEF_CUT_PERCENT);
    if (cutPercent > CUT_WARNS_PERCENT) {
      problems.push({ severity: 'warning', subject: 'flows', message: `short of entries (${count} of ${capacity}): what is over or unanswered is kept for ${cutPercent} % less than timeouts says; more limits.flows would help` });
    }
    for (const uplink of uplinks) {
      if (uplink.portsTotal > 0 && uplink.portsUsed > (uplink.portsTotal / POOLS_PER_ADDRESS) * 0.9) {
        problems.push({ severity: 'warning', subject: `uplink ${uplink.name}`, message: `${uplink.portsUsed} external ports in use` });
      }
    }
    for (const { name, portsRefused } of uplinks) {
      if (portsRefused > 0) problems.push({ severity: 'warning', subject: `uplink ${name}`, message: `new flows refused for want of an external port: ${portsRefused}` });
    }
    const unwindowed = this.counters.getRouter(WINDOWS_EXHAUSTED);
    if (unwindowed > 0) problems.push({ severity: 'warning', subject: 'flows', message: `TCP flows not followed by their numbers: ${unwindowed}, more than ${windowsOf(this.plan.limits.flows)} were open` });
    const evicted = this.counters.getRouter(BUCKETS_EVICTED);
    if (evicted > 0) {
      problems.push({ severity: 'warning', subject: 'filters', message: `rates per source: ${evicted} sources were forgotten too early, more than ${BUCKETS} had one` });
    }
    const unexpected = this.counters.getRouter(EXPECTATIONS_REFUSED);
    if (unexpected > 0) problems.push({ severity: 'warning', subject: 'algs', message: `limits.expectations was reached: ${unexpected} announced flows were not expected` });
    const unasked = this.counters.getRouter(PROBES_REFUSED);
    if (unasked > 0) problems.push({ severity: 'warning', subject: 'checks', message: `${unasked} probes were not sent, there were too many at once` });
    const forgotten = this.counters.getRouter(PERSISTENCE_REFUSED);
    if (forgotten > 0) problems.push({ severity: 'warning', subject: 'virtual servers', message: `limits.affinity was reached: ${forgotten} flows were not remembered for persistence` });
    const unwatched = this.counters.getRouter(CONTROL_FLOWS_UNWATCHED);
    if (unwatched > 0) problems.push({ severity: 'warning', subject: 'algs', message: `${unwatched} control flows were not watched, there were too many` });
    return problems;
  }

  /** A test of the entry the reader holds. Addresses and names are looked up once. */
  private matcher(filter: FlowFilter): () => boolean {
    const { words } = this.reader;
    const tests: (() => boolean)[] = [];
    if (filter.address !== undefined) {
      const address = parseIpv4(filter.address);
      tests.push(() => [3, 7, 13, 17].some((at) => words[at] === address));
    }
    if (filter.port !== undefined) {
      const { port } = filter;
      tests.push(() => [8, 18].some((at) => words[at] >>> 16 === port || (words[at] & 0xffff) === port));
    }
    if (filter.protocol !== undefined) {
      const { protocol } = filter;
      tests.push(() => protocolName(words[9]) === protocol || String(words[9]) === protocol);
    }
    if (filter.uplink !== undefined) {
      const uplink = this.plan.uplinks.findIndex((u) => u.name === filter.uplink);
      tests.push(() => words[UPLINK] === uplink);
    }
    if (filter.link !== undefined) {
      const link = this.plan.links.findIndex((l) => l.name === filter.link);
      tests.push(() => words[IN_LINK] === link || this.outLinkOf() === link);
    }
    if (filter.server !== undefined) {
      const servers = this.servers.numbersOf(filter.server);
      tests.push(() => servers.has(servedBy(words[INWARD])));
    }
    if (filter.state !== undefined) {
      const { state } = filter;
      tests.push(() => STATE_NAMES[words[STATE] & STATE_MASK] === state);
    }
    return () => tests.every((test) => test());
  }

  /**
   * Out link of the entry the reader holds: the one its destination is on, or its uplink's; NONE for the router itself. Of a flow whose
   * destination is translated the uplink is the one it came in by, or that turned it back inside.
   */
  private outLinkOf(): number {
    const { words } = this.reader;
    const uplink = words[UPLINK];
    if (uplink >= 0 && (words[FLAGS] & FLAG_DNAT) === 0) return this.plan.uplinks[uplink].link;
    const destination = words[REPLY_TUPLE + 3];
    let best = -1;
    let longest = -1;
    for (const route of this.routeRows) {
      if (route.prefixLength <= longest) continue;
      const mask = route.prefixLength === 0 ? 0 : -1 << (32 - route.prefixLength);
      if (((destination ^ route.prefix) & mask) === 0) {
        longest = route.prefixLength;
        best = route.kind === 'local' ? -1 : route.group >= 0 && uplink >= 0 ? this.plan.uplinks[uplink].link : route.link;
      }
    }
    return best;
  }

  private get routeRows(): ReturnType<typeof planRoutes> { return (this.routeCache ??= planRoutes(this.plan)); }
  private routeCache: ReturnType<typeof planRoutes> | undefined;

  private describe(entry: number): FlowStatus {
    const { words, doubles, nowTick } = this.reader;
    const tuple = (at: number): FlowStatus['original'] => ({
      source: formatIpv4(words[at + 3]), sourcePort: words[at + 8] >>> 16, destination: formatIpv4(words[at + 7]), destinationPort: words[at + 8] & 0xffff,
    });
    const out = this.outLinkOf();
    const pair = COUNTERS / 2;
    return {
      id: entry, protocol: protocolName(words[9]), state: STATE_NAMES[words[STATE] & STATE_MASK],
      original: tuple(ORIGINAL_TUPLE), reply: tuple(REPLY_TUPLE),
      inLink: this.plan.links[words[IN_LINK]]?.name ?? null, outLink: this.plan.links[out]?.name ?? null,
      uplink: this.plan.uplinks[words[UPLINK]]?.name ?? null, server: this.servers.nameOf(servedBy(words[INWARD])),
      originalPackets: doubles[pair], originalBytes: doubles[pair + 1], replyPackets: doubles[pair + 2], replyBytes: doubles[pair + 3],
      ageMs: Math.max(0, nowTick - words[CREATED]) * 1000, expiresInMs: Math.max(0, words[DEADLINE] - nowTick) * 1000,
      offloaded: words[ALG] <= OFFLOADED,
    };
  }
}

/** What is wrong with an uplink, as far as a person should be told on the first screen. */
function uplinkProblems(uplink: UplinkStatus): Problem[] {
  const subject = `uplink ${uplink.name}`;
  if (uplink.state === 'down') return [{ severity: 'error', subject, message: uplink.reason ?? 'down' }];
  const problems: Problem[] = uplink.isDrained ? [{ severity: 'warning', subject, message: 'drained by hand: takes no new flows until weir undrain' }] : [];
  for (const { target, isOk, reason } of uplink.health?.targets ?? []) {
    if (isOk === false) problems.push({ severity: 'warning', subject, message: `${target} fails: ${reason ?? 'no answer'}` });
  }
  return problems;
}

function protocolName(protocol: number): string { return PROTOCOLS.get(protocol) ?? String(protocol); }

function sum(values: readonly number[]): number { return values.reduce((total, value) => total + value, 0); }

function part(of: number, whole: number): number { return whole === 0 ? 0 : of / whole; }
