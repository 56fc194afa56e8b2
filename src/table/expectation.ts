/**
 * The flows that are expected: an ALG has read in a control flow that one is about to be opened, and from where to where.
 *
 * Theory of operation. An entry holds two tuples, the first packet of the expected flow as it will arrive and as it is to leave; a source
 * port of 0 means any. It is found by hash over protocol, both addresses and the destination port: one look for a new flow, none while
 * nothing is expected. It belongs to its control flow and ends with it; it is used once, by the first flow that matches, or expires.
 *
 *     make ──▶ waiting ──take──▶ used           its external port goes over to the flow
 *                 ├─ deadline ──▶ expired        its external port is given back
 *                 └─ remove ────▶ withdrawn      likewise: the control flow ended, or expects something newer
 *
 * An entry that is made twice (a command sent again, another control flow that names the same endpoint) takes the place of the first. Bounded
 * by limits.expectations; when full, nothing more is expected and `refused` counts.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import { TimerWheel } from '../base/timer-wheel.js';
import { TUPLE_WORDS, Tuple } from '../wire/tuple.js';

const NONE = -1;

/** Word offsets in an entry: the tuple it arrives with and the one it leaves with. */
export const EXPECTED_ARRIVING = 0;
export const EXPECTED_LEAVING = TUPLE_WORDS;
/** The control flow, and the direction of it in which the expected flow's first packet goes. */
export const EXPECTED_CONTROL = 20;
export const EXPECTED_DIRECTION = 21;
/** External port it holds (pool << 16 | port), or NONE. */
export const EXPECTED_MAPPING = 22;
const DEADLINE = 23;
/** While in use: whose it is, ours or another instance's. */
const USED = 24;
const OURS = 1;
const OTHERS = 2;
const WORDS = 25;

/** Seconds of the wheel; a longer timeout is asked again on the way. */
const WHEEL_SPAN = 256;

export class ExpectationTable {
  readonly capacity: number;
  /** Entry i begins at i × WORDS. */
  readonly words: Int32Array;
  /** Flows expected now. */
  count = 0;
  /** Expectations made, met by a flow, and not met in time; those not made because the table was full. */
  made = 0;
  used = 0;
  expired = 0;
  refused = 0;
  /** Told of each entry made here, and of each that is gone, while it can be read: it has met its flow, or not. */
  onMade: (entry: number) => void = () => undefined;
  onGone: (entry: number, isUsed: boolean) => void = () => undefined;
  private readonly index: HashIndex;
  private readonly wheel: TimerWheel;
  private readonly free: number[] = [];
  private readonly seed: number;
  private readonly key = new Tuple();
  private readonly giveBack: (mapping: number) => void;
  private readonly fire: (entry: number, tick: number) => number;

  /** @param giveBack told of each external port that no longer waits for a flow. */
  constructor(capacity: number, seed: number, giveBack: (mapping: number) => void) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity * WORDS);
    this.index = new HashIndex(capacity);
    this.wheel = new TimerWheel(capacity, WHEEL_SPAN);
    for (let entry = capacity - 1; entry >= 0; entry--) this.free.push(entry);
    this.seed = seed;
    this.giveBack = giveBack;
    this.fire = (entry, tick) => {
      const deadline = this.words[this.at(entry) + DEADLINE];
      if (deadline > tick) return deadline;
      this.expired++;
      this.release(entry, true);
      return 0;
    };
  }

  /** First word of an entry. */
  at(entry: number): number { return entry * WORDS; }

  /** The entry a flow's first packet meets, or NONE. */
  find(tuple: Tuple): number {
    if (this.count === 0) return NONE;
    const hash = this.hash(tuple);
    const { index, words } = this;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const entry = index.reference(slot);
      const at = this.at(entry);
      const ports = words[at + 8];
      if ((ports & 0xffff) !== (tuple.ports & 0xffff) || (ports >>> 16 !== 0 && ports !== tuple.ports)) continue;
      if (words[at + 3] === tuple.s3 && words[at + 7] === tuple.d3 && words[at + 9] === tuple.protocol
        && words[at + 2] === tuple.s2 && words[at + 6] === tuple.d2
        && words[at] === tuple.s0 && words[at + 1] === tuple.s1 && words[at + 4] === tuple.d0 && words[at + 5] === tuple.d1) return entry;
    }
    return NONE;
  }

  /**
   * Expect a flow. `arriving` with source port 0 matches every source port; `leaving` says how its first packet leaves (its source port is
   * not looked at). The entry takes over one use of `mapping`. Returns the entry, or NONE when the table is full: then `mapping` is
   * still the caller's. `isOurs`: an ALG here expects it, not another instance's.
   */
  make(
    arriving: Tuple, leaving: Tuple, control: number, direction: number, mapping: number, nowTick: number, timeout: number, isOurs = true,
  ): number {
    const same = this.find(arriving);
    if (same !== NONE && this.words[this.at(same) + 8] === arriving.ports) this.release(same, true);
    const entry = this.free.pop();
    if (entry === undefined) {
      this.refused++;
      return NONE;
    }
    const { words } = this;
    const at = this.at(entry);
    arriving.store(words, at + EXPECTED_ARRIVING);
    leaving.store(words, at + EXPECTED_LEAVING);
    words[at + EXPECTED_CONTROL] = control;
    words[at + EXPECTED_DIRECTION] = direction;
    words[at + EXPECTED_MAPPING] = mapping;
    words[at + DEADLINE] = nowTick + timeout;
    words[at + USED] = isOurs ? OURS : OTHERS;
    this.index.add(this.hash(arriving), entry);
    this.wheel.arm(entry, nowTick + timeout);
    this.count++;
    this.made++;
    if (isOurs) this.onMade(entry);
    return entry;
  }

  /** A flow has met the entry: it is gone, and its external port, if it held one, is the caller's. Returns that port, or NONE. */
  take(entry: number): number {
    const mapping = this.words[this.at(entry) + EXPECTED_MAPPING];
    this.used++;
    this.wheel.disarm(entry);
    this.release(entry, false);
    return mapping;
  }

  /** Another instance says that an entry is gone, whoever's it is: it has met its flow there, or was withdrawn. */
  withdraw(entry: number): void {
    this.words[this.at(entry) + USED] = OTHERS;
    this.release(entry, true);
  }

  isOurs(entry: number): boolean { return this.words[this.at(entry) + USED] === OURS; }

  /** Seconds until it expires. */
  leftS(entry: number, nowTick: number): number { return this.words[this.at(entry) + DEADLINE] - nowTick; }

  /** Withdraw an entry, if it is still one of this control flow's. */
  remove(entry: number, control: number): void {
    const at = this.at(entry);
    if (this.words[at + USED] === 0 || this.words[at + EXPECTED_CONTROL] !== control) return;
    this.release(entry, true);
  }

  /** Expire what is due, looking at no more than `budget` entries; false when more is due. */
  expire(nowTick: number, budget: number): boolean {
    return this.wheel.advance(nowTick, budget, this.fire);
  }

  private release(entry: number, givesBack: boolean): void {
    const { words } = this;
    const at = this.at(entry);
    this.wheel.disarm(entry);
    this.onGone(entry, !givesBack);
    this.key.load(words, at + EXPECTED_ARRIVING);
    this.index.remove(this.hash(this.key), entry);
    words[at + USED] = 0;
    this.free.push(entry);
    this.count--;
    if (givesBack && words[at + EXPECTED_MAPPING] !== NONE) this.giveBack(words[at + EXPECTED_MAPPING]);
  }

  private hash(tuple: Tuple): number {
    return finish(mix(mix(mix(mix(this.seed, tuple.s3), tuple.d3), tuple.ports & 0xffff), tuple.protocol));
  }
}
