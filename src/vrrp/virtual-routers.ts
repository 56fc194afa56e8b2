/**
 * The virtual routers of a router: what joins the election (vrrp/election.ts) to links, tables and frames. It writes and reads adverts, gives and takes
 * addresses (Router.setHeld), announces them, watches what is tracked, and keeps the counters that the control plane reads (vrrp/status.ts).
 *
 * Everything runs in the data plane's thread: adverts of 10 ms must not depend on what the main thread is doing. Nothing is sent but from `tick` and `hear`, within a
 * turn; whatever is told between turns waits for the next one.
 *
 * Handing over. A master that is drained, or ends, resigns with an advert of priority 0, and another router is master a moment later (skew time). Until that one
 * is heard the addresses stay here (HELD_FOR_NEXT): what is still sent to the virtual MAC address is forwarded, so that a planned change loses no packet; only
 * new translations are not begun by them. A moment longer what was on its way is forwarded (HELD_LEAVING), from the link's own MAC address. Nobody comes: it
 * ends after as long as a backup that missed the advert would take.
 *
 * A master that a better one relieves has that moment as well, so that a preemption loses nothing either. One that has stood still has not: what it knows of flows
 * may be out of date.
 *
 * Adverts to a peer leave from the link's own MAC address, and by its neighbours: where multicast does not get through, a virtual MAC address often does not either.
 */
import type { VrrpPlan, VrrpTrackPlan } from '../base/plan.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { VRRP_REASONS } from '../stage/election.js';
import type { Election, VrrpReason, VrrpState, VrrpTrouble } from '../stage/election.js';
import type { Link, Router } from '../stage/router.js';
import {
  VRRP_MASTER, VRRP_MASTER_PRIORITY, VRRP_PRIORITY, VRRP_REASON, VRRP_RECEIVED, VRRP_REFUSED, VRRP_SENT, VRRP_SINCE_MS, VRRP_STATE, VRRP_TRANSITIONS,
} from '../table/counters.js';
import { HELD, HELD_FOR_NEXT, HELD_LEAVING, HELD_NOT, VIRTUAL_MAC_HIGH, VIRTUAL_MAC_LOW } from '../table/elected.js';
import { formatIpv4, parseIpv4 } from '../wire/address.js';
import { pseudoHeaderSum } from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { VNET_LENGTH } from '../wire/vnet.js';
import * as vrrp from '../wire/vrrp.js';
import { Announcements } from './announcements.js';
import { VirtualRouter } from './election.js';
import type { Effects, HeardAdvert } from './election.js';
import { VRRP_STATES } from './status.js';

const NONE = -1;
/** RFC 9568 §5.1.1 asks for internetwork control, as routing protocols have it (RFC 791 §3.1). */
const TOS = 0xc0;
/** The same trouble with a virtual router is told of once in this time. */
const TROUBLE_INTERVAL_MS = 60_000;
/** Intervals after which a backup that missed the resignation has taken over: 3 and the longest skew. */
const HAND_OVER_INTERVALS = 4;
/** What was on its way when another router took over has come within an interval, and within this. */
const LEAVING_MOST_MS = 250;

/** A virtual router and all that belongs to it. */
class Member implements Effects {
  readonly plan: VrrpPlan;
  readonly link: Link;
  readonly machine: VirtualRouter;
  readonly announcements: Announcements;
  readonly addresses: readonly number[];
  /** Our own address in it: what adverts bear, and what decides between equals. 0 = the link has none. */
  readonly primary: number;
  readonly peers: readonly number[];
  /** By peer: the nexthop adverts take, NONE = as the routes say. */
  readonly peerNexthops: readonly number[];
  readonly password: Uint8Array | null;
  private readonly owner: VirtualRouters;
  /** Until when the addresses are held for whoever has them next, or has them since a moment ago. */
  handsOverUntilMs = Infinity;
  toldState: VrrpState = 'init';
  toldReason: VrrpReason | null = null;
  private readonly toldTroubleAtMs = new Map<VrrpTrouble, number>();
  private readonly fields: vrrp.AdvertFields;

  constructor(owner: VirtualRouters, plan: VrrpPlan) {
    const { r } = owner;
    const { version, priority, advertIntervalMs, preempt, preemptDelayMs } = plan;
    this.owner = owner;
    this.plan = plan;
    this.link = r.links[plan.link];
    this.addresses = plan.addresses.map(({ address }) => parseIpv4(address));
    const own = this.link.addresses;
    this.primary = (own.find(({ address }) => !r.elected.has(address)) ?? own[0])?.address ?? 0;
    this.peers = plan.peers.map(parseIpv4);
    this.peerNexthops = this.peers.map((peer) => (this.link.isOnLink(peer) ? r.nexthops.intern(this.link.index, null, NONE) : NONE));
    this.password = plan.password === undefined ? null : vrrp.passwordBytes(plan.password);
    this.fields = { version, id: plan.id, priority, intervalMs: advertIntervalMs, addresses: this.addresses, password: this.password };
    this.announcements = new Announcements(r, this.link, this.addresses, plan.announcements);
    this.machine = new VirtualRouter({ version, priority, intervalMs: advertIntervalMs, preempt, preemptDelayMs }, this);
  }

  advertise(_machine: VirtualRouter, priority: number): void {
    if (!this.link.isUp) return;
    this.fields.priority = priority;
    if (this.peers.length === 0) this.sendToGroup();
    else for (let i = 0; i < this.peers.length; i++) this.sendTo(this.peers[i], this.peerNexthops[i]);
  }

  changed(machine: VirtualRouter, before: VrrpState): void { this.owner.onChange(this, machine.state, before); }

  asserted(): void { this.announcements.repeat(); }

  /** Of a kind that makes our two routers unlike, told at most once in a while. */
  trouble(trouble: VrrpTrouble, from: number, detail: string): void {
    const { r } = this.owner;
    if (r.nowMs - (this.toldTroubleAtMs.get(trouble) ?? -Infinity) < TROUBLE_INTERVAL_MS) return;
    this.toldTroubleAtMs.set(trouble, r.nowMs);
    r.notify({ event: 'vrrpTrouble', virtualRouter: this.plan.index, trouble, from: formatIpv4(from), detail });
  }

  private sendToGroup(): void {
    const { exchange } = this.owner.r;
    const length = this.write(vrrp.VRRP_GROUP);
    if (length === 0) return;
    const frameAt = this.writtenAt - ethernet.ETHERNET_LENGTH;
    const frameLength = ethernet.ETHERNET_LENGTH + length;
    exchange.u8.fill(0, frameAt - VNET_LENGTH, frameAt);
    const isVirtual = this.plan.virtualMac;
    // RFC 9568 §7.2: from the virtual MAC address, for bridges to learn where it is.
    ethernet.writeEthernet(exchange.view, frameAt, vrrp.VRRP_GROUP_MAC_HIGH, vrrp.VRRP_GROUP_MAC_LOW,
      isVirtual ? VIRTUAL_MAC_HIGH : this.link.macHigh, isVirtual ? VIRTUAL_MAC_LOW | this.plan.id : this.link.macLow, ethernet.ETHERTYPE_IPV4);
    exchange.send(this.link.index, frameAt, frameLength);
    this.owner.r.countSent(this.link.index, frameLength);
  }

  private sendTo(peer: number, nexthop: number): void {
    const length = this.write(peer);
    if (length > 0) this.owner.r.outbox.push({ ipAt: this.writtenAt, end: this.writtenAt + length, nexthop });
  }

  private writtenAt = 0;

  /** An advert's IP packet, at `writtenAt`; its length, 0 = there was no room for it in this turn. */
  private write(destination: number): number {
    const { r } = this.owner;
    const { exchange } = r;
    const messageLength = vrrp.messageLength(this.plan.version, this.addresses.length);
    const length = ip.IPV4_HEADER + messageLength;
    const at = exchange.allocate(length);
    if (at < 0) return 0;
    this.writtenAt = at;
    ip.writeIpv4(exchange.view, at, length, r.nextIpId(), 0, vrrp.VRRP_TTL, vrrp.PROTOCOL_VRRP, this.primary, destination, TOS);
    const isPlain = this.plan.version === 2 || this.plan.checksum === 'plain';
    vrrp.writeAdvert(exchange.view, at + ip.IPV4_HEADER, this.fields, isPlain ? 0 : pseudoHeaderSum(this.primary, destination, vrrp.PROTOCOL_VRRP, messageLength));
    r.counters.addVrrp(this.plan.index, VRRP_SENT, 1);
    return length;
  }
}

export class VirtualRouters implements Election {
  readonly r: Router;
  private readonly members: readonly Member[];
  /** By link × 256 + VRID. */
  private readonly byId: ReadonlyMap<number, Member>;
  private isReady: boolean;
  private isDrained = false;
  /** Something has been told that `tick` is to look at. */
  private isChanged = true;
  private hasNews = true;
  private nextMs = -Infinity;
  private seenAtMs = NaN;
  private readonly heard: HeardAdvert = { priority: 0, intervalMs: 0, sender: 0, isHigher: false };

  constructor(r: Router) {
    this.r = r;
    this.isReady = r.plan.share.store === 'memory';
    this.members = r.plan.vrrp.map((plan) => new Member(this, plan));
    this.byId = new Map(this.members.map((member) => [member.plan.link * 256 + member.plan.id, member]));
    const groups = new Map<string, VirtualRouter[]>();
    for (const { plan: { syncGroup }, machine } of this.members) {
      if (syncGroup !== undefined) groups.set(syncGroup, [...(groups.get(syncGroup) ?? []), machine]);
    }
    for (const group of groups.values()) VirtualRouter.join(group);
    for (const member of this.members) this.publish(member);
  }

  changed(): void { this.isChanged = true; }

  setReady(): void {
    this.isReady = true;
    this.isChanged = true;
  }

  setDrained(isDrained: boolean): void {
    this.isDrained = isDrained;
    this.isChanged = true;
  }

  get isAtRest(): boolean { return !this.isChanged && this.members.every(({ handsOverUntilMs }) => handsOverUntilMs === Infinity); }

  get dueMs(): number { return this.isChanged ? this.r.nowMs : this.nextMs; }

  tick(): void {
    const { nowMs } = this.r;
    this.noticeStandstill();
    if (this.isChanged) this.review();
    if (nowMs < this.nextMs) return;
    for (const member of this.members) {
      member.machine.tick(nowMs);
      if (nowMs >= member.handsOverUntilMs) this.letGo(member);
      member.announcements.tick();
    }
    this.nextMs = Infinity;
    for (const { machine, announcements, handsOverUntilMs } of this.members) this.nextMs = Math.min(this.nextMs, machine.dueMs, announcements.dueMs, handsOverUntilMs);
    this.tellNews();
  }

  hear(p: Packet, isGroup: boolean): Verdict {
    const { view, ipAt } = p;
    const at = ipAt + ip.headerLength(view, ipAt);
    const length = p.end - at;
    if (length < vrrp.VRRP_HEADER || vrrp.type(view, at) !== vrrp.ADVERTISEMENT || (ip.fragmentWord(view, ipAt) & (ip.FLAG_MF | ip.OFFSET_MASK)) !== 0) return V.VRRP_MALFORMED;
    const member = this.byId.get(p.link * 256 + vrrp.virtualRouterId(view, at));
    if (member === undefined) return V.VRRP_UNKNOWN;
    const refusal = this.judge(member, p, at, length, isGroup);
    if (refusal !== 0) {
      this.r.counters.addVrrp(member.plan.index, VRRP_REFUSED, 1);
      return refusal;
    }
    this.r.counters.addVrrp(member.plan.index, VRRP_RECEIVED, 1);
    this.noticeStandstill();
    const { heard } = this;
    heard.priority = vrrp.priority(view, at);
    heard.intervalMs = vrrp.intervalMs(view, at);
    heard.sender = ip.source(view, ipAt);
    heard.isHigher = (heard.sender >>> 0) > (member.primary >>> 0);
    // Whoever the addresses were held for has them.
    if (heard.priority > 0 && this.r.elected.heldOf(member.plan.index) === HELD_FOR_NEXT) {
      this.leave(member);
      this.nextMs = Math.min(this.nextMs, member.handsOverUntilMs);
    }
    member.machine.hear(heard, this.r.nowMs);
    this.nextMs = Math.min(this.nextMs, member.machine.dueMs, member.announcements.dueMs);
    this.publishMaster(member);
    this.tellNews();
    return V.TAKEN;
  }

  /** 0, or why an advert is not to be heard (RFC 9568 §7.1, RFC 3768 §7.1). */
  private judge(member: Member, p: Packet, at: number, length: number, isGroup: boolean): Verdict {
    const { view, ipAt } = p;
    const { plan } = member;
    const source = ip.source(view, ipAt);
    if (source === member.primary) return V.VRRP_OWN;
    const hops = ip.ttl(view, ipAt);
    if (hops !== vrrp.VRRP_TTL) {
      member.trouble('hops', source, `a time to live of ${hops} instead of 255`);
      return V.VRRP_HOPS;
    }
    const version = vrrp.version(view, at);
    if (version !== plan.version) {
      member.trouble('version', source, `version ${version} instead of ${plan.version}`);
      return V.VRRP_VERSION;
    }
    const count = vrrp.addressCount(view, at);
    const messageLength = vrrp.messageLength(version, count);
    if (count === 0 || length < messageLength) return V.VRRP_MALFORMED;
    if (member.peers.length > 0 ? isGroup || !member.peers.includes(source) : !isGroup) {
      member.trouble('peer', source, member.peers.length === 0 ? 'it came to one address, and no peers are named here' : isGroup ? 'it came by multicast, and peers are named here' : 'it is none of the peers');
      return V.VRRP_PEER;
    }
    if (!vrrp.checksumIsRight(view, at, messageLength, source, ip.destination(view, ipAt))) {
      member.trouble('checksum', source, 'a wrong checksum');
      return V.VRRP_CHECKSUM;
    }
    const intervalMs = vrrp.intervalMs(view, at);
    if (version === 2) {
      const type = vrrp.authenticationType(view, at);
      const isRight = member.password === null ? type === vrrp.AUTHENTICATION_NONE : type === vrrp.AUTHENTICATION_PASSWORD && vrrp.hasPassword(view, at, member.password);
      if (!isRight) {
        member.trouble('authentication', source, type === vrrp.AUTHENTICATION_PASSWORD ? (member.password === null ? 'a password, and none is set here' : 'another password') : `authentication of type ${type} instead of ${member.password === null ? 'none' : 'a password'}`);
        return V.VRRP_AUTHENTICATION;
      }
      if (intervalMs !== plan.advertIntervalMs) {
        member.trouble('interval', source, `an interval of ${intervalMs} ms instead of ${plan.advertIntervalMs} ms`);
        return V.VRRP_INTERVAL;
      }
    } else if (intervalMs === 0) {
      return V.VRRP_MALFORMED;
    }
    if (vrrp.priority(view, at) === vrrp.OWNER_PRIORITY && plan.priority === vrrp.OWNER_PRIORITY) member.trouble('owner', source, 'it has priority 255 as well, and only one can own the addresses');
    this.compareAddresses(member, p, at, count, source);
    return 0;
  }

  /** RFC 9568 §7.1: unlike addresses are told of, the advert counts all the same. */
  private compareAddresses(member: Member, p: Packet, at: number, count: number, source: number): void {
    let isSame = count === member.addresses.length;
    for (let i = 0; isSame && i < count; i++) isSame = member.addresses.includes(vrrp.address(p.view, at, i));
    if (isSame) return;
    const theirs = Array.from({ length: count }, (_, i) => formatIpv4(vrrp.address(p.view, at, i)));
    member.trouble('addresses', source, `the addresses ${theirs.join(' ')} instead of ${member.addresses.map(formatIpv4).join(' ')}`);
  }

  /** What is known of links, uplinks and virtual servers, made into obstacles and priorities. */
  private review(): void {
    this.isChanged = false;
    const { nowMs } = this.r;
    for (const member of this.members) {
      const { plan, machine } = member;
      let left = plan.priority;
      for (const tracked of plan.track) if (tracked.weight > 0 && !this.isUp(tracked)) left -= tracked.weight;
      machine.setPriority(Math.max(1, left), nowMs);
      machine.setObstacle(this.obstacleOf(member), nowMs);
      if (member.handsOverUntilMs !== Infinity && !member.link.isUp) this.letGo(member);
      this.publish(member);
    }
    this.nextMs = -Infinity;
    this.hasNews = true;
  }

  private obstacleOf({ plan, link, primary }: Member): VrrpReason | null {
    if (!link.isUp) return 'linkDown';
    if (primary === 0) return 'noAddress';
    if (this.isDrained) return 'drained';
    if (!this.isReady) return 'notReady';
    return plan.track.every((tracked) => tracked.weight > 0 || this.isUp(tracked)) ? null : 'tracked';
  }

  private isUp({ kind, index }: VrrpTrackPlan): boolean {
    switch (kind) {
      case 'link': return this.r.links[index].isUp;
      case 'uplink': return this.r.uplinks[index].isUsable;
      case 'virtualServer': return this.r.virtualServers.list[index].hasQuorum;
    }
  }

  /** A virtual router is in another state: its addresses come or go in the same step. */
  onChange(member: Member, state: VrrpState, before: VrrpState): void {
    const { r } = this;
    const { index } = member.plan;
    this.hasNews = true;
    if (state !== before && (state === 'master' || before === 'master')) r.counters.addVrrp(index, VRRP_TRANSITIONS, 1);
    if (state === 'master') {
      member.handsOverUntilMs = Infinity;
      r.setHeld(index, HELD);
      if (before !== 'master') member.announcements.begin();
    } else if (before === 'master') {
      member.announcements.end();
      if (this.isDrained && state === 'init' && member.link.isUp) {
        member.handsOverUntilMs = r.nowMs + HAND_OVER_INTERVALS * member.plan.advertIntervalMs;
        r.setHeld(index, HELD_FOR_NEXT);
      } else if (state === 'backup' && member.machine.isRelieved) {
        this.leave(member);
      } else {
        this.letGo(member);
      }
    }
    this.nextMs = -Infinity;
    this.publish(member);
  }

  /** Another router has the addresses; frames are on their way here until the wire has learned so. */
  private leave(member: Member): void {
    member.handsOverUntilMs = this.r.nowMs + Math.min(member.plan.advertIntervalMs, LEAVING_MOST_MS);
    this.r.setHeld(member.plan.index, HELD_LEAVING);
  }

  private letGo(member: Member): void {
    member.handsOverUntilMs = Infinity;
    this.r.setHeld(member.plan.index, HELD_NOT);
  }

  /** Before anything is heard or done: has the machine stood still? */
  private noticeStandstill(): void {
    const { nowMs } = this.r;
    const forMs = nowMs - this.seenAtMs;
    this.seenAtMs = nowMs;
    // Nothing is worth noticing that is shorter than the shortest interval there is.
    if (forMs < 10) return;
    for (const { machine } of this.members) machine.stoodStill(forMs, nowMs);
  }

  private publish(member: Member): void {
    const { counters } = this.r;
    const { plan: { index }, machine: { state, reason, sinceMs, priority } } = member;
    counters.setVrrp(index, VRRP_STATE, VRRP_STATES.indexOf(state));
    counters.setVrrp(index, VRRP_REASON, VRRP_REASONS.indexOf(reason));
    counters.setVrrp(index, VRRP_SINCE_MS, sinceMs);
    counters.setVrrp(index, VRRP_PRIORITY, state === 'init' ? 0 : priority);
    this.publishMaster(member);
  }

  private publishMaster({ plan: { index }, machine: { state, master, masterPriority } }: Member): void {
    const { counters } = this.r;
    counters.setVrrp(index, VRRP_MASTER, state === 'master' ? 0 : master >>> 0);
    counters.setVrrp(index, VRRP_MASTER_PRIORITY, masterPriority);
  }

  /** Told once all of it has happened: what two members of a group do to each other in between concerns nobody. */
  private tellNews(): void {
    if (!this.hasNews) return;
    this.hasNews = false;
    for (const member of this.members) {
      const { plan, machine: { state, reason, priority, master } } = member;
      if (state === member.toldState && reason === member.toldReason) continue;
      const before = member.toldState;
      member.toldState = state;
      member.toldReason = reason;
      this.r.notify({ event: 'vrrp', virtualRouter: plan.index, state, before, reason, priority, master: master === 0 || state === 'master' ? null : formatIpv4(master) });
    }
  }
}
