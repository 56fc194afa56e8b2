/**
 * Rates from counters that only grow: samples of the last seconds in a ring of fixed size, a rate the difference between the newest and the oldest.
 * Whoever owns it takes the samples, about one a second.
 */

/** Samples kept; with one a second a rate is that of the last five seconds. */
const SAMPLES = 6;

export class Rates {
  private readonly read: (subject: number) => readonly [number, number];
  private readonly nowMs: () => number;
  private readonly subjects: number;
  private readonly samples: { atMs: number; bytes: (readonly [number, number])[] }[] = [];

  /** `read` gives the two byte counters of one of `subjects` subjects. */
  constructor(subjects: number, read: (subject: number) => readonly [number, number], nowMs: () => number) {
    this.subjects = subjects;
    this.read = read;
    this.nowMs = nowMs;
  }

  sample(): void {
    if (this.samples.length === SAMPLES) this.samples.shift();
    this.samples.push({ atMs: this.nowMs(), bytes: Array.from({ length: this.subjects }, (_, i) => this.read(i)) });
  }

  /** Both counters of a subject in bits per second; 0 until there are two samples. */
  bitsPerSecond(subject: number): [number, number] {
    const first = this.samples.at(0);
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return [0, 0];
    const rate = (side: 0 | 1): number => Math.round(((last.bytes[subject][side] - first.bytes[subject][side]) * 8000) / (last.atMs - first.atMs));
    return [rate(0), rate(1)];
  }
}
