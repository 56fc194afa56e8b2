/** The TUN link to the box itself: its own traffic goes out like any other, and what reaches the router's addresses goes to it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, HOST, LAN, MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0], host: true };

const pairs = (): [string, make.Transport, make.Transport][] => [
  ['TCP', make.tcp({ sourcePort: 4000, destinationPort: 22 }), make.tcp({ sourcePort: 22, destinationPort: 4000, flags: 'SA' })],
  ['UDP', make.udp({ sourcePort: 4000, destinationPort: 22 }), make.udp({ sourcePort: 22, destinationPort: 4000 })],
];

test('the box’s own traffic leaves by the group with SNAT and the answers come back', () => {
  const r = rig(ONE);
  for (const [name, there, back] of [...pairs(), ['ICMP', make.echoRequest({ id: 4000 }), make.echoReply({ id: 4000 })] as const]) {
    const [out] = r.from('host', make.ipv4({ source: BOX, destination: SERVER }, there));
    assert.is(out.link, 'wan1', name);
    expect(out.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 63 }));
    const [answer] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, back));
    assert.is(answer.link, 'host');
    expect(answer.frame, ipv4({ source: SERVER, destination: BOX, ttl: 63 }));
  }
});

test('LAN → router’s address: TCP and UDP reach the box with TTL untouched, and the answer goes back', () => {
  const r = rig(ONE);
  for (const asked of [LAN, WAN1, WAN2]) {
    for (const [name, there, back] of pairs()) {
      const [arrived] = r.from('lan', make.ipv4({ source: PC1, destination: asked, ttl: 1 }, there));
      assert.is(arrived.link, 'host', name);
      expect(arrived.frame, ipv4({ source: PC1, destination: asked, ttl: 1 }));
      const [answer] = r.from('host', make.ipv4({ source: asked, destination: PC1 }, back));
      assert.is(answer.link, 'lan');
      expect(answer.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: asked, destination: PC1, ttl: 63 }));
    }
  }
});

test('WAN → router’s address: likewise, and answered by the uplink it came in on', () => {
  const r = rig({ ...ONE, weights: [1, 1] });
  for (const [link, asked, ours, gateway] of [['wan1', WAN1, MAC.wan1, MAC.gateway1], ['wan2', WAN2, MAC.wan2, MAC.gateway2]] as const) {
    for (let i = 0; i < 8; i++) {
      const source = `198.51.100.${20 + i}`;
      const [arrived] = r.from(link, make.ipv4({ source, destination: asked, ttl: 7 }, make.tcp({ sourcePort: 4000, destinationPort: 22 })));
      assert.is(arrived.link, 'host');
      expect(arrived.frame, ipv4({ source, destination: asked, ttl: 7 }), tcp({ sourcePort: 4000, destinationPort: 22 }));
      const [answer] = r.from('host', make.ipv4({ source: asked, destination: source }, make.tcp({ sourcePort: 22, destinationPort: 4000, flags: 'SA' })));
      assert.is(answer.link, link);
      expect(answer.frame, ethernet({ source: ours, destination: gateway }), ipv4({ source: asked, destination: source }), tcp({ sourcePort: 22, destinationPort: 4000, flags: 'SA' }));
    }
  }
});

test('the box is answered when it asks the router’s own address on its link', () => {
  const r = rig(ONE);
  const [sent] = r.from('host', make.ipv4({ source: BOX, destination: HOST }, make.echoRequest({ id: 3 })));
  assert.is(sent.link, 'host');
  expect(sent.frame, ipv4({ source: HOST, destination: BOX, ttl: 64 }), echo({ type: 'reply', id: 3 }));
});

test('what the box sends to the router’s own address does not come back to it', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: BOX, destination: HOST }, make.udp({ sourcePort: 1, destinationPort: 2 }));
  const [sent] = r.refused('PORT_CLOSED', 'host', packet);
  expect(sent.frame, ipv4({ source: HOST, destination: BOX }), icmpError({ type: 3, code: 3 }), bytes(packet));
});

test('an echo to the router is answered by the router, not by the box', () => {
  const r = rig(ONE);
  const [sent] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.echoRequest({ id: 3 })));
  assert.is(sent.link, 'wan1');
});

test('the box and an inside host may use the same port to the same server', () => {
  const r = rig(ONE);
  const there = make.udp({ sourcePort: 4000, destinationPort: 53 });
  const [fromLan] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, there));
  const [fromBox] = r.from('host', make.ipv4({ source: BOX, destination: SERVER }, there));
  const port = fromBox.packet.readUInt16BE(20);
  assert.is.not(port, fromLan.packet.readUInt16BE(20));
  const [answer] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: port })));
  assert.is(answer.link, 'host');
  expect(answer.frame, ipv4({ destination: BOX }), udp({ destinationPort: 4000 }));
});

test('inside hosts reach the box’s own address over its link', () => {
  const r = rig(ONE);
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: BOX }, make.udp({ sourcePort: 1, destinationPort: 2 })));
  assert.is(sent.link, 'host');
  expect(sent.frame, ipv4({ source: PC1, destination: BOX, ttl: 63 }), udp());
  assert.equal(r.refused('UNSOLICITED', 'wan1', make.ipv4({ source: SERVER, destination: BOX }, make.udp({ sourcePort: 1, destinationPort: 2 }))).map(({ link }) => link), ['wan1'] as LinkName[]);
});

test('an ICMP error of the box about what it was sent goes back to the sender', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: PC1, destination: LAN }, make.udp({ sourcePort: 1, destinationPort: 2 }));
  const [arrived] = r.from('lan', packet);
  const [sent] = r.from('host', make.ipv4({ source: LAN, destination: PC1 }, make.icmp({ type: 3, code: 3 }, arrived.packet)));
  assert.is(sent.link, 'lan');
  expect(sent.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 3 }), bytes(packet));
});

test('an ICMP error about the box’s own traffic reaches the box, quoting what it sent', () => {
  const r = rig(ONE);
  const packet = make.ipv4({ source: BOX, destination: SERVER, ttl: 64 }, make.udp({ sourcePort: 4000, destinationPort: 33434 }));
  const [out] = r.from('host', packet);
  const [error] = r.from('wan1', make.ipv4({ source: '203.0.113.1', destination: WAN1 }, make.icmp({ type: 11 }, out.packet)));
  assert.is(error.link, 'host');
  expect(error.frame, ipv4({ source: '203.0.113.1', destination: BOX }), icmpError({ type: 11, code: 0 }), ipv4({ source: BOX, destination: SERVER, ttl: 63 }), udp({ sourcePort: 4000 }));
});

test('the host link is down: host unreachable', () => {
  const r = rig(ONE);
  r.setUp('host', false);
  const packet = make.ipv4({ source: PC1, destination: LAN }, make.tcp({ sourcePort: 4000, destinationPort: 22 }));
  const [sent] = r.refused('LINK_DOWN_OUT', 'lan', packet);
  expect(sent.packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(packet));
});

test('a packet too big for the host link is told so', () => {
  const r = rig({ ...ONE, mtu: { host: 1280 } });
  const packet = make.ipv4({ source: PC1, destination: LAN, dontFragment: true }, make.udp({ sourcePort: 1, destinationPort: 2, payload: make.filler(1400) }));
  const [sent] = r.refused('TOO_BIG', 'lan', packet);
  expect(sent.packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 4, mtu: 1280 }), bytes(packet));
});

test('IPv6 and other noise of the box’s stack is dropped', () => {
  const r = rig(ONE);
  assert.equal(r.refused('IP_VERSION', 'host', Buffer.concat([Buffer.from([0x60]), make.filler(60)])), []);
  assert.equal(r.refused('MULTICAST', 'host', make.ipv4({ source: BOX, destination: '224.0.0.22', protocol: 2 }, make.filler(16))), []);
});

test('a connection the box has had since before the router came goes on (SSH to a gateway that is taken over)', () => {
  const r = rig(ONE);
  const there = (flags: string) => make.ipv4({ source: SERVER, destination: WAN2 }, make.tcp({ sourcePort: 4000, destinationPort: 22, flags, payload: make.filler(10) }));
  const back = (flags: string) => make.ipv4({ source: WAN2, destination: SERVER }, make.tcp({ sourcePort: 22, destinationPort: 4000, flags, payload: make.filler(10) }));
  assert.equal(r.refused('MIDSTREAM', 'host', back('PA')), [], 'the box is not reset for speaking first');
  const [arrived] = r.from('wan2', there('PA'));
  assert.is(arrived.link, 'host');
  expect(arrived.frame, ipv4({ source: SERVER, destination: WAN2, ttl: 64 }), tcp({ sourcePort: 4000, destinationPort: 22, flags: 'PA' }));
  const [answer] = r.from('host', back('A'));
  assert.is(answer.link, 'wan2');
  expect(answer.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), tcp({ sourcePort: 22, destinationPort: 4000 }));
  r.advance(7_000_000, 100_000);
  r.teach();
  assert.is(r.from('host', back('A')).length, 1, 'both sides have spoken: established');
});

test('a mid-stream segment the box never answers is forgotten as soon as an opening one', () => {
  const r = rig(ONE);
  r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.tcp({ sourcePort: 4000, destinationPort: 22, flags: 'A' })));
  r.advance(242_000, 1000);
  assert.is(r.flowCount, 0);
});

test('what the box forwards for others behind it is translated, and the answers go back to the box', () => {
  const r = rig(ONE);
  const behind = '172.17.0.9';
  const [out] = r.from('host', make.ipv4({ source: behind, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 53 })));
  expect(out.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), udp({ sourcePort: 4000 }));
  const [answer] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 4000 })));
  assert.is(answer.link, 'host');
  expect(answer.frame, ipv4({ source: SERVER, destination: behind }), udp({ destinationPort: 4000 }));
  const late = make.ipv4({ source: behind, destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 4000, destinationPort: 53 }));
  const [error] = r.refused('TTL', 'host', late);
  assert.is(error.link, 'host');
  expect(error.frame, ipv4({ source: HOST, destination: behind }), icmpError({ type: 11, code: 0 }), bytes(late));
});

test('an error about an outside flow to the box bears the address that was asked, whoever makes it (RFC 5508 REQ-5)', () => {
  const r = rig(ONE);
  const [arrived] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.udp({ sourcePort: 999, destinationPort: 22 })));
  const [error] = r.from('host', make.ipv4({ source: BOX, destination: SERVER }, make.icmp({ type: 3, code: 3 }, arrived.packet)));
  assert.is(error.link, 'wan2');
  expect(error.frame, ethernet({ source: MAC.wan2 }), ipv4({ source: WAN2, destination: SERVER }), icmpError({ type: 3, code: 3 }), bytes(arrived.packet));
});

test.run();
