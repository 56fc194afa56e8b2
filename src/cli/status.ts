/** `weir status`: one screen, what is wrong first. The exit code tells a script the same: 0 all up, 1 degraded, 3 not running. */
import type { Command } from 'commander';
import type { AlgStatus, HookCounts, LinkStatus, Problem, RouterStatus, ShareReport, UplinkStatus, VirtualRouterStatus, VirtualServerStatus } from '../control/api/types.js';
import { linkColumns, uplinkColumns, virtualRouterColumns, virtualServerColumns } from './columns.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, readingOptions, withClient } from './command.js';
import { EXIT_DEGRADED, EXIT_NOT_RUNNING, NotRunning } from './failure.js';
import { formatBytes, formatCount, formatDuration, formatLatency, formatPart, formatPlural } from './format.js';
import { shareState } from './share.js';
import type { Column } from './table.js';
import { formatTable, left, paint, plain } from './table.js';

/** Rows of each kind, so that it stays one screen; the commands of these names show all. */
const ROWS_MAX = 8;

/** A section with its heading, those that are not up first. */
function section<Row extends { state: string }>(title: string, name: string, rows: readonly Row[], columns: Column<Row>[], color: boolean): string {
  if (rows.length === 0) return '';
  const up = rows.filter((row) => row.state === 'up').length;
  const sorted = rows.toSorted((a, b) => Number(a.state === 'up') - Number(b.state === 'up'));
  const more = rows.length > ROWS_MAX ? `… and ${formatCount(rows.length - ROWS_MAX)} more: weir ${name}\n` : '';
  return `\n${paint(title, 'bold', color)} ${up} of ${rows.length} up\n${formatTable(columns, sorted.slice(0, ROWS_MAX), color)}${more}`;
}

const PROBLEM_COLUMNS: Column<Problem>[] = [
  left('', (row) => row.severity, (row) => (row.severity === 'error' ? 'bad' : 'warning')),
  left('', (row) => row.subject),
  left('', (row) => row.message),
];

function problemLines(problems: readonly Problem[], color: boolean): string {
  if (problems.length === 0) return '';
  // Among equals those of the ways out stand first, for they are what a router without trouble of its own is asked about.
  const rank = ({ severity, subject }: Problem): number => (severity === 'error' ? 0 : 2) + (/^(group|uplink) /.test(subject) ? 0 : 1);
  const sorted = problems.toSorted((a, b) => rank(a) - rank(b));
  const more = problems.length > ROWS_MAX ? `… and ${formatCount(problems.length - ROWS_MAX)} more: weir status -j\n` : '';
  // These columns need no heading: the first line of a table is one.
  const rows = formatTable(PROBLEM_COLUMNS, sorted.slice(0, ROWS_MAX), color);
  return `\n${paint('Problems', 'bold', color)}\n${rows.slice(rows.indexOf('\n') + 1)}${more}`;
}

function formatOffload({ flows, limit, packets, bytes, reason, declined }: RouterStatus['offload']): string {
  if (reason !== null) return `off: ${plain(reason)}`;
  const refusals = Object.entries(declined).filter(([, count]) => count > 0).map(([name, count]) => `${plain(name)} ${formatCount(count)}`);
  return `${formatCount(flows)} of ${formatCount(limit)} flows, ${formatCount(packets)} packets (${formatBytes(bytes)}) forwarded by the kernel${refusals.length === 0 ? '' : `; declined: ${refusals.join(', ')}`}`;
}

export function formatStatus(status: RouterStatus, nowMs: number, color: boolean): string {
  const link = linkColumns(nowMs);
  const uplink = uplinkColumns(nowMs);
  const linkRows: Column<LinkStatus>[] = [link.name, link.type, link.device, link.state, link.since, link.rx, link.tx, link.drops, link.addresses];
  const uplinkRows: Column<UplinkStatus>[] = [
    uplink.name, uplink.link, uplink.state, uplink.since, uplink.loss, uplink.latency, uplink.tier, uplink.weight, uplink.wanted, uplink.share, uplink.flows, uplink.rxRate, uplink.txRate,
  ];
  const server = virtualServerColumns(nowMs);
  const serverRows: Column<VirtualServerStatus>[] = [
    server.name, server.listens, server.scheduler, server.state, server.since, server.servers, server.active, server.inactive, server.flowRate, server.rxRate, server.txRate,
  ];
  const { flows, packets, offload, dataPlane } = status;
  const state = paint(status.state, status.state === 'up' ? 'good' : 'bad', color);
  return `weir ${plain(status.version)} is ${state}, running for ${formatDuration(status.uptimeMs)}, pid ${status.pid}, generation ${status.generation} of ${plain(status.configFile)}\n`
    + problemLines(status.problems, color)
    + section('Uplinks', 'uplinks', status.uplinks, uplinkRows, color)
    + section('Virtual servers', 'servers', status.virtualServers, serverRows, color)
    + section('Links', 'links', status.links, linkRows, color)
    + virtualRouterSection(status.vrrp, nowMs, color)
    + `\nflows    ${formatCount(flows.count)} of ${formatCount(flows.limit)} (${formatPart(flows.count, flows.limit)}), ${formatCount(flows.opened)} opened, ${formatCount(flows.expired)} expired\n`
    + `packets  ${formatCount(packets.received)} received, ${formatCount(packets.sent)} sent, ${formatCount(packets.dropped)} dropped\n`
    + `offload  ${formatOffload(offload)}\n`
    + `turns    ${formatCount(dataPlane.turns)} made, the longest took ${formatCount(Math.round(dataPlane.longestTurnUs))} µs\n`
    + tcpLines(status)
    + shareLine(status.share)
    + hookLine(status.hooks);
}

/** What the data plane follows of TCP, and nothing of SYNs that wait and of ALGs where there are none. */
function tcpLines({ tcp, heldSyns, algs }: RouterStatus): string {
  const held = heldSyns.taken === 0 && heldSyns.refused === 0 ? ''
    : `syns     ${formatCount(heldSyns.count)} of ${formatCount(heldSyns.limit)} held, ${formatCount(heldSyns.taken)} since the start, ${formatCount(heldSyns.refused)} found no room\n`;
  return `tcp      ${formatCount(tcp.windowsUsed)} of ${formatCount(tcp.windowsLimit)} windows in use, ${formatCount(tcp.strangeSegments)} segments fitted none\n${held}${algs.map(algLine).join('')}`;
}

function algLine({ name, watched, announced, edited, foreign, refused, unasked, unreadable }: AlgStatus): string {
  const alone = foreign + refused + unasked;
  const more = [...(alone === 0 ? [] : [`${formatCount(alone)} left alone`]), ...(unreadable === 0 ? [] : [`${formatPlural(unreadable, 'flow')} could not be read`])];
  return `${name.padEnd(8)} ${formatPlural(watched, 'flow')} watched, ${formatPlural(announced, 'announcement')}, ${formatCount(edited)} edited${more.map((part) => `, ${part}`).join('')}\n`;
}

/** Masters first. */
function virtualRouterSection(rows: readonly VirtualRouterStatus[], nowMs: number, color: boolean): string {
  if (rows.length === 0) return '';
  const c = virtualRouterColumns(nowMs);
  const masters = rows.filter(({ state }) => state === 'master').length;
  const sorted = rows.toSorted((a, b) => Number(b.state === 'master') - Number(a.state === 'master'));
  const more = rows.length > ROWS_MAX ? `… and ${formatCount(rows.length - ROWS_MAX)} more: weir vrrp\n` : '';
  return `\n${paint('Virtual routers', 'bold', color)} ${masters} of ${rows.length} master here\n`
    + `${formatTable([c.name, c.link, c.state, c.since, c.priority, c.master, c.transitions, c.addresses, c.reason], sorted.slice(0, ROWS_MAX), color)}${more}`;
}

/** Nothing where nothing is shared. */
function shareLine({ store, instance, status, isDrained }: ShareReport): string {
  if (store === 'memory') return '';
  if (status === null) return `share    ${plain(instance)}, not connected yet\n`;
  return `share    ${plain(instance)}${isDrained ? ', drained' : ''}, ${shareState(status).text} for ${formatDuration(status.forMs)}, ${formatPlural(status.peers.length, 'peer')}, ${formatCount(status.queue)} changes wait, lag ${formatLatency(status.lagMs)}\n`;
}

/** Nothing until a hook has run or been wanted in vain. */
function hookLine(hooks: HookCounts | null): string {
  if (hooks === null || hooks.runs + hooks.failures + hooks.eventsDropped === 0) return '';
  const waiting = hooks.waiting === 0 ? '' : `, ${formatPlural(hooks.waiting, 'event')} waiting`;
  const dropped = hooks.eventsDropped === 0 ? '' : `, ${formatPlural(hooks.eventsDropped, 'event')} dropped`;
  return `hooks    ${formatCount(hooks.runs)} run, ${formatCount(hooks.failures)} failed, ${formatCount(hooks.timeouts)} of them took too long${waiting}${dropped}\n`;
}

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command.addHelpText('after', `
Exit codes: 0 all is up, 1 degraded (the problems are listed first), 3 weir is not running, 77 no permission to ask.
FOR is how long a state has lasted, WANTED and SHARE the part of new flows by weight and in fact since the start, LOSS and
LATENCY what the uplink's check measures, RX and TX of an uplink or a virtual server its rates of the last seconds, SERVERS how many
of its real servers take new flows, ACTIVE and INACTIVE their flows now.`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const { io } = context;
    return withClient(options, async (client) => {
      try {
        if (options.json) {
          let text = '';
          await client.copy('status', async (part) => { text += part; });
          await io.write(`${text}\n`);
          return (JSON.parse(text) as RouterStatus).state === 'up' ? 0 : EXIT_DEGRADED;
        }
        const status = await client.get<RouterStatus>('status');
        await io.write(formatStatus(status, io.nowMs(), io.color));
        return status.state === 'up' ? 0 : EXIT_DEGRADED;
      } catch (error) {
        throw error instanceof NotRunning ? new NotRunning(EXIT_NOT_RUNNING, error.message) : error;
      }
    });
  },
};
