/** Hashing and seeded choice: spread enough for tables, and the same again with the same seed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { finish, hashText, mix } from '../../src/base/hash.js';
import { Random } from '../../src/base/random.js';

/** Chi-square of counts that should all be equal. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** Beyond this a fair draw comes less than once in a hundred million times (normal approximation, 5.6 standard deviations). */
const limitOf = (cells: number): number => cells - 1 + 5.6 * Math.sqrt(2 * (cells - 1));

const bitsSet = (word: number): number => word.toString(2).replaceAll(/[^1]/g, '').length;

const PLACES: readonly (readonly [string, (seed: number, word: number, after: number) => number])[] = [
  ['the last word', (seed, word) => finish(mix(seed, word))], ['a word before the last', (seed, word, after) => finish(mix(mix(seed, word), after))],
];

for (const [place, hashOf] of PLACES) test(`every bit of ${place} moves about half of the hash, each bit of it about every second time`, () => {
  const random = new Random(11);
  const rounds = 400;
  for (let bit = 0; bit < 32; bit++) {
    let flipped = 0;
    const perBit = new Array<number>(32).fill(0);
    for (let i = 0; i < rounds; i++) {
      const seed = random.next(), word = random.next(), after = random.next();
      const difference = (hashOf(seed, word, after) ^ hashOf(seed, word ^ (1 << bit), after)) >>> 0;
      flipped += bitsSet(difference);
      for (let out = 0; out < 32; out++) perBit[out] += (difference >>> out) & 1;
    }
    const mean = flipped / rounds;
    assert.ok(mean > 15 && mean < 17, `input bit ${bit} moves ${mean} bits`);
    // Six standard deviations of a fair coin thrown 400 times.
    perBit.forEach((count, out) => assert.ok(Math.abs(count - rounds / 2) < 60, `input bit ${bit}, output bit ${out}: ${count} of ${rounds}`));
  }
});

test('finishing is murmur3’s avalanche', () => {
  assert.equal([0, 1, 2].map((word) => finish(word) >>> 0), [0, 0x514e28b7, 0x30f4c306]);
});

test('neighbouring addresses and ports fall evenly into the low bits', () => {
  for (const shift of [0, 8, 16]) {
    const counts = new Array<number>(1024).fill(0);
    for (let i = 0; i < 65536; i++) counts[finish(mix(mix(7, 0x0a000000), i << shift)) & 1023]++;
    assert.ok(chiSquare(counts) < limitOf(1024), `shift ${shift}: ${chiSquare(counts)}`);
  }
});

test('another seed is another hash; the order of words counts', () => {
  let same = 0;
  for (let i = 0; i < 1000; i++) {
    if (((finish(mix(1, i)) ^ finish(mix(2, i))) & 255) === 0) same++;
    if (i > 0) assert.is.not(finish(mix(mix(5, i), 0)), finish(mix(mix(5, 0), i)));
  }
  assert.ok(same < 20, `${same} of 1000 stay in their bucket`);
});

test('hashes are int32, and texts that differ differ', () => {
  const seen = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    const hash = hashText(`link${i}`, 3);
    assert.is(hash, hash | 0);
    seen.add(hash);
  }
  assert.is(seen.size, 2000);
  assert.is(hashText('wan1', 3), hashText('wan1', 3));
  assert.is.not(hashText('wan1', 3), hashText('wan1', 4));
});

test('random: the sequence of xorshift32 with 13, 17 and 5', () => {
  const random = new Random(1);
  assert.equal([1, 2, 3, 4].map(() => random.next() >>> 0), [270369, 67634689, 2647435461, 307599695]);
});

test('random: the same seed gives the same numbers, also the seed 0; all are int32 and none is 0', () => {
  for (const seed of [0, 1, -1, 0x7fffffff, 0x9e3779b9]) {
    const one = new Random(seed), other = new Random(seed);
    for (let i = 0; i < 100; i++) {
      const value = one.next();
      assert.is(value, value | 0);
      assert.is.not(value, 0);
      assert.is(other.next(), value);
    }
  }
  assert.is.not(new Random(1).next(), new Random(2).next());
});

test('random: below(n) is spread evenly over 0 … n - 1', () => {
  for (const bound of [1, 2, 3, 7, 100, 1000]) {
    const random = new Random(bound);
    const counts = new Array<number>(bound).fill(0);
    for (let i = 0; i < bound * 200; i++) {
      const value = random.below(bound);
      assert.ok(Number.isInteger(value) && value >= 0 && value < bound);
      counts[value]++;
    }
    if (bound > 1) assert.ok(chiSquare(counts) < limitOf(bound) + 20, `below(${bound}): ${chiSquare(counts)}`);
  }
  const random = new Random(9);
  let highest = 0;
  for (let i = 0; i < 500_000; i++) highest = Math.max(highest, random.below(65536));
  assert.ok(highest <= 65535 && highest > 65500);
});

test.run();
