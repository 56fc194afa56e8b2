/** Runs the shared suite over every check there is, and holds docs/health.md to naming each with its sentence. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbeKind } from '../../src/base/plan.js';
import type { CheckContext, ProbeResult } from '../../src/health/check/check.js';
import { CHECKS } from '../../src/health/check/registry.js';
import { checkSuite, noContext } from './check-suite.js';
import type { Fixture, Mood } from './check-suite.js';
import { REFUSED, startNameServer } from './dns-server.js';
import { OK } from './plans.js';
import { closedPort, startDeaf, startHttp, startTcp } from './servers.js';

const nothing = (): Promise<void> => Promise.resolve();

/** A data plane that answers so. */
function dataPlane(mood: Mood): CheckContext {
  const answers: Record<Mood, () => Promise<ProbeResult>> = {
    ok: () => Promise.resolve(OK),
    refused: () => Promise.resolve({ isOk: false, latencyMs: null, reason: 'host unreachable' }),
    silent: () => new Promise(() => {}),
  };
  return { ...noContext, ask: answers[mood] };
}

const FIXTURES: Record<ProbeKind, Fixture> = {
  icmp: { kind: 'icmp', refusal: /^host unreachable$/, set: (mood) => Promise.resolve({ probe: { kind: 'icmp', target: '192.0.2.1' }, context: dataPlane(mood), close: nothing }) },
  arp: { kind: 'arp', refusal: /^host unreachable$/, set: (mood) => Promise.resolve({ probe: { kind: 'arp', target: '192.0.2.1' }, context: dataPlane(mood), close: nothing }) },
  udp: { kind: 'udp', refusal: /^host unreachable$/, set: (mood) => Promise.resolve({ probe: { kind: 'udp', target: '192.0.2.1', port: 33434, ttl: 2 }, context: dataPlane(mood), close: nothing }) },
  tcp: {
    kind: 'tcp', refusal: /^connection refused$/,
    async set(mood) {
      const server = mood === 'ok' ? await startTcp() : mood === 'silent' ? await startDeaf() : { port: await closedPort(), close: nothing };
      return { probe: { kind: 'tcp', host: '127.0.0.1', port: server.port }, context: noContext, close: server.close };
    },
  },
  http: {
    kind: 'http', refusal: /^status 503$/,
    async set(mood) {
      const server = await startHttp((_request, response) => {
        if (mood === 'silent') return;
        response.writeHead(mood === 'ok' ? 200 : 503).end('hello');
      });
      return { probe: { kind: 'http', url: `http://127.0.0.1:${server.port}/`, status: [{ first: 200, last: 399 }], verify: true }, context: noContext, close: server.close };
    },
  },
  dns: {
    kind: 'dns', refusal: /REFUSED/,
    async set(mood) {
      const server = await startNameServer({ 'www.weir.test': mood === 'ok' ? { addresses: ['192.0.2.80'] } : mood === 'refused' ? { rcode: REFUSED } : null });
      return { probe: { kind: 'dns', server: '127.0.0.1', port: server.port, name: 'www.weir.test' }, context: noContext, close: () => server.close() };
    },
  },
  script: {
    kind: 'script', refusal: /^exit code 1: it is down$/,
    set(mood) {
      const commands: Record<Mood, string[]> = { ok: ['/bin/true'], refused: ['/bin/sh', '-c', 'echo it is down >&2; exit 1'], silent: ['/bin/sleep', '60'] };
      return Promise.resolve({ probe: { kind: 'script', command: commands[mood] }, context: noContext, close: nothing });
    },
  },
};

test('every kind has a sentence, and docs/health.md says it', () => {
  const docs = readFileSync(new URL('../../docs/health.md', import.meta.url), 'utf8').replaceAll(/\s+/g, ' ');
  for (const [kind, type] of Object.entries(CHECKS)) {
    assert.is(type.kind, kind);
    assert.ok(docs.includes(`| \`${kind}\` | ${type.sentence} |`), `${kind}: ${type.sentence}`);
  }
});

for (const kind of Object.keys(CHECKS)) checkSuite(FIXTURES[kind as ProbeKind]);

test.run();
