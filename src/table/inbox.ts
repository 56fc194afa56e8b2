/**
 * The inbox: what the share worker tells the data plane, in a ring between the two threads (base/ring.ts). The sender wakes the data plane by its
 * eventfd; `housekeep` takes a bounded number of records a turn (stage/adopt.ts), and no turn waits while some are left. When the ring is full the sender
 * waits and tries again: nothing of this is lost.
 *
 *   RECORD   the value of a shared record (table/flow-record.ts): put it into the tables. Flows first: streams and expectations are of flows that are there.
 *   FORGET   the key of one: it has ended elsewhere.
 *   FETCHED  what the store had for a packet that waits (FETCH in table/journal.ts); a record that was found has been sent before.
 *   STORE    whether the store can be asked now; and whether all it had has been loaded once.
 *   YIELD    another instance has taken over: every flow here is a replica until one of its packets is seen. Answered by YIELDED (table/journal.ts).
 *   BLOCKS   which blocks of ports of a translation address may be handed out from now, and for how long.
 */
import { RingReader, RingWriter } from '../base/ring.js';
import { VALUE_BYTES } from './flow-record.js';

/** Kinds of the ring's records. */
export const INBOX_RECORD = 1;
export const INBOX_FORGET = 2;
export const INBOX_FETCHED = 3;
export const INBOX_STORE = 4;
export const INBOX_BLOCKS = 5;
export const INBOX_YIELD = 6;

/** Word offsets in the payload. RECORD, FORGET: bytes, then so many of them. */
export const BYTES_LENGTH = 0;
export const BYTES = 1;

export const FETCHED_TOKEN = 0;
/** 1 = there was one. */
export const FETCHED_FOUND = 1;
const FETCHED_WORDS = 2;

export const STORE_IS_USABLE = 0;
export const STORE_IS_LOADED = 1;
const STORE_WORDS = 2;

/**
 * BLOCKS: int32 address; number of the order, told back on the board (table/lease-board.ts) when it has been carried out; 1 = there may be more blocks to be
 * had; the data plane's clock at which none of them may be used any more, float64 of milliseconds, low word first; then a bitmap of all that may be
 * until then, bit b of word w is block 32 w + b. That clock is read from the board, so the order may wait in the ring as long as it will.
 */
export const BLOCKS_ADDRESS = 0;
export const BLOCKS_ORDER = 1;
export const BLOCKS_GROWS = 2;
export const BLOCKS_UNTIL_MS = 3;
export const BLOCKS_BITMAP = 5;

export class InboxWriter {
  private readonly ring: RingWriter;
  private readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.ring = new RingWriter(memory);
    this.bytes = new Uint8Array(memory);
  }

  /** Words that wait to be read. */
  get waiting(): number { return this.ring.waiting; }

  /** Each gives false while the ring has no room for it. */
  record(value: Uint8Array, from = 0, to = value.length): boolean { return this.put(INBOX_RECORD, value, from, to); }
  forget(key: Uint8Array, from = 0, to = key.length): boolean { return this.put(INBOX_FORGET, key, from, to); }

  fetched(token: number, isFound: boolean): boolean {
    const at = this.ring.begin(INBOX_FETCHED, FETCHED_WORDS);
    if (at < 0) return false;
    this.ring.words[at + FETCHED_TOKEN] = token;
    this.ring.words[at + FETCHED_FOUND] = isFound ? 1 : 0;
    this.ring.commit();
    return true;
  }

  store(isUsable: boolean, isLoaded: boolean): boolean {
    const at = this.ring.begin(INBOX_STORE, STORE_WORDS);
    if (at < 0) return false;
    this.ring.words[at + STORE_IS_USABLE] = isUsable ? 1 : 0;
    this.ring.words[at + STORE_IS_LOADED] = isLoaded ? 1 : 0;
    this.ring.commit();
    return true;
  }

  yield(): boolean {
    if (this.ring.begin(INBOX_YIELD, 0) < 0) return false;
    this.ring.commit();
    return true;
  }

  /** @param payload as above. */
  blocks(payload: ArrayLike<number>): boolean {
    const at = this.ring.begin(INBOX_BLOCKS, payload.length);
    if (at < 0) return false;
    for (let i = 0; i < payload.length; i++) this.ring.words[at + i] = payload[i];
    this.ring.commit();
    return true;
  }

  private put(kind: number, bytes: Uint8Array, from: number, to: number): boolean {
    // No record is so long: what is cut here is refused as no record there.
    const length = Math.min(to - from, VALUE_BYTES);
    const at = this.ring.begin(kind, BYTES + ((length + 3) >> 2));
    if (at < 0) return false;
    this.ring.words[at + BYTES_LENGTH] = length;
    this.bytes.set(bytes.subarray(from, from + length), (at + BYTES) * 4);
    this.ring.commit();
    return true;
  }
}

/** The reading end: `next`, then `kind` and the words of the payload by the offsets above, from `at` on, until `done`. */
export class InboxReader extends RingReader {
  /** Of a RECORD or FORGET: where its bytes begin and end in `bytes`. */
  get from(): number { return (this.at + BYTES) * 4; }
  get to(): number { return this.from + this.words[this.at + BYTES_LENGTH]; }
}
