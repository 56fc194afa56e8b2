/** TCP through SNAT: which segments are a flow's, and above all which resets. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Conversation } from '../support/conversation.js';
import type { ConversationOptions } from '../support/conversation.js';
import { ethernet, expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { check } from '../support/oracle/property.js';
import { GATEWAY, MAC, PC1, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
const talk = (options: ConversationOptions = {}, r = rig(ONE)): Conversation => new Conversation(r, options);

function lifetime(r: Rig, most: number): number {
  for (let second = 0; second <= most; second++) {
    if (r.flowCount === 0) return second;
    r.advance(1000);
  }
  return Infinity;
}

// conforms: tcp-handshakes
test('handshake, data both ways, close: numbers pass as they are, addresses are translated', () => {
  const t = talk();
  const [syn] = t.say(0, 'S');
  expect(syn.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: SERVER }), tcp({ sourcePort: 4000, sequence: 0xfffffc00, flags: 'S' }));
  const [answer] = t.say(1, 'SA');
  expect(answer.frame, ethernet({ destination: MAC.pc1 }), ipv4({ source: SERVER, destination: PC1 }), tcp({ sequence: 0x12345678, acknowledgement: 0xfffffc01, flags: 'SA' }));
  assert.is(t.state, 'answered');
  t.say(0, 'A');
  assert.is(t.state, 'established');
  // Over the end of the number space.
  for (let i = 0; i < 3; i++) {
    t.say(0, 'PA', { length: 1000 });
    t.say(1, 'PA', { length: 1400 });
  }
  t.close();
  assert.is(t.state, 'time-wait');
  assert.is(t.rig.router.windows.strange, 0);
});

test('a reset, translated, from either side: exact ones end the flow', () => {
  for (const side of [0, 1] as const) {
    const t = talk().open();
    t.say(0, 'PA', { length: 100 });
    t.say(1, 'PA', { length: 50 });
    const [sent] = t.say(side, 'RA');
    expect(sent.frame, ethernet(), ipv4(side === 0 ? { source: WAN1, destination: SERVER } : { source: SERVER, destination: PC1 }), tcp({ sequence: t.next[side], flags: 'RA' }));
    assert.is(t.state, 'reset');
    const left = lifetime(t.rig, 300);
    assert.ok(left >= 240 && left <= 242, `${left} s`);
  }
});

// conforms: tcp-handshakes
test('refused: a SYN is answered by a reset that acknowledges it, and by no other', () => {
  const t = talk();
  t.say(0, 'S');
  t.refused('TCP_OUT_OF_WINDOW', 1, 'RA', { sequence: 0, acknowledgement: 0x7777 });
  t.refused('TCP_OUT_OF_WINDOW', 1, 'R', { sequence: 0 });
  assert.is(t.state, 'opening');
  assert.is(t.say(1, 'RA', { sequence: 0, forged: true }).length, 1);
  assert.is(t.state, 'reset');
  // The client tries again with the same port.
  t.next[0] = 0x4000_0000;
  t.next[1] = 0x5000_0000;
  t.open();
  assert.is(t.state, 'established');
});

test('a reset for SYN data may acknowledge the SYN alone (RFC 7413 §4.2)', () => {
  for (const taken of [1, 501]) {
    const t = talk();
    t.say(0, 'S', { length: 500 });
    assert.is(t.say(1, 'RA', { sequence: 0, acknowledgement: 0xfffffc00 + taken, forged: true }).length, 1);
    assert.is(t.state, 'reset');
  }
});

// conforms: tcp-reset-window
test('a reset out of the window does not pass and changes nothing', () => {
  const t = talk().open();
  t.say(0, 'PA', { length: 1000 });
  t.say(1, 'A');
  for (const side of [0, 1] as const) {
    for (const off of [-1, -1000, 0x10000 * 40, 0x7fffffff, -0x80000000]) {
      t.refused('TCP_OUT_OF_WINDOW', side, 'R', { sequence: t.next[side] + off });
      t.refused('TCP_OUT_OF_WINDOW', side, 'RA', { sequence: t.next[side] + off, acknowledgement: 99 });
    }
  }
  assert.is(t.state, 'established');
  assert.is(t.say(0, 'PA', { length: 10 }).length, 1);
});

// conforms: tcp-reset
test('a reset inside the window passes, challenges the flow for 4 min, and the next segment revives it (RFC 5961 §3.2, RFC 7857 §2.2)', () => {
  for (const side of [0, 1] as const) {
    const t = talk().open();
    assert.is(t.say(side, 'R', { sequence: t.next[side] + 5000, forged: true }).length, 1);
    assert.is(t.state, 'challenged');
    // The challenge ACK of who got it.
    assert.is(t.say(side === 0 ? 1 : 0, 'A').length, 1);
    assert.is(t.state, 'established');
    t.rig.advance(1_000_000, 10_000);
    assert.is(t.rig.flowCount, 1, 'it lives by the long timer again');
  }
  const t = talk().open();
  t.say(0, 'R', { sequence: t.next[0] + 5000, forged: true });
  const left = lifetime(t.rig, 300);
  assert.ok(left >= 240 && left <= 242, `${left} s`);
});

test('a true reset whose number is ahead of what passed here: the challenge is answered by an exact one', () => {
  const t = talk().open();
  // 2,000 bytes were lost before they came here.
  t.say(0, 'R', { sequence: t.next[0] + 2000, forged: true });
  assert.is(t.state, 'challenged');
  t.say(1, 'A');
  t.say(0, 'R');
  assert.is(t.state, 'reset');
});

// conforms: tcp-reset-window
test('forged resets with random numbers kill no idle connection, from either side', () => {
  check(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 30 }), (resets) => {
    const t = talk({ scales: [7, 7] }).open();
    t.say(0, 'PA', { length: 48 });
    t.say(1, 'PA', { length: 48 });
    for (const [sequence, fromServer, hasAck] of resets) t.say(fromServer ? 1 : 0, hasAck ? 'RA' : 'R', { sequence, acknowledgement: sequence, forged: true });
    // Both sides go on as if nothing had happened.
    assert.is(t.say(0, 'PA', { length: 48 }).length, 1);
    assert.is(t.say(1, 'PA', { length: 48 }).length, 1);
    assert.is(t.state, 'established');
  }), 30);
});

// conforms: nat-no-refresh
test('no reset prolongs a flow (RFC 7857 §7.1)', () => {
  const t = talk().open();
  t.say(0, 'RA');
  t.rig.advance(200_000, 1000);
  t.rig.teach();
  t.say(0, 'RA', { forged: true });
  t.say(1, 'RA', { forged: true });
  const left = lifetime(t.rig, 100);
  assert.ok(left <= 42, `${left} s`);
  // Nor does one that challenges again and again.
  const again = talk().open();
  for (let i = 0; i < 5; i++) {
    again.say(0, 'R', { sequence: again.next[0] + 700, forged: true });
    again.rig.advance(60_000, 1000);
    again.rig.teach();
  }
  assert.is(again.rig.flowCount, 0);
});

// conforms: tcp-handshakes
test('simultaneous open through a mapping, real numbers (RFC 9293 §3.5, RFC 5382 REQ-2)', () => {
  const t = talk();
  t.say(0, 'S');
  t.say(1, 'S');
  assert.is(t.state, 'answered');
  const first: [number, number] = [0xfffffc00, 0x12345678];
  assert.is(t.say(0, 'SA', { sequence: first[0] }).length, 1);
  assert.is(t.say(1, 'SA', { sequence: first[1] }).length, 1);
  t.say(0, 'A');
  assert.is(t.state, 'established');
  t.say(1, 'PA', { length: 500 });
  t.close();
  assert.is(t.state, 'time-wait');
  assert.is(t.rig.router.windows.strange, 0);
});

test('an answer that does not acknowledge the SYN opens nothing, whoever forged it; the true one does', () => {
  const t = talk();
  t.say(0, 'S');
  for (const off of [-1, 1, 0x1234_5678]) t.say(1, 'SA', { sequence: 0x9999_0000, acknowledgement: t.next[0] + off, forged: true });
  assert.is(t.state, 'opening');
  t.refused('TCP_OUT_OF_WINDOW', 1, 'R', { sequence: 0x9999_0001 });
  t.say(1, 'SA');
  t.say(0, 'A');
  assert.is(t.state, 'established');
});

// conforms: tcp-handshakes
test('half-open: the far end still knows the old connection, and the client’s reset reaches it (RFC 9293 §3.5.1)', () => {
  const t = talk();
  t.say(0, 'S');
  // It acknowledges what the connection of before was at.
  assert.is(t.say(1, 'A', { sequence: 0x1000, acknowledgement: 0x2000, forged: true }).length, 1);
  assert.is(t.state, 'opening');
  assert.is(t.say(0, 'R', { sequence: 0x2000, forged: true }).length, 1);
  assert.is(t.state, 'opening');
  t.say(0, 'S', { sequence: 0xfffffc00 });
  t.say(1, 'SA');
  t.say(0, 'A');
  assert.is(t.state, 'established');
});

test('half-open: a client that has lost its connection opens it anew by the same flow', () => {
  const t = talk().open();
  t.say(1, 'PA', { length: 10 });
  assert.is(t.say(0, 'S', { sequence: 0x7000_0000, forged: true }).length, 1);
  assert.is(t.state, 'established');
  t.say(1, 'A');
  t.say(0, 'R', { sequence: t.next[0] });
  assert.is(t.state, 'reset');
  t.next[0] = 0x7000_0000;
  t.next[1] = 0x6000_0000;
  t.open();
  assert.is(t.state, 'established');
});

// conforms: tcp-half-close
test('half-close: data flows on the other way for hours of use, each segment prolonging it', () => {
  const t = talk().open();
  t.say(0, 'FA');
  for (let i = 0; i < 40; i++) {
    assert.is(t.say(1, 'PA', { length: 1400 }).length, 1);
    assert.is(t.say(0, 'A').length, 1);
    t.rig.advance(200_000, 10_000);
    t.rig.teach();
    assert.is(t.state, 'half-closed');
  }
  t.say(1, 'FA');
  assert.is(t.state, 'time-wait');
});

// conforms: tcp-time-wait
test('time-wait is opened again by a SYN of either side, with new numbers; a FIN or data does not', () => {
  for (const opener of [0, 1] as const) {
    const t = talk().open().close();
    t.say(1, 'FA', { sequence: t.next[1] - 1 });
    t.say(0, 'A');
    assert.is(t.state, 'time-wait');
    t.next[0] = 0x2222_0000;
    t.next[1] = 0x1111_0000;
    t.say(opener, 'S');
    assert.is(t.state, 'opening');
    t.say(opener === 0 ? 1 : 0, 'SA');
    t.say(opener, 'A');
    assert.is(t.state, 'established');
    t.say(0, 'PA', { length: 9 });
    t.say(1, 'PA', { length: 9 });
    assert.is(t.rig.router.windows.strange, 0);
    t.rig.advance(1_000_000, 10_000);
    assert.is(t.state, 'established');
  }
});

test('data out of the window passes, counted, and moves nothing; a FIN among it closes nothing', () => {
  const t = talk().open();
  const { windows } = t.rig.router;
  assert.is(t.say(1, 'PA', { sequence: t.next[1] + 0x4000_0000, length: 10, forged: true }).length, 1);
  assert.is(t.say(1, 'FA', { sequence: t.next[1] - 0x4000_0000, forged: true }).length, 1);
  assert.is(t.say(1, 'A', { acknowledgement: t.next[0] + 0x1000_0000, forged: true }).length, 1);
  assert.is(windows.strange, 3);
  assert.is(windows.relearned, 0);
  assert.is(t.state, 'established');
  t.refused('TCP_OUT_OF_WINDOW', 1, 'R', { sequence: t.next[1] + 0x4000_000a });
  t.say(0, 'A');
  t.close();
  assert.is(t.state, 'time-wait');
  assert.is(windows.strange, 3);
});

test('when another path was used for a while both windows are learned anew, and closing is seen', () => {
  const t = talk().open();
  t.next[0] = (t.next[0] + 30_000_000) >>> 0;
  t.next[1] = (t.next[1] + 90_000_000) >>> 0;
  t.say(0, 'PA', { length: 100 });
  t.say(1, 'PA', { length: 100 });
  assert.is(t.rig.router.windows.relearned, 1);
  t.close();
  assert.is(t.state, 'time-wait');
});

test('window scale counts only when both SYNs offer it (RFC 7323 §2.2)', () => {
  const reaches = (scales: [number | undefined, number | undefined], ahead: number): boolean => {
    const t = talk({ scales, windows: [10_000, 10_000] }).open();
    t.say(1, 'A');
    const before = t.rig.verdict('lan', 'TCP_OUT_OF_WINDOW');
    t.say(0, 'R', { sequence: t.next[0] + ahead, forged: true });
    return t.rig.verdict('lan', 'TCP_OUT_OF_WINDOW') === before;
  };
  assert.is(reaches([undefined, undefined], 10_000), true);
  assert.is(reaches([undefined, undefined], 10_001), false);
  assert.is(reaches([7, 5], 10_000 * 32), true);
  assert.is(reaches([7, 5], 10_000 * 32 + 1), false);
  assert.is(reaches([undefined, 5], 10_001), false);
  assert.is(reaches([7, undefined], 10_001), false);
  // RFC 7323 §2.3: more than 14 is 14.
  assert.is(reaches([7, 30], 10_000 * 16384), true);
  assert.is(reaches([7, 30], 10_000 * 16384 + 1), false);
});

test('a super-frame counts whole', () => {
  const t = talk({ scales: [7, 7] }).open();
  const length = 40_000;
  const vnet = make.vnet({ needsChecksum: true, gso: 'tcp', headerLength: 54, segmentBytes: 1460, checksumStart: 34, checksumOffset: 16 });
  assert.ok(t.say(0, 'PA', { length, vnet }).length > 20);
  t.say(1, 'A');
  t.refused('TCP_OUT_OF_WINDOW', 0, 'R', { sequence: t.next[0] - length + 1460 });
  t.say(0, 'R');
  assert.is(t.state, 'reset');
  assert.is(t.rig.router.windows.strange, 0);
});

test('a keep-alive, a window probe and retransmissions are the flow’s', () => {
  const t = talk().open();
  t.say(0, 'PA', { length: 1000 });
  t.say(1, 'A', { window: 0 });
  t.say(0, 'A', { sequence: t.next[0] - 1 });
  t.say(0, 'PA', { sequence: t.next[0], length: 1, forged: true });
  t.say(0, 'PA', { sequence: t.next[0] - 1000, length: 1000 });
  t.say(1, 'A');
  t.say(0, 'S', { sequence: 0xfffffc00 });
  assert.is(t.rig.router.windows.strange, 0);
  assert.is(t.state, 'established');
});

test('flags that no sender combines are dropped, with a flow and without', () => {
  const t = talk().open();
  for (const flags of ['SF', 'SR', '', 'F', 'FSRPAU', 'FR', 'FRA', 'P', 'SFA', 'U', 'FPU']) {
    for (const side of [0, 1] as const) assert.equal(t.refused('TCP_FLAGS', side, flags), []);
    assert.equal(t.rig.refused('TCP_FLAGS', 'lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 9, destinationPort: 9, flags }))), []);
  }
  assert.is(t.state, 'established');
  assert.is(t.rig.flowCount, 1);
  for (const flags of ['PAU', 'AE', 'AC', 'PAUEC']) assert.is(t.say(0, flags, { length: 1 }).length, 1, flags);
});

// conforms: icmp-no-effect nat-no-refresh
test('an ICMP error neither ends nor prolongs a connection (RFC 5382 REQ-10)', () => {
  const t = talk();
  t.say(0, 'S');
  t.say(1, 'SA');
  const [sent] = t.say(0, 'A');
  t.rig.advance(7_300_000, 100_000);
  t.rig.teach();
  t.rig.from('wan1', make.ipv4({ source: GATEWAY, destination: WAN1 }, make.icmp({ type: 3, code: 1 }, sent.packet.subarray(0, 28))));
  assert.is(t.state, 'established');
  const left = lifetime(t.rig, 300);
  assert.ok(left >= 140 && left <= 142, `${left} s`);
});

test.run();
