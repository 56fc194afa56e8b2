/** Packets that wait for their neighbour while their flow ends: nothing of what they were translated to is told outside. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { expect, icmpError, ipv4 } from '../support/expect.js';
import * as make from '../support/frames.js';
import { PC1, rig, WAN1 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';

const CLIENT = '198.51.100.77', OTHER = '198.51.100.78';
const ABSENT = '192.168.0.99';

/** A port forward to a server that is not there, and a datagram that waits for it. */
function waiting(udp: number): Rig {
  const r = rig({
    weights: [1, 0], timeouts: { udp, udpReplied: udp },
    plan: { portForwards: [{ index: 0, name: 'gone', uplink: 0, addresses: [WAN1], protocols: [17], ports: { first: 80, last: 80 }, to: ABSENT, toPort: 8080 }] },
  });
  assert.equal(r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 9, destinationPort: 80 }))), []);
  assert.is(r.verdict('wan1', 'HELD'), 1);
  return r;
}

const errors = (r: Rig): Buffer[] => r.advance(5000, 500).filter(({ isArp, link }) => !isArp && link === 'wan1').map(({ frame }) => frame.subarray(14));

test('while the flow lives its sender is told, with the packet as it was sent', () => {
  const r = waiting(300);
  const [error, ...more] = errors(r);
  assert.equal(more, []);
  expect(error, ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 1 }), ipv4({ source: CLIENT, destination: WAN1 }));
});

// conforms: error-codes
test('a flow that ended meanwhile leaves nobody to tell: the inside address is not quoted', () => {
  const r = waiting(1);
  assert.equal(errors(r), []);
  assert.is(r.verdict('wan1', 'NEIGHBOUR_FAILED'), 1);
  assert.is(r.verdict('wan1', 'HELD'), 0);
});

test('nor is another flow’s address quoted that has its entry by then', () => {
  const r = waiting(1);
  r.advance(2000, 500);
  assert.is(r.flowCount, 0);
  r.from('lan', make.ipv4({ source: PC1, destination: OTHER }, make.udp({ sourcePort: 7, destinationPort: 7 })));
  assert.is(r.flowCount, 1);
  assert.equal(errors(r), []);
  assert.is(r.verdict('wan1', 'NEIGHBOUR_FAILED'), 1);
});

test.run();
