/** The contract of a command's file, and the options that all reading commands share. */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { ConfigError, ConfigWarning } from '../base/error.js';
import type { VirtualRouterStatus } from '../control/api/types.js';
import { Client, DEFAULT_SOCKET } from './client.js';
import type { Query } from './client.js';
import type { Io } from './io.js';

/** Where the configuration is unless told otherwise. */
export const DEFAULT_CONFIG = '/etc/weir/weir.yaml';

export interface RunOptions { /** Instead of the configuration's control.logLevel. */ logLevel?: string }

/** What `weir check` found: the mistakes, the doubts, and what a sound configuration has. */
export interface CheckResult {
  errors: readonly ConfigError[];
  warnings: readonly ConfigWarning[];
  /** Absent when there are mistakes. */
  counts?: { links: number; uplinks: number; groups: number; routes: number; virtualServers: number; realServers: number; virtualRouters: number };
}

/** One thing `weir doctor` looked at. */
export interface DoctorCheck { name: string; ok: boolean; /** Nothing wrong, but worth knowing. */ isWarning?: boolean; detail: string; advice: string | null }

/** What `weir import` can read. */
export const IMPORT_FORMATS = ['ipvsadm', 'keepalived', 'bng'] as const;

/** A foreign configuration to turn into one of weir's, with what the command line adds to it. */
export interface ImportRequest {
  format: (typeof IMPORT_FORMATS)[number];
  /** What places are told under. */
  name: string;
  text: string;
  links: readonly { name: string; device: string; addresses: readonly string[] }[];
  marks: readonly { mark: number; listens: readonly string[] }[];
  gateway?: string;
  /** The configuration the result is to be a drop-in of. */
  into?: string;
  /** Which of several boxes this is. */
  instance?: string;
  /** The files a pattern means that stands in the file `from`, or why there is none. */
  include?: (pattern: string, from: string) => readonly { file: string; text: string }[] | string;
}

/** What came of it: a configuration, and a line for everything that is not in it as it was. */
export interface ImportResult { yaml: string; remarks: readonly string[] }

/** What needs more than the API, handed in from above: the command line itself knows neither the daemon nor the configuration. */
export interface Actions {
  version: string;
  /** Runs until it is told to stop; gives the exit code. */
  run(file: string, options: RunOptions): Promise<number>;
  check(file: string): Promise<CheckResult>;
  /** Throws ConfigErrors for a text that is not what it should be. */
  import(request: ImportRequest): Promise<ImportResult>;
  /** `file`: the configuration whose store is asked, null = none; `ask` gives a running weir's virtual routers, null when none runs. */
  probe(file: string | null, ask: () => Promise<VirtualRouterStatus[] | null>): Promise<DoctorCheck[]>;
  /** Runs the lab with the person's terminal; gives the exit code. */
  lab(args: string[]): Promise<number>;
  /** Runs the self-test with the person's terminal; gives the exit code. */
  selftest(args: string[]): Promise<number>;
}

export interface Context { io: Io; actions: Actions }

/** A command: its options and help, and what it does. Options arrive as commander names them (camelCase). */
export interface CommandFile {
  define(command: Command): void;
  run(context: Context, options: Record<string, unknown>, operands: string[]): Promise<number>;
}

/** Options as a reading command sees them. */
export interface ReadingOptions { json: boolean; socket: string }

/** Add -j and --socket. */
export function defineReading(command: Command): void {
  command
    .option('-j, --json', 'print JSON, exactly as the API gives it')
    .addOption(new Option('--socket <path>', 'socket of the daemon to ask').default(DEFAULT_SOCKET).env('WEIR_SOCKET'));
}

export function readingOptions(options: Record<string, unknown>): ReadingOptions {
  const socket = options['socket'];
  return {
    json: options['json'] === true,
    // An empty WEIR_SOCKET means the same as none.
    socket: typeof socket === 'string' && socket !== '' ? socket : DEFAULT_SOCKET,
  };
}

/** Run `body` with a client of the chosen daemon. */
export async function withClient<T>(options: ReadingOptions, body: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(options.socket);
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

/** Print a resource as the API gives it, one line. */
export async function printJson(context: Context, client: Client, resource: string, query: Query = {}): Promise<void> {
  await client.copy(resource, (text) => context.io.write(text), query);
  await context.io.write('\n');
}

/** A whole number given on the command line; commander tells the person when this throws. */
export function wholeNumber(min: number, fail: (message: string) => Error): (text: string) => number {
  return (text) => {
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min)) throw fail(`It must be a whole number, at least ${min}.`);
    return value;
  };
}
