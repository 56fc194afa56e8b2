/** What the view says of virtual servers, over a real router on memory links: states, since when and why, flows, rates. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LinkPlan } from '../../src/base/plan.js';
import type { HealthStatus, RealServerStatus, VirtualServerStatus } from '../../src/control/api/types.js';
import { ServerView } from '../../src/control/server-view.js';
import { View } from '../../src/control/view.js';
import type { OpenedLink } from '../../src/link/link.js';
import { Counters, countersShape } from '../../src/table/counters.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';
import { servers } from '../support/servers.js';
import type { ServerWant } from '../support/servers.js';

const VIRTUAL = '192.168.201.50';
const CLIENT = '198.51.100.9';
const UNIX_MS = 1_700_000_000_000;
const FAILED: HealthStatus = {
  isUp: false, sinceMs: UNIX_MS, reason: 'tcp 192.168.0.4:80: connection refused', lossRatio: 1, latencyMs: null, jitterMs: null, suppressedUntilMs: null,
  targets: [{ target: 'tcp 192.168.0.4:80', isOk: false, reason: 'connection refused', latencyMs: null }],
};

class Scene {
  readonly r: Rig;
  readonly view: ServerView;
  nowMs = 0;
  private port = 1000;

  constructor(want: Partial<ServerWant> = {}, more: RigOptions = {}) {
    this.r = rig({ ...more, plan: servers({ addresses: VIRTUAL, realServers: [{ name: 'web1', address: PC1, port: 80 }, { name: 'web2', address: PC2, port: 8000 }], ...want }) });
    const { plan } = this.r.router;
    this.view = new ServerView(plan, new Counters(this.r.memory.counters, countersShape(plan)), () => this.nowMs, () => UNIX_MS + this.nowMs);
  }

  get virtual(): VirtualServerStatus { return this.view.list()[0]; }
  server(index = 0): RealServerStatus { return this.virtual.realServers[index]; }
  /** State and reason of each real server. */
  get states(): string[] { return this.virtual.realServers.map(({ state, reason }) => `${state}${reason === null ? '' : `: ${reason}`}`); }

  drain(index: number, isDrained: boolean, reason: string | null = null): void {
    this.view.setDrained(index, isDrained, reason);
    this.r.router.setServerDrained(index, isDrained, false);
  }

  weight(index: number, weight: number): void {
    this.view.setWeight(index, weight);
    this.r.router.setServerWeight(index, weight);
  }

  /** A new flow of the client; the address it was given to. */
  flow(): string {
    return make.formatAddress(this.r.from('wan1', make.ipv4({ source: CLIENT, destination: VIRTUAL }, make.tcp({ sourcePort: this.port++, destinationPort: 80 })))[0].packet.subarray(16, 20));
  }
}

test('what is configured is told', () => {
  const { virtual } = new Scene({
    name: 'web', protocols: [6, 17], ports: { first: 8000, last: 8009 }, scheduler: { name: 'mh', hashPort: true, fallBack: false }, persistence: { timeout: 300, mask: 24, tie: 'shop' },
    onePacket: true, slowStart: 30, onServerDown: 'keep', quorum: { weight: 2, hysteresis: 1 }, snat: 'always', sorry: { address: '192.168.0.99', port: 81 },
    realServers: [{ name: 'web1', address: PC1, port: 9000, weight: 3, upper: 100, lower: 75 }],
  });
  const { realServers, sorry, sinceMs, ...rest } = virtual;
  assert.equal(rest, {
    name: 'web', addresses: [VIRTUAL], protocols: ['tcp', 'udp'], ports: { first: 8000, last: 8009 }, scheduler: { name: 'mh', hashPort: true, fallBack: false },
    persistence: { timeoutSeconds: 300, maskLength: 24, tie: 'shop' }, onePacket: true, slowStartSeconds: 30, onServerDown: 'keep', snat: 'always',
    state: 'up', reason: null, usableWeight: 3, quorum: { weight: 2, hysteresis: 1 }, active: 0, inactive: 0, newFlows: 0, refusedFlows: 0, returnedFlows: 0,
  });
  assert.equal(realServers.map(({ name, address, port, lastPort, weight, upper, lower, state }) => [name, address, port, lastPort, weight, upper, lower, state]), [['web1', PC1, 9000, 9009, 3, 100, 75, 'up']]);
  assert.equal([sorry?.name, sorry?.address, sorry?.port, sorry?.state], ['sorry', '192.168.0.99', 81, 'up'], 'its weight of 0 is no drain');
  assert.is(sinceMs, UNIX_MS);
});

test('states in their order: down, drained, full, up; each with its reason and since when', () => {
  const s = new Scene({ realServers: [{ name: 'web1', address: PC1, port: 80, upper: 2, lower: 1 }, { name: 'web2', address: PC2, port: 80 }] });
  assert.equal(s.states, ['up', 'up']);
  s.nowMs = 1000;
  while (s.server().state === 'up') s.flow();
  assert.equal([s.states, s.server().sinceMs, s.server(1).sinceMs], [['full: has had 2 flows, takes more once it is down to 1', 'up'], UNIX_MS + 1000, UNIX_MS]);
  assert.equal([s.server().active + s.server().inactive, s.server().newFlows], [2, 2]);
  s.nowMs = 2000;
  s.drain(0, true, 'maintenance: new disk');
  assert.equal([s.states[0], s.server().sinceMs, s.server().isDrained, s.server().drainReason], ['drained: maintenance: new disk', UNIX_MS + 2000, true, 'maintenance: new disk']);
  s.nowMs = 3000;
  s.view.setHealth(0, FAILED);
  s.r.router.setServerHealth(0, false, FAILED.reason);
  assert.equal([s.states[0], s.server().sinceMs, s.server().isDrained], [`down: ${FAILED.reason}`, UNIX_MS + 3000, true], 'whoever drained it wants to know');
  s.view.setHealth(0, { ...FAILED, isUp: true, reason: null });
  s.r.router.setServerHealth(0, true);
  s.drain(0, false);
  assert.equal([s.server().isDrained, s.server().drainReason], [false, null]);
  s.weight(1, 0);
  assert.is(s.states[1], 'drained: its weight is 0');
  s.weight(1, 4);
  assert.equal([s.states[1], s.server(1).weight, s.server(1).effectiveWeight], ['up', 4, 4]);
});

test('what was asked for shows before the data plane has done it', () => {
  const s = new Scene();
  s.view.setDrained(0, true, null);
  s.view.setWeight(1, 7);
  assert.equal([s.states, s.server(1).weight], [['drained: drained by hand', 'up'], 7]);
});

test('a slow start shows as such, with the part of the weight there is, until it is over', () => {
  const s = new Scene({ slowStart: 16, realServers: [{ name: 'web1', address: PC1, port: 80, weight: 4 }, { name: 'web2', address: PC2, port: 80 }] });
  assert.equal(s.states, ['up', 'up'], 'at the start of the router nobody is slower than the others');
  s.drain(0, true);
  s.drain(0, false);
  assert.equal([s.states[0], s.server().effectiveWeight, s.server().weight], ['slow-start: weight 0.3 of 4, all of it within 16 s', 0.25, 4]);
  s.r.advance(8000);
  assert.equal([s.server().state, s.server().effectiveWeight], ['slow-start', 2.25]);
  s.r.advance(8000);
  assert.equal([s.states[0], s.server().effectiveWeight], ['up', 4]);
});

test('a virtual server counts what its servers have, what nobody took and who came back', () => {
  const s = new Scene({ persistence: { timeout: 60, mask: 32 } });
  const first = s.flow();
  for (let i = 0; i < 4; i++) assert.is(s.flow(), first);
  assert.equal([s.virtual.newFlows, s.virtual.returnedFlows, s.virtual.refusedFlows, s.virtual.inactive, s.virtual.active], [5, 4, 0, 5, 0]);
  s.drain(0, true);
  s.drain(1, true);
  const [{ packet }] = s.r.from('wan1', make.ipv4({ source: CLIENT, destination: VIRTUAL }, make.tcp({ sourcePort: 9, destinationPort: 80 })));
  assert.is(make.formatAddress(packet.subarray(16, 20)), CLIENT, 'refused at once');
  assert.equal([s.virtual.state, s.virtual.reason, s.virtual.refusedFlows, s.virtual.usableWeight], ['down', 'no real server takes flows', 1, 0]);
});

test('rates are those of the last seconds: bits to the server and from it, new flows', () => {
  const s = new Scene({ realServers: [{ name: 'web1', address: PC1, port: 80 }] });
  s.view.sample();
  for (let i = 0; i < 10; i++) s.flow();
  s.r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 80, destinationPort: 1000, flags: 'SA' })));
  s.nowMs = 2000;
  s.view.sample();
  const { txBytes, rxBytes, txPackets, rxPackets, txBps, rxBps, newFlowsPerSecond } = s.server();
  assert.equal([txPackets, rxPackets, newFlowsPerSecond], [10, 1, 5]);
  assert.ok(txBytes > 0 && rxBytes > 0);
  assert.equal([txBps, rxBps], [txBytes * 4, rxBytes * 4]);
});

test('names stand for numbers in the plan', () => {
  const { plan } = rig({ plan: servers(
    { name: 'web', addresses: VIRTUAL, realServers: [{ name: 'a', address: PC1, port: 80 }], sorry: { address: '192.168.0.99' } },
    { name: 'web2', addresses: WAN1, realServers: [{ name: 'a', address: PC2, port: 80 }] },
  ) }).router;
  const view = new ServerView(plan, new Counters(new SharedArrayBuffer(65_536), countersShape(plan)), () => 0);
  assert.equal([view.find('web', 'a'), view.find('web', 'sorry'), view.find('web2', 'a'), view.find('web2', 'sorry'), view.find('web', 'b')], [0, 1, 2, -1, -1]);
  assert.equal([[...view.numbersOf('web')], [...view.numbersOf('web2')], [...view.numbersOf('web/a')], [...view.numbersOf('we')]], [[0, 1], [2], [0], []]);
  assert.equal([view.nameOf(1), view.nameOf(3), view.nameOf(-1)], ['web/sorry', null, null]);
});

test('what is wrong is told first: no quorum, servers that are down, drained by hand or full; a weight of 0 is as it should be', () => {
  const s = new Scene({ realServers: [{ name: 'web1', address: PC1, port: 80 }, { name: 'web2', address: PC2, port: 80, weight: 0 }], sorry: { address: '192.168.0.99' } });
  const opened = (link: LinkPlan): OpenedLink => ({ plan: link, fd: -1, kind: 0, vnet: true, device: link.device, ifindex: 1, mac: null, mtu: 1500, offloads: 0, refused: [], hear: () => [], close: () => [] });
  const { plan } = s.r.router;
  const view = new View({ plan, links: plan.links.map(opened), memory: s.r.memory, kernelDrops: () => 0, nowMs: () => 0 });
  const problems = (): string[] => view.status().problems.filter(({ subject }) => /server/.test(subject)).map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`);
  assert.equal(problems(), []);
  view.servers.setDrained(0, true, 'maintenance');
  s.r.router.setServerDrained(0, true, false);
  assert.equal(problems(), [
    'error virtual server vs1: no real server takes flows; new flows go to its sorry server', 'warning server vs1/web1: maintenance: takes no new flows until weir undrain',
  ]);
  assert.is(view.status().virtualServers[0].state, 'down');
  view.servers.setDrained(2, true, null);
  s.r.router.setServerDrained(2, true, false);
  assert.is(problems()[0], 'error virtual server vs1: no real server takes flows; new flows are refused');
});

test.run();
