/**
 * Slots of offloaded flows, from the data plane's side: which flow has which slot, what of a slot's counters has been read, and the contract
 * of what stands behind (the kernel's maps; an object in tests). The layout is table/offload-slot.ts. All of it is memory both sides
 * share: no step here is a system call.
 *
 * A slot that is given back goes to the end of the queue of free ones, which is kept long, so that a program that still looks at it has long
 * ended before the slot has another owner. Cost: 52 bytes a slot here, 224 in the kernel's memory.
 */
import { delta16, delta32, fold } from '../wire/checksum.js';
import type { Tuple } from '../wire/tuple.js';
import { OffloadIndex } from './offload-index.js';
import {
  BYTES, CONTROL_ELECTED, CONTROL_ENDED, CONTROL_EPOCH, CONTROL_IN_USE, CONTROL_LANES, CONTROL_UNTIL, CONTROL_WORDS, DELTA, ELECTED_MAX, ENDS, ENTRY, ENTRY_WORDS, EPOCH, IFINDEX, KEY, LANES, LEAVING,
  LIMITS, MACS, MARK, PACKETS, REDIRECT, SLOT_WORDS, WINDOW,
} from './offload-slot.js';
import { WINDOW_WORDS } from './tcp-window.js';

const NONE = -1;

/** Beats (table/offload-slot.ts) entries count for without a sign of life: 2.4 s. */
const LIFE_BEATS = 18;

/** Free slots that are left to rest as long as there are new ones; and afterwards, but of a small table only this part of it. */
const RESTING = 1024;
const RESTING_SHIFT = 5;

/** How frames leave by a link: transmitted on its device, or handed to the receiving side of it. */
export interface OffloadWay {
  /** Links of the same number can reach each other. */
  namespace: number;
  ifindex: number;
  /** Flags of bpf_redirect(). */
  redirect: number;
  /** Mark frames leave with, or 0. */
  mark: number;
  /** Its program sits at the ingress hook of the device, not at the egress hook. */
  isIngress: boolean;
  /** The far end of its wire can be reached directly from an ingress hook. */
  hasPeer: boolean;
}

/** What forwards offloaded flows. */
export interface OffloadDevice {
  readonly slots: ArrayBuffer;
  readonly index: ArrayBuffer;
  readonly control: ArrayBuffer;
  /** The index's seed. */
  readonly seed: number;
  /** Time in beats, of the clock the programs read. */
  beat(): number;
}

/** What an entry says beside the tuples. */
export interface EntryFacts {
  link: number;
  ifindex: number;
  redirect: number;
  mark: number;
  mtu: number;
  mustBeDf: boolean;
  toHigh: number;
  toLow: number;
  fromHigh: number;
  fromLow: number;
}

export class OffloadTable {
  readonly capacity: number;
  /** Flow that has the slot, or NONE. */
  readonly flows: Int32Array;
  /** Slots 0 … high - 1 have been used at some time. */
  high = 0;
  count = 0;
  epoch = 0;
  private readonly device: OffloadDevice;
  private readonly words: Int32Array;
  private readonly view: DataView;
  private readonly control: Int32Array;
  private readonly free: Int32Array;
  private freeAt = 0;
  private freeCount = 0;
  /** Free slots that are left to rest in any case. */
  private readonly resting: number;
  /** By slot and direction: the neighbour and the nexthop its packets go to, NONE = there is no entry. */
  private readonly neighbours: Int32Array;
  private readonly nexthops: Int32Array;
  private readonly packetsRead: Int32Array;
  private readonly bytesRead: Float64Array;
  /** By slot: the second (table time) in which it was last seen to have moved. */
  private readonly movedAt: Int32Array;
  private readonly index: OffloadIndex;
  /** Connections told of as ended so far, and the lane `takeEnded` goes on from. */
  private endedRead = 0;
  private lane = 0;
  /** The window as `bring` has copied it, so that `settle` writes only what has moved. */
  private readonly brought = new Int32Array(WINDOW_WORDS);

  constructor(device: OffloadDevice, capacity: number) {
    this.device = device;
    this.capacity = capacity;
    this.resting = Math.min(RESTING, capacity >>> RESTING_SHIFT);
    this.words = new Int32Array(device.slots, 0, capacity * SLOT_WORDS);
    this.view = new DataView(device.slots);
    this.control = new Int32Array(device.control, 0, CONTROL_WORDS);
    this.flows = new Int32Array(capacity).fill(NONE);
    this.neighbours = new Int32Array(capacity * 2).fill(NONE);
    this.nexthops = new Int32Array(capacity * 2);
    this.free = new Int32Array(capacity);
    this.packetsRead = new Int32Array(capacity * 2);
    this.bytesRead = new Float64Array(capacity * 2);
    this.movedAt = new Int32Array(capacity);
    this.index = new OffloadIndex(device.index, capacity, device.seed);
    this.nextEpoch();
  }

  /** Every entry is void at once. */
  nextEpoch(): void {
    this.epoch = (this.epoch + 1) & 0x7fffffff || 1;
    this.control[CONTROL_EPOCH] = this.epoch;
  }

  /** We are alive: entries count for some beats from now. */
  beat(): void { this.control[CONTROL_UNTIL] = this.device.beat() + LIFE_BEATS; }

  /** No entry counts any more. */
  stop(): void {
    // First: an entry that is taken away has epoch 0 itself.
    this.control[CONTROL_UNTIL] = 0;
    this.control[CONTROL_EPOCH] = 0;
  }

  /** A slot for a flow, or NONE. */
  take(flow: number, tick: number): number {
    let slot = NONE;
    if (this.high < this.capacity && this.freeCount <= RESTING) {
      slot = this.high++;
    } else if (this.freeCount > this.resting) {
      slot = this.free[this.freeAt];
      this.freeAt = (this.freeAt + 1) % this.capacity;
      this.freeCount--;
    }
    if (slot === NONE) return NONE;
    this.flows[slot] = flow;
    this.movedAt[slot] = tick;
    this.count++;
    this.words.fill(0, slot * SLOT_WORDS, (slot + 1) * SLOT_WORDS);
    this.packetsRead.fill(0, slot * 2, slot * 2 + 2);
    this.bytesRead.fill(0, slot * 2, slot * 2 + 2);
    return slot;
  }

  /** Its flow leaves a slot whose entries are withdrawn. */
  give(slot: number): void {
    this.flows[slot] = NONE;
    this.free[(this.freeAt + this.freeCount++) % this.capacity] = slot;
    this.count--;
  }

  /** Seconds since the slot was last seen to have moved. */
  idleFor(slot: number, tick: number): number { return tick - this.movedAt[slot]; }

  /** It has moved. */
  touch(slot: number, tick: number): void { this.movedAt[slot] = tick; }

  has(slot: number, direction: number): boolean { return this.neighbours[slot * 2 + direction] !== NONE; }

  /** Neighbour an entry's packets go to; NONE when there is no entry. */
  neighbour(slot: number, direction: number): number { return this.neighbours[slot * 2 + direction]; }

  nexthop(slot: number, direction: number): number { return this.nexthops[slot * 2 + direction]; }

  /** Link its packets come in by. */
  inLink(slot: number, direction: number): number { return this.words[this.entryAt(slot, direction) + KEY] >>> 16; }

  /** True when there is an entry that counts no more. */
  isVoid(slot: number, direction: number): boolean { return this.has(slot, direction) && !this.isCurrent(slot, direction); }

  /** True when the entry counts, heartbeat apart. */
  isCurrent(slot: number, direction: number): boolean { return this.words[this.entryAt(slot, direction) + EPOCH] === this.epoch; }

  /** Write an entry: packets of `arriving` leave as `leaving`. False when the index has no place for it. */
  put(slot: number, direction: number, arriving: Tuple, leaving: Tuple, facts: EntryFacts, neighbour: number, nexthop: number): boolean {
    const at = this.entryAt(slot, direction);
    const { view, words } = this;
    words[at + EPOCH] = 0;
    // A flow that has been moved gets its answers by another link: that is another key.
    if (this.has(slot, direction) && words[at + KEY] >>> 16 !== facts.link) this.withdraw(slot, direction);
    words[at + KEY] = (arriving.protocol << 8) | (facts.link << 16);
    writeTuple(view, (at + KEY + 1) * 4, arriving);
    writeTuple(view, (at + LEAVING) * 4, leaving);
    // TTL and protocol are one word of the header: it becomes 0x0100 less.
    view.setUint16((at + DELTA) * 4, fold(delta32(arriving.s3, leaving.s3) + delta32(arriving.d3, leaving.d3) + delta16(0x0100, 0)));
    const macsAt = (at + MACS) * 4;
    view.setUint16(macsAt, facts.toHigh);
    view.setInt32(macsAt + 2, facts.toLow);
    view.setUint16(macsAt + 6, facts.fromHigh);
    view.setInt32(macsAt + 8, facts.fromLow);
    words[at + IFINDEX] = facts.ifindex;
    words[at + REDIRECT] = facts.redirect;
    words[at + MARK] = facts.mark;
    view.setUint16((at + LIMITS) * 4, Math.min(0xffff, facts.mtu), true);
    view.setUint16((at + LIMITS) * 4 + 2, facts.mustBeDf ? 0xffff : 0xbfff);
    if (this.neighbours[slot * 2 + direction] === NONE && !this.index.put(words, at + KEY, (slot << 1) | direction)) return false;
    if (this.index.count === 1) this.control[CONTROL_IN_USE] = 1;
    this.neighbours[slot * 2 + direction] = neighbour;
    this.nexthops[slot * 2 + direction] = nexthop;
    words[at + EPOCH] = this.epoch;
    return true;
  }

  /** Every entry that sends to this neighbour is void; there are `uses` of them. */
  voidNeighbour(neighbour: number, uses: number): void {
    const { neighbours, words } = this;
    for (let i = 0, left = uses; left > 0 && i < this.high * 2; i++) {
      if (neighbours[i] !== neighbour) continue;
      words[this.entryAt(i >> 1, i & 1) + EPOCH] = 0;
      left--;
    }
  }

  /** Take an entry away. */
  withdraw(slot: number, direction: number): void {
    const at = this.entryAt(slot, direction);
    this.words[at + EPOCH] = 0;
    if (this.neighbours[slot * 2 + direction] === NONE) return;
    this.neighbours[slot * 2 + direction] = NONE;
    this.index.remove(this.words, at + KEY, (slot << 1) | direction);
    if (this.index.count === 0) this.control[CONTROL_IN_USE] = 0;
  }

  /** Packets the programs have forwarded since the last call. */
  readPackets(slot: number, direction: number): number {
    const now = this.words[slot * SLOT_WORDS + PACKETS + direction];
    const place = slot * 2 + direction;
    const more = (now - this.packetsRead[place]) >>> 0;
    this.packetsRead[place] = now;
    return more;
  }

  /** Bytes of IP packets the programs have forwarded since the last call. */
  readBytes(slot: number, direction: number): number {
    const at = slot * SLOT_WORDS + BYTES + direction * 2;
    let high = this.words[at + 1];
    let low = this.words[at];
    // The upper half may have moved between the two reads.
    if (this.words[at + 1] !== high) {
      high = this.words[at + 1];
      low = this.words[at];
    }
    const now = (high >>> 0) * 4_294_967_296 + (low >>> 0);
    const place = slot * 2 + direction;
    const more = now - this.bytesRead[place];
    this.bytesRead[place] = now;
    return more;
  }

  /** The next slot whose connection both sides have closed; NONE when there are no more for now. */
  takeEnded(): number {
    const { control } = this;
    if (this.lane === 0) {
      const ended = control[CONTROL_ENDED];
      if (ended === this.endedRead) return NONE;
      this.endedRead = ended;
    }
    while (this.lane < LANES) {
      const at = CONTROL_LANES + this.lane++;
      const slot = control[at] - 1;
      if (slot === NONE) continue;
      control[at] = 0;
      return slot;
    }
    this.lane = 0;
    return NONE;
  }

  /** True when a direction's FIN has been forwarded. */
  hasEnded(slot: number, direction: number): boolean { return ((this.words[slot * SLOT_WORDS + ENDS] >>> (16 * direction)) & 1) !== 0; }

  /** A direction's FIN has come up. Before there are entries. */
  setEnded(slot: number, direction: number): void { this.words[slot * SLOT_WORDS + ENDS] |= 1 << (16 * direction); }

  /** Copy a flow's window out of the slot, to be looked at and moved. */
  bring(slot: number, window: Int32Array, at: number): void {
    const from = slot * SLOT_WORDS + WINDOW;
    for (let i = 0; i < WINDOW_WORDS; i++) window[at + i] = this.brought[i] = this.words[from + i];
  }

  /** Copy it back: what has not been moved may have been by the programs meanwhile. */
  settle(slot: number, window: Int32Array, at: number): void {
    const to = slot * SLOT_WORDS + WINDOW;
    for (let i = 0; i < WINDOW_WORDS; i++) if (window[at + i] !== this.brought[i]) this.words[to + i] = window[at + i];
  }

  /** The slot's window begins as this one. */
  lend(slot: number, window: Int32Array, at: number): void {
    const to = slot * SLOT_WORDS + WINDOW;
    for (let i = 0; i < WINDOW_WORDS; i++) this.words[to + i] = window[at + i];
  }

  /** Frames to a virtual router's MAC address are ours from this moment on, or not any more. */
  setElected(virtualRouter: number, isOurs: boolean): void {
    if (virtualRouter >= ELECTED_MAX) return;
    const bit = 1 << virtualRouter;
    this.control[CONTROL_ELECTED] = isOurs ? this.control[CONTROL_ELECTED] | bit : this.control[CONTROL_ELECTED] & ~bit;
  }

  private entryAt(slot: number, direction: number): number { return slot * SLOT_WORDS + ENTRY + direction * ENTRY_WORDS; }
}

function writeTuple(view: DataView, at: number, tuple: Tuple): void {
  view.setInt32(at, tuple.s3);
  view.setInt32(at + 4, tuple.d3);
  view.setInt32(at + 8, tuple.ports);
}
