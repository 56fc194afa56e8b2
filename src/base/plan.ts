/**
 * A plan is a configuration made ready for the data plane: names resolved to indexes, defaults filled in, addresses in
 * canonical text. It is plain data (structured-clone safe) and never changed once made; a new one is swapped in
 * between two turns and bumps the generation.
 */

export interface AddressPlan { /** IPv4 text, canonical. */ address: string; prefixLength: number }

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

export interface GroupPlan { index: number; name: string; /** Uplink indexes. */ uplinks: number[] }

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
  /** Unsolicited SYNs kept waiting for a matching one from inside (RFC 5382 REQ-4). */
  heldSyns: number;
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

export interface ControlPlan { /** Path of the API's unix socket. */ socket: string; /** Group that may use it. */ group?: string; logLevel: string }

export interface Plan {
  generation: number;
  /** Seeds every hash and every random choice of the data plane; random unless a test sets it. */
  seed: number;
  links: LinkPlan[];
  routes: RoutePlan[];
  uplinks: UplinkPlan[];
  groups: GroupPlan[];
  filters: FilterRulePlan[];
  portForwards: PortForwardPlan[];
  oneToOne: OneToOnePlan[];
  noNat: NoNatPlan[];
  algs: AlgPlan[];
  /** TCP segments of no known flow: refuse silently, answer with a reset, or take the flow up from the middle where no translation is needed. */
  tcpMidstream: 'drop' | 'reset' | 'pickup';
  limits: LimitsPlan;
  timeouts: TimeoutsPlan;
  control: ControlPlan;
}
