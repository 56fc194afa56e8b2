/** A whole router on a FlowRing: two uplinks with SNAT, neighbours known, any number of established flows. */
import { ringBytes } from '../../src/base/ring.js';
import { compileConfig } from '../../src/control/config/load.js';
import type { Plan } from '../../src/base/plan.js';
import { affinityBytes } from '../../src/balance/affinity.js';
import { persistenceBytes, persistenceCapacity } from '../../src/balance/persistence.js';
import { V } from '../../src/base/verdict.js';
import { systemClock } from '../../src/base/clock.js';
import type { Clock } from '../../src/base/clock.js';
import { KIND_TAP, OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4 } from '../../src/link/batch.js';
import { Exchange } from '../../src/link/exchange.js';
import { turn } from '../../src/pipeline.js';
import { Router } from '../../src/stage/router.js';
import type { SharedMemory } from '../../src/stage/router.js';
import { countersBytes, countersShape } from '../../src/table/counters.js';
import { flowTableBytes, HEADER_HIGH, UPLINK } from '../../src/table/flow.js';
import { neighbourTableBytes } from '../../src/table/neighbour.js';
import { parseIpv4, V4_MAPPED } from '../../src/wire/address.js';
import { FlowRing, HOSTS } from './ring.js';
import type { Mix, Port } from './ring.js';

const CONFIG = `
links:
  lan: { type: tap, device: lan, addresses: [10.0.0.1/24] }
  wan1: { type: tap, device: wan1, addresses: [198.51.100.2/24] }
  wan2: { type: tap, device: wan2, addresses: [203.0.113.2/24] }
uplinks:
  isp1: { link: wan1, gateway: 198.51.100.1 }
  isp2: { link: wan2, gateway: 203.0.113.1 }
groups:
  internet: { uplinks: [isp1, isp2] }
routes:
  default: { to: 0.0.0.0/0, group: internet }
limits: { neighbours: 1024 }
timeouts: { tcpOpening: 2h, neighbourReachable: 1h }
`;
/** Handshakes under way at once while flows are established. */
const HANDSHAKES = 8192;
const SEED = 1;
const OFFLOADS = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_ECN;
const NEIGHBOURS: readonly [link: number, address: string][] = [[1, '198.51.100.1'], [2, '203.0.113.1']];

const macOf = (link: number): string => `02:00:00:00:00:0${link}`;
const FAR_HIGH = 0x0200;
const FAR_LOW = 0x00000100;

function port(plan: Plan, link: number): Port {
  return { link, macHigh: 0x0200, macLow: link, farHigh: FAR_HIGH, farLow: FAR_LOW, address: parseIpv4(plan.links[link].addresses[0].address) };
}

export class Rig {
  readonly plan: Plan;
  readonly memory: SharedMemory;
  readonly exchange: Exchange;
  readonly router: Router;
  readonly lan: Port;
  readonly wans: readonly Port[];
  readonly ring: FlowRing;
  readonly mix: Mix;
  /** What the first packets took, all together. */
  openMs = 0;
  /** Entries of the flow table whose uplinks the ring knows. */
  private learned = 0;

  /**
   * @param capacity flows the table has room for; as many as the mix has, if absent. @param ringWords words of the rings to and from a share worker; 0 =
   * nothing is shared.
   */
  constructor(mix: Mix, capacity = Math.max(1024, mix.flows), clock: Clock = systemClock, ringWords = 0) {
    this.mix = mix;
    const { plan } = compileConfig([{ file: 'bench.yaml', text: CONFIG }], { generation: 1, seed: SEED });
    this.plan = { ...plan, limits: { ...plan.limits, flows: capacity } };
    this.memory = {
      flows: new SharedArrayBuffer(flowTableBytes(capacity)),
      counters: new SharedArrayBuffer(countersBytes(countersShape(plan))),
      neighbours: new SharedArrayBuffer(neighbourTableBytes(plan.limits.neighbours)),
      affinity: new SharedArrayBuffer(affinityBytes(plan.limits.affinity)),
      ...(ringWords === 0 ? {} : { journal: new SharedArrayBuffer(ringBytes(ringWords)), inbox: new SharedArrayBuffer(ringBytes(ringWords)) }),
      persistence: new SharedArrayBuffer(persistenceBytes(persistenceCapacity(plan))),
    };
    this.exchange = new Exchange(() => undefined);
    this.router = new Router(
      this.plan, plan.links.map((link) => ({ kind: KIND_TAP, mac: macOf(link.index), mtu: 1500, offloads: OFFLOADS })),
      this.exchange, this.memory, clock, () => undefined);
    this.lan = port(plan, 0);
    this.wans = [port(plan, 1), port(plan, 2)];
    this.ring = new FlowRing(this.exchange, this.lan, this.wans, mix);
    this.exchange.connect(this.ring);
    for (let link = 0; link < plan.links.length; link++) this.router.setLinkUp(link, true);
    this.meetAll();
  }

  /** Every neighbour answers, again if it has before. */
  meetAll(): void {
    for (let i = 0; i < HOSTS; i++) this.meet(0, parseIpv4('10.0.0.10') + i);
    for (const [link, address] of NEIGHBOURS) this.meet(link, parseIpv4(address));
  }

  /** Ask for a neighbour and have it answer. */
  private meet(link: number, address: number): void {
    const { router } = this;
    if (router.neighbours.find(link, 0, 0, V4_MAPPED, address) === -1) router.neighbours.solicit(link, 0, 0, V4_MAPPED, address, router.nowMs);
    router.neighbours.learn(link, address, FAR_HIGH, FAR_LOW, true, true, V4_MAPPED, router.nowMs);
  }

  /** Play a phase to its end. */
  play(phase: Parameters<FlowRing['play']>[0], packets: number): void {
    this.ring.play(phase, packets);
    while (!this.ring.isDone) turn(this.router, 0);
    turn(this.router, 0);
  }

  /** SYN, SYN-ACK and ACK of every flow, some flows at a time: what waits for its answer in a table that fills up is not kept for long. Throws when one of them was refused. */
  establish(): void {
    const { flows } = this.mix;
    this.openMs = 0;
    for (let done = 0; done < flows; done += HANDSHAKES) {
      const count = Math.min(HANDSHAKES, flows - done);
      const startMs = performance.now();
      this.play('open', count);
      this.openMs += performance.now() - startMs;
      this.learnUplinks();
      for (const phase of ['answer', 'establish'] as const) {
        this.ring.rewind(count);
        this.play(phase, count);
      }
    }
    if (this.router.flows.count !== flows) throw new Error(`${this.router.flows.count} flows where ${flows} were opened`);
    if (this.router.windows.strange > 0) throw new Error(`${this.router.windows.strange} segments fitted no window`);
  }

  /** Packets of the mix that have left; what the router made itself is not among them. */
  get forwarded(): number {
    const { counters, links } = this.router;
    return links.reduce((total, link) => total + counters.verdict(link.index, V.SENT), 0);
  }

  /** Of the entries that are new since the last call. */
  private learnUplinks(): void {
    const { words } = this.router.flows;
    for (let entry = this.learned; entry < words[HEADER_HIGH]; entry++) {
      const at = this.router.flows.at(entry);
      this.ring.uplinkOf[FlowRing.flowOf(words[at + 8] >>> 16, words[at + 7])] = words[at + UPLINK];
    }
    this.learned = words[HEADER_HIGH];
  }
}
