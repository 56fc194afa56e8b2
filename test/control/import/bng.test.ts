/** A bng.conf: the example of BalanceNG's site in full, every statement, what is told and what is no sense. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KINDS, STATEMENTS, WHOLE } from '../../../src/control/import/bng-parse.js';
import { paceOf } from '../../../src/control/import/pace.js';
import type { ImportOptions } from '../../../src/control/import/index.js';
import { compile } from '../config/support.js';
import { file, golden, run } from './support.js';

const SEED = file('seed-lines.conf');
const planOf = (text: string, options: Partial<ImportOptions> = {}) => {
  const { yaml, errors, remarks } = run('bng', 'c', text, options);
  assert.equal([errors, remarks], [[], []]);
  return compile(yaml).plan!;
};
/** The example with a text put in the place of another. */
const told = (from: string, to: string): { remarks: string[]; errors: string[] } => {
  assert.is(SEED.split(from).length, 2, from);
  const { remarks, errors } = run('bng', 'c', SEED.replace(from, () => to));
  return { remarks: remarks.map((line) => line.replace(/^c:\d+:\d+: /, '')), errors: errors.map((line) => line.replace(/^c:\d+:\d+: /, '')) };
};

test('golden: the example, and a file with more than weir has', () => {
  golden('bng', 'seed.conf', 'seed');
  golden('bng', 'whole.conf', 'whole', { links: [{ name: 'eth0', device: 'enp1s0', addresses: [] }] });
});

test('the example on one line, as pages print it, is the example in lines', () => {
  assert.equal(planOf(file('seed.conf')), planOf(SEED));
});

test('the example gives the plan of conf/one-arm.yaml, but for names', () => {
  const nameless = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (key, item: unknown) => (key === 'name' && typeof item === 'string' ? '' : item)));
  const wanted = compile(file('../../../conf/one-arm.yaml')).plan!;
  assert.equal(nameless(planOf(SEED)), nameless(wanted));
});

test('after how many seconds a check gives up', () => {
  for (const [interval, down] of [[3, 8], [3, 10], [2, 10], [1, 1], [5, 5], [10, 3], [1, 60], [7, 20]] as const) {
    const pace = paceOf(interval, down);
    const timeout = parseInt(pace.timeout);
    assert.ok(timeout >= 1 && timeout <= interval, `${interval},${down}`);
    // The last answered round begins at 0; the one that makes it down begins `fall` rounds later and is waited for as long as the timeout.
    assert.is(pace.fall * interval + timeout, Math.max(down, interval + 1), `${interval},${down}`);
  }
});

test('every statement of every kind is read, and is taken, told or of no matter', () => {
  /** Those that say nothing about packets. */
  const silent = ['interface name', 'interface access', 'interface arp', 'interface threads', 'network name', 'gateway ipaddr', 'server name', 'target name'];
  const bare = (yaml: string): string => yaml.replaceAll(/#.*/g, '');
  const before = bare(run('bng', 'c', SEED).yaml);
  for (const kind of KINDS) {
    for (const word of Object.keys(STATEMENTS[kind])) {
      const number = kind === 'gateway' || kind === 'vrrp' ? '' : ' 1';
      const value: Record<string, string> = { 'gateway ipaddr': '172.16.1.253', 'server ports': '80', 'target protocol': 'tcp' };
      const text = `${SEED}${kind}${number} ${word} ${value[`${kind} ${word}`] ?? '7'}\n`;
      const { yaml, remarks, errors } = run('bng', 'c', text);
      const isSilent = silent.includes(`${kind} ${word}`) || kind === 'vrrp';
      const changes = bare(yaml) !== before;
      assert.ok(errors.length > 0 || remarks.length > 0 || changes || isSilent || ['server ports', 'target protocol', 'server proxy', 'server snat', 'target weight'].includes(`${kind} ${word}`), `${kind} ${word} is neither taken nor told`);
    }
  }
  for (const word of Object.keys(WHOLE)) assert.equal(run('bng', 'c', `${SEED}${word} ${word === 'set' ? 'ipforwarding 1' : word.endsWith('ister') || word.endsWith('able') ? 'target 2' : 'slb 1'}\n`).errors, [], word);
});

test('what becomes of servers: ports, protocols, methods, sessions, backups', () => {
  const server = (from: string, to: string) => {
    const text = SEED.replace(from, () => to);
    const { yaml, errors } = run('bng', 'c', text);
    assert.equal(errors, []);
    return compile(yaml).plan!.virtualServers;
  };
  const inServer = (line: string) => server('    targets 1,2\n', `    targets 1,2\n    ${line}\n`);
  const udp = run('bng', 'c', SEED.replaceAll('protocol tcp', 'protocol udp').replace('    port 80\n    protocol udp\n    targets', '    ports 80,8080-8081\n    protocol udp\n    targets'));
  assert.equal(compile(udp.yaml).plan!.virtualServers.map(({ name, ports: { first }, protocols }) => [name, first, protocols]),
    [['server1', 80, [17]], ['server1-8080', 8080, [17]], ['server1-8081', 8081, [17]]]);
  for (const [method, name, fallBack] of [['rr', 'rr', false], ['session', 'lc', false], ['hash', 'sh', true], ['first', 'fo', false]] as const) {
    assert.equal(inServer(`method ${method}`)[0].scheduler, { name, hashPort: false, fallBack }, method);
  }
  assert.equal(inServer('sessionid src')[0].persistence, { timeout: 600, mask: 32 });
  assert.equal(inServer('stimeout 90')[0].persistence, { timeout: 90, mask: 32 });
  assert.is(inServer('proxy enable')[0].snat, 'always');
  assert.is(inServer('snat enable')[0].snat, 'always');
  assert.is(inServer('snat disable')[0].snat, 'auto');
  assert.ok(server('    targets 1,2\n', '    targets 1\n    backup 2\n')[0].sorry !== undefined);
  assert.is(server('    tcpopen 80,3,10\n', '    tcpopen 80,3,10\n    weight 3\n')[0].scheduler.name, 'wrr');
});

test('registered and enabled things only; a target that is not enabled takes no flows', () => {
  assert.equal(told('enable server 1', '').remarks, ['left out: server 1: it is not enabled']);
  assert.equal(told('register server 1', '').remarks, ['left out: server 1: it is not registered']);
  const { yaml } = run('bng', 'c', SEED.replace('enable targets 1,2', 'enable targets 1'));
  assert.equal(compile(yaml).plan!.realServers.map(({ weight }) => weight), [1, 0]);
  assert.equal(told('register targets 1,2', 'register targets 1').remarks, ['left out: target 2: it is not registered']);
});

test('an interface gets the device it has here', () => {
  assert.is(planOf(SEED, { links: [{ name: 'eth0', device: 'ens3', addresses: [] }] }).links[0].device, 'ens3');
  assert.equal(run('bng', 'c', SEED, { links: [{ name: 'eth9', device: 'ens3', addresses: [] }] }).errors, ['c: found no interface eth9 for --link eth9=…, allowed: one of the file\'s: eth0']);
  assert.equal(run('bng', 'c', SEED, { links: [{ name: 'eth0', device: 'ens3', addresses: ['10.0.0.1/8'] }] }).errors, ['c: found addresses in --link eth0=…, allowed: eth0=DEVICE: the file itself has the addresses']);
});

test('virt: elected with the number, the priority and the word on preemption of the file; without real it is this box’s own', () => {
  const vrrp = (from: string, to: string) => planOf(SEED.replace(from, () => to)).vrrp.map(({ id, priority, preempt, addresses }) => ({ id, priority, preempt, addresses: addresses.map(({ address }) => address) }));
  const addresses = ['172.16.1.253', '10.1.1.254', '172.16.1.10'];
  assert.equal(vrrp('', ''), [{ id: 1, priority: 100, preempt: true, addresses }]);
  assert.equal(vrrp('gateway {', 'vrrp { vrid 64 priority 200 network 1 preempt 0 }\ngateway {'), [{ id: 64, priority: 200, preempt: false, addresses }]);
  const alone = SEED.replace(/ +real 10\.1\.1\.253\n/, '');
  assert.equal(planOf(alone).vrrp[0].addresses.map(({ address }) => address), ['172.16.1.253', '172.16.1.10']);
  assert.ok(planOf(alone).links[0].addresses.some(({ address }) => address === '10.1.1.254'));
});

test('what the file has and weir does otherwise, or not', () => {
  for (const [from, to, remark] of [
    ['nat,rt', 'nat,rt,ndp', 'left out: module ndp: no such module is known here'],
    ['set ipforwarding 1', 'set ipforwarding 0', 'left out: set ipforwarding 0: weir forwards between its networks; filters can refuse that'],
    ['gateway {', 'vrrp { vrid 1 priority 255 network 1 }\ngateway {', 'changed: priority 255: that is for addresses which are a box\'s own, so it is 254'],
    ['gateway {', 'vrrp { vrid 1 priority 2 owner 1 }\ngateway {', 'left out: owner 1 of vrrp: virtual addresses are nobody’s own; a priority says who is to have them first'],
    ['    tcpopen 80,3,10\n', '    tcpopen 80,3,10\n    ping 1,2\n', 'changed: the pace of ping 1,2: all kinds of a check have one pace, here 3,10'],
    ['    tcpopen 80,3,10\n', '    tcpopen 80,3,10\n    lgrp 1\n', 'left out: lgrp 1 of target 1: servers are not chosen by where the client is'],
    ['    tcpopen 80,3,10\n', '    tcpopen 80,3,10\n    frobnicate 5 6\n', 'left out: frobnicate 5 6: no such statement of a target is known here'],
    ['gateway {', 'ipdb { a b { c } }\ngateway {', 'left out: ipdb { … }: no such statement is known here'],
    ['    protocol tcp\n    targets', '    protocol ah\n    targets', 'changed: protocol ah: weir balances TCP and UDP, so it is these two'],
    ['ipaddr 172.16.1.10\n', 'ipaddr 172.16.1.255\n',
      'left out: server 1: it would be virtualServers.server1.listen: found "172.16.1.255:80/tcp" (the broadcast address of 172.16.1.0/24), allowed: an address a host can have'],
    ['ipaddr 10.1.1.2\n', 'ipaddr 10.9.9.9\n    dsr enable\n',
      'changed: dsr enable of target 2: direct server return becomes NAT: the server must listen on 10.9.9.9 itself, not on the virtual address, and answer through weir, its default route'],
  ] as const) {
    const { remarks, errors } = told(from, to);
    assert.equal(errors, [], to);
    assert.ok(remarks.includes(remark), `${to}: ${remarks.join('\n')}`);
  }
});

test('a backup that nothing leads to is left out alone', () => {
  const text = SEED.replace('    targets 1,2\n', '    targets 1,2\n    backup 3\n').replace('// end of configuration', 'target 3 {\n    ipaddr 10.9.9.9\n    port 80\n}\nregister target 3\nenable target 3\n// end of configuration');
  const { yaml, remarks, errors } = run('bng', 'c', text);
  assert.equal(errors, []);
  assert.match(yaml, /target2: \{ address: 10\.1\.1\.2:80/);
  assert.not.match(yaml, /sorry/);
  assert.is(remarks.length, 1);
  assert.match(remarks[0], /left out: target 3: it would be virtualServers\.server1\.sorry: found "10\.9\.9\.9:80"/);
});

test('what is no sense', () => {
  for (const [from, to, error] of [
    ['    mask 255.255.255.0\n    real 10', '    mask 255.0.255.0\n    real 10', 'found mask 255.0.255.0, allowed: a netmask, such as 255.255.255.0'],
    ['addr 10.1.1.0', 'addr 10.1.1.1', 'found addr 10.1.1.1 with bits set behind the mask, allowed: addr 10.1.1.0'],
    ['real 10.1.1.253', 'real 10.1.2.253', 'found real 10.1.2.253, allowed: an address of 10.1.1.0/24'],
    ['tcpopen 80,3,10', 'tcpopen 80,3', 'found tcpopen 80,3, allowed: tcpopen PORT,INTERVAL,TIMEOUT, with 1 to 3600 seconds each'],
    ['tcpopen 80,3,10', 'tcpopen 99999,3,10', 'found tcpopen 99999,3,10, allowed: tcpopen PORT,INTERVAL,TIMEOUT, with a port of 1 to 65535'],
    ['ping 3,8', 'ping 3', 'found ping 3, allowed: ping INTERVAL,TIMEOUT, with 1 to 3600 seconds each'],
    ['targets 1,2\n}', 'targets 1,9\n}', 'found target 9, which the file does not have, allowed: one of the file\'s: 1, 2'],
    ['    port 80\n    protocol tcp\n    targets', '    port x\n    protocol tcp\n    targets', 'found port x, allowed: ports of 1 to 65535, or any'],
    ['"local network"', '"local network', 'found a quote that is not closed, allowed: a second " on the line'],
    ['// end of configuration', 'target 3 {', 'found { that is not closed, allowed: } at the end of the block'],
    ['// end of configuration', '}', 'found } without {, allowed: a statement'],
    ['server 1 {', 'server {', 'found server without a number, allowed: server NUMBER { … }'],
    ['    ipaddr 10.1.1.2\n', '    ipaddr\n', 'found ipaddr with nothing behind it, allowed: a value'],
  ] as const) {
    assert.ok(told(from, to).errors.includes(error), `${to}: ${told(from, to).errors.join('\n')}`);
  }
  assert.equal(run('bng', 'c', '').errors, ['c: found nothing, allowed: what a bng.conf has']);
});

test.run();
