/** `weir selftest` on this machine: every row of the conformance table stands somewhere, what a lab can show is measured, nothing fails. */
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { run } from '../../netns/kit/command.js';
import { rows } from '../../scripts/generate-conformance.js';
import { LOADER } from '../support/loader.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MEASURED_AT_LEAST = 20;

interface Result { id: string; standing: string; detail: string }

const selftest = (...args: string[]): ReturnType<typeof run> => run([process.execPath, ...LOADER, 'netns/selftest.ts', ...args], { cwd: ROOT, check: false, timeoutMs: 100_000 });

test('every row has its standing, enough are measured, none fails, and nothing is left', async () => {
  const { code, stdout, stderr } = await selftest('--json');
  const { ok, rows: results } = JSON.parse(stdout) as { ok: boolean; rows: Result[] };
  assert.equal(results.filter(({ standing }) => standing === 'FAILED'), [], stderr);
  assert.ok(ok);
  assert.is(code, 0, stderr);
  assert.equal(results.map(({ id }) => id), rows().map(({ id }) => id));
  // A row is measured here, or by a test, or as docs/conformance.md says.
  assert.equal([...new Set(results.map(({ standing }) => standing))].filter((standing) => !['measured', 'no', 'partial', 'test'].includes(standing)), []);
  assert.ok(results.filter(({ standing }) => standing === 'measured').length >= MEASURED_AT_LEAST);
  for (const { id, detail } of results) assert.ok(detail.length > 0, id);
});

test('a mistyped option is a usage error', async () => {
  const { code, stderr } = await selftest('--fast');
  assert.is(code, 2);
  assert.match(stderr, /usage: weir selftest/);
});

test.run();
