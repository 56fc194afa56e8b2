/** Tiers: the backup rests while the main uplink serves, takes over when it is gone, and gives back; weights and drains at run time. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernet, expect, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { MAC, PC1, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { LinkName, Rig } from '../support/rig.js';
import { check } from '../support/oracle/property.js';

let port = 1024;
/** Links that new flows leave by; what is refused leaves by none. */
function open(r: Rig, flows = 20): LinkName[] {
  const used = new Set<LinkName>();
  for (let i = 0; i < flows; i++) {
    port = port === 65_000 ? 1024 : port + 1;
    for (const sent of r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })))) {
      if (sent.link === 'lan') continue;
      used.add(sent.link);
      if (sent.link === 'wan1') expect(sent.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1 }), udp());
      else expect(sent.frame, ethernet({ destination: MAC.gateway2 }), ipv4({ source: WAN2 }), udp());
    }
  }
  return [...used].sort();
}

function raise(r: Rig, link: LinkName): void {
  r.setUp(link, true);
  r.teach();
}

// conforms: fwd-loss fwd-return
test('the lower tier alone takes new flows; the next one only while nothing is left of it', () => {
  for (const [tiers, main, backup] of [[[1, 2], 'wan1', 'wan2'], [[7, 3], 'wan2', 'wan1']] as const) {
    const r = rig({ group: { tiers: [...tiers] } });
    assert.equal(open(r), [main]);
    r.setUp(main, false);
    assert.equal(open(r), [backup]);
    raise(r, main);
    assert.equal(open(r), [main]);
  }
});

test('weights count within a tier only: a heavy backup stays a backup', () => {
  assert.equal(open(rig({ weights: [1, 200], group: { tiers: [1, 2] } }), 60), ['wan1']);
});

test('a weight set at run time counts for the very next flow; 0 hands the tier over, and to nobody when there is no other', () => {
  const r = rig({ weights: [1, 1], group: { tiers: [1, 2] } });
  r.router.setUplinkWeight(0, 0);
  assert.equal(open(r), ['wan2']);
  r.router.setUplinkWeight(1, 0);
  assert.equal(open(r), []);
  r.refused('NO_UPLINK', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 1, destinationPort: 53 })));
  r.router.setUplinkWeight(0, 5);
  assert.equal(open(r), ['wan1']);
});

test('drained by hand: no new flows, the old ones stay; undrained: its share again', () => {
  const r = rig({ weights: [1, 1] });
  const packet = (from: number): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: from, destinationPort: 53 }));
  const links = new Map(Array.from({ length: 30 }, (_, i) => [500 + i, r.from('lan', packet(500 + i))[0].link] as const));
  r.router.setUplinkDrained(0, true);
  assert.equal(open(r), ['wan2']);
  for (const [from, link] of links) assert.is(r.from('lan', packet(from))[0].link, link);
  r.router.setUplinkDrained(0, false);
  assert.equal(open(r, 40), ['wan1', 'wan2']);
});

test('whatever happens to the uplinks: never a flow on a tier while a better one is usable', () => {
  const step = fc.record({
    uplink: fc.constantFrom(0, 1), does: fc.constantFrom('health', 'weight', 'drain', 'link'), isGood: fc.boolean(),
  });
  check(fc.property(fc.constantFrom([1, 2], [2, 1], [1, 1]), fc.array(step, { maxLength: 12 }), (tiers, steps) => {
    const r = rig({ weights: [1, 1], group: { tiers: [...tiers] } });
    const state = [0, 1].map(() => ({ health: true, weight: true, drain: true, link: true }));
    const links: LinkName[] = ['wan1', 'wan2'];
    for (const { uplink, does, isGood } of steps) {
      state[uplink][does as 'health'] = isGood;
      if (does === 'health') r.router.setUplinkHealth(uplink, isGood);
      else if (does === 'weight') r.router.setUplinkWeight(uplink, isGood ? 2 : 0);
      else if (does === 'drain') r.router.setUplinkDrained(uplink, !isGood);
      else if (isGood) raise(r, links[uplink]);
      else r.setUp(links[uplink], false);
      r.run();
      const able = [0, 1].filter((i) => Object.values(state[i]).every(Boolean));
      const best = Math.min(...able.map((i) => tiers[i]));
      assert.equal(open(r, 16), able.filter((i) => tiers[i] === best).map((i) => links[i]), JSON.stringify(state));
    }
  }), 40);
});

test.run();
