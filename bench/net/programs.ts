/** The programs of bench/load: started on a host, awaited, and read. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../netns/kit/lab.js';
import type { Process } from '../../netns/kit/process.js';

const PROGRAMS = fileURLToPath(new URL('../out/bin', import.meta.url));
export const READY_MS = 10_000;

export async function lastJson<T>(process: Process): Promise<T> {
  const exit = await process.exited;
  const line = process.output().trimEnd().split('\n').at(-1) ?? '';
  if (exit.code !== 0 || !line.startsWith('{')) throw new Error(`${process.name} ended with ${exit.signal ?? `exit code ${exit.code}`}: ${process.errors()}${line.slice(0, 200)}`);
  return JSON.parse(line) as T;
}

export function start(host: Host, program: 'udp' | 'tcp', ...args: (string | number)[]): Process {
  return host.spawn(program, [join(PROGRAMS, program), ...args.map(String)]);
}

export async function ready(process: Process): Promise<Process> {
  await process.waitForOutput(/^ready$/m, READY_MS);
  return process;
}
