/** Counts by key against a Map, and the tables made of them: permissions, limits per source, pairings. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Pairings } from '../../src/table/pairing.js';
import { Permissions } from '../../src/table/permission.js';
import { SourceLimit } from '../../src/table/source-limit.js';
import { Tally } from '../../src/table/tally.js';
import { anySeed, check } from '../support/oracle/property.js';

const step = fc.record({ isAdd: fc.integer({ min: 0, max: 9 }).map((n) => n < 6), number: fc.integer({ min: -1, max: 2 }), low: fc.integer({ min: -3, max: 3 }), third: fc.constantFrom(0xffff, 1), value: fc.nat(9) });

test('a tally counts as a Map does, never more keys than its capacity, and is empty when all is given back', () => {
  check(fc.property(anySeed, fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 200 }), (seed, capacity, steps) => {
    const tally = new Tally(capacity, seed);
    const slow = new Map<string, { count: number; value: number }>();
    let refused = 0;
    for (const { isAdd, number, low, third, value } of steps) {
      const key = `${number} ${third} ${low}`;
      const known = slow.get(key);
      if (isAdd) {
        const has = tally.add(number, 0, 0, third, low, value);
        if (known !== undefined) known.count++;
        else if (slow.size < capacity) slow.set(key, { count: 1, value });
        else refused++;
        assert.is(has, slow.has(key));
      } else {
        tally.drop(number, 0, 0, third, low);
        if (known !== undefined && --known.count === 0) slow.delete(key);
      }
      assert.is(tally.size, slow.size);
      assert.is(tally.refused, refused);
      assert.is(tally.count(number, 0, 0, third, low), slow.get(key)?.count ?? 0);
      const entry = tally.find(number, 0, 0, third, low);
      if (slow.has(key)) assert.is(tally.value(entry), slow.get(key)?.value);
      else assert.is(entry, -1);
    }
    for (const [key, { count }] of slow) {
      const [number, third, low] = key.split(' ').map(Number);
      for (let i = 0; i < count; i++) tally.drop(number, 0, 0, third, low);
    }
    assert.is(tally.size, 0);
  }), 300);
});

test('every word of a key tells keys apart', () => {
  const tally = new Tally(16, 5);
  const keys = [[1, 2, 3, 4, 5], [9, 2, 3, 4, 5], [1, 9, 3, 4, 5], [1, 2, 9, 4, 5], [1, 2, 3, 9, 5], [1, 2, 3, 4, 9]] as const;
  for (const [number, a0, a1, a2, a3] of keys) assert.ok(tally.add(number, a0, a1, a2, a3, 0));
  assert.is(tally.size, keys.length);
  for (const [number, a0, a1, a2, a3] of keys) assert.is(tally.count(number, a0, a1, a2, a3), 1);
});

test('a permission is of one mapping and one address, and lasts as long as anything stands for it', () => {
  const permissions = new Permissions(4, 1);
  permissions.grant(7, 0, 0, 0xffff, 100);
  permissions.grant(7, 0, 0, 0xffff, 100);
  assert.ok(permissions.allows(7, 0, 0, 0xffff, 100));
  assert.not.ok(permissions.allows(8, 0, 0, 0xffff, 100));
  assert.not.ok(permissions.allows(7, 0, 0, 0xffff, 101));
  permissions.revoke(7, 0, 0, 0xffff, 100);
  assert.ok(permissions.allows(7, 0, 0, 0xffff, 100));
  permissions.revoke(7, 0, 0, 0xffff, 100);
  assert.not.ok(permissions.allows(7, 0, 0, 0xffff, 100));
  assert.is(permissions.size, 0);
  for (let i = 0; i < 4; i++) assert.ok(permissions.grant(i, 0, 0, 0xffff, 1));
  assert.not.ok(permissions.grant(9, 0, 0, 0xffff, 1), 'no room: nothing is permitted');
  assert.not.ok(permissions.allows(9, 0, 0, 0xffff, 1));
});

test('a limit per source: room up to it, or up to a part of it; 0 counts nothing', () => {
  const limit = new SourceLimit(4, 16, 1);
  for (let i = 0; i < 4; i++) {
    assert.is(limit.hasRoom(0, 0, 0xffff, 1), true);
    assert.is(limit.hasRoom(0, 0, 0xffff, 1, 0.5), i < 2);
    assert.ok(limit.add(0, 0, 0xffff, 1));
  }
  assert.is(limit.hasRoom(0, 0, 0xffff, 1), false);
  assert.is(limit.hasRoom(0, 0, 0xffff, 2), true);
  limit.drop(0, 0, 0xffff, 1);
  assert.is(limit.hasRoom(0, 0, 0xffff, 1), true);
  assert.is(limit.count(0, 0, 0xffff, 1), 3);
  const none = new SourceLimit(0, 16, 1);
  assert.is(none.add(0, 0, 0xffff, 1), false);
  assert.is(none.hasRoom(0, 0, 0xffff, 1), true);
  assert.is(none.count(0, 0, 0xffff, 1), 0);
});

test('a pair keeps its place until its last mapping is gone', () => {
  const pairings = new Pairings(4, 1);
  assert.is(pairings.find(0, 0, 0, 0xffff, 1), -1);
  pairings.add(0, 0, 0, 0xffff, 1, 2);
  pairings.add(0, 0, 0, 0xffff, 1, 0);
  assert.is(pairings.find(0, 0, 0, 0xffff, 1), 2);
  assert.is(pairings.find(1, 0, 0, 0xffff, 1), -1, 'of one uplink');
  pairings.drop(0, 0, 0, 0xffff, 1);
  assert.is(pairings.find(0, 0, 0, 0xffff, 1), 2);
  pairings.drop(0, 0, 0, 0xffff, 1);
  assert.is(pairings.find(0, 0, 0, 0xffff, 1), -1);
});

test.run();
