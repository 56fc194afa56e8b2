/** Datagrams sent: found by all they are known by, forgotten only for a newer one. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { SentDatagrams } from '../../src/table/sent-datagram.js';

test('what was noted is found, with everything that was noted', () => {
  const sent = new SentDatagrams(7);
  for (const [direction, id, before] of [[0, 0xffff, 0], [1, 0, 0xffff]] as const) {
    sent.note(-5, 9, 255, id, before, 1234, 77, direction);
    const at = sent.find(-5, 9, 255, id);
    assert.ok(at >= 0);
    assert.equal([sent.flow(at), sent.serial(at), sent.before(at), sent.direction(at)], [1234, 77, before, direction]);
  }
});

test('another source, destination, protocol or identification is another datagram; an empty table knows none', () => {
  const sent = new SentDatagrams(7);
  assert.is(sent.find(-1, -1, 255, 0xffff), -1);
  assert.is(sent.find(0, 0, 0, 0), -1);
  sent.note(1, 2, 17, 3, 4, 5, 6, 0);
  for (const [source, destination, protocol, id] of [[2, 2, 17, 3], [1, 1, 17, 3], [1, 2, 6, 3], [1, 2, 17, 4]] as const) assert.is(sent.find(source, destination, protocol, id), -1);
});

test('the newest of one name counts, and the last few hundred are nearly all there, never another one in their place', () => {
  const sent = new SentDatagrams(7);
  sent.note(1, 2, 17, 3, 100, 5, 6, 0);
  sent.note(1, 2, 17, 3, 101, 8, 9, 1);
  assert.is(sent.before(sent.find(1, 2, 17, 3)), 101);
  const random = new Random(3);
  const noted = Array.from({ length: 20_000 }, (_, i) => ({ source: random.next(), id: i & 0xffff, flow: i }));
  for (const { source, id, flow } of noted) sent.note(source, 2, 17, id, id, flow, 1, 0);
  let found = 0;
  for (const { source, id, flow } of noted.slice(-400)) {
    const at = sent.find(source, 2, 17, id);
    if (at < 0) continue;
    assert.is(sent.flow(at), flow);
    found++;
  }
  assert.ok(found > 360, `${found} of 400`);
});

test.run();
