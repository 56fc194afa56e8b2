/** Flows opened at one instance go on at another: the same external port, the same server, the same uplink; and what each instance counts. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernet, expect, ipv4, tcp, udp, echo } from '../support/expect.js';
import { Conversation } from '../support/conversation.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';
import { Pump } from '../support/share-pump.js';
import { Call, realServer, servers } from '../support/servers.js';
import { allWell, atRest, counted, flowsOf, onlyFlow, pair, RING_WORDS } from '../support/shared.js';

const FAR = '198.51.100.8';
const udpOut = (port: number, destination = SERVER, farPort = 53): Buffer => make.ipv4({ source: PC1, destination }, make.udp({ sourcePort: port, destinationPort: farPort }));
const udpBack = (port: number, source = SERVER, farPort = 53): Buffer => make.ipv4({ source, destination: WAN1 }, make.udp({ sourcePort: farPort, destinationPort: port }));
const portOf = (packet: Buffer): number => packet.readUInt16BE(20);

// conforms: ha-takeover
test('a TCP flow by SNAT goes on at the other instance, in both directions, with the same port', () => {
  const { a, b, pump } = pair();
  const talk = new Conversation(a).open();
  talk.say(0, 'PA', { length: 100 });
  pump.flow();
  assert.equal({ ...onlyFlow(b), flow: 0 }, { ...onlyFlow(a), flow: 0, isReplica: true, isPublished: false });
  assert.is(counted(b, 'replicas'), 1);
  talk.rig = b;
  const [there] = talk.say(0, 'PA', { length: 200 });
  expect(there.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 4000, destinationPort: 80 }));
  const [back] = talk.say(1, 'PA', { length: 300 });
  expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ sourcePort: 80, destinationPort: 4000 }));
  assert.is(counted(b, 'replicas'), 0);
  assert.is(onlyFlow(b).state, 'established');
  talk.close();
  assert.is(onlyFlow(b).state, 'time-wait');
  pump.flow();
  assert.is(onlyFlow(a).state, 'time-wait');
  allWell(a, b);
  atRest(a, b);
});

test('the answer may be the first that comes to the other instance', () => {
  const { a, b, pump } = pair();
  const talk = new Conversation(a).open();
  pump.flow();
  talk.rig = b;
  const [back] = talk.say(1, 'PA', { length: 300 });
  assert.is(back.link, 'lan');
  expect(back.packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ destinationPort: 4000 }));
  atRest(a, b);
});

test('the port is the one the flow has, also where it would have been another one here', () => {
  const { a, b, pump } = pair();
  // Two inside hosts with one port: one of them has another outside.
  a.from('lan', udpOut(5000));
  const [sent] = a.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  const port = portOf(sent.packet);
  assert.is.not(port, 5000);
  pump.flow();
  const [again] = b.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  assert.is(portOf(again.packet), port);
  // And nobody else gets it there.
  for (let i = 0; i < 50; i++) {
    const [other] = b.from('lan', make.ipv4({ source: PC2, destination: FAR }, make.udp({ sourcePort: 6000 + i, destinationPort: 53 })));
    assert.ok(portOf(other.packet) !== port && portOf(other.packet) !== 5000);
  }
  allWell(a, b);
  atRest(a, b);
});

test('an endpoint-independent mapping serves new destinations and new far ends at the other instance', () => {
  const { a, b, pump } = pair();
  const [first] = a.from('lan', udpOut(5000));
  pump.flow();
  const [second] = b.from('lan', udpOut(5000, FAR, 54));
  assert.is(portOf(second.packet), portOf(first.packet));
  const [inward] = b.from('wan1', udpBack(portOf(first.packet), '198.51.100.9', 55));
  assert.is(inward.link, 'lan');
  expect(inward.packet, ipv4({ destination: PC1 }), udp({ destinationPort: 5000 }));
  pump.flow();
  assert.is(flowsOf(a).length, 3);
  // The flow that was let in holds the mapping there as well.
  const [answer] = a.from('lan', make.ipv4({ source: PC1, destination: '198.51.100.9' }, make.udp({ sourcePort: 5000, destinationPort: 55 })));
  expect(answer.packet, ipv4({ source: WAN1 }), udp({ sourcePort: portOf(first.packet) }));
  allWell(a, b);
  atRest(a, b);
});

for (const mapping of ['endpoint-independent', 'address-and-port-dependent'] as const) {
  test(`permissions, limits and dependent mappings go with their flows: ${mapping}`, () => {
    const { a, b, pump } = pair({ uplink: { mapping, filtering: mapping === 'endpoint-independent' ? 'address-dependent' : 'endpoint-independent' }, limits: { flowsPerSource: 3, portsPerSource: 100 } });
    const [sent] = a.from('lan', udpOut(5000));
    pump.flow();
    assert.is(b.router.mappings.sourceFlows.size, 1);
    const [inward] = b.from('wan1', udpBack(portOf(sent.packet), SERVER, 99));
    assert.is(inward.link, 'lan');
    pump.flow();
    assert.is(flowsOf(a).length, 2);
    if (mapping === 'endpoint-independent') assert.equal(b.from('wan1', udpBack(portOf(sent.packet), FAR)).filter(({ link }) => link === 'lan'), []);
    b.from('lan', udpOut(5001));
    b.refused('SOURCE_FLOWS', 'lan', udpOut(5002));
    pump.flow();
    allWell(a, b);
    atRest(a, b);
  });
}

test('an echo goes on with its identifier', () => {
  const { a, b, pump } = pair();
  const request = (id: number): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id }));
  const [sent] = a.from('lan', request(7));
  const id = sent.packet.readUInt16BE(24);
  pump.flow();
  const [reply] = b.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.echoReply({ id })));
  expect(reply.packet, ipv4({ destination: PC1 }), echo({ type: 'reply', id: 7 }));
  const [again] = b.from('lan', request(7));
  expect(again.packet, ipv4({ source: WAN1 }), echo({ id }));
  allWell(a, b);
  atRest(a, b);
});

test('a flow stays with its uplink and its address, whatever the other instance would choose', () => {
  const { a, b, pump } = pair({ separate: true, weights: [0, 1] }, { weights: [1, 0] });
  const out = (port: number): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 80 }));
  assert.is(a.from('lan', out(4000))[0].link, 'wan2');
  pump.flow();
  const [sent] = b.from('lan', out(4000));
  assert.is(sent.link, 'wan2');
  expect(sent.packet, ipv4({ source: '203.0.113.2' }), tcp({ sourcePort: 4000 }));
  assert.is(b.from('lan', out(4001))[0].link, 'wan1');
  atRest(a, b);
});

test('a replica whose uplink is down here meets its fate when it comes here, and not before', () => {
  const { a, b, pump } = pair({ separate: true, weights: [1, 1] });
  const talk = new Conversation(a);
  while (flowsOf(a).length === 0 || a.router.uplinks[0].isUsable === false) talk.open();
  pump.flow();
  const isFirst = onlyFlow(a).external.startsWith(WAN1);
  b.setUp(isFirst ? 'wan1' : 'wan2', false);
  b.run();
  assert.is(flowsOf(b).length, 1, 'it lives elsewhere');
  talk.rig = b;
  const sent = talk.say(0, 'PA', { length: 10 });
  assert.ok(sent.every(({ packet }) => packet[9] !== 6 || (packet[33] & 4) !== 0), 'nothing but resets');
  atRest(a, b);
});

const VIP = '192.168.201.80';
const farm = servers({ addresses: VIP, realServers: [{ address: PC1 }, { address: PC2 }], persistence: { timeout: 300, mask: 32 } });

// conforms: ha-takeover
test('a flow through a virtual server goes on with its real server, and counts for it', () => {
  const { a, b, pump } = pair({ plan: farm });
  const calls = [41_000, 41_001].map((port, i) => new Call(a, { to: VIP, port, client: `198.51.100.${70 + i}` }));
  const seen = calls.map((call) => call.open());
  assert.is(new Set(seen).size, 2);
  pump.flow();
  assert.is(realServer(b, PC1).active + realServer(b, PC2).active, 2);
  calls.forEach((call, i) => {
    call.rig = b;
    call.say('PA', 10);
    assert.is(call.server, seen[i]);
    call.answer('PA', 20);
    expect((call.toClient as NonNullable<typeof call.toClient>).packet, ipv4({ source: VIP }), tcp({ sourcePort: 80 }));
    call.close();
  });
  pump.flow();
  for (const one of [a, b]) assert.is(realServer(one, PC1).active + realServer(one, PC2).active, 0);
  allWell(a, b);
  atRest(a, b);
});

test('persistence: a client comes back to its server at the other instance, and at one that starts when its flows have ended', () => {
  const { a, b, pump } = pair({ plan: farm });
  new Call(a, { to: VIP, port: 1, client: '198.51.100.1' }).open();
  const call = new Call(a, { to: VIP, port: 2, client: '198.51.100.2' });
  const seen = call.open();
  pump.collect(a);
  pump.deliver(b);
  assert.is(new Call(b, { to: VIP, port: 3, client: '198.51.100.2' }).open(), seen);
  const short = new Call(a, { to: VIP, port: 4, client: '198.51.100.4' });
  const once = short.open();
  short.close();
  pump.flow();
  a.advance(200_000);
  assert.not([...pump.records.keys()].some((key) => key.startsWith('70')));
  pump.collect(a);
  assert.ok([...pump.records.keys()].some((key) => key.startsWith('70')), 'who has no flow any more is told of');
  const late = rig({ weights: [1, 0], rings: RING_WORDS, plan: farm });
  const loading = new Pump(late);
  pump.records.forEach((value, key) => loading.records.set(key, value));
  loading.load(late);
  assert.is(new Call(late, { to: VIP, port: 5, client: '198.51.100.4' }).open(), once);
  atRest(late);
  a.router.virtualServers.persistence.erase(null);
  pump.flow();
  assert.not([...pump.records.keys()].some((key) => key.startsWith('70')), 'a person has erased it');
  atRest(a, b);
});

test('affinity: who had an uplink has it at the other instance', () => {
  const group = { affinity: { by: 'source', timeout: 600 } } as const;
  const { a, b, pump } = pair({ separate: true, weights: [0, 1], group }, { weights: [1, 1] });
  a.from('lan', udpOut(5000));
  pump.flow();
  for (let port = 5001; port < 5020; port++) assert.is(b.from('lan', udpOut(port))[0].link, 'wan2');
  pump.flow();
  assert.is(a.router.affinity.count, 1);
  b.router.affinity.erase(null);
  pump.flow();
  assert.is(a.router.affinity.count, 0);
  atRest(a, b);
});

test('port forwards, hairpin, untranslated flows', () => {
  const forward = { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6], ports: { first: 8080, last: 8080 }, to: PC2, toPort: 80 };
  const { a, b, pump } = pair({ dmz: true, plan: { portForwards: [forward] } });
  const syn = (source: string, destination: string, destinationPort: number, flags = 'S'): Buffer => make.ipv4({ source, destination }, make.tcp({ sourcePort: 3000, destinationPort, flags, sequence: flags === 'S' ? 1000 : 1001 }));
  const play = (at: Rig, flags: string): void => {
    const [web] = at.from('wan1', syn(SERVER, WAN1, 8080, flags));
    expect(web.packet, ipv4({ destination: PC2 }), tcp({ destinationPort: 80 }));
    const [hairpin] = at.from('lan', syn(PC1, WAN1, 8080, flags));
    assert.is(hairpin.link, 'lan');
    expect(hairpin.packet, ipv4({ source: WAN1, destination: PC2 }), tcp({ destinationPort: 80, sourcePort: 3000 }));
    const [plain] = at.from('lan', syn(PC1, DMZ_HOST, 22, flags));
    assert.is(plain.link, 'dmz');
    expect(plain.packet, ipv4({ source: PC1, destination: DMZ_HOST }), tcp({ destinationPort: 22 }));
  };
  play(a, 'S');
  pump.flow();
  assert.is(flowsOf(b).length, 3);
  play(b, 'A');
  assert.is(flowsOf(b).length, 3);
  allWell(a, b);
  atRest(a, b);
});

test('what is the router\'s or the box\'s own is nobody else\'s business', () => {
  const { a, b, pump } = pair({ host: true });
  a.from('lan', make.ipv4({ source: PC1, destination: '192.168.0.1' }, make.tcp({ sourcePort: 3000, destinationPort: 22 })));
  a.from('host', make.ipv4({ source: WAN1, destination: SERVER }, make.tcp({ sourcePort: 3000, destinationPort: 443 })));
  assert.is(flowsOf(a).length, 2);
  pump.flow();
  assert.is(pump.records.size, 0);
  assert.is(flowsOf(b).length, 0);
  atRest(a, b);
});

test.run();
