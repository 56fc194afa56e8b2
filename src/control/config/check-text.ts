/**
 * The small languages of health checks: targets by name and port, URLs, servers, hops, command lines, and parts of a whole. Each reader
 * returns what a text means, or a text that says why it means nothing.
 */
import { isIPv4 } from 'node:net';
import { isAbsolute } from 'node:path';
import { looksLikeIpv6, readAddress, reserved } from './ip.js';
import type { Range } from './range.js';
import { ONLY_IPV4, readPorts } from './rule-text.js';

/** A host with a port; which of the two forms the host has is the asker's concern. */
export interface Endpoint { host: string; port: number }

/** RFC 1123 §2.1: labels of letters, digits and hyphens; 253 characters are what DNS can hold. */
export const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$/;

export const DNS_PORT = 53;
/** Where traceroute begins: nobody listens there, so the target itself says port unreachable. */
export const HOP_PORT = 33_434;

function readPort(text: string): number | string {
  const ports = readPorts(text, 1);
  if (typeof ports === 'string') return ports;
  return ports.first === ports.last ? ports.first : 'a range of ports';
}

/** Undefined when a host may be called so. */
function notAName(text: string): string | undefined {
  if (isIPv4(text)) return reserved(readAddress(text)!);
  if (/^[\d.]+$/.test(text)) return 'not an IPv4 address';
  return HOST_NAME.test(text) ? undefined : 'not a host\'s name';
}

export function isIpv6Target(text: string): boolean {
  return looksLikeIpv6(text) || text.startsWith('[');
}

/** 'HOST:PORT' with a name or an IPv4 address. */
export function readEndpoint(text: string): Endpoint | string {
  if (isIpv6Target(text)) return ONLY_IPV4;
  const [host, portText, ...rest] = text.split(':');
  if (rest.length > 0) return 'not a host with a port';
  const not = notAName(host);
  if (not !== undefined) return not;
  if (portText === undefined) return 'no port';
  const port = readPort(portText);
  return typeof port === 'string' ? port : { host, port };
}

/** 'ADDRESS' or 'ADDRESS:PORT'. */
export function readServer(text: string, defaultPort: number): Endpoint | string {
  if (isIpv6Target(text)) return ONLY_IPV4;
  const [host, portText, ...rest] = text.split(':');
  const address = readAddress(host);
  if (address === undefined || rest.length > 0) return 'not an IPv4 address, with or without a port';
  const is = reserved(address);
  if (is !== undefined) return is;
  const port = portText === undefined ? defaultPort : readPort(portText);
  return typeof port === 'string' ? port : { host, port };
}

/** An http or https URL in the spelling of the URL standard. */
export function readUrl(text: string): URL | string {
  if (!URL.canParse(text)) return /^[\w.-]+(?::\d+)?(?:\/|$)/.test(text) ? `no http:// or https:// before it` : 'not a URL';
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return /^[\w.-]+:\d+/.test(text) ? 'no http:// or https:// before it' : `${url.protocol.slice(0, -1)} is neither http nor https`;
  }
  if (url.hostname.startsWith('[')) return ONLY_IPV4;
  return notAName(url.hostname) ?? url;
}

/** 200 or '200-399'. */
export function readStatus(value: unknown): Range | string {
  const range = readPorts(value, 0);
  if (typeof range === 'string') return range.startsWith('ports') ? 'codes go from 100 to 599' : range.replace('a port or a range of ports', 'a code or a range of codes');
  return range.first >= 100 && range.last <= 599 ? range : 'codes go from 100 to 599';
}

/** A program and its arguments; a text alone is a program without any. Returns why not. */
export function badCommand(words: readonly unknown[]): string | undefined {
  const [program] = words;
  if (words.length === 0) return 'no program';
  if (!words.every((word) => typeof word === 'string' && !word.includes('\0'))) return 'something that is not a text';
  if (isAbsolute(program as string)) return words.length === 1 && /\s-/.test(program as string) ? 'a command line in one text; write [PROGRAM, ARGUMENT, …]' : undefined;
  return 'a program without its whole path';
}

/** '40%' or '2.5%' to 0.4 or 0.025. */
export function readPercent(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,6})?)\s?%$/.exec(text);
  return match === null ? undefined : Number(match[1]) / 100;
}
