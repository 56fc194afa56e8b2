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
}

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
  limits: LimitsPlan;
  timeouts: TimeoutsPlan;
  control: ControlPlan;
}
