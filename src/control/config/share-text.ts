/** The small languages of sharing: where Redis is, hosts with ports that may be the box's own, and what is shown of a text that holds a password. */
import { isIPv4 } from 'node:net';
import { HOST_NAME, isIpv6Target } from './check-text.js';
import { readAddress } from './ip.js';
import { ONLY_IPV4, readPorts } from './rule-text.js';

export const REDIS_PORT = 6379;

/** What a URL says of a Redis server, without the credentials in it, which stand beside it. */
export interface RedisUrl { url: string; username?: string; password?: string; isTls: boolean }

/** A host as a name or an IPv4 address, loopback included: a store may well be on the box itself. */
function notAHostName(host: string): string | undefined {
  if (isIPv4(host)) return readAddress(host) === 0 ? 'no address' : undefined;
  if (/^[\d.]+$/.test(host)) return 'not an IPv4 address';
  return HOST_NAME.test(host) ? undefined : 'not a host\'s name';
}

/** 'HOST:PORT'. */
export function readHostPort(text: string): { host: string; port: number } | string {
  if (isIpv6Target(text)) return ONLY_IPV4;
  const [host, portText, ...rest] = text.split(':');
  if (rest.length > 0) return 'not a host with a port';
  const not = notAHostName(host);
  if (not !== undefined) return not;
  if (portText === undefined) return 'no port';
  const ports = readPorts(portText, 1);
  if (typeof ports === 'string') return ports;
  return ports.first === ports.last ? { host, port: ports.first } : 'a range of ports';
}

/** Where the API's metrics listen: ADDRESS:PORT, 0.0.0.0 for every address of the box. */
export function readListenAddress(text: string): { address: string; port: number } | string {
  if (isIpv6Target(text)) return ONLY_IPV4;
  const [address, portText, ...rest] = text.split(':');
  if (!isIPv4(address) || rest.length > 0) return 'not an IPv4 address with a port';
  if (portText === undefined) return 'no port';
  const ports = readPorts(portText, 1);
  if (typeof ports === 'string') return ports;
  return ports.first === ports.last ? { address, port: ports.first } : 'a range of ports';
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// or unix:///PATH. */
export function readRedisUrl(text: string): RedisUrl | string {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/s.exec(text);
  if (match === null) return 'no redis://, rediss:// or unix:// before it';
  const [, scheme, rest] = match;
  if (scheme === 'unix') return /^\/[^\0]*[^/\0]$/.test(rest) ? { url: text, isTls: false } : 'not the path of a socket';
  if (scheme !== 'redis' && scheme !== 'rediss') return `${scheme} is neither redis nor rediss nor unix`;
  const at = rest.lastIndexOf('@');
  const [place, ...path] = rest.slice(at + 1).split('/');
  if (path.length > 1 || (path.length === 1 && !/^\d{0,5}$/.test(path[0]))) return 'a path that is no database\'s number';
  if (place === '') return 'no host';
  const endpoint = readHostPort(place.includes(':') ? place : `${place}:${REDIS_PORT}`);
  if (typeof endpoint === 'string') return endpoint;
  const url = `${scheme}://${endpoint.host}:${endpoint.port}/${Number(path[0] ?? '0')}`;
  if (at < 0) return { url, isTls: scheme === 'rediss' };
  const [user, ...words] = rest.slice(0, at).split(':');
  const username = decode(user);
  const password = decode(words.join(':'));
  if (username === undefined || password === undefined) return 'a user or a password with a % that is not one of %00 to %FF';
  return { url, ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }), isTls: scheme === 'rediss' };
}

/** A URL as it may be shown. */
export function maskUrl(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/s, '$1***@');
}
