/**
 * Where the process starts. The only file that knows both the command line and the daemon: it hands the former a table of what only the
 * latter can do. Each is loaded when it is asked for, so that `weir status` starts fast and `weir check` works without the addon.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigErrors, EXIT_UNAVAILABLE } from './base/error.js';
import type { Actions, CheckResult, DoctorCheck, ImportRequest, ImportResult } from './cli/command.js';
import { CliFailure } from './cli/failure.js';
import { processIo } from './cli/io.js';
import { runCommandLine } from './cli/main.js';
import type { VirtualRouterStatus } from './control/api/types.js';

/** The longest virtual routers are watched for a second master. */
const LOOK_MOST_MS = 3000;

/** The package's root, from src/ in a checkout as from dist/ in a package. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

async function check(file: string): Promise<CheckResult> {
  const { loadConfig } = await import('./control/config/index.js');
  try {
    const { plan, warnings } = await loadConfig(file);
    const { links, uplinks, groups, routes, virtualServers, vrrp } = plan;
    // A sorry server is no real one of its virtual server, though it has a plan of the same kind.
    const realServers = virtualServers.reduce((sum, server) => sum + server.realServers.length, 0);
    return {
      errors: [], warnings,
      counts: { links: links.length, uplinks: uplinks.length, groups: groups.length, routes: routes.length, virtualServers: virtualServers.length, realServers, virtualRouters: vrrp.length },
    };
  } catch (error) {
    if (error instanceof ConfigErrors) return { errors: error.errors, warnings: error.warnings };
    throw error;
  }
}

/** Hand the terminal to a program of the lab and end as it ends. */
function checkoutProgram(name: string, args: string[]): Promise<number> {
  const program = join(root, 'scripts', name);
  try {
    accessSync(program, constants.X_OK);
  } catch {
    throw new CliFailure(EXIT_UNAVAILABLE, `the ${name} is part of a checkout of weir, and there is none at ${root}`);
  }
  return new Promise((resolve, reject) => {
    // The lab cleans up after itself when interrupted: we stay until it has, and pass on what the terminal did not send to it. Listening comes
    // first: a signal between the lab's start and that would end us and leave it alone.
    let child: ChildProcess | null = null;
    const ignore = (): void => undefined;
    const pass = (signal: NodeJS.Signals): void => { child?.kill(signal); };
    process.on('SIGINT', ignore);
    process.on('SIGTERM', pass);
    process.on('SIGHUP', pass);
    child = spawn(program, args, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore);
      process.off('SIGTERM', pass);
      process.off('SIGHUP', pass);
      resolve(code ?? 128 + osConstants.signals[signal!]);
    });
  });
}

async function importForeign({ format, name, text, into, ...options }: ImportRequest): Promise<ImportResult> {
  const { formatRemark, importText } = await import('./control/import/index.js');
  const { readConfig } = await import('./control/config/index.js');
  const { yaml, remarks } = importText(format, name, text, { ...options, ...(into === undefined ? {} : { into: readConfig(into) }) });
  return { yaml, remarks: remarks.map(formatRemark) };
}

/** The box, then the devices, the bridges and the store of a configuration, then the virtual routers of a running weir. */
async function examine(file: string | null, ask: () => Promise<VirtualRouterStatus[] | null>): Promise<DoctorCheck[]> {
  const { probe } = await import('./link/probe.js');
  const checks: DoctorCheck[] = await probe();
  const { examineBridges, examineDevices, examineStore, examineVrrp } = await import('./control/doctor.js');
  if (file !== null) {
    const { loadConfig } = await import('./control/config/index.js');
    try {
      const { plan } = loadConfig(file);
      checks.push(...examineDevices(plan), ...examineBridges(plan), ...await examineStore(plan));
    } catch (error) {
      if (!(error instanceof ConfigErrors)) throw error;
      checks.push({ name: 'configuration', ok: false, detail: `${file}: ${error.errors.length === 1 ? 'a mistake' : `${error.errors.length} mistakes`}`, advice: `weir check -c ${file} tells ${error.errors.length === 1 ? 'it' : 'them'}` });
    }
  }
  const before = await ask();
  if (before === null || before.length === 0) return checks;
  // Long enough for a master to tell of itself.
  const waitMs = Math.min(LOOK_MOST_MS, 2 * Math.max(...before.map(({ advertIntervalMs }) => advertIntervalMs)));
  await new Promise((resolve) => { setTimeout(resolve, waitMs); });
  return [...checks, ...examineVrrp(before, await ask() ?? [])];
}

const actions: Actions = {
  version,
  run: async (file, options) => (await import('./daemon.js')).runDaemon(file, { version, ...options }),
  check,
  import: importForeign,
  probe: examine,
  lab: async (args) => checkoutProgram('lab', args),
  selftest: async (args) => checkoutProgram('selftest', args),
};

process.exit(await runCommandLine(process.argv.slice(2), processIo(), actions));
