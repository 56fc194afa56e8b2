/**
 * Uplinks and their groups: an uplink is a target that leads out by one link, a group a pool of them with its scheduler. One uplink may
 * be in several groups; whether it is usable follows its link.
 */
import type { GroupPlan, UplinkPlan } from '../base/plan.js';
import { Pool } from './pool.js';
import { resilient } from './scheduler/resilient.js';
import type { Scheduler } from './scheduler/scheduler.js';
import type { Target } from './target.js';

export class Uplink implements Target {
  readonly index: number;
  readonly name: string;
  readonly link: number;
  /** int32, or null on a link without gateways. */
  readonly gateway: number | null;
  /** Translation addresses, int32; empty = flows leave untranslated. */
  readonly snat: readonly number[];
  /** A mapping is for one far endpoint only, instead of for all (RFC 4787 §4.1). */
  readonly isDependent: boolean;
  readonly filtering: UplinkPlan['filtering'];
  /** With no port free, one is shared with flows to other destinations. */
  readonly sharesPorts: boolean;
  /** Packets from outside prolong a UDP flow. */
  readonly refreshesInbound: boolean;
  weight: number;
  isUsable = false;
  chosen = 0;
  /** Nexthop through the gateway, and straight to a destination on the uplink's own subnet. */
  viaGateway: number;
  onLink: number;

  constructor(plan: UplinkPlan, gateway: number | null, snat: readonly number[], viaGateway: number, onLink: number) {
    this.index = plan.index;
    this.name = plan.name;
    this.link = plan.link;
    this.gateway = gateway;
    this.snat = snat;
    this.isDependent = plan.mapping === 'address-and-port-dependent';
    this.filtering = plan.filtering;
    this.sharesPorts = plan.whenExhausted === 'share';
    this.refreshesInbound = plan.refreshInbound;
    this.weight = plan.weight;
    this.viaGateway = viaGateway;
    this.onLink = onLink;
  }
}

export class Group {
  readonly index: number;
  readonly name: string;
  readonly pool: Pool<Uplink>;
  private readonly scheduler: Scheduler;

  constructor(plan: GroupPlan, uplinks: readonly Uplink[]) {
    this.index = plan.index;
    this.name = plan.name;
    this.pool = new Pool(plan.uplinks.map((i) => uplinks[i]));
    this.scheduler = resilient.create(this.pool);
  }

  /** The uplink a new flow takes, or null when none is usable. */
  pick(hash: number): Uplink | null {
    const place = this.scheduler.pick(hash);
    if (place < 0) return null;
    const uplink = this.pool.targets[place];
    uplink.chosen++;
    return uplink;
  }
}
