/**
 * TUN links: the gateway box itself as a neighbour of the router. Its stack sends into the device what the router is to
 * route, and gets from it what is meant for the box.
 *
 * Addresses on the device: `peer`, the box's own on this link, and every address of the router's other links as /32, so that
 * the box's stack takes what the router hands it (an SSH connection to the gateway's LAN address).
 *
 * How the box's own traffic gets here, by policy rules with our protocol number:
 *
 *      9:  from PIN lookup 872                    default through this device; one rule for each pinned address
 *     10:  lookup 870                             prefixes of the router's links, each with our address in it as source
 *     11:  lookup main suppress_prefixlength 0    what the box knows itself, except its default  (with defaultRoute)
 *     12:  lookup 871                             default through this device                    (with defaultRoute)
 *
 * Pinned addresses (UplinkPlan.pin) are on the device as well. Who binds a socket to one has said by which uplink its packets are to leave, so they come here
 * before anything else is asked, wherever the box's own default leads; the router sends them on by that uplink (stage/route.ts). Health checks use them.
 *
 * With defaultRoute the main table gets a default through the device as well, before the one that may be there. It changes no
 * decision (rule 12 comes first); it makes `ip route show default` tell a person the truth. A default that was there stays
 * untouched behind it.
 *
 * All of these routes go away with the device, and the device with the process: after a kill -9 the rules find empty tables,
 * fall through, and the box routes as it did before weir came. The rules themselves are in the journal.
 *
 * Reverse-path filtering: what comes from the router has sources from anywhere, and without defaultRoute the box has no way back
 * to them here. The larger of conf/all and the device's own value counts: where conf/all is 0 the device gets 0 (off); otherwise
 * it gets 2 (loose: any way back will do), since no value of the device can switch off what conf/all demands.
 */
import type { LinkPlan } from '../base/plan.js';
import { formatIpv4, parsePrefix } from '../wire/address.js';
import { KIND_TUN } from './batch.js';
import { netnsPath, PROTOCOL, type Host } from './host.js';
import type { OpenedLink } from './link.js';
import { native } from './native.js';
import { DEVCONF_RP_FILTER, RT_TABLE_MAIN, type RuleInfo } from './rtnetlink.js';
import { letGo, TX_QUEUE_PACKETS } from './tap.js';

/** Prefixes of the router's links. */
export const TABLE_CONNECTED = 870;
/** The default through the router. */
export const TABLE_DEFAULT = 871;
/** The default through the router for what is sent from pinned addresses. */
export const TABLE_PINNED = 872;
const PREFERENCE_PINNED = 9;
const PREFERENCE_CONNECTED = 10;
const PREFERENCE_MAIN = 11;
const PREFERENCE_DEFAULT = 12;

const RP_FILTER_OFF = 0;
const RP_FILTER_LOOSE = 2;

function rule(preference: number, table: number, suppressPrefixLength: number | null, from: string | null = null): RuleInfo {
  return { preference, table, protocol: PROTOCOL, suppressPrefixLength, from, to: null };
}

/** The prefix an address belongs to, in CIDR text. */
function prefixOf(address: string, prefixLength: number): string {
  return `${formatIpv4(parsePrefix(`${address}/${prefixLength}`).prefix)}/${prefixLength}`;
}

/** Addresses, routes and rules; every one is on record with the host before it is made. */
function joinBox(plan: LinkPlan, host: Host, netns: string | null, device: string): void {
  const own = plan.addresses[0];
  const others = host.links.filter((link) => link.index !== plan.index).flatMap((link) => link.addresses);
  if (plan.peer !== undefined) host.addAddress(plan.name, netns, device, plan.peer, own?.prefixLength ?? 32);
  for (const { address } of others) host.addAddress(plan.name, netns, device, address, 32);
  const pins = host.pinsOn(plan);
  for (const pin of pins) host.addAddress(plan.name, netns, device, pin, 32);
  host.setUp(plan.name, netns, device);

  if (pins.length > 0) host.addRoute(plan.name, netns, device, { to: '0.0.0.0/0', table: TABLE_PINNED, protocol: PROTOCOL });
  for (const pin of pins) host.addRule(plan.name, netns, rule(PREFERENCE_PINNED, TABLE_PINNED, null, `${pin}/32`));
  const source = plan.peer === undefined ? {} : { source: plan.peer };
  for (const { address, prefixLength } of plan.addresses) {
    host.addRoute(plan.name, netns, device, { to: prefixOf(address, prefixLength), table: TABLE_CONNECTED, protocol: PROTOCOL, ...source });
  }
  // Two links may share a prefix: the first one's address is the source then.
  for (const { address, prefixLength } of others) {
    host.addRoute(plan.name, netns, device, { to: prefixOf(address, prefixLength), table: TABLE_CONNECTED, protocol: PROTOCOL, source: address });
  }
  host.addRule(plan.name, netns, rule(PREFERENCE_CONNECTED, TABLE_CONNECTED, null));
  if (!plan.defaultRoute) return;
  host.addRoute(plan.name, netns, device, { to: '0.0.0.0/0', table: TABLE_DEFAULT, protocol: PROTOCOL, ...source });
  host.addRoute(plan.name, netns, device, { to: '0.0.0.0/0', table: RT_TABLE_MAIN, protocol: PROTOCOL, prepend: true, ...source });
  host.addRule(plan.name, netns, rule(PREFERENCE_MAIN, RT_TABLE_MAIN, 0));
  host.addRule(plan.name, netns, rule(PREFERENCE_DEFAULT, TABLE_DEFAULT, null));
}

export function openTun(plan: LinkPlan, host: Host): OpenedLink {
  const netns = netnsPath(plan.netns);
  const rtnetlink = host.rtnetlink(netns);
  const persistent = rtnetlink.findDevice(plan.device) !== null;
  const device = native().openTun({ kind: 'tun', name: plan.device, offload: plan.offload, ...(netns === null ? {} : { netns }) });
  const close = (): ReturnType<OpenedLink['close']> => letGo(host, plan.name, device.fd);
  try {
    if (!persistent) {
      host.quietIpv6(netns, device.ifindex);
      rtnetlink.setTxQueueLength(device.ifindex, TX_QUEUE_PACKETS);
    }
    if (plan.mtu !== undefined) host.setMtu(plan.name, netns, device.name, plan.mtu);
    host.setDevconf(plan.name, netns, device.name, DEVCONF_RP_FILTER, rtnetlink.reversePathFilterOfAll() === 0 ? RP_FILTER_OFF : RP_FILTER_LOOSE);
    joinBox(plan, host, netns, device.name);
    const now = rtnetlink.findDevice(device.name);
    return {
      plan, fd: device.fd, kind: KIND_TUN, vnet: device.vnet, device: device.name, ifindex: device.ifindex,
      mac: null, mtu: now?.mtu ?? plan.mtu ?? 1500, offloads: device.offloads, refused: device.refused,
      // There are no MAC addresses.
      hear: () => [], close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
