/**
 * A pool is the targets a scheduler picks from, in a fixed order, and the version that says when they last changed. Weights and usability change by
 * `set` alone; the counts of flows change without a word, for schedulers that read them read them at every pick.
 */
import type { Target } from './target.js';

export class Pool<T extends Target = Target> {
  readonly targets: readonly T[];
  /** Goes up with every change of weight or state, so that a scheduler knows when to look again. */
  version = 0;

  constructor(targets: readonly T[]) { this.targets = targets; }

  /** Change a target and tell the scheduler. */
  set(target: T, change: Partial<Pick<Target, 'weight' | 'isUsable'>>): void {
    Object.assign(target, change);
    this.version++;
  }

  /** Weight that counts now: 0 while a target is down. */
  static effectiveWeight(target: Target): number { return target.isUsable ? target.weight : 0; }
}
