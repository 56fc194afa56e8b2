/** The Internet checksum and its incremental update, against the slow way. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checksum, delta16, delta32, fold, pseudoHeaderSum, sum, update, updatePartial } from '../../src/wire/checksum.js';
import { internetChecksum, onesDifference, onesSum } from '../support/oracle/checksum.js';
import { pseudoHeader } from '../support/oracle/ipv4.js';
import { anySeed, bytesOf, check, word16, word32 } from '../support/oracle/property.js';

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function bytesOfWords(words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 2);
  words.forEach((word, i) => bytes.writeUInt16BE(word, i * 2));
  return bytes;
}

test('folding keeps the value modulo 0xffff, and is 0 for 0 alone', () => {
  check(fc.property(fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 0x1fffe, 0xfffeffff, 0xffff0000, 0xffffffff), fc.integer({ min: 0, max: 0xffffffff })), (value) => {
    const folded = fold(value);
    assert.ok(folded >= 0 && folded <= 0xffff);
    assert.is(folded % 0xffff, value % 0xffff);
    assert.is(folded === 0, value === 0);
  }), 500);
});

test('sums over any length and offset are those of the slow way', () => {
  check(fc.property(anySeed, fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 7 }), word16, (seed, length, offset, initial) => {
    const bytes = bytesOf(seed, offset + length + 3);
    const range = bytes.subarray(offset, offset + length);
    assert.is(fold(sum(viewOf(bytes), offset, length, initial)), onesSum(range, initial));
    assert.is(checksum(viewOf(bytes), offset, length, initial), internetChecksum(range, initial));
  }), 500);
});

test('the longest packet, and the largest sum there is', () => {
  for (const length of [65535, 65534, 65533, 65532, 65515]) {
    const random = bytesOf(length, length);
    assert.is(fold(sum(viewOf(random), 0, length)), onesSum(random));
    const ones = new Uint8Array(length).fill(0xff);
    assert.is(fold(sum(viewOf(ones), 0, length, 0xffff)), onesSum(ones, 0xffff));
  }
});

test('the pseudo-header', () => {
  check(fc.property(word32, word32, fc.integer({ min: 1, max: 255 }), word16, (source, destination, protocol, length) => {
    assert.is(pseudoHeaderSum(source, destination, protocol, length), onesSum(pseudoHeader(source, destination, protocol, length)));
  }), 300);
});

// A header always has a word that is neither changed nor zero; only all zeroes would sum to the other zero.
const words = fc.array(word16, { minLength: 2, maxLength: 12 }).map((all) => [0x4500, ...all]);

// conforms: csum-incremental
test('an update equals a full recompute, 0x0000 and 0xffff included (RFC 1624 §3)', () => {
  check(fc.property(words, fc.nat(), word16, (before, pick, to) => {
    const at = 1 + (pick % (before.length - 1));
    const after = before.with(at, to);
    assert.is(update(internetChecksum(bytesOfWords(before)), delta16(before[at], to)), internetChecksum(bytesOfWords(after)));
  }), 1000);
});

// conforms: csum-incremental
test('the case RFC 1141 gets wrong (RFC 1624 §4)', () => {
  assert.is(update(0xdd2f, delta16(0x5555, 0x3285)), 0x0000);
});

test('deltas add up: addresses and ports in one update', () => {
  check(fc.property(words, word32, word32, word16, word16, (rest, from, to, fromPort, toPort) => {
    const bytes = (address: number, port: number): Buffer => bytesOfWords([...rest, address >>> 16, address & 0xffff, port]);
    const delta = delta32(from, to) + delta16(fromPort, toPort);
    assert.is(update(internetChecksum(bytes(from, fromPort)), delta), internetChecksum(bytes(to, toPort)));
  }), 1000);
});

test('a partial checksum follows the pseudo-header', () => {
  check(fc.property(word32, word32, word32, word16, (source, to, destination, length) => {
    const before = pseudoHeaderSum(source, destination, 6, length);
    assert.is(updatePartial(before, delta32(source, to)), pseudoHeaderSum(to, destination, 6, length));
  }), 1000);
});

test('a wrong checksum stays wrong by as much as it was', () => {
  check(fc.property(words, fc.nat(), word16, word16, (before, pick, to, stored) => {
    const at = 1 + (pick % (before.length - 1));
    const wrongBefore = onesDifference(stored, internetChecksum(bytesOfWords(before)));
    const updated = update(stored, delta16(before[at], to));
    assert.is(onesDifference(updated, internetChecksum(bytesOfWords(before.with(at, to)))), wrongBefore);
  }), 1000);
});

test.run();
