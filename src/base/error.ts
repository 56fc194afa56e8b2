/**
 * The shapes of errors that people meet, and the exit codes they end in. Packet problems are verdicts and are never
 * thrown; programmer problems are asserts; what is here are system problems (Node-shaped: code, errno, syscall) and
 * operator problems, which are collected and told all at once, each with its place.
 */
import { getSystemErrorMap } from 'node:util';

/** Exit codes: those above 63 mean what sysexits.h says they mean. */
export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_UNAVAILABLE = 69;
export const EXIT_SYSTEM = 71;
export const EXIT_NO_PERMISSION = 77;
export const EXIT_CONFIG = 78;

/** What the kernel refused, in the shape Node gives its own system errors. */
export interface SystemError extends Error {
  /** 'EPERM', 'ENODEV', … */
  code: string;
  /** Negative, as in Node. */
  errno: number;
  /** 'open', 'ioctl TUNSETIFF', … */
  syscall: string;
  path?: string;
}

export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error
    && 'code' in error && typeof error.code === 'string'
    && 'errno' in error && typeof error.errno === 'number'
    && 'syscall' in error && typeof error.syscall === 'string';
}

/** True when the kernel refused for want of a privilege, so that the answer is another user or a capability. */
export function isPermissionError(error: unknown): error is SystemError {
  return isSystemError(error) && (error.code === 'EPERM' || error.code === 'EACCES');
}

/** What a system error says, without the code and the call: 'operation not permitted'. */
export function wordsOf(error: SystemError): string {
  let said = error.message;
  // Node's messages are `CODE: words, syscall 'path'`, those of netlink `CODE: syscall: detail`; others are sentences with commas of their own.
  if (said.startsWith(`${error.code}: `)) {
    said = said.slice(error.code.length + 2);
    const tail = said.lastIndexOf(`, ${error.syscall}`);
    if (tail > 0) said = said.slice(0, tail);
    if (said === error.syscall) said = '';
    else if (said.startsWith(`${error.syscall}: `)) said = said.slice(error.syscall.length + 2);
  } else if (said.startsWith(`${error.syscall} ${error.code}: `)) {
    // Those of sockets: `syscall CODE: words path`.
    said = said.slice(error.syscall.length + error.code.length + 3);
    if (error.path !== undefined && said.endsWith(` ${error.path}`)) said = said.slice(0, -error.path.length - 1);
  }
  return said === '' ? getSystemErrorMap().get(error.errno)?.[1] ?? 'the system refused' : said;
}

/** One mistake of an operator, with its place. */
export interface ConfigError {
  /** As given on the command line, or found beside it. */
  file: string;
  /** Both count from 1; 0 = the file as a whole. */
  line: number;
  column: number;
  /** Where in the configuration: 'links.lan.addresses[0]'. Empty = the file as a whole. */
  path: string;
  /** What was found there, a phrase that follows the word `found`. */
  found: string;
  /** What is allowed there, a phrase that follows the word `allowed:`. */
  allowed: string;
}

/** Something that may well be meant, yet deserves a look: told, and the configuration is used. */
export interface ConfigWarning {
  file: string;
  line: number;
  column: number;
  path: string;
  message: string;
}

function place(at: { file: string; line: number; column: number; path: string }): string {
  const position = at.line > 0 ? `${at.file}:${at.line}:${at.column}` : at.file;
  return at.path === '' ? position : `${position}: ${at.path}`;
}

/** `file:line:col: path: found …, allowed: …`, one line. */
export function formatConfigError(error: ConfigError): string {
  return `${place(error)}: found ${error.found}, allowed: ${error.allowed}`;
}

/** `file:line:col: path: warning: …`, one line. */
export function formatConfigWarning(warning: ConfigWarning): string {
  return `${place(warning)}: warning: ${warning.message}`;
}

/** Every mistake of a configuration, in the order of its files and lines. Its message is one line for each. */
export class ConfigErrors extends Error {
  override readonly name = 'ConfigErrors';
  readonly errors: readonly ConfigError[];
  readonly warnings: readonly ConfigWarning[];

  constructor(errors: readonly ConfigError[], warnings: readonly ConfigWarning[]) {
    super(errors.map(formatConfigError).join('\n'));
    this.errors = errors;
    this.warnings = warnings;
    // The place that matters is in the operator's file, not in ours: nobody is shown a stack for a typo.
    this.stack = this.message;
  }
}

/** Something that is needed is not there: the message says what, and it is nobody's mistake in weir. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/** The exit code a process ends with when this error stops it. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigErrors) return EXIT_CONFIG;
  if (error instanceof Unavailable) return EXIT_UNAVAILABLE;
  if (isPermissionError(error)) return EXIT_NO_PERMISSION;
  if (isSystemError(error)) return EXIT_SYSTEM;
  return EXIT_FAILED;
}
