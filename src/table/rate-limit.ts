/**
 * Token buckets for what the router sends unasked, ICMP errors and resets (RFC 1812 §4.3.2.8): one for all, and a small hashed set by
 * destination so that one noisy host cannot use up everybody's share. A bucket holds one second's worth.
 */
import { finish, mix } from '../base/hash.js';

const BUCKETS = 1024;

export class RateLimit {
  private readonly perSecond: number;
  private readonly perDestination: number;
  private readonly seed: number;
  private tokens: number;
  private filledAtMs = 0;
  private readonly destinationTokens: Float64Array;
  private readonly destinationFilledAtMs = new Float64Array(BUCKETS);
  /** Times something was not sent because of the limit. */
  limited = 0;

  constructor(perSecond: number, perDestination: number, seed: number) {
    this.perSecond = perSecond;
    this.perDestination = perDestination;
    this.seed = seed;
    this.tokens = perSecond;
    this.destinationTokens = new Float64Array(BUCKETS).fill(perDestination);
  }

  /** True when one more may be sent to `destination` now; takes it from both buckets. */
  take(destination: number, nowMs: number): boolean {
    const i = finish(mix(this.seed, destination)) & (BUCKETS - 1);
    this.tokens = Math.min(this.perSecond, this.tokens + ((nowMs - this.filledAtMs) / 1000) * this.perSecond);
    this.filledAtMs = nowMs;
    const sinceMs = nowMs - this.destinationFilledAtMs[i];
    const own = Math.min(this.perDestination, this.destinationTokens[i] + (sinceMs / 1000) * this.perDestination);
    this.destinationFilledAtMs[i] = nowMs;
    this.destinationTokens[i] = own;
    if (this.tokens < 1 || own < 1) {
      this.limited++;
      return false;
    }
    this.tokens -= 1;
    this.destinationTokens[i] = own - 1;
    return true;
  }
}
