/**
 * The API's resources under /api/v1: what each path answers. Most are only read; an uplink or a real server can be drained and given another
 * weight, affinity be erased, and each such action is an event. Every answer is JSON with `schemaVersion`, except the event stream, whose every event carries it.
 */
import { Hono } from 'hono';
import type { Context } from 'hono';
import type { EventLog, EventPlace } from '../event.js';
import type { Log } from '../log.js';
import type {
  AffinityErased, AffinityPage, ApiErrorBody, DropList, FilterList, HookCounts, LinkList, NeighbourList, PersistencePage, RouteList, RouterActions, RouterStatus, RouterView, ServerAnswer,
  UplinkAnswer, UplinkList, UplinkStatus, VirtualServerList,
} from './types.js';
import { SCHEMA_VERSION } from './types.js';
import type { InstanceAnswer, LeaseList, ShareAnswer, VrrpList } from './share-types.js';
import {
  NoSuchName, QueryError, readAffinityQuery, readBody, readDrain, readErasure, readFlowQuery, readInteger, readParameters, readPersistenceQuery, readServersQuery, readText, readUndrain,
  readWeight, readYes, serverNames, TooLong,
} from './query.js';
import { findServer, warningsWithout } from './found-server.js';
import { streamEvents } from './stream.js';

export const API_PREFIX = '/api/v1';

/** What the API tells about; the first part of every path after the prefix. */
export const RESOURCES = ['status', 'links', 'uplinks', 'servers', 'routes', 'neighbours', 'flows', 'affinity', 'persistence', 'filters', 'drops', 'vrrp', 'share', 'leases', 'events'] as const;

/** What can be done to an uplink, POST /uplinks/NAME/ACTION, and to a real server, POST /servers/VIRTUAL-SERVER/NAME/ACTION. */
export const CHANGES = ['drain', 'undrain', 'weight'] as const;
type Change = (typeof CHANGES)[number];

/** Event streams open at once unless told otherwise: each costs a socket and a timer. */
export const STREAMS_MAX = 64;

/** What the API counts about itself. */
export interface ApiCounters { requests: number; badRequests: number; failures: number; streams: number; streamsRefused: number }

export interface RoutesOptions {
  /** Null until there is a router to look at. */
  view: () => RouterView | null;
  actions: () => RouterActions | null;
  events: EventLog;
  version: string;
  configFile: string;
  heartbeatMs: number;
  streamsMax: number;
  log: Log | null;
  counters: ApiCounters;
  /** Null where no hooks run. */
  hooks: () => HookCounts | null;
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

/** The methods a path knows; null when there is no such path. */
function methodsOf(path: string): string[] | null {
  if (!path.startsWith(`${API_PREFIX}/`)) return null;
  const parts = path.slice(API_PREFIX.length + 1).split('/');
  if (parts.length === 1) return parts[0] === 'affinity' ? ['GET', 'DELETE'] : (RESOURCES as readonly string[]).includes(parts[0]) ? ['GET'] : null;
  if (parts.length === 2 && parts[0] === 'instance') return parts[1] === 'drain' || parts[1] === 'undrain' ? ['POST'] : null;
  const isChange = (parts.length === 3 && parts[0] === 'uplinks') || (parts.length === 4 && parts[0] === 'servers');
  return isChange && (CHANGES as readonly string[]).includes(parts.at(-1) as string) ? ['POST'] : null;
}

/** What a person who has drained this instance should know. */
function warningsOfDrain(hasElections: boolean, unclaimed: readonly string[], flushError: string | null): string[] {
  return [
    ...(flushError === null ? [] : [`the other instances may not know all flows of this one: ${flushError}`]),
    ...unclaimed.map((name) => `virtual router ${name}: no other router is heard as its master yet`),
    ...(hasElections ? [] : ['there is no virtual router here: whoever sends packets to this instance must stop doing so']),
  ];
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
  const actions = (): RouterActions => {
    const carriedOut = options.actions();
    if (carriedOut === null) throw new Unavailable('weir is still starting');
    return carriedOut;
  };
  const paths = [
    ...RESOURCES.map((name) => `${API_PREFIX}/${name}`),
    ...['drain', 'undrain'].map((change) => `${API_PREFIX}/instance/${change}`),
    ...['uplinks/NAME', 'servers/VIRTUAL-SERVER/NAME'].flatMap((subject) => CHANGES.map((change) => `${API_PREFIX}/${subject}/${change}`)),
  ];

  app.use(async (c, next) => {
    counters.requests++;
    // Answers are a moment's truth.
    c.header('Cache-Control', 'no-store');
    // Known also while nothing else is: a second daemon names the first one by it.
    c.header('Weir-Pid', String(process.pid));
    const allowed = methodsOf(c.req.path);
    // What is not there at all is told by notFound.
    if (allowed !== null && !allowed.includes(c.req.method)) {
      counters.badRequests++;
      c.header('Allow', allowed.join(', '));
      return c.json(refusal(`method ${c.req.method} is not allowed`, null, c.req.method, allowed.join(', ')), 405);
    }
    return next();
  });

  app.get(`${API_PREFIX}/status`, (c) => {
    noParameters(c);
    const { state, problems, uptimeMs, generation, ...rest } = router().status();
    const status: RouterStatus = {
      schemaVersion: SCHEMA_VERSION, version: options.version, pid: process.pid,
      state, problems, uptimeMs, generation, configFile: options.configFile, ...rest,
      events: events.counts, hooks: options.hooks(),
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

  app.get(`${API_PREFIX}/servers`, (c) =>
    c.json({ schemaVersion: SCHEMA_VERSION, virtualServers: readServersQuery(queryOf(c), router()) } satisfies VirtualServerList));

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

  app.get(`${API_PREFIX}/vrrp`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, vrrp: router().vrrp() } satisfies VrrpList);
  });

  app.get(`${API_PREFIX}/share`, (c) => {
    noParameters(c);
    return c.json({ schemaVersion: SCHEMA_VERSION, ...router().share() } satisfies ShareAnswer);
  });

  app.get(`${API_PREFIX}/leases`, async (c) => {
    noParameters(c);
    const { leases, reason } = await actions().leases();
    return c.json({ schemaVersion: SCHEMA_VERSION, leases, isComplete: reason === null, reason } satisfies LeaseList);
  });

  app.get(`${API_PREFIX}/affinity`, (c) => {
    const view = router();
    const { filter, cursor } = readAffinityQuery(queryOf(c), view);
    return c.json(view.affinity(filter, cursor));
  });

  app.get(`${API_PREFIX}/persistence`, (c) => {
    const view = router();
    const { filter, cursor } = readPersistenceQuery(queryOf(c), view);
    return c.json(view.persistence(filter, cursor));
  });

  app.delete(`${API_PREFIX}/affinity`, (c) => {
    const address = readErasure(queryOf(c));
    const view = router();
    const filter = address === null ? {} : { address };
    let erased = 0, erasedPersistence = 0;
    for (let cursor: number | null = 0; cursor !== null;) {
      const page: AffinityPage = view.affinity(filter, cursor);
      erased += page.affinity.length;
      cursor = page.nextCursor;
    }
    for (let cursor: number | null = 0; cursor !== null;) {
      const page: PersistencePage = view.persistence(filter, cursor);
      erasedPersistence += page.persistence.length;
      cursor = page.nextCursor;
    }
    actions().eraseAffinity(address);
    events.emit('control.affinity', address ?? 'all', `affinity of ${address ?? 'all addresses'} was erased by request: ${erased} entries, and ${erasedPersistence} of persistence`, { address, erased, erasedPersistence });
    return c.json({ schemaVersion: SCHEMA_VERSION, erased, erasedPersistence } satisfies AffinityErased);
  });

  /** The uplinks new flows of a group could still go to when one of them takes none. */
  const warningsOf = (uplinks: readonly UplinkStatus[], uplink: UplinkStatus): string[] => uplink.groups
    .filter((group) => !uplinks.some((row) => row !== uplink && row.state === 'up' && row.groups.includes(group)))
    .map((group) => `group ${group} has no other uplink that is up: its new flows meet its lastResort`);

  app.post(`${API_PREFIX}/uplinks/:name/:action{${CHANGES.join('|')}}`, async (c) => {
    noParameters(c);
    const { name, action } = c.req.param() as { name: string; action: Change };
    const text = await readText(c.req.raw);
    const view = router();
    const before = view.uplinks();
    const index = before.findIndex((row) => row.name === name);
    if (index < 0) {
      const allowed = before.length === 0 ? 'no uplink is configured' : before.map((row) => row.name).join(', ');
      throw new NoSuchName(`there is no uplink '${name}'`, 'uplink', name, allowed);
    }
    const asked = { uplink: name, link: before[index].link };
    let warnings: string[] = [];
    if (action === 'weight') {
      const weight = readWeight(readBody(text, ['weight']));
      actions().weight(index, weight);
      if (weight === 0) warnings = warningsOf(before, before[index]);
      events.emit('control.weight', name, `the weight of uplink ${name} was set to ${weight} by request; it was ${before[index].weight}`, { ...asked, weight, before: before[index].weight });
    } else {
      readBody(text, []);
      const isDrained = action === 'drain';
      actions().drain(index, isDrained);
      if (isDrained) warnings = warningsOf(before, before[index]);
      const news = before[index].isDrained === isDrained ? '; it already was so' : '';
      events.emit(`control.${action}`, name, `uplink ${name} was ${isDrained ? 'drained' : 'taken back into use'} by request${news}`, { ...asked, isDrained });
    }
    return c.json({ schemaVersion: SCHEMA_VERSION, uplink: view.uplinks()[index], warnings } satisfies UplinkAnswer);
  });

  app.post(`${API_PREFIX}/servers/:virtualServer/:name/:action{${CHANGES.join('|')}}`, async (c) => {
    noParameters(c);
    const { virtualServer, name, action } = c.req.param() as { virtualServer: string; name: string; action: Change };
    const text = await readText(c.req.raw);
    const view = router();
    const before = findServer(view.virtualServers(), virtualServer, name);
    const index = view.findServer(virtualServer, name);
    const subject = `${virtualServer}/${name}`;
    const asked = { server: subject, virtualServer, realServer: name };
    let warnings: string[] = [];
    let counts = {};
    if (action === 'weight') {
      const weight = readWeight(readBody(text, ['weight']));
      if (before.isSorry) throw new QueryError('a sorry server has no weight', 'server', subject, serverNames({ ...before.of, sorry: null }).join(', '));
      actions().weightServer(index, weight);
      if (weight === 0) warnings = warningsWithout(before);
      events.emit('control.weight', subject, `the weight of server ${subject} was set to ${weight} by request; it was ${before.server.weight}`, { ...asked, weight, before: before.server.weight });
    } else {
      const isDrained = action === 'drain';
      const { isFlushed, reason } = isDrained ? readDrain(text) : readUndrain(text);
      actions().drainServer(index, isDrained, isFlushed, reason);
      // Those it had when it was asked: the data plane is ending them by now, and how far it has come this moment says nothing.
      if (isFlushed) counts = { active: before.server.active, inactive: before.server.inactive };
      if (isDrained) warnings = warningsWithout(before);
      const news = before.server.isDrained === isDrained ? '; it already was so' : '';
      const how = `${isFlushed ? ' and flushed' : ''} by request${reason === null ? '' : ` (${reason})`}`;
      events.emit(`control.${action}`, subject, `server ${subject} was ${isDrained ? 'drained' : 'taken back into use'}${how}${news}`, { ...asked, isDrained, isFlushed, reason });
    }
    return c.json({ schemaVersion: SCHEMA_VERSION, virtualServer, server: { ...findServer(view.virtualServers(), virtualServer, name).server, ...counts }, warnings } satisfies ServerAnswer);
  });

  app.post(`${API_PREFIX}/instance/:action{drain|undrain}`, async (c) => {
    noParameters(c);
    readBody(await readText(c.req.raw), []);
    const view = router();
    const isDrained = c.req.param('action') === 'drain';
    const { store, instance, isDrained: was } = view.share();
    if (store === 'memory' && view.vrrp().length === 0) {
      throw new QueryError('this instance takes part in nothing it could be drained of', 'instance', instance, 'a configuration with vrrp, or with share.store: redis');
    }
    events.emit(`control.${isDrained ? 'drain' : 'undrain'}`, 'instance', `instance ${instance} was ${isDrained ? 'drained' : 'taken back into use'} by request${was === isDrained ? '; it already was so' : ''}`, { instance, isDrained });
    const { isFlushed, flushError, unclaimed, tookMs } = await actions().drainInstance(isDrained);
    const vrrp = view.vrrp();
    const warnings = isDrained ? warningsOfDrain(vrrp.length > 0, unclaimed, flushError) : [];
    return c.json({ schemaVersion: SCHEMA_VERSION, instance, isDrained, isFlushed, flushError, unclaimed, vrrp, tookMs, warnings } satisfies InstanceAnswer);
  });

  app.get(`${API_PREFIX}/events`, (c) => {
    const values = readParameters(queryOf(c), ['last', 'flows']);
    const last = readInteger(values, 'last', 0, events.capacity) ?? 0;
    const withFlows = readYes(values, 'flows');
    // A reader that comes back says where it stopped, as server-sent events define it; that goes before `last`.
    const resumed = c.req.header('Last-Event-ID');
    let begin: { place: EventPlace; lost: number } = { place: events.placeOfLast(last, withFlows), lost: 0 };
    // A number from before a restart of the daemon can lie ahead of ours: then everything we hold is new to the reader.
    if (resumed !== undefined && /^[0-9]{1,15}$/.test(resumed)) {
      begin = Number(resumed) < events.next ? events.placeFrom(Number(resumed) + 1, withFlows) : { place: events.placeFrom(1, withFlows).place, lost: 0 };
    }
    if (options.streamEnds.size >= options.streamsMax) {
      counters.streamsRefused++;
      throw new Unavailable(`too many event streams are open (${options.streamsMax})`);
    }
    counters.streams++;
    const stream = streamEvents(events, begin, options.heartbeatMs, () => { options.streamEnds.delete(stream.end); });
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
      return c.json(refusal(error.message, error.parameter, error.found, error.allowed), error instanceof NoSuchName ? 404 : error instanceof TooLong ? 413 : 400);
    }
    if (error instanceof Unavailable) return c.json(refusal(error.message), 503);
    // A programmer's mistake: the whole of it goes to the log, the client only learns that it was ours.
    counters.failures++;
    options.log?.error({ err: error, path: c.req.path }, 'the API failed to answer');
    return c.json(refusal('weir failed to answer; its log says why'), 500);
  });

  return app;
}
