/** The keys of a health check: what is asked of whom, how often, and what is made of the answers. The same keys serve whatever is checked. */
import type { OneOrMore } from './rule-text.js';
import type { Key, Keys } from './schema.js';

export interface HttpKeys { url: string; status: OneOrMore<string | number>; body?: string; verify: boolean }
export interface DnsKeys { server: string; name: string; address?: string }
export interface HopKeys { target: string; ttl: number }
export interface ScriptKeys { command: OneOrMore<string>; user: string }
export interface PartThresholdKeys { fail: string; recover?: string }
export interface DampingKeys { halfLife: string; suppress: number; reuse: number; most: string }

export interface CheckKeys {
  icmp?: OneOrMore<string>; arp?: OneOrMore<string>; udp?: HopKeys[]; tcp?: OneOrMore<string>; http?: HttpKeys[]; dns?: DnsKeys[]; script?: ScriptKeys[];
  need: number; interval: string; timeout?: string; fall: number; rise: number; initial: 'up' | 'down'; window: number;
  loss?: PartThresholdKeys; latency?: PartThresholdKeys; jitter?: PartThresholdKeys;
  damping: 'on' | 'off' | DampingKeys;
}

/** The keys of a check that name targets, in the order in which they are asked. */
export const PROBE_KEYS = ['icmp', 'arp', 'udp', 'tcp', 'http', 'dns', 'script'] as const;
export type ProbeKey = (typeof PROBE_KEYS)[number];

/** Targets of one check: each is asked in every round. */
export const PROBES_MAX = 32;

/** A timeout nobody gave: this, or this part of an interval that is too short for it. */
export const TIMEOUT_MS = 800;
export const TIMEOUT_PART = 0.8;

const damping: Keys<DampingKeys> = {
  halfLife: {
    format: 'duration', fine: true, min: '1s', max: '1h', default: '1m',
    doc: 'In this time the penalty for going down, 1 each time, falls to half.',
  },
  suppress: {
    format: 'number', min: 1, max: 100, default: 3,
    doc: 'The penalty from which on it stays down, whatever the checks say.',
  },
  reuse: {
    format: 'number', min: 0.1, max: 100, default: 1.5,
    doc: 'The penalty below which the checks decide again; below suppress.',
  },
  most: {
    format: 'duration', fine: true, min: '1s', max: '1d', default: '10m',
    doc: 'It stays down no longer than this on account of its past.',
  },
};

const span = (what: string): NonNullable<Key['part']> => ({
  one: `a threshold of ${what}`,
  keys: {
    fail: { format: 'duration', fine: true, min: '1ms', max: '1m', default: undefined, required: true, doc: 'Above this it is down.' },
    recover: {
      format: 'duration', fine: true, min: '0s', max: '1m', default: undefined, example: '500ms',
      doc: 'At this or below it may be up again; without it, half of fail.',
    },
  },
});

const loss: NonNullable<Key['part']> = {
  one: 'a threshold of loss',
  keys: {
    fail: { format: 'percent', min: '1%', max: '100%', default: undefined, required: true, doc: 'Above this it is down.' },
    recover: {
      format: 'percent', min: '0%', max: '100%', default: undefined, example: '10%',
      doc: 'At this or below it may be up again; without it, half of fail.',
    },
  },
};

/** Of a check by `gateway` only where there is one: the words are those of an uplink's check. */
export const checkKeys: Keys<CheckKeys> = {
  icmp: {
    format: 'someHosts', default: undefined, example: '[192.0.2.1, 192.0.2.2]',
    doc: 'Addresses that must answer an echo request (ping); gateway is the uplink\'s own.',
  },
  arp: {
    format: 'someHosts', default: undefined, example: 'gateway',
    doc: 'Addresses on the link that must answer an ARP request; gateway is the uplink\'s own.',
  },
  udp: {
    format: 'targets', short: 'target', default: undefined, example: '{ target: 192.0.2.3, ttl: 3 }',
    doc: 'Addresses towards which a hop must answer: a datagram is sent that may go only so many hops, and the last of them says that its time is over.',
    part: {
      one: 'a target by hops',
      keys: {
        target: { format: 'hop', default: undefined, required: true, doc: 'The address it is sent to, with the port unless it is 33434.' },
        ttl: { format: 'integer', min: 1, max: 255, unit: 'hops', default: 2, doc: 'The hops it may go; 1 is answered by the gateway, 2 by what lies right behind it.' },
      },
    },
  },
  tcp: {
    format: 'someEndpoints', default: undefined, example: 'example.com:443',
    doc: 'Hosts whose port must take a TCP connection; it is closed at once. Asked by the box itself through a tun link with a peer.',
  },
  http: {
    format: 'targets', short: 'url', default: undefined, example: 'https://example.com/health',
    doc: 'URLs that must answer a GET. Asked by the box itself through a tun link with a peer.',
    part: {
      one: 'a target by HTTP',
      keys: {
        url: { format: 'url', default: undefined, required: true, doc: 'The URL, http or https; redirections are answers and not followed.' },
        status: { format: 'statuses', default: ['200-399'], doc: 'The status codes that are good.' },
        body: { format: 'text', default: undefined, example: 'ready', doc: 'A text the answer\'s body must hold.' },
        verify: { format: 'boolean', default: true, doc: 'Whether a certificate must be valid and made out to the host.' },
      },
    },
  },
  dns: {
    format: 'targets', short: 'server', default: undefined, example: '192.0.2.53',
    doc: 'DNS servers that must answer a question; any answer will do but a failure or a refusal. Asked by the box itself through a tun link with a peer.',
    part: {
      one: 'a target by DNS',
      keys: {
        server: { format: 'server', default: undefined, required: true, doc: 'The server\'s address, with the port unless it is 53.' },
        name: { format: 'hostName', default: 'example.com', doc: 'The name whose IPv4 addresses are asked for.' },
        address: { format: 'address', default: undefined, example: '192.0.2.80', doc: 'The address that must be among the answers; without it, any answer will do.' },
      },
    },
  },
  script: {
    format: 'targets', short: 'command', default: undefined, example: '[/usr/local/lib/weir/check-isp, isp1]',
    doc: 'Programs that must end with exit code 0 in time, run without a shell.',
    part: {
      one: 'a script',
      keys: {
        command: { format: 'command', default: undefined, required: true, doc: 'The program by its whole path, or a list of it and its arguments.' },
        user: { format: 'userName', default: 'nobody', doc: 'The user it runs as.' },
      },
    },
  },
  need: {
    format: 'integer', min: 1, max: PROBES_MAX, unit: 'targets', default: 1,
    doc: 'How many of all targets must answer for a round to be good.',
  },
  interval: {
    format: 'duration', fine: true, min: '100ms', max: '1h', default: '1s',
    doc: 'From the beginning of one round to that of the next.',
  },
  timeout: {
    format: 'duration', fine: true, min: '10ms', max: '1h', default: undefined, example: '800ms',
    doc: 'A target that has not answered after this time has failed; not above interval. Without it, 800ms, or four fifths of an interval below 1s.',
  },
  fall: {
    format: 'integer', min: 1, max: 1000, unit: 'rounds', default: 3,
    doc: 'Bad rounds in a row until it is down.',
  },
  rise: {
    format: 'integer', min: 1, max: 1000, unit: 'rounds', default: 3,
    doc: 'Good rounds in a row until it is up again.',
  },
  initial: {
    format: 'choice', choices: ['up', 'down'], default: 'up',
    doc: 'What it counts as until the checks have come to a verdict.',
  },
  window: {
    format: 'integer', min: 2, max: 1000, unit: 'rounds', default: 20,
    doc: 'The last rounds that loss, latency and jitter are taken from.',
  },
  loss: {
    format: 'map', default: undefined, example: '{ fail: 40%, recover: 10% }', part: loss,
    doc: 'How much of what was asked within the window may have stayed unanswered; without it, loss is shown only.',
  },
  latency: {
    format: 'map', default: undefined, example: '{ fail: 1s, recover: 500ms }', part: span('latency'),
    doc: 'How long answers may have taken on the average; without it, latency is shown only.',
  },
  jitter: {
    format: 'map', default: undefined, example: '{ fail: 200ms, recover: 100ms }', part: span('jitter'),
    doc: 'How much one answer\'s time may have differed from the next one\'s on the average; without it, jitter is shown only.',
  },
  damping: {
    format: 'choiceOrMap', choices: ['on', 'off'], default: 'on', part: { one: 'the damping', keys: damping },
    doc: 'Keeps what goes up and down again and again down until it has been quiet for a while (as RFC 2439 does with routes); on is the map with its defaults.',
  },
};

export const checkPart: NonNullable<Key['part']> = { one: 'a check', keys: checkKeys };
