/**
 * The external ports of one translation address and one protocol (for ICMP: identifiers).
 *
 * Theory of operation. A mapping binds an internal endpoint (address and port) to one external port for as long as anything uses it: a flow
 * from inside, a flow that was let in through it, an expectation. Endpoint-independent (RFC 4787 REQ-1, RFC 5382 REQ-1) it serves
 * every destination; dependent, its key holds the far endpoint too. No external port ever serves two mappings (RFC 4787 REQ-3).
 * A mapping's record is numbered by its port:
 *
 *               take                 last user gone
 *      FREE ───────────▶ LIVE ───────────────────────▶ QUARANTINED ──┐ time over: sweep
 *        ▲                ▲ │ ended clean: no quarantine   │          │
 *        │                │ └──────────────┐               │          │
 *        │                └── retain: its own endpoint again┘          │
 *        └─────────────────────────────────┴──────────────────────────┘
 *
 * A freed port rests for a time, so that what is still on its way to the old endpoint reaches nobody else (RFC 6888 REQ-8). The endpoint
 * itself may have it back at once. The queue of resting ports is in the order of their freeing; a few are looked at whenever a port is
 * picked. Nothing ever takes a resting port early: who finds none free shares one or is refused (stage/mapping.ts).
 *
 * Choice. The internal port itself where it is free and in the range (port preservation); else a free one of a random word of the bitmap
 * (RFC 6056 §3.3.1). A few words are drawn anew, so that a crowd of taken ports does not make the first free one behind it likelier than
 * others; with next to none free, the next word that has one is found by a summary, a bit a word: at worst 65 of its words are looked at.
 * Services' ports stay services' ports: an internal port below 1024
 * becomes one of 512 … 1023 while there are any, any other one is never below `first` (RFC 4787 REQ-3a). UDP keeps parity while there is a free
 * port of it (RFC 4787 REQ-4). Identifiers know neither.
 *
 * Ports of port forwards are fixed: only the endpoint they lead to gets them.
 *
 * Leases. A pool is `whole`, or `leased`: then other instances map to the same address, and a port is handed out only while the block it is in is usable,
 * that is, leased to this instance (table/port-lease.ts says which are). The bitmap `closed` is `taken` and all ports of blocks that
 * are not usable; a whole pool has one bitmap for both, so that it pays nothing. What a lease does not touch: a port in use stays in
 * use and one that rests goes on resting when its block is lost, and both come to be free, but not to be had, until the block is usable again; but who has
 * lost the block revives no resting port of it. `claim` takes a port whoever's block it is in, for a flow that another instance began.
 * Services' blocks are leased like others: while none is usable a service's port becomes an ordinary one, as when none is free. Fixed ports are nobody's lease:
 * every instance has the same port forwards, and whichever maps the endpoint behind one maps it to the very same port.
 *
 * Per block a leased pool counts, for the share worker to read (table/lease-board.ts), ports in use, ports at rest, and flows that share one.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import type { Random } from '../base/random.js';
import { V4_MAPPED } from '../wire/address.js';
import type { Tuple } from '../wire/tuple.js';
import { BLOCK_LIVE, BLOCK_RESTING, BLOCK_SHARED, POOL_FREE, POOL_MADE, POOL_SERVICES_WANTED } from './lease-board.js';
import type { LeaseBoard } from './lease-board.js';

const NONE = -1;
/** Words per record, one cache line: internal address (4) and port, far address (4) and port, and what follows. */
const RECORD_WORDS = 16;
const PORT = 4;
const FAR = 5; // … 8
/** NONE for an endpoint-independent mapping. */
const FAR_PORT = 9;
const USERS = 10;
const STATE = 11;
const NEXT = 12;
const PREVIOUS = 13;
/** Second (table time) it was freed. */
const FREED = 14;
/** Number of its owner's: the uplink it was made for. */
const OWNER = 15;

const FREE = 0;
const LIVE = 1;
const QUARANTINED = 2;
/** Beside the state: a user went otherwise than cleanly. */
const UNCLEAN = 4;
const STATE_MASK = 3;

/** RFC 4787 REQ-3a: internal ports below the end become external ones from the first on. Those below 512 are left to the router's own services. */
const SERVICES_FIRST = 512;
const SERVICES_END = 1024;
/** Bits of even ports in a word of the bitmap. */
const EVEN = 0x55555555;
/** Words drawn before the summary is asked: with nine words in ten full, 3 % of the choices come to that. */
const DRAWS = 32;
/** Resting ports looked at per port picked: more than one, so that the queue gets shorter. */
const SWEEP_BUDGET = 4;

/** Fill levels that are told of, in percent, and the ones below which they are told of again. */
const WARN_PERCENT = [80, 95];
const REARM_PERCENT = [75, 90];
const NEVER = 0x7fffffff;

export interface PortRules {
  /** Ports below 1024 are kept apart (TCP, UDP). */
  hasServices: boolean;
  /** Even ports become even ones and odd ones odd (UDP). */
  keepsParity: boolean;
  /** Seconds a freed port rests. */
  quarantine: number;
}

/** Where a leased pool counts: its address's row and its protocol's column on the board. It begins without a usable block. */
export interface PoolLease { board: LeaseBoard; row: number; column: number }

export class PortPool {
  readonly first: number;
  readonly last: number;
  /** Ports that can be handed out. */
  size: number;
  /** Ports in use. */
  used = 0;
  /** Ports that rest. */
  quarantined = 0;
  /** Times no port was free, and times one was shared for want of it. */
  exhausted = 0;
  shared = 0;
  private readonly hasServices: boolean;
  private readonly keepsParity: boolean;
  private readonly quarantine: number;
  private readonly records = new Int32Array(65536 * RECORD_WORDS);
  /** Bit p = port p is in use, resting, fixed, or of no range. */
  private readonly taken = new Int32Array(2048).fill(-1);
  /** Bit p = port p is not to be handed out: taken, or of a block that is not usable. The very same array in a whole pool. */
  private readonly closed: Int32Array;
  /** Bit w = word w of `closed` has a free even port; and the same for odd ones. */
  private readonly openEven = new Int32Array(64);
  private readonly openOdd = new Int32Array(64);
  private readonly index = new HashIndex(65536);
  private readonly random: Random;
  private readonly seed: number;
  /** Port forwards: inside address (v4), first inside port, first external port, how many. */
  private readonly fixed: { address: number; port: number; external: number; count: number }[] = [];
  /** Ends of the queue of resting ports. */
  private oldest = NONE;
  private newest = NONE;
  /** Of other instances at the same time as well. */
  readonly isLeased: boolean;
  /** The board's words, and where this pool's section of them begins. */
  private readonly board: LeaseBoard | null;
  private readonly section: number;
  /** A block has 1 << blockShift ports. */
  private readonly blockShift: number;
  /** By block: 1 = its ports may be handed out; and those that are, in no order. */
  private readonly usable: Uint8Array;
  private readonly usableBlocks: number[] = [];
  /** Free ports of usable blocks. */
  private open = 0;
  /** There may be more blocks to be had: running low is the share worker's to care for, and no news. */
  private grows: boolean;
  /** Levels of WARN_PERCENT that have been told of; ports taken at which the next one is, and below which the last one is armed again. */
  private level = 0;
  private warnAt = 0;
  private rearmBelow = 0;

  /** @param first, last ports handed out, both included. @param lease absent = a whole pool. */
  constructor(
    first: number, last: number, random: Random, rules: PortRules = { hasServices: false, keepsParity: false, quarantine: 0 }, lease: PoolLease | null = null,
  ) {
    this.isLeased = lease !== null;
    this.board = lease === null ? null : lease.board;
    this.section = lease === null ? 0 : lease.board.section(lease.row, lease.column);
    this.closed = lease === null ? this.taken : new Int32Array(2048).fill(-1);
    this.blockShift = lease === null ? 16 : 16 - Math.log2(lease.board.blocks);
    this.usable = new Uint8Array(lease === null ? 0 : lease.board.blocks);
    this.grows = lease !== null;
    this.first = first;
    this.last = last;
    this.random = random;
    this.seed = random.next();
    this.hasServices = rules.hasServices && first >= SERVICES_END;
    this.keepsParity = rules.keepsParity;
    this.quarantine = rules.quarantine;
    this.size = lease !== null ? 0 : last - first + 1 + (this.hasServices ? SERVICES_END - SERVICES_FIRST : 0);
    this.offer(first, last);
    if (this.hasServices) this.offer(SERVICES_FIRST, SERVICES_END - 1);
    this.setLevel(0);
    if (lease !== null) this.lead(POOL_MADE, 1);
  }

  /** Ports not free: in use or resting. Of a leased pool: of those that could be handed out. */
  get occupied(): number { return !this.isLeased ? this.used + this.quarantined : this.size - this.open; }
  get resting(): number { return !this.isLeased ? this.quarantined : Math.min(this.quarantined, this.size - this.open); }

  /** Free ordinary ports that may be handed out now. */
  get free(): number { return this.board === null ? this.size - this.used - this.quarantined : this.board.words[this.section + POOL_FREE]; }

  /** True when a port may be handed out as far as leases go. */
  isUsable(port: number): boolean { return !this.isLeased || this.usable[port >>> this.blockShift] === 1; }

  /** Ports of a block of a leased pool may be handed out from now on, or not any more. */
  setUsable(block: number, isUsable: boolean): void {
    if (this.usable[block] === (isUsable ? 1 : 0)) return;
    this.usable[block] = isUsable ? 1 : 0;
    if (isUsable) this.usableBlocks.push(block);
    else this.usableBlocks.splice(this.usableBlocks.indexOf(block), 1);
    const { taken, closed, openEven, openOdd } = this;
    const from = block << this.blockShift;
    const to = (block + 1) << this.blockShift;
    let ordinary = 0;
    let all = 0;
    for (let word = from >>> 5; word < to >>> 5; word++) {
      const free = ~taken[word];
      closed[word] = isUsable ? taken[word] : -1;
      const bit = 1 << (word & 31);
      const group = word >>> 5;
      openEven[group] &= ~bit;
      openOdd[group] &= ~bit;
      if (free === 0) continue;
      if (isUsable && (free & EVEN) !== 0) openEven[group] |= bit;
      if (isUsable && (free & ~EVEN) !== 0) openOdd[group] |= bit;
      for (let rest = free; rest !== 0; rest &= rest - 1) {
        all++;
        if ((word << 5) + 31 - Math.clz32(rest & -rest) >= this.first) ordinary++;
      }
    }
    const sign = isUsable ? 1 : -1;
    this.open += sign * all;
    this.lead(POOL_FREE, sign * ordinary);
    this.size += sign * this.sizeOf(from, to - 1);
    this.setLevel(Math.min(this.level, this.levelOf(REARM_PERCENT)));
  }

  /** Whether there may be more blocks to be had than are usable now: only where there are none it is told that ports run low. */
  setGrows(grows: boolean): void { this.grows = grows; }

  /** A flow begins or ends to share a port. */
  countShared(port: number, by: number): void {
    if (this.isLeased) this.count(port, BLOCK_SHARED, by);
  }

  /** Set a port forward's ports aside: they belong to the inside endpoints they lead to. Before anything is handed out. */
  fix(address: number, port: number, external: number, count: number): void {
    this.fixed.push({ address, port, external, count });
    for (let i = external; i < external + count; i++) {
      if (this.isTaken(i)) continue;
      this.mark(i);
      if (this.isUsable(i) && this.isInRange(i)) this.size--;
    }
    this.setLevel(0);
  }

  /** Set a free port aside for good, for what the router itself sends; NONE when there is none. No endpoint gets it: it is as fixed as one of nobody's. */
  reserve(nowTick: number): number {
    this.sweep(nowTick, this.quarantined);
    const port = this.choose(this.last, false);
    if (port === NONE) return NONE;
    this.fix(0, port, port, 1);
    // Its block stays ours: it is never empty.
    if (this.isLeased) this.count(port, BLOCK_LIVE, 1);
    return port;
  }

  /** The port the source of `tuple` is mapped to (towards its destination, for dependent mapping), in use or else resting, or NONE. */
  find(tuple: Tuple, isDependent: boolean): number {
    const hash = isDependent ? this.hashBoth(tuple) : this.hashOf(tuple.s0, tuple.s1, tuple.s2, tuple.s3, tuple.ports >>> 16);
    const { records, index } = this;
    let resting = NONE;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const external = index.reference(slot);
      const at = external * RECORD_WORDS;
      if (records[at + 3] === tuple.s3 && records[at + PORT] === tuple.ports >>> 16 && records[at + 2] === tuple.s2
        && records[at + 1] === tuple.s1 && records[at] === tuple.s0
        && (isDependent ? this.isFar(at, tuple) : records[at + FAR_PORT] === NONE)) {
        if ((records[at + STATE] & STATE_MASK) === LIVE) return external;
        resting = external;
      }
    }
    return resting;
  }

  /** A free port for an internal one, not taken yet, or NONE. `preserve`: rather the same than a random one. */
  pick(internal: number, address: number, preserve: boolean, nowTick: number): number {
    if (this.oldest !== NONE) this.sweep(nowTick, SWEEP_BUDGET);
    if (this.fixed.length > 0) {
      const external = this.fixedFor(address, internal);
      if (external !== NONE && this.stateOf(external) === FREE) return external;
    }
    let port = this.choose(internal, preserve);
    if (port === NONE && this.quarantined > 0 && this.sweep(nowTick, this.quarantined)) port = this.choose(internal, preserve);
    return port;
  }

  /**
   * Map the source of `tuple` to this very port, as another instance has done, or add a user to that mapping: whoever's block it is in, and also where it is
   * of no range of ours. 0: it cannot be had, something else is mapped to it; 1: there is one user more; 2: the mapping has come to life.
   */
  claim(external: number, tuple: Tuple, isDependent: boolean, owner: number): number {
    if (this.stateOf(external) !== FREE) {
      if (this.isFrom(external, tuple)) return this.retain(external, owner) ? 2 : 1;
      if (this.stateOf(external) === LIVE) return 0;
      // What rests here ended before the other instance mapped the port.
      this.wake(external);
    }
    this.take(external, tuple, isDependent, owner);
    return 2;
  }

  /** True when what a port is mapped to, now or before it came to rest, is the source of `tuple`. Towards whom does not count: what was let in through a mapping has another far end. */
  private isFrom(external: number, tuple: Tuple): boolean {
    const { records } = this;
    const at = external * RECORD_WORDS;
    return records[at + 3] === tuple.s3 && records[at + PORT] === tuple.ports >>> 16 && records[at + 2] === tuple.s2 && records[at + 1] === tuple.s1 && records[at] === tuple.s0;
  }

  /** Map the source of `tuple` to a port that `pick` gave, with one user. */
  take(external: number, tuple: Tuple, isDependent: boolean, owner: number): void {
    const { records } = this;
    const at = external * RECORD_WORDS;
    records[at] = tuple.s0; records[at + 1] = tuple.s1; records[at + 2] = tuple.s2; records[at + 3] = tuple.s3;
    records[at + PORT] = tuple.ports >>> 16;
    records[at + FAR_PORT] = NONE;
    if (isDependent) {
      records[at + FAR] = tuple.d0; records[at + FAR + 1] = tuple.d1; records[at + FAR + 2] = tuple.d2; records[at + FAR + 3] = tuple.d3;
      records[at + FAR_PORT] = tuple.ports & 0xffff;
    }
    records[at + USERS] = 1;
    records[at + STATE] = LIVE;
    records[at + OWNER] = owner;
    this.mark(external);
    this.index.add(this.hashAt(at), external);
    this.used++;
    if (this.isLeased) this.count(external, BLOCK_LIVE, 1);
  }

  /** One user more; true when the mapping had rested and lives again. */
  retain(external: number, owner: number): boolean {
    const { records } = this;
    const at = external * RECORD_WORDS;
    if ((records[at + STATE] & STATE_MASK) === LIVE) {
      records[at + USERS]++;
      return false;
    }
    this.unlink(external);
    this.quarantined--;
    this.used++;
    if (this.isLeased) {
      this.count(external, BLOCK_LIVE, 1);
      this.count(external, BLOCK_RESTING, -1);
    }
    records[at + USERS] = 1;
    // What was unclean about its end still is.
    records[at + STATE] = LIVE | UNCLEAN;
    records[at + OWNER] = owner;
    return true;
  }

  /** One user less; true when it was the last. `isClean`: nothing can be under way to the mapping on its account. */
  release(external: number, nowTick: number, isClean: boolean): boolean {
    const { records } = this;
    const at = external * RECORD_WORDS;
    if (!isClean) records[at + STATE] |= UNCLEAN;
    if (--records[at + USERS] > 0) return false;
    this.used--;
    if (this.isLeased) this.count(external, BLOCK_LIVE, -1);
    if ((records[at + STATE] & UNCLEAN) === 0 || this.quarantine === 0 || this.isFixed(external)) {
      this.end(external);
    } else {
      records[at + STATE] = QUARANTINED;
      records[at + FREED] = nowTick;
      this.append(external);
      this.quarantined++;
      if (this.isLeased) this.count(external, BLOCK_RESTING, 1);
    }
    return true;
  }

  /** Free the ports that have rested long enough, looking at no more than `budget`; true when one was freed. */
  sweep(nowTick: number, budget: number): boolean {
    let freed = 0;
    while (this.oldest !== NONE && freed < budget && nowTick - this.records[this.oldest * RECORD_WORDS + FREED] >= this.quarantine) {
      this.wake(this.oldest);
      freed++;
    }
    return freed > 0;
  }

  /** Percentage of ports taken that has been reached since the last time, or 0. Told once, until it has clearly been left again. */
  reached(nowTick: number): number {
    if (this.grows) return 0;
    if (this.occupied < this.warnAt) {
      if (this.occupied < this.rearmBelow) this.setLevel(this.levelOf(REARM_PERCENT));
      return 0;
    }
    this.sweep(nowTick, this.quarantined);
    if (this.occupied < this.warnAt) return 0;
    this.setLevel(this.levelOf(WARN_PERCENT));
    return WARN_PERCENT[this.level - 1];
  }

  /** True for a port something is mapped to now. */
  isLive(external: number): boolean { return this.stateOf(external) === LIVE; }

  /** True for a port that is in use, resting, fixed, or of no range. */
  isTaken(port: number): boolean { return (this.taken[port >>> 5] & (1 << (port & 31))) !== 0; }

  /** True for a port forward's. */
  isFixed(port: number): boolean {
    for (const { external, count } of this.fixed) if (port >= external && port < external + count) return true;
    return false;
  }

  users(external: number): number { return this.isLive(external) ? this.records[external * RECORD_WORDS + USERS] : 0; }

  /** The internal endpoint of a mapping: a word of its address (0 … 3), its port; and the owner it was taken for. */
  address(external: number, word: number): number { return this.records[external * RECORD_WORDS + word]; }
  internalPort(external: number): number { return this.records[external * RECORD_WORDS + PORT]; }
  owner(external: number): number { return this.records[external * RECORD_WORDS + OWNER]; }

  /**
   * Any port that may stand for an internal one, free or not, at random: for flows that share one. NONE when it was a port forward's, or a leased pool has
   * no usable block with such ports.
   */
  any(internal: number, keepParity: boolean): number {
    const isService = this.hasServices && internal < SERVICES_END;
    let first = isService ? SERVICES_FIRST : this.first;
    let end = isService ? SERVICES_END : this.last + 1;
    if (this.isLeased) {
      if (this.usableBlocks.length === 0) return NONE;
      const block = this.usableBlocks[this.random.below(this.usableBlocks.length)];
      first = Math.max(first, block << this.blockShift);
      end = Math.min(end, (block + 1) << this.blockShift);
      if (first >= end) return NONE;
    }
    let port = first + this.random.below(end - first);
    if (keepParity && this.keepsParity && ((port ^ internal) & 1) !== 0) port = port + 1 < end ? port + 1 : port > first ? port - 1 : port;
    return this.fixed.length > 0 && this.isFixed(port) ? NONE : port;
  }

  private choose(internal: number, preserve: boolean): number {
    if (this.hasServices && internal < SERVICES_END) {
      if (preserve && internal >= SERVICES_FIRST && !this.isClosed(internal)) return internal;
      const service = this.chooseIn(SERVICES_FIRST, SERVICES_END - 1, internal);
      if (service !== NONE) return service;
      if (this.isLeased) this.lead(POOL_SERVICES_WANTED, 1);
    }
    if (preserve && internal >= this.first && internal <= this.last && !this.isClosed(internal)) return internal;
    return this.chooseIn(this.first, this.last, internal);
  }

  private chooseIn(first: number, last: number, internal: number): number {
    if (this.keepsParity) {
      const same = this.draw(first >>> 5, last >>> 5, (internal & 1) === 0 ? EVEN : ~EVEN);
      if (same !== NONE) return same;
    }
    return this.draw(first >>> 5, last >>> 5, -1);
  }

  /** A random free port of the words from one to another whose bit is in the mask, or NONE. */
  private draw(firstWord: number, lastWord: number, mask: number): number {
    if (this.isLeased) return this.drawLeased(firstWord, lastWord, mask);
    const count = lastWord - firstWord + 1;
    let bits = 0;
    let word = 0;
    for (let i = 0; i < DRAWS; i++) {
      bits = this.random.next();
      word = firstWord + Math.floor(((bits >>> 0) / 4294967296) * count);
      const free = ~this.closed[word] & mask;
      if (free !== 0) return this.portIn(word, free, bits & 31);
    }
    return this.search(firstWord, lastWord, word, mask, bits);
  }

  /** As `draw` where ports are leased: of the words of usable blocks. */
  private drawLeased(firstWord: number, lastWord: number, mask: number): number {
    const { usableBlocks } = this;
    const count = usableBlocks.length;
    if (count === 0) return NONE;
    const shift = this.blockShift - 5;
    let bits = 0;
    for (let i = 0; i < DRAWS; i++) {
      bits = this.random.next();
      const word = (usableBlocks[Math.floor(((bits >>> 0) / 4294967296) * count)] << shift) + ((bits >>> 5) & ((1 << shift) - 1));
      if (word < firstWord || word > lastWord) continue;
      const free = ~this.closed[word] & mask;
      if (free !== 0) return this.portIn(word, free, bits & 31);
    }
    return this.search(firstWord, lastWord, firstWord + (bits >>> 5) % (lastWord - firstWord + 1), mask, bits);
  }

  /** A free port of the next word that has one, from a word on and round, or NONE. */
  private search(firstWord: number, lastWord: number, from: number, mask: number, bits: number): number {
    let open = this.nextOpen(from, lastWord, mask);
    if (open === NONE) open = this.nextOpen(firstWord, from, mask);
    return open === NONE ? NONE : this.portIn(open, ~this.closed[open] & mask, bits & 31);
  }

  /** The first free port of a word from a bit of it on, and round. */
  private portIn(word: number, free: number, from: number): number {
    const above = free & (-1 << from);
    const candidates = above === 0 ? free : above;
    return (word << 5) + 31 - Math.clz32(candidates & -candidates);
  }

  /** The first of the words from one to another that has a free port of the mask, or NONE. */
  private nextOpen(from: number, to: number, mask: number): number {
    for (let word = from; word <= to; word = (word & ~31) + 32) {
      const group = word >>> 5;
      const open = ((mask & EVEN ? this.openEven[group] : 0) | (mask & ~EVEN ? this.openOdd[group] : 0)) & (-1 << (word & 31));
      if (open === 0) continue;
      const found = (group << 5) + 31 - Math.clz32(open & -open);
      return found <= to ? found : NONE;
    }
    return NONE;
  }

  /** The fixed port of an inside endpoint, or NONE. */
  private fixedFor(address: number, port: number): number {
    for (const forward of this.fixed) {
      if (forward.address === address && port >= forward.port && port < forward.port + forward.count) return forward.external + port - forward.port;
    }
    return NONE;
  }

  private stateOf(external: number): number { return this.records[external * RECORD_WORDS + STATE] & STATE_MASK; }

  private isClosed(port: number): boolean { return (this.closed[port >>> 5] & (1 << (port & 31))) !== 0; }

  /** True for a port that flows may be translated to. */
  isInRange(port: number): boolean {
    return (port >= this.first && port <= this.last) || (this.hasServices && port >= SERVICES_FIRST && port < SERVICES_END);
  }

  /** Ports from one to another that are of a range and not fixed. */
  private sizeOf(first: number, last: number): number {
    let size = 0;
    for (let port = first; port <= last; port++) if (this.isInRange(port) && !(this.fixed.length > 0 && this.isFixed(port))) size++;
    return size;
  }

  /** A range of ports may be handed out. By whole words, for a pool is made while a packet waits. */
  private offer(first: number, last: number): void {
    for (let word = first >>> 5; word <= last >>> 5; word++) {
      this.taken[word] = 0;
      // Of a leased pool none is usable yet.
      if (this.isLeased) continue;
      this.openEven[word >>> 5] |= 1 << (word & 31);
      this.openOdd[word >>> 5] |= 1 << (word & 31);
    }
    for (let port = first & ~31; port < first; port++) this.mark(port);
    for (let port = last + 1; port <= (last | 31); port++) this.mark(port);
  }

  private mark(port: number): void {
    const word = port >>> 5;
    const bit = 1 << (port & 31);
    this.taken[word] |= bit;
    if (this.isLeased) this.close(port, word, bit);
    const isOdd = (port & 1) !== 0;
    if ((~this.closed[word] & (isOdd ? ~EVEN : EVEN)) === 0) (isOdd ? this.openOdd : this.openEven)[word >>> 5] &= ~(1 << (word & 31));
  }

  private unmark(port: number): void {
    const word = port >>> 5;
    const bit = 1 << (port & 31);
    this.taken[word] &= ~bit;
    if (this.isLeased) {
      if (!this.isUsable(port)) return;
      this.closed[word] &= ~bit;
      this.open++;
      if (port >= this.first) this.lead(POOL_FREE, 1);
    }
    (port & 1 ? this.openOdd : this.openEven)[word >>> 5] |= 1 << (word & 31);
  }

  /** A port of a leased pool can be had no more, if it could. */
  private close(port: number, word: number, bit: number): void {
    if ((this.closed[word] & bit) !== 0) return;
    this.closed[word] |= bit;
    this.open--;
    if (port >= this.first) this.lead(POOL_FREE, -1);
  }

  /** Add to a word of the head of the pool's section. */
  private lead(word: number, by: number): void { (this.board as LeaseBoard).words[this.section + word] += by; }

  /** Add to a word of a port's block. */
  private count(port: number, word: number, by: number): void {
    const board = this.board as LeaseBoard;
    board.words[board.block(this.section, port >>> this.blockShift) + word] += by;
  }

  /** A resting port rests no more: it is free. */
  private wake(external: number): void {
    this.unlink(external);
    this.quarantined--;
    if (this.isLeased) this.count(external, BLOCK_RESTING, -1);
    this.end(external);
  }

  /** The record is nobody's any more. */
  private end(external: number): void {
    const at = external * RECORD_WORDS;
    this.index.remove(this.hashAt(at), external);
    this.records[at + STATE] = FREE;
    // One that was claimed need not be of a range of ours.
    if (this.isInRange(external) && !this.isFixed(external)) this.unmark(external);
  }

  private append(external: number): void {
    const { records } = this;
    const at = external * RECORD_WORDS;
    records[at + NEXT] = NONE;
    records[at + PREVIOUS] = this.newest;
    if (this.newest === NONE) this.oldest = external;
    else records[this.newest * RECORD_WORDS + NEXT] = external;
    this.newest = external;
  }

  private unlink(external: number): void {
    const { records } = this;
    const at = external * RECORD_WORDS;
    const next = records[at + NEXT];
    const previous = records[at + PREVIOUS];
    if (previous === NONE) this.oldest = next;
    else records[previous * RECORD_WORDS + NEXT] = next;
    if (next === NONE) this.newest = previous;
    else records[next * RECORD_WORDS + PREVIOUS] = previous;
  }

  /** How many of these percentages are reached. */
  private levelOf(percentages: readonly number[]): number {
    let level = 0;
    while (level < percentages.length && this.occupied >= this.portsAt(percentages[level])) level++;
    return level;
  }

  private setLevel(level: number): void {
    this.level = level;
    this.warnAt = level < WARN_PERCENT.length ? this.portsAt(WARN_PERCENT[level]) : NEVER;
    this.rearmBelow = level === 0 ? 0 : this.portsAt(REARM_PERCENT[level - 1]);
  }

  private portsAt(percent: number): number { return Math.max(1, Math.ceil((this.size * percent) / 100)); }

  private isFar(at: number, tuple: Tuple): boolean {
    const { records } = this;
    return records[at + FAR_PORT] === (tuple.ports & 0xffff) && records[at + FAR + 3] === tuple.d3
      && records[at + FAR + 2] === tuple.d2 && records[at + FAR + 1] === tuple.d1 && records[at + FAR] === tuple.d0;
  }

  private hashAt(at: number): number {
    const { records } = this;
    if (records[at + FAR_PORT] === NONE) return this.hashOf(records[at], records[at + 1], records[at + 2], records[at + 3], records[at + PORT]);
    return finish(mix(mix(mix(mix(this.seed, records[at + 3]), records[at + FAR + 3]), records[at + PORT]), records[at + FAR_PORT]));
  }

  private hashOf(a0: number, a1: number, a2: number, a3: number, port: number): number {
    const h = mix(mix(this.seed, a3), port);
    return finish(a2 === V4_MAPPED ? h : mix(mix(mix(h, a2), a1), a0));
  }

  private hashBoth(tuple: Tuple): number {
    return finish(mix(mix(mix(mix(this.seed, tuple.s3), tuple.d3), tuple.ports >>> 16), tuple.ports & 0xffff));
  }
}
