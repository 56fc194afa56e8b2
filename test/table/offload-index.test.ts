/** The index of offloaded flows against a plain Map, and what it refuses. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BUCKET_BYTES, bucketsFor, OffloadIndex, REFERENCES, TAG_MASK, WAYS } from '../../src/table/offload-index.js';

const SEED = 99;
const memoryFor = (capacity: number): ArrayBuffer => new ArrayBuffer(bucketsFor(capacity) * BUCKET_BYTES);
const referencesIn = (memory: ArrayBuffer): number[] => [...new Int32Array(memory)].filter((word) => word !== 0).map((word) => (word & ~TAG_MASK) - 1).sort((a, b) => a - b);

test('so many buckets as flows, a power of two', () => {
  assert.equal([1, 2, 3, 32_768, 1_000_000].map(bucketsFor), [2, 2, 4, 32_768, 1_048_576]);
  assert.ok(1_000_000 * 2 < REFERENCES, 'references of the largest table fit');
});

test('whatever comes and goes: what was taken is there once, buckets are filled from the front', () => {
  const step = fc.record({ key: fc.integer({ min: 0, max: 40 }), isPut: fc.boolean() });
  fc.assert(fc.property(fc.integer(), fc.array(step, { maxLength: 200 }), (seed, steps) => {
    const memory = memoryFor(8);
    const index = new OffloadIndex(memory, 8, seed);
    const there = new Set<number>();
    for (const { key, isPut } of steps) {
      const words = Int32Array.of(key, 1, key * 7, 3);
      if (!isPut) {
        index.remove(words, 0, key);
        there.delete(key);
      } else if (!there.has(key) && index.put(words, 0, key)) {
        there.add(key);
      }
      assert.equal(referencesIn(memory), [...there].sort((a, b) => a - b));
      assert.is(index.count, there.size);
      const words32 = new Int32Array(memory);
      for (let i = 1; i < words32.length; i++) if (i % WAYS !== 0 && words32[i - 1] === 0) assert.is(words32[i], 0, 'no gap');
    }
  }));
});

test('a full bucket takes no more, and a tag only once', () => {
  const memory = memoryFor(1);
  const index = new OffloadIndex(memory, 1, SEED);
  let taken = 0;
  for (let i = 0; i < 1000; i++) if (index.put(Int32Array.of(i, 0, 0, 0), 0, i)) taken++;
  assert.is(taken, 2 * WAYS);
  assert.not(index.put(Int32Array.of(0, 0, 0, 0), 0, 7), 'the same key again');
});

/** A word as it stands in a frame. */
const network = (value: number): number => Buffer.from(Uint32Array.of(value).buffer).swap32().readInt32LE();

for (const [what, seed] of [['one seed', SEED], ['another', 0], ['and one more', -1]] as const) {
  test(`with all slots taken, nearly all entries have their place, whatever the flows have in common (${what})`, () => {
    const shapes: Record<string, (i: number) => [source: number, destination: number, ports: number]> = {
      'one client, many ports': (i) => [0x0a000002, 0xc6336401, ((1024 + i) << 16) | 443],
      'a network of clients, few ports': (i) => [0x0a000000 + (i & 255), 0xc6336401, ((1024 + (i >> 8)) << 16) | 443],
      'answers to them': (i) => [0xc6336401, 0x0a000000 + (i & 255), (443 << 16) | (1024 + (i >> 8))],
      'clients from all over, each with one flow': (i) => [0x0a000000 + i * 0x10001, 0xcb007102, ((20_000 + (i & 7)) << 16) | 80],
      'one client, many servers': (i) => [0x0a000002, 0xc6120000 + i, (5000 << 16) | 9000],
    };
    for (const [shape, flow] of Object.entries(shapes)) {
      const capacity = 4096;
      const index = new OffloadIndex(memoryFor(capacity), capacity, seed);
      let refused = 0;
      for (let i = 0; i < capacity * 2; i++) if (!index.put(Int32Array.of(0x20600, ...flow(i).map(network)), 0, i)) refused++;
      assert.ok(refused < capacity * 2 * 0.01, `${shape}: ${refused} of ${capacity * 2} were refused`);
    }
  });
}

test.run();
