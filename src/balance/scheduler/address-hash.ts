/**
 * Hashing of addresses: a hash names a slot, and the slot its target. Not a scheduler; `sh`, `dh` and `mh` are this over slots of their own kind.
 *
 * The slots are shared out by weight over all targets that have one, up or down, so a target that goes and comes back finds its clients again, and one
 * that is full for a moment costs nobody a new sharing out. While the slot's target may not be chosen the flow gets none; with `fallBack` the hash is
 * mixed on until it names a target that may. So each hash has an order of targets of its own, and a target that goes disturbs nobody but those it had.
 *
 * Cost of a pick: one load; with `fallBack` one more for every target found unusable, TRIES at most, and then a pass over all of them.
 */
import { finish, mix } from '../../base/hash.js';
import { Pool } from '../pool.js';
import type { Scheduler } from './scheduler.js';

const NONE = -1;
/** Other slots looked at before the targets are gone through in order. */
const TRIES = 16;

export interface Slots {
  /** The target a hash comes to, or NONE while nobody has a weight. */
  at(hash: number): number;
  /** Share the slots out by these weights, one per target. */
  share(weights: ArrayLike<number>): void;
}

export class AddressHash implements Scheduler {
  private readonly pool: Pool;
  private readonly slots: Slots;
  private readonly fallBack: boolean;
  /** Weights the slots are shared out by. */
  private readonly weights: Float64Array;
  private seenVersion = NONE;

  constructor(pool: Pool, slots: Slots, fallBack: boolean) {
    this.pool = pool;
    this.slots = slots;
    this.fallBack = fallBack;
    this.weights = new Float64Array(pool.targets.length);
  }

  pick(hash: number): number {
    if (this.seenVersion !== this.pool.version) this.look();
    const place = this.slots.at(hash);
    if (place === NONE || Pool.effectiveWeight(this.pool.targets[place]) > 0) return place;
    return this.fallBack ? this.another(hash) : NONE;
  }

  private another(hash: number): number {
    const { targets } = this.pool;
    let next = hash;
    for (let i = 1; i <= TRIES; i++) {
      next = finish(mix(next, i));
      const other = this.slots.at(next);
      if (Pool.effectiveWeight(targets[other]) > 0) return other;
    }
    const from = (next >>> 0) % targets.length;
    for (let i = 0; i < targets.length; i++) {
      const other = (from + i) % targets.length;
      if (Pool.effectiveWeight(targets[other]) > 0) return other;
    }
    return NONE;
  }

  /** The pool has changed; if it was a weight, the slots are shared out anew. */
  private look(): void {
    this.seenVersion = this.pool.version;
    const { weights } = this;
    let isChanged = false;
    for (let i = 0; i < weights.length; i++) {
      const { weight } = this.pool.targets[i];
      if (weights[i] === weight) continue;
      weights[i] = weight;
      isChanged = true;
    }
    if (isChanged) this.slots.share(weights);
  }
}
