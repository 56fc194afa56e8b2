/**
 * How virtual routers stand, as the control plane sees it: read from the counters that the data plane keeps in shared memory (table/counters.ts).
 */
import type { VrrpPlan } from '../base/plan.js';
import { VRRP_REASONS } from '../stage/election.js';
import type { VrrpReason, VrrpState } from '../stage/election.js';
import type { Counters } from '../table/counters.js';
import {
  VRRP_MASTER, VRRP_MASTER_PRIORITY, VRRP_PRIORITY, VRRP_REASON, VRRP_RECEIVED, VRRP_REFUSED, VRRP_SENT, VRRP_SINCE_MS, VRRP_STATE, VRRP_TRANSITIONS,
} from '../table/counters.js';
import { formatIpv4 } from '../wire/address.js';

/** The states, as the counter has them. */
export const VRRP_STATES: readonly VrrpState[] = ['init', 'backup', 'master'];

export interface VrrpStatus {
  state: VrrpState;
  reason: VrrpReason;
  /** Milliseconds it has been in this state. */
  sinceMs: number;
  /** As configured, and what is left of it: 0 = it stands aside. */
  priority: number;
  effectivePriority: number;
  /** Whose adverts are followed, IPv4 text; null = its own, or nobody's. And the priority they bear. */
  master: string | null;
  masterPriority: number | null;
  /** Adverts sent, taken, and refused. */
  sent: number;
  received: number;
  refused: number;
  /** Times it became master or ceased to be. */
  transitions: number;
}

/** @param nowMs the data plane's clock (NOW_MS). */
export function readVrrp(counters: Counters, { index, priority }: VrrpPlan, nowMs: number): VrrpStatus {
  const get = (counter: number): number => counters.vrrp(index, counter);
  const master = get(VRRP_MASTER);
  return {
    state: VRRP_STATES[get(VRRP_STATE)], reason: VRRP_REASONS[get(VRRP_REASON)], sinceMs: Math.max(0, nowMs - get(VRRP_SINCE_MS)),
    priority, effectivePriority: get(VRRP_PRIORITY),
    master: master === 0 ? null : formatIpv4(master | 0), masterPriority: master === 0 ? null : get(VRRP_MASTER_PRIORITY),
    sent: get(VRRP_SENT), received: get(VRRP_RECEIVED), refused: get(VRRP_REFUSED), transitions: get(VRRP_TRANSITIONS),
  };
}
