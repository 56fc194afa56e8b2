/** The packet's view of a record: parsing, rewriting with every checksum, the virtio-net header. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NONE } from '../../src/wire/packet.js';
import type { Packet } from '../../src/wire/packet.js';
import { GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_UDP_L4, VNET_F_DATA_VALID, VNET_F_NEEDS_CSUM } from '../../src/wire/vnet.js';
import { onesDifference } from '../support/oracle/checksum.js';
import { checksumOffset, checksumsAreRight, headerLength, icmp, ICMP, ipv4, TCP, tcp, transport, UDP, udp } from '../support/oracle/ipv4.js';
import type { ChecksumForm } from '../support/oracle/ipv4.js';
import { anySeed, bytesOf, check, word16, word32 } from '../support/oracle/property.js';
import { bytesAt, packet, place, PLAIN, readVnet } from '../support/oracle/record.js';
import type { Vnet } from '../support/oracle/record.js';

const p = packet();

interface Ends { source: number; destination: number; sourcePort: number; destinationPort: number }
type Kind = 'tcp' | 'udp' | 'request' | 'reply' | 'error' | 'other';

interface Case { kind: Kind; form: ChecksumForm; seed: number; length: number; options: number }

/** The packet of a case with these ends. An ICMP query has only its identifier, an error and every other protocol no ports at all. */
function build(c: Case, ends: Ends): Buffer {
  const payload = bytesOf(c.seed, c.length);
  const header = { source: ends.source, destination: ends.destination, id: c.seed & 0xffff, options: Buffer.alloc(c.options * 4, 1) };
  const ports = (ends.sourcePort << 16) | ends.destinationPort;
  switch (c.kind) {
    case 'tcp': return transport({ ...header, protocol: TCP }, tcp({ ports, sequence: c.seed, flags: 0x18 }, payload), c.form);
    case 'udp': return transport({ ...header, protocol: UDP }, udp(ports, payload), c.form);
    case 'request': return ipv4({ ...header, protocol: ICMP }, icmp(8, 0, ends.sourcePort, payload));
    case 'reply': return ipv4({ ...header, protocol: ICMP }, icmp(0, 0, ends.destinationPort, payload));
    case 'error': return ipv4({ ...header, protocol: ICMP }, icmp(3, 4, 7, payload));
    case 'other': return ipv4({ ...header, protocol: 47 }, payload);
  }
}

const hasPort = (kind: Kind, end: 'source' | 'destination'): boolean =>
  kind === 'tcp' || kind === 'udp' || (kind === 'request' && end === 'source') || (kind === 'reply' && end === 'destination');

/** Ports the kind does not have are 0, before and after. */
function fit(kind: Kind, ends: Ends): Ends {
  return { ...ends, sourcePort: hasPort(kind, 'source') ? ends.sourcePort : 0, destinationPort: hasPort(kind, 'destination') ? ends.destinationPort : 0 };
}

const vnetOf = (c: Case, bytes: Buffer, linkHeader: number): Vnet => (c.form !== 'partial' || (c.kind !== 'tcp' && c.kind !== 'udp') ? PLAIN : {
  ...PLAIN, flags: VNET_F_NEEDS_CSUM, csumStart: linkHeader + headerLength(bytes), csumOffset: checksumOffset(bytes[9]),
});

const ends: fc.Arbitrary<Ends> = fc.record({ source: word32, destination: word32, sourcePort: word16, destinationPort: word16 });
const anyCase: fc.Arbitrary<Case> = fc.record({
  kind: fc.constantFrom<Kind>('tcp', 'udp', 'request', 'reply', 'error', 'other'), form: fc.constantFrom<ChecksumForm>('complete', 'partial'),
  seed: anySeed, length: fc.integer({ min: 0, max: 70 }), options: fc.integer({ min: 0, max: 10 }),
});
const udpWithout: fc.Arbitrary<Case> = anyCase.map((c) => ({ ...c, kind: 'udp', form: 'absent' }));

function rewrite(to: Ends, order: boolean): void {
  if (order) p.rewriteSource(to.source, to.sourcePort);
  p.rewriteDestination(to.destination, to.destinationPort);
  if (!order) p.rewriteSource(to.source, to.sourcePort);
}

/** The two zeroes of one's complement as one: an ICMP checksum may be either, but for a message that is all zeroes. */
function withOneZero(bytes: Buffer): Buffer {
  const at = headerLength(bytes) + 2;
  if (bytes[9] === ICMP && bytes.readUInt16BE(at) === 0xffff) bytes.writeUInt16BE(0, at);
  return bytes;
}

test('rewriting both ends gives the packet built with the new ends, checksum complete, partial or absent', () => {
  check(fc.property(fc.oneof({ weight: 5, arbitrary: anyCase }, { weight: 1, arbitrary: udpWithout }), ends, ends, fc.boolean(), (c, from, to, order) => {
    const before = build(c, fit(c.kind, from));
    assert.ok(place(p, before, 64, 14, vnetOf(c, before, 14)));
    rewrite(fit(c.kind, to), order);
    const after = bytesAt(p);
    if (c.form !== 'partial') assert.ok(checksumsAreRight(after));
    assert.equal(withOneZero(Buffer.from(after)), withOneZero(build(c, fit(c.kind, to))));
    // The view says what the bytes say.
    const { tuple } = p;
    const now = [tuple.s2, tuple.s3, tuple.d2, tuple.d3, tuple.ports, tuple.protocol, p.protocol];
    assert.ok(place(p, after));
    assert.equal(now, [tuple.s2, tuple.s3, tuple.d2, tuple.d3, tuple.ports, tuple.protocol, p.protocol]);
  }), 2000);
});

test('there and back is the packet as it came, also when nothing changes', () => {
  check(fc.property(anyCase, ends, ends, fc.boolean(), (c, from, to, isSame) => {
    const before = build(c, fit(c.kind, from));
    place(p, before, 64, 0, vnetOf(c, before, 0));
    rewrite(fit(c.kind, isSame ? from : to), true);
    rewrite(fit(c.kind, from), false);
    assert.equal(withOneZero(bytesAt(p)), withOneZero(before));
  }), 500);
});

// conforms: csum-wrong-stays
test('a wrong transport or ICMP checksum comes out wrong by as much as it was', () => {
  check(fc.property(anyCase.filter((c) => c.kind !== 'other' && c.form === 'complete'), ends, ends, word16, (c, from, to, stored) => {
    const before = build(c, fit(c.kind, from));
    const right = build(c, fit(c.kind, to));
    const at = headerLength(before) + (c.kind === 'tcp' ? 16 : c.kind === 'udp' ? 6 : 2);
    fc.pre(c.kind !== 'udp' || stored !== 0);
    const error = onesDifference(stored, before.readUInt16BE(at));
    before.writeUInt16BE(stored, at);
    place(p, before);
    rewrite(fit(c.kind, to), true);
    const after = bytesAt(p);
    assert.is(onesDifference(after.readUInt16BE(at), right.readUInt16BE(at)), error);
    assert.is(checksumsAreRight(after), error === 0);
  }), 1000);
});

test('a wrong IP header checksum stays wrong', () => {
  const before = build({ kind: 'udp', form: 'complete', seed: 1, length: 4, options: 0 }, { source: 1, destination: 2, sourcePort: 3, destinationPort: 4 });
  before[11] ^= 0x01;
  place(p, before);
  p.rewriteSource(0x0a000001, 99);
  assert.not(checksumsAreRight(bytesAt(p)));
});

test('UDP: no checksum stays no checksum, and a computed 0 is sent as 0xffff (RFC 768)', () => {
  const from: Ends = { source: 0x0a000001, destination: 0x0a000002, sourcePort: 1000, destinationPort: 2000 };
  const c: Case = { kind: 'udp', form: 'complete', seed: 5, length: 10, options: 0 };
  // The source port that makes the sum come out as 0.
  let hit = 0;
  for (let port = 1; port < 65536; port++) {
    const wanted = build(c, { ...from, sourcePort: port });
    if (wanted.readUInt16BE(26) !== 0xffff) continue;
    hit++;
    place(p, build(c, from));
    p.rewriteSource(from.source, port);
    assert.equal(bytesAt(p), wanted);
    p.rewriteSource(from.source, from.sourcePort);
    assert.equal(bytesAt(p), build(c, from));
  }
  assert.is(hit, 1);
});

test('an echo reply that comes out as all zeroes has the checksum of nothing, 0xffff', () => {
  const c: Case = { kind: 'reply', form: 'complete', seed: 1, length: 0, options: 0 };
  const from: Ends = { source: 1, destination: 2, sourcePort: 0, destinationPort: 1025 };
  place(p, build(c, from));
  p.rewriteDestination(3, 0);
  assert.equal(bytesAt(p), build(c, { ...from, destination: 3, destinationPort: 0 }));
});

test('an ICMP query with a partial checksum: the sum over its own bytes is still to be done, so it is left alone', () => {
  const bytes = ipv4({ source: 1, destination: 2, protocol: ICMP }, icmp(8, 0, 77, bytesOf(3, 11)));
  bytes.writeUInt16BE(0, 22);
  place(p, bytes, 64, 0, { ...PLAIN, flags: VNET_F_NEEDS_CSUM, csumStart: 20, csumOffset: 2 });
  p.rewriteSource(9, 78);
  assert.is(bytesAt(p).readUInt16BE(22), 0);
  assert.is(bytesAt(p).readUInt16BE(24), 78);
});

test('parsing: ports, flags, types', () => {
  place(p, transport({ source: 1, destination: -2, protocol: TCP }, tcp({ ports: (0xfffe << 16) | 0x8001, flags: 0x12 }, Buffer.alloc(3)), 'complete'));
  assert.equal([p.tuple.s3, p.tuple.d3, p.tuple.sourcePort, p.tuple.destinationPort, p.tcpFlags, p.payloadAt() - p.ipAt, p.lengthBytes], [1, -2, 0xfffe, 0x8001, 0x12, 40, 43]);
  place(p, ipv4({ source: 1, destination: 2, protocol: ICMP }, icmp(8, 0, 0xbeef, Buffer.alloc(0))));
  assert.equal([p.icmpType, p.tuple.ports], [8, (0xbeef << 16) | 0]);
  place(p, ipv4({ source: 1, destination: 2, protocol: ICMP }, icmp(0, 0, 0xbeef, Buffer.alloc(0))));
  assert.equal([p.icmpType, p.tuple.ports], [0, 0xbeef]);
  place(p, ipv4({ source: 1, destination: 2, protocol: ICMP }, icmp(11, 0, 0xbeef, Buffer.alloc(28))));
  assert.is(p.tuple.ports, 0);
  place(p, ipv4({ source: 1, destination: 2, protocol: 50 }, Buffer.from('0102030405060708', 'hex')));
  assert.equal([p.tuple.ports, p.tuple.protocol], [0, 50]);
});

test('transport headers that are cut short or contradict themselves do not parse', () => {
  const segment = tcp({ ports: 5, options: Buffer.alloc(8) }, Buffer.alloc(0));
  const parses = (protocol: number, bytes: Buffer): boolean => place(p, ipv4({ source: 1, destination: 2, protocol }, bytes));
  for (let length = 0; length < 28; length++) assert.not(parses(TCP, segment.subarray(0, length)), `TCP ${length}`);
  assert.ok(parses(TCP, segment));
  for (let words = 0; words < 5; words++) {
    const short = Buffer.from(segment);
    short[12] = words << 4;
    assert.not(parses(TCP, short), `data offset ${words}`);
  }
  for (let length = 0; length < 8; length++) {
    assert.not(parses(UDP, udp(1, Buffer.alloc(0)).subarray(0, length)), `UDP ${length}`);
    assert.not(parses(ICMP, icmp(8, 0, 1, Buffer.alloc(0)).subarray(0, length)), `ICMP ${length}`);
  }
  for (const declared of [0, 7, 13, 65535]) {
    const datagram = udp(1, Buffer.alloc(4));
    datagram.writeUInt16BE(declared, 4);
    assert.not(parses(UDP, datagram), `UDP length ${declared}`);
  }
  const padded = udp(1, Buffer.alloc(4));
  padded.writeUInt16BE(9, 4);
  assert.ok(parses(UDP, padded), 'bytes after the datagram are allowed');
});

/** A TCP packet under a link header, with this virtio-net header. */
function placeWith(vnet: Vnet, linkHeader: number, payload = 100): void {
  place(p, transport({ source: 1, destination: 2, protocol: TCP }, tcp({ ports: 5, options: Buffer.alloc(12) }, Buffer.alloc(payload)), 'partial'), 64, linkHeader, vnet);
}

test('offload metadata survives a change of link header', () => {
  check(fc.property(fc.constantFrom(0, 14), fc.constantFrom(0, 14), fc.constantFrom(GSO_NONE, GSO_TCPV4, GSO_TCPV4 | GSO_ECN), fc.integer({ min: 1, max: 2000 }), fc.boolean(), (before, after, gsoType, gsoSize, isPartial) => {
    const own = gsoType === GSO_NONE ? 0 : gsoSize;
    const csum = isPartial ? { flags: VNET_F_NEEDS_CSUM, csumOffset: 16 } : {};
    placeWith({ ...PLAIN, ...csum, gsoType, gsoSize: own, headerLength: before + 52, csumStart: isPartial ? before + 20 : 0 }, before, 5000);
    assert.is(p.partial, isPartial);
    assert.is(p.csumAt, isPartial ? 20 : NONE);
    p.frameAt = p.ipAt - after;
    p.u8.fill(0xee, p.frameAt - 10, p.frameAt);
    p.storeVnet();
    assert.equal(readVnet(p, p.frameAt), {
      ...PLAIN, ...csum, gsoType, gsoSize: own, headerLength: gsoType === GSO_NONE ? 0 : after + 52, csumStart: isPartial ? after + 20 : 0,
    });
  }), 200);
});

test('a plain record has no metadata, whatever the one before it had', () => {
  placeWith({ ...PLAIN, flags: VNET_F_NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 10, csumStart: 20, csumOffset: 16 }, 0);
  placeWith(PLAIN, 0);
  assert.equal([p.gsoType, p.gsoSize, p.csumAt, p.csumOffset, p.partial], [GSO_NONE, 0, NONE, 0, false]);
  placeWith({ ...PLAIN, flags: VNET_F_DATA_VALID }, 0);
  assert.equal([p.gsoType, p.csumAt, p.partial], [GSO_NONE, NONE, false]);
});

test('every field the stages decide on is cleared for the next record', () => {
  placeWith(PLAIN, 0);
  const clean: Packet = packet(4096);
  place(clean, bytesAt(p));
  const decided = ['vlanTci', 'flow', 'direction', 'isNew', 'isRelated', 'isLocal', 'nexthop', 'outLink', 'mapping', 'uplink', 'neighbour', 'mustFragment', 'fragmentSize'] as const;
  const expected = decided.map((field) => clean[field]);
  for (const field of decided) Object.assign(p, { [field]: typeof p[field] === 'boolean' ? true : 77 });
  placeWith(PLAIN, 0);
  assert.equal(decided.map((field) => p[field]), expected);
});

test('a datagram still to be fragmented by its sender (UFO) is a plain packet with a partial checksum', () => {
  place(p, transport({ source: 1, destination: 2, protocol: UDP }, udp(7, Buffer.alloc(3000)), 'partial'), 64, 0,
    { ...PLAIN, flags: VNET_F_NEEDS_CSUM, gsoType: GSO_UDP, gsoSize: 1480, csumStart: 20, csumOffset: 6 });
  assert.equal([p.gsoType, p.partial, p.wireLengthBytes], [GSO_NONE, true, 3028]);
});

test('a checksum inside of a tunnel is not the packet’s own', () => {
  placeWith({ ...PLAIN, flags: VNET_F_NEEDS_CSUM, csumStart: 60, csumOffset: 6 }, 0);
  assert.not(p.partial);
  p.frameAt = p.ipAt - 14;
  p.storeVnet();
  assert.is(readVnet(p, p.frameAt).csumStart, 74);
});

test('what leaves of a super-frame is a segment, never longer than the packet itself', () => {
  const gso = { ...PLAIN, flags: VNET_F_NEEDS_CSUM, gsoType: GSO_TCPV4, csumStart: 20, csumOffset: 16 };
  placeWith({ ...gso, gsoSize: 1448 }, 0, 5000);
  assert.is(p.wireLengthBytes, 52 + 1448);
  placeWith({ ...gso, gsoSize: 1448 }, 0, 100);
  assert.is(p.wireLengthBytes, 152);
  placeWith(PLAIN, 0, 100);
  assert.is(p.wireLengthBytes, 152);
  place(p, transport({ source: 1, destination: 2, protocol: UDP }, udp(7, Buffer.alloc(3000)), 'partial'), 64, 0,
    { ...PLAIN, flags: VNET_F_NEEDS_CSUM, gsoType: GSO_UDP_L4, gsoSize: 1000, csumStart: 20, csumOffset: 6 });
  assert.is(p.wireLengthBytes, 1028);
});

test('a segment size of 0 makes no super-frame', () => {
  placeWith({ ...PLAIN, flags: VNET_F_NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 0, csumStart: 20, csumOffset: 16 }, 0, 100);
  assert.equal([p.gsoType, p.wireLengthBytes, p.partial], [GSO_NONE, 152, true]);
});

test.run();
