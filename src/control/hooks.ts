/**
 * Hooks: programs of the operator's that are run on events. Every executable file of the hooks directory is run for every event, in lexical order, one
 * after the other, without a shell, as another user, with the event as JSON on its standard input and in its environment, and with a time limit.
 *
 *   event ──▶ queue (bounded, what does not fit is counted) ──▶ 10-mail ──▶ 20-dyndns ──▶ next event
 *
 * Nothing waits for a hook. One that fails, hangs or floods is an event itself (`hooks.failed`), which runs no hooks; neither do the events of
 * single flows, of which a failover makes thousands. Files that somebody else could have written are not run: like the directory and all above
 * it they must belong to root or to weir's own user and must not be writable by their group or by others.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigErrors } from '../base/error.js';
import type { HooksPlan } from '../base/plan.js';
import { judgePath } from '../base/safe-path.js';
import type { HookCounts, RouterEvent, StreamedEvent } from './api/types.js';
import { SCHEMA_VERSION } from './api/types.js';
import type { EventLog, NumberedEvent } from './event.js';
import { isFlowEvent } from './event.js';
import type { User } from './user.js';
import { lookUpUser } from './user.js';

/** Events that may wait for the hooks of earlier ones. */
export const HOOK_QUEUE_MAX = 256;
/** Files of the directory that are run. */
export const HOOKS_MAX = 64;
/** What a hook may write before it is ended: its words are read only to say why it failed. */
export const HOOK_OUTPUT_MAX_BYTES = 1 << 20;
/** Of that, the end of its standard error is kept. */
const KEPT_BYTES = 2048;
const KEPT_LINE_CHARACTERS = 200;
/** From the request to end (TERM) to the end (KILL). */
const KILL_GRACE_MS = 1000;
/** How long the words of a hook that has ended are waited for: something it left running may hold its output open. */
const LAST_WORDS_MS = 200;
/** Longer values are cut in the environment; the JSON has the whole. */
const ENVIRONMENT_MAX_CHARACTERS = 4096;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const FAILED = 'hooks.failed';

export interface HooksOptions {
  plan: HooksPlan;
  events: EventLog;
  /** Where the plan is from, for what is wrong with it. */
  configFile: string;
}

/** A file of the directory, and the path it leads to. */
interface Hook { name: string; real: string }

/** How one run of one hook ended; reason null = well. */
interface Outcome { reason: string | null; exitCode: number | null; isTimeout: boolean }

/** What a hook finds in its environment; a field of the event becomes WEIR_ and its name in capitals. */
export function hookEnvironment(event: RouterEvent, sequence: number, user: User): Record<string, string> {
  const environment: Record<string, string> = { PATH, HOME: user.home, USER: user.name, LOGNAME: user.name, LANG: 'C.UTF-8' };
  for (const [name, value] of Object.entries({ ...event, sequence })) {
    if (!/^[A-Za-z][A-Za-z0-9]*$/.test(name) || !['string', 'number', 'boolean'].includes(typeof value)) continue;
    // A NUL would end the value for the program, and Node refuses it.
    environment[`WEIR_${name.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase()}`] = String(value).replaceAll('\0', '').slice(0, ENVIRONMENT_MAX_CHARACTERS);
  }
  return environment;
}

function lastLine(words: Buffer): string {
  return words.toString('utf8').trimEnd().split('\n').at(-1)!.trim().slice(-KEPT_LINE_CHARACTERS);
}

function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES') return 'the user may not run it (EACCES)';
  if (code === 'EPERM') return 'weir has no right to become the user (EPERM)';
  if (code === 'ENOENT') return 'it, or the interpreter its first line names, does not exist (ENOENT)';
  return message;
}

export class Hooks {
  private readonly plan: HooksPlan;
  private readonly events: EventLog;
  private readonly configFile: string;
  private readonly queue: NumberedEvent[] = [];
  private readonly counters = { events: 0, eventsDropped: 0, runs: 0, failures: 0, timeouts: 0 };
  /** Files and directories that are not run, with the reason that was told; beyond HOOKS_MAX of them nothing is told. */
  private readonly refused = new Map<string, string>();
  private unsubscribe: (() => void) | null = null;
  private running: Promise<void> | null = null;
  /** Ends what runs. */
  private end: (() => void) | null = null;
  private isClosed = false;
  private isDropping = false;

  constructor({ plan, events, configFile }: HooksOptions) {
    this.plan = plan;
    this.events = events;
    this.configFile = configFile;
  }

  /** Nothing runs and nothing waits. */
  get isIdle(): boolean { return this.running === null; }

  get counts(): HookCounts { return { ...this.counters, waiting: this.queue.length }; }

  /** Run hooks on events from now on. Throws ConfigErrors when there is a directory and no such user. */
  async start(): Promise<void> {
    const hasDirectory = await stat(this.plan.directory).then(() => true, () => false);
    // Without the directory the user is of no account: nothing keeps a small box from having no `nobody`.
    if (hasDirectory && await lookUpUser(this.plan.user) === null) {
      throw new ConfigErrors([{
        file: this.configFile, line: 0, column: 0, path: 'hooks.user', found: `'${this.plan.user}', which is no user of this system`,
        allowed: `an existing user (useradd --system ${this.plan.user} makes it)`,
      }], []);
    }
    this.unsubscribe = this.events.subscribe((event, sequence) => this.take({ event, sequence }));
  }

  /** Take no more events, end what runs. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.unsubscribe?.();
    this.queue.length = 0;
    this.end?.();
    await this.running;
  }

  private take(row: NumberedEvent): void {
    if (isFlowEvent(row.event) || row.event.event === FAILED) return;
    // Without the directory nothing is to be run for those that wait.
    if (this.queue.length >= HOOK_QUEUE_MAX && !existsSync(this.plan.directory)) this.queue.length = 0;
    if (this.queue.length >= HOOK_QUEUE_MAX) {
      this.counters.eventsDropped++;
      if (!this.isDropping) {
        this.isDropping = true;
        // Not within the event that did not fit: its other listeners have not heard of it yet.
        setImmediate(() => this.events.emit(FAILED, 'hooks', `${HOOK_QUEUE_MAX} events wait for their hooks; further ones run none until these are through`, { reason: 'queue full', severity: 'warning' }));
      }
      return;
    }
    this.queue.push(row);
    this.running ??= this.work();
  }

  private async work(): Promise<void> {
    try {
      for (let row = this.queue.shift(); row !== undefined; row = this.queue.shift()) {
        if (this.queue.length < HOOK_QUEUE_MAX / 2) this.isDropping = false;
        this.counters.events++;
        for (const { name, real } of await this.list()) {
          if (this.isClosed) return;
          await this.runOne(name, real, row);
        }
      }
    } finally {
      // In the same step in which the queue was found empty: what comes next starts anew.
      this.running = null;
    }
  }

  /** The files to run now: each by its name, and by the path that was judged, which is what is run. */
  private async list(): Promise<Hook[]> {
    const { directory } = this.plan;
    let names: string[];
    try {
      names = (await readdir(directory)).sort();
      const { why } = await judgePath(directory);
      if (why !== null) {
        this.refuse(directory, why);
        return [];
      }
    } catch (error) {
      // No directory, no hooks.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.refused.clear();
      else this.refuse(directory, (error as Error).message);
      return [];
    }
    this.refused.delete(directory);
    for (const name of this.refused.keys()) if (!names.includes(name)) this.refused.delete(name);
    const sound: Hook[] = [];
    for (const name of names) {
      const path = join(directory, name);
      try {
        const found = await stat(path);
        if (!found.isFile() || (found.mode & 0o111) === 0) continue;
        const { real, why } = sound.length < HOOKS_MAX ? await judgePath(path) : { real: path, why: `there are more than ${HOOKS_MAX} hooks` };
        if (why === null) {
          this.refused.delete(name);
          sound.push({ name, real });
        } else this.refuse(name, why);
      } catch {
        // Gone since it was listed, or a link to nothing.
      }
    }
    return sound;
  }

  /** Tell once, not on every event, that something is not run. */
  private refuse(name: string, why: string): void {
    if (this.refused.get(name) === why || (this.refused.size >= HOOKS_MAX && !this.refused.has(name))) return;
    this.refused.set(name, why);
    this.counters.failures++;
    this.events.emit(FAILED, name, `hook ${name} is not run: ${why}`, { hook: name, reason: why, severity: 'warning' });
  }

  private async runOne(name: string, real: string, row: NumberedEvent): Promise<void> {
    const user = await lookUpUser(this.plan.user);
    if (user === null) {
      this.refuse(name, `there is no user '${this.plan.user}' (hooks.user)`);
      return;
    }
    // The look-up may have taken a while.
    if (this.isClosed) return;
    this.counters.runs++;
    const { reason, exitCode, isTimeout } = await this.execute(real, join(this.plan.directory, name), row, user);
    if (reason === null || this.isClosed) return;
    this.counters.failures++;
    if (isTimeout) this.counters.timeouts++;
    const { event, subject } = row.event;
    this.events.emit(FAILED, name, `hook ${name} failed on ${event} of ${subject}: ${reason}`, { hook: name, trigger: event, reason, exitCode, severity: 'warning' });
  }

  /** `called` is what it finds as its own name. */
  private execute(path: string, called: string, { event, sequence }: NumberedEvent, user: User): Promise<Outcome> {
    return new Promise((resolve) => {
      const isOwn = process.geteuid?.() !== 0 && process.geteuid?.() === user.uid;
      let child: ChildProcess;
      try {
        // A process group of its own, so that all it starts can be ended with it.
        child = spawn(path, [], {
          argv0: called, cwd: '/', env: hookEnvironment(event, sequence, user), stdio: ['pipe', 'pipe', 'pipe'], detached: true, ...(isOwn ? {} : { uid: user.uid, gid: user.gid }),
        });
      } catch (error) {
        resolve({ reason: systemReason(error), exitCode: null, isTimeout: false });
        return;
      }
      let ended: string | null = null;
      let isTimeout = false;
      let isSettled = false;
      let kept = Buffer.alloc(0);
      let writtenBytes = 0;
      let killTimer: NodeJS.Timeout | undefined;
      let wordsTimer: NodeJS.Timeout | undefined;
      const signal = (name: 'SIGTERM' | 'SIGKILL'): void => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, name);
        } catch {
          // The whole group is gone already.
        }
      };
      const stop = (why: string): void => {
        if (ended !== null) return;
        ended = why;
        signal('SIGTERM');
        killTimer = setTimeout(() => {
          signal('SIGKILL');
          // Of another user, and weir has no CAP_KILL; or in a system call that nothing interrupts. The next one's turn comes all the same.
          killTimer = setTimeout(() => settle(`${why}, in vain: it still runs`, null), KILL_GRACE_MS);
        }, KILL_GRACE_MS);
      };
      const limit = setTimeout(() => {
        isTimeout = true;
        stop(`it took longer than ${this.plan.timeoutMs} ms and was ended`);
      }, this.plan.timeoutMs);
      this.end = () => stop('weir stopped');
      const hear = (chunk: Buffer, isError: boolean): void => {
        writtenBytes += chunk.length;
        if (isError && writtenBytes <= HOOK_OUTPUT_MAX_BYTES) kept = Buffer.concat([kept, chunk]).subarray(-KEPT_BYTES);
        if (writtenBytes > HOOK_OUTPUT_MAX_BYTES && ended === null) {
          stop(`it wrote more than ${HOOK_OUTPUT_MAX_BYTES} bytes and was ended`);
          // Nobody reads any more: whatever still writes gets a broken pipe.
          child.stdout?.destroy();
          child.stderr?.destroy();
        }
      };
      const settle = (reason: string | null, exitCode: number | null): void => {
        if (isSettled) return;
        isSettled = true;
        clearTimeout(limit);
        clearTimeout(killTimer);
        clearTimeout(wordsTimer);
        this.end = null;
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
        resolve({ reason, exitCode, isTimeout });
      };
      child.stdout?.on('data', (chunk: Buffer) => hear(chunk, false));
      child.stderr?.on('data', (chunk: Buffer) => hear(chunk, true));
      // A hook need not read its input.
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => undefined);
      child.on('error', (error) => settle(systemReason(error), null));
      child.on('exit', (code, killedBy) => {
        // What it left running has no time limit of its own.
        signal('SIGKILL');
        const finish = (): void => {
          const words = lastLine(kept);
          const said = words === '' ? '' : `: ${words}`;
          settle(ended ?? (code === 0 ? null : `${code === null ? `killed by ${killedBy}` : `exit code ${code}`}${said}`), code);
        };
        wordsTimer = setTimeout(finish, LAST_WORDS_MS);
        child.once('close', finish);
      });
      const json: StreamedEvent = { schemaVersion: SCHEMA_VERSION, sequence, ...event };
      child.stdin?.end(`${JSON.stringify(json)}\n`);
    });
  }
}
