/** The worst of the last ten to twenty seconds, and the last one. */
const WHILE_MS = 10_000;

export class Worst {
  last = 0;
  private readonly nowMs: () => number;
  private current = 0;
  private previous = 0;
  private sinceMs: number;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
    this.sinceMs = nowMs();
  }

  note(value: number): void {
    this.turn();
    this.last = value;
    if (value > this.current) this.current = value;
  }

  get most(): number {
    this.turn();
    return Math.max(this.current, this.previous);
  }

  private turn(): void {
    const passedMs = this.nowMs() - this.sinceMs;
    if (passedMs < WHILE_MS) return;
    this.previous = passedMs < 2 * WHILE_MS ? this.current : 0;
    this.current = 0;
    this.sinceMs += passedMs;
  }
}
