/**
 * Events as server-sent events. The reader pulls: each pull takes what is new from the event log's rings, so a reader that stalls holds
 * no memory here, and is told how many events it missed when it comes back. A comment line goes out when nothing happens, so that
 * both ends notice a dead peer.
 *
 *     id: 17
 *     event: uplink.down
 *     data: {"schemaVersion":1,"sequence":17,"atMs":…,"event":"uplink.down","subject":"isp1","message":"…"}
 */
import type { EventLog, EventPlace } from '../event.js';
import type { StreamedEvent } from './types.js';
import { SCHEMA_VERSION } from './types.js';

/** Events taken from the ring at once. */
const BATCH_EVENTS = 64;
/** Silence after which a comment is sent. */
export const HEARTBEAT_MS = 15_000;

export interface EventStream { body: ReadableStream<Uint8Array>; /** End the stream from our side. */ end: () => void }

/** A stream of the events from `place` on, of which `lost` are gone already. `onEnd` is called once, whichever side ends it. */
export function streamEvents(events: EventLog, { place, lost }: { place: EventPlace; lost: number }, heartbeatMs: number, onEnd: () => void): EventStream {
  const encoder = new TextEncoder();
  let unsaid = lost;
  let ended = false;
  let begun = false;
  let wake: (() => void) | null = null;

  const unsubscribe = events.subscribe(() => wake?.());
  const finish = (): void => {
    if (ended) return;
    ended = true;
    unsubscribe();
    wake?.();
    onEnd();
  };

  /** Wait for an event or the end; false when the heartbeat came first. */
  const wait = (): Promise<boolean> => new Promise((resolve) => {
    const timer = setTimeout(() => { wake = null; resolve(false); }, heartbeatMs);
    wake = () => { wake = null; clearTimeout(timer); resolve(true); };
  });

  const take = (): string => {
    const batch = events.read(place, BATCH_EVENTS);
    unsaid += batch.lost;
    let text = '';
    if (unsaid > 0) text += `event: lost\ndata: ${JSON.stringify({ schemaVersion: SCHEMA_VERSION, lost: unsaid })}\n\n`;
    unsaid = 0;
    for (const { sequence, event } of batch.events) {
      const streamed: StreamedEvent = { schemaVersion: SCHEMA_VERSION, sequence, ...event };
      text += `id: ${sequence}\nevent: ${event.event.replace(/[\r\n]/g, ' ')}\ndata: ${JSON.stringify(streamed)}\n\n`;
    }
    return text;
  };

  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // The first chunk carries no event: it sends the headers on their way, so that the reader knows it is connected.
      let text = begun ? '' : ': events\n\n';
      begun = true;
      text += take();
      while (text === '' && !ended) text = await wait() ? take() : ': heartbeat\n\n';
      if (text !== '') controller.enqueue(encoder.encode(text));
      if (ended) controller.close();
    },
    cancel: finish,
  }, { highWaterMark: 0 });

  return { body, end: finish };
}
