/** The addresses by which the box chooses an uplink: what it sends from one of them leaves by that uplink. */
import { formatIpv4 } from '../../wire/address.js';
import { networkOf, readPrefix, type Prefix } from './ip.js';
import type { LinkKeys } from './schema.js';
import type { Item } from './validate.js';

/** Link-local addresses (RFC 3927): nobody routes them, so they can be in nobody's way. */
export const PINS = '169.254.119.0/24';

/** The link to the box: the router knows one, the first. */
export function boxLink(links: readonly Item<LinkKeys>[]): Item<LinkKeys> | undefined {
  return links.find((link) => link.values.type === 'tun' && link.given('peer'));
}

/** Addresses that a prefix has for pins. A /31 and a /32 have neither a network nor a broadcast address (RFC 3021). */
export function pinRoom({ prefixLength }: Prefix): number {
  return prefixLength > 30 ? 2 ** (32 - prefixLength) : 2 ** (32 - prefixLength) - 2;
}

/** The address of the uplink with this index. */
export function pinOf(text: string | undefined, index: number): string {
  const prefix = readPrefix(text ?? PINS)!;
  return formatIpv4(networkOf(prefix) + index + (prefix.prefixLength > 30 ? 0 : 1));
}
