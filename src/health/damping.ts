/**
 * Flap damping after RFC 2439 §4.2, pure: a penalty that each fall adds to and that time halves.
 *
 *   penalty ▲        ╭ ceiling: from here it takes mostMs down to reuse
 *           │   ╱╲ ╱╲
 *   suppress├──╱──╳──╲───────
 *           │ ╱       ╲
 *   reuse   ├╱─────────╲─────   suppressed from the fall that reaches `suppress` until the penalty is below `reuse`
 *           └──────────────▶ time
 *
 * The penalty goes on counting while suppressed (RFC 2439 §4.4.3), so what keeps flapping stays out; the ceiling sees to it that mostMs after its last
 * fall it is let in again whatever went before.
 */
import type { CheckPlan } from '../base/plan.js';

export type DampingPlan = NonNullable<CheckPlan['damping']>;

/** What one fall adds. */
const FALL = 1;

export class Damping {
  private readonly plan: DampingPlan;
  private readonly ceiling: number;
  /** As of atMs. */
  private value = 0;
  private atMs: number;
  private untilMs: number | null = null;

  constructor(plan: DampingPlan, nowMs: number) {
    this.plan = plan;
    this.ceiling = plan.reuse * 2 ** (plan.mostMs / plan.halfLifeMs);
    this.atMs = nowMs;
  }

  /** What has been collected, less what time has taken. */
  penalty(nowMs: number): number {
    return this.value * 2 ** (-Math.max(0, nowMs - this.atMs) / this.plan.halfLifeMs);
  }

  /** Count a fall. */
  fell(nowMs: number): void {
    const collected = this.penalty(nowMs) + FALL;
    const isHeld = this.suppressedUntilMs(nowMs) !== null || collected >= this.plan.suppress;
    this.value = Math.min(collected, this.ceiling);
    this.atMs = Math.max(this.atMs, nowMs);
    if (!isHeld) return;
    this.untilMs = this.atMs + this.plan.halfLifeMs * Math.max(0, Math.log2(this.value / this.plan.reuse));
  }

  /** When it is let in again unless it falls once more; null when nothing keeps it out. */
  suppressedUntilMs(nowMs: number): number | null {
    if (this.untilMs !== null && nowMs >= this.untilMs) this.untilMs = null;
    return this.untilMs;
  }
}
