/**
 * The event log: what happened to links, uplinks and neighbours, and to the flows they carried. Two rings of fixed size: one for the
 * events of flows (`flow.reset`, `flow.moved` …), of which one failover makes thousands, one for all others, which they must not push out. An
 * event's sequence number grows by one over both. A reader keeps a place in each ring and is told how many events were overwritten before it came
 * to read them. So a slow reader costs nothing: the rings are the only buffer there is.
 */
import type { EventCounts, RouterEvent } from './api/types.js';

/** Events kept unless told otherwise: of flows, and of all else. */
export const EVENTS_MAX = 1024;
export const FLOW_EVENTS_MAX = 4096;

/** What the words of flows' events begin with. */
const FLOW_PREFIX = 'flow.';

export type EventListener = (event: RouterEvent, sequence: number) => void;

/** Fields of an event beyond the four every event has; `severity` decides the level it is logged with. */
export type EventFields = Record<string, unknown> & { severity?: 'info' | 'warning' | 'error' };

export interface NumberedEvent { sequence: number; event: RouterEvent }

/** Where a reader is: the count of each ring's events it has behind it; `flow` is null when it does not want those. Reading moves it on. */
export interface EventPlace { main: number; flow: number | null }

export interface EventBatch {
  /** Oldest first. */
  events: NumberedEvent[];
  /** Events that were overwritten before they could be read. */
  lost: number;
}

export function isFlowEvent(event: RouterEvent): boolean { return event.event.startsWith(FLOW_PREFIX); }

/** The newest `capacity` of what was pushed, each known by how many were pushed before it. */
class Ring {
  readonly capacity: number;
  readonly #slots: NumberedEvent[] = [];
  pushed = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get overwritten(): number { return Math.max(0, this.pushed - this.capacity); }

  push(row: NumberedEvent): void { this.#slots[this.pushed++ % this.capacity] = row; }

  /** What was pushed after `place` others, or undefined when that is yet to come; it must not be overwritten. */
  at(place: number): NumberedEvent | undefined { return place < this.pushed ? this.#slots[place % this.capacity] : undefined; }

  /** The place of the first event held whose number is at least `sequence`. */
  placeOf(sequence: number): number {
    let low = this.overwritten;
    let high = this.pushed;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle)!.sequence < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export class EventLog {
  readonly #main: Ring;
  readonly #flow: Ring;
  readonly #listeners = new Set<EventListener>();
  readonly #nowMs: () => number;
  #next = 1;

  constructor(capacity: number = EVENTS_MAX, nowMs: () => number = Date.now, flowCapacity: number = FLOW_EVENTS_MAX) {
    for (const size of [capacity, flowCapacity]) {
      if (!Number.isInteger(size) || size < 1) throw new RangeError(`an event log holds at least one event, not ${size}`);
    }
    this.#main = new Ring(capacity);
    this.#flow = new Ring(flowCapacity);
    this.#nowMs = nowMs;
  }

  /** Events other than flows' that are kept. */
  get capacity(): number { return this.#main.capacity; }

  /** Number the next event will have. */
  get next(): number { return this.#next; }

  get counts(): EventCounts {
    return {
      events: this.#main.pushed, eventsOverwritten: this.#main.overwritten, eventsLimit: this.#main.capacity,
      flowEvents: this.#flow.pushed, flowEventsOverwritten: this.#flow.overwritten, flowEventsLimit: this.#flow.capacity,
    };
  }

  /** Record what happened: `event` is a stable dotted word ('uplink.down'), `subject` what it happened to, `message` one sentence. */
  emit(event: string, subject: string, message: string, fields: EventFields = {}): RouterEvent {
    const sequence = this.#next++;
    // The four fixed fields come last so that no extra field can take their place, and first so that they read first.
    const row: RouterEvent = { atMs: 0, event, subject, message, ...fields };
    row.atMs = this.#nowMs();
    row.event = event;
    row.subject = subject;
    row.message = message;
    (isFlowEvent(row) ? this.#flow : this.#main).push({ sequence, event: Object.freeze(row) });
    for (const listener of [...this.#listeners]) listener(row, sequence);
    return row;
  }

  /** The place where the newest `count` events begin. */
  placeOfLast(count: number, withFlows: boolean): EventPlace {
    const place: EventPlace = { main: this.#main.pushed, flow: withFlows ? this.#flow.pushed : null };
    for (let left = count; left > 0; left--) {
      const main = place.main > this.#main.overwritten ? this.#main.at(place.main - 1)!.sequence : 0;
      const flow = place.flow !== null && place.flow > this.#flow.overwritten ? this.#flow.at(place.flow - 1)!.sequence : 0;
      if (main === 0 && flow === 0) break;
      if (main > flow) place.main--;
      else place.flow!--;
    }
    return place;
  }

  /**
   * The place of the first event from number `from` on, and how many from there on are no longer held. Without flows' events that is not known
   * exactly, for numbers run over both; 0 is said.
   */
  placeFrom(from: number, withFlows: boolean): { place: EventPlace; lost: number } {
    const main = this.#main.placeOf(from);
    const flow = this.#flow.placeOf(from);
    const held = this.#main.pushed - main + this.#flow.pushed - flow;
    return { place: { main, flow: withFlows ? flow : null }, lost: withFlows ? Math.max(0, this.#next - from - held) : 0 };
  }

  /** At most `max` events from `place` on, which is moved behind them. */
  read(place: EventPlace, max: number): EventBatch {
    let lost = Math.max(0, this.#main.overwritten - place.main);
    place.main += lost;
    if (place.flow !== null) {
      const flowsLost = Math.max(0, this.#flow.overwritten - place.flow);
      place.flow += flowsLost;
      lost += flowsLost;
    }
    const events: NumberedEvent[] = [];
    while (events.length < max) {
      const main = this.#main.at(place.main);
      const flow = place.flow === null ? undefined : this.#flow.at(place.flow);
      if (main !== undefined && (flow === undefined || main.sequence < flow.sequence)) {
        events.push(main);
        place.main++;
      } else if (flow !== undefined) {
        events.push(flow);
        place.flow!++;
      } else break;
    }
    return { events, lost };
  }

  /** Call `listener` at once for each event from now on, until the returned function is called. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }
}
