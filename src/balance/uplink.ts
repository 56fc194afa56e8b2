/**
 * Uplinks and their groups. An uplink leads out by one link; a group shares flows among several. One uplink may be in many groups, on a
 * tier of its own in each, so what a scheduler picks among are the group's members.
 *
 *   pick:  preferred uplink ──not usable──▶ affinity ──none──▶ lowest tier with a usable member ──none──▶ lastResort: refuse, or another group
 *                                                               its scheduler, by weight
 *
 * An uplink's state and weight are the router's (stage/router.ts); it calls `update` of every group in the same step. A member counts when its
 * uplink is usable and has a weight: weight 0 takes no new flow, so a tier of nothing else is passed over.
 *
 * What a group compares by (`balance`): 'flow' leaves it to the flow's hash, and the split is held to the weights; by address, the same address
 * comes to the same uplink as long as its members stand, and the split is as good as the addresses are many; 'packet' has each packet take its
 * turn by weight, but only in a group whose uplinks all translate to nothing, or to one address: elsewhere it is as 'flow'.
 *
 * Cost of a pick: without affinity that of the scheduler; nothing is allocated.
 */
import { assert } from '../base/assert.js';
import { finish, hashText, mix } from '../base/hash.js';
import type { Balance, GroupPlan, Plan, UplinkPlan } from '../base/plan.js';
import type { Asking } from '../table/policy.js';
import { V4_MAPPED } from '../wire/address.js';
import type { Tuple } from '../wire/tuple.js';
import type { AffinityTable } from './affinity.js';
import { Pool } from './pool.js';
import { Resilient, SLACK } from './scheduler/resilient.js';
import type { Scheduler } from './scheduler/scheduler.js';
import { WeightedRoundRobin } from './scheduler/wrr.js';
import type { Target } from './target.js';

const NONE = -1;

export class Uplink {
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
  /** Share of new flows; may be changed at run time. */
  weight: number;
  /** May take new flows: its link is up, its gateway answers, its check is good and nobody has drained it. */
  isUsable = false;
  /** What its health check says; true without one. */
  isHealthy: boolean;
  /** Drained by hand. */
  isDrained = false;
  /** Its gateway answers, as far as is known; true where there is none to ask. */
  hasGateway = true;
  /** Carries its flows: link up, gateway answering, healthy. Usable = up and not drained. */
  isUp = false;
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
    this.isHealthy = plan.check?.initial !== 'down';
    this.viaGateway = viaGateway;
    this.onLink = onLink;
  }
}

/** An uplink as one group sees it. */
export class Member implements Target {
  readonly uplink: Uplink;
  readonly tier: number;
  weight: number;
  isUsable: boolean;
  chosen = 0;
  /** Nobody counts the flows of a member: no scheduler of a group asks. */
  readonly active = 0;
  readonly inactive = 0;
  readonly key: number;

  constructor(uplink: Uplink, tier: number) {
    this.uplink = uplink;
    this.tier = tier;
    this.key = hashText(uplink.name, 0);
    this.weight = uplink.weight;
    this.isUsable = uplink.isUsable;
  }
}

/** Members that share the flows while no better tier has a usable one. */
interface Tier { number: number; pool: Pool<Member>; scheduler: Scheduler; spray: Scheduler }

export class Group {
  readonly index: number;
  readonly name: string;
  /** In the order of the plan. */
  readonly members: readonly Member[];
  readonly onDown: GroupPlan['onDown'];
  readonly onRecover: GroupPlan['onRecover'];
  readonly drainTimeoutSeconds: number;
  /** Flows of this group are not bound to an uplink: each packet takes its turn. */
  readonly isSprayed: boolean;
  /** The group asked when no uplink is usable here, or null. */
  fallback: Group | null = null;
  /** When no uplink is usable, there neither: nothing is said to the sender. */
  isSilent = false;
  private readonly balance: Balance;
  private readonly affinity: AffinityTable;
  /** Its number among the owners of affinity, or NONE: it has none. */
  private readonly owner: number;
  private readonly seed: number;
  /** Best first. */
  private readonly tiers: readonly Tier[];
  private active: Tier | null = null;
  /** By index of the uplink; null = not in this group. */
  private readonly byUplink: readonly (Member | null)[];

  constructor(plan: GroupPlan, uplinks: readonly Uplink[], affinity: AffinityTable, isSprayed: boolean, seed: number) {
    this.index = plan.index;
    this.name = plan.name;
    this.onDown = plan.onDown;
    this.onRecover = plan.onRecover;
    this.drainTimeoutSeconds = plan.drainTimeout;
    this.balance = plan.balance;
    this.isSprayed = isSprayed;
    this.affinity = affinity;
    this.owner = plan.affinity === undefined ? NONE : plan.index;
    this.seed = seed;
    this.members = plan.uplinks.map((uplink, i) => new Member(uplinks[uplink], plan.tiers[i]));
    this.byUplink = uplinks.map((uplink) => this.members.find((member) => member.uplink === uplink) ?? null);
    const isByFlow = plan.balance === 'flow' || plan.balance === 'packet';
    const numbers = [...new Set(plan.tiers)].sort((a, b) => a - b);
    this.tiers = numbers.map((number) => {
      const pool = new Pool(this.members.filter((member) => member.tier === number));
      return { number, pool, scheduler: new Resilient(pool, isByFlow ? SLACK : Infinity), spray: new WeightedRoundRobin(pool) };
    });
    this.settle();
  }

  /** Number of the tier that takes new flows, or NONE while no uplink is usable. */
  get activeTier(): number { return this.active === null ? NONE : this.active.number; }

  has(uplink: Uplink): boolean { return this.byUplink[uplink.index] !== null; }

  /** The tier of an uplink of this group. */
  tierOf(uplink: Uplink): number { return this.byUplink[uplink.index]?.tier ?? NONE; }

  /** An uplink's weight or usability may have changed. */
  update(uplink: Uplink): void {
    const member = this.byUplink[uplink.index];
    if (member === null || (member.weight === uplink.weight && member.isUsable === uplink.isUsable)) return;
    const tier = this.tiers.find((one) => one.number === member.tier) as Tier;
    tier.pool.set(member, { weight: uplink.weight, isUsable: uplink.isUsable });
    this.settle();
  }

  /**
   * The uplink a new flow takes, or null when none is usable. `hash` is the flow's own.
   * @param asking how a policy wants it; null = as the group says.
   */
  pick(tuple: Tuple, hash: number, asking: Asking | null, nowMs: number): Uplink | null {
    let { owner } = this;
    if (asking !== null) {
      owner = asking.owner;
      const preferred = asking.prefer === NONE ? null : this.byUplink[asking.prefer];
      if (preferred !== null && Pool.effectiveWeight(preferred) > 0) return give(preferred);
    }
    const { active } = this;
    if (active === null) return this.fallback === null ? null : this.fallback.pick(tuple, hash, null, nowMs);
    if (owner === NONE) return this.choose(active, tuple, hash);
    const entry = this.affinity.find(owner, tuple, nowMs);
    if (entry !== NONE) {
      const member = this.byUplink[this.affinity.uplink(entry)];
      if (member !== null && Pool.effectiveWeight(member) > 0) {
        this.affinity.renew(entry, nowMs);
        return give(member);
      }
    }
    const uplink = this.choose(active, tuple, hash);
    this.affinity.remember(owner, this.index, tuple, uplink.index, nowMs);
    return uplink;
  }

  /** True when what is asked for like this may be sprayed: nothing is preferred that is usable, and nobody is to come back. */
  sprays(asking: Asking | null): boolean {
    if (!this.isSprayed || this.active === null) return false;
    if (asking === null) return this.owner === NONE;
    return asking.owner === NONE && (asking.prefer === NONE || Pool.effectiveWeight(this.byUplink[asking.prefer] as Member) === 0);
  }

  /** The uplink the next packet of a sprayed flow takes; null while none of this group is usable. */
  spray(): Uplink | null {
    const { active } = this;
    if (active === null) return null;
    const { uplink } = active.pool.targets[active.spray.pick(0)];
    return uplink;
  }

  /** True when a new flow could go somewhere else than by this uplink: another one here, or one of the group that is the last resort. */
  hasBetterThan(uplink: Uplink): boolean {
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i];
      if (member.uplink !== uplink && Pool.effectiveWeight(member) > 0) return true;
    }
    return this.fallback !== null && this.fallback.hasBetterThan(uplink);
  }

  private choose(active: Tier, tuple: Tuple, hash: number): Uplink {
    return give(active.pool.targets[active.scheduler.pick(this.key(tuple, hash))]);
  }

  /** What two flows must have in common to come to the same uplink. */
  private key(tuple: Tuple, hash: number): number {
    switch (this.balance) {
      case 'source': return finish(mixAddress(this.seed, tuple.s0, tuple.s1, tuple.s2, tuple.s3));
      case 'destination': return finish(mixAddress(this.seed, tuple.d0, tuple.d1, tuple.d2, tuple.d3));
      case 'source-destination':
        return finish(mixAddress(mixAddress(this.seed, tuple.s0, tuple.s1, tuple.s2, tuple.s3), tuple.d0, tuple.d1, tuple.d2, tuple.d3));
      default: return hash;
    }
  }

  /** Find the tier that takes new flows now; when a better one has come back, whoever had been led to a worse one is free again. */
  private settle(): void {
    const before = this.active;
    this.active = this.tiers.find((tier) => tier.pool.targets.some((member) => Pool.effectiveWeight(member) > 0)) ?? null;
    const now = this.active;
    if (now === null || now === before || this.onRecover === 'keep') return;
    if (before === null || now.number < before.number) {
      this.affinity.eraseUplinks(this.index, (uplink) => (this.byUplink[uplink]?.tier ?? NONE) > now.number);
    }
  }
}

function give(member: Member): Uplink {
  member.chosen++;
  return member.uplink;
}

function mixAddress(hash: number, a0: number, a1: number, a2: number, a3: number): number {
  const h = mix(hash, a3);
  return a2 === V4_MAPPED ? h : mix(mix(mix(h, a0), a1), a2);
}

/** The groups of a plan, each with the group that is its last resort. */
export function makeGroups(plan: Plan, uplinks: readonly Uplink[], affinity: AffinityTable): Group[] {
  const groups = plan.groups.map((group) => {
    const isSprayed = group.balance === 'packet' && looksTheSame(plan, group);
    return new Group(group, uplinks, affinity, isSprayed, mix(plan.seed, group.index));
  });
  plan.groups.forEach(({ lastResort }, i) => { if (typeof lastResort === 'object') groups[i].fallback = groups[lastResort.group]; });
  for (const group of groups) {
    let last = group;
    for (let steps = 0; last.fallback !== null; steps++) {
      assert(steps < groups.length, `groups that are each other's last resort: ${group.name}`);
      last = last.fallback;
    }
    group.isSilent = plan.groups[last.index].lastResort === 'blackhole';
  }
  return groups;
}

/** A flow of this group looks the same to the far end whichever uplink a packet takes. */
function looksTheSame(plan: Plan, group: GroupPlan): boolean {
  const [first] = group.uplinks;
  const addresses = plan.uplinks[first].snat.join();
  return plan.uplinks[first].snat.length <= 1 && group.uplinks.every((uplink) => plan.uplinks[uplink].snat.join() === addresses)
    && !plan.oneToOne.some((rule) => group.uplinks.includes(rule.uplink));
}
