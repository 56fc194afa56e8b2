/** Sets of whole numbers as ranges: ports, and addresses as numbers from 0 to 2^32 - 1. */

/** Both ends included. */
export interface Range { first: number; last: number }

export class RangeSet {
  /** In rising order, none touching the next. */
  readonly ranges: readonly Range[];

  constructor(ranges: readonly Range[]) {
    const merged: Range[] = [];
    for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
      const before = merged.at(-1);
      if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
      else merged.push({ first, last });
    }
    this.ranges = merged;
  }

  /** True when every number of the other is one of ours. */
  covers(other: RangeSet): boolean {
    return other.ranges.every(({ first, last }) => {
      const around = this.#from(first);
      return around !== undefined && around.first <= first && last <= around.last;
    });
  }

  overlaps(range: Range): boolean {
    const next = this.#from(range.first);
    return next !== undefined && next.first <= range.last;
  }

  /** The first range that ends at `value` or behind it. */
  #from(value: number): Range | undefined {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle].last < value) low = middle + 1;
      else high = middle;
    }
    return this.ranges[low];
  }
}
