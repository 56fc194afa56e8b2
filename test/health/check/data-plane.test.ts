/** The checks of the data plane: what each asks of it, and that a data plane that is gone holds up nothing. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbePlan } from '../../../src/base/plan.js';
import type { DataPlaneProbe } from '../../../src/health/check/check.js';
import { createCheck } from '../../../src/health/check/registry.js';
import { never } from '../check-suite.js';
import { OK } from '../plans.js';

test('each asks for its uplink, target and time limit, and hands on what it is told', async () => {
  const probes: [ProbePlan, Partial<DataPlaneProbe>][] = [
    [{ kind: 'icmp', target: '192.0.2.1' }, { kind: 'icmp', target: '192.0.2.1' }],
    [{ kind: 'arp', target: '192.0.2.2' }, { kind: 'arp', target: '192.0.2.2' }],
    [{ kind: 'udp', target: '192.0.2.3', port: 33434, ttl: 2 }, { kind: 'udp', target: '192.0.2.3', port: 33434, ttl: 2 }],
    [{ kind: 'udp', target: '192.0.2.4', port: 53, ttl: 64, server: { send: 'ping' } }, { kind: 'udp', target: '192.0.2.4', port: 53, ttl: 64, question: { send: 'ping' } }],
    [{ kind: 'udp', target: '192.0.2.4', port: 53, ttl: 64, server: { send: 'ping', expect: 'pong' } }, { kind: 'udp', target: '192.0.2.4', port: 53, ttl: 64, question: { send: 'ping', expect: 'pong' } }],
  ];
  for (const [probe, wanted] of probes) {
    const asked: DataPlaneProbe[] = [];
    const check = createCheck(probe, { localAddress: undefined, uplink: 4, ask: (request) => { asked.push(request); return Promise.resolve({ ...OK, latencyMs: 3.5 }); } });
    assert.equal(await check.probe(700, never()), { isOk: true, latencyMs: 3.5, reason: null });
    assert.equal(asked, [{ uplink: 4, ...wanted, timeoutMs: 700 }]);
    check.close();
  }
});

test('a data plane that has gone wrong fails the probe, not the process', async () => {
  for (const ask of [() => Promise.reject(new Error('the worker is gone')), (): never => { throw new Error('the worker is gone'); }]) {
    const check = createCheck({ kind: 'icmp', target: '192.0.2.1' }, { localAddress: undefined, uplink: 0, ask });
    assert.equal(await check.probe(1000, never()), { isOk: false, latencyMs: null, reason: 'the worker is gone' });
    check.close();
  }
});

test.run();
