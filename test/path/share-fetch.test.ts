/** Packets of unknown flows wait for the store: what waits, for how long, and what becomes of it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HELD } from '../../src/table/elected.js';
import { ANSWER_FOUND, HeldFetches } from '../../src/table/held-fetch.js';
import { Packet } from '../../src/wire/packet.js';
import { Conversation } from '../support/conversation.js';
import { expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { PC1, PC2, SERVER, WAN1 } from '../support/rig.js';
import type { Sent } from '../support/rig.js';
import { Call, servers } from '../support/servers.js';
import { allWell, atRest, counted, onlyFlow, pair } from '../support/shared.js';
import type { Pair } from '../support/shared.js';

/** An address several instances translate to, in turn: a virtual router's. */
const COMMON = '192.168.201.90';
const vrrp = [{
  index: 0, name: 'outside', link: 1, id: 7, version: 3 as const, priority: 100, addresses: [{ address: COMMON, prefixLength: 24 }], advertIntervalMs: 1000, preempt: true, preemptDelayMs: 0, peers: [],
  checksum: 'pseudo-header' as const, virtualMac: false, accept: false, track: [], announcements: { count: 0, againMs: 0, refreshMs: 0 },
}];

const tcpPair = (options = {}): Pair & { talk: Conversation } => {
  const made = pair(options);
  const talk = new Conversation(made.a).open();
  made.pump.collect(made.a);
  made.pump.lose(made.b);
  talk.rig = made.b;
  return { ...made, talk };
};
const noArp = (sent: Sent[]): Sent[] => sent.filter(({ isArp }) => !isArp);

test('found: packets of either direction wait, the store is asked once for each, and all go on in order', () => {
  const { a, b, pump, talk } = tcpPair();
  for (let i = 0; i < 3; i++) assert.equal(talk.say(0, 'PA', { length: 10 + i }), []);
  assert.equal(talk.say(1, 'PA', { length: 100 }), []);
  assert.is(b.verdict('lan', 'HELD'), 3);
  assert.is(b.verdict('wan1', 'HELD'), 1);
  assert.is(counted(b, 'waiting'), 4);
  assert.is(pump.answer(b), 2);
  const sent = noArp(b.run());
  assert.equal(sent.map(({ link, packet }) => `${link} ${packet.length - 40}`), ['wan1 10', 'wan1 11', 'wan1 12', 'lan 100']);
  for (const one of sent.slice(0, 3)) expect(one.packet, ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 4000 }));
  assert.is(b.verdict('lan', 'HELD') + b.verdict('wan1', 'HELD'), 0);
  assert.is(b.router.fetches?.count, 0);
  assert.equal([counted(b, 'asked'), counted(b, 'found'), counted(b, 'waiting')], [2, 2, 0]);
  assert.not(onlyFlow(b).isReplica);
  allWell(a, b);
  atRest(a, b);
});

test('a record that comes by itself answers as well', () => {
  const { a, b, pump, talk } = tcpPair();
  talk.say(1, 'PA', { length: 100 });
  a.router.journal?.flow(0, 1, a.router.nowMs);
  pump.collect(a);
  pump.deliver(b);
  b.run();
  assert.is(b.verdict('wan1', 'HELD'), 0);
  assert.is(counted(b, 'found'), 1);
  atRest(a, b);
});

for (const policy of ['reset', 'drop', 'pickup'] as const) {
  test(`not found: what tcpMidstream says (${policy}), without waiting any longer or again`, () => {
    const { b, pump, talk, a } = tcpPair({ plan: { tcpMidstream: policy } });
    pump.records.clear();
    pump.aliases.clear();
    assert.equal(talk.say(0, 'PA', { length: 10 }), []);
    assert.is(pump.answer(b), 1);
    const sent = noArp(b.run());
    assert.is(counted(b, 'notFound'), 1);
    assert.is(b.verdict('lan', 'HELD'), 0);
    assert.is(pump.answer(b), 0);
    if (policy === 'reset') {
      assert.is(b.verdict('lan', 'MIDSTREAM'), 1);
      assert.is(sent[0].packet[33] & 4, 4);
    } else if (policy === 'drop') {
      assert.is(b.verdict('lan', 'MIDSTREAM_SILENT'), 1);
      assert.equal(sent, []);
    } else {
      assert.is(b.verdict('lan', 'SENT'), 1);
      assert.is(onlyFlow(b).isPublished, true);
    }
    atRest(a, b);
  });
}

test('time over: no answer ever came; a late one finds nobody', () => {
  const { a, b, pump, talk } = tcpPair();
  talk.say(0, 'PA', { length: 10 });
  b.advance(199);
  assert.is(b.verdict('lan', 'HELD'), 1);
  assert.ok(b.router.idleMs(1000) <= 1);
  b.advance(1);
  assert.equal([b.verdict('lan', 'HELD'), b.verdict('lan', 'MIDSTREAM')], [0, 1]);
  assert.is(counted(b, 'late'), 1);
  pump.answer(b);
  b.run();
  // The flow is known now all the same.
  assert.is(talk.say(0, 'PA', { length: 10 }).length, 1);
  atRest(a, b);
});

test('with the store away nothing waits, and what waited goes on', () => {
  const { a, b, pump, talk } = tcpPair();
  talk.say(0, 'PA', { length: 10 });
  pump.setStore(b, false);
  assert.is(b.verdict('lan', 'MIDSTREAM'), 1);
  talk.say(0, 'PA', { length: 10 });
  assert.is(b.verdict('lan', 'MIDSTREAM'), 2);
  pump.setStore(b, true);
  talk.say(0, 'PA', { length: 10 });
  assert.is(b.verdict('lan', 'HELD'), 1);
  b.advance(300);
  atRest(a, b);
});

test('no more than limits.heldFetches wait; one more is refused in silence', () => {
  const { a, b, pump, talk } = tcpPair({ limits: { heldFetches: 6 } });
  for (let i = 0; i < 3; i++) talk.say(0, 'PA', { length: 10 });
  for (let i = 0; i < 3; i++) talk.say(1, 'PA', { length: 10 });
  assert.equal(b.refused('FETCH_LIMIT', 'lan', segment(PC2, 4001)), []);
  assert.is(counted(b, 'refused'), 1);
  pump.answer(b);
  assert.is(noArp(b.run()).length, 6);
  assert.is(talk.say(0, 'PA', { length: 10 }).length, 1);
  atRest(a, b);
});

/** In the middle of a connection that nobody knows. */
const segment = (source: string, sourcePort: number): Buffer => make.ipv4({ source, destination: SERVER }, make.tcp({ sourcePort, destinationPort: 80, flags: 'PA', sequence: 1, acknowledgement: 1, payload: Buffer.alloc(10) }));

test('one source has half of the places at most, whatever flows it asks for; another one is served meanwhile', () => {
  const { a, b, pump, talk } = tcpPair({ limits: { heldFetches: 32 } });
  for (let i = 0; i < 16; i++) b.from('lan', segment(PC2, 1000 + i));
  assert.is(b.verdict('lan', 'HELD'), 16);
  for (let i = 16; i < 40; i++) assert.equal(b.refused('FETCH_LIMIT', 'lan', segment(PC2, 1000 + i)), []);
  talk.say(0, 'PA', { length: 10 });
  assert.is(b.verdict('lan', 'HELD'), 17);
  pump.answer(b);
  const sent = noArp(b.run());
  assert.equal(sent.filter(({ link }) => link === 'wan1').map(({ packet }) => packet.length - 40), [10]);
  assert.is(counted(b, 'found'), 1);
  // Its places are free again once it is known that nobody has these flows.
  for (let i = 0; i < 16; i++) b.from('lan', segment(PC2, 2000 + i));
  assert.is(b.verdict('lan', 'HELD'), 16);
  b.advance(300);
  assert.is(b.verdict('lan', 'HELD'), 0);
  atRest(a, b);
});

test('one link has three quarters of the places at most, however many sources its packets pretend to have', () => {
  const { a, b, pump, talk } = tcpPair({ limits: { heldFetches: 32 } });
  for (let i = 0; i < 24; i++) b.from('wan1', make.ipv4({ source: `203.0.113.${i + 1}`, destination: WAN1 }, make.tcp({ sourcePort: 80, destinationPort: 5000 + i, flags: 'PA', sequence: 1, acknowledgement: 1 })));
  assert.is(b.verdict('wan1', 'HELD'), 24);
  assert.equal(b.refused('FETCH_LIMIT', 'wan1', talk.packet(1, 'PA', { length: 10 })), []);
  talk.say(0, 'PA', { length: 10 });
  assert.is(b.verdict('lan', 'HELD'), 1);
  pump.answer(b);
  assert.is(noArp(b.run()).filter(({ link, packet }) => link === 'wan1' && packet.length === 50).length, 1);
  assert.is(talk.say(1, 'PA', { length: 10 }).length, 1);
  atRest(a, b);
});

test('with the journal full nobody hears the question: it is late at once', () => {
  const { a, b, talk } = tcpPair({ rings: 4096 });
  while ((b.router.journal?.refused ?? 0) === 0) b.router.journal?.ports(1, 2, 3);
  talk.say(0, 'PA', { length: 10 });
  assert.equal([b.verdict('lan', 'HELD'), b.verdict('lan', 'MIDSTREAM'), counted(b, 'late')], [0, 1, 1]);
  atRest(a, b);
});

test('what comes to a common address at a port nothing explains waits; what cannot be another\'s does not', () => {
  const { a, b, pump } = pair({ plan: { vrrp, ...servers({ addresses: COMMON, protocols: [17], ports: { first: 5353, last: 5353 }, realServers: [{ address: PC2 }] }) }, snat: [COMMON], host: true });
  for (const one of [a, b]) one.router.setHeld(0, HELD);
  const out = a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  expect(out[0].packet, ipv4({ source: COMMON }));
  pump.collect(a);
  pump.lose(b);
  const back = (port: number): Buffer => make.ipv4({ source: SERVER, destination: COMMON }, make.udp({ sourcePort: 53, destinationPort: port }));
  b.from('wan1', back(5000));
  b.from('wan1', make.ipv4({ source: SERVER, destination: COMMON }, make.echoReply({ id: 4000 })));
  assert.is(b.verdict('wan1', 'HELD'), 2);
  const before = b.verdict('wan1', 'HELD');
  // A service's port, a virtual server's, one's own address, an opening.
  b.from('wan1', back(53));
  b.from('wan1', back(5353));
  b.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 5000 })));
  b.from('wan1', make.ipv4({ source: SERVER, destination: COMMON }, make.tcp({ sourcePort: 53, destinationPort: 5000, flags: 'S' })));
  b.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 7000, destinationPort: 53 })));
  assert.is(counted(b, 'asked'), 2);
  assert.ok(b.verdict('wan1', 'HELD') >= before);
  assert.is(pump.answer(b), 2);
  const sent = noArp(b.run()).filter(({ link }) => link === 'lan');
  assert.is(sent.length, 1);
  expect(sent[0].packet, ipv4({ source: SERVER, destination: PC1 }));
  assert.is(b.verdict('wan1', 'STRAY_REPLY'), 1);
});

test('an answer to a service\'s port of a common address is fetched as well', () => {
  const { a, b, pump } = pair({ snat: [COMMON], plan: { vrrp } });
  for (const one of [a, b]) one.router.setHeld(0, HELD);
  const [sent] = a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 500, destinationPort: 500 })));
  const port = sent.packet.readUInt16BE(20);
  assert.ok(port >= 512 && port < 1024, `port ${port}`);
  pump.collect(a);
  pump.lose(b);
  b.from('wan1', make.ipv4({ source: SERVER, destination: COMMON }, make.udp({ sourcePort: 500, destinationPort: port })));
  assert.is(pump.answer(b), 1);
  const [back] = noArp(b.run());
  assert.is(back.link, 'lan');
  expect(back.packet, ipv4({ source: SERVER, destination: PC1 }));
  // Those below are the router's own services', and nobody's flow.
  b.from('wan1', make.ipv4({ source: SERVER, destination: COMMON }, make.udp({ sourcePort: 500, destinationPort: 511 })));
  assert.is(pump.answer(b), 0);
  atRest(a, b);
});

test('a virtual server\'s flow is fetched by its client\'s packet and by its server\'s', () => {
  for (const isClient of [true, false]) {
    const { a, b, pump } = pair({ plan: servers({ addresses: '192.168.201.80', realServers: [{ address: PC1 }, { address: PC2 }] }) });
    const call = new Call(a, { to: '192.168.201.80' });
    const server = call.open();
    pump.collect(a);
    pump.lose(b);
    call.rig = b;
    if (isClient) call.say('PA', 10);
    else call.answer('PA', 10);
    pump.answer(b);
    const [sent] = noArp(b.run());
    assert.is(sent.link, isClient ? 'lan' : 'wan1');
    assert.is(onlyFlow(b).server, server);
    atRest(a, b);
  }
});

test('fragments wait as the datagram they make', () => {
  const { a, b, pump, talk } = tcpPair();
  const whole = talk.packet(0, 'PA', { length: 1200 });
  whole.writeUInt16BE(0, 6);
  whole.writeUInt16BE(0, 10);
  whole.writeUInt16BE(~make.onesSum(whole.subarray(0, 20)) & 0xffff, 10);
  for (const piece of make.fragments(whole, [600])) assert.equal(b.from('lan', piece), []);
  assert.is(b.verdict('lan', 'HELD'), 2);
  pump.answer(b);
  assert.ok(noArp(b.run()).length >= 1);
  assert.equal([b.verdict('lan', 'HELD'), b.verdict('lan', 'SENT')], [0, 2]);
  atRest(a, b);
});

test('a token of before names nobody', () => {
  const fetches = new HeldFetches(4, 4, 100, 1);
  const p = new Packet(new ArrayBuffer(4096));
  const lay = (port: number): void => {
    Buffer.from(p.u8.buffer).set(make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })), 64);
    p.load(0, 64, 44, 0);
    p.parseIp();
    p.parseL4();
  };
  lay(1);
  const first = fetches.put(p, 0);
  assert.ok(fetches.isAsked);
  assert.is(fetches.put(p, 50), first);
  assert.not(fetches.isAsked);
  assert.is(fetches.put(p, 50), -1);
  assert.is(fetches.dueMs, 100);
  fetches.answer(first, true);
  for (const isLast of [false, true]) {
    assert.is(fetches.nextLength(0), 44);
    assert.is(fetches.load(p, 1024), ANSWER_FOUND);
    assert.is(fetches.isLast, isLast);
  }
  assert.is(fetches.nextLength(0), -1);
  lay(2);
  const second = fetches.put(p, 60);
  assert.is.not(second, first);
  for (const wrong of [first, -1, second + 1, 0x7fffffff]) fetches.answer(wrong, true);
  assert.is(fetches.nextLength(159), -1);
  assert.is(fetches.nextLength(160), 44);
  assert.is(fetches.dueMs, -Infinity);
});


test.run();
