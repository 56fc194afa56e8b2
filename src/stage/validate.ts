/**
 * validate — is it a sane IPv4 packet that may be routed at all? (RFC 1812 §5.2.2, §5.3.7)
 *
 * Reads: the IP header, and the transport header of a packet that is whole. Writes: the packet's tuple, end, fragment word.
 * Drops: RUNT IP_VERSION IP_HEADER_LENGTH IP_TOTAL_LENGTH IP_CHECKSUM SOURCE_ROUTE MARTIAN_SOURCE MARTIAN_DESTINATION MULTICAST
 * BROADCAST L4_TRUNCATED.
 *
 * Whether the source is plausible on its link is asked once per flow, by `track`.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { checkHeader } from './header.js';
import type { Router } from './router.js';

export function validate(p: Packet, _r: Router): Verdict {
  const verdict = checkHeader(p);
  if (verdict !== 0) return verdict;
  p.parseIp();
  const source = p.tuple.s3 >>> 24;
  // 0/8 this network, 127/8 loopback, 224/3 multicast and reserved (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
  if (source === 0 || source === 127 || source >= 224) return V.MARTIAN_SOURCE;
  const destination = p.tuple.d3 >>> 24;
  if (destination >= 224) return p.tuple.d3 === -1 ? V.BROADCAST : destination < 240 ? V.MULTICAST : V.MARTIAN_DESTINATION;
  if (destination === 0 || destination === 127) return V.MARTIAN_DESTINATION;

  if ((p.fragment & (ip.FLAG_MF | ip.OFFSET_MASK)) !== 0) return 0;
  return p.parseL4() ? 0 : V.L4_TRUNCATED;
}
