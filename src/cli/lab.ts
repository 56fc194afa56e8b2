/** `weir lab`: brings a scenario up in network namespaces and leaves the person in it. */
import type { Command } from 'commander';
import type { CommandFile, Context } from './command.js';

export const command: CommandFile = {
  define(command: Command): void {
    command
      .argument('[scenario]', 'its name; without one the lab lists what there is')
      .argument('[options...]', 'handed to the lab as they are')
      .allowUnknownOption()
      .addHelpText('after', `
The lab's hosts, links and addresses live in network namespaces of their own; nothing of this box is touched, and all is
removed when you leave. It needs root and a checkout of weir.

Examples:
  weir lab              the scenarios there are, with their options
  weir lab multiwan     two uplinks, a router between them, a PC behind it
  weir lab reply-path   a client beside the real server: the trouble and two cures`);
  },
  run(context: Context, _given, operands): Promise<number> {
    return context.actions.lab(operands);
  },
};
