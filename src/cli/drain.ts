/** `weir drain` and `weir undrain`: take an uplink or a real server out of use for maintenance without harm to the flows it has, and back. */
import type { Command } from 'commander';
import { EXIT_USAGE } from '../base/error.js';
import { act, defineAction } from './action.js';
import type { CommandFile } from './command.js';
import { CliFailure } from './failure.js';
import { formatPlural } from './format.js';

export const drain: CommandFile = {
  define(command: Command): void {
    defineAction(command);
    command
      .option('--flush', 'server: its flows end now (those that can, move), instead of in their own time')
      .addHelpText('after', `
It gets no new flows; those it has stay on it until they end: FLOWS of weir uplinks, ACTIVE and INACTIVE of weir servers count them
down. It stays drained until weir undrain or the next start of weir. When no other uplink of a group is up, its new flows meet the
group's lastResort; those of a virtual server without a quorum go to its sorry server or are refused. weir does as it is told and warns.

Examples:
  weir drain uplink isp1             before its modem is exchanged
  weir drain server web/web1         before its software is
  weir drain server web/web1 --flush now, whoever is on it`);
  },
  run(context, given, operands) {
    const isFlushed = given['flush'] === true;
    if (isFlushed && operands[0] === 'uplink') {
      throw new CliFailure(EXIT_USAGE, '--flush is for servers: what becomes of the flows of an uplink is its group\'s onDown to say');
    }
    return act(context, given, operands, { action: 'drain', body: isFlushed ? { flush: true } : {} }, {
      uplink: (uplink) => `uplink ${uplink.name} takes no new flows; ${formatPlural(uplink.flows, 'flow')} on it may end in their own time`,
      server: (server, name) => {
        const flows = formatPlural(server.active + server.inactive, 'flow');
        return `server ${name} takes no new flows; ${isFlushed ? `the ${flows} it had must leave it now` : `${flows} on it may end in their own time`}`;
      },
    });
  },
};

export const undrain: CommandFile = {
  define(command: Command): void {
    defineAction(command);
    command.addHelpText('after', `
Flows that went elsewhere meanwhile stay there, unless the group's onRecover says otherwise.

Examples:
  weir undrain uplink isp1        after the modem works again
  weir undrain server web/web1`);
  },
  run: (context, given, operands) => act(context, given, operands, { action: 'undrain' }, {
    uplink: (uplink) => `uplink ${uplink.name} takes new flows again${uplink.weight === 0 ? ' as soon as its weight is not 0' : ' while it works'}`,
    server: (server, name) => `server ${name} takes new flows again${server.state === 'drained' ? ' as soon as its weight is not 0' : ' while it works'}`,
  }),
};
