/**
 * hop — one hop less, and does it fit the next link? Judged on the packet as it was received: before SNAT, so that an ICMP error quotes
 * what the sender sent and goes to who sent it. A GSO super-frame is judged by the segments it stands for.
 *
 * A SYN that states a larger MSS than the links on both sides can carry is made to state what they can (`mssClamp`), in either direction: then
 * no segment needs the ICMP error that some path may swallow. It is never raised. A SYN without the option stays without: its sender is
 * to be sent 536 bytes at most (RFC 9293 §3.7.1), which every link of 576 bytes and more can carry.
 *
 * Reads: TTL, DF, the MTUs of both links. Writes: TTL and header checksum, mustFragment, mtu; the MSS option, mssBefore.
 * Drops: TTL TOO_BIG.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import * as tcp from '../wire/tcp.js';
import type { Router } from './router.js';

/** RFC 6691 §2: the MSS counts neither IP nor TCP options, only the headers without them are taken off the MTU. */
const FIXED_HEADERS = ip.IPV4_HEADER + tcp.TCP_HEADER;

export function hop(p: Packet, r: Router): Verdict {
  // What goes to the box has arrived: it makes no further hop (RFC 1812 §5.3.1).
  if (!p.isLocal && ip.ttl(p.view, p.ipAt) <= 1) return V.TTL;
  const verdict = fit(p, r);
  if (verdict !== 0) return verdict;
  if ((p.tcpFlags & tcp.SYN) !== 0) clampMss(p, r);
  if (p.isLocal) return 0;
  ip.decrementTtl(p.view, p.ipAt);
  p.hops = 1;
  return 0;
}

/** What both links let through; 'auto' on either is what the smaller of the two MTUs holds. */
function clampMss(p: Packet, r: Router): void {
  const into = r.links[p.link], out = r.links[p.outLink];
  const fitting = Math.min(into.mtu, out.mtu) - FIXED_HEADERS;
  const most = Math.min(into.mssClamp === 'auto' ? fitting : into.mssClamp, out.mssClamp === 'auto' ? fitting : out.mssClamp);
  p.mssBefore = tcp.clampMss(p.view, p.l4At, most, p.partial);
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
