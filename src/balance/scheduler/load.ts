/**
 * What least-loaded schedulers compare: load over weight, without dividing. Not a scheduler. Of equals the first in the pool wins, as in IPVS.
 */
import { Pool } from '../pool.js';
import type { Target } from '../target.js';

const NONE = -1;
/** What an active flow costs in inactive ones, as IPVS counts. */
export const ACTIVE = 256;

/** Flows a target has, active ones in full and inactive ones a little. */
export function load(target: Target): number { return target.active * ACTIVE + target.inactive; }

/** Active flows it would have with one more. */
export function delay(target: Target): number { return target.active + 1; }

/** Place of the target for which cost ÷ weight is least, the first of equals; NONE when none may be chosen. */
export function least(targets: readonly Target[], cost: (target: Target) => number): number {
  let best = NONE;
  let bestCost = 0, bestWeight = 0;
  for (let i = 0; i < targets.length; i++) {
    const weight = Pool.effectiveWeight(targets[i]);
    if (weight === 0) continue;
    const its = cost(targets[i]);
    if (best === NONE || its * bestWeight < bestCost * weight) {
      best = i;
      bestCost = its;
      bestWeight = weight;
    }
  }
  return best;
}
