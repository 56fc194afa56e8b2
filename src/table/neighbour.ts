/**
 * Neighbours: which MAC address an IP address has on a link, learned by ARP, and the packets that wait for the answer.
 *
 *   (none) --packet to send--> INCOMPLETE --answer--> REACHABLE --reachable time--> STALE --packet to send--> PROBE
 *                                  | 3 broadcasts,        ^                                                   | 3 unicasts,
 *                                  | 1 s apart            +--------------------- answer ----------------------+ 1 s apart
 *                                  v                                                                          v
 *                                FAILED <---------------------------------------------------------------------+
 *
 * After RFC 1122 §2.3.2.1 (unicast poll before an entry is given up) and §2.3.2.2 (a packet waits rather than being dropped), with the
 * states of RFC 4861 §7.3. That something sent by way of it was answered confirms it as well (RFC 1122 §2.3.2.1 (4), RFC 4861 §7.3.1). A FAILED entry refuses packets for FAILED_MS, then is asked for again: so a dead host costs one
 * request a few seconds, and the sender is told each time. An unused STALE entry is forgotten after the stale time.
 *
 * An entry that was configured (`fix`) is REACHABLE for good: nothing ages it, what ARP says of it is not believed (a forger cannot move it), and it
 * outlives its link's going down.
 *
 * The table decides and counts; what is to be sent (requests, waiting packets) it hands to its owner through NeighbourActions,
 * so that it needs to know nothing of links. Times are milliseconds of the data plane's clock.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';

export const INCOMPLETE = 1;
export const REACHABLE = 2;
export const STALE = 3;
export const PROBE = 4;
export const FAILED = 5;

/** Only for readers: to the data plane a neighbour that was configured is one that is always reachable. */
const PERMANENT = 6;

export const NEIGHBOUR_STATES = ['free', 'incomplete', 'reachable', 'stale', 'probe', 'failed', 'permanent'] as const;

const NONE = -1;
const RETRY_MS = 1000;
const TRIES = 3;
const FAILED_MS = 3000;
/** In SENT: the entry was configured, and neither ages nor learns. */
const FIXED = -1;

/** Words per entry in shared memory. */
const WORDS = 16;
const STATE = 0;
const LINK = 1;
const A0 = 2; // … 5: address
const A3 = 5;
const MAC_HIGH = 6;
const MAC_LOW = 7;
const QUEUED = 8;
const SENT = 9;
/** Float64 at word pairs: when it was last confirmed, when something is due. */
const CONFIRMED = 10;
const DUE = 12;
/** When a packet last went to it. */
const USED = 14;

export function neighbourTableBytes(capacity: number): number { return capacity * WORDS * 4; }

export interface NeighbourActions {
  /** Ask for `address` on `link`; unicast to the MAC known so far when `unicast`. */
  solicit(link: number, address: number, unicast: boolean, macHigh: number, macLow: number): void;
  /** The packets waiting for this entry may go. */
  answered(entry: number): void;
  /** The packets waiting for this entry will never go. */
  failed(entry: number): void;
  /** The entry's MAC address is another one now, or the entry is about to be forgotten. */
  changed(entry: number): void;
}

export interface NeighbourRow {
  link: number; address: number; macHigh: number; macLow: number; state: number; queued: number; confirmedAtMs: number;
}

export class NeighbourTable {
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly index: HashIndex;
  private readonly capacity: number;
  private readonly seed: number;
  private readonly reachableMs: number;
  private readonly staleMs: number;
  private readonly actions: NeighbourActions;
  private high = 0;
  private count = 0;
  /** The earliest moment anything is due. */
  private dueAtMs = Infinity;

  constructor(memory: SharedArrayBuffer, capacity: number, seed: number, reachableMs: number, staleMs: number, actions: NeighbourActions) {
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.index = new HashIndex(capacity);
    this.capacity = capacity;
    this.seed = seed;
    this.reachableMs = reachableMs;
    this.staleMs = staleMs;
    this.actions = actions;
  }

  /** When `tick` wants to be called next. */
  get nextDueMs(): number { return this.dueAtMs; }

  find(link: number, a0: number, a1: number, a2: number, a3: number): number {
    const words = this.words;
    const hash = this.hash(link, a0, a1, a2, a3);
    for (let slot = this.index.first(hash); slot >= 0; slot = this.index.next(slot, hash)) {
      const entry = this.index.reference(slot);
      if (this.is(entry, link, a0, a1, a2, a3) && words[entry * WORDS + STATE] !== 0) return entry;
    }
    return NONE;
  }

  /** True when entry is this neighbour: checks a flow's hint. */
  is(entry: number, link: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const words = this.words;
    const at = entry * WORDS;
    return words[at + A3] === a3 && words[at + LINK] === link && words[at + A0 + 2] === a2 && words[at + A0] === a0 && words[at + A0 + 1] === a1
      && words[at + STATE] !== 0;
  }

  /** True while a question about this neighbour waits for its answer. */
  isAsked(link: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const entry = this.find(link, a0, a1, a2, a3);
    return entry !== NONE && (this.words[entry * WORDS + STATE] === INCOMPLETE || this.words[entry * WORDS + STATE] === PROBE);
  }

  state(entry: number): number { return this.words[entry * WORDS + STATE]; }
  macHigh(entry: number): number { return this.words[entry * WORDS + MAC_HIGH]; }
  macLow(entry: number): number { return this.words[entry * WORDS + MAC_LOW]; }
  address(entry: number): number { return this.words[entry * WORDS + A3]; }
  link(entry: number): number { return this.words[entry * WORDS + LINK]; }
  queued(entry: number): number { return this.words[entry * WORDS + QUEUED]; }
  addQueued(entry: number, by: number): void { this.words[entry * WORDS + QUEUED] += by; }

  /** A new INCOMPLETE entry that has been asked for once; NONE when the table is full even of those in use. */
  solicit(link: number, a0: number, a1: number, a2: number, a3: number, nowMs: number): number {
    const entry = this.make(link, a0, a1, a2, a3);
    if (entry === NONE) return NONE;
    this.enter(entry, INCOMPLETE, nowMs, nowMs + RETRY_MS);
    this.words[entry * WORDS + SENT] = 1;
    this.actions.solicit(link, a3, false, 0, 0);
    return entry;
  }

  /** Enter a neighbour that was configured; false when the table is full. */
  fix(link: number, address: number, macHigh: number, macLow: number, v4Mapped: number, nowMs: number): boolean {
    const entry = this.make(link, 0, 0, v4Mapped, address);
    if (entry === NONE) return false;
    this.setMac(entry, macHigh, macLow);
    this.enter(entry, REACHABLE, nowMs, Infinity);
    this.words[entry * WORDS + SENT] = FIXED;
    return true;
  }

  /** A packet is about to use the entry. True when its MAC address may be used; a stale entry is checked on the way. */
  use(entry: number, nowMs: number): boolean {
    const at = entry * WORDS;
    const state = this.words[at + STATE];
    if (state === INCOMPLETE || state === FAILED) {
      if (state === FAILED && (this.words[at + SENT] === 0 || nowMs >= this.doubles[(at + DUE) >> 1])) this.askAgain(entry, nowMs);
      return false;
    }
    if (state === STALE) this.probe(entry, nowMs);
    this.doubles[(at + USED) >> 1] = nowMs;
    return true;
  }

  /**
   * Find out whether a neighbour is there although no packet wants it: ask again for one that failed (packets for it are refused all the
   * while), check one that is stale.
   */
  ask(entry: number, nowMs: number): void {
    const at = entry * WORDS;
    if (this.words[at + STATE] === FAILED) this.actions.solicit(this.words[at + LINK], this.words[at + A3], false, 0, 0);
    else if (this.words[at + STATE] === STALE) this.probe(entry, nowMs);
  }

  /** A stale entry is used on, while its owner is asked, by unicast, whether it is still there. */
  private probe(entry: number, nowMs: number): void {
    const at = entry * WORDS;
    this.enter(entry, PROBE, this.doubles[(at + CONFIRMED) >> 1], nowMs + RETRY_MS);
    this.words[at + SENT] = 1;
    this.actions.solicit(this.words[at + LINK], this.words[at + A3], true, this.words[at + MAC_HIGH], this.words[at + MAC_LOW]);
  }

  private askAgain(entry: number, nowMs: number): void {
    const at = entry * WORDS;
    this.enter(entry, INCOMPLETE, nowMs, nowMs + RETRY_MS);
    this.words[at + SENT] = 1;
    this.actions.solicit(this.words[at + LINK], this.words[at + A3], false, 0, 0);
  }

  /**
   * What an ARP packet says about its sender (RFC 826): an entry we have is updated, by an answer to our own question (`isAnswer`) also
   * confirmed; a new one is made only when the packet was for us (`isForUs`).
   */
  learn(link: number, address: number, macHigh: number, macLow: number, isAnswer: boolean, isForUs: boolean, v4Mapped: number, nowMs: number): void {
    let entry = this.find(link, 0, 0, v4Mapped, address);
    if (entry === NONE) {
      if (!isForUs) return;
      entry = this.make(link, 0, 0, v4Mapped, address);
      if (entry === NONE) return;
      this.setMac(entry, macHigh, macLow);
      this.enter(entry, STALE, nowMs, nowMs + this.staleMs);
      return;
    }
    const at = entry * WORDS;
    if (this.words[at + SENT] === FIXED) return;
    const state = this.words[at + STATE];
    const isSame = this.words[at + MAC_HIGH] === macHigh && this.words[at + MAC_LOW] === macLow;
    const waits = state === INCOMPLETE || state === FAILED;
    if (!isAnswer && !waits && isSame) return;
    this.setMac(entry, macHigh, macLow);
    if (!isSame) this.actions.changed(entry);
    if (isAnswer || waits) this.enter(entry, REACHABLE, nowMs, nowMs + this.reachableMs);
    else this.enter(entry, STALE, nowMs, nowMs + this.staleMs);
    if (waits) this.actions.answered(entry);
  }

  /**
   * What was sent to this neighbour has been answered from where it was going: the neighbour is there, whatever has become of the question that may
   * be under way. Who answers again after a silence is else given up for a question that fell into the silence.
   */
  confirm(link: number, a0: number, a1: number, a2: number, a3: number, nowMs: number): void {
    const entry = this.find(link, a0, a1, a2, a3);
    if (entry === NONE) return;
    const state = this.words[entry * WORDS + STATE];
    if (state === PROBE || state === STALE) this.enter(entry, REACHABLE, nowMs, nowMs + this.reachableMs);
  }

  private setMac(entry: number, macHigh: number, macLow: number): void {
    this.words[entry * WORDS + MAC_HIGH] = macHigh;
    this.words[entry * WORDS + MAC_LOW] = macLow;
  }

  /** Do what is due: repeat questions, give up, age, forget. */
  tick(nowMs: number): void {
    if (nowMs < this.dueAtMs) return;
    let next = Infinity;
    for (let entry = 0; entry < this.high; entry++) {
      const at = entry * WORDS;
      if (this.words[at + STATE] === 0) continue;
      if (this.doubles[(at + DUE) >> 1] <= nowMs) this.due(entry, nowMs);
      if (this.words[at + STATE] !== 0) next = Math.min(next, this.doubles[(at + DUE) >> 1]);
    }
    this.dueAtMs = next;
  }

  private due(entry: number, nowMs: number): void {
    const at = entry * WORDS;
    const words = this.words;
    const confirmed = this.doubles[(at + CONFIRMED) >> 1];
    switch (words[at + STATE]) {
      case REACHABLE:
        this.enter(entry, STALE, confirmed, nowMs + this.staleMs);
        break;
      case INCOMPLETE:
      case PROBE: {
        if (words[at + SENT] < TRIES) {
          words[at + SENT]++;
          this.doubles[(at + DUE) >> 1] = nowMs + RETRY_MS;
          const unicast = words[at + STATE] === PROBE;
          this.actions.solicit(words[at + LINK], words[at + A3], unicast, words[at + MAC_HIGH], words[at + MAC_LOW]);
        } else {
          this.enter(entry, FAILED, confirmed, nowMs + FAILED_MS);
          this.actions.failed(entry);
        }
        break;
      }
      case FAILED:
        // It may be asked for again (SENT 0); shown as failed until then, and forgotten when nobody asks.
        words[at + SENT] = 0;
        if (nowMs >= confirmed + this.staleMs) this.forget(entry);
        else this.doubles[(at + DUE) >> 1] = Math.max(nowMs + RETRY_MS, confirmed + this.staleMs);
        break;
      case STALE:
        this.forget(entry);
        break;
    }
  }

  /** Forget every neighbour of a link (it went down) but those configured. Waiting packets are given up. */
  flush(link: number): void {
    for (let entry = 0; entry < this.high; entry++) {
      const at = entry * WORDS;
      if (this.words[at + STATE] === 0 || this.words[at + LINK] !== link || this.words[at + SENT] === FIXED) continue;
      if (this.words[at + QUEUED] > 0) this.actions.failed(entry);
      this.forget(entry);
    }
  }

  private enter(entry: number, state: number, confirmedAtMs: number, dueAtMs: number): void {
    const at = entry * WORDS;
    this.words[at + STATE] = state;
    this.doubles[(at + CONFIRMED) >> 1] = confirmedAtMs;
    this.doubles[(at + DUE) >> 1] = dueAtMs;
    if (dueAtMs < this.dueAtMs) this.dueAtMs = dueAtMs;
  }

  private make(link: number, a0: number, a1: number, a2: number, a3: number): number {
    let entry = NONE;
    if (this.count < this.capacity) {
      entry = this.high < this.capacity ? this.high++ : this.firstFree();
    } else {
      entry = this.evict();
    }
    if (entry === NONE) return NONE;
    const at = entry * WORDS;
    this.words.fill(0, at, at + WORDS);
    this.words[at + LINK] = link;
    this.words[at + A0] = a0; this.words[at + A0 + 1] = a1; this.words[at + A0 + 2] = a2; this.words[at + A3] = a3;
    this.index.add(this.hash(link, a0, a1, a2, a3), entry);
    this.count++;
    return entry;
  }

  /** A forgotten entry; not while packets for its old owner still wait under its number. */
  private firstFree(): number {
    for (let entry = 0; entry < this.capacity; entry++) {
      if (this.words[entry * WORDS + STATE] === 0 && this.words[entry * WORDS + QUEUED] === 0) return entry;
    }
    return NONE;
  }

  /**
   * Room for a new entry at the cost of the stale or failed one longest out of use. One that is asked for or known to be there stays: or
   * else whoever scans a subnet would push the gateway out.
   */
  private evict(): number {
    let oldest = NONE;
    let oldestAtMs = Infinity;
    for (let entry = 0; entry < this.capacity; entry++) {
      const at = entry * WORDS;
      const state = this.words[at + STATE];
      if ((state !== STALE && state !== FAILED) || this.words[at + QUEUED] > 0) continue;
      const usedAtMs = Math.max(this.doubles[(at + USED) >> 1], this.doubles[(at + CONFIRMED) >> 1]);
      if (usedAtMs < oldestAtMs) {
        oldestAtMs = usedAtMs;
        oldest = entry;
      }
    }
    if (oldest !== NONE) this.forget(oldest);
    return oldest;
  }

  private forget(entry: number): void {
    const at = entry * WORDS;
    const words = this.words;
    this.actions.changed(entry);
    this.index.remove(this.hash(words[at + LINK], words[at + A0], words[at + A0 + 1], words[at + A0 + 2], words[at + A3]), entry);
    words[at + STATE] = 0;
    this.count--;
  }

  private hash(link: number, a0: number, a1: number, a2: number, a3: number): number {
    return finish(mix(mix(mix(mix(mix(this.seed, a3), link), a2), a1), a0));
  }
}

/** Every neighbour, read from another thread. An entry that changes meanwhile may show a mix of old and new for one reading. */
export function readNeighbours(memory: SharedArrayBuffer, capacity: number): NeighbourRow[] {
  const words = new Int32Array(memory);
  const doubles = new Float64Array(memory);
  const rows: NeighbourRow[] = [];
  for (let entry = 0; entry < capacity; entry++) {
    const at = entry * WORDS;
    if (words[at + STATE] === 0) continue;
    rows.push({
      link: words[at + LINK], address: words[at + A3], macHigh: words[at + MAC_HIGH], macLow: words[at + MAC_LOW],
      state: words[at + SENT] === FIXED ? PERMANENT : words[at + STATE], queued: words[at + QUEUED], confirmedAtMs: doubles[(at + CONFIRMED) >> 1],
    });
  }
  return rows;
}
