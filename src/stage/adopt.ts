/**
 * adopt — flows of other instances, and what other instances are told of ours. Not a stage of the path: `housekeep` takes records from the inbox and puts
 * them into the tables; `confirm`, `track` and the flow table's release tell the journal.
 *
 * Theory of operation (docs/decisions/0008-shared-state.md). A flow that comes from another instance is a replica: it stands in the table with all it holds (its
 * mapping at its very port, whoever's block that is in, its place among its server's, its uplink's and its source's flows), so that nothing else here takes what is
 * its, and a packet of it finds it. Its first packet makes it ours as well: from then on we tell of it, too.
 *
 *   RECORD ──▶ REPLICA ──first packet──▶ ours, PUBLISHED ◀── confirmed here
 *     │          │ FORGET, expiry: ends in silence      │ ends: END is told          FORGET: kept and told again, unless it is over
 *     └──▶ merged into one we have: the further state, the later deadline
 *
 * A flow may run over two instances, each of which sees one direction. Then each merges what the other tells, and neither lets it go while the other
 * prolongs it: the state is merged by table/tcp-state.ts, what a silent direction means for the numbers is for table/tcp-window.ts.
 *
 * A record is refused, and counted, when it cannot be true here: another flow has one of its tuples, something else is mapped to its port, or it names what is not in
 * the plan. So no flow is ever adopted with another mapping than it has elsewhere.
 *
 * Cost: nothing per packet; a new flow costs a record of five words in the journal, a record from others some 2 µs.
 */
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import {
  ADOPTED, FORGOTTEN, JOURNAL_LOST, KEPT, MERGED, RECORD_CLASH, RECORD_MALFORMED, RECORD_NO_ROOM, RECORD_ORPHAN, RECORD_UNKNOWN_NAME, RECORD_VERSION, REPLICAS, UPLINK_FLOWS,
} from '../table/counters.js';
import { EXPECTED_ARRIVING, EXPECTED_CONTROL, EXPECTED_DIRECTION, EXPECTED_LEAVING, EXPECTED_MAPPING } from '../table/expectation.js';
import {
  ALG, CONTROL, CONTROL_SERIAL, DEADLINE, FLAG_CHOSEN, FLAG_COUNTED, FLAG_NO_REFRESH, FLAG_PAIRED, FLAG_PERMIT, FLAG_PUBLISHED, FLAG_REPLICA, FLAG_SHARED, FLAG_SNAT, FLAGS,
  HEADER_HIGH, IN_LINK, INWARD, inwardOf, MAPPING, OFFLOADED, ORIGINAL_TUPLE, REPLY_TUPLE, ROUTE, SERIAL, servedBy, STATE, UPLINK, WINDOW,
} from '../table/flow.js';
import {
  DECODED, HOLDS_INWARD, HOLDS_MAPPING, IMAGE_WORDS, IS_EXPECTED, OTHER_VERSION, RECORD_AFFINITY, RECORD_EXPECTATION, RECORD_FLOW, RECORD_PERSISTENCE, RECORD_STREAM, RecordDecoder,
  RecordEncoder, RecordNames, SharedRecord, UNKNOWN_NAME,
} from '../table/flow-record.js';
import type { Decoded } from '../table/flow-record.js';
import {
  FETCHED_FOUND, FETCHED_TOKEN, INBOX_BLOCKS, INBOX_FETCHED, INBOX_FORGET, INBOX_RECORD, INBOX_STORE, INBOX_YIELD, STORE_IS_LOADED, STORE_IS_USABLE,
} from '../table/inbox.js';
import type { InboxReader } from '../table/inbox.js';
import type { JournalWriter } from '../table/journal.js';
import {
  challengedTcp, isOver, mergeTcp, nextTcp, pickedUpTcp, STATE_MASK, TCP_ANSWERED, TCP_CHALLENGED, TCP_OPENING, TCP_RESET,
} from '../table/tcp-state.js';
import { ALG_SLACK } from '../table/tcp-window.js';
import { Conversation } from '../alg/alg.js';
import { V4_MAPPED } from '../wire/address.js';
import * as ip from '../wire/ipv4.js';
import { RST, SYN } from '../wire/tcp.js';
import { Tuple } from '../wire/tuple.js';
import { claim, insideAt, release } from './mapping.js';
import type { Router } from './router.js';
import { timeoutOf } from './timeout.js';
import { countState, enlistReplica } from './virtual-server.js';

/** Records taken from the inbox a turn: about a quarter of a millisecond's work. */
export const INBOX_BUDGET = 128;

/** Entries looked at a turn when every flow is to be yielded: some 50 µs. */
const YIELD_SLICE = 4096;

/** A flow has been confirmed. Nobody else could go on with what ends at the router or its box, and what is scheduled packet by packet begins anew anyway. */
export function publish(p: Packet, r: Router, journal: JournalWriter): void {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (p.isLocal || r.links[p.link] === r.hostLink) return;
  const server = servedBy(words[at + INWARD]);
  if (server !== NONE && r.virtualServers.isOnePacket(server)) return;
  words[at + FLAGS] |= FLAG_PUBLISHED;
  journal.flow(p.flow, words[at + SERIAL], r.nowMs);
}

/** What others know of a flow of ours has changed. */
export function tell(r: Router, flow: number, at: number): void {
  if (r.journal !== null && (r.flows.words[at + FLAGS] & (FLAG_PUBLISHED | FLAG_REPLICA)) === FLAG_PUBLISHED) r.journal.flow(flow, r.flows.words[at + SERIAL], r.nowMs);
}

/** A flow's state has changed: others are told of what lasts. An answered opening is soon established, and a reset in doubt is soon believed or not. */
export function tellState(r: Router, flow: number, at: number, before: number, after: number): void {
  const was = before & STATE_MASK, now = after & STATE_MASK;
  if (r.flows.words[at + ORIGINAL_TUPLE + 9] === ip.PROTOCOL_TCP) {
    if (was === now || now === TCP_ANSWERED || now === TCP_CHALLENGED || (was === TCP_CHALLENGED && now !== TCP_RESET)) return;
  }
  tell(r, flow, at);
}

/** A flow ends: others who know of it from us are told. */
export function tellEnd(r: Router, flow: number, journal: JournalWriter): void {
  const { words } = r.flows;
  const at = r.flows.at(flow);
  const flags = words[at + FLAGS];
  if ((flags & FLAG_REPLICA) !== 0) {
    r.counters.addSharing(REPLICAS, -1);
    return;
  }
  if ((flags & FLAG_PUBLISHED) === 0) return;
  journal.end(words, at);
  if (words[at + ALG] < 0 || r.replicas === null) return;
  r.replicas.encoder.streamKey(words, at + ORIGINAL_TUPLE);
  journal.delete(r.replicas.encoder);
}

/** A reset as the first packet of a replica: nothing is known by which it could be judged. It passes, and the flow is kept as if it might be a forgery; one that refuses an opening ends it. */
export function lessThanReset(p: Packet, r: Router, at: number, before: number, after: number): number {
  if (p.protocol !== ip.PROTOCOL_TCP || (p.tcpFlags & RST) === 0 || (r.flows.words[at + FLAGS] & FLAG_REPLICA) === 0) return after;
  return (before & STATE_MASK) === TCP_OPENING ? after : challengedTcp(before);
}

/** The first packet of a replica has been let through: the flow is ours from now on. Gives its state. */
export function awaken(p: Packet, r: Router, at: number, server: number): number {
  const { words } = r.flows;
  words[at + FLAGS] = (words[at + FLAGS] & ~FLAG_REPLICA) | FLAG_PUBLISHED;
  r.counters.addSharing(REPLICAS, -1);
  if (p.protocol === ip.PROTOCOL_TCP) {
    takeWindow(p, r, at);
    const before = words[at + STATE];
    // It has gone on since it was told of.
    if ((before & STATE_MASK) === TCP_OPENING && (p.tcpFlags & (SYN | RST)) === 0) {
      const after = nextTcp(pickedUpTcp(before), p.tcpFlags, p.direction);
      words[at + STATE] = after;
      if (server !== NONE) countState(r, server, before, after);
    }
  }
  tell(r, p.flow, at);
  return words[at + STATE];
}

function takeWindow(p: Packet, r: Router, at: number): void {
  const window = r.windows.candidate;
  if (window === NONE) {
    r.windows.exhausted++;
    return;
  }
  r.windows.take();
  r.flows.words[at + WINDOW] = window;
  r.windows.renew(window);
  r.windows.judge(window, p, p.direction, r.flows.words[at + ALG] < 0 ? 0 : ALG_SLACK);
}

/** What comes from other instances. */
export class Replicas {
  readonly encoder: RecordEncoder;
  /** The store can be asked now; all it had has been loaded. */
  isUsable = false;
  isLoaded = false;
  /** Next entry to be yielded, NONE = none is; and whether the end of that is still to be told. */
  private yielding = NONE;
  private owesYielded = false;
  private readonly r: Router;
  private readonly inbox: InboxReader;
  private readonly decoder: RecordDecoder;
  private readonly record = new SharedRecord();
  private readonly inside = new Tuple();
  private readonly leaving = new Tuple();
  private readonly conversation = new Conversation();
  private readonly image = new Int32Array(IMAGE_WORDS);

  constructor(r: Router, inbox: InboxReader) {
    const names = new RecordNames(r.plan);
    this.r = r;
    this.inbox = inbox;
    this.encoder = new RecordEncoder(names);
    this.decoder = new RecordDecoder(names);
  }

  /** There is more to do than one turn may. */
  get isPending(): boolean { return this.inbox.waiting > 0 || this.yielding !== NONE || this.owesYielded; }

  /** One turn's part of the inbox. */
  take(): void {
    const { inbox, r } = this;
    for (let budget = INBOX_BUDGET; budget > 0 && inbox.next(); budget--) {
      switch (inbox.kind) {
        case INBOX_RECORD: this.put(inbox.bytes, inbox.from, inbox.to); break;
        case INBOX_FORGET: this.forget(inbox.bytes, inbox.from, inbox.to); break;
        case INBOX_FETCHED: r.fetches?.answer(inbox.words[inbox.at + FETCHED_TOKEN], inbox.words[inbox.at + FETCHED_FOUND] !== 0); break;
        case INBOX_STORE:
          this.isUsable = inbox.words[inbox.at + STORE_IS_USABLE] !== 0;
          this.isLoaded = inbox.words[inbox.at + STORE_IS_LOADED] !== 0;
          if (!this.isUsable) r.fetches?.giveUp();
          break;
        case INBOX_YIELD:
          this.yielding = 0;
          break;
        case INBOX_BLOCKS: r.mappings.leases?.obey(inbox.words, inbox.at, r.nowMs); break;
      }
      inbox.done();
    }
    if (this.yielding !== NONE) this.yieldSome();
    if (this.owesYielded && r.journal !== null) this.owesYielded = !r.journal.yielded();
  }

  /** Another instance has taken over: a slice of our flows become replicas, until a packet says otherwise. What the kernel forwards comes up again, to say so. */
  private yieldSome(): void {
    const { r } = this;
    const { words } = r.flows;
    const end = Math.min(words[HEADER_HIGH], this.yielding + YIELD_SLICE);
    for (let flow = this.yielding; flow < end; flow++) {
      const at = r.flows.at(flow);
      if ((words[at + SERIAL] & 1) === 0 || (words[at + FLAGS] & FLAG_PUBLISHED) === 0) continue;
      if (words[at + ALG] <= OFFLOADED) r.offload.catchUp(flow);
      if (words[at + ALG] <= OFFLOADED) r.offload.release(flow);
      if (words[at + WINDOW] !== NONE) r.windows.give(words[at + WINDOW]);
      words[at + WINDOW] = NONE;
      words[at + FLAGS] = (words[at + FLAGS] & ~FLAG_PUBLISHED) | FLAG_REPLICA;
      this.count(REPLICAS);
    }
    this.yielding = end < words[HEADER_HIGH] ? end : NONE;
    this.owesYielded = this.yielding === NONE;
  }

  /** Copy to where the control plane reads it what the ring counts for itself. */
  publish(): void { if (this.r.journal !== null) this.r.counters.setSharing(JOURNAL_LOST, this.r.journal.refused); }

  /** A record's value. */
  put(bytes: Uint8Array, from: number, to: number): void {
    const { record } = this;
    if (!this.accept(this.decoder.value(bytes, from, to, record))) return;
    switch (record.type) {
      case RECORD_FLOW: this.putFlow(record); break;
      case RECORD_STREAM: this.putStream(record); break;
      case RECORD_EXPECTATION: this.putExpectation(record); break;
      case RECORD_AFFINITY: this.r.affinity.adopt(record.owner, record.group, record.uplink, record.addresses, record.leftS * 1000, this.r.nowMs); break;
      case RECORD_PERSISTENCE: this.putPersistence(record); break;
    }
  }

  /** A record's key: it has ended elsewhere. */
  forget(bytes: Uint8Array, from: number, to: number): void {
    const { record, r } = this;
    if (!this.accept(this.decoder.key(bytes, from, to, record))) return;
    switch (record.type) {
      case RECORD_FLOW: this.forgetFlow(record); break;
      case RECORD_EXPECTATION: {
        const entry = r.expectations.find(record.original);
        if (entry !== NONE) r.expectations.withdraw(entry);
        break;
      }
      case RECORD_AFFINITY: r.affinity.disown(record.owner, record.addresses); break;
      case RECORD_PERSISTENCE: r.virtualServers.persistence.disown(record.owner, record.addresses); break;
    }
  }

  private accept(decoded: Decoded): boolean {
    if (decoded === DECODED) return true;
    this.count(decoded === OTHER_VERSION ? RECORD_VERSION : decoded === UNKNOWN_NAME ? RECORD_UNKNOWN_NAME : RECORD_MALFORMED);
    return false;
  }

  private count(counter: number): void { this.r.counters.addSharing(counter, 1); }

  private putFlow(record: SharedRecord): void {
    const { flows, fetches } = this.r;
    const { words } = flows;
    const known = flows.find(record.original);
    if (known !== NONE && (known & 1) === 0 && record.reply.isAt(words, flows.at(known >>> 1) + REPLY_TUPLE) && this.isAsTold(flows.at(known >>> 1), record)) {
      this.merge(known >>> 1, record);
      return;
    }
    // What stands in its way came from others and has been overtaken by this, or it is ours and goes first.
    if (!this.makeWay(known) || !this.makeWay(flows.find(record.reply))) {
      this.count(RECORD_CLASH);
      return;
    }
    if (!this.adopt(record) || fetches === null || fetches.count === 0) return;
    fetches.found(record.original);
    fetches.found(record.reply);
  }

  /** True for a flow we have whose uplink and server are those of the record, or that is ours: then it stays as it is. */
  private isAsTold(at: number, record: SharedRecord): boolean {
    const { words } = this.r.flows;
    return (words[at + FLAGS] & FLAG_REPLICA) === 0 || (words[at + UPLINK] === record.uplink && servedBy(words[at + INWARD]) === record.server);
  }

  private makeWay(reference: number): boolean {
    if (reference === NONE) return true;
    const { flows } = this.r;
    if ((flows.words[flows.at(reference >>> 1) + FLAGS] & FLAG_REPLICA) === 0) return false;
    flows.remove(reference >>> 1);
    return true;
  }

  /** A flow that is not here yet. */
  private adopt(record: SharedRecord): boolean {
    const { r, inside, leaving } = this;
    const { flows } = r;
    const { words } = flows;
    const { original, reply } = record;
    if (!isPossible(record)) {
      this.count(RECORD_MALFORMED);
      return false;
    }
    const uplink = record.uplink === NONE ? null : r.uplinks[record.uplink];
    const server = record.server === NONE ? null : r.virtualServers.servers[record.server];
    const isWell = (uplink === null || uplink.isUp) && (server === null || !server.isLost);
    const flow = flows.open(original, record.inLink, isWell ? r.epoch : (r.epoch - 1) | 0);
    if (flow === NONE) {
      this.count(RECORD_NO_ROOM);
      return false;
    }
    const at = flows.at(flow);
    words[at + STATE] = record.state;
    words[at + FLAGS] = FLAG_REPLICA | (record.flags & (FLAG_NO_REFRESH | (FLAG_NO_REFRESH << 1) | FLAG_SHARED | FLAG_CHOSEN));
    words[at + UPLINK] = record.uplink;
    if (server !== null) words[at + INWARD] = inwardOf(server.index);
    if (uplink !== null && (record.flags & HOLDS_MAPPING) !== 0) {
      source(inside, original, reply);
      words[at + MAPPING] = (record.flags & FLAG_SHARED) !== 0 ? this.shared(reply) : claim(r, inside, uplink, reply.d3, reply.ports & 0xffff);
    }
    if (uplink !== null && (record.flags & HOLDS_INWARD) !== 0) {
      source(inside, reply, original);
      words[at + INWARD] = claim(r, inside, uplink, original.d3, original.ports & 0xffff);
    }
    const isComplete = ((record.flags & HOLDS_MAPPING) === 0 || words[at + MAPPING] !== NONE) && ((record.flags & HOLDS_INWARD) === 0 || words[at + INWARD] !== NONE);
    leaving.invert(reply);
    if (!isComplete || !flows.confirm(flow, leaving, r.tick, this.lifeOf(record))) {
      if (words[at + MAPPING] !== NONE && (record.flags & FLAG_SHARED) === 0) release(r, words[at + MAPPING], true);
      if (words[at + INWARD] >= 0) release(r, words[at + INWARD], true);
      this.count(RECORD_CLASH);
      return false;
    }
    if ((record.flags & IS_EXPECTED) !== 0) {
      // Which flow it was expected of counts no more; that it was does.
      words[at + CONTROL] = flow;
      words[at + CONTROL_SERIAL] = words[at + SERIAL];
    }
    this.hold(at);
    this.bind(flow, at, record);
    if (server !== null) enlistReplica(r, at);
    if (r.watch.algs.length > 0) {
      const alg = r.watch.find(original.protocol, original.ports & 0xffff, reply.ports >>> 16);
      if (alg !== NONE) words[at + ALG] = r.watch.open(flow, alg, original, reply);
    }
    this.count(REPLICAS);
    this.count(ADOPTED);
    return true;
  }

  /** Name of the mapping that a flow which shares its port bears: it holds none. */
  private shared(reply: Tuple): number {
    const pool = this.r.mappings.poolOf(reply.d3, reply.protocol);
    return pool === NONE ? NONE : (pool << 16) | (reply.ports & 0xffff);
  }

  /** Seconds it may live: no longer than it would from a packet here. */
  private lifeOf(record: SharedRecord): number {
    return Math.max(1, Math.min(record.leftS, timeoutOf(record.original.protocol, record.state, this.r.timeouts)));
  }

  /** Count what a replica uses, as `hold` of stage/mapping.ts does for a flow confirmed here. */
  private hold(at: number): void {
    const { r } = this;
    const { mappings } = r;
    const { words } = r.flows;
    const link = r.links[words[at + IN_LINK]];
    const isServed = words[at + INWARD] < NONE;
    if (mappings.sourceFlows.limit !== 0 && link !== r.hostLink && !(isServed && link.uplinks.length > 0)) {
      const who = insideAt(r, at);
      if (mappings.sourceFlows.add(words[who], words[who + 1], words[who + 2], words[who + 3])) words[at + FLAGS] |= FLAG_COUNTED;
    }
    if (words[at + UPLINK] === NONE) return;
    const uplink = r.uplinks[words[at + UPLINK]];
    r.counters.addUplink(uplink.index, UPLINK_FLOWS, 1);
    const mapping = words[at + MAPPING];
    const far = at + REPLY_TUPLE;
    if (mapping !== NONE && (words[at + FLAGS] & FLAG_SHARED) === 0) {
      if (uplink.filtering === 'address-dependent' && mappings.permissions.grant(mapping, words[far], words[far + 1], words[far + 2], words[far + 3])) words[at + FLAGS] |= FLAG_PERMIT;
      return;
    }
    if ((words[at + FLAGS] & FLAG_SNAT) === 0 || (isServed && mapping === NONE)) return;
    const s0 = words[at], s1 = words[at + 1], s2 = words[at + 2], s3 = words[at + 3];
    if (mapping !== NONE) {
      mappings.sourcePorts.add(s0, s1, s2, s3);
      mappings.pool(mapping >>> 16).countShared(mapping & 0xffff, 1);
    }
    const place = uplink.snat.length > 1 ? uplink.snat.indexOf(words[far + 7]) : NONE;
    if (place !== NONE && mappings.pairings.add(uplink.index, s0, s1, s2, s3, place)) words[at + FLAGS] |= FLAG_PAIRED;
  }

  /** The way a group has bound it to: its fate is that of the uplink here as well. Every other way is found when a packet asks for it. */
  private bind(flow: number, at: number, record: SharedRecord): void {
    if (record.uplink === NONE || record.group === NONE) return;
    const { r } = this;
    const { words } = r.flows;
    const uplink = r.uplinks[record.uplink];
    const group = r.groups[record.group];
    const link = r.links[uplink.link];
    if (!group.has(uplink)) return;
    const isOut = words[at + IN_LINK] !== uplink.link;
    const isNear = link.isOnLink(isOut ? record.reply.s3 : record.original.s3);
    const way = isNear ? uplink.onLink : uplink.viaGateway;
    if (isOut) words[at + ROUTE] = r.fates.bind(flow, group, uplink, way);
    else if (!isNear || record.server === NONE) words[at + ROUTE + 1] = r.fates.bindBack(flow, way);
    words[at + FLAGS] |= record.flags & FLAG_CHOSEN;
  }

  /** A record of a flow that we have. */
  private merge(flow: number, record: SharedRecord): void {
    const { r } = this;
    const { flows } = r;
    const { words } = flows;
    const at = flows.at(flow);
    const isTcp = record.original.protocol === ip.PROTOCOL_TCP;
    if (words[at + ALG] <= OFFLOADED) r.offload.catchUp(flow);
    const own = words[at + STATE], theirs = record.state;
    const merged = isTcp ? mergeTcp(own, theirs) : Math.max(own, theirs);
    this.count(MERGED);
    if (isTcp && (theirs & STATE_MASK) > TCP_OPENING) r.windows.resume(words[at + WINDOW]);
    if (merged === own) {
      // What is behind ours says nothing of how long it lives.
      const life = this.lifeOf(record);
      if (((theirs ^ own) & STATE_MASK) === 0 && r.tick + life > words[at + DEADLINE]) flows.refresh(flow, r.tick, life);
      return;
    }
    words[at + STATE] = merged;
    const server = servedBy(words[at + INWARD]);
    if (server !== NONE && isTcp) countState(r, server, own, merged);
    if (words[at + ALG] <= OFFLOADED && isTcp) r.offload.release(flow);
    flows.refresh(flow, r.tick, ((merged ^ theirs) & STATE_MASK) === 0 ? this.lifeOf(record) : timeoutOf(record.original.protocol, merged, r.timeouts));
    if (merged !== theirs) tell(r, flow, at);
  }

  /** It has ended elsewhere. One that goes on here is told of again; one that is over here, too, is not worth it. */
  private forgetFlow(record: SharedRecord): void {
    const { flows } = this.r;
    const { words } = flows;
    const reference = flows.find(record.original);
    if (reference === NONE || (reference & 1) !== 0) return;
    const flow = reference >>> 1;
    const at = flows.at(flow);
    const isReplica = (words[at + FLAGS] & FLAG_REPLICA) !== 0;
    if (!isReplica && !(record.original.protocol === ip.PROTOCOL_TCP && isOver(words[at + STATE]))) {
      this.count(KEPT);
      tell(this.r, flow, at);
      return;
    }
    words[at + FLAGS] &= ~FLAG_PUBLISHED;
    flows.remove(flow);
    this.count(FORGOTTEN);
  }

  /** How the numbers of a control flow have moved. */
  private putStream(record: SharedRecord): void {
    const { flows, watch } = this.r;
    const reference = flows.find(record.original);
    const place = reference === NONE || (reference & 1) !== 0 ? NONE : flows.words[flows.at(reference >>> 1) + ALG];
    if (place < 0 || watch.at(place).alg !== record.alg) {
      this.count(RECORD_ORPHAN);
    } else if (!this.conversation.load(record.image, record.imageWords)) {
      this.count(RECORD_MALFORMED);
    } else {
      watch.at(place).merge(this.conversation);
      this.count(MERGED);
    }
  }

  private putExpectation(record: SharedRecord): void {
    const { r, inside } = this;
    const { flows, expectations } = r;
    const { original: arriving, reply: leaving } = record;
    const reference = flows.find(record.control);
    const place = reference === NONE || (reference & 1) !== 0 ? NONE : flows.words[flows.at(reference >>> 1) + ALG];
    // With a control flow that is watched its end withdraws what it expects; without that an expectation could outlive it, and follow whoever has its entry then.
    if (place < 0) {
      this.count(RECORD_ORPHAN);
      return;
    }
    if (expectations.find(arriving) !== NONE || flows.find(arriving) !== NONE) return;
    let mapping = NONE;
    if ((record.flags & HOLDS_MAPPING) !== 0 && !(isV4(arriving) && isV4(leaving))) {
      this.count(RECORD_MALFORMED);
      return;
    }
    if ((record.flags & HOLDS_MAPPING) !== 0) {
      const owner = r.mappings.uplinkOf(arriving.d3);
      inside.invert(leaving);
      inside.d0 = arriving.s0; inside.d1 = arriving.s1; inside.d2 = arriving.s2; inside.d3 = arriving.s3;
      inside.ports &= ~0xffff;
      if (owner !== NONE) mapping = claim(r, inside, r.uplinks[owner], arriving.d3, arriving.ports & 0xffff);
      if (mapping === NONE) {
        this.count(RECORD_CLASH);
        return;
      }
    }
    const control = reference >>> 1;
    const entry = expectations.make(arriving, leaving, control, record.direction, mapping, r.tick, Math.max(1, Math.min(record.leftS, r.plan.timeouts.expectation)), false);
    if (entry === NONE) {
      if (mapping !== NONE) release(r, mapping, true);
      this.count(RECORD_NO_ROOM);
      return;
    }
    const old = r.watch.at(place).remember(entry);
    if (old !== NONE) expectations.remove(old, control);
    this.count(ADOPTED);
  }

  private putPersistence(record: SharedRecord): void {
    const { virtualServers, tick } = this.r;
    const one = virtualServers.list.find(({ owner, maskLength }) => owner === record.owner && maskLength === record.lengthBits);
    if (one === undefined) this.count(RECORD_UNKNOWN_NAME);
    else virtualServers.persistence.adopt(record.owner, record.addresses, record.lengthBits, record.server, tick, Math.max(1, Math.min(record.leftS, one.timeout)));
  }

  /** An ALG expects a flow: others are told, for it may come to them. */
  tellExpectation(entry: number, journal: JournalWriter): void {
    const { flows, expectations, tick } = this.r;
    const { words } = expectations;
    const at = expectations.at(entry);
    this.encoder.expectation(words, at + EXPECTED_ARRIVING, at + EXPECTED_LEAVING, flows.words, flows.at(words[at + EXPECTED_CONTROL]) + ORIGINAL_TUPLE, words[at + EXPECTED_DIRECTION],
      words[at + EXPECTED_MAPPING] !== NONE, expectations.leftS(entry, tick));
    journal.put(this.encoder);
  }

  /** It is expected no more: because it has come, or because we, who had told of it, say so. */
  tellUnexpected(entry: number, isUsed: boolean, journal: JournalWriter): void {
    if (!isUsed && !this.r.expectations.isOurs(entry)) return;
    this.encoder.expectationKey(this.r.expectations.words, this.r.expectations.at(entry) + EXPECTED_ARRIVING);
    journal.delete(this.encoder);
  }

  /** A control flow's numbers have moved, or it has been long since others were told how they stand. */
  tellStream(c: Conversation, at: number, journal: JournalWriter): void {
    const { words } = this.r.flows;
    const life = timeoutOf(words[at + ORIGINAL_TUPLE + 9], words[at + STATE], this.r.timeouts);
    if ((words[at + FLAGS] & FLAG_PUBLISHED) === 0 || !c.isToBeTold(this.r.tick, life)) return;
    this.encoder.stream(words, at + ORIGINAL_TUPLE, c.alg, this.image, c.store(this.image), life);
    journal.put(this.encoder);
  }

  /** An entry of affinity was made or has been prolonged, or a person has erased it. */
  tellAffinity(entry: number, journal: JournalWriter): void {
    const { affinity, nowMs } = this.r;
    this.encoder.affinity(affinity.owner(entry), affinity.group(entry), affinity.uplink(entry), affinity.words, affinity.addressesAt(entry), Math.ceil(affinity.leftMs(entry, nowMs) / 1000));
    journal.put(this.encoder);
  }

  tellAffinityErased(entry: number, journal: JournalWriter): void {
    const { affinity } = this.r;
    this.encoder.affinityKey(affinity.owner(entry), affinity.words, affinity.addressesAt(entry));
    journal.delete(this.encoder);
  }

  /** The last flow of a client's network has ended; others know by their replicas who has flows, but who comes later must know who had. */
  tellPersistence(owner: number, server: number, words: Int32Array, at: number, lengthBits: number, leftS: number, journal: JournalWriter): void {
    this.encoder.persistence(owner, server, words, at, lengthBits, leftS);
    journal.put(this.encoder);
  }

  tellPersistenceErased(owner: number, words: Int32Array, at: number, journal: JournalWriter): void {
    this.encoder.persistenceKey(owner, words, at);
    journal.delete(this.encoder);
  }
}

/**
 * What a record says must go together, whoever wrote it: what holds a mapping does so at an uplink and is IPv4; a flow has been let in through a mapping or given
 * to a server, not both; and what shares a port bears one, of another address than its own.
 */
function isPossible({ inLink, uplink, server, flags, original, reply }: SharedRecord): boolean {
  if (inLink === NONE) return false;
  if ((flags & (HOLDS_MAPPING | HOLDS_INWARD)) !== 0 && (uplink === NONE || !isV4(original) || !isV4(reply))) return false;
  if ((flags & HOLDS_INWARD) !== 0 && server !== NONE) return false;
  return (flags & FLAG_SHARED) === 0 || ((flags & HOLDS_MAPPING) !== 0 && reply.d3 !== original.s3);
}

function isV4(tuple: Tuple): boolean {
  return tuple.s2 === V4_MAPPED && tuple.d2 === V4_MAPPED && (tuple.s0 | tuple.s1 | tuple.d0 | tuple.d1) === 0;
}

/** The inside endpoint that `near` comes from, towards the one that `far` comes from. */
function source(into: Tuple, near: Tuple, far: Tuple): void {
  into.s0 = near.s0; into.s1 = near.s1; into.s2 = near.s2; into.s3 = near.s3;
  into.d0 = far.s0; into.d1 = far.s1; into.d2 = far.s2; into.d3 = far.s3;
  into.ports = (near.ports & ~0xffff) | (far.ports >>> 16);
  into.protocol = near.protocol;
}
