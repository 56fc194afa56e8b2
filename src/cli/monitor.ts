/** `weir monitor`: events as they happen, until interrupted. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { EXIT_UNAVAILABLE } from '../base/error.js';
import type { StreamedEvent } from '../control/api/types.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, readingOptions, wholeNumber, withClient } from './command.js';
import { CliFailure } from './failure.js';
import { formatPlural, formatTime } from './format.js';
import { paint, plain } from './table.js';
import type { Style } from './table.js';

/** Widths that fit nearly every event: lines come one by one and cannot wait for each other to be measured. */
const EVENT_WIDTH = 20;
const SUBJECT_WIDTH = 12;

function severityStyle(event: StreamedEvent): Style | null {
  if (event['severity'] === 'error') return 'bad';
  return event['severity'] === 'warning' ? 'warning' : null;
}

function eventLine(event: StreamedEvent, color: boolean): string {
  const word = paint(plain(event.event).padEnd(EVENT_WIDTH), severityStyle(event), color);
  return `${formatTime(event.atMs)}  ${word}  ${plain(event.subject).padEnd(SUBJECT_WIDTH)}  ${plain(event.message)}\n`;
}

export const command: CommandFile = {
  define(command: Command): void {
    const fail = (message: string): Error => new InvalidArgumentError(message);
    defineReading(command);
    command
      .option('--last <number>', 'begin with so many events of the past', wholeNumber(0, fail), 0)
      .option('--count <number>', 'end after so many events', wholeNumber(1, fail))
      .option('--no-flows', 'without the events of single flows, of which a failover makes thousands')
      .addHelpText('after', `
Runs until interrupted (Ctrl-C) or until weir stops (exit code 69). With -j each line is one JSON object; a gap in sequence,
which text output mentions, means the reader was too slow and events were lost to it (or that --no-flows left some out).

Examples:
  weir monitor --no-flows                                     what happens to links and uplinks
  weir monitor -j --last 100 | jq 'select(.uplink=="isp1")'   all about one uplink`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const { io } = context;
    const last = typeof given['last'] === 'number' ? given['last'] : 0;
    let left = typeof given['count'] === 'number' ? given['count'] : Infinity;
    return withClient(options, async (client) => {
      for await (const item of client.events(last, given['flows'] !== false)) {
        if (item.kind === 'lost') {
          io.writeError(`weir: ${formatPlural(item.lost, 'event')} lost: this reader was too slow\n`);
          continue;
        }
        await io.write(options.json ? `${item.text}\n` : eventLine(item.event, io.color));
        if (--left <= 0) return 0;
      }
      throw new CliFailure(EXIT_UNAVAILABLE, 'weir has stopped');
    });
  },
};
