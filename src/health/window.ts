/**
 * What a number of rounds have shown: loss, latency and jitter, per target and of all of them together.
 *
 * Together means: the need best targets count, and the worst of these gives the number. With need 1 a target that is dead for reasons of its own
 * spoils nothing, and what the path does to every target is seen in full. A full window is `rounds` long; the oldest round makes room for the newest.
 * A round costs O(targets), a measurement O(rounds × targets).
 */

/** In the place of a round trip: the probe was lost; it was answered, but not timed. */
const LOST = -1;
const UNTIMED = -2;

export interface Measures {
  /** Part of the probes that were lost, 0 … 1. */
  lossRatio: number | null;
  /** Mean round trip. */
  latencyMs: number | null;
  /** Mean difference between one round trip and the next answered one (RFC 3550 §6.4.1 smooths the like). */
  jitterMs: number | null;
}

export class Window {
  private readonly capacity: number;
  private readonly targets: number;
  private readonly need: number;
  /** Round trips in milliseconds or LOST or UNTIMED: [round][target], rounds in a ring. */
  private readonly trips: Float64Array;
  private next = 0;
  /** Rounds held. */
  length = 0;

  constructor(rounds: number, targets: number, need: number) {
    this.capacity = rounds;
    this.targets = targets;
    this.need = need;
    this.trips = new Float64Array(rounds * targets);
  }

  /** One round: per target whether it answered, and how fast. */
  add(results: readonly { isOk: boolean; latencyMs: number | null }[]): void {
    for (let target = 0; target < this.targets; target++) {
      const { isOk, latencyMs } = results[target];
      this.trips[this.next * this.targets + target] = !isOk ? LOST : latencyMs === null ? UNTIMED : Math.max(0, latencyMs);
    }
    this.next = (this.next + 1) % this.capacity;
    this.length = Math.min(this.length + 1, this.capacity);
  }

  clear(): void {
    this.next = 0;
    this.length = 0;
  }

  /** What the rounds held show of one target. */
  ofTarget(target: number): Measures {
    if (this.length === 0) return { lossRatio: null, latencyMs: null, jitterMs: null };
    let lost = 0;
    let sum = 0;
    let timed = 0;
    let differences = 0;
    let before = LOST;
    for (let i = 0; i < this.length; i++) {
      const round = (this.next - this.length + i + this.capacity) % this.capacity;
      const trip = this.trips[round * this.targets + target];
      if (trip === LOST) lost++;
      if (trip < 0) continue;
      if (timed > 0) differences += Math.abs(trip - before);
      sum += trip;
      before = trip;
      timed++;
    }
    return { lossRatio: lost / this.length, latencyMs: timed > 0 ? sum / timed : null, jitterMs: timed > 1 ? differences / (timed - 1) : null };
  }

  /** What they show of all: the worst of the need best. */
  measures(): Measures {
    const each = Array.from({ length: this.targets }, (_, target) => this.ofTarget(target));
    return {
      lossRatio: this.worstNeeded(each.map(({ lossRatio }) => lossRatio)),
      latencyMs: this.worstNeeded(each.map(({ latencyMs }) => latencyMs)),
      jitterMs: this.worstNeeded(each.map(({ jitterMs }) => jitterMs)),
    };
  }

  /** Null = not known of as many as are needed. */
  private worstNeeded(values: readonly (number | null)[]): number | null {
    const known = values.filter((value) => value !== null).sort((a, b) => a - b);
    return known.length < this.need ? null : known[this.need - 1];
  }
}
