/** Runs the daemon on a host of a lab and asks it through its command line, as a user would. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { run, type RunResult } from './command.js';
import type { Host } from './lab.js';
import type { Exit, Process } from './process.js';
import { waitFor } from './wait.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const WEIR = join(ROOT, 'bin/weir');
const START_MS = 20_000;

/** The parts of a configuration a lab looks at. */
interface Configuration { uplinks?: Record<string, { link: string; weight?: number }> }

/** A command of `weir` against a socket; any exit code is an answer. */
export function weir(socket: string, ...args: string[]): Promise<RunResult> {
  return run([WEIR, ...args, '--socket', socket], { check: false, timeoutMs: 15_000 });
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
   * differs there: the socket, and the weights, given by link.
   */
  constructor(host: Host, scenarioFile: string, weights: Record<string, number>) {
    this.host = host;
    this.configFile = join(host.lab.directory, basename(scenarioFile));
    this.socket = join(host.lab.directory, 'weir.sock');
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

  /** Starts the daemon and returns once it answers that it runs. */
  async start(): Promise<void> {
    const started = this.host.spawn('weir', [WEIR, 'run', '-c', this.configFile]);
    this.process = started;
    try {
      await waitFor(async () => {
        if (started.exit !== null) return true;
        const { code } = await weir(this.socket, 'status', '-j');
        return code === 0 || code === 1;
      }, START_MS, 'weir status to answer');
      if (started.exit !== null) throw new Error(`weir run ended with ${started.exit.signal ?? `exit code ${started.exit.code}`}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.log()}`, { cause: error });
    }
  }

  /** What it logged; its end when that is long. */
  log(): string { return this.process === null ? '' : `${this.process.errors()}${this.process.output()}`.slice(-8192); }

  stop(signal?: NodeJS.Signals): Promise<Exit> {
    if (this.process === null) throw new Error('weir was not started');
    return this.process.stop(signal, 10_000);
  }

  /** A reading command, as a person sees it. */
  async ask(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await weir(this.socket, ...args);
    if (code !== 0 && code !== 1) throw new Error(`weir ${args.join(' ')}: exit code ${code}\n${stderr}`);
    return stdout;
  }

  async askJson<T>(...args: string[]): Promise<T> { return JSON.parse(await this.ask(...args, '-j')) as T; }
}
