/** The netlink codec and rtnetlink operations, with `ip -j` as the oracle. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../src/link/native.js';
import { MessageBuilder, NetlinkClient, NLM_F_ACK, NLM_F_REQUEST, parseAttributes, parseMessages, textOf } from '../../src/link/netlink.js';
import { DEVCONF_RP_FILTER, RT_TABLE_MAIN, Rtnetlink, type DeviceChange, type RuleInfo } from '../../src/link/rtnetlink.js';
import { namespace, until, type Json, type Namespace } from './namespace.js';

const hasCode = (code: string, words?: string) => (error: Error & { code?: string; errno?: number; syscall?: string }): boolean =>
  error.code === code && (error.errno ?? 0) < 0 && typeof error.syscall === 'string' && (words === undefined || error.message.includes(words));

// ---- codec -----------------------------------------------------------------------------------------------------------

const codec = suite('codec');

codec('what is built reads back, padded and nested, also beyond the first buffer', () => {
  const long = 'x'.repeat(3000);
  const bytes = new MessageBuilder(16, 5).u8(2).u8(0).u16(7).attrText(3, 'name').nest(18, (info) => info.attrU8(1, 9).attrText(2, long)).attrU32(4, 0xffffffff).finish(42);
  assert.is(bytes.length % 4, 0);
  const [message, ...rest] = parseMessages(bytes);
  assert.is(rest.length, 0);
  assert.equal([message.type, message.flags, message.sequence], [16, 5, 42]);
  const attributes = parseAttributes(message.body, 4);
  assert.equal([...attributes.keys()], [3, 18, 4]);
  assert.is(textOf(attributes.get(3)), 'name');
  const nested = parseAttributes(attributes.get(18)!);
  assert.equal([nested.get(1)![0], textOf(nested.get(2))], [9, long]);
  assert.is(attributes.get(4)!.readUInt32LE(0), 0xffffffff);
});

codec('lengths that lead outside are EBADMSG, never a read', () => {
  const good = new MessageBuilder(16, 0).u32(0).attrText(3, 'name').finish(1);
  for (let cut = 1; cut < good.readUInt32LE(0); cut++) assert.throws(() => parseMessages(good.subarray(0, cut)), hasCode('EBADMSG'));
  for (const length of [0, 15, good.length + 1, 0xffffffff]) {
    const bad = Buffer.from(good);
    bad.writeUInt32LE(length, 0);
    assert.throws(() => parseMessages(bad), hasCode('EBADMSG'));
  }
  for (const length of [0, 3, 13, 0xffff]) {
    const bad = Buffer.from(good.subarray(20));
    bad.writeUInt16LE(length, 0);
    assert.throws(() => parseAttributes(bad), hasCode('EBADMSG'));
  }
});

codec('the socket refuses what is not whole messages, and requests on a watching socket', () => {
  const socket = native().openNetlink(0, []);
  const watching = native().openNetlink(0, [1]);
  try {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(8), Buffer.alloc(16), Buffer.from('20000000120005030100000000000000', 'hex')])
      assert.throws(() => socket.request(bytes), (error: Error) => error instanceof RangeError);
    assert.throws(() => watching.request(new MessageBuilder(18, NLM_F_REQUEST).u32(0).finish(1)), (error: Error) => error instanceof TypeError);
    assert.throws(() => socket.watch(() => {}), (error: Error) => error instanceof TypeError);
    socket.close();
    assert.throws(() => socket.close(), (error: Error) => error instanceof TypeError);
  } finally {
    watching.close();
  }
});

codec('a batch whose begin is refused ends at once with the refusal, not with a time-out', () => {
  const ns = namespace();
  try {
    const client = new NetlinkClient(native().openNetlink(12, [], ns.path));
    const limit = (type: number) => ({ what: `limit ${type}`, build: () => new MessageBuilder(type, NLM_F_REQUEST).u8(0).u8(0).u8(0).u8(99) });
    const middle = { what: 'middle', build: () => new MessageBuilder(99 << 8, NLM_F_REQUEST | NLM_F_ACK).u32(0) };
    assert.throws(() => client.batch([limit(16), middle, limit(17)]), (error: Error & { code?: string; syscall?: string }) => error.code !== 'ETIMEDOUT' && error.syscall === 'limit 16');
    client.close();
  } finally {
    ns.remove();
  }
});

// ---- operations --------------------------------------------------------------------------------------------------------

const operations = suite('rtnetlink');

function withNamespace(name: string, body: (ns: Namespace, rt: Rtnetlink) => void | Promise<void>): void {
  operations(name, async () => {
    const ns = namespace();
    const rt = new Rtnetlink(ns.path);
    try {
      ns.ip('link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
      await body(ns, rt);
    } finally {
      rt.close();
      ns.remove();
    }
  });
}

const one = (list: Json[]): Json => {
  assert.is(list.length, 1);
  return list[0];
};

withNamespace('devices are listed as ip lists them', (ns, rt) => {
  ns.ip('link', 'set', 'va', 'up');
  ns.ip('link', 'set', 'vb', 'up', 'alias', 'some words');
  const ours = rt.devices().map(({ ifindex, name, up, mtu, mac, alias, txQueueLength, kind, carrier }) => ({ ifindex, name, up, mtu, mac, alias, txQueueLength, kind, carrier }));
  const theirs = ns.ipJson('link').map((link) => ({
    ifindex: link.ifindex, name: link.ifname, up: (link.flags as string[]).includes('UP'), mtu: link.mtu, mac: link.address, alias: link.ifalias ?? null,
    txQueueLength: link.txqlen, kind: (link.linkinfo as Json | undefined)?.info_kind ?? null, carrier: (link.flags as string[]).includes('LOWER_UP'),
  }));
  assert.equal(ours, theirs);
  assert.is(rt.findDevice('lo')?.loopback, true);
  assert.is(rt.findDevice('absent'), null);
});

withNamespace('a bridge is made, changed, joined and deleted', (ns, rt) => {
  rt.createBridge('br0');
  assert.throws(() => rt.createBridge('br0'), hasCode('EEXIST'));
  const bridge = rt.findDevice('br0')!;
  const port = rt.findDevice('va')!;
  rt.setAlias(bridge.ifindex, 'weir');
  rt.setMac(bridge.ifindex, '02:00:00:00:00:77');
  rt.setMtu(bridge.ifindex, 1400);
  rt.setTxQueueLength(port.ifindex, 77);
  rt.setMaster(port.ifindex, bridge.ifindex);
  rt.setUp(bridge.ifindex, true);
  const shown = one(ns.ipJson('link', 'show', 'br0'));
  assert.equal([shown.ifalias, shown.address, shown.mtu, (shown.linkinfo as Json).info_kind, (shown.flags as string[]).includes('UP')], ['weir', '02:00:00:00:00:77', 1400, 'bridge', true]);
  assert.equal([one(ns.ipJson('link', 'show', 'va')).master, one(ns.ipJson('link', 'show', 'va')).txqlen], ['br0', 77]);
  assert.is(rt.findDevice('va')?.master, bridge.ifindex);
  rt.setMaster(port.ifindex, null);
  rt.setUp(bridge.ifindex, false);
  assert.is(one(ns.ipJson('link', 'show', 'va')).master, undefined);
  assert.is((one(ns.ipJson('link', 'show', 'br0')).flags as string[]).includes('UP'), false);
  rt.deleteDevice(bridge.ifindex);
  assert.not.ok(ns.ipJson('link').some((link) => link.ifname === 'br0'));
  assert.throws(() => rt.setMtu(port.ifindex, 10_000_000), hasCode('EINVAL', 'mtu greater than device maximum'));
  assert.throws(() => rt.setUp(9999, true), hasCode('ENODEV'));
});

withNamespace('addresses come and go', (ns, rt) => {
  const device = rt.findDevice('va')!;
  rt.addAddress(device.ifindex, '10.1.2.3', 24);
  rt.addAddress(device.ifindex, '203.0.113.255', 32);
  assert.throws(() => rt.addAddress(device.ifindex, '10.1.2.3', 24), hasCode('EEXIST'));
  ns.ip('addr', 'add', '10.5.0.1', 'peer', '10.5.0.2/32', 'dev', 'va');
  const shown = (one(ns.ipJson('addr', 'show', 'va')).addr_info as Json[]).filter((address) => address.family === 'inet')
    .map((address) => ({ ifindex: device.ifindex, address: address.local, prefixLength: address.prefixlen, peer: address.address ?? null }));
  assert.equal(rt.addresses(device.ifindex), shown);
  assert.is(shown.length, 3);
  assert.is(rt.addresses().length, 4, 'with the loopback address');
  rt.deleteAddress(device.ifindex, '10.1.2.3', 24);
  assert.equal(rt.addresses(device.ifindex).map(({ address }) => address), ['203.0.113.255', '10.5.0.1']);
  assert.throws(() => rt.deleteAddress(device.ifindex, '10.1.2.3', 24), hasCode('EADDRNOTAVAIL'));
});

withNamespace('routes: table, metric, protocol, source, gateway and place', (ns, rt) => {
  for (const name of ['va', 'vb']) ns.ip('link', 'set', name, 'up');
  const device = rt.findDevice('va')!;
  rt.addAddress(device.ifindex, '10.1.0.1', 24);
  const route = { to: '10.9.0.0/16', table: 87_000, protocol: 87, ifindex: device.ifindex, source: '10.1.0.1', metric: 5 };
  rt.addRoute(route);
  rt.addRoute({ to: '0.0.0.0/0', table: 87_000, protocol: 87, ifindex: device.ifindex, via: '10.1.0.254' });
  assert.throws(() => rt.addRoute(route), hasCode('EEXIST'));
  const shown = ns.ipJson('-N', 'route', 'show', 'table', '87000').map((entry) => ({
    to: entry.dst === 'default' ? '0.0.0.0/0' : entry.dst, table: 87_000, protocol: Number(entry.protocol), type: 1, via: entry.gateway ?? null,
    ifindex: device.ifindex, source: entry.prefsrc ?? null, metric: entry.metric ?? 0,
  }));
  assert.equal(rt.routes(87_000), shown);
  assert.is(shown.length, 2);
  rt.deleteRoute(route);
  assert.throws(() => rt.deleteRoute(route), hasCode('ESRCH'));
  assert.is(rt.routes(87_000).length, 1);
  assert.equal(rt.routes(99_999), []);

  ns.ip('route', 'add', 'default', 'via', '10.1.0.253');
  rt.addRoute({ to: '0.0.0.0/0', table: RT_TABLE_MAIN, protocol: 87, ifindex: device.ifindex, prepend: true });
  assert.equal(ns.ipJson('-N', 'route', 'show', 'default').map((entry) => [entry.protocol, entry.gateway ?? null]), [['87', null], ['3', '10.1.0.253']]);
  assert.is(one(ns.ipJson('route', 'get', '192.0.2.1')).gateway, undefined, 'the first one is used');
});

withNamespace('policy rules', (ns, rt) => {
  const before = rt.rules();
  const plain = { preference: 10, table: 870, protocol: 87, suppressPrefixLength: null, from: null, to: null };
  const suppressing = { preference: 11, table: RT_TABLE_MAIN, protocol: 87, suppressPrefixLength: 0, from: '10.0.0.0/8', to: '192.0.2.0/24' };
  rt.addRule(plain);
  rt.addRule(suppressing);
  assert.throws(() => rt.addRule(plain), hasCode('EEXIST'));
  assert.equal([plain, suppressing].map((rule) => rt.findRule(rule)), [plain, suppressing]);
  assert.equal(rt.rules().filter((rule) => rule.protocol === 87), [plain, suppressing]);
  const shown = ns.ipJson('-N', 'rule').filter((rule) => rule.protocol === '87');
  assert.equal(shown.map((rule) => [rule.priority, rule.table, rule.src, rule.srclen, rule.dst, rule.dstlen, rule.suppress_prefixlen]), [
    [10, '870', 'all', undefined, undefined, undefined, undefined],
    [11, '254', '10.0.0.0', 8, '192.0.2.0', 24, 0],
  ]);
  rt.deleteRule(plain);
  rt.deleteRule(suppressing);
  assert.throws(() => rt.deleteRule(plain), hasCode('ENOENT'));
  assert.equal(rt.rules(), before);
});

withNamespace('of rules with one preference each is found and deleted by itself', (ns, rt) => {
  const from = (address: string): RuleInfo => ({ preference: 9, table: 872, protocol: 87, suppressPrefixLength: null, from: `${address}/32`, to: null });
  const [one, two, absent] = [from('169.254.119.1'), from('169.254.119.2'), from('169.254.119.3')];
  rt.addRule(one);
  rt.addRule(two);
  for (const other of [absent, { ...one, preference: 8 }, { ...one, table: 871 }, { ...one, protocol: 88 }, { ...one, suppressPrefixLength: 0 }, { ...one, from: null }, { ...one, to: '192.0.2.0/24' }]) {
    assert.is(rt.findRule(other), null, JSON.stringify(other));
  }
  rt.deleteRule(one);
  assert.equal([rt.findRule(one), rt.findRule(two)], [null, two]);
  assert.equal(ns.ipJson('-N', 'rule').filter((rule) => rule.protocol === '87').map((rule) => rule.src), ['169.254.119.2']);
});

withNamespace('IPv4 settings of a device and of all', (ns, rt) => {
  const device = rt.findDevice('va')!;
  rt.setDevconf(device.ifindex, DEVCONF_RP_FILTER, 2);
  assert.is(ns.run('sysctl', '-n', 'net.ipv4.conf.va.rp_filter').trim(), '2');
  ns.run('sysctl', '-qw', 'net.ipv4.conf.va.rp_filter=1', 'net.ipv4.conf.all.rp_filter=1');
  assert.is(rt.devconf(device.ifindex, DEVCONF_RP_FILTER), 1);
  assert.is(rt.reversePathFilterOfAll(), 1);
  ns.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0');
  assert.is(rt.reversePathFilterOfAll(), 0);
});

withNamespace('a listing longer than one datagram is whole', (ns, rt) => {
  const device = rt.findDevice('va')!;
  for (let i = 1; i <= 1000; i++) rt.addAddress(device.ifindex, `10.${i >> 8}.${i & 255}.1`, 32);
  assert.is(rt.addresses(device.ifindex).length, 1000);
  assert.is((one(ns.ipJson('addr', 'show', 'va')).addr_info as Json[]).length, 1000);
});

withNamespace('changes are told: carrier, up, MTU, MAC, addresses, deletion, and a port that leaves its bridge is not gone', async (ns, rt) => {
  const seen: DeviceChange[] = [];
  let addresses = 0;
  const watch = rt.watch({ onDevice: (change) => seen.push(change), onAddress: () => { addresses++; }, onLost: () => assert.unreachable() });
  const last = (): DeviceChange | undefined => seen.filter(({ device }) => device.name === 'va').at(-1);
  try {
    ns.ip('link', 'set', 'va', 'up');
    await until('va is up without carrier', () => last()?.device.up === true && last()?.device.carrier === false);
    ns.ip('link', 'set', 'vb', 'up');
    await until('carrier', () => last()?.device.carrier === true);
    ns.ip('link', 'set', 'vb', 'down');
    await until('no carrier', () => last()?.device.carrier === false);
    ns.ip('link', 'set', 'va', 'mtu', '1300');
    await until('MTU', () => last()?.device.mtu === 1300);
    ns.ip('link', 'set', 'va', 'address', '02:00:00:00:00:55');
    await until('MAC', () => last()?.device.mac === '02:00:00:00:00:55');
    ns.ip('addr', 'add', '10.3.0.1/24', 'dev', 'va');
    await until('address', () => addresses > 0);
    ns.ip('link', 'add', 'br0', 'type', 'bridge');
    ns.ip('link', 'set', 'va', 'master', 'br0');
    await until('master', () => last()?.device.master !== null);
    ns.ip('link', 'set', 'va', 'nomaster');
    await until('no master', () => last()?.device.master === null);
    assert.not.ok(seen.some(({ gone }) => gone));
    ns.ip('link', 'del', 'va');
    await until('gone', () => last()?.gone === true);
  } finally {
    watch.close();
  }
});

codec.run();
operations.run();
