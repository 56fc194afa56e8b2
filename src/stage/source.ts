/**
 * Could a packet from there come in by this link? Asked by `reassemble` of fragments, by `track` of what opens a flow and of what comes in by
 * another link than its flow has used so far.
 *
 * RFC 3704 §2.2 strict on inside links; §2.3 feasible on uplinks: any uplink of the group that leads to the source will do, so that
 * asymmetric paths live.
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
  if (number === NONE) return link.uplinks.length > 0 ? 0 : V.SPOOFED_SOURCE;
  const route = r.routes[number];
  if (route.kind === 'local' || route.kind === 'broadcast') return V.MARTIAN_SOURCE;
  if (route.group !== NONE) {
    const targets = r.groups[route.group].pool.targets;
    for (let i = 0; i < targets.length; i++) if (targets[i].link === p.link) return 0;
    return V.SPOOFED_SOURCE;
  }
  return route.link === p.link ? 0 : V.SPOOFED_SOURCE;
}
