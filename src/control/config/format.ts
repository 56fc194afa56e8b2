/**
 * The types a key can have: what each accepts, and how to say so. Each is a convict format; what it refuses it refuses
 * with a complaint that fits behind "found …" and "allowed: …".
 */
import { isAbsolute } from 'node:path';
import { formatNetwork, looksLikeIpv6, networkOf, notAHost, readAddress, readPrefix, reserved, reservedPrefix } from './ip.js';
import { suggestion, oneOf } from './near.js';

/** What a format needs to know of its key. */
export interface FormatOptions {
  /** integer: bounds. duration: bounds as durations. */
  min?: number | string;
  max?: number | string;
  /** duration: the law that sets the lower bound. */
  law?: string;
  /** choice: the values. */
  choices?: readonly string[];
  /** choice: values of a coming version, refused by name. */
  later?: readonly string[];
  /** reference, references: what the name is of. */
  of?: string;
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

const ONLY_IPV4 = 'IPv4 only in this version';

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

export const FORMATS = {
  choice: {
    type: 'one of',
    allowed: (options) => oneOf(options.choices ?? []),
    judge(value, options) {
      const choices = options.choices ?? [];
      if (typeof value === 'string' && choices.includes(value)) return [];
      if (typeof value !== 'string') return [{ remark: '' }];
      if (options.later?.includes(value)) return [{ remark: 'not supported by this version' }];
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
      if (typeof value === 'number') return [{ remark: 'no unit', allowed: `a duration with its unit (d, h, m, s), ${options.min} to ${options.max}` }];
      const seconds = typeof value === 'string' ? readDuration(value) : undefined;
      if (seconds === undefined) return [{ remark: '', allowed: `a duration such as 90s, 5m or 2h4m, ${options.min} to ${options.max}` }];
      if (seconds < readDuration(String(options.min))!) {
        return [{ remark: options.law === undefined ? 'too short' : `${options.law} forbids less than ${options.min}` }];
      }
      if (seconds > readDuration(String(options.max))!) return [{ remark: 'too long' }];
      return yes(Number.isInteger(seconds), 'a fraction of a second');
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
    judge: text((value) => {
      if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value)) return 'not six bytes in hexadecimal with ":" between';
      if (/^(00:){5}00$/.test(value)) return 'all zeros';
      return Number.parseInt(value.slice(0, 2), 16) & 1 ? 'a multicast address' : undefined;
    }),
  },
  address: { type: 'IPv4 address', allowed: () => ADDRESS, judge: (value) => judgeAddress(value) },
  addresses: {
    type: 'list of IPv4 addresses with prefix lengths',
    allowed: () => 'a list of IPv4 addresses with prefix lengths, such as [192.0.2.1/24]',
    judge: list(judgeAddressWithPrefix, (value) => String(value).split('/')[0], true),
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
    type: 'auto, off, an IPv4 address or a list of them',
    allowed: () => 'auto, off, an IPv4 address or a list of IPv4 addresses',
    judge(value, options) {
      if (value === 'auto' || value === 'off') return [];
      if (Array.isArray(value)) {
        if (value.length === 0) return [{ remark: '', allowed: 'off for no translation, or at least one address' }];
        return list(judgeAddress, String, false)(value);
      }
      if (typeof value === 'string' && readAddress(value) === undefined && !looksLikeIpv6(value) && readPrefix(value) === undefined) {
        return [{ remark: suggestion(value, ['auto', 'off']), allowed: FORMATS.snat.allowed(options) }];
      }
      if (typeof value !== 'string') return [{ remark: typeof value === 'boolean' ? 'a boolean, not the text off or auto' : '' }];
      return judgeAddress(value);
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
    judge: text((value) => (/^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/.test(value) ? undefined : 'not a group name')),
  },
} satisfies Record<string, Format> as Record<FormatName, Format>;

export type FormatName =
  | 'choice' | 'boolean' | 'integer' | 'duration' | 'device' | 'netns' | 'mac' | 'address' | 'addresses' | 'prefix'
  | 'snat' | 'reference' | 'references' | 'socketPath' | 'groupName';

/** Why nothing may be forwarded to a prefix; undefined when it may, as for everything (0.0.0.0/0). */
export function unroutable(value: string): string | undefined {
  const prefix = readPrefix(value);
  if (prefix === undefined || prefix.prefixLength === 0) return undefined;
  return reservedPrefix(prefix);
}
