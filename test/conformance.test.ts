/** docs/conformance.md says what the table and the tags in the tests say, and nothing says yes without a test. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CONFORMANCE, conformance, faults, rows, tags } from '../scripts/generate-conformance.js';
import type { Row, Tagged } from '../scripts/generate-conformance.js';

test('every yes has a test, every partial and no a reason, every tag a row and a test', () => {
  assert.equal(faults(), []);
  assert.ok(rows().length > 60 && tags().length > 60);
});

test('the document is up to date: npx tsx scripts/generate-conformance.ts', () => {
  assert.fixture(readFileSync(new URL(`../${CONFORMANCE}`, import.meta.url), 'utf8'), conformance());
});

test('what is wrong is told', () => {
  const row = (fields: Partial<Row>): Row => ({ id: 'a', group: 'G', says: 's', law: 'l', answer: 'yes', why: '', note: '', ...fields });
  const tag = (fields: Partial<Tagged>): Tagged => ({ file: 'test/x.test.ts', line: 3, title: 't', ids: ['a'], ...fields });
  assert.equal(faults([row({})], [tag({})]), []);
  assert.match(faults([row({})], [])[0], /a says yes and no test shows it/);
  assert.match(faults([row({ answer: 'no' })], [])[0], /a says no and not why/);
  assert.match(faults([row({})], [tag({ ids: ['a', 'b'] })])[0], /test\/x\.test\.ts:3: no row is called b/);
  assert.match(faults([row({})], [tag({ title: '' })])[0], /a tag above no test/);
  assert.match(faults([row({}), row({})], [tag({})])[0], /two rows have one id/);
});

test.run();
