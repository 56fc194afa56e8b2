/**
 * Identifications for what leaves with an address of the router's own (RFC 6864 §5.3.1, RFC 7857 §10). Many inside hosts, the box and the
 * router share such an address, and each of them counts for itself: their fragments would meet at the far end. So every datagram that is or may
 * still be fragmented gets the next number of its (source, destination, protocol) instead of its sender's.
 *
 * The counters are kept by a seeded hash of the three and begin anywhere. Two destinations that meet in one counter lose nothing but distance:
 * a number comes again after 65,536 datagrams of both. RFC 6864 §4.3 asks for none within the maximum datagram lifetime, which at
 * 16 bits no sender of many small datagrams can give.
 */
import { finish, mix } from '../base/hash.js';
import type { Random } from '../base/random.js';

/** 8 KiB: as many destinations as are plausibly sent fragments at a time. */
const COUNTERS = 4096;

export class IpIds {
  private readonly counters: Uint16Array;
  private readonly seed: number;

  constructor(random: Random) {
    this.seed = random.next();
    this.counters = Uint16Array.from({ length: COUNTERS }, () => random.next() >>> 16);
  }

  /** The first of `count` identifications in a row. */
  take(source: number, destination: number, protocol: number, count: number): number {
    const i = finish(mix(mix(mix(this.seed, source), destination), protocol)) & (COUNTERS - 1);
    const id = this.counters[i];
    this.counters[i] = id + count;
    return id;
  }
}
