/** `weir persistence`: which clients come back to which real server. */
import type { Command } from 'commander';
import type { PersistencePage, PersistenceStatus } from '../control/api/types.js';
import { entries } from './affinity.js';
import type { Client, Query } from './client.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, readingOptions, withClient } from './command.js';
import { formatCount, formatDuration } from './format.js';
import { left, right, Table } from './table.js';

const COLUMNS = [
  left<PersistenceStatus>('CLIENT', (row) => row.client),
  left<PersistenceStatus>('SERVER', (row) => row.server),
  left<PersistenceStatus>('VIRTUAL SERVERS', (row) => row.virtualServers.join(',')),
  right<PersistenceStatus>('FLOWS', (row) => formatCount(row.flows)),
  right<PersistenceStatus>('EXPIRES', (row) => (row.expiresInMs === null ? null : formatDuration(row.expiresInMs))),
];

async function* pages(client: Client, filter: Query): AsyncGenerator<PersistencePage> {
  for (let cursor: number | null = 0; cursor !== null;) {
    const page: PersistencePage = await client.get<PersistencePage>('persistence', { ...filter, cursor });
    yield page;
    cursor = page.nextCursor;
  }
}

/** One document in the shape of one page, written as the pages come. */
async function printAsJson({ io }: Context, list: AsyncGenerator<PersistencePage>): Promise<void> {
  let last: PersistencePage | null = null;
  let listed = 0;
  for await (const page of list) {
    let text = last === null ? `{"schemaVersion":${page.schemaVersion},"persistence":[` : '';
    for (const row of page.persistence) text += (listed++ === 0 ? '' : ',') + JSON.stringify(row);
    if (text !== '') await io.write(text);
    last = page;
  }
  // There is always a first page.
  if (last !== null) await io.write(`],"nextCursor":null,"limit":${last.limit},"evicted":${last.evicted},"refused":${last.refused}}\n`);
}

async function printAsText({ io }: Context, list: AsyncGenerator<PersistencePage>): Promise<void> {
  const table = new Table<PersistenceStatus>(COLUMNS, io.color);
  let last: PersistencePage | null = null;
  let listed = 0;
  for await (const page of list) {
    if (page.persistence.length > 0) await io.write(table.lines(page.persistence));
    listed += page.persistence.length;
    last = page;
  }
  if (last === null) return;
  const lost = [
    ...(last.evicted === 0 ? [] : [`${formatCount(last.evicted)} were forgotten too early for want of room (limits.affinity)`]),
    ...(last.refused === 0 ? [] : [`${formatCount(last.refused)} flows were not remembered for want of room (limits.affinity)`]),
  ];
  await io.write(`${entries(listed)} listed, ${formatCount(last.limit)} can be held${lost.map((text) => `; ${text}`).join('')}\n`);
}

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command
      .option('--address <ip>', 'only the entry of this client')
      .option('--server <name>', 'only entries that lead to this server (web/web1), or to those of a virtual server (web)')
      .addHelpText('after', `
New flows of CLIENT to VIRTUAL SERVERS go to SERVER while it is usable; CLIENT is as much of its address as persistence.mask counts. FLOWS are
those it has now; the entry lasts as long as there is one, and persistence.timeout after the last one has ended, which is EXPIRES.

weir affinity --erase [address] forgets it, with the affinity of uplinks: open flows stay, the next ones are scheduled anew.

Examples:
  weir persistence --server web/web1        who comes back to web1
  weir persistence --address 203.0.113.7    where this client is led`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const filter: Query = {};
    for (const name of ['address', 'server']) {
      const value = given[name];
      if (typeof value === 'string') filter[name] = value;
    }
    return withClient(options, async (client) => {
      const list = pages(client, filter);
      await (options.json ? printAsJson(context, list) : printAsText(context, list));
      return 0;
    });
  },
};
