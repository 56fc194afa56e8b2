/**
 * Addresses between text and machine words. An IPv4 address is one int32 in host order; in a tuple it stands in the last of four
 * words behind 0, 0, 0xffff (the v4-mapped form of RFC 4291 §2.5.5.2).
 */
import { isIPv4 } from 'node:net';

/** Third word of a v4-mapped address. */
export const V4_MAPPED = 0xffff;

/** IPv4 text to an int32; a RangeError names what is wrong with it. */
export function parseIpv4(text: string): number {
  if (!isIPv4(text)) throw new RangeError(`'${text}' is not an IPv4 address`);
  let value = 0;
  for (const part of text.split('.')) value = (value << 8) | Number(part);
  return value;
}

export function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** Mask of a prefix length (0 … 32) as int32. */
export function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) | 0;
}

/** CIDR text to prefix (host bits cleared) and length. */
export function parsePrefix(text: string): { prefix: number; prefixLength: number } {
  const [address, length = '32', ...rest] = text.split('/');
  const prefixLength = /^(0|[1-9]\d?)$/.test(length) ? Number(length) : NaN;
  if (rest.length > 0 || !(prefixLength <= 32)) throw new RangeError(`'${text}' has no prefix length of 0 to 32`);
  return { prefix: parseIpv4(address) & maskOf(prefixLength), prefixLength };
}

/** A MAC address as its first 16 and last 32 bits. */
export interface Mac { high: number; low: number }

export function parseMac(text: string): Mac {
  const bytes = text.split(':').map((part) => (/^[0-9a-f]{2}$/i.test(part) ? Number.parseInt(part, 16) : NaN));
  if (bytes.length !== 6 || bytes.some(Number.isNaN)) throw new RangeError(`'${text}' is not a MAC address`);
  return {
    high: (bytes[0] << 8) | bytes[1],
    low: (bytes[2] << 24) | (bytes[3] << 16) | (bytes[4] << 8) | bytes[5],
  };
}

export function bytesOfMac(text: string): Uint8Array {
  const { high, low } = parseMac(text);
  return Uint8Array.of(high >>> 8, high & 255, low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255);
}

export function formatMac(high: number, low: number): string {
  return [high >>> 8, high & 255, low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255]
    .map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
