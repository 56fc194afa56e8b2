/**
 * Maglev hashing (Eisenbud et al., NSDI 2016, §3.4): a table of a prime number of places, filled by targets that take turns, each in an order of
 * places of its own that depends on its key alone. So balancers that know the same targets have the same table without a word between them, in
 * whatever order and with whatever history they know them; and a target that is added or removed moves little more than its own part.
 *
 * Weights: a target takes as many turns a round as its weight is of the greatest one; what is left over is carried to its next round, so that 3:2
 * is 3:2 and not 2:1. A part is off by less than 1 + targets × share places; a target whose share is less than a place may have none.
 *
 * The table holds places in the pool; turns go by key, so the order of the pool does not matter. Its size depends on the number of targets, those
 * without a weight among them.
 *
 * Cost of a pick: one load. Sharing out anew costs places × ln(places) steps, at the next pick after a weight has changed: 0.3 to 0.7 ms for the
 * smallest table, 17 ms for a thousand targets. A target that goes down or fills up changes no weight (address-hash.ts).
 */
import { assert } from '../../base/assert.js';
import { finish, mix } from '../../base/hash.js';
import type { Target } from '../target.js';
import { AddressHash, type Slots } from './address-hash.js';
import type { SchedulerType } from './scheduler.js';

const NONE = -1;
/** Primes. */
const SIZES: readonly number[] = [16_381, 65_521, 262_139, 1_048_573];
/** Places for each target, so that parts are off by about one in a hundred (§5.3 there). */
const PLACES_PER_TARGET = 100;
/** What the largest table has room for; and a place is 16 bits. */
export const TARGETS_MAX = 10_485;

/** Places of the table for so many targets. */
export function placesFor(targets: number): number {
  assert(targets <= TARGETS_MAX, `mh: ${targets} targets, ${TARGETS_MAX} at most`);
  return SIZES.find((size) => targets * PLACES_PER_TARGET <= size) as number;
}

export class MaglevTable implements Slots {
  readonly followHistory = false;
  /** Place of the table → target, NONE while nobody has a weight. */
  readonly places: Int16Array;
  /** Targets in the order of their turns. */
  private readonly turns: readonly number[];
  /** A target's order of places: offset, offset + skip, offset + 2 skip … (mod the size). */
  private readonly offsets: Int32Array;
  private readonly skips: Int32Array;

  constructor(targets: readonly Target[]) {
    const size = placesFor(targets.length);
    this.places = new Int16Array(size).fill(NONE);
    this.turns = targets.map((_, i) => i).sort((a, b) => targets[a].key - targets[b].key);
    this.offsets = Int32Array.from(targets, ({ key }) => (finish(mix(1, key)) >>> 0) % size);
    this.skips = Int32Array.from(targets, ({ key }) => ((finish(mix(2, key)) >>> 0) % (size - 1)) + 1);
  }

  at(hash: number): number { return this.places[(hash >>> 0) % this.places.length]; }

  share(weights: ArrayLike<number>): void {
    const { places, skips } = this;
    const size = places.length;
    places.fill(NONE);
    const turns = this.turns.filter((target) => weights[target] > 0);
    const greatest = turns.reduce((most, target) => Math.max(most, weights[target]), 0);
    if (greatest === 0) return;
    const next = this.offsets.slice();
    const owed = new Float64Array(next.length);
    for (let filled = 0; ;) {
      for (const target of turns) {
        owed[target] += weights[target];
        if (owed[target] < greatest) continue;
        owed[target] -= greatest;
        const skip = skips[target];
        let place = next[target];
        while (places[place] !== NONE) {
          place += skip;
          if (place >= size) place -= size;
        }
        places[place] = target;
        next[target] = place;
        if (++filled === size) return;
      }
    }
  }
}

export const mh: SchedulerType = {
  name: 'mh',
  sentence: 'Maglev hashing: a client (its address, or its address and port) always comes to the same server, by whichever of several balancers',
  use: 'As sh with several routers at work at once, or where clients must find their server again after a restart: the table depends on the servers and weights alone.',
  by: 'source',
  shares: 'weight',
  disruption: 'As sh while servers go down and come back. One that is added, removed or given another weight moves its own part of the clients and a few of the others, the same ones at every balancer.',
  moves: { again: 0, down: 9, back: 9, added: 10, removed: 10, halved: 5 },
  create: (pool, { fallBack }) => new AddressHash(pool, new MaglevTable(pool.targets), fallBack),
};
