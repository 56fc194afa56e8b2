/** The queue of changes against a list: entries come and give way, are sent, are written, are sent again, in whatever order; and what stands on it. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LiveKeys } from '../../src/share/live-keys.js';
import { Mirror } from '../../src/share/mirror.js';
import { ChangeQueue } from '../../src/share/queue.js';
import type { QueuePlace } from '../../src/share/queue.js';
import { readStamp, putStamp, STAMP_BYTES, stampOf } from '../../src/share/stamp.js';
import { Worst } from '../../src/share/worst.js';

const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 31);

interface Row { number: number; payload: number[] }

/** What the entry found by the queue is. */
function found(queue: ChangeQueue): Row { return { number: queue.kind, payload: [...queue.words.subarray(queue.payloadAt, queue.payloadAt + queue.payloadWords)] }; }

test(`whatever is done to it, it is the list that it should be, seed ${seed}`, () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('push' as const), words: fc.oneof(fc.nat(12), fc.nat(200)) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('send' as const), count: fc.integer({ min: 1, max: 9 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('written' as const, 'failed' as const), which: fc.nat(5) }) },
  );
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 400 }), (steps) => {
    const queue = new ChangeQueue(64);
    const dropped: number[] = [];
    queue.onDrop = () => dropped.push(queue.kind);
    /** Every entry there is, and how many of them are sent. */
    let rows: Row[] = [];
    let sent = 0;
    let flights: { from: QueuePlace; to: QueuePlace; first: number; last: number }[] = [];
    let pushed = 0;
    for (const one of steps) {
      switch (one.do) {
        case 'push': {
          const row = { number: ++pushed, payload: Array.from({ length: one.words }, (_, i) => pushed * 1000 + i) };
          dropped.length = 0;
          const at = queue.push(row.number, pushed, one.words);
          queue.words.set(row.payload, at);
          // The oldest have given way, and nothing else.
          assert.equal(dropped, rows.slice(0, dropped.length).map(({ number }) => number));
          rows = [...rows.slice(dropped.length), row];
          sent = Math.max(0, sent - dropped.length);
          assert.ok(rows.length <= 64);
          break;
        }
        case 'send': {
          const from = queue.place;
          const first = rows[sent]?.number ?? 0;
          for (let left = one.count; left > 0 && queue.next(); left--) {
            assert.equal(found(queue), rows[sent]);
            queue.sent();
            sent++;
          }
          if (sent > 0 && first !== 0) flights.push({ from, to: queue.place, first, last: rows[sent - 1].number });
          break;
        }
        case 'written': {
          const flight = flights.shift();
          if (flight === undefined) break;
          queue.written(flight.to);
          const gone = rows.findIndex(({ number }) => number > flight.last);
          const count = gone < 0 ? rows.length : gone;
          rows = rows.slice(count);
          sent = Math.max(0, sent - count);
          break;
        }
        case 'failed': {
          const flight = flights[Math.min(one.which, flights.length - 1)];
          if (flight === undefined) break;
          queue.rewind(flight.from);
          const at = rows.findIndex(({ number }) => number >= flight.first);
          sent = at < 0 ? sent : Math.min(sent, at);
          flights = flights.filter(({ last }) => last < flight.first);
          break;
        }
      }
      assert.is(queue.length, rows.length);
      assert.is(queue.unsent, rows.length - sent);
      assert.is(queue.ageMs(pushed + 5), rows.length === 0 ? 0 : pushed + 5 - rows[0].number);
      const all: Row[] = [];
      queue.each(flights[0]?.from ?? queue.place, queue.end, () => all.push(found(queue)));
      const first = flights.length > 0 ? flights[0].first : rows[sent]?.number ?? Infinity;
      assert.equal(all, rows.filter(({ number }) => number >= first));
    }
  }), { seed, numRuns: 300 });
});

test('places go round: after a million entries it is what it was', () => {
  const queue = new ChangeQueue(64);
  for (let i = 0; i < 1_000_000; i++) {
    queue.words[queue.push(1, 0, 1 + (i % 7))] = i;
    assert.ok(queue.next());
    if (queue.words[queue.payloadAt] !== i) assert.unreachable(`entry ${i} is ${queue.words[queue.payloadAt]}`);
    queue.sent();
    queue.written(queue.place);
  }
  assert.is(queue.length, 0);
});

test('a key is alive when it was added, and hardly ever otherwise; more keys than there is room for make all alive', () => {
  const keyOf = (n: number): Uint8Array => Uint8Array.of(0x66, 4, 6, n >>> 24, n >>> 16, n >>> 8, n, 1, 2, 3, 4, 5, 6, 7, 8);
  const keys = new LiveKeys(20_000);
  for (let n = 0; n < 20_000; n++) keys.add(keyOf(n));
  for (let n = 0; n < 20_000; n++) if (!keys.has(keyOf(n))) assert.unreachable(`key ${n} is gone`);
  let wrong = 0;
  for (let n = 20_000; n < 200_000; n++) if (keys.has(keyOf(n))) wrong++;
  assert.is(wrong, 0);
  assert.not.ok(keys.has(keyOf(5).subarray(0, 14)), 'a part of a key is another key');
  for (let n = 20_000; n < 40_000; n++) keys.add(keyOf(n));
  assert.ok(keys.isOverfull && keys.has(keyOf(-1)));
});

test('the mirror keeps the latest of each key, forgets what is over, and the oldest when there are too many', () => {
  const mirror = new Mirror(3);
  const key = (n: number): Uint8Array => Uint8Array.of(0x61, n);
  const first = mirror.put(key(1), Uint8Array.of(1), 10, 0);
  assert.is(mirror.put(key(1), Uint8Array.of(2), 20, 1000), first);
  assert.equal([...first.value], [2]);
  mirror.put(key(2), Uint8Array.of(3), 5, 0);
  mirror.put(key(3), Uint8Array.of(4), 50, 0);
  assert.equal([...mirror.entries(10_000)].map((entry) => entry.key[1]), [1, 3]);
  assert.is(mirror.size, 2);
  mirror.put(key(4), Uint8Array.of(5), 50, 0);
  mirror.put(key(5), Uint8Array.of(6), 50, 0);
  assert.equal([...mirror.entries(0)].map((entry) => entry.key[1]), [3, 4, 5]);
  assert.is(mirror.get(first.id), undefined);
  mirror.delete(key(4));
  assert.is(mirror.size, 2);
});

test('a stamp is read as it was put', () => {
  const value = new Uint8Array(STAMP_BYTES + 1);
  for (const name of ['a', 'b', 'gateway-1']) {
    putStamp(value, stampOf(name));
    assert.is(readStamp(value), stampOf(name));
  }
  assert.is(readStamp(value.subarray(0, 3)), null);
  assert.is.not(stampOf('a'), stampOf('b'));
});

test('the worst of a while is forgotten after it', () => {
  let nowMs = 0;
  const worst = new Worst(() => nowMs);
  worst.note(50);
  nowMs = 9000;
  worst.note(3);
  assert.equal([worst.last, worst.most], [3, 50]);
  nowMs = 11_000;
  assert.is(worst.most, 50);
  nowMs = 22_000;
  assert.is(worst.most, 0);
});

test('a change that could never find room is an error of whoever brings it, and not an endless search', () => {
  const queue = new ChangeQueue(4);
  const most = queue.words.length / 2 - 3;
  for (let i = 0; i < 5; i++) queue.push(1, 0, most);
  assert.throws(() => queue.push(1, 0, most + 1), /assertion failed: a change longer than half its queue/);
  assert.throws(() => queue.push(1, 0, -1), /assertion failed/);
});

test.run();
