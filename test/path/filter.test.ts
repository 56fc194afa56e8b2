/** Filter rules: order, fields, states, actions, rates, counters; and what holds where no rule decides. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { FilterRulePlan, MatchPlan, PortForwardPlan } from '../../src/base/plan.js';
import { FILTER_BYTES, FILTER_PACKETS } from '../../src/table/counters.js';
import { bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const CLIENT = '198.51.100.77';
type Rule = Partial<FilterRulePlan> & { match?: MatchPlan };
const rules = (...list: Rule[]): FilterRulePlan[] => list.map((rule, index) => ({ index, name: `r${index}`, match: {}, action: 'drop', ...rule }));
const one = (list: Rule[], options: RigOptions = {}): Rig => rig({ weights: [1, 0], dmz: true, ...options, plan: { filters: rules(...list), ...options.plan } });
const forward: PortForwardPlan = { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6, 17], ports: { first: 80, last: 80 }, to: PC1, toPort: 8080 };

const ask = (fields: { source?: string; destination?: string; sourcePort?: number; port?: number } = {}): Buffer =>
  make.ipv4({ source: fields.source ?? PC1, destination: fields.destination ?? SERVER }, make.udp({ sourcePort: fields.sourcePort ?? 5000, destinationPort: fields.port ?? 53 }));
const answer = (port = 5000, source = SERVER): Buffer => make.ipv4({ source, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: port }));
const hits = (r: Rig): number[] => r.router.plan.filters.map(({ index }) => r.router.counters.filter(index, FILTER_PACKETS));

test('drop is silent and opens no flow', () => {
  const r = one([{ match: { in: [0] } }]);
  assert.equal(r.refused('FILTER_DROP', 'lan', ask()), []);
  assert.is(r.flowCount, 0);
  assert.equal(hits(r), [1]);
  assert.is(r.router.counters.filter(0, FILTER_BYTES), 44);
});

test('reject answers a TCP segment by a reset, anything else by ICMP 3/13, about the packet as it was sent', () => {
  const r = one([{ match: { to: ['198.51.100.0/24'] }, action: 'reject' }]);
  const [reset] = r.refused('FILTER_REJECT', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 5000, destinationPort: 25, sequence: 77 })));
  expect(reset.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }),
    tcp({ sourcePort: 25, destinationPort: 5000, flags: 'RA', sequence: 0, acknowledgement: 78 }));
  const question = ask();
  const [error] = r.refused('FILTER_REJECT', 'lan', question);
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 13 }), bytes(question));
});

test('reject outside: of a forwarded port, by the external address', () => {
  const r = one([{ match: { in: [1] }, action: 'reject' }], { plan: { portForwards: [forward] } });
  const [reset] = r.refused('FILTER_REJECT', 'wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 5000, destinationPort: 80 })));
  expect(reset.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: CLIENT }), tcp({ sourcePort: 80, destinationPort: 5000, flags: 'RA' }));
  const question = ask({ source: CLIENT, destination: WAN1, port: 80 });
  const [error] = r.refused('FILTER_REJECT', 'wan1', question);
  expect(error.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 13 }), bytes(question));
  // To an inside address nothing may speak for it out there.
  const [plain] = r.refused('FILTER_REJECT', 'wan1', make.ipv4({ source: CLIENT, destination: PC1 }, make.tcp({ sourcePort: 5000, destinationPort: 80 })));
  expect(plain.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 13 }));
});

test('the first rule that matches decides', () => {
  const r = one([{ match: { to: [`${SERVER}/32`], destinationPorts: [{ first: 53, last: 53 }] }, action: 'accept' }, { match: { to: [`${SERVER}/32`] }, action: 'reject' }, { match: { from: [`${PC1}/32`] } }]);
  assert.is(r.from('lan', ask()).length, 1);
  r.refused('FILTER_REJECT', 'lan', ask({ port: 54 }));
  r.refused('FILTER_DROP', 'lan', ask({ destination: CLIENT }));
  assert.is(r.from('lan', ask({ source: PC2, destination: CLIENT })).length, 1);
  assert.equal(hits(r), [1, 1, 1]);
});

test('every field', () => {
  const cases: [MatchPlan, boolean][] = [
    [{}, true], [{ in: [0] }, true], [{ in: [1, 3] }, false], [{ in: [3, 0] }, true], [{ out: [1] }, true], [{ out: [2, 3] }, false],
    [{ from: ['192.168.0.0/24'] }, true], [{ from: ['192.168.1.0/24'] }, false], [{ from: ['10.0.0.0/8', '192.168.0.4/32', '172.16.0.0/12'] }, true],
    [{ from: ['10.0.0.0/8', '192.168.0.5/32', '224.0.0.0/3'] }, false], [{ from: ['0.0.0.0/0'] }, true],
    [{ to: ['198.51.100.7/32'] }, true], [{ to: ['198.51.100.0/29', '198.51.100.8/29'] }, true], [{ to: ['198.51.100.0/30', '198.51.100.8/29'] }, false],
    [{ protocols: [17] }, true], [{ protocols: [6] }, false], [{ protocols: [6, 1, 47, 17] }, true],
    [{ destinationPorts: [{ first: 53, last: 53 }] }, true], [{ destinationPorts: [{ first: 54, last: 65_535 }] }, false],
    [{ destinationPorts: [{ first: 80, last: 90 }, { first: 50, last: 60 }] }, true], [{ destinationPorts: [{ first: 1, last: 52 }, { first: 54, last: 60 }] }, false],
    [{ sourcePorts: [{ first: 0, last: 5000 }] }, true], [{ sourcePorts: [{ first: 1, last: 4999 }, { first: 5001, last: 5002 }] }, false],
    [{ in: [0], out: [1], from: ['192.168.0.4/32'], to: ['198.51.0.0/16'], protocols: [17], sourcePorts: [{ first: 5000, last: 5000 }], destinationPorts: [{ first: 53, last: 53 }] }, true],
  ];
  for (const [match, fits] of cases) {
    const r = one([{ match }]);
    assert.is(r.from('lan', ask()).length, fits ? 0 : 1, JSON.stringify(match));
    assert.equal(hits(r), [fits ? 1 : 0]);
  }
});

test('rules with ports fit nothing that has none; protocols are told apart by number', () => {
  const ports = one([{ match: { destinationPorts: [{ first: 0, last: 65_535 }] } }]);
  assert.is(ports.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 1 }))).length, 1);
  assert.is(ports.from('lan', make.ipv4({ source: PC1, destination: SERVER, protocol: 47 }, make.filler(30))).length, 1);
  const gre = one([{ match: { protocols: [47, 6] } }]);
  gre.refused('FILTER_DROP', 'lan', make.ipv4({ source: PC1, destination: SERVER, protocol: 47 }, make.filler(30)));
  assert.is(gre.from('lan', make.ipv4({ source: PC1, destination: SERVER, protocol: 50 }, make.filler(30))).length, 1);
  const icmp = one([{ match: { protocols: [1] } }]);
  icmp.refused('FILTER_DROP', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 1 })));
});

test('the destination is seen translated, the source not yet', () => {
  const inside = one([{ match: { in: [1], to: [`${PC1}/32`], destinationPorts: [{ first: 8080, last: 8080 }] } }], { plan: { portForwards: [forward] } });
  inside.refused('FILTER_DROP', 'wan1', ask({ source: CLIENT, destination: WAN1, port: 80 }));
  const external = one([{ match: { in: [1], to: [`${WAN1}/32`] } }, { match: { from: [`${WAN1}/32`] } }], { plan: { portForwards: [forward] } });
  assert.is(external.from('wan1', ask({ source: CLIENT, destination: WAN1, port: 80 }))[0].link, 'lan');
  assert.is(external.from('lan', ask())[0].link, 'wan1');
  assert.equal(hits(external), [0, 0]);
});

test('rules without states are about new flows: answers, later packets and ICMP errors pass', () => {
  const r = one([{ match: { in: [1] } }, { match: { from: [`${PC1}/32`], destinationPorts: [{ first: 54, last: 54 }] } }]);
  const [there] = r.from('lan', ask());
  assert.is(r.from('wan1', answer()).length, 1);
  assert.is(r.from('lan', ask()).length, 1);
  assert.is(r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.icmp({ type: 3, code: 3 }, there.packet))).length, 1);
  assert.equal(hits(r), [0, 0]);
});

test('established: asked once per flow and generation, as the flow was opened, whichever way the packet goes', () => {
  for (const first of ['there', 'back'] as const) {
    const r = one([{ match: { in: [0], out: [1], from: [`${PC1}/32`], to: [`${SERVER}/32`], destinationPorts: [{ first: 53, last: 53 }] }, states: ['established'] }]);
    assert.is(r.from('lan', ask()).length, 1, 'the packet that opens it is new');
    if (first === 'there') r.refused('FILTER_DROP', 'lan', ask());
    r.refused('FILTER_DROP', 'wan1', answer());
    r.refused('FILTER_DROP', 'lan', ask());
    assert.equal(hits(r), [first === 'there' ? 3 : 2], 'every packet refused is counted');
    assert.is(r.from('lan', ask({ source: PC2 })).length, 1);
    assert.is(r.from('lan', ask({ source: PC2 })).length, 1);
  }
});

test('established: what a rule accepts is counted once per flow, and rejects reset the connection', () => {
  const r = one([{ match: { destinationPorts: [{ first: 443, last: 443 }] }, states: ['established', 'new'], action: 'accept' }, { states: ['established'], match: { protocols: [6] }, action: 'reject' }]);
  const segment = (port: number, flags: string): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 5000, destinationPort: port, flags, sequence: 9, acknowledgement: 100 }));
  r.from('lan', segment(443, 'S'));
  for (let i = 0; i < 5; i++) assert.is(r.from('lan', segment(443, 'A')).length, 1);
  assert.equal(hits(r), [2, 0], 'as a new flow, and as an established one');
  r.from('lan', segment(25, 'S'));
  const [reset] = r.refused('FILTER_REJECT', 'lan', segment(25, 'A'));
  expect(reset.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ flags: 'R', sequence: 100 }));
  const [outside] = r.refused('FILTER_REJECT', 'wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 25, destinationPort: 5000, flags: 'A', acknowledgement: 55 })));
  expect(outside.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ flags: 'R', sequence: 55, sourcePort: 5000 }));
});

test('established: a flow whose entry is used again is asked about anew', () => {
  const r = one([{ match: { from: [`${PC1}/32`] }, states: ['established'] }], { timeouts: { udp: 10, udpReplied: 10 } });
  r.from('lan', ask());
  r.refused('FILTER_DROP', 'lan', ask());
  r.advance(12_000, 1000);
  r.teach();
  assert.is(r.flowCount, 0);
  r.from('lan', ask({ source: PC2 }));
  assert.is(r.from('lan', ask({ source: PC2 })).length, 1);
});

test('established: a new generation asks again', () => {
  const r = one([{ match: { from: [`${PC1}/32`] }, states: ['established'], action: 'accept' }]);
  for (let i = 0; i < 3; i++) r.from('lan', ask());
  assert.equal(hits(r), [1]);
  r.router.plan.generation++;
  for (let i = 0; i < 3; i++) r.from('wan1', answer());
  assert.equal(hits(r), [2]);
});

test('established: of a forwarded flow the inside address and port', () => {
  const r = one([{ match: { in: [1], out: [0], from: [`${CLIENT}/32`], to: [`${PC1}/32`], destinationPorts: [{ first: 8080, last: 8080 }] }, states: ['established'] }], { plan: { portForwards: [forward] } });
  const question = ask({ source: CLIENT, destination: WAN1, port: 80 });
  assert.is(r.from('wan1', question).length, 1);
  r.refused('FILTER_DROP', 'lan', make.ipv4({ source: PC1, destination: CLIENT }, make.udp({ sourcePort: 8080, destinationPort: 5000 })));
  r.refused('FILTER_DROP', 'wan1', question);
});

test('related: a flow that an ALG expects, which is not new', () => {
  const read = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 69, payload: Buffer.from('\0\x01file\0octet\0', 'latin1') }));
  const data = (): Buffer => make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 4000, destinationPort: 5000, payload: Buffer.from('\0\x03\0\x01data', 'latin1') }));
  const algs = [{ name: 'tftp' as const, ports: [69] }];
  const r = one([{ match: { in: [1] } }], { plan: { algs } });
  r.from('lan', read);
  r.refused('FILTER_DROP', 'wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 4000, destinationPort: 5000 })));
  assert.is(r.from('wan1', data())[0].link, 'lan');
  const closed = one([{ match: { in: [1], to: [`${PC1}/32`] }, states: ['related'] }], { plan: { algs } });
  closed.from('lan', read);
  closed.refused('FILTER_DROP', 'wan1', data());
});

test('related: ICMP errors, as they are here', () => {
  const r = one([{ match: { in: [1], to: [`${PC1}/32`], protocols: [1] }, states: ['related'] }, { match: { to: [`${PC2}/32`] }, states: ['related'], action: 'reject' }]);
  const error = (there: Buffer): Buffer => make.ipv4({ source: '203.0.113.99', destination: WAN1 }, make.icmp({ type: 11 }, there));
  assert.equal(r.refused('FILTER_DROP', 'wan1', error(r.from('lan', ask())[0].packet)), []);
  assert.equal(r.refused('FILTER_REJECT', 'wan1', error(r.from('lan', ask({ source: PC2 }))[0].packet)), [], 'no error about an error');
  assert.equal(hits(r), [1, 1]);
  assert.is(r.from('wan1', answer()).length, 1, 'the flow itself goes on');
});

test('what is for the router itself, and for the box, is filtered like anything else', () => {
  const r = one([{ match: { protocols: [1], in: [1] } }, { match: { in: [1], destinationPorts: [{ first: 22, last: 22 }] }, action: 'reject' }, { match: { out: [4], destinationPorts: [{ first: 23, last: 23 }] } }], { host: true });
  r.refused('FILTER_DROP', 'wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.echoRequest({ id: 5 })));
  expect(r.from('lan', make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 5 })))[0].frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN }), echo({ type: 'reply' }));
  const knock = (port: number): Buffer => make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 5, destinationPort: port }));
  const [reset] = r.refused('FILTER_REJECT', 'wan1', knock(22));
  expect(reset.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), tcp({ flags: 'RA', sourcePort: 22 }));
  r.refused('FILTER_DROP', 'wan1', knock(23));
  assert.is(r.from('wan1', knock(24))[0].link, 'host');
  assert.is(r.from('host', make.ipv4({ source: BOX, destination: PC1 }, make.udp({ sourcePort: 1, destinationPort: 2 })))[0].link, 'lan');
});

test('uninvited flows from an uplink: a rule must say from where or to where to let them in', () => {
  const knock = ask({ source: CLIENT, destination: PC1, port: 9 });
  for (const match of [{ in: [1] }, { to: ['192.168.0.0/24'] }]) {
    const [sent] = one([{ match, action: 'accept' }]).from('wan1', knock);
    expect(sent.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: CLIENT, destination: PC1 }), udp({ destinationPort: 9 }));
  }
  for (const list of [[], [{ action: 'accept' }], [{ match: { protocols: [17], destinationPorts: [{ first: 9, last: 9 }] }, action: 'accept' }]] as Rule[][]) {
    one(list).refused('UNSOLICITED', 'wan1', knock);
  }
  const second = one([{ match: { in: [1], from: ['198.51.100.0/24'] }, action: 'accept' }]);
  second.refused('UNSOLICITED', 'wan2', knock);
});

test('between inside links a rule holds in the direction it is written for', () => {
  const r = one([{ match: { in: [3], out: [0] }, action: 'reject' }]);
  r.refused('FILTER_REJECT', 'dmz', ask({ source: DMZ_HOST, destination: PC1 }));
  assert.is(r.from('lan', ask({ destination: DMZ_HOST }))[0].link, 'dmz');
  assert.is(r.from('dmz', make.ipv4({ source: DMZ_HOST, destination: PC1 }, make.udp({ sourcePort: 53, destinationPort: 5000 })))[0].link, 'lan', 'the answer is no new flow');
});

test('a rate in all: what is within it goes on to the next rules, what exceeds it matches', () => {
  const r = one([{ match: { in: [0] }, over: { perSecond: 2, burst: 3, by: 'rule' } }, { match: { from: [`${PC2}/32`] }, action: 'reject' }]);
  let port = 1000;
  const open = (source = PC1): number => r.from('lan', ask({ source, sourcePort: port++ })).filter((sent) => sent.link === 'wan1').length;
  assert.equal([open(), open(), open(), open(), open()], [1, 1, 1, 0, 0]);
  r.advance(500);
  assert.equal([open(), open()], [1, 0], 'half a second gives one');
  r.advance(500);
  r.refused('FILTER_REJECT', 'lan', ask({ source: PC2, sourcePort: port++ }));
  r.refused('FILTER_DROP', 'lan', ask({ source: PC2, sourcePort: port++ }));
  r.advance(60_000, 10_000);
  r.teach();
  assert.equal([open(), open(), open(), open()], [1, 1, 1, 0], 'never more than a burst');
});

test('a rate per source: nobody is held back by another', () => {
  const r = one([{ match: { in: [0] }, over: { perSecond: 1, burst: 2, by: 'source' }, action: 'reject' }]);
  for (let i = 1; i <= 3; i++) {
    for (const source of [PC1, PC2]) {
      const sent = r.from('lan', ask({ source, sourcePort: 1000 + i }));
      assert.is(sent[0].link, i <= 2 ? 'wan1' : 'lan', `${i} of ${source}`);
    }
  }
  assert.equal(hits(r), [2]);
});

test('a rate on established flows takes every packet, both ways, and goes on to the rules below', () => {
  const r = one([{ match: { from: [`${PC1}/32`] }, states: ['established'], over: { perSecond: 10, burst: 4, by: 'source' } }, { match: { protocols: [17] }, states: ['established'], action: 'accept' }]);
  r.from('lan', ask());
  for (const [link, packet] of [['lan', ask()], ['wan1', answer()], ['lan', ask()], ['wan1', answer()]] as const) assert.is(r.from(link, packet).length, 1);
  r.refused('FILTER_DROP', 'lan', ask());
  r.refused('FILTER_DROP', 'wan1', answer());
  assert.equal(hits(r), [2, 4], 'with a rate above it the second rule is asked each time');
  r.advance(100);
  assert.is(r.from('wan1', answer()).length, 1);
  r.refused('FILTER_DROP', 'wan1', answer());
});

test('a super-frame takes as many tokens as it has segments', () => {
  const r = one([{ match: { in: [0] }, states: ['established'], over: { perSecond: 1, burst: 10, by: 'rule' } }]);
  const segment = (bytesLong: number, flags = 'A'): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 5, destinationPort: 80, flags, payload: make.filler(bytesLong) }));
  const vnet = make.vnet({ gso: 'tcp', segmentBytes: 1000, needsChecksum: false, headerLength: 54 });
  r.from('lan', segment(0, 'S'));
  assert.ok(r.from('lan', segment(8000), { vnet }).length > 0);
  assert.ok(r.from('lan', segment(2000), { vnet }).length > 0);
  r.refused('FILTER_DROP', 'lan', segment(10));
});

test('a thousand rules: the one that fits is found, wherever it stands', () => {
  const list = Array.from({ length: 1000 }, (_, i): Rule => ({ match: { to: [`10.${i >> 8}.${i & 255}.0/24`], protocols: [i % 2 ? 17 : 6] } }));
  list.push({ match: { to: ['10.3.0.0/16'] }, action: 'reject' });
  const r = one(list);
  for (const i of [1, 501, 999]) {
    r.refused('FILTER_DROP', 'lan', ask({ destination: `10.${i >> 8}.${i & 255}.9` }));
    assert.is(r.router.counters.filter(i, FILTER_PACKETS), 1);
  }
  r.refused('FILTER_REJECT', 'lan', ask({ destination: '10.3.2.9' }));
  assert.is(r.router.counters.filter(1000, FILTER_PACKETS), 1);
  assert.is(r.from('lan', ask()).length, 1);
});

test('fragments: a datagram is judged once, whole, and counted with all its pieces', () => {
  const r = one([{ match: { destinationPorts: [{ first: 53, last: 53 }] } }]);
  const whole = make.ipv4({ source: PC1, destination: SERVER, id: 3 }, make.udp({ sourcePort: 1, destinationPort: 53, payload: make.filler(2000) }));
  for (const piece of make.fragments(whole, [1480])) assert.equal(r.from('lan', piece), []);
  assert.is(r.verdict('lan', 'FILTER_DROP'), 2);
  assert.equal(hits(r), [2]);
});

test.run();
