/** `weir drops`: why packets were refused, the most frequent reason first. */
import type { Command } from 'commander';
import type { DropList, DropStatus } from '../control/api/types.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, printJson, readingOptions, withClient } from './command.js';
import { formatCount } from './format.js';
import { formatTable, left, right } from './table.js';

const COLUMNS = [
  right<DropStatus>('PACKETS', (row) => formatCount(row.packets)),
  left<DropStatus>('REASON', (row) => row.name),
  left<DropStatus>('LINKS', (row) => row.links.map((part) => `${part.link} ${formatCount(part.packets)}`).join(', ') || null),
  left<DropStatus>('SENDER IS TOLD', (row) => row.answer ?? 'nothing'),
  left<DropStatus>('MEANING', (row) => row.sentence),
];

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command
      .option('-a, --all', 'also the reasons that have not occurred')
      .addHelpText('after', `
LINKS tells where the packets came in. SENDER IS TOLD is the ICMP error (or TCP reset) that answers such a packet; these are
rate-limited, so fewer may have been sent. With -j every reason is listed, in the router's own order.`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    return withClient(options, async (client) => {
      if (options.json) {
        await printJson(context, client, 'drops');
        return 0;
      }
      const { drops } = await client.get<DropList>('drops');
      const shown = (given['all'] === true ? drops : drops.filter((row) => row.packets > 0))
        // Equal counts keep the router's order, which is that of the packet's path.
        .toSorted((a, b) => b.packets - a.packets);
      await context.io.write(shown.length === 0 ? 'no drops\n' : formatTable(COLUMNS, shown, context.io.color));
      return 0;
    });
  },
};
