/** `weir drain` and `weir undrain`: take an uplink out of use for maintenance without harm to the flows it has, and back. */
import type { Command } from 'commander';
import { act, defineAction } from './action.js';
import type { CommandFile } from './command.js';
import { formatPlural } from './format.js';

export const drain: CommandFile = {
  define(command: Command): void {
    defineAction(command);
    command.addHelpText('after', `
The uplink gets no new flows; those it has stay on it until they end: FLOWS of weir uplinks counts them down. It stays drained
until weir undrain or the next start of weir. When no other uplink of a group is up, its new flows meet the group's lastResort; weir
does as it is told and warns.

Example:
  weir drain uplink isp1    before its modem is exchanged`);
  },
  run: (context, given, [, name]) => act(context, given, name, 'drain', {}, (uplink) =>
    `uplink ${uplink.name} takes no new flows; ${formatPlural(uplink.flows, 'flow')} on it may end in their own time`),
};

export const undrain: CommandFile = {
  define(command: Command): void {
    defineAction(command);
    command.addHelpText('after', `
Flows that went elsewhere meanwhile stay there, unless the group's onRecover says otherwise.

Example:
  weir undrain uplink isp1    after the modem works again`);
  },
  run: (context, given, [, name]) => act(context, given, name, 'undrain', {}, (uplink) =>
    `uplink ${uplink.name} takes new flows again${uplink.weight === 0 ? ' as soon as its weight is not 0' : ' while it works'}`),
};
