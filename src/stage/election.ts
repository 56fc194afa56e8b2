/**
 * The contract of the election (RFC 9568): what the path and the turn ask of it. src/vrrp implements it; dataplane.ts gives it to the router. Which addresses are
 * ours at the moment stands in table/elected.ts, which the election writes and the stages read. Not a stage of the path.
 */
import type { Verdict } from '../base/verdict.js';
import type { Packet } from '../wire/packet.js';

export interface Election {
  /** A VRRP packet that is for us, at p.ipAt, its IP header not looked at yet. `isGroup`: it came to the multicast address, else to one of ours. */
  hear(p: Packet, isGroup: boolean): Verdict;
  /** What is due: timers, adverts, announcements, what has become of what is tracked. Once a turn. */
  tick(): void;
  /** When `tick` wants to be called next; Infinity = whenever. */
  readonly dueMs: number;
  /** A link, an uplink or a virtual server has changed: it is looked at in the next turn. */
  changed(): void;
  /** Everything that is shared has been loaded, or cannot be had: this router may take part from now on. */
  setReady(): void;
  /** Stand aside, for a person wants it, or take part again. Its addresses stay until another router has them, or for as long as that takes at most. */
  setDrained(isDrained: boolean): void;
  /** The router ends: resign. True when nothing is left that somebody else would have to take over first. */
  readonly isAtRest: boolean;
}

export type VrrpState = 'init' | 'backup' | 'master';

/** Why a virtual router is in its state. */
export const VRRP_REASONS = [
  // init
  'notReady', 'linkDown', 'drained', 'tracked', 'groupAside', 'noAddress',
  // backup
  'started', 'better', 'groupBackup', 'stalled',
  // master
  'owner', 'noMaster', 'resigned', 'preempted',
] as const;
export type VrrpReason = (typeof VRRP_REASONS)[number];

/** What is wrong with the adverts of another router: its configuration differs from ours. */
export type VrrpTrouble = 'addresses' | 'interval' | 'version' | 'authentication' | 'checksum' | 'hops' | 'peer' | 'owner';

/** Told to the control plane. */
export type VrrpNotice =
  | { event: 'vrrp'; virtualRouter: number; state: VrrpState; before: VrrpState; reason: VrrpReason; priority: number; /** Whose adverts it follows; null = its own, or nobody's. */ master: string | null }
  /** Told once in a while, however many such adverts come. */
  | { event: 'vrrpTrouble'; virtualRouter: number; trouble: VrrpTrouble; from: string; /** What was found, and what is expected. */ detail: string };
