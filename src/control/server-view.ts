/**
 * What the control plane sees of virtual servers and their real ones: a part of the view (view.ts). The data plane's counters say how they stand, what
 * was told here says why. Reads only.
 *
 * A real server is, whichever comes first: down (its check; without one, for want of its link's carrier), drained (by hand, or its weight is 0), full,
 * starting slowly, up. Since when is known by looking: whenever the view is read, about every second, and when the data plane tells of a change.
 */
import type { Plan, RealServerPlan, VirtualServerPlan } from '../base/plan.js';
import { NO_CARRIER } from '../health/health.js';
import {
  SERVER_ACTIVE, SERVER_FULL, SERVER_IN_BYTES, SERVER_IN_PACKETS, SERVER_INACTIVE, SERVER_NEW, SERVER_OUT_BYTES, SERVER_OUT_PACKETS, SERVER_UP, SERVER_WANTED,
  SERVER_WEIGHT, VIRTUAL_REFUSED, VIRTUAL_RETURNED, VIRTUAL_UP, VIRTUAL_WEIGHT,
} from '../table/counters.js';
import type { Counters } from '../table/counters.js';
import { PROTOCOL_TCP } from '../wire/ipv4.js';
import type { HealthStatus, Problem, RealServerStatus, ServerState, VirtualServerStatus } from './api/types.js';
import { Rates } from './rate.js';

/** What is known of a real server beyond its counters. */
interface Known {
  /** As it was last seen; null before. */
  state: ServerState | null;
  sinceMs: number;
  /** What its check has last found; null without a check. */
  health: HealthStatus | null;
  isDrained: boolean;
  drainReason: string | null;
  weight: number;
}

export class ServerView {
  private readonly plan: Plan;
  private readonly counters: Counters;
  private readonly unixMs: () => number;
  private readonly rates: Rates;
  /** By real server. */
  private readonly known: Known[];
  /** By virtual server: whether it had its quorum when last seen, and since when. */
  private readonly quorums: { isUp: boolean | null; sinceMs: number }[];
  /** Names of real servers as commands and events have them. */
  private readonly names: readonly string[];

  constructor(plan: Plan, counters: Counters, nowMs: () => number, unixMs: () => number = Date.now) {
    this.plan = plan;
    this.counters = counters;
    this.unixMs = unixMs;
    this.names = plan.realServers.map((_, index) => serverName(plan, index));
    this.known = plan.realServers.map(({ weight }) => ({ state: null, sinceMs: unixMs(), health: null, isDrained: false, drainReason: null, weight }));
    this.quorums = plan.virtualServers.map(() => ({ isUp: null, sinceMs: unixMs() }));
    this.rates = new Rates(plan.realServers.length,
      (server) => [SERVER_IN_BYTES, SERVER_OUT_BYTES, SERVER_NEW].map((counter) => counters.server(server, counter)), nowMs);
  }

  /** A real server's check has made a round. Moments in it are Unix time. */
  setHealth(server: number, health: HealthStatus): void { this.known[server].health = health; }

  /** It was drained by hand, or no longer is. */
  setDrained(server: number, isDrained: boolean, reason: string | null): void {
    this.known[server].isDrained = isDrained;
    this.known[server].drainReason = isDrained ? reason : null;
    this.observe();
  }

  setWeight(server: number, weight: number): void {
    this.known[server].weight = weight;
    this.observe();
  }

  /** To be called about every second, once the data plane runs. */
  sample(): void {
    this.rates.sample();
    this.observe();
  }

  /** Note what has changed since the last look. */
  observe(): void {
    for (const { index } of this.plan.virtualServers) {
      const isUp = this.isUp(index);
      if (this.quorums[index].isUp !== isUp) this.quorums[index] = { isUp, sinceMs: this.unixMs() };
    }
    for (const server of this.plan.realServers) {
      const known = this.known[server.index];
      const state = this.stateOf(server);
      if (known.state === state) continue;
      known.state = state;
      known.sinceMs = this.unixMs();
    }
  }

  /** One as it is now. */
  server(index: number): RealServerStatus {
    this.observe();
    const server = this.plan.realServers[index];
    return this.describeServer(server, this.plan.virtualServers[server.virtualServer]);
  }

  /** 'web/web1'; null when there is none of that number. */
  nameOf(server: number): string | null { return this.names[server] ?? null; }

  find(virtualServer: string, name: string): number { return this.names.indexOf(`${virtualServer}/${name}`); }

  /** The numbers of those that a name stands for: one's own, 'web/web1', or that of a virtual server. */
  numbersOf(name: string): ReadonlySet<number> {
    return new Set(this.names.flatMap((own, index) => (own === name || own.startsWith(`${name}/`) ? [index] : [])));
  }

  list(): VirtualServerStatus[] {
    this.observe();
    return this.plan.virtualServers.map((one) => this.describe(one));
  }

  private isUp(virtualServer: number): boolean { return this.counters.virtualServer(virtualServer, VIRTUAL_UP) === 1; }

  private stateOf({ index, virtualServer }: RealServerPlan): ServerState {
    const { isDrained, weight } = this.known[index];
    const count = (counter: number): number => this.counters.server(index, counter);
    const { slowStart, sorry } = this.plan.virtualServers[virtualServer];
    // Drained but would not work either is down: whoever drained it wants to know.
    if (count(SERVER_UP) !== 1) return 'down';
    if (isDrained || (weight === 0 && sorry !== index)) return 'drained';
    if (count(SERVER_FULL) === 1) return 'full';
    return slowStart > 0 && count(SERVER_WEIGHT) < count(SERVER_WANTED) ? 'slow-start' : 'up';
  }

  private describe(one: VirtualServerPlan): VirtualServerStatus {
    const { scheduler, persistence, ports, quorum } = one;
    const count = (counter: number): number => this.counters.virtualServer(one.index, counter);
    const realServers = one.realServers.map((index) => this.describeServer(this.plan.realServers[index], one));
    const sorry = one.sorry === undefined ? null : this.describeServer(this.plan.realServers[one.sorry], one);
    const all = sorry === null ? realServers : [...realServers, sorry];
    const isUp = this.isUp(one.index);
    const usableWeight = count(VIRTUAL_WEIGHT);
    return {
      name: one.name, addresses: one.addresses, protocols: one.protocols.map((protocol) => (protocol === PROTOCOL_TCP ? 'tcp' : 'udp')),
      ports: { first: ports.first, last: ports.last }, scheduler: { ...scheduler },
      persistence: persistence === undefined ? null : { timeoutSeconds: persistence.timeout, maskLength: persistence.mask, tie: persistence.tie ?? null },
      onePacket: one.onePacket, snat: one.snat, onServerDown: one.onServerDown, slowStartSeconds: one.slowStart,
      state: isUp ? 'up' : 'down',
      reason: isUp ? null : usableWeight === 0 ? 'no real server takes flows' : `real servers of weight ${usableWeight} take flows, ${quorum.weight + quorum.hysteresis} is needed`,
      sinceMs: this.quorums[one.index].sinceMs, usableWeight, quorum: { ...quorum },
      active: sum(all, ({ active }) => active), inactive: sum(all, ({ inactive }) => inactive), newFlows: sum(all, ({ newFlows }) => newFlows),
      refusedFlows: count(VIRTUAL_REFUSED), returnedFlows: count(VIRTUAL_RETURNED), realServers, sorry,
    };
  }

  private describeServer(server: RealServerPlan, { slowStart, ports }: VirtualServerPlan): RealServerStatus {
    const { sinceMs, health, isDrained, drainReason, weight } = this.known[server.index];
    const count = (counter: number): number => this.counters.server(server.index, counter);
    const state = this.stateOf(server);
    const [txBytes, rxBytes, newFlows] = this.rates.perSecond(server.index);
    const reasons: Readonly<Record<ServerState, string | null>> = {
      up: null,
      down: (health !== null && !health.isUp ? health.reason : null) ?? (server.check === undefined ? NO_CARRIER : 'its check fails'),
      drained: isDrained ? drainReason ?? 'drained by hand' : 'its weight is 0',
      full: `has had ${server.upper} flows, takes more once it is down to ${server.lower}`,
      'slow-start': `weight ${round(count(SERVER_WEIGHT))} of ${weight}, all of it within ${slowStart} s`,
    };
    return {
      name: server.name, address: server.address, port: server.port ?? null, lastPort: server.port === undefined ? null : server.port + ports.last - ports.first, state, reason: reasons[state], sinceMs,
      weight, effectiveWeight: count(SERVER_WEIGHT), isDrained, drainReason, upper: server.upper, lower: server.lower, health,
      active: count(SERVER_ACTIVE), inactive: count(SERVER_INACTIVE), newFlows: count(SERVER_NEW),
      txPackets: count(SERVER_IN_PACKETS), rxPackets: count(SERVER_OUT_PACKETS), txBytes: count(SERVER_IN_BYTES), rxBytes: count(SERVER_OUT_BYTES),
      txBps: Math.round(txBytes * 8), rxBps: Math.round(rxBytes * 8), newFlowsPerSecond: round(newFlows),
    };
  }
}

/** What a real server is called in commands, listings and events: 'web/web1'. */
export function serverName(plan: Plan, index: number): string {
  const { name, virtualServer } = plan.realServers[index];
  return `${plan.virtualServers[virtualServer].name}/${name}`;
}

/** What is wrong with a virtual server and its real ones, as far as a person should be told on the first screen. */
export function serverProblems(virtualServer: VirtualServerStatus): Problem[] {
  const { name, state, reason, realServers, sorry } = virtualServer;
  const problems: Problem[] = [];
  if (state === 'down') {
    const sorryTakes = sorry !== null && sorry.state === 'up';
    problems.push({ severity: 'error', subject: `virtual server ${name}`, message: `${reason ?? 'down'}; new flows ${sorryTakes ? 'go to its sorry server' : 'are refused'}` });
  }
  for (const server of sorry === null ? realServers : [...realServers, sorry]) {
    const subject = `server ${name}/${server.name}`;
    if (server.state === 'down') {
      problems.push({ severity: 'error', subject, message: server.reason ?? 'down' });
      continue;
    }
    if (server.isDrained) problems.push({ severity: 'warning', subject, message: `${server.reason ?? 'drained'}: takes no new flows until weir undrain` });
    else if (server.state === 'full') problems.push({ severity: 'warning', subject, message: server.reason ?? 'full' });
    for (const { target, isOk, reason: why } of server.health?.targets ?? []) {
      if (isOk === false) problems.push({ severity: 'warning', subject, message: `${target} fails: ${why ?? 'no answer'}` });
    }
  }
  return problems;
}

/** To a tenth. */
function round(value: number): number { return Math.round(value * 10) / 10; }

function sum<Row>(rows: readonly Row[], of: (row: Row) => number): number { return rows.reduce((total, row) => total + of(row), 0); }
