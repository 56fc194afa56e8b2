/** ICMP errors and resets the router makes itself: when, from whom, to whom, and what they quote. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ, DMZ_HOST, GATEWAY, HOST, LAN, MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Sent } from '../support/rig.js';

const ONE = { weights: [1, 0] as [number, number] };
const big = make.filler(1400);

const transports = (): [string, make.Transport][] => [
  ['TCP', make.tcp({ sourcePort: 4000, destinationPort: 80 })], ['UDP', make.udp({ sourcePort: 4000, destinationPort: 80 })], ['ICMP', make.echoRequest({ id: 4000 })],
];

function isError(sent: Sent[], link: LinkName, from: string, to: string, type: number, code: number, quoted: Buffer, mtu = 0): void {
  assert.is(sent.length, 1, `one error, got ${sent.length}`);
  assert.is(sent[0].link, link);
  expect(sent[0].packet, ipv4({ source: from, destination: to, ttl: 64 }), icmpError({ type, code, mtu }), bytes(quoted));
  // As much of the packet as fits 576 bytes (RFC 1812 §4.3.2.3).
  assert.is(sent[0].packet.length, Math.min(576, 28 + quoted.length));
}

// conforms: error-ttl
test('TTL 1: time exceeded from the arrival link’s address, quoting the packet as received (RFC 1812 §5.3.1, §4.3.2.4)', () => {
  const r = rig({ ...ONE, dmz: true });
  for (const [, transport] of transports()) {
    const packet = make.ipv4({ source: PC1, destination: SERVER, ttl: 1 }, transport);
    isError(r.refused('TTL', 'lan', packet), 'lan', LAN, PC1, 11, 0, packet);
    const other = make.ipv4({ source: DMZ_HOST, destination: SERVER, ttl: 1 }, transport);
    isError(r.refused('TTL', 'dmz', other), 'dmz', DMZ, DMZ_HOST, 11, 0, other);
  }
  assert.is(r.flowCount, 0, 'nothing was opened');
});

// conforms: fwd-ttl
test('TTL 0 is never forwarded either', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: PC1, destination: SERVER, ttl: 0 }, make.udp({ sourcePort: 1, destinationPort: 33434 }));
  isError(r.refused('TTL', 'lan', packet), 'lan', LAN, PC1, 11, 0, packet);
});

// conforms: error-ttl
test('TTL 1 on the way back: the quote bears the external address, as its sender knows it', () => {
  const r = rig(ONE);
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  const packet = make.ipv4({ source: SERVER, destination: WAN1, ttl: 1 }, make.udp({ sourcePort: 80, destinationPort: 4000 }));
  const sent = r.refused('TTL', 'wan1', packet);
  isError(sent, 'wan1', WAN1, SERVER, 11, 0, packet);
  expect(sent[0].frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4());
});

// conforms: fwd-ttl
test('TTL 2 passes with 1 left', () => {
  const [sent] = rig(ONE).from('lan', make.ipv4({ source: PC1, destination: SERVER, ttl: 2 }, make.udp({ sourcePort: 1, destinationPort: 2 })));
  expect(sent.frame, ethernet(), ipv4({ ttl: 1 }), udp());
});

// conforms: error-too-big
test('DF and too big: fragmentation needed with the next hop’s MTU, quoting as received, before SNAT (RFC 1191 §4, RFC 5508 REQ-9)', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1300 } });
  for (const transport of [make.tcp({ sourcePort: 4000, destinationPort: 80, payload: big }), make.udp({ sourcePort: 4000, destinationPort: 80, payload: big }), make.echoRequest({ id: 4000, payload: big })]) {
    const packet = make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, transport);
    isError(r.refused('TOO_BIG', 'lan', packet), 'lan', LAN, PC1, 3, 4, packet, 1300);
  }
});

// conforms: error-too-big
test('DF and too big in an answer: to its sender, quoting the external address, though the destination had been translated back', () => {
  const r = rig({ ...ONE, mtu: { lan: 1200 } });
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  const packet = make.ipv4({ source: SERVER, destination: WAN1, dontFragment: true }, make.udp({ sourcePort: 80, destinationPort: 4000, payload: big }));
  isError(r.refused('TOO_BIG', 'wan1', packet), 'wan1', WAN1, SERVER, 3, 4, packet, 1200);
});

// conforms: mtu-links
test('a packet exactly as large as the MTU passes, one byte more does not', () => {
  const r = rig({ ...ONE, mtu: { wan1: 1300 } });
  const sized = (length: number) => make.ipv4({ source: PC1, destination: SERVER, dontFragment: true }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(length - 28) }));
  assert.is(r.from('lan', sized(1300)).length, 1);
  r.refused('TOO_BIG', 'lan', sized(1301));
});

// conforms: error-codes
test('no route: network unreachable (RFC 1812 §5.2.7.1)', () => {
  const r = rig({ routes: [] });
  for (const [, transport] of transports()) {
    const packet = make.ipv4({ source: PC1, destination: SERVER }, transport);
    isError(r.refused('NO_ROUTE', 'lan', packet), 'lan', LAN, PC1, 3, 0, packet);
  }
});

// conforms: error-codes
test('routes that refuse: unreachable says host unreachable, prohibit says 13, blackhole says nothing', () => {
  const r = rig({ routes: [{ name: 'a', to: '198.51.100.0/24', refuse: 'unreachable' }, { name: 'b', to: '203.0.113.0/24', refuse: 'prohibit' }, { name: 'c', to: '192.0.2.0/24', refuse: 'blackhole' }] });
  const to = (destination: string) => make.ipv4({ source: PC1, destination }, make.udp({ sourcePort: 1, destinationPort: 2 }));
  isError(r.refused('ROUTE_UNREACHABLE', 'lan', to(SERVER)), 'lan', LAN, PC1, 3, 1, to(SERVER));
  isError(r.refused('ROUTE_PROHIBIT', 'lan', to('203.0.113.9')), 'lan', LAN, PC1, 3, 13, to('203.0.113.9'));
  assert.equal(r.refused('ROUTE_BLACKHOLE', 'lan', to('192.0.2.9')), []);
});

test('the link towards the destination is down: host unreachable', () => {
  const r = rig({ dmz: true });
  r.setUp('dmz', false);
  const packet = make.ipv4({ source: PC1, destination: DMZ_HOST }, make.udp({ sourcePort: 1, destinationPort: 2 }));
  isError(r.refused('LINK_DOWN_OUT', 'lan', packet), 'lan', LAN, PC1, 3, 1, packet);
});

// conforms: error-codes
test('closed TCP port on the router: a reset with the right numbers (RFC 9293 §3.10.7.1)', () => {
  const r = rig(ONE);
  const [syn] = r.refused('PORT_CLOSED', 'lan', make.ipv4({ source: PC1, destination: LAN }, make.tcp({ sourcePort: 4000, destinationPort: 22, sequence: 0xfffffff0, payload: make.filler(32) })));
  expect(syn.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }),
    tcp({ sourcePort: 22, destinationPort: 4000, sequence: 0, acknowledgement: 0x11, flags: 'RA', payload: Buffer.alloc(0) }));
  const [ack] = r.refused('MIDSTREAM', 'lan', make.ipv4({ source: PC1, destination: LAN }, make.tcp({ sourcePort: 4000, destinationPort: 22, sequence: 5, acknowledgement: 0x89abcdef, flags: 'A' })));
  expect(ack.frame, ethernet(), ipv4({ source: LAN, destination: PC1 }), tcp({ sourcePort: 22, destinationPort: 4000, sequence: 0x89abcdef, flags: 'R' }));
  assert.equal(r.refused('MIDSTREAM', 'lan', make.ipv4({ source: PC1, destination: LAN }, make.tcp({ sourcePort: 4000, destinationPort: 22, flags: 'R' }))), [], 'never a reset about a reset');
});

test('a segment of no connection on an uplink: the reset leaves by the uplink', () => {
  const r = rig(ONE);
  const [sent] = r.refused('MIDSTREAM', 'wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.tcp({ sourcePort: 4000, destinationPort: 22, sequence: 9, acknowledgement: 77, flags: 'FA' })));
  assert.is(sent.link, 'wan2');
  expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), tcp({ sourcePort: 22, destinationPort: 4000, sequence: 77, flags: 'R' }));
});

// conforms: error-codes
test('closed UDP port on the router: port unreachable; an unknown protocol: protocol unreachable (RFC 1122 §3.2.2.1)', () => {
  const r = rig(ONE);
  const datagram = make.ipv4({ source: PC1, destination: LAN }, make.udp({ sourcePort: 4000, destinationPort: 161 }));
  isError(r.refused('PORT_CLOSED', 'lan', datagram), 'lan', LAN, PC1, 3, 3, datagram);
  const gre = make.ipv4({ source: PC1, destination: LAN, protocol: 47 }, make.filler(20));
  isError(r.refused('PROTOCOL_UNKNOWN', 'lan', gre), 'lan', LAN, PC1, 3, 2, gre);
});

test('an echo to the router is answered on every link, with the same data (RFC 1122 §3.2.2.6)', () => {
  const r = rig({ dmz: true });
  for (const [link, asked, from, mac] of [['lan', LAN, PC1, MAC.pc1], ['wan1', WAN1, GATEWAY, MAC.gateway1], ['wan2', WAN2, GATEWAY, MAC.gateway2], ['dmz', DMZ, DMZ_HOST, MAC.dmzHost]] as const) {
    const payload = make.filler(57);
    const sent = r.counted('TAKEN', link, () => r.from(link, make.ipv4({ source: from, destination: asked, ttl: 1, options: Buffer.from([1, 1, 1, 0]) }, make.echoRequest({ id: 11, sequence: 12, payload }))));
    assert.is(sent.length, 1);
    assert.is(sent[0].link, link);
    expect(sent[0].frame, ethernet({ destination: mac }), ipv4({ source: asked, destination: from, ttl: 64 }), echo({ type: 'reply', id: 11, sequence: 12, payload }));
  }
});

test('an echo from the LAN to the router’s WAN address is answered from that address', () => {
  const r = rig();
  for (const asked of [WAN1, WAN2]) {
    const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: asked }, make.echoRequest({ id: 11 })));
    assert.is(sent.link, 'lan');
    expect(sent.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: asked, destination: PC1 }), echo({ type: 'reply', id: 11 }));
  }
});

test('an echo with a wrong checksum is not answered', () => {
  assert.equal(rig().refused('ICMP_CHECKSUM', 'lan', make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 11, checksum: 'wrong' }))), []);
});

test('a large echo to the router is answered in fragments', () => {
  const r = rig();
  const payload = make.filler(4000);
  const request = make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 11, payload }));
  const sent = make.fragments(request, [1480, 2960]).flatMap((piece) => r.from('lan', piece));
  assert.is(sent.length, 3);
  assert.equal(Buffer.concat(sent.map(({ packet }) => packet.subarray(20))).subarray(8), payload);
  assert.equal(sent.map(({ packet }) => packet.readUInt16BE(6)), [0x2000, 0x2000 | 185, 370]);
});

// conforms: tcp-midstream
test('a mid-stream TCP segment: reset towards inside as if from its destination, nothing opened, nothing forwarded (never un-NATed)', () => {
  const r = rig(ONE);
  const sent = r.refused('MIDSTREAM', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, sequence: 7, acknowledgement: 99, flags: 'PA', payload: make.filler(10) })));
  assert.is(sent.length, 1);
  expect(sent[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ sourcePort: 80, destinationPort: 4000, sequence: 99, flags: 'R' }));
  assert.is(r.flowCount, 0);
});

test('a mid-stream segment from an uplink to our address is reset from that address; to an inside one it is refused in our own name', () => {
  const r = rig(ONE);
  const [reset] = r.refused('MIDSTREAM', 'wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 80, destinationPort: 4000, acknowledgement: 99, flags: 'A' })));
  expect(reset.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ flags: 'R', sequence: 99 }));
  const packet = make.ipv4({ source: GATEWAY, destination: PC1 }, make.tcp({ sourcePort: 80, destinationPort: 4000, flags: 'A' }));
  isError(r.refused('MIDSTREAM', 'wan1', packet), 'wan1', WAN1, GATEWAY, 3, 13, packet);
});

test('a SYN+ACK or a FIN of no flow opens nothing', () => {
  const r = rig(ONE);
  for (const flags of ['SA', 'FA', 'PA', 'RA', 'R']) r.refused('MIDSTREAM', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags })));
  assert.is(r.flowCount, 0);
});

test('a stray echo reply is dropped in silence', () => {
  const r = rig();
  assert.equal(r.refused('STRAY_REPLY', 'wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.echoReply({ id: 9 }))), []);
  assert.equal(r.refused('STRAY_REPLY', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoReply({ id: 9 }))), []);
});

// conforms: error-never
test('no error about an ICMP error (RFC 1812 §4.3.2.7)', () => {
  const r = rig(ONE);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  assert.equal(r.refused('TTL', 'wan1', make.ipv4({ source: SERVER, destination: WAN1, ttl: 1 }, make.icmp({ type: 3, code: 3 }, out.packet))), []);
});

// conforms: error-never
test('no error about a later fragment: it waits, and its time runs out in silence (RFC 1812 §4.3.2.7)', () => {
  const r = rig(ONE);
  const [, later] = make.fragments(make.ipv4({ source: PC1, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: big })), [800]);
  assert.equal(r.from('lan', later), []);
  assert.equal(r.advance(31_000, 1000).filter(({ isArp }) => !isArp), []);
  assert.is(r.verdict('lan', 'FRAGMENT_TIMEOUT'), 1);
});

// conforms: error-never
test('no error about a frame that was broadcast, a packet to a broadcast or multicast address, or a source that is no host (RFC 1812 §4.3.2.7)', () => {
  const r = rig(ONE);
  const udpTo = (destination: string, source = PC1) => make.ipv4({ source, destination, ttl: 1 }, make.udp({ sourcePort: 4000, destinationPort: 80 }));
  assert.equal(r.refused('BROADCAST', 'lan', udpTo(SERVER), { destination: make.BROADCAST_MAC }), []);
  assert.equal(r.refused('BROADCAST', 'lan', udpTo(SERVER), { destination: '01:00:5e:00:00:01' }), []);
  assert.equal(r.refused('BROADCAST', 'lan', udpTo('192.168.0.255')), []);
  assert.equal(r.refused('BROADCAST', 'lan', udpTo('255.255.255.255')), []);
  assert.equal(r.refused('MULTICAST', 'lan', udpTo('224.0.0.251')), []);
  assert.equal(r.refused('MARTIAN_SOURCE', 'lan', udpTo(SERVER, '224.0.0.1')), []);
  assert.equal(r.refused('MARTIAN_SOURCE', 'lan', udpTo(SERVER, '0.0.0.0')), []);
  assert.equal(r.refused('MARTIAN_SOURCE', 'lan', udpTo(SERVER, '192.168.0.255')), []);
});

// conforms: error-rate
test('errors are limited per destination and in all (RFC 1812 §4.3.2.8)', () => {
  const r = rig({ ...ONE, limits: { icmpErrorsPerDestination: 5, icmpErrorsPerSecond: 12 } });
  const from = (host: number) => r.refused('TTL', 'lan', make.ipv4({ source: `192.168.0.${host}`, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 1, destinationPort: 2 })));
  for (let host = 4; host < 8; host++) {
    r.put('lan', r.arpReply('lan', `192.168.0.${host}`, `02:00:00:00:05:0${host}`));
    r.put('lan', r.arpReply('lan', `192.168.0.${host}`, `02:00:00:00:05:0${host}`));
  }
  r.run();
  const answered = (host: number, count: number): number => Array.from({ length: count }, () => from(host).length).reduce((sum, n) => sum + n, 0);
  assert.is(answered(4, 20), 5, 'one destination');
  assert.is(answered(5, 20), 5);
  assert.is(answered(6, 20), 2, 'the rest of what all may have');
  assert.is(answered(7, 20), 0);
  r.clock.advance(1000);
  assert.is(answered(4, 20), 5, 'full again after a second');
});

// conforms: error-quote
test('a quote ends at 576 bytes of error, or with the packet (RFC 1812 §4.3.2.3)', () => {
  const r = rig(ONE);
  const long = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 1, destinationPort: 2, payload: big })));
  assert.is(long[0].packet.length, 576);
  const short = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 1, destinationPort: 2, payload: make.filler(3) })));
  assert.is(short[0].packet.length, 28 + 31);
});

test('no free port: refused with 3/13 quoting as received, and never sent un-NATed', () => {
  const r = rig({ ...ONE, limits: { snatPortFirst: 5000, snatPortLast: 5001 } });
  const udpFrom = (sourcePort: number) => make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort, destinationPort: 80 }));
  assert.is(r.from('lan', udpFrom(2001)).length, 1);
  assert.is(r.from('lan', udpFrom(2002)).length, 1);
  isError(r.refused('NO_PORT', 'lan', udpFrom(2003)), 'lan', LAN, PC1, 3, 13, udpFrom(2003));
  assert.is(r.flowCount, 2);
  assert.is(r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 2003, destinationPort: 80 }))).length, 1, 'TCP has ports of its own');
});

// conforms: icmp-prohibited
test('flow table full: TABLE_FULL, told as 3/13 (RFC 5508 REQ-8); old flows go on', () => {
  const r = rig({ ...ONE, limits: { flows: 16 } });
  const udpFrom = (sourcePort: number) => make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort, destinationPort: 80 }));
  for (let i = 0; i < 16; i++) assert.is(r.from('lan', udpFrom(2000 + i)).length, 1);
  isError(r.refused('TABLE_FULL', 'lan', udpFrom(3000)), 'lan', LAN, PC1, 3, 13, udpFrom(3000));
  assert.is(r.from('lan', udpFrom(2000)).length, 1);
});

test('a flow that would clash takes no port: the next one finds it free', () => {
  const r = rig({ ...ONE, host: true, limits: { snatPortFirst: 5000, snatPortLast: 5000 } });
  // An outside flow to the box holds exactly the tuple an inside flow’s answers would have.
  assert.is(r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 5000 })))[0].link, 'host');
  const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 2007, destinationPort: 80 }));
  isError(r.refused('FLOW_CLASH', 'lan', packet), 'lan', LAN, PC1, 3, 13, packet);
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 2008, destinationPort: 81 })));
  expect(sent.frame, ethernet(), ipv4({ source: WAN1 }), udp({ sourcePort: 5000 }));
});

test('an error to the box comes from the router’s side of its link', () => {
  const r = rig({ host: true });
  const packet = make.ipv4({ source: BOX, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 1, destinationPort: 33434 }));
  isError(r.refused('TTL', 'host', packet), 'host', HOST, BOX, 11, 0, packet);
});

test('no reset and no error for a segment to a directed broadcast (RFC 1122 §4.2.3.10)', () => {
  const r = rig({ ...ONE, dmz: true });
  assert.equal(r.from('lan', make.ipv4({ source: PC1, destination: '10.9.0.255' }, make.tcp({ sourcePort: 1, destinationPort: 2, flags: 'A' }))), []);
});

test('an error has the precedence of internetwork control, no options, and no DF (RFC 1812 §4.3.2.5, §4.3.2.6)', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: PC1, destination: SERVER, ttl: 1, tos: 0x2b, options: Buffer.from([7, 7, 4, 0, 0, 0, 0, 0]) }, make.udp({ sourcePort: 1, destinationPort: 2 }));
  const [error] = r.refused('TTL', 'lan', packet);
  expect(error.packet, ipv4({ source: LAN, destination: PC1, tos: 0xc0, options: Buffer.alloc(0), dontFragment: false }), icmpError({ type: 11, code: 0 }), bytes(packet));
});

const FORWARD = { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6, 17], ports: { first: 8000, last: 8000 }, to: PC1, toPort: 80 };

test('through a forwarded port, errors quote the packet as received: new flow, known flow, and the answers', () => {
  const r = rig({ ...ONE, mtu: { lan: 1300 }, plan: { portForwards: [FORWARD] } });
  const asked = (fields: Partial<make.Ipv4Fields>, payload = make.filler(20)) => make.ipv4({ source: SERVER, destination: WAN1, ...fields }, make.udp({ sourcePort: 5000, destinationPort: 8000, payload }));
  isError(r.refused('TTL', 'wan1', asked({ ttl: 1 })), 'wan1', WAN1, SERVER, 11, 0, asked({ ttl: 1 }));
  isError(r.refused('TOO_BIG', 'wan1', asked({ dontFragment: true }, big)), 'wan1', WAN1, SERVER, 3, 4, asked({ dontFragment: true }, big), 1300);
  assert.is(r.flowCount, 0);
  assert.is(r.from('wan1', asked({})).length, 1);
  isError(r.refused('TTL', 'wan1', asked({ ttl: 1 })), 'wan1', WAN1, SERVER, 11, 0, asked({ ttl: 1 }));
  isError(r.refused('TOO_BIG', 'wan1', asked({ dontFragment: true }, big)), 'wan1', WAN1, SERVER, 3, 4, asked({ dontFragment: true }, big), 1300);
  const answer = make.ipv4({ source: PC1, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 80, destinationPort: 5000 }));
  isError(r.refused('TTL', 'lan', answer), 'lan', LAN, PC1, 11, 0, answer);
});

test('through a hairpin, errors quote what each side has sent', () => {
  const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
  const asked = (ttl: number) => make.ipv4({ source: '192.168.0.5', destination: WAN1, ttl }, make.udp({ sourcePort: 5000, destinationPort: 8000 }));
  isError(r.refused('TTL', 'lan', asked(1)), 'lan', LAN, '192.168.0.5', 11, 0, asked(1));
  const [inside] = r.from('lan', asked(64));
  isError(r.refused('TTL', 'lan', asked(1)), 'lan', LAN, '192.168.0.5', 11, 0, asked(1));
  const answer = make.ipv4({ source: PC1, destination: WAN1, ttl: 1 }, make.udp({ sourcePort: 80, destinationPort: inside.packet.readUInt16BE(20) }));
  isError(r.refused('TTL', 'lan', answer), 'lan', LAN, PC1, 11, 0, answer);
});

// conforms: fwd-ttl
test('TTL goes down once through a forwarded port, a hairpin and back (RFC 1812 §5.3.1)', () => {
  const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
  const [inside] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1, ttl: 9 }, make.udp({ sourcePort: 5000, destinationPort: 8000 })));
  expect(inside.packet, ipv4({ destination: PC1, ttl: 8 }), udp());
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, ttl: 7 }, make.udp({ sourcePort: 80, destinationPort: 5000 })));
  expect(back.packet, ipv4({ source: WAN1, ttl: 6 }), udp());
  const [turned] = r.from('lan', make.ipv4({ source: '192.168.0.5', destination: WAN1, ttl: 5 }, make.udp({ sourcePort: 5000, destinationPort: 8000 })));
  expect(turned.packet, ipv4({ source: WAN1, destination: PC1, ttl: 4 }), udp());
});

test.run();
