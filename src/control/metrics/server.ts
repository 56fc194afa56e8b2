/**
 * Where metrics are fetched: HTTP on an address of the box, GET /metrics and nothing else. Whoever reaches it can read, and nothing can be changed by it. A page is made when it
 * is asked for, by the main thread, which forwards nothing; who asks too often gets the same page for a moment.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { ConfigErrors, isSystemError } from '../../base/error.js';
import type { ControlPlan } from '../../base/plan.js';
import type { EventLog } from '../event.js';
import type { Log } from '../log.js';
import type { HookCounts, RouterView } from '../api/types.js';
import { collectMetrics } from './collect.js';
import { METRICS_TYPE } from './text.js';

/** Connections open at once. */
const CONNECTIONS_MAX = 32;
/** A page is as good as new for so long. */
const PAGE_MS = 500;
const CLOSE_GRACE_MS = 500;

export interface MetricsOptions {
  listen: NonNullable<ControlPlan['metrics']>;
  version: string;
  /** Where the address is from, for what is wrong with it. */
  configFile: string;
  /** Null until there is a router to look at. */
  view: () => RouterView | null;
  events: EventLog;
  hooks: () => HookCounts | null;
  log?: Log;
  /** A clock that never goes back, milliseconds. */
  nowMs?: () => number;
}

export interface MetricsServer { /** The port it has, which is another one than asked for where that was 0. */ port: number; close(): Promise<void> }

/** Why an address cannot be listened on, in words. */
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there', EADDRNOTAVAIL: 'no address of this box', EACCES: 'a port that weir has no right to', EPERM: 'a port that weir has no right to',
};

/** Throws ConfigErrors when the address cannot be listened on. */
export async function startMetrics({ listen, version, configFile, view, events, hooks, log, nowMs = () => performance.now() }: MetricsOptions): Promise<MetricsServer> {
  let page = '';
  let madeAtMs = -Infinity;
  const answer = (response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text), ...headers });
    response.end(text);
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.url?.split('?')[0] !== '/metrics') return answer(response, 404, 'there is nothing here but /metrics\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, `method ${request.method} is not allowed\n`, { Allow: 'GET, HEAD' });
    const router = view();
    if (router === null) return answer(response, 503, 'weir is still starting\n');
    try {
      if (nowMs() - madeAtMs >= PAGE_MS) {
        page = collectMetrics({ version, view: router, events: events.counts, hooks: hooks() });
        madeAtMs = nowMs();
      }
    } catch (error) {
      log?.error({ err: error }, 'the metrics could not be made');
      return answer(response, 500, 'weir failed to answer; its log says why\n');
    }
    answer(response, 200, page, { 'Content-Type': METRICS_TYPE });
  };
  const server: Server = createServer({ keepAliveTimeout: 5000, headersTimeout: 10_000, requestTimeout: 10_000, maxHeaderSize: 8192 }, onRequest);
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.address, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((error: unknown) => {
    if (!isSystemError(error)) throw error;
    throw new ConfigErrors([{
      file: configFile, line: 0, column: 0, path: 'control.metrics', found: `'${listen.address}:${listen.port}' (${REASONS[error.code] ?? 'it cannot be listened on'}, ${error.code})`,
      allowed: 'an address of this box with a port that is free, or off',
    }], []);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : listen.port;
  log?.info({ address: listen.address, port }, 'metrics are served');
  return {
    port,
    close: () => new Promise<void>((resolve) => {
      const grace = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
      server.close(() => {
        clearTimeout(grace);
        resolve();
      });
      server.closeIdleConnections();
    }),
  };
}
