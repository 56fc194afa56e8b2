/**
 * The daemon: the one place that constructs and wires. In order: read the configuration, take the API's socket, run hooks on events, start the share worker
 * where flows are shared, open the devices, start the data plane, watch the devices, check uplinks and real servers, serve; and all of it backwards on the
 * way out, whatever the way out is. The share worker loads while packets are forwarded; elections may be won when it is done. On the way out it writes
 * what waits before the data plane resigns, and what is left after the data plane has ended.
 *
 *   TERM, INT   stop gracefully; a second one ends at once
 */
import { randomInt, randomUUID } from 'node:crypto';
import { isatty } from 'node:tty';
import { Worker } from 'node:worker_threads';
import { affinityBytes } from './balance/affinity.js';
import { persistenceBytes, persistenceCapacity } from './balance/persistence.js';
import { EXIT_FAILED, EXIT_OK, formatConfigWarning, isSystemError } from './base/error.js';
import type { Plan } from './base/plan.js';
import { ringBytes } from './base/ring.js';
import { systemTimers } from './base/timers.js';
import { startApi } from './control/api/server.js';
import type { ApiServer } from './control/api/server.js';
import type { RouterActions } from './control/api/types.js';
import { loadConfig } from './control/config/index.js';
import { Checks } from './control/checks.js';
import { EventLog } from './control/event.js';
import { Hooks } from './control/hooks.js';
import { Instance } from './control/instance.js';
import { componentLog, createLog, logEvents } from './control/log.js';
import type { Log } from './control/log.js';
import { startMetrics } from './control/metrics/server.js';
import type { MetricsServer } from './control/metrics/server.js';
import { Notices } from './control/notice.js';
import { serverName } from './control/server-view.js';
import { ShareThread } from './control/share-thread.js';
import { serverSubjects, uncheckedServers, uplinkSubjects } from './control/subjects.js';
import { View } from './control/view.js';
import type { DataPlaneOptions, FromDataPlane, ToDataPlane } from './dataplane.js';
import { KIND_PACKET } from './link/batch.js';
import { BoxAddresses } from './link/box-addresses.js';
import { BRIDGE_RULES_SETTING, bridgedFramesMeetRules } from './link/bridge-rules.js';
import { Host } from './link/host.js';
import { hostEvents } from './link/host-events.js';
import type { HostWatch } from './link/host-events.js';
import type { OpenedLink } from './link/link.js';
import { native } from './link/native.js';
import { openLink } from './link/registry.js';
import { KernelOffload } from './offload.js';
import type { ShareOptions, ShareStatus } from './share/status.js';
import type { SharedMemory } from './stage/router.js';
import { countersBytes, countersShape } from './table/counters.js';
import { VIRTUAL_MAC_HIGH, VIRTUAL_MAC_LOW } from './table/elected.js';
import { flowTableBytes } from './table/flow.js';
import { leaseBoardBytes } from './table/lease-board.js';
import { neighbourTableBytes } from './table/neighbour.js';
import { formatMac } from './wire/address.js';
import { VRRP_GROUP_MAC_HIGH, VRRP_GROUP_MAC_LOW } from './wire/vrrp.js';

export interface DaemonOptions {
  version: string;
  /** Instead of control.logLevel. */
  logLevel?: string;
}

/** How long the data plane may take to come up, and to end. */
const START_MS = 10_000;
const STOP_MS = 2_000;
/** What waits to be written to the store has so long at the end: before the data plane ends, and after. */
const SHARE_STOP_MS = 1_500;
/** Words of the rings between data plane and share worker: what changes in a quarter of a second at 50,000 new flows a second, and some ten thousand records. */
const JOURNAL_WORDS = 1 << 20;
const INBOX_WORDS = 1 << 18;
/** Between two samples of what the rates are made of. */
const RATES_MS = 1_000;

/** Run until told to stop; gives the exit code. Throws ConfigErrors and system errors, with everything undone. */
export async function runDaemon(file: string, options: DaemonOptions): Promise<number> {
  const { plan, warnings } = loadConfig(file, { seed: randomInt(0x7fffffff) });
  const log = await createLog({ level: options.logLevel ?? plan.control.logLevel });
  for (const warning of warnings) log.warn(formatConfigWarning(warning));
  return new Daemon(plan, file, options.version, log).run();
}

class Daemon {
  private readonly plan: Plan;
  private readonly file: string;
  private readonly version: string;
  private readonly log: Log;
  private readonly events = new EventLog();
  private host: Host | undefined;
  private offload: KernelOffload | undefined;
  private boxAddresses: BoxAddresses | undefined;
  private readonly links: OpenedLink[] = [];
  /** As of the start: of one that has gone nothing can be asked. */
  private readonly hasTerminal = isatty(0) || isatty(2);
  private readonly memory: SharedMemory;
  private readonly mailbox = new SharedArrayBuffer(4);
  private readonly wakeFd: number;
  private readonly kernelDrops: number[];
  private worker: Worker | undefined;
  private api: ApiServer | undefined;
  private metrics: MetricsServer | undefined;
  private view: View | null = null;
  private watch: HostWatch | undefined;
  /** Null where nothing is shared. */
  private share: ShareThread | null = null;
  /** What is shared has been loaded, or is not to be had: elections may be won. */
  private isElectionReady = false;
  /** Who shows how sharing stands, as soon as there is somebody. */
  private onShareStatus: (status: ShareStatus) => void = () => undefined;
  private hooks: Hooks | undefined;
  private checks: Checks | undefined;
  private rates: NodeJS.Timeout | undefined;
  /** Settles when the daemon is to end, with its exit code. */
  private readonly ended: Promise<number>;
  private end: (code: number) => void = () => undefined;

  constructor(plan: Plan, file: string, version: string, log: Log) {
    this.plan = plan;
    this.file = file;
    this.version = version;
    this.log = log;
    this.kernelDrops = plan.links.map(() => 0);
    this.memory = {
      flows: new SharedArrayBuffer(flowTableBytes(plan.limits.flows)),
      counters: new SharedArrayBuffer(countersBytes(countersShape(plan))),
      neighbours: new SharedArrayBuffer(neighbourTableBytes(plan.limits.neighbours)),
      affinity: new SharedArrayBuffer(affinityBytes(plan.limits.affinity)),
      persistence: new SharedArrayBuffer(persistenceBytes(persistenceCapacity(plan))),
      ...(plan.share.store === 'memory' ? {} : {
        journal: new SharedArrayBuffer(ringBytes(JOURNAL_WORDS)), inbox: new SharedArrayBuffer(ringBytes(INBOX_WORDS)), leases: new SharedArrayBuffer(leaseBoardBytes(plan)),
      }),
    };
    this.wakeFd = native().eventfd();
    this.ended = new Promise((resolve) => { this.end = resolve; });
  }

  async run(): Promise<number> {
    // Hooks and scripts are other people's programs: what lets weir forward packets is not for them.
    native().dropAmbient();
    logEvents(componentLog(this.log, 'daemon'), this.events);
    const onSignal = (signal: NodeJS.Signals): void => this.onSignal(signal);
    const onHangUp = (): void => this.onHangUp();
    // Others tell their counters on these. Node's own answers would be a debugger on a port of this box, where anybody on it could take over a process with our
    // privileges, and the end.
    const onUser = (signal: NodeJS.Signals): void => this.log.warn({ signal }, 'weir does nothing on this signal: weir status tells how it stands');
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    process.on('SIGHUP', onHangUp);
    process.on('SIGUSR1', onUser);
    process.on('SIGUSR2', onUser);
    try {
      // The socket first: it tells whether another weir runs here, before anything of the box is touched.
      this.api = await startApi({
        events: this.events, version: this.version, configFile: this.file, socket: this.plan.control.socket,
        ...(this.plan.control.group === undefined ? {} : { group: this.plan.control.group }), log: componentLog(this.log, 'api'),
        hooks: () => this.hooks?.counts ?? null,
      });
      if (this.plan.control.metrics !== undefined) {
        this.metrics = await startMetrics({
          listen: this.plan.control.metrics, version: this.version, configFile: this.file, view: () => this.view, events: this.events, hooks: () => this.hooks?.counts ?? null,
          log: componentLog(this.log, 'metrics'),
        });
      }
      const hooks = new Hooks({ plan: this.plan.hooks, events: this.events, configFile: this.file });
      await hooks.start();
      this.hooks = hooks;
      await Promise.race([this.startShare(), this.ended]);
      const host = new Host({
        journalPath: `${this.plan.control.socket}.journal`, links: this.plan.links, pins: [...this.plan.uplinks, ...this.plan.realServers].flatMap(({ pin }) => (pin === undefined ? [] : [pin])),
      });
      this.host = host;
      for (const problem of host.problems) this.log.warn(problem);
      this.openLinks(host);
      this.boxAddresses = new BoxAddresses(this.plan, this.links, host);
      this.offload = new KernelOffload(this.plan, this.links, host);
      this.logOffload(this.offload);
      const view = new View({
        offload: this.offload, plan: this.plan, links: [...this.links], memory: this.memory, kernelDrops: (link) => this.kernelDropsOf(link), nowMs: () => performance.now(),
      });
      this.onShareStatus = (status) => view.sharing.set(status);
      const actions = this.actions(view);
      const serverHealth = (server: number, isUp: boolean, reason: string | null): void => this.tell({ type: 'serverHealth', server, isUp, reason });
      const checks = new Checks({
        seed: this.plan.seed, events: this.events, ask: (id, request) => this.tell({ type: 'probe', id, request }),
        unchecked: uncheckedServers(this.plan, { onHealth: serverHealth }),
        subjects: [
          ...uplinkSubjects(this.plan, {
            onStatus: (uplink, status) => view.setHealth(uplink, status),
            onHealth: (uplink, isHealthy, reason) => this.tell({ type: 'health', uplink, isHealthy, reason }),
          }),
          ...serverSubjects(this.plan, {
            onStatus: (server, status) => view.servers.setHealth(server, status),
            onHealth: serverHealth,
            onWeight: (server, weight) => this.onScriptWeight(view, actions, server, weight),
          }),
        ],
      });
      const notices = new Notices({ plan: this.plan, events: this.events, view, onProbe: (outcome) => checks.answered(outcome) });
      await this.startDataPlane(notices);
      if (this.isElectionReady) this.tell({ type: 'electionReady' });
      this.watch = hostEvents(host, this.links, (link, isUp, reason) => this.onLink(view, checks, link, isUp, reason));
      this.checks = checks;
      checks.start();
      this.rates = setInterval(() => view.sampleRates(), RATES_MS);
      this.api.serve(view, actions);
      this.view = view;
      this.events.emit('daemon.ready', 'weir', `forwarding over ${this.plan.links.length} links`);
      return await this.ended;
    } finally {
      await this.close();
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
      process.off('SIGHUP', onHangUp);
      process.off('SIGUSR1', onUser);
      process.off('SIGUSR2', onUser);
    }
  }

  /** From a terminal that goes away it is the end. From anybody else it asks to read the configuration anew, which must not end a router. */
  private onHangUp(): void {
    if (this.hasTerminal) this.onSignal('SIGHUP');
    else this.log.warn({ signal: 'SIGHUP' }, 'a changed configuration counts from the next start on: weir goes on as it is');
  }

  private onSignal(signal: NodeJS.Signals): void {
    this.log.info({ signal }, 'stopping');
    this.end(EXIT_OK);
    // The second one finds the default action again.
    process.removeAllListeners('SIGTERM');
    process.removeAllListeners('SIGINT');
  }

  /** Settles at once, or with share.require when the store can be used; then rejects when it cannot. */
  private async startShare(): Promise<void> {
    const { flows, counters, journal, inbox, leases } = this.memory;
    if (journal === undefined || inbox === undefined || leases === undefined) return;
    const incarnation = randomUUID();
    this.share = new ShareThread({
      instance: this.plan.share.instance, isRequired: this.plan.share.require, timers: systemTimers, nowMs: () => performance.now(),
      spawn: (isRestart, generation) => {
        const options: ShareOptions = { plan: this.plan, version: this.version, flows, counters, journal, inbox, leases, wakeFd: this.wakeFd, isRestart, generation, incarnation };
        return new Worker(new URL('./share/worker.js', import.meta.url), { workerData: options, name: 'weir-share' });
      },
      onStatus: (status) => this.onShareStatus(status),
      onEvent: ({ event, subject, message, fields }) => this.events.emit(event, subject, message, fields),
      onReady: () => {
        this.isElectionReady = true;
        this.tell({ type: 'electionReady' });
      },
    });
    await this.share.start();
  }

  private openLinks(host: Host): void {
    // The host link last: it gives the box the prefixes of all others.
    const order = [...this.plan.links].sort((a, b) => Number(a.type === 'tun') - Number(b.type === 'tun'));
    const opened = new Map<number, OpenedLink>();
    try {
      for (const link of order) {
        const device = openLink(link, host);
        opened.set(link.index, device);
        for (const { feature, code, syscall } of device.refused) this.log.info({ link: link.name, feature, code, syscall }, `${device.device} does without ${feature}`);
      }
      this.hearVirtualRouters(opened);
    } finally {
      for (const link of this.plan.links) {
        const device = opened.get(link.index);
        if (device !== undefined) this.links.push(device);
      }
    }
    if (this.plan.links.some(({ bridge, netns }) => bridge !== undefined && netns === undefined) && bridgedFramesMeetRules()) {
      this.log.warn(`frames on bridges also pass the box's own filter rules (${BRIDGE_RULES_SETTING} is 1); weir doctor -c FILE tells what that means`);
    }
    for (const error of host.undoUnclaimed()) this.log.warn({ err: error }, 'something an earlier run left could not be undone');
  }

  /** Frames to the MAC addresses of virtual routers, and their adverts, are to be had from devices that filter. */
  private hearVirtualRouters(opened: ReadonlyMap<number, OpenedLink>): void {
    for (const [index, device] of opened) {
      const here = this.plan.vrrp.filter(({ link }) => link === index);
      if (here.length === 0) continue;
      const refused = device.hear([formatMac(VRRP_GROUP_MAC_HIGH, VRRP_GROUP_MAC_LOW), ...here.flatMap(({ id, virtualMac }) => (virtualMac ? [formatMac(VIRTUAL_MAC_HIGH, VIRTUAL_MAC_LOW | id)] : []))]);
      for (const { feature, code, syscall } of refused) this.log.info({ link: device.plan.name, feature, code, syscall }, `${device.device} does without ${feature}`);
    }
  }

  private logOffload({ links, reason }: KernelOffload): void {
    if (reason !== null) this.log.info(`no flows are offloaded to the kernel: ${reason}`);
    else links.forEach((link, i) => { if (link.reason !== null) this.log.info({ link: this.plan.links[i].name }, `its flows are not offloaded to the kernel: ${link.reason}`); });
  }

  private async startDataPlane(notices: Notices): Promise<void> {
    const workerData: DataPlaneOptions = {
      plan: this.plan, memory: this.memory, wakeFd: this.wakeFd, mailbox: this.mailbox,
      offload: this.offload?.maps ?? null,
      devices: this.links.map(({ fd, vnet, kind, mac, mtu, offloads }, i) => ({ fd, vnet, kind, mac: mac ?? '', mtu, offloads, way: this.offload?.links[i].way ?? null })),
    };
    const worker = new Worker(new URL('./dataplane.js', import.meta.url), {
      workerData, name: 'weir-dataplane',
      // Nothing is allocated per packet; what little there is dies young.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    this.worker = worker;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the data plane did not come up within ${START_MS} ms`)), START_MS);
      worker.on('error', (error) => {
        clearTimeout(timer);
        reject(error);
        this.log.fatal({ err: error }, 'the data plane failed');
        this.end(EXIT_FAILED);
      });
      worker.on('message', (message: FromDataPlane) => {
        if (message.type === 'notice') {
          const { notice } = message;
          notices.take(notice);
          // Who becomes master fences the one before, whose late writes must not win.
          if (notice.event === 'vrrp') {
            this.share?.role(this.plan.vrrp[notice.virtualRouter].name, notice.state === 'master');
            this.giveBox(notice.virtualRouter, notice.state === 'master');
          }
        }
        if (message.type !== 'ready') return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Put a message where the worker finds it after its turn. */
  private tell(message: ToDataPlane): void {
    this.worker?.postMessage(message);
    Atomics.store(new Int32Array(this.mailbox), 0, 1);
    native().wake(this.wakeFd);
  }

  /** The box has a virtual router's addresses while we do. */
  private giveBox(virtualRouter: number, isMaster: boolean): void {
    try {
      this.reportUndo(this.boxAddresses?.set(virtualRouter, isMaster) ?? []);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.log.warn({ err: error, virtualRouter: this.plan.vrrp[virtualRouter].name }, 'the box could not be given the addresses of a virtual router');
    }
  }

  private onLink(view: View, checks: Checks, index: number, isUp: boolean, reason: string | null): void {
    if (!view.setLink(index, isUp, reason)) return;
    this.tell({ type: 'link', index, isUp, hasPeer: isUp && (this.offload?.hasPeer(this.links[index]) ?? false) });
    const { name } = this.plan.links[index];
    const why = reason === null ? '' : `: ${reason}`;
    // The cause is told before what follows from it: the checks tell of the uplinks that the link takes with it.
    this.events.emit(isUp ? 'link.up' : 'link.down', name, `link ${name} is ${isUp ? 'up' : 'down'}${why}`, { link: name, reason, severity: isUp ? 'info' : 'warning' });
    checks.carrier(index, isUp);
  }

  /** The script of a real server's check asks for another weight than it did before. */
  private onScriptWeight(view: View, actions: RouterActions, index: number, weight: number): void {
    const server = serverName(this.plan, index);
    const { virtualServer, name } = this.plan.realServers[index];
    const before = view.servers.server(index).weight;
    actions.weightServer(index, weight);
    if (weight === before) return;
    this.events.emit('server.weight', server, `the weight of server ${server} was set to ${weight} by the script of its check; it was ${before}`,
      { server, virtualServer: this.plan.virtualServers[virtualServer].name, realServer: name, weight, before });
  }

  /** What may be changed while it runs: the data plane is told, and the view, so that the next answer shows it. */
  private actions(view: View): RouterActions {
    const instance = new Instance({ view, share: () => this.share, resign: (isDrained) => this.tell({ type: 'electionDrain', isDrained }) });
    return {
      drain: (uplink, isDrained) => {
        view.setDrained(uplink, isDrained);
        this.tell({ type: 'drain', uplink, isDrained });
      },
      weight: (uplink, weight) => {
        view.setWeight(uplink, weight);
        this.tell({ type: 'weight', uplink, weight });
      },
      drainServer: (server, isDrained, isFlushed, reason) => {
        view.servers.setDrained(server, isDrained, reason);
        this.tell({ type: 'serverDrain', server, isDrained, isFlushed });
      },
      weightServer: (server, weight) => {
        view.servers.setWeight(server, weight);
        this.tell({ type: 'serverWeight', server, weight });
      },
      drainInstance: (isDrained) => instance.drain(isDrained),
      leases: () => instance.leases(),
      eraseAffinity: (address) => {
        this.tell({ type: 'eraseAffinity', address });
        this.tell({ type: 'erasePersistence', address });
      },
    };
  }

  /** The kernel forgets what it has told, so the sum is ours. */
  private kernelDropsOf(link: number): number {
    const device = this.links[link];
    if (device?.kind === KIND_PACKET) this.kernelDrops[link] += native().packetStatistics(device.fd).drops;
    return this.kernelDrops[link];
  }

  private async close(): Promise<void> {
    clearInterval(this.rates);
    this.checks?.stop();
    this.watch?.close();
    // First, so that whoever takes over from us finds all flows in the store; what happens until the data plane has ended is written then.
    await this.share?.flush(SHARE_STOP_MS);
    await this.stopDataPlane();
    await this.share?.stop(SHARE_STOP_MS);
    for (const link of this.links.splice(0).reverse()) this.reportUndo(link.close());
    this.reportUndo(this.host?.close() ?? []);
    this.offload?.close();
    await this.hooks?.close();
    await this.metrics?.close();
    // Last, for it is what keeps a second weir out.
    await this.api?.close();
    native().closeFd(this.wakeFd);
    this.log.info('stopped');
  }

  private async stopDataPlane(): Promise<void> {
    const { worker } = this;
    if (worker === undefined) return;
    const gone = new Promise<void>((resolve) => { worker.once('exit', () => resolve()); });
    this.tell({ type: 'stop' });
    const timer = setTimeout(() => {
      this.log.error(`the data plane did not end within ${STOP_MS} ms`);
      void worker.terminate();
    }, STOP_MS);
    await gone;
    clearTimeout(timer);
  }

  private reportUndo(errors: readonly Error[]): void {
    for (const error of errors) this.log.warn({ err: error }, 'something could not be undone');
  }
}
