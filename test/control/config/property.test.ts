/**
 * Whatever subset of a configuration's keys is broken, each of them is told once, in its place, and nothing else is;
 * and no text at all brings anything but ConfigErrors or a plan.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nearest } from '../../../src/control/config/near.js';
import { compile } from './support.js';

/** Every line of a configuration, with ways to break it that nothing else depends on. */
const LINES: readonly { path: string; line: string; broken: readonly string[] }[] = [
  { path: '', line: 'links:', broken: [] },
  { path: '', line: '  lan:', broken: [] },
  { path: 'links.lan.type', line: '    type: tap', broken: ['    type: tape', '    type:', '    type: [tap]', '    type: { tap: tap }', '    type: 3'] },
  { path: 'links.lan.device', line: '    device: weir-lan', broken: ['    device: "a/b"', '    device: a-much-too-long-name', '    device: null', '    device: 7'] },
  { path: 'links.lan.mtu', line: '    mtu: 1500', broken: ['    mtu: 15', '    mtu: 1e9', '    mtu: big', '    mtu: [1500]'] },
  { path: 'links.lan.addresses', line: '    addresses: [10.0.0.1/24]', broken: ['    addresses: 10.0.0.1/24', '    addresses: 5', '    addresses: { a: b }'] },
  { path: 'links.lan.offload', line: '    offload: false', broken: ['    offload: no', '    offload: 0', '    offload: [false]'] },
  { path: '', line: '  wan:', broken: [] },
  { path: '', line: '    type: raw', broken: [] },
  { path: 'links.wan.device', line: '    device: eth1', broken: ['    device: "eth 1"', '    device: ""'] },
  { path: 'links.wan.addresses[1]', line: '    addresses: [192.0.2.2/24, 10.9.0.1/24]', broken: ['    addresses: [192.0.2.2/24, 10.9.0.1]', '    addresses: [192.0.2.2/24, 127.0.0.1/8]', '    addresses: [192.0.2.2/24, "::1/128"]', '    addresses: [192.0.2.2/24, 192.0.2.2/16]'] },
  { path: '', line: '  host:', broken: [] },
  { path: '', line: '    type: tun', broken: [] },
  { path: '', line: '    device: weir0', broken: [] },
  { path: '', line: '    addresses: [100.64.0.1/30]', broken: [] },
  { path: 'links.host.peer', line: '    peer: 100.64.0.2', broken: ['    peer: 100.64.0.1', '    peer: 100.64.0.9', '    peer: host', '    peer: []'] },
  { path: 'links.host.pins', line: '    pins: 169.254.7.0/28', broken: ['    pins: 169.254.7.0/32', '    pins: 169.254.7.1', '    pins: 127.0.0.0/24'] },
  { path: '', line: 'routes:', broken: [] },
  { path: 'routes.office.to', line: '  office: { to: 10.20.0.0/16, link: lan }', broken: ['  office: { to: 10.20.0.1/16, link: lan }', '  office: { to: 0.0.0.0, link: lan }', '  office: { to: [10.20.0.0/16], link: lan }', '  office: { link: lan }'] },
  { path: 'routes.default.group', line: '  default: { to: 0.0.0.0/0, group: internet }', broken: ['  default: { to: 0.0.0.0/0, group: intranet }', '  default: { to: 0.0.0.0/0, group: 5 }', '  default: { to: 0.0.0.0/0, group: {} }'] },
  { path: '', line: 'uplinks:', broken: [] },
  { path: 'uplinks.isp.link', line: '  isp: { link: wan, gateway: 192.0.2.1 }', broken: ['  isp: { link: won, gateway: 192.0.2.1 }', '  isp: { gateway: 192.0.2.1 }', '  isp: { link: [wan], gateway: 192.0.2.1 }'] },
  { path: 'uplinks.two.gateway', line: '  two: { link: wan, gateway: 192.0.2.3 }', broken: ['  two: { link: wan }', '  two: { link: wan, gateway: 192.0.2.2 }', '  two: { link: wan, gateway: 192.0.2.300 }', '  two: { link: wan, gateway: 192.0.2.0 }'] },
  { path: 'uplinks.three.weight', line: '  three: { link: wan, gateway: 192.0.2.4, weight: 3 }', broken: ['  three: { link: wan, gateway: 192.0.2.4, weight: -3 }', '  three: { link: wan, gateway: 192.0.2.4, weight: 3kg }'] },
  { path: '', line: '  four:', broken: [] },
  { path: '', line: '    link: wan', broken: [] },
  { path: '', line: '    gateway: 192.0.2.5', broken: [] },
  { path: '', line: '    check:', broken: [] },
  { path: 'uplinks.four.check.icmp[1]', line: '      icmp: [gateway, 198.51.100.1]', broken: ['      icmp: [gateway, 127.0.0.1]', '      icmp: [gateway, 198.51.100]', '      icmp: [gateway, getaway]', '      icmp: [gateway, 192.0.2.5]', '      icmp: [gateway, {}]', '      icmp: [gateway, 5]'] },
  { path: 'uplinks.four.check.arp', line: '      arp: gateway', broken: ['      arp: 127.0.0.1', '      arp: gw', '      arp: {}', '      arp:'] },
  { path: 'uplinks.four.check.udp[1].ttl', line: '      udp: [198.51.100.1, { target: 198.51.100.2, ttl: 3 }]', broken: ['      udp: [198.51.100.1, { target: 198.51.100.2, ttl: 0 }]', '      udp: [198.51.100.1, { target: 198.51.100.2, ttl: {} }]', '      udp: [198.51.100.1, { target: 198.51.100.2, ttl: far }]'] },
  { path: 'uplinks.four.check.tcp', line: '      tcp: a.example:443', broken: ['      tcp: a.example', '      tcp: 127.0.0.1:443', '      tcp: { host: a.example }', '      tcp: []'] },
  { path: 'uplinks.four.check.http.url', line: '      http: { url: https://a.example/, status: 200 }', broken: ['      http: { url: a.example, status: 200 }', '      http: { status: 200 }', '      http: { url: [], status: 200 }'] },
  { path: 'uplinks.four.check.dns[0].name', line: '      dns: [{ server: 198.51.100.53, name: a.example }]', broken: ['      dns: [{ server: 198.51.100.53, name: 5 }]', '      dns: [{ server: 198.51.100.53, name: 198.51.100.1 }]'] },
  { path: 'uplinks.four.check.script', line: '      script: [/bin/true, x]', broken: ['      script: [bin/true, x]', '      script: "/bin/true -x"', '      script: []', '      script: 5'] },
  { path: 'uplinks.four.check.need', line: '      need: 2', broken: ['      need: 0', '      need: most', '      need: 33'] },
  { path: 'uplinks.four.check.interval', line: '      interval: 2s', broken: ['      interval: 2', '      interval: 50ms', '      interval: 2h'] },
  { path: 'uplinks.four.check.timeout', line: '      timeout: 1s', broken: ['      timeout: 1', '      timeout: 5ms', '      timeout: {}'] },
  { path: 'uplinks.four.check.loss.recover', line: '      loss: { fail: 40%, recover: 10% }', broken: ['      loss: { fail: 40%, recover: 41% }', '      loss: { fail: 40%, recover: 10 }', '      loss: { fail: 40%, recover: [] }'] },
  { path: 'uplinks.four.check.latency', line: '      latency: { fail: 1s }', broken: ['      latency: 1s', '      latency: [1s]', '      latency:'] },
  { path: 'uplinks.four.check.damping.reuse', line: '      damping: { suppress: 2, reuse: 1 }', broken: ['      damping: { suppress: 2, reuse: 2 }', '      damping: { suppress: 2, reuse: 0 }', '      damping: { suppress: 2, reuse: low }'] },
  { path: 'uplinks.four.check.fallen', line: '      # checks may have comments', broken: ['      fallen: 3', '      fallen: { a: [b] }'] },
  { path: '', line: 'groups:', broken: [] },
  { path: 'groups.second.tiers.two', line: '  second: { uplinks: [two, isp], tiers: { two: 2 } }', broken: ['  second: { uplinks: [two, isp], tiers: { two: 0 } }', '  second: { uplinks: [two, isp], tiers: { two: {} } }', '  second: { uplinks: [two, isp], tiers: { two: second } }'] },
  { path: 'groups.third.tiers.four', line: '  third: { uplinks: [two, isp], tiers: { two: 2 } }', broken: ['  third: { uplinks: [two, isp], tiers: { four: 2 } }'] },
  { path: 'groups.fourth.lastResort.group', line: '  fourth: { uplinks: [four], lastResort: { group: second } }', broken: ['  fourth: { uplinks: [four], lastResort: { group: fourth } }', '  fourth: { uplinks: [four], lastResort: { group: first } }', '  fourth: { uplinks: [four], lastResort: {} }'] },
  { path: 'groups.fifth.affinity.timeout', line: '  fifth: { uplinks: [four], affinity: { timeout: 5m } }', broken: ['  fifth: { uplinks: [four], affinity: { timeout: 5 } }', '  fifth: { uplinks: [four], affinity: { timeout: [5m] } }'] },
  { path: 'groups.sixth.onDown', line: '  sixth: { uplinks: [four], onDown: drain }', broken: ['  sixth: { uplinks: [four], onDown: drop }', '  sixth: { uplinks: [four], onDown: {} }', '  sixth: { uplinks: [four], onDown: 5 }'] },
  { path: 'groups.internet.uplinks[1]', line: '  internet: { uplinks: [isp, two, three] }', broken: ['  internet: { uplinks: [isp, tow, three] }', '  internet: { uplinks: [isp, isp, three] }', '  internet: { uplinks: [isp, 2, three] }', '  internet: { uplinks: [isp, {}, three] }'] },
  { path: '', line: 'policies:', broken: [] },
  { path: 'policies.one', line: '  one: { from: 10.0.0.8/29, exclude: true }', broken: ['  one: { from: 10.0.0.8/29 }', '  one: { from: 10.0.0.8/29, group: second, exclude: true }', '  one:', '  one: second'] },
  { path: 'policies.two.prefer', line: '  two: { from: 10.0.0.16/29, group: second, prefer: two }', broken: ['  two: { from: 10.0.0.16/29, group: second, prefer: three }', '  two: { from: 10.0.0.16/29, group: second, prefer: tow }', '  two: { from: 10.0.0.16/29, group: second, prefer: [two] }'] },
  { path: 'policies.three.group', line: '  three: { from: 10.0.0.24/29, group: third }', broken: ['  three: { from: 10.0.0.24/29, group: thrid }', '  three: { from: 10.0.0.24/29, group: [third] }'] },
  { path: 'policies.four.from', line: '  four: { from: 10.0.0.32/29, group: fourth }', broken: ['  four: { from: 10.0.0.33/29, group: fourth }', '  four: { from: lan, group: fourth }'] },
  { path: 'policies.five.in', line: '  five: { in: lan, from: 10.0.0.40/29, group: fifth }', broken: ['  five: { in: lna, from: 10.0.0.40/29, group: fifth }', '  five: { in: {}, from: 10.0.0.40/29, group: fifth }', '  five: { in: 5, from: 10.0.0.40/29, group: fifth }'] },
  { path: 'policies.six.exclude', line: '  six: { to: 192.88.99.0/24, group: sixth, exclude: false }', broken: ['  six: { to: 192.88.99.0/24, group: sixth, exclude: no }', '  six: { to: 192.88.99.0/24, group: sixth, exclude: [] }'] },
  { path: '', line: 'portForwards:', broken: [] },
  { path: 'portForwards.web.listen', line: '  web: { uplink: isp, listen: 80/tcp, to: 10.0.0.5 }', broken: ['  web: { uplink: isp, listen: 80, to: 10.0.0.5 }', '  web: { uplink: isp, listen: [80/tcp], to: 10.0.0.5 }', '  web: { uplink: isp, to: 10.0.0.5 }', '  web: { uplink: isp, listen: 80/sctp, to: 10.0.0.5 }'] },
  { path: 'portForwards.wiki.uplink', line: '  wiki: { uplink: isp, listen: 81/tcp, to: 10.0.0.5:80 }', broken: ['  wiki: { uplink: ips, listen: 81/tcp, to: 10.0.0.5:80 }', '  wiki: { listen: 81/tcp, to: 10.0.0.5:80 }', '  wiki: { uplink: [isp], listen: 81/tcp, to: 10.0.0.5:80 }'] },
  { path: 'portForwards.mail.to', line: '  mail: { uplink: isp, listen: 25/tcp, to: 10.0.0.6 }', broken: ['  mail: { uplink: isp, listen: 25/tcp, to: 10.0.0.6:1-2 }', '  mail: { uplink: isp, listen: 25/tcp, to: 10.0.0 }', '  mail: { uplink: isp, listen: 25/tcp }'] },
  { path: '', line: 'oneToOne:', broken: [] },
  { path: 'oneToOne.host.external', line: '  host: { uplink: isp, external: 192.0.2.9, internal: 10.0.0.9 }', broken: ['  host: { uplink: isp, external: 192.0.2.1, internal: 10.0.0.9 }', '  host: { uplink: isp, external: 192.0.2.9/32, internal: 10.0.0.9 }', '  host: { uplink: isp, internal: 10.0.0.9 }'] },
  { path: '', line: 'noNat:', broken: [] },
  { path: 'noNat.vpn.out', line: '  vpn: { out: wan, to: 198.51.100.0/24 }', broken: ['  vpn: { out: lan, to: 198.51.100.0/24 }', '  vpn: { out: won, to: 198.51.100.0/24 }', '  vpn: { out: { a: b }, to: 198.51.100.0/24 }', '  vpn: { out: 5, to: 198.51.100.0/24 }'] },
  { path: '', line: 'filters:', broken: [] },
  { path: 'filters.one.over.rate', line: '  one: { action: drop, in: lan, over: { rate: 5/s } }', broken: ['  one: { action: drop, in: lan, over: { rate: 5 } }', '  one: { action: drop, in: lan, over: { burst: 5 } }', '  one: { action: drop, in: lan, over: { rate: { a: b } } }'] },
  { path: 'filters.two.ports', line: '  two: { action: drop, protocol: udp, ports: 5-9 }', broken: ['  two: { action: drop, protocol: udp, ports: 9-5 }', '  two: { action: drop, protocol: gre, ports: 5-9 }', '  two: { action: drop, protocol: udp, ports: many }'] },
  { path: 'filters.three', line: '  three: { action: accept, from: 10.0.0.0/24, to: 203.0.113.0/24 }', broken: ['  three: drop', '  three:', '  three: []'] },
  { path: '', line: 'algs:', broken: [] },
  { path: 'algs.ftp', line: '  ftp: { ports: [21] }', broken: ['  ftp: false', '  ftp:', '  ftp: [21]'] },
  { path: '', line: 'limits:', broken: [] },
  { path: 'limits.flows', line: '  flows: 4096', broken: ['  flows: 1', '  flows: many', '  flows: 4096.5'] },
  { path: 'limits.colour', line: '  # limits may have comments', broken: ['  colour: red', '  colour: { a: { b: { c: d } } }'] },
  { path: '', line: 'timeouts:', broken: [] },
  { path: 'timeouts.udp', line: '  udp: 5m', broken: ['  udp: 1m', '  udp: 5', '  udp: 5 minutes', '  udp:'] },
  { path: '', line: 'hooks:', broken: [] },
  { path: 'hooks.directory', line: '  directory: /opt/hooks', broken: ['  directory: hooks', '  directory: 5', '  directory: {}'] },
  { path: 'hooks.timeout', line: '  timeout: 1500ms', broken: ['  timeout: 1500', '  timeout: 1ms', '  timeout: []'] },
  { path: '', line: 'control:', broken: [] },
  { path: 'control.socket', line: '  socket: /run/w.sock', broken: ['  socket: w.sock', '  socket: 1', '  socket: /run/', '  socket: []'] },
  { path: '', line: 'vrrp:', broken: [] },
  { path: 'vrrp.gateway.id', line: '  gateway: { link: lan, id: 5, addresses: [10.0.0.250] }', broken: ['  gateway: { link: lan, id: 256, addresses: [10.0.0.250] }', '  gateway: { link: lan, addresses: [10.0.0.250] }', '  gateway: { link: lan, id: [5], addresses: [10.0.0.250] }'] },
  { path: 'vrrp.second.track', line: '  second: { link: lan, id: 6, addresses: [10.0.0.251], track: isp }', broken: ['  second: { link: lan, id: 6, addresses: [10.0.0.251], track: ips }', '  second: { link: lan, id: 6, addresses: [10.0.0.251], track: 5 }', '  second: { link: lan, id: 6, addresses: [10.0.0.251], track: [] }'] },
  { path: 'vrrp.third.interval', line: '  third: { link: lan, id: 7, addresses: [10.0.0.252/24], interval: 150ms }', broken: ['  third: { link: lan, id: 7, addresses: [10.0.0.252/24], interval: 155ms }', '  third: { link: lan, id: 7, addresses: [10.0.0.252/24], interval: 5 }', '  third: { link: lan, id: 7, addresses: [10.0.0.252/24], interval: {} }'] },
  { path: '', line: 'share:', broken: [] },
  { path: 'share.store', line: '  store: memory', broken: ['  store: disk', '  store: {}', '  store:'] },
  { path: 'share.portBlock', line: '  portBlock: 2048', broken: ['  portBlock: 2047', '  portBlock: 32', '  portBlock: many', '  portBlock: { a: b }'] },
  { path: 'web', line: '# nothing here', broken: ['web: {}', 'web:', 'web: [1, 2]'] },
];
const BREAKABLE = LINES.flatMap(({ path, broken }, index) => (path !== '' ? [{ index, ways: broken.length }] : []));

test('unbroken, it is a configuration', () => {
  const { errors, warnings } = compile(LINES.map(({ line }) => line).join('\n'));
  assert.equal(errors, []);
  assert.equal(warnings, []);
});

test('every broken key is told once, in its line, and nothing else is', () => {
  fc.assert(fc.property(
    fc.subarray(BREAKABLE), fc.array(fc.nat(), { minLength: BREAKABLE.length, maxLength: BREAKABLE.length }),
    (chosen, ways) => {
      const lines = LINES.map(({ line }) => line);
      const wanted: string[] = [];
      chosen.forEach(({ index, ways: count }, position) => {
        lines[index] = LINES[index].broken[ways[position] % count];
        wanted.push(`${index + 1}: ${LINES[index].path}`);
      });
      const told = compile(lines.join('\n')).errors.map((error) => {
        const match = /^weir\.yaml:(\d+):\d+: ([^:]+): found .+, allowed: .+$/.exec(error);
        assert.ok(match, error);
        return `${match[1]}: ${match[2]}`;
      });
      assert.equal(told, wanted);
    },
  ), { numRuns: 400 });
});

test('any text gives a plan or ConfigErrors', () => {
  const fragments = fc.constantFrom(
    'links', 'uplinks', 'groups', 'routes', 'lan', 'isp', 'type', 'tap', 'device', 'addresses', ':', ': ', '\n', '\n  ', '\n    ', '- ', '[', ']', '{', '}', ',', '"', "'", '&a', ' *a',
    '<<', '!t', '|', '>', '#', '? ', '~', '0', '1.5', '10.0.0.1/24', '\t', '---', '...', '%', '@', '`', '\u0000', '\ufeff', '__proto__', 'constructor', 'null', 'true',
  );
  fc.assert(fc.property(fc.array(fc.oneof({ weight: 9, arbitrary: fragments }, fc.string({ unit: 'binary' })), { maxLength: 40 }), (parts) => {
    const { plan, errors } = compile(parts.join(''));
    assert.is(plan === undefined, errors.length > 0);
    for (const error of errors) assert.match(error, /^weir\.yaml:\d+:\d+: (.+: )?found [^]+, allowed: /);
  }), { numRuns: 1500 });
});

test('any tree of data in the place of any section gives a plan or ConfigErrors', () => {
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.ipV4(), fc.constantFrom('tap', 'auto', '10.0.0.1/24', '5m', 'a', 'b', '80/tcp', '10.0.0.1:80', '80-90', '5/s', 'drop', 'tcp', 'off', 'gateway', 'http://a', '/bin/a', '40%', 'a:1', 'packet'));
  const name = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'b', 'type', 'device', 'addresses', 'link', 'via', 'to', 'group', 'gateway', 'snat', 'uplinks', 'balance', 'udp', 'flows', 'peer', 'mtu', '__proto__', 'listen', 'uplink', 'external', 'internal', 'in', 'out', 'from', 'ports', 'protocol', 'over', 'rate', 'state', 'action', 'ftp', 'tftp', 'check', 'icmp', 'http', 'url', 'script', 'command', 'dns', 'server', 'loss', 'fail', 'recover', 'damping', 'reuse', 'tiers', 'affinity', 'by', 'lastResort', 'prefer', 'exclude', 'balance', 'pins', 'listen', 'realServers', 'address', 'scheduler', 'persistence', 'sorry', 'quorum', 'tcp', 'port', 'id', 'priority', 'track', 'name', 'weight', 'interval', 'peers', 'store', 'redis', 'url', 'sentinels', 'cluster', 'tls') }, fc.string());
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({ tree: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('tree'), { maxLength: 3 }), fc.dictionary(name, tie('tree'), { maxKeys: 5 })) }));
  const section = fc.constantFrom('links', 'routes', 'uplinks', 'groups', 'policies', 'virtualServers', 'hooks', 'portForwards', 'oneToOne', 'noNat', 'filters', 'tcp', 'algs', 'limits', 'timeouts', 'control', 'vrrp', 'share');
  fc.assert(fc.property(fc.dictionary(section, tree), fc.dictionary(section, tree), (main, dropIn) => {
    const { plan, errors } = compile(JSON.stringify(main), JSON.stringify(dropIn));
    assert.is(plan === undefined, errors.length > 0);
  }), { numRuns: 600 });
});

test('one slip of the finger in a longer name is recognised', () => {
  const names = ['addresses', 'defaultRoute', 'gateway', 'tcpEstablished', 'neighbourQueue', 'offload'];
  fc.assert(fc.property(fc.constantFrom(...names), fc.nat(), fc.constantFrom('drop', 'double', 'swap', 'replace'), (name, at, slip) => {
    const index = at % (name.length - 1);
    const [head, letter, next, tail] = [name.slice(0, index), name[index], name[index + 1], name.slice(index + 2)];
    const typed = { drop: head + next + tail, double: head + letter + letter + next + tail, swap: head + next + letter + tail, replace: `${head}#${next}${tail}` }[slip];
    assert.is(nearest(typed, names), name);
  }));
  assert.is(nearest('colour', names), undefined);
  assert.is(nearest('', names), undefined);
});

test.run();
