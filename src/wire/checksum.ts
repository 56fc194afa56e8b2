/**
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624 eqn. 3, not RFC 1141: that one errs at 0x0000).
 *
 * An update is carried as a delta: the one's complement sum of ~old + new over all changed 16-bit words. Applied to a
 * complete checksum C it gives ~(~C + delta); applied to a partial one (offload: the field holds the uncomplemented
 * sum of the pseudo-header) it gives C + delta.
 */

/** Add the carries back in until the sum fits 16 bits. */
export function fold(sum: number): number {
  let s = (sum & 0xffff) + (sum >>> 16);
  s = (s & 0xffff) + (s >>> 16);
  return s;
}

/** One's complement sum, not folded (below 2³²), of `length` ≤ 65,535 bytes; an odd last byte counts as the high half of a word. */
export function sum(view: DataView, at: number, length: number, initial = 0): number {
  let total = initial;
  const wordsEnd = at + (length & ~3);
  let i = at;
  for (; i < wordsEnd; i += 4) {
    const word = view.getInt32(i);
    total += (word >>> 16) + (word & 0xffff);
  }
  const left = length & 3;
  if (left >= 2) {
    total += view.getUint16(i);
    i += 2;
  }
  if (left & 1) total += view.getUint8(i) << 8;
  return total;
}

/** Checksum of `length` bytes, ready to be stored. */
export function checksum(view: DataView, at: number, length: number, initial = 0): number {
  return ~fold(sum(view, at, length, initial)) & 0xffff;
}

/** Sum of the pseudo-header of RFC 793 §3.1 and RFC 768. Addresses as int32, length of the transport segment in bytes. */
export function pseudoHeaderSum(source: number, destination: number, protocol: number, length: number): number {
  return fold((source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length);
}

/** Delta of a changed 16-bit word. */
export function delta16(from: number, to: number): number {
  return (~from & 0xffff) + to;
}

/** Delta of a changed 32-bit word. */
export function delta32(from: number, to: number): number {
  return (~from >>> 16) + (~from & 0xffff) + (to >>> 16) + (to & 0xffff);
}

/** A complete checksum after a change. */
export function update(stored: number, delta: number): number {
  return ~fold((~stored & 0xffff) + delta) & 0xffff;
}

/** A partial checksum (pseudo-header sum, not complemented) after a change. */
export function updatePartial(stored: number, delta: number): number {
  return fold(stored + delta);
}
