/**
 * header: is the IP header itself sane? Asked by `validate`, and by `ingress` of what goes no further than there. Not a stage of the path.
 *
 * Drops: RUNT IP_VERSION IP_HEADER_LENGTH IP_TOTAL_LENGTH IP_CHECKSUM SOURCE_ROUTE.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';

/** 0, or what is wrong with the header at p.ipAt (RFC 1812 §5.2.2). Writes the packet's end. */
export function checkHeader(p: Packet): Verdict {
  const { view, ipAt } = p;
  const available = p.end - ipAt;
  if (available < ip.IPV4_HEADER) return V.RUNT;
  if (view.getUint8(ipAt) >> 4 !== 4) return V.IP_VERSION;
  const header = ip.headerLength(view, ipAt);
  if (header < ip.IPV4_HEADER || header > available) return V.IP_HEADER_LENGTH;
  const total = ip.totalLength(view, ipAt);
  if (total < header || total > available) return V.IP_TOTAL_LENGTH;
  // Short frames are padded on Ethernet; the IP length is the true one.
  p.end = ipAt + total;
  if (!ip.checksumIsRight(view, ipAt, header)) return V.IP_CHECKSUM;
  return header > ip.IPV4_HEADER && ip.hasSourceRoute(view, ipAt, header) ? V.SOURCE_ROUTE : 0;
}
