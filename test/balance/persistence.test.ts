/** Persistence held against a Map: who is remembered, by how many flows, until when, and who makes room. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Persistence, persistenceBytes, readPersistence } from '../../src/balance/persistence.js';
import { maskOf, V4_MAPPED } from '../../src/wire/address.js';
import { check } from '../support/oracle/property.js';

const NONE = -1;
const CAPACITY = 4;
const TIMEOUT = 10;
const base = 0x0a00_0000;

type Step = { what: 'hold' | 'drop' | 'find'; owner: number; client: number; server: number } | { what: 'wait'; seconds: number } | { what: 'erase'; client: number | null };

const anyClient = fc.nat(11);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constantFrom('hold' as const, 'hold' as const, 'drop' as const, 'drop' as const, 'find' as const), owner: fc.nat(1), client: anyClient, server: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 14 }) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('erase' as const), client: fc.option(anyClient) }) },
);

interface Entry { key: string; network: number; server: number; flows: number; deadline: number; idleSince: number }

test('any order of flows, waits and erasures', () => {
  const anyCase = fc.record({ length: fc.constantFrom(30, 31, 32), steps: fc.array(anyStep, { maxLength: 120 }), seed: fc.integer() });
  check(fc.property(anyCase, ({ length, steps, seed }) => {
    const table = new Persistence(CAPACITY, seed);
    const model = new Map<string, Entry>();
    let now = 0, order = 0, evicted = 0, refused = 0;
    const networkOf = (client: number): number => (base + client) & maskOf(length);
    const keyOf = (owner: number, client: number): string => `${owner} ${networkOf(client)}`;
    for (const step of steps) {
      if (step.what === 'wait') {
        now += step.seconds;
        table.expire(now, 100);
        for (const [key, { flows, deadline }] of model) if (flows === 0 && deadline <= now) model.delete(key);
      } else if (step.what === 'erase') {
        const gone = [...model.values()].filter(({ network, server }) => server !== NONE && (step.client === null || network === networkOf(step.client)));
        assert.is(table.erase(step.client === null ? null : base + step.client), gone.length, 'erased');
        for (const entry of gone) {
          if (entry.flows > 0) entry.server = NONE;
          else model.delete(entry.key);
        }
      } else {
        const { owner, client, server } = step;
        const key = keyOf(owner, client);
        const at = [owner, 0, 0, V4_MAPPED, base + client, length] as const;
        const entry = model.get(key);
        if (step.what === 'hold') {
          if (entry === undefined && model.size === CAPACITY) {
            const idle = [...model.values()].filter(({ flows }) => flows === 0).sort((a, b) => a.idleSince - b.idleSince)[0];
            if (idle === undefined) refused++;
            else {
              evicted++;
              model.delete(idle.key);
            }
          }
          const isHeld = entry !== undefined || model.size < CAPACITY;
          assert.is(table.hold(...at, server), isHeld);
          if (isHeld) model.set(key, { key, network: networkOf(client), server, flows: (entry?.flows ?? 0) + 1, deadline: 0, idleSince: 0 });
        } else if (step.what === 'drop' && entry !== undefined && entry.flows > 0) {
          table.drop(...at, now, TIMEOUT);
          if (--entry.flows === 0) {
            entry.deadline = now + TIMEOUT;
            entry.idleSince = ++order;
          }
        }
      }
      for (let owner = 0; owner < 2; owner++) {
        for (let client = 0; client < 12; client++) assert.is(table.find(owner, 0, 0, V4_MAPPED, base + client, length), model.get(keyOf(owner, client))?.server ?? NONE, `owner ${owner}, client ${client}`);
      }
      assert.equal([table.count, table.evicted, table.refused], [model.size, evicted, refused]);
    }
  }), 300);
});

test('a table of no entries holds nobody', () => {
  const table = new Persistence(0, 1);
  assert.is(table.hold(0, 0, 0, V4_MAPPED, base, 32, 1), false);
  assert.equal([table.find(0, 0, 0, V4_MAPPED, base, 32), table.refused], [NONE, 1]);
});

test('of IPv6 the whole address counts', () => {
  const table = new Persistence(4, 1);
  table.hold(0, 1, 2, 3, 4, 24, 9);
  assert.equal([table.find(0, 1, 2, 3, 4, 24), table.find(0, 1, 2, 3, 5, 24), table.find(0, 0, 2, 3, 4, 24)], [9, NONE, NONE]);
});

test('another thread reads who is remembered, and nothing of what was', () => {
  const memory = new SharedArrayBuffer(persistenceBytes(4));
  const table = new Persistence(4, 1, memory);
  assert.equal(readPersistence(memory), []);
  table.hold(0, 0, 0, V4_MAPPED, base + 7, 24, 5);
  table.hold(1, 0, 0, V4_MAPPED, base + 9, 32, 6);
  table.drop(1, 0, 0, V4_MAPPED, base + 9, 32, 100, TIMEOUT);
  // What is no IPv4 has no place in the rows yet.
  table.hold(1, 1, 2, 3, 4, 32, 7);
  assert.equal(readPersistence(memory), [
    { owner: 0, network: base, length: 24, server: 5, flows: 1, endsAtTick: null }, { owner: 1, network: base + 9, length: 32, server: 6, flows: 0, endsAtTick: 110 },
  ]);
  // A part of the table is read as the whole is.
  assert.equal(readPersistence(memory.slice(persistenceBytes(1), persistenceBytes(2))).map(({ network }) => network), [base + 9]);
  // Erased while it has a flow it leads nowhere until the next one; without one it is gone.
  assert.is(table.erase(null), 3);
  assert.equal(readPersistence(memory), []);
  table.hold(0, 0, 0, V4_MAPPED, base + 7, 24, 8);
  assert.equal(readPersistence(memory).map(({ server, flows }) => [server, flows]), [[8, 2]]);
});

test('a timeout longer than the wheel is round', () => {
  const table = new Persistence(4, 1);
  table.hold(0, 0, 0, V4_MAPPED, base, 32, 1);
  table.drop(0, 0, 0, V4_MAPPED, base, 32, 0, 86_400);
  for (let now = 0; now < 86_400; now += 100) {
    table.expire(now, 1000);
    assert.is(table.count, 1, `after ${now} s`);
  }
  table.expire(86_400, 100_000);
  assert.is(table.count, 0);
});

test.run();
