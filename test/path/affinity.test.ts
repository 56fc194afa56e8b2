/** Affinity on the path: who comes back takes the same uplink, until its time is up, it is erased, or its uplink is gone. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readAffinity } from '../../src/balance/affinity.js';
import type { AffinityPlan, GroupPlan, PolicyPlan } from '../../src/base/plan.js';
import { AFFINITY_EVICTED } from '../../src/table/counters.js';
import { parseIpv4 } from '../../src/wire/address.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, SERVER } from '../support/rig.js';
import type { LinkName, Rig, RigOptions } from '../support/rig.js';

const OTHER = '198.51.100.8';
const bySource: AffinityPlan = { by: 'source', timeout: 60 };
const host = (i: number): string => `192.168.0.${10 + i}`;

let port = 1024;
/** Link by which a new flow leaves. */
function open(r: Rig, source = PC1, destination = SERVER): LinkName {
  port = port === 65_000 ? 1024 : port + 1;
  const [sent] = r.from('lan', make.ipv4({ source, destination }, make.udp({ sourcePort: port, destinationPort: 443 })));
  return sent.link;
}

const sticky = (options: RigOptions = {}, affinity = bySource): Rig => rig({ weights: [1, 1], ...options, group: { affinity, ...options.group } });
const other = (link: LinkName): LinkName => (link === 'wan1' ? 'wan2' : 'wan1');
const index = (link: LinkName): number => (link === 'wan1' ? 0 : 1);
const listed = (r: Rig): number => readAffinity(r.memory.affinity, r.router.nowMs).length;

test('all flows of a source take the uplink of its first; sources are spread', () => {
  const r = sticky();
  const had = Array.from({ length: 30 }, (_, i) => open(r, host(i)));
  assert.is(new Set(had).size, 2);
  for (let again = 0; again < 5; again++) assert.equal(Array.from({ length: 30 }, (_, i) => open(r, host(i), again % 2 ? OTHER : SERVER)), had);
  assert.is(listed(r), 30);
});

test('by destination, and by both', () => {
  const r = sticky({}, { by: 'destination', timeout: 60 });
  const had = Array.from({ length: 20 }, (_, i) => open(r, PC1, `198.51.100.${i + 1}`));
  assert.is(new Set(had).size, 2);
  assert.equal(Array.from({ length: 20 }, (_, i) => open(r, PC2, `198.51.100.${i + 1}`)), had);
  const both = sticky({}, { by: 'source-destination', timeout: 60 });
  const first = Array.from({ length: 20 }, (_, i) => open(both, host(i), SERVER));
  assert.equal(Array.from({ length: 20 }, (_, i) => open(both, host(i), SERVER)), first);
  Array.from({ length: 20 }, (_, i) => open(both, host(i), OTHER));
  assert.is(listed(both), 40);
});

test('it ends its timeout after the last new flow, not after the first; packets of a known flow do not prolong it', () => {
  const r = sticky();
  const had = open(r);
  const packet = make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 443 }));
  for (let i = 0; i < 3; i++) {
    r.advance(59_000, 1000);
    r.teach();
    assert.is(open(r), had);
  }
  for (let second = 0; second < 59; second++) {
    r.advance(1000);
    if (second % 20 === 0) r.teach();
    r.from('lan', packet);
  }
  assert.is(listed(r), 1);
  r.advance(1000);
  assert.is(listed(r), 0, 'nobody sees what has ended');
  r.teach();
  assert.ok(Array.from({ length: 40 }, (_, i) => i).some(() => {
    r.advance(60_000, 10_000);
    r.teach();
    return open(r) !== had;
  }), 'picked anew each time, it is another one at some time');
});

// conforms: fwd-return
test('it outlives a change of weight, gives way when its uplink is down, and stays where it went when that comes back', () => {
  const r = sticky();
  const had = open(r);
  r.router.setUplinkWeight(index(other(had)), 200);
  for (let i = 0; i < 20; i++) assert.is(open(r), had);
  r.setUp(had, false);
  for (let i = 0; i < 5; i++) assert.is(open(r), other(had));
  r.setUp(had, true);
  r.advance(3000, 1000);
  r.teach();
  for (let i = 0; i < 20; i++) assert.is(open(r), other(had));
  assert.is(listed(r), 1);
});

test('a drained uplink gets nothing of whoever used to come back to it', () => {
  const r = sticky();
  const had = open(r);
  r.router.setUplinkDrained(index(had), true);
  for (let i = 0; i < 10; i++) assert.is(open(r), other(had));
});

test('tiers: keep leaves who went to the backup there, drain and reset take them back as soon as the main uplink is', () => {
  for (const [onRecover, wanted] of [['keep', 'wan2'], ['drain', 'wan1'], ['reset', 'wan1']] as [GroupPlan['onRecover'], LinkName][]) {
    const r = sticky({ group: { tiers: [1, 2], onRecover } });
    r.setUp('wan1', false);
    assert.is(open(r), 'wan2');
    r.setUp('wan1', true);
    r.advance(3000, 1000);
    r.teach();
    assert.is(open(r), wanted, onRecover);
    assert.is(open(r, PC2), 'wan1', 'who is new takes the main uplink');
  }
});

test('a policy’s own affinity instead of the group’s, each with its timeout; both are listed with their owner', () => {
  const policies: PolicyPlan[] = [{ index: 0, name: 'web', match: { to: [`${OTHER}/32`] }, group: 0, exclude: false, affinity: { by: 'destination', timeout: 600 } }];
  const r = sticky({ plan: { policies } });
  const mine = open(r), its = open(r, PC1, OTHER);
  for (let i = 0; i < 10; i++) assert.equal([open(r), open(r, host(i), OTHER)], [mine, its]);
  const rows = readAffinity(r.memory.affinity, r.router.nowMs);
  assert.equal(rows.map(({ owner, source, destination, uplink }) => ({ owner, source, destination, uplink })).sort((a, b) => a.owner - b.owner), [
    { owner: 0, source: parseIpv4(PC1), destination: null, uplink: index(mine) }, { owner: 1, source: null, destination: parseIpv4(OTHER), uplink: index(its) },
  ]);
  assert.equal(rows.map((row) => row.endsAtMs - r.router.nowMs).sort((a, b) => a - b), [60_000, 600_000]);
  r.advance(100_000, 10_000);
  assert.equal(readAffinity(r.memory.affinity, r.router.nowMs).map((row) => row.owner), [1]);
});

test('a policy that asks the group without affinity of its own shares the group’s', () => {
  const r = sticky({ plan: { policies: [{ index: 0, name: 'all', match: { to: [`${OTHER}/32`] }, group: 0, exclude: false }] } });
  const had = Array.from({ length: 20 }, (_, i) => open(r, host(i)));
  assert.equal(Array.from({ length: 20 }, (_, i) => open(r, host(i), OTHER)), had);
  assert.is(listed(r), 20);
});

test('erased for one address, and for all', () => {
  const r = sticky();
  for (let i = 0; i < 5; i++) open(r, host(i));
  assert.is(r.router.affinity.erase(parseIpv4(host(3))), 1);
  assert.equal([listed(r), r.router.affinity.erase(null), listed(r)], [4, 4, 0]);
});

test('beyond the limit the one longest out of use makes room, and is counted', () => {
  const r = sticky({ limits: { affinity: 8 } });
  for (let i = 0; i < 11; i++) {
    open(r, host(i));
    r.advance(1000);
    open(r, host(0));
  }
  assert.is(listed(r), 8);
  assert.is(r.router.counters.getRouter(AFFINITY_EVICTED), 3);
  const sources = readAffinity(r.memory.affinity, r.router.nowMs).map((row) => row.source);
  assert.ok(sources.includes(parseIpv4(host(0))), 'who keeps coming back stays');
  assert.not.ok(sources.includes(parseIpv4(host(1))));
});

test('a flow that is refused later on the path leaves its affinity, which does no harm: the next one finds it', () => {
  const r = sticky({ plan: { filters: [{ index: 0, name: 'no', match: { from: [`${PC1}/32`] }, action: 'drop' }] } });
  r.refused('FILTER_DROP', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 1, destinationPort: 443 })));
  assert.is(listed(r), 1);
});

test.run();
