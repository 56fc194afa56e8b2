/**
 * Filter rules, compiled: in order, the first one that matches decides. Each state of a packet (opens a flow, belongs to one, is an ICMP
 * error) has a list of its own (table/match.ts).
 *
 * A rule with a rate matches only what exceeds it, so it cannot be decided once for a flow: `find` tells the place of the first rule that fits
 * but for its rate, which may be kept for a flow; `settle` goes on from there, asking the buckets of rules with rates.
 */
import { assert } from '../base/assert.js';
import type { FilterRulePlan, FlowStateMatch } from '../base/plan.js';
import { mix } from '../base/hash.js';
import { MatchList } from './match.js';
import { TokenBuckets } from './token-bucket.js';

const NONE = -1;

/** Most rules there may be: a flow keeps the place of one in 16 bits, with two values to spare. */
export const FILTERS_MAX = 65_534;

/** States a packet may be in, as indexes. */
export const NEW = 0;
export const ESTABLISHED = 1;
export const RELATED = 2;
const STATES: readonly FlowStateMatch[] = ['new', 'established', 'related'];

export const ACCEPT = 0;
export const DROP = 1;
export const REJECT = 2;
const ACTIONS: readonly FilterRulePlan['action'][] = ['accept', 'drop', 'reject'];

/** How a rule limits: not at all, in all, or per source address. */
const LIMIT_NONE = 0;
const LIMIT_RULE = 1;
const LIMIT_SOURCE = 2;

/** Keeps the buckets' hash apart from those that take the plan's seed as it is. */
const SALT = 0x66696c74;

/** States a rule applies to when its plan names none. */
export const DEFAULT_STATES: readonly FlowStateMatch[] = ['new'];

export class FilterRules {
  private readonly lists: readonly MatchList[];
  /** By state: place → rule. */
  private readonly numbers: readonly Int32Array[];
  /** By rule: ACCEPT, DROP or REJECT. */
  readonly actions: Uint8Array;
  /** By rule: 1 = an accept that opens an uplink to uninvited flows. */
  private readonly opens: Uint8Array;
  private readonly limits: Uint8Array;
  private readonly buckets: TokenBuckets;
  /** False: there are no rules for such packets. */
  readonly hasNew: boolean;
  readonly hasEstablished: boolean;
  readonly hasRelated: boolean;

  /** @param onEvict as of TokenBuckets. */
  constructor(rules: readonly FilterRulePlan[], linkCount: number, seed: number, onEvict: () => void) {
    assert(rules.length <= FILTERS_MAX, 'more filter rules than a flow can name');
    this.numbers = STATES.map((state) => Int32Array.from(rules.flatMap((rule, i) => ((rule.states ?? DEFAULT_STATES).includes(state) ? [i] : []))));
    this.lists = this.numbers.map((numbers) => new MatchList(Array.from(numbers, (i) => rules[i].match), linkCount));
    [this.hasNew, this.hasEstablished, this.hasRelated] = this.lists.map((list) => !list.isEmpty);
    this.actions = Uint8Array.from(rules, (rule) => ACTIONS.indexOf(rule.action));
    // A last rule that accepts everything only says what holds anyway. To open the inside a rule must say from which link, or to where.
    this.opens = Uint8Array.from(rules, ({ action, match }) => (action === 'accept' && (match.in !== undefined || match.to !== undefined) ? 1 : 0));
    this.limits = Uint8Array.from(rules, ({ over }) => (over === undefined ? LIMIT_NONE : over.by === 'rule' ? LIMIT_RULE : LIMIT_SOURCE));
    this.buckets = new TokenBuckets(rules.map(({ over }) => over ?? null), mix(seed, SALT), onEvict);
  }

  /** True for a rule that lets uninvited flows in from an uplink that translates. */
  isOpening(rule: number): boolean { return this.opens[rule] === 1; }

  isLimited(rule: number): boolean { return this.limits[rule] !== LIMIT_NONE; }

  /** Place of the first rule that fits but for its rate, or NONE. Arguments as of MatchList.find. */
  find(state: number, link: number, out: number, protocol: number, source: number, destination: number, ports: number): number {
    return this.lists[state].find(0, link, out, protocol, source, destination, ports);
  }

  /** Rule at a place. */
  ruleAt(state: number, place: number): number { return this.numbers[state][place]; }

  /**
   * The rule that decides about a packet for which `find` gave `place`, or NONE. `count` is how many packets it stands for; the buckets
   * of rules with rates that it passes on the way lose so many tokens.
   */
  settle(
    state: number, place: number, link: number, out: number, protocol: number, source: number, destination: number, ports: number, count: number, nowMs: number,
  ): number {
    const list = this.lists[state];
    const numbers = this.numbers[state];
    for (let at = place; at !== NONE; at = list.find(at + 1, link, out, protocol, source, destination, ports)) {
      const rule = numbers[at];
      const limit = this.limits[rule];
      if (limit === LIMIT_NONE) return rule;
      const isWithin = limit === LIMIT_RULE ? this.buckets.takeOfRule(rule, count, nowMs) : this.buckets.takeOfSource(rule, source, count, nowMs);
      if (!isWithin) return rule;
    }
    return NONE;
  }
}
