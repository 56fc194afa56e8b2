/** Checks, notices and events over a real router on memory links: what is asked goes out by the uplink, what comes of it is told where it belongs. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckPlan, LinkPlan } from '../../src/base/plan.js';
import type { HealthStatus } from '../../src/control/api/types.js';
import { EventLog } from '../../src/control/event.js';
import { Notices } from '../../src/control/notice.js';
import { UplinkChecks } from '../../src/control/uplink-checks.js';
import { View } from '../../src/control/view.js';
import type { OpenedLink } from '../../src/link/link.js';
import type { Notice } from '../../src/stage/router.js';
import { ManualTimers } from '../health/manual-timers.js';
import * as make from '../support/frames.js';
import { GATEWAY, MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';

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
  readonly checks: UplinkChecks;
  readonly events = new EventLog();
  readonly told: { event: string; subject: string; message: string }[] = [];
  /** In the order of their telling. */
  readonly log: string[] = [];
  /** Which targets answer, by link. */
  readonly silent = new Set<string>();
  readonly asked: { link: LinkName; target: string; source: string }[] = [];
  private readonly notices: Notices;
  private seen = 0;

  constructor(options: RigOptions) {
    this.r = rig(options);
    const { plan } = this.r.router;
    const opened = (link: LinkPlan): OpenedLink => ({
      plan: link, fd: -1, kind: 0, vnet: true, device: link.device, ifindex: 1, mac: null, mtu: 1500, offloads: 0, refused: [], close: () => [],
    });
    this.view = new View({ plan, links: plan.links.map(opened), memory: this.r.memory, kernelDrops: () => 0, nowMs: () => this.timers.nowMs() });
    plan.links.forEach((_, index) => this.view.setLink(index, true, null));
    this.events.subscribe(({ event, subject, message }) => this.told.push({ event, subject, message }));
    this.checks = new UplinkChecks({
      plan, events: this.events, nowMs: () => this.timers.nowMs(), unixMs: () => UNIX_MS + this.timers.nowMs(), prober: { clock: this.timers, timers: this.timers },
      onStatus: (uplink, status) => {
        this.log.push(`status ${uplink} ${status.isUp}`);
        this.view.setHealth(uplink, status);
      },
      onHealth: (uplink, isHealthy, reason) => {
        this.log.push(`health ${uplink} ${isHealthy}`);
        this.r.router.setUplinkHealth(uplink, isHealthy, reason);
        this.turn();
      },
      ask: (id, request) => {
        this.r.router.probes.ask(id, request);
        this.turn();
      },
    });
    this.notices = new Notices({ plan, events: this.events, view: this.view, onProbe: (outcome) => this.checks.answered(outcome) });
  }

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

test.run();
