/** Port forwards, 1:1 translations, no-NAT exceptions, filters, helpers: what they become, and what is told of each that cannot be. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, WHOLE } from './support.js';

/** WHOLE and some more; what is added begins in line 11. */
const more = (text: string): string => `${WHOLE}${text}`;
/** The same with one text of WHOLE replaced. */
const whole = (from: string, to: string, text: string): string => {
  assert.ok(WHOLE.includes(from), from);
  return `${WHOLE.replace(from, to)}${text}`;
};
const TWO = more('').replace('  host:', '  dmz: { type: tap, device: dmz, addresses: [10.9.0.1/24] }\n  host:')
  .replace('  isp: {', '  off: { link: dmz, gateway: 10.9.0.2, snat: off }\n  isp: {').replace('[isp]', '[isp, off]');

// --- what they become -------------------------------------------------------------------------------------------------

test('port forwards', () => {
  const { plan, errors, warnings } = compile(whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: [203.0.113.8-203.0.113.9, 203.0.113.2]', `portForwards:
  one: { uplink: isp, listen: 80/tcp, to: 10.0.1.5 }
  other: { uplink: isp, listen: 81/udp, to: 10.0.1.5:8081 }
  range: { uplink: isp, listen: 1000-1009/both, to: 10.0.1.6 }
  moved: { uplink: isp, listen: 2000-2009/tcp, to: 10.0.1.6:3000-3009 }
  there: { uplink: isp, listen: 203.0.113.9:82/tcp, to: 10.0.1.7:80 }
  here: { uplink: isp, listen: 203.0.113.2:22/tcp, to: 100.64.0.2:22 }
  box: { uplink: isp, listen: 203.0.113.8:22/tcp, to: 10.0.1.1 }
`));
  assert.equal(errors, []);
  assert.equal(warnings, []);
  const all = ['203.0.113.8', '203.0.113.9', '203.0.113.2'];
  assert.equal(plan!.portForwards, [
    { index: 0, name: 'one', uplink: 0, addresses: all, protocols: [6], ports: { first: 80, last: 80 }, to: '10.0.1.5', toPort: 80 },
    { index: 1, name: 'other', uplink: 0, addresses: all, protocols: [17], ports: { first: 81, last: 81 }, to: '10.0.1.5', toPort: 8081 },
    { index: 2, name: 'range', uplink: 0, addresses: all, protocols: [6, 17], ports: { first: 1000, last: 1009 }, to: '10.0.1.6', toPort: 1000 },
    { index: 3, name: 'moved', uplink: 0, addresses: all, protocols: [6], ports: { first: 2000, last: 2009 }, to: '10.0.1.6', toPort: 3000 },
    { index: 4, name: 'there', uplink: 0, addresses: ['203.0.113.9'], protocols: [6], ports: { first: 82, last: 82 }, to: '10.0.1.7', toPort: 80 },
    { index: 5, name: 'here', uplink: 0, addresses: ['203.0.113.2'], protocols: [6], ports: { first: 22, last: 22 }, to: '100.64.0.2', toPort: 22 },
    { index: 6, name: 'box', uplink: 0, addresses: ['203.0.113.8'], protocols: [6], ports: { first: 22, last: 22 }, to: '10.0.1.1', toPort: 22 },
  ]);
});

test('an uplink that does not translate listens on its link\'s addresses', () => {
  const { plan, errors } = compile(whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: off', 'portForwards: { a: { uplink: isp, listen: 80/tcp, to: 10.0.1.5 } }\n'));
  assert.equal(errors, []);
  assert.equal(plan!.portForwards[0].addresses, ['203.0.113.2']);
});

test('1:1 translations and no-NAT exceptions', () => {
  const { plan, errors, warnings } = compile(more(`oneToOne:
  a: { uplink: isp, external: 203.0.113.10, internal: 10.0.1.10 }
  b: { uplink: isp, external: 192.0.2.7, internal: 10.0.1.11 }
noNat:
  one: { from: 10.0.1.0/25, to: 192.0.2.0/24 }
  two: { in: [lan, host], out: wan, protocol: [tcp, 47, icmp], from: [10.0.1.128, 10.0.1.129/32] }
  three: { ports: [53, 5000-5010] , to: 192.0.3.0/24 }
portForwards:
  c: { uplink: isp, listen: 203.0.113.10:80/tcp, to: 10.0.1.12 }
`));
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan!.oneToOne, [
    { index: 0, name: 'a', uplink: 0, external: '203.0.113.10', internal: '10.0.1.10' },
    { index: 1, name: 'b', uplink: 0, external: '192.0.2.7', internal: '10.0.1.11' },
  ]);
  assert.equal(plan!.noNat, [
    { index: 0, name: 'one', match: { from: ['10.0.1.0/25'], to: ['192.0.2.0/24'] } },
    { index: 1, name: 'two', match: { in: [0, 2], out: [1], from: ['10.0.1.128/32', '10.0.1.129/32'], protocols: [6, 47, 1] } },
    { index: 2, name: 'three', match: { to: ['192.0.3.0/24'], protocols: [6, 17], destinationPorts: [{ first: 53, last: 53 }, { first: 5000, last: 5010 }] } },
  ]);
  assert.equal(plan!.portForwards[0].addresses, ['203.0.113.10']);
});

test('filters, in the order of the file', () => {
  const { plan, errors, warnings } = compile(more(`filters:
  z: { action: accept, in: lan, protocol: udp, sourcePorts: 1024-65535, ports: 53 }
  a: { action: drop, in: [lan], state: [new, related], over: { rate: 30/m } }
  m: { action: reject, out: wan, over: { rate: 100/s, burst: 7, by: rule } }
  b: { action: drop, state: established, from: 198.51.100.0/24, over: { rate: 5/h, by: source } }
`));
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan!.filters, [
    { index: 0, name: 'z', action: 'accept', match: { in: [0], protocols: [17], sourcePorts: [{ first: 1024, last: 65535 }], destinationPorts: [{ first: 53, last: 53 }] } },
    { index: 1, name: 'a', action: 'drop', match: { in: [0] }, states: ['new', 'related'], over: { perSecond: 0.5, burst: 1, by: 'source' } },
    { index: 2, name: 'm', action: 'reject', match: { out: [1] }, over: { perSecond: 100, burst: 7, by: 'rule' } },
    { index: 3, name: 'b', action: 'drop', match: { from: ['198.51.100.0/24'] }, states: ['established'], over: { perSecond: 5 / 3600, burst: 1, by: 'source' } },
  ]);
  assert.equal(structuredClone(plan), plan);
});

test('drop-ins add filters behind, and what they change keeps its place', () => {
  const { plan, errors } = compile(more('filters:\n  first: { action: accept, ports: 22, over: { rate: 5/s } }\n  second: { action: drop, ports: 23 }\n'),
    'filters: { third: { action: drop, ports: 24 }, first: { action: reject, over: { burst: 9 } } }',
    'filters: { fourth: { action: drop, ports: 25 } }');
  assert.equal(errors, []);
  assert.equal(plan!.filters.map(({ index, name, action }) => `${index} ${name} ${action}`), ['0 first reject', '1 second drop', '2 third drop', '3 fourth drop']);
  assert.equal(plan!.filters[0].over, { perSecond: 5, burst: 9, by: 'source' });
});

test('pools: addresses, ranges and prefixes', () => {
  for (const [snat, wanted] of [
    ['203.0.113.2', ['203.0.113.2']], ['203.0.113.8-203.0.113.10', ['203.0.113.8', '203.0.113.9', '203.0.113.10']],
    ['192.0.2.0/31', ['192.0.2.0', '192.0.2.1']], ['[192.0.2.6/31, 203.0.113.7, 203.0.113.9-203.0.113.9]', ['192.0.2.6', '192.0.2.7', '203.0.113.7', '203.0.113.9']],
  ] as const) {
    const { plan, errors } = compile(whole('gateway: 203.0.113.1', `gateway: 203.0.113.1, snat: ${snat}`, ''));
    assert.equal(errors, [], snat);
    assert.equal(plan!.uplinks[0].snat, wanted, snat);
  }
  const { plan } = compile(whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: 192.0.2.0/24', ''));
  assert.equal([plan!.uplinks[0].snat.length, plan!.uplinks[0].snat[255]], [256, '192.0.2.255']);
});

test('what is set of links, uplinks, TCP, helpers, limits and timeouts arrives', () => {
  const { plan, errors, warnings } = compile(`links:
  lan: { type: tap, device: lan, addresses: [10.0.1.1/24], mssClamp: 1360, sourceCheck: off }
  wan: { type: raw, device: eth1, addresses: [203.0.113.2/24], mssClamp: off, sourceCheck: strict }
  vpn: { type: tun, device: vpn, addresses: [100.64.0.1/30] }
  box: { type: tun, device: box, addresses: [100.64.1.1/30], peer: 100.64.1.2, sourceCheck: off }
routes: { default: { to: 0.0.0.0/0, group: all } }
uplinks:
  isp: { link: wan, gateway: 203.0.113.1, mapping: address-and-port-dependent, filtering: address-and-port-dependent, whenExhausted: refuse, refreshInbound: false }
  vpn: { link: vpn, filtering: address-dependent }
groups: { all: { uplinks: [isp, vpn] } }
tcp: { midstream: pickup }
algs: { ftp: { ports: [21, 2121] }, tftp: on }
limits: { flowsPerSource: 100, portsPerSource: 200, expectations: 3, heldSyns: 4 }
timeouts: { portQuarantine: 3m, synHold: 10s, expectation: 1m }
`);
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan!.links.map(({ mssClamp, sourceCheck }) => [mssClamp, sourceCheck]), [[1360, 'off'], ['off', 'strict'], ['auto', 'feasible'], ['auto', 'off']]);
  const { mapping, filtering, whenExhausted, refreshInbound } = plan!.uplinks[0];
  assert.equal([mapping, filtering, whenExhausted, refreshInbound], ['address-and-port-dependent', 'address-and-port-dependent', 'refuse', false]);
  assert.is(plan!.uplinks[1].filtering, 'address-dependent');
  assert.is(plan!.tcpMidstream, 'pickup');
  assert.equal(plan!.algs, [{ name: 'ftp', ports: [21, 2121] }, { name: 'tftp', ports: [69] }]);
  const { flowsPerSource, portsPerSource, expectations, heldSyns } = plan!.limits;
  assert.equal([flowsPerSource, portsPerSource, expectations, heldSyns], [100, 200, 3, 4]);
  const { portQuarantine, synHold, expectation } = plan!.timeouts;
  assert.equal([portQuarantine, synHold, expectation], [180, 10, 60]);
});

test('helpers', () => {
  for (const [text, wanted] of [
    ['{}', [{ name: 'ftp', ports: [21] }]], ['{ ftp: off }', []], ['{ ftp: on, tftp: off }', [{ name: 'ftp', ports: [21] }]], ['{ ftp: {} }', [{ name: 'ftp', ports: [21] }]],
    ['{ ftp: { ports: 2121 }, tftp: { ports: [69, 6969] } }', [{ name: 'ftp', ports: [2121] }, { name: 'tftp', ports: [69, 6969] }]],
  ] as const) {
    const { plan, errors } = compile(more(`algs: ${text}\n`));
    assert.equal(errors, [], text);
    assert.equal(plan!.algs, wanted, text);
  }
  assert.equal(compile(more('algs: { ftp: { ports: [2121] } }\n'), 'algs: { ftp: off }').plan!.algs, []);
});

// --- errors -----------------------------------------------------------------------------------------------------------

interface Row { name: string; text: string; errors?: string[]; warnings?: string[] }

const LISTEN = 'PORT/tcp, PORT/udp or PORT/both, or a range PORT-PORT instead of the port; before it ADDRESS: for one of the uplink\'s addresses alone';
const TARGET = 'an address for the same ports, ADDRESS:PORT, or ADDRESS:PORT-PORT for a range';
const RATE = '1 to 10000000 a second, a minute or an hour, such as 100/s, 30/m or 5/h';
const PROTOCOL = 'a protocol\'s name (icmp, igmp, ipip, tcp, udp, dccp, ipv6, gre, esp, ah, ospf, vrrp, l2tp, sctp or udplite) or its number, 0 to 255';
const PREFIX = 'an IPv4 prefix such as 192.0.2.0/24, or an address';
const REACHED = 'an address that a link\'s network or a route leads to';

const rows: Row[] = [
  // --- values ---------------------------------------------------------------------------------------------------------
  ...([
    ['80', '80 (no protocol)'], ['80/tpc', '"80/tpc" (tpc is neither tcp nor udp nor both)'], ['0/tcp', '"0/tcp" (ports go from 1 to 65535)'],
    ['65536/tcp', '"65536/tcp" (ports go from 1 to 65535)'], ['90-80/tcp', '"90-80/tcp" (the wrong way round)'], ['http/tcp', '"http/tcp" (not a port or a range of ports)'],
    ['203.0.113.2', '"203.0.113.2" (no port)'], ['203.0.113.2/tcp', '"203.0.113.2/tcp" (no port)'], ['203.0.113:80/tcp', '"203.0.113:80/tcp" (203.0.113 is not an IPv4 address)'],
    ['"[2001:db8::1]:80/tcp"', '"[2001:db8::1]:80/tcp" (IPv4 only in this version)'], ['[80/tcp]', 'a list'], ['{ port: 80 }', 'a map'], ['""', '"" (not a port with its protocol)'],
    ['80/tcp/udp', '"80/tcp/udp" (not a port with its protocol)'], ['80.5', '80.5 (not a port or a range of ports)'],
  ] as const).map(([value, found]) => ({ name: `listen: ${value}`, text: more(`portForwards: { a: { uplink: isp, to: 10.0.1.5, listen: ${value} } }\n`),
    errors: [`weir.yaml:11:57: portForwards.a.listen: found ${found}, allowed: ${LISTEN}`] })),
  ...([
    ['10.0.1', '"10.0.1" (not an IPv4 address, with or without ports)'], ['10.0.1.5:0', '"10.0.1.5:0" (ports go from 1 to 65535)'], ['"10.0.1.5:"', '"10.0.1.5:" (not a port or a range of ports)'],
    ['10.0.1.5:9-8', '"10.0.1.5:9-8" (the wrong way round)'], ['10.0.1.5/24', '"10.0.1.5/24" (not an IPv4 address, with or without ports)'], ['127.0.0.1:80', '"127.0.0.1:80" (loopback, 127.0.0.0/8)'],
    ['"2001:db8::1"', '"2001:db8::1" (IPv4 only in this version)'], ['"[2001:db8::1]:80"', '"[2001:db8::1]:80" (IPv4 only in this version)'], ['10.0.1.5:80:90', '"10.0.1.5:80:90" (not an IPv4 address, with or without ports)'], ['~', 'nothing'],
  ] as const).map(([value, found]) => ({ name: `to: ${value}`, text: more(`portForwards: { a: { uplink: isp, listen: 80/tcp, to: ${value} } }\n`),
    errors: [`weir.yaml:11:55: portForwards.a.to: found ${found}, allowed: ${TARGET}`] })),
  ...([
    ['100', '100 (not a rate)'], ['100/d', '"100/d" (not a rate)'], ['0/s', '"0/s" (never; that is a rule without over)'], ['1.5/s', '"1.5/s" (not a rate)'], ['10000001/s', '"10000001/s" (more than 10000000)'], ['[1/s]', 'a list'],
  ] as const).map(([value, found]) => ({ name: `rate: ${value}`, text: more(`filters: { a: { action: drop, over: { rate: ${value} } } }\n`),
    errors: [`weir.yaml:11:45: filters.a.over.rate: found ${found}, allowed: ${RATE}`] })),
  { name: 'rate limits', text: more(`filters:
  a: { action: drop, over: 100/s }
  b: { action: drop, over: }
  c: { action: drop, over: {} }
  d: { action: drop, over: { rate: 1/s, burst: 0, by: address, per: source } }
  e: { action: drop, over: [1] }
`),
    errors: [
      'weir.yaml:12:28: filters.a.over: found "100/s", allowed: a map of rate, burst and by',
      'weir.yaml:13:28: filters.b.over: found nothing, allowed: a map of rate, burst and by',
      `weir.yaml:14:22: filters.c.over.rate: found nothing, allowed: ${RATE}; a rate limit needs it`,
      'weir.yaml:15:48: filters.d.over.burst: found 0, allowed: 1 to 10000000',
      'weir.yaml:15:55: filters.d.over.by: found "address", allowed: source or rule',
      'weir.yaml:15:64: filters.d.over.per: found an unknown key, allowed: rate, burst and by',
      'weir.yaml:16:28: filters.e.over: found a list, allowed: a map of rate, burst and by',
    ] },
  { name: 'what rules look at', text: more(`filters:
  a: { action: deny, from: 10.0.1.1/24, to: 10.0.0.256, protocol: tpc, ports: 70000, sourcePorts: 9-8, state: old }
  b: { action: drop, from: [10.0.0.0/8, "::/0", 10.0.0.0/8], to: [], protocol: [both, tcp, 6, 256], ports: [80, 70-90, x], state: [new, new] }
  c: { action: drop, to: 224.0.0.1, in: [lan, nal, lan], out: want }
  d: { ports: [], protocol: true, in: 5 }
  e: { action: drop, ports: -1 }
`),
    errors: [
      'weir.yaml:12:16: filters.a.action: found "deny", allowed: accept, drop or reject',
      'weir.yaml:12:28: filters.a.from: found "10.0.1.1/24" (bits set behind the prefix), allowed: 10.0.1.0/24',
      `weir.yaml:12:45: filters.a.to: found "10.0.0.256" (not an IPv4 prefix), allowed: ${PREFIX}`,
      `weir.yaml:12:67: filters.a.protocol: found "tpc" (did you mean tcp?), allowed: ${PROTOCOL}`,
      'weir.yaml:12:79: filters.a.ports: found 70000 (ports go from 0 to 65535), allowed: a port of 0 to 65535 or a range such as 8000-8010',
      'weir.yaml:12:99: filters.a.sourcePorts: found "9-8" (the wrong way round), allowed: a port of 0 to 65535 or a range such as 8000-8010',
      'weir.yaml:12:111: filters.a.state: found "old", allowed: new, established or related, or a list of them',
      `weir.yaml:13:41: filters.b.from[1]: found "::/0" (IPv4 only in this version), allowed: ${PREFIX}`,
      'weir.yaml:13:49: filters.b.from[2]: found "10.0.0.0/8" (for the second time), allowed: each once',
      'weir.yaml:13:66: filters.b.to: found an empty list, allowed: an IPv4 prefix such as 192.0.2.0/24 or an address, or a list of them',
      `weir.yaml:13:81: filters.b.protocol[0]: found "both" (write [tcp, udp]), allowed: ${PROTOCOL}`,
      'weir.yaml:13:92: filters.b.protocol[2]: found 6 (for the second time), allowed: each once',
      `weir.yaml:13:95: filters.b.protocol[3]: found 256, allowed: ${PROTOCOL}`,
      'weir.yaml:13:113: filters.b.ports[1]: found "70-90" (for the second time), allowed: each once',
      'weir.yaml:13:120: filters.b.ports[2]: found "x" (not a port or a range of ports), allowed: a port of 0 to 65535 or a range such as 8000-8010',
      'weir.yaml:13:137: filters.b.state[1]: found "new" (for the second time), allowed: each once',
      `weir.yaml:14:26: filters.c.to: found "224.0.0.1" (multicast, 224.0.0.0/4, which is never forwarded), allowed: ${PREFIX}`,
      'weir.yaml:14:47: filters.c.in[1]: found "nal", allowed: the name of a link: lan, wan or host',
      'weir.yaml:14:52: filters.c.in[2]: found "lan" (for the second time), allowed: each once',
      'weir.yaml:14:63: filters.c.out: found "want" (did you mean wan?), allowed: the name of a link: lan, wan or host',
      'weir.yaml:15:3: filters.d.action: found nothing, allowed: accept, drop or reject; a filter needs it',
      'weir.yaml:15:15: filters.d.ports: found an empty list, allowed: a port of 0 to 65535 or a range such as 8000-8010',
      `weir.yaml:15:29: filters.d.protocol: found true, allowed: ${PROTOCOL}`,
      'weir.yaml:15:39: filters.d.in: found 5 (not a text, put it in quotes), allowed: the name of a link, or a list of them',
      'weir.yaml:16:29: filters.e.ports: found -1 (ports go from 0 to 65535), allowed: a port of 0 to 65535 or a range such as 8000-8010',
    ] },
  { name: 'keys another kind of rule has', text: more('noNat: { a: { action: accept, sourcePorts: 5 } }\noneToOne: { a: { uplink: isp, external: 203.0.113.9, internal: 10.0.1.9, ports: 80 } }\n'),
    errors: [
      'weir.yaml:11:15: noNat.a.action: found an unknown key, allowed: in, out, from, to, protocol and ports',
      'weir.yaml:11:31: noNat.a.sourcePorts: found an unknown key, allowed: in, out, from, to, protocol and ports',
      'weir.yaml:12:74: oneToOne.a.ports: found an unknown key, allowed: uplink, external and internal',
    ] },
  { name: 'helpers', text: more('algs: { ftp: false, tftp: { ports: [69, 70000, 1-2], port: 5 }, sip: on }\ntcp: { midstream: ignore }\n'),
    errors: [
      'weir.yaml:11:14: algs.ftp: found false (a boolean, not the text on or off), allowed: on, off or a map of ports',
      'weir.yaml:11:41: algs.tftp.ports[1]: found 70000 (ports go from 1 to 65535), allowed: a port of 1 to 65535',
      'weir.yaml:11:48: algs.tftp.ports[2]: found "1-2" (a range), allowed: a port of 1 to 65535',
      'weir.yaml:11:54: algs.tftp.port: found an unknown key (did you mean ports?), allowed: ports',
      'weir.yaml:11:65: algs.sip: found an unknown key, allowed: ftp and tftp',
      'weir.yaml:12:19: tcp.midstream: found "ignore", allowed: reset, drop or pickup',
    ] },
  { name: 'links', text: whole('addresses: [10.0.1.1/24]', 'addresses: [10.0.1.1/24], mssClamp: 535, sourceCheck: loose', '').replace('[203.0.113.2/24]', '[203.0.113.2/24], mssClamp: false, sourceCheck: false').replace('defaultRoute: true', 'defaultRoute: true, mssClamp: auot'),
    errors: [
      'weir.yaml:2:75: links.lan.mssClamp: found 535, allowed: auto, off or 536 to 65495',
      'weir.yaml:2:93: links.lan.sourceCheck: found "loose", allowed: strict, feasible or off',
      'weir.yaml:3:74: links.wan.mssClamp: found false (a boolean, not the text off or auto), allowed: auto, off or 536 to 65495',
      'weir.yaml:3:94: links.wan.sourceCheck: found false, allowed: strict, feasible or off',
      'weir.yaml:4:113: links.host.mssClamp: found "auot" (did you mean auto?), allowed: auto, off or 536 to 65495',
    ] },
  { name: 'floors', text: more('timeouts: { synHold: 5s, expectation: 0s, portQuarantine: 2h }\nlimits: { heldSyns: 0, expectations: 0, flowsPerSource: -1, portsPerSource: 65536 }\n'),
    errors: [
      'weir.yaml:11:22: timeouts.synHold: found "5s" (RFC 5382 REQ-4 forbids less than 6s), allowed: 6s to 2m',
      'weir.yaml:11:39: timeouts.expectation: found "0s" (too short), allowed: 1s to 1h',
      'weir.yaml:11:59: timeouts.portQuarantine: found "2h" (too long), allowed: 0s to 1h',
      'weir.yaml:12:21: limits.heldSyns: found 0, allowed: 1 to 65536',
      'weir.yaml:12:38: limits.expectations: found 0, allowed: 1 to 65536',
      'weir.yaml:12:57: limits.flowsPerSource: found -1, allowed: 0 to 16777216',
      'weir.yaml:12:77: limits.portsPerSource: found 65536, allowed: 0 to 65535',
    ] },
  // --- pools ----------------------------------------------------------------------------------------------------------
  ...([
    ['203.0.113.9-203.0.113.8', '"203.0.113.9-203.0.113.8" (the wrong way round)'], ['192.0.2.1/24', '"192.0.2.1/24" (bits set behind the prefix)'],
    ['192.0.0.0/23', '"192.0.0.0/23" (512 addresses, 256 at most)'], ['192.0.2.0-192.0.3.0', '"192.0.2.0-192.0.3.0" (257 addresses, 256 at most)'],
    ['192.0.2.1-', '"192.0.2.1-" (not an IPv4 address, a range of them or a prefix)'], ['"::1-::2"', '"::1-::2" (IPv4 only in this version)'],
    ['[192.0.2.0/25, 192.0.3.0/24]', 'a list (384 addresses)', '256 addresses at most'],
    ['223.255.255.255-224.0.0.1', '"223.255.255.255-224.0.0.1" (multicast, 224.0.0.0/4)'],
    ['203.0.113.0/28', '"203.0.113.0/28" (203.0.113.0 is the network address of 203.0.113.0/24)', 'addresses that are free for translation'],
    ['203.0.113.1-203.0.113.4', '"203.0.113.1-203.0.113.4" (203.0.113.1 is the gateway of isp)', 'addresses that are free for translation'],
    ['203.0.113.255', '"203.0.113.255" (the broadcast address of 203.0.113.0/24)', 'addresses that are free for translation'],
  ] as const).map(([value, found, allowed = 'auto, off, an IPv4 address, a range such as 192.0.2.8-192.0.2.15, a prefix, or a list of them; 256 addresses at most']) => ({
    name: `snat: ${value}`, text: whole('gateway: 203.0.113.1', `gateway: 203.0.113.1, snat: ${value}`, ''), errors: [`weir.yaml:8:49: uplinks.isp.snat: found ${found}, allowed: ${allowed}`] })),
  { name: 'items of pools', text: whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: [192.0.2.8/29, 192.0.2.15, 192.0.2.0-192.0.2.9, 203.0.113.1]', ''),
    errors: [
      'weir.yaml:8:64: uplinks.isp.snat[1]: found "192.0.2.15" (for the second time), allowed: each once',
      'weir.yaml:8:76: uplinks.isp.snat[2]: found "192.0.2.0-192.0.2.9" (for the second time), allowed: each once',
      'weir.yaml:8:97: uplinks.isp.snat[3]: found "203.0.113.1" (the gateway of isp), allowed: addresses that are free for translation',
    ] },
  { name: 'the gateway as an item of a pool', text: whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: [203.0.113.2, 203.0.113.1]', ''),
    errors: ['weir.yaml:8:63: uplinks.isp.snat[1]: found "203.0.113.1" (the gateway of isp), allowed: addresses that are free for translation'] },
  // --- port forwards --------------------------------------------------------------------------------------------------
  { name: 'forwards of no uplink, of foreign addresses, of the wrong size', text: more(`portForwards:
  a: { uplink: ips, listen: 80/tcp, to: 10.0.1.5 }
  b: { uplink: isp, listen: 203.0.113.9:81/tcp, to: 10.0.1.5 }
  c: { uplink: isp, listen: 1000-1009/tcp, to: 10.0.1.5:2000 }
  d: { uplink: isp, listen: 1010/tcp, to: 10.0.1.5:2000-2001 }
  e: { uplink: isp, listen: 1100-1109/tcp, to: 10.0.1.5:65530-65535 }
  f: {}
`),
    errors: [
      'weir.yaml:12:16: portForwards.a.uplink: found "ips" (did you mean isp?), allowed: the name of an uplink: isp',
      'weir.yaml:13:29: portForwards.b.listen: found "203.0.113.9:81/tcp" (203.0.113.9 is no address of isp), allowed: an address of isp: 203.0.113.2',
      'weir.yaml:14:48: portForwards.c.to: found "10.0.1.5:2000" (1 port for 10), allowed: 10.0.1.5:2000-2009, or 10.0.1.5 for the same ports',
      'weir.yaml:15:43: portForwards.d.to: found "10.0.1.5:2000-2001" (2 ports for 1), allowed: 10.0.1.5:2000, or 10.0.1.5 for the same ports',
      'weir.yaml:16:48: portForwards.e.to: found "10.0.1.5:65530-65535" (6 ports for 10), allowed: 10 ports',
      'weir.yaml:17:3: portForwards.f.uplink: found nothing, allowed: the name of an uplink; a port forward needs it',
      `weir.yaml:17:3: portForwards.f.listen: found nothing, allowed: ${LISTEN}; a port forward needs it`,
      `weir.yaml:17:3: portForwards.f.to: found nothing, allowed: ${TARGET}; a port forward needs it`,
    ] },
  { name: 'forwards that overlap', text: whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: [203.0.113.2, 203.0.113.8]', `portForwards:
  a: { uplink: isp, listen: 80-89/tcp, to: 10.0.1.5 }
  b: { uplink: isp, listen: 80/udp, to: 10.0.1.5 }
  c: { uplink: isp, listen: 89/both, to: 10.0.1.5 }
  d: { uplink: isp, listen: 203.0.113.8:70-80/tcp, to: 10.0.1.5 }
  e: { uplink: isp, listen: 203.0.113.8:90/tcp, to: 10.0.1.5 }
  f: { uplink: isp, listen: 203.0.113.2:90/tcp, to: 10.0.1.5 }
`),
    errors: [
      'weir.yaml:14:29: portForwards.c.listen: found "89/both" (a has tcp 80-89 of 203.0.113.2), allowed: ports of an address and a protocol in one forward only',
      'weir.yaml:15:29: portForwards.d.listen: found "203.0.113.8:70-80/tcp" (a has tcp 80-89 of 203.0.113.8), allowed: ports of an address and a protocol in one forward only',
    ] },
  { name: 'servers that nothing leads to', text: whole('routes:', 'routes:\n  shut: { to: 10.7.0.0/16, refuse: prohibit }\n  far: { to: 10.8.0.0/16, via: 10.0.1.9 }', `portForwards:
  a: { uplink: isp, listen: 1/tcp, to: 10.6.0.1 }
  b: { uplink: isp, listen: 2/tcp, to: 10.7.0.1 }
  c: { uplink: isp, listen: 3/tcp, to: 10.8.0.1 }
  d: { uplink: isp, listen: 4/tcp, to: 10.0.1.255:80 }
  e: { uplink: isp, listen: 5/tcp, to: 203.0.113.77 }
  f: { uplink: isp, listen: 6/tcp, to: 203.0.113.10 }
oneToOne:
  a: { uplink: isp, external: 203.0.113.10, internal: 192.0.2.5 }
`),
    errors: [
      `weir.yaml:14:40: portForwards.a.to: found "10.6.0.1" (nothing but the default route leads there, out by wan), allowed: ${REACHED}`,
      `weir.yaml:15:40: portForwards.b.to: found "10.7.0.1" (the route shut refuses it), allowed: ${REACHED}`,
      `weir.yaml:17:40: portForwards.d.to: found "10.0.1.255:80" (a network or broadcast address), allowed: ${REACHED}`,
      'weir.yaml:19:40: portForwards.f.to: found "203.0.113.10" (an external address), allowed: the address of a host inside',
      `weir.yaml:21:55: oneToOne.a.internal: found "192.0.2.5" (nothing but the default route leads there, out by wan), allowed: ${REACHED}`,
    ] },
  { name: 'a server on the router, without the box behind it, and one without a route', text: `links:
  lan: { type: tap, device: a, addresses: [10.0.1.1/24] }
  wan: { type: raw, device: b, addresses: [203.0.113.2/24] }
uplinks: { isp: { link: wan, gateway: 203.0.113.1 } }
groups: { g: { uplinks: [isp] } }
routes: { some: { to: 192.0.0.0/8, group: g } }
portForwards:
  a: { uplink: isp, listen: 1/tcp, to: 10.0.1.1 }
  b: { uplink: isp, listen: 2/tcp, to: 10.5.0.1 }
  c: { uplink: isp, listen: 3/tcp, to: 192.0.2.1 }
`,
    errors: [
      'weir.yaml:8:40: portForwards.a.to: found "10.0.1.1" (the router\'s own address on lan, where nothing listens), allowed: the address of a host inside',
      `weir.yaml:9:40: portForwards.b.to: found "10.5.0.1" (no route leads there), allowed: ${REACHED}`,
    ] },
  { name: 'an uplink without any address', text: `links: { lan: { type: tap, device: a, addresses: [10.0.1.1/24] }, wan: { type: raw, device: b } }
uplinks: { isp: { link: wan, gateway: 203.0.113.1, snat: off } }
portForwards:
  a: { uplink: isp, listen: 1/tcp, to: 10.0.1.5 }
  b: { uplink: isp, listen: 203.0.113.2:2/tcp, to: 10.0.1.5 }
`,
    errors: [
      'weir.yaml:4:29: portForwards.a.listen: found "1/tcp" (isp has no address), allowed: an uplink with addresses in snat or on its link',
      'weir.yaml:5:29: portForwards.b.listen: found "203.0.113.2:2/tcp" (203.0.113.2 is no address of isp), allowed: an uplink with addresses in snat or on its link',
    ] },
  // --- 1:1 ------------------------------------------------------------------------------------------------------------
  { name: '1:1 translations', text: more(`oneToOne:
  a: { uplink: isp, external: 203.0.113.10, internal: 10.0.1.10 }
  b: { uplink: isp, external: 203.0.113.10, internal: 10.0.1.11 }
  c: { uplink: isp, external: 203.0.113.12, internal: 10.0.1.10 }
  d: { uplink: isp, external: 203.0.113.2, internal: 10.0.1.12 }
  e: { uplink: isp, external: 203.0.113.1, internal: 10.0.1.13 }
  f: { uplink: isp, external: 203.0.113.255, internal: 10.0.1.1 }
  g: { uplink: isp, external: 10.0.1.1, internal: 10.0.1.14 }
  h: { uplink: nobody, external: 127.0.0.1, internal: 10.0.1.14/32 }
  i: { uplink: isp, external: 203.0.113.20, internal: 203.0.113.20 }
`),
    errors: [
      'weir.yaml:13:31: oneToOne.b.external: found "203.0.113.10" (already that of a), allowed: each external address once',
      'weir.yaml:14:55: oneToOne.c.internal: found "10.0.1.10" (a gives it 203.0.113.10 on isp), allowed: one external address for an inside one on each uplink',
      'weir.yaml:15:31: oneToOne.d.external: found "203.0.113.2" (what isp translates to), allowed: an address in no uplink\'s snat',
      'weir.yaml:16:31: oneToOne.e.external: found "203.0.113.1" (the gateway of isp), allowed: an address that is free',
      'weir.yaml:17:31: oneToOne.f.external: found "203.0.113.255" (the broadcast address of 203.0.113.0/24), allowed: an address a host can have',
      'weir.yaml:17:56: oneToOne.f.internal: found "10.0.1.1" (the router\'s own address on lan), allowed: the address of a host inside',
      'weir.yaml:18:31: oneToOne.g.external: found "10.0.1.1" (the router\'s own address on lan), allowed: an address that is free',
      'weir.yaml:19:16: oneToOne.h.uplink: found "nobody", allowed: the name of an uplink: isp',
      'weir.yaml:19:34: oneToOne.h.external: found "127.0.0.1" (loopback, 127.0.0.0/8), allowed: an address a host can have',
      'weir.yaml:19:55: oneToOne.h.internal: found "10.0.1.14/32" (with a prefix length), allowed: an address alone, 10.0.1.14',
      'weir.yaml:20:55: oneToOne.i.internal: found "203.0.113.20" (the external address itself), allowed: the address it stands for',
    ] },
  { name: 'an external address of a pool, and of two uplinks', text: TWO.replace('gateway: 203.0.113.1 ', 'gateway: 203.0.113.1, snat: 192.0.2.0/28 ') + `oneToOne:
  a: { uplink: isp, external: 192.0.2.3, internal: 10.0.1.10 }
  b: { uplink: off, external: 192.0.2.3, internal: 10.0.1.10 }
  c: { uplink: isp, external: 192.0.2.20, internal: 10.0.1.11 }
  d: { uplink: off, external: 192.0.2.20, internal: 10.0.1.11 }
  e: { uplink: isp, external: 192.0.2.21, internal: 10.0.1.12 }
  f: { uplink: off, external: 192.0.2.21, internal: 10.0.1.13 }
`,
    errors: [
      'weir.yaml:14:31: oneToOne.a.external: found "192.0.2.3" (what isp translates to), allowed: an address in no uplink\'s snat',
      'weir.yaml:15:31: oneToOne.b.external: found "192.0.2.3" (what isp translates to), allowed: an address in no uplink\'s snat',
      'weir.yaml:19:31: oneToOne.f.external: found "192.0.2.21" (e turns it to 10.0.1.12), allowed: one inside address for an external one, whatever the uplink',
    ] },
  { name: '1:1 translations worth a look', text: whole('[203.0.113.2/24]', '[203.0.113.2/24, 203.0.113.3/24]', `oneToOne:
  a: { uplink: isp, external: 203.0.113.3, internal: 10.0.1.10 }
  b: { uplink: isp, external: 10.0.1.77, internal: 10.0.1.11 }
`),
    warnings: [
      'weir.yaml:12:31: oneToOne.a.external: warning: 203.0.113.3 is the router\'s own address on wan; the router itself is not reached by it from there any more',
      'weir.yaml:13:31: oneToOne.b.external: warning: 10.0.1.77 is on the network of lan, not of wan; nobody there will send it',
    ] },
  // --- no-NAT ---------------------------------------------------------------------------------------------------------
  { name: 'exceptions that can never match', text: more(`noNat:
  a: { to: 10.0.1.0/24 }
  b: { to: [10.0.1.0/24, 100.64.0.0/30] }
  c: { to: 10.0.0.0/8 }
  d: { out: [wan, lan] }
`),
    errors: ['weir.yaml:15:19: noNat.d.out[1]: found "lan" (no uplink translates there, so it never matches), allowed: the link of an uplink that translates: wan'] },
  { name: 'exceptions that can never match by the routes', text: more(`noNat:
  a: { to: 10.0.1.0/24 }
  b: { to: [10.0.1.0/24, 100.64.0.0/30] }
  c: { to: 10.0.0.0/8 }
`),
    errors: [
      'weir.yaml:12:12: noNat.a.to: found "10.0.1.0/24" (no route leads there by an uplink that translates, so nothing is translated anyway), allowed: destinations that are reached by an uplink that translates',
      'weir.yaml:13:12: noNat.b.to: found a list (no route leads there by an uplink that translates, so nothing is translated anyway), allowed: destinations that are reached by an uplink that translates',
    ] },
  { name: 'exceptions by an uplink the routes do not take', text: `links:
  lan: { type: tap, device: a, addresses: [10.0.1.1/24] }
  one: { type: raw, device: b, addresses: [203.0.113.2/24] }
  two: { type: raw, device: c, addresses: [198.51.100.2/24] }
uplinks: { one: { link: one, gateway: 203.0.113.1 }, two: { link: two, gateway: 198.51.100.1 } }
groups: { one: { uplinks: [one] }, two: { uplinks: [two] } }
routes: { default: { to: 0.0.0.0/0, group: one }, some: { to: 192.0.2.0/24, group: two } }
noNat:
  a: { out: two, to: 192.0.2.0/25 }
  b: { out: two, to: 192.0.3.0/24 }
  c: { out: one, to: 192.0.2.0/25 }
  d: { out: two, to: 192.0.0.0/16 }
`,
    errors: [
      'weir.yaml:10:22: noNat.b.to: found "192.0.3.0/24" (no route leads there by two, so nothing is translated anyway), allowed: destinations that are reached by an uplink that translates',
      'weir.yaml:11:22: noNat.c.to: found "192.0.2.0/25" (no route leads there by one, so nothing is translated anyway), allowed: destinations that are reached by an uplink that translates',
    ] },
  { name: 'an exception where nothing is translated', text: whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: off', 'noNat: { a: { to: 192.0.2.0/24 } }\n'),
    errors: ['weir.yaml:11:10: noNat.a: found an exception where no uplink translates, allowed: none, unless an uplink translates'] },
  { name: 'an exception where no route takes an uplink', text: whole('  default: { to: 0.0.0.0/0, group: internet }', '  some: { to: 192.0.2.0/24, link: lan }', '').replace('wan: {', 'wan: {').replace('addresses: [203.0.113.2/24]', 'addresses: []').replace('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: 192.0.3.1') + 'noNat: { a: { in: lan } }\n',
    errors: ['weir.yaml:11:10: noNat.a: found an exception that can never match, for no route leads out by an uplink that translates, allowed: a route to a group with such an uplink'] },
  { name: 'exceptions worth a look', text: more(`noNat:
  a: { to: 192.0.0.0/16, protocol: [tcp, udp] }
  b: { to: 192.0.2.0/24, ports: 80 }
  c: { in: lan, from: [10.2.0.0/16, 10.3.0.0/16] }
  d: {}
  e: { in: [lan, host], from: 10.4.0.0/16 }
`),
    warnings: [
      'weir.yaml:13:3: noNat.b: warning: a has all of this already',
      'weir.yaml:14:23: noNat.c.from: warning: no route leads there by lan, whose sourceCheck is strict, so nothing of it comes in there',
      'weir.yaml:15:3: noNat.d: warning: without a key it matches every flow, so nothing is translated; snat: off on the uplinks says so more plainly',
      'weir.yaml:16:3: noNat.e: warning: d has all of this already',
    ] },
  // --- filters --------------------------------------------------------------------------------------------------------
  { name: 'ports of protocols without them', text: more(`filters:
  a: { action: drop, protocol: icmp, ports: 80 }
  b: { action: drop, protocol: [tcp, gre, 99], sourcePorts: 80 }
noNat:
  c: { protocol: sctp, ports: 80 }
`),
    errors: [
      'weir.yaml:12:38: filters.a.ports: found ports with protocol icmp, which has none that are looked at, allowed: ports with tcp or udp only',
      'weir.yaml:13:48: filters.b.sourcePorts: found sourcePorts with protocol gre or 99, which has none that are looked at, allowed: sourcePorts with tcp or udp only',
      'weir.yaml:15:24: noNat.c.ports: found ports with protocol sctp, which has none that are looked at, allowed: ports with tcp or udp only',
    ] },
  { name: 'filters that can never match', text: more(`filters:
  limited: { action: drop, over: { rate: 1/s } }
  answers: { action: accept, state: [established, related] }
  web: { action: accept, protocol: tcp, ports: [80-89, 443], to: [10.0.1.0/25, 10.0.1.128/25] }
  web-server: { action: drop, protocol: tcp, ports: 80, to: 10.0.1.0/24 }
  web-both: { action: drop, ports: 80, to: 10.0.1.0/24 }
  web-more: { action: drop, protocol: tcp, ports: 80-90, to: 10.0.1.0/24 }
  old: { action: accept, state: related, in: lan }
  rest: { action: drop }
  late: { action: accept, in: lan, over: { rate: 5/s } }
  later: { action: accept, state: [new, established] }
`),
    errors: [
      'weir.yaml:15:3: filters.web-server: found a filter that can never match, for web before it matches all that this one does, allowed: a place before web, or something that web does not match',
      'weir.yaml:18:3: filters.old: found a filter that can never match, for answers before it matches all that this one does, allowed: a place before answers, or something that answers does not match',
      'weir.yaml:20:3: filters.late: found a filter that can never match, for rest before it matches all that this one does, allowed: a place before rest, or something that rest does not match',
    ] },
  { name: 'a filter of a drop-in behind one that catches the rest is told in the drop-in', text: more('filters: { rest: { action: drop } }\n') },
  { name: 'filters worth a look', text: more(`filters:
  a: { action: accept, over: { rate: 1/s } }
  b: { action: drop, in: lan, from: 192.0.2.0/24 }
  c: { action: drop, in: wan, from: 10.0.1.0/24 }
  d: { action: drop, in: lan, from: [192.0.2.0/24, 10.0.1.7] }
  e: { action: drop, out: lan, to: 192.0.2.0/24 }
  f: { action: drop, out: lan, to: 192.0.2.0/24, state: [new, established] }
  g: { action: drop, out: [lan, wan], to: 192.0.2.0/24 }
  h: { action: drop, out: host, to: 203.0.113.2 }
  i: { action: drop, out: lan, to: 10.0.1.1 }
`),
    warnings: [
      'weir.yaml:12:24: filters.a.over: warning: accepts what exceeds the rate and leaves what stays below to the filters behind; drop or reject is what limits',
      'weir.yaml:13:37: filters.b.from: warning: no route leads there by lan, whose sourceCheck is strict, so nothing of it comes in there',
      'weir.yaml:16:36: filters.e.to: warning: no route leads there by lan, so no new flow matches',
      'weir.yaml:20:36: filters.i.to: warning: no route leads there by lan, so no new flow matches',
    ] },
  // --- the rest -------------------------------------------------------------------------------------------------------
  { name: 'settings worth a look', text: more('timeouts: { portQuarantine: 0s }\nlimits: { flows: 2048, flowsPerSource: 4096 }\n'),
    warnings: [
      'weir.yaml:11:29: timeouts.portQuarantine: warning: a freed port is used again at once; RFC 6888 REQ-8 asks for 120 seconds, so that nobody gets what was meant for another',
      'weir.yaml:12:40: limits.flowsPerSource: warning: more than the 2048 flows of limits.flows, so it limits nothing',
    ] },
  { name: 'a quarantine that is too short', text: more('timeouts: { portQuarantine: 1m59s }\n'),
    warnings: ['weir.yaml:11:29: timeouts.portQuarantine: warning: a freed port is used again after 1m59s; RFC 6888 REQ-8 asks for 120 seconds, so that nobody gets what was meant for another'] },
  { name: 'one address on two links', text: TWO.replace('gateway: 203.0.113.1 ', 'gateway: 203.0.113.1, snat: 192.0.2.0/28 ').replace('snat: off', 'snat: [10.9.0.1, 192.0.2.3]'),
    warnings: ['weir.yaml:10:49: uplinks.isp.snat: warning: 192.0.2.3 is what off translates to, on another link; what comes uninvited to it is taken from dmz only'] },
  { name: 'a check of what the box sends', text: whole('defaultRoute: true', 'defaultRoute: true, sourceCheck: strict', ''),
    errors: ['weir.yaml:4:116: links.host.sourceCheck: found "strict" (on the link to the box, which may forward for others), allowed: off'] },
  { name: 'settings of a translation that is off', text: whole('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: off, mapping: endpoint-independent, whenExhausted: refuse', ''),
    warnings: ['weir.yaml:8:54: uplinks.isp.mapping: warning: mapping means nothing while snat is off', 'weir.yaml:8:85: uplinks.isp.whenExhausted: warning: whenExhausted means nothing while snat is off'] },
];

for (const { name, text, errors = [], warnings } of rows) {
  test(name, () => {
    const outcome = compile(text);
    assert.equal(outcome.errors, errors);
    if (errors.length === 0) assert.equal(outcome.warnings, warnings ?? []);
  });
}

test('a filter behind one that catches the rest is told where it stands', () => {
  assert.equal(compile(more('filters: { rest: { action: drop } }\n'), '\nfilters: { more: { action: accept } }').errors, [
    '1.yaml:2:12: filters.more: found a filter that can never match, for rest before it matches all that this one does, allowed: a place before rest, or something that rest does not match',
  ]);
});

test('what was refused is not told of again by the rules that use it', () => {
  const { errors } = compile(whole('[203.0.113.2/24]', '[203.0.113.2]', `portForwards:
  a: { uplink: isp, listen: 203.0.113.2:80/tcp, to: 10.0.1.5 }
  b: { uplink: isp, listen: 80/tcp, to: 10.0.1.6 }
oneToOne: { a: { uplink: isp, external: 203.0.113.9, internal: 10.0.1.7 } }
noNat: { a: { out: wan } }
filters: { a: { action: drop, in: wan } }
`));
  assert.equal(errors.map((line) => line.split(' ')[1]), ['links.wan.addresses[0]:']);
  const sections = compile(whole('uplinks:\n  isp: { link: wan, gateway: 203.0.113.1 }', 'uplinks: []', 'portForwards: { a: { uplink: isp, listen: 80/tcp, to: 10.0.1.6 } }\nnoNat: { a: { out: wan } }\n'));
  assert.equal(sections.errors.map((line) => line.split(' ')[1]), ['uplinks:']);
});

test('four thousand rules of each kind, and no more', () => {
  const rules = (count: number): string => more(`portForwards:
${Array.from({ length: count }, (_, i) => `  p${i}: { uplink: isp, listen: ${i + 1}/tcp, to: 10.0.1.5 }`).join('\n')}
filters:
${Array.from({ length: count }, (_, i) => `  f${i}: { action: drop, in: lan, from: 10.0.1.0/24, protocol: tcp, ports: ${i + 1} }`).join('\n')}
`);
  const { plan, errors } = compile(rules(4096));
  assert.equal(errors, []);
  assert.equal([plan!.portForwards.length, plan!.filters.length], [4096, 4096]);
  assert.equal(compile(rules(4097)).errors, [
    'weir.yaml:4108:3: portForwards.p4096: found one of 4097, allowed: 4096 portForwards at most',
    'weir.yaml:8206:3: filters.f4096: found one of 4097, allowed: 4096 filters at most',
  ]);
});

test.run();
