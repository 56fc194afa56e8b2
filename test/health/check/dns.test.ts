/** The dns check: which answers are good, and that every question is asked once and for itself. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbeResult } from '../../../src/health/check/check.js';
import { never, noContext, withCheck } from '../check-suite.js';
import { FORMERR, NXDOMAIN, REFUSED, SERVFAIL, startNameServer } from '../dns-server.js';
import type { Answer, NameServer } from '../dns-server.js';

async function ask(answer: Answer | null, address?: string, times = 1, timeoutMs = 5000): Promise<{ results: ProbeResult[]; asked: NameServer['asked'] }> {
  const server = await startNameServer({ 'www.weir.test': answer });
  const results: ProbeResult[] = [];
  const probe = { kind: 'dns' as const, server: '127.0.0.1', port: server.port, name: 'www.weir.test', ...(address === undefined ? {} : { address }) };
  await withCheck({ probe, context: { ...noContext, localAddress: '127.0.0.4' }, close: () => server.close() }, async (check) => {
    for (let i = 0; i < times; i++) results.push(await check.probe(timeoutMs, never()));
  });
  return { results, asked: server.asked };
}

test('it asks the server itself, from the local address, once a probe and never out of memory', async () => {
  const { results, asked } = await ask({ addresses: ['192.0.2.80'], ttl: 3600 }, undefined, 3);
  assert.equal(results.map(({ isOk }) => isOk), [true, true, true]);
  assert.equal(asked, Array(3).fill({ name: 'www.weir.test', from: '127.0.0.4' }));
});

test('a lost question is not asked again: loss is to be seen', async () => {
  const { results, asked } = await ask(null, undefined, 2, 300);
  assert.equal(results.map(({ reason }) => reason), ['timed out', 'timed out']);
  assert.is(asked.length, 2);
});

test('any answer will do but SERVFAIL and REFUSED', async () => {
  for (const answer of [{ rcode: NXDOMAIN }, { addresses: [] }, { addresses: ['192.0.2.80'] }, { rcode: FORMERR }]) {
    const { results: [result] } = await ask(answer);
    assert.is(result.isOk, true, JSON.stringify(answer));
    assert.ok(result.latencyMs !== null);
  }
  assert.is((await ask({ rcode: SERVFAIL })).results[0].reason, 'the server failed (SERVFAIL)');
  assert.is((await ask({ rcode: REFUSED })).results[0].reason, 'the server refused to answer (REFUSED)');
});

test('an address that is asked for must be in the answer', async () => {
  const good = (await ask({ addresses: ['192.0.2.79', '192.0.2.80'] }, '192.0.2.80')).results[0];
  assert.is(good.isOk, true);
  const other = (await ask({ addresses: ['192.0.2.1'] }, '192.0.2.80')).results[0];
  assert.equal([other.isOk, other.reason], [false, 'the answer holds 192.0.2.1, not 192.0.2.80']);
  assert.ok(other.latencyMs !== null);
  const many = (await ask({ addresses: ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'] }, '192.0.2.80')).results[0];
  assert.match(many.reason as string, /^the answer holds (192\.0\.2\.\d, ){3}…, not 192\.0\.2\.80$/);
  assert.is((await ask({ rcode: NXDOMAIN }, '192.0.2.80')).results[0].reason, 'no such name');
  assert.is((await ask({ addresses: [] }, '192.0.2.80')).results[0].reason, 'the name has no address');
});

test.run();
