/**
 * Packets of unknown flows that wait for the store to be asked (stage/fetch.ts): copies of whole IP packets, in a list per tuple in order of arrival.
 *
 * Theory of operation. A question is a tuple; all wait equally long, so the list of questions in order of asking is also in order of their deadlines. One
 * that is answered moves to the list of those whose packets go on, at its end; one whose time is over is taken from the front of the first list. A token names a
 * question and how often its place has been used, so that an answer that comes too late finds nobody.
 *
 * Bounded by limits.heldFetches packets; one more is refused. No source address has more than SOURCE_PART of the places and no link more than LINK_PART, so that neither one host that sends
 * packets of no flow nor one that forges its addresses keeps those of all others from being asked for. Sources are counted in buckets by a hash nobody outside can foretell, eight for each
 * place, so one rarely counts for another. Nothing is allocated in the steady state but the places of packets, when first used.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import type { Packet } from '../wire/packet.js';
import { TUPLE_WORDS, Tuple } from '../wire/tuple.js';
import { SlotPool } from './slot-pool.js';

const NONE = -1;
/** What one source, and one link, may have of the places. */
const SOURCE_PART = 1 / 2;
const LINK_PART = 3 / 4;
const BUCKETS_PER_PLACE = 8;

/** How a question ended. */
export const ANSWER_NONE = 0;
export const ANSWER_FOUND = 1;
export const ANSWER_NOT_FOUND = 2;
export const ANSWER_LATE = 3;

/** Word offsets in a question after its tuple: its packets, first and last; neighbours in its list; how it ended; how often its place has been used; its source's bucket. */
const HEAD = TUPLE_WORDS;
const TAIL = TUPLE_WORDS + 1;
const OLDER = TUPLE_WORDS + 2;
const NEWER = TUPLE_WORDS + 3;
const ANSWER = TUPLE_WORDS + 4;
const ROUND = TUPLE_WORDS + 5;
const SOURCE = TUPLE_WORDS + 6;
const WORDS = TUPLE_WORDS + 7;

/** Word offsets in a packet: bytes, of them before the IP header, the next one of its question, and what is known of it. */
const LENGTH = 0;
const BEFORE = 1;
const NEXT = 2;
const LINK = 3;
const FRAMES = 4;
const FRAGMENT_SIZE = 5;
const GSO = 6;
const CSUM = 7;
const PACKET_WORDS = 8;

/** A token is a question's place and its round above it. */
const PLACE_BITS = 20;
const PLACE_MASK = (1 << PLACE_BITS) - 1;
const ROUND_MASK = 0x7ff;

export class HeldFetches {
  /** Packets waiting. */
  count = 0;
  /** `put` has found a tuple that was not asked for yet. */
  isAsked = false;
  /** Packets are going on at this moment: none of them waits again. */
  isReleasing = false;
  /** The packet loaded was the last of its question. */
  isLast = false;
  private readonly holdMs: number;
  private readonly limit: number;
  private readonly sourceLimit: number;
  private readonly linkLimit: number;
  /** Packets waiting, by a hash of their source address and by the link they came in on. */
  private readonly bySource: Int32Array;
  private readonly byLink: Int32Array;
  private readonly slots: SlotPool;
  private readonly packets: Int32Array;
  private readonly words: Int32Array;
  private readonly deadlines: Float64Array;
  private readonly index: HashIndex;
  private readonly free: number[] = [];
  private readonly seed: number;
  private readonly key = new Tuple();
  /** Questions that wait, oldest and newest; and those whose packets go on. */
  private oldest = NONE;
  private newest = NONE;
  private goingFirst = NONE;
  private goingLast = NONE;

  constructor(limit: number, links: number, holdMs: number, seed: number) {
    const big = Math.max(8, limit >> 3);
    this.holdMs = holdMs;
    this.slots = new SlotPool(limit, big);
    this.limit = limit;
    this.packets = new Int32Array((limit + big) * PACKET_WORDS);
    this.words = new Int32Array(limit * WORDS);
    this.deadlines = new Float64Array(limit);
    this.index = new HashIndex(limit);
    for (let place = limit - 1; place >= 0; place--) this.free.push(place);
    this.seed = seed;
    this.sourceLimit = Math.max(1, Math.floor(limit * SOURCE_PART));
    this.linkLimit = Math.max(1, Math.floor(limit * LINK_PART));
    let buckets = 1;
    while (buckets < limit * BUCKETS_PER_PLACE) buckets *= 2;
    this.bySource = new Int32Array(buckets);
    this.byLink = new Int32Array(links);
  }

  /** When the next packet goes on; Infinity = none waits. */
  get dueMs(): number { return this.goingFirst !== NONE ? -Infinity : this.oldest === NONE ? Infinity : this.deadlines[this.oldest]; }

  /** Keep a packet until its tuple's question is answered. Its token, or NONE when there is no room, for it or for any. */
  put(p: Packet, nowMs: number): number {
    this.isAsked = false;
    const { words, packets } = this;
    if (this.count === this.limit || this.byLink[p.link] >= this.linkLimit) return NONE;
    const source = this.bucketOf(p.tuple);
    if (this.bySource[source] >= this.sourceLimit) return NONE;
    // What has its frame keeps it: by which neighbour it came may count.
    const before = p.frames === 1 && p.ipAt - p.frameAt === ETHERNET_LENGTH ? ETHERNET_LENGTH : 0;
    const slot = this.slots.take(p.end - p.ipAt + before);
    if (slot === NONE) return NONE;
    let place = this.find(p.tuple);
    if (place === NONE) {
      place = this.free.pop() as number;
      const at = place * WORDS;
      p.tuple.store(words, at);
      words[at + HEAD] = NONE;
      words[at + ANSWER] = ANSWER_NONE;
      words[at + SOURCE] = source;
      words[at + ROUND] = (words[at + ROUND] + 1) & ROUND_MASK;
      this.deadlines[place] = nowMs + this.holdMs;
      this.index.add(p.tuple.hash(this.seed), place);
      this.append(place);
      this.isAsked = true;
    }
    const to = slot * PACKET_WORDS;
    this.slots.bytes(slot).set(p.u8.subarray(p.ipAt - before, p.end));
    packets[to + LENGTH] = p.end - p.ipAt + before;
    packets[to + BEFORE] = before;
    packets[to + NEXT] = NONE;
    packets[to + LINK] = p.link;
    packets[to + FRAMES] = p.frames;
    packets[to + FRAGMENT_SIZE] = p.fragmentSize;
    packets[to + GSO] = (p.gsoType << 16) | p.gsoSize;
    packets[to + CSUM] = p.csumAt === NONE ? NONE : (p.csumAt << 16) | p.csumOffset;
    const at = place * WORDS;
    if (words[at + HEAD] === NONE) words[at + HEAD] = slot;
    else packets[words[at + TAIL] * PACKET_WORDS + NEXT] = slot;
    words[at + TAIL] = slot;
    this.count++;
    this.bySource[source]++;
    this.byLink[p.link]++;
    return (words[at + ROUND] << PLACE_BITS) | place;
  }

  /** The store has answered a question. */
  answer(token: number, isFound: boolean): void { this.end(token, isFound ? ANSWER_FOUND : ANSWER_NOT_FOUND); }

  /** A question that nobody hears. */
  expire(token: number): void { this.end(token, ANSWER_LATE); }

  /** A flow with this tuple has become known, whoever asked. */
  found(tuple: Tuple): void {
    const place = this.find(tuple);
    if (place !== NONE) this.go(place, ANSWER_FOUND);
  }

  /** Nobody will answer: all that wait go on. */
  giveUp(): void { while (this.oldest !== NONE) this.go(this.oldest, ANSWER_LATE); }

  /** Bytes of the next packet that goes on, NONE when none does. */
  nextLength(nowMs: number): number {
    while (this.oldest !== NONE && this.deadlines[this.oldest] <= nowMs) this.go(this.oldest, ANSWER_LATE);
    return this.goingFirst === NONE ? NONE : this.packets[this.words[this.goingFirst * WORDS + HEAD] * PACKET_WORDS + LENGTH];
  }

  /** Lay that packet at `at`, make `p` what it was before it was tracked, and let it go. Gives how its question was answered. */
  load(p: Packet, at: number): number {
    const { words, packets } = this;
    const place = this.goingFirst;
    const slot = words[place * WORDS + HEAD];
    const from = slot * PACKET_WORDS;
    p.u8.set(this.slots.bytes(slot).subarray(0, packets[from + LENGTH]), at);
    p.load(packets[from + LINK], at, packets[from + LENGTH], packets[from + BEFORE]);
    p.frames = packets[from + FRAMES];
    p.fragmentSize = packets[from + FRAGMENT_SIZE];
    p.gsoType = packets[from + GSO] >>> 16;
    p.gsoSize = packets[from + GSO] & 0xffff;
    if (packets[from + CSUM] !== NONE) {
      p.csumAt = packets[from + CSUM] >>> 16;
      p.csumOffset = packets[from + CSUM] & 0xffff;
    }
    p.parseIp();
    p.parseL4();
    this.slots.give(slot);
    this.count--;
    this.bySource[words[place * WORDS + SOURCE]]--;
    this.byLink[packets[from + LINK]]--;
    words[place * WORDS + HEAD] = packets[from + NEXT];
    this.isLast = packets[from + NEXT] === NONE;
    if (this.isLast) {
      this.goingFirst = words[place * WORDS + NEWER];
      if (this.goingFirst === NONE) this.goingLast = NONE;
      this.free.push(place);
    }
    return words[place * WORDS + ANSWER];
  }

  private end(token: number, answer: number): void {
    const place = token & PLACE_MASK;
    if (token < 0 || place >= this.limit) return;
    const at = place * WORDS;
    if (this.words[at + ROUND] === token >>> PLACE_BITS && this.words[at + HEAD] !== NONE && this.words[at + ANSWER] === ANSWER_NONE) this.go(place, answer);
  }

  /** A question is answered: from the list of those that wait to that of those whose packets go on. */
  private go(place: number, answer: number): void {
    const { words, key } = this;
    const at = place * WORDS;
    key.load(words, at);
    this.index.remove(key.hash(this.seed), place);
    const older = words[at + OLDER], newer = words[at + NEWER];
    if (older === NONE) this.oldest = newer;
    else words[older * WORDS + NEWER] = newer;
    if (newer === NONE) this.newest = older;
    else words[newer * WORDS + OLDER] = older;
    words[at + ANSWER] = answer;
    words[at + NEWER] = NONE;
    if (this.goingLast === NONE) this.goingFirst = place;
    else words[this.goingLast * WORDS + NEWER] = place;
    this.goingLast = place;
  }

  private append(place: number): void {
    const { words } = this;
    words[place * WORDS + OLDER] = this.newest;
    words[place * WORDS + NEWER] = NONE;
    if (this.newest === NONE) this.oldest = place;
    else words[this.newest * WORDS + NEWER] = place;
    this.newest = place;
  }

  private bucketOf({ s0, s1, s2, s3 }: Tuple): number { return finish(mix(mix(mix(mix(this.seed, s0), s1), s2), s3)) & (this.bySource.length - 1); }

  private find(tuple: Tuple): number {
    const hash = tuple.hash(this.seed);
    const { index, words } = this;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const place = index.reference(slot);
      if (tuple.isAt(words, place * WORDS)) return place;
    }
    return NONE;
  }
}
