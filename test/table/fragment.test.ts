/** Datagrams put together again, against the naive way; and everything that must not be put together. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FragmentTable, MAX_PIECES } from '../../src/table/fragment.js';
import type { AddResult } from '../../src/table/fragment.js';
import { headerLength, ipv4, reassemble } from '../support/oracle/ipv4.js';
import { anySeed, bytesOf, check } from '../support/oracle/property.js';

const SOURCE = 0x0a000001;
const DESTINATION = 0x0a000002;
const arena = new Uint8Array(200_000);
const AT = 64;

/** Room for so much of one source; four times that for all together. */
function table(limit = 32, limitBytes = 4_000_000, timeoutMs = 30_000): FragmentTable { return new FragmentTable(limit, limitBytes, 1, timeoutMs); }

/** A fragment as it travels: `offset` in bytes. */
function fragment(id: number, offset: number, more: boolean, payload: Uint8Array, options = 0): Buffer {
  return ipv4({ source: SOURCE, destination: DESTINATION, protocol: 17, id, fragment: (more ? 0x2000 : 0) | (offset / 8), options: Buffer.alloc(options, 1) }, payload);
}

function add(t: FragmentTable, bytes: Buffer, nowMs = 0, link = 0): AddResult {
  arena.set(bytes, AT);
  const word = bytes.readUInt16BE(6);
  return t.add(arena, AT, AT + bytes.length, headerLength(bytes), bytes.readInt32BE(12), bytes.readInt32BE(16), bytes[9], bytes.readUInt16BE(4),
    (word & 0x1fff) * 8, (word & 0x2000) !== 0, link, nowMs);
}

/** The pieces of the assembly the last `add` worked on, as they were received. */
function pieces(t: FragmentTable): Buffer[] {
  const assembly = t.assembly(t.current);
  return assembly.slots.map((_, i) => Buffer.from(t.piece(assembly, i).subarray(0, assembly.headers[i] + assembly.lengths[i])));
}

/** Cut a payload at multiples of eight; each piece with options of its own length. */
function cut(id: number, payload: Uint8Array, cuts: readonly number[], options: number): Buffer[] {
  const at = [...new Set([0, ...cuts.map((c) => (c * 8) % payload.length).map((c) => c - (c % 8))])].sort((a, b) => a - b);
  return at.map((from, i) => fragment(id, from, i < at.length - 1, payload.subarray(from, at[i + 1] ?? payload.length), i === 0 ? options : 0));
}

const datagram = fc.record({
  seed: anySeed, length: fc.oneof(fc.integer({ min: 16, max: 400 }), fc.integer({ min: 16, max: 20_000 })), cuts: fc.array(fc.nat({ max: 2500 }), { minLength: 1, maxLength: 12 }),
  options: fc.constantFrom(0, 4, 40),
});

test('in whatever order, mixed with others and with copies of themselves, datagrams come out whole and once', () => {
  check(fc.property(fc.array(datagram, { minLength: 1, maxLength: 4 }), fc.infiniteStream(fc.nat()), fc.integer({ min: 0, max: 3 }), (datagrams, stream, copies) => {
    const t = table();
    const next = (): number => stream.next().value as number;
    const wholes = datagrams.map((d, id) => reassemble(cut(id, bytesOf(d.seed, d.length), d.cuts, d.options)));
    const arriving = datagrams.flatMap((d, id) => cut(id, bytesOf(d.seed, d.length), d.cuts, d.options));
    for (let i = arriving.length - 1; i > 0; i--) {
      const other = next() % (i + 1);
      [arriving[i], arriving[other]] = [arriving[other], arriving[i]];
    }
    const missing = new Map(datagrams.map((_, id) => [id, arriving.filter((f) => f.readUInt16BE(4) === id).length]));
    const seen: Buffer[] = [];
    for (const bytes of arriving) {
      const id = bytes.readUInt16BE(4);
      // A copy of something that is here already changes nothing.
      for (let c = 0; c < copies && seen.length > 0; c++) {
        const again = seen[next() % seen.length];
        if ((missing.get(again.readUInt16BE(4)) as number) > 0) assert.is(add(t, again), 'copy');
      }
      const left = (missing.get(id) as number) - 1;
      missing.set(id, left);
      const result = add(t, bytes);
      seen.push(bytes);
      assert.is(result, left === 0 ? 'complete' : 'held');
      const assembly = t.assembly(t.current);
      assert.equal([assembly.source, assembly.destination, assembly.protocol, assembly.id], [SOURCE, DESTINATION, 17, id]);
      if (result === 'complete') {
        assert.equal(reassemble(pieces(t)), wholes[id]);
        assert.is(assembly.totalBytes, wholes[id].length - headerLength(wholes[id]));
        assert.is(assembly.largest, Math.max(...arriving.filter((f) => f.readUInt16BE(4) === id).map((f) => f.length)));
        t.discard(t.current);
      }
    }
    assert.equal([t.count, t.bytes], [0, 0]);
  }), 150);
});

const body = (length: number): Uint8Array => bytesOf(length + 1, length);

test('pieces of different datagrams never meet: link, source, destination, protocol and identification all count', () => {
  const t = table(64);
  const first = (change: Partial<{ source: number; destination: number; protocol: number; id: number }>): Buffer =>
    ipv4({ source: SOURCE, destination: DESTINATION, protocol: 17, id: 1, fragment: 0x2000, ...change }, body(16));
  assert.is(add(t, first({})), 'held');
  for (const change of [{ source: 9 }, { destination: 9 }, { protocol: 6 }, { id: 2 }]) assert.is(add(t, first(change)), 'held', JSON.stringify(change));
  assert.is(add(t, first({}), 0, 1), 'held', 'another link');
  assert.is(t.count, 6);
  assert.is(add(t, fragment(1, 16, false, body(5))), 'complete');
  assert.is(pieces(t).length, 2);
});

test('a piece that overlaps another one discards the datagram (RFC 1858 §3, RFC 5722 §4)', () => {
  const overlaps: readonly [number, number][] = [[0, 8], [8, 16], [0, 24], [8, 8], [16, 16], [0, 40], [16, 8]];
  for (const [offset, length] of overlaps) {
    const t = table();
    add(t, fragment(1, 8, true, body(16)));
    add(t, fragment(1, 40, true, body(8)));
    const result = add(t, fragment(1, offset, true, body(length)));
    if (offset === 0 && length === 8) {
      assert.is(result, 'held', 'just before it is no overlap');
      continue;
    }
    if (offset === 8 && length === 16) {
      assert.is(result, 'copy');
      continue;
    }
    assert.is(result, 'overlap', `${offset}+${length}`);
    assert.equal([t.count, t.bytes, t.lost], [0, 0, 2]);
  }
});

test('one end, and nothing beyond it', () => {
  const after = (first: Buffer, ...then: Buffer[]): AddResult => {
    const t = table();
    assert.is(add(t, first), 'held');
    const results = then.map((f) => add(t, f));
    const last = results.at(-1) as AddResult;
    if (last === 'bad') assert.equal([t.count, t.bytes], [0, 0]);
    return last;
  };
  assert.is(after(fragment(1, 16, false, body(8)), fragment(1, 24, true, body(8))), 'bad', 'beyond the end');
  assert.is(after(fragment(1, 16, false, body(8)), fragment(1, 8, true, body(8)), fragment(1, 32, false, body(8))), 'bad', 'a second end');
  assert.is(after(fragment(1, 32, true, body(8)), fragment(1, 16, false, body(8))), 'bad', 'an end before what is here');
  assert.is(after(fragment(1, 16, false, body(3)), fragment(1, 0, true, body(16))), 'complete', 'the last piece alone may have any length');
});

test('limits: datagrams at a time, bytes in all, pieces of one; and all is given back', () => {
  const t = table(8);
  assert.equal([1, 2, 3].map((id) => add(t, fragment(id, 0, true, body(8)))), ['held', 'held', 'limit']);
  assert.is(t.count, 2);
  assert.is(add(t, fragment(2, 8, false, body(8))), 'complete', 'those that are here go on');
  t.discard(t.current);
  assert.is(add(t, fragment(3, 0, true, body(8))), 'held');

  const b = table(100, 4096);
  assert.is(add(b, fragment(1, 0, true, body(2000))), 'held');
  assert.is(add(b, fragment(2, 0, true, body(2000))), 'held');
  assert.is(add(b, fragment(3, 0, true, body(200))), 'limit');
  assert.equal([b.count, b.bytes], [2, 4000], 'what found no room left no assembly behind');
  assert.is(add(b, fragment(2, 2000, true, body(200))), 'limit');
  assert.is(b.count, 2);

  const d = table(2);
  const from = (source: number, id: number): Buffer => ipv4({ source, destination: DESTINATION, protocol: 17, id, fragment: 0x2000 }, body(16));
  assert.equal([1, 2, 3].map((source) => add(d, from(source, 1))), ['held', 'held', 'limit'], 'in all');

  const c = table();
  for (let i = 0; i < MAX_PIECES; i++) assert.is(add(c, fragment(1, i * 8, true, body(8))), 'held');
  assert.is(add(c, fragment(1, MAX_PIECES * 8, false, body(8))), 'limit');
  c.discard(c.current);
  assert.equal([c.count, c.bytes], [0, 0]);
});

test('one source has a quarter of the room at most; the others have the rest', () => {
  const from = (source: number, id: number, length = 16, offset = 0): Buffer => ipv4({ source, destination: DESTINATION, protocol: 17, id, fragment: 0x2000 | (offset / 8) }, body(length));
  const t = table(8);
  assert.equal([1, 2, 3].map((id) => add(t, from(1, id))), ['held', 'held', 'limit']);
  assert.equal([1, 2, 3].map((id) => add(t, from(2, id))), ['held', 'held', 'limit'], 'another one is not held back');
  t.discard(t.current);
  assert.is(add(t, from(2, 4)), 'held', 'what it gave back it may use again');

  const b = table(100, 400_000);
  let held = 0;
  for (let id = 0; id < 20; id++) if (add(b, from(1, id, 8000)) === 'held') held++;
  assert.is(held, 12, 'a quarter of the bytes');
  assert.is(add(b, from(2, 1, 8000)), 'held');
  const small = table(100, 66_000);
  for (let offset = 0; offset < 64_000; offset += 8000) assert.is(add(small, from(1, 1, 8000, offset)), 'held', 'one datagram of any length always has room');
  assert.is(add(small, from(1, 2, 8000)), 'limit');
});

test('the same room serves again and again', () => {
  const t = table(4, 8192);
  for (let id = 0; id < 500; id++) {
    assert.is(add(t, fragment(id, 8, false, body(1400))), 'held');
    assert.is(add(t, fragment(id, 0, true, body(8))), 'complete');
    t.discard(t.current);
  }
  assert.equal([t.count, t.bytes], [0, 0]);
});

test('the time runs from the first arrival and is not prolonged by later ones', () => {
  const t = table(8, 100_000, 30_000);
  add(t, fragment(1, 0, true, body(8)), 1000);
  add(t, fragment(2, 0, true, body(8)), 5000);
  add(t, fragment(1, 8, true, body(8)), 20_000);
  const ids = (nowMs: number): number[] => t.expired(nowMs).map((number) => t.assembly(number).id);
  assert.equal(ids(30_999), []);
  assert.equal(ids(31_000), [1]);
  assert.equal(ids(35_000).sort(), [1, 2]);
  for (const number of t.expired(31_000)) t.discard(number);
  assert.equal(ids(40_000), [2]);
  assert.is(add(t, fragment(1, 16, false, body(8)), 32_000), 'held', 'the rest alone begins anew');
  assert.equal(ids(61_999), [2]);
  assert.equal(ids(62_000).sort(), [1, 2]);
});

test.run();
