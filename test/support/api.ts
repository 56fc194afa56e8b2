/** An API server with a FakeView on a socket of its own in a directory of its own, and plain HTTP requests to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HookCounts, RouterActions } from '../../src/control/api/types.js';
import { EventLog } from '../../src/control/event.js';
import type { ApiServer } from '../../src/control/api/server.js';
import { startApi } from '../../src/control/api/server.js';
import type { FakeOptions } from './fake-view.js';
import { FakeView, NOW_MS } from './fake-view.js';

export interface Served { view: FakeView; /** What was asked of the router, as written: 'drain 0 true'. */ done: string[]; events: EventLog; api: ApiServer; socket: string; directory: string }

const directories: string[] = [];
process.once('exit', () => { for (const directory of directories) rmSync(directory, { recursive: true, force: true }); });

/** A directory that is removed when the process ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), `wt-${process.pid}-`));
  directories.push(directory);
  return directory;
}

/** Start it, run `body`, stop it whatever happens. */
export async function withApi<T>(options: FakeOptions & { heartbeatMs?: number; streamsMax?: number; eventsMax?: number; flowEventsMax?: number; hooks?: HookCounts }, body: (served: Served) => Promise<T>): Promise<T> {
  const directory = temporaryDirectory();
  const socket = join(directory, 'run', 'weir.sock');
  const view = new FakeView(options);
  const events = new EventLog(options.eventsMax ?? 16, () => NOW_MS, options.flowEventsMax);
  const done: string[] = [];
  const note = (name: string) => (...given: unknown[]): void => { done.push([name, ...given].join(' ')); };
  const actions: RouterActions = {
    drain(uplink, isDrained) {
      note('drain')(uplink, isDrained);
      view.drained.set(uplink, isDrained);
    },
    weight(uplink, weight) {
      note('weight')(uplink, weight);
      view.weights.set(uplink, weight);
    },
    drainServer(server, isDrained, isFlushed, reason) {
      note('drainServer')(server, isDrained, isFlushed, reason);
      view.drainedServers.set(server, isDrained ? reason ?? '' : null);
      // At once, as a data plane that is quicker than the answer.
      if (isFlushed) view.flushed.add(server);
    },
    weightServer(server, weight) {
      note('weightServer')(server, weight);
      view.serverWeights.set(server, weight);
    },
    eraseAffinity: note('eraseAffinity'),
    drainInstance(isDrained) {
      note('drainInstance')(isDrained);
      view.isDrained = isDrained;
      const isAway = options.share === 'away';
      return Promise.resolve({ isFlushed: isDrained ? !isAway : null, flushError: isDrained && isAway ? 'the store cannot be reached' : null, unclaimed: isDrained && isAway ? ['lan-side'] : [], tookMs: isDrained ? 120 : 0 });
    },
    leases: () => Promise.resolve(view.leases()),
  };
  const api = await startApi({
    view, actions, events, version: '0.1.0', configFile: '/etc/weir/weir.yaml', socket,
    ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
    ...(options.hooks === undefined ? {} : { hooks: () => options.hooks! }),
    ...(options.streamsMax === undefined ? {} : { streamsMax: options.streamsMax }),
  });
  try {
    return await body({ view, done, events, api, socket, directory });
  } finally {
    await api.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

export interface Answer { status: number; headers: IncomingHttpHeaders; text: string; json: unknown }

/** One request, its whole answer. `json` is undefined when the answer is none. */
export function ask(socket: string, path: string, method = 'GET', body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: socket, path, method, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => { text += chunk; });
      answer.on('error', reject);
      answer.on('end', () => {
        let json: unknown;
        try { json = JSON.parse(text); } catch { json = undefined; }
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Wait for a condition, at most `withinMs`. */
export async function until(what: string, condition: () => boolean, withinMs = 5000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${withinMs} ms in vain: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}
