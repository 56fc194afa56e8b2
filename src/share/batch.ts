/**
 * A batch: the operations of one write, as a byte string that is written by an instance, carried out by the store, kept in its log, and read by
 * the others. The Redis script (scripts.ts) parses the very same bytes.
 *
 *   operation = ttlSeconds u32 │ keyLength u8 │ key │ aliasLength u8 │ alias │ valueLength u16 │ value       little-endian, one after another
 *
 * ttlSeconds 0 = DELETE, and its value is empty; anything else = PUT for so long. An alias is another name for the key; its length may be 0.
 * An alias lives as long as its record, and ALIAS_SECONDS at least: within that a record is put again without naming it, which saves the store a third of the work.
 * A batch holds at most BATCH_OPERATIONS operations and BATCH_BYTES bytes, so that no script keeps the store from others for long.
 */

export const BATCH_OPERATIONS = 500;
export const BATCH_BYTES = 64 * 1024;
/** What one operation may hold: each must fit an empty batch. */
export const KEY_BYTES = 255;
export const VALUE_BYTES = 16 * 1024;
/** A record lives no longer than this without being written again. */
export const TTL_SECONDS = 30 * 86_400;
/** An alias lives no shorter than this: longer than what most records live that have one. */
export const ALIAS_SECONDS = 4 * 3600;
/** Bytes of an operation beside key, alias and value. */
export const OPERATION_OVERHEAD = 8;

export class BatchWriter {
  operations = 0;
  private readonly bytes = Buffer.alloc(BATCH_BYTES);
  private at = 0;

  get length(): number { return this.at; }
  get isEmpty(): boolean { return this.at === 0; }

  /**
   * Append a PUT; false = no room: `take` first. An empty batch has room for everything within the limits of one operation. The TTL is rounded up to a
   * whole second, at least one, at most TTL_SECONDS.
   */
  put(key: Uint8Array, alias: Uint8Array, value: Uint8Array, ttlSeconds: number): boolean {
    return this.append(Math.min(TTL_SECONDS, Math.max(1, Math.ceil(ttlSeconds))), key, alias, value);
  }

  /** Append a DELETE; false = no room. The alias goes with the key only while it is a name of that very key. */
  delete(key: Uint8Array, alias: Uint8Array): boolean {
    return this.append(0, key, alias, NOTHING);
  }

  /** The batch, as bytes of its own; the writer is empty again. */
  take(): Buffer {
    const batch = Buffer.from(this.bytes.subarray(0, this.at));
    this.clear();
    return batch;
  }

  clear(): void {
    this.at = 0;
    this.operations = 0;
  }

  private append(ttlSeconds: number, key: Uint8Array, alias: Uint8Array, value: Uint8Array): boolean {
    if (key.length === 0 || key.length > KEY_BYTES || alias.length > KEY_BYTES || value.length > VALUE_BYTES) {
      throw new RangeError(`an operation's key has 1 to ${KEY_BYTES} bytes, its alias at most ${KEY_BYTES}, its value at most ${VALUE_BYTES}: found ${key.length}, ${alias.length}, ${value.length}`);
    }
    const { bytes } = this;
    let at = this.at;
    if (this.operations === BATCH_OPERATIONS || at + OPERATION_OVERHEAD + key.length + alias.length + value.length > BATCH_BYTES) return false;
    bytes.writeUInt32LE(ttlSeconds, at);
    bytes[at + 4] = key.length;
    bytes.set(key, at + 5);
    at += 5 + key.length;
    bytes[at] = alias.length;
    bytes.set(alias, at + 1);
    at += 1 + alias.length;
    bytes.writeUInt16LE(value.length, at);
    bytes.set(value, at + 2);
    this.at = at + 2 + value.length;
    this.operations++;
    return true;
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Reads a batch. What comes from the store is judged like what comes from a wire: an operation that does not fit ends the reading and sets
 * `isBroken`. The fields are views of the batch's own memory: copy what is to be kept.
 */
export class BatchReader {
  isBroken = false;
  /** Of the operation found by `next`: a PUT, or else a DELETE. */
  isPut = false;
  ttlSeconds = 0;
  key: Uint8Array = NOTHING;
  alias: Uint8Array = NOTHING;
  value: Uint8Array = NOTHING;
  private bytes: Uint8Array = NOTHING;
  private at = 0;

  constructor(batch: Uint8Array = NOTHING) { this.reset(batch); }

  /** Read another batch. */
  reset(batch: Uint8Array): void {
    this.bytes = batch;
    this.at = 0;
    this.isBroken = false;
  }

  /** Find the next operation; false = there is none. */
  next(): boolean {
    const { bytes } = this;
    const end = bytes.length;
    const at = this.at;
    if (at === end || this.isBroken) return false;
    const keyAt = at + 5;
    if (keyAt > end) return this.broken();
    const aliasAt = keyAt + bytes[at + 4] + 1;
    if (aliasAt > end || aliasAt === keyAt + 1) return this.broken();
    const valueAt = aliasAt + bytes[aliasAt - 1] + 2;
    if (valueAt > end) return this.broken();
    const next = valueAt + (bytes[valueAt - 2] | (bytes[valueAt - 1] << 8));
    if (next > end) return this.broken();
    this.ttlSeconds = (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
    this.isPut = this.ttlSeconds > 0;
    this.key = bytes.subarray(keyAt, aliasAt - 1);
    this.alias = bytes.subarray(aliasAt, valueAt - 2);
    this.value = bytes.subarray(valueAt, next);
    this.at = next;
    return true;
  }

  private broken(): boolean {
    this.isBroken = true;
    return false;
  }
}
