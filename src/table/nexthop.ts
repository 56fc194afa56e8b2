/**
 * Nexthops: where a routed packet goes next, a link and the address to ask for there. Numbered per plan; routes and flows
 * hold the number. `gateway` absent means the destination itself is on the link.
 *
 * An uplink's nexthops are there twice. The plain one is open while its link has carrier: for what a person has routed there, for probes, for
 * what the router itself answers. The bound one is open while the uplink is up: for the flows a group has given it, which must not go on into
 * an uplink that leads nowhere. So a packet's one test of `isOpen` is all that a state of links and uplinks costs it.
 */
export interface Nexthop {
  readonly link: number;
  /** Gateway as int32, or null: the destination is asked for directly. */
  readonly gateway: number | null;
  /** Uplink whose address flows take when they leave this way, or -1. */
  readonly uplink: number;
  /** Follows its uplink's state, not only its link's. */
  readonly isBound: boolean;
  /** Packets may leave this way now. */
  isOpen: boolean;
}

const NONE = -1;

export class NexthopTable {
  private readonly rows: Nexthop[] = [];
  /** By number: that of the bound one of the same way, or NONE. */
  private readonly bounds: number[] = [];

  /** Number of this nexthop, entered if it is new. */
  intern(link: number, gateway: number | null, uplink: number): number {
    const known = this.rows.findIndex((row) => row.link === link && row.gateway === gateway && row.uplink === uplink && !row.isBound);
    if (known >= 0) return known;
    this.bounds.push(NONE);
    return this.rows.push({ link, gateway, uplink, isBound: false, isOpen: false }) - 1;
  }

  /** As `intern`, for an uplink's own: it gets a bound one as well. */
  internUplink(link: number, gateway: number | null, uplink: number): number {
    const number = this.intern(link, gateway, uplink);
    if (this.bounds[number] === NONE) {
      this.bounds.push(NONE);
      this.bounds[number] = this.rows.push({ link, gateway, uplink, isBound: true, isOpen: false }) - 1;
    }
    return number;
  }

  get(number: number): Nexthop { return this.rows[number]; }

  /** The bound one of an uplink's nexthop; any other is itself. */
  bound(number: number): number { return this.bounds[number] === NONE ? number : this.bounds[number]; }

  /** A link has got or lost its carrier. */
  setLink(link: number, isUp: boolean): void {
    for (const row of this.rows) if (row.link === link && !row.isBound) row.isOpen = isUp;
  }

  /** An uplink is up or down. */
  setUplink(uplink: number, isUp: boolean): void {
    for (const row of this.rows) if (row.uplink === uplink && row.isBound) row.isOpen = isUp;
  }

  /** True when a flow's decision is a nexthop of ours, and one by this link. */
  leadsBy(number: number, link: number): boolean { return number >= 0 && number < this.rows.length && this.rows[number].link === link; }
}
