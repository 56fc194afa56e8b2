/**
 * Random legal TCP between two simulated ends, through SNAT, with loss, duplication and reordering on both sides of the router: no segment is
 * refused, and once both ends have closed, or one has reset, the flow knows.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Conversation } from '../support/conversation.js';
import { check } from '../support/oracle/property.js';
import { rig } from '../support/rig.js';

/** Numbers a test draws, as fast-check shrinks them. */
type Draw = (below: number) => number;

interface Segment { from: 0 | 1; flags: string; sequence: number; acknowledgement: number; length: number; window: number }

const WINDOW = 20_000;

/** An end: what it has still to send, what it knows of the other, in true (unwrapped) numbers. */
class End {
  readonly side: 0 | 1;
  readonly first: number;
  /** Sent up to, acknowledged up to, received in order up to; first + 1 is the first byte. */
  sent: number;
  acked: number;
  received = -1;
  readonly total: number;
  readonly ahead = new Map<number, number>();
  hasFin = false;
  hasHeardFin = false;
  isOpen = false;
  finAt = -1;
  edge = 0;

  constructor(side: 0 | 1, first: number, total: number) {
    this.side = side;
    this.first = first;
    this.sent = first;
    this.acked = first;
    this.total = total;
  }

  get isDone(): boolean { return this.hasFin && this.acked === this.sent && this.hasHeardFin; }

  segment(flags: string, sequence: number, length = 0): Segment {
    return { from: this.side, flags, sequence, acknowledgement: Math.max(0, this.received), length, window: WINDOW };
  }

  /** What it sends when it has the word: its SYN, lost data again from the first not acknowledged, new data, its FIN, or an ACK. */
  speak(draw: Draw): Segment[] {
    if (!this.isOpen) {
      if (this.received < 0) {
        if (this.side === 1) return [];
        this.sent = this.first + 1;
        return [this.segment('S', this.first)];
      }
      this.sent = this.first + 1;
      if (this.side === 1) return [this.segment('SA', this.first)];
    }
    const out: Segment[] = [];
    const end = this.first + 1 + this.total;
    let at = draw(2) === 0 ? this.acked : this.sent;
    if (at === this.first) at = this.first + 1;
    for (let i = draw(4); i > 0 && at < end && at < this.edge; i--) {
      const length = Math.min(1 + draw(3000), end - at, this.edge - at);
      out.push(this.segment('PA', at, length));
      at += length;
    }
    if (at > this.sent) this.sent = at;
    if (this.sent >= end && at >= end && draw(2) === 0) {
      this.hasFin = true;
      this.sent = end + 1;
      out.push(this.segment('FA', end));
    }
    if (out.length === 0) out.push(this.segment('A', this.sent));
    return out;
  }

  /** A segment arrives. */
  hear(s: Segment): void {
    const isAck = s.flags.includes('A');
    if (isAck && s.acknowledgement > this.acked && s.acknowledgement <= this.sent) this.acked = s.acknowledgement;
    if (isAck) this.edge = Math.max(this.edge, s.acknowledgement + s.window);
    if (s.flags.includes('S')) {
      if (this.received < 0) this.received = s.sequence + 1;
      if (isAck) this.isOpen = true;
      return;
    }
    if (this.received < 0) return;
    if (isAck && this.acked > this.first) this.isOpen = true;
    if (s.length > 0) this.ahead.set(s.sequence, Math.max(s.sequence + s.length, this.ahead.get(s.sequence) ?? 0));
    if (s.flags.includes('F')) this.finAt = s.sequence;
    for (let moved = true; moved;) {
      moved = false;
      for (const [from, to] of this.ahead) {
        if (from <= this.received && to > this.received) {
          this.received = to;
          moved = true;
        }
      }
    }
    if (this.finAt === this.received) {
      this.received++;
      this.hasHeardFin = true;
    }
  }
}

/** Exchanges that came to their end: without any, nothing was tested of it. */
let closed = 0;

/** Run one exchange. `resetAt`: the step at which one end resets, by what it has sent so far. */
function exchange(seed: number[], first: [number, number], totals: [number, number], badness: number, resetAt: number): void {
  let place = 0;
  const draw: Draw = (below) => {
    // A mixed congruential step over the drawn numbers: long runs from short lists.
    const x = Math.imul(seed[place % seed.length] ^ (place * 0x9e3779b1), 0x85ebca6b);
    place++;
    return ((x ^ (x >>> 13)) >>> 0) % below;
  };
  const r = rig({ weights: [1, 0] });
  const talk = new Conversation(r, { first });
  const ends = [new End(0, first[0], totals[0]), new End(1, first[1], totals[1])];
  const flying: { segment: Segment; isPast: boolean }[] = [];
  let isReset = false;
  const launch = (segments: Segment[]): void => {
    for (const segment of segments) {
      if (draw(100) < badness) continue;
      flying.push({ segment, isPast: false });
      if (draw(100) < badness) flying.push({ segment, isPast: false });
    }
  };
  for (let step = 0; step < 600 && !isReset && !(ends[0].isDone && ends[1].isDone); step++) {
    if (step === resetAt) {
      const end = ends[draw(2)];
      if (end.isOpen) {
        isReset = true;
        // What it has sent so far may have been lost before the router.
        const sent = talk.say(end.side, 'RA', { sequence: end.sent, acknowledgement: end.received, forged: true });
        assert.is(sent.length, 1, 'its reset passes');
        const { state } = talk;
        assert.ok(state === 'reset' || state === 'challenged' || state === 'time-wait', state);
        break;
      }
    }
    launch(ends[draw(2)].speak(draw));
    for (let moves = draw(5); moves > 0 && flying.length > 0; moves--) {
      const at = draw(100) < badness ? draw(flying.length) : 0;
      const [{ segment }] = flying.splice(at, 1);
      const refusedBefore = refusals(talk);
      const sent = talk.say(segment.from, segment.flags, { ...segment, forged: true });
      assert.is(refusals(talk), refusedBefore, `refused: ${JSON.stringify(segment)}`);
      assert.is(sent.length, 1);
      if (draw(100) >= badness) ends[1 - segment.from].hear(segment);
    }
  }
  if (ends[0].isDone && ends[1].isDone && !isReset) {
    assert.is(talk.state, 'time-wait');
    closed++;
  }
}

function refusals(talk: Conversation): number {
  return (['lan', 'wan1'] as const).reduce((sum, link) => sum + talk.rig.verdict(link, 'TCP_OUT_OF_WINDOW') + talk.rig.verdict(link, 'MIDSTREAM') + talk.rig.verdict(link, 'TCP_FLAGS'), 0);
}

const word = fc.integer({ min: 0, max: 0xffffffff });

// conforms: tcp-handshakes
test('no segment of a legal exchange is refused, and its end is seen', () => {
  check(fc.property(
    fc.array(word, { minLength: 16, maxLength: 64 }), fc.tuple(word, word), fc.tuple(fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 60_000 })), fc.constantFrom(0, 5, 20),
    (seed, first, totals, badness) => exchange(seed, first, totals, badness, -1),
  ), 60);
  assert.ok(closed > 10, `${closed} exchanges closed`);
});

test('nor is a reset of either end, at any time', () => {
  check(fc.property(
    fc.array(word, { minLength: 16, maxLength: 64 }), fc.tuple(word, word), fc.tuple(fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 60_000 })), fc.constantFrom(0, 5, 20), fc.integer({ min: 3, max: 120 }),
    (seed, first, totals, badness, resetAt) => exchange(seed, first, totals, badness, resetAt),
  ), 60);
});

test.run();
