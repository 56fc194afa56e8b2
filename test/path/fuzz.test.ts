/**
 * Random and mutated frames through a whole router: nothing throws, and what must always hold does (the rig checks it after every
 * batch: verdicts add up, sources on uplinks, IP headers, hops left). A failure names its seed and batch.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OFFLOAD_CSUM, OFFLOAD_TSO4 } from '../../src/link/batch.js';
import { expect, ipv4 } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ, DMZ_HOST, GATEWAY, HOST, LAN, MAC, OUR_MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';

const FRAMES = 200_000;
const BATCH = 40;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

class Dice {
  private state: number;
  constructor(seed: number) { this.state = seed; }
  next(): number {
    let t = (this.state = (this.state + 0x6d2b79f5) | 0);
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(bound: number): number { return this.next() % bound; }
  chance(percent: number): boolean { return this.below(100) < percent; }
  of<T>(choices: readonly T[]): T { return choices[this.below(choices.length)]; }
  bytes(length: number): Buffer { return Buffer.from(Uint8Array.from({ length }, () => this.next() & 255)); }
}

const ADDRESSES = [PC1, PC2, LAN, WAN1, WAN2, GATEWAY, SERVER, '198.51.100.8', '203.0.113.1', DMZ, DMZ_HOST, HOST, BOX, '192.168.0.255', '224.0.0.1', '255.255.255.255', '127.0.0.1', '0.0.0.0', '240.0.0.1', '192.168.201.77'];
const USUAL: Record<LinkName, string[]> = { lan: [PC1, PC2], wan1: [SERVER, GATEWAY, '198.51.100.8'], wan2: [SERVER, GATEWAY, '198.51.100.8'], dmz: [DMZ_HOST], host: [BOX, WAN1] };
const PORTS = [22, 53, 80, 4000, 4001, 4002, 50_000, 0, 65_535];
const FLAGS = ['S', 'SA', 'A', 'PA', 'FA', 'R', 'RA', 'F', '', 'SF', 'SFRPAUEC'];

function transport(d: Dice): make.Transport {
  const sourcePort = d.of(PORTS), destinationPort = d.of(PORTS), payload = d.bytes(d.chance(5) ? d.below(3000) : d.below(40));
  const checksum = d.chance(10) ? 'wrong' as const : 'right' as const;
  switch (d.below(6)) {
    case 0:
    case 1: return make.tcp({ sourcePort, destinationPort, flags: d.of(FLAGS), payload, sequence: d.next(), acknowledgement: d.next(), options: d.bytes(4 * d.below(11)), checksum });
    case 2:
    case 3: return make.udp({ sourcePort, destinationPort, payload, checksum: d.chance(10) ? 'none' : checksum, ...(d.chance(5) ? { length: d.below(100) } : {}) });
    case 4: return d.chance(50) ? make.echoRequest({ id: sourcePort, payload, checksum }) : make.echoReply({ id: sourcePort, payload, checksum });
    default: return make.icmp({ type: d.below(20), code: d.below(16), word: d.next(), checksum }, payload);
  }
}

function packet(d: Dice, link: LinkName): Buffer {
  return make.ipv4({
    source: d.chance(80) ? d.of(USUAL[link]) : d.of(ADDRESSES), destination: d.of(ADDRESSES), ttl: d.chance(80) ? 64 : d.below(4), id: d.below(4), tos: d.below(256),
    dontFragment: d.chance(30), ...(d.chance(10) ? { options: d.chance(50) ? d.bytes(4 * d.below(11)) : Buffer.alloc(4, 1) } : {}),
    ...(d.chance(10) ? { moreFragments: d.chance(50), offset: 8 * d.below(20) } : {}), ...(d.chance(3) ? { totalLength: d.below(2000) } : {}),
    ...(d.chance(3) ? { checksum: 'wrong' as const } : {}), ...(d.chance(3) ? { version: d.below(16) } : {}), ...(d.chance(3) ? { headerWords: d.below(16) } : {}),
  }, transport(d));
}

/** An answer to something that left, or an error about it: what random packets never hit. */
function answer(d: Dice, sent: Sent): Buffer {
  const p = sent.packet;
  const source = make.formatAddress(p.subarray(12, 16)), destination = make.formatAddress(p.subarray(16, 20));
  const header = (p[0] & 15) * 4;
  if (d.chance(40)) return make.ipv4({ source: d.chance(50) ? destination : d.of(ADDRESSES), destination: source }, make.icmp({ type: d.of([3, 11, 12, 4, 5]), code: d.below(16), word: d.next() }, Buffer.from(p.subarray(0, d.chance(50) ? p.length : 20 + d.below(p.length)))));
  const back = Buffer.from(p.subarray(header));
  if (back.length >= 4 && (p[9] === 6 || p[9] === 17)) {
    back.writeUInt16BE(p.readUInt16BE(header + 2), 0);
    back.writeUInt16BE(p.readUInt16BE(header), 2);
    if (p[9] === 6 && back.length > 13) back[13] = d.of([0x12, 0x10, 0x11, 0x18, 0x04]);
  } else if (back.length >= 1 && p[9] === 1) {
    back[0] = 0;
  }
  return make.ipv4({ source: destination, destination: source, protocol: p[9], ttl: d.chance(90) ? 60 : 1, dontFragment: d.chance(30) }, back);
}

/** A frame off a wire that does damage: bytes flipped, cut off, put in. Half of the time the IP checksum is made right again. */
function damage(d: Dice, frame: Buffer, ipAt: number): Buffer {
  let bytes = Buffer.from(frame);
  for (let i = d.below(4); i > 0 && bytes.length > 0; i--) bytes[d.chance(70) ? d.below(Math.min(bytes.length, ipAt + 40)) : d.below(bytes.length)] = d.next() & 255;
  if (d.chance(15)) bytes = bytes.subarray(0, d.below(bytes.length + 1));
  if (d.chance(10)) bytes = Buffer.concat([bytes, d.bytes(d.below(64))]);
  if (d.chance(60) && bytes.length >= ipAt + 20) {
    const end = Math.min(bytes.length, ipAt + Math.max(20, (bytes[ipAt] & 15) * 4));
    bytes.writeUInt16BE(0, ipAt + 10);
    bytes.writeUInt16BE(~make.onesSum(bytes.subarray(ipAt, end)) & 0xffff, ipAt + 10);
  }
  return bytes;
}

function vnetFor(d: Dice, frame: Buffer): Buffer | undefined {
  if (frame.length < 40 || d.chance(92)) return undefined;
  // As a kernel lets it through: offsets inside of the frame, a segment size that is not zero.
  const checksumStart = d.below(frame.length - 18), checksumOffset = d.below(16);
  return make.vnet({ needsChecksum: d.chance(70), gso: d.of([undefined, 'tcp', 'udp'] as const), ecn: d.chance(10), headerLength: 54, segmentBytes: 1 + d.below(1500), checksumStart, checksumOffset });
}

function arpFrame(d: Dice, link: LinkName): Buffer {
  const senderMac = d.of([MAC.pc1, MAC.gateway1, MAC.gateway2, '02:00:00:00:77:77', make.BROADCAST_MAC]);
  const fields: make.ArpFields = { operation: d.of(['request', 'reply']), senderMac, sender: d.of(ADDRESSES), target: d.of(ADDRESSES), targetMac: d.of(Object.values(MAC)) };
  return make.ethernet({ source: senderMac, destination: d.of([make.BROADCAST_MAC, OUR_MAC[link]]), type: make.ETHERTYPE.arp }, make.arp(fields));
}

function frame(d: Dice, r: Rig, link: LinkName, recent: Sent[]): Buffer {
  const ipAt = link === 'host' ? 0 : 14;
  if (d.chance(3)) return d.bytes(d.below(100));
  if (link !== 'host' && d.chance(8)) {
    const made = arpFrame(d, link);
    return d.chance(20) ? damage(d, made, 14) : made;
  }
  const sent = d.chance(35) && recent.length > 0 ? d.of(recent) : undefined;
  const made = sent !== undefined && sent.link === link ? answer(d, sent) : packet(d, link);
  const whole = r.frame(link, made, d.chance(97) ? {} : { destination: d.of([make.BROADCAST_MAC, '02:00:00:00:00:55', '01:00:5e:00:00:01']) });
  return d.chance(30) ? damage(d, whole, ipAt) : whole;
}

function run(seed: number, frames: number): void {
  const d = new Dice(seed);
  const options: RigOptions = {
    seed, dmz: true, host: true, separate: seed % 2 === 0, mtu: { wan1: 1400, dmz: 600 }, offloads: { wan1: OFFLOAD_CSUM | OFFLOAD_TSO4, lan: OFFLOAD_CSUM },
    limits: { flows: 512, neighbours: 24, heldPackets: 32, fragments: 8, fragmentBytes: 65_535, ...(seed % 3 === 0 ? { snatPortFirst: 4000, snatPortLast: 4063 } : {}) },
  };
  const r = rig(options);
  let recent: Sent[] = [];
  let received = 0, left = 0;
  for (let batch = 0; received < frames; batch++) {
    try {
      for (let i = 0; i < BATCH; i++, received++) {
        const link = d.of(r.names);
        const bytes = frame(d, r, link, recent);
        r.put(link, bytes, { vnet: vnetFor(d, bytes), vlanTci: d.chance(1) ? d.below(4096) : -1 });
      }
      if (d.chance(10)) r.clock.advance(d.below(d.chance(5) ? 400_000 : 3000));
      if (d.chance(2)) {
        const link = d.of(r.names);
        r.setUp(link, false);
        if (d.chance(50)) r.run();
        r.setUp(link, true);
      }
      if (d.chance(20)) r.teach();
      const sent = r.run();
      left += sent.length;
      for (const { link, frame: out, isArp } of sent) {
        if (link === 'host') continue;
        assert.is(make.formatMac(out.subarray(6, 12)), OUR_MAC[link], 'leaves with its link’s own MAC');
        if (!isArp) assert.is(out[0] & 1, 0, 'an IP packet goes to one station');
      }
      recent = [...sent.filter(({ isArp }) => !isArp), ...recent].slice(0, 60);
    } catch (error) {
      (error as Error).message = `seed ${seed}, batch ${batch}: ${(error as Error).message}`;
      throw error;
    }
  }
  assert.ok(left > frames / 20, `the test reaches the far end: ${left} of ${frames}`);
  // Everything that waits comes to an end, and everything that was taken is given back.
  r.advance(8_000_000, 100_000);
  for (let i = 0; i < 20; i++) r.run();
  assert.is(r.flowCount, 0);
  assert.is(r.router.heldCount, 0);
  assert.is(r.router.fragments.count, 0);
  assert.is(r.router.fragments.bytes, 0);
  for (const [uplink] of r.router.uplinks.entries()) {
    assert.is(r.router.counters.uplink(uplink, 4), 0, 'flows of the uplink');
    assert.is(r.router.counters.uplink(uplink, 6), 0, 'ports of the uplink');
  }
  for (const link of r.names) assert.is(r.verdict(link, 'HELD'), 0);
}

/** Packets without a fault: whatever leaves, translated, cut up, quoted or made by the router, has every checksum right. */
function runClean(seed: number, frames: number): void {
  const d = new Dice(seed);
  const r = rig({ seed, dmz: true, host: true, mtu: { wan1: 1000, dmz: 600 }, limits: { flows: 512 } });
  const clean = (link: LinkName): Buffer => {
    const sourcePort = d.of(PORTS), destinationPort = d.of(PORTS), payload = d.bytes(d.below(d.chance(10) ? 1400 : 40));
    const l4 = d.of([make.tcp({ sourcePort, destinationPort, flags: d.of(FLAGS), payload }), make.udp({ sourcePort, destinationPort, payload }), make.echoRequest({ id: sourcePort, payload }), make.echoReply({ id: sourcePort, payload })]);
    return make.ipv4({ source: d.of(USUAL[link]), destination: d.of(ADDRESSES), ttl: d.chance(90) ? 64 : 1, id: d.below(65_536), dontFragment: d.chance(50) }, l4);
  };
  let recent: Sent[] = [];
  for (let batch = 0; batch * BATCH < frames; batch++) {
    for (let i = 0; i < BATCH; i++) {
      const link = d.of(r.names);
      const sent = d.chance(50) && recent.length > 0 ? d.of(recent) : undefined;
      let made = clean(link);
      if (sent !== undefined && sent.link === link) {
        const back = make.formatAddress(sent.packet.subarray(12, 16)), from = make.formatAddress(sent.packet.subarray(16, 20));
        const ports = sent.packet.subarray((sent.packet[0] & 15) * 4);
        const reply = sent.packet[9] === 17 ? make.udp({ sourcePort: ports.readUInt16BE(2), destinationPort: ports.readUInt16BE(0), payload: d.bytes(d.below(1400)) })
          : sent.packet[9] === 6 ? make.tcp({ sourcePort: ports.readUInt16BE(2), destinationPort: ports.readUInt16BE(0), flags: d.of(['SA', 'A', 'FA']), payload: d.bytes(d.below(1400)) })
          : make.echoReply({ id: ports.readUInt16BE(4) });
        made = d.chance(70) ? make.ipv4({ source: from, destination: back }, reply) : make.ipv4({ source: from, destination: back }, make.icmp({ type: 3, code: d.below(4) }, Buffer.from(sent.packet)));
      }
      for (const piece of d.chance(10) && made.length > 100 ? make.fragments(made, [40, 80]) : [made]) r.put(link, r.frame(link, piece));
    }
    if (d.chance(5)) r.clock.advance(d.below(20_000));
    if (d.chance(30)) r.teach();
    const sent = r.run();
    try {
      for (const { packet: out, isArp } of sent) if (!isArp) expect(out, ipv4());
    } catch (error) {
      (error as Error).message = `seed ${seed}, batch ${batch}: ${(error as Error).message}`;
      throw error;
    }
    recent = [...sent.filter(({ isArp, packet: out }) => !isArp && (out.readUInt16BE(6) & 0x1fff) === 0), ...recent].slice(0, 60);
  }
}

for (const seed of [11, 12]) test(`20000 faultless frames leave with every checksum right, seed ${seed}`, () => runClean(seed, 20_000));

for (const seed of SEEDS) test(`${FRAMES / SEEDS.length} random and mutated frames, seed ${seed}`, () => run(seed, FRAMES / SEEDS.length));

test.run();
