/** ARP as the router speaks it (RFC 826, RFC 5227), and packets that wait for their neighbour (RFC 1122 §2.3.2). */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SCHEMA } from '../../src/control/config/schema.js';
import { CLAIM, CLAIM_NONE, CLAIM_REFUSED } from '../../src/table/counters.js';
import { arp, bytes, ethernet, expect, icmpError, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { DMZ, DMZ_HOST, GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const STRANGER = '02:00:00:00:77:77';
const datagram = (sourcePort = 4000, fields: Partial<make.Ipv4Fields> = {}) => make.ipv4({ source: PC1, destination: SERVER, ...fields }, make.udp({ sourcePort, destinationPort: 80 }));
const broadcast = make.BROADCAST_MAC;
const arpOf = (sent: Sent[]): Sent[] => sent.filter(({ isArp }) => isArp);
const ipOf = (sent: Sent[]): Sent[] => sent.filter(({ isArp }) => !isArp);

function put(r: Rig, link: LinkName, frame: Buffer): Sent[] {
  r.put(link, frame);
  return r.run();
}

/** A question for the gateway on wan1. */
function isQuestion(sent: Sent, to: string = broadcast): void {
  assert.is(sent.link, 'wan1');
  expect(sent.frame, ethernet({ source: MAC.wan1, destination: to, type: make.ETHERTYPE.arp }),
    arp({ operation: 'request', senderMac: MAC.wan1, sender: WAN1, target: GATEWAY, targetMac: to === broadcast ? '00:00:00:00:00:00' : to }));
  assert.is(sent.frame.length, 60, 'padded to what Ethernet asks for');
}

// conforms: arp-own
test('a request for our own address on that link is answered, straight to the asker (RFC 826)', () => {
  const r = rig();
  for (const [link, mac, asked, asker, from] of [['lan', MAC.lan, LAN, MAC.pc1, PC1], ['wan1', MAC.wan1, WAN1, MAC.gateway1, GATEWAY], ['wan2', MAC.wan2, WAN2, MAC.gateway2, GATEWAY]] as const) {
    const sent = r.counted('TAKEN', link, () => put(r, link, r.arpRequest(from, asker, asked)));
    assert.is(sent.length, 1);
    assert.is(sent[0].link, link);
    expect(sent[0].frame, ethernet({ source: mac, destination: asker, type: make.ETHERTYPE.arp }), arp({ operation: 'reply', senderMac: mac, sender: asked, targetMac: asker, target: from }));
    assert.is(sent[0].frame.length, 60);
  }
});

// conforms: arp-own
test('a request for our address on another link is not answered, not even for the shared subnet (no ARP flux)', () => {
  const r = rig();
  for (const [link, asked, from] of [['wan2', WAN1, GATEWAY], ['wan1', WAN2, GATEWAY], ['lan', WAN1, PC1], ['wan1', LAN, GATEWAY], ['lan', PC2, PC1], ['lan', SERVER, PC1]] as const) {
    assert.equal(r.counted('ARP_IGNORED', link, () => put(r, link, r.arpRequest(from, MAC.pc1, asked))), []);
  }
});

// conforms: arp-proxy
test('the translation addresses of an uplink are answered for on its link', () => {
  const r = rig({ snat: ['192.168.201.20'] });
  const sent = put(r, 'wan1', r.arpRequest(GATEWAY, MAC.gateway1, '192.168.201.20'));
  expect(sent[0].frame, ethernet({ destination: MAC.gateway1 }), arp({ operation: 'reply', senderMac: MAC.wan1, sender: '192.168.201.20' }));
  assert.equal(put(r, 'lan', r.arpRequest(PC1, MAC.pc1, '192.168.201.20')), []);
});

// conforms: arp-proxy
test('a probe (sender 0.0.0.0) is answered and nothing is learned from it (RFC 5227 §2.1.1)', () => {
  const r = rig({ neighbours: false });
  const sent = put(r, 'lan', r.arpRequest('0.0.0.0', STRANGER, LAN));
  expect(sent[0].frame, ethernet({ destination: STRANGER }), arp({ operation: 'reply', senderMac: MAC.lan, sender: LAN, target: '0.0.0.0' }));
  assert.is(r.router.neighbours.find(0, 0, 0, 0xffff, 0), -1);
});

// conforms: arp-learn
test('who asks for us is learned and needs no question; who asks for others is not (RFC 826)', () => {
  const r = rig({ neighbours: false });
  put(r, 'lan', r.arpRequest(PC1, MAC.pc1, LAN));
  put(r, 'lan', r.arpRequest(PC2, MAC.pc2, '192.168.0.99'));
  const [known] = ipOf(put(r, 'lan', r.frame('lan', make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 1 })))));
  expect(known.frame, ethernet({ destination: MAC.pc1 }), ipv4());
  const asked = put(r, 'lan', r.frame('lan', make.ipv4({ source: PC2, destination: LAN }, make.echoRequest({ id: 1 }))));
  assert.is(asked.length, 1);
  expect(asked[0].frame, ethernet({ destination: broadcast }), arp({ operation: 'request', target: PC2 }));
});

// conforms: arp-learn
test('nothing is learned of a foreign subnet, from a group MAC address, or from what makes no sense (RFC 1812 §3.3.2)', () => {
  const r = rig({ neighbours: false });
  put(r, 'lan', r.arpRequest('203.0.113.9', STRANGER, LAN));
  assert.is(r.router.neighbours.find(0, 0, 0, 0xffff, make.address('203.0.113.9').readInt32BE(0)), -1);
  for (const mac of [broadcast, '01:00:5e:00:00:01', '00:00:00:00:00:00']) {
    assert.equal(r.counted('ARP_MALFORMED', 'lan', () => put(r, 'lan', r.arpRequest(PC1, mac, LAN))), [], mac);
  }
  const good = r.arpRequest(PC1, MAC.pc1, LAN);
  for (const [at, value] of [[15, 6], [16, 9], [18, 5], [19, 16], [21, 3], [21, 0]]) {
    const bad = Buffer.from(good);
    bad[at] = value;
    r.counted('ARP_MALFORMED', 'lan', () => put(r, 'lan', bad));
  }
  r.counted('ARP_MALFORMED', 'lan', () => put(r, 'lan', Buffer.from(good.subarray(0, 41))));
  assert.is(r.router.neighbours.find(0, 0, 0, 0xffff, make.address(PC1).readInt32BE(0)), -1);
});

const conflicts = (r: Rig): unknown[] => r.notices.filter((notice) => notice.event === 'addressConflict');

// conforms: arp-announce
test('gratuitous ARP three times, a second apart, on each link that comes up (RFC 5227 §2.3)', () => {
  const r = rig({ up: false });
  r.setUp('wan1', true);
  const announced = (sent: Sent[]): void => {
    // A link that comes back asks for its gateway as well.
    const own = sent.filter((frame) => !frame.frame.subarray(38, 42).equals(Buffer.from([192, 168, 201, 1])));
    assert.is(own.length, 1);
    assert.is(own[0].link, 'wan1');
    expect(own[0].frame, ethernet({ source: MAC.wan1, destination: broadcast }), arp({ operation: 'request', senderMac: MAC.wan1, sender: WAN1, target: WAN1 }));
  };
  announced(r.run());
  assert.equal(r.advance(999), []);
  announced(r.advance(1));
  announced(r.advance(1000));
  assert.equal(r.advance(10_000, 500), []);
  r.setUp('wan1', false);
  r.setUp('wan1', true);
  announced(r.run());
});

// conforms: arp-conflict
test('a conflict is noticed, told and defended, at most once in 10 s (RFC 5227 §2.4)', () => {
  const r = rig();
  const claim = r.arpRequest(LAN, STRANGER, LAN);
  const defended = arpOf(r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', claim)));
  assert.is(defended.length, 1);
  expect(defended[0].frame, ethernet({ source: MAC.lan, destination: broadcast }), arp({ operation: 'request', senderMac: MAC.lan, sender: LAN, target: LAN }));
  assert.equal(conflicts(r), [{ event: 'addressConflict', link: 'lan', address: LAN, mac: STRANGER }]);
  r.clock.advance(9_999);
  assert.equal(arpOf(r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', claim))), []);
  r.clock.advance(1);
  assert.is(arpOf(put(r, 'lan', claim)).length, 1);
  assert.is(conflicts(r).length, 2);
  assert.is(r.router.neighbours.find(0, 0, 0, 0xffff, make.address(LAN).readInt32BE(0)), -1, 'never learned');
});

test('each address is defended by itself: a conflict about one hides none about another', () => {
  const second = '192.168.0.2';
  const r = rig({ link: { lan: { addresses: [{ address: LAN, prefixLength: 24 }, { address: second, prefixLength: 24 }] } } });
  for (const address of [LAN, second]) {
    const defended = arpOf(r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', r.arpRequest(address, STRANGER, address))));
    assert.is(defended.length, 1);
    expect(defended[0].frame, ethernet({ source: MAC.lan, destination: broadcast }), arp({ operation: 'request', senderMac: MAC.lan, sender: address, target: address }));
  }
  assert.equal(conflicts(r).map((notice) => (notice as { address: string }).address), [LAN, second]);
  assert.equal(arpOf(r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', r.arpRequest(LAN, STRANGER, LAN)))), []);
});

const probes = (sent: Sent[]): Sent[] => arpOf(sent).filter((frame) => frame.frame.readUInt32BE(28) === 0);

/** A LAN that asks for its addresses, its device just up. */
function claiming(): Rig {
  const r = rig({ up: false, link: { lan: { probeAddresses: true } } });
  r.setUp('wan1', true);
  r.setUp('lan', true);
  r.run();
  return r;
}

/** Time passes in small steps; when each probe left by the LAN, in milliseconds from the start. */
function probesWithin(r: Rig, ms: number): number[] {
  const at: number[] = [];
  for (let passed = 50; passed <= ms; passed += 50) for (const sent of probes(r.advance(50))) {
    expect(sent.frame, ethernet({ source: MAC.lan, destination: broadcast }), arp({ operation: 'request', senderMac: MAC.lan, sender: '0.0.0.0', target: LAN }));
    assert.is(sent.link, 'lan');
    at.push(passed);
  }
  return at;
}

// conforms: arp-probe
test('addresses are probed for three times before they are used, and announced once nobody has answered (RFC 5227 §2.1.1, §2.3)', () => {
  const r = claiming();
  const at: number[] = [];
  let used = 0;
  for (let passed = 50; used === 0; passed += 50) {
    assert.ok(passed <= 7100, 'it comes into use');
    const sent = r.advance(50).filter((frame) => frame.link === 'lan');
    if (r.router.links[0].isUp) used = passed;
    else if (probes(sent).length > 0) at.push(passed);
    if (used > 0) expect(sent[0].frame, ethernet({ destination: broadcast }), arp({ operation: 'request', senderMac: MAC.lan, sender: LAN, target: LAN }));
    else if (at.at(-1) !== passed) {
      assert.equal(sent, []);
      r.counted('LINK_DOWN_IN', 'lan', () => put(r, 'lan', r.arpRequest(PC1, MAC.pc1, LAN)));
    }
  }
  assert.is(at.length, 3);
  assert.ok(at[0] <= 1050);
  for (const [before, after] of [[at[0], at[1]], [at[1], at[2]]]) assert.ok(after - before >= 950 && after - before <= 2050, `${at}`);
  assert.ok(used - at[2] >= 1950 && used - at[2] <= 2050);
  assert.equal(conflicts(r), []);
  assert.is(r.router.links[1].isUp, true, 'other links do not wait');
  r.teachAll('lan', 'wan1');
  assert.is(r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 1, destinationPort: 2 })))[0].link, 'wan1');
});

// conforms: arp-probe
test('whoever has an address of a link that probes, or probes for it too, keeps it out of use; asked again every minute (RFC 5227 §2.1.1)', () => {
  for (const [name, frame] of [
    ['it answers', (r: Rig) => r.arpReply('lan', LAN, STRANGER)],
    ['it announces itself', (r: Rig) => r.arpRequest(LAN, STRANGER, LAN)],
    ['it probes', (r: Rig) => r.arpRequest('0.0.0.0', STRANGER, LAN)],
  ] as const) {
    const r = claiming();
    assert.is(probesWithin(r, 1100).length, 1, name);
    r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', frame(r)));
    r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', frame(r)));
    assert.equal(conflicts(r), [{ event: 'addressConflict', link: 'lan', address: LAN, mac: STRANGER }], name);
    assert.is(r.router.counters.link(0, CLAIM), CLAIM_REFUSED);
    assert.equal(probesWithin(r, 59_900), [], name);
    assert.is(r.router.links[0].isUp, false);
    assert.is(probesWithin(r, 6000).length, 3, name);
    assert.is(r.router.links[0].isUp, true, `${name}, then no more`);
    assert.is(r.router.counters.link(0, CLAIM), CLAIM_NONE);
  }
});

test('what is no claim to an address keeps no link waiting; a device that goes down meanwhile ends it, and up again begins anew', () => {
  const r = claiming();
  assert.is(probesWithin(r, 1100).length, 1);
  for (const frame of [
    r.arpRequest('0.0.0.0', MAC.lan, LAN), r.arpRequest('0.0.0.0', STRANGER, PC1), r.arpReply('lan', PC1, STRANGER), r.arpRequest(LAN, STRANGER, LAN).subarray(0, 40),
    r.frame('lan', make.ipv4({ source: PC1, destination: LAN }, make.udp({ sourcePort: 1, destinationPort: 2 }))),
  ]) r.counted('LINK_DOWN_IN', 'lan', () => put(r, 'lan', frame));
  assert.equal(conflicts(r), []);
  r.setUp('lan', false);
  assert.equal(probesWithin(r, 8000), []);
  assert.is(r.router.links[0].isUp, false);
  r.setUp('lan', true);
  assert.is(probesWithin(r, 7100).length, 3);
  assert.is(r.router.links[0].isUp, true);
  // In use it loses its carrier like any other link.
  r.setUp('lan', false);
  assert.is(r.router.links[0].isUp, false);
});

test('our own announcement coming back is no conflict', () => {
  const r = rig();
  r.counted('ARP_IGNORED', 'lan', () => put(r, 'lan', r.arpRequest(LAN, MAC.lan, LAN)));
  assert.equal(conflicts(r), []);
});

// conforms: arp-queue
test('packets wait for the neighbour and leave in order once it answers (RFC 1122 §2.3.2.2)', () => {
  const r = rig({ ...ONE, neighbours: false });
  const first = put(r, 'lan', r.frame('lan', datagram(4000)));
  assert.is(first.length, 1);
  isQuestion(first[0]);
  for (const port of [4001, 4002, 4003]) assert.equal(r.counted('HELD', 'lan', () => put(r, 'lan', r.frame('lan', datagram(port)))), [], 'asked once only');
  const sent = put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  assert.is(sent.length, 4);
  sent.forEach(({ link, frame }, i) => {
    assert.is(link, 'wan1');
    expect(frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 63 }), udp({ sourcePort: 4000 + i }));
  });
  assert.is(r.verdict('lan', 'SENT'), 4);
  assert.is(r.verdict('lan', 'HELD'), 0);
});

test('a request from the neighbour itself is an answer too', () => {
  const r = rig({ ...ONE, neighbours: false });
  put(r, 'lan', r.frame('lan', datagram()));
  const sent = put(r, 'wan1', r.arpRequest(GATEWAY, MAC.gateway1, WAN1));
  assert.equal(sent.map(({ isArp }) => isArp), [true, false]);
  expect(sent[1].frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }));
});

test('an answer from the other cable of the shared subnet is an answer for that cable only', () => {
  const r = rig({ ...ONE, neighbours: false });
  put(r, 'lan', r.frame('lan', datagram()));
  assert.equal(ipOf(put(r, 'wan2', r.arpReply('wan2', GATEWAY, MAC.gateway2))), []);
  const [sent] = ipOf(put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1)));
  expect(sent.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1 }));
});

// conforms: arp-queue
test('a hundred flows begin at once, from as many cold addresses to a cold gateway: each is asked for once, and no first packet or answer is lost', () => {
  const FLOWS = 100;
  const { neighbourQueue, heldPackets } = SCHEMA.limits.keys;
  const r = rig({ ...ONE, neighbours: false, limits: { neighbours: 256, neighbourQueue: neighbourQueue.default as number, heldPackets: heldPackets.default as number } });
  const client = (i: number): string => `192.168.0.${100 + i}`;
  const mac = (i: number): string => `02:00:00:00:50:${i.toString(16).padStart(2, '0')}`;
  for (let i = 0; i < FLOWS; i++) r.put('lan', r.frame('lan', datagram(4000, { source: client(i) }), { source: mac(i) }));
  const [question, ...more] = r.run();
  assert.equal(more, []);
  isQuestion(question);
  const there = put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  assert.is(there.length, FLOWS);
  for (const { packet } of there) r.put('wan1', r.frame('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: packet.readUInt16BE(20) }))));
  const asked = r.run();
  assert.equal(asked.map(({ link, isArp, packet }) => [link, isArp, make.formatAddress(packet.subarray(24, 28))]), Array.from({ length: FLOWS }, (_, i) => ['lan', true, client(i)]));
  for (let i = 0; i < FLOWS; i++) r.put('lan', r.arpReply('lan', client(i), mac(i)));
  assert.equal(r.run().map(({ isArp, packet }) => [isArp, make.formatAddress(packet.subarray(16, 20))]), Array.from({ length: FLOWS }, (_, i) => [false, client(i)]));
});

// conforms: arp-queue
test('the queue is bounded, per neighbour and in all', () => {
  const r = rig({ ...ONE, dmz: true, neighbours: false, limits: { neighbourQueue: 3, heldPackets: 5 } });
  for (let i = 0; i < 3; i++) r.from('lan', datagram(4000 + i));
  r.refused('NEIGHBOUR_QUEUE', 'lan', datagram(4003));
  for (let i = 0; i < 2; i++) r.from('lan', datagram(4000 + i, { destination: DMZ_HOST }));
  r.refused('HELD_LIMIT', 'lan', datagram(4002, { destination: DMZ_HOST }));
  const ports = ipOf(put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1))).map(({ packet }) => packet.readUInt16BE(20));
  assert.equal(ports, [4000, 4001, 4002], 'the first ones were kept');
  r.refused('HELD', 'lan', datagram(4002, { destination: DMZ_HOST }));
});

// conforms: arp-queue
test('after three questions, a second apart, host unreachable quoting the packet as received (RFC 1812 §5.2.7.1)', () => {
  const r = rig({ ...ONE });
  r.put('wan1', r.arpReply('wan1', '192.168.201.250', STRANGER));
  r.run();
  const target = '192.168.201.99';
  const packets = [datagram(4000, { destination: target }), datagram(4001, { destination: target, ttl: 9 })];
  const asked = packets.flatMap((packet) => put(r, 'lan', r.frame('lan', packet)));
  for (let i = 0; i < 2; i++) {
    assert.equal(r.advance(999), []);
    asked.push(...r.advance(1));
  }
  assert.is(asked.length, 3);
  for (const { frame } of asked) expect(frame, ethernet({ destination: broadcast }), arp({ operation: 'request', sender: WAN1, target }));
  const errors = r.advance(1000);
  assert.is(errors.length, 2);
  errors.forEach(({ link, frame }, i) => {
    assert.is(link, 'lan');
    expect(frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(packets[i]));
  });
  assert.is(r.verdict('lan', 'NEIGHBOUR_FAILED'), 2);
  assert.is(r.verdict('lan', 'HELD'), 0);
  const [refused] = r.refused('NEIGHBOUR_FAILED', 'lan', datagram(4002, { destination: target }));
  expect(refused.packet, ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(datagram(4002, { destination: target })));
});

test('a failed neighbour is asked for again a few seconds later, also when nobody has used it meanwhile', () => {
  const toHost = (sourcePort: number): Buffer => make.ipv4({ source: PC1, destination: DMZ_HOST }, make.udp({ sourcePort, destinationPort: 53 }));
  for (const pauseMs of [3000, 4000, 20_000, 120_000]) {
    const r = rig({ dmz: true, neighbours: false });
    r.from('lan', toHost(4000));
    r.advance(3000, 1000);
    assert.is(r.verdict('lan', 'NEIGHBOUR_FAILED'), 1);
    r.advance(pauseMs, 500);
    const [question] = arpOf(put(r, 'lan', r.frame('lan', toHost(4001))));
    assert.is(question.link, 'dmz');
    assert.is(ipOf(put(r, 'dmz', r.arpReply('dmz', DMZ_HOST, '02:00:00:00:09:09'))).length, 1);
  }
});

test('an ICMP error to a sender whose own MAC address is not known waits for it as well', () => {
  const r = rig({ ...ONE, neighbours: false });
  const packet = datagram(4000, { ttl: 1 });
  const [asked] = put(r, 'lan', r.frame('lan', packet));
  expect(asked.frame, ethernet({ destination: broadcast }), arp({ operation: 'request', sender: LAN, target: PC1 }));
  const [error] = put(r, 'lan', r.arpReply('lan', PC1, MAC.pc1));
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(packet));
});

test('a changed MAC address is followed at once', () => {
  const r = rig(ONE);
  expect(r.from('lan', datagram())[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4());
  // A gratuitous request by the gateway’s successor, to everybody.
  put(r, 'wan1', r.arpRequest(GATEWAY, STRANGER, GATEWAY));
  expect(r.from('lan', datagram())[0].frame, ethernet({ destination: STRANGER }), ipv4());
  put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  expect(r.from('lan', datagram())[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4());
});

// conforms: arp-recheck
test('a stale neighbour is checked by unicast while packets go on (RFC 1122 §2.3.2.1)', () => {
  const r = rig(ONE);
  r.advance(31_000, 1000);
  const sent = put(r, 'lan', r.frame('lan', datagram()));
  isQuestion(arpOf(sent)[0], MAC.gateway1);
  expect(ipOf(sent)[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4());
  put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  assert.equal(arpOf(put(r, 'lan', r.frame('lan', datagram()))), [], 'confirmed');
  r.advance(29_000, 1000);
  assert.equal(arpOf(put(r, 'lan', r.frame('lan', datagram()))), [], 'for another 30 s');
});

test('a stale neighbour that is gone: three unicasts, then refused', () => {
  const r = rig(ONE);
  r.advance(31_000, 1000);
  const asked = arpOf(put(r, 'lan', r.frame('lan', datagram())));
  asked.push(...arpOf(r.advance(2000, 500)));
  assert.is(asked.length, 3);
  for (const question of asked) isQuestion(question, MAC.gateway1);
  r.advance(1000);
  r.put('lan', r.arpReply('lan', PC1, MAC.pc1));
  r.put('lan', r.arpReply('lan', PC1, MAC.pc1));
  r.run();
  // The uplink is down with its gateway, and the flow waits for it: the group has no other.
  const [error] = r.refused('UPLINK_DOWN', 'lan', datagram());
  expect(error.packet, ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(datagram()));
});

test('an unused neighbour is forgotten after the stale time', () => {
  const r = rig({ ...ONE, timeouts: { neighbourStale: 60 } });
  r.advance(95_000, 1000);
  isQuestion(arpOf(put(r, 'lan', r.frame('lan', datagram())))[0]);
});

test('neighbours of a link that goes down are forgotten, and what waits for them is refused', () => {
  const r = rig({ ...ONE, dmz: true });
  r.from('lan', datagram(4000, { destination: '10.9.0.77' }));
  r.setUp('dmz', false);
  const errors = ipOf(r.run());
  assert.is(errors.length, 1);
  expect(errors[0].packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(datagram(4000, { destination: '10.9.0.77' })));
  r.setUp('dmz', true);
  const sent = put(r, 'lan', r.frame('lan', datagram(4000, { destination: DMZ_HOST })));
  const questions = arpOf(sent).filter(({ frame }) => make.formatAddress(frame.subarray(38, 42)) !== DMZ);
  assert.is(questions.length, 1);
  expect(questions[0].frame, ethernet(), arp({ target: DMZ_HOST }));
});

test('the neighbour table is bounded; who scans a subnet cannot push the gateway out', () => {
  const r = rig({ ...ONE, dmz: true, limits: { neighbours: 16, heldPackets: 64 } });
  for (let host = 20; host < 60; host++) r.from('lan', datagram(4000, { destination: `10.9.0.${host}` }));
  assert.ok(r.verdict('lan', 'NEIGHBOUR_LIMIT') > 0);
  const sent = put(r, 'lan', r.frame('lan', datagram(4001)));
  assert.equal(arpOf(sent), []);
  expect(ipOf(sent)[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }));
});

test('more waiting super-frames than one turn has room for all leave, in order, over several turns', () => {
  const r = rig({ ...ONE, neighbours: false, mtu: { lan: 65_535, wan1: 65_535 }, limits: { neighbourQueue: 1024, heldPackets: 2048 } });
  const count = 200;
  for (let i = 0; i < count; i++) r.put('lan', r.frame('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000 + i, destinationPort: 80, payload: Buffer.alloc(60_000), checksum: 'none' }))));
  r.run();
  const ports = ipOf(put(r, 'wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1))).map(({ packet }) => packet.readUInt16BE(20));
  assert.equal(ports, Array.from({ length: count }, (_, i) => 4000 + i));
});

// conforms: arp-static
test('a configured neighbour is never asked for, and an ARP answer that says otherwise moves nothing', () => {
  const mac = '02:00:00:00:0a:63', forged = '02:00:00:00:66:66', address = '192.168.0.99';
  const r = rig({ ...ONE, link: { lan: { neighbours: [{ address, mac }] } } });
  const reach = (): void => {
    const [sent, ...rest] = put(r, 'wan1', r.frame('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000 }))));
    assert.equal(rest, []);
    expect(sent.frame, ethernet({ destination: mac }), ipv4({ source: SERVER, destination: address }));
  };
  put(r, 'lan', r.frame('lan', make.ipv4({ source: address, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })), { source: mac }));
  reach();
  put(r, 'lan', r.arpReply('lan', address, forged));
  reach();
  r.setUp('lan', false);
  r.setUp('lan', true);
  r.advance(10_000, 1000);
  reach();
});

test.run();
