/** Expected flows: found by what they are, once, bounded by number and by time; against a plain model under random use. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EXPECTED_CONTROL, EXPECTED_LEAVING, ExpectationTable } from '../../src/table/expectation.js';
import { Tuple } from '../../src/wire/tuple.js';

const NONE = -1;
const tuple = (source: number, sourcePort: number, destination: number, destinationPort: number, protocol = 6): Tuple => {
  const made = new Tuple();
  made.setV4(source, destination, (sourcePort << 16) | destinationPort, protocol);
  return made;
};

test('found by protocol, addresses and destination port; a source port only where one is named', () => {
  const table = new ExpectationTable(8, 1, () => {});
  assert.is(table.find(tuple(1, 20, 2, 3000)), NONE);
  const any = table.make(tuple(1, 0, 2, 3000), tuple(1, 0, 9, 4000), 5, 1, NONE, 0, 60);
  const named = table.make(tuple(1, 20, 2, 3001), tuple(1, 0, 9, 4001), 5, 1, NONE, 0, 60);
  for (const port of [1, 20, 65_535]) assert.is(table.find(tuple(1, port, 2, 3000)), any);
  assert.is(table.find(tuple(1, 20, 2, 3001)), named);
  for (const other of [tuple(1, 21, 2, 3001), tuple(3, 20, 2, 3000), tuple(1, 20, 3, 3000), tuple(1, 20, 2, 3002), tuple(1, 20, 2, 3000, 17)]) assert.is(table.find(other), NONE);
  assert.is(table.words[table.at(any) + EXPECTED_CONTROL], 5);
  assert.is(table.words[table.at(any) + EXPECTED_LEAVING + 7], 9);
});

test('the same twice takes the place of the first, whose port is given back', () => {
  const back: number[] = [];
  const table = new ExpectationTable(8, 1, (mapping) => back.push(mapping));
  table.make(tuple(1, 0, 2, 3000), tuple(1, 0, 9, 4000), 5, 1, 77, 0, 60);
  table.make(tuple(1, 0, 2, 3000), tuple(1, 0, 9, 4000), 6, 1, 78, 0, 60);
  assert.equal([table.count, back], [1, [77]]);
  assert.is(table.words[table.at(table.find(tuple(1, 1, 2, 3000))) + EXPECTED_CONTROL], 6);
});

test('what is taken keeps its port, what expires or is withdrawn gives it back; another’s is not withdrawn', () => {
  const back: number[] = [];
  const table = new ExpectationTable(8, 1, (mapping) => back.push(mapping));
  const make = (port: number, tick: number): number => table.make(tuple(1, 0, 2, port), tuple(1, 0, 9, port), 5, 1, port, tick, 60);
  assert.is(table.take(make(1, 0)), 1);
  const second = make(2, 0);
  table.remove(second, 4);
  assert.is(table.count, 1);
  table.remove(second, 5);
  table.remove(second, 5);
  make(3, 0);
  make(4, 30);
  table.expire(59, 100);
  assert.equal([table.count, back], [2, [2]]);
  table.expire(61, 100);
  assert.equal([table.count, back], [1, [2, 3]]);
  table.expire(91, 100);
  assert.equal([table.count, back, table.made, table.used, table.expired], [0, [2, 3, 4], 4, 1, 2]);
});

test('full, it refuses and counts', () => {
  const table = new ExpectationTable(2, 1, () => {});
  for (let port = 1; port <= 3; port++) table.make(tuple(1, 0, 2, port), tuple(1, 0, 9, port), 5, 1, NONE, 0, 60);
  assert.equal([table.count, table.refused], [2, 1]);
});

test('a timeout longer than the wheel is kept', () => {
  const table = new ExpectationTable(2, 1, () => {});
  table.make(tuple(1, 0, 2, 1), tuple(1, 0, 9, 1), 5, 1, NONE, 0, 1000);
  for (let tick = 1; tick < 1000; tick++) table.expire(tick, 10);
  assert.is(table.count, 1);
  table.expire(1000, 10);
  assert.is(table.count, 0);
});

test('as a plain list does', () => {
  const step = fc.record({ act: fc.constantFrom('make', 'make', 'take', 'remove', 'pass'), port: fc.integer({ min: 1, max: 6 }), control: fc.nat(2), seconds: fc.nat(40) });
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), fc.integer(), (steps, seed) => {
    let held = 0;
    const table = new ExpectationTable(4, seed, () => held--);
    let model: { port: number; control: number; deadline: number; entry: number }[] = [];
    let tick = 0;
    for (const { act, port, control, seconds } of steps) {
      if (act === 'make') {
        held++;
        model = model.filter((one) => one.port !== port);
        const entry = table.make(tuple(1, 0, 2, port), tuple(1, 0, 9, port), control, 0, port, tick, 30);
        assert.is(entry === NONE, model.length === 4);
        if (entry === NONE) held--;
        else model.push({ port, control, deadline: tick + 30, entry });
      } else if (act === 'pass') {
        tick += seconds;
        table.expire(tick, 1000);
        model = model.filter(({ deadline }) => deadline > tick);
      } else {
        const at = model.findIndex((one) => one.port === port);
        if (at >= 0 && act === 'take') {
          assert.is(table.take(model[at].entry), port);
          held--;
          model.splice(at, 1);
        } else if (at >= 0) {
          table.remove(model[at].entry, control);
          if (model[at].control === control) model.splice(at, 1);
        }
      }
      assert.is(table.count, model.length);
      assert.is(held, model.length);
      for (let one = 1; one <= 6; one++) assert.is(table.find(tuple(1, 99, 2, one)), model.find((m) => m.port === one)?.entry ?? NONE);
    }
  }), { numRuns: 500, includeErrorInReport: true });
});

test.run();
