/** The numbers that TypeScript and C share are the same on both sides. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as batch from '../../src/link/batch.js';
import { native } from '../../src/link/native.js';
import * as vnet from '../../src/wire/vnet.js';

const layout = suite('layout');

layout('every number of batch.ts and vnet.ts is in native/batch.h with the same value, and no other', () => {
  const numbers = Object.fromEntries([...Object.entries(batch), ...Object.entries(vnet)].filter(([, value]) => typeof value === 'number'));
  const names = Object.keys(native().layout);
  assert.ok(names.length > 30, 'the addon lists its numbers');
  assert.equal(native().layout, numbers);
});

layout('a record has its headroom, and its IP header is aligned', () => {
  assert.is(batch.HEADROOM % 4, 0);
  assert.is(batch.RECORD_MAX % 4, 0);
  assert.ok(batch.HEADROOM >= vnet.VNET_LENGTH + 14);
  assert.ok(batch.RECORD_MAX >= batch.HEADROOM + batch.FRAME_MAX);
});

layout.run();
