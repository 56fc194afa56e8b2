/**
 * The API's resources under /api/v1: what each path answers. Only GET exists. Every answer is JSON with `schemaVersion`, except the
 * event stream, whose every event carries it.
 */
import { Hono } from 'hono';
import type { Context } from 'hono';
import type { EventLog } from '../event.js';
import type { Log } from '../log.js';
import type { ApiErrorBody, DropList, FilterList, LinkList, NeighbourList, RouteList, RouterStatus, RouterView, UplinkList } from './types.js';
import { SCHEMA_VERSION } from './types.js';
import { QueryError, readFlowQuery, readInteger, readParameters } from './query.js';
import { streamEvents } from './stream.js';

export const API_PREFIX = '/api/v1';

/** What the API tells about; the first part of every path after the prefix. */
export const RESOURCES = ['status', 'links', 'uplinks', 'routes', 'neighbours', 'flows', 'filters', 'drops', 'events'] as const;

/** Event streams open at once unless told otherwise: each costs a socket and a timer. */
export const STREAMS_MAX = 64;

/** What the API counts about itself. */
export interface ApiCounters { requests: number; badRequests: number; failures: number; streams: number; streamsRefused: number }

export interface RoutesOptions {
  /** Null until there is a router to look at. */
  view: () => RouterView | null;
  events: EventLog;
  version: string;
  configFile: string;
  heartbeatMs: number;
  streamsMax: number;
  log: Log | null;
  counters: ApiCounters;
  /** Ends of the open streams, so that closing the server can end them. */
  streamEnds: Set<() => void>;
}

function refusal(message: string, parameter: string | null = null, found: string | null = null, allowed: string | null = null): ApiErrorBody {
  return { schemaVersion: SCHEMA_VERSION, error: { message, parameter, found, allowed } };
}

/** The daemon is alive but cannot answer yet, or cannot answer more; the server says so with status 503. */
class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

const queryOf = (c: Context): URLSearchParams => new URL(c.req.url).searchParams;

/** The parameters of a resource that takes none. */
const noParameters = (c: Context): void => { readParameters(queryOf(c), []); };

export function createRoutes(options: RoutesOptions): Hono {
  const { events, counters } = options;
  const app = new Hono();
  const router = (): RouterView => {
    const view = options.view();
    if (view === null) throw new Unavailable('weir is still starting');
    return view;
  };
  const paths = RESOURCES.map((name) => `${API_PREFIX}/${name}`);

  app.use(async (c, next) => {
    counters.requests++;
    // Answers are a moment's truth.
    c.header('Cache-Control', 'no-store');
    // Known also while nothing else is: a second daemon names the first one by it.
    c.header('Weir-Pid', String(process.pid));
    if (c.req.method !== 'GET') {
      counters.badRequests++;
      c.header('Allow', 'GET');
      return c.json(refusal(`method ${c.req.method} is not allowed`, null, c.req.method, 'GET'), 405);
    }
    return next();
  });

  app.get(`${API_PREFIX}/status`, (c) => {
    noParameters(c);
    const { state, problems, uptimeMs, generation, ...rest } = router().status();
    const status: RouterStatus = {
      schemaVersion: SCHEMA_VERSION, version: options.version, pid: process.pid,
      state, problems, uptimeMs, generation, configFile: options.configFile, ...rest,
    };
    return c.json(status);
  });

  app.get(`${API_PREFIX}/links`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, links: router().links() } satisfies LinkList);
  });

  app.get(`${API_PREFIX}/uplinks`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, uplinks: router().uplinks() } satisfies UplinkList);
  });

  app.get(`${API_PREFIX}/routes`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, routes: router().routes() } satisfies RouteList);
  });

  app.get(`${API_PREFIX}/neighbours`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, neighbours: router().neighbours() } satisfies NeighbourList);
  });

  app.get(`${API_PREFIX}/flows`, (c) => {
    const view = router();
    const { filter, cursor, limit } = readFlowQuery(queryOf(c), view);
    return c.json(view.flows(filter, cursor, limit));
  });

  app.get(`${API_PREFIX}/filters`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, filters: router().filters() } satisfies FilterList);
  });

  app.get(`${API_PREFIX}/drops`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, drops: router().drops() } satisfies DropList);
  });

  app.get(`${API_PREFIX}/events`, (c) => {
    const values = readParameters(queryOf(c), ['last']);
    const last = readInteger(values, 'last', 0, events.capacity) ?? 0;
    // A reader that comes back says where it stopped, as server-sent events define it; that goes before `last`.
    const resumed = c.req.header('Last-Event-ID');
    let from = Math.max(events.first, events.next - last);
    // A number from before a restart of the daemon can lie ahead of ours: then everything we hold is new to the reader.
    if (resumed !== undefined && /^[0-9]{1,15}$/.test(resumed)) from = Number(resumed) < events.next ? Number(resumed) + 1 : events.first;
    if (options.streamEnds.size >= options.streamsMax) {
      counters.streamsRefused++;
      throw new Unavailable(`too many event streams are open (${options.streamsMax})`);
    }
    counters.streams++;
    const stream = streamEvents(events, from, options.heartbeatMs, () => { options.streamEnds.delete(stream.end); });
    options.streamEnds.add(stream.end);
    return c.body(stream.body, 200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
  });

  app.notFound((c) => {
    counters.badRequests++;
    return c.json(refusal(`there is nothing at ${c.req.path}`, null, c.req.path, paths.join(', ')), 404);
  });

  app.onError((error, c) => {
    if (error instanceof QueryError) {
      counters.badRequests++;
      return c.json(refusal(error.message, error.parameter, error.found, error.allowed), 400);
    }
    if (error instanceof Unavailable) return c.json(refusal(error.message), 503);
    // A programmer's mistake: the whole of it goes to the log, the client only learns that it was ours.
    counters.failures++;
    options.log?.error({ err: error, path: c.req.path }, 'the API failed to answer');
    return c.json(refusal('weir failed to answer; its log says why'), 500);
  });

  return app;
}
