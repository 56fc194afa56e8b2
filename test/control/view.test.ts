/** What the control plane shows of flows and filters, over the memory of a router that has really moved the packets. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LinkPlan } from '../../src/base/plan.js';
import type { FlowStatus } from '../../src/control/api/types.js';
import { View } from '../../src/control/view.js';
import type { OpenedLink } from '../../src/link/link.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const CLIENT = '198.51.100.77';
const EXTERNAL = '192.168.201.50';

const view = (r: Rig): View => new View({ plan: r.router.plan, links: r.router.plan.links.map(opened), memory: r.memory, kernelDrops: () => 0, nowMs: () => 0 });
const opened = (plan: LinkPlan): OpenedLink => ({
  plan, fd: -1, kind: 0, vnet: true, device: plan.device, ifindex: 1, mac: null, mtu: 1500, offloads: 0, refused: [], close: () => [],
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

test.run();
