/** Flows end by injected time, and give back what they held. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { V } from '../../src/base/verdict.js';
import { BRIEF_CUT_PERCENT } from '../../src/table/counters.js';
import { Conversation } from '../support/conversation.js';
import { ethernet, expect, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const ONE: RigOptions = { weights: [1, 0] };
/** One external port, refused when it is taken and free at once when it is not. */
const ONE_PORT: RigOptions = { limits: { snatPortFirst: 5000, snatPortLast: 5000 }, uplink: { whenExhausted: 'refuse' }, timeouts: { portQuarantine: 0 } };
const out = (transport: make.Transport, source = PC1) => make.ipv4({ source, destination: SERVER }, transport);
const back = (transport: make.Transport) => make.ipv4({ source: SERVER, destination: WAN1 }, transport);
const udpOut = make.udp({ sourcePort: 4000, destinationPort: 80 });
const udpBack = make.udp({ sourcePort: 80, destinationPort: 4000 });

/** Seconds until the only flow is gone, looked at every second. */
function lifetime(r: Rig, most: number): number {
  for (let second = 0; second <= most; second++) {
    if (r.flowCount === 0) return second;
    r.advance(1000);
  }
  return Infinity;
}

const within = (seconds: number, wanted: number): void => assert.ok(seconds >= wanted && seconds <= wanted + 2, `${seconds} s, wanted ${wanted} s`);

// conforms: nat-udp-timer nat-refresh
test('UDP lives 5 min from its last packet, in either direction (RFC 4787 REQ-5, REQ-6)', () => {
  const r = rig(ONE);
  r.from('lan', out(udpOut));
  within(lifetime(r, 400), 300);
  r.teach();
  r.from('lan', out(udpOut));
  r.advance(200_000, 1000);
  r.teach();
  r.from('wan1', back(udpBack));
  within(lifetime(r, 400), 300);
});

// conforms: icmp-echo
test('ICMP echo lives at least 60 s (RFC 5508 REQ-2)', () => {
  const r = rig(ONE);
  r.from('lan', out(make.echoRequest({ id: 1 })));
  within(lifetime(r, 100), 60);
});

// conforms: tcp-timers
test('TCP: opening and closing 4 min, established 2 h 4 min, TIME-WAIT by its own timer (RFC 5382 REQ-5)', () => {
  for (const [name, steps, wanted] of [
    ['opening', 'S', 240], ['answered', 'S <SA', 240], ['established', 'S <SA A', 7440], ['half-closed', 'S <SA A FA', 240], ['closed by both', 'S <SA A FA <FA A', 120],
    ['reset', 'S <SA A R', 240], ['reset by the peer', 'S <SA A <R', 240], ['simultaneous open', 'S <S SA <SA A', 7440],
  ] as const) {
    const r = rig(ONE);
    const talk = new Conversation(r);
    for (const step of steps.split(' ')) {
      assert.is(talk.say(step.startsWith('<') ? 1 : 0, step.replace('<', '')).length, 1, name);
    }
    within(lifetime(r, 7500), wanted);
  }
});

// conforms: tcp-reset
test('after a reset, packets of one side neither revive nor prolong the flow (RFC 7857 §2.2)', () => {
  const r = rig(ONE);
  const talk = new Conversation(r);
  talk.open();
  talk.say(0, 'R');
  r.advance(200_000, 1000);
  r.teach();
  assert.is(talk.say(0, 'A').length, 1, 'a forged reset kills nothing at once');
  assert.is(r.flowCount, 1);
  within(lifetime(r, 300) + 200, 240);
});

test('an expired flow frees its external port, and its late answer is refused', () => {
  const r = rig({ ...ONE, ...ONE_PORT });
  r.from('lan', out(udpOut));
  r.refused('NO_PORT', 'lan', out(udpOut, PC2));
  r.advance(301_000, 1000);
  r.teach();
  assert.is(r.flowCount, 0);
  const [sent] = r.from('lan', out(make.udp({ sourcePort: 4001, destinationPort: 80 }), PC2));
  expect(sent.frame, ethernet(), ipv4({ source: WAN1 }), udp({ sourcePort: 5000 }));
  const [answer] = r.from('wan1', back(make.udp({ sourcePort: 80, destinationPort: 5000 })));
  expect(answer.frame, ethernet(), ipv4({ destination: PC2 }), udp({ destinationPort: 4001 }));
  r.refused('PORT_CLOSED', 'wan1', back(udpBack));
});

test('a port two flows share is free only when both are gone', () => {
  const r = rig({ ...ONE, ...ONE_PORT });
  r.from('lan', out(udpOut));
  r.advance(150_000, 1000);
  r.teach();
  r.from('lan', make.ipv4({ source: PC1, destination: '198.51.100.8' }, udpOut));
  r.advance(160_000, 1000);
  r.teach();
  assert.is(r.flowCount, 1, 'the first one is gone');
  r.refused('NO_PORT', 'lan', out(udpOut, PC2));
  r.advance(145_000, 1000);
  r.teach();
  assert.is(r.from('lan', out(udpOut, PC2)).length, 1);
});

test('a full table takes new flows again once old ones have gone, however many end at once', () => {
  const r = rig({ ...ONE, limits: { flows: 2048 } });
  for (let i = 0; i < 2048; i++) r.put('lan', r.frame('lan', out(make.udp({ sourcePort: 10_000 + i, destinationPort: 80 }))));
  r.run();
  assert.is(r.flowCount, 2048);
  r.refused('TABLE_FULL', 'lan', out(udpOut));
  r.advance(301_000);
  // Expiry is bounded per turn; some turns later all are gone.
  for (let i = 0; i < 20; i++) r.run();
  assert.is(r.flowCount, 0);
  r.teach();
  assert.is(r.from('lan', out(udpOut)).length, 1);
});

test('a jump of the clock by days ends everything that is due and nothing else', () => {
  const r = rig(ONE);
  r.from('lan', out(udpOut));
  r.advance(3 * 86_400_000);
  r.teach();
  assert.is(r.flowCount, 0);
  assert.is(r.from('lan', out(udpOut)).length, 1);
  assert.is(r.flowCount, 1);
  r.advance(200_000);
  assert.is(r.flowCount, 1);
});

/** A table that would be full after a minute if everything lived for its whole time; one long connection and one answered conversation lie in it. */
const SMALL: RigOptions = { ...ONE, limits: { flows: 256 } };

for (const [what, open] of [
  ['connections come and go', (r: Rig, port: number) => {
    const talk = new Conversation(r, { ports: [port, 80] });
    for (const step of ['S', '<SA', 'A', 'FA', '<FA', 'A']) assert.is(talk.say(step.startsWith('<') ? 1 : 0, step.replace('<', '')).length, 1, `${port}: ${step}`);
  }],
  ['SYNs nobody answers', (r: Rig, port: number) => { assert.is(r.from('lan', out(make.tcp({ sourcePort: port, destinationPort: 80, flags: 'S' }))).length, 1, `${port}`); }],
  ['datagrams nobody answers', (r: Rig, port: number) => { assert.is(r.from('lan', out(make.udp({ sourcePort: port, destinationPort: 80 }))).length, 1, `${port}`); }],
] as const) {
  test(`the table runs short: ${what}, four a second for five minutes, and none is refused; what is under way stays`, () => {
    const r = rig(SMALL);
    const long = new Conversation(r, { ports: [2000, 80] }).open();
    r.from('lan', out(udpOut));
    r.from('wan1', back(udpBack));
    let most = 0;
    for (let second = 0; second < 300; second++) {
      for (let i = 0; i < 4; i++) open(r, 3000 + second * 4 + i);
      most = Math.max(most, r.router.counters.getRouter(BRIEF_CUT_PERCENT));
      if (second === 200) r.from('lan', out(udpOut));
      r.advance(1000);
      r.teach();
    }
    assert.ok(most > 80, `${most} % less at most`);
    assert.is(r.router.windows.exhausted, 0, 'windows for all');
    assert.is(long.say(0, 'A').length, 1, 'the long connection');
    assert.is(r.from('wan1', back(udpBack)).length, 1, 'the answered conversation');
    assert.is(r.router.counters.verdict(r.index('lan'), V.TABLE_FULL), 0);
    r.advance(300_000, 1000);
    const alone = r.flowCount;
    r.from('lan', out(make.udp({ sourcePort: 2999, destinationPort: 80 })));
    r.advance(290_000, 1000);
    assert.is(r.flowCount, alone + 1, 'with room again everything has its whole time');
  });
}

test.run();
