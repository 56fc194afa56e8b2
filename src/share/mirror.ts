/**
 * Records that only the data plane can read (streams of control flows, expectations, affinity, persistence), as it told of them last: kept here so that they
 * can be written again when the store was emptied. Bounded: the oldest give way, and then only the store has them.
 */
export interface MirrorEntry {
  id: number;
  key: Uint8Array;
  value: Uint8Array;
  /** Moment it is good until, by this thread's clock. */
  untilMs: number;
  /** It waits to be written: what is told of it meanwhile goes along. */
  isQueued: boolean;
}

export class Mirror {
  private readonly limit: number;
  private readonly byKey = new Map<string, MirrorEntry>();
  private readonly byId = new Map<number, MirrorEntry>();
  private lastId = 0;

  constructor(limit: number) { this.limit = limit; }

  get size(): number { return this.byKey.size; }

  /** Both are views of other memory, and are copied. */
  put(key: Uint8Array, value: Uint8Array, leftS: number, nowMs: number): MirrorEntry {
    const name = nameOf(key);
    const untilMs = nowMs + leftS * 1000;
    const known = this.byKey.get(name);
    if (known !== undefined) {
      known.value = value.slice();
      known.untilMs = untilMs;
      return known;
    }
    if (this.byKey.size >= this.limit) for (const oldest of this.byKey.values()) {
      this.forget(oldest);
      break;
    }
    this.lastId = (this.lastId + 1) | 0;
    const entry = { id: this.lastId, key: key.slice(), value: value.slice(), untilMs, isQueued: false };
    this.byKey.set(name, entry);
    this.byId.set(entry.id, entry);
    return entry;
  }

  delete(key: Uint8Array): void {
    const entry = this.byKey.get(nameOf(key));
    if (entry !== undefined) this.forget(entry);
  }

  /** The entry that had this id, if there still is one. */
  get(id: number): MirrorEntry | undefined { return this.byId.get(id); }

  /** All of them; what has had its time is forgotten on the way. */
  *entries(nowMs: number): Generator<MirrorEntry> {
    for (const entry of this.byKey.values()) {
      if (entry.untilMs > nowMs) yield entry;
      else this.forget(entry);
    }
  }

  clear(): void {
    this.byKey.clear();
    this.byId.clear();
  }

  private forget(entry: MirrorEntry): void {
    this.byKey.delete(nameOf(entry.key));
    this.byId.delete(entry.id);
  }
}

/** A key as text: one character a byte. */
function nameOf(key: Uint8Array): string { return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1'); }
