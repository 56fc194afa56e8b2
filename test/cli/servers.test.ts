/** `weir servers`, and what can be done to a real server: text as in test/cli/golden, JSON as the API gives it, what is refused and why. */
process.env['TZ'] = 'UTC';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatServers } from '../../src/cli/servers.js';
import type { ServerAnswer, VirtualServerList } from '../../src/control/api/types.js';
import { ask, withApi } from '../support/api.js';
import { weir } from '../support/cli.js';
import { FakeView, NOW_MS } from '../support/fake-view.js';

const NAMES = 'web/web1, web/web2, web/web3, web/sorry';

test('one virtual server is asked for by its name', async () => {
  await withApi({ servers: true }, async ({ socket }) => {
    const { out, exitCode } = await weir(['servers', 'dns', '--socket', socket]);
    assert.is(exitCode, 0);
    assert.match(out, /\ndns {2}203\.0\.113\.10:53\/tcp\+udp 203\.0\.113\.11:53\/tcp\+udp {2}sh, hashes the port, falls back, one packet, snat always, on server down: keep {2}up for 3h 00m\n/);
    assert.is(out.trim().split('\n').length, 3, 'a heading, the virtual server, its real one');
    const json = await weir(['servers', '-j', 'dns', '--socket', socket]);
    assert.equal((JSON.parse(json.out) as VirtualServerList).virtualServers.map(({ name }) => name), ['dns']);
    assert.is(json.out, `${(await ask(socket, '/api/v1/servers?virtualServer=dns')).text}\n`);
    for (const args of [['servers', 'mail'], ['servers', '-j', 'mail']]) {
      assert.equal(await weir([...args, '--socket', socket]), {
        exitCode: 2, out: '', err: `weir: there is no virtual server 'mail': found 'mail', allowed: web, dns, all\n`, writes: 0,
      });
    }
  });
});

test('the columns of all virtual servers stand under each other, painted or not', () => {
  const rows = new FakeView({ servers: true }).virtualServers();
  const text = formatServers(rows, NOW_MS, false);
  const lines = text.split('\n').filter((line) => line.startsWith('  '));
  const at = lines[0].indexOf('STATE');
  assert.equal(lines.slice(1).map((line) => line.slice(at).split(' ')[0]), ['up', 'slow-start', 'down', 'up', 'full', 'drained']);
  const painted = formatServers(rows, NOW_MS, true);
  for (const word of ['\u001b[31mdown\u001b[0m', '\u001b[33mdrained\u001b[0m', '\u001b[33mslow-start\u001b[0m', '\u001b[32mup\u001b[0m']) assert.ok(painted.includes(word), word);
  // eslint-disable-next-line no-control-regex -- this is what colours are made of
  assert.is(painted.replace(/\u001b\[\d+m/g, ''), text);
});

test('one flow is one flow', () => {
  const row = new FakeView({ servers: true }).virtualServers()[2];
  const heading = (refusedFlows: number): string => formatServers([{ ...row, refusedFlows }], NOW_MS, false).split('\n')[1];
  assert.match(heading(1), / {2}1 flow refused$/);
  assert.match(heading(1234), / {2}1,234 flows refused$/);
  assert.not.match(heading(0), /refused/);
});

test('whatever a reason or a name contains, the terminal is left alone', () => {
  const [row] = new FakeView({ servers: true }).virtualServers();
  const hostile = { ...row, reason: 'a\u001b[2Jb', persistence: { timeoutSeconds: 1, maskLength: 32, tie: 'x\u0007' }, realServers: [{ ...row.realServers[0], reason: 'c\nd' }], sorry: null };
  const text = formatServers([hostile], NOW_MS, false);
  // eslint-disable-next-line no-control-regex -- the control characters are the point
  assert.not.match(text, /[\u0007\u001b]/);
  assert.is(text.split('\n').length, 4);
});

test('drain, undrain, weight and maint do as they are told, say how things stand, and warn', async () => {
  await withApi({ servers: true }, async ({ socket, done }) => {
    const rows: [args: string[], out: string, err: string][] = [
      [['drain', 'server', 'web/web1'], 'server web/web1 takes no new flows; 154 flows on it may end in their own time\n', ''],
      [['drain', 'server', 'web/web2', '--flush'], 'server web/web2 takes no new flows; the 154 flows it had must leave it now\n',
        'weir: warning: virtual server web has no other real server that takes flows: its new flows go to its sorry server\n'],
      [['undrain', 'server', 'web/web2'], 'server web/web2 takes new flows again while it works\n', ''],
      [['maint', 'server', 'web/web1', '--reason', 'new disk, back at noon'], 'server web/web1 is in maintenance: new disk, back at noon; 154 flows on it may end in their own time\n', ''],
      [['maint', 'server', 'web/web1', 'off'], 'server web/web1 takes new flows again while it works\n', ''],
      [['maint', 'server', 'dns/ns1', 'on'], 'server dns/ns1 is in maintenance; 1,000 flows on it may end in their own time\n',
        'weir: warning: virtual server dns has no other real server that takes flows: its new flows are refused\n'],
      [['weight', 'server', 'web/web1', '5'], 'server web/web1 has weight 5\n', ''],
      [['weight', 'server', 'web/web2', '0'], 'server web/web2 has weight 0: it takes no new flows\n', ''],
      [['drain', 'server', 'web/sorry'], 'server web/sorry takes no new flows; 0 flows on it may end in their own time\n', ''],
    ];
    for (const [args, out, err] of rows) assert.equal(await weir([...args, '--socket', socket]), { exitCode: 0, out, err, writes: 1 }, args.join(' '));
    assert.equal(done, [
      'drainServer 0 true false ', 'drainServer 1 true true ', 'drainServer 1 false false ', 'drainServer 0 true false maintenance: new disk, back at noon',
      'drainServer 0 false false ', 'drainServer 4 true false maintenance', 'weightServer 0 5', 'weightServer 1 0', 'drainServer 3 true false ',
    ]);
  });
});

test('what was asked for is shown at once, also in weir servers', async () => {
  await withApi({ servers: true }, async ({ socket }) => {
    const answer = JSON.parse((await weir(['maint', 'server', 'web/web1', '-j', '--reason', 'new disk', '--socket', socket])).out) as ServerAnswer;
    const { name, state, reason, isDrained, drainReason } = answer.server;
    assert.equal([answer.schemaVersion, answer.virtualServer, name, state, reason, isDrained, drainReason], [1, 'web', 'web1', 'drained', 'maintenance: new disk', true, 'maintenance: new disk']);
    assert.match((await weir(['servers', 'web', '--socket', socket])).out, /\n {2}web1 .* drained .* maintenance: new disk; /);
  });
});

test('a name that nothing bears is a usage error with those there are', async () => {
  await withApi({ servers: true }, async ({ socket, done }) => {
    const rows: [name: string, err: string][] = [
      ['mail/web1', `weir: there is no virtual server 'mail'; there is: web, dns, all\n`],
      ['web/web9', `weir: virtual server web has no server 'web9'; there is: ${NAMES}\n`],
      ['dns/sorry', `weir: virtual server dns has no server 'sorry'; there is: dns/ns1\n`],
    ];
    for (const [name, err] of rows) for (const args of [['drain', 'server', name], ['undrain', 'server', name], ['weight', 'server', name, '1'], ['maint', 'server', name]]) {
      assert.equal(await weir([...args, '--socket', socket]), { exitCode: 2, out: '', err, writes: 0 }, args.join(' '));
    }
    assert.equal(done, []);
  });
  await withApi({}, async ({ socket }) => {
    assert.is((await weir(['drain', 'server', 'web/web1', '--socket', socket])).err, `weir: there is no virtual server 'web'; there is: no virtual server is configured\n`);
  });
});

test('a sorry server has no weight, a reason has its limit', async () => {
  await withApi({ servers: true }, async ({ socket, done }) => {
    const sorry = await weir(['weight', 'server', 'web/sorry', '1', '--socket', socket]);
    assert.equal([sorry.exitCode, sorry.err], [2, `weir: a sorry server has no weight: found 'web/sorry', allowed: web/web1, web/web2, web/web3\n`]);
    const long = await weir(['maint', 'server', 'web/web1', '--reason', 'x'.repeat(300), '--socket', socket]);
    assert.is(long.exitCode, 2);
    assert.match(long.err, /^weir: the reason is not a text, or too long: found '"maintenance: x+', allowed: a text of 1 to 200 characters\n$/);
    assert.equal(done, []);
  });
});

test('status tells of virtual servers, and what is wrong with them first', async () => {
  await withApi({ servers: true }, async ({ socket }) => {
    const { out } = await weir(['status', '--socket', socket]);
    assert.match(out, /\nVirtual servers 2 of 3 up\n/);
    assert.match(out, /\nall +203\.0\.113\.12:\*\/tcp +rr +down +12 s +0 of 1 +2 +0 /);
    assert.match(out, /\nweb +203\.0\.113\.10:80\/tcp +wlc +up +3h 00m +2 of 3 +240 +68 /);
    assert.ok(out.indexOf('Virtual servers') < out.indexOf('Links'));
  });
});

test.run();
