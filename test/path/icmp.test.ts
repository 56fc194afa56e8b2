/** ICMP errors about flows, translated both ways (RFC 5508 §4): from middle routers and from peers, with quotes of every shape. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, ethernet, expect, icmpError, ipv4 } from '../support/expect.js';
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

  test(`${name}: a quote with IP options is translated (RFC 5508 REQ-3)`, () => {
    const r = occupied();
    const options = Buffer.from([7, 7, 4, 0, 0, 0, 0, 0]);
    const sent = make.ipv4({ source: PC1, destination: SERVER, options }, transport());
    const [out] = r.from('lan', sent);
    const [error] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet));
    expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ destination: PC1 }), icmpError({ type: 3, code: 1 }), bytes(hopLater(sent)));
  });

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

test('traceroute through the router shows the router, then the hops beyond', () => {
  const r = rig(ONE);
  const probe = (ttl: number) => make.ipv4({ source: PC1, destination: SERVER, ttl }, make.udp({ sourcePort: 4000, destinationPort: 33434 + ttl }));
  const [self] = r.from('lan', probe(1));
  expect(self.packet, ipv4({ source: '192.168.0.1', destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(probe(1)));
  const [out] = r.from('lan', probe(2));
  const [beyond] = r.from('wan1', errorFrom(MIDDLE, WAN1, out.packet, { type: 11, code: 0 }));
  expect(beyond.packet, ipv4({ source: MIDDLE, destination: PC1 }), icmpError({ type: 11, code: 0 }), bytes(hopLater(probe(2))));
});

test('errors quoting an error, a later fragment or a stub too short to name a flow are dropped', () => {
  const r = rig(ONE);
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80, payload: make.filler(100) })));
  const refused = (quote: Buffer) => {
    const dropped = ['ICMP_CHECKSUM', 'STRAY_ERROR'] as const;
    const before = dropped.map((name) => r.verdict('wan1', name));
    assert.equal(r.from('wan1', errorFrom(MIDDLE, WAN1, quote)), []);
    assert.is(dropped.reduce((sum, name, i) => sum + r.verdict('wan1', name) - before[i], 0), 1);
  };
  // A later fragment whose bytes look like the flow's ports.
  const lookalike = make.ipv4({ source: WAN1, destination: SERVER, protocol: make.PROTOCOL.udp, offset: 64 }, out.packet.subarray(20));
  refused(lookalike);
  refused(errorFrom(WAN1, SERVER, out.packet));
  refused(make.fragments(out.packet, [64])[1]);
  refused(out.packet.subarray(0, 27));
  refused(out.packet.subarray(0, 12));
  refused(Buffer.alloc(0));
});

test.run();
