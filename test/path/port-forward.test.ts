/** Port forwards: from an external address and port to a server inside, by each uplink, for hairpin, and never given to a mapping. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PortForwardPlan } from '../../src/base/plan.js';
import { UPLINK_FLOWS, UPLINK_NEW_FLOWS, UPLINK_RX_PACKETS } from '../../src/table/counters.js';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import { parseIpv4 } from '../../src/wire/address.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';

const TCP = make.PROTOCOL.tcp, UDP = make.PROTOCOL.udp;
const SECOND = '203.0.113.2';
const CLIENT = '198.51.100.77';

function forward(fields: Partial<PortForwardPlan> = {}): PortForwardPlan {
  return { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [TCP], ports: { first: 80, last: 80 }, to: PC1, toPort: 8080, ...fields };
}

const web = (flags = 'S', destination = WAN1, source = CLIENT): Buffer =>
  make.ipv4({ source, destination }, make.tcp({ sourcePort: 40_000, destinationPort: 80, flags, ...(flags === 'S' ? {} : { sequence: 5000 }) }));

test('what comes in by the uplink reaches the server, and its answers bear the external address and port', () => {
  const r = rig({ plan: { portForwards: [forward()] } });
  const [there] = r.from('wan1', web());
  expect(there.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: CLIENT, destination: PC1, ttl: 63 }),
    tcp({ sourcePort: 40_000, destinationPort: 8080, flags: 'S' }));
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 8080, destinationPort: 40_000, flags: 'SA' })));
  assert.is(back.link, 'wan1');
  expect(back.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: CLIENT, ttl: 63 }),
    tcp({ sourcePort: 80, destinationPort: 40_000, flags: 'SA' }));
  const [on] = r.from('wan1', web('A'));
  expect(on.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: CLIENT, destination: PC1 }), tcp({ destinationPort: 8080, flags: 'A' }));
  assert.is(r.flowCount, 1);
});

for (const [title, options, second] of [['on one subnet', {}, WAN2], ['on subnets of their own', { separate: true }, SECOND]] as const) {
  test(`two uplinks ${title}: the answer leaves by the uplink its question came in on, whatever the weights say`, () => {
    for (const weights of [[1, 0], [0, 1]] as [number, number][]) {
      const r = rig({ ...options, weights, plan: { portForwards: [forward(), forward({ index: 1, uplink: 1, addresses: [second] })] } });
      for (const [link, address, mac, gateway] of [['wan1', WAN1, MAC.wan1, MAC.gateway1], ['wan2', second, MAC.wan2, MAC.gateway2]] as const) {
        for (let i = 0; i < 8; i++) {
          const source = `198.51.${link === 'wan1' ? 100 : 101}.${i + 1}`;
          assert.is(r.from(link, web('S', address, source))[0].link, 'lan');
          const [back] = r.from('lan', make.ipv4({ source: PC1, destination: source }, make.tcp({ sourcePort: 8080, destinationPort: 40_000, flags: 'SA' })));
          assert.is(back.link, link);
          expect(back.frame, ethernet({ source: mac, destination: gateway }), ipv4({ source: address }), tcp({ sourcePort: 80 }));
        }
      }
    }
  });
}

test('two uplinks on one link: the answer goes to the gateway of the rule’s uplink', () => {
  const other = { address: '192.168.201.2', mac: '02:00:00:00:01:02' }, external = '192.168.201.60';
  const r = rig({ second: { link: 1, gateway: other.address, snat: [external] }, plan: { portForwards: [forward(), forward({ index: 1, uplink: 1, addresses: [external] })] } });
  for (let i = 0; i < 2; i++) r.put('wan1', r.arpReply('wan1', other.address, other.mac));
  r.put('wan1', r.arpRequest(other.address, other.mac, WAN1));
  r.run();
  for (const [address, gateway, source] of [[WAN1, MAC.gateway1, CLIENT], [external, other.mac, '198.51.100.78']] as const) {
    r.from('wan1', web('S', address, source));
    const [back] = r.from('lan', make.ipv4({ source: PC1, destination: source }, make.tcp({ sourcePort: 8080, destinationPort: 40_000, flags: 'SA' })));
    expect(back.frame, ethernet({ source: MAC.wan1, destination: gateway }), ipv4({ source: address }), tcp({ sourcePort: 80 }));
  }
});

test('the flow counts for its uplink while it lives, and is none it was given', () => {
  const r = rig({ plan: { portForwards: [forward({ protocols: [UDP] })] } });
  const packet = make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 9, destinationPort: 80 }));
  r.from('wan1', packet);
  r.from('wan1', packet);
  const { counters } = r.router;
  assert.is(counters.uplink(0, UPLINK_FLOWS), 1);
  assert.is(counters.uplink(0, UPLINK_NEW_FLOWS), 0, 'balancing has not given it anything');
  assert.is(counters.uplink(0, UPLINK_RX_PACKETS), 1, 'the packets after the one that opened it');
  r.advance(301_000, 1000);
  assert.is(r.flowCount, 0);
  assert.is(counters.uplink(0, UPLINK_FLOWS), 0);
});

test('a range keeps its order, and its edges are its edges', () => {
  const rule = forward({ protocols: [TCP, UDP], ports: { first: 5000, last: 5009 }, toPort: 7000 });
  const r = rig({ plan: { portForwards: [rule] } });
  for (const port of [5000, 5004, 5009]) {
    const [t] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 1, destinationPort: port })));
    expect(t.frame, ethernet(), ipv4({ destination: PC1 }), tcp({ destinationPort: port + 2000 }));
    const [u] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 1, destinationPort: port })));
    expect(u.frame, ethernet(), ipv4({ destination: PC1 }), udp({ destinationPort: port + 2000 }));
  }
  for (const port of [4999, 5010]) {
    const [sent] = r.refused('PORT_CLOSED', 'wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 1, destinationPort: port })));
    expect(sent.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 3 }));
  }
});

test('only its protocols, its addresses and its uplink', () => {
  const r = rig({ plan: { portForwards: [forward()] } });
  r.refused('PORT_CLOSED', 'wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 1, destinationPort: 80 })));
  assert.equal(r.from('wan2', web('S', WAN2)), [], 'nobody is there, which is told later');
  const [pong] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.echoRequest({ id: 80 })));
  expect(pong.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), echo({ type: 'reply', id: 80 }));
  // The first uplink's address, but not by its link.
  const [sent] = r.refused('UNSOLICITED', 'wan2', web());
  assert.is(sent.link, 'wan2');
  assert.is(r.flowCount, 0);
});

test('of two rules for one port the first one counts', () => {
  const r = rig({ plan: { portForwards: [
    forward({ ports: { first: 80, last: 81 }, toPort: 80 }), forward({ index: 1, name: 'other', ports: { first: 79, last: 90 }, to: PC2, toPort: 1079 }),
  ] } });
  for (const [port, to, toPort] of [[79, PC2, 1079], [80, PC1, 80], [81, PC1, 81], [82, PC2, 1082], [90, PC2, 1090]] as const) {
    const [sent] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 2, destinationPort: port })));
    expect(sent.frame, ethernet(), ipv4({ destination: to }), tcp({ destinationPort: toPort }));
  }
});

test('a forward goes before the box’s own stack', () => {
  const r = rig({ host: true, plan: { portForwards: [forward()] } });
  assert.is(r.from('wan1', web())[0].link, 'lan');
  const [sent] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 40_000, destinationPort: 22 })));
  assert.is(sent.link, 'host', 'other ports are the box’s');
});

test('a forward to the box itself, at another port', () => {
  const r = rig({ host: true, plan: { portForwards: [forward({ to: BOX, ports: { first: 2222, last: 2222 }, toPort: 22 })] } });
  const [sent] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 40_000, destinationPort: 2222 })));
  assert.is(sent.link, 'host');
  expect(sent.packet, ipv4({ source: CLIENT, destination: BOX }), tcp({ destinationPort: 22 }));
  const [back] = r.from('host', make.ipv4({ source: BOX, destination: CLIENT }, make.tcp({ sourcePort: 22, destinationPort: 40_000, flags: 'SA' })));
  assert.is(back.link, 'wan1');
  expect(back.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ sourcePort: 2222 }));
});

// conforms: hairpin-same-subnet
test('hairpin: from inside to the external address, the server sees the external address too (RFC 4787 REQ-9, RFC 5382 REQ-8)', () => {
  const r = rig({ plan: { portForwards: [forward()] } });
  const [there] = r.from('lan', make.ipv4({ source: PC2, destination: WAN1 }, make.tcp({ sourcePort: 40_000, destinationPort: 80 })));
  assert.is(there.link, 'lan');
  expect(there.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1, ttl: 63 }), tcp({ destinationPort: 8080 }));
  const port = there.packet.readUInt16BE(20);
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: WAN1 }, make.tcp({ sourcePort: 8080, destinationPort: port, flags: 'SA' })));
  expect(back.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), tcp({ sourcePort: 80, destinationPort: 40_000, flags: 'SA' }));
});

test('hairpin from another inside link, and by the server to itself', () => {
  const r = rig({ dmz: true, plan: { portForwards: [forward({ uplink: 1, addresses: [WAN2] })] } });
  const [there] = r.from('dmz', make.ipv4({ source: DMZ_HOST, destination: WAN2 }, make.tcp({ sourcePort: 40_000, destinationPort: 80 })));
  assert.is(there.link, 'lan');
  expect(there.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN2, destination: PC1 }), tcp({ destinationPort: 8080 }));
  const [itself] = r.from('lan', make.ipv4({ source: PC1, destination: WAN2 }, make.tcp({ sourcePort: 41_000, destinationPort: 80 })));
  expect(itself.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN2, destination: PC1 }), tcp({ destinationPort: 8080 }));
});

test('the forwarded port is never given to a mapping', () => {
  const r = rig({ weights: [1, 0], plan: { portForwards: [forward({ ports: { first: 5000, last: 5003 }, toPort: 80, protocols: [TCP] })] }, limits: { snatPortFirst: 5000, snatPortLast: 5005 } });
  const ports = new Set<number>();
  for (const host of [PC1, PC2]) {
    const [sent] = r.from('lan', make.ipv4({ source: host, destination: SERVER }, make.tcp({ sourcePort: 5000, destinationPort: 80 })));
    ports.add(sent.packet.readUInt16BE(20));
  }
  assert.equal([...ports].sort(), [5004, 5005]);
  // The other protocol has ports of its own.
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 80 })));
  assert.is(sent.packet.readUInt16BE(20), 5000);
});

test('an external address that no link has is answered for in ARP on its uplink’s link, announced there, and the router’s own', () => {
  const extra = '192.168.201.50';
  const r = rig({ up: false, plan: { portForwards: [forward({ addresses: [extra] })] } });
  for (const name of r.names) r.setUp(name, true);
  const announced = r.advance(3000, 1000).filter((sent) => sent.isArp && sent.packet.subarray(14, 18).equals(make.address(extra)));
  assert.equal(announced.map((sent) => sent.link), ['wan1', 'wan1', 'wan1']);
  r.teach();
  r.put('wan1', r.arpRequest(GATEWAY, MAC.gateway1, extra));
  const [answer] = r.run().filter((sent) => sent.isArp);
  assert.is(answer.link, 'wan1');
  assert.equal(answer.packet.subarray(8, 18), Buffer.concat([make.mac(MAC.wan1), make.address(extra)]));
  for (const link of ['wan2', 'lan'] as const) {
    r.counted('ARP_IGNORED', link, () => {
      r.put(link, r.arpRequest(link === 'lan' ? PC1 : GATEWAY, link === 'lan' ? MAC.pc1 : MAC.gateway2, extra));
      assert.is(r.run().length, 0);
    });
  }
  assert.is(r.from('wan1', web('S', extra))[0].link, 'lan');
  const [pong] = r.from('wan1', make.ipv4({ source: CLIENT, destination: extra }, make.echoRequest({ id: 1 })));
  expect(pong.frame, ethernet(), ipv4({ source: extra, destination: CLIENT }), echo({ type: 'reply' }));
  r.refused('MARTIAN_SOURCE', 'wan1', make.ipv4({ source: extra, destination: WAN1 }, make.udp({ sourcePort: 1, destinationPort: 2 })));
});

test('what cannot reach the server is refused about the packet as it was sent', () => {
  const r = rig({ plan: { portForwards: [forward({ to: '192.168.0.77' })] } });
  const expired = make.ipv4({ source: CLIENT, destination: WAN1, ttl: 1 }, make.tcp({ sourcePort: 40_000, destinationPort: 80 }));
  const [ttl] = r.refused('TTL', 'wan1', expired);
  expect(ttl.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 11, code: 0 }), bytes(expired));
  const one = web();
  assert.equal(r.from('wan1', one), []);
  const [sent] = r.advance(5000, 500).filter(({ isArp }) => !isArp);
  expect(sent.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 1 }), bytes(one));
});

test('an ICMP error from inside about a forwarded flow names only external addresses (RFC 5508 REQ-5)', () => {
  const r = rig({ plan: { portForwards: [forward({ protocols: [UDP] })] } });
  const one = make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 9, destinationPort: 80 }));
  const [inside] = r.from('wan1', one);
  const [error] = r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.icmp({ type: 3, code: 3 }, inside.packet)));
  assert.is(error.link, 'wan1');
  expect(error.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 3 }),
    ipv4({ source: CLIENT, destination: WAN1 }), udp({ sourcePort: 9, destinationPort: 80 }));
});

test('a thousand forwards are found by address and port', () => {
  const portForwards = Array.from({ length: 1000 }, (_, i) => forward({
    index: i, name: `f${i}`, protocols: [UDP], addresses: [`192.168.201.${20 + (i % 10)}`], ports: { first: 1000 + i * 10, last: 1000 + i * 10 + 4 }, to: `192.168.0.${(i % 2) + 4}`, toPort: 100,
  }));
  const r = rig({ plan: { portForwards } });
  for (const i of [0, 1, 500, 998, 999]) {
    const { addresses: [destination], ports, to } = portForwards[i];
    const [sent] = r.from('wan1', make.ipv4({ source: CLIENT, destination }, make.udp({ sourcePort: 3 + i, destinationPort: ports.last })));
    expect(sent.frame, ethernet(), ipv4({ destination: to }), udp({ destinationPort: 104 }));
    r.refused('PORT_CLOSED', 'wan1', make.ipv4({ source: CLIENT, destination }, make.udp({ sourcePort: 3, destinationPort: ports.last + 1 })));
  }
});

test('LAN to the router’s own address is no hairpin', () => {
  const r = rig({ plan: { portForwards: [forward()] } });
  r.refused('PORT_CLOSED', 'lan', make.ipv4({ source: PC1, destination: LAN }, make.tcp({ sourcePort: 3, destinationPort: 80 })));
  r.refused('PORT_CLOSED', 'lan', make.ipv4({ source: PC1, destination: WAN2 }, make.tcp({ sourcePort: 3, destinationPort: 80 })));
});

test('one client port calls one server by two external addresses: two flows, the second from another port of the client', () => {
  const r = rig({ weights: [1, 0], plan: { portForwards: [forward({ addresses: [WAN1, '192.168.201.60'] })] } });
  const [first] = r.from('wan1', web());
  expect(first.packet, ipv4({ source: CLIENT, destination: PC1 }), tcp({ sourcePort: 40_000, destinationPort: 8080 }));
  const [second] = r.from('wan1', web('S', '192.168.201.60'));
  expect(second.packet, ipv4({ source: CLIENT, destination: PC1 }), tcp({ destinationPort: 8080 }));
  const port = second.packet.readUInt16BE(20);
  assert.is.not(port, 40_000);
  assert.is(r.flowCount, 2);
  for (const [to, external] of [[40_000, WAN1], [port, '192.168.201.60']] as const) {
    const [back] = r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 8080, destinationPort: to, flags: 'SA' })));
    expect(back.packet, ipv4({ source: external, destination: CLIENT }), tcp({ sourcePort: 80, destinationPort: 40_000, flags: 'SA' }));
  }
  const [on] = r.from('wan1', web('A', '192.168.201.60'));
  expect(on.packet, ipv4({ source: CLIENT, destination: PC1 }), tcp({ sourcePort: port, destinationPort: 8080, flags: 'A' }));
});

test('answers by the link the questions leave by are not looked up in the FIB again', () => {
  const r = rig({ plan: { portForwards: [forward()] } });
  r.from('wan1', web());
  const answer = (flags: string): Buffer => make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 8080, destinationPort: 40_000, flags }));
  r.from('lan', answer('SA'));
  const { fib } = r.router;
  const lookup = fib.lookup.bind(fib);
  const asked: number[] = [];
  fib.lookup = (address): number => { asked.push(address); return lookup(address); };
  assert.is(r.from('lan', answer('A')).length, 1);
  // Only its new source is, for its identification.
  assert.not(asked.includes(parseIpv4(PC1)));
});

test.run();
