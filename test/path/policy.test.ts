/** Policies: which group a new flow is for, in order, by every field; what they are not asked about; exclude and prefer. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupPlan, MatchPlan, PolicyPlan } from '../../src/base/plan.js';
import { GENERATION } from '../../src/table/flow.js';
import { echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions } from '../support/rig.js';
import { check } from '../support/oracle/property.js';

const TCP = make.PROTOCOL.tcp, UDP = make.PROTOCOL.udp;
const LAN_LINK = 0, DMZ_LINK = 3;
/** Groups: both uplinks (what the default route names), the first, the second. */
const BOTH = 0, FIRST = 1, SECOND = 2;

const group = (index: number, uplinks: number[], fields: Partial<GroupPlan> = {}): GroupPlan => ({
  index, name: `g${index}`, uplinks, tiers: uplinks.map(() => 1), balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 60, lastResort: 'unreachable', ...fields,
});

const policy = (index: number, match: MatchPlan, fields: Partial<PolicyPlan>): PolicyPlan => ({ index, name: `p${index}`, match, exclude: false, ...fields });

/** A router whose default route leads out by the first uplink alone (weight 1:0), so that only a policy leads to the second. */
function routed(policies: PolicyPlan[], options: RigOptions = {}): Rig {
  const { plan, ...rest } = options;
  return rig({ dmz: true, routes: [{ name: 'default', to: '0.0.0.0/0', group: FIRST }], weights: [1, 1], ...rest, plan: { groups: [group(BOTH, [0, 1]), group(FIRST, [0]), group(SECOND, [1])], policies, ...plan } });
}

const udpTo = (destination: string, port: number, source = PC1, from = 4000): Buffer =>
  make.ipv4({ source, destination }, make.udp({ sourcePort: from, destinationPort: port }));
const tcpTo = (destination: string, port: number, source = PC1, from = 4000): Buffer =>
  make.ipv4({ source, destination }, make.tcp({ sourcePort: from, destinationPort: port }));

/** Link a new flow leaves by. */
function out(r: Rig, packet: Buffer, link: LinkName = 'lan'): LinkName {
  const [sent] = r.from(link, packet);
  return sent.link;
}

test('without policies, and where none fits, the routes decide', () => {
  assert.is(out(routed([]), tcpTo(SERVER, 80)), 'wan1');
  assert.is(out(routed([policy(0, { from: ['10.0.0.0/8'] }, { group: SECOND })]), tcpTo(SERVER, 80)), 'wan1');
});

for (const [field, match, fits, other] of [
  ['source', { from: [`${PC2}/32`] }, tcpTo(SERVER, 80, PC2), tcpTo(SERVER, 80, PC1)],
  ['destination', { to: ['198.51.100.0/25'] }, tcpTo('198.51.100.127', 80), tcpTo('198.51.100.128', 80)],
  ['protocol', { protocols: [UDP] }, udpTo(SERVER, 80), tcpTo(SERVER, 80)],
  ['destination port', { protocols: [TCP], destinationPorts: [{ first: 443, last: 444 }] }, tcpTo(SERVER, 444), tcpTo(SERVER, 445)],
  ['source port', { sourcePorts: [{ first: 4000, last: 4000 }] }, udpTo(SERVER, 80), udpTo(SERVER, 80, PC1, 4001)],
] as const satisfies readonly (readonly [string, MatchPlan, Buffer, Buffer])[]) {
  test(`by ${field}: what fits goes to the policy’s group with that uplink’s address, what does not goes by the routes`, () => {
    const r = routed([policy(0, match, { group: SECOND })]);
    const [sent] = r.from('lan', fits);
    assert.is(sent.link, 'wan2');
    expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2 }), fits[9] === TCP ? tcp() : udp());
    assert.is(out(r, other), 'wan1');
  });
}

test('by the link it comes in on, the box’s among them', () => {
  const r = routed([policy(0, { in: [DMZ_LINK, 4] }, { group: SECOND })], { host: true });
  assert.is(out(r, tcpTo(SERVER, 80, DMZ_HOST), 'dmz'), 'wan2');
  assert.is(out(r, tcpTo(SERVER, 80, BOX), 'host'), 'wan2');
  assert.is(out(r, tcpTo(SERVER, 80)), 'wan1');
});

test('the first that fits decides, and none after it is asked', () => {
  const r = routed([
    policy(0, { from: [`${PC1}/32`], destinationPorts: [{ first: 22, last: 22 }] }, { group: FIRST }),
    policy(1, { from: [`${PC1}/32`] }, { group: SECOND }),
    policy(2, {}, { group: FIRST }),
  ]);
  assert.equal([out(r, tcpTo(SERVER, 22)), out(r, tcpTo(SERVER, 23)), out(r, tcpTo(SERVER, 23, PC2))], ['wan1', 'wan2', 'wan1']);
});

test('exclude: the routes decide as if there were no policies', () => {
  const routes = [{ name: 'default', to: '0.0.0.0/0', group: FIRST }, { name: 'vpn', to: '172.16.0.0/12', via: DMZ_HOST, link: DMZ_LINK }];
  const r = routed([policy(0, { to: ['172.16.0.0/12'] }, { exclude: true }), policy(1, { from: [`${PC2}/32`] }, { exclude: true }), policy(2, {}, { group: SECOND })], { routes });
  assert.is(out(r, tcpTo('172.16.3.4', 80)), 'dmz');
  assert.is(out(r, tcpTo(SERVER, 80, PC2)), 'wan1');
  assert.is(out(r, tcpTo(SERVER, 80)), 'wan2');
  const without = routed([policy(0, {}, { group: SECOND })], { routes });
  assert.is(out(without, tcpTo('172.16.3.4', 80)), 'wan2', 'a route to a network further on gives way to a policy');
});

test('a policy leads out where the routes know no way, and where they refuse; what it does not fit is refused as ever', () => {
  const r = routed([policy(0, { from: [`${PC2}/32`] }, { group: SECOND })], { routes: [{ name: 'none', to: '10.20.0.0/16', refuse: 'prohibit' }] });
  assert.is(out(r, tcpTo(SERVER, 80, PC2)), 'wan2');
  assert.is(out(r, tcpTo('10.20.1.1', 80, PC2)), 'wan2');
  r.refused('NO_ROUTE', 'lan', tcpTo(SERVER, 80));
  r.refused('ROUTE_PROHIBIT', 'lan', tcpTo('10.20.1.1', 80));
});

const EVERYTHING = [policy(0, {}, { group: SECOND })];

test('connected networks, the router’s own addresses and broadcasts bypass a policy about everything', () => {
  const r = routed(EVERYTHING, { host: true });
  assert.is(out(r, tcpTo(DMZ_HOST, 80)), 'dmz');
  assert.is(out(r, tcpTo(PC1, 80, DMZ_HOST), 'dmz'), 'lan');
  const [pong] = r.from('lan', make.ipv4({ source: PC1, destination: LAN }, make.echoRequest({ id: 5 })));
  expect(pong.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), echo({ type: 'reply', id: 5 }));
  assert.is(out(r, tcpTo(LAN, 22)), 'host');
  assert.is(out(r, tcpTo(PC1, 80, BOX), 'host'), 'lan');
  r.refused('BROADCAST', 'lan', udpTo('10.9.0.255', 80));
  assert.is(out(r, tcpTo(SERVER, 80)), 'wan2');
});

test('the uplinks’ own networks bypass them too: the modem is reached on its own link', () => {
  const r = routed(EVERYTHING, { separate: true });
  assert.is(out(r, tcpTo('192.168.201.1', 80)), 'wan1');
  assert.is(out(r, tcpTo('203.0.113.1', 80)), 'wan2');
});

test('what a port forward has sent inside stays inside, also behind another router there', () => {
  const r = routed(EVERYTHING, {
    routes: [{ name: 'default', to: '0.0.0.0/0', group: FIRST }, { name: 'inner', to: '10.50.0.0/16', via: DMZ_HOST, link: DMZ_LINK }],
    plan: { portForwards: [{ index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [TCP], ports: { first: 80, last: 80 }, to: '10.50.0.8', toPort: 80 }] },
  });
  const [there] = r.from('wan1', tcpTo(WAN1, 80, SERVER));
  assert.is(there.link, 'dmz');
  expect(there.frame, ethernet({ destination: MAC.dmzHost }), ipv4({ source: SERVER, destination: '10.50.0.8' }), tcp());
  const [back] = r.from('dmz', make.ipv4({ source: '10.50.0.8', destination: SERVER }, make.tcp({ sourcePort: 80, destinationPort: 4000, flags: 'SA' })));
  assert.is(back.link, 'wan1', 'its answers go back by the uplink they came in on');
  expect(back.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), tcp());
});

test('answers and errors are not asked about: they go the flow’s own way', () => {
  const r = routed([policy(0, { to: [`${PC1}/32`] }, { group: FIRST }), policy(1, { from: [`${PC1}/32`], protocols: [TCP, UDP] }, { group: SECOND })]);
  assert.is(out(r, udpTo(SERVER, 53)), 'wan2');
  const [answer] = r.from('wan2', make.ipv4({ source: SERVER, destination: WAN2 }, make.udp({ sourcePort: 53, destinationPort: 4000 })));
  assert.is(answer.link, 'lan');
  const [error] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.icmp({ type: 3, code: 3 }, answer.packet)));
  assert.is(error.link, 'wan2');
  expect(error.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2, destination: SERVER }), icmpError({ type: 3, code: 3 }));
});

test('a known flow pays no heed to policies; one that decides again asks them', () => {
  const r = routed([policy(0, { from: [`${PC2}/32`] }, { group: SECOND })], { snat: [] });
  assert.is(out(r, udpTo(SERVER, 53)), 'wan1');
  assert.is(out(r, udpTo(SERVER, 53, PC2)), 'wan2');
  const { words } = r.router.flows;
  for (let flow = 0; flow < 2; flow++) words[r.router.flows.at(flow) + GENERATION] = 0;
  assert.is(out(r, udpTo(SERVER, 53)), 'wan1');
  assert.is(out(r, udpTo(SERVER, 53, PC2)), 'wan2');
});

test('prefer: its uplink while it is usable, else whichever the group says, and back again', () => {
  const r = routed([policy(0, { protocols: [UDP] }, { group: BOTH, prefer: 1 })], { weights: [9, 1] });
  const used = (from: number): LinkName[] => [...new Set(Array.from({ length: 20 }, (_, i) => out(r, udpTo(SERVER, 53, PC1, from + i))))];
  assert.equal(used(1000), ['wan2']);
  r.setUp('wan2', false);
  assert.equal(used(2000), ['wan1']);
  r.setUp('wan2', true);
  r.advance(3000, 1000);
  r.teach();
  assert.equal(used(3000), ['wan2']);
  r.router.setUplinkWeight(1, 0);
  assert.equal(used(4000), ['wan1'], 'weight 0 takes no new flow, preferred or not');
});

test('a policy’s group with no usable uplink is its own last resort, not the routes’', () => {
  const r = routed([policy(0, { from: [`${PC2}/32`] }, { group: SECOND })]);
  r.setUp('wan2', false);
  const [error] = r.refused('NO_UPLINK', 'lan', tcpTo(SERVER, 80, PC2));
  expect(error.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: LAN, destination: PC2 }), icmpError({ type: 3, code: 0 }));
  assert.is(out(r, tcpTo(SERVER, 80)), 'wan1');
});

test('what is out there may come in by the link a policy or a last resort leads out by: errors on the way, and port forwards; else it is spoofed', () => {
  const HOP = '203.0.113.200';
  const forward = { index: 0, name: 'web', uplink: 1, addresses: [WAN2], protocols: [TCP], ports: { first: 80, last: 80 }, to: PC1, toPort: 80 };
  const byPolicy = [policy(0, { from: [`${PC2}/32`] }, { group: SECOND })];
  const lastResort = { groups: [group(BOTH, [0, 1]), group(FIRST, [0], { lastResort: { group: SECOND } }), group(SECOND, [1])] };
  for (const sourceCheck of ['feasible', 'strict'] as const) {
    const link = { wan1: { sourceCheck }, wan2: { sourceCheck } };
    const r = routed(byPolicy, { link, plan: { portForwards: [forward] } });
    const [sent] = r.from('lan', udpTo(SERVER, 53, PC2));
    const [error] = r.from('wan2', make.ipv4({ source: HOP, destination: WAN2 }, make.icmp({ type: 3, code: 4 }, sent.packet)));
    assert.is(error.link, 'lan');
    expect(error.frame, ethernet({ destination: MAC.pc2 }), ipv4({ source: HOP, destination: PC2 }), icmpError({ type: 3, code: 4 }));
    assert.is(out(r, tcpTo(WAN2, 80, SERVER), 'wan2'), 'lan');
    assert.is(out(routed([], { link, plan: { ...lastResort, portForwards: [forward] } }), tcpTo(WAN2, 80, SERVER), 'wan2'), 'lan');
    routed([], { link, plan: { portForwards: [forward] } }).refused('SPOOFED_SOURCE', 'wan2', tcpTo(WAN2, 80, SERVER));
    r.refused('SPOOFED_SOURCE', 'wan2', tcpTo(WAN2, 80, PC1));
  }
});

test('what a policy decides is what a person reading the list from the top would say', () => {
  const sources = [PC1, PC2], destinations = [SERVER, '203.0.113.9', '198.51.100.200', DMZ_HOST], ports = [22, 80, 443];
  const range = fc.constantFrom({ first: 22, last: 22 }, { first: 80, last: 443 }, { first: 0, last: 65_535 });
  const optional = <T>(of: fc.Arbitrary<T[]>): fc.Arbitrary<T[] | undefined> => fc.option(of, { nil: undefined });
  const match = fc.record({
    in: optional(fc.constantFrom([LAN_LINK], [DMZ_LINK])), from: optional(fc.constantFrom([`${PC1}/32`], ['192.168.0.0/24'])),
    to: optional(fc.constantFrom(['198.51.100.0/24'], ['203.0.113.0/24', '198.51.100.128/25'])), protocols: optional(fc.constantFrom([TCP], [UDP], [TCP, UDP])),
    destinationPorts: optional(fc.tuple(range)),
  }).map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as MatchPlan);
  const then = fc.constantFrom<Partial<PolicyPlan>>({ group: FIRST }, { group: SECOND }, { exclude: true });
  const flow = fc.tuple(fc.constantFrom(...sources), fc.constantFrom(...destinations), fc.constantFrom(TCP, UDP), fc.constantFrom(...ports));
  const within = (address: string, prefixes: string[] | undefined): boolean => prefixes === undefined || prefixes.some((text) => {
    const [prefix, length] = text.split('/');
    const bits = (a: string): string => a.split('.').map((part) => Number(part).toString(2).padStart(8, '0')).join('').slice(0, Number(length));
    return bits(prefix) === bits(address);
  });
  check(fc.property(fc.array(fc.tuple(match, then), { maxLength: 40 }), fc.array(flow, { minLength: 1, maxLength: 10 }), (list, flows) => {
    const r = routed(list.map(([m, fields], i) => policy(i, m, fields)));
    flows.forEach(([source, destination, protocol, port], i) => {
      const found = list.find(([m]) => (m.in === undefined || m.in.includes(LAN_LINK)) && within(source, m.from) && within(destination, m.to)
        && (m.protocols === undefined || m.protocols.includes(protocol))
        && (m.destinationPorts === undefined || m.destinationPorts.some(({ first, last }) => port >= first && port <= last)))?.[1];
      const wanted = destination === DMZ_HOST ? 'dmz' : found?.group === SECOND ? 'wan2' : 'wan1';
      const packet = protocol === TCP ? tcpTo(destination, port, source, 5000 + i) : udpTo(destination, port, source, 5000 + i);
      assert.is(out(r, packet), wanted, `${source} → ${destination}:${port}`);
    });
  }), 60);
});

test.run();
