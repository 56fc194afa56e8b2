/**
 * Whatever happens in whatever order: flows come, change, move and end; the store is cut off, fails before or after a write has taken effect, is emptied; instances
 * crash, lose their share worker, are fenced. When all of it is over and time has passed the store holds exactly the flows that live with somebody, every
 * instance has all of them, and so has one that comes then. A failing run is its seed.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryStoreSpace } from '../../src/share/memory.js';
import { PASS_MS } from '../../src/share/refresh.js';
import { ManualTimers } from '../health/manual-timers.js';
import { flowsOf, Instance } from './instance.js';

const NAMES = ['a', 'b'] as const;
const FLOWS = 40;
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 31);

type Step =
  | { do: 'packet' | 'end' | 'change'; at: number; n: number }
  | { do: 'wait'; ms: number }
  | { do: 'cut' | 'crash' | 'crashShare' | 'claim'; at: number }
  | { do: 'mend' } | { do: 'empty' }
  | { do: 'fail'; at: number; when: 'before' | 'after'; trouble: 'slow' | 'full' | 'other' };

const instance = fc.nat(NAMES.length - 1);
const flow = fc.integer({ min: 1, max: FLOWS });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constantFrom<'packet' | 'end' | 'change'>('packet', 'packet', 'change', 'end'), at: instance, n: flow }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant<'wait'>('wait'), ms: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 100, max: 2000 })) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom<'cut' | 'crash' | 'crashShare' | 'claim'>('cut', 'crash', 'crashShare', 'claim'), at: instance }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'mend' }, { do: 'mend' }, { do: 'empty' }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant<'fail'>('fail'), at: instance, when: fc.constantFrom<'before' | 'after'>('before', 'after'), trouble: fc.constantFrom<'slow' | 'full' | 'other'>('slow', 'full', 'other') }) },
);

async function run(delayMs: number, steps: readonly Step[]): Promise<void> {
  const timers = new ManualTimers();
  const space = new MemoryStoreSpace({ clock: timers, timers, delayMs });
  // Small limits: changes give way and the rings fill up.
  const options = { space, timers, limits: { flows: 256, sharedChanges: 24 }, journalWords: 256, inboxWords: 256 };
  const instances = NAMES.map((name) => new Instance({ name, ...options }));
  await timers.advance(50);
  for (const one of steps) {
    switch (one.do) {
      case 'packet': instances[one.at].plane.packet(one.n); break;
      case 'change': instances[one.at].plane.change(one.n, 1 + (timers.nowMs() % 7)); break;
      case 'end': instances[one.at].plane.end(one.n); break;
      case 'wait': await timers.advance(one.ms); break;
      case 'cut': instances[one.at].store.cut('unreachable', 'cut'); break;
      case 'mend': space.recover(); break;
      case 'empty': space.empty(); break;
      case 'fail': instances[one.at].store.failures.push({ when: one.when, trouble: one.trouble }); break;
      case 'claim': instances[one.at].sharing.order({ type: 'role', role: 'vip', isMaster: true }); break;
      case 'crash':
        instances[one.at].crash();
        instances[one.at] = new Instance({ name: NAMES[one.at], ...options });
        break;
      case 'crashShare':
        instances[one.at].crash(true);
        instances[one.at] = new Instance({ name: NAMES[one.at], ...options, plane: instances[one.at].plane, isRestart: true });
        break;
    }
  }
  for (const { sharing } of instances) sharing.order({ type: 'role', role: 'vip', isMaster: false });
  space.recover();
  // A walk, a burial, and a walk after that; what is written again for others comes to them by the log.
  await timers.advance(3 * PASS_MS);
  const stored = flowsOf(space, instances[0].plan, timers.nowMs());
  const wasEmptied = steps.some((one) => one.do === 'empty');
  const owned = new Set(instances.flatMap(({ plane }) => plane.own()));
  const keys = [...stored.keys()].sort((x, y) => x - y);
  for (const { plane, plan, status, sharing } of instances) {
    const name = plan.share.instance;
    assert.ok(status.isUsable, `${name} is usable: ${JSON.stringify(status.trouble)}`);
    assert.is(status.queue, 0, `${name} has nothing to write`);
    const here = plane.all();
    // Of a flow that began as its instance was fenced nobody else knows: it waits there for its next packet. So does one whose writer is gone and whose record went
    // with the store: it is the last copy.
    const isLast = (n: number): boolean => wasEmptied && !owned.has(n);
    const shared = [...here.keys()].filter((n) => stored.has(n) || !(here.get(n) === true && (sharing.replicator.isVoid(plane.find(n)) || isLast(n))));
    assert.equal(shared.sort((x, y) => x - y), keys, `${name} has what the store has`);
  }
  for (const n of owned) assert.ok(stored.has(n), `flow ${n} is in the store`);
  for (const [n, state] of stored) {
    const owners = instances.filter(({ plane }) => plane.all().get(n) === false);
    // Of several owners the one that wrote last is in the store; all of them know of the furthest state that was told.
    if (owners.length > 0) assert.ok(owners.some(({ plane }) => plane.state(n) === state), `the state of flow ${n} in the store is that of an owner`);
  }
  const late = new Instance({ name: 'late', ...options });
  await timers.advance(2000);
  assert.equal([...late.plane.all().keys()].sort((x, y) => x - y), keys, 'a newcomer has exactly these');
  for (const one of [...instances, late]) one.crash();
}

test(`what is in the store in the end, seed ${seed}`, async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom(0, 1, 7, 60), fc.array(step, { minLength: 5, maxLength: 60 }), run), { seed, numRuns: Number(process.env['WEIR_RUNS'] ?? 25), includeErrorInReport: true, endOnFailure: process.env['WEIR_SHRINK'] === undefined });
});

test.run();
