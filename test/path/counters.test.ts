/** Every packet received is counted under exactly one verdict, on its own link; what is sent is counted too. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { V, VERDICTS } from '../../src/base/verdict.js';
import { RX_BYTES, RX_PACKETS, TX_BYTES, TX_ERRORS, TX_PACKETS } from '../../src/table/counters.js';
import * as make from '../support/frames.js';
import { GATEWAY, LAN, MAC, PC1, rig, SERVER, WAN1 } from '../support/rig.js';
import type { LinkName, RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const datagram = (fields: Partial<make.Ipv4Fields> = {}, port = 4000) => make.ipv4({ source: PC1, destination: SERVER, ...fields }, make.udp({ sourcePort: port, destinationPort: 80 }));

test('received and sent packets and bytes are counted per link', () => {
  const r = rig(ONE);
  const read = () => Object.fromEntries((['lan', 'wan1', 'wan2'] as LinkName[]).map((link) => [link, [RX_PACKETS, RX_BYTES, TX_PACKETS, TX_BYTES].map((c) => r.router.counters.link(r.index(link), c))]));
  const before = read();
  const frame = r.frame('lan', datagram());
  r.put('lan', frame);
  r.put('lan', Buffer.concat([frame, Buffer.alloc(6)]));
  r.run();
  const after = read();
  assert.equal(after.lan.map((n, i) => n - before.lan[i]), [2, 2 * frame.length + 6, 0, 0]);
  assert.equal(after.wan1.map((n, i) => n - before.wan1[i]), [0, 0, 2, 2 * frame.length]);
  assert.equal(after.wan2, before.wan2);
});

test('frames of many kinds on all links at once: each link’s verdicts are its own', () => {
  const r = rig(ONE);
  const before = { lan: r.verdicts('lan'), wan1: r.verdicts('wan1'), wan2: r.verdicts('wan2') };
  for (let i = 0; i < 5; i++) {
    r.put('lan', r.frame('lan', datagram({}, 4000 + i)));
    r.put('lan', r.frame('lan', datagram({ ttl: 1 })));
    r.put('lan', r.frame('lan', datagram({ checksum: 'wrong' })));
    r.put('wan1', r.frame('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.echoRequest({ id: i }))));
    r.put('wan1', r.arpRequest(GATEWAY, MAC.gateway1, '192.168.201.99'));
    r.put('wan2', r.frame('wan2', make.ipv4({ source: SERVER, destination: PC1 }, make.udp({ sourcePort: 1, destinationPort: 2 }))));
  }
  r.run();
  const changed = (link: 'lan' | 'wan1' | 'wan2') => {
    const after = r.verdicts(link);
    return Object.fromEntries(VERDICTS.filter((row) => after[row.name] !== before[link][row.name]).map((row) => [row.name, after[row.name] - before[link][row.name]]));
  };
  assert.equal(changed('lan'), { SENT: 5, IP_CHECKSUM: 5, TTL: 5 });
  assert.equal(changed('wan1'), { TAKEN: 5, ARP_IGNORED: 5 });
  assert.equal(changed('wan2'), { UNSOLICITED: 5 });
});

test('what the router makes itself is counted apart from the links', () => {
  const r = rig(ONE);
  const { counters } = r.router;
  const before = counters.verdict(-1, V.SENT);
  r.from('lan', datagram({ ttl: 1 }));
  r.from('lan', make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 1 })));
  assert.is(counters.verdict(-1, V.SENT) - before, 2);
});

test('a device that refuses a frame is counted, and the router goes on', () => {
  const r = rig(ONE);
  r.io.sendErrno.set(r.index('wan1'), 105);
  assert.equal(r.from('lan', datagram()), []);
  assert.is(r.router.counters.link(r.index('wan1'), TX_ERRORS), 1);
  r.io.sendErrno.clear();
  assert.is(r.from('lan', datagram()).length, 1);
  assert.is(r.router.counters.link(r.index('wan1'), TX_ERRORS), 1);
});

test('a full batch and more is taken turn by turn, in order', () => {
  const r = rig(ONE);
  for (let i = 0; i < 200; i++) r.put('lan', r.frame('lan', datagram({}, 10_000 + i)));
  assert.equal(r.run().map(({ packet }) => packet.readUInt16BE(20)), Array.from({ length: 200 }, (_, i) => 10_000 + i));
});

test('a flow counts packets and bytes in both directions', () => {
  const r = rig(ONE);
  r.from('lan', datagram());
  r.from('lan', datagram());
  r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000, payload: make.filler(100) })));
  const { flows } = r.router;
  const pair = (flows.at(0) + 32) / 2;
  assert.equal([...flows.doubles.subarray(pair, pair + 4)], [2, 88, 1, 128]);
});

test.run();
