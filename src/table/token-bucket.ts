/**
 * Token buckets of filter rules: one for a rule, or one for each source address a rule sees.
 *
 * The buckets by source are a table of BUCKETS entries in sets of WAYS, found by a seeded hash of rule and source. When a set is full the
 * bucket used least recently makes room; its source begins anew with a full burst, so a flood of made-up sources can at most
 * widen the limit of some and never narrow anyone's. Whoever made the buckets is told of it.
 */
import { finish, mix } from '../base/hash.js';

/** Sources remembered at once, of all rules together. */
export const BUCKETS = 16_384;
const WAYS = 4;

export class TokenBuckets {
  private readonly perSecond: Float64Array;
  private readonly burst: Float64Array;
  /** One bucket a rule, for those limited in all. */
  private readonly ruleTokens: Float64Array;
  private readonly ruleFilledAtMs: Float64Array;
  /** The table by source; its arrays are empty when no rule needs it. */
  private readonly rules: Int32Array;
  private readonly sources: Int32Array;
  private readonly tokens: Float64Array;
  private readonly filledAtMs: Float64Array;
  private readonly seed: number;
  private readonly onEvict: () => void;

  /** @param rates by rule; null for a rule without one. @param onEvict told when a bucket makes room before it is full again. */
  constructor(rates: readonly ({ perSecond: number; burst: number; by: 'source' | 'rule' } | null)[], seed: number, onEvict: () => void) {
    this.onEvict = onEvict;
    this.perSecond = Float64Array.from(rates, (rate) => rate?.perSecond ?? 0);
    this.burst = Float64Array.from(rates, (rate) => rate?.burst ?? 0);
    this.ruleTokens = Float64Array.from(this.burst);
    this.ruleFilledAtMs = new Float64Array(rates.length);
    const length = rates.some((rate) => rate?.by === 'source') ? BUCKETS : 0;
    this.rules = new Int32Array(length).fill(-1);
    this.sources = new Int32Array(length);
    this.tokens = new Float64Array(length);
    this.filledAtMs = new Float64Array(length);
    this.seed = seed;
  }

  /** Takes `count` tokens of a rule's bucket; false, and nothing taken, when it does not hold so many. */
  takeOfRule(rule: number, count: number, nowMs: number): boolean {
    const burst = this.burst[rule];
    const held = Math.min(burst, this.ruleTokens[rule] + ((nowMs - this.ruleFilledAtMs[rule]) / 1000) * this.perSecond[rule]);
    this.ruleFilledAtMs[rule] = nowMs;
    // What alone is more than a burst (a super-frame) passes with a full bucket, and is paid off afterwards.
    const isEnough = held >= count || held >= burst;
    this.ruleTokens[rule] = isEnough ? held - count : held;
    return isEnough;
  }

  /** The same with the bucket of a source (int32). */
  takeOfSource(rule: number, source: number, count: number, nowMs: number): boolean {
    const { tokens, filledAtMs } = this;
    const burst = this.burst[rule];
    const i = this.bucket(rule, source, nowMs);
    const held = Math.min(burst, tokens[i] + ((nowMs - filledAtMs[i]) / 1000) * this.perSecond[rule]);
    filledAtMs[i] = nowMs;
    const isEnough = held >= count || held >= burst;
    tokens[i] = isEnough ? held - count : held;
    return isEnough;
  }

  private bucket(rule: number, source: number, nowMs: number): number {
    const { rules, sources, filledAtMs } = this;
    const first = finish(mix(mix(this.seed, rule), source)) & (BUCKETS - WAYS);
    let oldest = first;
    for (let i = first; i < first + WAYS; i++) {
      if (rules[i] === rule && sources[i] === source) return i;
      if (rules[i] === -1 || (rules[oldest] !== -1 && filledAtMs[i] < filledAtMs[oldest])) oldest = i;
    }
    if (rules[oldest] !== -1 && !this.isFull(oldest, nowMs)) this.onEvict();
    rules[oldest] = rule;
    sources[oldest] = source;
    this.tokens[oldest] = this.burst[rule];
    filledAtMs[oldest] = nowMs;
    return oldest;
  }

  private isFull(i: number, nowMs: number): boolean {
    const rule = this.rules[i];
    return this.tokens[i] + ((nowMs - this.filledAtMs[i]) / 1000) * this.perSecond[rule] >= this.burst[rule];
  }
}
