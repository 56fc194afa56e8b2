/**
 * filter — may it pass? What an uplink that translates sends towards the inside is let in only as part of a flow that inside has opened,
 * or that ends at the router; letting it through would also make inside answer untranslated.
 *
 * Reads: isNew, links. Writes: nothing.
 * Drops: UNSOLICITED.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { Packet } from '../wire/packet.js';
import type { Router } from './router.js';

export function filter(p: Packet, r: Router): Verdict {
  if (!p.isNew || p.isLocal) return 0;
  const uplinks = r.links[p.link].uplinks;
  for (let i = 0; i < uplinks.length; i++) if (uplinks[i].snat.length > 0) return V.UNSOLICITED;
  return 0;
}
