/**
 * What lblc and lblcr share: which servers have a destination. Not a scheduler.
 *
 * A destination goes to the least loaded of its servers. When that one is overloaded (more active flows than its weight) while another has less than
 * half of what it may have, the least loaded of all is chosen: with lblc the destination moves there, with lblcr that one joins the destination's set.
 * A set that has not changed for SHRINK_MS gives up its most loaded server with the next flow, so that replicas are not kept for good (IPVS
 * waits a day unless told otherwise). One whose servers may none be chosen begins anew.
 *
 * A destination is known by its hash; two with the same one share their servers. DESTINATIONS are remembered; another one takes the place of the
 * one longest out of use, which is counted.
 *
 * Shape: per entry the hash, a set of servers (bits, 32 a word), when it last changed, and its neighbours in a list by use. Cost of a pick: one look-up
 * and a pass over the set's words and members; over all targets when the one found is overloaded or there is none. Nothing is allocated.
 */
import { HashIndex } from '../../base/hash-index.js';
import { Pool } from '../pool.js';
import { least, load } from './load.js';
import type { Scheduler } from './scheduler.js';

const NONE = -1;
export const DESTINATIONS = 4096;
export const SHRINK_MS = 360_000;

export class Locality implements Scheduler {
  evicted = 0;
  private readonly pool: Pool;
  private readonly replicates: boolean;
  private readonly nowMs: () => number;
  private readonly index = new HashIndex(DESTINATIONS);
  private readonly keys = new Int32Array(DESTINATIONS);
  private readonly changedAtMs = new Float64Array(DESTINATIONS);
  private readonly newer = new Int32Array(DESTINATIONS).fill(NONE);
  private readonly older = new Int32Array(DESTINATIONS).fill(NONE);
  private newest = NONE;
  private oldest = NONE;
  private count = 0;
  /** Words of a set. */
  private readonly words: number;
  /** Servers of an entry; with lblc one at most. */
  private readonly sets: Int32Array;

  /** @param replicates lblcr: a destination in demand gets more servers; else it moves. */
  constructor(pool: Pool, replicates: boolean, nowMs: () => number) {
    this.pool = pool;
    this.replicates = replicates;
    this.nowMs = nowMs;
    this.words = Math.ceil(pool.targets.length / 32);
    this.sets = new Int32Array(DESTINATIONS * this.words);
  }

  pick(hash: number): number {
    let entry = this.find(hash);
    const had = entry === NONE ? NONE : this.leastOf(entry);
    if (entry !== NONE) {
      this.use(entry);
      if (this.replicates) this.shrink(entry, had);
    }
    if (had !== NONE && !this.isOverloaded(had)) return had;
    const place = least(this.pool.targets, load);
    if (place === NONE || place === had) return place;
    if (entry === NONE) entry = this.take(hash);
    if (!this.replicates || had === NONE) this.clear(entry);
    this.join(entry, place);
    return place;
  }

  /** It has more than it should, and somebody has less than half of that. */
  private isOverloaded(place: number): boolean {
    const { targets } = this.pool;
    if (targets[place].active <= targets[place].weight) return false;
    for (let i = 0; i < targets.length; i++) if (targets[i].active * 2 < Pool.effectiveWeight(targets[i])) return true;
    return false;
  }

  /** The least loaded server of an entry that may be chosen, the first of equals, or NONE. */
  private leastOf(entry: number): number {
    const { targets } = this.pool;
    let best = NONE;
    for (let word = 0; word < this.words; word++) {
      for (let bits = this.sets[entry * this.words + word]; bits !== 0; bits &= bits - 1) {
        const place = word * 32 + lowestBit(bits);
        const target = targets[place];
        if (Pool.effectiveWeight(target) > 0 && (best === NONE || load(target) * targets[best].weight < load(targets[best]) * target.weight)) best = place;
      }
    }
    return best;
  }

  /** Let one server of a set go, when there are several and the set has stood for long: the most loaded one, one without a weight before all. */
  private shrink(entry: number, kept: number): void {
    const nowMs = this.nowMs();
    if (nowMs - this.changedAtMs[entry] < SHRINK_MS) return;
    const { targets } = this.pool;
    let most = NONE;
    for (let word = 0; word < this.words; word++) {
      for (let bits = this.sets[entry * this.words + word]; bits !== 0; bits &= bits - 1) {
        const place = word * 32 + lowestBit(bits);
        if (place !== kept && (most === NONE || load(targets[place]) * targets[most].weight > load(targets[most]) * targets[place].weight
          || (targets[place].weight === 0 && targets[most].weight > 0))) most = place;
      }
    }
    if (most === NONE || kept === NONE) return;
    this.sets[entry * this.words + (most >>> 5)] &= ~(1 << (most & 31));
    this.changedAtMs[entry] = nowMs;
  }

  private join(entry: number, place: number): void {
    this.sets[entry * this.words + (place >>> 5)] |= 1 << (place & 31);
    this.changedAtMs[entry] = this.nowMs();
  }

  private clear(entry: number): void {
    for (let word = 0; word < this.words; word++) this.sets[entry * this.words + word] = 0;
  }

  private find(key: number): number {
    const slot = this.index.first(key);
    return slot < 0 ? NONE : this.index.reference(slot);
  }

  /** A new entry without servers; the place of the one longest out of use when there is no other. */
  private take(key: number): number {
    let entry = this.count;
    if (entry < DESTINATIONS) this.count++;
    else {
      entry = this.oldest;
      this.index.remove(this.keys[entry], entry);
      this.unlink(entry);
      this.evicted++;
    }
    this.keys[entry] = key;
    this.index.add(key, entry);
    this.clear(entry);
    this.link(entry);
    return entry;
  }

  private use(entry: number): void {
    if (entry === this.newest) return;
    this.unlink(entry);
    this.link(entry);
  }

  private link(entry: number): void {
    this.older[entry] = this.newest;
    this.newer[entry] = NONE;
    if (this.newest !== NONE) this.newer[this.newest] = entry;
    this.newest = entry;
    if (this.oldest === NONE) this.oldest = entry;
  }

  private unlink(entry: number): void {
    const newer = this.newer[entry], older = this.older[entry];
    if (newer === NONE) this.newest = older;
    else this.older[newer] = older;
    if (older === NONE) this.oldest = newer;
    else this.newer[older] = newer;
  }
}

function lowestBit(bits: number): number { return 31 - Math.clz32(bits & -bits); }
