/**
 * What the API says: the JSON that `-j` prints and scripts rely on. Field names and types are stable: fields are added, never
 * renamed, never change type. Units stand last in a name. Every answer carries `schemaVersion`.
 */
import type { InstanceOutcome, LeaseReport, ShareReport, VirtualRouterStatus } from './share-types.js';

export type * from './share-types.js';

export const SCHEMA_VERSION = 1;

export type Health = 'up' | 'down' | 'drained';

/** `sinceMs` is Unix time, here and in UplinkStatus: the moment the state began. */
export interface LinkStatus {
  name: string; type: 'tap' | 'raw' | 'tun'; device: string; netns: string | null; state: 'up' | 'down';
  /** Why it is down, one phrase; null while up. */
  reason: string | null;
  sinceMs: number;
  mac: string | null; mtuBytes: number; addresses: string[];
  /** Offloads in use: 'csum', 'tso4', 'tso6', 'ecn', 'uso'. */
  offloads: string[];
  /** Offloads the kernel refused, with its reason. */
  refused: { feature: string; code: string; syscall: string }[];
  rxPackets: number; rxBytes: number; txPackets: number; txBytes: number;
  /** Frames refused by weir on this link, and frames the kernel would not send or dropped before we read them. */
  rxDrops: number; txErrors: number; kernelDrops: number;
  /** Can the kernel forward established flows of this link by itself? If not, why: one phrase. */
  flowOffload: boolean; flowOffloadReason: string | null;
  /** Of the packets and bytes above: what the kernel forwarded by itself. */
  offloadedRxPackets: number; offloadedRxBytes: number; offloadedTxPackets: number; offloadedTxBytes: number;
}

/** One of the targets a health check asks. */
export interface HealthTarget {
  target: string;
  /** Null until it was asked. */
  isOk: boolean | null;
  /** Why not, one phrase: 'timed out', 'connection refused', 'status 503'. */
  reason: string | null;
  latencyMs: number | null;
}

/** What a health check knows: over its window of rounds; null until there is something to tell. Moments are Unix time. */
export interface HealthStatus {
  isUp: boolean; sinceMs: number; reason: string | null;
  /** 0 … 1. */
  lossRatio: number | null; latencyMs: number | null; jitterMs: number | null;
  /** Unix time until which flap damping holds it down; null while it does not. */
  suppressedUntilMs: number | null;
  targets: HealthTarget[];
}

export interface UplinkStatus {
  name: string; link: string; gateway: string | null; groups: string[];
  /** The tier it stands on in each of its groups; those on the lowest tier with a usable member share the flows. */
  tiers: { group: string; tier: number }[];
  /** 'drained': works but takes no new flows, by hand or by its weight of 0. */
  state: Health;
  /** Why it is not up, one phrase; null while up. */
  reason: string | null;
  sinceMs: number;
  /** As it is now, which `weir weight` changes. */
  weight: number;
  /** Drained by hand; true also while it is down for another reason. */
  isDrained: boolean;
  /** Null without a check. */
  health: HealthStatus | null;
  /** Share of new flows it should take by weight among the usable members of its first group's tier in use, and what it took since start; 0 … 1. */
  wantedShare: number; share: number;
  snat: string[];
  flows: number; newFlows: number; txBytes: number; rxBytes: number; txPackets: number; rxPackets: number;
  /** Bits per second over the last seconds. */
  txBps: number; rxBps: number;
  /** External ports in use on its translation addresses, and how many there are, all protocols together. */
  portsUsed: number; portsTotal: number;
  /** New flows refused for want of a port, and those that share one with flows to other destinations, since the start. */
  portsRefused: number; portsShared: number;
}

/**
 * 'full': has had `upper` flows and is not yet down to `lower`. 'slow-start': takes new flows, but not its whole share yet. 'drained': works but takes
 * no new flows, by hand or by its weight of 0.
 */
export type ServerState = 'up' | 'down' | 'drained' | 'full' | 'slow-start';

/** A real server of a virtual server. */
export interface RealServerStatus {
  name: string; address: string;
  /** Port its flows are sent to; null = the one they were sent to. */
  port: number | null;
  /** The last one of a row of ports; as `port` where there is one port. */
  lastPort: number | null;
  state: ServerState;
  /** Why it is not up, one phrase; null while up. */
  reason: string | null;
  sinceMs: number;
  /** As it is now, which `weir weight` and scripts of checks change; and what the scheduler goes by: 0 while drained, less in a slow start. */
  weight: number; effectiveWeight: number;
  /** Drained by hand; true also while it is down for another reason. */
  isDrained: boolean;
  /** Why it was drained, if whoever did so has said (`weir maint`). */
  drainReason: string | null;
  /** Flows at which it gets no more, and to which they must fall until it does again; 0 = no limit. */
  upper: number; lower: number;
  /** Null without a check. */
  health: HealthStatus | null;
  /** Flows it has now: active (TCP established, any other that lives) and inactive; and all it was given since start. */
  active: number; inactive: number; newFlows: number;
  /** tx is to the server, rx from it. */
  txPackets: number; rxPackets: number; txBytes: number; rxBytes: number;
  /** Bits and flows per second over the last seconds. */
  txBps: number; rxBps: number; newFlowsPerSecond: number;
}

export interface VirtualServerStatus {
  name: string; addresses: string[];
  /** 'tcp', 'udp' or both. */
  protocols: string[];
  /** 0 to 65535 = all. */
  ports: { first: number; last: number };
  scheduler: { name: string; hashPort: boolean; fallBack: boolean };
  /** Null without. */
  persistence: { timeoutSeconds: number; maskLength: number; tie: string | null } | null;
  onePacket: boolean; snat: 'auto' | 'always' | 'never'; onServerDown: 'reset' | 'keep' | 'move'; slowStartSeconds: number;
  /** 'down': without a quorum. */
  state: 'up' | 'down';
  /** Why it is down, one phrase; null while up. */
  reason: string | null;
  sinceMs: number;
  /** Weight of the servers that are up and not drained, the weight it needs, and how much more than that until it is up again. */
  usableWeight: number; quorum: { weight: number; hysteresis: number };
  /** Those of its real servers and of its sorry server, together. */
  active: number; inactive: number; newFlows: number;
  /** New flows nobody took, refused at once; and those that came back to their client's server by persistence. */
  refusedFlows: number; returnedFlows: number;
  realServers: RealServerStatus[];
  /** Gets new flows while no real server takes them; null = there is none. Its name in commands is 'sorry'. */
  sorry: RealServerStatus | null;
}

export interface RouteStatus {
  /** 'static' from the configuration, 'connected' from a link's addresses, 'local' the router's own addresses. */
  kind: 'static' | 'connected' | 'local' | 'broadcast'; name: string | null; to: string;
  via: string | null; link: string | null; group: string | null; refuse: string | null;
}

export interface NeighbourStatus {
  address: string; link: string; mac: string | null;
  state: 'incomplete' | 'reachable' | 'stale' | 'probe' | 'failed' | 'permanent';
  /** Since it was last confirmed; 0 for a permanent one. */
  ageMs: number;
  queuedPackets: number;
}

export interface TupleStatus { source: string; sourcePort: number; destination: string; destinationPort: number }

export interface FlowStatus {
  id: number; protocol: string; state: string;
  /** As each direction arrives at weir. For ICMP the identifier stands in the requester's port, 0 in the other. */
  original: TupleStatus; reply: TupleStatus;
  inLink: string | null; outLink: string | null; uplink: string | null;
  /** The real server a virtual server has given it to: 'web/web1'. */
  server: string | null;
  originalPackets: number; originalBytes: number; replyPackets: number; replyBytes: number;
  ageMs: number; expiresInMs: number;
  /** True while the kernel forwards it by itself; its counters are then up to a second old. */
  offloaded: boolean;
}

export interface FlowFilter {
  /** Any address of either tuple. */
  address?: string; /** Any port of either tuple. */ port?: number; protocol?: string; uplink?: string; link?: string; state?: string;
  /** 'web/web1', or 'web' for all of a virtual server. */
  server?: string;
}

export interface FlowPage {
  schemaVersion: number; flows: FlowStatus[];
  /** Pass as `cursor` for the next page; null at the end. Flows that come and go meanwhile may be missed, none is listed twice. */
  nextCursor: number | null;
  /** Flows in the table now, and how many it can hold. */
  total: number; limit: number;
}

export interface DropStatus {
  name: string; sentence: string; packets: number;
  /** What the sender is told: an ICMP error's text, 'tcp reset', or null for silence. */
  answer: string | null;
  /** By ingress link, only links with a count above 0. */
  links: { link: string; packets: number }[];
}

/** A filter rule, in its place in the order. What a rule does not look at is null. */
export interface FilterStatus {
  name: string; action: 'accept' | 'drop' | 'reject'; states: string[];
  /** Links. */
  in: string[] | null; out: string[] | null;
  /** Prefixes. */
  from: string[] | null; to: string[] | null;
  /** Names or numbers. */
  protocols: string[] | null;
  /** '80' or '8000-8010'. */
  sourcePorts: string[] | null; destinationPorts: string[] | null;
  /** The rule matches only what exceeds this. */
  over: { perSecond: number; burst: number; by: 'source' | 'rule' } | null;
  /** What it decided about; of a flow it accepts, the packet it was asked about. */
  packets: number; bytes: number;
}

export interface Problem { severity: 'warning' | 'error'; subject: string; message: string }

/** Events since start, how many of them are no longer held, and how many can be: those of flows, and all others. */
export interface EventCounts {
  events: number; eventsOverwritten: number; eventsLimit: number;
  flowEvents: number; flowEventsOverwritten: number; flowEventsLimit: number;
}

/** What became of the programs run on events, since start. */
export interface HookCounts {
  /** Events handed to the programs, events not handed to them because too many waited, and events that wait now. */
  events: number; eventsDropped: number; waiting: number;
  /** Programs run, how many of them failed in any way, and how many of these took too long. */
  runs: number; failures: number; timeouts: number;
}

/** Windows by which TCP flows are followed: in use, how many there are, flows that found none; segments that fitted none, windows learned anew. */
export interface TcpCounts { windowsUsed: number; windowsLimit: number; windowsRefused: number; strangeSegments: number; windowsRelearned: number }

/** SYNs from outside that wait in case an inside host opens the same connection: now, at most, since the start, and refused for want of room. */
export interface HeldSynCounts { count: number; limit: number; taken: number; refused: number }

/** An ALG: control flows watched now, and those one too many; announcements honoured, and of these edited; announcements left alone, by why; control flows it could not read. */
export interface AlgStatus {
  name: string; watched: number; unwatched: number; announced: number; edited: number;
  foreign: number; refused: number; unasked: number; unreadable: number;
}

export interface RouterStatus {
  schemaVersion: number; version: string; pid: number;
  state: 'up' | 'degraded'; problems: Problem[];
  uptimeMs: number; generation: number; configFile: string;
  links: LinkStatus[]; uplinks: UplinkStatus[]; virtualServers: VirtualServerStatus[];
  vrrp: VirtualRouterStatus[]; share: ShareReport;
  flows: { count: number; limit: number; opened: number; expired: number };
  packets: { received: number; sent: number; dropped: number };
  /** Flows the kernel forwards by itself, how many it may, what has gone that way, and how often a flow was declined, by reason. */
  offload: { flows: number; limit: number; packets: number; bytes: number; reason: string | null; declined: Record<string, number> };
  dataPlane: { turns: number; longestTurnUs: number };
  /** Renewed once a second, as `heldSyns` and `algs` are. */
  tcp: TcpCounts;
  heldSyns: HeldSynCounts;
  algs: AlgStatus[];
  events: EventCounts;
  /** Null where no hooks run. */
  hooks: HookCounts | null;
}

/** What the router's view knows of it; the API adds the rest. */
export type ViewedStatus = Omit<RouterStatus, 'schemaVersion' | 'version' | 'pid' | 'configFile' | 'events' | 'hooks'>;

/** By which uplink new flows of an address go while its affinity lasts. */
export interface AffinityStatus {
  group: string;
  /** The policy whose affinity it is; null = the group's own. */
  policy: string | null;
  /** An address that does not count for it is null. */
  source: string | null; destination: string | null;
  uplink: string;
  /** Unless a new flow comes. */
  expiresInMs: number;
}

export interface AffinityFilter { /** As source or destination. */ address?: string; uplink?: string }

export interface AffinityPage {
  schemaVersion: number; affinity: AffinityStatus[];
  /** Pass as `cursor` for the next page; null at the end. Entries that come and go meanwhile may be missed. */
  nextCursor: number | null;
  /** Entries the table can hold; those longest out of use make room, and how many had to since start. */
  limit: number; evicted: number;
}

/** To which real server new flows of a client's network go while its persistence lasts. */
export interface PersistenceStatus {
  /** '203.0.113.7/32': as much of the client's address as counts. */
  client: string;
  /** Those that remember it, tied ones together. */
  virtualServers: string[];
  /** 'web/web1'. */
  server: string;
  /** Flows that stand under it now. */
  flows: number;
  /** Unless a flow comes; null while it has one. */
  expiresInMs: number | null;
}

export interface PersistenceFilter { /** Of a client in the network. */ address?: string; /** 'web/web1', or 'web' for all of a virtual server. */ server?: string }

export interface PersistencePage {
  schemaVersion: number; persistence: PersistenceStatus[];
  /** Pass as `cursor` for the next page; null at the end. Entries that come and go meanwhile may be missed. */
  nextCursor: number | null;
  /** Entries the table can hold; those idle that made room for others before their end, and flows that could not be remembered, since start. */
  limit: number; evicted: number; refused: number;
}

export interface RouterEvent { atMs: number; event: string; subject: string; message: string; [field: string]: unknown }

/**
 * What may be changed in a running router; uplinks and real servers by their index in the plan. Each returns at once and is carried out by the data
 * plane after the turn it is in. Whoever implements it also tells the view, so that the next answer shows what was asked for.
 */
export interface RouterActions {
  drain(uplink: number, isDrained: boolean): void;
  /** 0 = takes no new flows. */
  weight(uplink: number, weight: number): void;
  /** Of a real server. isFlushed: its flows meet the fate of those of a dead one at once; `reason`: why it is drained, as it is shown. */
  drainServer(server: number, isDrained: boolean, isFlushed: boolean, reason: string | null): void;
  weightServer(server: number, weight: number): void;
  /** Forget by which uplink this IPv4 address went, as source or destination, and which real servers its network had as a client; null = all. */
  eraseAffinity(address: string | null): void;
  /** Write what is to be shared and resign from every election, or take part again. Settles when that is done, or will not be within some seconds. */
  drainInstance(isDrained: boolean): Promise<InstanceOutcome>;
  /** Asks the store. */
  leases(): Promise<LeaseReport>;
}

/** What the control plane may ask of a running router; `View` implements it over shared memory. No call waits for the data plane. */
export interface RouterView {
  status(): ViewedStatus;
  links(): LinkStatus[];
  uplinks(): UplinkStatus[];
  virtualServers(): VirtualServerStatus[];
  /** Number of a real server in the plan, by the names it has in commands; -1 when there is none. */
  findServer(virtualServer: string, name: string): number;
  vrrp(): VirtualRouterStatus[];
  share(): ShareReport;
  routes(): RouteStatus[];
  neighbours(): NeighbourStatus[];
  /** At most `limit` flows (1 … 10,000) from `cursor` on; looks at no more than a bounded number of entries a call, so a page may be short. */
  flows(filter: FlowFilter, cursor: number, limit: number): FlowPage;
  /** Looks at a bounded number of entries a call, so a page may be short or empty. */
  affinity(filter: AffinityFilter, cursor: number): AffinityPage;
  /** The same. */
  persistence(filter: PersistenceFilter, cursor: number): PersistencePage;
  filters(): FilterStatus[];
  drops(): DropStatus[];
}

/** The answers of the table resources, as they stand on the wire. */
export interface LinkList { schemaVersion: number; links: LinkStatus[] }
export interface UplinkList { schemaVersion: number; uplinks: UplinkStatus[] }
export interface VirtualServerList { schemaVersion: number; virtualServers: VirtualServerStatus[] }
export interface RouteList { schemaVersion: number; routes: RouteStatus[] }
export interface NeighbourList { schemaVersion: number; neighbours: NeighbourStatus[] }
export interface FilterList { schemaVersion: number; filters: FilterStatus[] }
export interface DropList { schemaVersion: number; drops: DropStatus[] }

/** What an action on an uplink answers: how the uplink stands now, and what whoever asked should know. */
export interface UplinkAnswer { schemaVersion: number; uplink: UplinkStatus; warnings: string[] }
/** What an action on a real server answers. */
export interface ServerAnswer { schemaVersion: number; virtualServer: string; server: RealServerStatus; warnings: string[] }
/** What erasing affinity answers: how many entries there were to erase, and how many of persistence, which goes with it. */
export interface AffinityErased { schemaVersion: number; erased: number; erasedPersistence: number }

/** One event as the stream carries it. `sequence` grows by one an event; a gap means the reader was too slow, or did not want the events of flows. */
export interface StreamedEvent extends RouterEvent { schemaVersion: number; sequence: number }

/** Every answer with a status of 400 or more. `parameter`, `found` and `allowed` are there when a query parameter is at fault. */
export interface ApiErrorBody {
  schemaVersion: number;
  error: { message: string; parameter: string | null; found: string | null; allowed: string | null };
}

/** Flows in one page of `flows`: what is given unless asked, and the most that may be asked for. */
export const FLOW_PAGE_DEFAULT = 1000;
export const FLOW_PAGE_MAX = 10_000;
