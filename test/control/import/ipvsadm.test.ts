/** Rules of ipvsadm: what becomes of each option, what is told, and the pages' own commands. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImportOptions } from '../../../src/control/import/index.js';
import { compile } from '../config/support.js';
import { file, golden, run } from './support.js';

const LINKS: Partial<ImportOptions> = {
  links: [{ name: 'wan', device: 'eth0', addresses: ['202.103.106.5/24'] }, { name: 'lan', device: 'eth1', addresses: ['172.16.0.1/24'] }],
};
const LVS_NAT = { ...LINKS, gateway: '202.103.106.1' };
const rules = (...lines: string[]): string => `${lines.join('\n')}\n`;
const PAIR = ['-A -t 202.103.106.5:80 -s rr', '-a -t 202.103.106.5:80 -r 172.16.0.2:80 -m -w 1'] as const;
const told = (lines: readonly string[], options: Partial<ImportOptions> = LINKS): Pick<ReturnType<typeof run>, 'errors' | 'remarks'> => {
  const { errors, remarks } = run('ipvsadm', 'r', rules(...lines), options);
  return { errors, remarks };
};
/** The plan's virtual servers of rules that must have nothing told of them. */
const planOf = (lines: readonly string[], options: Partial<ImportOptions> = LINKS) => {
  const { yaml, errors, remarks } = run('ipvsadm', 'r', rules(...lines), options);
  assert.equal([errors, remarks], [[], []]);
  const { plan } = compile(yaml);
  return { servers: plan!.virtualServers, reals: plan!.realServers, plan: plan! };
};

test('golden: the table of the page, with links and a gateway, with guesses, and a file of oddities', () => {
  golden('ipvsadm', 'lvs-nat.rules', 'lvs-nat', LVS_NAT);
  golden('ipvsadm', 'lvs-nat.rules', 'lvs-nat-guessed');
  golden('ipvsadm', 'edge.rules', 'edge', { marks: [{ mark: 1, listens: ['10.0.0.1:5060/udp', '10.0.0.1:8000-8010/tcp'] }] });
});

test('the page\'s table gives the plan of conf/lvs-nat.yaml, but for names', () => {
  const wanted = compile(file('../../../conf/lvs-nat.yaml')).plan!;
  const { plan } = planOf([file('lvs-nat.rules')], LVS_NAT);
  const nameless = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (key, item: unknown) => (key === 'name' && typeof item === 'string' ? '' : item)));
  for (const key of ['links', 'uplinks', 'groups', 'routes', 'virtualServers', 'realServers', 'algs', 'filters'] as const) assert.equal(nameless(plan[key]), nameless(wanted[key]), key);
});

test('the commands as the page has them, for old and for the first kernels, give the same servers', () => {
  const shape = (name: string): unknown => {
    const { servers, reals } = planOf([file(name)]);
    return servers.map(({ addresses, ports, realServers }) => [addresses, ports.first, realServers.map((index) => [reals[index].address, reals[index].port, reals[index].weight])]).sort();
  };
  const wanted = [
    [['202.103.106.5'], 21, [['172.16.0.3', 21, 1]]],
    [['202.103.106.5'], 80, [['172.16.0.2', 80, 1], ['172.16.0.3', 8000, 2]]],
  ];
  for (const name of ['lvs-nat.rules', 'lvs-nat-page.rules', 'ippfvsadm.rules']) assert.equal(shape(name), wanted, name);
});

test('every scheduler, and the flags of those that have some', () => {
  for (const name of ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos']) {
    assert.equal(planOf([`-A -t 202.103.106.5:80 -s ${name}`, PAIR[1]]).servers[0].scheduler, { name, hashPort: false, fallBack: false });
  }
  assert.is(planOf(['-A -t 202.103.106.5:80', PAIR[1]]).servers[0].scheduler.name, 'wlc');
  for (const [flags, hashPort, fallBack] of [['sh-port', true, false], ['sh-fallback', false, true], ['sh-fallback,sh-port', true, true], ['flag-1', false, true], ['flag-2', true, false]] as const) {
    assert.equal(planOf([`-A -t 202.103.106.5:80 -s sh -b ${flags}`, PAIR[1]]).servers[0].scheduler, { name: 'sh', hashPort, fallBack }, flags);
  }
  assert.equal(told(['-A -t 202.103.106.5:80 -s sh --sched-flags sh-port,mh-port', PAIR[1]]).remarks, ['r:1:30: left out: -b mh-port: sh has no such flag, only sh-fallback and sh-port']);
  assert.equal(told(['-A -t 202.103.106.5:80 -s rr -b flag-1', PAIR[1]]).remarks, ['r:1:30: left out: -b flag-1: rr has no such flag']);
});

test('persistence with timeout and mask', () => {
  for (const [option, timeout, mask] of [['-p', 300, 32], ['-p 60', 60, 32], ['-p600 -M 255.255.0.0', 600, 16], ['--persistent=7 --netmask=255.255.255.255', 7, 32]] as const) {
    assert.equal(planOf([`-A -t 202.103.106.5:80 -s rr ${option}`, PAIR[1]]).servers[0].persistence, { timeout, mask }, option);
  }
  assert.equal(told(['-A -t 202.103.106.5:80 -p 99999999', PAIR[1]]).remarks.map((line) => line.split(': ')[1]), ['changed']);
  assert.equal(told(['-A -t 202.103.106.5:80 -p 5 -M 255.0.255.0', PAIR[1]]).errors, ['r:1:29: found the mask 255.0.255.0, allowed: a netmask, such as 255.255.255.0']);
  assert.equal(told(['-A -t 202.103.106.5:80 -M 255.0.0.0', PAIR[1]]).remarks, ['r:1:24: left out: -M 255.0.0.0: a mask of no persistence']);
});

test('weights, thresholds, and single packets', () => {
  const { servers, reals } = planOf(['-A -u 202.103.106.5:53 -o', '-a -u 202.103.106.5:53 -r 172.16.0.2 -m -w 0', '-a -u 202.103.106.5:53 -r 172.16.0.3:5353 -m -x 100 -y 50']);
  assert.equal([servers[0].onePacket, servers[0].protocols], [true, [17]]);
  assert.equal(reals.map(({ address, port, weight, upper, lower }) => [address, port, weight, upper, lower]), [['172.16.0.2', 53, 0, 0, 0], ['172.16.0.3', 5353, 1, 100, 50]]);
  assert.equal(told(['-A -t 202.103.106.5:80 --ops', PAIR[1]]).remarks, ['r:1:24: left out: -o: single packets are scheduled for UDP only']);
  assert.equal(told([PAIR[0], `${PAIR[1]} -y 5`]).remarks, ['r:2:49: left out: -y 5: a lower threshold without an upper one (-x)']);
  assert.equal(told([PAIR[0], `${PAIR[1].replace('-w 1', '-w 65536')}`]).errors, ['r:2:44: found the weight 65536, allowed: 0 to 65535']);
});

test('direct routing and tunnels become NAT, and it is said what the servers need then', () => {
  for (const [option, at] of [['-g', 44], ['', 1], ['-i', 44], ['--tun-type gue --tun-port 6080', 44]] as const) {
    const { yaml, remarks } = run('ipvsadm', 'r', rules(PAIR[0], `-a -t 202.103.106.5:80 -r 172.16.0.2:80    ${option}`.trimEnd()), LINKS);
    assert.is(remarks.length, 1);
    assert.match(remarks[0], new RegExp(`^r:2:${at}: changed: -${option.startsWith('-i') || option.startsWith('--tun') ? 'i' : 'g'} to 172\\.16\\.0\\.2:80: .*becomes NAT .*172\\.16\\.0\\.2 itself.*default route$`));
    assert.ok(yaml.includes('address: 172.16.0.2:80'));
  }
});

test('a firewall mark is what the command line says it is; persistence ties it together', () => {
  const lines = ['-A -f 7 -s rr -p 90', '-a -f 7 -r 172.16.0.2:0 -m'];
  const { servers, reals } = planOf(lines, { ...LINKS, marks: [{ mark: 7, listens: ['202.103.106.5:80/tcp', 'wan:443/tcp', '202.103.106.5:5000-5010/udp'] }] });
  assert.equal(servers.map(({ name, ports: { first, last }, protocols, persistence }) => [name, first, last, protocols, persistence]), [
    ['tcp-202-103-106-5-80', 80, 80, [6], { timeout: 90, mask: 32, tie: 'mark-7' }],
    ['tcp-wan-443', 443, 443, [6], { timeout: 90, mask: 32, tie: 'mark-7' }],
    ['udp-202-103-106-5-5000-5010', 5000, 5010, [17], { timeout: 90, mask: 32, tie: 'mark-7' }],
  ]);
  assert.equal(reals.map(({ address, port }) => [address, port]), [['172.16.0.2', 80], ['172.16.0.2', 443], ['172.16.0.2', undefined]]);
  assert.equal(told(lines).remarks, [
    'r:1:1: left out: -A -f 7 -s rr -p 90: packets have no marks here: say with --mark 7=ADDRESS:PORT/PROTOCOL,… what the firewall marks so',
    'r:2:1: left out: -a -f 7 -r 172.16.0.2:0 -m: its service, line 1, was left out',
  ]);
  assert.equal(told(lines, { ...LINKS, marks: [{ mark: 7, listens: ['202.103.106.5:80'] }] }).errors[0],
    'r: found 202.103.106.5:80 in --mark 7=… (no protocol), allowed: ADDRESS:PORT/PROTOCOL, with a port, a range or *, and tcp, udp or both');
});

test('lines are run in their order: changed, taken away, begun anew', () => {
  const { servers, reals } = planOf([
    ...PAIR, '-A -u 202.103.106.5:1 -s rr', '-C', ...PAIR, '-a -t 202.103.106.5:80 -r 172.16.0.3:80 -m', '-a -t 202.103.106.5:80 -r 172.16.0.4:80 -m',
    '-e -t 202.103.106.5:80 -r 172.16.0.3:80 -m -w 9', '-d -t 202.103.106.5:80 -r 172.16.0.4:80', '-E -t 202.103.106.5:80 -s lc', '-A -t 202.103.106.5:81', '-D -t 202.103.106.5:81',
    '-Ln', '-Z', 'sudo /usr/sbin/ipvsadm -S -n', '--stop-daemon master', '# a comment', '',
  ]);
  assert.equal([servers.length, servers[0].scheduler.name, reals.map(({ address, weight }) => [address, weight])], [1, 'lc', [['172.16.0.2', 1], ['172.16.0.3', 9]]]);
});

test('what cannot be had is told, each with what to do', () => {
  for (const [line, remark] of [
    ['-A --sctp-service 202.103.106.5:9', 'r:3:1: left out: -A --sctp-service 202.103.106.5:9: SCTP is not balanced; a route or a port forward to one server carries it'],
    ['-A -t [2001:db8::1]:80', 'r:3:1: left out: -A -t [2001:db8::1]:80: IPv6 is not supported in this version'],
    ['-A -f 1 -6', 'r:3:1: left out: -A -f 1 -6: IPv6 is not supported in this version'],
    ['-A -t www.example:http', 'r:3:1: left out: -A -t www.example:http: www.example is a name; ipvsadm -Sn saves addresses'],
    ['-A -t 10.0.0.1:http', 'r:3:1: left out: -A -t 10.0.0.1:http: http is the name of a port; ipvsadm -Sn saves numbers'],
    ['--start-daemon backup --mcast-interface eth0 --syncid 1', 'r:3:1: left out: --start-daemon backup --mcast-interface eth0 --syncid 1: flows are shared through a Redis server: share: { store: redis, redis: { url: … } }; one router alone needs no such line'],
    ['--set 900 120 300', 'r:3:1: left out: --set 900 120 300: timeouts are those of all flows of the router: timeouts.tcpEstablished, timeouts.tcpClosing, timeouts.udp and timeouts.udpReplied'],
    ['modprobe ip_vs', 'r:3:1: left out: modprobe ip_vs: not a line of ipvsadm'],
    ['-A -t 202.103.106.5:81', 'r:3:1: left out: -A -t 202.103.106.5:81: it has no real server left'],
    ['-a -t 202.103.106.5:80 -r 127.0.0.1:80 -m', 'r:3:1: left out: -a -t 202.103.106.5:80 -r 127.0.0.1:80 -m: 127.0.0.1 is loopback, 127.0.0.0/8: flows go to other hosts only; what the box itself serves is reached at its own address'],
    ['-a -t 202.103.106.5:80 -r 172.16.0.1:80 -m', 'r:3:1: left out: -a -t 202.103.106.5:80 -r 172.16.0.1:80 -m: 172.16.0.1 is the router itself: flows go to other hosts only; what the box itself serves is reached at its own address'],
    ['-a -t 202.103.106.5:80 -r 192.0.2.9:80 -m', 'r:3:1: left out: -a -t 202.103.106.5:80 -r 192.0.2.9:80 -m: it would be virtualServers.tcp-202-103-106-5-80.realServers.rs-192-0-2-9-80.address: '
      + 'found "192.0.2.9:80" (no route leads there), allowed: an address that a link\'s network or a route leads to'],
  ] as const) {
    assert.equal(told([...PAIR, line]), { errors: [], remarks: [remark] }, line);
  }
});

test('a service whose only server cannot be had is left out with it, in words', () => {
  const { remarks } = told([...PAIR, '-A -t 202.103.106.5:82', '-a -t 202.103.106.5:82 -r 192.0.2.9:80 -m']);
  assert.is(remarks[0], 'r:3:1: left out: -A -t 202.103.106.5:82: it has no real server left');
  assert.match(remarks[1], /^r:4:1: left out: .* found "192\.0\.2\.9:80" \(no route leads there\)/);
});

test('what is no sense is an error with its place, all at once, and nothing is printed', () => {
  assert.equal(told(['-A -t 10.0.0.1:443 -s', '-a -t 1.2.3.4:5 -r 1.2.3.4:5', '-A -t 300.1.1.1:5', 'ipvsadm', '-Q', '-A -t 1.1.1.1:99999', '-A', '-A -t 1.2.3.4:1 -u 1.2.3.4:1', '-A -f x', '-A -D -t 1.2.3.4:1', '-A -t 1.2.3.4:1 x', '--set 1 2']), {
    remarks: [],
    errors: [
      'r:1:20: found -s without a value, allowed: a value behind it',
      'r:2:1: found the service tcp 1.2.3.4:5, which no -A before has added, allowed: a service that exists',
      'r:3:4: found 300.1.1.1:5 (not an IPv4 address), allowed: an IPv4 address, with or without a port',
      'r:4:1: found no command of ipvsadm, allowed: one of -A, -E, -D, -a, -e, -d and -C',
      'r:5:1: found -Q, allowed: the options of ipvsadm(8)',
      'r:6:4: found the port 99999, allowed: 0 to 65535',
      'r:7:1: found no service, allowed: one of -t, -u and -f',
      'r:8:1: found 2 services, allowed: one of -t, -u and -f',
      'r:9:4: found the firewall mark x, allowed: a whole number above 0',
      'r:10:1: found 2 commands of ipvsadm, allowed: one of -A, -E, -D, -a, -e, -d and -C',
      'r:11:17: found x, which belongs to no option, allowed: a script of ipvsadm, such as ipvsadm -Sn prints',
      'r:12:1: found --set with 2 values, allowed: three',
    ],
  });
  assert.equal(told([...PAIR, PAIR[0]]).errors, ['r:3:1: found the service tcp 202.103.106.5:80 a second time, allowed: each service once (-E changes one)']);
  assert.equal(told([...PAIR, PAIR[1]]).errors, ['r:3:24: found the real server 172.16.0.2:80 a second time, allowed: each once (-e changes one)']);
  assert.equal(told([' ']).errors, ['r: found nothing, allowed: what ipvsadm -Sn prints has']);
});

test('the command line\'s links and gateway are checked like anything else', () => {
  assert.equal(told(PAIR, { links: [{ name: 'WAN', device: 'eth0', addresses: [] }] }).errors.map((line) => line.split(', allowed')[0]), ['r: links.WAN: found the name "WAN"']);
  assert.equal(told(PAIR, { ...LINKS, gateway: '10.9.9.9' }).errors, ['r: found --gateway 10.9.9.9, allowed: an address on the network of one of the links']);
});

test('a drop-in has no links of its own and is checked with what it goes into', () => {
  const into = [{ file: 'weir.yaml', text: 'links:\n  wan: { type: raw, device: eth0, addresses: [202.103.106.5/24] }\n  lan: { type: raw, device: eth1, addresses: [172.16.0.1/24] }\n' }];
  const { yaml, remarks, errors } = run('ipvsadm', 'r', rules(...PAIR), { into });
  assert.equal([remarks, errors, yaml.includes('links')], [[], [], false]);
  const broken = [{ file: 'weir.yaml', text: 'links: { wan: { type: raw } }\n' }];
  assert.match(run('ipvsadm', 'r', rules(...PAIR), { into: broken }).errors.join('\n'), /^weir\.yaml:1:\d+: links\.wan/);
});

test.run();
