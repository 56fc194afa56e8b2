/** What is refused at the door: frames that are not for us, packets that cannot be right, sources that cannot be there. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernet, expect, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, GATEWAY, LAN, MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const datagram = (fields: Partial<make.Ipv4Fields> = {}, l4: Partial<make.UdpFields> = {}) =>
  make.ipv4({ source: PC1, destination: SERVER, ...fields }, make.udp({ sourcePort: 4000, destinationPort: 80, ...l4 }));

// conforms: arp-frames
test('a frame for another MAC address is not ours', () => {
  assert.equal(rig(ONE).refused('NOT_FOR_US', 'lan', datagram(), { destination: '02:00:00:00:00:02' }), []);
});

test('a broadcast or multicast frame with a unicast packet inside is not forwarded (RFC 1812 §5.3.4)', () => {
  const r = rig(ONE);
  assert.equal(r.refused('BROADCAST', 'lan', datagram(), { destination: make.BROADCAST_MAC }), []);
  assert.equal(r.refused('BROADCAST', 'lan', datagram(), { destination: '01:00:5e:01:02:03' }), []);
  assert.equal(r.refused('BROADCAST', 'lan', make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 1 })), { destination: make.BROADCAST_MAC }), [], 'not answered either');
});

// conforms: arp-frames
test('a VLAN-tagged frame is dropped, with its tag in the frame or taken off by the kernel', () => {
  const r = rig(ONE);
  const tagged = Buffer.concat([Buffer.from([0, 5, 8, 0]), datagram()]);
  assert.equal(r.refused('VLAN_TAGGED', 'lan', tagged, { type: make.ETHERTYPE.vlan }), []);
  assert.equal(r.refused('VLAN_TAGGED', 'lan', tagged, { type: 0x88a8 }), []);
  assert.equal(r.refused('VLAN_TAGGED', 'lan', datagram(), { vlanTci: 5 }), []);
  assert.equal(r.refused('VLAN_TAGGED', 'lan', datagram(), { vlanTci: 0 }), [], 'a priority tag is a tag');
});

test('neither IPv4 nor ARP', () => {
  assert.equal(rig(ONE).refused('ETHERTYPE', 'lan', make.filler(40), { type: make.ETHERTYPE.ipv6 }), []);
});

// conforms: arp-frames
test('runts', () => {
  const r = rig(ONE);
  for (const length of [0, 1, 13]) {
    r.counted('RUNT', 'lan', () => {
      r.put('lan', Buffer.from(r.frame('lan', datagram()).subarray(0, length)));
      assert.equal(r.run(), []);
    });
  }
  for (const length of [0, 1, 19]) assert.equal(r.refused('RUNT', 'lan', datagram().subarray(0, length), { source: MAC.pc1 }), []);
});

test('padding is trimmed: the IP length is the true one (RFC 894)', () => {
  const r = rig(ONE);
  const packet = datagram({}, { payload: make.filler(2) });
  r.put('lan', Buffer.concat([r.frame('lan', packet), make.filler(16)]));
  const [sent] = r.run();
  expect(sent.frame, ethernet(), ipv4({ source: WAN1, totalLength: 30 }), udp({ payload: make.filler(2) }));
});

test('version, header length and total length out of bounds (RFC 1812 §5.2.2)', () => {
  const r = rig(ONE);
  r.refused('IP_VERSION', 'lan', datagram({ version: 6 }));
  r.refused('IP_VERSION', 'lan', datagram({ version: 0 }));
  r.refused('IP_HEADER_LENGTH', 'lan', datagram({ headerWords: 4 }));
  r.refused('IP_HEADER_LENGTH', 'lan', datagram({ headerWords: 15 }).subarray(0, 44));
  r.refused('IP_TOTAL_LENGTH', 'lan', datagram({ totalLength: 19 }));
  r.refused('IP_TOTAL_LENGTH', 'lan', datagram({ totalLength: 45 }));
  r.refused('IP_TOTAL_LENGTH', 'lan', datagram({ totalLength: 65_535 }));
});

test('a wrong header checksum is dropped in silence, with and without options (RFC 1812 §5.2.2)', () => {
  const r = rig(ONE);
  assert.equal(r.refused('IP_CHECKSUM', 'lan', datagram({ checksum: 'wrong' })), []);
  assert.equal(r.refused('IP_CHECKSUM', 'lan', datagram({ checksum: 'wrong', options: Buffer.from([7, 3, 4, 0]) })), []);
  assert.equal(r.refused('IP_CHECKSUM', 'lan', datagram({ checksum: 'wrong', ttl: 1 })), []);
});

test('transport headers cut short or contradicting themselves', () => {
  const r = rig(ONE);
  const cut = (transport: make.Transport, length: number) => make.ipv4({ source: PC1, destination: SERVER, protocol: transport.protocol }, transport.build(make.address(PC1), make.address(SERVER)).subarray(0, length));
  r.refused('L4_TRUNCATED', 'lan', cut(make.tcp({ sourcePort: 1, destinationPort: 2 }), 19));
  r.refused('L4_TRUNCATED', 'lan', cut(make.tcp({ sourcePort: 1, destinationPort: 2, options: Buffer.alloc(8) }), 24));
  r.refused('L4_TRUNCATED', 'lan', cut(make.udp({ sourcePort: 1, destinationPort: 2 }), 7));
  r.refused('L4_TRUNCATED', 'lan', cut(make.echoRequest({ id: 1 }), 7));
  r.refused('L4_TRUNCATED', 'lan', cut(make.udp({ sourcePort: 1, destinationPort: 2 }), 0));
  r.refused('L4_TRUNCATED', 'lan', datagram({}, { length: 7 }));
  r.refused('L4_TRUNCATED', 'lan', datagram({}, { length: 25 }));
});

// conforms: fwd-options
test('options are kept (RFC 1812 §5.3.13)', () => {
  const r = rig(ONE);
  for (const options of [Buffer.from([148, 4, 0, 0]), Buffer.from([1, 1, 1, 0]), Buffer.from([68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(40)]) {
    const [sent] = r.from('lan', datagram({ options }));
    expect(sent.frame, ethernet(), ipv4({ source: WAN1, options, ttl: 63 }), udp());
  }
});

// conforms: fwd-options
test('source routes are dropped, loose, strict and behind other options; so is what does not parse (RFC 7126 §4.3, §4.4)', () => {
  const r = rig(ONE);
  for (const options of ['8307040a00000100', '8907040a00000100', '010101830704c6336407000000', '94040000830704c633640700', '44000000', '440f0000', '07', '8300']) {
    const bytes = Buffer.from(options, 'hex');
    const padded = Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4, 1)]);
    assert.equal(r.refused('SOURCE_ROUTE', 'lan', datagram({ options: padded })), [], options);
  }
});

test('what looks like a source route behind the end of options is padding', () => {
  const [sent] = rig(ONE).from('lan', datagram({ options: Buffer.from([0, 131, 7, 4]) }));
  assert.ok(sent);
});

// conforms: fwd-martians
test('martian sources are dropped on every link (RFC 1812 §5.3.7, RFC 1122 §3.2.1.3)', () => {
  const r = rig({ ...ONE, host: true });
  for (const link of ['lan', 'wan1', 'host'] as const) {
    for (const source of ['0.0.0.0', '0.1.2.3', '127.0.0.1', '127.255.255.255', '224.0.0.1', '239.1.2.3', '240.0.0.1', '255.255.255.255']) {
      assert.equal(r.refused('MARTIAN_SOURCE', link, datagram({ source }), { source: MAC.pc1 }), [], source);
    }
  }
});

// conforms: fwd-martians
test('our own and broadcast addresses as a source are martian too (RFC 1812 §5.3.7)', () => {
  const r = rig(ONE);
  for (const source of [LAN, WAN1, WAN2, '192.168.0.255', '192.168.0.0', '192.168.201.255']) {
    assert.equal(r.refused('MARTIAN_SOURCE', 'lan', datagram({ source })), [], source);
    assert.equal(r.refused('MARTIAN_SOURCE', 'wan1', datagram({ source, destination: WAN1 })), [], source);
  }
});

// conforms: fwd-martians
test('martian destinations are never forwarded (RFC 1812 §5.3.7)', () => {
  const r = rig(ONE);
  for (const [destination, verdict] of [['0.0.0.0', 'MARTIAN_DESTINATION'], ['0.9.9.9', 'MARTIAN_DESTINATION'], ['127.0.0.1', 'MARTIAN_DESTINATION'], ['240.0.0.1', 'MARTIAN_DESTINATION'], ['254.1.1.1', 'MARTIAN_DESTINATION'], ['224.0.0.1', 'MULTICAST'], ['239.255.255.255', 'MULTICAST'], ['255.255.255.255', 'BROADCAST'], ['192.168.0.255', 'BROADCAST'], ['192.168.0.0', 'BROADCAST'], ['192.168.201.255', 'BROADCAST']] as const) {
    for (const [link, source] of [['lan', PC1], ['wan1', SERVER]] as const) assert.equal(r.refused(verdict, link, datagram({ source, destination })), [], destination);
  }
});

test('a spoofed source on an inside link is dropped in silence: strict (RFC 2827, RFC 3704 §2.2)', () => {
  const r = rig({ ...ONE, dmz: true });
  for (const source of [SERVER, '203.0.113.5', GATEWAY, DMZ_HOST]) {
    for (const transport of [make.udp({ sourcePort: 1, destinationPort: 2 }), make.tcp({ sourcePort: 1, destinationPort: 2 }), make.tcp({ sourcePort: 1, destinationPort: 2, flags: 'A' }), make.echoRequest({ id: 1 }), make.echoReply({ id: 1 })]) {
      assert.equal(r.refused('SPOOFED_SOURCE', 'lan', make.ipv4({ source, destination: '198.51.100.99' }, transport)), [], source);
    }
  }
  assert.is(r.flowCount, 0);
});

test('an inside source on an uplink is dropped in silence', () => {
  const r = rig(ONE);
  assert.equal(r.refused('SPOOFED_SOURCE', 'wan1', make.ipv4({ source: PC1, destination: WAN1 }, make.echoRequest({ id: 1 }))), []);
});

test('uplinks are feasible: an answer may come by another uplink than the question took (RFC 3704 §2.3)', () => {
  const r = rig(ONE);
  r.from('lan', datagram());
  const [sent] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000 })));
  assert.is(sent.link, 'lan');
});

test('knowing a flow’s addresses and ports does not help to speak in it from the wrong side', () => {
  const r = rig({ ...ONE, dmz: true });
  r.from('lan', datagram());
  // From inside, as if it were the server; from the uplink and from another inside link, as if it were PC1.
  assert.equal(r.refused('SPOOFED_SOURCE', 'lan', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000 }))), []);
  assert.equal(r.refused('SPOOFED_SOURCE', 'wan1', datagram()), []);
  assert.equal(r.refused('SPOOFED_SOURCE', 'dmz', datagram()), []);
});

test('the box may use any address of the router as its source', () => {
  const r = rig({ host: true });
  assert.is(r.from('host', datagram({ source: BOX })).length, 1);
  assert.is(r.from('host', datagram({ source: WAN1 })).length, 1);
  assert.is(r.from('host', datagram({ source: LAN })).length, 1);
});

test.run();
