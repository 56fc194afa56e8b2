/**
 * The types a key can have: what each accepts, and how to say so. Each is a convict format; what it refuses it refuses
 * with a complaint that fits behind "found …" and "allowed: …".
 */
import { isIPv4 } from 'node:net';
import { isAbsolute } from 'node:path';
import { badCommand, DNS_PORT, HOP_PORT, readEndpoint, readPercent, readServer, readStatus, readUrl } from './check-text.js';
import { formatNetwork, looksLikeIpv6, networkOf, notAHost, readAddress, readPrefix, reserved, reservedPrefix } from './ip.js';
import { and, oneOf, suggestion } from './near.js';
import { Claims, type Range } from './range.js';
import { readHostPort, readListenAddress, readRedisUrl } from './share-text.js';
import {
  ONLY_IPV4, POOL_MAX, PORT_MAX, PROTOCOLS, RATE_MAX, readListen, readPool, readPorts, readProtocol, readRate, readTarget, readVirtualListen,
} from './rule-text.js';

/** What a format needs to know of its key. */
export interface FormatOptions {
  /** integer: bounds. duration: bounds as durations. */
  min?: number | string;
  max?: number | string;
  /** duration: the law that sets the lower bound. */
  law?: string;
  /** duration: parts of a second will do. */
  fine?: true;
  /** choice, choiceOrMap: the values. */
  choices?: readonly string[];
  /** reference, references: what the name is of. */
  of?: string;
  /** somePorts: the lowest there is, and whether a range will do. */
  least?: number;
  single?: true;
  /** map, choiceOrMap, targets: the keys of the map. */
  part?: { readonly keys: Readonly<Record<string, FormatOptions & { readonly format: FormatName }>> };
  /** targets: the key of the map that a value which is no map stands for. */
  short?: string;
  /** eachName: what each name of the map has. */
  each?: FormatOptions & { readonly format: FormatName };
}

export interface Complaint {
  /** The list item at fault. */
  index?: number;
  /** Said behind the value: ' (…)'. */
  remark: string;
  /** When the key's own `allowed` does not help here. */
  allowed?: string;
}

interface Format {
  /** The docs' word for it. */
  type: string;
  allowed(options: FormatOptions): string;
  /** Empty = accepted. */
  judge(value: unknown, options: FormatOptions): Complaint[];
}

const SECONDS: Readonly<Record<string, number>> = { d: 86_400, h: 3_600, m: 60, s: 1, ms: 0.001 };

/** '2h4m' to seconds; undefined when it is not a duration. Units stand in falling order, each at most once. */
export function readDuration(text: string): number | undefined {
  const match = /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?$/.exec(text);
  if (match === null || text === '') return undefined;
  const [days, hours, minutes, seconds, milliseconds] = match.slice(1).map((digits) => Number(digits ?? 0));
  // Milliseconds are divided, not multiplied by a fraction: 1500 ms must be 1.5 s to the last bit.
  return days * SECONDS.d + hours * SECONDS.h + minutes * SECONDS.m + seconds + milliseconds / 1000;
}

/** Why a device's name would be refused by the kernel (dev_valid_name) or be read as a pattern by it. */
function badDeviceName(name: string): string | undefined {
  const bytes = Buffer.byteLength(name);
  if (bytes > 15) return `${bytes} bytes, 15 at most`;
  if (name === '.' || name === '..' || /[/:%\s\p{Cc}]/u.test(name)) return 'not a name the kernel takes';
  return undefined;
}

function yes(ok: boolean, remark = ''): Complaint[] {
  return ok ? [] : [{ remark }];
}

/** Texts go to `judge`; a number says to quote it. */
function text(judge: (value: string) => string | undefined): (value: unknown) => Complaint[] {
  return (value) => {
    if (typeof value === 'number' || typeof value === 'boolean') return [{ remark: 'not a text, put it in quotes' }];
    if (typeof value !== 'string') return [{ remark: '' }];
    if (value === '') return [{ remark: 'empty' }];
    const remark = judge(value);
    return remark === undefined ? [] : [{ remark }];
  };
}

/** A list that is not empty and repeats nothing; each item goes to `judge`. */
function list(judge: (value: unknown) => Complaint[], canonical: (value: unknown) => unknown, mayBeEmpty: boolean): (value: unknown) => Complaint[] {
  return (value) => {
    if (!Array.isArray(value)) return [{ remark: typeof value === 'string' ? `not a list, write [${value}]` : '' }];
    if (value.length === 0 && !mayBeEmpty) return [{ remark: '' }];
    const seen = new Set<unknown>();
    return value.flatMap((item: unknown, index): Complaint[] => {
      const complaints = judge(item).map((complaint) => ({ ...complaint, index }));
      if (complaints.length > 0) return complaints;
      const key = canonical(item);
      if (seen.has(key)) return [{ index, remark: 'for the second time', allowed: 'each once' }];
      seen.add(key);
      return [];
    });
  };
}

/** One value or a list of them. */
function oneOrMore(judge: (value: unknown) => Complaint[], canonical: (value: unknown) => unknown): (value: unknown) => Complaint[] {
  const judgeList = list(judge, canonical, false);
  return (value) => (Array.isArray(value) ? judgeList(value) : judge(value));
}

/** Values or lists of them that stand for ranges; what an earlier item of a list has, a later one may not have too. */
function ranges(read: (value: unknown) => Range | string, allowed: string): (value: unknown) => Complaint[] {
  return (value) => {
    if (!Array.isArray(value)) {
      const range = read(value);
      return typeof range === 'string' ? [{ remark: range, allowed }] : [];
    }
    if (value.length === 0) return [{ remark: '', allowed }];
    const claims = new Claims<number>();
    return value.flatMap((item: unknown, index): Complaint[] => {
      const range = read(item);
      if (typeof range === 'string') return [{ index, remark: range, allowed }];
      return claims.claim(range, index) === undefined ? [] : [{ index, remark: 'for the second time', allowed: 'each once' }];
    });
  };
}

function asText(read: (value: string) => Range | string): (value: unknown) => Range | string {
  return (value) => (typeof value === 'string' ? read(value) : '');
}

const POOL = 'auto, off, an IPv4 address, a range such as 192.0.2.8-192.0.2.15, a prefix, or a list of them';
const LISTEN = 'PORT/tcp, PORT/udp or PORT/both, or a range PORT-PORT instead of the port; before it ADDRESS: for one of the uplink\'s addresses alone';
const TARGET = 'an address for the same ports, ADDRESS:PORT, or ADDRESS:PORT-PORT for a range';
const LISTENS = 'ADDRESS:PORT/tcp, /udp or /both, a range PORT-PORT or * instead of the port, or a link\'s name instead of the address';
const RATE = `1 to ${RATE_MAX} a second, a minute or an hour, such as 100/s, 30/m or 5/h`;

const ADDRESS = 'an IPv4 address such as 192.0.2.1';
const ADDRESS_WITH_PREFIX = 'an IPv4 address with its prefix length, such as 192.0.2.1/24';

function judgeAddress(value: unknown): Complaint[] {
  if (typeof value !== 'string') return [{ remark: '', allowed: ADDRESS }];
  const address = readAddress(value);
  if (address === undefined) {
    if (looksLikeIpv6(value)) return [{ remark: ONLY_IPV4, allowed: ADDRESS }];
    if (readPrefix(value) !== undefined) return [{ remark: 'with a prefix length', allowed: `an address alone, ${value.split('/')[0]}` }];
    return [{ remark: 'not an IPv4 address', allowed: ADDRESS }];
  }
  const is = reserved(address);
  return is === undefined ? [] : [{ remark: `${is}`, allowed: 'an address a host can have' }];
}

/** An address, or the word for the uplink's own gateway. */
function judgeHost(value: unknown): Complaint[] {
  const allowed = `${ADDRESS}, or gateway`;
  const complaints = judgeAddress(value).map((complaint) => (complaint.allowed === ADDRESS ? { ...complaint, allowed } : complaint));
  const guess = typeof value === 'string' && /^[a-z]+$/i.test(value) ? suggestion(value, ['gateway']) : '';
  return guess === '' ? complaints : [{ remark: guess, allowed }];
}

function judgeAddressWithPrefix(value: unknown): Complaint[] {
  if (typeof value !== 'string') return [{ remark: '', allowed: ADDRESS_WITH_PREFIX }];
  const prefix = readPrefix(value);
  if (prefix === undefined) {
    if (looksLikeIpv6(value)) return [{ remark: ONLY_IPV4, allowed: ADDRESS_WITH_PREFIX }];
    const bare = readAddress(value) !== undefined;
    return [{ remark: bare ? 'no prefix length' : 'not an IPv4 address with a prefix length of 0 to 32', allowed: bare ? `such as ${value}/24` : ADDRESS_WITH_PREFIX }];
  }
  if (prefix.prefixLength === 0) return [{ remark: 'a network of everything', allowed: 'a prefix length of 1 to 32' }];
  const is = reserved(prefix.address) ?? notAHost(prefix, prefix.address);
  return is === undefined ? [] : [{ remark: is, allowed: 'an address a host can have' }];
}

/** An address, with or without the length of its prefix. */
function judgeVirtualAddress(value: unknown): Complaint[] {
  const allowed = `${ADDRESS}, with or without a prefix length`;
  return (typeof value === 'string' && value.includes('/') ? judgeAddressWithPrefix(value) : judgeAddress(value))
    .map((complaint) => (complaint.allowed === ADDRESS || complaint.allowed === ADDRESS_WITH_PREFIX ? { ...complaint, allowed } : complaint));
}

function badMac(value: string): string | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value)) return 'not six bytes in hexadecimal with ":" between';
  if (/^(00:){5}00$/.test(value)) return 'all zeros';
  return Number.parseInt(value.slice(0, 2), 16) & 1 ? 'a multicast address' : undefined;
}

const NEIGHBOURS = 'a list of neighbours, each an IPv4 address, a space and a MAC address, such as [192.0.2.9 02:00:00:00:00:09]';

function judgeNeighbour(value: unknown): Complaint[] {
  const [address, mac, ...rest] = typeof value === 'string' ? value.split(' ') : [];
  if (address === undefined || mac === undefined || rest.length > 0) return [{ remark: '', allowed: 'an IPv4 address, a space and a MAC address' }];
  const complaints = judgeAddress(address);
  if (complaints.length > 0) return complaints;
  const is = badMac(mac);
  return is === undefined ? [] : [{ remark: is, allowed: 'a unicast MAC address such as 02:00:00:00:00:01' }];
}

/** A prefix, or an address that stands for itself alone. */
function judgeMatchPrefix(value: unknown): Complaint[] {
  const allowed = 'an IPv4 prefix such as 192.0.2.0/24, or an address';
  if (typeof value !== 'string') return [{ remark: '', allowed }];
  const address = readAddress(value);
  const prefix = address === undefined ? readPrefix(value) : { address, prefixLength: 32 };
  if (prefix === undefined) return [{ remark: looksLikeIpv6(value) ? ONLY_IPV4 : 'not an IPv4 prefix', allowed }];
  if (networkOf(prefix) !== prefix.address) return [{ remark: 'bits set behind the prefix', allowed: formatNetwork(prefix) }];
  const is = prefix.prefixLength === 0 ? undefined : reservedPrefix(prefix);
  return is === undefined ? [] : [{ remark: `${is}, which is never forwarded`, allowed }];
}

function poolSize(text: string): number {
  const pool = readPool(text);
  return typeof pool === 'string' ? 0 : pool.last - pool.first + 1;
}

/** A reader's word on a text. */
function complain(value: unknown, read: (text: string) => unknown): Complaint[] {
  if (typeof value !== 'string' && typeof value !== 'number') return [{ remark: '' }];
  const meaning = read(String(value));
  return typeof meaning === 'string' ? [{ remark: meaning }] : [];
}

/** A reader's word on what means nothing. */
function problem(meaning: object | string): string | undefined {
  return typeof meaning === 'string' ? meaning : undefined;
}

const HOST_PORT = 'HOST:PORT, such as 10.0.9.1:6379';
/** What an instance may be called: its name stands in keys of the store, in columns and in metrics. */
export const INSTANCE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const INSTANCE_ALLOWED = 'a name of 1 to 63 letters, digits, ".", "_" and "-", beginning with a letter or digit';

const ENDPOINT = 'HOST:PORT, such as example.com:443 or 192.0.2.1:80';
/** What useradd(8) and groupadd(8) take. */
const ACCOUNT = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/;

const PROTOCOL = `a protocol's name (${oneOf([...PROTOCOLS.keys()])}) or its number, 0 to 255`;

function judgeProtocol(value: unknown): Complaint[] {
  if (readProtocol(value) !== undefined) return [];
  if (typeof value !== 'string') return [{ remark: '', allowed: PROTOCOL }];
  return [{ remark: value === 'both' ? 'write [tcp, udp]' : suggestion(value, PROTOCOLS.keys()), allowed: PROTOCOL }];
}

export const FORMATS = {
  choice: {
    type: 'one of',
    allowed: (options) => oneOf(options.choices ?? []),
    judge(value, options) {
      const choices = options.choices ?? [];
      if (typeof value === 'string' && choices.includes(value)) return [];
      if (typeof value !== 'string') return [{ remark: '' }];
      return [{ remark: suggestion(value, choices) }];
    },
  },
  boolean: {
    type: 'true or false',
    allowed: () => 'true or false',
    judge: (value) => yes(typeof value === 'boolean', typeof value === 'string' ? 'a text' : ''),
  },
  integer: {
    type: 'whole number',
    allowed: (options) => `${options.min} to ${options.max}`,
    judge(value, options) {
      if (typeof value !== 'number') return [{ remark: typeof value === 'string' ? 'a text' : '' }];
      return yes(Number.isInteger(value) && value >= Number(options.min) && value <= Number(options.max), Number.isInteger(value) ? '' : 'not a whole number');
    },
  },
  duration: {
    type: 'duration',
    allowed: (options) => `${options.min} to ${options.max}`,
    judge(value, options) {
      const { fine } = options;
      if (typeof value === 'number') return [{ remark: 'no unit', allowed: `a duration with its unit (d, h, m, s${fine ? ', ms' : ''}), ${options.min} to ${options.max}` }];
      const seconds = typeof value === 'string' ? readDuration(value) : undefined;
      if (seconds === undefined) return [{ remark: '', allowed: `a duration such as ${fine ? '800ms, 3s or 1m30s' : '90s, 5m or 2h4m'}, ${options.min} to ${options.max}` }];
      if (seconds < readDuration(String(options.min))!) {
        return [{ remark: options.law === undefined ? 'too short' : `${options.law} forbids less than ${options.min}` }];
      }
      if (seconds > readDuration(String(options.max))!) return [{ remark: 'too long' }];
      return yes(fine === true || Number.isInteger(seconds), 'a fraction of a second');
    },
  },
  number: {
    type: 'number',
    allowed: (options) => `${options.min} to ${options.max}`,
    judge(value, options) {
      if (typeof value !== 'number') return [{ remark: typeof value === 'string' ? 'a text' : '' }];
      return yes(value >= Number(options.min) && value <= Number(options.max));
    },
  },
  percent: {
    type: 'part of a whole',
    allowed: (options) => `${options.min} to ${options.max}`,
    judge(value, options) {
      if (typeof value === 'number') return [{ remark: 'no %', allowed: `such as ${value}%, ${options.min} to ${options.max}` }];
      const part = typeof value === 'string' ? readPercent(value) : undefined;
      if (part === undefined) return [{ remark: '', allowed: `a percentage such as 40%, ${options.min} to ${options.max}` }];
      return yes(part >= readPercent(String(options.min))! && part <= readPercent(String(options.max))!);
    },
  },
  device: {
    type: 'device name',
    allowed: () => 'a device name of 1 to 15 bytes, without spaces, "/", ":" or "%"',
    judge: text(badDeviceName),
  },
  netns: {
    type: 'network namespace',
    allowed: () => 'the name of a network namespace, as `ip netns` lists it',
    // It becomes a file's name below /run/netns.
    judge: text((value) => (value === '.' || value === '..' || value.includes('/') || value.includes('\0') || Buffer.byteLength(value) > 255 ? 'not a file name' : undefined)),
  },
  mac: {
    type: 'MAC address',
    allowed: () => 'a unicast MAC address such as 02:00:00:00:00:01',
    judge: text(badMac),
  },
  neighbours: {
    type: 'list of IPv4 addresses with MAC addresses',
    allowed: () => NEIGHBOURS,
    judge: list(judgeNeighbour, (value) => String(value).split(' ')[0], true),
  },
  address: { type: 'IPv4 address', allowed: () => ADDRESS, judge: (value) => judgeAddress(value) },
  addresses: {
    type: 'list of IPv4 addresses with prefix lengths',
    allowed: () => 'a list of IPv4 addresses with prefix lengths, such as [192.0.2.1/24]',
    judge: list(judgeAddressWithPrefix, (value) => String(value).split('/')[0], true),
  },
  virtualAddresses: {
    type: 'list of IPv4 addresses',
    allowed: () => 'a list of IPv4 addresses such as [192.0.2.1], each with or without a prefix length',
    judge: list(judgeVirtualAddress, (value) => String(value).split('/')[0], false),
  },
  prefix: {
    type: 'IPv4 prefix',
    allowed: () => 'an IPv4 prefix such as 192.0.2.0/24',
    judge(value) {
      if (typeof value !== 'string') return [{ remark: '' }];
      const prefix = readPrefix(value);
      if (prefix === undefined) {
        if (looksLikeIpv6(value)) return [{ remark: ONLY_IPV4 }];
        const bare = readAddress(value) !== undefined;
        return [{ remark: bare ? 'no prefix length' : 'not an IPv4 prefix with a length of 0 to 32', ...(bare ? { allowed: `such as ${value}/32` } : {}) }];
      }
      return networkOf(prefix) === prefix.address ? [] : [{ remark: 'bits set behind the prefix', allowed: formatNetwork(prefix) }];
    },
  },
  snat: {
    type: 'auto, off, IPv4 addresses, ranges or prefixes',
    allowed: () => `${POOL}; ${POOL_MAX} addresses at most`,
    judge(value) {
      if (value === 'auto' || value === 'off') return [];
      if (Array.isArray(value)) {
        if (value.length === 0) return [{ remark: '', allowed: 'off for no translation, or at least one address' }];
        const complaints = ranges(asText(readPool), 'an IPv4 address, a range or a prefix')(value);
        if (complaints.length > 0) return complaints;
        const size = value.reduce((sum: number, item) => sum + poolSize(String(item)), 0);
        return size > POOL_MAX ? [{ remark: `${size} addresses`, allowed: `${POOL_MAX} addresses at most` }] : [];
      }
      if (typeof value !== 'string') return [{ remark: typeof value === 'boolean' ? 'a boolean, not the text off or auto' : '' }];
      const pool = readPool(value);
      return typeof pool === 'string' ? [{ remark: /^[a-z]+$/i.test(value) ? suggestion(value, ['auto', 'off']) : pool }] : [];
    },
  },
  reference: {
    type: 'name',
    allowed: (options) => `the name of ${options.of}`,
    judge: text(() => undefined),
  },
  references: {
    type: 'list of names',
    allowed: (options) => `a list of at least one name, each of ${options.of}`,
    judge: list(text(() => undefined), (value) => value, false),
  },
  someReferences: {
    type: 'name or list of names',
    allowed: (options) => `the name of ${options.of}, or a list of them`,
    judge: oneOrMore(text(() => undefined), (value) => value),
  },
  somePrefixes: {
    type: 'IPv4 prefix or list of prefixes',
    allowed: () => 'an IPv4 prefix such as 192.0.2.0/24 or an address, or a list of them',
    judge: oneOrMore(judgeMatchPrefix, (value) => (String(value).includes('/') ? value : `${String(value)}/32`)),
  },
  someProtocols: {
    type: 'protocol or list of protocols',
    allowed: () => `${PROTOCOL}; or a list of them`,
    judge: oneOrMore(judgeProtocol, readProtocol),
  },
  somePorts: {
    type: 'port or list of ports',
    allowed: ({ least, single }) => `ports of ${least} to ${PORT_MAX}: one${single ? '' : ', a range such as 8000-8010,'} or a list of them`,
    judge: (value, { least = 1, single }) => ranges((item) => {
      const range = readPorts(item, least);
      return single && typeof range !== 'string' && range.first !== range.last ? 'a range' : range;
    }, `a port of ${least} to ${PORT_MAX}${single ? '' : ' or a range such as 8000-8010'}`)(value),
  },
  someChoices: {
    type: 'one or more of',
    allowed: (options) => `${oneOf(options.choices ?? [])}, or a list of them`,
    judge: (value, options) => oneOrMore((item) => FORMATS.choice.judge(item, options), (item) => item)(value),
  },
  mssClamp: {
    type: 'auto, off or bytes',
    allowed: (options) => `auto, off or ${options.min} to ${options.max}`,
    judge(value, options) {
      if (value === 'auto' || value === 'off') return [];
      if (typeof value === 'number') return FORMATS.integer.judge(value, options);
      if (typeof value === 'boolean') return [{ remark: 'a boolean, not the text off or auto' }];
      return [{ remark: typeof value === 'string' ? suggestion(value, ['auto', 'off']) : '' }];
    },
  },
  listen: {
    type: 'port with protocol',
    allowed: () => LISTEN,
    judge: (value) => complain(value, readListen),
  },
  listens: {
    type: 'address with port and protocol, or a list',
    allowed: () => `${LISTENS}, or a list of them`,
    judge: oneOrMore((value) => complain(value, readVirtualListen).map((complaint) => ({ allowed: LISTENS, ...complaint })), (value) => value),
  },
  path: {
    type: 'path',
    allowed: () => 'a path such as /health, with or without a query',
    judge: text((value) => (/^\/[\x21-\x7e]{0,2047}$/.test(value) ? undefined : 'not a path that begins with / and has no spaces')),
  },
  label: {
    type: 'word',
    allowed: () => 'a word of 1 to 32 lower-case letters, digits and "-", beginning with a letter',
    judge: text((value) => (/^[a-z][a-z0-9-]{0,31}$/.test(value) ? undefined : 'not such a word')),
  },
  target: {
    type: 'IPv4 address, with or without ports',
    allowed: () => TARGET,
    judge: (value) => complain(value, readTarget),
  },
  rate: {
    type: 'rate',
    allowed: () => RATE,
    judge: (value) => complain(value, readRate),
  },
  map: {
    type: 'map',
    allowed(options) {
      const keys = Object.keys(options.part?.keys ?? {});
      return keys.length === 0 ? 'an empty map, {}' : `a map of ${and(keys)}`;
    },
    // Whoever reads the keys judges a map key by key; what comes here is something else.
    judge: () => [{ remark: '' }],
  },
  choiceOrMap: {
    type: 'one of, or a map',
    allowed: (options) => `${(options.choices ?? []).join(', ')} or a map of ${and(Object.keys(options.part?.keys ?? {}))}`,
    judge(value, { choices = [] }) {
      if (typeof value === 'string' && choices.includes(value)) return [];
      if (typeof value === 'boolean' && choices.includes('off')) return [{ remark: `a boolean, not the text ${oneOf(choices)}` }];
      return [{ remark: typeof value === 'string' ? suggestion(value, choices) : '' }];
    },
  },
  eachName: {
    type: 'map from names',
    allowed: ({ of, each }) => `a map from the name of ${of} to ${each === undefined ? 'a value' : FORMATS[each.format].allowed(each)}`,
    // Whoever reads the names judges their values one by one; what comes here is something else.
    judge: () => [{ remark: '' }],
  },
  targets: {
    type: 'one or a list',
    allowed({ part, short = '' }) {
      const inner = part!.keys[short];
      const keys = Object.keys(part!.keys);
      return `${FORMATS[inner.format].allowed(inner)}${keys.length === 1 ? '' : `; a map of ${and(keys)}`}; or a list of them`;
    },
    // Maps among the items are read key by key elsewhere, and stand here as objects.
    judge(value, { part, short = '' }) {
      const inner = part!.keys[short];
      const { judge } = FORMATS[inner.format];
      if (!Array.isArray(value) || (inner.format === 'command' && value.length > 0 && value.every((word) => typeof word !== 'object'))) return judge(value, inner);
      if (value.length === 0) return [{ remark: '' }];
      return value.flatMap((item: unknown, index): Complaint[] => {
        if (typeof item === 'object' && item !== null) return [];
        return judge(item, inner).map((complaint) => ({ allowed: FORMATS[inner.format].allowed(inner), ...complaint, index }));
      });
    },
  },
  someHosts: {
    type: 'IPv4 address or gateway, or a list',
    allowed: () => 'an IPv4 address such as 192.0.2.1, or gateway, or a list of them',
    judge: oneOrMore((value) => (value === 'gateway' ? [] : judgeHost(value)), (value) => value),
  },
  someAddresses: {
    type: 'IPv4 address or list of addresses',
    allowed: () => 'an IPv4 address such as 192.0.2.1, or a list of them',
    judge: oneOrMore(judgeAddress, (value) => value),
  },
  someEndpoints: {
    type: 'host with port, or a list',
    allowed: () => `${ENDPOINT}, or a list of them`,
    judge: oneOrMore((value) => complain(value, readEndpoint).map((complaint) => ({ allowed: ENDPOINT, ...complaint })), (value) => value),
  },
  url: {
    type: 'URL',
    allowed: () => 'a URL such as https://example.com/health',
    judge: text((value) => problem(readUrl(value))),
  },
  statuses: {
    type: 'status codes',
    allowed: () => 'HTTP status codes of 100 to 599: one, a range such as 200-399, or a list of them',
    judge: ranges(readStatus, 'a status code of 100 to 599 or a range such as 200-399'),
  },
  server: {
    type: 'IPv4 address, with or without a port',
    allowed: () => 'an IPv4 address, or ADDRESS:PORT',
    judge: text((value) => problem(readServer(value, DNS_PORT))),
  },
  hop: {
    type: 'IPv4 address, with or without a port',
    allowed: () => 'an IPv4 address, or ADDRESS:PORT',
    judge: text((value) => problem(readServer(value, HOP_PORT))),
  },
  hostName: {
    type: 'name',
    allowed: () => 'a name such as example.com',
    judge: text((value) => (isIPv4(value) ? 'an address, not a name' : problem(readEndpoint(`${value}:1`)))),
  },
  command: {
    type: 'command line',
    allowed: () => 'the whole path of a program, or a list of it and its arguments',
    judge(value) {
      const words: readonly unknown[] = Array.isArray(value) ? value : [value];
      const index = words.findIndex((word) => typeof word !== 'string');
      if (index >= 0 && Array.isArray(value)) return [{ index, remark: typeof words[index] === 'object' ? '' : 'not a text, put it in quotes', allowed: 'texts' }];
      const bad = badCommand(words);
      return bad === undefined ? [] : [{ remark: typeof value === 'string' || Array.isArray(value) ? bad : '' }];
    },
  },
  text: {
    type: 'text',
    allowed: () => 'a text of 1 to 1024 characters',
    judge: text((value) => (value.length > 1024 ? `${value.length} characters` : undefined)),
  },
  redisUrl: {
    type: 'URL',
    allowed: () => 'redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE or unix:///PATH',
    judge: text((value) => problem(readRedisUrl(value))),
  },
  hostPorts: {
    type: 'host with port, or a list',
    allowed: () => `${HOST_PORT}, or a list of them`,
    judge: oneOrMore((value) => complain(value, readHostPort).map((complaint) => ({ allowed: HOST_PORT, ...complaint })), (value) => value),
  },
  listenAddress: {
    type: 'address with port, or off',
    allowed: () => 'off, or ADDRESS:PORT such as 127.0.0.1:9469',
    judge(value) {
      if (value === 'off') return [];
      if (typeof value === 'boolean') return [{ remark: 'a boolean, not the text off' }];
      return text((given) => problem(readListenAddress(given)))(value);
    },
  },
  keyPrefix: {
    type: 'text',
    allowed: () => 'a text of 1 to 64 characters without spaces, with at most one part of it in braces',
    judge: text((value) => (/^[!-z|~]{1,64}$/.test(value) || /^[!-z|~]{0,62}\{[!-z|~]+\}[!-z|~]{0,62}$/.test(value) && value.length <= 64 ? undefined : 'not such a text')),
  },
  instance: {
    type: 'word',
    allowed: () => INSTANCE_ALLOWED,
    judge: text((value) => (INSTANCE.test(value) ? undefined : 'not such a name')),
  },
  word: {
    type: 'word',
    allowed: () => 'a word of 1 to 128 printable characters without spaces',
    judge: text((value) => (/^[!-~]{1,128}$/.test(value) ? undefined : 'not such a word')),
  },
  secret: {
    type: 'text',
    allowed: () => 'a text of 1 to 512 characters in one line',
    judge: text((value) => (/^\P{Cc}{1,512}$/u.test(value) ? undefined : 'not such a text')),
  },
  filePath: {
    type: 'path',
    allowed: () => 'the absolute path of a file',
    judge: text((value) => (isAbsolute(value) && !value.includes('\0') && !value.endsWith('/') ? undefined : isAbsolute(value) ? 'not a file' : 'not absolute')),
  },
  directory: {
    type: 'path',
    allowed: () => 'the absolute path of a directory',
    judge: text((value) => (isAbsolute(value) && !value.includes('\0') ? undefined : 'not absolute')),
  },
  socketPath: {
    type: 'path',
    allowed: () => 'an absolute path of at most 107 bytes',
    judge: text((value) => {
      if (!isAbsolute(value)) return 'not absolute';
      // sockaddr_un.sun_path holds 108 bytes with the zero at the end.
      if (Buffer.byteLength(value) > 107) return `${Buffer.byteLength(value)} bytes`;
      return value.includes('\0') || value.endsWith('/') ? 'not a file' : undefined;
    }),
  },
  groupName: {
    type: 'group name',
    allowed: () => 'the name of a group of the system, at most 32 bytes',
    judge: text((value) => (ACCOUNT.test(value) ? undefined : 'not a group name')),
  },
  userName: {
    type: 'user name',
    allowed: () => 'the name of a user of the system, at most 32 bytes',
    judge: text((value) => (ACCOUNT.test(value) ? undefined : 'not a user name')),
  },
} satisfies Record<string, Format> as Record<FormatName, Format>;

export type FormatName =
  | 'choice' | 'boolean' | 'integer' | 'duration' | 'device' | 'netns' | 'mac' | 'address' | 'addresses' | 'neighbours' | 'prefix'
  | 'snat' | 'reference' | 'references' | 'someReferences' | 'somePrefixes' | 'someProtocols' | 'somePorts' | 'someChoices' | 'mssClamp'
  | 'listen' | 'target' | 'rate' | 'map' | 'choiceOrMap' | 'eachName' | 'targets' | 'socketPath' | 'groupName' | 'userName' | 'directory'
  | 'number' | 'percent' | 'someHosts' | 'someAddresses' | 'someEndpoints' | 'url' | 'statuses' | 'server' | 'hop' | 'hostName' | 'command' | 'text' | 'listens' | 'path' | 'label'
  | 'virtualAddresses' | 'redisUrl' | 'hostPorts' | 'listenAddress' | 'keyPrefix' | 'instance' | 'word' | 'secret' | 'filePath';

/** Why nothing may be forwarded to a prefix; undefined when it may, as for everything (0.0.0.0/0). */
export function unroutable(value: string): string | undefined {
  const prefix = readPrefix(value);
  if (prefix === undefined || prefix.prefixLength === 0) return undefined;
  return reservedPrefix(prefix);
}
