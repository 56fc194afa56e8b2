/** The ring against a queue: whatever is written and read in whatever order, at its end and where its places pass 2^32; and between two threads. */
import { once } from 'node:events';
import { setImmediate as breathe } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RING_HEAD, RING_TAIL, ringBytes, RingReader, RingWriter } from '../../src/base/ring.js';
import { check } from '../support/oracle/property.js';

const WORDS = 64;

/** A ring whose places begin at `from`. */
function ringAt(from: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(ringBytes(WORDS));
  const words = new Int32Array(memory);
  words[RING_TAIL] = from;
  words[RING_HEAD] = from;
  return memory;
}

function write(writer: RingWriter, kind: number, payload: readonly number[]): boolean {
  const at = writer.begin(kind, payload.length);
  if (at < 0) return false;
  payload.forEach((word, i) => { writer.words[at + i] = word; });
  writer.commit();
  return true;
}

function read(reader: RingReader): { kind: number; payload: number[] } | null {
  if (!reader.next()) return null;
  const payload = [...reader.words.subarray(reader.at, reader.at + reader.length)];
  const { kind } = reader;
  reader.done();
  return { kind, payload };
}

test('it gives back what was written, in order, from any place on', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.integer({ min: 1, max: 0x7fffffff }), payload: fc.array(fc.integer(), { maxLength: 30 }) }), fc.constant('read' as const), fc.constant('drain' as const));
  const from = fc.oneof(fc.integer({ min: -200, max: 200 }), fc.integer({ min: 0x7fffff00, max: 0x7fffffff }), fc.integer());
  check(fc.property(from, fc.array(step, { maxLength: 120 }), (start, steps) => {
    const memory = ringAt(start);
    const writer = new RingWriter(memory), reader = new RingReader(memory);
    const queue: { kind: number; payload: number[] }[] = [];
    let refused = 0;
    for (const one of steps) {
      if (one === 'read' || one === 'drain') {
        do {
          const expected = queue.shift() ?? null;
          assert.equal(read(reader), expected);
        } while (one === 'drain' && queue.length > 0);
      } else if (write(writer, one.kind, one.payload)) {
        queue.push({ ...one });
      } else {
        refused++;
        assert.ok(queue.length > 0, 'an empty ring has room for every record that is not too long');
        const used = queue.reduce((sum, { payload }) => sum + payload.length + 2, 0);
        assert.ok(used + 2 * (one.payload.length + 2) > WORDS, `${used} words used, no room for ${one.payload.length}`);
      }
      assert.is(writer.refused, refused);
      assert.is(reader.refused, refused);
      assert.is(writer.waiting, reader.waiting);
      assert.is(reader.waiting === 0, queue.length === 0, `${reader.waiting} words wait, ${queue.length} records`);
    }
    for (const expected of queue) assert.equal(read(reader), expected);
    assert.is(read(reader), null);
  }), 2000);
});

test('a record that is not committed is not there, and its room is the next one\'s', () => {
  const memory = ringAt(-3);
  const writer = new RingWriter(memory), reader = new RingReader(memory);
  writer.words[writer.begin(7, 1)] = 1;
  assert.not(reader.next());
  assert.ok(write(writer, 8, [2, 3]));
  assert.equal(read(reader), { kind: 8, payload: [2, 3] });
});

test('the longest record fits an empty ring wherever it stands; a longer one is a bug', () => {
  for (let start = 0; start < WORDS; start++) {
    const memory = ringAt(start);
    const writer = new RingWriter(memory), reader = new RingReader(memory);
    const payload = Array.from({ length: writer.longest }, (_, i) => i);
    assert.ok(write(writer, 1, payload), `at ${start}`);
    assert.equal(read(reader), { kind: 1, payload });
  }
  const writer = new RingWriter(ringAt(0));
  assert.throws(() => writer.begin(1, writer.longest + 1), /longer than half/);
});

test('either end begins where the memory says', () => {
  const memory = ringAt(60);
  write(new RingWriter(memory), 1, [11]);
  write(new RingWriter(memory), 2, [12]);
  assert.equal(read(new RingReader(memory)), { kind: 1, payload: [11] });
  assert.equal(read(new RingReader(memory)), { kind: 2, payload: [12] });
  assert.is(read(new RingReader(memory)), null);
});

test('between two threads every record arrives whole and in order', async () => {
  const memory = new SharedArrayBuffer(ringBytes(256));
  const worker = new Worker(`import('tsx/esm/api').then(({ tsImport }) => tsImport('./ring-child.ts', ${JSON.stringify(import.meta.url)}));`, { eval: true, workerData: memory });
  try {
    // It says when it reads: until then it needs this thread to load what it is made of.
    await once(worker, 'message');
    const told = once(worker, 'message');
    const writer = new RingWriter(memory);
    const total = 50_000;
    let isTold = false;
    void told.then(() => { isTold = true; });
    for (let count = 0; count <= total && !isTold;) {
      for (let i = 0; i < 1000 && count <= total; i++) {
        const length = count === total ? 0 : count % 29;
        const at = writer.begin(count === total ? 2 : 1, length);
        if (at < 0) break;
        for (let j = 0; j < length; j++) writer.words[at + j] = Math.imul(count, 31) + j;
        writer.commit();
        count++;
      }
      await breathe();
    }
    const [{ count, wrong }] = await told as [{ count: number; wrong: string | null }];
    assert.is(wrong, null);
    assert.is(count, total);
  } finally {
    await worker.terminate();
  }
});

test.run();
