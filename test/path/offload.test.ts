/** Checksums and offloads: partial sums and super-frames in and out, and what is wrong stays wrong. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_USO } from '../../src/link/batch.js';
import { bytes, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { RigOptions, Sent } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const ALL = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_ECN | OFFLOAD_USO;
const SEGMENT = 1448;
const TIMESTAMPS = Buffer.from('0101080a0000000100000002', 'hex');

/** A plain vnet header for a transport checksum left to the device; offsets are from the frame's first byte. */
const partial = (protocol: 'tcp' | 'udp', etherLength = 14) => make.vnet({ needsChecksum: true, checksumStart: etherLength + 20, checksumOffset: protocol === 'tcp' ? 16 : 6 });

/** A TCP super-frame as a kernel hands it over: one header, a partial sum over all of it. */
function superFrame(payload: Buffer, flags = 'PA', dontFragment = true) {
  return {
    packet: make.ipv4({ source: PC1, destination: SERVER, id: 500, dontFragment }, make.tcp({ sourcePort: 40000, destinationPort: 80, sequence: 0xffffff00, acknowledgement: 5, flags, options: TIMESTAMPS, payload, checksum: 'partial' })),
    vnet: make.vnet({ needsChecksum: true, gso: 'tcp', ecn: flags.includes('C'), headerLength: 14 + 20 + 32, segmentBytes: SEGMENT, checksumStart: 34, checksumOffset: 16 }),
  };
}

function opened(options: RigOptions) {
  const r = rig({ ...ONE, ...options });
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 40000, destinationPort: 80 })));
  return r;
}

// conforms: csum-partial
test('a partial checksum stays partial towards a device that finishes it, adjusted to the new addresses', () => {
  const r = rig({ ...ONE, offloads: { wan1: OFFLOAD_CSUM } });
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(101), checksum: 'partial' })), { vnet: partial('tcp') });
  expect(sent.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ checksum: 'partial', payload: make.filler(101) }));
  assert.equal(sent.vnet, partial('tcp'));
  const [datagram] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, checksum: 'partial' })), { vnet: partial('udp') });
  expect(datagram.frame, ethernet(), ipv4({ source: WAN1 }), udp({ checksum: 'partial' }));
  assert.equal(datagram.vnet, partial('udp'));
});

// conforms: csum-partial
test('a partial checksum is finished for a link whose device cannot', () => {
  const r = rig(ONE);
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(101), checksum: 'partial' })), { vnet: partial('tcp') });
  expect(sent.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ payload: make.filler(101) }));
  assert.equal(sent.vnet, make.vnet({}));
  const [datagram] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, checksum: 'partial' })), { vnet: partial('udp') });
  expect(datagram.frame, ethernet(), ipv4({ source: WAN1 }), udp());
});

test('a partial checksum with the port remapped is right once finished', () => {
  for (const offloads of [0, OFFLOAD_CSUM]) {
    const r = rig({ ...ONE, offloads: { wan1: offloads } });
    r.from('lan', make.ipv4({ source: '192.168.0.9', destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80 })));
    const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, checksum: 'partial' })), { vnet: partial('tcp') });
    assert.is.not(sent.packet.readUInt16BE(20), 4000);
    expect(sent.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ checksum: offloads === 0 ? 'right' : 'partial' }));
  }
});

test('a partial checksum from a TUN link: the offsets move with the link header', () => {
  const r = rig({ ...ONE, host: true, offloads: { wan1: OFFLOAD_CSUM, host: OFFLOAD_CSUM } });
  const [out] = r.from('host', make.ipv4({ source: BOX, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, checksum: 'partial' })), { vnet: partial('tcp', 0) });
  expect(out.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ checksum: 'partial' }));
  assert.equal(out.vnet, partial('tcp'));
  const [back] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 80, destinationPort: 4000, flags: 'SA', checksum: 'partial' })), { vnet: partial('tcp') });
  expect(back.frame, ipv4({ destination: BOX }), tcp({ checksum: 'partial' }));
  assert.equal(back.vnet, partial('tcp', 0));
});

test('a partial checksum finished over a padded frame counts only the packet', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(3), checksum: 'partial' }));
  r.put('lan', Buffer.concat([r.frame('lan', packet), Buffer.from('garbage padding', 'latin1')]), { vnet: partial('udp') });
  const [sent] = r.run();
  expect(sent.frame, ethernet(), ipv4({ source: WAN1, totalLength: 31 }), udp({ payload: make.filler(3) }));
});

test('a GSO TCP super-frame passes whole to a link that takes it', () => {
  const r = opened({ offloads: { wan1: ALL } });
  const payload = make.filler(SEGMENT * 5 + 100);
  const { packet, vnet } = superFrame(payload);
  const sent = r.from('lan', packet, { vnet });
  assert.is(sent.length, 1);
  expect(sent[0].frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, ttl: 63 }), tcp({ sequence: 0xffffff00, checksum: 'partial', payload }));
  assert.equal(sent[0].vnet, vnet);
});

function areSegments(sent: Sent[], payload: Buffer, flags: { first: string; middle: string; last: string }): void {
  const count = Math.ceil(payload.length / SEGMENT);
  assert.is(sent.length, count);
  sent.forEach(({ frame, vnet, packet }, i) => {
    expect(frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, ttl: 63, id: 500 + i, dontFragment: true }),
      tcp({
        sequence: (0xffffff00 + i * SEGMENT) % 2 ** 32, acknowledgement: 5, flags: i === count - 1 ? flags.last : i === 0 ? flags.first : flags.middle,
        payload: payload.subarray(i * SEGMENT, (i + 1) * SEGMENT),
      }));
    assert.equal(packet.subarray(40, 52), TIMESTAMPS);
    assert.equal(vnet, make.vnet({}));
  });
}

test('a GSO TCP super-frame is cut up for a link without: sequence, identification, flags, checksums', () => {
  const r = opened({});
  const payload = make.filler(SEGMENT * 5 + 100);
  const { packet, vnet } = superFrame(payload, 'FPA');
  areSegments(r.from('lan', packet, { vnet }), payload, { first: 'A', middle: 'A', last: 'FPA' });
});

test('CWR stays on the first segment only (RFC 3168 §6.1.2), and a link without ECN offload gets it cut up', () => {
  const r = opened({ offloads: { wan1: OFFLOAD_CSUM | OFFLOAD_TSO4 } });
  const payload = make.filler(SEGMENT * 3);
  const { packet, vnet } = superFrame(payload, 'PAC');
  areSegments(r.from('lan', packet, { vnet }), payload, { first: 'AC', middle: 'A', last: 'PA' });
});

test('a GSO UDP super-frame passes whole to a link that takes it, and is cut up for one that does not', () => {
  const payload = make.filler(1000 * 3 + 200);
  const packet = make.ipv4({ source: PC1, destination: SERVER, id: 500 }, make.udp({ sourcePort: 4000, destinationPort: 80, payload, checksum: 'partial' }));
  const vnet = make.vnet({ needsChecksum: true, gso: 'udp', headerLength: 42, segmentBytes: 1000, checksumStart: 34, checksumOffset: 6 });
  const whole = rig({ ...ONE, offloads: { wan1: ALL } }).from('lan', packet, { vnet });
  assert.is(whole.length, 1);
  expect(whole[0].frame, ethernet(), ipv4({ source: WAN1 }), udp({ checksum: 'partial', payload }));
  assert.equal(whole[0].vnet, vnet);
  const cut = rig({ ...ONE, offloads: { wan1: OFFLOAD_CSUM | OFFLOAD_TSO4 } }).from('lan', packet, { vnet });
  assert.is(cut.length, 4);
  // Without DF the identification is one of the shared address's own.
  const firstId = cut[0].packet.readUInt16BE(4);
  cut.forEach(({ frame }, i) => {
    const part = payload.subarray(i * 1000, (i + 1) * 1000);
    expect(frame, ethernet(), ipv4({ source: WAN1, id: (firstId + i) & 0xffff }), udp({ sourcePort: 4000, length: 8 + part.length, payload: part }));
  });
});

// conforms: mtu-links
test('a super-frame with DF is judged by its segments: too big is told with the MTU and quotes as received (RFC 1191)', () => {
  const r = opened({ offloads: { wan1: ALL }, mtu: { wan1: 1400 } });
  const { packet, vnet } = superFrame(make.filler(SEGMENT * 5));
  const [error] = r.refused('TOO_BIG', 'lan', packet, { vnet });
  expect(error.packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 4, mtu: 1400 }), bytes(packet));
  // Segments that fit pass, however long the super-frame: 20 + 32 + 1348 = 1400.
  const fitting = make.vnet({ needsChecksum: true, gso: 'tcp', headerLength: 66, segmentBytes: 1348, checksumStart: 34, checksumOffset: 16 });
  assert.is(r.from('lan', packet, { vnet: fitting }).length, 1);
});

test('a super-frame without DF whose segments exceed the MTU: each segment is fragmented', () => {
  const r = opened({ offloads: { wan1: ALL }, mtu: { wan1: 1400 } });
  const payload = make.filler(SEGMENT * 2);
  const { packet, vnet } = superFrame(payload, 'PA', false);
  const sent = r.from('lan', packet, { vnet });
  assert.is(sent.length, 4);
  const firstId = sent[0].packet.readUInt16BE(4);
  for (let i = 0; i < 2; i++) {
    const [first, second] = sent.slice(i * 2).map((s) => s.packet);
    expect(first, ipv4({ source: WAN1, id: (firstId + i) & 0xffff, moreFragments: true, offset: 0, totalLength: 1396 }), tcp());
    expect(second, ipv4({ source: WAN1, id: (firstId + i) & 0xffff, moreFragments: false, offset: 1376 }));
    const whole = make.ipv4({ source: WAN1, destination: SERVER }, Buffer.concat([first.subarray(20), second.subarray(20)]));
    whole[9] = 6;
    whole.writeUInt16BE(0, 10);
    whole.writeUInt16BE(~make.onesSum(whole.subarray(0, 20)) & 0xffff, 10);
    expect(whole, ipv4(), tcp({ sequence: (0xffffff00 + i * SEGMENT) % 2 ** 32, payload: payload.subarray(i * SEGMENT, (i + 1) * SEGMENT) }));
  }
});

test('a super-frame that has to wait for its neighbour leaves as it came', () => {
  const r = rig({ ...ONE, offloads: { wan1: ALL }, neighbours: false });
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 40000, destinationPort: 80 })));
  const payload = make.filler(SEGMENT * 40);
  const { packet, vnet } = superFrame(payload);
  assert.equal(r.from('lan', packet, { vnet }), []);
  r.put('wan1', r.arpReply('wan1', '192.168.201.1', MAC.gateway1));
  const sent = r.run();
  assert.is(sent.length, 2);
  expect(sent[1].frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), tcp({ checksum: 'partial', payload }));
  assert.equal(sent[1].vnet, vnet);
});

// conforms: csum-udp-zero
test('a UDP checksum of zero stays zero (RFC 768)', () => {
  const r = rig(ONE);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, checksum: 'none' })));
  expect(out.frame, ethernet(), ipv4({ source: WAN1 }), udp({ checksum: 'none' }));
  const [back] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000, checksum: 'none' })));
  expect(back.frame, ethernet(), ipv4({ destination: PC1 }), udp({ checksum: 'none' }));
});

// conforms: csum-udp-zero
test('a UDP checksum that comes out as zero is sent as 0xffff (RFC 768), never as zero', () => {
  const r = rig(ONE);
  // The payload word that makes the translated sum zero is found by trying all of them.
  let found = 0;
  for (let word = 0; word < 65536; word++) {
    const payload = Buffer.from([word >> 8, word & 255]);
    const translated = make.ipv4({ source: WAN1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload }));
    if (translated.readUInt16BE(26) !== 0xffff) continue;
    const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload })));
    assert.is(sent.packet.readUInt16BE(26), 0xffff);
    found++;
  }
  assert.ok(found > 0);
});

// conforms: csum-wrong-stays
test('a wrong transport checksum goes out still wrong, by as much', () => {
  const r = rig(ONE);
  const [segment] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, checksum: 'wrong' })));
  expect(segment.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ checksum: 'wrong' }));
  const [datagram] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, checksum: 'wrong' })));
  expect(datagram.frame, ethernet(), ipv4({ source: WAN1 }), udp({ checksum: 'wrong' }));
  r.from('lan', make.ipv4({ source: '192.168.0.9', destination: SERVER }, make.echoRequest({ id: 4000 })));
  const [echo] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 4000, checksum: 'wrong' })));
  assert.is.not(make.onesSum(echo.packet.subarray(20)), 0xffff);
});

// conforms: csum-incremental
test('random packets: checksums right before are right after, in both directions (RFC 1624)', () => {
  const r = rig(ONE);
  let state = 12345;
  const random = (bound: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % bound;
  for (let i = 0; i < 300; i++) {
    const port = 1024 + random(60_000);
    const server = `198.51.${random(256)}.${1 + random(254)}`;
    const payload = make.filler(random(300), random(256));
    const [out] = r.from('lan', make.ipv4({ source: random(2) === 0 ? PC1 : PC2, destination: server }, make.udp({ sourcePort: port, destinationPort: 53, payload })));
    expect(out.frame, ethernet(), ipv4({ source: WAN1 }), udp({ payload }));
    const [back] = r.from('wan1', make.ipv4({ source: server, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: out.packet.readUInt16BE(20), payload })));
    expect(back.frame, ethernet(), ipv4({ source: server }), udp({ destinationPort: port, payload }));
  }
});

test('offload metadata that makes no sense counts for nothing: the packet is forwarded as a plain one', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 }));
  for (const vnet of [
    make.vnet({ needsChecksum: true, checksumStart: 4, checksumOffset: 10 }), make.vnet({ needsChecksum: true, checksumStart: 20, checksumOffset: 6 }),
    make.vnet({ needsChecksum: true, checksumStart: 34, checksumOffset: 40 }), make.vnet({ gso: 'tcp', segmentBytes: 5 }),
  ]) {
    const [sent, ...more] = r.from('lan', packet, { vnet });
    assert.equal(more, []);
    expect(sent.frame, ethernet(), ipv4({ source: WAN1 }), udp());
    assert.equal(sent.vnet, make.vnet({}));
  }
});

test.run();
