/** TCP as seen from the middle: every legal way to open, close, abort and open again. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  challengedTcp, isIllegal, isOver, mergeTcp, nextTcp, reopenedTcp, reopens, STATE_MASK, STATE_NAMES, STATE_NEW, TCP_CHALLENGED, TCP_ESTABLISHED, TCP_OPENING, TCP_RESET, TCP_TIME_WAIT,
} from '../../src/table/tcp-state.js';
import { ACK, FIN, PSH, RST, SYN } from '../../src/wire/tcp.js';
import { check } from '../support/oracle/property.js';

/** '> ' is the side that opened, '< ' the other one; the flags; the state after it. */
type Walk = readonly (readonly [string, string])[];

const FLAGS: Readonly<Record<string, number>> = { SYN, ACK, FIN, RST, PSH };

function segment(text: string): { direction: number; flags: number } {
  const [arrow, names] = text.split(' ');
  return { direction: arrow === '>' ? 0 : 1, flags: names.split('+').reduce((bits, name) => bits | FLAGS[name], 0) };
}

function walk(steps: Walk, from = STATE_NEW): number {
  let word = from;
  steps.forEach(([text, state], i) => {
    const { direction, flags } = segment(text);
    word = nextTcp(word, flags, direction);
    assert.is(STATE_NAMES[word & STATE_MASK], state, `step ${i}: ${text}`);
  });
  return word;
}

const OPEN: Walk = [['> SYN', 'opening'], ['< SYN+ACK', 'answered'], ['> ACK', 'established']];
const CLOSE: Walk = [['> FIN+ACK', 'half-closed'], ['< ACK', 'half-closed'], ['< FIN+ACK', 'time-wait'], ['> ACK', 'time-wait']];

const WALKS: Readonly<Record<string, Walk>> = {
  'opened, used and closed by the one who opened': [...OPEN, ['> PSH+ACK', 'established'], ['< PSH+ACK', 'established'], ...CLOSE],
  'closed by the other side': [...OPEN, ['< FIN+ACK', 'half-closed'], ['> FIN+ACK', 'time-wait'], ['< ACK', 'time-wait']],
  'both close at once': [...OPEN, ['> FIN+ACK', 'half-closed'], ['< FIN+ACK', 'time-wait'], ['> ACK', 'time-wait'], ['< ACK', 'time-wait']],
  'half-closed, and data flows on the other way for as long as it likes': [
    ...OPEN, ['> FIN+ACK', 'half-closed'], ['< PSH+ACK', 'half-closed'], ['> ACK', 'half-closed'], ['< PSH+ACK', 'half-closed'], ['< FIN+PSH+ACK', 'time-wait']],
  'a FIN sent again is still one side’s': [...OPEN, ['> FIN+ACK', 'half-closed'], ['> FIN+ACK', 'half-closed'], ['< FIN+ACK', 'time-wait']],
  'SYN and SYN-ACK sent again': [['> SYN', 'opening'], ['> SYN', 'opening'], ['< SYN+ACK', 'answered'], ['< SYN+ACK', 'answered'], ['> SYN', 'answered'], ['> ACK', 'established']],
  'simultaneous open (RFC 9293 §3.5, RFC 5382 REQ-2)': [
    ['> SYN', 'opening'], ['< SYN', 'answered'], ['> SYN+ACK', 'answered'], ['< SYN+ACK', 'answered'], ['> ACK', 'established'], ['< PSH+ACK', 'established']],
  'data on the third segment, or a FIN at once': [['> SYN', 'opening'], ['< SYN+ACK', 'answered'], ['> FIN+PSH+ACK', 'half-closed'], ['< FIN+ACK', 'time-wait']],
  'an ACK that is no answer opens nothing': [['> SYN', 'opening'], ['< ACK', 'opening'], ['> ACK', 'opening'], ['< PSH+ACK', 'opening']],
  'refused': [['> SYN', 'opening'], ['< RST+ACK', 'reset']],
  'given up by the one who opened': [['> SYN', 'opening'], ['< SYN+ACK', 'answered'], ['> RST', 'reset']],
  'reset in the middle, by either side': [...OPEN, ['< RST+ACK', 'reset'], ['> ACK', 'reset'], ['> FIN+ACK', 'reset'], ['< RST', 'reset'], ['> ACK', 'reset']],
  'reset, and both sides go on: it was a forgery (RFC 7857 §2.2)': [...OPEN, ['< RST', 'reset'], ['> ACK', 'reset'], ['< PSH+ACK', 'established']],
  'the same while half-closed': [...OPEN, ['> FIN+ACK', 'half-closed'], ['> RST', 'reset'], ['< PSH+ACK', 'reset'], ['> ACK', 'half-closed'], ['< FIN+ACK', 'time-wait']],
  'what was never open is not revived': [['> SYN', 'opening'], ['< RST+ACK', 'reset'], ['> ACK', 'reset'], ['< ACK', 'reset']],
  'reset while half-closed and in time-wait': [...OPEN, ['> FIN+ACK', 'half-closed'], ['< RST', 'reset']],
  'time-wait is opened again by a new SYN (RFC 9293 §3.6.1)': [...OPEN, ...CLOSE, ...OPEN, ...CLOSE, ...OPEN],
  'after a reset too': [...OPEN, ['> RST', 'reset'], ...OPEN, ...CLOSE],
  'by the other side too, but not by a SYN-ACK': [
    ...OPEN, ...CLOSE, ['> SYN+ACK', 'time-wait'], ['< SYN+ACK', 'time-wait'], ['< SYN', 'opening'], ['> SYN+ACK', 'answered'], ['< ACK', 'established']],
  'a SYN into an open flow changes nothing: its receiver judges it (RFC 9293 §3.10.7.4)': [...OPEN, ['> SYN', 'established'], ['< ACK', 'established'], ['> RST', 'reset'], ...OPEN],
  'picked up in its middle, and believed once both sides are heard': [['> PSH+ACK', 'new'], ['> ACK', 'new'], ['< ACK', 'established'], ['> FIN+ACK', 'half-closed'], ['< FIN+ACK', 'time-wait']],
  'reset in time-wait': [...OPEN, ...CLOSE, ['> RST', 'reset']],
};

for (const [name, steps] of Object.entries(WALKS)) test(name, () => { walk(steps); });

test('a flow opened again remembers nothing of the one before', () => {
  const first = nextTcp(STATE_NEW, SYN, 0);
  assert.is(walk([...OPEN, ...CLOSE, ['> SYN', 'opening']]), first);
  assert.is(walk([...OPEN, ['< RST', 'reset'], ['> SYN', 'opening']]), first);
  // Its one FIN of before does not count as this one's.
  walk([...OPEN, ...CLOSE, ...OPEN, ['< FIN+ACK', 'half-closed'], ['> ACK', 'half-closed']]);
});

test('a reset that may be forged challenges what is open, and the next segment revives it as it was', () => {
  const name = (word: number): string => STATE_NAMES[word & STATE_MASK];
  for (const [steps, challenged, after] of [
    [OPEN.slice(0, 1), 'opening', 'opening'], [OPEN.slice(0, 2), 'challenged', 'established'], [OPEN, 'challenged', 'established'],
    [[...OPEN, ['> FIN+ACK', 'half-closed'] as const], 'challenged', 'half-closed'], [[...OPEN, ...CLOSE], 'time-wait', 'time-wait'],
  ] as const) {
    for (const direction of [0, 1]) {
      const word = challengedTcp(walk(steps));
      assert.is(name(word), challenged);
      assert.is(name(challengedTcp(word)), challenged, 'another one changes nothing');
      assert.is(name(nextTcp(word, ACK, direction)), after);
      assert.is(name(nextTcp(word, RST, direction)), 'reset', 'an exact one resets');
    }
  }
  assert.is(name(nextTcp(challengedTcp(walk([...OPEN, ['> FIN+ACK', 'half-closed']])), FIN | ACK, 1)), 'time-wait');
  assert.is(challengedTcp(walk([...OPEN, ['> RST', 'reset']])), walk([...OPEN, ['> RST', 'reset']]));
});

test('flags: what a TCP sends is legal, whatever else is set; nothing else is', () => {
  const legal = new Set([SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK]);
  for (let flags = 0; flags < 256; flags++) assert.is(isIllegal(flags), !legal.has(flags & (SYN | ACK | FIN | RST)), `flags ${flags}`);
});

test('over is over only in time-wait and after a reset', () => {
  assert.equal(STATE_NAMES.map((_, state) => isOver(state)), STATE_NAMES.map((name) => name === 'time-wait' || name === 'reset'));
});

test('whatever segments come: open needs a SYN from both sides, closed a FIN from both, and the word stays small', () => {
  const any = fc.record({ flags: fc.integer({ min: 0, max: 63 }), direction: fc.integer({ min: 0, max: 1 }) });
  check(fc.property(fc.array(any, { maxLength: 60 }), (segments) => {
    let word = nextTcp(STATE_NEW, SYN, 0);
    let syn = new Set([0]), fin = new Set<number>();
    for (const { flags, direction } of segments) {
      const before = word;
      word = nextTcp(word, flags, direction);
      const state = word & STATE_MASK;
      assert.ok(word >= 0 && word < 1024);
      if (isOver(before) && state === TCP_OPENING) {
        assert.ok((flags & SYN) !== 0 && (flags & ACK) === 0);
        syn = new Set([direction]);
        fin = new Set();
        continue;
      }
      if (flags & RST) {
        assert.is(state, TCP_RESET);
        continue;
      }
      if (flags & SYN) syn.add(direction);
      else if (flags & FIN) fin.add(direction);
      // Over is over, but for a reset that both sides prove wrong.
      if ((before & STATE_MASK) === TCP_TIME_WAIT) assert.is(state, TCP_TIME_WAIT);
      if ((before & STATE_MASK) === TCP_RESET && state !== TCP_RESET) assert.ok((flags & ACK) !== 0 && syn.size === 2);
      if (state === TCP_ESTABLISHED) assert.is(syn.size, 2);
      if (state === TCP_TIME_WAIT && !isOver(before)) assert.is(fin.size, 2);
      if (state === TCP_RESET) assert.is(before & STATE_MASK, TCP_RESET);
    }
  }), 500);
});

test('two who have seen parts of one connection agree on it, whoever tells whom first', () => {
  // A walk of one instance that sees only some of the segments, from the state both begin with.
  const heard = fc.array(fc.record({ flags: fc.constantFrom(SYN, SYN | ACK, ACK, ACK | FIN, RST, RST | ACK), direction: fc.constantFrom(0, 1), isFirst: fc.boolean() }), { maxLength: 12 });
  check(fc.property(heard, (segments) => {
    let [one, two] = [0, 0];
    for (const { flags, direction, isFirst } of segments) {
      const word = isFirst ? one : two;
      const next = reopens(word, flags) ? reopenedTcp(word, flags, direction) : nextTcp(word, flags, direction);
      if (isFirst) one = next;
      else two = next;
    }
    // They tell each other until nothing is new.
    for (let i = 0; i < 3; i++) [one, two] = [mergeTcp(one, two), mergeTcp(two, one)];
    assert.is(mergeTcp(one, two), one, 'nothing is new any more');
    assert.is(mergeTcp(two, one), two);
    const [state, other] = [one & STATE_MASK, two & STATE_MASK];
    // What is over for one may have been reset for the other: either ends the same way.
    assert.ok(state === other || (isOver(one) && isOver(two)) || [TCP_ESTABLISHED, TCP_CHALLENGED].includes(state) && [TCP_ESTABLISHED, TCP_CHALLENGED].includes(other) || (state <= 1 && other <= 1),
      `${STATE_NAMES[state]} and ${STATE_NAMES[other]}`);
  }), 3000);
});

test.run();
