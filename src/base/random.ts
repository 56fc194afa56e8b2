/** A small seeded generator (xorshift32) for choices that need spread, not secrecy against someone who knows the seed. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed | 0) || 0x9e3779b9;
  }

  /** Next 32 random bits, as a signed integer. */
  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x | 0;
    return this.state;
  }

  /** A whole number from 0 to bound - 1 (bound ≤ 65,536). */
  below(bound: number): number {
    return Math.floor(((this.next() >>> 0) / 4294967296) * bound);
  }
}
