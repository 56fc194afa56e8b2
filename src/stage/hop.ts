/**
 * hop — one hop less, and does it fit the next link? Judged on the packet as it was received: before SNAT, so that an ICMP error quotes
 * what the sender sent and goes to who sent it. A GSO super-frame is judged by the segments it stands for.
 *
 * Reads: TTL, DF, the out link's MTU. Writes: TTL and header checksum, mustFragment, mtu.
 * Drops: TTL TOO_BIG.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import type { Router } from './router.js';

export function hop(p: Packet, r: Router): Verdict {
  // What goes to the box has arrived: it makes no further hop (RFC 1812 §5.3.1).
  if (!p.isLocal && ip.ttl(p.view, p.ipAt) <= 1) return V.TTL;
  const verdict = fit(p, r);
  if (verdict !== 0 || p.isLocal) return verdict;
  ip.decrementTtl(p.view, p.ipAt);
  p.hops = 1;
  return 0;
}

/** Does the packet, or each segment of a super-frame, fit the out link? */
export function fit(p: Packet, r: Router): Verdict {
  const { mtu } = r.links[p.outLink];
  // A datagram that came in fragments leaves in fragments no larger (RFC 791 §2.3; its sender may have set DF on each of them).
  const most = p.fragmentSize > 0 && p.fragmentSize < mtu ? p.fragmentSize : mtu;
  if (p.wireLengthBytes <= most) return 0;
  p.mtu = mtu;
  if (p.fragmentSize === 0 && (ip.fragmentWord(p.view, p.ipAt) & ip.FLAG_DF) !== 0) return V.TOO_BIG;
  if (p.fragmentSize > mtu && (ip.fragmentWord(p.view, p.ipAt) & ip.FLAG_DF) !== 0) return V.TOO_BIG;
  p.mustFragment = true;
  p.fragmentSize = most;
  return 0;
}
