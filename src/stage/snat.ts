/**
 * snat — the source. A new flow that leaves by an uplink, or that an uplink's address turns back inside, gets what a rule says or a mapping of
 * that uplink; one to a real server nearby keeps its own, unless the answer would pass us by; a known flow keeps what it was given, and the answers of a DNATed flow get their external address back.
 *
 * Reads: uplink, hairpin, the flow's tuples. Writes: source address and port, every checksum; the flow's UPLINK and MAPPING.
 * Drops: NO_PORT SOURCE_PORTS NOT_MASTER.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { FLAG_DNAT, FLAG_SNAT, FLAGS, INWARD, UPLINK } from '../table/flow.js';
import type { Packet } from '../wire/packet.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import { bearOwn, map, mapPinned } from './mapping.js';
import { KEEP, NO_RULE, sourceRule } from './nat-rule.js';
import { isServerCheck } from './route.js';
import type { Router } from './router.js';
import { passesBy, serverPolicy } from './virtual-server.js';

const NONE = -1;

export function snat(p: Packet, r: Router): Verdict {
  if (p.flow === NONE) return 0;
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if (p.isNew) {
    // A flow whose source is another one by now has it from `inspect`.
    if (p.tuple.s3 !== words[at + 3]) return 0;
    if (words[at + INWARD] < NONE) return decideServed(p, r);
    if (p.uplink !== NONE || p.hairpin !== NONE) return decide(p, r);
    return isServerCheck(p, r) ? bearOwn(p, r) : 0;
  }
  if ((words[at + FLAGS] & (p.direction === 0 ? FLAG_SNAT : FLAG_DNAT)) === 0 && !(p.isRelated && leavesTranslated(p, r))) return 0;
  const other = at + (1 - p.direction) * TUPLE_WORDS;
  // An ICMP error bears the address its flow's packets bear, whoever sent it (RFC 5508 REQ-5).
  p.rewriteSource(words[other + 7], p.isRelated ? 0 : words[other + 8] & 0xffff);
  return 0;
}

/** True for what leaves by an uplink that translates: an error about a flow that ends at the box must not show who made it either. */
function leavesTranslated(p: Packet, r: Router): boolean {
  return p.uplink !== NONE && r.uplinks[p.uplink].snat.length > 0;
}

/** First packet to a real server. Out in the world it can answer nobody but us; in a link's own network that an uplink is on that link as well means nothing. */
function decideServed(p: Packet, r: Router): Verdict {
  const policy = serverPolicy(p, r);
  if (policy === 'never') return 0;
  if (p.uplink !== NONE && r.uplinks[p.uplink].snat.length > 0 && !r.links[p.outLink].isOnLink(p.tuple.d3)) return decide(p, r);
  return policy === 'always' || passesBy(p, r) ? bearOwn(p, r) : 0;
}

/** First packet: untranslated, a 1:1 address with the port as it is, or a mapping. */
function decide(p: Packet, r: Router): Verdict {
  if (isServerCheck(p, r) && r.links[p.outLink].isOnLink(p.tuple.d3)) return bearOwn(p, r);
  r.flows.words[r.flows.at(p.flow) + UPLINK] = p.uplink === NONE ? p.hairpin : p.uplink;
  // A pinned address is between the box and us: no rule lets it out.
  if (r.links[p.link] === r.hostLink && (r.pins.has(p.tuple.s3) || r.serverPins.has(p.tuple.s3))) return mapPinned(p, r);
  const rule = sourceRule(p, r);
  if (rule === NO_RULE) return map(p, r);
  if (rule === KEEP) return 0;
  if (!r.elected.isEmpty && !r.elected.mayPromise(rule)) return V.NOT_MASTER;
  p.rewriteSource(rule, p.tuple.sourcePort);
  return 0;
}

/** What the router makes and what leaves by an uplink that translates bears an address of that uplink: an inside one must not be seen there. */
export function ownSource(p: Packet, r: Router): Verdict {
  const link = r.links[p.outLink];
  if (p.bearsFlowsSource || !link.translates || link.maySpeakFor(p.tuple.s3)) return 0;
  const address = link.addressTowards(p.next3);
  if (address !== 0) p.rewriteSource(address, p.tuple.sourcePort);
  return 0;
}
