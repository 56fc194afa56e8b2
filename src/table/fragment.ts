/**
 * Datagrams being put together again (RFC 791 §3.2, as the NAT needs it by RFC 4787 REQ-14: fragments may come in any order).
 *
 * One assembly per (link, source, destination, protocol, identification), so that nobody on one link can spoil what comes in by another; its
 * pieces are whole IP packets copied out of the arena. A datagram whose fragments come in by two links is therefore given up, which only
 * happens where a network sends each of its packets another way. Pieces must not overlap: one that does discards the assembly (RFC 5722 §4 for
 * IPv6; for IPv4 RFC 1858 §3 shows the attack), an exact copy is ignored.
 *
 * Bounded by count of assemblies, by bytes of all of them, by pieces of one, and by time from its first arrival; and one source may have no
 * more than SOURCE_PART of the assemblies and of the bytes, so that no single host takes the room of all others.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import { SlotPool } from './slot-pool.js';

const NONE = -1;
/** Pieces of one datagram: 65,535 bytes in the smallest sensible MTU (RFC 791: 576) are 119. */
export const MAX_PIECES = 128;
/** What one source may have of the room for all. */
const SOURCE_PART = 1 / 4;

export interface Assembly {
  source: number; destination: number; protocol: number; id: number;
  link: number;
  deadlineMs: number;
  /** Slots of the pieces, by arrival, with offset and payload length in bytes and the length of their IP header. */
  slots: number[]; offsets: number[]; lengths: number[]; headers: number[];
  /** Payload bytes of the whole datagram, known once the last fragment came; NONE before. */
  totalBytes: number;
  /** Payload bytes held. */
  heldBytes: number;
  /** Longest piece, bytes of IP packet. */
  largest: number;
  inUse: boolean;
}

interface Share { assemblies: number; bytes: number }

export type AddResult = 'held' | 'complete' | 'copy' | 'overlap' | 'limit' | 'bad';

export class FragmentTable {
  private readonly pool: SlotPool;
  private readonly index: HashIndex;
  private readonly assemblies: Assembly[] = [];
  private readonly free: number[] = [];
  private readonly limit: number;
  private readonly limitBytes: number;
  private readonly sourceLimit: number;
  private readonly sourceLimitBytes: number;
  /** What each source has at the moment; a source with nothing has no entry. */
  private readonly shares = new Map<number, Share>();
  private readonly seed: number;
  private readonly timeoutMs: number;
  /** Bytes of all pieces. */
  bytes = 0;
  /** Number of the assembly the last `add` worked on. */
  current = NONE;
  /** Pieces the last `add` threw away because it answered 'overlap' or 'bad', its own not counted. */
  lost = 0;

  constructor(limit: number, limitBytes: number, seed: number, timeoutMs: number) {
    this.limit = limit;
    this.limitBytes = limitBytes;
    this.sourceLimit = Math.max(1, Math.floor(limit * SOURCE_PART));
    // One datagram of the greatest length always has room.
    this.sourceLimitBytes = Math.max(65_535, limitBytes * SOURCE_PART);
    this.seed = seed;
    this.timeoutMs = timeoutMs;
    this.index = new HashIndex(limit);
    this.pool = new SlotPool(Math.ceil(limitBytes / 2048), Math.max(16, Math.ceil(limitBytes / 131072)));
  }

  get count(): number { return this.assemblies.length - this.free.length; }

  assembly(number: number): Assembly { return this.assemblies[number]; }
  piece(assembly: Assembly, i: number): Uint8Array { return this.pool.bytes(assembly.slots[i]); }

  /**
   * Add the fragment in arena bytes [ipAt, end): payload at `offset` (bytes), `more` to follow, IP header of `header` bytes.
   * `current` is its assembly when the answer is 'held', 'copy' or 'complete'; on 'overlap' and 'bad' the assembly is gone.
   */
  add(
    arena: Uint8Array, ipAt: number, end: number, header: number, source: number, destination: number, protocol: number, id: number,
    offset: number, more: boolean, link: number, nowMs: number,
  ): AddResult {
    const length = end - ipAt - header;
    const hash = this.hash(link, source, destination, protocol, id);
    let number = this.find(hash, link, source, destination, protocol, id);
    if (number === NONE) {
      if (this.count >= this.limit || !this.mayBegin(source)) return 'limit';
      number = this.free.pop() ?? this.assemblies.push({
        source: 0, destination: 0, protocol: 0, id: 0, link: 0, deadlineMs: 0, slots: [], offsets: [], lengths: [], headers: [],
        totalBytes: NONE, heldBytes: 0, largest: 0, inUse: false,
      }) - 1;
      const fresh = this.assemblies[number];
      fresh.source = source; fresh.destination = destination; fresh.protocol = protocol; fresh.id = id;
      fresh.link = link;
      fresh.deadlineMs = nowMs + this.timeoutMs;
      fresh.totalBytes = NONE;
      fresh.heldBytes = 0;
      fresh.largest = 0;
      fresh.inUse = true;
      this.index.add(hash, number);
    }
    this.current = number;
    const assembly = this.assemblies[number];
    this.lost = assembly.slots.length;
    for (let i = 0; i < assembly.slots.length; i++) {
      const from = assembly.offsets[i], to = from + assembly.lengths[i];
      if (from === offset && to === offset + length) return 'copy';
      if (offset < to && from < offset + length) {
        this.discard(number);
        return 'overlap';
      }
    }
    const isPastEnd = assembly.totalBytes !== NONE && offset + length > assembly.totalBytes;
    const isOtherEnd = !more && assembly.totalBytes !== NONE;
    const endsTooSoon = !more && assembly.offsets.some((from, i) => from + assembly.lengths[i] > offset + length);
    if (isPastEnd || isOtherEnd || endsTooSoon) {
      this.discard(number);
      return 'bad';
    }
    const share = this.shares.get(source) as Share;
    const hasRoom = assembly.slots.length < MAX_PIECES && this.bytes + length <= this.limitBytes && share.bytes + length <= this.sourceLimitBytes;
    const slot = hasRoom ? this.pool.take(end - ipAt) : NONE;
    if (slot === NONE) {
      if (assembly.slots.length === 0) this.discard(number);
      return 'limit';
    }
    this.pool.bytes(slot).set(arena.subarray(ipAt, end));
    assembly.slots.push(slot);
    assembly.offsets.push(offset);
    assembly.lengths.push(length);
    assembly.headers.push(header);
    assembly.heldBytes += length;
    assembly.largest = Math.max(assembly.largest, end - ipAt);
    this.bytes += length;
    share.bytes += length;
    if (!more) assembly.totalBytes = offset + length;
    return assembly.heldBytes === assembly.totalBytes ? 'complete' : 'held';
  }

  /** Counts one more assembly of a source, unless it has as many as it may. */
  private mayBegin(source: number): boolean {
    const share = this.shares.get(source);
    if (share === undefined) {
      this.shares.set(source, { assemblies: 1, bytes: 0 });
      return true;
    }
    if (share.assemblies >= this.sourceLimit) return false;
    share.assemblies++;
    return true;
  }

  /** Give back all an assembly holds. */
  discard(number: number): void {
    const assembly = this.assemblies[number];
    for (const slot of assembly.slots) this.pool.give(slot);
    this.bytes -= assembly.heldBytes;
    const share = this.shares.get(assembly.source) as Share;
    share.bytes -= assembly.heldBytes;
    if (--share.assemblies === 0) this.shares.delete(assembly.source);
    assembly.slots.length = 0;
    assembly.offsets.length = 0;
    assembly.lengths.length = 0;
    assembly.headers.length = 0;
    assembly.inUse = false;
    this.index.remove(this.hash(assembly.link, assembly.source, assembly.destination, assembly.protocol, assembly.id), number);
    this.free.push(number);
  }

  /** Assemblies whose time is up, for the caller to answer and discard. */
  expired(nowMs: number): number[] {
    const numbers: number[] = [];
    for (let i = 0; i < this.assemblies.length; i++) {
      if (this.assemblies[i].inUse && this.assemblies[i].deadlineMs <= nowMs) numbers.push(i);
    }
    return numbers;
  }

  private find(hash: number, link: number, source: number, destination: number, protocol: number, id: number): number {
    for (let slot = this.index.first(hash); slot >= 0; slot = this.index.next(slot, hash)) {
      const number = this.index.reference(slot);
      const a = this.assemblies[number];
      if (a.source === source && a.destination === destination && a.id === id && a.protocol === protocol && a.link === link) return number;
    }
    return NONE;
  }

  private hash(link: number, source: number, destination: number, protocol: number, id: number): number {
    return finish(mix(mix(mix(mix(mix(this.seed, source), destination), protocol), id), link));
  }
}
