/**
 * Affinity: who comes back to the uplink it had. An owner (a group, or a policy with an affinity of its own) remembers by source, by destination
 * or by both which uplink the last new flow took, and for how long after it. In shared memory, so that the control plane can list it.
 *
 * Shape: an entry is WORDS (16) int32 words, 64 bytes, one cache line: the uplink + 1 (0 = free), the owner, the group of the uplink, two
 * addresses (the one that does not count is all zero), the moment it ends, two references. One HashIndex finds an entry by owner and addresses.
 *
 * Every owner has one timeout, so the order of use is the order of ending: each keeps its entries in a list, newest first, and what has ended
 * stands at its end. A new entry takes the place of one of its owner's that has ended; where there is none and the table is full, of another owner's;
 * and then, counted, of the entry longest out of use, whoever's it is.
 *
 * Cost of a pick with affinity: one look into the index, four stores to move the entry to the front. Room in a full table costs one step for each
 * owner. Erasing walks all entries there have been; it happens on request and when a better tier returns.
 */
import type { AffinityPlan } from '../base/plan.js';
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import { V4_MAPPED } from '../wire/address.js';
import type { Tuple } from '../wire/tuple.js';

const NONE = -1;

const WORDS = 16;
/** Uplink + 1; 0 = free. */
const TARGET = 0;
const OWNER = 1;
const GROUP = 2;
/** Second it ends as others were told of it last. */
const TOLD = 3;
const SOURCE = 4; // … 7
const DESTINATION = 8; // … 11
/** Float64 at a word pair: when it ends, milliseconds of the data plane's clock. */
const END = 12;
/** Its neighbours in the owner's list, + 1; a free entry names the next free one in OLDER. */
const NEWER = 14;
const OLDER = 15;

export function affinityBytes(capacity: number): number { return capacity * WORDS * 4; }

export interface AffinityRow {
  /** Number of the owner: groups by their index, then policies by theirs. */
  owner: number;
  uplink: number;
  /** int32, or null where it does not count. */
  source: number | null;
  destination: number | null;
  /** Milliseconds of the data plane's clock. */
  endsAtMs: number;
}

export class AffinityTable {
  /** Entries held, those that have ended but were not looked for since among them. */
  count = 0;
  /** Told of each entry that was made, or prolonged by a third of its life since the last time; and of each that was erased, while it can be read. Null = nobody is. */
  onKeep: ((entry: number) => void) | null = null;
  onErase: ((entry: number) => void) | null = null;
  readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly capacity: number;
  private readonly seed: number;
  private readonly index: HashIndex;
  /** By owner. */
  private readonly bySource: readonly boolean[];
  private readonly byDestination: readonly boolean[];
  private readonly timeoutMs: Float64Array;
  private readonly newest: Int32Array;
  private readonly oldest: Int32Array;
  private readonly onEvict: () => void;
  private high = 0;
  private free = NONE;
  /** Addresses asked for last. */
  private readonly key = new Int32Array(8);

  /** @param owners affinity of each owner, undefined = it has none. @param onEvict told of each entry that made room before its end. */
  constructor(memory: SharedArrayBuffer, capacity: number, owners: readonly (AffinityPlan | undefined)[], seed: number, onEvict: () => void) {
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.capacity = capacity;
    this.seed = seed;
    this.index = new HashIndex(capacity);
    this.bySource = owners.map((owner) => owner?.by !== 'destination');
    this.byDestination = owners.map((owner) => owner?.by !== 'source');
    this.timeoutMs = Float64Array.from(owners, (owner) => (owner?.timeout ?? 0) * 1000);
    this.newest = new Int32Array(owners.length).fill(NONE);
    this.oldest = new Int32Array(owners.length).fill(NONE);
    this.onEvict = onEvict;
  }

  /** The entry of an owner for a new flow, or NONE. */
  find(owner: number, tuple: Tuple, nowMs: number): number {
    const hash = this.ask(owner, tuple);
    for (let slot = this.index.first(hash); slot >= 0; slot = this.index.next(slot, hash)) {
      const entry = this.index.reference(slot);
      if (!this.is(entry, owner)) continue;
      if (this.doubles[(entry * WORDS + END) >> 1] > nowMs) return entry;
      this.forget(entry);
      return NONE;
    }
    return NONE;
  }

  uplink(entry: number): number { return this.words[entry * WORDS + TARGET] - 1; }

  /** A new flow has come back. */
  renew(entry: number, nowMs: number): void {
    const owner = this.words[entry * WORDS + OWNER];
    this.doubles[(entry * WORDS + END) >> 1] = nowMs + this.timeoutMs[owner];
    if (this.onKeep !== null) this.tell(entry, owner, nowMs);
    if (this.newest[owner] === entry) return;
    this.unlink(entry);
    this.linkFirst(entry);
  }

  private tell(entry: number, owner: number, nowMs: number): void {
    const endS = Math.floor((nowMs + this.timeoutMs[owner]) / 1000);
    if ((endS - this.words[entry * WORDS + TOLD]) * 3000 < this.timeoutMs[owner]) return;
    this.words[entry * WORDS + TOLD] = endS;
    (this.onKeep as (entry: number) => void)(entry);
  }

  owner(entry: number): number { return this.words[entry * WORDS + OWNER]; }
  group(entry: number): number { return this.words[entry * WORDS + GROUP]; }
  /** Where its two addresses stand in `words`. */
  addressesAt(entry: number): number { return entry * WORDS + SOURCE; }
  leftMs(entry: number, nowMs: number): number { return this.doubles[(entry * WORDS + END) >> 1] - nowMs; }

  /**
   * Another instance remembers an uplink for an owner and eight words of addresses, for so long. One that ends sooner than its neighbours in the list is
   * looked past until they have ended, too.
   */
  adopt(owner: number, group: number, uplink: number, addresses: Int32Array, leftMs: number, nowMs: number): void {
    const endMs = nowMs + Math.min(leftMs, this.timeoutMs[owner]);
    let entry = this.seek(owner, addresses);
    if (endMs <= nowMs || (entry !== NONE && this.doubles[(entry * WORDS + END) >> 1] >= endMs)) return;
    if (entry === NONE) {
      entry = this.room(owner, nowMs);
      if (entry === NONE) return;
      this.enter(entry, owner, addresses);
    }
    const at = entry * WORDS;
    this.words[at + GROUP] = group;
    this.doubles[(at + END) >> 1] = endMs;
    this.words[at + TOLD] = Math.floor(endMs / 1000);
    this.words[at + TARGET] = uplink + 1;
  }

  /** Another instance was told to forget it. */
  disown(owner: number, addresses: Int32Array): void {
    const entry = this.seek(owner, addresses);
    if (entry !== NONE) this.forget(entry);
  }

  /** The entry of these addresses, ended or not. */
  private seek(owner: number, addresses: Int32Array): number {
    this.key.set(addresses);
    const hash = this.hash(owner, addresses, 0);
    for (let slot = this.index.first(hash); slot >= 0; slot = this.index.next(slot, hash)) {
      const entry = this.index.reference(slot);
      if (this.is(entry, owner)) return entry;
    }
    return NONE;
  }

  private enter(entry: number, owner: number, addresses: Int32Array): void {
    this.words.set(addresses, entry * WORDS + SOURCE);
    this.words[entry * WORDS + OWNER] = owner;
    this.index.add(this.hash(owner, addresses, 0), entry);
    this.linkFirst(entry);
    this.count++;
  }

  /** A new flow of the owner took an uplink (of the group): the next ones are to follow it. */
  remember(owner: number, group: number, tuple: Tuple, uplink: number, nowMs: number): void {
    let entry = this.find(owner, tuple, nowMs);
    if (entry !== NONE) {
      this.words[entry * WORDS + TARGET] = uplink + 1;
      this.words[entry * WORDS + GROUP] = group;
      this.words[entry * WORDS + TOLD] = 0;
      this.renew(entry, nowMs);
      return;
    }
    entry = this.room(owner, nowMs);
    if (entry === NONE) return;
    const { words } = this;
    const at = entry * WORDS;
    this.ask(owner, tuple);
    this.enter(entry, owner, this.key);
    words[at + GROUP] = group;
    words[at + TOLD] = 0;
    this.doubles[(at + END) >> 1] = nowMs + this.timeoutMs[owner];
    // Last: from now on a reader sees it.
    words[at + TARGET] = uplink + 1;
    if (this.onKeep !== null) this.tell(entry, owner, nowMs);
  }

  /** Forget every entry with this address (int32), or all. Returns how many. */
  erase(address: number | null): number {
    const { words } = this;
    return this.eraseWhere((at) => address === null || (words[at + SOURCE + 2] === V4_MAPPED && words[at + SOURCE + 3] === address)
      || (words[at + DESTINATION + 2] === V4_MAPPED && words[at + DESTINATION + 3] === address));
  }

  /** Forget the entries that lead to some of a group's uplinks. Returns how many. */
  eraseUplinks(group: number, isUnwanted: (uplink: number) => boolean): number {
    const { words } = this;
    return this.eraseWhere((at) => words[at + GROUP] === group && isUnwanted(words[at + TARGET] - 1));
  }

  private eraseWhere(isUnwanted: (at: number) => boolean): number {
    let erased = 0;
    for (let entry = 0; entry < this.high; entry++) {
      if (this.words[entry * WORDS + TARGET] === 0 || !isUnwanted(entry * WORDS)) continue;
      if (this.onErase !== null) this.onErase(entry);
      this.forget(entry);
      erased++;
    }
    return erased;
  }

  /** Sets `key` to what counts of a tuple for the owner and returns its hash. */
  private ask(owner: number, tuple: Tuple): number {
    const { key } = this;
    const hasSource = this.bySource[owner], hasDestination = this.byDestination[owner];
    key[0] = hasSource ? tuple.s0 : 0; key[1] = hasSource ? tuple.s1 : 0; key[2] = hasSource ? tuple.s2 : 0; key[3] = hasSource ? tuple.s3 : 0;
    key[4] = hasDestination ? tuple.d0 : 0; key[5] = hasDestination ? tuple.d1 : 0; key[6] = hasDestination ? tuple.d2 : 0; key[7] = hasDestination ? tuple.d3 : 0;
    return this.hash(owner, key, 0);
  }

  private hash(owner: number, words: Int32Array, at: number): number {
    let h = mix(this.seed, owner);
    for (let i = 0; i < 8; i++) h = mix(h, words[at + i]);
    return finish(h);
  }

  private is(entry: number, owner: number): boolean {
    const { words, key } = this;
    const at = entry * WORDS;
    if (words[at + OWNER] !== owner) return false;
    for (let i = 0; i < 8; i++) if (words[at + SOURCE + i] !== key[i]) return false;
    return true;
  }

  /** A place for a new entry; NONE only when the table has none at all. */
  private room(owner: number, nowMs: number): number {
    this.forgetEnded(owner, nowMs);
    if (this.count === this.capacity) {
      for (let other = 0; other < this.oldest.length && this.count === this.capacity; other++) this.forgetEnded(other, nowMs);
    }
    if (this.count === this.capacity && !this.evict()) return NONE;
    const entry = this.free;
    if (entry === NONE) return this.high++;
    this.free = this.words[entry * WORDS + OLDER] - 1;
    return entry;
  }

  /** Forget the oldest entry of an owner if it has ended. */
  private forgetEnded(owner: number, nowMs: number): boolean {
    const entry = this.oldest[owner];
    if (entry === NONE || this.doubles[(entry * WORDS + END) >> 1] > nowMs) return false;
    this.forget(entry);
    return true;
  }

  /** Forget the entry longest out of use. */
  private evict(): boolean {
    let longest = NONE;
    let usedAtMs = Infinity;
    for (let owner = 0; owner < this.oldest.length; owner++) {
      const entry = this.oldest[owner];
      if (entry === NONE) continue;
      const atMs = this.doubles[(entry * WORDS + END) >> 1] - this.timeoutMs[owner];
      if (atMs < usedAtMs) {
        usedAtMs = atMs;
        longest = entry;
      }
    }
    if (longest === NONE) return false;
    this.forget(longest);
    this.onEvict();
    return true;
  }

  private forget(entry: number): void {
    const { words } = this;
    const at = entry * WORDS;
    this.index.remove(this.hash(words[at + OWNER], words, at + SOURCE), entry);
    this.unlink(entry);
    words[at + TARGET] = 0;
    words[at + OLDER] = this.free + 1;
    this.free = entry;
    this.count--;
  }

  private linkFirst(entry: number): void {
    const { words } = this;
    const owner = words[entry * WORDS + OWNER];
    const next = this.newest[owner];
    words[entry * WORDS + NEWER] = 0;
    words[entry * WORDS + OLDER] = next + 1;
    if (next === NONE) this.oldest[owner] = entry;
    else words[next * WORDS + NEWER] = entry + 1;
    this.newest[owner] = entry;
  }

  private unlink(entry: number): void {
    const { words } = this;
    const owner = words[entry * WORDS + OWNER];
    const newer = words[entry * WORDS + NEWER] - 1, older = words[entry * WORDS + OLDER] - 1;
    if (newer === NONE) this.newest[owner] = older;
    else words[newer * WORDS + OLDER] = older + 1;
    if (older === NONE) this.oldest[owner] = newer;
    else words[older * WORDS + NEWER] = newer + 1;
  }
}

/** Every entry that has not ended, read from another thread. One that changes meanwhile may show a mix of old and new for one reading. */
export function readAffinity(memory: SharedArrayBuffer, nowMs: number): AffinityRow[] {
  const words = new Int32Array(memory);
  const doubles = new Float64Array(memory);
  const rows: AffinityRow[] = [];
  for (let at = 0; at < words.length; at += WORDS) {
    const uplink = words[at + TARGET] - 1;
    const endsAtMs = doubles[(at + END) >> 1];
    if (uplink === NONE || endsAtMs <= nowMs) continue;
    const address = (from: number): number | null => (words[from + 2] === V4_MAPPED ? words[from + 3] : null);
    rows.push({ owner: words[at + OWNER], uplink, source: address(at + SOURCE), destination: address(at + DESTINATION), endsAtMs });
  }
  return rows;
}
