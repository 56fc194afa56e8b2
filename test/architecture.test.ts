/**
 * Holds the layering: who may import whom, that the data plane neither waits nor reads a clock, and that every file says what it is. The same
 * checks then run over a small tree with one mistake of each kind in it, which they must find.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/** From the ground up; a file imports from its own layer and from rows below, never from a neighbour in its row. */
const ROWS: readonly (readonly string[])[] = [
  ['base'], ['wire'], ['link'], ['table'], ['balance', 'alg'], ['stage'], ['pipeline.ts'], ['health', 'share', 'vrrp'], ['control'], ['cli', 'web'],
  ['daemon', 'daemon.ts', 'dataplane.ts', 'main.ts', 'offload.ts'],
];
const TOP = ROWS.length - 1;
const DATA_PLANE: readonly string[] = ['wire', 'table', 'balance', 'alg', 'stage', 'pipeline.ts'];
const ADDON_LOADER = 'node-gyp-build';

/** What the data plane must not hold: it never waits, and gets its time as an argument. */
const FORBIDDEN: readonly (readonly [string, RegExp])[] = [
  ['await', /\bawait\b/], ['a timer', /\b(setTimeout|setInterval|setImmediate|queueMicrotask|nextTick)\b/],
  ['a clock', /\bDate\.now\b|\bperformance\b|\bhrtime\b|\bnew Date\b/], ['unseeded chance', /\bMath\.random\b/], ['console', /\bconsole\b/],
];

interface Source { path: string; text: string; code: string; imports: string[] }

/** Code without comments, strings kept. */
function withoutComments(text: string): string {
  return text.replaceAll(/("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (_match, string: string | undefined) => string ?? ' ');
}

/** Everything a file names as a module: imports, exports from, dynamic imports, require, and files it starts as a worker. */
function importsOf(code: string): string[] {
  const found: string[] = [];
  for (const pattern of [/\b(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/g, /\bimport\s*\(?\s*['"]([^'"]+)['"]/g, /\brequire\s*(?:as[^)]*\))?\s*\(\s*['"]([^'"]+)['"]/g, /\bnew URL\(\s*['"]([^'"]+)['"]\s*,\s*import\.meta\.url/g]) {
    for (const match of code.matchAll(pattern)) found.push(match[1]);
  }
  return found;
}

function read(root: string): Source[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const file = join(entry.parentPath ?? entry.path, entry.name);
      const text = readFileSync(file, 'utf8');
      const code = withoutComments(text);
      return { path: relative(root, file).split(sep).join('/'), text, code, imports: importsOf(code) };
    });
}

const layerOf = (path: string): string => path.split('/')[0];
const rowOf = (path: string): number => ROWS.findIndex((row) => row.includes(layerOf(path)));

/** Every way in which a tree breaks the rules, a sentence each. */
function mistakes(root: string): string[] {
  const found: string[] = [];
  for (const { path, text, code, imports } of read(root)) {
    const row = rowOf(path);
    if (row < 0) found.push(`${path}: belongs to no layer`);
    if (!/^(#![^\n]*\n)?\/\*\*?[^*]/.test(text) || text.slice(0, text.indexOf('*/')).split(/\s+/).length < 6) found.push(`${path}: does not begin by saying what it is`);
    for (const name of imports) {
      if (!name.startsWith('.')) {
        if (name === ADDON_LOADER && path !== 'link/native.ts') found.push(`${path}: imports the addon`);
        if (name.endsWith('.node')) found.push(`${path}: imports the addon`);
        if (DATA_PLANE.includes(layerOf(path)) && name !== 'node:net') found.push(`${path}: needs ${name} in the data plane`);
        continue;
      }
      const target = posix.join(dirname(path), name).replace(/\.js$/, '.ts');
      const isOwn = layerOf(target) === layerOf(path);
      if (target.startsWith('..')) found.push(`${path}: imports ${name} from outside of the tree`);
      else if (rowOf(target) < 0) found.push(`${path}: imports ${target}, of no layer`);
      else if (rowOf(target) > row || (rowOf(target) === row && !isOwn && row !== TOP)) found.push(`${path}: imports ${target} from above or beside`);
      if (layerOf(path) === 'cli' && !isOwn && layerOf(target) !== 'base' && target !== 'control/api/types.ts') found.push(`${path}: the CLI imports ${target}`);
    }
    if (DATA_PLANE.includes(layerOf(path))) {
      for (const [what, pattern] of FORBIDDEN) if (pattern.test(code)) found.push(`${path}: holds ${what}`);
    }
  }
  return found;
}

test('src/ keeps to its layers', () => {
  assert.equal(mistakes(SRC), []);
});

test('the check reads what is there: every layer that exists, and imports across them', () => {
  const sources = read(SRC);
  assert.ok(sources.length > 50, `${sources.length} files`);
  for (const layer of ['base', 'wire', 'link', 'table', 'balance', 'stage', 'pipeline.ts', 'control', 'cli']) {
    assert.ok(sources.some(({ path }) => layerOf(path) === layer), layer);
  }
  const pipeline = sources.find(({ path }) => path === 'pipeline.ts') as Source;
  assert.ok(pipeline.imports.includes('./stage/route.js'));
  assert.ok(sources.some(({ path, imports }) => path === 'link/native.ts' && imports.includes(ADDON_LOADER)));
  // Every relative import names a file that exists: the reading of paths is right.
  const paths = new Set(sources.map(({ path }) => path));
  for (const { path, imports } of sources) {
    for (const name of imports.filter((n) => n.startsWith('./') && n.endsWith('.js'))) {
      const target = posix.join(dirname(path), name).replace(/\.js$/, '.ts');
      assert.ok(paths.has(target), `${path} imports ${name}`);
    }
  }
});

test('what the store was asked about goes on by the very stages it was taken from', () => {
  const text = readFileSync(join(SRC, 'pipeline.ts'), 'utf8');
  const stagesOf = (name: string): string[] => {
    const body = new RegExp(`^export function ${name}\\(.*\\{\\n([^}]*)^\\}`, 'm').exec(text)?.[1] ?? '';
    return [...body.matchAll(/(\w+)\(p, r\)/g)].map(([, stage]) => stage);
  };
  const whole = stagesOf('receive');
  assert.is(whole[0], 'ingress');
  assert.equal(stagesOf('retry'), whole.slice(whole.indexOf('track')));
});

const HEAD = '/** A file that says in some words what it is. */\n';

/** One mistake each; what the check must say, and the file it must say it about. */
const PLANTED: readonly { path: string; text: string; says: string }[] = [
  { path: 'base/up.ts', text: `${HEAD}import { x } from '../wire/good.js';\n`, says: 'imports wire/good.ts from above or beside' },
  { path: 'wire/type.ts', text: `${HEAD}import type { X } from '../table/good.js';\n`, says: 'imports table/good.ts from above or beside' },
  { path: 'wire/lines.ts', text: `${HEAD}import {\n  x,\n  y,\n} from '../stage/good.js';\n`, says: 'imports stage/good.ts from above or beside' },
  { path: 'link/dynamic.ts', text: `${HEAD}export const x = () => import('../table/good.js');\n`, says: 'imports table/good.ts from above or beside' },
  { path: 'stage/again.ts', text: `${HEAD}export * from '../pipeline.js';\n`, says: 'imports pipeline.ts from above or beside' },
  { path: 'health/beside.ts', text: `${HEAD}import '../vrrp/good.js';\n`, says: 'imports vrrp/good.ts from above or beside' },
  { path: 'control/worker.ts', text: `${HEAD}new Worker(new URL('../dataplane.js', import.meta.url));\n`, says: 'imports dataplane.ts from above or beside' },
  { path: 'cli/table.ts', text: `${HEAD}import { x } from '../table/good.js';\n`, says: 'the CLI imports table/good.ts' },
  { path: 'cli/view.ts', text: `${HEAD}import { x } from '../control/view.js';\n`, says: 'the CLI imports control/view.ts' },
  { path: 'link/raw.ts', text: `${HEAD}require('node-gyp-build')('.');\n`, says: 'imports the addon' },
  { path: 'table/fs.ts', text: `${HEAD}import { readFileSync } from 'node:fs';\n`, says: 'needs node:fs in the data plane' },
  { path: 'stage/waits.ts', text: `${HEAD}export const x = async () => { await 1; };\n`, says: 'holds await' },
  { path: 'balance/timer.ts', text: `${HEAD}setTimeout(() => {}, 1);\n`, says: 'holds a timer' },
  { path: 'table/clock.ts', text: `${HEAD}export const x = Date.now();\n`, says: 'holds a clock' },
  { path: 'wire/chance.ts', text: `${HEAD}export const x = Math.random();\n`, says: 'holds unseeded chance' },
  { path: 'pipeline.ts', text: `${HEAD}console.log(1);\n`, says: 'holds console' },
  { path: 'wire/silent.ts', text: 'export const x = 1;\n', says: 'does not begin by saying what it is' },
  { path: 'wire/curt.ts', text: '/** Curt. */\nexport const x = 1;\n/** Words that come too late to count for it. */\n', says: 'does not begin by saying what it is' },
  { path: 'utils/any.ts', text: HEAD, says: 'belongs to no layer' },
  { path: 'base/out.ts', text: `${HEAD}import { x } from '../../test/x.js';\n`, says: 'from outside of the tree' },
];

/** Right ones, which the check must leave in peace. */
const RIGHT: readonly { path: string; text: string }[] = [
  { path: 'wire/good.ts', text: `${HEAD}// await setTimeout Date.now() are words in a comment.\nimport { x } from '../base/good.js';\nimport { isIPv4 } from 'node:net';\n` },
  { path: 'control/good.ts', text: `${HEAD}import { x } from '../pipeline.js';\nexport const y = async () => { await x; };\n` },
  { path: 'cli/good.ts', text: `${HEAD}import type { Status } from '../control/api/types.js';\nimport { x } from '../base/good.js';\nimport { y } from './other.js';\nimport { Command } from 'commander';\n` },
  { path: 'link/native.ts', text: `${HEAD}require('node-gyp-build')('.');\n` },
  { path: 'main.ts', text: `#!/usr/bin/env node\n${HEAD}import { x } from './daemon.js';\nimport { y } from './cli/good.js';\n` },
];

test('a mistake of each kind is found, each where it is, and nothing else', () => {
  const root = mkdtempSync(join(tmpdir(), 'weir-layers-'));
  try {
    for (const { path, text } of [...PLANTED, ...RIGHT]) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const found = mistakes(root);
    for (const { path, says } of PLANTED) assert.ok(found.some((mistake) => mistake.startsWith(`${path}: `) && mistake.includes(says)), `${path} ${says}, not among:\n${found.join('\n')}`);
    for (const { path } of RIGHT) assert.equal(found.filter((mistake) => mistake.startsWith(`${path}: `)), []);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test.run();
