/** `weir selftest`: brings a lab up and measures on this machine what weir promises. */
import type { Command } from 'commander';
import type { CommandFile, Context } from './command.js';

export const command: CommandFile = {
  define(command: Command): void {
    command
      .option('-j, --json', 'print JSON')
      .addHelpText('after', `
Every requirement of docs/conformance.md is printed with how it stands: measured here between real stacks, shown by a test of the
checkout, held in part, or not offered. The lab lives in network namespaces of its own and takes about half a minute; nothing of this box
is touched. It needs root and a checkout of weir.

Exit codes: 0 nothing that was measured failed, 1 something did.`);
  },
  run(context: Context, given): Promise<number> {
    return context.actions.selftest(given['json'] === true ? ['--json'] : []);
  },
};
