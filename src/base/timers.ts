/** Something that calls back later, injected so that tests own the time. */
export interface Timers {
  set(run: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

export const systemTimers: Timers = {
  set: (run, delayMs) => setTimeout(run, delayMs),
  clear: (timer) => { clearTimeout(timer as NodeJS.Timeout); },
};
