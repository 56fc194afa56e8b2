/** Every command against a daemon's API on a real socket: text as in test/cli/golden, JSON as the API gives it, exit codes. */
process.env['TZ'] = 'UTC';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckResult, DoctorCheck } from '../../src/cli/command.js';
import { OutputClosed } from '../../src/cli/io.js';
import { commands } from '../../src/cli/registry.js';
import type { InstanceAnswer } from '../../src/control/api/share-types.js';
import type { AffinityPage, FlowPage, PersistencePage, StreamedEvent, UplinkAnswer } from '../../src/control/api/types.js';
import { ask, temporaryDirectory, withApi } from '../support/api.js';
import { golden, weir } from '../support/cli.js';
import { fakeFlow } from '../support/fake-view.js';

const READING = ['status', 'links', 'uplinks', 'servers', 'routes', 'neighbours', 'flows', 'filters', 'drops', 'vrrp', 'share', 'leases'];
/** Those that change something, with operands that make sense. */
const CHANGING = [['drain'], ['undrain'], ['drain', 'uplink', 'isp1'], ['undrain', 'uplink', 'isp1'], ['weight', 'uplink', 'isp1', '5'],
  ['drain', 'server', 'web/web1'], ['undrain', 'server', 'web/web1'], ['weight', 'server', 'web/web1', '5'], ['maint', 'server', 'web/web1']];

/** The pid is the only thing in a golden output that differs from run to run. */
const withoutPid = (text: string): string => text.replaceAll(`pid ${process.pid}`, 'pid PID').replaceAll(`"pid":${process.pid}`, '"pid":0');

test('each reading command prints its table', async () => {
  await withApi({ flows: 6, servers: true, share: true }, async ({ socket }) => {
    for (const name of READING) {
      const { exitCode, out, err } = await weir([name, '--socket', socket]);
      assert.is(err, '', name);
      assert.is(exitCode, 0, name);
      golden(`${name}.txt`, withoutPid(out));
    }
  });
});

test('each reading command with -j prints one valid document, exactly as the API gives it', async () => {
  await withApi({ flows: 6, servers: true, share: true }, async ({ socket }) => {
    for (const name of READING) {
      const { exitCode, out, err } = await weir([name, '-j', '--socket', socket]);
      assert.is(err, '', name);
      assert.is(exitCode, 0, name);
      assert.is((JSON.parse(out) as { schemaVersion: number }).schemaVersion, 1, name);
      const { text, json } = await ask(socket, `/api/v1/${name}`);
      if (name === 'status') assert.is(withoutPid(out), withoutPid(`${text}\n`));
      else assert.is(out, `${text}\n`, name);
      assert.equal(JSON.parse(out), json, name);
      golden(`${name}.json`, withoutPid(out));
    }
  });
});

test('a degraded router shows its problems first and exits 1', async () => {
  await withApi({ degraded: true }, async ({ socket }) => {
    const { exitCode, out } = await weir(['status', '--socket', socket]);
    assert.is(exitCode, 1);
    golden('status-degraded.txt', withoutPid(out));
    assert.ok(out.indexOf('down for 12 s') < out.indexOf('Uplinks'), 'problems stand before everything else');
    const json = await weir(['status', '-j', '--socket', socket]);
    assert.is(json.exitCode, 1);
    assert.is((JSON.parse(json.out) as { state: string }).state, 'degraded');
    for (const name of ['links', 'uplinks']) golden(`${name}-degraded.txt`, (await weir([name, '--socket', socket])).out);
  });
});

test('colours paint states and nothing else changes', async () => {
  await withApi({ degraded: true }, async ({ socket }) => {
    const { out } = await weir(['status', '--socket', socket], { color: true });
    assert.ok(out.includes('\u001b[31mdown\u001b[0m') && out.includes('\u001b[32mup\u001b[0m') && out.includes('\u001b[31mdegraded\u001b[0m'));
    // eslint-disable-next-line no-control-regex -- this is what colours are made of
    assert.is(withoutPid(out.replace(/\u001b\[\d+m/g, '')), withoutPid((await weir(['status', '--socket', socket])).out));
    assert.not.ok((await weir(['status', '-j', '--socket', socket], { color: true })).out.includes('\u001b'), 'JSON is never painted');
  });
});

test('an empty table says so in words', async () => {
  await withApi({ flows: 0 }, async ({ socket, view }) => {
    view.neighbours = () => [];
    view.drops = () => [{ name: 'TTL', sentence: 'time to live used up', packets: 0, answer: null, links: [] }];
    assert.is((await weir(['neighbours', '--socket', socket])).out, 'no neighbours\n');
    view.filters = () => [];
    assert.is((await weir(['filters', '--socket', socket])).out, 'no filters\n');
    assert.is((await weir(['servers', '--socket', socket])).out, 'no virtual servers\n');
    assert.is((await weir(['drops', '--socket', socket])).out, 'no drops\n');
    assert.match((await weir(['drops', '--all', '--socket', socket])).out, /^PACKETS.*\n +0 {2}TTL/);
    assert.is((await weir(['flows', '--socket', socket])).out, '0 flows listed, 0 of 1,048,576 in the table\n');
    assert.equal(JSON.parse((await weir(['flows', '-j', '--socket', socket])).out), { schemaVersion: 1, flows: [], nextCursor: null, total: 0, limit: 1_048_576 });
  });
});

test('flows filters reach the daemon, alone and together', async () => {
  const rows: [args: string[], keep: (flow: ReturnType<typeof fakeFlow>) => boolean][] = [
    [['--address', '10.0.0.7'], (flow) => flow.id === 7],
    [['--port', '53'], (flow) => flow.protocol === 'udp'],
    [['--protocol', 'icmp'], (flow) => flow.protocol === 'icmp'],
    [['--uplink', 'isp2'], (flow) => flow.uplink === 'isp2'],
    [['--link', 'wan1'], (flow) => flow.outLink === 'wan1'],
    [['--state', 'time-wait'], (flow) => flow.state === 'time-wait'],
    [['--server', 'web/web1'], (flow) => flow.server === 'web/web1'],
    [['--server', 'web', '--protocol', 'udp'], (flow) => flow.server !== null && flow.protocol === 'udp'],
    [['--protocol', 'tcp', '--uplink', 'isp2', '--state', 'established'], (flow) => flow.protocol === 'tcp' && flow.uplink === 'isp2' && flow.state === 'established'],
  ];
  const all = Array.from({ length: 200 }, (_, i) => fakeFlow(i));
  await withApi({ flows: 200, servers: true }, async ({ socket }) => {
    for (const [args, keep] of rows) {
      const expected = all.filter(keep);
      const json = await weir(['flows', '-j', '--socket', socket, ...args]);
      assert.equal((JSON.parse(json.out) as FlowPage).flows, expected, args.join(' '));
      const text = await weir(['flows', '--socket', socket, ...args]);
      assert.is(text.out.trim().split('\n').length, expected.length + 2, 'a heading, the rows, the total');
    }
  });
});

test('a listing of many pages is one document, whatever the pages held', async () => {
  // Few entries a call: most pages of a filtered listing are empty or short.
  await withApi({ flows: 5000, scanMax: 7 }, async ({ socket }) => {
    for (const args of [[], ['--address', '10.0.3.231'], ['--state', 'established'], ['--protocol', 'gre']]) {
      const page = JSON.parse((await weir(['flows', '-j', '--socket', socket, ...args])).out) as FlowPage;
      const all = Array.from({ length: 5000 }, (_, i) => fakeFlow(i));
      const keep = args.length === 0 ? all
        : all.filter((flow) => (args[0] === '--address' ? flow.original.source === args[1] : args[0] === '--state' ? flow.state === args[1] : false));
      assert.equal(page.flows.map((flow) => flow.id), keep.map((flow) => flow.id), args.join(' '));
      assert.is(page.nextCursor, null);
    }
  });
});

test('--limit stops exactly there and tells how to go on; going on gives the rest', async () => {
  await withApi({ flows: 5000 }, async ({ socket, view }) => {
    const text = await weir(['flows', '--limit', '3', '--socket', socket]);
    assert.match(text.out, /\n3 flows listed, 5,000 of 1,048,576 in the table; for more: --cursor 3\n$/);
    const first = JSON.parse((await weir(['flows', '-j', '--limit', '2500', '--socket', socket])).out) as FlowPage;
    assert.is(first.flows.length, 2500);
    assert.is(first.nextCursor, 2500);
    const rest = JSON.parse((await weir(['flows', '-j', '--cursor', String(first.nextCursor), '--socket', socket])).out) as FlowPage;
    assert.equal([...first.flows, ...rest.flows].map((flow) => flow.id), Array.from({ length: 5000 }, (_, i) => i));
    assert.is(rest.nextCursor, null);
    assert.ok(view.largestPage <= 2000);
  });
});

test('pages are printed as they come, not at the end', async () => {
  await withApi({ flows: 20_000 }, async ({ socket, view }) => {
    const calls: number[] = [];
    const io = { async write(): Promise<void> { calls.push(view.calls); } };
    assert.is((await weir(['flows', '--socket', socket], { io })).exitCode, 0);
    assert.equal(calls, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]);
  });
});

test('what the daemon refuses is a usage error with what is allowed', async () => {
  await withApi({}, async ({ socket }) => {
    const rows: [args: string[], err: RegExp][] = [
      [['--port', 'http'], /found 'http', allowed: 0 to 65535/],
      [['--uplink', 'isp9'], /there is no uplink 'isp9': found 'isp9', allowed: isp1, isp2/],
      [['--address', '1.2.3'], /found '1\.2\.3', allowed: an IPv4 address/],
      [['--state', 'ESTABLISHED'], /allowed: new, replied, opening/],
    ];
    for (const [args, err] of rows) for (const json of [[], ['-j']]) {
      const outcome = await weir(['flows', ...json, '--socket', socket, ...args]);
      assert.is(outcome.exitCode, 2, args.join(' '));
      assert.is(outcome.out, '');
      assert.match(outcome.err, err);
      assert.is(outcome.err.split('\n').length, 2, 'one line');
    }
  });
});

test('usage errors exit 2 and say where to look', async () => {
  const rows: [args: string[], err: RegExp][] = [
    [[], /Usage: weir/],
    [['bogus'], /^weir: unknown command 'bogus'\n\(weir --help/],
    [['flow'], /Did you mean flows\?/],
    [['status', '--socks', 'x'], /Did you mean --socket\?/],
    [['status', 'extra'], /too many arguments/],
    [['flows', '--limit', '0'], /whole number, at least 1/],
    [['flows', '--limit', '1.5'], /whole number, at least 1/],
    [['flows', '--limit'], /argument missing/],
    [['monitor', '--count', '-1'], /whole number, at least 1/],
    [['run', '--log-level', 'loud'], /Allowed choices are trace, debug/],
    [['check', '--socket', 'x'], /unknown option '--socket'/],
    [['drain', 'isp1'], /Allowed choices are uplink, server/],
    [['drain', 'link', 'wan1'], /Allowed choices are uplink, server/],
    [['drain', 'uplink'], /uplink: found no name, allowed: the name of one \(weir uplinks lists them\)/],
    [['undrain', 'server'], /server: found no name, allowed: the name of one \(weir servers lists them\)/],
    [['drain', '--flush'], /--flush is for servers: another instance takes the flows/],
    [['weight', 'uplink'], /missing required argument 'name'/],
    [['drain', 'uplink', 'isp1', 'isp2'], /too many arguments/],
    [['drain', 'server', 'web1'], /server: found 'web1', allowed: the name of a virtual server, a slash and the name of its server/],
    [['drain', 'server', 'web/'], /server: found 'web\/'/],
    [['drain', 'server', 'a/b/c'], /server: found 'a\/b\/c'/],
    [['drain', 'uplink', 'isp1', '--flush'], /--flush is for servers/],
    [['maint', 'uplink', 'isp1'], /Allowed choices are server/],
    [['maint', 'server', 'web/web1', 'maybe'], /Allowed choices are on, off/],
    [['maint', 'server', 'web/web1', 'off', '--reason', 'x'], /--reason is for the beginning/],
    [['maint', 'server', 'web/web1', '--reason', ' '], /--reason: found ''/],
    [['servers', 'web', 'dns'], /too many arguments/],
    [['weight', 'uplink', 'isp1'], /missing required argument 'weight'/],
    [['weight', 'uplink', 'isp1', 'heavy'], /whole number, at least 0/],
    [['affinity', '--erase', '--uplink', 'isp1'], /cannot be combined/],
    [['uplinks', '--to', 'a:1'], /--to is for the test of the split/],
    [['uplinks', '--test'], /--to HOST:PORT/],
    [['uplinks', '--test', '--to', 'example.net'], /found 'example\.net', allowed: HOST:PORT/],
    [['uplinks', '--test', '--to', 'a:70000'], /found 'a:70000'/],
    [['uplinks', '--test', '--to', 'a:1', '--flows', '10001'], /at most 10000/],
  ];
  for (const [args, err] of rows) {
    const outcome = await weir(args);
    assert.is(outcome.exitCode, 2, args.join(' '));
    assert.match(outcome.err, err, args.join(' '));
    assert.is(outcome.out, '');
    assert.not.match(outcome.err, /\n\s+at /);
  }
});

test('help and version go to standard output and exit 0', async () => {
  assert.equal(await weir(['--version']), { exitCode: 0, out: '0.1.0\n', err: '', writes: 1 });
  const help = await weir(['--help']);
  golden('help.txt', help.out);
  assert.equal((await weir(['help'])).out, help.out);
  for (const { name, summary } of commands) {
    assert.ok(help.out.includes(name) && help.out.includes(summary), name);
    const own = await weir([name, '--help']);
    assert.is(own.exitCode, 0, name);
    assert.is(own.err, '');
    assert.match(own.out, new RegExp(`^Usage: weir ${name}`));
    assert.is((await weir(['help', name])).out, own.out);
    if (READING.includes(name) || ['monitor', 'affinity', 'persistence', 'drain', 'undrain', 'weight', 'maint'].includes(name)) {
      assert.match(own.out, /-j, --json/);
      assert.match(own.out, /--socket <path>/);
      assert.match(own.out, /WEIR_SOCKET/);
    }
  }
});

test('without a daemon each command says so in one line; status exits 3, the others 69', async () => {
  const directory = temporaryDirectory();
  const absent = join(directory, 'weir.sock');
  for (const name of [...READING, 'monitor']) for (const json of [[], ['-j']]) {
    assert.equal(await weir([name, ...json, '--socket', absent]), {
      exitCode: name === 'status' ? 3 : 69, out: '', err: `weir: weir is not running: no socket at ${absent}\n`, writes: 0,
    });
  }
  for (const args of [...CHANGING, ['affinity'], ['affinity', '--erase'], ['persistence']]) {
    assert.equal(await weir([...args, '--socket', absent]), { exitCode: 69, out: '', err: `weir: weir is not running: no socket at ${absent}\n`, writes: 0 });
  }
  const file = join(directory, 'file');
  writeFileSync(file, '');
  assert.equal(await weir(['status', '--socket', file]), { exitCode: 3, out: '', err: `weir: weir is not running: nobody listens on ${file}\n`, writes: 0 });
});

test('the environment names the socket, the option goes before it, an empty one means the default', async () => {
  const before = process.env['WEIR_SOCKET'];
  try {
    process.env['WEIR_SOCKET'] = '/nowhere/env.sock';
    assert.match((await weir(['links'])).err, /\/nowhere\/env\.sock/);
    assert.match((await weir(['links', '--socket', '/nowhere/option.sock'])).err, /\/nowhere\/option\.sock/);
  } finally {
    if (before === undefined) delete process.env['WEIR_SOCKET'];
    else process.env['WEIR_SOCKET'] = before;
  }
});

test('without permission it exits 77 and names the group', async () => {
  await withApi({}, async ({ socket, directory }) => {
    // Root may use any socket, so the test becomes nobody for a moment; others lose the right to their own.
    const root = process.geteuid!() === 0;
    const groups = process.getgroups!();
    const asStranger = async (body: () => Promise<void>): Promise<void> => {
      if (root) {
        process.setgroups!([65534]);
        process.setegid!(65534);
        process.seteuid!(65534);
      }
      try {
        await body();
      } finally {
        if (root) {
          process.seteuid!(0);
          process.setegid!(0);
          process.setgroups!(groups);
        }
      }
    };
    chmodSync(directory, 0o755);
    chmodSync(socket, root ? 0o660 : 0o000);
    for (const name of ['status', 'flows', 'monitor']) await asStranger(async () => {
      const { exitCode, out, err } = await weir([name, '--socket', socket]);
      assert.is(exitCode, 77, name);
      assert.is(out, '');
      assert.match(err, /^weir: no permission to use .*weir\.sock: .*(only root|the group \S+).*\n$/);
    });
    if (root) {
      chownSync(socket, -1, 1);
      await asStranger(async () => {
        assert.match((await weir(['links', '--socket', socket])).err, /it is for root and the group \S+: try sudo, or join the group \(usermod -aG \S+ USER/);
      });
    }
    const closed = join(directory, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    if (root) await asStranger(async () => { assert.is((await weir(['status', '--socket', join(closed, 'weir.sock')])).exitCode, 77); });
  });
});

test('whoever answers in the place of weir is not believed', async () => {
  const socket = join(temporaryDirectory(), 'weir.sock');
  const rows: [answer: string, exitCode: number, err: RegExp][] = [
    ['SSH-2.0-OpenSSH\r\n', 1, /what answers on .* is not weir/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello', 1, /is not weir/],
    ['HTTP/1.1 500 Oops\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello', 1, /is not weir \(HTTP status 500\)/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"schema', 69, /closed the connection/],
    ['', 69, /closed the connection/],
  ];
  for (const [answer, exitCode, err] of rows) {
    const stranger = createServer((peer) => { peer.on('error', () => undefined).once('data', () => { peer.end(answer); }); });
    await new Promise<void>((resolve) => { stranger.listen(socket, resolve); });
    const outcome = await weir(['links', '--socket', socket]);
    assert.is(outcome.exitCode, exitCode, JSON.stringify(answer));
    assert.match(outcome.err, err);
    assert.not.match(outcome.err, /\n\s+at /);
    await new Promise((resolve) => { stranger.close(resolve); });
  }
});

test('a closed output ends a command quietly', async () => {
  await withApi({ flows: 10_000 }, async ({ socket, view }) => {
    let writes = 0;
    const outcome = await weir(['flows', '--socket', socket], { io: { async write() { if (++writes === 2) throw new OutputClosed(); } } });
    assert.equal([outcome.exitCode, outcome.err], [0, '']);
    assert.is(view.calls, 2, 'nothing was asked for after that');
  });
});

test('monitor prints events as they come, from the past on, and ends with the daemon', async () => {
  await withApi({}, async ({ socket, events, api }) => {
    events.emit('uplink.down', 'isp2', 'no answer from 192.0.2.1', { severity: 'error', uplink: 'isp2' });
    events.emit('link.up', 'wan2', 'carrier\u001b[2J is back');
    const text = await weir(['monitor', '--last', '5', '--count', '2', '--socket', socket]);
    assert.is(text.exitCode, 0);
    golden('monitor.txt', text.out);
    const json = await weir(['monitor', '-j', '--last', '2', '--count', '2', '--socket', socket]);
    golden('monitor.json', json.out);
    const rows = json.out.trim().split('\n').map((line) => JSON.parse(line) as StreamedEvent);
    assert.equal(rows.map((row) => [row.schemaVersion, row.sequence, row.event]), [[1, 1, 'uplink.down'], [1, 2, 'link.up']]);

    const lines: string[] = [];
    const watching = weir(['monitor', '--socket', socket], { io: {
      async write(text) {
        lines.push(text);
        if (lines.length === 2) await api.close();
      },
    } });
    while (api.counters.streams < 3) await new Promise((resolve) => { setImmediate(resolve); });
    events.emit('link.down', 'lan', 'one');
    events.emit('link.up', 'lan', 'two');
    const outcome = await watching;
    assert.equal(lines.map((line) => line.slice(-4)), ['one\n', 'two\n']);
    assert.is(outcome.exitCode, 69);
    assert.is(outcome.err, 'weir: weir has stopped\n');
    const past = await weir(['monitor', '--last', '17', '--socket', socket]);
    assert.is(past.exitCode, 69);
  });
});

test('monitor tells how many events a slow reader lost', async () => {
  await withApi({ eventsMax: 2 }, async ({ socket, events }) => {
    const filler = 'x'.repeat(50_000);
    const watching = weir(['monitor', '-j', '--last', '2', '--count', '100', '--socket', socket], { io: {
      async write() { for (let i = 0; i < 40; i++) events.emit('e', 's', filler); },
    } });
    events.emit('e', 's', 'first');
    const outcome = await watching;
    assert.is(outcome.exitCode, 0);
    assert.match(outcome.err, /^weir: \d+ events? lost: this reader was too slow\n/);
  });
});

test('this instance is drained and taken back, and what did not come about is said', async () => {
  await withApi({ share: true }, async ({ socket, done, events }) => {
    assert.equal(await weir(['drain', '--socket', socket]), {
      exitCode: 0, out: 'instance gw1 is drained after 120 ms: all that is shared is written, others have its virtual routers\n', err: '', writes: 1,
    });
    assert.match((await weir(['vrrp', '--socket', socket])).out, /lan-side .* init .* this instance is drained/);
    assert.match((await weir(['share', '--socket', socket])).out, /generation 12, drained by hand\n/);
    const back = await weir(['undrain', '-j', '--socket', socket]);
    const answer = JSON.parse(back.out) as InstanceAnswer;
    assert.equal([back.exitCode, answer.instance, answer.isDrained, answer.isFlushed, answer.vrrp.map(({ state }) => state), answer.warnings], [0, 'gw1', false, null, ['master', 'backup'], []]);
    assert.equal(done, ['drainInstance true', 'drainInstance false']);
    assert.equal(events.read(events.placeOfLast(9, false), 9).events.map(({ event }) => [event.event, event.subject, event.message]), [
      ['control.drain', 'instance', 'instance gw1 was drained by request'], ['control.undrain', 'instance', 'instance gw1 was taken back into use by request'],
    ]);
  });
  await withApi({ share: 'away' }, async ({ socket }) => {
    const outcome = await weir(['drain', '--socket', socket]);
    assert.equal(outcome, {
      exitCode: 1, out: 'instance gw1 is drained after 120 ms: not all that is shared is written, 1 virtual router without another master\n', writes: 1,
      err: 'weir: warning: the other instances may not know all flows of this one: the store cannot be reached\nweir: warning: virtual router lan-side: no other router is heard as its master yet\n',
    });
  });
});

test('a store that is away is told with since when and why, and leases then are our own only', async () => {
  await withApi({ share: 'away' }, async ({ socket }) => {
    const { exitCode, out, err } = await weir(['share', '--socket', socket]);
    assert.equal([exitCode, err], [1, '']);
    golden('share-away.txt', out);
    assert.is((await weir(['share', '-j', '--socket', socket])).exitCode, 1);
    const leases = await weir(['leases', '--socket', socket]);
    assert.equal([leases.exitCode, leases.err], [0, 'weir: warning: the store cannot be asked, so only what this instance has is known: connect ECONNREFUSED 10.0.9.1:6379\n']);
    assert.match(leases.out, /4 blocks leased, 4 of them by this instance\n$/);
    assert.not.match(leases.out, /gw2/);
    assert.match((await weir(['status', '--socket', socket])).out, /\nshare {4}gw1, degraded \(unreachable\) for 12 s, 1 peer, 4,711 changes wait, lag 12\.00 s\n/);
  });
  await withApi({ share: true }, async ({ socket, view }) => {
    const report = view.share();
    view.share = () => ({ ...report, status: { ...report.status!, warnings: ['Redis throws keys away when it is full.'] } });
    const { exitCode, out } = await weir(['share', '--socket', socket]);
    assert.is(exitCode, 0);
    assert.match(out, /\ntroubles {2}2 retried\nwarning {3}Redis throws keys away when it is full\.\n/);
  });
  await withApi({}, async ({ socket }) => {
    assert.equal(await weir(['share', '--socket', socket]), { exitCode: 0, out: 'instance gw1 shares nothing (share.store is memory)\n', err: '', writes: 1 });
    assert.is((await weir(['leases', '--socket', socket])).out, 'no leases\n');
    assert.is((await weir(['vrrp', '--socket', socket])).out, 'no virtual routers\n');
    assert.not.match((await weir(['status', '--socket', socket])).out, /share|Virtual routers/);
  });
});

test('drain, undrain and weight do as they are told, say how things stand, and warn', async () => {
  await withApi({}, async ({ socket, done }) => {
    const rows: [args: string[], out: string, err: string][] = [
      [['drain', 'uplink', 'isp1'], 'uplink isp1 takes no new flows; 3 flows on it may end in their own time\n', ''],
      [['drain', 'uplink', 'isp2'], 'uplink isp2 takes no new flows; 0 flows on it may end in their own time\n',
        'weir: warning: group internet has no other uplink that is up: its new flows meet its lastResort\n'],
      [['undrain', 'uplink', 'isp2'], 'uplink isp2 takes new flows again while it works\n', ''],
      [['weight', 'uplink', 'isp1', '5'], 'uplink isp1 has weight 5\n', ''],
      [['weight', 'uplink', 'isp1', '0'], 'uplink isp1 has weight 0: it takes no new flows\n', ''],
      [['undrain', 'uplink', 'isp1'], 'uplink isp1 takes new flows again as soon as its weight is not 0\n', ''],
    ];
    for (const [args, out, err] of rows) assert.equal(await weir([...args, '--socket', socket]), { exitCode: 0, out, err, writes: 1 }, args.join(' '));
    assert.equal(done, ['drain 0 true', 'drain 1 true', 'drain 1 false', 'weight 0 5', 'weight 0 0', 'drain 0 false']);
    const json = await weir(['drain', 'uplink', 'isp2', '-j', '--socket', socket]);
    const answer = JSON.parse(json.out) as UplinkAnswer;
    assert.equal([json.err, answer.schemaVersion, answer.uplink.name, answer.uplink.state, answer.warnings.length], ['', 1, 'isp2', 'drained', 1]);
    for (const args of [['drain', 'uplink', 'isp9'], ['weight', 'uplink', 'isp9', '1'], ['drain', 'uplink', '../isp9']]) {
      const outcome = await weir([...args, '--socket', socket]);
      assert.is(outcome.exitCode, 2);
      assert.is(outcome.err, `weir: there is no uplink '${args[2]}'; there is: isp1, isp2\n`);
    }
    const nothing = await weir(['drain', '--socket', socket]);
    assert.equal([nothing.exitCode, nothing.err],
      [2, 'weir: this instance takes part in nothing it could be drained of: found \'gw1\', allowed: a configuration with vrrp, or with share.store: redis\n']);
    const heavy = await weir(['weight', 'uplink', 'isp1', '65536', '--socket', socket]);
    assert.equal([heavy.exitCode, heavy.err], [2, 'weir: the weight is not a whole number in range: found \'65536\', allowed: 0 to 65535\n']);
  });
});

test('affinity is listed page by page, filtered and erased', async () => {
  await withApi({}, async ({ socket, done }) => {
    golden('affinity.txt', (await weir(['affinity', '--socket', socket])).out);
    golden('affinity.json', (await weir(['affinity', '-j', '--socket', socket])).out);
    assert.is((JSON.parse((await weir(['affinity', '-j', '--uplink', 'isp1', '--socket', socket])).out) as AffinityPage).affinity.length, 2);
    assert.match((await weir(['affinity', '--address', '10.9.9.9', '--socket', socket])).out, /^0 entries listed, 65,536 can be held/);
    assert.is((await weir(['affinity', '--erase', '10.0.1.8', '--socket', socket])).out, '1 entry erased\n');
    assert.is((await weir(['affinity', '-j', '--erase', '--socket', socket])).out, '{"schemaVersion":1,"erased":3,"erasedPersistence":0}\n');
    assert.equal(done, ['eraseAffinity 10.0.1.8', 'eraseAffinity ']);
    const wrong = await weir(['affinity', '--erase', 'everything', '--socket', socket]);
    assert.equal([wrong.exitCode, done.length], [2, 2]);
  });
});

test('persistence is listed page by page and filtered, and erased with affinity', async () => {
  await withApi({ servers: true }, async ({ socket, done }) => {
    golden('persistence.txt', (await weir(['persistence', '--socket', socket])).out);
    const json = await weir(['persistence', '-j', '--socket', socket]);
    golden('persistence.json', json.out);
    assert.equal((JSON.parse(json.out) as PersistencePage).persistence.map(({ client }) => client), ['203.0.113.0/24', '10.0.1.7/32']);
    assert.match((await weir(['persistence', '--server', 'dns', '--socket', socket])).out, /^CLIENT.*\n10\.0\.1\.7\/32 .*\n1 entry listed, 65,536 can be held; 2 flows were not remembered/);
    assert.match((await weir(['persistence', '--address', '10.9.9.9', '--socket', socket])).out, /^0 entries listed/);
    assert.is((await weir(['affinity', '--erase', '--socket', socket])).out, '3 entries erased, and 2 of persistence\n');
    assert.is((await weir(['affinity', '--erase', '10.0.1.8', '--socket', socket])).out, '1 entry erased\n');
    assert.equal(done, ['eraseAffinity ', 'eraseAffinity 10.0.1.8']);
    const wrong = await weir(['persistence', '--server', 'web9', '--socket', socket]);
    assert.equal([wrong.exitCode, wrong.out], [2, '']);
    assert.match(wrong.err, /there is no server 'web9'/);
  });
});

test('monitor leaves the events of flows out when told to', async () => {
  await withApi({}, async ({ socket, events }) => {
    events.emit('uplink.down', 'isp2', 'gateway 192.0.2.1 does not answer', { severity: 'warning' });
    for (let i = 0; i < 3; i++) events.emit('flow.reset', 'isp2', `tcp 10.0.1.${i}:5000 to 192.0.2.80:443 was reset: uplink isp2 went down`);
    events.emit('uplink.failover', 'isp2', 'uplink isp2 went down: of its flows 3 reset, 0 moved, 0 kept, 0 draining, within 0.4 ms');
    golden('monitor-failover.txt', (await weir(['monitor', '--last', '5', '--count', '5', '--socket', socket])).out);
    const quiet = await weir(['monitor', '--no-flows', '--last', '5', '--count', '2', '--socket', socket]);
    assert.equal(quiet.out.match(/(uplink|flow)\.\w+/g), ['uplink.down', 'uplink.failover']);
  });
});

test('status shows what became of hooks only when there were any', async () => {
  const hooks = { events: 9, eventsDropped: 0, waiting: 0, runs: 0, failures: 0, timeouts: 0 };
  await withApi({ hooks }, async ({ socket }) => assert.not.match((await weir(['status', '--socket', socket])).out, /hooks/));
  await withApi({ hooks: { ...hooks, runs: 1234, failures: 5, timeouts: 2, waiting: 1, eventsDropped: 7 } }, async ({ socket }) => {
    assert.match((await weir(['status', '--socket', socket])).out, /\nhooks {4}1,234 run, 5 failed, 2 of them took too long, 1 event waiting, 7 events dropped\n$/);
  });
});

test('status: trouble of uplinks stands before that of links', async () => {
  await withApi({ degraded: true }, async ({ socket, view }) => {
    const status = view.status.bind(view);
    view.status = () => ({ ...status(), problems: [
      { severity: 'warning', subject: 'link wan1', message: 'd' }, { severity: 'warning', subject: 'uplink isp1', message: 'c' },
      { severity: 'error', subject: 'link wan2', message: 'b' }, { severity: 'error', subject: 'group internet', message: 'a' },
    ] });
    const { exitCode, out } = await weir(['status', '--socket', socket]);
    assert.is(exitCode, 1);
    assert.equal(out.match(/^(error|warning) .*$/gm)!.map((line) => line.split(/ {2,}/)), [
      ['error', 'group internet', 'a'], ['error', 'link wan2', 'b'], ['warning', 'uplink isp1', 'c'], ['warning', 'link wan1', 'd'],
    ]);
  });
});

test('run hands the file and the options on and gives back the exit code', async () => {
  const calls: unknown[] = [];
  const actions = { async run(file: string, options: object): Promise<number> { calls.push([file, options]); return calls.length; } };
  assert.is((await weir(['run', '-c', 'a.yaml'], { actions })).exitCode, 1);
  assert.is((await weir(['run', '--log-level', 'debug'], { actions })).exitCode, 2);
  assert.equal(calls, [['a.yaml', {}], ['/etc/weir/weir.yaml', { logLevel: 'debug' }]]);
});

test('selftest hands its one option on and gives back the exit code', async () => {
  const calls: string[][] = [];
  const actions = { async selftest(args: string[]): Promise<number> { calls.push(args); return 1; } };
  assert.is((await weir(['selftest'], { actions })).exitCode, 1);
  assert.is((await weir(['selftest', '-j'], { actions })).exitCode, 1);
  assert.equal(calls, [[], ['--json']]);
});

test('lab hands everything on and gives back the exit code', async () => {
  const calls: string[][] = [];
  const actions = { async lab(args: string[]): Promise<number> { calls.push(args); return 42; } };
  assert.is((await weir(['lab', 'multiwan', '--raw', '-x', 'more'], { actions })).exitCode, 42);
  assert.is((await weir(['lab'], { actions })).exitCode, 42);
  assert.equal(calls, [['multiwan', '--raw', '-x', 'more'], []]);
});

test('check prints mistakes where editors find them, warnings beside a sound file, both as JSON', async () => {
  const warning = { file: 'w.yaml', line: 3, column: 5, path: 'links.lan', message: 'has no address' };
  const error = { file: 'w.yaml', line: 9, column: 7, path: 'uplinks.isp1.weight', found: '-1', allowed: 'a whole number from 0' };
  const good: CheckResult = { errors: [], warnings: [warning], counts: { links: 3, uplinks: 2, groups: 1, routes: 1, virtualServers: 0, realServers: 0, virtualRouters: 0 } };
  const bad: CheckResult = { errors: [error, { ...error, line: 0, path: '' }], warnings: [warning] };
  assert.equal(await weir(['check', '-c', 'w.yaml'], { actions: { check: async () => good } }), {
    exitCode: 0, out: 'w.yaml: sound: 3 links, 2 uplinks, 1 group, 1 route\n', err: 'w.yaml:3:5: links.lan: warning: has no address\n', writes: 1,
  });
  const serving: CheckResult = { ...good, warnings: [], counts: { ...good.counts!, virtualServers: 2, realServers: 5, virtualRouters: 2 } };
  assert.is((await weir(['check', '-c', 'w.yaml'], { actions: { check: async () => serving } })).out, 'w.yaml: sound: 3 links, 2 uplinks, 1 group, 1 route, 2 virtual servers of 5 real servers, 2 virtual routers\n');
  assert.equal(await weir(['check', '-c', 'w.yaml'], { actions: { check: async () => bad } }), {
    exitCode: 78, out: '', writes: 0,
    err: 'w.yaml:3:5: links.lan: warning: has no address\nw.yaml:9:7: uplinks.isp1.weight: found -1, allowed: a whole number from 0\nw.yaml: found -1, allowed: a whole number from 0\n',
  });
  const json = await weir(['check', '-j', '-c', 'w.yaml'], { actions: { check: async () => bad } });
  assert.is(json.exitCode, 78);
  assert.is(json.err, '');
  assert.equal(JSON.parse(json.out), { schemaVersion: 1, ok: false, file: 'w.yaml', errors: bad.errors, warnings: [warning], counts: null });
});

test('doctor prints a table with its advice below, and exits 1 when something is wrong', async () => {
  const checks: DoctorCheck[] = [
    { name: 'privileges', ok: true, detail: 'CAP_NET_ADMIN, CAP_NET_RAW', advice: null },
    { name: 'tun device', ok: false, detail: 'open /dev/net/tun: ENOENT', advice: 'modprobe tun' },
    { name: 'share: latency', ok: true, isWarning: true, detail: '30.00 ms to answer', advice: 'put the store nearer' },
  ];
  const bad = await weir(['doctor'], { actions: { probe: async () => checks } });
  assert.is(bad.exitCode, 1);
  golden('doctor.txt', bad.out);
  const json = await weir(['doctor', '-j'], { actions: { probe: async () => checks } });
  assert.is(json.exitCode, 1);
  assert.equal(JSON.parse(json.out), { schemaVersion: 1, ok: false, checks: checks.map((check) => ({ ...check, isWarning: check.isWarning ?? false })) });
  const good = await weir(['doctor'], { actions: { probe: async () => checks.slice(0, 1) } });
  assert.is(good.exitCode, 0);
  assert.match(good.out, /nothing is wrong\n$/);
  assert.is((await weir(['doctor'], { actions: { probe: async () => [checks[0]!, checks[2]!] } })).exitCode, 0);
  // It is told whose store to ask, and may ask a running weir.
  await withApi({ share: true }, async ({ socket }) => {
    const asked: unknown[] = [];
    await weir(['doctor', '-c', '/nowhere/w.yaml', '--socket', socket], { actions: { probe: async (file, ask) => { asked.push(file, (await ask())?.length); return []; } } });
    await weir(['doctor', '--socket', '/nowhere/weir.sock'], { actions: { probe: async (_, ask) => { asked.push(await ask()); return []; } } });
    assert.equal(asked, ['/nowhere/w.yaml', 2, null]);
  });
});

test.run();
