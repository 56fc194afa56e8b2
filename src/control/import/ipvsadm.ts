/**
 * From the lines of `ipvsadm -Sn` (or any script of ipvsadm) to virtual servers. The lines are run in their order as `ipvsadm -R` would run
 * them, on a table of our own. A service weir cannot have takes its servers with it; every such line is told with its reason. What ipvsadm does not
 * know (devices, networks, the gateway) comes from the command line, or is guessed and told.
 */
import { formatIpv4 } from '../../wire/address.js';
import { contains, networkOf, notAHost, readAddress, readPrefix, reserved, type Prefix } from '../config/ip.js';
import { formatPorts, PORT_MAX, readVirtualListen, TCP, UDP } from '../config/rule-text.js';
import { NOWHERE, type At, type Draft, type ImportOptions, type MarkOption, type Notes, type Word } from './imported.js';
import { nameOf, type Entry, type Flow } from './yaml.js';

/** What an option takes: nothing, a word, a word or nothing, three words. */
type Takes = 'nothing' | 'word' | 'maybe' | 'three';

/** Every option of ipvsadm(8): its short form (or none), its long one, what it takes. */
export const OPTIONS: readonly (readonly [string, string, Takes])[] = [
  ['A', 'add-service', 'nothing'], ['E', 'edit-service', 'nothing'], ['D', 'delete-service', 'nothing'], ['C', 'clear', 'nothing'],
  ['R', 'restore', 'maybe'], ['S', 'save', 'nothing'], ['a', 'add-server', 'nothing'], ['e', 'edit-server', 'nothing'],
  ['d', 'delete-server', 'nothing'], ['L', 'list', 'nothing'], ['l', 'list', 'nothing'], ['Z', 'zero', 'nothing'], ['', 'set', 'three'],
  ['', 'start-daemon', 'word'], ['', 'stop-daemon', 'word'], ['h', 'help', 'nothing'], ['v', 'version', 'nothing'],
  ['t', 'tcp-service', 'word'], ['u', 'udp-service', 'word'], ['', 'sctp-service', 'word'], ['f', 'fwmark-service', 'word'], ['6', 'ipv6', 'nothing'],
  ['s', 'scheduler', 'word'], ['p', 'persistent', 'maybe'], ['M', 'netmask', 'word'], ['', 'pe', 'word'], ['b', 'sched-flags', 'word'],
  ['o', 'ops', 'nothing'], ['O', 'ops', 'nothing'], ['r', 'real-server', 'word'], ['g', 'gatewaying', 'nothing'], ['i', 'ipip', 'nothing'],
  ['m', 'masquerading', 'nothing'], ['', 'tun-type', 'word'], ['', 'tun-port', 'word'], ['', 'tun-nocsum', 'nothing'], ['', 'tun-csum', 'nothing'],
  ['', 'tun-remcsum', 'nothing'], ['w', 'weight', 'word'], ['x', 'u-threshold', 'word'], ['y', 'l-threshold', 'word'],
  ['', 'mcast-interface', 'word'], ['', 'syncid', 'word'], ['', 'sync-maxlen', 'word'], ['', 'mcast-group', 'word'], ['', 'mcast-port', 'word'],
  ['', 'mcast-ttl', 'word'], ['c', 'connection', 'nothing'], ['', 'timeout', 'nothing'], ['', 'daemon', 'nothing'], ['', 'stats', 'nothing'],
  ['', 'rate', 'nothing'], ['', 'exact', 'nothing'], ['', 'thresholds', 'nothing'], ['', 'persistent-conn', 'nothing'], ['', 'tun-info', 'nothing'],
  ['', 'sort', 'nothing'], ['', 'nosort', 'nothing'], ['n', 'numeric', 'nothing'],
];
const BY_LETTER: ReadonlyMap<string, readonly [string, Takes]> = new Map(OPTIONS.filter(([letter]) => letter !== '').map(([letter, name, takes]) => [letter, [name, takes]]));
const BY_NAME: ReadonlyMap<string, Takes> = new Map(OPTIONS.map(([, name, takes]) => [name, takes]));
const COMMANDS: readonly string[] = [
  'add-service', 'edit-service', 'delete-service', 'clear', 'restore', 'save', 'add-server', 'edit-server', 'delete-server', 'list', 'zero', 'set',
  'start-daemon', 'stop-daemon', 'help', 'version',
];
/** Commands that show or count and leave the table as it is. */
const WITHOUT_EFFECT: readonly string[] = ['restore', 'save', 'list', 'zero', 'help', 'version'];

const SCHEDULERS: readonly string[] = ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos'];
const DEFAULT_SCHEDULER = 'wlc';
/** The one that was marked in the first versions' kernel options, before -s. */
const FIRST_SCHEDULER = 'wrr';
/** Seconds, of -p alone. */
const PERSISTENCE_SECONDS = 300;
/** Seconds a configuration can say at most: 24 days. */
const PERSISTENCE_SECONDS_MAX = 24 * 24 * 60 * 60;
const WEIGHT_MAX = 65_535;
const THRESHOLD_MAX = 16_777_216;
const FTP_PORT = 21;

const CAN_BE = 'a script of ipvsadm, such as ipvsadm -Sn prints';

interface Given extends At { value: string; more: readonly string[] }
type Line = ReadonlyMap<string, Given>;

/** Port 0 = the one the flow came for. */
interface Server { at: At; text: string; address: string; port: number; weight: number; upper: number; lower: number }
/** Where a service listens, as a configuration says it; `port` is that of its only one, or 0. */
interface Listen { text: string; port: number; isAll: boolean; protocols: readonly number[] }
interface Service {
  at: At; text: string; listens: readonly Listen[]; mark: number | undefined; scheduler: string; hashPort: boolean; fallBack: boolean;
  persistence?: { seconds: number; mask: number }; onePacket: boolean; servers: Map<string, Server>;
}
/** A service that is not taken: where it stands, for the lines of its servers. */
interface Refused { refusedAt: At }

type Host = { address: number; port: number | undefined } | { why: string };

/** Words of a line with the columns they begin at. */
function wordsOf(text: string, line: number): Word[] {
  return [...text.matchAll(/\S+/g)].map((match) => ({ text: match[0], line, column: match.index + 1, quoted: false }));
}

class Reader {
  readonly #notes: Notes;
  readonly #own: ReadonlySet<string>;
  readonly #marks: ReadonlyMap<number, readonly Listen[]>;
  readonly #services = new Map<string, Service | Refused>();

  constructor(notes: Notes, own: ReadonlySet<string>, marks: ReadonlyMap<number, readonly Listen[]>) {
    this.#notes = notes;
    this.#own = own;
    this.#marks = marks;
  }

  get services(): Service[] {
    return [...this.#services.values()].filter((service): service is Service => 'servers' in service);
  }

  line(text: string, number: number): void {
    // What a person wrote behind a command of the documentation: (Weighted Least-Connection scheduling).
    const bare = text.replace(/^\s*#.*$/, '').replace(/\s\([^()]*\)\s*$/, '');
    const words = wordsOf(bare, number);
    if (words.length === 0) return;
    const whole = bare.trim();
    const [{ text: first }] = words;
    if (!first.startsWith('-')) {
      if (first === 'sudo') words.shift();
      if (words.length === 0 || !/^(?:\/\S*\/)?(?:ipvsadm|ippfvsadm)$/.test(words[0].text)) {
        this.#notes.leftOut({ line: number, column: 1 + bare.length - bare.trimStart().length }, whole, 'not a line of ipvsadm');
        return;
      }
      words.shift();
    }
    const line = this.#options(words);
    if (line === undefined) return;
    const commands = [...line.keys()].filter((name) => COMMANDS.includes(name) && !(name === 'restore' && line.has('add-service')));
    const at = words[0] ?? { line: number, column: 1 };
    if (commands.length !== 1) {
      this.#notes.error(at, commands.length === 0 ? 'no command of ipvsadm' : `${commands.length} commands of ipvsadm`, 'one of -A, -E, -D, -a, -e, -d and -C');
      return;
    }
    this.#run(commands[0], line, at, whole);
  }

  #options(words: readonly Word[]): Line | undefined {
    const line = new Map<string, Given>();
    const before = this.#notes.errorCount;
    for (let index = 0; index < words.length; index++) {
      const word = words[index];
      const next = (): string | undefined => words[++index]?.text;
      const take = (name: string, takes: Takes, attached: string | undefined): void => {
        let value = attached ?? '';
        const more: string[] = [];
        if (takes === 'word' && attached === undefined) {
          const text = next();
          if (text === undefined) return this.#notes.error(word, `${word.text} without a value`, 'a value behind it');
          value = text;
        } else if (takes === 'maybe' && attached === undefined && words[index + 1] !== undefined && !words[index + 1].text.startsWith('-')) {
          value = next()!;
        } else if (takes === 'three') {
          more.push(...[attached ?? next(), next(), next()].flatMap((text) => text ?? []));
          if (more.length < 3) return this.#notes.error(word, `${word.text} with ${more.length} values`, 'three');
        }
        if (line.has(name)) return this.#notes.error(word, `${word.text} a second time`, 'each option once');
        line.set(name, { value, more, line: word.line, column: word.column });
      };
      if (word.text.startsWith('--')) {
        const [, name, , value] = /^--([^=]*)(=(.*))?$/.exec(word.text)!;
        const takes = BY_NAME.get(name);
        if (takes === undefined || (value !== undefined && takes === 'nothing')) this.#notes.error(word, word.text, 'the options of ipvsadm(8)');
        else take(name, takes, value);
        continue;
      }
      if (!word.text.startsWith('-') || word.text === '-') {
        this.#notes.error(word, `${word.text}, which belongs to no option`, CAN_BE);
        continue;
      }
      // -w2 is -w 2, and -Ln is -L -n.
      for (let place = 1; place < word.text.length; place++) {
        const option = BY_LETTER.get(word.text[place]);
        if (option === undefined) {
          this.#notes.error(word, `-${word.text[place]}`, 'the options of ipvsadm(8)');
          break;
        }
        const rest = word.text.slice(place + 1);
        const attached = option[1] !== 'nothing' && rest !== '' && (option[1] === 'word' || /^\d/.test(rest)) ? rest : undefined;
        take(option[0], option[1], attached);
        if (attached !== undefined) break;
      }
    }
    return this.#notes.errorCount === before ? line : undefined;
  }

  #run(command: string, line: Line, at: At, whole: string): void {
    if (WITHOUT_EFFECT.includes(command)) return;
    switch (command) {
      case 'clear': return this.#services.clear();
      case 'set': return this.#notes.leftOut(at, whole, 'timeouts are those of all flows of the router: timeouts.tcpEstablished, timeouts.tcpClosing, timeouts.udp and timeouts.udpReplied');
      case 'start-daemon': return this.#notes.leftOut(at, whole, 'flows are shared through a Redis server: share: { store: redis, redis: { url: … } }; one router alone needs no such line');
      case 'stop-daemon': return;
      case 'add-service': return line.has('restore') ? this.#old(line, at, whole) : this.#service(line, at, whole, undefined);
      default:
    }
    const key = this.#keyOf(line, at);
    if (key === undefined) return;
    const known = this.#services.get(key);
    if (known === undefined) {
      this.#notes.error(at, `the service ${key}, which no -A before has added`, 'a service that exists');
      return;
    }
    if (command === 'delete-service') {
      this.#services.delete(key);
    } else if (command === 'edit-service') {
      this.#service(line, at, whole, 'servers' in known ? known.servers : new Map());
    } else if ('refusedAt' in known) {
      if (command !== 'delete-server') this.#notes.leftOut(at, whole, `its service, line ${known.refusedAt.line}, was left out`);
    } else {
      this.#server(known, command, line, at, whole);
    }
  }

  /** 'tcp 10.0.0.1:80' for -t and -u, 'fwmark 1' for -f; tells what is neither. */
  #keyOf(line: Line, at: At): string | undefined {
    const kinds = ['tcp-service', 'udp-service', 'sctp-service', 'fwmark-service'].filter((name) => line.has(name));
    if (kinds.length !== 1) {
      this.#notes.error(at, kinds.length === 0 ? 'no service' : `${kinds.length} services`, 'one of -t, -u and -f');
      return undefined;
    }
    const given = line.get(kinds[0])!;
    const kind = kinds[0].split('-')[0];
    if (kind === 'fwmark') {
      if (/^\d{1,10}$/.test(given.value) && Number(given.value) > 0) return `fwmark ${Number(given.value)}`;
      this.#notes.error(given, `the firewall mark ${given.value}`, 'a whole number above 0');
      return undefined;
    }
    const host = this.#host(given, given.value);
    if (host === undefined) return undefined;
    return `${kind} ${'address' in host ? `${formatIpv4(host.address)}:${host.port ?? 0}` : given.value}`;
  }

  /** An address with a port; undefined (and told) when it makes no sense, a reason when it makes sense elsewhere only. */
  #host(at: At, text: string): Host | undefined {
    if (text.startsWith('[') || text.split(':').length > 2) return { why: 'IPv6 is not supported in this version' };
    const [host, portText] = text.split(':');
    const address = readAddress(host);
    if (address === undefined) {
      if (!/^[\d.]*$/.test(host)) return { why: `${host} is a name; ipvsadm -Sn saves addresses` };
      this.#notes.error(at, `${text} (${host === '' ? 'no' : 'not an'} IPv4 address)`, 'an IPv4 address, with or without a port');
      return undefined;
    }
    if (portText === undefined) return { address, port: undefined };
    if (/^\d{1,5}$/.test(portText) && Number(portText) <= PORT_MAX) return { address, port: Number(portText) };
    if (/^[a-z][a-z0-9-]*$/i.test(portText)) return { why: `${portText} is the name of a port; ipvsadm -Sn saves numbers` };
    this.#notes.error(at, `the port ${portText}`, `0 to ${PORT_MAX}`);
    return undefined;
  }

  #number(given: Given | undefined, what: string, most: number, otherwise: number): number | undefined {
    if (given === undefined) return otherwise;
    if (/^\d{1,9}$/.test(given.value) && Number(given.value) <= most) return Number(given.value);
    this.#notes.error(given, `${what} ${given.value}`, `0 to ${most}`);
    return undefined;
  }

  #service(line: Line, at: At, whole: string, servers: Map<string, Server> | undefined): void {
    const key = this.#keyOf(line, at);
    if (key === undefined) return;
    if (servers === undefined && this.#services.has(key)) {
      this.#notes.error(at, `the service ${key} a second time`, 'each service once (-E changes one)');
      return;
    }
    const refuse = (why: string): void => {
      this.#notes.leftOut(at, whole, why);
      this.#services.set(key, { refusedAt: at });
    };
    if (line.has('sctp-service')) return refuse('SCTP is not balanced; a route or a port forward to one server carries it');
    if (line.has('ipv6')) return refuse('IPv6 is not supported in this version');
    let listens: readonly Listen[];
    let mark: number | undefined;
    if (line.has('fwmark-service')) {
      mark = Number(line.get('fwmark-service')!.value);
      const meant = this.#marks.get(mark);
      if (meant === undefined) return refuse(`packets have no marks here: say with --mark ${mark}=ADDRESS:PORT/PROTOCOL,… what the firewall marks so`);
      listens = meant;
    } else {
      const protocol = line.has('tcp-service') ? 'tcp' : 'udp';
      const given = line.get(`${protocol}-service`)!;
      const host = this.#host(given, given.value)!;
      if ('why' in host) return refuse(host.why);
      const is = reserved(host.address);
      if (is !== undefined) return refuse(`nothing is routed to ${is}`);
      const port = host.port ?? 0;
      listens = [{ text: `${formatIpv4(host.address)}:${port === 0 ? '*' : port}/${protocol}`, port, isAll: port === 0, protocols: [protocol === 'tcp' ? TCP : UDP] }];
    }
    const scheduler = this.#scheduler(line);
    const persistence = this.#persistence(line);
    if (persistence === undefined) {
      // Told; its servers need not be told as well.
      this.#services.set(key, { refusedAt: at });
      return;
    }
    const pe = line.get('pe');
    if (pe !== undefined) this.#notes.leftOut(pe, `--pe ${pe.value}`, 'persistence is by the client\'s address only, not by what is in the packets');
    const ops = line.get('ops');
    const isUdp = listens.every(({ protocols }) => protocols.join() === String(UDP));
    if (ops !== undefined && !isUdp) this.#notes.leftOut(ops, '-o', 'single packets are scheduled for UDP only');
    this.#services.set(key, {
      at, text: whole, listens, mark, ...scheduler,
      ...(persistence === 'none' ? {} : { persistence }), onePacket: ops !== undefined && isUdp, servers: servers ?? new Map(),
    });
  }

  #scheduler(line: Line): { scheduler: string; hashPort: boolean; fallBack: boolean } {
    const given = line.get('scheduler');
    let scheduler = given?.value ?? DEFAULT_SCHEDULER;
    if (given !== undefined && !SCHEDULERS.includes(scheduler)) {
      this.#notes.changed(given, `-s ${scheduler}`, `there is no such scheduler here, so it is ${DEFAULT_SCHEDULER}; weir has ${SCHEDULERS.join(', ')}`);
      scheduler = DEFAULT_SCHEDULER;
    }
    const flags = line.get('sched-flags');
    let hashPort = false;
    let fallBack = false;
    for (const flag of flags?.value.split(',') ?? []) {
      const hashes = scheduler === 'sh' || scheduler === 'mh';
      // The kernel's flags of both: the first is to fall back, the second to hash the port.
      if (hashes && (flag === `${scheduler}-fallback` || flag === 'flag-1')) fallBack = true;
      else if (hashes && (flag === `${scheduler}-port` || flag === 'flag-2')) hashPort = true;
      else this.#notes.leftOut(flags!, `-b ${flag}`, `${scheduler} has no such flag${hashes ? `, only ${scheduler}-fallback and ${scheduler}-port` : ''}`);
    }
    return { scheduler, hashPort, fallBack };
  }

  #persistence(line: Line): { seconds: number; mask: number } | 'none' | undefined {
    const given = line.get('persistent');
    const mask = line.get('netmask');
    if (given === undefined) {
      if (mask !== undefined) this.#notes.leftOut(mask, `-M ${mask.value}`, 'a mask of no persistence');
      return 'none';
    }
    if (!/^\d{0,9}$/.test(given.value)) {
      this.#notes.error(given, `a timeout of ${given.value}`, 'whole seconds');
      return undefined;
    }
    let seconds = Number(given.value) || PERSISTENCE_SECONDS;
    if (seconds > PERSISTENCE_SECONDS_MAX) {
      this.#notes.changed(given, `-p ${seconds}`, `persistence lasts ${PERSISTENCE_SECONDS_MAX} seconds at most, so it is that`);
      seconds = PERSISTENCE_SECONDS_MAX;
    }
    if (mask === undefined) return { seconds, mask: 32 };
    const bits = readAddress(mask.value);
    const length = bits === undefined ? -1 : maskLength(bits);
    if (length < 0) {
      this.#notes.error(mask, `the mask ${mask.value}`, 'a netmask, such as 255.255.255.0');
      return undefined;
    }
    if (length > 0) return { seconds, mask: length };
    this.#notes.changed(mask, `-M ${mask.value}`, 'a mask has one bit at least, so it is 128.0.0.0');
    return { seconds, mask: 1 };
  }

  #server(service: Service, command: string, line: Line, at: At, whole: string): void {
    const given = line.get('real-server');
    if (given === undefined) return this.#notes.error(at, 'no real server', '-r ADDRESS[:PORT]');
    const host = this.#host(given, given.value);
    if (host === undefined) return;
    const refuse = (why: string): void => this.#notes.leftOut(at, whole, why);
    if ('why' in host) return command === 'delete-server' ? undefined : refuse(host.why);
    const address = formatIpv4(host.address);
    const isOne = service.listens.every((listen) => listen.port !== 0);
    const isAll = service.listens.some((listen) => listen.isAll);
    const port = host.port ?? (service.mark === undefined ? service.listens[0].port : 0);
    const key = `${address}:${port}`;
    if (command === 'delete-server') {
      service.servers.delete(key);
      return;
    }
    const known = service.servers.get(key);
    if (command === 'add-server' && known !== undefined) return this.#notes.error(given, `the real server ${given.value} a second time`, 'each once (-e changes one)');
    const weight = this.#number(line.get('weight'), 'the weight', WEIGHT_MAX, 1);
    const upper = this.#number(line.get('u-threshold'), 'the threshold', THRESHOLD_MAX, 0);
    const lower = this.#number(line.get('l-threshold'), 'the threshold', THRESHOLD_MAX, 0);
    if (weight === undefined || upper === undefined || lower === undefined) return;
    const is = reserved(host.address);
    if (is !== undefined || this.#own.has(address)) {
      service.servers.delete(key);
      return refuse(`${address} is ${is ?? 'the router itself'}: flows go to other hosts only; what the box itself serves is reached at its own address`);
    }
    // -g is what ipvsadm does without a word about it, and a line that only edits says it again.
    const tunnel = line.get('ipip') ?? ['tun-type', 'tun-port', 'tun-nocsum', 'tun-csum', 'tun-remcsum'].flatMap((name) => line.get(name) ?? []).at(0);
    const direct = line.has('masquerading') ? undefined : tunnel ?? line.get('gatewaying') ?? at;
    if (direct !== undefined) {
      this.#notes.changed(direct, tunnel === undefined ? `-g to ${given.value}` : `-i to ${given.value}`,
        `${tunnel === undefined ? 'direct routing' : 'a tunnel'} becomes NAT (-m): the server must listen on ${address} itself, not on the virtual address, and answer through weir, its default route`);
    }
    if (port !== 0 && isAll) return refuse('a virtual server of all ports keeps them: give the server without a port, or the virtual server one');
    if (port !== 0 && !isOne) return refuse('a virtual server of a row of ports sends each to a port of its own: give the server without a port');
    if (service.mark === undefined && !isAll && port === 0) return refuse('port 0 with a virtual server of one port');
    if (lower > upper) this.#notes.leftOut(line.get('l-threshold')!, `-y ${lower}`, upper === 0 ? 'a lower threshold without an upper one (-x)' : `above the upper one, ${upper}`);
    service.servers.set(key, { at, text: whole, address, port, weight, upper, lower: lower > upper ? 0 : lower });
  }

  /** The first versions': -A with -R adds a real server, and the service with it. */
  #old(line: Line, at: At, whole: string): void {
    const key = this.#keyOf(line, at);
    if (key === undefined) return;
    const server: Line = new Map([...line, ['real-server', line.get('restore')!], ['masquerading', { value: '', more: [], ...at }]]);
    if (!this.#services.has(key)) {
      const scheduler: Given = { ...at, value: FIRST_SCHEDULER, more: [] };
      this.#service(new Map([['scheduler', scheduler], ...line]), at, whole, undefined);
    }
    const service = this.#services.get(key);
    if (service !== undefined && 'servers' in service) this.#server(service, 'add-server', server, at, whole);
  }
}

/** 0 to 32, or -1 for bits that are no netmask. */
export function maskLength(bits: number): number {
  const zeros = 32 - Math.clz32(~bits >>> 0);
  return ((bits >>> 0) + 2 ** zeros) === 2 ** 32 ? 32 - zeros : -1;
}

const dashed = (address: string): string => address.replaceAll('.', '-');

/** '203.0.113.5:80/tcp' to 'tcp-203-0-113-5-80'. */
function listenName(text: string): string {
  const [, host, ports, protocol] = /^([^:]+):([^/]+)\/(.+)$/.exec(text)!;
  return `${protocol}-${dashed(host)}-${ports === '*' ? 'all' : ports}`;
}

/** A virtual server for each place the service listens on; what of it the persistence ties together has one memory. */
function entriesOf(service: Service, taken: Set<string>): Entry[] {
  const { at, text, listens, mark, scheduler, hashPort, fallBack, persistence, onePacket } = service;
  return listens.map((listen): Entry => {
    const servers = [...service.servers.values()].map((server): Entry => {
      const { address, port, weight, upper, lower } = server;
      const isOwn = port !== 0;
      const value: Flow = { address: isOwn ? `${address}:${port}` : address, weight, upper: upper === 0 ? undefined : upper, lower: lower === 0 ? undefined : lower };
      return { key: `rs-${dashed(address)}${isOwn ? `-${port}` : ''}`, source: { line: server.at.line, column: server.at.column, what: server.text }, value };
    });
    const value: Entry[] = [
      { key: 'listen', value: listen.text },
      { key: 'scheduler', value: hashPort || fallBack ? { name: scheduler, hashPort, fallBack } : scheduler },
    ];
    if (persistence !== undefined) {
      value.push({ key: 'persistence', value: { timeout: `${persistence.seconds}s`, mask: persistence.mask, tie: listens.length > 1 ? `mark-${mark}` : undefined } });
    }
    if (onePacket) value.push({ key: 'onePacket', value: true });
    value.push({ key: 'realServers', value: servers });
    return { key: nameOf(listenName(listen.text), 'virtual-server', taken), source: { line: at.line, column: at.column, what: text }, value };
  });
}

/** What each firewall mark stands for, with what makes no sense told. */
function readMarks(marks: readonly MarkOption[], notes: Notes): Map<number, Listen[]> {
  return new Map(marks.map(({ mark, listens }) => [mark, listens.flatMap((text): Listen[] => {
    const read = readVirtualListen(text);
    if (typeof read === 'string') {
      notes.error(NOWHERE, `${text} in --mark ${mark}=… (${read})`, 'ADDRESS:PORT/PROTOCOL, with a port, a range or *, and tcp, udp or both');
      return [];
    }
    const { ports, protocols } = read;
    return [{ text, port: ports.first === ports.last ? ports.first : 0, isAll: formatPorts(ports) === `0-${PORT_MAX}`, protocols }];
  })]));
}

/** The networks people have most; where another one was meant, the file must be edited anyway. */
const GUESSED_LENGTH = 24;

interface Net { prefix: Prefix; addresses: string[] }

/** Two links for a file that says nothing of links: one with the virtual addresses, one on the networks of the servers that are not beside them. */
function guessLinks(services: readonly Service[], notes: Notes): Entry[] {
  const hostOf = (text: string): number | undefined => readAddress(text.split(':')[0]);
  const virtual = new Set(services.flatMap(({ listens }) => listens.flatMap(({ text }) => hostOf(text) ?? [])));
  const real = new Set(services.flatMap(({ servers }) => [...servers.values()].flatMap(({ address }) => hostOf(address) ?? [])));
  const outside = [...virtual].map((address): Prefix => ({ address, prefixLength: GUESSED_LENGTH })).filter((prefix) => notAHost(prefix, prefix.address) === undefined);
  const inside: Net[] = [];
  for (const address of real) {
    if ([...outside, ...inside.map(({ prefix }) => prefix)].some((prefix) => contains(prefix, address))) continue;
    const prefix = { address: networkOf({ address, prefixLength: GUESSED_LENGTH }), prefixLength: GUESSED_LENGTH };
    for (let own = prefix.address + 1; own < prefix.address + 255; own++) {
      if (real.has(own) || virtual.has(own)) continue;
      inside.push({ prefix, addresses: [`${formatIpv4(own)}/${GUESSED_LENGTH}`] });
      break;
    }
  }
  const links: [string, string, string[]][] = [
    ['outside', 'eth0', outside.map(({ address, prefixLength }) => `${formatIpv4(address)}/${prefixLength}`)],
    ['inside', 'eth1', inside.flatMap(({ addresses }) => addresses)],
  ];
  const guesses = links.filter(([, , addresses]) => addresses.length > 0);
  if (guesses.length > 0) {
    notes.guessed(NOWHERE, guesses.map(([name, device, addresses]) => `link ${name} (${device}, ${addresses.join(', ')})`).join(' and '),
      'ipvsadm knows neither devices nor networks; say them with --link NAME=DEVICE,ADDRESS/LENGTH, or with --into FILE what configuration has them');
  }
  return guesses.map(([key, device, addresses]): Entry => ({ key, value: { type: 'raw', device, addresses } }));
}

/** An uplink by the gateway, on the link whose network it is on. */
function uplinkSections(gateway: string, links: readonly Entry[], notes: Notes): Entry[] {
  const address = readAddress(gateway);
  const link = links.find(({ value }) => ((value as { addresses?: string[] }).addresses ?? []).some((text) => {
    const prefix = readPrefix(text);
    return prefix !== undefined && address !== undefined && contains(prefix, address);
  }));
  if (link === undefined) {
    notes.error(NOWHERE, `--gateway ${gateway}`, address === undefined ? 'an IPv4 address' : 'an address on the network of one of the links');
    return [];
  }
  return [
    { key: 'uplinks', value: [{ key: 'router', value: { link: link.key, gateway } }] },
    { key: 'groups', value: [{ key: 'outside', value: { uplinks: ['router'] } }] },
    { key: 'routes', value: [{ key: 'default', value: { to: '0.0.0.0/0', group: 'outside' } }] },
  ];
}

/** Read a script of ipvsadm. */
export function importIpvsadm(text: string, notes: Notes, { links: given, marks = [], gateway, into }: ImportOptions): Draft {
  const own = new Set(given.flatMap(({ addresses }) => addresses.flatMap((one) => {
    const prefix = readPrefix(one);
    return prefix === undefined ? [] : [formatIpv4(prefix.address)];
  })));
  const reader = new Reader(notes, own, readMarks(marks, notes));
  text.split(/\r?\n/).forEach((line, index) => reader.line(line, index + 1));
  const services = reader.services;
  for (const { at, text: whole, servers } of services) if (servers.size === 0) notes.leftOut(at, whole, 'it has no real server left');
  const full = services.filter(({ servers }) => servers.size > 0);
  const names = new Set<string>();
  const virtualServers = full.flatMap((service) => entriesOf(service, names));
  const head = ['Virtual servers taken over from ipvsadm. The real servers\' answers must come back through weir: it is their default route, as with -m it was the box of ipvsadm.'];
  const links = given.length > 0
    ? given.map(({ name, device, addresses }): Entry => ({ key: name, value: { type: 'raw', device, addresses } }))
    : into === undefined ? guessLinks(full, notes) : [];
  const isGuess = given.length === 0 && links.length > 0;
  const uplink = gateway === undefined ? [] : uplinkSections(gateway, links, notes);
  if (uplink.length === 0 && links.length > 0) head.push('Without an uplink only clients on the links\' networks are answered: add uplinks, groups and routes, or import again with --gateway ADDRESS.');
  const ftp = full.some(({ listens }) => listens.some(({ port, isAll, protocols }) => protocols.includes(TCP) && (port === FTP_PORT || isAll)));
  return {
    head,
    sections: [
      { key: 'links', comments: isGuess ? ['Guessed, for ipvsadm knows neither devices nor networks: put in your own.'] : [], value: links },
      ...uplink,
      { key: 'virtualServers', value: virtualServers },
      ...(ftp ? [{ key: 'algs', comments: ['As the module ip_vs_ftp did: data connections follow the control connection to its server.'], value: { ftp: 'on' } }] : []),
    ],
  };
}
