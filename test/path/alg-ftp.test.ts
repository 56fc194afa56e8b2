/**
 * FTP through the whole pipeline: both ends, active and passive, by SNAT, port forward, 1:1 and hairpin; what must not be honoured; offloads;
 * what ends with the control connection.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PortForwardPlan } from '../../src/base/plan.js';
import { OFFLOAD_CSUM, OFFLOAD_TSO4 } from '../../src/link/batch.js';
import { EXPECTATIONS_REFUSED } from '../../src/table/counters.js';
import { CONTROL, MAPPING } from '../../src/table/flow.js';
import { ethernet, expect, icmpError, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';
import { realServer, servers } from '../support/servers.js';

const FTP = 21;
const TCP = 6;
const ONE: RigOptions = { weights: [1, 0] };
const FORWARD: PortForwardPlan = { index: 0, name: 'ftp', uplink: 0, addresses: [WAN1], protocols: [TCP], ports: { first: FTP, last: FTP }, to: PC2, toPort: FTP };

/** One end of a TCP connection, as good as the test needs it. */
class End {
  readonly r: Rig;
  readonly link: LinkName;
  readonly address: string;
  port: number;
  peer: string;
  peerPort: number;
  next: number;
  expected = 0;

  constructor(r: Rig, link: LinkName, address: string, port: number, peer: string, peerPort: number, next: number) {
    this.r = r; this.link = link; this.address = address; this.port = port; this.peer = peer; this.peerPort = peerPort;
    this.next = next;
  }

  packet(flags: string, text = '', checksum: make.Checksum = 'right'): Buffer {
    return make.ipv4({ source: this.address, destination: this.peer, dontFragment: true }, make.tcp({
      sourcePort: this.port, destinationPort: this.peerPort, sequence: this.next, acknowledgement: this.expected, flags, payload: Buffer.from(text, 'latin1'), checksum,
    }));
  }

  /** Send a text; what leaves the router. */
  say(text: string, flags = 'PA'): Sent[] {
    const sent = this.r.from(this.link, this.packet(flags, text));
    this.next = (this.next + text.length + (flags.includes('F') ? 1 : 0)) >>> 0;
    return sent;
  }

  ack(): Sent[] { return this.r.from(this.link, this.packet('A')); }
}

interface Control { r: Rig; client: End; server: End }

const payload = (sent: Sent): string => sent.packet.subarray(20 + (sent.packet[32] >> 4) * 4).toString('latin1');
const sequence = (sent: Sent): number => sent.packet.readUInt32BE(24);
const acknowledgement = (sent: Sent): number => sent.packet.readUInt32BE(28);
const commas = (address: string, port: number): string => `${address.replaceAll('.', ',')},${port >> 8},${port & 255}`;
const counts = (r: Rig) => r.router.watch.counts[0];

/** Take what came for an end: its next expected number follows. */
function hear(end: End, sent: Sent[], text?: string): void {
  for (const one of sent) {
    expect(one.packet, ipv4({ destination: end.address }), tcp({ destinationPort: end.port }));
    end.expected = (sequence(one) + payload(one).length + ((one.packet[33] & 3) !== 0 ? 1 : 0)) >>> 0;
  }
  if (text !== undefined) assert.is(sent.map(payload).join(''), text);
}

/** An open control connection with its greeting said. */
function control(r: Rig, client: End, server: End): Control {
  const [syn] = r.from(client.link, client.packet('S'));
  assert.ok(syn !== undefined, 'the SYN left');
  client.next = (client.next + 1) >>> 0;
  Object.assign(server, { peer: make.formatAddress(syn.packet.subarray(12, 16)), peerPort: syn.packet.readUInt16BE(20), port: syn.packet.readUInt16BE(22), expected: (sequence(syn) + 1) >>> 0 });
  const [answer] = r.from(server.link, server.packet('SA'));
  server.next = (server.next + 1) >>> 0;
  client.expected = (sequence(answer) + 1) >>> 0;
  client.ack();
  hear(client, server.say('220 ready\r\n'), '220 ready\r\n');
  client.ack();
  return { r, client, server };
}

const START = 0xffff_fff0;
/** PC1 behind SNAT, the server outside. */
const clientInside = (options: RigOptions = {}): Control => {
  const r = rig({ ...ONE, ...options });
  return control(r, new End(r, 'lan', PC1, 40_000, SERVER, FTP, START), new End(r, 'wan1', SERVER, FTP, WAN1, 40_000, 7000));
};
/** The server PC2 behind a rule, the client outside. */
const serverInside = (options: RigOptions = {}, address = WAN1): Control => {
  const r = rig({ ...ONE, plan: { portForwards: [FORWARD] }, ...options });
  return control(r, new End(r, 'wan1', SERVER, 40_000, address, FTP, START), new End(r, 'lan', PC2, FTP, SERVER, 40_000, 7000));
};
const syn = (source: string, sourcePort: number, destination: string, destinationPort: number): Buffer =>
  make.ipv4({ source, destination }, make.tcp({ sourcePort, destinationPort, flags: 'S' }));
const port = (text: string): number => {
  const [high, low] = text.split(',').slice(-2).map((word) => Number.parseInt(word, 10));
  return high * 256 + low;
};

for (const filtering of ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const) {
  test(`active, client inside, ${filtering} filtering: PORT names the external address and the server's connection gets in`, () => {
    const { r, client, server } = clientInside({ uplink: { filtering } });
    const [sent] = client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
    expect(sent.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ payload: Buffer.from(`PORT ${commas(WAN1, 51_234)}\r\n`) }));
    hear(server, [sent]);
    assert.is(r.router.expectations.count, 1);
    assert.is(counts(r).announced, 1);
    // RFC 959 §5.2: from port 20.
    const [data] = r.from('wan1', syn(SERVER, 20, WAN1, 51_234));
    assert.is(data.link, 'lan');
    expect(data.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ sourcePort: 20, destinationPort: 51_234, flags: 'S' }));
    assert.is(r.router.expectations.count, 0);
    assert.is(r.router.expectations.used, 1);
    const [answer] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 51_234, destinationPort: 20, flags: 'SA' })));
    assert.is(answer.link, 'wan1');
    expect(answer.packet, ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 51_234, destinationPort: 20 }));
  });
}

test('a data flow is marked as its control flow’s', () => {
  const { r, client } = clientInside();
  client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
  r.from('wan1', syn(SERVER, 20, WAN1, 51_234));
  const { flows } = r.router;
  const marks = [0, 1].map((flow) => flows.words[flows.at(flow) + CONTROL]);
  assert.equal(marks, [-1, 0]);
});

test('nobody but the server is expected, and only once', () => {
  const { r, client } = clientInside({ uplink: { filtering: 'address-and-port-dependent' } });
  client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
  const gotIn = (sent: Sent[]): Sent[] => sent.filter(({ link }) => link === 'lan');
  assert.equal(gotIn(r.from('wan1', syn('198.51.100.8', 20, WAN1, 51_234))), []);
  assert.is(r.from('wan1', syn(SERVER, 20, WAN1, 51_234)).length, 1);
  assert.equal(gotIn(r.from('wan1', syn(SERVER, 2020, WAN1, 51_234))), []);
});

// conforms: vs-ftp
test('what follows an edit is numbered on, both ways, and what is sent again is edited again', () => {
  const { client, server } = clientInside();
  const line = `PORT ${commas(PC1, 51_234)}\r\n`;
  const there = `PORT ${commas(WAN1, 51_234)}\r\n`;
  const grown = there.length - line.length;
  assert.ok(grown > 0);
  const first = client.next;
  const [sent] = client.say(line);
  assert.is(sequence(sent), first);
  // Again, whole and in two other cuts: each time the same bytes at the same place.
  client.next = first;
  assert.is(payload(client.say(line)[0]), there);
  client.next = (first + 9) >>> 0;
  const [middle] = client.say(line.slice(9));
  assert.is(sequence(middle), (first + 5) >>> 0, 'it brings the whole text along');
  assert.is(payload(middle), there.slice(5));
  client.next = first;
  assert.is(payload(client.say(line.slice(0, 12))[0]), there.slice(0, -1), 'as far as it has been read');
  client.next = (first + line.length) >>> 0;
  const [next] = client.say('RETR x\r\n');
  assert.is(sequence(next), (first + there.length) >>> 0);
  hear(server, [next]);
  const [reply] = server.say('200 ok\r\n');
  assert.is(acknowledgement(reply), client.next, 'acknowledged as the client counts');
  // After the edit is forgotten the difference stays.
  const [later] = client.say('NOOP\r\n');
  assert.is((sequence(later) - client.next + 6) | 0, grown);
});

for (const [what, make_, seen] of [
  ['PORT', (address: string, p: number) => `PORT ${commas(address, p)}\r\n`, (text: string) => port(text)],
  ['EPRT', (address: string, p: number) => `EPRT |1|${address}|${p}|\r\n`, (text: string) => Number(text.split('|')[3])],
] as const) {
  test(`${what} cut at every place gets across whole, and is expected`, () => {
    for (let cut = 1; cut < make_(PC1, 51_234).length; cut++) {
      const { r, client, server } = clientInside();
      const line = make_(PC1, 51_234);
      const parts = client.say(line.slice(0, cut)).concat(client.say(line.slice(cut)));
      let text = '';
      let next = sequence(parts[0]);
      for (const part of parts) {
        const data = payload(part);
        if (data === '') {
          assert.is(sequence(part), (next - 1) >>> 0, 'asks for an acknowledgement');
          continue;
        }
        assert.is(sequence(part), next, `cut at ${cut}`);
        next = (next + data.length) >>> 0;
        text += data;
      }
      assert.is(text, make_(WAN1, 51_234), `cut at ${cut}`);
      assert.is(seen(text), 51_234);
      assert.is(r.router.expectations.count, 1);
      server.expected = next;
      assert.is(acknowledgement(server.ack()[0]), client.next);
    }
  });

  test(`${what} byte by byte from a client that waits for each acknowledgement`, () => {
    const { r, client, server } = clientInside();
    const line = make_(PC1, 51_234);
    let text = '';
    for (const byte of line) {
      const sent = client.say(byte);
      assert.is(sent.length, 1);
      if (payload(sent[0]) !== '') {
        assert.is(sequence(sent[0]), server.expected);
        hear(server, sent);
      }
      text += payload(sent[0]);
      assert.is(acknowledgement(server.ack()[0]), client.next, `after ${JSON.stringify(text)}`);
    }
    assert.is(text, make_(WAN1, 51_234));
    assert.is(r.router.expectations.count, 1);
  });
}

test('held bytes are brought again when the segment that completed them was lost', () => {
  const { client, server } = clientInside();
  hear(server, client.say('PORT 192,168,'));
  assert.is(acknowledgement(server.ack()[0]), client.next, 'they are acknowledged');
  const at = client.next;
  const [lost] = client.say('0,4,200,34\r\n');
  client.next = at;
  const [again] = client.say('0,4,200,34\r\n');
  assert.equal(again.packet.subarray(24), lost.packet.subarray(24));
  assert.is(payload(again), `${commas(WAN1, 51_234)}\r\n`);
  assert.is(sequence(again), server.expected);
});

test('a line that ends with the connection is let out as it is', () => {
  const { client, server } = clientInside();
  hear(server, client.say('PORT 192,168'));
  const [end] = client.say('', 'FA');
  assert.is(payload(end), '192,168');
  assert.is(end.packet[33] & 1, 1);
  assert.is(sequence(end), server.expected);
  client.next = (client.next - 1) >>> 0;
  assert.is(payload(client.say('', 'FA')[0]), '192,168', 'and again');
  hear(server, [end]);
  assert.is(acknowledgement(server.ack()[0]), client.next);
});

test('several commands in one segment, some of them to be edited', () => {
  const { r, client } = clientInside();
  const text = (address: string): string => `TYPE I\r\nPORT ${commas(address, 50_001)}\r\nLIST\r\nEPRT |1|${address}|50002|\r\nNOOP\r\n`;
  const [sent] = client.say(text(PC1));
  assert.is(payload(sent), text(WAN1));
  assert.is(r.router.expectations.count, 2);
});

test('more edits than are kept in flight: the rest waits for its sender to send it again', () => {
  const { client, server } = clientInside();
  const line = (address: string, i: number): string => `EPRT |1|${address}|${50_000 + i}|\r\n`;
  const all = (address: string): string => Array.from({ length: 20 }, (_, i) => line(address, i)).join('');
  let text = '';
  let una = client.next;
  const origin = client.next;
  for (let round = 0; text.length < all(WAN1).length; round++) {
    assert.ok(round < 5, 'comes on with every round');
    client.next = una;
    const [sent] = client.say(all(PC1).slice((una - origin) >>> 0));
    assert.is(sequence(sent), server.expected);
    text += payload(sent);
    hear(server, [sent]);
    una = acknowledgement(server.ack()[0]);
  }
  assert.is(text, all(WAN1));
  assert.is(una, (origin + all(PC1).length) >>> 0);
});

test('commands count in any case of letters and behind Telnet commands', () => {
  for (const before of ['port ', 'PoRt ', 'PORT  ', '\xff\xf4\xff\xf2PORT ', '\xff\xf4\xf2port ', '\xff\xfb\x01PORT ', '\r\nPORT ']) {
    const { client } = clientInside();
    assert.is(payload(client.say(`${before}${commas(PC1, 50_000)}\r\n`)[0]), `${before}${commas(WAN1, 50_000)}\r\n`);
  }
});

test('an address that is not the client’s own is left alone (RFC 2577 §3)', () => {
  for (const line of [`PORT ${commas(PC2, 50_000)}`, `PORT ${commas(SERVER, 50_000)}`, `EPRT |1|${PC2}|50000|`]) {
    const { r, client } = clientInside();
    assert.is(payload(client.say(`${line}\r\n`)[0]), `${line}\r\n`);
    assert.is(counts(r).foreign, 1);
    assert.is(r.router.expectations.count, 0);
  }
});

test('a port below 1024 is refused, and left alone', () => {
  const { r, client } = clientInside();
  assert.is(payload(client.say(`PORT ${commas(PC1, 22)}\r\nEPRT |1|${PC1}|1023|\r\n`)[0]), `PORT ${commas(PC1, 22)}\r\nEPRT |1|${PC1}|1023|\r\n`);
  assert.is(counts(r).refused, 2);
  assert.is(r.router.expectations.count, 0);
});

test('what is no command of FTP is not honoured: bad numbers, other families, another protocol, TLS', () => {
  for (const line of ['PORT 192,168,0,4,256,1', 'PORT 192,168,0,4,1', 'PORT 192,168,0,4,1,2,3', 'PORT 192.168.0.4,200,1', `EPRT |2|::1|50000|`, `EPRT |1|${PC1}|70000|`,
    `EPRT |1|${PC1}|0|`, `XPORT ${commas(PC1, 50_000)}`, `SITE PORT ${commas(PC1, 50_000)}`]) {
    const { r, client } = clientInside();
    assert.is(payload(client.say(`${line}\r\n`)[0]), `${line}\r\n`);
    assert.is(r.router.expectations.count, 0, line);
  }
  const request = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nPORT ${commas(PC1, 50_000)}\r\n`;
  const web = clientInside();
  assert.is(payload(web.client.say(request)[0]), request);
  assert.is(counts(web.r).unreadable, 1);
  const tls = clientInside();
  tls.client.say('AUTH TLS\r\n');
  const hello = `\x16\x03\x01\x00\x05PORT ${commas(PC1, 50_000)}\r\n`;
  assert.is(payload(tls.client.say(hello)[0]), hello);
  assert.is(tls.r.router.expectations.count, 0);
});

test('passive, client inside: the answer is left alone, and the data connection goes by the control connection’s uplink', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const r = rig({ separate: true, weights: [1, 1], seed });
    const client = new End(r, 'lan', PC1, 40_000, SERVER, FTP, START);
    const [first] = r.from('lan', client.packet('S'));
    const address = first.link === 'wan1' ? WAN1 : '203.0.113.2';
    client.next = (client.next + 1) >>> 0;
    const server = new End(r, first.link, SERVER, FTP, address, 40_000, 7000);
    server.expected = (sequence(first) + 1) >>> 0;
    hear(client, r.from(first.link, server.packet('SA')));
    server.next++;
    for (let i = 0; i < 4; i++) {
      client.say(i & 1 ? 'PASV\r\n' : 'EPSV\r\n');
      const text = i & 1 ? `227 Entering Passive Mode (${commas(SERVER, 30_000 + i)}).\r\n` : `229 Entering Extended Passive Mode (|||${30_000 + i}|)\r\n`;
      hear(client, server.say(text), text);
      const [data] = r.from('lan', syn(PC1, 41_000 + i, SERVER, 30_000 + i));
      assert.is(data.link, first.link);
      expect(data.packet, ipv4({ source: address, destination: SERVER }), tcp({ destinationPort: 30_000 + i }));
    }
    assert.is(r.router.expectations.used, 4);
    assert.is(counts(r).edited, 0);
  }
});

test('passive, server inside behind a port forward: 227 and 229 name an external port, and the client gets in', () => {
  for (const filtering of ['endpoint-independent', 'address-and-port-dependent'] as const) {
    const { r, client, server } = serverInside({ uplink: { filtering } });
    hear(server, client.say('PASV\r\n'), 'PASV\r\n');
    const [reply] = server.say(`227 Entering Passive Mode (${commas(PC2, 30_000)}).\r\n`);
    assert.is(payload(reply), `227 Entering Passive Mode (${commas(WAN1, 30_000)}).\r\n`);
    const [data] = r.from('wan1', syn(SERVER, 41_000, WAN1, 30_000));
    expect(data.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: SERVER, destination: PC2 }), tcp({ sourcePort: 41_000, destinationPort: 30_000 }));
    const [answer] = r.from('lan', make.ipv4({ source: PC2, destination: SERVER }, make.tcp({ sourcePort: 30_000, destinationPort: 41_000, flags: 'SA' })));
    assert.is(answer.link, 'wan1');
    expect(answer.packet, ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 30_000 }));
    hear(client, [reply]);
    hear(server, client.say('EPSV\r\n'), 'EPSV\r\n');
    assert.is(payload(server.say('229 Entering Extended Passive Mode (|||30001|)\r\n')[0]), '229 Entering Extended Passive Mode (|||30001|)\r\n');
    assert.is(r.from('wan1', syn(SERVER, 41_001, WAN1, 30_001)).length, 1);
  }
});

test('the external port need not be the server’s: one that another host has is replaced in the text', () => {
  const { r, client, server } = serverInside();
  r.from('lan', syn(PC1, 30_000, '198.51.100.99', 80));
  client.say('PASV\r\nEPSV\r\n');
  const first = payload(server.say(`227 Entering Passive Mode (${commas(PC2, 30_000)}).\r\n`)[0]);
  const external = port(first.slice(first.indexOf('('), -4));
  assert.is.not(external, 30_000);
  assert.is(first, `227 Entering Passive Mode (${commas(WAN1, external)}).\r\n`);
  assert.is(payload(server.say('229 Ok (|||30000|)\r\n')[0]), `229 Ok (|||${external}|)\r\n`);
  const [data] = r.from('wan1', syn(SERVER, 41_000, WAN1, external));
  expect(data.packet, ipv4({ destination: PC2 }), tcp({ destinationPort: 30_000 }));
});

test('passive answers: several forms, of several lines, and a server that knows its external address', () => {
  for (const [before, after] of [['227 Entering Passive Mode (', ')\r\n'], ['227 =', '\r\n'], ['227 Mode 1 is passive: ', '.\r\n'], ['227-Welcome\r\n 227 no 1,2\r\n227 ok (', ')\r\n']]) {
    for (const own of [PC2, WAN1]) {
      const { r, client, server } = serverInside();
      client.say('PASV\r\n');
      assert.is(payload(server.say(before + commas(own, 30_000) + after)[0]), before + commas(WAN1, 30_000) + after);
      assert.is(r.router.expectations.count, 1);
    }
  }
});

test('passive answers are not honoured when nobody asked, within another reply, or for another host', () => {
  for (const [question, text] of [
    ['NOOP', `227 Entering Passive Mode (${commas(PC2, 30_000)})`], ['EPSV ALL', '229 Ok (|||30000|)'],
    ['PASV', `211-Files\r\n227 Entering Passive Mode (${commas(PC2, 30_000)})\r\n211 End`], ['PASV', `227 Ok (${commas(PC1, 30_000)})`], ['PASV', `227 Ok (${commas(PC2, 80)})`],
    ['EPSV', '229 Ok (||30000|)'], ['EPSV', '229 Ok (|||99999|)'], ['EPSV', '229 Ok (|1|10.0.0.1|30000|)'], ['PASV', `500 (${commas(PC2, 30_000)})`],
  ]) {
    const { r, client, server } = serverInside();
    client.say(`${question}\r\n`);
    assert.is(payload(server.say(`${text}\r\n`)[0]), `${text}\r\n`);
    assert.is(r.router.expectations.count, 0, text);
  }
});

// conforms: vs-ftp
test('227 cut at every place', () => {
  const line = (address: string): string => `227 Entering Passive Mode (${commas(address, 30_000)}).\r\n`;
  for (let cut = 1; cut < line(PC2).length; cut++) {
    const { client, server } = serverInside();
    hear(server, client.say('PASV\r\n'));
    const parts = [...server.say(line(PC2).slice(0, cut)), ...server.say(line(PC2).slice(cut))];
    assert.is(parts.map(payload).join(''), line(WAN1), `cut at ${cut}`);
    hear(client, parts);
    assert.is(acknowledgement(client.ack()[0]), server.next);
  }
});

test('active, server inside: its connection bears the address its client knows, from the port of the service, by the same uplink', () => {
  for (const weights of [[1, 0], [0, 1]] as [number, number][]) {
    const { r, client, server } = serverInside({ weights });
    hear(server, client.say(`PORT ${commas(SERVER, 52_000)}\r\n`), `PORT ${commas(SERVER, 52_000)}\r\n`);
    const [data] = r.from('lan', syn(PC2, 20, SERVER, 52_000));
    assert.is(data.link, 'wan1', 'however new flows are balanced');
    expect(data.packet, ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 20, destinationPort: 52_000 }));
    const [answer] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 52_000, destinationPort: 20, flags: 'SA' })));
    expect(answer.packet, ipv4({ destination: PC2 }), tcp({ sourcePort: 52_000, destinationPort: 20 }));
    client.say(`PORT ${commas(SERVER, 52_001)}\r\n`);
    const [high] = r.from('lan', syn(PC2, 34_567, SERVER, 52_001));
    assert.is(high.link, 'wan1');
    expect(high.packet, ipv4({ source: WAN1 }), tcp({ sourcePort: 34_567, destinationPort: 52_001 }));
    const { flows } = r.router;
    assert.is(flows.words[flows.at(2) + MAPPING] & 0xffff, 34_567, 'that port is its own');
  }
});

test('a server behind 1:1 keeps its ports', () => {
  const external = '192.168.201.50';
  const oneToOne = [{ index: 0, name: 'pc2', uplink: 0, external, internal: PC2 }];
  const { r, client, server } = serverInside({ plan: { oneToOne } }, external);
  hear(server, client.say('PASV\r\n'));
  const [reply] = server.say(`227 Ok (${commas(PC2, 30_000)})\r\n`);
  assert.is(payload(reply), `227 Ok (${commas(external, 30_000)})\r\n`);
  hear(client, [reply]);
  const [data] = r.from('wan1', syn(SERVER, 41_000, external, 30_000));
  expect(data.packet, ipv4({ destination: PC2 }), tcp({ destinationPort: 30_000 }));
  hear(server, client.say(`PORT ${commas(SERVER, 52_000)}\r\n`));
  expect(r.from('lan', syn(PC2, 20, SERVER, 52_000))[0].packet, ipv4({ source: external }), tcp({ sourcePort: 20 }));
});

test('a client behind 1:1 keeps its ports', () => {
  const external = '192.168.201.50';
  const r = rig({ ...ONE, plan: { oneToOne: [{ index: 0, name: 'pc1', uplink: 0, external, internal: PC1 }] } });
  const { client } = control(r, new End(r, 'lan', PC1, 40_000, SERVER, FTP, START), new End(r, 'wan1', SERVER, FTP, external, 40_000, 7000));
  assert.is(payload(client.say(`PORT ${commas(PC1, 51_234)}\r\n`)[0]), `PORT ${commas(external, 51_234)}\r\n`);
  expect(r.from('wan1', syn(SERVER, 20, external, 51_234))[0].packet, ipv4({ destination: PC1 }), tcp({ destinationPort: 51_234 }));
});

test('hairpin: client and server inside, by the external address, both modes', () => {
  const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
  const { client, server } = control(r, new End(r, 'lan', PC1, 40_000, WAN1, FTP, START), new End(r, 'lan', PC2, FTP, WAN1, 40_000, 7000));
  const [command] = client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
  assert.is(payload(command), `PORT ${commas(WAN1, 51_234)}\r\n`);
  hear(server, [command]);
  const [active] = r.from('lan', syn(PC2, 20, WAN1, 51_234));
  expect(active.packet, ipv4({ source: WAN1, destination: PC1 }), tcp({ destinationPort: 51_234 }));
  hear(server, client.say('PASV\r\n'), 'PASV\r\n');
  const [reply] = server.say(`227 Ok (${commas(PC2, 30_000)})\r\n`);
  assert.is(payload(reply), `227 Ok (${commas(WAN1, 30_000)})\r\n`);
  const [passive] = r.from('lan', syn(PC1, 41_000, WAN1, 30_000));
  expect(passive.packet, ipv4({ source: WAN1, destination: PC2 }), tcp({ destinationPort: 30_000 }));
});

test('ahead of missing bytes a segment is refused where its text might have to change, and passes where not', () => {
  const { r, client, server } = clientInside();
  const at = client.next;
  client.next = (at + 100) >>> 0;
  r.refused('CONTROL_GAP', 'lan', client.packet('PA', 'NOOP\r\n'));
  client.next = at;
  assert.is(client.say('x'.repeat(7)).length, 1);
  server.next = (server.next + 100) >>> 0;
  assert.is(server.say('200 later\r\n').length, 1);
  // A stranger's guess, far off: it passes, and the reading goes on where it was.
  const there = server.next;
  server.next = (there + 0x1000_0000) >>> 0;
  server.say('999 far\r\n');
  server.next = there;
  assert.is(r.router.watch.at(0).streams[1].next, there | 0);
});

test('a wrong checksum stays wrong and is not read', () => {
  const { r, client } = clientInside();
  const [sent] = r.from('lan', client.packet('PA', `PORT ${commas(PC1, 51_234)}\r\n`, 'wrong'));
  expect(sent.frame, ethernet(), ipv4(), tcp({ checksum: 'wrong', payload: Buffer.from(`PORT ${commas(PC1, 51_234)}\r\n`) }));
  assert.is(r.router.expectations.count, 0);
  assert.is(payload(client.say(`PORT ${commas(PC1, 51_234)}\r\n`)[0]), `PORT ${commas(WAN1, 51_234)}\r\n`);
});

const vnet = (fields: { gsoType?: number; gsoSize?: number; headers?: number }): Buffer => {
  const header = Buffer.alloc(10);
  header[0] = 1;
  header[1] = fields.gsoType ?? 0;
  header.writeUInt16LE(fields.gsoType === undefined ? 0 : 54, 2);
  header.writeUInt16LE(fields.gsoSize ?? 0, 4);
  header.writeUInt16LE(34, 6);
  header.writeUInt16LE(16, 8);
  return header;
};

test('a partial checksum stays partial, with the new length, or is finished for a link that takes none', () => {
  for (const takes of [true, false]) {
    const { r, client } = clientInside({ offloads: takes ? { wan1: OFFLOAD_CSUM } : {} });
    const [sent] = r.from('lan', client.packet('PA', `PORT ${commas(PC1, 51_234)}\r\n`, 'partial'), { vnet: vnet({}) });
    assert.is(sent.vnet[0], takes ? 1 : 0);
    expect(sent.frame, ethernet(), ipv4(), tcp({ checksum: takes ? 'partial' : 'right', payload: Buffer.from(`PORT ${commas(WAN1, 51_234)}\r\n`) }));
  }
});

test('a super-frame is edited whole, by a device that cuts it and by one that does not', () => {
  const text = (address: string): string => `${'STAT x\r\n'.repeat(300)}PORT ${commas(address, 51_234)}\r\n${'NOOP\r\n'.repeat(200)}`;
  for (const takes of [true, false]) {
    const { r, client } = clientInside({ offloads: takes ? { wan1: OFFLOAD_CSUM | OFFLOAD_TSO4 } : {} });
    const first = client.next;
    const sent = r.from('lan', client.packet('PA', text(PC1), 'partial'), { vnet: vnet({ gsoType: 1, gsoSize: 1448 }) });
    assert.is(sent.length, takes ? 1 : 3);
    let next = first;
    for (const one of sent) {
      expect(one.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ checksum: takes ? 'partial' : 'right' }));
      assert.is(sequence(one), next);
      next = (next + payload(one).length) >>> 0;
    }
    assert.is(sent.map(payload).join(''), text(WAN1));
    if (takes) assert.equal([sent[0].vnet[1], sent[0].vnet.readUInt16LE(4)], [1, 1448]);
  }
});

test('a segment that outgrows the link’s MTU leaves in two', () => {
  const { client } = clientInside();
  const text = (address: string): string => `PORT ${commas(address, 51_234)}\r\nSTAT ${'x'.repeat(1460 - 7 - `PORT ${commas(PC1, 51_234)}\r\n`.length)}\r\n`;
  assert.is(text(PC1).length, 1460);
  const first = client.next;
  const sent = client.say(text(PC1));
  assert.is(sent.length, 2);
  for (const one of sent) expect(one.frame, ethernet(), ipv4({ dontFragment: true }), tcp());
  assert.is(sent.map(payload).join(''), text(WAN1));
  assert.equal(sent.map(sequence), [first, (first + 1460) >>> 0]);
  assert.ok(sent.every(({ packet }) => packet.length <= 1500));
});

test('urgent data is pointed at where it is now', () => {
  const { client } = clientInside();
  const text = `PORT ${commas(PC1, 51_234)}\r\n\xff\xf4\xff\xf2ABOR\r\n`;
  const packet = client.packet('PAU', text, 'none');
  packet.writeUInt16BE(text.indexOf('ABOR') - 1, 20 + 18);
  packet.writeUInt16BE(0, 20 + 16);
  const body = packet.subarray(20);
  body.writeUInt16BE(~make.onesSum(make.pseudoHeader(packet.subarray(12, 16), packet.subarray(16, 20), 6, body.length), body) & 0xffff, 16);
  const [sent] = client.r.from('lan', packet);
  expect(sent.frame, ethernet(), ipv4(), tcp());
  assert.is(sent.packet.readUInt16BE(38), payload(sent).indexOf('ABOR') - 1);
});

test('a keep-alive still asks one byte before the next', () => {
  const { client, server } = clientInside();
  hear(server, client.say(`PORT ${commas(PC1, 51_234)}\r\n`));
  server.ack();
  client.next--;
  const [probe] = client.ack();
  assert.is(sequence(probe), (server.expected - 1) >>> 0);
});

// conforms: icmp-alg
test('an ICMP error quotes the sequence number its receiver has sent', () => {
  const { r, client, server } = clientInside();
  hear(server, client.say(`PORT ${commas(PC1, 51_234)}\r\n`));
  server.ack();
  const at = client.next;
  const [sent] = client.say('STAT\r\n');
  const error = make.ipv4({ source: '198.51.100.1', destination: WAN1 }, make.icmp({ type: 3, code: 4, word: 1400 }, sent.packet));
  const [told] = r.from('wan1', error);
  expect(told.frame, ethernet(), ipv4({ destination: PC1 }), icmpError({ type: 3, code: 4 }), ipv4({ source: PC1 }), tcp({ sourcePort: 40_000, sequence: at }));
});

test('expectations end: by time, with the control connection, and by newer ones; what they held is free again', () => {
  const used = (r: Rig): number => r.router.mappings.pool(r.router.mappings.poolOf(make.address(WAN1).readInt32BE(0), TCP)).used;
  const aged = clientInside({ timeouts: { expectation: 30 } });
  const before = used(aged.r);
  aged.client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
  assert.is(used(aged.r), before + 1);
  aged.r.advance(32_000, 1000);
  assert.equal([aged.r.router.expectations.count, aged.r.router.expectations.expired, used(aged.r)], [0, 1, before]);

  const closed = clientInside();
  hear(closed.server, closed.client.say(`PORT ${commas(PC1, 51_234)}\r\n`));
  hear(closed.server, closed.client.say('QUIT\r\n', 'FPA'));
  closed.server.say('221 bye\r\n', 'FPA');
  assert.equal([closed.r.router.expectations.count, used(closed.r)], [0, before]);

  const silent = clientInside({ timeouts: { expectation: 3600, tcpEstablished: 60, portQuarantine: 0 } });
  silent.client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
  silent.r.advance(62_000, 1000);
  assert.equal([silent.r.flowCount, silent.r.router.expectations.count, used(silent.r)], [0, 0, 0]);

  const many = clientInside();
  for (let i = 0; i < 10; i++) {
    hear(many.server, many.client.say(`PORT ${commas(PC1, 50_000 + i)}\r\n`));
    many.server.ack();
  }
  assert.equal([many.r.router.expectations.count, used(many.r)], [4, before + 4]);
});

test('at the limit of expectations nothing more is expected, and the text stays', () => {
  const { r, client, server } = clientInside({ limits: { expectations: 2 } });
  for (let i = 0; i < 3; i++) {
    const [sent] = client.say(`PORT ${commas(PC1, 50_000 + i)}\r\n`);
    assert.is(payload(sent), `PORT ${commas(i < 2 ? WAN1 : PC1, 50_000 + i)}\r\n`);
    hear(server, [sent]);
  }
  assert.is(r.router.expectations.refused, 1);
  assert.is(r.router.counters.getRouter(EXPECTATIONS_REFUSED), 1);
  assert.is(counts(r).refused, 1);
});

test('what is known of a flow ends with it, and a new one on the same ports begins anew', () => {
  const { r, client, server } = clientInside();
  hear(server, client.say(`PORT ${commas(PC1, 51_234)}\r\n`));
  assert.is(counts(r).watched, 1);
  hear(server, client.say('', 'FA'));
  hear(client, server.say('', 'FA'));
  client.ack();
  r.advance(200_000, 1000);
  assert.is(counts(r).watched, 0);
  r.teach();
  const again = control(r, new End(r, 'lan', PC1, 40_000, SERVER, FTP, 123), new End(r, 'wan1', SERVER, FTP, WAN1, 40_000, 99));
  assert.is(counts(r).watched, 1);
  const [sent] = again.client.say(`PORT ${commas(PC1, 51_234)}\r\n`);
  assert.is(sequence(sent), 124);
});

test('a SYN of a new connection in TIME-WAIT begins the numbers anew', () => {
  const { r, client, server } = clientInside();
  hear(server, client.say(`PORT ${commas(PC1, 51_234)}\r\n`));
  hear(server, client.say('', 'FA'));
  hear(client, server.say('', 'FA'));
  client.ack();
  const again = control(r, new End(r, 'lan', PC1, 40_000, SERVER, FTP, 0x2000_0000), new End(r, 'wan1', SERVER, FTP, WAN1, 40_000, 0x3000_0000));
  assert.is(r.flowCount, 1);
  const [sent] = again.client.say(`PORT ${commas(PC1, 51_235)}\r\n`);
  assert.is(sequence(sent), 0x2000_0001);
  assert.is(payload(sent), `PORT ${commas(WAN1, 51_235)}\r\n`);
});

test('only the ports of the plan are watched; a forwarded port counts by either number', () => {
  const other = clientInside({ plan: { algs: [] } });
  assert.is(payload(other.client.say(`PORT ${commas(PC1, 51_234)}\r\n`)[0]), `PORT ${commas(PC1, 51_234)}\r\n`);
  const r = rig({ ...ONE, plan: { portForwards: [{ ...FORWARD, ports: { first: 2121, last: 2121 } }] } });
  const { client, server } = control(r, new End(r, 'wan1', SERVER, 40_000, WAN1, 2121, START), new End(r, 'lan', PC2, FTP, SERVER, 40_000, 7000));
  hear(server, client.say('PASV\r\n'));
  assert.is(payload(server.say(`227 Ok (${commas(PC2, 30_000)})\r\n`)[0]), `227 Ok (${commas(WAN1, 30_000)})\r\n`);
});

for (const address of [WAN1, '192.168.201.80', '203.0.113.80']) {
  for (const [where, link, client, seen] of [['outside', 'wan1', SERVER, SERVER], ['inside', 'dmz', DMZ_HOST, DMZ_HOST], ['on the server’s own network', 'lan', PC1, LAN]] as const) {
    test(`a virtual server at ${address}, client ${where}: both modes, data flows are its real server’s, and end with it`, () => {
      const r = rig({ ...ONE, dmz: true, plan: servers({ addresses: address, ports: { first: FTP, last: FTP }, realServers: [{ address: PC2, port: FTP }] }) });
      const { client: caller, server } = control(r, new End(r, link, client, 40_000, address, FTP, START), new End(r, 'lan', PC2, FTP, SERVER, 40_000, 7000));
      assert.is(server.peer, seen);
      const [command] = caller.say(`PORT ${commas(client, 51_234)}\r\n`);
      assert.is(payload(command), `PORT ${commas(seen, 51_234)}\r\n`);
      hear(server, [command]);
      const [active] = r.from('lan', syn(PC2, 20, seen, 51_234));
      assert.is(active.link, link);
      expect(active.packet, ipv4({ source: address, destination: client }), tcp({ sourcePort: 20, destinationPort: 51_234, flags: 'S' }));
      const [answer] = r.from(link, make.ipv4({ source: client, destination: address }, make.tcp({ sourcePort: 51_234, destinationPort: 20, flags: 'SA', acknowledgement: 1001 })));
      assert.is(answer.link, 'lan');
      expect(answer.packet, ipv4({ source: seen, destination: PC2 }), tcp({ sourcePort: 51_234, destinationPort: 20 }));
      hear(server, caller.say('PASV\r\n'));
      const [reply] = server.say(`227 Ok (${commas(PC2, 30_000)})\r\n`);
      assert.is(payload(reply), `227 Ok (${commas(address, 30_000)})\r\n`);
      hear(caller, [reply]);
      const [passive] = r.from(link, syn(client, 41_000, address, 30_000));
      expect(passive.packet, ipv4({ source: seen, destination: PC2 }), tcp({ destinationPort: 30_000 }));
      const [open] = r.from('lan', make.ipv4({ source: PC2, destination: seen }, make.tcp({ sourcePort: 30_000, destinationPort: passive.packet.readUInt16BE(20), flags: 'SA', acknowledgement: 1001 })));
      expect(open.packet, ipv4({ source: address, destination: client }), tcp({ sourcePort: 30_000, destinationPort: 41_000 }));
      const real = realServer(r, PC2);
      assert.equal([real.chosen, real.flows, r.flowCount], [1, 3, 3], 'chosen once, for the control flow');
      r.router.setServerHealth(0, false);
      r.run();
      assert.equal([real.flows, r.flowCount, r.router.expectations.count], [0, 0, 0]);
    });
  }
}

test.run();
