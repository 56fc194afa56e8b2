/** Waiting packets: in order per neighbour, exactly as they were, and no more than there is room for. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HeldPackets } from '../../src/table/held.js';
import { NONE } from '../../src/wire/packet.js';
import { GSO_ECN, GSO_TCPV4, VNET_F_NEEDS_CSUM } from '../../src/wire/vnet.js';
import { icmp, ICMP, ipv4, TCP, tcp, transport, UDP, udp } from '../support/oracle/ipv4.js';
import { bytesOf } from '../support/oracle/property.js';
import { bytesAt, packet, place, PLAIN } from '../support/oracle/record.js';

const p = packet();
const LOAD_AT = 300_000;

const echo = (id: number, length = 20): Buffer => ipv4({ source: 1, destination: 2, protocol: ICMP, id }, icmp(8, 0, id, bytesOf(id + 1, length)));
const idOf = (bytes: Buffer): number => bytes.readUInt16BE(4);

test('packets come back in the order they came, each neighbour’s own', () => {
  const held = new HeldPackets(16);
  for (const [neighbour, id] of [[5, 1], [6, 2], [5, 3], [5, 4], [6, 5]] as const) {
    place(p, echo(id));
    assert.ok(held.put(neighbour, p));
  }
  const take = (neighbour: number): number[] => {
    const ids: number[] = [];
    while (held.firstLength(neighbour) !== NONE) {
      held.load(neighbour, p, LOAD_AT);
      assert.equal(bytesAt(p), echo(idOf(bytesAt(p))));
      assert.is(p.end - p.ipAt, held.firstLength(neighbour));
      ids.push(idOf(bytesAt(p)));
      held.drop(neighbour);
    }
    return ids;
  };
  assert.ok(held.has(5) && held.has(6) && !held.has(7));
  assert.equal(take(5), [1, 3, 4]);
  assert.not(held.has(5));
  place(p, echo(6));
  held.put(6, p);
  assert.equal(take(6), [2, 5, 6]);
  assert.equal(take(7), []);
});

test('all that was decided about a packet is there again, its offload metadata too', () => {
  const held = new HeldPackets(8);
  const fields = ['link', 'outLink', 'flow', 'direction', 'isRelated', 'mustFragment', 'fragmentSize', 'uplink', 'frames', 'hops',
    'gsoType', 'gsoSize', 'csumAt', 'csumOffset', 'partial', 'protocol', 'tcpFlags', 'icmpType', 'fragment', 'lengthBytes', 'wireLengthBytes'] as const;
  const whole = transport({ source: -5, destination: 6, protocol: TCP, options: Buffer.alloc(4, 1) }, tcp({ ports: 7, flags: 0x18 }, bytesOf(1, 40_000)), 'partial');
  const cases: readonly (() => void)[] = [
    () => { place(p, whole, 64, 14, { flags: VNET_F_NEEDS_CSUM, gsoType: GSO_TCPV4 | GSO_ECN, headerLength: 58, gsoSize: 1448, csumStart: 38, csumOffset: 16 }); },
    () => { place(p, transport({ source: 1, destination: 2, protocol: UDP }, udp(9, bytesOf(2, 99)), 'partial'), 64, 0, { ...PLAIN, flags: VNET_F_NEEDS_CSUM, csumStart: 20, csumOffset: 6 }); },
    () => { place(p, echo(3)); },
  ];
  for (const lay of cases) {
    lay();
    Object.assign(p, { link: 3, outLink: 4, flow: 1_000_000, direction: 1, isRelated: true, mustFragment: true, fragmentSize: 1400, uplink: 2, frames: 3, hops: 1 });
    const before = fields.map((field) => p[field]);
    const tuple = JSON.stringify(p.tuple);
    const bytes = bytesAt(p);
    assert.ok(held.put(1, p));
    place(p, echo(99));
    held.load(1, p, LOAD_AT);
    held.drop(1);
    assert.equal(bytesAt(p), bytes);
    assert.equal(fields.map((field) => p[field]), before);
    assert.is(JSON.stringify(p.tuple), tuple);
    assert.is(p.ipAt, LOAD_AT);
  }
});

test('a copy is kept: what happens to the arena afterwards does not matter', () => {
  const held = new HeldPackets(8);
  place(p, echo(1));
  held.put(1, p);
  p.u8.fill(0, 0, 2000);
  held.load(1, p, LOAD_AT);
  assert.equal(bytesAt(p), echo(1));
});

test('no more than there is room for, and all of the room again afterwards', () => {
  const held = new HeldPackets(10);
  for (let round = 0; round < 3; round++) {
    let kept = 0;
    for (let i = 0; i < 100; i++) {
      place(p, echo(i, 4000));
      if (held.put(i % 7, p)) kept++;
    }
    assert.is(kept, 8, 'big ones have room of their own');
    for (let i = 0; i < 100; i++) {
      place(p, echo(i));
      if (held.put(i % 7, p)) kept++;
    }
    assert.is(kept, 18);
    for (let neighbour = 0; neighbour < 7; neighbour++) while (held.firstLength(neighbour) !== NONE) held.drop(neighbour);
  }
});

test.run();
