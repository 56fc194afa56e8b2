/**
 * A lazy timer wheel over entries that are numbered 0 … capacity - 1, at most one timer each.
 *
 * An entry stands in the bucket of the tick it was armed for. Prolonging costs nothing: the owner only stores a later deadline of
 * its own, and when the bucket's turn comes the entry is asked and armed again. Shortening means `arm` again. Buckets
 * are doubly linked lists inside two Int32Arrays, so arming and disarming are O(1); a deadline beyond the wheel's span waits in
 * the furthest bucket and is armed again from there.
 */
const NONE = -1;

export class TimerWheel {
  private readonly heads: Int32Array;
  private readonly nextOf: Int32Array;
  private readonly previousOf: Int32Array;
  private readonly bucketOf: Int32Array;
  private readonly mask: number;
  private tick = 0;
  /** Entry the sweep of the current bucket goes on with, when a budget cut it short. */
  private resumeAt = NONE;
  private sweeping = false;

  /** @param span buckets, a power of two: the furthest deadline in ticks that fires without a second look. */
  constructor(capacity: number, span: number) {
    this.heads = new Int32Array(span).fill(NONE);
    this.nextOf = new Int32Array(capacity);
    this.previousOf = new Int32Array(capacity);
    this.bucketOf = new Int32Array(capacity).fill(NONE);
    this.mask = span - 1;
  }

  /** Tick up to which everything due has been fired. */
  get firedTick(): number { return this.tick; }

  /** Arm entry for `tick` (absolute), replacing what it was armed for. A tick that has passed fires at the next advance. */
  arm(entry: number, tick: number): void {
    if (this.bucketOf[entry] !== NONE) this.disarm(entry);
    const soonest = this.tick + 1;
    const furthest = this.tick + this.mask;
    const at = tick < soonest ? soonest : tick > furthest ? furthest : tick;
    const bucket = at & this.mask;
    const head = this.heads[bucket];
    this.nextOf[entry] = head;
    this.previousOf[entry] = NONE;
    if (head !== NONE) this.previousOf[head] = entry;
    this.heads[bucket] = entry;
    this.bucketOf[entry] = bucket;
  }

  disarm(entry: number): void {
    const bucket = this.bucketOf[entry];
    if (bucket === NONE) return;
    const next = this.nextOf[entry];
    const previous = this.previousOf[entry];
    if (previous === NONE) this.heads[bucket] = next;
    else this.nextOf[previous] = next;
    if (next !== NONE) this.previousOf[next] = previous;
    if (this.resumeAt === entry) this.resumeAt = next;
    this.bucketOf[entry] = NONE;
  }

  /**
   * Go on to `toTick`, calling `fire` for each entry whose bucket has come; it answers with the tick to arm the entry for again, or
   * a tick ≤ the present one when the entry is gone. Looks at no more than `budget` entries and returns true when it got all
   * the way; otherwise the next call goes on where this one stopped.
   */
  advance(toTick: number, budget: number, fire: (entry: number, tick: number) => number): boolean {
    let left = budget;
    while (this.tick < toTick || this.sweeping) {
      if (!this.sweeping) {
        this.tick++;
        this.sweeping = true;
        this.resumeAt = this.heads[this.tick & this.mask];
      }
      while (this.resumeAt !== NONE) {
        if (left-- <= 0) return false;
        const entry = this.resumeAt;
        this.disarm(entry);
        const again = fire(entry, this.tick);
        if (again > this.tick) this.arm(entry, again);
      }
      this.sweeping = false;
    }
    return true;
  }
}
