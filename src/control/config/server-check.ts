/**
 * Virtual servers held against themselves, each other and the router's addresses: ports that two would have, real servers
 * that cannot be sent to, checks that have nothing to ask.
 */
import { formatIpv4 } from '../../wire/address.js';
import type { Findings } from './findings.js';
import { checkLevels, type CheckedThing, type LevelKeys } from './health-check.js';
import { contains, formatNetwork, notAHost, readPrefix } from './ip.js';
import { and, didYouMean, oneOf } from './near.js';
import { Claims, type Range } from './range.js';
import { asList, formatPorts, PORT_MAX, protocolName, readTarget, readVirtualListen, TCP, type VirtualListen } from './rule-text.js';
import {
  COUNTING, HASHING, SERVER_PROBE_KEYS, serverCheckKeys, type PersistenceKeys, type QuorumKeys, type RealServerKeys, type SchedulerKeys, type ServerCheckKeys, type VirtualServerKeys,
} from './server-schema.js';
import type { Item, Values } from './validate.js';

type VirtualServer = Item<VirtualServerKeys>;
type RealServer = Item<RealServerKeys>;

const ALL_PORTS: Range = { first: 0, last: PORT_MAX };
const isAll = ({ first, last }: Range): boolean => first === ALL_PORTS.first && last === ALL_PORTS.last;
const countOf = ({ first, last }: Range): number => last - first + 1;
/** Real servers told by name; more are told by their number. */
const NAMES_MAX = 8;
/** What a sorry server is called in commands and events. */
export const SORRY = 'sorry';
/** Kinds the box asks through sockets of its own. */
const BY_THE_BOX: readonly string[] = ['tcp', 'http', 'dns'];

export function realServersOf(server: VirtualServer): RealServer[] {
  const part = server.part<Record<string, RealServerKeys>>('realServers');
  return part === undefined ? [] : part.names().flatMap((name) => part.part<RealServerKeys>(name) ?? []);
}

/** How many real servers have checks. */
export function checkedServers(values: Values): number {
  return values.virtualServers.items.reduce((sum, server) =>
    sum + realServersOf(server).filter((real) => (real.given('check') ? real.part('check') !== undefined : server.part('check') !== undefined)).length, 0);
}

class ServerCheck {
  readonly #values: Values;
  readonly #ours: (address: number) => string | undefined;
  readonly #box: Pick<CheckedThing, 'hasBox' | 'boxElsewhere'>;
  readonly #findings: Findings;
  /** By address and protocol; the servers of all ports apart, for a port of its own goes first. */
  readonly #claims = new Map<string, Claims<string>>();

  constructor(values: Values, ours: (address: number) => string | undefined, box: Pick<CheckedThing, 'hasBox' | 'boxElsewhere'>, findings: Findings) {
    this.#values = values;
    this.#ours = ours;
    this.#box = box;
    this.#findings = findings;
  }

  run(): void {
    const ties = new Map<string, VirtualServer>();
    for (const server of this.#values.virtualServers.items) {
      const listens = this.#listens(server);
      this.#scheduler(server);
      this.#tie(server, ties);
      if (server.values.onePacket === true && listens.some(({ protocols }) => protocols.includes(TCP))) {
        this.#findings.error(server.at('onePacket'), [...server.steps, 'onePacket'], `${server.show('onePacket')} (on a virtual server of TCP)`, 'true with udp only');
      }
      const ports = listens[0]?.ports;
      this.#realServers(server, ports);
      const check = server.part<ServerCheckKeys>('check');
      if (check !== undefined) this.#check(check, ports, realServersOf(server).filter((real) => !real.given('check')));
      if (server.values.sorry !== undefined) this.#target(server as unknown as Item<Record<string, unknown>>, 'sorry', server.values.sorry, ports);
    }
  }

  /** What it listens on, of which every address with every port is one server's. */
  #listens(server: VirtualServer): VirtualListen[] {
    const { listen } = server.values;
    if (listen === undefined || server.refused('listen')) return [];
    const isList = Array.isArray(listen);
    const listens = asList(listen).map((text) => readVirtualListen(text) as VirtualListen);
    listens.forEach((one, index) => {
      const tell = (why: string, allowed: string): void =>
        this.#findings.error(server.at('listen', index), [...server.steps, 'listen', ...(isList ? [index] : [])], `${server.show('listen', index)} (${why})`, allowed);
      const [{ ports, protocols }] = listens;
      if (formatPorts(one.ports) !== formatPorts(ports) || one.protocols.join() !== protocols.join()) {
        return tell('other ports or another protocol than the first', 'one row of ports and one protocol in all of a list');
      }
      const addresses = this.#addresses(one, tell);
      for (const address of addresses) {
        for (const protocol of one.protocols) {
          const key = `${address} ${protocol}${isAll(one.ports) ? ' all' : ''}`;
          let claims = this.#claims.get(key);
          if (claims === undefined) this.#claims.set(key, claims = new Claims());
          const holder = claims.claim(one.ports, server.name);
          if (holder !== undefined) return tell(`${holder.owner} has ${protocolName(protocol)} ${formatPorts(holder)} of ${formatIpv4(address)}`, 'ports of an address and a protocol in one virtual server only');
        }
      }
    });
    return listens;
  }

  #addresses({ address, link: name }: VirtualListen, tell: (why: string, allowed: string) => void): number[] {
    const { links, uplinks } = this.#values;
    if (address !== undefined) {
      const gateway = uplinks.items.find(({ values: { gateway: text } }) => text === formatIpv4(address));
      if (gateway !== undefined) tell(`the gateway of ${gateway.name}`, 'an address that is free, or the router\'s own');
      for (const link of links.items) {
        for (const text of link.values.addresses ?? []) {
          const prefix = readPrefix(text);
          const not = prefix !== undefined && contains(prefix, address) ? notAHost(prefix, address) : undefined;
          if (not !== undefined) tell(not, 'an address a host can have');
        }
      }
      return [address];
    }
    const link = links.byName.get(name!);
    if (link === undefined) {
      if (links.broken.has(name!) || links.refused) return [];
      const names = [...links.byName.keys()];
      tell(`no link is called ${name}${didYouMean(name!, names)}`, names.length === 0 ? 'an address' : `an address, or the name of a link: ${oneOf(names)}`);
      return [];
    }
    const own = (link.values.addresses ?? []).flatMap((text) => readPrefix(text)?.address ?? []);
    if (own.length === 0 && !link.refused('addresses')) tell(`${name} has no address`, 'a link with an address');
    return own;
  }

  #scheduler(server: VirtualServer): void {
    const part = server.part<SchedulerKeys>('scheduler');
    const { scheduler } = server.values;
    const used = typeof scheduler === 'string' ? scheduler : scheduler?.name;
    if (server.values.onePacket === true && used !== undefined && COUNTING.includes(used)) {
      this.#findings.warning(server.at('onePacket'), [...server.steps, 'onePacket'],
        `${used} counts flows, and packets scheduled by themselves soon have one to every server, so the first gets them all; take rr, wrr or twos`);
    }
    const name = part?.values.name;
    if (part === undefined || name === undefined || HASHING.includes(name)) return;
    for (const key of ['hashPort', 'fallBack'] as const) {
      if (part.values[key] === true) this.#findings.error(part.keyAt(key), [...part.steps, key], `${key} with ${name}`, `${key} with ${oneOf(HASHING)} only`);
    }
  }

  /** Those that share what they remember must remember the same things of the same servers. */
  #tie(server: VirtualServer, ties: Map<string, VirtualServer>): void {
    const part = server.part<PersistenceKeys>('persistence');
    const tie = part?.values.tie;
    if (part === undefined || tie === undefined) return;
    const first = ties.get(tie);
    if (first === undefined) {
      ties.set(tie, server);
      return;
    }
    const other = first.part<PersistenceKeys>('persistence')!;
    for (const key of ['timeout', 'mask'] as const) {
      if (part.values[key] === undefined || other.values[key] === undefined || part.values[key] === other.values[key]) continue;
      this.#findings.error(part.at(key), [...part.steps, key], `${part.values[key]} (${first.name}, tied by ${tie}, has ${other.values[key]})`, `the same ${key} in all that are tied`);
    }
    const addresses = (one: VirtualServer): string => realServersOf(one).map(({ values }) => (values.address ?? '').split(':')[0]).sort().join();
    if (addresses(first) !== addresses(server)) {
      this.#findings.error(part.at('tie'), [...part.steps, 'tie'], `${part.show('tie')} (${first.name}, tied as well, has other real servers)`, 'real servers of the same addresses in all that are tied');
    }
  }

  /** An address that can be sent to, with a port that fits. */
  #target(item: Item<Record<string, unknown>>, key: string, text: string, ports: Range | undefined): void {
    const target = readTarget(text);
    if (typeof target === 'string') return;
    const tell = (why: string, allowed: string): void => this.#findings.error(item.at(key), [...item.steps, key], `${item.show(key)} (${why})`, allowed);
    const address = formatIpv4(target.address);
    const ours = this.#ours(target.address);
    if (ours !== undefined) tell(ours, 'the address of a host inside');
    if (ours !== undefined || target.ports === undefined || ports === undefined) return;
    const count = countOf(ports), given = countOf(target.ports);
    if (count === given) return;
    const found = `${given === 1 ? 'one port' : `${given} ports`}, where the virtual server has ${count === 1 ? 'one' : isAll(ports) ? 'all' : formatPorts(ports)}`;
    tell(found, count === 1 ? `${address}, or ${address} with one port` : `${address} alone, for the same ports${isAll(ports) ? '' : `, or with a range of ${count}`}`);
  }

  #realServers(server: VirtualServer, ports: Range | undefined): void {
    const part = server.part<Record<string, RealServerKeys>>('realServers');
    if (part === undefined) return;
    if (part.names().length === 0) this.#findings.error(part.place, part.steps, 'no real servers', 'at least one');
    const seen = new Map<string, string>();
    const servers = realServersOf(server);
    for (const real of servers) {
      const { address, upper, lower } = real.values;
      if (real.name === SORRY && server.given('sorry')) this.#findings.error(real.place, real.steps, `a real server called ${SORRY} beside the sorry server`, 'another name: commands and events call the sorry server so');
      if (address !== undefined) {
        const target = readTarget(address);
        const endpoint = typeof target === 'string' ? address : `${target.address}:${formatPorts(target.ports ?? ports ?? ALL_PORTS)}`;
        const other = seen.get(endpoint);
        if (other !== undefined) this.#findings.error(real.at('address'), [...real.steps, 'address'], `${real.show('address')} (already that of ${other})`, 'each real server once');
        else seen.set(endpoint, real.name);
        this.#target(real as unknown as Item<Record<string, unknown>>, 'address', address, ports);
      }
      if (lower !== undefined && upper !== undefined && !real.refused('upper') && lower > upper) {
        this.#findings.error(real.at('lower'), [...real.steps, 'lower'], upper === 0 ? `${lower} without upper` : `${lower} (above upper, ${upper})`, upper === 0 ? 'lower with upper only' : `1 to ${upper}`);
      }
      const check = real.part<ServerCheckKeys>('check');
      if (check !== undefined) this.#check(check, ports, [real]);
    }
    if (server.refused('realServers')) return;
    if (server.values.snat === 'never') this.#replyPath(server, servers);
    const total = servers.reduce((sum, { values }) => sum + (values.weight ?? 0), 0);
    const quorum = server.part<QuorumKeys>('quorum');
    const { weight, hysteresis } = quorum?.values ?? {};
    if (total === 0 && servers.length > 0) this.#findings.warning(part.place, part.steps, 'every real server has weight 0, so no new flow is served');
    else if (quorum !== undefined && weight !== undefined && hysteresis !== undefined && weight + hysteresis > total) {
      this.#findings.error(quorum.place, quorum.steps, `${weight + hysteresis} for it to be up (weight and hysteresis), where all servers have ${total}`, `${total} at most`);
    }
  }

  /**
   * Who shares a network with the client answers it directly, and the client knows nothing of that address. The commands may be given twice, and
   * beside a default route and whatever the network's own route is: one to the router itself first, since the other one sends everything there.
   */
  #replyPath(server: VirtualServer, servers: readonly RealServer[]): void {
    const there = new Map<string, { address: string; names: string[] }>();
    const { sorry } = server.values;
    const all = [...servers.map(({ name, values }) => ({ name, address: values.address ?? '' })), ...(sorry === undefined ? [] : [{ name: SORRY, address: sorry }])];
    for (const real of all) {
      const target = readTarget(real.address);
      if (typeof target === 'string') continue;
      for (const link of this.#values.links.items) {
        const own = (link.values.addresses ?? []).flatMap((text) => readPrefix(text) ?? []).find((prefix) => contains(prefix, target.address));
        if (own === undefined) continue;
        const network = formatNetwork(own);
        const known = there.get(network);
        if (known === undefined) there.set(network, { address: formatIpv4(own.address), names: [real.name] });
        else known.names.push(real.name);
      }
    }
    const warn = (message: string): void => this.#findings.warning(server.at('snat'), [...server.steps, 'snat'], message);
    for (const [network, { address, names }] of there) {
      const who = names.length <= NAMES_MAX ? and(names) : `${names.length} servers there`;
      warn(`clients on ${network} are answered past weir by ${who}, so their flows fail; give those: ip route replace ${address}/32 dev DEVICE; ip route replace ${network} via ${address}`);
    }
    if (servers.length > 0) warn('a real server that asks this virtual server and is given itself gets no answer, whatever its routes; snat: auto answers it');
  }

  /** At least one kind, by sockets there are, at ports there are. */
  #check(check: Item<ServerCheckKeys>, ports: Range | undefined, servers: readonly RealServer[]): void {
    const given = SERVER_PROBE_KEYS.filter((key) => check.given(key));
    if (given.length === 0 && !check.hasOthers(Object.keys(serverCheckKeys))) {
      this.#findings.error(check.place, check.steps, 'a check without a kind', `at least one of ${and(SERVER_PROBE_KEYS)}`);
    }
    for (const key of given) {
      if (BY_THE_BOX.includes(key) && !this.#box.hasBox) {
        this.#findings.error(check.keyAt(key), [...check.steps, key], `${key} without a link to the box, whose own sockets ask by ${and(BY_THE_BOX)}`, 'a tun link with a peer; icmp, udp and script need none');
      } else if (BY_THE_BOX.includes(key) && this.#box.boxElsewhere !== undefined) {
        this.#findings.error(check.keyAt(key), [...check.steps, key], `${key} by way of ${this.#box.boxElsewhere}, where the daemon's sockets are not`, 'the link to the box without netns; icmp and udp need none');
      } else if (['udp', 'tcp', 'http'].includes(key) && ports !== undefined && ports.first !== ports.last && check.part<{ port?: number }>(key)?.given('port') === false) {
        this.#findings.error(check.keyAt(key), [...check.steps, key], `${key} without a port, where ${servers.length === 1 ? servers[0].name : 'the virtual server'} has more than one`, `${key}: { port: … }`);
      }
    }
    const { need } = check.values;
    if (need !== undefined && given.length > 0 && need > given.length) {
      this.#findings.error(check.at('need'), [...check.steps, 'need'], `${check.show('need')} (of ${given.length} ${given.length === 1 ? 'kind' : 'kinds'})`, `1 to ${given.length}`);
    }
    checkLevels(check as unknown as Item<LevelKeys>, this.#findings);
  }
}

/** Tell of everything in virtual servers that does not fit. `ours` says whose an address is when it is the router's. */
export function checkServers(values: Values, ours: (address: number) => string | undefined, box: Pick<CheckedThing, 'hasBox' | 'boxElsewhere'>, findings: Findings): void {
  new ServerCheck(values, ours, box, findings).run();
}
