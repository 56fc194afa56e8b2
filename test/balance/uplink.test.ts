/** Uplinks and groups: who is picked by weight, tier, balance mode, preference and affinity, and what a change moves. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AffinityTable, affinityBytes } from '../../src/balance/affinity.js';
import { Pool } from '../../src/balance/pool.js';
import { makeGroups, Uplink } from '../../src/balance/uplink.js';
import type { Group } from '../../src/balance/uplink.js';
import type { AffinityPlan, Balance, GroupPlan, Plan, UplinkPlan } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { Tuple } from '../../src/wire/tuple.js';
import { ALPHA, isDrawnBy, likelihood } from '../support/oracle/chi-square.js';
import { anySeed, check } from '../support/oracle/property.js';
import { poolOf } from './scheduler-suite.js';

const NONE = -1;
/** What a resilient scheduler may be ahead of a share by. */
const SLACK = 8;
const BUCKETS = 1024;

const uplinkPlan = (index: number, weight: number, snat: string[] = [`192.0.2.${index}`]): UplinkPlan => ({
  index, name: `wan${index}`, link: index + 1, gateway: '192.0.2.1', weight, snat,
  mapping: 'endpoint-independent', filtering: 'address-and-port-dependent', whenExhausted: 'refuse', refreshInbound: true,
});

interface World {
  uplinks: Uplink[];
  groups: Group[];
  affinity: AffinityTable;
  evicted: () => number;
  set: (uplink: number, change: { weight?: number; isUsable?: boolean }) => void;
}

interface WorldOptions {
  weights: readonly number[];
  groups?: readonly Partial<GroupPlan>[];
  /** Affinity of policies, numbered after the groups. */
  policies?: readonly AffinityPlan[];
  isUsable?: boolean;
  snat?: (uplink: number) => string[];
  capacity?: number;
  seed?: number;
}

function world(options: WorldOptions): World {
  const { weights, groups = [{}], policies = [], isUsable = true, capacity = 256, seed = 7 } = options;
  const uplinkPlans = weights.map((weight, i) => uplinkPlan(i, weight, options.snat?.(i)));
  const plan = {
    seed, uplinks: uplinkPlans, oneToOne: [],
    groups: groups.map((group, index): GroupPlan => {
      const members = group.uplinks ?? weights.map((_, i) => i);
      return {
        index, name: `g${index}`, uplinks: members, tiers: members.map(() => 1), balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 60,
        lastResort: 'unreachable', ...group,
      };
    }),
  } as unknown as Plan;
  const uplinks = uplinkPlans.map((one, i) => {
    const uplink = new Uplink(one, 5, one.snat.map((_, at) => at + 1), 10 + i, 20 + i);
    uplink.isUsable = isUsable;
    return uplink;
  });
  let evicted = 0;
  const owners = [...plan.groups.map((group) => group.affinity), ...policies];
  const affinity = new AffinityTable(new SharedArrayBuffer(affinityBytes(capacity)), capacity, owners, seed, () => evicted++);
  const made = makeGroups(plan, uplinks, affinity);
  return {
    uplinks, groups: made, affinity, evicted: () => evicted,
    set: (uplink, change) => {
      Object.assign(uplinks[uplink], change);
      for (const group of made) group.update(uplinks[uplink]);
    },
  };
}

const tuple = new Tuple();

function flow(source: number, destination = 0x0a00_0001, port = 1): Tuple {
  tuple.setV4(source | 0, destination | 0, (port << 16) | 80, 6);
  return tuple;
}

/** The index of the uplink a flow takes, or NONE. */
const pick = (group: Group, of: Tuple, nowMs = 0): number => group.pick(of, of.hash(99), null, nowMs)?.index ?? NONE;

/** How many of `flows` flows with all their fields at random each uplink takes. */
function tally(group: Group, uplinks: number, flows: number, seed: number): number[] {
  const random = new Random(seed);
  const counts = new Array<number>(uplinks).fill(0);
  for (let i = 0; i < flows; i++) counts[pick(group, flow(random.next(), random.next(), random.below(65_536)))]++;
  return counts;
}

const BY_ADDRESS: readonly Balance[] = ['source', 'destination', 'source-destination'];

test('an uplink is what its plan says, and not usable before its link is up', () => {
  const uplink = new Uplink(uplinkPlan(0, 3), 5, [9], 10, 20);
  assert.equal([uplink.name, uplink.link, uplink.gateway, uplink.weight, uplink.isUsable, uplink.isDrained, uplink.viaGateway, uplink.onLink],
    ['wan0', 1, 5, 3, false, false, 10, 20]);
  assert.equal(uplink.snat, [9]);
});

test('a change of a target is told by the version; down counts for nothing', () => {
  const pool = poolOf(4);
  const [target] = pool.targets;
  const before = pool.version;
  pool.set(target, { weight: 6 });
  assert.ok(pool.version > before);
  assert.is(Pool.effectiveWeight(target), 6);
  pool.set(target, { isUsable: false });
  assert.equal([target.weight, Pool.effectiveWeight(target)], [6, 0]);
});

test('a group picks among its own uplinks and counts by member; nobody usable = null', () => {
  const { groups: [group], set } = world({ weights: [1, 1, 1], groups: [{ uplinks: [2, 0] }], isUsable: false });
  assert.is(pick(group, flow(1)), NONE);
  assert.is(group.activeTier, NONE);
  for (const uplink of [0, 1, 2]) set(uplink, { isUsable: true });
  const counts = tally(group, 3, 1000, 1);
  assert.is(counts[1], 0);
  assert.ok(Math.abs(counts[0] - 500) <= SLACK + 1, `${counts[0]}`);
  assert.equal(group.members.map((member) => [member.uplink.index, member.chosen]), [[2, counts[2]], [0, counts[0]]]);
});

// conforms: fwd-split
test('chi-square: each balance mode splits by weight, whatever the seed', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 5 });
  check(fc.property(anySeed, weights, fc.constantFrom<Balance>('flow', ...BY_ADDRESS, 'packet'), (seed, all, balance) => {
    const { groups: [group] } = world({ weights: all, groups: [{ balance }], seed });
    isDrawnBy(tally(group, all.length, 4000, seed ^ 0x5bd1_e995), all, `${balance} with seed ${seed}:`);
  }), 150);
});

test('the test of the split can fail: other weights by a fifth, or an uplink of four left out, are seen', () => {
  const { groups: [group] } = world({ weights: [6, 4], groups: [{ balance: 'source' }] });
  assert.ok(likelihood(tally(group, 2, 4000, 3), [5, 5]) < ALPHA);
  assert.ok(likelihood([1000, 1000, 1000, 0], [1, 1, 1, 1]) < ALPHA);
  assert.ok(likelihood([300, 100], [3, 1]) === 1);
});

test('by flow the split keeps closer to the weights than dice would', () => {
  check(fc.property(anySeed, (seed) => {
    const { groups: [group] } = world({ weights: [3, 1], seed });
    const [first] = tally(group, 2, 400, seed);
    assert.ok(Math.abs(first - 300) <= SLACK + 1, `${first} of 400`);
  }), 40);
});

// conforms: fwd-split
test('the same source always takes the same uplink while the membership stands, and so for each mode by address', () => {
  const field = fc.integer({ min: 0, max: 30 });
  const keyOf: Record<string, (s: number, d: number) => string> = {
    source: (s) => `${s}`, destination: (_, d) => `${d}`, 'source-destination': (s, d) => `${s} ${d}`,
  };
  check(fc.property(anySeed, fc.constantFrom(...BY_ADDRESS), fc.array(fc.tuple(field, field, field), { minLength: 50, maxLength: 300 }), (seed, balance, flows) => {
    const { groups: [group] } = world({ weights: [5, 1, 2], groups: [{ balance }], seed });
    const had = new Map<string, number>();
    for (const [s, d, port] of flows) {
      const key = keyOf[balance](s, d);
      const uplink = pick(group, flow(s, d, port));
      assert.is(uplink, had.get(key) ?? uplink, `${balance}: ${key}`);
      had.set(key, uplink);
    }
  }), 60);
});

test('by source, what is not compared by does spread: one source stays, many sources go everywhere', () => {
  const { groups: [group] } = world({ weights: [1, 1], groups: [{ balance: 'source' }] });
  assert.is(new Set(Array.from({ length: 200 }, (_, i) => pick(group, flow(77, i, i)))).size, 1);
  assert.is(new Set(Array.from({ length: 200 }, (_, i) => pick(group, flow(i)))).size, 2);
});

test('a change of weight or member moves only what must: from those that lose a share, to those that gain one, and no more than the shares say', () => {
  const change = fc.record({ uplink: fc.nat(), weight: fc.integer({ min: 0, max: 9 }), isUsable: fc.boolean() });
  check(fc.property(anySeed, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 5 }), fc.array(change, { minLength: 1, maxLength: 5 }), (seed, all, changes) => {
    const { groups: [group], uplinks, set } = world({ weights: all, groups: [{ balance: 'source' }], seed });
    const SOURCES = 1000;
    const places = (): number[] => Array.from({ length: SOURCES }, (_, i) => pick(group, flow(i)));
    const share = (): number[] => {
      const weights = uplinks.map((uplink) => (uplink.isUsable ? uplink.weight : 0));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return weights.map((weight) => (total === 0 ? 0 : weight / total));
    };
    let before = places(), sharesBefore = share();
    for (const c of changes) {
      set(c.uplink % all.length, { weight: c.weight, isUsable: c.isUsable });
      const after = places(), shares = share();
      if (shares.some((s) => s > 0) && sharesBefore.some((s) => s > 0)) {
        let moved = 0;
        after.forEach((uplink, i) => {
          if (uplink === before[i]) return;
          moved++;
          // Rounding to whole buckets may take one from a target whose share stands, or give it one.
          assert.ok(shares[before[i]] < sharesBefore[before[i]] + 1 / BUCKETS && shares[uplink] > sharesBefore[uplink] - 1 / BUCKETS, `${before[i]} → ${uplink}`);
        });
        const least = shares.reduce((sum, s, i) => sum + Math.max(0, s - sharesBefore[i]), 0) + all.length / BUCKETS;
        // Of so many sources, each moved with probability `least`: six standard deviations above the mean.
        assert.ok(moved <= SOURCES * least + 6 * Math.sqrt(SOURCES * least) + 1, `${moved} of ${SOURCES} moved where ${least} of them must`);
      }
      before = after;
      sharesBefore = shares;
    }
  }), 60);
});

test('tiers never mix: new flows take the lowest tier that has a usable member with a weight, and only that', () => {
  const change = fc.record({ uplink: fc.nat({ max: 5 }), weight: fc.constantFrom(0, 1, 3), isUsable: fc.boolean() });
  const tiers = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 6, maxLength: 6 });
  check(fc.property(tiers, fc.constantFrom<Balance>('flow', 'source', 'packet'), fc.array(change, { maxLength: 20 }), (all, balance, changes) => {
    const { groups: [group], uplinks, set } = world({ weights: [1, 1, 1, 1, 1, 1], groups: [{ tiers: all, balance }] });
    for (const c of changes) {
      set(c.uplink, { weight: c.weight, isUsable: c.isUsable });
      const able = uplinks.filter((uplink) => uplink.isUsable && uplink.weight > 0);
      const best = able.length === 0 ? NONE : Math.min(...able.map((uplink) => all[uplink.index]));
      assert.is(group.activeTier, best);
      for (let i = 0; i < 20; i++) {
        const taken = pick(group, flow(i, i, i));
        if (best === NONE) assert.is(taken, NONE);
        else assert.ok(all[taken] === best && uplinks[taken].isUsable && uplinks[taken].weight > 0, `uplink ${taken} while tier ${best} serves`);
      }
      for (const uplink of uplinks) assert.is(group.hasBetterThan(uplink), able.some((other) => other !== uplink));
    }
  }), 100);
});

test('one uplink may stand on different tiers of different groups, and both learn of it', () => {
  const { groups, set } = world({ weights: [1, 1], groups: [{ tiers: [1, 2] }, { tiers: [2, 1] }] });
  assert.equal(groups.map((group) => pick(group, flow(1))), [0, 1]);
  assert.equal(groups.map((group) => group.tierOf(group.members[0].uplink)), [1, 2]);
  set(0, { isUsable: false });
  assert.equal(groups.map((group) => pick(group, flow(1))), [1, 1]);
  assert.equal(groups.map((group) => group.activeTier), [2, 1]);
});

test('the last resort: another group, and its own last resort after it; what is told then is the last one’s', () => {
  const { groups, uplinks, set } = world({
    weights: [1, 1, 1], groups: [{ uplinks: [0], lastResort: { group: 1 } }, { uplinks: [1], lastResort: { group: 2 } }, { uplinks: [2], lastResort: 'blackhole' }, { uplinks: [2] }],
  });
  assert.equal(groups.map((group) => group.isSilent), [true, true, true, false]);
  assert.is(pick(groups[0], flow(1)), 0);
  assert.ok(groups[0].hasBetterThan(uplinks[0]));
  set(0, { isUsable: false });
  assert.is(pick(groups[0], flow(1)), 1);
  set(1, { isUsable: false });
  assert.is(pick(groups[0], flow(1)), 2);
  assert.not.ok(groups[0].hasBetterThan(uplinks[2]), 'nothing else is left');
  set(2, { isUsable: false });
  assert.is(pick(groups[0], flow(1)), NONE);
  assert.not.ok(groups[0].hasBetterThan(uplinks[0]));
  set(0, { isUsable: true });
  assert.is(pick(groups[0], flow(1)), 0);
});

test('groups that are each other’s last resort are a mistake of the program', () => {
  assert.throws(() => world({ weights: [1], groups: [{ lastResort: { group: 1 } }, { lastResort: { group: 0 } }] }), /last resort/);
});

test('a preferred uplink is taken while it is usable and has a weight, also on a worse tier', () => {
  const { groups: [group], set } = world({ weights: [1, 1], groups: [{ tiers: [1, 2] }] });
  const ask = (): number => group.pick(flow(5), 5, { prefer: 1, owner: NONE }, 0)?.index ?? NONE;
  assert.is(ask(), 1);
  set(1, { weight: 0 });
  assert.is(ask(), 0);
  set(1, { weight: 1, isUsable: false });
  assert.is(ask(), 0);
  set(1, { isUsable: true });
  assert.is(ask(), 1);
});

const SOURCE_AFFINITY: AffinityPlan = { by: 'source', timeout: 60 };

test('affinity outlives every change of weight but 0, and ends when its time is up since the last new flow', () => {
  check(fc.property(anySeed, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 3, maxLength: 3 }), (seed, changed) => {
    const { groups: [group], set } = world({ weights: [1, 1, 1], groups: [{ affinity: SOURCE_AFFINITY }], seed });
    const had = Array.from({ length: 40 }, (_, i) => pick(group, flow(i, i, i), 0));
    assert.ok(new Set(had).size === 3);
    changed.forEach((weight, uplink) => set(uplink, { weight }));
    for (let atMs = 59_999, again = 0; again < 3; again++, atMs += 59_999) {
      assert.equal(Array.from({ length: 40 }, (_, i) => pick(group, flow(i, i + again, i + 9), atMs)), had, `at ${atMs} ms`);
    }
    const ended = Array.from({ length: 40 }, (_, i) => pick(group, flow(i, i, i + 20), 59_999 * 3 + 60_000));
    assert.not.equal(ended, had, 'picked anew');
  }), 20);
});

test('affinity to an uplink that is down or drained is given up for another one, which then holds', () => {
  for (const [away, home] of [[{ isUsable: false }, { isUsable: true }], [{ weight: 0 }, { weight: 1 }]] as const) {
    const { groups: [group], affinity, set } = world({ weights: [1, 1], groups: [{ affinity: SOURCE_AFFINITY }] });
    const had = pick(group, flow(1));
    set(had, away);
    assert.is(pick(group, flow(1)), 1 - had);
    set(had, home);
    for (let i = 0; i < 20; i++) assert.is(pick(group, flow(1, i, i)), 1 - had, 'stays where it went');
    assert.is(affinity.count, 1);
  }
});

test('affinity by destination, by both, and a policy’s own, each for itself', () => {
  const policies: AffinityPlan[] = [{ by: 'destination', timeout: 60 }, { by: 'source-destination', timeout: 60 }];
  const { groups: [group], affinity } = world({ weights: [1, 1], policies });
  const ask = (owner: number, s: number, d: number): number => group.pick(flow(s, d), s * 7919 + d, { prefer: NONE, owner }, 0)?.index ?? NONE;
  const byDestination = Array.from({ length: 10 }, (_, d) => ask(1, 1, d));
  for (let s = 2; s < 20; s++) assert.equal(Array.from({ length: 10 }, (_, d) => ask(1, s, d)), byDestination);
  assert.is(affinity.count, 10);
  const byBoth = Array.from({ length: 10 }, (_, i) => ask(2, i % 2, i));
  assert.equal(Array.from({ length: 10 }, (_, i) => ask(2, i % 2, i)), byBoth);
  assert.is(affinity.count, 20);
  group.pick(flow(1), 3, { prefer: NONE, owner: NONE }, 0);
  assert.is(affinity.count, 20, 'a policy with nobody’s affinity leaves none');
});

test('when a better tier returns: keep leaves affinity to the worse one, drain and reset forget it in the same step', () => {
  for (const onRecover of ['keep', 'drain', 'reset'] as const) {
    const { groups: [group], affinity, set } = world({
      weights: [1, 1, 1], groups: [{ tiers: [1, 2, 1], affinity: SOURCE_AFFINITY, onRecover }],
    });
    set(0, { isUsable: false });
    pick(group, flow(1));
    set(2, { isUsable: false });
    for (let i = 0; i < 10; i++) assert.is(pick(group, flow(i + 2)), 1);
    assert.is(affinity.count, 11);
    set(0, { isUsable: true });
    assert.is(affinity.count, onRecover === 'keep' ? 11 : 1, onRecover);
    assert.is(pick(group, flow(5)), onRecover === 'keep' ? 1 : 0, onRecover);
  }
});

test('a group that is last resort remembers by its own affinity; the first group’s stands', () => {
  const { groups, affinity, set } = world({
    weights: [1, 1, 1], groups: [{ uplinks: [0], affinity: SOURCE_AFFINITY, lastResort: { group: 1 } }, { uplinks: [1, 2], affinity: { by: 'destination', timeout: 9 } }],
  });
  pick(groups[0], flow(1));
  set(0, { isUsable: false });
  const taken = pick(groups[0], flow(1, 5));
  for (let s = 0; s < 20; s++) assert.is(pick(groups[0], flow(s, 5, s)), taken);
  assert.is(affinity.count, 2);
  set(0, { isUsable: true });
  assert.is(pick(groups[0], flow(1)), 0);
});

test('packets take turns by weight, one by one, but only where nobody can tell', () => {
  const none = (): string[] => [];
  const sprayed = world({ weights: [3, 1, 2], groups: [{ balance: 'packet' }], snat: none });
  const [group] = sprayed.groups;
  assert.ok(group.isSprayed && group.sprays(null));
  const counts = [0, 0, 0];
  for (let i = 1; i <= 600; i++) {
    counts[group.spray()?.index as number]++;
    [3, 1, 2].forEach((weight, uplink) => assert.ok(Math.abs(counts[uplink] - (i * weight) / 6) <= 1, `${counts} of ${i}`));
  }
  sprayed.set(0, { isUsable: false });
  const rest = Array.from({ length: 6 }, () => group.spray()?.index);
  assert.equal([rest.filter((uplink) => uplink === 1).length, rest.filter((uplink) => uplink === 2).length], [2, 4]);
  for (const uplink of [1, 2]) sprayed.set(uplink, { isUsable: false });
  assert.is(group.spray(), null);
  assert.not.ok(group.sprays(null));
  const shared = (): string[] => ['192.0.2.50'];
  assert.ok(world({ weights: [1, 1], groups: [{ balance: 'packet' }], snat: shared }).groups[0].isSprayed, 'one address for all');
  assert.not.ok(world({ weights: [1, 1], groups: [{ balance: 'packet' }] }).groups[0].isSprayed, 'addresses of their own');
  assert.not.ok(world({ weights: [1, 1], snat: none }).groups[0].isSprayed, 'another mode');
  assert.not.ok(world({ weights: [1, 1], groups: [{ balance: 'packet', affinity: SOURCE_AFFINITY }], snat: none }).groups[0].sprays(null), 'who is to come back is not sprayed');
});

test('addresses of either family count whole', () => {
  const { groups: [group] } = world({ weights: [1, 1], groups: [{ balance: 'source' }] });
  const six = new Tuple();
  const places = Array.from({ length: 300 }, (_, i) => {
    six.setV4(1, 2, 80, 6);
    six.s1 = i;
    six.s2 = 5;
    return pick(group, six);
  });
  isDrawnBy([0, 1].map((uplink) => places.filter((place) => place === uplink).length), [1, 1], 'words before the last are looked at:');
});

test.run();
