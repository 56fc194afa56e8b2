/**
 * Sharing held against itself and against what is shared: one way to the store, one password for it, a name the others can tell this instance
 * by, names that keep their places in the store, and port blocks that suffice for two.
 */
import { hostname } from 'node:os';
import type { Plan } from '../../base/plan.js';
import { nameHash, recordNames, type RecordName } from '../../table/flow-record.js';
import { formatIpv4 } from '../../wire/address.js';
import type { Findings } from './findings.js';
import { INSTANCE, INSTANCE_ALLOWED } from './format.js';
import { contains, readAddress, readPrefix } from './ip.js';
import { and } from './near.js';
import { asList, readPool } from './rule-text.js';
import type { Secrets } from './secret.js';
import { realServersOf } from './server-check.js';
import type { RedisKeys, ShareKeys } from './share-schema.js';
import { readHostPort, readRedisUrl } from './share-text.js';
import type { Item, Values } from './validate.js';
import { virtualAddresses } from './vrrp-check.js';

const WAYS = ['url', 'sentinels', 'cluster'] as const;
/** Two instances that both have one block in use and the next one leased ahead. */
const BLOCKS_OF_TWO = 4;

/** The host that an entry of one of the ways names; undefined when it names none. */
function hostOf(way: (typeof WAYS)[number], text: string): string | undefined {
  const read = way === 'url' ? readRedisUrl(text) : readHostPort(text);
  if (typeof read === 'string') return undefined;
  return 'url' in read ? new URL(read.url).hostname : read.host;
}

class ShareCheck {
  readonly #values: Values;
  readonly #share: Item<ShareKeys>;
  readonly #secrets: Secrets;
  readonly #findings: Findings;

  constructor(values: Values, secrets: Secrets, findings: Findings) {
    this.#values = values;
    this.#share = values.share;
    this.#secrets = secrets;
    this.#findings = findings;
  }

  run(): void {
    const share = this.#share;
    const { store } = share.values;
    const redis = share.part<RedisKeys>('redis');
    if (redis !== undefined) this.#redis(redis);
    this.#portBlock();
    if (store !== 'redis') {
      if (store === 'memory' && share.given('redis')) this.#findings.warning(share.keyAt('redis'), [...share.steps, 'redis'], 'not used: store is memory');
      return;
    }
    if (!share.given('redis')) this.#findings.error(share.at('store'), [...share.steps, 'redis'], 'nothing', `a map with one of ${and(WAYS)}, for store is redis`);
    if (!share.given('instance') && !INSTANCE.test(hostname())) {
      this.#findings.error(share.at('store'), [...share.steps, 'instance'], `nothing, and the host's name ${JSON.stringify(hostname())} will not do`, INSTANCE_ALLOWED);
    }
    if (redis !== undefined) this.#way(redis);
    this.#staying();
    this.#blocks();
  }

  #redis(redis: Item<RedisKeys>): void {
    const tell = (key: keyof RedisKeys, found: string, allowed: string): void => this.#findings.error(redis.keyAt(key), [...redis.steps, key], found, allowed);
    const ways = WAYS.filter((key) => redis.given(key));
    if (ways.length === 0 && !redis.refused('url')) this.#findings.error(redis.place, redis.steps, `none of ${and(WAYS)}`, `exactly one of ${and(WAYS)}`);
    if (ways.length > 1) tell(ways[1], `${ways[1]} beside ${ways[0]}`, `exactly one of ${and(WAYS)}`);
    if (redis.given('sentinels') && !redis.given('sentinelName')) tell('sentinels', 'sentinels without sentinelName', 'sentinelName beside it, the name they have for the master');
    for (const key of ['sentinelName', 'sentinelPassword', 'sentinelPasswordFile'] as const) {
      if (redis.given(key) && !redis.given('sentinels')) tell(key, `${key} without sentinels`, `${key} with sentinels only`);
    }
    for (const [text, file] of [['password', 'passwordFile'], ['sentinelPassword', 'sentinelPasswordFile']] as const) {
      if (redis.given(text) && redis.given(file)) tell(file, `${file} beside ${text}`, 'one of them');
      else if (redis.given(file)) this.#secrets.read(redis, file, this.#findings);
    }
    const url = redis.values.url === undefined ? undefined : readRedisUrl(redis.values.url);
    if (url === undefined || typeof url === 'string') return;
    for (const key of ['password', 'passwordFile'] as const) {
      if (redis.given(key) && url.password !== undefined) tell(key, `${key}, where url has one too`, 'one of them');
    }
    if (redis.given('username') && url.username !== undefined) tell('username', 'username, where url has one too', 'one of them');
    if (url.isTls && redis.given('tls') && redis.values.tls === 'off') tell('tls', 'off, where url says rediss', 'redis:// for a store without TLS');
    if (url.url.startsWith('unix:') && redis.given('tls') && redis.values.tls !== 'off') tell('tls', 'TLS over a unix socket', 'off');
  }

  /** Flows that bear a link's own address stay with it, whatever others know of them; where an elected one is on the same link it is mostly meant. */
  #staying(): void {
    const { uplinks, vrrp } = this.#values;
    for (const uplink of uplinks.items) {
      if (uplink.values.snat !== 'auto') continue;
      const router = vrrp.items.find(({ values }) => values.link === uplink.values.link);
      const [first] = router?.values.addresses ?? [];
      if (router === undefined || first === undefined) continue;
      this.#findings.warning(uplink.given('snat') ? uplink.at('snat') : uplink.place, [...uplink.steps, 'snat'],
        `auto is ${uplink.values.link}'s own address, so flows by ${uplink.name} end with this box; those with an address of ${router.name}, such as ${first.split('/')[0]}, go on with another`);
    }
  }

  /** A store on a link's network: the box has that network through weir alone. */
  #way(redis: Item<RedisKeys>): void {
    for (const key of WAYS) {
      const texts = redis.values[key];
      if (texts === undefined) continue;
      asList(texts).forEach((text, index) => {
        const address = readAddress(hostOf(key, text) ?? '');
        if (address === undefined) return;
        const link = this.#values.links.items.find(({ values }) => (values.addresses ?? []).some((own) => {
          const network = readPrefix(own);
          return network !== undefined && contains(network, address);
        }));
        if (link === undefined) return;
        this.#findings.warning(redis.at(key, index), [...redis.steps, key, ...(redis.isList(key) ? [index] : [])],
          `${formatIpv4(address)} is on ${link.name}, where the box gets through weir alone or not at all: trouble with the link is trouble with the store, too`);
      });
    }
  }

  #portBlock(): void {
    const { portBlock } = this.#share.values;
    const { snatPortFirst: first, snatPortLast: last } = this.#values.limits.values;
    if (portBlock === undefined) return;
    const tell = (why: string, allowed: string): void =>
      this.#findings.error(this.#share.at('portBlock'), [...this.#share.steps, 'portBlock'], `${this.#share.given('portBlock') ? portBlock : `${portBlock}, the default`} (${why})`, allowed);
    if ((portBlock & (portBlock - 1)) !== 0) tell('not a power of two', 'such as 512, 1024 or 2048');
    else if (this.#share.values.store === 'redis' && first !== undefined && last !== undefined && first <= last && portBlock > last - first + 1) {
      tell(`source translation has ${last - first + 1} ports, ${first} to ${last}`, 'a power of two that is not more than there are');
    }
  }

  /** Addresses that are nobody's own are shared out in blocks, of which each instance needs more than one. */
  #blocks(): void {
    const { portBlock } = this.#share.values;
    const { snatPortFirst: first, snatPortLast: last } = this.#values.limits.values;
    if (portBlock === undefined || first === undefined || last === undefined) return;
    const blocks = Math.floor(last / portBlock) - Math.floor(first / portBlock) + 1;
    if (blocks >= BLOCKS_OF_TWO || this.#findings.failed) return;
    const whole = new Set(virtualAddresses(this.#values).map(({ address }) => address));
    for (const link of this.#values.links.items) for (const text of link.values.addresses ?? []) whole.add(readPrefix(text)?.address ?? -1);
    for (const uplink of this.#values.uplinks.items) {
      const { snat } = uplink.values;
      if (snat === undefined || snat === 'auto' || snat === 'off') continue;
      const isLeased = asList(snat).some((text) => {
        const range = readPool(text);
        if (typeof range === 'string') return false;
        for (let address = range.first; address <= range.last; address++) if (!whole.has(address)) return true;
        return false;
      });
      if (!isLeased) continue;
      this.#findings.warning(this.#share.at('portBlock'), [...this.#share.steps, 'portBlock'],
        `the addresses of ${uplink.name} have ${blocks} ${blocks === 1 ? 'block' : 'blocks'} of ${portBlock} ports each, where two instances need ${BLOCKS_OF_TWO}; take smaller ones`);
      return;
    }
  }
}

/** True for an address of the box alone: 127.0.0.0/8. */
export function isLoopback(address: string): boolean {
  return readAddress(address)! >>> 24 === 127;
}

/** Where a thing of the file stands. */
type Named = Pick<Item<unknown>, 'name' | 'place' | 'steps'>;

/** The thing of the file that a name in records is of. */
function itemOf({ sense, name }: RecordName, { links, uplinks, groups, policies, virtualServers, algs }: Values): Named | undefined {
  const named = (items: readonly Named[], wanted: string): Named | undefined => items.find((item) => item.name === wanted);
  switch (sense) {
    case 'link': return named(links.items, name);
    case 'uplink': return named(uplinks.items, name);
    case 'group': return named(groups.items, name);
    case 'affinity': return name.startsWith('policy/') ? named(policies.items, name.slice('policy/'.length)) : named(groups.items, name);
    case 'persistence': return virtualServers.items.find((item) => item.name === name || item.values.persistence?.tie === name.slice('tie/'.length));
    case 'server': {
      const [virtualServer, real] = name.split('/');
      return named(realServersOf(virtualServers.byName.get(virtualServer)!), real);
    }
    case 'alg': return algs;
  }
}

/** In the store things are known by the hashes of their names; two in one sense with the same would be taken for each other. */
export function checkRecordNames(values: Values, plan: Plan, findings: Findings, hash: (name: string) => number = nameHash): void {
  if (plan.share.store !== 'redis') return;
  const holders = new Map<string, string>();
  for (const row of recordNames(plan)) {
    const key = `${row.sense} ${hash(row.name)}`;
    const other = holders.get(key);
    if (other === undefined) holders.set(key, row.name);
    else {
      const { place, steps }: Named = itemOf(row, values) ?? values.share;
      findings.error(place, steps, `a name whose hash in the store is that of ${other} too`, 'another name for one of the two');
    }
  }
}

/** Tell of everything in what is shared that does not fit. */
export function checkShare(values: Values, secrets: Secrets, findings: Findings): void {
  new ShareCheck(values, secrets, findings).run();
}
