/** Tuples: inversion, storing, equality, hash. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TUPLE_WORDS, Tuple } from '../../src/wire/tuple.js';
import { check, word32 } from '../support/oracle/property.js';

const FIELDS = ['s0', 's1', 's2', 's3', 'd0', 'd1', 'd2', 'd3', 'ports', 'protocol'] as const;
type Words = Record<(typeof FIELDS)[number], number>;

const anyV6: fc.Arbitrary<Words> = fc.record({
  s0: word32, s1: word32, s2: word32, s3: word32, d0: word32, d1: word32, d2: word32, d3: word32, ports: word32, protocol: fc.integer({ min: 0, max: 255 }),
}, { noNullPrototype: true });
const anyV4 = anyV6.map((words): Words => ({ ...words, s0: 0, s1: 0, s2: 0xffff, d0: 0, d1: 0, d2: 0xffff }));
const any = fc.oneof(anyV4, anyV6);

const tupleOf = (words: Words): Tuple => Object.assign(new Tuple(), words);
const wordsOf = (tuple: Tuple): Words => Object.fromEntries(FIELDS.map((field) => [field, tuple[field]])) as Words;

test('setV4 is the v4-mapped form, whatever stood there before', () => {
  check(fc.property(anyV6, word32, word32, word32, (before, source, destination, ports) => {
    const tuple = tupleOf(before);
    tuple.setV4(source, destination, ports, 17);
    assert.equal(wordsOf(tuple), { s0: 0, s1: 0, s2: 0xffff, s3: source, d0: 0, d1: 0, d2: 0xffff, d3: destination, ports, protocol: 17 });
  }), 100);
});

test('an inverse swaps addresses and ports, keeps the protocol, and its inverse is the tuple itself', () => {
  check(fc.property(any, (words) => {
    const tuple = tupleOf(words);
    const inverse = new Tuple();
    inverse.invert(tuple);
    assert.equal(wordsOf(inverse), {
      s0: words.d0, s1: words.d1, s2: words.d2, s3: words.d3, d0: words.s0, d1: words.s1, d2: words.s2, d3: words.s3,
      ports: (words.ports << 16) | (words.ports >>> 16), protocol: words.protocol,
    });
    assert.is(inverse.sourcePort, tuple.destinationPort);
    assert.is(inverse.destinationPort, tuple.sourcePort);
    inverse.invert(inverse);
    assert.equal(wordsOf(inverse), words);
  }), 300);
});

test('ports are unsigned halves', () => {
  const tuple = tupleOf({ s0: 0, s1: 0, s2: 0, s3: 0, d0: 0, d1: 0, d2: 0, d3: 0, ports: (0xffff << 16) | 0x8000, protocol: 6 });
  assert.is(tuple.sourcePort, 0xffff);
  assert.is(tuple.destinationPort, 0x8000);
});

test('what is stored is what is loaded, in its own words and no others', () => {
  check(fc.property(any, fc.integer({ min: 0, max: 5 }), (words, at) => {
    const memory = new Int32Array(at + TUPLE_WORDS + 3).fill(0x5a5a5a5a);
    tupleOf(words).store(memory, at);
    const loaded = new Tuple();
    loaded.load(memory, at);
    assert.equal(wordsOf(loaded), words);
    const copy = new Tuple();
    copy.copy(loaded);
    assert.equal(wordsOf(copy), words);
    assert.ok(copy.isAt(memory, at));
    for (let i = 0; i < memory.length; i++) if (i < at || i >= at + TUPLE_WORDS) assert.is(memory[i], 0x5a5a5a5a);
  }), 300);
});

test('one differing word is a different tuple', () => {
  check(fc.property(any, fc.constantFrom(...FIELDS), fc.integer({ min: 0, max: 31 }), (words, field, bit) => {
    const memory = new Int32Array(TUPLE_WORDS);
    tupleOf(words).store(memory, 0);
    assert.not(tupleOf({ ...words, [field]: words[field] ^ (1 << bit) }).isAt(memory, 0));
  }), 500);
});

test('the hash is the same for equals, and another for tuples that differ in one word', () => {
  // Mixing one word is reversible, so with everything else equal two different words never give one hash.
  const v4Fields = ['s3', 'd3', 'ports', 'protocol'] as const;
  check(fc.property(anyV4, word32, fc.constantFrom(...v4Fields), word32, (words, seed, field, other) => {
    fc.pre(other !== words[field]);
    assert.is(tupleOf(words).hash(seed), tupleOf({ ...words }).hash(seed));
    assert.is.not(tupleOf(words).hash(seed), tupleOf({ ...words, [field]: other }).hash(seed));
    assert.is.not(tupleOf(words).hash(seed), tupleOf(words).hash(seed ^ 1));
  }), 500);
  check(fc.property(anyV6, word32, fc.constantFrom(...FIELDS), word32, (words, seed, field, other) => {
    fc.pre(other !== words[field] && words.s2 !== 0xffff && (field !== 's2' || other !== 0xffff));
    assert.is.not(tupleOf(words).hash(seed), tupleOf({ ...words, [field]: other }).hash(seed));
  }), 500);
});

test.run();
