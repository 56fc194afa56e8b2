/** Sharing and election on the wire: what each resource answers, and draining the instance. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ApiErrorBody, InstanceAnswer, LeaseList, RouterStatus, ShareAnswer, VrrpList } from '../../../src/control/api/types.js';
import { ask, withApi } from '../../support/api.js';

test('vrrp, share and leases answer, and take no parameters', () => withApi({ share: true }, async ({ socket, view }) => {
  const vrrp = (await ask(socket, '/api/v1/vrrp')).json as VrrpList;
  assert.equal(vrrp, { schemaVersion: 1, vrrp: view.vrrp() });
  const share = (await ask(socket, '/api/v1/share')).json as ShareAnswer;
  assert.equal(share, { schemaVersion: 1, ...view.share() });
  const leases = (await ask(socket, '/api/v1/leases')).json as LeaseList;
  assert.equal(leases, { schemaVersion: 1, leases: view.leases().leases, isComplete: true, reason: null });
  const status = (await ask(socket, '/api/v1/status')).json as RouterStatus;
  assert.equal([status.vrrp, status.share], [vrrp.vrrp, view.share()]);
  for (const name of ['vrrp', 'share', 'leases']) {
    const refused = await ask(socket, `/api/v1/${name}?all=yes`);
    assert.equal([refused.status, (refused.json as ApiErrorBody).error.parameter], [400, 'all'], name);
    assert.equal([(await ask(socket, `/api/v1/${name}`, 'POST')).status, (await ask(socket, `/api/v1/${name}`, 'DELETE')).status], [405, 405], name);
  }
}));

test('leases while the store is away are our own, and said not to be all', () => withApi({ share: 'away' }, async ({ socket }) => {
  const { leases, isComplete, reason } = (await ask(socket, '/api/v1/leases')).json as LeaseList;
  assert.equal([leases.length, leases.every(({ isOurs }) => isOurs), isComplete, reason], [4, true, false, 'connect ECONNREFUSED 10.0.9.1:6379']);
}));

test('the instance is drained and taken back, each with an event', () => withApi({ share: true }, async ({ socket, done, events }) => {
  const drained = (await ask(socket, '/api/v1/instance/drain', 'POST')).json as InstanceAnswer;
  assert.equal([drained.schemaVersion, drained.instance, drained.isDrained, drained.isFlushed, drained.flushError, drained.warnings, drained.tookMs], [1, 'gw1', true, true, null, [], 120]);
  assert.equal(drained.vrrp.map(({ state }) => state), ['init', 'init']);
  await ask(socket, '/api/v1/instance/drain', 'POST', '{}');
  const back = (await ask(socket, '/api/v1/instance/undrain', 'POST')).json as InstanceAnswer;
  assert.equal([back.isDrained, back.isFlushed, back.vrrp.map(({ state }) => state)], [false, null, ['master', 'backup']]);
  assert.equal(done, ['drainInstance true', 'drainInstance true', 'drainInstance false']);
  const told = events.read(events.placeOfLast(9, false), 9).events.map(({ event }) => event);
  assert.equal(told.map(({ event, message, isDrained }) => [event, message, isDrained]), [
    ['control.drain', 'instance gw1 was drained by request', true], ['control.drain', 'instance gw1 was drained by request; it already was so', true],
    ['control.undrain', 'instance gw1 was taken back into use by request', false],
  ]);
}));

test('what cannot be drained, or is asked for wrongly, is refused', async () => {
  await withApi({}, async ({ socket, done }) => {
    const { status, json } = await ask(socket, '/api/v1/instance/drain', 'POST');
    assert.equal([status, (json as ApiErrorBody).error], [400, { message: 'this instance takes part in nothing it could be drained of', parameter: 'instance', found: 'gw1', allowed: 'a configuration with vrrp, or with share.store: redis' }]);
    assert.equal(done, []);
  });
  await withApi({ share: true }, async ({ socket, done }) => {
    assert.is((await ask(socket, '/api/v1/instance/drain', 'POST', '{"flush":true}')).status, 400);
    assert.is((await ask(socket, '/api/v1/instance/drain?now=yes', 'POST')).status, 400);
    assert.is((await ask(socket, '/api/v1/instance/drain', 'POST', `{"a":"${'x'.repeat(5000)}"}`)).status, 413);
    const get = await ask(socket, '/api/v1/instance/drain');
    assert.equal([get.status, get.headers.allow], [405, 'POST']);
    assert.is((await ask(socket, '/api/v1/instance/weight', 'POST')).status, 404);
    assert.is((await ask(socket, '/api/v1/instance', 'POST')).status, 404);
    assert.equal(done, []);
  });
});

test('a drain that leaves something undone says what', () => withApi({ share: 'away' }, async ({ socket, view }) => {
  const { isFlushed, flushError, unclaimed, warnings } = (await ask(socket, '/api/v1/instance/drain', 'POST')).json as InstanceAnswer;
  assert.equal([isFlushed, flushError, unclaimed, warnings], [false, 'the store cannot be reached', ['lan-side'],
    ['the other instances may not know all flows of this one: the store cannot be reached', 'virtual router lan-side: no other router is heard as its master yet']]);
  view.vrrp = () => [];
  assert.equal(((await ask(socket, '/api/v1/instance/drain', 'POST')).json as InstanceAnswer).warnings.at(-1), 'there is no virtual router here: whoever sends packets to this instance must stop doing so');
}));

test.run();
