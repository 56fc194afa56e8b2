/** Which uplink: the split over a group by each mode, staying with it, answers by the way the question came, odd gateways, and links going down. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Balance } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { echo, ethernet, expect, icmpError, ipv4, tcp, udp, bytes } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, GATEWAY, LAN, MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';
import { isDrawnBy } from '../support/oracle/chi-square.js';
import { anySeed, check } from '../support/oracle/property.js';

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
test('a link that goes down takes no new flow; old flows that wait for it are refused, never sent with the wrong address', () => {
  const r = rig({ group: { onDown: 'keep' } });
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

// conforms: fwd-return
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

// conforms: fwd-split
test('chi-square of the split by each mode, whatever the seed', () => {
  const modes = fc.constantFrom<Balance>('flow', 'source', 'destination', 'source-destination');
  check(fc.property(anySeed, modes, fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), (seed, balance, weights) => {
    const r = rig({ seed, weights, group: { balance }, limits: { flows: 1024, icmpErrorsPerSecond: 10_000 }, link: { lan: { sourceCheck: 'off' } } });
    const random = new Random(seed ^ 0x2545_f491);
    const counts = [0, 0];
    for (let i = 0; i < 400; i++) {
      // Of all that a flow is told by, only what the mode compares by is at hand: the rest stands still.
      const source = balance === 'destination' ? PC1 : `172.${16 + random.below(16)}.${random.below(256)}.${1 + random.below(254)}`;
      const destination = balance === 'source' ? SERVER : `100.${70 + random.below(50)}.${random.below(256)}.${1 + random.below(254)}`;
      const [sent] = r.from('lan', make.ipv4({ source, destination }, make.udp({ sourcePort: 4000, destinationPort: 53 })));
      isRightForItsLink(sent);
      counts[sent.link === 'wan1' ? 0 : 1]++;
    }
    isDrawnBy(counts, weights, `${balance} with seed ${seed}:`);
  }), 12);
});

test('by source and by destination: one address, one uplink, whatever the rest is', () => {
  for (const [balance, flow] of [
    ['source', (i: number) => make.ipv4({ source: PC1, destination: `198.51.100.${i + 1}` }, make.tcp({ sourcePort: 5000 + i, destinationPort: 80 + i }))],
    ['destination', (i: number) => make.ipv4({ source: `192.168.0.${10 + i}`, destination: SERVER }, make.tcp({ sourcePort: 5000 + i, destinationPort: 80 + i }))],
    ['source-destination', (i: number) => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 5000 + i, destinationPort: 80 + i }))],
  ] as [Balance, (i: number) => Buffer][]) {
    const r = rig({ weights: [1, 1], group: { balance } });
    assert.is(new Set(Array.from({ length: 60 }, (_, i) => r.from('lan', flow(i))[0].link)).size, 1, balance);
  }
});

const known = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 53 }));
const sprayed = (options: RigOptions = {}): Rig => rig({ weights: [3, 1], ...options, group: { balance: 'packet', ...options.group } });

test('by packet, untranslated: the packets of one flow take turns by weight, the answers come by either and go home', () => {
  const r = sprayed({ snat: [] });
  const counts = { wan1: 0, wan2: 0 };
  for (let i = 1; i <= 80; i++) {
    const [sent] = r.from('lan', known);
    expect(sent.frame, ethernet({ destination: sent.link === 'wan1' ? MAC.gateway1 : MAC.gateway2 }), ipv4({ source: PC1 }), udp());
    counts[sent.link as 'wan1' | 'wan2']++;
    assert.ok(Math.abs(counts.wan1 - i * 0.75) <= 1, `${counts.wan1} of ${i}`);
    for (const link of ['wan1', 'wan2'] as const) {
      const [back] = r.from(link, make.ipv4({ source: SERVER, destination: PC1 }, make.udp({ sourcePort: 53, destinationPort: 4000 })));
      assert.is(back.link, 'lan');
    }
  }
  assert.is(r.flowCount, 1);
  r.setUp('wan1', false);
  for (let i = 0; i < 10; i++) assert.is(r.from('lan', known)[0].link, 'wan2');
});

test('by packet, all translating to one address: every packet bears it and the same port, by whichever link', () => {
  const shared = '192.168.201.77';
  const r = sprayed({ snat: [shared] });
  const ports = new Set<number>();
  const links = new Set<LinkName>();
  for (let i = 0; i < 20; i++) {
    const [sent] = r.from('lan', known);
    expect(sent.frame, ethernet(), ipv4({ source: shared }), udp());
    ports.add(sent.packet.readUInt16BE(20));
    links.add(sent.link);
    const [back] = r.from(i % 2 ? 'wan1' : 'wan2', make.ipv4({ source: SERVER, destination: shared }, make.udp({ sourcePort: 53, destinationPort: sent.packet.readUInt16BE(20) })));
    expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), udp({ destinationPort: 4000 }));
  }
  assert.equal([ports.size, links.size, r.flowCount], [1, 2, 1]);
});

test('by packet, each uplink with an address of its own: a flow stays with one, flows are split by weight', () => {
  const r = sprayed();
  const byPort = open(r, 20_000, 100);
  for (const [port, link] of byPort) assert.is(r.from('lan', syn(port))[0].link, link);
  isDrawnBy([share(byPort) * 100, 100 - share(byPort) * 100], [3, 1]);
});

test('by packet: a 1:1 address lives at one uplink, so nothing is sprayed; and a host on the shared subnet is asked for directly', () => {
  const external = '192.168.201.60';
  const r = sprayed({ snat: [], plan: { oneToOne: [{ index: 0, name: 'o', uplink: 0, external, internal: PC1 }] } });
  for (let port = 4000; port < 4020; port++) {
    const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 }));
    const [first] = r.from('lan', packet);
    for (let i = 0; i < 4; i++) assert.equal([r.from('lan', packet)[0].link, make.formatAddress(first.packet.subarray(12, 16))], [first.link, first.link === 'wan1' ? external : PC1]);
  }
  const near = sprayed({ snat: [] });
  near.put('lan', near.frame('lan', syn(4000, '192.168.201.77')));
  const asked = near.run().filter((sent) => sent.isArp);
  assert.equal(asked.map((sent) => make.formatAddress(sent.frame.subarray(38, 42))), ['192.168.201.77']);
});

test('by packet, all uplinks gone: the flow’s packets are refused, and go on when one is back', () => {
  const r = sprayed({ snat: [] });
  r.from('lan', known);
  r.setUp('wan1', false);
  r.setUp('wan2', false);
  r.refused('NO_UPLINK', 'lan', known);
  assert.is(r.flowCount, 1);
  r.setUp('wan2', true);
  r.teach();
  assert.is(r.from('lan', known)[0].link, 'wan2');
});

/** A second gateway on the cable of wan1, whose uplink translates to an address of its own or to the link's. */
const NEIGHBOUR_GATEWAY = { address: '192.168.201.2', mac: '02:00:00:00:01:02' };
function twoOnOneLink(snat: string[], options: RigOptions = {}): Rig {
  const r = rig({ weights: [1, 1], second: { link: 1, gateway: NEIGHBOUR_GATEWAY.address, snat }, ...options });
  for (let i = 0; i < 2; i++) r.put('wan1', r.arpReply('wan1', NEIGHBOUR_GATEWAY.address, NEIGHBOUR_GATEWAY.mac));
  // Asked for by ARP of its own, so that it is known even where no packet has gone to it yet.
  r.put('wan1', r.arpRequest(NEIGHBOUR_GATEWAY.address, NEIGHBOUR_GATEWAY.mac, WAN1));
  r.run();
  return r;
}

test('two uplinks on one link: flows are split over both gateways, each with its uplink’s address, and stay there', () => {
  const own = '192.168.201.12';
  const r = twoOnOneLink([own]);
  const taken = new Map<string, string>();
  for (let round = 0; round < 3; round++) {
    for (let port = 5000; port < 5060; port++) {
      const [sent] = r.from('lan', syn(port));
      assert.is(sent.link, 'wan1');
      const gateway = make.formatMac(sent.frame.subarray(0, 6));
      expect(sent.frame, ethernet({ destination: gateway === MAC.gateway1 ? MAC.gateway1 : NEIGHBOUR_GATEWAY.mac }), ipv4({ source: gateway === MAC.gateway1 ? WAN1 : own }), tcp());
      assert.is(taken.get(`${port}`) ?? gateway, gateway);
      taken.set(`${port}`, gateway);
    }
  }
  const first = [...taken.values()].filter((gateway) => gateway === MAC.gateway1).length;
  isDrawnBy([first, 60 - first], [1, 1]);
});

test('two uplinks on one link: an echo is answered through the gateway of the address asked; with one address for both, through who handed it over', () => {
  const own = '192.168.201.12';
  for (const [snat, asked, sender, gateway] of [
    [[own], own, MAC.gateway1, NEIGHBOUR_GATEWAY.mac], [[own], WAN1, NEIGHBOUR_GATEWAY.mac, MAC.gateway1],
    [[WAN1], WAN1, NEIGHBOUR_GATEWAY.mac, NEIGHBOUR_GATEWAY.mac], [[WAN1], WAN1, MAC.gateway1, MAC.gateway1],
  ] as const) {
    const r = twoOnOneLink([...snat]);
    const [sent] = r.from('wan1', make.ipv4({ source: SERVER, destination: asked }, make.echoRequest({ id: 7 })), { source: sender });
    expect(sent.frame, ethernet({ destination: gateway }), ipv4({ source: asked, destination: SERVER }), echo({ type: 'reply', id: 7 }));
  }
});

test('two uplinks on one link with one address: what somebody sends to a mapping is answered through the gateway it came by', () => {
  const r = twoOnOneLink([WAN1]);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 53 })));
  expect(out.frame, ethernet(), ipv4({ source: WAN1 }), udp());
  const external = out.packet.readUInt16BE(20);
  for (const [client, gateway] of [['198.51.100.77', NEIGHBOUR_GATEWAY.mac], ['198.51.100.78', MAC.gateway1]] as const) {
    r.from('wan1', make.ipv4({ source: client, destination: WAN1 }, make.udp({ sourcePort: 9, destinationPort: external })), { source: gateway });
    const [back] = r.from('lan', make.ipv4({ source: PC1, destination: client }, make.udp({ sourcePort: 4000, destinationPort: 9 })));
    expect(back.frame, ethernet({ destination: gateway }), ipv4({ source: WAN1, destination: client }), udp({ sourcePort: external }));
  }
});

test('two uplinks on one link: when one gateway falls silent the other takes all', () => {
  const r = twoOnOneLink(['192.168.201.12']);
  open(r, 5000, 20);
  // Reachable for 30 s; then traffic makes both be asked, and only one answers.
  r.advance(31_000, 1000);
  open(r, 6000, 20);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  r.advance(4000, 500);
  assert.equal(r.router.uplinks.map((uplink) => uplink.isUsable), [true, false]);
  for (let port = 7000; port < 7020; port++) expect(r.from('lan', syn(port))[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), tcp());
});

test('a far gateway, outside of the link’s networks: asked for on its own link from the link’s address, and left by', () => {
  const far = '10.255.255.1';
  const r = rig({ weights: [0, 1], second: { gateway: far }, neighbours: false });
  // PC1 is known because it has asked for us.
  r.put('lan', r.arpRequest(PC1, MAC.pc1, LAN));
  r.run();
  r.put('lan', r.frame('lan', syn(5000)));
  const asked = r.run().filter((sent) => sent.isArp);
  assert.equal(asked.map((sent) => [sent.link, make.formatAddress(sent.frame.subarray(28, 32)), make.formatAddress(sent.frame.subarray(38, 42))]), [['wan2', WAN2, far]]);
  r.put('wan2', r.arpReply('wan2', far, MAC.gateway2));
  const [sent] = r.run();
  expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), tcp());
  const [back] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.tcp({ sourcePort: 80, destinationPort: 5000, flags: 'SA' })));
  assert.is(back.link, 'lan');
  const [pong] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.echoRequest({ id: 3 })));
  expect(pong.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), echo({ type: 'reply' }));
});

test('a far gateway that falls silent takes its uplink out of use, and back when it answers', () => {
  const far = '10.255.255.1';
  const r = rig({ weights: [1, 1], second: { gateway: far } });
  const answer = (): void => {
    r.put('wan2', r.arpReply('wan2', far, MAC.gateway2));
    r.run();
  };
  open(r, 5000, 1);
  r.put('lan', r.frame('lan', syn(5001)));
  for (let port = 5100; port < 5120; port++) r.put('lan', r.frame('lan', syn(port)));
  r.run();
  answer();
  const both = (from: number): string[] => [...new Set(open(r, from, 30).values())].sort();
  assert.equal(both(6000), ['wan1', 'wan2']);
  r.advance(31_000, 1000);
  open(r, 7000, 20);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  r.advance(4000, 500);
  assert.equal(both(8000), ['wan1']);
  answer();
  assert.equal(both(9000), ['wan1', 'wan2']);
});

// conforms: fwd-loss
test('a translated flow that decides again leaves by the uplink whose address it bears, whatever the weights are by then', () => {
  const r = rig({ weights: [1, 1] });
  const byPort = open(r, 20_000, 40);
  r.router.setUplinkWeight(0, 200);
  r.router.decideAgain();
  for (const [port, link] of byPort) {
    const [sent] = r.from('lan', syn(port));
    assert.is(sent.link, link);
    isRightForItsLink(sent);
  }
});

test('answers that decide again go back by the uplink the question came in on, and to the box', () => {
  const r = rig({ host: true, weights: [1, 0] });
  const [arrived] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.udp({ sourcePort: 999, destinationPort: 22 })));
  assert.is(arrived.link, 'host');
  r.from('host', make.ipv4({ source: BOX, destination: SERVER }, make.udp({ sourcePort: 5, destinationPort: 53 })));
  r.router.decideAgain();
  const [sent] = r.from('host', make.ipv4({ source: WAN2, destination: SERVER }, make.udp({ sourcePort: 22, destinationPort: 999 })));
  assert.is(sent.link, 'wan2');
  expect(sent.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2 }), udp());
  const [home] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 5 })));
  assert.is(home.link, 'host');
});

test('the answers of a port forward that decide again go back by its uplink, whatever the weights are by then', () => {
  const forward = { index: 0, name: 'web', uplink: 1, addresses: [WAN2], protocols: [make.PROTOCOL.tcp], ports: { first: 80, last: 80 }, to: PC1, toPort: 80 };
  const r = rig({ weights: [1, 0], plan: { portForwards: [forward] } });
  for (const source of ['198.51.100.77', '192.168.201.99']) {
    r.put('wan2', r.arpRequest('192.168.201.99', '02:00:00:00:02:99', WAN2));
    assert.is(r.from('wan2', make.ipv4({ source, destination: WAN2 }, make.tcp({ sourcePort: 40_000, destinationPort: 80 })))[0].link, 'lan');
    r.router.decideAgain();
    const [back] = r.from('lan', make.ipv4({ source: PC1, destination: source }, make.tcp({ sourcePort: 80, destinationPort: 40_000, flags: 'SA' })));
    assert.is(back.link, 'wan2');
    expect(back.frame, ethernet({ destination: source === '192.168.201.99' ? '02:00:00:00:02:99' : MAC.gateway2 }), ipv4({ source: WAN2, destination: source }), tcp());
  }
});

test('an untranslated flow that decides again goes only by an uplink that leaves it as it is', () => {
  const exempt = { index: 0, name: 'as it is', match: { out: [1] } };
  const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 500, destinationPort: 53 }));
  const r = rig({ weights: [1, 0], untranslated: [PC1], plan: { noNat: [exempt] }, group: { onDown: 'keep' } });
  expect(r.from('lan', packet)[0].frame, ethernet({ source: MAC.wan1 }), ipv4({ source: PC1 }), udp());
  r.router.setUplinkWeight(0, 0);
  r.router.setUplinkWeight(1, 1);
  r.router.decideAgain();
  r.refused('UPLINK_DOWN', 'lan', packet);
  const free = rig({ weights: [1, 0], snat: [], group: { onDown: 'keep' } });
  free.from('lan', packet);
  free.router.setUplinkWeight(0, 0);
  free.router.setUplinkWeight(1, 1);
  free.router.decideAgain();
  assert.is(free.from('lan', packet)[0].link, 'wan2');
});

test.run();
