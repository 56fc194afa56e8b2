/** `weir doctor`: what this box has of all that weir can use, and what to do about the rest. */
import type { Command } from 'commander';
import { EXIT_FAILED } from '../base/error.js';
import { SCHEMA_VERSION } from '../control/api/types.js';
import type { CommandFile, Context, DoctorCheck } from './command.js';
import { formatPlural } from './format.js';
import { formatTable, left, plain } from './table.js';

const COLUMNS = [
  left<DoctorCheck>('', (row) => (row.ok ? 'ok' : 'WRONG'), (row) => (row.ok ? 'good' : 'bad')),
  left<DoctorCheck>('CHECK', (row) => row.name),
  left<DoctorCheck>('FOUND', (row) => row.detail),
];

export const command: CommandFile = {
  define(command: Command): void {
    command
      .option('-j, --json', 'print JSON')
      .addHelpText('after', `
Looks at privileges, devices, offloads and the kernel's features, without touching what runs.

Exit codes: 0 nothing is wrong, 1 something is; the advice below the table says what to do.`);
  },
  async run(context: Context, given): Promise<number> {
    const { io } = context;
    const checks = await context.actions.probe();
    const wrong = checks.filter((check) => !check.ok);
    if (given['json'] === true) {
      await io.write(`${JSON.stringify({ schemaVersion: SCHEMA_VERSION, ok: wrong.length === 0, checks })}\n`);
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
