/** FTP's parser on its own: what it finds does not depend on how the bytes come, and no bytes make it stumble. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AlgCounts, Conversation, READ_ALL, TEXT_EDITED } from '../../src/alg/alg.js';
import type { AlgHost } from '../../src/alg/alg.js';
import { ftp } from '../../src/alg/ftp.js';
import { TEXT_BYTES } from '../../src/alg/stream.js';
import { Tuple } from '../../src/wire/tuple.js';

const CLIENT = 0xc0a80004 | 0, OUTSIDE = 0xc0a8c90b | 0, SERVER = 0xc6336407 | 0, SERVER_INSIDE = 0x0a090909;

interface Found { expected: string[]; out: string; counts: AlgCounts; isOff: boolean }

/** Both ends translated. Outside ports are the inside ones with the last bit turned. */
function conversation(): Conversation {
  const original = new Tuple(), reply = new Tuple();
  original.setV4(CLIENT, SERVER, (40_000 << 16) | 21, 6);
  reply.setV4(SERVER_INSIDE, OUTSIDE, (21 << 16) | 40_000, 6);
  const c = new Conversation();
  c.open(0, 0, original, reply);
  c.asked = 8;
  return c;
}

/** Read a text in pieces of the given sizes (the last one again and again); every edit made. */
function read(direction: number, text: string, sizes: readonly number[], c = conversation()): Found {
  const found: Found = { expected: [], out: '', counts: new AlgCounts(), isOff: false };
  const host: AlgHost = {
    expect: (_c, from, port) => {
      found.expected.push(`${from}:${port}`);
      return port ^ 1;
    },
  };
  let out = '';
  for (let at = 0, i = 0; at < text.length; i++) {
    const bytes = Buffer.from(text.slice(at, at + Math.max(1, sizes[Math.min(i, sizes.length - 1)])), 'latin1');
    for (let from = 0; from < bytes.length && !c.isOff;) {
      const to = ftp.read(c, direction, bytes, from, bytes.length, host, found.counts);
      assert.ok(to > from && to <= bytes.length, 'it comes on');
      out += bytes.toString('latin1', from, to);
      if (ftp.outcome === READ_ALL) break;
      const reader = c.readers[direction];
      assert.ok(reader.textLength > 0 && reader.textLength <= TEXT_BYTES && c.textLength <= TEXT_BYTES);
      assert.is(Buffer.from(reader.text.subarray(0, reader.textLength)).toString('latin1'), out.slice(out.length - reader.textLength), 'the text is the bytes just read');
      if (ftp.outcome === TEXT_EDITED) out = out.slice(0, out.length - reader.textLength) + Buffer.from(c.text.subarray(0, c.textLength)).toString('latin1');
      reader.textLength = 0;
      from = to;
    }
    at += bytes.length;
  }
  found.out = out;
  found.isOff = c.isOff;
  return found;
}

const LINES: readonly { direction: number; text: string; out: string; expected: string[] }[] = [
  { direction: 0, text: 'PORT 192,168,0,4,195,80\r\n', out: 'PORT 192,168,201,11,195,81\r\n', expected: ['1:50000'] },
  { direction: 0, text: 'port 192,168,000,004,195,080\r\n', out: 'port 192,168,201,11,195,81\r\n', expected: ['1:50000'] },
  { direction: 0, text: 'PORT 192,168,201,11,195,80\r\n', out: 'PORT 192,168,201,11,195,81\r\n', expected: ['1:50000'] },
  { direction: 0, text: 'PORT 192,168,0,4,195,80\n', out: 'PORT 192,168,201,11,195,81\n', expected: ['1:50000'] },
  { direction: 0, text: 'EPRT |1|192.168.0.4|50000|\r\n', out: 'EPRT |1|192.168.201.11|50001|\r\n', expected: ['1:50000'] },
  { direction: 0, text: 'EPRT !1!192.168.0.4!65534!\r\n', out: 'EPRT !1!192.168.201.11!65535!\r\n', expected: ['1:65534'] },
  { direction: 0, text: 'EPRT |2|fe80::1:2:3:4:5:6:7:8:1:1:1:1:1:1:1|50000|\r\n', out: 'EPRT |2|fe80::1:2:3:4:5:6:7:8:1:1:1:1:1:1:1|50000|\r\n', expected: [] },
  { direction: 0, text: `PORT ${'9'.repeat(200)}\r\nNOOP\r\n`, out: `PORT ${'9'.repeat(200)}\r\nNOOP\r\n`, expected: [] },
  { direction: 0, text: 'USER PORT 192,168,0,4,195,80\r\n', out: 'USER PORT 192,168,0,4,195,80\r\n', expected: [] },
  { direction: 0, text: 'PORT\r\n192,168,0,4,195,80\r\n', out: 'PORT\r\n192', expected: [] },
  { direction: 1, text: '227 Ok (10,9,9,9,117,48)\r\n', out: '227 Ok (192,168,100,7,117,49)\r\n'.replace('192,168,100', '198,51,100'), expected: ['0:30000'] },
  { direction: 1, text: '227 10,9,9,9,117,48', out: '227 10,9,9,9,117,48', expected: [] },
  { direction: 1, text: '227 v1.2 (10,9,9,9,117,48)\n', out: '227 v1.2 (198,51,100,7,117,49)\n', expected: ['0:30000'] },
  { direction: 1, text: '227-a\r\n227-(10,9,9,9,117,48)\r\n227 (10,9,9,9,117,48)\r\n', out: '227-a\r\n227-(198,51,100,7,117,49)\r\n227 (198,51,100,7,117,49)\r\n', expected: ['0:30000', '0:30000'] },
  { direction: 1, text: '230-hi\r\n227 (10,9,9,9,117,48)\r\n230 in\r\n', out: '230-hi\r\n227 (10,9,9,9,117,48)\r\n230 in\r\n', expected: [] },
  { direction: 1, text: '229 Ok (|||30000|)\r\n', out: '229 Ok (|||30001|)\r\n', expected: ['0:30000'] },
  { direction: 1, text: '229 Ok ($$$30000$)\r\n', out: '229 Ok ($$$30001$)\r\n', expected: ['0:30000'] },
  { direction: 1, text: '229 (x) Ok (|||30000|)\r\n', out: '229 (x) Ok (|||30001|)\r\n', expected: ['0:30000'] },
  { direction: 1, text: `227 ${'1,'.repeat(100)}\r\n220 x\r\n`, out: `227 ${'1,'.repeat(100)}\r\n220 x\r\n`, expected: [] },
];

test('each line is understood, cut at every place and byte by byte', () => {
  for (const { direction, text, out, expected } of LINES) {
    for (let cut = 1; cut <= text.length; cut++) {
      const found = read(direction, text, [cut, text.length]);
      assert.equal(found.expected, expected, `${JSON.stringify(text)} cut at ${cut}`);
      if (!found.isOff) assert.is(found.out, out, `cut at ${cut}`);
    }
    assert.equal(read(direction, text, [1]).expected, expected);
  }
});

test('lines one after the other, in pieces of any size, say what they say alone', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 1 }), fc.array(fc.nat(LINES.length - 1), { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (direction, picks, sizes) => {
    const lines = picks.map((pick) => LINES[pick]).filter((line) => line.direction === direction && line.text.endsWith('\n') && !line.text.startsWith('PORT\r\n'));
    const c = conversation();
    c.asked = 100;
    const found = read(direction, lines.map((line) => line.text).join(''), sizes, c);
    assert.is(found.out, lines.map((line) => line.out).join(''));
    assert.equal(found.expected, lines.flatMap((line) => line.expected));
  }), { numRuns: 500, includeErrorInReport: true });
});

test('no bytes make it stumble, and what it finds is the same in any pieces', () => {
  const words = fc.constantFrom('PORT ', 'EPRT ', '227 ', '229 ', '227-', 'PASV', '\r\n', '\n', '(', '|||', '|1|', '192,168,0,4,', '192.168.0.4', '10,9,9,9,117,48', '50000', '|', ',', '\xff\xf4', '1');
  const text = fc.array(fc.oneof({ weight: 6, arbitrary: words }, fc.string({ unit: 'binary', maxLength: 3 }).map((raw) => Buffer.from(raw).toString('latin1'))), { maxLength: 30 }).map((parts) => parts.join(''));
  fc.assert(fc.property(fc.integer({ min: 0, max: 1 }), text, fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 }), (direction, bytes, sizes) => {
    const whole = read(direction, bytes, [100_000]);
    const pieces = read(direction, bytes, sizes);
    assert.equal(pieces.expected, whole.expected);
    assert.equal({ ...pieces.counts }, { ...whole.counts });
    if (!whole.isOff) assert.is(pieces.out, whole.out);
    for (const one of whole.expected) assert.ok(Number(one.slice(2)) >= 1024);
  }), { numRuns: 3000, includeErrorInReport: true });
});

test('a line that is no command ends the reading for good', () => {
  for (const text of ['GET / HTTP/1.1\r\nHost: x\r\n', '\x16\x03\x01\x02\x00\x01\x00', 'PO RT\r\n', 'ABCDEFGHI\r\n', ' PORT 1\r\n']) {
    const found = read(0, `${text}PORT 192,168,0,4,195,80\r\n`, [1000]);
    assert.ok(found.isOff, text);
    assert.equal(found.expected, []);
    assert.is(found.counts.unreadable, 1);
  }
  assert.not(read(0, '\r\nUSER x\r\nxsha512 a\r\nMLSD\r\n\xff\xf4\xff\xf2ABOR\r\n', [1]).isOff);
});

test.run();
