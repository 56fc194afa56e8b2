/**
 * The journal: what the data plane tells the share worker, in a ring between the two threads (base/ring.ts). The writer never waits: a ring that is full
 * loses the record, and `refused` counts; the share worker, who sees it counted, reads the whole flow table anew, and is told the rest again in time.
 *
 *   FLOW    a flow is to be written: it was confirmed, its state changed in a way that others must know, or a replica saw its first packet here.
 *           Only its place is told; who reads it (FlowReader) finds what it is by then. Its serial says whether it is still the same flow.
 *   END     a flow others know of from us has ended: its two tuples.
 *   FETCH   a packet of an unknown flow waits for the answer: its tuple. To be answered by FETCHED (table/inbox.ts), with the same token.
 *   PUT     a record whole, as table/flow-record.ts makes it: key, value and seconds to live. For what nobody but the data plane can read: streams of control flows,
 *           expectations, affinity, persistence.
 *   DELETE  the key of such a record: it is gone.
 *   PORTS   how many free ports a translation address has left in the blocks leased for it.
 *   YIELDED every flow that was here when YIELD came (table/inbox.ts) is a replica now, but for those that have had a packet since.
 *
 * Cost: a record of 2 to 23 words and one atomic store.
 */
import { RingReader, RingWriter } from '../base/ring.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import type { Tuple } from '../wire/tuple.js';
import type { RecordEncoder } from './flow-record.js';

/** Kinds of the ring's records. */
export const JOURNAL_FLOW = 1;
export const JOURNAL_END = 2;
export const JOURNAL_FETCH = 3;
export const JOURNAL_PUT = 4;
export const JOURNAL_DELETE = 5;
export const JOURNAL_PORTS = 6;
export const JOURNAL_YIELDED = 7;

/** Word offsets in the payload. FLOW: place in the table, SERIAL, and the data plane's clock, low 32 bits of milliseconds. */
export const FLOW_PLACE = 0;
export const FLOW_SERIAL = 1;
export const FLOW_TOLD_MS = 2;
const FLOW_RECORD_WORDS = 3;

/** END: both tuples. */
export const END_ORIGINAL = 0;
export const END_REPLY = TUPLE_WORDS;
const END_WORDS = 2 * TUPLE_WORDS;

/** FETCH: token, tuple. */
export const FETCH_TOKEN = 0;
export const FETCH_TUPLE = 1;
const FETCH_WORDS = 1 + TUPLE_WORDS;

/** PUT: seconds to live, bytes of the key, bytes of the value, then both, each from a whole word on. DELETE: bytes of the key, the key. */
export const PUT_LEFT_S = 0;
export const PUT_KEY_BYTES = 1;
export const PUT_VALUE_BYTES = 2;
export const PUT_KEY = 3;
export const DELETE_KEY_BYTES = 0;
export const DELETE_KEY = 1;

/** PORTS: int32 address, ports in use or resting, free ports in usable blocks. */
export const PORTS_ADDRESS = 0;
export const PORTS_USED = 1;
export const PORTS_FREE = 2;
const PORTS_WORDS = 3;

export class JournalWriter {
  private readonly ring: RingWriter;
  private readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.ring = new RingWriter(memory);
    this.bytes = new Uint8Array(memory);
  }

  /** Records lost for want of room. */
  get refused(): number { return this.ring.refused; }
  /** Words that wait to be read. */
  get waiting(): number { return this.ring.waiting; }

  flow(flow: number, serial: number, nowMs: number): void {
    const at = this.ring.begin(JOURNAL_FLOW, FLOW_RECORD_WORDS);
    if (at < 0) return;
    const { words } = this.ring;
    words[at + FLOW_PLACE] = flow;
    words[at + FLOW_SERIAL] = serial;
    words[at + FLOW_TOLD_MS] = nowMs | 0;
    this.ring.commit();
  }

  /** @param at where the two tuples stand in `from`, one behind the other. */
  end(from: Int32Array, at: number): void {
    const to = this.ring.begin(JOURNAL_END, END_WORDS);
    if (to < 0) return;
    const { words } = this.ring;
    for (let i = 0; i < END_WORDS; i++) words[to + i] = from[at + i];
    this.ring.commit();
  }

  /** False when the ring has no room: nobody will answer. */
  fetch(token: number, tuple: Tuple): boolean {
    const at = this.ring.begin(JOURNAL_FETCH, FETCH_WORDS);
    if (at < 0) return false;
    this.ring.words[at + FETCH_TOKEN] = token;
    tuple.store(this.ring.words, at + FETCH_TUPLE);
    this.ring.commit();
    return true;
  }

  /** The record the encoder holds. */
  put(record: RecordEncoder): void {
    const keyWords = (record.keyLength + 3) >> 2;
    const at = this.ring.begin(JOURNAL_PUT, PUT_KEY + keyWords + ((record.valueLength + 3) >> 2));
    if (at < 0) return;
    const { words } = this.ring;
    words[at + PUT_LEFT_S] = record.leftS;
    words[at + PUT_KEY_BYTES] = record.keyLength;
    words[at + PUT_VALUE_BYTES] = record.valueLength;
    this.copy(record.key, record.keyLength, at + PUT_KEY);
    this.copy(record.value, record.valueLength, at + PUT_KEY + keyWords);
    this.ring.commit();
  }

  /** The key the encoder holds. */
  delete(record: RecordEncoder): void {
    const at = this.ring.begin(JOURNAL_DELETE, DELETE_KEY + ((record.keyLength + 3) >> 2));
    if (at < 0) return;
    this.ring.words[at + DELETE_KEY_BYTES] = record.keyLength;
    this.copy(record.key, record.keyLength, at + DELETE_KEY);
    this.ring.commit();
  }

  ports(address: number, used: number, free: number): void {
    const at = this.ring.begin(JOURNAL_PORTS, PORTS_WORDS);
    if (at < 0) return;
    const { words } = this.ring;
    words[at + PORTS_ADDRESS] = address;
    words[at + PORTS_USED] = used;
    words[at + PORTS_FREE] = free;
    this.ring.commit();
  }

  /** False when the ring has no room: to be tried again, for somebody waits. */
  yielded(): boolean {
    if (this.ring.begin(JOURNAL_YIELDED, 0) < 0) return false;
    this.ring.commit();
    return true;
  }

  private copy(from: Uint8Array, length: number, at: number): void {
    const to = at * 4;
    for (let i = 0; i < length; i++) this.bytes[to + i] = from[i];
  }
}

/** The reading end: `next`, then `kind` and the words of the payload by the offsets above, from `at` on, until `done`. */
export class JournalReader extends RingReader {
  /** Of a PUT or DELETE: where its key stands in `bytes`; and of a PUT, where its value does. */
  get keyAt(): number { return (this.at + (this.kind === JOURNAL_PUT ? PUT_KEY : DELETE_KEY)) * 4; }
  get valueAt(): number { return (this.at + PUT_KEY + ((this.words[this.at + PUT_KEY_BYTES] + 3) >> 2)) * 4; }
}
