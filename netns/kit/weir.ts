/** Runs the daemon on a host of a lab and asks it: through its command line, as a user would, and where it is asked again and again, through its API. */
import { get } from 'node:http';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { run, type RunResult } from './command.js';
import type { Host } from './lab.js';
import { signal, type Exit, type Process } from './process.js';
import { waitFor } from './wait.js';
import type { RouterEvent } from '../../src/control/api/types.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const WEIR = join(ROOT, 'bin/weir');
const START_MS = 20_000;
const ASK_MS = 15_000;

/** The parts of a configuration a lab looks at. */
interface Configuration { uplinks?: Record<string, { link: string; weight?: number }> }

/** A command of `weir` against a socket; any exit code is an answer. */
export function weir(socket: string, ...args: string[]): Promise<RunResult> {
  return run([WEIR, ...args, '--socket', socket], { check: false, timeoutMs: ASK_MS });
}

/** What a daemon's API answers: `path` behind /api/v1/, with its query. */
export function askDaemon<T>(socket: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath: socket, path: `/api/v1/${path}`, timeout: ASK_MS, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('error', reject).on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text) as T);
        else reject(new Error(`${path}: ${response.statusCode} ${text}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${path}: no answer within ${ASK_MS / 1000} s`)));
    request.on('error', reject);
  });
}

/** An event as `weir monitor -j` prints it, with the fields that some have. */
export type Told = RouterEvent & { reason?: string | null; reset?: number; tookMs?: number; untilMs?: number };

/** `weir monitor -j`, from the last so many events on; with what became of single flows, or without. */
export class Monitor {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  /** Returns once all of the past has been told: at least that it started is there. */
  static async start(host: Host, socket: string, last: number, flows: boolean): Promise<Monitor> {
    const started = host.spawn('monitor', [WEIR, 'monitor', '-j', '--last', String(last), ...(flows ? [] : ['--no-flows']), '--socket', socket]);
    await started.waitForOutput(/"atMs"/, START_MS);
    return new Monitor(started);
  }

  /** All that has been told so far, oldest first. */
  get events(): Told[] {
    const text = this.#process.output();
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Told);
  }

  /** All but what became of single flows, for the reader of a failure. */
  get story(): string { return this.events.filter(({ event }) => !event.startsWith('flow.')).map(({ atMs, event, message }) => `${atMs} ${event} ${message}`).join('\n'); }

  /** The next such event about a subject, after the first `known` ones. */
  async next(known: number, event: string, subject: string, timeoutMs = 30_000): Promise<Told> {
    try {
      return await waitFor(() => this.events.slice(known).find((one) => one.event === event && one.subject === subject), timeoutMs, `${event} of ${subject}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.story}`, { cause: error });
    }
  }
}

export class Daemon {
  readonly host: Host;
  readonly configFile: string;
  readonly socket: string;
  /** Name of the uplink on each link. */
  readonly uplinkOn: ReadonlyMap<string, string>;
  process: Process | null = null;

  /**
   * Copies a scenario's configuration (a path in the checkout, or a whole one) into the lab's directory and adds a drop-in with what
   * differs there: the socket, and the weights, given by link. `instance`: its name where a lab has several.
   */
  constructor(host: Host, scenarioFile: string, weights: Record<string, number>, instance?: string) {
    this.host = host;
    this.configFile = join(host.lab.directory, instance === undefined ? basename(scenarioFile) : `${instance}.yaml`);
    this.socket = join(host.lab.directory, `${instance ?? 'weir'}.sock`);
    const text = readFileSync(resolve(ROOT, scenarioFile), 'utf8');
    writeFileSync(this.configFile, text);
    const { uplinks = {} } = parse(text) as Configuration;
    this.uplinkOn = new Map(Object.entries(uplinks).map(([name, uplink]) => [uplink.link, name]));
    this.dropIn('50-lab', {
      control: { socket: this.socket },
      uplinks: Object.fromEntries(Object.entries(weights).map(([link, weight]) => {
        const name = this.uplinkOn.get(link);
        if (name === undefined) throw new Error(`${scenarioFile} has no uplink on ${link}`);
        return [name, { weight }];
      })),
    });
  }

  /** Writes FILE.d/NAME.yaml. */
  dropIn(name: string, content: object): void {
    mkdirSync(`${this.configFile}.d`, { recursive: true });
    writeFileSync(join(`${this.configFile}.d`, `${name}.yaml`), stringify(content));
  }

  /** Starts the daemon, under a command that runs commands if one is given, and returns once it answers that it runs. */
  async start(...under: string[]): Promise<void> {
    const started = this.host.spawn('weir', [...under, WEIR, 'run', '-c', this.configFile]);
    this.process = started;
    try {
      await waitFor(async () => {
        if (started.exit !== null) return true;
        return await this.api('status') !== null;
      }, START_MS, 'weir to answer on its socket');
      if (started.exit !== null) throw new Error(`weir run ended with ${started.exit.signal ?? `exit code ${started.exit.code}`}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.log()}`, { cause: error });
    }
  }

  /** The last so many events, and what it tells from now on. */
  monitor({ last = 100, flows = true } = {}): Promise<Monitor> { return Monitor.start(this.host, this.socket, last, flows); }

  /** What it logged; its end when that is long. */
  log(): string { return this.process === null ? '' : `${this.process.errors()}${this.process.output()}`.slice(-8192); }

  /** Sends a signal to what runs: SIGKILL for a crash, SIGSTOP and SIGCONT for a machine that hangs and wakes up. */
  signal(name: NodeJS.Signals): void {
    if (this.process === null) throw new Error('weir was not started');
    signal(this.process.pid, name);
  }

  stop(name?: NodeJS.Signals): Promise<Exit> {
    if (this.process === null) throw new Error('weir was not started');
    return this.process.stop(name, 10_000);
  }

  /** A reading command, as a person sees it. */
  async ask(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await weir(this.socket, ...args);
    if (code !== 0 && code !== 1) throw new Error(`weir ${args.join(' ')}: exit code ${code}\n${stderr}`);
    return stdout;
  }

  async askJson<T>(...args: string[]): Promise<T> { return JSON.parse(await this.ask(...args, '-j')) as T; }

  /** What the API answers: `path` behind /api/v1/, with its query. Costs no process, so a condition may ask it again and again. */
  api<T>(path: string): Promise<T> { return askDaemon(this.socket, path); }
}
