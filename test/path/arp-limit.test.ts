/** ARP in bounds: a flood on one link costs so much a second and no more, and hides no answer the router waits for. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arp, ethernet, expect, ipv4 } from '../support/expect.js';
import * as make from '../support/frames.js';
import { GATEWAY, LAN, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';

const ONE = { weights: [1, 0] as [number, number] };
const PER_SECOND = 1000;

/** Requests for one of our addresses, as many as there are tokens and more. */
function flood(r: Rig, count = PER_SECOND + 500): { answered: number; limited: number } {
  const before = r.verdict('lan', 'ARP_LIMIT');
  for (let i = 0; i < count; i++) r.put('lan', r.arpRequest(PC2, MAC.pc2, LAN));
  const sent = r.run();
  return { answered: sent.filter(({ link, isArp }) => isArp && link === 'lan').length, limited: r.verdict('lan', 'ARP_LIMIT') - before };
}

// conforms: arp-flood
test('so many a second on a link, the rest dropped unseen and counted; full again after a second', () => {
  const r = rig(ONE);
  r.clock.advance(1000);
  assert.equal(flood(r), { answered: PER_SECOND, limited: 500 });
  assert.equal(flood(r, 10), { answered: 0, limited: 10 });
  r.clock.advance(100);
  assert.equal(flood(r, 200), { answered: PER_SECOND / 10, limited: 200 - PER_SECOND / 10 });
  r.clock.advance(5000);
  assert.equal(flood(r), { answered: PER_SECOND, limited: 500 }, 'never more than a second’s worth at once');
});

test('each link has its own', () => {
  const r = rig(ONE);
  r.clock.advance(1000);
  flood(r);
  r.put('wan1', r.arpRequest(GATEWAY, MAC.gateway1, WAN1));
  const [answer] = r.run();
  assert.is(answer.link, 'wan1');
  expect(answer.frame, ethernet({ destination: MAC.gateway1 }), arp({ operation: 'reply', sender: WAN1 }));
});

test('an answer the router waits for gets through the flood; an answer nobody asked for does not', () => {
  const r = rig({ ...ONE, dmz: true, neighbours: false });
  r.clock.advance(1000);
  const packet = make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 80, destinationPort: 4000 }));
  assert.equal(r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 }))), []);
  r.put('wan1', r.arpReply('wan1', GATEWAY, MAC.gateway1));
  assert.is(r.run().filter(({ isArp }) => !isArp).length, 1);
  flood(r);
  const [question] = r.from('wan1', packet, {});
  assert.is(question, undefined, 'its neighbour has to be asked for first');
  r.counted('ARP_LIMIT', 'lan', () => { r.put('lan', r.arpReply('lan', '192.168.0.77', '02:00:00:00:07:07')); r.run(); });
  // The first answer for PC1 is awaited, the second is as good as any other ARP.
  r.put('lan', r.arpReply('lan', PC1, MAC.pc1));
  const [out] = r.run().filter(({ isArp }) => !isArp);
  expect(out.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }));
  r.counted('ARP_LIMIT', 'lan', () => { r.put('lan', r.arpReply('lan', PC1, MAC.pc1)); r.run(); });
});

test('proxy for nobody: a request for an address that is not ours is not answered, wherever it is', () => {
  const r = rig({ ...ONE, dmz: true });
  for (const target of [PC2, '10.9.0.9', SERVER, GATEWAY, WAN1, '192.168.0.255', '255.255.255.255']) {
    assert.equal(r.counted('ARP_IGNORED', 'lan', () => { r.put('lan', r.arpRequest(PC1, MAC.pc1, target)); return r.run(); }), [], target);
  }
});

test.run();
