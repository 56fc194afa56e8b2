/**
 * Why a packet stopped. Each reason is one row: its number (its place in the table), NAME, sentence and what the sender is
 * told. The drop counters, the CLI, events, ICMP errors and the docs all read these rows.
 *
 * A stage returns 0 to let the packet go on and a row's number to stop it. `receive` returns SENT (0 too) when the packet left.
 */

/** An ICMP error (RFC 792, RFC 1812 §5.2.7); with `reset`, a TCP segment is answered by a RST instead. */
export interface Answer {
  type: number;
  code: number;
  text: string;
  reset: boolean;
  /** Its resets are not limited: one is no longer than what it answers, and without it clients would wait until they give up. */
  isUrgent?: boolean;
}

export interface VerdictRow {
  number: number;
  name: string;
  /** 'done': handled as it should be. 'drop': refused, counted as a drop. */
  kind: 'done' | 'drop';
  sentence: string;
  answer: Answer | null;
}

type Draft = Omit<VerdictRow, 'number' | 'name'>;

const done = (sentence: string): Draft => ({ kind: 'done', sentence, answer: null });
const drop = (sentence: string, answer: Answer | null = null): Draft => ({ kind: 'drop', sentence, answer });
const icmp = (type: number, code: number, text: string, reset = false): Answer => ({ type, code, text, reset });

const NET_UNREACHABLE = icmp(3, 0, 'network unreachable');
const HOST_UNREACHABLE = icmp(3, 1, 'host unreachable');
const PROTOCOL_UNREACHABLE = icmp(3, 2, 'protocol unreachable');
const PORT_UNREACHABLE = icmp(3, 3, 'port unreachable', true);
/** RFC 5382 REQ-4: told by ICMP, for a reset would end a simultaneous open for good. */
const PORT_UNREACHABLE_ICMP = icmp(3, 3, 'port unreachable');
const FRAGMENTATION_NEEDED = icmp(3, 4, 'fragmentation needed');
const PROHIBITED = icmp(3, 13, 'communication administratively prohibited');
const TTL_EXCEEDED = icmp(11, 0, 'time to live exceeded in transit');
const REASSEMBLY_EXCEEDED = icmp(11, 1, 'fragment reassembly time exceeded');
const REFUSED = icmp(3, 13, 'communication administratively prohibited', true);
const STALE_SEGMENT = icmp(3, 13, 'communication administratively prohibited', true);

const rows = {
  SENT: done('left on a link'),
  TAKEN: done('was for the router itself and has been handled'),
  HELD: done('waits at this moment for its neighbour to answer, for the rest of its fragments or for the store to be asked for its flow, or, a SYN, for one from inside; counted elsewhere once it is known how it ended'),

  LINK_DOWN_IN: drop('arrived on a link that is down'),
  RUNT: drop('frame shorter than its headers'),
  NOT_FOR_US: drop('frame for another MAC address'),
  VLAN_TAGGED: drop('frame with a VLAN tag; the link takes untagged frames only'),
  ETHERTYPE: drop('neither IPv4 nor ARP'),
  ARP_MALFORMED: drop('ARP packet that makes no sense'),
  ARP_IGNORED: drop('ARP request for an address that is not ours on this link'),
  ARP_LIMIT: drop('more ARP from this link than is worth looking at'),
  ARP_CONFLICT: drop('ARP from another station that claims one of our addresses'),

  VRRP_MALFORMED: drop('VRRP packet that is no advert, or cut short'),
  VRRP_HOPS: drop('VRRP advert that has come from further away than this link: its time to live is not 255'),
  VRRP_VERSION: drop('VRRP advert of a version its virtual router does not have here'),
  VRRP_UNKNOWN: drop('VRRP advert of a virtual router this link does not have'),
  VRRP_OWN: drop('VRRP advert with the source address of this very router'),
  VRRP_PEER: drop('VRRP advert that came by multicast where peers are named, from nobody of these, or to one address where they are not'),
  VRRP_CHECKSUM: drop('VRRP advert whose checksum is wrong, with a pseudo-header and without'),
  VRRP_AUTHENTICATION: drop('VRRP advert of version 2 without the password its virtual router has here, or with one it has not'),
  VRRP_INTERVAL: drop('VRRP advert of version 2 with another interval than its virtual router has here'),

  IP_VERSION: drop('not an IPv4 packet'),
  IP_HEADER_LENGTH: drop('IP header length out of bounds'),
  IP_TOTAL_LENGTH: drop('IP total length does not fit the frame'),
  IP_CHECKSUM: drop('IP header checksum wrong'),
  SOURCE_ROUTE: drop('source routing option'),
  MARTIAN_SOURCE: drop('source address that cannot be one'),
  MARTIAN_DESTINATION: drop('destination address that is never forwarded'),
  SPOOFED_SOURCE: drop('source address that is not reachable by the link it came in on'),
  MULTICAST: drop('multicast, which is not routed'),
  BROADCAST: drop('directed or limited broadcast, which is not forwarded'),
  L4_TRUNCATED: drop('transport header cut short, or longer than the packet'),

  FRAGMENT_BAD: drop('fragment with an impossible offset or length'),
  FRAGMENT_OVERLAP: drop('fragment that overlaps another one of its datagram'),
  FRAGMENT_COPY: drop('fragment that is here already'),
  FRAGMENT_TINY: drop('first fragment too short for its transport header'),
  FRAGMENT_LIMIT: drop('more fragments waiting than the limit allows, in all or of one source'),
  FRAGMENT_TIMEOUT: drop('the rest of the datagram did not come in time', REASSEMBLY_EXCEEDED),

  TCP_FLAGS: drop('TCP flags that no sender combines'),
  TCP_OUT_OF_WINDOW: drop('TCP reset with a number that its receiver cannot expect: forged, or long out of date'),
  MIDSTREAM: drop('TCP segment of no known flow', STALE_SEGMENT),
  MIDSTREAM_SILENT: drop('TCP segment of no known flow, refused in silence'),
  STRAY_REPLY: drop('reply nobody has asked for, or waits for any more'),
  STRAY_ERROR: drop('ICMP error about no known flow'),
  ICMP_CHECKSUM: drop('ICMP error with a wrong checksum, its own or the quoted header’s'),
  ICMP_QUOTE: drop('ICMP error whose quote names no flow: too short, not IPv4, or itself an ICMP error'),
  ICMP_QUOTED_FRAGMENT: drop('ICMP error about a later fragment of a datagram that is not remembered'),
  ICMP_REDIRECT: drop('ICMP redirect, which is neither heeded nor forwarded'),
  ICMP_SOURCE_QUENCH: drop('ICMP source quench, which nobody is to heed any more'),
  ICMP_TYPE: drop('ICMP message that is neither a query, an answer nor an error'),
  TABLE_FULL: drop('flow table full', PROHIBITED),

  NO_ROUTE: drop('no route to the destination', NET_UNREACHABLE),
  NO_UPLINK: drop('no usable uplink in the group', NET_UNREACHABLE),
  NO_UPLINK_BLACKHOLE: drop('no usable uplink in the group, whose last resort is to say nothing'),
  ROUTE_UNREACHABLE: drop('route says unreachable', HOST_UNREACHABLE),
  ROUTE_PROHIBIT: drop('route says prohibited', PROHIBITED),
  ROUTE_BLACKHOLE: drop('route says blackhole'),
  UPLINK_DOWN: drop('the uplink this flow is bound to is down', HOST_UNREACHABLE),
  FLOW_ENDED: drop('its flow ended with the uplink it was bound to; both ends have been told'),
  LINK_DOWN_OUT: drop('the link towards the destination is down', HOST_UNREACHABLE),

  FILTER_DROP: drop('a filter rule drops it'),
  FILTER_REJECT: drop('a filter rule rejects it', REFUSED),
  UNSOLICITED: drop('new flow from an uplink to inside, which nothing allows', PROHIBITED),

  NO_SERVER: drop('no real server of the virtual server takes new flows', { ...PORT_UNREACHABLE, isUrgent: true }),

  SYN_UNSOLICITED: drop('SYN from outside to a port nobody inside has mapped; nobody has opened the same connection from inside meanwhile', PORT_UNREACHABLE_ICMP),
  SYN_CROSSED: drop('SYN from outside that crossed one from inside for the same connection, which goes on'),
  NOT_ACCEPTED: drop('for a virtual router’s address, which is translated and forwarded by but does not answer (accept: false)', PROHIBITED),
  PORT_CLOSED: drop('nothing listens on that port of the router', PORT_UNREACHABLE),
  PROTOCOL_UNKNOWN: drop('the router does not speak that protocol', PROTOCOL_UNREACHABLE),

  TTL: drop('time to live used up', TTL_EXCEEDED),
  TOO_BIG: drop('larger than the next link’s MTU and not to be fragmented', FRAGMENTATION_NEEDED),

  NOT_MASTER: drop('would bear a virtual router’s address that another router has now'),
  NO_PORT: drop('no free port left on the translation address', PROHIBITED),
  SOURCE_FLOWS: drop('the inside address has as many flows as one may have', PROHIBITED),
  SOURCE_PORTS: drop('the inside address has as many external ports as one may have', PROHIBITED),
  FLOW_CLASH: drop('another flow already uses the same tuple', PROHIBITED),

  CONTROL_GAP: drop('segment of a control connection that came before the one ahead of it; both come again'),

  NEIGHBOUR_QUEUE: drop('too many packets wait for one neighbour'),
  NEIGHBOUR_LIMIT: drop('neighbour table full'),
  NEIGHBOUR_FAILED: drop('the next hop does not answer ARP', HOST_UNREACHABLE),
  HELD_LIMIT: drop('too many packets wait'),
  FETCH_LIMIT: drop('too many packets wait for the store to be asked for their flows, in all, of one source or of one link'),
  NO_BUFFER: drop('no room left for this turn'),
} satisfies Record<string, Draft>;

export type VerdictName = keyof typeof rows;
/** A row's number; 0 lets the packet go on. */
export type Verdict = number;

/** All rows, by number. */
export const VERDICTS: readonly VerdictRow[] = Object.entries(rows).map(([name, draft], number) => ({ number, name, ...draft }));

/** Numbers by name: `return V.NO_ROUTE`. */
export const V = Object.fromEntries(VERDICTS.map((row) => [row.name, row.number])) as Readonly<Record<VerdictName, Verdict>>;

/** True for the verdicts that are refusals. */
export const isDrop: readonly boolean[] = VERDICTS.map((row) => row.kind === 'drop');
