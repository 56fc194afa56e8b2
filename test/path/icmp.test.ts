/** ICMP errors about flows, translated both ways (RFC 5508 §4): from middle routers and from peers, with quotes of every shape. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, ethernet, expect, icmpError, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';

const ONE = { weights: [1, 0] as [number, number] };
const MIDDLE = '203.0.113.77';

/** The same flow port-remapped: PC2 holds the port already. */
function occupied(): Rig {
  const r = rig(ONE);
  for (const [, transport] of kinds()) r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, transport()));
  return r;
}

const kinds = (): [string, () => make.Transport, (port: number) => make.Transport][] => [
  ['TCP', () => make.tcp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(24) }), (port) => make.tcp({ sourcePort: 80, destinationPort: port, flags: 'SA', payload: make.filler(24) })],
  ['UDP', () => make.udp({ sourcePort: 4000, destinationPort: 80 }), (port) => make.udp({ sourcePort: 80, destinationPort: port })],
  ['ICMP echo', () => make.echoRequest({ id: 4000 }), (port) => make.echoReply({ id: port })],
];

const errorFrom = (source: string, destination: string, quote: Buffer, { type = 3, code = 1, word = 0, checksum }: { type?: number; code?: number; word?: number; checksum?: 'wrong' } = {}) =>
  make.ipv4({ source, destination, ttl: 60 }, make.icmp({ type, code, word, checksum }, quote));

/** As `packet` looked one router further on: a hop less. */
function hopLater(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  const header = (copy[0] & 15) * 4;
  copy[8] -= 1;
  copy.writeUInt16BE(0, 10);
  copy.writeUInt16BE(~make.onesSum(copy.subarray(0, header)) & 0xffff, 10);
  return copy;
}

for (const [name, transport] of kinds()) {
  // conforms: icmp-inward icmp-middle
  test(`${name}: an error from a middle router reaches the inside host, quoting what that host sent (RFC 5508 REQ-4, RFC 4787 REQ-12)`, () => {
    const r = occupied();
    const sent = make.ipv4({ source: PC1, destination: SERVER }, transport());
    const [out] = r.from('lan', sent);
    assert.not.equal(out.packet.subarray(20, 26), sent.subarray(20, 26), 'the port is remapped, so that the quote has to be');
    for (const [type, code, word] of [[3, 1, 0], [3, 4, 1280], [11, 0, 0], [12, 0, 0x08000000]] as const) {
      const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, hopLater(out.packet), { type, code, word }));
      assert.is(error.link, 'lan');
      // What PC1 sent, two hops older: the router's and the middle one's.
      expect(error.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: MIDDLE, destination: PC1, ttl: 59 }),
        icmpError({ type, code, mtu: word & 0xffff }), bytes(hopLater(hopLater(sent))));
      assert.is(error.packet.readUInt32BE(24), word);
    }
  });

  test(`${name}: an error from the peer itself reaches the inside host`, () => {
    const r = occupied();
    const sent = make.ipv4({ source: PC1, destination: SERVER }, transport());
    const [out] = r.from('lan', sent);
    const [error] = r.from('wan1', errorFrom(SERVER, WAN1, out.packet, { code: 3 }));
    expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), icmpError({ type: 3, code: 3 }), bytes(hopLater(sent)));
  });

  test(`${name}: a quote cut after 8 bytes of transport header is translated all the same (RFC 792)`, () => {
    const r = occupied();
    const sent = make.ipv4({ source: PC1, destination: SERVER }, transport());
    const [out] = r.from('lan', sent);
    const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet.subarray(0, 28), { type: 11, code: 0 }));
    assert.is(error.packet.length, 56);
    expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(hopLater(sent)));
  });

  // conforms: icmp-options
  test(`${name}: a quote with IP options is translated (RFC 5508 REQ-3)`, () => {
    const r = occupied();
    const options = Buffer.from([7, 7, 4, 0, 0, 0, 0, 0]);
    const sent = make.ipv4({ source: PC1, destination: SERVER, options }, transport());
    const [out] = r.from('lan', sent);
    const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet));
    expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(hopLater(sent)));
  });

  // conforms: icmp-outward
  test(`${name}: an error of an inside host about an answer leaves with the flow’s address, quoting what the peer sent (RFC 5508 REQ-5)`, () => {
    const r = occupied();
    const [, , answer] = kinds().find(([kind]) => kind === name)!;
    const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, transport()));
    const port = out.packet.readUInt16BE(name === 'ICMP echo' ? 24 : 20);
    const answered = make.ipv4({ source: SERVER, destination: WAN1 }, answer(port));
    const [arrived] = r.from('wan1', answered);
    for (const source of [PC1, PC2]) {
      const [error] = r.from('lan', errorFrom(source, SERVER, arrived.packet, { code: 3 }));
      assert.is(error.link, 'wan1');
      expect(error.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 59 }), icmpError({ type: 3, code: 3 }), bytes(hopLater(answered)));
    }
  });

  // conforms: icmp-checksums
  test(`${name}: an error with a wrong checksum, its own or the quoted IP header’s, is dropped (RFC 5508 REQ-3)`, () => {
    const r = occupied();
    const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, transport()));
    assert.equal(r.refused('ICMP_CHECKSUM', 'wan1', errorFrom(MIDDLE, WAN1, out.packet, { checksum: 'wrong' })), []);
    const spoilt = Buffer.from(out.packet);
    spoilt[10] ^= 0x40;
    assert.equal(r.refused('ICMP_CHECKSUM', 'wan1', errorFrom(MIDDLE, WAN1, spoilt)), []);
    // The quoted transport checksum does not matter.
    const cut = Buffer.from(out.packet);
    cut[cut.length - 1] ^= 0xff;
    assert.is(r.from('wan1', errorFrom(MIDDLE, WAN1, cut)).length, 1);
  });

  // conforms: icmp-no-effect nat-no-refresh
  test(`${name}: an error neither refreshes nor ends its flow (RFC 5508 REQ-6, RFC 4787 REQ-12, RFC 5382 REQ-10)`, () => {
    const r = occupied();
    const packet = make.ipv4({ source: PC1, destination: SERVER }, transport());
    const [out] = r.from('lan', packet);
    const lifeMs = { TCP: 240_000, UDP: 300_000, 'ICMP echo': 60_000 }[name] as number;
    r.advance(lifeMs - 2000, 1000);
    r.teach();
    const flows = r.flowCount;
    assert.is(r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet)).length, 1, 'still there');
    assert.is(r.flowCount, flows, 'not ended');
    r.advance(4000, 1000);
    assert.equal(r.refused('STRAY_ERROR', 'wan1', errorFrom(MIDDLE, WAN1, out.packet)), [], 'gone when its time was up');
  });
}

test('an error about an unknown flow is dropped', () => {
  const r = rig(ONE);
  for (const [, transport] of kinds()) {
    assert.equal(r.refused('STRAY_ERROR', 'wan1', errorFrom(MIDDLE, WAN1, make.ipv4({ source: WAN1, destination: SERVER }, transport()))), []);
    assert.equal(r.refused('STRAY_ERROR', 'lan', errorFrom(PC1, SERVER, make.ipv4({ source: SERVER, destination: PC1 }, transport()))), []);
  }
});

test('an error addressed to someone else than who sent the quoted packet is a forgery', () => {
  const r = rig(ONE);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  assert.equal(r.refused('STRAY_ERROR', 'wan1', errorFrom(MIDDLE, PC2, out.packet)), []);
  assert.equal(r.refused('STRAY_ERROR', 'wan1', errorFrom(MIDDLE, WAN2, out.packet)), []);
});

test('an error may come in by another uplink than its flow uses (asymmetric paths)', () => {
  const r = rig(ONE);
  const sent = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 }));
  const [out] = r.from('lan', sent);
  const [error] = r.from('wan2', errorFrom(MIDDLE, WAN1, out.packet));
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(hopLater(sent)));
});

// conforms: icmp-extensions
test('RFC 4884: what is appended after the quote stays, and the checksum around it is right', () => {
  const r = occupied();
  const sent = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(200) }));
  const [out] = r.from('lan', sent);
  const extension = Buffer.from('2000000000080101000001ff', 'hex');
  const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, Buffer.concat([out.packet.subarray(0, 128), extension]), { type: 11, code: 0, word: 0x00200000 }));
  expect(error.packet, ipv4({ destination: PC1 }), icmpError({ type: 11, code: 0 }));
  assert.equal(error.packet.subarray(28, 28 + 128), hopLater(sent).subarray(0, 128));
  assert.equal(error.packet.subarray(28 + 128), extension);
});

test('a quoted UDP checksum of zero stays zero', () => {
  const r = occupied();
  const sent = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, checksum: 'none' }));
  const [out] = r.from('lan', sent);
  const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet));
  expect(error.packet, ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(hopLater(sent)));
});

test('an error between inside links passes untranslated', () => {
  const r = rig({ dmz: true });
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: DMZ_HOST }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  const [error] = r.from('dmz', errorFrom(DMZ_HOST, PC1, out.packet, { code: 3 }));
  expect(error.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: DMZ_HOST, destination: PC1, ttl: 59 }), icmpError({ type: 3, code: 3 }), bytes(out.packet));
});

// conforms: error-traceroute
test('traceroute through the router shows the router, then the hops beyond', () => {
  const r = rig(ONE);
  const probe = (ttl: number) => make.ipv4({ source: PC1, destination: SERVER, ttl }, make.udp({ sourcePort: 4000, destinationPort: 33434 + ttl }));
  const [self] = r.from('lan', probe(1));
  expect(self.packet, ipv4({ source: '192.168.0.1', destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(probe(1)));
  const [out] = r.from('lan', probe(2));
  const [beyond] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet, { type: 11, code: 0 }));
  expect(beyond.packet, ipv4({ source: MIDDLE, destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(hopLater(probe(2))));
});

test('errors quoting an error, or a stub too short to name a flow, are dropped', () => {
  const r = rig(ONE);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(100) })));
  for (const quote of [errorFrom(WAN1, SERVER, out.packet), make.ipv4({ source: WAN1, destination: SERVER }, make.icmp({ type: 9 }, make.filler(8))), out.packet.subarray(0, 27), out.packet.subarray(0, 12), Buffer.alloc(0)]) {
    assert.equal(r.refused('ICMP_QUOTE', 'wan1', errorFrom(MIDDLE, WAN1, quote)), []);
  }
});

// conforms: icmp-types
test('redirects, source quench and messages of other types are dropped, each under its own name (RFC 5508 REQ-10, REQ-11, RFC 6633)', () => {
  const r = rig({ ...ONE, host: true });
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  for (const [type, name] of [[5, 'ICMP_REDIRECT'], [4, 'ICMP_SOURCE_QUENCH']] as const) {
    assert.equal(r.refused(name, 'wan1', errorFrom(MIDDLE, WAN1, out.packet, { type })), []);
    assert.equal(r.refused(name, 'lan', errorFrom(PC1, SERVER, make.ipv4({ source: SERVER, destination: PC1 }, make.udp({ sourcePort: 80, destinationPort: 4000 })), { type })), []);
  }
  // An echo flow with identifier 0 has no ports either: other types must not be taken for a part of it.
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 0 })));
  for (const type of [1, 2, 6, 9, 10, 15, 16, 17, 18, 19, 30, 37, 40, 42, 43, 255]) {
    assert.equal(r.refused('ICMP_TYPE', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.icmp({ type }, make.filler(32)))), []);
    assert.equal(r.refused('ICMP_TYPE', 'wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.icmp({ type }, make.filler(32)))), []);
  }
});

test('timestamp is a query like echo: its identifier is mapped, and its answer finds back (RFC 5508 REQ-1, REQ-10)', () => {
  const r = occupied();
  r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.icmp({ type: 13, word: 77 * 65536 + 1 }, make.filler(12))));
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.icmp({ type: 13, word: 77 * 65536 + 1 }, make.filler(12))));
  const id = out.packet.readUInt16BE(24);
  assert.is.not(id, 77);
  expect(out.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER, ttl: 63 }));
  const [back] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.icmp({ type: 14, word: id * 65536 + 1 }, make.filler(12))));
  expect(back.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }));
  assert.is(back.packet[20], 14);
  assert.is(back.packet.readUInt16BE(24), 77);
});

// conforms: icmp-inner-type
test('the quoted message’s own type says where its identifier is: an error about an echo reply (Jool #370)', () => {
  const r = occupied();
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 4000 })));
  const id = out.packet.readUInt16BE(24);
  assert.is.not(id, 4000);
  const answer = make.ipv4({ source: SERVER, destination: WAN1 }, make.echoReply({ id }));
  const [arrived] = r.from('wan1', answer);
  const [error] = r.from('lan', errorFrom(PC1, SERVER, arrived.packet, { type: 11, code: 1 }));
  expect(error.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), icmpError({ type: 11, code: 1 }), bytes(hopLater(answer)));
});

test('an error whose source cannot be there is dropped: our own address, or an inside one from outside', () => {
  const r = rig(ONE);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  assert.equal(r.refused('MARTIAN_SOURCE', 'wan1', errorFrom(WAN1, WAN1, out.packet)), []);
  assert.equal(r.refused('SPOOFED_SOURCE', 'wan1', errorFrom(PC2, WAN1, out.packet)), []);
  assert.is(r.from('wan1', errorFrom('10.77.0.1', WAN1, out.packet)).length, 1, 'a middle router may have a private address');
});

// conforms: icmp-extensions
test('RFC 4884: the length attribute says where the quote ends, padded to 128 octets or not; what follows is not touched (NICMx/Jool #396)', () => {
  const object = Buffer.from('2000beef00080101000001ff', 'hex');
  for (const [name, transport] of kinds()) {
    for (const [quoted, padded] of [[128, 128], [48, 128], [48, 48], [28, 28], [32, 32]]) {
      const r = occupied();
      const sent = make.ipv4({ source: PC1, destination: SERVER }, transport());
      const [out] = r.from('lan', sent);
      const quote = Buffer.alloc(padded);
      out.packet.copy(quote, 0, 0, Math.min(quoted, out.packet.length));
      const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, Buffer.concat([quote, object]), { type: 11, code: 0, word: (padded / 4) << 16 }));
      const wanted = Buffer.alloc(padded);
      hopLater(sent).copy(wanted, 0, 0, Math.min(quoted, sent.length));
      expect(error.packet, ipv4({ destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(Buffer.concat([wanted, object])));
      assert.is(error.packet.length, 28 + padded + object.length, name);
      assert.is(error.packet[25], padded / 4, 'the length attribute is kept');
    }
  }
});

test('RFC 4884: a length attribute beyond the message counts for nothing', () => {
  const r = occupied();
  const sent = make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(24) }));
  const [out] = r.from('lan', sent);
  const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet, { type: 3, code: 0, word: 255 << 16 }));
  expect(error.packet, ipv4({ destination: PC1 }), icmpError({ type: 3, code: 0 }), bytes(hopLater(sent)));
});

// conforms: icmp-checksums
test('a wrong transport checksum in a quote stays exactly as wrong', () => {
  for (const [transport, at] of [[make.udp({ sourcePort: 4000, destinationPort: 80, checksum: 'wrong' }), 26], [make.tcp({ sourcePort: 4000, destinationPort: 80, checksum: 'wrong' }), 36]] as const) {
    const r = occupied();
    const sent = make.ipv4({ source: PC1, destination: SERVER }, transport);
    const [out] = r.from('lan', sent);
    const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet));
    expect(error.packet, ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(hopLater(sent)));
    assert.is(error.packet.readUInt16BE(28 + at), sent.readUInt16BE(at));
  }
});

const FORWARD = { index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6, 17], ports: { first: 8000, last: 8000 }, to: PC1, toPort: 80 };

// conforms: icmp-nested icmp-outward
test('a forwarded port: errors about either side’s packets, from either side, name only what their receiver knows (RFC 5508 REQ-4, REQ-5)', () => {
  const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
  const asked = make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 5000, destinationPort: 8000 }));
  const [inside] = r.from('wan1', asked);
  // The server inside has closed its port, or a router inside cannot reach it.
  for (const source of [PC1, PC2]) {
    const [error] = r.from('lan', errorFrom(source, SERVER, inside.packet, { code: 3 }));
    expect(error.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), icmpError({ type: 3, code: 3 }), bytes(hopLater(asked)));
  }
  const answer = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 80, destinationPort: 5000 }));
  const [out] = r.from('lan', answer);
  expect(out.frame, ethernet(), ipv4({ source: WAN1 }), udp({ sourcePort: 8000 }));
  const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet, { type: 11, code: 0 }));
  expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: MIDDLE, destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(hopLater(answer)));
});

// conforms: icmp-nested
test('a packet SNATed and DNATed at once (hairpin): errors both ways show each side its own view (RFC 5508 REQ-7)', () => {
  const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
  const asked = make.ipv4({ source: PC2, destination: WAN1 }, make.udp({ sourcePort: 5000, destinationPort: 8000 }));
  const [inside] = r.from('lan', asked);
  assert.is(inside.link, 'lan');
  expect(inside.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), udp({ destinationPort: 80 }));
  const port = inside.packet.readUInt16BE(20);
  const [error] = r.from('lan', errorFrom(PC1, WAN1, inside.packet, { code: 3 }));
  expect(error.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), icmpError({ type: 3, code: 3 }), bytes(hopLater(asked)));
  const answer = make.ipv4({ source: PC1, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: port }));
  const [back] = r.from('lan', answer);
  expect(back.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: WAN1, destination: PC2 }), udp({ sourcePort: 8000, destinationPort: 5000 }));
  const [other] = r.from('lan', errorFrom(PC2, WAN1, back.packet, { code: 3 }));
  expect(other.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: WAN1, destination: PC1 }), icmpError({ type: 3, code: 3 }), bytes(hopLater(answer)));
});

// conforms: icmp-nested frag-errors
test('an error about a fragment finds its flow: by its ports the first, by its identification a later one', () => {
  for (const [name, transport] of kinds()) {
    const r = rig({ ...ONE, mtu: { wan1: 600 } });
    r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, transport()));
    const large = { TCP: make.tcp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(1200) }), UDP: make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(1200) }), 'ICMP echo': make.echoRequest({ id: 4000, payload: make.filler(1200) }) }[name] as make.Transport;
    const sent = make.ipv4({ source: PC1, destination: SERVER, id: 4242 }, large);
    const out = r.from('lan', sent);
    assert.is(out.length, 3);
    const offsets = out.map(({ packet }) => (packet.readUInt16BE(6) & 0x1fff) * 8);
    out.forEach(({ packet }, i) => {
      const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, packet, { type: 11, code: i === 0 ? 1 : 0 }));
      const payload = sent.subarray(20 + offsets[i], 20 + offsets[i] + packet.length - 20);
      const fields = { source: PC1, destination: SERVER, id: 4242, ttl: 63, protocol: packet[9], offset: offsets[i], moreFragments: i < 2 };
      expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: MIDDLE, destination: PC1 }), icmpError({ type: 11, code: i === 0 ? 1 : 0 }), bytes(make.ipv4(fields, payload)));
    });
  }
});

test('an error about a later fragment of nothing we know, or of a flow that has ended, is dropped under its own name', () => {
  const r = rig({ ...ONE, mtu: { wan1: 600 } });
  const out = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(1200) })));
  const stranger = Buffer.from(out[1].packet);
  stranger.writeUInt16BE((stranger.readUInt16BE(4) + 1) & 0xffff, 4);
  stranger.writeUInt16BE(0, 10);
  stranger.writeUInt16BE(~make.onesSum(stranger.subarray(0, 20)) & 0xffff, 10);
  assert.equal(r.refused('ICMP_QUOTED_FRAGMENT', 'wan1', errorFrom(MIDDLE, WAN1, stranger, { type: 11 })), []);
  // Ports where a later fragment has payload are none.
  const lookalike = make.ipv4({ source: WAN1, destination: SERVER, protocol: make.PROTOCOL.udp, offset: 64 }, out[0].packet.subarray(20));
  assert.equal(r.refused('ICMP_QUOTED_FRAGMENT', 'wan1', errorFrom(MIDDLE, WAN1, lookalike)), []);
  r.advance(302_000, 2000);
  r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: 4001, destinationPort: 80 })));
  assert.equal(r.refused('ICMP_QUOTED_FRAGMENT', 'wan1', errorFrom(MIDDLE, WAN1, out[1].packet, { type: 11 })), []);
});

test('fragments of an answer that leave inside keep their sender’s identification, and errors about them find back', () => {
  const r = rig({ ...ONE, mtu: { lan: 600 } });
  r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  const answer = make.ipv4({ source: SERVER, destination: WAN1, id: 777 }, make.udp({ sourcePort: 80, destinationPort: 4000, payload: make.filler(1200) }));
  const pieces = r.from('wan1', answer);
  for (const { packet } of pieces) assert.is(packet.readUInt16BE(4), 777);
  const [error] = r.from('lan', errorFrom(PC1, SERVER, pieces[1].packet, { type: 11, code: 1 }));
  const offset = (pieces[1].packet.readUInt16BE(6) & 0x1fff) * 8;
  expect(error.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), icmpError({ type: 11, code: 1 }),
    bytes(make.ipv4({ source: SERVER, destination: WAN1, id: 777, ttl: 63, protocol: 17, offset, moreFragments: true }, answer.subarray(20 + offset, 20 + offset + pieces[1].packet.length - 20))));
});

test.run();
