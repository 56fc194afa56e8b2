/** Hooks as real programs in a directory of their own: what they are given, and every way they can fail without harm to anybody else. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigErrors } from '../../src/base/error.js';
import type { RouterEvent, StreamedEvent } from '../../src/control/api/types.js';
import { EventLog } from '../../src/control/event.js';
import { judgePath } from '../../src/base/safe-path.js';
import { HOOK_QUEUE_MAX, hookEnvironment, Hooks } from '../../src/control/hooks.js';
import { findUser, lookUpUser } from '../../src/control/user.js';
import { temporaryDirectory, until } from '../support/api.js';

const isRoot = process.geteuid!() === 0;
const OWN = userInfo().username;

interface Scene {
  hooks: Hooks; events: EventLog;
  /** Where the hooks are, and where they write; the latter anybody may. */
  directory: string; out: string;
  /** Add a hook; `$OUT` in its text is the place to write to. */
  add(name: string, text: string, mode?: number): string;
  failures: RouterEvent[];
  read(name: string): string;
}

async function scene(options: { timeoutMs?: number; user?: string }, body: (scene: Scene) => Promise<void>): Promise<void> {
  const root = temporaryDirectory();
  const directory = join(root, 'hooks.d');
  const out = join(root, 'out');
  mkdirSync(directory, { mode: 0o755 });
  mkdirSync(out);
  chmodSync(root, 0o755);
  chmodSync(out, 0o777);
  const events = new EventLog(2048);
  const failures: RouterEvent[] = [];
  events.subscribe((event) => { if (event.event === 'hooks.failed') failures.push(event); });
  const hooks = new Hooks({ plan: { directory, user: options.user ?? OWN, timeoutMs: options.timeoutMs ?? 10_000 }, events, configFile: 'weir.yaml' });
  try {
    await hooks.start();
    await body({
      hooks, events, directory, out, failures,
      add(name, text, mode = 0o755) {
        const path = join(directory, name);
        writeFileSync(path, `#!/bin/sh\nOUT=${out}\n${text}\n`);
        chmodSync(path, mode);
        return path;
      },
      read: (name) => readFileSync(join(out, name), 'utf8'),
    });
  } finally {
    await hooks.close();
    rmSync(root, { recursive: true, force: true });
  }
}

/** Everything emitted so far has been handed to the hooks and dealt with. */
const settled = (hooks: Hooks, events: number): Promise<void> => until('the hooks have run', () => hooks.counts.events === events && hooks.isIdle, 15_000);

/** Whether a process lives; one that waits to be collected does not. */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('each executable file is run in lexical order with the event as JSON and in its environment', async () => {
  await scene({}, async ({ add, events, hooks, read, failures, directory, out }) => {
    add('20-second', 'echo second >> $OUT/order');
    add('10-first', 'echo first >> $OUT/order; cat > $OUT/json; env > $OUT/env; pwd > $OUT/pwd; echo "$#" > $OUT/arguments; ulimit -S -c 0; echo chatter; echo noise >&2');
    add('30-not-executable', 'touch $OUT/never', 0o644);
    mkdirSync(join(directory, '40-directory'));
    events.emit('uplink.down', 'isp1', `uplink isp1 is down: $(touch ${out}/never) "quoted"\nsecond line`, { uplink: 'isp1', lossRatio: 0.5, isOk: false, reason: null, flows: { reset: 3 }, severity: 'warning' });
    await settled(hooks, 1);
    assert.equal(failures, []);
    assert.is(read('order'), 'first\nsecond\n');
    const json = JSON.parse(read('json')) as StreamedEvent;
    assert.equal([json.schemaVersion, json.sequence, json.event, json.subject, json['uplink'], json['reason'], json['flows']], [1, 1, 'uplink.down', 'isp1', 'isp1', null, { reset: 3 }]);
    const environment = read('env');
    for (const line of ['WEIR_EVENT=uplink.down', 'WEIR_SUBJECT=isp1', 'WEIR_UPLINK=isp1', 'WEIR_LOSS_RATIO=0.5', 'WEIR_IS_OK=false', 'WEIR_SEQUENCE=1', `WEIR_AT_MS=${json.atMs}`,
      `WEIR_MESSAGE=uplink isp1 is down: $(touch ${out}/never) "quoted"`, 'second line']) assert.ok(environment.split('\n').includes(line), line);
    assert.not.match(environment, /WEIR_REASON|WEIR_FLOWS|npm_|NODE_/);
    assert.equal([read('pwd'), read('arguments')], ['/\n', '0\n']);
    assert.not.ok(existsSync(join(out, 'never')));
    assert.equal(hooks.counts, { events: 1, eventsDropped: 0, waiting: 0, runs: 2, failures: 0, timeouts: 0 });
  });
});

test('a hook runs as its user, with no group but that user\'s', async () => {
  if (!isRoot) return;
  await scene({ user: 'nobody' }, async ({ add, events, hooks, read, failures }) => {
    add('who', 'id -u > $OUT/uid; id -G > $OUT/groups; echo "$USER $HOME" > $OUT/user; grep CapEff /proc/self/status > $OUT/capabilities');
    events.emit('link.up', 'lan', '');
    await settled(hooks, 1);
    const nobody = (await lookUpUser('nobody'))!;
    assert.equal(failures, []);
    assert.is(read('uid'), `${nobody.uid}\n`);
    assert.is(read('groups'), `${nobody.gid}\n`);
    assert.is(read('user'), `nobody ${nobody.home}\n`);
    assert.match(read('capabilities'), /CapEff:\s+0+\n/);
  });
});

test('a hook that fails is an event with its last words, and the next ones run all the same', async () => {
  await scene({}, async ({ add, events, hooks, read, failures, directory }) => {
    add('10-fails', 'echo first >&2; echo "smtp: connection refused" >&2; exit 3');
    add('20-killed', 'kill -9 $$');
    writeFileSync(join(directory, '30-no-interpreter'), '#!/nowhere/interpreter\n');
    chmodSync(join(directory, '30-no-interpreter'), 0o755);
    add('40-works', 'echo ran > $OUT/works');
    events.emit('uplink.down', 'isp1', '');
    await settled(hooks, 1);
    assert.is(read('works'), 'ran\n');
    assert.equal(failures.map(({ subject, message, exitCode, trigger, severity }) => [subject, message, exitCode, trigger, severity]), [
      ['10-fails', 'hook 10-fails failed on uplink.down of isp1: exit code 3: smtp: connection refused', 3, 'uplink.down', 'warning'],
      ['20-killed', 'hook 20-killed failed on uplink.down of isp1: killed by SIGKILL', null, 'uplink.down', 'warning'],
      ['30-no-interpreter', 'hook 30-no-interpreter failed on uplink.down of isp1: it, or the interpreter its first line names, does not exist (ENOENT)', null, 'uplink.down', 'warning'],
    ]);
    // Three failures were events; none of them ran a hook.
    assert.equal(hooks.counts, { events: 1, eventsDropped: 0, waiting: 0, runs: 4, failures: 3, timeouts: 0 });
  });
});

test('a hook that hangs is ended at its limit with all it has started, also when it will not go', async () => {
  await scene({ timeoutMs: 300 }, async ({ add, events, hooks, read, failures }) => {
    add('10-hangs', 'trap "" TERM; sleep 600 & echo $! > $OUT/child; echo $$ > $OUT/pid; while :; do sleep 1; done');
    add('20-works', 'echo ran > $OUT/works');
    events.emit('uplink.down', 'isp1', '');
    await settled(hooks, 1);
    assert.is(read('works'), 'ran\n');
    assert.equal(failures.map(({ message }) => message), ['hook 10-hangs failed on uplink.down of isp1: it took longer than 300 ms and was ended']);
    assert.is(hooks.counts.timeouts, 1);
    for (const name of ['child', 'pid']) await until(`${name} is gone`, () => !lives(Number(read(name))));
  });
});

test('what a hook leaves running ends with it and holds nothing up', async () => {
  await scene({}, async ({ add, events, hooks, read, failures }) => {
    add('10-leaves', 'sleep 600 & echo $! > $OUT/child');
    events.emit('uplink.down', 'isp1', '');
    await settled(hooks, 1);
    assert.equal(failures, []);
    await until('it is gone', () => !lives(Number(read('child'))));
  });
});

test('a hook that floods its output is ended', async () => {
  await scene({}, async ({ add, events, hooks, read, failures }) => {
    add('10-floods', 'exec cat /dev/zero');
    add('20-works', 'echo ran > $OUT/works');
    events.emit('uplink.down', 'isp1', '');
    await settled(hooks, 1);
    assert.is(read('works'), 'ran\n');
    assert.equal(failures.map(({ message }) => message), ['hook 10-floods failed on uplink.down of isp1: it wrote more than 1048576 bytes and was ended']);
  });
});

test('a hook that does not read its input is no failure, however long that is', async () => {
  await scene({}, async ({ add, events, hooks, failures }) => {
    add('10-deaf', 'exec <&-; exit 0');
    events.emit('uplink.down', 'isp1', 'x'.repeat(500_000));
    await settled(hooks, 1);
    assert.equal(failures, []);
  });
});

test('files and directories that others may write, or own, are not run; that is told once, and over when it is mended', async () => {
  await scene({}, async ({ add, events, hooks, read, failures, directory }) => {
    const loose = add('10-loose', 'echo ran >> $OUT/loose', 0o757);
    add('20-group', 'echo ran >> $OUT/group', 0o775);
    add('30-sound', 'echo ran >> $OUT/sound');
    events.emit('uplink.down', 'isp1', '');
    events.emit('uplink.up', 'isp1', '');
    await settled(hooks, 2);
    assert.is(read('sound'), 'ran\nran\n');
    assert.equal(failures.map(({ message }) => message), [
      `hook 10-loose is not run: ${loose} may be written by everybody (mode 757); chmod go-w makes it right`,
      `hook 20-group is not run: ${join(directory, '20-group')} may be written by its group (mode 775); chmod go-w makes it right`,
    ]);
    chmodSync(loose, 0o755);
    events.emit('uplink.down', 'isp1', '');
    await settled(hooks, 3);
    assert.is(read('loose'), 'ran\n');

    chmodSync(directory, 0o777);
    events.emit('uplink.up', 'isp1', '');
    await settled(hooks, 4);
    assert.is(read('sound'), 'ran\nran\nran\n', 'not a fourth time');
    assert.match(failures.at(-1)!.message, /hooks\.d may be written by everybody \(mode 777\)/);
    chmodSync(directory, 0o755);

    if (isRoot) {
      chownSync(loose, 65_534, 65_534);
      events.emit('uplink.down', 'isp1', '');
      await settled(hooks, 5);
      assert.is(read('loose'), 'ran\n');
      assert.match(failures.at(-1)!.message, /10-loose belongs to user 65534; it must belong to root/);
    }
  });
});

test('what a link leads to is looked at, and all directories above it', async () => {
  const root = temporaryDirectory();
  const open = join(root, 'open');
  mkdirSync(open);
  chmodSync(root, 0o755);
  chmodSync(open, 0o777);
  mkdirSync(join(open, 'closed'));
  const target = join(open, 'closed', 'program');
  writeFileSync(target, '');
  chmodSync(target, 0o755);
  const link = join(root, 'link');
  symlinkSync(target, link);
  assert.match((await judgePath(link)).why ?? '', /\/open may be written by everybody/);
  // With the sticky bit nobody else can put another directory in its place.
  chmodSync(open, 0o1777);
  assert.equal(await judgePath(link), { real: realpathSync(target), why: null });
  chmodSync(target, 0o757);
  assert.match((await judgePath(link)).why ?? '', /program may be written by everybody/);
  assert.is(await judgePath(join(root, 'absent')).then(() => '', (error: NodeJS.ErrnoException) => error.code), 'ENOENT');
});

test('what was looked at is what is run, whatever leads there meanwhile', async () => {
  await scene({}, async ({ add, events, hooks, read, directory, out }) => {
    const path = add('program', 'echo "$0" >> $OUT/name', 0o755);
    const target = join(out, '..', 'target');
    renameSync(path, target);
    symlinkSync(target, join(directory, '10-link'));
    // A hook before it has it lead elsewhere, after it was looked at and before it runs.
    add('05-swaps', `ln -sf /bin/false ${join(directory, '10-link')}`, 0o755);
    events.emit('uplink.down', 'isp1', '');
    await settled(hooks, 1);
    assert.equal([read('name'), hooks.counts.failures], [`${realpathSync(target)}\n`, 0]);
  });
});

test('events of flows and failures of hooks run none; a queue that is full drops, counts and tells once', async () => {
  await scene({}, async ({ add, events, hooks, out, failures, directory }) => {
    add('10-waits', 'until test -e $OUT/go; do sleep 0.02; done; echo x >> $OUT/ran', 0o755);
    for (let i = 0; i < 3000; i++) events.emit('flow.reset', 'isp1', '');
    events.emit('hooks.failed', 'elsewhere', '');
    assert.is(hooks.counts.waiting, 0);
    events.emit('e', 'first', '');
    await until('the first one runs', () => hooks.counts.runs === 1);
    for (let i = 0; i < HOOK_QUEUE_MAX + 50; i++) events.emit('e', String(i), '');
    assert.equal(hooks.counts, { events: 1, eventsDropped: 50, waiting: HOOK_QUEUE_MAX, runs: 1, failures: 0, timeouts: 0 });
    await until('it is told', () => failures.length === 2);
    assert.is(failures[1].message, '256 events wait for their hooks; further ones run none until these are through');
    // Quicker from here on.
    add('new', 'exit 0');
    renameSync(join(directory, 'new'), join(directory, '10-waits'));
    writeFileSync(join(out, 'go'), '');
    await settled(hooks, HOOK_QUEUE_MAX + 1);
    assert.is(failures.length, 2, 'told once');
    assert.is(hooks.counts.runs, HOOK_QUEUE_MAX + 1);
  });
});

test('without hooks no flood of events is told of as one that hooks miss', async () => {
  await scene({}, async ({ add, events, hooks, read, directory, failures }) => {
    renameSync(directory, `${directory}.away`);
    // At once, so that none has been looked at: as at a start with hundreds of uplinks.
    for (let i = 0; i < 3 * HOOK_QUEUE_MAX; i++) events.emit('e', String(i), '');
    await until('none waits', () => hooks.isIdle);
    assert.equal([hooks.counts.eventsDropped, failures.length], [0, 0]);
    renameSync(`${directory}.away`, directory);
    add('10-works', 'echo ran > $OUT/works');
    events.emit('e', 's', '');
    await until('it has run', () => hooks.isIdle && hooks.counts.runs === 1);
    assert.is(read('works'), 'ran\n');
  });
});

test('closing ends what runs and forgets what waits', async () => {
  await scene({}, async ({ add, events, hooks, read, out, failures }) => {
    add('10-sleeps', 'echo $$ > $OUT/pid.part; mv $OUT/pid.part $OUT/pid; exec sleep 600');
    for (let i = 0; i < 5; i++) events.emit('e', 's', '');
    await until('one runs', () => existsSync(join(out, 'pid')));
    await hooks.close();
    assert.not.ok(lives(Number(read('pid'))));
    assert.is(hooks.counts.waiting, 0);
    events.emit('e', 's', '');
    assert.is(hooks.counts.runs, 1);
    assert.equal(failures, []);
  });
});

test('no directory is no failure; one that comes later is used', async () => {
  await scene({}, async ({ add, events, hooks, read, directory, failures }) => {
    renameSync(directory, `${directory}.away`);
    events.emit('e', 's', '');
    await settled(hooks, 1);
    renameSync(`${directory}.away`, directory);
    add('10-works', 'echo ran > $OUT/works');
    events.emit('e', 's', '');
    await settled(hooks, 2);
    assert.is(read('works'), 'ran\n');
    assert.equal(failures, []);
  });
});

test('a user who does not exist is a mistake in the configuration, told at the start', async () => {
  const directory = temporaryDirectory();
  const start = async (where: string): Promise<unknown> => {
    const hooks = new Hooks({ plan: { directory: where, user: 'no-such-user', timeoutMs: 1000 }, events: new EventLog(), configFile: 'weir.yaml' });
    try {
      await hooks.start();
      return null;
    } catch (error) {
      return error;
    } finally {
      await hooks.close();
    }
  };
  const error = await start(directory);
  assert.instance(error, ConfigErrors);
  assert.equal((error as ConfigErrors).errors[0], {
    file: 'weir.yaml', line: 0, column: 0, path: 'hooks.user', found: '\'no-such-user\', which is no user of this system', allowed: 'an existing user (useradd --system no-such-user makes it)',
  });
  assert.is(await start(join(directory, 'absent')), null, 'where there is nothing to run the user is of no account');
});

test('users are found by name and by number', async () => {
  const text = 'root:x:0:0:root:/root:/bin/sh\nbroken\nhooks:x:990:991::/var/lib/hooks:/usr/sbin/nologin\nhomeless:x:992:992:::\n';
  assert.equal(findUser(text, 'hooks'), { name: 'hooks', uid: 990, gid: 991, home: '/var/lib/hooks' });
  assert.equal(findUser(text, '990'), findUser(text, 'hooks'));
  assert.is(findUser(text, 'homeless')!.home, '/');
  for (const name of ['broken', 'nobody', '', 'x']) assert.is(findUser(text, name), null, name);
  assert.is((await lookUpUser('root'))!.uid, 0);
  assert.is(await lookUpUser('no-such-user'), null);
  assert.is(await lookUpUser('--help'), null);
});

test('the environment holds no NUL, nothing endless, and no name that is not one', () => {
  const event = { atMs: 1, event: 'e', subject: 'a\0b', message: 'm'.repeat(10_000), 'bad-name': 1, 'WEIR=X': 2, aFieldWithHTTP: true };
  const environment = hookEnvironment(event, 5, { name: 'u', uid: 1, gid: 1, home: '/h' });
  assert.is(environment['WEIR_SUBJECT'], 'ab');
  assert.is(environment['WEIR_MESSAGE'].length, 4096);
  assert.equal(Object.keys(environment).sort(), ['HOME', 'LANG', 'LOGNAME', 'PATH', 'USER', 'WEIR_AT_MS', 'WEIR_A_FIELD_WITH_HTTP', 'WEIR_EVENT', 'WEIR_MESSAGE', 'WEIR_SEQUENCE', 'WEIR_SUBJECT']);
});

test('of what is refused no more is remembered than files are run, and each is told once', async () => {
  await scene({}, async ({ add, events, hooks, failures }) => {
    for (let i = 0; i < 150; i++) add(`h${i}`, 'true', 0o777);
    events.emit('uplink.down', 'isp1', 'one');
    events.emit('uplink.up', 'isp1', 'two');
    await settled(hooks, 2);
    assert.is(failures.length, 64);
    assert.is(new Set(failures.map(({ subject }) => subject)).size, 64);
  });
});

test('a hook that cannot be ended holds up neither the next one nor the end', async () => {
  await scene({ timeoutMs: 100 }, async ({ add, events, hooks, failures, out, read }) => {
    add('10-stuck', 'echo $$ > $OUT/pid; exec sleep 1000');
    add('20-next', 'touch $OUT/next');
    const { kill } = process;
    // As of a process of another user, without CAP_KILL.
    process.kill = () => { throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' }); };
    try {
      events.emit('uplink.down', 'isp1', 'one');
      await settled(hooks, 1);
    } finally {
      process.kill = kill;
    }
    assert.ok(existsSync(join(out, 'next')));
    assert.equal([failures.length, failures[0]?.['hook'], hooks.counts.timeouts], [1, '10-stuck', 1]);
    assert.match(failures[0]?.message ?? '', /in vain/);
    process.kill(Number(read('pid')), 'SIGKILL');
  });
});

test('what weir may do is not handed on to what it starts, whoever that runs as', () => {
  const has = (name: string): boolean => spawnSync(name, ['--version']).status === 0;
  if (!isRoot || !has('setpriv')) return;
  const root = join(import.meta.dirname, '..', '..');
  const program = `
    const { spawnSync } = require('node:child_process');
    const addon = require('node-gyp-build')(process.argv[1]);
    const given = (options) => /CapEff:\\s*([0-9a-f]+)/.exec(spawnSync('/bin/cat', ['/proc/self/status'], { encoding: 'utf8', ...options }).stdout)[1];
    const before = given({ uid: 65534, gid: 65534 });
    addon.dropAmbient();
    console.log(JSON.stringify([before, given({ uid: 65534, gid: 65534 }), given({}), addon.capabilities().low]));`;
  const capabilities = '+net_admin,+setuid,+setgid';
  const { stdout, stderr } = spawnSync('setpriv', ['--reuid', '65533', '--regid', '65533', '--clear-groups', '--inh-caps', capabilities, '--ambient-caps', capabilities,
    process.execPath, '-e', program, root], { cwd: root, encoding: 'utf8' });
  assert.is(stdout.trim(), '["00000000000010c0","0000000000000000","0000000000000000",4288]', stderr);
});

test.run();
