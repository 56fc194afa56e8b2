/**
 * Packets that wait for their neighbour: copies of whole IP packets with what was decided about them, in a list per neighbour in order of
 * arrival, bounded per neighbour and in all (RFC 1122 §2.3.2.2 asks for at least one; dropping the newest keeps the first of a handshake).
 */
import type { Packet } from '../wire/packet.js';
import { SlotPool } from './slot-pool.js';

const NONE = -1;

/** Words per slot. */
const WORDS = 16;
const LENGTH = 0;
const NEXT = 1;
const LINK = 2;
const OUT_LINK = 3;
const FLOW = 4;
const DIRECTION = 5;
const RELATED = 6;
const MUST_FRAGMENT = 7;
const FRAGMENT_SIZE = 8;
const GSO = 9;
const CSUM = 10;
const UPLINK = 11;
const FRAMES = 12;
const HOPS = 13;
const MSS_BEFORE = 14;
/** The flow's serial number: another one by the time the packet goes on, and its flow has ended meanwhile. */
const SERIAL = 15;

export class HeldPackets {
  private readonly pool: SlotPool;
  private readonly words: Int32Array;
  /** Neighbour → its first slot. */
  private readonly heads = new Map<number, number>();

  constructor(limit: number) {
    const big = Math.max(8, limit >> 3);
    this.pool = new SlotPool(limit, big);
    this.words = new Int32Array((limit + big) * WORDS);
  }

  /** Keep a copy of the packet, whose flow has this serial number, for a neighbour; false when there is no room. */
  put(neighbour: number, p: Packet, serial = 0): boolean {
    const slot = this.pool.take(p.end - p.ipAt);
    if (slot === NONE) return false;
    const { words } = this;
    const at = slot * WORDS;
    this.pool.bytes(slot).set(p.u8.subarray(p.ipAt, p.end));
    words[at + LENGTH] = p.end - p.ipAt;
    words[at + NEXT] = NONE;
    words[at + LINK] = p.link;
    words[at + OUT_LINK] = p.outLink;
    words[at + FLOW] = p.flow;
    words[at + DIRECTION] = p.direction;
    words[at + RELATED] = p.isRelated ? 1 : 0;
    words[at + MUST_FRAGMENT] = p.mustFragment ? 1 : 0;
    words[at + FRAGMENT_SIZE] = p.fragmentSize;
    words[at + GSO] = (p.gsoType << 16) | p.gsoSize;
    words[at + CSUM] = p.csumAt === NONE ? NONE : (p.csumAt << 16) | p.csumOffset;
    words[at + UPLINK] = p.uplink;
    words[at + FRAMES] = p.frames;
    words[at + HOPS] = p.hops;
    words[at + MSS_BEFORE] = p.mssBefore;
    words[at + SERIAL] = serial;
    const head = this.heads.get(neighbour);
    if (head === undefined) {
      this.heads.set(neighbour, slot);
      return true;
    }
    let last = head;
    while (words[last * WORDS + NEXT] !== NONE) last = words[last * WORDS + NEXT];
    words[last * WORDS + NEXT] = slot;
    return true;
  }

  /** True while packets wait for this neighbour. */
  has(neighbour: number): boolean { return this.heads.has(neighbour); }

  /** Bytes of the first packet waiting for a neighbour, or NONE. */
  firstLength(neighbour: number): number {
    const slot = this.heads.get(neighbour);
    return slot === undefined ? NONE : this.words[slot * WORDS + LENGTH];
  }

  /** Lay the first packet of a neighbour at `ipAt` and make `p` what it was; gives the serial number its flow had. */
  load(neighbour: number, p: Packet, ipAt: number): number {
    const slot = this.heads.get(neighbour) as number;
    const { words } = this;
    const at = slot * WORDS;
    p.u8.set(this.pool.bytes(slot).subarray(0, words[at + LENGTH]), ipAt);
    p.load(words[at + LINK], ipAt, words[at + LENGTH], 0);
    p.gsoType = words[at + GSO] >>> 16;
    p.gsoSize = words[at + GSO] & 0xffff;
    if (words[at + CSUM] !== NONE) {
      p.csumAt = words[at + CSUM] >>> 16;
      p.csumOffset = words[at + CSUM] & 0xffff;
    }
    p.parseIp();
    p.parseL4();
    p.outLink = words[at + OUT_LINK];
    p.flow = words[at + FLOW];
    p.direction = words[at + DIRECTION];
    p.isRelated = words[at + RELATED] === 1;
    p.mustFragment = words[at + MUST_FRAGMENT] === 1;
    p.fragmentSize = words[at + FRAGMENT_SIZE];
    p.uplink = words[at + UPLINK];
    p.frames = words[at + FRAMES];
    p.hops = words[at + HOPS];
    p.mssBefore = words[at + MSS_BEFORE];
    return words[at + SERIAL];
  }

  /** Let the first packet of a neighbour go. */
  drop(neighbour: number): void {
    const slot = this.heads.get(neighbour) as number;
    const next = this.words[slot * WORDS + NEXT];
    if (next === NONE) this.heads.delete(neighbour);
    else this.heads.set(neighbour, next);
    this.pool.give(slot);
  }
}
