/** The metrics: judged by a strict reader of the text format, by promtool where it is installed, and against the view they are made from. */
import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigErrors } from '../../src/base/error.js';
import { VERDICTS } from '../../src/base/verdict.js';
import type { RouterView } from '../../src/control/api/types.js';
import { EventLog } from '../../src/control/event.js';
import { collectMetrics } from '../../src/control/metrics/collect.js';
import { startMetrics } from '../../src/control/metrics/server.js';
import { MetricsPage } from '../../src/control/metrics/text.js';
import { FakeView } from '../support/fake-view.js';
import type { FakeOptions } from '../support/fake-view.js';

interface Family { help: string; type: string; samples: Map<string, { labels: Record<string, string>; value: number }> }

/**
 * A page of version 0.0.4 to its families, by the format's own description. Throws at anything that is not in it, and at what Prometheus takes but should never be sent: a
 * family without a sentence or a type, one that comes in two parts, one sample twice.
 */
function readPage(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: string | null = null;
  let help: { name: string; text: string } | null = null;
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line does not end');
  text.split('\n').slice(0, -1).forEach((line, index) => {
    const fail = (why: string): never => { throw new Error(`line ${index + 1}: ${why}: ${line}`); };
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/s.exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      if (families.has(name)) fail('a family that was there already');
      if (kind === 'HELP') {
        if (help !== null) fail('two sentences in a row');
        if (rest.replaceAll(/\\[\\n]/g, '').includes('\\')) fail('a backslash that escapes nothing');
        help = { name, text: rest };
      } else {
        if (help?.name !== name) fail('a type without its sentence right before it');
        if (!['counter', 'gauge', 'histogram', 'summary', 'untyped'].includes(rest)) fail('no type');
        families.set(name, { help: help!.text, type: rest, samples: new Map() });
        current = name;
        help = null;
      }
      return;
    }
    if (line.startsWith('#') || line === '') fail('neither a sentence nor a type nor a sample');
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]Inf|[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)$/s.exec(line);
    if (sample === null) return fail('no sample');
    const [, name, labelText, valueText] = sample as unknown as [string, string, string | undefined, string];
    if (name !== current) fail('a sample outside of its family');
    const labels: Record<string, string> = {};
    if (labelText !== undefined) {
      const pair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/gy;
      for (let at = 0; at < labelText.length; at = pair.lastIndex) {
        pair.lastIndex = at;
        const found = pair.exec(labelText);
        if (found === null) return fail('no label');
        if (found[1]! in labels) fail('a label twice');
        labels[found[1]!] = found[2]!.replaceAll(/\\(.)/gs, (_, letter: string) => (letter === 'n' ? '\n' : letter));
      }
    }
    const family = families.get(name)!;
    const key = JSON.stringify(Object.entries(labels).sort());
    if (family.samples.has(key)) fail('a sample that was there already');
    const value = valueText === '+Inf' ? Infinity : valueText === '-Inf' ? -Infinity : Number(valueText);
    if (family.type === 'counter' && !(value >= 0)) fail('a counter below 0');
    family.samples.set(key, { labels, value });
  });
  if (help !== null) throw new Error('a sentence without a type');
  for (const [name, { samples, type }] of families) {
    if (samples.size === 0) throw new Error(`${name} has no samples`);
    if ((type === 'counter') !== name.endsWith('_total')) throw new Error(`${name} is a ${type}`);
    const sets = new Set([...samples.values()].map(({ labels }) => Object.keys(labels).sort().join()));
    if (sets.size > 1) throw new Error(`${name} has samples with different labels`);
  }
  return families;
}

const EVENTS = new EventLog();
const HOOKS = { events: 5, eventsDropped: 1, waiting: 0, runs: 4, failures: 2, timeouts: 1 };
const pageOf = (view: RouterView): string => collectMetrics({ version: '0.1.0', view, events: EVENTS.counts, hooks: HOOKS });
const valueOf = (families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined =>
  families.get(name)?.samples.get(JSON.stringify(Object.entries(labels).sort()))?.value;

const VIEWS: FakeOptions[] = [{}, { flows: 6, servers: true, share: true }, { degraded: true, share: 'away' }];

test('the reader refuses what is not the format', () => {
  const good = '# HELP weir_a_total A.\n# TYPE weir_a_total counter\nweir_a_total{b="c"} 1\n';
  assert.is(readPage(good).get('weir_a_total')!.samples.size, 1);
  for (const bad of [
    good.slice(0, -1), good.replace('# HELP weir_a_total A.\n', ''), good.replace('# TYPE weir_a_total counter\n', ''), `${good}${good}`, `${good}weir_a_total{b="c"} 2\n`, good.replace(' 1\n', ' one\n'),
    good.replace(' 1\n', ' -1\n'), good.replace('b="c"', 'b=c'), good.replace('b="c"', 'b="c'), good.replace('b="c"', 'b="\\c"'), good.replace('b="c"', '9="c"'), good.replace('b="c"', 'b="c",b="d"'),
    good.replace('counter', 'count'), good.replaceAll('_total', ''), `${good}\n`, `# a remark\n${good}`, `${good}weir_a_total{d="c"} 1\n`, '# HELP weir_a A.\n# TYPE weir_a gauge\n', '# HELP weir_a A.\n',
    good.replace('A.', 'A\\b.'),
  ]) assert.throws(() => readPage(bad), undefined, JSON.stringify(bad));
});

test('every page is in the format, with a sentence and a type for each family', () => {
  for (const options of VIEWS) {
    const families = readPage(pageOf(new FakeView(options)));
    assert.ok(families.size > 60, String(families.size));
    for (const [name, { help }] of families) {
      assert.match(name, /^weir_[a-z0-9_]+$/);
      assert.match(help, /^[A-Z].*\.$/, name);
      // Base units: no milliseconds, no bits, no percent.
      assert.not.match(name, /_(?:ms|us|milliseconds|microseconds|kb|mb|bits|percent|bps|minutes|hours)(?:_|$)/, name);
    }
  }
});

test('promtool agrees, where it is installed', () => {
  for (const options of VIEWS) {
    const { error, status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], { input: pageOf(new FakeView(options)), encoding: 'utf8' });
    if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return;
    assert.equal([status, stdout + stderr], [0, '']);
  }
});

test('what is counted is what the view says, in base units', () => {
  const view = new FakeView({ flows: 6, servers: true, share: true });
  const families = readPage(pageOf(view));
  const status = view.status();
  assert.is(valueOf(families, 'weir_build_info', { version: '0.1.0' }), 1);
  assert.is(valueOf(families, 'weir_up'), 1);
  assert.is(valueOf(families, 'weir_uptime_seconds'), 11_220);
  assert.is(valueOf(families, 'weir_flows'), 6);
  assert.is(valueOf(families, 'weir_flows_opened_total'), status.flows.opened);
  assert.is(valueOf(families, 'weir_longest_turn_seconds'), 812e-6);
  for (const link of status.links) assert.is(valueOf(families, 'weir_link_receive_bytes_total', { link: link.name, type: link.type }), link.rxBytes);
  assert.is(valueOf(families, 'weir_uplink_check_latency_seconds', { uplink: 'isp1', link: 'wan1' }), 0.0124);
  assert.is(valueOf(families, 'weir_uplink_check_latency_seconds', { uplink: 'isp2', link: 'wan2' }), undefined);
  assert.is(valueOf(families, 'weir_uplink_ports', { uplink: 'isp1', link: 'wan1' }), 129_024);
  assert.is(valueOf(families, 'weir_virtual_server_up', { virtual_server: 'all' }), 0);
  assert.is(valueOf(families, 'weir_real_server_up', { virtual_server: 'web', real_server: 'web2' }), 1);
  assert.is(valueOf(families, 'weir_real_server_up', { virtual_server: 'dns', real_server: 'ns1' }), 0);
  assert.is(valueOf(families, 'weir_real_server_weight', { virtual_server: 'web', real_server: 'sorry' }), 0);
  // Every reason is there, also those that have not been: else the first drop of its kind would be no increase.
  const drops = VERDICTS.filter(({ kind }) => kind === 'drop');
  assert.is(families.get('weir_drops_total')!.samples.size, drops.length);
  assert.is(valueOf(families, 'weir_drops_total', { reason: 'martian_source' }), 43);
  assert.is(valueOf(families, 'weir_vrrp_master', { virtual_router: 'lan-side', link: 'lan' }), 1);
  assert.is(valueOf(families, 'weir_vrrp_effective_priority', { virtual_router: 'wan-side', link: 'wan2' }), 100);
  assert.is(valueOf(families, 'weir_share_usable'), 1);
  assert.is(valueOf(families, 'weir_share_lag_seconds'), 0.002);
  assert.is(valueOf(families, 'weir_share_written_records_total'), 2_345_678);
  assert.is(valueOf(families, 'weir_share_peer_heard_seconds', { instance: 'gw2' }), 0.4);
  assert.is(valueOf(families, 'weir_lease_held_blocks', { address: '203.0.113.20' }), 3);
  assert.is(valueOf(families, 'weir_hooks_failed_total'), 2);
  const away = readPage(pageOf(new FakeView({ share: 'away', degraded: true })));
  assert.is(valueOf(away, 'weir_up'), 0);
  assert.is(valueOf(away, 'weir_problems', { severity: 'error' }), 1);
  assert.is(valueOf(away, 'weir_share_usable'), 0);
  assert.is(valueOf(away, 'weir_share_trouble', { kind: 'unreachable' }), 1);
  assert.not.ok(readPage(pageOf(new FakeView())).has('weir_share_usable'), 'nothing is shared');
});

test('labels come back as they went, whatever is in them', () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 3 }), fc.double(), (values, value) => {
    const labels = Object.fromEntries(values.map((text, i) => [`l${i}`, text]));
    const page = new MetricsPage();
    page.family('weir_a', 'gauge', 'A\\ sentence\nin two lines.')(value, labels);
    const [sample] = readPage(page.toString()).get('weir_a')!.samples.values();
    assert.equal(sample!.labels, labels);
    assert.ok(Object.is(sample!.value, value) || sample!.value === value, `${value}`);
  }));
});

test('a page refuses names that would make it unreadable', () => {
  const page = new MetricsPage();
  page.family('weir_held', 'gauge', 'A.')(1);
  for (const [name, type] of [['weir a', 'gauge'], ['9a', 'gauge'], ['weir_b', 'counter'], ['weir_b_total', 'gauge'], ['weir_held', 'gauge'], ['weir_held_total', 'counter']] as const) {
    assert.throws(() => page.family(name, type, 'B.'), undefined, name);
  }
  const sample = page.family('weir_c', 'gauge', 'C.');
  for (const name of ['a-b', '__name__', '1', '']) assert.throws(() => sample(1, { [name]: 'x' }), undefined, name);
  sample(1, { a: 'b' });
  assert.throws(() => sample(2, { a: 'b' }), /already/);
  sample(null, { a: 'c' });
  assert.is(readPage(page.toString()).get('weir_c')!.samples.size, 1);
});

interface Answer { status: number; headers: IncomingHttpHeaders; text: string }

function ask(port: number, path: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, agent: false, timeout: 5000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => { text += chunk; });
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

test('they are fetched by HTTP, and nothing else is', async () => {
  let view: RouterView | null = null;
  let nowMs = 0;
  const options = { listen: { address: '127.0.0.1', port: 0 }, version: '0.1.0', configFile: '/etc/weir/weir.yaml', view: () => view, events: EVENTS, hooks: () => null, nowMs: () => nowMs };
  const server = await startMetrics(options);
  try {
    assert.equal(await ask(server.port, '/metrics').then(({ status, text }) => [status, text]), [503, 'weir is still starting\n']);
    const fake = new FakeView({ flows: 3 });
    view = fake;
    const { status, headers, text } = await ask(server.port, '/metrics');
    assert.equal([status, headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    assert.is(valueOf(readPage(text), 'weir_flows'), 3);
    // Asked again at once it is the same page; a moment later it is a new one.
    view = new FakeView({ flows: 4 });
    assert.is(valueOf(readPage((await ask(server.port, '/metrics?again')).text), 'weir_flows'), 3);
    nowMs = 1000;
    assert.is(valueOf(readPage((await ask(server.port, '/metrics')).text), 'weir_flows'), 4);
    const head = await ask(server.port, '/metrics', 'HEAD');
    assert.equal([head.status, head.text, Number(head.headers['content-length']) > 1000], [200, '', true]);
    assert.is((await ask(server.port, '/')).status, 404);
    assert.is((await ask(server.port, '/api/v1/status')).status, 404);
    const post = await ask(server.port, '/metrics', 'POST');
    assert.equal([post.status, post.headers.allow], [405, 'GET, HEAD']);
    nowMs = 2000;
    const broken = new FakeView();
    broken.failure = new Error('a programmer\'s mistake');
    view = broken;
    assert.equal(await ask(server.port, '/metrics').then((answer) => [answer.status, answer.text]), [500, 'weir failed to answer; its log says why\n']);
    const taken = await startMetrics({ ...options, listen: { address: '127.0.0.1', port: server.port } }).then(() => null, (error: unknown) => error);
    assert.instance(taken, ConfigErrors);
    assert.is((taken as ConfigErrors).message, `/etc/weir/weir.yaml: control.metrics: found '127.0.0.1:${server.port}' (something else listens there, EADDRINUSE), allowed: an address of this box with a port that is free, or off`);
    const elsewhere = await startMetrics({ ...options, listen: { address: '192.0.2.77', port: 0 } }).then(() => null, (error: unknown) => error);
    assert.match((elsewhere as Error).message, /no address of this box, EADDRNOTAVAIL/);
  } finally {
    await server.close();
  }
});

test.run();
