/**
 * Every key of the configuration: its type, default, bounds, unit and one sentence. Validation, `conf/full.yaml` and
 * `docs/config.md` are all read from here; adding a key is adding an entry. Each entry is a convict schema object.
 */
import type { AffinityPlan, Balance, FilterRulePlan, FlowStateMatch, GroupPlan, LimitsPlan, LinkPlan, LinkType, Plan, UplinkPlan } from '../../base/plan.js';
import { checkPart, type CheckKeys } from './check-schema.js';
import type { FormatName, FormatOptions } from './format.js';
import type { OneOrMore } from './rule-text.js';
import { virtualServers } from './server-schema.js';
import { share, vrrp } from './share-schema.js';

export interface Key extends FormatOptions {
  format: FormatName;
  /** Undefined = none: the key is required, or what happens without it is in its sentence. */
  default: string | number | boolean | readonly (string | number)[] | undefined;
  /** One sentence. */
  doc: string;
  unit?: string;
  required?: true;
  /** links: the only types that have the key. */
  types?: readonly LinkType[];
  /** Shown in full.yaml for a key without a default. */
  example?: string;
  /** A value that is not shown where something is wrong with it: all of it, or the user and the password of a URL. */
  secret?: 'whole' | 'url';
  /** The key it may stand for; the two exclude each other. */
  instead?: string;
  /** map, choiceOrMap, targets: what the key's map is called ('a rate limit'), and its keys. */
  part?: { readonly one: string; readonly keys: Readonly<Record<string, Key>> };
  /** eachName: what each name has. */
  each?: Key;
}

export type Keys<T> = { readonly [K in keyof T]-?: Key };

/** A section of the file: a map of named things that all have the same keys, or the keys themselves. */
export interface Section<T> {
  named: boolean;
  /** What one of it is called: 'a link'. */
  one: string;
  doc: string;
  keys: Keys<T>;
  /** How many named things there may be; absent = what fits into a file. */
  most?: number;
  /** Keys of a coming version, refused by name. */
  later: readonly string[];
}

export interface LinkKeys {
  type: LinkType; device: string; netns?: string; bridge?: string; mac?: string; mtu?: number;
  addresses: string[]; neighbours?: string[]; probeAddresses: boolean; peer?: string; pins?: string; defaultRoute: boolean; offload: boolean; mssClamp: LinkPlan['mssClamp']; sourceCheck?: LinkPlan['sourceCheck'];
}
export interface RouteKeys {
  to: string; via?: string; link?: string; group?: string; refuse?: 'unreachable' | 'blackhole' | 'prohibit';
}
export interface UplinkKeys {
  link: string; gateway?: string; weight: number; snat: string | string[];
  mapping: UplinkPlan['mapping']; filtering: UplinkPlan['filtering']; whenExhausted: UplinkPlan['whenExhausted']; refreshInbound: boolean;
  check?: CheckKeys;
}
export interface AffinityKeys { by: AffinityPlan['by']; timeout: string }
export interface GroupKeys {
  uplinks: string[]; tiers?: Readonly<Record<string, number>>; balance: Balance; affinity?: AffinityKeys; onDown: GroupPlan['onDown']; onRecover: GroupPlan['onRecover'];
  drainTimeout: string; lastResort: 'unreachable' | 'blackhole' | { group: string };
}
export interface PortForwardKeys { uplink: string; listen: string; to: string }
export interface OneToOneKeys { uplink: string; external: string; internal: string }
/** What a rule looks at. */
export interface MatchKeys {
  in?: OneOrMore<string>; out?: OneOrMore<string>; from?: OneOrMore<string>; to?: OneOrMore<string>;
  protocol?: OneOrMore<string | number>; ports?: OneOrMore<string | number>;
}
export type NoNatKeys = MatchKeys;
export interface OverKeys { rate: string; burst?: number; by: 'source' | 'rule' }
export interface FilterKeys extends MatchKeys {
  action: FilterRulePlan['action']; sourcePorts?: OneOrMore<string | number>; state?: OneOrMore<FlowStateMatch>; over?: OverKeys;
}
export interface PolicyKeys extends Omit<MatchKeys, 'out'> {
  sourcePorts?: OneOrMore<string | number>; group?: string; exclude: boolean; prefer?: string; affinity?: AffinityKeys;
}
export interface TcpKeys { midstream: Plan['tcpMidstream'] }
export interface AlgKeys { ports: OneOrMore<number> }
export interface AlgsKeys { ftp: 'on' | 'off' | AlgKeys; tftp: 'on' | 'off' | AlgKeys }
export type LimitsKeys = LimitsPlan;
export interface TimeoutsKeys {
  tcpOpening: string; tcpEstablished: string; tcpClosing: string; tcpTimeWait: string; udp: string; udpReplied: string;
  icmp: string; other: string; fragment: string; neighbourReachable: string; neighbourStale: string;
  portQuarantine: string; synHold: string; expectation: string;
}
export interface HooksKeys { directory: string; user: string; timeout: string }
export interface ControlKeys { socket: string; group?: string; logLevel: string; metrics: string }

/** Names stand in columns, paths and metrics, so they are short and plain. */
export const NAME = /^[a-z][a-z0-9-]{0,31}$/;
export const NAME_ALLOWED = 'a name of 1 to 32 lower-case letters, digits and "-", beginning with a letter';

const links: Section<LinkKeys> = {
  named: true,
  one: 'a link',
  doc: 'The edges of the router: the devices packets come in and go out by.',
  later: [],
  keys: {
    type: {
      format: 'choice', choices: ['tap', 'raw', 'tun'], default: undefined, required: true,
      doc: 'What the link is made of: tap is an Ethernet device that weir makes, raw an existing device taken over from the host\'s stack, tun a device that weir makes for bare IP packets, such as those of the box itself.',
    },
    device: {
      format: 'device', default: undefined, required: true,
      doc: 'The kernel\'s name of the device.',
    },
    netns: {
      format: 'netns', default: undefined, example: 'lab',
      doc: 'The named network namespace the device lives in; without it, the one weir runs in.',
    },
    bridge: {
      format: 'device', types: ['tap'], default: undefined, example: 'br-lan',
      doc: 'The bridge the device joins, made if it does not exist; without it, none.',
    },
    mac: {
      format: 'mac', types: ['tap'], default: undefined, example: '02:00:00:00:00:01',
      doc: 'The router\'s MAC address on the link; without it, one derived from the device\'s name.',
    },
    mtu: {
      format: 'integer', min: 576, max: 65535, unit: 'bytes', default: undefined, example: '1500',
      doc: 'The longest IP packet the link carries (a tap carries 65521 at most); without it, what the device says.',
    },
    addresses: {
      format: 'addresses', default: [],
      doc: 'The router\'s own addresses on the link, each with the length of the prefix that is reached directly; the first one is what weir speaks as.',
    },
    neighbours: {
      format: 'neighbours', types: ['tap', 'raw'], default: undefined, example: '[10.0.1.9 02:00:00:00:00:09]',
      doc: 'Stations whose MAC address is given here and never asked for, each as its address, a space and its MAC address; what ARP says of them counts for nothing.',
    },
    probeAddresses: {
      format: 'boolean', types: ['tap', 'raw'], default: false,
      doc: 'Asks by ARP whether another station has one of the addresses before the link is used (RFC 5227), which takes 4 to 7 seconds each time its device comes up; where one has, the link stays out of use and asks again every minute.',
    },
    peer: {
      format: 'address', types: ['tun'], default: undefined, example: '100.64.0.2',
      doc: 'The address the box itself has at the far end, inside the prefix of one of the addresses.',
    },
    pins: {
      format: 'prefix', types: ['tun'], default: undefined, example: '169.254.119.0/24',
      doc: 'Where the box\'s second addresses come from, one for each uplink, from the first on: what the box sends from one of them leaves by that uplink whatever the routes say, as checks do; without it, 169.254.119.0/24. Only on the link to the box, the first tun with a peer.',
    },
    defaultRoute: {
      format: 'boolean', types: ['tun'], default: false,
      doc: 'Makes the link the box\'s own default route while weir runs, so that the box\'s traffic is routed like any other.',
    },
    offload: {
      format: 'boolean', default: true,
      doc: 'Asks the kernel for checksum and segmentation offloads; false when a device gets them wrong.',
    },
    mssClamp: {
      format: 'mssClamp', min: 536, max: 65_495, unit: 'bytes', default: 'auto',
      doc: 'The largest TCP segment that flows over the link may agree on: auto follows from the MTUs of both their links, off leaves what they ask for, a number is the most.',
    },
    sourceCheck: {
      format: 'choice', choices: ['strict', 'feasible', 'off'], default: undefined, example: 'strict',
      doc: 'Where a packet\'s source must be reached for it to come in by the link (RFC 3704): strict is by this very link, feasible is by it or by another uplink of the same group, off is anywhere; without it, feasible on the links of uplinks, off on any other tun, strict elsewhere; a tun with a peer has only off, for the box may forward for others.',
    },
  },
};

const routes: Section<RouteKeys> = {
  named: true,
  one: 'a route',
  doc: 'Where packets go by destination; the longest prefix wins. The networks of the links\' own addresses need no route. A route has exactly one of via, link, group and refuse; via and link may stand together.',
  later: [],
  keys: {
    to: {
      format: 'prefix', default: undefined, required: true,
      doc: 'The destinations, as a prefix; 0.0.0.0/0 is everything that no other route names.',
    },
    via: {
      format: 'address', default: undefined, example: '10.0.1.254',
      doc: 'The gateway to send to, on the network of one of the links; with link, it may be off that link\'s networks.',
    },
    link: {
      format: 'reference', of: 'a link', default: undefined, example: 'lan',
      doc: 'The link the destinations are directly attached to, or with via the link the gateway is on.',
    },
    group: {
      format: 'reference', of: 'a group', default: undefined, example: 'internet',
      doc: 'The group of uplinks to balance over.',
    },
    refuse: {
      format: 'choice', choices: ['unreachable', 'blackhole', 'prohibit'], default: undefined, example: 'unreachable',
      doc: 'Drops the packets: unreachable and prohibit tell the sender so by ICMP, blackhole is silent.',
    },
  },
};

const uplinks: Section<UplinkKeys> = {
  named: true,
  one: 'an uplink',
  doc: 'The ways out to the internet: a link, a gateway on it, and the addresses flows are translated to.',
  later: [],
  keys: {
    link: {
      format: 'reference', of: 'a link', default: undefined, required: true,
      doc: 'The link the uplink leaves by; several uplinks may share one.',
    },
    gateway: {
      format: 'address', default: undefined, example: '203.0.113.1',
      doc: 'The gateway to send to, on the link\'s network; required unless the link is a tun, which has none.',
    },
    weight: {
      format: 'integer', min: 0, max: 65535, default: 1,
      doc: 'The uplink\'s share of new flows, relative to the others of its group; 0 takes no new flows and keeps the old ones.',
    },
    snat: {
      format: 'snat', default: 'auto',
      doc: 'What the sources of outgoing flows are translated to: auto is the link\'s first address, off leaves them as they are, addresses are used as given, each inside address keeping one of them.',
    },
    mapping: {
      format: 'choice', choices: ['endpoint-independent', 'address-and-port-dependent'], default: 'endpoint-independent',
      doc: 'Whether an inside address and port keep one external port towards every destination (endpoint-independent, RFC 4787 REQ-1) or have another one for each (address-and-port-dependent), which uses more ports and breaks what connects peers to each other.',
    },
    filtering: {
      format: 'choice', choices: ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'], default: 'endpoint-independent',
      doc: 'Who outside may send to a mapping\'s external port (RFC 4787 REQ-8): anybody, the addresses that inside has sent to, or only the addresses and ports.',
    },
    whenExhausted: {
      format: 'choice', choices: ['share', 'refuse'], default: 'share',
      doc: 'What happens when no external port is free: share takes one that is in use towards other destinations, refuse tells the sender by ICMP.',
    },
    refreshInbound: {
      format: 'boolean', default: true,
      doc: 'Whether packets from outside prolong a UDP flow as packets from inside do (RFC 4787 REQ-6).',
    },
    check: {
      format: 'map', default: undefined, example: '{ icmp: [192.0.2.1, 192.0.2.2] }', part: checkPart,
      doc: 'How it is found out whether the uplink works beyond its link and its gateway; without it, a link with carrier and a gateway that answers ARP are enough. What is asked leaves by this uplink, whatever the routes say.',
    },
  },
};

const affinity: NonNullable<Key['part']> = {
  one: 'an affinity',
  keys: {
    by: {
      format: 'choice', choices: ['source', 'destination', 'source-destination'], default: 'source',
      doc: 'The addresses that are remembered: of who sends, of who is sent to, or of both.',
    },
    timeout: {
      format: 'duration', min: '1s', max: '24d', default: '10m',
      doc: 'How long after its last new flow.',
    },
  },
};

/** Tiers there can be; nobody has so many uplinks that each needs one of its own beyond this. */
const TIERS_MAX = 255;

const groups: Section<GroupKeys> = {
  named: true,
  one: 'a group',
  doc: 'Uplinks that share the traffic of a route or a policy, and what becomes of flows when one of them goes down or comes back.',
  later: [],
  keys: {
    uplinks: {
      format: 'references', of: 'an uplink', default: undefined, required: true,
      doc: 'The uplinks of the group.',
    },
    tiers: {
      format: 'eachName', of: 'an uplink', default: undefined, example: '{ isp2: 2 }',
      each: { format: 'integer', min: 1, max: TIERS_MAX, default: 1, doc: 'The tier.' },
      doc: 'Which uplinks come first: those of the lowest tier with a usable one share the flows, the others wait; an uplink that is not named is of tier 1.',
    },
    balance: {
      format: 'choice', choices: ['flow', 'source', 'destination', 'source-destination', 'packet'], default: 'flow',
      doc: 'What is spread over the uplinks by weight: flows, or all flows together that have the source, the destination or both addresses in common; packet spreads the packets of each flow that leaves untranslated, which then arrive out of order.',
    },
    affinity: {
      format: 'map', default: undefined, example: '{ by: source, timeout: 10m }', part: affinity,
      doc: 'Brings new flows to the uplink that earlier ones of the same address took, while it is usable; without it, balance alone decides.',
    },
    onDown: {
      format: 'choice', choices: ['reset', 'move', 'keep', 'drain'], default: 'reset',
      doc: 'What becomes of the flows of an uplink that goes down while another one is usable: reset tells both ends, so that they connect anew at once, move takes flows without translation to another uplink and resets the rest, keep leaves them waiting for its return, drain lets them go on over it while its link has carrier.',
    },
    onRecover: {
      format: 'choice', choices: ['keep', 'drain', 'reset'], default: 'keep',
      doc: 'What becomes of the flows on a worse tier when a better one is usable again: keep leaves them there to their end, drain resets what is left of them after drainTimeout, reset ends them at once, for backups that are paid by volume.',
    },
    drainTimeout: {
      format: 'duration', min: '1s', max: '24d', default: '5m',
      doc: 'How long onRecover: drain lets flows go on.',
    },
    lastResort: {
      format: 'choiceOrMap', choices: ['unreachable', 'blackhole'], default: 'unreachable',
      part: { one: 'a last resort', keys: { group: { format: 'reference', of: 'a group', default: undefined, required: true, doc: 'The group to try instead.' } } },
      doc: 'What becomes of new flows while no uplink of the group is usable: unreachable tells the sender by ICMP, blackhole is silent, a map names another group to try.',
    },
  },
};

/** Rules of one kind; each new flow is held against them one after the other. */
const RULES_MAX = 4096;

const portForwards: Section<PortForwardKeys> = {
  named: true,
  one: 'a port forward',
  doc: 'Ports of an uplink\'s external addresses that lead to a server inside, for what comes in by the uplink and for what inside sends to those addresses. Filters see the inside address and port.',
  most: RULES_MAX,
  later: [],
  keys: {
    uplink: {
      format: 'reference', of: 'an uplink', default: undefined, required: true,
      doc: 'The uplink whose external addresses it listens on.',
    },
    listen: {
      format: 'listen', default: undefined, required: true,
      doc: 'The port, or range of ports, and the protocol that is forwarded; on all external addresses of the uplink unless one of them stands before it.',
    },
    to: {
      format: 'target', default: undefined, required: true,
      doc: 'The server inside; a range of ports keeps its order.',
    },
  },
};

const oneToOne: Section<OneToOneKeys> = {
  named: true,
  one: 'a 1:1 translation',
  doc: 'External addresses that stand for one inside address each, in both directions and with all ports; port forwards of that address come first.',
  most: RULES_MAX,
  later: [],
  keys: {
    uplink: {
      format: 'reference', of: 'an uplink', default: undefined, required: true,
      doc: 'The uplink the external address belongs to.',
    },
    external: {
      format: 'address', default: undefined, required: true,
      doc: 'The external address; it is in no uplink\'s snat.',
    },
    internal: {
      format: 'address', default: undefined, required: true,
      doc: 'The inside address that has it.',
    },
  },
};

const match: Keys<MatchKeys> = {
  in: {
    format: 'someReferences', of: 'a link', default: undefined, example: 'lan',
    doc: 'The links the packet came in by.',
  },
  out: {
    format: 'someReferences', of: 'a link', default: undefined, example: '[wan1, wan2]',
    doc: 'The links the packet leaves by.',
  },
  from: {
    format: 'somePrefixes', default: undefined, example: '10.0.1.0/24',
    doc: 'Where the packet comes from; of what inside sends, the inside address.',
  },
  to: {
    format: 'somePrefixes', default: undefined, example: '192.0.2.0/24',
    doc: 'Where the packet goes to; behind a port forward or a 1:1 translation, the inside address.',
  },
  protocol: {
    format: 'someProtocols', default: undefined, example: 'tcp',
    doc: 'The protocols.',
  },
  ports: {
    format: 'somePorts', least: 0, default: undefined, example: '[80, 443]',
    doc: 'The destination ports; without protocol, of TCP and of UDP.',
  },
};

const sourcePorts: Key = {
  format: 'somePorts', least: 0, default: undefined, example: '1024-65535',
  doc: 'The source ports; without protocol, of TCP and of UDP.',
};

const policies: Section<PolicyKeys> = {
  named: true,
  one: 'a policy',
  doc: 'Which group a new flow takes, in the order of the files: the first policy whose keys all match decides, and what none matches goes where the routes say. Networks the router is on itself and its own addresses are never subject to one. A policy has either group or exclude: true.',
  most: RULES_MAX,
  later: [],
  keys: {
    in: match.in, from: match.from,
    to: { ...match.to, doc: 'Where the packet goes to.' },
    protocol: match.protocol, ports: match.ports, sourcePorts,
    group: {
      format: 'reference', of: 'a group', default: undefined, example: 'internet',
      doc: 'The group of uplinks to balance over.',
    },
    exclude: {
      format: 'boolean', default: false,
      doc: 'Leaves what matches to the routes, as if there were no policies.',
    },
    prefer: {
      format: 'reference', of: 'an uplink', default: undefined, example: 'isp1',
      doc: 'The uplink of the group that is taken while it is usable, whatever its tier and weight.',
    },
    affinity: {
      format: 'map', default: undefined, example: '{ by: source, timeout: 1h }', part: affinity,
      doc: 'An affinity of the policy\'s own, instead of the group\'s.',
    },
  },
};

const noNat: Section<NoNatKeys> = {
  named: true,
  one: 'an exception',
  doc: 'Flows that leave by an uplink untranslated: those that match all keys of an exception. A key that is absent matches everything, and of a list one match is enough.',
  most: RULES_MAX,
  later: [],
  keys: match,
};

const filters: Section<FilterKeys> = {
  named: true,
  one: 'a filter',
  doc: 'What is let through, in the order of the files: the first filter whose keys all match decides, and what none matches is accepted. A key that is absent matches everything, and of a list one match is enough. What comes in by an uplink that translates and is no answer, nor turned inside by a port forward, a 1:1 translation or a mapping, needs a filter that accepts it and says in or to.',
  most: RULES_MAX,
  later: [],
  keys: {
    action: {
      format: 'choice', choices: ['accept', 'drop', 'reject'], default: undefined, required: true,
      doc: 'Lets the packet through, drops it silently, or drops it and tells its sender (by a reset for TCP, otherwise by ICMP).',
    },
    ...match,
    sourcePorts,
    state: {
      format: 'someChoices', choices: ['new', 'established', 'related'], default: undefined, example: 'new',
      doc: 'Which packets: the first one of a flow (new), the others, held against the filter as the first one was, in both directions (established), or ICMP errors about a flow and the first packets of flows that a helper of algs expects (related); without it, new.',
    },
    over: {
      format: 'map', default: undefined, example: '{ rate: 100/s, burst: 200, by: source }',
      doc: 'Makes the filter match only what exceeds a rate; what stays below goes on to the filters behind it.',
      part: {
        one: 'a rate limit',
        keys: {
          rate: {
            format: 'rate', default: undefined, required: true,
            doc: 'How much stays below: new flows, or packets where state says so.',
          },
          burst: {
            format: 'integer', min: 1, max: 10_000_000, default: undefined, example: '200',
            doc: 'How many may come at once after a rest; without it, one second\'s worth, at least 1.',
          },
          by: {
            format: 'choice', choices: ['source', 'rule'], default: 'source',
            doc: 'Whether each source address has the rate to itself or all that matches shares it.',
          },
        },
      },
    },
  },
};

const tcp: Section<TcpKeys> = {
  named: false,
  one: 'the TCP settings',
  doc: 'What TCP flows get beyond RFC 5382.',
  later: [],
  keys: {
    midstream: {
      format: 'choice', choices: ['reset', 'drop', 'pickup'], default: 'reset',
      doc: 'What is done with segments of no known flow: reset answers as a host without it would, drop says nothing, pickup opens a flow in the middle where no translation is needed and resets elsewhere.',
    },
  },
};

const alg = (name: string, ports: readonly number[], transport: string): NonNullable<Key['part']> => ({
  one: `the helper for ${name}`,
  keys: {
    ports: {
      format: 'somePorts', least: 1, single: true, default: ports,
      doc: `The ${transport} ports of servers whose flows it watches.`,
    },
  },
});

const algs: Section<AlgsKeys> = {
  named: false,
  one: 'the helpers',
  doc: 'Helpers for protocols that carry addresses and ports in their payload.',
  later: [],
  keys: {
    ftp: {
      format: 'choiceOrMap', choices: ['on', 'off'], default: 'on', part: alg('FTP', [21], 'TCP'),
      doc: 'FTP\'s data connections: PORT, EPRT, PASV and EPSV, on either side (RFC 959, RFC 2428).',
    },
    tftp: {
      format: 'choiceOrMap', choices: ['on', 'off'], default: 'off', part: alg('TFTP', [69], 'UDP'),
      doc: 'TFTP\'s transfers, which come from another port than was asked (RFC 1350).',
    },
  },
};

const limits: Section<LimitsKeys> = {
  named: false,
  one: 'the limits',
  doc: 'How much weir holds and does at most; what is beyond a limit is refused and counted.',
  later: [],
  keys: {
    flows: {
      format: 'integer', min: 1024, max: 16_777_216, unit: 'flows', default: 1_048_576,
      doc: 'Flows remembered at once; their memory is set aside at the start.',
    },
    neighbours: {
      format: 'integer', min: 16, max: 1_048_576, unit: 'neighbours', default: 4096,
      doc: 'Neighbours (addresses and their MAC addresses) remembered at once.',
    },
    neighbourQueue: {
      // As many as the kernel keeps for one: a hundred flows may begin at once behind a gateway that is not known yet.
      format: 'integer', min: 1, max: 1024, unit: 'packets', default: 128,
      doc: 'Packets that wait for one neighbour to answer.',
    },
    heldPackets: {
      format: 'integer', min: 1, max: 16_384, unit: 'packets', default: 1024,
      doc: 'Packets that wait for all neighbours together.',
    },
    fragments: {
      format: 'integer', min: 1, max: 65_536, unit: 'datagrams', default: 4096,
      doc: 'Datagrams put together from fragments at once.',
    },
    fragmentBytes: {
      format: 'integer', min: 65_535, max: 1_073_741_824, unit: 'bytes', default: 16_777_216,
      doc: 'Bytes of fragments that wait for the rest of their datagrams.',
    },
    icmpErrorsPerSecond: {
      format: 'integer', min: 1, max: 1_000_000, unit: 'a second', default: 1000,
      doc: 'ICMP errors the router sends, all together.',
    },
    icmpErrorsPerDestination: {
      format: 'integer', min: 1, max: 1_000_000, unit: 'a second', default: 100,
      doc: 'ICMP errors the router sends to one destination. When every uplink is down, each new flow of a host is told by one.',
    },
    flowsPerSource: {
      format: 'integer', min: 0, max: 16_777_216, unit: 'flows', default: 0,
      doc: 'Flows one inside address may have; 0 is no limit (RFC 6888 REQ-4).',
    },
    portsPerSource: {
      format: 'integer', min: 0, max: 65_535, unit: 'ports', default: 0,
      doc: 'External ports one inside address may have; 0 is no limit (RFC 6888 REQ-4).',
    },
    expectations: {
      format: 'integer', min: 1, max: 65_536, unit: 'flows', default: 1024,
      doc: 'Flows that the helpers of algs expect at once.',
    },
    affinity: {
      format: 'integer', min: 16, max: 1_048_576, unit: 'entries', default: 65_536,
      doc: 'Addresses whose uplink is remembered at once, of all groups and policies with affinity together.',
    },
    heldSyns: {
      format: 'integer', min: 1, max: 65_536, unit: 'packets', default: 256,
      doc: 'Unsolicited TCP SYNs from outside that wait at once for one from inside that matches.',
    },
    offloadedFlows: {
      format: 'integer', min: 0, max: 1_000_000, unit: 'flows', default: 32_768,
      doc: 'Established flows the kernel forwards by itself as weir has decided, where it can (weir doctor says); 0 = none, every packet goes through weir.',
    },
    sharedChanges: {
      format: 'integer', min: 1024, max: 4_194_304, unit: 'changes', default: 262_144,
      doc: 'Changes of flows that wait at once to be written to the store they are shared through; the oldest give way, and are written again later.',
    },
    heldFetches: {
      format: 'integer', min: 1, max: 65_536, unit: 'packets', default: 512,
      doc: 'Packets of unknown flows that wait at once until the store has been asked for theirs; those of one source address are half of them at most, those of one link three quarters.',
    },
    snatPortFirst: {
      format: 'integer', min: 1024, max: 65_535, default: 1024,
      doc: 'The lowest port, or ICMP identifier, source translation uses.',
    },
    snatPortLast: {
      format: 'integer', min: 1024, max: 65_535, default: 65_535,
      doc: 'The highest port, or ICMP identifier, source translation uses; not below snatPortFirst.',
    },
  },
};

/** The longest time any timer of the data plane counts: below 2^31 milliseconds. */
const LONGEST = '24d';

const timeouts: Section<TimeoutsKeys> = {
  named: false,
  one: 'the timeouts',
  doc: 'How long things that have gone quiet are remembered, in whole seconds. When more than three fifths of the flow table are taken, flows that are over or have not been answered are kept for less, down to two seconds, so that there is room for new ones; what has been answered never is.',
  later: [],
  keys: {
    tcpOpening: {
      format: 'duration', min: '4m', max: LONGEST, law: 'RFC 5382 REQ-5', default: '4m',
      doc: 'A TCP flow whose handshake is not complete.',
    },
    tcpEstablished: {
      format: 'duration', min: '2h4m', max: LONGEST, law: 'RFC 5382 REQ-5', default: '2h4m',
      doc: 'A TCP flow that is open in both directions.',
    },
    tcpClosing: {
      format: 'duration', min: '4m', max: LONGEST, law: 'RFC 5382 REQ-5', default: '4m',
      doc: 'A TCP flow of which one side has closed, or that was reset.',
    },
    tcpTimeWait: {
      format: 'duration', min: '1s', max: LONGEST, default: '2m',
      doc: 'A TCP flow that both sides have closed.',
    },
    udp: {
      format: 'duration', min: '2m', max: LONGEST, law: 'RFC 4787 REQ-5', default: '5m',
      doc: 'A UDP flow that has had no reply.',
    },
    udpReplied: {
      format: 'duration', min: '2m', max: LONGEST, law: 'RFC 4787 REQ-5', default: '5m',
      doc: 'A UDP flow that has had a reply.',
    },
    icmp: {
      format: 'duration', min: '60s', max: LONGEST, law: 'RFC 5508 REQ-2', default: '60s',
      doc: 'A flow of ICMP requests and replies.',
    },
    other: {
      format: 'duration', min: '1s', max: LONGEST, default: '10m',
      doc: 'A flow of any other protocol.',
    },
    fragment: {
      format: 'duration', min: '1s', max: '2m', default: '30s',
      doc: 'A datagram that waits for its remaining fragments.',
    },
    neighbourReachable: {
      format: 'duration', min: '1s', max: '1h', default: '30s',
      doc: 'A neighbour is trusted this long after it was last heard of, and checked when it is used after that.',
    },
    neighbourStale: {
      format: 'duration', min: '1s', max: '1d', default: '10m',
      doc: 'A neighbour nobody sends to is forgotten this long after it was last trusted.',
    },
    portQuarantine: {
      format: 'duration', min: '0s', max: '1h', default: '2m',
      doc: 'An external port that is free again stays out of use this long; RFC 6888 REQ-8 asks for 120 seconds at least.',
    },
    synHold: {
      format: 'duration', min: '6s', max: '2m', law: 'RFC 5382 REQ-4', default: '6s',
      doc: 'An unsolicited TCP SYN from outside waits this long for one from inside that matches, before it is answered.',
    },
    expectation: {
      format: 'duration', min: '1s', max: '1h', default: '30s',
      doc: 'A flow that a helper of algs expects must come within this time.',
    },
  },
};

const hooks: Section<HooksKeys> = {
  named: false,
  one: 'the hooks',
  doc: 'Programs of yours that are run when something happens to an uplink or a flow\'s fate is decided, without a shell.',
  later: [],
  keys: {
    directory: {
      format: 'directory', default: '/etc/weir/hooks.d',
      doc: 'Every executable file in it is run, in lexical order, with the event as JSON on its standard input; without the directory, none is.',
    },
    user: {
      format: 'userName', default: 'nobody',
      doc: 'The user they run as.',
    },
    timeout: {
      format: 'duration', fine: true, min: '100ms', max: '10m', default: '10s',
      doc: 'One that runs longer than this is killed.',
    },
  },
};

const control: Section<ControlKeys> = {
  named: false,
  one: 'the control settings',
  doc: 'The daemon itself: its socket, its log and its metrics.',
  later: ['web'],
  keys: {
    socket: {
      format: 'socketPath', default: '/run/weir/weir.sock',
      doc: 'The path of the unix socket that weir\'s commands speak to.',
    },
    group: {
      format: 'groupName', default: undefined, example: 'weir',
      doc: 'The group whose members may use the socket; without it, only weir\'s own user and root.',
    },
    logLevel: {
      format: 'choice', choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], default: 'info',
      doc: 'The least important messages that are still logged.',
    },
    metrics: {
      format: 'listenAddress', default: 'off', example: '127.0.0.1:9469',
      doc: 'Where counters can be fetched by HTTP in the text format of Prometheus, at /metrics; anybody who reaches the address can read them.',
    },
  },
};

/** The sections in the order of the file. */
export const SCHEMA = { links, routes, uplinks, groups, policies, virtualServers, portForwards, oneToOne, noNat, filters, tcp, algs, vrrp, share, limits, timeouts, hooks, control };
export type SectionName = keyof typeof SCHEMA;
