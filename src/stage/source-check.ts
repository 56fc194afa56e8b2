/**
 * Could a packet from there come in by this link (RFC 2827, RFC 3704 §2)? Asked by `reassemble` of fragments, by `track` of what opens a flow
 * and of what comes in by another link than its flow has used so far.
 *
 * strict (§2.2): the route to the source leads out by this very link; where the route is a group's, the link is one of its uplinks'.
 * feasible (§2.3): or by the link of another uplink of a group this one is in, so that asymmetric paths live; on an uplink the gateway leads to
 * whatever has no route.
 * In both, where a policy or a last resort may lead out by an uplink's link, what the routes send to any group, or nowhere, may come in by it.
 * off: anything but our own addresses and broadcasts, which are no sources on any link (RFC 1812 §5.3.7).
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { Packet } from '../wire/packet.js';
import { NONE } from '../wire/packet.js';
import type { Router } from './router.js';

/** 0, or MARTIAN_SOURCE, or SPOOFED_SOURCE. */
export function checkSource(p: Packet, r: Router): Verdict {
  const link = r.links[p.link];
  if (link === r.hostLink) return 0;
  const number = r.fib.lookup(p.tuple.s3);
  const isFeasible = link.sourceCheck === 'feasible';
  if (number === NONE) return link.sourceCheck === 'off' || (isFeasible && link.uplinks.length > 0) || r.policies.leadOutBy(p.link) ? 0 : V.SPOOFED_SOURCE;
  const route = r.routes[number];
  if (route.kind === 'local' || route.kind === 'broadcast') return V.MARTIAN_SOURCE;
  if (link.sourceCheck === 'off') return 0;
  if (route.group === NONE) return route.link === p.link || (isFeasible && route.link !== NONE && link.siblings[route.link] === 1) ? 0 : V.SPOOFED_SOURCE;
  const { members } = r.groups[route.group];
  for (let i = 0; i < members.length; i++) if (members[i].uplink.link === p.link) return 0;
  return r.policies.leadOutBy(p.link) ? 0 : V.SPOOFED_SOURCE;
}
