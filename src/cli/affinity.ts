/** `weir affinity`: which addresses come back to which uplink; and forgetting it. */
import type { Command } from 'commander';
import { EXIT_USAGE } from '../base/error.js';
import type { AffinityErased, AffinityPage, AffinityStatus } from '../control/api/types.js';
import type { Client, Query } from './client.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, readingOptions, withClient } from './command.js';
import { CliFailure } from './failure.js';
import { formatCount, formatDuration } from './format.js';
import { left, right, Table } from './table.js';

const COLUMNS = [
  left<AffinityStatus>('SOURCE', (row) => row.source ?? 'any'),
  left<AffinityStatus>('DESTINATION', (row) => row.destination ?? 'any'),
  left<AffinityStatus>('UPLINK', (row) => row.uplink),
  left<AffinityStatus>('GROUP', (row) => row.group),
  left<AffinityStatus>('POLICY', (row) => row.policy),
  right<AffinityStatus>('EXPIRES', (row) => formatDuration(row.expiresInMs)),
];

/** '1 entry', '2 entries'. */
export function entries(count: number): string { return count === 1 ? '1 entry' : `${formatCount(count)} entries`; }

async function* pages(client: Client, filter: Query): AsyncGenerator<AffinityPage> {
  for (let cursor: number | null = 0; cursor !== null;) {
    const page: AffinityPage = await client.get<AffinityPage>('affinity', { ...filter, cursor });
    yield page;
    cursor = page.nextCursor;
  }
}

/** One document in the shape of one page, written as the pages come. */
async function printAsJson({ io }: Context, list: AsyncGenerator<AffinityPage>): Promise<void> {
  let last: AffinityPage | null = null;
  let listed = 0;
  for await (const page of list) {
    let text = last === null ? `{"schemaVersion":${page.schemaVersion},"affinity":[` : '';
    for (const row of page.affinity) text += (listed++ === 0 ? '' : ',') + JSON.stringify(row);
    if (text !== '') await io.write(text);
    last = page;
  }
  // There is always a first page.
  if (last !== null) await io.write(`],"nextCursor":null,"limit":${last.limit},"evicted":${last.evicted}}\n`);
}

async function printAsText({ io }: Context, list: AsyncGenerator<AffinityPage>): Promise<void> {
  const table = new Table<AffinityStatus>(COLUMNS, io.color);
  let last: AffinityPage | null = null;
  let listed = 0;
  for await (const page of list) {
    if (page.affinity.length > 0) await io.write(table.lines(page.affinity));
    listed += page.affinity.length;
    last = page;
  }
  if (last === null) return;
  const evicted = last.evicted === 0 ? '' : `; ${formatCount(last.evicted)} were forgotten too early for want of room (limits.affinity)`;
  await io.write(`${entries(listed)} listed, ${formatCount(last.limit)} can be held${evicted}\n`);
}

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command
      .option('--address <ip>', 'only entries with this address, as source or destination')
      .option('--uplink <name>', 'only entries that lead to this uplink')
      .option('--erase [address]', 'forget the entries with this address, or all of them')
      .addHelpText('after', `
New flows of SOURCE (to DESTINATION) go by UPLINK while it is usable; EXPIRES is how long yet unless a new flow comes. "any" is an
address that does not count for it. POLICY is named where the affinity is a policy's own and not the group's. Erasing touches no
flow: those that are open stay where they are, the next ones are chosen anew. The persistence of virtual servers
(weir persistence) is erased with it.

Examples:
  weir affinity --uplink isp1         who comes back to isp1
  weir affinity --erase 10.0.1.7      let this host be placed anew
  weir affinity --erase               let all be placed anew`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const { io } = context;
    const filter: Query = {};
    for (const name of ['address', 'uplink']) {
      const value = given[name];
      if (typeof value === 'string') filter[name] = value;
    }
    const { erase } = given;
    if (erase !== undefined && Object.keys(filter).length > 0) {
      throw new CliFailure(EXIT_USAGE, '--erase takes the address itself and cannot be combined with --address or --uplink: weir affinity --erase 10.0.1.7');
    }
    return withClient(options, async (client) => {
      if (erase !== undefined) {
        const answer = await client.delete<AffinityErased>('affinity', typeof erase === 'string' ? { address: erase } : {});
        await io.write(options.json ? `${JSON.stringify(answer)}\n` : `${entries(answer.erased)} erased${answer.erasedPersistence === 0 ? '' : `, and ${formatCount(answer.erasedPersistence)} of persistence`}\n`);
        return 0;
      }
      const list = pages(client, filter);
      await (options.json ? printAsJson(context, list) : printAsText(context, list));
      return 0;
    });
  },
};
