/** The MSS clamp: SYN and SYN-ACK, both directions, never raised, never added, checksums complete and partial, options anywhere. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OFFLOAD_CSUM } from '../../src/link/batch.js';
import { bytes, ethernet, expect, icmpError, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, LAN, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const mss = (value: number): Buffer => Buffer.from([2, 4, value >> 8, value & 255]);
const NOP = Buffer.from([1]);
const SCALE = Buffer.from([3, 3, 7]);
const SACK = Buffer.from([4, 2]);

const syn = (options: Buffer, fields: Partial<make.TcpFields> = {}) => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, options, ...fields }));
const synAck = (options: Buffer) => make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 80, destinationPort: 4000, flags: 'SA', options }));

/** The options of a TCP packet that left. */
const optionsOf = (packet: Buffer): Buffer => packet.subarray(40, 20 + (packet[32] >> 4) * 4);

// conforms: mss-clamp
test('a SYN and its SYN-ACK are lowered to what the smaller of the two MTUs holds (RFC 6691 §2)', () => {
  for (const [mtu, fitting] of [[{ wan1: 1492 }, 1452], [{ lan: 1400, wan1: 1492 }, 1360], [{ lan: 576 }, 536]] as const) {
    const r = rig({ ...ONE, mtu });
    const [out] = r.from('lan', syn(mss(1460)));
    expect(out.frame, ethernet(), ipv4({ source: WAN1, ttl: 63 }), tcp({ flags: 'S' }));
    assert.equal(optionsOf(out.packet), mss(fitting));
    const [back] = r.from('wan1', synAck(mss(8960)));
    expect(back.frame, ethernet(), ipv4({ destination: PC1 }), tcp({ flags: 'SA' }));
    assert.equal(optionsOf(back.packet), mss(fitting));
  }
});

// conforms: mss-clamp
test('never raised, and left alone where it fits', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1492 } });
  for (const value of [1452, 1451, 536, 1, 0]) assert.equal(optionsOf(r.from('lan', syn(mss(value), { sourcePort: 5000 + value }))[0].packet), mss(value));
});

test('a SYN without the option, or with options that do not parse, passes as it is; nothing is added (RFC 9293 §3.7.1)', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1000 } });
  let sourcePort = 5000;
  for (const options of [
    Buffer.alloc(0), Buffer.concat([NOP, SCALE]), Buffer.from([0, 2, 4, 0x05, 0xb4, 0, 0, 0]), Buffer.from([2, 3, 5, 1]), Buffer.from([1, 1, 1, 2]), Buffer.from([1, 1, 2, 4]), Buffer.from([9, 0, 2, 4, 5, 0xb4, 0, 0]), Buffer.from([9, 1, 5, 5]),
  ]) {
    const [out] = r.from('lan', syn(options, { sourcePort: sourcePort++ }));
    expect(out.frame, ethernet(), ipv4({ source: WAN1 }), tcp());
    assert.equal(optionsOf(out.packet), options);
  }
});

// conforms: mss-clamp
test('the option may stand anywhere, at an odd offset too; the other options stay', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1492 } });
  let sourcePort = 5000;
  for (const [before, after] of [[NOP, SCALE], [SCALE, NOP], [Buffer.concat([SACK, NOP, NOP]), Buffer.alloc(0)], [Buffer.concat([NOP, SACK]), Buffer.from([0])], [Buffer.from([2, 3, 9, 1]), Buffer.alloc(0)]] as const) {
    for (const value of [1460, 0xffff, 0x05ff, 0xff00]) {
      const [out] = r.from('lan', syn(Buffer.concat([before, mss(value), after]), { sourcePort: sourcePort++ }));
      // The matcher sums the whole segment anew.
      expect(out.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ flags: 'S' }));
      assert.equal(optionsOf(out.packet), Buffer.concat([before, mss(1452), after]));
    }
  }
});

test('a wrong checksum is no better afterwards', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1492 } });
  const [out] = r.from('lan', syn(mss(1460), { checksum: 'wrong' }));
  expect(out.frame, ethernet(), ipv4(), tcp({ checksum: 'wrong' }));
  assert.equal(optionsOf(out.packet), mss(1452));
});

test('a partial checksum stays a partial one, and is right once finished', () => {
  const vnet = make.vnet({ needsChecksum: true, checksumStart: 34, checksumOffset: 16 });
  for (const [offloads, checksum] of [[OFFLOAD_CSUM, 'partial'], [0, 'right']] as const) {
    const r = rig({ ...ONE, mtu: { wan1: 1492 }, offloads: { wan1: offloads } });
    const [out] = r.from('lan', syn(Buffer.concat([NOP, mss(1460), SCALE]), { checksum: 'partial' }), { vnet });
    expect(out.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ checksum }));
    assert.equal(optionsOf(out.packet), Buffer.concat([NOP, mss(1452), SCALE]));
  }
});

test('mssClamp of either link: a number holds for what leaves and what arrives there, off leaves all alone', () => {
  const number = rig({ ...ONE, link: { wan1: { mssClamp: 1300 }, lan: { mssClamp: 'off' } } });
  assert.equal(optionsOf(number.from('lan', syn(mss(1460)))[0].packet), mss(1300));
  assert.equal(optionsOf(number.from('wan1', synAck(mss(1460)))[0].packet), mss(1300));
  const both = rig({ ...ONE, mtu: { wan1: 1200 }, link: { lan: { mssClamp: 1300 } } });
  assert.equal(optionsOf(both.from('lan', syn(mss(1460)))[0].packet), mss(1160), 'the smallest counts');
  const off = rig({ ...ONE, mtu: { wan1: 1200 }, link: { lan: { mssClamp: 'off' }, wan1: { mssClamp: 'off' } } });
  assert.equal(optionsOf(off.from('lan', syn(mss(1460)))[0].packet), mss(1460));
  assert.equal(optionsOf(off.from('wan1', synAck(mss(1460)))[0].packet), mss(1460));
});

test('only SYN segments: the same bytes in any other segment stay', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1200 } });
  r.from('lan', syn(mss(1460)));
  r.from('wan1', synAck(mss(1460)));
  for (const flags of ['A', 'PA', 'FA']) assert.equal(optionsOf(r.from('lan', syn(mss(1460), { flags }))[0].packet), mss(1460));
});

test('the box’s own connections are clamped by the links they pass', () => {
  const r = rig({ ...ONE, host: true, mtu: { wan1: 1400 } });
  const [out] = r.from('host', make.ipv4({ source: BOX, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, options: mss(1460) })));
  assert.equal(optionsOf(out.packet), mss(1360));
  const [back] = r.from('wan1', synAck(mss(1460)));
  assert.is(back.link, 'host');
  assert.equal(optionsOf(back.packet), mss(1360));
});

test('an error about a SYN quotes the MSS its sender wrote', () => {
  const full = rig({ ...ONE, mtu: { wan1: 1400 }, uplink: { whenExhausted: 'refuse' }, limits: { snatPortFirst: 5000, snatPortLast: 5000 } });
  assert.is(full.from('lan', syn(mss(1460), { sourcePort: 4001 })).length, 1);
  const refused = make.ipv4({ source: PC2, destination: SERVER }, make.tcp({ sourcePort: 4002, destinationPort: 80, options: Buffer.concat([NOP, mss(1460), SCALE]) }));
  const [error] = full.refused('NO_PORT', 'lan', refused);
  expect(error.packet, ipv4({ source: LAN, destination: PC2 }), icmpError({ type: 3, code: 13 }), bytes(refused));

  // One that had to wait for a neighbour that never answers.
  const dead = rig({ ...ONE, mtu: { wan1: 1400 }, neighbours: false });
  dead.put('lan', dead.arpReply('lan', PC1, '02:00:00:00:04:04'));
  dead.run();
  const waiting = syn(Buffer.concat([mss(1460)]));
  assert.equal(dead.from('lan', waiting), []);
  const late = dead.advance(6000, 500).filter(({ isArp }) => !isArp);
  assert.is(late.length, 1);
  expect(late[0].packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(waiting));
});

test.run();
