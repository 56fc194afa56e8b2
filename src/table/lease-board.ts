/**
 * Leased ports in shared memory: what the data plane counts in the ports of leased addresses, block by block, and how far it has followed what it was told
 * of them. Written by the data plane (PortPool, Leases) and read by the share worker (src/share/lease.ts), but for the number of the last order given: that is the
 * share worker's, and stands here so that one that takes the place of a crashed one gives no number again that may yet be in the inbox.
 *
 * A translation address is leased when other instances translate to it at the same time as this one: state is shared, it is no link's own, and
 * no election decides whose it is. Its ports are cut into blocks of share.portBlock, by number: block b is ports b × portBlock … (b + 1) × portBlock - 1,
 * on every instance, for all protocols at once. An instance hands out ports of its own blocks only.
 *
 * Shape, in int32 words: a header (float64: the data plane's clock, as of its last turn), then by leased address: the number of the last order carried
 * out, that of the last one given, a bitmap of the blocks it left usable, and for each of tcp, udp, icmp a section: its head (POOL_*), and three words a block
 * (BLOCK_*).
 */
import type { Plan } from '../base/plan.js';

const HEADER_WORDS = 4;
/** Protocols with ports or identifiers. */
const POOLS = 3;

/** Head of a section: 1 = the pool is in use at all; free ordinary ports of usable blocks; times a service's port was wanted and none was free. */
export const POOL_MADE = 0;
export const POOL_FREE = 1;
export const POOL_SERVICES_WANTED = 2;
const POOL_HEAD = 4;

/** Per block: ports in use, ports that rest, flows that share one of its ports. */
export const BLOCK_LIVE = 0;
export const BLOCK_RESTING = 1;
export const BLOCK_SHARED = 2;
export const BLOCK_WORDS = 3;

/** Translation addresses whose ports are leased, in the order in which uplinks name them; texts. */
export function leasedAddresses(plan: Plan): string[] {
  if (plan.share.store !== 'redis') return [];
  const others = new Set([...plan.links, ...plan.vrrp].flatMap(({ addresses }) => addresses.map(({ address }) => address)));
  return [...new Set(plan.uplinks.flatMap(({ snat }) => snat))].filter((address) => !others.has(address));
}

/** Blocks of an address. */
export function blockCount({ share }: Plan): number { return 65536 / share.portBlock; }

export function leaseBoardBytes(plan: Plan): number { return boardBytes(leasedAddresses(plan).length, blockCount(plan)); }

export function boardBytes(addresses: number, blocks: number): number { return (HEADER_WORDS + addresses * addressWords(blocks)) * 4; }

function addressWords(blocks: number): number {
  // Even, for the float64 in front; the bitmap has a word for every 32 blocks.
  return 2 + ((blocks + 63) >>> 6) * 2 + POOLS * sectionWords(blocks);
}

function sectionWords(blocks: number): number { return POOL_HEAD + blocks * BLOCK_WORDS; }

export class LeaseBoard {
  readonly words: Int32Array;
  readonly blocks: number;
  private readonly clock: Float64Array;

  constructor(memory: SharedArrayBuffer, blocks: number) {
    this.words = new Int32Array(memory);
    this.clock = new Float64Array(memory, 0, 1);
    this.blocks = blocks;
  }

  /** The data plane's clock, as of its last turn: never ahead of it. */
  get nowMs(): number { return this.clock[0]; }
  set nowMs(nowMs: number) { this.clock[0] = nowMs; }

  /** Where a pool's section begins; `column`: 0 tcp, 1 udp, 2 icmp. */
  section(row: number, column: number): number {
    return this.bitmapAt(row) + ((this.blocks + 63) >>> 6) * 2 + column * sectionWords(this.blocks);
  }

  /** Where a block's words are in the section of a pool. */
  block(section: number, block: number): number { return section + POOL_HEAD + block * BLOCK_WORDS; }

  /** The order last carried out, and after it what it left usable: who reads the number first sees no older bitmap than of that order. */
  order(row: number): number { return Atomics.load(this.words, this.bitmapAt(row) - 2); }
  /** The order last given. */
  orderGiven(row: number): number { return this.words[this.bitmapAt(row) - 1]; }
  setOrderGiven(row: number, order: number): void { this.words[this.bitmapAt(row) - 1] = order; }
  isUsable(row: number, block: number): boolean { return (this.words[this.bitmapAt(row) + (block >>> 5)] & (1 << (block & 31))) !== 0; }

  setUsable(row: number, block: number, isUsable: boolean): void {
    const at = this.bitmapAt(row) + (block >>> 5);
    if (isUsable) this.words[at] |= 1 << (block & 31);
    else this.words[at] &= ~(1 << (block & 31));
  }

  setOrder(row: number, order: number): void { Atomics.store(this.words, this.bitmapAt(row) - 2, order); }

  /** Free ordinary ports of the usable blocks, of the protocol that has least; Infinity: no port has been asked for yet. */
  free(row: number): number {
    let least = Infinity;
    for (let column = 0; column < POOLS; column++) {
      const at = this.section(row, column);
      if (this.words[at + POOL_MADE] !== 0) least = Math.min(least, this.words[at + POOL_FREE]);
    }
    return least;
  }

  /** Times a service's port was wanted in vain, modulo 2^32. */
  servicesWanted(row: number): number {
    let wanted = 0;
    for (let column = 0; column < POOLS; column++) wanted = (wanted + this.words[this.section(row, column) + POOL_SERVICES_WANTED]) | 0;
    return wanted;
  }

  /** Ports of a block that are not free (in use or at rest), of the protocol that has most. */
  used(row: number, block: number): number {
    let most = 0;
    for (let column = 0; column < POOLS; column++) {
      const at = this.block(this.section(row, column), block);
      most = Math.max(most, this.words[at + BLOCK_LIVE] + this.words[at + BLOCK_RESTING]);
    }
    return most;
  }

  /** Nothing lives or rests in the block, and nothing bears one of its ports. */
  isEmpty(row: number, block: number): boolean {
    for (let column = 0; column < POOLS; column++) {
      const at = this.block(this.section(row, column), block);
      for (let i = 0; i < BLOCK_WORDS; i++) if (this.words[at + i] !== 0) return false;
    }
    return true;
  }

  private bitmapAt(row: number): number { return HEADER_WORDS + row * addressWords(this.blocks) + 2; }
}
