/** The API over a real unix socket: every resource, the refusals, the pages of a million flows, the socket's own life. */
import { spawn } from 'node:child_process';
import fs, { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { EventEmitter } from 'node:events';
import type { Server } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigErrors } from '../../../src/base/error.js';
import { EventLog } from '../../../src/control/event.js';
import { findGroup, lookUpGroup } from '../../../src/control/api/group.js';
import { endingOf } from '../../../src/cli/failure.js';
import { startApi } from '../../../src/control/api/server.js';
import { listenOnSocket } from '../../../src/control/api/socket.js';
import type { AffinityPage, ApiErrorBody, FlowPage, RouterEvent, RouterStatus, UplinkAnswer } from '../../../src/control/api/types.js';
import { ask, temporaryDirectory, until, withApi } from '../../support/api.js';
import { FakeView, fakeFlow, NOW_MS } from '../../support/fake-view.js';

const base = (socket: string) => ({ view: new FakeView(), events: new EventLog(), version: '0.1.0', configFile: 'weir.yaml', socket });

/** Run `body` expecting it to throw, and give what it threw. */
async function thrownBy(body: () => Promise<unknown>): Promise<NodeJS.ErrnoException> {
  try {
    await body();
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  return assert.unreachable('nothing was thrown') as never;
}

test('every table carries schemaVersion and what the view says', async () => {
  await withApi({ degraded: true }, async ({ socket, view }) => {
    for (const [name, rows] of Object.entries({ links: view.links(), uplinks: view.uplinks(), routes: view.routes(), neighbours: view.neighbours(), filters: view.filters(), drops: view.drops() })) {
      const answer = await ask(socket, `/api/v1/${name}`);
      assert.is(answer.status, 200, name);
      assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
      assert.equal(answer.json, { schemaVersion: 1, [name]: rows }, name);
    }
  });
});

test('status adds version, pid and file', async () => {
  await withApi({ degraded: true }, async ({ socket, view }) => {
    const { status, json } = await ask(socket, '/api/v1/status');
    assert.is(status, 200);
    assert.equal(json, { schemaVersion: 1, version: '0.1.0', pid: process.pid, configFile: '/etc/weir/weir.yaml', ...view.status(), hooks: null,
      events: { events: 0, eventsOverwritten: 0, eventsLimit: 16, flowEvents: 0, flowEventsOverwritten: 0, flowEventsLimit: 4096 } });
    assert.is((json as RouterStatus).state, 'degraded');
  });
});

test('what is not there is 404, a method that a path does not know is 405, both as JSON', async () => {
  await withApi({}, async ({ socket, api }) => {
    for (const path of ['/', '/api/v1', '/api/v1/nothing', '/api/v2/status', '/api/v1/status/']) {
      const answer = await ask(socket, path);
      assert.is(answer.status, 404, path);
      const { error } = answer.json as ApiErrorBody;
      assert.is(error.found, path);
      assert.match(error.allowed ?? '', /\/api\/v1\/status, .*\/api\/v1\/events/);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const answer = await ask(socket, '/api/v1/status', method);
      assert.is(answer.status, 405, method);
      assert.is(answer.headers.allow, 'GET');
      assert.is((answer.json as ApiErrorBody).error.found, method);
      assert.is((answer.json as ApiErrorBody).schemaVersion, 1);
    }
    assert.is((await ask(socket, '/api/v1/status', 'HEAD')).status, 405);
    assert.is(api.counters.badRequests, 11);
    const rows: [method: string, path: string, status: number, allow: string | undefined][] = [
      ['POST', 'nothing', 404, undefined], ['POST', 'uplinks/isp1/explode', 404, undefined], ['POST', 'uplinks/isp1', 404, undefined],
      ['GET', 'uplinks/isp1/drain', 405, 'POST'], ['DELETE', 'uplinks/isp1/weight', 405, 'POST'], ['POST', 'uplinks', 405, 'GET'],
      ['POST', 'affinity', 405, 'GET, DELETE'], ['DELETE', 'events', 405, 'GET'],
    ];
    for (const [method, path, status, allow] of rows) {
      const answer = await ask(socket, `/api/v1/${path}`, method);
      assert.is(answer.status, status, `${method} ${path}`);
      assert.is(answer.headers.allow, allow, `${method} ${path}`);
    }
  });
});

test('an uplink is drained, taken back and weighed; each action is an event and answers with how things stand', async () => {
  await withApi({}, async ({ socket, done, events, view }) => {
    const heard: RouterEvent[] = [];
    events.subscribe((event) => { heard.push(event); });
    const drained = await ask(socket, '/api/v1/uplinks/isp1/drain', 'POST');
    assert.is(drained.status, 200);
    assert.equal(drained.json, { schemaVersion: 1, uplink: view.uplinks()[0], warnings: [] });
    assert.is((drained.json as UplinkAnswer).uplink.state, 'drained');
    const last = (await ask(socket, '/api/v1/uplinks/isp2/drain', 'POST', '{}')).json as UplinkAnswer;
    assert.equal(last.warnings, ['group internet has no other uplink that is up: its new flows meet its lastResort']);
    assert.is(((await ask(socket, '/api/v1/uplinks/isp1/undrain', 'POST')).json as UplinkAnswer).uplink.isDrained, false);
    assert.is(((await ask(socket, '/api/v1/uplinks/isp1/weight', 'POST', '{"weight":7}')).json as UplinkAnswer).uplink.weight, 7);
    assert.equal(((await ask(socket, '/api/v1/uplinks/isp1/weight', 'POST', '{"weight":0}')).json as UplinkAnswer).warnings.length, 1);
    await ask(socket, '/api/v1/uplinks/isp2/drain', 'POST');
    assert.equal(done, ['drain 0 true', 'drain 1 true', 'drain 0 false', 'weight 0 7', 'weight 0 0', 'drain 1 true']);
    assert.equal(heard.map(({ event, subject }) => `${event} ${subject}`), [
      'control.drain isp1', 'control.drain isp2', 'control.undrain isp1', 'control.weight isp1', 'control.weight isp1', 'control.drain isp2',
    ]);
    assert.equal(heard[3], { atMs: NOW_MS, event: 'control.weight', subject: 'isp1', message: 'the weight of uplink isp1 was set to 7 by request; it was 3', uplink: 'isp1', link: 'wan1', weight: 7, before: 3 });
    assert.match(heard[5].message, /it already was so/);
  });
});

test('an action that makes no sense is refused, does nothing and is no event', async () => {
  const rows: [action: string, body: string, status: number, parameter: string, found: string | null, allowed: RegExp][] = [
    ['uplinks/isp9/drain', '', 404, 'uplink', 'isp9', /^isp1, isp2$/],
    ['uplinks/%2e%2e%2fisp1/drain', '', 404, 'uplink', '../isp1', /^isp1, isp2$/],
    ['uplinks/isp1/drain', '{"now":true}', 400, 'now', 'true', /^no body, or \{\}$/],
    ['uplinks/isp1/drain', '[]', 400, 'body', '[]', /no body/],
    ['uplinks/isp1/drain', 'drain!', 400, 'body', 'drain!', /no body/],
    ['uplinks/isp1/drain?now=1', '', 400, 'now', '1', /^no parameters$/],
    ['uplinks/isp1/weight', '', 400, 'weight', null, /\{"weight": …\}/],
    ['uplinks/isp1/weight', '{"weight":"7"}', 400, 'weight', '"7"', /^0 to 65535$/],
    ['uplinks/isp1/weight', '{"weight":1.5}', 400, 'weight', '1.5', /^0 to 65535$/],
    ['uplinks/isp1/weight', '{"weight":-1}', 400, 'weight', '-1', /^0 to 65535$/],
    ['uplinks/isp1/weight', '{"weight":65536}', 400, 'weight', '65536', /^0 to 65535$/],
    ['uplinks/isp1/weight', '{"weight":null}', 400, 'weight', 'null', /^0 to 65535$/],
    ['uplinks/isp1/weight', '{"weight":1,"of":"isp2"}', 400, 'of', '"isp2"', /weight/],
    ['uplinks/isp1/weight', 'null', 400, 'body', 'null', /weight/],
    ['uplinks/isp1/weight', `{"weight":1${' '.repeat(5000)}}`, 413, 'body', null, /at most 4096 bytes/],
  ];
  await withApi({}, async ({ socket, api, done, events }) => {
    for (const [action, body, status, parameter, found, allowed] of rows) {
      const answer = await ask(socket, `/api/v1/${action}`, 'POST', body);
      assert.is(answer.status, status, `${action} ${body}`);
      const { error } = answer.json as ApiErrorBody;
      assert.equal([error.parameter, error.found], [parameter, found], `${action} ${body}`);
      assert.match(error.allowed ?? '', allowed);
    }
    assert.equal(done, []);
    assert.is(events.next, 1);
    assert.is(api.counters.badRequests, rows.length);
  });
});

test('affinity is listed page by page, filtered, and erased', async () => {
  await withApi({}, async ({ socket, done, events }) => {
    const first = (await ask(socket, '/api/v1/affinity')).json as AffinityPage;
    assert.is(first.nextCursor, 1);
    assert.is(first.affinity[0].uplink, 'isp1');
    const filtered = (await ask(socket, '/api/v1/affinity?address=192.0.2.80&uplink=isp1')).json as AffinityPage;
    assert.equal(filtered.affinity.map((row) => row.source), ['10.0.1.8']);
    assert.equal((await ask(socket, '/api/v1/affinity?address=10.0.1.7', 'DELETE')).json, { schemaVersion: 1, erased: 2, erasedPersistence: 0 });
    assert.equal((await ask(socket, '/api/v1/affinity', 'DELETE')).json, { schemaVersion: 1, erased: 3, erasedPersistence: 0 });
    assert.equal(done, ['eraseAffinity 10.0.1.7', 'eraseAffinity ']);
    const heard = events.read(events.placeOfLast(9, true), 9).events.map(({ event }) => [event.event, event.subject, event['erased']]);
    assert.equal(heard, [['control.affinity', '10.0.1.7', 2], ['control.affinity', 'all', 3]]);
    for (const path of ['affinity?address=300.1.1.1', 'affinity?uplink=isp9', 'affinity?cursor=-1', 'affinity?all=1']) {
      assert.is((await ask(socket, `/api/v1/${path}`)).status, 400, path);
    }
    assert.is((await ask(socket, '/api/v1/affinity?uplink=isp1', 'DELETE')).status, 400, 'erased is by address or all');
    assert.is(done.length, 2);
  });
});

test('before there is a router nothing is done, and that is said', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  const api = await startApi({ events: new EventLog(), version: '0.1.0', configFile: 'weir.yaml', socket });
  try {
    assert.is((await ask(socket, '/api/v1/uplinks/isp1/drain', 'POST')).status, 503);
    assert.is((await ask(socket, '/api/v1/affinity', 'DELETE')).status, 503);
  } finally {
    await api.close();
  }
});

test('a bad query is refused with what was found and what is allowed', async () => {
  const rows: [query: string, parameter: string, found: string, allowed: RegExp][] = [
    ['flows?port=http', 'port', 'http', /^0 to 65535$/],
    ['flows?port=65536', 'port', '65536', /65535/],
    ['flows?port=-1', 'port', '-1', /0 to/],
    ['flows?port=', 'port', '', /0 to/],
    ['flows?port=1e3', 'port', '1e3', /0 to/],
    ['flows?address=10.0.1', 'address', '10.0.1', /^an IPv4 address$/],
    ['flows?address=010.0.0.1', 'address', '010.0.0.1', /IPv4/],
    ['flows?address=2001:db8::1', 'address', '2001:db8::1', /IPv4/],
    ['flows?address=10.0.0.0/8', 'address', '10.0.0.0/8', /IPv4/],
    ['flows?protocol=carrier-pigeon', 'protocol', 'carrier-pigeon', /icmp, igmp, tcp, udp/],
    ['flows?protocol=256', 'protocol', '256', /0 to 255/],
    ['flows?uplink=isp9', 'uplink', 'isp9', /^isp1, isp2$/],
    ['flows?link=nope', 'link', 'nope', /^lan, wan1, wan2, host$/],
    ['flows?state=%1b[31m', 'state', '\u001b[31m', /new, replied, opening/],
    ['flows?state=TIME_WAIT', 'state', 'TIME_WAIT', /established, half-closed, time-wait/],
    ['flows?limit=0', 'limit', '0', /^1 to 10000$/],
    ['flows?limit=10001', 'limit', '10001', /10000/],
    ['flows?cursor=x', 'cursor', 'x', /0 to/],
    ['flows?colour=red', 'colour', 'red', /address, port, protocol, uplink, link, server, state, cursor, limit/],
    ['flows?port=1&port=2', 'port', '2', /one value/],
    ['links?all=1', 'all', '1', /no parameters/],
    ['events?last=17', 'last', '17', /^0 to 16$/],
  ];
  await withApi({}, async ({ socket, api }) => {
    for (const [query, parameter, found, allowed] of rows) {
      const { status, json } = await ask(socket, `/api/v1/${query}`);
      assert.is(status, 400, query);
      const { error } = json as ApiErrorBody;
      assert.is(error.parameter, parameter, query);
      assert.is(error.found, found, query);
      assert.match(error.allowed ?? '', allowed, query);
      assert.ok(error.message.length > 0);
    }
    assert.is(api.counters.badRequests, rows.length);
  });
});

test('filters select exactly what a plain scan selects', async () => {
  const all = Array.from({ length: 500 }, (_, i) => fakeFlow(i));
  const rows: [query: string, keep: (flow: ReturnType<typeof fakeFlow>) => boolean][] = [
    ['address=10.0.0.42', (flow) => flow.original.source === '10.0.0.42'],
    ['address=198.51.100.2', (flow) => flow.reply.destination === '198.51.100.2'],
    ['address=::ffff:10.0.0.42', (flow) => flow.original.source === '10.0.0.42'],
    ['port=53', (flow) => flow.protocol === 'udp'],
    ['port=1030', (flow) => flow.original.sourcePort === 1030],
    ['protocol=TCP', (flow) => flow.protocol === 'tcp'],
    ['protocol=17', (flow) => flow.protocol === 'udp'],
    ['protocol=47', () => false],
    ['uplink=isp2', (flow) => flow.uplink === 'isp2'],
    ['link=wan1', (flow) => flow.outLink === 'wan1'],
    ['link=lan', () => true],
    ['state=time-wait', (flow) => flow.state === 'time-wait'],
    ['protocol=tcp&uplink=isp2&state=established', (flow) => flow.protocol === 'tcp' && flow.uplink === 'isp2' && flow.state === 'established'],
  ];
  await withApi({ flows: 500 }, async ({ socket }) => {
    for (const [query, keep] of rows) {
      const { status, json } = await ask(socket, `/api/v1/flows?${query}`);
      assert.is(status, 200, query);
      assert.equal((json as FlowPage).flows.map((flow) => flow.id), all.filter(keep).map((flow) => flow.id), query);
    }
  });
});

test('a page is 1000 flows unless asked otherwise', async () => {
  await withApi({ flows: 2500 }, async ({ socket }) => {
    const first = (await ask(socket, '/api/v1/flows')).json as FlowPage;
    assert.is(first.flows.length, 1000);
    assert.is(first.nextCursor, 1000);
    assert.is(first.total, 2500);
    const last = (await ask(socket, '/api/v1/flows?cursor=2000')).json as FlowPage;
    assert.is(last.flows.length, 500);
    assert.is(last.nextCursor, null);
  });
});

test('a million flows come page by page, each once, never more than a page at a time', async () => {
  await withApi({ flows: 1_000_000 }, async ({ socket, view }) => {
    let cursor: number | null = 0;
    let expected = 0;
    while (cursor !== null) {
      const page: FlowPage = (await ask(socket, `/api/v1/flows?cursor=${cursor}&limit=10000`)).json as FlowPage;
      for (const flow of page.flows) if (flow.id !== expected++) assert.unreachable(`flow ${flow.id} where ${expected - 1} was due`);
      cursor = page.nextCursor;
    }
    assert.is(expected, 1_000_000);
    assert.is(view.largestPage, 10_000);
    assert.is(view.calls, 100);
  });
});

test('pages may be empty in the middle of a filtered listing', async () => {
  await withApi({ flows: 1000, scanMax: 10 }, async ({ socket }) => {
    const ids: number[] = [];
    let cursor: number | null = 0;
    let empty = 0;
    while (cursor !== null) {
      const page: FlowPage = (await ask(socket, `/api/v1/flows?address=10.0.3.231&cursor=${cursor}`)).json as FlowPage;
      if (page.flows.length === 0) empty++;
      ids.push(...page.flows.map((flow) => flow.id));
      cursor = page.nextCursor;
    }
    assert.equal(ids, [999]);
    assert.is(empty, 99);
  });
});

test('a mistake of ours is a 500 that tells nothing of our insides', async () => {
  await withApi({}, async ({ socket, view, api }) => {
    view.failure = new TypeError('secret inside');
    const answer = await ask(socket, '/api/v1/links');
    assert.is(answer.status, 500);
    assert.not.match(answer.text, /secret|at .*:\d+/);
    assert.is(api.counters.failures, 1);
    view.failure = null;
    assert.is((await ask(socket, '/api/v1/links')).status, 200, 'and the next answer is right again');
  });
});

test('the socket has mode 0660 and is never wider, its directory is made', async () => {
  const socket = join(temporaryDirectory(), 'a', 'b', 'weir.sock');
  const mask = process.umask(0);
  // With a mask of 0 a careless listen makes the socket 0777 until its mode is set: look at it right before that.
  const { chmodSync: chmod } = fs;
  const modes: number[] = [];
  fs.chmodSync = (path, mode) => { modes.push(statSync(path).mode & 0o777); chmod(path, mode); };
  syncBuiltinESMExports();
  try {
    const api = await startApi(base(socket));
    assert.ok(statSync(socket).isSocket());
    assert.is(statSync(socket).mode & 0o777, 0o660);
    assert.equal(modes, [0o600]);
    assert.is(process.umask(), 0, 'the mask is as it was');
    await api.close();
  } finally {
    fs.chmodSync = chmod;
    syncBuiltinESMExports();
    process.umask(mask);
  }
});

test('closing removes the socket, also twice, and lets another daemon in', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  for (let round = 0; round < 2; round++) {
    const api = await startApi(base(socket));
    assert.ok(existsSync(socket));
    await Promise.all([api.close(), api.close()]);
    assert.not.ok(existsSync(socket));
  }
});

test('the group is the one named, by name or number; an unknown one is a mistake in the configuration', async () => {
  const directory = temporaryDirectory();
  const own = process.getgid!();
  const api = await startApi({ ...base(join(directory, 'number.sock')), group: String(own) });
  assert.is(api.gid, own);
  assert.is(statSync(api.socket).gid, own);
  await api.close();

  const error = await thrownBy(() => startApi({ ...base(join(directory, 'none.sock')), group: 'no-such-group-here' }));
  assert.instance(error, ConfigErrors);
  assert.match(error.message, /^weir\.yaml: control\.group: found 'no-such-group-here'.*allowed: an existing group/);
  assert.not.ok(existsSync(join(directory, 'none.sock')), 'nothing was opened');
});

test('as root the socket goes to a named group', async () => {
  if (process.getuid!() !== 0) return;
  // Whatever group this system has besides root's: daemon is on every Debian.
  const gid = findGroup(readFileSync('/etc/group', 'utf8'), 'daemon');
  if (gid === null) return;
  const api = await startApi({ ...base(join(temporaryDirectory(), 'weir.sock')), group: 'daemon' });
  assert.is(statSync(api.socket).gid, gid);
  assert.is(statSync(api.socket).mode & 0o777, 0o660);
  await api.close();
});

test('group files are read strictly', async () => {
  const text = 'root:x:0:\nbroken\nweird:x:abc:\nweir:x:998:alice,bob\n';
  assert.is(findGroup(text, 'weir'), 998);
  assert.is(findGroup(text, 'root'), 0);
  assert.is(findGroup(text, 'weird'), null);
  assert.is(findGroup(text, 'broken'), null);
  assert.is(findGroup(text, ''), null);
  assert.is(await lookUpGroup('1234'), 1234);
  assert.is(await lookUpGroup('-x; rm'), null);
  assert.is(await lookUpGroup('no-such-group-here'), null);
});

/** What is answered to these very bytes: the status and the body. */
function askRaw(socket: string, bytes: string): Promise<[status: number, body: string]> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket, () => connection.write(bytes));
    let text = '';
    connection.setEncoding('utf8').on('data', (part: string) => { text += part; });
    connection.on('error', reject);
    connection.on('close', () => resolve([Number(text.split(' ')[1]), text.slice(text.indexOf('\r\n\r\n') + 4)]));
  });
}

test('a body may be left out, or come in chunks of unsaid length, as other clients than ours do', async () => {
  await withApi({}, async ({ socket, api, done }) => {
    const post = (path: string, rest: string): Promise<[number, string]> => askRaw(socket, `POST /api/v1/uplinks/${path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n${rest}`);
    const chunked = (...parts: string[]): string => `Transfer-Encoding: chunked\r\n\r\n${[...parts, ''].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}`;
    // What `curl -X POST` sends.
    assert.is((await post('isp1/drain', '\r\n'))[0], 200);
    assert.is((await post('isp1/undrain', chunked()))[0], 200);
    assert.is((await post('isp1/weight', chunked('{"wei', 'ght":', '7}')))[0], 200);
    assert.equal(done, ['drain 0 true', 'drain 0 false', 'weight 0 7']);
    const [status, body] = await post('isp1/weight', chunked('{"weight":1', ' '.repeat(4000), ' '.repeat(100), '}'));
    assert.is(status, 413);
    assert.match(body, /at most 4096 bytes/);
    for (const name of ['%ff', '%', '%00']) assert.is((await post(`${name}/drain`, '\r\n'))[0], 404, name);
    assert.equal([done.length, api.counters.failures], [3, 0]);
  });
});

test('a path too long for a socket is a mistake in the configuration', async () => {
  const error = await thrownBy(() => startApi(base(join(temporaryDirectory(), 'x'.repeat(120)))));
  assert.instance(error, ConfigErrors);
  assert.match(error.message, /control\.socket: found a path of \d+ bytes, allowed: at most 107/);
});

test('a stale socket, left by a process that was killed, is replaced', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  const child = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(socket)}, () => console.log('listening'))`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  await until('the child listens', () => said.includes('listening'));
  const gone = new Promise((resolve) => { child.once('close', resolve); });
  child.kill('SIGKILL');
  await gone;
  assert.ok(lstatSync(socket).isSocket(), 'it left its socket behind');

  const api = await startApi(base(socket));
  assert.is((await ask(socket, '/api/v1/status')).status, 200);
  await api.close();
});

test('a living weir keeps its socket, and the newcomer is told its pid', async () => {
  await withApi({}, async ({ socket }) => {
    const error = await thrownBy(() => startApi(base(socket)));
    assert.is(error.code, 'EADDRINUSE');
    assert.is(error.syscall, 'listen');
    assert.is(error.errno, -98);
    assert.match(error.message, new RegExp(`another weir \\(pid ${process.pid}\\) already listens on ${socket}`));
    assert.is((await ask(socket, '/api/v1/status')).status, 200, 'the first one goes on');
  });
});

test('the socket can be taken before there is a router: requests are told, a second daemon is kept out', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  const { view, ...early } = base(socket);
  const api = await startApi(early);
  for (const name of ['status', 'links', 'flows', 'drops']) {
    const answer = await ask(socket, `/api/v1/${name}`);
    assert.is(answer.status, 503, name);
    assert.match(answer.text, /weir is still starting/);
  }
  const error = await thrownBy(() => startApi(base(socket)));
  assert.is(error.code, 'EADDRINUSE');
  assert.match(error.message, new RegExp(`\\(pid ${process.pid}\\)`));
  api.serve(view, { drain: () => undefined, weight: () => undefined, drainServer: () => undefined, weightServer: () => undefined, eraseAffinity: () => undefined, drainInstance: () => Promise.reject(new Error('not here')), leases: () => Promise.reject(new Error('not here')) });
  assert.is((await ask(socket, '/api/v1/status')).status, 200);
  assert.is(api.counters.failures, 0);
  await api.close();
});

test('a living stranger keeps its socket too', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  const stranger = createServer((peer) => {
    // It is hung up on, which is no concern of this test.
    peer.on('error', () => undefined).resume();
    peer.end('this is not HTTP\r\n\r\n');
  });
  await new Promise<void>((resolve) => { stranger.listen(socket, resolve); });
  const error = await thrownBy(() => startApi(base(socket)));
  assert.is(error.code, 'EADDRINUSE');
  assert.match(error.message, /another process already listens/);
  assert.ok(lstatSync(socket).isSocket());
  await new Promise((resolve) => { stranger.close(resolve); });
});

test('a file in the place of the socket is left as it is', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  writeFileSync(socket, 'precious');
  const error = await thrownBy(() => startApi(base(socket)));
  assert.is(error.code, 'ENOTSOCK');
  assert.match(error.message, /is not a socket/);
  assert.is(readFileSync(socket, 'utf8'), 'precious');
});

test('a directory that may not be made is a system error with its path', async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'file'), '');
  const error = await thrownBy(() => startApi(base(join(directory, 'file', 'sub', 'weir.sock'))));
  assert.is(error.code, 'ENOTDIR');
  assert.ok(typeof error.syscall === 'string' && typeof error.errno === 'number');
});

test('a directory that cannot be made where all above it is there is refused, not tried for ever', async () => {
  const error = await thrownBy(() => startApi(base('/proc/no-such-thing/weir.sock')));
  assert.equal([error.code, error.syscall], ['ENOENT', 'mkdir']);
});

test('what is wrong with the socket has its path, so that the advice is about the file', async () => {
  const directory = temporaryDirectory();
  const loop = join(directory, 'loop');
  symlinkSync(loop, loop);
  const error = await thrownBy(() => startApi(base(join(loop, 'weir.sock'))));
  const refused = Object.assign(new Error(`listen EACCES: permission denied ${join(directory, 'weir.sock')}`), { code: 'EACCES', errno: -13, syscall: 'listen' });
  const server = Object.assign(new EventEmitter(), { listen: () => { queueMicrotask(() => server.emit('error', refused)); } }) as unknown as Server;
  const path = join(directory, 'weir.sock');
  const denied = await thrownBy(() => listenOnSocket(server, path, undefined, 'weir.yaml'));
  assert.equal([error.code, denied.path], ['ELOOP', path]);
  assert.equal(endingOf(denied), { exitCode: 77, lines: [`weir: no permission: permission denied (EACCES, listen ${path})`, `  run it as root, or give this user the right to ${path}`] });
});

test('an existing directory keeps its mode', async () => {
  const directory = join(temporaryDirectory(), 'run');
  mkdirSync(directory);
  chmodSync(directory, 0o700);
  const api = await startApi(base(join(directory, 'weir.sock')));
  assert.is(statSync(directory).mode & 0o777, 0o700);
  await api.close();
});

test.run();
