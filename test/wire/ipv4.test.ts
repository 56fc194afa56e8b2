/** IPv4 headers: fields, checksum, options. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as ip from '../../src/wire/ipv4.js';
import { onesSum } from '../support/oracle/checksum.js';
import { ipv4 } from '../support/oracle/ipv4.js';
import { check, word16, word32 } from '../support/oracle/property.js';

interface Option { type: number; data: number[] }

const NOP: Option = { type: 1, data: [] };

function encode(options: readonly Option[]): Buffer {
  const bytes = options.flatMap(({ type, data }) => (type === 1 ? [1] : [type, data.length + 2, ...data]));
  while (bytes.length & 3) bytes.push(0);
  return Buffer.from(bytes);
}

const option: fc.Arbitrary<Option> = fc.oneof(
  fc.constant(NOP),
  fc.record({
    type: fc.integer({ min: 2, max: 255 }).filter((type) => type !== 131 && type !== 137),
    data: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 9 }),
  }));
const options = fc.array(option, { maxLength: 6 }).filter((all) => encode(all).length <= 40);

const header = fc.record({
  source: word32, destination: word32, protocol: fc.integer({ min: 0, max: 255 }), id: word16, fragment: word16,
  ttl: fc.integer({ min: 1, max: 255 }), tos: fc.integer({ min: 0, max: 255 }),
});

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

test('every field is read from where it stands', () => {
  check(fc.property(header, options, (fields, all) => {
    const encoded = encode(all);
    const packet = ipv4({ ...fields, options: encoded }, Buffer.alloc(5));
    const view = viewOf(packet);
    assert.equal([
      ip.headerLength(view, 0), ip.totalLength(view, 0), ip.identification(view, 0), ip.fragmentWord(view, 0), ip.ttl(view, 0), ip.protocol(view, 0),
      ip.source(view, 0), ip.destination(view, 0),
    ], [20 + encoded.length, packet.length, fields.id, fields.fragment, fields.ttl, fields.protocol, fields.source, fields.destination]);
  }), 200);
});

test('a header written is the header built by hand', () => {
  check(fc.property(header, word16, (fields, at) => {
    const expected = ipv4(fields, Buffer.alloc(7));
    const offset = (at & 15) * 4;
    const bytes = Buffer.alloc(128, 0xee);
    ip.writeIpv4(viewOf(bytes), offset, 27, fields.id, fields.fragment, fields.ttl, fields.protocol, fields.source, fields.destination, fields.tos);
    assert.equal(bytes.subarray(offset, offset + 20), expected.subarray(0, 20));
    assert.is(bytes[offset + 20], 0xee);
  }), 200);
});

test('the checksum is right as built and wrong after any bit has flipped', () => {
  check(fc.property(header, options, fc.nat(), fc.integer({ min: 0, max: 7 }), (fields, all, pick, bit) => {
    const packet = ipv4({ ...fields, options: encode(all) }, Buffer.alloc(4));
    const length = packet.length - 4;
    assert.ok(ip.checksumIsRight(viewOf(packet), 0, length));
    packet[1 + (pick % (length - 1))] ^= 1 << bit;
    assert.not(ip.checksumIsRight(viewOf(packet), 0, length));
    ip.writeChecksum(viewOf(packet), 0);
    assert.is(onesSum(packet.subarray(0, length)), 0xffff);
  }), 300);
});

test('a changed word and a hop less are the header built anew', () => {
  check(fc.property(header, options, word16, (fields, all, id) => {
    const encoded = encode(all);
    const packet = ipv4({ ...fields, options: encoded }, Buffer.alloc(0));
    ip.setWord(viewOf(packet), 0, 4, id);
    assert.equal(packet, ipv4({ ...fields, id, options: encoded }, Buffer.alloc(0)));
    ip.decrementTtl(viewOf(packet), 0);
    assert.equal(packet, ipv4({ ...fields, id, ttl: fields.ttl - 1, options: encoded }, Buffer.alloc(0)));
  }), 300);
});

const hasSourceRoute = (bytes: Uint8Array): boolean => {
  const packet = ipv4({ source: 1, destination: 2, protocol: 6, options: bytes }, Buffer.alloc(0));
  return ip.hasSourceRoute(viewOf(packet), 0, packet.length);
};

test('a source route is found wherever it stands, and nothing else is taken for one', () => {
  check(fc.property(options, fc.nat(), fc.constantFrom(131, 137), (all, pick, type) => {
    fc.pre(encode(all).length <= 32);
    assert.not(hasSourceRoute(encode(all)));
    const at = pick % (all.length + 1);
    assert.ok(hasSourceRoute(encode([...all.slice(0, at), { type, data: [4, 10, 0, 0, 1] }, ...all.slice(at)])));
  }), 500);
  // Its number inside of another option's data is data.
  assert.not(hasSourceRoute(encode([{ type: 68, data: [131, 7, 137, 3] }])));
});

test('options that do not parse are treated as a source route; what follows the end of the list does not count', () => {
  const malformed: readonly number[][] = [
    [68, 0, 0, 0], [68, 1, 0, 0], [68, 5, 0, 0], [1, 1, 1, 68], [68, 3, 0, 68], [7, 4, 0, 0, 7, 255, 0, 0],
  ];
  for (const bytes of malformed) assert.ok(hasSourceRoute(Uint8Array.from(bytes)), bytes.join());
  assert.not(hasSourceRoute(Uint8Array.from([0, 131, 3, 4])));
  assert.not(hasSourceRoute(Uint8Array.from([1, 1, 1, 0])));
});

/** The header of a later fragment, by RFC 791 §3.1: only options whose copied flag (128) is set. */
function laterHeader(packet: Buffer, all: readonly Option[]): Buffer {
  const kept = encode(all.filter(({ type }) => type !== 1 && type >= 128));
  const expected = Buffer.concat([packet.subarray(0, 20), kept]);
  expected[0] = 0x40 | (expected.length / 4);
  return expected;
}

test('a later fragment bears the options with the copied flag and no others', () => {
  check(fc.property(header, options, (fields, all) => {
    const packet = ipv4({ ...fields, options: encode(all) }, Buffer.alloc(0));
    const bytes = Buffer.alloc(256, 0xee);
    bytes.set(packet, 64);
    const expected = laterHeader(packet, all);
    assert.is(ip.copyFragmentHeader(viewOf(bytes), 64, 160), expected.length);
    assert.equal(bytes.subarray(160, 160 + expected.length), expected);
    assert.equal(bytes.subarray(64, 64 + packet.length), packet);
    assert.is(bytes[160 + expected.length], 0xee);
  }), 500);
});

test('copying malformed options stays inside of the header', () => {
  check(fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), fc.integer({ min: 0, max: 10 }), (noise, words) => {
    const packet = ipv4({ source: 1, destination: 2, protocol: 6, options: noise.subarray(0, words * 4) }, Buffer.alloc(0));
    const bytes = Buffer.alloc(256, 0xee);
    bytes.set(packet, 64);
    const length = ip.copyFragmentHeader(viewOf(bytes), 64, 160);
    assert.ok(length >= 20 && length <= packet.length && length % 4 === 0);
    assert.is(ip.headerLength(viewOf(bytes), 160), length);
    assert.is(bytes[160 + length], 0xee);
  }), 500);
});

test.run();
