/** Redis in its other places: by TCP, behind TLS, named by sentinels, in a cluster. Each once with real servers, through a failover. */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RedisPlan } from '../../src/base/plan.js';
import { RedisStore } from '../../src/share/redis.js';
import type { StoreError, StoreState } from '../../src/share/store.js';
import { Certificates, RedisServer, startCluster, startSentinels, until } from '../support/redis.js';
import { batchOf, followed, loaded, troubleOf } from './store-suite.js';

const opened: RedisStore[] = [];

function storeOf(plan: RedisPlan): { store: RedisStore; states: StoreState[] } {
  const store = new RedisStore(plan, { settleMs: 0 });
  opened.push(store);
  const states: StoreState[] = [];
  store.onState = (state) => { states.push(state); };
  return { store, states };
}

async function openError(plan: RedisPlan): Promise<StoreError> {
  const { store } = storeOf(plan);
  const error = await store.open().then(() => null, (caught: StoreError) => caught);
  await store.close();
  assert.ok(error !== null, 'it was opened');
  return error as StoreError;
}

/** Everything a store does, once. */
async function tour(a: RedisStore, b: RedisStore): Promise<void> {
  await Promise.all([a.register('a', null), b.register('b', null)]);
  const { position } = await loaded(b);
  await a.write(batchOf([{ key: 'k', alias: 'r', value: 'v' }]));
  assert.is(String(await b.fetch(Buffer.from('r'))), 'v');
  assert.is((await followed(b, position, (some) => some.length > 0)).entries.length, 1);
  assert.is((await loaded(b)).records.get('k'), 'v');
  assert.equal(await a.lease('192.0.2.1', [1], 1, 60_000), [1]);
  await a.beat('{}', 1000);
  assert.is((await b.beat('{}', 60_000)).length, 1);
}

test.after.each(async () => { await Promise.all(opened.splice(0).map((store) => store.close())); });

test('by TCP, in a database of its own', async () => {
  const server = await RedisServer.start({ port: true });
  const plan = server.plan({ url: `redis://127.0.0.1:${server.port}/3` });
  const [a, b] = [storeOf(plan).store, storeOf(plan).store];
  await Promise.all([a.open(), b.open()]);
  await tour(a, b);
  assert.match(server.ask('INFO', 'keyspace'), /db3:/);
  assert.not.match(server.ask('INFO', 'keyspace'), /db0:/);
  await server.stop();
});

test('behind TLS: with certificates of both sides, and with none that would do', async () => {
  const certificates = new Certificates();
  const server = await RedisServer.start({ tls: certificates });
  const { ca, cert, key } = certificates;
  const plan = (tls: NonNullable<RedisPlan['tls']>, host = '127.0.0.1'): RedisPlan => server.plan({ url: `rediss://${host}:${server.port}/0`, tls });
  const good = plan({ ca, cert, key, verify: true });
  const [a, b] = [storeOf(good).store, storeOf(plan({ ca, cert, key, verify: true }, 'localhost')).store];
  await Promise.all([a.open(), b.open()]);
  await tour(a, b);
  // Nobody vouches for the server's certificate; it is asked for or not.
  const unknown = await openError(plan({ cert, key, verify: true }));
  assert.is(unknown.trouble, 'unreachable');
  assert.match(unknown.message, /TLS/);
  await storeOf(plan({ cert, key, verify: false })).store.open();
  // Its name is another one than the one wanted.
  const misnamed = await openError(plan({ ca, cert, key, servername: 'elsewhere.example', verify: true }));
  assert.match(misnamed.message, /TLS.*elsewhere\.example/);
  assert.is((await openError(plan({ ca, verify: true }))).trouble, 'unreachable');
  assert.match((await openError(plan({ ca: join(certificates.directory, 'none'), verify: true }))).message, /share\.redis\.tls\.ca: .*none cannot be read/);
  await server.stop();
});

test('named by sentinels, through a failover', async () => {
  const { master, replica, sentinel, stop } = await startSentinels('weir-master');
  const plan = master.plan({ url: '', sentinels: [`127.0.0.1:${sentinel.port}`], sentinelName: 'weir-master', timeoutMs: 1000 });
  const { store: a, states } = storeOf(plan);
  const { store: b } = storeOf(plan);
  await Promise.all([a.open(), b.open()]);
  await tour(a, b);
  const first = states[0].server;
  // A name the sentinel does not know; a sentinel that is not there; one that wants a password.
  const nameless = await openError({ ...plan, sentinelName: 'another' });
  assert.is(nameless.trouble, 'failing-over');
  assert.match(nameless.message, /master another: the sentinels know no such master/);
  const absent = await openError({ ...plan, sentinels: ['127.0.0.1:1'] });
  assert.is(absent.trouble, 'unreachable');
  assert.match(absent.message, /no sentinel can be reached/);
  await until(() => replica.ask('DBSIZE') === master.ask('DBSIZE'), 'the replica to have everything');
  await master.kill();
  await until(() => states[states.length - 1].isUsable && states[states.length - 1].server !== first, 'the new master to be used');
  const troubles = states.flatMap(({ error }) => (error === null ? [] : [error.trouble]));
  assert.ok(troubles.includes('failing-over'), troubles.join(' '));
  assert.equal(troubles.filter((trouble) => !['unreachable', 'failing-over', 'read-only'].includes(trouble)), []);
  const { before } = await a.register('a', 1);
  assert.is(before, 'kept');
  await a.write(batchOf([{ key: 'new', value: 'after' }]));
  assert.is(String(await a.fetch(Buffer.from('k'))), 'v');
  assert.match(replica.ask('INFO', 'replication'), /role:master/);
  await stop();
});

test('in a cluster: the node that serves our slot, also when that becomes another one, and when the cluster is down', async () => {
  const { nodes, stop } = await startCluster();
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
  const plan = nodes[0].plan({ url: '', cluster: ['127.0.0.1:1', ...addresses], timeoutMs: 1000 });
  const { store: a, states } = storeOf(plan);
  const { store: b } = storeOf({ ...plan, cluster: [...addresses].reverse() });
  await Promise.all([a.open(), b.open()]);
  await tour(a, b);
  const sizes = (): number[] => nodes.map((node) => Number(node.ask('DBSIZE')));
  // Everything is at one node.
  assert.is(sizes().filter((size) => size > 0).length, 1);
  const owner = nodes[sizes().findIndex((size) => size > 0)];
  const heir = nodes[(nodes.indexOf(owner) + 1) % nodes.length];
  // As one node alone it says so; and nothing is written through a node that is not ours.
  const alone = await openError(heir.plan({ timeoutMs: 1000 }));
  assert.is(alone.trouble, 'failing-over');
  // The slot is given to another node, without its keys.
  const slot = owner.ask('CLUSTER', 'KEYSLOT', '{weir:}');
  owner.ask('FLUSHALL');
  const id = heir.ask('CLUSTER', 'MYID');
  for (const node of [heir, owner, ...nodes.filter((node) => node !== heir && node !== owner)]) node.ask('CLUSTER', 'SETSLOT', slot, 'NODE', id);
  assert.is(await troubleOf(a.register('a', 1)), 'failing-over');
  const seen = states.length;
  await until(() => states[states.length - 1].isUsable, 'the other node to be used');
  assert.ok(states.length >= seen);
  assert.is((await a.register('a', 1)).before, 'unknown');
  await a.write(batchOf([{ key: 'k', value: 'there' }]));
  assert.ok(Number(heir.ask('DBSIZE')) > 0);
  // A slot of that node is nobody's: the cluster is down as a whole, until somebody has it.
  const range = heir.ask('CLUSTER', 'NODES').split('\n').find((line) => line.includes('myself'))?.match(/ (\d+)-\d+/)?.[1] ?? '';
  assert.is.not(range, slot);
  heir.ask('CLUSTER', 'DELSLOTS', range);
  await until(async () => {
    await a.fetch(Buffer.from('k')).catch(() => {});
    return states.some(({ error }) => error?.trouble === 'failing-over' && /cluster is down/.test(error.message));
  }, 'the cluster to be down');
  heir.ask('CLUSTER', 'ADDSLOTS', range);
  await until(() => states[states.length - 1].isUsable, 'the cluster to be up again');
  await a.register('a', 3);
  await a.write(batchOf([{ key: 'k', value: 'again' }]));
  await stop();
});

test.run();
