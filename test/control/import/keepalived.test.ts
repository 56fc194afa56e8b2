/** A keepalived.conf: the grammar, what becomes of each word, what is told, and a pair of directors in full. */
import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImportOptions } from '../../../src/control/import/index.js';
import { paceOfRetries } from '../../../src/control/import/pace.js';
import { compile } from '../config/support.js';
import { base, WORDS, write, type Line } from './keepalived-words.js';
import { draft, file, golden, run } from './support.js';

/** What the file includes, from the folder beside it. */
const include: NonNullable<ImportOptions['include']> = (pattern) => {
  const folder = pattern.replace(/\*\.conf$/, '');
  return readdirSync(new URL(folder, import.meta.url)).sort().map((name) => ({ file: `${folder}${name}`, text: file(`${folder}${name}`) }));
};
const LINKS: Partial<ImportOptions> = {
  links: [{ name: 'wan', device: 'eth0', addresses: ['203.0.113.2/24'] }, { name: 'lan', device: 'eth1', addresses: ['10.0.1.2/24'] }],
};
const bare = (remarks: readonly string[]): string[] => remarks.map((line) => line.replace(/^c:\d+:\d+: /, ''));

/** The plan of a text that must have nothing told of it. */
const planOf = (text: string, options: Partial<ImportOptions> = LINKS) => {
  const { yaml, errors, remarks } = run('keepalived', 'c', text, options);
  assert.equal([errors, remarks], [[], []]);
  return compile(yaml).plan!;
};
const instance = (...lines: string[]): string => ['vrrp_instance A {', 'interface eth0', 'virtual_router_id 5', ...lines, 'virtual_ipaddress {', '203.0.113.9/24', '}', '}'].join('\n');
const service = (own: readonly string[], ...server: string[]): string => ['virtual_server 203.0.113.9 80 {', 'protocol TCP', ...own, 'real_server 10.0.1.11 8080 {', ...server, '}', '}'].join('\n');
const told = (text: string, options: Partial<ImportOptions> = LINKS): { remarks: string[]; errors: string[] } => {
  const { remarks, errors } = run('keepalived', 'c', text, options);
  return { remarks: bare(remarks), errors: bare(errors) };
};

test('golden: a pair of directors, each with its own lines, by guessed and by given links', () => {
  golden('keepalived', 'keepalived.conf', 'keepalived-lb1', { instance: 'lb1', include });
  golden('keepalived', 'keepalived.conf', 'keepalived-lb2', {
    instance: 'lb2', include, gateway: '203.0.113.1', marks: [{ mark: 7, listens: ['203.0.113.11:8443/tcp'] }],
    links: [{ name: 'wan', device: 'eth0', addresses: ['203.0.113.3/24'] }, { name: 'lan', device: 'eth1', addresses: ['10.20.0.3/24'] }],
  });
});

test('every word of every block is in the configuration, in a comment there, or told', () => {
  const without = new Map<string, string>();
  const result = (kind: string, lines: readonly Line[]): string => draft(write(base({ [kind]: lines })).join('\n')).all;
  for (const [kind, words] of Object.entries(WORDS) as [string, readonly Line[]][]) {
    for (const line of words) {
      // Empty lines keep all places what they are.
      const height = write([line]).length;
      const key = `${kind} ${height}`;
      if (!without.has(key)) without.set(key, result(kind, Array.from({ length: height }, () => ({ text: '' }))));
      assert.is.not(result(kind, [line]), without.get(key), `${line.text} of ${kind} is neither taken nor told`);
    }
  }
});

test('comments, quotes, braces, definitions, lines of an instance, files that are included', () => {
  const text = [
    '! a comment', '$NET=203.0.113', '$ADDRESS=${NET}.9', '$SERVER= \\', '  real_server 10.0.1.${N} 80 { \\', '    weight ${N} \\', '  }', '',
    'virtual_server $ADDRESS 80', '{', '  protocol TCP', '  @a lb_algo rr ! round robin', '  @b lb_algo wrr', '  @^a lb_kind DR', "  virtualhost 'www.example.com'", '  $N=11', '  $SERVER', '  $N=12', '  $SERVER', '  include more.conf', '}',
  ].join('\n');
  const given: Partial<ImportOptions> = { ...LINKS, instance: 'a', include: (pattern) => (pattern === 'more.conf' ? [{ file: 'sub/more.conf', text: 'real_server 10.0.1.13 80 {\n  notify_up "/bin/say ${_PWD} it"\n}' }] : 'there is no such file') };
  const { yaml, remarks, errors } = run('keepalived', 'c', text, given);
  assert.equal(errors, []);
  assert.equal(remarks, ['sub/more.conf:2:3: left out: notify_up "/bin/say sub it" of real_server 10.0.1.13 80 { … }: every executable file in hooks.directory is run on every event: server.up and server.down']);
  const { plan } = compile(yaml);
  assert.equal([plan!.virtualServers[0].scheduler.name, plan!.realServers.map(({ address, weight }) => [address, weight])], ['rr', [['10.0.1.11', 11], ['10.0.1.12', 12], ['10.0.1.13', 1]]]);
});

test('lines for one of several boxes, sequences and files that are not there are told', () => {
  assert.equal(told(`${instance('@a priority 120', '@^a priority 90', '~SEQ(N,1,3) nonsense ${N}')}\ninclude none.conf`).remarks, [
    'left out: @a priority 120: a line of one of several boxes: say which one this is with --instance NAME',
    'left out: @^a priority 90: a line of one of several boxes: say which one this is with --instance NAME',
    'left out: ~SEQ(N,1,3) nonsense ${N}: sequences are not run: write its lines out, each by itself',
    'left out: include none.conf: a file of its own was not given',
  ]);
  const loop: Partial<ImportOptions> = { ...LINKS, include: (_, from) => [{ file: from, text: 'include loop.conf' }] };
  assert.match(told('include loop.conf', loop).errors.join('\n'), /32 files deep/);
  assert.match(told('$A=${B}\n$B=${A}\n$A').errors.join('\n'), /definitions that are made of themselves/);
});

test('mistakes of the file are told with their places, and nothing is printed', () => {
  for (const [text, error] of [
    ['virtual_server 203.0.113.9 80 {', 'c:1:31: found { that is not closed, allowed: } at the end of the block'],
    ['}', 'c:1:1: found } without {, allowed: a statement'],
    [service([], 'weight "2'), 'c:4:8: found a quote that is not closed, allowed: a second " on the line'],
    [service([], 'weight heavy'), 'c:4:8: found weight heavy, allowed: 0 to 65535'],
    [service(['lb_kind ROUTE']), 'c:3:1: found lb_kind ROUTE, allowed: NAT, DR or TUN'],
    [service(['protocol ICMP']), 'c:3:10: found protocol icmp, allowed: TCP or UDP'],
    [service(['persistence_granularity 255.0.255.0', 'persistence_timeout 9']), 'c:3:1: found persistence_granularity 255.0.255.0, allowed: a netmask, such as 255.255.255.0'],
    ['virtual_server 203.0.113.999 80 {\n}', 'c:1:16: found 203.0.113.999 (not an IPv4 address), allowed: virtual_server ADDRESS PORT { … }'],
    ['vrrp_instance A {\ninterface eth0\nvirtual_ipaddress {\n203.0.113.9\n}\n}', 'c:1:1: found vrrp_instance A { … } without virtual_router_id, allowed: virtual_router_id NUMBER'],
    [instance('priority 256'), 'c:4:10: found priority 256, allowed: 1 to 255'],
    [instance('version 4'), 'c:4:9: found version 4, allowed: 2 to 3'],
    ['', 'c: found nothing, allowed: what a keepalived.conf has'],
  ] as const) {
    const { yaml, errors } = run('keepalived', 'c', text, LINKS);
    assert.ok(errors.includes(error) && yaml === '', `${text}: ${errors.join('\n')}`);
  }
});

test('virtual routers: numbers, priorities, versions, adverts, announcements', () => {
  const vrrp = (...lines: string[]) => planOf(instance(...lines)).vrrp[0];
  const plain = vrrp();
  assert.equal([plain.id, plain.version, plain.priority, plain.preempt, plain.virtualMac, plain.accept], [5, 2, 100, true, false, true], 'what keepalived takes without a word');
  assert.is(vrrp('use_vmac').virtualMac, true);
  assert.is(vrrp('no_accept').accept, false);
  assert.is(vrrp('strict_mode on').accept, false);
  assert.is(vrrp('strict_mode on', 'accept').accept, true);
  assert.equal([vrrp('version 3', 'advert_int 0.25').version, vrrp('version 3', 'advert_int 0.25').advertIntervalMs], [3, 250]);
  assert.is(vrrp('version 3', 'v3_checksum_as_v2').checksum, 'plain');
  assert.is(vrrp('state BACKUP', 'nopreempt').preempt, false);
  assert.is(vrrp('preempt_delay 2.5').preemptDelayMs, 2500);
  assert.is(vrrp('authentication {', 'auth_type PASS', 'auth_pass geheim', '}').password, 'geheim');
  assert.equal(vrrp('unicast_src_ip 203.0.113.2', 'unicast_peer {', '203.0.113.3', '}').peers, ['203.0.113.3']);
  assert.is(planOf(`global_defs {\nvrrp_version 3\n}\n${instance()}`).vrrp[0].version, 3);
  for (const [lines, remark] of [
    [['advert_int 1.4'], 'changed: advert_int 1.4: version 2 knows whole seconds, so it is 1 s'],
    [['priority 255'], 'changed: priority 255: that is for addresses which are a box\'s own, so it is 254'],
    [['state MASTER', 'nopreempt'], 'left out: nopreempt beside state MASTER: keepalived takes no notice of it there: preempt: false, if it was meant'],
    [['version 3', 'authentication {', 'auth_type PASS', 'auth_pass geheim', '}'], 'left out: authentication { … }: version 3 has no passwords'],
    [['authentication {', 'auth_pass much-too-long', '}'], 'changed: auth_pass: a password has 8 bytes at most, and keepalived takes the first 8 of it'],
    [['unicast_src_ip 203.0.113.7'], 'changed: 203.0.113.7 as the source of adverts of A: it is the first address of wan, 203.0.113.2'],
    [['unicast_peer {', '203.0.113.2', '}'], 'left out: 203.0.113.2 of unicast_peer of A: that is this box itself'],
    [['track_interface {', 'eth7', '}'], 'left out: eth7 of A: no link is on eth7: say one with --link NAME=eth7'],
    [['garp_master_repeat 30'], 'changed: garp_master_repeat 30: at most 20, so it is that'],
    [['virtual_ipaddress {', '203.0.113.2/24', '}'], 'left out: 203.0.113.2/24: it is an address of the router\'s own, which nobody is elected for'],
    [['virtual_ipaddress_excluded {', '203.0.113.8/24', '}'],
      'changed: 203.0.113.8/24 of virtual_ipaddress_excluded: all addresses are in the adverts: a keepalived on the other side is to have them in virtual_ipaddress, too, or to skip_check_adv_addr'],
  ] as const) {
    const { remarks, errors } = told(instance(...lines));
    assert.equal(errors, [], lines.join());
    assert.ok(remarks.includes(remark), `${lines.join()}: ${remarks.join('\n')}`);
  }
});

test('addresses of another device have an election of their own there, in one sync group', () => {
  const { yaml, remarks, errors } = run('keepalived', 'c', instance('virtual_ipaddress {', '10.0.1.1/24 dev eth1', '}'), LINKS);
  assert.equal([errors, bare(remarks)], [[], ['changed: 10.0.1.1/24 dev eth1: each link has an election of its own, so eth1 gets one with the same number; they are one syncGroup, and end alike'
    + '. A keepalived on the other side takes no adverts with fewer addresses than it has: there it is to be in virtual_ipaddress_excluded']]);
  assert.equal(told(instance('virtual_ipaddress_excluded {', '10.0.1.1/24 dev eth1', '}')).remarks, ['changed: 10.0.1.1/24 dev eth1: each link has an election of its own, so eth1 gets one with the same number; they are one syncGroup, and end alike']);
  const { plan } = compile(yaml);
  assert.equal(plan!.vrrp.map(({ name, link, id, addresses, syncGroup }) => [name, plan!.links[link].name, id, addresses.map(({ address }) => address), syncGroup]),
    [['a-eth1', 'lan', 5, ['10.0.1.1'], 'a'], ['a', 'wan', 5, ['203.0.113.9'], 'a']]);
});

test('what is tracked: a link, a script by a virtual server that stands for it, weights above 0 as a higher priority', () => {
  const script = 'vrrp_script up {\nscript "/usr/bin/up now"\ninterval 2\nfall 3\nrise 4\nuser ops\nweight -7\n}\n';
  const plan = planOf(`${script}${instance('priority 100', 'track_interface {', 'eth1 weight 30', '}', 'track_script {', 'up', '}')}`);
  assert.equal([plan.vrrp[0].priority, plan.vrrp[0].track.map(({ kind, weight }) => [kind, weight])], [130, [['link', 30], ['virtualServer', 7]]]);
  assert.equal(plan.virtualServers.map(({ name, addresses }) => [name, addresses]), [['up', ['100.64.0.1']]]);
  const { yaml } = run('keepalived', 'c', `${script}${instance('track_script {', 'up', '}')}`, LINKS);
  assert.match(yaml, /check: \{ script: \{ command: \["\/usr\/bin\/up", now\], user: ops \}, interval: 2s, timeout: 2s, fall: 3, rise: 4 \}/);
  assert.equal(told(`vrrp_script up {\nscript "killall -0 nginx"\n}\n${instance('track_script {', 'up', '}')}`).remarks, [
    'changed: script "killall -0 nginx": programs are run by their whole path, so /bin/sh finds this one: [/bin/sh, -c, killall -0 nginx]',
    'changed: script "killall -0 nginx": it runs as nobody, where keepalived takes keepalived_script or root: script: { …, user: … } names another',
  ]);
  assert.equal(told(`${script}${instance()}`).remarks, ['left out: vrrp_script up { … }: nothing tracks it']);
});

test('virtual servers: schedulers, flags, persistence, thresholds, quorum, sorry server', () => {
  for (const name of ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos']) assert.is(planOf(service([`lb_algo ${name}`])).virtualServers[0].scheduler.name, name);
  assert.equal(planOf(service(['lvs_sched mh', 'mh-port', 'flag-1'])).virtualServers[0].scheduler, { name: 'mh', hashPort: true, fallBack: true });
  assert.equal(planOf(service(['persistence_timeout'])).virtualServers[0].persistence, { timeout: 360, mask: 32 });
  assert.equal(planOf(service(['persistence_timeout 90', 'persistence_granularity 255.255.0.0'])).virtualServers[0].persistence, { timeout: 90, mask: 16 });
  assert.is(planOf(service([]).replace('protocol TCP', 'protocol UDP\nops')).virtualServers[0].onePacket, true);
  assert.is(planOf(service(['inhibit_on_failure'])).virtualServers[0].onServerDown, 'keep');
  assert.equal(planOf(service([]).replace('9 80', '9').replace('11 8080', '11')).virtualServers[0].persistence, { timeout: 360, mask: 32 }, 'all ports are persistent');
  // Lost below 4 - 1, gained at 4 + 1.
  assert.equal(planOf(service(['quorum 4', 'hysteresis 1'], 'weight 9')).virtualServers[0].quorum, { weight: 3, hysteresis: 2 });
  assert.equal(planOf(service(['weight 6'])).realServers[0].weight, 6);
  const [real] = planOf(service([], 'weight 7', 'uthreshold 100', 'lthreshold 60')).realServers;
  assert.equal([real.address, real.port, real.weight, real.upper, real.lower], ['10.0.1.11', 8080, 7, 100, 60]);
  assert.ok(planOf(service(['sorry_server 10.0.1.99 80'])).virtualServers[0].sorry !== undefined);
  for (const [text, remark] of [
    [service(['lb_kind DR']), 'changed: lb_kind DR to 10.0.1.11: direct routing becomes NAT: the server must listen on 10.0.1.11 itself, not on the virtual address, and answer through weir, its default route'],
    [service([], 'lvs_method TUN'), 'changed: lvs_method TUN to 10.0.1.11: a tunnel becomes NAT: the server must listen on 10.0.1.11 itself, not on the virtual address, and answer through weir, its default route'],
    [service(['lb_algo fast']), 'changed: lb_algo fast: there is no such scheduler here, so it is wlc; weir has rr, wrr, lc, wlc, sed, nq, sh, dh, mh, lblc, lblcr, fo, ovf, twos'],
    [service([]).replace('protocol TCP\n', ''), 'guessed: protocol UDP of virtual_server 203.0.113.9 80 { … }: keepalived takes UDP where no protocol is said: write protocol TCP, if it was meant'],
    [service(['persistence_granularity 255.255.255.0']), 'left out: persistence_granularity 255.255.255.0: a mask of no persistence'],
    [service(['ops']), 'left out: ops: single packets are scheduled for UDP only'],
    [service(['quorum 9'], 'weight 2'), 'changed: quorum 9: all servers have a weight of 2, so it is up at 2'],
    ['virtual_server fwmark 3 {\nreal_server 10.0.1.11 80 {\n}\n}', 'left out: virtual_server fwmark 3 { … }: packets have no marks here: say with --mark 3=ADDRESS:PORT/PROTOCOL,… what the firewall marks so'],
    [service([]).replace('10.0.1.11', '127.0.0.1'), 'left out: real_server 127.0.0.1 8080 { … }: 127.0.0.1 is loopback, 127.0.0.0/8: flows go to other hosts only; what the box itself serves is reached at its own address'],
    [service([]).replace('203.0.113.9', '2001:db8::9'), 'left out: virtual_server 2001:db8::9 80 { … }: IPv6 is not supported in this version'],
    [service([]).replace('TCP', 'SCTP'), 'left out: virtual_server 203.0.113.9 80 { … }: SCTP is not balanced; a route or a port forward to one server carries it'],
  ] as const) {
    const { remarks, errors } = told(text);
    assert.equal(errors, [], text);
    assert.ok(remarks.includes(remark), `${text}: ${remarks.join('\n')}`);
  }
});

test('a server, a sorry server or a quorum the configuration refuses is left out alone', () => {
  const text = service(['quorum 3', 'sorry_server 192.0.2.9 80'], 'weight 1').replace(/\}$/, 'real_server 192.0.2.8 80 {\nweight 5\n}\n}');
  const { remarks, errors } = told(text);
  assert.equal([errors, remarks.map((line) => line.replace(/: it would be .*/, ''))], [[], [
    'left out: quorum 3', 'left out: sorry_server 192.0.2.9 80', 'left out: real_server 192.0.2.8 80 { … }',
  ]]);
});

test('a group of addresses and ports: a list for one port, virtual servers tied together for several', () => {
  const plan = planOf('virtual_server_group G {\n203.0.113.20-22 80\n203.0.113.30 443\n}\nvirtual_server group G {\nprotocol TCP\npersistence_timeout 60\nreal_server 10.0.1.11 {\n}\n}');
  assert.equal(plan.virtualServers.map(({ addresses, ports }) => [addresses, ports.first]), [[['203.0.113.20', '203.0.113.21', '203.0.113.22'], 80], [['203.0.113.30'], 443]]);
  assert.is(new Set(plan.virtualServers.map(({ persistence }) => persistence?.tie)).size, 1);
});

test('checkers: kinds, ports, what is asked, and how often', () => {
  const checkOf = (...lines: string[]): string => /check: (.*)$/m.exec(run('keepalived', 'c', service([], ...lines), LINKS).yaml)?.[1] ?? '';
  const pace = 'interval: 60s, timeout: 5s, fall: 2, rise: 1 }';
  assert.is(checkOf('TCP_CHECK {', '}'), `{ tcp: {}, ${pace}`);
  assert.is(checkOf('TCP_CHECK {', 'connect_port 81', 'connect_timeout 2', 'delay_loop 4', 'retry 0', '}'), '{ tcp: { port: 81 }, interval: 4s, timeout: 2s, fall: 1, rise: 1 }');
  assert.is(checkOf('PING_CHECK {', '}'), `{ icmp: {}, ${pace}`);
  assert.is(checkOf('HTTP_GET {', '}'), `{ http: { status: 200-299 }, ${pace}`);
  assert.is(checkOf('SSL_GET {', 'virtualhost www.example.com', 'url {', 'status_code 200 301-302', 'regex well', '}', '}'),
    `{ http: { tls: true, host: www.example.com, status: [200, 301-302], body: well }, ${pace}`);
  assert.is(checkOf('HTTP_GET {', 'url {', 'path /up?now', 'status_code 204', '}', '}'), `{ http: { path: "/up?now", status: 204 }, ${pace}`);
  assert.is(checkOf('DNS_CHECK {', 'type A', 'name www.example.com', '}'), `{ dns: { name: www.example.com }, ${pace}`);
  assert.is(checkOf('UDP_CHECK {', 'payload 70696e67', 'require_reply 706f 6e67', '}'), `{ udp: { send: ping, expect: pong }, ${pace}`);
  assert.is(checkOf('MISC_CHECK {', 'misc_path "/bin/c \'a b\' 1"', 'misc_timeout 9', 'misc_dynamic', 'user ops', '}'),
    '{ script: { command: ["/bin/c", "a b", "1"], user: ops, setsWeight: true }, interval: 60s, timeout: 9s, fall: 1, rise: 1 }');
  assert.is(checkOf('alpha on', 'PING_CHECK {', '}', 'TCP_CHECK {', '}'), '{ icmp: {}, tcp: {}, interval: 60s, timeout: 5s, fall: 2, rise: 1, initial: down }');
  for (const [lines, remark] of [
    [['BFD_CHECK {', 'name b', '}'], 'left out: BFD_CHECK { … }: check: { script: { command: [PROGRAM, …], setsWeight: true } } runs a program that finds it out'],
    [['SMTP_CHECK {', '}'], 'changed: SMTP_CHECK { … }: the port must take a connection, and the dialogue is not spoken; for that: check: { script: { command: [PROGRAM, …] } } runs a program that asks it'],
    [['TCP_CHECK {', '}', 'TCP_CHECK {', 'connect_port 81', '}'], 'left out: TCP_CHECK { … }: a check has each kind once, and there is one of tcp already; for a second one: check: { script: { command: [PROGRAM, …] } } runs a program that asks it'],
    [['HTTP_GET {', 'url {', 'path /', 'digest 00', '}', '}'], 'left out: digest 00 of url: check: { http: { body: … } } is a text the answer must hold'],
    [['HTTP_GET {', 'url {', 'path /', 'regex ^a+$', '}', '}'], 'left out: regex ^a+$: check: { http: { body: … } } is a text the answer must hold; for more, check: { script: … }'],
    [['TCP_CHECK {', 'delay_loop 2', 'connect_timeout 4', '}'], 'changed: connect_timeout 4: an answer is waited for until the next round, so it is 2s'],
  ] as const) {
    const { remarks, errors } = told(service([], ...lines));
    assert.equal(errors, [], lines.join());
    assert.ok(remarks.includes(remark), `${lines.join()}: ${remarks.join('\n')}`);
  }
});

test('as many rounds until a server is down as last at least as long as keepalived asks again', () => {
  for (const [interval, retries, wait] of [[6, 3, 3], [60, 3, 3], [2, 1, 1], [0.5, 4, 3], [10, 5, 0]] as const) {
    const fall = paceOfRetries(interval, retries, wait);
    assert.ok((fall - 1) * interval >= retries * wait && fall >= 2, `${interval} ${retries} ${wait}`);
    assert.ok((fall - 2) * interval < retries * wait || fall === 2, `${interval} ${retries} ${wait}`);
  }
  assert.is(paceOfRetries(6, 0, 3), 1);
});

test('a drop-in takes the links of the configuration it goes into, and its link to the box', () => {
  const text = `${instance()}\n${service([], 'TCP_CHECK {', '}')}`;
  const links = 'links:\n  wan: { type: raw, device: eth0, addresses: [203.0.113.2/24] }\n  lan: { type: raw, device: eth1, addresses: [10.0.1.2/24] }\n';
  const made = run('keepalived', 'c', text, { into: [{ file: 'weir.yaml', text: links }] });
  assert.equal([made.errors, made.remarks, /^links:\n[\s\S]*?host:/m.test(made.yaml), made.yaml.includes('eth0')], [[], [], true, false]);
  const box = `${links}  box: { type: tun, device: w0, addresses: [100.70.0.1/30], peer: 100.70.0.2 }\n`;
  const other = run('keepalived', 'c', text, { into: [{ file: 'weir.yaml', text: box }] });
  assert.equal([other.errors, other.remarks, other.yaml.includes('links:')], [[], [], false]);
});

test.run();
