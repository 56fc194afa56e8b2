/** A short slice of the fuzz, and proof that its judge sees what it is there to see. `npm run fuzz` runs millions. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fuzz } from './fuzz.js';

const PACKETS = 20_000;

// conforms: csum-incremental csum-wrong-stays
for (const seed of [100, 101, 102, 103]) {
  test(`${PACKETS} frames of seed ${seed} hold every promise`, () => {
    const { packets, sent, verdicts } = fuzz(seed, PACKETS);
    assert.is(packets, PACKETS);
    assert.ok(sent > PACKETS / 20, `the frames reach the far end: ${sent}`);
    assert.ok(Object.keys(verdicts).length > 30, `they meet many ends: ${Object.keys(verdicts).join(' ')}`);
  });
}

test('a seed is a run: twice the same, and a short run is the beginning of a long one', () => {
  const again = (): unknown => { const { durationMs: _, ...rest } = fuzz(7, 3000); return rest; };
  assert.equal(again(), again());
});

test.run();
