/**
 * Everything the store has, page by page, into the inbox. The ring's room is the pace: the store is asked for its next page when the data plane has taken
 * most of the last one, so a million flows come in while packets go on being forwarded.
 *
 * Flows come first: an edited stream or an expectation belongs to a control flow that has to be there. Records of other types wait until the last page, up to
 * OTHERS_MAX of them.
 *
 * When this is not the first time, store and table are held against each other, by the keys of all flows that live here, which are collected in slices before, and
 * by those of all that were found:
 *
 *   a record of ours without a flow    its end could not be told, or the store has forgotten it: deleted (the burial)
 *   a record of ours with its flow     nobody knows more of it than the data plane: not handed on
 *   a replica without a record         it has ended elsewhere while we did not follow: forgotten here, unless the store was emptied (`keepsReplicas`),
 *                                      for then its record is only yet to come, or its writer is gone and this is the last copy; and unless it was ours and nobody
 *                                      could be told of it, for we were fenced
 *   a flow of ours without a record    it has ended for somebody else, whose word of that we have missed: the walk writes it again
 */
import { KEY_BYTES, RECORD_FLOW, VALUE_BYTES } from '../table/flow-record.js';
import type { RecordDecoder, RecordEncoder, SharedRecord } from '../table/flow-record.js';
import type { FlowReader } from '../table/flow-reader.js';
import { FLAG_PUBLISHED, FLAG_REPLICA, FLAGS, ORIGINAL_TUPLE, REPLY_TUPLE } from '../table/flow.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import type { Feed } from './feed.js';
import { LiveKeys } from './live-keys.js';
import type { Replicator } from './replicate.js';
import { readStamp, STAMP_BYTES } from './stamp.js';
import type { ShareCounts } from './status.js';
import type { Position, Store } from './store.js';

/** Records that wait for the last flow. */
const OTHERS_MAX = 262_144;
/** Flows whose keys are collected in one go, a millisecond or so. */
const SLICE_FLOWS = 4096;
/** Keys that sets have room for beside twice those there are: flows begin meanwhile. */
const SPARE_KEYS = 65_536;

export interface LoadMode {
  /** This instance has just begun: whatever is in the store is news, its own records too. */
  isFirst: boolean;
  /** Only look for records of ours that are dead. */
  onlyBurial: boolean;
  keepsReplicas: boolean;
}

export interface LoadOptions {
  store: Pick<Store, 'load'>;
  feed: Feed;
  reader: FlowReader;
  replicator: Replicator;
  encoder: RecordEncoder;
  decoder: RecordDecoder;
  counts: ShareCounts;
  stamp: number;
  /** Lets everything else have its turn. */
  breathe: () => Promise<void>;
  onProgress: (records: number, total: number) => void;
}

export class Load {
  private readonly options: LoadOptions;
  private readonly record: SharedRecord;
  private readonly words = new Int32Array(2 * TUPLE_WORDS);

  constructor(options: LoadOptions, record: SharedRecord) {
    this.options = options;
    this.record = record;
  }

  /** Gives the place in the log to follow from. Rejects with what the store says, and when aborted. */
  async run({ isFirst, onlyBurial, keepsReplicas }: LoadMode, signal: AbortSignal): Promise<Position> {
    const { store, feed, replicator, counts, stamp, reader, onProgress } = this.options;
    const live = isFirst ? null : await this.collect(signal);
    const found = isFirst || onlyBurial || keepsReplicas ? null : new LiveKeys(reader.count * 2 + SPARE_KEYS);
    const high = reader.high;
    const others: Uint8Array[] = [];
    let records = 0;
    try {
      const position = await store.load(async (page, total) => {
        for (const { key, value } of page) {
          const from = readStamp(value);
          // What is longer than any record is none of ours, whatever it says, and is not to be kept or queued.
          if (from === null || key.length > KEY_BYTES || value.length > STAMP_BYTES + VALUE_BYTES) {
            counts.unreadable++;
            continue;
          }
          if (live !== null && from === stamp && key[0] === RECORD_FLOW) {
            // Of a flow that lives here nobody knows more than the data plane. It has not ended elsewhere, either.
            if (live.has(key)) found?.add(key);
            else this.bury(key, value);
            continue;
          }
          if (onlyBurial) continue;
          found?.add(key);
          if (key[0] !== RECORD_FLOW && others.length < OTHERS_MAX) others.push(value);
          else await this.take(value, signal);
        }
        records += page.length;
        onProgress(records, total);
        feed.flush();
      }, signal);
      for (const value of others) await this.take(value, signal);
      if (found !== null) await this.forgetMissing(found, high, signal);
      feed.flush();
      signal.throwIfAborted();
      return position;
    } finally {
      if (live !== null) replicator.endBurial();
    }
  }

  private async take(value: Uint8Array, signal: AbortSignal): Promise<void> {
    const { feed, counts } = this.options;
    while (!feed.record(value, STAMP_BYTES, value.length)) {
      await feed.room();
      signal.throwIfAborted();
    }
    counts.loaded++;
  }

  /** Replicas of entries below `high` whose record was not found have ended. One of our own somebody else has deleted, for whom it had ended. */
  private async forgetMissing(found: LiveKeys, high: number, signal: AbortSignal): Promise<void> {
    const { feed, counts, replicator, reader } = this.options;
    const forget = async (key: Uint8Array): Promise<void> => {
      while (!feed.forget(key)) {
        await feed.room();
        signal.throwIfAborted();
      }
      counts.forgotten++;
    };
    await this.each(high, signal, (flags) => (flags & (FLAG_REPLICA | FLAG_PUBLISHED)) !== 0, (key, flow) => {
      if (found.has(key)) return undefined;
      if ((reader.words[FLAGS] & FLAG_REPLICA) !== 0) return replicator.isVoid(flow) ? undefined : forget(key);
      replicator.missing(flow);
      return undefined;
    });
  }

  /** The keys of all flows here; those that begin meanwhile are added when they are written. */
  private async collect(signal: AbortSignal): Promise<LiveKeys> {
    const { reader, replicator } = this.options;
    const live = new LiveKeys(reader.count * 2 + SPARE_KEYS);
    replicator.beginBurial(live);
    await this.each(reader.high, signal, () => true, (key) => { live.add(key); });
    return live;
  }

  /** Each flow in entries below `high` whose flags are right, in slices. The key is a view of memory that is used again. */
  private async each(high: number, signal: AbortSignal, isWanted: (flags: number) => boolean, run: (key: Uint8Array, flow: number) => void | Promise<void>): Promise<void> {
    const { reader, encoder, breathe } = this.options;
    const key = new Uint8Array(KEY_BYTES);
    const views: Uint8Array[] = [];
    for (let flow = 0; flow < high; flow++) {
      if (flow % SLICE_FLOWS === SLICE_FLOWS - 1) {
        await breathe();
        signal.throwIfAborted();
      }
      if (!reader.read(flow) || !isWanted(reader.words[FLAGS])) continue;
      encoder.flowKeys(reader.words, ORIGINAL_TUPLE, REPLY_TUPLE);
      const length = encoder.keyLength;
      for (let i = 0; i < length; i++) key[i] = encoder.key[i];
      const waiting = run(views[length] ??= key.subarray(0, length), flow);
      if (waiting !== undefined) await waiting;
    }
  }

  private bury(key: Uint8Array, value: Uint8Array): void {
    const { decoder, encoder, replicator } = this.options;
    // With a name that nobody has here any more it is as dead, and its tuples have been read.
    decoder.value(value, STAMP_BYTES, value.length, this.record);
    this.record.original.store(this.words, 0);
    this.record.reply.store(this.words, TUPLE_WORDS);
    encoder.flowKeys(this.words, 0, TUPLE_WORDS);
    replicator.bury(key, encoder.alias.subarray(0, encoder.aliasLength));
  }
}
