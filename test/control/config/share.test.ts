/** Virtual routers, sharing and metrics: what each mistake is told as, to the letter, what is warned of, and the plan that comes of it. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Findings } from '../../../src/control/config/findings.js';
import { parseSources } from '../../../src/control/config/parse.js';
import { checkRecordNames } from '../../../src/control/config/share-check.js';
import { maskUrl, readRedisUrl } from '../../../src/control/config/share-text.js';
import { validate } from '../../../src/control/config/validate.js';
import { nameHash, recordNames } from '../../../src/table/flow-record.js';
import { compile } from './support.js';

interface Row { name: string; text: string; errors?: string[]; warnings?: string[] }

const LINKS = `links:
  lan: { type: tap, device: d1, addresses: [10.0.0.1/24] }
  wan: { type: raw, device: d2, addresses: [192.0.2.2/24] }
  box: { type: tun, device: d3, addresses: [100.64.0.1/30], peer: 100.64.0.2 }
uplinks:
  isp: { link: wan, gateway: 192.0.2.1 }
groups:
  out: { uplinks: [isp] }
routes:
  default: { to: 0.0.0.0/0, group: out }
`;
/** One virtual router `gw` on lan, in one line: its keys begin in column 10 of line 12; others stand below. */
const vrrp = (keys: string, ...more: string[]): string => `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.0.0.254]${keys === '' ? '' : `, ${keys}`} }\n${more.map((line) => `  ${line}\n`).join('')}`;
const share = (keys: string, above = LINKS): string => `${above}share: { ${keys} }\n`;
const redis = (keys: string): string => share(`store: redis, instance: a, redis: { ${keys} }`);
const ADDRESSES = 'a list of IPv4 addresses such as [192.0.2.1], each with or without a prefix length';

const directory = mkdtempSync(join(tmpdir(), `wt-${process.pid}-`));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
const file = (name: string, text: string, mode = 0o600): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

const rows: Row[] = [
  // --- virtual routers: keys -------------------------------------------------------------------------------------------
  { name: 'what a virtual router needs', text: `${LINKS}vrrp:\n  gw: {}\n`, errors: [
    'weir.yaml:12:3: vrrp.gw.link: found nothing, allowed: the name of a link; a virtual router needs it',
    'weir.yaml:12:3: vrrp.gw.id: found nothing, allowed: 1 to 255; a virtual router needs it',
    `weir.yaml:12:3: vrrp.gw.addresses: found nothing, allowed: ${ADDRESSES}; a virtual router needs it`,
  ] },
  { name: 'numbers out of range', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 0, addresses: [10.0.0.254], priority: 256, version: 4 }\n`, errors: [
    'weir.yaml:12:24: vrrp.gw.id: found 0, allowed: 1 to 255',
    'weir.yaml:12:62: vrrp.gw.priority: found 256, allowed: 1 to 255',
    'weir.yaml:12:76: vrrp.gw.version: found 4, allowed: 2 to 3',
  ] },
  { name: 'addresses that are none', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.0.0, 10.0.0.0/24, 224.0.0.18, 2001:db8::1, 10.0.0.9, 10.0.0.9/24, 5] }\n`, errors: [
    'weir.yaml:12:39: vrrp.gw.addresses[0]: found "10.0.0" (not an IPv4 address), allowed: an IPv4 address such as 192.0.2.1, with or without a prefix length',
    'weir.yaml:12:47: vrrp.gw.addresses[1]: found "10.0.0.0/24" (the network address of 10.0.0.0/24), allowed: an address a host can have',
    'weir.yaml:12:60: vrrp.gw.addresses[2]: found "224.0.0.18" (multicast, 224.0.0.0/4), allowed: an address a host can have',
    'weir.yaml:12:72: vrrp.gw.addresses[3]: found "2001:db8::1" (IPv4 only in this version), allowed: an IPv4 address such as 192.0.2.1, with or without a prefix length',
    'weir.yaml:12:95: vrrp.gw.addresses[5]: found "10.0.0.9/24" (for the second time), allowed: each once',
    'weir.yaml:12:108: vrrp.gw.addresses[6]: found 5, allowed: an IPv4 address such as 192.0.2.1, with or without a prefix length',
  ] },
  { name: 'no addresses', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [] }\n`, errors: [`weir.yaml:12:38: vrrp.gw.addresses: found an empty list, allowed: ${ADDRESSES}`] },
  { name: 'words that are none', text: vrrp('checksum: sum, preempt: maybe, syncGroup: A B, interval: 5, announcements: { count: 0, often: 1 }'), errors: [
    'weir.yaml:12:62: vrrp.gw.checksum: found "sum", allowed: pseudo-header or plain',
    'weir.yaml:12:76: vrrp.gw.preempt: found "maybe" (a text), allowed: true or false',
    'weir.yaml:12:94: vrrp.gw.syncGroup: found "A B" (not such a word), allowed: a word of 1 to 32 lower-case letters, digits and "-", beginning with a letter',
    'weir.yaml:12:109: vrrp.gw.interval: found 5 (no unit), allowed: a duration with its unit (d, h, m, s, ms), 10ms to 4m15s',
    'weir.yaml:12:136: vrrp.gw.announcements.count: found 0, allowed: 1 to 20',
    'weir.yaml:12:139: vrrp.gw.announcements.often: found an unknown key, allowed: count, again and refresh',
  ] },
  // --- virtual routers: what fits ---------------------------------------------------------------------------------------
  { name: 'a link that does not exist', text: `${LINKS}vrrp:\n  gw: { link: lna, id: 1, addresses: [10.0.0.254] }\n`,
    errors: ['weir.yaml:12:15: vrrp.gw.link: found "lna" (did you mean lan?), allowed: the name of a link: lan, wan or box'] },
  { name: 'a tun', text: `${LINKS}vrrp:\n  gw: { link: box, id: 1, addresses: [100.64.0.3] }\n`, errors: [
    'weir.yaml:12:15: vrrp.gw.link: found "box" (a tun, which has no neighbours to be elected among), allowed: a tap or raw link',
    'weir.yaml:12:39: vrrp.gw.addresses[0]: found "100.64.0.3" (the broadcast address of 100.64.0.0/30), allowed: an address a host can have',
  ] },
  { name: 'one number twice on a link, and on another link', text: vrrp('', 'b: { link: lan, id: 1, addresses: [10.0.0.253] }', 'c: { link: wan, id: 1, addresses: [192.0.2.250] }'),
    errors: ['weir.yaml:13:23: vrrp.b.id: found 1 (already that of gw on lan), allowed: a number of its own for each virtual router of a link'] },
  { name: 'one address in two', text: vrrp('', 'b: { link: lan, id: 2, addresses: [10.0.0.253, 10.0.0.254] }'),
    errors: ['weir.yaml:13:50: vrrp.b.addresses[1]: found "10.0.0.254" (already an address of gw), allowed: each address in one virtual router'] },
  { name: 'another link\'s own address, and a gateway', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [192.0.2.2] }\n  b: { link: wan, id: 1, addresses: [192.0.2.1] }\n`, errors: [
    'weir.yaml:6:30: uplinks.isp.gateway: found "192.0.2.1" (an address of the virtual router b), allowed: the address of another router',
    'weir.yaml:12:39: vrrp.gw.addresses[0]: found "192.0.2.2" (the router\'s own address on wan), allowed: addresses of lan, or addresses nobody has',
  ] },
  { name: 'an address off the link\'s networks', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.9.0.254] }\n`,
    warnings: ['weir.yaml:12:39: vrrp.gw.addresses[0]: warning: 10.9.0.254 is not in 10.0.0.0/24 of lan; neighbours there may not ask for it'] },
  { name: 'priority 255 without the addresses', text: vrrp('priority: 255'),
    errors: ['weir.yaml:12:62: vrrp.gw.priority: found 255 (none of its addresses are lan\'s own), allowed: 1 to 254, or addresses that are all lan\'s own'] },
  { name: 'priority 255 with some of them', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.0.0.1, 10.0.0.9], priority: 255 }\n`,
    errors: ['weir.yaml:12:70: vrrp.gw.priority: found 255 (not all of its addresses are lan\'s own), allowed: 1 to 254, or addresses that are all lan\'s own'] },
  { name: 'the link\'s own address with another priority', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.0.0.1], priority: 200 }\n  b: { link: wan, id: 1, addresses: [192.0.2.2] }\n`, errors: [
    'weir.yaml:12:60: vrrp.gw.priority: found 200 (10.0.0.1 is lan\'s own address), allowed: 255 for whoever has the addresses as its own',
    'weir.yaml:13:37: vrrp.b.priority: found 100, the default (192.0.2.2 is wan\'s own address), allowed: 255 for whoever has the addresses as its own',
  ] },
  { name: 'intervals a version cannot say', text: vrrp('interval: 15ms', 'b: { link: lan, id: 2, addresses: [10.0.0.9], interval: 41s }', 'c: { link: lan, id: 3, addresses: [10.0.0.8], interval: 1500ms, version: 2 }', 'd: { link: lan, id: 4, addresses: [10.0.0.7], interval: 1ms }'), errors: [
    'weir.yaml:12:62: vrrp.gw.interval: found "15ms" (version 3 knows hundredths of a second only), allowed: a multiple of 10ms',
    'weir.yaml:13:59: vrrp.b.interval: found "41s" (version 3 has 12 bits of hundredths for it), allowed: 10ms to 40s950ms',
    'weir.yaml:14:59: vrrp.c.interval: found "1500ms" (version 2 knows whole seconds only), allowed: 1s to 4m15s in whole seconds',
    'weir.yaml:15:59: vrrp.d.interval: found "1ms" (too short), allowed: 10ms to 4m15s',
  ] },
  { name: 'intervals each version can say', text: vrrp('interval: 40s950ms', 'b: { link: lan, id: 2, addresses: [10.0.0.9], interval: 4m15s, version: 2 }', 'c: { link: lan, id: 3, addresses: [10.0.0.8], interval: 10ms }') },
  { name: 'passwords', text: vrrp('password: secret99', 'b: { link: lan, id: 2, addresses: [10.0.0.9], version: 2, password: ninechars }', 'c: { link: lan, id: 3, addresses: [10.0.0.8], version: 2, password: 12345 }',
    'd: { link: lan, id: 4, addresses: [10.0.0.7], version: 2, password: a, passwordFile: /b }'), errors: [
    'weir.yaml:12:52: vrrp.gw.password: found password in version 3, allowed: password in version 2 only',
    'weir.yaml:13:71: vrrp.b.password: found a value that is not shown (a password of 9 bytes), allowed: at most 8 bytes',
    'weir.yaml:14:71: vrrp.c.password: found a value that is not shown (not a text, put it in quotes), allowed: a text of 1 to 512 characters in one line',
    'weir.yaml:15:74: vrrp.d.passwordFile: found passwordFile beside password, allowed: one of them',
  ] },
  { name: 'peers', text: vrrp('peers: [10.0.0.1, 10.0.0.254, 10.0.0.2, 10.0.0.2]', 'b: { link: lan, id: 2, addresses: [10.0.0.9], peers: 192.0.2.2 }'), errors: [
    'weir.yaml:12:60: vrrp.gw.peers[0]: found "10.0.0.1" (the router\'s own address on lan), allowed: addresses of the other routers',
    'weir.yaml:12:70: vrrp.gw.peers[1]: found "10.0.0.254" (the virtual router\'s own address, which moves), allowed: the address the other router has by itself',
    'weir.yaml:12:92: vrrp.gw.peers[3]: found "10.0.0.2" (for the second time), allowed: each once',
    'weir.yaml:13:56: vrrp.b.peers: found "192.0.2.2" (the router\'s own address on wan), allowed: addresses of the other routers',
  ] },
  { name: 'things to track that do not exist', text: vrrp('track: [ips, isp, { name: lan, kind: uplink }, { name: nothing, weight: 5 }, isp]'), errors: [
    'weir.yaml:12:60: vrrp.gw.track[0]: found "ips" (did you mean isp?), allowed: the name of an uplink, a virtual server or a link: isp, lan, wan or box',
    'weir.yaml:12:78: vrrp.gw.track[2].name: found "lan", allowed: the name of an uplink: isp',
    'weir.yaml:12:107: vrrp.gw.track[3].name: found "nothing", allowed: the name of an uplink, a virtual server or a link: isp, lan, wan or box',
    'weir.yaml:12:129: vrrp.gw.track[4]: found "isp" (for the second time), allowed: each once',
  ] },
  { name: 'a name of two kinds', text: vrrp('track: wan').replace('  isp: {', '  wan: {').replace('[isp]', '[wan]'),
    errors: ['weir.yaml:12:59: vrrp.gw.track: found "wan" (the name of things of 2 kinds), allowed: { name: wan, kind: uplink or link }'] },
  { name: 'track of an owner', text: `${LINKS}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.0.0.1], priority: 255, track: isp }\n`,
    errors: ['weir.yaml:12:65: vrrp.gw.track: found track with priority 255, which nothing is taken off, allowed: a priority of 1 to 254'] },
  { name: 'weights of what is tracked', text: vrrp('track: { name: isp, weight: 255 }'), errors: ['weir.yaml:12:80: vrrp.gw.track.weight: found 255, allowed: 0 to 254'] },
  { name: 'a sync group of one, and a delay of nothing', text: vrrp('syncGroup: both, preempt: false, preemptDelay: 5s'), warnings: [
    'weir.yaml:12:63: vrrp.gw.syncGroup: warning: gw is alone in both',
    'weir.yaml:12:99: vrrp.gw.preemptDelay: warning: it never takes over from a living master (preempt: false), so nothing is delayed',
  ] },
  { name: 'an elected address where one of another router is meant', text: vrrp('').replace('routes:\n', 'routes:\n  far: { to: 10.9.0.0/16, via: 10.0.0.254 }\n').replace('  lan: {', '  lan: { neighbours: [10.0.0.254 02:00:00:00:00:09],'), errors: [
    'weir.yaml:2:23: links.lan.neighbours[0]: found "10.0.0.254 02:00:00:00:00:09" (an address of the virtual router gw), allowed: another station\'s address',
    'weir.yaml:10:32: routes.far.via: found "10.0.0.254" (an address of the virtual router gw), allowed: the address of another router',
  ] },
  { name: 'an elected address in snat, in a port forward and in a virtual server', text: `${LINKS.replace('gateway: 192.0.2.1', 'gateway: 192.0.2.1, snat: 192.0.2.200')}vrrp:
  gw: { link: wan, id: 1, addresses: [192.0.2.200, 192.0.2.201] }
portForwards:
  web: { uplink: isp, listen: "192.0.2.201:80/tcp", to: 10.0.0.9 }
virtualServers:
  shop: { listen: "192.0.2.201:81/tcp", realServers: { one: { address: 10.0.0.9 } } }
` },
  // --- sharing ----------------------------------------------------------------------------------------------------------
  { name: 'words and numbers', text: share('store: disk, require: maybe, flush: 0ms, hold: 3s, lease: 5s, portBlock: 32, alive: 1ms, instance: "a b"'), errors: [
    'weir.yaml:11:17: share.store: found "disk", allowed: memory or redis',
    'weir.yaml:11:32: share.require: found "maybe" (a text), allowed: true or false',
    'weir.yaml:11:46: share.flush: found "0ms" (too short), allowed: 1ms to 1s',
    'weir.yaml:11:57: share.hold: found "3s" (too long), allowed: 0s to 2s',
    'weir.yaml:11:68: share.lease: found "5s" (too short), allowed: 10s to 1d',
    'weir.yaml:11:83: share.portBlock: found 32, allowed: 64 to 16384',
    'weir.yaml:11:94: share.alive: found "1ms" (too short), allowed: 500ms to 1m',
    'weir.yaml:11:109: share.instance: found "a b" (not such a name), allowed: a name of 1 to 63 letters, digits, ".", "_" and "-", beginning with a letter or digit',
  ] },
  { name: 'redis without a way there', text: share('store: redis, instance: a'), errors: ['weir.yaml:11:17: share.redis: found nothing, allowed: a map with one of url, sentinels and cluster, for store is redis'] },
  { name: 'redis with an empty map', text: redis(''), errors: ['weir.yaml:11:37: share.redis: found none of url, sentinels and cluster, allowed: exactly one of url, sentinels and cluster'] },
  { name: 'two ways', text: redis('url: "redis://a", cluster: "b:1"'), errors: ['weir.yaml:11:64: share.redis.cluster: found cluster beside url, allowed: exactly one of url, sentinels and cluster'] },
  { name: 'sentinels without a name, and names without sentinels', text: redis('sentinels: ["a:1", b, "c:0", "127.0.0.1:26379", "10.0.0.300:1"]'), errors: [
    'weir.yaml:11:46: share.redis.sentinels: found sentinels without sentinelName, allowed: sentinelName beside it, the name they have for the master',
    'weir.yaml:11:65: share.redis.sentinels[1]: found "b" (no port), allowed: HOST:PORT, such as 10.0.9.1:6379',
    'weir.yaml:11:68: share.redis.sentinels[2]: found "c:0" (ports go from 1 to 65535), allowed: HOST:PORT, such as 10.0.9.1:6379',
    'weir.yaml:11:94: share.redis.sentinels[4]: found "10.0.0.300:1" (not an IPv4 address), allowed: HOST:PORT, such as 10.0.9.1:6379',
  ] },
  { name: 'words of sentinels without them', text: redis('url: "redis://a", sentinelName: m, sentinelPassword: geheim'), errors: [
    'weir.yaml:11:64: share.redis.sentinelName: found sentinelName without sentinels, allowed: sentinelName with sentinels only',
    'weir.yaml:11:81: share.redis.sentinelPassword: found sentinelPassword without sentinels, allowed: sentinelPassword with sentinels only',
  ] },
  { name: 'urls that are none, and nothing of what they hold is shown', text: redis('url: "http://me:geheim@a/1"'),
    errors: ['weir.yaml:11:51: share.redis.url: found "http://***@a/1" (http is neither redis nor rediss nor unix), allowed: redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE or unix:///PATH'] },
  { name: 'two passwords, two users, and TLS that is said twice', text: redis('url: "rediss://me:geheim@a:1/2", username: you, password: auch, tls: off'), errors: [
    'weir.yaml:11:79: share.redis.username: found username, where url has one too, allowed: one of them',
    'weir.yaml:11:94: share.redis.password: found password, where url has one too, allowed: one of them',
    'weir.yaml:11:110: share.redis.tls: found off, where url says rediss, allowed: redis:// for a store without TLS',
  ] },
  { name: 'TLS over a unix socket', text: redis('url: "unix:///run/redis.sock", tls: on'), errors: ['weir.yaml:11:77: share.redis.tls: found TLS over a unix socket, allowed: off'] },
  { name: 'a prefix with two parts in braces, and one with a space', text: redis('url: "redis://a", prefix: "{a}{b}"'),
    errors: ['weir.yaml:11:72: share.redis.prefix: found "{a}{b}" (not such a text), allowed: a text of 1 to 64 characters without spaces, with at most one part of it in braces'] },
  { name: 'a store on a link of weir', text: redis('url: "redis://me:geheim@192.0.2.7/1"'),
    warnings: ['weir.yaml:11:51: share.redis.url: warning: 192.0.2.7 is on wan, where the box gets through weir alone or not at all: trouble with the link is trouble with the store, too'] },
  { name: 'sentinels, one of which is', text: redis('sentinelName: m, sentinels: ["10.9.9.9:1", "10.0.0.9:1", "a:1"]'),
    warnings: ['weir.yaml:11:89: share.redis.sentinels[1]: warning: 10.0.0.9 is on lan, where the box gets through weir alone or not at all: trouble with the link is trouble with the store, too'] },
  { name: 'flows that stay with the box where another address would go on', text: `${redis('url: "redis://a"')}vrrp:\n  gw: { link: wan, id: 1, addresses: [192.0.2.9/24] }\n`,
    warnings: ['weir.yaml:6:3: uplinks.isp.snat: warning: auto is wan\'s own address, so flows by isp end with this box; those with an address of gw, such as 192.0.2.9, go on with another'] },
  { name: 'none where nothing is shared, or the elected address is on another link', text: `${redis('url: "redis://a"')}vrrp:\n  gw: { link: lan, id: 1, addresses: [10.0.0.9] }\n` },
  { name: 'a store that is not used', text: share('redis: { url: "redis://a" }'), warnings: ['weir.yaml:11:10: share.redis: warning: not used: store is memory'] },
  { name: 'a block that is no power of two', text: share('portBlock: 1000'), errors: ['weir.yaml:11:21: share.portBlock: found 1000 (not a power of two), allowed: such as 512, 1024 or 2048'] },
  { name: 'a block with more ports than there are', text: `${redis('url: "redis://a"')}limits: { snatPortFirst: 2000, snatPortLast: 2999 }\n`,
    errors: ['weir.yaml:11:1: share.portBlock: found 1024, the default (source translation has 1000 ports, 2000 to 2999), allowed: a power of two that is not more than there are'] },
  { name: 'too few blocks for two instances, where a pool is leased', text: `${redis('url: "redis://a"').replace('instance: a', 'instance: a, portBlock: 16384')}limits: { snatPortFirst: 16384 }\n`.replace('gateway: 192.0.2.1 ', 'gateway: 192.0.2.1, snat: 192.0.2.9 '),
    warnings: ['weir.yaml:11:48: share.portBlock: warning: the addresses of isp have 3 blocks of 16384 ports each, where two instances need 4; take smaller ones'] },
  { name: 'the same where the pool is an own or an elected address', text: `${redis('url: "redis://a"').replace('instance: a', 'instance: a, portBlock: 16384')}limits: { snatPortFirst: 16384 }\nvrrp:\n  gw: { link: wan, id: 1, addresses: [192.0.2.9] }\n`.replace('gateway: 192.0.2.1 ', 'gateway: 192.0.2.1, snat: [192.0.2.9, 192.0.2.2] ') },
  // --- metrics ----------------------------------------------------------------------------------------------------------
  { name: 'metrics nowhere', text: `${LINKS}control: { metrics: 9469 }\n`, errors: ['weir.yaml:11:21: control.metrics: found 9469 (not a text, put it in quotes), allowed: off, or ADDRESS:PORT such as 127.0.0.1:9469'] },
  { name: 'metrics without a port', text: `${LINKS}control: { metrics: 127.0.0.1 }\n`, errors: ['weir.yaml:11:21: control.metrics: found "127.0.0.1" (no port), allowed: off, or ADDRESS:PORT such as 127.0.0.1:9469'] },
  { name: 'metrics for everybody', text: `${LINKS}control: { metrics: "0.0.0.0:9469" }\n`,
    warnings: ['weir.yaml:11:21: control.metrics: warning: whoever reaches 0.0.0.0:9469 can read the metrics, for nothing is asked of them; 127.0.0.1 is for this box alone'] },
  { name: 'metrics for the box', text: `${LINKS}control: { metrics: "127.0.0.1:9469" }\n` },
];

for (const { name, text, errors = [], warnings = [] } of rows) {
  test(name, () => {
    const outcome = compile(text);
    assert.equal(outcome.errors, errors);
    if (errors.length === 0) assert.equal(outcome.warnings, warnings);
    assert.not.match(JSON.stringify([outcome.errors, outcome.warnings]), /geheim|secret99|ninechars/);
  });
}

test('a virtual router with everything, and one with nothing', () => {
  const { plan, errors } = compile(vrrp(
    'version: 2, priority: 7, interval: 3s, preempt: false, peers: 10.0.0.2, checksum: plain, virtualMac: false, accept: false, password: sesame, track: [isp, { name: lan, weight: 0 }, { name: wan, kind: link, weight: 9 }], syncGroup: both, announcements: { count: 2, again: 0s, refresh: 1m }',
    'b: { link: wan, id: 255, addresses: [192.0.2.250/28, 10.9.9.9], preemptDelay: 1500ms, syncGroup: both }',
  ));
  assert.equal(errors, []);
  assert.equal(plan!.vrrp, [
    {
      index: 0, name: 'gw', link: 0, id: 1, version: 2, priority: 7, addresses: [{ address: '10.0.0.254', prefixLength: 24 }], advertIntervalMs: 3000, preempt: false, preemptDelayMs: 0,
      peers: ['10.0.0.2'], checksum: 'plain', virtualMac: false, accept: false, password: 'sesame',
      track: [{ kind: 'uplink', index: 0, weight: 254 }, { kind: 'link', index: 0, weight: 0 }, { kind: 'link', index: 1, weight: 9 }], syncGroup: 'both',
      announcements: { count: 2, againMs: 0, refreshMs: 60_000 },
    },
    {
      index: 1, name: 'b', link: 1, id: 255, version: 3, priority: 100, addresses: [{ address: '192.0.2.250', prefixLength: 28 }, { address: '10.9.9.9', prefixLength: 32 }], advertIntervalMs: 1000,
      preempt: true, preemptDelayMs: 1500, peers: [], checksum: 'pseudo-header', virtualMac: true, accept: true, track: [], syncGroup: 'both',
      announcements: { count: 5, againMs: 5000, refreshMs: 0 },
    },
  ]);
});

test('sharing with everything, by each of the three ways', () => {
  const common = { prefix: 'weir:', timeoutMs: 1000 };
  const one = compile(redis('url: "rediss://me:p%40ss@redis.example.com", tls: { ca: /ca.pem, servername: r.example.com }, timeout: 250ms, prefix: "{w}:"').replace('store: redis', 'store: redis, require: true, flush: 10ms, hold: 0s, lease: 1m, portBlock: 512, alive: 1s'));
  assert.equal(one.errors, []);
  assert.equal(one.plan!.share, {
    store: 'redis', instance: 'a', require: true, flushMs: 10, holdMs: 0, leaseMs: 60_000, portBlock: 512, aliveMs: 1000,
    redis: { url: 'rediss://redis.example.com:6379/0', prefix: '{w}:', username: 'me', password: 'p@ss', sentinels: [], cluster: [], tls: { ca: '/ca.pem', servername: 'r.example.com', verify: true }, timeoutMs: 250 },
  });
  const sentinels = compile(redis('sentinels: ["a:1", "b:2"], sentinelName: m, sentinelPassword: s, username: u, password: p'));
  assert.equal(sentinels.errors, []);
  assert.equal(sentinels.plan!.share.redis, { url: '', ...common, username: 'u', password: 'p', sentinels: ['a:1', 'b:2'], sentinelName: 'm', sentinelPassword: 's', cluster: [] });
  assert.equal(compile(redis('cluster: "127.0.0.1:7000", tls: on')).plan!.share.redis, { url: '', ...common, sentinels: [], cluster: ['127.0.0.1:7000'], tls: { verify: true } });
  assert.equal(compile(redis('url: "unix:///run/redis.sock"')).plan!.share.redis, { url: 'unix:///run/redis.sock', ...common, sentinels: [], cluster: [] });
  assert.is(compile(share('store: redis, redis: { url: "redis://a" }')).plan!.share.instance, hostname());
  assert.is(compile(`${LINKS}control: { metrics: "127.0.0.1:9469" }\n`).plan!.control.metrics!.port, 9469);
});

test('passwords in files', () => {
  const good = file('good', 'open sesame\n');
  const { plan, errors, warnings } = compile(redis(`url: "redis://a", passwordFile: ${good}`));
  assert.equal([errors, warnings], [[], []]);
  assert.is(plan!.share.redis!.password, 'open sesame');
  assert.is(compile(vrrp(`version: 2, passwordFile: ${file('short', 'sesame\r\n')}`)).plan!.vrrp[0].password, 'sesame');
  const long = compile(vrrp(`version: 2, passwordFile: ${good}`));
  assert.equal(long.errors, [`weir.yaml:12:78: vrrp.gw.passwordFile: found "${good}" (a password of 11 bytes), allowed: at most 8 bytes`]);
  mkdirSync(join(directory, 'folder'));
  for (const [name, why, allowed] of [
    ['absent', 'no such file (ENOENT)', 'a file that can be read'], ['folder', 'a directory (EISDIR)', 'a file that can be read'],
    [file('empty', '\n').split('/').at(-1)!, 'an empty first line', 'a file with the password in its first line'],
    [file('two', 'a\nb\n').split('/').at(-1)!, 'more than one line', 'a file with the password in one line'],
    [file('large', 'x'.repeat(5000)).split('/').at(-1)!, '5000 bytes', 'a file of at most 4096 bytes'],
  ]) {
    const path = join(directory, name);
    assert.equal(compile(redis(`url: "redis://a", passwordFile: ${path}`)).errors, [`weir.yaml:11:78: share.redis.passwordFile: found ${JSON.stringify(path.length > 64 ? `${path.slice(0, 64)}…` : path)} (${why}), allowed: ${allowed}`]);
  }
  const open = file('open', 'sesame\n', 0o644);
  assert.equal(compile(redis(`url: "redis://a", passwordFile: ${open}`)).warnings, [`weir.yaml:11:78: share.redis.passwordFile: warning: everybody on the box may read ${open}; take that away with chmod o-r`]);
  const both = compile(redis(`sentinels: "a:1", sentinelName: m, sentinelPassword: geheim, sentinelPasswordFile: ${good}`));
  assert.equal(both.errors, ['weir.yaml:11:107: share.redis.sentinelPasswordFile: found sentinelPasswordFile beside sentinelPassword, allowed: one of them']);
});

test('urls of Redis', () => {
  assert.equal(readRedisUrl('redis://h'), { url: 'redis://h:6379/0', isTls: false });
  assert.equal(readRedisUrl('redis://:p%3Aw@127.0.0.1:7/15'), { url: 'redis://127.0.0.1:7/15', password: 'p:w', isTls: false });
  assert.equal(readRedisUrl('rediss://u:a@b:c@h/'), { url: 'rediss://h:6379/0', username: 'u', password: 'a@b:c', isTls: true });
  for (const [text, why] of [
    ['h:6379', 'no redis://, rediss:// or unix:// before it'], ['redis://', 'no host'], ['redis://h/x', 'a path that is no database\'s number'], ['redis://h/1/2', 'a path that is no database\'s number'],
    ['redis://h:99999', 'ports go from 1 to 65535'], ['redis://[::1]:6379', 'IPv4 only in this version'], ['redis://%zz@h', 'a user or a password with a % that is not one of %00 to %FF'],
    ['unix://redis.sock', 'not the path of a socket'], ['unix:///run/', 'not the path of a socket'], ['redis://0.0.0.0', 'no address'], ['redis://-', 'not a host\'s name'],
  ]) assert.is(readRedisUrl(text), why, text);
  for (const text of ['redis://u:geheim@h', 'redis://:geheim@h/1', 'geheim@h', 'redis://a@geheim@h', 'redis:geheim@h']) assert.not.match(maskUrl(text), /geheim/, text);
  assert.is(maskUrl('redis://h:1/2'), 'redis://h:1/2');
});

test('names that the store cannot tell apart are refused, each in its own sense', () => {
  const text = `${share('store: redis, instance: a, redis: { url: "redis://a" }', LINKS)}policies:
  first: { to: 198.51.100.0/24, group: out }
virtualServers:
  web: { listen: "192.0.2.2:80/tcp", persistence: { tie: both }, realServers: { one: { address: 10.0.0.9 }, two: { address: 10.0.0.8 } } }
  dns: { listen: "192.0.2.2:53/udp", persistence: {}, realServers: { one: { address: 10.0.0.9 } } }
`;
  const { plan, errors } = compile(text);
  assert.equal(errors, []);
  const told = (hash: (name: string) => number): string[] => {
    const findings = new Findings();
    const values = validate(parseSources([{ file: 'weir.yaml', text }], findings)!, findings);
    checkRecordNames(values, plan!, findings, hash);
    return findings.errors().map(({ line, path, found }) => `${line} ${path}: ${found}`);
  };
  assert.equal(told(nameHash), []);
  // With one hash for all, the first name of each sense stands and every other one is refused where it stands.
  assert.equal(told(() => 7), [
    '3 links.wan: a name whose hash in the store is that of lan too', '4 links.box: a name whose hash in the store is that of lan too',
    '13 policies.first: a name whose hash in the store is that of out too',
    '15 virtualServers.web.realServers.two: a name whose hash in the store is that of web/one too',
    '16 virtualServers.dns: a name whose hash in the store is that of tie/both too', '16 virtualServers.dns.realServers.one: a name whose hash in the store is that of web/one too',
  ]);
  assert.equal(recordNames(plan!).length, 13);
  // Two names that really have the same: found by trying, as somebody unlucky would.
  const seen = new Map<number, string>();
  let pair: [string, string] | undefined;
  for (let i = 0; pair === undefined; i++) {
    const name = `l${i.toString(36)}`;
    const other = seen.get(nameHash(name));
    if (other !== undefined) pair = [other, name];
    seen.set(nameHash(name), name);
  }
  const two = `links:\n  ${pair[0]}: { type: tap, device: a }\n  ${pair[1]}: { type: tap, device: b }\n`;
  assert.equal(compile(two).errors, []);
  assert.equal(compile(share('store: redis, instance: a, redis: { url: "redis://a" }', two)).errors,
    [`weir.yaml:3:3: links.${pair[1]}: found a name whose hash in the store is that of ${pair[0]} too, allowed: another name for one of the two`]);
});

test.run();
