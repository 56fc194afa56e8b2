/** What the commands that change an uplink have in common: their operands, the request, and the warnings that come back. */
import { Argument } from 'commander';
import type { Command } from 'commander';
import type { UplinkAnswer, UplinkStatus } from '../control/api/types.js';
import type { Context } from './command.js';
import { defineReading, readingOptions, withClient } from './command.js';
import { plain } from './table.js';

/** Add the operands `uplink NAME`, -j and --socket. */
export function defineAction(command: Command): void {
  command
    .addArgument(new Argument('<kind>', 'what it is done to').choices(['uplink']))
    .argument('<name>', 'its name in the configuration');
  defineReading(command);
}

/** Have the daemon do it, and tell how the uplink stands then, or print the answer as the API gives it. */
export function act(context: Context, given: Record<string, unknown>, name: string, action: string, body: object, describe: (uplink: UplinkStatus) => string): Promise<number> {
  const options = readingOptions(given);
  const { io } = context;
  return withClient(options, async (client) => {
    const answer = await client.post<UplinkAnswer>(`uplinks/${encodeURIComponent(name)}/${action}`, body);
    if (options.json) await io.write(`${JSON.stringify(answer)}\n`);
    else {
      await io.write(`${plain(describe(answer.uplink))}\n`);
      for (const warning of answer.warnings) io.writeError(`weir: warning: ${plain(warning)}\n`);
    }
    return 0;
  });
}
