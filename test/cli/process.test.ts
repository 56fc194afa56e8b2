/**
 * The command line as a process: exit codes, a reader that leaves early, a listing larger than the memory it may use, signals,
 * and bin/weir. A copy of only the files the command line may know, with a daemon made for the test, shows what it needs.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryDirectory, until, withApi } from '../support/api.js';
import { fakeFlow } from '../support/fake-view.js';
import { LOADER } from '../support/loader.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** For a copy, of which nothing is compiled. */
const tsx = ['--import', pathToFileURL(join(root, 'node_modules', 'tsx', 'dist', 'esm', 'index.mjs')).href];

interface Ended { code: number | null; signal: NodeJS.Signals | null; out: string; err: string }

const running = new Set<ChildProcess>();
process.once('exit', () => { for (const child of running) child.kill('SIGKILL'); });

/** Start a program and collect what it writes. */
function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): { child: ChildProcess; ended: Promise<Ended>; out: () => string } {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  running.add(child);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); });
  child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString(); });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => { running.delete(child); resolve({ code, signal, out, err }); });
  });
  return { child, ended, out: () => out };
}

/** `weir ...args` from a root: the repository's own unless another is given. */
function weir(args: readonly string[], from = root, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return start(process.execPath, [...(from === root ? LOADER : tsx), join(from, 'src', 'main.ts'), ...args], env).ended;
}

/** A package with nothing of src/ but what the command line may know, and a daemon and a lab made for the test. */
function copyOfCommandLine(): string {
  const copy = temporaryDirectory();
  for (const part of ['package.json', 'src/main.ts', 'src/base', 'src/cli', 'src/control/api/types.ts']) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  writeFileSync(join(copy, 'src', 'daemon.ts'), `
    import { ConfigErrors } from './base/error.js';
    const system = (fields: object): Error => Object.assign(new Error('Operation not permitted'), { errno: -1, ...fields });
    export async function runDaemon(file: string, options: unknown): Promise<number> {
      switch (file) {
        case 'tun': throw system({ code: 'EPERM', syscall: 'ioctl TUNSETIFF' });
        case 'mkdir': throw system({ code: 'EACCES', syscall: 'mkdir', path: '/run/weir' });
        case 'nodev': throw Object.assign(new Error('no such device: eth7'), { code: 'ENODEV', errno: -19, syscall: 'bind' });
        case 'config': throw new ConfigErrors([{ file: 'a.yaml', line: 2, column: 3, path: 'links.lan.type', found: '"tab"', allowed: 'tap, raw or tun' }], []);
        case 'bug': throw new TypeError('x is not a function');
        default: process.stdout.write(JSON.stringify([file, options])); return 5;
      }
    }`);
  mkdirSync(join(copy, 'scripts'));
  return copy;
}

test('help and a usage error as processes', async () => {
  const help = await weir(['--help']);
  assert.is(help.code, 0);
  assert.match(help.out, /^Usage: weir/);
  const wrong = await weir(['bogus']);
  assert.is(wrong.code, 2);
  assert.is(wrong.out, '');
});

test('status as a process: up, degraded, not running', async () => {
  for (const degraded of [false, true]) {
    await withApi({ degraded }, async ({ socket }) => {
      const { code, out, err } = await weir(['status'], root, { WEIR_SOCKET: socket });
      assert.is(code, degraded ? 1 : 0, err);
      assert.not.ok(out.includes('\u001b'), 'no colours into a pipe');
    });
  }
  const gone = await weir(['status', '--socket', '/nowhere/weir.sock']);
  assert.equal([gone.code, gone.out], [3, '']);
});

test('how each failure of the daemon ends: its exit code, a line or two, no stack unless the mistake is ours', async () => {
  const copy = copyOfCommandLine();
  const rows: [file: string, code: number, err: RegExp][] = [
    ['mkdir', 77, /^weir: no permission: Operation not permitted \(EACCES, mkdir \/run\/weir\)\n {2}run it as root, or give this user the right to \/run\/weir\n$/],
    ['nodev', 71, /^weir: no such device: eth7 \(ENODEV, bind\)\n$/],
    ['config', 78, /^a\.yaml:2:3: links\.lan\.type: found "tab", allowed: tap, raw or tun\n$/],
    ['tun', 77, /^weir: no permission: Operation not permitted \(EPERM, ioctl TUNSETIFF\)\n {2}(missing: CAP_NET_ADMIN\n.*AmbientCapabilities|the process holds CAP_NET_ADMIN)/],
    ['bug', 1, /a mistake in weir itself[^]*TypeError: x is not a function\n\s+at .*runDaemon/],
  ];
  for (const [file, code, err] of rows) {
    const ended = await weir(['run', '-c', file], copy);
    assert.is(ended.code, code, file + ended.err);
    assert.match(ended.err, err, file);
    if (file !== 'bug') assert.not.match(ended.err, /\n\s+at /);
    assert.is(ended.out, '');
  }
  const fine = await weir(['run', '-c', 'good.yaml', '--log-level', 'debug'], copy);
  assert.is(fine.code, 5);
  assert.equal(JSON.parse(fine.out), ['good.yaml', { version: '0.1.0', logLevel: 'debug' }]);
});

test('lab runs the program of the checkout, and an interrupt leaves it time to clean up', async () => {
  const copy = copyOfCommandLine();
  const missing = await weir(['lab', 'multiwan'], copy);
  assert.is(missing.code, 69);
  assert.match(missing.err, /part of a checkout/);

  const program = join(copy, 'scripts', 'lab');
  writeFileSync(program, '#!/bin/sh\n[ "$1" = fail ] && exit 3\ntrap \'echo cleaned; exit 9\' TERM\necho "up $*"\ni=0; while [ $i -lt 600 ]; do sleep 0.05; i=$((i+1)); done\n');
  chmodSync(program, 0o755);
  assert.is((await weir(['lab', 'fail'], copy)).code, 3);
  const lab = start(process.execPath, [...tsx, join(copy, 'src', 'main.ts'), 'lab', 'multiwan', '--raw']);
  await until('the lab is up', () => lab.out().includes('up multiwan --raw\n'), 20_000);
  lab.child.kill('SIGINT');
  lab.child.kill('SIGTERM');
  const ended = await lab.ended;
  assert.equal([ended.code, ended.out], [9, 'up multiwan --raw\ncleaned\n']);
});

test('a reader that leaves early ends a listing quietly, in text and in JSON', async () => {
  await withApi({ flows: 1_000_000 }, async ({ socket, view }) => {
    for (const json of ['', '-j']) {
      const { ended } = start('bash', ['-c', 'set -o pipefail; "$@" | head -c 200 >/dev/null; echo "${PIPESTATUS[0]}"', 'bash', process.execPath, ...LOADER, join(root, 'src', 'main.ts'), 'flows', ...(json === '' ? [] : [json]), '--socket', socket]);
      const { out, err } = await ended;
      assert.is(out.trim(), '0', json);
      assert.is(err, '', json);
    }
    assert.ok(view.calls < 100, `stopped after ${view.calls} of 1000 pages`);
  });
});

test('a listing larger than the memory the process may have arrives whole', async () => {
  const flows = 300_000;
  await withApi({ flows }, async ({ socket }) => {
    // 130 MB of JSON through a heap of 40 MB: held in one piece, in any form, it would not fit.
    const child = spawn(process.execPath, ['--max-old-space-size=40', ...LOADER, join(root, 'src', 'main.ts'), 'flows', '-j', '--socket', socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    running.add(child);
    const found = createHash('sha1');
    let length = 0;
    child.stdout.on('data', (chunk: Buffer) => { found.update(chunk); length += chunk.length; });
    const code = await new Promise((resolve) => { child.on('close', resolve); });
    running.delete(child);
    assert.is(code, 0);
    const expected = createHash('sha1').update('{"schemaVersion":1,"flows":[');
    for (let i = 0; i < flows; i++) expected.update((i === 0 ? '' : ',') + JSON.stringify(fakeFlow(i)));
    expected.update(`],"nextCursor":null,"total":${flows},"limit":1048576}\n`);
    assert.ok(length > 100_000_000, `${length} bytes`);
    assert.is(found.digest('hex'), expected.digest('hex'));
  });
});

test('bin/weir finds its program through links, hands arguments and exit code on, and says when nothing is built', async () => {
  const directory = temporaryDirectory();
  const home = join(directory, 'with space');
  mkdirSync(join(home, 'bin'), { recursive: true });
  cpSync(join(root, 'bin', 'weir'), join(home, 'bin', 'weir'));
  symlinkSync(join(home, 'bin', 'weir'), join(directory, 'first'));
  symlinkSync('first', join(directory, 'weir'));
  const unbuilt = await start(join(directory, 'weir'), ['status']).ended;
  assert.is(unbuilt.code, 69);
  assert.match(unbuilt.err, /^weir: not built yet: run 'npm run build' in .*with space\n$/);

  mkdirSync(join(home, 'dist'));
  writeFileSync(join(home, 'dist', 'main.js'), 'console.log(JSON.stringify(process.argv.slice(2))); process.exit(7);');
  const built = await start(join(directory, 'weir'), ['a b', '--c', '']).ended;
  assert.equal([built.code, built.out, built.err], [7, '["a b","--c",""]\n', '']);
});

test.run();
