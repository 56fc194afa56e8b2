/**
 * Which of an uplink's translation addresses an inside address has (RFC 4787 REQ-2, "paired"): kept while it has any mapping there, so that
 * its flows are seen with one address. Only asked for uplinks that have several.
 */
import { Tally } from './tally.js';

const NONE = -1;

export class Pairings {
  private readonly tally: Tally;

  /** @param capacity as many as there can be mappings and flows without one. */
  constructor(capacity: number, seed: number) { this.tally = new Tally(capacity, seed); }

  /** Inside hosts that are paired. */
  get size(): number { return this.tally.size; }

  /** Place of the address in the uplink's list, or NONE: not paired. */
  find(uplink: number, a0: number, a1: number, a2: number, a3: number): number {
    const entry = this.tally.find(uplink, a0, a1, a2, a3);
    return entry === NONE ? NONE : this.tally.value(entry);
  }

  /** One more mapping with that address. False when there is no room. */
  add(uplink: number, a0: number, a1: number, a2: number, a3: number, place: number): boolean { return this.tally.add(uplink, a0, a1, a2, a3, place); }

  /** One mapping less; the pair is dissolved with the last. */
  drop(uplink: number, a0: number, a1: number, a2: number, a3: number): void { this.tally.drop(uplink, a0, a1, a2, a3); }
}
