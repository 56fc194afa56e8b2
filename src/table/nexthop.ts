/**
 * Nexthops: where a routed packet goes next, a link and the address to ask for there. Numbered per plan; routes and flows
 * hold the number. `gateway` absent means the destination itself is on the link.
 */
export interface Nexthop {
  readonly link: number;
  /** Gateway as int32, or null: the destination is asked for directly. */
  readonly gateway: number | null;
  /** Uplink whose address flows take when they leave this way, or -1. */
  readonly uplink: number;
}

export class NexthopTable {
  private readonly rows: Nexthop[] = [];

  /** Number of this nexthop, entered if it is new. */
  intern(link: number, gateway: number | null, uplink: number): number {
    const known = this.rows.findIndex((row) => row.link === link && row.gateway === gateway && row.uplink === uplink);
    if (known >= 0) return known;
    return this.rows.push({ link, gateway, uplink }) - 1;
  }

  get(number: number): Nexthop { return this.rows[number]; }
}
