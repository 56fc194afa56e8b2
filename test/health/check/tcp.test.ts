/** The tcp check: where it connects from, names, and what it says of each way to fail. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { never, noContext, withCheck } from '../check-suite.js';
import { startNameServer } from '../dns-server.js';
import { startTcp } from '../servers.js';

test('it leaves from the local address it is pinned to', async () => {
  const seen: (string | undefined)[] = [];
  const server = await startTcp((socket) => { seen.push(socket.remoteAddress); });
  await withCheck({ probe: { kind: 'tcp', host: '127.0.0.1', port: server.port }, context: { ...noContext, localAddress: '127.0.0.2' }, close: server.close }, async (check) => {
    assert.is((await check.probe(5000, never())).isOk, true);
  });
  assert.equal(seen, ['127.0.0.2']);
});

test('it opens the connection and closes it, without a byte', async () => {
  let heard = 0;
  let ended: () => void = () => {};
  const end = new Promise<void>((resolve) => { ended = resolve; });
  const server = await startTcp((socket) => {
    socket.on('data', (chunk) => { heard += chunk.length; });
    socket.on('end', ended);
  });
  await withCheck({ probe: { kind: 'tcp', host: '127.0.0.1', port: server.port }, context: noContext, close: server.close }, async (check) => {
    await check.probe(5000, never());
    await end;
  });
  assert.is(heard, 0);
});

test('a local address that is not there is told apart from a target that is not', async () => {
  const server = await startTcp();
  await withCheck({ probe: { kind: 'tcp', host: '127.0.0.1', port: server.port }, context: { ...noContext, localAddress: '192.0.2.77' }, close: server.close }, async (check) => {
    assert.equal(await check.probe(5000, never()), { isOk: false, latencyMs: null, reason: 'the local address is not there' });
  });
});

test('a name is resolved over the same way, and its failing is told apart', async () => {
  const names = await startNameServer({ 'www.weir.test': { addresses: ['127.0.0.1'] } });
  const server = await startTcp();
  const context = { ...noContext, localAddress: '127.0.0.3', nameServers: [`127.0.0.1:${names.port}`] };
  await withCheck({ probe: { kind: 'tcp', host: 'www.weir.test', port: server.port }, context, close: server.close }, async (check) => {
    assert.is((await check.probe(5000, never())).reason, null);
    assert.equal(names.asked, [{ name: 'www.weir.test', from: '127.0.0.3' }]);
  });
  await withCheck({ probe: { kind: 'tcp', host: 'gone.weir.test', port: 80 }, context, close: () => Promise.resolve() }, async (check) => {
    assert.is((await check.probe(5000, never())).reason, 'resolving gone.weir.test failed: no such name');
  });
  names.names.set('slow.weir.test', null);
  await withCheck({ probe: { kind: 'tcp', host: 'slow.weir.test', port: 80 }, context, close: () => names.close() }, async (check) => {
    assert.is((await check.probe(100, never())).reason, 'resolving slow.weir.test failed: timed out');
  });
});

test.run();
