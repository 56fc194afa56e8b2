/**
 * The daemon's log: one JSON object a line, or readable lines when a person is looking at a terminal. Field names are stable:
 * `time` (ISO 8601), `level` (a word), `pid`, `component`, `event`, `subject`, `link`, `uplink`, `err` and `msg`.
 * Nothing is logged per packet.
 */
import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import type { EventLog } from './event.js';
import { isFlowEvent } from './event.js';
import type { RouterEvent } from './api/types.js';

export type Log = Logger;

/** From the most to the least that is said. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export interface LogOptions {
  level: string;
  /** Readable lines instead of JSON; absent = when stderr is a terminal. */
  pretty?: boolean;
  /** Where lines go; absent = stderr, written at once so that the last line before an exit is not lost. */
  destination?: NodeJS.WritableStream;
}

/** What of an error is worth a line: system errors are known by code and syscall, only programmer errors need their stack. */
function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) };
  const system = error as NodeJS.ErrnoException;
  if (typeof system.code === 'string' && typeof system.syscall === 'string') {
    return { message: error.message, code: system.code, errno: system.errno, syscall: system.syscall, ...(system.path === undefined ? {} : { path: system.path }) };
  }
  return { type: error.name, message: error.message, stack: error.stack };
}

/** The root logger. Throws a RangeError when `level` is not one of LOG_LEVELS. */
export async function createLog(options: LogOptions): Promise<Log> {
  if (!(LOG_LEVELS as readonly string[]).includes(options.level)) {
    throw new RangeError(`log level '${options.level}' is unknown; allowed: ${LOG_LEVELS.join(', ')}`);
  }
  const pretty = options.pretty ?? (options.destination === undefined && process.stderr.isTTY === true);
  let destination: DestinationStream = options.destination ?? pino.destination({ dest: 2, sync: true });
  if (pretty) {
    // Loaded only for people: the service never pays for it. Colours follow NO_COLOR.
    const { default: prettyStream } = await import('pino-pretty');
    destination = prettyStream({
      colorize: options.destination === undefined && (process.env['NO_COLOR'] ?? '') === '',
      translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid', messageKey: 'msg', sync: true,
      ...(options.destination === undefined ? { destination: 2 } : { destination: options.destination }),
    });
  }
  return pino({
    level: options.level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
  }, destination);
}

/** A logger whose lines say which part of the daemon speaks: 'daemon', 'api', 'dataplane', 'link'. */
export function componentLog(log: Log, component: string): Log {
  return log.child({ component });
}

/** The level an event is logged with: those of single flows come by the thousand when an uplink fails, and the event of the uplink counts them. */
function levelOf(event: RouterEvent): 'debug' | 'info' | 'warn' | 'error' {
  if (isFlowEvent(event)) return 'debug';
  if (event['severity'] === 'error') return 'error';
  return event['severity'] === 'warning' ? 'warn' : 'info';
}

/** Write every event from now on to the log; its fields keep their names. Returns what ends it. */
export function logEvents(log: Log, events: EventLog): () => void {
  return events.subscribe((row) => {
    const { message, atMs: _atMs, severity: _severity, ...fields } = row;
    log[levelOf(row)](fields, message);
  });
}
