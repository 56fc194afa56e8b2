/** Probes the router makes itself, and what the box sends by an uplink of its choice: by the uplink under test whatever else is said, recognised exactly. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { UplinkPlan } from '../../src/base/plan.js';
import { PROBES_MAX } from '../../src/stage/probe.js';
import type { ProbeOutcome, ProbeRequest } from '../../src/stage/probe.js';
import { PROBES_REFUSED, UPLINK_RX_BYTES, UPLINK_RX_PACKETS, UPLINK_TX_BYTES, UPLINK_TX_PACKETS } from '../../src/table/counters.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { arp, bytes, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { check } from '../support/oracle/property.js';
import { BOX, DMZ, DMZ_HOST, GATEWAY, HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';

const HOP = '203.0.113.200';
const UDP_PORT = 33_434;
const PINS = ['169.254.119.1', '169.254.119.2'] as const;
const ID_AT = 24, SEQUENCE_AT = 26, COOKIE_AT = 28;

let lastId = 0;

/** Ask, and what leaves because of it; the probe's number is `lastId` then. */
function ask(r: Rig, fields: Partial<Omit<ProbeRequest, 'target'>> & { target?: string } = {}): Sent[] {
  const { target = SERVER, ...rest } = fields;
  r.router.probes.ask(++lastId, { uplink: 0, kind: 'icmp', port: UDP_PORT, ttl: 2, timeoutMs: 800, ...rest, target: parseIpv4(target) });
  return r.run();
}

const packets = (sent: Sent[]): Sent[] => sent.filter(({ isArp }) => !isArp);
const outcomes = (r: Rig): ProbeOutcome[] => r.notices.filter((notice) => notice.event === 'probe');
const last = (r: Rig): ProbeOutcome | undefined => outcomes(r).at(-1);
const good = (latencyMs = 0): ProbeOutcome => ({ event: 'probe', id: lastId, isOk: true, latencyMs, reason: null });
const bad = (reason: string): ProbeOutcome => ({ event: 'probe', id: lastId, isOk: false, latencyMs: null, reason });

/** The answer to an echo request as its target sends it. */
function replyTo(request: Buffer, change: { source?: string; destination?: string; id?: number; sequence?: number; payload?: Buffer; checksum?: 'wrong' } = {}): Buffer {
  return make.ipv4({ source: change.source ?? make.formatAddress(request.subarray(16, 20)), destination: change.destination ?? make.formatAddress(request.subarray(12, 16)) },
    make.echoReply({
      id: change.id ?? request.readUInt16BE(ID_AT), sequence: change.sequence ?? request.readUInt16BE(SEQUENCE_AT), payload: change.payload ?? Buffer.from(request.subarray(COOKIE_AT)),
      ...(change.checksum === undefined ? {} : { checksum: change.checksum }),
    }));
}

/** An ICMP error of a router on the way. */
function errorAbout(packet: Buffer, fields: { type: number; code?: number; source?: string; destination?: string }, quoted = packet.length): Buffer {
  return make.ipv4({ source: fields.source ?? HOP, destination: fields.destination ?? WAN1 }, make.icmp(fields, Buffer.from(packet.subarray(0, quoted))));
}

/** With the IP header's checksum made right again. */
function sealed(packet: Buffer): Buffer {
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(~make.onesSum(packet.subarray(0, 20)) & 0xffff, 10);
  return packet;
}

// ---- echo ----------------------------------------------------------------------------------------------------------------

const echoes = suite('probe: echo');

// conforms: fwd-probes
echoes('leaves by the uplink under test with its source, and its answer is told of and goes no further', () => {
  const r = rig();
  for (const [uplink, link, source, ours, gateway] of [[0, 'wan1', WAN1, MAC.wan1, MAC.gateway1], [1, 'wan2', WAN2, MAC.wan2, MAC.gateway2]] as const) {
    const [sent, ...more] = ask(r, { uplink });
    assert.equal([sent.link, more.length], [link, 0]);
    expect(sent.frame, ethernet({ source: ours, destination: gateway }), ipv4({ source, destination: SERVER, ttl: 64, dontFragment: true }), echo({ type: 'request' }));
    assert.is(last(r)?.id === lastId, false, 'nothing is told before the answer');
    r.clock.advance(12.3456);
    assert.equal(r.counted('TAKEN', link, () => r.from(link, replyTo(sent.packet))), []);
    assert.equal(last(r), good(12.346));
    assert.equal(r.refused('STRAY_REPLY', link, replyTo(sent.packet)), [], 'a second answer is nobody’s');
  }
  assert.is(r.flowCount, 0);
});

/** Whatever may keep hosts' flows from an uplink. */
const OBSTACLES: Record<string, { options?: RigOptions; hinder?: (r: Rig) => void }> = {
  'unhealthy': { hinder: (r) => r.router.setUplinkHealth(0, false) },
  'drained': { hinder: (r) => r.router.setUplinkDrained(0, true) },
  'weight 0': { options: { weights: [0, 1] } },
  'no routes at all': { options: { routes: [] } },
  'its route says blackhole': { options: { routes: [{ name: 'none', to: '198.51.100.0/24', refuse: 'blackhole' }, { name: 'default', to: '0.0.0.0/0', group: 0 }] } },
  'its route leads out by the other uplink': { options: { routes: [{ name: 'one-way', to: '198.51.100.0/24', via: '203.0.113.1', link: 2 }], separate: true } },
  'its target is in the network of the LAN': { options: { routes: [{ name: 'inside', to: '198.51.100.0/24', via: PC1, link: 0 }] } },
  'on a tier that is not in use': { options: { group: { tiers: [2, 1] } } },
  'a strict source check': { options: { routes: [{ name: 'one-way', to: '198.51.100.0/24', via: '203.0.113.1', link: 2 }], separate: true, link: { wan1: { sourceCheck: 'strict' } } } },
};

for (const [obstacle, { options = {}, hinder }] of Object.entries(OBSTACLES)) {
  // conforms: fwd-probes
  echoes(`is made and answered all the same: ${obstacle}`, () => {
    const r = rig(options);
    hinder?.(r);
    r.run();
    for (const kind of ['icmp', 'udp'] as const) {
      const [sent] = ask(r, { kind });
      assert.is(sent.link, 'wan1');
      expect(sent.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER }));
      r.counted('TAKEN', 'wan1', () => r.from('wan1', kind === 'icmp' ? replyTo(sent.packet) : errorAbout(sent.packet, { type: 3, code: 3, source: SERVER })));
      assert.equal(last(r), good());
    }
  });
}

echoes('question and answer count for the uplink alike, whatever kind the answer is of', () => {
  const r = rig();
  const counted = (): number[][] => [0, 1].map((uplink) => [UPLINK_TX_PACKETS, UPLINK_TX_BYTES, UPLINK_RX_PACKETS, UPLINK_RX_BYTES].map((counter) => r.router.counters.uplink(uplink, counter)));
  const none = [0, 0, 0, 0];
  const [sent] = ask(r);
  r.from('wan1', replyTo(sent.packet));
  assert.equal(counted(), [[1, 84, 1, 84], none]);
  r.from('wan1', replyTo(sent.packet));
  assert.equal(counted(), [[1, 84, 1, 84], none], 'nobody’s answer is not the uplink’s');
  const [datagram] = ask(r, { kind: 'udp', uplink: 1 });
  const error = errorAbout(datagram.packet, { type: 11, destination: WAN2 });
  r.from('wan2', error);
  assert.equal(last(r), good());
  assert.equal(counted()[1], [1, datagram.packet.length, 1, error.length]);
});

echoes('when all are answered nothing is due: the turns after their time sleep', () => {
  const r = rig();
  const [sent] = ask(r);
  r.from('wan1', replyTo(sent.packet));
  assert.equal(last(r), good());
  r.advance(900, 100);
  assert.is(r.router.probes.nextDueMs, Infinity);
  assert.ok(r.router.idleMs(1000) > 0);
  // One of two is answered: the other one's time still ends.
  const [one] = ask(r, { timeoutMs: 500 });
  ask(r, { timeoutMs: 700, uplink: 1 });
  r.from('wan1', replyTo(one.packet));
  assert.ok(r.router.idleMs(1000) > 0);
  r.advance(700, 100);
  assert.equal(last(r), bad('timed out'));
  assert.ok(r.router.idleMs(1000) > 0);
});

// conforms: fwd-probes
echoes('its answer vouches for the gateway: an uplink that was silent and answers again is not given up for a question of ARP lost in the silence', () => {
  const r = rig();
  const count = (): number => r.notices.filter((notice) => notice.event === 'uplink').length;
  r.advance(31_000, 1000);
  const before = count();
  // The silence begins: probes make the router ask for the gateway, and nobody answers either.
  ask(r);
  r.advance(2900, 100);
  assert.equal(last(r), bad('timed out'));
  // It is over, before the last question of ARP is given up.
  const [sent] = packets(ask(r));
  r.from('wan1', replyTo(sent.packet));
  assert.equal(last(r), good());
  r.advance(3000, 100);
  assert.is(count(), before, 'the uplink stays in use');
});

echoes('only the carrier binds it: without one it fails at once, and nothing leaves', () => {
  const r = rig();
  r.setUp('wan1', false);
  r.run();
  for (const kind of ['icmp', 'arp', 'udp'] as const) {
    assert.equal(ask(r, { kind }).filter(({ link }) => link === 'wan1'), []);
    assert.equal(last(r), bad('link wan1 is down'));
  }
  r.setUp('wan1', true);
  r.run();
  ask(r);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  const [sent] = packets(r.run());
  r.setUp('wan1', false);
  r.advance(800);
  assert.equal(last(r), bad('link wan1 is down'), 'nor is one waited for that was under way');
  assert.is(sent.link, 'wan1');
});

echoes('two uplinks ask one target, each by itself: an answer on the other’s link is no answer', () => {
  const r = rig();
  const [one] = ask(r, { uplink: 0 });
  const [two] = ask(r, { uplink: 1 });
  r.refused('STRAY_REPLY', 'wan2', replyTo(one.packet));
  r.refused('STRAY_REPLY', 'wan1', replyTo(two.packet));
  assert.equal(outcomes(r), []);
  r.from('wan2', replyTo(two.packet));
  assert.equal(outcomes(r), [good()]);
  r.from('wan1', replyTo(one.packet));
  assert.equal(outcomes(r).map(({ id, isOk }) => [id, isOk]), [[lastId, true], [lastId - 1, true]]);
});

echoes('its own network is asked directly, a far target through the gateway, and untranslated flows’ probes bear the link’s address', () => {
  const r = rig({ snat: [] });
  const asked = ask(r, { target: '192.168.201.77' });
  expect(asked[0].frame, ethernet({ destination: make.BROADCAST_MAC }), arp({ operation: 'request', sender: WAN1, target: '192.168.201.77' }));
  r.put('wan1', r.arpReply('wan1', '192.168.201.77', '02:00:00:00:77:77'));
  const [near] = packets(r.run());
  expect(near.frame, ethernet({ destination: '02:00:00:00:77:77' }), ipv4({ source: WAN1, destination: '192.168.201.77' }), echo());
  const [far] = ask(r);
  expect(far.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), echo());
  r.from('wan1', replyTo(far.packet));
  assert.equal(last(r), good());
  const pooled = rig({ snat: ['192.168.201.100', '192.168.201.101'] });
  const [sent] = ask(pooled);
  expect(sent.packet, ipv4({ source: '192.168.201.100' }), echo());
  pooled.from('wan1', replyTo(sent.packet));
  assert.equal(last(pooled), good());
});

echoes('waits for its neighbour here, not in a place of the hosts’, and asks for it by itself', () => {
  const r = rig({ neighbours: false, limits: { neighbourQueue: 0, heldPackets: 1 } });
  const sent = ask(r);
  assert.equal(sent.map(({ isArp, link }) => [isArp, link]), [[true, 'wan1']]);
  r.advance(300, 100);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  const [left] = packets(r.run());
  r.clock.advance(7);
  r.from('wan1', replyTo(left.packet));
  assert.equal(last(r), good(7), 'the wait for the neighbour is not the path’s latency');
});

echoes('a gateway that was given up is asked for again by every probe, and the first answer lets it through', () => {
  const r = rig({ neighbours: false });
  ask(r, { timeoutMs: 800 });
  r.advance(5000, 200);
  assert.equal(last(r), bad(`${GATEWAY} does not answer ARP`));
  for (let i = 0; i < 4; i++) {
    const sent = ask(r, { timeoutMs: 100 });
    assert.ok(sent.some(({ isArp, link }) => isArp && link === 'wan1'), `asked for probe ${i}`);
    r.advance(200, 100);
    assert.equal(last(r), bad(`${GATEWAY} does not answer ARP`));
  }
  ask(r);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  const [left] = packets(r.run());
  expect(left.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), echo());
});

echoes('time is over by the router’s clock: a late answer does not count', () => {
  const r = rig();
  const [sent] = ask(r, { timeoutMs: 250 });
  assert.is(r.router.idleMs(1000), 250, 'it wakes for it');
  r.advance(249);
  assert.equal(outcomes(r), []);
  r.advance(1);
  assert.equal(last(r), bad('timed out'));
  r.refused('STRAY_REPLY', 'wan1', replyTo(sent.packet));
  const [again] = ask(r, { timeoutMs: 250 });
  r.clock.advance(251);
  r.counted('TAKEN', 'wan1', () => r.from('wan1', replyTo(again.packet)));
  assert.equal(last(r), bad('timed out'), 'nor one that comes in the very turn in which its time is found to be over');
  assert.is(outcomes(r).length, 2);
});

echoes('an error about it is told of at once, with who sent it', () => {
  const r = rig();
  for (const [type, code, reason] of [[3, 1, `host unreachable from ${HOP}`], [3, 13, `communication administratively prohibited from ${HOP}`], [3, 11, `unreachable (code 11) from ${HOP}`], [11, 0, `time to live exceeded from ${HOP}`], [12, 0, `parameter problem from ${HOP}`]] as const) {
    for (const quoted of [28, 84]) {
      const [sent] = ask(r);
      r.clock.advance(2);
      r.counted('TAKEN', 'wan1', () => r.from('wan1', errorAbout(sent.packet, { type, code }, quoted)));
      assert.equal(last(r), bad(reason));
    }
  }
});

/** One thing about an answer that is not as it should be. */
const ODD_REPLIES: [string, (packet: Buffer) => Buffer][] = [
  ['another source', (packet) => replyTo(packet, { source: '198.51.100.8' })],
  ['another of our addresses', (packet) => replyTo(packet, { destination: LAN })],
  ['another identifier', (packet) => replyTo(packet, { id: packet.readUInt16BE(ID_AT) ^ 1 })],
  ['another sequence number', (packet) => replyTo(packet, { sequence: packet.readUInt16BE(SEQUENCE_AT) ^ 0x8000 })],
  ['the sequence number of another place', (packet) => replyTo(packet, { sequence: packet.readUInt16BE(SEQUENCE_AT) ^ 1 })],
  ['a wrong checksum', (packet) => replyTo(packet, { checksum: 'wrong' })],
  ['no payload', (packet) => replyTo(packet, { payload: Buffer.alloc(0) })],
  ['more payload', (packet) => replyTo(packet, { payload: Buffer.concat([packet.subarray(COOKIE_AT), Buffer.alloc(1)]) })],
  ...Array.from({ length: 8 }, (_, i): [string, (packet: Buffer) => Buffer] => [`byte ${i} of the cookie`, (packet) => {
    const payload = Buffer.from(packet.subarray(COOKIE_AT));
    payload[i] ^= 1;
    return replyTo(packet, { payload });
  }]),
];

for (const [what, odd] of ODD_REPLIES) {
  echoes(`is not answered by a reply with ${what}`, () => {
    const r = rig();
    const [sent] = ask(r);
    r.refused('STRAY_REPLY', 'wan1', odd(sent.packet));
    assert.equal(outcomes(r), []);
    r.from('wan1', replyTo(sent.packet));
    assert.equal(last(r), good());
  });
}

echoes('identifiers and ports of probes are no host’s, however scarce they are', () => {
  for (const kind of ['icmp', 'udp'] as const) {
    const r = rig({ weights: [1, 0], limits: { snatPortFirst: 2000, snatPortLast: 2007 }, uplink: { check: checkOf(kind) } });
    // The pools are empty when the first probe is asked for: what it needs was set aside before.
    const used = new Set<number>();
    const open = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const there = kind === 'icmp' ? make.echoRequest({ id: 3000 + i }) : make.udp({ sourcePort: 3000 + i, destinationPort: UDP_PORT });
        for (const { packet, link } of r.from('lan', make.ipv4({ source: PC1, destination: `198.51.100.${10 + (i % 40)}` }, there))) {
          if (link === 'wan1') used.add(packet.readUInt16BE(kind === 'icmp' ? ID_AT : 20));
        }
      }
    };
    open(200);
    const [sent] = ask(r, { kind });
    const own = sent.packet.readUInt16BE(kind === 'icmp' ? ID_AT : 20);
    assert.ok(own >= 2000 && own <= 2007);
    open(200);
    assert.is(used.size, 7, `${kind}: all the others are used and shared`);
    assert.not.ok(used.has(own));
  }
});

function checkOf(kind: 'icmp' | 'udp'): NonNullable<UplinkPlan['check']> {
  return {
    probes: [kind === 'icmp' ? { kind, target: SERVER } : { kind, target: SERVER, port: UDP_PORT, ttl: 2 }], need: 1, intervalMs: 1000, timeoutMs: 800, fall: 3, rise: 3, initial: 'up', window: 20,
  };
}

// Where nothing is translated the box itself may use the address, with any identifier. The answers of each stay apart to the last byte.
echoes('a ping of the box with the same addresses, identifier and sequence number gets its own answer, and the probe its own', () => {
  const r = rig({ host: true, weights: [1, 0], snat: [] });
  const [probe] = ask(r);
  const id = probe.packet.readUInt16BE(ID_AT), sequence = probe.packet.readUInt16BE(SEQUENCE_AT);
  const [ping] = r.from('host', make.ipv4({ source: WAN1, destination: SERVER }, make.echoRequest({ id, sequence, payload: make.filler(56) })));
  expect(ping.packet, ipv4({ source: WAN1, destination: SERVER }), echo({ id, sequence }));
  const [answer, ...more] = r.from('wan1', replyTo(ping.packet));
  assert.equal([answer.link, more.length], ['host', 0]);
  expect(answer.packet, ipv4({ source: SERVER, destination: WAN1 }), echo({ type: 'reply', id, sequence, payload: make.filler(56) }));
  assert.equal(outcomes(r), []);
  assert.equal(r.counted('TAKEN', 'wan1', () => r.from('wan1', replyTo(probe.packet))), []);
  assert.equal(last(r), good());
});

// ---- datagrams -----------------------------------------------------------------------------------------------------------

const datagrams = suite('probe: datagrams');

datagrams('leave with so many hops; the hop where they end, the target’s closed port or the target itself answers', () => {
  const r = rig();
  for (const ttl of [1, 3]) {
    for (const [name, answer] of [
      ['time exceeded', (packet: Buffer) => errorAbout(packet, { type: 11 })],
      ['time exceeded, quoting 8 bytes of it', (packet: Buffer) => errorAbout(packet, { type: 11 }, 28)],
      ['port unreachable', (packet: Buffer) => errorAbout(packet, { type: 3, code: 3, source: SERVER })],
      ['a datagram', (packet: Buffer) => make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: UDP_PORT, destinationPort: packet.readUInt16BE(20) }))],
    ] as const) {
      const [sent] = ask(r, { kind: 'udp', ttl });
      assert.is(sent.link, 'wan1');
      expect(sent.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl }), udp({ destinationPort: UDP_PORT }));
      r.clock.advance(3);
      assert.equal(r.counted('TAKEN', 'wan1', () => r.from('wan1', answer(sent.packet))), [], name);
      assert.equal(last(r), good(3), name);
    }
  }
  assert.is(r.flowCount, 0);
});

datagrams('any other error is a failure', () => {
  const r = rig();
  for (const [type, code, reason] of [[3, 1, 'host unreachable'], [3, 0, 'network unreachable'], [11, 1, 'time to live exceeded']] as const) {
    const [sent] = ask(r, { kind: 'udp' });
    r.from('wan1', errorAbout(sent.packet, { type, code }));
    assert.equal(last(r), bad(`${reason} from ${HOP}`));
  }
});

const change = (packet: Buffer, at: number): Buffer => {
  const changed = Buffer.from(packet);
  changed[at] ^= 1;
  return sealed(changed);
};

datagrams('are not answered by an error whose quote is another one’s, in any bit that is theirs', () => {
  const r = rig();
  const [sent] = ask(r, { kind: 'udp' });
  const odd: [string, Buffer][] = [
    ...[12, 13, 14, 15].map((at): [string, Buffer] => [`source, byte ${at}`, errorAbout(change(sent.packet, at), { type: 11 })]),
    ...[16, 17, 18, 19, 20, 21, 22, 23].map((at): [string, Buffer] => [`destination or ports, byte ${at}`, errorAbout(change(sent.packet, at), { type: 11 })]),
    ...[28, 29, 30, 31, 32, 33, 34, 35].map((at): [string, Buffer] => [`cookie, byte ${at}`, errorAbout(change(sent.packet, at), { type: 11 })]),
    ...[26, 27].map((at): [string, Buffer] => [`checksum of a short quote, byte ${at}`, errorAbout(change(sent.packet, at), { type: 11 }, 28)]),
    ['a later fragment', errorAbout(change(sent.packet, 7), { type: 11 })],
    ['not for us', errorAbout(sent.packet, { type: 11, destination: PC1 })],
    ['another of our addresses', errorAbout(sent.packet, { type: 11, destination: LAN })],
  ];
  for (const [what, packet] of odd) {
    r.from('wan1', packet);
    assert.equal(outcomes(r), [], what);
  }
  r.from('wan2', errorAbout(sent.packet, { type: 11, destination: WAN1 }));
  assert.equal(outcomes(r), [], 'by another link');
  r.from('wan1', sealed(errorAbout(sent.packet, { type: 11 })));
  assert.equal(last(r), good());
  for (const packet of [make.udp({ sourcePort: UDP_PORT + 1, destinationPort: sent.packet.readUInt16BE(20) }), make.udp({ sourcePort: UDP_PORT, destinationPort: sent.packet.readUInt16BE(20) ^ 1 })]) {
    ask(r, { kind: 'udp' });
    r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, packet));
    assert.is(outcomes(r).length, 1);
  }
});

datagrams('two under way to one target and port: each error finds its own', () => {
  const r = rig();
  const [first] = ask(r, { kind: 'udp' });
  const [second] = ask(r, { kind: 'udp' });
  r.from('wan1', errorAbout(second.packet, { type: 11 }, 28));
  assert.equal(outcomes(r).map(({ id }) => id), [lastId]);
  r.from('wan1', errorAbout(first.packet, { type: 11 }));
  assert.equal(outcomes(r).map(({ id }) => id), [lastId, lastId - 1]);
});

datagrams('an error about a host’s flow still reaches the host, while probes are under way', () => {
  const r = rig({ weights: [1, 0] });
  ask(r, { kind: 'udp' });
  ask(r);
  const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: UDP_PORT }));
  const [out] = r.from('lan', packet);
  const [error] = r.from('wan1', errorAbout(out.packet, { type: 3, code: 3, source: SERVER }));
  assert.is(error.link, 'lan');
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), icmpError({ type: 3, code: 3 }), ipv4({ source: PC1, ttl: 63 }));
  assert.equal(outcomes(r), []);
});

// ---- ARP -----------------------------------------------------------------------------------------------------------------

const arps = suite('probe: ARP');

arps('asks everybody on the link from our address there, and the answer is told of', () => {
  const r = rig();
  for (const [uplink, link, source, ours, gateway] of [[0, 'wan1', WAN1, MAC.wan1, MAC.gateway1], [1, 'wan2', WAN2, MAC.wan2, MAC.gateway2]] as const) {
    const [sent, ...more] = ask(r, { uplink, kind: 'arp', target: GATEWAY });
    assert.equal([sent.link, more.length], [link, 0]);
    expect(sent.frame, ethernet({ source: ours, destination: make.BROADCAST_MAC }), arp({ operation: 'request', senderMac: ours, sender: source, target: GATEWAY }));
    const other: LinkName = link === 'wan1' ? 'wan2' : 'wan1';
    r.put(other, r.arpReply(other, GATEWAY, MAC.gateway1));
    r.put(link, r.arpReply(link, '192.168.201.2', gateway));
    r.put(link, r.arpRequest(GATEWAY, gateway, source));
    r.run();
    assert.is(last(r)?.id === lastId, false, 'not by another link, nor of another, nor a question');
    r.clock.advance(0.25);
    r.put(link, r.arpReply(link, GATEWAY, gateway));
    r.run();
    assert.equal(last(r), good(0.25));
  }
});

arps('a silent station is found out, one in another subnet is asked all the same', () => {
  const r = rig();
  ask(r, { kind: 'arp', target: '10.255.255.1' });
  r.put('wan1', r.arpReply('wan1', '10.255.255.1', MAC.gateway1));
  r.run();
  assert.equal(last(r), good());
  ask(r, { kind: 'arp', target: GATEWAY });
  r.advance(800);
  assert.equal(last(r), bad('timed out'));
});

arps('its answer is not lost in a flood of ARP', () => {
  const r = rig();
  for (let i = 0; i < 1100; i++) r.put('wan1', r.arpRequest('192.168.201.2', '02:00:00:00:22:22', '192.168.201.3'));
  ask(r, { kind: 'arp', target: '192.168.201.9' });
  assert.ok(r.verdict('wan1', 'ARP_LIMIT') > 0);
  r.put('wan1', r.arpReply('wan1', '192.168.201.9', '02:00:00:00:99:99'));
  r.run();
  assert.equal(last(r), good());
});

// ---- the table -----------------------------------------------------------------------------------------------------------

const table = suite('probe: the table');

table('so many at once and no more; the rest is refused and counted, and all places are free again', () => {
  const r = rig();
  for (let round = 0; round < 3; round++) {
    r.notices.length = 0;
    for (let i = 0; i < PROBES_MAX + 3; i++) r.router.probes.ask(++lastId, { uplink: i % 2, kind: 'icmp', target: parseIpv4(SERVER), port: 0, ttl: 0, timeoutMs: 800 });
    const sent = r.run();
    assert.equal(outcomes(r).map(({ reason }) => reason), Array.from({ length: 3 }, () => `more than ${PROBES_MAX} probes under way`));
    assert.is(r.router.counters.getRouter(PROBES_REFUSED), 3 * (round + 1));
    assert.is(new Set(sent.map(({ packet }) => packet.readUInt16BE(SEQUENCE_AT))).size, PROBES_MAX);
    for (const { link, packet } of sent.slice(0, 100)) r.from(link, replyTo(packet));
    r.advance(800);
    assert.is(outcomes(r).filter(({ isOk }) => isOk).length, 100);
    assert.is(outcomes(r).length, PROBES_MAX + 3);
    assert.equal([r.router.probes.active.length, r.router.probes.nextDueMs], [0, Infinity]);
  }
});

table('cookies, and sequence numbers of one place, differ from one probe to the next', () => {
  const r = rig();
  const cookies = new Set<string>();
  let before = -1;
  for (let i = 0; i < 200; i++) {
    const [{ packet }] = ask(r);
    cookies.add(packet.toString('hex', COOKIE_AT, COOKIE_AT + 8));
    const sequence = packet.readUInt16BE(SEQUENCE_AT);
    assert.is.not(sequence, before);
    before = sequence;
    r.from('wan1', replyTo(packet));
  }
  assert.is(cookies.size, 200);
});

table('at the end everyone who waits is told', () => {
  const r = rig({ neighbours: false });
  ask(r);
  ask(r, { kind: 'arp', target: GATEWAY });
  ask(r, { kind: 'udp' });
  r.router.probes.close();
  assert.equal(outcomes(r).map(({ isOk, reason }) => [isOk, reason]), [[false, 'stopped'], [false, 'stopped'], [false, 'stopped']]);
  assert.is(r.router.probes.active.length, 0);
});

table('whatever is asked, answered, lost or forged: each probe is told of once, rightly, and no host sees any of it', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('ask' as const), uplink: fc.nat(1), kind: fc.constantFrom('icmp' as const, 'udp' as const, 'arp' as const) }),
    fc.record({ do: fc.constant('answer' as const), which: fc.nat(50) }),
    fc.record({ do: fc.constant('forge' as const), which: fc.nat(50), bit: fc.nat(64 * 8 - 1) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.nat(500) }),
  );
  check(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const r = rig();
    const asked = new Map<number, { sent: Sent; dueMs: number; isAnswered: boolean; kind: string }>();
    const arpTold = new Set<number>();
    for (const one of steps) {
      if (one.do === 'ask') {
        const [sent] = ask(r, { uplink: one.uplink, kind: one.kind, target: one.kind === 'arp' ? `192.168.201.${100 + asked.size}` : SERVER, timeoutMs: 400 });
        asked.set(lastId, { sent, dueMs: r.clock.nowMs() + 400, isAnswered: false, kind: one.kind });
      } else if (one.do === 'wait') {
        assert.equal(r.advance(one.ms, 100).filter(({ isArp }) => !isArp), []);
      } else if (asked.size > 0) {
        const [id, probe] = [...asked][one.which % asked.size];
        const { sent } = probe;
        if (probe.kind === 'arp') {
          if (one.do === 'forge') continue;
          r.put(sent.link, r.arpReply(sent.link, make.formatAddress(sent.frame.subarray(38, 42)), MAC.gateway1));
          r.run();
          if (r.clock.nowMs() < probe.dueMs) arpTold.add(id);
        } else {
          const answer = probe.kind === 'icmp' ? replyTo(sent.packet) : errorAbout(sent.packet, { type: 11, destination: make.formatAddress(sent.packet.subarray(12, 16)) });
          if (one.do === 'forge') {
            // Any bit after the IP header: cookie, identifiers, checksums, the quote.
            const at = 20 + (one.bit >> 3) % (answer.length - 20);
            answer[at] ^= 1 << (one.bit & 7);
          } else if (r.clock.nowMs() < probe.dueMs) {
            probe.isAnswered = true;
          }
          assert.equal(r.from(sent.link, answer), []);
        }
      }
    }
    r.advance(1000, 100);
    const told = outcomes(r);
    assert.is(told.length, asked.size, 'each is told of once');
    assert.is(new Set(told.map(({ id }) => id)).size, asked.size);
    for (const { id, isOk, reason } of told) {
      const probe = asked.get(id);
      assert.equal([isOk, reason], probe?.isAnswered === true || arpTold.has(id) ? [true, null] : [false, 'timed out'], `probe ${id}`);
    }
    assert.is(r.flowCount, 0);
  }), 60);
});

// ---- what the box sends by an uplink of its choice -----------------------------------------------------------------------

const pinned = suite('pinned');

const PINNED: RigOptions = { host: true, uplink: { pin: PINS[0] }, second: { pin: PINS[1] } };
const WAYS = [[0, 'wan1', WAN1, MAC.gateway1], [1, 'wan2', WAN2, MAC.gateway2]] as const;

/** A datagram, a TCP opening and a ping of the box from this address by this link, and their answers. */
function conversesBy(r: Rig, from: string, to: string, link: LinkName, source: string, gateway: string): void {
  for (const [name, there, back] of [
    ['TCP', make.tcp({ sourcePort: 4000, destinationPort: 80 }), (packet: Buffer) => make.tcp({ sourcePort: 80, destinationPort: packet.readUInt16BE(20), flags: 'SA' })],
    ['UDP', make.udp({ sourcePort: 4000, destinationPort: 53 }), (packet: Buffer) => make.udp({ sourcePort: 53, destinationPort: packet.readUInt16BE(20) })],
    ['ping', make.echoRequest({ id: 4000 }), (packet: Buffer) => make.echoReply({ id: packet.readUInt16BE(ID_AT) })],
  ] as const) {
    const sent = r.from('host', make.ipv4({ source: from, destination: to }, there));
    assert.equal(sent.map((one) => one.link), [link], name);
    expect(sent[0].frame, ethernet({ destination: gateway }), ipv4({ source, destination: to, ttl: 63 }));
    const [answer] = r.from(link, make.ipv4({ source: to, destination: source }, back(sent[0].packet)));
    assert.is(answer.link, 'host', name);
    expect(answer.packet, ipv4({ source: to, destination: from, ttl: 63 }));
  }
}

const PINNED_OBSTACLES: Record<string, { options?: RigOptions; hinder?: (r: Rig, uplink: number) => void }> = {
  'nothing': {},
  'the uplink is unhealthy': { hinder: (r, uplink) => r.router.setUplinkHealth(uplink, false) },
  'the uplink is drained': { hinder: (r, uplink) => r.router.setUplinkDrained(uplink, true) },
  'both are unhealthy': { hinder: (r) => [0, 1].forEach((uplink) => r.router.setUplinkHealth(uplink, false)) },
  'there are no routes': { options: { routes: [] } },
  'the route says prohibit': { options: { routes: [{ name: 'none', to: '0.0.0.0/0', refuse: 'prohibit' }] } },
  'the route leads to the LAN': { options: { routes: [{ name: 'inside', to: '198.51.100.0/24', via: PC1, link: 0 }] } },
  'nothing is translated': { options: { snat: [] } },
  'a rule says not to translate': { options: { plan: { noNat: [{ index: 0, name: 'all', match: {} }] } } },
  'a policy says otherwise': { options: { plan: { policies: [{ index: 0, name: 'all', match: {}, group: 0, exclude: false, prefer: 0 }] } } },
};

for (const [obstacle, { options = {}, hinder }] of Object.entries(PINNED_OBSTACLES)) {
  pinned(`what the box sends from a pinned address leaves by its uplink with its address, and the answers come back: ${obstacle}`, () => {
    for (const [uplink, link, source, gateway] of WAYS) {
      const r = rig({ ...PINNED, ...options });
      hinder?.(r, uplink);
      r.run();
      conversesBy(r, PINS[uplink], SERVER, link, source, gateway);
    }
  });
}

pinned('goes on by its uplink when it decides again', () => {
  const r = rig(PINNED);
  for (const [uplink, link, source] of WAYS) {
    const there = make.ipv4({ source: PINS[uplink], destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 53 }));
    const [first] = r.from('host', there);
    (r.router.plan as { generation: number }).generation++;
    const back = make.ipv4({ source: SERVER, destination: source }, make.udp({ sourcePort: 53, destinationPort: first.packet.readUInt16BE(20) }));
    assert.equal(r.from(link, back).map((sent) => sent.link), ['host']);
    const [again] = r.from('host', there);
    assert.is(again.link, link);
    expect(again.packet, ipv4({ source }), udp({ sourcePort: first.packet.readUInt16BE(20) }));
  }
});

pinned('without carrier the box is told at once', () => {
  const r = rig(PINNED);
  r.setUp('wan1', false);
  r.run();
  const packet = make.ipv4({ source: PINS[0], destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80 }));
  const [error] = r.refused('UPLINK_DOWN', 'host', packet);
  assert.is(error.link, 'host');
  expect(error.packet, ipv4({ source: HOST, destination: PINS[0] }), icmpError({ type: 3, code: 1 }), bytes(packet));
});

pinned('an error about it reaches the box, quoting what it sent', () => {
  const r = rig(PINNED);
  const packet = make.ipv4({ source: PINS[1], destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80 }));
  const [sent] = r.from('host', packet);
  const [error] = r.from('wan2', errorAbout(sent.packet, { type: 3, code: 1, destination: WAN2 }));
  assert.is(error.link, 'host');
  expect(error.packet, ipv4({ source: HOP, destination: PINS[1] }), icmpError({ type: 3, code: 1 }), ipv4({ source: PINS[1], destination: SERVER }), tcp({ sourcePort: 4000 }));
});

pinned('two checks from one port to one target stay apart where nothing is translated', () => {
  const r = rig({ ...PINNED, snat: [] });
  const there = make.udp({ sourcePort: 4000, destinationPort: 53 });
  const [own] = r.from('host', make.ipv4({ source: WAN1, destination: SERVER }, there));
  const [check] = r.from('host', make.ipv4({ source: PINS[0], destination: SERVER }, there));
  assert.equal([own.link, check.link], ['wan1', 'wan1']);
  const ports = [own, check].map(({ packet }) => packet.readUInt16BE(20));
  assert.is(ports[0], 4000);
  assert.is.not(ports[1], 4000);
  for (const [i, to] of [WAN1, PINS[0]].entries()) {
    const [answer] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: ports[i] })));
    expect(answer.packet, ipv4({ destination: to }), udp({ destinationPort: 4000 }));
  }
});

pinned('a limit on the ports of a host is none of a check’s', () => {
  const r = rig({ ...PINNED, limits: { portsPerSource: 2 } });
  for (let i = 0; i < 5; i++) assert.is(r.from('host', make.ipv4({ source: PINS[0], destination: SERVER }, make.udp({ sourcePort: 4000 + i, destinationPort: 53 }))).length, 1);
  const hosts = [0, 1, 2].map((i) => r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000 + i, destinationPort: 53 })))[0].link);
  assert.is(hosts[2], 'lan', 'the third one of a host is refused');
});

pinned('only the box can: a pinned address from elsewhere is a forgery, and what is for the router stays here', () => {
  const r = rig(PINNED);
  r.refused('SPOOFED_SOURCE', 'lan', make.ipv4({ source: PINS[0], destination: SERVER }, make.udp({ sourcePort: 1, destinationPort: 2 })));
  const [answer] = r.from('host', make.ipv4({ source: PINS[0], destination: HOST }, make.echoRequest({ id: 3 })));
  assert.is(answer.link, 'host');
  expect(answer.packet, ipv4({ source: HOST, destination: PINS[0] }), echo({ type: 'reply', id: 3 }));
});

pinned('what the box sends from the address of an uplink’s link leaves by that uplink, usable or not', () => {
  for (const [uplink, link, source, gateway] of WAYS) {
    const r = rig({ host: true, weights: uplink === 0 ? [0, 1] : [1, 0] });
    conversesBy(r, source, SERVER, link, source, gateway);
    r.router.setUplinkHealth(uplink, false);
    r.run();
    conversesBy(r, source, '198.51.100.9', link, source, gateway);
  }
});

pinned('but to the LAN it goes to the LAN, and what a route refuses is refused', () => {
  const r = rig({ host: true, routes: [{ name: 'none', to: '198.51.100.0/24', refuse: 'prohibit' }, { name: 'default', to: '0.0.0.0/0', group: 0 }] });
  const there = make.udp({ sourcePort: 4000, destinationPort: 53 });
  const [near] = r.from('host', make.ipv4({ source: WAN1, destination: PC1 }, there));
  assert.is(near.link, 'lan');
  r.refused('ROUTE_PROHIBIT', 'host', make.ipv4({ source: WAN1, destination: SERVER }, there));
  const [any] = r.from('host', make.ipv4({ source: BOX, destination: '192.0.2.1' }, there));
  assert.ok(any.link === 'wan1' || any.link === 'wan2');
});

const servers = suite('probe: real servers');
const NO_UPLINK = -1;
/** What a datagram's target says to `question`. */
const said = (request: Buffer, text: string): Buffer => make.ipv4({ source: make.formatAddress(request.subarray(16, 20)), destination: make.formatAddress(request.subarray(12, 16)) },
  make.udp({ sourcePort: request.readUInt16BE(22), destinationPort: request.readUInt16BE(20), payload: Buffer.from(text) }));

servers('go by the route, with our address on that link, whatever uplinks do', () => {
  const r = rig({ dmz: true });
  r.router.setUplinkHealth(0, false);
  r.run();
  for (const [link, target, from] of [['lan', PC1, LAN], ['dmz', DMZ_HOST, DMZ]] as const) {
    const [sent] = packets(ask(r, { uplink: NO_UPLINK, target }));
    assert.is(sent.link, link);
    expect(sent.frame, ethernet(), ipv4({ source: from, destination: target }), echo({ type: 'request' }));
    r.from(link, replyTo(sent.packet));
    assert.equal(last(r), good());
  }
});

servers('by a gateway inside, by an uplink where the route is a group’s, and not where no route leads', () => {
  const r = rig({ dmz: true, weights: [1, 0], routes: [{ name: 'far', to: '172.20.0.0/16', via: DMZ_HOST }, { name: 'world', to: '198.51.100.0/24', group: 0 }] });
  const [far] = packets(ask(r, { uplink: NO_UPLINK, target: '172.20.0.9' }));
  expect(far.frame, ethernet({ destination: MAC.dmzHost }), ipv4({ source: DMZ, destination: '172.20.0.9' }), echo());
  const [world] = packets(ask(r, { uplink: NO_UPLINK, target: SERVER }));
  assert.ok(world.link === 'wan1' || world.link === 'wan2');
  r.from(world.link, replyTo(world.packet));
  assert.equal(last(r), good());
  assert.equal(packets(ask(r, { uplink: NO_UPLINK, target: '192.0.2.9' })), []);
  assert.equal(last(r), bad('no route to 192.0.2.9'));
});

servers('a datagram with a question: its answer must hold what is expected; silence is good where nothing is; that nobody listens never', () => {
  const r = rig();
  const send = Buffer.from('ping');
  const put = (expected: string | null): Buffer => {
    const [sent] = packets(ask(r, { uplink: NO_UPLINK, kind: 'udp', target: PC1, port: 53, ttl: 64, question: { send, expect: expected === null ? null : Buffer.from(expected) } }));
    expect(sent.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1, ttl: 64 }), udp({ destinationPort: 53, payload: send }));
    return sent.packet;
  };
  r.from('lan', said(put('pong'), 'a pong b'));
  assert.equal(last(r), good());
  r.from('lan', said(put('pong'), 'other'));
  assert.equal(last(r), bad('the answer is another one'));
  put('pong');
  r.advance(900);
  assert.equal(last(r), bad('timed out'));
  put(null);
  r.advance(900);
  assert.equal([last(r)!.isOk, last(r)!.latencyMs], [true, null]);
  r.from('lan', make.ipv4({ source: PC1, destination: LAN }, make.icmp({ type: 3, code: 3 }, put(null).subarray(0, 28))));
  assert.equal(last(r), bad(`port unreachable from ${PC1}`));
});

servers('an answer that comes too late, or twice, opens no flow to the box: the next ones would be that flow’s and not the probes’', () => {
  for (const host of [true, false]) {
    const r = rig({ host });
    const put = (): Buffer => packets(ask(r, { uplink: NO_UPLINK, kind: 'udp', target: PC1, port: 53, ttl: 64, question: { send: Buffer.from('ping'), expect: Buffer.from('pong') } }))[0].packet;
    const late = put();
    r.advance(900);
    assert.equal(last(r), bad('timed out'));
    assert.equal(r.refused('STRAY_REPLY', 'lan', said(late, 'pong')), []);
    r.from('lan', said(put(), 'pong'));
    assert.equal(last(r), good());
    assert.equal(r.refused('STRAY_REPLY', 'lan', said(late, 'pong')), []);
    assert.is(r.flowCount, 0);
    // Who was not asked, or answers for another port, is nobody's answer: what the box listens on is the box's.
    for (const [source, sourcePort] of [[PC2, 53], [PC1, 54]] as const) {
      const packet = make.ipv4({ source, destination: LAN }, make.udp({ sourcePort, destinationPort: late.readUInt16BE(20) }));
      if (host) assert.is(r.from('lan', packet)[0].link, 'host');
      else r.refused('PORT_CLOSED', 'lan', packet);
    }
  }
});

servers('by ARP', () => {
  const r = rig();
  ask(r, { uplink: NO_UPLINK, kind: 'arp', target: PC1 });
  r.put('lan', r.arpReply('lan', PC1, MAC.pc1));
  r.run();
  assert.equal(last(r), good());
});

for (const one of [echoes, datagrams, arps, table, servers, pinned]) one.run();
