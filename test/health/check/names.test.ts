/** Names in targets: how long an answer is good, the last good one when resolving fails, and what is said then. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ManualClock } from '../../../src/base/clock.js';
import { Attempts, failed } from '../../../src/health/check/attempt.js';
import type { ProbeResult } from '../../../src/health/check/check.js';
import { attemptByName, Name } from '../../../src/health/check/names.js';
import type { Resolved } from '../../../src/health/check/names.js';
import { never, noContext } from '../check-suite.js';
import { SERVFAIL, startNameServer } from '../dns-server.js';
import type { Answer, NameServer } from '../dns-server.js';
import { OK } from '../plans.js';

interface Scene { names: NameServer; name: Name; clock: ManualClock; resolve: (timeoutMs?: number) => Promise<Resolved> }

async function scene(answer: Answer | null, use: (scene: Scene) => Promise<void>): Promise<void> {
  const names = await startNameServer({ 'www.weir.test': answer });
  const clock = new ManualClock(1000);
  const name = new Name('www.weir.test', { ...noContext, nameServers: [`127.0.0.1:${names.port}`] }, clock);
  try {
    await use({ names, name, clock, resolve: (timeoutMs = 5000) => new Promise((resolve) => { name.resolve(timeoutMs, resolve); }) });
  } finally {
    await names.close();
  }
}

test('an address needs no resolving', () => {
  let found: Resolved | null = null;
  new Name('192.0.2.9', noContext).resolve(1000, (resolved) => { found = resolved; });
  assert.equal(found, { address: '192.0.2.9', reason: null });
});

test('an answer is good for its TTL', async () => {
  await scene({ addresses: ['192.0.2.1'], ttl: 30 }, async ({ names, clock, resolve }) => {
    assert.equal(await resolve(), { address: '192.0.2.1', reason: null });
    names.names.set('www.weir.test', { addresses: ['192.0.2.2'], ttl: 30 });
    clock.advance(29_999);
    assert.is((await resolve()).address, '192.0.2.1');
    assert.is(names.asked.length, 1);
    clock.advance(2);
    assert.is((await resolve()).address, '192.0.2.2');
    assert.is(names.asked.length, 2);
  });
});

test('a TTL of nothing is a second, one of a day is five minutes', async () => {
  await scene({ addresses: ['192.0.2.1'], ttl: 0 }, async ({ names, clock, resolve }) => {
    await resolve();
    clock.advance(999);
    await resolve();
    assert.is(names.asked.length, 1);
    names.names.set('www.weir.test', { addresses: ['192.0.2.1'], ttl: 86_400 });
    clock.advance(2);
    await resolve();
    clock.advance(300_001);
    await resolve();
    assert.is(names.asked.length, 3);
  });
});

test('of several addresses the one that was used is kept while it is among them', async () => {
  await scene({ addresses: ['192.0.2.1', '192.0.2.2'], ttl: 1 }, async ({ names, clock, resolve }) => {
    assert.is((await resolve()).address, '192.0.2.1');
    names.names.set('www.weir.test', { addresses: ['192.0.2.3', '192.0.2.1'], ttl: 1 });
    clock.advance(2000);
    assert.is((await resolve()).address, '192.0.2.1');
    names.names.set('www.weir.test', { addresses: ['192.0.2.3'], ttl: 1 });
    clock.advance(2000);
    assert.is((await resolve()).address, '192.0.2.3');
  });
});

test('when resolving fails the last good answer serves on, and half of the time is left to try it', async () => {
  await scene({ addresses: ['192.0.2.1'], ttl: 1 }, async ({ names, clock, resolve }) => {
    await resolve();
    clock.advance(2000);
    names.names.set('www.weir.test', { rcode: SERVFAIL });
    assert.equal(await resolve(), { address: '192.0.2.1', reason: 'the server failed (SERVFAIL)' });
    names.names.set('www.weir.test', null);
    const startMs = performance.now();
    assert.equal(await resolve(200), { address: '192.0.2.1', reason: 'timed out' });
    assert.ok(performance.now() - startMs < 5000);
    // It is asked anew each time until it answers again.
    names.names.set('www.weir.test', { addresses: ['192.0.2.1'], ttl: 1 });
    assert.equal(await resolve(), { address: '192.0.2.1', reason: null });
  });
});

test('a check that fails by the last known address says that it was that, and why', async () => {
  await scene({ addresses: ['192.0.2.1'], ttl: 1 }, async ({ names, name, clock, resolve }) => {
    const attempts = new Attempts();
    const tries = (result: ProbeResult): Promise<ProbeResult> => attemptByName(attempts, name, 5000, never(), (_address, finish) => {
      finish(result);
      return () => {};
    });
    await resolve();
    assert.is((await tries(failed('connection refused'))).reason, 'connection refused');
    clock.advance(2000);
    names.names.set('www.weir.test', { rcode: SERVFAIL });
    assert.is((await tries(failed('connection refused'))).reason, 'connection refused (by its last known address 192.0.2.1, for resolving www.weir.test failed: the server failed (SERVFAIL))');
    assert.equal(await tries(OK), OK, 'what answers is good, however it was found');
    // A name server that is silent leaves half of the time.
    names.names.set('www.weir.test', null);
    assert.equal(await attemptByName(attempts, name, 400, never(), (_address, finish) => {
      finish(OK);
      return () => {};
    }), OK);
    const late = await attemptByName(attempts, name, 200, never(), () => () => {});
    assert.match(late.reason as string, /^timed out \(by its last known address/);
  });
});

test('stopped, it calls nobody back', async () => {
  await scene(null, async ({ name, resolve }) => {
    let calls = 0;
    const stop = name.resolve(50, () => { calls++; });
    stop();
    assert.is((await resolve(100)).reason, 'timed out');
    assert.is(calls, 0);
  });
});

test.run();
