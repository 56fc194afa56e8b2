/**
 * Instances that share a translation address, each a whole router on memory links with a lease manager, and one store in memory between them. Their clocks
 * differ and go equally fast; what the manager tells the data plane arrives with the next step.
 */
import * as assert from 'uvu/assert';
import type { SharePlan } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { LeaseManager } from '../../src/share/lease.js';
import type { Leasing } from '../../src/share/leasing.js';
import { MemoryStore, MemoryStoreSpace } from '../../src/share/memory.js';
import type { ShareEvent } from '../../src/share/status.js';
import type { StoreTrouble } from '../../src/share/store.js';
import { FLAG_SHARED, FLAGS, FLOW_WORDS, HEADER_HIGH, HEADER_WORDS, ORIGINAL_TUPLE, REPLY_TUPLE, SERIAL } from '../../src/table/flow.js';
import { BLOCKS_ORDER } from '../../src/table/inbox.js';
import { JOURNAL_PORTS, JournalReader, JournalWriter, PORTS_ADDRESS, PORTS_FREE, PORTS_USED } from '../../src/table/journal.js';
import type { PortLeases } from '../../src/table/port-lease.js';
import { ringBytes } from '../../src/base/ring.js';
import { ManualTimers, settled } from '../health/manual-timers.js';
import * as make from '../support/frames.js';
import { NOT_SHARED, rig } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

/** The address both translate to: no link's own. */
export const COMMON = '192.168.201.200';

export interface LabOptions {
  share?: Partial<SharePlan>;
  rig?: RigOptions;
  /** Milliseconds until the store answers. */
  delayMs?: number;
}

/** What leaves a router by a flow of it. */
export interface External { protocol: number; port: number; far: number; farPort: number; inside: string; isShared: boolean }

export class Side {
  readonly name: string;
  readonly rig: Rig;
  readonly store: MemoryStore;
  manager: Leasing;
  readonly events: ShareEvent[] = [];
  isLoaded = true;
  isUsable = false;
  /** Nothing is delivered to the data plane while it is. */
  isDeaf = false;
  generation: number | null = null;
  private readonly lab: Lab;
  private orders: Int32Array[] = [];
  /** Numbers of all orders ever given. */
  readonly given: number[] = [];
  private readonly journal: JournalReader;

  constructor(lab: Lab, name: string) {
    this.lab = lab;
    this.name = name;
    const { options } = lab;
    this.rig = rig({
      weights: [1, 0], snat: [COMMON], ...options.rig,
      plan: { ...options.rig?.plan, share: { ...NOT_SHARED, store: 'redis', instance: name, portBlock: 64, leaseMs: 60_000, ...options.share } },
      timeouts: { neighbourReachable: 1e6, neighbourStale: 1e6, ...options.rig?.timeouts },
    });
    const ring = new SharedArrayBuffer(ringBytes(1 << 16));
    Object.assign(this.rig.router, { journal: new JournalWriter(ring) });
    this.journal = new JournalReader(ring);
    this.store = new MemoryStore(lab.space);
    this.manager = this.manage();
  }

  /** The share worker crashes, and another one takes its place. */
  restartWorker(): void { this.manager = this.manage(); }

  /** What was ordered and is not carried out yet is lost. */
  loseOrders(): void { this.orders = []; }

  get leases(): PortLeases { return this.rig.router.mappings.leases as PortLeases; }
  get held(): number[] { return this.manager.status(this.lab.timers.nowMs())[0].held; }
  /** Blocks the data plane may hand out ports of. */
  get usable(): number[] { return Array.from({ length: this.leases.board.blocks }, (_, block) => block).filter((block) => this.leases.board.isUsable(0, block)); }
  get words(): string[] { return this.events.map(({ event }) => event.replace('share.leases.', '')); }

  async connect(): Promise<void> {
    if (this.generation === null) await this.through(this.store.open());
    this.generation = (await this.through(this.store.register(this.name, this.generation))).generation;
    this.isUsable = true;
    this.manager.onUsable(this.lab.timers.nowMs());
    await this.lab.pass(20);
  }

  /** The way to the store is cut. */
  cut(trouble: StoreTrouble = 'unreachable'): void {
    this.store.cut(trouble, 'cut');
    this.isUsable = false;
    this.manager.onAway(this.lab.timers.nowMs());
  }

  async mend(): Promise<void> {
    this.store.mend();
    await this.connect();
  }

  /** Time passes in the router; orders reach it, and what it tells reaches the manager. */
  step(byMs: number): void {
    this.rig.clock.advance(byMs);
    this.rig.run();
    while (!this.isDeaf && this.orders.length > 0) this.leases.obey(this.orders.shift() as Int32Array, 0, this.rig.router.nowMs);
    this.read();
  }

  /** The journal is read, which is every few milliseconds. */
  read(): void {
    const { journal } = this;
    for (; journal.next(); journal.done()) {
      if (journal.kind === JOURNAL_PORTS) this.manager.onPorts(journal.words[journal.at + PORTS_ADDRESS], journal.words[journal.at + PORTS_USED], journal.words[journal.at + PORTS_FREE]);
    }
  }

  /** A host opens a UDP flow; the port it leaves with, or null. */
  open(source: string, port: number, far: string, farPort = 53): number | null {
    const sent = this.rig.from('lan', make.ipv4({ source, destination: far }, make.udp({ sourcePort: port, destinationPort: farPort })));
    const out = sent.find(({ link }) => link !== 'lan');
    if (out === undefined) return null;
    assert.is(make.formatAddress(out.packet.subarray(12, 16)), COMMON);
    return out.packet.readUInt16BE(20);
  }

  /** Every flow that bears the common address. */
  get externals(): External[] {
    const { words } = this.rig.router.flows;
    const common = make.address(COMMON).readInt32BE(0);
    const all: External[] = [];
    for (let i = 0; i < words[HEADER_HIGH]; i++) {
      const at = HEADER_WORDS + i * FLOW_WORDS;
      if ((words[at + SERIAL] & 1) === 0 || words[at + REPLY_TUPLE + 7] !== common) continue;
      all.push({
        protocol: words[at + 9], port: words[at + REPLY_TUPLE + 8] & 0xffff, far: words[at + REPLY_TUPLE + 3], farPort: words[at + REPLY_TUPLE + 8] >>> 16,
        inside: `${words[at + ORIGINAL_TUPLE + 3]}:${words[at + ORIGINAL_TUPLE + 8] >>> 16}`, isShared: (words[at + FLAGS] & FLAG_SHARED) !== 0,
      });
    }
    return all;
  }

  private manage(): Leasing {
    const { lab } = this;
    return new LeaseManager({
      plan: this.rig.router.plan, store: this.store, board: this.leases.board.words.buffer as SharedArrayBuffer, blocks: (payload) => {
        this.orders.push(payload.slice());
        this.given.push(payload[BLOCKS_ORDER]);
      },
      isLoaded: () => this.isLoaded, tell: (event) => this.events.push(event), nowMs: () => lab.timers.nowMs(),
    }, lab.timers);
  }

  private async through<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => { isDone = true; });
    done.catch(() => undefined);
    for (let i = 0; !isDone; i++) {
      assert.ok(i < 1000, 'the store answers');
      await this.lab.timers.advance(1);
    }
    return done;
  }
}

export class Lab {
  readonly timers = new ManualTimers();
  readonly options: LabOptions;
  readonly space: MemoryStoreSpace;
  readonly sides: Side[] = [];
  readonly random: Random;

  constructor(options: LabOptions = {}, seed = 1) {
    this.options = options;
    this.random = new Random(seed);
    this.space = new MemoryStoreSpace({ clock: this.timers, timers: this.timers, delayMs: options.delayMs ?? 1 });
  }

  /** Begin an instance that has its first blocks, unless told otherwise. */
  async begin(name: string, connects = true): Promise<Side> {
    const side = new Side(this, name);
    this.sides.push(side);
    if (!connects) return side;
    await side.connect();
    await this.pass(200);
    return side;
  }

  /** It is no more, and nobody was told. */
  crash(side: Side): void {
    this.sides.splice(this.sides.indexOf(side), 1);
    void side.store.close();
  }

  /** Time passes for all of them, in steps; managers are called as often as the share worker does, or once a step. */
  async pass(byMs: number, stepMs = 20): Promise<void> {
    for (let left = byMs; left > 0; left -= stepMs) {
      await this.timers.advance(Math.min(stepMs, left));
      for (const side of this.sides) {
        side.manager.tick(this.timers.nowMs());
        side.step(Math.min(stepMs, left));
      }
      await settled();
    }
  }

  /** No two flows, of whichever instance, can be taken for one another; and no port serves two instances, or two inside endpoints by mappings. */
  checkUnique(): void {
    const owners = new Map<string, string>();
    const mapped = new Map<string, string>();
    const tuples = new Map<string, string>();
    for (const { name, externals } of this.sides) {
      for (const { protocol, port, far, farPort, inside, isShared } of externals) {
        const external = `${protocol}/${port}`;
        const owner = owners.get(external) ?? name;
        assert.is(owner, name, `${external} is borne by flows of ${owner} and of ${name}`);
        owners.set(external, name);
        const tuple = `${external} to ${far}:${farPort}`;
        assert.not(tuples.has(tuple), `${tuple} is borne by two flows, of ${tuples.get(tuple)} and of ${name}`);
        tuples.set(tuple, name);
        if (isShared) continue;
        const endpoint = mapped.get(external) ?? inside;
        assert.is(endpoint, inside, `${external} of ${name} is mapped twice`);
        mapped.set(external, inside);
      }
    }
  }
}
