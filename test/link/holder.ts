/** Starts child.ts inside a namespace, and makes plans for it. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LinkPlan } from '../../src/base/plan.js';
import { LOADER } from '../support/loader.js';
import type { Namespace } from './namespace.js';

/** A link's plan with the usual values for whatever a test does not care about. */
export function plan(fields: Partial<LinkPlan> & Pick<LinkPlan, 'name' | 'type' | 'device'>): LinkPlan {
  return { index: 0, addresses: [], defaultRoute: false, offload: true, mssClamp: 'auto', sourceCheck: 'strict', ...fields };
}

export interface Holder {
  lines(): string[];
  ended(): boolean;
  /** End its input: it closes its links and exits. */
  stop(): void;
  /** kill -9. */
  kill(): void;
}

export function holder(ns: Namespace, options: { journalPath: string; links: LinkPlan[]; pins?: string[] }): Holder {
  const file = fileURLToPath(new URL('./child.ts', import.meta.url));
  // `ip netns exec` becomes the program it starts, so this is the holder's own process.
  const child = spawn('ip', ['netns', 'exec', ns.name, process.execPath, ...LOADER, file, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  let ended = false;
  child.stdout.setEncoding('utf8').on('data', (part: string) => { output += part; });
  child.stdin.on('error', () => { /* It was killed before it read the end of its input. */ });
  child.on('close', () => { ended = true; });
  const kill = (): void => { if (!ended) child.kill('SIGKILL'); };
  process.on('exit', kill);
  return { lines: () => output.split('\n').filter((line) => line !== ''), ended: () => ended, stop: () => child.stdin.end(), kill };
}
