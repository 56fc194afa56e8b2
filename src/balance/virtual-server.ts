/**
 * Virtual servers: the real servers of each, which of them takes a new flow, and how many flows each has.
 *
 * Theory of operation. A real server takes new flows while its check finds it up, nobody has drained it, its weight is above 0, it has fewer flows than
 * `upper` (and, once it had as many, until it is down to `lower`), and its virtual server has a quorum. The scheduler sees all of that as one
 * weight and one `isUsable`. A client that persistence knows comes back to its server under just the same conditions: it is never led to one that is
 * dead, drained or full. Where nobody takes the flow the sorry server does; where there is none it is refused.
 *
 *   quorum:   total weight of the servers that are up and not drained, full or not
 *             has one ──below quorum.weight──▶ has none ──quorum.weight + quorum.hysteresis reached──▶ has one
 *
 * Slow start: a server that begins to take flows again begins with a sixteenth of its weight and gets another sixteenth at every sixteenth of the
 * time. Sixteenths are exact in binary, so that schedulers that add weights up do not drift. At the start of the router nobody is slower than
 * the others, and nobody starts slowly.
 *
 * Counting: a flow counts from its confirmation to its end, as active (TCP established; of other protocols always) or inactive. What is counted
 * stands in the shared counters as well.
 *
 * Cost: a new flow costs the scheduler's pick, with persistence one look more; a change costs a pass over the virtual server's own.
 */
import { finish, mix } from '../base/hash.js';
import type { Plan, RealServerPlan, VirtualServerPlan } from '../base/plan.js';
import type { Random } from '../base/random.js';
import {
  PERSISTENCE_ENTRIES, PERSISTENCE_EVICTED, PERSISTENCE_REFUSED, SERVER_ACTIVE, SERVER_DRAINED, SERVER_FULL, SERVER_INACTIVE, SERVER_NEW, SERVER_UP, SERVER_USABLE, SERVER_WANTED,
  SERVER_WEIGHT, VIRTUAL_RETURNED, VIRTUAL_UP, VIRTUAL_WEIGHT,
} from '../table/counters.js';
import type { Counters } from '../table/counters.js';
import { VirtualAddresses } from '../table/virtual-server.js';
import { parseIpv4, V4_MAPPED } from '../wire/address.js';
import type { Tuple } from '../wire/tuple.js';
import { Persistence, persistenceCapacity, persistenceOwners } from './persistence.js';
import { Pool } from './pool.js';
import { SCHEDULERS } from './scheduler/registry.js';
import type { Scheduler, SchedulerType } from './scheduler/scheduler.js';
import type { Target } from './target.js';

const NONE = -1;

/** Steps in which a slow start goes from nothing to the whole weight. */
const SLOW_START_STEPS = 16;

/** Why a real server takes no new flows, other than for want of room or of a quorum; null = it does. */
export type ServerReason = 'unhealthy' | 'drained' | 'noWeight' | null;

export type ServerNotice =
  /** A real server takes new flows from now on, or does not any more, or still does not, but for another reason. */
  | { event: 'server'; server: number; isUp: boolean; isUsable: boolean; reason: ServerReason; detail: string | null }
  /** A virtual server has got or lost its quorum: the weight of its usable servers. */
  | { event: 'virtualServer'; virtualServer: number; isUp: boolean; weight: number };

export class RealServer implements Target {
  readonly index: number;
  readonly name: string;
  readonly virtualServer: number;
  private readonly isSorry: boolean;
  /** int32. */
  readonly address: number;
  /** Port flows are sent to, or NONE: the one they were sent to. */
  readonly port: number;
  /** The first port of its virtual server, which its own stands for. */
  private readonly firstPort: number;
  readonly upper: number;
  readonly lower: number;
  /** What it is, as a number that stays the same: of its address and port. */
  readonly key: number;
  /** What the scheduler goes by now. */
  weight = 0;
  isUsable = false;
  chosen = 0;
  active = 0;
  inactive = 0;
  /** Its weight as configured or set at run time. */
  wanted: number;
  isUp: boolean;
  isDrained = false;
  /** Drained, and its flows are to end now. */
  isFlushed = false;
  /** Has had as many flows as it may, and not yet few enough again. */
  isFull = false;
  /** What its check has said last. */
  detail: string | null = null;
  /** When its slow start began, milliseconds; -Infinity = it is over. */
  startedAtMs = -Infinity;

  /** @param isSorry it takes what the others do not, whatever its weight. */
  constructor(plan: RealServerPlan, firstPort: number, isSorry: boolean) {
    this.index = plan.index;
    this.isSorry = isSorry;
    this.name = plan.name;
    this.virtualServer = plan.virtualServer;
    this.address = parseIpv4(plan.address);
    this.port = plan.port ?? NONE;
    this.firstPort = firstPort;
    this.upper = plan.upper;
    this.lower = plan.lower;
    this.key = finish(mix(mix(0, this.address), this.port));
    this.wanted = plan.weight;
    this.isUp = plan.check?.initial !== 'down';
  }

  get flows(): number { return this.active + this.inactive; }

  /** The port that what was sent to `port` of its virtual server goes to. A range keeps its order. */
  portFor(port: number): number { return this.port === NONE ? port : (this.port + port - this.firstPort) & 0xffff; }

  /** Would take new flows, had it room and its virtual server a quorum. */
  get isServing(): boolean { return this.isUp && !this.isDrained && (this.wanted > 0 || this.isSorry); }

  /** Its flows are not to go on. */
  get isLost(): boolean { return !this.isUp || this.isFlushed; }

  get reason(): ServerReason { return !this.isUp ? 'unhealthy' : this.isDrained ? 'drained' : this.wanted === 0 && !this.isSorry ? 'noWeight' : null; }
}

export class VirtualServer {
  readonly index: number;
  readonly name: string;
  readonly pool: Pool<RealServer>;
  readonly sorry: RealServer | null;
  readonly onePacket: boolean;
  readonly onServerDown: VirtualServerPlan['onServerDown'];
  readonly snat: VirtualServerPlan['snat'];
  readonly quorum: VirtualServerPlan['quorum'];
  readonly slowStartMs: number;
  /** Its number among those that remember clients, or NONE: it does not. */
  readonly owner: number;
  readonly maskLength: number;
  readonly timeout: number;
  /** By real server of those it is tied to, its own among them: the place of the one here that is the same host. */
  readonly counterparts: ReadonlyMap<number, number>;
  hasQuorum = false;
  private readonly scheduler: Scheduler;
  private readonly by: SchedulerType['by'];
  private readonly hashPort: boolean;

  /** @param remembered the real servers (by index) that what it remembers may lead to: its own, and those of whom it is tied to. */
  constructor(plan: VirtualServerPlan, servers: readonly RealServer[], owner: number, remembered: readonly number[], random: Random, nowMs: () => number) {
    this.index = plan.index;
    this.name = plan.name;
    this.pool = new Pool(plan.realServers.map((index) => servers[index]));
    this.sorry = plan.sorry === undefined ? null : servers[plan.sorry];
    this.onePacket = plan.onePacket;
    this.onServerDown = plan.onServerDown;
    this.snat = plan.snat;
    this.quorum = plan.quorum;
    this.slowStartMs = plan.slowStart * 1000;
    this.owner = owner;
    this.maskLength = plan.persistence?.mask ?? 32;
    this.timeout = plan.persistence?.timeout ?? 0;
    const { name, hashPort, fallBack } = plan.scheduler;
    const type = SCHEDULERS.find((one) => one.name === name);
    if (type === undefined) throw new Error(`no scheduler is called ${name}`);
    this.by = type.by;
    this.hashPort = hashPort;
    this.scheduler = type.create(this.pool, { fallBack, random, nowMs });
    const { targets } = this.pool;
    this.counterparts = new Map(remembered.flatMap((index): [number, number][] => {
      const server = servers[index];
      const own = targets.indexOf(server);
      if (own !== NONE) return [[index, own]];
      const twin = targets.findIndex((one) => one.address === server.address && one.name === server.name);
      const place = twin !== NONE ? twin : targets.findIndex((one) => one.address === server.address);
      return place === NONE ? [] : [[index, place]];
    }));
  }

  /** The server the scheduler gives a new flow to, or null. `hash` is the flow's own. */
  schedule(tuple: Tuple, hash: number): RealServer | null {
    const place = this.scheduler.pick(this.key(tuple, hash));
    if (place === NONE) return null;
    const server = this.pool.targets[place];
    return Pool.effectiveWeight(server) > 0 ? server : null;
  }

  /** What two flows have in common that come to the same server, where the scheduler goes by a hash. The same on every router: no seed. */
  private key(tuple: Tuple, hash: number): number {
    switch (this.by) {
      case 'flow': return hash;
      case 'source': return keyOf(tuple.s0, tuple.s1, tuple.s2, tuple.s3, this.hashPort ? tuple.ports >>> 16 : 0);
      case 'destination': return keyOf(tuple.d0, tuple.d1, tuple.d2, tuple.d3, this.hashPort ? tuple.ports & 0xffff : 0);
    }
  }
}

export class VirtualServers {
  readonly list: readonly VirtualServer[];
  /** Of all virtual servers, sorry servers among them; by RealServerPlan.index. */
  readonly servers: readonly RealServer[];
  readonly addresses: VirtualAddresses;
  readonly persistence: Persistence;
  /** When a slow start takes its next step, milliseconds; Infinity = none is under way. */
  dueMs = Infinity;
  private readonly counters: Counters;
  private readonly notify: (notice: ServerNotice) => void;

  /** @param memory what persistence remembers lies there; without it, in the table's own. */
  constructor(plan: Plan, counters: Counters, random: Random, nowMs: () => number, notify: (notice: ServerNotice) => void, memory?: ArrayBufferLike) {
    this.counters = counters;
    this.notify = notify;
    this.addresses = new VirtualAddresses(plan);
    this.servers = plan.realServers.map((server) => {
      const { ports, sorry } = plan.virtualServers[server.virtualServer];
      return new RealServer(server, ports.first, sorry === server.index);
    });
    const ownerOfEach = persistenceOwners(plan.virtualServers);
    const remembered: number[][] = Array.from({ length: Math.max(NONE, ...ownerOfEach) + 1 }, () => []);
    plan.virtualServers.forEach(({ index, realServers }) => { if (ownerOfEach[index] !== NONE) remembered[ownerOfEach[index]].push(...realServers); });
    this.list = plan.virtualServers.map((one) => {
      const owner = ownerOfEach[one.index];
      return new VirtualServer(one, this.servers, owner, owner === NONE ? [] : remembered[owner], random, nowMs);
    });
    const capacity = persistenceCapacity(plan);
    this.persistence = new Persistence(capacity, capacity === 0 ? 0 : random.next(), memory);
    for (const one of this.list) this.settleQuorum(one);
    for (const server of this.servers) this.apply(server);
  }

  get isEmpty(): boolean { return this.list.length === 0; }

  /** The server for a new flow, or null: nobody takes it. `hash` is the flow's own. */
  choose(one: VirtualServer, tuple: Tuple, hash: number): RealServer | null {
    if (one.owner !== NONE) {
      const known = this.persistence.find(one.owner, tuple.s0, tuple.s1, tuple.s2, tuple.s3, one.maskLength);
      const place = one.counterparts.get(known) ?? NONE;
      if (place !== NONE && Pool.effectiveWeight(one.pool.targets[place]) > 0) {
        this.counters.addVirtualServer(one.index, VIRTUAL_RETURNED, 1);
        return one.pool.targets[place];
      }
    }
    return one.schedule(tuple, hash) ?? (one.sorry !== null && one.sorry.isServing ? one.sorry : null);
  }

  /** What a server's check has found. True when it was lost, or is not any more: what has been decided about its flows may not hold. */
  setHealth(server: RealServer, isUp: boolean, detail: string | null, nowMs: number): boolean {
    server.detail = isUp ? null : detail;
    return this.change(server, nowMs, () => { server.isUp = isUp; });
  }

  setWeight(server: RealServer, weight: number, nowMs: number): void { this.change(server, nowMs, () => { server.wanted = weight; }); }

  /** Take it out of use, or back. `isFlushed`: its flows end now. True as for `setHealth`. */
  setDrained(server: RealServer, isDrained: boolean, isFlushed: boolean, nowMs: number): boolean {
    return this.change(server, nowMs, () => {
      server.isDrained = isDrained;
      server.isFlushed = isDrained && isFlushed;
    });
  }

  /** Does each packet to the server's virtual server get a server of its own? */
  isOnePacket(server: number): boolean { return this.list[this.servers[server].virtualServer].onePacket; }

  /** A flow, or a packet that is scheduled by itself, goes to it. */
  give(server: RealServer): void {
    server.chosen++;
    this.counters.addServer(server.index, SERVER_NEW, 1);
  }

  /** One flow more. */
  open(server: RealServer, isActive: boolean): void {
    if (isActive) server.active++;
    else server.inactive++;
    this.counters.addServer(server.index, isActive ? SERVER_ACTIVE : SERVER_INACTIVE, 1);
    if (server.upper !== 0 && !server.isFull && server.flows >= server.upper) this.setFull(server, true);
  }

  /** One flow less. */
  close(server: RealServer, isActive: boolean): void {
    if (isActive) server.active--;
    else server.inactive--;
    this.counters.addServer(server.index, isActive ? SERVER_ACTIVE : SERVER_INACTIVE, -1);
    if (server.isFull && server.flows <= server.lower) this.setFull(server, false);
  }

  /** A flow has become active, or is not any more. */
  move(server: RealServer, isActive: boolean): void {
    const by = isActive ? 1 : -1;
    server.active += by;
    server.inactive -= by;
    this.counters.addServer(server.index, SERVER_ACTIVE, by);
    this.counters.addServer(server.index, SERVER_INACTIVE, -by);
  }

  /** What is due: steps of slow starts, clients that are not remembered any longer. */
  tick(nowMs: number, nowTick: number, budget: number): void {
    if (nowMs >= this.dueMs) this.stepSlowStarts(nowMs);
    const { persistence, counters } = this;
    if (persistence.count > 0) persistence.expire(nowTick, budget);
    counters.setRouter(PERSISTENCE_ENTRIES, persistence.count);
    counters.setRouter(PERSISTENCE_EVICTED, persistence.evicted);
    counters.setRouter(PERSISTENCE_REFUSED, persistence.refused);
  }

  /** Change what is known of a server, and all that follows from it. */
  private change(server: RealServer, nowMs: number, set: () => void): boolean {
    const wasServing = server.isServing, wasLost = server.isLost, was = server.reason;
    set();
    const one = this.list[server.virtualServer];
    if (!wasServing && server.isServing && one.slowStartMs > 0 && server !== one.sorry) {
      server.startedAtMs = nowMs;
      this.dueMs = Math.min(this.dueMs, nowMs + one.slowStartMs / SLOW_START_STEPS);
    } else if (!server.isServing) {
      server.startedAtMs = -Infinity;
    }
    this.apply(server, nowMs);
    if (server.reason !== was) {
      this.notify({ event: 'server', server: server.index, isUp: server.isUp, isUsable: server.isServing, reason: server.reason, detail: server.detail });
    }
    if (this.settleQuorum(one)) {
      for (const target of one.pool.targets) this.apply(target, nowMs);
      this.notify({ event: 'virtualServer', virtualServer: one.index, isUp: one.hasQuorum, weight: weightOf(one) });
    }
    return server.isLost !== wasLost;
  }

  private setFull(server: RealServer, isFull: boolean): void {
    server.isFull = isFull;
    const { pool } = this.list[server.virtualServer];
    server.isUsable = this.isUsable(server);
    pool.version++;
    this.counters.setServer(server.index, SERVER_FULL, isFull ? 1 : 0);
    this.counters.setServer(server.index, SERVER_USABLE, server.isServing && server.isUsable ? 1 : 0);
  }

  /** What the scheduler and the counters are to know of a server now. */
  private apply(server: RealServer, nowMs = -Infinity): void {
    const one = this.list[server.virtualServer];
    server.weight = server.isDrained ? 0 : server.wanted * startedPart(server, one, nowMs);
    server.isUsable = this.isUsable(server);
    one.pool.version++;
    this.counters.setServer(server.index, SERVER_WEIGHT, server.weight);
    this.counters.setServer(server.index, SERVER_WANTED, server.wanted);
    this.counters.setServer(server.index, SERVER_DRAINED, server.isDrained ? 1 : 0);
    this.counters.setServer(server.index, SERVER_UP, server.isUp ? 1 : 0);
    this.counters.setServer(server.index, SERVER_USABLE, server.isServing && server.isUsable ? 1 : 0);
  }

  private isUsable(server: RealServer): boolean { return server.isUp && !server.isFull && this.list[server.virtualServer].hasQuorum; }

  /** True when it has got or lost its quorum. */
  private settleQuorum(one: VirtualServer): boolean {
    const needed = one.hasQuorum ? one.quorum.weight : one.quorum.weight + one.quorum.hysteresis;
    // As it is made it needs no more than it takes to keep it.
    const weight = weightOf(one);
    const hasQuorum = weight >= (this.isSettled(one) ? needed : one.quorum.weight);
    const isChange = one.hasQuorum !== hasQuorum;
    one.hasQuorum = hasQuorum;
    this.counters.setVirtualServer(one.index, VIRTUAL_UP, hasQuorum ? 1 : 0);
    this.counters.setVirtualServer(one.index, VIRTUAL_WEIGHT, weight);
    return isChange;
  }

  /** False while the pool is as it was made. */
  private isSettled(one: VirtualServer): boolean { return one.pool.version > 0; }

  private stepSlowStarts(nowMs: number): void {
    this.dueMs = Infinity;
    for (const one of this.list) {
      if (one.slowStartMs === 0) continue;
      for (const server of one.pool.targets) {
        if (server.startedAtMs === -Infinity) continue;
        const step = one.slowStartMs / SLOW_START_STEPS;
        const passed = Math.floor((nowMs - server.startedAtMs) / step);
        if (passed >= SLOW_START_STEPS - 1) server.startedAtMs = -Infinity;
        else this.dueMs = Math.min(this.dueMs, server.startedAtMs + (passed + 1) * step);
        this.apply(server, nowMs);
      }
    }
  }
}

/** Part of its weight that counts, of a server that has begun to take flows. */
function startedPart(server: RealServer, one: VirtualServer, nowMs: number): number {
  if (server.startedAtMs === -Infinity) return 1;
  const passed = Math.floor(((nowMs - server.startedAtMs) * SLOW_START_STEPS) / one.slowStartMs);
  return Math.min(SLOW_START_STEPS, passed + 1) / SLOW_START_STEPS;
}

/** Weight of the servers that are up and not drained. */
function weightOf(one: VirtualServer): number {
  let total = 0;
  for (const server of one.pool.targets) if (server.isServing) total += server.wanted;
  return total;
}

function keyOf(a0: number, a1: number, a2: number, a3: number, port: number): number {
  const h = mix(mix(0, a3), port);
  return finish(a2 === V4_MAPPED ? h : mix(mix(mix(h, a0), a1), a2));
}
