/**
 * Sequence numbers through edits of any length: two model TCP ends with the whole router between them, under loss, reordering, repetition in any
 * cut, SACK, and a sender that waits for every acknowledgement. Both ends must get exactly what they are to get, and must never be told that
 * something has arrived which has not.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PortForwardPlan } from '../../src/base/plan.js';
import { expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { RigOptions } from '../support/rig.js';
import { edited, runPair } from '../support/tcp-pair.js';
import type { Edit } from '../support/tcp-pair.js';

const FTP = 21;
const CLIENT_PORT = 40_000;
const ONE: RigOptions = { weights: [1, 0], timeouts: { portQuarantine: 0 } };
const FORWARD: PortForwardPlan = { index: 0, name: 'ftp', uplink: 0, addresses: [WAN1], protocols: [6], ports: { first: FTP, last: FTP }, to: PC2, toPort: FTP };

const commas = (address: string, port: number): string => `${address.replaceAll('.', ',')},${port >> 8},${port & 255}`;

/** A text and its edits, put together line by line. */
class Script {
  text = '';
  readonly edits: Edit[] = [];
  add(before: string, old: string, text: string, after: string): this {
    if (old !== '') this.edits.push({ at: this.text.length + before.length, old: old.length, text });
    this.text += before + old + after;
    return this;
  }
  get data(): Buffer { return Buffer.from(this.text, 'latin1'); }
}

/** Lines of a client at `inside` that is seen as `outside`. Kept to a few ports, so that mappings are used again. */
function commands(kinds: readonly number[], inside: string, outside: string): Script {
  const script = new Script();
  kinds.forEach((kind, i) => {
    const port = 50_000 + (kind >> 3) % 50 * 100;
    switch (kind & 7) {
      case 0: case 1: script.add('PORT ', commas(inside, port), commas(outside, port), '\r\n'); break;
      case 2: case 3: script.add('eprt ', `|1|${inside}|${port}|`, `|1|${outside}|${port}|`, '\r\n'); break;
      case 4: script.add(`RETR file${i}`, '', '', '\r\n'); break;
      case 5: script.add('PASV', '', '', '\r\n'); break;
      case 6: script.add('Port ', '10,9,8,7,200,1', '10,9,8,7,200,1', '\r\n'); break;
      default: script.add('\xff\xf4\xff\xf2ABOR', '', '', '\r\n');
    }
  });
  return script;
}

/** Answers of a server at `inside` that is known as `outside`. */
function replies(kinds: readonly number[], inside: string, outside: string): Script {
  const script = new Script().add('220 ready', '', '', '\r\n');
  kinds.forEach((kind, i) => {
    if ((kind & 7) === 5) {
      const port = 30_000 + i * 10;
      if (kind & 8) script.add('227 Entering Passive Mode (', commas(inside, port), commas(outside, port), ').\r\n');
      else script.add('229 Entering Extended Passive Mode (', `|||${port}|`, `|||${port}|`, ')\r\n');
    } else {
      script.add(`200-${'x'.repeat(kind % 90)}\r\n 227 not (1,2,3,4,5,6)\r\n200 ok`, '', '', '\r\n');
    }
  });
  return script;
}

const kinds = fc.array(fc.nat(2047), { minLength: 1, maxLength: 14 });
const network = fc.record({ loss: fc.constantFrom(0, 0.05, 0.3), seed: fc.nat(), most: fc.constantFrom(1, 3, 7, 20, 60, 400), waits: fc.boolean() });
const right = (packet: Buffer): void => expect(packet, ipv4(), tcp());

for (const [what, snat, outside] of [['grows', [WAN1], WAN1], ['shrinks', ['9.9.9.9'], '9.9.9.9']] as const) {
  test(`a client inside: its text ${what}`, () => {
    fc.assert(fc.property(kinds, network, (lines, { loss, seed, most, waits }) => {
      const r = rig({ ...ONE, snat: [...snat] });
      const said = commands(lines, PC1, outside);
      const answer = Buffer.alloc(300, 'n\r\n');
      const { client, server } = runPair(r, {
        client: { link: 'lan', address: PC1, port: CLIENT_PORT, peer: SERVER, peerPort: FTP, data: said.data, most, waits },
        server: { link: 'wan1', address: SERVER, port: FTP, peer: outside, peerPort: CLIENT_PORT, data: answer },
        loss, seed, check: right, clientEdits: said.edits,
      });
      assert.is(server.received.toString('latin1'), edited(said.data, said.edits).toString('latin1'));
      assert.is(client.received.toString('latin1'), answer.toString('latin1'));
    }), { numRuns: 40, includeErrorInReport: true });
  });
}

test('both directions at once: a client and a server inside, by the external address', () => {
  fc.assert(fc.property(kinds, kinds, network, (lines, answers, { loss, seed, most, waits }) => {
    const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
    const said = commands(lines, PC1, WAN1).add('PASV\r\n'.repeat(8), '', '', '');
    const told = replies(answers.slice(0, 8), PC2, WAN1);
    const arrives = edited(said.data, said.edits);
    const { client, server } = runPair(r, {
      client: { link: 'lan', address: PC1, port: CLIENT_PORT, peer: WAN1, peerPort: FTP, data: said.data, most, waits },
      // An answer counts only when it was asked for.
      server: { link: 'lan', address: PC2, port: FTP, peer: WAN1, peerPort: CLIENT_PORT, data: told.data, most, waits, after: arrives.length },
      loss, seed, check: right, clientEdits: said.edits, serverEdits: told.edits,
    });
    assert.is(server.received.toString('latin1'), arrives.toString('latin1'));
    assert.is(client.received.toString('latin1'), edited(told.data, told.edits).toString('latin1'));
  }), { numRuns: 30, includeErrorInReport: true });
});

test('whatever segments come, none makes it stumble, and sums stay what they were', () => {
  const near = fc.integer({ min: -40, max: 40 });
  const word = fc.constantFrom('PORT ', commas(PC1, 50_000), 'EPRT |1|', PC1, '|50001|', '\r\n', '227 (', commas(PC2, 30_000), ')', '1', 'PASV\r\n', '\xff\xf4');
  const options = fc.oneof(fc.constant(Buffer.alloc(0)), fc.uint8Array({ minLength: 40, maxLength: 40 }).map((raw) => Buffer.from(raw)),
    fc.tuple(fc.constantFrom(10, 18, 26, 9, 34, 2, 0, 255), fc.array(near, { minLength: 9, maxLength: 9 })).map(([length, edges]) => {
      const option = Buffer.alloc(36, 1);
      edges.slice(0, 8).forEach((edge, i) => option.writeUInt32BE((5001 + edge) >>> 0, 4 + i * 4));
      option[2] = 5;
      option[3] = length;
      return option;
    }));
  const segment = fc.record({
    fromClient: fc.boolean(), flags: fc.constantFrom('A', 'PA', 'FA', 'PAU', 'RA', 'R', 'S', 'SA', 'FPA'), seq: near, ack: near, text: fc.array(word, { maxLength: 6 }).map((parts) => parts.join('')), options,
    checksum: fc.constantFrom('right' as const, 'right' as const, 'wrong' as const),
  });
  fc.assert(fc.property(fc.array(segment, { maxLength: 40 }), (segments) => {
    const r = rig({ ...ONE, plan: { portForwards: [FORWARD] } });
    const make_ = (fromClient: boolean, fields: make.TcpFields, sequence: number, acknowledgement: number): Buffer => make.ipv4({ source: fromClient ? PC1 : PC2, destination: WAN1 }, make.tcp({
      ...fields, sourcePort: fromClient ? CLIENT_PORT : FTP, destinationPort: fromClient ? FTP : CLIENT_PORT, sequence: sequence >>> 0, acknowledgement: acknowledgement >>> 0,
    }));
    const ports = { sourcePort: 0, destinationPort: 0 };
    r.from('lan', make_(true, { ...ports, flags: 'S' }, 999, 0));
    r.from('lan', make_(false, { ...ports, flags: 'SA' }, 5000, 1000));
    let client = 1000, server = 5001;
    for (const { fromClient, flags, seq, ack, text, options: bytes, checksum } of segments) {
      // Half of them right in place, so that there is something to stumble over.
      const place = (fromClient ? client : server) + (seq > 0 ? 0 : seq);
      const payload = Buffer.from(text, 'latin1');
      const packet = make_(fromClient, { ...ports, flags, options: bytes, payload, checksum }, place, (fromClient ? server : client) + ack);
      for (const sent of r.from('lan', packet)) {
        if (sent.packet[9] !== 6) continue;
        expect(sent.packet, ipv4(), tcp({ checksum }));
      }
      if (fromClient) client = Math.max(client, place + payload.length);
      else server = Math.max(server, place + payload.length);
    }
  }), { numRuns: 400, includeErrorInReport: true });
});

test.run();
