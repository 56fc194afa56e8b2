/** Which uplink: the split over a group, staying with it, answers by the way the question came, and links going down. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { echo, ethernet, expect, icmpError, ipv4, tcp, udp, bytes } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, GATEWAY, LAN, MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, Sent } from '../support/rig.js';

const syn = (port: number, destination = SERVER) => make.ipv4({ source: PC1, destination }, make.tcp({ sourcePort: port, destinationPort: 80 }));

/** Opens flows from PC1 and counts them by link. */
function open(r: Rig, from: number, count: number): Map<number, LinkName> {
  const byPort = new Map<number, LinkName>();
  for (let port = from; port < from + count; port++) {
    const [sent] = r.from('lan', syn(port));
    byPort.set(port, sent.link);
  }
  return byPort;
}

const share = (byPort: Map<number, LinkName>): number => [...byPort.values()].filter((link) => link === 'wan1').length / byPort.size;

/** The frame is right for the link it left by: its own MAC and source address, its own gateway. */
function isRightForItsLink(sent: Sent): void {
  if (sent.link === 'wan1') expect(sent.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1 }));
  else expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2 }));
}

// conforms: nat-overlap
test('two uplinks on one subnet with one gateway address: each frame leaves with its own link’s MAC, address and neighbour', () => {
  const r = rig();
  const links = new Set<string>();
  for (let i = 0; i < 40; i++) {
    for (const transport of [make.tcp({ sourcePort: 3000 + i, destinationPort: 80 }), make.udp({ sourcePort: 3000 + i, destinationPort: 80 }), make.echoRequest({ id: 3000 + i })]) {
      const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, transport));
      isRightForItsLink(sent);
      links.add(sent.link);
    }
  }
  assert.equal([...links].sort(), ['wan1', 'wan2']);
});

// conforms: fwd-split
test('400 TCP flows over 3:1 keep within 5 points of 75 %, whatever the seed', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const part = share(open(rig({ seed }), 20_000, 400));
    assert.ok(Math.abs(part - 0.75) <= 0.05, `${part} with seed ${seed}`);
  }
});

test('400 UDP flows and 400 echoes keep within 5 points too', () => {
  const r = rig();
  for (const transport of [(i: number) => make.udp({ sourcePort: i, destinationPort: 53 }), (i: number) => make.echoRequest({ id: i })]) {
    let first = 0;
    for (let i = 20_000; i < 20_400; i++) if (r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, transport(i)))[0].link === 'wan1') first++;
    assert.ok(Math.abs(first / 400 - 0.75) <= 0.05, `${first} of 400`);
  }
});

test('weight 0 takes no new flows', () => {
  const byPort = open(rig({ weights: [0, 1] }), 20_000, 50);
  assert.ok([...byPort.values()].every((link) => link === 'wan2'));
});

// conforms: fwd-split
test('a flow stays on its link, also for its ICMP errors', () => {
  const r = rig();
  const byPort = open(r, 20_000, 40);
  for (const [port, link] of byPort) {
    const back = make.ipv4({ source: SERVER, destination: link === 'wan1' ? WAN1 : WAN2 }, make.tcp({ sourcePort: 80, destinationPort: port, flags: 'SA' }));
    const [answer] = r.from(link, back);
    for (let i = 0; i < 3; i++) {
      const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 80, flags: 'A', payload: make.filler(i) })));
      assert.is(sent.link, link);
      isRightForItsLink(sent);
    }
    // PC1 refuses what the server sent: the error bears the flow's address and must leave where that address lives (RFC 5508 REQ-5).
    const [error] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.icmp({ type: 3, code: 3 }, answer.packet)));
    assert.is(error.link, link);
    isRightForItsLink(error);
  }
});

test('a destination on the shared subnet itself is balanced too, and asked for directly', () => {
  const r = rig({ neighbours: false });
  const neighbour = '192.168.201.77';
  const links = new Set<LinkName>();
  for (let i = 0; i < 30; i++) {
    r.put('lan', r.frame('lan', syn(9000 + i, neighbour)));
    const sent = r.run();
    for (const { link, isArp, frame } of sent) {
      if (!isArp) continue;
      assert.is(make.formatAddress(frame.subarray(38, 42)), neighbour, 'the destination is asked for, not the gateway');
      r.put(link, r.arpReply(link, neighbour, link === 'wan1' ? '02:00:00:00:aa:01' : '02:00:00:00:aa:02'));
      for (const released of r.run()) links.add(released.link);
    }
  }
  for (let i = 30; i < 60; i++) {
    const [sent] = r.from('lan', syn(9000 + i, neighbour));
    links.add(sent.link);
    expect(sent.frame, ethernet({ destination: sent.link === 'wan1' ? '02:00:00:00:aa:01' : '02:00:00:00:aa:02' }), ipv4({ source: sent.link === 'wan1' ? WAN1 : WAN2, destination: neighbour }), tcp());
  }
  assert.equal([...links].sort(), ['wan1', 'wan2']);
});

test('an echo to the router is answered by the uplink it came in on, from the address asked, through its gateway', () => {
  const r = rig({ weights: [1, 0] });
  for (let i = 0; i < 10; i++) {
    const [sent] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.echoRequest({ id: i })));
    assert.is(sent.link, 'wan2');
    expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), echo({ type: 'reply', id: i }));
  }
});

test('the answers of an outside flow to the box leave by the uplink it came in on', () => {
  const r = rig({ host: true, weights: [1, 0] });
  for (const transport of [
    { there: make.tcp({ sourcePort: 999, destinationPort: 22 }), back: make.tcp({ sourcePort: 22, destinationPort: 999, flags: 'SA' }) },
    { there: make.udp({ sourcePort: 999, destinationPort: 22 }), back: make.udp({ sourcePort: 22, destinationPort: 999 }) },
  ]) {
    const [arrived] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2, ttl: 44 }, transport.there));
    assert.is(arrived.link, 'host');
    const [sent] = r.from('host', make.ipv4({ source: WAN2, destination: SERVER }, transport.back));
    assert.is(sent.link, 'wan2');
    expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER, ttl: 63 }));
  }
});

test('an error of the box about an outside flow leaves by the uplink the flow came in on', () => {
  const r = rig({ host: true, weights: [1, 0] });
  const [arrived] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.udp({ sourcePort: 999, destinationPort: 22 })));
  const [sent] = r.from('host', make.ipv4({ source: WAN2, destination: SERVER }, make.icmp({ type: 3, code: 3 }, arrived.packet)));
  assert.is(sent.link, 'wan2');
  expect(sent.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), icmpError({ type: 3, code: 3 }), bytes(arrived.packet));
});

// conforms: fwd-split
test('the box’s own traffic leaves by the group too, by weight', () => {
  const r = rig({ host: true });
  let first = 0;
  for (let i = 0; i < 200; i++) {
    const [sent] = r.from('host', make.ipv4({ source: BOX, destination: SERVER }, make.tcp({ sourcePort: 30_000 + i, destinationPort: 80 })));
    isRightForItsLink(sent);
    if (sent.link === 'wan1') first++;
  }
  assert.ok(Math.abs(first / 200 - 0.75) <= 0.07, `${first} of 200`);
});

// conforms: fwd-loss
test('a link that goes down takes no new flow; its old flows are refused, never sent with the wrong address', () => {
  const r = rig();
  const byPort = open(r, 20_000, 40);
  r.setUp('wan1', false);
  const after = open(r, 30_000, 40);
  assert.ok([...after.values()].every((link) => link === 'wan2'));
  for (const [port, link] of byPort) {
    const packet = make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 80, flags: 'A' }));
    if (link === 'wan2') {
      assert.is(r.from('lan', packet)[0].link, 'wan2');
      continue;
    }
    const [error] = r.refused('UPLINK_DOWN', 'lan', packet);
    expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(packet));
  }
});

// conforms: fwd-return fwd-damping
test('a link that comes back takes new flows again, by weight, and old flows stay where they are', () => {
  const r = rig();
  r.setUp('wan1', false);
  const during = open(r, 30_000, 40);
  r.setUp('wan1', true);
  r.advance(3000, 1000);
  r.teach();
  const part = share(open(r, 40_000, 200));
  assert.ok(Math.abs(part - 0.75) <= 0.08, `${part}: neither shunned nor flooded`);
  for (const port of during.keys()) assert.is(r.from('lan', syn(port))[0].link, 'wan2');
});

// conforms: fwd-all-down
test('all uplinks down: network unreachable (RFC 1812 §5.2.7.1)', () => {
  const r = rig();
  r.setUp('wan1', false);
  r.setUp('wan2', false);
  const packet = syn(20_000);
  const [error] = r.refused('NO_UPLINK', 'lan', packet);
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 0 }), bytes(packet));
  assert.is(r.flowCount, 0);
});

test('a packet on a link that is down is not taken', () => {
  const r = rig();
  r.setUp('lan', false);
  assert.equal(r.refused('LINK_DOWN_IN', 'lan', syn(20_000)), []);
});

test('each uplink counts its flows, its packets and its ports', () => {
  const r = rig({ weights: [1, 0] });
  const { counters } = r.router;
  const before = [2, 3, 0, 1].map((counter) => counters.uplink(0, counter));
  const out = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 }));
  r.from('lan', out);
  r.from('lan', out);
  r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 5000 })));
  const [rxPackets, rxBytes, txPackets, txBytes] = [2, 3, 0, 1].map((counter, i) => counters.uplink(0, counter) - before[i]);
  assert.equal([rxPackets, rxBytes, txPackets, txBytes], [1, 44, 2, 88]);
  assert.equal([counters.uplink(0, 4), counters.uplink(0, 5), counters.uplink(0, 6)], [1, 1, 1], 'flows, new flows, ports');
  r.advance(301_000, 1000);
  assert.equal([counters.uplink(0, 4), counters.uplink(0, 5), counters.uplink(0, 6)], [0, 1, 0]);
});

test('uplinks with subnets of their own: each has its gateway, and its own neighbour on its subnet is reached only there', () => {
  const r = rig({ separate: true });
  for (let i = 0; i < 20; i++) {
    const [sent] = r.from('lan', syn(3000 + i));
    if (sent.link === 'wan1') expect(sent.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), tcp());
    else expect(sent.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: '203.0.113.2' }), tcp());
    const [onLink] = r.from('lan', make.ipv4({ source: PC1, destination: '203.0.113.1' }, make.udp({ sourcePort: 3000 + i, destinationPort: 53 })));
    expect(onLink.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: '203.0.113.2' }), udp());
    const [first] = r.from('lan', make.ipv4({ source: PC1, destination: GATEWAY }, make.udp({ sourcePort: 3000 + i, destinationPort: 53 })));
    expect(first.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1 }), udp());
  }
});

test.run();
