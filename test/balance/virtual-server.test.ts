/** Virtual servers held against a plain model of who takes new flows: checks, drains, weights, thresholds, quorum and slow start in any order. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Plan } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { VirtualServers } from '../../src/balance/virtual-server.js';
import type { ServerNotice, VirtualServer } from '../../src/balance/virtual-server.js';
import {
  Counters, countersBytes, SERVER_ACTIVE, SERVER_DRAINED, SERVER_FULL, SERVER_INACTIVE, SERVER_UP, SERVER_USABLE, SERVER_WANTED, SERVER_WEIGHT, VIRTUAL_UP, VIRTUAL_WEIGHT,
} from '../../src/table/counters.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { Tuple } from '../../src/wire/tuple.js';
import { check } from '../support/oracle/property.js';
import { servers } from '../support/servers.js';
import type { ServerWant } from '../support/servers.js';

interface Made { all: VirtualServers; counters: Counters; notices: ServerNotice[]; clock: { ms: number } }

function made(...wanted: ServerWant[]): Made {
  const parts = servers(...wanted);
  const shape = { links: 1, uplinks: 0, virtualServers: parts.virtualServers.length, realServers: parts.realServers.length };
  const counters = new Counters(new SharedArrayBuffer(countersBytes(shape)), shape);
  const notices: ServerNotice[] = [];
  const clock = { ms: 1000 };
  const plan = { ...parts, limits: { affinity: 64 } } as unknown as Plan;
  return { all: new VirtualServers(plan, counters, new Random(1), () => clock.ms, (notice) => notices.push(notice)), counters, notices, clock };
}

function tuple(client: string, port = 4000): Tuple {
  const one = new Tuple();
  one.setV4(parseIpv4(client), parseIpv4('192.0.2.1'), (port << 16) | 80, 6);
  return one;
}

const address = (i: number): string => `10.0.0.${i + 1}`;
const SERVERS = 3;

type Step = { what: 'health' | 'drain' | 'flush'; server: number; isGood: boolean } | { what: 'weight'; server: number; weight: number } | { what: 'open' } | { what: 'close'; server: number };

const anyServer = fc.nat(SERVERS - 1);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constantFrom('health' as const, 'drain' as const, 'flush' as const), server: anyServer, isGood: fc.boolean() }),
  fc.record({ what: fc.constant('weight' as const), server: anyServer, weight: fc.nat(4) }),
  fc.record({ what: fc.constant('open' as const) }), fc.record({ what: fc.constant('open' as const) }),
  fc.record({ what: fc.constant('close' as const), server: anyServer }),
);

test('whoever is chosen may be, somebody is as long as somebody may be, and the counters say what is so', () => {
  const anyCase = fc.record({
    scheduler: fc.constantFrom('rr' as const, 'wrr' as const, 'wlc' as const, 'fo' as const), quorum: fc.record({ weight: fc.integer({ min: 1, max: 6 }), hysteresis: fc.nat(3) }),
    upper: fc.nat(4), steps: fc.array(anyStep, { maxLength: 60 }),
  });
  check(fc.property(anyCase, ({ scheduler, quorum, upper, steps }) => {
    const lower = Math.floor(upper * 3 / 4);
    const { all, counters, notices } = made({ addresses: '192.0.2.1', scheduler, quorum, realServers: Array.from({ length: SERVERS }, (_, i) => ({ address: address(i), weight: 2, upper, lower })) });
    const [one] = all.list;
    const model = Array.from({ length: SERVERS }, () => ({ isUp: true, isDrained: false, isFlushed: false, weight: 2, flows: 0, isFull: false }));
    const total = (): number => model.reduce((sum, real) => sum + (real.isUp && !real.isDrained ? real.weight : 0), 0);
    let hasQuorum = total() >= quorum.weight;
    const told: boolean[] = [];
    const settle = (): void => {
      const next = total() >= quorum.weight + (hasQuorum ? 0 : quorum.hysteresis);
      if (next !== hasQuorum) told.push(next);
      hasQuorum = next;
    };
    for (const step of steps) {
      if (step.what === 'open') {
        const may = model.map((real) => hasQuorum && real.isUp && !real.isDrained && real.weight > 0 && !real.isFull);
        const server = all.choose(one, tuple('198.51.100.1'), 7);
        assert.is(server !== null, may.includes(true), 'somebody takes it as long as somebody may');
        if (server === null) continue;
        assert.ok(may[server.index], `${server.index} was chosen of ${may}`);
        all.open(server, true);
        const real = model[server.index];
        if (++real.flows >= upper && upper > 0) real.isFull = true;
      } else if (step.what === 'close') {
        const real = model[step.server];
        if (real.flows === 0) continue;
        all.close(all.servers[step.server], true);
        if (--real.flows <= lower) real.isFull = false;
      } else {
        const real = model[step.server], server = all.servers[step.server];
        const wasLost = !real.isUp || real.isFlushed;
        let isChange: boolean | null = null;
        if (step.what === 'health') {
          real.isUp = step.isGood;
          isChange = all.setHealth(server, step.isGood, null, 0);
        } else if (step.what === 'weight') {
          real.weight = step.weight;
          all.setWeight(server, step.weight, 0);
        } else {
          real.isDrained = !step.isGood;
          real.isFlushed = !step.isGood && step.what === 'flush';
          isChange = all.setDrained(server, !step.isGood, step.what === 'flush', 0);
        }
        if (isChange !== null) assert.is(isChange, wasLost !== (!real.isUp || real.isFlushed), 'told whether its flows are to be looked at');
        settle();
      }
      model.forEach((real, i) => {
        const isServing = real.isUp && !real.isDrained && real.weight > 0;
        const read = [SERVER_ACTIVE, SERVER_INACTIVE, SERVER_UP, SERVER_DRAINED, SERVER_WANTED, SERVER_WEIGHT, SERVER_FULL, SERVER_USABLE].map((counter) => counters.server(i, counter));
        assert.equal(read, [real.flows, 0, real.isUp, real.isDrained, real.weight, real.isDrained ? 0 : real.weight, real.isFull, isServing && hasQuorum && !real.isFull].map(Number), `server ${i}`);
      });
      assert.equal([counters.virtualServer(0, VIRTUAL_UP), counters.virtualServer(0, VIRTUAL_WEIGHT)], [hasQuorum, total()].map(Number));
    }
    assert.equal(notices.flatMap((notice) => (notice.event === 'virtualServer' ? [notice.isUp] : [])), told);
  }), 300);
});

test('a change of why it takes no flows is told of once', () => {
  const { all, notices } = made({ addresses: '192.0.2.1', realServers: [{ address: address(0) }, { address: address(1) }] });
  const [server] = all.servers;
  all.setHealth(server, false, 'timed out', 0);
  all.setHealth(server, false, 'timed out', 0);
  all.setDrained(server, true, false, 0);
  all.setHealth(server, true, null, 0);
  all.setDrained(server, false, false, 0);
  assert.equal(notices.map((notice) => (notice.event === 'server' ? [notice.isUp, notice.isUsable, notice.reason, notice.detail] : notice)),
    [[false, false, 'unhealthy', 'timed out'], [true, false, 'drained', null], [true, true, null, null]]);
});

test('slow start goes up by sixteenths, each in its time, and a fall ends it', () => {
  const { all, clock } = made({ addresses: '192.0.2.1', slowStart: 160, realServers: [{ address: address(0), weight: 3 }, { address: address(1) }] });
  const [server] = all.servers;
  assert.equal([server.weight, all.dueMs], [3, Infinity], 'not at the start');
  all.setHealth(server, false, null, clock.ms);
  all.setHealth(server, true, null, clock.ms);
  for (let step = 1; step < 16; step++) {
    assert.is(server.weight, 3 * step / 16);
    assert.is(all.dueMs, clock.ms + 10_000);
    clock.ms += 9999;
    all.tick(clock.ms, 0, 10);
    assert.is(server.weight, 3 * step / 16, 'not before its time');
    clock.ms += 1;
    all.tick(clock.ms, 0, 10);
  }
  assert.equal([server.weight, all.dueMs], [3, Infinity]);
  all.setDrained(server, true, false, clock.ms);
  all.setDrained(server, false, false, clock.ms);
  assert.is(server.weight, 3 / 16, 'drained and back is a start as well');
  all.setHealth(server, false, null, clock.ms);
  clock.ms += 50_000;
  all.tick(clock.ms, 0, 10);
  all.setHealth(server, true, null, clock.ms);
  assert.is(server.weight, 3 / 16);
});

test('hashing schedulers go by the client, with its port only if so told, and the same on every router', () => {
  const realServers = Array.from({ length: 5 }, (_, i) => ({ address: address(i) }));
  for (const name of ['sh', 'mh'] as const) {
    for (const hashPort of [false, true]) {
      const [first, second] = [made({ addresses: '192.0.2.1', scheduler: { name, hashPort, fallBack: false }, realServers }), made({ addresses: '192.0.2.1', scheduler: { name, hashPort, fallBack: false }, realServers })];
      const chosen = new Set<string>();
      for (let port = 1000; port < 1040; port++) {
        const asked = tuple('198.51.100.7', port);
        // The flow's own hash differs from router to router.
        const [a, b] = [first.all.choose(first.all.list[0], asked, port), second.all.choose(second.all.list[0], asked, ~port)];
        assert.is(a?.name, b?.name);
        chosen.add(a!.name);
      }
      assert.is(chosen.size > 1, hashPort, `${name}, port hashed: ${hashPort}`);
    }
  }
});

test('tied virtual servers know each other’s servers by address and name, else by address', () => {
  const persistence = { timeout: 60, mask: 32, tie: 'shop' };
  const { all } = made(
    { addresses: '192.0.2.1', persistence, realServers: [{ address: address(0), name: 'a', port: 80 }, { address: address(0), name: 'b', port: 81 }, { address: address(1), name: 'c' }] },
    { addresses: '192.0.2.1', persistence, ports: { first: 443, last: 443 }, realServers: [{ address: address(1), name: 'other' }, { address: address(0), name: 'b' }, { address: address(0), name: 'a' }] },
    { addresses: '192.0.2.1', ports: { first: 81, last: 81 }, realServers: [{ address: address(0), name: 'a' }] });
  const [one, two] = all.list;
  assert.is(one.owner, two.owner);
  const counterparts = ({ counterparts: places }: VirtualServer): number[] => all.servers.map(({ index }) => places.get(index) ?? -1);
  assert.equal(counterparts(two), [2, 1, 0, 0, 1, 2, -1]);
  assert.equal(counterparts(one), [0, 1, 2, 2, 1, 0, -1]);
  assert.is(all.list[2].counterparts.size, 0, 'who remembers nobody knows nobody');
});

test('the sorry server takes what is left over, as long as it is not drained itself, and its draining is told like any other’s', () => {
  const { all, notices } = made({ addresses: '192.0.2.1', realServers: [{ address: address(0) }], sorry: { address: address(9) } });
  const [one] = all.list;
  const asked = (): string | undefined => all.choose(one, tuple('198.51.100.1'), 1)?.name;
  assert.is(asked(), 'rs1');
  all.setWeight(all.servers[0], 0, 0);
  assert.is(asked(), 'sorry');
  for (let i = 0; i < 2; i++) {
    all.setDrained(all.servers[1], true, false, 0);
    assert.is(asked(), undefined);
    all.setDrained(all.servers[1], false, false, 0);
    assert.is(asked(), 'sorry');
  }
  assert.equal(notices.flatMap((notice) => (notice.event === 'server' && notice.server === 1 ? [[notice.isUsable, notice.reason]] : [])),
    [[false, 'drained'], [true, null], [false, 'drained'], [true, null]]);
});

test.run();
