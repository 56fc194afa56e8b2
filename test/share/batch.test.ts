/** Batches: what is written is read, limits hold, and nothing that is broken is taken for an operation. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BATCH_BYTES, BATCH_OPERATIONS, BatchReader, BatchWriter, KEY_BYTES, OPERATION_OVERHEAD, TTL_SECONDS, VALUE_BYTES } from '../../src/share/batch.js';

const SEED = 20_261_121;
interface Operation { key: Uint8Array; alias: Uint8Array; value: Uint8Array; ttl: number }

const operation: fc.Arbitrary<Operation> = fc.record({
  key: fc.uint8Array({ minLength: 1, maxLength: KEY_BYTES }), alias: fc.uint8Array({ maxLength: KEY_BYTES }), value: fc.uint8Array({ maxLength: 300 }),
  ttl: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: TTL_SECONDS })),
}, { noNullPrototype: true });

function read(batch: Uint8Array): { operations: Operation[]; isBroken: boolean } {
  const reader = new BatchReader(batch);
  const operations: Operation[] = [];
  while (reader.next()) operations.push({ key: Uint8Array.from(reader.key), alias: Uint8Array.from(reader.alias), value: Uint8Array.from(reader.value), ttl: reader.isPut ? reader.ttlSeconds : 0 });
  assert.is(reader.next(), false);
  return { operations, isBroken: reader.isBroken };
}

test('what is written is read again, across as many batches as it takes', () => {
  fc.assert(fc.property(fc.array(operation, { maxLength: 600 }), (wanted) => {
    const writer = new BatchWriter();
    const batches: Uint8Array[] = [];
    for (const { key, alias, value, ttl } of wanted) {
      const append = (): boolean => (ttl > 0 ? writer.put(key, alias, value, ttl) : writer.delete(key, alias));
      if (append()) continue;
      batches.push(writer.take());
      assert.ok(writer.isEmpty);
      assert.ok(append());
    }
    batches.push(writer.take());
    const found = batches.map(read);
    assert.equal(found.flatMap(({ operations }) => operations), wanted.map((one) => (one.ttl === 0 ? { ...one, value: new Uint8Array(0) } : one)));
    for (const [i, { operations, isBroken }] of found.entries()) {
      assert.is(isBroken, false);
      assert.ok(operations.length <= BATCH_OPERATIONS && batches[i].length <= BATCH_BYTES);
    }
  }), { seed: SEED, numRuns: 60 });
});

test('a batch is full at its operations, and at its bytes to the last one', () => {
  const writer = new BatchWriter();
  const key = Buffer.from('k');
  const none = Buffer.alloc(0);
  for (let i = 0; i < BATCH_OPERATIONS; i++) assert.ok(writer.delete(key, none));
  assert.not(writer.delete(key, none));
  assert.is(writer.operations, BATCH_OPERATIONS);
  assert.is(read(writer.take()).operations.length, BATCH_OPERATIONS);
  const value = Buffer.alloc(VALUE_BYTES);
  for (let i = 0; i < 3; i++) assert.ok(writer.put(key, none, value, 1));
  const left = BATCH_BYTES - writer.length - OPERATION_OVERHEAD - key.length;
  assert.not(writer.put(key, none, Buffer.alloc(left + 1), 1));
  assert.ok(writer.put(key, none, Buffer.alloc(left), 1));
  assert.is(writer.length, BATCH_BYTES);
  assert.is(read(writer.take()).operations.length, 4);
  // What was taken is not written over by what comes after.
  writer.put(Buffer.from('first'), none, none, 1);
  const first = writer.take();
  writer.put(Buffer.from('other'), none, none, 1);
  assert.is(Buffer.from(read(first).operations[0].key).toString(), 'first');
});

test('lives are whole seconds, at least one and bounded', () => {
  const writer = new BatchWriter();
  for (const ttl of [0, -5, 0.2, 1.5, 1e12]) writer.put(Buffer.from('k'), Buffer.alloc(0), Buffer.alloc(0), ttl);
  assert.equal(read(writer.take()).operations.map(({ ttl }) => ttl), [1, 1, 1, 2, TTL_SECONDS]);
});

test('what does not fit an operation is a mistake of who writes', () => {
  const writer = new BatchWriter();
  const k = Buffer.from('k');
  assert.throws(() => writer.put(Buffer.alloc(0), k, k, 1), /1 to 255/);
  assert.throws(() => writer.put(Buffer.alloc(256), k, k, 1), /found 256, 1, 1/);
  assert.throws(() => writer.put(k, Buffer.alloc(256), k, 1), /found 1, 256, 1/);
  assert.throws(() => writer.put(k, k, Buffer.alloc(VALUE_BYTES + 1), 1), /at most 16384/);
  assert.ok(writer.isEmpty);
});

test('cut anywhere, a batch gives its whole operations and is broken; of any bytes nothing is read beyond their end', () => {
  const writer = new BatchWriter();
  const ends = [0];
  for (const length of [1, 40, 255]) {
    writer.put(Buffer.alloc(length, 1), Buffer.alloc(length, 2), Buffer.alloc(length * 3, 3), 7);
    ends.push(writer.length);
  }
  const batch = writer.take();
  for (let cut = 0; cut <= batch.length; cut++) {
    const { operations, isBroken } = read(batch.subarray(0, cut));
    assert.is(operations.length, ends.filter((end) => end > 0 && end <= cut).length);
    assert.is(isBroken, !ends.includes(cut), `cut at ${cut}`);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
    const { operations, isBroken } = read(noise);
    const sum = operations.reduce((bytes, { key, alias, value }) => bytes + OPERATION_OVERHEAD + key.length + alias.length + value.length, 0);
    assert.ok(isBroken ? sum < noise.length : sum === noise.length);
  }), { seed: SEED, numRuns: 500 });
});

test.run();
