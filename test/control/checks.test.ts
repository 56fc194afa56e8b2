/** Checks, notices and events over a real router on memory links: what is asked goes out by the uplink or to the server, what comes of it is told where it belongs. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckPlan, LinkPlan } from '../../src/base/plan.js';
import type { HealthStatus } from '../../src/control/api/types.js';
import { Checks, QUESTIONS_MAX } from '../../src/control/checks.js';
import { EventLog } from '../../src/control/event.js';
import { Notices } from '../../src/control/notice.js';
import { serverSubjects, uncheckedServers, uplinkSubjects } from '../../src/control/subjects.js';
import { View } from '../../src/control/view.js';
import type { CheckContext } from '../../src/health/check/check.js';
import type { ProberOptions } from '../../src/health/prober.js';
import type { OpenedLink } from '../../src/link/link.js';
import type { Notice } from '../../src/stage/router.js';
import { ManualTimers } from '../health/manual-timers.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';
import { servers } from '../support/servers.js';
import type { ServerWant } from '../support/servers.js';

const UNIX_MS = 1_700_000_000_000;
const CHECK: CheckPlan = {
  probes: [{ kind: 'icmp', target: SERVER }, { kind: 'icmp', target: '198.51.100.8' }], need: 1, intervalMs: 1000, timeoutMs: 800, fall: 3, rise: 3, initial: 'up', window: 20,
};
/** Time a round takes at most, with chance and grace. */
const ROUND_MS = 1000;

class Bench {
  readonly r: Rig;
  readonly timers = new ManualTimers();
  readonly view: View;
  readonly checks: Checks;
  readonly events = new EventLog();
  readonly told: { event: string; subject: string; message: string }[] = [];
  /** In the order of their telling. */
  readonly log: string[] = [];
  /** Which targets answer, by link. */
  readonly silent = new Set<string>();
  readonly asked: { link: LinkName; target: string; source: string }[] = [];
  private readonly notices: Notices;
  private seen = 0;

  constructor(options: RigOptions, probing: Pick<ProberOptions, 'create'> = {}) {
    this.r = rig(options);
    const { plan } = this.r.router;
    const opened = (link: LinkPlan): OpenedLink => ({
      plan: link, fd: -1, kind: 0, vnet: true, device: link.device, ifindex: 1, mac: null, mtu: 1500, offloads: 0, refused: [], hear: () => [], close: () => [],
    });
    this.view = new View({ plan, links: plan.links.map(opened), memory: this.r.memory, kernelDrops: () => 0, nowMs: () => this.timers.nowMs() });
    plan.links.forEach((_, index) => this.view.setLink(index, true, null));
    this.events.subscribe(({ event, subject, message }) => this.told.push({ event, subject, message }));
    const serverHealth = (server: number, isHealthy: boolean, reason: string | null): void => {
      this.log.push(`server health ${server} ${isHealthy}`);
      this.r.router.setServerHealth(server, isHealthy, reason);
      this.turn();
    };
    this.checks = new Checks({
      unchecked: uncheckedServers(plan, { onHealth: serverHealth }), seed: plan.seed, events: this.events, nowMs: () => this.timers.nowMs(), unixMs: () => UNIX_MS + this.timers.nowMs(), prober: { clock: this.timers, timers: this.timers, ...probing },
      subjects: [
        ...uplinkSubjects(plan, {
          onStatus: (uplink, status) => {
            this.log.push(`status ${uplink} ${status.isUp}`);
            this.view.setHealth(uplink, status);
          },
          onHealth: (uplink, isHealthy, reason) => {
            this.log.push(`health ${uplink} ${isHealthy}`);
            this.r.router.setUplinkHealth(uplink, isHealthy, reason);
            this.turn();
          },
        }),
        ...serverSubjects(plan, {
          onStatus: (server, status) => {
            this.log.push(`server status ${server} ${status.isUp}`);
            this.view.servers.setHealth(server, status);
          },
          onHealth: serverHealth,
          onWeight: (server, weight) => {
            this.log.push(`weight ${server} ${weight}`);
            this.view.servers.setWeight(server, weight);
            this.r.router.setServerWeight(server, weight);
            this.turn();
          },
        }),
      ],
      ask: (id, request) => {
        this.r.router.probes.ask(id, request);
        this.turn();
      },
    });
    this.notices = new Notices({ plan, events: this.events, view: this.view, onProbe: (outcome) => this.checks.answered(outcome) });
  }

  problems(): string[] { return this.view.status().problems.map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`); }

  status(uplink: number): HealthStatus { return this.view.uplinks()[uplink].health as HealthStatus; }

  /** What the router sends is answered by whoever is not silent; what it tells is heard. */
  turn(): void {
    for (const sent of this.r.run()) this.answer(sent);
    this.hear();
  }

  private hear(): void {
    const { notices } = this.r;
    while (this.seen < notices.length) this.notices.take(notices[this.seen++] as Notice);
  }

  private answer({ link, packet, isArp }: Sent): void {
    if (isArp || packet[9] !== 1 || packet[20] !== 8) return;
    const [source, target] = [make.formatAddress(packet.subarray(12, 16)), make.formatAddress(packet.subarray(16, 20))];
    this.asked.push({ link, target, source });
    if (this.silent.has(link) || this.silent.has(target) || this.silent.has(`${target} ${link}`)) return;
    this.r.clock.advance(3);
    this.r.from(link, make.ipv4({ source: target, destination: source },
      make.echoReply({ id: packet.readUInt16BE(24), sequence: packet.readUInt16BE(26), payload: Buffer.from(packet.subarray(28)) })));
  }

  /** Both clocks go on together, 100 ms at a time. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      await this.timers.advance(100);
      this.r.clock.advance(100);
      this.turn();
    }
    await this.timers.advance(0);
  }
}

const both: RigOptions = { weights: [1, 1], uplink: { check: CHECK } };

test('each uplink asks every target by itself, by its link and with its address, though the targets are the same', async () => {
  const b = new Bench(both);
  b.checks.start();
  await b.pass(3 * ROUND_MS);
  for (const [link, source] of [['wan1', WAN1], ['wan2', WAN2]] as const) {
    const own = b.asked.filter((one) => one.link === link);
    assert.ok(own.every((one) => one.source === source));
    for (const target of [SERVER, '198.51.100.8']) assert.ok(own.filter((one) => one.target === target).length >= 2, `${target} by ${link}`);
  }
  for (const uplink of [0, 1]) {
    assert.equal([b.status(uplink).isUp, b.status(uplink).lossRatio], [true, 0]);
    assert.equal(b.status(uplink).targets.map(({ isOk, latencyMs, reason }) => [isOk, latencyMs, reason]), [[true, 3, null], [true, 3, null]]);
  }
  assert.is(b.checks.underWay, 0);
  b.checks.stop();
});

test('an uplink whose targets fall silent takes no new flows from that moment, with the reason, and serves again when they answer', async () => {
  const b = new Bench(both);
  b.checks.start();
  b.turn();
  await b.pass(3 * ROUND_MS);
  b.silent.add('wan1');
  await b.pass(6 * ROUND_MS);
  const down = b.told.find(({ event }) => event === 'uplink.down');
  assert.equal(down, { event: 'uplink.down', subject: 'one', message: `uplink one is down: icmp ${SERVER} and icmp 198.51.100.8: timed out` });
  assert.equal(b.view.uplinks().map(({ state }) => state), ['down', 'up']);
  const links = (from: number): LinkName[] => [...new Set(Array.from({ length: 20 }, (_, i) =>
    b.r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: from + i, destinationPort: 53 })))[0].link))].sort();
  assert.equal(links(1000), ['wan2']);
  const asked = b.asked.filter(({ link }) => link === 'wan1').length;
  await b.pass(3 * ROUND_MS);
  assert.ok(b.asked.filter(({ link }) => link === 'wan1').length > asked, 'it is asked on while it is down');
  b.silent.delete('wan1');
  await b.pass(6 * ROUND_MS);
  assert.equal(b.told.filter(({ subject, event }) => subject === 'one' && /^uplink\.(up|down)$/.test(event)).map(({ event }) => event), ['uplink.up', 'uplink.down', 'uplink.up']);
  assert.equal(links(2000), ['wan1', 'wan2']);
  const health = b.log.indexOf('health 0 false');
  assert.ok(health > 0 && b.log[health - 1] === 'status 0 false', 'the view knows the reason before the data plane acts');
  b.checks.stop();
});

test('times are Unix times', async () => {
  const b = new Bench(both);
  b.checks.start();
  await b.pass(2 * ROUND_MS);
  assert.is(b.status(0).sinceMs, UNIX_MS);
  b.silent.add('wan1');
  await b.pass(5 * ROUND_MS);
  const { sinceMs, isUp } = b.status(0);
  assert.ok(!isUp && sinceMs > UNIX_MS + 2 * ROUND_MS && sinceMs <= UNIX_MS + b.timers.nowMs());
  b.checks.stop();
});

test('one target’s trouble is told of as that target’s', async () => {
  const b = new Bench(both);
  b.checks.start();
  await b.pass(4 * ROUND_MS);
  b.silent.add(`${SERVER} wan2`);
  await b.pass(5 * ROUND_MS);
  b.silent.clear();
  await b.pass(5 * ROUND_MS);
  assert.equal(b.told.filter(({ event }) => event === 'health.target'), [
    { event: 'health.target', subject: 'two', message: `icmp ${SERVER} by uplink two does not answer as it should: timed out` },
    { event: 'health.target', subject: 'two', message: `icmp ${SERVER} by uplink two answers again` },
  ]);
  assert.not.ok(b.told.some(({ event }) => event === 'uplink.down'), 'one of the two was needed');
  b.checks.stop();
});

test('carrier counts at once, for the uplinks of that link alone', async () => {
  const b = new Bench(both);
  b.checks.start();
  await b.pass(4 * ROUND_MS);
  b.log.length = 0;
  b.checks.carrier(1, false);
  assert.equal(b.log.filter((line) => line.startsWith('health')), ['health 0 false']);
  assert.equal([b.status(0).isUp, b.status(0).reason, b.status(1).isUp], [false, 'no carrier', true]);
  b.checks.carrier(0, false);
  assert.is(b.status(1).isUp, true, 'nor the LAN’s');
  b.log.length = 0;
  b.checks.carrier(1, true);
  assert.equal(b.log.filter((line) => line.startsWith('health')), [], 'it is asked first');
  await b.pass(5 * ROUND_MS);
  assert.equal(b.log.filter((line) => line.startsWith('health')), ['health 0 true']);
  b.checks.stop();
});

// conforms: fwd-damping
test('damping is an event with its end, and the uplink stays out though it answers', async () => {
  const damping = { halfLifeMs: 60_000, suppress: 1.5, reuse: 1, mostMs: 600_000 };
  const b = new Bench({ weights: [1, 1], uplink: { check: { ...CHECK, fall: 1, rise: 1, damping } } });
  const ends: number[] = [];
  b.events.subscribe((event) => { if (event.event === 'uplink.damped') ends.push(event['untilMs'] as number); });
  b.checks.start();
  await b.pass(2 * ROUND_MS);
  for (let i = 0; i < 2; i++) {
    b.silent.add('wan1');
    await b.pass(3 * ROUND_MS);
    b.silent.clear();
    await b.pass(3 * ROUND_MS);
  }
  assert.is(ends.length, 1);
  assert.is(b.log.filter((line) => line.startsWith('health 0')).at(-1), 'health 0 false');
  assert.ok(ends[0] > UNIX_MS + b.timers.nowMs());
  assert.match(b.told.find(({ event }) => event === 'uplink.damped')?.message ?? '', /^uplink one fell too often and stays down for \d+ s at least$/);
  b.checks.stop();
});

test('an end leaves nothing hanging: every question has its answer, no timer is left, and nothing is told afterwards', async () => {
  const b = new Bench(both);
  b.silent.add(SERVER);
  b.silent.add('198.51.100.8');
  b.checks.start();
  for (let i = 0; b.checks.underWay === 0 && i < 20; i++) await b.pass(100);
  assert.ok(b.checks.underWay > 0);
  const before = b.log.length;
  b.checks.stop();
  assert.equal([b.checks.underWay, b.timers.pending], [0, 0]);
  await b.pass(5 * ROUND_MS);
  assert.is(b.log.length, before);
  b.checks.answered({ event: 'probe', id: 1, isOk: true, latencyMs: 1, reason: null });
});

// ---- real servers --------------------------------------------------------------------------------------------------------

const VIRTUAL = '192.168.201.50';
const serverCheck = (target: string): CheckPlan => ({ ...CHECK, probes: [{ kind: 'icmp', target }], fall: 2, rise: 2 });
/** Two real servers on the LAN behind a virtual one. */
const behind = (more: Partial<ServerWant> = {}): RigOptions => ({
  plan: servers({
    addresses: VIRTUAL, ...more,
    realServers: [{ name: 'web1', address: PC1, port: 80, check: serverCheck(PC1) }, { name: 'web2', address: PC2, port: 8000, check: serverCheck(PC2) }],
  }),
});
const CLIENT = '198.51.100.9';
const syn = (port: number): Buffer => make.ipv4({ source: CLIENT, destination: VIRTUAL }, make.tcp({ sourcePort: port, destinationPort: 80 }));
const of = (b: Bench, event: RegExp): string[] => b.told.filter((one) => event.test(one.event)).map(({ event: word, subject, message }) => `${word} ${subject} ${message}`);

test('a real server is asked by its route, and takes flows or none by what it answers', async () => {
  const b = new Bench(behind());
  b.checks.start();
  await b.pass(4 * ROUND_MS);
  assert.equal([...new Set(b.asked.map(({ link, source, target }) => `${target} from ${source} on ${link}`))].sort(), [`${PC1} from ${LAN} on lan`, `${PC2} from ${LAN} on lan`]);
  const states = (): string[] => b.view.virtualServers()[0].realServers.map(({ name, state, reason }) => `${name} ${state} ${reason}`);
  assert.equal(states(), ['web1 up null', 'web2 up null']);
  assert.is(b.view.virtualServers()[0].realServers[0].health?.latencyMs, 3);
  b.silent.add(PC2);
  await b.pass(4 * ROUND_MS);
  assert.equal(states(), ['web1 up null', `web2 down icmp ${PC2}: timed out`]);
  assert.equal(of(b, /^server\.(up|down)/), [`server.down vs1/web2 server vs1/web2 is down: icmp ${PC2}: timed out`]);
  const given = (from: number): string[] => [...new Set(Array.from({ length: 10 }, (_, i) => make.formatAddress(b.r.from('wan1', syn(from + i))[0].packet.subarray(16, 20))))].sort();
  assert.equal(given(1000), [PC1]);
  const health = b.log.indexOf('server health 1 false');
  assert.ok(health > 0 && b.log[health - 1] === 'server status 1 false', 'the view knows the reason before the data plane acts');
  b.silent.clear();
  await b.pass(5 * ROUND_MS);
  assert.equal(of(b, /^server\.(up|down)/).slice(1), ['server.up vs1/web2 server vs1/web2 is up']);
  assert.equal(given(2000), [PC1, PC2]);
  assert.equal([b.problems(), b.checks.underWay], [[], 0]);
  b.checks.stop();
});

test('a link without carrier takes its real servers down at once, and nobody else', async () => {
  const b = new Bench(behind());
  b.checks.start();
  await b.pass(3 * ROUND_MS);
  b.log.length = 0;
  b.checks.carrier(1, false);
  assert.equal(b.log, []);
  b.checks.carrier(0, false);
  assert.equal(b.log.filter((line) => line.includes('health')), ['server health 0 false', 'server health 1 false']);
  assert.is(b.view.virtualServers()[0].realServers[0].reason, 'no carrier');
  b.checks.stop();
});

test('checks of the box bind to the pin of their server, those of the data plane go by no uplink', () => {
  const seen: [string, CheckContext][] = [];
  const want: ServerWant['realServers'] = [
    { address: PC1, port: 80, pin: '169.254.119.3', check: { ...CHECK, probes: [{ kind: 'tcp', host: PC1, port: 80 }] } },
    { address: PC2, port: 80, check: serverCheck(PC2) },
  ];
  const b = new Bench({ plan: servers({ addresses: VIRTUAL, realServers: want }) }, {
    create: (probe, context) => {
      seen.push([probe.kind, context]);
      return { probe: () => new Promise(() => undefined), close: () => undefined };
    },
  });
  b.checks.start();
  assert.equal(seen.map(([kind, { localAddress, uplink }]) => [kind, localAddress, uplink]), [['tcp', '169.254.119.3', -1], ['icmp', undefined, -1]]);
  b.checks.stop();
});

test('a script sets the weight when it changes its mind; what a person sets meanwhile stands until then', async () => {
  let weight = 4;
  const check: CheckPlan = { ...CHECK, need: 1, probes: [{ kind: 'script', command: ['/bin/load'], setsWeight: true }] };
  const b = new Bench({ plan: servers({ addresses: VIRTUAL, realServers: [{ address: PC1, port: 80, check }] }) },
    { create: () => ({ probe: async () => ({ isOk: true, latencyMs: 1, reason: null, weight }), close: () => undefined }) });
  const [server] = b.r.router.virtualServers.servers;
  b.checks.start();
  await b.pass(4 * ROUND_MS);
  assert.equal([b.log.filter((line) => line.startsWith('weight')), server.wanted], [['weight 0 4'], 4]);
  b.view.servers.setWeight(0, 9);
  b.r.router.setServerWeight(0, 9);
  await b.pass(3 * ROUND_MS);
  assert.is(server.wanted, 9);
  weight = 0;
  await b.pass(3 * ROUND_MS);
  assert.equal([server.wanted, b.view.virtualServers()[0].realServers[0].state], [0, 'drained']);
  assert.equal(of(b, /^server\./), ['server.drained vs1/rs1 server vs1/rs1 is drained: it takes no new flows (its weight is 0)']);
  b.checks.stop();
});

test('a virtual server that loses its quorum is told of with what becomes of its flows, and when it has it again', async () => {
  const b = new Bench(behind({ quorum: { weight: 2, hysteresis: 0 } }));
  b.checks.start();
  await b.pass(3 * ROUND_MS);
  b.silent.add(PC1);
  await b.pass(4 * ROUND_MS);
  assert.equal(of(b, /^virtual-server/), ['virtual-server.down vs1 virtual server vs1 is down: its usable servers have a weight of 1 and need 2; new flows are refused']);
  const { state, reason } = b.view.virtualServers()[0];
  assert.equal([state, reason], ['down', 'real servers of weight 1 take flows, 2 is needed']);
  assert.equal(b.problems(), ['error virtual server vs1: real servers of weight 1 take flows, 2 is needed; new flows are refused', `error server vs1/web1: icmp ${PC1}: timed out`]);
  b.silent.clear();
  await b.pass(4 * ROUND_MS);
  assert.equal(of(b, /^virtual-server/).slice(1), ['virtual-server.up vs1 virtual server vs1 is up: its usable servers have a weight of 2, 2 is enough']);
  b.checks.stop();
});

test('damping of a real server is an event of its own', async () => {
  const damping = { halfLifeMs: 60_000, suppress: 1.5, reuse: 1, mostMs: 600_000 };
  const b = new Bench({ plan: servers({ addresses: VIRTUAL, realServers: [{ address: PC1, port: 80, check: { ...serverCheck(PC1), fall: 1, rise: 1, damping } }] }) });
  b.checks.start();
  await b.pass(2 * ROUND_MS);
  for (let i = 0; i < 2; i++) {
    b.silent.add(PC1);
    await b.pass(3 * ROUND_MS);
    b.silent.clear();
    await b.pass(3 * ROUND_MS);
  }
  assert.equal(of(b, /damped/).map((line) => line.replace(/ \d+ s /, ' N s ')), ['server.damped vs1/rs1 server vs1/rs1 fell too often and stays down for N s at least']);
  b.checks.stop();
});

test('each flow a lost server had is an event with the server, and a summary counts them', async () => {
  const b = new Bench(behind());
  const { router } = b.r;
  for (let i = 0; i < 4; i++) b.r.from('wan1', syn(3000 + i));
  const flows = b.view.flows({ server: 'vs1/web2' }, 0, 100).flows;
  assert.is(flows.length, 2);
  assert.equal([b.view.flows({ server: 'vs1' }, 0, 100).flows.length, [...new Set(flows.map(({ server }) => server))]], [4, ['vs1/web2']]);
  router.setServerHealth(1, false, 'tcp 192.168.0.5:8000: connection refused');
  b.turn();
  const resets = of(b, /^flow\./);
  assert.is(resets.length, 2);
  for (const line of resets) assert.match(line, /^flow\.reset vs1\/web2 tcp 198\.51\.100\.9:300\d to 192\.168\.201\.50:80 was reset: server vs1\/web2 went down$/);
  assert.match(of(b, /failover/)[0], /^server\.failover vs1\/web2 server vs1\/web2 went down \(tcp 192\.168\.0\.5:8000: connection refused\): of its flows 2 reset, 0 moved, 0 kept, within [\d.]+ ms$/);
  b.view.servers.setDrained(0, true, 'maintenance: new disk');
  router.setServerDrained(0, true, true);
  b.turn();
  assert.equal(of(b, /^server\.drained/), ['server.drained vs1/web1 server vs1/web1 is drained: it takes no new flows (maintenance: new disk)']);
  assert.match(of(b, /failover/)[1], /^server\.failover vs1\/web1 server vs1\/web1 was flushed: of its flows 2 reset/);
});

// ---- notices -------------------------------------------------------------------------------------------------------------

test('an uplink’s state is told of once a change, whatever the reasons are that follow each other', () => {
  const b = new Bench({ ...both, second: {} });
  b.turn();
  b.told.length = 0;
  b.r.router.setUplinkHealth(0, false);
  b.r.setUp('wan1', false);
  b.turn();
  assert.equal(b.told.filter(({ event }) => event === 'uplink.down').length, 1);
  b.r.setUp('wan1', true);
  b.turn();
  b.r.put('wan1', b.r.arpReply('wan1', GATEWAY, MAC.gateway1));
  b.turn();
  b.r.router.setUplinkHealth(0, true);
  b.turn();
  b.r.router.setUplinkDrained(0, true);
  b.turn();
  b.r.router.setUplinkDrained(0, false);
  b.turn();
  assert.equal(b.told.filter(({ event }) => event.startsWith('uplink.') && event !== 'uplink.failover').map(({ event }) => event), ['uplink.down', 'uplink.up', 'uplink.drained', 'uplink.up']);
  assert.equal(b.told.filter(({ event }) => event === 'uplink.drained').map(({ message }) => message), ['uplink one is drained: it takes no new flows, old ones go on']);
});

test('each flow that met its fate is an event with who, where and why, and the uplink’s summary counts them', () => {
  const b = new Bench({ weights: [1, 0], group: { onDown: 'reset' }, uplink: {} });
  b.turn();
  b.r.router.setUplinkWeight(1, 1);
  for (let i = 0; i < 3; i++) b.r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000 + i, destinationPort: 53 })));
  const onOne = b.view.uplinks()[0].flows;
  assert.ok(onOne > 0);
  b.r.router.setUplinkHealth(0, false, 'icmp 192.0.2.1: timed out');
  b.turn();
  const reset = b.told.filter(({ event }) => event === 'flow.reset');
  assert.is(reset.length, onOne);
  for (const { subject, message } of reset) {
    assert.is(subject, 'one');
    assert.match(message, /^udp 192\.168\.0\.4:400\d to 198\.51\.100\.7:53 was reset: uplink one went down$/);
  }
  const summary = b.told.find(({ event }) => event === 'uplink.failover');
  assert.match(summary?.message ?? '', new RegExp(`^uplink one went down \\(icmp 192\\.0\\.2\\.1: timed out\\): of its flows ${onOne} reset, 0 moved, 0 kept, 0 draining, within [\\d.]+ ms$`));
});

test('what else the data plane tells of has its event', () => {
  const b = new Bench({ weights: [1, 0], limits: { snatPortFirst: 2000, snatPortLast: 2009 } });
  b.told.length = 0;
  b.r.put('wan1', b.r.arpRequest(WAN1, '02:00:00:00:66:66', '192.168.201.99'));
  b.r.router.deviceError(1, 5);
  for (let i = 0; i < 9; i++) b.r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.echoRequest({ id: 3000 + i })));
  b.turn();
  assert.equal(b.told.map(({ event }) => event).filter((event) => !event.startsWith('uplink.')).sort(), ['address.conflict', 'link.error', 'ports.low']);
});

test('a real server without a check is of use while its link has carrier, and so is a sorry server', () => {
  const b = new Bench({ dmz: true, plan: servers({ addresses: WAN1, realServers: [{ name: 'web1', address: PC1 }, { name: 'web2', address: DMZ_HOST }], sorry: { address: PC2 } }) });
  const link = (name: string): number => b.r.router.plan.links.findIndex((one) => one.name === name);
  const states = (): string[] => {
    const [{ realServers, sorry }] = b.view.servers.list();
    return [...realServers, ...(sorry === null ? [] : [sorry])].map(({ state, reason }) => (reason === null ? state : `${state}: ${reason}`));
  };
  b.checks.start();
  assert.equal(states(), ['up', 'up', 'up']);
  b.checks.carrier(link('lan'), false);
  assert.equal(states(), ['down: no carrier', 'up', 'down: no carrier']);
  b.checks.carrier(link('dmz'), false);
  assert.is(b.r.router.virtualServers.list[0].hasQuorum, false);
  b.checks.carrier(link('lan'), true);
  assert.equal(states(), ['up', 'down: no carrier', 'up']);
  assert.equal(b.told.filter(({ event }) => event.startsWith('server.') && event !== 'server.failover').map(({ event, subject, message }) => [event, subject, message]), [
    ['server.down', 'vs1/web1', 'server vs1/web1 is down: no carrier'], ['server.down', 'vs1/sorry', 'server vs1/sorry is down: no carrier'],
    ['server.down', 'vs1/web2', 'server vs1/web2 is down: no carrier'], ['server.up', 'vs1/web1', 'server vs1/web1 is up'], ['server.up', 'vs1/sorry', 'server vs1/sorry is up'],
  ]);
  b.checks.stop();
});

test('a data plane that is silent is asked no more than so many questions', async () => {
  let context: CheckContext | null = null;
  let asked = 0;
  const timers = new ManualTimers();
  const checks = new Checks({
    seed: 1, events: new EventLog(), unchecked: [], ask: () => { asked++; },
    prober: { clock: timers, timers, create: (_, given) => {
      context = given;
      return { probe: () => new Promise(() => undefined), close: () => undefined };
    } },
    subjects: [{ kind: 'uplink', name: 'isp1', relation: 'by uplink isp1', fields: {}, plan: CHECK, pin: undefined, uplink: 0, link: 0, onStatus: () => undefined, onHealth: () => undefined }],
  });
  checks.start();
  const question = { uplink: 0, kind: 'icmp' as const, target: SERVER, timeoutMs: 800 };
  const answers = Array.from({ length: QUESTIONS_MAX + 2 }, () => context!.ask(question));
  assert.equal([asked, checks.underWay], [QUESTIONS_MAX, QUESTIONS_MAX]);
  assert.equal(await answers[QUESTIONS_MAX], { isOk: false, latencyMs: null, reason: 'the data plane does not answer' });
  checks.answered({ event: 'probe', id: 1, isOk: true, latencyMs: 1, reason: null });
  assert.ok((await answers[0]).isOk);
  void context!.ask(question);
  assert.is(asked, QUESTIONS_MAX + 1, 'there is room again');
  checks.stop();
});

test.run();
