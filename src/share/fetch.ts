/**
 * The store is asked for the flow of a packet that waits (table/journal.ts, FETCH). The instance that has it may be a moment behind with writing it, so while there is none
 * it is asked again, less and less often, as long as the packet waits (share.holdMs). The record goes into the inbox before the answer does; so does
 * that of its edited stream, where there are ALGs.
 */
import type { Timers } from '../base/timers.js';
import { DECODED, RECORD_FLOW } from '../table/flow-record.js';
import type { RecordDecoder, RecordEncoder, SharedRecord } from '../table/flow-record.js';
import { PROTOCOL_TCP } from '../wire/ipv4.js';
import { Tuple, TUPLE_WORDS } from '../wire/tuple.js';
import type { Feed } from './feed.js';
import { STAMP_BYTES } from './stamp.js';
import type { ShareCounts } from './status.js';
import type { Store } from './store.js';

/** The second try comes after so long, each further one after twice as long as the one before. */
const AGAIN_MS = 5;

export interface FetchOptions {
  store: Pick<Store, 'fetch'>;
  feed: Feed;
  encoder: RecordEncoder;
  decoder: RecordDecoder;
  counts: ShareCounts;
  timers: Timers;
  nowMs: () => number;
  holdMs: number;
  /** Packets that are asked for at once. */
  limit: number;
  /** Some flow may have an edited stream. */
  hasStreams: boolean;
}

export class Fetches {
  private readonly options: FetchOptions;
  private readonly record: SharedRecord;
  private readonly words = new Int32Array(TUPLE_WORDS);
  private under = 0;
  /** Changes when the store is lost: who waits for another try gives up. */
  private epoch = 0;
  private isOpen = false;

  constructor(options: FetchOptions, record: SharedRecord) {
    this.options = options;
    this.record = record;
  }

  get underWay(): number { return this.under; }

  open(): void { this.isOpen = true; }

  /** The store cannot be asked: everybody is answered at once. */
  close(): void {
    this.isOpen = false;
    this.epoch++;
  }

  /** A packet with the tuple at `at` waits. */
  ask(token: number, words: Int32Array, at: number): void {
    const { feed, counts, limit } = this.options;
    counts.fetches++;
    if (!this.isOpen || this.under >= limit) {
      if (this.isOpen) counts.fetchesRefused++;
      else counts.fetchesMissed++;
      feed.fetched(token, false);
      return;
    }
    const tuple = new Tuple();
    tuple.load(words, at);
    this.under++;
    void this.search(tuple).then((isFound) => {
      this.under--;
      if (isFound) counts.fetched++;
      else counts.fetchesMissed++;
      feed.fetched(token, isFound);
      feed.flush();
    });
  }

  /** True when the flow's record is in the inbox. Never rejects: what is wrong with the store is told by others who use it. */
  private async search(tuple: Tuple): Promise<boolean> {
    const { encoder, nowMs, holdMs } = this.options;
    tuple.store(this.words, 0);
    encoder.fetchKeys(this.words, 0);
    const key = encoder.key.slice(0, encoder.keyLength);
    const alias = encoder.alias.slice(0, encoder.aliasLength);
    const { epoch } = this;
    const endMs = nowMs() + holdMs;
    try {
      for (let waitMs = AGAIN_MS; ; waitMs *= 2) {
        const value = await this.find(key, alias, tuple);
        if (value !== null) return await this.take(value);
        if (nowMs() + waitMs >= endMs || epoch !== this.epoch) return false;
        await this.wait(waitMs);
        if (epoch !== this.epoch) return false;
      }
    } catch {
      return false;
    }
  }

  private async find(key: Uint8Array, alias: Uint8Array, tuple: Tuple): Promise<Uint8Array | null> {
    const { store } = this.options;
    const found = await Promise.all([store.fetch(key), store.fetch(alias)]);
    for (const value of found) if (value !== null && this.isOf(value, tuple)) return value;
    return null;
  }

  /** A name may outlive what it was a name of: what was found must be what was asked for. */
  private isOf(value: Uint8Array, tuple: Tuple): boolean {
    const { record, words } = this;
    if (this.options.decoder.value(value, STAMP_BYTES, value.length, record) !== DECODED || record.type !== RECORD_FLOW) return false;
    record.original.store(words, 0);
    if (tuple.isAt(words, 0)) return true;
    record.reply.store(words, 0);
    return tuple.isAt(words, 0);
  }

  private async take(value: Uint8Array): Promise<boolean> {
    const { feed, store, encoder, hasStreams } = this.options;
    let stream: Uint8Array | null = null;
    this.options.decoder.value(value, STAMP_BYTES, value.length, this.record);
    if (hasStreams && this.record.original.protocol === PROTOCOL_TCP) {
      this.record.original.store(this.words, 0);
      encoder.streamKey(this.words, 0);
      stream = await store.fetch(encoder.key.slice(0, encoder.keyLength));
    }
    for (const part of [value, stream]) {
      if (part === null) continue;
      while (!feed.record(part, STAMP_BYTES, part.length)) await feed.room();
    }
    return true;
  }

  private wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => { this.options.timers.set(resolve, delayMs); });
  }
}
