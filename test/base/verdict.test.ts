/** The table of verdicts: numbers, names, sentences and answers hang together. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isDrop, V, VERDICTS } from '../../src/base/verdict.js';
import type { VerdictName } from '../../src/base/verdict.js';

test('a row is found by its number and by its name', () => {
  VERDICTS.forEach((row, place) => {
    assert.is(row.number, place);
    assert.is(V[row.name as VerdictName], row.number);
    assert.is(isDrop[row.number], row.kind === 'drop');
  });
  assert.is(new Set(VERDICTS.map((row) => row.name)).size, VERDICTS.length);
  assert.is(Object.keys(V).length, VERDICTS.length);
});

test('SENT is 0, so that a stage that returns 0 lets the packet go on', () => {
  assert.is(V.SENT, 0);
  assert.not(isDrop[V.SENT]);
});

test('every name is one word in capitals, every row has a sentence of its own', () => {
  for (const { name, sentence } of VERDICTS) {
    assert.match(name, /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
    assert.ok(sentence.length > 10, name);
    assert.match(sentence, /^[^\s].*[^\s.]$/, name);
  }
  assert.is(new Set(VERDICTS.map((row) => row.sentence)).size, VERDICTS.length);
});

test('only drops are answered, with ICMP errors that exist', () => {
  for (const { name, kind, answer } of VERDICTS) {
    if (kind === 'done') assert.is(answer, null, name);
    if (answer === null) continue;
    // RFC 792, RFC 1812 §5.2.7: destination unreachable 0 to 15, time exceeded 0 and 1.
    assert.ok((answer.type === 3 && answer.code >= 0 && answer.code <= 15) || (answer.type === 11 && (answer.code === 0 || answer.code === 1)), name);
    assert.ok(answer.text.length > 0, name);
  }
});

test('what must stay silent is silent: broadcasts, multicasts, and what cannot have an honest sender', () => {
  const silent: readonly VerdictName[] = ['MARTIAN_SOURCE', 'SPOOFED_SOURCE', 'BROADCAST', 'MULTICAST', 'MARTIAN_DESTINATION', 'STRAY_ERROR', 'ICMP_CHECKSUM', 'IP_CHECKSUM', 'ROUTE_BLACKHOLE', 'NOT_FOR_US'];
  for (const name of silent) assert.is(VERDICTS[V[name]].answer, null, name);
});

test('every verdict is given somewhere on the path: none is a dead row', () => {
  const root = new URL('../../src/', import.meta.url);
  const folders = ['table/', 'stage/', 'alg/', 'vrrp/'].filter((folder) => existsSync(new URL(folder, root)));
  const files = ['pipeline.ts', ...folders.flatMap((folder) => readdirSync(new URL(folder, root)).map((file) => folder + file))];
  const text = files.map((file) => readFileSync(new URL(file, root), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')).join('\n');
  const unused = VERDICTS.filter(({ name }) => !new RegExp(`\\bV\\.${name}\\b`).test(text)).map((row) => row.name);
  assert.equal(unused, []);
});

test.run();
