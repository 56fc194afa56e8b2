/** Virtual servers: what they become in the plan, and what is told of each mistake. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile } from './support.js';

const HEAD = `links:
  lan: { type: tap, device: weir-lan, addresses: [10.0.1.1/24] }
  wan: { type: raw, device: eth1, addresses: [203.0.113.2/24] }
  host: { type: tun, device: weir0, addresses: [100.64.0.1/30], peer: 100.64.0.2 }
virtualServers:
`;
const one = (keys: string, real = 'a: { address: 10.0.1.11 }'): string => `${HEAD}  web: { listen: 203.0.113.2:80/tcp, ${keys === '' ? '' : `${keys}, `}realServers: { ${real} } }\n`;
/** The place cut away: rows below are about paths and words. */
const told = (text: string): string[] => compile(text).errors.map((line) => line.replace(/^weir\.yaml:\d+:\d+: virtualServers\./, ''));

test('defaults', () => {
  const { plan, errors, warnings } = compile(one(''));
  assert.equal([errors, warnings], [[], []]);
  assert.equal(plan!.virtualServers, [{
    index: 0, name: 'web', addresses: ['203.0.113.2'], protocols: [6], ports: { first: 80, last: 80 }, scheduler: { name: 'wlc', hashPort: false, fallBack: false },
    onePacket: false, slowStart: 0, onServerDown: 'reset', quorum: { weight: 1, hysteresis: 0 }, snat: 'auto', realServers: [0],
  }]);
  assert.equal(plan!.realServers, [{ index: 0, name: 'a', virtualServer: 0, address: '10.0.1.11', port: 80, weight: 1, upper: 0, lower: 0 }]);
});

test('a port forward that a virtual server takes from', () => {
  const forwards = (listen: string, ...servers: string[]): string[] => {
    const { errors, warnings } = compile(`${HEAD}${servers.map((text, index) => `  vs${index}: { listen: "${text}", realServers: { a: { address: 10.0.1.11 } } }\n`).join('')}routes:
  default: { to: 0.0.0.0/0, group: out }
uplinks:
  isp: { link: wan, gateway: 203.0.113.1, snat: [203.0.113.2, 203.0.113.9] }
groups:
  out: { uplinks: [isp] }
portForwards:
  web: { uplink: isp, listen: ${listen}, to: 10.0.1.5 }
`);
    assert.equal(errors, []);
    return warnings;
  };
  const at = 'weir.yaml:' + '14:31: portForwards.web.listen: warning: ';
  assert.equal(forwards('80/tcp', '203.0.113.2:80/tcp'), [`${at}the virtual server vs0 goes first and takes tcp 80 of 203.0.113.2, so the forward gets nothing of that`]);
  assert.equal(forwards('8000-8010/both', '203.0.113.9:8005-8020/udp').map((line) => line.slice(at.length)), ['the virtual server vs0 goes first and takes udp 8005-8010 of 203.0.113.9, so the forward gets nothing of that']);
  assert.match(forwards('80/tcp', '203.0.113.9:*/tcp')[0]!, /vs0 goes first and takes tcp 80 of 203\.0\.113\.9/);
  for (const apart of ['203.0.113.2:81/tcp', '203.0.113.2:80/udp', '203.0.113.8:80/tcp']) assert.equal(forwards('80/tcp', apart), [], apart);
  assert.equal(forwards('203.0.113.9:80/tcp', '203.0.113.2:80/tcp'), []);
});

test('all ports of an address that the box itself is reached at', () => {
  const warnings = (listen: string, text = HEAD): string[] => compile(`${text}  web: { listen: "${listen}", realServers: { a: { address: 10.0.1.11 } } }\n`).warnings.map((line) => line.replace(/^.*warning: /, ''));
  const said = 'all ports of 203.0.113.2, the router\'s own address on wan: what is for the box itself there, such as SSH, goes to the real servers; listen on the ports that are meant, or on an address of its own';
  assert.equal(warnings('203.0.113.2:*/tcp'), [said]);
  assert.equal(warnings('wan:*/both'), [said]);
  assert.equal(warnings('203.0.113.2:1-65535/tcp'), [said]);
  assert.equal(warnings('203.0.113.2:23-65535/tcp'), []);
  assert.equal(warnings('203.0.113.9:*/tcp'), []);
  // Without a link to the box nothing of the box is reached at all.
  assert.equal(warnings('203.0.113.2:*/tcp', HEAD.replace(/ {2}host: .*\n/, '')), []);
});

test('every key', () => {
  const { plan, errors, warnings } = compile(one(
    'scheduler: { name: sh, hashPort: true }, persistence: { timeout: 1h, mask: 24, tie: shop }, slowStart: 30s, onServerDown: move, sorry: 10.0.1.99, quorum: { weight: 3, hysteresis: 1 }, snat: always, '
    + 'check: { icmp: {}, udp: { port: 9, send: a, expect: b }, tcp: {}, http: { path: /x?y, port: 81, host: www.example, status: 200, body: ok }, dns: { name: a.example }, script: { command: [/bin/a, "{address}:{port}"], setsWeight: true } }',
    'a: { address: "10.0.1.11:8080", weight: 3, upper: 1000 }, b: { address: 10.0.1.12, upper: 10, lower: 2, check: { tcp: { port: 22 }, timeout: 1s, damping: on } }, c: { address: 10.0.1.13, check: off }'));
  assert.equal([errors, warnings], [[], []]);
  const [server] = plan!.virtualServers;
  assert.equal([server.scheduler, server.persistence, server.slowStart, server.onServerDown, server.sorry, server.quorum, server.snat, server.realServers],
    [{ name: 'sh', hashPort: true, fallBack: false }, { timeout: 3600, mask: 24, tie: 'shop' }, 30, 'move', 3, { weight: 3, hysteresis: 1 }, 'always', [0, 1, 2]]);
  const [a, b, c, sorry] = plan!.realServers;
  assert.equal(a.check!.probes, [
    { kind: 'icmp', target: '10.0.1.11' }, { kind: 'udp', target: '10.0.1.11', port: 9, ttl: 64, server: { send: 'a', expect: 'b' } }, { kind: 'tcp', host: '10.0.1.11', port: 8080 },
    { kind: 'http', url: 'http://10.0.1.11:81/x?y', status: [{ first: 200, last: 200 }], body: 'ok', verify: false, host: 'www.example' },
    { kind: 'dns', server: '10.0.1.11', port: 8080, name: 'a.example' }, { kind: 'script', command: ['/bin/a', '10.0.1.11:8080'], user: 'nobody', setsWeight: true },
  ]);
  assert.equal([a.check!.need, a.check!.intervalMs, a.check!.timeoutMs, a.check!.rise, a.check!.damping, a.lower, a.pin], [6, 3000, 2000, 2, undefined, 750, '169.254.119.1']);
  assert.equal([b.check!.probes, b.check!.timeoutMs, b.lower, b.pin], [[{ kind: 'tcp', host: '10.0.1.12', port: 22 }], 1000, 2, '169.254.119.2']);
  assert.ok(b.check!.damping !== undefined);
  assert.equal([c.check, c.pin, sorry.address, sorry.port, sorry.name], [undefined, undefined, '10.0.1.99', 80, 'sorry']);
});

test('what it listens on', () => {
  const listen = (text: string): unknown => {
    const { plan, errors } = compile(`${HEAD}  web: { listen: ${text}, realServers: { a: { address: 10.0.1.11 } } }\n`);
    assert.equal(errors, []);
    const { addresses, protocols, ports: { first, last } } = plan!.virtualServers[0];
    return [addresses, protocols, first, last];
  };
  assert.equal(listen('203.0.113.9:8000-8010/both'), [['203.0.113.9'], [6, 17], 8000, 8010]);
  assert.equal(listen('"wan:*/udp"'), [['203.0.113.2'], [17], 0, 65_535]);
  assert.equal(listen('[wan:80/tcp, 203.0.113.9:80/tcp]'), [['203.0.113.2', '203.0.113.9'], [6], 80, 80]);
});

test('a row of ports goes to the same ones, or to as many that begin elsewhere', () => {
  const { plan, errors } = compile(one('check: { dns: { name: a.example } }', 'a: { address: 10.0.1.11 }, b: { address: "10.0.1.12:9000-9010" }').replace('2:80/tcp', '2:80-90/tcp'));
  assert.equal(errors, []);
  assert.equal(plan!.realServers.map(({ port, check }) => [port, check!.probes[0]]),
    [[undefined, { kind: 'dns', server: '10.0.1.11', port: 53, name: 'a.example' }], [9000, { kind: 'dns', server: '10.0.1.12', port: 53, name: 'a.example' }]]);
});

test('packets scheduled by themselves and a scheduler that counts flows do not go together: a warning, also for the one nobody asked for', () => {
  const warnings = (scheduler: string): string[] => {
    const { errors, warnings: all } = compile(`${HEAD}  web: { listen: 203.0.113.9:53/udp, onePacket: true, ${scheduler}realServers: { a: { address: 10.0.1.11 } } }\n`);
    assert.equal(errors, []);
    return all.map((line) => line.split('warning: ')[1]);
  };
  for (const [scheduler, name] of [['', 'wlc'], ['scheduler: nq, ', 'nq'], ['scheduler: { name: sed }, ', 'sed']]) {
    assert.equal(warnings(scheduler), [`${name} counts flows, and packets scheduled by themselves soon have one to every server, so the first gets them all; take rr, wrr or twos`]);
  }
  for (const scheduler of ['rr', 'wrr', 'twos', 'sh']) assert.equal(warnings(`scheduler: ${scheduler}, `), []);
});

for (const [text, errors] of [
  [one('scheduler: wlcc'), ['web.scheduler: found "wlcc" (did you mean wlc?), allowed: rr, wrr, lc, wlc, sed, nq, sh, dh, mh, lblc, lblcr, fo, ovf, twos, resilient or a map of name, hashPort and fallBack']],
  [one('scheduler: { name: rr, hashPort: true }'), ['web.scheduler.hashPort: found hashPort with rr, allowed: hashPort with sh or mh only']],
  [one('onePacket: true'), ['web.onePacket: found true (on a virtual server of TCP), allowed: true with udp only']],
  [one('quorum: { weight: 1, hysteresis: 1 }'), ['web.quorum: found 2 for it to be up (weight and hysteresis), where all servers have 1, allowed: 1 at most']],
  [one('check: {}'), ['web.check: found a check without a kind, allowed: at least one of icmp, udp, tcp, http, dns and script']],
  [one('check: { tpc: {} }'), ['web.check.tpc: found an unknown key (did you mean tcp?), allowed: icmp, udp, tcp, http, dns, script, need, interval, timeout, fall, rise, initial, window, loss, latency, jitter and damping']],
  [one('check: { tcp: {}, need: 2, timeout: 4s }'), ['web.check.need: found 2 (of 1 kind), allowed: 1 to 1', 'web.check.timeout: found "4s" (longer than the interval of 3s), allowed: at most 3s']],
  [one('', ''), ['web.realServers: found no real servers, allowed: at least one']],
  [one('', 'a: { address: 10.0.1.11, upper: 5, lower: 6 }, b: { address: 10.0.1.11 }, c: { address: 10.0.1.1 }, d: { address: 10.0.1.12, lower: 1 }, e: { adress: 1 }, f: 5'), [
    'web.realServers.a.lower: found 6 (above upper, 5), allowed: 1 to 5',
    'web.realServers.b.address: found "10.0.1.11" (already that of a), allowed: each real server once',
    'web.realServers.c.address: found "10.0.1.1" (the router\'s own address on lan), allowed: the address of a host inside',
    'web.realServers.d.lower: found 1 without upper, allowed: lower with upper only',
    'web.realServers.e.address: found nothing, allowed: an address for the same ports, ADDRESS:PORT, or ADDRESS:PORT-PORT for a range; a real server needs it',
    'web.realServers.e.adress: found an unknown key (did you mean address?), allowed: address, weight, upper, lower and check',
    'web.realServers.f: found 5, allowed: a map of address, weight, upper, lower and check',
  ]],
  [one('sorry: 192.0.2.1:80'), ['web.sorry: found "192.0.2.1:80" (no route leads there), allowed: an address that a link\'s network or a route leads to']],
  [one('', 'a: { address: 192.0.2.1 }'), ['web.realServers.a.address: found "192.0.2.1" (no route leads there), allowed: an address that a link\'s network or a route leads to']],
  [one('').replace('203.0.113.2:80', 'wna:80'), ['web.listen: found "wna:80/tcp" (no link is called wna (did you mean wan?)), allowed: an address, or the name of a link: lan, wan or host']],
  [one('check: { tcp: {} }', 'a: { address: "10.0.1.11:80" }').replace('2:80/tcp', '2:80-90/tcp'), [
    'web.check.tcp: found tcp without a port, where a has more than one, allowed: tcp: { port: … }',
    'web.realServers.a.address: found "10.0.1.11:80" (one port, where the virtual server has 80-90), allowed: 10.0.1.11 alone, for the same ports, or with a range of 11',
  ]],
  [one('', 'a: { address: "10.0.1.11:8000-8009" }').replace('2:80/tcp', '2:80-90/tcp'), [
    'web.realServers.a.address: found "10.0.1.11:8000-8009" (10 ports, where the virtual server has 80-90), allowed: 10.0.1.11 alone, for the same ports, or with a range of 11',
  ]],
  [one('', 'a: { address: "10.0.1.11:8000-8001" }, b: { address: "10.0.1.12:80" }').replace('203.0.113.2:80/tcp', '"203.0.113.2:*/tcp"'), [
    'web.realServers.a.address: found "10.0.1.11:8000-8001" (2 ports, where the virtual server has all), allowed: 10.0.1.11 alone, for the same ports',
    'web.realServers.b.address: found "10.0.1.12:80" (one port, where the virtual server has all), allowed: 10.0.1.12 alone, for the same ports',
  ]],
  [one('', 'a: { address: "10.0.1.11:8000-8001" }, b: { address: 10.0.1.12 }, c: { address: "10.0.1.12:80" }'), [
    'web.realServers.a.address: found "10.0.1.11:8000-8001" (2 ports, where the virtual server has one), allowed: 10.0.1.11, or 10.0.1.11 with one port',
    'web.realServers.c.address: found "10.0.1.12:80" (already that of b), allowed: each real server once',
  ]],
  [one('sorry: 10.0.1.99', 'sorry: { address: 10.0.1.12 }'), [
    'web.realServers.sorry: found a real server called sorry beside the sorry server, allowed: another name: commands and events call the sorry server so',
  ]],
  [`${one('')}  more: { listen: [203.0.113.9:80/tcp, 203.0.113.2:79-81/tcp], realServers: { a: { address: 10.0.1.12 } } }\n`, [
    'more.listen[1]: found "203.0.113.2:79-81/tcp" (other ports or another protocol than the first), allowed: one row of ports and one protocol in all of a list',
  ]],
  [`${one('')}  more: { listen: wan:79-81/both, realServers: { a: { address: 10.0.1.12 } } }\n`, [
    'more.listen: found "wan:79-81/both" (web has tcp 80 of 203.0.113.2), allowed: ports of an address and a protocol in one virtual server only',
  ]],
  [`${one('persistence: { tie: x }')}  more: { listen: wan:443/tcp, persistence: { tie: x, mask: 24 }, realServers: { a: { address: 10.0.1.12 } } }\n`, [
    'more.persistence.tie: found "x" (web, tied as well, has other real servers), allowed: real servers of the same addresses in all that are tied',
    'more.persistence.mask: found 24 (web, tied by x, has 32), allowed: the same mask in all that are tied',
  ]],
] as const) {
  test(`mistakes: ${errors[0].split(', allowed')[0]}`, () => {
    assert.equal(told(text), errors);
  });
}

test('all ports stand behind a port of its own', () => {
  assert.equal(compile(`${one('')}  rest: { listen: "wan:*/tcp", realServers: { a: { address: 10.0.1.12 } } }\n`).errors, []);
});

test('snat: never says it of the sorry server, too', () => {
  const { errors, warnings } = compile(one('snat: never, sorry: "10.0.1.99:80"'));
  assert.equal(errors, []);
  assert.match(warnings[0], /clients on 10\.0\.1\.0\/24 are answered past weir by a and sorry, so their flows fail/);
});

// conforms: vs-same-subnet
test('snat: never says what breaks, and what servers need then', () => {
  const warnings = (real: string): string[] => compile(one('snat: never', real)).warnings.map((line) => line.split('warning: ')[1]);
  const self = 'a real server that asks this virtual server and is given itself gets no answer, whatever its routes; snat: auto answers it';
  assert.equal(warnings('a: { address: 10.0.1.11 }, b: { address: 203.0.113.9 }, c: { address: 10.0.1.12 }'), [
    'clients on 10.0.1.0/24 are answered past weir by a and c, so their flows fail; give those: ip route replace 10.0.1.1/32 dev DEVICE; ip route replace 10.0.1.0/24 via 10.0.1.1',
    'clients on 203.0.113.0/24 are answered past weir by b, so their flows fail; give those: ip route replace 203.0.113.2/32 dev DEVICE; ip route replace 203.0.113.0/24 via 203.0.113.2',
    self,
  ]);
  const many = Array.from({ length: 9 }, (_, index) => `s${index}: { address: 10.0.1.${index + 20} }`).join(', ');
  assert.match(warnings(many)[0], /^clients on 10\.0\.1\.0\/24 are answered past weir by 9 servers there, so/);
  assert.equal(compile(one('snat: auto')).warnings, []);
});

test.run();
