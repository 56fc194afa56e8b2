/**
 * The flow table: every flow weir knows, in shared memory.
 *
 * Theory of operation. An entry is FLOW_WORDS (48) int32 words, 192 bytes, three cache lines: two tuples (ORIGINAL and REPLY, each as
 * it *arrives*), the state, the decisions taken on the first packet, counters. One HashIndex holds two references per
 * flow (flow << 1 | direction), so any packet finds its flow and its direction in one look. With the index, the wheel and its share of
 * the TCP windows a flow costs 254 bytes.
 *
 *   a packet of direction d arrives as tuple[d] and leaves as the inverse of tuple[1 - d];
 *
 * that one rule is SNAT, DNAT and their undoing: where the two differ the packet is translated.
 *
 * A flow is opened in two steps. `open` writes ORIGINAL into the next free entry without taking it; `confirm` takes it, writes REPLY
 * and indexes both. A packet that is refused in between leaves no trace, and there is never more than one unconfirmed flow.
 *
 * Expiry is lazy: a packet stores a deadline (in seconds), the wheel asks when the armed tick comes. Only a deadline that
 * moves nearer by a state change arms anew.
 *
 * One thread writes. Others read entries through FlowReader without stopping it: SERIAL changes whenever an entry is taken or freed
 * (odd = in use), so a reader that sees the same odd serial before and after has read one and the same flow.
 */
import { HashIndex } from '../base/hash-index.js';
import { TimerWheel } from '../base/timer-wheel.js';
import { hashAt, TUPLE_WORDS, Tuple } from '../wire/tuple.js';

export const FLOW_WORDS = 48;

/** Word offsets in an entry. */
export const ORIGINAL_TUPLE = 0;
export const REPLY_TUPLE = TUPLE_WORDS;
/** State and its bits (table/tcp-state.ts). */
export const STATE = 20;
/** Second (table time) after which the flow is gone. */
export const DEADLINE = 21;
/** FLAG_* bits. */
export const FLAGS = 22;
/** Odd while in use; goes up by one at every change of owner. */
export const SERIAL = 23;
/** Decision of `route`: nexthop per direction, NONE = not decided. */
export const ROUTE = 24; // and 25 for REPLY
/** Router.epoch at which the flow was last looked at: plan and uplinks may have changed since (stage/fate.ts). */
export const GENERATION = 26;
/** Decision of `snat`: the uplink whose address the flow bears, or NONE. */
export const UPLINK = 27;
/** Decision of `snat`: pool (index in Router.pools) << 16 | external port, or NONE. */
export const MAPPING = 28;
/** Neighbour each direction was last sent to: only a hint, `resolve` checks it. */
export const NEIGHBOUR = 29; // and 30 for REPLY
/** Link the first packet came in on. */
export const IN_LINK = 31;
/** Float64 at word pairs: packets and bytes, ORIGINAL then REPLY. */
export const COUNTERS = 32; // 32 … 39
/** Second (table time) it was confirmed. */
export const CREATED = 40;
/** Second (table time) the wheel is armed for. */
export const ARMED = 41;
/** What `filter` has found for the flow under which plan: generation's low half << 16 | 0 not asked, 1 no rule, place + 2 of the first rule that fits. */
export const FILTER = 42;
/**
 * What an ALG knows of the flow (stage/inspect.ts); NONE: no ALG watches it; OFFLOADED - slot: none does, and the kernel forwards it by that slot
 * (table/offload.ts).
 */
export const ALG = 43;
export const OFFLOADED = -2;
/** The control flow that this flow was expected of, or NONE, and that flow's SERIAL: an entry has many owners in its life. */
export const CONTROL = 44;
export const CONTROL_SERIAL = 45;
/** Decision of `dnat`: the mapping that let the flow in from outside and is held by it, as in MAPPING; or the real server it was given to (`servedBy`); or NONE. */
export const INWARD = 46;

/** Its TCP windows (table/tcp-window.ts), or NONE. */
export const WINDOW = 47;

/** The source (and with it the destination of replies) is translated. */
export const FLAG_SNAT = 1;
/** The destination (and with it the source of replies) is translated. */
export const FLAG_DNAT = 2;

/** `<< direction`: packets of that direction do not prolong the flow (RFC 4787 REQ-6). */
export const FLAG_NO_REFRESH = 4; // and 8 for REPLY
/** Its external port is shared with flows to other destinations; MAPPING names it, but holds nothing. */
export const FLAG_SHARED = 16;
/** Counts for the permission of its far address to send to its mapping (table/permission.ts). */
export const FLAG_PERMIT = 32;
/** Counts among the flows of its inside address (table/source-limit.ts). */
export const FLAG_COUNTED = 64;
/** Counts for the pairing of its inside with its external address, for want of a mapping that does (table/pairing.ts). */
export const FLAG_PAIRED = 128;
/** Its fate has been told of since its uplink went down, or since a better one came back (stage/fate.ts). */
export const FLAG_TOLD = 256;
/** Its uplink was chosen although a better tier was usable: that one's return means nothing to it. */
export const FLAG_CHOSEN = 512;
/** Counts for its client's entry in persistence (balance/persistence.ts). */
export const FLAG_REMEMBERED = 1024;
/** Its fate has been told of since its real server was lost (stage/fate.ts). */
export const FLAG_SERVER_TOLD = 2048;
/** It came from another instance, and none of its packets has been seen here (stage/adopt.ts). */
export const FLAG_REPLICA = 4096;
/** Other instances have been told of it by us: they are told of its end, too. */
export const FLAG_PUBLISHED = 8192;
/** The high half of FLAGS: the group that chose its uplink, + 1; 0 = none did. */
export const GROUP_SHIFT = 16;

/** Words of the shared header: counts for readers. */
export const HEADER_WORDS = 16;
export const HEADER_COUNT = 0;
/** Entries 0 … high - 1 have been used at some time. */
export const HEADER_HIGH = 1;
export const HEADER_NOW = 2;
export const HEADER_OPENED = 3;
export const HEADER_EXPIRED = 4;
/** Flows ended before their time: their uplink or real server went down, or a SYN began them anew. */
export const HEADER_ENDED = 5;

const NONE = -1;

/** The real server (RealServerPlan.index) that a flow's INWARD names, or NONE. */
export function servedBy(inward: number): number { return inward < NONE ? -2 - inward : NONE; }

/** INWARD of a flow that was given to a real server. */
export function inwardOf(server: number): number { return -2 - server; }

/** Ticks of one second; the longest default timeout (2 h 4 min) fits the wheel. */
const WHEEL_SPAN = 8192;

/** Bytes of shared memory for a table of `capacity` flows. */
export function flowTableBytes(capacity: number): number {
  return (HEADER_WORDS + capacity * FLOW_WORDS) * 4;
}

export class FlowTable {
  readonly capacity: number;
  /** Entry i begins at (HEADER_WORDS + i × FLOW_WORDS). */
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  private readonly index: HashIndex;
  private readonly wheel: TimerWheel;
  /** First of the entries that were used and are free, each of which names the next in its ARMED word. */
  private freeHead = NONE;
  private readonly seed: number;
  private readonly key = new Tuple();
  /** Hash of the tuple `find` was last asked for, and of the ORIGINAL of the entry `open` has given. */
  lastHash = 0;
  private openHash = 0;
  private readonly onExpire: (flow: number) => void;
  /** Told of an offloaded flow that is due to expire: it may have moved unseen. */
  onDue: (flow: number) => void = () => undefined;
  private readonly fire: (flow: number, tick: number) => number;

  /** @param onExpire told of each flow that ends, while its entry can still be read: give back what it held. */
  constructor(memory: SharedArrayBuffer, capacity: number, seed: number, onExpire: (flow: number) => void) {
    this.capacity = capacity;
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.index = new HashIndex(capacity * 2);
    this.wheel = new TimerWheel(capacity, WHEEL_SPAN);
    this.seed = seed;
    this.onExpire = onExpire;
    this.fire = (flow, tick) => {
      let deadline = this.words[this.at(flow) + DEADLINE];
      if (deadline <= tick && this.words[this.at(flow) + ALG] <= OFFLOADED) {
        this.onDue(flow);
        deadline = this.words[this.at(flow) + DEADLINE];
      }
      if (deadline > tick) {
        this.words[this.at(flow) + ARMED] = deadline;
        return deadline;
      }
      this.words[HEADER_EXPIRED]++;
      this.release(flow);
      return 0;
    };
  }

  /** First word of an entry. */
  at(flow: number): number { return HEADER_WORDS + flow * FLOW_WORDS; }

  /** The arrays that are looked at all over, for whoever can give them huge pages. */
  get arrays(): readonly Int32Array[] { return [this.words, this.index.slots]; }

  get count(): number { return this.words[HEADER_COUNT]; }

  /** Flow << 1 | direction of the flow this tuple belongs to, or NONE. */
  find(tuple: Tuple): number {
    const hash = tuple.hash(this.seed);
    this.lastHash = hash;
    const index = this.index;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const reference = index.reference(slot);
      if (tuple.isAt(this.words, HEADER_WORDS + (reference >>> 1) * FLOW_WORDS + (reference & 1) * TUPLE_WORDS)) return reference;
    }
    return NONE;
  }

  /**
   * The flow of this ORIGINAL tuple that has this INWARD, or NONE. Where every packet is scheduled by itself a client's packets belong to a flow for each
   * real server they went to, and their answers are told apart by who sent them.
   */
  findServed(tuple: Tuple, inward: number): number {
    const hash = tuple.hash(this.seed);
    const { index, words } = this;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const reference = index.reference(slot);
      const at = HEADER_WORDS + (reference >>> 1) * FLOW_WORDS;
      if ((reference & 1) === 0 && words[at + INWARD] === inward && tuple.isAt(words, at)) return reference >>> 1;
    }
    return NONE;
  }

  /** The hash a tuple is found by; also what balancing picks with. */
  hash(tuple: Tuple): number { return tuple.hash(this.seed); }

  /** True while another flow could be opened. */
  get hasRoom(): boolean { return this.freeHead !== NONE || this.words[HEADER_HIGH] < this.capacity; }

  /**
   * Write ORIGINAL into the next free entry and clear the rest. Returns the entry, or NONE when the table is full.
   * @param hash that of the tuple, for who knows it already.
   */
  open(original: Tuple, inLink: number, generation: number, hash = original.hash(this.seed)): number {
    const { words, doubles } = this;
    let flow = this.freeHead;
    if (flow === NONE) {
      flow = words[HEADER_HIGH];
      if (flow === this.capacity) return NONE;
    }
    const at = this.at(flow);
    this.openHash = hash;
    original.store(words, at);
    words[at + STATE] = 0;
    words[at + FLAGS] = 0;
    words[at + ROUTE] = NONE;
    words[at + ROUTE + 1] = NONE;
    words[at + GENERATION] = generation;
    words[at + UPLINK] = NONE;
    words[at + MAPPING] = NONE;
    words[at + FILTER] = 0;
    words[at + INWARD] = NONE;
    words[at + NEIGHBOUR] = NONE;
    words[at + NEIGHBOUR + 1] = NONE;
    words[at + IN_LINK] = inLink;
    words[at + ALG] = NONE;
    words[at + CONTROL] = NONE;
    words[at + WINDOW] = NONE;
    // Plain stores: a call of fill() for four doubles costs five times as much.
    const pair = (at + COUNTERS) / 2;
    doubles[pair] = 0; doubles[pair + 1] = 0; doubles[pair + 2] = 0; doubles[pair + 3] = 0;
    return flow;
  }

  /** Take the entry `open` gave; its packet leaves as `leaving`. False when another flow already has one of the two tuples. */
  confirm(flow: number, leaving: Tuple, nowTick: number, timeout: number): boolean {
    const words = this.words;
    const at = this.at(flow);
    const key = this.key;
    key.invert(leaving);
    if (this.find(key) !== NONE) return false;
    const replyHash = this.lastHash;
    key.store(words, at + REPLY_TUPLE);
    const ports = words[at + 8];
    const snat = key.d3 !== words[at + 3] || (key.ports & 0xffff) !== ports >>> 16;
    const dnat = key.s3 !== words[at + 7] || key.ports >>> 16 !== (ports & 0xffff);
    words[at + FLAGS] |= (snat ? FLAG_SNAT : 0) | (dnat ? FLAG_DNAT : 0);
    if (this.freeHead === NONE) words[HEADER_HIGH]++;
    else this.freeHead = words[at + ARMED];
    words[at + CREATED] = nowTick;
    words[at + DEADLINE] = nowTick + timeout;
    words[at + ARMED] = nowTick + timeout;
    this.index.add(this.openHash, flow << 1);
    this.index.add(replyHash, (flow << 1) | 1);
    this.wheel.arm(flow, nowTick + timeout);
    words[HEADER_COUNT]++;
    words[HEADER_OPENED]++;
    Atomics.add(words, at + SERIAL, 1);
    return true;
  }

  /** The flow lives `timeout` seconds from now on. */
  refresh(flow: number, nowTick: number, timeout: number): void {
    const words = this.words;
    const at = this.at(flow);
    const deadline = nowTick + timeout;
    words[at + DEADLINE] = deadline;
    if (deadline < words[at + ARMED]) {
      words[at + ARMED] = deadline;
      this.wheel.arm(flow, deadline);
    }
  }

  /** Count packets of the flow; how many there have been in that direction. */
  account(flow: number, direction: number, bytes: number, packets = 1): number {
    const pair = (this.at(flow) + COUNTERS) / 2 + direction * 2;
    const count = this.doubles[pair] + packets;
    this.doubles[pair] = count;
    this.doubles[pair + 1] += bytes;
    return count;
  }

  packets(flow: number, direction: number): number { return this.doubles[(this.at(flow) + COUNTERS) / 2 + direction * 2]; }

  /** End a flow now. */
  remove(flow: number): void {
    this.wheel.disarm(flow);
    this.words[HEADER_ENDED]++;
    this.release(flow);
  }

  private release(flow: number): void {
    this.onExpire(flow);
    const words = this.words;
    const at = this.at(flow);
    this.index.remove(hashAt(words, at, this.seed), flow << 1);
    this.index.remove(hashAt(words, at + REPLY_TUPLE, this.seed), (flow << 1) | 1);
    Atomics.add(words, at + SERIAL, 1);
    words[at + ARMED] = this.freeHead;
    this.freeHead = flow;
    words[HEADER_COUNT]--;
  }

  /** Expire what is due, looking at no more than `budget` entries; false when more is due. */
  expire(nowTick: number, budget: number): boolean {
    this.words[HEADER_NOW] = nowTick;
    return this.wheel.advance(nowTick, budget, this.fire);
  }
}
