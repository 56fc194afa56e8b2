/** `weir doctor`: what this box has of all that weir can use, and what to do about the rest. */
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { EXIT_FAILED } from '../base/error.js';
import type { VirtualRouterStatus, VrrpList } from '../control/api/types.js';
import { SCHEMA_VERSION } from '../control/api/types.js';
import type { CommandFile, Context, DoctorCheck } from './command.js';
import { DEFAULT_CONFIG, defineReading, readingOptions, withClient } from './command.js';
import { CliFailure } from './failure.js';
import { formatPlural } from './format.js';
import { formatTable, left, plain } from './table.js';

const COLUMNS = [
  left<DoctorCheck>('', (row) => (row.ok ? row.isWarning === true ? 'warn' : 'ok' : 'WRONG'), (row) => (row.ok ? row.isWarning === true ? 'warning' : 'good' : 'bad')),
  left<DoctorCheck>('CHECK', (row) => row.name),
  left<DoctorCheck>('FOUND', (row) => row.detail),
];

/** Those of a running weir; null when none can be asked, which is no trouble of the box's. */
async function virtualRouters(given: Record<string, unknown>): Promise<VirtualRouterStatus[] | null> {
  try {
    return await withClient(readingOptions(given), async (client) => (await client.get<VrrpList>('vrrp')).vrrp);
  } catch (error) {
    if (error instanceof CliFailure) return null;
    throw error;
  }
}

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command
      .option('-c, --config <file>', `configuration whose devices and store are looked at (${DEFAULT_CONFIG} where that is there)`)
      .addHelpText('after', `
Looks at privileges, devices, offloads and the kernel's features, without touching what runs; whether the devices of the
configuration are there; asks the store that it shares by (whether it can be used, how fast it answers, what in its settings is dangerous), and a running weir about its virtual routers (whether
there are two masters, and adverts that do not fit).

Exit codes: 0 nothing is wrong ("warn" is worth knowing), 1 something is; the advice below the table says what to do.`);
  },
  async run(context: Context, given): Promise<number> {
    const { io } = context;
    const file = typeof given['config'] === 'string' ? given['config'] : existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : null;
    const checks = await context.actions.probe(file, () => virtualRouters(given));
    const wrong = checks.filter((check) => !check.ok);
    if (given['json'] === true) {
      await io.write(`${JSON.stringify({ schemaVersion: SCHEMA_VERSION, ok: wrong.length === 0, checks: checks.map(({ isWarning = false, ...check }) => ({ ...check, isWarning })) })}\n`);
    } else {
      await io.write(formatTable(COLUMNS, checks, io.color));
      // Advice stands below: it is a sentence, and would tear the table apart.
      const advised = checks.filter((check) => check.advice !== null && check.advice !== '');
      if (advised.length > 0) await io.write(`\n${advised.map((check) => `${plain(check.name)}: ${plain(check.advice ?? '')}\n`).join('')}`);
      await io.write(wrong.length === 0 ? '\nnothing is wrong\n' : `\n${formatPlural(wrong.length, 'check')} failed\n`);
    }
    return wrong.length === 0 ? 0 : EXIT_FAILED;
  },
};
