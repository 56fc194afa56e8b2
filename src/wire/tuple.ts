/**
 * Who talks to whom: two 128-bit addresses (IPv4 as v4-mapped words), two ports in one word (source high), the protocol. For
 * an ICMP query the requester's port is the identifier and the other one 0, so that a request's inverse is its reply.
 */
import { finish, mix } from '../base/hash.js';
import { V4_MAPPED } from './address.js';

/** Int32 words of a stored tuple: s0 … s3, d0 … d3, ports, protocol. */
export const TUPLE_WORDS = 10;

export class Tuple {
  s0 = 0; s1 = 0; s2 = 0; s3 = 0;
  d0 = 0; d1 = 0; d2 = 0; d3 = 0;
  /** Source port in the high, destination port in the low half. */
  ports = 0;
  protocol = 0;

  setV4(source: number, destination: number, ports: number, protocol: number): void {
    this.s0 = 0; this.s1 = 0; this.s2 = V4_MAPPED; this.s3 = source;
    this.d0 = 0; this.d1 = 0; this.d2 = V4_MAPPED; this.d3 = destination;
    this.ports = ports;
    this.protocol = protocol;
  }

  copy(from: Tuple): void {
    this.s0 = from.s0; this.s1 = from.s1; this.s2 = from.s2; this.s3 = from.s3;
    this.d0 = from.d0; this.d1 = from.d1; this.d2 = from.d2; this.d3 = from.d3;
    this.ports = from.ports;
    this.protocol = from.protocol;
  }

  /** Become the inverse of another tuple: its destination as source and the other way round. */
  invert(of: Tuple): void {
    const { s0, s1, s2, s3, ports } = of;
    this.s0 = of.d0; this.s1 = of.d1; this.s2 = of.d2; this.s3 = of.d3;
    this.d0 = s0; this.d1 = s1; this.d2 = s2; this.d3 = s3;
    this.ports = (ports << 16) | (ports >>> 16);
    this.protocol = of.protocol;
  }

  load(words: Int32Array, at: number): void {
    this.s0 = words[at]; this.s1 = words[at + 1]; this.s2 = words[at + 2]; this.s3 = words[at + 3];
    this.d0 = words[at + 4]; this.d1 = words[at + 5]; this.d2 = words[at + 6]; this.d3 = words[at + 7];
    this.ports = words[at + 8];
    this.protocol = words[at + 9];
  }

  store(words: Int32Array, at: number): void {
    words[at] = this.s0; words[at + 1] = this.s1; words[at + 2] = this.s2; words[at + 3] = this.s3;
    words[at + 4] = this.d0; words[at + 5] = this.d1; words[at + 6] = this.d2; words[at + 7] = this.d3;
    words[at + 8] = this.ports;
    words[at + 9] = this.protocol;
  }

  /** True when the stored tuple at `at` is this one; the words that differ most come first. */
  isAt(words: Int32Array, at: number): boolean {
    return words[at + 8] === this.ports && words[at + 3] === this.s3 && words[at + 7] === this.d3 && words[at + 9] === this.protocol
      && words[at + 2] === this.s2 && words[at + 6] === this.d2
      && words[at] === this.s0 && words[at + 1] === this.s1 && words[at + 4] === this.d0 && words[at + 5] === this.d1;
  }

  hash(seed: number): number {
    const h = mix(mix(mix(mix(seed, this.s3), this.d3), this.ports), this.protocol);
    if (this.s2 !== V4_MAPPED) {
      return finish(mix(mix(mix(mix(mix(mix(h, this.s0), this.s1), this.s2), this.d0), this.d1), this.d2));
    }
    return finish(h);
  }

  get sourcePort(): number { return this.ports >>> 16; }
  get destinationPort(): number { return this.ports & 0xffff; }
}

/** The hash of the tuple stored at `at`: the one `Tuple.hash` gives for it. */
export function hashAt(words: Int32Array, at: number, seed: number): number {
  const h = mix(mix(mix(mix(seed, words[at + 3]), words[at + 7]), words[at + 8]), words[at + 9]);
  if (words[at + 2] !== V4_MAPPED) {
    return finish(mix(mix(mix(mix(mix(mix(h, words[at]), words[at + 1]), words[at + 2]), words[at + 4]), words[at + 5]), words[at + 6]));
  }
  return finish(h);
}
