/** Fragments: in any order, never overlapping, in bounds of time and room; cut up again no larger than they came. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions, Sent } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const payload = make.filler(3000);
const datagram = (fields: Partial<make.Ipv4Fields> = {}) => make.ipv4({ source: PC1, destination: SERVER, id: 99, ...fields }, make.udp({ sourcePort: 4000, destinationPort: 80, payload }));
const pieces = (packet = datagram()) => make.fragments(packet, [1480, 2960 - 480]);

/** Puts fragments that left together again, checking that they neither overlap nor leave a hole. */
function whole(sent: Sent[]): Buffer {
  const sorted = sent.map(({ packet }) => packet).sort((a, b) => (a.readUInt16BE(6) & 0x1fff) - (b.readUInt16BE(6) & 0x1fff));
  let at = 0;
  const parts: Buffer[] = [];
  sorted.forEach((packet, i) => {
    assert.is((packet.readUInt16BE(6) & 0x1fff) * 8, at, 'offset');
    assert.is((packet.readUInt16BE(6) & 0x2000) !== 0, i < sorted.length - 1, 'MF on all but the last');
    const header = (packet[0] & 15) * 4;
    parts.push(packet.subarray(header));
    at += packet.length - header;
  });
  const joined = Buffer.concat([sorted[0].subarray(0, (sorted[0][0] & 15) * 4), ...parts]);
  joined.writeUInt16BE(joined.length, 2);
  joined.writeUInt16BE(sorted[0].readUInt16BE(6) & 0x4000, 6);
  joined.writeUInt16BE(0, 10);
  joined.writeUInt16BE(~make.onesSum(joined.subarray(0, (joined[0] & 15) * 4)) & 0xffff, 10);
  return joined;
}

function isForwarded(sent: Sent[]): void {
  sent.forEach(({ link, frame }) => {
    assert.is(link, 'wan1');
    expect(frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 63, id: sent[0].packet.readUInt16BE(4) }));
  });
  expect(whole(sent), ipv4({ source: WAN1, destination: SERVER }), udp({ sourcePort: 4000, destinationPort: 80, payload }));
}

test('fragments in order: translated, cut up again, every checksum right (RFC 4787 REQ-14)', () => {
  const r = rig(ONE);
  const [a, b, c] = pieces();
  assert.equal(r.counted('HELD', 'lan', () => r.from('lan', a)), []);
  assert.equal(r.counted('HELD', 'lan', () => r.from('lan', b)), []);
  isForwarded(r.from('lan', c));
  assert.is(r.verdict('lan', 'SENT'), 3, 'all three frames have left');
  assert.is(r.verdict('lan', 'HELD'), 0);
});

// conforms: frag-order
test('fragments reversed and in every other order (RFC 4787 REQ-14)', () => {
  for (const order of [[2, 1, 0], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1]]) {
    const r = rig(ONE);
    isForwarded(order.flatMap((i) => r.from('lan', pieces()[i])));
  }
});

test('fragments of an answer find their way to the inside host', () => {
  const r = rig(ONE);
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  const answer = make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000, payload }));
  const sent = [2, 0, 1].flatMap((i) => r.from('wan1', pieces(answer)[i]));
  assert.ok(sent.every(({ link }) => link === 'lan'));
  expect(whole(sent), ipv4({ source: SERVER, destination: PC1, ttl: 63 }), udp({ sourcePort: 80, destinationPort: 4000, payload }));
});

test('fragments of TCP and of ICMP echo are put together too', () => {
  const r = rig(ONE);
  const segment = make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags: 'S', payload }));
  expect(whole(make.fragments(segment, [1480, 2480]).flatMap((piece) => r.from('lan', piece))), ipv4({ source: WAN1 }), tcp({ sourcePort: 4000, payload }));
  const request = make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 4000, payload }));
  expect(whole(make.fragments(request, [1480, 2480]).flatMap((piece) => r.from('lan', piece))), ipv4({ source: WAN1 }), echo({ id: 4000, payload }));
});

test('a fragment from another link does not spoil or complete a datagram', () => {
  const r = rig(ONE);
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  const answer = make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000, payload }));
  const [a, b, c] = pieces(answer);
  r.from('wan1', a);
  r.from('wan2', make.fragments(answer, [1472, 2480])[1]);
  r.from('wan1', b);
  assert.is(r.from('wan1', c).length, 3);
  assert.is(r.verdict('wan2', 'HELD'), 1);
});

test('datagrams are told apart by source, destination, protocol and identification', () => {
  const r = rig(ONE);
  const others = [datagram({ id: 100 }), datagram({ source: PC2 }), datagram({ destination: '198.51.100.8' }), datagram({ protocol: 200 })];
  for (const other of others) r.from('lan', pieces(other)[1]);
  const [first, second, third] = pieces();
  r.from('lan', first);
  r.from('lan', third);
  for (const other of others) assert.equal(r.from('lan', pieces(other)[2]), []);
  isForwarded(r.from('lan', second));
});

test('no larger than they came: the sender’s fragment size is kept (RFC 791)', () => {
  const r = rig(ONE);
  const sent = make.fragments(datagram(), [600, 1200, 1800, 2400, 3000]).flatMap((piece) => r.from('lan', piece));
  assert.equal(sent.map(({ packet }) => packet.length), [620, 620, 620, 620, 620, 28], 'as it came');
  isForwarded(sent);
});

test('fragments larger than the next MTU are cut smaller; with DF they are too big', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1000 } });
  const sent = pieces().flatMap((piece) => r.from('lan', piece));
  assert.ok(sent.every(({ packet }) => packet.length <= 1000));
  isForwarded(sent);
  const [a, b, c] = pieces(datagram({ dontFragment: true, id: 98 }));
  r.from('lan', a);
  r.from('lan', b);
  const [error] = r.from('lan', c);
  expect(error.packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 4, mtu: 1000 }));
  assert.is(r.verdict('lan', 'TOO_BIG'), 3, 'all three frames');
});

test('fragments with DF that fit leave as fragments with DF', () => {
  const r = rig(ONE);
  const sent = pieces(datagram({ dontFragment: true })).flatMap((piece) => r.from('lan', piece));
  assert.ok(sent.length === 3 && sent.every(({ packet }) => (packet.readUInt16BE(6) & 0x4000) !== 0));
  isForwarded(sent);
});

// conforms: frag-output
test('too big without DF: fragmented on the way out, offsets, MF, checksums right (RFC 791 §3.2, RFC 4787 REQ-13)', () => {
  const r = rig({ ...ONE, mtu: { wan1: 600 } });
  const big = make.filler(1400);
  for (const [transport, seen] of [
    [make.udp({ sourcePort: 4000, destinationPort: 80, payload: big }), udp({ payload: big })], [make.tcp({ sourcePort: 4000, destinationPort: 80, payload: big }), tcp({ payload: big })],
    [make.echoRequest({ id: 4000, payload: big }), echo({ payload: big })],
  ] as const) {
    const sent = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, id: 7 }, transport));
    assert.is(sent.length, 3);
    for (const { packet, frame } of sent) {
      assert.ok(packet.length <= 600);
      expect(frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, id: sent[0].packet.readUInt16BE(4), ttl: 63 }));
    }
    expect(whole(sent), ipv4({ source: WAN1 }), seen);
  }
});

// conforms: frag-output
test('options go with the first fragment, copied ones with every fragment (RFC 791 §3.1)', () => {
  const r = rig({ ...ONE, mtu: { wan1: 600 } });
  // Record route (7, not copied), then router alert (148, copied).
  const options = Buffer.from([7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0]);
  const big = make.filler(1400);
  const sent = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, options }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: big })));
  expect(sent[0].frame, ethernet(), ipv4({ options }));
  for (const { frame } of sent.slice(1)) expect(frame, ethernet(), ipv4({ options: Buffer.from([148, 4, 0, 0]) }));
  expect(whole(sent), ipv4({ source: WAN1, options }), udp({ payload: big }));
});

// conforms: frag-bad
test('overlapping fragments throw the datagram away, with all that was held of it (RFC 1858, RFC 5722)', () => {
  const r = rig(ONE);
  const [a, b, c] = pieces();
  r.from('lan', a);
  const overlapping = make.fragments(datagram(), [1472, 2480])[1];
  assert.equal(r.from('lan', overlapping), []);
  assert.is(r.verdict('lan', 'FRAGMENT_OVERLAP'), 2);
  assert.is(r.verdict('lan', 'HELD'), 0);
  assert.equal([...r.from('lan', b), ...r.from('lan', c)], [], 'what remains is not enough');
});

test('an exact copy of a fragment is ignored', () => {
  const r = rig(ONE);
  const [a, b, c] = pieces();
  r.from('lan', a);
  assert.equal(r.refused('FRAGMENT_COPY', 'lan', a), []);
  r.from('lan', b);
  assert.equal(r.refused('FRAGMENT_COPY', 'lan', b), []);
  isForwarded(r.from('lan', c));
});

// conforms: frag-bad frag-first-short
test('a first fragment too short for its transport header, or one that begins inside of it, is dropped (RFC 1858 §3, §4)', () => {
  const r = rig(ONE);
  const segment = make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, payload }));
  const [tiny, inside] = make.fragments(segment, [8, 16]);
  assert.equal(r.refused('FRAGMENT_TINY', 'lan', tiny), []);
  assert.equal(r.refused('FRAGMENT_TINY', 'lan', inside), []);
});

test('fragments with impossible lengths are dropped: empty, not a multiple of 8, beyond 65,535 bytes, past the end, a second end', () => {
  const r = rig(ONE);
  const piece = (fields: Partial<make.Ipv4Fields>, length: number) => make.ipv4({ source: PC1, destination: SERVER, protocol: 17, id: 5, ...fields }, make.filler(length));
  r.refused('FRAGMENT_BAD', 'lan', piece({ moreFragments: true, offset: 64 }, 0));
  r.refused('FRAGMENT_BAD', 'lan', piece({ moreFragments: true, offset: 64 }, 15));
  r.refused('FRAGMENT_BAD', 'lan', piece({ offset: 65_528 }, 100));
  r.from('lan', piece({ id: 6, offset: 160 }, 40));
  r.from('lan', piece({ id: 6, moreFragments: true, offset: 240 }, 40));
  assert.is(r.verdict('lan', 'FRAGMENT_BAD'), 5, 'past the end');
  r.from('lan', piece({ id: 7, offset: 160 }, 40));
  r.from('lan', piece({ id: 7, offset: 240 }, 40));
  assert.is(r.verdict('lan', 'FRAGMENT_BAD'), 7, 'a second end');
  assert.is(r.router.fragments.count, 0);
  assert.is(r.router.fragments.bytes, 0);
});

// conforms: frag-order
test('the rest does not come: time exceeded code 1 with the first fragment quoted, its room given back (RFC 792)', () => {
  const r = rig(ONE);
  const [a, b] = pieces();
  r.from('lan', b);
  r.from('lan', a);
  assert.equal(r.advance(29_000, 1000).filter(({ isArp }) => !isArp), []);
  r.teach();
  const [error] = r.advance(2000, 1000).filter(({ isArp }) => !isArp);
  assert.is(error.link, 'lan');
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 11, code: 1 }), bytes(a));
  assert.is(r.verdict('lan', 'FRAGMENT_TIMEOUT'), 2);
  assert.is(r.verdict('lan', 'HELD'), 0);
  assert.is(r.router.fragments.bytes, 0);
  assert.equal(r.from('lan', pieces()[2]), [], 'too late');
});

test('no error when it is an ICMP error whose rest does not come (RFC 1812 §4.3.2.7)', () => {
  const r = rig(ONE);
  const error = make.ipv4({ source: PC1, destination: SERVER }, make.icmp({ type: 3, code: 3 }, datagram()));
  r.from('lan', make.fragments(error, [1480])[0]);
  assert.equal(r.advance(31_000, 1000).filter(({ isArp }) => !isArp), []);
  assert.is(r.verdict('lan', 'FRAGMENT_TIMEOUT'), 1);
});

// conforms: frag-order
test('room for fragments is bounded, in datagrams and in bytes, and freed again', () => {
  const r = rig({ ...ONE, limits: { fragments: 4 } });
  for (let id = 1; id <= 4; id++) r.from('lan', pieces(datagram({ id }))[0]);
  r.refused('FRAGMENT_LIMIT', 'lan', pieces(datagram({ id: 5 }))[0]);
  for (const piece of pieces(datagram({ id: 1 })).slice(1)) r.from('lan', piece);
  assert.equal(r.counted('HELD', 'lan', () => r.from('lan', pieces(datagram({ id: 5 }))[0])), []);
  const small = rig({ ...ONE, limits: { fragmentBytes: 65_535, fragments: 4096 } });
  let limited = 0;
  for (let id = 1; id <= 60; id++) {
    const before = small.verdict('lan', 'FRAGMENT_LIMIT');
    small.from('lan', pieces(datagram({ id }))[0]);
    limited += small.verdict('lan', 'FRAGMENT_LIMIT') - before;
  }
  assert.is(limited, 60 - Math.floor(65_535 / 1480));
  small.advance(31_000, 1000);
  assert.equal(small.counted('HELD', 'lan', () => small.from('lan', pieces()[0])), []);
});

test('a fragment with a source that cannot come from there takes no room and gets no answer', () => {
  const r = rig(ONE);
  const spoofed = pieces(datagram({ source: '203.0.113.99' }))[0];
  assert.equal(r.refused('SPOOFED_SOURCE', 'lan', spoofed), []);
  assert.is(r.router.fragments.count, 0);
  assert.equal(r.advance(31_000, 1000).filter(({ isArp }) => !isArp), []);
});

test('fragments to the router itself are put together for it', () => {
  const r: Rig = rig();
  const request = make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 4, payload: make.filler(2000) }));
  const [second, first] = make.fragments(request, [1480]).reverse();
  r.from('lan', second);
  const sent = r.from('lan', first);
  expect(whole(sent), ipv4({ source: LAN, destination: PC1 }), echo({ type: 'reply', id: 4, payload: make.filler(2000) }));
});

const idOf = (packet: Buffer): number => packet.readUInt16BE(4);
/** As reassembly at the far end tells datagrams apart. */
const keyOf = (packet: Buffer): string => [packet.subarray(12, 20).toString('hex'), packet[9], idOf(packet)].join(' ');

// conforms: frag-id
test('fragments of several hosts behind one address never share an identification (RFC 7857 §10, RFC 6864 §5.3.1)', () => {
  const r = rig({ ...ONE, mtu: { wan1: 600 } });
  const seen = new Map<string, string>();
  for (let round = 0; round < 20; round++) {
    for (const source of [PC1, PC2]) {
      for (const [destination, sourcePort] of [[SERVER, 4000], [SERVER, 4001], ['198.51.100.8', 4000]] as const) {
        // Everyone counts from the same number.
        const sent = r.from('lan', make.ipv4({ source, destination, id: round }, make.udp({ sourcePort, destinationPort: 80, payload: make.filler(1000, round) })));
        assert.is(sent.length, 2);
        assert.is(idOf(sent[0].packet), idOf(sent[1].packet), 'all fragments of one datagram have one');
        const key = keyOf(sent[0].packet);
        assert.not(seen.has(key), `${key}: ${source} as ${seen.get(key)}`);
        seen.set(key, `${source} ${sourcePort}`);
      }
    }
  }
});

test('so are those that may still be fragmented on their way, and what the router itself sends; what is atomic keeps its own (RFC 6864 §4.1)', () => {
  const r = rig(ONE);
  const send = (source: string, id: number, dontFragment = false) => r.from('lan', make.ipv4({ source, destination: SERVER, id, dontFragment }, make.echoRequest({ id: 1 })))[0].packet;
  const ids = [send(PC1, 5), send(PC2, 5), send(PC1, 6), send(PC2, 6)].map(idOf);
  for (let i = 0; i < 3; i++) ids.push(idOf(r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.echoRequest({ id: 8 + i })))[0].packet));
  assert.equal(ids.map((id) => (id - ids[0] + 65_536) % 65_536), [0, 1, 2, 3, 4, 5, 6], 'one counter for (address, destination, protocol)');
  assert.is(idOf(send(PC1, 4711, true)), 4711);
  assert.is(idOf(send(PC2, 0, true)), 0);
});

test('the identification of what keeps its own address stays', () => {
  const r = rig({ ...ONE, dmz: true, mtu: { dmz: 600 } });
  for (const { packet } of r.from('lan', make.ipv4({ source: PC1, destination: '10.9.0.9', id: 99 }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(1000) })))) assert.is(idOf(packet), 99);
});

test('fragments keep their identification apart also when each of a datagram’s fragments had DF set', () => {
  const r = rig(ONE);
  const keys = [PC1, PC2].map((source) => {
    const sent = pieces(datagram({ source, dontFragment: true })).flatMap((piece) => r.from('lan', piece));
    assert.is(sent.length, 3);
    return keyOf(sent[0].packet);
  });
  assert.is.not(keys[0], keys[1]);
});

test('one source cannot take the room for fragments from the others', () => {
  const r = rig({ ...ONE, limits: { fragments: 16 } });
  for (let id = 1; id <= 4; id++) r.from('lan', pieces(datagram({ id }))[0]);
  for (let id = 5; id <= 30; id++) r.refused('FRAGMENT_LIMIT', 'lan', pieces(datagram({ id }))[0]);
  isForwarded(pieces(datagram({ source: PC2 })).flatMap((piece) => r.from('lan', piece)));
  assert.is(r.verdict('lan', 'FRAGMENT_LIMIT'), 26);
});

test('a later fragment keeps the options with the copied flag through reassembly and refragmentation, offsets right', () => {
  const r = rig({ ...ONE, mtu: { wan1: 600 } });
  const options = Buffer.from([148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0]);
  const big = make.filler(1400);
  const whole1 = make.ipv4({ source: PC1, destination: SERVER, options, id: 3 }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: big }));
  const first = make.ipv4({ source: PC1, destination: SERVER, options, id: 3, protocol: 17, moreFragments: true }, whole1.subarray(32, 32 + 800));
  const second = make.ipv4({ source: PC1, destination: SERVER, options: Buffer.from([148, 4, 0, 0]), id: 3, protocol: 17, offset: 800 }, whole1.subarray(32 + 800));
  assert.equal(r.from('lan', second), []);
  const sent = r.from('lan', first);
  expect(sent[0].frame, ethernet(), ipv4({ options }));
  for (const { frame } of sent.slice(1)) expect(frame, ethernet(), ipv4({ options: Buffer.from([148, 4, 0, 0]) }));
  for (const { packet } of sent) assert.ok(packet.length <= 600);
  expect(whole(sent), ipv4({ source: WAN1, options }), udp({ payload: big }));
});

test.run();
