/**
 * The command line's side of the API: HTTP over the daemon's unix socket. Every way it can fail is one clear line and an exit
 * code: no daemon (69), no permission (77, with the group that has it), a query the daemon refuses (2).
 */
import { readFileSync, statSync } from 'node:fs';
import { Agent, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { EXIT_FAILED, EXIT_NO_PERMISSION, EXIT_SYSTEM, EXIT_UNAVAILABLE, EXIT_USAGE } from '../base/error.js';
import type { ApiErrorBody, StreamedEvent } from '../control/api/types.js';
import { CliFailure, NotRunning } from './failure.js';

/** Where the daemon listens unless told otherwise. */
export const DEFAULT_SOCKET = '/run/weir/weir.sock';
/** Silence after which an answer is given up. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Silence after which the event stream is given up: three heartbeats. */
const STREAM_TIMEOUT_MS = 45_000;

export type Query = Record<string, string | number | undefined>;

/** What the event stream brings: an event with its own JSON text, or word that some were missed. */
export type StreamItem = { kind: 'event'; text: string; event: StreamedEvent } | { kind: 'lost'; text: string; lost: number };

/** The name of the group that owns the socket, or its number. */
function socketGroup(path: string): string | null {
  try {
    const gid = statSync(path).gid;
    const line = readFileSync('/etc/group', 'utf8').split('\n').find((row) => row.split(':')[2] === String(gid));
    return line?.split(':')[0] ?? String(gid);
  } catch {
    // The directory already keeps us out: there is no telling.
    return null;
  }
}

function connectionFailure(error: NodeJS.ErrnoException, path: string): CliFailure {
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new NotRunning(EXIT_UNAVAILABLE, `weir is not running: no socket at ${path}`);
    case 'ECONNREFUSED':
      return new NotRunning(EXIT_UNAVAILABLE, `weir is not running: nobody listens on ${path}`);
    case 'EACCES':
    case 'EPERM': {
      const group = socketGroup(path);
      const who = group === null || group === 'root'
        ? 'only root may use it: try sudo'
        : `it is for root and the group ${group}: try sudo, or join the group (usermod -aG ${group} USER, then log in again)`;
      return new CliFailure(EXIT_NO_PERMISSION, `no permission to use ${path}: ${who}`);
    }
    case 'ECONNRESET':
    case 'EPIPE':
      return new CliFailure(EXIT_UNAVAILABLE, `weir closed the connection on ${path} before it had answered`);
    default:
      return new CliFailure(EXIT_SYSTEM, `cannot reach weir on ${path}: ${error.message}`);
  }
}

async function readText(answer: IncomingMessage): Promise<string> {
  answer.setEncoding('utf8');
  let text = '';
  for await (const chunk of answer) text += chunk as string;
  return text;
}

function refusal(status: number, text: string, path: string): CliFailure {
  let body: ApiErrorBody;
  try {
    body = JSON.parse(text) as ApiErrorBody;
    if (typeof body.error.message !== 'string') throw new TypeError('no message');
  } catch {
    return new CliFailure(EXIT_FAILED, `what answers on ${path} is not weir (HTTP status ${status})`);
  }
  const { message, found, allowed } = body.error;
  if (status === 400) return new CliFailure(EXIT_USAGE, `${message}: found '${found ?? ''}', allowed: ${allowed ?? 'nothing'}`);
  // A path that is known with a name that is not.
  if (status === 404 && body.error.parameter !== null) return new CliFailure(EXIT_USAGE, `${message}; there is: ${allowed ?? 'nothing'}`);
  if (status === 404) return new CliFailure(EXIT_UNAVAILABLE, `the running weir is of another version: ${message}`);
  return new CliFailure(status === 503 ? EXIT_UNAVAILABLE : EXIT_FAILED, message);
}

export class Client {
  readonly socket: string;
  // One connection serves all the pages of a listing.
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(socket: string) {
    this.socket = socket;
  }

  close(): void { this.#agent.destroy(); }

  /** The answer to a request, its body still to be read. */
  #open(resource: string, query: Query, timeoutMs: number, headers: Record<string, string>, method = 'GET', body = ''): Promise<IncomingMessage> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const path = `/api/v1/${resource}${parameters.size > 0 ? `?${parameters.toString()}` : ''}`;
    return new Promise((resolve, reject) => {
      let begun: IncomingMessage | null = null;
      const outgoing = request({ socketPath: this.socket, path, method, agent: this.#agent, headers: { Host: 'weir', ...headers }, timeout: timeoutMs }, (answer) => {
        const status = answer.statusCode ?? 0;
        begun = answer;
        if (status === 200) {
          resolve(answer);
          return;
        }
        readText(answer).then((text) => reject(refusal(status, text, this.socket)), reject);
      });
      outgoing.on('timeout', () => {
        const failure = new CliFailure(EXIT_UNAVAILABLE, `weir does not answer on ${this.socket}: nothing for ${timeoutMs / 1000} s`);
        // Whoever waits hears of it: the caller for the answer, or the reader in the middle of it.
        begun?.destroy(failure);
        outgoing.destroy(failure);
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (error instanceof CliFailure) reject(error);
        else if (error.code?.startsWith('HPE_') === true) reject(new CliFailure(EXIT_FAILED, `what answers on ${this.socket} is not weir`));
        else reject(connectionFailure(error, this.socket));
      });
      outgoing.end(body);
    });
  }

  /** What broke an answer off in its middle, as a failure. */
  #broken(error: unknown): unknown {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ECONNRESET' || code === 'EPIPE' ? connectionFailure(error as NodeJS.ErrnoException, this.socket) : error;
  }

  /** A resource, parsed. */
  async get<T>(resource: string, query: Query = {}): Promise<T> {
    return this.#parse<T>(await this.#open(resource, query, ANSWER_TIMEOUT_MS, {}));
  }

  /** Have something done, with what it takes; the answer parsed. */
  async post<T>(resource: string, body: object): Promise<T> {
    const text = JSON.stringify(body);
    const headers = { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(text)) };
    return this.#parse<T>(await this.#open(resource, {}, ANSWER_TIMEOUT_MS, headers, 'POST', text));
  }

  /** Have a resource, or what `query` names of it, removed; the answer parsed. */
  async delete<T>(resource: string, query: Query): Promise<T> {
    return this.#parse<T>(await this.#open(resource, query, ANSWER_TIMEOUT_MS, {}, 'DELETE'));
  }

  async #parse<T>(answer: IncomingMessage): Promise<T> {
    const text = await readText(answer).catch((error: unknown) => { throw this.#broken(error); });
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new CliFailure(EXIT_FAILED, `what answers on ${this.socket} is not weir`);
    }
  }

  /** A resource's bytes as they come, without reading anything into them. */
  async copy(resource: string, write: (text: string) => Promise<void>, query: Query = {}): Promise<void> {
    const answer = await this.#open(resource, query, ANSWER_TIMEOUT_MS, {});
    answer.setEncoding('utf8');
    for await (const chunk of this.#chunks(answer)) await write(chunk);
  }

  async *#chunks(answer: IncomingMessage): AsyncGenerator<string> {
    try {
      for await (const chunk of answer) yield chunk as string;
    } catch (error) {
      throw this.#broken(error);
    }
  }

  /** The events from now on, after the `last` ones. Ends when the daemon ends it. */
  async *events(last: number, withFlows: boolean): AsyncGenerator<StreamItem> {
    const answer = await this.#open('events', { ...(last > 0 ? { last } : {}), ...(withFlows ? {} : { flows: 'no' }) }, STREAM_TIMEOUT_MS, { Accept: 'text/event-stream' });
    answer.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of this.#chunks(answer)) {
        rest += chunk;
        for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
          const item = parseMessage(rest.slice(0, end));
          rest = rest.slice(end + 2);
          if (item !== null) yield item;
        }
      }
    } finally {
      answer.destroy();
    }
  }
}

/** One message of the stream; null for a comment. */
function parseMessage(message: string): StreamItem | null {
  let kind = '';
  let text = '';
  for (const line of message.split('\n')) {
    if (line.startsWith('event: ')) kind = line.slice('event: '.length);
    else if (line.startsWith('data: ')) text += line.slice('data: '.length);
  }
  if (text === '') return null;
  if (kind === 'lost') return { kind: 'lost', text, lost: (JSON.parse(text) as { lost: number }).lost };
  return { kind: 'event', text, event: JSON.parse(text) as StreamedEvent };
}
