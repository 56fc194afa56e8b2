/** Who outside may send to a mapping (RFC 4787 §5), what that opens, and whether it prolongs (RFC 4787 REQ-6). */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernet, expect, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { Rig, RigOptions, Sent } from '../support/rig.js';
import { UPLINK_FLOWS, UPLINK_NEW_FLOWS, UPLINK_PORTS_USED } from '../../src/table/counters.js';

const ONE: RigOptions = { weights: [1, 0] };
const STRANGER = '198.51.100.99';
const udpOut = (sourcePort = 5000, destination = SERVER, destinationPort = 80, source = PC1) => make.ipv4({ source, destination }, make.udp({ sourcePort, destinationPort }));
const udpIn = (source: string, sourcePort: number, destinationPort = 5000, destination = WAN1) => make.ipv4({ source, destination }, make.udp({ sourcePort, destinationPort }));
const tcpOut = (flags: string, sourcePort = 5000, destination = SERVER, destinationPort = 80) => make.ipv4({ source: PC1, destination }, make.tcp({ sourcePort, destinationPort, flags }));
const tcpIn = (flags: string, source: string, sourcePort: number, destinationPort = 5000) => make.ipv4({ source, destination: WAN1 }, make.tcp({ sourcePort, destinationPort, flags }));
const destinationOf = (sent: Sent[]): string => (sent.length === 1 ? make.formatAddress(sent[0].packet.subarray(16, 20)) : `${sent.length} packets`);
const permissions = (r: Rig): number => r.router.mappings.permissions.size;

/** Seconds until the last flow is gone. */
function lifetime(r: Rig, most: number): number {
  for (let second = 0; second <= most; second++) {
    if (r.flowCount === 0) return second;
    r.advance(1000);
  }
  return Infinity;
}

// conforms: nat-filtering
test('endpoint-independent: anyone may send to a mapping, and is answered from it (RFC 4787 REQ-8)', () => {
  const r = rig(ONE);
  r.from('lan', udpOut());
  const [sent] = r.from('wan1', udpIn(STRANGER, 9999));
  assert.is(sent.link, 'lan');
  expect(sent.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: STRANGER, destination: PC1, ttl: 63 }), udp({ sourcePort: 9999, destinationPort: 5000 }));
  const [answer] = r.from('lan', udpOut(5000, STRANGER, 9999));
  assert.is(answer.link, 'wan1');
  expect(answer.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: STRANGER }), udp({ sourcePort: 5000, destinationPort: 9999 }));
  assert.is(r.flowCount, 2);
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 1);
  assert.is(r.router.counters.uplink(0, UPLINK_FLOWS), 2);
  assert.is(r.router.counters.uplink(0, UPLINK_NEW_FLOWS), 1, 'it was not balanced onto the uplink');
});

test('endpoint-independent, TCP: an opening is let in, in its whole length; nothing else is (RFC 5382 REQ-3)', () => {
  const r = rig(ONE);
  r.from('lan', tcpOut('S'));
  for (const flags of ['A', 'SA', 'R', 'FA']) assert.is.not(destinationOf(r.from('wan1', tcpIn(flags, STRANGER, 9999))), PC1, flags);
  expect(r.from('wan1', tcpIn('S', STRANGER, 9999))[0].frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: STRANGER, destination: PC1 }), tcp({ destinationPort: 5000, flags: 'S' }));
  expect(r.from('lan', tcpOut('SA', 5000, STRANGER, 9999))[0].frame, ethernet(), ipv4({ source: WAN1, destination: STRANGER }), tcp({ sourcePort: 5000, flags: 'SA' }));
  assert.is(destinationOf(r.from('wan1', tcpIn('A', STRANGER, 9999))), PC1);
});

test('an echo request is never let in through a mapping: the router answers it', () => {
  const r = rig(ONE);
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 5000 })));
  assert.is(destinationOf(r.from('wan1', make.ipv4({ source: STRANGER, destination: WAN1 }, make.echoRequest({ id: 5000 })))), STRANGER);
});

test('a port that is not mapped lets nobody in, and neither does another protocol’s', () => {
  const r = rig(ONE);
  r.from('lan', udpOut());
  r.refused('PORT_CLOSED', 'wan1', udpIn(STRANGER, 9999, 5001));
  assert.is.not(destinationOf(r.from('wan1', tcpIn('S', STRANGER, 9999))), PC1);
});

test('with a link to the box, what no mapping takes is the box’s', () => {
  const r = rig({ ...ONE, host: true });
  r.from('lan', udpOut());
  assert.is(r.from('wan1', udpIn(STRANGER, 9999))[0].link, 'lan');
  assert.is(r.from('wan1', udpIn(STRANGER, 9999, 5001))[0].link, 'host');
});

// conforms: nat-filtering
test('address-dependent: whom the endpoint has sent to, from any port, and no one else; as long as a flow stands for it', () => {
  const r = rig({ ...ONE, uplink: { filtering: 'address-dependent' } });
  r.from('lan', udpOut());
  r.refused('PORT_CLOSED', 'wan1', udpIn(STRANGER, 80));
  assert.is(destinationOf(r.from('wan1', udpIn(SERVER, 9999))), PC1);
  assert.is(permissions(r), 1);
  r.from('lan', udpOut(5000, STRANGER, 53));
  assert.is(permissions(r), 2);
  assert.is(destinationOf(r.from('wan1', udpIn(STRANGER, 80))), PC1);
  // Another endpoint's permission is not this one's.
  r.from('lan', udpOut(6000, '198.51.100.50', 53, PC2));
  r.refused('PORT_CLOSED', 'wan1', udpIn('198.51.100.50', 80));
  // Everything but what keeps the mapping alive ends.
  for (let i = 0; i < 5; i++) {
    r.advance(100_000);
    r.teach();
    r.from('lan', udpOut(5000, '198.51.100.51', 53));
  }
  assert.is(r.flowCount, 1);
  assert.is(permissions(r), 1);
  r.refused('PORT_CLOSED', 'wan1', udpIn(STRANGER, 80));
  r.refused('PORT_CLOSED', 'wan1', udpIn(SERVER, 80));
  assert.is(lifetime(r, 400) < 400, true);
  assert.is(permissions(r), 0);
});

test('address-dependent, TCP: a second connection from the peer', () => {
  const r = rig({ ...ONE, uplink: { filtering: 'address-dependent' } });
  r.from('lan', tcpOut('S'));
  assert.is.not(destinationOf(r.from('wan1', tcpIn('S', STRANGER, 1234))), PC1);
  assert.is(destinationOf(r.from('wan1', tcpIn('S', SERVER, 1234))), PC1);
});

// conforms: nat-filtering
test('address-and-port-dependent: only answers', () => {
  const r = rig({ ...ONE, uplink: { filtering: 'address-and-port-dependent' } });
  r.from('lan', udpOut());
  assert.is(destinationOf(r.from('wan1', udpIn(SERVER, 80))), PC1);
  r.refused('PORT_CLOSED', 'wan1', udpIn(SERVER, 81));
  r.refused('PORT_CLOSED', 'wan1', udpIn(STRANGER, 80));
});

// conforms: nat-deterministic
test('filtering is apart from mapping: dependent mapping, independent filtering', () => {
  const r = rig({ ...ONE, uplink: { mapping: 'address-and-port-dependent' } });
  r.from('lan', udpOut());
  const [other] = r.from('lan', udpOut(5000, SERVER, 81));
  for (const [port, from] of [[5000, 7], [other.packet.readUInt16BE(20), 8]] as const) {
    expect(r.from('wan1', udpIn(STRANGER, from, port))[0].frame, ethernet(), ipv4({ destination: PC1 }), udp({ destinationPort: 5000 }));
    expect(r.from('lan', udpOut(5000, STRANGER, from))[0].frame, ethernet(), ipv4({ source: WAN1 }), udp({ sourcePort: port, destinationPort: from }));
  }
  // One and the same sender by both ports: to tell the two apart, inside sees another port of it the second time.
  const [second] = r.from('wan1', udpIn(STRANGER, 7, other.packet.readUInt16BE(20)));
  expect(second.frame, ethernet(), ipv4({ source: STRANGER, destination: PC1 }), udp({ destinationPort: 5000 }));
  const seen = second.packet.readUInt16BE(20);
  assert.is.not(seen, 7);
  for (const [to, external] of [[7, 5000], [seen, other.packet.readUInt16BE(20)]]) {
    expect(r.from('lan', udpOut(5000, STRANGER, to))[0].frame, ethernet(), ipv4({ source: WAN1 }), udp({ sourcePort: external, destinationPort: 7 }));
  }
});

test('a mapping is of its uplink: by another one nobody gets in', () => {
  const r = rig({ weights: [1, 0], separate: true });
  r.from('lan', udpOut());
  const before = r.flowCount;
  for (const sent of r.from('wan2', udpIn(STRANGER, 9999))) assert.is.not(sent.link, 'lan');
  assert.is(r.flowCount, before);
  assert.is.not(WAN2, WAN1);
});

test('a flow let in holds the mapping; when both are gone so is the mapping', () => {
  const r = rig({ ...ONE, timeouts: { udp: 120, udpReplied: 120 } });
  r.from('lan', udpOut());
  r.advance(100_000);
  r.teach();
  r.from('wan1', udpIn(STRANGER, 9999));
  r.advance(60_000, 1000);
  r.teach();
  assert.is(r.flowCount, 1, 'the one from inside is gone');
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 1);
  const [again] = r.from('lan', udpOut(5000, '198.51.100.50', 53));
  assert.is(again.packet.readUInt16BE(20), 5000);
  lifetime(r, 300);
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 0);
  assert.is(r.router.counters.uplink(0, UPLINK_FLOWS), 0);
  r.teach();
  r.refused('PORT_CLOSED', 'wan1', udpIn(STRANGER, 9999));
});

test('what is let in and then refused leaves nothing behind', () => {
  const r = rig(ONE);
  r.from('lan', udpOut());
  const packet = make.ipv4({ source: STRANGER, destination: WAN1, ttl: 1 }, make.udp({ sourcePort: 9999, destinationPort: 5000 }));
  const [error] = r.refused('TTL', 'wan1', packet);
  // Quoted as it was received: nobody outside learns of the inside address.
  assert.is(error.packet.subarray(28, 48).toString('hex'), packet.subarray(0, 20).toString('hex'));
  assert.is(r.flowCount, 1);
  lifetime(r, 400);
  assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 0);
});

// conforms: nat-refresh
test('refreshInbound: by default the far end prolongs a UDP flow, switched off only inside does (RFC 4787 REQ-6)', () => {
  for (const [refreshInbound, most] of [[true, 600], [false, 302]] as const) {
    const r = rig({ ...ONE, uplink: { refreshInbound } });
    r.from('lan', udpOut());
    let lived = 0;
    for (; lived < 600 && r.flowCount > 0; lived += 50) {
      r.advance(50_000, 1000);
      r.teach();
      if (r.flowCount > 0) r.from('wan1', udpIn(SERVER, 80));
    }
    if (refreshInbound) assert.is(lived, 600);
    else assert.ok(lived >= 300 && lived <= most + 50, `${lived}`);
    // From inside it is prolonged either way.
    const s = rig({ ...ONE, uplink: { refreshInbound } });
    for (let i = 0; i < 10; i++) {
      s.from('lan', udpOut());
      s.advance(100_000, 1000);
      s.teach();
    }
    assert.is(s.flowCount, 1);
  }
});

test('refreshInbound off: a stranger cannot keep open what he has opened, TCP is not concerned', () => {
  const r = rig({ ...ONE, uplink: { refreshInbound: false } });
  r.from('lan', udpOut());
  r.from('wan1', udpIn(STRANGER, 9999));
  for (let i = 0; i < 8; i++) {
    r.advance(50_000, 1000);
    r.teach();
    r.from('wan1', udpIn(STRANGER, 9999));
  }
  assert.is(r.flowCount, 0);
  r.from('lan', tcpOut('S'));
  r.advance(200_000, 1000);
  r.teach();
  r.from('wan1', tcpIn('SA', SERVER, 80));
  r.advance(200_000, 1000);
  assert.is(r.flowCount, 1);
});

test('the box’s own mappings are like any host’s', () => {
  const r = rig({ ...ONE, host: true });
  r.from('host', udpOut(5000, SERVER, 80, BOX));
  const [sent] = r.from('wan1', udpIn(STRANGER, 9999));
  assert.is(sent.link, 'host');
  expect(sent.packet, ipv4({ source: STRANGER, destination: BOX }), udp({ destinationPort: 5000 }));
});

test.run();
