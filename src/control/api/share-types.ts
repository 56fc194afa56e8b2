/** What the API says of sharing and election. As in types.ts: fields are added, never renamed, never change type. */
import type { ShareStatus } from '../../share/status.js';
export type { ShareLeaseStatus, SharePeer, ShareStatus } from '../../share/status.js';
import type { VrrpTrouble } from '../../stage/election.js';

/** Adverts of another router that do not fit our configuration: what is wrong with the last of them, and when it came (Unix time). */
export interface VirtualRouterTrouble { kind: VrrpTrouble; from: string; detail: string; atMs: number }

/** A virtual router, as it stands here. */
export interface VirtualRouterStatus {
  name: string; link: string;
  /** VRID. */
  id: number;
  version: number; addresses: string[];
  /** Virtual routers of one group are masters together or not at all; null = it is in none. */
  syncGroup: string | null;
  /** 'init': it does not take part. */
  state: 'init' | 'backup' | 'master';
  /** Why it is in its state, one phrase. */
  reason: string;
  /** Unix time: the moment the state began. */
  sinceMs: number;
  /** As configured, and what is left of it: 0 = it stands aside. */
  priority: number; effectivePriority: number;
  /** Whose adverts are followed, and the priority they bear; null = its own, or nobody's. */
  master: string | null; masterPriority: number | null;
  advertIntervalMs: number; preempt: boolean;
  /** What its priority depends on, and how much is taken off while that is down; a weight of 0 = it stands aside. */
  track: { kind: 'link' | 'uplink' | 'virtualServer'; name: string; weight: number; isDown: boolean }[];
  /** The last of the last ten minutes; null = none. */
  trouble: VirtualRouterTrouble | null;
  /** Adverts sent, taken and refused, and how often it became master or ceased to be, since the start. */
  sent: number; received: number; refused: number; transitions: number;
}

/** What is shared, and how that stands. */
export interface ShareReport {
  store: 'memory' | 'redis'; instance: string;
  /** Drained by hand (`weir drain`): it stands aside in every election. */
  isDrained: boolean;
  /** Null while nothing is shared (store memory), and until there is something to tell. */
  status: ShareStatus | null;
}

/** A block of ports of a translation address, and whose it is. */
export interface LeaseStatus {
  address: string; block: number; firstPort: number; lastPort: number;
  instance: string; isOurs: boolean; generation: number;
  /** Unless it is renewed. */
  leftMs: number;
  /** Ports in use or at rest, and free ones, in the protocol that has most in use; null = another instance's. */
  used: number | null; free: number | null;
}

export interface VrrpList { schemaVersion: number; vrrp: VirtualRouterStatus[] }
export interface ShareAnswer extends ShareReport { schemaVersion: number }
export interface LeaseList {
  schemaVersion: number; leases: LeaseStatus[];
  /** False while the store cannot be asked: then these are our own only. */
  isComplete: boolean;
  /** Why it is not complete, one phrase; null while it is. */
  reason: string | null;
}

/** What became of draining this instance, or of taking it back into use. */
export interface InstanceAnswer {
  schemaVersion: number; instance: string; isDrained: boolean;
  /** Whether the store has all that was to be written; null where nothing is shared. */
  isFlushed: boolean | null;
  /** Why it has not, one phrase. */
  flushError: string | null;
  /** Virtual routers that were master here and that no other router was heard in since. */
  unclaimed: string[];
  /** Virtual routers as they stand now. */
  vrrp: VirtualRouterStatus[];
  tookMs: number; warnings: string[];
}

/** What an action on this instance came to. */
export interface InstanceOutcome { isFlushed: boolean | null; flushError: string | null; unclaimed: string[]; tookMs: number }
/** What is leased, by everyone where the store could be asked. */
export interface LeaseReport { leases: LeaseStatus[]; reason: string | null }
