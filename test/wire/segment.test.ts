/** Cutting up: super-frames into segments, datagrams into fragments, and partial checksums finished. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NONE } from '../../src/wire/packet.js';
import { finishChecksum, segmentCount, segmentLength, writeFragment, writeSegment } from '../../src/wire/segment.js';
import { GSO_ECN, GSO_TCPV4, GSO_UDP_L4, VNET_F_NEEDS_CSUM } from '../../src/wire/vnet.js';
import { internetChecksum, onesSum } from '../support/oracle/checksum.js';
import { checksumOffset, checksumsAreRight, headerLength, icmp, ICMP, ipv4, pseudoHeader, reassemble, TCP, tcp, transport, UDP, udp } from '../support/oracle/ipv4.js';
import { anySeed, bytesOf, check, word16, word32 } from '../support/oracle/property.js';
import { bytesAt, packet, place, PLAIN } from '../support/oracle/record.js';
import type { Vnet } from '../support/oracle/record.js';

const p = packet();
const SUPER_AT = 64;
const OUT_AT = 200_000;

const FIN = 1, SYN = 2, PSH = 8, ACK = 16, ECE = 64, CWR = 128;

/** IP options of many kinds, some with the copied flag, as one encoded field. */
const ipOptions = fc.constantFrom('', '01010100', '44080504000000000000000000000000'.slice(0, 16), '940400000707040000000000', '8206abcdef010000', '86080102030405060783070400000000'.slice(0, 16))
  .map((hex) => Buffer.from(hex, 'hex'));

function partialVnet(bytes: Buffer, linkHeader: number): Vnet {
  return { ...PLAIN, flags: VNET_F_NEEDS_CSUM, csumStart: linkHeader + headerLength(bytes), csumOffset: checksumOffset(bytes[9]) };
}

const shape = fc.record({
  source: word32, destination: word32, ports: word32, id: word16, seed: anySeed, options: ipOptions,
  payload: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 60_000 })), gsoSize: fc.integer({ min: 1, max: 9000 }), linkHeader: fc.constantFrom(0, 14),
}).map((s) => ({ ...s, gsoSize: Math.max(s.gsoSize, Math.ceil(s.payload / 64)) }));

function segments(): Buffer[] {
  const all: Buffer[] = [];
  const original = bytesAt(p);
  for (let i = 0; i < segmentCount(p); i++) {
    p.u8.fill(0xee, OUT_AT, OUT_AT + 70_000);
    writeSegment(p, i, OUT_AT);
    const length = segmentLength(p, i);
    assert.is(p.u8[OUT_AT + length], 0xee, 'nothing is written beyond the segment');
    all.push(bytesAt(p, OUT_AT, OUT_AT + length));
  }
  assert.equal(bytesAt(p), original, 'the super-frame is left as it was');
  return all;
}

test('a TCP super-frame is the sum of its segments', () => {
  check(fc.property(shape, word32, word32, fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 10 }), (s, sequence, acknowledgement, flags, optionWords) => {
    const options = bytesOf(s.seed + 1, optionWords * 4);
    const payload = bytesOf(s.seed, s.payload);
    const whole = transport({ ...s, protocol: TCP, fragment: 0x4000, tos: 0xb8, ttl: 9 }, tcp({ ports: s.ports, sequence, acknowledgement, flags, window: 777, options }, payload), 'partial');
    assert.ok(place(p, whole, SUPER_AT, s.linkHeader, { ...partialVnet(whole, s.linkHeader), gsoType: flags & CWR ? GSO_TCPV4 | GSO_ECN : GSO_TCPV4, gsoSize: s.gsoSize }));
    const all = segments();
    assert.is(all.length, Math.ceil(s.payload / s.gsoSize));
    all.forEach((bytes, i) => {
      const isFirst = i === 0, isLast = i === all.length - 1;
      const part = payload.subarray(i * s.gsoSize, (i + 1) * s.gsoSize);
      const own = flags & (isFirst ? 0xff : ~CWR) & (isLast ? 0xff : ~(FIN | PSH));
      const header = { ...s, protocol: TCP, fragment: 0x4000, tos: 0xb8, ttl: 9, id: (s.id + i) & 0xffff };
      const expected = tcp({ ports: s.ports, sequence: (sequence + i * s.gsoSize) | 0, acknowledgement, flags: own, window: 777, options }, part);
      assert.equal(bytes, transport(header, expected, 'complete'), `segment ${i} of ${all.length}`);
      assert.ok(checksumsAreRight(bytes));
    });
  }), 60);
});

test('flags of a super-frame: FIN and PSH on the last segment, CWR on the first, the others on each (RFC 3168 §6.1.2)', () => {
  const whole = transport({ source: 1, destination: 2, protocol: TCP }, tcp({ ports: 3, flags: FIN | PSH | ACK | ECE | CWR | SYN }, bytesOf(1, 250)), 'partial');
  place(p, whole, SUPER_AT, 0, { ...partialVnet(whole, 0), gsoType: GSO_TCPV4 | GSO_ECN, gsoSize: 100 });
  assert.equal(segments().map((bytes) => bytes[33]), [SYN | ACK | ECE | CWR, SYN | ACK | ECE, SYN | ACK | ECE | FIN | PSH]);
});

test('a UDP super-frame is the sum of its datagrams', () => {
  check(fc.property(shape, (s) => {
    const payload = bytesOf(s.seed, s.payload);
    const header = { ...s, protocol: UDP };
    const whole = transport(header, udp(s.ports, payload), 'partial');
    assert.ok(place(p, whole, SUPER_AT, s.linkHeader, { ...partialVnet(whole, s.linkHeader), gsoType: GSO_UDP_L4, gsoSize: s.gsoSize }));
    const all = segments();
    assert.is(all.length, Math.ceil(s.payload / s.gsoSize));
    all.forEach((bytes, i) => {
      const part = payload.subarray(i * s.gsoSize, (i + 1) * s.gsoSize);
      assert.equal(bytes, transport({ ...header, id: (s.id + i) & 0xffff }, udp(s.ports, part), 'complete'), `datagram ${i} of ${all.length}`);
    });
  }), 60);
});

test('a UDP segment whose sum comes out as 0 says 0xffff', () => {
  const payload = bytesOf(9, 20);
  // The last word of each half makes the sum 0.
  for (const at of [8, 18]) {
    payload.fill(0, at, at + 2);
    const half = payload.subarray(at - 8, at + 2);
    const value = transport({ source: 5, destination: 6, protocol: UDP }, udp(7, half), 'complete').readUInt16BE(26);
    payload[at] = value >> 8;
    payload[at + 1] = value & 255;
  }
  const whole = transport({ source: 5, destination: 6, protocol: UDP }, udp(7, payload), 'partial');
  place(p, whole, SUPER_AT, 0, { ...partialVnet(whole, 0), gsoType: GSO_UDP_L4, gsoSize: 10 });
  assert.equal(segments().map((bytes) => bytes.readUInt16BE(26)), [0xffff, 0xffff]);
});

test('what is no super-frame is one segment', () => {
  place(p, transport({ source: 1, destination: 2, protocol: TCP }, tcp({ ports: 3 }, Buffer.alloc(5000)), 'complete'));
  assert.is(segmentCount(p), 1);
});

/** Every fragment of [ipAt, end), as egress asks for them. */
function fragments(ipAt: number, end: number, most: number): Buffer[] {
  const payload = end - ipAt - headerLength(p.u8.subarray(ipAt));
  const all: Buffer[] = [];
  for (let offset = 0; offset < payload;) {
    p.u8.fill(0xee, OUT_AT, OUT_AT + 70_000);
    const length = writeFragment(p, ipAt, end, offset, most, OUT_AT);
    const bytes = bytesAt(p, OUT_AT, OUT_AT + length);
    assert.is(p.u8[OUT_AT + length], 0xee, 'nothing is written beyond the fragment');
    assert.ok(length > headerLength(bytes), 'every fragment carries something');
    offset += length - headerLength(bytes);
    all.push(bytes);
  }
  return all;
}

test('fragments put together are the datagram, each as full as it can be and no larger than asked', () => {
  const size = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 65_000 }));
  check(fc.property(anySeed, size, ipOptions, fc.integer({ min: 0, max: 1600 }), word16, fc.boolean(), (seed, length, options, extra, id, df) => {
    const header = { source: seed, destination: ~seed, protocol: 50, id, fragment: df ? 0x4000 : 0, options, tos: 0x10 };
    const whole = ipv4(header, bytesOf(seed, length));
    const most = 20 + options.length + 8 + Math.max(extra, Math.ceil(length / 100));
    place(p, whole);
    const all = fragments(p.ipAt, p.end, most);
    assert.equal(bytesAt(p), whole, 'the datagram is left as it was');
    all.forEach((bytes, i) => {
      assert.ok(bytes.length <= most);
      assert.is(bytes.readUInt16BE(2), bytes.length);
      assert.ok(checksumsAreRight(bytes));
      assert.is(bytes.readUInt16BE(4), id);
      assert.is((bytes.readUInt16BE(6) & 0x4000) !== 0, df);
      const room = Math.floor((most - headerLength(bytes)) / 8) * 8;
      if (i < all.length - 1) assert.is(bytes.length - headerLength(bytes), room);
      if (i === 0) assert.equal(bytes.subarray(20, headerLength(bytes)), options);
    });
    assert.equal(reassemble(all), whole);
    assert.equal(reassemble([...all].reverse()), whole);
  }), 150);
});

test('a datagram that fits is one fragment, the same as it was', () => {
  const whole = ipv4({ source: 1, destination: 2, protocol: ICMP, id: 3 }, icmp(8, 0, 4, bytesOf(1, 1472)));
  place(p, whole);
  assert.equal(fragments(p.ipAt, p.end, 1500), [whole]);
  assert.is(fragments(p.ipAt, p.end, 1499).length, 2);
});

test('only the first fragment has the options without the copied flag (RFC 791 §3.1)', () => {
  // Record route (7), then router alert (148, copied).
  const options = Buffer.from('070704000000000194040000', 'hex');
  place(p, ipv4({ source: 1, destination: 2, protocol: 50, options }, bytesOf(1, 100)));
  const [first, second] = fragments(p.ipAt, p.end, 80);
  assert.equal(first.subarray(20, headerLength(first)), options);
  assert.is(second.subarray(20, headerLength(second)).toString('hex'), '94040000');
});

test('a partial checksum is finished to what the sender would have written', () => {
  check(fc.property(anySeed, fc.integer({ min: 0, max: 300 }), word32, word32, fc.boolean(), fc.constantFrom(0, 14), ipOptions, (seed, length, source, destination, isTcp, linkHeader, options) => {
    const header = { source, destination, protocol: isTcp ? TCP : UDP, options };
    const segment = isTcp ? tcp({ ports: seed }, bytesOf(seed, length)) : udp(seed, bytesOf(seed, length));
    const partial = transport(header, segment, 'partial');
    place(p, partial, SUPER_AT, linkHeader, partialVnet(partial, linkHeader));
    finishChecksum(p);
    assert.equal(bytesAt(p), transport(header, segment, 'complete'));
    assert.equal([p.csumAt, p.partial], [NONE, false]);
    finishChecksum(p);
    assert.equal(bytesAt(p), transport(header, segment, 'complete'));
  }), 300);
});

test('a finished sum of 0 is 0xffff for UDP and 0 for TCP', () => {
  for (const protocol of [UDP, TCP]) {
    const at = checksumOffset(protocol);
    const make = (word: number): Buffer => {
      const payload = Buffer.alloc(6, 0x11);
      payload.writeUInt16BE(word, 4);
      return protocol === UDP ? udp(5, payload) : tcp({ ports: 5 }, payload);
    };
    const header = { source: 1, destination: 2, protocol };
    const length = make(0).length;
    const word = internetChecksum(make(0), onesSum(pseudoHeader(1, 2, protocol, length)));
    const partial = transport(header, make(word), 'partial');
    place(p, partial, SUPER_AT, 0, partialVnet(partial, 0));
    finishChecksum(p);
    assert.is(bytesAt(p).readUInt16BE(20 + at), protocol === UDP ? 0xffff : 0);
  }
});

test.run();
