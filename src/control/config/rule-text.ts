/**
 * The small languages of rules: ports, protocols, what a port forward listens on and leads to, pools of addresses, rates.
 * Each reader returns what a text means, or a text that says why it means nothing.
 */
import { formatIpv4 } from '../../wire/address.js';
import { lastOf, looksLikeIpv6, networkOf, readAddress, readPrefix, reserved } from './ip.js';
import type { Range } from './range.js';

export const TCP = 6;
export const UDP = 17;

export const PORT_MAX = 65_535;

/** Protocols by the names people know them by (IANA's numbers); any other is given by its number. */
export const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['icmp', 1], ['igmp', 2], ['ipip', 4], ['tcp', TCP], ['udp', UDP], ['dccp', 33], ['ipv6', 41], ['gre', 47], ['esp', 50], ['ah', 51],
  ['ospf', 89], ['vrrp', 112], ['l2tp', 115], ['sctp', 132], ['udplite', 136],
]);

/** The protocols whose ports the router knows. */
export const WITH_PORTS: readonly number[] = [TCP, UDP];

/** Addresses one item of a pool may stand for, and all items of an uplink's together. */
export const POOL_MAX = 256;

export const ONLY_IPV4 = 'IPv4 only in this version';

export type OneOrMore<T> = T | T[];

/** A key that takes one value or a list of them, as a list. */
export function asList<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value as readonly T[] : [value as T];
}

/** 'tcp' or 6 to 6; undefined when there is no such protocol. */
export function readProtocol(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 && value <= 255 ? value : undefined;
  return typeof value === 'string' ? PROTOCOLS.get(value) : undefined;
}

export function protocolName(protocol: number): string {
  for (const [name, number] of PROTOCOLS) if (number === protocol) return name;
  return String(protocol);
}

/** 80, '80' or '8000-8010', with ports of `least` to 65535. */
export function readPorts(value: unknown, least: number): Range | string {
  const match = typeof value === 'number' ? [value, value, undefined] : /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(String(value));
  if (match === null || (typeof value !== 'number' && typeof value !== 'string')) return 'not a port or a range of ports';
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (![first, last].every((port) => Number.isInteger(port) && port >= least && port <= PORT_MAX)) return `ports go from ${least} to ${PORT_MAX}`;
  return first <= last ? { first, last } : 'the wrong way round';
}

export function formatPorts({ first, last }: Range): string {
  return first === last ? String(first) : `${first}-${last}`;
}

export interface Listen {
  /** Absent = all external addresses of the uplink. */
  address?: number;
  ports: Range;
  protocols: readonly number[];
}

const FORWARDED: ReadonlyMap<string, readonly number[]> = new Map([['tcp', [TCP]], ['udp', [UDP]], ['both', [TCP, UDP]]]);

/** '80/tcp', '8000-8010/udp', '53/both', '203.0.113.5:80/tcp'. */
export function readListen(text: string): Listen | string {
  if (looksLikeIpv6(text.replace(/\]?:[\d-]+\/\w+$/, '').replace('[', ''))) return ONLY_IPV4;
  const match = /^(?:([^:/]+):)?([^:/]+)(?:\/([a-z]+))?$/.exec(text);
  if (match === null) return 'not a port with its protocol';
  const ports = readPorts(match[2], 1);
  if (typeof ports === 'string') return readAddress(match[2]) === undefined ? ports : 'no port';
  if (match[3] === undefined) return 'no protocol';
  const protocols = FORWARDED.get(match[3]);
  if (protocols === undefined) return `${match[3]} is neither tcp nor udp nor both`;
  if (match[1] === undefined) return { ports, protocols };
  const address = readAddress(match[1]);
  return address === undefined ? `${match[1]} is not an IPv4 address` : { address, ports, protocols };
}

/** Where a virtual server listens: an address, or a link by name for all of its addresses. */
export interface VirtualListen { address?: number; link?: string; ports: Range; protocols: readonly number[] }

/** '203.0.113.2:80/tcp', 'wan:8000-8010/both', or * for all ports. */
export function readVirtualListen(text: string): VirtualListen | string {
  if (looksLikeIpv6(text.replace(/\]?:[\d*-]+\/\w+$/, '').replace('[', ''))) return ONLY_IPV4;
  const match = /^([^:/]+):([^:/]+)(?:\/([a-z]+))?$/.exec(text);
  if (match === null) return 'not an address with a port and its protocol';
  const ports = match[2] === '*' ? { first: 0, last: PORT_MAX } : readPorts(match[2], 1);
  if (typeof ports === 'string') return ports;
  if (match[3] === undefined) return 'no protocol';
  const protocols = FORWARDED.get(match[3]);
  if (protocols === undefined) return `${match[3]} is neither tcp nor udp nor both`;
  if (!/^[\d.]+$/.test(match[1])) return { link: match[1], ports, protocols };
  const address = readAddress(match[1]);
  if (address === undefined) return `${match[1]} is not an IPv4 address`;
  return reserved(address) ?? { address, ports, protocols };
}

/** Where a port forward leads: an address, and ports unless they stay the same. */
export interface Target { address: number; ports?: Range }

/** '10.0.1.5', '10.0.1.5:8080', '10.0.1.5:8080-8089'. */
export function readTarget(text: string): Target | string {
  if (looksLikeIpv6(text.replace(/\]?:[\d-]+$/, '').replace('[', '')) || looksLikeIpv6(text)) return ONLY_IPV4;
  const [before, behind, ...rest] = text.split(':');
  const address = readAddress(before);
  if (address === undefined || rest.length > 0) return 'not an IPv4 address, with or without ports';
  const is = reserved(address);
  if (is !== undefined) return is;
  if (behind === undefined) return { address };
  const ports = readPorts(behind, 1);
  return typeof ports === 'string' ? ports : { address, ports };
}

/** '192.0.2.1', '192.0.2.1-192.0.2.9' or '192.0.2.0/28' to its first and last address. */
export function readPool(text: string): Range | string {
  let range: Range;
  const [from, to, ...rest] = text.split('-').map((part) => part.trim());
  if (looksLikeIpv6(from)) return ONLY_IPV4;
  const prefix = readPrefix(text);
  const first = readAddress(from);
  const last = to === undefined ? first : readAddress(to);
  if (prefix !== undefined) {
    if (networkOf(prefix) !== prefix.address) return 'bits set behind the prefix';
    range = { first: networkOf(prefix), last: lastOf(prefix) };
  } else {
    if (first === undefined || last === undefined || rest.length > 0) return 'not an IPv4 address, a range of them or a prefix';
    if (last < first) return 'the wrong way round';
    range = { first, last };
  }
  const is = reserved(range.first) ?? reserved(range.last);
  if (is !== undefined) return is;
  const size = range.last - range.first + 1;
  return size > POOL_MAX ? `${size} addresses, ${POOL_MAX} at most` : range;
}

/** The addresses of a pool, as texts. */
export function poolAddresses({ first, last }: Range): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => formatIpv4(first + index));
}

const RATE_UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
export const RATE_MAX = 10_000_000;

/** '100/s', '30/m' or '5/h' to so many per second. */
export function readRate(text: string): number | string {
  const match = /^(\d{1,9})\/([smh])$/.exec(text);
  if (match === null) return 'not a rate';
  const count = Number(match[1]);
  if (count === 0) return 'never; that is a rule without over';
  return count > RATE_MAX ? `more than ${RATE_MAX}` : count / RATE_UNITS[match[2]];
}
