/** Virtual servers for a rig, from as little as a test wants to say. */
import type { Plan, RealServerPlan, VirtualServerPlan } from '../../src/base/plan.js';
import type { RealServer } from '../../src/balance/virtual-server.js';
import * as make from './frames.js';
import type { LinkName, Rig, Sent } from './rig.js';

const { PROTOCOL } = make;

export interface ServerWant extends Partial<Omit<VirtualServerPlan, 'index' | 'realServers' | 'sorry' | 'addresses' | 'scheduler'>> {
  addresses: string | string[];
  scheduler?: VirtualServerPlan['scheduler']['name'] | VirtualServerPlan['scheduler'];
  realServers: (Partial<Omit<RealServerPlan, 'index' | 'virtualServer'>> & { address: string })[];
  sorry?: { address: string; port?: number };
}

/** The parts of a plan that say so; a port where there is one (`port`), else all that `ports` says. */
export function servers(...wanted: ServerWant[]): Pick<Plan, 'virtualServers' | 'realServers'> {
  const realServers: RealServerPlan[] = [];
  const virtualServers = wanted.map(({ addresses, scheduler = 'rr', realServers: reals, sorry, ...rest }, index): VirtualServerPlan => {
    const add = (want: ServerWant['realServers'][number], name: string): number => {
      const number = realServers.length;
      realServers.push({ index: number, name, virtualServer: index, weight: 1, upper: 0, lower: 0, ...want });
      return number;
    };
    const numbers = reals.map((want, i) => add(want, want.name ?? `rs${i + 1}`));
    const sorryIndex = sorry === undefined ? undefined : add({ weight: 0, ...sorry }, 'sorry');
    return {
      index, name: `vs${index + 1}`, addresses: Array.isArray(addresses) ? addresses : [addresses], protocols: [PROTOCOL.tcp], ports: { first: 80, last: 80 },
      onePacket: false, slowStart: 0, onServerDown: 'reset', quorum: { weight: 1, hysteresis: 0 }, snat: 'auto', ...rest,
      scheduler: typeof scheduler === 'string' ? { name: scheduler, hashPort: false, fallBack: false } : scheduler, realServers: numbers,
      ...(sorryIndex === undefined ? {} : { sorry: sorryIndex }),
    };
  });
  return { virtualServers, realServers };
}

/** The real server of this address. */
export function realServer(of: Rig, address: string): RealServer {
  const found = of.router.plan.realServers.find((plan) => plan.address === address);
  if (found === undefined) throw new Error(`no real server ${address}`);
  return of.router.virtualServers.servers[found.index];
}

/** Where a frame goes, or comes from, at the transport: `address:port`. */
export function towards({ packet }: Sent): string { return `${make.formatAddress(packet.subarray(16, 20))}:${packet.readUInt16BE((packet[0] & 15) * 4 + 2)}`; }
export function origin({ packet }: Sent): string { return `${make.formatAddress(packet.subarray(12, 16))}:${packet.readUInt16BE((packet[0] & 15) * 4)}`; }

export interface CallWant { link?: LinkName; client?: string; port?: number; to: string; toPort?: number; protocol?: 'tcp' | 'udp' }

/** One client's flow to a virtual server, spoken by both its ends: each answers what it has been sent, wherever that was. */
export class Call {
  /** Whose router its packets come to. */
  rig: Rig;
  readonly want: Required<CallWant>;
  /** The last packet each end was sent, as it arrived there. */
  toServer: Sent | null = null;
  toClient: Sent | null = null;
  private readonly numbers: [number, number] = [1000, 70_000];

  constructor(rig: Rig, want: CallWant) {
    this.rig = rig;
    this.want = { link: 'wan1', client: '198.51.100.77', port: 40_000, toPort: 80, protocol: 'tcp', ...want };
  }

  /** What the client says. */
  packet(flags = 'S', length = 0): Buffer {
    const { client: source, to: destination, port: sourcePort, toPort: destinationPort, protocol } = this.want;
    if (protocol === 'udp') return make.ipv4({ source, destination }, make.udp({ sourcePort, destinationPort, payload: make.filler(length) }));
    const [sequence, acknowledgement] = this.numbers;
    const said = make.tcp({ sourcePort, destinationPort, flags, sequence, payload: make.filler(length), ...(flags.includes('A') ? { acknowledgement } : {}) });
    if (flags.includes('S') || flags.includes('F')) this.numbers[0]++;
    this.numbers[0] += length;
    return make.ipv4({ source, destination }, said);
  }

  say(flags = 'S', length = 0): Sent[] {
    const sent = this.rig.from(this.want.link, this.packet(flags, length));
    if (sent.length > 0) this.toServer = sent[0];
    return sent;
  }

  /** What the server says to who called it, by the link it was called on. */
  answer(flags = 'SA', length = 0): Sent[] {
    if (this.toServer === null) throw new Error('the server has heard nothing');
    const [source, sourcePort] = towards(this.toServer).split(':');
    const [destination, destinationPort] = origin(this.toServer).split(':');
    const ports = { sourcePort: Number(sourcePort), destinationPort: Number(destinationPort) };
    const [acknowledgement, sequence] = this.numbers;
    const said = this.want.protocol === 'udp' ? make.udp({ ...ports, payload: make.filler(length) })
      : make.tcp({ ...ports, flags, sequence, payload: make.filler(length), ...(flags.includes('A') ? { acknowledgement } : {}) });
    if (this.want.protocol === 'tcp') this.numbers[1] += length + (flags.includes('S') || flags.includes('F') ? 1 : 0);
    const sent = this.rig.from(this.toServer.link, make.ipv4({ source, destination }, said));
    if (sent.length > 0) this.toClient = sent[0];
    return sent;
  }

  /** Where the flow's packets go. */
  get server(): string { return this.toServer === null ? 'nowhere' : towards(this.toServer); }

  /** Open it to the end of the handshake; UDP: a question and its answer. Returns where it went. */
  open(): string {
    this.say();
    this.answer();
    if (this.want.protocol === 'tcp') this.say('A');
    return this.server;
  }

  /** Both ends close it. */
  close(): void {
    this.say('FA');
    this.answer('FA');
    this.say('A');
  }
}
