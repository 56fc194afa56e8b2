/** The command line called as a function: what it wrote, what it complained about, what it exits with. */
import { readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { Actions } from '../../src/cli/command.js';
import type { Io } from '../../src/cli/io.js';
import { runCommandLine } from '../../src/cli/main.js';
import { NOW_MS } from './fake-view.js';

export interface Outcome { exitCode: number; out: string; err: string; /** How many pieces `out` was written in. */ writes: number }

/** Actions that must not be called, but for those given. */
export function fakeActions(given: Partial<Actions> = {}): Actions {
  const never = (name: string) => (): never => { throw new Error(`${name} was called`); };
  return { version: '0.1.0', run: never('run'), check: never('check'), import: never('import'), probe: never('probe'), lab: never('lab'), selftest: never('selftest'), ...given };
}

export interface CliOptions { actions?: Partial<Actions>; color?: boolean; io?: Partial<Io> }

/** Run `weir ...args`. */
export async function weir(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  let out = '';
  let err = '';
  let writes = 0;
  const io: Io = {
    async write(text) { out += text; writes++; },
    writeError(text) { err += text; },
    color: options.color ?? false,
    nowMs: () => NOW_MS,
    ...options.io,
  };
  const exitCode = await runCommandLine(args, io, fakeActions(options.actions));
  return { exitCode, out, err, writes };
}

/** Compare with the file test/cli/golden/NAME; with UPDATE_GOLDEN=1 in the environment write it instead. */
export function golden(name: string, text: string): void {
  const file = new URL(`../cli/golden/${name}`, import.meta.url);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  assert.fixture(text, readFileSync(file, 'utf8'), name);
}
