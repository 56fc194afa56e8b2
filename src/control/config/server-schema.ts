/** The keys of virtual servers, of the real servers behind them, and of the checks these are given. */
import { SCHEDULERS } from '../../balance/scheduler/registry.js';
import type { SchedulerName, VirtualServerPlan } from '../../base/plan.js';
import { checkKeys, type CheckKeys, type ScriptKeys } from './check-schema.js';
import type { OneOrMore } from './rule-text.js';
import type { Key, Keys, Section } from './schema.js';

export interface ServerScriptKeys extends ScriptKeys { setsWeight: boolean }
export interface ServerHttpKeys { path: string; port?: number; host?: string; tls: boolean; status: OneOrMore<string | number>; body?: string; verify: boolean }
export interface ServerDnsKeys { port?: number; name: string; address?: string }
export interface ServerUdpKeys { port?: number; send: string; expect?: string }

/** What can be asked of a server: each kind at most once, for the target is the server. */
export interface ServerCheckKeys extends Omit<CheckKeys, 'icmp' | 'arp' | 'udp' | 'tcp' | 'http' | 'dns' | 'script' | 'need'> {
  icmp?: object; tcp?: { port?: number }; udp?: ServerUdpKeys; http?: ServerHttpKeys; dns?: ServerDnsKeys; script?: ServerScriptKeys; need?: number;
}
export const SERVER_PROBE_KEYS = ['icmp', 'udp', 'tcp', 'http', 'dns', 'script'] as const;

export interface RealServerKeys { address: string; weight: number; upper: number; lower?: number; check?: 'off' | ServerCheckKeys }
export interface SchedulerKeys { name: SchedulerName; hashPort: boolean; fallBack: boolean }
export interface PersistenceKeys { timeout: string; mask: number; tie?: string }
export interface QuorumKeys { weight: number; hysteresis: number }
export interface VirtualServerKeys {
  listen: OneOrMore<string>; scheduler: SchedulerName | SchedulerKeys; persistence?: PersistenceKeys; onePacket: boolean; slowStart: string;
  onServerDown: VirtualServerPlan['onServerDown']; sorry?: string; quorum?: QuorumKeys; snat: VirtualServerPlan['snat']; check?: ServerCheckKeys;
  realServers: Readonly<Record<string, RealServerKeys>>;
}

/** A check of a server nobody gave a timeout. */
export const SERVER_TIMEOUT_MS = 2000;

const port: Key = {
  format: 'integer', min: 1, max: 65_535, default: undefined, example: '8080',
  doc: 'The port that is asked; without it, the one flows are sent to.',
};

const { loss, latency, jitter, damping, interval, timeout, fall, rise, initial, window, need, http, dns, script } = checkKeys;

export const serverCheckKeys: Keys<ServerCheckKeys> = {
  icmp: {
    format: 'map', default: undefined, example: '{}', part: { one: 'a check by ping', keys: {} },
    doc: 'The server must answer an echo request (ping).',
  },
  udp: {
    format: 'map', default: undefined, example: '{ send: ping, expect: pong }',
    doc: 'A datagram is sent to the server, which must not answer that nobody listens.',
    part: {
      one: 'a check by UDP',
      keys: {
        port,
        send: { format: 'text', default: 'weir', doc: 'The text that is sent.' },
        expect: { format: 'text', default: undefined, example: 'pong', doc: 'A text its answer must hold; without it, silence is good as well.' },
      },
    },
  },
  tcp: {
    format: 'map', default: undefined, example: '{}', part: { one: 'a check by TCP', keys: { port } },
    doc: 'The server must take a TCP connection; it is closed at once.',
  },
  http: {
    format: 'map', default: undefined, example: '{ path: /health }',
    doc: 'The server must answer a GET.',
    part: {
      one: 'a check by HTTP',
      keys: {
        path: { format: 'path', default: '/', doc: 'What is asked for.' },
        port,
        host: { format: 'hostName', default: undefined, example: 'www.example.com', doc: 'The host the server is asked as; without it, its address.' },
        tls: { format: 'boolean', default: false, doc: 'Whether it is asked by HTTPS.' },
        status: http.part!.keys.status,
        body: http.part!.keys.body,
        verify: { ...http.part!.keys.verify, default: false },
      },
    },
  },
  dns: {
    format: 'map', default: undefined, example: '{ name: example.com }',
    doc: 'The server must answer a DNS question; any answer will do but a failure or a refusal.',
    part: { one: 'a check by DNS', keys: { port, name: dns.part!.keys.name, address: dns.part!.keys.address } },
  },
  script: {
    format: 'map', default: undefined, example: '{ command: [/usr/local/lib/weir/check-server, "{address}", "{port}"] }',
    doc: 'A program that must end with exit code 0 in time, run without a shell.',
    part: {
      one: 'a script',
      keys: {
        command: { ...script.part!.keys.command, doc: 'The program by its whole path, or a list of it and its arguments, in which {address} and {port} stand for the server\'s.' },
        user: script.part!.keys.user,
        setsWeight: { format: 'boolean', default: false, doc: 'Whether exit codes 2 to 255 are good as well and set the weight to the code less 2.' },
      },
    },
  },
  need: { ...need, default: undefined, example: '1', doc: 'How many of the kinds must be good; without it, all of them.' },
  interval: { ...interval, default: '3s' },
  timeout: { ...timeout, doc: 'A server that has not answered after this time has failed; not above interval. Without it, 2s, or four fifths of an interval below 2s500ms.' },
  fall, rise: { ...rise, default: 2 }, initial, window, loss, latency, jitter,
  damping: { ...damping, default: 'off' },
};

const serverCheck: NonNullable<Key['part']> = { one: 'a check', keys: serverCheckKeys };

const SCHEDULER_NAMES: readonly SchedulerName[] = SCHEDULERS.map(({ name }) => name);
/** Schedulers that hash the client, and have their options. */
export const HASHING: readonly SchedulerName[] = SCHEDULERS.filter(({ by }) => by === 'source').map(({ name }) => name);
/** Schedulers that give to whoever has the fewest flows. */
export const COUNTING: readonly SchedulerName[] = ['lc', 'wlc', 'sed', 'nq'];

const realServers: Keys<RealServerKeys> = {
  address: {
    format: 'target', default: undefined, required: true,
    doc: 'The server\'s address, with the port flows are sent to unless it is the one they came for; a row of ports goes to a row of as many, in order.',
  },
  weight: {
    format: 'integer', min: 0, max: 65_535, default: 1,
    doc: 'Its share, relative to the others; 0 takes no new flows and keeps the old ones.',
  },
  upper: {
    format: 'integer', min: 0, max: 16_777_216, unit: 'flows', default: 0,
    doc: 'With so many flows it gets no more; 0 is no limit.',
  },
  lower: {
    format: 'integer', min: 1, max: 16_777_216, unit: 'flows', default: undefined, example: '750',
    doc: 'To so many its flows must have fallen before it gets more again; without it, three quarters of upper.',
  },
  check: {
    format: 'choiceOrMap', choices: ['off'], default: undefined, example: '{ tcp: { port: 8080 } }', part: serverCheck,
    doc: 'A check of its own instead of the virtual server\'s; off is none.',
  },
};

export const virtualServers: Section<VirtualServerKeys> = {
  named: true,
  one: 'a virtual server',
  doc: 'Addresses and ports whose new flows are handed to real servers. What they answer bears the virtual server\'s address; what they send of their own accord is routed like anything else.',
  most: 4096,
  later: [],
  keys: {
    listen: {
      format: 'listens', default: undefined, required: true,
      doc: 'Where it listens: an address, or a link for all its addresses, with the port, a range, or * for all, and the protocol; a list must agree in ports and protocol.',
    },
    scheduler: {
      format: 'choiceOrMap', choices: SCHEDULER_NAMES, default: 'wlc',
      doc: 'How a server is chosen for a new flow, by the names ipvsadm has for it; twos is the better of two drawn at random, resilient keeps to the client\'s address and port with the fewest changes.',
      part: {
        one: 'a scheduler',
        keys: {
          name: { format: 'choice', choices: SCHEDULER_NAMES, default: undefined, required: true, doc: 'Its name.' },
          hashPort: { format: 'boolean', default: false, doc: 'For sh and mh: hashes the client\'s port as well as its address.' },
          fallBack: { format: 'boolean', default: false, doc: 'For sh and mh: takes another server where the one that was meant is not usable.' },
        },
      },
    },
    persistence: {
      format: 'map', default: undefined, example: '{ timeout: 5m, mask: 32 }',
      doc: 'Brings a client back to the server it had; without it, every flow is scheduled by itself.',
      part: {
        one: 'a persistence',
        keys: {
          timeout: { format: 'duration', min: '1s', max: '24d', default: '5m', doc: 'How long after its last flow has ended.' },
          mask: { format: 'integer', min: 1, max: 32, unit: 'bits', default: 32, doc: 'How much of the client\'s address counts: with 24, a whole /24 comes back to one server.' },
          tie: { format: 'label', default: undefined, example: 'shop', doc: 'Virtual servers with the same word share what they remember, so that a client has one server for all their ports.' },
        },
      },
    },
    onePacket: {
      format: 'boolean', default: false,
      doc: 'Schedules every packet by itself, whatever flow it is of; UDP only.',
    },
    slowStart: {
      format: 'duration', min: '0s', max: '1h', default: '0s',
      doc: 'In this time the weight of a server that has come up grows from little to the whole.',
    },
    onServerDown: {
      format: 'choice', choices: ['reset', 'keep', 'move'], default: 'reset',
      doc: 'What becomes of the flows of a server that goes down or is taken away: reset tells the client, keep leaves them (those of UDP go elsewhere), move hands them to another server, which a TCP server answers by a reset.',
    },
    sorry: {
      format: 'target', default: undefined, example: '10.0.1.99:80',
      doc: 'The server that gets new flows while the others have no quorum.',
    },
    quorum: {
      format: 'map', default: undefined, example: '{ weight: 2, hysteresis: 1 }',
      doc: 'How much weight must be usable; without it, any.',
      part: {
        one: 'a quorum',
        keys: {
          weight: { format: 'integer', min: 1, max: 16_777_216, default: 1, doc: 'With less usable weight than this, the virtual server is down.' },
          hysteresis: { format: 'integer', min: 0, max: 16_777_216, default: 0, doc: 'With so much more it is up again.' },
        },
      },
    },
    snat: {
      format: 'choice', choices: ['auto', 'always', 'never'], default: 'auto',
      doc: 'Whether the client\'s address is translated too: auto only for clients on the server\'s own network, whose answers would not come back here, always for all, never for none.',
    },
    check: {
      format: 'map', default: undefined, example: '{ tcp: {} }', part: serverCheck,
      doc: 'How it is found out which servers work; without it, all count as up while the link they are on has carrier.',
    },
    realServers: {
      format: 'eachName', of: 'a real server', default: undefined, required: true, example: '{ web1: { address: 10.0.1.11 } }',
      each: { format: 'map', default: undefined, doc: 'The real server.', part: { one: 'a real server', keys: realServers } },
      doc: 'The servers, by name.',
    },
  },
};
