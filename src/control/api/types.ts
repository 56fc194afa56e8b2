/**
 * What the API says: the JSON that `-j` prints and scripts rely on. Field names and types are stable: fields are added, never
 * renamed, never change type. Units stand last in a name. Every answer carries `schemaVersion`.
 */
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
}

export interface UplinkStatus {
  name: string; link: string; gateway: string | null; groups: string[]; state: Health; reason: string | null; sinceMs: number;
  weight: number;
  /** Share of new flows it should take by weight among the usable members of its first group, and what it took since start; 0 … 1. */
  wantedShare: number; share: number;
  snat: string[];
  flows: number; newFlows: number; txBytes: number; rxBytes: number; txPackets: number; rxPackets: number;
  /** External ports in use on its translation addresses, and how many there are, all protocols together. */
  portsUsed: number; portsTotal: number;
}

export interface RouteStatus {
  /** 'static' from the configuration, 'connected' from a link's addresses, 'local' the router's own addresses. */
  kind: 'static' | 'connected' | 'local' | 'broadcast'; name: string | null; to: string;
  via: string | null; link: string | null; group: string | null; refuse: string | null;
}

export interface NeighbourStatus {
  address: string; link: string; mac: string | null;
  state: 'incomplete' | 'reachable' | 'stale' | 'probe' | 'failed' | 'permanent';
  /** Since it was last confirmed. */
  ageMs: number;
  queuedPackets: number;
}

export interface TupleStatus { source: string; sourcePort: number; destination: string; destinationPort: number }

export interface FlowStatus {
  id: number; protocol: string; state: string;
  /** As each direction arrives at weir. For ICMP the identifier stands in the requester's port, 0 in the other. */
  original: TupleStatus; reply: TupleStatus;
  inLink: string | null; outLink: string | null; uplink: string | null;
  originalPackets: number; originalBytes: number; replyPackets: number; replyBytes: number;
  ageMs: number; expiresInMs: number;
}

export interface FlowFilter {
  /** Any address of either tuple. */
  address?: string; /** Any port of either tuple. */ port?: number; protocol?: string; uplink?: string; link?: string; state?: string;
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

export interface RouterStatus {
  schemaVersion: number; version: string; pid: number;
  state: 'up' | 'degraded'; problems: Problem[];
  uptimeMs: number; generation: number; configFile: string;
  links: LinkStatus[]; uplinks: UplinkStatus[];
  flows: { count: number; limit: number; opened: number; expired: number };
  packets: { received: number; sent: number; dropped: number };
  dataPlane: { turns: number; longestTurnUs: number };
}

export interface RouterEvent { atMs: number; event: string; subject: string; message: string; [field: string]: unknown }

/** What the control plane may ask of a running router; `src/dataplane.ts` implements it over shared memory. No call waits for the data plane. */
export interface RouterView {
  status(): Omit<RouterStatus, 'schemaVersion' | 'version' | 'pid' | 'configFile'>;
  links(): LinkStatus[];
  uplinks(): UplinkStatus[];
  routes(): RouteStatus[];
  neighbours(): NeighbourStatus[];
  /** At most `limit` flows (1 … 10,000) from `cursor` on; looks at no more than a bounded number of entries a call, so a page may be short. */
  flows(filter: FlowFilter, cursor: number, limit: number): FlowPage;
  filters(): FilterStatus[];
  drops(): DropStatus[];
}

/** The answers of the table resources, as they stand on the wire. */
export interface LinkList { schemaVersion: number; links: LinkStatus[] }
export interface UplinkList { schemaVersion: number; uplinks: UplinkStatus[] }
export interface RouteList { schemaVersion: number; routes: RouteStatus[] }
export interface NeighbourList { schemaVersion: number; neighbours: NeighbourStatus[] }
export interface FilterList { schemaVersion: number; filters: FilterStatus[] }
export interface DropList { schemaVersion: number; drops: DropStatus[] }

/** One event as the stream carries it. `sequence` grows by one an event; a gap means the reader was too slow and missed some. */
export interface StreamedEvent extends RouterEvent { schemaVersion: number; sequence: number }

/** Every answer with a status of 400 or more. `parameter`, `found` and `allowed` are there when a query parameter is at fault. */
export interface ApiErrorBody {
  schemaVersion: number;
  error: { message: string; parameter: string | null; found: string | null; allowed: string | null };
}

/** Flows in one page of `flows`: what is given unless asked, and the most that may be asked for. */
export const FLOW_PAGE_DEFAULT = 1000;
export const FLOW_PAGE_MAX = 10_000;
