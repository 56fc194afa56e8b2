/**
 * An operator at work on a running router: drains an uplink under load and takes it back, changes weights, proves the split from the box itself, looks at
 * affinity and erases it, and has hooks told of all that.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tally, tcpFlows } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { weir, WEIR } from '../../netns/kit/weir.js';
import { Multiwan, PC1, SERVER, WAN1, WAN2 } from '../../netns/multiwan.js';
import type { SplitResult } from '../../src/cli/split-test.js';
import type { AffinityPage, StreamedEvent, UplinkList, UplinkStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';

const ECHO_PORT = 7000;
const STICKY_PORT = 7000;
const WAIT_MS = 15_000;

interface Context { lab: Multiwan; out: string }

const uplinks = async (lab: Multiwan): Promise<UplinkStatus[]> => (await lab.weir.api<UplinkList>('uplinks')).uplinks;

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
  lab.weir.dropIn('60-control', {
    hooks: { directory, user: 'root' },
    policies: { sticky: { protocol: 'udp', ports: STICKY_PORT, group: 'internet', affinity: { by: 'source', timeout: '10m' } } },
  });
  await lab.start();
  await lab.service();
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

control('hooks were told of it all, and failed in nothing', async ({ lab, out }) => {
  await waitFor(() => ['daemon.ready', 'control.drain', 'uplink.drained', 'control.undrain', 'control.weight', 'control.affinity'].every((name) => existsSync(join(out, name))), WAIT_MS, 'the hooks');
  const [first] = readFileSync(join(out, 'control.drain'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as StreamedEvent);
  assert.equal([first.schemaVersion, first.subject, first['isDrained']], [1, 'isp1', true]);
  assert.match(await lab.weir.ask('status'), /\nhooks {4}\d+ run, 0 failed/);
  assert.not.ok(existsSync(join(out, 'flow.reset')));
});

control.run();
