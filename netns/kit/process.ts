/**
 * A long-running program of a lab: its output goes to files, so it never blocks on a reader and can be shown after the fact, and
 * it is ended by its process id.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { waitFor } from './wait.js';

/** Whether a process exists and has not ended; one that ended and was not collected yet counts as ended. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

/** When a process started, in clock ticks since boot: with its id, a name no other process ever has. Null when there is none. */
export function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return null;
  }
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch { /* It has ended meanwhile. */ }
}

export interface Exit { code: number | null; signal: NodeJS.Signals | null }

export class Process {
  readonly name: string;
  readonly pid: number;
  readonly outputFile: string;
  readonly errorFile: string;
  /** Null while it runs. */
  exit: Exit | null = null;
  readonly exited: Promise<Exit>;

  /** Starts `argv`; what it prints is appended to FILE.out and FILE.err. */
  constructor(name: string, argv: readonly string[], file: string, cwd?: string) {
    this.name = name;
    this.outputFile = `${file}.out`;
    this.errorFile = `${file}.err`;
    const output = openSync(this.outputFile, 'a');
    const errors = openSync(this.errorFile, 'a');
    try {
      const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', output, errors], cwd });
      if (child.pid === undefined) throw new Error(`${name}: ${argv[0]} cannot be started`);
      this.pid = child.pid;
      this.exited = new Promise((resolve) => child.on('exit', (code, signalName) => resolve(this.exit = { code, signal: signalName })));
      child.on('error', () => { /* Reported by the missing pid. */ });
    } finally {
      closeSync(output);
      closeSync(errors);
    }
  }

  output(): string { return readFileSync(this.outputFile, 'utf8'); }
  errors(): string { return readFileSync(this.errorFile, 'utf8'); }

  /** Waits until it has printed something that matches, on either output; a program that ends first is a failure. */
  async waitForOutput(pattern: RegExp, timeoutMs: number): Promise<RegExpMatchArray> {
    const found = await waitFor(() => {
      const match = `${this.output()}\n${this.errors()}`.match(pattern);
      return match ?? (this.exit === null ? null : 'ended');
    }, timeoutMs, `${this.name} to print ${pattern}`);
    if (found === 'ended') throw new Error(`${this.name} ended (${this.exit?.signal ?? this.exit?.code}) before it printed ${pattern}\n${this.errors()}${this.output()}`);
    return found as RegExpMatchArray;
  }

  /** Asks it to end and waits; killed when it does not. */
  async stop(name: NodeJS.Signals = 'SIGTERM', timeoutMs = 5000): Promise<Exit> {
    if (this.exit !== null) return this.exit;
    signal(this.pid, name);
    const killer = setTimeout(() => signal(this.pid, 'SIGKILL'), timeoutMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(killer);
    }
  }
}
