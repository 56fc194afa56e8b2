/** TCP segments of no known flow, by policy: refused in silence, reset, or taken up in the middle; never sent untranslated. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Conversation } from '../support/conversation.js';
import { ethernet, expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const policy = (tcpMidstream: 'drop' | 'reset' | 'pickup', options: RigOptions = {}): Rig => rig({ ...ONE, ...options, plan: { ...options.plan, tcpMidstream } });

// conforms: tcp-midstream
test('drop: nothing is said, from either side, and nothing is opened', () => {
  const r = policy('drop');
  const talk = new Conversation(r);
  for (const flags of ['A', 'PA', 'FA', 'SA', 'R', 'RA']) {
    for (const side of [0, 1] as const) assert.equal(talk.refused('MIDSTREAM_SILENT', side, flags), []);
  }
  assert.is(r.flowCount, 0);
});

// conforms: tcp-midstream
test('reset: as a host without the connection would, and nothing about a reset', () => {
  const r = policy('reset');
  const talk = new Conversation(r);
  const [reset] = talk.refused('MIDSTREAM', 0, 'PA', { length: 10 });
  expect(reset.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ sequence: 0x12345678, flags: 'R' }));
  assert.equal(talk.refused('MIDSTREAM', 0, 'RA'), []);
  assert.is(r.flowCount, 0);
});

// conforms: tcp-midstream
test('pickup: taken up where the port is kept, for the far end sees no difference', () => {
  const r = policy('pickup');
  const talk = new Conversation(r, { scales: [7, 7] });
  const [sent] = talk.say(0, 'PA', { length: 1000 });
  expect(sent.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 4000, sequence: 0xfffffc00, flags: 'PA' }));
  assert.is(talk.state, 'new');
  talk.say(1, 'PA', { length: 1400 });
  assert.is(talk.state, 'established');
  // Its scale is not known: a window of 1,000 may be one of 16 MB.
  talk.windows[1] = 1000;
  talk.say(1, 'A');
  for (let i = 0; i < 5; i++) talk.say(0, 'PA', { length: 9000, sequence: (talk.next[0] + 100_000) >>> 0 });
  assert.is(r.router.windows.strange, 0);
  talk.close();
  assert.is(talk.state, 'time-wait');
});

test('pickup: a reset ends it, and one far from all that was said is refused', () => {
  const r = policy('pickup');
  const talk = new Conversation(r);
  talk.say(0, 'PA', { length: 10 });
  talk.say(1, 'A');
  talk.refused('TCP_OUT_OF_WINDOW', 1, 'R', { sequence: talk.next[1] + 0x7000_0000 });
  talk.say(1, 'R');
  assert.is(talk.state, 'reset');
});

// conforms: tcp-midstream
test('pickup: where the port cannot be kept it is reset, towards inside, and never leaves', () => {
  const r = policy('pickup');
  // PC2 has the port.
  assert.is(r.from('lan', make.ipv4({ source: PC2, destination: '203.0.113.9' }, make.tcp({ sourcePort: 4000, destinationPort: 443 }))).length, 1);
  const [reset] = new Conversation(r).refused('MIDSTREAM', 0, 'PA', { length: 10 });
  assert.is(reset.link, 'lan');
  expect(reset.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ sourcePort: 80, destinationPort: 4000, sequence: 0x12345678, flags: 'R' }));
  assert.is(r.flowCount, 1);
});

test('pickup: a mapping that lives is used, whatever its port', () => {
  const r = policy('pickup');
  r.from('lan', make.ipv4({ source: PC2, destination: '203.0.113.9' }, make.tcp({ sourcePort: 4000, destinationPort: 443 })));
  const [first] = r.from('lan', make.ipv4({ source: PC1, destination: '203.0.113.9' }, make.tcp({ sourcePort: 4000, destinationPort: 443 })));
  const external = first.packet.readUInt16BE(20);
  assert.is.not(external, 4000);
  const [sent] = new Conversation(r).say(0, 'PA', { length: 10 });
  expect(sent.frame, ethernet(), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: external }));
});

test('pickup: not by a SYN-ACK nor by a reset', () => {
  const r = policy('pickup');
  const talk = new Conversation(r);
  for (const flags of ['SA', 'R', 'RA']) talk.refused('MIDSTREAM', 0, flags);
  assert.is(r.flowCount, 0);
});

test('pickup: the far end speaks first: nothing is said to it, and all goes on once the inside host speaks', () => {
  const r = policy('pickup');
  const talk = new Conversation(r);
  assert.equal(talk.refused('MIDSTREAM_SILENT', 1, 'PA', { length: 100 }), []);
  talk.say(0, 'A');
  assert.is(talk.say(1, 'PA', { length: 100 }).length, 1);
  assert.is(talk.state, 'established');
});

test('pickup: between untranslated networks from either end, and through a port forward', () => {
  const r = policy('pickup', { dmz: true });
  const [sent] = r.from('lan', make.ipv4({ source: PC1, destination: DMZ_HOST }, make.tcp({ sourcePort: 4000, destinationPort: 80, flags: 'PA', sequence: 5, acknowledgement: 9 })));
  expect(sent.frame, ethernet({ destination: MAC.dmzHost }), ipv4({ source: PC1, destination: DMZ_HOST }), tcp({ sourcePort: 4000 }));
  const f = policy('pickup', { plan: { portForwards: [{ index: 0, name: 'web', uplink: 0, addresses: [WAN1], protocols: [6], ports: { first: 8080, last: 8080 }, to: PC1, toPort: 80 }] } });
  const [inside] = f.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 5555, destinationPort: 8080, flags: 'PA', sequence: 5, acknowledgement: 9 })));
  expect(inside.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ destinationPort: 80 }));
  const [answer] = f.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 80, destinationPort: 5555, flags: 'A', sequence: 9, acknowledgement: 5 })));
  expect(answer.frame, ethernet(), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 8080 }));
});

test.run();
