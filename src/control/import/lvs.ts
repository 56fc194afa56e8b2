/**
 * What ipvsadm and keepalived have in common: both fill the kernel's table of virtual servers (LVS), whose words for schedulers, flags, thresholds
 * and ways of forwarding they share. A service of that table, and the virtual servers a configuration has for it.
 */
import { formatIpv4 } from '../../wire/address.js';
import { reserved } from '../config/ip.js';
import { formatPorts, PORT_MAX, readVirtualListen, TCP } from '../config/rule-text.js';
import { NOWHERE, type At, type MarkOption, type Notes } from './imported.js';
import { nameOf, type Entry, type Flow } from './yaml.js';

export const SCHEDULERS: readonly string[] = ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos'];
export const DEFAULT_SCHEDULER = 'wlc';
/** Seconds a configuration can say at most: 24 days. */
export const PERSISTENCE_SECONDS_MAX = 24 * 24 * 60 * 60;
export const WEIGHT_MAX = 65_535;
export const THRESHOLD_MAX = 16_777_216;
const FTP_PORT = 21;

export const IPV6 = 'IPv6 is not supported in this version';
export const NO_SCTP = 'SCTP is not balanced; a route or a port forward to one server carries it';

/** Port 0 = the one the flow came for. */
export interface Server {
  at: At; text: string; address: string; port: number; weight: number | undefined; upper: number; lower: number;
  check?: Flow | undefined; comments?: readonly string[];
}
/** Where a service listens, as a configuration says it, with one row of ports; `port` is the only one of the row, or 0. */
export interface Listen { texts: readonly string[]; port: number; isAll: boolean; protocols: readonly number[] }
export interface Service {
  at: At; text: string; listens: readonly Listen[];
  /** The word that ties what is remembered where the service listens in several ways. Absent = it listens on one address and port. */
  tie?: string | undefined;
  scheduler: string; hashPort: boolean; fallBack: boolean;
  persistence?: { seconds: number; mask: number }; onePacket: boolean; servers: Map<string, Server>;
  /** Further keys, and what is said of all of it. */
  more?: readonly Entry[]; comments?: readonly string[];
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

/** A virtual server for each row of ports the service listens on; what of it the persistence ties together has one memory. */
export function entriesOf(service: Service, taken: Set<string>): Entry[] {
  const { at, text, listens, tie, scheduler, hashPort, fallBack, persistence, onePacket, more = [], comments } = service;
  return listens.map((listen): Entry => {
    const servers = [...service.servers.values()].map((server): Entry => {
      const { address, port, weight, upper, lower, check, comments: own } = server;
      const isOwn = port !== 0;
      const value: Flow = {
        address: isOwn ? `${address}:${port}` : address, weight, upper: upper === 0 ? undefined : upper, lower: lower === 0 ? undefined : lower, check,
      };
      return { key: `rs-${dashed(address)}${isOwn ? `-${port}` : ''}`, source: { ...server.at, what: server.text }, ...(own === undefined ? {} : { comments: own }), value };
    });
    const value: Entry[] = [
      { key: 'listen', value: listen.texts.length === 1 ? listen.texts[0] : listen.texts },
      { key: 'scheduler', value: hashPort || fallBack ? { name: scheduler, hashPort, fallBack } : scheduler },
    ];
    if (persistence !== undefined) {
      value.push({ key: 'persistence', value: { timeout: `${persistence.seconds}s`, mask: persistence.mask, tie: listens.length > 1 ? tie : undefined } });
    }
    if (onePacket) value.push({ key: 'onePacket', value: true });
    value.push(...more, { key: 'realServers', value: servers });
    return { key: nameOf(listenName(listen.texts[0]), 'virtual-server', taken), source: { ...at, what: text }, ...(comments === undefined ? {} : { comments }), value };
  });
}

/** Where a virtual server listens that is said as ADDRESS:PORT/PROTOCOL; a word on why it makes no sense. */
export function readListen(text: string): Listen | string {
  const read = readVirtualListen(text);
  if (typeof read === 'string') return read;
  const { ports, protocols } = read;
  return { texts: [text], port: ports.first === ports.last ? ports.first : 0, isAll: formatPorts(ports) === `0-${PORT_MAX}`, protocols };
}

/** What each firewall mark stands for, with what makes no sense told. */
export function readMarks(marks: readonly MarkOption[], notes: Notes): Map<number, Listen[]> {
  return new Map(marks.map(({ mark, listens }) => [mark, listens.flatMap((text): Listen[] => {
    const read = readListen(text);
    if (typeof read !== 'string') return [read];
    notes.error(NOWHERE, `${text} in --mark ${mark}=… (${read})`, 'ADDRESS:PORT/PROTOCOL, with a port, a range or *, and tcp, udp or both');
    return [];
  })]));
}

/** Why a service of a firewall mark nobody explained is left out. */
export function unknownMark(mark: number): string {
  return `packets have no marks here: say with --mark ${mark}=ADDRESS:PORT/PROTOCOL,… what the firewall marks so`;
}

/** Why a server cannot have an address; undefined = it can. */
export function refusedAddress(address: number, own: ReadonlySet<string>): string | undefined {
  const text = formatIpv4(address);
  const is = reserved(address);
  if (is === undefined && !own.has(text)) return undefined;
  return `${text} is ${is ?? 'the router itself'}: flows go to other hosts only; what the box itself serves is reached at its own address`;
}

/** Why a server cannot have a port (0 = the one the flow came for) where its service listens as it does; undefined = it can. */
export function refusedPort({ listens, tie }: Service, port: number): string | undefined {
  const isAll = listens.some((listen) => listen.isAll);
  if (port !== 0 && isAll) return 'a virtual server of all ports keeps them: give the server without a port, or the virtual server one';
  if (port !== 0 && !listens.every((listen) => listen.port !== 0)) return 'a virtual server of a row of ports sends each to a port of its own: give the server without a port';
  return tie === undefined && !isAll && port === 0 ? 'port 0 with a virtual server of one port' : undefined;
}

/** What becomes of a way of forwarding other than NAT, which the file's own words call `nat`. */
export function natInstead(isTunnel: boolean, address: string, nat: string): string {
  return `${isTunnel ? 'a tunnel' : 'direct routing'} becomes ${nat}: the server must listen on ${address} itself, not on the virtual address, and answer through weir, its default route`;
}

/** Why a lower threshold makes no sense beside the upper one, which the file's own words call `word`. */
export function refusedLower(upper: number, word: string): string {
  return upper === 0 ? `a lower threshold without an upper one (${word})` : `above the upper one, ${upper}`;
}

/** Data connections of FTP followed their control connection by a module of the kernel. */
export function ftpSection(services: readonly Service[]): Entry[] {
  const isFtp = services.some(({ listens }) => listens.some(({ port, isAll, protocols }) => protocols.includes(TCP) && (port === FTP_PORT || isAll)));
  return isFtp ? [{ key: 'algs', comments: ['As the module ip_vs_ftp did: data connections follow the control connection to its server.'], value: { ftp: 'on' } }] : [];
}
