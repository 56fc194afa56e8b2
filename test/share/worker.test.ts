/** The worker thread itself with a real redis-server: two of them tell each other of flows, live through the server's death, and end cleanly. */
import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Plan } from '../../src/base/plan.js';
import { native } from '../../src/link/native.js';
import type { FromShare, ShareEvent, ShareOptions, ShareStatus, ToShare } from '../../src/share/status.js';
import { countersBytes, Counters, countersShape, NOW_MS } from '../../src/table/counters.js';
import { leaseBoardBytes } from '../../src/table/lease-board.js';
import { RedisServer, until } from '../support/redis.js';
import { Plane, sharedPlan, tuplesOf } from './plane.js';

const START = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(new URL('../../src/share/worker.ts', import.meta.url).href)}); })`;

class Threaded {
  readonly plane: Plane;
  readonly events: ShareEvent[] = [];
  status: ShareStatus | null = null;
  readonly words: string[] = [];
  isGone = false;
  error: Error | null = null;
  readonly incarnation: string;
  private readonly worker: Worker;
  private readonly timer: NodeJS.Timeout;

  constructor(name: string, server: RedisServer, more: Partial<Plan['share']> = {}, incarnation: string = randomUUID()) {
    this.incarnation = incarnation;
    const base = sharedPlan(name, { limits: { flows: 65_536, sharedChanges: 262_144 } });
    const plan: Plan = { ...base, share: { ...base.share, redis: server.plan(), ...more } };
    this.plane = new Plane({ plan, nowMs: () => performance.now(), journalWords: 1 << 18, inboxWords: 1 << 16, budget: 5000 });
    const counters = new SharedArrayBuffer(countersBytes(countersShape(plan)));
    const written = new Counters(counters, countersShape(plan));
    const options: ShareOptions = {
      plan, version: '1.0.0', ...this.plane.memory, counters, leases: new SharedArrayBuffer(leaseBoardBytes(plan)), wakeFd: native().eventfd(), isRestart: false, generation: null, incarnation,
    };
    this.timer = setInterval(() => {
      written.setRouter(NOW_MS, performance.now());
      this.plane.turn();
    }, 1);
    // A thread does not inherit what makes this one understand TypeScript.
    this.worker = new Worker(START, { eval: true, workerData: options });
    this.worker.on('message', (message: FromShare) => {
      this.words.push(message.type);
      if (message.type === 'status') this.status = message.status;
      if (message.type === 'event') this.events.push(message.event);
    });
    this.worker.on('error', (error) => { this.error = error; });
    this.worker.on('exit', () => { this.isGone = true; });
  }

  order(order: ToShare): void { this.worker.postMessage(order); }

  async end(): Promise<void> {
    clearInterval(this.timer);
    await this.worker.terminate();
  }

  get usable(): boolean {
    if (this.error !== null) throw this.error;
    return this.plane.isUsable && this.status?.isUsable === true;
  }
}

const server = await RedisServer.start();
const threads: Threaded[] = [];

test.after(async () => {
  await Promise.all(threads.map((one) => one.end()));
  await server.stop();
});

test('two workers replicate, live through the death of the server, and fill it again', async () => {
  const a = new Threaded('a', server), b = new Threaded('b', server);
  threads.push(a, b);
  await until(() => a.usable && b.usable && a.plane.isLoaded && b.plane.isLoaded, 'both to be usable');
  for (let n = 1; n <= 5000; n++) a.plane.packet(n);
  await until(() => b.plane.flows.count === 5000, 'b to have 5000 replicas');
  for (let n = 1; n <= 1000; n++) a.plane.end(n);
  await until(() => b.plane.flows.count === 4000, 'b to have heard of the ends');
  await server.kill();
  await until(() => !a.plane.isUsable && !b.plane.isUsable, 'both to know that it is gone');
  for (let n = 5001; n <= 5100; n++) a.plane.packet(n);
  for (let n = 6001; n <= 6100; n++) b.plane.packet(n);
  await server.start();
  await until(() => a.usable && b.usable, 'both to be usable again');
  await until(() => a.plane.flows.count === 4200 && b.plane.flows.count === 4200, 'each to have what the other had', 30_000);
  await until(() => a.status?.counts.rewrites === 1 && a.status.queue === 0 && b.status?.queue === 0, 'everything to be written again');
  assert.ok(a.events.some(({ event }) => event === 'share.emptied'));
  assert.ok(a.events.some(({ event, fields }) => event === 'share.degraded' && fields['trouble'] === 'unreachable'), JSON.stringify(a.events));
  await until(() => a.status?.peers.some(({ instance }) => instance === 'b') === true, 'a to know of b');
  // A newcomer has exactly what there is, and whoever ends leaves all of it behind.
  a.order({ type: 'stop', withinMs: 2000, isPlaneGone: true });
  await until(() => a.isGone, 'a to end');
  assert.is(a.words[a.words.length - 1], 'stopped');
  const c = new Threaded('c', server);
  threads.push(c);
  await until(() => c.plane.isLoaded && c.plane.flows.count === 4200, 'c to have loaded');
  assert.equal([...c.plane.all().keys()].sort((x, y) => x - y), [...b.plane.all().keys()].sort((x, y) => x - y));
  await until(() => c.words.includes('ready'), 'c to be ready');
  const { original } = tuplesOf(9000);
  c.plane.journal.fetch(1, original);
  await until(() => c.plane.fetched.get(1) === false, 'an answer about a flow nobody has');
});

test('of two workers that have one name in different processes the second is refused until the first has been killed, and then let in at once', async () => {
  const first = new Threaded('twins', server);
  threads.push(first);
  await until(() => first.usable, 'the first to be usable');
  const second = new Threaded('twins', server);
  threads.push(second);
  const trouble = await until(() => second.status?.trouble, 'the second to be refused');
  assert.is(trouble.kind, 'namesake');
  assert.match(trouble.message, /^another instance that is alive has the name twins too: it is connected to Redis at \S+ from \S+; /);
  assert.is(first.status?.counts.fenced, 0);
  await first.end();
  await until(() => second.usable, 'the second to be usable');
  // As a crashed share worker is followed by another one of the same process.
  const again = new Threaded('twins', server, {}, second.incarnation);
  threads.push(again);
  await until(() => again.usable, 'the next worker of the same process to be usable');
});

test('with share.require a server that is not there is told of', async () => {
  const dead = await RedisServer.start();
  await dead.kill();
  const a = new Threaded('d', dead, { require: true });
  threads.push(a);
  await until(() => a.words.includes('failed'), 'the failure to be told', 30_000);
  await dead.stop();
});

test.run();
