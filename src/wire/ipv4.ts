/** IPv4 headers (RFC 791 §3.1). Offsets are from the header's first byte. */
import { checksum, delta16, fold, sum, update } from './checksum.js';

export const IPV4_HEADER = 20;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** Where the identification stands. */
export const ID_OFFSET = 4;

export const FLAG_DF = 0x4000;
export const FLAG_MF = 0x2000;
export const OFFSET_MASK = 0x1fff;

/** Loose and strict source routing (RFC 791 §3.1 options 131 and 137), dropped as RFC 7126 §4.3 and §4.4 advise. */
const OPTION_LSRR = 131;
const OPTION_SSRR = 137;

export function headerLength(view: DataView, at: number): number { return (view.getUint8(at) & 15) * 4; }
export function totalLength(view: DataView, at: number): number { return view.getUint16(at + 2); }
export function identification(view: DataView, at: number): number { return view.getUint16(at + 4); }
/** Flags and fragment offset, 16 bits. */
export function fragmentWord(view: DataView, at: number): number { return view.getUint16(at + 6); }
export function ttl(view: DataView, at: number): number { return view.getUint8(at + 8); }
export function protocol(view: DataView, at: number): number { return view.getUint8(at + 9); }
export function source(view: DataView, at: number): number { return view.getInt32(at + 12); }
export function destination(view: DataView, at: number): number { return view.getInt32(at + 16); }

/** True when the header's own checksum is right. */
export function checksumIsRight(view: DataView, at: number, length: number): boolean {
  if (length === IPV4_HEADER) {
    const a = view.getInt32(at), b = view.getInt32(at + 4), c = view.getInt32(at + 8), d = view.getInt32(at + 12), e = view.getInt32(at + 16);
    return fold((a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff) + (c >>> 16) + (c & 0xffff)
      + (d >>> 16) + (d & 0xffff) + (e >>> 16) + (e & 0xffff)) === 0xffff;
  }
  return fold(sum(view, at, length)) === 0xffff;
}

/** Write the header's checksum anew. */
export function writeChecksum(view: DataView, at: number): void {
  view.setUint16(at + 10, 0);
  view.setUint16(at + 10, checksum(view, at, headerLength(view, at)));
}

/** Replace a 16-bit word of the header and mend its checksum. */
export function setWord(view: DataView, at: number, offset: number, value: number): void {
  const delta = delta16(view.getUint16(at + offset), value);
  view.setUint16(at + offset, value);
  view.setUint16(at + 10, update(view.getUint16(at + 10), delta));
}

/** One hop less, checksum mended (RFC 1812 §5.3.1). */
export function decrementTtl(view: DataView, at: number): void {
  setWord(view, at, 8, view.getUint16(at + 8) - 0x100);
}

/** Take a hop back: the packet is to be shown as it was received. */
export function incrementTtl(view: DataView, at: number): void {
  setWord(view, at, 8, view.getUint16(at + 8) + 0x100);
}

/** Write a header without options and its checksum. */
export function writeIpv4(
  view: DataView, at: number, length: number, id: number, fragment: number, hops: number, proto: number, from: number, to: number, tos = 0,
): void {
  view.setUint16(at, 0x4500 | tos);
  view.setUint16(at + 2, length);
  view.setUint16(at + 4, id);
  view.setUint16(at + 6, fragment);
  view.setUint16(at + 8, (hops << 8) | proto);
  view.setUint16(at + 10, 0);
  view.setInt32(at + 12, from);
  view.setInt32(at + 16, to);
  view.setUint16(at + 10, checksum(view, at, IPV4_HEADER));
}

/** True when the options (header longer than 20 bytes) hold a source route or do not parse. */
export function hasSourceRoute(view: DataView, at: number, length: number): boolean {
  for (let i = at + IPV4_HEADER; i < at + length;) {
    const option = view.getUint8(i);
    if (option === 0) return false;
    if (option === 1) {
      i++;
      continue;
    }
    if (option === OPTION_LSRR || option === OPTION_SSRR) return true;
    if (i + 1 >= at + length) return true;
    const size = view.getUint8(i + 1);
    if (size < 2 || i + size > at + length) return true;
    i += size;
  }
  return false;
}

/**
 * Copy the header at `from` to `to` as later fragments carry it: only options with the copied flag (RFC 791 §3.1), padded to
 * a multiple of four. Returns the new header's length; length, offset and checksum are the caller's to write.
 */
export function copyFragmentHeader(view: DataView, from: number, to: number): number {
  const length = headerLength(view, from);
  for (let i = 0; i < IPV4_HEADER; i += 4) view.setInt32(to + i, view.getInt32(from + i));
  let end = to + IPV4_HEADER;
  for (let i = from + IPV4_HEADER; i < from + length;) {
    const option = view.getUint8(i);
    if (option === 0) break;
    if (option === 1) {
      i++;
      continue;
    }
    const size = i + 1 < from + length ? view.getUint8(i + 1) : 0;
    if (size < 2 || i + size > from + length) break;
    if (option & 0x80) {
      for (let j = 0; j < size; j++) view.setUint8(end + j, view.getUint8(i + j));
      end += size;
    }
    i += size;
  }
  while ((end - to) & 3) view.setUint8(end++, 0);
  view.setUint8(to, 0x40 | ((end - to) >> 2));
  return end - to;
}
