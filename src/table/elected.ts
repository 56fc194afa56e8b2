/**
 * Elected addresses: those of virtual routers (RFC 9568), which one of several routers has at a time, and whether that is this one now. The
 * election (src/vrrp) writes it, stages ask: `Link.elected` on the way of a packet, `Router.elected` where it does not matter by which link.
 *
 * A virtual router has a MAC address of its own, 00:00:5e:00:01:VRID (§7.3), which goes with its addresses from router to router: whoever has learned it
 * need learn nothing when another router takes over. Where `virtualMac` is off it is the link's own.
 */
import type { Plan, VrrpPlan } from '../base/plan.js';
import { parseIpv4 } from '../wire/address.js';
import { OWNER_PRIORITY } from '../wire/vrrp.js';

const NONE = -1;

/** The first two bytes of every virtual router's MAC address, and the rest of it but for the VRID. */
export const VIRTUAL_MAC_HIGH = 0x0000;
export const VIRTUAL_MAC_LOW = 0x5e000100;
/** In place of a MAC address's low word. */
export const NOT_OURS = -1;

/**
 * A virtual router's addresses are another router's; ours; or still ours while another one is to take them over: what is under way goes on, nothing new is
 * promised by them, for whoever has them next might promise the same.
 */
export const HELD_NOT = 0;
export const HELD = 1;
export const HELD_FOR_NEXT = 2;
/** Another router has them; what was on its way here when it took over is still forwarded, and leaves from the link's own MAC address: the wire is to learn that the virtual one is there. */
export const HELD_LEAVING = 3;

/** True while the addresses are this router's. */
export const isHeld = (held: number): boolean => held === HELD || held === HELD_FOR_NEXT;

export class Elected {
  /** By link; null = it has no virtual router. */
  readonly links: readonly (LinkElected | null)[];
  /** By address (int32): its virtual router's index. */
  private readonly owners: ReadonlyMap<number, number>;
  /** By virtual router: HELD_*. */
  private readonly held: Uint8Array;
  private readonly plan: readonly VrrpPlan[];

  constructor({ links, vrrp }: Plan) {
    this.plan = vrrp;
    this.links = links.map(({ index }) => {
      const here = vrrp.filter(({ link }) => link === index);
      return here.length === 0 ? null : new LinkElected(here);
    });
    this.owners = new Map(vrrp.flatMap(({ index, addresses }) => addresses.map(({ address }) => [parseIpv4(address), index] as const)));
    this.held = new Uint8Array(vrrp.length);
  }

  get isEmpty(): boolean { return this.owners.size === 0; }

  has(address: number): boolean { return this.owners.has(address); }

  /** The virtual router an address is of, or NONE. */
  ownerOf(address: number): number { return this.owners.get(address) ?? NONE; }

  /** False for an address that another router has now; true for ours, and for every one that is not elected. */
  holds(address: number): boolean {
    const owner = this.owners.get(address);
    return owner === undefined || isHeld(this.held[owner]);
  }

  /** True for an address by which something new may be promised: a translation that others are to answer to. */
  mayPromise(address: number): boolean {
    const owner = this.owners.get(address);
    return owner === undefined || this.held[owner] === HELD;
  }

  /** HELD_* of a virtual router. */
  heldOf(virtualRouter: number): number { return this.held[virtualRouter]; }

  /** A virtual router's addresses, and its MAC address, are ours from now on, or not any more. */
  set(virtualRouter: number, held: number): void {
    this.held[virtualRouter] = held;
    const { link, id } = this.plan[virtualRouter];
    (this.links[link] as LinkElected).hold(id, held);
  }
}

/** Those of one link, as its frames are judged by them: a handful of addresses, so a walk along them costs less than a look-up. */
export class LinkElected {
  /** By VRID: 1 = frames to its virtual MAC address are for us. */
  readonly takes = new Uint8Array(256);
  /** int32; by place: VRID, low word of the MAC address that goes with it (0 = the link's own), 1 = ours now, HELD_LEAVING = until a moment ago. */
  private readonly addresses: Int32Array;
  private readonly ids: Uint8Array;
  private readonly macs: Int32Array;
  private readonly held: Uint8Array;
  private readonly hasMac = new Uint8Array(256);

  constructor(virtualRouters: readonly VrrpPlan[]) {
    const rows = virtualRouters.flatMap(({ id, virtualMac, addresses }) => addresses.map(({ address }) => ({ address: parseIpv4(address), id, mac: virtualMac ? VIRTUAL_MAC_LOW | id : 0 })));
    this.addresses = Int32Array.from(rows, ({ address }) => address);
    this.ids = Uint8Array.from(rows, ({ id }) => id);
    this.macs = Int32Array.from(rows, ({ mac }) => mac);
    this.held = new Uint8Array(rows.length);
    for (const { id, virtualMac } of virtualRouters) this.hasMac[id] = virtualMac ? 1 : 0;
  }

  /** True when frames to this MAC address are for us on account of a virtual router. */
  takesMac(high: number, low: number): boolean {
    return high === VIRTUAL_MAC_HIGH && (low & ~0xff) === VIRTUAL_MAC_LOW && this.takes[low & 0xff] === 1;
  }

  /** False for an address of this link that another router has now. */
  holds(address: number): boolean {
    for (let i = 0; i < this.addresses.length; i++) if (this.addresses[i] === address) return this.held[i] === 1;
    return true;
  }

  /** Low word of the virtual MAC address that goes with a source address of ours; 0: the link's own goes with it; NOT_OURS: it is another router's now. */
  macOf(source: number): number {
    for (let i = 0; i < this.addresses.length; i++) if (this.addresses[i] === source) return this.held[i] === 1 ? this.macs[i] : this.held[i] === HELD_LEAVING ? 0 : NOT_OURS;
    return 0;
  }

  /** True when this MAC address is that of the virtual router an address is of, whoever has it now. */
  isMacOf(source: number, high: number, low: number): boolean {
    if (high !== VIRTUAL_MAC_HIGH) return false;
    for (let i = 0; i < this.addresses.length; i++) if (this.addresses[i] === source) return this.macs[i] === low;
    return false;
  }

  hold(id: number, held: number): void {
    for (let i = 0; i < this.ids.length; i++) if (this.ids[i] === id) this.held[i] = isHeld(held) ? 1 : held;
    this.takes[id] = held !== HELD_NOT && this.hasMac[id] === 1 ? 1 : 0;
  }
}

/** Addresses of virtual routers that do not answer for them, int32. An owner always does: they are its own (RFC 9568 §6.1). */
export function unacceptedAddresses({ vrrp }: Plan): Set<number> {
  return new Set(vrrp.filter(({ accept, priority }) => !accept && priority !== OWNER_PRIORITY).flatMap(({ addresses }) => addresses.map(({ address }) => parseIpv4(address))));
}
