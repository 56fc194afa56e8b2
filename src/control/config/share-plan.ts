/** From checked virtual routers and sharing to their plans: names become indexes, passwords come from where they stand, durations become milliseconds. */
import { hostname } from 'node:os';
import type { LinkPlan, RedisPlan, SharePlan, VrrpPlan } from '../../base/plan.js';
import { known, milliseconds } from './check-plan.js';
import { contains, readAddress } from './ip.js';
import { asList } from './rule-text.js';
import type { Secrets } from './secret.js';
import { SCHEMA } from './schema.js';
import type { AnnouncementsKeys, RedisKeys, ShareKeys, TlsKeys, VrrpKeys } from './share-schema.js';
import { readRedisUrl } from './share-text.js';
import type { Item, Things, Values } from './validate.js';
import { kindsOf, TRACKED } from './vrrp-check.js';

/** The defaults of a map that nobody gave. */
function defaultsOf<T>(keys: Readonly<Record<string, { default: unknown }>>): T {
  return Object.fromEntries(Object.entries(keys).map(([key, { default: fallback }]) => [key, fallback])) as T;
}

function indexOf(things: Things<unknown>, name: string): number {
  return things.items.findIndex((item) => item.name === name);
}

function vrrpPlan(item: Item<VrrpKeys>, index: number, values: Values, links: readonly LinkPlan[], secrets: Secrets): VrrpPlan {
  const keys = item.values as VrrpKeys;
  const link = links.find(({ name }) => name === keys.link)!;
  const password = keys.password ?? secrets.get(keys.passwordFile);
  const { count, again, refresh } = keys.announcements ?? defaultsOf<AnnouncementsKeys>(SCHEMA.vrrp.keys.announcements.part!.keys);
  return {
    index, name: item.name, link: link.index, id: keys.id, version: keys.version, priority: keys.priority,
    addresses: keys.addresses.map((text) => {
      const [address, length] = text.split('/');
      const around = link.addresses.find((own) => contains({ address: readAddress(own.address)!, prefixLength: own.prefixLength }, readAddress(address)!));
      return { address, prefixLength: length === undefined ? around?.prefixLength ?? 32 : Number(length) };
    }),
    advertIntervalMs: milliseconds(keys.interval), preempt: keys.preempt, preemptDelayMs: milliseconds(keys.preemptDelay),
    peers: keys.peers === undefined ? [] : [...asList(keys.peers)], checksum: keys.checksum, virtualMac: keys.virtualMac, accept: keys.accept,
    ...(password === undefined ? {} : { password }),
    track: (keys.track ?? []).map(({ name, kind = kindsOf(values, name)[0], weight }) =>
      ({ kind, index: indexOf(values[TRACKED[kind]] as Things<unknown>, name), weight })),
    ...(keys.syncGroup === undefined ? {} : { syncGroup: keys.syncGroup }),
    announcements: { count, againMs: milliseconds(again), refreshMs: milliseconds(refresh) },
  };
}

export function vrrpPlans(values: Values, links: readonly LinkPlan[], secrets: Secrets): VrrpPlan[] {
  return values.vrrp.items.map((item, index) => vrrpPlan(item, index, values, links, secrets));
}

function tlsPlan(tls: RedisKeys['tls'], isTls: boolean): RedisPlan['tls'] {
  if (typeof tls !== 'string') {
    const { verify, ...rest }: TlsKeys = tls;
    return { ...rest, verify };
  }
  return tls === 'on' || isTls ? { verify: true } : undefined;
}

function redisPlan(keys: RedisKeys, secrets: Secrets): RedisPlan {
  const url = keys.url === undefined ? undefined : known(readRedisUrl(keys.url));
  const username = keys.username ?? url?.username;
  const password = keys.password ?? secrets.get(keys.passwordFile) ?? url?.password;
  const sentinelPassword = keys.sentinelPassword ?? secrets.get(keys.sentinelPasswordFile);
  const tls = tlsPlan(keys.tls, url?.isTls ?? false);
  return {
    url: url?.url ?? '', prefix: keys.prefix,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    sentinels: keys.sentinels === undefined ? [] : [...asList(keys.sentinels)],
    ...(keys.sentinelName === undefined ? {} : { sentinelName: keys.sentinelName }),
    ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
    cluster: keys.cluster === undefined ? [] : [...asList(keys.cluster)],
    ...(tls === undefined ? {} : { tls }),
    timeoutMs: milliseconds(keys.timeout),
  };
}

export function sharePlan(item: Item<ShareKeys>, secrets: Secrets): SharePlan {
  const keys = item.values as ShareKeys;
  return {
    store: keys.store, instance: keys.instance ?? hostname(),
    ...(keys.redis === undefined || keys.store === 'memory' ? {} : { redis: redisPlan(keys.redis, secrets) }),
    require: keys.require, flushMs: milliseconds(keys.flush), holdMs: milliseconds(keys.hold), leaseMs: milliseconds(keys.lease),
    portBlock: keys.portBlock, aliveMs: milliseconds(keys.alive),
  };
}
