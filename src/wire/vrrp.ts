/**
 * VRRP adverts over IPv4, version 3 (RFC 9568 §5.2) and version 2 (RFC 3768 §5.1, with the simple password of RFC 2338 §5.3.6.2 for old peers). Offsets are
 * from the message's first byte, right behind the IP header.
 *
 *   0  version << 4 | type      1  VRID      2  priority      3  count of addresses
 *   4  version 3: 4 bits 0, 12 bits interval in hundredths of a second      version 2: authentication type, interval in seconds
 *   6  checksum                 8  addresses … and in version 2 eight bytes of authentication data
 *
 * The checksum of version 2 is over the message. So is that of version 3 by RFC 9568 §5.2.8; RFC 5798 §5.2.8 could be read as asking for a pseudo-header as
 * well, and many have read it so. Both are written, either is taken.
 */
import { fold, pseudoHeaderSum, sum } from './checksum.js';

/** RFC 9568 §5.1.1: protocol number, hops, the group adverts go to, and its MAC address (RFC 1112 §6.4). */
export const PROTOCOL_VRRP = 112;
export const VRRP_TTL = 255;
/** 224.0.0.18 */
export const VRRP_GROUP = 0xe0000012 | 0;
export const VRRP_GROUP_MAC_HIGH = 0x0100;
export const VRRP_GROUP_MAC_LOW = 0x5e000012;

export const VRRP_HEADER = 8;
export const ADVERTISEMENT = 1;
const ADDRESS_LENGTH = 4;
/** Authentication data of version 2: a simple password (RFC 2338 §5.3.10). */
export const AUTHENTICATION_LENGTH = 8;
/** RFC 2338 §5.3.6. */
export const AUTHENTICATION_NONE = 0;
export const AUTHENTICATION_PASSWORD = 1;
/** RFC 9568 §5.2.4: of who has the addresses as its own. */
export const OWNER_PRIORITY = 255;
/** RFC 9568 §5.2.7: 12 bits of hundredths of a second. */
export const INTERVAL_MAX_MS = 40_950;

export function version(view: DataView, at: number): number { return view.getUint8(at) >> 4; }
export function type(view: DataView, at: number): number { return view.getUint8(at) & 15; }
export function virtualRouterId(view: DataView, at: number): number { return view.getUint8(at + 1); }
export function priority(view: DataView, at: number): number { return view.getUint8(at + 2); }
export function addressCount(view: DataView, at: number): number { return view.getUint8(at + 3); }
export function address(view: DataView, at: number, place: number): number { return view.getInt32(at + VRRP_HEADER + place * ADDRESS_LENGTH); }
/** Version 2 only. */
export function authenticationType(view: DataView, at: number): number { return view.getUint8(at + 4); }

/** Time between two adverts of the sender. */
export function intervalMs(view: DataView, at: number): number {
  return version(view, at) === 2 ? view.getUint8(at + 5) * 1000 : (view.getUint16(at + 4) & 0xfff) * 10;
}

/** Bytes of a message with so many addresses. */
export function messageLength(ofVersion: number, count: number): number {
  return VRRP_HEADER + count * ADDRESS_LENGTH + (ofVersion === 2 ? AUTHENTICATION_LENGTH : 0);
}

/** True when the sum over a whole message is right; of version 3 with the pseudo-header or without. */
export function checksumIsRight(view: DataView, at: number, length: number, source: number, destination: number): boolean {
  const plain = fold(sum(view, at, length));
  if (plain === 0xffff) return true;
  return version(view, at) === 3 && fold(plain + pseudoHeaderSum(source, destination, PROTOCOL_VRRP, length)) === 0xffff;
}

/** True when the message, of version 2, bears this password: eight bytes, filled up with zeros. */
export function hasPassword(view: DataView, at: number, password: Uint8Array): boolean {
  const dataAt = at + VRRP_HEADER + addressCount(view, at) * ADDRESS_LENGTH;
  let difference = 0;
  for (let i = 0; i < AUTHENTICATION_LENGTH; i++) difference |= view.getUint8(dataAt + i) ^ password[i];
  return difference === 0;
}

/** The eight bytes of a password of RFC 2338 §5.3.6.2. */
export function passwordBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(AUTHENTICATION_LENGTH);
  bytes.set(new TextEncoder().encode(text).subarray(0, AUTHENTICATION_LENGTH));
  return bytes;
}

export interface AdvertFields {
  version: 2 | 3;
  id: number;
  priority: number;
  intervalMs: number;
  /** int32. */
  addresses: readonly number[];
  /** Version 2: eight bytes; null = no authentication. */
  password: Uint8Array | null;
}

/** Write a message and its checksum; `pseudoHeader`: the sum it begins with (0 = without one). */
export function writeAdvert(view: DataView, at: number, fields: AdvertFields, pseudoHeader: number): void {
  const { version: ofVersion, addresses, password } = fields;
  view.setUint8(at, (ofVersion << 4) | ADVERTISEMENT);
  view.setUint8(at + 1, fields.id);
  view.setUint8(at + 2, fields.priority);
  view.setUint8(at + 3, addresses.length);
  if (ofVersion === 2) view.setUint16(at + 4, ((password === null ? AUTHENTICATION_NONE : AUTHENTICATION_PASSWORD) << 8) | Math.round(fields.intervalMs / 1000));
  else view.setUint16(at + 4, Math.round(fields.intervalMs / 10));
  view.setUint16(at + 6, 0);
  for (let i = 0; i < addresses.length; i++) view.setInt32(at + VRRP_HEADER + i * ADDRESS_LENGTH, addresses[i]);
  const dataAt = at + VRRP_HEADER + addresses.length * ADDRESS_LENGTH;
  if (ofVersion === 2) for (let i = 0; i < AUTHENTICATION_LENGTH; i++) view.setUint8(dataAt + i, password === null ? 0 : password[i]);
  view.setUint16(at + 6, ~fold(sum(view, at, messageLength(ofVersion, addresses.length), pseudoHeader)) & 0xffff);
}
