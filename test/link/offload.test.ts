/**
 * The offload's programs in this machine's kernel, against the pipeline: two routers with the same past, one with offload and one without, get the
 * same frames. What the program forwards must be what the other router sends, to the byte, and in the end their books must agree.
 * The programs run on single frames (BPF_PROG_TEST_RUN); nothing is attached to a device.
 */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { VrrpPlan } from '../../src/base/plan.js';
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_USO } from '../../src/link/batch.js';
import { PROGRAM_SCHED_CLS, PROGRAM_SOCKET_FILTER, SKB_BYTES, SKB_GSO_SIZE, SKB_MARK, TC_REDIRECT } from '../../src/link/bpf.js';
import { native } from '../../src/link/native.js';
import { closeMaps, createMaps, MapDevice } from '../../src/offload.js';
import type { OffloadMaps } from '../../src/offload.js';
import { RX_BYTES } from '../../src/table/counters.js';
import { ALG, COUNTERS, OFFLOADED, STATE, WINDOW } from '../../src/table/flow.js';
import { forwarder, socketFilter } from '../../src/table/offload-program.js';
import type { OffloadDevice, OffloadWay } from '../../src/table/offload.js';
import { STATE_MASK, STATE_NAMES } from '../../src/table/tcp-state.js';
import { WINDOW_WORDS } from '../../src/table/tcp-window.js';
import { parseMac } from '../../src/wire/address.js';
import * as make from '../support/frames.js';
import { GATEWAY, MAC, OUR_MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';

const FLOWS = 16;
const MARK = 0x1234;
const ALL = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_ECN | OFFLOAD_USO;
/** Never runs out in a test, however long the machine takes. */
const FAR_BEATS = 100_000;

interface SendOptions { /** Payload bytes of a segment of a super-frame. */ segment?: number; padding?: number; destination?: string }

/** Both routers, and the programs of the first one's links. */
class Twins {
  readonly with: Rig;
  readonly without: Rig;
  beats = FAR_BEATS;
  /** Padding of frames the program has forwarded, by link: a link's bytes do not count it then. */
  private readonly padding = new Map<string, number>();
  private readonly maps: OffloadMaps;
  private readonly programs = new Map<LinkName, { forwards: number; filters: number }>();

  constructor(options: RigOptions = {}) {
    this.maps = createMaps(FLOWS);
    const real = new MapDevice(this.maps);
    const device: OffloadDevice = {
      slots: real.slots, index: real.index, control: real.control, seed: real.seed, beat: () => real.beat() + this.beats,
    };
    const common: RigOptions = { weights: [1, 0], offloads: { lan: ALL, wan1: ALL, wan2: ALL }, ...options };
    const way = (ifindex: number, mark: number): OffloadWay => ({ namespace: 0, ifindex, redirect: 0, mark, isIngress: true, hasPeer: false });
    this.with = rig({ ...common, offload: { device, ways: { lan: way(1, 0), wan1: way(1, MARK), wan2: way(1, MARK) }, flows: FLOWS } });
    this.without = rig(common);
    for (const name of this.with.names) {
      const { high, low } = parseMac(OUR_MAC[name]);
      const virtualRouters = (options.plan?.vrrp ?? []).filter(({ link }) => link === this.with.index(name));
      const made = { link: this.with.index(name), macHigh: high, macLow: low, virtualRouters, ...this.maps };
      const load = (type: number, instructions: Uint8Array): number => native().bpfProgram({ type, name: 'weir', license: 'Apache-2.0', instructions });
      this.programs.set(name, { forwards: load(PROGRAM_SCHED_CLS, forwarder(made)), filters: load(PROGRAM_SOCKET_FILTER, socketFilter(made)) });
    }
  }

  close(): void {
    for (const { forwards, filters } of this.programs.values()) for (const fd of [forwards, filters]) native().closeFd(fd);
    closeMaps(this.maps);
  }

  get both(): Rig[] { return [this.with, this.without]; }

  /** A packet to both. True when the program has forwarded it. Either way what leaves is the same. */
  send(link: LinkName, packet: Buffer, options: SendOptions = {}): boolean {
    const { segment = 0, padding = 0 } = options;
    const protocol = packet[9] === make.PROTOCOL.tcp ? 'tcp' : 'udp';
    const frameOptions = { destination: options.destination ?? OUR_MAC[link], vnet: segment === 0 ? undefined : make.vnet({ gso: protocol, segmentBytes: segment }) };
    const frame = Buffer.concat([this.with.frame(link, packet, frameOptions), Buffer.alloc(padding, 0xee)]);
    const give = (r: Rig): Sent[] => {
      r.put(link, frame, frameOptions);
      return r.run().filter((sent) => !sent.isArp);
    };
    const context = new Uint8Array(SKB_BYTES);
    new DataView(context.buffer).setInt32(SKB_GSO_SIZE, segment, true);
    const { forwards, filters } = this.programs.get(link)!;
    const ran = native().bpfRun(forwards, frame, context, 1);
    const wanted = give(this.without);
    // A socket filter's frame begins behind what a test run takes for the Ethernet header.
    const kept = native().bpfRun(filters, Buffer.concat([Buffer.alloc(14), frame]), context, 1).result;
    if (ran.result !== TC_REDIRECT) {
      assert.is(ran.result, -1, 'it goes on');
      assert.equal(Buffer.from(ran.frame), frame, 'untouched');
      assert.is(kept, -1, 'and the socket gets it');
      assert.equal(give(this.with).map(plain), wanted.map(plain), 'then both send the same');
      return false;
    }
    assert.equal(wanted.length, 1, 'the other router sends it as well');
    assert.equal(Buffer.from(ran.frame.subarray(0, ran.length)).toString('hex'), wanted[0].frame.toString('hex'), 'the same bytes');
    assert.is(new DataView(ran.context.buffer).getInt32(SKB_MARK, true), wanted[0].link === 'lan' ? 0 : MARK, 'the mark of the out link');
    this.padding.set(link, (this.padding.get(link) ?? 0) + padding);
    return true;
  }

  /** The filter's and the forwarder's opinions are the same. Asked before the forwarder has moved anything. */
  isKept(link: LinkName, packet: Buffer): boolean {
    const frame = this.with.frame(link, packet);
    return native().bpfRun(this.programs.get(link)!.filters, Buffer.concat([Buffer.alloc(14), frame]), new Uint8Array(SKB_BYTES), 1).result === -1;
  }

  /** Packets that only both routers' pipelines see. */
  inBoth(link: LinkName, packet: Buffer): void { for (const r of this.both) r.from(link, packet); }

  isOffloaded(flow: number): boolean {
    const { flows } = this.with.router;
    return flows.words[flows.at(flow) + ALG] <= OFFLOADED;
  }

  /** Flows, windows and counters are the same in both. */
  settle(): void {
    for (const r of this.both) r.advance(1000, 500);
    const [a, b] = this.both.map(({ router }) => router);
    for (let flow = 0; flow < FLOWS; flow++) a.offload.release(flow);
    assert.is(a.flows.count, b.flows.count);
    for (let flow = 0; flow < b.flows.count; flow++) {
      const at = a.flows.at(flow);
      for (let i = 0; i < 4; i++) assert.is(a.flows.doubles[(at + COUNTERS) / 2 + i], b.flows.doubles[(at + COUNTERS) / 2 + i], `flow ${flow}, counter ${i}`);
      assert.is(a.flows.words[at + STATE], b.flows.words[at + STATE], 'state');
      const window = a.flows.words[at + WINDOW];
      assert.is(window, b.flows.words[at + WINDOW]);
      if (window === -1) continue;
      const words = (from: Int32Array): number[] => [...from.subarray(window * WINDOW_WORDS, (window + 1) * WINDOW_WORDS)];
      assert.equal(words(a.windows.words), words(b.windows.words), 'TCP window');
    }
    for (const link of a.links) {
      for (let i = 0; i < 4; i++) assert.is(a.counters.link(link.index, i) + (i === RX_BYTES ? this.padding.get(link.name) ?? 0 : 0), b.counters.link(link.index, i), `link ${link.name}, counter ${i}`);
      for (let verdict = 0; verdict < 60; verdict++) assert.is(a.counters.verdict(link.index, verdict), b.counters.verdict(link.index, verdict), `verdict ${verdict}`);
    }
    for (let i = 0; i < 6; i++) assert.is(a.counters.uplink(0, i), b.counters.uplink(0, i), `uplink counter ${i}`);
    for (const r of this.both) r.run();
  }
}

const plain = ({ link, frame }: Sent): string => `${link} ${frame.toString('hex')}`;

const LENGTH = 100;
const CLIENT_SEQ = 0xffff_ff00;
const SERVER_SEQ = 0x7fff_ff00;

/** A TCP connection both routers have let through, with its numbers. */
class Connection {
  readonly twins: Twins;
  readonly port: number;
  private external = 0;
  seq = (CLIENT_SEQ + 1) >>> 0;
  serverSeq = (SERVER_SEQ + 1) >>> 0;

  constructor(twins: Twins, port = 40_000) {
    this.twins = twins;
    this.port = port;
    for (const r of twins.both) {
      const [syn] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.tcp({ sourcePort: port, destinationPort: 80, sequence: CLIENT_SEQ, flags: 'S', options: SCALE })));
      this.external = syn.packet.readUInt16BE(20);
    }
    twins.inBoth('wan1', this.back({ sequence: SERVER_SEQ, acknowledgement: this.seq, flags: 'SA', options: SCALE }));
    twins.inBoth('lan', this.out({ payload: Buffer.alloc(0) }));
  }

  out(fields: Partial<make.TcpFields> = {}, ip: Partial<make.Ipv4Fields> = {}): Buffer {
    return make.ipv4({ source: PC1, destination: SERVER, dontFragment: true, ...ip },
      make.tcp({ sourcePort: this.port, destinationPort: 80, sequence: this.seq, acknowledgement: this.serverSeq, flags: 'A', payload: make.filler(LENGTH), ...fields }));
  }

  back(fields: Partial<make.TcpFields> = {}, ip: Partial<make.Ipv4Fields> = {}): Buffer {
    return make.ipv4({ source: SERVER, destination: WAN1, dontFragment: true, ...ip },
      make.tcp({ sourcePort: 80, destinationPort: this.external, sequence: this.serverSeq, acknowledgement: this.seq, flags: 'A', ...fields }));
  }

  /** So many segments of data and their acknowledgements; true when all went by the program. */
  exchange(count: number): boolean {
    let all = true;
    for (let i = 0; i < count; i++) {
      all = this.twins.send('lan', this.out()) && all;
      this.seq = (this.seq + LENGTH) >>> 0;
      all = this.twins.send('wan1', this.back()) && all;
    }
    return all;
  }
}

/** Window scale 7, padded. */
const SCALE = Buffer.from('03030701', 'hex');
const test = suite('offload programs');

function withTwins(options: RigOptions, run: (twins: Twins) => void): void {
  const twins = new Twins(options);
  try {
    run(twins);
  } finally {
    twins.close();
  }
}

const datagram = (fields: Partial<make.UdpFields> = {}, ip: Partial<make.Ipv4Fields> = {}): Buffer =>
  make.ipv4({ source: PC1, destination: SERVER, dontFragment: true, ...ip }, make.udp({ sourcePort: 5000, destinationPort: 6000, ...fields }));

test('a connection is offloaded with the packet that completes its handshake, and both directions leave as the pipeline would send them', () => withTwins({}, (twins) => {
  const c = new Connection(twins);
  assert.ok(twins.isOffloaded(0));
  assert.ok(c.exchange(20), 'all by the program');
  twins.settle();
}));

const INTERVAL_MS = 100;
const virtualRouter = (index: number, link: number, id: number, address: string): VrrpPlan => ({
  index, name: `vr${id}`, link, id, version: 3, priority: 100, addresses: [{ address, prefixLength: 24 }], advertIntervalMs: INTERVAL_MS, preempt: true, preemptDelayMs: 0, peers: [],
  checksum: 'plain', virtualMac: true, accept: true, track: [], announcements: { count: 1, againMs: 0, refreshMs: 0 },
});
const virtualMac = (id: number): string => `00:00:5e:00:01:0${id}`;

/** A better master of the virtual router on the LAN says so. */
function betterMaster(id: number): Buffer {
  const message = Buffer.from([0x31, id, 200, 1, 0, INTERVAL_MS / 10, 0, 0, 192, 168, 0, 254]);
  message.writeUInt16BE(~make.onesSum(message) & 0xffff, 6);
  return make.ethernet({ source: virtualMac(id), destination: '01:00:5e:00:00:12' }, make.ipv4({ source: '192.168.0.9', destination: '224.0.0.18', ttl: 255, protocol: 112 }, message));
}

test('virtual routers: what comes by their MAC address is forwarded, and leaves from it, while they are ours, and not for a packet longer', () => {
  const outside = '192.168.201.20';
  withTwins({ snat: [outside], plan: { vrrp: [virtualRouter(0, 0, 7, '192.168.0.254'), virtualRouter(1, 0, 8, '192.168.0.253'), virtualRouter(2, 1, 9, outside)] } }, (twins) => {
    const pass = (ms: number): void => { for (const r of twins.both) r.advance(ms, 10); };
    const toIt = (id: number, more = {}): boolean => twins.send('lan', datagram(more), { destination: virtualMac(id) });
    pass(2 * INTERVAL_MS);
    for (let i = 0; i < 10; i++) toIt(7);
    for (const id of [7, 8]) assert.ok(toIt(id), `by the MAC address of ${id}`);
    assert.ok(twins.send('lan', datagram()), 'and by the link’s own');
    assert.not(toIt(6), 'not by another one’s');
    const [{ packet }] = twins.without.from('lan', datagram());
    const back = make.ipv4({ source: SERVER, destination: outside, dontFragment: true }, make.udp({ sourcePort: 6000, destinationPort: packet.readUInt16BE(20) }));
    for (let i = 0; i < 10; i++) twins.send('wan1', back, { destination: virtualMac(9) });
    assert.ok(twins.send('wan1', back, { destination: virtualMac(9) }), 'and the answers');

    for (const r of twins.both) {
      r.put('lan', betterMaster(7));
      r.run();
    }
    assert.not(toIt(7), 'another router is the master of 7');
    for (let i = 0; i < 10; i++) assert.not(toIt(7));
    for (let i = 0; i < 10; i++) toIt(8);
    assert.ok(toIt(8), 'of 8 it is us');
    pass(10 * INTERVAL_MS);
    for (let i = 0; i < 10; i++) toIt(7);
    assert.ok(toIt(7), 'it is heard no more, and 7 is ours again');

    for (const r of twins.both) {
      r.router.election?.setDrained(true);
      r.run();
    }
    pass(5 * INTERVAL_MS);
    for (const id of [7, 8]) assert.not(toIt(id), `nothing is ours: ${id}`);
    for (let i = 0; i < 10; i++) assert.not(twins.send('lan', datagram()), 'and nothing leaves with an address that is not');
  });
});

test('one-way datagrams are offloaded too, answers once they come', () => withTwins({}, (twins) => {
  for (let i = 0; i < 10; i++) twins.send('lan', datagram());
  assert.ok(twins.send('lan', datagram()));
  const back = make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 6000, destinationPort: 5000 }));
  assert.not(twins.send('wan1', back), 'the first answer is for the pipeline');
  for (let i = 0; i < 10; i++) twins.send('wan1', back);
  assert.ok(twins.send('wan1', back), 'an answer without DF bears no address of ours');
  assert.not(twins.send('lan', datagram({}, { dontFragment: false })), 'without DF the identification has to be ours');
  assert.ok(twins.send('lan', datagram({ payload: make.filler(33) })));
  assert.ok(twins.send('lan', datagram({ checksum: 'none' })), 'no checksum stays none');
  assert.ok(twins.send('lan', datagram({ checksum: 'wrong' })), 'a wrong one stays wrong');
  twins.settle();
}));

test('what is not plain goes up', () => withTwins({}, (twins) => {
  for (let i = 0; i < 10; i++) twins.send('lan', datagram());
  const up = (packet: Buffer, options: SendOptions = {}): void => { assert.not(twins.send('lan', packet, options), packet.toString('hex', 0, 28)); };
  assert.ok(twins.send('lan', datagram()));
  up(datagram({}, { ttl: 1 }));
  up(datagram({}, { checksum: 'wrong' }));
  up(datagram({}, { options: Buffer.from('01010101', 'hex') }));
  up(datagram({}, { moreFragments: true }));
  up(datagram({}, { totalLength: 10 }));
  up(datagram({ length: 4 }));
  up(datagram({ length: 900 }));
  up(datagram({ payload: make.filler(1480) }));
  up(datagram({}, { source: PC2 }));
  up(datagram(), { destination: MAC.wan1 });
  up(make.ipv4({ source: PC1, destination: SERVER }, make.icmp({ type: 3, code: 3 }, datagram())));
  assert.ok(twins.send('lan', datagram({ payload: make.filler(2) }), { padding: 16 }), 'padding is taken off');
  assert.ok(twins.send('lan', datagram({ payload: make.filler(1472) })), 'as long as the MTU');
  assert.ok(twins.send('lan', datagram({}, { tos: 0xb9, ttl: 2 })));
  twins.settle();
}));

test('a super-frame is judged by its segments', () => withTwins({ mtu: { wan1: 1000 } }, (twins) => {
  const c = new Connection(twins);
  c.exchange(10);
  const long = c.out({ payload: make.filler(2000) });
  assert.ok(twins.send('lan', long, { segment: 960 }));
  c.seq = (c.seq + 2000) >>> 0;
  assert.ok(twins.send('wan1', c.back()));
  assert.not(twins.send('lan', c.out({ payload: make.filler(2000) }), { segment: 1000 }));
  twins.settle();
}));

test('URG goes up; FINs close the connection in the kernel, and it ends as ever', () => withTwins({}, (twins) => {
  const c = new Connection(twins);
  c.exchange(10);
  assert.ok(twins.isOffloaded(0));
  for (const flags of ['AU', 'PAU']) assert.not(twins.send('lan', c.out({ flags })), flags);
  c.seq = (c.seq + LENGTH) >>> 0;
  assert.ok(c.exchange(3));
  assert.not(twins.send('lan', c.out({ flags: 'F' })), 'without ACK');
  const last = c.out({ flags: 'FPA' });
  assert.ok(twins.send('lan', last), 'a FIN with the last of the data');
  assert.ok(twins.send('lan', last), 'and once more');
  c.seq = (c.seq + LENGTH + 1) >>> 0;
  assert.ok(twins.send('wan1', c.back({ payload: make.filler(50) })), 'the other side goes on, and acknowledges it');
  c.serverSeq = (c.serverSeq + 50) >>> 0;
  assert.ok(twins.send('lan', c.out({ payload: Buffer.alloc(0) })));
  assert.ok(twins.send('wan1', c.back({ flags: 'FA' })));
  c.serverSeq = (c.serverSeq + 1) >>> 0;
  assert.ok(twins.isOffloaded(0));
  assert.ok(twins.send('lan', c.out({ payload: Buffer.alloc(0) })), 'the last acknowledgement');
  twins.with.run();
  const { flows } = twins.with.router;
  assert.is(STATE_NAMES[flows.words[flows.at(0) + STATE] & STATE_MASK], 'time-wait', 'told of without being looked at');
  twins.settle();
}));

test('a FIN whose numbers fit nothing goes up and closes nothing', () => withTwins({}, (twins) => {
  const c = new Connection(twins);
  c.exchange(10);
  for (const far of [0x2000_0000, -0x2000_0000]) assert.not(twins.send('wan1', c.back({ flags: 'FA', sequence: (c.serverSeq + far) >>> 0 })), 'a forged one');
  assert.ok(twins.isOffloaded(0));
  twins.settle();
}));

test('a reset is judged by the numbers the program has seen', () => withTwins({}, (twins) => {
  const c = new Connection(twins);
  c.exchange(30);
  assert.ok(twins.isOffloaded(0));
  for (const far of [0x2000_0000, 0x7fff_0000, -70_000]) assert.not(twins.send('wan1', c.back({ flags: 'R', sequence: (c.serverSeq + far) >>> 0 })), 'a forged one');
  assert.ok(twins.isOffloaded(0), 'moves nothing');
  assert.ok(c.exchange(2));
  assert.not(twins.send('wan1', c.back({ flags: 'R', sequence: (c.serverSeq + 5) >>> 0 })), 'one inside of the window');
  assert.not(twins.isOffloaded(0), 'is watched by the pipeline');
  c.exchange(1);
  assert.not(twins.send('wan1', c.back({ flags: 'R' })), 'the exact one');
  twins.settle();
}));

test('nothing is forwarded after invalidate(), and by nobody once the data plane is silent', () => withTwins({}, (twins) => {
  const c = new Connection(twins);
  c.exchange(10);
  const { offload } = twins.with.router;
  offload.invalidate();
  assert.ok(twins.isKept('lan', c.out()), 'void at once');
  twins.with.run();
  assert.not(twins.isKept('lan', c.out()), 'written anew');
  // One more than entries live, for the clocks differ by a little.
  twins.beats = -19;
  for (const r of twins.both) r.advance(1000, 500);
  assert.ok(twins.isKept('lan', c.out()), 'too long without a sign of life');
  twins.beats = FAR_BEATS;
  for (const r of twins.both) r.advance(1000, 500);
  assert.not(twins.isKept('lan', c.out()));
  twins.with.router.offload.stop();
  assert.ok(twins.isKept('lan', c.out()), 'stopped');
}));

test('a neighbour that moves, a link that goes down', () => withTwins({}, (twins) => {
  const c = new Connection(twins);
  c.exchange(10);
  for (const r of twins.both) {
    r.put('wan1', r.arpReply('wan1', GATEWAY, '02:00:00:00:01:99'));
    r.run();
  }
  assert.ok(c.exchange(2), 'goes on, to the new address: the bytes are compared');
  twins.with.setUp('wan1', false);
  assert.ok(twins.isKept('lan', c.out()));
  twins.with.run();
  assert.not(twins.isOffloaded(0));
}));

/** How far a number is off: mostly not at all, now and then a little, by about a window, or by anything. */
const off = fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, { weight: 4, arbitrary: fc.integer({ min: -2000, max: 2000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -70_000, max: 70_000 }) }, { weight: 1, arbitrary: fc.integer() });

/** One step of a conversation nobody would have. */
const step = fc.record({
  way: fc.constantFrom('out' as const, 'back' as const),
  flags: fc.oneof({ weight: 20, arbitrary: fc.constantFrom('A', 'PA', 'EA', 'CA') }, { weight: 1, arbitrary: fc.constantFrom('AU', 'SA', 'FA', 'FPA', 'FA', 'R', 'RA', 'S') }),
  seq: off,
  ack: off,
  window: fc.constantFrom(0, 1, 500, 0xfaf0, 0xffff),
  length: fc.integer({ min: 0, max: 400 }),
  advances: fc.boolean(),
  ttl: fc.constantFrom(64, 64, 64, 64, 255, 2, 1),
  dontFragment: fc.constantFrom(true, true, true, true, true, false),
  tos: fc.integer({ min: 0, max: 255 }),
  id: fc.integer({ min: 0, max: 65_535 }),
  checksum: fc.constantFrom('right' as const, 'right' as const, 'wrong' as const),
  padding: fc.constantFrom(0, 0, 0, 5),
  invalidates: fc.constantFrom(false, false, false, false, true),
});

test('any conversation: forwarded or not, the same bytes leave and the same is remembered', () => {
  let forwarded = 0;
  let sent = 0;
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => withTwins({}, (twins) => {
    const c = new Connection(twins);
    c.exchange(9);
    for (const s of steps) {
      if (s.invalidates) twins.with.router.offload.invalidate();
      const payload = make.filler(s.length);
      const ip = { ttl: s.ttl, dontFragment: s.dontFragment, tos: s.tos, id: s.id };
      const own = s.way === 'out' ? c.seq : c.serverSeq, other = s.way === 'out' ? c.serverSeq : c.seq;
      const fields = { flags: s.flags, sequence: (own + s.seq) >>> 0, acknowledgement: (other + s.ack) >>> 0, window: s.window, payload, checksum: s.checksum };
      sent++;
      if (s.way === 'out' ? twins.send('lan', c.out(fields, ip), s) : twins.send('wan1', c.back(fields, ip), s)) forwarded++;
      if (s.advances && s.seq === 0 && s.flags.includes('A')) {
        if (s.way === 'out') c.seq = (c.seq + s.length) >>> 0;
        else c.serverSeq = (c.serverSeq + s.length) >>> 0;
      }
    }
    twins.settle();
  })), { numRuns: 60 });
  assert.ok(forwarded > sent / 5, `${forwarded} of ${sent} were forwarded by the program`);
});

test.run();
