/**
 * Who outside may send to a mapping under address-dependent filtering: the addresses its internal endpoint has sent to (RFC 4787 §5). A
 * permission is counted per flow that gives it and ends with the last of them; since a flow gives at most one, there are never more than flows.
 *
 * Endpoint-independent filtering needs no permissions, and under address-and-port-dependent filtering whoever may send is already a flow.
 */
import { Tally } from './tally.js';

export class Permissions {
  private readonly tally: Tally;

  /** @param capacity as many as there can be flows. */
  constructor(capacity: number, seed: number) { this.tally = new Tally(capacity, seed); }

  /** (Mapping, address) pairs that are permitted now. */
  get size(): number { return this.tally.size; }

  /** The internal endpoint of `mapping` has sent to this address. False when there is no room: then nothing is permitted. */
  grant(mapping: number, a0: number, a1: number, a2: number, a3: number): boolean { return this.tally.add(mapping, a0, a1, a2, a3, 0); }

  /** A flow that gave the permission has ended. */
  revoke(mapping: number, a0: number, a1: number, a2: number, a3: number): void { this.tally.drop(mapping, a0, a1, a2, a3); }

  allows(mapping: number, a0: number, a1: number, a2: number, a3: number): boolean { return this.tally.count(mapping, a0, a1, a2, a3) > 0; }
}
