/** Plans of checks, with what a test does not care about filled in, and results. */
import type { CheckPlan, ProbePlan } from '../../src/base/plan.js';
import type { ProbeResult } from '../../src/health/check/check.js';

export const TARGETS = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5'];

export function probesOf(count: number): ProbePlan[] {
  return TARGETS.slice(0, count).map((target) => ({ kind: 'icmp', target }));
}

export function plan(some: Partial<CheckPlan> = {}): CheckPlan {
  return { probes: probesOf(1), need: 1, intervalMs: 1000, timeoutMs: 800, fall: 3, rise: 3, initial: 'up', window: 20, ...some };
}

export const OK: ProbeResult = { isOk: true, latencyMs: 10, reason: null };
export const LOST: ProbeResult = { isOk: false, latencyMs: null, reason: 'timed out' };
export const REFUSED: ProbeResult = { isOk: false, latencyMs: null, reason: 'connection refused' };

export function answered(latencyMs: number): ProbeResult {
  return { isOk: true, latencyMs, reason: null };
}
