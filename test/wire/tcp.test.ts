/** The MSS option: lowered wherever it stands, put back to the bit, and nothing else touched, whatever the options are. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clampMss, restoreMss } from '../../src/wire/tcp.js';
import { onesSum } from '../support/oracle/checksum.js';
import { check, word16 } from '../support/oracle/property.js';

const AT = 6;

/** One well-formed option as bytes: NOP, or a kind with its length and anything inside. */
const other = fc.oneof(fc.constant([1]), fc.tuple(fc.integer({ min: 3, max: 255 }), fc.array(fc.nat({ max: 255 }), { maxLength: 6 })).map(([kind, body]) => [kind, body.length + 2, ...body]));
const options = fc.tuple(fc.array(other, { maxLength: 3 }), fc.option(word16), fc.array(other, { maxLength: 2 })).map(([before, mss, after]) => ({
  before: before.flat(), mss, bytes: [...before.flat(), ...(mss === null ? [] : [2, 4, mss >> 8, mss & 255]), ...after.flat()],
})).filter(({ bytes }) => bytes.length <= 40);

/** A segment whose checksum is right (over itself: the pseudo-header does not change). */
function segment(optionBytes: readonly number[], payload: number): { bytes: Buffer; view: DataView } {
  const padded = Buffer.concat([Buffer.from(optionBytes), Buffer.alloc((4 - (optionBytes.length & 3)) & 3)]);
  const bytes = Buffer.concat([Buffer.alloc(AT), Buffer.from('0fa00050000003e800000000f002faf000000000', 'hex'), padded, Buffer.alloc(payload, 0x5a)]);
  bytes[AT + 12] = ((20 + padded.length) / 4) << 4;
  bytes.writeUInt16BE(0xffff - onesSum(bytes.subarray(AT)), AT + 16);
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}

test('an MSS above the limit becomes the limit, the checksum stays right, and putting it back gives the segment it was', () => {
  check(fc.property(options, word16, fc.nat({ max: 5 }), fc.boolean(), ({ before, mss, bytes: optionBytes }, most, payload, isPartial) => {
    const { bytes, view } = segment(optionBytes, payload);
    const was = Buffer.from(bytes);
    const lowered = mss !== null && mss > most;
    assert.is(clampMss(view, AT, most, isPartial), lowered ? mss : 0);
    if (!lowered) {
      assert.equal(bytes, was);
      return;
    }
    const at = AT + 20 + before.length + 2;
    assert.is(bytes.readUInt16BE(at), most);
    if (isPartial) assert.is(bytes.readUInt16BE(AT + 16), was.readUInt16BE(AT + 16));
    else assert.is(onesSum(bytes.subarray(AT)), 0xffff);
    // Nothing but the value and the checksum.
    const masked = (b: Buffer): Buffer => { const copy = Buffer.from(b); copy.fill(0, at, at + 2); copy.fill(0, AT + 16, AT + 18); return copy; };
    assert.equal(masked(bytes), masked(was));
    restoreMss(view, AT, mss, isPartial);
    assert.is(bytes.readUInt16BE(at), mss);
    assert.ok(isPartial ? bytes.equals(was) : onesSum(bytes.subarray(AT)) === 0xffff);
  }), 2000);
});

test('options of any bytes at all never lead out of the header', () => {
  check(fc.property(fc.array(fc.nat({ max: 255 }), { maxLength: 40 }), word16, (optionBytes, most) => {
    const { bytes, view } = segment(optionBytes, 0);
    const was = Buffer.from(bytes);
    const before = clampMss(view, AT, most, false);
    assert.is(onesSum(bytes.subarray(AT)), 0xffff);
    assert.equal(bytes.subarray(0, AT + 16), was.subarray(0, AT + 16));
    if (before === 0) assert.equal(bytes, was);
  }), 2000);
});

test.run();
