/** The map between two counts of one stream, place by place against a list of edits, around the wrap of sequence numbers. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ACKNOWLEDGED, EditedStream, LEFT_EDGE, RIGHT_EDGE } from '../../src/alg/stream.js';

interface Edit { start: number; old: number; text: Buffer }

/** Gaps before each edit, its old and new lengths. */
const edits = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })), { maxLength: 8 });
const origins = fc.constantFrom(0, 1000, 0x7fff_fff0, -50, -1);

function build(sizes: readonly [number, number, number][], origin: number): { stream: EditedStream; list: Edit[]; length: number } {
  const stream = new EditedStream();
  stream.begin(origin);
  const list: Edit[] = [];
  let at = 0;
  sizes.forEach(([gap, old, size], i) => {
    const text = Buffer.alloc(size, 65 + i);
    list.push({ start: at + gap, old, text });
    at += gap + old;
    stream.edit((origin + at) | 0, old, text, size);
  });
  stream.next = (origin + at + 10) | 0;
  return { stream, list, length: at + 10 };
}

/** What arrives of [from, to) of a stream of small letters, edits that are touched in full. */
function arrives(list: readonly Edit[], from: number, to: number): string {
  let out = '';
  for (let at = from; at < to;) {
    const edit = list.find(({ start, old }) => at >= start && at < start + old);
    out += edit === undefined ? 'x' : edit.text.toString();
    at = edit === undefined ? at + 1 : edit.start + edit.old;
  }
  return out;
}

test('places and their counterparts, both ways', () => {
  fc.assert(fc.property(edits, origins, (sizes, origin) => {
    const { stream, list, length } = build(sizes, origin);
    for (let place = 0; place <= length; place++) {
      const edit = list.find(({ start, old }) => place > start && place < start + old);
      const there = arrives(list, 0, edit?.start ?? place).length;
      assert.is(stream.forward((origin + place) | 0), (origin + there) | 0, `forward of ${place}`);
    }
    for (let there = 0, place = 0; place <= length;) {
      const edit = list.find(({ start }) => start === place);
      const back = (at: number, meaning: typeof ACKNOWLEDGED | typeof LEFT_EDGE | typeof RIGHT_EDGE): number => (stream.backward((origin + at) | 0, meaning) - origin) | 0;
      assert.equal([back(there, ACKNOWLEDGED), back(there, LEFT_EDGE), back(there, RIGHT_EDGE)], [place, place, place], `back from ${there}`);
      if (edit === undefined) {
        there++;
        place++;
        continue;
      }
      // Within a text: nothing of it has arrived, and a block covers none of it.
      for (let into = 1; into < edit.text.length; into++) {
        assert.equal([back(there + into, ACKNOWLEDGED), back(there + into, LEFT_EDGE), back(there + into, RIGHT_EDGE)], [place, place + edit.old, place]);
      }
      there += edit.text.length;
      place += edit.old;
    }
  }), { numRuns: 300, includeErrorInReport: true });
});

test('any part of it is written as it is to arrive, whatever has been acknowledged', () => {
  fc.assert(fc.property(edits, origins, fc.nat(400), fc.nat(400), fc.nat(400), (sizes, origin, one, two, acknowledged) => {
    const { stream, list, length } = build(sizes, origin);
    const whole = arrives(list, 0, length);
    stream.acknowledge((origin + Math.min(acknowledged, whole.length)) | 0);
    const from = ((stream.firstUnsettled((origin + Math.min(one, two, length)) | 0) - origin) | 0);
    const to = Math.max(from + 1, Math.min(Math.max(one, two), length));
    fc.pre(to <= length);
    const bytes = new Uint8Array(4096).fill(0x78, 0, 1024);
    const size = stream.write(bytes, 0, (origin + from) | 0, (origin + to) | 0, false, -1);
    assert.is(stream.write(bytes, 0, (origin + from) | 0, (origin + to) | 0, false, 2048), size);
    const written = Buffer.from(bytes.subarray(2048, 2048 + size)).toString();
    assert.is(written, arrives(list, from, to));
    assert.is(stream.isTouched((origin + from) | 0, (origin + to) | 0, false), list.some(({ start, old }) => start < to && start + old > from));
    const first = (stream.firstOf((origin + from) | 0, (origin + to) | 0, false) - origin) | 0;
    assert.is(whole.slice(first, first + written.length), written, 'where it belongs');
  }), { numRuns: 1000, includeErrorInReport: true });
});

test('an acknowledgement of what was never sent forgets nothing', () => {
  const { stream } = build([[5, 10, 12]], 0);
  stream.acknowledge(1_000_000);
  assert.is(stream.count, 1);
  stream.acknowledge(16);
  assert.is(stream.count, 1, 'one byte of the text is missing');
  stream.acknowledge(17);
  assert.equal([stream.count, stream.base], [0, 2]);
});

test('held bytes are acknowledged with what precedes them, and covered by no block', () => {
  const stream = new EditedStream();
  stream.begin(0);
  stream.next = 30;
  stream.held = 10;
  assert.equal([stream.forward(20), stream.forward(25), stream.forward(30)], [20, 20, 20]);
  assert.equal([stream.backward(19, ACKNOWLEDGED), stream.backward(20, ACKNOWLEDGED), stream.backward(20, RIGHT_EDGE)], [19, 30, 20]);
  stream.edit(31, 11, Buffer.alloc(15, 65), 15);
  stream.next = 31;
  assert.equal([stream.backward(20, ACKNOWLEDGED), stream.backward(27, ACKNOWLEDGED), stream.backward(35, ACKNOWLEDGED)], [30, 30, 31], 'what was acknowledged stays acknowledged');
});

test.run();
