/** Checks, tiers, affinity, fates, policies, hooks and pins: what each becomes in the plan, and what is told of each mistake, to the letter. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckPlan } from '../../../src/base/plan.js';
import { compile } from './support.js';

const BOX = 'host: { type: tun, device: weir0, addresses: [100.64.0.1/30], peer: 100.64.0.2 }';
const ADDRESS = 'an IPv4 address such as 192.0.2.1';
const HOST = `${ADDRESS}, or gateway`;
const ENDPOINT = 'HOST:PORT, such as example.com:443 or 192.0.2.1:80';
const URL_ALLOWED = 'a URL such as https://example.com/health';
const COMMAND = 'the whole path of a program, or a list of it and its arguments';
const KINDS = 'icmp, arp, udp, tcp, http, dns and script';
const CHECK_KEYS = 'icmp, arp, udp, tcp, http, dns, script, need, interval, timeout, fall, rise, initial, window, loss, latency, jitter and damping';

interface Parts { check?: string; uplink?: string; group?: string; policies?: string; box?: string; more?: string }

/** Three uplinks in one group: `isp` translates and stands in line 10, `mob` translates, `ppp` is a tun and does not; a check begins in column 50. */
function text({ check, uplink, group = '', policies = '', box = BOX, more = '' }: Parts): string {
  return `links:
  lan: { type: tap, device: weir-lan, addresses: [10.0.1.1/24] }
  wan: { type: raw, device: eth1, addresses: [203.0.113.2/24] }
  mob: { type: raw, device: eth2, addresses: [198.51.100.2/24] }
  ppp: { type: tun, device: weir-ppp }
  ${box}
routes:
  default: { to: 0.0.0.0/0, group: internet }
uplinks:
  ${uplink ?? `isp: { link: wan, gateway: 203.0.113.1${check === undefined ? '' : `, check: ${check}`} }`}
  mob: { link: mob, gateway: 198.51.100.1 }
  ppp: { link: ppp, snat: off }
groups:
  internet: { uplinks: [isp, mob, ppp]${group === '' ? '' : `, ${group}`} }
${more}${policies === '' ? '' : `policies:\n${policies}`}`;
}

function checkOf(check: string): CheckPlan | undefined {
  const { plan, errors, warnings } = compile(text({ check }));
  assert.equal(errors, []);
  assert.equal(warnings, []);
  return plan!.uplinks[0].check;
}

const DAMPING = { halfLifeMs: 60_000, suppress: 3, reuse: 1.5, mostMs: 600_000 };
const DEFAULTS = { need: 1, intervalMs: 1000, timeoutMs: 800, fall: 3, rise: 3, initial: 'up', window: 20, damping: DAMPING } as const;

// --- checks: plans ----------------------------------------------------------------------------------------------------

const HTTP = { kind: 'http', status: [{ first: 200, last: 399 }], verify: true } as const;
for (const [check, probes] of [
  ['{ icmp: 192.0.2.1 }', [{ kind: 'icmp', target: '192.0.2.1' }]],
  ['{ icmp: [gateway, 192.0.2.1] }', [{ kind: 'icmp', target: '203.0.113.1' }, { kind: 'icmp', target: '192.0.2.1' }]],
  ['{ arp: gateway }', [{ kind: 'arp', target: '203.0.113.1' }]],
  ['{ arp: [203.0.113.9, gateway] }', [{ kind: 'arp', target: '203.0.113.9' }, { kind: 'arp', target: '203.0.113.1' }]],
  ['{ udp: 192.0.2.1 }', [{ kind: 'udp', target: '192.0.2.1', port: 33_434, ttl: 2 }]],
  ['{ udp: [192.0.2.1:53, { target: 192.0.2.2, ttl: 5 }] }', [{ kind: 'udp', target: '192.0.2.1', port: 53, ttl: 2 }, { kind: 'udp', target: '192.0.2.2', port: 33_434, ttl: 5 }]],
  ['{ udp: { target: 192.0.2.1:9, ttl: 255 } }', [{ kind: 'udp', target: '192.0.2.1', port: 9, ttl: 255 }]],
  ['{ tcp: example.com:443 }', [{ kind: 'tcp', host: 'example.com', port: 443 }]],
  ['{ tcp: [192.0.2.1:80, a-b.example:65535] }', [{ kind: 'tcp', host: '192.0.2.1', port: 80 }, { kind: 'tcp', host: 'a-b.example', port: 65_535 }]],
  ['{ http: https://a.example }', [{ ...HTTP, url: 'https://a.example/' }]],
  ['{ http: [http://192.0.2.1:8080/x?y=1, { url: https://b.example/, status: [200, 301-302], body: ready, verify: false }] }', [
    { ...HTTP, url: 'http://192.0.2.1:8080/x?y=1' },
    { kind: 'http', url: 'https://b.example/', status: [{ first: 200, last: 200 }, { first: 301, last: 302 }], body: 'ready', verify: false },
  ]],
  ['{ dns: 192.0.2.53 }', [{ kind: 'dns', server: '192.0.2.53', port: 53, name: 'example.com' }]],
  ['{ dns: [192.0.2.53:5353, { server: 192.0.2.54, name: a.example, address: 192.0.2.80 }] }', [
    { kind: 'dns', server: '192.0.2.53', port: 5353, name: 'example.com' }, { kind: 'dns', server: '192.0.2.54', port: 53, name: 'a.example', address: '192.0.2.80' },
  ]],
  ['{ script: /bin/true }', [{ kind: 'script', command: ['/bin/true'], user: 'nobody' }]],
  ['{ script: [/bin/test, -e, /tmp/a b] }', [{ kind: 'script', command: ['/bin/test', '-e', '/tmp/a b'], user: 'nobody' }]],
  ['{ script: { command: [/bin/test, -e, /x], user: weir } }', [{ kind: 'script', command: ['/bin/test', '-e', '/x'], user: 'weir' }]],
  ['{ script: [[/bin/a, x], { command: /bin/b }, /bin/c] }', [['/bin/a', 'x'], ['/bin/b'], ['/bin/c']].map((command) => ({ kind: 'script', command, user: 'nobody' }))],
] as const) {
  test(`targets ${check}`, () => {
    assert.equal(checkOf(check), { probes, ...DEFAULTS });
  });
}

test('targets of several kinds, in the order of their kinds', () => {
  const plan = checkOf('{ script: /bin/true, dns: 192.0.2.53, http: http://a.example/, tcp: a.example:1, udp: 192.0.2.1, arp: gateway, icmp: 192.0.2.1, need: 7 }')!;
  assert.equal(plan.probes.map(({ kind }) => kind), ['icmp', 'arp', 'udp', 'tcp', 'http', 'dns', 'script']);
  assert.is(plan.need, 7);
});

for (const [check, changed] of [
  ['interval: 200ms', { intervalMs: 200, timeoutMs: 160 }], ['interval: 999ms', { intervalMs: 999, timeoutMs: 799 }], ['interval: 1h', { intervalMs: 3_600_000, timeoutMs: 800 }],
  ['interval: 200ms, timeout: 200ms', { intervalMs: 200, timeoutMs: 200 }], ['interval: 1m30s, timeout: 2s500ms', { intervalMs: 90_000, timeoutMs: 2500 }],
  ['fall: 1, rise: 10, initial: down, window: 100', { fall: 1, rise: 10, initial: 'down', window: 100 }],
  ['loss: { fail: 40%, recover: 2.5% }', { loss: { fail: 0.4, recover: 0.025 } }], ['loss: { fail: 100% }', { loss: { fail: 1, recover: 0.5 } }],
  ['loss: { fail: 40%, recover: 40% }', { loss: { fail: 0.4, recover: 0.4 } }],
  ['latency: { fail: 1s, recover: 500ms }', { latencyMs: { fail: 1000, recover: 500 } }], ['jitter: { fail: 30ms }', { jitterMs: { fail: 30, recover: 15 } }],
  ['damping: on', {}], ['damping: {}', {}], ['damping: off', { damping: undefined }],
  ['damping: { halfLife: 1500ms, suppress: 2, reuse: 0.5, most: 1d }', { damping: { halfLifeMs: 1500, suppress: 2, reuse: 0.5, mostMs: 86_400_000 } }],
  ['damping: { reuse: 1 }', { damping: { ...DAMPING, reuse: 1 } }],
] as const) {
  test(`a check with ${check}`, () => {
    const { damping, ...rest } = { probes: [{ kind: 'icmp', target: '192.0.2.1' }], ...DEFAULTS, ...changed };
    assert.equal(checkOf(`{ icmp: 192.0.2.1, ${check} }`), damping === undefined ? rest : { ...rest, damping });
  });
}

test('a drop-in changes one key of a check, and one key of a map of it', () => {
  const { plan } = compile(text({ check: '{ icmp: 192.0.2.1, interval: 3s, damping: { suppress: 5, most: 1m } }' }),
    'uplinks: { isp: { check: { fall: 7, damping: { most: 2m } } } }');
  assert.equal(plan!.uplinks[0].check, { ...DEFAULTS, probes: [{ kind: 'icmp', target: '192.0.2.1' }], intervalMs: 3000, fall: 7, damping: { ...DAMPING, suppress: 5, mostMs: 120_000 } });
});

// --- checks: mistakes -------------------------------------------------------------------------------------------------

const at = (column: number, path: string, rest: string): string => `weir.yaml:10:${column}: uplinks.isp.check${path}: found ${rest}`;
const checks: { name: string; check: string; errors: string[] }[] = [
  { name: 'a check that is a list', check: '[192.0.2.1]', errors: [at(50, '', `a list, allowed: a map of ${CHECK_KEYS}`)] },
  { name: 'no targets', check: '{ need: 2 }', errors: [at(43, '', `a check without targets, allowed: at least one of ${KINDS}`)] },
  { name: 'a kind with a slip is one mistake', check: '{ icpm: 192.0.2.1 }', errors: [at(52, '.icpm', `an unknown key (did you mean icmp?), allowed: ${CHECK_KEYS}`)] },
  { name: 'addresses', check: '{ icmp: [gatway, 300.1.1.1, 127.0.0.1, "::1", 192.0.2.0/24], arp: 5 }', errors: [
    at(59, '.icmp[0]', `"gatway" (did you mean gateway?), allowed: ${HOST}`),
    at(67, '.icmp[1]', `"300.1.1.1" (not an IPv4 address), allowed: ${HOST}`),
    at(78, '.icmp[2]', '"127.0.0.1" (loopback, 127.0.0.0/8), allowed: an address a host can have'),
    at(89, '.icmp[3]', `"::1" (IPv4 only in this version), allowed: ${HOST}`),
    at(96, '.icmp[4]', '"192.0.2.0/24" (with a prefix length), allowed: an address alone, 192.0.2.0'),
    at(116, '.arp', `5, allowed: ${HOST}`),
  ] },
  { name: 'one address twice, also by the word for it', check: '{ icmp: [gateway, 192.0.2.1, 203.0.113.1], arp: [gateway, gateway] }', errors: [
    at(79, '.icmp[2]', '"203.0.113.1" (203.0.113.1 for the second time), allowed: each once'),
    at(108, '.arp[1]', '"gateway" (for the second time), allowed: each once'),
  ] },
  { name: 'the router itself, and an address ARP cannot reach', check: '{ icmp: 10.0.1.1, arp: [203.0.113.9, 192.0.2.9], udp: 198.51.100.2, dns: 100.64.0.1, tcp: 203.0.113.2:80 }', errors: [
    at(58, '.icmp', '"10.0.1.1" (the router\'s own address on lan), allowed: the address of somebody else'),
    at(87, '.arp[1]', '"192.0.2.9" (192.0.2.9 is not in 203.0.113.0/24 of wan), allowed: gateway, or an address on the link\'s network'),
    at(104, '.udp', '"198.51.100.2" (the router\'s own address on mob), allowed: the address of somebody else'),
    at(123, '.dns', '"100.64.0.1" (the router\'s own address on host), allowed: the address of somebody else'),
    at(140, '.tcp', '"203.0.113.2:80" (the router\'s own address on wan), allowed: the address of somebody else'),
  ] },
  { name: 'hosts with ports', check: '{ tcp: [example.com, 192.0.2.1:0, "[::1]:80", 300.1.1.1:80, a_b:80:1, "a b:80", a:1, a:1] }', errors: [
    at(58, '.tcp[0]', `"example.com" (no port), allowed: ${ENDPOINT}`),
    at(71, '.tcp[1]', `"192.0.2.1:0" (ports go from 1 to 65535), allowed: ${ENDPOINT}`),
    at(84, '.tcp[2]', `"[::1]:80" (IPv4 only in this version), allowed: ${ENDPOINT}`),
    at(96, '.tcp[3]', `"300.1.1.1:80" (not an IPv4 address), allowed: ${ENDPOINT}`),
    at(110, '.tcp[4]', `"a_b:80:1" (not a host with a port), allowed: ${ENDPOINT}`),
    at(120, '.tcp[5]', `"a b:80" (not a host's name), allowed: ${ENDPOINT}`),
    at(135, '.tcp[7]', '"a:1" (for the second time), allowed: each once'),
  ] },
  { name: 'URLs', check: '{ http: [example.com/x, ftp://a, example.com:80, https://, "http://[::1]/", { ulr: x }, { url: http://a, status: [99, 200-150], verify: no, body: "" }] }', errors: [
    at(59, '.http[0]', `"example.com/x" (no http:// or https:// before it), allowed: ${URL_ALLOWED}`),
    at(74, '.http[1]', `"ftp://a" (ftp is neither http nor https), allowed: ${URL_ALLOWED}`),
    at(83, '.http[2]', `"example.com:80" (no http:// or https:// before it), allowed: ${URL_ALLOWED}`),
    at(99, '.http[3]', `"https://" (not a URL), allowed: ${URL_ALLOWED}`),
    at(109, '.http[4]', `"http://[::1]/" (IPv4 only in this version), allowed: ${URL_ALLOWED}`),
    at(126, '.http[5].url', `nothing, allowed: ${URL_ALLOWED}; a target by HTTP needs it`),
    at(128, '.http[5].ulr', 'an unknown key (did you mean url?), allowed: url, status, body and verify'),
    at(164, '.http[6].status[0]', '99 (codes go from 100 to 599), allowed: a status code of 100 to 599 or a range such as 200-399'),
    at(168, '.http[6].status[1]', '"200-150" (the wrong way round), allowed: a status code of 100 to 599 or a range such as 200-399'),
    at(186, '.http[6].verify', '"no" (a text), allowed: true or false'),
    at(196, '.http[6].body', '"" (empty), allowed: a text of 1 to 1024 characters'),
  ] },
  { name: 'servers and hops', check: '{ dns: [dns.example, 192.0.2.53:0, { server: 192.0.2.1, name: 192.0.2.2, address: x }], udp: [a.example, { target: 192.0.2.1, ttl: 0 }] }', errors: [
    at(58, '.dns[0]', '"dns.example" (not an IPv4 address, with or without a port), allowed: an IPv4 address, or ADDRESS:PORT'),
    at(71, '.dns[1]', '"192.0.2.53:0" (ports go from 1 to 65535), allowed: an IPv4 address, or ADDRESS:PORT'),
    at(112, '.dns[2].name', '"192.0.2.2" (an address, not a name), allowed: a name such as example.com'),
    at(132, '.dns[2].address', `"x" (not an IPv4 address), allowed: ${ADDRESS}`),
    at(144, '.udp[0]', '"a.example" (not an IPv4 address, with or without a port), allowed: an IPv4 address, or ADDRESS:PORT'),
    at(181, '.udp[1].ttl', '0, allowed: 1 to 255'),
  ] },
  { name: 'one target twice, in two ways of writing it', check: '{ http: [http://a/, { url: http://a/ }], script: [[/bin/a], /bin/b, { command: /bin/b }] }', errors: [
    at(70, '.http[1]', 'a map (for the second time), allowed: each once'),
    at(118, '.script[2]', 'a map (for the second time), allowed: each once'),
  ] },
  { name: 'programs', check: '{ script: [bin/true] }', errors: [at(60, '.script', `a list (a program without its whole path), allowed: ${COMMAND}; a map of command and user; or a list of them`)] },
  { name: 'a command line in one text', check: '{ script: "/bin/check -x" }',
    errors: [at(60, '.script', `"/bin/check -x" (a command line in one text; write [PROGRAM, ARGUMENT, …]), allowed: ${COMMAND}; a map of command and user; or a list of them`)] },
  { name: 'arguments that are no texts', check: '{ script: { command: [/bin/a, 5], user: "a b" } }', errors: [
    at(80, '.script.command[1]', '5 (not a text, put it in quotes), allowed: texts'),
    at(90, '.script.user', '"a b" (not a user name), allowed: the name of a user of the system, at most 32 bytes'),
  ] },
  { name: 'numbers', check: '{ icmp: 192.0.2.1, interval: 99ms, timeout: 5, fall: 0, rise: 1.5, initial: upp, window: 1, need: 0 }', errors: [
    at(79, '.interval', '"99ms" (too short), allowed: 100ms to 1h'),
    at(94, '.timeout', '5 (no unit), allowed: a duration with its unit (d, h, m, s, ms), 10ms to 1h'),
    at(103, '.fall', '0, allowed: 1 to 1000'),
    at(112, '.rise', '1.5 (not a whole number), allowed: 1 to 1000'),
    at(126, '.initial', '"upp" (did you mean up?), allowed: up or down'),
    at(139, '.window', '1, allowed: 2 to 1000'),
    at(148, '.need', '0, allowed: 1 to 32'),
  ] },
  { name: 'thresholds and damping', check: '{ icmp: 192.0.2.1, loss: 40%, latency: { fail: 5 }, jitter: { recover: 1s }, damping: true }', errors: [
    at(75, '.loss', '"40%", allowed: a map of fail and recover'),
    at(97, '.latency.fail', '5 (no unit), allowed: a duration with its unit (d, h, m, s, ms), 1ms to 1m'),
    at(102, '.jitter.fail', 'nothing, allowed: 1ms to 1m; a threshold of jitter needs it'),
    at(136, '.damping', 'true (a boolean, not the text on or off), allowed: on, off or a map of halfLife, suppress, reuse and most'),
  ] },
  { name: 'parts of a whole', check: '{ icmp: 192.0.2.1, loss: { fail: 40, recover: 101% } }', errors: [
    at(83, '.loss.fail', '40 (no %), allowed: such as 40%, 1% to 100%'), at(96, '.loss.recover', '"101%", allowed: 0% to 100%'),
  ] },
  { name: 'what leaves no room', check: '{ icmp: 192.0.2.1, need: 2, interval: 200ms, timeout: 300ms, loss: { fail: 10%, recover: 40% }, latency: { fail: 1s, recover: 1500ms }, damping: { suppress: 2, reuse: 2 } }', errors: [
    at(75, '.need', '2 (of 1 target), allowed: 1 to 1'),
    at(104, '.timeout', '"300ms" (longer than the interval of 200ms), allowed: at most 200ms'),
    at(139, '.loss.recover', '"40%" (above fail, 10%), allowed: at most 10%'),
    at(176, '.latency.recover', '"1500ms" (above fail, 1s), allowed: at most 1s'),
    at(217, '.damping.reuse', '2 as reuse and 2 as suppress, allowed: reuse below suppress'),
  ] },
  { name: 'a timeout above the interval that is the default', check: '{ icmp: 192.0.2.1, timeout: 2s }', errors: [at(78, '.timeout', '"2s" (longer than the interval of 1s), allowed: at most 1s')] },
  { name: 'need of several targets', check: '{ icmp: [192.0.2.1, 192.0.2.2], tcp: a:1, need: 4 }', errors: [at(98, '.need', '4 (of 3 targets), allowed: 1 to 3')] },
  { name: 'too many targets', check: `{ icmp: [${Array.from({ length: 33 }, (_, index) => `192.0.2.${index + 1}`).join(', ')}] }`, errors: [at(43, '', '33 targets, allowed: 32 at most')] },
];
for (const { name, check, errors } of checks) {
  test(`${name} in a check`, () => {
    assert.equal(compile(text({ check })).errors, errors);
  });
}

test('the box asks by tcp, http and dns, and there must be a way for it', () => {
  const check = '{ icmp: 192.0.2.1, tcp: a:1, http: http://a/, dns: 192.0.2.53, script: /bin/true }';
  const allowed = 'a tun link with a peer; icmp, arp, udp and script need none';
  const told = (kind: string, column: number): string => at(column, `.${kind}`, `${kind} without a link to the box, whose own sockets ask by tcp, http and dns, allowed: ${allowed}`);
  const wanted = [told('tcp', 69), told('http', 79), told('dns', 96)];
  assert.equal(compile(text({ check, box: '' })).errors, wanted);
  assert.equal(compile(text({ check, box: 'host: { type: tun, device: weir0, addresses: [100.64.0.1/30] }' })).errors, wanted);
  // A link that was refused might have been the one.
  assert.is(compile(text({ check, box: 'host: { type: tun, device: weir0, addresses: [100.64.0.1/30], peer: x }' })).errors.length, 1);
});

test('a link to the box whose device is in another namespace is no way for the daemon’s own sockets', () => {
  const check = '{ icmp: 192.0.2.1, tcp: 192.0.2.1:1, http: http://a/, dns: 192.0.2.53, script: /bin/true, udp: 192.0.2.1:7, arp: gateway }';
  const box = (netns: string): string => `host: { type: tun, device: weir0, ${netns}addresses: [100.64.0.1/30], peer: 100.64.0.2 }`;
  const allowed = 'the link to the box without netns; icmp, arp and udp need none';
  const told = (kind: string, column: number): string => at(column, `.${kind}`, `${kind} by way of host, in namespace lab, where the daemon's sockets are not, allowed: ${allowed}`);
  assert.equal(compile(text({ check, box: box('netns: lab, ') })).errors, [told('tcp', 69), told('http', 87), told('dns', 104), told('script', 121)]);
  assert.equal(compile(text({ check, box: box('') })).errors, []);
  assert.equal(compile(text({ check: '{ icmp: 192.0.2.1 }', box: box('netns: lab, ') })).errors, []);
});

test('a tun has no ARP and no gateway, and what has no address cannot ask from it', () => {
  const uplink = (snat: string): string => `isp: { link: ppp, snat: ${snat}, check: { arp: [gateway, 192.0.2.7], icmp: [192.0.2.1, gateway], udp: 192.0.2.1, script: /bin/true } }`;
  assert.equal(compile(text({ uplink: uplink('off') })).errors, [
    'weir.yaml:10:41: uplinks.isp.check.arp: found arp on ppp, a tun, which has none, allowed: arp on a tap or raw link only',
    'weir.yaml:10:68: uplinks.isp.check.icmp: found icmp from ppp, which has no address, allowed: a link with an address, or addresses in snat; arp and script need none',
    'weir.yaml:10:96: uplinks.isp.check.udp: found udp from ppp, which has no address, allowed: a link with an address, or addresses in snat; arp and script need none',
  ]);
  assert.equal(compile(text({ uplink: uplink('192.0.2.99') })).errors, [
    'weir.yaml:10:48: uplinks.isp.check.arp: found arp on ppp, a tun, which has none, allowed: arp on a tap or raw link only',
    'weir.yaml:10:93: uplinks.isp.check.icmp[1]: found "gateway" (there is no gateway), allowed: an address',
  ]);
});

test('a gateway that was refused is told once', () => {
  assert.equal(compile(text({ uplink: 'isp: { link: wan, gateway: 203.0.113.256, check: { icmp: gateway, arp: gateway } }' })).errors.length, 1);
});

test('a far gateway may be asked by ARP', () => {
  const { errors } = compile(text({ uplink: 'isp: { link: wan, gateway: 192.0.2.77, check: { arp: [gateway, 192.0.2.78] } }' }));
  assert.equal(errors, ['weir.yaml:10:66: uplinks.isp.check.arp[1]: found "192.0.2.78" (192.0.2.78 is not in 203.0.113.0/24 of wan), allowed: gateway, or an address on the link\'s network']);
});

// --- groups -----------------------------------------------------------------------------------------------------------

test('a group with every key', () => {
  const { plan, errors, warnings } = compile(text({
    group: 'tiers: { mob: 2, ppp: 255 }, balance: source-destination, affinity: { by: destination, timeout: 1h }, onDown: keep, onRecover: drain, drainTimeout: 90s, lastResort: { group: spare }',
    more: '  spare: { uplinks: [mob], lastResort: blackhole, affinity: {} }\n',
  }));
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan!.groups, [
    {
      index: 0, name: 'internet', uplinks: [0, 1, 2], tiers: [1, 2, 255], balance: 'source-destination', affinity: { by: 'destination', timeout: 3600 },
      onDown: 'keep', onRecover: 'drain', drainTimeout: 90, lastResort: { group: 1 },
    },
    { index: 1, name: 'spare', uplinks: [1], tiers: [1], balance: 'flow', affinity: { by: 'source', timeout: 600 }, onDown: 'reset', onRecover: 'keep', drainTimeout: 300, lastResort: 'blackhole' },
  ]);
});

test('tiers are those of the group, in the order of its uplinks', () => {
  const { plan } = compile(text({ more: '  other: { uplinks: [ppp, isp], tiers: { isp: 3 } }\n', policies: '  all: { group: other }\n' }));
  assert.equal(plan!.groups.map(({ uplinks, tiers }) => [uplinks, tiers]), [[[0, 1, 2], [1, 1, 1]], [[2, 0], [1, 3]]]);
});

test('uplinks may be called what objects have by themselves', () => {
  const { plan, errors } = compile(text({}).replaceAll('isp', 'constructor').replace('uplinks: [constructor, mob, ppp]', 'uplinks: [constructor, mob, ppp], tiers: { mob: 2 }'));
  assert.equal(errors, []);
  assert.equal(plan!.groups[0].tiers, [1, 2, 1]);
});

const inGroup = (column: number, path: string, rest: string): string => `weir.yaml:14:${column}: groups.internet.${path}: found ${rest}`;
const groups: { name: string; group: string; errors: string[]; more?: string }[] = [
  { name: 'values of no known kind', group: 'balance: flows, onDown: rest, onRecover: move, drainTimeout: 500ms, lastResort: unreachabel, affinity: source', errors: [
    inGroup(50, 'balance', '"flows" (did you mean flow?), allowed: flow, source, destination, source-destination or packet'),
    inGroup(65, 'onDown', '"rest" (did you mean reset?), allowed: reset, move, keep or drain'),
    inGroup(82, 'onRecover', '"move", allowed: keep, drain or reset'),
    inGroup(102, 'drainTimeout', '"500ms" (too short), allowed: 1s to 24d'),
    inGroup(121, 'lastResort', '"unreachabel" (did you mean unreachable?), allowed: unreachable, blackhole or a map of group'),
    inGroup(144, 'affinity', '"source", allowed: a map of by and timeout'),
  ] },
  { name: 'affinity', group: 'affinity: { by: client, timeout: 0s, tiemout: 1m }', errors: [
    inGroup(57, 'affinity.by', '"client", allowed: source, destination or source-destination'),
    inGroup(74, 'affinity.timeout', '"0s" (too short), allowed: 1s to 24d'),
    inGroup(78, 'affinity.tiemout', 'an unknown key (did you mean timeout?), allowed: by and timeout'),
  ] },
  { name: 'tiers', group: 'tiers: { mbo: 2, isp: 0, ppp: two, mob: [1], "a b": 1 }', errors: [
    inGroup(63, 'tiers.isp', '0, allowed: 1 to 255'), inGroup(71, 'tiers.ppp', '"two" (a text), allowed: 1 to 255'),
    inGroup(81, 'tiers.mob', 'a list, allowed: 1 to 255'), inGroup(86, 'tiers."a b"', 'the name "a b", allowed: the name of an uplink'),
    inGroup(50, 'tiers.mbo', 'the name "mbo" (did you mean mob?), allowed: an uplink of the group: isp, mob or ppp'),
  ].sort((a, b) => Number(a.split(':')[2]) - Number(b.split(':')[2])) },
  { name: 'tiers that are no map', group: 'tiers: [isp, mob]', errors: [inGroup(48, 'tiers', 'a list, allowed: a map from the name of an uplink to 1 to 255')] },
  { name: 'a last resort that is no group', group: 'lastResort: { group: intrnet }', errors: [inGroup(62, 'lastResort.group', '"intrnet" (did you mean internet?), allowed: the name of a group: internet')] },
  { name: 'a last resort without one', group: 'lastResort: {}', errors: [inGroup(41, 'lastResort.group', 'nothing, allowed: the name of a group; a last resort needs it')] },
  { name: 'a last resort that is the group itself', group: 'lastResort: { group: internet }', errors: [
    inGroup(62, 'lastResort.group', '"internet" (the group itself), allowed: a group whose last resorts do not lead back'),
  ] },
  { name: 'last resorts in a circle, told once', group: 'lastResort: { group: b }',
    more: '  b: { uplinks: [mob], lastResort: { group: c } }\n  c: { uplinks: [ppp], lastResort: { group: internet } }\n  d: { uplinks: [ppp], lastResort: { group: b } }\n', errors: [
      inGroup(62, 'lastResort.group', '"b" (which leads back: internet → b → c → internet), allowed: a group whose last resorts do not lead back'),
    ] },
];
for (const { name, group, errors, more = '' } of groups) {
  test(`groups: ${name}`, () => {
    assert.equal(compile(text({ group, more })).errors, errors);
  });
}

test('two circles of last resorts are two mistakes', () => {
  const more = '  b: { uplinks: [mob], lastResort: { group: internet } }\n  c: { uplinks: [ppp], lastResort: { group: d } }\n  d: { uplinks: [ppp], lastResort: { group: c } }\n';
  assert.equal(compile(text({ group: 'lastResort: { group: b }', more })).errors.map((error) => error.split(' ')[1]), ['groups.internet.lastResort.group:', 'groups.c.lastResort.group:']);
});

for (const [group, warning] of [
  ['balance: packet', 'balance: warning: isp or mob translate, and a flow keeps its address: such flows stay on one uplink; the packets of the others arrive out of order'],
  ['onDown: move', 'onDown: warning: isp or mob translate, and no flow can take its address elsewhere: those flows are reset'],
  ['onRecover: reset', 'onRecover: warning: reset means nothing while all uplinks are of one tier'],
  ['tiers: { mob: 2 }, drainTimeout: 1m', 'drainTimeout: warning: drainTimeout means nothing with onRecover: keep'],
  ['tiers: { mob: 2 }, onRecover: reset', undefined], ['onDown: keep', undefined], ['drainTimeout: 5m', undefined], ['balance: source', undefined],
] as const) {
  test(`groups: what is said of ${group}`, () => {
    const { errors, warnings } = compile(text({ group }));
    assert.equal(errors, []);
    assert.equal(warnings.map((line) => line.replace(/^weir\.yaml:14:\d+: groups\.internet\./, '')), warning === undefined ? [] : [warning]);
  });
}

test('groups: by packet over what does not translate, with affinity on top', () => {
  const off = text({ group: 'balance: packet, affinity: {}, onDown: move' }).replace('gateway: 203.0.113.1', 'gateway: 203.0.113.1, snat: off').replace('gateway: 198.51.100.1', 'gateway: 198.51.100.1, snat: off');
  assert.equal(compile(off).warnings.map((line) => line.split('warning: ')[1]), [
    'the packets of a flow take several uplinks and arrive out of order, which most of what speaks TCP answers by slowing down',
    'affinity keeps an address on one uplink, so balance: packet does nothing while it is remembered',
  ]);
});

// --- policies ---------------------------------------------------------------------------------------------------------

test('policies with every key, in the order of the files', () => {
  const { plan, errors, warnings } = compile(text({ policies: `
  voip: { in: lan, from: [10.0.1.0/26, 10.0.1.200], to: 192.0.2.0/24, protocol: udp, ports: [5060, 16384-32767], sourcePorts: 1024-65535, group: internet, prefer: mob, affinity: { by: source-destination, timeout: 2h } }
  plain: { to: 192.0.2.128/25, exclude: true }
` }), 'policies: { last: { group: internet, exclude: false }, plain: { ports: 443 } }');
  assert.equal(errors, []);
  assert.equal(warnings, []);
  assert.equal(plan!.policies, [
    {
      index: 0, name: 'voip', group: 0, exclude: false, prefer: 1, affinity: { by: 'source-destination', timeout: 7200 },
      match: {
        in: [0], from: ['10.0.1.0/26', '10.0.1.200/32'], to: ['192.0.2.0/24'], protocols: [17], sourcePorts: [{ first: 1024, last: 65_535 }],
        destinationPorts: [{ first: 5060, last: 5060 }, { first: 16_384, last: 32_767 }],
      },
    },
    { index: 1, name: 'plain', exclude: true, match: { to: ['192.0.2.128/25'], protocols: [6, 17], destinationPorts: [{ first: 443, last: 443 }] } },
    { index: 2, name: 'last', group: 0, exclude: false, match: {} },
  ]);
});

const inPolicy = (line: number, column: number, path: string, rest: string): string => `weir.yaml:${line + 15}:${column}: policies.${path}: found ${rest}`;
const policies: { name: string; policies: string; errors: string[] }[] = [
  { name: 'neither, and both', policies: '  a: { from: 10.0.1.2 }\n  b: { from: 10.0.1.3, group: internet, exclude: true }\n  c: { from: 10.0.1.4, exclude: false }\n', errors: [
    inPolicy(1, 3, 'a', 'neither group nor exclude: true, allowed: exactly one of group and exclude: true'),
    inPolicy(2, 3, 'b', 'group and exclude: true, allowed: exactly one of group and exclude: true'),
    inPolicy(3, 3, 'c', 'neither group nor exclude: true, allowed: exactly one of group and exclude: true'),
  ] },
  { name: 'names', policies: '  a: { in: lna, group: intrnet, prefer: ips }\n', errors: [
    inPolicy(1, 12, 'a.in', '"lna" (did you mean lan?), allowed: the name of a link: lan, wan, mob, ppp or host'),
    inPolicy(1, 24, 'a.group', '"intrnet" (did you mean internet?), allowed: the name of a group: internet or spare'),
    inPolicy(1, 41, 'a.prefer', '"ips" (did you mean isp?), allowed: the name of an uplink: isp, mob or ppp'),
  ] },
  { name: 'keys of another kind of rule', policies: '  a: { out: wan, group: internet, excluded: true }\n', errors: [
    inPolicy(1, 8, 'a.out', 'an unknown key, allowed: in, from, to, protocol, ports, sourcePorts, group, exclude, prefer and affinity'),
    inPolicy(1, 35, 'a.excluded', 'an unknown key (did you mean exclude?), allowed: in, from, to, protocol, ports, sourcePorts, group, exclude, prefer and affinity'),
  ] },
  { name: 'an uplink of another group', policies: '  a: { group: spare, prefer: isp }\n', errors: [inPolicy(1, 30, 'a.prefer', '"isp" (not of spare), allowed: an uplink of spare: mob')] },
  { name: 'what refines a group, without one', policies: '  a: { exclude: true, prefer: isp, affinity: {} }\n', errors: [
    inPolicy(1, 23, 'a.prefer', 'prefer with exclude: true, allowed: prefer with a group only'), inPolicy(1, 36, 'a.affinity', 'affinity with exclude: true, allowed: affinity with a group only'),
  ] },
  { name: 'one that can never match', policies: '  a: { from: 10.0.0.0/16, group: internet }\n  b: { from: 10.0.1.0/24, ports: 80, exclude: true }\n  c: { group: spare }\n  d: { protocol: tcp, group: internet }\n', errors: [
    inPolicy(2, 3, 'b', 'a policy that can never match, for a before it matches all that this one does, allowed: a place before a, or something that a does not match'),
    inPolicy(4, 3, 'd', 'a policy that can never match, for c before it matches all that this one does, allowed: a place before c, or something that c does not match'),
  ] },
  { name: 'ports of what has none', policies: '  a: { protocol: icmp, ports: 80, group: internet }\n', errors: [
    inPolicy(1, 24, 'a.ports', 'ports with protocol icmp, which has none that are looked at, allowed: ports with tcp or udp only'),
  ] },
  { name: 'destinations no policy ever sees', policies: '  a: { to: [10.0.1.0/24, 203.0.113.0/25], group: internet }\n  b: { to: 198.51.100.2, exclude: true }\n  c: { to: [10.0.1.0/24, 10.0.2.0/24], group: internet }\n', errors: [
    inPolicy(1, 12, 'a.to', 'a list (nothing but networks the router is on itself, which no policy ever sees), allowed: destinations behind a gateway'),
    inPolicy(2, 12, 'b.to', '"198.51.100.2" (nothing but networks the router is on itself, which no policy ever sees), allowed: destinations behind a gateway'),
  ] },
];
for (const { name, policies: rules, errors } of policies) {
  test(`policies: ${name}`, () => {
    const { errors: told } = compile(text({ more: '  spare: { uplinks: [mob] }\n', policies: rules }));
    assert.equal(told, errors.map((error) => error.replace(/^weir\.yaml:(\d+)/, (_, line) => `weir.yaml:${Number(line) + 1}`)));
  });
}

test('policies: a network that comes in by another link', () => {
  const { warnings } = compile(text({ policies: '  a: { in: lan, from: 10.0.2.0/24, group: internet }\n' }));
  assert.equal(warnings, ['weir.yaml:16:23: policies.a.from: warning: no route leads there by lan, whose sourceCheck is strict, so nothing of it comes in there']);
});

test('a group that a policy or a last resort leads to is used', () => {
  const more = '  spare: { uplinks: [mob] }\n  last: { uplinks: [ppp] }\n';
  const warned = (parts: Parts): string[] => compile(text({ more, ...parts })).warnings.map((line) => line.split(' ')[1]);
  assert.equal(warned({}), ['groups.spare:', 'groups.last:']);
  assert.equal(warned({ group: 'lastResort: { group: last }', policies: '  a: { group: spare }\n' }), []);
});

// --- hooks ------------------------------------------------------------------------------------------------------------

test('hooks', () => {
  const { plan } = compile(text({ more: 'hooks: { directory: /opt/hooks, user: weir, timeout: 1500ms }\n' }));
  assert.equal(plan!.hooks, { directory: '/opt/hooks', user: 'weir', timeoutMs: 1500 });
  assert.equal(compile('hooks: { directory: hooks.d, user: "", timeout: 1h, retries: 3 }\n').errors, [
    'weir.yaml:1:21: hooks.directory: found "hooks.d" (not absolute), allowed: the absolute path of a directory',
    'weir.yaml:1:36: hooks.user: found "" (empty), allowed: the name of a user of the system, at most 32 bytes',
    'weir.yaml:1:49: hooks.timeout: found "1h" (too long), allowed: 100ms to 10m',
    'weir.yaml:1:53: hooks.retries: found an unknown key, allowed: directory, user and timeout',
  ]);
});

// --- pins -------------------------------------------------------------------------------------------------------------

test('every uplink has a pin when there is a link to the box', () => {
  const pins = (box: string): (string | undefined)[] => compile(text({ box })).plan!.uplinks.map(({ pin }) => pin);
  assert.equal(pins(BOX), ['169.254.119.1', '169.254.119.2', '169.254.119.3']);
  assert.equal(pins(BOX.replace('peer', 'pins: 172.31.255.0/29, peer')), ['172.31.255.1', '172.31.255.2', '172.31.255.3']);
  assert.equal(pins(''), [undefined, undefined, undefined]);
  assert.equal(pins('host: { type: tun, device: weir0, addresses: [100.64.0.1/30] }'), [undefined, undefined, undefined]);
});

for (const [box, found] of [
  [BOX.replace('peer', 'pins: 192.0.2.252/31, peer'), ['6:71: links.host.pins: found "192.0.2.252/31" (2 addresses for 3 uplinks), allowed: a prefix with room for 3']],
  [BOX.replace('peer', 'pins: 10.0.0.0/8, peer'), ['6:71: links.host.pins: found "10.0.0.0/8" (overlaps 10.0.1.0/24 of lan), allowed: a prefix of its own']],
  [BOX.replace('peer', 'pins: 127.1.0.0/24, peer'), ['6:71: links.host.pins: found "127.1.0.0/24" (loopback, 127.0.0.0/8), allowed: a prefix of addresses hosts can have']],
  [BOX.replace('peer', 'pins: 192.0.2.1, peer'), ['6:71: links.host.pins: found "192.0.2.1" (no prefix length), allowed: such as 192.0.2.1/32']],
  [`${BOX}\n  two: { type: tun, device: t2, pins: 192.0.2.0/24, addresses: [100.64.1.1/30], peer: 100.64.1.2 }`,
    ['7:33: links.two.pins: found pins on two; the link to the box is host, allowed: pins on the first tun link with a peer']],
  ['host: { type: tun, device: weir0, addresses: [100.64.0.1/30], pins: 192.0.2.0/24 }', ['6:65: links.host.pins: found pins on a link without a peer, allowed: pins on the first tun link with a peer']],
  ['host: { type: tap, device: weir0, addresses: [100.64.0.1/30], pins: 192.0.2.0/24 }', ['6:65: links.host.pins: found pins on a tap link, allowed: pins on a tun link only']],
] as const) {
  test(`pins: ${found[0].split(' found ')[1]}`, () => {
    assert.equal(compile(text({ box })).errors, found.map((line) => `weir.yaml:${line}`));
  });
}

test('pins: a network or a route of yours where they would be by default', () => {
  assert.equal(compile(text({}).replace('10.0.1.1/24', '169.254.0.1/16')).errors, [
    'weir.yaml:6:3: links.host.pins: found 169.254.119.0/24, the default (overlaps 169.254.0.0/16 of lan), allowed: a prefix of its own',
  ]);
  assert.equal(compile(text({}).replace('routes:\n', 'routes:\n  x: { to: 169.254.119.0/25, link: lan }\n')).errors, [
    'weir.yaml:6:3: links.host.pins: found 169.254.119.0/24, the default (the route x leads there), allowed: a prefix of its own',
  ]);
});

test.run();
