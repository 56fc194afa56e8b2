/**
 * Checkers of a keepalived.conf as checks. Each checker has a pace of its own there, from itself, its real server or its virtual server; a check has
 * one pace and each kind once. A checker of a kind that is there already, or of none there is, is told.
 */
import { readAddress } from '../config/ip.js';
import { badCommand, readEndpoint, readStatus } from '../config/check-text.js';
import { PORT_MAX } from '../config/rule-text.js';
import type { At, Notes } from './imported.js';
import { Block, duration, type Reasons } from './keepalived-block.js';
import { textOf, type Statement } from './keepalived-parse.js';
import { paceOfRetries } from './pace.js';
import type { Flow } from './yaml.js';

/** What keepalived takes where nothing is said. */
const DELAY_SECONDS = 60;
const TIMEOUT_SECONDS = 5;
const INTERVAL_MAX_SECONDS = 3600;
const INTERVAL_MIN_SECONDS = 0.1;
const TIMEOUT_MIN_SECONDS = 0.01;
const TEXT_MAX = 1024;
const ACCOUNT = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/;

const PATH = 'checks take the path the flows take';
const SCRIPT = 'check: { script: { command: [PROGRAM, …] } } runs a program that asks it';
const REGEX = 'check: { http: { body: … } } is a text the answer must hold; for more, check: { script: … }';

/** Words of a checker that have no key. */
const REASONS: Reasons = [
  ['bindto bind_if bind_port fwmark', 'left out', PATH],
  ['connect_port', 'left out', 'what it asks has no port'],
  ['warmup', 'nothing', 'first rounds are spread by themselves.'],
  ['log_all_failures', 'nothing', 'the log tells what changes, weir servers the reason of the last round.'],
  ['fast_recovery', 'nothing', 'all that is asked is asked in one round.'],
  ['http_protocol', 'nothing', 'it is asked by HTTP/1.1.'],
  ['enable_sni', 'nothing', 'http.host is the name that is asked for.'],
  ['tls_compliant', 'nothing', 'TLS is spoken as it is written.'],
  ['digest', 'left out', 'check: { http: { body: … } } is a text the answer must hold'],
  ['regex_no_match regex_options regex_stack regex_min_offset regex_max_offset', 'left out', REGEX],
  ['helo_name', 'left out', SCRIPT],
  ['min_reply_length max_reply_length', 'left out', 'check: { udp: { expect: … } } is a text the answer must hold'],
];

/** What a virtual server, a real server or a checker says of how its checks run; what one does not say, the one around it does. */
export interface Manner {
  delay: number | undefined; retry: number | undefined; wait: number | undefined;
  timeout: { value: number; statement: Statement } | undefined; isDownFirst: boolean | undefined; host: string | undefined; said: readonly string[];
}

export const NO_MANNER: Manner = { delay: undefined, retry: undefined, wait: undefined, timeout: undefined, isDownFirst: undefined, host: undefined, said: [] };

export interface Checked { check: Readonly<Record<string, Flow>> | undefined; comments: string[]; needsBox: boolean }

/** Read it off a block; `upper` is that of the block around. */
export function mannerOf(block: Block, upper: Manner, notes: Notes): Manner {
  const said: string[] = [];
  const number = (word: string, least: number, most: number, isTime: boolean): { value: number; statement: Statement } | undefined => {
    const read = block.number(word, least, most, isTime);
    if (read !== undefined) said.push(`${word} ${read.value}`);
    return read;
  };
  const delay = number('delay_loop', INTERVAL_MIN_SECONDS, INTERVAL_MAX_SECONDS, true)?.value ?? upper.delay;
  const retry = number('retry', 0, 1_000_000, false)?.value ?? upper.retry;
  const wait = number('delay_before_retry', 0, INTERVAL_MAX_SECONDS, true)?.value ?? upper.wait;
  const timeout = number('connect_timeout', TIMEOUT_MIN_SECONDS, INTERVAL_MAX_SECONDS, true) ?? upper.timeout;
  const isDownFirst = block.isOn('alpha');
  if (isDownFirst !== undefined) said.push(`alpha${isDownFirst ? '' : ' off'}`);
  const named = block.take('virtualhost');
  const host = named?.values[0]?.text;
  if (named !== undefined) {
    const is = host === undefined ? 'no name' : readEndpoint(`${host}:1`);
    if (typeof is === 'string' || readAddress(host!) !== undefined) notes.leftOut(named, textOf(named), 'check: { http: { host: … } } is a name such as www.example.com');
    else said.push(`virtualhost ${host}`);
    if (typeof is !== 'string' && readAddress(host!) === undefined) return { delay, retry, wait, timeout, isDownFirst: isDownFirst ?? upper.isDownFirst, host, said };
  }
  return { delay, retry, wait, timeout, isDownFirst: isDownFirst ?? upper.isDownFirst, host: upper.host, said };
}

/** Words of a command line as keepalived takes it apart: spaces part them, single quotes keep them together. */
function commandWords(text: string): string[] {
  return [...text.matchAll(/(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\]|\\$)+/g)].map(([word]) => word.replaceAll(/'([^']*)'|"([^"]*)"|\\(.)/g, (_, single?: string, double?: string, escaped?: string) => single ?? double ?? escaped ?? ''));
}

/** A program of the file as a command with its user; what is otherwise is told. Undefined (and told) when there is none. */
export function readScript(statement: Statement, user: Statement | undefined, defaultUser: string | undefined, notes: Notes): Record<string, Flow> | undefined {
  const what = textOf(statement);
  const [first, ...rest] = statement.values;
  const text = first?.text ?? '';
  const words = commandWords(text);
  // Behind a script may stand who is to run it.
  const given = user === undefined ? rest[0]?.text : user.values[0]?.text;
  if (words.length === 0) {
    notes.error(statement, `${statement.word} with nothing behind it`, 'a program');
    return undefined;
  }
  let command: string[] = words;
  if (badCommand(words) !== undefined || words.length === 1 && badCommand([words[0]]) !== undefined) {
    if (text.includes('\0') || words[0].includes('\0')) {
      notes.leftOut(statement, what, 'a program is a text that can be printed');
      return undefined;
    }
    command = ['/bin/sh', '-c', text];
    notes.changed(statement, what, `programs are run by their whole path, so /bin/sh finds this one: [${command.join(', ')}]`);
  }
  const account = given ?? defaultUser;
  if (account !== undefined && !ACCOUNT.test(account)) {
    notes.leftOut(user ?? statement, user === undefined ? `${account} of ${what}` : textOf(user), 'not the name of a user; it runs as nobody');
    return { command };
  }
  if (account === undefined) notes.changed(statement, what, 'it runs as nobody, where keepalived takes keepalived_script or root: script: { …, user: … } names another');
  return { command, ...(account === undefined ? {} : { user: account }) };
}

/** '6869' to hi: what a datagram of printable characters holds; undefined when it holds something else. */
function hexText(statement: Statement): string | undefined {
  const digits = statement.values.map(({ text }) => text).join('');
  if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) return undefined;
  const text = Buffer.from(digits, 'hex').toString('latin1');
  return /^[\x20-\x7e]+$/.test(text) && text.length <= TEXT_MAX ? text : undefined;
}

const CHECKERS: readonly string[] = ['TCP_CHECK', 'HTTP_GET', 'SSL_GET', 'SMTP_CHECK', 'DNS_CHECK', 'MISC_CHECK', 'PING_CHECK', 'UDP_CHECK', 'BFD_CHECK', 'FILE_CHECK'];

class Checkers {
  readonly #notes: Notes;
  readonly #address: string;
  readonly #needsPort: boolean;
  readonly #defaultUser: string | undefined;
  readonly #kinds: Record<string, Flow> = {};
  readonly #comments: string[] = [];
  #pace: { text: string; keys: Record<string, Flow> } | undefined;

  constructor(address: string, needsPort: boolean, defaultUser: string | undefined, notes: Notes) {
    this.#address = address;
    this.#needsPort = needsPort;
    this.#defaultUser = defaultUser;
    this.#notes = notes;
  }

  get result(): Checked {
    const needsBox = ['tcp', 'http', 'dns'].some((kind) => kind in this.#kinds);
    const isAny = this.#pace !== undefined && Object.keys(this.#kinds).length > 0;
    return { check: isAny ? { ...this.#kinds, ...this.#pace!.keys } : undefined, comments: this.#comments, needsBox };
  }

  read(statement: Statement, upper: Manner): void {
    const { word, block: statements = [] } = statement;
    if (word === 'BFD_CHECK' || word === 'FILE_CHECK') {
      return this.#notes.leftOut(statement, textOf(statement), 'check: { script: { command: [PROGRAM, …], setsWeight: true } } runs a program that finds it out');
    }
    const block = new Block(statements, this.#notes);
    const manner = mannerOf(block, upper, this.#notes);
    if (manner.said.length > 0) this.#comments.push(`${word}: ${manner.said.join(', ')}.`);
    const ip = block.take('connect_ip');
    if (ip !== undefined && ip.values[0]?.text === this.#address) this.#comments.push(`${textOf(ip)}: the server itself.`);
    else if (ip !== undefined) this.#notes.leftOut(ip, textOf(ip), `a check asks the server itself; for another address: ${SCRIPT}`);
    const port = word === 'PING_CHECK' || word === 'MISC_CHECK' ? undefined : block.number('connect_port', 1, PORT_MAX)?.value;
    const at = port === undefined ? {} : { port };
    switch (word) {
      case 'TCP_CHECK': this.#kind(statement, 'tcp', at); break;
      case 'PING_CHECK': this.#kind(statement, 'icmp', {}); break;
      case 'SMTP_CHECK': this.#smtp(statement, block, at); break;
      case 'HTTP_GET': case 'SSL_GET': this.#http(statement, block, at, manner.host); break;
      case 'DNS_CHECK': this.#dns(statement, block, at); break;
      case 'UDP_CHECK': this.#udp(statement, block, at); break;
      default: return this.#misc(statement, block, manner);
    }
    block.finish(REASONS, word);
    this.#comments.push(...block.comments);
    this.#take(statement, manner, word === 'HTTP_GET' || word === 'SSL_GET' ? 3 : word === 'DNS_CHECK' ? manner.delay ?? DELAY_SECONDS : 1, 1, undefined);
  }

  /** Whether this kind is free; told when it is not. */
  #kind(statement: Statement, kind: string, keys: Flow): void {
    if (this.#needsPort && ['tcp', 'udp', 'http'].includes(kind) && !('port' in (keys as object))) {
      this.#notes.leftOut(statement, textOf(statement), 'the virtual server has more than one port: say with connect_port which one is asked');
    } else if (kind in this.#kinds) {
      this.#notes.leftOut(statement, textOf(statement), `a check has each kind once, and there is one of ${kind} already; for a second one: ${SCRIPT}`);
    } else {
      this.#kinds[kind] = keys;
    }
  }

  #smtp(statement: Statement, block: Block, at: Flow): void {
    for (const host of block.all('host')) this.#notes.leftOut(host, textOf(host), `a check asks the server itself; for another address: ${SCRIPT}`);
    this.#notes.changed(statement, textOf(statement), `the port must take a connection, and the dialogue is not spoken; for that: ${SCRIPT}`);
    this.#kind(statement, 'tcp', at);
  }

  #http(statement: Statement, block: Block, at: Flow, host: string | undefined): void {
    const [url, ...others] = block.all('url');
    for (const other of others) this.#notes.leftOut(other, textOf(other), `one url is asked for, the one in line ${url.line}; for more: ${SCRIPT}`);
    const keys: Record<string, Flow> = {};
    if (url !== undefined) {
      const inner = new Block(url.block ?? [], this.#notes);
      const path = inner.take('path');
      const text = path?.values[0]?.text;
      if (path !== undefined && (text === undefined || !/^\/[\x21-\x7e]{0,2047}$/.test(text))) this.#notes.changed(path, textOf(path), 'a path begins with / and has no spaces, so it is /');
      else if (text !== undefined) keys['path'] = text;
      const own = mannerOf(inner, { ...NO_MANNER, host }, this.#notes);
      if (own.host !== undefined) keys['host'] = own.host;
      keys['status'] = this.#statuses(inner.take('status_code'));
      const regex = inner.take('regex');
      const body = regex?.values.map((value) => value.text).join(' ');
      if (regex !== undefined && (body === undefined || !/^[\w\s:;,<>=/"'%&@~#!-]+$/.test(body) || body.length > TEXT_MAX)) this.#notes.leftOut(regex, textOf(regex), REGEX);
      else if (body !== undefined) keys['body'] = body;
      inner.finish(REASONS, 'url');
      this.#comments.push(...inner.comments);
    } else {
      keys['status'] = '200-299';
      if (host !== undefined) keys['host'] = host;
    }
    this.#kind(statement, 'http', { ...(at as object), ...(statement.word === 'SSL_GET' ? { tls: true } : {}), ...keys });
  }

  /** Without a word it is 200 to 299 there, where redirections are good here. */
  #statuses(statement: Statement | undefined): Flow {
    const codes = statement?.values.map(({ text }) => text) ?? [];
    const good = codes.filter((code, index) => typeof readStatus(/^\d+$/.test(code) ? Number(code) : code) !== 'string' && codes.indexOf(code) === index);
    // Ranges of a list may not overlap.
    const ranges = good.map((code) => code.split('-').map(Number)).map(([first, last = first]) => [first, last] as const);
    const isClear = ranges.every(([first, last], index) => ranges.every(([from, to], other) => other === index || last < from || first > to));
    if (statement !== undefined && (good.length < codes.length || codes.length === 0 || !isClear)) {
      this.#notes.error(statement, textOf(statement), 'status codes of 100 to 599, and ranges of them, each once');
      return '200-299';
    }
    const list = good.map((code): Flow => (/^\d+$/.test(code) ? Number(code) : code));
    return list.length === 0 ? '200-299' : list.length === 1 ? list[0] : list;
  }

  #dns(statement: Statement, block: Block, at: Flow): void {
    const name = block.take('name');
    const type = block.take('type');
    const text = name?.values[0]?.text.replace(/\.$/, '');
    const isName = text !== undefined && readAddress(text) === undefined && typeof readEndpoint(`${text}:1`) !== 'string';
    if (type === undefined ? true : type.values[0]?.text.toUpperCase() !== 'A') {
      this.#notes.changed(type ?? statement, type === undefined ? `the SOA ${textOf(statement)} asks for` : textOf(type), 'addresses (A) are asked for; any answer will do but a failure or a refusal');
    }
    if (!isName) this.#notes.changed(name ?? statement, name === undefined ? `. as the name of ${textOf(statement)}` : textOf(name), 'a name such as example.com is asked for: check: { dns: { name: … } }');
    this.#kind(statement, 'dns', { ...(at as object), ...(isName ? { name: text } : {}) });
  }

  #udp(statement: Statement, block: Block, at: Flow): void {
    const payload = block.take('payload');
    const reply = block.take('require_reply', 'reply');
    const send = payload === undefined ? undefined : hexText(payload);
    const expect = reply === undefined ? undefined : hexText(reply);
    if (payload !== undefined && send === undefined) this.#notes.leftOut(payload, textOf(payload), `what is sent is a text of characters that can be printed; for other bytes: ${SCRIPT}`);
    if (reply !== undefined && expect === undefined) {
      this.#notes.leftOut(reply, textOf(reply), `check: { udp: { expect: … } } is a text the answer must hold, and silence is good without it; for more: ${SCRIPT}`);
    }
    this.#kind(statement, 'udp', { ...(at as object), ...(send === undefined ? {} : { send }), ...(expect === undefined ? {} : { expect }) });
  }

  #misc(statement: Statement, block: Block, manner: Manner): void {
    const path = block.take('misc_path');
    const timeout = block.number('misc_timeout', TIMEOUT_MIN_SECONDS, INTERVAL_MAX_SECONDS, true);
    const setsWeight = block.isOn('misc_dynamic');
    const user = block.take('user');
    if (path === undefined) this.#notes.error(statement, 'MISC_CHECK without misc_path', 'misc_path "PROGRAM ARGUMENT …"');
    const script = path === undefined ? undefined : readScript(path, user, this.#defaultUser, this.#notes);
    block.finish(REASONS, 'MISC_CHECK');
    this.#comments.push(...block.comments);
    if (script === undefined) return;
    this.#kind(statement, 'script', { ...script, ...(setsWeight === undefined ? {} : { setsWeight }) });
    this.#take(statement, { ...manner, timeout }, 1, 0, manner.delay ?? DELAY_SECONDS);
  }

  /** The first one's pace is that of all. */
  #take(statement: Statement, { delay, retry, wait, timeout, isDownFirst }: Manner, defaultWait: number, defaultRetry: number, defaultTimeout: number | undefined): void {
    const interval = delay ?? DELAY_SECONDS;
    const retries = retry ?? defaultRetry;
    const pause = wait ?? defaultWait;
    const patience = timeout?.value ?? defaultTimeout ?? TIMEOUT_SECONDS;
    const fall = paceOfRetries(interval, retries, pause);
    const text = `delay_loop ${interval}, retry ${retries}, delay_before_retry ${pause}, timeout ${patience}`;
    if (this.#pace !== undefined) {
      if (text !== this.#pace.text) this.#notes.changed(statement, `the pace of ${textOf(statement)} (${text})`, `all kinds of a check have one pace, here ${this.#pace.text}`);
      return;
    }
    if (timeout !== undefined && patience > interval) this.#notes.changed(timeout.statement, textOf(timeout.statement), `an answer is waited for until the next round, so it is ${duration(interval)}`);
    this.#pace = {
      text,
      keys: { interval: duration(interval), timeout: duration(Math.min(interval, patience)), fall, rise: 1, ...(isDownFirst === undefined ? {} : { initial: isDownFirst ? 'down' : 'up' }) },
    };
    this.#comments.push(`${text}: asked every ${duration(interval)}; down after ${fall === 1 ? 'one bad round' : `${fall} bad rounds, ${duration(interval * (fall - 1))}`}.`);
  }
}

/** What the checkers of a real server become. `needsPort` = there is not one port that could be meant. */
export function readCheckers(block: Block, manner: Manner, address: string, needsPort: boolean, defaultUser: string | undefined, notes: Notes): Checked {
  const checkers = new Checkers(address, needsPort, defaultUser, notes);
  for (const statement of block.all(...CHECKERS)) checkers.read(statement, manner);
  return checkers.result;
}

/** The check a vrrp_script becomes. Its words are in the block. */
export function readTrackedScript(block: Block, at: At, defaultUser: string | undefined, notes: Notes): Readonly<Record<string, Flow>> | undefined {
  const script = block.take('script');
  const interval = block.number('interval', INTERVAL_MIN_SECONDS, INTERVAL_MAX_SECONDS, true)?.value ?? 1;
  const timeout = block.number('timeout', TIMEOUT_MIN_SECONDS, INTERVAL_MAX_SECONDS, true);
  const fall = block.number('fall', 1, 1000)?.value ?? 1;
  const rise = block.number('rise', 1, 1000)?.value ?? 1;
  const isDownFirst = block.isOn('init_fail');
  const user = block.take('user');
  if (script === undefined) {
    notes.error(at, 'vrrp_script without script', 'script "PROGRAM ARGUMENT …"');
    return undefined;
  }
  const command = readScript(script, user, defaultUser, notes);
  if (timeout !== undefined && timeout.value > interval) notes.changed(timeout.statement, textOf(timeout.statement), `an answer is waited for until the next round, so it is ${duration(interval)}`);
  if (command === undefined) return undefined;
  return {
    script: command, interval: duration(interval), timeout: duration(Math.min(timeout?.value ?? interval, interval)), fall, rise,
    ...(isDownFirst === undefined ? {} : { initial: isDownFirst ? 'down' : 'up' }),
  };
}
