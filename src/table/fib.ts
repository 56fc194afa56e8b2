/**
 * Longest-prefix match for IPv4: which route a destination takes.
 *
 * A trie of strides 16, 8 and 8 bits, leaf-pushed: one, two or three loads a lookup whatever the number of routes. A node is 256
 * slots (the root 65,536); a slot holds a route + 1 (0 = none), or -(child + 1). Beside each slot stands the length of
 * the prefix that owns it, so that a shorter prefix never overwrites a longer one, and a removed prefix gives its slots back to
 * the next shorter one, which is looked up among the prefixes (one Map per length, control plane only).
 *
 * Cost: lookup ≤ 3 dependent loads; insert and remove touch at most 65,536 slots and the children below. 1 M routes of
 * mixed lengths take about 100 MB.
 */
import { maskOf } from '../wire/address.js';

const NONE = -1;
const ROOT_SLOTS = 65536;
const NODE_SLOTS = 256;
/** Room for so many nodes is there in any case. */
const NODES_LEAST = 64;

export class Fib {
  private readonly root = new Int32Array(ROOT_SLOTS);
  private readonly rootLength = new Uint8Array(ROOT_SLOTS);
  private slots = new Int32Array(NODE_SLOTS * NODES_LEAST);
  private lengths = new Uint8Array(NODE_SLOTS * NODES_LEAST);
  private nodes = 0;
  /** Children no prefix needs any more, to be used again. */
  private readonly spare: number[] = [];
  private readonly prefixes: Map<number, number>[] = Array.from({ length: 33 }, () => new Map());
  /** Prefixes held. */
  size = 0;

  /** The route of the longest prefix that holds `address` (int32), or NONE. */
  lookup(address: number): number {
    let slot = this.root[address >>> 16];
    if (slot >= 0) return slot - 1;
    const slots = this.slots;
    slot = slots[(-slot - 1) * NODE_SLOTS + ((address >>> 8) & 255)];
    if (slot >= 0) return slot - 1;
    return slots[(-slot - 1) * NODE_SLOTS + (address & 255)] - 1;
  }

  /** The route of exactly this prefix, or NONE. */
  get(prefix: number, length: number): number {
    return this.prefixes[length].get(prefix) ?? NONE;
  }

  /** Enter a prefix (int32, host bits zero) or give it another route (a number ≥ 0). */
  insert(prefix: number, length: number, route: number): void {
    if (!this.prefixes[length].has(prefix)) this.size++;
    this.prefixes[length].set(prefix, route);
    this.paint(prefix, length, route + 1, length, length);
  }

  /**
   * Once many have been entered: put what lookups read into an array of just its size, which `prepare` gets before any of it is touched. With a million
   * routes nearly every lookup is in a page of its own, so huge pages halve what it costs.
   */
  settle(prepare: (array: Int32Array) => void): void {
    const slots = new Int32Array(Math.max(this.nodes, NODES_LEAST) * NODE_SLOTS);
    prepare(slots);
    slots.set(this.slots.subarray(0, slots.length));
    this.slots = slots;
    this.lengths = this.lengths.slice(0, slots.length);
  }

  /** Take a prefix out; what it covered goes to the next shorter prefix. True when it was there. */
  remove(prefix: number, length: number): boolean {
    if (!this.prefixes[length].delete(prefix)) return false;
    this.size--;
    let route = NONE;
    let owner = length - 1;
    for (; owner >= 0; owner--) {
      const found = this.prefixes[owner].get(prefix & maskOf(owner));
      if (found !== undefined) {
        route = found;
        break;
      }
    }
    this.paint(prefix, length, route + 1, Math.max(owner, 0), length);
    this.prune(prefix, length);
    return true;
  }

  /** Give every slot under prefix/length whose owner is at most `upTo` bits long this value and owner. */
  private paint(prefix: number, length: number, value: number, owner: number, upTo: number): void {
    const high = prefix >>> 16;
    if (length <= 16) {
      const count = 1 << (16 - length);
      for (let i = high; i < high + count; i++) {
        if (this.root[i] < 0) this.paintAll(-this.root[i] - 1, value, owner, upTo);
        else if (this.rootLength[i] <= upTo) {
          this.root[i] = value;
          this.rootLength[i] = owner;
        }
      }
      return;
    }
    if (this.root[high] >= 0) this.root[high] = -(this.split(this.root[high], this.rootLength[high]) + 1);
    const middle = -this.root[high] - 1;
    const at = middle * NODE_SLOTS + ((prefix >>> 8) & 255);
    if (length <= 24) {
      this.paintSlots(at, 1 << (24 - length), value, owner, upTo);
      return;
    }
    if (this.slots[at] >= 0) {
      const child = this.split(this.slots[at], this.lengths[at]);
      this.slots[at] = -(child + 1);
    }
    const low = -this.slots[at] - 1;
    this.paintSlots(low * NODE_SLOTS + (prefix & 255), 1 << (32 - length), value, owner, upTo);
  }

  private paintAll(node: number, value: number, owner: number, upTo: number): void {
    this.paintSlots(node * NODE_SLOTS, NODE_SLOTS, value, owner, upTo);
  }

  private paintSlots(from: number, count: number, value: number, owner: number, upTo: number): void {
    for (let i = from; i < from + count; i++) {
      if (this.slots[i] < 0) this.paintAll(-this.slots[i] - 1, value, owner, upTo);
      else if (this.lengths[i] <= upTo) {
        this.slots[i] = value;
        this.lengths[i] = owner;
      }
    }
  }

  /** A new node, all of its slots as its parent's slot was. */
  private split(value: number, owner: number): number {
    let node = this.spare.pop();
    if (node === undefined) {
      node = this.nodes++;
      if (this.nodes * NODE_SLOTS > this.slots.length) {
        const slots = new Int32Array(this.slots.length * 2);
        slots.set(this.slots);
        this.slots = slots;
        const lengths = new Uint8Array(this.lengths.length * 2);
        lengths.set(this.lengths);
        this.lengths = lengths;
      }
    }
    this.slots.fill(value, node * NODE_SLOTS, (node + 1) * NODE_SLOTS);
    this.lengths.fill(owner, node * NODE_SLOTS, (node + 1) * NODE_SLOTS);
    return node;
  }

  /** Fold nodes whose slots are all alike (one owner, no children) back into their parent's slot. */
  private prune(prefix: number, length: number): void {
    const high = prefix >>> 16;
    if (length <= 16 || this.root[high] >= 0) return;
    const middle = -this.root[high] - 1;
    const at = middle * NODE_SLOTS + ((prefix >>> 8) & 255);
    if (length > 24 && this.slots[at] < 0) {
      const low = -this.slots[at] - 1;
      if (this.isUniform(low)) {
        this.slots[at] = this.slots[low * NODE_SLOTS];
        this.lengths[at] = this.lengths[low * NODE_SLOTS];
        this.spare.push(low);
      }
    }
    if (this.isUniform(middle)) {
      this.root[high] = this.slots[middle * NODE_SLOTS];
      this.rootLength[high] = this.lengths[middle * NODE_SLOTS];
      this.spare.push(middle);
    }
  }

  private isUniform(node: number): boolean {
    const from = node * NODE_SLOTS;
    const value = this.slots[from];
    const owner = this.lengths[from];
    if (value < 0) return false;
    for (let i = from + 1; i < from + NODE_SLOTS; i++) {
      if (this.slots[i] !== value || this.lengths[i] !== owner) return false;
    }
    return true;
  }
}
