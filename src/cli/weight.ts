/** `weir weight`: another share of the new flows for an uplink or a real server, at once. */
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

Examples:
  weir weight uplink isp2 5        five parts of the new flows
  weir weight server web/web2 0    none`);
  },
  run: (context, given, operands) => act(context, given, operands, { action: 'weight', body: { weight: Number(operands[2]) } }, {
    uplink: ({ name, weight }) => describe(`uplink ${name}`, weight),
    server: ({ weight }, name) => describe(`server ${name}`, weight),
  }),
};

function describe(subject: string, weight: number): string { return `${subject} has weight ${weight}${weight === 0 ? ': it takes no new flows' : ''}`; }
