/**
 * ingress — first on the path. Is the frame for us? ARP goes to the neighbour table and stops here.
 *
 * Reads: the frame, the link. Writes: the packet's IP offset.
 * Drops: LINK_DOWN_IN RUNT VLAN_TAGGED NOT_FOR_US ETHERTYPE BROADCAST, and what stage/arp.ts and, of a link that waits for its addresses,
 * stage/claim.ts say.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ethernet from '../wire/ethernet.js';
import type { Packet } from '../wire/packet.js';
import { receiveArp } from './arp.js';
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
  const isOurs = high === link.macHigh && ethernet.destinationLow(view, frameAt) === link.macLow;
  const isGroup = (high & 0x0100) !== 0;
  if (!isOurs && !isGroup) return V.NOT_FOR_US;
  switch (ethernet.etherType(view, frameAt)) {
    case ethernet.ETHERTYPE_IPV4:
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
