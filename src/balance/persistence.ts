/**
 * Persistence: which real server the clients of a network come back to. An owner (a virtual server, or several that are tied) remembers a client by
 * the first bits of its address for as long as it has a flow, and for a time after the last one has ended.
 *
 * Shape: an entry is WORDS (16) int32 words: the owner, the client's network, the real server (NONE = whichever the next flow gets), the flows that
 * stand under it, when it ends, two references. One HashIndex finds it by owner and network; idle entries (no flow) stand in a list in the order in
 * which they became idle, and the wheel ends them.
 *
 *     hold ──▶ in use ──last flow ended──▶ idle ──timeout──▶ gone
 *                ▲                          │ └──room needed for another client (counted)──▶ gone
 *                └───────────hold───────────┘
 *
 * Bounded: limits.affinity entries. An entry in use is never taken away; when all are in use a new client's flows are not remembered, and counted.
 * That the server is dead or drained is nothing this table knows: who asks looks at it, and the client's next flow writes another one in.
 *
 * The entries may lie in shared memory, so that the control plane can list them.
 *
 * Cost: one look into the index when a flow opens, one when it is confirmed, one when it ends; nothing is allocated.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import type { Plan, VirtualServerPlan } from '../base/plan.js';
import { TimerWheel } from '../base/timer-wheel.js';
import { maskOf, V4_MAPPED } from '../wire/address.js';

const NONE = -1;

const WORDS = 16;
const OWNER = 4;
const SERVER = 5;
const FLOWS = 6;
/** Second (table time) it ends, once it is idle. */
const DEADLINE = 7;
/** Neighbours in the list of idle entries; NONE at its ends. A free entry names the next free one in NEWER. */
const NEWER = 8;
const OLDER = 9;
const USED = 10;
/** Bits of the address that count. */
const LENGTH = 11;
/** Seconds of the wheel; a longer timeout is asked again on the way. */
const WHEEL_SPAN = 1024;

export function persistenceBytes(capacity: number): number { return capacity * WORDS * 4; }

/** By virtual server: the number of who remembers for it, which those that are tied have in common; NONE = nobody. */
export function persistenceOwners(virtualServers: readonly VirtualServerPlan[]): number[] {
  const owners = new Map<string, number>();
  return virtualServers.map(({ index, persistence }) => {
    if (persistence === undefined) return NONE;
    // A name cannot begin with a blank: no tie is taken for a virtual server of its own.
    const name = persistence.tie ?? ` ${index}`;
    if (!owners.has(name)) owners.set(name, owners.size);
    return owners.get(name) as number;
  });
}

/** Entries there may be. A second limit of the same size as affinity's: what virtual servers remember leaves uplinks' affinity alone. */
export function persistenceCapacity({ virtualServers, limits }: Plan): number {
  return virtualServers.some(({ persistence }) => persistence !== undefined) ? limits.affinity : 0;
}

export interface PersistenceRow {
  owner: number;
  /** IPv4 (int32), and the bits of it that count. */
  network: number;
  length: number;
  server: number;
  /** Flows that stand under it. */
  flows: number;
  /** Second (table time) it ends unless a flow comes; null while it has one. */
  endsAtTick: number | null;
}

export class Persistence {
  /** Entries held. */
  count = 0;
  /** Idle entries that made room for another client before their end, and flows that could not be remembered. */
  evicted = 0;
  refused = 0;
  /** Told of each entry a person erases, while it can be read: owner, and where its network stands in `words`. */
  onErase: (owner: number, at: number) => void = () => undefined;
  readonly words: Int32Array;
  private readonly capacity: number;
  private readonly index: HashIndex;
  private readonly wheel: TimerWheel;
  private readonly seed: number;
  private readonly fire: (entry: number, tick: number) => number;
  private high = 0;
  private free = NONE;
  private newestIdle = NONE;
  private oldestIdle = NONE;

  /** @param memory of persistenceBytes(capacity) bytes. */
  constructor(capacity: number, seed: number, memory: ArrayBufferLike = new ArrayBuffer(persistenceBytes(capacity))) {
    this.capacity = capacity;
    this.words = new Int32Array(memory);
    this.index = new HashIndex(capacity);
    this.wheel = new TimerWheel(capacity, WHEEL_SPAN);
    this.seed = seed;
    this.fire = (entry, tick) => {
      const deadline = this.words[entry * WORDS + DEADLINE];
      if (deadline > tick) return deadline;
      this.release(entry);
      return 0;
    };
  }

  /** The real server the network of an address comes back to, or NONE. `a0` … `a3` are the words of the address, `length` the bits that count. */
  find(owner: number, a0: number, a1: number, a2: number, a3: number, length: number): number {
    const entry = this.look(owner, a0, a1, a2, masked(a2, a3, length));
    return entry === NONE ? NONE : this.words[entry * WORDS + SERVER];
  }

  /** A flow of that network stands under this real server from now on. False: there was no room, and nothing has been counted. */
  hold(owner: number, a0: number, a1: number, a2: number, a3: number, length: number, server: number): boolean {
    const { words } = this;
    const network = masked(a2, a3, length);
    let entry = this.look(owner, a0, a1, a2, network);
    if (entry === NONE) {
      entry = this.make(owner, a0, a1, a2, network, length);
      if (entry === NONE) return false;
    } else if (words[entry * WORDS + FLOWS] === 0) {
      this.unlink(entry);
      this.wheel.disarm(entry);
    }
    words[entry * WORDS + SERVER] = server;
    words[entry * WORDS + FLOWS]++;
    return true;
  }

  /** A flow that `hold` has counted has ended; its network is remembered for `timeout` seconds after the last one. The entry, when that was the last; else NONE. */
  drop(owner: number, a0: number, a1: number, a2: number, a3: number, length: number, nowTick: number, timeout: number): number {
    const entry = this.look(owner, a0, a1, a2, masked(a2, a3, length));
    const at = entry * WORDS;
    if (--this.words[at + FLOWS] > 0) return NONE;
    this.words[at + DEADLINE] = nowTick + timeout;
    this.link(entry);
    this.wheel.arm(entry, nowTick + timeout);
    return entry;
  }

  /** First word of an entry, that of its network; and its real server, or NONE. */
  at(entry: number): number { return entry * WORDS; }
  server(entry: number): number { return this.words[entry * WORDS + SERVER]; }

  /** Another instance remembers a network (four words), which has no flow any more, for so many seconds. What is in use here is known better here. */
  adopt(owner: number, network: Int32Array, length: number, server: number, nowTick: number, timeout: number): void {
    const { words } = this;
    let entry = this.look(owner, network[0], network[1], network[2], network[3]);
    if (entry !== NONE && words[entry * WORDS + FLOWS] > 0) return;
    if (entry === NONE) {
      entry = this.make(owner, network[0], network[1], network[2], network[3], length);
      if (entry === NONE) return;
    } else {
      this.unlink(entry);
    }
    words[entry * WORDS + SERVER] = server;
    words[entry * WORDS + DEADLINE] = nowTick + timeout;
    this.link(entry);
    this.wheel.arm(entry, nowTick + timeout);
  }

  /** Another instance has forgotten a network. */
  disown(owner: number, network: Int32Array): void {
    const entry = this.look(owner, network[0], network[1], network[2], network[3]);
    if (entry === NONE) return;
    if (this.words[entry * WORDS + FLOWS] > 0) this.words[entry * WORDS + SERVER] = NONE;
    else this.release(entry);
  }

  /** Forget the networks that hold an address (int32), or all: their next flow is scheduled anew. Returns how many entries that were. */
  erase(address: number | null): number {
    const { words } = this;
    let erased = 0;
    for (let entry = 0; entry < this.high; entry++) {
      const at = entry * WORDS;
      if (words[at + USED] === 0 || words[at + SERVER] === NONE || (address !== null && words[at + 3] !== masked(words[at + 2], address, words[at + LENGTH]))) continue;
      erased++;
      this.onErase(words[at + OWNER], at);
      if (words[at + FLOWS] > 0) words[at + SERVER] = NONE;
      else this.release(entry);
    }
    return erased;
  }

  /** End what is due, looking at no more than `budget` entries; false when more is due. */
  expire(nowTick: number, budget: number): boolean { return this.wheel.advance(nowTick, budget, this.fire); }

  private look(owner: number, a0: number, a1: number, a2: number, network: number): number {
    const { index, words } = this;
    const hash = this.hash(owner, a0, a1, a2, network);
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const entry = index.reference(slot);
      const at = entry * WORDS;
      if (words[at + 3] === network && words[at + OWNER] === owner && words[at + 2] === a2 && words[at + 1] === a1 && words[at] === a0) return entry;
    }
    return NONE;
  }

  private hash(owner: number, a0: number, a1: number, a2: number, network: number): number {
    const h = mix(mix(this.seed, network), owner);
    return finish(a2 === V4_MAPPED ? h : mix(mix(mix(h, a0), a1), a2));
  }

  /** A new entry, without a flow or a server yet; NONE: there was no room. */
  private make(owner: number, a0: number, a1: number, a2: number, network: number, length: number): number {
    const { words } = this;
    const entry = this.room();
    if (entry === NONE) {
      this.refused++;
      return NONE;
    }
    const at = entry * WORDS;
    words[at] = a0; words[at + 1] = a1; words[at + 2] = a2; words[at + 3] = network;
    words[at + OWNER] = owner;
    words[at + SERVER] = NONE;
    words[at + FLOWS] = 0;
    words[at + LENGTH] = length;
    words[at + USED] = 1;
    this.index.add(this.hash(owner, a0, a1, a2, network), entry);
    this.count++;
    return entry;
  }

  /** A place for a new entry, an idle one's if there is no other; NONE when all are in use. */
  private room(): number {
    if (this.free === NONE && this.high < this.capacity) return this.high++;
    if (this.free === NONE) {
      if (this.oldestIdle === NONE) return NONE;
      this.evicted++;
      this.release(this.oldestIdle);
    }
    const entry = this.free;
    this.free = this.words[entry * WORDS + NEWER];
    return entry;
  }

  /** An idle entry is gone. */
  private release(entry: number): void {
    const { words } = this;
    const at = entry * WORDS;
    this.unlink(entry);
    this.wheel.disarm(entry);
    this.index.remove(this.hash(words[at + OWNER], words[at], words[at + 1], words[at + 2], words[at + 3]), entry);
    words[at + USED] = 0;
    words[at + NEWER] = this.free;
    this.free = entry;
    this.count--;
  }

  private link(entry: number): void {
    const { words } = this;
    const { newestIdle } = this;
    words[entry * WORDS + NEWER] = NONE;
    words[entry * WORDS + OLDER] = newestIdle;
    if (newestIdle === NONE) this.oldestIdle = entry;
    else words[newestIdle * WORDS + NEWER] = entry;
    this.newestIdle = entry;
  }

  private unlink(entry: number): void {
    const { words } = this;
    const newer = words[entry * WORDS + NEWER], older = words[entry * WORDS + OLDER];
    if (newer === NONE) this.newestIdle = older;
    else words[newer * WORDS + OLDER] = older;
    if (older === NONE) this.oldestIdle = newer;
    else words[older * WORDS + NEWER] = newer;
  }
}

/** The last word of an address's network; of IPv6 the whole address counts. */
function masked(a2: number, a3: number, length: number): number { return a2 === V4_MAPPED ? a3 & maskOf(length) : a3; }

/** Every entry that leads to a server, read from another thread. One that changes meanwhile may show a mix of old and new for one reading. */
export function readPersistence(memory: ArrayBufferLike): PersistenceRow[] {
  const words = new Int32Array(memory);
  const rows: PersistenceRow[] = [];
  for (let at = 0; at < words.length; at += WORDS) {
    if (words[at + USED] === 0 || words[at + SERVER] === NONE || words[at + 2] !== V4_MAPPED) continue;
    const flows = words[at + FLOWS];
    rows.push({ owner: words[at + OWNER], network: words[at + 3], length: words[at + LENGTH], server: words[at + SERVER], flows, endsAtTick: flows > 0 ? null : words[at + DEADLINE] });
  }
  return rows;
}
