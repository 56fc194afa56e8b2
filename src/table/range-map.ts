/**
 * Ranges of 32-bit numbers and what each stands for: ports, or addresses as int32. Made once from ranges in order of precedence (where two
 * overlap the earlier one counts), looked up by binary search: ⌈log₂ n⌉ steps, no allocation.
 *
 * Shape: n disjoint ranges in ascending unsigned order; firsts[i] … lasts[i] have values[i]. Numbers are kept with their top bit turned, so
 * that signed comparison of int32 words orders them as unsigned.
 */

const NONE = -1;
const TOP = 0x8000_0000 | 0;

/** Both ends included, as unsigned numbers. */
export interface Range { first: number; last: number; value: number }

export class RangeMap {
  private readonly firsts: Int32Array;
  private readonly lasts: Int32Array;
  private readonly values: Int32Array;

  constructor(ranges: readonly Range[]) {
    const pieces = disjoint(ranges);
    this.firsts = Int32Array.from(pieces, (piece) => piece.first ^ TOP);
    this.lasts = Int32Array.from(pieces, (piece) => piece.last ^ TOP);
    this.values = Int32Array.from(pieces, (piece) => piece.value);
  }

  get size(): number { return this.firsts.length; }

  /** Value (≥ 0) of the range that holds a number (int32 or uint32), or NONE. */
  find(number: number): number {
    const key = number ^ TOP;
    const { firsts } = this;
    let low = 0;
    let high = firsts.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (firsts[middle] <= key) low = middle + 1;
      else high = middle - 1;
    }
    // `high` is the last range that begins at or before the number.
    return high >= 0 && key <= this.lasts[high] ? this.values[high] : NONE;
  }
}

/**
 * The same numbers with the same values as disjoint ranges in ascending order, neighbours of one value joined. Each elementary interval is
 * given to the first range that covers it; `next` skips those that are taken, so the whole costs O(n log n).
 */
function disjoint(ranges: readonly Range[]): Range[] {
  const bounds = [...new Set(ranges.flatMap(({ first, last }) => [first, last + 1]))].sort((a, b) => a - b);
  const place = new Map(bounds.map((bound, i) => [bound, i]));
  const owner = new Array<number>(bounds.length).fill(NONE);
  const next = bounds.map((_, i) => i);
  const free = (from: number): number => {
    let i = from;
    while (next[i] !== i) i = next[i] = next[next[i]];
    return i;
  };
  for (const { first, last, value } of ranges) {
    const end = place.get(last + 1) as number;
    for (let i = free(place.get(first) as number); i < end; i = free(i)) {
      owner[i] = value;
      next[i] = i + 1;
    }
  }
  const pieces: Range[] = [];
  for (let i = 0; i < bounds.length - 1; i++) {
    if (owner[i] === NONE) continue;
    const before = pieces.at(-1);
    if (before !== undefined && before.last + 1 === bounds[i] && before.value === owner[i]) before.last = bounds[i + 1] - 1;
    else pieces.push({ first: bounds[i], last: bounds[i + 1] - 1, value: owner[i] });
  }
  return pieces;
}
