/** The keys of virtual routers, of what is shared with other instances, and of how the store is reached. */
import type { SharePlan, VrrpPlan, VrrpTrackPlan } from '../../base/plan.js';
import { OWNER_PRIORITY } from '../../wire/vrrp.js';
import type { OneOrMore } from './rule-text.js';
import type { Keys, Section } from './schema.js';

export interface TrackKeys { name: string; kind?: VrrpTrackPlan['kind']; weight: number }
export interface AnnouncementsKeys { count: number; again: string; refresh: string }
export interface VrrpKeys {
  link: string; id: number; version: VrrpPlan['version']; priority: number; addresses: string[]; interval: string; preempt: boolean; preemptDelay: string;
  peers?: OneOrMore<string>; checksum: VrrpPlan['checksum']; virtualMac: boolean; accept: boolean; password?: string; passwordFile?: string;
  track?: TrackKeys[]; syncGroup?: string; announcements?: AnnouncementsKeys;
}

export interface TlsKeys { ca?: string; cert?: string; key?: string; servername?: string; verify: boolean }
export interface RedisKeys {
  url?: string; sentinels?: OneOrMore<string>; sentinelName?: string; sentinelPassword?: string; sentinelPasswordFile?: string; cluster?: OneOrMore<string>;
  prefix: string; username?: string; password?: string; passwordFile?: string; tls: 'on' | 'off' | TlsKeys; timeout: string;
}
export interface ShareKeys {
  store: SharePlan['store']; instance?: string; redis?: RedisKeys; require: boolean; flush: string; hold: string; lease: string; portBlock: number; alive: string;
}

const track: Keys<TrackKeys> = {
  name: {
    format: 'reference', of: 'an uplink, a virtual server or a link', default: undefined, required: true,
    doc: 'What is watched.',
  },
  kind: {
    format: 'choice', choices: ['link', 'uplink', 'virtualServer'], default: undefined, example: 'uplink',
    doc: 'What the name is of, where things of several kinds have it.',
  },
  weight: {
    format: 'integer', min: 0, max: 254, default: 254,
    doc: 'While it is down, so much is taken off the priority, down to 1: with 254 any other router comes first, and yet one serves where all have lost theirs; with 0 this one stands aside altogether.',
  },
};

const announcements: Keys<AnnouncementsKeys> = {
  count: {
    format: 'integer', min: 1, max: 20, default: 5,
    doc: 'How many are sent at once for each address.',
  },
  again: {
    format: 'duration', fine: true, min: '0s', max: '1m', default: '5s',
    doc: 'After this time as many are sent again, for who missed the first; 0s is never.',
  },
  refresh: {
    format: 'duration', fine: true, min: '0s', max: '1d', default: '0s',
    doc: 'One for each address is sent so often while it is master; 0s is never.',
  },
};

export const vrrp: Section<VrrpKeys> = {
  named: true,
  one: 'a virtual router',
  doc: 'Addresses that one of several routers has at a time, elected by VRRP (RFC 9568): the others wait until it is heard of no more. Elsewhere they may stand wherever an address of the router\'s own may: in snat, and where port forwards and virtual servers listen.',
  most: 1024,
  later: [],
  keys: {
    link: {
      format: 'reference', of: 'a link', default: undefined, required: true,
      doc: 'The link the addresses are on and the election is held on, a tap or a raw one.',
    },
    id: {
      format: 'integer', min: 1, max: 255, default: undefined, required: true,
      doc: 'The number of the virtual router (VRID), the same in all its routers and different from every other\'s on the same wire.',
    },
    version: {
      format: 'integer', min: 2, max: 3, default: 3,
      doc: 'The version of the protocol: 2 (RFC 3768) is for routers that know no other.',
    },
    priority: {
      format: 'integer', min: 1, max: OWNER_PRIORITY, default: 100,
      doc: 'The highest is master; 255 is for the router whose link has the addresses as its own, and for nobody else.',
    },
    addresses: {
      format: 'virtualAddresses', default: undefined, required: true,
      doc: 'The addresses, the same in all its routers; without a prefix length they have that of the link\'s network.',
    },
    interval: {
      format: 'duration', fine: true, min: '10ms', max: '4m15s', default: '1s',
      doc: 'How often the master tells of itself, the same in all its routers: steps of 10ms up to 40s950ms in version 3, whole seconds in version 2. A master that fell silent is replaced after little more than three of them.',
    },
    preempt: {
      format: 'boolean', default: true,
      doc: 'Whether it takes over from a master of lower priority.',
    },
    preemptDelay: {
      format: 'duration', fine: true, min: '0s', max: '1h', default: '0s',
      doc: 'How long it waits before it does so, from its start or from the moment it could.',
    },
    peers: {
      format: 'someAddresses', default: undefined, example: '[10.0.1.3]',
      doc: 'The other routers\' own addresses, where multicast does not reach them: adverts are sent to each and taken from these alone; without it, they go to 224.0.0.18.',
    },
    checksum: {
      format: 'choice', choices: ['pseudo-header', 'plain'], default: 'pseudo-header',
      doc: 'How adverts of version 3 are summed: with a pseudo-header, as RFC 5798 was read by keepalived and many others, or plain, as RFC 9568 §5.2.8 has it; what comes may be summed either way.',
    },
    virtualMac: {
      format: 'boolean', default: true,
      doc: 'Uses the virtual router\'s MAC address (00:00:5e:00:01 and the id), so that neighbours need learn nothing when the master changes; false uses the link\'s own.',
    },
    accept: {
      format: 'boolean', default: true,
      doc: 'Answers for the addresses itself while it is master (ping, and what the box offers); false leaves them to translation and virtual servers alone (RFC 9568 calls it Accept_Mode).',
    },
    password: {
      format: 'secret', default: undefined, secret: 'whole', example: 'sesame',
      doc: 'The simple password of version 2, at most 8 bytes; it travels in the clear.',
    },
    passwordFile: {
      format: 'filePath', default: undefined, instead: 'password', example: '/etc/weir/vrrp.password',
      doc: 'A file that holds the password, instead of password.',
    },
    track: {
      format: 'targets', short: 'name', default: undefined, example: '[isp1, { name: web, weight: 50 }]', part: { one: 'a tracked thing', keys: track },
      doc: 'Uplinks, virtual servers and links without which it should rather not be master, by name or as a map.',
    },
    syncGroup: {
      format: 'label', default: undefined, example: 'gateway',
      doc: 'Virtual routers with the same word are masters together or not at all.',
    },
    announcements: {
      format: 'map', default: undefined, example: '{ count: 5, again: 5s, refresh: 0s }', part: { one: 'the announcements', keys: announcements },
      doc: 'The gratuitous ARP that tells the network who has the addresses now.',
    },
  },
};

const tls: Keys<TlsKeys> = {
  ca: { format: 'filePath', default: undefined, example: '/etc/weir/redis-ca.pem', doc: 'The certificates (PEM) that may have signed the store\'s; without it, those the system trusts.' },
  cert: { format: 'filePath', default: undefined, example: '/etc/weir/redis.pem', doc: 'The certificate (PEM) shown to the store.' },
  key: { format: 'filePath', default: undefined, example: '/etc/weir/redis.key', doc: 'Its key (PEM).' },
  servername: { format: 'hostName', default: undefined, example: 'redis.example.com', doc: 'The name the store\'s certificate must be made out to; without it, the host it is reached by.' },
  verify: { format: 'boolean', default: true, doc: 'Whether the store\'s certificate must be valid.' },
};

const redis: Keys<RedisKeys> = {
  url: {
    format: 'redisUrl', default: undefined, secret: 'url', example: 'redis://10.0.9.1:6379/0',
    doc: 'A server: redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH; a user and a password may stand before the host.',
  },
  sentinels: {
    format: 'hostPorts', default: undefined, instead: 'url', example: '[10.0.9.1:26379, 10.0.9.2:26379, 10.0.9.3:26379]',
    doc: 'Sentinels that know which server is the master, each as HOST:PORT, instead of url.',
  },
  sentinelName: {
    format: 'word', default: undefined, instead: 'url', example: 'mymaster',
    doc: 'The name the sentinels have for the master.',
  },
  sentinelPassword: {
    format: 'secret', default: undefined, secret: 'whole', instead: 'url', example: 'sesame',
    doc: 'The sentinels\' own password.',
  },
  sentinelPasswordFile: {
    format: 'filePath', default: undefined, instead: 'sentinelPassword', example: '/etc/weir/sentinel.password',
    doc: 'A file that holds it, instead of sentinelPassword.',
  },
  cluster: {
    format: 'hostPorts', default: undefined, instead: 'url', example: '[10.0.9.1:6379, 10.0.9.2:6379, 10.0.9.3:6379]',
    doc: 'Nodes of a Redis Cluster, each as HOST:PORT, instead of url; all that is shared lies in one slot.',
  },
  prefix: {
    format: 'keyPrefix', default: 'weir:',
    doc: 'What every key begins with, the same in all instances that share; what stands in braces names the slot of a cluster, and without any the whole of it does.',
  },
  username: {
    format: 'word', default: undefined, example: 'weir',
    doc: 'The user (ACL) to log in as; without it, the default user.',
  },
  password: {
    format: 'secret', default: undefined, secret: 'whole', example: 'sesame',
    doc: 'Its password.',
  },
  passwordFile: {
    format: 'filePath', default: undefined, instead: 'password', example: '/etc/weir/redis.password',
    doc: 'A file that holds the password, instead of password.',
  },
  tls: {
    format: 'choiceOrMap', choices: ['on', 'off'], default: 'off', part: { one: 'the TLS settings', keys: tls },
    doc: 'Whether the store is spoken to by TLS; rediss:// is the same as on.',
  },
  timeout: {
    format: 'duration', fine: true, min: '50ms', max: '1m', default: '1s',
    doc: 'A command that takes longer has failed.',
  },
};

export const share: Section<ShareKeys> = {
  named: false,
  one: 'the sharing',
  doc: 'What this instance shares with others that stand in for it or work beside it: flows and their translations, persistence and affinity, and who has which ports. docs/sharing.md tells how.',
  later: [],
  keys: {
    store: {
      format: 'choice', choices: ['memory', 'redis'], default: 'memory',
      doc: 'Where: memory is this process, and shares with nobody; redis is a Redis server of version 6.2 or later.',
    },
    instance: {
      format: 'instance', default: undefined, example: 'gw1',
      doc: 'This instance\'s name, unlike every other\'s: the second living one of a name shares nothing. Without it, the host\'s name.',
    },
    redis: {
      format: 'map', default: undefined, example: '{ url: "redis://10.0.9.1:6379/0" }', part: { one: 'the store', keys: redis },
      doc: 'How Redis is reached: exactly one of url, sentinels and cluster.',
    },
    require: {
      format: 'boolean', default: false,
      doc: 'Whether weir refuses to start while the store cannot be had; false starts, says so and catches up later.',
    },
    flush: {
      format: 'duration', fine: true, min: '1ms', max: '1s', default: '5ms',
      doc: 'How often changes are written to the store, in one go.',
    },
    hold: {
      format: 'duration', fine: true, min: '0s', max: '2s', default: '200ms',
      doc: 'How long a packet of a flow that another instance may know waits for the store to say so; 0s does not ask.',
    },
    lease: {
      format: 'duration', fine: true, min: '10s', max: '1d', default: '10m',
      doc: 'How long a block of ports is this instance\'s without the store being heard of: so long new flows are translated while it is away, and so long the ports of an instance that crashed are out of use.',
    },
    portBlock: {
      format: 'integer', min: 64, max: 16_384, unit: 'ports', default: 1024,
      doc: 'How many ports of a translation address are leased at once; a power of two, the same in all instances.',
    },
    alive: {
      format: 'duration', fine: true, min: '500ms', max: '1m', default: '3s',
      doc: 'An instance that has not been heard of for so long is gone.',
    },
  },
};
