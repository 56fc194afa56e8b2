/** Instances in one process, without threads and in the test's own time: they tell each other of flows, lose the store, are fenced, take over. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PASS_MS } from '../../src/share/refresh.js';
import { MemoryStoreSpace } from '../../src/share/memory.js';
import { Tuple } from '../../src/wire/tuple.js';
import { ManualTimers } from '../health/manual-timers.js';
import { flowsOf, Instance } from './instance.js';
import type { InstanceOptions } from './instance.js';
import { LIFE_S, tuplesOf } from './plane.js';

interface Lab { timers: ManualTimers; space: MemoryStoreSpace; add(name: string, options?: Partial<InstanceOptions>): Instance; stored(): number[] }

function lab(options: { logBytes?: number } = {}): Lab {
  const timers = new ManualTimers();
  const space = new MemoryStoreSpace({ clock: timers, timers, delayMs: 1, ...options });
  const add = (name: string, more: Partial<InstanceOptions> = {}): Instance => new Instance({ name, space, timers, ...more });
  const one = new Instance({ name: 'reader', space: new MemoryStoreSpace({ clock: timers, timers }), timers });
  one.crash();
  return { timers, space, add, stored: () => [...flowsOf(space, one.plan, timers.nowMs()).keys()].sort((a, b) => a - b) };
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('what one instance has the other has soon as a replica, and what ends there ends here', async () => {
  const { timers, add, stored } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 50)) a.plane.packet(n);
  await timers.advance(40);
  assert.equal(stored(), numbers(1, 50));
  assert.equal([...b.plane.all()].sort((x, y) => x[0] - y[0]), numbers(1, 50).map((n) => [n, true]));
  a.plane.change(7, 3);
  for (const n of numbers(11, 50)) a.plane.end(n);
  await timers.advance(40);
  assert.equal(stored(), numbers(1, 10));
  assert.equal([...b.plane.all().keys()].sort((x, y) => x - y), numbers(1, 10));
  assert.is(b.plane.state(7), 3);
  assert.is(a.status.counts.written, 51);
  assert.is(a.status.counts.deleted, 40);
  assert.is(b.status.counts.applied, 51);
  assert.is(b.status.counts.forgotten, 40);
});

test('changes of one flow within a tick are one write', async () => {
  const { timers, add } = lab();
  const a = add('a', { share: { flushMs: 50 } });
  await timers.advance(100);
  const before = a.store.writes;
  a.plane.packet(1);
  for (let state = 1; state < 6; state++) {
    a.plane.change(1, state);
    await timers.advance(5);
  }
  await timers.advance(60);
  assert.is(a.status.counts.written, 1);
  assert.is(a.store.writes - before, 1);
  assert.is(a.status.counts.coalesced, 5);
});

test('a packet takes a replica over: it is written by its new owner, and the old one leaves it alone', async () => {
  const { timers, add, stored } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  a.plane.packet(1);
  await timers.advance(40);
  b.plane.packet(1);
  await timers.advance(40);
  assert.equal(b.plane.own(), [1]);
  assert.is(b.status.counts.written, 1);
  // a has had packets of it, too: it does not believe that it has ended until its own time is over.
  b.plane.end(1);
  await timers.advance(40);
  assert.equal(stored(), [1]);
  a.plane.end(1);
  await timers.advance(40);
  assert.equal(stored(), []);
});

// conforms: ha-loaded-first
test('who comes later loads everything, is ready only then, and follows from there', async () => {
  const { timers, add } = lab();
  const a = add('a');
  await timers.advance(100);
  for (const n of numbers(1, 2000)) a.plane.packet(n);
  await timers.advance(200);
  const b = add('b', { inboxWords: 2048, budget: 20 });
  const isReady = (): boolean => b.messages.some(({ type }) => type === 'ready');
  await timers.advance(20);
  assert.not.ok(isReady(), 'ready before all is there');
  assert.is(b.status.phase, 'loading');
  for (const n of numbers(2001, 2100)) a.plane.packet(n);
  for (let i = 0; i < 100 && !isReady(); i++) await timers.advance(10);
  assert.ok(b.plane.all().size >= 2000, `${b.plane.all().size} flows when ready`);
  assert.equal(b.messages.find(({ type }) => type === 'ready'), { type: 'ready', isLoaded: true });
  await timers.advance(200);
  assert.is(b.plane.all().size, 2100);
  assert.ok(b.status.counts.inboxWaits > 0, 'the small ring was full at times');
  assert.equal(b.status.load?.isDone, true);
  assert.is(b.events('share.loaded').length, 1);
});

test('a flow that goes on for long is written again before its record ends, one that is silent is not', async () => {
  const { timers, add, stored } = lab();
  const a = add('a');
  await timers.advance(100);
  a.plane.packet(1);
  a.plane.packet(2);
  await timers.advance(100);
  for (let i = 0; i < 30; i++) {
    a.plane.packet(1);
    await timers.advance(60_000);
  }
  assert.equal(stored(), [1]);
  // A life of 600 s is written again when 200 s of it have passed; 30 minutes hold eight such thirds.
  assert.ok(a.status.counts.refreshed >= 7 && a.status.counts.refreshed <= 10, `${a.status.counts.refreshed} times`);
  assert.is(a.status.counts.written, 2 + a.status.counts.refreshed);
});

test('a store that is away: nothing is lost, what has changed is written when it is back', async () => {
  const { timers, add, space, stored } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 20)) a.plane.packet(n);
  await timers.advance(50);
  space.fail('unreachable', 'the cable is out');
  await timers.advance(100);
  assert.not.ok(a.status.isUsable);
  assert.not.ok(a.plane.isUsable, 'the data plane knows');
  assert.is(a.status.trouble?.kind, 'unreachable');
  assert.is(a.status.phase, 'away');
  for (const n of numbers(1, 10)) a.plane.end(n);
  for (const n of numbers(21, 30)) a.plane.packet(n);
  await timers.advance(60_000);
  assert.ok(a.status.forMs >= 60_000 && a.status.lagMs >= 59_000, `for ${a.status.forMs}, lag ${a.status.lagMs}`);
  space.recover();
  await timers.advance(500);
  assert.ok(a.status.isUsable && a.plane.isUsable);
  assert.is(a.status.trouble, null);
  assert.equal(stored(), numbers(11, 30));
  assert.equal([...b.plane.all().keys()].sort((x, y) => x - y), numbers(11, 30));
  assert.is(a.events('share.degraded').length, 1);
  assert.is(a.events('share.up').length, 2);
  assert.is(a.status.counts.rewrites, 0, 'the same server lost nothing, so nothing is written twice');
});

test('a store that comes back empty is filled again by everyone with what is theirs', async () => {
  const { timers, add, space, stored } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 300)) a.plane.packet(n);
  for (const n of numbers(301, 500)) b.plane.packet(n);
  a.plane.encoder.affinity(0, 0, 0, Int32Array.of(0, 0, 0xffff, 1, 0, 0, 0, 0), 0, 500);
  a.plane.journal.put(a.plane.encoder);
  await timers.advance(100);
  const affinityKeys = (): string[] => [...space.records.keys()].filter((key) => key.startsWith('a'));
  assert.is(affinityKeys().length, 1);
  assert.is(b.plane.affinity.size, 1);
  space.empty();
  await timers.advance(50);
  assert.equal(stored(), []);
  space.recover();
  await timers.advance(1000);
  assert.equal(stored(), numbers(1, 500));
  assert.is(affinityKeys().length, 1, 'what only the data plane can read is written again, too');
  assert.is(a.plane.all().size, 500, 'replicas have not been forgotten meanwhile');
  assert.is(a.events('share.emptied').length, 1);
});

test('a store that is full: the connection stays, writing is tried again, and nothing is lost', async () => {
  const { timers, add, stored } = lab();
  const a = add('a');
  await timers.advance(100);
  a.store.failures = Array.from({ length: 12 }, () => ({ when: 'before', trouble: 'full' }));
  for (const n of numbers(1, 1500)) a.plane.packet(n);
  await timers.advance(100);
  assert.is(a.status.phase, 'running');
  assert.not.ok(a.status.isUsable);
  assert.is(a.status.trouble?.kind, 'full');
  assert.ok(a.plane.isUsable, 'reading is as it was, so packets may wait for it');
  await timers.advance(60_000);
  assert.ok(a.status.isUsable);
  assert.equal(stored(), numbers(1, 1500));
  assert.is(a.status.generation, 1, 'the generation has stayed');
});

test('a write that failed after it had taken effect is done again in its order', async () => {
  const { timers, add, stored } = lab();
  const a = add('a');
  await timers.advance(100);
  a.store.failures = [{ when: 'after', trouble: 'slow' }];
  for (const n of numbers(1, 800)) a.plane.packet(n);
  await timers.advance(3);
  for (const n of numbers(1, 400)) a.plane.end(n);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(5000);
  assert.equal(stored(), [...numbers(1, 100), ...numbers(401, 800)]);
  assert.ok(a.status.counts.retried >= 1);
});

// conforms: ha-fencing
test('who is fenced drops what it had to write, gives its flows up, loads, and goes on with what comes its way', async () => {
  const { timers, add, space, stored } = lab();
  const a = add('a'), b = add('b');
  a.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  await timers.advance(100);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(100);
  assert.is(space.roles.get('vip'), 'a');
  // a hangs: its writes do not get there while b takes over.
  a.store.failures = Array.from({ length: 1000 }, () => ({ when: 'before', trouble: 'slow' }));
  for (const n of numbers(101, 120)) a.plane.packet(n);
  await timers.advance(20);
  b.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  await timers.advance(20);
  for (const n of numbers(1, 50)) b.plane.packet(n);
  for (const n of numbers(1, 25)) b.plane.end(n);
  await timers.advance(100);
  a.store.failures = [];
  a.sharing.order({ type: 'role', role: 'vip', isMaster: false });
  await timers.advance(6000);
  assert.is(a.events('share.fenced').length, 1);
  assert.ok(a.status.isUsable);
  assert.equal(a.plane.own(), [], 'all are replicas');
  assert.equal(stored(), numbers(26, 100), 'what was void has not been written, what has ended has not come back');
  assert.not.ok(a.plane.find(10) >= 0, 'what ended elsewhere has ended here');
  assert.equal(numbers(26, 100).filter((n) => a.plane.find(n) < 0), [], 'what goes on is still known: that of which b has seen nothing yet by our own records');
  a.plane.packet(60);
  a.plane.packet(110);
  await timers.advance(100);
  assert.equal(a.plane.own(), [60, 110]);
  assert.equal(stored(), [...numbers(26, 100), 110]);
  assert.is(space.roles.get('vip'), 'b');
});

test('two instances of one name: the second one says so and shares nothing, until the first has gone', async () => {
  const { timers, add, stored } = lab();
  const one = add('a');
  await timers.advance(100);
  const other = add('a');
  for (const n of numbers(1, 10)) one.plane.packet(n);
  for (const n of numbers(11, 20)) other.plane.packet(n);
  await timers.advance(30_000);
  const { status } = other;
  assert.equal([status.isUsable, status.phase, status.generation, status.trouble?.kind, status.counts.written], [false, 'connecting', null, 'namesake', 0]);
  assert.match(status.trouble?.message ?? '', /^another instance that is alive has the name a too: .*share\.instance/);
  assert.ok(status.trouble!.forMs >= 29_900, 'since its start');
  assert.is(other.events('share.degraded').length, 1, 'told once');
  assert.is(other.events('share.degraded')[0].fields.trouble, 'namesake');
  assert.equal([one.status.isUsable, one.status.generation, one.status.counts.fenced, one.events('share.fenced').length], [true, 1, 0, 0]);
  assert.equal(stored(), numbers(1, 10));
  assert.equal([...other.plane.all().keys()].sort((x, y) => x - y), numbers(11, 20), 'nor does it learn anything');
  assert.not.ok(other.plane.isUsable);
  one.crash();
  await timers.advance(6000);
  assert.ok(other.status.isUsable);
  assert.equal(stored(), numbers(1, 20));
});

test('one that is killed and started again shares at once, though it was heard of a moment ago', async () => {
  const { timers, add, space } = lab();
  const one = add('a');
  for (let i = 0; i < 200; i++) await timers.advance(10);
  one.crash();
  const again = add('a');
  await timers.advance(50);
  assert.ok(timers.nowMs() - space.peers.get('a')!.atMs < 3000);
  assert.ok(again.status.isUsable);
  assert.equal(again.events('share.degraded'), []);
});

test('who another router takes over from knows at once, is in use again a moment later, and tells nobody of trouble', async () => {
  const { timers, add, space } = lab();
  const a = add('a'), b = add('b');
  a.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  for (const n of numbers(1, 100)) a.plane.packet(n);
  for (let i = 0; i < 130; i++) await timers.advance(10);
  const upMs = a.status.forMs;
  assert.ok(a.status.isUsable && upMs > 1000);
  b.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  for (let i = 0; i < 100 && space.roles.get('vip') !== 'b'; i++) await timers.advance(1);
  assert.is(space.roles.get('vip'), 'b');
  const seen: string[] = [];
  for (let i = 0; i < 200; i++) {
    await timers.advance(1);
    const { isUsable, phase, trouble, forMs } = a.status;
    if (!isUsable) assert.ok(forMs <= i + 1, `not in use for ${forMs} ms, ${i} ms after the claim`);
    assert.is(trouble, null);
    if (seen[seen.length - 1] !== phase) seen.push(phase);
  }
  assert.equal(seen.slice(seen.indexOf('registering')), ['registering', 'loading', 'running']);
  assert.is(a.status.generation, 3);
  assert.ok(a.status.isUsable && a.status.forMs < 200, `in use since ${a.status.forMs} ms`);
  assert.equal([a.events('share.fenced').length, a.events('share.degraded').length, a.events('share.up').length], [1, 0, 1]);
});

test('a crashed instance begins anew with what the store has of it', async () => {
  const { timers, add, stored } = lab();
  const a = add('a');
  await timers.advance(100);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(100);
  a.crash();
  await timers.advance(1000);
  const again = add('a');
  await timers.advance(500);
  assert.equal([...again.plane.all()].sort((x, y) => x[0] - y[0]), numbers(1, 100).map((n) => [n, true]));
  again.plane.packet(5);
  again.plane.end(5);
  await timers.advance(100);
  assert.equal(stored(), numbers(1, 100).filter((n) => n !== 5));
});

test('a share worker that crashed is started again beside the same data plane: flows that ended meanwhile are buried', async () => {
  const { timers, add, stored } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(100);
  // A journal record the worker had taken and not written is lost with it: their ends.
  for (const n of numbers(1, 10)) a.plane.end(n);
  a.sharing.replicator.drain();
  a.crash(true);
  for (const n of numbers(101, 110)) a.plane.packet(n);
  await timers.advance(1000);
  assert.is(stored().length, 100);
  const again = add('a', { plane: a.plane, isRestart: true });
  await timers.advance(2000);
  assert.equal(stored(), numbers(11, 110));
  assert.is(again.status.counts.buried, 10);
  assert.equal([...b.plane.all().keys()].sort((x, y) => x - y), numbers(11, 110));
});

test('changes beyond the limit give way by age; their flows are written by a walk, their ends are found', async () => {
  const { timers, add, space, stored } = lab();
  const a = add('a', { limits: { sharedChanges: 1024, flows: 8192 } });
  await timers.advance(100);
  for (const n of numbers(1, 2000)) {
    a.plane.packet(n);
    if (n % 500 === 0) await timers.advance(50);
  }
  assert.is(stored().length, 2000);
  space.fail('unreachable', 'gone');
  for (const n of numbers(1, 500)) a.plane.end(n);
  await timers.advance(20);
  for (const n of numbers(2001, 4500)) a.plane.packet(n);
  await timers.advance(100);
  assert.ok(a.status.counts.droppedEnds > 0 && a.status.counts.dropped > 1000, JSON.stringify(a.status.counts));
  assert.is(a.status.queue, 1024);
  assert.is(a.events('share.dropped').length, 1, 'told once');
  space.recover();
  await timers.advance(60_000);
  assert.equal(stored(), numbers(501, 4500));
  assert.ok(a.status.counts.buried > 0);
});

test('a journal that was full loses nothing for good', async () => {
  const { timers, add, stored } = lab();
  const a = add('a', { journalWords: 256 });
  await timers.advance(100);
  for (const n of numbers(1, 30)) a.plane.packet(n);
  await timers.advance(50);
  for (const n of numbers(1, 20)) a.plane.end(n);
  for (const n of numbers(31, 200)) a.plane.packet(n);
  await timers.advance(60_000);
  assert.ok(a.status.counts.lost > 0);
  assert.equal(stored(), numbers(21, 200));
});

test('a log that was trimmed: a flow of ours whose record somebody deleted in the gap is written again', async () => {
  const { timers, add, stored } = lab({ logBytes: 4096 });
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(100);
  // Its packets come by both, but no more by a.
  b.plane.packet(1);
  await timers.advance(100);
  b.store.cut('unreachable', 'b alone is cut off');
  a.plane.end(1);
  await timers.advance(50);
  for (const n of numbers(101, 500)) a.plane.packet(n);
  await timers.advance(100);
  assert.not.ok(stored().includes(1));
  b.store.mend();
  await timers.advance(1000);
  assert.is(b.status.counts.gaps, 1);
  assert.equal(b.plane.own(), [1]);
  await timers.advance(2 * PASS_MS);
  assert.ok(stored().includes(1));
});

test('a log that was trimmed: everything is loaded anew, and what ended in the gap is forgotten', async () => {
  const { timers, add } = lab({ logBytes: 4096 });
  const a = add('a');
  const b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(100);
  assert.is(b.plane.all().size, 100);
  b.store.cut('unreachable', 'b alone is cut off');
  for (const n of numbers(1, 60)) a.plane.end(n);
  await timers.advance(50);
  for (const n of numbers(101, 500)) a.plane.packet(n);
  await timers.advance(100);
  b.store.mend();
  await timers.advance(1000);
  assert.is(b.status.counts.gaps, 1);
  assert.equal([...b.plane.all().keys()].sort((x, y) => x - y), numbers(61, 500));
});

test('a packet of an unknown flow: found under either name, asked for again while the writer is behind, missed in time', async () => {
  const { timers, add, space } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  a.plane.packet(1);
  await timers.advance(50);
  const { original, leaving } = tuplesOf(1);
  const back = new Tuple();
  back.invert(leaving);
  b.plane.journal.fetch(11, original);
  b.plane.journal.fetch(12, back);
  await timers.advance(20);
  assert.is(b.plane.fetched.get(11), true);
  assert.is(b.plane.fetched.get(12), true);
  const late = tuplesOf(2).original;
  b.plane.journal.fetch(13, late);
  await timers.advance(60);
  assert.not.ok(b.plane.fetched.has(13), 'it is asked for again');
  a.plane.packet(2);
  await timers.advance(100);
  assert.is(b.plane.fetched.get(13), true);
  assert.ok(b.plane.find(2) >= 0);
  b.plane.journal.fetch(14, tuplesOf(3).original);
  await timers.advance(250);
  assert.is(b.plane.fetched.get(14), false);
  space.fail();
  await timers.advance(20);
  b.plane.journal.fetch(15, late);
  await timers.advance(20);
  assert.is(b.plane.fetched.get(15), false, 'answered at once while the store is away');
  const { fetches, fetched, fetchesMissed } = b.status.counts;
  assert.equal({ fetches, fetched, fetchesMissed }, { fetches: 5, fetched: 3, fetchesMissed: 2 });
});

test('instances know of each other, and when one has gone', async () => {
  const { timers, add, space } = lab();
  const a = add('a'), b = add('b');
  b.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  await timers.advance(3000);
  assert.equal(a.status.peers.map(({ instance, state, masterOf, version }) => ({ instance, state, masterOf, version })), [{ instance: 'b', state: 'running', masterOf: ['vip'], version: '1.0.0' }]);
  space.fail('unreachable', 'no route');
  const heardMs = a.status.peers[0]!.ageMs;
  await timers.advance(1500);
  assert.is(a.status.peers[0]!.ageMs, heardMs + 1500, 'while nobody can be heard, what was heard grows older');
  space.recover();
  await timers.advance(5000);
  b.crash();
  await timers.advance(6000);
  assert.equal(a.status.peers, []);
  assert.equal(a.events('share.peer.up').length, 1);
  assert.match(a.events('share.peer.down')[0]?.message ?? '', /has not been heard of for 3000 ms/);
});

test('a flush answers when everything told until then is written, and says so when it cannot', async () => {
  const { timers, add, space } = lab();
  const a = add('a');
  await timers.advance(100);
  for (const n of numbers(1, 1200)) a.plane.packet(n);
  a.sharing.order({ type: 'flush', id: 1, withinMs: 1000 });
  await timers.advance(100);
  assert.equal(a.messages.find((message) => message.type === 'done'), { type: 'done', id: 1, error: null });
  assert.is(space.records.size, 1200);
  space.fail('unreachable', 'no route');
  a.plane.packet(2000);
  await timers.advance(5);
  a.sharing.order({ type: 'flush', id: 2, withinMs: 300 });
  await timers.advance(400);
  assert.equal(a.messages.filter((message) => message.type === 'done')[1], { type: 'done', id: 2, error: 'the store cannot be used, and 1 change could not be written: no route' });
});

test('a clean stop writes what waits and resigns; it is bounded when the store is away', async () => {
  const { timers, add, space, stored } = lab();
  const a = add('a');
  await timers.advance(100);
  for (const n of numbers(1, 700)) a.plane.packet(n);
  a.sharing.order({ type: 'stop', withinMs: 1000, isPlaneGone: true });
  await timers.advance(200);
  assert.is(a.messages[a.messages.length - 1].type, 'stopped');
  assert.is(stored().length, 700);
  assert.not.ok(space.peers.has('a'));
  const b = add('b');
  await timers.advance(100);
  space.fail();
  await timers.advance(100);
  b.sharing.order({ type: 'stop', withinMs: 1000, isPlaneGone: true });
  await timers.advance(2100);
  assert.is(b.messages[b.messages.length - 1].type, 'stopped');
});

test('who was fenced while its share worker was away gives its flows up', async () => {
  const { timers, add, stored } = lab();
  const a = add('a'), b = add('b');
  a.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  await timers.advance(100);
  for (const n of numbers(1, 100)) a.plane.packet(n);
  await timers.advance(100);
  const { generation } = a.status;
  a.crash(true);
  b.sharing.order({ type: 'role', role: 'vip', isMaster: true });
  await timers.advance(100);
  for (const n of numbers(1, 20)) b.plane.packet(n);
  for (const n of numbers(1, 20)) b.plane.end(n);
  await timers.advance(100);
  const again = add('a', { plane: a.plane, isRestart: true, generation });
  await timers.advance(1000);
  assert.is(again.events('share.fenced').length, 1);
  assert.equal(a.plane.own(), [], 'late writes of an old master do not win');
  assert.equal(stored(), numbers(21, 100));
  assert.equal([...again.plane.all().keys()].sort((x, y) => x - y), numbers(21, 100));
});

test('of the last copies none is forgotten when the store is emptied while the share worker is away', async () => {
  const { timers, add, space } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 50)) a.plane.packet(n);
  await timers.advance(100);
  const { generation } = b.status;
  b.crash(true);
  a.crash();
  space.empty();
  const again = add('b', { plane: b.plane, isRestart: true, generation });
  await timers.advance(1000);
  assert.is(again.events('share.emptied').length, 1);
  assert.is(again.plane.all().size, 50);
});

test('what is far too long to be a record of ours is passed over, whoever seems to have written it', async () => {
  const { timers, add, space, stored } = lab();
  const limits = { sharedChanges: 1024 };
  const a = add('a', { limits });
  await timers.advance(100);
  for (const n of numbers(1, 10)) a.plane.packet(n);
  await timers.advance(100);
  const [one] = [...space.records.values()];
  for (const length of [65, 100, 300, 200_000]) space.records.set(`f${'x'.repeat(length - 1)}`, { ...one });
  space.records.set(`f${'y'.repeat(30)}`, { ...one, bytes: Uint8Array.from([...one.bytes, ...new Uint8Array(5000)]) });
  const { generation } = a.status;
  a.crash(true);
  const again = add('a', { plane: a.plane, limits, isRestart: true, generation });
  await timers.advance(1000);
  assert.is(again.status.counts.unreadable, 5);
  assert.is(again.status.counts.buried, 0);
  assert.ok(again.status.isUsable);
  for (const key of [...space.records.keys()]) if (key.length > 40 || key.includes('yyy')) space.records.delete(key);
  assert.equal(stored(), numbers(1, 10));
});

test('a restarted share worker is ready when it has loaded, not before', async () => {
  const { timers, add, space } = lab();
  const a = add('a'), b = add('b');
  await timers.advance(100);
  for (const n of numbers(1, 200)) b.plane.packet(n);
  await timers.advance(100);
  a.crash(true);
  space.delayMs = 50;
  const again = add('a', { plane: a.plane, isRestart: true });
  await timers.advance(60);
  assert.not.ok(again.messages.some(({ type }) => type === 'ready'));
  await timers.advance(1000);
  assert.equal(again.messages.filter(({ type }) => type === 'ready'), [{ type: 'ready', isLoaded: true }]);
});

// conforms: ha-clock
test('steps of the wall clock change nothing', async () => {
  const { timers, add, space, stored } = lab();
  const wallMs = Date.now;
  let stepMs = 0;
  Date.now = () => wallMs() + stepMs;
  try {
    const a = add('a'), b = add('b');
    await timers.advance(100);
    for (const n of numbers(1, 100)) {
      a.plane.packet(n);
      // Days forth and back.
      stepMs = (n % 2 === 0 ? 1 : -1) * n * 86_400_000;
      if (n % 10 === 0) await timers.advance(20);
    }
    space.fail();
    await timers.advance(100);
    stepMs = -400 * 86_400_000;
    space.recover();
    await timers.advance(LIFE_S * 1000 / 2);
    assert.equal(stored(), numbers(1, 100));
    assert.equal([...b.plane.all()].sort((x, y) => x[0] - y[0]), numbers(1, 100).map((n) => [n, true]));
    assert.is(a.status.counts.written, 100);
    assert.is(a.status.peers.length, 1);
    assert.ok(a.status.isUsable && a.status.forMs >= 0 && a.status.lagMs === 0);
  } finally {
    Date.now = wallMs;
  }
});

test('without the store at the start: ready after a while; with share.require that is a failure', async () => {
  const { timers, add, space } = lab();
  space.delayMs = 0;
  const cut = (instance: Instance): void => instance.store.cut('unreachable', 'connection refused');
  const a = add('a');
  cut(a);
  const b = add('b', { share: { require: true } });
  cut(b);
  const c = add('c', { share: { require: true } });
  c.store.cut('wrong-password', 'the password is wrong');
  await timers.advance(4000);
  assert.not.ok(a.messages.some(({ type }) => type === 'ready'));
  assert.equal(c.messages.filter(({ type }) => type === 'failed'), [{ type: 'failed', trouble: 'wrong-password', message: 'the password is wrong' }]);
  await timers.advance(2000);
  assert.equal(a.messages.find(({ type }) => type === 'ready'), { type: 'ready', isLoaded: false });
  assert.equal(b.messages.filter(({ type }) => type === 'failed'), [{ type: 'failed', trouble: 'unreachable', message: 'connection refused' }]);
  assert.not.ok(b.messages.some(({ type }) => type === 'ready'));
  a.store.mend();
  a.plane.packet(1);
  await timers.advance(200);
  assert.ok(a.status.isUsable);
  assert.is(space.records.size, 1);
});

test.run();
