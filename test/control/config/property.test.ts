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
  { path: '', line: 'routes:', broken: [] },
  { path: 'routes.office.to', line: '  office: { to: 10.20.0.0/16, link: lan }', broken: ['  office: { to: 10.20.0.1/16, link: lan }', '  office: { to: 0.0.0.0, link: lan }', '  office: { to: [10.20.0.0/16], link: lan }', '  office: { link: lan }'] },
  { path: 'routes.default.group', line: '  default: { to: 0.0.0.0/0, group: internet }', broken: ['  default: { to: 0.0.0.0/0, group: intranet }', '  default: { to: 0.0.0.0/0, group: 5 }', '  default: { to: 0.0.0.0/0, group: {} }'] },
  { path: '', line: 'uplinks:', broken: [] },
  { path: 'uplinks.isp.link', line: '  isp: { link: wan, gateway: 192.0.2.1 }', broken: ['  isp: { link: won, gateway: 192.0.2.1 }', '  isp: { gateway: 192.0.2.1 }', '  isp: { link: [wan], gateway: 192.0.2.1 }'] },
  { path: 'uplinks.two.gateway', line: '  two: { link: wan, gateway: 192.0.2.3 }', broken: ['  two: { link: wan }', '  two: { link: wan, gateway: 192.0.2.2 }', '  two: { link: wan, gateway: 192.0.2.300 }', '  two: { link: wan, gateway: 192.0.2.0 }'] },
  { path: 'uplinks.three.weight', line: '  three: { link: wan, gateway: 192.0.2.4, weight: 3 }', broken: ['  three: { link: wan, gateway: 192.0.2.4, weight: -3 }', '  three: { link: wan, gateway: 192.0.2.4, weight: 3kg }'] },
  { path: '', line: 'groups:', broken: [] },
  { path: 'groups.internet.uplinks[1]', line: '  internet: { uplinks: [isp, two, three] }', broken: ['  internet: { uplinks: [isp, tow, three] }', '  internet: { uplinks: [isp, isp, three] }', '  internet: { uplinks: [isp, 2, three] }', '  internet: { uplinks: [isp, {}, three] }'] },
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
  { path: '', line: 'control:', broken: [] },
  { path: 'control.socket', line: '  socket: /run/w.sock', broken: ['  socket: w.sock', '  socket: 1', '  socket: /run/', '  socket: []'] },
  { path: 'vrrp', line: '# nothing here', broken: ['vrrp: {}', 'vrrp:', 'vrrp: [1, 2]'] },
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
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.ipV4(), fc.constantFrom('tap', 'auto', '10.0.0.1/24', '5m', 'a', 'b', '80/tcp', '10.0.0.1:80', '80-90', '5/s', 'drop', 'tcp', 'off'));
  const name = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'b', 'type', 'device', 'addresses', 'link', 'via', 'to', 'group', 'gateway', 'snat', 'uplinks', 'balance', 'udp', 'flows', 'peer', 'mtu', '__proto__', 'listen', 'uplink', 'external', 'internal', 'in', 'out', 'from', 'ports', 'protocol', 'over', 'rate', 'state', 'action', 'ftp', 'tftp') }, fc.string());
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({ tree: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('tree'), { maxLength: 3 }), fc.dictionary(name, tie('tree'), { maxKeys: 5 })) }));
  const section = fc.constantFrom('links', 'routes', 'uplinks', 'groups', 'portForwards', 'oneToOne', 'noNat', 'filters', 'tcp', 'algs', 'limits', 'timeouts', 'control');
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
