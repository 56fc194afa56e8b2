/**
 * A plan is a configuration made ready for the data plane: names resolved to indexes, defaults filled in, addresses in
 * canonical text. It is plain data (structured-clone safe) and never changed once made; a new one is swapped in
 * between two turns and bumps the generation.
 */

export interface AddressPlan { /** IPv4 text, canonical. */ address: string; prefixLength: number }

export interface NeighbourPlan { /** IPv4 text, canonical. */ address: string; /** 'aa:bb:cc:dd:ee:ff'. */ mac: string }

export type LinkType = 'tap' | 'raw' | 'tun';

export interface LinkPlan {
  /** Position in Plan.links, the link's number everywhere in the data plane. */
  index: number;
  name: string;
  type: LinkType;
  /** Name of the kernel's device. */
  device: string;
  /** Named network namespace the device lives in; absent = the daemon's own. */
  netns?: string;
  /** tap: bridge of the same namespace the device joins, made if it does not exist. */
  bridge?: string;
  /** tap: our MAC address on the link, 'aa:bb:cc:dd:ee:ff'; absent = derived from the device's name. raw: the device's own. */
  mac?: string;
  /** Bytes of an IP packet; absent = the device's own. */
  mtu?: number;
  addresses: AddressPlan[];
  /** Neighbours whose MAC address is given rather than asked for; absent = none. */
  neighbours?: NeighbourPlan[];
  /** tap, raw: its addresses are used only once nobody on the wire has them (RFC 5227 §2.1); absent = at once. */
  probeAddresses?: boolean;
  /** tun: the address the box itself has on the far end. */
  peer?: string;
  /** tun: make this link the box's default route while running. */
  defaultRoute: boolean;
  /** Ask the kernel for checksum and segmentation offloads. */
  offload: boolean;
  /** Highest TCP MSS let through in SYN segments that leave or arrive here: 'auto' = from the MTUs of both links, a number of bytes, or 'off'. */
  mssClamp: 'auto' | 'off' | number;
  /** RFC 3704: 'strict' = the source must be reachable by this very link; 'feasible' = by it or another uplink of the group; 'off'. */
  sourceCheck: 'strict' | 'feasible' | 'off';
}

export interface RoutePlan {
  name: string;
  /** Prefix in CIDR text, host bits zero. */
  to: string;
  /** Exactly one of: a gateway reached over `link`; a link (directly attached); a group; a refusal. */
  via?: string;
  link?: number;
  group?: number;
  refuse?: 'unreachable' | 'blackhole' | 'prohibit';
}

export interface UplinkPlan {
  index: number;
  name: string;
  link: number;
  /** Absent on a link without gateways (tun). */
  gateway?: string;
  /** 0 = takes no new flows. */
  weight: number;
  /** Addresses flows are translated to; empty = no translation. `auto` is resolved to the link's first address when the plan is made. */
  snat: string[];
  /** RFC 4787 §4.1. */
  mapping: 'endpoint-independent' | 'address-and-port-dependent';
  /** RFC 4787 §5: who outside may send to a mapping. */
  filtering: 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';
  /** When no external port is free: share one with flows to other destinations, or refuse. */
  whenExhausted: 'share' | 'refuse';
  /** RFC 4787 REQ-6: whether packets from outside prolong a flow. */
  refreshInbound: boolean;
  /** How it is found out whether the uplink works beyond its carrier and its gateway's ARP; absent = not at all. */
  check?: CheckPlan;
  /** Address the box binds a socket to so that its packets leave by this very uplink, whatever the routes say (checks by tcp, http, dns). Absent without a link to the box. */
  pin?: string;
}

/** One thing asked of one target. */
export type ProbePlan =
  | { kind: 'icmp'; /** IPv4 text. */ target: string }
  | { kind: 'arp'; target: string }
  /** A datagram with this TTL: the hop where it ends answers with time exceeded (RFC 792), the target itself with port unreachable. */
  | { kind: 'udp'; target: string; port: number; ttl: number; /** Asks the target itself instead: it must not say port unreachable, and its answer must hold `expect` if that is given; silence is good otherwise. */ server?: { send: string; expect?: string } }
  /** Opened and closed again. */
  | { kind: 'tcp'; host: string; port: number }
  /** GET; the answer's status, and text its body holds. */
  | { kind: 'http'; url: string; status: PortRangePlan[]; body?: string; /** False = certificates are not looked at. */ verify: boolean; /** Asked as this host (Host, SNI) instead of the URL's. */ host?: string }
  /** A question to a server; any answer but SERVFAIL and REFUSED will do, unless `address` must be in it. */
  | { kind: 'dns'; server: string; port: number; name: string; address?: string }
  /** Run without a shell; exit code 0 = good. setsWeight: 1 = bad, 2 … 255 = good with a weight of code - 2. */
  | { kind: 'script'; command: string[]; user?: string; setsWeight?: boolean };

export type ProbeKind = ProbePlan['kind'];

/** Fails above the first, recovers below the second. */
export interface ThresholdPlan { fail: number; recover: number }

/** A health check: rounds of probes, one per target, and what is made of their results. */
export interface CheckPlan {
  probes: ProbePlan[];
  /** Probes of a round that must succeed for the round to be good. */
  need: number;
  intervalMs: number;
  timeoutMs: number;
  /** Bad rounds in a row until down, good ones until up. */
  fall: number;
  rise: number;
  /** Before the first verdict. */
  initial: 'up' | 'down';
  /** Rounds looked at for loss, latency and jitter. */
  window: number;
  /** Part of the window's probes that were lost, 0 … 1. */
  loss?: ThresholdPlan;
  /** Mean round trip, and mean difference between one and the next (RFC 3550 §6.4.1 speaks of the like), milliseconds. */
  latencyMs?: ThresholdPlan;
  jitterMs?: ThresholdPlan;
  /** Flap damping after RFC 2439: each fall adds 1, which halves every halfLifeMs; at `suppress` it stays down until below `reuse`, at most mostMs. Absent = none. */
  damping?: { halfLifeMs: number; suppress: number; reuse: number; mostMs: number };
}

export interface PortRangePlan { first: number; last: number }

/** What a rule looks at; an absent field matches everything. Within a field one match is enough. */
export interface MatchPlan {
  /** Link indexes. */
  in?: number[];
  out?: number[];
  /** CIDR texts. */
  from?: string[];
  to?: string[];
  /** IP protocol numbers. */
  protocols?: number[];
  sourcePorts?: PortRangePlan[];
  destinationPorts?: PortRangePlan[];
}

export type FlowStateMatch = 'new' | 'established' | 'related';

/** In order; the first rule that matches decides. No rule matching = accept. */
export interface FilterRulePlan {
  index: number;
  name: string;
  match: MatchPlan;
  /** Absent = new flows only. */
  states?: FlowStateMatch[];
  action: 'accept' | 'drop' | 'reject';
  /** The rule matches only what exceeds this rate: packets (or new flows) per second with this burst, in all or per source address. */
  over?: { perSecond: number; burst: number; by: 'source' | 'rule' };
}

/** From an external address and ports to an inside server, for what arrives by the uplink. */
export interface PortForwardPlan {
  index: number;
  name: string;
  uplink: number;
  /** External addresses it listens on (the uplink's, unless configured). */
  addresses: string[];
  /** IP protocol numbers, TCP and UDP. */
  protocols: number[];
  ports: PortRangePlan;
  to: string;
  /** First inside port; a range keeps its order. */
  toPort: number;
}

/** Every packet for `external` goes to `internal`, and what `internal` sends by the uplink bears `external`. */
export interface OneToOnePlan { index: number; name: string; uplink: number; external: string; internal: string }

/** Flows that leave an uplink untranslated. */
export interface NoNatPlan { index: number; name: string; match: MatchPlan }

/** Helpers for protocols that carry addresses in their payload. */
export interface AlgPlan { name: 'ftp' | 'tftp'; /** Server ports it watches. */ ports: number[] }

/** What two packets have in common that must leave by the same uplink; 'packet' = nothing. */
export type Balance = 'flow' | 'source' | 'destination' | 'source-destination' | 'packet';

/** Who comes back to the uplink they had: by address, for so many seconds after their last new flow. */
export interface AffinityPlan { by: 'source' | 'destination' | 'source-destination'; timeout: number }

export interface GroupPlan {
  index: number;
  name: string;
  /** Uplink indexes, and the tier of each: those of the lowest tier with a usable member share the flows. */
  uplinks: number[];
  tiers: number[];
  balance: Balance;
  affinity?: AffinityPlan;
  /**
   * Fate of the flows of an uplink that goes down, when the group has a better place for them: 'reset' tells the ends and forgets the flow; 'move'
   * takes flows without translation to another uplink and resets the rest; 'keep' leaves them waiting for the uplink's return; 'drain' lets them go on
   * over it while its link has carrier, only new flows go elsewhere.
   */
  onDown: 'reset' | 'move' | 'keep' | 'drain';
  /**
   * Fate of the flows on a worse tier when a better one is usable again: 'keep' leaves them to their end; 'drain' lets them end within drainTimeout,
   * affinity to the worse tier is forgotten at once; 'reset' ends them at once (metered backups).
   */
  onRecover: 'keep' | 'drain' | 'reset';
  /** Seconds. */
  drainTimeout: number;
  /** No uplink usable: tell the sender, say nothing, or try another group. */
  lastResort: 'unreachable' | 'blackhole' | { group: number };
}

/** In order, the first that matches decides; connected networks and the router's own addresses are never subject to one. */
export interface PolicyPlan {
  index: number;
  name: string;
  match: MatchPlan;
  /** Exactly one of: a group, or exclude (the routes decide as if there were no policies). */
  group?: number;
  exclude: boolean;
  /** The uplink of the group to take while it is usable. */
  prefer?: number;
  /** Instead of the group's own. */
  affinity?: AffinityPlan;
}

/** A server that a virtual server hands flows to. */
export interface RealServerPlan {
  /** Its number among the real servers of all virtual servers: place in Plan.realServers. */
  index: number;
  name: string;
  virtualServer: number;
  address: string;
  /** Port flows are sent to; absent = the one they were sent to (a virtual server of a range or of all ports). */
  port?: number;
  /** 0 = no new flows. */
  weight: number;
  /** Flows at which it gets no more, and to which they must fall before it does again (Linux: lower = 3/4 of upper unless given); 0 = no limit. */
  upper: number;
  lower: number;
  check?: CheckPlan;
  /** Address the box binds a socket to so that its packets take the path the flows take; absent without a link to the box. */
  pin?: string;
}

/** A name in src/balance/scheduler/registry.ts. */
export type SchedulerName = string;

export interface VirtualServerPlan {
  index: number;
  name: string;
  /** IPv4 texts it listens on; links answer ARP for them where they are on-link and nobody else's. */
  addresses: string[];
  /** IP protocol numbers, TCP and UDP. */
  protocols: number[];
  /** 0-65535 = all ports (IPVS's port 0). */
  ports: PortRangePlan;
  scheduler: { name: SchedulerName; /** sh, mh: the port is hashed too, and another server is taken when the hashed one is gone. */ hashPort: boolean; fallBack: boolean };
  /** Clients of one network (mask: prefix length) come back to their server for so many seconds after their last flow; one entry for all virtual servers of the same `tie`. */
  persistence?: { timeout: number; mask: number; tie?: string };
  /** UDP: every packet is scheduled by itself. */
  onePacket: boolean;
  /** Seconds over which the weight of a server that came up grows to the whole. */
  slowStart: number;
  /** Flows of a server that died or was removed. UDP flows never stay with the dead. */
  onServerDown: 'reset' | 'keep' | 'move';
  /** Instead of real servers, while there is no quorum; index in Plan.realServers, weight and check of no account. */
  sorry?: number;
  /** Total weight of usable servers below which it counts as down, and how much more than that until it is up again. */
  quorum: { weight: number; hysteresis: number };
  /** Rewrite the client's address as well: only where the answer would pass us by, always, never. */
  snat: 'auto' | 'always' | 'never';
  /** Indexes in Plan.realServers. */
  realServers: number[];
}

/** What a virtual router watches: down, its weight is taken off the priority; with weight 0 the virtual router stands aside altogether. */
export interface VrrpTrackPlan { kind: 'link' | 'uplink' | 'virtualServer'; /** Of that kind. */ index: number; weight: number }

/** A virtual router (RFC 9568): addresses that one of several routers has at a time. */
export interface VrrpPlan {
  index: number;
  name: string;
  link: number;
  /** VRID, 1 … 255. */
  id: number;
  version: 2 | 3;
  /** 1 … 255; 255 = the addresses are the link's own. */
  priority: number;
  addresses: AddressPlan[];
  /** Milliseconds; version 2 knows whole seconds, version 3 hundredths. */
  advertIntervalMs: number;
  preempt: boolean;
  /** A better one waits so long before it takes over, from its start or since it could. */
  preemptDelayMs: number;
  /** Addresses adverts are sent to, and taken from alone; empty = multicast. */
  peers: string[];
  /** Whether adverts of version 3 are summed without a pseudo-header (RFC 9568 §5.2.8) or with one (RFC 5798 §5.2.8, as many have read it). What comes may be summed either way. */
  checksum: 'pseudo-header' | 'plain';
  /** Use the virtual router's MAC address; false = the link's own. */
  virtualMac: boolean;
  /** Answer for the addresses as one's own (echo and the box's services) though one is not their owner (Accept_Mode). */
  accept: boolean;
  /** Version 2: simple password of RFC 2338. */
  password?: string;
  track: VrrpTrackPlan[];
  /** Virtual routers of one name are masters together or not at all. */
  syncGroup?: string;
  /** Gratuitous ARP on becoming master: so many at once, as many again after a while (0 = not), and one round every so often (0 = never). */
  announcements: { count: number; againMs: number; refreshMs: number };
}

/** How Redis is reached. */
export interface RedisPlan {
  /** redis://HOST:PORT/DATABASE, rediss://…, or unix:///PATH, without credentials; empty = by sentinels or a cluster. */
  url: string;
  /** Before every key; its first {…} names the slot of a cluster, and is put there when missing. */
  prefix: string;
  username?: string;
  password?: string;
  /** Sentinels as HOST:PORT, and the name of the master they watch. */
  sentinels: string[];
  sentinelName?: string;
  sentinelPassword?: string;
  /** Nodes of a cluster as HOST:PORT; empty = no cluster. */
  cluster: string[];
  /** TLS: absent = none. Paths of PEM files; verify false = any certificate. */
  tls?: { ca?: string; cert?: string; key?: string; servername?: string; verify: boolean };
  /** A command that takes longer has failed. */
  timeoutMs: number;
}

/** State shared with other instances. */
export interface SharePlan {
  /** memory = nothing is shared. */
  store: 'memory' | 'redis';
  /** This instance's name, unlike every other's. */
  instance: string;
  redis?: RedisPlan;
  /** Do not start without the store. */
  require: boolean;
  /** Changes are written behind in batches, so often. */
  flushMs: number;
  /** A packet of an unknown flow that somebody else may know waits so long for the store; 0 = not. */
  holdMs: number;
  /** A block of ports is leased for so long, and has so many ports (a power of two). */
  leaseMs: number;
  portBlock: number;
  /** An instance not heard of for so long is gone. */
  aliveMs: number;
}

/** Programs run on events. */
export interface HooksPlan { /** Every executable file in it is run, in lexical order. */ directory: string; user: string; timeoutMs: number }

export interface LimitsPlan {
  flows: number;
  neighbours: number;
  /** Packets waiting for one neighbour, and for all of them together. */
  neighbourQueue: number;
  heldPackets: number;
  /** Datagrams being reassembled, and their bytes. */
  fragments: number;
  fragmentBytes: number;
  /** ICMP errors per second: all together, and to one destination. */
  icmpErrorsPerSecond: number;
  icmpErrorsPerDestination: number;
  /** Flows, and external ports, one inside address may have; 0 = no limit (RFC 6888 REQ-4). */
  flowsPerSource: number;
  portsPerSource: number;
  /** Flows an ALG may expect at once. */
  expectations: number;
  /** Entries of affinity, of all groups and policies together. */
  affinity: number;
  /** Unsolicited SYNs kept waiting for a matching one from inside (RFC 5382 REQ-4). */
  heldSyns: number;
  /** Flows the kernel may forward by itself; 0 = none. */
  offloadedFlows: number;
  /** Changes waiting to be written to the store. */
  sharedChanges: number;
  /** Packets waiting for the store to be asked for their flow. */
  heldFetches: number;
  /** First and last port used for source translation. */
  snatPortFirst: number;
  snatPortLast: number;
}

/** Seconds. */
export interface TimeoutsPlan {
  tcpOpening: number;
  tcpEstablished: number;
  tcpClosing: number;
  tcpTimeWait: number;
  udp: number;
  udpReplied: number;
  icmp: number;
  other: number;
  fragment: number;
  neighbourReachable: number;
  neighbourStale: number;
  /** A freed external port stays out of use (RFC 6888 REQ-8). */
  portQuarantine: number;
  /** An unsolicited SYN from outside waits so long for a matching one from inside (RFC 5382 REQ-4). */
  synHold: number;
  /** An expected flow must come within this time. */
  expectation: number;
}

export interface ControlPlan {
  /** Path of the API's unix socket. */
  socket: string;
  /** Group that may use it. */
  group?: string;
  logLevel: string;
  /** Where counters can be fetched by HTTP (IPv4 text); absent = nowhere. */
  metrics?: { address: string; port: number };
}

export interface Plan {
  generation: number;
  /** Seeds every hash and every random choice of the data plane; random unless a test sets it. */
  seed: number;
  links: LinkPlan[];
  routes: RoutePlan[];
  uplinks: UplinkPlan[];
  groups: GroupPlan[];
  policies: PolicyPlan[];
  virtualServers: VirtualServerPlan[];
  /** Those of all virtual servers, each one's in a row, sorry servers behind their own. */
  realServers: RealServerPlan[];
  vrrp: VrrpPlan[];
  share: SharePlan;
  filters: FilterRulePlan[];
  portForwards: PortForwardPlan[];
  oneToOne: OneToOnePlan[];
  noNat: NoNatPlan[];
  algs: AlgPlan[];
  /** TCP segments of no known flow: refuse silently, answer with a reset, or take the flow up from the middle where no translation is needed. */
  tcpMidstream: 'drop' | 'reset' | 'pickup';
  limits: LimitsPlan;
  timeouts: TimeoutsPlan;
  hooks: HooksPlan;
  control: ControlPlan;
}
