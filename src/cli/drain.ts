/** `weir drain` and `weir undrain`: take an uplink, a real server or this whole instance out of use for maintenance without harm to the flows it has, and back. */
import type { Command } from 'commander';
import { EXIT_USAGE } from '../base/error.js';
import type { InstanceAnswer } from '../control/api/types.js';
import { act, actOnInstance, defineAction } from './action.js';
import type { CommandFile } from './command.js';
import { CliFailure } from './failure.js';
import { formatLatency, formatPlural } from './format.js';

/** What became of draining this instance. */
function drained({ instance, isFlushed, vrrp, unclaimed, tookMs }: InstanceAnswer): string {
  const written = isFlushed === null ? [] : [isFlushed ? 'all that is shared is written' : 'not all that is shared is written'];
  const routers = vrrp.length === 0 ? [] : [unclaimed.length === 0 ? 'others have its virtual routers' : `${formatPlural(unclaimed.length, 'virtual router')} without another master`];
  return `instance ${instance} is drained after ${formatLatency(tookMs)}: ${[...written, ...routers].join(', ')}`;
}

export const drain: CommandFile = {
  define(command: Command): void {
    defineAction(command, ['uplink', 'server'], true);
    command
      .option('--flush', 'server: its flows end now (those that can, move), instead of in their own time')
      .addHelpText('after', `
It gets no new flows; those it has stay on it until they end: FLOWS of weir uplinks, ACTIVE and INACTIVE of weir servers count them
down. It stays drained until weir undrain or the next start of weir. When no other uplink of a group is up, its new flows meet the
group's lastResort; those of a virtual server without a quorum go to its sorry server or are refused. weir does as it is told and warns.

Without operands it is this instance that is drained: what it shares is written to the store, then its virtual routers are handed over to
other routers. The command waits for that, some seconds at most, and says what came of it; exit code 1 = not all of it.

Examples:
  weir drain uplink isp1             before its modem is exchanged
  weir drain server web/web1         before its software is
  weir drain server web/web1 --flush now, whoever is on it
  weir drain                         before this box is`);
  },
  run(context, given, operands) {
    const isFlushed = given['flush'] === true;
    if (isFlushed && operands[0] !== 'server') {
      throw new CliFailure(EXIT_USAGE, `--flush is for servers: ${operands[0] === 'uplink' ? 'what becomes of the flows of an uplink is its group\'s onDown to say' : 'another instance takes the flows of this one over'}`);
    }
    if (operands[0] === undefined) return actOnInstance(context, given, 'drain', drained);
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
    defineAction(command, ['uplink', 'server'], true);
    command.addHelpText('after', `
Flows that went elsewhere meanwhile stay there, unless the group's onRecover says otherwise.

Examples:
  weir undrain uplink isp1        after the modem works again
  weir undrain server web/web1
  weir undrain                    this instance takes part in elections again`);
  },
  run: (context, given, operands) => operands[0] === undefined ? actOnInstance(context, given, 'undrain', ({ instance }) => `instance ${instance} takes part again`) : act(context, given, operands, { action: 'undrain' }, {
    uplink: (uplink) => `uplink ${uplink.name} takes new flows again${uplink.weight === 0 ? ' as soon as its weight is not 0' : ' while it works'}`,
    server: (server, name) => `server ${name} takes new flows again${server.state === 'drained' ? ' as soon as its weight is not 0' : ' while it works'}`,
  }),
};
