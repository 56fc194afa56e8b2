/**
 * Elections on simulated wires: routers that crash, freeze, come back and are cut off from each other, adverts that are lost. Whatever has happened, once the wire
 * is whole there is one master after master-down time and never two for longer than an advert takes; members of a sync group are masters together at every moment.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { VirtualRouter } from '../../src/vrrp/election.js';
import type { Effects } from '../../src/vrrp/election.js';

const LATENCY_MS = 1;
const INTERVAL_MS = 100;
/** Within it whoever is best is master: the longest master-down time at this interval, a stall's listening, and once more for a group. */
const SETTLED_MS = 2 * (4 * INTERVAL_MS) + 4 * INTERVAL_MS;

interface Sent { atMs: number; from: number; wire: number; priority: number }

/** A router with one virtual router on each wire; more than one are a sync group. */
class Station implements Effects {
  readonly number: number;
  readonly members: VirtualRouter[];
  isAlive = false;
  /** Stands still until then. */
  frozenUntilMs = 0;
  lastMs = 0;
  private readonly net: Net;

  constructor(net: Net, number: number, wires: number, priority: number, preempt: boolean) {
    this.net = net;
    this.number = number;
    this.members = Array.from({ length: wires }, () => new VirtualRouter({ version: 3, priority, intervalMs: INTERVAL_MS, preempt, preemptDelayMs: 0 }, this));
    VirtualRouter.join(this.members);
  }

  advertise(router: VirtualRouter, priority: number): void { this.net.send(this.number, this.members.indexOf(router), priority); }
  changed(): void { /* looked at after each step */ }
  asserted(): void { /* is about ARP */ }

  get isMaster(): boolean { return this.isAlive && this.members.every(({ state }) => state === 'master'); }
  get isAnyMaster(): boolean { return this.isAlive && this.members.some(({ state }) => state === 'master'); }
}

class Net {
  nowMs = 0;
  readonly stations: Station[] = [];
  loss = 0;
  /** By station: the part of the wires it is in. */
  readonly parts: number[] = [];
  private readonly random: Random;
  private flying: Sent[] = [];

  constructor(seed: number) { this.random = new Random(seed); }

  add(wires: number, priority: number, preempt: boolean): void {
    this.stations.push(new Station(this, this.stations.length, wires, priority, preempt));
    this.parts.push(0);
  }

  send(from: number, wire: number, priority: number): void { this.flying.push({ atMs: this.nowMs + LATENCY_MS, from, wire, priority }); }

  start(number: number): void {
    const station = this.stations[number];
    if (station.isAlive) return;
    station.isAlive = true;
    station.lastMs = this.nowMs;
    for (const member of station.members) member.setObstacle(null, this.nowMs);
  }

  /** It is gone without a word, and knows nothing when it comes back. */
  crash(number: number): void {
    const station = this.stations[number];
    if (!station.isAlive) return;
    station.isAlive = false;
    const { flying } = this;
    for (const member of station.members) member.setObstacle('linkDown', this.nowMs);
    this.flying = flying.filter(({ from, atMs }) => from !== number || atMs !== this.nowMs + LATENCY_MS);
  }

  /** One millisecond passes. */
  step(): void {
    this.nowMs++;
    const { nowMs } = this;
    const arrived = this.flying.filter(({ atMs }) => atMs <= nowMs);
    this.flying = this.flying.filter(({ atMs }) => atMs > nowMs);
    for (const { from, wire, priority } of arrived) {
      for (const station of this.stations) {
        if (station.number === from || !station.isAlive || this.parts[station.number] !== this.parts[from]) continue;
        if (this.random.below(1000) < this.loss * 1000) continue;
        // What comes while it stands still is lost, as from a full queue.
        if (nowMs < station.frozenUntilMs) continue;
        this.wake(station);
        station.members[wire].hear({ priority, intervalMs: INTERVAL_MS, sender: from + 1, isHigher: from > station.number }, nowMs);
      }
    }
    for (const station of this.stations) {
      if (!station.isAlive || nowMs < station.frozenUntilMs) continue;
      this.wake(station);
      for (const member of station.members) member.tick(nowMs);
    }
  }

  private wake(station: Station): void {
    if (this.nowMs - station.lastMs > 1) for (const member of station.members) member.stoodStill(this.nowMs - station.lastMs, this.nowMs);
    station.lastMs = this.nowMs;
  }

  run(ms: number, check: () => void): void {
    for (let i = 0; i < ms; i++) {
      this.step();
      check();
    }
  }
}

const event = fc.record({ kind: fc.constantFrom('crash', 'start', 'freeze', 'part', 'heal', 'loss'), which: fc.nat(4), forMs: fc.integer({ min: 1, max: 900 }), amount: fc.integer({ min: 0, max: 3 }) });
const history = fc.record({
  wires: fc.constantFrom(1, 1, 2, 3), priorities: fc.array(fc.integer({ min: 1, max: 254 }), { minLength: 1, maxLength: 5 }), preempt: fc.boolean(),
  seed: fc.nat(), events: fc.array(event, { maxLength: 25 }),
});

// conforms: vrrp-one-master
test('one master, the best, whatever has happened before; groups hold together all the time', () => {
  fc.assert(fc.property(history, ({ wires, priorities, preempt, seed, events }) => {
    const net = new Net(seed);
    for (const priority of priorities) net.add(wires, priority, preempt);
    priorities.forEach((_, i) => net.start(i));
    const together = (): void => {
      for (const station of net.stations) assert.is(station.isAnyMaster, station.isMaster, `station ${station.number} is master on all its wires or on none`);
    };
    for (const { kind, which, forMs, amount } of events) {
      const number = which % net.stations.length;
      if (kind === 'crash') net.crash(number);
      if (kind === 'start') net.start(number);
      if (kind === 'freeze') net.stations[number].frozenUntilMs = net.nowMs + forMs;
      if (kind === 'part') net.parts[number] = amount;
      if (kind === 'heal') net.parts.fill(0);
      if (kind === 'loss') net.loss = amount / 4;
      net.run(forMs, together);
    }
    net.parts.fill(0);
    net.loss = 0;
    for (const station of net.stations) station.frozenUntilMs = 0;
    net.start(seed % net.stations.length);
    net.run(SETTLED_MS, together);
    const alive = net.stations.filter(({ isAlive }) => isAlive);
    const best = alive.reduce((one, other) => (other.members[0].options.priority >= one.members[0].options.priority ? other : one));
    net.run(10 * INTERVAL_MS, () => {
      together();
      const masters = alive.filter(({ isMaster }) => isMaster);
      assert.is(masters.length, 1, `masters: ${masters.map(({ number }) => number).join(' ')}`);
      // Among equals whoever is master already stays it.
      if (preempt) assert.is(masters[0].members[0].options.priority, best.members[0].options.priority, 'the best one');
    });
  }), { numRuns: 300, includeErrorInReport: true });
});

// conforms: vrrp-one-master
test('while no advert is lost, two are masters for no longer than one takes', () => {
  fc.assert(fc.property(history, ({ wires, priorities, preempt, seed, events }) => {
    const net = new Net(seed);
    for (const priority of priorities) net.add(wires, priority, preempt);
    let twoSinceMs = NaN;
    const check = (): void => {
      const count = net.stations.filter(({ isMaster }) => isMaster).length;
      if (count < 2) twoSinceMs = NaN;
      else if (Number.isNaN(twoSinceMs)) twoSinceMs = net.nowMs;
      assert.ok(Number.isNaN(twoSinceMs) || net.nowMs - twoSinceMs <= INTERVAL_MS + 2 * LATENCY_MS, `${count} masters for ${net.nowMs - twoSinceMs} ms`);
    };
    priorities.forEach((_, i) => net.start(i));
    for (const { kind, which, forMs } of events) {
      if (kind === 'crash') net.crash(which % net.stations.length);
      if (kind === 'start') net.start(which % net.stations.length);
      net.run(forMs, check);
    }
    net.run(SETTLED_MS, check);
  }), { numRuns: 200, includeErrorInReport: true });
});

test('the judge sees two masters where there are two', () => {
  const net = new Net(1);
  for (const priority of [100, 200]) net.add(1, priority, true);
  net.parts[1] = 1;
  net.start(0);
  net.start(1);
  net.run(SETTLED_MS, () => undefined);
  assert.is(net.stations.filter(({ isMaster }) => isMaster).length, 2, 'each is alone in its part');
  net.parts[1] = 0;
  net.run(INTERVAL_MS + 2, () => undefined);
  assert.equal(net.stations.map(({ isMaster }) => isMaster), [false, true]);
});

test.run();
