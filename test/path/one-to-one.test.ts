/** 1:1 NAT: everything for the external address goes to the internal one, and what that sends by the uplink bears the external one. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { OneToOnePlan, PortForwardPlan } from '../../src/base/plan.js';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { RigOptions } from '../support/rig.js';

const EXTERNAL = '192.168.201.50';
const CLIENT = '198.51.100.77';
const RULE: OneToOnePlan = { index: 0, name: 'pc1', uplink: 0, external: EXTERNAL, internal: PC1 };
const one = (options: RigOptions = {}): ReturnType<typeof rig> => rig({ weights: [1, 0], ...options, plan: { oneToOne: [RULE], ...options.plan } });
const payload = make.filler(24);

test('every protocol comes in, ports and identifiers kept', () => {
  const r = one();
  const inward = (transport: make.Transport | Buffer, protocol?: number): ReturnType<typeof r.from> =>
    r.from('wan1', make.ipv4({ source: CLIENT, destination: EXTERNAL, ...(protocol === undefined ? {} : { protocol }) }, transport));
  const inside = [ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: CLIENT, destination: PC1, ttl: 63 })];
  expect(inward(make.tcp({ sourcePort: 7, destinationPort: 22 }))[0].frame, ...inside, tcp({ sourcePort: 7, destinationPort: 22 }));
  expect(inward(make.udp({ sourcePort: 7, destinationPort: 500, payload }))[0].frame, ...inside, udp({ sourcePort: 7, destinationPort: 500, payload }));
  expect(inward(make.udp({ sourcePort: 8, destinationPort: 500, checksum: 'none' }))[0].frame, ...inside, udp({ checksum: 'none' }));
  expect(inward(make.echoRequest({ id: 99, payload }))[0].frame, ...inside, echo({ type: 'request', id: 99, payload }));
  const gre = inward(payload, make.PROTOCOL.gre)[0];
  expect(gre.frame, ...inside);
  assert.equal(gre.packet.subarray(20), payload);

  const outward = (transport: make.Transport | Buffer, protocol?: number): Buffer =>
    r.from('lan', make.ipv4({ source: PC1, destination: CLIENT, ...(protocol === undefined ? {} : { protocol }) }, transport))[0].frame;
  const outside = [ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: EXTERNAL, destination: CLIENT, ttl: 63 })];
  expect(outward(make.tcp({ sourcePort: 22, destinationPort: 7, flags: 'SA' })), ...outside, tcp({ sourcePort: 22, destinationPort: 7 }));
  expect(outward(make.udp({ sourcePort: 500, destinationPort: 7 })), ...outside, udp({ sourcePort: 500, destinationPort: 7 }));
  expect(outward(make.echoReply({ id: 99, payload })), ...outside, echo({ type: 'reply', id: 99, payload }));
  expect(outward(payload, make.PROTOCOL.gre), ...outside);
  assert.is(r.flowCount, 5);
});

test('what the internal host opens bears the external address with its own port, and is answered', () => {
  const r = one();
  for (const port of [80, 123, 40_000]) {
    const [there] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })));
    expect(there.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: EXTERNAL, destination: SERVER }), udp({ sourcePort: port, destinationPort: 53 }));
    const [back] = r.from('wan1', make.ipv4({ source: SERVER, destination: EXTERNAL }, make.udp({ sourcePort: 53, destinationPort: port })));
    expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), udp({ sourcePort: 53, destinationPort: port }));
  }
  const [ping] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 7 })));
  expect(ping.frame, ethernet(), ipv4({ source: EXTERNAL }), echo({ id: 7 }));
});

test('other hosts, and the same host by another uplink, bear the uplink’s own address', () => {
  const r = one();
  expect(r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: 5, destinationPort: 53 })))[0].frame, ethernet(), ipv4({ source: WAN1 }), udp());
  const other = rig({ weights: [0, 1], plan: { oneToOne: [RULE] } });
  const [sent] = other.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  assert.is(sent.link, 'wan2');
  expect(sent.frame, ethernet(), ipv4({ source: WAN2 }), udp());
});

test('answers to what came in leave by the rule’s uplink, whatever the weights say', () => {
  const r = rig({ weights: [0, 1], plan: { oneToOne: [RULE] } });
  r.from('wan1', make.ipv4({ source: CLIENT, destination: EXTERNAL }, make.tcp({ sourcePort: 7, destinationPort: 22 })));
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 22, destinationPort: 7, flags: 'SA' })));
  assert.is(back.link, 'wan1');
  expect(back.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: EXTERNAL }), tcp());
});

test('a rule per uplink: each has its own address', () => {
  const second = '203.0.113.50';
  const rules: OneToOnePlan[] = [RULE, { index: 1, name: 'pc1-two', uplink: 1, external: second, internal: PC1 }];
  for (const [weights, link, external] of [[[1, 0], 'wan1', EXTERNAL], [[0, 1], 'wan2', second]] as const) {
    const r = rig({ separate: true, weights: [...weights], plan: { oneToOne: rules } });
    const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
    assert.is(sent.link, link);
    expect(sent.frame, ethernet(), ipv4({ source: external }), udp({ sourcePort: 5000 }));
    expect(r.from(link, make.ipv4({ source: CLIENT, destination: external }, make.echoRequest({ id: 1 })))[0].frame, ethernet(), ipv4({ destination: PC1 }), echo());
  }
});

test('a port forward on the same address goes before', () => {
  const forward: PortForwardPlan = { index: 0, name: 'ssh', uplink: 0, addresses: [EXTERNAL], protocols: [6], ports: { first: 22, last: 22 }, to: PC2, toPort: 2222 };
  const r = one({ plan: { portForwards: [forward] } });
  const to = (port: number): Buffer => r.from('wan1', make.ipv4({ source: CLIENT, destination: EXTERNAL }, make.tcp({ sourcePort: 7, destinationPort: port })))[0].frame;
  expect(to(22), ethernet({ destination: MAC.pc2 }), ipv4({ destination: PC2 }), tcp({ destinationPort: 2222 }));
  expect(to(23), ethernet({ destination: MAC.pc1 }), ipv4({ destination: PC1 }), tcp({ destinationPort: 23 }));
});

test('it goes before the box’s own stack, pings included', () => {
  const r = one({ host: true });
  for (const transport of [make.tcp({ sourcePort: 7, destinationPort: 22 }), make.echoRequest({ id: 3 })]) {
    assert.is(r.from('wan1', make.ipv4({ source: CLIENT, destination: EXTERNAL }, transport))[0].link, 'lan');
  }
  assert.is(r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 7, destinationPort: 22 })))[0].link, 'host');
});

test('hairpin: another host reaches it by its external address and is seen by an external one; so is the host by itself', () => {
  const r = one();
  const [there] = r.from('lan', make.ipv4({ source: PC2, destination: EXTERNAL }, make.tcp({ sourcePort: 40_000, destinationPort: 22 })));
  expect(there.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1, ttl: 63 }), tcp({ destinationPort: 22 }));
  const port = there.packet.readUInt16BE(20);
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: WAN1 }, make.tcp({ sourcePort: 22, destinationPort: port, flags: 'SA' })));
  expect(back.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: EXTERNAL, destination: PC2 }), tcp({ sourcePort: 22, destinationPort: 40_000 }));
  const [itself] = r.from('lan', make.ipv4({ source: PC1, destination: EXTERNAL }, make.tcp({ sourcePort: 41_000, destinationPort: 22 })));
  expect(itself.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: EXTERNAL, destination: PC1 }), tcp({ sourcePort: 41_000, destinationPort: 22 }));
});

test('hairpin of pings, there and back (RFC 5508 §3)', () => {
  const r = one();
  const [there] = r.from('lan', make.ipv4({ source: PC2, destination: EXTERNAL }, make.echoRequest({ id: 77, payload })));
  expect(there.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), echo({ type: 'request', payload }));
  const id = there.packet.readUInt16BE(24);
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: WAN1 }, make.echoReply({ id, payload })));
  expect(back.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: EXTERNAL, destination: PC2 }), echo({ type: 'reply', id: 77, payload }));
});

test('an ICMP error comes in about what it sent, and goes out about what it was sent, both translated whole', () => {
  const r = one();
  const there = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 33_434 })))[0].packet;
  const [inward] = r.from('wan1', make.ipv4({ source: GATEWAY, destination: EXTERNAL }, make.icmp({ type: 11 }, there)));
  expect(inward.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: GATEWAY, destination: PC1 }), icmpError({ type: 11, code: 0 }),
    ipv4({ source: PC1, destination: SERVER }), udp({ sourcePort: 5000, destinationPort: 33_434 }));
  const question = make.ipv4({ source: CLIENT, destination: EXTERNAL }, make.udp({ sourcePort: 9, destinationPort: 33_434 }));
  const inside = r.from('wan1', question)[0].packet;
  const [outward] = r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.icmp({ type: 3, code: 3 }, inside)));
  expect(outward.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: EXTERNAL, destination: CLIENT }), icmpError({ type: 3, code: 3 }),
    ipv4({ source: CLIENT, destination: EXTERNAL }), udp({ sourcePort: 9, destinationPort: 33_434 }));
});

test('traceroute to it shows the router, with the packet as it was sent', () => {
  const r = one();
  const probe = make.ipv4({ source: CLIENT, destination: EXTERNAL, ttl: 1 }, make.udp({ sourcePort: 9, destinationPort: 33_434 }));
  const [sent] = r.refused('TTL', 'wan1', probe);
  expect(sent.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 11, code: 0 }), bytes(probe));
});

test('fragments in either direction', () => {
  const r = one();
  const whole = make.ipv4({ source: CLIENT, destination: EXTERNAL, id: 7 }, make.udp({ sourcePort: 9, destinationPort: 500, payload: make.filler(3000) }));
  const sent = make.fragments(whole, [1480, 2960]).flatMap((piece) => r.from('wan1', piece));
  assert.is(sent.length, 3);
  for (const piece of sent) expect(piece.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: CLIENT, destination: PC1 }));
  const back = make.ipv4({ source: PC1, destination: CLIENT, id: 8 }, make.udp({ sourcePort: 500, destinationPort: 9, payload: make.filler(3000) }));
  const out = make.fragments(back, [1480, 2960]).flatMap((piece) => r.from('lan', piece));
  assert.is(out.length, 3);
  for (const piece of out) expect(piece.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: EXTERNAL, destination: CLIENT }));
});

test('the external address is answered for in ARP on its uplink’s link alone, and is the router’s own', () => {
  const r = one();
  r.put('wan1', r.arpRequest(GATEWAY, MAC.gateway1, EXTERNAL));
  const [answer] = r.run();
  assert.equal(answer.packet.subarray(8, 18), Buffer.concat([make.mac(MAC.wan1), make.address(EXTERNAL)]));
  r.put('wan2', r.arpRequest(GATEWAY, MAC.gateway2, EXTERNAL));
  assert.equal(r.run(), []);
  r.refused('MARTIAN_SOURCE', 'wan1', make.ipv4({ source: EXTERNAL, destination: LAN }, make.udp({ sourcePort: 1, destinationPort: 1 })));
});

test('somebody else who claims the external address is told off, once', () => {
  const r = one();
  const claim = (): number => {
    r.put('wan1', make.ethernet({ source: '02:00:00:00:66:66', destination: make.BROADCAST_MAC, type: make.ETHERTYPE.arp },
      make.arp({ operation: 'request', senderMac: '02:00:00:00:66:66', sender: EXTERNAL, target: EXTERNAL })));
    return r.run().length;
  };
  assert.is(r.counted('ARP_CONFLICT', 'wan1', claim), 1);
  assert.is(r.counted('ARP_CONFLICT', 'wan1', claim), 0);
  assert.is(r.notices.filter((notice) => notice.event === 'addressConflict').length, 1);
});

test('an uplink that translates nothing else still has its 1:1 rules', () => {
  const r = one({ snat: [] });
  expect(r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5, destinationPort: 53 })))[0].frame, ethernet(), ipv4({ source: EXTERNAL }), udp({ sourcePort: 5 }));
  expect(r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: 5, destinationPort: 53 })))[0].frame, ethernet(), ipv4({ source: PC2 }), udp({ sourcePort: 5 }));
  expect(r.from('wan1', make.ipv4({ source: CLIENT, destination: EXTERNAL }, make.udp({ sourcePort: 5, destinationPort: 53 })))[0].frame, ethernet(), ipv4({ destination: PC1 }), udp());
});

test.run();
