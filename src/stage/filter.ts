/**
 * filter — may it pass? Rules in order, the first that matches decides (table/filter-rule.ts). They see the packet as it stands here: its
 * destination already translated, its source not yet. Where no rule decides, everything passes except what an uplink that translates sends
 * uninvited: that is let in only where a port forward, a 1:1 rule or a mapping has turned it inside, where an ALG expects it, or where it ends at
 * an address the router has on that very link; letting more through would also make inside addresses answer untranslated.
 *
 * Reads: isNew, isRelated, expected, links, the packet's and the flow's tuples. Writes: the flow's FILTER; the rules' counters.
 * Drops: FILTER_DROP FILTER_REJECT UNSOLICITED.
 *
 * Rules are asked once per flow, for its first packet; rules about established flows once per flow and generation, with the flow's own
 * direction as it was opened. Only ICMP errors and rules with rates are asked per packet. A flow that an ALG expects is related, not new.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { FILTER_BYTES, FILTER_PACKETS } from '../table/counters.js';
import { ACCEPT, DROP, ESTABLISHED, NEW, RELATED } from '../table/filter-rule.js';
import { FILTER, IN_LINK, ORIGINAL_TUPLE, REPLY_TUPLE } from '../table/flow.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { GSO_NONE } from '../wire/vnet.js';
import type { Router } from './router.js';

/** In a flow's FILTER: no rule fits; the first place. */
const NO_RULE = 1;
const FIRST_PLACE = 2;

export function filter(p: Packet, r: Router): Verdict {
  if (p.isNew) return judgeNew(p, r);
  if (p.isRelated || p.flow === NONE) return r.filterRules.hasRelated ? judgeRelated(p, r) : 0;
  return r.filterRules.hasEstablished ? judgeEstablished(p, r) : 0;
}

function judgeNew(p: Packet, r: Router): Verdict {
  const { filterRules: rules } = r;
  const isExpected = p.expected !== NONE;
  if (isExpected ? rules.hasRelated : rules.hasNew) {
    const rule = ask(p, r, isExpected ? RELATED : NEW);
    if (rule !== NONE) {
      const verdict = decide(p, r, rule);
      if (verdict !== 0 || rules.isOpening(rule)) return verdict;
    }
  }
  const link = r.links[p.link];
  if (!link.translates || isExpected || isTurnedInside(p, r)) return 0;
  return p.isLocal && link.maySpeakFor(p.tuple.d3) ? 0 : V.UNSOLICITED;
}

function judgeRelated(p: Packet, r: Router): Verdict {
  const rule = ask(p, r, RELATED);
  return rule === NONE ? 0 : decide(p, r, rule);
}

/** The rule for a packet by what it is itself, or NONE. */
function ask(p: Packet, r: Router, state: number): number {
  const { filterRules: rules } = r;
  const { s3, d3, ports } = p.tuple;
  const place = rules.find(state, p.link, p.outLink, p.protocol, s3, d3, ports);
  return place === NONE ? NONE : rules.settle(state, place, p.link, p.outLink, p.protocol, s3, d3, ports, packets(p), r.nowMs);
}

/** A packet of a known flow: as the flow's first packet would be judged now. */
function judgeEstablished(p: Packet, r: Router): Verdict {
  const { filterRules: rules, flows } = r;
  const { words } = flows;
  const at = flows.at(p.flow);
  const stamp = r.plan.generation << 16;
  let found = words[at + FILTER];
  const isKnown = (found & 0xffff) !== 0 && (found & ~0xffff) === stamp;
  if (isKnown && (found & 0xffff) === NO_RULE) return 0;
  // As it is here on its way there: source as it came in, destination as it leaves, which is where answers come from.
  const source = words[at + ORIGINAL_TUPLE + 3];
  const destination = words[at + REPLY_TUPLE + 3];
  const ports = (words[at + ORIGINAL_TUPLE + 8] & ~0xffff) | (words[at + REPLY_TUPLE + 8] >>> 16);
  const link = words[at + IN_LINK];
  const out = p.direction === 0 ? p.outLink : p.link;
  if (!isKnown) {
    found = stamp | (rules.find(ESTABLISHED, link, out, p.protocol, source, destination, ports) + FIRST_PLACE);
    words[at + FILTER] = found;
    if ((found & 0xffff) === NO_RULE) return 0;
  }
  const place = (found & 0xffff) - FIRST_PLACE;
  const first = rules.ruleAt(ESTABLISHED, place);
  if (isKnown && rules.actions[first] === ACCEPT && !rules.isLimited(first)) return 0;
  const rule = rules.settle(ESTABLISHED, place, link, out, p.protocol, source, destination, ports, packets(p), r.nowMs);
  return rule === NONE ? 0 : decide(p, r, rule);
}

/** True when no rule has to be asked about the packets of this known flow (its first word is `at`), all of which pass. */
export function isSettled(r: Router, at: number): boolean {
  const { filterRules: rules } = r;
  if (!rules.hasEstablished) return true;
  const found = r.flows.words[at + FILTER];
  if ((found & 0xffff) === 0 || (found & ~0xffff) !== r.plan.generation << 16) return false;
  if ((found & 0xffff) === NO_RULE) return true;
  const first = rules.ruleAt(ESTABLISHED, (found & 0xffff) - FIRST_PLACE);
  return rules.actions[first] === ACCEPT && !rules.isLimited(first);
}

/** Count for a rule and do as it says. */
function decide(p: Packet, r: Router, rule: number): Verdict {
  r.counters.addFilter(rule, FILTER_PACKETS, p.frames);
  r.counters.addFilter(rule, FILTER_BYTES, p.end - p.ipAt);
  const action = r.filterRules.actions[rule];
  return action === ACCEPT ? 0 : action === DROP ? V.FILTER_DROP : V.FILTER_REJECT;
}

/** Packets it stands for: a super-frame is as many as it will be cut into. */
function packets(p: Packet): number {
  return p.gsoType === GSO_NONE ? p.frames : Math.max(1, Math.ceil((p.end - p.payloadAt()) / p.gsoSize));
}

/** True when `dnat` has changed a new flow's destination: someone inside, or a rule, wants it. */
function isTurnedInside(p: Packet, r: Router): boolean {
  const { words } = r.flows;
  const at = r.flows.at(p.flow) + ORIGINAL_TUPLE;
  return words[at + 7] !== p.tuple.d3 || ((words[at + 8] ^ p.tuple.ports) & 0xffff) !== 0;
}
