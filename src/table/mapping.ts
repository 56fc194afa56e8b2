/**
 * All that is remembered of mappings: a port pool per translation address and protocol, which address an inside host is paired with, who may
 * send inwards, how many ports and flows each inside host has.
 *
 * Some of the addresses may be leased: other instances translate to them at the same time (table/port-lease.ts).
 *
 * A mapping's name is one word everywhere: number of its pool << 16 | external port. Pools are made when first used (about 5 MB of
 * address space each, touched only where ports are).
 */
import type { Plan } from '../base/plan.js';
import type { Random } from '../base/random.js';
import { formatIpv4, parseIpv4 } from '../wire/address.js';
import * as ip from '../wire/ipv4.js';
import { leaseBoardBytes, leasedAddresses } from './lease-board.js';
import { Pairings } from './pairing.js';
import { Permissions } from './permission.js';
import { PortLeases } from './port-lease.js';
import { PortPool } from './port-pool.js';
import { SourceLimit } from './source-limit.js';

const NONE = -1;

/** Protocols with ports or identifiers, in the order of their pools. */
const POOL_PROTOCOLS: readonly number[] = [ip.PROTOCOL_TCP, ip.PROTOCOL_UDP, ip.PROTOCOL_ICMP];
/** Up to so many addresses are looked at one by one. */
const FEW_ADDRESSES = 8;
const POOL_NAMES: readonly string[] = ['tcp', 'udp', 'icmp'];

export class MappingTable {
  readonly pairings: Pairings;
  readonly permissions: Permissions;
  /** Blocks of ports of addresses that other instances translate to as well; null = there are none. */
  readonly leases: PortLeases | null;
  /** External ports, and flows, by inside address. */
  readonly sourcePorts: SourceLimit;
  readonly sourceFlows: SourceLimit;
  /** Translation addresses of all uplinks, int32; the first uplink that has each. */
  private readonly addresses: number[] = [];
  private readonly uplinks: number[] = [];
  private readonly rows = new Map<number, number>();
  private readonly pools: (PortPool | undefined)[] = [];
  private readonly plan: Plan;
  private readonly random: Random;

  /** @param board where leased ports are counted for the share worker to read (table/lease-board.ts). */
  constructor(plan: Plan, random: Random, board?: SharedArrayBuffer) {
    const { limits } = plan;
    this.plan = plan;
    this.random = random;
    for (const uplink of plan.uplinks) {
      for (const text of uplink.snat) {
        const address = parseIpv4(text);
        if (this.rows.has(address)) continue;
        this.rows.set(address, this.addresses.push(address) - 1);
        this.uplinks.push(uplink.index);
      }
    }
    const isPooled = plan.uplinks.some((uplink) => uplink.snat.length > 1);
    const isDependent = plan.uplinks.some((uplink) => uplink.filtering === 'address-dependent');
    const uses = limits.flows + limits.expectations;
    this.leases = leasedAddresses(plan).length === 0 ? null : new PortLeases(plan, board ?? new SharedArrayBuffer(leaseBoardBytes(plan)));
    this.pairings = new Pairings(isPooled ? uses : 0, random.next());
    this.permissions = new Permissions(isDependent ? limits.flows : 0, random.next());
    this.sourcePorts = new SourceLimit(limits.portsPerSource, uses, random.next());
    this.sourceFlows = new SourceLimit(limits.flowsPerSource, limits.flows, random.next());
  }

  /** The uplink an external address is of, or NONE: it is nobody's translation address. */
  uplinkOf(address: number): number {
    const row = this.rowOf(address);
    return row === NONE ? NONE : this.uplinks[row];
  }

  /** Number of a translation address's pool for a protocol, or NONE: no ports, or none of ours. */
  poolOf(address: number, protocol: number): number {
    const column = protocol === ip.PROTOCOL_TCP ? 0 : protocol === ip.PROTOCOL_UDP ? 1 : protocol === ip.PROTOCOL_ICMP ? 2 : NONE;
    const row = this.rowOf(address);
    return column === NONE || row === NONE ? NONE : row * POOL_PROTOCOLS.length + column;
  }

  /** Asked several times for every new flow; most routers have few addresses, and a look at each costs less than a hash. */
  private rowOf(address: number): number {
    const { addresses } = this;
    if (addresses.length > FEW_ADDRESSES) return this.rows.get(address) ?? NONE;
    for (let row = 0; row < addresses.length; row++) if (addresses[row] === address) return row;
    return NONE;
  }

  pool(number: number): PortPool { return this.pools[number] ?? this.makePool(number); }

  /** The external address of a mapping. */
  addressOf(mapping: number): number { return this.addresses[Math.floor((mapping >>> 16) / POOL_PROTOCOLS.length)]; }

  /** Address and protocol of a pool, for a person. */
  describe(number: number): { address: string; protocol: string } {
    const column = number % POOL_PROTOCOLS.length;
    return { address: formatIpv4(this.addresses[(number - column) / POOL_PROTOCOLS.length]), protocol: POOL_NAMES[column] };
  }

  private makePool(number: number): PortPool {
    const { limits, timeouts, portForwards } = this.plan;
    const column = number % POOL_PROTOCOLS.length;
    const protocol = POOL_PROTOCOLS[column];
    const address = this.addresses[(number - column) / POOL_PROTOCOLS.length];
    const { leases } = this;
    const lease = leases === null || !leases.isLeased(address) ? null : { board: leases.board, row: leases.rowOf(address), column };
    const pool = new PortPool(limits.snatPortFirst, limits.snatPortLast, this.random, {
      hasServices: protocol !== ip.PROTOCOL_ICMP, keepsParity: protocol === ip.PROTOCOL_UDP, quarantine: timeouts.portQuarantine,
    }, lease);
    for (const { addresses, protocols, ports, to, toPort } of portForwards) {
      if (protocols.includes(protocol) && addresses.some((text) => parseIpv4(text) === address)) {
        pool.fix(parseIpv4(to), toPort, ports.first, ports.last - ports.first + 1);
      }
    }
    if (lease !== null) leases?.add(address, pool);
    this.pools[number] = pool;
    return pool;
  }
}
