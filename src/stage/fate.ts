/**
 * fate — what becomes of the flows of an uplink that goes down, or that a better one relieves (GroupPlan.onDown, onRecover). Not a stage of the
 * path: `meet` is asked by `route` for a packet whose flow has not been looked at since something changed, `sweep` by `turn` for all others.
 *
 * Theory of operation. Every change of an uplink's state bumps Router.epoch. A flow holds the epoch at which it was last looked at
 * (GENERATION); one that differs sends the flow's next packet here, so no packet moves under yesterday's decisions, however far the sweep
 * has come. The sweep walks the table's entries round and round, SWEEP_ENTRIES of them and at most SWEEP_FLOWS touched flows a turn, and stops when
 * it has seen each since the last change; turns follow each other without waiting until then. What cannot be said for want of room in the
 * scratch region is said in the next turn: until then its flow stands as it was.
 *
 * Whose fate it is. A flow that a group led out by an uplink, and one that came in by an uplink to a host inside: those are bound to the
 * uplink (their ROUTE names its bound nexthop, table/nexthop.ts), and the group that FLAGS names decides. What a static route or the box's own
 * choice of address has sent there, what the router or the box is asked from outside, and what an uplink's address turns round inside
 * (hairpin) has nowhere better to go: it is left alone and waits for the link, if it must.
 *
 *   uplink down:        nothing usable elsewhere ──▶ waits: its packets are refused with UPLINK_DOWN until something changes
 *                       reset  ──▶ both ends told, flow ended
 *                       move   ──▶ untranslated, and leaving untranslated elsewhere ──▶ another uplink; else reset
 *                       keep   ──▶ told of, waits
 *                       drain  ──▶ told of, goes on while the link has carrier; else reset
 *   better tier usable: keep   ──▶ nothing
 *                       drain  ──▶ told of, goes on; reset when drainTimeout has passed since the better tier came back
 *                       reset  ──▶ both ends told, flow ended
 *
 * A flow that is over (TIME-WAIT, reset) is ended in silence, and counted nowhere: a SYN that uses its ports again must not wait for a dead uplink.
 *
 * Telling the ends. TCP gets a reset whose number is the very next its receiver expects (table/tcp-window.ts). Where data is under way the middle
 * cannot know whether it has arrived, so both numbers are sent: the receiver ignores the one that is old (RFC 9293 §3.10.7.4). A flow without
 * windows waits for its next segment, which bears the numbers, and is refused with MIDSTREAM. Everything else gets the ICMP error that a
 * connected socket takes as final: port unreachable for UDP, host unreachable for the rest, about a packet as the end itself sent it. These answer no
 * packet, so no packet's rate limit (RFC 1812 §4.3.2.8) is theirs: there is one for each flow and end, once. An end that is reached by an
 * uplink is told only by that very uplink, and only while that is up: no other bears the address the end knows. A client of a real server that
 * stands on the uplink's own wire is told while that has carrier, for so long its packets come and go.
 *
 * Cost: nothing per packet but the comparison `route` makes; a flow looked at once per change, 20 ns to 2 µs.
 */
import type { Group, Uplink } from '../balance/uplink.js';
import type { RealServer } from '../balance/virtual-server.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { UPLINK_FLOWS } from '../table/counters.js';
import {
  ALG, FILTER, FLAG_CHOSEN, FLAG_DNAT, FLAG_NO_REFRESH, FLAG_REPLICA, FLAG_SERVER_TOLD, FLAG_SNAT, FLAG_TOLD, FLAGS, GENERATION, GROUP_SHIFT, HEADER_HIGH, IN_LINK, INWARD, MAPPING,
  NEIGHBOUR, OFFLOADED, ORIGINAL_TUPLE, REPLY_TUPLE, ROUTE, SERIAL, servedBy, STATE, UPLINK, WINDOW,
} from '../table/flow.js';
import { isOver } from '../table/tcp-state.js';
import { formatIpv4 } from '../wire/address.js';
import { checksum, pseudoHeaderSum } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import * as tcp from '../wire/tcp.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import type { Tuple } from '../wire/tuple.js';
import { UDP_HEADER } from '../wire/udp.js';
import { tell } from './adopt.js';
import { leadsNowhere, LOCAL, SPRAYED } from './route.js';
import type { Router } from './router.js';

/** What became of a flow. */
export type Fate = 'reset' | 'moved' | 'kept' | 'draining';
export type FateReason = 'uplinkDown' | 'betterUplink' | 'drainTimeout' | 'serverDown' | 'serverFlushed';

/** A flow as it was when it met its fate: who opened it to whom, and as whom the far side knew the opener. */
export interface FateFlow {
  protocol: number;
  source: string; sourcePort: number;
  destination: string; destinationPort: number;
  external: string; externalPort: number;
  /** The uplink it was moved to. */
  to: number | null;
}

/** Of one uplink or real server, since something changed. */
export interface FateCounts { reset: number; moved: number; kept: number; draining: number }

/** Entries looked at in a turn, and flows ended in it: about 50 µs and 100 µs, and 1 to 2 ms the first times, while the compiler knows none of it. */
export const SWEEP_ENTRIES = 4096;
export const SWEEP_FLOWS = 64;

const NOTHING: FateCounts = { reset: 0, moved: 0, kept: 0, draining: 0 };

/** Words of a told flow: ORIGINAL, REPLY, the uplink it went to or NONE. */
const TOLD_WORDS = 2 * TUPLE_WORDS + 1;
/** Flows a notice tells of. */
export const TOLD_MAX = 256;

/** Answers of `judge`. */
const GOES_ON = 0;
const ENDED = 1;
const NO_ROOM = 2;
/** Nobody knows its numbers: its next segment must say. */
const UNKNOWN = 3;

const FATES: readonly Fate[] = ['reset', 'moved', 'kept', 'draining'];
const RESET = 0;
const MOVED = 1;
const KEPT = 2;
const DRAINING = 3;
const REASONS: readonly FateReason[] = ['uplinkDown', 'betterUplink', 'drainTimeout', 'serverDown', 'serverFlushed'];
const UPLINK_DOWN = 0;
const BETTER_UPLINK = 1;
const DRAIN_TIMEOUT = 2;
const SERVER_DOWN = 3;
const SERVER_FLUSHED = 4;

/** RFC 1812 §5.3.2: no lower default than the Internet's diameter. */
const TTL = 64;
/** Transport bytes of the packet an error is about (RFC 792). */
const QUOTED_L4 = 8;
/** The longest of what an end is told: an error about such a packet. */
const ANSWER_MAX = 2 * ip.IPV4_HEADER + icmp.ICMP_HEADER + QUOTED_L4;
const PORT_UNREACHABLE = 3;
const HOST_UNREACHABLE = 1;

export class Fates {
  /** Times an end could not be told in the turn it should have been. */
  delayed = 0;
  /** When a drain ends next, milliseconds; Infinity = none is running. */
  dueMs = Infinity;
  private readonly r: Router;
  /** Next entry, and entries left until each has been seen since the last change. */
  private cursor = 0;
  private left = 0;
  private changedAtMs = 0;
  /** By group × uplinks + uplink: when what the group has led there must be gone, for a better tier is back; Infinity = it may stay. */
  private readonly drainEndMs: Float64Array;
  /** By owner, which is an uplink or, behind all of these, a real server: fates met since the last summary, and whether one is owed. */
  private readonly counts: readonly FateCounts[];
  private readonly isOwed: boolean[];
  private readonly owedReason: number[];
  private readonly details: (string | null)[];
  /** Flows of the notice that is being gathered: one owner, one fate, one reason. */
  private readonly told = new Int32Array(TOLD_MAX * TOLD_WORDS);
  private toldCount = 0;
  private toldOwner = NONE;
  private toldFate = RESET;
  private toldReason = UPLINK_DOWN;

  constructor(r: Router) {
    this.r = r;
    const { uplinks, groups, realServers } = r.plan;
    const owners = [...uplinks, ...realServers];
    this.drainEndMs = new Float64Array(groups.length * uplinks.length).fill(Infinity);
    this.counts = owners.map(() => ({ ...NOTHING }));
    this.isOwed = owners.map(() => false);
    this.owedReason = owners.map(() => UPLINK_DOWN);
    this.details = owners.map(() => null);
  }

  /** Flows are still to be looked at. */
  get isPending(): boolean { return this.left > 0 || this.toldCount > 0; }

  /** An uplink has gone down: there will be a summary, even if no flow was touched. */
  expect(uplink: Uplink): void { this.owe(uplink.index, UPLINK_DOWN); }

  /** What an uplink's check says is wrong with it. */
  explain(uplink: Uplink, detail: string | null): void { this.details[uplink.index] = detail; }

  /** The same of a real server that was lost. */
  expectServer(server: RealServer): void { this.owe(this.ownerOf(server.index), server.isUp ? SERVER_FLUSHED : SERVER_DOWN); }

  explainServer(server: number, detail: string | null): void { this.details[this.ownerOf(server)] = detail; }

  /** Let a flow go whose server was lost: its client's next packet is another server's. */
  letGo(flow: number): void {
    const { r } = this;
    const at = r.flows.at(flow);
    const server = r.virtualServers.servers[servedBy(r.flows.words[at + INWARD])];
    this.gather(at, this.ownerOf(server.index), MOVED, server.isUp ? SERVER_FLUSHED : SERVER_DOWN, NONE);
    r.flows.remove(flow);
  }

  private ownerOf(server: number): number { return this.r.uplinks.length + server; }

  /** Something has changed: every flow is to be looked at, beginning where the walk stands, so that changes in a row starve nobody. */
  begin(): void {
    const { r } = this;
    this.left = Math.max(1, r.flows.words[HEADER_HIGH]);
    this.changedAtMs = r.nowMs;
    this.dueMs = Infinity;
    for (const group of r.groups) {
      for (const uplink of r.uplinks) {
        const place = group.index * r.uplinks.length + uplink.index;
        if (group.onRecover === 'keep' || !isWorse(group, uplink)) this.drainEndMs[place] = Infinity;
        else if (this.drainEndMs[place] === Infinity) this.drainEndMs[place] = r.nowMs + (group.onRecover === 'drain' ? group.drainTimeoutSeconds * 1000 : 0);
        if (this.drainEndMs[place] > r.nowMs) this.dueMs = Math.min(this.dueMs, this.drainEndMs[place]);
      }
    }
  }

  /** One turn's part of the walk. */
  sweep(): void {
    const { r } = this;
    if (r.nowMs >= this.dueMs) r.invalidateDecisions();
    if (this.left > 0) this.walk();
    if (this.toldCount > 0) this.tell();
    if (this.left === 0) this.summarize();
  }

  /** A packet of a flow that has not been looked at since the last change: 0 = it goes on, as its flow's ROUTE says now. */
  meet(p: Packet): Verdict {
    switch (this.judge(p.flow, p)) {
      case ENDED: return V.FLOW_ENDED;
      case NO_ROOM: return V.NO_BUFFER;
      case UNKNOWN: return V.MIDSTREAM;
      default: return 0;
    }
  }

  /** A flow another one depends on (a control flow): true when it still lives after a look at it. */
  outlives(flow: number): boolean {
    const at = this.r.flows.at(flow);
    return this.r.flows.words[at + GENERATION] === this.r.epoch || this.judge(flow, null) === GOES_ON;
  }

  /**
   * A group leads a flow out by an uplink's nexthop. Returns the nexthop it is to keep: bound to the uplink's state, unless the group lets its flows
   * go on as long as there is carrier.
   */
  bind(flow: number, group: Group, uplink: Uplink, nexthop: number): number {
    const at = this.r.flows.at(flow) + FLAGS;
    const { words } = this.r.flows;
    const isChosen = isWorse(group, uplink);
    words[at] = (words[at] & 0xffff & ~FLAG_CHOSEN) | (isChosen ? FLAG_CHOSEN : 0) | ((group.index + 1) << GROUP_SHIFT);
    return group.onDown === 'drain' ? nexthop : this.r.nexthops.bound(nexthop);
  }

  /** A flow to a host inside has come in by an uplink: its answers go back by this nexthop, bound as the uplink's first group says. */
  bindBack(flow: number, nexthop: number): number {
    const { r } = this;
    if (nexthop === NONE) return NONE;
    const { uplink } = r.nexthops.get(nexthop);
    const group = uplink === NONE ? undefined : r.groups.find((one) => one.has(r.uplinks[uplink]));
    if (group === undefined) return nexthop;
    const at = r.flows.at(flow) + FLAGS;
    const { words } = r.flows;
    // One that is also led out by a group has that group's fate. What comes in chose the uplink itself, and knows what it comes into.
    if (words[at] >>> GROUP_SHIFT === 0) words[at] |= ((group.index + 1) << GROUP_SHIFT) | FLAG_CHOSEN | (r.uplinks[uplink].isUp ? 0 : FLAG_TOLD);
    return group.onDown === 'drain' ? nexthop : r.nexthops.bound(nexthop);
  }

  private walk(): void {
    const { r } = this;
    const { words } = r.flows;
    const high = words[HEADER_HIGH];
    let touched = 0;
    for (let looked = 0; looked < SWEEP_ENTRIES && this.left > 0; looked++) {
      if (this.cursor >= high) this.cursor = 0;
      const flow = this.cursor;
      const at = r.flows.at(flow);
      if ((words[at + SERIAL] & 1) !== 0 && words[at + GENERATION] !== r.epoch) {
        const outcome = this.judge(flow, null);
        if (outcome === NO_ROOM) {
          this.delayed++;
          return;
        }
        if (outcome === ENDED) touched++;
      }
      this.cursor++;
      this.left--;
      if (touched === SWEEP_FLOWS) return;
    }
  }

  /** Look at a flow, and do what is to be done. `p` is the packet of its that is waiting for the answer, or null. */
  private judge(flow: number, p: Packet | null): number {
    const { r } = this;
    const { words } = r.flows;
    const at = r.flows.at(flow);
    // It goes on elsewhere; here it is judged when it comes here.
    if (p === null && (words[at + FLAGS] & FLAG_REPLICA) !== 0) return GOES_ON;
    // Its state and its numbers may have moved in the kernel.
    if (words[at + ALG] <= OFFLOADED) r.offload.catchUp(flow);
    if (words[at + ALG] <= OFFLOADED) r.offload.bring(at);
    if (((words[at + GENERATION] - r.planEpoch) | 0) < 0) {
      words[at + ROUTE] = NONE;
      words[at + ROUTE + 1] = NONE;
    }
    if (words[at + INWARD] < NONE) {
      const outcome = this.judgeServed(flow, at, r.virtualServers.servers[servedBy(words[at + INWARD])], p);
      if (outcome !== GOES_ON) return outcome;
    }
    const number = (words[at + FLAGS] >>> GROUP_SHIFT) - 1;
    const direction = this.boundDirection(at);
    if (number === NONE || direction === NONE) return this.goesOn(at, false);
    const group = r.groups[number];
    const uplink = r.uplinks[r.nexthops.get(words[at + ROUTE + direction]).uplink];
    if (!uplink.isUp) return this.judgeDown(flow, at, direction, group, uplink, p);
    if ((words[at + FLAGS] & FLAG_CHOSEN) !== 0) return this.goesOn(at, false);
    const endMs = this.drainEndMs[number * r.uplinks.length + uplink.index];
    if (endMs === Infinity) return this.goesOn(at, false);
    if (endMs <= r.nowMs) return this.end(flow, at, uplink.index, group.onRecover === 'drain' ? DRAIN_TIMEOUT : BETTER_UPLINK, p);
    this.note(at, uplink, DRAINING, BETTER_UPLINK);
    return this.goesOn(at, true);
  }

  /** A flow that has a real server: that one may be lost to it. */
  private judgeServed(flow: number, at: number, server: RealServer, p: Packet | null): number {
    const { words } = this.r.flows;
    if (!server.isLost) {
      words[at + FLAGS] &= ~FLAG_SERVER_TOLD;
      return GOES_ON;
    }
    if (words[at + 9] !== ip.PROTOCOL_TCP) {
      this.letGo(flow);
      return ENDED;
    }
    const owner = this.ownerOf(server.index);
    if (server.isFlushed || isOver(words[at + STATE]) || this.r.virtualServers.list[server.virtualServer].onServerDown !== 'keep') {
      return this.end(flow, at, owner, server.isUp ? SERVER_FLUSHED : SERVER_DOWN, p);
    }
    if ((words[at + FLAGS] & FLAG_SERVER_TOLD) === 0) this.gather(at, owner, KEPT, SERVER_DOWN, NONE);
    words[at + FLAGS] |= FLAG_SERVER_TOLD;
    return GOES_ON;
  }

  private judgeDown(flow: number, at: number, direction: number, group: Group, uplink: Uplink, p: Packet | null): number {
    const { r } = this;
    // Whether it has been told of stays as it is: this outage may not be over.
    if (!group.hasBetterThan(uplink)) return this.goesOn(at, (r.flows.words[at + FLAGS] & FLAG_TOLD) !== 0);
    const hasCarrier = r.links[uplink.link].isUp;
    if (!isOver(r.flows.words[at + STATE])) {
      switch (group.onDown) {
        case 'keep':
          this.note(at, uplink, KEPT, UPLINK_DOWN);
          return this.goesOn(at, true);
        case 'drain':
          if (!hasCarrier) break;
          this.note(at, uplink, DRAINING, UPLINK_DOWN);
          return this.goesOn(at, true);
        case 'move':
          if (this.move(flow, at, direction, group, uplink)) return this.goesOn(at, false);
          break;
        case 'reset':
      }
    }
    return this.end(flow, at, uplink.index, UPLINK_DOWN, p);
  }

  /** The direction whose packets leave by an uplink (of two: one that is down first), or NONE. */
  private boundDirection(at: number): number {
    const there = this.uplinkTowards(at, 1);
    if (there !== null && !there.isUp) return 0;
    const back = this.uplinkTowards(at, 0);
    if (back !== null && (there === null || !back.isUp)) return 1;
    return there === null ? NONE : 0;
  }

  /** The uplink by which an end (0: who opened the flow) is reached, or null. */
  private uplinkTowards(at: number, end: number): Uplink | null {
    const { r } = this;
    const nexthop = r.flows.words[at + ROUTE + 1 - end];
    if (nexthop === NONE || nexthop >= SPRAYED) return null;
    const { uplink } = r.nexthops.get(nexthop);
    return uplink === NONE ? null : r.uplinks[uplink];
  }

  private goesOn(at: number, isTold: boolean): number {
    const { words } = this.r.flows;
    words[at + GENERATION] = this.r.epoch;
    if (isTold) words[at + FLAGS] |= FLAG_TOLD;
    else words[at + FLAGS] &= ~FLAG_TOLD;
    return GOES_ON;
  }

  /** A flow that leaves as it is goes on by another uplink, if that would leave it as it is, too. */
  private move(flow: number, at: number, direction: number, group: Group, from: Uplink): boolean {
    const { r } = this;
    const { words } = r.flows;
    if ((words[at + FLAGS] & (FLAG_SNAT | FLAG_DNAT)) !== 0 || words[at + MAPPING] !== NONE || words[at + INWARD] !== NONE) return false;
    r.spare.load(words, at + (direction === 0 ? ORIGINAL_TUPLE : REPLY_TUPLE));
    const to = group.pick(r.spare, r.flows.hash(r.spare), null, r.nowMs);
    if (to === null || !this.leavesAlone(at, direction, r.spare, to)) return false;
    const was = words[at + ROUTE + direction];
    const isOnLink = was === from.onLink || was === r.nexthops.bound(from.onLink);
    const isGateway = was === from.viaGateway || was === r.nexthops.bound(from.viaGateway);
    words[at + ROUTE + direction] = r.nexthops.bound(isOnLink && !isGateway ? to.onLink : to.viaGateway);
    words[at + NEIGHBOUR + direction] = NONE;
    // Rules may speak of the link it leaves by.
    words[at + FILTER] = 0;
    words[at + FLAGS] &= ~FLAG_CHOSEN;
    if (words[at + UPLINK] === from.index) {
      // What the kernel has forwarded so far came by the old one.
      if (words[at + ALG] <= OFFLOADED) r.offload.count(at);
      words[at + UPLINK] = to.index;
      r.counters.addUplink(from.index, UPLINK_FLOWS, -1);
      r.counters.addUplink(to.index, UPLINK_FLOWS, 1);
      words[at + FLAGS] &= ~(FLAG_NO_REFRESH | (FLAG_NO_REFRESH << 1));
      if (!to.refreshesInbound && r.spare.protocol === ip.PROTOCOL_UDP) words[at + FLAGS] |= FLAG_NO_REFRESH << (1 - direction);
    }
    this.gather(at, from.index, MOVED, UPLINK_DOWN, to.index);
    tell(r, flow, at);
    return true;
  }

  /** True when what leaves like this by an uplink leaves it untranslated. */
  private leavesAlone(at: number, direction: number, tuple: Tuple, to: Uplink): boolean {
    const { r } = this;
    const inLink = direction === 0 ? r.flows.words[at + IN_LINK] : NONE;
    if (inLink !== NONE && r.natRules.isExempt(inLink, to.link, tuple.protocol, tuple.s3, tuple.d3, tuple.ports)) return true;
    return to.snat.length === 0 && r.natRules.externalOf(tuple.s3, to.index) === 0;
  }

  /** Tell the ends that can be told, and end the flow. */
  private end(flow: number, at: number, owner: number, reason: number, p: Packet | null): number {
    const { r } = this;
    const { words } = r.flows;
    let isUnknown = false;
    // Two numbers for each end at most: all of it or nothing, so that nobody is told twice.
    if (!r.exchange.hasRoom(4, ANSWER_MAX)) return NO_ROOM;
    if (!isOver(words[at + STATE])) {
      const isTcp = words[at + 9] === ip.PROTOCOL_TCP;
      isUnknown = isTcp && words[at + WINDOW] === NONE;
      if (isUnknown && p === null) return UNKNOWN;
      for (let end = 0; end < 2 && !isUnknown; end++) {
        if (leadsNowhere(r, words[at + ROUTE + 1 - end])) continue;
        if (isTcp) this.reset(at, end, p);
        else this.unreachable(at, end);
      }
      this.gather(at, owner, RESET, reason, NONE);
    }
    r.flows.remove(flow);
    return isUnknown ? UNKNOWN : ENDED;
  }

  /** Nexthop of what the router sends to an end; LOCAL: nobody is there to be told. */
  private wayTo(at: number, end: number): number {
    const { r } = this;
    const nexthop = r.flows.words[at + ROUTE + 1 - end];
    if (nexthop === LOCAL) return r.hostLink === null ? LOCAL : r.hostNexthop;
    return nexthop >= SPRAYED ? NONE : nexthop;
  }

  private reset(at: number, end: number, late: Packet | null): void {
    const { r } = this;
    const { words } = r.flows;
    const nexthop = this.wayTo(at, end);
    if (nexthop === LOCAL) return;
    // What goes to the end that opened the flow is of direction 1.
    const direction = 1 - end;
    const isLate = late !== null && !late.isRelated && late.direction === direction;
    const count = r.windows.resetsFor(words[at + WINDOW], direction, isLate ? late : null);
    const { resets, resetAck } = r.windows;
    for (let i = 0; i < count; i++) {
      const length = ip.IPV4_HEADER + tcp.TCP_HEADER;
      const ipAt = r.exchange.allocate(length);
      const { view } = r.exchange;
      const from = at + end * TUPLE_WORDS;
      const source = words[from + 7], destination = words[from + 3];
      ip.writeIpv4(view, ipAt, length, r.nextIpId(), ip.FLAG_DF, TTL, ip.PROTOCOL_TCP, source, destination);
      const tcpAt = ipAt + ip.IPV4_HEADER;
      const ports = (words[from + 8] << 16) | (words[from + 8] >>> 16);
      // What the end has acknowledged is in its own numbers; what was sent to it may have been edited on the way.
      const seq = i === 0 ? this.edited(at, direction, resets[0]) : resets[i];
      tcp.writeTcp(view, tcpAt, ports, seq, resetAck, tcp.RST | tcp.ACK, 0);
      view.setUint16(tcpAt + tcp.TCP_CHECKSUM_OFFSET,
        checksum(view, tcpAt, tcp.TCP_HEADER, pseudoHeaderSum(source, destination, ip.PROTOCOL_TCP, tcp.TCP_HEADER)));
      r.outbox.push({ ipAt, end: ipAt + length, nexthop, bearsFlowsSource: true });
    }
  }

  /** A sender's number as its receiver knows it, where an ALG edits the text between. */
  private edited(at: number, direction: number, seq: number): number {
    const place = this.r.flows.words[at + ALG];
    if (place < 0) return seq;
    const stream = this.r.watch.at(place).streams[direction];
    return stream.isKnown && stream.isShifted ? stream.forward(seq) : seq;
  }

  /** Tell an end that what it sends arrives nowhere. */
  private unreachable(at: number, end: number): void {
    const { r } = this;
    const { words } = r.flows;
    const nexthop = this.wayTo(at, end);
    const from = at + end * TUPLE_WORDS;
    const protocol = words[from + 9];
    // Who only answers echoes has nothing open.
    if (nexthop === LOCAL || (protocol === ip.PROTOCOL_ICMP && end === 1)) return;
    const source = words[from + 3], destination = words[from + 7];
    const link = r.links[nexthop === NONE ? words[at + IN_LINK] : r.nexthops.get(nexthop).link];
    const own = link.addressTowards(source) || r.anyAddress;
    if (own === 0) return;
    const quote = ip.IPV4_HEADER + QUOTED_L4;
    const length = ip.IPV4_HEADER + icmp.ICMP_HEADER + quote;
    const ipAt = r.exchange.allocate(length);
    const { view } = r.exchange;
    // RFC 1812 §4.3.2.5: precedence of an error is internetwork control.
    ip.writeIpv4(view, ipAt, length, r.nextIpId(), 0, TTL, ip.PROTOCOL_ICMP, own, source, 0xc0);
    const icmpAt = ipAt + ip.IPV4_HEADER;
    view.setUint8(icmpAt, icmp.DESTINATION_UNREACHABLE);
    view.setUint8(icmpAt + 1, protocol === ip.PROTOCOL_UDP ? PORT_UNREACHABLE : HOST_UNREACHABLE);
    view.setInt32(icmpAt + 4, 0);
    const quoteAt = icmpAt + icmp.ICMP_HEADER;
    ip.writeIpv4(view, quoteAt, quote, 0, 0, TTL, protocol, source, destination);
    const l4At = quoteAt + ip.IPV4_HEADER;
    view.setInt32(l4At, 0);
    view.setInt32(l4At + 4, 0);
    if (protocol === ip.PROTOCOL_UDP) {
      view.setInt32(l4At, words[from + 8]);
      view.setUint16(l4At + 4, UDP_HEADER);
    } else if (protocol === ip.PROTOCOL_ICMP) {
      view.setUint8(l4At, icmp.ECHO_REQUEST);
      view.setUint16(l4At + icmp.ICMP_ID_OFFSET, words[from + 8] >>> 16);
      icmp.writeChecksum(view, l4At, QUOTED_L4);
    }
    icmp.writeChecksum(view, icmpAt, icmp.ICMP_HEADER + quote);
    r.outbox.push({ ipAt, end: ipAt + length, nexthop });
  }

  /** Tell of a flow that goes on, unless it has been told of. */
  private note(at: number, uplink: Uplink, fate: number, reason: number): void {
    if ((this.r.flows.words[at + FLAGS] & FLAG_TOLD) === 0) this.gather(at, uplink.index, fate, reason, NONE);
  }

  /** One more flow for the control plane to hear of. */
  private gather(at: number, owner: number, fate: number, reason: number, to: number): void {
    if (this.toldCount > 0 && (this.toldOwner !== owner || this.toldFate !== fate || this.toldReason !== reason || this.toldCount === TOLD_MAX)) this.tell();
    this.toldOwner = owner;
    this.toldFate = fate;
    this.toldReason = reason;
    const { words } = this.r.flows;
    const toldAt = this.toldCount++ * TOLD_WORDS;
    for (let i = 0; i < 2 * TUPLE_WORDS; i++) this.told[toldAt + i] = words[at + i];
    this.told[toldAt + 2 * TUPLE_WORDS] = to;
    if (!this.isOwed[owner]) this.owe(owner, reason);
    this.counts[owner][FATES[fate]]++;
  }

  private owe(owner: number, reason: number): void {
    this.isOwed[owner] = true;
    this.owedReason[owner] = reason;
  }

  private tell(): void {
    const { toldOwner, toldCount } = this;
    const fate = FATES[this.toldFate];
    this.toldCount = 0;
    const told = { fate, reason: REASONS[this.toldReason], flows: this.told.slice(0, toldCount * TOLD_WORDS), total: this.counts[toldOwner][fate] };
    const server = toldOwner - this.r.uplinks.length;
    this.r.notify(server < 0 ? { event: 'fate', uplink: toldOwner, ...told } : { event: 'serverFate', server, ...told });
  }

  /** The walk has come round: what it has found at each uplink and real server that changed. */
  private summarize(): void {
    const { r } = this;
    for (let owner = 0; owner < this.isOwed.length; owner++) {
      if (!this.isOwed[owner]) continue;
      this.isOwed[owner] = false;
      const summary = { reason: REASONS[this.owedReason[owner]], ...this.counts[owner], detail: this.details[owner], tookMs: r.nowMs - this.changedAtMs };
      const server = owner - r.uplinks.length;
      r.notify(server < 0 ? { event: 'failover', uplink: owner, ...summary } : { event: 'serverFailover', server, ...summary });
      Object.assign(this.counts[owner], NOTHING);
    }
  }
}

/** The group has a better tier in use than the one this uplink is on; what its last resort has lent is worse than any of its own. */
function isWorse(group: Group, uplink: Uplink): boolean {
  return group.activeTier !== NONE && (!group.has(uplink) || group.tierOf(uplink) > group.activeTier);
}

/** The flows of a notice of event 'fate', for a person. IPv4 alone, as the rest of the path. */
export function readFates(flows: Int32Array): FateFlow[] {
  const rows: FateFlow[] = [];
  for (let at = 0; at < flows.length; at += TOLD_WORDS) {
    const reply = at + REPLY_TUPLE;
    const to = flows[at + 2 * TUPLE_WORDS];
    rows.push({
      protocol: flows[at + 9],
      source: formatIpv4(flows[at + 3]), sourcePort: flows[at + 8] >>> 16,
      destination: formatIpv4(flows[at + 7]), destinationPort: flows[at + 8] & 0xffff,
      external: formatIpv4(flows[reply + 7]), externalPort: flows[reply + 8] & 0xffff,
      to: to === NONE ? null : to,
    });
  }
  return rows;
}
