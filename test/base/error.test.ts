/** The shapes of errors: which exit code each ends in, and what an operator's mistake looks like when it is printed. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ConfigErrors, EXIT_CONFIG, EXIT_FAILED, EXIT_NO_PERMISSION, EXIT_SYSTEM, exitCodeOf, formatConfigError, formatConfigWarning, isPermissionError, isSystemError,
} from '../../src/base/error.js';

const MISTAKE = { file: 'weir.yaml', line: 3, column: 9, path: 'links.lan.mtu', found: '100', allowed: '576 to 65535' };

test('a mistake is one line with its place; without one, only the file and the path it has', () => {
  assert.is(formatConfigError(MISTAKE), 'weir.yaml:3:9: links.lan.mtu: found 100, allowed: 576 to 65535');
  assert.is(formatConfigError({ ...MISTAKE, line: 0, column: 0, path: '' }), 'weir.yaml: found 100, allowed: 576 to 65535');
  assert.is(formatConfigWarning({ file: 'weir.yaml', line: 1, column: 2, path: 'links', message: 'why' }), 'weir.yaml:1:2: links: warning: why');
});

test('mistakes are printed without a stack, even when nobody catches them', () => {
  const error = new ConfigErrors([MISTAKE, MISTAKE], []);
  const line = formatConfigError(MISTAKE);
  assert.is(error.message, `${line}\n${line}`);
  assert.is(error.stack, error.message);
});

test('exit codes', () => {
  const system = (code: string): Error => Object.assign(new Error(code), { code, errno: -1, syscall: 'ioctl TUNSETIFF' });
  assert.is(exitCodeOf(new ConfigErrors([MISTAKE], [])), EXIT_CONFIG);
  assert.is(exitCodeOf(system('EPERM')), EXIT_NO_PERMISSION);
  assert.is(exitCodeOf(system('EACCES')), EXIT_NO_PERMISSION);
  assert.is(exitCodeOf(system('ENODEV')), EXIT_SYSTEM);
  assert.is(exitCodeOf(new Error('what')), EXIT_FAILED);
  assert.is(exitCodeOf('what'), EXIT_FAILED);
  assert.equal([EXIT_CONFIG, EXIT_NO_PERMISSION, EXIT_SYSTEM, EXIT_FAILED], [78, 77, 71, 1]);
});

test("Node's own errors are system errors", () => {
  let caught: unknown;
  try { readFileSync('/nonexistent/file'); } catch (error) { caught = error; }
  assert.ok(isSystemError(caught));
  assert.not(isPermissionError(caught));
  assert.not(isSystemError(new Error('what')));
});

test.run();
