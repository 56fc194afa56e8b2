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
    // The ends first: they tell most sets apart.
    const { ranges: ours } = this;
    const { ranges: theirs } = other;
    if (theirs.length === 0) return true;
    if (ours.length === 0 || ours[0].first > theirs[0].first || ours[ours.length - 1].last < theirs[theirs.length - 1].last) return false;
    return theirs.every(({ first, last }) => {
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
    return this.ranges[placeOf(this.ranges, value)];
  }
}

/** Ranges with owners, of which no two may have a number in common. */
export class Claims<T> {
  readonly #claims: (Range & { owner: T })[] = [];

  /** Undefined when the range is the owner's now; otherwise the claim that is there already. */
  claim({ first, last }: Range, owner: T): Range & { owner: T } | undefined {
    const place = placeOf(this.#claims, first);
    const next = this.#claims[place];
    if (next !== undefined && next.first <= last) return next;
    this.#claims.splice(place, 0, { first, last, owner });
    return undefined;
  }
}

/** Of disjoint ranges in rising order, the place of the first that ends at `value` or behind it. */
function placeOf(ranges: readonly Range[], value: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle].last < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
