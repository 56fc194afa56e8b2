/**
 * Flows in which both sides speak, with what each of them has heard (netns/traffic/dialogue.ts): a TCP flow like that of a shell, a UDP flow of fixed
 * ports. Each end holds every byte against what the other must have said; here the ends are held against each other.
 */
import type { Host } from './lab.js';
import type { Process } from './process.js';
import { program } from './program.js';
import { waitFor } from './wait.js';
import type { DialogueEvent } from '../traffic/dialogue.js';

export type { DialogueEvent };

const START_MS = 20_000;
/** Longer than a near end gives the far one to close. */
const GOODBYE_MS = 25_000;

function told(started: Process): DialogueEvent[] {
  const text = started.output();
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as DialogueEvent);
}

/** Who talks with whoever comes, by TCP and UDP on one port. */
export class Listener {
  readonly #process: Process;

  private constructor(started: Process) { this.#process = started; }

  static async start(host: Host, port: number, periodMs: number): Promise<Listener> {
    const started = host.spawn('dialogue', [...program('dialogue'), 'serve', String(port), String(periodMs)]);
    await started.waitForOutput(/^ready$/m, START_MS);
    return new Listener(started);
  }

  /** All that has happened, oldest first. */
  get events(): DialogueEvent[] { return told(this.#process); }

  stop(): Promise<unknown> { return this.#process.stop(); }
}

export class Dialogue {
  /** What a failure calls it. */
  readonly name: string;
  readonly #process: Process;
  readonly #protocol: 'tcp' | 'udp';

  private constructor(name: string, protocol: 'tcp' | 'udp', started: Process) {
    this.name = name;
    this.#protocol = protocol;
    this.#process = started;
  }

  static async start(host: Host, protocol: 'tcp' | 'udp', address: string, port: number, options: { periodMs: number; localPort?: number }): Promise<Dialogue> {
    const { periodMs, localPort = 0 } = options;
    const name = `the ${protocol} flow from ${host.name} to ${address}:${port}`;
    const started = host.spawn('dialogue', [...program('dialogue'), protocol, address, String(port), String(periodMs), String(localPort)]);
    const dialogue = new Dialogue(name, protocol, started);
    await waitFor(() => dialogue.events.some(({ event }) => event === 'heard' || event === 'lost'), START_MS, `${name} to be answered`);
    dialogue.#assertWhole();
    return dialogue;
  }

  /** All that has happened here, oldest first. */
  get events(): DialogueEvent[] { return told(this.#process); }

  #assertWhole(): DialogueEvent[] {
    const { events } = this;
    const bad = events.find(({ event }) => event === 'fault' || event === 'lost');
    if (bad !== undefined) throw new Error(`${this.name}: ${bad.event}: ${bad.error} (${JSON.stringify(bad)})`);
    return events;
  }

  /** Waits until this end has heard so much since `sinceMs`; throws when the flow is lost. */
  async heardSince(sinceMs: number, count = 5, timeoutMs = START_MS): Promise<void> {
    let broken: unknown = null;
    await waitFor(() => {
      try {
        return this.#assertWhole().filter(({ event, atMs }) => event === 'heard' && atMs > sinceMs).length >= count;
      } catch (error) {
        broken = error;
        return true;
      }
    }, timeoutMs, `${this.name} to be answered`);
    if (broken !== null) throw broken;
  }

  /** Ends it in good order, and holds it against what happened at the far end, which saw it as coming from `seenAs` where that is given. */
  async stop(listener: Listener, seenAs?: string): Promise<void> {
    const { code, signal } = await this.#process.stop('SIGTERM', GOODBYE_MS);
    const events = this.#assertWhole();
    const end = events.find(({ event }) => event === 'end');
    if (end === undefined) throw new Error(`${this.name} ended with ${signal ?? code} and without a word\n${this.#process.errors()}`);
    if (this.#protocol === 'udp') return;
    const farEnd = await waitFor(() => listener.events.find(({ event, protocol, far, said, heard }) =>
      protocol === 'tcp' && (event === 'lost' || event === 'end') && (seenAs === undefined || far.startsWith(`${seenAs}:`)) && said === end.heard && heard === end.said), START_MS,
    `the far end of ${this.name} to have heard ${end.said} bytes and said ${end.heard}; it tells ${JSON.stringify(listener.events.filter(({ event }) => event !== 'heard').slice(-6))}`);
    if (farEnd.event !== 'end') throw new Error(`${this.name}: its far end: ${farEnd.error}`);
  }
}

/** Numbers of datagrams that never came, between the first and the last that did. */
export function missing(events: readonly DialogueEvent[], far?: string): number[] {
  const heard = new Set(events.filter(({ event, protocol, far: from }) => event === 'heard' && protocol === 'udp' && (far === undefined || from === far)).map((one) => one.heard!));
  const gone: number[] = [];
  for (let number = Math.min(...heard), last = Math.max(...heard); number <= last; number++) if (!heard.has(number)) gone.push(number);
  return gone;
}
