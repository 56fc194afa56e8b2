/** The hash index against a Map of lists, with hashes that collide on purpose. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HashIndex } from '../../src/base/hash-index.js';
import { check } from '../support/oracle/property.js';

function referencesOf(index: HashIndex, hash: number): number[] {
  const found: number[] = [];
  for (let at = index.first(hash); at >= 0; at = index.next(at, hash)) {
    found.push(index.reference(at));
    assert.ok(found.length <= 10_000, 'the walk over equal hashes ends');
  }
  return found.sort((a, b) => a - b);
}

/** Few homes, some at the very end of the array so that clusters wrap, and equal low bits under different hashes. */
const hash = fc.oneof(
  fc.integer({ min: 0, max: 3 }), fc.integer({ min: -4, max: -1 }),
  fc.integer({ min: 0, max: 2 }).map((high) => (high << 20) | 5), fc.integer({ min: 0, max: 2 }).map((high) => (high << 20) | 0xfffff));

test('after any adds and removes it holds what a Map of lists holds', () => {
  const step = fc.record({ isAdd: fc.boolean(), hash, pick: fc.nat() });
  check(fc.property(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 200 }), (capacity, steps) => {
    const index = new HashIndex(capacity);
    const oracle = new Map<number, number[]>();
    const held: { hash: number; reference: number }[] = [];
    let next = 0;
    for (const { isAdd, hash: value, pick } of steps) {
      if (isAdd && held.length < capacity) {
        index.add(value, next);
        held.push({ hash: value, reference: next });
        oracle.set(value, [...oracle.get(value) ?? [], next]);
        next++;
      } else if (held.length > 0) {
        const [gone] = held.splice(pick % held.length, 1);
        index.remove(gone.hash, gone.reference);
        oracle.set(gone.hash, (oracle.get(gone.hash) ?? []).filter((reference) => reference !== gone.reference));
      }
      assert.is(index.size, held.length);
      for (const [known, references] of oracle) assert.equal(referencesOf(index, known), references);
    }
    assert.equal(referencesOf(index, 0x12345), []);
  }), 400);
});

test('one reference under two hashes is two entries', () => {
  const index = new HashIndex(4);
  index.add(1, 7);
  index.add(9, 7);
  index.remove(1, 7);
  assert.equal([referencesOf(index, 1), referencesOf(index, 9)], [[], [7]]);
});

test('full to its capacity it still ends a search for what is not there', () => {
  for (const capacity of [1, 4, 5, 1000]) {
    const index = new HashIndex(capacity);
    for (let i = 0; i < capacity; i++) index.add(3, i);
    assert.equal(referencesOf(index, 3).length, capacity);
    assert.is(index.first(4), -1);
    assert.throws(() => index.add(3, capacity), /over capacity/);
    for (let i = 0; i < capacity; i++) index.remove(3, i);
    assert.is(index.size, 0);
    assert.is(index.first(3), -1);
  }
});

test('removing what is not there is a bug, and says so', () => {
  const index = new HashIndex(4);
  index.add(1, 1);
  assert.throws(() => index.remove(1, 2), /not there/);
  assert.throws(() => index.remove(9, 1), /not there/);
  assert.equal(referencesOf(index, 1), [1]);
});

test.run();
