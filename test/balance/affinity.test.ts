/** The affinity table against a plain model of it: who is found, what ends when, who makes room, what is erased, what a reader sees. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AffinityTable, affinityBytes, readAffinity } from '../../src/balance/affinity.js';
import type { AffinityRow } from '../../src/balance/affinity.js';
import type { AffinityPlan } from '../../src/base/plan.js';
import { Tuple } from '../../src/wire/tuple.js';
import { check } from '../support/oracle/property.js';

const NONE = -1;
/** Owner 1 has no affinity. */
const OWNERS: readonly (AffinityPlan | undefined)[] = [
  { by: 'source', timeout: 10 }, undefined, { by: 'destination', timeout: 3 }, { by: 'source-destination', timeout: 100 },
];
/** Group of each owner's uplinks; owner 3 is a policy's that asks group 0. */
const GROUPS = [0, 1, 2, 0];

interface Rig { table: AffinityTable; memory: SharedArrayBuffer; evicted: () => number }

function make(capacity: number, owners = OWNERS): Rig {
  const memory = new SharedArrayBuffer(affinityBytes(capacity));
  let evicted = 0;
  return { table: new AffinityTable(memory, capacity, owners, 5, () => evicted++), memory, evicted: () => evicted };
}

const tuple = new Tuple();
function flow(source: number, destination = 1): Tuple {
  tuple.setV4(source, destination, (source << 16) | 80, 6);
  return tuple;
}

interface Entry { owner: number; group: number; source: number | null; destination: number | null; uplink: number; usedAtMs: number }

/** The same, simply: a list searched from end to end. */
class Model {
  entries: Entry[] = [];
  evicted = 0;
  private readonly capacity: number;
  constructor(capacity: number) { this.capacity = capacity; }

  endOf(entry: Entry): number { return entry.usedAtMs + (OWNERS[entry.owner] as AffinityPlan).timeout * 1000; }
  alive(nowMs: number): Entry[] { return this.entries.filter((entry) => this.endOf(entry) > nowMs); }

  key(owner: number, s: number, d: number): { source: number | null; destination: number | null } {
    const { by } = OWNERS[owner] as AffinityPlan;
    return { source: by === 'destination' ? null : s, destination: by === 'source' ? null : d };
  }

  find(owner: number, s: number, d: number, nowMs: number): Entry | undefined {
    const { source, destination } = this.key(owner, s, d);
    return this.alive(nowMs).find((entry) => entry.owner === owner && entry.source === source && entry.destination === destination);
  }

  remember(owner: number, s: number, d: number, uplink: number, nowMs: number): void {
    const known = this.find(owner, s, d, nowMs);
    this.entries = this.alive(nowMs).filter((entry) => entry !== known);
    if (this.entries.length === this.capacity) {
      this.evicted++;
      const oldest = Math.min(...this.entries.map((entry) => entry.usedAtMs));
      // Of equals it is the first owner's, and of that the one that was there first.
      const among = this.entries.filter((entry) => entry.usedAtMs === oldest).sort((a, b) => a.owner - b.owner);
      this.entries = this.entries.filter((entry) => entry !== among[0]);
    }
    this.entries.push({ owner, group: GROUPS[owner], ...this.key(owner, s, d), uplink, usedAtMs: nowMs });
  }
}

const rowsOf = (rows: readonly Omit<AffinityRow, 'endsAtMs'>[]): string[] =>
  rows.map(({ owner, source, destination, uplink }) => `${owner} ${source} ${destination} ${uplink}`).sort();

test('does what the model does, whatever is done to it', () => {
  const place = { owner: fc.constantFrom(0, 2, 3), s: fc.integer({ min: 1, max: 6 }), d: fc.integer({ min: 1, max: 6 }), uplink: fc.integer({ min: 0, max: 3 }) };
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ does: fc.constant('remember' as const), ...place }) },
    { weight: 4, arbitrary: fc.record({ does: fc.constant('come back' as const), ...place }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('wait' as const), ms: fc.constantFrom(1, 1000, 2999, 3000, 7000, 100_000) }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('erase' as const), address: fc.option(fc.integer({ min: 1, max: 6 })) }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('erase uplinks' as const), group: fc.constantFrom(0, 1, 2), from: fc.integer({ min: 0, max: 4 }) }) },
  );
  check(fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 120 }), (capacity, steps) => {
    const { table, memory, evicted } = make(capacity);
    const model = new Model(capacity);
    let nowMs = 500;
    for (const c of steps) {
      switch (c.does) {
        case 'remember':
          table.remember(c.owner, GROUPS[c.owner], flow(c.s, c.d), c.uplink, nowMs);
          model.remember(c.owner, c.s, c.d, c.uplink, nowMs);
          break;
        case 'come back': {
          const entry = table.find(c.owner, flow(c.s, c.d), nowMs);
          const known = model.find(c.owner, c.s, c.d, nowMs);
          assert.is(entry === NONE ? undefined : table.uplink(entry), known?.uplink);
          if (known === undefined) break;
          table.renew(entry, nowMs);
          model.remember(c.owner, c.s, c.d, known.uplink, nowMs);
          break;
        }
        case 'wait':
          nowMs += c.ms;
          break;
        case 'erase': {
          table.erase(c.address);
          model.entries = model.alive(nowMs).filter((entry) => c.address !== null && entry.source !== c.address && entry.destination !== c.address);
          break;
        }
        case 'erase uplinks':
          table.eraseUplinks(c.group, (uplink) => uplink >= c.from);
          model.entries = model.entries.filter((entry) => entry.group !== c.group || entry.uplink < c.from);
          break;
      }
      assert.ok(table.count <= capacity);
      assert.is(evicted(), model.evicted);
      const rows = readAffinity(memory, nowMs);
      assert.equal(rowsOf(rows), rowsOf(model.alive(nowMs)));
      for (const row of rows) assert.ok(model.alive(nowMs).some((entry) => model.endOf(entry) === row.endsAtMs));
    }
  }), 300);
});

test('what has ended makes room without being counted, even another owner’s', () => {
  const { table, evicted } = make(4);
  for (let i = 0; i < 4; i++) table.remember(2, 2, flow(1, i), 0, 0);
  for (let i = 0; i < 4; i++) table.remember(0, 0, flow(i), 1, 3000);
  assert.equal([table.count, evicted()], [4, 0]);
  table.remember(0, 0, flow(9), 1, 3000);
  assert.equal([table.count, evicted()], [4, 1]);
  assert.is(table.find(0, flow(0), 3000), NONE, 'the one longest out of use went');
  assert.is.not(table.find(0, flow(1), 3000), NONE);
});

test('what has ended is replaced one by one as new ones come, long before the table is full', () => {
  const { table } = make(100);
  for (let i = 0; i < 20; i++) table.remember(0, 0, flow(i), 0, 0);
  for (let i = 20; i < 50; i++) {
    table.remember(0, 0, flow(i), 0, 10_000);
    assert.ok(table.count === Math.max(20, i - 19), `${table.count} after ${i - 19}`);
  }
});

test('erasing says how many; a flood beyond the limit stays within it and is counted', () => {
  const { table, evicted } = make(100);
  for (let i = 0; i < 5000; i++) table.remember(0, 0, flow(i), i & 1, i / 1000);
  assert.equal([table.count, evicted()], [100, 4900]);
  assert.is(table.erase(4950), 1);
  assert.is(table.erase(4950), 0);
  assert.is(table.eraseUplinks(0, (uplink) => uplink === 1), 50);
  assert.is(table.eraseUplinks(1, () => true), 0);
  assert.is(table.erase(null), 49);
  assert.is(table.count, 0);
});

test('a table without room remembers nothing and does not mind', () => {
  const { table, memory, evicted } = make(0);
  table.remember(0, 0, flow(1), 0, 0);
  assert.equal([table.count, table.find(0, flow(1), 0), evicted(), readAffinity(memory, 0)], [0, NONE, 0, []]);
});

test.run();
