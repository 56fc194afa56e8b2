/**
 * One attempt with an end: an answer, the time limit, the signal or the closing of its check, whichever comes first, and what was opened is closed
 * whichever it was. All checks run on it, so that none can hang, answer twice or leave a socket behind.
 */
import { systemClock } from '../../base/clock.js';
import type { ProbeResult } from './check.js';
import { phraseOf } from './reason.js';

export const TIMED_OUT = 'timed out';
export const STOPPED = 'stopped';

export type Finish = (result: ProbeResult) => void;

/** A probe without a good answer. */
export function failed(reason: string, latencyMs: number | null = null): ProbeResult {
  return { isOk: false, latencyMs, reason };
}

/** A good one, asked when systemClock said `sinceMs`. */
export function succeeded(sinceMs: number): ProbeResult {
  return { isOk: true, latencyMs: systemClock.nowMs() - sinceMs, reason: null };
}

/** The attempts of one check. */
export class Attempts {
  private readonly underWay = new Set<Finish>();
  private isClosed = false;

  /**
   * `start` begins and gives back what undoes it, which is called once, after the end; `finish` may be called during it. Only the first end counts.
   * What `start` throws is an end, too. `late` says in what the time was spent.
   */
  run(timeoutMs: number, signal: AbortSignal, start: (finish: Finish) => () => void, late = (): string => TIMED_OUT): Promise<ProbeResult> {
    if (signal.aborted || this.isClosed) return Promise.resolve(failed(STOPPED));
    return new Promise((resolve) => {
      let undo: (() => void) | undefined;
      let isOver = false;
      const finish = (result: ProbeResult): void => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        signal.removeEventListener('abort', stop);
        this.underWay.delete(finish);
        undo?.();
        resolve(result);
      };
      const stop = (): void => { finish(failed(STOPPED)); };
      const timer = setTimeout(() => { finish(failed(late())); }, timeoutMs);
      signal.addEventListener('abort', stop);
      this.underWay.add(finish);
      try {
        undo = start(finish);
      } catch (error) {
        finish(failed(phraseOf(error)));
        return;
      }
      if (isOver) undo();
    });
  }

  /** End what is under way, and let nothing begin again. */
  close(): void {
    this.isClosed = true;
    for (const finish of this.underWay) finish(failed(STOPPED));
  }
}
