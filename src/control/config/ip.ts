/** Addresses and prefixes as the configuration writes them: text checked by net.isIP, numbers from 0 to 2^32 - 1. */
import { isIPv4, isIPv6 } from 'node:net';
import { formatIpv4, maskOf, parseIpv4 } from '../../wire/address.js';

export interface Prefix {
  /** As written, host bits and all. */
  address: number;
  prefixLength: number;
}

/** Unsigned, so that addresses sort and compare as people count them; undefined when it is not an address. */
export function readAddress(text: string): number | undefined {
  return isIPv4(text) ? parseIpv4(text) >>> 0 : undefined;
}

/** ADDRESS/LENGTH; undefined when it is not. */
export function readPrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const address = readAddress(match[1]);
  const prefixLength = Number(match[2]);
  return address === undefined || prefixLength > 32 ? undefined : { address, prefixLength };
}

/** True for IPv6 with or without a prefix length, which deserves an answer of its own. */
export function looksLikeIpv6(text: string): boolean {
  return isIPv6(text.split('/')[0]);
}

export function networkOf(prefix: Prefix): number {
  return (prefix.address & maskOf(prefix.prefixLength)) >>> 0;
}

export function lastOf(prefix: Prefix): number {
  return (prefix.address | ~maskOf(prefix.prefixLength)) >>> 0;
}

export function contains(prefix: Prefix, address: number): boolean {
  return address >= networkOf(prefix) && address <= lastOf(prefix);
}

/** The network a prefix names, as text. */
export function formatNetwork(prefix: Prefix): string {
  return `${formatIpv4(networkOf(prefix))}/${prefix.prefixLength}`;
}

/** What in a prefix cannot be a host: its network or broadcast address. A /31 has neither (RFC 3021), nor has a /32. */
export function notAHost(prefix: Prefix, address: number): string | undefined {
  if (prefix.prefixLength > 30) return undefined;
  if (address === networkOf(prefix)) return `the network address of ${formatNetwork(prefix)}`;
  if (address === lastOf(prefix)) return `the broadcast address of ${formatNetwork(prefix)}`;
  return undefined;
}

/** Ranges no host on a link may have and no router may forward to (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7, RFC 6890). */
const RESERVED: readonly { prefix: Prefix; is: string }[] = [
  { prefix: { address: 0, prefixLength: 8 }, is: '"this network", 0.0.0.0/8' },
  { prefix: { address: 0x7f000000, prefixLength: 8 }, is: 'loopback, 127.0.0.0/8' },
  { prefix: { address: 0xe0000000, prefixLength: 4 }, is: 'multicast, 224.0.0.0/4' },
  { prefix: { address: 0xf0000000, prefixLength: 4 }, is: 'reserved, 240.0.0.0/4' },
];

/** What an address is when it may not be a host's. */
export function reserved(address: number): string | undefined {
  return RESERVED.find((range) => contains(range.prefix, address))?.is;
}

/** What a prefix lies in when nothing may be forwarded there. */
export function reservedPrefix(prefix: Prefix): string | undefined {
  return RESERVED.find((range) => range.prefix.prefixLength <= prefix.prefixLength && contains(range.prefix, prefix.address))?.is;
}
