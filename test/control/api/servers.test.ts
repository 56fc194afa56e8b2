/** Virtual servers over HTTP: what is read, what can be done to a real server, what is refused. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ApiErrorBody, FlowPage, RouterEvent, ServerAnswer, VirtualServerList } from '../../../src/control/api/types.js';
import { ask, withApi } from '../../support/api.js';

const post = (socket: string, path: string, body = ''): ReturnType<typeof ask> => ask(socket, `/api/v1/${path}`, 'POST', body);

test('all virtual servers are listed, or the one that is named', async () => {
  await withApi({ servers: true }, async ({ socket, view }) => {
    const all = (await ask(socket, '/api/v1/servers')).json as VirtualServerList;
    assert.equal(all, { schemaVersion: 1, virtualServers: JSON.parse(JSON.stringify(view.virtualServers())) as VirtualServerList['virtualServers'] });
    const one = (await ask(socket, '/api/v1/servers?virtualServer=dns')).json as VirtualServerList;
    assert.equal(one.virtualServers, [all.virtualServers[1]]);
    const none = await ask(socket, '/api/v1/servers?virtualServer=mail');
    assert.is(none.status, 400);
    assert.equal((none.json as ApiErrorBody).error, { message: `there is no virtual server 'mail'`, parameter: 'virtual server', found: 'mail', allowed: 'web, dns, all' });
  });
});

test('each action is an event, carried out once, and answers with how things stand', async () => {
  await withApi({ servers: true }, async ({ socket, done, events }) => {
    const seen: RouterEvent[] = [];
    events.subscribe((event) => seen.push(event));
    const drained = (await post(socket, 'servers/web/web1/drain', '{"flush":true,"reason":"new disk"}')).json as ServerAnswer;
    assert.equal([drained.virtualServer, drained.server.name, drained.server.state, drained.server.drainReason, drained.warnings], ['web', 'web1', 'drained', 'new disk', []]);
    await post(socket, 'servers/web/web1/drain');
    await post(socket, 'servers/web/web1/undrain', '{}');
    const weighed = (await post(socket, 'servers/web/web2/weight', '{"weight":7}')).json as ServerAnswer;
    assert.is(weighed.server.weight, 7);
    assert.equal(done, ['drainServer 0 true true new disk', 'drainServer 0 true false ', 'drainServer 0 false false ', 'weightServer 1 7']);
    assert.equal(seen.map(({ event, subject, message }) => [event, subject, message]), [
      ['control.drain', 'web/web1', 'server web/web1 was drained and flushed by request (new disk)'],
      ['control.drain', 'web/web1', 'server web/web1 was drained by request; it already was so'],
      ['control.undrain', 'web/web1', 'server web/web1 was taken back into use by request'],
      ['control.weight', 'web/web2', 'the weight of server web/web2 was set to 7 by request; it was 2'],
    ]);
    assert.equal([seen[0]['server'], seen[0]['virtualServer'], seen[0]['realServer'], seen[0]['isFlushed'], seen[0]['reason']], ['web/web1', 'web', 'web1', true, 'new disk']);
  });
});

test('whoever takes too much out of use is warned: no other server, no quorum', async () => {
  await withApi({ servers: true }, async ({ socket }) => {
    const warnings = async (path: string, body?: string): Promise<string[]> => ((await post(socket, path, body)).json as ServerAnswer).warnings;
    assert.equal(await warnings('servers/web/web2/weight', '{"weight":0}'), ['virtual server web is left with a weight of 1 and needs 2: its new flows go to its sorry server']);
    assert.equal(await warnings('servers/web/web2/weight', '{"weight":2}'), []);
    assert.equal(await warnings('servers/web/web1/drain'), []);
    assert.equal(await warnings('servers/web/sorry/drain'), []);
    assert.equal(await warnings('servers/web/web2/drain'), ['virtual server web has no other real server that takes flows: its new flows are refused']);
    assert.equal(await warnings('servers/dns/ns1/drain'), ['virtual server dns has no other real server that takes flows: its new flows are refused']);
  });
});

test('an action that makes no sense is refused, does nothing and is no event', async () => {
  await withApi({ servers: true }, async ({ socket, done, events }) => {
    const rows: [path: string, body: string | undefined, status: number, message: RegExp, allowed: RegExp][] = [
      ['servers/web/web9/drain', undefined, 404, /virtual server web has no server 'web9'/, /^web\/web1, web\/web2, web\/web3, web\/sorry$/],
      ['servers/mail/web1/drain', undefined, 404, /no virtual server 'mail'/, /^web, dns, all$/],
      ['servers/web/web1/drain', '{"flush":"yes"}', 400, /neither true nor false/, /true, false/],
      ['servers/web/web1/drain', '{"reason":""}', 400, /the reason is not a text/, /1 to 200/],
      ['servers/web/web1/drain', '{"reason":5}', 400, /the reason is not a text/, /1 to 200/],
      ['servers/web/web1/drain', '{"why":"x"}', 400, /unknown key 'why'/, /no body, or \{"flush": …, "reason": …\} or parts of it/],
      ['servers/web/web1/drain', '[]', 400, /not a JSON object/, /no body/],
      ['servers/web/web1/undrain', '{"flush":true}', 400, /unknown key 'flush'/, /no body, or \{\}/],
      ['servers/web/web1/weight', undefined, 400, /the body lacks 'weight'/, /"weight"/],
      ['servers/web/web1/weight', '{"weight":-1}', 400, /not a whole number in range/, /0 to 65535/],
      ['servers/web/sorry/weight', '{"weight":1}', 400, /a sorry server has no weight/, /^web\/web1, web\/web2, web\/web3$/],
      ['servers/web/web1/drain?flush=yes', undefined, 400, /unknown parameter 'flush'/, /no parameters/],
      ['servers/web/web1/drain', `{"reason":"${'x'.repeat(5000)}"}`, 413, /too long/, /4096/],
      ['servers/web/web1/explode', undefined, 404, /there is nothing at/, /servers\/VIRTUAL-SERVER\/NAME\/drain/],
      ['servers/web/drain', undefined, 404, /there is nothing at/, /uplinks\/NAME\/drain/],
    ];
    for (const [path, body, status, message, allowed] of rows) {
      const answer = await post(socket, path, body);
      assert.is(answer.status, status, `${path} ${body?.slice(0, 40)}`);
      const { error } = answer.json as ApiErrorBody;
      assert.match(error.message, message);
      assert.match(error.allowed ?? '', allowed);
    }
    const read = await ask(socket, '/api/v1/servers/web/web1/drain');
    assert.is(read.status, 405);
    assert.equal([done, events.counts.events], [[], 0]);
  });
});

test('flows are those of a server, or of all of a virtual server', async () => {
  await withApi({ servers: true, flows: 50 }, async ({ socket }) => {
    const ids = async (query: string): Promise<number[]> => ((await ask(socket, `/api/v1/flows?${query}`)).json as FlowPage).flows.map(({ id }) => id);
    const fifth = Array.from({ length: 10 }, (_, i) => 5 * i + 4);
    assert.equal([await ids('server=web/web1'), await ids('server=web'), await ids('server=web/web2')], [fifth, fifth, []]);
    const wrong = await ask(socket, '/api/v1/flows?server=web1');
    assert.is(wrong.status, 400);
    assert.is((wrong.json as ApiErrorBody).error.allowed, 'web, web/web1, web/web2, web/web3, web/sorry, dns, dns/ns1, all, all/old');
  });
});

test.run();
