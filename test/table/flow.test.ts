/** The flow table against a Map: found by both tuples, refused on a clash, gone at its deadline and not before. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TcpWindows } from '../../src/table/tcp-window.js';
import {
  ARMED, COUNTERS, CREATED, DEADLINE, FLAG_DNAT, FLAG_SNAT, FLAGS, FLOW_WORDS, FlowTable, flowTableBytes, GENERATION, HEADER_COUNT, HEADER_EXPIRED, HEADER_HIGH,
  HEADER_NOW, HEADER_OPENED, HEADER_WORDS, IN_LINK, MAPPING, NEIGHBOUR, ORIGINAL_TUPLE, REPLY_TUPLE, ROUTE, SERIAL, STATE, UPLINK,
} from '../../src/table/flow.js';
import { Tuple, TUPLE_WORDS } from '../../src/wire/tuple.js';
import { anySeed, check } from '../support/oracle/property.js';

const NONE = -1;
const UNBOUNDED = 1_000_000;

interface Ends { source: number; destination: number; sourcePort: number; destinationPort: number; protocol: number }

function tuple(e: Ends): Tuple {
  const t = new Tuple();
  t.setV4(e.source, e.destination, (e.sourcePort << 16) | e.destinationPort, e.protocol);
  return t;
}

const inverse = (e: Ends): Ends => ({ source: e.destination, destination: e.source, sourcePort: e.destinationPort, destinationPort: e.sourcePort, protocol: e.protocol });
const text = (e: Ends): string => `${e.protocol} ${e.source}:${e.sourcePort} ${e.destination}:${e.destinationPort}`;

function makeTable(capacity: number, seed = 1, onExpire: (flow: number) => void = () => {}): FlowTable {
  return new FlowTable(new SharedArrayBuffer(flowTableBytes(capacity)), capacity, seed, onExpire);
}

/** Few of everything, so that tuples clash; the packet that leaves has sometimes another source, sometimes another destination. */
const small = fc.integer({ min: 1, max: 3 });
const ends: fc.Arbitrary<Ends> = fc.record({ source: small, destination: small, sourcePort: small, destinationPort: small, protocol: fc.constantFrom(6, 17) });
const rewrite = fc.record({ source: fc.option(small, { nil: undefined }), sourcePort: fc.option(small, { nil: undefined }), destination: fc.option(small, { nil: undefined }), destinationPort: fc.option(small, { nil: undefined }) });

type Step =
  | { do: 'open'; ends: Ends; to: { source: number | undefined; sourcePort: number | undefined; destination: number | undefined; destinationPort: number | undefined }; timeout: number }
  | { do: 'refresh'; pick: number; timeout: number } | { do: 'remove'; pick: number } | { do: 'expire'; by: number; budget: number } | { do: 'abandon'; ends: Ends };

// Timeouts around the wheel's span (8,192 s) as well as short ones.
const timeout = fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(7440, 8190, 8191, 8192, 8193, 20_000));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('open' as const), ends, to: rewrite, timeout }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('refresh' as const), pick: fc.nat(), timeout }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abandon' as const), ends }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('expire' as const), by: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constantFrom(8000, 9000)), budget: fc.oneof(fc.constant(UNBOUNDED), fc.integer({ min: 1, max: 3 })) }) });

interface Known { flow: number; original: Ends; reply: Ends; deadline: number }

test('after anything done to it the table finds what a Map of tuples holds, in the right direction', () => {
  check(fc.property(anySeed, fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 100 }), (seed, capacity, steps) => {
    const known = new Map<number, Known>();
    const byTuple = new Map<string, number>();
    let now = 0;
    let expired = 0, opened = 0;
    const forget = (flow: number): void => {
      const gone = known.get(flow) as Known;
      byTuple.delete(text(gone.original));
      byTuple.delete(text(gone.reply));
      known.delete(flow);
    };
    let isRemoving = false;
    const table = makeTable(capacity, seed, (flow) => {
      const gone = known.get(flow);
      if (gone === undefined) throw new Error(`flow ${flow} expires, which is not there`);
      const t = new Tuple();
      t.load(table.words, table.at(flow) + ORIGINAL_TUPLE);
      assert.is(t.s3, gone.original.source, 'its entry can still be read');
      if (!isRemoving) {
        assert.ok(gone.deadline <= now, `due ${gone.deadline}, gone at ${now}`);
        expired++;
      }
      forget(flow);
    });
    for (const s of steps) {
      switch (s.do) {
        case 'open': {
          if (table.find(tuple(s.ends)) !== NONE) break;
          const flow = table.open(tuple(s.ends), 3, 4);
          assert.is(flow === NONE, known.size === capacity);
          if (flow === NONE) break;
          assert.not(known.has(flow), 'a free entry');
          const leaving = { ...s.ends, ...Object.fromEntries(Object.entries(s.to).filter(([, value]) => value !== undefined)) };
          const reply = inverse(leaving);
          const isTaken = byTuple.has(text(reply));
          assert.is(table.confirm(flow, tuple(leaving), now, s.timeout), !isTaken);
          if (isTaken) break;
          opened++;
          known.set(flow, { flow, original: s.ends, reply, deadline: now + s.timeout });
          byTuple.set(text(reply), (flow << 1) | 1);
          byTuple.set(text(s.ends), flow << 1);
          const flags = table.words[table.at(flow) + FLAGS];
          assert.is((flags & FLAG_SNAT) !== 0, leaving.source !== s.ends.source || leaving.sourcePort !== s.ends.sourcePort);
          assert.is((flags & FLAG_DNAT) !== 0, leaving.destination !== s.ends.destination || leaving.destinationPort !== s.ends.destinationPort);
          break;
        }
        case 'abandon': {
          // Opened and refused before `confirm`: no trace is left.
          if (table.find(tuple(s.ends)) === NONE) table.open(tuple(s.ends), 1, 1);
          break;
        }
        case 'refresh': {
          if (known.size === 0) break;
          const k = [...known.values()][s.pick % known.size];
          k.deadline = now + s.timeout;
          table.refresh(k.flow, now, s.timeout);
          break;
        }
        case 'remove': {
          if (known.size === 0) break;
          const k = [...known.values()][s.pick % known.size];
          isRemoving = true;
          table.remove(k.flow);
          isRemoving = false;
          assert.not(known.has(k.flow), 'its owner was told');
          break;
        }
        case 'expire':
          now += s.by;
          if (table.expire(now, s.budget)) for (const k of known.values()) assert.ok(k.deadline > now, `due ${k.deadline}, still there at ${now}`);
          break;
      }
      assert.is(table.count, known.size);
      for (const [key, reference] of byTuple) {
        const { original, reply } = known.get(reference >>> 1) as Known;
        const wanted = key === text(original) ? original : reply;
        // A flow whose two tuples are one is found in the direction it was opened in.
        assert.is(table.find(tuple(wanted)), reference, key);
      }
    }
    now += 100_000;
    table.expire(now, UNBOUNDED);
    assert.is(table.count, 0);
    for (const s of steps) if (s.do === 'open') assert.is(table.find(tuple(s.ends)), NONE);
    const { words } = table;
    assert.is(words[HEADER_COUNT], 0);
    assert.is(words[HEADER_OPENED], opened);
    assert.is(words[HEADER_EXPIRED], expired);
    assert.ok(words[HEADER_HIGH] <= capacity);
  }), 400);
});

const FLOW: Ends = { source: 0x0a000001, destination: -0x3fffff00, sourcePort: 50_000, destinationPort: 443, protocol: 6 };

/** A flow of its own per number, SNATed to one address. */
const nth = (i: number): { original: Ends; leaving: Ends } => {
  const original = { ...FLOW, source: 0x0a000000 + (i >>> 14), sourcePort: 1024 + (i & 0x3fff) };
  return { original, leaving: { ...original, source: 0x05000000 + (i >>> 14), sourcePort: original.sourcePort ^ 1 } };
};

function add(table: FlowTable, i: number, now: number, seconds: number): number {
  const { original, leaving } = nth(i);
  const flow = table.open(tuple(original), 1, 1);
  assert.is.not(flow, NONE);
  assert.ok(table.confirm(flow, tuple(leaving), now, seconds));
  return flow;
}

test('what stands in an entry', () => {
  const table = makeTable(4);
  const { original, leaving } = nth(0);
  table.words.fill(0x77, HEADER_WORDS, HEADER_WORDS + 40);
  const flow = table.open(tuple(original), 5, 9);
  const at = table.at(flow);
  assert.is(table.confirm(flow, tuple(leaving), 100, 30), true);
  const word = (offset: number): number => table.words[at + offset];
  const t = new Tuple();
  t.load(table.words, at + ORIGINAL_TUPLE);
  assert.equal([t.s3, t.d3, t.sourcePort, t.destinationPort, t.protocol], [original.source, original.destination, original.sourcePort, original.destinationPort, 6]);
  t.load(table.words, at + REPLY_TUPLE);
  assert.equal([t.s3, t.d3, t.sourcePort, t.destinationPort, t.protocol], [leaving.destination, leaving.source, leaving.destinationPort, leaving.sourcePort, 6]);
  assert.equal([STATE, FLAGS, ROUTE, ROUTE + 1, GENERATION, UPLINK, MAPPING, NEIGHBOUR, NEIGHBOUR + 1, IN_LINK, DEADLINE, CREATED, ARMED].map(word),
    [0, FLAG_SNAT, NONE, NONE, 9, NONE, NONE, NONE, NONE, 5, 130, 100, 130]);
  table.account(flow, 0, 60);
  table.account(flow, 1, 1500);
  table.account(flow, 1, 2 ** 40);
  const pair = (at + COUNTERS) / 2;
  assert.equal([...table.doubles.subarray(pair, pair + 4)], [1, 60, 2, 1500 + 2 ** 40]);
  assert.is(REPLY_TUPLE, TUPLE_WORDS);
});

test('the next flow in an entry starts with clean counters, flags and decisions', () => {
  const table = makeTable(1);
  const flow = add(table, 0, 0, 10);
  const at = table.at(flow);
  for (const offset of [STATE, ROUTE, ROUTE + 1, UPLINK, MAPPING, NEIGHBOUR, NEIGHBOUR + 1]) table.words[at + offset] = 7;
  table.account(flow, 0, 1);
  table.remove(flow);
  assert.is(table.open(tuple(FLOW), 2, 3), flow);
  assert.ok(table.confirm(flow, tuple(FLOW), 5, 10));
  assert.equal([STATE, FLAGS, ROUTE, ROUTE + 1, UPLINK, MAPPING, NEIGHBOUR, NEIGHBOUR + 1].map((offset) => table.words[at + offset]), [0, 0, NONE, NONE, NONE, NONE, NONE, NONE]);
  assert.equal([...table.doubles.subarray((at + COUNTERS) / 2, (at + COUNTERS) / 2 + 4)], [0, 0, 0, 0]);
});

test('translated at one end, the other, both, neither; a port alone is enough', () => {
  const changes: readonly [Partial<Ends>, number][] = [
    [{}, 0], [{ source: 9 }, FLAG_SNAT], [{ sourcePort: 9 }, FLAG_SNAT], [{ destination: 9 }, FLAG_DNAT], [{ destinationPort: 9 }, FLAG_DNAT],
    [{ source: 9, destinationPort: 8 }, FLAG_SNAT | FLAG_DNAT],
  ];
  for (const [change, flags] of changes) {
    const table = makeTable(1);
    const flow = table.open(tuple(FLOW), 0, 0);
    assert.ok(table.confirm(flow, tuple({ ...FLOW, ...change }), 0, 1));
    assert.is(table.words[table.at(flow) + FLAGS], flags, JSON.stringify(change));
  }
});

test('a flow whose answers would be another’s is refused and leaves no trace', () => {
  const table = makeTable(4);
  add(table, 0, 0, 10);
  const { leaving } = nth(0);
  const other = { ...FLOW, source: 0x0a0000ff };
  const before = table.words.slice();
  const flow = table.open(tuple(other), 1, 1);
  assert.not(table.confirm(flow, tuple(leaving), 0, 10));
  assert.is(table.find(tuple(other)), NONE);
  assert.equal([table.count, table.words[HEADER_OPENED], table.words[HEADER_HIGH], table.words[table.at(flow) + SERIAL]], [1, before[HEADER_OPENED], before[HEADER_HIGH], 0]);
  assert.is(table.open(tuple(other), 1, 1), flow, 'the entry is the next one’s');
});

test('a deadline moved nearer counts at once, one moved away counts too', () => {
  const gone: number[] = [];
  const table = makeTable(4, 1, (flow) => { gone.push(flow); });
  const a = add(table, 0, 0, 100), b = add(table, 1, 0, 10), c = add(table, 2, 0, 7440);
  table.refresh(a, 1, 4);
  table.refresh(b, 9, 20);
  table.expire(4, UNBOUNDED);
  assert.equal(gone, []);
  table.expire(5, UNBOUNDED);
  assert.equal(gone, [a]);
  table.expire(28, UNBOUNDED);
  assert.equal(gone, [a]);
  table.expire(29, UNBOUNDED);
  assert.equal(gone, [a, b]);
  // Away and then nearer than the tick the wheel is armed for.
  table.refresh(c, 29, 9000);
  table.refresh(c, 30, 5);
  table.expire(34, UNBOUNDED);
  assert.equal(gone, [a, b]);
  table.expire(35, UNBOUNDED);
  assert.equal(gone, [a, b, c]);
  assert.equal([table.words[HEADER_EXPIRED], table.words[HEADER_NOW], table.count], [3, 35, 0]);
});

test('after the wheel has looked once and found the deadline moved away, moving it nearer counts again', () => {
  const table = makeTable(1);
  const flow = add(table, 0, 0, 10);
  table.refresh(flow, 5, 100);
  table.expire(10, UNBOUNDED);
  table.refresh(flow, 20, 5);
  table.expire(24, UNBOUNDED);
  assert.is(table.count, 1);
  table.expire(25, UNBOUNDED);
  assert.is(table.count, 0);
});

test('with a budget flows go in the order of their deadlines, a few at a time, and new ones may come in between', () => {
  const gone: number[] = [];
  const table = makeTable(64, 1, (flow) => { gone.push(table.words[table.at(flow) + DEADLINE]); });
  for (let i = 0; i < 40; i++) add(table, i, 0, 40 - i);
  assert.not(table.expire(50, 7));
  assert.is(gone.length, 7);
  add(table, 50, 50, 1);
  for (let call = 0; call < 100 && !table.expire(50, 7); call++) assert.ok(table.count > 0);
  assert.equal(gone, Array.from({ length: 40 }, (_, i) => i + 1));
  assert.is(table.count, 1);
  assert.ok(table.expire(51, 7));
  assert.is(table.count, 0);
});

test('entries are used again before new ones are taken; a full table opens nothing', () => {
  const table = makeTable(3);
  const flows = [0, 1, 2].map((i) => add(table, i, 0, 100));
  assert.equal([...flows].sort(), [0, 1, 2]);
  assert.is(table.open(tuple(nth(3).original), 0, 0), NONE);
  assert.is(table.words[HEADER_HIGH], 3);
  table.remove(flows[1]);
  assert.is(add(table, 3, 0, 100), flows[1]);
  assert.is(table.words[HEADER_HIGH], 3);
  assert.is(table.open(tuple(nth(4).original), 0, 0), NONE);
});

test('a serial is odd while its flow lives and never the same for two flows', () => {
  const table = makeTable(1);
  const serials: number[] = [];
  for (let i = 0; i < 20; i++) {
    const flow = add(table, i, i, 100);
    const serial = table.words[table.at(flow) + SERIAL];
    assert.is(serial & 1, 1);
    serials.push(serial);
    table.remove(flow);
    assert.is(table.words[table.at(flow) + SERIAL] & 1, 0);
  }
  assert.is(new Set(serials).size, 20);
});

/** Bytes of every distinct buffer that an object reaches. */
function bufferBytes(root: object): number {
  const seen = new Set<object>();
  const buffers = new Set<ArrayBufferLike>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    if (ArrayBuffer.isView(value)) buffers.add(value.buffer);
    else if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) buffers.add(value);
    else if (value instanceof Map) for (const pair of value) pair.forEach(visit);
    else if (Array.isArray(value)) {
      // Plain arrays count too, eight bytes an element.
      buffers.add(new ArrayBuffer(value.length * 8));
      value.forEach(visit);
    } else Object.values(value).forEach(visit);
  };
  visit(root);
  return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
}

test('a million flows, 1,048,576, stand in 256 MiB, and each of them is found', () => {
  const capacity = 1_048_576;
  const limitBytes = 256 * 1024 * 1024;
  const table = makeTable(capacity);
  const windows = new TcpWindows(capacity);
  const empty = bufferBytes(table) + bufferBytes(windows);
  assert.ok(empty <= limitBytes, `${(empty / 1024 / 1024).toFixed(1)} MiB`);
  assert.ok(empty > capacity * FLOW_WORDS * 4, 'the count reaches the entries and more');
  const original = new Tuple(), leaving = new Tuple();
  const set = (i: number): void => {
    original.setV4(0x0a000000 + (i >>> 8), 0x08080808, ((1024 + (i & 255)) << 16) | 443, 17);
    leaving.setV4(0x05050505 + (i >>> 15), 0x08080808, ((i & 0x7fff) << 16) | 443, 17);
  };
  for (let i = 0; i < capacity; i++) {
    set(i);
    const flow = table.open(original, 0, 0);
    if (flow !== i || !table.confirm(flow, leaving, 0, 60 + (i & 1023))) assert.unreachable(`flow ${i}`);
  }
  assert.is(table.count, capacity);
  assert.is(table.open(original, 0, 0), NONE);
  assert.is(bufferBytes(table) + bufferBytes(windows), empty, 'nothing has grown');
  const reply = new Tuple();
  for (let i = 0; i < capacity; i += 97) {
    set(i);
    reply.invert(leaving);
    if (table.find(original) !== i << 1 || table.find(reply) !== (i << 1 | 1)) assert.unreachable(`flow ${i} is not found`);
  }
});

test.run();
