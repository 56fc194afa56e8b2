/**
 * How a command ends when it cannot do its work: which lines go to standard error and which exit code the process has. Operator and
 * system errors never show a stack; a programmer's error always does.
 */
import {
  ConfigErrors, EXIT_CONFIG, EXIT_FAILED, EXIT_NO_PERMISSION, EXIT_SYSTEM, EXIT_UNAVAILABLE, formatConfigError, formatConfigWarning, isPermissionError, isSystemError, Unavailable, wordsOf,
} from '../base/error.js';
import type { SystemError } from '../base/error.js';
import { explainPermission } from './privilege.js';

/** `weir status` when no daemon runs. */
export const EXIT_NOT_RUNNING = 3;
/** `weir status` when something is down. */
export const EXIT_DEGRADED = 1;

/** A failure that is understood: one or more lines, and the code to exit with. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** No daemon listens on the socket. `weir status` has its own exit code for this. */
export class NotRunning extends CliFailure {}

export interface Ending { exitCode: number; lines: string[] }

/** In words, then in the kernel's terms: 'operation not permitted (EPERM, ioctl TUNSETIFF)'. */
function systemLine(error: SystemError): string {
  const where = error.path === undefined ? error.syscall : `${error.syscall} ${error.path}`;
  return `${wordsOf(error)} (${error.code}, ${where})`;
}

/** What to say about an error, and what to exit with. */
export function endingOf(error: unknown): Ending {
  if (error instanceof CliFailure) return { exitCode: error.exitCode, lines: prefixed(error.message.split('\n')) };
  if (error instanceof ConfigErrors) {
    // Already in the form editors jump to: nothing may stand before the file's name.
    return { exitCode: EXIT_CONFIG, lines: [...error.warnings.map(formatConfigWarning), ...error.errors.map(formatConfigError)] };
  }
  if (error instanceof Unavailable) return { exitCode: EXIT_UNAVAILABLE, lines: prefixed([error.message]) };
  if (isPermissionError(error)) return { exitCode: EXIT_NO_PERMISSION, lines: prefixed([`no permission: ${systemLine(error)}`, ...explainPermission(error)]) };
  if (isSystemError(error)) return { exitCode: EXIT_SYSTEM, lines: prefixed([systemLine(error)]) };
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return { exitCode: EXIT_FAILED, lines: prefixed([`this is a mistake in weir itself, please report it with what follows`, ...stack.split('\n')]) };
}

function prefixed(lines: string[]): string[] {
  return lines.map((line, i) => (i === 0 ? `weir: ${line}` : `  ${line}`));
}
