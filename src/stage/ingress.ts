/**
 * ingress — first on the path. Is the frame for us? ARP goes to the neighbour table and stops here, adverts of virtual routers go to the election.
 *
 * For us are the link's own MAC address and those of its virtual routers whose addresses are ours now.
 *
 * Reads: the frame, the link. Writes: the packet's IP offset.
 * Drops: LINK_DOWN_IN RUNT VLAN_TAGGED NOT_FOR_US ETHERTYPE BROADCAST IP_VERSION IP_HEADER_LENGTH IP_TOTAL_LENGTH IP_CHECKSUM SOURCE_ROUTE VRRP_HOPS
 * VRRP_MALFORMED VRRP_VERSION VRRP_UNKNOWN VRRP_OWN VRRP_PEER VRRP_CHECKSUM VRRP_AUTHENTICATION VRRP_INTERVAL, and what stage/arp.ts and, of a link that waits for its
 * addresses, stage/claim.ts say.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ethernet from '../wire/ethernet.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { PROTOCOL_VRRP, VRRP_GROUP, VRRP_GROUP_MAC_HIGH, VRRP_GROUP_MAC_LOW } from '../wire/vrrp.js';
import { receiveArp } from './arp.js';
import { checkHeader } from './header.js';
import type { Router } from './router.js';

export function ingress(p: Packet, r: Router): Verdict {
  const link = r.links[p.link];
  if (!link.isUp) return link.probesAddresses ? r.claims.hear(p, link) : V.LINK_DOWN_IN;
  p.loadVnet();
  if (!link.hasEthernet) return 0;
  if (p.vlanTci !== -1) return V.VLAN_TAGGED;
  const { view, frameAt } = p;
  if (p.frameLength < ethernet.ETHERNET_LENGTH) return V.RUNT;
  const high = ethernet.destinationHigh(view, frameAt);
  const low = ethernet.destinationLow(view, frameAt);
  const { elected } = link;
  const isOurs = (high === link.macHigh && low === link.macLow) || (elected !== null && elected.takesMac(high, low));
  const isGroup = (high & 0x0100) !== 0;
  if (!isOurs && !isGroup) return V.NOT_FOR_US;
  switch (ethernet.etherType(view, frameAt)) {
    case ethernet.ETHERTYPE_IPV4:
      if (elected !== null && isVrrp(p)) {
        const isGroup = high === VRRP_GROUP_MAC_HIGH && low === VRRP_GROUP_MAC_LOW;
        if (isOurs || isGroup) {
          const verdict = hearVrrp(p, r, isGroup);
          if (verdict !== 0) return verdict;
        }
      }
      // RFC 1812 §5.3.4: a packet that came as a link-layer broadcast or multicast is never forwarded.
      return isOurs ? 0 : V.BROADCAST;
    case ethernet.ETHERTYPE_ARP:
      return receiveArp(p, r);
    case ethernet.ETHERTYPE_VLAN:
    case ethernet.ETHERTYPE_QINQ:
      return V.VLAN_TAGGED;
    default:
      return V.ETHERTYPE;
  }
}

/** A look at the protocol, as far as the frame has one. */
function isVrrp(p: Packet): boolean { return p.end - p.ipAt >= ip.IPV4_HEADER && ip.protocol(p.view, p.ipAt) === PROTOCOL_VRRP; }

/** An advert for this router, by its multicast address or to one of ours; 0 = it is somebody else's. It is no flow's, so that a full table keeps nobody from being heard. */
function hearVrrp(p: Packet, r: Router, isGroup: boolean): Verdict {
  const verdict = checkHeader(p);
  if (verdict !== 0) return verdict;
  const destination = ip.destination(p.view, p.ipAt);
  if (isGroup ? destination !== VRRP_GROUP : !r.isOwnAddress(destination)) return 0;
  return r.election === null ? V.VRRP_UNKNOWN : r.election.hear(p, isGroup);
}
