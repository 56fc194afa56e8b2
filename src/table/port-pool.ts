/**
 * The external ports of one translation address and one protocol (for ICMP: identifiers).
 *
 * A mapping binds an internal endpoint (address and port) to one external port for as long as any flow uses it, towards
 * every destination: endpoint-independent mapping (RFC 4787 REQ-1, RFC 5382 REQ-1), and no external port ever serves two endpoints
 * (RFC 4787 REQ-3). A mapping's record is numbered by its port.
 *
 * Choice: the internal port itself when it is free and in the range (port preservation), else a free one from a random place on (RFC
 * 6056 §3.3.1), found in a bitmap: at worst 2,048 words are looked at.
 */
import { finish, mix } from '../base/hash.js';
import { HashIndex } from '../base/hash-index.js';
import type { Random } from '../base/random.js';

const NONE = -1;
/** Words per record: internal address (4), internal port, flows that use it. */
const RECORD_WORDS = 6;
const PORT = 4;
const USERS = 5;

export class PortPool {
  private readonly records = new Int32Array(65536 * RECORD_WORDS);
  /** Bit p = port p is taken. */
  private readonly taken = new Int32Array(2048);
  private readonly index = new HashIndex(65536);
  private readonly random: Random;
  private readonly seed: number;
  readonly first: number;
  readonly last: number;
  /** Ports in use. */
  used = 0;
  /** Times no port was free. */
  exhausted = 0;

  /** @param first, last ports handed out, both included. */
  constructor(first: number, last: number, random: Random) {
    this.first = first;
    this.last = last;
    this.random = random;
    this.seed = random.next();
  }

  get size(): number { return this.last - this.first + 1; }

  /** The external port of an internal endpoint, mapped now if it was not; counts one more user. NONE when no port is free. */
  acquire(a0: number, a1: number, a2: number, a3: number, port: number): number {
    const hash = this.hash(a0, a1, a2, a3, port);
    const { records, index } = this;
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const external = index.reference(slot);
      const at = external * RECORD_WORDS;
      if (records[at + 3] === a3 && records[at + PORT] === port && records[at + 2] === a2 && records[at] === a0 && records[at + 1] === a1) {
        records[at + USERS]++;
        return external;
      }
    }
    const external = this.choose(port);
    if (external === NONE) {
      this.exhausted++;
      return NONE;
    }
    const at = external * RECORD_WORDS;
    records[at] = a0; records[at + 1] = a1; records[at + 2] = a2; records[at + 3] = a3;
    records[at + PORT] = port;
    records[at + USERS] = 1;
    this.taken[external >>> 5] |= 1 << (external & 31);
    index.add(hash, external);
    this.used++;
    return external;
  }

  /** One user less; the port is free again when it was the last. */
  release(external: number): void {
    const at = external * RECORD_WORDS;
    const records = this.records;
    if (--records[at + USERS] > 0) return;
    this.index.remove(this.hash(records[at], records[at + 1], records[at + 2], records[at + 3], records[at + PORT]), external);
    this.taken[external >>> 5] &= ~(1 << (external & 31));
    this.used--;
  }

  isTaken(port: number): boolean {
    return (this.taken[port >>> 5] & (1 << (port & 31))) !== 0;
  }

  private choose(preferred: number): number {
    if (preferred >= this.first && preferred <= this.last && !this.isTaken(preferred)) return preferred;
    const start = this.first + this.random.below(this.size);
    const found = this.scan(start, this.last);
    return found !== NONE ? found : this.scan(this.first, start - 1);
  }

  /** First free port in [from, to], or NONE. */
  private scan(from: number, to: number): number {
    for (let port = from; port <= to;) {
      const free = ~this.taken[port >>> 5] & (-1 << (port & 31));
      if (free !== 0) {
        const found = (port & ~31) + (31 - Math.clz32(free & -free));
        return found <= to ? found : NONE;
      }
      port = (port & ~31) + 32;
    }
    return NONE;
  }

  private hash(a0: number, a1: number, a2: number, a3: number, port: number): number {
    return finish(mix(mix(mix(mix(mix(this.seed, a3), port), a2), a1), a0));
  }
}
