/**
 * A RouterView without a router: two uplinks, one of them down if wished, and as many flows as asked for. Flows are computed from their
 * number when a page asks for them, so a million of them take no memory; the view remembers the largest page it was asked for.
 */
import type { LeaseStatus, ShareReport, VirtualRouterStatus } from '../../src/control/api/share-types.js';
import type {
  AffinityFilter, AffinityPage, AffinityStatus, DropStatus, FilterStatus, FlowFilter, FlowPage, FlowStatus, HealthStatus, LinkStatus, NeighbourStatus, PersistenceFilter, PersistencePage, PersistenceStatus, Problem, RealServerStatus, RouterView, RouteStatus,
  UplinkStatus, VirtualServerStatus,
} from '../../src/control/api/types.js';

/** The moment all fixed times of the view refer to: 2026-01-31T12:00:00Z. */
export const NOW_MS = Date.UTC(2026, 0, 31, 12, 0, 0);

export interface FakeOptions {
  /** Flows in the table. */
  flows?: number;
  /** isp2 is down. */
  degraded?: boolean;
  /** Three virtual servers, one of them down. */
  servers?: boolean;
  /** It shares with another instance by Redis, and is in two virtual routers; 'away': the store is. */
  share?: boolean | 'away';
  /** Entries looked at per call of flows(). */
  scanMax?: number;
}

const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
const STATES: Record<(typeof PROTOCOLS)[number], readonly string[]> = {
  tcp: ['established', 'time-wait'], udp: ['replied', 'new'], icmp: ['replied', 'replied'],
};

const octets = (base: number, i: number): string => `${base}.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

/** Flow number `i`: three protocols in turn, every fourth leaves by isp2. */
export function fakeFlow(i: number): FlowStatus {
  const protocol = PROTOCOLS[i % 3]!;
  const source = octets(10, i);
  const sourcePort = 1024 + (i % 60000);
  const destination = octets(198, i * 7);
  const destinationPort = protocol === 'icmp' ? 0 : protocol === 'tcp' ? 443 : 53;
  const second = i % 4 === 3;
  const external = second ? '198.51.100.2' : '203.0.113.2';
  return {
    id: i, protocol, state: STATES[protocol][(i >> 2) % 2]!,
    original: { source, sourcePort, destination, destinationPort },
    reply: { source: destination, sourcePort: destinationPort, destination: external, destinationPort: 32768 + (i % 30000) },
    inLink: 'lan', outLink: second ? 'wan2' : 'wan1', uplink: second ? 'isp2' : 'isp1', server: i % 5 === 4 ? 'web/web1' : null,
    originalPackets: i, originalBytes: i * 100, replyPackets: 2 * i, replyBytes: i * 1500,
    ageMs: i * 10, expiresInMs: 300_000 - (i % 300_000), offloaded: i % 2 === 1,
  };
}

function matches(flow: FlowStatus, filter: FlowFilter): boolean {
  const { original, reply } = flow;
  if (filter.address !== undefined && ![original.source, original.destination, reply.source, reply.destination].includes(filter.address)) return false;
  if (filter.port !== undefined && ![original.sourcePort, original.destinationPort, reply.sourcePort, reply.destinationPort].includes(filter.port)) return false;
  if (filter.protocol !== undefined && flow.protocol !== filter.protocol) return false;
  if (filter.uplink !== undefined && flow.uplink !== filter.uplink) return false;
  if (filter.link !== undefined && flow.inLink !== filter.link && flow.outLink !== filter.link) return false;
  if (filter.server !== undefined && flow.server !== filter.server && flow.server?.startsWith(`${filter.server}/`) !== true) return false;
  return filter.state === undefined || flow.state === filter.state;
}

const LINK: Omit<LinkStatus, 'name' | 'device' | 'addresses'> = {
  type: 'tap', netns: null, state: 'up', reason: null, sinceMs: NOW_MS - 3 * 3600_000, mac: '02:00:00:00:00:01', mtuBytes: 1500,
  offloads: ['csum', 'tso4'], refused: [], rxPackets: 1000, rxBytes: 64_000, txPackets: 2000, txBytes: 1_500_000, rxDrops: 0, txErrors: 0, kernelDrops: 0,
  flowOffload: true, flowOffloadReason: null, offloadedRxPackets: 900, offloadedRxBytes: 60_000, offloadedTxPackets: 1800, offloadedTxBytes: 1_400_000,
};

const HEALTHY: HealthStatus = {
  isUp: true, sinceMs: NOW_MS - 3 * 3600_000, reason: null, lossRatio: 0.05, latencyMs: 12.4, jitterMs: 0.83, suppressedUntilMs: null,
  targets: [{ target: 'icmp 192.0.2.1', isOk: true, reason: null, latencyMs: 12.1 }, { target: 'https://status.example/', isOk: false, reason: 'status 503', latencyMs: 40.2 }],
};

const SERVER: Omit<RealServerStatus, 'name' | 'address' | 'port' | 'lastPort'> = {
  state: 'up', reason: null, sinceMs: NOW_MS - 3 * 3600_000, weight: 1, effectiveWeight: 1, isDrained: false, drainReason: null, upper: 0, lower: 0, health: null,
  active: 0, inactive: 0, newFlows: 0, txPackets: 0, rxPackets: 0, txBytes: 0, rxBytes: 0, txBps: 0, rxBps: 0, newFlowsPerSecond: 0,
};

const BUSY = {
  active: 120, inactive: 34, newFlows: 1_234_567, txPackets: 9_000_000, rxPackets: 8_000_000, txBytes: 1_200_000_000, rxBytes: 9_800_000_000, txBps: 4_800_000, rxBps: 51_200_000,
  newFlowsPerSecond: 61.3,
};

const VIRTUAL_SERVER = {
  persistence: null, onePacket: false, snat: 'auto', onServerDown: 'reset', slowStartSeconds: 0, state: 'up', reason: null, sinceMs: NOW_MS - 3 * 3600_000,
  quorum: { weight: 1, hysteresis: 0 }, refusedFlows: 0, returnedFlows: 0, sorry: null,
} as const;

const VIRTUAL_SERVERS: readonly VirtualServerStatus[] = [
  {
    ...VIRTUAL_SERVER, name: 'web', addresses: ['203.0.113.10'], protocols: ['tcp'], ports: { first: 80, last: 80 }, scheduler: { name: 'wlc', hashPort: false, fallBack: false },
    persistence: { timeoutSeconds: 300, maskLength: 24, tie: 'shop' }, slowStartSeconds: 30, usableWeight: 3, quorum: { weight: 2, hysteresis: 1 },
    active: 240, inactive: 68, newFlows: 2_469_134, returnedFlows: 4711,
    realServers: [
      { ...SERVER, ...BUSY, name: 'web1', address: '10.0.1.11', port: 80, lastPort: 80, health: HEALTHY },
      { ...SERVER, ...BUSY, name: 'web2', address: '10.0.1.12', port: 8000, lastPort: 8000, weight: 2, effectiveWeight: 0.5, state: 'slow-start', reason: 'weight 0.5 of 2, all of it within 30 s', sinceMs: NOW_MS - 8000, newFlowsPerSecond: 6.4 },
      { ...SERVER, name: 'web3', address: '10.0.1.13', port: 80, lastPort: 80, state: 'down', reason: 'tcp 10.0.1.13:80: connection refused', sinceMs: NOW_MS - 65_000 },
    ],
    sorry: { ...SERVER, name: 'sorry', address: '10.0.1.99', port: 80, lastPort: 80, weight: 0, effectiveWeight: 0 },
  },
  {
    ...VIRTUAL_SERVER, name: 'dns', addresses: ['203.0.113.10', '203.0.113.11'], protocols: ['tcp', 'udp'], ports: { first: 53, last: 53 },
    scheduler: { name: 'sh', hashPort: true, fallBack: true }, onePacket: true, onServerDown: 'keep', snat: 'always', usableWeight: 1, active: 1000, inactive: 0, newFlows: 1000,
    realServers: [{ ...SERVER, name: 'ns1', address: '10.0.1.53', port: 53, lastPort: 53, active: 1000, newFlows: 1000, upper: 1000, lower: 750, state: 'full', reason: 'has had 1000 flows, takes more once it is down to 750' }],
  },
  {
    ...VIRTUAL_SERVER, name: 'all', addresses: ['203.0.113.12'], protocols: ['tcp'], ports: { first: 0, last: 65_535 }, scheduler: { name: 'rr', hashPort: false, fallBack: false },
    state: 'down', reason: 'no real server takes flows', sinceMs: NOW_MS - 12_000, usableWeight: 0, active: 2, inactive: 0, newFlows: 7, refusedFlows: 19,
    realServers: [{ ...SERVER, name: 'old', address: '10.0.1.20', port: null, lastPort: null, active: 2, newFlows: 7, state: 'drained', isDrained: true, drainReason: 'maintenance: new disk', reason: 'maintenance: new disk', effectiveWeight: 0 }],
  },
];

const VIRTUAL_ROUTER = {
  version: 3, syncGroup: 'gateway', sinceMs: NOW_MS - 3 * 3600_000, advertIntervalMs: 100, preempt: true, trouble: null, refused: 0, sent: 108_000, received: 12, transitions: 1,
} as const;

const VIRTUAL_ROUTERS: readonly VirtualRouterStatus[] = [
  {
    ...VIRTUAL_ROUTER, name: 'lan-side', link: 'lan', id: 51, addresses: ['10.0.1.254/24'], state: 'master', reason: 'the master has resigned', priority: 200, effectivePriority: 200,
    master: null, masterPriority: null, track: [{ kind: 'uplink', name: 'isp1', weight: 254, isDown: false }],
  },
  {
    ...VIRTUAL_ROUTER, name: 'wan-side', link: 'wan2', id: 52, addresses: ['198.51.100.254/24', '198.51.100.253/24'], state: 'backup', reason: 'there is a better one', priority: 150, effectivePriority: 100,
    master: '198.51.100.3', masterPriority: 120, track: [{ kind: 'virtualServer', name: 'all', weight: 50, isDown: true }], refused: 7, sent: 3, received: 108_000, syncGroup: null,
    trouble: { kind: 'checksum', from: '198.51.100.9', detail: 'a wrong checksum', atMs: NOW_MS - 30_000 },
  },
];

const SHARE_STATUS: NonNullable<ShareReport['status']> = {
  instance: 'gw1', phase: 'running', isUsable: true, forMs: 10_800_000, generation: 12, trouble: null,
  load: { isDone: true, records: 51_234, total: 51_200, tookMs: 840 }, lagMs: 2, lagMaxMs: 11, writeMs: 0.8, writeMaxMs: 4.2, followMs: 3, queue: 17, queueLimit: 262_144, inFlight: 1,
  journalWords: 96, journalLimit: 1_048_576, inboxWords: 0, inboxLimit: 1_048_576, fetching: 0,
  counts: {
    written: 2_345_678, deleted: 2_300_000, batches: 123_456, batchBytes: 345_678_901, retried: 2, fenced: 0, dropped: 0, droppedEnds: 0, lost: 0, coalesced: 54_321, refreshed: 4321, rewrites: 1,
    loaded: 51_234, applied: 1_234_567, forgotten: 1_200_000, unreadable: 0, inboxWaits: 0, gaps: 0, fetches: 120, fetched: 118, fetchesMissed: 2, fetchesRefused: 0, buried: 0,
  },
  peers: [{ instance: 'gw2', generation: 11, ageMs: 400, flows: 51_200, state: 'running', version: '0.1.0', masterOf: ['wan-side'] }],
  leases: [{ address: '203.0.113.20', blocks: 63, held: [2, 3, 9], leftMs: 590_000 }], isDrained: false, warnings: [],
};

const LEASES: readonly LeaseStatus[] = [
  { address: '203.0.113.20', block: 1, firstPort: 1024, lastPort: 2047, instance: 'gw2', isOurs: false, generation: 11, leftMs: 480_000, used: null, free: null },
  { address: '203.0.113.20', block: 2, firstPort: 2048, lastPort: 3071, instance: 'gw1', isOurs: true, generation: 12, leftMs: 590_000, used: 700, free: 324 },
  { address: '203.0.113.20', block: 3, firstPort: 3072, lastPort: 4095, instance: 'gw1', isOurs: true, generation: 12, leftMs: 590_000, used: 3, free: 1021 },
  { address: '203.0.113.20', block: 9, firstPort: 9216, lastPort: 10_239, instance: 'gw1', isOurs: true, generation: 12, leftMs: 585_000, used: 12, free: 1012 },
  { address: '203.0.113.21', block: 9, firstPort: 9216, lastPort: 10_239, instance: 'gw1', isOurs: true, generation: 12, leftMs: 585_000, used: 900, free: 124 },
];

export class FakeView implements RouterView {
  readonly #total: number;
  readonly #degraded: boolean;
  readonly #scanMax: number;
  readonly #servers: boolean;
  readonly #share: boolean | 'away';
  /** What was asked of the instance. */
  isDrained = false;
  /** The most flows any one call has made, and how many calls there were. */
  largestPage = 0;
  calls = 0;
  /** When set, links() throws it: a programmer's mistake in the view. */
  failure: Error | null = null;
  /** By number: what was asked of the uplinks. */
  readonly drained = new Map<number, boolean>();
  readonly weights = new Map<number, number>();
  /** The same of real servers: why they are drained, null = they are not. */
  readonly drainedServers = new Map<number, string | null>();
  readonly serverWeights = new Map<number, number>();
  /** Real servers whose flows were told to end, and have. */
  readonly flushed = new Set<number>();

  constructor(options: FakeOptions = {}) {
    this.#total = options.flows ?? 3;
    this.#degraded = options.degraded ?? false;
    this.#scanMax = options.scanMax ?? 50_000;
    this.#servers = options.servers ?? false;
    this.#share = options.share ?? false;
  }

  status(): ReturnType<RouterView['status']> {
    const problems: Problem[] = this.#degraded
      ? [{ severity: 'warning', subject: 'link wan2', message: 'the kernel refuses uso (EINVAL)' },
         { severity: 'error', subject: 'uplink isp2', message: 'down for 12 s: link wan2 has no carrier' }]
      : [];
    return {
      state: this.#degraded ? 'degraded' : 'up', problems, uptimeMs: 11_220_000, generation: 1,
      links: this.links(), uplinks: this.uplinks(), virtualServers: this.virtualServers(),
      vrrp: this.vrrp(), share: this.share(),
      flows: { count: this.#total, limit: 1_048_576, opened: 1_234_567, expired: 1_234_564 },
      packets: { received: 9_876_543, sent: 9_870_000, dropped: 6543 },
      offload: {
        flows: 2, limit: 32_768, packets: 3600, bytes: 240_000, reason: null,
        declined: { protocol: 0, alg: 1, local: 0, filter: 0, window: 0, spread: 0, link: 2, slots: 0, index: 0, onePacket: 0 },
      },
      dataPlane: { turns: 1_000_000, longestTurnUs: 812 },
      tcp: { windowsUsed: 1200, windowsLimit: 524_288, windowsRefused: 0, strangeSegments: 17, windowsRelearned: 1 },
      heldSyns: { count: 2, limit: 1024, taken: 12_345, refused: 0 },
      algs: [{ name: 'ftp', watched: 1, unwatched: 0, announced: 40, edited: 38, foreign: 2, refused: 1, unasked: 0, unreadable: 1 }],
    };
  }

  links(): LinkStatus[] {
    if (this.failure !== null) throw this.failure;
    const down = this.#degraded ? { state: 'down' as const, reason: 'no carrier', sinceMs: NOW_MS - 12_000 } : {};
    return [
      { ...LINK, name: 'lan', device: 'weir-lan', addresses: ['10.0.1.1/24'], rxDrops: 6543 },
      { ...LINK, name: 'wan1', type: 'raw', device: 'eth1', mac: '02:00:00:00:00:02', addresses: ['203.0.113.2/24'], rxBytes: 123_456_789_012, rxPackets: 98_765_432 },
      { ...LINK, name: 'wan2', device: 'weir-wan2', netns: 'lab', mac: '02:00:00:00:00:03', addresses: ['198.51.100.2/24'],
        refused: [{ feature: 'uso', code: 'EINVAL', syscall: 'ioctl TUNSETOFFLOAD' }], kernelDrops: 7, ...down },
      { ...LINK, name: 'host', type: 'tun', device: 'weir0', mac: null, addresses: ['100.64.0.1/30'], offloads: [],
        flowOffload: false, flowOffloadReason: 'a tun link has no Ethernet frames', offloadedRxPackets: 0, offloadedRxBytes: 0, offloadedTxPackets: 0, offloadedTxBytes: 0 },
    ];
  }

  uplinks(): UplinkStatus[] {
    const down = this.#degraded ? { state: 'down' as const, reason: 'link wan2 has no carrier', sinceMs: NOW_MS - 12_000, wantedShare: 0 } : {};
    return [
      { name: 'isp1', link: 'wan1', gateway: '203.0.113.1', groups: ['internet'], tiers: [{ group: 'internet', tier: 1 }], state: 'up', reason: null, sinceMs: NOW_MS - 3 * 3600_000, weight: 3, isDrained: false, health: HEALTHY,
        wantedShare: this.#degraded ? 1 : 0.75, share: 0.7493, snat: ['203.0.113.2'], flows: 3, newFlows: 925_000, txBytes: 1_500_000, rxBytes: 123_456_789_012,
        txPackets: 2000, rxPackets: 98_765_432, txBps: 1_250_000, rxBps: 48_300_000, portsUsed: 3, portsTotal: 129_024, portsRefused: 4, portsShared: 1500 },
      { name: 'isp2', link: 'wan2', gateway: null, groups: ['internet'], tiers: [{ group: 'internet', tier: 1 }], state: 'up', reason: null, sinceMs: NOW_MS - 3 * 3600_000, weight: 1, isDrained: false, health: null,
        wantedShare: 0.25, share: 0.2507, snat: [], flows: 0, newFlows: 309_567, txBytes: 999, rxBytes: 64_000, txPackets: 9, rxPackets: 1000, txBps: 0, rxBps: 512,
        portsUsed: 0, portsTotal: 0, portsRefused: 0, portsShared: 0, ...down },
    ].map((row, i): UplinkStatus => {
      const isDrained = this.drained.get(i) ?? row.isDrained;
      const weight = this.weights.get(i) ?? row.weight;
      const drained = row.state === 'up' && (isDrained || weight === 0);
      return { ...row, isDrained, weight, ...(drained ? { state: 'drained', reason: isDrained ? 'drained by hand' : 'its weight is 0' } : {}) } as UplinkStatus;
    });
  }

  virtualServers(): VirtualServerStatus[] {
    if (!this.#servers) return [];
    let index = 0;
    const now = (server: RealServerStatus): RealServerStatus => {
      const number = index++;
      const asked = this.drainedServers.get(number);
      const weight = this.serverWeights.get(number) ?? server.weight;
      const isDrained = asked === undefined ? server.isDrained : asked !== null;
      const drainReason = asked === undefined ? server.drainReason : asked === '' ? null : asked;
      if (asked === undefined && weight === server.weight) return server;
      const flows = this.flushed.has(number) ? { active: 0, inactive: 0 } : {};
      return { ...server, ...flows, weight, isDrained, drainReason, ...(server.state === 'down' ? {} : isDrained ? { state: 'drained', reason: drainReason ?? 'drained by hand' } : { state: 'up', reason: null }) };
    };
    return VIRTUAL_SERVERS.map((one) => {
      const realServers = one.realServers.map(now);
      return { ...one, realServers, sorry: one.sorry === null ? null : now(one.sorry) };
    });
  }

  findServer(virtualServer: string, name: string): number {
    return this.virtualServers().flatMap((one) => [...one.realServers, ...(one.sorry === null ? [] : [one.sorry])].map((server) => `${one.name}/${server.name}`)).indexOf(`${virtualServer}/${name}`);
  }

  vrrp(): VirtualRouterStatus[] {
    if (this.#share === false) return [];
    return VIRTUAL_ROUTERS.map((row) => (this.isDrained ? { ...row, state: 'init', reason: 'this instance is drained', sinceMs: NOW_MS } : row));
  }

  share(): ShareReport {
    if (this.#share === false) return { store: 'memory', instance: 'gw1', isDrained: false, status: null };
    const away: ShareReport['status'] = {
      ...SHARE_STATUS, phase: 'away', isUsable: false, forMs: 12_000, queue: 4711, lagMs: 12_000, lagMaxMs: 12_000,
      trouble: { kind: 'unreachable', message: 'connect ECONNREFUSED 10.0.9.1:6379', forMs: 12_000, attempts: 5, nextTryMs: 1800 },
    };
    return { store: 'redis', instance: 'gw1', isDrained: this.isDrained, status: this.#share === 'away' ? away : SHARE_STATUS };
  }

  /** What the store says is leased; while it is away, what we know ourselves. */
  leases(): { leases: LeaseStatus[]; reason: string | null } {
    if (this.#share === false) return { leases: [], reason: null };
    return this.#share === 'away' ? { leases: LEASES.filter(({ isOurs }) => isOurs), reason: 'connect ECONNREFUSED 10.0.9.1:6379' } : { leases: [...LEASES], reason: null };
  }

  routes(): RouteStatus[] {
    return [
      { kind: 'connected', name: null, to: '10.0.1.0/24', via: null, link: 'lan', group: null, refuse: null },
      { kind: 'local', name: null, to: '10.0.1.1/32', via: null, link: 'lan', group: null, refuse: null },
      { kind: 'static', name: 'office', to: '10.20.0.0/16', via: '10.0.1.254', link: 'lan', group: null, refuse: null },
      { kind: 'static', name: 'nowhere', to: '192.0.2.0/24', via: null, link: null, group: null, refuse: 'prohibit' },
      { kind: 'static', name: 'default', to: '0.0.0.0/0', via: null, link: null, group: 'internet', refuse: null },
    ];
  }

  neighbours(): NeighbourStatus[] {
    return [
      { address: '10.0.1.7', link: 'lan', mac: '02:00:00:00:07:07', state: 'reachable', ageMs: 1500, queuedPackets: 0 },
      { address: '203.0.113.1', link: 'wan1', mac: '02:00:00:00:aa:01', state: 'stale', ageMs: 65_000, queuedPackets: 0 },
      { address: '198.51.100.1', link: 'wan2', mac: null, state: 'incomplete', ageMs: 0, queuedPackets: 3 },
    ];
  }

  flows(filter: FlowFilter, cursor: number, limit: number): FlowPage {
    const flows: FlowStatus[] = [];
    let at = cursor;
    const end = Math.min(this.#total, cursor + this.#scanMax);
    while (at < end && flows.length < limit) {
      const flow = fakeFlow(at++);
      if (matches(flow, filter)) flows.push(flow);
    }
    this.calls++;
    this.largestPage = Math.max(this.largestPage, flows.length);
    return { schemaVersion: 1, flows, nextCursor: at < this.#total ? at : null, total: this.#total, limit: 1_048_576 };
  }

  affinity(filter: AffinityFilter, cursor: number): AffinityPage {
    const all: AffinityStatus[] = [
      { group: 'internet', policy: null, source: '10.0.1.7', destination: null, uplink: 'isp1', expiresInMs: 65_000 },
      { group: 'internet', policy: 'banks', source: '10.0.1.7', destination: '192.0.2.80', uplink: 'isp2', expiresInMs: 3_600_000 },
      { group: 'internet', policy: 'banks', source: '10.0.1.8', destination: '192.0.2.80', uplink: 'isp1', expiresInMs: 850 },
    ];
    const affinity = all.filter((row) => (filter.uplink === undefined || row.uplink === filter.uplink)
      && (filter.address === undefined || row.source === filter.address || row.destination === filter.address));
    // An entry a page.
    return { schemaVersion: 1, affinity: affinity.slice(cursor, cursor + 1), nextCursor: cursor + 1 < affinity.length ? cursor + 1 : null, limit: 65_536, evicted: 4 };
  }

  persistence(filter: PersistenceFilter, cursor: number): PersistencePage {
    const all: PersistenceStatus[] = this.#servers ? [
      { client: '203.0.113.0/24', virtualServers: ['web', 'shop'], server: 'web/web1', flows: 3, expiresInMs: null },
      { client: '10.0.1.7/32', virtualServers: ['dns'], server: 'dns/ns1', flows: 0, expiresInMs: 65_000 },
    ] : [];
    const persistence = all.filter((row) => (filter.server === undefined || row.server === filter.server || row.server.startsWith(`${filter.server}/`))
      && (filter.address === undefined || row.client.startsWith(filter.address)));
    // An entry a page.
    return { schemaVersion: 1, persistence: persistence.slice(cursor, cursor + 1), nextCursor: cursor + 1 < persistence.length ? cursor + 1 : null, limit: 65_536, evicted: 0, refused: 2 };
  }

  filters(): FilterStatus[] {
    const any = { in: null, out: null, from: null, to: null, protocols: null, sourcePorts: null, destinationPorts: null, over: null };
    return [
      { ...any, name: 'mail-by-the-server', action: 'accept', states: ['new'], from: ['10.0.1.20/32'], protocols: ['tcp'], destinationPorts: ['25'], packets: 12, bytes: 720 },
      { ...any, name: 'no-other-mail', action: 'reject', states: ['new', 'established'], out: ['wan1', 'wan2'], protocols: ['tcp'], destinationPorts: ['25', '465-587'], packets: 1234, bytes: 74_040 },
      { ...any, name: 'not-too-many', action: 'drop', states: ['new'], in: ['lan'], over: { perSecond: 200, burst: 400, by: 'source' }, packets: 0, bytes: 0 },
      { ...any, name: 'all-else', action: 'accept', states: ['new', 'established', 'related'], packets: 7, bytes: 420 },
    ];
  }

  drops(): DropStatus[] {
    return [
      { name: 'MARTIAN_SOURCE', sentence: 'source address that cannot be one', packets: 43, answer: null, links: [{ link: 'wan1', packets: 43 }] },
      { name: 'NO_ROUTE', sentence: 'no route to the destination', packets: 0, answer: 'network unreachable', links: [] },
      { name: 'TTL', sentence: 'time to live used up', packets: 6500, answer: 'time to live exceeded in transit', links: [{ link: 'lan', packets: 6400 }, { link: 'wan1', packets: 100 }] },
    ];
  }
}
