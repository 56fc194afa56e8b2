/**
 * dnat — the destination. For a known flow: the one its packets leave with in this direction, which undoes a SNAT on the way back. For a
 * new one: the real server of a virtual one, or the inside endpoint that a rule or a mapping says an external one stands for.
 *
 * Reads: the flow's tuples. Writes: destination address and port, every checksum; hairpin; the flow's UPLINK and INWARD.
 * Drops: NO_SERVER MIDSTREAM MIDSTREAM_SILENT.
 *
 * A packet of direction d leaves as the inverse of tuple[1 - d] (table/flow.ts): its new destination is that tuple's source.
 */
import type { Verdict } from '../base/verdict.js';
import { FLAG_DNAT, FLAG_SNAT, FLAGS, INWARD, UPLINK } from '../table/flow.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import { expected } from './expected.js';
import { translateQuote } from './icmp-error.js';
import { inward } from './mapping.js';
import { forward } from './nat-rule.js';
import type { Router } from './router.js';
import { serve } from './virtual-server.js';

export function dnat(p: Packet, r: Router): Verdict {
  if (p.flow < 0) return 0;
  if (p.isNew) {
    const verdict = decide(p, r);
    // Where packets are scheduled by themselves it may be a known flow's after all.
    if (verdict !== 0 || p.isNew) return verdict;
  }
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  const flags = words[at + FLAGS];
  if ((flags & (FLAG_SNAT | FLAG_DNAT)) === 0) return 0;
  if (p.isRelated) return related(p, r, at);
  if ((flags & (p.direction === 0 ? FLAG_DNAT : FLAG_SNAT)) === 0) return 0;
  const other = at + (1 - p.direction) * TUPLE_WORDS;
  p.rewriteDestination(words[other + 3], words[other + 8] >>> 16);
  return 0;
}

/**
 * First packet: does a rule or a mapping lead from the external address it was sent to on to an inside one? Sent there by an inside host it is
 * turned back at the uplink (hairpin), and `snat` gives it an external source as well (RFC 4787 REQ-9).
 */
function decide(p: Packet, r: Router): Verdict {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  // What is for a virtual router's address that another router has now goes on to that one.
  if (!r.elected.isEmpty && !r.elected.holds(p.tuple.d3)) return 0;
  if (!expected(p, r)) {
    if (!r.virtualServers.isEmpty) {
      const verdict = serve(p, r);
      if (verdict !== 0 || !p.isNew || words[at + INWARD] !== NONE) return verdict;
    }
    forward(p, r);
    if (words[at + UPLINK] === NONE && p.hairpin === NONE) inward(p, r);
  }
  if (p.hairpin !== NONE) words[at + UPLINK] = p.hairpin;
  return 0;
}

/** An ICMP error: the quote first (it must look as its sender sent it), then the outer destination. */
function related(p: Packet, r: Router, at: number): Verdict {
  const { words } = r.flows;
  r.spare.load(words, at + (1 - p.direction) * TUPLE_WORDS);
  translateQuote(p, r, r.quoted, r.spare);
  p.rewriteDestination(r.spare.s3, 0);
  return 0;
}
