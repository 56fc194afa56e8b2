/** Which flows are offloaded, and the books of those that are: a router on memory links whose kernel is an object that forwards nothing. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DECLINED, OFFLOAD_DECLINED, OFFLOADED_FLOWS, OFFLOADED_RX_PACKETS, OFFLOADED_TX_BYTES, RX_BYTES, RX_PACKETS, TX_BYTES, TX_PACKETS, UPLINK_RX_PACKETS, UPLINK_TX_BYTES, UPLINK_TX_PACKETS } from '../../src/table/counters.js';
import { CONSIDER_AT, CONSIDER_PACKETS } from '../../src/stage/offload.js';
import { BUCKET_BYTES, bucketsFor, REFERENCES, TAG_MASK } from '../../src/table/offload-index.js';
import {
  BYTES, CONTROL_ENDED, CONTROL_EPOCH, CONTROL_IN_USE, CONTROL_LANES, CONTROL_WORDS, ENDS, ENTRY, ENTRY_WORDS, EPOCH, IFINDEX, KEY, LANES, LIMITS, MACS, MARK, PACKETS, REDIRECT, SLOT_BYTES, SLOT_WORDS,
  TO_PEER, WINDOW,
} from '../../src/table/offload-slot.js';
import { OffloadTable } from '../../src/table/offload.js';
import type { OffloadDevice, OffloadWay } from '../../src/table/offload.js';
import { SERVER_IN_BYTES, SERVER_IN_PACKETS, SERVER_OUT_BYTES, SERVER_OUT_PACKETS } from '../../src/table/counters.js';
import { HELD, HELD_LEAVING, HELD_NOT, VIRTUAL_MAC_LOW } from '../../src/table/elected.js';
import { STATE } from '../../src/table/flow.js';
import { STATE_MASK, STATE_NAMES } from '../../src/table/tcp-state.js';
import { ACKED, END } from '../../src/table/tcp-window.js';
import { expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';
import { Call, realServer, servers } from '../support/servers.js';
import { parseIpv4, V4_MAPPED } from '../../src/wire/address.js';

const SLOTS = 4;

/** Memory that no program reads. */
class FakeKernel implements OffloadDevice {
  readonly slots: ArrayBuffer;
  readonly index: ArrayBuffer;
  readonly control = new ArrayBuffer(CONTROL_WORDS * 4);
  readonly seed = 4711;
  readonly words: Int32Array;

  constructor(capacity: number) {
    this.slots = new ArrayBuffer(capacity * SLOT_BYTES);
    this.index = new ArrayBuffer(bucketsFor(capacity) * BUCKET_BYTES);
    this.words = new Int32Array(this.slots);
  }

  beat(): number { return 1000; }

  /** Every place of the index is taken. */
  fill(): void { new Int32Array(this.index).fill(REFERENCES - 1); }

  /** Keys in the index, and the entries they lead to. */
  get keys(): Map<string, number> {
    const references = [...new Int32Array(this.index)].map((word) => (word & ~TAG_MASK) - 1).filter((reference) => reference >= 0 && reference < SLOTS * 2);
    return new Map(references.map((reference) => [Buffer.from(this.slots, (reference >> 1) * SLOT_BYTES + (ENTRY + (reference & 1) * ENTRY_WORDS + KEY) * 4, 16).toString('hex'), reference]));
  }

  get epoch(): number { return new Int32Array(this.control)[CONTROL_EPOCH]; }
  get isInUse(): boolean { return new Int32Array(this.control)[CONTROL_IN_USE] === 1; }
  entry(slot: number, direction: number, word: number): number { return this.words[slot * SLOT_WORDS + ENTRY + direction * ENTRY_WORDS + word]; }
  counts(slot: number, direction: number): boolean { return this.entry(slot, direction, EPOCH) === this.epoch; }

  /** As if a program had forwarded so much. */
  forward(slot: number, direction: number, packets: number, bytes: number): void {
    this.words[slot * SLOT_WORDS + PACKETS + direction] += packets;
    const low = new BigUint64Array(this.slots, slot * SLOT_BYTES + BYTES * 4 + direction * 8, 1);
    low[0] += BigInt(bytes);
  }

  /** As if a program had forwarded a direction's FIN. `tells`: what it says when both sides have sent one gets through. */
  finish(slot: number, direction: number, tells = true): void {
    this.forward(slot, direction, 1, 40);
    new Uint16Array(this.slots)[(slot * SLOT_WORDS + ENDS) * 2 + direction] = 1;
    if (!tells || new Uint16Array(this.slots)[(slot * SLOT_WORDS + ENDS) * 2 + 1 - direction] === 0) return;
    const control = new Int32Array(this.control);
    control[CONTROL_LANES + (slot & (LANES - 1))] = slot + 1;
    control[CONTROL_ENDED]++;
  }
}

interface Lab extends Rig { kernel: FakeKernel }

const way = (more: Partial<OffloadWay> = {}): OffloadWay => ({ namespace: 0, ifindex: 1, redirect: 0, mark: 0, isIngress: true, hasPeer: false, ...more });

function lab(options: RigOptions = {}, ways: Partial<Record<LinkName, OffloadWay>> = { lan: way({ ifindex: 11 }), wan1: way({ ifindex: 12, mark: 7 }), wan2: way({ ifindex: 13 }) }, flows = SLOTS): Lab {
  const kernel = new FakeKernel(Math.max(SLOTS, flows));
  return Object.assign(rig({ weights: [1, 0], ...options, offload: { device: kernel, ways, flows } }), { kernel });
}

const udp = (source = PC1, destination = SERVER, sourcePort = 5000, destinationPort = 6000): Buffer =>
  make.ipv4({ source, destination, dontFragment: true }, make.udp({ sourcePort, destinationPort }));
const neighbourOf = (r: Rig, name: LinkName, address: string): number => r.router.neighbours.find(r.index(name), 0, 0, V4_MAPPED, parseIpv4(address));
const answer = (): Buffer => udp(SERVER, WAN1, 6000, 5000);

function repeat(r: Rig, link: LinkName, packet: Buffer, count = CONSIDER_AT): Sent[] {
  let sent: Sent[] = [];
  for (let i = 0; i < count; i++) sent = r.from(link, packet);
  return sent;
}

const offloaded = (r: Rig): number => r.router.counters.getRouter(OFFLOADED_FLOWS);
const declined = (r: Rig): Record<string, number> => Object.fromEntries(DECLINED.map((name, i) => [name, r.router.counters.getRouter(OFFLOAD_DECLINED + i)] as const).filter(([, count]) => count > 0));
const link = (r: Rig, name: LinkName, counter: number): number => r.router.counters.link(r.index(name), counter);

/** The window of the first slot, as the programs have it. */
const windowOf = (r: Lab): Int32Array => r.kernel.words.subarray(WINDOW, WINDOW + 8);

/** A TCP connection with so many segments each way. */
function connection(r: Rig, rounds: number, destinationPort = 80, server = SERVER, out: LinkName = 'wan1'): void {
  const client = (flags: string, sequence: number, acknowledgement: number): Buffer => make.ipv4({ source: PC1, destination: server, dontFragment: true }, make.tcp({ sourcePort: 4000, destinationPort, flags, sequence, acknowledgement }));
  const [syn] = r.from('lan', client('S', 999, 0));
  const back = (flags: string): Buffer => make.ipv4({ source: server, destination: make.formatAddress(syn.packet.subarray(12, 16)), dontFragment: true },
    make.tcp({ sourcePort: destinationPort, destinationPort: syn.packet.readUInt16BE(20), flags, sequence: flags === 'SA' ? 1999 : 2000, acknowledgement: 1000 }));
  r.from(out, back('SA'));
  for (let i = 0; i < rounds; i++) {
    r.from('lan', client('A', 1000, 2000));
    r.from(out, back('A'));
  }
}

test('a flow of datagrams: each direction with its second one', () => {
  const r = lab();
  repeat(r, 'lan', udp(), CONSIDER_AT - 1);
  assert.is(offloaded(r), 0);
  r.from('lan', udp());
  assert.is(offloaded(r), 1);
  assert.is(r.kernel.keys.size, 1);
  assert.ok(r.kernel.counts(0, 0));
  assert.equal([r.kernel.entry(0, 0, IFINDEX), r.kernel.entry(0, 0, REDIRECT), r.kernel.entry(0, 0, MARK)], [12, 0, 7], 'out by wan1');
  assert.is(r.kernel.entry(0, 0, LIMITS) & 0xffff, 1500);
  repeat(r, 'wan1', answer());
  assert.is(r.kernel.keys.size, 2);
  assert.equal([r.kernel.entry(0, 1, IFINDEX), r.kernel.entry(0, 1, MARK)], [11, 0], 'back by the LAN');
  assert.is(offloaded(r), 1, 'one flow, one slot');
});

test('TCP: both directions at once, with the packet that completes the handshake', () => {
  const begun = lab();
  connection(begun, 0);
  assert.is(offloaded(begun), 0);
  const r = lab();
  connection(r, 1);
  assert.is(offloaded(r), 1);
  assert.is(r.kernel.keys.size, 2);
  assert.ok(r.kernel.counts(0, 0) && r.kernel.counts(0, 1));
});

test('the far end of a wire is reached directly only from an ingress hook', () => {
  const direct = lab({}, { lan: way(), wan1: way({ hasPeer: true, mark: 7 }) });
  repeat(direct, 'lan', udp());
  assert.equal([direct.kernel.entry(0, 0, REDIRECT), direct.kernel.entry(0, 0, MARK)], [TO_PEER, 0]);
  const queued = lab({}, { lan: way({ isIngress: false }), wan1: way({ hasPeer: true, mark: 7 }) });
  repeat(queued, 'lan', udp());
  assert.equal([queued.kernel.entry(0, 0, REDIRECT), queued.kernel.entry(0, 0, MARK)], [0, 7]);
  direct.router.offload.setPeer(direct.index('wan1'), false);
  direct.router.offload.invalidate();
  direct.run();
  assert.is(direct.kernel.entry(0, 0, REDIRECT), 0, 'a far end that has moved');
});

test('what is declined, and why', () => {
  const cases: [string, () => Lab, (r: Lab) => void][] = [
    ['link', () => lab({}, { lan: way(), wan1: way({ namespace: 1 }) }), (r) => repeat(r, 'lan', udp())],
    ['link', () => lab({}, { lan: way() }), (r) => repeat(r, 'lan', udp())],
    ['alg', () => lab(), (r) => connection(r, CONSIDER_PACKETS, 21)],
    ['local', () => lab({ host: true }), (r) => repeat(r, 'lan', udp(PC1, LAN, 5000, 22))],
    ['protocol', () => lab(), (r) => repeat(r, 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 7 })), CONSIDER_PACKETS)],
    ['filter', () => lab({ plan: { filters: [{ index: 0, name: 'rate', match: {}, states: ['established'], action: 'drop', over: { perSecond: 1000, burst: 1000, by: 'rule' } }] } }), (r) => repeat(r, 'lan', udp())],
    ['index', () => lab(), (r) => { r.kernel.fill(); repeat(r, 'lan', udp()); }],
  ];
  for (const [reason, make_, run] of cases) {
    const r = make_();
    run(r);
    assert.equal(Object.keys(declined(r)), [reason], reason);
    assert.equal([offloaded(r), r.kernel.keys.size], [0, 0], reason);
  }
});

test('an established rule that accepts without a rate is no obstacle', () => {
  const r = lab({ plan: { filters: [{ index: 0, name: 'all', match: {}, states: ['established'], action: 'accept' }] } });
  repeat(r, 'lan', udp(), CONSIDER_PACKETS * 2);
  assert.is(offloaded(r), 1);
});

test('with all slots taken the rest is declined, and a slot that is given back is used again', () => {
  const r = lab({ timeouts: { udp: 120 } });
  for (let i = 0; i < SLOTS + 1; i++) repeat(r, 'lan', udp(PC1, SERVER, 5000 + i));
  assert.is(offloaded(r), SLOTS);
  assert.equal(declined(r), { slots: 1 });
  r.advance(125_000, 1000);
  assert.equal([r.flowCount, offloaded(r), r.kernel.keys.size], [0, 0, 0], 'all expired, their keys gone');
  repeat(r, 'lan', udp());
  assert.is(offloaded(r), 1);
});

test('a slot that is given back rests until others have been, also when all are taken: a program may still be looking at it', () => {
  const table = new OffloadTable(new FakeKernel(64), 64);
  for (let flow = 0; flow < 64; flow++) assert.is(table.take(flow, 0), flow);
  assert.is(table.take(64, 0), -1);
  table.give(7);
  table.give(3);
  assert.is(table.take(64, 0), -1);
  table.give(9);
  assert.is(table.take(64, 0), 7);
  assert.is(table.take(65, 0), -1);
});

test('what the kernel forwards counts, once a second, as if it had come this way', () => {
  const r = lab();
  repeat(r, 'lan', udp());
  repeat(r, 'wan1', answer());
  const { counters } = r.router;
  const flow = 0;
  const before = { rx: link(r, 'lan', RX_PACKETS), tx: link(r, 'wan1', TX_BYTES), up: counters.uplink(0, UPLINK_TX_PACKETS), down: counters.uplink(0, UPLINK_RX_PACKETS), bytes: counters.uplink(0, UPLINK_TX_BYTES), packets: r.router.flows.packets(flow, 0) };
  r.kernel.forward(0, 0, 1000, 100_000);
  r.kernel.forward(0, 1, 10, 6_000_000_000);
  r.advance(1000);
  assert.is(r.router.flows.packets(flow, 0), before.packets + 1000);
  assert.is(link(r, 'lan', RX_PACKETS), before.rx + 1000);
  assert.is(link(r, 'lan', OFFLOADED_RX_PACKETS), 1000);
  assert.is(link(r, 'wan1', TX_BYTES), before.tx + 100_000 + 14 * 1000, 'frames have Ethernet headers');
  assert.is(link(r, 'lan', OFFLOADED_TX_BYTES), 6_000_000_000 + 140, 'more than 32 bits');
  assert.equal([counters.uplink(0, UPLINK_TX_PACKETS), counters.uplink(0, UPLINK_RX_PACKETS)], [before.up + 1000, before.down + 10]);
  assert.is(counters.uplink(0, UPLINK_TX_BYTES), before.bytes + 100_000);
  r.advance(1000);
  assert.is(link(r, 'lan', RX_PACKETS), before.rx + 1000, 'once');
  assert.ok(link(r, 'lan', RX_BYTES) > 0 && link(r, 'lan', TX_PACKETS) > 0);
});

test('a flow lives as long as the kernel has packets of it, and no longer', () => {
  const r = lab({ timeouts: { udp: 120 } });
  repeat(r, 'lan', udp());
  for (let i = 0; i < 60; i++) {
    r.kernel.forward(0, 0, 1, 100);
    r.advance(5000, 1000);
    r.teach();
  }
  assert.equal([r.flowCount, offloaded(r)], [1, 1], '300 s of a packet every 5 s');
  r.advance(125_000, 1000);
  assert.is(r.flowCount, 0);
});

test('where only the inside prolongs a flow, what comes from outside does not', () => {
  const r = lab({ timeouts: { udp: 120, udpReplied: 120 }, uplink: { refreshInbound: false } });
  repeat(r, 'lan', udp());
  repeat(r, 'wan1', answer());
  assert.is(r.kernel.keys.size, 2);
  for (let i = 0; i < 25; i++) {
    if (offloaded(r) === 1) r.kernel.forward(0, 1, 1, 100);
    r.advance(5000, 1000);
  }
  assert.is(r.flowCount, 0);
});

test('one that is due and has moved since the last look is not taken for dead', () => {
  const r = lab({ timeouts: { udp: 8 } });
  repeat(r, 'lan', udp());
  r.advance(7500, 1000);
  r.kernel.forward(0, 0, 1, 100);
  // In one step: the look of this second has not been when the flow's deadline comes.
  r.advance(5000);
  assert.equal([r.flowCount, offloaded(r)], [1, 1]);
});

test('a flow that rests gives its slot back and is counted to the last packet; when it moves again it is considered again', () => {
  const r = lab();
  repeat(r, 'lan', udp());
  assert.ok(r.kernel.isInUse);
  r.advance(8000, 1000);
  r.kernel.forward(0, 0, 3, 300);
  r.advance(8000, 1000);
  assert.equal([offloaded(r), r.router.flows.packets(0, 0)], [1, CONSIDER_AT + 3], 'it has not rested for long enough');
  r.advance(4000, 1000);
  assert.equal([r.flowCount, offloaded(r), r.kernel.keys.size, r.router.flows.packets(0, 0)], [1, 0, 0, CONSIDER_AT + 3]);
  assert.not(r.kernel.isInUse, 'the programs have nothing to look for');
  r.teach();
  repeat(r, 'lan', udp(), CONSIDER_PACKETS);
  assert.equal([offloaded(r), r.kernel.isInUse], [1, true]);
});

test('when slots are scarce, those at rest are taken back sooner', () => {
  const r = lab();
  for (let i = 0; i < SLOTS; i++) repeat(r, 'lan', udp(PC1, SERVER, 5000 + i));
  for (let i = 0; i < 4; i++) {
    r.kernel.forward(0, 0, 1, 100);
    r.advance(1000);
  }
  assert.equal([offloaded(r), r.router.offload.table?.flows[0]], [SLOTS - 1, 0], 'until they are not scarce, and not the one that moves');
  repeat(r, 'lan', udp(PC1, SERVER, 5555));
  assert.equal([offloaded(r), declined(r)], [SLOTS, {}]);
});

test('a neighbour in use is asked again when it is stale, though no packet goes to it from here', () => {
  const r = lab();
  repeat(r, 'lan', udp());
  let asked: Sent[] = [];
  for (let i = 0; i < 40 && asked.length === 0; i++) {
    r.kernel.forward(0, 0, 5, 500);
    asked = r.advance(1000).filter((sent) => sent.isArp && sent.link === 'wan1' && sent.frame.readUInt16BE(20) === 1 && make.formatMac(sent.frame.subarray(0, 6)) === MAC.gateway1);
  }
  assert.is(asked.length, 1, 'a unicast question to the gateway');
});

test('a neighbour that moves voids the entries that send to it and no other, in either direction', () => {
  const r = lab({ dmz: true }, { lan: way(), wan1: way(), wan2: way(), dmz: way() });
  repeat(r, 'lan', udp());
  repeat(r, 'lan', udp(PC1, '10.9.0.9', 5000));
  repeat(r, 'wan1', answer());
  const gateway = neighbourOf(r, 'wan1', GATEWAY);
  assert.equal([r.kernel.counts(0, 0), r.kernel.counts(0, 1), r.kernel.counts(1, 0)], [true, true, true]);
  const { epoch } = r.kernel;
  r.router.offload.neighbourChanged(gateway);
  assert.equal([r.kernel.counts(0, 0), r.kernel.counts(0, 1), r.kernel.counts(1, 0), r.kernel.epoch], [false, true, true, epoch]);
  r.run();
  assert.ok(r.kernel.counts(0, 0), 'written anew');
  r.put('lan', r.arpReply('lan', PC1, '02:00:00:00:01:78'));
  r.run();
  assert.equal([r.kernel.counts(0, 0), r.kernel.counts(0, 1), r.kernel.counts(1, 0), r.kernel.epoch], [true, true, true, epoch]);
  assert.is(Buffer.from(r.kernel.slots, (ENTRY + ENTRY_WORDS + MACS) * 4, 6).toString('hex'), '020000000178');
});

test('every entry is void at once when a link goes down, and what still holds comes back', () => {
  const r = lab({ dmz: true }, { lan: way(), wan1: way(), wan2: way(), dmz: way() });
  repeat(r, 'lan', udp());
  repeat(r, 'lan', udp(PC1, '10.9.0.9', 5000));
  assert.is(offloaded(r), 2);
  // Before any turn: the epoch itself is what counts.
  r.setUp('wan1', false);
  assert.not(r.kernel.counts(0, 0));
  assert.not(r.kernel.counts(1, 0));
  r.run();
  assert.equal([offloaded(r), r.kernel.keys.size], [1, 1], 'the flow by the dead link is out');
  assert.ok(r.kernel.counts(1, 0), 'the other is in again');
});

test('changes that follow each other keep no flow out for good: each pass begins where the last one was broken off', () => {
  const flows = 300;
  const r = lab({}, undefined, flows);
  for (let i = 0; i < flows; i++) repeat(r, 'lan', udp(PC1, SERVER, 5000 + i));
  assert.is(offloaded(r), flows);
  const { offload } = r.router;
  const hasCounted = new Set<number>();
  // As by a station that has another MAC address with each ARP packet.
  for (let i = 0; i < 3; i++) {
    offload.invalidate();
    offload.tick();
    for (let slot = 0; slot < flows; slot++) if (r.kernel.counts(slot, 0)) hasCounted.add(slot);
  }
  assert.is(hasCounted.size, flows);
});

test('what leaves by the address of a virtual router comes up once another router has it, also when it has been forwarded for a while longer', () => {
  const common = '192.168.201.90';
  const vrrp = [{
    index: 0, name: 'outside', link: 1, id: 7, version: 3 as const, priority: 100, addresses: [{ address: common, prefixLength: 24 }], advertIntervalMs: 1000, preempt: true, preemptDelayMs: 0, peers: [],
    checksum: 'pseudo-header' as const, virtualMac: true, accept: false, track: [], announcements: { count: 0, againMs: 0, refreshMs: 0 },
  }];
  const r = lab({ plan: { vrrp }, snat: [common] });
  const macLow = (): number => new DataView(r.kernel.slots).getInt32((ENTRY + MACS) * 4 + 8);
  r.router.setHeld(0, HELD);
  repeat(r, 'lan', udp());
  assert.ok(r.kernel.counts(0, 0));
  assert.is(macLow(), VIRTUAL_MAC_LOW | 7);
  r.router.setHeld(0, HELD_LEAVING);
  assert.not.ok(r.kernel.counts(0, 0));
  // Decided anew by its next packet, and written anew: it leaves from the link's own MAC address.
  r.from('lan', udp());
  r.advance(1000);
  r.run();
  assert.ok(r.kernel.counts(0, 0));
  assert.is.not(macLow(), VIRTUAL_MAC_LOW | 7);
  r.router.setHeld(0, HELD_NOT);
  assert.not.ok(r.kernel.counts(0, 0));
  r.run();
  assert.is(offloaded(r), 0);
  r.refused('NOT_MASTER', 'lan', udp());
});

test('an uplink that may take no flows has none offloaded', () => {
  const r = lab();
  repeat(r, 'lan', udp());
  // Nobody answers: the gateway is given up after three questions.
  for (let i = 0; i < 60 && r.router.uplinks[0].isUsable; i++) {
    r.kernel.forward(0, 0, 5, 500);
    r.advance(1000);
  }
  assert.not(r.router.uplinks[0].isUsable);
  assert.equal([offloaded(r), r.kernel.keys.size], [0, 0]);
});

const TIERS: RigOptions = { weights: [1, 1], snat: [], group: { tiers: [1, 2], onDown: 'move' } };

test('a flow that is moved to another uplink is written anew, its answers under the link they now come by', () => {
  const r = lab(TIERS);
  connection(r, CONSIDER_PACKETS);
  assert.equal([offloaded(r), r.kernel.entry(0, 0, IFINDEX), r.kernel.entry(0, 1, KEY) >>> 16], [1, 12, r.index('wan1')]);
  const before = [...r.kernel.keys.keys()];
  r.setUp('wan1', false);
  assert.not(r.kernel.counts(0, 0));
  r.run();
  // The new gateway is known, but no packet has asked for it yet.
  repeat(r, 'lan', make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags: 'A', sequence: 1000, acknowledgement: 2000 })), CONSIDER_PACKETS);
  repeat(r, 'wan2', make.ipv4({ source: SERVER, destination: PC1, dontFragment: true }, make.tcp({ sourcePort: 80, destinationPort: 4000, flags: 'A', sequence: 2000, acknowledgement: 1000 })), CONSIDER_PACKETS);
  assert.equal([offloaded(r), r.kernel.keys.size], [1, 2]);
  const slot = [...r.kernel.keys.values()][0] >> 1;
  assert.equal([r.kernel.entry(slot, 0, IFINDEX), r.kernel.entry(slot, 1, KEY) >>> 16], [13, r.index('wan2')]);
  assert.is(before.filter((key) => r.kernel.keys.has(key)).length, 1, 'only the way out arrives as before');
});

test('what the kernel forwarded before a flow was moved counts for the uplink it came and went by', () => {
  const r = lab(TIERS);
  connection(r, CONSIDER_PACKETS);
  const { counters } = r.router;
  const before = [0, 1].map((uplink) => [counters.uplink(uplink, UPLINK_RX_PACKETS), counters.uplink(uplink, UPLINK_TX_PACKETS)]);
  r.kernel.forward(0, 0, 3, 300);
  r.kernel.forward(0, 1, 5, 500);
  r.setUp('wan1', false);
  r.run();
  assert.equal([0, 1].map((uplink, i) => [counters.uplink(uplink, UPLINK_RX_PACKETS) - before[i][0], counters.uplink(uplink, UPLINK_TX_PACKETS) - before[i][1]]), [[5, 3], [0, 0]]);
});

test('a flow that is ended with its uplink is told of with the numbers the kernel has seen', () => {
  const r = lab({ weights: [1, 1], group: { tiers: [1, 2] } });
  connection(r, CONSIDER_PACKETS);
  // The kernel has forwarded 5,000 bytes of the server's, and their acknowledgement.
  const window = windowOf(r);
  window[4 + END] = 7000;
  window[ACKED] = 7000;
  r.setUp('wan1', false);
  const [reset] = r.run().filter((sent) => sent.link === 'lan' && sent.packet[9] === make.PROTOCOL.tcp);
  expect(reset.packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ sequence: 7000, flags: 'RA' }));
  assert.equal([r.flowCount, offloaded(r), r.kernel.keys.size], [0, 0, 0]);
});

test('a flow whose packets take turns at the uplinks is not offloaded', () => {
  const r = lab({ weights: [1, 1], snat: [], group: { balance: 'packet' } });
  repeat(r, 'lan', udp());
  assert.equal([offloaded(r), declined(r)], [0, { spread: 1 }]);
});

test('a hairpinned flow goes by the same rule', () => {
  const r = lab({ plan: { portForwards: [{ index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [17], ports: { first: 80, last: 80 }, to: PC2, toPort: 8080 }] } });
  const [turned] = repeat(r, 'lan', udp(PC1, WAN1, 5000, 80));
  assert.is(turned.link, 'lan');
  assert.is(offloaded(r), 1);
});

test('offloading off: nothing is written', () => {
  const r = lab({}, undefined, 0);
  repeat(r, 'lan', udp(), 64);
  assert.equal([offloaded(r), r.kernel.keys.size, r.kernel.epoch], [0, 0, 0]);
});

test('a flow to a virtual server is offloaded, and what the kernel forwarded counts as its server\u2019s; it ends with its server', () => {
  const r = lab({ plan: servers({ addresses: '192.168.201.80', realServers: [{ address: PC1, port: 8080 }] }) });
  const call = new Call(r, { to: '192.168.201.80' });
  call.open();
  for (let i = 0; i < CONSIDER_PACKETS; i++) {
    call.say('A');
    call.answer('A');
  }
  assert.is(offloaded(r), 1);
  const { index } = realServer(r, PC1);
  const counts = (): number[] => [SERVER_IN_PACKETS, SERVER_IN_BYTES, SERVER_OUT_PACKETS, SERVER_OUT_BYTES].map((counter) => r.router.counters.server(index, counter));
  const before = counts();
  r.kernel.forward(0, 0, 5, 500);
  r.kernel.forward(0, 1, 7, 9000);
  r.advance(1000);
  assert.equal(counts().map((count, i) => count - before[i]), [5, 500, 7, 9000]);
  r.router.setServerHealth(index, false, 'test');
  r.advance(10);
  assert.is(offloaded(r), 0);
  assert.is(r.kernel.keys.size, 0);
});

const stateOf = (r: Rig, flow = 0): string => STATE_NAMES[r.router.flows.words[r.router.flows.at(flow) + STATE] & STATE_MASK]!;

test('a connection closed in the kernel: over in the next turn, its slot given back when that is looked at, gone in time', () => {
  const r = lab({ timeouts: { tcpTimeWait: 60 } });
  connection(r, 1);
  r.kernel.finish(0, 1);
  r.run();
  assert.is(stateOf(r), 'established', 'nobody has looked');
  r.advance(1000, 500);
  assert.equal([stateOf(r), offloaded(r)], ['half-closed', 1], 'one side has closed, the other may go on');
  r.kernel.finish(0, 0);
  r.run();
  assert.equal([stateOf(r), offloaded(r)], ['time-wait', 1], 'the last acknowledgement is left to the kernel');
  r.advance(1000, 500);
  assert.equal([stateOf(r), offloaded(r), r.kernel.keys.size, r.flowCount], ['time-wait', 0, 0, 1]);
  r.advance(57_000, 1000);
  assert.is(r.flowCount, 1);
  r.advance(4000, 1000);
  assert.is(r.flowCount, 0, 'nothing has prolonged what is over');
});

test('both sides close, and nobody tells: it is found when its slot is looked at', () => {
  const r = lab();
  connection(r, 1);
  for (const direction of [0, 1]) r.kernel.finish(0, direction, false);
  r.run();
  assert.is(stateOf(r), 'established');
  r.advance(1000, 500);
  assert.equal([stateOf(r), offloaded(r)], ['time-wait', 0]);
});

test('what ends while slots are scarce gives its own back at once', () => {
  const r = lab();
  for (const port of [80, 81, 82]) connection(r, 1, port);
  assert.is(offloaded(r), 3);
  for (const direction of [0, 1]) r.kernel.finish(0, direction);
  r.run();
  assert.equal([stateOf(r), offloaded(r)], ['time-wait', 2]);
});

test('a packet of a connection that was closed in the kernel meets it closed', () => {
  const begins = (r: Rig): Buffer => r.from('lan', make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags: 'S', sequence: 5_000_000 })))[0]!.packet;
  const r = lab();
  connection(r, 1);
  for (const direction of [0, 1]) r.kernel.finish(0, direction, false);
  begins(r);
  assert.equal([stateOf(r), offloaded(r), r.kernel.keys.size, r.flowCount], ['opening', 0, 0, 1], 'a new SYN begins it anew, by numbers of its own');
  const half = lab();
  connection(half, 1);
  half.kernel.finish(0, 1, false);
  half.from('lan', make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags: 'FA', sequence: 1000, acknowledgement: 2000 })));
  assert.equal([stateOf(half), offloaded(half)], ['time-wait', 0], 'the other FIN has come up');
});

test('a connection that begins anew is offloaded with the packet that completes its handshake, like the one before', () => {
  const r = lab();
  connection(r, 3);
  for (const direction of [0, 1]) r.kernel.finish(0, direction);
  r.advance(1000, 500);
  assert.equal([stateOf(r), offloaded(r)], ['time-wait', 0]);
  const client = (flags: string, sequence: number, acknowledgement: number): Sent[] => r.from('lan', make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags, sequence, acknowledgement })));
  const [syn] = client('S', 8_000_000, 0);
  r.from('wan1', make.ipv4({ source: SERVER, destination: make.formatAddress(syn!.packet.subarray(12, 16)), dontFragment: true }, make.tcp({ sourcePort: 80, destinationPort: syn!.packet.readUInt16BE(20), flags: 'SA', sequence: 9_000_000, acknowledgement: 8_000_001 })));
  assert.is(offloaded(r), 0);
  client('A', 8_000_001, 9_000_001);
  assert.equal([stateOf(r), offloaded(r), r.flowCount], ['established', 1, 1]);
});

test('a half-closed connection is offloaded as well, and its second FIN is told of', () => {
  const r = lab();
  connection(r, 1);
  r.kernel.finish(0, 1);
  r.advance(1000, 500);
  r.router.offload.release(0);
  assert.equal([stateOf(r), offloaded(r)], ['half-closed', 0]);
  for (let i = 0; i < CONSIDER_PACKETS; i++) r.from('lan', make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags: 'A', sequence: 1000, acknowledgement: 2000 })));
  assert.is(offloaded(r), 1);
  const slot = [...r.kernel.keys.values()][0]! >> 1;
  r.kernel.finish(slot, 0);
  r.run();
  assert.is(stateOf(r), 'time-wait');
});

test('a virtual server counts a connection that was closed in the kernel as inactive', () => {
  const r = lab({ plan: servers({ addresses: '192.168.201.80', realServers: [{ address: PC1, port: 8080 }] }) });
  const call = new Call(r, { to: '192.168.201.80' });
  call.open();
  for (let i = 0; i < CONSIDER_PACKETS; i++) {
    call.say('A');
    call.answer('A');
  }
  const server = realServer(r, PC1);
  assert.equal([offloaded(r), server.active, server.inactive], [1, 1, 0]);
  r.kernel.finish(0, 0);
  r.kernel.finish(0, 1);
  r.run();
  assert.equal([server.active, server.inactive], [0, 1]);
});

test('a flow that is opened after another one was closed in the kernel is scheduled by the counts there are then', () => {
  const r = lab({ plan: servers({ addresses: '192.168.201.80', scheduler: 'lc', realServers: [{ address: PC1, port: 8080 }, { address: PC2, port: 8080 }] }) });
  const calls = [1001, 1002].map((port) => new Call(r, { port, to: '192.168.201.80' }));
  for (const call of calls) {
    call.open();
    for (let i = 0; i < CONSIDER_PACKETS; i++) {
      call.say('A');
      call.answer('A');
    }
  }
  const counts = (): number[][] => [PC1, PC2].map((address) => [realServer(r, address).active, realServer(r, address).inactive]);
  assert.equal([offloaded(r), counts()], [2, [[1, 0], [1, 0]]]);
  // The later of two alike would not be taken if its connection still counted.
  for (const direction of [0, 1]) r.kernel.finish(1, direction);
  new Call(r, { port: 1003, to: '192.168.201.80' }).open();
  assert.equal(counts(), [[1, 0], [1, 1]]);
});

test('packets that are scheduled by themselves all come up', () => {
  const r = lab({ plan: servers({ addresses: '192.168.201.80', protocols: [make.PROTOCOL.udp], onePacket: true, realServers: [{ address: PC1, port: 8080 }] }) });
  const call = new Call(r, { to: '192.168.201.80', protocol: 'udp' });
  for (let i = 0; i < 2 * CONSIDER_PACKETS; i++) {
    call.say();
    call.answer();
  }
  assert.is(offloaded(r), 0);
  assert.ok(declined(r)['onePacket'] > 0);
});

test.run();
