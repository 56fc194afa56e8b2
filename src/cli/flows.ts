/**
 * `weir flows`: the flow table, filtered by the daemon and fetched page by page. A page is printed before the next one is asked for, so
 * a million flows take no more memory than one page, in text and in JSON.
 */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import type { FlowPage, FlowStatus } from '../control/api/types.js';
import type { Client, Query } from './client.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, readingOptions, wholeNumber, withClient } from './command.js';
import { formatBytes, formatCount, formatDuration, formatEndpoint, formatPlural } from './format.js';
import { left, right, Table } from './table.js';

/** Flows asked for at once: large enough that the round trips do not count, small enough that the first lines come at once. */
const PAGE_FLOWS = 2000;

/** What the far end sees instead of the source, or the real destination: '203.0.113.2:40001', '→ 10.0.0.5:80'. */
function translation(flow: FlowStatus): string | null {
  const { original, reply } = flow;
  const parts: string[] = [];
  // The reply comes back to the source as the far end knows it; ICMP has its identifier in one port only, so that port is compared alone.
  const sourcePort = reply.destinationPort === 0 ? original.sourcePort : reply.destinationPort;
  if (reply.destination !== original.source || sourcePort !== original.sourcePort) parts.push(formatEndpoint(reply.destination, reply.destinationPort));
  const destinationPort = reply.sourcePort === 0 ? original.destinationPort : reply.sourcePort;
  if (reply.source !== original.destination || destinationPort !== original.destinationPort) parts.push(`→ ${formatEndpoint(reply.source, reply.sourcePort)}`);
  return parts.join(' ') || null;
}

const COLUMNS = [
  left<FlowStatus>('PROTOCOL', (row) => row.protocol),
  left<FlowStatus>('STATE', (row) => row.state),
  left<FlowStatus>('SOURCE', (row) => formatEndpoint(row.original.source, row.original.sourcePort)),
  left<FlowStatus>('DESTINATION', (row) => formatEndpoint(row.original.destination, row.original.destinationPort)),
  left<FlowStatus>('TRANSLATED', translation),
  left<FlowStatus>('IN', (row) => row.inLink),
  left<FlowStatus>('OUT', (row) => row.outLink),
  left<FlowStatus>('UPLINK', (row) => row.uplink),
  left<FlowStatus>('SERVER', (row) => row.server),
  right<FlowStatus>('SENT', (row) => formatBytes(row.originalBytes)),
  right<FlowStatus>('BACK', (row) => formatBytes(row.replyBytes)),
  right<FlowStatus>('PACKETS', (row) => formatCount(row.originalPackets + row.replyPackets)),
  left<FlowStatus>('OFFLOADED', (row) => (row.offloaded ? 'yes' : null)),
  right<FlowStatus>('AGE', (row) => formatDuration(row.ageMs)),
  right<FlowStatus>('EXPIRES', (row) => formatDuration(row.expiresInMs)),
];

/** The pages of a listing, until the end or until `limit` flows have come. */
async function* pages(client: Client, filter: Query, cursor: number, limit: number): AsyncGenerator<FlowPage> {
  let left = limit;
  let next: number | null = cursor;
  while (next !== null && left > 0) {
    const page: FlowPage = await client.get<FlowPage>('flows', { ...filter, cursor: next, limit: Math.min(PAGE_FLOWS, left) });
    yield page;
    left -= page.flows.length;
    next = page.nextCursor;
  }
}

/** One document in the shape of one page, written as the pages come. */
async function printAsJson(context: Context, list: AsyncGenerator<FlowPage>): Promise<void> {
  const { io } = context;
  let last: FlowPage | null = null;
  let listed = 0;
  for await (const page of list) {
    let text = last === null ? `{"schemaVersion":${page.schemaVersion},"flows":[` : '';
    for (const flow of page.flows) text += (listed++ === 0 ? '' : ',') + JSON.stringify(flow);
    if (text !== '') await io.write(text);
    last = page;
  }
  // There is always a first page: a limit is at least 1.
  if (last !== null) await io.write(`],"nextCursor":${last.nextCursor},"total":${last.total},"limit":${last.limit}}\n`);
}

async function printAsText(context: Context, list: AsyncGenerator<FlowPage>): Promise<void> {
  const { io } = context;
  const table = new Table<FlowStatus>(COLUMNS, io.color);
  let last: FlowPage | null = null;
  let listed = 0;
  for await (const page of list) {
    if (page.flows.length > 0) await io.write(table.lines(page.flows));
    listed += page.flows.length;
    last = page;
  }
  if (last === null) return;
  const more = last.nextCursor === null ? '' : `; for more: --cursor ${last.nextCursor}`;
  await io.write(`${formatPlural(listed, 'flow')} listed, ${formatCount(last.total)} of ${formatCount(last.limit)} in the table${more}\n`);
}

const FILTERS = ['address', 'port', 'protocol', 'uplink', 'link', 'server', 'state'] as const;

export const command: CommandFile = {
  define(command: Command): void {
    const fail = (message: string): Error => new InvalidArgumentError(message);
    defineReading(command);
    command
      .option('--address <ip>', 'only flows with this address, on any side')
      .option('--port <number>', 'only flows with this port (or ICMP identifier), on any side')
      .option('--protocol <name>', 'only this protocol: tcp, udp, icmp, … or its number')
      .option('--uplink <name>', 'only flows that bear this uplink\'s address')
      .option('--link <name>', 'only flows that come in or leave on this link')
      .option('--server <name>', 'only flows a virtual server has given to a real server: web, or web/web1')
      .option('--state <state>', 'only flows in this state, as the STATE column shows it')
      .option('--limit <number>', 'at most so many flows', wholeNumber(1, fail))
      .option('--cursor <number>', 'go on where a listing with --limit stopped', wholeNumber(0, fail))
      .addHelpText('after', `
Filters are combined: a flow must match all of them. TRANSLATED is the source as the far end sees it, and → the real
destination where it was changed. SENT and BACK are bytes in the direction of the first packet and in the other.
OFFLOADED flows the kernel forwards by itself; their counters are up to a second old.
With -j all pages come as one document, in the shape of one page; nextCursor is not null when --limit cut it short.

Examples:
  weir flows --address 10.0.1.7 --protocol tcp    one host's TCP flows
  weir flows --uplink isp1 --limit 20             a look at what leaves by isp1
  weir flows --server web/web1                    who is on this server
  weir flows -j | jq '.flows | length'            how many there are`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const filter: Query = {};
    for (const name of FILTERS) {
      const value = given[name];
      if (typeof value === 'string') filter[name] = value;
    }
    const limit = typeof given['limit'] === 'number' ? given['limit'] : Infinity;
    const cursor = typeof given['cursor'] === 'number' ? given['cursor'] : 0;
    return withClient(options, async (client) => {
      const list = pages(client, filter, cursor, limit);
      await (options.json ? printAsJson(context, list) : printAsText(context, list));
      return 0;
    });
  },
};
