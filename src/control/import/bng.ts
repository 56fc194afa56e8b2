/**
 * From a bng.conf to a whole configuration: interfaces become links, the gateway an uplink, servers virtual servers and targets their real ones.
 * Everything the file says that weir does otherwise, or not, is told with its place.
 */
import { formatIpv4 } from '../../wire/address.js';
import { contains, formatNetwork, networkOf, readAddress, reserved, type Prefix, notAHost } from '../config/ip.js';
import { PORT_MAX } from '../config/rule-text.js';
import { parseBng, readList, type BngFile, type Kind, type Statement, type Thing } from './bng-parse.js';
import { NOWHERE, type Draft, type ImportOptions, type Notes, type Word } from './imported.js';
import { IPV6, maskLength, WEIGHT_MAX } from './lvs.js';
import { paceOf, readPace } from './pace.js';
import { boxLink } from './surroundings.js';
import { nameOf, type Entry, type Flow } from './yaml.js';

/** What runs in weir always, or has nothing to run for. */
const MODULES: readonly string[] = ['vrrp', 'arp', 'ping', 'hc', 'master', 'slb', 'tnat', 'nat', 'rt'];

/** Seconds a client keeps its target where sessionid stands without stimeout. */
const SESSION_SECONDS = 600;
const SESSION_SECONDS_MAX = 24 * 24 * 60 * 60;
/** The highest that is not an owner's. */
const PRIORITY_MAX = 254;
const NO: readonly string[] = ['0', 'no', 'off', 'disable'];
const YES_OR_NO: readonly string[] = ['0', '1', 'no', 'yes', 'off', 'on', 'disable', 'enable'];

/** Ways to choose a target: the schedulers that do so with equal weights and with others. */
const METHODS: Readonly<Record<string, readonly [string, string]>> = {
  rr: ['rr', 'wrr'], session: ['lc', 'wlc'], hash: ['sh', 'sh'],
};

const EVENTS = 'every executable file in hooks.directory is run on every event';
const TRACKED = 'track names what takes how much off the priority: vrrp: { …: { track: [{ name: …, weight: … }] } }';
const SHARED = 'flows are shared through a Redis server: share: { store: redis, redis: { url: … } }';
const PLACE = 'servers are not chosen by where the client is';
const AGENT = 'there are no agents; check: { script: { …, setsWeight: true } } can set a weight';
const NEXT_HOP = 'a server is on a network of a link, or behind a route';
const COMES_BACK = 'a server that is up again takes flows; weir drain keeps it out';

/** Statements that cannot be had, with the reason. */
const NOT_HERE: Readonly<Record<Kind, Readonly<Record<string, string>>>> = {
  interface: { address: 'a raw link has the MAC address of its device', alert: EVENTS, upalert: EVENTS, trackval: TRACKED },
  network: { addr6: IPV6, mask6: IPV6, real6: IPV6, virt6: IPV6, peer: SHARED, syncpeer: SHARED },
  gateway: { ip6addr: IPV6, ping6: IPV6, alert: EVENTS, upalert: EVENTS, trackval: TRACKED },
  server: {
    ip6addr: IPV6, prx6: IPV6, prx: 'with snat: always the client becomes the router\'s own address on the way to the server',
    ftimeout: 'persistence begins anew with every flow; it has no fixed end', plugin: 'weir balances flows, not what is in them',
    gslbttl: 'weir does not answer DNS', ipdb: PLACE,
  },
  target: {
    ip6addr: IPV6, agent: AGENT, scale: AGENT, ascale: AGENT, aoffset: AGENT, maxagentscore: AGENT,
    script: 'programs are run by their whole path and without a shell: write check: { script: { command: [PROGRAM, …] } }',
    alert: EVENTS, upalert: EVENTS, maxsessions: 'it counts clients, where upper and lower count flows',
    autodisable: COMES_BACK, autodisablecount: COMES_BACK, lgrp: PLACE, router: NEXT_HOP, via: NEXT_HOP, trackval: TRACKED,
  },
  vrrp: { trackinterval: 'what is tracked counts at once', owner: 'virtual addresses are nobody’s own; a priority says who is to have them first' },
};

interface Network { thing: Thing; prefix: Prefix; addresses: string[]; virtual: number | undefined; real: number | undefined; nat: string | undefined }
interface Link { thing: Thing; name: string; device: string; networks: Network[] }
interface RealServer { address: string; weight: number; check: Flow | undefined; comments: string[] }

type Protocol = 'tcp' | 'udp' | 'both';

/** 'server 1', or 'gateway'. */
function title({ kind, id }: Thing): string {
  return id === 0 ? kind : `${kind} ${id}`;
}

/** Where a thing stands, with those that belong to it. */
function sourceOf(thing: Thing, ...more: readonly Thing[]): NonNullable<Entry['source']> {
  return { line: thing.line, column: thing.column, what: [thing, ...more].map(title).join(', ') };
}

/** Whether two would listen on the same; all ports beside one of them is no clash. */
function clash(a: string, b: string): boolean {
  const [hostA, protocolA] = a.split('/');
  const [hostB, protocolB] = b.split('/');
  return hostA === hostB && (protocolA === protocolB || protocolA === 'both' || protocolB === 'both');
}

class Importer {
  readonly #notes: Notes;
  readonly #file: BngFile;
  readonly #options: ImportOptions;
  /** The router's own addresses. */
  readonly #own = new Set<number>();
  /** Things that were left out as a whole, so that their statements need no lines of their own, unless another thing has taken them. */
  readonly #gone = new Set<Thing>();
  readonly #taken = new Set<Thing>();
  #asksByTcp = false;
  /** Where virtual servers listen. */
  readonly #listens = new Set<number>();

  constructor(file: BngFile, notes: Notes, options: ImportOptions) {
    this.#file = file;
    this.#notes = notes;
    this.#options = options;
  }

  run(): Entry[] {
    this.#whole();
    const links = this.#links();
    const uplink = this.#uplink(links);
    const virtualServers = this.#virtualServers();
    for (const thing of this.#file.things) this.#leftOvers(thing);
    return [
      { key: 'links', value: [...links.map((link) => this.#linkEntry(link)), ...this.#box(links)] },
      ...this.#virtualRouters(links),
      ...uplink,
      { key: 'virtualServers', value: virtualServers },
    ];
  }

  #whole(): void {
    for (const { text, line, column } of this.#file.modules) {
      if (!MODULES.includes(text)) this.#notes.leftOut({ line, column }, `module ${text}`, 'no such module is known here');
    }
    for (const { at, name, value } of this.#file.settings) {
      if (name !== 'ipforwarding') this.#notes.leftOut(at, `set ${name} ${value}`, 'no such setting is known here');
      else if (value === '0') this.#notes.leftOut(at, `set ${name} ${value}`, 'weir forwards between its networks; filters can refuse that');
    }
  }

  #of(kind: Kind): Thing[] {
    return this.#file.things.filter((thing) => thing.kind === kind);
  }

  #leave(thing: Thing, why: string): void {
    this.#gone.add(thing);
    this.#notes.leftOut(thing, title(thing), why);
  }

  /** Whether a thing is in use; told when it is not. */
  #isOn(thing: Thing): boolean {
    const key = title(thing);
    const why = !this.#file.registered.has(key) ? 'it is not registered' : !this.#file.enabled.has(key) ? 'it is not enabled' : undefined;
    if (why !== undefined) this.#leave(thing, why);
    return why === undefined;
  }

  /** As on BalanceNG's own command line, the last one counts. */
  #find(thing: Thing, word: string): Statement | undefined {
    return thing.statements.filter((statement) => statement.word === word).at(-1);
  }

  #all(thing: Thing, ...words: string[]): Statement[] {
    return thing.statements.filter(({ word }) => words.includes(word));
  }

  #text(thing: Thing, word: string): string | undefined {
    return this.#find(thing, word)?.values[0].text;
  }

  #name(thing: Thing, taken: Set<string>): string {
    return nameOf(this.#text(thing, 'name') ?? '', `${thing.kind}${thing.id}`, taken);
  }

  /** An address that is required; tells what is there instead. */
  #address(thing: Thing, word: string): number | undefined {
    const statement = this.#find(thing, word);
    if (statement !== undefined) return this.#addressOf(statement);
    this.#notes.error(thing, `${title(thing)} without ${word}`, `${word} ADDRESS`);
    return undefined;
  }

  #addressOf({ word, values: [value] }: Statement): number | undefined {
    const address = readAddress(value.text);
    if (address === undefined) this.#notes.error(value, `${word} ${value.text}`, 'an IPv4 address');
    return address;
  }

  #number({ word, values: [value] }: Statement, least: number, most: number): number | undefined {
    const number = /^\d{1,9}$/.test(value.text) ? Number(value.text) : NaN;
    if (number >= least && number <= most) return number;
    this.#notes.error(value, `${word} ${value.text}`, `${least} to ${most}`);
    return undefined;
  }

  /** Things of another kind, by their numbers; those the file does not have are told. */
  #refer(statements: readonly Statement[], kind: Kind): { thing: Thing; at: Word }[] {
    const all = this.#of(kind);
    return statements.flatMap(({ word, values: [value] }) => {
      const list = readList(value.text);
      if (list === undefined) {
        this.#notes.error(value, `${word} ${value.text}`, 'numbers with commas between them');
        return [];
      }
      return [...new Set(list)].flatMap((id) => {
        const thing = all.find((one) => one.id === id);
        if (thing !== undefined) return [{ thing, at: value }];
        this.#notes.error(value, `${kind} ${id}, which the file does not have`, all.length === 0 ? `a ${kind} of the file` : `one of the file's: ${all.map((one) => one.id).join(', ')}`);
        return [];
      });
    });
  }

  #links(): Link[] {
    const taken = new Set(['host']);
    const unused = new Set(this.#options.links.map(({ name }) => name));
    const links: Link[] = [];
    const interfaces = this.#of('interface');
    for (const thing of interfaces) {
      const given = this.#text(thing, 'name');
      if (given === undefined) {
        this.#notes.error(thing, `${title(thing)} without name`, 'name DEVICE');
        continue;
      }
      unused.delete(given);
      const option = this.#options.links.find(({ name }) => name === given);
      if (option !== undefined && option.addresses.length > 0) this.#notes.error(NOWHERE, `addresses in --link ${given}=…`, `${given}=DEVICE: the file itself has the addresses`);
      const device = option?.device ?? given;
      if (this.#isOn(thing)) links.push({ thing, name: nameOf(given, `interface${thing.id}`, taken), device, networks: [] });
    }
    const names = interfaces.flatMap((thing) => this.#text(thing, 'name') ?? []);
    for (const name of unused) this.#notes.error(NOWHERE, `no interface ${name} for --link ${name}=…`, names.length === 0 ? 'an interface of the file' : `one of the file's: ${names.join(', ')}`);
    for (const thing of this.#of('network')) {
      const network = this.#network(thing);
      if (network === undefined) continue;
      const [first, ...more] = this.#refer(this.#all(thing, 'interface', 'interfaces'), 'interface');
      // Without a word about it, the only interface there is.
      const link = first === undefined ? (links.length === 1 ? links[0] : undefined) : links.find((one) => one.thing === first.thing);
      for (const { at, thing: other } of more) this.#notes.leftOut(at, title(other), `a network is on one link: ${title(thing)} is on ${title(first.thing)}`);
      if (link === undefined) this.#leave(thing, first === undefined ? 'it names no interface' : `${title(first.thing)} was left out`);
      else link.networks.push(network);
    }
    for (const { networks } of links) {
      for (const { real, virtual } of networks) for (const address of [real, virtual]) if (address !== undefined) this.#own.add(address);
    }
    for (const { thing, networks } of links) if (networks.length === 0) this.#leave(thing, 'no network is on it');
    return links.filter(({ networks }) => networks.length > 0);
  }

  #network(thing: Thing): Network | undefined {
    if (this.#find(thing, 'addr') === undefined && thing.statements.some(({ word }) => word.endsWith('6'))) {
      this.#leave(thing, IPV6);
      return undefined;
    }
    const address = this.#address(thing, 'addr');
    const mask = this.#address(thing, 'mask');
    const nat = this.#find(thing, 'nat')?.values[0];
    if (nat !== undefined && !['inside', 'outside'].includes(nat.text)) this.#notes.error(nat, `nat ${nat.text}`, 'inside or outside');
    if (address === undefined || mask === undefined) return undefined;
    const prefixLength = maskLength(mask);
    if (prefixLength < 0) {
      this.#notes.error(this.#find(thing, 'mask')!.values[0], `mask ${formatIpv4(mask)}`, 'a netmask, such as 255.255.255.0');
      return undefined;
    }
    const prefix = { address, prefixLength };
    if (networkOf(prefix) !== address) {
      this.#notes.error(this.#find(thing, 'addr')!.values[0], `addr ${formatIpv4(address)} with bits set behind the mask`, `addr ${formatIpv4(networkOf(prefix))}`);
      return undefined;
    }
    const within = (word: string): number | undefined => {
      const statement = this.#find(thing, word);
      const own = statement === undefined ? undefined : this.#addressOf(statement);
      if (own === undefined || contains(prefix, own)) return own;
      this.#notes.error(statement!.values[0], `${word} ${formatIpv4(own)}`, `an address of ${formatNetwork(prefix)}`);
      return undefined;
    };
    const real = within('real');
    const virtual = within('virt');
    if (this.#all(thing, 'real', 'virt').length === 0) this.#notes.error(thing, `${title(thing)} without real and virt`, 'at least one of them');
    if (!this.#isOn(thing)) return undefined;
    const own = real ?? virtual;
    const addresses = own === undefined ? [] : [`${formatIpv4(own)}/${prefixLength}`];
    return { thing, prefix, addresses, real, virtual, nat: nat?.text };
  }

  /** Uplink, group and default route, which all follow from the gateway. */
  #uplink(links: readonly Link[]): Entry[] {
    const [thing] = this.#of('gateway');
    if (thing === undefined || (this.#find(thing, 'ipaddr') === undefined && this.#find(thing, 'ip6addr') !== undefined)) return [];
    const address = this.#address(thing, 'ipaddr');
    if (address === undefined) return [];
    const networks = links.flatMap((one) => one.networks);
    const outside = networks.find(({ prefix }) => contains(prefix, address));
    if (outside === undefined) {
      this.#leave(thing, `${formatIpv4(address)} is on none of the networks that were taken`);
      return [];
    }
    const link = links.find((one) => one.networks.includes(outside))!;
    const translates = outside.nat === 'outside' && networks.some(({ nat }) => nat === 'inside');
    // What comes in by the link of an uplink that translates is refused unless it is asked for, also what comes from inside on the same wire.
    const besides = translates ? link.networks.filter((one) => one !== outside) : [];
    const untouched = translates ? networks.filter((one) => one !== outside && one.nat !== 'inside') : [];
    const snat = translates ? formatIpv4((outside.virtual ?? outside.real)!) : 'off';
    const check = this.#gatewayCheck(thing);
    const uplink: Entry[] = [
      { key: 'link', value: link.name },
      { key: 'gateway', value: formatIpv4(address) },
      {
        key: 'snat', value: snat,
        comments: [translates
          ? 'nat inside and outside: what inside sends of its own accord bears the outside address.'
          : 'Without nat inside and outside nothing is translated.'],
      },
      ...(check === undefined ? [] : [check]),
    ];
    return [
      { key: 'uplinks', value: [{ key: 'router', source: sourceOf(thing), value: uplink }] },
      { key: 'groups', value: [{ key: 'outside', value: { uplinks: ['router'] } }] },
      { key: 'routes', value: [{ key: 'default', value: { to: '0.0.0.0/0', group: 'outside' } }] },
      {
        key: 'filters', value: besides.map(({ thing: network, prefix }): Entry => ({
          key: `network${network.id}`, source: sourceOf(network), value: { in: link.name, from: formatNetwork(prefix), action: 'accept' },
          comments: [`Network ${network.id} is on the wire of the gateway, by which nothing comes in uninvited; what comes from it is let out.`],
        })),
      },
      { key: 'noNat', value: untouched.map(({ thing: { id }, prefix }): Entry => ({ key: `network${id}`, value: { from: formatNetwork(prefix) } })) },
    ];
  }

  #gatewayCheck(thing: Thing): Entry | undefined {
    const asked = ['ping', 'arp'].flatMap((word) => this.#find(thing, word) ?? []);
    const paced = this.#paced(asked);
    if (paced === undefined) return undefined;
    const kinds: Record<string, Flow> = {};
    for (const { word } of asked) kinds[word === 'ping' ? 'icmp' : 'arp'] = 'gateway';
    return { key: 'check', comments: [paced.comment], value: { ...kinds, ...(asked.length > 1 ? { need: asked.length } : {}), ...paced.pace, damping: 'off' } };
  }

  /** The pace of the first of several checks, which all others must have as well. */
  #paced(asked: readonly Statement[]): { pace: Readonly<Record<string, Flow>>; comment: string } | undefined {
    let first: { text: string; pace: Readonly<Record<string, Flow>>; comment: string } | undefined;
    for (const { word, values: [value] } of asked) {
      const text = word === 'tcpopen' ? value.text.replace(/^[^,]*,/, '') : value.text;
      const read = readPace(text);
      if (read === undefined) {
        this.#notes.error(value, `${word} ${value.text}`, `${word} ${word === 'tcpopen' ? 'PORT,' : ''}INTERVAL,TIMEOUT, with 1 to 3600 seconds each`);
      } else if (first === undefined) {
        const { intervalSeconds, downSeconds } = read;
        const comment = `${word} ${value.text}: asked every ${intervalSeconds} s; without an answer for ${downSeconds} s, it is down.`;
        first = { text, pace: { ...paceOf(intervalSeconds, downSeconds) }, comment };
      } else if (text !== first.text) {
        this.#notes.changed(value, `the pace of ${word} ${value.text}`, `all kinds of a check have one pace, here ${first.text}`);
      }
    }
    return first;
  }

  #virtualServers(): Entry[] {
    const taken = new Set<string>();
    const claims = new Map<string, Thing>();
    return this.#of('server').flatMap((thing): Entry[] => {
      if (this.#find(thing, 'ipaddr') === undefined && this.#find(thing, 'ip6addr') !== undefined) return [];
      const address = this.#address(thing, 'ipaddr');
      const ports = this.#ports(thing);
      const targets = this.#refer(this.#all(thing, 'target', 'targets'), 'target').map((one) => one.thing);
      const backups = this.#refer(this.#all(thing, 'backup', 'backups'), 'target');
      if (address === undefined || ports === undefined || !this.#isOn(thing)) return [];
      const is = reserved(address);
      if (is !== undefined) {
        this.#leave(thing, `nothing is routed to ${is}`);
        return [];
      }
      const protocol = this.#protocol(thing);
      const name = this.#name(thing, taken);
      // A virtual server has one row of ports: of several, each has its own.
      return ports.flatMap((port, index): Entry[] => {
        const listen = `${formatIpv4(address)}:${port ?? '*'}/${protocol}`;
        const holder = [...claims].find(([other]) => clash(other, listen))?.[1];
        if (holder !== undefined) {
          this.#leave(thing, `${title(holder)} has ${listen}`);
          return [];
        }
        const value = this.#virtualServer(thing, listen, protocol, port, targets, backups);
        if (value === undefined) {
          this.#leave(thing, targets.length === 0 ? 'it has no targets' : 'none of its targets could be taken');
          return [];
        }
        claims.set(listen, thing);
        this.#listens.add(address);
        this.#taken.add(thing);
        return [{ key: index === 0 ? name : nameOf(`${name}-${port}`, name, taken), source: sourceOf(thing), value }];
      });
    });
  }

  #protocol(thing: Thing): Protocol {
    const value = this.#find(thing, 'protocol')?.values[0];
    if (value?.text === 'tcp' || value?.text === 'udp') return value.text;
    this.#notes.changed(value ?? thing, value === undefined ? `other protocols than TCP and UDP of ${title(thing)}` : `protocol ${value.text}`, 'weir balances TCP and UDP, so it is these two');
    return 'both';
  }

  /** Undefined in the list = all ports. */
  #ports(thing: Thing): (number | undefined)[] | undefined {
    const statement = this.#find(thing, 'ports') ?? this.#find(thing, 'port');
    if (statement === undefined) return [undefined];
    const [value] = statement.values;
    if (['0', 'any'].includes(value.text)) return [undefined];
    const list = readList(value.text);
    if (list !== undefined && list.every((port) => port >= 1 && port <= PORT_MAX)) return [...new Set(list)];
    this.#notes.error(value, `${statement.word} ${value.text}`, `ports of 1 to ${PORT_MAX}, or any`);
    return undefined;
  }

  #virtualServer(
    thing: Thing, listen: string, protocol: Protocol, port: number | undefined, targets: readonly Thing[], backups: readonly { thing: Thing; at: Word }[],
  ): Entry[] | undefined {
    const taken = new Set<string>();
    const seen = new Map<string, Thing>();
    const weights: number[] = [];
    const realServers = targets.flatMap((target): Entry[] => {
      const real = this.#target(target, protocol, port);
      if (real === undefined) return [];
      const { address, weight, check, comments } = real;
      const other = seen.get(address);
      if (other !== undefined) {
        this.#notes.leftOut(target, `${title(target)} of ${title(thing)}`, `${title(other)} is ${address} as well`);
        return [];
      }
      seen.set(address, target);
      weights.push(weight);
      return [{ key: this.#name(target, taken), source: sourceOf(target), comments, value: { address, weight: weight === 1 ? undefined : weight, check } }];
    });
    if (realServers.length === 0) return undefined;
    const [sorry, ...others] = backups.flatMap(({ thing: target, at }) => {
      const real = this.#target(target, protocol, port);
      return real === undefined ? [] : [{ real, target, at }];
    });
    for (const { target, at } of others) this.#notes.leftOut(at, `backup ${target.id}`, `there is one sorry server, here ${title(sorry.target)}`);
    if (sorry?.real.check !== undefined) this.#notes.leftOut(sorry.at, `the checks of ${title(sorry.target)} as a backup`, 'a sorry server is not checked');
    const persistence = this.#persistence(thing);
    const snat = ['proxy', 'snat'].some((word) => this.#text(thing, word) === 'enable');
    return [
      { key: 'listen', value: listen },
      { key: 'scheduler', value: this.#scheduler(thing, realServers, weights) },
      ...(persistence === undefined ? [] : [{ key: 'persistence', value: persistence }]),
      ...(snat ? [{ key: 'snat', value: 'always' }] : []),
      ...(sorry === undefined ? [] : [{ key: 'sorry', source: sourceOf(sorry.target), value: sorry.real.address }]),
      { key: 'realServers', value: realServers },
    ];
  }

  #scheduler(thing: Thing, realServers: Entry[], weights: readonly number[]): Flow {
    const value = this.#find(thing, 'method')?.values[0];
    const method = value?.text ?? 'rr';
    if (method === 'first') {
      // fo takes the usable one of the highest weight: the order becomes weights.
      realServers.forEach((entry, index) => {
        const keys = entry.value as { weight?: number };
        if (keys.weight !== 0) realServers[index] = { ...entry, value: { ...keys, weight: realServers.length - index } };
      });
      return 'fo';
    }
    const weighted = new Set(weights.filter((weight) => weight > 0)).size > 1 ? 1 : 0;
    if (!Object.hasOwn(METHODS, method)) {
      this.#notes.changed(value!, `method ${method}`, `no scheduler does that, so it is ${METHODS['rr'][weighted]}; docs/coming-from.md has those there are`);
      return METHODS['rr'][weighted];
    }
    const name = METHODS[method][weighted];
    return name === 'sh' ? { name, fallBack: true } : name;
  }

  #persistence(thing: Thing): Flow | undefined {
    const identity = this.#find(thing, 'sessionid')?.values[0];
    const timeout = this.#find(thing, 'stimeout');
    if (identity === undefined && timeout === undefined) return undefined;
    if (identity !== undefined && identity.text !== 'src') {
      this.#notes.leftOut(identity, `sessionid ${identity.text}`, 'persistence is by the client\'s address; here every flow is scheduled by itself');
      return undefined;
    }
    const seconds = timeout === undefined ? SESSION_SECONDS : this.#number(timeout, 1, SESSION_SECONDS_MAX);
    return seconds === undefined ? undefined : { timeout: `${seconds}s` };
  }

  #target(thing: Thing, protocol: Protocol, port: number | undefined): RealServer | undefined {
    const enabled = this.#file.enabled.has(title(thing));
    const refuse = (why: string): undefined => {
      this.#leave(thing, why);
      return undefined;
    };
    if (!this.#file.registered.has(title(thing))) return refuse('it is not registered');
    if (this.#find(thing, 'ipaddr') === undefined && this.#find(thing, 'ip6addr') !== undefined) return refuse(IPV6);
    const address = this.#address(thing, 'ipaddr');
    if (address === undefined) return undefined;
    const direct = this.#find(thing, 'dsr');
    if (direct !== undefined && direct.values[0].text !== 'disable') {
      this.#notes.changed(direct, `dsr ${direct.values[0].text} of ${title(thing)}`,
        `direct server return becomes NAT: the server must listen on ${formatIpv4(address)} itself, not on the virtual address, and answer through weir, its default route`);
    }
    const is = reserved(address);
    if (is !== undefined || this.#own.has(address)) return refuse(`${formatIpv4(address)} is ${is ?? 'the router itself'}`);
    const own = this.#text(thing, 'protocol');
    if (own !== undefined && ['tcp', 'udp'].includes(own) && own !== protocol) return refuse(`its protocol is ${own}, that of its server ${protocol}`);
    const statement = this.#find(thing, 'port');
    const given = statement === undefined || ['0', 'any'].includes(statement.values[0].text) ? undefined : this.#number(statement, 1, PORT_MAX);
    if (given !== undefined && port === undefined) return refuse(`its port is ${given}, where its server has all of them`);
    const heavy = this.#find(thing, 'weight');
    const weight = (heavy === undefined ? 1 : this.#number(heavy, 0, WEIGHT_MAX)) ?? 1;
    const { check, comments } = this.#targetCheck(thing);
    this.#taken.add(thing);
    return {
      address: port === undefined ? formatIpv4(address) : `${formatIpv4(address)}:${given ?? port}`, weight: enabled ? weight : 0, check,
      comments: [...comments, ...(enabled ? [] : ['It was not enabled, so it takes no flows.'])],
    };
  }

  #targetCheck(thing: Thing): { check: Flow | undefined; comments: string[] } {
    const asked = ['tcpopen', 'ping'].flatMap((word) => this.#find(thing, word) ?? []);
    const paced = this.#paced(asked);
    if (paced === undefined) return { check: undefined, comments: [] };
    const kinds: Record<string, Flow> = {};
    for (const { word, values: [value] } of asked) {
      if (word === 'ping') {
        kinds['icmp'] = {};
        continue;
      }
      const port = Number(value.text.split(',')[0]);
      if (!(port >= 1 && port <= PORT_MAX)) this.#notes.error(value, `tcpopen ${value.text}`, `tcpopen PORT,INTERVAL,TIMEOUT, with a port of 1 to ${PORT_MAX}`);
      kinds['tcp'] = { port };
      this.#asksByTcp = true;
    }
    return { check: { ...kinds, ...paced.pace }, comments: [paced.comment] };
  }

  #linkEntry({ thing, name, device, networks }: Link): Entry {
    const alone = networks.flatMap(({ real, virtual }) => (real === undefined && virtual !== undefined ? [formatIpv4(virtual)] : []));
    return {
      key: name, source: sourceOf(thing, ...networks.map((network) => network.thing)),
      comments: alone.length === 0 ? [] : [`virt ${alone.join(' and ')} without real: nothing to send adverts from, so this box has ${alone.length === 1 ? 'it' : 'them'} always.`],
      value: { type: 'raw', device, addresses: networks.flatMap(({ addresses }) => addresses) },
    };
  }

  /** `virt`, and where servers listen beside it: of whichever box is master, by one election for each link and one outcome for all. */
  #virtualRouters(links: readonly Link[]): Entry[] {
    const [thing] = this.#of('vrrp');
    const asked = (word: string, least: number, most: number): number | undefined => {
      const statement = thing === undefined ? undefined : this.#find(thing, word);
      return statement === undefined ? undefined : this.#number(statement, least, most);
    };
    const id = asked('vrid', 1, 255) ?? 1;
    const wanted = asked('priority', 1, 255);
    if (wanted === PRIORITY_MAX + 1) this.#notes.changed(this.#find(thing, 'priority')!.values[0], `priority ${wanted}`, `that is for addresses which are a box's own, so it is ${PRIORITY_MAX}`);
    const priority = wanted === undefined ? undefined : Math.min(wanted, PRIORITY_MAX);
    const preempt = thing === undefined ? undefined : this.#text(thing, 'preempt');
    if (preempt !== undefined && !YES_OR_NO.includes(preempt)) this.#notes.error(this.#find(thing, 'preempt')!.values[0], `preempt ${preempt}`, YES_OR_NO.join(', '));
    const elected = links.flatMap((link) => {
      const networks = link.networks.filter(({ real, virtual }) => real !== undefined && virtual !== undefined && real !== virtual);
      return networks.length === 0 ? [] : [{ link, networks }];
    });
    if (elected.length === 0 && thing !== undefined) this.#leave(thing, 'no network has real and virt');
    if (elected.length === 0) return [];
    return [{
      key: 'vrrp',
      value: elected.map(({ link, networks }) => {
        const virtual = networks.map((network) => network.virtual!);
        const served = [...this.#listens].filter((address) => !this.#own.has(address) && networks.some(({ prefix }) => contains(prefix, address) && notAHost(prefix, address) === undefined));
        return {
          key: link.name, source: thing === undefined ? sourceOf(networks[0].thing, ...networks.slice(1).map((network) => network.thing)) : sourceOf(thing, ...networks.map((network) => network.thing)),
          comments: [`virt ${virtual.map(formatIpv4).join(' and ')}${served.length === 0 ? '' : `, and where servers listen beside ${virtual.length === 1 ? 'it' : 'them'}`}: of whichever box is master.`],
          value: {
            link: link.name, id, priority, addresses: [...virtual, ...served].map(formatIpv4), preempt: preempt !== undefined && NO.includes(preempt) ? false : undefined,
            syncGroup: elected.length > 1 ? 'box' : undefined,
          },
        };
      }),
    }];
  }

  /** The link to the box itself, where a check needs its sockets. */
  #box(links: readonly Link[]): Entry[] {
    if (!this.#asksByTcp) return [];
    const prefixes = links.flatMap((link) => link.networks.map(({ prefix }) => prefix));
    return [boxLink(prefixes, 'Checks by TCP are asked by the box itself.').entry];
  }

  /** What nothing was made of, though its thing was taken. */
  #leftOvers(thing: Thing): void {
    if (this.#gone.has(thing) && !this.#taken.has(thing)) return;
    for (const { word, values, line, column } of thing.statements) {
      const why = NOT_HERE[thing.kind][word];
      if (why !== undefined) this.#notes.leftOut({ line, column }, `${word} ${values.map(({ text }) => text).join(' ')} of ${title(thing)}`, why);
    }
  }
}

/** Read a bng.conf. */
export function importBng(text: string, notes: Notes, options: ImportOptions): Draft {
  return { head: ['Taken over from a bng.conf.'], sections: new Importer(parseBng(text, notes), notes, options).run() };
}
