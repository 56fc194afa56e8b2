/**
 * The whole life of a TCP flow through SNAT without devices: opened, one request, one answer, closed by the far end, expired. Every flow has a tuple
 * that was not there before, from eight inside addresses that use the same ports; so many flows at once as fit a batch, a turn per step. What a flow
 * costs its thread of a CPU, by step. Prints one JSON line.
 *
 *     node --expose-gc life.js ROUNDS
 */
import { RX_AT, RX_FRAME_AT, RX_LENGTH_BYTES, RX_LINK, RX_VLAN_TCI, RX_WORDS, BATCH_MAX, HEADROOM, TX_FRAME_AT, TX_LINK, TX_WORDS } from '../../src/link/batch.js';
import type { BatchDevice, Exchange } from '../../src/link/exchange.js';
import { turn } from '../../src/pipeline.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { fold } from '../../src/wire/checksum.js';
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, writeEthernet } from '../../src/wire/ethernet.js';
import { FLAG_DF, IPV4_HEADER, PROTOCOL_TCP, writeIpv4 } from '../../src/wire/ipv4.js';
import { ACK, FIN, PSH, SYN, TCP_HEADER } from '../../src/wire/tcp.js';
import { quantile } from '../report/statistics.js';
import { Rig } from './rig.js';
import type { Port } from './ring.js';
import { ThreadTime } from './thread-time.js';

const CLIENTS = 8;
const PORTS = 8192;
const FIRST_PORT = 10_000;
const SERVER_PORT = 443;
const FIRST_CLIENT = parseIpv4('10.0.0.10');
const FIRST_SERVER = parseIpv4('198.18.0.1');
const MESSAGE = 64;
/** Flows of one round; they expire at its end. */
const ROUND = 1024;
const WARM_ROUNDS = 100;
const LOW = 0.05;
/** Longer than the closing timer, 4 minutes, and the rest of a port. */
const PAUSE_MS = 400_000;
const SLOT_BYTES = (HEADROOM - ETHERNET_LENGTH + ETHERNET_LENGTH + 40 + MESSAGE + 3) & ~3;
/** Words of a template, and how far before the IP header it begins. */
const WORDS = 16;
const LEAD = 24;

interface Step { name: string; outward: boolean; flags: number; seq: number; ack: number; payload: number }
const out = (name: string, flags: number, seq: number, ack: number, payload = 0): Step => ({ name, outward: true, flags, seq, ack, payload });
const back = (name: string, flags: number, seq: number, ack: number, payload = 0): Step => ({ name, outward: false, flags, seq, ack, payload });
const END = MESSAGE + 1;
const STEPS: readonly Step[] = [
  out('SYN', SYN, 0, 0), back('SYN-ACK', SYN | ACK, 0, 1), out('ACK', ACK, 1, 1), out('request', PSH | ACK, 1, 1, MESSAGE), back('its ACK', ACK, 1, END),
  back('answer', PSH | ACK, 1, END, MESSAGE), back('FIN', FIN | ACK, END, END), out('ACK of answer', ACK, END, END), out('FIN back', FIN | ACK, END, END + 1),
  back('last ACK', ACK, END + 1, END + 1),
];

/** A step's frame by the port it comes in by. */
class Template {
  readonly words = new Int32Array(WORDS);
  readonly sum: number;
  readonly bytes: number;
  constructor({ flags, seq, ack, payload }: Step, port: Port) {
    const view = new DataView(this.words.buffer);
    const frameAt = LEAD - ETHERNET_LENGTH;
    writeEthernet(view, frameAt, port.macHigh, port.macLow, port.farHigh, port.farLow, ETHERTYPE_IPV4);
    writeIpv4(view, LEAD, IPV4_HEADER + TCP_HEADER + payload, 1, FLAG_DF, 64, PROTOCOL_TCP, 0, 0);
    this.sum = ~view.getUint16(LEAD + 10) & 0xffff;
    view.setInt32(LEAD + IPV4_HEADER + 4, seq);
    view.setInt32(LEAD + IPV4_HEADER + 8, ack);
    view.setUint16(LEAD + IPV4_HEADER + 12, ((TCP_HEADER / 4) << 12) | flags);
    view.setUint16(LEAD + IPV4_HEADER + 14, 65535);
    this.bytes = Math.max(60, ETHERNET_LENGTH + IPV4_HEADER + TCP_HEADER + payload);
  }
}

/** The device: lays out a batch of one step, and learns from the SYNs that leave what each flow bears outside. */
class LifeRing implements BatchDevice {
  /** First flow of the batch, and the step it is at; NONE = nothing to lay out. */
  first = 0;
  step = -1;
  private learns = false;
  private readonly rx: Int32Array;
  private readonly tx: Int32Array;
  private readonly view: DataView;
  private readonly words: Int32Array;
  private readonly ports: readonly Port[];
  private readonly templates: readonly (readonly Template[])[];
  private readonly linkOf = new Int32Array(BATCH_MAX);
  private readonly portOf = new Int32Array(BATCH_MAX);

  constructor(exchange: Exchange, ports: readonly Port[]) {
    this.rx = exchange.rx;
    this.tx = exchange.tx;
    this.view = exchange.view;
    this.words = new Int32Array(exchange.arena);
    this.ports = ports;
    this.templates = STEPS.map((step) => ports.map((port) => new Template(step, port)));
  }

  turn(txCount: number): number {
    if (this.learns && txCount > 0) this.learn(txCount);
    if (this.step < 0) return 0;
    const { outward } = STEPS[this.step];
    const templates = this.templates[this.step];
    for (let i = 0; i < BATCH_MAX; i++) this.lay(i, outward, templates[outward ? 0 : this.linkOf[i]]);
    this.learns = this.step === 0;
    this.step = -1;
    return BATCH_MAX;
  }

  flush(): number { return 0; }

  private learn(txCount: number): void {
    if (txCount !== BATCH_MAX) throw new Error(`${txCount} SYNs left where ${BATCH_MAX} came in`);
    for (let i = 0; i < txCount; i++) {
      this.linkOf[i] = this.tx[i * TX_WORDS + TX_LINK];
      this.portOf[i] = this.view.getUint16(this.tx[i * TX_WORDS + TX_FRAME_AT] + ETHERNET_LENGTH + IPV4_HEADER);
    }
    this.learns = false;
  }

  private lay(i: number, outward: boolean, template: Template): void {
    const ipAt = RX_AT + i * SLOT_BYTES + HEADROOM;
    const { words, view } = this;
    const from = template.words;
    const to = (ipAt - LEAD) >> 2;
    for (let w = 0; w < WORDS; w++) words[to + w] = from[w];
    const f = this.first + i;
    const port = this.ports[outward ? 0 : this.linkOf[i]];
    const endpoint = f % (CLIENTS * PORTS);
    const server = FIRST_SERVER + Math.floor(f / (CLIENTS * PORTS));
    const inside = outward ? FIRST_CLIENT + (endpoint & (CLIENTS - 1)) : port.address;
    const insidePort = outward ? FIRST_PORT + (endpoint >>> 3) : this.portOf[i];
    const source = outward ? inside : server;
    const destination = outward ? server : inside;
    view.setInt32(ipAt + 12, source);
    view.setInt32(ipAt + 16, destination);
    view.setUint16(ipAt + 10, ~fold(template.sum + (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff)) & 0xffff);
    view.setInt32(ipAt + IPV4_HEADER, outward ? (insidePort << 16) | SERVER_PORT : (SERVER_PORT << 16) | insidePort);
    const at = i * RX_WORDS;
    this.rx[at + RX_LINK] = port.link;
    this.rx[at + RX_FRAME_AT] = ipAt - ETHERNET_LENGTH;
    this.rx[at + RX_LENGTH_BYTES] = template.bytes;
    this.rx[at + RX_VLAN_TCI] = -1;
  }
}

/**
 * Nanoseconds of a CPU a flow costs: by step, what its end costs, and altogether. The harness's own cost is taken off. Of the rounds the least twentieth
 * counts: what somebody else does on the same core to caches and clocks only ever makes a round longer.
 */
export interface LifeResult { steps: Record<string, number>; expiry: number; whole: number; harness: number }

function measure(rounds: number): LifeResult {
  let pausedMs = 0;
  const rig = new Rig({ flows: 0, frameBytes: 60 }, 65536, { nowMs: () => performance.now() + pausedMs });
  const { router, exchange } = rig;
  const ring = new LifeRing(exchange, [rig.lan, ...rig.wans]);
  exchange.connect(ring);
  const time = new ThreadTime();
  const sums = new Float64Array(STEPS.length + 1);
  let next = 0;
  const round = (isEmpty: boolean): number => {
    sums.fill(0);
    for (const end = next + ROUND; next < end; next += BATCH_MAX) {
      ring.first = next;
      let beforeMs = time.cpuMs();
      for (let step = 0; step < STEPS.length; step++) {
        ring.step = step;
        if (isEmpty) ring.turn(0);
        else turn(router, 0);
        const nowMs = time.cpuMs();
        sums[step] += nowMs - beforeMs;
        beforeMs = nowMs;
      }
      if (!isEmpty) turn(router, 0);
    }
    const beforeMs = time.cpuMs();
    if (!isEmpty) {
      if (router.flows.count !== ROUND) throw new Error(`${router.flows.count} flows where ${ROUND} were opened`);
      pausedMs += PAUSE_MS;
      do turn(router, 0); while (router.flows.count > 0);
      sums[STEPS.length] = time.cpuMs() - beforeMs;
      rig.meetAll();
    }
    for (let i = 0; i < sums.length; i++) sums[i] *= 1e6 / ROUND;
    return sums.reduce((total, ns) => total + ns, 0);
  };
  // What a link says when it comes up is not to be taken for a SYN.
  for (let i = 0; i < 5; i++, pausedMs += 1000) turn(router, 0);
  for (let i = 0; i < WARM_ROUNDS; i++) round(false);
  for (let i = 0; i < WARM_ROUNDS; i++) round(true);
  globalThis.gc?.();
  const empties: number[][] = [], emptySums: number[] = [], lives: number[][] = [], lifeSums: number[] = [];
  for (let i = 0; i < rounds; i++) {
    lifeSums.push(round(false));
    lives.push([...sums]);
    emptySums.push(round(true));
    empties.push([...sums]);
  }
  const low = (values: readonly number[]): number => quantile(values, LOW);
  const net = (i: number): number => low(lives.map((life) => life[i])) - low(empties.map((empty) => empty[i]));
  const harness = low(emptySums);
  return { steps: Object.fromEntries(STEPS.map(({ name }, i) => [name, net(i)])), expiry: net(STEPS.length), whole: low(lifeSums) - harness, harness };
}

console.log(JSON.stringify(measure(Number(process.argv[2]))));
