/** From the disk: which files are read in which order, and what is told of those that cannot be. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigErrors, formatConfigError, formatConfigWarning } from '../../../src/base/error.js';
import { loadConfig } from '../../../src/control/config/index.js';
import { WHOLE } from './support.js';

interface Context { directory: string; file: string }

const test = suite<Context>('load');

test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'weir-config-'));
  context.file = join(context.directory, 'weir.yaml');
});
test.after.each((context) => {
  rmSync(context.directory, { recursive: true, force: true });
});

/** The lines told of a file, without the directory's name. */
function errorsOf({ directory, file }: Context): string[] {
  try {
    loadConfig(file);
  } catch (error) {
    if (!(error instanceof ConfigErrors)) throw error;
    return error.errors.map((one) => formatConfigError(one).replaceAll(`${directory}/`, ''));
  }
  return [];
}

test('a file alone, with a seed and a generation of its own', ({ file }) => {
  writeFileSync(file, WHOLE);
  const { plan, warnings } = loadConfig(file);
  assert.is(plan.links.length, 3);
  assert.equal(warnings, []);
  assert.is(plan.generation, 1);
  assert.ok(Number.isInteger(plan.seed) && plan.seed >= 0 && plan.seed < 2 ** 32);
  const seeds = new Set(Array.from({ length: 8 }, () => loadConfig(file).plan.seed));
  assert.ok(seeds.size > 1, 'every start has its own seed');
  const given = loadConfig(file, { seed: 5, generation: 9 }).plan;
  assert.equal([given.seed, given.generation], [5, 9]);
});

test('drop-ins in the order of their bytes; other files are told of, hidden ones are not', ({ directory, file }) => {
  writeFileSync(file, WHOLE);
  mkdirSync(`${file}.d`);
  writeFileSync(join(`${file}.d`, '9.yaml'), 'uplinks: { isp: { weight: 9 } }');
  writeFileSync(join(`${file}.d`, '10.yaml'), 'uplinks: { isp: { weight: 10 } }\nlimits: { flows: 2048 }');
  writeFileSync(join(`${file}.d`, 'A.yaml'), 'limits: { neighbours: 17 }');
  writeFileSync(join(`${file}.d`, 'a.yaml'), 'limits: { neighbours: 18 }');
  writeFileSync(join(`${file}.d`, '.b.yaml'), 'limits: { neighbours: 19 }');
  writeFileSync(join(`${file}.d`, 'c.yml'), 'limits: { neighbours: 20 }');
  writeFileSync(join(`${file}.d`, 'd.yaml~'), 'limits: { neighbours: 21 }');
  const { plan, warnings } = loadConfig(file);
  assert.is(plan.uplinks[0].weight, 9);
  assert.is(plan.limits.flows, 2048);
  assert.is(plan.limits.neighbours, 18);
  assert.equal(warnings.map((one) => formatConfigWarning(one).replaceAll(`${directory}/`, '')),
    ['weir.yaml.d/c.yml: warning: not read: only *.yaml is', 'weir.yaml.d/d.yaml~: warning: not read: only *.yaml is']);
});

test('a mistake in a drop-in is told with the name of the drop-in', (context) => {
  writeFileSync(context.file, WHOLE);
  mkdirSync(`${context.file}.d`);
  writeFileSync(join(`${context.file}.d`, '1.yaml'), 'limits:\n  flows: few\n');
  assert.equal(errorsOf(context), ['weir.yaml.d/1.yaml:2:10: limits.flows: found "few" (a text), allowed: 1024 to 16777216']);
});

test('a file that is not there', (context) => {
  assert.equal(errorsOf(context), ['weir.yaml: found no such file (ENOENT), allowed: a YAML file that can be read']);
  context.file = join(context.directory, 'no/weir.yaml');
  assert.equal(errorsOf(context), ['no/weir.yaml: found no such file (ENOENT), allowed: a YAML file that can be read']);
});

test('a directory in the place of a file', (context) => {
  mkdirSync(context.file);
  assert.equal(errorsOf(context), ['weir.yaml: found a directory (EISDIR), allowed: a YAML file that can be read']);
});

test('a drop-in that is a directory, and one that leads nowhere, and a mistake in YAML beside them', (context) => {
  writeFileSync(context.file, 'links: [');
  mkdirSync(join(`${context.file}.d`, 'a.yaml'), { recursive: true });
  symlinkSync('nowhere', join(`${context.file}.d`, 'b.yaml'));
  symlinkSync('c.yaml', join(`${context.file}.d`, 'c.yaml'));
  assert.equal(errorsOf(context), [
    'weir.yaml:1:9: syntax: found flow sequence in block collection must be sufficiently indented and end with a ], allowed: brackets that are closed, and lines indented more than the key they belong to',
    'weir.yaml.d/a.yaml: found a directory (EISDIR), allowed: a YAML file that can be read',
    'weir.yaml.d/b.yaml: found no such file (ENOENT), allowed: a YAML file that can be read',
    'weir.yaml.d/c.yaml: found symbolic links that lead in a circle (ELOOP), allowed: a YAML file that can be read',
  ]);
});

test('a file in the place of the drop-ins', (context) => {
  writeFileSync(context.file, WHOLE);
  writeFileSync(`${context.file}.d`, '');
  assert.equal(errorsOf(context), ['weir.yaml.d: found a file, allowed: a directory of drop-ins, *.yaml']);
});

test('a path that leads through a file', (context) => {
  writeFileSync(context.file, WHOLE);
  context.file = join(context.file, 'weir.yaml');
  assert.ok(errorsOf(context).includes('weir.yaml/weir.yaml: found a path that leads through something that is not a directory (ENOTDIR), allowed: a YAML file that can be read'));
});

test('a file that may not be read', (context) => {
  writeFileSync(context.file, WHOLE);
  chmodSync(context.file, 0);
  chmodSync(context.directory, 0o755);
  // Root may read anything, so an ordinary user has to ask.
  const program = `
    import { loadConfig } from ${JSON.stringify(new URL('../../../src/control/config/index.ts', import.meta.url).href)};
    if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
    try { loadConfig(process.argv[1]); } catch (error) { process.stdout.write(error.message); }
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', program, context.file],
    { encoding: 'utf8', cwd: fileURLToPath(new URL('../../..', import.meta.url)), env: { ...process.env, TSX_DISABLE_CACHE: '1' } });
  assert.is(stdout.replaceAll(`${context.directory}/`, ''), 'weir.yaml: found a file that may not be read (EACCES), allowed: a YAML file that can be read', stderr);
});

test('bytes that are not text', (context) => {
  writeFileSync(context.file, Buffer.from([0x6c, 0x3a, 0x20, 0xff, 0xfe]));
  assert.equal(errorsOf(context), ['weir.yaml: found bytes that are not UTF-8, allowed: YAML in UTF-8']);
});

test('a file beyond all measure', (context) => {
  writeFileSync(context.file, Buffer.alloc(16 * 1024 * 1024 + 1, '#'));
  assert.equal(errorsOf(context), ['weir.yaml: found 16777217 bytes, allowed: at most 16777216 bytes']);
});

test.run();
