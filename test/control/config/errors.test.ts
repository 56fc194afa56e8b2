/** What is told of each mistake, to the letter: file, line, column, path, what was found, what is allowed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, WHOLE } from './support.js';

interface Row { name: string; text: string; errors: string[] }

const LINK = 'type: tap, device: d';
const LINK_KEYS = 'type, device, netns, bridge, mac, mtu, addresses, neighbours, probeAddresses, peer, pins, defaultRoute, offload, mssClamp and sourceCheck';
const SECTIONS = 'links, routes, uplinks, groups, policies, virtualServers, portForwards, oneToOne, noNat, filters, tcp, algs, vrrp, share, limits, timeouts, hooks and control';
const POOL = 'auto, off, an IPv4 address, a range such as 192.0.2.8-192.0.2.15, a prefix, or a list of them; 256 addresses at most';

/** One link `lan` with these keys, in one line; keys begin in column 10. */
const lan = (keys: string): string => `links:\n  lan: { ${keys} }\n`;
/** WHOLE with one text replaced; the text must be there. */
const whole = (from: string, to: string): string => {
  assert.ok(WHOLE.includes(from), from);
  return WHOLE.replace(from, to);
};

const rows: Row[] = [
  // --- keys -----------------------------------------------------------------------------------------------------------
  { name: 'an unknown key, with the one it was meant to be', text: lan(`${LINK}, adresses: [10.0.0.1/24]`),
    errors: [`weir.yaml:2:32: links.lan.adresses: found an unknown key (did you mean addresses?), allowed: ${LINK_KEYS}`] },
  { name: 'an unknown key that resembles none', text: lan(`${LINK}, colour: red`),
    errors: [`weir.yaml:2:32: links.lan.colour: found an unknown key, allowed: ${LINK_KEYS}`] },
  { name: 'an unknown section', text: 'link: {}\n',
    errors: [`weir.yaml:1:1: link: found an unknown key (did you mean links?), allowed: ${SECTIONS}`] },
  { name: 'keys that would be dangerous as properties, or have dots', text: lan(`${LINK}, __proto__: { x: 1 }, constructor: { prototype: { x: 1 } }, a.b: 1`),
    errors: [
      `weir.yaml:2:32: links.lan.__proto__: found an unknown key, allowed: ${LINK_KEYS}`,
      `weir.yaml:2:53: links.lan.constructor: found an unknown key, allowed: ${LINK_KEYS}`,
      `weir.yaml:2:91: links.lan."a.b": found an unknown key, allowed: ${LINK_KEYS}`,
    ] },
  { name: 'a key of control of a coming version', text: 'control: { web: off }\n',
    errors: ['weir.yaml:1:12: control.web: found a key this version does not support, allowed: socket, group, logLevel and metrics'] },
  { name: 'a key given twice', text: `links:\n  lan:\n    type: tap\n    device: a\n    type: raw\n`,
    errors: ['weir.yaml:5:5: links.lan.type: found the key a second time (first in line 3), allowed: each key once'] },
  { name: 'a name given twice, and another mistake beside it', text: `links:\n  lan: { ${LINK} }\n  lan: { ${LINK} }\nlimits: { flows: 1 }\n`,
    errors: [
      'weir.yaml:3:3: links.lan: found the key a second time (first in line 2), allowed: each key once',
      'weir.yaml:4:18: limits.flows: found 1, allowed: 1024 to 16777216',
    ] },
  { name: 'required keys that are missing', text: 'links:\n  lan: {}\n',
    errors: [
      'weir.yaml:2:3: links.lan.type: found nothing, allowed: tap, raw or tun; a link needs it',
      'weir.yaml:2:3: links.lan.device: found nothing, allowed: a device name of 1 to 15 bytes, without spaces, "/", ":" or "%"; a link needs it',
    ] },
  // --- names and shapes -----------------------------------------------------------------------------------------------
  { name: 'names that are no names', text: `links:\n  Lan: { ${LINK} }\n  9: { type: tap, device: e }\n  "a b": { type: tap, device: f }\n  ${'x'.repeat(33)}: { type: tap, device: g }\n`,
    errors: [
      'weir.yaml:2:3: links.Lan: found the name "Lan", allowed: a name of 1 to 32 lower-case letters, digits and "-", beginning with a letter',
      'weir.yaml:3:3: links.9: found the name "9", allowed: a name of 1 to 32 lower-case letters, digits and "-", beginning with a letter',
      'weir.yaml:4:3: links."a b": found the name "a b", allowed: a name of 1 to 32 lower-case letters, digits and "-", beginning with a letter',
      `weir.yaml:5:3: links.${'x'.repeat(33)}: found the name "${'x'.repeat(33)}", allowed: a name of 1 to 32 lower-case letters, digits and "-", beginning with a letter`,
    ] },
  { name: 'a list where a section belongs', text: 'links:\n  - lan\nlimits: 5\n',
    errors: [
      'weir.yaml:2:3: links: found a list, allowed: a map from names to links',
      'weir.yaml:3:9: limits: found 5, allowed: a map of flows, neighbours, neighbourQueue, heldPackets, fragments, fragmentBytes, icmpErrorsPerSecond, icmpErrorsPerDestination, flowsPerSource, portsPerSource, expectations, affinity, heldSyns, offloadedFlows, sharedChanges, heldFetches, snatPortFirst and snatPortLast',
    ] },
  { name: 'a text where a thing belongs, and nothing', text: 'links:\n  lan: eth0\n  wan:\n',
    errors: [
      `weir.yaml:2:8: links.lan: found "eth0", allowed: a map of ${LINK_KEYS}`,
      `weir.yaml:3:7: links.wan: found nothing, allowed: a map of ${LINK_KEYS}`,
    ] },
  { name: 'a refused section is not also missed by those who refer to it', text: whole(WHOLE.slice(0, WHOLE.indexOf('routes:')), 'links: [lan, wan]\n'),
    errors: ['weir.yaml:1:8: links: found a list, allowed: a map from names to links'] },
  { name: 'a file that is not a map', text: '- links\n', errors: ['weir.yaml:1:1: found a list, allowed: a map with the sections of docs/config.md'] },
  { name: 'maps and maps in maps where a value belongs', text: lan('type: tap, device: { a: { b: 1 } }, mtu: [1500], addresses: [{ a: 1 }]'),
    errors: [
      'weir.yaml:2:29: links.lan.device: found a map, allowed: a device name of 1 to 15 bytes, without spaces, "/", ":" or "%"',
      'weir.yaml:2:51: links.lan.mtu: found a list, allowed: 576 to 65535',
      'weir.yaml:2:71: links.lan.addresses[0]: found a map, allowed: an IPv4 address with its prefix length, such as 192.0.2.1/24',
    ] },
  // --- values ---------------------------------------------------------------------------------------------------------
  { name: 'a type with a slip', text: lan('type: tpa, device: d'), errors: ['weir.yaml:2:16: links.lan.type: found "tpa" (did you mean tap?), allowed: tap, raw or tun'] },
  { name: 'nothing where a value belongs', text: `links:\n  lan:\n    type: tap\n    device:\n    mtu:\n`,
    errors: [
      'weir.yaml:4:12: links.lan.device: found nothing, allowed: a device name of 1 to 15 bytes, without spaces, "/", ":" or "%"',
      'weir.yaml:5:9: links.lan.mtu: found nothing, allowed: 576 to 65535',
    ] },
  ...[
    ['sixteen-bytes-ab', '"sixteen-bytes-ab" (16 bytes, 15 at most)'], ['äöüäöüäö', '"äöüäöüäö" (16 bytes, 15 at most)'], ['a/b', '"a/b" (not a name the kernel takes)'],
    ['"a b"', '"a b" (not a name the kernel takes)'], ['".."', '".." (not a name the kernel takes)'], ['"weir%d"', '"weir%d" (not a name the kernel takes)'],
    ['a:b', '"a:b" (not a name the kernel takes)'], ['""', '"" (empty)'], ['12', '12 (not a text, put it in quotes)'], ['0x1F', '0x1F (not a text, put it in quotes)'],
  ].map(([value, found]) => ({ name: `device ${value}`, text: lan(`type: tap, device: ${value}`),
    errors: [`weir.yaml:2:29: links.lan.device: found ${found}, allowed: a device name of 1 to 15 bytes, without spaces, "/", ":" or "%"`] })),
  ...[
    ['575', '575'], ['65536', '65536'], ['1500.5', '1500.5 (not a whole number)'], ['"1500"', '"1500" (a text)'], ['1e400', '1e400 (not a whole number)'], ['.nan', '.nan (not a whole number)'], ['true', 'true'],
  ].map(([value, found]) => ({ name: `mtu ${value}`, text: lan(`${LINK}, mtu: ${value}`), errors: [`weir.yaml:2:37: links.lan.mtu: found ${found}, allowed: 576 to 65535`] })),
  { name: 'an mtu the kernel gives no tap', text: lan(`${LINK}, mtu: 65522`), errors: ['weir.yaml:2:37: links.lan.mtu: found 65522 (on a tap), allowed: 576 to 65521'] },
  ...['yes', 'off', '"true"'].map((value) => ({ name: `offload ${value}`, text: lan(`${LINK}, offload: ${value}`),
    errors: [`weir.yaml:2:41: links.lan.offload: found "${value.replaceAll('"', '')}" (a text), allowed: true or false`] })),
  ...[
    ['02:00:00:00:00', 'not six bytes in hexadecimal with ":" between'], ['02-00-00-00-00-01', 'not six bytes in hexadecimal with ":" between'],
    ['01:00:5e:00:00:01', 'a multicast address'], ['00:00:00:00:00:00', 'all zeros'],
  ].map(([value, remark]) => ({ name: `mac ${value}`, text: lan(`${LINK}, mac: ${value}`),
    errors: [`weir.yaml:2:37: links.lan.mac: found "${value}" (${remark}), allowed: a unicast MAC address such as 02:00:00:00:00:01`] })),
  { name: 'a network namespace that is a path', text: lan(`${LINK}, netns: /run/netns/a`),
    errors: ['weir.yaml:2:39: links.lan.netns: found "/run/netns/a" (not a file name), allowed: the name of a network namespace, as `ip netns` lists it'] },
  { name: 'an address that is not in a list', text: lan(`${LINK}, addresses: 10.0.0.1/24`),
    errors: ['weir.yaml:2:43: links.lan.addresses: found "10.0.0.1/24" (not a list, write [10.0.0.1/24]), allowed: a list of IPv4 addresses with prefix lengths, such as [192.0.2.1/24]'] },
  ...[
    ['10.0.0.1', 'no prefix length', 'such as 10.0.0.1/24'],
    ['2001:db8::1/64', 'IPv4 only in this version', 'an IPv4 address with its prefix length, such as 192.0.2.1/24'],
    ['10.0.0.1/33', 'not an IPv4 address with a prefix length of 0 to 32', 'an IPv4 address with its prefix length, such as 192.0.2.1/24'],
    ['010.0.0.1/24', 'not an IPv4 address with a prefix length of 0 to 32', 'an IPv4 address with its prefix length, such as 192.0.2.1/24'],
    ['10.1/16', 'not an IPv4 address with a prefix length of 0 to 32', 'an IPv4 address with its prefix length, such as 192.0.2.1/24'],
    ['10.0.0.1/255.0.0.0', 'not an IPv4 address with a prefix length of 0 to 32', 'an IPv4 address with its prefix length, such as 192.0.2.1/24'],
    ['10.0.0.1/0', 'a network of everything', 'a prefix length of 1 to 32'],
    ['10.0.0.0/24', 'the network address of 10.0.0.0/24', 'an address a host can have'],
    ['10.0.0.255/24', 'the broadcast address of 10.0.0.0/24', 'an address a host can have'],
    ['0.1.2.3/24', '"this network", 0.0.0.0/8', 'an address a host can have'],
    ['127.0.0.1/8', 'loopback, 127.0.0.0/8', 'an address a host can have'],
    ['224.0.0.5/24', 'multicast, 224.0.0.0/4', 'an address a host can have'],
    ['240.0.0.1/24', 'reserved, 240.0.0.0/4', 'an address a host can have'],
    ['255.255.255.255/32', 'reserved, 240.0.0.0/4', 'an address a host can have'],
  ].map(([value, remark, allowed]) => ({ name: `address ${value}`, text: lan(`${LINK}, addresses: [192.0.2.1/24, "${value}"]`),
    errors: [`weir.yaml:2:58: links.lan.addresses[1]: found "${value}" (${remark}), allowed: ${allowed}`] })),
  { name: 'durations', text: 'timeouts:\n  udp: 300\n  icmp: 59s\n  other: 1500ms\n  tcpTimeWait: forever\n  tcpOpening: 3m59s\n  tcpEstablished: 2h\n  tcpClosing: 25d\n  fragment: 1s1m\n  udpReplied: 119s\n  neighbourStale: ""\n',
    errors: [
      'weir.yaml:2:8: timeouts.udp: found 300 (no unit), allowed: a duration with its unit (d, h, m, s), 2m to 24d',
      'weir.yaml:3:9: timeouts.icmp: found "59s" (RFC 5508 REQ-2 forbids less than 60s), allowed: 60s to 24d',
      'weir.yaml:4:10: timeouts.other: found "1500ms" (a fraction of a second), allowed: 1s to 24d',
      'weir.yaml:5:16: timeouts.tcpTimeWait: found "forever", allowed: a duration such as 90s, 5m or 2h4m, 1s to 24d',
      'weir.yaml:6:15: timeouts.tcpOpening: found "3m59s" (RFC 5382 REQ-5 forbids less than 4m), allowed: 4m to 24d',
      'weir.yaml:7:19: timeouts.tcpEstablished: found "2h" (RFC 5382 REQ-5 forbids less than 2h4m), allowed: 2h4m to 24d',
      'weir.yaml:8:15: timeouts.tcpClosing: found "25d" (too long), allowed: 4m to 24d',
      'weir.yaml:9:13: timeouts.fragment: found "1s1m", allowed: a duration such as 90s, 5m or 2h4m, 1s to 2m',
      'weir.yaml:10:15: timeouts.udpReplied: found "119s" (RFC 4787 REQ-5 forbids less than 2m), allowed: 2m to 24d',
      'weir.yaml:11:19: timeouts.neighbourStale: found "", allowed: a duration such as 90s, 5m or 2h4m, 1s to 1d',
    ] },
  { name: 'the control section', text: `control:\n  socket: weir.sock\n  group: "a group"\n  logLevel: verbose\n`,
    errors: [
      'weir.yaml:2:11: control.socket: found "weir.sock" (not absolute), allowed: an absolute path of at most 107 bytes',
      'weir.yaml:3:10: control.group: found "a group" (not a group name), allowed: the name of a group of the system, at most 32 bytes',
      'weir.yaml:4:13: control.logLevel: found "verbose", allowed: trace, debug, info, warn, error, fatal or silent',
    ] },
  { name: 'a socket path longer than the kernel takes', text: `control: { socket: /${'s'.repeat(107)} }\n`,
    errors: [`weir.yaml:1:20: control.socket: found "/${'s'.repeat(63)}…" (108 bytes), allowed: an absolute path of at most 107 bytes`] },
  { name: 'ports the wrong way round', text: 'limits:\n  snatPortFirst: 40000\n  snatPortLast: 30000\n',
    errors: ['weir.yaml:3:17: limits.snatPortLast: found 40000 to 30000 as source translation\'s ports, allowed: snatPortLast not below snatPortFirst'] },
  { name: 'a first port above the default last one is impossible; below the services it is refused', text: 'limits: { snatPortFirst: 22 }\n',
    errors: ['weir.yaml:1:26: limits.snatPortFirst: found 22, allowed: 1024 to 65535'] },
  // --- links together -------------------------------------------------------------------------------------------------
  { name: 'keys of another type of link', text: `links:\n  a: { type: raw, device: a, bridge: b, mac: 02:00:00:00:00:01 }\n  b: { type: tap, device: c, peer: 10.0.0.1, defaultRoute: false }\n`,
    errors: [
      'weir.yaml:2:30: links.a.bridge: found bridge on a raw link, allowed: bridge on a tap link only',
      'weir.yaml:2:41: links.a.mac: found mac on a raw link, allowed: mac on a tap link only',
      'weir.yaml:3:30: links.b.peer: found peer on a tap link, allowed: peer on a tun link only',
      'weir.yaml:3:46: links.b.defaultRoute: found defaultRoute on a tap link, allowed: defaultRoute on a tun link only',
    ] },
  { name: 'one device twice, but not in two namespaces', text: `links:\n  a: { ${LINK} }\n  b: { ${LINK}, netns: blue }\n  c: { type: raw, device: d }\n`,
    errors: ['weir.yaml:4:27: links.c.device: found "d" (already the device of a), allowed: a device of its own for each link'] },
  { name: 'a bridge that is the device', text: lan(`${LINK}, bridge: d`), errors: ['weir.yaml:2:40: links.lan.bridge: found "d" (the link\'s own device), allowed: another device\'s name'] },
  { name: 'one address twice, on two links and on one', text: `links:\n  a: { ${LINK}, addresses: [10.0.0.1/24, 10.0.0.1/16] }\n  b: { type: tap, device: e, addresses: [10.0.1.1/24] }\n  c: { type: tap, device: f, addresses: [10.0.1.1/30] }\n`,
    errors: [
      'weir.yaml:2:55: links.a.addresses[1]: found "10.0.0.1/16" (for the second time), allowed: each once',
      'weir.yaml:4:42: links.c.addresses[0]: found "10.0.1.1/30" (already an address of b), allowed: each address once',
    ] },
  { name: 'networks that overlap without uplinks to tell them apart', text: `links:\n  a: { ${LINK}, addresses: [10.0.0.1/24] }\n  b: { type: tap, device: e, addresses: [10.9.0.1/8] }\n  c: { type: tap, device: f, addresses: [10.0.0.2/24] }\n`,
    errors: [
      'weir.yaml:3:42: links.b.addresses[0]: found "10.9.0.1/8" (overlaps 10.0.0.0/24 of a), allowed: a network of its own for each link, or an uplink on both links',
      'weir.yaml:4:42: links.c.addresses[0]: found "10.0.0.2/24" (overlaps 10.0.0.0/24 of a), allowed: a network of its own for each link, or an uplink on both links',
    ] },
  { name: 'peers', text: `links:
  a: { type: tun, device: a, peer: 10.0.0.2 }
  b: { type: tun, device: b, addresses: [10.0.1.1/30], peer: 10.0.1.1 }
  c: { type: tun, device: c, addresses: [10.0.2.1/30], peer: 10.0.1.2 }
  d: { type: tun, device: d, addresses: [10.0.3.1/30], peer: 10.0.3.3 }
  e: { type: tun, device: e, addresses: [10.0.4.1/30], peer: 10.0.4.2/30 }
`,
    errors: [
      'weir.yaml:2:36: links.a.peer: found "10.0.0.2" (the link has no address), allowed: a peer next to at least one of addresses',
      'weir.yaml:3:62: links.b.peer: found "10.0.1.1" (the router\'s own address on b), allowed: another address',
      'weir.yaml:4:62: links.c.peer: found "10.0.1.2" (outside the link\'s networks), allowed: an address of 10.0.2.0/30',
      'weir.yaml:5:62: links.d.peer: found "10.0.3.3" (the broadcast address of 10.0.3.0/30), allowed: an address a host can have',
      'weir.yaml:6:62: links.e.peer: found "10.0.4.2/30" (with a prefix length), allowed: an address alone, 10.0.4.2',
    ] },
  { name: 'default routes of the box', text: `links:\n  a: { type: tun, device: a, defaultRoute: true }\n  b: { type: tun, device: b, addresses: [10.0.1.1/30], peer: 10.0.1.2, defaultRoute: true }\n`,
    errors: [
      'weir.yaml:2:44: links.a.defaultRoute: found true without a peer, allowed: a default route once peer gives the box an address',
      'weir.yaml:3:86: links.b.defaultRoute: found a second default route (a has it), allowed: one link with defaultRoute',
    ] },
  // --- routes ---------------------------------------------------------------------------------------------------------
  { name: 'destinations', text: `${WHOLE.replace('routes:\n', `routes:
  a: { to: 10.1.2.3/16, link: lan }
  b: { to: 10.1.2.3, link: lan }
  c: { to: "::/0", link: lan }
  d: { to: 0.0.0.0/0, link: lan }
  e: { to: 10.0.1.0/24, link: lan }
  f: { to: 203.0.113.2/32, link: lan }
  g: { to: 127.0.0.0/8, link: lan }
  h: { to: 240.0.0.0/4, refuse: blackhole }
  i: { to: 224.0.1.0/24, group: internet }
  j: { to: everywhere, refuse: drop }
`)}`,
    errors: [
      'weir.yaml:6:12: routes.a.to: found "10.1.2.3/16" (bits set behind the prefix), allowed: 10.1.0.0/16',
      'weir.yaml:7:12: routes.b.to: found "10.1.2.3" (no prefix length), allowed: such as 10.1.2.3/32',
      'weir.yaml:8:12: routes.c.to: found "::/0" (IPv4 only in this version), allowed: an IPv4 prefix such as 192.0.2.0/24',
      'weir.yaml:10:12: routes.e.to: found "10.0.1.0/24" (the network of lan itself, which needs no route), allowed: a prefix no link has',
      'weir.yaml:11:12: routes.f.to: found "203.0.113.2/32" (the router\'s own address on wan), allowed: an address elsewhere',
      'weir.yaml:12:12: routes.g.to: found "127.0.0.0/8" (loopback, 127.0.0.0/8), allowed: a prefix that may be forwarded to, or refuse',
      'weir.yaml:14:12: routes.i.to: found "224.0.1.0/24" (multicast, 224.0.0.0/4), allowed: a prefix that may be forwarded to, or refuse',
      'weir.yaml:15:12: routes.j.to: found "everywhere" (not an IPv4 prefix with a length of 0 to 32), allowed: an IPv4 prefix such as 192.0.2.0/24',
      'weir.yaml:15:32: routes.j.refuse: found "drop", allowed: unreachable, blackhole or prohibit',
      'weir.yaml:16:18: routes.default.to: found "0.0.0.0/0" (already where d leads to), allowed: each prefix once',
    ] },
  { name: 'targets', text: `${WHOLE.replace('routes:\n', `routes:
  a: { to: 10.1.0.0/16 }
  b: { to: 10.2.0.0/16, link: lan, group: internet }
  c: { to: 10.3.0.0/16, via: 10.0.1.9, refuse: blackhole }
  d: { to: 10.4.0.0/16, link: lna }
  e: { to: 10.5.0.0/16, group: intranet }
  f: { to: 10.6.0.0/16, via: 172.16.0.1 }
  g: { to: 10.7.0.0/16, via: 10.0.1.1 }
  h: { to: 10.8.0.0/16, via: 10.0.1.255 }
  i: { to: 10.9.0.0/16, via: 100.64.0.2 }
  j: { to: 10.10.0.0/16, via: 172.16.0.1, link: host }
  k: { to: 10.11.0.0/16, via: 172.16.0.1, link: lan }
  l: { to: 10.12.0.0/16, via: 10.0.1.0, link: lan }
`)}`,
    errors: [
      'weir.yaml:6:3: routes.a: found none of via, link, group and refuse, allowed: exactly one of via, link, group and refuse (via and link may stand together)',
      'weir.yaml:7:3: routes.b: found link and group, allowed: exactly one of via, link, group and refuse (via and link may stand together)',
      'weir.yaml:8:3: routes.c: found via and refuse, allowed: exactly one of via, link, group and refuse (via and link may stand together)',
      'weir.yaml:9:31: routes.d.link: found "lna" (did you mean lan?), allowed: the name of a link: lan, wan or host',
      'weir.yaml:10:32: routes.e.group: found "intranet" (did you mean internet?), allowed: the name of a group: internet',
      'weir.yaml:11:30: routes.f.via: found "172.16.0.1" (on no link\'s network), allowed: an address on a network of a link, or link beside via',
      'weir.yaml:12:30: routes.g.via: found "10.0.1.1" (the router\'s own address on lan), allowed: the address of another router',
      'weir.yaml:13:30: routes.h.via: found "10.0.1.255" (the broadcast address of 10.0.1.0/24), allowed: an address a host can have',
      'weir.yaml:14:30: routes.i.via: found "100.64.0.2" (host is a tun, which has no gateways), allowed: link: host instead of via',
      'weir.yaml:15:31: routes.j.via: found "172.16.0.1" (host is a tun, which has no gateways), allowed: link: host alone',
      'weir.yaml:17:31: routes.l.via: found "10.0.1.0" (the network address of 10.0.1.0/24), allowed: an address a host can have',
    ] },
  { name: 'a gateway on a network that two links share', text: `links:
  a: { type: raw, device: a, addresses: [10.0.0.1/24] }
  b: { type: raw, device: b, addresses: [10.0.0.2/24] }
uplinks: { a: { link: a, gateway: 10.0.0.9 }, b: { link: b, gateway: 10.0.0.9 } }
routes:
  x: { to: 10.2.0.0/16, via: 10.0.0.9 }
`,
    errors: ['weir.yaml:6:30: routes.x.via: found "10.0.0.9" (on the networks of a and b), allowed: link beside via, to say which'] },
  // --- uplinks and groups ---------------------------------------------------------------------------------------------
  { name: 'links and gateways of uplinks', text: `${WHOLE.replace('uplinks:\n', `uplinks:
  a: { link: wna, gateway: 203.0.113.1 }
  b: { link: wan }
  c: { link: host, gateway: 100.64.0.2 }
  d: { link: wan, gateway: 203.0.113.2 }
  e: { link: wan, gateway: 203.0.113.255 }
  f: { link: wan, gateway: "2001:db8::1" }
  g: { link: wan, gateway: 203.0.113.1/24 }
  h: { link: wan, gateway: 127.0.0.1 }
  i: { gateway: 203.0.113.1, weight: -1 }
  j: { link: wan, gateway: 300.1.1.1, weight: 65536 }
`)}`,
    errors: [
      'weir.yaml:8:14: uplinks.a.link: found "wna" (did you mean wan?), allowed: the name of a link: lan, wan or host',
      'weir.yaml:9:3: uplinks.b.gateway: found nothing, allowed: the address of the gateway on wan',
      'weir.yaml:10:14: uplinks.c.link: found "host" (the box\'s own default route leads into it), allowed: a link that leads elsewhere',
      'weir.yaml:10:20: uplinks.c.gateway: found a gateway on host, a tun, allowed: no gateway, a tun has none',
      'weir.yaml:11:28: uplinks.d.gateway: found "203.0.113.2" (the router\'s own address on wan), allowed: the address of another router',
      'weir.yaml:12:28: uplinks.e.gateway: found "203.0.113.255" (the broadcast address of 203.0.113.0/24), allowed: an address a host can have',
      'weir.yaml:13:28: uplinks.f.gateway: found "2001:db8::1" (IPv4 only in this version), allowed: an IPv4 address such as 192.0.2.1',
      'weir.yaml:14:28: uplinks.g.gateway: found "203.0.113.1/24" (with a prefix length), allowed: an address alone, 203.0.113.1',
      'weir.yaml:15:28: uplinks.h.gateway: found "127.0.0.1" (loopback, 127.0.0.0/8), allowed: an address a host can have',
      'weir.yaml:16:3: uplinks.i.link: found nothing, allowed: the name of a link; an uplink needs it',
      'weir.yaml:16:38: uplinks.i.weight: found -1, allowed: 0 to 65535',
      'weir.yaml:17:28: uplinks.j.gateway: found "300.1.1.1" (not an IPv4 address), allowed: an IPv4 address such as 192.0.2.1',
      'weir.yaml:17:47: uplinks.j.weight: found 65536, allowed: 0 to 65535',
    ] },
  { name: 'translation', text: `links:
  bare: { type: raw, device: a }
uplinks:
  a: { link: bare, gateway: 10.0.0.1 }
  b: { link: bare, gateway: 10.0.0.1, snat: auto }
  c: { link: bare, gateway: 10.0.0.1, snat: false }
  d: { link: bare, gateway: 10.0.0.1, snat: atuo }
  e: { link: bare, gateway: 10.0.0.1, snat: [] }
  f: { link: bare, gateway: 10.0.0.1, snat: [192.0.2.1, 192.0.2.1/32, 192.0.2.1, auto] }
  g: { link: bare, gateway: 10.0.0.1, snat: 255.255.255.255 }
`,
    errors: [
      'weir.yaml:4:3: uplinks.a.snat: found auto (the default), but bare has no address, allowed: auto on a link with an address; off, or addresses',
      'weir.yaml:5:45: uplinks.b.snat: found "auto", but bare has no address, allowed: auto on a link with an address; off, or addresses',
      `weir.yaml:6:45: uplinks.c.snat: found false (a boolean, not the text off or auto), allowed: ${POOL}`,
      `weir.yaml:7:45: uplinks.d.snat: found "atuo" (did you mean auto?), allowed: ${POOL}`,
      'weir.yaml:8:45: uplinks.e.snat: found an empty list, allowed: off for no translation, or at least one address',
      'weir.yaml:9:57: uplinks.f.snat[1]: found "192.0.2.1/32" (for the second time), allowed: each once',
      'weir.yaml:9:71: uplinks.f.snat[2]: found "192.0.2.1" (for the second time), allowed: each once',
      'weir.yaml:9:82: uplinks.f.snat[3]: found "auto" (not an IPv4 address, a range of them or a prefix), allowed: an IPv4 address, a range or a prefix',
      `weir.yaml:10:45: uplinks.g.snat: found "255.255.255.255" (reserved, 240.0.0.0/4), allowed: ${POOL}`,
    ] },
  { name: 'members of groups', text: `${WHOLE.replace('groups:\n', `groups:
  a: { uplinks: [] }
  b: { uplinks: isp }
  c: { uplinks: [isp, isp3, isp] }
  d: {}
`)}`,
    errors: [
      'weir.yaml:10:17: groups.a.uplinks: found an empty list, allowed: a list of at least one name, each of an uplink',
      'weir.yaml:11:17: groups.b.uplinks: found "isp" (not a list, write [isp]), allowed: a list of at least one name, each of an uplink',
      'weir.yaml:12:23: groups.c.uplinks[1]: found "isp3" (did you mean isp?), allowed: the name of an uplink: isp',
      'weir.yaml:12:29: groups.c.uplinks[2]: found "isp" (for the second time), allowed: each once',
      'weir.yaml:13:3: groups.d.uplinks: found nothing, allowed: a list of at least one name, each of an uplink; a group needs it',
    ] },
  { name: 'names when there are none', text: 'groups: { g: { uplinks: [a] } }\n', errors: ['weir.yaml:1:26: groups.g.uplinks[0]: found "a", allowed: the name of an uplink, of which there is none'] },
  { name: 'one wrong key is told once, not by all that depends on it', text: whole('addresses: [203.0.113.2/24]', 'addresses: [203.0.113.2/33]'),
    errors: ['weir.yaml:3:47: links.wan.addresses[0]: found "203.0.113.2/33" (not an IPv4 address with a prefix length of 0 to 32), allowed: an IPv4 address with its prefix length, such as 192.0.2.1/24'] },
  // --- YAML -----------------------------------------------------------------------------------------------------------
  { name: 'tabs', text: 'links:\n\tlan: {}\n', errors: ['weir.yaml:2:1: syntax: found tabs are not allowed as indentation, allowed: spaces for indentation'] },
  { name: 'a value with ": "', text: 'links: a: b\n', errors: ['weir.yaml:1:8: syntax: found nested mappings are not allowed in compact mappings, allowed: one "key: value" on a line, and texts with ": " in quotes'] },
  { name: 'a quote that is not closed', text: 'control: { socket: "/run/x }\n', errors: ['weir.yaml:2:1: syntax: found missing closing "quote, allowed: quotes and brackets that are closed'] },
  { name: 'two documents', text: 'links: {}\n---\nlinks: {}\n', errors: ['weir.yaml:2:1: syntax: found source contains multiple documents, allowed: one document in a file, further ones in drop-ins'] },
  { name: 'a tag', text: 'links: !links {}\n', errors: ['weir.yaml:1:8: syntax: found unresolved tag: !links, allowed: YAML 1.2 without tags, or JSON'] },
  { name: 'an alias without an anchor', text: 'links:\n  lan: *lan\n', errors: ['weir.yaml:2:8: links.lan: found the alias *lan, allowed: an alias of an anchor set before it with &lan'] },
  { name: 'an alias of itself', text: 'links: &l\n  lan: *l\n', errors: ['weir.yaml:2:8: links.lan: found the alias *l inside the value it stands for, allowed: an alias of a value that is complete'] },
  { name: 'a merge of something else', text: lan(`<<: tap, ${LINK}`), errors: ['weir.yaml:2:10: links.lan."<<": found "tap", allowed: a map to merge, or a list of maps'] },
  { name: 'a key that is a list', text: '? [a]\n: 1\n', errors: ['weir.yaml:1:1: found a key that is not a plain text, allowed: keys that are names'] },
  { name: 'values nested without end', text: `links: ${'['.repeat(40)}${']'.repeat(40)}\n`,
    errors: ['weir.yaml:1:37: syntax: found values nested deeper than 32 levels, allowed: what docs/config.md lists'] },
  { name: 'YAML 1.1 is read as 1.2', text: '%YAML 1.1\n---\nlinks: { lan: { type: tap, device: d, offload: no } }\n', errors: ['weir.yaml:3:48: links.lan.offload: found "no" (a text), allowed: true or false'] },
];

for (const { name, text, errors } of rows) {
  test(name, () => {
    assert.equal(compile(text).errors, errors);
  });
}

// conforms: nat-overlap
test('an inside network that overlaps an uplink’s is refused by name; uplinks may share one (RFC 4787 REQ-7)', () => {
  const gateway = (second: string): string => `links:
  lan: { type: tap, device: lan, addresses: [192.168.1.1/24] }
  wan: { type: tap, device: wan, addresses: [${second}] }
  wan2: { type: tap, device: wan2, addresses: [192.168.2.3/24] }
uplinks:
  isp: { link: wan, gateway: 192.168.${second.split('.')[2]}.254 }
  isp2: { link: wan2, gateway: 192.168.2.254 }
groups: { internet: { uplinks: [isp, isp2] } }
routes: { default: { to: 0.0.0.0/0, group: internet } }
`;
  assert.equal(compile(gateway('192.168.1.77/24')).errors, [
    'weir.yaml:3:46: links.wan.addresses[0]: found "192.168.1.77/24" (overlaps 192.168.1.0/24 of lan), allowed: a network of its own for each link, or an uplink on both links',
  ]);
  assert.equal(compile(gateway('192.168.2.77/24')).errors, []);
});

for (const [name, text] of [
  ['brackets', `links: ${'['.repeat(200_000)}${']'.repeat(200_000)}`], ['braces', '{a: '.repeat(200_000)], ['dashes', `links:\n${'- '.repeat(200_000)}`],
  ['indentation', Array.from({ length: 2000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')], ['questions', '? '.repeat(200_000)], ['brackets behind an error', `a: @\n---\n${'['.repeat(200_000)}`],
]) {
  test(`nesting without end by ${name} is refused, not a crash`, () => {
    const { errors } = compile(text);
    assert.is(errors.length, 1);
    assert.match(errors[0], /^weir\.yaml:\d+:\d+: syntax: found values nested deeper than 32 levels/);
  });
}

test('aliases of aliases do not grow, wherever they are used', () => {
  const layers = Array.from({ length: 30 }, (_, index) => `  l${index + 1}: &a${index + 1} [${`*a${index}, `.repeat(9)}*a${index}]`);
  const { errors } = compile(`links:\n  l0: &a0 [x]\n${layers.join('\n')}\n  lan: { type: tap, device: *a30, addresses: *a30 }\n`);
  assert.is(errors.length, 31 + 1 + 10);
  const maps = Array.from({ length: 30 }, (_, index) => `  m${index + 1}: &m${index + 1} { x: *m${index}, y: *m${index} }`);
  const text = `links:\n  m0: &m0 { x: 1 }\n${maps.join('\n')}\n`;
  assert.is(compile(text, text).errors.filter((line) => line.includes('unknown key')).length, 61);
});

test.run();
