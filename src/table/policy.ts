/**
 * Policies: which group a new flow is for, and how it asks there, instead of what the routes say. In order; the first that fits decides. What
 * their fields may hold and what a search costs: table/match.ts.
 */
import type { Plan, PolicyPlan } from '../base/plan.js';
import type { Tuple } from '../wire/tuple.js';
import { MatchList } from './match.js';

const NONE = -1;

/** How a policy asks its group. */
export interface Asking {
  /** Uplink (of the group) to take while it is usable, or NONE. */
  readonly prefer: number;
  /** Whose affinity counts: groups by their index, then policies by theirs; NONE = nobody's. */
  readonly owner: number;
}

/** A policy as `route` follows it. */
export interface Policy { readonly name: string; /** NONE = exclude: the routes decide. */ readonly group: number; readonly asking: Asking }

export class Policies {
  readonly isEmpty: boolean;
  private readonly policies: readonly Policy[];
  private readonly matches: MatchList;
  /** By link: 1 = flows may leave by it although the routes say otherwise. */
  private readonly detours: Uint8Array;

  constructor(plan: Plan) {
    this.isEmpty = plan.policies.length === 0;
    this.policies = plan.policies.map((policy): Policy => ({
      name: policy.name,
      group: policy.exclude ? NONE : policy.group as number,
      asking: { prefer: policy.prefer ?? NONE, owner: ownerOf(policy, plan) },
    }));
    this.matches = new MatchList(plan.policies.map((policy) => policy.match), plan.links.length);
    this.detours = new Uint8Array(plan.links.length);
    for (const group of detourGroups(plan)) for (const uplink of plan.groups[group].uplinks) this.detours[plan.uplinks[uplink].link] = 1;
  }

  /** True when a policy, or a group that is a last resort, may lead out by this link: then whatever is out there may come in by it. */
  leadOutBy(link: number): boolean { return this.detours[link] === 1; }

  /** The first policy that fits a packet which came in by `link`, or null. */
  find(link: number, tuple: Tuple): Policy | null {
    const place = this.matches.find(0, link, NONE, tuple.protocol, tuple.s3, tuple.d3, tuple.ports);
    return place === NONE ? null : this.policies[place];
  }
}

/** Groups that policies name, and those that are last resort of any group. */
function detourGroups(plan: Plan): number[] {
  return [
    ...plan.policies.flatMap((policy) => policy.group ?? []),
    ...plan.groups.flatMap(({ lastResort }) => (typeof lastResort === 'object' ? lastResort.group : [])),
  ];
}

/** Whose affinity counts for flows of a policy: its own, the group's, or nobody's. */
function ownerOf(policy: PolicyPlan, plan: Plan): number {
  if (policy.affinity !== undefined) return plan.groups.length + policy.index;
  return policy.group !== undefined && plan.groups[policy.group].affinity !== undefined ? policy.group : NONE;
}
