/**
 * A slow, plain judge of what Health must say: it keeps the whole history and works everything out anew from it, with sums over all falls in the
 * place of a running penalty and lists in the place of a ring.
 */
import type { CheckPlan, ThresholdPlan } from '../../src/base/plan.js';
import type { ProbeResult } from '../../src/health/check/check.js';

export type Happening = { atMs: number; results: ProbeResult[] } | { atMs: number; carrier: boolean };

export interface Verdict { isUp: boolean; isSuppressed: boolean; lossRatio: number | null; latencyMs: number | null; jitterMs: number | null; /** Of every fall counted. */ fellMs: number[] }

const mean = (values: number[]): number | null => (values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length);

/** The number that `need` targets keep to. */
function kept(values: (number | null)[], need: number): number | null {
  const known = values.filter((v): v is number => v !== null);
  return known.length < need ? null : known.toSorted((a, b) => a - b)[need - 1];
}

function measure(plan: CheckPlan, rounds: ProbeResult[][]): Pick<Verdict, 'lossRatio' | 'latencyMs' | 'jitterMs'> {
  const columns = plan.probes.map((_, i) => rounds.map((round) => round[i]));
  const trips = columns.map((column) => column.filter((r) => r.isOk && r.latencyMs !== null).map((r) => r.latencyMs as number));
  return {
    lossRatio: kept(columns.map((column) => mean(column.map((r) => (r.isOk ? 0 : 1)))), plan.need),
    latencyMs: kept(trips.map(mean), plan.need),
    jitterMs: kept(trips.map((list) => mean(list.slice(1).map((trip, i) => Math.abs(trip - list[i])))), plan.need),
  };
}

function penaltyAt(fellMs: number[], atMs: number, halfLifeMs: number): number {
  return fellMs.reduce((sum, fell) => sum + 0.5 ** ((atMs - fell) / halfLifeMs), 0);
}

/** What stands after all of `history`. The plan's damping must not reach its ceiling. */
export function judge(plan: CheckPlan, history: readonly Happening[]): Verdict {
  const { damping } = plan;
  let isWell = plan.initial === 'up', hasCarrier = true, hasVerdict = false, wasUp = false, isSuppressed = false;
  let rounds: ProbeResult[][] = [];
  let verdicts: boolean[] = [];
  let exceeded = new Set<string>();
  const fellMs: number[] = [];
  const release = (atMs: number): void => {
    if (damping !== undefined && isSuppressed && penaltyAt(fellMs, atMs, damping.halfLifeMs) <= damping.reuse * (1 + 1e-12)) isSuppressed = false;
  };
  const fall = (atMs: number): void => {
    if (!isWell) return;
    isWell = false;
    if (!wasUp) return;
    release(atMs);
    fellMs.push(atMs);
    if (damping !== undefined && penaltyAt(fellMs, atMs, damping.halfLifeMs) >= damping.suppress) isSuppressed = true;
  };
  for (const happening of history) {
    if ('carrier' in happening) {
      if (happening.carrier !== hasCarrier) {
        hasCarrier = happening.carrier;
        verdicts = [];
        if (!hasCarrier) fall(happening.atMs);
        else {
          rounds = [];
          exceeded = new Set();
          if (!hasVerdict && plan.initial === 'up') isWell = true;
        }
      }
    } else if (hasCarrier) {
      rounds = [...rounds, happening.results].slice(-plan.window);
      const measures = measure(plan, rounds);
      const lossWhenRestIsGood = Math.round((measures.lossRatio ?? 0) * rounds.length) / plan.window;
      const thresholds: [string, ThresholdPlan | undefined, number | null][] = [['loss', plan.loss, measures.lossRatio], ['latency', plan.latencyMs, measures.latencyMs], ['jitter', plan.jitterMs, measures.jitterMs]];
      for (const [name, threshold, value] of thresholds) {
        if (threshold === undefined || value === null) continue;
        if (exceeded.has(name) && value < threshold.recover) exceeded.delete(name);
        else if (!exceeded.has(name) && rounds.length * 4 >= plan.window && (name === 'loss' ? lossWhenRestIsGood : value) > threshold.fail) exceeded.add(name);
      }
      verdicts.push(happening.results.filter((r) => r.isOk).length >= plan.need && exceeded.size === 0);
      const last = (count: number, isGood: boolean): boolean => verdicts.length >= count && verdicts.slice(-count).every((v) => v === isGood);
      if (last(plan.rise, true)) { isWell = true; hasVerdict = true; wasUp = true; }
      if (last(plan.fall, false)) { hasVerdict = true; fall(happening.atMs); }
    }
    release(happening.atMs);
  }
  const measures = rounds.length === 0 ? { lossRatio: null, latencyMs: null, jitterMs: null } : measure(plan, rounds);
  // While the carrier is away the last measures stand.
  return { isUp: isWell && !isSuppressed, isSuppressed, ...measures, fellMs };
}
