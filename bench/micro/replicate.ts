/**
 * What sharing costs, with a real redis-server: a data plane that only has flows runs in a worker thread and opens, establishes and ends so many a second; the
 * share worker's classes run in the main thread, whose processor time is that of the share worker. Then a table full of flows is written at once, as
 * after the store was emptied, and loaded by an instance that has none, as at a start. Prints one JSON line.
 *
 *     node replicate.js FLOWS_PER_SECOND SECONDS FLOWS_LOADED
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { systemClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { ringBytes } from '../../src/base/ring.js';
import { systemTimers } from '../../src/base/timers.js';
import type { Plan } from '../../src/base/plan.js';
import { compileConfig } from '../../src/control/config/load.js';
import { native } from '../../src/link/native.js';
import { RedisStore } from '../../src/share/redis.js';
import { Sharing } from '../../src/share/sharing.js';
import { FLAG_PUBLISHED, FLAG_REPLICA, FLAGS, FlowTable, flowTableBytes, SERIAL, STATE } from '../../src/table/flow.js';
import { DECODED, RecordDecoder, RecordNames, SharedRecord } from '../../src/table/flow-record.js';
import { INBOX_RECORD, InboxReader } from '../../src/table/inbox.js';
import { JournalWriter } from '../../src/table/journal.js';
import { RedisServer, until } from '../../test/support/redis.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { PROTOCOL_TCP } from '../../src/wire/ipv4.js';
import { Tuple } from '../../src/wire/tuple.js';

export interface ReplicateResult {
  /** Flows a second: wanted, and told of from their beginning to their end. */
  rate: number;
  flowsPerSecond: number;
  seconds: number;
  /** What was written and deleted a second, and how many of these a batch held. */
  changesPerSecond: number;
  changesPerBatch: number;
  /** From a change to the store's word that it is written: of each batch its oldest; and a batch's way there and back. Milliseconds. */
  lagP50Ms: number;
  lagP99Ms: number;
  lagMaxMs: number;
  writeP50Ms: number;
  /** Processor time for a flow, microseconds. */
  shareUsPerFlow: number;
  redisUsPerFlow: number;
  /** Changes that found no room in the journal or the queue. */
  lost: number;
  /** A table written at once, and loaded. */
  bulk: { flows: number; writtenPerSecond: number; writeShareUs: number; writeRedisUs: number; loadedPerSecond: number; loadShareUs: number; loadRedisUs: number };
}

const CONFIG = `
links:
  lan: { type: tap, device: lan, addresses: [10.0.0.1/24] }
  wan: { type: tap, device: wan, addresses: [198.51.100.2/24] }
uplinks:
  isp: { link: wan, gateway: 198.51.100.1 }
groups:
  internet: { uplinks: [isp] }
routes:
  default: { to: 0.0.0.0/0, group: internet }
`;
const JOURNAL_WORDS = 1 << 20;
const INBOX_WORDS = 1 << 18;
/** A flow is established so long after it was opened, and ends so long after. */
const ESTABLISH_MS = 5;
const LIVES_MS = 1000;
const WARM_MS = 1500;
/** Seconds a flow lives without a packet. */
const LIFE_S = 7440;
/** Inbox records taken in a turn. */
const BUDGET = 256;

/** Words of what the threads share. */
const MODE = 0;
const TAKEN = 1;
const STOP = 2;
const MODE_IDLE = 0;
const MODE_RUN = 1;
const MODE_FILL = 2;

interface Order { plan: Plan; memory: { flows: SharedArrayBuffer; journal: SharedArrayBuffer; inbox: SharedArrayBuffer }; shared: SharedArrayBuffer; clock: SharedArrayBuffer; rate: number; fill: number }

/** In the worker thread: the data plane. */
class Plane {
  private readonly order: Order;
  private readonly flows: FlowTable;
  private readonly journal: JournalWriter;
  private readonly inbox: InboxReader;
  private readonly shared: Int32Array;
  private readonly nowMs: Float64Array;
  private readonly decoder: RecordDecoder;
  private readonly record = new SharedRecord();
  private readonly original = new Tuple();
  private readonly leaving = new Tuple();
  private readonly sources = parseIpv4('10.0.0.0');
  private readonly server = parseIpv4('203.0.113.7');
  private readonly external = parseIpv4('198.51.100.2');
  private number = 0;

  constructor(order: Order) {
    const { plan, memory } = order;
    this.order = order;
    this.flows = new FlowTable(memory.flows, plan.limits.flows, 5, (flow) => {
      const at = this.flows.at(flow);
      if ((this.flows.words[at + FLAGS] & FLAG_PUBLISHED) !== 0) this.journal.end(this.flows.words, at);
    });
    this.journal = new JournalWriter(memory.journal);
    this.inbox = new InboxReader(memory.inbox);
    this.shared = new Int32Array(order.shared);
    this.nowMs = new Float64Array(order.clock);
    this.decoder = new RecordDecoder(new RecordNames(plan));
  }

  run(): void {
    const { shared, order } = this;
    const opened: number[] = [];
    const established: number[] = [];
    let startMs = 0;
    let done = 0;
    let doneEstablished = 0;
    let doneEnded = 0;
    while (Atomics.load(shared, STOP) === 0) {
      const nowMs = performance.now();
      this.nowMs[0] = nowMs;
      this.takeInbox();
      const mode = Atomics.load(shared, MODE);
      if (mode === MODE_FILL) {
        for (let i = 0; i < order.fill; i++) this.open(i, nowMs, false);
        Atomics.store(shared, MODE, MODE_IDLE);
      } else if (mode === MODE_RUN) {
        if (startMs === 0) startMs = nowMs;
        const due = (ms: number): number => Math.floor(((nowMs - startMs - ms) * order.rate) / 1000);
        for (; done < due(0); done++) opened.push(this.open(this.number++, nowMs, true));
        for (; doneEstablished < due(ESTABLISH_MS); doneEstablished++) {
          const flow = opened[doneEstablished];
          this.flows.words[this.flows.at(flow) + STATE] = 3;
          this.tell(flow, nowMs);
          established.push(flow);
        }
        for (; doneEnded < due(LIVES_MS); doneEnded++) this.flows.remove(established[doneEnded]);
      } else if (startMs !== 0) {
        for (; doneEnded < established.length; doneEnded++) this.flows.remove(established[doneEnded]);
      }
      Atomics.wait(shared, STOP, 0, this.inbox.waiting > 0 ? 0 : 1);
    }
  }

  private open(n: number, nowMs: number, isTold: boolean): number {
    const { original, leaving, flows } = this;
    const port = 1024 + (n % 60_000);
    const high = Math.floor(n / 60_000);
    original.setV4(this.sources + (high & 0xff), this.server + (high >> 8), (port << 16) | 443, PROTOCOL_TCP);
    leaving.setV4(this.external + (high & 0xff), this.server + (high >> 8), (port << 16) | 443, PROTOCOL_TCP);
    const flow = flows.open(original, 0, 0);
    if (flow < 0 || !flows.confirm(flow, leaving, 0, LIFE_S)) throw new Error(`flow ${n} cannot be opened`);
    flows.words[flows.at(flow) + FLAGS] |= FLAG_PUBLISHED;
    if (isTold) this.tell(flow, nowMs);
    return flow;
  }

  private tell(flow: number, nowMs: number): void { this.journal.flow(flow, this.flows.words[this.flows.at(flow) + SERIAL], nowMs); }

  private takeInbox(): void {
    const { inbox, record, flows, leaving } = this;
    for (let left = BUDGET; left > 0 && inbox.next(); left--) {
      if (inbox.kind === INBOX_RECORD && this.decoder.value(inbox.bytes, inbox.from, inbox.to, record) === DECODED) {
        leaving.invert(record.reply);
        const flow = flows.open(record.original, 0, 0);
        if (flow >= 0 && flows.confirm(flow, leaving, 0, record.leftS)) flows.words[flows.at(flow) + FLAGS] |= FLAG_REPLICA;
        Atomics.add(this.shared, TAKEN, 1);
      }
      inbox.done();
    }
  }
}

/** An instance: the data plane's thread, and the share worker's classes in this one. */
class Site {
  readonly lags: number[] = [];
  readonly writes: number[] = [];
  readonly sharing: Sharing;
  readonly shared = new SharedArrayBuffer(64);
  readonly words = new Int32Array(this.shared);
  isReady = false;
  private readonly worker: Worker;
  private isStopped = false;

  constructor(name: string, server: RedisServer, capacity: number, rate: number, fill: number) {
    const compiled = compileConfig([{ file: 'bench.yaml', text: CONFIG }], { generation: 1, seed: 1 }).plan;
    const plan: Plan = {
      ...compiled, limits: { ...compiled.limits, flows: capacity },
      share: { ...compiled.share, store: 'redis', instance: name, redis: server.plan(), flushMs: 5 },
    };
    const memory = { flows: new SharedArrayBuffer(flowTableBytes(capacity)), journal: new SharedArrayBuffer(ringBytes(JOURNAL_WORDS)), inbox: new SharedArrayBuffer(ringBytes(INBOX_WORDS)) };
    const clock = new SharedArrayBuffer(8);
    const planeNow = new Float64Array(clock);
    this.worker = new Worker(new URL(import.meta.url), { workerData: { plan, memory, shared: this.shared, clock, rate, fill } satisfies Order });
    this.sharing = new Sharing({
      plan, version: 'bench', store: new RedisStore(server.plan()), ...memory, clock: systemClock, timers: systemTimers, random: new Random(1), planeNowMs: () => planeNow[0],
      wake: () => undefined,
      tell: (message) => {
        if (message.type === 'ready') this.isReady = true;
        if (message.type === 'stopped') this.isStopped = true;
      },
      onWritten: (lagMs, writeMs) => {
        this.lags.push(lagMs);
        this.writes.push(writeMs);
      },
    });
    void this.sharing.run();
  }

  async end(): Promise<void> {
    void this.sharing.stop(5000, true);
    await until(() => this.isStopped, 'the instance to end');
    Atomics.store(this.words, STOP, 1);
    await this.worker.terminate();
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

async function measure(rate: number, seconds: number, fill: number): Promise<ReplicateResult> {
  const server = await RedisServer.start();
  try {
    const site = new Site('one', server, 4 * rate, rate, 0);
    await until(() => site.isReady, 'the instance to be ready');
    Atomics.store(site.words, MODE, MODE_RUN);
    await pause(WARM_MS);
    site.lags.length = site.writes.length = 0;
    const before = { ms: performance.now(), shareMs: native().threadCpuMs(), redisMs: server.cpuMs(), ...site.sharing.counts };
    await pause(seconds * 1000);
    const { counts } = site.sharing;
    const tookS = (performance.now() - before.ms) / 1000;
    // What the store knows the end of: flows that only wait to be told of are none yet.
    const flows = counts.deleted - before.deleted;
    const changes = counts.written - before.written + counts.deleted - before.deleted;
    const shareMs = native().threadCpuMs() - before.shareMs;
    const redisMs = server.cpuMs() - before.redisMs;
    const batches = counts.batches - before.batches;
    const lost = counts.lost + counts.dropped;
    Atomics.store(site.words, MODE, MODE_IDLE);
    const { lags, writes } = site;
    const steady = {
      rate, seconds: tookS, flowsPerSecond: flows / tookS, changesPerSecond: changes / tookS, changesPerBatch: changes / batches, lagP50Ms: quantile(lags, 0.5), lagP99Ms: quantile(lags, 0.99),
      lagMaxMs: quantile(lags, 1), writeP50Ms: quantile(writes, 0.5), shareUsPerFlow: (shareMs * 1000) / flows, redisUsPerFlow: (redisMs * 1000) / flows, lost,
    };
    await site.end();
    return { ...steady, bulk: await bulk(server, fill) };
  } finally {
    await server.stop();
  }
}

async function bulk(server: RedisServer, fill: number): Promise<ReplicateResult['bulk']> {
  await server.restart();
  const writer = new Site('writer', server, fill + 1024, 0, fill);
  await until(() => writer.isReady, 'the writer to be ready');
  Atomics.store(writer.words, MODE, MODE_FILL);
  await until(() => Atomics.load(writer.words, MODE) === MODE_IDLE, 'the table to be full', 60_000);
  const start = { ms: performance.now(), shareMs: native().threadCpuMs(), redisMs: server.cpuMs() };
  const already = writer.sharing.counts.written;
  writer.sharing.walk.all();
  await until(() => writer.sharing.counts.written >= fill, 'everything to be written', 300_000);
  const written = { ms: performance.now(), shareMs: native().threadCpuMs(), redisMs: server.cpuMs() };
  await writer.end();
  const load = { ms: performance.now(), shareMs: native().threadCpuMs(), redisMs: server.cpuMs() };
  const reader = new Site('reader', server, fill + 1024, 0, 0);
  await until(() => reader.isReady, 'everything to be loaded', 300_000);
  const loaded = { ms: performance.now(), shareMs: native().threadCpuMs(), redisMs: server.cpuMs() };
  const taken = Atomics.load(reader.words, TAKEN);
  if (taken !== fill) throw new Error(`${taken} of ${fill} flows were loaded`);
  await reader.end();
  const each = (from: number, to: number): number => ((to - from) * 1000) / fill;
  return {
    flows: fill, writtenPerSecond: ((fill - already) * 1000) / (written.ms - start.ms), writeShareUs: each(start.shareMs, written.shareMs), writeRedisUs: each(start.redisMs, written.redisMs),
    loadedPerSecond: (fill * 1000) / (loaded.ms - load.ms), loadShareUs: each(load.shareMs, loaded.shareMs), loadRedisUs: each(load.redisMs, loaded.redisMs),
  };
}

if (isMainThread) {
  const [rate, seconds, fill] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await measure(rate, seconds, fill)));
  process.exit(0);
} else {
  new Plane(workerData as Order).run();
}
