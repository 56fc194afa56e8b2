/** Source validation per link (RFC 3704 §2): strict, feasible, off; and what no link lets through. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LinkPlan } from '../../src/base/plan.js';
import { ethernet, expect, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions } from '../support/rig.js';

type Mode = LinkPlan['sourceCheck'];
const GATEWAY2 = '203.0.113.1';
const from = (source: string, destination: string): Buffer => make.ipv4({ source, destination }, make.udp({ sourcePort: 9000, destinationPort: 9000 }));
const set = (link: LinkName, sourceCheck: Mode, options: RigOptions = {}): Rig => rig({ dmz: true, separate: true, ...options, link: { [link]: { sourceCheck } } });

/** What a packet from there is refused with, if it is by its source. */
function judged(r: Rig, link: LinkName, source: string, destination: string): string | null {
  const before = r.verdicts(link);
  r.from(link, from(source, destination));
  const after = r.verdicts(link);
  return ['SPOOFED_SOURCE', 'MARTIAN_SOURCE'].find((name) => after[name] > before[name]) ?? null;
}

// conforms: fwd-source
test('inside links are strict: only what the FIB has behind them', () => {
  const routes = [{ name: 'default', to: '0.0.0.0/0', group: 0 }, { name: 'behind', to: '172.16.0.0/12', via: '10.9.0.9' }];
  const r = set('dmz', 'strict', { routes });
  for (const [source, verdict] of [
    [DMZ_HOST, null], ['172.16.5.5', null], [PC1, 'SPOOFED_SOURCE'], [SERVER, 'SPOOFED_SOURCE'], [GATEWAY2, 'SPOOFED_SOURCE'],
  ] as const) assert.is(judged(r, 'dmz', source, PC1), verdict, source);
});

// conforms: fwd-source nat-overlap
test('an uplink that is feasible takes what any uplink of its group leads to, so that asymmetric paths live', () => {
  const r = set('wan1', 'feasible');
  for (const [source, verdict] of [
    [SERVER, null], [GATEWAY2, null], ['192.168.201.1', null], [PC1, 'SPOOFED_SOURCE'], [DMZ_HOST, 'SPOOFED_SOURCE'],
  ] as const) assert.is(judged(r, 'wan1', source, WAN1), verdict, source);
});

test('an uplink that is strict takes what the route leads out by it for, its group included', () => {
  const r = set('wan1', 'strict');
  for (const [source, verdict] of [
    [SERVER, null], ['192.168.201.1', null], [GATEWAY2, 'SPOOFED_SOURCE'], [PC1, 'SPOOFED_SOURCE'],
  ] as const) assert.is(judged(r, 'wan1', source, WAN1), verdict, source);
});

test('a source without a route: feasible on an uplink, never on a link that is strict', () => {
  const routes = [{ name: 'some', to: '198.51.0.0/16', group: 0 }];
  assert.is(judged(set('wan1', 'feasible', { routes }), 'wan1', '8.8.8.8', WAN1), null);
  assert.is(judged(set('wan1', 'strict', { routes }), 'wan1', '8.8.8.8', WAN1), 'SPOOFED_SOURCE');
  assert.is(judged(set('dmz', 'feasible', { routes }), 'dmz', '8.8.8.8', LAN), 'SPOOFED_SOURCE');
  assert.is(judged(set('dmz', 'off', { routes }), 'dmz', '8.8.8.8', LAN), null);
});

test('off: any source but our own, broadcasts and martians', () => {
  const r = set('lan', 'off');
  for (const [source, verdict] of [
    [SERVER, null], [DMZ_HOST, null], ['8.8.8.8', null], [LAN, 'MARTIAN_SOURCE'], [WAN1, 'MARTIAN_SOURCE'], ['192.168.0.255', 'MARTIAN_SOURCE'],
    ['127.0.0.1', 'MARTIAN_SOURCE'], ['0.0.0.1', 'MARTIAN_SOURCE'], ['224.0.0.1', 'MARTIAN_SOURCE'], ['240.0.0.1', 'MARTIAN_SOURCE'],
  ] as const) assert.is(judged(r, 'lan', source, PC2), verdict, source);
});

test('our own addresses are no source on any link, in any mode (RFC 1812 §5.3.7)', () => {
  for (const mode of ['strict', 'feasible', 'off'] as const) {
    for (const link of ['lan', 'wan1', 'dmz'] as const) assert.is(judged(set(link, mode), link, '203.0.113.2', LAN), 'MARTIAN_SOURCE', `${mode} ${link}`);
  }
});

test('the box may speak for whoever is behind it', () => {
  const r = rig({ host: true, link: { host: { sourceCheck: 'strict' } } });
  for (const source of [BOX, '172.20.0.5']) {
    const [sent] = r.from('host', from(source, PC1));
    expect(sent.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source, destination: PC1 }), udp());
  }
});

test('a known flow is no way around: its packets by another link are checked', () => {
  const r = rig({ dmz: true, weights: [1, 0] });
  const question = from(PC1, SERVER);
  r.from('lan', question);
  r.refused('SPOOFED_SOURCE', 'dmz', question);
  r.refused('SPOOFED_SOURCE', 'dmz', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 9000, destinationPort: 9000 })));
  const [back] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 9000, destinationPort: 9000 })));
  assert.is(back.link, 'lan', 'by the other uplink of the group it is feasible');
});

test('nor by the uplink whose address a flow bears that was turned back inside, or let in from there', () => {
  const r = rig({ dmz: true, separate: true, plan: { oneToOne: [{ index: 0, name: 'whole', uplink: 0, external: '192.168.201.50', internal: DMZ_HOST }] } });
  assert.is(r.from('lan', from(PC1, '192.168.201.50'))[0].link, 'dmz');
  assert.is(r.from('wan1', from(SERVER, '192.168.201.50'))[0].link, 'dmz');
  const before = r.verdicts('wan1').SPOOFED_SOURCE;
  // The hairpinned caller is seen with an address of the uplink.
  for (const to of [WAN1, SERVER]) assert.equal(r.from('wan1', from(DMZ_HOST, to)), []);
  assert.is(r.verdicts('wan1').SPOOFED_SOURCE, before + 2);
  assert.is(r.from('dmz', from(DMZ_HOST, WAN1))[0].link, 'lan');
  assert.is(r.from('dmz', from(DMZ_HOST, SERVER))[0].link, 'wan1');
});

test('fragments are checked before they may wait', () => {
  const r = rig({ dmz: true });
  const [first] = make.fragments(make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 9, destinationPort: 9, payload: make.filler(2000) })), [1480]);
  r.refused('SPOOFED_SOURCE', 'dmz', first);
  assert.is(r.router.fragments.count, 0);
});

test('what the router itself says about a source from elsewhere leaves an uplink with an address of that uplink', () => {
  const r = rig({ link: { lan: { sourceCheck: 'off' } } });
  const expired = make.ipv4({ source: '198.51.100.99', destination: SERVER, ttl: 1 }, make.udp({ sourcePort: 9000, destinationPort: 9000 }));
  const asked = make.ipv4({ source: '198.51.100.99', destination: LAN }, make.echoRequest({ id: 7 }));
  for (const packet of [expired, asked]) {
    const [said] = r.from('lan', packet);
    assert.ok(said.link === 'wan1' || said.link === 'wan2', said.link);
    expect(said.packet, ipv4({ source: said.link === 'wan1' ? WAN1 : WAN2, destination: '198.51.100.99' }));
  }
});

test.run();
