/**
 * Rates from counters that only grow: samples of the last seconds in a ring of fixed size, a rate the difference between the newest and the oldest.
 * Whoever owns it takes the samples, about one a second.
 */

/** Samples kept; with one a second a rate is that of the last five seconds. */
const SAMPLES = 6;

export class Rates {
  private readonly read: (subject: number) => readonly number[];
  private readonly nowMs: () => number;
  private readonly subjects: number;
  private readonly samples: { atMs: number; counters: (readonly number[])[] }[] = [];

  /** `read` gives the counters of one of `subjects` subjects, always as many. */
  constructor(subjects: number, read: (subject: number) => readonly number[], nowMs: () => number) {
    this.subjects = subjects;
    this.read = read;
    this.nowMs = nowMs;
  }

  sample(): void {
    if (this.samples.length === SAMPLES) this.samples.shift();
    this.samples.push({ atMs: this.nowMs(), counters: Array.from({ length: this.subjects }, (_, i) => this.read(i)) });
  }

  /** How much each counter of a subject grew a second; 0 until there are two samples. */
  perSecond(subject: number): number[] {
    const last = this.samples.at(-1);
    if (last === undefined) return this.read(subject).map(() => 0);
    const [first] = this.samples;
    const seconds = (last.atMs - first.atMs) / 1000;
    return last.counters[subject].map((count, i) => (seconds <= 0 ? 0 : (count - first.counters[subject][i]) / seconds));
  }
}
