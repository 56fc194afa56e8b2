/**
 * NAT by rule, asked once per new flow: `forward` by `dnat` (port forwards, 1:1), `sourceRule` by `snat` (1:1, no-NAT exceptions). Not stages
 * of the path.
 *
 * A rule applies to what comes in by its uplink's link, and to what inside sends to the same external address (hairpin). What comes in by
 * another uplink is not the rule's: that uplink has an address of its own.
 */
import { UPLINK } from '../table/flow.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import type { Verdict } from '../base/verdict.js';
import type { Router } from './router.js';

/** Answers of `sourceRule` besides an address: no rule, or leave the source as it is. No source address is ever either of them. */
export const NO_RULE = -1;
export const KEEP = 0;

/** Turns a new flow to an external address inside when a rule says so. Always lets the packet go on. */
export function forward(p: Packet, r: Router): Verdict {
  const { natRules, flows } = r;
  const { tuple } = p;
  if (!natRules.find(p.link, tuple.d3, p.protocol, tuple.ports & 0xffff)) return 0;
  const { uplink } = natRules;
  if (r.uplinks[uplink].link === p.link) flows.words[flows.at(p.flow) + UPLINK] = uplink;
  else p.hairpin = uplink;
  p.rewriteDestination(natRules.address, natRules.port);
  return 0;
}

/** For a new flow that leaves by p.uplink, or turns back inside for p.hairpin: KEEP, the address of a 1:1 rule (ports stay), or NO_RULE. */
export function sourceRule(p: Packet, r: Router): number {
  const { natRules } = r;
  const { tuple } = p;
  if (p.uplink !== NONE) {
    if (natRules.isExempt(p.link, p.outLink, p.protocol, tuple.s3, tuple.d3, tuple.ports)) return KEEP;
    return natRules.externalOf(tuple.s3, p.uplink) || NO_RULE;
  }
  return p.hairpin === NONE ? NO_RULE : natRules.externalOf(tuple.s3, p.hairpin) || NO_RULE;
}
