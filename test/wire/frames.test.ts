/** The small codecs, ethernet arp icmp tcp udp: each reads what was laid down by hand, and writes what reads back. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as arp from '../../src/wire/arp.js';
import * as ethernet from '../../src/wire/ethernet.js';
import * as icmp from '../../src/wire/icmp.js';
import * as tcp from '../../src/wire/tcp.js';
import * as udp from '../../src/wire/udp.js';
import { icmp as buildIcmp, tcp as buildTcp, udp as buildUdp } from '../support/oracle/ipv4.js';
import { anySeed, bytesOf, check, word16, word32 } from '../support/oracle/property.js';

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

test('ethernet', () => {
  const bytes = Buffer.from('0102030405060a0b0c0d0e0f0800', 'hex');
  const view = viewOf(bytes);
  assert.equal([ethernet.destinationHigh(view, 0), ethernet.destinationLow(view, 0), ethernet.sourceHigh(view, 0), ethernet.sourceLow(view, 0), ethernet.etherType(view, 0)],
    [0x0102, 0x03040506, 0x0a0b, 0x0c0d0e0f, ethernet.ETHERTYPE_IPV4]);
  const written = Buffer.alloc(20, 0xee);
  ethernet.writeEthernet(viewOf(written), 3, ethernet.BROADCAST_HIGH, ethernet.BROADCAST_LOW, 0x0a0b, 0x0c0d0e0f, ethernet.ETHERTYPE_ARP);
  assert.is(written.toString('hex'), 'eeeeeeffffffffffff0a0b0c0d0e0f0806eeeeee');
});

test('ARP', () => {
  const bytes = Buffer.from('00010800060400020a0b0c0d0e0fc0a80001010203040506c0a80004', 'hex');
  assert.is(bytes.length, arp.ARP_LENGTH);
  const view = viewOf(bytes);
  assert.ok(arp.isArpOverEthernet(view, 0));
  assert.equal([arp.operation(view, 0), arp.senderHigh(view, 0), arp.senderLow(view, 0), arp.senderIp(view, 0), arp.targetIp(view, 0)],
    [arp.ARP_REPLY, 0x0a0b, 0x0c0d0e0f, 0xc0a80001 | 0, 0xc0a80004 | 0]);
  const written = Buffer.alloc(arp.ARP_LENGTH);
  arp.writeArp(viewOf(written), 0, arp.ARP_REPLY, 0x0a0b, 0x0c0d0e0f, 0xc0a80001 | 0, 0x0102, 0x03040506, 0xc0a80004 | 0);
  assert.equal(written, bytes);
  for (let i = 0; i < 6; i++) {
    const other = Buffer.from(bytes);
    other[i] ^= 0x10;
    assert.not(arp.isArpOverEthernet(viewOf(other), 0), `byte ${i}`);
  }
});

test('ICMP: checksum, identifier, and which types are what', () => {
  check(fc.property(anySeed, fc.integer({ min: 0, max: 99 }), word16, fc.integer({ min: 0, max: 255 }), (seed, length, id, type) => {
    const message = buildIcmp(type, 3, id, bytesOf(seed, length));
    const view = viewOf(message);
    assert.equal([icmp.type(view, 0), icmp.code(view, 0), icmp.identifier(view, 0)], [type, 3, id]);
    assert.ok(icmp.checksumIsRight(view, 0, message.length));
    const written = Buffer.from(message);
    written.writeUInt16BE(0x1234, 2);
    icmp.writeChecksum(viewOf(written), 0, written.length);
    assert.equal(written, message);
    message[message.length - 1] ^= 0x40;
    assert.not(icmp.checksumIsRight(view, 0, message.length));
    // Nothing is two things at once.
    assert.ok([icmp.isError(type), icmp.isRequest(type), icmp.isReply(type)].filter(Boolean).length <= 1);
  }), 200);
  assert.equal([3, 4, 5, 11, 12].map(icmp.isError), [true, true, true, true, true]);
  assert.equal([0, 8, 13, 14].map((type) => [icmp.isRequest(type), icmp.isReply(type)]), [[false, true], [true, false], [true, false], [false, true]]);
});

test('TCP and UDP', () => {
  check(fc.property(word32, word32, word32, fc.integer({ min: 0, max: 255 }), word16, fc.integer({ min: 0, max: 10 }), (ports, sequence, acknowledgement, flags, window, words) => {
    const segment = buildTcp({ ports, sequence, acknowledgement, flags, window, options: Buffer.alloc(words * 4) }, Buffer.alloc(3));
    const view = viewOf(segment);
    assert.equal([tcp.sequence(view, 0), tcp.acknowledgement(view, 0), tcp.dataOffset(view, 0), tcp.flags(view, 0)], [sequence, acknowledgement, 20 + words * 4, flags]);
    const written = Buffer.alloc(20, 0xee);
    tcp.writeTcp(viewOf(written), 0, ports, sequence, acknowledgement, flags, window);
    assert.equal(written, buildTcp({ ports, sequence, acknowledgement, flags, window }, Buffer.alloc(0)));
    assert.is(udp.length(viewOf(buildUdp(ports, Buffer.alloc(window % 100))), 0), 8 + (window % 100));
  }), 200);
});

test.run();
