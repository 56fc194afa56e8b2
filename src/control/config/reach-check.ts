/**
 * Rules held against the routes: what nothing leads to, and what can never come in or leave where a rule looks for it. Asked of a plan that
 * is sound otherwise, and of the very routes the data plane uses (table/route.ts), for with any of them refused the answers would be wrong.
 */
import type { LinkPlan, MatchPlan, Plan } from '../../base/plan.js';
import { planRoutes, type Route } from '../../table/route.js';
import { formatIpv4 } from '../../wire/address.js';
import type { Findings } from './findings.js';
import { lastOf, networkOf, readAddress, readPrefix } from './ip.js';
import { and, oneOf } from './near.js';
import type { Range } from './range.js';
import { formatPorts, PORT_MAX, protocolName, readTarget, type Target } from './rule-text.js';
import { realServersOf } from './server-check.js';
import type { FilterKeys, NoNatKeys, PolicyKeys } from './schema.js';
import type { Item, Values } from './validate.js';

const EVERYTHING = '0.0.0.0/0';

/** Addresses that all take one route; those without a route are in no segment. */
interface Segment extends Range { route: Route }

/** The routes as disjoint ranges in rising order: the longest prefix of each address. */
function segmentsOf(routes: readonly Route[]): Segment[] {
  const order = routes.map((route) => {
    const prefix = { address: route.prefix >>> 0, prefixLength: route.prefixLength };
    return { first: networkOf(prefix), last: lastOf(prefix), route };
  }).sort((a, b) => a.first - b.first || a.route.prefixLength - b.route.prefixLength);
  const segments: Segment[] = [];
  /** Prefixes around the place we are at, the innermost last. */
  const around: Segment[] = [];
  let at = 0;
  const fill = (until: number): void => {
    for (let inner = around.at(-1); inner !== undefined && at <= until; inner = around.at(-1)) {
      const last = Math.min(inner.last, until);
      if (at <= last) segments.push({ first: at, last, route: inner.route });
      at = Math.max(at, last + 1);
      if (inner.last > until) return;
      around.pop();
    }
  };
  for (const prefix of order) {
    fill(prefix.first - 1);
    at = prefix.first;
    around.push(prefix);
  }
  fill(2 ** 32 - 1);
  return segments;
}

class ReachCheck {
  readonly #values: Values;
  readonly #plan: Plan;
  readonly #findings: Findings;
  readonly #segments: readonly Segment[];
  /** Where the router's own addresses lead; undefined = to nothing but the router. */
  readonly #host: LinkPlan | undefined;

  constructor(values: Values, plan: Plan, findings: Findings) {
    this.#values = values;
    this.#plan = plan;
    this.#findings = findings;
    this.#segments = segmentsOf(planRoutes(plan));
    this.#host = plan.links.find((link) => link.type === 'tun' && link.peer !== undefined);
  }

  run(): void {
    for (const forward of this.#values.portForwards.items) {
      const { address } = readTarget(forward.values.to!) as Target;
      this.#inside(address, (why, allowed) => this.#findings.error(forward.at('to'), [...forward.steps, 'to'], `${forward.show('to')} (${why})`, allowed));
    }
    for (const rule of this.#values.oneToOne.items) {
      this.#inside(readAddress(rule.values.internal!)!, (why, allowed) =>
        this.#findings.error(rule.at('internal'), [...rule.steps, 'internal'], `${rule.show('internal')} (${why})`, allowed));
    }
    for (const real of this.#values.virtualServers.items.flatMap(realServersOf)) {
      const { address } = readTarget(real.values.address!) as Target;
      this.#inside(address, (why, allowed) => this.#findings.error(real.at('address'), [...real.steps, 'address'], `${real.show('address')} (${why})`, allowed));
    }
    for (const server of this.#values.virtualServers.items) {
      const sorry = server.values.sorry === undefined ? '' : readTarget(server.values.sorry);
      if (typeof sorry === 'string') continue;
      this.#inside(sorry.address, (why, allowed) => this.#findings.error(server.at('sorry'), [...server.steps, 'sorry'], `${server.show('sorry')} (${why})`, allowed));
    }
    this.#shadowed();
    this.#boxShadowed();
    this.#values.noNat.items.forEach((rule, index) => {
      const { match } = this.#plan.noNat[index];
      this.#source(rule, match);
      this.#exception(rule, match);
    });
    this.#values.policies.items.forEach((rule, index) => {
      const { match } = this.#plan.policies[index];
      this.#source(rule, match);
      this.#policy(rule, match);
    });
    this.#values.filters.items.forEach((rule, index) => {
      const { match, states } = this.#plan.filters[index];
      this.#source(rule, match);
      // Answers go back the way their flow came in, whatever the routes say.
      if (states === undefined || (states.length === 1 && states[0] === 'new')) this.#destination(rule, match);
    });
  }

  /** Virtual servers go first: a forward of what one of them listens on never sees it. */
  #shadowed(): void {
    this.#values.portForwards.items.forEach((forward, index) => {
      const { addresses, protocols, ports } = this.#plan.portForwards[index];
      for (const one of this.#plan.virtualServers) {
        const address = one.addresses.find((text) => addresses.includes(text));
        const protocol = one.protocols.find((number) => protocols.includes(number));
        const first = Math.max(ports.first, one.ports.first), last = Math.min(ports.last, one.ports.last);
        if (address === undefined || protocol === undefined || first > last) continue;
        this.#findings.warning(forward.at('listen'), [...forward.steps, 'listen'],
          `the virtual server ${one.name} goes first and takes ${protocolName(protocol)} ${formatPorts({ first, last })} of ${address}, so the forward gets nothing of that`);
        return;
      }
    });
  }

  /** All ports of an address of the router's own are those of the box's services as well. */
  #boxShadowed(): void {
    if (this.#host === undefined) return;
    this.#values.virtualServers.items.forEach((server, index) => {
      const one = this.#plan.virtualServers[index];
      const link = one.ports.first <= 1 && one.ports.last === PORT_MAX ? this.#plan.links.find(({ addresses }) => addresses.some(({ address }) => one.addresses.includes(address))) : undefined;
      if (link === undefined) return;
      const { address } = link.addresses.find((own) => one.addresses.includes(own.address))!;
      this.#findings.warning(server.at('listen'), [...server.steps, 'listen'],
        `all ports of ${address}, the router's own address on ${link.name}: what is for the box itself there, such as SSH, goes to the real servers; listen on the ports that are meant, or on an address of its own`);
    });
  }

  /** Networks of the links and addresses of the router itself never meet a policy, which then has nothing left. */
  #policy(rule: Item<PolicyKeys>, { to }: MatchPlan): void {
    if (to === undefined) return;
    let left = 0;
    for (const text of to) {
      const prefix = readPrefix(text)!;
      left += lastOf(prefix) - networkOf(prefix) + 1;
      for (const { first, last, route } of this.#meeting([text])) {
        if (route.kind === 'static') return;
        left -= Math.min(last, lastOf(prefix)) - Math.max(first, networkOf(prefix)) + 1;
      }
    }
    if (left > 0) return;
    this.#findings.error(rule.at('to'), [...rule.steps, 'to'], `${rule.show('to')} (nothing but networks the router is on itself, which no policy ever sees)`, 'destinations behind a gateway');
  }

  /** The segments that prefixes meet. */
  *#meeting(prefixes: readonly string[]): Generator<Segment> {
    for (const text of prefixes) {
      const prefix = readPrefix(text)!;
      const first = networkOf(prefix);
      const last = lastOf(prefix);
      let low = 0;
      let high = this.#segments.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.#segments[middle].last < first) low = middle + 1;
        else high = middle;
      }
      for (let index = low; index < this.#segments.length && this.#segments[index].first <= last; index++) yield this.#segments[index];
    }
  }

  /** Indexes of the links a route leads out by. */
  #links({ kind, group, link, refuse }: Route): number[] {
    if (refuse !== 0) return [];
    if (kind === 'local') return this.#host === undefined ? [] : [this.#host.index];
    return group >= 0 ? this.#plan.groups[group].uplinks.map((uplink) => this.#plan.uplinks[uplink].link) : [link];
  }

  /** A server must be reached by something that was said of it, not by the way out to everybody else. */
  #inside(address: number, tell: (why: string, allowed: string) => void): void {
    const allowed = 'an address that a link\'s network or a route leads to';
    const [segment] = this.#meeting([`${formatIpv4(address)}/32`]);
    if (segment === undefined) return tell('no route leads there', allowed);
    const { route } = segment;
    if (route.kind === 'local') {
      const holder = this.#plan.links.find((link) => link.addresses.some((own) => readAddress(own.address) === address));
      if (holder === undefined) tell('an external address', 'the address of a host inside');
      else if (this.#host === undefined) tell(`the router's own address on ${holder.name}, where nothing listens`, 'the address of a host inside');
      return;
    }
    if (route.refuse !== 0) return tell(route.name === null ? 'a network or broadcast address' : `the route ${route.name} refuses it`, allowed);
    const links = this.#links(route);
    if (route.prefixLength === 0 && links.every((link) => this.#plan.uplinks.some((uplink) => uplink.link === link))) {
      tell(`nothing but the default route leads there, out by ${and([...new Set(links)].map((link) => this.#plan.links[link].name))}`, allowed);
    }
  }

  /** Where strict checks of the source let nothing in that comes from where a rule says. */
  #source(rule: Item<FilterKeys> | Item<NoNatKeys> | Item<PolicyKeys>, match: MatchPlan): void {
    const { in: incoming, from } = match;
    if (incoming === undefined || from === undefined || incoming.some((link) => this.#plan.links[link].sourceCheck !== 'strict')) return;
    for (const { route } of this.#meeting(from)) if (route.kind !== 'local' && this.#links(route).some((link) => incoming.includes(link))) return;
    const item = rule as Item<FilterKeys>;
    this.#findings.warning(item.at('from'), [...item.steps, 'from'],
      `no route leads there by ${oneOf(incoming.map((link) => this.#plan.links[link].name))}, whose sourceCheck is strict, so nothing of it comes in there`);
  }

  /** New flows leave by the routes alone. */
  #destination(rule: Item<FilterKeys>, { out, to }: MatchPlan): void {
    if (out === undefined || to === undefined) return;
    for (const { route } of this.#meeting(to)) if (this.#links(route).some((link) => out.includes(link))) return;
    this.#findings.warning(rule.at('to'), [...rule.steps, 'to'], `no route leads there by ${oneOf(out.map((link) => this.#plan.links[link].name))}, so no new flow matches`);
  }

  /** An exception from translation needs something that would be translated. */
  #exception(rule: Item<NoNatKeys>, { out, to }: MatchPlan): void {
    const translates = (link: number): boolean => (out === undefined || out.includes(link))
      && this.#plan.uplinks.some((uplink) => uplink.link === link && uplink.snat.length > 0);
    for (const { route } of this.#meeting(to ?? [EVERYTHING])) if (this.#links(route).some(translates)) return;
    const where = out === undefined ? 'an uplink that translates' : oneOf(out.map((link) => this.#plan.links[link].name));
    if (to === undefined) {
      this.#findings.error(rule.place, rule.steps, `an exception that can never match, for no route leads out by ${where}`, 'a route to a group with such an uplink');
    } else {
      this.#findings.error(rule.at('to'), [...rule.steps, 'to'], `${rule.show('to')} (no route leads there by ${where}, so nothing is translated anyway)`,
        'destinations that are reached by an uplink that translates');
    }
  }
}

/** Tell of every rule that the routes make void. */
export function checkReach(values: Values, plan: Plan, findings: Findings): void {
  if (plan.portForwards.length + plan.oneToOne.length + plan.noNat.length + plan.filters.length + plan.policies.length + plan.realServers.length === 0) return;
  new ReachCheck(values, plan, findings).run();
}
