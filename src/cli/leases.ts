/** `weir leases`: which instance has which ports of the shared translation addresses, and until when. */
import type { Command } from 'commander';
import type { LeaseList, LeaseStatus } from '../control/api/types.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, printJson, readingOptions, withClient } from './command.js';
import { formatCount, formatDuration, formatPlural } from './format.js';
import { formatTable, left, plain, right } from './table.js';

/** Blocks in a row that one instance has. */
interface Row { first: LeaseStatus; last: LeaseStatus; blocks: number; used: number | null; free: number | null; leftMs: number }

/** Neighbouring blocks of one owner stand in one row. */
function rowsOf(leases: readonly LeaseStatus[]): Row[] {
  const octets = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const rows: Row[] = [];
  for (const lease of leases.toSorted((a, b) => octets(a.address) - octets(b.address) || a.block - b.block)) {
    const row = rows.at(-1);
    if (row !== undefined && row.last.address === lease.address && row.last.instance === lease.instance && row.last.block === lease.block - 1) {
      row.last = lease;
      row.blocks++;
      row.used = sum(row.used, lease.used);
      row.free = sum(row.free, lease.free);
      row.leftMs = Math.min(row.leftMs, lease.leftMs);
    } else rows.push({ first: lease, last: lease, blocks: 1, used: lease.used, free: lease.free, leftMs: lease.leftMs });
  }
  return rows;
}

const sum = (one: number | null, other: number | null): number | null => (one === null || other === null ? null : one + other);

const COLUMNS = [
  left<Row>('ADDRESS', ({ first }) => first.address),
  left<Row>('PORTS', ({ first, last }) => `${first.firstPort}-${last.lastPort}`),
  right<Row>('BLOCKS', ({ blocks }) => formatCount(blocks)),
  left<Row>('INSTANCE', ({ first }) => (first.isOurs ? `${first.instance} (this)` : first.instance), ({ first }) => (first.isOurs ? 'good' : null)),
  right<Row>('USED', ({ used }) => (used === null ? null : formatCount(used))),
  right<Row>('FREE', ({ free }) => (free === null ? null : formatCount(free))),
  right<Row>('LEFT', ({ leftMs }) => formatDuration(leftMs)),
];

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command.addHelpText('after', `
Addresses that several instances translate to are shared out in blocks of ports (share.portBlock), so that no two of them ever use the
same port of an address. USED are ports in use, or at rest for a while after it, in the protocol that has most of them; both
are known of this instance's own alone. LEFT is how long a block is INSTANCE's yet unless it is renewed, which happens at a third of share.lease.
Addresses that are a link's own, or a virtual router's, are nobody else's and need no lease.

While the store is away only this instance's own leases are known; a line says so.`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const { io } = context;
    return withClient(options, async (client) => {
      if (options.json) {
        await printJson(context, client, 'leases');
        return 0;
      }
      const { leases, isComplete, reason } = await client.get<LeaseList>('leases');
      const rows = rowsOf(leases);
      const ours = leases.filter(({ isOurs }) => isOurs).length;
      if (rows.length > 0) await io.write(`${formatTable(COLUMNS, rows, io.color)}\n`);
      await io.write(rows.length === 0 ? 'no leases\n' : `${formatPlural(leases.length, 'block')} leased, ${formatCount(ours)} of them by this instance\n`);
      if (!isComplete) io.writeError(`weir: warning: the store cannot be asked, so only what this instance has is known: ${plain(reason ?? 'no answer')}\n`);
      return 0;
    });
  },
};
