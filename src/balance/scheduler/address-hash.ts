/**
 * Hashing of addresses: a hash names a slot, and the slot its target. Not a scheduler; `sh`, `dh` and `mh` are this over slots of their own kind.
 *
 * The slots are shared out by weight over all targets that have one, up or down, so a target that goes and comes back finds its clients again, and one
 * that is full for a moment costs nobody a new sharing out. While the slot's target may not be chosen the flow gets none; with `fallBack` the
 * targets that may be chosen compete for it (weighted rendezvous): each draws a number of hash and key, exponentially distributed by its weight, and the
 * least one wins. So each hash has an order of targets of its own, clients without their server are split by weight, and a target that goes
 * disturbs nobody but those it had.
 *
 * Slots that follow history (`sh`, `dh`) keep a target's part while it may not be chosen, whatever weight it is given meanwhile, so that nobody
 * else's clients move for it; only without `fallBack` a weight of 0 counts at once, or its clients would be refused for nothing. Slots that must be
 * the same on every router (`mh`) go by the weights of the moment.
 *
 * Cost of a pick: one load; with `fallBack`, while the slot's target may not be chosen, one pass over the targets and a logarithm each.
 */
import { finish, mix } from '../../base/hash.js';
import { Pool } from '../pool.js';
import type { Scheduler } from './scheduler.js';

const NONE = -1;
const ALL_HASHES = 0x1_0000_0000;

export interface Slots {
  /** They depend on what has been before. */
  readonly followHistory: boolean;
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

  /** The target that wins a hash whose own may not be chosen. */
  private another(hash: number): number {
    const { targets } = this.pool;
    let best = NONE;
    let least = Infinity;
    for (let i = 0; i < targets.length; i++) {
      const weight = Pool.effectiveWeight(targets[i]);
      if (weight === 0) continue;
      const draw = -Math.log(((finish(mix(hash, targets[i].key)) >>> 0) + 1) / ALL_HASHES) / weight;
      if (draw >= least) continue;
      best = i;
      least = draw;
    }
    return best;
  }

  /** The pool has changed; if it was a weight, the slots are shared out anew. */
  private look(): void {
    const isFirst = this.seenVersion === NONE;
    this.seenVersion = this.pool.version;
    const { weights } = this;
    let isChanged = false;
    for (let i = 0; i < weights.length; i++) {
      const { weight, isUsable } = this.pool.targets[i];
      if (weights[i] === weight) continue;
      const isOut = weight === 0 || !isUsable;
      if (isOut && !isFirst && this.slots.followHistory && (weight > 0 || this.fallBack)) continue;
      weights[i] = weight;
      isChanged = true;
    }
    if (isChanged) this.slots.share(weights);
  }
}
