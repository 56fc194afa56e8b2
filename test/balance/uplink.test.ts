/** Pools, uplinks and groups: what a target counts for, and who is picked. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupPlan, UplinkPlan } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { Pool } from '../../src/balance/pool.js';
import { Group, Uplink } from '../../src/balance/uplink.js';
import { poolOf } from './scheduler-suite.js';

const uplinkPlan = (index: number, weight: number): UplinkPlan => ({
  index, name: `wan${index}`, link: index + 1, gateway: '192.0.2.1', weight, snat: ['192.0.2.9'],
  mapping: 'endpoint-independent', filtering: 'address-and-port-dependent', whenExhausted: 'refuse', refreshInbound: true,
});

function uplinks(...weights: readonly number[]): Uplink[] {
  return weights.map((weight, i) => new Uplink(uplinkPlan(i, weight), 5, [9], 10 + i, 20 + i));
}

const groupPlan = (...members: readonly number[]): GroupPlan => ({ index: 0, name: 'internet', uplinks: [...members] }) as GroupPlan;

test('an uplink is what its plan says, and not usable before its link is up', () => {
  const [uplink] = uplinks(3);
  assert.equal([uplink.name, uplink.link, uplink.gateway, uplink.weight, uplink.isUsable, uplink.chosen, uplink.viaGateway, uplink.onLink], ['wan0', 1, 5, 3, false, 0, 10, 20]);
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

test('a group picks among its own uplinks, in its own order, and counts', () => {
  const all = uplinks(1, 1, 1);
  const group = new Group(groupPlan(2, 0), all);
  assert.is(group.pick(1), null);
  for (const uplink of all) uplink.isUsable = true;
  for (const uplink of group.pool.targets) group.pool.set(uplink, {});
  const random = new Random(1);
  for (let i = 0; i < 1000; i++) group.pick(random.next());
  assert.is(all[1].chosen, 0);
  assert.is(all[0].chosen + all[2].chosen, 1000);
  assert.ok(Math.abs(all[0].chosen - 500) <= 9, `${all[0].chosen}`);
});

test('an uplink of two groups that goes down is picked by neither once both are told', () => {
  const all = uplinks(1, 1);
  const groups = [new Group(groupPlan(0, 1), all), new Group(groupPlan(1), all)];
  const set = (uplink: Uplink, isUsable: boolean): void => { for (const group of groups) if (group.pool.targets.includes(uplink)) group.pool.set(uplink, { isUsable }); };
  for (const uplink of all) set(uplink, true);
  assert.is(groups[1].pick(3), all[1]);
  set(all[1], false);
  for (let hash = 0; hash < 100; hash++) assert.is(groups[0].pick(hash), all[0]);
  assert.is(groups[1].pick(3), null);
});

test.run();
