/** No-NAT exceptions: flows that leave an uplink untranslated, their answers, and everything else still translated. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { MatchPlan } from '../../src/base/plan.js';
import { UPLINK_FLOWS, UPLINK_RX_PACKETS } from '../../src/table/counters.js';
import { echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { GATEWAY, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const BRANCH = '198.51.100.9';
const noNat = (...matches: MatchPlan[]): { noNat: { index: number; name: string; match: MatchPlan }[] } =>
  ({ noNat: matches.map((match, index) => ({ index, name: `n${index}`, match })) });
const one = (match: MatchPlan, options: RigOptions = {}): Rig =>
  rig({ weights: [1, 0], untranslated: [PC1, PC2], ...options, plan: { ...noNat(match), ...options.plan } });

test('what matches leaves as it is, its answers come back as they are, the rest is translated', () => {
  const r = one({ to: ['198.51.100.8/29'] });
  const [there] = r.from('lan', make.ipv4({ source: PC1, destination: BRANCH }, make.tcp({ sourcePort: 500, destinationPort: 22 })));
  expect(there.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: PC1, destination: BRANCH, ttl: 63 }), tcp({ sourcePort: 500, destinationPort: 22 }));
  const [back] = r.from('wan1', make.ipv4({ source: BRANCH, destination: PC1 }, make.tcp({ sourcePort: 22, destinationPort: 500, flags: 'SA' })));
  expect(back.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: BRANCH, destination: PC1, ttl: 63 }), tcp({ sourcePort: 22, destinationPort: 500 }));
  assert.is(r.router.counters.uplink(0, UPLINK_FLOWS), 1);
  assert.is(r.router.counters.uplink(0, UPLINK_RX_PACKETS), 1);
  for (const destination of [SERVER, '198.51.100.16']) {
    const [other] = r.from('lan', make.ipv4({ source: PC1, destination }, make.tcp({ sourcePort: 500, destinationPort: 22 })));
    expect(other.frame, ethernet(), ipv4({ source: WAN1 }), tcp());
  }
});

test('only answers: what the far side opens is refused, unless a filter rule accepts it', () => {
  const r = one({ to: ['198.51.100.8/29'] });
  r.from('lan', make.ipv4({ source: PC1, destination: BRANCH }, make.udp({ sourcePort: 500, destinationPort: 22 })));
  r.refused('UNSOLICITED', 'wan1', make.ipv4({ source: BRANCH, destination: PC1 }, make.udp({ sourcePort: 22, destinationPort: 501 })));
  const open = one({ to: ['198.51.100.8/29'] }, { plan: { filters: [{ index: 0, name: 'branch', match: { in: [1], from: ['198.51.100.8/29'] }, action: 'accept' }] } });
  const [there] = open.from('wan1', make.ipv4({ source: BRANCH, destination: PC1 }, make.udp({ sourcePort: 22, destinationPort: 501 })));
  expect(there.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: BRANCH, destination: PC1 }), udp({ sourcePort: 22, destinationPort: 501 }));
  const [back] = open.from('lan', make.ipv4({ source: PC1, destination: BRANCH }, make.udp({ sourcePort: 501, destinationPort: 22 })));
  assert.is(back.link, 'wan1');
  expect(back.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: PC1, destination: BRANCH }), udp({ sourcePort: 501 }));
});

test('by every field of a match', () => {
  const cases: [MatchPlan, { source?: string; destination?: string; sourcePort?: number; destinationPort?: number }, boolean][] = [
    [{ from: [`${PC1}/32`] }, {}, true], [{ from: [`${PC1}/32`] }, { source: PC2 }, false],
    [{ from: ['10.0.0.0/8', '192.168.0.4/31'] }, { source: PC2 }, true], [{ from: ['10.0.0.0/8', '192.168.0.6/31'] }, { source: PC2 }, false],
    [{ protocols: [17] }, {}, true], [{ protocols: [6, 47] }, {}, false],
    [{ destinationPorts: [{ first: 50, last: 53 }] }, {}, true], [{ destinationPorts: [{ first: 54, last: 60 }, { first: 1, last: 52 }] }, {}, false],
    [{ sourcePorts: [{ first: 500, last: 500 }] }, {}, true], [{ sourcePorts: [{ first: 500, last: 500 }] }, { sourcePort: 501 }, false],
    [{ in: [0] }, {}, true], [{ in: [1] }, {}, false], [{ out: [1] }, {}, true], [{ out: [2] }, {}, false], [{ out: [2, 1] }, {}, true], [{}, {}, true],
  ];
  for (const [match, { source = PC1, destination = SERVER, sourcePort = 500, destinationPort = 53 }, isExempt] of cases) {
    const [sent] = one(match).from('lan', make.ipv4({ source, destination }, make.udp({ sourcePort, destinationPort })));
    assert.is(make.formatAddress(sent.packet.subarray(12, 16)), isExempt ? source : WAN1, JSON.stringify(match));
  }
});

test('protocols without ports, and pings', () => {
  const r = one({ protocols: [1, 47], to: [`${BRANCH}/32`] });
  const [ping] = r.from('lan', make.ipv4({ source: PC1, destination: BRANCH }, make.echoRequest({ id: 7 })));
  expect(ping.frame, ethernet(), ipv4({ source: PC1 }), echo({ id: 7 }));
  const [pong] = r.from('wan1', make.ipv4({ source: BRANCH, destination: PC1 }, make.echoReply({ id: 7 })));
  expect(pong.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: BRANCH, destination: PC1 }), echo({ id: 7 }));
  const [gre] = r.from('lan', make.ipv4({ source: PC2, destination: BRANCH, protocol: 47 }, make.filler(20)));
  expect(gre.frame, ethernet(), ipv4({ source: PC2, protocol: 47 }));
  const [esp] = r.from('lan', make.ipv4({ source: PC2, destination: BRANCH, protocol: 50 }, make.filler(20)));
  expect(esp.frame, ethernet(), ipv4({ source: WAN1, protocol: 50 }));
});

test('an ICMP error about such a flow reaches its sender unchanged', () => {
  const r = one({ to: [`${BRANCH}/32`] });
  const [there] = r.from('lan', make.ipv4({ source: PC1, destination: BRANCH }, make.udp({ sourcePort: 500, destinationPort: 53 })));
  const [error] = r.from('wan1', make.ipv4({ source: GATEWAY, destination: PC1 }, make.icmp({ type: 3, code: 1 }, there.packet)));
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: GATEWAY, destination: PC1 }), icmpError({ type: 3, code: 1 }),
    ipv4({ source: PC1, destination: BRANCH }), udp({ sourcePort: 500 }));
});

test('it goes before a 1:1 rule', () => {
  const r = one({ to: [`${BRANCH}/32`] }, { plan: { oneToOne: [{ index: 0, name: 'pc1', uplink: 0, external: '192.168.201.50', internal: PC1 }] } });
  const to = (destination: string): Buffer => r.from('lan', make.ipv4({ source: PC1, destination }, make.udp({ sourcePort: 5, destinationPort: 53 })))[0].frame;
  expect(to(BRANCH), ethernet(), ipv4({ source: PC1 }), udp());
  expect(to(SERVER), ethernet(), ipv4({ source: '192.168.201.50' }), udp());
});

test('only the uplink it names', () => {
  const r = rig({ weights: [0, 1], untranslated: [PC1], plan: noNat({ out: [1] }) });
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5, destinationPort: 53 })));
  assert.is(sent.link, 'wan2');
  expect(sent.frame, ethernet(), ipv4({ source: WAN2 }), udp());
});

test('an answer of an untranslated flow that comes back by the other uplink finds it', () => {
  const r = one({ to: [`${BRANCH}/32`] });
  r.from('lan', make.ipv4({ source: PC1, destination: BRANCH }, make.udp({ sourcePort: 5, destinationPort: 53 })));
  const [back] = r.from('wan2', make.ipv4({ source: BRANCH, destination: PC1 }, make.udp({ sourcePort: 53, destinationPort: 5 })));
  expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: BRANCH, destination: PC1 }), udp());
});

test.run();
