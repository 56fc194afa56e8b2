/** A command that prints one resource as one table: what links, uplinks, routes and neighbours have in common. */
import type { Command } from 'commander';
import type { CommandFile, Context } from './command.js';
import { defineReading, printJson, readingOptions, withClient } from './command.js';
import type { Column } from './table.js';
import { formatTable } from './table.js';

export interface Listing<Answer, Row> {
  /** The API's name for it, and what an empty one is called: 'no links', unless `empty` says otherwise. */
  resource: string;
  empty?: string;
  rows(answer: Answer): readonly Row[];
  columns(nowMs: number): Column<Row>[];
  help: string;
}

export function listing<Answer, Row>(list: Listing<Answer, Row>): CommandFile {
  return {
    define(command: Command): void {
      defineReading(command);
      command.addHelpText('after', `\n${list.help}`);
    },
    async run(context: Context, given): Promise<number> {
      const options = readingOptions(given);
      return withClient(options, async (client) => {
        if (options.json) {
          await printJson(context, client, list.resource);
          return 0;
        }
        const rows = list.rows(await client.get<Answer>(list.resource));
        const { io } = context;
        await io.write(rows.length === 0 ? `${list.empty ?? `no ${list.resource}`}\n` : formatTable(list.columns(io.nowMs()), rows, io.color));
        return 0;
      });
    },
  };
}
