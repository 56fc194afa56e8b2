/** Identifications: none twice within 65,536 of the same three, none in step with another's. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { IpIds } from '../../src/table/ip-id.js';

test('65,536 in a row are all different, and then they come again', () => {
  const ids = new IpIds(new Random(1));
  const first = ids.take(1, 2, 17, 1);
  const seen = new Set([first]);
  for (let i = 1; i < 65_536; i++) seen.add(ids.take(1, 2, 17, 1));
  assert.is(seen.size, 65_536);
  assert.is(ids.take(1, 2, 17, 1), first);
});

test('so many in a row at once, over the end of 16 bits too', () => {
  const ids = new IpIds(new Random(1));
  let next = ids.take(1, 2, 17, 0);
  for (let i = 0; i < 3000; i++) {
    const count = 1 + i % 45;
    assert.is(ids.take(1, 2, 17, count), next);
    next = (next + count) & 0xffff;
  }
});

test('each source, destination and protocol begins elsewhere, and differently with another seed', () => {
  const begin = (seed: number): number[] => {
    const ids = new IpIds(new Random(seed));
    return [ids.take(1, 2, 17, 1), ids.take(1, 2, 6, 1), ids.take(1, 3, 17, 1), ids.take(4, 2, 17, 1), ids.take(2, 1, 17, 1)];
  };
  assert.is(new Set(begin(1)).size, 5);
  assert.equal(begin(1), begin(1));
  assert.is.not(begin(1).join(' '), begin(2).join(' '));
});

test.run();
