/** The http check: what it sends, status, body, names and certificates, and answers that are none. */
import { execFile } from 'node:child_process';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbePlan } from '../../../src/base/plan.js';
import type { CheckContext, ProbeResult } from '../../../src/health/check/check.js';
import { BODY_LIMIT_BYTES } from '../../../src/health/check/http.js';
import { never, noContext, withCheck } from '../check-suite.js';
import { startNameServer } from '../dns-server.js';
import { startHttp, startHttps, startTcp } from '../servers.js';
import { LOADER } from '../../support/loader.js';

type Answering = (request: IncomingMessage, response: ServerResponse) => void;
type HttpPlan = Partial<Extract<ProbePlan, { kind: 'http' }>>;

/** Ask an HTTP server that answers so. */
async function ask(answer: Answering, some: HttpPlan = {}, options: { path?: string; user?: string; context?: Partial<CheckContext>; timeoutMs?: number } = {}): Promise<ProbeResult> {
  const server = await startHttp(answer);
  let result: ProbeResult | null = null;
  const url = `http://${options.user === undefined ? '' : `${options.user}@`}127.0.0.1:${server.port}${options.path ?? '/'}`;
  const probe = { kind: 'http' as const, url, status: [{ first: 200, last: 399 }], verify: true, ...some };
  await withCheck({ probe, context: { ...noContext, ...options.context }, close: server.close }, async (check) => { result = await check.probe(options.timeoutMs ?? 5000, never()); });
  return result as unknown as ProbeResult;
}

test('it sends a GET for the whole of the URL, with its host, from the local address', async () => {
  let seen: IncomingMessage | null = null;
  let from: string | undefined;
  const result = await ask((request, response) => {
    seen = request;
    from = request.socket.remoteAddress;
    response.end();
  }, {}, { path: '/a/b?c=d', user: 'a%40b:secret', context: { localAddress: '127.0.0.5' } });
  assert.is(result.reason, null);
  const { method, url, headers } = seen as unknown as IncomingMessage;
  assert.equal([method, url, headers.connection, headers['user-agent']], ['GET', '/a/b?c=d', 'close', 'weir']);
  assert.match(headers.host as string, /^127\.0\.0\.1:\d+$/);
  assert.is(Buffer.from((headers.authorization as string).replace('Basic ', ''), 'base64').toString(), 'a@b:secret');
  assert.is(from, '127.0.0.5');
});

test('the status must be within one of the ranges; a redirect is an answer, and is not followed', async () => {
  let requests = 0;
  const answer = (status: number): Answering => (_request, response) => {
    requests++;
    response.writeHead(status, status === 302 ? { Location: '/elsewhere' } : {}).end();
  };
  const status = [{ first: 200, last: 299 }, { first: 401, last: 401 }];
  for (const good of [200, 299, 401]) assert.is((await ask(answer(good), { status })).isOk, true, `${good}`);
  for (const bad of [302, 400, 402, 500]) {
    const result = await ask(answer(bad), { status });
    assert.equal([result.isOk, result.reason], [false, `status ${bad}`]);
    assert.ok(result.latencyMs !== null, 'an answer has a latency');
  }
  assert.is((await ask(answer(302))).isOk, true);
  assert.is(requests, 8);
});

test('the body must hold the text, also where it comes in pieces', async () => {
  const pieces = (...parts: string[]): Answering => (_request, response) => {
    const next = (): void => {
      const part = parts.shift();
      if (part === undefined) response.end();
      else response.write(part, () => { setImmediate(next); });
    };
    next();
  };
  assert.is((await ask(pieces('say hello to all'), { body: 'hello' })).isOk, true);
  assert.is((await ask(pieces('say hel', 'l', 'o to all'), { body: 'hello' })).isOk, true);
  assert.is((await ask(pieces('grüß', ' dich'), { body: 'üß d' })).isOk, true);
  assert.is((await ask(pieces('say hel', 'p to all'), { body: 'hello' })).reason, "no 'hello' in the body");
  assert.is((await ask(pieces(), { body: 'hello' })).reason, "no 'hello' in the body");
});

test('of a body only so much is read', async () => {
  const answer = (before: number): Answering => (_request, response) => { response.end(`${'x'.repeat(before)}hello${'x'.repeat(1_000_000)}`); };
  assert.is((await ask(answer(BODY_LIMIT_BYTES - 5), { body: 'hello' })).isOk, true);
  assert.is((await ask(answer(BODY_LIMIT_BYTES - 4), { body: 'hello' })).reason, `no 'hello' in the first ${BODY_LIMIT_BYTES} bytes of the body`);
});

test('a body that never ends is waited for as long as there is time, and not at all when nobody wants it', async () => {
  const endless: Answering = (_request, response) => { response.write('say '); };
  assert.is((await ask(endless, { body: 'hello' }, { timeoutMs: 150 })).reason, 'timed out');
  assert.is((await ask(endless)).isOk, true);
});

test('a connection that breaks off, and an answer that is not HTTP', async () => {
  assert.is((await ask((request) => { request.socket.destroy(); })).reason, 'connection reset');
  const half = await ask((_request, response) => {
    response.writeHead(200, { 'Content-Length': '100' });
    response.write('half', () => { response.socket?.destroy(); });
  }, { body: 'hello' });
  assert.is(half.isOk, false);
  assert.match(half.reason as string, /^connection (reset|closed)$/);
  const server = await startTcp((socket) => { socket.end('220 mail.weir.test ESMTP\r\n'); });
  await withCheck({ probe: { kind: 'http', url: `http://127.0.0.1:${server.port}/`, status: [{ first: 200, last: 399 }], verify: true }, context: noContext, close: server.close }, async (check) => {
    assert.is((await check.probe(5000, never())).reason, 'the answer is not HTTP');
  });
});

test('https: the name of the URL goes into SNI, and a certificate nobody signed is refused unless verify is off', async () => {
  const names: string[] = [];
  const hosts: (string | undefined)[] = [];
  const server = await startHttps((request, response) => {
    hosts.push(request.headers.host);
    response.end();
  }, (name) => { names.push(name); });
  const resolver = await startNameServer({ 'www.weir.test': { addresses: ['127.0.0.1'] } });
  const context = { ...noContext, nameServers: [`127.0.0.1:${resolver.port}`] };
  const url = `https://www.weir.test:${server.port}/`;
  const probe = { kind: 'http' as const, url, status: [{ first: 200, last: 200 }], verify: false };
  try {
    await withCheck({ probe, context, close: () => Promise.resolve() }, async (check) => { assert.is((await check.probe(5000, never())).reason, null); });
    assert.equal([names, hosts], [['www.weir.test'], [`www.weir.test:${server.port}`]]);
    await withCheck({ probe: { ...probe, verify: true }, context, close: () => Promise.resolve() }, async (check) => {
      assert.is((await check.probe(5000, never())).reason, 'the certificate is signed by nobody known');
    });
    assert.is(hosts.length, 1, 'nothing was asked of a server that is not who it says');
    await withCheck({ probe: { ...probe, url: `https://127.0.0.1:${server.port}/` }, context, close: () => Promise.resolve() }, async (check) => {
      assert.is((await check.probe(5000, never())).isOk, true);
      assert.is(names.at(-1), '', 'SNI bears no addresses');
    });
  } finally {
    await Promise.all([server.close(), resolver.close()]);
  }
});

test('https: a certificate by a trusted authority is good for its name and no other', async () => {
  const server = await startHttps((_request, response) => { response.end(); });
  const resolver = await startNameServer({ 'www.weir.test': { addresses: ['127.0.0.1'] }, 'other.weir.test': { addresses: ['127.0.0.1'] } });
  const child = async (host: string): Promise<ProbeResult> => {
    const { stdout } = await promisify(execFile)(process.execPath,
      [...LOADER, fileURLToPath(new URL('https-child.ts', import.meta.url)), `https://${host}:${server.port}/`, `127.0.0.1:${resolver.port}`],
      { env: { ...process.env, NODE_EXTRA_CA_CERTS: fileURLToPath(new URL('../fixtures/ca.pem', import.meta.url)) }, timeout: 60_000 });
    return JSON.parse(stdout) as ProbeResult;
  };
  try {
    const [good, other] = await Promise.all([child('www.weir.test'), child('other.weir.test')]);
    assert.is(good.reason, null);
    assert.is(other.reason, 'the certificate is for another name');
  } finally {
    await Promise.all([server.close(), resolver.close()]);
  }
});

test('https to a server that speaks no TLS', async () => {
  const server = await startHttp((_request, response) => { response.end(); });
  await withCheck({ probe: { kind: 'http', url: `https://127.0.0.1:${server.port}/`, status: [{ first: 200, last: 399 }], verify: true }, context: noContext, close: server.close }, async (check) => {
    assert.is((await check.probe(5000, never())).reason, 'the answer is not TLS');
  });
});

test.run();
