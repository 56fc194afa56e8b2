/**
 * Reading the flow table from beside: whole entries only. The writer is made to act between any two words the reader copies, through a trap
 * in the reader's own copy, so that every interleaving is played and none is left to chance.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { COUNTERS, FLOW_WORDS, FlowTable, flowTableBytes, IN_LINK, ORIGINAL_TUPLE, REPLY_TUPLE, SERIAL, UPLINK } from '../../src/table/flow.js';
import { FlowReader } from '../../src/table/flow-reader.js';
import { Tuple } from '../../src/wire/tuple.js';

const CAPACITY = 4;

function bench(): { table: FlowTable; reader: FlowReader; open: (id: number, seconds?: number) => number } {
  const memory = new SharedArrayBuffer(flowTableBytes(CAPACITY));
  const table = new FlowTable(memory, CAPACITY, 1, () => {});
  const reader = new FlowReader(memory, CAPACITY);
  const open = (id: number, seconds = 10): number => {
    const original = new Tuple(), leaving = new Tuple();
    original.setV4(id, id + 1000, (id << 16) | id, 17);
    leaving.setV4(id + 2000, id + 1000, (id << 16) | id, 17);
    const flow = table.open(original, id, 0);
    table.words[table.at(flow) + UPLINK] = id;
    assert.ok(table.confirm(flow, leaving, 0, seconds));
    table.account(flow, 0, id);
    return flow;
  };
  return { table, reader, open };
}

/** The one flow an entry's words speak of; a mixture speaks of several. */
function ownersOf(words: Int32Array): Set<number> {
  return new Set([
    words[ORIGINAL_TUPLE + 3], words[ORIGINAL_TUPLE + 7] - 1000, words[ORIGINAL_TUPLE + 8] & 0xffff, words[IN_LINK], words[UPLINK],
    words[REPLY_TUPLE + 3] - 1000, words[REPLY_TUPLE + 7] - 2000, words[REPLY_TUPLE + 8] & 0xffff,
  ]);
}

/** Run `act` just before the reader copies word `at` of the entry. */
function interleave(reader: FlowReader, at: number, act: () => void): void {
  const real = reader.words;
  let isDone = false;
  Object.defineProperty(reader, 'words', {
    configurable: true,
    value: new Proxy(real, {
      set: (target, key, value: number) => {
        if (!isDone && Number(key) === at) {
          isDone = true;
          act();
        }
        return Reflect.set(target, key, value, target);
      },
    }),
  });
}

test('an entry is copied out as it stands', () => {
  const { table, reader, open } = bench();
  const flow = open(7, 30);
  table.account(flow, 1, 2 ** 40 + 1);
  assert.ok(reader.read(flow));
  assert.equal([...reader.words], [...table.words.subarray(table.at(flow), table.at(flow) + FLOW_WORDS)]);
  assert.equal([...ownersOf(reader.words)], [7]);
  assert.equal([...reader.doubles.subarray(COUNTERS / 2, COUNTERS / 2 + 4)], [1, 7, 1, 2 ** 40 + 1]);
  table.expire(3, 10);
  assert.equal([reader.capacity, reader.count, reader.opened, reader.expired, reader.high, reader.nowTick], [CAPACITY, 1, 1, 0, 1, 3]);
  table.expire(30, 10);
  assert.equal([reader.count, reader.expired, reader.nowTick], [0, 1, 30]);
});

test('an entry never used, one freed, and one opened but not confirmed hold no flow', () => {
  const { table, reader, open } = bench();
  assert.not(reader.read(0));
  const flow = open(1);
  assert.ok(reader.read(flow));
  table.remove(flow);
  assert.not(reader.read(flow));
  const original = new Tuple();
  original.setV4(1, 2, 3, 17);
  table.open(original, 0, 0);
  assert.not(reader.read(flow));
});

test('an entry that changes its owner at any moment while it is read is not handed over', () => {
  for (let at = 0; at < FLOW_WORDS; at++) {
    const { table, reader, open } = bench();
    const flow = open(1);
    interleave(reader, at, () => {
      table.remove(flow);
      assert.is(open(2), flow);
    });
    assert.not(reader.read(flow), `before word ${at}`);
    assert.ok(reader.read(flow));
    assert.equal([...ownersOf(reader.words)], [2]);
  }
});

test('nor is one that is freed, or freed and opened without being confirmed', () => {
  for (let at = 0; at < FLOW_WORDS; at++) {
    const { table, reader, open } = bench();
    const flow = open(1);
    interleave(reader, at, () => {
      table.remove(flow);
      if (at & 1) {
        const other = new Tuple();
        other.setV4(9, 9, 9, 17);
        table.open(other, 9, 0);
      }
    });
    assert.not(reader.read(flow), `before word ${at}`);
  }
});

test('counters of a flow that goes on are never torn: each is a value it has had', () => {
  // 2³² - 1 and 2³²: almost every bit of the double changes from one to the next.
  for (let at = 0; at < FLOW_WORDS; at++) {
    const { table, reader, open } = bench();
    const flow = open(1);
    const pair = (table.at(flow) + COUNTERS) / 2;
    table.doubles.set([2 ** 53 - 2, 2 ** 32 - 1, 2 ** 22 - 1, 2 ** 31 - 1], pair);
    const before = [...table.doubles.subarray(pair, pair + 4)];
    interleave(reader, at, () => {
      table.account(flow, 0, 1);
      table.account(flow, 1, 1);
    });
    assert.ok(reader.read(flow), 'a flow that goes on is read');
    const read = [...reader.doubles.subarray(COUNTERS / 2, COUNTERS / 2 + 4)];
    read.forEach((value, i) => assert.ok(value === before[i] || value === before[i] + 1, `counter ${i} is ${value}, word ${at}`));
  }
});

test('the serial is what tells: with it unchanged the read is taken', () => {
  const { table, reader, open } = bench();
  const flow = open(1);
  interleave(reader, 20, () => { table.refresh(flow, 1, 100); });
  assert.ok(reader.read(flow));
  assert.is(table.words[table.at(flow) + SERIAL] & 1, 1);
});

test.run();
