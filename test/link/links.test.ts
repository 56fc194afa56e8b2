/** Opening links of every type: what they do to the box, and that all of it is undone on close and after a kill -9. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KIND_PACKET, KIND_TAP, KIND_TUN } from '../../src/link/batch.js';
import { Host } from '../../src/link/host.js';
import type { OpenedLink } from '../../src/link/link.js';
import type { Plan, VrrpPlan } from '../../src/base/plan.js';
import { BoxAddresses } from '../../src/link/box-addresses.js';
import { openLink } from '../../src/link/registry.js';
import { deriveMac } from '../../src/link/tap.js';
import { bench, echo, type Bench } from './frames.js';
import { holder, plan } from './holder.js';
import { directory, namespace, until, type Json, type Namespace } from './namespace.js';

/** Everything of the box that weir may change, as `ip` shows it. */
function snapshot(ns: Namespace): unknown {
  const links = ns.ipJson('link').map(({ ifname, flags, mtu, address, master, ifalias, txqlen }) => ({
    ifname, up: (flags as string[]).includes('UP'), mtu, address, master, ifalias, txqlen,
    rpFilter: ns.run('sysctl', '-n', `net.ipv4.conf.${String(ifname)}.rp_filter`), arpIgnore: ns.run('sysctl', '-n', `net.ipv4.conf.${String(ifname)}.arp_ignore`),
  }));
  const addresses = ns.ipJson('-4', 'addr').map(({ ifname, addr_info: info }) => ({ ifname, info: (info as Json[]).map(({ local, prefixlen }) => ({ local, prefixlen })) }));
  return { links, addresses, rules: ns.ipJson('rule'), routes: ns.ipJson('-4', 'route', 'show', 'table', 'all').filter((route) => route.protocol !== 'kernel'), nft: ns.run('nft', 'list', 'ruleset') };
}

const device = (ns: Namespace, name: string): Json | undefined => ns.ipJson('link').find((link) => link.ifname === name);
const isUp = (link: Json | undefined): boolean => (link?.flags as string[] | undefined ?? []).includes('UP');

interface Box { ns: Namespace; journalPath: string; host(links: OpenedLink['plan'][], pins?: string[]): Host }

function box(): Box {
  const ns = namespace();
  const journalPath = `${directory()}/deeper/journal`;
  return { ns, journalPath, host: (links, pins = []) => new Host({ journalPath, links, pins, table: `weir-test-${process.pid}` }) };
}

// ---- TAP ---------------------------------------------------------------------------------------------------------------

const tap = suite('tap links');

tap('a device is made, set and up; closing takes it away', () => {
  const { ns, host, journalPath } = box();
  try {
    const before = snapshot(ns);
    const lan = plan({ name: 'lan', type: 'tap', device: 'weir-lan', netns: ns.name, mtu: 1400 });
    const h = host([lan]);
    const link = openLink(lan, h);
    const shown = device(ns, 'weir-lan');
    assert.equal([link.kind, link.vnet, link.mtu, link.ifindex, link.device], [KIND_TAP, true, 1400, shown?.ifindex, 'weir-lan']);
    assert.equal([shown?.mtu, isUp(shown)], [1400, true]);
    assert.match(String(link.mac), /^.[26ae](:..){5}$/, 'locally administered, not a group');
    assert.is.not(link.mac, shown?.address);
    assert.equal(link.close(), []);
    assert.equal(h.close(), []);
    assert.equal(snapshot(ns), before);
    assert.not.ok(existsSync(journalPath));
  } finally {
    ns.remove();
  }
});

tap('our MAC is the same after a restart and differs by device and namespace; a configured one is taken', () => {
  assert.is(deriveMac('weir-lan', undefined, null), deriveMac('weir-lan', undefined, null));
  const all = [deriveMac('a', undefined, null), deriveMac('b', undefined, null), deriveMac('a', 'x', null), deriveMac('a', 'y', null)];
  assert.is(new Set(all).size, 4);
  assert.is.not(deriveMac('a', 'x', all[2]), all[2], 'not the one the kernel has');
  const { ns, host } = box();
  try {
    const lan = plan({ name: 'lan', type: 'tap', device: 'weir-lan', netns: ns.name, mac: '02:12:34:56:78:9a' });
    const h = host([lan]);
    assert.is(openLink(lan, h).mac, '02:12:34:56:78:9a');
    h.close();
  } finally {
    ns.remove();
  }
});

tap('a missing bridge is made, shared, and goes at the end; one that was there is only joined', () => {
  const { ns, host } = box();
  try {
    // With a port of its own: an empty bridge takes the address of whoever comes first.
    ns.ip('link', 'add', 'mine', 'type', 'bridge');
    ns.ip('link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
    ns.ip('link', 'set', 'va', 'master', 'mine');
    const before = snapshot(ns);
    const links = [
      plan({ index: 0, name: 'a', type: 'tap', device: 'ta', netns: ns.name, bridge: 'br-new' }),
      plan({ index: 1, name: 'b', type: 'tap', device: 'tb', netns: ns.name, bridge: 'br-new' }),
      plan({ index: 2, name: 'c', type: 'tap', device: 'tc', netns: ns.name, bridge: 'mine' }),
    ];
    const h = host(links);
    const [a, b, c] = links.map((link) => openLink(link, h));
    assert.is(device(ns, 'mine')?.address, device(ns, 'va')?.address, 'the bridge keeps its MAC address');
    assert.equal(['ta', 'tb', 'tc'].map((name) => device(ns, name)?.master), ['br-new', 'br-new', 'mine']);
    assert.equal([device(ns, 'br-new')?.ifalias, isUp(device(ns, 'br-new')), isUp(device(ns, 'mine'))], ['weir', true, true]);
    assert.equal(a.close(), []);
    assert.ok(device(ns, 'br-new'), 'b still uses it');
    assert.equal([...b.close(), ...c.close(), ...h.close()], []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

tap('a device that cannot be had is refused by the names the configuration has for it and its link', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
    ns.ip('link', 'set', 'va', 'up');
    const before = snapshot(ns);
    const refusal = (fields: Partial<OpenedLink['plan']> & Pick<OpenedLink['plan'], 'type' | 'device'>): [string, string] => {
      const wrong = plan({ name: 'lan', netns: ns.name, ...fields });
      const h = host([wrong]);
      try {
        openLink(wrong, h);
        return ['', ''];
      } catch (error) {
        const { code, message } = error as Error & { code: string };
        return [code, message];
      } finally {
        assert.equal(h.close(), []);
      }
    };
    assert.equal(refusal({ type: 'tap', device: 'va' }), ['EINVAL', "link lan: there is a device 'va' already, and it is no tap device that weir could open"]);
    assert.equal(refusal({ type: 'tun', device: 'lo' }), ['EINVAL', "link lan: there is a device 'lo' already, and it is no tun device that weir could open"]);
    const elsewhere = `${ns.name}-none`;
    for (const type of ['tap', 'tun', 'raw'] as const) {
      assert.equal(refusal({ type, device: 'x0', netns: elsewhere }), ['ENOENT', `link lan: there is no network namespace '${elsewhere}'; \`ip netns\` lists those there are`]);
    }
    assert.equal(refusal({ type: 'raw', device: 'nosuch' }), ['ENODEV', `link lan: there is no device 'nosuch' in namespace ${ns.name}; there are vb, va`]);
    const other = plan({ name: 'other', type: 'tun', device: 'weir0', netns: ns.name });
    const theirs = host([other]);
    const open = openLink(other, theirs);
    assert.equal(refusal({ type: 'tun', device: 'weir0' }), ['EBUSY', "link lan: device 'weir0' is in use: another weir, or another program, has it open"]);
    assert.equal([open.close(), theirs.close()], [[], []]);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

tap('what is not a bridge is refused, and nothing is left', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
    const before = snapshot(ns);
    const bad = plan({ name: 'lan', type: 'tap', device: 'weir-lan', netns: ns.name, bridge: 'va' });
    const h = host([bad]);
    assert.throws(() => openLink(bad, h), (error: Error & { code?: string }) => error.code === 'EEXIST' && error.message.includes("'va' is not a bridge but veth"));
    assert.throws(() => openLink({ ...bad, bridge: 'br0', mtu: 1 }, h), (error: Error & { code?: string }) => error.code === 'EINVAL');
    assert.equal(h.close(), []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

tap('a persistent device keeps what it had', () => {
  const { ns, host } = box();
  try {
    ns.ip('tuntap', 'add', 'mode', 'tap', 'name', 'keep');
    ns.ip('link', 'add', 'br0', 'address', '02:00:00:00:00:99', 'type', 'bridge');
    const before = snapshot(ns);
    const lan = plan({ name: 'lan', type: 'tap', device: 'keep', netns: ns.name, mtu: 1300, bridge: 'br0' });
    const h = host([lan]);
    const link = openLink(lan, h);
    assert.equal([device(ns, 'keep')?.mtu, device(ns, 'keep')?.master, isUp(device(ns, 'keep'))], [1300, 'br0', true]);
    assert.equal([...link.close(), ...h.close()], []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

// ---- raw ---------------------------------------------------------------------------------------------------------------

const raw = suite('raw links');

raw('an existing device is taken over with its own MAC, and given back as it was', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    ns.ip('addr', 'add', '10.9.0.1/24', 'dev', 'near');
    const before = snapshot(ns);
    const wan = plan({ name: 'wan', type: 'raw', device: 'near', netns: ns.name, mtu: 1400, addresses: [{ address: '10.9.0.1', prefixLength: 24 }] });
    const h = host([wan]);
    const link = openLink(wan, h);
    assert.equal([link.kind, link.mac, link.mtu, link.vnet], [KIND_PACKET, device(ns, 'near')?.address, 1400, true]);
    assert.equal([device(ns, 'near')?.mtu, isUp(device(ns, 'near'))], [1400, true]);
    assert.match(ns.run('nft', 'list', 'ruleset'), /ingress device "near"/);
    assert.ok(ns.ip('addr', 'show', 'near').includes('10.9.0.1/24'), "the host's address stays");
    assert.equal(link.close(), []);
    assert.not.match(ns.run('nft', 'list', 'ruleset'), /near/);
    assert.equal(h.close(), []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

raw('a device listens for more MAC addresses while the link is open: a group’s in its filter, another one’s however it can', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    const groups = (): string => ns.ip('maddr', 'show', 'dev', 'near');
    // A veth has no filter for single addresses: it hears everything then.
    const isPromiscuous = (): boolean => /promiscuity 1\b/.test(ns.ip('-d', 'link', 'show', 'near'));
    const wan = plan({ name: 'wan', type: 'raw', device: 'near', netns: ns.name });
    const h = host([wan]);
    const link = openLink(wan, h);
    assert.equal([groups().includes('01:00:5e:00:00:12'), isPromiscuous()], [false, false]);
    assert.equal(link.hear(['01:00:5e:00:00:12']), []);
    assert.equal([groups().includes('01:00:5e:00:00:12'), isPromiscuous()], [true, false]);
    assert.equal(link.hear(['00:00:5e:00:01:07', '00:00:5e:00:01:08']), []);
    assert.ok(isPromiscuous());
    link.close();
    assert.equal([groups().includes('01:00:5e:00:00:12'), isPromiscuous()], [false, false]);
    h.close();
  } finally {
    ns.remove();
  }
});

raw('offload: false sends nothing unfinished, and still understands what comes', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    const wan = plan({ name: 'wan', type: 'raw', device: 'near', netns: ns.name, offload: false });
    const h = host([wan]);
    const link = openLink(wan, h);
    assert.equal([link.offloads, link.vnet], [0, true]);
    link.close();
    h.close();
  } finally {
    ns.remove();
  }
});

raw('a device that does not exist is told with those that do', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    const before = snapshot(ns);
    const wan = plan({ name: 'wan', type: 'raw', device: 'eth7', netns: ns.name });
    const h = host([wan]);
    assert.throws(() => openLink(wan, h), (error: Error & { code?: string }) => error.code === 'ENODEV' && /no device 'eth7'.*there are far, near/.test(error.message));
    h.close();
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

// ---- TUN ---------------------------------------------------------------------------------------------------------------

const tun = suite('tun links');

/** The link of a gateway box to itself, in the process's own namespace. */
const innerHostLink = (fields = {}): OpenedLink['plan'] => plan({
  index: 2, name: 'host', type: 'tun', device: 'weir0', peer: '100.64.0.2', addresses: [{ address: '100.64.0.1', prefixLength: 30 }], defaultRoute: true, ...fields,
});
const hostLink = (ns: Namespace, fields = {}): OpenedLink['plan'] => innerHostLink({ netns: ns.name, ...fields });
const others = [
  plan({ index: 0, name: 'wan1', type: 'tap', device: 'x', addresses: [{ address: '192.168.201.11', prefixLength: 24 }] }),
  plan({ index: 1, name: 'wan2', type: 'tap', device: 'y', addresses: [{ address: '192.168.201.13', prefixLength: 24 }, { address: '10.0.1.1', prefixLength: 24 }] }),
];

const routeTo = (ns: Namespace, to: string): [unknown, unknown, unknown] => {
  const [route] = ns.ipJson('route', 'get', to);
  return [route.type, route.dev, route.prefsrc];
};

/** The tests' box: one way out of its own, with a default. */
function wired(ns: Namespace): void {
  ns.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-far');
  ns.ip('link', 'set', 'eth0', 'up');
  ns.ip('link', 'set', 'eth0-far', 'up');
  ns.ip('addr', 'add', '172.31.0.5/24', 'dev', 'eth0');
  ns.ip('route', 'add', 'default', 'via', '172.31.0.1');
}

tun('the box sends to the router what is the router\'s, keeps what is its own, and shows the truth', () => {
  const { ns, host } = box();
  try {
    wired(ns);
    const before = snapshot(ns);
    const own = hostLink(ns);
    const h = host([...others, own]);
    const link = openLink(own, h);
    assert.equal([link.kind, link.mac, link.mtu], [KIND_TUN, null, 1500]);
    assert.equal(routeTo(ns, '10.0.1.77'), ['unicast', 'weir0', '10.0.1.1']);
    assert.equal(routeTo(ns, '192.168.201.1'), ['unicast', 'weir0', '192.168.201.11'], 'of two links on one prefix the first gives the source');
    assert.equal(routeTo(ns, '100.64.0.1'), ['unicast', 'weir0', '100.64.0.2']);
    assert.equal(routeTo(ns, '192.0.2.1'), ['unicast', 'weir0', '100.64.0.2']);
    assert.equal(routeTo(ns, '172.31.0.1'), ['unicast', 'eth0', '172.31.0.5'], 'its own network stays its own');
    assert.equal(routeTo(ns, '192.168.201.13').slice(0, 2), ['local', 'lo'], 'what the router delivers is accepted');
    assert.equal(ns.ipJson('route', 'show', 'default').map((route) => route.dev), ['weir0', 'eth0']);
    assert.is(ns.run('sysctl', '-n', 'net.ipv4.conf.weir0.rp_filter').trim(), ns.run('sysctl', '-n', 'net.ipv4.conf.all.rp_filter').trim() === '0' ? '0' : '2');
    assert.equal([...link.close(), ...h.close()], []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

tun('the box has the addresses of a virtual router while it is master here, and only where it is to answer by them', () => {
  const { ns, host } = box();
  try {
    wired(ns);
    const before = snapshot(ns);
    const own = hostLink(ns);
    const h = host([...others, own]);
    const link = openLink(own, h);
    const has = (address: string): boolean => ns.ip('-4', 'address', 'show', 'dev', 'weir0').includes(` ${address}/32 `);
    const virtual = (index: number, address: string, fields = {}): Partial<VrrpPlan> => ({ index, name: `v${index}`, accept: true, priority: 100, addresses: [{ address, prefixLength: 24 }], ...fields });
    const routers = [virtual(0, '10.0.1.253'), virtual(1, '10.0.1.254', { accept: false }), virtual(2, '10.0.1.1', { priority: 255 })];
    const addresses = new BoxAddresses({ vrrp: routers } as Plan, [link], h);
    assert.equal(['10.0.1.253', '10.0.1.254', '10.0.1.1'].map(has), [false, false, true]);
    for (const { index } of routers) assert.equal(addresses.set(index!, true), []);
    assert.equal(['10.0.1.253', '10.0.1.254', '10.0.1.1'].map(has), [true, false, true]);
    assert.equal(addresses.set(0, true), [], 'said twice');
    for (const { index } of routers) assert.equal(addresses.set(index!, false), []);
    assert.equal(['10.0.1.253', '10.0.1.254', '10.0.1.1'].map(has), [false, false, true], 'an owner’s stay: they are the link’s');
    assert.equal(addresses.set(0, true), []);
    assert.equal([...link.close(), ...h.close()], [], 'and none outlives the link');
    assert.equal(snapshot(ns), before);
    assert.equal(new BoxAddresses({ vrrp: routers } as Plan, [], h).set(0, true), [], 'without a link to the box there is nothing to do');
  } finally {
    ns.remove();
  }
});

tun('where all devices filter strictly, this one filters loosely', () => {
  const { ns, host } = box();
  try {
    ns.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1');
    const own = hostLink(ns);
    const h = host([own]);
    const link = openLink(own, h);
    assert.is(ns.run('sysctl', '-n', 'net.ipv4.conf.weir0.rp_filter').trim(), '2');
    assert.equal([...link.close(), ...h.close()], []);
  } finally {
    ns.remove();
  }
});

tun('without defaultRoute the box keeps its default', () => {
  const { ns, host } = box();
  try {
    wired(ns);
    const before = snapshot(ns);
    const own = hostLink(ns, { defaultRoute: false });
    const h = host([...others, own]);
    const link = openLink(own, h);
    assert.equal(routeTo(ns, '192.0.2.1'), ['unicast', 'eth0', '172.31.0.5']);
    assert.equal(routeTo(ns, '10.0.1.77'), ['unicast', 'weir0', '10.0.1.1']);
    assert.equal([...link.close(), ...h.close()], []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

/** How the box sends from a pinned address: by which device, and from whom; or that it cannot. */
function pinnedRoute(ns: Namespace, to: string, pin: string): [unknown, unknown] | 'none' {
  if (ns.code('ip', 'route', 'get', to, 'from', pin) !== 0) return 'none';
  const [route] = ns.ipJson('route', 'get', to, 'from', pin);
  return [route.dev, route.from];
}

const PINS = ['169.254.119.1', '169.254.119.2'];
const NEAR = ['192.0.2.1', '172.31.0.1', '10.0.1.77', '192.168.201.1'];

for (const defaultRoute of [true, false]) {
  tun(`what the box sends from a pinned address goes to the router, wherever its own routes lead (defaultRoute ${defaultRoute})`, () => {
    const { ns, host, journalPath } = box();
    try {
      wired(ns);
      const before = snapshot(ns);
      const own = hostLink(ns, { defaultRoute });
      const second = plan({ index: 3, name: 'second', type: 'tun', device: 'weir1', netns: ns.name, peer: '100.64.1.2', addresses: [{ address: '100.64.1.1', prefixLength: 30 }] });
      const h = host([...others, own, second], PINS);
      const links = [openLink(second, h), openLink(own, h)];
      for (const pin of PINS) for (const to of NEAR) assert.equal(pinnedRoute(ns, to, pin), ['weir0', pin], `${pin} to ${to}`);
      assert.is(pinnedRoute(ns, '192.0.2.1', '169.254.119.3'), 'none', 'only those there are');
      assert.equal(routeTo(ns, '172.31.0.1'), ['unicast', 'eth0', '172.31.0.5'], 'what is not bound to one goes as before');
      assert.equal(routeTo(ns, '192.0.2.1').slice(1), defaultRoute ? ['weir0', '100.64.0.2'] : ['eth0', '172.31.0.5']);
      assert.equal(ns.ipJson('rule').filter((rule) => rule.priority === 9).map((rule) => [rule.src, rule.table, rule.protocol]), PINS.map((pin) => [pin, '872', '87']));
      assert.equal([...links.flatMap((link) => link.close()), ...h.close()], []);
      assert.equal(snapshot(ns), before);
      assert.not.ok(existsSync(journalPath));
    } finally {
      ns.remove();
    }
  });
}

tun('a packet from anywhere to one of the router\'s addresses is answered by the box\'s stack', () => {
  const { ns, host } = box();
  const b: Bench = bench();
  try {
    const own = hostLink(ns);
    const h = host([...others, own]);
    const link = openLink(own, h);
    b.io.attach(0, link.fd, link.kind, link.vnet);
    b.stage(0, 0, echo('203.0.113.9', '10.0.1.1', 1));
    assert.is(b.io.flush(1), 0);
    const reply = b.receiveUntil(({ frame }) => frame.length >= 28 && frame[9] === 1 && frame[20] === 0);
    assert.equal([...reply.frame.subarray(12, 20)], [10, 0, 1, 1, 203, 0, 113, 9]);
    b.io.detach(0);
    link.close();
    h.close();
  } finally {
    b.close();
    ns.remove();
  }
});

// ---- crash ---------------------------------------------------------------------------------------------------------------

const crash = suite('after a kill -9');

crash('the box is reachable at once, the next run takes over, and its end restores what was before the first', async () => {
  const { ns, journalPath } = box();
  let first: ReturnType<typeof holder> | undefined;
  let second: ReturnType<typeof holder> | undefined;
  try {
    wired(ns);
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    ns.ip('link', 'add', 'old-br', 'address', '02:00:00:00:00:99', 'type', 'bridge');
    const before = snapshot(ns);
    // No netns: these run inside the box, as the daemon does.
    const links = (mtu: number, bridge: string): OpenedLink['plan'][] => [
      plan({ index: 0, name: 'lan', type: 'tap', device: 'weir-lan', bridge, addresses: [{ address: '10.0.1.1', prefixLength: 24 }] }),
      plan({ index: 1, name: 'wan', type: 'raw', device: 'near', mtu, addresses: [{ address: '203.0.113.2', prefixLength: 24 }] }),
      innerHostLink(),
    ];
    first = holder(ns, { journalPath, links: links(1400, 'br-made') });
    await until('the first run', () => first!.lines().includes('ready'));
    assert.equal(routeTo(ns, '192.0.2.1').slice(0, 2), ['unicast', 'weir0']);
    assert.equal([device(ns, 'near')?.mtu, isUp(device(ns, 'near')), device(ns, 'br-made')?.ifalias], [1400, true, 'weir']);
    first.kill();
    await until('its death', () => first!.ended());

    await until('the devices to go', () => device(ns, 'weir0') === undefined && device(ns, 'weir-lan') === undefined);
    assert.equal(routeTo(ns, '192.0.2.1'), ['unicast', 'eth0', '172.31.0.5'], 'the box routes as before');
    assert.equal(ns.ipJson('route', 'show', 'default').map((route) => route.dev), ['eth0']);
    assert.ok(existsSync(journalPath));
    assert.is(device(ns, 'near')?.mtu, 1400, 'what is left over is left over');

    // Other values, and a bridge that is not ours: the values from before the first run must survive both.
    second = holder(ns, { journalPath, links: links(1300, 'old-br') });
    await until('the second run', () => second!.lines().includes('ready'));
    assert.equal([device(ns, 'near')?.mtu, device(ns, 'weir-lan')?.master], [1300, 'old-br']);
    assert.is(device(ns, 'br-made'), undefined, 'what the second run has no use for is undone at once');
    assert.is(ns.ipJson('rule').filter((rule) => rule.protocol === '87').length, 3, 'rules are not doubled');
    second.stop();
    await until('its end', () => second!.ended());
    assert.equal(second.lines(), ['ready', 'closed']);
    assert.equal(snapshot(ns), before);
    assert.not.ok(existsSync(journalPath));
  } finally {
    first?.kill();
    second?.kill();
    ns.remove();
  }
});

crash('pinned addresses are gone with the device, their rules lead nowhere, and the next run takes them over or takes them away', async () => {
  const { ns, journalPath } = box();
  let first: ReturnType<typeof holder> | undefined;
  let second: ReturnType<typeof holder> | undefined;
  const pinned = (): unknown[] => ns.ipJson('rule').filter((rule) => rule.priority === 9).map((rule) => rule.src);
  try {
    wired(ns);
    const before = snapshot(ns);
    first = holder(ns, { journalPath, links: [innerHostLink({ index: 0 })], pins: PINS });
    await until('the first run', () => first!.lines().includes('ready'));
    assert.equal(pinnedRoute(ns, '192.0.2.1', PINS[0]), ['weir0', PINS[0]]);
    first.kill();
    await until('its death', () => first!.ended());
    await until('the device to go', () => device(ns, 'weir0') === undefined);
    assert.equal(pinned(), PINS, 'what is left over');
    assert.is(pinnedRoute(ns, '192.0.2.1', PINS[0]), 'none');
    assert.equal(routeTo(ns, '192.0.2.1'), ['unicast', 'eth0', '172.31.0.5'], 'the box routes as before');

    second = holder(ns, { journalPath, links: [innerHostLink({ index: 0 })], pins: PINS.slice(1) });
    await until('the second run', () => second!.lines().includes('ready'));
    assert.equal(pinned(), PINS.slice(1), 'taken over, not doubled; the one it has no use for is gone');
    assert.equal(pinnedRoute(ns, '192.0.2.1', PINS[1]), ['weir0', PINS[1]]);
    second.stop();
    await until('its end', () => second!.ended());
    assert.equal(second.lines(), ['ready', 'closed']);
    assert.equal(snapshot(ns), before);
    assert.not.ok(existsSync(journalPath));
  } finally {
    first?.kill();
    second?.kill();
    ns.remove();
  }
});

crash('what someone else has changed meanwhile is left alone, what is gone counts as undone', () => {
  const { ns, host } = box();
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    ns.ip('link', 'add', 'n2', 'type', 'veth', 'peer', 'name', 'f2');
    const wan = plan({ name: 'wan', type: 'raw', device: 'near', netns: ns.name, mtu: 1400 });
    const wan2 = plan({ index: 1, name: 'wan2', type: 'raw', device: 'n2', netns: ns.name, mtu: 1400 });
    const own = hostLink(ns);
    const h = host([wan, wan2, own]);
    const links = [wan, wan2, own].map((link) => openLink(link, h));
    ns.ip('link', 'set', 'near', 'mtu', '1450');
    ns.ip('link', 'del', 'n2');
    ns.ip('rule', 'del', 'pref', '10');
    assert.equal([...links.flatMap((link) => link.close()), ...h.close()], []);
    assert.is(device(ns, 'near')?.mtu, 1450);
    assert.is(ns.ipJson('rule').filter((rule) => rule.protocol === '87').length, 0);
  } finally {
    ns.remove();
  }
});

crash('a journal that cannot be read is set aside and told; without one, bridges and rules are still known by their marks', () => {
  const { ns, host, journalPath } = box();
  try {
    const before = snapshot(ns);
    ns.ip('link', 'add', 'br-made', 'type', 'bridge');
    ns.ip('link', 'set', 'br-made', 'up', 'alias', 'weir');
    ns.ip('rule', 'add', 'pref', '10', 'table', '870', 'proto', '87');
    const lan = plan({ name: 'lan', type: 'tap', device: 'weir-lan', netns: ns.name, bridge: 'br-made' });
    const own = hostLink(ns);
    mkdirSync(dirname(journalPath), { recursive: true });
    writeFileSync(journalPath, '{"version":1,"cha');
    const h = host([lan, own]);
    assert.is(h.problems.length, 1);
    assert.ok(existsSync(`${journalPath}.unread`));
    const links = [lan, own].map((link) => openLink(link, h));
    assert.equal([...links.flatMap((link) => link.close()), ...h.close()], []);
    assert.equal(snapshot(ns), before);
  } finally {
    ns.remove();
  }
});

for (const test of [tap, raw, tun, crash]) test.run();
