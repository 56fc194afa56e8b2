/** No uplink usable: what the sender is told, or that it is told nothing, or the group that steps in; and that the first uplink back serves. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupPlan } from '../../src/base/plan.js';
import { bytes, ethernet, expect, icmpError, ipv4 } from '../support/expect.js';
import * as make from '../support/frames.js';
import { LAN, MAC, PC1, rig, SERVER, WAN2 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';

const syn = (port: number): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 80 }));

const group = (index: number, uplinks: number[], lastResort: GroupPlan['lastResort']): GroupPlan => ({
  index, name: `g${index}`, uplinks, tiers: uplinks.map(() => 1), balance: 'flow', onDown: 'reset', onRecover: 'keep', drainTimeout: 60, lastResort,
});

function allDown(r: Rig): void {
  r.setUp('wan1', false);
  r.setUp('wan2', false);
}

function raise(r: Rig): void {
  r.setUp('wan2', true);
  r.teach();
}

// conforms: fwd-all-down
test('unreachable: every new flow is told so, none is entered, no known one is lost, and the first uplink back serves', () => {
  const r = rig();
  for (let i = 0; i < 10; i++) r.from('lan', syn(1000 + i));
  assert.is(r.flowCount, 10);
  allDown(r);
  for (let i = 0; i < 5; i++) {
    const packet = syn(2000 + i);
    const [error] = r.refused('NO_UPLINK', 'lan', packet);
    expect(error.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1 }), icmpError({ type: 3, code: 0 }), bytes(packet));
  }
  assert.is(r.flowCount, 10, 'there was nowhere better, so nothing was ended');
  raise(r);
  const [sent] = r.from('lan', syn(3000));
  assert.is(sent.link, 'wan2');
  expect(sent.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2 }));
});

// conforms: fwd-all-down
test('blackhole: nothing is said', () => {
  const r = rig({ group: { lastResort: 'blackhole' } });
  allDown(r);
  assert.equal(r.refused('NO_UPLINK_BLACKHOLE', 'lan', syn(2000)), []);
  assert.is(r.flowCount, 0);
  raise(r);
  assert.is(r.from('lan', syn(2000))[0].link, 'wan2');
});

test('another group steps in, with its own addresses, and gives way again', () => {
  const r = rig({ plan: { groups: [group(0, [0], { group: 1 }), group(1, [1], 'blackhole')] } });
  assert.is(r.from('lan', syn(1000))[0].link, 'wan1');
  r.setUp('wan1', false);
  for (let i = 0; i < 10; i++) {
    const [sent] = r.from('lan', syn(2000 + i));
    expect(sent.frame, ethernet({ source: MAC.wan2, destination: MAC.gateway2 }), ipv4({ source: WAN2 }));
  }
  r.setUp('wan2', false);
  assert.equal(r.refused('NO_UPLINK_BLACKHOLE', 'lan', syn(3000)), [], 'the last group of the chain says what is told');
  r.setUp('wan1', true);
  r.teach();
  assert.is(r.from('lan', syn(4000))[0].link, 'wan1');
});

test('the last usable uplink drained by hand: new flows are refused as with none, known ones go on', () => {
  for (const [lastResort, verdict] of [['unreachable', 'NO_UPLINK'], ['blackhole', 'NO_UPLINK_BLACKHOLE']] as const) {
    const r = rig({ weights: [1, 0], group: { lastResort } });
    r.from('lan', syn(1000));
    r.router.setUplinkDrained(0, true);
    r.run();
    r.refused(verdict, 'lan', syn(2000));
    assert.is(r.from('lan', syn(1000))[0].link, 'wan1');
  }
});

test.run();
