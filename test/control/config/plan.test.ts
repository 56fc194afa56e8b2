/** What a configuration without errors becomes: the plan to the last field, its defaults, and the warnings beside it. */
import { hostname } from 'node:os';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readDuration } from '../../../src/control/config/format.js';
import { compile, WHOLE } from './support.js';

/** How an uplink translates unless it is told otherwise. */
const MAPPING = { mapping: 'endpoint-independent', filtering: 'endpoint-independent', whenExhausted: 'share', refreshInbound: true } as const;

test('a whole configuration', () => {
  const { plan, errors, warnings } = compile(WHOLE);
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan, {
    generation: 7,
    seed: 42,
    links: [
      { index: 0, name: 'lan', type: 'tap', device: 'weir-lan', addresses: [{ address: '10.0.1.1', prefixLength: 24 }], defaultRoute: false, offload: true, mssClamp: 'auto', sourceCheck: 'strict' },
      { index: 1, name: 'wan', type: 'raw', device: 'eth1', addresses: [{ address: '203.0.113.2', prefixLength: 24 }], defaultRoute: false, offload: true, mssClamp: 'auto', sourceCheck: 'feasible' },
      { index: 2, name: 'host', type: 'tun', device: 'weir0', addresses: [{ address: '100.64.0.1', prefixLength: 30 }], peer: '100.64.0.2', defaultRoute: true, offload: true, mssClamp: 'auto', sourceCheck: 'off' },
    ],
    routes: [{ name: 'default', to: '0.0.0.0/0', group: 0 }],
    uplinks: [{ index: 0, name: 'isp', link: 1, gateway: '203.0.113.1', weight: 1, snat: ['203.0.113.2'], ...MAPPING, pin: '169.254.119.1' }],
    groups: [{ index: 0, name: 'internet', uplinks: [0], tiers: [1], balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 300, lastResort: 'unreachable' }],
    policies: [], virtualServers: [], realServers: [], vrrp: [],
    share: { store: 'memory', instance: hostname(), require: false, flushMs: 5, holdMs: 200, leaseMs: 600_000, portBlock: 1024, aliveMs: 3000 },
    filters: [], portForwards: [], oneToOne: [], noNat: [], algs: [{ name: 'ftp', ports: [21] }], tcpMidstream: 'reset',
    limits: {
      flows: 1_048_576, neighbours: 4096, neighbourQueue: 128, heldPackets: 1024, fragments: 4096, fragmentBytes: 16_777_216,
      icmpErrorsPerSecond: 1000, icmpErrorsPerDestination: 100,
      flowsPerSource: 0, portsPerSource: 0, expectations: 1024, affinity: 65_536, heldSyns: 256, offloadedFlows: 32_768, sharedChanges: 262_144, heldFetches: 512, snatPortFirst: 1024, snatPortLast: 65_535,
    },
    timeouts: {
      tcpOpening: 240, tcpEstablished: 7440, tcpClosing: 240, tcpTimeWait: 120, udp: 300, udpReplied: 300, icmp: 60, other: 600,
      fragment: 30, neighbourReachable: 30, neighbourStale: 600, portQuarantine: 120, synHold: 6, expectation: 30,
    },
    hooks: { directory: '/etc/weir/hooks.d', user: 'nobody', timeoutMs: 10_000 },
    control: { socket: '/run/weir/weir.sock', logLevel: 'info' },
  });
});

test('every key that can be set arrives', () => {
  const { plan, errors } = compile(`
links:
  lan: { type: tap, device: d1, netns: blue, bridge: br0, mac: "02:00:00:00:00:AB", mtu: 9000, addresses: [10.0.0.1/31, 10.1.0.1/32], offload: false }
  wan: { type: raw, device: d1, addresses: [192.0.2.2/24] }
  ppp: { type: tun, device: d2 }
routes:
  a: { to: 10.2.0.0/16, via: 10.0.0.0 }
  b: { to: 10.3.0.0/16, via: 172.16.0.1, link: wan }
  c: { to: 10.4.0.0/16, link: ppp }
  d: { to: 10.5.0.0/16, group: two }
  e: { to: 240.0.0.0/4, refuse: prohibit }
uplinks:
  one: { link: ppp, weight: 0, snat: off }
  two: { link: wan, gateway: 192.0.2.1, weight: 65535, snat: 192.0.2.9 }
  three: { link: wan, gateway: 192.0.2.3, snat: [192.0.2.7, 192.0.2.8] }
groups:
  one: { uplinks: [two, one], balance: flow }
  two: { uplinks: [three] }
limits: { flows: 2048 }
timeouts: { tcpEstablished: 1d2h3m4s, udp: 120s, other: 2000ms }
control: { socket: /tmp/w.sock, group: netdev, logLevel: debug }
`);
  assert.equal(errors, []);
  assert.ok(plan);
  assert.equal(plan.links[0], {
    index: 0, name: 'lan', type: 'tap', device: 'd1', netns: 'blue', bridge: 'br0', mac: '02:00:00:00:00:ab', mtu: 9000,
    addresses: [{ address: '10.0.0.1', prefixLength: 31 }, { address: '10.1.0.1', prefixLength: 32 }], defaultRoute: false, offload: false,
    mssClamp: 'auto', sourceCheck: 'strict',
  });
  assert.equal(plan.routes, [
    { name: 'a', to: '10.2.0.0/16', via: '10.0.0.0', link: 0 },
    { name: 'b', to: '10.3.0.0/16', via: '172.16.0.1', link: 1 },
    { name: 'c', to: '10.4.0.0/16', link: 2 },
    { name: 'd', to: '10.5.0.0/16', group: 1 },
    { name: 'e', to: '240.0.0.0/4', refuse: 'prohibit' },
  ]);
  assert.equal(plan.uplinks, [
    { index: 0, name: 'one', link: 2, weight: 0, snat: [], ...MAPPING },
    { index: 1, name: 'two', link: 1, gateway: '192.0.2.1', weight: 65535, snat: ['192.0.2.9'], ...MAPPING },
    { index: 2, name: 'three', link: 1, gateway: '192.0.2.3', weight: 1, snat: ['192.0.2.7', '192.0.2.8'], ...MAPPING },
  ]);
  assert.equal(plan.groups, [
    { index: 0, name: 'one', uplinks: [1, 0], tiers: [1, 1], balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 300, lastResort: 'unreachable' },
    { index: 1, name: 'two', uplinks: [2], tiers: [1], balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 300, lastResort: 'unreachable' },
  ]);
  assert.is(plan.limits.flows, 2048);
  assert.is(plan.limits.neighbours, 4096);
  assert.is(plan.timeouts.tcpEstablished, 93_784);
  assert.is(plan.timeouts.udp, 120);
  assert.is(plan.timeouts.other, 2);
  assert.equal(plan.control, { socket: '/tmp/w.sock', group: 'netdev', logLevel: 'debug' });
});

test('a plan can be handed to another thread', () => {
  const { plan } = compile(WHOLE);
  assert.equal(structuredClone(plan), plan);
});

test('plans share nothing: changing one leaves the next as it should be', () => {
  const first = compile(WHOLE).plan!;
  first.limits.flows = 1;
  first.links[0].addresses.push({ address: '1.1.1.1', prefixLength: 32 });
  assert.is(compile(WHOLE).plan!.limits.flows, 1_048_576);
  assert.is(compile(WHOLE).plan!.links[0].addresses.length, 1);
});

test('later files add to maps, and replace scalars and lists', () => {
  const { plan, errors, warnings } = compile(WHOLE,
    'uplinks:\n  isp: { weight: 3 }\n  other: { link: lan, gateway: 10.0.1.9 }\nlimits:\n',
    'groups: { internet: { uplinks: [other, isp] } }\nlinks: { lan: { addresses: [10.0.1.2/24] } }\n',
    'uplinks: { isp: { weight: 5 } }\n', '', '# nothing\n');
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan!.uplinks.map(({ name, weight }) => [name, weight]), [['isp', 5], ['other', 1]]);
  assert.equal(plan!.groups[0].uplinks, [1, 0]);
  assert.equal(plan!.links[0].addresses, [{ address: '10.0.1.2', prefixLength: 24 }]);
  assert.is(plan!.links[0].device, 'weir-lan');
});

test('a mistake is told in the file it is in, and files stand in their order', () => {
  const { errors } = compile(WHOLE.replace('uplinks: [isp]', 'uplinks: [isp, nobody]'), 'uplinks: { isp: { weight: x } }', 'uplinks: { isp: { wieght: 1 }, new: { weight: 1 } }');
  assert.equal(errors, [
    'weir.yaml:10:30: groups.internet.uplinks[1]: found "nobody", allowed: the name of an uplink: isp or new',
    '1.yaml:1:27: uplinks.isp.weight: found "x" (a text), allowed: 0 to 65535',
    '2.yaml:1:19: uplinks.isp.wieght: found an unknown key (did you mean weight?), allowed: link, gateway, weight, snat, mapping, filtering, whenExhausted, refreshInbound and check',
    '2.yaml:1:32: uplinks.new.link: found nothing, allowed: the name of a link; an uplink needs it',
  ]);
});

test('a drop-in can mend what it replaces', () => {
  assert.equal(compile(WHOLE.replace('uplinks: [isp]', 'uplinks: [isp, nobody]'), 'groups: { internet: { uplinks: [isp] } }').errors, []);
});

test('one file that cannot be read is all that is told of the others', () => {
  assert.equal(compile('uplinks: { isp: { link: wan9 } }', 'links: [').errors.map((line) => line.split(' ')[0]), ['1.yaml:1:9:']);
});

test('JSON is YAML, tabs and all', () => {
  const value = { links: { lan: { type: 'tap', device: 'weir-lan', addresses: ['10.0.1.1/24'] } }, limits: { flows: 4096 } };
  for (const indent of [undefined, 2, '\t']) {
    const { plan, errors } = compile(JSON.stringify(value, null, indent));
    assert.equal(errors, []);
    assert.is(plan!.limits.flows, 4096);
    assert.is(plan!.links[0].device, 'weir-lan');
  }
});

test('anchors and merge keys: what is written out wins, then the first of several', () => {
  const { plan, errors } = compile(`
links:
  a: &base { type: tap, device: a, mtu: 1400, offload: false }
  b: { device: b, <<: *base }
  c: { <<: [{ device: c, mtu: 1300 }, *base] }
  d: { type: tap, device: d, addresses: &list [10.0.0.1/24] }
`);
  assert.equal(errors, []);
  assert.equal(plan!.links.map(({ device, mtu, offload }) => [device, mtu, offload]), [['a', 1400, false], ['b', 1400, false], ['c', 1300, false], ['d', undefined, true]]);
});

test('byte order mark and Windows line ends', () => {
  const { plan, errors } = compile(`\ufeff${WHOLE.replaceAll('\n', '\r\n')}`);
  assert.equal(errors, []);
  assert.is(plan!.links.length, 3);
  assert.equal(compile('links:\r\n  lan:\r\n    type: tpa\r\n    device: d\r\n').errors, ['weir.yaml:3:11: links.lan.type: found "tpa" (did you mean tap?), allowed: tap, raw or tun']);
});

test('names that JavaScript knows are names like any other', () => {
  const { plan, errors } = compile('links: { constructor: { type: tap, device: a }, prototype: { type: tap, device: b } }');
  assert.equal(errors, []);
  assert.equal(plan!.links.map(({ name }) => name), ['constructor', 'prototype']);
});

test('warnings: what may be meant and deserves a look', () => {
  const { plan, warnings } = compile(`links:
  lan: { type: tap, device: a, mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24] }
  wan: { type: tap, device: b, mac: 02:00:00:00:00:01, addresses: [192.0.2.2/24] }
  bare: { type: tap, device: c }
uplinks:
  far: { link: wan, gateway: 198.51.100.1, weight: 0 }
  bare: { link: bare, gateway: 198.51.100.1, snat: [192.0.2.99, 10.0.0.1] }
groups:
  all: { uplinks: [far] }
`);
  assert.ok(plan);
  assert.equal(warnings, [
    'weir.yaml:1:1: routes: warning: there are uplinks but no default route: add { to: 0.0.0.0/0, group: … }',
    'weir.yaml:3:37: links.wan.mac: warning: lan has the same MAC address; they must not meet on one network',
    'weir.yaml:6:30: uplinks.far.gateway: warning: 198.51.100.1 is not in 192.0.2.0/24 of wan; it is taken to be on that link all the same',
    'weir.yaml:7:3: uplinks.bare: warning: no group has this uplink',
    'weir.yaml:7:32: uplinks.bare.gateway: warning: 198.51.100.1 is taken to be on bare, which has no address of its own',
    'weir.yaml:7:65: uplinks.bare.snat[1]: warning: 10.0.0.1 is the router\'s address on lan, not on bare; replies may come back by another way',
    'weir.yaml:9:3: groups.all: warning: no route, policy or last resort leads to this group',
    'weir.yaml:9:19: groups.all.uplinks: warning: every uplink has weight 0, so the group takes no new flows',
  ]);
});

test('nothing at all is a configuration, with a warning', () => {
  for (const text of ['', '# comment\n', '{}', 'links: {}', 'links:\n', '~']) {
    const { plan, errors, warnings } = compile(text);
    assert.equal(errors, []);
    assert.is(plan!.links.length, 0);
    assert.equal(warnings, ['weir.yaml:1:1: links: warning: there are no links, so nothing is forwarded']);
  }
});

test('durations', () => {
  for (const [text, seconds] of [['1s', 1], ['800ms', 0.8], ['1500ms', 1.5], ['5m', 300], ['2h4m', 7440], ['1d', 86_400], ['1d1h1m1s1ms', 90_061.001], ['0s', 0], ['5m0s', 300]] as const) {
    assert.is(readDuration(text), seconds, text);
  }
  for (const text of ['', '5', 's', '1.5s', '-1s', '1 s', '1m1h', '1s1s', '1w', '1S', '1e3s', ' 1s', '9999999999s']) assert.is(readDuration(text), undefined, text);
});

test('a thousand links, uplinks and routes', () => {
  const indexes = Array.from({ length: 1000 }, (_, index) => index);
  const text = `links:
${indexes.map((index) => `  l${index}: { type: tap, device: t${index}, addresses: [10.${index >> 8}.${index & 255}.1/24] }`).join('\n')}
uplinks:
${indexes.map((index) => `  u${index}: { link: l${index}, gateway: 10.${index >> 8}.${index & 255}.2 }`).join('\n')}
groups:
  all: { uplinks: [${indexes.map((index) => `u${index}`).join(', ')}] }
routes:
  default: { to: 0.0.0.0/0, group: all }
${indexes.map((index) => `  r${index}: { to: 172.${16 + (index >> 8)}.${index & 255}.0/24, via: 10.${index >> 8}.${index & 255}.3 }`).join('\n')}
`;
  const { plan, errors, warnings } = compile(text);
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.is(plan!.links.length, 1000);
  assert.is(plan!.groups[0].uplinks[999], 999);
  assert.is(plan!.routes[1000].link, 999);
  const broken = compile(text.replaceAll('type: tap', 'type: tpa'));
  assert.is(broken.errors.length, 1000);
  assert.match(compile(text.replace('link: l7,', 'link: x,')).errors[0], /allowed: the name of a link: l0, l1, .*, … \(1000 in all\)$/);
});

test.run();
