/** `weir weight`: another share of the new flows for an uplink, at once. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { act, defineAction } from './action.js';
import type { CommandFile } from './command.js';
import { wholeNumber } from './command.js';

export const command: CommandFile = {
  define(command: Command): void {
    defineAction(command);
    const read = wholeNumber(0, (message) => new InvalidArgumentError(message));
    command
      .argument('<weight>', 'a whole number, 0 to 65535; 0 = no new flows', (text) => { read(text); return text; })
      .addHelpText('after', `
Only new flows are shared by the new weights, at once. It lasts until weir starts again: what is to stay belongs in the configuration.

Example:
  weir weight uplink isp2 5    five parts of the new flows`);
  },
  run: (context, given, [, name, weight]) => act(context, given, name, 'weight', { weight: Number(weight) }, (uplink) =>
    `uplink ${uplink.name} has weight ${uplink.weight}${uplink.weight === 0 ? ': it takes no new flows' : ''}`),
};
