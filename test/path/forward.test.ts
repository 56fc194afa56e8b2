/** Packets that go through: out with SNAT and back, whole, by the right link, to the right neighbour. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, GATEWAY, HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';

/** Everything on wan1, so that a test knows where to look. */
const ONE = { weights: [1, 0] as [number, number] };
const payload = make.filler(101);

test('TCP: SNAT out and its undoing back: addresses, ports, TTL, checksums, MAC addresses (RFC 3022 §4)', () => {
  const r = rig(ONE);
  const out = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, ttl: 64, tos: 0x28, id: 77, dontFragment: true }, make.tcp({ sourcePort: 40000, destinationPort: 443, payload })));
  assert.is(out.length, 1);
  assert.is(out[0].link, 'wan1');
  expect(out[0].frame,
    ethernet({ source: MAC.wan1, destination: MAC.gateway1, type: 0x0800 }),
    ipv4({ source: WAN1, destination: SERVER, ttl: 63, tos: 0x28, id: 77, dontFragment: true }),
    tcp({ sourcePort: 40000, destinationPort: 443, flags: 'S', payload }));
  const back = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1, ttl: 50 }, make.tcp({ sourcePort: 443, destinationPort: 40000, flags: 'SA', payload })));
  assert.is(back.length, 1);
  assert.is(back[0].link, 'lan');
  expect(back[0].frame,
    ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1, ttl: 49 }),
    tcp({ sourcePort: 443, destinationPort: 40000, flags: 'SA', payload }));
});

test('UDP: SNAT out and its undoing back', () => {
  const r = rig(ONE);
  const out = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53, payload })));
  expect(out[0].frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 63 }), udp({ sourcePort: 5000, destinationPort: 53, payload }));
  const back = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 5000, payload })));
  expect(back[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1, ttl: 63 }), udp({ sourcePort: 53, destinationPort: 5000, payload }));
});

// conforms: icmp-echo
test('ICMP echo: the identifier is the port (RFC 5508 REQ-1)', () => {
  const r = rig(ONE);
  const out = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 3000, sequence: 9, payload })));
  expect(out[0].frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 63 }), echo({ type: 'request', id: 3000, sequence: 9, payload }));
  const back = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.echoReply({ id: 3000, sequence: 9, payload })));
  expect(back[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1, ttl: 63 }), echo({ type: 'reply', id: 3000, sequence: 9, payload }));
});

test('a taken port or identifier is remapped, and the answer finds its way to the second host', () => {
  const r = rig(ONE);
  const kinds = [
    { protocol: 'TCP', one: (port: number) => make.tcp({ sourcePort: port, destinationPort: 80 }), back: (port: number) => make.tcp({ sourcePort: 80, destinationPort: port, flags: 'SA' }), at: 0, seen: (port: number) => tcp({ destinationPort: port }) },
    { protocol: 'UDP', one: (port: number) => make.udp({ sourcePort: port, destinationPort: 80 }), back: (port: number) => make.udp({ sourcePort: 80, destinationPort: port }), at: 0, seen: (port: number) => udp({ destinationPort: port }) },
    { protocol: 'ICMP', one: (port: number) => make.echoRequest({ id: port }), back: (port: number) => make.echoReply({ id: port }), at: 4, seen: (port: number) => echo({ id: port }) },
  ];
  for (const kind of kinds) {
    const first = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, kind.one(7000)))[0];
    const second = r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, kind.one(7000)))[0];
    expect(second.frame, ethernet(), ipv4({ source: WAN1 }));
    assert.is(first.packet.readUInt16BE(20 + kind.at), 7000, `${kind.protocol} preserves`);
    const external = second.packet.readUInt16BE(20 + kind.at);
    assert.is.not(external, 7000);
    assert.ok(external >= 1024, 'remapped ports are not well-known ones');
    const back = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, kind.back(external)))[0];
    expect(back.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: SERVER, destination: PC2 }), kind.seen(7000));
  }
});

// conforms: nat-eim
test('one internal endpoint keeps its external port towards every destination (RFC 4787 REQ-1, RFC 5382 REQ-1)', () => {
  const r = rig(ONE);
  r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: 6000, destinationPort: 9 })));
  const ports = new Set<number>();
  for (let i = 1; i <= 20; i++) {
    const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: `198.51.100.${i}` }, make.udp({ sourcePort: 6000, destinationPort: 1000 + i })));
    ports.add(sent.packet.readUInt16BE(20));
  }
  assert.is(ports.size, 1);
  assert.not.ok(ports.has(6000));
});

// conforms: nat-no-overload
test('no external port serves two internal endpoints (RFC 4787 REQ-3)', () => {
  const r = rig(ONE);
  const seen = new Set<number>();
  for (let i = 1; i <= 60; i++) {
    // Different destinations: overloading would be possible, and is not done.
    const [sent] = r.from('lan', make.ipv4({ source: `192.168.0.${i + 10}`, destination: `198.51.100.${i}` }, make.udp({ sourcePort: 6000, destinationPort: 53 })));
    seen.add(sent.packet.readUInt16BE(20));
  }
  assert.is(seen.size, 60);
});

test('a well-known source port stays one, but not one of the router’s own services (RFC 4787 REQ-3a)', () => {
  const r = rig(ONE);
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 123, destinationPort: 123 })));
  const external = sent.packet.readUInt16BE(20);
  assert.ok(external >= 512 && external < 1024, `${external}`);
});

test('a protocol without ports: only the address is translated, and back', () => {
  const r = rig(ONE);
  const gre = make.filler(40);
  const out = r.from('lan', make.ipv4({ source: PC1, destination: SERVER, protocol: make.PROTOCOL.gre }, gre));
  expect(out[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, protocol: 47, ttl: 63 }));
  assert.equal(out[0].packet.subarray(20), gre);
  const back = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1, protocol: make.PROTOCOL.gre }, gre));
  expect(back[0].frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1, protocol: 47, ttl: 63 }));
  // A second host to the same far end would need the same tuple back: refused rather than mixed up.
  r.refused('FLOW_CLASH', 'lan', make.ipv4({ source: PC2, destination: SERVER, protocol: make.PROTOCOL.gre }, gre));
});

test('every TCP segment of a flow is translated alike, from SYN to the last ACK', () => {
  const r = rig(ONE);
  const there = (flags: string, bytes = 0) => r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 40000, destinationPort: 443, flags, payload: make.filler(bytes) })))[0];
  const back = (flags: string, bytes = 0) => r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 443, destinationPort: 40000, flags, payload: make.filler(bytes) })))[0];
  for (const [send, isOut, flags, bytes] of [
    [there, true, 'S', 0], [back, false, 'SA', 0], [there, true, 'A', 0], [there, true, 'PA', 500], [back, false, 'A', 1460], [there, true, 'FA', 0],
    [back, false, 'A', 7], [back, false, 'FA', 0], [there, true, 'A', 0],
  ] as const) {
    const sent = send(flags, bytes);
    if (isOut) expect(sent.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 40000, payload: make.filler(bytes) }));
    else expect(sent.frame, ethernet({ source: MAC.lan }), ipv4({ source: SERVER, destination: PC1 }), tcp({ destinationPort: 40000, payload: make.filler(bytes) }));
  }
  assert.is(r.flowCount, 1);
});

// conforms: tcp-time-wait
test('TIME-WAIT is used again by a new SYN (RFC 9293 §3.6.1)', () => {
  const r = rig(ONE);
  const there = (flags: string) => r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 40000, destinationPort: 443, flags })));
  const back = (flags: string) => r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 443, destinationPort: 40000, flags })));
  there('S'); back('SA'); there('A'); there('FA'); back('FA'); there('A');
  assert.is(there('S').length, 1);
  r.advance(121_000, 1000);
  r.teach();
  assert.is(r.flowCount, 1, 'the new opening lives longer than TIME-WAIT');
  assert.is(back('SA').length, 1);
});

test('between inside links nothing is translated', () => {
  const r = rig({ dmz: true });
  const out = r.from('lan', make.ipv4({ source: PC1, destination: DMZ_HOST }, make.tcp({ sourcePort: 40000, destinationPort: 22 })));
  assert.is(out[0].link, 'dmz');
  expect(out[0].frame, ethernet({ source: MAC.dmz, destination: MAC.dmzHost }), ipv4({ source: PC1, destination: DMZ_HOST, ttl: 63 }), tcp({ sourcePort: 40000, destinationPort: 22 }));
  const back = r.from('dmz', make.ipv4({ source: DMZ_HOST, destination: PC1 }, make.tcp({ sourcePort: 22, destinationPort: 40000, flags: 'SA' })));
  expect(back[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: DMZ_HOST, destination: PC1, ttl: 63 }), tcp({ sourcePort: 22, destinationPort: 40000 }));
});

// conforms: fwd-prefix
test('the longest prefix wins, and a static gateway is asked for instead of the destination', () => {
  const r = rig({ dmz: true, routes: [{ name: 'default', to: '0.0.0.0/0', group: 0 }, { name: 'branch', to: '198.51.100.0/24', via: DMZ_HOST }, { name: 'hole', to: '198.51.100.128/25', refuse: 'blackhole' }] });
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 1, destinationPort: 2 })));
  assert.is(sent.link, 'dmz');
  expect(sent.frame, ethernet({ destination: MAC.dmzHost }), ipv4({ source: PC1, destination: SERVER }), udp());
  assert.equal(r.refused('ROUTE_BLACKHOLE', 'lan', make.ipv4({ source: PC1, destination: '198.51.100.129' }, make.udp({ sourcePort: 1, destinationPort: 2 }))), [], 'silent');
});

test('an uplink without translation forwards the source as it is', () => {
  const r = rig({ snat: [], ...ONE });
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  expect(sent.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: PC1, destination: SERVER, ttl: 63 }), udp({ sourcePort: 5000 }));
});

// conforms: nat-paired
test('of several translation addresses one inside host always gets the same (RFC 4787 REQ-2, paired pooling)', () => {
  const r = rig({ ...ONE, snat: [WAN1, '192.168.201.20', '192.168.201.21'] });
  const byHost = new Map<string, Set<string>>();
  for (let host = 10; host < 30; host++) {
    for (let i = 0; i < 5; i++) {
      const source = `192.168.0.${host}`;
      const [sent] = r.from('lan', make.ipv4({ source, destination: `198.51.100.${i + 1}` }, make.udp({ sourcePort: 5000 + i, destinationPort: 53 })));
      byHost.set(source, (byHost.get(source) ?? new Set()).add(make.formatAddress(sent.packet.subarray(12, 16))));
    }
  }
  assert.ok([...byHost.values()].every((addresses) => addresses.size === 1));
  assert.is(new Set([...byHost.values()].map((addresses) => [...addresses][0])).size, 3, 'all of the pool is used');
});

test('a flow from an uplink to inside is refused: ICMP 3/13, never forwarded (RFC 1812 §5.2.7.1)', () => {
  const r = rig(ONE);
  for (const transport of [make.tcp({ sourcePort: 9, destinationPort: 22 }), make.udp({ sourcePort: 9, destinationPort: 22 }), make.echoRequest({ id: 5 })]) {
    const packet = make.ipv4({ source: GATEWAY, destination: PC1 }, transport);
    const sent = r.refused('UNSOLICITED', 'wan1', packet);
    assert.is(sent.length, 1);
    assert.is(sent[0].link, 'wan1');
    expect(sent[0].frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: GATEWAY }));
    assert.equal([...sent[0].packet.subarray(20, 22)], [3, 13]);
  }
  assert.is(r.flowCount, 0);
});

test('the answer to the router’s LAN side goes to a host of the LAN by its own MAC, not by the sender’s frame', () => {
  const r = rig(ONE);
  const [sent] = r.from('lan', make.ipv4({ source: PC2, destination: LAN }, make.echoRequest({ id: 8 })));
  expect(sent.frame, ethernet({ source: MAC.lan, destination: MAC.pc2 }), ipv4({ source: LAN, destination: PC2, ttl: 64 }), echo({ type: 'reply', id: 8 }));
});

test('an uplink that translates lets in only what is for the router’s addresses on that link', () => {
  const r = rig({ ...ONE, host: true });
  for (const [link, asked] of [['wan1', LAN], ['wan1', WAN2], ['wan2', WAN1], ['wan1', HOST]] as const) {
    for (const transport of [make.echoRequest({ id: 5 }), make.tcp({ sourcePort: 9, destinationPort: 22 }), make.udp({ sourcePort: 9, destinationPort: 22 })]) {
      const packet = make.ipv4({ source: SERVER, destination: asked }, transport);
      const [error] = r.refused('UNSOLICITED', link, packet);
      assert.is(error.link, link);
      expect(error.packet, ipv4({ source: link === 'wan1' ? WAN1 : WAN2, destination: SERVER }), icmpError({ type: 3, code: 13 }), bytes(packet));
    }
  }
});

test.run();
