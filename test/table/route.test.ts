/** The routes that follow from a plan. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AddressPlan, GroupPlan, LinkPlan, Plan, RoutePlan, UplinkPlan, VirtualServerPlan, VrrpPlan } from '../../src/base/plan.js';
import { V } from '../../src/base/verdict.js';
import { formatPrefix, planRoutes } from '../../src/table/route.js';
import type { Route } from '../../src/table/route.js';
import { parseIpv4 } from '../../src/wire/address.js';

const NONE = -1;

interface Draft { links: string[][]; routes?: RoutePlan[]; uplinks?: { link: number; snat?: string[] }[]; groups?: number[][]; virtual?: string[]; vrrp?: { link: number; addresses: string[] }[] }

/** Only what routes are made of. */
function plan({ links, routes = [], uplinks = [], groups = [], virtual = [], vrrp = [] }: Draft): Plan {
  const read = (addresses: string[]): AddressPlan[] => addresses.map((text) => ({ address: text.split('/')[0], prefixLength: Number(text.split('/')[1]) }));
  return {
    links: links.map((addresses, index) => ({ index, name: `link${index}`, addresses: read(addresses) }) as LinkPlan),
    vrrp: vrrp.map(({ link, addresses }, index) => ({ index, link, addresses: read(addresses) }) as VrrpPlan),
    routes,
    uplinks: uplinks.map(({ link, snat = [] }, index) => ({ index, name: `wan${index}`, link, snat, weight: 1 }) as unknown as UplinkPlan),
    portForwards: [], oneToOne: [], noNat: [], filters: [], algs: [], virtualServers: virtual.map((address) => ({ addresses: [address] }) as unknown as VirtualServerPlan),
    groups: groups.map((members, index) => ({ index, name: `group${index}`, uplinks: members }) as GroupPlan),
  } as unknown as Plan;
}

function routeOf(all: readonly Route[], text: string): Route | undefined { return all.find((route) => formatPrefix(route) === text); }

const summary = (route: Route | undefined): unknown[] | undefined => route && [route.kind, route.link, route.group, route.via, route.refuse];

test('an address gives its subnet, itself, and what is broadcast there', () => {
  const all = planRoutes(plan({ links: [['192.168.0.1/24']] }));
  assert.equal(all.map((route) => [formatPrefix(route), ...summary(route) as unknown[]]), [
    ['192.168.0.0/24', 'connected', 0, NONE, null, 0],
    ['192.168.0.0/32', 'broadcast', 0, NONE, null, V.BROADCAST],
    ['192.168.0.255/32', 'broadcast', 0, NONE, null, V.BROADCAST],
    ['192.168.0.1/32', 'local', 0, NONE, null, 0],
  ]);
});

test('an address of a virtual router is the router’s own, and so is its network if no link has it: who has it at the moment the FIB is told by the election', () => {
  const all = planRoutes(plan({ links: [['192.168.0.1/24']], vrrp: [{ link: 0, addresses: ['192.168.0.254/24', '10.7.0.1/16'] }] }));
  for (const address of ['192.168.0.254/32', '10.7.0.1/32']) assert.equal(summary(routeOf(all, address)), ['local', 0, NONE, null, 0], address);
  assert.equal(summary(routeOf(all, '10.7.0.0/16')), ['connected', 0, NONE, null, 0]);
  assert.equal(summary(routeOf(all, '10.7.255.255/32')), ['broadcast', 0, NONE, null, V.BROADCAST]);
});

test('a /31 and a /32 have no broadcast address (RFC 3021)', () => {
  const all = planRoutes(plan({ links: [['10.0.0.0/31'], ['10.0.1.5/32'], ['10.0.2.1/30']] }));
  assert.equal(all.filter((route) => route.kind === 'broadcast').map(formatPrefix), ['10.0.2.0/32', '10.0.2.3/32']);
  assert.equal(summary(routeOf(all, '10.0.0.0/31')), ['connected', 0, NONE, null, 0]);
  assert.equal(summary(routeOf(all, '10.0.0.0/32')), ['local', 0, NONE, null, 0]);
  assert.equal(summary(routeOf(all, '10.0.1.5/32')), ['local', 1, NONE, null, 0]);
});

test('of equal prefixes our own address counts over a broadcast, that over a subnet, that over what was configured', () => {
  const all = planRoutes(plan({
    links: [['10.0.0.1/24'], ['10.0.0.255/25']],
    routes: [{ name: 'static', to: '10.0.0.0/24', refuse: 'blackhole' }, { name: 'host', to: '10.0.0.1/32', refuse: 'blackhole' }, { name: 'broadcast', to: '10.0.0.0/32', link: 1 }],
  }));
  assert.equal(new Set(all.map(formatPrefix)).size, all.length, 'each prefix once');
  assert.is(routeOf(all, '10.0.0.0/24')?.kind, 'connected');
  assert.is(routeOf(all, '10.0.0.1/32')?.kind, 'local');
  assert.is(routeOf(all, '10.0.0.0/32')?.kind, 'broadcast');
  assert.equal(summary(routeOf(all, '10.0.0.255/32')), ['local', 1, NONE, null, 0]);
});

test('what a configured route leads to: a gateway, a link, a group, a refusal', () => {
  const all = planRoutes(plan({
    links: [['192.168.0.1/24'], ['10.0.0.1/30']], uplinks: [{ link: 1 }], groups: [[0]],
    routes: [
      { name: 'gateway', to: '172.16.0.0/12', via: '10.0.0.2' }, { name: 'far', to: '172.31.0.0/16', via: '203.0.113.1', link: 1 },
      { name: 'link', to: '198.51.100.0/24', link: 0 }, { name: 'default', to: '0.0.0.0/0', group: 0 },
      { name: 'u', to: '10.1.0.0/16', refuse: 'unreachable' }, { name: 'p', to: '10.2.0.0/16', refuse: 'prohibit' }, { name: 'b', to: '10.3.0.0/16', refuse: 'blackhole' },
    ],
  }));
  assert.equal(['172.16.0.0/12', '172.31.0.0/16', '198.51.100.0/24', '0.0.0.0/0', '10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'].map((text) => summary(routeOf(all, text))), [
    ['static', 1, NONE, parseIpv4('10.0.0.2'), 0], ['static', 1, NONE, parseIpv4('203.0.113.1'), 0], ['static', 0, NONE, null, 0], ['static', NONE, 0, null, 0],
    ['static', NONE, NONE, null, V.ROUTE_UNREACHABLE], ['static', NONE, NONE, null, V.ROUTE_PROHIBIT], ['static', NONE, NONE, null, V.ROUTE_BLACKHOLE],
  ]);
  assert.is(routeOf(all, '0.0.0.0/0')?.name, 'default');
});

test('translation addresses that are on no link are ours all the same', () => {
  const all = planRoutes(plan({ links: [['10.0.0.1/24'], ['203.0.113.2/24']], uplinks: [{ link: 1, snat: ['203.0.113.2', '203.0.113.7', '198.51.100.9'] }] }));
  assert.equal(['203.0.113.2/32', '203.0.113.7/32', '198.51.100.9/32'].map((text) => summary(routeOf(all, text))),
    [['local', 1, NONE, null, 0], ['local', 1, NONE, null, 0], ['local', 1, NONE, null, 0]]);
  assert.is(routeOf(all, '198.51.100.0/24'), undefined);
});

test('a subnet that two uplinks share is reached by their group; one that a third link shares is not', () => {
  const links = [['192.168.0.1/24'], ['192.168.201.11/24'], ['192.168.201.13/24']];
  const uplinks = [{ link: 1 }, { link: 2 }];
  const shared = planRoutes(plan({ links, uplinks, groups: [[0], [0, 1]] }));
  assert.equal(summary(routeOf(shared, '192.168.201.0/24')), ['connected', NONE, 1, null, 0]);
  assert.equal(summary(routeOf(shared, '192.168.0.0/24')), ['connected', 0, NONE, null, 0]);
  assert.equal(['192.168.201.11/32', '192.168.201.13/32'].map((text) => routeOf(shared, text)?.link), [1, 2]);
  const apart = planRoutes(plan({ links: [['192.168.0.1/24'], ['192.168.201.11/24'], ['192.168.202.13/24']], uplinks, groups: [[0, 1]] }));
  assert.equal(['192.168.201.0/24', '192.168.202.0/24'].map((text) => routeOf(apart, text)?.link), [1, 2], 'not shared');
  const third = planRoutes(plan({ links: [...links, ['192.168.201.99/24']], uplinks, groups: [[0, 1]] }));
  assert.is(routeOf(third, '192.168.201.0/24')?.group, NONE);
});

test('a virtual address is the router’s own: on the link whose network has it, or on none', () => {
  const all = planRoutes(plan({ links: [['10.0.0.1/8'], ['192.0.2.1/24']], virtual: ['192.0.2.80', '203.0.113.9', '10.0.0.1'] }));
  assert.equal(summary(routeOf(all, '192.0.2.80/32')), ['local', 1, NONE, null, 0]);
  assert.equal(summary(routeOf(all, '203.0.113.9/32')), ['local', NONE, NONE, null, 0]);
  assert.equal(summary(routeOf(all, '10.0.0.1/32')), ['local', 0, NONE, null, 0]);
});

test.run();
