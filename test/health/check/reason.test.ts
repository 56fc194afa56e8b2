/** Reasons: one phrase, one line, whatever the error. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { oneLine, phraseOf } from '../../../src/health/check/reason.js';

const withCode = (code: string, message = 'm'): Error => Object.assign(new Error(message), { code });

test('a known code has its phrase, an unknown error its own first line', () => {
  assert.is(phraseOf(withCode('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1')), 'connection refused');
  assert.is(phraseOf(withCode('EWHATEVER', 'what happened\nand where')), 'what happened');
  assert.is(phraseOf(withCode('EWHATEVER', '')), 'EWHATEVER');
  assert.is(phraseOf(new TypeError('')), 'TypeError');
  assert.is(phraseOf('thrown text'), 'thrown text');
  assert.is(phraseOf(new AggregateError([withCode('EHOSTUNREACH'), withCode('ECONNREFUSED')])), 'host unreachable');
});

test('of what OpenSSL says, the words are kept', () => {
  const said = (words: string): Error => withCode('EPROTO', `write EPROTO 80EC22BC777F0000:error:0A00010B:SSL routines:ssl3_get_record:${words}:../deps/openssl/x.c:354:\n`);
  assert.is(phraseOf(said('wrong version number')), 'the answer is not TLS');
  assert.is(phraseOf(said('sslv3 alert handshake failure')), 'TLS failed: sslv3 alert handshake failure');
});

test('a line is cut to a length, and holds nothing that disturbs a terminal', () => {
  assert.is(oneLine('  a\u001b[2J\u0007b\r\nc'), 'a?[2J?b');
  assert.is(oneLine('x'.repeat(200)).length, 120);
  assert.is(oneLine(''), '');
});

test.run();
