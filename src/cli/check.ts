/** `weir check`: reads a configuration as the daemon would and tells every mistake at once. */
import type { Command } from 'commander';
import { EXIT_CONFIG, formatConfigError, formatConfigWarning } from '../base/error.js';
import { SCHEMA_VERSION } from '../control/api/types.js';
import type { CommandFile, Context } from './command.js';
import { DEFAULT_CONFIG } from './command.js';
import { formatPlural } from './format.js';

export const command: CommandFile = {
  define(command: Command): void {
    command
      .option('-c, --config <file>', 'the configuration; FILE.d/*.yaml are added in lexical order', DEFAULT_CONFIG)
      .option('-j, --json', 'print JSON')
      .addHelpText('after', `
Each mistake is one line: FILE:LINE:COLUMN: PATH: what was found, what is allowed. Changes nothing and needs no privileges.

Exit codes: 0 the configuration is sound (it may have warnings), 78 it has mistakes.`);
  },
  async run(context: Context, given): Promise<number> {
    const { io } = context;
    const file = String(given['config']);
    const { errors, warnings, counts } = await context.actions.check(file);
    const ok = errors.length === 0;
    if (given['json'] === true) {
      await io.write(`${JSON.stringify({ schemaVersion: SCHEMA_VERSION, ok, file, errors, warnings, counts: counts ?? null })}\n`);
    } else {
      for (const warning of warnings) io.writeError(`${formatConfigWarning(warning)}\n`);
      for (const error of errors) io.writeError(`${formatConfigError(error)}\n`);
      if (counts !== undefined) {
        await io.write(`${file}: sound: ${formatPlural(counts.links, 'link')}, ${formatPlural(counts.uplinks, 'uplink')}, `
          + `${formatPlural(counts.groups, 'group')}, ${formatPlural(counts.routes, 'route')}`
          + `${counts.virtualServers === 0 ? '' : `, ${formatPlural(counts.virtualServers, 'virtual server')} of ${formatPlural(counts.realServers, 'real server')}`}`
          + `${counts.virtualRouters === 0 ? '' : `, ${formatPlural(counts.virtualRouters, 'virtual router')}`}\n`);
      }
    }
    return ok ? 0 : EXIT_CONFIG;
  },
};
