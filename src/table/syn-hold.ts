/**
 * SYNs from outside that nothing inside has asked for, each kept for a while before its sender is told so (RFC 5382 REQ-4): when an inside host
 * opens the same connection meanwhile (both ends of a simultaneous open send first), no answer may spoil it.
 *
 * Theory of operation. All wait equally long, so a ring in order of arrival is also in order of their deadlines. An entry is the packet's tuple,
 * how many frames are waiting with it (a SYN sent again waits with the first, and prolongs nothing) and as much of the packet as an ICMP
 * error quotes. Whether one from inside has come is asked of the flow table when the time is up, so new flows pay nothing for it.
 *
 * Bounded by limits.heldSyns; when full the newest is refused in silence. Memory: 640 bytes an entry.
 */
import { HashIndex } from '../base/hash-index.js';
import type { Packet } from '../wire/packet.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import type { Tuple } from '../wire/tuple.js';

const NONE = -1;

/** Bytes kept of a packet: what fits an ICMP error of 576 bytes (RFC 1812 §4.3.2.3). */
const QUOTE_MAX = 548;

/** Word offsets in an entry after its tuple. */
const LINK = TUPLE_WORDS;
const FRAMES = TUPLE_WORDS + 1;
const LENGTH = TUPLE_WORDS + 2;
const WORDS = TUPLE_WORDS + 3;

export type Outcome = 'held' | 'again' | 'full';

export class SynHold {
  readonly capacity: number;
  /** SYNs waiting now. */
  count = 0;
  /** SYNs that have waited, and those that found no room. */
  taken = 0;
  refused = 0;
  private head = 0;
  private readonly words: Int32Array;
  private readonly dueMs: Float64Array;
  private readonly bytes: Uint8Array;
  private readonly index: HashIndex;
  private readonly seed: number;

  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity * WORDS);
    this.dueMs = new Float64Array(capacity);
    this.bytes = new Uint8Array(capacity * QUOTE_MAX);
    this.index = new HashIndex(capacity);
    this.seed = seed;
  }

  /** Keep a SYN until `dueMs`. */
  put(p: Packet, dueMs: number): Outcome {
    const { words, index } = this;
    const hash = p.tuple.hash(this.seed);
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const at = index.reference(slot) * WORDS;
      if (p.tuple.isAt(words, at) && words[at + LINK] === p.link) {
        words[at + FRAMES] += p.frames;
        return 'again';
      }
    }
    if (this.count === this.capacity) {
      this.refused++;
      return 'full';
    }
    const entry = (this.head + this.count) % this.capacity;
    const at = entry * WORDS;
    const length = Math.min(p.end - p.ipAt, QUOTE_MAX);
    p.tuple.store(words, at);
    words[at + LINK] = p.link;
    words[at + FRAMES] = p.frames;
    words[at + LENGTH] = length;
    this.bytes.set(p.u8.subarray(p.ipAt, p.ipAt + length), entry * QUOTE_MAX);
    this.dueMs[entry] = dueMs;
    index.add(hash, entry);
    this.count++;
    this.taken++;
    return 'held';
  }

  /** The SYN whose time is up first, or NONE while none is due. */
  due(nowMs: number): number { return this.count > 0 && this.dueMs[this.head] <= nowMs ? this.head : NONE; }

  link(entry: number): number { return this.words[entry * WORDS + LINK]; }
  frames(entry: number): number { return this.words[entry * WORDS + FRAMES]; }
  /** Bytes that are kept of it. */
  length(entry: number): number { return this.words[entry * WORDS + LENGTH]; }
  loadTuple(entry: number, into: Tuple): void { into.load(this.words, entry * WORDS); }

  /** Lay what is kept of a SYN at `ipAt` and point the packet at it. */
  load(entry: number, p: Packet, ipAt: number): void {
    const at = entry * WORDS;
    const from = entry * QUOTE_MAX;
    p.u8.set(this.bytes.subarray(from, from + this.words[at + LENGTH]), ipAt);
    p.load(this.words[at + LINK], ipAt, this.words[at + LENGTH], 0);
    p.parseIp();
    p.parseL4();
  }

  /** Let go of the one that was due. */
  dropFirst(scratch: Tuple): void {
    this.loadTuple(this.head, scratch);
    this.index.remove(scratch.hash(this.seed), this.head);
    this.head = (this.head + 1) % this.capacity;
    this.count--;
  }
}
