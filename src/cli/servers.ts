/** `weir servers`: the virtual servers, each with a line of its own, and under it its real servers, as ipvsadm lists them. */
import type { Command } from 'commander';
import type { VirtualServerList, VirtualServerStatus } from '../control/api/types.js';
import { formatListens, healthStyle, serverColumns, serversOf } from './columns.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, printJson, readingOptions, withClient } from './command.js';
import { formatDuration, formatPlural } from './format.js';
import { formatTable, paint, plain } from './table.js';

/** What is not as it is without being asked for. */
function flags(row: VirtualServerStatus): string[] {
  const { scheduler, persistence, quorum } = row;
  return [
    ...(scheduler.hashPort ? ['hashes the port'] : []), ...(scheduler.fallBack ? ['falls back'] : []),
    ...(persistence === null ? [] : [`persistent for ${formatDuration(persistence.timeoutSeconds * 1000)}`
      + `${persistence.maskLength === 32 ? '' : ` by /${persistence.maskLength}`}${persistence.tie === null ? '' : `, tied to ${persistence.tie}`}`]),
    ...(row.onePacket ? ['one packet'] : []), ...(row.slowStartSeconds > 0 ? [`slow start ${row.slowStartSeconds} s`] : []),
    ...(row.snat === 'auto' ? [] : [`snat ${row.snat}`]), ...(row.onServerDown === 'reset' ? [] : [`on server down: ${row.onServerDown}`]),
    ...(quorum.weight === 1 && quorum.hysteresis === 0 ? [] : [`quorum ${quorum.weight}${quorum.hysteresis === 0 ? '' : `+${quorum.hysteresis}`}`]),
  ];
}

function heading(row: VirtualServerStatus, nowMs: number, color: boolean): string {
  const parts = [paint(plain(row.name), 'bold', color), formatListens(row), [row.scheduler.name, ...flags(row).map(plain)].join(', '),
    `${paint(row.state, healthStyle(row.state), color)} for ${formatDuration(nowMs - row.sinceMs)}`];
  if (row.reason !== null) parts.push(paint(plain(row.reason), 'bad', color));
  if (row.refusedFlows > 0) parts.push(paint(`${formatPlural(row.refusedFlows, 'flow')} refused`, 'warning', color));
  return `${parts.join('  ')}\n`;
}

export function formatServers(rows: readonly VirtualServerStatus[], nowMs: number, color: boolean): string {
  const c = serverColumns(nowMs);
  const columns = [c.name, c.address, c.state, c.since, c.weight, c.active, c.inactive, c.newFlows, c.flowRate, c.rxRate, c.txRate, c.latency, c.reason];
  // Measured together, so that the columns of all virtual servers stand under each other; a row is a line.
  const [titles, ...lines] = formatTable(columns, rows.flatMap(serversOf), color).split('\n');
  let at = 0;
  return `${titles}\n${rows.map((row) => {
    const own = lines.slice(at, at += serversOf(row).length);
    return heading(row, nowMs, color) + own.map((line) => `${line}\n`).join('');
  }).join('')}`;
}

export const command: CommandFile = {
  define(command: Command): void {
    command.argument('[virtual-server]', 'only this one');
    defineReading(command);
    command.addHelpText('after', `
A line for each virtual server: where it listens, its scheduler and what else it was told, its state and for how long. Under it its
real servers, 'sorry' the one that gets flows when they do not.
STATE: up; slow-start: takes new flows, not its whole share yet; drained: takes none, by hand or by its weight of 0; full: has had as
many as it may; down: its check or its link fails. FOR is how long, REASON why. ACTIVE are TCP flows that are established and all of other
protocols, INACTIVE those that open or close. NEW FLOWS counts since the start; FLOWS/S, RX (from the server) and TX (to it) are rates
of the last seconds. LATENCY is what its check measures.

Examples:
  weir servers
  weir servers web
  weir servers -j | jq -r '.virtualServers[].realServers[] | select(.state == "down").name'`);
  },
  async run(context: Context, given, [name]): Promise<number> {
    const options = readingOptions(given);
    const query = name === undefined ? {} : { virtualServer: name };
    return withClient(options, async (client) => {
      if (options.json) {
        await printJson(context, client, 'servers', query);
        return 0;
      }
      const { virtualServers } = await client.get<VirtualServerList>('servers', query);
      const { io } = context;
      await io.write(virtualServers.length === 0 ? 'no virtual servers\n' : formatServers(virtualServers, io.nowMs(), io.color));
      return 0;
    });
  },
};
