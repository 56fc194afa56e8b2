/**
 * Inside hosts that call each other by external address (RFC 4787 REQ-9, RFC 5382 REQ-8): the callee sees the caller's external address and
 * port, the caller sees the one it called, and errors find their way.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions, Sent } from '../support/rig.js';
import { UPLINK_FLOWS, UPLINK_NEW_FLOWS, UPLINK_PORTS_USED } from '../../src/table/counters.js';

const ONE: RigOptions = { weights: [1, 0] };
const udpFrom = (source: string, sourcePort: number, destination: string, destinationPort: number, more: Partial<make.Ipv4Fields> = {}) => make.ipv4({ source, destination, ...more }, make.udp({ sourcePort, destinationPort }));
const tcpFrom = (source: string, sourcePort: number, destination: string, destinationPort: number, flags = 'S') => make.ipv4({ source, destination }, make.tcp({ sourcePort, destinationPort, flags }));
const portOf = (sent: Sent[]): number => sent[0].packet.readUInt16BE(20);

/** Both hosts have talked to outside: PC1:4000 is WAN1:4000, PC2:5000 is WAN1:5000. */
function both(options: RigOptions = {}, kind: typeof udpFrom | typeof tcpFrom = udpFrom, second = PC2): Rig {
  const r = rig({ ...ONE, ...options });
  assert.is(portOf(r.from('lan', kind(PC1, 4000, SERVER, 80))), 4000);
  assert.is(portOf(r.from(second === DMZ_HOST ? 'dmz' : 'lan', kind(second, 5000, SERVER, 80))), 5000);
  return r;
}

// conforms: hairpin
test('UDP between two hosts of one link: external address and port on both sides (REQ-9, REQ-9a)', () => {
  for (const filtering of ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const) {
    const r = both({ uplink: { filtering } });
    const [there] = r.from('lan', udpFrom(PC1, 4000, WAN1, 5000));
    assert.is(there.link, 'lan');
    expect(there.frame, ethernet({ source: MAC.lan, destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2, ttl: 63 }), udp({ sourcePort: 4000, destinationPort: 5000 }));
    const [back] = r.from('lan', udpFrom(PC2, 5000, WAN1, 4000));
    expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1, ttl: 63 }), udp({ sourcePort: 5000, destinationPort: 4000 }));
    assert.is(r.flowCount, 3);
    assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 2, 'no further port');
    assert.is(r.router.counters.uplink(0, UPLINK_FLOWS), 3);
    assert.is(r.router.counters.uplink(0, UPLINK_NEW_FLOWS), 2, 'it did not leave by the uplink');
  }
});

// conforms: hairpin
test('TCP between two links, from opening to close (RFC 5382 REQ-8)', () => {
  const r = both({ dmz: true }, tcpFrom, DMZ_HOST);
  for (const [isThere, flags] of [[true, 'S'], [false, 'SA'], [true, 'A'], [false, 'PA'], [true, 'FA'], [false, 'FA'], [true, 'A']] as const) {
    const [sent] = isThere ? r.from('lan', tcpFrom(PC1, 4000, WAN1, 5000, flags)) : r.from('dmz', tcpFrom(DMZ_HOST, 5000, WAN1, 4000, flags));
    if (isThere) {
      assert.is(sent.link, 'dmz');
      expect(sent.frame, ethernet({ destination: MAC.dmzHost }), ipv4({ source: WAN1, destination: DMZ_HOST, ttl: 63 }), tcp({ sourcePort: 4000, destinationPort: 5000 }));
    } else {
      assert.is(sent.link, 'lan');
      expect(sent.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1, ttl: 63 }), tcp({ sourcePort: 5000, destinationPort: 4000 }));
    }
  }
});

test('a caller that is not mapped yet is mapped as towards outside, and keeps that', () => {
  const r = both();
  const external = portOf(r.from('lan', udpFrom(PC1, 5000, WAN1, 5000)));
  assert.is.not(external, 5000, 'that port is PC2’s');
  assert.is(portOf(r.from('lan', udpFrom(PC1, 5000, SERVER, 53))), external, 'RFC 4787 REQ-1');
});

test('a host that calls its own mapping reaches itself, also from the mapped port', () => {
  const r = both();
  for (const port of [4001, 4000]) {
    const [there] = r.from('lan', udpFrom(PC1, port, WAN1, 4000));
    expect(there.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), udp({ sourcePort: port, destinationPort: 4000 }));
    const [back] = r.from('lan', udpFrom(PC1, 4000, WAN1, port));
    expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), udp({ sourcePort: 4000, destinationPort: port }));
  }
  r.advance(400_000, 1000);
  assert.is(r.flowCount, 0);
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 0);
  assert.is(r.router.counters.uplink(0, UPLINK_FLOWS), 0);
});

test('a hairpinned flow holds both mappings', () => {
  const r = both({ timeouts: { udp: 120, udpReplied: 120 } });
  r.advance(100_000);
  r.teach();
  r.from('lan', udpFrom(PC1, 4000, WAN1, 5000));
  r.advance(60_000, 1000);
  r.teach();
  assert.is(r.flowCount, 1);
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 2);
  assert.is(portOf(r.from('lan', udpFrom(PC2, 5000, SERVER, 80))), 5000);
  r.advance(200_000, 1000);
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 0);
});

test('with dependent mapping each pair has ports of its own, and hairpin works all the same', () => {
  const r = both({ uplink: { mapping: 'address-and-port-dependent' } });
  const there = r.from('lan', udpFrom(PC1, 4000, WAN1, 5000));
  expect(there[0].frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), udp({ destinationPort: 5000 }));
  const external = portOf(there);
  assert.is.not(external, 4000);
  expect(r.from('lan', udpFrom(PC2, 5000, WAN1, external))[0].frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), udp({ sourcePort: 5000, destinationPort: 4000 }));
});

test('several translation addresses: each host is seen with its own', () => {
  const pool = [WAN1, '192.168.201.20', '192.168.201.21'];
  const r = rig({ ...ONE, snat: pool });
  const external = (source: string, port: number): string => {
    const [sent] = r.from('lan', udpFrom(source, port, SERVER, 80));
    return make.formatAddress(sent.packet.subarray(12, 16));
  };
  const hosts = Array.from({ length: 6 }, (_, i) => `192.168.0.${30 + i}`);
  const addresses = hosts.map((host, i) => external(host, 4000 + i));
  assert.ok(new Set(addresses).size > 1);
  for (let i = 0; i < hosts.length; i++) {
    for (let j = 0; j < hosts.length; j++) {
      r.put('lan', r.frame('lan', udpFrom(hosts[i], 4000 + i, addresses[j], 4000 + j)));
      // Nobody answers ARP for these hosts: what waits for them is looked at as it was asked for.
      r.run();
    }
  }
  // Each pair is one flow, whoever began it, and each host is one with itself.
  assert.is(r.flowCount, 6 + 15 + 6);
});

// conforms: hairpin-same-subnet
test('a port forward from inside: the server sees the caller’s external address, the caller the one it called', () => {
  const forward = { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6], ports: { first: 8080, last: 8080 }, to: PC2, toPort: 80 };
  const r = rig({ ...ONE, plan: { portForwards: [forward] } });
  const [there] = r.from('lan', tcpFrom(PC1, 4000, WAN1, 8080));
  expect(there.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), tcp({ sourcePort: 4000, destinationPort: 80 }));
  const [back] = r.from('lan', tcpFrom(PC2, 80, WAN1, 4000, 'SA'));
  expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), tcp({ sourcePort: 8080, destinationPort: 4000 }));
});

// conforms: hairpin-echo
test('echo between 1:1 hosts is turned round; a shared address answers echo itself (RFC 5508 REQ-7)', () => {
  const oneToOne = [{ index: 0, name: 'a', uplink: 0, external: '192.168.201.30', internal: PC1 }, { index: 1, name: 'b', uplink: 0, external: '192.168.201.31', internal: PC2 }];
  const r = rig({ ...ONE, plan: { oneToOne } });
  const [there] = r.from('lan', make.ipv4({ source: PC1, destination: '192.168.201.31' }, make.echoRequest({ id: 77 })));
  expect(there.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: '192.168.201.30', destination: PC2 }), echo({ type: 'request', id: 77 }));
  const [back] = r.from('lan', make.ipv4({ source: PC2, destination: '192.168.201.30' }, make.echoReply({ id: 77 })));
  expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: '192.168.201.31', destination: PC1 }), echo({ type: 'reply', id: 77 }));
  // A third host, by its shared address, and to it.
  const pc3 = '192.168.0.6';
  r.put('lan', r.arpReply('lan', pc3, MAC.pc1));
  r.put('lan', r.arpReply('lan', pc3, MAC.pc1));
  r.run();
  const [shared] = r.from('lan', make.ipv4({ source: pc3, destination: '192.168.201.31' }, make.echoRequest({ id: 3000 })));
  expect(shared.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), echo({ type: 'request', id: 3000 }));
  const [answer] = r.from('lan', make.ipv4({ source: PC2, destination: WAN1 }, make.echoReply({ id: 3000 })));
  expect(answer.frame, ethernet(), ipv4({ source: '192.168.201.31', destination: pc3 }), echo({ type: 'reply', id: 3000 }));
  const [own] = r.from('lan', make.ipv4({ source: PC1, destination: WAN1 }, make.echoRequest({ id: 78 })));
  expect(own.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), echo({ type: 'reply', id: 78 }));
});

// conforms: hairpin-icmp
test('errors about hairpinned packets are turned round too, both ways and from a router between (RFC 5508 REQ-7)', () => {
  const r = both();
  const request = udpFrom(PC1, 4000, WAN1, 5000);
  const [there] = r.from('lan', request);
  const [refusal] = r.from('lan', make.ipv4({ source: PC2, destination: WAN1 }, make.icmp({ type: 3, code: 3 }, there.packet)));
  expect(refusal.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), icmpError({ type: 3, code: 3 }),
    ipv4({ source: PC1, destination: WAN1 }), udp({ sourcePort: 4000, destinationPort: 5000 }));
  const [back] = r.from('lan', udpFrom(PC2, 5000, WAN1, 4000));
  const middle = '192.168.0.77';
  const [other] = r.from('lan', make.ipv4({ source: middle, destination: WAN1 }, make.icmp({ type: 11, code: 0 }, back.packet)));
  expect(other.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), icmpError({ type: 11, code: 0 }),
    ipv4({ source: PC2, destination: WAN1 }), udp({ sourcePort: 5000, destinationPort: 4000 }));
});

test('the router’s own errors about a hairpinned packet quote it as it was received', () => {
  const r = both({ dmz: true, mtu: { dmz: 1200 } }, udpFrom, DMZ_HOST);
  const expired = udpFrom(PC1, 4001, WAN1, 5000, { ttl: 1 });
  const [ttl] = r.refused('TTL', 'lan', expired);
  expect(ttl.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(expired));
  const big = make.ipv4({ source: PC1, destination: WAN1, dontFragment: true }, make.udp({ sourcePort: 4001, destinationPort: 5000, payload: make.filler(1300) }));
  const [tooBig] = r.refused('TOO_BIG', 'lan', big);
  expect(tooBig.frame, ethernet(), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 4, mtu: 1200 }), bytes(big));
  assert.is(r.flowCount, 2);
});

test('no port for the caller: refused, and the callee hears nothing', () => {
  const r = rig({ ...ONE, uplink: { whenExhausted: 'refuse' }, limits: { snatPortFirst: 5000, snatPortLast: 5000 } });
  r.from('lan', udpFrom(PC2, 5000, SERVER, 80));
  const packet = udpFrom(PC1, 4000, WAN1, 5000);
  const [error] = r.refused('NO_PORT', 'lan', packet);
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 13 }), bytes(packet));
});

test('the box calls an inside host’s mapping', () => {
  const r = both({ host: true });
  const [there] = r.from('host', udpFrom(BOX, 6000, WAN1, 5000));
  expect(there.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), udp({ sourcePort: 6000, destinationPort: 5000 }));
  const [back] = r.from('lan', udpFrom(PC2, 5000, WAN1, 6000));
  assert.is(back.link, 'host');
  expect(back.packet, ipv4({ source: WAN1, destination: BOX }), udp({ sourcePort: 5000, destinationPort: 6000 }));
});

test('to an external address where nothing is mapped: the router’s own, as ever', () => {
  const r = both();
  r.refused('PORT_CLOSED', 'lan', udpFrom(PC1, 4000, WAN1, 5001));
});

test.run();
