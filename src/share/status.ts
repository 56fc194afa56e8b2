/**
 * What the share worker and the main thread tell each other. Threads have clocks of their own, so no moment ever passes between them: only how long ago
 * something was, or how long something takes.
 */
import type { Plan } from '../base/plan.js';
import type { Lease, StoreTrouble } from './store.js';

/** Where an instance stands with the store. Usable is it in `running` alone. */
export type SharePhase =
  /** The store has not been reached yet, or is out of reach. */
  | 'connecting' | 'away'
  /** It has been reached; a generation is being got, then everything that others have written. */
  | 'registering' | 'loading'
  | 'running'
  /** What waits is being written, for the instance ends. */
  | 'stopping';

/** What is wrong with the store, since it is. */
export interface ShareTroubleStatus {
  kind: StoreTrouble;
  message: string;
  /** Milliseconds since the store could be used last, or since the start. */
  forMs: number;
  /** Times we have tried to get it back since. */
  attempts: number;
  /** Milliseconds until it is tried again; null = the store's own connection decides. */
  nextTryMs: number | null;
}

/** What the store holds is being read, or was. */
export interface ShareLoadStatus {
  isDone: boolean;
  records: number;
  /** An estimate; 0 = not known yet. */
  total: number;
  tookMs: number;
}

/** Counts since the worker began. */
export interface ShareCounts {
  /** Records put to the store, and deleted from it. */
  written: number;
  deleted: number;
  /** Batches it took, and their bytes. */
  batches: number;
  batchBytes: number;
  /** Writes that failed and were done again; batches refused because our generation was over. */
  retried: number;
  fenced: number;
  /** Changes that waited too long or were too many (limits.sharedChanges), of them ends of flows; and journal records that found no room. */
  dropped: number;
  droppedEnds: number;
  lost: number;
  /** Changes that were one with another that still waited. */
  coalesced: number;
  /** Flows written again for their age alone. */
  refreshed: number;
  /** Walks that wrote everything again. */
  rewrites: number;
  /** Records handed to the data plane, of the load and of the log, and ends of others' flows; batches of the log that could not be read. */
  loaded: number;
  applied: number;
  forgotten: number;
  unreadable: number;
  /** Times the inbox was full and what was for it had to wait. */
  inboxWaits: number;
  /** The log did not reach back to where we were. */
  gaps: number;
  /** Flows the data plane has asked for: all, found, not found in time, one too many at once. */
  fetches: number;
  fetched: number;
  fetchesMissed: number;
  fetchesRefused: number;
  /** Our own records of flows that had ended while nobody could be told. */
  buried: number;
}

/** Another instance, as it last told of itself. */
export interface SharePeer {
  instance: string;
  generation: number;
  ageMs: number;
  flows: number;
  /** 'running', 'loading', 'draining' … */
  state: string;
  version: string;
  /** Virtual routers it is master of. */
  masterOf: string[];
}

/** Blocks of ports of one leased address. */
export interface ShareLeaseStatus {
  address: string;
  /** Blocks there are, and ours. */
  blocks: number;
  held: number[];
  /** Milliseconds until the first of ours may not be used any more; null = we have none. */
  leftMs: number | null;
}

export interface ShareStatus {
  instance: string;
  phase: SharePhase;
  isUsable: boolean;
  /** Since when it is usable, or not, in milliseconds. */
  forMs: number;
  /** null = none yet. */
  generation: number | null;
  /** null = nothing is wrong. */
  trouble: ShareTroubleStatus | null;
  load: ShareLoadStatus | null;
  /** Age of the oldest change that is not written, and the longest a change has waited in the last while; milliseconds. */
  lagMs: number;
  lagMaxMs: number;
  /** Round trip of the last write, and the longest in the last while. */
  writeMs: number;
  writeMaxMs: number;
  /** How long the last entry of the log was on its way; null = none yet. */
  followMs: number | null;
  /** Changes that wait to be written, of at most so many; batches on their way. */
  queue: number;
  queueLimit: number;
  inFlight: number;
  /** Words that wait in each ring, of so many. */
  journalWords: number;
  journalLimit: number;
  inboxWords: number;
  inboxLimit: number;
  /** Fetches under way. */
  fetching: number;
  counts: ShareCounts;
  peers: SharePeer[];
  leases: ShareLeaseStatus[];
  isDrained: boolean;
  /** What is dangerous in the store's configuration, in sentences. */
  warnings: readonly string[];
}

/** Orders. Those with an `id` are answered by `done` with the same. */
export type ToShare =
  /** We have become master of a virtual router, or are not any more. */
  | { type: 'role'; role: string; isMaster: boolean }
  /** Write what waits, within a time. */
  | { type: 'flush'; id: number; withinMs: number }
  /** Everything that is leased now, by everyone. */
  | { type: 'leases'; id: number }
  /** The instance is drained, or not any more: others are told. */
  | { type: 'drain'; isDrained: boolean }
  /** Write what waits, give leases back, resign, end. `isPlaneGone`: the data plane has ended. */
  | { type: 'stop'; withinMs: number; isPlaneGone: boolean };

export type FromShare =
  | { type: 'status'; status: ShareStatus }
  | { type: 'event'; event: ShareEvent }
  /** What the store holds is in the data plane, or is not to be had: elections may be won from now on. */
  | { type: 'ready'; isLoaded: boolean }
  | { type: 'done'; id: number; error: string | null; leases?: Lease[] }
  /** It cannot go on: share.require says that the store must be there at the start. */
  | { type: 'failed'; trouble: StoreTrouble; message: string }
  | { type: 'stopped' };

/** What a person should know; `event` is a word of the event log. */
export interface ShareEvent {
  event:
    | 'share.up' | 'share.degraded' | 'share.loading' | 'share.loaded' | 'share.fenced' | 'share.peer.up' | 'share.peer.down' | 'share.dropped' | 'share.emptied'
    | 'share.leases.ending' | 'share.leases.ended' | 'share.leases.low' | 'share.leases.renewed';
  subject: string;
  message: string;
  fields: Record<string, unknown> & { severity: 'info' | 'warning' | 'error' };
}

/** What the worker is started with. */
export interface ShareOptions {
  plan: Plan;
  version: string;
  /** The flow table, which is only read. */
  flows: SharedArrayBuffer;
  counters: SharedArrayBuffer;
  /** Rings: from the data plane, and to it. */
  journal: SharedArrayBuffer;
  inbox: SharedArrayBuffer;
  /** Ports of leased addresses (table/lease-board.ts), leaseBoardBytes(plan) of it: the same memory that the data plane has. */
  leases: SharedArrayBuffer;
  /** eventfd that ends the data plane's wait. */
  wakeFd: number;
  /** A worker has crashed before: what it had in hand is lost, and everything is written again. */
  isRestart: boolean;
  /** The generation that one had last, as far as it had told; null = none. What has become of it is asked of the store: somebody may have taken over meanwhile. */
  generation: number | null;
  /** A word that no other process has: by it the store tells this instance from another one of its name. */
  incarnation: string;
}
