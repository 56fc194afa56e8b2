/**
 * Real servers that fail and are spared under 200 requests a second, in the lab of the Linux Virtual Server project: killed, gone with their host, drained,
 * and all of them at once while a sorry server stands in. No request hangs, after detection none fails, a drain loses none, and a UDP flow whose
 * server is gone goes on with another.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Datagrams, serveDatagrams, tally } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { FILE_BYTES, Requests, WebServer, type RequestResult } from '../../netns/kit/web.js';
import { LvsNat, VIRTUAL, WEB1, WEB2 } from '../../netns/lvs-nat.js';
import type { RealServerStatus, VirtualServerList, VirtualServerStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';
import { ended, events, noneFailed, noneHung, told, WAIT_MS } from './virtual-servers.js';

const PER_SECOND = 200;
/** A request that has not ended by then hangs. */
const LIMIT_MS = 15_000;
/** From its start, or from when its server was found down, to its end at most: what a machine that stalls needs. */
const END_MS = 5000;
/** Answers take milliseconds; this is so that a machine that stalls makes nobody seem dead, nor keeps anybody down for having seemed so. */
const USUAL = { interval: '500ms', timeout: '500ms', fall: 3, rise: 2, damping: 'off' };
/** By then what is silent must have been found down: three intervals, and as long again for that machine. */
const DETECTED_MS = 6000;
const MANY = 400;
const SORRY_PORT = 8081;
const DATAGRAM_PORT = 7000;
/** Downloads under way while a server is drained, and the client's port of the first. */
const DOWNLOADS = 6;
const DOWNLOAD_PORT = 20_001;
const CHECKED = {
  links: { host: { type: 'tun', device: 'weir0', addresses: ['100.64.0.1/30'], peer: '100.64.0.2' } },
  virtualServers: {
    // By turns: least connections would give a server that has come back everything, until it has as many ended flows to remember as the other.
    web: { scheduler: 'wrr', check: { tcp: {}, ...USUAL }, sorry: `${WEB1}:${SORRY_PORT}` },
    // The stronger one has all, while it works.
    datagrams: {
      listen: `${VIRTUAL}:${DATAGRAM_PORT}/udp`, scheduler: 'fo', check: { udp: { send: 'weir', expect: 'web' }, ...USUAL },
      realServers: { web1: { address: `${WEB1}:${DATAGRAM_PORT}`, weight: 1 }, web2: { address: `${WEB2}:${DATAGRAM_PORT}`, weight: 2 } },
    },
  },
};

interface Context { lab: LvsNat }
type Name = 'web1' | 'web2';

const rows = suite<Context>('real servers that fail and are drained under 200 requests a second');
rows.before(telling(async (context) => {
  context.lab = await LvsNat.up({ more: CHECKED });
  const { hosts } = context.lab;
  await Promise.all([WebServer.start(hosts.web1, SORRY_PORT, 'sorry'), ...Object.values(hosts).map((host) => serveDatagrams(host, DATAGRAM_PORT))]);
  for (const [server, name] of [['web', 'web1'], ['web', 'web2'], ['datagrams', 'web1'], ['datagrams', 'web2']] as const) await stands(context.lab, server, name, 'up');
}));
rows.after((context) => context.lab?.close());

const start = (lab: LvsNat): Promise<Requests> => Requests.start(lab.client, VIRTUAL, 80, { perSecond: PER_SECOND, limitMs: LIMIT_MS });
const whoAnswered = (results: readonly RequestResult[]): string[] => [...tally(results.filter(({ ok }) => ok).map(({ server }) => server)).keys()].sort();

async function virtualServer(lab: LvsNat, name: string): Promise<VirtualServerStatus> {
  const { virtualServers } = await lab.weir.api<VirtualServerList>('servers');
  return virtualServers.find((row) => row.name === name)!;
}

/** Waits until a real server is shown in this state. */
function stands(lab: LvsNat, server: string, name: string, state: RealServerStatus['state']): Promise<RealServerStatus> {
  return waitFor(async () => {
    const real = (await virtualServer(lab, server)).realServers.find((row) => row.name === name)!;
    return real.state === state ? real : null;
  }, WAIT_MS, `${server}/${name} to be ${state}`);
}

/** Every one ended soon after it began, or after the one it was given to was found down. */
function endedSoon(results: readonly RequestResult[], downAtMs: number): void {
  noneHung(results);
  assert.equal(results.filter(({ atMs, tookMs }) => atMs + tookMs > Math.max(atMs, downAtMs) + END_MS), []);
}

/** web2 fails under load and comes back: nothing hangs, nothing fails between the detection and the return nor after it, and it serves again. */
async function fails(lab: LvsNat, what: { fail(): Promise<void> | void; mend(): Promise<void> | void; also?: string }): Promise<{ failedAtMs: number; downAtMs: number; mendedAtMs: number }> {
  const known = events(lab.weir).length;
  const requests = await start(lab);
  const before = await ended(requests, 0, MANY / 2);
  noneFailed(before, 'before');
  assert.equal(whoAnswered(before), ['web1', 'web2']);
  const failedAtMs = Date.now();
  await what.fail();
  let down, mendedAtMs;
  try {
    down = await told(lab.weir, known, 'server.down', 'web/web2');
    const shown = await stands(lab, 'web', 'web2', 'down');
    assert.match(shown.reason ?? '', /tcp/);
    assert.ok(shown.health?.isUp === false && shown.sinceMs >= failedAtMs, JSON.stringify(shown));
    await ended(requests, down.atMs, MANY);
    if (what.also !== undefined) await told(lab.weir, known, 'server.down', what.also);
  } finally {
    mendedAtMs = Date.now();
    await what.mend();
  }
  const up = await told(lab.weir, known, 'server.up', 'web/web2');
  const back = await ended(requests, up.atMs, MANY);
  const results = await requests.stop();
  endedSoon(results, down.atMs);
  const during = results.filter(({ atMs }) => atMs > down.atMs && atMs < mendedAtMs);
  assert.ok(during.length >= MANY);
  noneFailed(during, 'after detection');
  assert.equal(whoAnswered(during), ['web1']);
  noneFailed(results.filter(({ atMs }) => atMs > mendedAtMs), 'after the return');
  assert.ok(back.some(({ server }) => server === 'web2'), 'it serves again');
  await stands(lab, 'web', 'web2', 'up');
  return { failedAtMs, downAtMs: down.atMs, mendedAtMs };
}

rows('a web server killed: who was given to it is refused at once until it is found down', async ({ lab }) => {
  const { web2 } = lab.web;
  await fails(lab, { fail: () => web2.kill(), mend: () => web2.start() });
});

// conforms: vs-down
rows('a real server gone with its host: who waits for it is reset when it is found down, and a UDP flow goes on with the other', async ({ lab }) => {
  const datagrams = await Datagrams.start(lab.client, VIRTUAL, DATAGRAM_PORT, { localPort: 5353, perSecond: 50 });
  const known = events(lab.weir).length;
  const { failedAtMs, downAtMs, mendedAtMs } = await fails(lab, { fail: () => lab.cables.web2.cut(), mend: () => lab.cables.web2.plug(), also: 'datagrams/web2' });
  assert.ok(downAtMs - failedAtMs <= DETECTED_MS, `found down after ${downAtMs - failedAtMs} ms`);
  const { atMs } = await told(lab.weir, known, 'server.down', 'datagrams/web2');
  const answers = await waitFor(() => {
    const some = datagrams.answers();
    return some.filter((answer) => answer.atMs > atMs).length >= 100 ? some : null;
  }, WAIT_MS, 'a hundred datagrams to be answered after that');
  await datagrams.stop();
  const by = (from: number, to: number): string[] => [...tally(answers.filter((answer) => answer.atMs > from && answer.atMs < to).map(({ server }) => server)).keys()];
  assert.equal(by(0, failedAtMs), ['web2']);
  // It stays where it is, also when the other is back.
  assert.equal(by(atMs, Infinity), ['web1']);
  // Numbered as they were sent: none is missing between the detection and the return.
  const numbers = answers.filter((answer) => answer.atMs > atMs && answer.atMs < mendedAtMs).map(({ number }) => number).sort((a, b) => a - b);
  assert.ok(numbers.length >= 20, `${numbers.length} datagrams were answered by the other`);
  assert.is(numbers.at(-1)! - numbers[0], numbers.length - 1, 'none was lost after detection');
});

// conforms: vs-drain
rows('a drain loses nothing: new flows go elsewhere, those under way end whole', async ({ lab }) => {
  const requests = await start(lab);
  const out = join(lab.lab.directory, 'slow');
  await ended(requests, 0, MANY / 2);
  // So many that web2 has some, of several seconds.
  const downloads = Array.from({ length: DOWNLOADS }, (_, i) => lab.client.run(['curl', '-sS', '--fail', '-m', '60', '--local-port', String(DOWNLOAD_PORT + i), '-o', `${out}-${i}`, `${lab.url}slow`], { timeoutMs: 70_000, check: false }));
  // By the ports they have for themselves: a request under way is none.
  await waitFor(() => lab.hosts.web2.runNow(['ss', '-Htn', 'state', 'established', `dport >= :${DOWNLOAD_PORT} and dport < :${DOWNLOAD_PORT + DOWNLOADS}`]).stdout.trim() !== '', WAIT_MS, 'web2 to have a download');
  await lab.weir.ask('drain', 'server', 'web/web2');
  // The data plane has its mail by the time a request that began after the answer has ended.
  const drainedAtMs = (await ended(requests, Date.now(), 20)).at(-1)!.atMs;
  const shown = await stands(lab, 'web', 'web2', 'drained');
  assert.ok(shown.isDrained && shown.active > 0 && shown.effectiveWeight === 0 && shown.weight === 2, JSON.stringify(shown));
  await ended(requests, drainedAtMs, MANY);
  const undrainAtMs = Date.now();
  await lab.weir.ask('undrain', 'server', 'web/web2');
  await waitFor(() => requests.results().some(({ atMs, server }) => atMs >= undrainAtMs && server === 'web2'), WAIT_MS, 'web2 to serve again');
  const results = await requests.stop();
  noneFailed(results, 'all along');
  const during = results.filter(({ atMs }) => atMs > drainedAtMs && atMs < undrainAtMs);
  assert.ok(during.length >= MANY);
  assert.equal(whoAnswered(during), ['web1']);
  assert.equal((await Promise.all(downloads)).map(({ stderr }) => stderr).filter((text) => text !== ''), []);
  const hash = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
  const whole = (name: Name): string => hash(Buffer.alloc(FILE_BYTES, `${name} `));
  const fetched = downloads.map((_, i) => hash(readFileSync(`${out}-${i}`)));
  assert.equal(fetched.filter((one) => one !== whole('web1') && one !== whole('web2')), []);
  assert.ok(fetched.includes(whole('web2')), 'web2 had downloads, and they ended whole');
});

// conforms: vs-nobody
rows('both killed: the sorry server stands in, and steps back when one returns', async ({ lab }) => {
  const { web1, web2 } = lab.web;
  const known = events(lab.weir).length;
  const requests = await start(lab);
  await ended(requests, 0, MANY / 2);
  await Promise.all([web1.kill(), web2.kill()]);
  const down = await told(lab.weir, known, 'virtual-server.down', 'web');
  const shown = await virtualServer(lab, 'web');
  assert.equal([shown.state, shown.usableWeight, shown.realServers.map(({ state }) => state)], ['down', 0, ['down', 'down']]);
  const sorry = await ended(requests, down.atMs, MANY);
  const mendedAtMs = Date.now();
  await web1.start();
  const up = await told(lab.weir, known, 'virtual-server.up', 'web');
  await ended(requests, up.atMs, MANY);
  const results = await requests.stop();
  endedSoon(results, down.atMs);
  const during = results.filter(({ atMs }) => atMs > down.atMs && atMs < mendedAtMs);
  assert.ok(during.length >= MANY && sorry.length >= MANY);
  noneFailed(during, 'while the sorry server stands in');
  assert.equal(whoAnswered(during), ['sorry']);
  const back = results.filter(({ atMs }) => atMs > up.atMs);
  noneFailed(back, 'after the return');
  assert.equal(whoAnswered(back), ['web1']);
  await web2.start();
  await stands(lab, 'web', 'web2', 'up');
  assert.is((await virtualServer(lab, 'web')).state, 'up');
});
rows.run();
