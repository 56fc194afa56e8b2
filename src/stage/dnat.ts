/**
 * dnat — the destination. For a known flow: the one its packets leave with in this direction, which undoes a SNAT on the way back. Virtual
 * servers and port forwards will decide here for new flows.
 *
 * Reads: the flow's tuples. Writes: destination address and port, every checksum.
 * Drops: nothing.
 *
 * A packet of direction d leaves as the inverse of tuple[1 - d] (table/flow.ts): its new destination is that tuple's source.
 */
import type { Verdict } from '../base/verdict.js';
import { FLAG_DNAT, FLAG_SNAT, FLAGS } from '../table/flow.js';
import type { Packet } from '../wire/packet.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import { translateQuote } from './icmp-error.js';
import type { Router } from './router.js';

export function dnat(p: Packet, r: Router): Verdict {
  if (p.flow < 0 || p.isNew) return 0;
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  const flags = words[at + FLAGS];
  if (flags === 0) return 0;
  if (p.isRelated) return related(p, r, at);
  if ((flags & (p.direction === 0 ? FLAG_DNAT : FLAG_SNAT)) === 0) return 0;
  const other = at + (1 - p.direction) * TUPLE_WORDS;
  p.rewriteDestination(words[other + 3], words[other + 8] >>> 16);
  return 0;
}

/** An ICMP error: the quote first (it must look as its sender sent it), then the outer destination. */
function related(p: Packet, r: Router, at: number): Verdict {
  const { words } = r.flows;
  r.spare.load(words, at + (1 - p.direction) * TUPLE_WORDS);
  translateQuote(p, r.quoted, r.spare);
  p.rewriteDestination(r.spare.s3, 0);
  return 0;
}
