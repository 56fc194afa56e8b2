/** An uplink follows its link and its gateway: what a group may choose, and when. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbePlan } from '../../src/base/plan.js';
import * as make from '../support/frames.js';
import { GATEWAY, MAC, PC1, rig, SERVER } from '../support/rig.js';
import type { LinkName, Rig } from '../support/rig.js';

/** Links that 20 new flows leave by. */
function links(r: Rig, from: number): LinkName[] {
  const used = new Set<LinkName>();
  for (let port = from; port < from + 20; port++) {
    for (const sent of r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })))) {
      if (!sent.isArp && sent.link !== 'lan') used.add(sent.link);
    }
  }
  return [...used].sort();
}

const uplinkNotices = (r: Rig): unknown[] => r.notices.filter((notice) => notice.event === 'uplink');

for (const [kinds, vouches] of [[['tcp'], true], [['http', 'dns'], true], [['tcp', 'arp'], false], [['script'], false]] as const) {
  // conforms: fwd-probes
  test(`a check by ${kinds.join(' and ')} that brings an uplink back ${vouches ? 'vouches' : 'does not vouch'} for its gateway`, () => {
    const probes = kinds.map((kind) => ({ kind, target: 'somewhere' }) as unknown as ProbePlan);
    const r = rig({ uplink: { check: { probes, need: 1, intervalMs: 200, timeoutMs: 160, fall: 3, rise: 3, initial: 'up', window: 20 } } });
    r.advance(31_000, 1000);
    links(r, 2000);
    r.put('wan2', r.arpReply('wan2', GATEWAY, MAC.gateway2));
    // Flows make the router ask for the gateway; it is silent for a while, and the check finds so, too.
    r.router.setUplinkHealth(0, false, 'timed out');
    r.advance(2900, 100);
    r.router.setUplinkHealth(0, true);
    const before = uplinkNotices(r).length;
    r.advance(3000, 100);
    assert.equal(uplinkNotices(r).slice(before).filter((notice) => JSON.stringify(notice).includes('gatewaySilent')).length, vouches ? 0 : 1);
  });
}

test('a link that comes back takes new flows only once its gateway has answered', () => {
  const r = rig();
  assert.equal(links(r, 1000), ['wan1', 'wan2']);
  r.setUp('wan1', false);
  assert.equal(links(r, 2000), ['wan2']);
  r.setUp('wan1', true);
  const asked = r.run().filter((sent) => sent.isArp && sent.link === 'wan1');
  assert.ok(asked.some((sent) => sent.frame.subarray(38, 42).equals(Buffer.from([192, 168, 201, 1]))), 'the gateway is asked for at once');
  assert.equal(links(r, 3000), ['wan2']);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  r.run();
  assert.equal(links(r, 4000), ['wan1', 'wan2']);
});

test('a gateway that stays silent is asked for every second until it answers', () => {
  const r = rig();
  r.setUp('wan1', false);
  r.setUp('wan1', true);
  r.run();
  for (let second = 0; second < 20; second++) {
    const asked = r.advance(1000, 250).filter((sent) => sent.isArp && sent.link === 'wan1');
    assert.ok(asked.length > 0, `asked in second ${second}`);
  }
  assert.equal(links(r, 3000), ['wan2']);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  r.run();
  assert.equal(links(r, 4000), ['wan1', 'wan2']);
});

// conforms: fwd-probes
test('a gateway that stops answering takes its uplink out of use, and back when it answers', () => {
  const r = rig();
  links(r, 1000);
  // Reachable for 30 s; then traffic makes it be checked, three times a second apart.
  r.advance(31_000, 1000);
  links(r, 2000);
  r.put('wan2', r.arpReply('wan2', GATEWAY, MAC.gateway2));
  r.advance(4000, 500);
  assert.equal(links(r, 3000), ['wan2']);
  assert.equal(uplinkNotices(r).at(-1), { event: 'uplink', uplink: 0, isUsable: false, reason: 'gatewaySilent' });
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  r.run();
  assert.equal(links(r, 4000), ['wan1', 'wan2']);
  assert.equal(uplinkNotices(r).at(-1), { event: 'uplink', uplink: 0, isUsable: true, reason: null });
});

test.run();
