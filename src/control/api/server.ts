/**
 * The API server: HTTP on a unix socket, for the command line and any other local client. It reads the RouterView and the event log, and hands actions on;
 * no request waits for the data plane, and no answer is larger than one page.
 */
import { createAdaptorServer } from '@hono/node-server';
import type { Server } from 'node:http';
import type { EventLog } from '../event.js';
import type { Log } from '../log.js';
import type { HookCounts, RouterActions, RouterView } from './types.js';
import type { ApiCounters } from './routes.js';
import { createRoutes, STREAMS_MAX } from './routes.js';
import { listenOnSocket, SOCKET_MODE } from './socket.js';
import { HEARTBEAT_MS } from './stream.js';

/** Connections open at once; further ones are closed at once by Node. */
export const CONNECTIONS_MAX = 256;
/** How long answers under way may take once the server is closing. */
const CLOSE_GRACE_MS = 500;

export interface ApiOptions {
  /** Absent while the router is still being built: the socket is taken, and requests are told so, until `serve` brings it. */
  view?: RouterView;
  actions?: RouterActions;
  /** What became of the hooks; absent = none run. */
  hooks?: () => HookCounts | null;
  events: EventLog;
  version: string;
  configFile: string;
  /** plan.control.socket. */
  socket: string;
  /** plan.control.group; absent = group `weir` if it exists, else root's. */
  group?: string;
  log?: Log;
  heartbeatMs?: number;
  streamsMax?: number;
}

export interface ApiServer {
  socket: string;
  /** The group the socket belongs to. */
  gid: number;
  counters: ApiCounters;
  /** Answer from this view and carry out by these actions from now on. */
  serve(view: RouterView, actions: RouterActions): void;
  /** End the streams, finish what is being answered, remove the socket. */
  close(): Promise<void>;
}

/**
 * Start serving. Taking the socket is also what keeps two daemons apart, so it may come before any device is touched. Throws ConfigErrors for an unknown group or too long a path, and Node-shaped system errors:
 * EADDRINUSE when another daemon lives there, ENOTSOCK when something else does, EACCES, EPERM and so on as they come.
 */
export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const counters: ApiCounters = { requests: 0, badRequests: 0, failures: 0, streams: 0, streamsRefused: 0 };
  const streamEnds = new Set<() => void>();
  const log = options.log ?? null;
  let view = options.view ?? null;
  let actions = options.actions ?? null;
  const routes = createRoutes({
    view: () => view, actions: () => actions, hooks: options.hooks ?? ((): null => null), events: options.events, version: options.version, configFile: options.configFile,
    heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS, streamsMax: options.streamsMax ?? STREAMS_MAX, log, counters, streamEnds,
  });
  const server = createAdaptorServer({
    fetch: routes.fetch,
    // The daemon's own globals stay Node's; a client on a unix socket need not name a host.
    overrideGlobalObjects: false,
    hostname: 'weir',
    serverOptions: { keepAliveTimeout: 5000, headersTimeout: 10_000, requestTimeout: 10_000, maxHeaderSize: 8192 },
  }) as Server;
  server.maxConnections = CONNECTIONS_MAX;

  const { gid, groupRefused } = await listenOnSocket(server, options.socket, options.group, options.configFile);
  if (groupRefused !== null) log?.warn({ err: groupRefused, socket: options.socket }, 'the socket could not be given to the group weir; only its owner may use it');
  log?.info({ socket: options.socket, mode: SOCKET_MODE.toString(8), gid }, 'the API listens');

  let closing: Promise<void> | null = null;
  return {
    socket: options.socket, gid, counters,
    serve(nextView, nextActions): void {
      view = nextView;
      actions = nextActions;
    },
    close(): Promise<void> {
      closing ??= new Promise<void>((resolve) => {
        const grace = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
        // Closing a listening pipe also unlinks its path.
        server.close(() => { clearTimeout(grace); resolve(); });
        for (const end of [...streamEnds]) end();
        server.closeIdleConnections();
      });
      return closing;
    },
  };
}
