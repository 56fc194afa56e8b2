/**
 * Offload: which flows the kernel forwards by itself, and the books of those it does. Not a stage of the path.
 *
 * A flow is opened, filtered, translated and tracked by the pipeline. When it has had a few packets in a direction and nothing about it is open
 * any more, its directions are written into slots (table/offload.ts), and the program at its links' devices (table/offload-program.ts) applies
 * what was decided. It comes back to the pipeline packet by packet (whatever is not plain: RST, fragments, what is strange), or as a
 * whole: when its state changes, it ends, or anything its decisions rest on changes.
 *
 *   considered ──settled──► offloaded ──state changes, ends, idle──► released
 *        ▲                     │ invalidate(): all entries are void in one store; neighbourChanged(): those that send to that one
 *        └── not yet, or declined   └──► written anew, or released when it is settled no more
 *
 * Once a second every slot is looked at, some each turn: what was forwarded is counted as if it had come through the pipeline, flows that live are
 * prolonged by the same rules, neighbours in use are kept fresh. Per packet the pipeline pays for a test of the flow's flags.
 */
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.js';
import { V4_MAPPED } from '../wire/address.js';
import { Tuple } from '../wire/tuple.js';
import { V } from '../base/verdict.js';
import {
  OFFLOAD_DECLINED, OFFLOADED_FLOWS, OFFLOADED_RX_BYTES, OFFLOADED_RX_PACKETS, OFFLOADED_TX_BYTES, OFFLOADED_TX_PACKETS, RX_BYTES, RX_PACKETS, TX_BYTES, TX_PACKETS,
  UPLINK_RX_BYTES, UPLINK_RX_PACKETS, UPLINK_TX_BYTES, UPLINK_TX_PACKETS,
} from '../table/counters.js';
import {
  ALG, FLAG_NO_REFRESH, FLAGS, GENERATION, IN_LINK, INWARD, NEIGHBOUR, OFFLOADED, ORIGINAL_TUPLE, REPLY_TUPLE, ROUTE, SERIAL, servedBy, STATE, UPLINK, WINDOW,
} from '../table/flow.js';
import { NOT_OURS, VIRTUAL_MAC_HIGH } from '../table/elected.js';
import { FAILED, INCOMPLETE } from '../table/neighbour.js';
import { OffloadTable } from '../table/offload.js';
import type { EntryFacts, OffloadDevice, OffloadWay } from '../table/offload.js';
import { TO_PEER } from '../table/offload-slot.js';
import { FIN_SEEN, isOver, nextTcp, STATE_MASK, TCP_ESTABLISHED, TCP_HALF_CLOSED } from '../table/tcp-state.js';
import { WINDOW_WORDS } from '../table/tcp-window.js';
import { ACK, FIN } from '../wire/tcp.js';
import { tellState } from './adopt.js';
import { isSettled } from './filter.js';
import { LOCAL, SPRAYED } from './route.js';
import type { Router } from './router.js';
import { timeoutOf } from './timeout.js';
import { countServed, countState } from './virtual-server.js';

const NONE = -1;

/** A flow is considered with the segment that makes it ESTABLISHED (stage/track.ts), one of datagrams with a direction's second: what is only asked and answered once is not worth writing down. */
export const CONSIDER_AT = 2;
/** And again each time a direction's packets reach a multiple of this, a power of two: what was in its way may be gone. */
export const CONSIDER_PACKETS = 8;
/** Flows considered a turn, and slots looked at. */
const CANDIDATES_MAX = 256;
const SLOTS_PER_TURN = 256;
/** Each slot is looked at about this often. */
const PASS_MS = 1000;
/** A slot that has not moved for so long is given back, and its flow's next packets come up; sooner when more than PLENTY of the slots are taken. */
const IDLE_S = 10;
const IDLE_WHEN_SCARCE_S = 2;
const PLENTY = 7 / 8;
/** A closed connection leaves its last acknowledgements to the kernel until its slot is looked at, unless more than this part of the slots are taken. */
const LINGER = 1 / 2;
/** A sign of life this often; table/offload.ts says how long one lasts. */
const BEAT_MS = 500;

/** Why a flow is not offloaded, as numbers: places in the list below. */
const PROTOCOL = 0, ALG_WATCHES = 1, LOCALLY = 2, FILTER_ASKS = 3, WINDOWLESS = 4, SPREAD = 5, LINK = 6, SLOTS = 7, INDEX = 8, ONE_PACKET = 9;
/** Or: it is; it may be later. */
const DONE = -1, NOT_YET = -2;

export class Offload {
  /** Null: nothing is offloaded. */
  readonly table: OffloadTable | null;
  private readonly r: Router;
  /** By link; null = frames of the link go through the pipeline. */
  private readonly ways: readonly (OffloadWay | null)[];
  private readonly candidates = new Int32Array(CANDIDATES_MAX);
  private candidateCount = 0;
  /** By neighbour: entries that send to it. */
  private readonly neighbourUses: Int32Array;
  /** Next slot, and slots left until each has been looked at. */
  private cursor = 0;
  private left = 0;
  private passAtMs = 0;
  private beatAtMs = -Infinity;
  private readonly arriving = new Tuple();
  private readonly leaving = new Tuple();
  private readonly other = new Tuple();
  private readonly facts: EntryFacts = { link: 0, ifindex: 0, redirect: 0, mark: 0, mtu: 0, mustBeDf: false, toHigh: 0, toLow: 0, fromHigh: 0, fromLow: 0 };

  constructor(r: Router, device: OffloadDevice | null, ways: readonly (OffloadWay | null)[], capacity: number) {
    this.r = r;
    this.ways = ways;
    this.table = device === null || capacity === 0 ? null : new OffloadTable(device, capacity);
    this.neighbourUses = new Int32Array(this.table === null ? 0 : r.plan.limits.neighbours);
    r.flows.onDue = (flow) => {
      this.sync(slotOf(r, r.flows.at(flow)));
      this.catchUp(flow);
    };
  }

  /** Something that decisions rest on has changed: nothing is forwarded by them from this moment on. What still holds is written anew. */
  invalidate(): void {
    if (this.table === null) return;
    this.table.nextEpoch();
    this.startPass();
  }

  /** A virtual router's MAC address is ours from now on, or not any more. Not to be told without `invalidate`: flows may bear other addresses now. */
  setElected(virtualRouter: number, isOurs: boolean): void { this.table?.setElected(virtualRouter, isOurs); }

  /** Whether the far end of a link's wire can be reached directly: it may have moved while the link was down. */
  setPeer(link: number, hasPeer: boolean): void {
    const way = this.ways[link];
    if (way !== null) way.hasPeer = hasPeer;
  }

  /** A neighbour's MAC address changed, or it is there no more: nothing is sent to it by what was written down. Who sends to others stays. */
  neighbourChanged(entry: number): void {
    const { table } = this;
    if (table === null || this.neighbourUses[entry] === 0) return;
    table.voidNeighbour(entry, this.neighbourUses[entry]);
    this.startPass();
  }

  /** A flow has had some packets: it is looked at when the turn is over. */
  consider(flow: number): void {
    if (this.table !== null && this.candidateCount < CANDIDATES_MAX) this.candidates[this.candidateCount++] = flow;
  }

  /** What is due. */
  tick(): void {
    const { table, r } = this;
    if (table === null) return;
    if (r.nowMs >= this.beatAtMs) {
      this.beatAtMs = r.nowMs + BEAT_MS;
      table.beat();
    }
    for (let i = 0; i < this.candidateCount; i++) {
      const reason = this.place(this.candidates[i]);
      if (reason >= 0) r.counters.addRouter(OFFLOAD_DECLINED + reason, 1);
    }
    this.candidateCount = 0;
    if (this.left === 0 && r.nowMs >= this.passAtMs) this.startPass();
    for (let budget = Math.min(this.left, SLOTS_PER_TURN); budget > 0; budget--) {
      if (this.cursor >= table.high) this.cursor = 0;
      if (table.flows[this.cursor] !== NONE) this.look(this.cursor);
      this.cursor++;
      this.left--;
    }
  }

  /** Connections the kernel has seen closed, before the packets of a turn: who is scheduled next is to find the servers' counts as they are. */
  takeEnded(): void {
    const { table } = this;
    if (table === null) return;
    for (let slot = table.takeEnded(); slot !== NONE; slot = table.takeEnded()) {
      const flow = table.flows[slot];
      if (flow === NONE) continue;
      if (table.count > table.capacity * LINGER) this.catchUp(flow);
      else this.close(flow, slot);
    }
  }

  /** When `tick` wants to be called next. */
  get nextDueMs(): number {
    if (this.table === null || this.table.count === 0) return Infinity;
    return this.left > 0 ? this.r.nowMs : Math.min(this.passAtMs, this.beatAtMs);
  }

  /** Every slot is to be looked at, beginning where the last pass stands, so that changes in a row starve nobody. */
  private startPass(): void {
    this.left = this.table === null ? 0 : this.table.high;
    this.passAtMs = this.r.nowMs + PASS_MS;
  }

  /** A slot's turn has come. */
  private look(slot: number): void {
    const table = this.table as OffloadTable;
    this.sync(slot);
    const flow = table.flows[slot];
    this.catchUp(flow);
    if (table.flows[slot] === NONE) return;
    if (table.idleFor(slot, this.r.tick) >= (table.count > table.capacity * PLENTY ? IDLE_WHEN_SCARCE_S : IDLE_S)) this.release(flow);
    else if ((table.isVoid(slot, 0) || table.isVoid(slot, 1)) && this.place(flow) !== DONE) this.release(flow);
  }

  /** Let the kernel forward it from now on, if it is settled. DONE, NOT_YET, or the number of a reason. */
  private place(flow: number): number {
    const { r } = this;
    const { words } = r.flows;
    const at = r.flows.at(flow);
    if ((words[at + SERIAL] & 1) === 0) return NOT_YET;
    const protocol = words[at + ORIGINAL_TUPLE + 9];
    const isTcp = protocol === PROTOCOL_TCP;
    if (!isTcp && protocol !== PROTOCOL_UDP) return PROTOCOL;
    if (words[at + GENERATION] !== r.epoch) return NOT_YET;
    if (isTcp && !isOpen(words[at + STATE])) return NOT_YET;
    if (isTcp && words[at + WINDOW] === NONE) return WINDOWLESS;
    if (words[at + ALG] >= 0) return ALG_WATCHES;
    const server = servedBy(words[at + INWARD]);
    if (server !== NONE && r.virtualServers.isOnePacket(server)) return ONE_PACKET;
    if (!isSettled(r, at)) return FILTER_ASKS;
    const first = this.learn(flow, at, 0);
    const second = this.learn(flow, at, 1);
    // A TCP window has two sides: both directions or none. Of UDP either goes when it is ready.
    if (isTcp ? first !== DONE || second !== DONE : first !== DONE && second !== DONE) return first !== DONE ? first : second;
    let slot = slotOf(r, at);
    if (slot === NONE) {
      slot = this.takeSlot(flow, at);
      if (slot === NONE) return SLOTS;
    }
    if ((first === DONE && !this.write(flow, at, slot, 0)) || (second === DONE && !this.write(flow, at, slot, 1))) {
      this.release(flow);
      return INDEX;
    }
    return DONE;
  }

  private takeSlot(flow: number, at: number): number {
    const { words } = this.r.flows;
    const table = this.table as OffloadTable;
    const slot = table.take(flow, this.r.tick);
    if (slot === NONE) return NONE;
    words[at + ALG] = OFFLOADED - slot;
    if (words[at + WINDOW] !== NONE) {
      table.lend(slot, this.r.windows.words, words[at + WINDOW] * WINDOW_WORDS);
      for (let direction = 0; direction < 2; direction++) if ((words[at + STATE] & (FIN_SEEN << direction)) !== 0) table.setEnded(slot, direction);
    }
    this.r.counters.setRouter(OFFLOADED_FLOWS, table.count);
    return slot;
  }

  private write(flow: number, at: number, slot: number, direction: number): boolean {
    const table = this.table as OffloadTable;
    if (table.has(slot, direction) && table.isCurrent(slot, direction)) return true;
    this.learn(flow, at, direction);
    this.forgetNeighbour(slot, direction);
    const { words } = this.r.flows;
    if (!table.put(slot, direction, this.arriving, this.leaving, this.facts, words[at + NEIGHBOUR + direction], words[at + ROUTE + direction])) return false;
    this.neighbourUses[words[at + NEIGHBOUR + direction]]++;
    return true;
  }

  private forgetNeighbour(slot: number, direction: number): void {
    const neighbour = (this.table as OffloadTable).neighbour(slot, direction);
    if (neighbour !== NONE) this.neighbourUses[neighbour]--;
  }

  /** What a direction's packets become: into `arriving`, `leaving` and `facts`. */
  private learn(flow: number, at: number, direction: number): number {
    const { r, arriving, leaving, other, facts } = this;
    const { words } = r.flows;
    // What has not been seen has not been through all the stages.
    if (r.flows.packets(flow, direction) === 0) return NOT_YET;
    const forward = words[at + ROUTE];
    const chosen = words[at + ROUTE + direction];
    if (forward === LOCAL || chosen === LOCAL) return LOCALLY;
    if (forward >= SPRAYED || chosen >= SPRAYED) return SPREAD;
    if (forward === NONE || chosen === NONE) return NOT_YET;
    // Questions come in by the link the first one did, answers by the link their questions leave by: no other source needs a look (stage/track.ts).
    const inLink = direction === 0 ? words[at + IN_LINK] : r.nexthops.get(forward).link;
    const nexthop = r.nexthops.get(chosen);
    const wayIn = this.ways[inLink];
    const way = this.ways[nexthop.link];
    if (wayIn === null || way === null || wayIn.namespace !== way.namespace) return LINK;
    const from = r.links[inLink], to = r.links[nexthop.link];
    if (!from.isUp || !to.isUp || !nexthop.isOpen) return NOT_YET;
    arriving.load(words, at + (direction === 0 ? ORIGINAL_TUPLE : REPLY_TUPLE));
    other.load(words, at + (direction === 0 ? REPLY_TUPLE : ORIGINAL_TUPLE));
    leaving.invert(other);
    const neighbour = words[at + NEIGHBOUR + direction];
    const next = nexthop.gateway === null ? leaving.d3 : nexthop.gateway;
    if (neighbour === NONE || !r.neighbours.is(neighbour, nexthop.link, 0, 0, V4_MAPPED, next)) return NOT_YET;
    const state = r.neighbours.state(neighbour);
    if (state === INCOMPLETE || state === FAILED) return NOT_YET;
    facts.link = inLink;
    const isDirect = wayIn.isIngress && way.hasPeer;
    facts.ifindex = way.ifindex;
    facts.redirect = isDirect ? TO_PEER : way.redirect;
    facts.mark = isDirect ? 0 : way.mark;
    facts.mtu = to.mtu;
    // What bears an address of ours without DF gets an identification of that address's (stage/egress.ts).
    facts.mustBeDf = r.isOwnAddress(leaving.s3);
    facts.toHigh = r.neighbours.macHigh(neighbour);
    facts.toLow = r.neighbours.macLow(neighbour);
    const virtualLow = to.virtualMacOf(leaving.s3);
    if (virtualLow === NOT_OURS) return NOT_YET;
    facts.fromHigh = virtualLow === 0 ? to.macHigh : VIRTUAL_MAC_HIGH;
    facts.fromLow = virtualLow === 0 ? to.macLow : virtualLow;
    return DONE;
  }

  /** An offloaded flow's state becomes what the kernel has seen of it. What is over is offloaded no more. */
  catchUp(flow: number): void {
    const at = this.r.flows.at(flow);
    this.close(flow, slotOf(this.r, at));
    if (isOver(this.r.flows.words[at + STATE])) this.release(flow);
  }

  /** FINs the kernel has forwarded move the state as they would have here (stage/track.ts). */
  private close(flow: number, slot: number): void {
    const { r } = this;
    const { words } = r.flows;
    const at = r.flows.at(flow);
    const table = this.table as OffloadTable;
    const before = words[at + STATE];
    let after = before;
    for (let direction = 0; direction < 2; direction++) {
      if ((after & (FIN_SEEN << direction)) === 0 && table.hasEnded(slot, direction)) after = nextTcp(after, FIN | ACK, direction);
    }
    if (after === before) return;
    this.sync(slot);
    words[at + STATE] = after;
    const server = servedBy(words[at + INWARD]);
    if (server !== NONE) countState(r, server, before, after);
    if (r.journal !== null) tellState(r, flow, at, before, after);
    r.flows.refresh(flow, r.tick, timeoutOf(PROTOCOL_TCP, after, r.timeouts));
  }

  /** Its packets all come up from now on, and its books are up to date. */
  release(flow: number): void {
    const { r, table } = this;
    const at = r.flows.at(flow);
    const slot = slotOf(r, at);
    if (table === null || slot === NONE) return;
    this.forgetNeighbour(slot, 0);
    this.forgetNeighbour(slot, 1);
    table.withdraw(slot, 0);
    table.withdraw(slot, 1);
    this.sync(slot);
    this.bring(at);
    r.flows.words[at + ALG] = NONE;
    table.give(slot);
    r.counters.setRouter(OFFLOADED_FLOWS, table.count);
  }

  /** Before the numbers of an offloaded flow are looked at: its window as the programs have moved it. And after: back with it. */
  bring(at: number): void {
    const { flows, windows } = this.r;
    const window = flows.words[at + WINDOW];
    if (window !== NONE) (this.table as OffloadTable).bring(slotOf(this.r, at), windows.words, window * WINDOW_WORDS);
  }

  settle(at: number): void {
    const { flows, windows } = this.r;
    (this.table as OffloadTable).settle(slotOf(this.r, at), windows.words, flows.words[at + WINDOW] * WINDOW_WORDS);
  }

  /** Before an offloaded flow becomes another uplink's: what was forwarded so far is counted as the old one's. */
  count(at: number): void { this.sync(slotOf(this.r, at)); }

  /** Count what was forwarded as if it had come through the pipeline. */
  private sync(slot: number): void {
    for (let direction = 0; direction < 2; direction++) this.syncDirection(slot, direction);
  }

  private syncDirection(slot: number, direction: number): void {
    const table = this.table as OffloadTable;
    const packets = table.readPackets(slot, direction);
    if (packets === 0) return;
    table.touch(slot, this.r.tick);
    const bytes = table.readBytes(slot, direction);
    const frames = bytes + packets * ETHERNET_LENGTH;
    const { r } = this;
    const { counters, flows } = r;
    const flow = table.flows[slot];
    const at = flows.at(flow);
    flows.account(flow, direction, bytes, packets);
    const inLink = table.inLink(slot, direction);
    const nexthop = r.nexthops.get(table.nexthop(slot, direction));
    counters.addLink(inLink, RX_PACKETS, packets);
    counters.addLink(inLink, RX_BYTES, frames);
    counters.addLink(inLink, OFFLOADED_RX_PACKETS, packets);
    counters.addLink(inLink, OFFLOADED_RX_BYTES, frames);
    counters.addVerdict(inLink, V.SENT, packets);
    counters.addLink(nexthop.link, TX_PACKETS, packets);
    counters.addLink(nexthop.link, TX_BYTES, frames);
    counters.addLink(nexthop.link, OFFLOADED_TX_PACKETS, packets);
    counters.addLink(nexthop.link, OFFLOADED_TX_BYTES, frames);
    const uplink = flows.words[at + UPLINK];
    if (uplink !== NONE && r.uplinks[uplink].link === inLink) {
      counters.addUplink(uplink, UPLINK_RX_PACKETS, packets);
      counters.addUplink(uplink, UPLINK_RX_BYTES, bytes);
    }
    if (nexthop.uplink !== NONE) {
      counters.addUplink(nexthop.uplink, UPLINK_TX_PACKETS, packets);
      counters.addUplink(nexthop.uplink, UPLINK_TX_BYTES, bytes);
    }
    const server = servedBy(flows.words[at + INWARD]);
    if (server !== NONE) countServed(r, at, server, direction, packets, bytes);
    // Nothing prolongs what is over.
    if ((flows.words[at + FLAGS] & (FLAG_NO_REFRESH << direction)) === 0 && !isOver(flows.words[at + STATE])) {
      flows.refresh(flow, r.tick, timeoutOf(flows.words[at + ORIGINAL_TUPLE + 9], flows.words[at + STATE], r.timeouts));
    }
    // One that is stale is asked whether it is still there.
    if (table.isCurrent(slot, direction)) r.neighbours.use(table.neighbour(slot, direction), r.nowMs);
  }

  /** The router ends. */
  stop(): void { this.table?.stop(); }
}

/** A connection both sides of which have been heard, and not both have closed. */
function isOpen(state: number): boolean {
  const now = state & STATE_MASK;
  return now === TCP_ESTABLISHED || now === TCP_HALF_CLOSED;
}

/** The slot of a flow whose first word is `at`, or NONE. */
function slotOf(r: Router, at: number): number {
  const place = r.flows.words[at + ALG];
  return place <= OFFLOADED ? OFFLOADED - place : NONE;
}
