/** weir as a peer of the bench: started with a configuration, awaited, and asked whether it still runs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { Host, Lab } from '../../netns/kit/lab.js';
import type { Process } from '../../netns/kit/process.js';
import { waitFor } from '../../netns/kit/wait.js';

const WEIR = fileURLToPath(new URL('../../bin/weir', import.meta.url));
export const START_MS = 20_000;

/** The last that a router's process has said. */
export function said(process: Process): string { return `${process.errors()}${process.output()}`.slice(-4096); }

/** Throws when a router's process has ended. */
export function assertRuns(process: Process): void {
  if (process.exit !== null) throw new Error(`${process.name} ended with ${process.exit.signal ?? `exit code ${process.exit.code}`}\n${said(process)}`);
}

/** Where the daemon of a site listens. */
export const socketOf = (lab: Lab, name: string): string => join(lab.directory, `${name}.sock`);

/** Starts weir on a host and waits until it answers. `name` is the site's, `config` all but the section control. */
export async function startWeir(lab: Lab, host: Host, name: string, config: object): Promise<Process> {
  const file = join(lab.directory, `${name}.yaml`), socket = socketOf(lab, name);
  writeFileSync(file, stringify({ ...config, control: { socket, logLevel: 'warn' } }));
  const daemon = host.spawn(`weir-${name}`, [WEIR, 'run', '-c', file]);
  await waitFor(async () => daemon.exit !== null || (await host.run([WEIR, 'status', '-j', '--socket', socket], { check: false })).code <= 1, START_MS, `weir (${name}) to answer`);
  assertRuns(daemon);
  return daemon;
}
