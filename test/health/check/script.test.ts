/** The script check: what it runs as and with, what its exit says, and that nothing of it is left behind. */
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbePlan } from '../../../src/base/plan.js';
import type { CheckContext, ProbeResult } from '../../../src/health/check/check.js';
import { findUser } from '../../../src/health/check/user.js';
import { never, noContext, withCheck } from '../check-suite.js';
import { until } from '../until.js';

const isRoot = userInfo().uid === 0;
const directory = mkdtempSync(join(tmpdir(), 'weir-script-'));
process.on('exit', () => { rmSync(directory, { recursive: true, force: true }); });

async function run(command: string[], some: Partial<Extract<ProbePlan, { kind: 'script' }>> = {}, context: Partial<CheckContext> = {}, timeoutMs = 10_000): Promise<ProbeResult> {
  let result: ProbeResult | null = null;
  const scene = { probe: { kind: 'script' as const, command, ...some }, context: { ...noContext, ...context }, close: () => Promise.resolve() };
  await withCheck(scene, async (check) => { result = await check.probe(timeoutMs, never()); });
  return result as unknown as ProbeResult;
}

const sh = (text: string, ...parameters: string[]): string[] => ['/bin/sh', '-c', text, 'sh', ...parameters];

/** What a script wrote into the file that is its first parameter. */
async function written(text: string, some: Partial<Extract<ProbePlan, { kind: 'script' }>> = {}, context: Partial<CheckContext> = {}): Promise<string> {
  const file = join(directory, 'out');
  assert.is((await run(sh(text, file), some, context)).reason, null);
  return readFileSync(file, 'utf8');
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // One that is dead and not waited for yet is dead.
  return !/\) Z /.test(existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ') Z ');
};

test('it gets its parameters as they are, no shell in between, and nothing on stdin', async () => {
  const file = join(directory, 'parameters');
  writeFileSync(join(directory, 'show'), '#!/bin/sh\nf=$1; shift; { printf "[%s]" "$@"; cat; } > "$f"\n', { mode: 0o755 });
  assert.is((await run([join(directory, 'show'), file, '$HOME', 'a b', '; exit 1'])).reason, null);
  assert.is(readFileSync(file, 'utf8'), '[$HOME][a b][; exit 1]');
});

test('its environment holds what the head of the file says, and nothing of ours', async () => {
  process.env['WEIR_TEST_SECRET'] = 'x';
  const names = (text: string): string[] => text.trim().split('\n').filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line)).toSorted();
  assert.equal(names(await written('env > $1')), ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'WEIR_TIMEOUT_MS=10000']);
  assert.ok(names(await written('env > $1', {}, { localAddress: '169.254.119.1' })).includes('WEIR_LOCAL_ADDRESS=169.254.119.1'));
  delete process.env['WEIR_TEST_SECRET'];
});

test('exit code 0 is good; any other is not, and its first words go into the reason', async () => {
  assert.is((await run(['/bin/true'])).isOk, true);
  assert.is((await run(['/bin/false'])).reason, 'exit code 1');
  assert.is((await run(sh('echo out; echo err >&2; echo more >&2; exit 7'))).reason, 'exit code 7: err');
  assert.is((await run(sh('echo only out; exit 7'))).reason, 'exit code 7: only out');
  assert.is((await run(sh('printf "\\033[31mred\\n"; exit 7'))).reason, 'exit code 7: ?[31mred');
  assert.is((await run(sh('kill -TERM $$'))).reason, 'killed by SIGTERM');
  assert.is((await run([join(directory, 'nowhere')])).reason, 'no such file');
  assert.is((await run([directory])).reason, 'not permitted');
});

test('a program that somebody else could have written is not run, and what was looked at is what is', async () => {
  const own = join(directory, 'judged');
  mkdirSync(own);
  chmodSync(own, 0o755);
  const program = join(own, 'program');
  writeFileSync(program, `#!/bin/sh\necho "$0" > ${join(directory, 'name')}\n`, { mode: 0o755 });
  symlinkSync(program, join(own, 'link'));
  assert.is((await run([join(own, 'link')])).reason, null);
  assert.is(readFileSync(join(directory, 'name'), 'utf8'), `${realpathSync(program)}\n`);
  rmSync(join(directory, 'name'));
  for (const [path, mode, why] of [[program, 0o775, 'program may be written by its group'], [program, 0o757, 'program may be written by everybody'], [own, 0o777, 'judged may be written by everybody']] as const) {
    chmodSync(path, mode);
    const { isOk, reason } = await run([join(own, 'link')]);
    assert.is(isOk, false);
    assert.match(reason!, new RegExp(`^not run: .*/${why}`));
    chmodSync(path, 0o755);
  }
  if (isRoot) {
    chownSync(program, 65_534, 65_534);
    assert.match((await run([program])).reason!, /program belongs to user 65534; it must belong to root/);
  }
  assert.not.ok(existsSync(join(directory, 'name')));
});

test('with setsWeight the exit code may be a weight, as in keepalived; without it is not', async () => {
  for (const [code, weight] of [[2, 0], [3, 1], [102, 100], [255, 253]]) {
    const result = await run(sh(`exit ${code}`), { setsWeight: true });
    assert.equal([result.isOk, result.weight, result.reason], [true, weight, null], `${code}`);
  }
  const plain = await run(['/bin/true'], { setsWeight: true });
  assert.equal([plain.isOk, plain.weight], [true, undefined]);
  assert.equal([(await run(sh('exit 1'), { setsWeight: true })).isOk, (await run(sh('kill -9 $$'), { setsWeight: true })).isOk], [false, false]);
  const without = await run(sh('exit 2'));
  assert.equal([without.isOk, without.weight], [false, undefined]);
});

test('at the time limit it is killed with all it has started', async () => {
  const file = join(directory, 'pids');
  const result = await run(sh('sleep 60 & echo $! $$ > $1; wait', file), {}, {}, 2000);
  assert.is(result.reason, 'timed out');
  const pids = readFileSync(file, 'utf8').trim().split(' ').map(Number);
  assert.is(pids.length, 2);
  await until('both are gone', () => !pids.some(isAlive));
});

test('what it leaves behind when it ends is killed, and does not hold it up', async () => {
  const file = join(directory, 'left');
  const startMs = performance.now();
  const result = await run(sh('sleep 60 & echo $! > $1', file));
  assert.is(result.reason, null);
  assert.ok(performance.now() - startMs < 30_000);
  const pid = Number(readFileSync(file, 'utf8'));
  await until('it is gone', () => !isAlive(pid));
});

test('it may write without end: that holds up neither it nor us', async () => {
  assert.is((await run(sh('head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2'))).reason, null);
  const long = (await run(sh('head -c 100000 /dev/zero | tr "\\0" x; exit 1'))).reason as string;
  assert.ok(long.length < 200, `${long.length}`);
  assert.is((await run(['/usr/bin/yes'], {}, {}, 300)).reason, 'timed out');
});

test('it runs as another user, in that one\'s group and no other', async () => {
  if (!isRoot) return;
  const open = mkdtempSync(join(tmpdir(), 'weir-script-open-'));
  try {
    chmodSync(open, 0o777);
    const file = join(open, 'who');
    assert.is((await run(sh('{ id -un; id -G; echo $HOME $USER; } > $1', file), { user: 'nobody' })).reason, null);
    const nobody = findUser('nobody');
    assert.ok(nobody !== null);
    assert.equal(readFileSync(file, 'utf8').trim().split('\n'), ['nobody', String(nobody.gid), `${nobody.home} nobody`]);
  } finally {
    rmSync(open, { recursive: true, force: true });
  }
});

test('nobody of that name', async () => {
  assert.is((await run(['/bin/true'], { user: 'nobody-of-that-name' })).reason, "no user 'nobody-of-that-name'");
});

test('users are found by name and by number', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\n# a comment\nprobe:x:1001:1002::/home/probe:/bin/sh\nbare:x:7:8::\n';
  assert.equal(findUser('probe', passwd), { uid: 1001, gid: 1002, home: '/home/probe' });
  assert.equal(findUser('1001', passwd), { uid: 1001, gid: 1002, home: '/home/probe' });
  assert.equal(findUser('bare', passwd), { uid: 7, gid: 8, home: '/' });
  assert.is(findUser('prob', passwd), null);
  assert.is(findUser('', passwd), null);
});

test.run();
