/** Time as an argument: the data plane reads it once a turn, tests turn it by hand. Monotonic, so clock steps change nothing. */
export interface Clock {
  /** Milliseconds since some fixed moment, never going back. */
  nowMs(): number;
}

export const systemClock: Clock = { nowMs: () => performance.now() };

export class ManualClock implements Clock {
  private atMs: number;
  constructor(atMs = 0) { this.atMs = atMs; }
  nowMs(): number { return this.atMs; }
  advance(byMs: number): void { this.atMs += byMs; }
}
