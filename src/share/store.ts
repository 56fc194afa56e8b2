/**
 * The contract of a store: where instances keep what they share. It knows nothing of flows: a record is a key, at most one other name for it, a value and a
 * life. One suite (test/share/store-suite.ts) runs over every implementation; registry.ts names them.
 *
 * Every write goes to two places in one step: to the records, for who comes later, and to the log, for who follows. A follower that has loaded all
 * records as of a place in the log, and reads on from there, misses nothing.
 *
 *   register ──▶ generation ──▶ write, lease … ──▶ resign
 *                    ▲               │ FencedError: somebody has taken over from us; what we still had to write is void
 *                    └───────────────┘
 *
 * Everything rejects with a StoreError; its `trouble` says what is wrong in a word that a status can show, and its
 * message says it to an operator; no password is ever in it.
 *
 * Writes are carried out in the order in which they were given, and may be given without waiting for one another. One that was refused has not been
 * carried out; one that failed in any other way (slow, unreachable) may have been, or may yet be: until `register` has been called again, which makes the
 * generation it bears void. Batches are idempotent, so what is unsure is written again. A lost connection therefore ends the generation: until
 * `register` has been called again everything that needs one rejects `fenced`. A store that is full, or does not permit something, refuses that alone:
 * neither the connection nor the generation ends by it.
 */
import { randomUUID } from 'node:crypto';

/**
 * What is wrong with a store. `fenced`: nothing is wrong with it, but this generation may not write any more. `settling`: nothing is wrong with it, but it
 * has begun a moment ago and may have forgotten leases, so that for SETTLE_MS they are prolonged only, and no new ones are given. `namesake`: another
 * instance that is alive has our name.
 */
export type StoreTrouble =
  | 'unreachable' | 'slow' | 'full' | 'read-only' | 'failing-over' | 'loading' | 'wrong-password' | 'no-permission' | 'wrong-version' | 'fenced' | 'namesake' | 'settling' | 'closed' | 'other';

/** A store that has begun less than so long ago gives no new leases: who holds one has come back and prolonged it by then. */
export const SETTLE_MS = 5000;

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly trouble: StoreTrouble;
  constructor(trouble: StoreTrouble, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.trouble = trouble;
  }
}

/**
 * Who is at this end of a store. `incarnation` is a word without spaces that no other process has: it tells an instance that comes back from another one of its name. Who
 * has been heard of within `aliveMs` may be alive.
 */
export interface Self { incarnation: string; aliveMs: number }

/** One that has just come into being. */
export function anyone(aliveMs = 3000): Self { return { incarnation: randomUUID(), aliveMs }; }

/** An instance as the others see it. */
export interface Peer {
  instance: string;
  generation: number;
  /** What it last told of itself (share/peer.ts); text, JSON. */
  about: string;
  /** Milliseconds since it told so. */
  ageMs: number;
}

/** A block of ports of one translation address, and whose it is. */
export interface Lease { address: string; block: number; instance: string; generation: number; /** Milliseconds it is good for from now. */ leftMs: number }

/**
 * A generation, and how the one before was found, in the same step: `kept`, nothing has happened to it; `fenced`, somebody has taken over from us; `unknown`,
 * the store does not know it, so it was emptied, or has gone back in time, or is another one; `none`, there was none.
 */
export interface Registration { generation: number; before: 'none' | 'kept' | 'fenced' | 'unknown' }

/** A place in the log. Opaque; the store's own text. */
export type Position = string;

/** What followers get: a batch (share/batch.ts) as it was written, never one's own. */
export interface LogEntry { position: Position; instance: string; generation: number; /** Milliseconds it was on its way, by the store's clock alone; null = unknown. */ ageMs: number | null; batch: Uint8Array }

/**
 * What a store is like just now. `server` names the server that answers (never its address): when it is another one than before, some of what the one before
 * had acknowledged may be lost.
 */
export interface StoreState { isUsable: boolean; error: StoreError | null; server: string | null; warnings: readonly StoreWarning[] }

/** What is dangerous in a store's configuration, and what is to be done about it: parts of one sentence. */
export interface StoreWarning { detail: string; advice: string }

export interface Store {
  /** Connect. Rejects when that fails; goes on trying by itself until `close`. */
  open(): Promise<void>;
  /** Told whenever the store can be used again, or cannot, and why; not before `open` has been called. */
  onState: (state: StoreState) => void;
  /**
   * Begin as this instance: a generation higher than any before. Whoever wrote under this name until now is fenced. `before` is the generation we had
   * until now, or null: what has become of it says whether what we still have to write is worth writing. Who has not heard the answer
   * asks again with the same, and is told the same, unless something has happened since. Rejects `namesake` when another process has registered by this name, is
   * connected to the store, and has been heard of within aliveMs; one that has crashed is not connected any more, so whoever comes in its place is not held up.
   */
  register(instance: string, before: number | null): Promise<Registration>;
  /** Fence another instance: what it still has to write under the generation it has now is refused. */
  fence(instance: string): Promise<void>;
  /** This instance has taken over `role` (a virtual router's name); gives who had it before, who is fenced if it was somebody else. */
  claim(role: string): Promise<string | null>;
  /** Carry out a batch and log it, all or nothing. Rejects `fenced` when the generation may not write any more. */
  write(batch: Uint8Array): Promise<void>;
  /**
   * The value under a key or another name for one; null = there is none. Another name may outlive what it was a name of, and then gives the value of the
   * key it was last a name for: compare what comes with what was asked for.
   */
  fetch(key: Uint8Array): Promise<Uint8Array | null>;
  /** Every record there is, page by page; some may be seen twice. Gives the place in the log from which on `follow` misses nothing. `total` is an estimate. */
  load(onPage: (page: { key: Uint8Array; value: Uint8Array }[], total: number) => void | Promise<void>, signal: AbortSignal): Promise<Position>;
  /**
   * Batches of others from a place on, until aborted (resolves). `reached` is the place to follow from another time: it goes on over what we have written
   * ourselves, so there may be no entries with it. Rejects with a GapError when the place is not in the log any more, or not yet: load anew. Rejects `fenced` as soon as
   * that has happened to us.
   */
  follow(from: Position, onEntries: (entries: LogEntry[], reached: Position) => void | Promise<void>, signal: AbortSignal): Promise<void>;
  /** Tell of oneself, and learn of all others that have within `aliveMs`. */
  beat(about: string, aliveMs: number): Promise<Peer[]>;
  /**
   * Lease up to `count` more blocks of an address out of `wanted`, and give the ones got. Taken in the order of `wanted`: first those this instance has had
   * under an earlier generation, whose late writes are void; then those nobody has had, or that were given back; last those whose life has
   * ended without that, the longest ended first: flows that the store was not told of may yet live in them. One that is this instance's by its present generation is not given again.
   * Rejects `settling` while none are given.
   */
  lease(address: string, wanted: readonly number[], count: number, leaseMs: number): Promise<number[]>;
  /**
   * Prolong blocks; gives those that are still ours: under whatever generation of this instance, even when their life has ended, as long as nobody else has
   * taken them. A store that was emptied believes it: ask only for blocks whose life, counted from when the last answer was asked for, is not over.
   */
  renew(address: string, blocks: readonly number[], leaseMs: number): Promise<number[]>;
  /** Give blocks back: nothing lives in them any more. Those that are not ours are left alone. */
  release(address: string, blocks: readonly number[]): Promise<void>;
  /** Those whose life has not ended. */
  leases(): Promise<Lease[]>;
  /** This instance ends: what it still leases counts as ended, not as given back, and nobody need wait for it. */
  resign(): Promise<void>;
  close(): Promise<void>;
}

/** The log does not reach back to where somebody wanted to follow it from. */
export class GapError extends StoreError {
  readonly isGap = true;
  constructor(message: string) { super('other', message); }
}
