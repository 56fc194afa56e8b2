/** What every store must do: one suite, which a file for each of them runs over it. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BatchReader, BatchWriter } from '../../src/share/batch.js';
import { anyone, GapError, StoreError } from '../../src/share/store.js';
import type { LogEntry, Position, Self, Store, StoreState, StoreTrouble } from '../../src/share/store.js';
import { until } from '../support/redis.js';

/** What stores of one test share. */
export interface Ground {
  /** A store that has been opened. `settles`: it gives no leases for a moment after its server has begun. `self`: absent = a process of its own. */
  connect(settles?: boolean, self?: Self): Promise<Store>;
  /** Another ground: nothing is in it. Its log keeps so many bytes. */
  fresh(logBytes: number): Promise<Ground>;
  /** At least so long has passed by the store's clock and by the stores'. */
  pass(ms: number): Promise<void>;
  /** Milliseconds by the stores' clock. */
  nowMs(): number;
  /** Everything is forgotten, as by a server that starts anew; returns when the stores can be used again. */
  empty(): Promise<void>;
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const NONE = Buffer.alloc(0);
const text = (value: Uint8Array | null): string | null => (value === null ? null : Buffer.from(value).toString('latin1'));

export interface Put { key: string; alias?: string; value: string; ttl?: number }

/** A batch of PUTs, and of DELETEs after them. */
export function batchOf(puts: Put[], deletes: { key: string; alias?: string }[] = []): Buffer {
  const writer = new BatchWriter();
  for (const { key, alias = '', value, ttl = 600 } of puts) assert.ok(writer.put(bytes(key), bytes(alias), bytes(value), ttl));
  for (const { key, alias = '' } of deletes) assert.ok(writer.delete(bytes(key), bytes(alias)));
  return writer.take();
}

/** The trouble a promise rejects with. */
export async function troubleOf(promise: Promise<unknown>): Promise<StoreTrouble | 'none'> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return error.trouble;
  }
}

/** All records, by a load. */
export async function loaded(store: Store): Promise<{ records: Map<string, string>; position: Position; pages: number }> {
  const records = new Map<string, string>();
  let pages = 0;
  const position = await store.load((page) => {
    pages++;
    for (const { key, value } of page) records.set(text(key)!, text(value)!);
  }, new AbortController().signal);
  return { records, position, pages };
}

/** What a follower does to the records it has. */
function applyEntry(records: Map<string, string>, { batch }: LogEntry): void {
  const reader = new BatchReader(batch);
  while (reader.next()) {
    if (reader.isPut) records.set(text(reader.key)!, text(reader.value)!);
    else records.delete(text(reader.key)!);
  }
  assert.is(reader.isBroken, false);
}

/** Follow until all of `isEnough`; gives what came. */
export async function followed(store: Store, from: Position, isEnough: (entries: LogEntry[], reached: Position) => boolean): Promise<{ entries: LogEntry[]; reached: Position }> {
  const stop = new AbortController();
  const entries: LogEntry[] = [];
  let reached = from;
  const end = setTimeout(() => { stop.abort(); }, 15_000);
  await store.follow(from, (more, to) => {
    entries.push(...more.map((entry) => ({ ...entry, batch: Uint8Array.from(entry.batch) })));
    reached = to;
    if (isEnough(entries, reached)) stop.abort();
  }, stop.signal);
  clearTimeout(end);
  assert.ok(isEnough(entries, reached), `what was waited for did not come: ${entries.length} entries`);
  return { entries, reached };
}

export function storeSuite(name: string, ground: () => Promise<Ground>, { runs }: { runs: number }): void {
  const test = suite(name);
  let at: Ground;
  let stores: Store[] = [];

  /** A store that is registered. */
  async function as(instance: string, where: Ground = at, settles = false): Promise<Store> {
    const store = await where.connect(settles);
    stores.push(store);
    await store.register(instance, null);
    return store;
  }

  test.before.each(async () => { at = await (await ground()).fresh(1024 * 1024); });
  test.after.each(async () => {
    await Promise.all(stores.map((store) => store.close()));
    stores = [];
  });

  test('a record is found by its key and by its other name, whatever bytes they are', async () => {
    const a = await as('a');
    const b = await as('b');
    const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('').slice(0, 255);
    await a.write(batchOf([{ key: 'plain', alias: 'other', value: 'one' }, { key: all, alias: `${all.slice(1)}\0`, value: `${all}${all}` }, { key: '\r\n*', value: '' }]));
    assert.is(text(await b.fetch(bytes('plain'))), 'one');
    assert.is(text(await b.fetch(bytes('other'))), 'one');
    assert.is(text(await b.fetch(bytes(all))), `${all}${all}`);
    assert.is(text(await b.fetch(bytes(`${all.slice(1)}\0`))), `${all}${all}`);
    assert.is(text(await b.fetch(bytes('\r\n*'))), '');
    // As the share worker asks: with bytes that are no Buffer, in the middle of others.
    assert.is(text(await b.fetch(new Uint8Array([0, ...bytes('other'), 0]).subarray(1, 6))), 'one');
    assert.is(await b.fetch(bytes('nothing')), null);
    assert.is(await b.fetch(NONE), null);
  });

  test('a put replaces, a delete takes the other name along only while it is its own', async () => {
    const a = await as('a');
    await a.write(batchOf([{ key: 'k1', alias: 'r', value: 'one' }, { key: 'k1', alias: 'r', value: 'two' }]));
    assert.is(text(await a.fetch(bytes('r'))), 'two');
    // The same external port serves another flow now; the end of the first is told late.
    await a.write(batchOf([{ key: 'k2', alias: 'r', value: 'three' }]));
    await a.write(batchOf([], [{ key: 'k1', alias: 'r' }]));
    assert.is(await a.fetch(bytes('k1')), null);
    assert.is(text(await a.fetch(bytes('r'))), 'three');
    await a.write(batchOf([], [{ key: 'k2', alias: 'r' }]));
    assert.is(await a.fetch(bytes('r')), null);
    assert.is(await a.fetch(bytes('k2')), null);
    // A name that has outlived its key gives nothing.
    await a.write(batchOf([{ key: 'k3', alias: 'r3', value: 'x' }]));
    await a.write(batchOf([], [{ key: 'k3' }]));
    assert.is(await a.fetch(bytes('r3')), null);
  });

  test('a record ends with its life, and its other name with it', async () => {
    const a = await as('a');
    await a.write(batchOf([{ key: 'short', alias: 'rs', value: 'x', ttl: 1 }, { key: 'long', value: 'y', ttl: 100 }]));
    assert.is(text(await a.fetch(bytes('rs'))), 'x');
    await at.pass(1010);
    assert.is(await a.fetch(bytes('short')), null);
    assert.is(await a.fetch(bytes('rs')), null);
    assert.equal([...(await loaded(a)).records], [['long', 'y']]);
  });

  test('a load gives every record and no other name, in pages, with an estimate', async () => {
    const a = await as('a');
    const wanted = new Map<string, string>();
    for (let b = 0; b < 6; b++) {
      const puts = Array.from({ length: 400 }, (_, i) => ({ key: `k${b * 400 + i}`, alias: `r${b * 400 + i}`, value: `v${b}-${i}` }));
      for (const { key, value } of puts) wanted.set(key, value);
      await a.write(batchOf(puts));
    }
    const records = new Map<string, string>();
    let last = 0;
    let pages = 0;
    await (await as('b')).load((page, total) => {
      pages++;
      for (const { key, value } of page) records.set(text(key)!, text(value)!);
      last = total;
    }, new AbortController().signal);
    assert.equal(records, wanted);
    assert.ok(pages > 2, `${pages} pages`);
    assert.ok(last >= 2400, `estimated as ${last} in the end`);
    const stop = new AbortController();
    assert.is(await troubleOf(a.load(() => { stop.abort(); }, stop.signal)), 'closed');
  });

  test('what others have written comes in order, with who wrote it; what is one\'s own does not, but is gone past', async () => {
    const a = await as('a');
    const b = await as('b');
    await a.write(batchOf([{ key: 'before', value: '0' }]));
    const { position } = await loaded(b);
    const batches = Array.from({ length: 100 }, (_, i) => batchOf([{ key: `k${i}`, value: `${i}` }]));
    await Promise.all([...batches.map((batch) => a.write(batch)), b.write(batchOf([{ key: 'own', value: 'b' }]))]);
    const { entries, reached } = await followed(b, position, (some) => some.length >= 100);
    assert.equal(entries.map(({ batch }) => Buffer.from(batch).toString('hex')), batches.map((batch) => batch.toString('hex')));
    assert.equal([...new Set(entries.map(({ instance, generation }) => `${instance} ${generation}`))], ['a 1']);
    for (const { ageMs } of entries) assert.ok(ageMs === null || (ageMs >= 0 && ageMs < 15_000), `${ageMs}`);
    // From a place in between, and from the place reached.
    const rest = await followed(b, entries[89].position, (some) => some.length >= 10);
    assert.equal(rest.entries.map(({ position: p }) => p), entries.slice(90).map(({ position: p }) => p));
    await b.write(batchOf([{ key: 'own', value: 'again' }]));
    const quiet = await followed(b, reached, (_, to) => to !== reached);
    assert.is(quiet.entries.length, 0);
    // It waits for what has not been written yet.
    const later = followed(b, quiet.reached, (some) => some.length > 0);
    await a.write(batchOf([{ key: 'late', value: '1' }]));
    assert.is((await later).entries.length, 1);
  });

  test('a load while others write, and the log from there on, give what is there in the end', async () => {
    const writer = await as('writer');
    const reader = await as('reader');
    const truth = new Map<string, string>();
    let random = 7;
    const next = (below: number): number => (random = (random * 1103515245 + 12345) & 0x7fffffff) % below;
    let writes = 0;
    const writeSome = async (): Promise<void> => {
      const puts: Put[] = [];
      const deletes: { key: string }[] = [];
      for (let i = 0; i < 100; i++) {
        const key = `k${next(3000)}`;
        if (puts.some((put) => put.key === key)) continue;
        if (next(4) === 0) {
          deletes.push({ key });
          truth.delete(key);
        } else {
          puts.push({ key, value: `${++writes}` });
          truth.set(key, `${writes}`);
        }
      }
      // A key both put and deleted in one batch: what comes last counts, in the truth as in the batch.
      for (const { key } of deletes) if (puts.some((put) => put.key === key)) truth.delete(key);
      await writer.write(batchOf(puts, deletes));
    };
    for (let i = 0; i < 40; i++) await writeSome();
    const records = new Map<string, string>();
    const position = await reader.load(async (page) => {
      for (const { key, value } of page) records.set(text(key)!, text(value)!);
      for (let i = 0; i < 8; i++) await writeSome();
    }, new AbortController().signal);
    await writeSome();
    await writer.write(batchOf([{ key: 'end', value: 'end' }]));
    truth.set('end', 'end');
    const { entries } = await followed(reader, position, (some) => some.some(({ batch }) => text(batch)!.includes('end')));
    for (const entry of entries) applyEntry(records, entry);
    assert.equal([...records].sort(), [...truth].sort());
  });

  test('a log that does not reach back so far is a gap, and one that was emptied, too', async () => {
    const small = await at.fresh(64 * 1024);
    const a = await as('a', small);
    const b = await as('b', small);
    const { position } = await loaded(b);
    const value = 'x'.repeat(4000);
    for (let i = 0; i < 40; i++) await a.write(batchOf([{ key: `k${i}`, value }]));
    const failed = async (from: Position): Promise<unknown> => b.follow(from, () => {}, new AbortController().signal).then(() => null, (error: unknown) => error);
    assert.instance(await failed(position), GapError);
    const { position: now } = await loaded(b);
    await a.write(batchOf([{ key: 'one', value: 'more' }]));
    assert.is((await followed(b, now, (some) => some.length > 0)).entries.length, 1);
    await small.empty();
    await b.register('b', null);
    assert.instance(await failed(now), GapError);
  });

  test('generations rise; who registers learns what has become of the one before', async () => {
    // The twin is the same process: its share worker has been started again.
    const self = anyone();
    const a = await at.connect(false, self);
    const twin = await at.connect(false, self);
    stores.push(a, twin);
    const first = await a.register('a', null);
    assert.equal(first, { generation: 1, before: 'none' });
    assert.equal(await a.register('a', 1), { generation: 2, before: 'kept' });
    assert.equal(await twin.register('a', null), { generation: 3, before: 'none' });
    assert.is(await troubleOf(a.write(batchOf([{ key: 'k', value: 'late' }]))), 'fenced');
    assert.is(await a.fetch(bytes('k')), null);
    assert.equal(await a.register('a', 2), { generation: 4, before: 'fenced' });
    await a.write(batchOf([{ key: 'k', value: 'v' }]));
    const b = await as('b');
    await b.fence('a');
    await b.fence('nobody');
    assert.is(await troubleOf(a.write(batchOf([{ key: 'k', value: 'late' }]))), 'fenced');
    assert.is(text(await a.fetch(bytes('k'))), 'v');
    assert.equal(await a.register('a', 4), { generation: 6, before: 'fenced' });
    await at.empty();
    // Higher than any before, though the store has forgotten them.
    assert.equal(await a.register('a', 6), { generation: 7, before: 'unknown' });
    // As one does who has not heard that answer; and then somebody takes over in between.
    assert.equal(await a.register('a', 6), { generation: 8, before: 'unknown' });
    assert.equal(await a.register('a', 8), { generation: 9, before: 'kept' });
    assert.equal(await a.register('a', 8), { generation: 10, before: 'kept' });
    await b.register('b', 5);
    await b.fence('a');
    assert.equal(await a.register('a', 8), { generation: 12, before: 'fenced' });
    assert.equal(await twin.register('a', 3), { generation: 13, before: 'fenced' });
  });

  test('a second living instance of a name is refused, and whoever comes back by it is not', async () => {
    const self = (): Self => anyone(60_000);
    const connect = async (who = self()): Promise<Store> => {
      const store = await at.connect(false, who);
      stores.push(store);
      return store;
    };
    const refusal = (store: Store, before: number | null): Promise<string> => store.register('a', before).then(() => 'none', (error: StoreError) => {
      assert.is(error.trouble, 'namesake');
      return error.message;
    });
    const a = await connect();
    await a.register('a', null);
    const second = await connect();
    for (let i = 0; i < 2; i++) assert.match(await refusal(second, null), /^another instance that is alive has the name a too: .*; give each instance a share\.instance of its own$/);
    await a.beat('{}', 60_000);
    assert.match(await refusal(second, null), /^another instance/);
    // Nothing has happened to the first one.
    await a.write(batchOf([{ key: 'k', value: 'v' }]));
    assert.equal(await second.beat('{}', 60_000).then(() => 'none', (error: StoreError) => error.trouble), 'fenced');
    // It is gone without a word, as after kill -9: no time need pass.
    await a.close();
    assert.equal(await until(() => second.register('a', null).catch(() => null), 'the second one to be let in'), { generation: 2, before: 'none' });
    // Fenced, but there: the name is still its own.
    const b = await as('b');
    await b.fence('a');
    const third = await connect();
    assert.match(await refusal(third, 1), /^another instance/);
    await second.register('a', 2);
    // It ends in order, and its connection is still there.
    await second.resign();
    await third.register('a', null);
  });

  test('one that hangs is not alive: who comes in its place is let in, and it is the one that is refused then', async () => {
    const self = (): Self => anyone(30);
    const [a, second] = [await at.connect(false, self()), await at.connect(false, self())];
    stores.push(a, second);
    await a.register('a', null);
    await at.pass(40);
    assert.equal(await second.register('a', null), { generation: 2, before: 'none' });
    assert.is(await troubleOf(a.write(batchOf([{ key: 'k', value: 'late' }]))), 'fenced');
    const last = await at.connect(false, anyone(60_000));
    stores.push(last);
    await second.beat('{}', 30);
    assert.is(await troubleOf(last.register('a', 1)), 'namesake');
  });

  test('who is fenced reads so in the log at once; a fence of long ago concerns nobody', async () => {
    const a = await as('a');
    const b = await as('b');
    await b.claim('vr1');
    const { position } = await loaded(b);
    const told = troubleOf(b.follow(position, () => {}, new AbortController().signal));
    assert.is(await a.claim('vr1'), 'b');
    assert.is(await told, 'fenced');
    await b.register('b', 2);
    await a.write(batchOf([{ key: 'k', value: 'v' }]));
    assert.is((await followed(b, position, (some) => some.length > 0)).entries.length, 1);
    const again = troubleOf(b.follow(position, () => {}, new AbortController().signal));
    await a.fence('b');
    assert.is(await again, 'fenced');
  });

  test('without a generation nothing is written, and everything can be read', async () => {
    const a = await at.connect();
    stores.push(a);
    for (const promise of [a.write(batchOf([{ key: 'k', value: 'v' }])), a.fence('b'), a.claim('r'), a.beat('{}', 1000), a.lease('x', [1], 1, 1000), a.renew('x', [1], 1000), a.release('x', [1]), a.resign()]) {
      assert.is(await troubleOf(promise), 'fenced');
    }
    assert.is(await a.fetch(bytes('k')), null);
    assert.equal(await a.leases(), []);
    assert.is((await loaded(a)).records.size, 0);
    await a.close();
    assert.is(await troubleOf(a.fetch(bytes('k'))), 'closed');
    assert.is(await troubleOf(a.register('a', null)), 'closed');
  });

  test('a role is claimed from whoever had it, who is fenced, even amid writes that are on their way', async () => {
    const a = await as('a');
    const b = await as('b');
    assert.is(await a.claim('vr1'), null);
    assert.is(await a.claim('vr1'), 'a');
    await a.write(batchOf([{ key: 'mine', value: 'still' }]));
    const { position } = await loaded(b);
    const results: Promise<StoreTrouble | 'none'>[] = [];
    let claimed: Promise<string | null> | null = null;
    for (let i = 0; i < 60; i++) {
      results.push(troubleOf(a.write(batchOf([{ key: `k${i}`, value: `${i}` }]))));
      if (i === 30) claimed = b.claim('vr1');
      if (i % 10 === 9) await Promise.race([results[i], claimed]);
    }
    assert.is(await claimed, 'a');
    const ends = await Promise.all(results);
    const accepted = ends.indexOf('fenced');
    assert.ok(accepted >= 0 && accepted < 60, `${accepted}`);
    assert.equal(ends, ends.map((_, i) => (i < accepted ? 'none' : 'fenced')));
    // Not one operation of what was refused is among the records or in the log.
    const { records } = await loaded(b);
    assert.equal([...records.keys()].sort(), ['mine', ...Array.from({ length: accepted }, (_, i) => `k${i}`)].sort());
    await b.write(batchOf([{ key: 'end', value: 'end' }]));
    const third = await as('third');
    const { entries } = await followed(third, position, (some) => some.some(({ instance }) => instance === 'b'));
    assert.is(entries.filter(({ instance }) => instance === 'a').length, accepted);
    assert.is(await troubleOf(a.claim('vr1')), 'fenced');
    assert.is(await troubleOf(a.beat('{}', 1000)), 'fenced');
    await a.register('a', 1);
    await a.write(batchOf([{ key: 'back', value: 'again' }]));
    assert.is(await b.claim('vr1'), 'b');
    await a.write(batchOf([{ key: 'back', value: 'still' }]));
  });

  test('instances learn of one another, until they are silent or resign', async () => {
    const a = await as('a');
    const b = await as('b, with a name of several words');
    assert.equal(await a.beat('{"flows":1}', 400), []);
    const [peer, ...others] = await b.beat('{"flows": 2, "text":"ü %d %s"}', 400);
    assert.equal(others, []);
    assert.is(peer.instance, 'a');
    assert.is(peer.about, '{"flows":1}');
    assert.is(peer.generation, 1);
    assert.ok(peer.ageMs >= 0 && peer.ageMs <= 400);
    assert.equal((await a.beat('{}', 10_000)).map(({ instance, about, generation }) => ({ instance, about, generation })), [{ instance: 'b, with a name of several words', about: '{"flows": 2, "text":"ü %d %s"}', generation: 2 }]);
    await at.pass(420);
    assert.equal(await b.beat('{}', 400), []);
    assert.is((await b.beat('{}', 60_000)).length, 1);
    await a.resign();
    assert.equal(await b.beat('{}', 60_000), []);
    assert.is(await troubleOf(a.beat('{}', 1000)), 'fenced');
  });

  test('blocks go to one instance each: those it has had, then free ones, then those that have ended', async () => {
    const a = await as('a');
    const b = await as('b');
    const blocks = [0, 1, 2, 3, 4, 5];
    const life = 60_000;
    assert.equal(await a.lease('192.0.2.1', [3, 1, 1, 5], 2, life), [3, 1]);
    assert.equal(await b.lease('192.0.2.1', blocks, 2, life), [0, 2]);
    // Another address is another matter.
    assert.equal(await b.lease('192.0.2.2', [3], 1, life), [3]);
    assert.equal(await a.lease('192.0.2.1', blocks, 9, life), [4, 5]);
    assert.equal(await b.lease('192.0.2.1', blocks, 9, life), []);
    assert.equal(await b.renew('192.0.2.1', [0, 1, 2, 3], life), [0, 2]);
    await b.release('192.0.2.1', [0, 1]);
    assert.equal((await a.leases()).map(({ address, block, instance, generation }) => `${address} ${block} ${instance} ${generation}`).sort(),
      ['192.0.2.1 1 a 1', '192.0.2.1 2 b 2', '192.0.2.1 3 a 1', '192.0.2.1 4 a 1', '192.0.2.1 5 a 1', '192.0.2.2 3 b 2']);
    for (const { leftMs } of await a.leases()) assert.ok(leftMs > life - 20_000 && leftMs <= life, `${leftMs}`);
    // Under a new generation: what it had comes first, in the order wanted; nothing is given twice under one.
    await a.register('a', 1);
    assert.equal(await a.lease('192.0.2.1', [0, 5, 3], 2, life), [5, 3]);
    assert.equal(await a.lease('192.0.2.1', [0, 5, 3], 3, life), [0]);
    assert.equal(await a.renew('192.0.2.1', [1, 2], life), [1]);
  });

  test('what has ended is given last, the longest ended first; what was resigned has ended', async () => {
    const a = await as('a');
    const b = await as('b');
    assert.equal(await a.lease('x', [1], 1, 150), [1]);
    assert.equal(await a.lease('x', [0], 1, 100), [0]);
    assert.equal(await b.lease('x', [0, 1], 2, 1000), []);
    await at.pass(160);
    // Ended, and nobody has taken it: it is still ours to prolong.
    assert.equal(await a.renew('x', [1], 100), [1]);
    await at.pass(110);
    assert.equal((await b.leases()).length, 0);
    assert.equal(await b.lease('x', [1, 0, 7], 3, 60_000), [7, 0, 1]);
    assert.equal(await a.renew('x', [0, 1], 1000), []);
    await b.resign();
    assert.equal(await a.leases(), []);
    assert.equal((await a.lease('x', [0, 1, 7, 8], 4, 60_000))[0], 8);
    assert.is((await a.leases()).length, 4);
  });

  test('a store that was emptied gives nothing new for a moment, and believes who held something', async () => {
    const a = await as('a', at, true);
    const b = await as('b', at, true);
    assert.equal(await a.renew('x', [1], 60_000), [1]);
    await at.empty();
    await Promise.all([a.register('a', 1), b.register('b', 2)]);
    assert.is(await troubleOf(b.lease('x', [1, 2], 2, 60_000)), 'settling');
    assert.equal(await a.renew('x', [1], 60_000), [1]);
    assert.equal(await b.renew('x', [1], 60_000), []);
  });

  test('two instances never hold one block, whatever they do and however late', async () => {
    const BLOCKS = [0, 1, 2];
    const step = fc.record({
      who: fc.nat(2), what: fc.constantFrom('lease', 'lease', 'renew', 'release', 'register', 'resign', 'pass', 'pass'),
      blocks: fc.subarray(BLOCKS, { minLength: 1 }), count: fc.integer({ min: 1, max: 3 }), life: fc.constantFrom(15, 30, 60), ms: fc.constantFrom(1, 10, 25, 50),
    });
    let address = 0;
    const instances = await Promise.all(['a', 'b', 'c'].map((instance) => as(instance)));
    const generations = [1, 2, 3];
    let granted = 0;
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const where = `address ${++address}`;
      /** What each believes to hold, until when: counted from when it asked. */
      const held = instances.map(() => new Map<number, number>());
      for (const { who, what, blocks, count, life, ms } of steps) {
        const store = instances[who];
        const mine = held[who];
        const askedMs = at.nowMs();
        const alive = (): number[] => [...mine].filter(([, endsAtMs]) => endsAtMs > askedMs).map(([block]) => block);
        let got: number[] = [];
        switch (what) {
          case 'lease': got = await store.lease(where, blocks, count, life); break;
          case 'renew': got = await store.renew(where, alive(), life); break;
          case 'release':
            for (const block of blocks) mine.delete(block);
            await store.release(where, blocks);
            break;
          case 'register': generations[who] = (await store.register('abc'[who], generations[who])).generation; break;
          case 'resign':
            mine.clear();
            await store.resign();
            generations[who] = (await store.register('abc'[who], generations[who])).generation;
            break;
          default: await at.pass(ms);
        }
        for (const block of got) mine.set(block, askedMs + life);
        granted += got.length;
        const nowMs = at.nowMs();
        for (const block of BLOCKS) {
          const holders = held.flatMap((theirs, i) => ((theirs.get(block) ?? -1) > nowMs ? [i] : []));
          assert.ok(holders.length <= 1, `block ${block} is held by ${holders.join(' and ')}`);
        }
      }
    }), { numRuns: runs, seed: 20_261_121 });
    assert.ok(granted > runs, `${granted} leases were given`);
  });

  test('states are told: away with why, and back again', async () => {
    const a = await at.connect();
    stores.push(a);
    const states: StoreState[] = [];
    await a.register('a', null);
    a.onState = (state) => { states.push(state); };
    await at.empty();
    await until(() => states.length > 1 && states[states.length - 1].isUsable, 'the store to be usable again');
    assert.is(states[0].isUsable, false);
    assert.instance(states[0].error, StoreError);
    const last = states[states.length - 1];
    assert.is(last.error, null);
    assert.type(last.server, 'string');
    // The connection is another one, so the generation is over.
    assert.is(await troubleOf(a.write(batchOf([{ key: 'k', value: 'v' }]))), 'fenced');
  });

  test.run();
}
