/**
 * From the journal to the store: what the data plane tells waits in a queue (queue.ts), is put into batches, and is written behind, a few batches at a time.
 *
 *   journal ─▶ drain ─▶ queue ─▶ pump: read the flow, encode, batch ─▶ store.write ─▶ written: out of the queue
 *      │                  ▲                                                │
 *      │ a ring that was full,  entries that gave way                      └─▶ failed: all of them are sent again from the failed one on
 *      └──────▶ the walk (refresh.ts) writes again
 *
 * A flow is told by its place, and is read when its turn to be written comes, so several changes while it waits are one. What it was by then is noted by place: its serial,
 * its deadline and its life, so that a walk over the table sees which flows are not in the store as they are. That makes every loss of a change
 * harmless: what is not noted is written by the next walk. The loss of an end is not, for the flow cannot be seen any more: `mayHaveDead` says that
 * there may be records of ours without a flow, which are found by reading the store (load.ts).
 *
 * Order: batches are given to the store in order and are carried out in order. When one fails nothing more is sent until all have come back; then
 * everything from the failed one on is sent again in its order, those behind it that had succeeded too, for operations can be done twice but not in
 * another order.
 */
import { DEADLINE, FLAG_PUBLISHED, FLAG_REPLICA, FLAGS, SERIAL } from '../table/flow.js';
import type { FlowReader } from '../table/flow-reader.js';
import { KEY_BYTES, setLeft, VALUE_BYTES } from '../table/flow-record.js';
import type { RecordEncoder } from '../table/flow-record.js';
import { DELETE_KEY_BYTES, END_ORIGINAL, END_REPLY, FLOW_PLACE, FLOW_SERIAL, FLOW_TOLD_MS, JOURNAL_DELETE, JOURNAL_END, JOURNAL_FLOW, JOURNAL_PUT, PUT_KEY_BYTES, PUT_LEFT_S, PUT_VALUE_BYTES } from '../table/journal.js';
import type { JournalReader } from '../table/journal.js';
import { ALIAS_SECONDS, BATCH_OPERATIONS, BatchWriter } from './batch.js';
import type { LiveKeys } from './live-keys.js';
import { Mirror } from './mirror.js';
import { ChangeQueue } from './queue.js';
import type { QueuePlace } from './queue.js';
import { putStamp, STAMP_BYTES } from './stamp.js';
import type { ShareCounts } from './status.js';
import { StoreError } from './store.js';
import type { Store } from './store.js';

/** Kinds of the queue's entries. FLOW: place, serial. DELETE, BURY: bytes of the key, bytes of the alias, both of them from whole words on. PUT: id in the mirror. */
const FLOW = 1;
const DELETE = 2;
const BURY = 3;
const PUT = 4;

/** Batches on their way at once: while the store carries out one, the next are there. */
const WINDOW = 4;
/** After a failure it is tried with one batch. */
const CAREFUL_WINDOW = 1;
/** As soon as so much waits the next tick is not waited for. */
const MUCH = BATCH_OPERATIONS / 2;
/** Journal records looked at in one go, so that nobody else waits for long. */
const DRAIN_RECORDS = 20_000;
/**
 * A record outlives its flow's deadline by a third of its life, for a deadline that has moved by less is not written again (refresh.ts), and by this: longer than
 * two walks over the table take, and than a write may wait.
 */
const MARGIN_S = 90;
/** A flow is opened and established within this time, mostly; later its alias is written along, for somebody else may have deleted it. */
const ALIAS_FRESH_S = 3;
/** What a record with so many seconds left lives in the store. */
export function ttlOf(leftS: number): number { return leftS + Math.ceil(leftS / 3) + MARGIN_S; }

/** A batch that is on its way. */
interface Flight { from: QueuePlace; to: QueuePlace; startMs: number; sinceMs: number; puts: number; deletes: number; bytes: number; state: 'flying' | 'written' | 'failed' }

export interface ReplicatorOptions {
  store: Pick<Store, 'write'>;
  journal: JournalReader;
  reader: FlowReader;
  encoder: RecordEncoder;
  counts: ShareCounts;
  /** Changes that may wait. */
  limit: number;
  /** Records that only the data plane can read. */
  mirrorLimit: number;
  /** Who we are (stamp.ts). */
  stamp: number;
  nowMs: () => number;
  /** The data plane's clock, as of its last turn. */
  planeNowMs: () => number;
  /** Records of the journal that are not for the store: kind, and where the payload begins in its words. */
  onOther: (kind: number, at: number) => void;
  /** A write has failed, and all have come back: nothing is written until `retry` or `open`. */
  onFailure: (error: StoreError) => void;
  onWritten: (lagMs: number, writeMs: number) => void;
  /** The journal was full: everything is to be written again. */
  onLost: () => void;
}

export class Replicator {
  readonly queue: ChangeQueue;
  readonly mirror: Mirror;
  /** There may be records of ours in the store for flows that have ended. */
  mayHaveDead = false;
  private readonly options: ReplicatorOptions;
  private readonly batch = new BatchWriter();
  private readonly views: KeyViews;
  private readonly value = new Uint8Array(STAMP_BYTES + VALUE_BYTES);
  private readonly valueViews: Uint8Array[] = [];
  private readonly queueBytes: Uint8Array;
  /** By place in the flow table: the serial of the flow whose change waits, 0 = none does. */
  private readonly queued: Int32Array;
  /** By place: what was written last, serial, deadline (table time), and how many seconds that was away. */
  private readonly writtenSerial: Int32Array;
  private readonly writtenDeadline: Int32Array;
  private readonly writtenLife: Int32Array;
  /** By place: when (table time) its alias was written. */
  private readonly aliasAt: Int32Array;
  private readonly note: () => void;
  private flights: Flight[] = [];
  private isOpen = false;
  /** Of the writes given since the generation began; results of earlier ones are of no account. */
  private epoch = 0;
  private failure: StoreError | null = null;
  private isCareful = false;
  /** By place: the serial of the flow that the store is known to have from us. */
  private readonly knownSerial: Int32Array;
  private refusedSeen: number;
  /** Flows whose first writing was void: place and serial. */
  private readonly unheard = new Map<number, number>();
  private live: LiveKeys | null = null;
  private isBurialOver = true;
  private puts = 0;
  private deletes = 0;

  constructor(options: ReplicatorOptions) {
    this.options = options;
    const { reader, limit, mirrorLimit, encoder, stamp, journal } = options;
    this.queue = new ChangeQueue(limit);
    this.queue.onDrop = () => this.onDrop();
    this.mirror = new Mirror(mirrorLimit);
    this.queueBytes = new Uint8Array(this.queue.words.buffer);
    this.views = new KeyViews(encoder);
    putStamp(this.value, stamp);
    this.queued = new Int32Array(reader.capacity);
    this.writtenSerial = new Int32Array(reader.capacity);
    this.writtenDeadline = new Int32Array(reader.capacity);
    this.writtenLife = new Int32Array(reader.capacity);
    this.knownSerial = new Int32Array(reader.capacity);
    this.aliasAt = new Int32Array(reader.capacity);
    this.note = () => {
      const { words, payloadAt: at } = this.queue;
      if (this.queue.kind === FLOW) this.knownSerial[words[at]] = words[at + 1];
    };
    this.refusedSeen = journal.refused;
  }

  get inFlight(): number { return this.flights.length; }

  /** Milliseconds the oldest change has waited that is not known to be written. */
  lagMs(nowMs: number): number { return this.queue.ageMs(nowMs); }

  /** A generation has been got: what waits may be written. */
  open(): void {
    this.isOpen = true;
    this.failure = null;
    this.isCareful = false;
  }

  /** The generation is over: what was on its way is void or unsure, and waits again. */
  close(): void {
    this.isOpen = false;
    this.epoch++;
    this.failure = null;
    if (this.flights.length > 0) this.queue.rewind(this.flights[0].from);
    this.flights = [];
  }

  /** After a failure: try again, with one batch at first. */
  retry(): void {
    this.failure = null;
    this.isCareful = true;
  }

  /** What waits is void: somebody has taken over. Flows that nobody has been told of for that are remembered (`isVoid`). */
  drop(): void {
    const { queue, options } = this;
    const { words } = queue;
    options.counts.dropped += queue.length;
    this.unheard.clear();
    queue.each(queue.place, queue.end, () => {
      const { payloadAt: at } = queue;
      if (queue.kind === FLOW && this.knownSerial[words[at]] !== words[at + 1]) this.unheard.set(words[at], words[at + 1]);
    });
    queue.clear();
    this.queued.fill(0);
    this.writtenSerial.fill(0);
    this.knownSerial.fill(0);
    this.mirror.clear();
    this.mayHaveDead = true;
  }

  /** A flow of ours that nobody else can know of, for what we had to say of it was void. */
  isVoid(flow: number): boolean { return this.unheard.get(flow) === this.options.reader.peek(flow, SERIAL); }

  /** Nothing is known to be in the store: the next walk writes everything, and what only the data plane can read is written now. */
  forgetWritten(): void {
    this.writtenSerial.fill(0);
    this.knownSerial.fill(0);
    const { nowMs } = this.options;
    for (const entry of this.mirror.entries(nowMs())) this.queuePut(entry.id, nowMs());
  }

  /** Take in what the journal holds; true when there was more than one go takes. */
  drain(): boolean {
    const { journal, encoder, onOther, onLost, counts, nowMs, planeNowMs } = this.options;
    const { words } = journal;
    const now = nowMs() | 0;
    const plane = planeNowMs() | 0;
    let left = DRAIN_RECORDS;
    while (left > 0 && journal.next()) {
      left--;
      const { at } = journal;
      switch (journal.kind) {
        case JOURNAL_FLOW: {
          // The data plane's moment on our clock; its last turn may have begun before the one that told of this.
          const agoMs = Math.max(0, (plane - words[at + FLOW_TOLD_MS]) | 0);
          this.changed(words[at + FLOW_PLACE], words[at + FLOW_SERIAL], (now - agoMs) | 0);
          break;
        }
        case JOURNAL_END:
          encoder.flowKeys(words, at + END_ORIGINAL, at + END_REPLY);
          this.queueKeys(DELETE, this.views.key(), this.views.alias(), now);
          break;
        case JOURNAL_PUT: {
          const key = journal.bytes.subarray(journal.keyAt, journal.keyAt + words[at + PUT_KEY_BYTES]);
          const value = journal.bytes.subarray(journal.valueAt, journal.valueAt + words[at + PUT_VALUE_BYTES]);
          this.queuePut(this.mirror.put(key, value, words[at + PUT_LEFT_S], nowMs()).id, now);
          break;
        }
        case JOURNAL_DELETE: {
          const key = journal.bytes.subarray(journal.keyAt, journal.keyAt + words[at + DELETE_KEY_BYTES]);
          this.mirror.delete(key);
          this.queueKeys(DELETE, key, NOTHING, now);
          break;
        }
        default: onOther(journal.kind, at);
      }
      journal.done();
    }
    if (journal.refused !== this.refusedSeen) {
      counts.lost += (journal.refused - this.refusedSeen) >>> 0;
      this.refusedSeen = journal.refused;
      // Whatever it was: a walk finds the flows, reading the store finds those that are none any more.
      this.forgetWritten();
      this.mayHaveDead = true;
      onLost();
    }
    return left === 0;
  }

  /** A flow is to be written. */
  changed(flow: number, serial: number, sinceMs: number): void {
    if (this.queued[flow] === serial) {
      this.options.counts.coalesced++;
      return;
    }
    this.queued[flow] = serial;
    const at = this.queue.push(FLOW, sinceMs, 2);
    this.queue.words[at] = flow;
    this.queue.words[at + 1] = serial;
  }

  /** A flow is to be written as it is, whoever it is by now. */
  again(flow: number, sinceMs: number): void { this.changed(flow, this.options.reader.peek(flow, SERIAL), sinceMs); }

  /** Whether a flow of ours should be written again: the store has not heard of it, or its deadline has moved by more than a third of its life since. */
  isStale(flow: number): boolean {
    const { reader } = this.options;
    const serial = reader.peek(flow, SERIAL);
    if ((serial & 1) === 0 || !isOurs(reader.peek(flow, FLAGS)) || this.queued[flow] === serial) return false;
    if (this.writtenSerial[flow] !== serial) return true;
    return (reader.peek(flow, DEADLINE) - this.writtenDeadline[flow]) * 3 > this.writtenLife[flow];
  }

  /** The store has no record of a flow of ours: the next walk writes it again. */
  missing(flow: number): void {
    this.writtenSerial[flow] = 0;
    this.knownSerial[flow] = 0;
  }

  /** From now on records of ours may be found dead by this set; flows written meanwhile are added to it. */
  beginBurial(live: LiveKeys): void {
    this.live = live;
    this.isBurialOver = false;
  }

  /** A record of ours has no flow: delete it, unless a flow of its key has begun by the time of that. */
  bury(key: Uint8Array, alias: Uint8Array): void { this.queueKeys(BURY, key, alias, this.options.nowMs() | 0); }

  endBurial(): void { this.isBurialOver = true; }

  /** Send what waits, as far as the window goes. */
  pump(): void {
    const { queue, batch, options } = this;
    if (this.live !== null && this.isBurialOver && queue.length === 0) this.live = null;
    const window = this.isCareful ? CAREFUL_WINDOW : WINDOW;
    while (this.isOpen && this.failure === null && this.flights.length < window && queue.next()) {
      const from = queue.place;
      const { sinceMs } = queue;
      this.puts = this.deletes = 0;
      while (queue.next() && this.encode()) queue.sent();
      const to = queue.place;
      if (batch.isEmpty) {
        // Nothing of it was worth a write: it is done when what is before it is.
        if (this.flights.length > 0) this.flights[this.flights.length - 1].to = to;
        else queue.written(to);
        continue;
      }
      const bytes = batch.take();
      const flight: Flight = { from, to, startMs: options.nowMs(), sinceMs, puts: this.puts, deletes: this.deletes, bytes: bytes.length, state: 'flying' };
      this.flights.push(flight);
      const { epoch } = this;
      options.store.write(bytes).then(() => this.landed(flight, epoch, null), (error: unknown) => this.landed(flight, epoch, storeError(error)));
    }
  }

  private landed(flight: Flight, epoch: number, error: StoreError | null): void {
    if (epoch !== this.epoch) return;
    flight.state = error === null ? 'written' : 'failed';
    if (error !== null) this.failure ??= error;
    if (this.failure === null) this.isCareful = false;
    while (this.flights.length > 0 && this.flights[0].state === 'written') this.count(this.flights.shift() as Flight);
    if (this.failure !== null) {
      if (this.flights.every(({ state }) => state !== 'flying')) this.sendAgain(this.failure);
    } else if (this.queue.unsent >= MUCH) {
      this.pump();
    }
  }

  private count(flight: Flight): void {
    const { counts, nowMs, onWritten } = this.options;
    this.queue.each(flight.from, flight.to, this.note);
    this.queue.written(flight.to);
    counts.written += flight.puts;
    counts.deleted += flight.deletes;
    counts.batches++;
    counts.batchBytes += flight.bytes;
    const now = nowMs();
    onWritten(Math.max(0, ((now | 0) - flight.sinceMs) | 0), now - flight.startMs);
  }

  private sendAgain(error: StoreError): void {
    this.queue.rewind(this.flights[0].from);
    this.options.counts.retried += this.flights.length;
    this.flights = [];
    this.options.onFailure(error);
  }

  /** Put the entry found into the batch; false = it is full. */
  private encode(): boolean {
    const { queue, batch, views } = this;
    const { words, payloadAt: at } = queue;
    switch (queue.kind) {
      case FLOW: return this.encodeFlow(words[at], words[at + 1]);
      case PUT: return this.encodePut(words[at]);
      default: {
        const keyAt = (at + 2) * 4;
        const key = views.copyKey(this.queueBytes, keyAt, words[at]);
        const alias = views.copyAlias(this.queueBytes, keyAt + ((words[at] + 3) & ~3), words[at + 1]);
        if (queue.kind === BURY) {
          if (this.live === null || this.live.has(key)) return true;
        }
        if (!batch.delete(key, alias)) return false;
        this.deletes++;
        if (queue.kind === BURY) this.options.counts.buried++;
        return true;
      }
    }
  }

  private encodeFlow(flow: number, serial: number): boolean {
    const { reader, encoder } = this.options;
    const { words } = reader;
    // Of a flow that has ended the journal says so; of one that is somebody else's now nobody asks us.
    if (!reader.read(flow) || words[SERIAL] !== serial || !isOurs(words[FLAGS])) {
      this.unqueue(flow, serial);
      return true;
    }
    const nowTick = reader.nowTick;
    encoder.flow(words, 0, nowTick);
    const key = this.views.key();
    const ttl = ttlOf(encoder.leftS);
    // The alias of a flow does not change: what was written a moment ago and is there for long enough is not written again.
    const aliasAgeS = nowTick - this.aliasAt[flow];
    const hasAlias = this.knownSerial[flow] === serial && aliasAgeS <= ALIAS_FRESH_S && aliasAgeS + ttl < ALIAS_SECONDS;
    if (!this.batch.put(key, hasAlias ? NOTHING : this.views.alias(), this.stamped(encoder.value, encoder.valueLength), ttl)) return false;
    if (!hasAlias) this.aliasAt[flow] = nowTick;
    this.unqueue(flow, serial);
    this.live?.add(key);
    this.writtenSerial[flow] = serial;
    this.writtenDeadline[flow] = words[DEADLINE];
    this.writtenLife[flow] = encoder.leftS;
    this.puts++;
    return true;
  }

  private encodePut(id: number): boolean {
    const entry = this.mirror.get(id);
    if (entry === undefined) return true;
    const leftS = Math.ceil((entry.untilMs - this.options.nowMs()) / 1000);
    if (leftS > 0) {
      setLeft(entry.value, leftS);
      // Whoever tells of such a record tells again before it is over, so it need not outlive itself by much.
      if (!this.batch.put(entry.key, NOTHING, this.stamped(entry.value, entry.value.length), leftS + MARGIN_S)) return false;
      this.puts++;
    }
    entry.isQueued = false;
    return true;
  }

  private stamped(value: Uint8Array, length: number): Uint8Array {
    const { value: to } = this;
    for (let i = 0; i < length; i++) to[STAMP_BYTES + i] = value[i];
    return (this.valueViews[length] ??= to.subarray(0, STAMP_BYTES + length));
  }

  private unqueue(flow: number, serial: number): void {
    if (this.queued[flow] === serial) this.queued[flow] = 0;
  }

  private queuePut(id: number, sinceMs: number): void {
    const entry = this.mirror.get(id);
    if (entry === undefined || entry.isQueued) return;
    entry.isQueued = true;
    this.queue.words[this.queue.push(PUT, sinceMs | 0, 1)] = id;
  }

  private queueKeys(kind: number, key: Uint8Array, alias: Uint8Array, sinceMs: number): void {
    const keyWords = (key.length + 3) >> 2;
    const at = this.queue.push(kind, sinceMs, 2 + keyWords + ((alias.length + 3) >> 2));
    this.queue.words[at] = key.length;
    this.queue.words[at + 1] = alias.length;
    this.queueBytes.set(key, (at + 2) * 4);
    this.queueBytes.set(alias, (at + 2 + keyWords) * 4);
  }

  private onDrop(): void {
    const { queue, options } = this;
    const { words, payloadAt: at } = queue;
    options.counts.dropped++;
    if (queue.kind === FLOW) {
      this.unqueue(words[at], words[at + 1]);
      this.writtenSerial[words[at]] = 0;
    } else if (queue.kind === PUT) {
      const entry = this.mirror.get(words[at]);
      if (entry !== undefined) entry.isQueued = false;
    } else {
      options.counts.droppedEnds++;
      this.mayHaveDead = true;
    }
  }
}

const NOTHING = new Uint8Array(0);

/** Flows whose records we write: others know of them from us, and a packet of theirs has been here. */
function isOurs(flags: number): boolean { return (flags & (FLAG_PUBLISHED | FLAG_REPLICA)) === FLAG_PUBLISHED; }

export function storeError(error: unknown): StoreError {
  return error instanceof StoreError ? error : new StoreError('other', error instanceof Error ? error.message : String(error), error);
}

/** Views of an encoder's key and alias by their length: making one for every record costs more than the record. */
class KeyViews {
  private readonly encoder: RecordEncoder;
  private readonly keys: Uint8Array[] = [];
  private readonly aliases: Uint8Array[] = [];
  private readonly ownKey = new Uint8Array(KEY_BYTES);
  private readonly ownAlias = new Uint8Array(KEY_BYTES);
  private readonly ownKeys: Uint8Array[] = [];
  private readonly ownAliases: Uint8Array[] = [];

  constructor(encoder: RecordEncoder) { this.encoder = encoder; }

  key(): Uint8Array { return (this.keys[this.encoder.keyLength] ??= this.encoder.key.subarray(0, this.encoder.keyLength)); }
  alias(): Uint8Array { return (this.aliases[this.encoder.aliasLength] ??= this.encoder.alias.subarray(0, this.encoder.aliasLength)); }

  copyKey(from: Uint8Array, at: number, length: number): Uint8Array {
    for (let i = 0; i < length; i++) this.ownKey[i] = from[at + i];
    return (this.ownKeys[length] ??= this.ownKey.subarray(0, length));
  }

  copyAlias(from: Uint8Array, at: number, length: number): Uint8Array {
    for (let i = 0; i < length; i++) this.ownAlias[i] = from[at + i];
    return (this.ownAliases[length] ??= this.ownAlias.subarray(0, length));
  }
}
