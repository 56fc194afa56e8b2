/** What others write, from a place in the log on, into the inbox: as fast as the data plane takes it, and in its order. */
import { BatchReader } from './batch.js';
import type { Feed } from './feed.js';
import { readStamp, STAMP_BYTES } from './stamp.js';
import type { ShareCounts } from './status.js';
import type { LogEntry, Position, Store } from './store.js';

export interface FollowOptions {
  store: Pick<Store, 'follow'>;
  feed: Feed;
  counts: ShareCounts;
  /** How long an entry was on its way. */
  onAge: (ageMs: number) => void;
  /** Everything up to here is in the inbox. */
  onReached: (position: Position) => void;
}

/** Until aborted. Rejects with what the store says; with GapError when the log does not reach back so far. */
export async function follow({ store, feed, counts, onAge, onReached }: FollowOptions, from: Position, signal: AbortSignal): Promise<void> {
  const batch = new BatchReader();
  const take = async ({ batch: bytes, ageMs }: LogEntry): Promise<void> => {
    if (ageMs !== null) onAge(ageMs);
    batch.reset(bytes);
    while (batch.next()) {
      if (batch.isPut && readStamp(batch.value) === null) {
        counts.unreadable++;
        continue;
      }
      while (!(batch.isPut ? feed.record(batch.value, STAMP_BYTES, batch.value.length) : feed.forget(batch.key))) {
        await feed.room();
        if (signal.aborted) return;
      }
      if (batch.isPut) counts.applied++;
      else counts.forgotten++;
    }
    if (batch.isBroken) counts.unreadable++;
  };
  await store.follow(from, async (entries, reached) => {
    for (const entry of entries) await take(entry);
    feed.flush();
    if (!signal.aborted) onReached(reached);
  }, signal);
}
