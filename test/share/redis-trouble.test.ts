/** Everything that can be wrong with a Redis server, done to a real one: each is named, said in a sentence, never with a password in it, and got over. */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RedisPlan } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { systemTimers } from '../../src/base/timers.js';
import { BATCH_BYTES } from '../../src/share/batch.js';
import { IN_FLIGHT_BYTES, RedisStore } from '../../src/share/redis.js';
import type { RedisStoreOptions } from '../../src/share/redis.js';
import { answerTrouble, connectionTrouble } from '../../src/share/redis-trouble.js';
import { NEEDED_COMMANDS, SCRIPTS } from '../../src/share/scripts.js';
import type { StoreError, StoreState, StoreTrouble } from '../../src/share/store.js';
import { RedisServer, temporaryDirectory, until } from '../support/redis.js';
import { batchOf, followed, loaded, troubleOf } from './store-suite.js';

const PASSWORD = 'sesame-opens-nothing';
const one = (key = 'k', value = 'v'): Buffer => batchOf([{ key, alias: `r${key}`, value }]);

let opened: RedisStore[] = [];
let servers: RedisServer[] = [];
test.after.each(async () => {
  await Promise.all(opened.map((store) => store.close()));
  await Promise.all(servers.map((server) => server.stop()));
  opened = [];
  servers = [];
});

async function serve(...args: Parameters<typeof RedisServer.start>): Promise<RedisServer> {
  const server = await RedisServer.start(...args);
  servers.push(server);
  return server;
}

interface Told { store: RedisStore; states: StoreState[]; errors: StoreError[] }

function storeOf(plan: RedisPlan, options: RedisStoreOptions = {}): Told {
  const store = new RedisStore(plan, { settleMs: 0, ...options });
  opened.push(store);
  const states: StoreState[] = [];
  const errors: StoreError[] = [];
  store.onState = (state) => {
    states.push(state);
    if (state.error !== null) errors.push(state.error);
  };
  return { store, states, errors };
}

async function connected(server: RedisServer, want: Partial<RedisPlan> = {}, options: RedisStoreOptions = {}): Promise<Told> {
  const told = storeOf(server.plan(want), options);
  await told.store.open();
  await told.store.register('a', null);
  return told;
}

const usable = ({ states }: Told): Promise<boolean> => until(() => states.length > 0 && states[states.length - 1].isUsable, 'the store to be usable again');
const troubled = ({ errors }: Told, trouble: StoreTrouble): Promise<StoreError> => until(() => errors.find((error) => error.trouble === trouble), `trouble ${trouble}, not ${errors.map((error) => error.message).join('; ')}`);

/** The error of an attempt to open; the store goes on trying. */
async function openError({ store }: Told): Promise<StoreError> {
  try {
    await store.open();
  } catch (error) {
    return error as StoreError;
  }
  throw new Error('it was opened');
}

test('nobody listens: unreachable, and it is found when somebody does', async () => {
  const directory = temporaryDirectory();
  const told = storeOf({ url: `unix://${join(directory, 'none.sock')}`, prefix: 'p', sentinels: [], cluster: [], timeoutMs: 1000 });
  const error = await openError(told);
  assert.is(error.trouble, 'unreachable');
  assert.match(error.message, /none\.sock.*no such socket/);
  assert.is(await troubleOf(told.store.register('a', null)), 'unreachable');
  const server = await serve({ port: true });
  await server.kill();
  const late = storeOf(server.plan());
  assert.match((await openError(late)).message, new RegExp(`127.0.0.1:${server.port} refuses connections`));
  await server.start();
  await usable(late);
  await late.store.register('a', null);
  await late.store.write(one());
});

test('something else listens: it is said, in our words', async () => {
  const path = join(temporaryDirectory(), 'web.sock');
  // A web server, and a server that wants TLS: an alert of it.
  for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', Buffer.from([0x15, 3, 1, 0, 2, 2, 80])]) {
    const listener = createServer((socket) => {
      socket.on('data', () => { socket.write(answer); });
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => { listener.listen(path, resolve); });
    const told = storeOf({ url: `unix://${path}`, prefix: 'p', sentinels: [], cluster: [], timeoutMs: 1000 });
    const { trouble, message } = await openError(told);
    assert.is(trouble, 'unreachable');
    assert.match(message, /web\.sock does not answer as Redis does: something else listens there, or it is to be spoken to by TLS$/);
    await told.store.close();
    await new Promise((resolve) => { listener.close(resolve); });
  }
});

test('killed: what waits for an answer is refused, what is asked then is refused at once, and it is found again, empty', async () => {
  const server = await serve();
  const told = await connected(server);
  const { store, states } = told;
  await store.write(one());
  server.freeze();
  const waiting = troubleOf(store.write(one('waiting')));
  await server.kill();
  assert.is(await waiting, 'unreachable');
  assert.is(states[states.length - 1].isUsable, false);
  // Nothing is kept for later: not even the time of one turn passes.
  let isOver = false;
  const refused = troubleOf(store.fetch(Buffer.from('k'))).then((trouble) => {
    isOver = true;
    return trouble;
  });
  await Promise.resolve().then(() => {}).then(() => {}).then(() => {}).then(() => {}).then(() => {});
  assert.ok(isOver);
  assert.is(await refused, 'unreachable');
  const first = states.find(({ isUsable }) => isUsable)?.server;
  await server.start();
  await usable(told);
  assert.is.not(states[states.length - 1].server, first);
  assert.is(await troubleOf(store.write(one())), 'fenced');
  assert.equal(await store.register('a', 1), { generation: 2, before: 'unknown' });
  assert.is(await store.fetch(Buffer.from('k')), null);
  await store.write(one());
});

test('a follower hears of a server that has gone', async () => {
  const server = await serve();
  const { store } = await connected(server);
  const { position } = await loaded(store);
  const following = troubleOf(store.follow(position, () => {}, new AbortController().signal));
  await until(() => /cmd=xread/.test(server.ask('CLIENT', 'LIST')), 'it to follow');
  await server.kill();
  assert.is(await following, 'unreachable');
});

test('frozen: slow; a write that was on its way may be carried out, but never after one of the next generation', async () => {
  const server = await serve();
  // Waits between attempts, which are longer than those for answers, are made short.
  const timers = { ...systemTimers, set: (run: () => void, delayMs: number): unknown => systemTimers.set(run, delayMs > 160 ? 20 : delayMs) };
  const told = await connected(server, { timeoutMs: 150 }, { timers });
  const { store, errors } = told;
  for (let round = 0; round < 3; round++) {
    errors.length = 0;
    server.freeze();
    const started = performance.now();
    const late = Array.from({ length: 20 }, (_, i) => troubleOf(store.write(one('k', `late ${round} ${i}`))));
    assert.equal(await Promise.all(late), late.map(() => 'slow'));
    assert.ok(performance.now() - started < 10_000);
    assert.match(errors[0].message, /has not answered for \d+ ms; what it was asked may yet be carried out/);
    assert.is(await troubleOf(store.fetch(Buffer.from('k'))), 'slow');
    // It takes connections, and does not answer in them either.
    await until(() => errors.length >= 2, 'another attempt');
    assert.equal(errors.map(({ trouble }) => trouble), errors.map(() => 'slow'));
    server.thaw();
    await usable(told);
    const { before } = await store.register('a', round + 1);
    assert.is(before, 'kept');
    await store.write(one('k', `new ${round}`));
    for (let i = 0; i < 20; i++) assert.is(String(await store.fetch(Buffer.from('k'))), `new ${round}`);
  }
});

test('a late write of an earlier generation is refused by the server itself', async () => {
  const server = await serve();
  const { store } = await connected(server);
  await store.register('a', 1);
  const text = server.ask('EVAL', SCRIPTS.write.lua, 1, '{weir:}', 'a', 1, one('k', 'late').toString('latin1').replaceAll('\0', '\x01'), 1_000_000, 16);
  assert.match(text, /FENCED/);
  assert.is(await store.fetch(Buffer.from('k')), null);
});

test('a busy thread of ours is not a slow server', async () => {
  const server = await serve();
  const { store, states } = await connected(server, { timeoutMs: 100 });
  for (let i = 0; i < 3; i++) {
    const written = store.write(one());
    const endMs = performance.now() + 250;
    while (performance.now() < endMs);
    await written;
  }
  assert.equal(states.map(({ error }) => error?.message), [undefined]);
});

test('more bytes on their way than may be are refused', async () => {
  const server = await serve();
  const { store } = await connected(server, { timeoutMs: 1000 });
  server.freeze();
  const batch = batchOf([1, 2, 3].map((i) => ({ key: `k${i}`, value: 'x'.repeat(16_000) })));
  const many = Array.from({ length: Math.ceil(IN_FLIGHT_BYTES / batch.length) }, () => troubleOf(store.write(batch)));
  assert.ok(batch.length < BATCH_BYTES);
  assert.is(await many[many.length - 1], 'slow');
  server.thaw();
  assert.equal([...new Set(await Promise.all(many.slice(0, -1)))].filter((trouble) => trouble !== 'slow' && trouble !== 'none'), []);
});

test('full: what is new is refused whole, what frees memory and what is read is not; nothing else ends by it', async () => {
  const server = await serve();
  const told = await connected(server);
  const { store, states } = told;
  await store.write(batchOf([{ key: 'k', value: 'v' }, { key: 'gone', value: 'v' }]));
  const { position } = await loaded(store);
  server.ask('CONFIG', 'SET', 'maxmemory', '1');
  const error = await store.write(batchOf([{ key: 'more', value: 'v' }, { key: 'k', value: 'w' }])).then(() => null, (caught: StoreError) => caught);
  assert.is(error?.trouble, 'full');
  assert.match(error?.message ?? '', /has reached its maxmemory/);
  assert.is(String(await store.fetch(Buffer.from('k'))), 'v');
  await store.write(batchOf([], [{ key: 'gone' }]));
  assert.equal([...(await loaded(store)).records], [['k', 'v']]);
  assert.equal(states.map(({ isUsable }) => isUsable), [true]);
  // Nobody can begin with it, though.
  const late = storeOf(server.plan());
  assert.is((await openError(late)).trouble, 'full');
  server.ask('CONFIG', 'SET', 'maxmemory', '0');
  await store.write(one('more'));
  assert.is(String(await store.fetch(Buffer.from('more'))), 'v');
  await usable(late);
  await late.store.register('b', null);
  // The log has what has been done, and nothing of what was refused.
  assert.equal((await followed(late.store, position, (some) => some.length >= 2)).entries.map(({ batch }) => batch.length), [batchOf([], [{ key: 'gone' }]).length, one('more').length]);
});

test('read-only: a server that has become a replica, and one that is', async () => {
  const server = await serve();
  const told = await connected(server);
  server.ask('REPLICAOF', '127.0.0.1', '1');
  assert.is(await troubleOf(told.store.write(one())), 'read-only');
  assert.match((await troubled(told, 'read-only')).message, /is a replica and takes no writes/);
  await until(() => told.errors.length >= 2, 'another attempt');
  assert.is(told.errors[1].trouble, 'read-only');
  server.ask('REPLICAOF', 'NO', 'ONE');
  await usable(told);
});

test('too few replicas to write: read-only', async () => {
  const server = await serve({ args: ['--min-replicas-to-write', '1'] });
  const error = await openError(storeOf(server.plan()));
  assert.is(error.trouble, 'read-only');
  assert.match(error.message, /min-replicas-to-write/);
});

test('loading: named until it has loaded', async () => {
  const server = await serve();
  server.ask('EVAL', "for i = 1, 3000 do redis.call('SET', 'k' .. i, string.rep('x', 1000)) end", 0);
  server.ask('SAVE');
  await server.kill();
  const slow = await serve({ directory: server.directory, args: ['--key-load-delay', '1000', '--loading-process-events-interval-bytes', '1024'] });
  const told = storeOf(slow.plan());
  const error = await openError(told);
  assert.is(error.trouble, 'loading');
  assert.match(error.message, /is loading its data/);
  slow.ask('CONFIG', 'SET', 'key-load-delay', '0');
  await usable(told);
});

test('wrong password, no password, and one that is not needed', async () => {
  const server = await serve({ args: ['--requirepass', PASSWORD] });
  const wrong = storeOf(server.plan({ password: `${PASSWORD}-not` }));
  const missing = storeOf(server.plan());
  const [a, b] = [await openError(wrong), await openError(missing)];
  assert.is(a.trouble, 'wrong-password');
  assert.match(a.message, /refuses our user name or password/);
  assert.is(b.trouble, 'wrong-password');
  assert.match(b.message, /wants a password, and none is configured/);
  for (const error of [a, b, ...wrong.errors]) assert.not.match(inspect(error, { depth: 9, showHidden: true }), new RegExp(PASSWORD));
  const right = storeOf(server.plan({ password: PASSWORD }));
  await right.store.open();
  const open = await serve();
  await storeOf(open.plan({ password: PASSWORD })).store.open();
});

/** A server with a user who may do what we need, but for `without`. */
async function withUser(...without: string[]): Promise<{ server: RedisServer; plan: Partial<RedisPlan> }> {
  const server = await serve();
  server.ask('ACL', 'SETUSER', 'weir', 'on', `>${PASSWORD}`, '~{weir:}*', '-@all', ...NEEDED_COMMANDS.map((command) => `+${command}`), ...without.map((command) => `-${command}`));
  return { server, plan: { username: 'weir', password: PASSWORD } };
}

test('a user who may do what is needed and nothing else can do everything', async () => {
  const { server, plan } = await withUser();
  const { store } = await connected(server, plan);
  const { store: other } = storeOf(server.plan(plan));
  await other.open();
  assert.is(await troubleOf(other.register('a', null)), 'namesake');
  assert.is((await other.register('b', null)).generation, 2);
  await store.register('a', 1);
  const { position } = await loaded(other);
  await store.write(one());
  await store.write(batchOf([], [{ key: 'k', alias: 'rk' }]));
  assert.is((await followed(other, position, (some) => some.length >= 2)).entries.length, 2);
  assert.is(await other.fetch(Buffer.from('k')), null);
  await store.beat('{}', 1000);
  assert.is((await other.beat('{}', 1000)).length, 1);
  await store.lease('x', [1, 2], 2, 1000);
  await store.renew('x', [1, 2], 1000);
  await store.release('x', [1]);
  assert.is((await other.leases()).length, 1);
  await store.claim('vr');
  await other.claim('vr');
  await other.fence('a');
  await other.resign();
  // And the log is cut off by it, too.
  const { store: small } = storeOf(server.plan(plan), { logBytes: 16_384 });
  await small.open();
  await small.register('c', null);
  for (let i = 0; i < 40; i++) await small.write(batchOf([{ key: `k${i}`, value: 'x'.repeat(2000) }]));
  assert.ok(Number(server.ask('XLEN', '{weir:}m:log')) < 20);
  const wrong = storeOf(server.plan({ ...plan, password: 'no' }));
  assert.is((await openError(wrong)).trouble, 'wrong-password');
});

test('no permission: it is said which command, even one within a script', async () => {
  for (const [command, says] of [['info', /run INFO/], ['script|load', /run SCRIPT/], ['evalsha', /run EVALSHA/], ['setex', /run SETEX/], ['client|setname', /run CLIENT/]] as const) {
    const { server, plan } = await withUser(command);
    const error = await openError(storeOf(server.plan(plan)));
    assert.is(error.trouble, 'no-permission', `${command}: ${error.message}`);
    assert.match(error.message, says);
    assert.not.match(inspect(error), new RegExp(PASSWORD));
    await server.stop();
  }
  const { server, plan } = await withUser('xadd');
  const { store } = storeOf(server.plan(plan));
  await store.open();
  const error = await store.register('a', null).then(() => null, (caught: StoreError) => caught);
  assert.is(error?.trouble, 'no-permission');
  assert.match(error?.message ?? '', /run XADD/);
  // The rest goes on.
  assert.is(await store.fetch(Buffer.from('k')), null);
  const { server: elsewhere, plan: keys } = await withUser();
  const told = storeOf(elsewhere.plan({ ...keys, prefix: 'other:' }));
  const keyError = await openError(told);
  assert.is(keyError.trouble, 'no-permission');
  assert.match(keyError.message, /the keys of our prefix/);
});

test('too old: named with its version', async () => {
  const info = (version: string): string => `# Server\r\nredis_version:${version}\r\nrun_id:1\r\nrole:master\r\n`;
  for (const [version, isOld] of [['6.0.16', true], ['5.0.7', true], ['6.2.0', false]] as const) {
    // What a server of that version answers to what it is asked before its version is known.
    const listener = createServer((socket) => {
      socket.on('data', (data) => {
        const text = data.toString();
        if (/INFO/i.test(text)) socket.write(`$${info(version).length}\r\n${info(version)}\r\n`);
        else socket.write(/SCRIPT/i.test(text) ? '-ERR no scripts here\r\n' : '+OK\r\n');
      });
      socket.on('error', () => {});
    });
    const path = join(temporaryDirectory(), 'old.sock');
    await new Promise<void>((resolve) => { listener.listen(path, resolve); });
    const { store } = storeOf({ url: `unix://${path}`, prefix: 'p', sentinels: [], cluster: [], timeoutMs: 1000 });
    const error = await store.open().then(() => null, (caught: StoreError) => caught);
    assert.is(error?.trouble, isOld ? 'wrong-version' : 'other', error?.message);
    if (isOld) assert.match(error?.message ?? '', new RegExp(`Redis ${version}; 6.2 or newer`));
    await store.close();
    listener.close();
  }
});

test('scripts that the server has forgotten are loaded again', async () => {
  const server = await serve();
  const told = await connected(server);
  server.ask('SCRIPT', 'FLUSH');
  // Given one after the other, they fail together: none of them overtakes another.
  const ends = await Promise.all([one('a'), one('b'), one('c')].map((batch) => troubleOf(told.store.write(batch))));
  assert.is(ends.includes('none'), false);
  await usable(told);
  await told.store.register('a', 1);
  await told.store.write(one());
});

test('attempts come at waits that grow to a limit, partly by chance, and begin anew after a good while', async () => {
  const waits: number[] = [];
  let next: (() => void) | null = null;
  let nowMs = 0;
  // Only the waits between attempts are turned by hand: whatever else is waited for is the server's matter.
  const timers = {
    set: (run: () => void, delayMs: number): unknown => {
      if (delayMs >= 5000) return null;
      waits.push(delayMs);
      next = run;
      return null;
    },
    clear: (): void => {},
  };
  const server = await serve();
  await server.kill();
  const told = storeOf(server.plan({ timeoutMs: 5000 }), { timers, clock: { nowMs: () => nowMs }, random: new Random(1) });
  await openError(told);
  for (let i = 1; i < 8; i++) {
    const run: () => void = next!;
    run();
    await until(() => waits.length === i + 1, 'another attempt');
  }
  const limits = [200, 400, 800, 1600, 2000, 2000, 2000, 2000];
  for (const [i, wait] of waits.entries()) assert.ok(wait >= limits[i] / 2 && wait <= limits[i], `wait ${i} is ${wait} ms`);
  assert.ok(new Set(waits.slice(4)).size > 1, `${waits.slice(4).join(' ')}`);
  // A connection that ends at once does not make the waits short again, one that has held does.
  for (const [heldMs, limit] of [[10, 2000], [60_000, 100]]) {
    await server.start();
    (next as unknown as () => void)();
    await usable(told);
    nowMs += heldMs;
    waits.length = 0;
    await server.kill();
    await until(() => waits.length === 1, 'the loss to be seen');
    assert.ok(waits[0] >= limit / 2 && waits[0] <= limit, `after ${heldMs} ms it waits ${waits[0]} ms`);
  }
});

test('what servers answer has its word', () => {
  const cases: readonly (readonly [string, StoreTrouble, RegExp])[] = [
    ['MISCONF Redis is configured to save RDB snapshots, but it\'s currently unable to persist to disk.', 'read-only', /cannot save/],
    ['MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.', 'failing-over', /lost its master/],
    ['CLUSTERDOWN The cluster is down', 'failing-over', /cluster is down/],
    ['TRYAGAIN Multiple keys request during rehashing of slot', 'failing-over', /moving our slot/],
    ['ASK 3999 127.0.0.1:6381', 'failing-over', /moving our slot/],
    ['MOVED 3999 127.0.0.1:6381', 'failing-over', /handed our slot/],
    ['UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)', 'failing-over', /become a replica/],
    ['LOADING Redis is loading the dataset in memory', 'loading', /loading/],
    ['BUSY Redis is busy running a script.', 'slow', /busy/],
    ['ERR max number of clients reached', 'unreachable', /maxclients/],
    ['ERR invalid password', 'wrong-password', /refuses/],
    ['ERR The user executing the script can\'t access at least one of the keys mentioned in the command arguments script: 0123, on @user_script:1.', 'no-permission', /the keys of our prefix/],
    ['NOPERM this user has no permissions to run the \'xadd\' command or its subcommand', 'no-permission', /run XADD/],
    ['ERR Error running script (call to f_0123): @user_script:12: @user_script: 12: OOM command not allowed when used memory > \'maxmemory\'.', 'full', /maxmemory/],
    ['ERR Error running script (call to f_0123): @user_script:12: -READONLY You can\'t write against a read only replica.', 'read-only', /replica/],
    ['ERR something else', 'other', /answered GET with: ERR something else/],
  ];
  for (const [answer, trouble, says] of cases) {
    const error = answerTrouble(answer, 'R', 'get');
    assert.is(error.trouble, trouble, answer);
    assert.match(error.message, says);
  }
  const line = SCRIPTS.write.lua.split('\n').findIndex((text) => text.includes('XADD')) + 1;
  assert.match(answerTrouble(`NOPERM The user executing the script can't run this command or subcommand script: 0123, on @user_script:${line}.`, 'R', 'a script', SCRIPTS.write.lua).message, /run XADD/);
  for (const [code, says] of [['ECONNREFUSED', /refuses/], ['ENOTFOUND', /no address/], ['EHOSTUNREACH', /no way/], ['CERT_HAS_EXPIRED', /TLS/], ['EWHATEVER', /cannot be reached: it says so/]] as const) {
    const error = connectionTrouble(Object.assign(new Error('it says so'), { code }), 'R');
    assert.is(error.trouble, 'unreachable');
    assert.match(error.message, says);
  }
});

test('the client library is loaded with a store in Redis only', () => {
  const script = `
    const { createRequire } = await import('node:module');
    const { createStore } = await import('./src/share/registry.ts');
    const cache = createRequire(process.cwd() + '/x.js').cache;
    const isLoaded = () => Object.keys(cache).some((path) => path.includes('/node_modules/ioredis/'));
    const plan = { instance: 'a', require: false, flushMs: 5, holdMs: 0, leaseMs: 1, portBlock: 1, aliveMs: 1 };
    const memory = await createStore({ ...plan, store: 'memory' });
    await memory.open();
    console.log(memory.constructor.name, isLoaded());
    const redis = await createStore({ ...plan, store: 'redis', redis: { url: 'unix:///nowhere', prefix: '', sentinels: [], cluster: [], timeoutMs: 1 } });
    console.log(redis.constructor.name, isLoaded());
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type', 'module', '-e', script], { encoding: 'utf8', timeout: 60_000 });
  assert.is(stdout, 'MemoryStore false\nRedisStore true\n', stderr);
});

test.run();
