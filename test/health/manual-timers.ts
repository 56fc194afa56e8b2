/** Timers and a clock that a test turns by hand; promises that are ready are let through between one timer and the next. */
import type { Clock } from '../../src/base/clock.js';
import type { Timers } from '../../src/base/timers.js';

export class ManualTimers implements Timers, Clock {
  private atMs = 0;
  private readonly waiting = new Map<number, { run: () => void; dueMs: number }>();
  private numbers = 0;

  nowMs(): number { return this.atMs; }

  /** Timers set and neither run nor cleared. */
  get pending(): number { return this.waiting.size; }

  set(run: () => void, delayMs: number): unknown {
    if (!(delayMs >= 0)) throw new RangeError(`delay ${delayMs}`);
    this.waiting.set(++this.numbers, { run, dueMs: this.atMs + delayMs });
    return this.numbers;
  }

  clear(timer: unknown): void { this.waiting.delete(timer as number); }

  /** Let time pass, and what falls due in it happen in its order. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.atMs + byMs;
    await settled();
    for (;;) {
      const [number, next] = [...this.waiting].reduce<[number, { run: () => void; dueMs: number } | null]>((first, [n, t]) => (first[1] === null || t.dueMs < first[1].dueMs ? [n, t] : first), [0, null]);
      if (next === null || next.dueMs > endMs) break;
      this.waiting.delete(number);
      this.atMs = Math.max(this.atMs, next.dueMs);
      next.run();
      await settled();
    }
    this.atMs = endMs;
  }

  /** Time passes and nothing can run in it: the process was held up. */
  block(byMs: number): void { this.atMs += byMs; }
}

/** All promises that were ready have been let through. */
export function settled(): Promise<void> {
  return new Promise((resolve) => { setImmediate(resolve); });
}
