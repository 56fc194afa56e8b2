/**
 * What becomes of the flows of an uplink that goes down, or that a better one relieves: row by row of onDown and onRecover, down to the bytes each
 * end is told by. One in tier 1, two in tier 2: all flows begin on wan1.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PortForwardPlan } from '../../src/base/plan.js';
import { readFates, SWEEP_FLOWS } from '../../src/stage/fate.js';
import type { FateFlow } from '../../src/stage/fate.js';
import type { Notice } from '../../src/stage/router.js';
import { UPLINK_FLOWS, UPLINK_PORTS_USED } from '../../src/table/counters.js';
import { HEADER_ENDED, HEADER_EXPIRED, HEADER_OPENED, WINDOW } from '../../src/table/flow.js';
import { Conversation } from '../support/conversation.js';
import { echo, ethernet, expect, icmpError, ipv4, tcp, udp, bytes } from '../support/expect.js';
import * as make from '../support/frames.js';
import { anySeed, bytesOf, check } from '../support/oracle/property.js';
import { BOX, GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';
import { runPair } from '../support/tcp-pair.js';
import type { End } from '../support/tcp-pair.js';

const TIERS: RigOptions = { group: { tiers: [1, 2] } };
const CLIENT = '198.51.100.77';

type FateNotice = Extract<Notice, { event: 'fate' }>;
const fates = (r: Rig): FateNotice[] => r.notices.filter((notice) => notice.event === 'fate');
const told = (r: Rig, fate?: FateNotice['fate']): FateFlow[] => fates(r).filter((notice) => fate === undefined || notice.fate === fate).flatMap(({ flows }) => readFates(flows));
const failovers = (r: Rig) => r.notices.filter((notice) => notice.event === 'failover');
const withGroup = (group: NonNullable<RigOptions['group']>, more: RigOptions = {}): Rig => rig({ ...more, group: { tiers: [1, 2], ...group } });
const resetsTo = (sent: Sent[], link: LinkName): Sent[] => sent.filter((one) => one.link === link && one.packet[9] === 6 && (one.packet[33] & make.FLAG.R) !== 0);
const ip = (sent: Sent[]): Sent[] => sent.filter((one) => !one.isArp);

/** An uplink's state as a check tells it; what leaves because of it. */
function health(r: Rig, uplink: number, isHealthy: boolean): Sent[] {
  r.router.setUplinkHealth(uplink, isHealthy);
  return ip(r.run());
}

function down(r: Rig, link: LinkName): Sent[] {
  r.setUp(link, false);
  return ip(r.run());
}

/** The link comes back, and its gateway answers. */
function back(r: Rig, link: 'wan1' | 'wan2'): Sent[] {
  r.setUp(link, true);
  r.run();
  r.put(link, r.arpReply(link, GATEWAY, link === 'wan1' ? MAC.gateway1 : MAC.gateway2));
  return ip(r.run());
}

/** opened = living + expired + ended, and each uplink counts the flows that bear it. */
function addsUp(r: Rig): void {
  const { words } = r.router.flows;
  assert.is(words[HEADER_OPENED], r.flowCount + words[HEADER_EXPIRED] + words[HEADER_ENDED], 'opened = living + expired + ended');
}

const datagram = (port: number, destination = SERVER, source = PC1): Buffer => make.ipv4({ source, destination }, make.udp({ sourcePort: port, destinationPort: 53 }));
const syn = (port: number, source = PC1): Buffer => make.ipv4({ source, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 80, sequence: port }));

// conforms: fwd-loss
test('reset: an open TCP flow ends with a reset that bears the very number its inside end expects', () => {
  for (const cause of ['carrier', 'check', 'gateway'] as const) {
    const r = rig(TIERS);
    const t = new Conversation(r).open();
    t.say(0, 'PA', { length: 700 });
    t.say(1, 'PA', { length: 300 });
    t.say(0, 'A');
    const sent = cause === 'carrier' ? down(r, 'wan1') : cause === 'check' ? health(r, 0, false) : (() => {
      // Only wan1's gateway stays silent.
      r.advance(31_000, 1000);
      r.teachAll('wan2', 'lan');
      t.say(0, 'A');
      const all: Sent[] = [];
      for (let i = 0; i < 8 && r.flowCount > 0; i++) {
        all.push(...ip(r.advance(500)));
        r.teachAll('wan2', 'lan');
      }
      return all;
    })();
    assert.is(resetsTo(sent, 'lan').length, 1, cause);
    expect(resetsTo(sent, 'lan')[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1, ttl: 64, dontFragment: true }),
      tcp({ sourcePort: 80, destinationPort: 4000, sequence: t.next[1], acknowledgement: t.next[0], flags: 'RA' }));
    assert.equal(sent.filter((one) => one.link === 'wan1'), [], 'nothing leaves by the uplink that is down');
    assert.is(r.flowCount, 0);
    addsUp(r);
    assert.is(r.router.counters.uplink(0, UPLINK_FLOWS), 0);
    assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 0);
    assert.equal(told(r), [{ protocol: 6, source: PC1, sourcePort: 4000, destination: SERVER, destinationPort: 80, external: WAN1, externalPort: 4000, to: null }]);
    assert.equal(fates(r).map(({ uplink, fate, reason, total }) => [uplink, fate, reason, total]), [[0, 'reset', 'uplinkDown', 1]]);
    assert.equal(failovers(r).map(({ uplink, reason, reset, moved, kept, draining }) => [uplink, reason, reset, moved, kept, draining]), [[0, 'uplinkDown', 1, 0, 0, 0]]);
    // Whoever connects again is served at once, by the other uplink; the old flow's late segment by nobody.
    assert.is(r.from('lan', syn(4001))[0].link, 'wan2');
    const [again] = r.refused('MIDSTREAM', 'lan', t.packet(0, 'A'));
    expect(again.packet, ipv4({ destination: PC1 }), tcp({ sequence: t.next[1], flags: 'R' }));
  }
});

test('reset: with data under way both numbers are sent; one of them is the end’s, whichever arrived', () => {
  const r = rig(TIERS);
  const t = new Conversation(r).open();
  const acknowledged = t.next[1];
  t.say(1, 'PA', { length: 1000 });
  const sent = resetsTo(down(r, 'wan1'), 'lan');
  assert.equal(sent.map((one) => one.packet.readUInt32BE(24)).sort(), [acknowledged, acknowledged + 1000].sort());
});

test('reset: an opener that has no answer yet is refused by a reset that acknowledges its SYN', () => {
  const r = rig(TIERS);
  const t = new Conversation(r);
  t.say(0, 'S');
  const [sent] = resetsTo(down(r, 'wan1'), 'lan');
  expect(sent.packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ sequence: 0, acknowledgement: t.next[0], flags: 'RA' }));
  assert.is(r.flowCount, 0);
});

test('reset: what is over is ended in silence, and a SYN with its ports goes elsewhere', () => {
  const r = rig(TIERS);
  const t = new Conversation(r).open().close();
  assert.equal(down(r, 'wan1'), []);
  assert.is(r.flowCount, 0);
  assert.equal(failovers(r).map(({ reset }) => reset), [0], 'it is no flow that was reset');
  assert.equal(r.notices.filter(({ event }) => event === 'fate'), []);
  assert.is(t.say(0, 'S')[0].link, 'wan2');
});

test('reset: a flow without windows waits for its next segment, which is answered by its own numbers', () => {
  const r = rig(TIERS);
  const t = new Conversation(r).open();
  const at = r.router.flows.at(0);
  r.router.windows.give(r.router.flows.words[at + WINDOW]);
  r.router.flows.words[at + WINDOW] = -1;
  assert.equal(down(r, 'wan1'), []);
  assert.is(r.flowCount, 1);
  const [sent] = r.refused('MIDSTREAM', 'lan', t.packet(0, 'PA', { length: 10 }));
  expect(sent.packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ sequence: t.next[1], flags: 'R' }));
  assert.is(r.flowCount, 0);
  assert.is(told(r).length, 1);
  addsUp(r);
});

// conforms: fwd-loss
test('reset: UDP, echo and GRE get the ICMP error a connected socket takes as final, about a packet of their own', () => {
  const r = rig(TIERS);
  r.from('lan', datagram(5000));
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 77 })));
  r.from('lan', make.ipv4({ source: PC2, destination: SERVER, protocol: 47 }, Buffer.alloc(16, 1)));
  const sent = down(r, 'wan1');
  assert.is(sent.length, 3);
  assert.ok(sent.every((one) => one.link === 'lan'));
  const about = (protocol: number): Sent => sent.find((one) => one.packet[28 + 9] === protocol) as Sent;
  expect(about(17).frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 3 }),
    bytes(make.ipv4({ source: PC1, destination: SERVER, id: 0 }, make.udp({ sourcePort: 5000, destinationPort: 53, checksum: 'none', payload: Buffer.alloc(0) }))));
  expect(about(1).packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), ipv4({ source: PC1, destination: SERVER }), echo({ type: 'request', id: 77 }));
  expect(about(47).packet, ipv4({ source: LAN, destination: PC2 }), icmpError({ type: 3, code: 1 }), ipv4({ source: PC2, destination: SERVER, protocol: 47 }));
  assert.is(r.flowCount, 0);
  addsUp(r);
  // A datagram of the same socket opens a flow elsewhere.
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2');
});

test('reset: packets that come before the sweep meet the same fate, from either side, and are told of once', () => {
  for (const side of ['lan', 'wan1'] as const) {
    const r = rig(TIERS);
    const t = new Conversation(r).open();
    const expected = t.next[1];
    r.router.setUplinkHealth(0, false);
    const packet = side === 'lan' ? t.packet(0, 'PA', { length: 100 }) : t.packet(1, 'PA', { length: 100 });
    const sent = r.refused('FLOW_ENDED', side, packet);
    // From outside: the data was dropped, so its number is still what the end expects.
    assert.equal(resetsTo(sent, 'lan').map((one) => one.packet.readUInt32BE(24)), [expected]);
    assert.is(sent.length, 1);
    assert.is(r.flowCount, 0);
    assert.is(told(r).length, 1);
    assert.equal(failovers(r).map(({ reset }) => reset), [1]);
    addsUp(r);
  }
});

// conforms: fwd-all-down
test('nowhere better: nothing is killed; bound flows hear host unreachable, new ones net unreachable; the first link back serves, and the rest meets its fate', () => {
  const r = rig({ weights: [1, 1] });
  const links = new Map<number, LinkName>();
  for (let port = 6000; port < 6040; port++) links.set(port, r.from('lan', datagram(port))[0].link);
  const on1 = [...links].filter(([, link]) => link === 'wan1').map(([port]) => port);
  const on2 = [...links].filter(([, link]) => link === 'wan2').map(([port]) => port);
  // At once, with no turn between: at no moment was there anywhere to go.
  r.router.setUplinkHealth(1, false);
  r.router.setUplinkHealth(0, false);
  assert.equal(ip(r.run()), []);
  assert.is(r.flowCount, 40);
  assert.is(told(r).length, 0);
  for (const port of [on1[0], on2[0]]) {
    const [error] = r.refused('UPLINK_DOWN', 'lan', datagram(port));
    expect(error.packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(datagram(port)));
  }
  const [error] = r.refused('NO_UPLINK', 'lan', datagram(7000));
  expect(error.packet, ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 0 }), bytes(datagram(7000)));
  const sent = health(r, 1, true);
  assert.is(sent.length, on1.length, 'one error for each flow of the uplink that is still down');
  assert.is(r.flowCount, on2.length);
  assert.equal(told(r).map(({ sourcePort }) => sourcePort).sort(), on1.sort());
  for (const port of on2) assert.is(r.from('lan', datagram(port))[0].link, 'wan2');
  assert.is(r.from('lan', datagram(7000))[0].link, 'wan2');
  addsUp(r);
});

test('a drained uplink, or one without weight, is nowhere to go; drained by hand it keeps its flows', () => {
  for (const empty of [(r: Rig) => r.router.setUplinkDrained(1, true), (r: Rig) => r.router.setUplinkWeight(1, 0)]) {
    const r = rig(TIERS);
    r.from('lan', datagram(5000));
    empty(r);
    assert.equal(health(r, 0, false), []);
    assert.is(r.flowCount, 1);
    r.router.setUplinkDrained(1, false);
    r.router.setUplinkWeight(1, 1);
    assert.is(ip(r.run()).length, 1, 'somewhere to go again');
    assert.is(r.flowCount, 0);
  }
  const r = rig(TIERS);
  r.from('lan', datagram(5000));
  r.router.setUplinkDrained(0, true);
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan1');
  assert.is(r.from('lan', datagram(5001))[0].link, 'wan2');
  assert.is(told(r).length, 0);
  assert.equal(r.notices.filter((notice) => notice.event === 'uplink').at(-1), { event: 'uplink', uplink: 0, isUsable: false, reason: 'drained' });
});

test('keep: flows wait, are told of once, and go on with what they had when the uplink is back', () => {
  const r = withGroup({ onDown: 'keep' });
  const t = new Conversation(r).open();
  assert.equal(health(r, 0, false), []);
  r.refused('UPLINK_DOWN', 'lan', t.packet(0, 'A'));
  // Another change must not tell of it again.
  r.router.setUplinkHealth(1, false);
  r.run();
  r.router.setUplinkHealth(1, true);
  r.run();
  assert.equal(fates(r).map(({ fate, reason }) => [fate, reason]), [['kept', 'uplinkDown']]);
  assert.is(told(r).length, 1);
  health(r, 0, true);
  const [sent] = t.say(0, 'A');
  expect(sent.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1 }), tcp({ sourcePort: 4000 }));
  // What it answers from outside is let in all the while; and the next outage is told of anew.
  health(r, 0, false);
  assert.is(t.say(1, 'A')[0].link, 'lan');
  assert.is(told(r).length, 2);
  addsUp(r);
});

test('drain: flows go on over the sick uplink while it has carrier, new ones go elsewhere; without carrier they are reset', () => {
  const r = withGroup({ onDown: 'drain' });
  const t = new Conversation(r).open();
  assert.equal(health(r, 0, false), []);
  assert.is(t.say(0, 'PA', { length: 10 })[0].link, 'wan1');
  assert.is(t.say(1, 'PA', { length: 10 })[0].link, 'lan');
  t.say(0, 'A');
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2');
  assert.equal(fates(r).map(({ fate }) => fate), ['draining']);
  const [reset] = resetsTo(down(r, 'wan1'), 'lan');
  expect(reset.packet, ipv4({ destination: PC1 }), tcp({ sequence: t.next[1], flags: 'RA' }));
  assert.is(r.flowCount, 1);
  addsUp(r);
});

test('move: what is not translated goes on by another uplink with its windows; what is, is reset', () => {
  const r = withGroup({ onDown: 'move' }, { snat: [] });
  const t = new Conversation(r);
  const turned = (side: 0 | 1, flags: string, length = 0): Sent[] => {
    const packet = make.ipv4(side === 0 ? { source: PC1, destination: SERVER } : { source: SERVER, destination: PC1 }, make.tcp({
      sourcePort: side === 0 ? 4000 : 80, destinationPort: side === 0 ? 80 : 4000, sequence: t.next[side] >>> 0,
      acknowledgement: flags.includes('A') ? t.next[1 - side] >>> 0 : 0, flags, payload: make.filler(length),
    }));
    t.next[side] += length + (flags.includes('S') ? 1 : 0);
    return r.from(side === 0 ? 'lan' : r.router.uplinks[0].isUp ? 'wan1' : 'wan2', packet);
  };
  assert.is(turned(0, 'S')[0].link, 'wan1');
  turned(1, 'SA');
  turned(0, 'A');
  assert.equal(down(r, 'wan1'), []);
  assert.equal(told(r).map(({ source, sourcePort, to }) => [source, sourcePort, to]), [[PC1, 4000, 1]]);
  assert.equal(fates(r).map(({ fate, uplink }) => [fate, uplink]), [['moved', 0]]);
  const [there] = turned(0, 'PA', 100);
  assert.is(there.link, 'wan2');
  expect(there.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: PC1, destination: SERVER }), tcp({ sourcePort: 4000 }));
  assert.is(turned(1, 'A')[0].link, 'lan');
  assert.is(r.router.windows.strange, 0);
  assert.equal([0, 1].map((uplink) => r.router.counters.uplink(uplink, UPLINK_FLOWS)), [0, 1]);
  addsUp(r);

  const mixed = withGroup({ onDown: 'move' });
  mixed.from('lan', datagram(5000));
  assert.is(down(mixed, 'wan1').length, 1);
  assert.equal(fates(mixed).map(({ fate }) => fate), ['reset']);
});

test('move: never into an uplink that would translate it, or whose 1:1 rule would', () => {
  for (const second of [{ uplink: { snat: [] }, second: { snat: [WAN2] } }, { snat: [], plan: { oneToOne: [{ index: 0, name: 'pc1', uplink: 1, external: '192.168.201.50', internal: PC1 }] } }] satisfies RigOptions[]) {
    const r = withGroup({ onDown: 'move' }, second);
    assert.is(r.from('lan', datagram(5000))[0].link, 'wan1');
    assert.is(down(r, 'wan1').length, 1, 'told');
    assert.is(r.flowCount, 0);
    const [sent] = r.from('lan', datagram(5000));
    assert.is(sent.link, 'wan2');
    assert.is.not(make.formatAddress(sent.packet.subarray(12, 16)), PC1);
  }
  // A rule that leaves it alone on both is another matter.
  const r = withGroup({ onDown: 'move' }, { untranslated: [PC1], plan: { noNat: [{ index: 0, name: 'all', match: { from: ['192.168.0.0/24'] } }] } });
  r.from('lan', datagram(5000));
  assert.equal(down(r, 'wan1'), []);
  const [sent] = r.from('lan', datagram(5000));
  assert.is(sent.link, 'wan2');
  assert.is(make.formatAddress(sent.packet.subarray(12, 16)), PC1);
});

test('onRecover reset: flows on the backup end when the better uplink is back; their far end is told as well, by the uplink it knows', () => {
  const r = withGroup({ onRecover: 'reset' }, { separate: true });
  const BACKUP = '203.0.113.2';
  down(r, 'wan1');
  r.from('lan', syn(4000));
  const answer = (flags: string, sequence: number): Buffer => make.ipv4({ source: SERVER, destination: BACKUP }, make.tcp({ sourcePort: 80, destinationPort: 4000, sequence, acknowledgement: 4001, flags }));
  r.from('wan2', answer('SA', 900));
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, sequence: 4001, acknowledgement: 901, flags: 'A' })));
  r.from('lan', datagram(5000));
  const sent = back(r, 'wan1');
  const [inside] = resetsTo(sent, 'lan');
  expect(inside.packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ sourcePort: 80, destinationPort: 4000, sequence: 901, acknowledgement: 4001, flags: 'RA' }));
  const [outside] = resetsTo(sent, 'wan2');
  expect(outside.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: BACKUP, destination: SERVER }),
    tcp({ sourcePort: 4000, destinationPort: 80, sequence: 4001, acknowledgement: 901, flags: 'RA' }));
  const errors = sent.filter((one) => one.packet[9] === 1);
  assert.equal(errors.map(({ link }) => link).sort(), ['lan', 'wan2']);
  expect((errors.find(({ link }) => link === 'wan2') as Sent).packet, ipv4({ source: BACKUP, destination: SERVER }), icmpError({ type: 3, code: 3 }),
    ipv4({ source: SERVER, destination: BACKUP }), udp({ sourcePort: 53, destinationPort: 5000, checksum: 'none' }));
  assert.is(sent.length, 4);
  assert.is(r.flowCount, 0);
  assert.equal([...new Set(fates(r).map(({ reason, uplink }) => `${reason} ${uplink}`))], ['betterUplink 1']);
  addsUp(r);
});

test('onRecover keep: flows on the backup stay to their end', () => {
  const r = rig(TIERS);
  down(r, 'wan1');
  r.from('lan', datagram(5000));
  assert.equal(back(r, 'wan1'), []);
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2');
  assert.is(r.from('lan', datagram(5001))[0].link, 'wan1');
  assert.is(told(r).length, 0);
});

test('onRecover drain: told of at once, reset when the time is up, spared when the better uplink goes away before', () => {
  const r = withGroup({ onRecover: 'drain', drainTimeout: 60 }, { timeouts: { neighbourReachable: 3600 } });
  down(r, 'wan1');
  r.from('lan', datagram(5000));
  assert.equal(back(r, 'wan1'), []);
  assert.equal(fates(r).map(({ fate, reason }) => [fate, reason]), [['draining', 'betterUplink']]);
  r.advance(50_000, 1000);
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2');
  health(r, 0, false);
  r.advance(20_000, 1000);
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2', 'nowhere better');
  health(r, 0, true);
  r.advance(59_000, 1000);
  assert.is(r.flowCount, 1, 'a whole drainTimeout again');
  const sent = ip(r.advance(1000));
  assert.equal(sent.map(({ link }) => link).sort(), ['lan', 'wan2']);
  assert.is(r.flowCount, 0);
  assert.is(fates(r).at(-1)?.reason, 'drainTimeout');
  assert.is(told(r, 'reset').length, 1);
  addsUp(r);
});

test('onRecover: what a policy prefers on the worse tier is no refugee and stays', () => {
  const r = withGroup({ onRecover: 'reset' }, { plan: { policies: [{ index: 0, name: 'voip', match: { destinationPorts: [{ first: 53, last: 53 }] }, group: 0, exclude: false, prefer: 1 }] } });
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2');
  health(r, 0, false);
  health(r, 0, true);
  assert.is(r.from('lan', datagram(5000))[0].link, 'wan2');
  assert.is(told(r).length, 0);
});

const FORWARD: PortForwardPlan = { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6], ports: { first: 80, last: 80 }, to: PC1, toPort: 8080 };

test('port-forwarded: reset towards the server inside when their uplink goes down; no new one comes in by it meanwhile', () => {
  const r = rig({ ...TIERS, plan: { portForwards: [FORWARD] } });
  const web = (flags: string, sequence: number, acknowledgement = 0, from = CLIENT): Buffer => make.ipv4({ source: from, destination: WAN1 },
    make.tcp({ sourcePort: 40_000, destinationPort: 80, flags, sequence, acknowledgement }));
  r.from('wan1', web('S', 100));
  r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 8080, destinationPort: 40_000, flags: 'SA', sequence: 700, acknowledgement: 101 })));
  r.from('wan1', web('A', 101, 701));
  const sent = health(r, 0, false);
  assert.is(sent.length, 1);
  expect(sent[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: CLIENT, destination: PC1 }),
    tcp({ sourcePort: 40_000, destinationPort: 8080, sequence: 101, acknowledgement: 701, flags: 'RA' }));
  assert.is(r.flowCount, 0);
  r.refused('UPLINK_DOWN', 'wan1', web('S', 100, 0, '198.51.100.78'));
  assert.is(r.flowCount, 0);
  health(r, 0, true);
  assert.is(r.from('wan1', web('S', 100, 0, '198.51.100.79'))[0].link, 'lan');
  addsUp(r);
});

test('hairpin flows, and what ends at the router, are nobody’s uplink’s: they go on', () => {
  const r = rig({ ...TIERS, host: true, plan: { portForwards: [FORWARD] } });
  const hairpin = make.ipv4({ source: PC2, destination: WAN1 }, make.tcp({ sourcePort: 40_000, destinationPort: 80 }));
  assert.is(r.from('lan', hairpin)[0].link, 'lan');
  const ssh = make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 41_000, destinationPort: 22, sequence: 1 }));
  assert.is(r.from('wan1', ssh)[0].link, 'host');
  assert.equal(health(r, 0, false), []);
  assert.is(r.from('lan', hairpin)[0].link, 'lan');
  const answer = make.ipv4({ source: WAN1, destination: CLIENT }, make.tcp({ sourcePort: 22, destinationPort: 41_000, flags: 'SA', sequence: 9, acknowledgement: 2 }));
  assert.is(r.from('host', answer)[0].link, 'wan1', 'who manages the router by it is not locked out');
  assert.is(told(r).length, 0);
});

test('flows of the box are reset like those of hosts inside', () => {
  const r = rig({ ...TIERS, host: true });
  r.from('host', make.ipv4({ source: BOX, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, sequence: 50 })));
  const sent = down(r, 'wan1');
  assert.equal(sent.map(({ link }) => link), ['host']);
  expect(sent[0].packet, ipv4({ source: SERVER, destination: BOX }), tcp({ acknowledgement: 51, flags: 'RA' }));
});

test('FTP: control and data flow are reset, what was expected is withdrawn, and never opens by another uplink', () => {
  const command = Buffer.from('PORT 192,168,0,4,200,13\r\n');
  for (const onDown of ['reset', 'keep'] as const) {
    const r = withGroup({ onDown });
    const t = new Conversation(r, { ports: [4000, 21] }).open();
    const control = make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 21, sequence: t.next[0], acknowledgement: t.next[1], flags: 'PA', payload: command }));
    const [edited] = r.from('lan', control);
    assert.is(r.router.expectations.count, 1);
    const port = r.router.counters.uplink(0, UPLINK_PORTS_USED);
    assert.ok(port >= 2, 'the data endpoint has a port');
    const text = edited.packet.subarray(40).toString('latin1');
    const [high, low] = text.trim().split(',').slice(-2).map(Number);
    const data = make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 20, destinationPort: high * 256 + low, sequence: 5 }));
    r.router.setUplinkHealth(0, false);
    if (onDown === 'reset') {
      // Before the sweep: the data connection is the first to hear of it, and nothing is expected any more.
      r.put('wan1', r.frame('wan1', data));
      const sent = ip(r.run());
      assert.equal(resetsTo(sent, 'lan').map((one) => one.packet.readUInt32BE(24)), [t.next[1]], 'the control flow');
      assert.is(r.router.expectations.count, 0);
      assert.is(r.flowCount, 0);
      assert.is(r.router.counters.uplink(0, UPLINK_PORTS_USED), 0);
    } else {
      r.run();
      r.refused('UPLINK_DOWN', 'wan1', data);
      assert.is(r.router.expectations.count, 1);
      health(r, 0, true);
      expect(r.from('wan1', data)[0].packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ destinationPort: 51_213 }));
    }
    addsUp(r);
  }
});

test('FTP: numbers that edits have shifted are each end’s own in its reset', () => {
  const external = '203.0.113.222';
  const r = withGroup({ onRecover: 'reset' }, { separate: true, second: { snat: [external] } });
  health(r, 0, false);
  const t = new Conversation(r, { ports: [4000, 21] });
  const from1 = (flags: string, acknowledgement: number, sequence = t.next[1]): Sent[] => r.from('wan2',
    make.ipv4({ source: SERVER, destination: external }, make.tcp({ sourcePort: 21, destinationPort: 4000, sequence, acknowledgement: acknowledgement >>> 0, flags })));
  t.say(0, 'S');
  from1('SA', t.next[0]);
  t.next[1]++;
  t.say(0, 'A');
  const command = Buffer.from('PORT 192,168,0,4,200,13\r\n');
  const [edited] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({
    sourcePort: 4000, destinationPort: 21, sequence: t.next[0], acknowledgement: t.next[1], flags: 'PA', payload: command,
  })));
  const length = edited.packet.length - 40;
  assert.is.not(length, command.length);
  from1('A', t.next[0] + length);
  const sent = health(r, 0, true);
  const wanted = (t.next[0] + length) >>> 0;
  assert.ok(resetsTo(sent, 'wan2').some((one) => one.packet.readUInt32BE(24) === wanted), 'the server’s next');
  assert.ok(resetsTo(sent, 'lan').some((one) => one.packet.readUInt32BE(24) === t.next[1] >>> 0), 'the client’s next');
});

test('more flows than a turn may touch: bounded per turn, no waiting between, each told of once', () => {
  const r = rig({ ...TIERS, limits: { flows: 4096, neighbourQueue: 64 } });
  const count = 3 * SWEEP_FLOWS + 7;
  for (let i = 0; i < count; i++) r.from('lan', datagram(10_000 + i));
  assert.is(r.flowCount, count);
  r.router.setUplinkHealth(0, false);
  let sent = 0;
  for (let turns = 0; r.router.fates.isPending; turns++) {
    assert.ok(turns < 100);
    assert.is(r.router.idleMs(1000), 0, 'the next turn follows at once');
    const before = r.flowCount;
    sent += ip(r.step()).length;
    assert.ok(before - r.flowCount <= SWEEP_FLOWS);
  }
  sent += ip(r.run()).length;
  assert.is(sent, count);
  assert.is(r.flowCount, 0);
  const ports = told(r).map(({ sourcePort }) => sourcePort);
  assert.is(new Set(ports).size, count);
  assert.is(ports.length, count);
  assert.equal(failovers(r).map(({ reset }) => reset), [count]);
  addsUp(r);
});

test('without room for what must be said a flow waits for the next turn', () => {
  const r = rig(TIERS);
  for (let i = 0; i < 10; i++) r.from('lan', datagram(5000 + i));
  r.router.setUplinkHealth(0, false);
  // The scratch region is used up by something else in this turn.
  r.exchange.turn(0);
  while (r.exchange.allocate(60_000) >= 0);
  while (r.exchange.allocate(60) >= 0);
  r.router.fates.sweep();
  assert.is(r.flowCount, 10);
  assert.is(r.router.fates.delayed, 1);
  assert.is(ip(r.run()).length, 10);
  assert.is(r.flowCount, 0);
  assert.is(told(r).length, 10);
});

test('what waits for its neighbour does not leave by an uplink that has gone down meanwhile', () => {
  const r = rig({ ...TIERS, neighbours: false });
  r.put('lan', r.frame('lan', datagram(5000)));
  r.run();
  assert.is(r.verdict('lan', 'HELD'), 1);
  r.router.setUplinkHealth(0, false);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  const sent = ip(r.run());
  assert.equal(sent.filter(({ link }) => link === 'wan1'), []);
  assert.is(r.verdict('lan', 'UPLINK_DOWN'), 1);
  assert.is(r.verdict('lan', 'HELD'), 0);
});

test('whatever is under way, lost, out of order: both ends of a connection accept a reset, or ask back and then do', () => {
  check(fc.property(anySeed, fc.integer({ min: 0, max: 400 }), fc.boolean(), (seed, steps, isRecover) => {
    const r = rig({ seed: 1, separate: true, group: { tiers: isRecover ? [2, 1] : [1, 2], onRecover: 'reset' }, limits: { icmpErrorsPerDestination: 1000 } });
    if (isRecover) r.router.setUplinkHealth(1, false);
    r.run();
    let left = steps;
    const { client, server } = runPair(r, {
      client: { link: 'lan', address: PC1, port: 4000, peer: SERVER, peerPort: 80, data: Buffer.from(bytesOf(seed, 3000)) },
      server: { link: 'wan1', address: SERVER, port: 80, peer: '', peerPort: 0, data: Buffer.from(bytesOf(seed + 1, 3000)) },
      loss: 0.1, seed, until: () => left-- === 0,
    });
    if (client.isDone && server.isDone) return;
    r.router.setUplinkHealth(isRecover ? 1 : 0, isRecover);
    const sent = ip(r.run());
    assert.is(r.flowCount, 0);
    const accept = (end: End, link: LinkName): void => {
      for (let packets = resetsTo(sent, link).map(({ packet }) => packet), round = 0; ; round++) {
        const verdicts = packets.map((packet) => end.judgeReset(packet));
        if (verdicts.includes('reset')) return;
        assert.ok(verdicts.includes('challenge') && round < 2, `${link}: ${verdicts.join(' ')} to ${packets.length} resets`);
        packets = resetsTo(r.from(end.options.link, end.packet(end.next, 0, 'A')), link).map(({ packet }) => packet);
      }
    };
    accept(client, 'lan');
    if (isRecover) accept(server, 'wan1');
  }), 60);
});

test.run();
