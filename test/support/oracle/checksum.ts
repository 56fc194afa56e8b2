/** The Internet checksum the slow way: a byte pair at a time, the carry brought round at once (RFC 1071 §1). */

/** One's complement sum; an odd last byte is the high half of a word. */
export function onesSum(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + (i + 1 < bytes.length ? bytes[i + 1] : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** What belongs into the checksum field when that field is zero in `bytes`. */
export function internetChecksum(bytes: Uint8Array, initial = 0): number { return 0xffff - onesSum(bytes, initial); }

/** a - b among one's complement numbers, where 0 and 0xffff are the same. */
export function onesDifference(a: number, b: number): number { return (((a - b) % 0xffff) + 0xffff) % 0xffff; }
