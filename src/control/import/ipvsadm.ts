/**
 * From the lines of `ipvsadm -Sn` (or any script of ipvsadm) to virtual servers. The lines are run in their order as `ipvsadm -R` would run
 * them, on a table of our own. A service weir cannot have takes its servers with it; every such line is told with its reason. What ipvsadm does not
 * know (devices, networks, the gateway) comes from the command line, or is guessed and told.
 */
import { formatIpv4 } from '../../wire/address.js';
import { readAddress, reserved } from '../config/ip.js';
import { PORT_MAX, UDP } from '../config/rule-text.js';
import type { At, Draft, ImportOptions, Notes, Word } from './imported.js';
import {
  DEFAULT_SCHEDULER, entriesOf, ftpSection, IPV6, maskLength, natInstead, NO_SCTP, PERSISTENCE_SECONDS_MAX, readListen, readMarks, refusedAddress, refusedLower, refusedPort, SCHEDULERS,
  THRESHOLD_MAX, unknownMark, WEIGHT_MAX, type Listen, type Server, type Service,
} from './lvs.js';
import { guessLinks, linkEntries, ownAddresses, wayOut } from './surroundings.js';

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

/** The one that was marked in the first versions' kernel options, before -s. */
const FIRST_SCHEDULER = 'wrr';
/** Seconds, of -p alone. */
const PERSISTENCE_SECONDS = 300;

const CAN_BE = 'a script of ipvsadm, such as ipvsadm -Sn prints';

interface Given extends At { value: string; more: readonly string[] }
type Line = ReadonlyMap<string, Given>;

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
    if (text.startsWith('[') || text.split(':').length > 2) return { why: IPV6 };
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
    if (line.has('sctp-service')) return refuse(NO_SCTP);
    if (line.has('ipv6')) return refuse(IPV6);
    let listens: readonly Listen[];
    let tie: string | undefined;
    if (line.has('fwmark-service')) {
      const mark = Number(line.get('fwmark-service')!.value);
      tie = `mark-${mark}`;
      const meant = this.#marks.get(mark);
      if (meant === undefined) return refuse(unknownMark(mark));
      listens = meant;
    } else {
      const protocol = line.has('tcp-service') ? 'tcp' : 'udp';
      const given = line.get(`${protocol}-service`)!;
      const host = this.#host(given, given.value)!;
      if ('why' in host) return refuse(host.why);
      const is = reserved(host.address);
      if (is !== undefined) return refuse(`nothing is routed to ${is}`);
      const port = host.port ?? 0;
      listens = [readListen(`${formatIpv4(host.address)}:${port === 0 ? '*' : port}/${protocol}`) as Listen];
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
      at, text: whole, listens, tie, ...scheduler,
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
    const port = host.port ?? (service.tie === undefined ? service.listens[0].port : 0);
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
    const unreachable = refusedAddress(host.address, this.#own);
    if (unreachable !== undefined) {
      service.servers.delete(key);
      return refuse(unreachable);
    }
    // -g is what ipvsadm does without a word about it, and a line that only edits says it again.
    const tunnel = line.get('ipip') ?? ['tun-type', 'tun-port', 'tun-nocsum', 'tun-csum', 'tun-remcsum'].flatMap((name) => line.get(name) ?? []).at(0);
    const direct = line.has('masquerading') ? undefined : tunnel ?? line.get('gatewaying') ?? at;
    if (direct !== undefined) {
      this.#notes.changed(direct, tunnel === undefined ? `-g to ${given.value}` : `-i to ${given.value}`, natInstead(tunnel !== undefined, address, 'NAT (-m)'));
    }
    const misplaced = refusedPort(service, port);
    if (misplaced !== undefined) return refuse(misplaced);
    if (lower > upper) this.#notes.leftOut(line.get('l-threshold')!, `-y ${lower}`, refusedLower(upper, '-x'));
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

/** Read a script of ipvsadm. */
export function importIpvsadm(text: string, notes: Notes, options: ImportOptions): Draft {
  const { links: given, marks = [], into } = options;
  const reader = new Reader(notes, ownAddresses(given), readMarks(marks, notes));
  text.split(/\r?\n/).forEach((line, index) => reader.line(line, index + 1));
  const services = reader.services;
  for (const { at, text: whole, servers } of services) if (servers.size === 0) notes.leftOut(at, whole, 'it has no real server left');
  const full = services.filter(({ servers }) => servers.size > 0);
  const names = new Set<string>();
  const virtualServers = full.flatMap((service) => entriesOf(service, names));
  const isGuess = given.length === 0 && into === undefined;
  const links = isGuess ? guessLinks(full, 'ipvsadm knows neither devices nor networks', notes) : given;
  const { sections, head } = wayOut(options, links, notes);
  return {
    head: ['Virtual servers taken over from ipvsadm. The real servers\' answers must come back through weir: it is their default route, as with -m it was the box of ipvsadm.', ...head],
    sections: [
      { key: 'links', comments: isGuess ? ['Guessed, for ipvsadm knows neither devices nor networks: put in your own.'] : [], value: linkEntries(links) },
      ...sections,
      { key: 'virtualServers', value: virtualServers },
      ...ftpSection(full),
    ],
  };
}
