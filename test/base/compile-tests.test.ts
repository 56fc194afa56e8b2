/** What `npm test` runs is made of the sources as they are, whatever became of an earlier compilation (scripts/compile-tests). */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NOTES = 'build/tests/.tsbuildinfo';

interface Context { directory: string }
const test = suite<Context>('compile-tests');

/** A checkout of one file, whose compiler is killed behind its last file when there is a file `killed`: what it has noted stays as it was. */
test.before.each((context) => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-compile-'));
  context.directory = directory;
  for (const name of ['scripts', 'src', 'node_modules/.bin']) mkdirSync(join(directory, name), { recursive: true });
  for (const name of ['scripts/compile-tests', 'tsconfig.json', 'tsconfig.test.json', 'package.json']) copyFileSync(join(ROOT, name), join(directory, name));
  symlinkSync(join(ROOT, 'node_modules/@types'), join(directory, 'node_modules/@types'));
  symlinkSync(join(ROOT, 'node_modules/undici-types'), join(directory, 'node_modules/undici-types'));
  const tsc = join(directory, 'node_modules/.bin/tsc');
  writeFileSync(tsc, `#!/bin/bash
if [ -e killed ]; then
  "${ROOT}/node_modules/.bin/tsc" "\${@:1:$#-3}"
  kill -KILL $$
fi
exec "${ROOT}/node_modules/.bin/tsc" "$@"
`);
  chmodSync(tsc, 0o755);
});

test.after.each(({ directory }) => { rmSync(directory, { recursive: true, force: true }); });

test('one that was cut short is not built upon', ({ directory }) => {
  const source = (text: string): void => writeFileSync(join(directory, 'src/one.ts'), text);
  const compiled = (): string => readFileSync(join(directory, 'build/tests/src/one.js'), 'utf8');
  const compile = (): number | null => spawnSync(join(directory, 'scripts/compile-tests')).status;
  source('export const one = 1;\n');
  assert.is(compile(), 0);
  assert.match(compiled(), 'one = 1');
  source('export const one = 2;\n');
  execFileSync('touch', [join(directory, 'killed')]);
  assert.is.not(compile(), 0);
  assert.match(compiled(), 'one = 2');
  assert.not.ok(existsSync(join(directory, NOTES)), 'nothing says that it is whole');
  source('export const one = 1;\n');
  rmSync(join(directory, 'killed'));
  assert.is(compile(), 0);
  assert.match(compiled(), 'one = 1');
  assert.ok(existsSync(join(directory, NOTES)));
});

test('wrong types are told each time, and all is written', ({ directory }) => {
  writeFileSync(join(directory, 'src/one.ts'), "export const one: number = 'one';\n");
  for (let i = 0; i < 2; i++) {
    const run = spawnSync(join(directory, 'scripts/compile-tests'), { encoding: 'utf8' });
    assert.is(run.status, 2);
    assert.match(run.stdout, 'src/one.ts(1,14)');
    assert.ok(existsSync(join(directory, 'build/tests/src/one.js')));
    assert.ok(existsSync(join(directory, NOTES)));
  }
});

test.run();
