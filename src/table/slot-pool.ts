/**
 * Room for packets that have to wait outside the arena: for a neighbour's answer, or for the rest of their fragments. Two sizes of
 * slots, each a page-like array allocated when first used and used again ever after; nothing is allocated per packet in the
 * steady state.
 */
import { RECORD_MAX } from '../link/batch.js';

const NONE = -1;
const SMALL_BYTES = 2048;

export class SlotPool {
  /** Slot contents by number; the first `smallCount` are small. */
  private readonly slots: (Uint8Array | undefined)[];
  private readonly smallFree: number[] = [];
  private readonly bigFree: number[] = [];

  /** @param smallCount slots of 2,048 bytes. @param bigCount slots for the longest record. */
  constructor(smallCount: number, bigCount: number) {
    this.slots = new Array<Uint8Array | undefined>(smallCount + bigCount);
    for (let i = smallCount + bigCount - 1; i >= smallCount; i--) this.bigFree.push(i);
    for (let i = smallCount - 1; i >= 0; i--) this.smallFree.push(i);
    this.smallCount = smallCount;
  }

  private readonly smallCount: number;

  /** Take a slot that holds `length` bytes; NONE when none is left. */
  take(length: number): number {
    const free = length <= SMALL_BYTES && this.smallFree.length > 0 ? this.smallFree : this.bigFree;
    const slot = free.pop();
    if (slot === undefined) return NONE;
    this.slots[slot] ??= new Uint8Array(slot < this.smallCount ? SMALL_BYTES : RECORD_MAX);
    return slot;
  }

  bytes(slot: number): Uint8Array { return this.slots[slot] as Uint8Array; }

  give(slot: number): void {
    (slot < this.smallCount ? this.smallFree : this.bigFree).push(slot);
  }
}
