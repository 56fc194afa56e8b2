/** SYNs from outside that nothing inside asked for (RFC 5382 REQ-4), and simultaneous open through them (REQ-2). */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Conversation } from '../support/conversation.js';
import { bytes, ethernet, expect, icmpError, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { MAC, rig, SERVER, WAN1 } from '../support/rig.js';
import type { RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const syn = (sourcePort = 80, options: { destinationPort?: number; payload?: Buffer } = {}): Buffer =>
  make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort, destinationPort: options.destinationPort ?? 4000, sequence: 0x12345678, payload: options.payload ?? Buffer.alloc(0) }));

// conforms: tcp-unsolicited-syn
test('it waits in silence for six seconds, then its sender is told port unreachable, with the SYN quoted', () => {
  const r = rig(ONE);
  const packet = syn();
  assert.equal(r.counted('HELD', 'wan1', () => r.from('wan1', packet)), []);
  assert.equal(r.advance(5900, 100).filter(({ isArp }) => !isArp), []);
  const told = r.advance(200, 100).filter(({ isArp }) => !isArp);
  assert.is(told.length, 1);
  assert.is(told[0].link, 'wan1');
  expect(told[0].frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER }), icmpError({ type: 3, code: 3 }), bytes(packet));
  assert.is(r.verdict('wan1', 'HELD'), 0);
  assert.is(r.verdict('wan1', 'SYN_UNSOLICITED'), 1);
  assert.is(r.flowCount, 0);
  assert.is(r.router.synHold.count, 0);
});

test('sent again it waits with the first, and is answered once', () => {
  const r = rig(ONE);
  r.from('wan1', syn());
  r.advance(1000);
  r.from('wan1', syn());
  r.advance(2000);
  r.from('wan1', syn());
  assert.is(r.verdict('wan1', 'HELD'), 3);
  assert.is(r.router.synHold.count, 1);
  assert.is(r.advance(3200, 100).filter(({ isArp }) => !isArp).length, 1, 'six seconds from the first one');
  assert.is(r.verdict('wan1', 'SYN_UNSOLICITED'), 3);
  assert.is(r.verdict('wan1', 'HELD'), 0);
});

// conforms: tcp-unsolicited-syn
test('a matching SYN from inside meanwhile: no answer, and the simultaneous open succeeds', () => {
  const r = rig(ONE);
  const talk = new Conversation(r);
  assert.equal(r.from('wan1', talk.packet(1, 'S')), []);
  r.advance(2000);
  const [sent] = talk.say(0, 'S');
  expect(sent.frame, ethernet(), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 4000, destinationPort: 80, flags: 'S' }));
  // The far end sends its SYN again, and answers ours.
  talk.say(1, 'S');
  talk.say(0, 'SA', { sequence: 0xfffffc00 });
  talk.say(1, 'SA', { sequence: 0x12345678 });
  talk.say(0, 'A');
  assert.is(talk.state, 'established');
  assert.equal(r.advance(8000, 500).filter(({ isArp }) => !isArp), []);
  assert.is(r.verdict('wan1', 'SYN_CROSSED'), 1);
  assert.is(r.verdict('wan1', 'SYN_UNSOLICITED'), 0);
  assert.is(r.verdict('wan1', 'HELD'), 0);
  assert.is(talk.state, 'established');
});

test('a SYN from inside to another place cancels nothing', () => {
  const r = rig({ ...ONE, uplink: { filtering: 'address-and-port-dependent' } });
  r.from('wan1', syn(81));
  new Conversation(r).say(0, 'S');
  assert.is(r.advance(6100, 100).filter(({ isArp }) => !isArp).length, 1);
  assert.is(r.verdict('wan1', 'SYN_UNSOLICITED'), 1);
});

test('a sender that filtering keeps out waits like any other', () => {
  const r = rig({ ...ONE, uplink: { filtering: 'address-dependent' } });
  new Conversation(r).say(0, 'S');
  const stranger = make.ipv4({ source: '203.0.113.99', destination: WAN1 }, make.tcp({ sourcePort: 80, destinationPort: 4000 }));
  assert.equal(r.counted('HELD', 'wan1', () => r.from('wan1', stranger)), []);
});

test('no more than the limit wait; the newest is dropped in silence, and room comes back', () => {
  const r = rig({ ...ONE, limits: { heldSyns: 4 } });
  for (let i = 0; i < 4; i++) r.from('wan1', syn(100 + i));
  assert.equal(r.refused('HELD_LIMIT', 'wan1', syn(200)), []);
  assert.is(r.router.synHold.refused, 1);
  assert.is(r.advance(6100, 100).filter(({ isArp }) => !isArp).length, 4);
  // Round the ring several times.
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 3; i++) r.from('wan1', syn(300 + round * 10 + i));
    assert.is(r.router.synHold.count, 3);
    r.advance(6100, 100);
    assert.is(r.router.synHold.count, 0);
    r.teach();
  }
  assert.is(r.verdict('wan1', 'SYN_UNSOLICITED'), 19);
});

test('a long SYN is quoted as far as an error goes', () => {
  const r = rig(ONE);
  r.from('wan1', syn(80, { payload: make.filler(1200) }));
  const [told] = r.advance(6100, 100).filter(({ isArp }) => !isArp);
  assert.is(told.packet.length, 576);
});

test('with a link to the box its stack answers, at once', () => {
  const r = rig({ ...ONE, host: true });
  const [sent] = r.from('wan1', syn());
  assert.is(sent.link, 'host');
  expect(sent.packet, ipv4({ source: SERVER }), tcp({ destinationPort: 4000, flags: 'S' }));
  assert.is(r.router.synHold.count, 0);
});

test('from inside, a closed port is told at once by a reset', () => {
  const r = rig(ONE);
  const [reset] = r.refused('PORT_CLOSED', 'lan', make.ipv4({ source: '192.168.0.4', destination: '192.168.0.1' }, make.tcp({ sourcePort: 4000, destinationPort: 22, sequence: 9 })));
  expect(reset.frame, ethernet(), ipv4({ source: '192.168.0.1' }), tcp({ flags: 'RA', acknowledgement: 10 }));
});

test.run();
