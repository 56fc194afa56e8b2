/** `weir import` as a person meets it: output, remarks, exit codes, options that do not go together, standard input. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImportRequest } from '../../src/cli/command.js';
import { temporaryDirectory } from '../support/api.js';
import { weir } from '../support/cli.js';
import { LOADER } from '../support/loader.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const fixture = (name: string): string => join(root, 'test', 'control', 'import', name);

/** The whole program, with what it reads from standard input. */
function run(args: readonly string[], input = ''): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...LOADER, join(root, 'src', 'main.ts'), ...args], { input, encoding: 'utf8', timeout: 60_000 });
  return { code: status, out: stdout, err: stderr };
}

test('options reach the import, remarks go to standard error and make it exit 1', async () => {
  const requests: ImportRequest[] = [];
  const actions = { import: async (request: ImportRequest) => { requests.push(request); return { yaml: 'links: {}\n', remarks: requests.length === 1 ? [] : ['a', 'b'] }; } };
  const rules = fixture('lvs-nat.rules');
  assert.equal(await weir(['import', 'ipvsadm', rules, '--link', 'wan=eth0,10.0.0.1/8,10.0.0.2/8', '--link', 'lan=eth1', '--gateway', '10.0.0.9', '--mark', '1=10.0.0.1:80/tcp,10.0.0.1:81/tcp'], { actions }),
    { exitCode: 0, out: 'links: {}\n', err: '', writes: 1 });
  assert.equal(requests[0], {
    format: 'ipvsadm', name: rules, text: readFileSync(rules, 'utf8'), links: [{ name: 'wan', device: 'eth0', addresses: ['10.0.0.1/8', '10.0.0.2/8'] }, { name: 'lan', device: 'eth1', addresses: [] }],
    marks: [{ mark: 1, listens: ['10.0.0.1:80/tcp', '10.0.0.1:81/tcp'] }], gateway: '10.0.0.9',
  });
  const second = await weir(['import', 'bng', fixture('seed.conf')], { actions });
  assert.equal([second.exitCode, second.out, second.err], [1, 'links: {}\n', 'a\nb\n']);
});

test('usage', async () => {
  const rules = fixture('lvs-nat.rules');
  for (const [args, said] of [
    [['import'], "missing required argument 'format'"],
    [['import', 'nginx', rules], 'Allowed choices are ipvsadm, keepalived, bng'],
    [['import', 'bng', rules, '--instance', 'a'], '--instance is for keepalived: no other file is for several boxes'],
    [['import', 'ipvsadm'], "missing required argument 'file'"],
    [['import', 'ipvsadm', rules, '--link', 'wan'], 'It must be NAME=DEVICE or NAME=DEVICE,ADDRESS/LENGTH,…'],
    [['import', 'ipvsadm', rules, '--link', 'wan=eth0', '--link', 'wan=eth1'], 'wan is given twice.'],
    [['import', 'ipvsadm', rules, '--mark', '0=1.2.3.4:80/tcp'], 'It must be MARK=ADDRESS:PORT/PROTOCOL,…'],
    [['import', 'ipvsadm', rules, '--mark', '1=1.2.3.4:80/tcp', '--mark', '1=1.2.3.4:81/tcp'], '1 is given twice.'],
    [['import', 'bng', rules, '--gateway', '1.2.3.4'], '--gateway is for ipvsadm and keepalived; a bng.conf is a whole configuration'],
    [['import', 'bng', rules, '--into', 'x'], '--into is for ipvsadm and keepalived; a bng.conf is a whole configuration'],
    [['import', 'ipvsadm', rules, '--into', 'x', '--gateway', '1.2.3.4'], '--into goes without --link and --gateway: the configuration it names has them'],
  ] as const) {
    const { exitCode, out, err } = await weir(args);
    assert.equal([exitCode, out], [2, ''], args.join(' '));
    assert.ok(err.includes(said), err);
  }
});

test('a file that cannot be read is told in one line and exits 78', async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'binary'), Buffer.from([0xff, 0xfe, 0x00]));
  for (const [name, found] of [['none', 'no such file (ENOENT)'], ['.', 'a directory (EISDIR)'], ['binary', 'bytes that are not UTF-8']] as const) {
    const { exitCode, out, err } = await weir(['import', 'bng', join(directory, name)]);
    assert.equal([exitCode, out, err.split('\n').length], [78, '', 2], name);
    assert.ok(err.startsWith(`${join(directory, name)}: found ${found}, allowed: `), err);
  }
});

test('as a program: what is printed is sound for weir check, alone and as a drop-in', () => {
  const directory = temporaryDirectory();
  const main = join(directory, 'weir.yaml');
  const seed = run(['import', 'bng', fixture('seed.conf')]);
  assert.equal([seed.code, seed.err], [0, '']);
  writeFileSync(main, seed.out);
  assert.equal(run(['check', '-c', main]).code, 0);

  const rules = readFileSync(fixture('lvs-nat.rules'), 'utf8');
  const guessed = run(['import', 'ipvsadm', '-'], rules);
  assert.is(guessed.code, 1);
  assert.match(guessed.err, /^standard input: guessed: link outside \(eth0, 202\.103\.106\.5\/24\)/);
  writeFileSync(main, guessed.out);
  assert.equal(run(['check', '-c', main]).code, 0);

  const links = run(['import', 'ipvsadm', '-', '--link', 'wan=eth0,202.103.106.5/24', '--link', 'lan=eth1,172.16.0.1/24', '--gateway', '202.103.106.1'], rules);
  assert.equal([links.code, links.err], [0, '']);
  writeFileSync(main, links.out);
  assert.equal(run(['check', '-c', main]).code, 0);

  const pair = run(['import', 'keepalived', fixture('keepalived.conf'), '--instance', 'lb1']);
  assert.is(pair.code, 1);
  assert.match(pair.err, /keepalived\.d\/10-shop\.conf:17:5: left out: quorum_down/);
  writeFileSync(main, pair.out);
  assert.equal(run(['check', '-c', main]).code, 0);

  // The shell makes the drop-in before it is read.
  writeFileSync(main, links.out.replace(/^virtualServers:[\s\S]*?(?=^\S|\n\n)/m, ''));
  mkdirSync(`${main}.d`);
  writeFileSync(join(`${main}.d`, 'servers.yaml'), '');
  const dropIn = run(['import', 'ipvsadm', fixture('lvs-nat.rules'), '--into', main]);
  assert.equal([dropIn.code, dropIn.err, dropIn.out.includes('links:')], [0, '', false]);
  writeFileSync(join(`${main}.d`, 'servers.yaml'), dropIn.out);
  const checked = run(['check', '-c', main, '-j']);
  assert.equal([checked.code, (JSON.parse(checked.out) as { ok: boolean }).ok], [0, true]);
});

test('a keepalived.conf is read with what it includes, by patterns, from the folder it stands in', async () => {
  const read = new Map<string, string>();
  const actions = {
    import: async ({ include, instance, name }: ImportRequest) => {
      for (const pattern of ['keepalived.d/*.conf', 'keepalived.d/[12]0-n?mes.conf', 'nothing/*.conf', '{a,b}.conf']) {
        const found = include!(pattern, name);
        read.set(pattern, typeof found === 'string' ? found : found.map(({ file, text }) => `${file.slice(file.lastIndexOf('/') + 1)} ${text.split('\n')[0]}`).join());
      }
      return { yaml: `# ${instance}\n`, remarks: [] };
    },
  };
  assert.equal(await weir(['import', 'keepalived', fixture('keepalived.conf'), '--instance', 'lb1'], { actions }), { exitCode: 0, out: '# lb1\n', err: '', writes: 1 });
  assert.equal([...read.values()], [
    '10-shop.conf # The shop itself, plain and by TLS: a client has one server for both.,20-names.conf # Names and mail.', '20-names.conf # Names and mail.',
    'there is no such file', 'braces in a pattern are not taken apart: include its files one by one',
  ]);
});

test('as a program: mistakes are told with their places, nothing is printed, and it exits 78', () => {
  const { code, out, err } = run(['import', 'ipvsadm', '-'], '-A -t 300.1.1.1:5\n-Q\n');
  assert.equal([code, out, err], [78, '', [
    'standard input:1:4: found 300.1.1.1:5 (not an IPv4 address), allowed: an IPv4 address, with or without a port',
    'standard input:2:1: found -Q, allowed: the options of ipvsadm(8)', '',
  ].join('\n')]);
  const gone = run(['import', 'ipvsadm', fixture('lvs-nat.rules'), '--into', '/nowhere/weir.yaml']);
  assert.equal([gone.code, gone.out], [78, '']);
  assert.match(gone.err, /^\/nowhere\/weir\.yaml: found no such file/);
});

test.run();
