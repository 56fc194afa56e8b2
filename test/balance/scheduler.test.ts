/** Runs the shared suite over every scheduler there is. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SCHEDULERS } from '../../src/balance/scheduler/registry.js';
import { schedulerSuite } from './scheduler-suite.js';

test('there is at least one scheduler, and each has a name of its own', () => {
  assert.ok(SCHEDULERS.length > 0);
  assert.is(new Set(SCHEDULERS.map((type) => type.name)).size, SCHEDULERS.length);
});

for (const type of SCHEDULERS) schedulerSuite(type);

test.run();
