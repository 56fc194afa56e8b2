/** `weir maint`: drain a real server with a reason that whoever looks at it reads, and back. */
import { Argument } from 'commander';
import type { Command } from 'commander';
import { EXIT_USAGE } from '../base/error.js';
import { act, defineAction } from './action.js';
import type { CommandFile } from './command.js';
import { CliFailure } from './failure.js';
import { formatPlural } from './format.js';

export const command: CommandFile = {
  define(command: Command): void {
    defineAction(command, ['server']);
    command
      .addArgument(new Argument('[state]', 'on unless given').choices(['on', 'off']).default('on'))
      .option('--reason <text>', 'what is done to it; shown by weir servers and weir status')
      .addHelpText('after', `
The server gets no new flows; those it has stay on it until they end, as after weir drain. It stays so until weir maint … off (or weir
undrain) or the next start of weir.

Examples:
  weir maint server web/web1 --reason "new disk, back at noon"
  weir maint server web/web1 off`);
  },
  run(context, given, operands) {
    const isOn = operands[2] !== 'off';
    const text = typeof given['reason'] === 'string' ? given['reason'].trim() : undefined;
    if (text === '') throw new CliFailure(EXIT_USAGE, `--reason: found '', allowed: a text`);
    if (!isOn && text !== undefined) throw new CliFailure(EXIT_USAGE, '--reason is for the beginning of maintenance: weir maint server VS/RS on --reason TEXT');
    const reason = `maintenance${text === undefined ? '' : `: ${text}`}`;
    return act(context, given, operands, isOn ? { action: 'drain', body: { reason } } : { action: 'undrain' }, {
      server: (server, name) => (isOn
        ? `server ${name} is in ${reason}; ${formatPlural(server.active + server.inactive, 'flow')} on it may end in their own time`
        : `server ${name} takes new flows again${server.state === 'drained' ? ' as soon as its weight is not 0' : ' while it works'}`),
    });
  },
};
