/** What the control plane shows of flows and filters, over the memory of a router that has really moved the packets. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LinkPlan } from '../../src/base/plan.js';
import type { AffinityPage, AffinityStatus, FlowStatus, HealthStatus } from '../../src/control/api/types.js';
import { Rates } from '../../src/control/rate.js';
import { View } from '../../src/control/view.js';
import type { OpenedLink } from '../../src/link/link.js';
import { CLAIM, CLAIM_ASKING, CLAIM_NONE, CLAIM_REFUSED, type Counters, countersBytes, countersShape, NOW_MS } from '../../src/table/counters.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';
import { Call, servers } from '../support/servers.js';

const CLIENT = '198.51.100.77';
const EXTERNAL = '192.168.201.50';

const view = (r: Rig): View => new View({ plan: r.router.plan, links: r.router.plan.links.map(opened), memory: r.memory, kernelDrops: () => 0, nowMs: () => 0 });
const opened = (plan: LinkPlan): OpenedLink => ({
  plan, fd: -1, kind: 0, vnet: true, device: plan.device, ifindex: 1, mac: null, mtu: 1500, offloads: 0, refused: [], hear: () => [], close: () => [],
});
const only = (r: Rig): FlowStatus => {
  const { flows } = view(r).flows({}, 0, 100);
  assert.is(flows.length, 1);
  return flows[0];
};
/** Words of a flow as `weir flows` would put them. */
const way = ({ inLink, outLink, uplink }: FlowStatus): (string | null)[] => [inLink, outLink, uplink];
const udp = (source: string, destination: string, sourcePort: number, destinationPort: number): Buffer =>
  make.ipv4({ source, destination }, make.udp({ sourcePort, destinationPort }));

const forwards: RigOptions = { weights: [1, 0], plan: {
  portForwards: [{ index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [17], ports: { first: 80, last: 80 }, to: PC1, toPort: 8080 }],
  oneToOne: [{ index: 0, name: 'pc2', uplink: 0, external: EXTERNAL, internal: PC2 }],
} };

test('routes: the addresses of a virtual router are local while it is master, and as the network goes otherwise', () => {
  const r = rig({ weights: [1, 0], snat: [], up: false, plan: { vrrp: [{
    index: 0, name: 'inside', link: 0, id: 7, version: 3, priority: 100, addresses: [{ address: '192.168.0.254', prefixLength: 24 }], advertIntervalMs: 100, preempt: true, preemptDelayMs: 0, peers: [],
    checksum: 'plain', virtualMac: true, accept: true, track: [], announcements: { count: 0, againMs: 0, refreshMs: 0 },
  }] } });
  const local = (): string[] => view(r).routes().filter(({ kind, link }) => kind === 'local' && link === 'lan').map(({ to }) => to);
  const own = ['192.168.0.1/32'];
  r.setUp('lan', true);
  assert.equal(local(), own, 'backup');
  assert.ok(view(r).routes().some(({ kind, to }) => kind === 'connected' && to === '192.168.0.0/24'));
  r.advance(1000, 10);
  assert.equal(local(), [...own, '192.168.0.254/32'], 'master');
  r.router.election?.setDrained(true);
  r.advance(1000, 10);
  assert.equal(local(), own, 'drained');
});

test('what tables count for themselves is told: TCP windows, SYNs that wait, ALGs, ports refused and shared', () => {
  const r = rig({
    weights: [1, 0], limits: { flows: 8, snatPortFirst: 40_000, snatPortLast: 40_000 }, uplink: { whenExhausted: 'refuse' },
    plan: { algs: [{ name: 'ftp', ports: [21] }] },
  });
  const syn = (sourcePort: number, destinationPort: number): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort, destinationPort, flags: 'S' }));
  r.from('lan', syn(40_000, 21));
  r.from('lan', syn(40_001, 80));
  r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 9, destinationPort: 9, flags: 'S' })));
  const v = view(r);
  r.advance(1000);
  const status = v.status();
  assert.equal(status.tcp, { windowsUsed: 1, windowsLimit: 4, windowsRefused: 0, strangeSegments: 0, windowsRelearned: 0 });
  assert.equal(status.heldSyns, { count: 1, limit: r.router.plan.limits.heldSyns, taken: 1, refused: 0 });
  assert.equal(status.algs, [{ name: 'ftp', watched: 1, unwatched: 0, announced: 0, edited: 0, foreign: 0, refused: 0, unasked: 0, unreadable: 0 }]);
  assert.equal([status.uplinks[0].portsRefused, status.uplinks[0].portsShared], [1, 0]);
  assert.ok(status.problems.some(({ subject, message }) => subject === 'uplink one' && message === 'new flows refused for want of an external port: 1'));
  r.advance(7000, 1000);
  assert.is(v.status().heldSyns.count, 0, 'told why after its time');
  const sharing = rig({ weights: [1, 0], limits: { snatPortFirst: 40_000, snatPortLast: 40_000 }, uplink: { whenExhausted: 'share' } });
  for (const [port, to] of [[40_000, SERVER], [40_001, CLIENT]] as const) sharing.from('lan', udp(PC1, to, port, 53));
  assert.is(view(sharing).uplinks()[0].portsShared, 1);
});

test('a link that waits for its addresses is down, and so is its uplink, and both say why', () => {
  const r = rig();
  const v = view(r);
  v.setLink(1, true, null);
  for (const [claim, reason] of [[CLAIM_ASKING, 'asks whether its addresses are free'], [CLAIM_REFUSED, 'another station has one of its addresses']] as const) {
    r.router.counters.setLink(1, CLAIM, claim);
    assert.equal([v.links()[1].state, v.links()[1].reason], ['down', reason]);
    assert.ok(v.status().problems.some(({ subject, message }) => subject === 'link wan1' && message === reason));
  }
  r.router.counters.setLink(1, CLAIM, CLAIM_NONE);
  assert.equal([v.links()[1].state, v.links()[1].reason], ['up', null]);
});

test('a flow from inside: out by its uplink', () => {
  const r = rig(forwards);
  r.from('lan', udp(PC1, SERVER, 5000, 53));
  const flow = only(r);
  assert.equal(way(flow), ['lan', 'wan1', 'one']);
  assert.equal(flow.reply, { source: SERVER, sourcePort: 53, destination: WAN1, destinationPort: 5000 });
});

test('a forwarded flow: in by its uplink, out where the server is', () => {
  const r = rig(forwards);
  r.from('wan1', udp(CLIENT, WAN1, 5000, 80));
  const flow = only(r);
  assert.equal(way(flow), ['wan1', 'lan', 'one']);
  assert.equal(flow.original, { source: CLIENT, sourcePort: 5000, destination: WAN1, destinationPort: 80 });
  assert.equal(flow.reply, { source: PC1, sourcePort: 8080, destination: CLIENT, destinationPort: 5000 });
  assert.equal(view(r).flows({ uplink: 'one' }, 0, 9).flows.length, 1);
  assert.equal(view(r).flows({ link: 'lan' }, 0, 9).flows.length, 1);
  assert.equal(view(r).flows({ link: 'wan2' }, 0, 9).flows.length, 0);
});

test('1:1, in both directions', () => {
  const inward = rig(forwards);
  inward.from('wan1', udp(CLIENT, EXTERNAL, 5000, 22));
  assert.equal(way(only(inward)), ['wan1', 'lan', 'one']);
  assert.is(only(inward).reply.source, PC2);
  const outward = rig(forwards);
  outward.from('lan', udp(PC2, SERVER, 22, 5000));
  assert.equal(way(only(outward)), ['lan', 'wan1', 'one']);
  assert.equal(only(outward).reply, { source: SERVER, sourcePort: 5000, destination: EXTERNAL, destinationPort: 22 });
});

test('hairpin: in and out inside, with the uplink whose address it bears', () => {
  const r = rig(forwards);
  r.from('lan', udp(PC2, WAN1, 5000, 80));
  assert.equal(way(only(r)), ['lan', 'lan', 'one']);
  assert.is(only(r).reply.destination, EXTERNAL);
});

test('a flow between inside links, and one to the box', () => {
  const r = rig({ dmz: true });
  r.from('lan', udp(PC1, '10.9.0.9', 5000, 53));
  assert.equal(way(only(r)), ['lan', 'dmz', null]);
});

test('filters: their words, in their order, and what they decided', () => {
  const r = rig({ weights: [1, 0], plan: { filters: [
    { index: 0, name: 'mail', match: { in: [0], out: [1, 2], from: ['192.168.0.0/24'], protocols: [6, 17, 47], destinationPorts: [{ first: 25, last: 25 }, { first: 465, last: 587 }] }, action: 'reject' },
    { index: 1, name: 'fast', match: {}, states: ['established', 'related'], action: 'drop', over: { perSecond: 5, burst: 9, by: 'rule' } },
  ] } });
  r.from('lan', udp(PC1, SERVER, 5000, 500));
  r.from('lan', udp(PC1, SERVER, 5000, 53));
  assert.equal(view(r).filters(), [
    { name: 'mail', action: 'reject', states: ['new'], in: ['lan'], out: ['wan1', 'wan2'], from: ['192.168.0.0/24'], to: null, protocols: ['tcp', 'udp', '47'],
      sourcePorts: null, destinationPorts: ['25', '465-587'], over: null, packets: 1, bytes: 44 },
    { name: 'fast', action: 'drop', states: ['established', 'related'], in: null, out: null, from: null, to: null, protocols: null, sourcePorts: null, destinationPorts: null,
      over: { perSecond: 5, burst: 9, by: 'rule' }, packets: 0, bytes: 0 },
  ]);
});

test('sources forgotten too early are a problem a person is told of', () => {
  const r = rig({ weights: [1, 0], limits: { flows: 65_536 }, plan: { filters: [{ index: 0, name: 'slow', match: { from: ['192.168.0.0/16'] }, action: 'drop', over: { perSecond: 1, burst: 2, by: 'source' } }] },
    link: { lan: { sourceCheck: 'off' } } });
  const problem = (): boolean => view(r).status().problems.some(({ subject }) => subject === 'filters');
  for (let i = 0; i < 200; i++) r.put('lan', r.frame('lan', udp(`192.168.${i & 127}.${9 + i}`, SERVER, 5000, 53)));
  r.run();
  assert.not.ok(problem());
  for (let i = 0; i < 40_000; i++) {
    r.put('lan', r.frame('lan', udp(`192.168.${i & 127}.${10 + (i >> 7) % 240}`, SERVER, 6000 + i, 53)));
    if (i % 256 === 255) r.run();
  }
  r.run();
  assert.ok(problem());
});

const HEALTHY: HealthStatus = { isUp: true, sinceMs: 1, reason: null, lossRatio: 0, latencyMs: 5, jitterMs: 1, suppressedUntilMs: null, targets: [] };
/** A view whose links are up, as those of the rig are. */
const upView = (r: Rig): View => {
  const seen = view(r);
  r.router.plan.links.forEach((_, i) => seen.setLink(i, true, null));
  return seen;
};
/** Name, state and reason of each uplink. */
const states = (seen: View): (string | null)[][] => seen.uplinks().map(({ name, state, reason }, i) => {
  assert.is(seen.uplinkReason(i), reason);
  return [name, state, reason];
});
const problems = (seen: View): string[] => seen.status().problems.map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`);

test('an uplink: what it is and why, from its link, its gateway, its check and the operator', () => {
  const r = rig();
  const seen = upView(r);
  assert.equal(states(seen), [['one', 'up', null], ['two', 'up', null]]);
  assert.equal(seen.uplinks().map((row) => [row.health, row.isDrained, row.tiers, row.wantedShare]), [
    [null, false, [{ group: 'internet', tier: 1 }], 0.75], [null, false, [{ group: 'internet', tier: 1 }], 0.25],
  ]);
  assert.is(seen.status().state, 'up');

  seen.setDrained(0, true);
  r.router.setUplinkDrained(0, true);
  assert.equal(states(seen), [['one', 'drained', 'drained by hand'], ['two', 'up', null]]);
  assert.equal(problems(seen), ['warning uplink one: drained by hand: takes no new flows until weir undrain']);
  assert.is(seen.status().state, 'up', 'what was asked for is no trouble');
  assert.equal(seen.uplinks().map((row) => row.wantedShare), [0, 1]);

  // Taken back, it is up before the data plane has said so, and what that then says counts.
  seen.setDrained(0, false);
  assert.equal(states(seen)[0], ['one', 'up', null]);
  seen.setUplink(0, null);
  assert.equal(states(seen)[0], ['one', 'down', 'waits for its gateway to answer']);
  seen.setDrained(0, true);

  // What is drained may be broken, too.
  seen.setHealth(0, { ...HEALTHY, isUp: false, reason: 'timed out', targets: [{ target: 'icmp 192.0.2.1', isOk: false, reason: 'timed out', latencyMs: null }] });
  r.router.setUplinkHealth(0, false);
  assert.equal(states(seen)[0], ['one', 'down', 'timed out']);
  seen.setUplink(0, 'gateway 192.168.200.1 does not answer');
  assert.equal(states(seen)[0], ['one', 'down', 'gateway 192.168.200.1 does not answer']);
  seen.setLink(1, false, 'no carrier');
  assert.equal(states(seen)[0], ['one', 'down', 'no carrier']);
  assert.equal(problems(seen), ['error uplink one: no carrier', 'error link wan1: no carrier']);
  assert.is(seen.status().state, 'degraded');
});

test('a list of uplinks looks at each a few times, however many share a group; one reason at none but its own', () => {
  const r = rig();
  const looks = (count: number): [list: number, reason: number] => {
    const uplinks = Array.from({ length: count }, (_, index) => ({ ...r.router.plan.uplinks[0], index, name: `u${index}` }));
    const all = uplinks.map(({ index }) => index);
    const groups = [{ ...r.router.plan.groups[0], uplinks: all, tiers: all.map((i) => 1 + i % 3) }];
    const plan = { ...r.router.plan, uplinks, groups };
    const counters = new SharedArrayBuffer(countersBytes(countersShape(plan)));
    const seen = new View({ plan, links: plan.links.map(opened), memory: { ...r.memory, counters }, kernelDrops: () => 0, nowMs: () => 0 });
    let looked = 0;
    const inner = (seen as unknown as { counters: Counters }).counters;
    const look = inner.uplink.bind(inner);
    inner.uplink = (...of) => { looked++; return look(...of); };
    assert.equal([...new Set(seen.uplinks().map(({ tiers }) => tiers[0].tier))], [1, 2, 3]);
    const list = looked;
    looked = 0;
    assert.type(seen.uplinkReason(count - 1), 'string');
    return [list, looked];
  };
  const [few, many] = [looks(30), looks(300)];
  assert.is(many[0], 10 * few[0], 'in proportion to their number');
  assert.equal([few[1], many[1]], [1, 1]);
});

test('an uplink of weight 0 is drained; a group without any that takes flows is the first trouble', () => {
  const r = rig();
  const seen = upView(r);
  const before = seen.uplinks()[1].sinceMs;
  seen.setWeight(1, 4);
  r.router.setUplinkWeight(1, 4);
  assert.equal(seen.uplinks().map((row) => row.weight), [3, 4]);
  assert.equal(seen.uplinks().map((row) => row.wantedShare), [3 / 7, 4 / 7]);
  assert.is(seen.uplinks()[1].sinceMs, before, 'still the same state');
  for (const uplink of [0, 1]) {
    seen.setWeight(uplink, 0);
    r.router.setUplinkWeight(uplink, 0);
  }
  assert.equal(states(seen), [['one', 'drained', 'its weight is 0'], ['two', 'drained', 'its weight is 0']]);
  assert.equal(problems(seen), ['error group internet: no uplink takes new flows']);
  assert.equal(seen.uplinks().map((row) => row.wantedShare), [0, 0]);
});

test('the share wanted is that of the lowest tier that takes flows', () => {
  const r = rig({ group: { tiers: [1, 2] } });
  const seen = upView(r);
  const wanted = (): number[] => seen.uplinks().map((row) => row.wantedShare);
  assert.equal(wanted(), [1, 0]);
  seen.setHealth(0, { ...HEALTHY, isUp: false, reason: '3 of 3 targets fail' });
  r.router.setUplinkHealth(0, false);
  assert.equal(wanted(), [0, 1]);
  assert.equal(seen.uplinks()[1].tiers, [{ group: 'internet', tier: 2 }]);
});

test('a target that fails while the uplink is up is told as a warning', () => {
  const r = rig();
  const seen = upView(r);
  seen.setHealth(1, { ...HEALTHY, targets: [{ target: 'icmp 192.0.2.1', isOk: true, reason: null, latencyMs: 4 }, { target: 'dns 192.0.2.2', isOk: false, reason: 'REFUSED', latencyMs: 9 }, { target: 'arp gateway', isOk: null, reason: null, latencyMs: null }] });
  assert.equal(problems(seen), ['warning uplink two: dns 192.0.2.2 fails: REFUSED']);
  assert.is(seen.status().state, 'up');
  assert.is(seen.uplinks()[1].health!.targets.length, 3);
});

test('rates are those of the last samples', () => {
  let nowMs = 0;
  const bytes: [number, number] = [1000, 0];
  const rates = new Rates(1, () => [...bytes], () => nowMs);
  assert.equal(rates.perSecond(0), [0, 0]);
  rates.sample();
  assert.equal(rates.perSecond(0), [0, 0], 'one sample is no rate');
  const second = (tx: number, rx: number): void => {
    nowMs += 1000;
    bytes[0] += tx;
    bytes[1] += rx;
    rates.sample();
  };
  second(125, 1000);
  assert.equal(rates.perSecond(0), [125, 1000]);
  second(375, 0);
  assert.equal(rates.perSecond(0), [250, 500]);
  for (let i = 0; i < 5; i++) second(0, 125);
  assert.equal(rates.perSecond(0), [0, 125], 'what is long past is forgotten');
});

test('rates in the view: of the bytes the uplink has carried', () => {
  const r = rig({ weights: [1, 0] });
  let nowMs = 0;
  const seen = new View({ plan: r.router.plan, links: r.router.plan.links.map(opened), memory: r.memory, kernelDrops: () => 0, nowMs: () => nowMs });
  seen.sampleRates();
  for (let i = 0; i < 10; i++) r.from('lan', udp(PC1, SERVER, 5000, 53));
  nowMs = 2000;
  seen.sampleRates();
  const [one, two] = seen.uplinks();
  assert.equal([one.txBps, one.rxBps, two.txBps], [one.txBytes * 4, 0, 0]);
  assert.ok(one.txBps > 0);
});

test('affinity: whose it is, of whom, to where and how long yet', () => {
  const r = rig({
    weights: [1, 1], group: { affinity: { by: 'source', timeout: 60 } },
    plan: { policies: [{ index: 0, name: 'banks', match: { to: ['198.51.100.0/28'] }, group: 0, exclude: false, affinity: { by: 'source-destination', timeout: 3600 } }] },
  });
  const seen = view(r);
  assert.equal(seen.affinity({}, 0), { schemaVersion: 1, affinity: [], nextCursor: null, limit: 64, evicted: 0 });
  r.from('lan', udp(PC1, SERVER, 5000, 443));
  r.from('lan', udp(PC1, '198.51.100.200', 5000, 443));
  r.from('lan', udp(PC2, '198.51.100.200', 5000, 443));
  r.advance(1000);
  r.router.counters.setRouter(NOW_MS, r.router.nowMs);
  const { affinity } = seen.affinity({}, 0);
  const by = (source: string, policy: string | null): AffinityStatus => affinity.find((row) => row.source === source && row.policy === policy)!;
  assert.is(affinity.length, 3);
  const [banks, usual] = ['198.51.100.7', '198.51.100.200'].map((to) => seen.flows({ address: to }, 0, 1).flows[0].uplink!);
  assert.equal(by(PC1, 'banks'), { group: 'internet', policy: 'banks', source: PC1, destination: SERVER, uplink: banks, expiresInMs: 3_599_000 });
  assert.equal(by(PC1, null), { group: 'internet', policy: null, source: PC1, destination: null, uplink: usual, expiresInMs: 59_000 });
  assert.is(seen.affinity({ address: PC1 }, 0).affinity.length, 2);
  assert.equal(seen.affinity({ address: SERVER }, 0).affinity, [by(PC1, 'banks')]);
  assert.equal(seen.affinity({ uplink: banks }, 0).affinity, affinity.filter((row) => row.uplink === banks));
  assert.equal(seen.affinity({}, 64).affinity, []);
  assert.is(seen.affinity({}, 4711).nextCursor, null);
});

test('persistence: whom, to which server, for which virtual servers, and how long yet', () => {
  const persistence = { timeout: 60, mask: 24, tie: 'shop' };
  const r = rig({ plan: servers(
    { addresses: WAN1, persistence, realServers: [{ address: PC1 }] }, { addresses: WAN1, persistence, ports: { first: 81, last: 81 }, realServers: [{ address: PC1 }] },
    { addresses: WAN1, persistence: { timeout: 60, mask: 32 }, ports: { first: 82, last: 82 }, realServers: [{ address: PC2 }] }) });
  const seen = view(r);
  assert.equal(seen.persistence({}, 0), { schemaVersion: 1, persistence: [], nextCursor: null, limit: 64, evicted: 0, refused: 0 });
  new Call(r, { to: WAN1, client: CLIENT, port: 5000 }).open();
  const second = new Call(r, { to: WAN1, client: CLIENT, port: 5001, toPort: 82 });
  second.open();
  const shop = { client: '198.51.100.0/24', virtualServers: ['vs1', 'vs2'], server: 'vs1/rs1', flows: 1, expiresInMs: null };
  const other = { client: `${CLIENT}/32`, virtualServers: ['vs3'], server: 'vs3/rs1', flows: 1, expiresInMs: null };
  assert.equal(seen.persistence({}, 0).persistence, [shop, other]);
  assert.equal(seen.persistence({ address: '198.51.100.1' }, 0).persistence, [shop]);
  assert.equal(seen.persistence({ server: 'vs3' }, 0).persistence, [other]);
  assert.equal(seen.persistence({ server: 'vs1/rs1' }, 0).persistence, [shop]);
  assert.equal(seen.persistence({}, 64).persistence, []);
  // Without a flow it lasts for its timeout.
  second.close();
  for (let left = 130; left > 0; left -= 10) {
    r.advance(10_000, 5000);
    r.teach();
  }
  const idle = seen.persistence({ server: 'vs3/rs1' }, 0).persistence[0];
  assert.equal([idle.flows, idle.expiresInMs! > 0 && idle.expiresInMs! <= 60_000], [0, true]);
  // Where nobody remembers anything nothing is listed.
  assert.equal(view(rig()).persistence({}, 0), { schemaVersion: 1, persistence: [], nextCursor: null, limit: 0, evicted: 0, refused: 0 });
});

test('affinity of a large table comes in parts, each entry once', () => {
  const r = rig({ weights: [1, 1], limits: { affinity: 25_000, flows: 16_384 }, group: { affinity: { by: 'source', timeout: 60 } }, link: { lan: { sourceCheck: 'off' } } });
  for (let i = 0; i < 12_000; i++) {
    r.put('lan', r.frame('lan', udp(`10.1.${i >> 8}.${i & 255}`, SERVER, 5000, 443)));
    if (i % 256 === 255) r.run();
  }
  r.run();
  r.router.counters.setRouter(NOW_MS, r.router.nowMs);
  const seen = view(r);
  const sources = new Set<string | null>();
  const pages: number[] = [];
  for (let cursor: number | null = 0; cursor !== null;) {
    const page: AffinityPage = seen.affinity({}, cursor);
    for (const { source } of page.affinity) sources.add(source);
    pages.push(page.affinity.length);
    cursor = page.nextCursor;
  }
  assert.equal([pages, sources.size], [[10_000, 2000, 0], 12_000]);
});

test.run();
