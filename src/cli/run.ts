/** `weir run`: the daemon, in the foreground. */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { CommandFile, Context } from './command.js';
import { DEFAULT_CONFIG } from './command.js';

export const command: CommandFile = {
  define(command: Command): void {
    command
      .option('-c, --config <file>', 'the configuration; FILE.d/*.yaml are added in lexical order', DEFAULT_CONFIG)
      .addOption(new Option('--log-level <level>', 'instead of control.logLevel').choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']))
      .addHelpText('after', `
Logs go to standard error: JSON lines, or readable ones on a terminal. TERM and INT stop it gracefully, a second one at once.
It needs CAP_NET_ADMIN and CAP_NET_RAW (root has them); weir doctor tells what is missing.

Exit codes: 0 stopped as asked, 69 the store is not to be had and share.require is true, 71 the system refused something, 77 a privilege is missing, 78 the configuration is wrong.`);
  },
  run(context: Context, given): Promise<number> {
    const level = given['logLevel'];
    return context.actions.run(String(given['config']), typeof level === 'string' ? { logLevel: level } : {});
  },
};
