/** Maglev: the table of the paper, the same on every router, and little disturbed. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Pool } from '../../../src/balance/pool.js';
import { MaglevTable, mh, placesFor, TARGETS_MAX } from '../../../src/balance/scheduler/mh.js';
import type { Target } from '../../../src/balance/target.js';
import { finish, mix } from '../../../src/base/hash.js';
import { check } from '../../support/oracle/property.js';
import { target } from '../disruption.js';
import { made, poolOf } from '../scheduler-suite.js';

const NONE = -1;
const weights = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 12 }).filter((all) => all.some((w) => w > 0));

function tableOf(targets: readonly Target[]): Int16Array {
  const table = new MaglevTable(targets);
  table.share(targets.map((one) => one.weight));
  return table.places;
}

/** The paper's listing with its whole table of permutations, for equal weights: targets in the order of their keys. */
function paper(targets: readonly Target[]): number[] {
  const size = placesFor(targets.length);
  const order = targets.map((_, i) => i).sort((a, b) => targets[a].key - targets[b].key);
  const permutations = targets.map(({ key }) => {
    const offset = (finish(mix(1, key)) >>> 0) % size, skip = ((finish(mix(2, key)) >>> 0) % (size - 1)) + 1;
    return Array.from({ length: size }, (_, j) => (offset + j * skip) % size);
  });
  const entry = new Array<number>(size).fill(NONE);
  const next = targets.map(() => 0);
  for (let filled = 0; ;) {
    for (const i of order) {
      while (entry[permutations[i][next[i]]] !== NONE) next[i]++;
      entry[permutations[i][next[i]]] = i;
      if (++filled === size) return entry;
    }
  }
}

test('sizes are primes, with at least a hundred places a target up to the most targets there may be', () => {
  for (const targets of [0, 1, 5, 163, 164, 655, 656, 2621, 2622, TARGETS_MAX]) {
    const size = placesFor(targets);
    for (let factor = 2; factor * factor <= size; factor++) assert.ok(size % factor !== 0, `${size} = ${factor} × …`);
    assert.ok(size >= targets * 100);
  }
  assert.throws(() => placesFor(TARGETS_MAX + 1), /10486 targets, 10485 at most/);
});

test('with equal weights the table is the one of the paper, place by place', () => {
  for (const count of [1, 2, 3, 10, 40]) {
    const targets = Array.from({ length: count }, (_, i) => target(i, 3));
    assert.equal([...tableOf(targets)], paper(targets), `${count} targets`);
  }
});

test('parts are the weights’, off by less than a place and one more for each target of that share', () => {
  check(fc.property(weights, (all) => {
    const places = tableOf(poolOf(...all).targets);
    const total = all.reduce((sum, w) => sum + w, 0);
    const takers = all.filter((w) => w > 0).length;
    all.forEach((w, i) => {
      const share = w / total;
      const off = Math.abs(places.filter((place) => place === i).length - share * places.length);
      assert.ok(w === 0 ? off === 0 : off < 1 + takers * share, `${all}: target ${i} is off by ${off}`);
    });
  }), 30);
});

// conforms: vs-mh
test('the order of the pool and what has been before do not matter: only keys and weights do', () => {
  check(fc.property(weights, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 9 })), { maxLength: 4 }), (all, changes) => {
    const pool = poolOf(...all);
    const scheduler = made(mh, pool);
    for (const [place, weight] of changes) {
      scheduler.pick(1);
      pool.set(pool.targets[place % all.length], { weight });
    }
    const turned = new Pool([...pool.targets].reverse());
    const other = made(mh, turned);
    for (let hash = 0; hash < 3000; hash++) {
      const one = scheduler.pick(hash * 7919), two = other.pick(hash * 7919);
      assert.is(one === NONE ? null : pool.targets[one], two === NONE ? null : turned.targets[two]);
    }
  }), 20);
});

// conforms: vs-mh
test('one that is removed moves its own and few of the others, and the other way round', () => {
  for (const count of [3, 10, 50]) {
    const all = Array.from({ length: count + 1 }, (_, i) => target(i, 1));
    const more = tableOf(all), fewer = tableOf(all.slice(0, count));
    let strays = 0;
    more.forEach((place, at) => { if (place !== count && place !== fewer[at]) strays++; });
    assert.ok(strays < more.length * 0.05, `${count}: ${strays} of ${more.length}`);
  }
});

test('one that is down gives its own to others, or with fallBack off refuses them, and shares nothing out anew', () => {
  const pool = poolOf(1, 1, 1);
  const refusing = made(mh, pool, { fallBack: false }), falling = made(mh, pool);
  const hashes = Array.from({ length: 3000 }, (_, i) => Math.imul(i, 2_654_435_761));
  const before = hashes.map((hash) => falling.pick(hash));
  pool.set(pool.targets[1], { isUsable: false });
  assert.equal(hashes.map((hash) => refusing.pick(hash)), before.map((place) => (place === 1 ? NONE : place)));
  hashes.forEach((hash, i) => { assert.ok(before[i] === 1 ? falling.pick(hash) !== 1 : falling.pick(hash) === before[i]); });
});

test.run();
