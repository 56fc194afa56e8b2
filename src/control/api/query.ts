/**
 * Query parameters of the API, read strictly: an unknown parameter, one given twice, or a value out of range is refused with what
 * was found and what is allowed, so that a misspelt filter never lists everything as if it had matched.
 */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { STATE_NAMES } from '../../table/tcp-state.js';
import type { AffinityFilter, FlowFilter, PersistenceFilter, RouterView, VirtualServerStatus } from './types.js';
import { FLOW_PAGE_DEFAULT, FLOW_PAGE_MAX } from './types.js';

/** Bytes of a request's body; the longest that makes sense is a reason of some hundred. */
const BODY_MAX_BYTES = 4096;

/** A query or a body that cannot be answered; the server says so with status 400. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
  readonly parameter: string;
  readonly found: string | null;
  readonly allowed: string;

  constructor(message: string, parameter: string, found: string | null, allowed: string) {
    super(message);
    this.parameter = parameter;
    this.found = found;
    this.allowed = allowed;
  }
}

/** A name in a path that nothing bears; the server says so with status 404. */
export class NoSuchName extends QueryError {}

/** A body that nobody needs to read to its end; the server says so with status 413. */
export class TooLong extends QueryError {
  constructor() { super('the body is too long', 'body', null, `at most ${BODY_MAX_BYTES} bytes`); }
}

/** The text of a request's body: '' for one that has none, whether or not it says how long it is. No more of it is held than may be. */
export async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get('content-length')) > BODY_MAX_BYTES) throw new TooLong();
  if (request.body === null) return '';
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > BODY_MAX_BYTES) throw new TooLong();
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The highest weight, as in the configuration. */
export const WEIGHT_MAX = 65_535;
/** Characters of the reason something is drained for: it stands in a table. */
export const REASON_MAX = 200;
/** Characters of a bad body that its refusal repeats. */
const SHOWN_CHARACTERS = 200;

/** Names of protocols that may be asked for. */
const PROTOCOLS: ReadonlyMap<string, number> = new Map([['icmp', 1], ['igmp', 2], ['tcp', 6], ['udp', 17], ['gre', 47], ['esp', 50], ['ah', 51], ['sctp', 132]]);
/** Those whose flows show the name; flows of all others show the number. */
const NAMED: readonly string[] = ['icmp', 'tcp', 'udp'];

/** Check that `query` holds only `known` parameters, each once, and give their values. */
export function readParameters(query: URLSearchParams, known: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of query) {
    if (!known.includes(name)) {
      throw new QueryError(`unknown parameter '${name}'`, name, value, known.length === 0 ? 'no parameters' : known.join(', '));
    }
    if (values.has(name)) throw new QueryError(`parameter '${name}' is given more than once`, name, value, 'one value');
    values.set(name, value);
  }
  return values;
}

/** A whole number from `min` to `max`, written in plain digits. */
export function readInteger(values: Map<string, string>, name: string, min: number, max: number): number | undefined {
  const text = values.get(name);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new QueryError(`parameter '${name}' is not a whole number in range`, name, text, `${min} to ${max}`);
  }
  return value;
}

/** An IPv4 address in canonical text, also from its v4-mapped form. The router carries no IPv6 flows, so asking for one is a mistake worth telling. */
function readAddress(text: string): string {
  // Only net.isIP is strict: the library alone also takes octal and shortened forms.
  const address = isIP(text) === 0 ? null : ipaddr.process(text);
  if (address?.kind() !== 'ipv4') throw new QueryError(`parameter 'address' is not an IPv4 address`, 'address', text, 'an IPv4 address');
  return address.toString();
}

/** A protocol in the form flows show it: a name, or a number in decimal. */
function readProtocol(text: string): string {
  const number = PROTOCOLS.get(text.toLowerCase()) ?? (/^[0-9]{1,3}$/.test(text) ? Number(text) : NaN);
  if (!(number >= 0 && number <= 255)) {
    throw new QueryError(`parameter 'protocol' is not a protocol`, 'protocol', text, `${[...PROTOCOLS.keys()].join(', ')}, or 0 to 255`);
  }
  return NAMED.find((name) => PROTOCOLS.get(name) === number) ?? String(number);
}

/** One of the names the configuration gives to `kind`. */
function readName(kind: string, text: string, names: string[]): string {
  if (!names.includes(text)) {
    throw new QueryError(`there is no ${kind} '${text}'`, kind, text, names.length === 0 ? `no ${kind} is configured` : names.join(', '));
  }
  return text;
}

export interface FlowQuery { filter: FlowFilter; cursor: number; limit: number }

const FLOW_PARAMETERS = ['address', 'port', 'protocol', 'uplink', 'link', 'server', 'state', 'cursor', 'limit'] as const;

/** The filter and page of an `affinity` query. Throws QueryError. */
export function readAffinityQuery(query: URLSearchParams, view: Pick<RouterView, 'uplinks'>): { filter: AffinityFilter; cursor: number } {
  const values = readParameters(query, ['address', 'uplink', 'cursor']);
  const filter: AffinityFilter = {};
  const address = values.get('address');
  if (address !== undefined) filter.address = readAddress(address);
  const uplink = values.get('uplink');
  if (uplink !== undefined) filter.uplink = readName('uplink', uplink, view.uplinks().map((row) => row.name));
  return { filter, cursor: readInteger(values, 'cursor', 0, Number.MAX_SAFE_INTEGER) ?? 0 };
}

/** The filter and page of a `persistence` query. Throws QueryError. */
export function readPersistenceQuery(query: URLSearchParams, view: Pick<RouterView, 'virtualServers'>): { filter: PersistenceFilter; cursor: number } {
  const values = readParameters(query, ['address', 'server', 'cursor']);
  const filter: PersistenceFilter = {};
  const address = values.get('address');
  if (address !== undefined) filter.address = readAddress(address);
  const server = values.get('server');
  if (server !== undefined) filter.server = readServer(server, view);
  return { filter, cursor: readInteger(values, 'cursor', 0, Number.MAX_SAFE_INTEGER) ?? 0 };
}

/** A real server, or a virtual one for all of its own. */
function readServer(text: string, view: Pick<RouterView, 'virtualServers'>): string {
  return readName('server', text, view.virtualServers().flatMap((row) => [row.name, ...serverNames(row)]));
}

/** What commands call the real servers of a virtual server, its sorry server among them. */
export function serverNames({ name, realServers, sorry }: VirtualServerStatus): string[] {
  return [...realServers, ...(sorry === null ? [] : [sorry])].map((server) => `${name}/${server.name}`);
}

/** The virtual servers a `servers` query asks for: all, or the one it names. Throws QueryError. */
export function readServersQuery(query: URLSearchParams, view: Pick<RouterView, 'virtualServers'>): VirtualServerStatus[] {
  const name = readParameters(query, ['virtualServer']).get('virtualServer');
  const all = view.virtualServers();
  if (name === undefined) return all;
  readName('virtual server', name, all.map((row) => row.name));
  return all.filter((row) => row.name === name);
}

/** The address whose affinity is to be forgotten, or null for all. Throws QueryError. */
export function readErasure(query: URLSearchParams): string | null {
  const address = readParameters(query, ['address']).get('address');
  return address === undefined ? null : readAddress(address);
}

/** 'yes' or 'no'; yes unless given. */
export function readYes(values: Map<string, string>, name: string): boolean {
  const text = values.get(name) ?? 'yes';
  if (text !== 'yes' && text !== 'no') throw new QueryError(`parameter '${name}' is neither yes nor no`, name, text, 'yes, no');
  return text === 'yes';
}

/** What stands where an object of `keys` should. */
function shown(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}

/** A JSON body: an object that holds all of `keys`, and of others only those that are `optional`. No body stands for an empty object. Throws QueryError. */
export function readBody(text: string, keys: readonly string[], optional: readonly string[] = []): Record<string, unknown> {
  const members = [...keys, ...optional].map((key) => `"${key}": …`).join(', ');
  const allowed = members === '' ? 'no body, or {}' : keys.length === 0 ? `no body, or {${members}} or parts of it` : `{${members}}`;
  let body: unknown;
  try {
    body = text.trim() === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw new QueryError(`the body is not JSON: ${(error as Error).message}`, 'body', text.slice(0, SHOWN_CHARACTERS), allowed);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new QueryError('the body is not a JSON object', 'body', shown(body).slice(0, SHOWN_CHARACTERS), allowed);
  }
  const values = body as Record<string, unknown>;
  for (const key of Object.keys(values)) {
    if (!keys.includes(key) && !optional.includes(key)) throw new QueryError(`unknown key '${key}' in the body`, key, shown(values[key]).slice(0, SHOWN_CHARACTERS), allowed);
  }
  for (const key of keys) if (!Object.hasOwn(values, key)) throw new QueryError(`the body lacks '${key}'`, key, null, allowed);
  return values;
}

/** A weight in a body. Throws QueryError. */
export function readWeight(body: Record<string, unknown>): number {
  const { weight } = body;
  if (typeof weight !== 'number' || !Number.isInteger(weight) || weight < 0 || weight > WEIGHT_MAX) {
    throw new QueryError('the weight is not a whole number in range', 'weight', shown(weight), `0 to ${WEIGHT_MAX}`);
  }
  return weight;
}

/** Whether flows are to end now, and why something is drained. */
export interface Drain { isFlushed: boolean; reason: string | null }

/** What a body says of a drain; nothing must be said. Throws QueryError. */
export function readDrain(text: string): Drain {
  const { flush = false, reason = null } = readBody(text, [], ['flush', 'reason']);
  if (typeof flush !== 'boolean') throw new QueryError(`'flush' is neither true nor false`, 'flush', shown(flush).slice(0, SHOWN_CHARACTERS), 'true, false');
  if (reason !== null && (typeof reason !== 'string' || reason.trim() === '' || reason.length > REASON_MAX)) {
    throw new QueryError('the reason is not a text, or too long', 'reason', shown(reason).slice(0, SHOWN_CHARACTERS), `a text of 1 to ${REASON_MAX} characters`);
  }
  return { isFlushed: flush, reason };
}

/** A drain's end takes nothing. Throws QueryError. */
export function readUndrain(text: string): Drain {
  readBody(text, []);
  return { isFlushed: false, reason: null };
}

/** The filter and page of a `flows` query. Throws QueryError. */
export function readFlowQuery(query: URLSearchParams, view: Pick<RouterView, 'links' | 'uplinks' | 'virtualServers'>): FlowQuery {
  const values = readParameters(query, FLOW_PARAMETERS);
  const filter: FlowFilter = {};
  const address = values.get('address');
  if (address !== undefined) filter.address = readAddress(address);
  const port = readInteger(values, 'port', 0, 65535);
  if (port !== undefined) filter.port = port;
  const protocol = values.get('protocol');
  if (protocol !== undefined) filter.protocol = readProtocol(protocol);
  const uplink = values.get('uplink');
  if (uplink !== undefined) filter.uplink = readName('uplink', uplink, view.uplinks().map((row) => row.name));
  const link = values.get('link');
  if (link !== undefined) filter.link = readName('link', link, view.links().map((row) => row.name));
  const server = values.get('server');
  if (server !== undefined) filter.server = readServer(server, view);
  const state = values.get('state');
  if (state !== undefined) {
    if (!STATE_NAMES.includes(state)) throw new QueryError(`parameter 'state' is not a flow's state`, 'state', state, STATE_NAMES.join(', '));
    filter.state = state;
  }
  return {
    filter,
    cursor: readInteger(values, 'cursor', 0, Number.MAX_SAFE_INTEGER) ?? 0,
    limit: readInteger(values, 'limit', 1, FLOW_PAGE_MAX) ?? FLOW_PAGE_DEFAULT,
  };
}
