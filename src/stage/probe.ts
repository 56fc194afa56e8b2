/**
 * Probes the router makes itself to find out whether an uplink or a real server works: echo requests, ARP requests, datagrams whose hops are counted out
 * so that a router on the way has to answer, and datagrams with a question for the target itself (health checks ask for them, src/health). Not a
 * stage of the path: `turn` lets `tick` send and give up what is due, what is sent goes by `originate`, and answers are recognised by `track`, by
 * stage/icmp-error.ts and by stage/arp.ts.
 *
 * A probe of an uplink leaves by it, with an address its flows bear there, whatever routes, tiers, health or draining say: only the link's carrier
 * binds it. A probe of a real server takes the way the flows to it take: by its route, with our address on that link. Is its gateway's MAC address not known, then it is asked for at once, and the probe waits for the answer here rather than in the
 * neighbour's queue, whose places are the hosts'.
 *
 *      ask ──▶ WAITING ──neighbour known──▶ SENT ──answer──▶ told
 *                 └───────time over, link down───────┴─────────▶ told
 *
 * Recognised exactly, and so never taken for what belongs to a host. An echo reply: by link, both addresses, identifier, sequence number and a cookie of
 * 64 bits that only who has seen the request knows; what matches in all but the cookie is a host's. An ICMP error: by its quote, which
 * must hold what was sent, as far as it goes; of a question, which has no room for a cookie, by addresses, ports and checksum. A datagram: by both
 * addresses and both ports. An ARP answer: by link and address. Identifiers and UDP ports are
 * set aside in the port pools for good (PortPool.reserve), so that no host's flow bears one and no answer's way is anyone else's. An answer nobody waits
 * for any more is refused for the same reason: passed on to the box it would open a flow, and that flow, not the probes, would have the next answers.
 *
 * Bounded: PROBES_MAX at once, further ones are refused and counted (PROBES_REFUSED). An echo reply, and an error about an echo request, finds its probe by
 * the sequence number, which holds its place in the table; the others are looked for among the probes under way.
 */
import { finish, mix } from '../base/hash.js';
import { PROBES_REFUSED, UPLINK_RX_PACKETS } from '../table/counters.js';
import { FAILED, INCOMPLETE } from '../table/neighbour.js';
import { formatIpv4, V4_MAPPED } from '../wire/address.js';
import { checksum, pseudoHeaderSum } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER } from '../wire/udp.js';
import { solicit } from './arp.js';
import { isCommon } from './mapping.js';
import type { Link, Router } from './router.js';

/** Probes under way at once; a power of two. */
export const PROBES_MAX = 1024;
/** Targets of datagrams remembered, so that their late answers are known; beyond that the one asked first is forgotten. */
const ASKED_MAX = 65_536;
/** Bytes an echo request carries, the first eight of them the cookie: as many as `ping` sends, so that no filter finds it odd. */
const ECHO_PAYLOAD = 56;
/** Bytes a datagram carries, the first eight of them the cookie. */
const UDP_PAYLOAD = 32;
const COOKIE = 8;
const TTL = 64;
/** Transport bytes a quote holds at least (RFC 792). */
const QUOTED_L4 = 8;

export type DataPlaneProbeKind = 'icmp' | 'arp' | 'udp';

/** What a datagram asks its target: silence is a good answer as well, unless the answer is to hold something. */
export interface ProbeQuestion { send: Uint8Array; expect: Uint8Array | null }

export interface ProbeRequest {
  /** The uplink under test; NONE: the target is asked by its route, as a real server is. */
  uplink: number;
  kind: DataPlaneProbeKind;
  /** int32. */
  target: number;
  /** udp: destination port, and the hops it may make. */
  port: number;
  ttl: number;
  /** udp: what the target itself is asked; absent = its hops are counted out. */
  question?: ProbeQuestion;
  timeoutMs: number;
}

/** The way a probe takes: by `link` with our address `source`, to the neighbour `next`, by the nexthop of that number. Addresses int32. */
interface Way { link: Link; source: number; next: number; nexthop: number }

/** What became of a probe; the reason is one phrase, null when it was answered as it should be; no latency is known of silence. */
export interface ProbeOutcome { event: 'probe'; id: number; isOk: boolean; latencyMs: number | null; reason: string | null }

interface Probe {
  /** Whoever asked knows it by this. */
  readonly id: number;
  readonly request: ProbeRequest;
  readonly link: number;
  /** Address it leaves with, and the neighbour it goes to, int32; nexthop number. */
  readonly source: number;
  readonly next: number;
  readonly nexthop: number;
  /** Identifier of an echo request, source port of a datagram. */
  readonly port: number;
  readonly sequence: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly deadlineMs: number;
  /** The transport checksum it was sent with, for quotes too short to hold the cookie. */
  checksum: number;
  /** NaN while it waits for its neighbour. */
  sentAtMs: number;
  /** The neighbour has been asked for on its account. */
  hasAsked: boolean;
}

const UNREACHABLE = new Map<number, string>([
  [0, 'network unreachable'], [1, 'host unreachable'], [2, 'protocol unreachable'], [3, 'port unreachable'], [4, 'fragmentation needed'],
  [9, 'network administratively prohibited'], [10, 'host administratively prohibited'], [13, 'communication administratively prohibited'],
]);

export class Probes {
  /** Probes under way. */
  readonly active: Probe[] = [];
  private readonly r: Router;
  private readonly slots: (Probe | null)[] = new Array<Probe | null>(PROBES_MAX).fill(null);
  private readonly free: number[] = Array.from({ length: PROBES_MAX }, (_, i) => PROBES_MAX - 1 - i);
  /** Identifiers and ports set aside, by protocol and address. */
  private readonly ports = new Map<number, number>();
  /** Targets of datagrams, by port and address. */
  private readonly targets = new Set<number>();
  private readonly secret: number;
  private asked = 0;
  /** Of those under way: by ARP, by datagram; and those that wait for their neighbour. */
  private arpCount = 0;
  private udpCount = 0;
  private waiting = 0;
  private dueAtMs = Infinity;

  /** Sets aside what the checks of the plan will need, while it is free for sure. */
  constructor(r: Router) {
    this.r = r;
    this.secret = r.random.next();
    for (const { index, check } of r.plan.uplinks) {
      const kinds = new Set(check?.probes.map((probe) => probe.kind));
      if (kinds.has('icmp')) this.portOf(this.sourceOf(index, 0), ip.PROTOCOL_ICMP);
      if (kinds.has('udp')) this.portOf(this.sourceOf(index, 0), ip.PROTOCOL_UDP);
    }
  }

  /** True for a port of an address that answers to probes come to. */
  uses(address: number, protocol: number, port: number): boolean { return this.ports.size > 0 && this.ports.get(keyOf(protocol, address)) === port; }

  /** When `tick` wants to be called next. */
  get nextDueMs(): number { return this.dueAtMs; }

  /** Begin a probe; whoever asked is told of its outcome by a notice, whatever that is. */
  ask(id: number, request: ProbeRequest): void {
    const { r } = this;
    const slot = this.free.pop();
    if (slot === undefined) {
      r.counters.addRouter(PROBES_REFUSED, 1);
      this.tell(id, null, `more than ${PROBES_MAX} probes under way`);
      return;
    }
    const refusal = this.prepare(id, request, slot);
    if (refusal === null) return;
    this.free.push(slot);
    this.tell(id, null, refusal);
  }

  /** The probe in its place, due at once; or why there can be none. */
  private prepare(id: number, request: ProbeRequest, slot: number): string | null {
    const { r } = this;
    const { kind, target, question } = request;
    const way = request.uplink === NONE ? this.wayByRoute(target) : this.wayByUplink(request.uplink, target);
    if (typeof way === 'string') return way;
    const { link, next, nexthop } = way;
    if (!link.isUp) return `link ${link.name} is down`;
    if (kind === 'arp' && !link.hasEthernet) return `link ${link.name} knows no ARP`;
    if (question !== undefined && ip.IPV4_HEADER + UDP_HEADER + question.send.length > link.mtu) return `the question is longer than the MTU of link ${link.name}`;
    const source = kind === 'arp' ? link.addressTowards(target) : way.source;
    if (source === 0) return `link ${link.name} has no address`;
    const port = kind === 'arp' ? 0 : this.portOf(source, kind === 'udp' ? ip.PROTOCOL_UDP : ip.PROTOCOL_ICMP);
    if (port === NONE) return `no free port on ${formatIpv4(source)}`;
    const number = ++this.asked;
    const probe: Probe = {
      id, request, link: link.index, source, port, next, nexthop,
      // The place in the low bits, and above it a number that differs from that of the last probe there.
      sequence: ((number % 64) * PROBES_MAX | slot) & 0xffff,
      cookieHigh: finish(mix(mix(this.secret, number), 1)), cookieLow: finish(mix(mix(this.secret, number), 2)),
      deadlineMs: r.nowMs + request.timeoutMs, checksum: 0, sentAtMs: NaN, hasAsked: false,
    };
    this.slots[slot] = probe;
    this.active.push(probe);
    if (kind === 'arp') this.arpCount++;
    if (kind === 'udp') {
      this.udpCount++;
      this.remember(keyOf(request.port, target));
    }
    this.waiting++;
    this.dueAtMs = r.nowMs;
    return null;
  }

  /** Send what can be sent, give up what was not answered in time. */
  tick(): void {
    const { r, active } = this;
    if (active.length === 0 || (this.waiting === 0 && r.nowMs < this.dueAtMs)) return;
    for (let i = active.length - 1; i >= 0; i--) {
      const probe = active[i];
      const link = r.links[probe.link];
      if (!link.isUp) this.settle(i, `link ${link.name} is down`);
      else if (r.nowMs >= probe.deadlineMs) this.expire(i, probe);
      else if (!this.isSent(probe)) this.launch(probe, link);
    }
    this.dueAtMs = Infinity;
    for (const probe of active) this.dueAtMs = Math.min(this.dueAtMs, probe.deadlineMs);
  }

  /** An echo reply at p: is it the answer to a probe? It is told of then, and nobody else's. */
  takeEcho(p: Packet): boolean {
    const probe = this.bySequence(p, p.l4At);
    if (probe === null || p.tuple.s3 !== probe.request.target || p.tuple.d3 !== probe.source) return false;
    if (p.end - p.l4At !== icmp.ICMP_HEADER + ECHO_PAYLOAD || !this.hasCookie(p, p.l4At + icmp.ICMP_HEADER, probe)) return false;
    if (!icmp.checksumIsRight(p.view, p.l4At, p.end - p.l4At)) return false;
    this.take(p, probe, null);
    return true;
  }

  /** An ICMP error at p, its own checksum right: is it about a probe? */
  takeError(p: Packet): boolean {
    if (this.active.length === 0) return false;
    if (p.icmpType !== icmp.DESTINATION_UNREACHABLE && p.icmpType !== icmp.TIME_EXCEEDED && p.icmpType !== icmp.PARAMETER_PROBLEM) return false;
    const { view } = p;
    const at = p.l4At + icmp.ICMP_HEADER;
    const end = icmp.quoteEnd(view, p.l4At, p.end);
    if (end - at < ip.IPV4_HEADER + QUOTED_L4 || view.getUint8(at) >> 4 !== 4) return false;
    const l4At = at + ip.headerLength(view, at);
    if (l4At < at + ip.IPV4_HEADER || l4At + QUOTED_L4 > end || (ip.fragmentWord(view, at) & ip.OFFSET_MASK) !== 0) return false;
    if (ip.source(view, at) !== p.tuple.d3) return false;
    const isUdp = ip.protocol(view, at) === ip.PROTOCOL_UDP;
    const probe = isUdp ? this.byQuote(p, at, l4At, end) : ip.protocol(view, at) === ip.PROTOCOL_ICMP && icmp.type(view, l4At) === icmp.ECHO_REQUEST
      ? this.bySequence(p, l4At) : null;
    if (probe === null || !this.isQuoted(p, at, l4At, end, probe)) return false;
    this.take(p, probe, isUdp && probe.request.question === undefined && isEndOfWay(p) ? null : `${describeError(p)} from ${formatIpv4(p.tuple.s3)}`);
    return true;
  }

  /** A datagram of no known flow at p: is it the answer of a probe's target? Where hops are counted, that something listens is as good as that nothing does. */
  takeDatagram(p: Packet): boolean {
    if (this.udpCount === 0) return false;
    const { tuple } = p;
    const ports = (tuple.ports << 16) | (tuple.ports >>> 16);
    for (const probe of this.active) {
      if (!this.isDatagram(probe, p.link, ports) || probe.request.target !== tuple.s3 || probe.source !== tuple.d3) continue;
      const expected = probe.request.question?.expect ?? null;
      this.take(p, probe, expected === null || holds(p.u8.subarray(p.l4At + UDP_HEADER, p.end), expected) ? null : 'the answer is another one');
      return true;
    }
    return false;
  }

  /** True for a datagram from the target of a probe to a port of the probes: when none has taken it, it comes too late. */
  isLate({ tuple }: Packet): boolean {
    return this.uses(tuple.d3, ip.PROTOCOL_UDP, tuple.ports & 0xffff) && this.targets.has(keyOf(tuple.ports >>> 16, tuple.s3));
  }

  private remember(target: number): void {
    if (this.targets.has(target)) return;
    if (this.targets.size >= ASKED_MAX) for (const first of this.targets) { this.targets.delete(first); break; }
    this.targets.add(target);
  }

  /** True while a probe asks for this address on the link by ARP. */
  asksByArp(link: number, address: number): boolean {
    if (this.arpCount === 0) return false;
    for (const probe of this.active) if (probe.request.kind === 'arp' && probe.link === link && probe.request.target === address) return true;
    return false;
  }

  /** Somebody answered a question of ours by ARP. Every probe that asks for this address on the link has its answer, for they cannot be told apart. */
  takeArp(link: number, address: number): void {
    if (this.arpCount === 0) return;
    for (let i = this.active.length - 1; i >= 0; i--) {
      const probe = this.active[i];
      if (probe.request.kind === 'arp' && probe.link === link && probe.request.target === address && this.isSent(probe)) this.answer(probe, null);
    }
  }

  /** Tell of every probe under way that there will be no answer: the data plane ends. */
  close(): void {
    for (let i = this.active.length - 1; i >= 0; i--) this.settle(i, 'stopped');
  }

  private isSent(probe: Probe): boolean { return !Number.isNaN(probe.sentAtMs); }

  private wayByUplink(index: number, target: number): Way {
    const { r } = this;
    const uplink = r.uplinks[index];
    const link = r.links[uplink.link];
    const isOnLink = uplink.gateway === null || link.isOnLink(target);
    return { link, source: this.sourceOf(index, target), next: isOnLink ? target : uplink.gateway as number, nexthop: isOnLink ? uplink.onLink : uplink.viaGateway };
  }

  /** The way flows to a real server take: policies are not for them. Where routes leave it to a group, one of its uplinks that is usable. */
  private wayByRoute(target: number): Way | string {
    const { r } = this;
    const number = r.fib.lookup(target);
    if (number === NONE) return `no route to ${formatIpv4(target)}`;
    const { group, link: linkIndex, via } = r.routes[number];
    if (group !== NONE) {
      const member = r.groups[group].members.find(({ isUsable }) => isUsable);
      return member === undefined ? `no uplink of group ${r.groups[group].name} is usable` : this.wayByUplink(member.uplink.index, target);
    }
    const nexthop = r.routeNexthops[number];
    if (nexthop === NONE) return `the routes do not lead to ${formatIpv4(target)}`;
    const link = r.links[linkIndex];
    const next = via ?? target;
    return { link, source: link.addressTowards(next), next, nexthop };
  }

  /**
   * The address flows bear on the uplink; where they are not translated the link's own, also where another instance may have the address as well: that might get
   * our answers. 0 = it has none.
   */
  private sourceOf(uplink: number, target: number): number {
    const { snat, link } = this.r.uplinks[uplink];
    const own = this.r.links[link].addressTowards(target);
    return snat.length > 0 && (own === 0 || !isCommon(this.r, snat[0])) ? snat[0] : own;
  }

  /** The identifier or port of probes with this source, set aside when first used; NONE when none is free. */
  private portOf(source: number, protocol: number): number {
    const { r } = this;
    const key = keyOf(protocol, source);
    const known = this.ports.get(key);
    if (known !== undefined) return known;
    const pool = r.mappings.poolOf(source, protocol);
    // Where nothing is translated only the box itself could use the address; its own ports are not given out below 32768 (RFC 6335 §6 has them above 49151).
    const port = pool === NONE ? 1024 + r.random.below(31_744) : r.mappings.pool(pool).reserve(r.tick);
    if (port !== NONE) this.ports.set(key, port);
    return port;
  }

  private launch(probe: Probe, link: Link): void {
    const { r } = this;
    const { kind, target } = probe.request;
    if (kind === 'arp') solicit(r, probe.link, target, false, 0, 0);
    else if (link.hasEthernet && !this.knowsNeighbour(probe) || !this.make(probe)) return;
    this.waiting--;
    // Not the turn's time, which a long turn would add to what is measured.
    probe.sentAtMs = r.clock.nowMs();
  }

  /** Is the neighbour's MAC address known? It is asked for, once a probe, where it is not. */
  private knowsNeighbour(probe: Probe): boolean {
    const { neighbours, nowMs } = this.r;
    const entry = neighbours.find(probe.link, 0, 0, V4_MAPPED, probe.next);
    if (entry !== NONE && neighbours.state(entry) !== INCOMPLETE && neighbours.state(entry) !== FAILED) return true;
    if (probe.hasAsked) return false;
    probe.hasAsked = true;
    if (entry === NONE) neighbours.solicit(probe.link, 0, 0, V4_MAPPED, probe.next, nowMs);
    else neighbours.ask(entry, nowMs);
    return false;
  }

  /** Write the packet and hand it to `originate`; false when there is no room in this turn. */
  private make(probe: Probe): boolean {
    const { exchange } = this.r;
    const { kind, target, port, ttl, question } = probe.request;
    const isUdp = kind === 'udp';
    const payload = isUdp ? question?.send.length ?? UDP_PAYLOAD : ECHO_PAYLOAD;
    const length = ip.IPV4_HEADER + (isUdp ? UDP_HEADER : icmp.ICMP_HEADER) + payload;
    const at = exchange.allocate(length);
    if (at < 0) return false;
    const { view } = exchange;
    const l4At = at + ip.IPV4_HEADER;
    ip.writeIpv4(view, at, length, this.r.nextIpId(), ip.FLAG_DF, isUdp ? ttl : TTL, isUdp ? ip.PROTOCOL_UDP : ip.PROTOCOL_ICMP, probe.source, target);
    // Both headers are eight bytes long.
    exchange.u8.fill(0, l4At, at + length);
    if (question === undefined) {
      view.setInt32(l4At + UDP_HEADER, probe.cookieHigh);
      view.setInt32(l4At + UDP_HEADER + 4, probe.cookieLow);
    } else exchange.u8.set(question.send, l4At + UDP_HEADER);
    if (isUdp) {
      view.setInt32(l4At, (probe.port << 16) | port);
      view.setUint16(l4At + 4, UDP_HEADER + payload);
      // RFC 768: a computed 0 is sent as 0xffff.
      const sum = checksum(view, l4At, length - ip.IPV4_HEADER, pseudoHeaderSum(probe.source, target, ip.PROTOCOL_UDP, length - ip.IPV4_HEADER)) || 0xffff;
      view.setUint16(l4At + UDP_CHECKSUM_OFFSET, sum);
      probe.checksum = sum;
    } else {
      view.setUint8(l4At, icmp.ECHO_REQUEST);
      view.setUint16(l4At + icmp.ICMP_ID_OFFSET, probe.port);
      view.setUint16(l4At + icmp.ICMP_SEQUENCE_OFFSET, probe.sequence);
      icmp.writeChecksum(view, l4At, length - ip.IPV4_HEADER);
      probe.checksum = view.getUint16(l4At + icmp.ICMP_CHECKSUM_OFFSET);
    }
    this.r.outbox.push({ ipAt: at, end: at + length, nexthop: probe.nexthop });
    return true;
  }

  /** The echo probe sent by the link p came in by with the identifier and sequence number at `l4At`, or null. */
  private bySequence(p: Packet, l4At: number): Probe | null {
    const sequence = icmp.sequence(p.view, l4At);
    const probe = this.slots[sequence & (PROBES_MAX - 1)];
    return probe !== null && probe.request.kind === 'icmp' && probe.sequence === sequence && probe.link === p.link
      && probe.port === icmp.identifier(p.view, l4At) && this.isSent(probe) ? probe : null;
  }

  /** The probing datagram that an error quotes from `at` on, or null. */
  private byQuote(p: Packet, at: number, l4At: number, end: number): Probe | null {
    if (this.udpCount === 0) return null;
    const ports = p.view.getInt32(l4At);
    for (const probe of this.active) if (this.isDatagram(probe, p.link, ports) && this.isQuoted(p, at, l4At, end, probe)) return probe;
    return null;
  }

  /** True for a datagram sent by this link with these ports, the source's in the high half. */
  private isDatagram(probe: Probe, link: number, ports: number): boolean {
    return probe.request.kind === 'udp' && probe.link === link && ((probe.port << 16) | probe.request.port) === ports && this.isSent(probe);
  }

  /**
   * True when the IP packet quoted from `at` to `end` is what the probe was sent as. A quote that holds the cookie is judged by it: who translates on the
   * way may leave the quoted checksum as it finds it (RFC 5508 REQ-3); a shorter one by its checksum, which the cookie is a part of.
   */
  private isQuoted(p: Packet, at: number, l4At: number, end: number, probe: Probe): boolean {
    const { view } = p;
    if (ip.destination(view, at) !== probe.request.target || ip.source(view, at) !== probe.source) return false;
    const payloadAt = l4At + QUOTED_L4;
    if (probe.request.question === undefined && payloadAt + COOKIE <= end) return this.hasCookie(p, payloadAt, probe);
    return view.getUint16(l4At + (probe.request.kind === 'udp' ? UDP_CHECKSUM_OFFSET : icmp.ICMP_CHECKSUM_OFFSET)) === probe.checksum;
  }

  private hasCookie(p: Packet, at: number, probe: Probe): boolean {
    return p.view.getInt32(at) === probe.cookieHigh && p.view.getInt32(at + 4) === probe.cookieLow;
  }

  /** p is the probe's answer. It is counted where the probe was: an uplink on which nothing but checks goes shows both ways. */
  private take(p: Packet, probe: Probe, reason: string | null): void {
    const { uplink } = this.r.nexthops.get(probe.nexthop);
    if (uplink !== NONE) this.r.counters.countUplinkPacket(uplink, UPLINK_RX_PACKETS, p.end - p.ipAt);
    this.answer(probe, reason);
  }

  /** The probe has had its answer; one that comes when its time is over does not count. */
  private answer(probe: Probe, reason: string | null): void {
    const index = this.active.indexOf(probe);
    if (this.r.nowMs > probe.deadlineMs) this.expire(index, probe);
    else this.settle(index, reason);
  }

  /** Its time is over. Who was asked a question and says nothing has at least not said that nobody listens. */
  private expire(index: number, probe: Probe): void {
    if (!this.isSent(probe)) this.settle(index, `${formatIpv4(probe.next)} does not answer ARP`);
    else if (probe.request.question?.expect === null) this.settle(index, null, true);
    else this.settle(index, 'timed out');
  }

  private settle(index: number, reason: string | null, isSilence = false): void {
    const { active } = this;
    const probe = active[index];
    active[index] = active[active.length - 1];
    active.pop();
    const slot = probe.sequence & (PROBES_MAX - 1);
    this.slots[slot] = null;
    this.free.push(slot);
    if (probe.request.kind === 'arp') this.arpCount--;
    if (probe.request.kind === 'udp') this.udpCount--;
    if (!this.isSent(probe)) this.waiting--;
    // What `tick` would find due is over with the last one: or else nothing may sleep from its deadline on until the next one is asked.
    if (active.length === 0) this.dueAtMs = Infinity;
    const isAnswered = reason === null && !isSilence;
    if (isAnswered && probe.request.kind !== 'arp') this.r.neighbours.confirm(probe.link, 0, 0, V4_MAPPED, probe.next, this.r.nowMs);
    this.tell(probe.id, isAnswered ? this.r.nowMs - probe.sentAtMs : null, reason);
  }

  private tell(id: number, latencyMs: number | null, reason: string | null): void {
    // Microseconds: what is finer is the turn's own time.
    this.r.notify({ event: 'probe', id, isOk: reason === null, latencyMs: latencyMs === null ? null : Math.max(0, Math.round(latencyMs * 1000) / 1000), reason });
  }
}

/** A protocol or port, and an address, as one number, exact below 2⁵³. */
function keyOf(number: number, address: number): number { return number * 0x1_0000_0000 + (address >>> 0); }

/** The answers a datagram is sent for: its hops are used up in transit, or nothing listens at its target (RFC 792). */
function isEndOfWay(p: Packet): boolean {
  const code = icmp.code(p.view, p.l4At);
  return (p.icmpType === icmp.TIME_EXCEEDED && code === 0) || (p.icmpType === icmp.DESTINATION_UNREACHABLE && code === 3);
}

/** True when `part` stands somewhere in `whole`. */
function holds(whole: Uint8Array, part: Uint8Array): boolean {
  for (let at = 0; at + part.length <= whole.length; at++) {
    let i = 0;
    while (i < part.length && whole[at + i] === part[i]) i++;
    if (i === part.length) return true;
  }
  return false;
}

function describeError(p: Packet): string {
  const code = icmp.code(p.view, p.l4At);
  if (p.icmpType === icmp.TIME_EXCEEDED) return 'time to live exceeded';
  if (p.icmpType === icmp.PARAMETER_PROBLEM) return 'parameter problem';
  return UNREACHABLE.get(code) ?? `unreachable (code ${code})`;
}
