/**
 * Throw-away network namespaces for the tests of this folder: unique names, `ip` and other real programs inside, and
 * removal at the end, also when the run is interrupted.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made = new Set<string>();
const directories = new Set<string>();
let count = 0;

function cleanUp(): void {
  for (const name of made) spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  made.clear();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  directories.clear();
}

process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    cleanUp();
    process.exit(1);
  });
}

/** An object of `ip -j`: only the fields a test looks at are ever read. */
export type Json = Record<string, unknown>;

export interface Namespace {
  name: string;
  /** As the addon takes it. */
  path: string;
  /** Run `ip -n NAME …`, returning its output. Throws with its words when it fails. */
  ip(...words: string[]): string;
  /** The JSON of `ip -j`. */
  ipJson(...words: string[]): Json[];
  /** Run a program inside; returns what it printed. */
  run(...words: string[]): string;
  /** Run a program inside that may fail; returns its exit code. */
  code(...words: string[]): number | null;
  remove(): void;
}

export function namespace(): Namespace {
  const name = `wt-${process.pid}-l${count++}`;
  execFileSync('ip', ['netns', 'add', name]);
  made.add(name);
  const ip = (...words: string[]): string => execFileSync('ip', ['-n', name, ...words], { encoding: 'utf8' });
  ip('link', 'set', 'lo', 'up');
  return {
    name, path: `/run/netns/${name}`, ip,
    ipJson: (...words) => {
      const text = execFileSync('ip', ['-j', '-d', '-n', name, ...words], { encoding: 'utf8' });
      return text.trim() === '' ? [] : JSON.parse(text) as Json[];
    },
    run: (...words) => execFileSync('ip', ['netns', 'exec', name, ...words], { encoding: 'utf8' }),
    code: (...words) => spawnSync('ip', ['netns', 'exec', name, ...words], { stdio: 'ignore' }).status,
    remove: () => {
      spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
      made.delete(name);
    },
  };
}

/** A directory for this test's files. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'wt-link-'));
  directories.add(path);
  return path;
}

/** Asks again until the answer is true; throws with `what` after 30 s: what is awaited may be a whole process, on a machine with much else to do. Lets the event loop run in between. */
export async function until(what: string, done: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
