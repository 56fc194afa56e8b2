/**
 * The worker thread that forwards. It builds a Router from a plan and loops `turn`; it never returns to Node's event loop while it runs, so the
 * only things it waits for are its devices and the wake-up eventfd.
 *
 * Told by the main thread: `link` (a device came up or went down), `health` (what an uplink's check has found), `weight` and `drain` (what a
 * person wants of an uplink), `serverHealth`, `serverWeight` and `serverDrain` (the same of a real server), `probe` (ask something by an uplink, or a real
 * server), `eraseAffinity`, `erasePersistence`, `electionReady`, `electionDrain`, `stop`. Tells the main thread: `ready`, `notice`, `stopped`.
 */
import { isMainThread, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { systemClock } from './base/clock.js';
import type { Plan } from './base/plan.js';
import { Exchange } from './link/exchange.js';
import { native } from './link/native.js';
import { MapDevice } from './offload.js';
import type { OffloadMaps } from './offload.js';
import { turn } from './pipeline.js';
import type { ProbeRequest } from './stage/probe.js';
import { Router } from './stage/router.js';
import type { LinkDevice, Notice, SharedMemory } from './stage/router.js';
import { LONGEST_TURN_US, NOW_MS, TURNS } from './table/counters.js';
import { VirtualRouters } from './vrrp/virtual-routers.js';
import { parseIpv4 } from './wire/address.js';

/** An opened device as the worker needs it. */
export interface WorkerDevice extends LinkDevice { fd: number; vnet: boolean }

export interface DataPlaneOptions {
  plan: Plan;
  devices: WorkerDevice[];
  memory: SharedMemory;
  /** eventfd that ends a wait. */
  wakeFd: number;
  /** The maps of offloaded flows; null = none are. */
  offload: OffloadMaps | null;
  /** One word: not 0 = messages wait on the port. */
  mailbox: SharedArrayBuffer;
}

export type ToDataPlane =
  | { type: 'link'; index: number; isUp: boolean; hasPeer: boolean }
  | { type: 'health'; uplink: number; isHealthy: boolean; /** The check's phrase for what is wrong. */ reason?: string | null }
  | { type: 'weight'; uplink: number; weight: number }
  | { type: 'drain'; uplink: number; isDrained: boolean }
  /** What a real server's check has found; the weight a script has given it. */
  | { type: 'serverHealth'; server: number; isUp: boolean; reason?: string | null; weight?: number }
  | { type: 'serverWeight'; server: number; weight: number }
  /** isFlushed: the flows it has end now. */
  | { type: 'serverDrain'; server: number; isDrained: boolean; isFlushed: boolean }
  | { type: 'probe'; id: number; request: ProbeRequest }
  /** null = all of it. */
  | { type: 'eraseAffinity'; address: string | null }
  | { type: 'erasePersistence'; address: string | null }
  /** Everything shared has been loaded, or cannot be had: the election may take part, or not any more. Not needed while nothing is shared. */
  | { type: 'electionReady' }
  /** Resign from every virtual router and stand aside, or take part again. */
  | { type: 'electionDrain'; isDrained: boolean }
  | { type: 'stop' };
export type FromDataPlane = { type: 'ready' } | { type: 'notice'; notice: Notice } | { type: 'stopped' };

/** The longest the worker sleeps: the flow table's second must go on. */
const IDLE_MS = 1000;
/** The longest it waits for another router to take over when it ends. */
const RESIGN_MS = 1000;

function run(options: DataPlaneOptions, port: NonNullable<typeof parentPort>): void {
  const { plan, devices, memory } = options;
  const tell = (message: FromDataPlane): void => port.postMessage(message);
  let router: Router | undefined;
  const exchange = new Exchange((link) => router?.countSendError(link));
  router = new Router(plan, devices, exchange, memory, systemClock, (notice) => tell({ type: 'notice', notice }),
    options.offload === null ? null : new MapDevice(options.offload));
  // Before any of it is touched: pages that exist are not exchanged.
  for (const array of [exchange.u8, ...router.flows.arrays]) native().useHugePages(array);
  router.fib.settle((array) => native().useHugePages(array));
  const io = native().createIo(exchange.u8, exchange.rx, exchange.tx, options.wakeFd);
  devices.forEach((device, index) => io.attach(index, device.fd, device.kind, device.vnet));
  exchange.connect(io);
  const mailbox = new Int32Array(options.mailbox);
  const { counters } = router;
  if (plan.vrrp.length > 0) router.election = new VirtualRouters(router);

  const readMail = (): boolean => {
    Atomics.store(mailbox, 0, 0);
    for (let mail = receiveMessageOnPort(port); mail !== undefined; mail = receiveMessageOnPort(port)) {
      const message = mail.message as ToDataPlane;
      switch (message.type) {
        case 'link':
          router.offload.setPeer(message.index, message.hasPeer);
          router.setLinkUp(message.index, message.isUp);
          break;
        case 'health': router.setUplinkHealth(message.uplink, message.isHealthy, message.reason ?? null); break;
        case 'weight': router.setUplinkWeight(message.uplink, message.weight); break;
        case 'drain': router.setUplinkDrained(message.uplink, message.isDrained); break;
        case 'serverHealth': router.setServerHealth(message.server, message.isUp, message.reason ?? null, message.weight); break;
        case 'serverWeight': router.setServerWeight(message.server, message.weight); break;
        case 'serverDrain': router.setServerDrained(message.server, message.isDrained, message.isFlushed); break;
        case 'probe': router.probes.ask(message.id, message.request); break;
        case 'eraseAffinity': router.affinity.erase(message.address === null ? null : parseIpv4(message.address)); break;
        case 'erasePersistence': router.virtualServers.persistence.erase(message.address === null ? null : parseIpv4(message.address)); break;
        case 'electionReady': router.election?.setReady(); break;
        case 'electionDrain': router.election?.setDrained(message.isDrained); break;
        case 'stop': return false;
      }
    }
    return true;
  };

  tell({ type: 'ready' });
  let isRunning = true;
  while (isRunning) {
    turn(router, IDLE_MS);
    counters.addRouter(TURNS, 1);
    counters.setRouter(NOW_MS, router.nowMs);
    const tookUs = (systemClock.nowMs() - router.nowMs) * 1000;
    if (tookUs > counters.getRouter(LONGEST_TURN_US)) counters.setRouter(LONGEST_TURN_US, tookUs);
    if (Atomics.load(mailbox, 0) !== 0) isRunning = readMail();
  }
  resign(router);
  router.offload.stop();
  // Who has asked is told that no answer will come.
  router.probes.close();
  // What the last turn made still leaves.
  exchange.flush();
  io.close();
  tell({ type: 'stopped' });
  port.close();
}

/** Another router is to have the virtual routers' addresses before this one is gone, if there is one: packets go on until it is heard. */
function resign(router: Router): void {
  const { election } = router;
  if (election === null) return;
  election.setDrained(true);
  const untilMs = router.nowMs + RESIGN_MS;
  do turn(router, IDLE_MS); while (!election.isAtRest && router.nowMs < untilMs);
}

if (!isMainThread && parentPort !== null) run(workerData as DataPlaneOptions, parentPort);
