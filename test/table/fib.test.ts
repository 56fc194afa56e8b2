/** Longest-prefix match against a list searched from end to end. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Fib } from '../../src/table/fib.js';
import { formatIpv4, maskOf, parseIpv4, parsePrefix } from '../../src/wire/address.js';
import { Random } from '../../src/base/random.js';
import { check, word32 } from '../support/oracle/property.js';

interface Entry { prefix: number; length: number; route: number }

/** Bit by bit, sharing nothing with the code under test. */
function holds(entry: { prefix: number; length: number }, address: number): boolean {
  for (let bit = 0; bit < entry.length; bit++) if (((entry.prefix >>> (31 - bit)) & 1) !== ((address >>> (31 - bit)) & 1)) return false;
  return true;
}

class SlowFib {
  entries: Entry[] = [];
  insert(prefix: number, length: number, route: number): void {
    this.remove(prefix, length);
    this.entries.push({ prefix, length, route });
  }
  remove(prefix: number, length: number): boolean {
    const before = this.entries.length;
    this.entries = this.entries.filter((entry) => entry.prefix !== prefix || entry.length !== length);
    return this.entries.length < before;
  }
  get(prefix: number, length: number): number {
    return this.entries.find((entry) => entry.prefix === prefix && entry.length === length)?.route ?? -1;
  }
  lookup(address: number): number {
    let best: Entry | undefined;
    for (const entry of this.entries) if (holds(entry, address) && (best === undefined || entry.length > best.length)) best = entry;
    return best?.route ?? -1;
  }
}

/** Addresses that lie close together, so that prefixes nest and share nodes, with the ends of the space among them. */
const base = fc.constantFrom(0, -1, 0x0a000000, 0x0a0100ff, 0x0a01ff00, -0x80000000, 0x7fffffff);
const address = fc.oneof({ weight: 6, arbitrary: fc.tuple(base, fc.constantFrom(0, 1, 2, 255, 256, 511, 65535, 65536, 0x1ffff)).map(([a, d]) => (a ^ d) | 0) }, { weight: 1, arbitrary: word32 });
const length = fc.oneof(fc.constantFrom(0, 1, 15, 16, 17, 23, 24, 25, 31, 32), fc.integer({ min: 0, max: 32 }));
const prefix = fc.tuple(address, length).map(([a, l]) => ({ prefix: a & maskOf(l), length: l }));
const step = fc.record({ isInsert: fc.integer({ min: 0, max: 9 }).map((n) => n < 6), prefix, route: fc.integer({ min: 0, max: 2 }), pick: fc.nat() });

/** Addresses at which an answer may change: both ends of a prefix and what lies just beside it. */
function edges({ prefix: first, length: bits }: { prefix: number; length: number }): number[] {
  const last = first | ~maskOf(bits);
  return [first, last, (first - 1) | 0, (last + 1) | 0, (first ^ 1) | 0, (first + ((last - first) >>> 1)) | 0];
}

test('after any inserts, replacements and removals every lookup is that of the list', () => {
  check(fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), fc.array(address, { maxLength: 20 }), (steps, addresses) => {
    const fib = new Fib();
    const slow = new SlowFib();
    const probes = new Set([...addresses, ...steps.flatMap((s) => edges(s.prefix))]);
    for (const s of steps) {
      if (s.isInsert) {
        fib.insert(s.prefix.prefix, s.prefix.length, s.route);
        slow.insert(s.prefix.prefix, s.prefix.length, s.route);
      } else {
        // Mostly something that is there.
        const gone = slow.entries.length > 0 && s.pick % 4 !== 0 ? slow.entries[s.pick % slow.entries.length] : s.prefix;
        assert.is(fib.remove(gone.prefix, gone.length), slow.remove(gone.prefix, gone.length));
      }
      assert.is(fib.size, slow.entries.length);
      assert.is(fib.get(s.prefix.prefix, s.prefix.length), slow.get(s.prefix.prefix, s.prefix.length));
    }
    for (const probe of probes) assert.is(fib.lookup(probe), slow.lookup(probe), formatIpv4(probe));
    // Where its slots lie changes nothing, and what is entered or taken out later finds room.
    fib.settle((array) => assert.ok(array.every((slot) => slot === 0), 'not touched before'));
    for (const probe of probes) assert.is(fib.lookup(probe), slow.lookup(probe), formatIpv4(probe));
    for (const entry of [...slow.entries]) {
      assert.ok(fib.remove(entry.prefix, entry.length));
      slow.remove(entry.prefix, entry.length);
      for (const probe of edges(entry)) assert.is(fib.lookup(probe), slow.lookup(probe), formatIpv4(probe));
    }
    assert.is(fib.size, 0);
    for (const probe of probes) assert.is(fib.lookup(probe), -1, formatIpv4(probe));
  }), 150);
});

test('a settled table takes more than it had room for', () => {
  const fib = new Fib();
  for (let i = 0; i < 100; i++) fib.insert((10 << 24) | (i << 16), 24, i);
  fib.settle(() => undefined);
  for (let i = 0; i < 1000; i++) fib.insert((20 << 24) | (i << 14) | 128, 25, 1000 + i);
  for (let i = 0; i < 100; i++) assert.is(fib.lookup((10 << 24) | (i << 16) | 7), i);
  for (let i = 0; i < 1000; i++) assert.is(fib.lookup((20 << 24) | (i << 14) | 129), 1000 + i);
});

test('every length around one address, put in and taken out in any order', () => {
  check(fc.property(address, fc.shuffledSubarray(Array.from({ length: 33 }, (_, i) => i), { minLength: 33 }), fc.shuffledSubarray(Array.from({ length: 33 }, (_, i) => i), { minLength: 33 }), (center, inOrder, outOrder) => {
    const fib = new Fib();
    const slow = new SlowFib();
    for (const bits of inOrder) {
      fib.insert(center & maskOf(bits), bits, bits);
      slow.insert(center & maskOf(bits), bits, bits);
    }
    // One bit away at each place: exactly the prefixes shorter than that place hold it.
    const probes = [center, ...Array.from({ length: 32 }, (_, bit) => (center ^ (1 << bit)) | 0)];
    assert.equal(probes.map((probe) => fib.lookup(probe)), [32, ...Array.from({ length: 32 }, (_, bit) => 31 - bit)]);
    for (const bits of outOrder) {
      fib.remove(center & maskOf(bits), bits);
      slow.remove(center & maskOf(bits), bits);
      for (const probe of probes) assert.is(fib.lookup(probe), slow.lookup(probe));
    }
  }), 20);
});

// conforms: fwd-prefix
test('known routes: default, subnets, /31 and /32, and the less specific when they go', () => {
  const fib = new Fib();
  const insert = (text: string, route: number): void => {
    const { prefix: p, prefixLength } = parsePrefix(text);
    fib.insert(p, prefixLength, route);
  };
  const remove = (text: string): boolean => {
    const { prefix: p, prefixLength } = parsePrefix(text);
    return fib.remove(p, prefixLength);
  };
  const at = (text: string): number => fib.lookup(parseIpv4(text));
  assert.is(at('1.2.3.4'), -1);
  ['0.0.0.0/0', '192.168.0.0/16', '192.168.201.0/24', '192.168.201.10/31', '192.168.201.11/32', '255.255.255.255/32'].forEach(insert);
  assert.equal(['1.2.3.4', '192.168.0.1', '192.168.201.1', '192.168.201.10', '192.168.201.11', '192.168.201.12', '255.255.255.255', '255.255.255.254'].map(at), [0, 1, 2, 3, 4, 2, 5, 0]);
  insert('192.168.201.10/31', 9);
  assert.is(at('192.168.201.10'), 9);
  assert.ok(remove('192.168.201.11/32'));
  assert.is(at('192.168.201.11'), 9);
  assert.ok(remove('192.168.201.10/31'));
  assert.not(remove('192.168.201.10/31'));
  assert.not(remove('192.168.200.0/23'));
  assert.is(at('192.168.201.11'), 2);
  assert.ok(remove('192.168.201.0/24'));
  assert.is(at('192.168.201.11'), 1);
  assert.ok(remove('0.0.0.0/0'));
  assert.equal(['192.168.201.11', '1.2.3.4', '255.255.255.255'].map(at), [1, -1, 5]);
});

test('a longer prefix with the same route as the one it lies in outlives it', () => {
  const fib = new Fib();
  const at = (text: string): number => fib.lookup(parseIpv4(text));
  for (const [shorter, longer, single] of [['10.0.0.0/24', '10.0.0.128/25', '10.0.0.3/32'], ['10.0.0.0/16', '10.0.128.0/17', '10.0.5.0/24']] as const) {
    const [a, b, c] = [shorter, longer, single].map(parsePrefix);
    fib.insert(a.prefix, a.prefixLength, 1);
    fib.insert(b.prefix, b.prefixLength, 1);
    fib.insert(c.prefix, c.prefixLength, 2);
    fib.remove(c.prefix, c.prefixLength);
    fib.remove(a.prefix, a.prefixLength);
    assert.equal([at('10.0.0.1'), at(longer.split('/')[0])], [-1, 1]);
    fib.remove(b.prefix, b.prefixLength);
    assert.equal([at('10.0.0.1'), at(longer.split('/')[0])], [-1, -1]);
  }
});

test('what one part of the address space gives back another can have: room does not grow with time', () => {
  const fib = new Fib();
  const nodes = (): number => (fib as unknown as { nodes: number }).nodes;
  let most = 0;
  for (let round = 0; round < 50; round++) {
    const hosts = Array.from({ length: 20 }, (_, i) => (round << 24) | (i << 16) | (i << 8) | i);
    for (const host of hosts) fib.insert(host, 32, 1);
    if (round === 0) most = nodes();
    for (const host of hosts) fib.remove(host, 32);
  }
  assert.is(nodes(), most);
});

test('a large table of mixed lengths, half of it taken out again, against one Map per length', () => {
  const random = new Random(20);
  const fib = new Fib();
  const maps = Array.from({ length: 33 }, () => new Map<number, number>());
  const all: Entry[] = [];
  for (let route = 0; route < 20_000; route++) {
    const bits = 8 + random.below(25);
    const p = random.next() & 0x3fffffff & maskOf(bits);
    fib.insert(p, bits, route);
    maps[bits].set(p, route);
    all.push({ prefix: p, length: bits, route });
  }
  const expected = (probe: number): number => {
    for (let bits = 32; bits >= 0; bits--) {
      const found = maps[bits].get(probe & maskOf(bits));
      if (found !== undefined) return found;
    }
    return -1;
  };
  const agree = (): void => {
    for (let i = 0; i < 20_000; i++) {
      const near = all[random.below(all.length)];
      const probe = i & 1 ? random.next() & 0x3fffffff : (near.prefix | (random.next() & ~maskOf(near.length)));
      if (fib.lookup(probe) !== expected(probe)) assert.is(fib.lookup(probe), expected(probe), formatIpv4(probe));
    }
    assert.is(fib.size, maps.reduce((sum, map) => sum + map.size, 0));
  };
  agree();
  for (const entry of all.filter((_, i) => i % 2 === 0)) assert.is(fib.remove(entry.prefix, entry.length), maps[entry.length].delete(entry.prefix));
  agree();
  // What was freed is used again: the same routes once more need no more room.
  const nodesBefore = (fib as unknown as { nodes: number }).nodes;
  for (const entry of all) {
    fib.insert(entry.prefix, entry.length, entry.route);
    maps[entry.length].set(entry.prefix, entry.route);
  }
  agree();
  assert.ok((fib as unknown as { nodes: number }).nodes <= nodesBefore, 'no node is lost');
});

test.run();
