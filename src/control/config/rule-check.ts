/**
 * How port forwards, 1:1 translations, no-NAT exceptions and filters fit together and with the uplinks: rules that contradict each
 * other and rules that can never match because of another one. What depends on where packets are routed is asked later (reach-check.ts).
 */
import { formatIpv4 } from '../../wire/address.js';
import type { Findings } from './findings.js';
import { readDuration } from './format.js';
import { contains, lastOf, networkOf, notAHost, readAddress, readPrefix, type Prefix } from './ip.js';
import { oneOf } from './near.js';
import { Claims, RangeSet, type Range } from './range.js';
import { find, findAll } from './reference.js';
import {
  asList, formatPorts, protocolName, readListen, readPool, readPorts, readProtocol, readTarget, WITH_PORTS, type Listen,
} from './rule-text.js';
import type { FilterKeys, LinkKeys, MatchKeys, NoNatKeys, OneToOneKeys, PolicyKeys, PortForwardKeys, UplinkKeys } from './schema.js';
import type { Item, Values } from './validate.js';
import { virtualAddresses } from './vrrp-check.js';

const EVERY_ADDRESS: readonly Range[] = [{ first: 0, last: 2 ** 32 - 1 }];
const EVERY_PORT: readonly Range[] = [{ first: 0, last: 65_535 }];

/** What a rule matches, ready to be compared. A set that is absent is everything. */
export interface Extent {
  in: ReadonlySet<string> | undefined;
  out: ReadonlySet<string> | undefined;
  from: RangeSet;
  to: RangeSet;
  protocols: ReadonlySet<number> | undefined;
  sourcePorts: RangeSet;
  ports: RangeSet;
  states: ReadonlySet<string>;
}

function includesAll<T>(outer: ReadonlySet<T> | undefined, inner: ReadonlySet<T> | undefined): boolean {
  if (outer === undefined) return true;
  if (inner === undefined) return false;
  for (const one of inner) if (!outer.has(one)) return false;
  return true;
}

/** True when everything the second matches, the first matches too. */
export function covers(first: Extent, second: Extent): boolean {
  // What is cheap and tells most rules apart comes first: thousands of them are compared with each other.
  return first.ports.covers(second.ports) && first.from.covers(second.from) && first.to.covers(second.to) && first.sourcePorts.covers(second.sourcePorts)
    && includesAll(first.states, second.states) && includesAll(first.protocols, second.protocols)
    && includesAll(first.in, second.in) && includesAll(first.out, second.out);
}

function prefixRange(text: string): Range {
  const prefix = readPrefix(text.includes('/') ? text : `${text}/32`)!;
  return { first: networkOf(prefix), last: lastOf(prefix) };
}

/** The prefixes of a rule's from or to. */
export function addressSet(value: MatchKeys['from']): RangeSet {
  return new RangeSet(value === undefined ? EVERY_ADDRESS : asList(value).map(prefixRange));
}

function portSet(value: MatchKeys['ports']): RangeSet {
  return new RangeSet(value === undefined ? EVERY_PORT : asList(value).map((port) => readPorts(port, 0) as Range));
}

/** Undefined when a key was refused: then it cannot be told what was meant. */
export function extentOf(rule: Item<FilterKeys>): Extent | undefined {
  if (['in', 'out', 'from', 'to', 'protocol', 'ports', 'sourcePorts', 'state'].some((key) => rule.refused(key as keyof FilterKeys))) return undefined;
  const { in: incoming, out, from, to, protocol, ports, sourcePorts, state } = rule.values;
  return {
    in: incoming === undefined ? undefined : new Set(asList(incoming)),
    out: out === undefined ? undefined : new Set(asList(out)),
    from: addressSet(from), to: addressSet(to), sourcePorts: portSet(sourcePorts), ports: portSet(ports),
    protocols: protocol !== undefined ? new Set(asList(protocol).map((value) => readProtocol(value)!))
      : ports !== undefined || sourcePorts !== undefined ? new Set(WITH_PORTS) : undefined,
    states: new Set(state === undefined ? ['new'] : asList(state)),
  };
}

/** Links that exist, and ports only where there are any. */
export function checkMatch(rule: Item<FilterKeys> | Item<NoNatKeys> | Item<PolicyKeys>, values: Values, findings: Findings): void {
  const item = rule as Item<FilterKeys>;
  for (const key of ['in', 'out'] as const) findAll(item, key, values.links, 'a link', findings);
  const { protocol } = item.values;
  const portKey = (['ports', 'sourcePorts'] as const).find((key) => item.given(key));
  if (protocol === undefined || portKey === undefined || item.refused('protocol')) return;
  const without = asList(protocol).map((value) => readProtocol(value)!).filter((number) => !WITH_PORTS.includes(number));
  if (without.length > 0) {
    findings.error(item.keyAt(portKey), [...item.steps, portKey], `${portKey} with protocol ${oneOf(without.map(protocolName))}, which has none that are looked at`,
      `${portKey} with ${oneOf(WITH_PORTS.map(protocolName))} only`);
  }
}

/** Where an uplink is spoken to from outside. */
interface Externals {
  /** What its link has and what it translates to, in the words of the file. */
  texts: string[];
  /** What a forward without an address listens on. */
  default: readonly Range[];
  all: RangeSet;
}

class RuleCheck {
  readonly #values: Values;
  readonly #findings: Findings;
  /** The router's own addresses, with the link they are on. */
  readonly #own = new Map<number, Item<LinkKeys>>();
  /** Addresses of virtual routers, by link. */
  readonly #virtual = new Map<string, Range[]>();
  /** What each uplink translates to, `auto` included. */
  readonly #translated: { set: RangeSet; uplink: Item<UplinkKeys> }[] = [];
  readonly #oneToOneExternals = new Map<string, Range[]>();
  readonly #externalsOf = new Map<Item<UplinkKeys>, Externals | undefined>();
  /** The first uplink with a gateway: of all, and by link and gateway. */
  readonly #gateways = new Map<number, string>();
  readonly #gatewaysOn = new Map<string, string>();

  constructor(values: Values, findings: Findings) {
    this.#values = values;
    this.#findings = findings;
    for (const link of values.links.items) for (const { address } of this.#networks(link)) this.#own.set(address, link);
    for (const { address, router } of virtualAddresses(values)) {
      const link = values.links.byName.get(router.values.link ?? '');
      if (link === undefined) continue;
      if (!this.#own.has(address)) this.#own.set(address, link);
      const list = this.#virtual.get(link.name);
      if (list === undefined) this.#virtual.set(link.name, [{ first: address, last: address }]);
      else list.push({ first: address, last: address });
    }
    for (const { values: { uplink, external } } of values.oneToOne.items) {
      const address = readAddress(external ?? '');
      if (uplink === undefined || address === undefined) continue;
      const list = this.#oneToOneExternals.get(uplink);
      if (list === undefined) this.#oneToOneExternals.set(uplink, [{ first: address, last: address }]);
      else list.push({ first: address, last: address });
    }
    for (const uplink of values.uplinks.items) {
      const externals = this.#externals(uplink);
      if (externals !== undefined && uplink.values.snat !== 'off') this.#translated.push({ set: new RangeSet(externals.default), uplink });
      const gateway = readAddress(uplink.values.gateway ?? '');
      if (gateway === undefined) continue;
      if (!this.#gateways.has(gateway)) this.#gateways.set(gateway, uplink.name);
      const key = `${uplink.values.link} ${gateway}`;
      if (!this.#gatewaysOn.has(key)) this.#gatewaysOn.set(key, uplink.name);
    }
  }

  run(): void {
    for (const uplink of this.#values.uplinks.items) this.#pool(uplink);
    this.#sharedPools();
    this.#portForwards();
    this.#oneToOnes();
    this.#noNats();
    this.#filters();
    this.#settings();
  }

  #networks(link: Item<LinkKeys>): Prefix[] {
    return (link.values.addresses ?? []).flatMap((text) => readPrefix(text) ?? []);
  }

  #linkOf(uplink: Item<UplinkKeys> | undefined): Item<LinkKeys> | undefined {
    return this.#values.links.byName.get(uplink?.values.link ?? '');
  }

  /** Items of an uplink's snat that are addresses: each with its index in the list. */
  #pools(uplink: Item<UplinkKeys>): { range: Range; text: string; index: number }[] {
    const { snat } = uplink.values;
    if (snat === undefined || snat === 'auto' || snat === 'off') return [];
    return asList(snat).flatMap((text, index) => {
      const range = readPool(text);
      return typeof range === 'string' ? [] : [{ range, text, index }];
    });
  }

  /** An address that is translated to must be free for it. */
  #pool(uplink: Item<UplinkKeys>): void {
    const link = this.#linkOf(uplink);
    const isList = Array.isArray(uplink.values.snat);
    const networks = link === undefined ? [] : this.#networks(link);
    for (const { range, text, index } of this.#pools(uplink)) {
      const steps = [...uplink.steps, 'snat', ...(isList ? [index] : [])];
      const tell = (why: string): void => this.#findings.error(uplink.at('snat', index), steps, `${uplink.show('snat', index)} (${why})`, 'addresses that are free for translation');
      const own: string[] = [];
      for (let address = range.first; address <= range.last; address++) {
        const shown = range.first === range.last ? '' : `${formatIpv4(address)} is `;
        const gateway = this.#gatewaysOn.get(`${uplink.values.link} ${address}`);
        const not = networks.map((network) => contains(network, address) ? notAHost(network, address) : undefined).find((word) => word !== undefined);
        if (gateway !== undefined || not !== undefined) {
          tell(`${shown}${not ?? `the gateway of ${gateway}`}`);
          break;
        }
        const holder = this.#own.get(address);
        if (holder !== undefined && link !== undefined && holder !== link) own.push(`${formatIpv4(address)} is the router's address on ${holder.name}, not on ${link.name}`);
      }
      if (own.length > 0) this.#findings.warning(uplink.at('snat', index), steps, `${own[0]}${text === formatIpv4(range.first) ? '' : ` (in ${text})`}; replies may come back by another way`);
    }
  }

  /** An address two links translate to is spoken to by one of them only, as far as nobody inside has spoken first. */
  #sharedPools(): void {
    const holders = new Map<number, Item<UplinkKeys>>();
    for (const { set, uplink } of this.#translated) {
      let told = false;
      for (const { first, last } of set.ranges) {
        for (let address = first; address <= last; address++) {
          const holder = holders.get(address);
          if (holder === undefined) holders.set(address, uplink);
          else if (!told && holder.values.link !== uplink.values.link) {
            told = true;
            this.#findings.warning(uplink.at('snat'), [...uplink.steps, 'snat'],
              `${formatIpv4(address)} is what ${holder.name} translates to, on another link; what comes uninvited to it is taken from ${holder.values.link} only`);
          }
        }
      }
    }
  }

  /** Undefined when a part of it was refused. */
  #externals(uplink: Item<UplinkKeys>): Externals | undefined {
    if (!this.#externalsOf.has(uplink)) this.#externalsOf.set(uplink, this.#readExternals(uplink));
    return this.#externalsOf.get(uplink);
  }

  #readExternals(uplink: Item<UplinkKeys>): Externals | undefined {
    const link = this.#linkOf(uplink);
    if (link === undefined || link.refused('addresses') || uplink.refused('snat')) return undefined;
    const own = this.#networks(link).map(({ address }): Range => ({ first: address, last: address }));
    const pools = this.#pools(uplink);
    const oneToOnes = this.#oneToOneExternals.get(uplink.name) ?? [];
    const virtual = this.#virtual.get(link.name) ?? [];
    return {
      texts: [...new Set([...pools.map(({ text }) => text), ...[...own, ...virtual].map(({ first }) => formatIpv4(first))])],
      default: uplink.values.snat === 'auto' ? own.slice(0, 1) : pools.length > 0 ? pools.map(({ range }) => range) : own,
      all: new RangeSet([...pools.map(({ range }) => range), ...own, ...virtual, ...oneToOnes]),
    };
  }

  // --- port forwards --------------------------------------------------------------------------------------------------

  #portForwards(): void {
    /** By link, address and protocol. */
    const taken = new Map<string, Claims<Item<PortForwardKeys>>>();
    for (const forward of this.#values.portForwards.items) {
      const { uplink: name, listen: listenText, to } = forward.values;
      const uplink = name === undefined ? undefined : find(this.#values.uplinks, 'an uplink', name, (found, allowed) =>
        this.#findings.error(forward.at('uplink'), [...forward.steps, 'uplink'], found, allowed));
      const listen = listenText === undefined ? undefined : readListen(listenText) as Listen;
      if (listen !== undefined && to !== undefined) this.#target(forward, listen, to);
      if (uplink !== undefined && listen !== undefined) this.#claim(forward, uplink, listen, taken);
    }
  }

  /** Every port of an address and a protocol is one forward's; the first mistake is told, for the others are the same. */
  #claim(forward: Item<PortForwardKeys>, uplink: Item<UplinkKeys>, listen: Listen, taken: Map<string, Claims<Item<PortForwardKeys>>>): void {
    let other: string | undefined;
    for (const { first, last } of this.#listensOn(forward, uplink, listen)) {
      for (let address = first; address <= last; address++) {
        for (const protocol of listen.protocols) {
          const key = `${uplink.values.link} ${address} ${protocol}`;
          let claims = taken.get(key);
          if (claims === undefined) taken.set(key, claims = new Claims());
          const holder = claims.claim(listen.ports, forward);
          if (holder !== undefined) other ??= `${holder.owner.name} has ${protocolName(protocol)} ${formatPorts(holder)} of ${formatIpv4(address)}`;
        }
      }
    }
    if (other !== undefined) {
      this.#findings.error(forward.at('listen'), [...forward.steps, 'listen'], `${forward.show('listen')} (${other})`, 'ports of an address and a protocol in one forward only');
    }
  }

  /** As many ports inside as outside. */
  #target(forward: Item<PortForwardKeys>, listen: Listen, to: string): void {
    const target = readTarget(to);
    if (typeof target === 'string' || target.ports === undefined) return;
    const outside = listen.ports.last - listen.ports.first + 1;
    const inside = target.ports.last - target.ports.first + 1;
    if (outside === inside) return;
    const address = formatIpv4(target.address);
    const last = target.ports.first + outside - 1;
    this.#findings.error(forward.at('to'), [...forward.steps, 'to'], `${forward.show('to')} (${inside} ${inside === 1 ? 'port' : 'ports'} for ${outside})`,
      last > 65_535 ? `${outside} ports` : `${address}:${formatPorts({ first: target.ports.first, last })}, or ${address} for the same ports`);
  }

  #listensOn(forward: Item<PortForwardKeys>, uplink: Item<UplinkKeys>, listen: Listen): readonly Range[] {
    const externals = this.#externals(uplink);
    if (externals === undefined) return [];
    const { address } = listen;
    if (address === undefined) {
      if (externals.default.length === 0 && uplink.values.snat !== 'auto') {
        this.#findings.error(forward.at('listen'), [...forward.steps, 'listen'], `${forward.show('listen')} (${uplink.name} has no address)`, 'an uplink with addresses in snat or on its link');
      }
      return externals.default;
    }
    const range = { first: address, last: address };
    if (externals.all.overlaps(range)) return [range];
    this.#findings.error(forward.at('listen'), [...forward.steps, 'listen'], `${forward.show('listen')} (${formatIpv4(address)} is no address of ${uplink.name})`,
      externals.texts.length === 0 ? `an uplink with addresses in snat or on its link` : `an address of ${uplink.name}: ${oneOf(externals.texts)}`);
    return [];
  }

  // --- 1:1 ------------------------------------------------------------------------------------------------------------

  #oneToOnes(): void {
    /** By external address; by uplink and external address; by uplink and internal address. */
    const byExternal = new Map<string, Item<OneToOneKeys>>();
    const byPair = new Map<string, Item<OneToOneKeys>>();
    for (const rule of this.#values.oneToOne.items) {
      const { uplink: name, external, internal } = rule.values;
      const tell = (key: keyof OneToOneKeys, why: string, allowed: string): void =>
        this.#findings.error(rule.at(key), [...rule.steps, key], `${rule.show(key)} (${why})`, allowed);
      const uplink = name === undefined ? undefined : find(this.#values.uplinks, 'an uplink', name, (found, allowed) =>
        this.#findings.error(rule.at('uplink'), [...rule.steps, 'uplink'], found, allowed));
      if (external !== undefined) {
        const other = byExternal.get(external);
        const pair = byPair.get(`external ${name} ${external}`);
        if (pair !== undefined) tell('external', `already that of ${pair.name}`, 'each external address once');
        else if (other !== undefined && internal !== undefined && other.values.internal !== internal) {
          tell('external', `${other.name} turns it to ${other.values.internal}`, 'one inside address for an external one, whatever the uplink');
        }
        byExternal.set(external, other ?? rule);
        byPair.set(`external ${name} ${external}`, pair ?? rule);
        this.#external(rule, uplink, readAddress(external)!);
      }
      if (internal !== undefined) {
        const pair = byPair.get(`internal ${name} ${internal}`);
        if (pair !== undefined) tell('internal', `${pair.name} gives it ${pair.values.external} on ${name}`, 'one external address for an inside one on each uplink');
        else byPair.set(`internal ${name} ${internal}`, rule);
        const holder = this.#own.get(readAddress(internal)!);
        if (internal === external) tell('internal', 'the external address itself', 'the address it stands for');
        else if (holder !== undefined) tell('internal', `the router's own address on ${holder.name}`, 'the address of a host inside');
      }
    }
  }

  #external(rule: Item<OneToOneKeys>, uplink: Item<UplinkKeys> | undefined, address: number): void {
    const tell = (why: string, allowed: string): void =>
      this.#findings.error(rule.at('external'), [...rule.steps, 'external'], `${rule.show('external')} (${why})`, allowed);
    const range = { first: address, last: address };
    const pool = this.#translated.find(({ set }) => set.overlaps(range));
    if (pool !== undefined) return tell(`what ${pool.uplink.name} translates to`, 'an address in no uplink\'s snat');
    const gateway = this.#gateways.get(address);
    if (gateway !== undefined) return tell(`the gateway of ${gateway}`, 'an address that is free');
    const link = this.#linkOf(uplink);
    if (link === undefined) return;
    const holder = this.#own.get(address);
    if (holder !== undefined && holder !== link) return tell(`the router's own address on ${holder.name}`, 'an address that is free');
    const network = this.#networks(link).find((one) => contains(one, address));
    const not = network === undefined ? undefined : notAHost(network, address);
    if (not !== undefined) return tell(not, 'an address a host can have');
    if (holder === link) {
      this.#findings.warning(rule.at('external'), [...rule.steps, 'external'],
        `${formatIpv4(address)} is the router's own address on ${link.name}; the router itself is not reached by it from there any more`);
      return;
    }
    const elsewhere = this.#values.links.items.find((one) => one !== link && network === undefined && this.#networks(one).some((other) => contains(other, address)));
    if (elsewhere !== undefined) {
      this.#findings.warning(rule.at('external'), [...rule.steps, 'external'],
        `${formatIpv4(address)} is on the network of ${elsewhere.name}, not of ${link.name}; nobody there will send it`);
    }
  }

  // --- matches --------------------------------------------------------------------------------------------------------

  #noNats(): void {
    const { noNat, uplinks, links } = this.#values;
    const translating = new Set(uplinks.items.filter(({ values }) => values.snat !== 'off').map(({ values }) => values.link));
    const earlier: { rule: Item<NoNatKeys>; extent: Extent }[] = [];
    for (const rule of noNat.items) {
      checkMatch(rule, this.#values, this.#findings);
      const { out } = rule.values;
      const isWhole = !uplinks.refused && uplinks.broken.size === 0;
      if (isWhole && translating.size === 0) {
        this.#findings.error(rule.place, rule.steps, 'an exception where no uplink translates', 'none, unless an uplink translates');
      } else if (isWhole && out !== undefined && !rule.refused('out')) {
        const names = asList(out);
        names.forEach((name, index) => {
          if (!links.byName.has(name) || translating.has(name)) return;
          this.#findings.error(rule.at('out', index), [...rule.steps, 'out', ...(Array.isArray(out) ? [index] : [])],
            `${rule.show('out', index)} (no uplink translates there, so it never matches)`, translating.size === 0 ? 'none' : `the link of an uplink that translates: ${oneOf([...translating] as string[])}`);
        });
      }
      const extent = extentOf(rule as Item<FilterKeys>);
      if (extent === undefined) continue;
      const other = earlier.find((one) => covers(one.extent, extent));
      if (other !== undefined) this.#findings.warning(rule.place, rule.steps, `${other.rule.name} has all of this already`);
      if (['in', 'out', 'from', 'to', 'protocol', 'ports'].every((key) => !rule.given(key as keyof NoNatKeys))) {
        this.#findings.warning(rule.place, rule.steps, 'without a key it matches every flow, so nothing is translated; snat: off on the uplinks says so more plainly');
      }
      earlier.push({ rule, extent });
    }
  }

  // --- filters --------------------------------------------------------------------------------------------------------

  #filters(): void {
    /** Filters that decide all they match. */
    const final: { rule: Item<FilterKeys>; extent: Extent }[] = [];
    for (const rule of this.#values.filters.items) {
      checkMatch(rule, this.#values, this.#findings);
      const extent = extentOf(rule);
      const { over } = rule.values;
      if (over !== undefined && rule.values.action === 'accept') {
        this.#findings.warning(rule.keyAt('over'), [...rule.steps, 'over'], 'accepts what exceeds the rate and leaves what stays below to the filters behind; drop or reject is what limits');
      }
      if (extent === undefined) continue;
      const other = final.find((one) => covers(one.extent, extent));
      if (other !== undefined) {
        this.#findings.error(rule.place, rule.steps, `a filter that can never match, for ${other.rule.name} before it matches all that this one does`,
          `a place before ${other.rule.name}, or something that ${other.rule.name} does not match`);
      }
      if (!rule.given('over')) final.push({ rule, extent });
    }
  }

  // --- limits and timeouts --------------------------------------------------------------------------------------------

  #settings(): void {
    const { limits, timeouts, uplinks } = this.#values;
    const quarantine = timeouts.values.portQuarantine;
    if (quarantine !== undefined && timeouts.given('portQuarantine')) {
      const seconds = readDuration(quarantine)!;
      if (seconds < 120) {
        this.#findings.warning(timeouts.at('portQuarantine'), [...timeouts.steps, 'portQuarantine'],
          `a freed port is used again ${seconds === 0 ? 'at once' : `after ${quarantine}`}; RFC 6888 REQ-8 asks for 120 seconds, so that nobody gets what was meant for another`);
      }
    }
    const { flows, flowsPerSource } = limits.values;
    if (flows !== undefined && flowsPerSource !== undefined && flowsPerSource > flows) {
      this.#findings.warning(limits.at('flowsPerSource'), [...limits.steps, 'flowsPerSource'], `more than the ${flows} flows of limits.flows, so it limits nothing`);
    }
    for (const uplink of uplinks.items) {
      if (uplink.values.snat !== 'off') continue;
      for (const key of ['mapping', 'filtering', 'whenExhausted', 'refreshInbound'] as const) {
        if (uplink.given(key)) this.#findings.warning(uplink.keyAt(key), [...uplink.steps, key], `${key} means nothing while snat is off`);
      }
    }
  }
}

/** Tell of every rule that does not fit. */
export function checkRules(values: Values, findings: Findings): void {
  new RuleCheck(values, findings).run();
}
