/**
 * An operator at work on a running router: drains an uplink under load and takes it back, changes weights, proves the split from the box itself, looks at
 * affinity and erases it, publishes a server, drains and flushes it, and has hooks told of all that.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TCP_PORT, tally, tcpFlows, TrafficServer } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { weir, WEIR } from '../../netns/kit/weir.js';
import { Multiwan, PC1, SERVER, WAN1, WAN2 } from '../../netns/multiwan.js';
import type { SplitResult } from '../../src/cli/split-test.js';
import type { AffinityPage, FlowPage, RealServerStatus, StreamedEvent, UplinkList, UplinkStatus, VirtualServerList } from '../../src/control/api/types.js';
import { telling } from './telling.js';

const ECHO_PORT = 7000;
const STICKY_PORT = 7000;
const VIRTUAL_PORT = 8080;
const WAIT_MS = 15_000;

interface Context { lab: Multiwan; out: string; /** Its exit code is what the file holds. */ load: string }

const uplinks = async (lab: Multiwan): Promise<UplinkStatus[]> => (await lab.weir.api<UplinkList>('uplinks')).uplinks;

const realServers = async (lab: Multiwan): Promise<RealServerStatus[]> => (await lab.weir.askJson<VirtualServerList>('servers', 'web')).virtualServers[0].realServers;

/** How many of so many new flows from outside to the virtual server were served. */
async function served(lab: Multiwan, count: number): Promise<number> {
  return (await tcpFlows(lab.server, WAN1, count, { port: VIRTUAL_PORT })).filter((flow) => flow.ok).length;
}

/** New flows of PC1 by the address the server saw. */
async function drawn(lab: Multiwan, count: number): Promise<ReadonlyMap<string, number>> {
  const flows = await tcpFlows(lab.pc1, SERVER, count);
  assert.equal(flows.filter((flow) => !flow.ok), []);
  return tally(flows.map((flow) => flow.peer ?? ''));
}

async function split(lab: Multiwan, ...args: string[]): Promise<{ code: number; result: SplitResult; text: string }> {
  const { code, stdout, stderr } = await lab.router.run([WEIR, 'uplinks', '--test', '-j', '--to', `${SERVER}:${ECHO_PORT}`, '--socket', lab.weir.socket, ...args], { check: false, timeoutMs: 60_000 });
  return { code, result: JSON.parse(stdout || '{}') as SplitResult, text: `${stdout}${stderr}` };
}

const control = suite<Context>('control of a running router');

control.before(telling(async (context) => {
  context.lab = await Multiwan.up({ form: 'raw', weights: [3, 1], start: false });
  const { lab } = context;
  const directory = join(lab.lab.directory, 'hooks.d');
  context.out = join(lab.lab.directory, 'hooked');
  mkdirSync(directory, { mode: 0o755 });
  mkdirSync(context.out);
  chmodSync(context.out, 0o777);
  const hook = join(directory, '10-note');
  writeFileSync(hook, `#!/bin/sh\ncat >> ${context.out}/$WEIR_EVENT\n`);
  chmodSync(hook, 0o755);
  context.load = join(lab.lab.directory, 'load');
  writeFileSync(context.load, '7');
  const pace = { interval: '200ms', timeout: '150ms', fall: 2, rise: 1 };
  lab.weir.dropIn('60-control', {
    hooks: { directory, user: 'root' },
    policies: { sticky: { protocol: 'udp', ports: STICKY_PORT, group: 'internet', affinity: { by: 'source', timeout: '10m' } } },
    virtualServers: {
      web: {
        listen: `${WAN1}:${VIRTUAL_PORT}/tcp`, scheduler: 'wrr', persistence: { timeout: '10m' }, realServers: {
          one: { address: `${PC1}:${TCP_PORT}`, weight: 2, check: { tcp: {}, ...pace } },
          gone: { address: `${PC1}:7099`, check: { tcp: {}, ...pace } },
          // Takes no flows until the script gives it a weight: nobody serves there.
          scripted: { address: `${PC1}:7098`, weight: 0, check: { script: { command: ['/bin/sh', '-c', `exit $(cat ${context.load})`], user: 'root', setsWeight: true }, ...pace, interval: '1s', timeout: '1s' } },
        },
      },
    },
  });
  await lab.start();
  await Promise.all([lab.service(), TrafficServer.start(lab.pc1)]);
}));
control.after((context) => context.lab?.close());

control('drained, an uplink gets no new flow from that moment on; taken back, it gets its share', async ({ lab }) => {
  assert.equal([...(await drawn(lab, 60)).keys()].sort(), [WAN1, WAN2]);
  const drained = await weir(lab.weir.socket, 'drain', 'uplink', 'isp1');
  assert.equal([drained.code, drained.stderr], [0, '']);
  await waitFor(async () => (await uplinks(lab))[0].state === 'drained', WAIT_MS, 'isp1 to be drained');
  assert.equal([...(await drawn(lab, 60)).keys()], [WAN2]);
  const [one] = await uplinks(lab);
  assert.equal([one.reason, one.isDrained, one.wantedShare], ['drained by hand', true, 0]);

  const last = await weir(lab.weir.socket, 'drain', 'uplink', 'isp2');
  assert.match(last.stderr, /group internet has no other uplink that is up/);
  await weir(lab.weir.socket, 'undrain', 'uplink', 'isp2');
  await weir(lab.weir.socket, 'undrain', 'uplink', 'isp1');
  await waitFor(async () => (await uplinks(lab)).every((row) => row.state === 'up'), WAIT_MS, 'both uplinks to be up');
  assert.equal([...(await drawn(lab, 60)).keys()].sort(), [WAN1, WAN2]);
});

control('the split is proven from the box, follows new weights, and the proof fails where it should', async ({ lab }) => {
  const usual = await split(lab, '--flows', '300');
  assert.is(usual.code, 0, usual.text);
  assert.equal([usual.result.unseen, usual.result.failed, usual.result.uplinks.map((row) => row.weight)], [0, [], [3, 1]]);
  for (const [name, weight] of [['isp1', '1'], ['isp2', '4']]) assert.is((await weir(lab.weir.socket, 'weight', 'uplink', name, weight)).code, 0);
  const changed = await split(lab, '--flows', '300');
  assert.is(changed.code, 0, changed.text);
  assert.equal(changed.result.uplinks.map((row) => row.weight), [1, 4]);
  assert.ok(changed.result.uplinks[1].flows > changed.result.uplinks[0].flows, changed.text);
  for (const [name, weight] of [['isp1', '3'], ['isp2', '1']]) await weir(lab.weir.socket, 'weight', 'uplink', name, weight);
  const closed = await lab.router.run([WEIR, 'uplinks', '--test', '--to', `${SERVER}:1`, '--flows', '5', '--socket', lab.weir.socket], { check: false, timeoutMs: 60_000 });
  assert.is(closed.code, 1);
  assert.match(closed.stdout, /5 flows could not be opened: ECONNREFUSED/);
});

control('affinity is listed and erased', async ({ lab }) => {
  await lab.pc1.run(['python3', '-c', `import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('${SERVER}', ${STICKY_PORT}))`]);
  const page = await waitFor(async () => {
    const listed = await lab.weir.askJson<AffinityPage>('affinity', '--address', PC1);
    return listed.affinity.length > 0 ? listed : null;
  }, WAIT_MS, 'the affinity of PC1');
  const [row] = page.affinity;
  assert.equal([row.group, row.policy, row.source, row.destination], ['internet', 'sticky', PC1, null]);
  assert.ok(['isp1', 'isp2'].includes(row.uplink) && row.expiresInMs > 0 && row.expiresInMs <= 600_000, JSON.stringify(row));
  assert.is((await weir(lab.weir.socket, 'affinity', '--erase', PC1)).stdout, '1 entry erased\n');
  await waitFor(async () => (await lab.weir.api<AffinityPage>('affinity')).affinity.length === 0, WAIT_MS, 'no affinity');
});

control('rates are shown while something is sent', async ({ lab }) => {
  await waitFor(async () => {
    await drawn(lab, 40);
    return (await uplinks(lab)).every((row) => row.txBps > 0 && row.rxBps > 0);
  }, WAIT_MS, 'rates of both uplinks');
});

control('servers are checked by the box, and a script gives its server a weight', async ({ lab, load }) => {
  const rows = await waitFor(async () => {
    const all = await realServers(lab);
    return all[1].state === 'down' && all[2].weight === 5 ? all : null;
  }, WAIT_MS, 'the verdicts of the checks');
  assert.equal(rows.map(({ name, state, weight }) => `${name} ${state} ${weight}`), ['one up 2', 'gone down 1', 'scripted up 5']);
  assert.is(rows[1].reason, `tcp ${PC1}:7099: connection refused`);
  assert.ok((rows[0].health?.latencyMs ?? 0) > 0);
  writeFileSync(load, '2');
  await waitFor(async () => (await realServers(lab))[2].state === 'drained', WAIT_MS, 'the script to take its server out of use');
  assert.match(await lab.weir.ask('servers'), /\n {2}gone .* down .* tcp 192\.168\.0\.4:7099: connection refused\n/);
});

control('a drained server gets no new flow and keeps what it has; flushed, it has none any more', async ({ lab }) => {
  assert.is(await served(lab, 20), 20);
  // Says what becomes of a connection it holds, as soon as that is known.
  const held = lab.server.spawn('held', ['python3', '-c', `
import socket
s = socket.create_connection(('${WAN1}', ${VIRTUAL_PORT}))
print('open', flush=True)
try:
    while s.recv(4096): pass
    print('ended', flush=True)
except OSError as error: print(error.strerror, flush=True)`]);
  await waitFor(() => held.output().includes('open'), WAIT_MS, 'the connection');
  const ofOne = async (): Promise<FlowPage['flows']> => (await lab.weir.askJson<FlowPage>('flows', '--server', 'web/one', '--state', 'established')).flows;
  await waitFor(async () => (await ofOne()).length === 1, WAIT_MS, 'the flow in the table');
  const [flow] = await ofOne();
  assert.equal([flow.server, flow.original.destinationPort, flow.reply.source, flow.reply.sourcePort], ['web/one', VIRTUAL_PORT, PC1, TCP_PORT]);

  const drained = await weir(lab.weir.socket, 'maint', 'server', 'web/one', '--reason', 'new disk');
  assert.is(drained.code, 0);
  assert.match(drained.stderr, /virtual server web has no other real server that takes flows: its new flows are refused/);
  await waitFor(async () => (await lab.weir.askJson<VirtualServerList>('servers')).virtualServers[0].state === 'down', WAIT_MS, 'the virtual server to be down');
  const status = await lab.weir.ask('status');
  assert.match(status, /virtual server web +no real server takes flows; new flows are refused/);
  assert.match(status, /server web\/one +maintenance: new disk: takes no new flows until weir undrain/);
  assert.is(await served(lab, 5), 0);
  assert.equal([(await ofOne()).length, held.output()], [1, 'open\n']);

  assert.is((await weir(lab.weir.socket, 'drain', 'server', 'web/one', '--flush')).code, 0);
  await waitFor(() => held.output().includes('Connection reset by peer'), WAIT_MS, 'the connection to be reset');
  await waitFor(async () => (await realServers(lab))[0].active === 0, WAIT_MS, 'no flow to be left');
  assert.is((await weir(lab.weir.socket, 'maint', 'server', 'web/one', 'off')).code, 0);
  await waitFor(async () => (await realServers(lab))[0].state === 'up', WAIT_MS, 'the server to be up');
  assert.is(await served(lab, 20), 20);
  await weir(lab.weir.socket, 'weight', 'server', 'web/one', '9');
  assert.equal((await realServers(lab)).map(({ weight, newFlows }) => [weight, newFlows]), [[9, 41], [1, 0], [0, 0]]);
});

control('who is led back to a server is forgotten with the affinity', async ({ lab }) => {
  const returned = async (): Promise<number> => (await lab.weir.askJson<VirtualServerList>('servers')).virtualServers[0].returnedFlows;
  const before = await returned();
  assert.is(await served(lab, 2), 2);
  assert.is(await returned(), before + 2);
  // The data plane reads its mail after the turn it is in.
  await waitFor(async () => {
    await weir(lab.weir.socket, 'affinity', '--erase');
    const known = await returned();
    return await served(lab, 1) === 1 && await returned() === known;
  }, WAIT_MS, 'the client to be scheduled anew');
});

control('hooks were told of it all, and failed in nothing', async ({ lab, out }) => {
  await waitFor(() => ['daemon.ready', 'control.drain', 'uplink.drained', 'control.undrain', 'control.weight', 'control.affinity', 'server.down', 'server.drained', 'server.up', 'server.weight', 'virtual-server.down', 'server.failover'].every((name) => existsSync(join(out, name))), WAIT_MS, 'the hooks');
  const [first] = readFileSync(join(out, 'control.drain'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as StreamedEvent);
  assert.equal([first.schemaVersion, first.subject, first['isDrained']], [1, 'isp1', true]);
  assert.match(await lab.weir.ask('status'), /\nhooks {4}\d+ run, 0 failed/);
  const flushed = await waitFor(() => readFileSync(join(out, 'server.failover'), 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line) as StreamedEvent)
    .find((event) => event['reason'] === 'serverFlushed'), WAIT_MS, 'the hook of the flush');
  assert.equal([flushed.subject, flushed['server'], flushed['virtualServer'], flushed['realServer']], ['web/one', 'web/one', 'web', 'one']);
  assert.ok((flushed['reset'] as number) >= 1);
  assert.not.ok(existsSync(join(out, 'flow.reset')));
});

control.run();
