/**
 * Routes: what the FIB's numbers mean. A route is a plain record made with the plan; the FIB maps prefixes to its number.
 */
import type { Verdict } from '../base/verdict.js';

export type RouteKind = 'static' | 'connected' | 'local' | 'broadcast';

export interface Route {
  readonly kind: RouteKind;
  readonly name: string | null;
  /** CIDR text. */
  readonly to: string;
  /** Exactly one of the next three says what happens to a packet; a local route has none. */
  readonly nexthop: number;
  /** Group whose uplinks share the traffic, or -1. */
  readonly group: number;
  /** On-link prefix shared by several uplinks of `group`: the destination itself is asked for on the uplink picked. */
  readonly isOnLink: boolean;
  readonly refuse: Verdict;
}

export class RouteTable {
  private readonly rows: Route[] = [];

  add(route: Route): number { return this.rows.push(route) - 1; }
  get(number: number): Route { return this.rows[number]; }
  all(): readonly Route[] { return this.rows; }
}
