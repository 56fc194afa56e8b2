/**
 * Where virtual servers listen: by address one RangeMap of ports for TCP and one for UDP, so that neither the number of virtual servers nor that of their
 * ports matters. Asked once per new flow. A virtual server with ports of its own wins over one of all ports, of two others the first one.
 */
import type { Plan, VirtualServerPlan } from '../base/plan.js';
import { maskOf, parseIpv4 } from '../wire/address.js';
import * as ip from '../wire/ipv4.js';
import { externalAddresses } from './nat-rule.js';
import { RangeMap } from './range-map.js';

const NONE = -1;
const PORT_MAX = 65_535;

interface Listening { tcp: RangeMap; udp: RangeMap }

export class VirtualAddresses {
  private readonly addresses: ReadonlyMap<number, Listening>;

  constructor(plan: Plan) {
    const ordered = [...plan.virtualServers.filter((one) => !isEveryPort(one)), ...plan.virtualServers.filter(isEveryPort)];
    const texts = new Set(ordered.flatMap(({ addresses }) => addresses));
    this.addresses = new Map([...texts].map((text) => {
      const ports = (protocol: number): RangeMap => new RangeMap(ordered
        .filter((one) => one.addresses.includes(text) && one.protocols.includes(protocol)).map(({ ports: range, index }) => ({ ...range, value: index })));
      return [parseIpv4(text), { tcp: ports(ip.PROTOCOL_TCP), udp: ports(ip.PROTOCOL_UDP) }];
    }));
  }

  get isEmpty(): boolean { return this.addresses.size === 0; }

  /** True for a virtual address, whatever its ports. */
  has(address: number): boolean { return this.addresses.has(address); }

  /** Index of the virtual server that is asked for, or NONE. */
  find(address: number, protocol: number, port: number): number {
    const listening = this.addresses.get(address);
    if (listening === undefined) return NONE;
    return protocol === ip.PROTOCOL_TCP ? listening.tcp.find(port) : protocol === ip.PROTOCOL_UDP ? listening.udp.find(port) : NONE;
  }
}

/** True for one that leaves no port of its address to anything else. */
export function isEveryPort({ ports }: VirtualServerPlan): boolean { return ports.first === 0 && ports.last === PORT_MAX; }

/** Every virtual address of a plan, int32, each once. */
export function virtualAddresses(plan: Plan): number[] {
  return [...new Set(plan.virtualServers.flatMap(({ addresses }) => addresses.map(parseIpv4)))];
}

/** Virtual addresses that are nothing else: neither a link's own nor one that uplinks translate to, nor one of a virtual router that answers for its addresses. Nothing of them is for the box's stack. */
export function onlyVirtualAddresses(plan: Plan): Set<number> {
  const others = new Set([
    ...plan.links.flatMap((link) => [...link.addresses.map(({ address }) => parseIpv4(address)), ...externalAddresses(plan, link.index)]),
    ...plan.vrrp.filter(({ accept }) => accept).flatMap(({ addresses }) => addresses.map(({ address }) => parseIpv4(address))),
  ]);
  return new Set(virtualAddresses(plan).filter((address) => !others.has(address)));
}

/** Those a link answers ARP for: one of its networks holds them, and no link has them already. Two links may share a wire; an address has one of them. */
export function virtualAddressesOn(plan: Plan, link: number): number[] {
  const own = plan.links[link].addresses.map(({ address, prefixLength }) => ({ address: parseIpv4(address), mask: maskOf(prefixLength) }));
  return [...onlyVirtualAddresses(plan)].filter((address) => own.some((network) => ((network.address ^ address) & network.mask) === 0));
}
