/**
 * The event log: what happened to links, uplinks and neighbours, newest last, in a ring of fixed size. Every event has
 * a sequence number that grows by one; a reader keeps the number it wants next and learns how many it missed when the
 * ring overwrote them. So a slow reader costs nothing: the ring is the only buffer there is.
 */
import type { RouterEvent } from './api/types.js';

/** Events kept unless told otherwise. */
export const EVENTS_MAX = 1024;

export type EventListener = (event: RouterEvent, sequence: number) => void;

/** Fields of an event beyond the four every event has; `severity` decides the level it is logged with. */
export type EventFields = Record<string, unknown> & { severity?: 'info' | 'warning' | 'error' };

export interface EventBatch {
  /** Oldest first; the first one has the number `sequence`. */
  events: RouterEvent[];
  sequence: number;
  /** Events that were overwritten before they could be read. */
  lost: number;
  /** Pass as `from` the next time. */
  next: number;
}

export class EventLog {
  readonly capacity: number;
  readonly #ring: RouterEvent[] = [];
  readonly #listeners = new Set<EventListener>();
  readonly #nowMs: () => number;
  #next = 1;

  constructor(capacity: number = EVENTS_MAX, nowMs: () => number = Date.now) {
    if (!Number.isInteger(capacity) || capacity < 1) throw new RangeError(`an event log holds at least one event, not ${capacity}`);
    this.capacity = capacity;
    this.#nowMs = nowMs;
  }

  /** Number of the oldest event still held; equal to `next` while there is none. */
  get first(): number { return this.#next - this.#ring.length; }

  /** Number the next event will have. */
  get next(): number { return this.#next; }

  /** Record what happened: `event` is a stable dotted word ('uplink.down'), `subject` what it happened to, `message` one sentence. */
  emit(event: string, subject: string, message: string, fields: EventFields = {}): RouterEvent {
    const sequence = this.#next++;
    // The four fixed fields come last so that no extra field can take their place, and first so that they read first.
    const row: RouterEvent = { atMs: 0, event, subject, message, ...fields };
    row.atMs = this.#nowMs();
    row.event = event;
    row.subject = subject;
    row.message = message;
    if (this.#ring.length === this.capacity) this.#ring.shift();
    this.#ring.push(Object.freeze(row));
    for (const listener of [...this.#listeners]) listener(row, sequence);
    return row;
  }

  /** At most `max` events from number `from` on. */
  read(from: number, max: number): EventBatch {
    const start = Math.min(Math.max(from, this.first), this.#next);
    const at = start - this.first;
    const events = this.#ring.slice(at, at + max);
    return { events, sequence: start, lost: Math.max(0, start - from), next: start + events.length };
  }

  /** Call `listener` at once for each event from now on, until the returned function is called. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }
}
