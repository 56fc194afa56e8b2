/**
 * filter — may it pass? What an uplink that translates sends towards the inside is let in only as part of a flow that inside has opened,
 * or that ends at an address the router has on that very link; letting more through would also make inside addresses answer untranslated.
 *
 * Reads: isNew, links. Writes: nothing.
 * Drops: UNSOLICITED.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { Packet } from '../wire/packet.js';
import type { Router } from './router.js';

export function filter(p: Packet, r: Router): Verdict {
  if (!p.isNew) return 0;
  const link = r.links[p.link];
  return link.translates && !(p.isLocal && link.answersFor(p.tuple.d3)) ? V.UNSOLICITED : 0;
}
