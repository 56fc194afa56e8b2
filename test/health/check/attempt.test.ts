/** Attempts: one end, what was opened is undone once, whenever the end came. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Attempts, failed } from '../../../src/health/check/attempt.js';
import { never } from '../check-suite.js';
import { OK } from '../plans.js';

test('what ends while it begins is undone as well, once', async () => {
  let undone = 0;
  const result = await new Attempts().run(5000, never(), (finish) => {
    finish(OK);
    finish(failed('too late'));
    return () => { undone++; };
  });
  assert.equal([result, undone], [OK, 1]);
});

test('what ends later is undone once, and only the first end counts', async () => {
  let undone = 0;
  const result = await new Attempts().run(5000, never(), (finish) => {
    setImmediate(() => {
      finish(failed('first'));
      finish(OK);
    });
    return () => { undone++; };
  });
  assert.equal([result.reason, undone], ['first', 1]);
});

test('what throws is an answer', async () => {
  assert.is((await new Attempts().run(5000, never(), () => { throw new Error('no room'); })).reason, 'no room');
});

test('who is late says in what the time was spent', async () => {
  assert.is((await new Attempts().run(1, never(), () => () => {}, () => 'waiting for godot')).reason, 'waiting for godot');
});

test.run();
