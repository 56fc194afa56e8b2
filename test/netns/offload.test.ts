/**
 * Offloaded flows between real kernels, on raw links and on TAP devices: a flow is taken over by the kernel while it runs and given back when it
 * closes, wires stay clean to every checksum, counters agree with what was on the wire, forged resets do nothing, and nothing is forwarded by a
 * pulled uplink, or for long by the programs of a daemon that was killed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, stringify } from 'yaml';
import { assertWireClean, type Frame } from '../../netns/kit/capture.js';
import { signal, type Process } from '../../netns/kit/process.js';
import { bulkTcp, checksumErrors, steadyFlow, TCP_PORT } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { WEIR } from '../../netns/kit/weir.js';
import { INSIDE, Multiwan, SERVER, WAN1, type Form } from '../../netns/multiwan.js';
import type { DropList, FlowPage, FlowStatus, LinkList, RouterStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';

const ECHO_PORT = 7400;
const FLOOD_PORT = 7401;
const IPERF_PORT = 5201;
const LIMIT_MS = 20_000;
const FORGED = 200;
const BULK_BYTES = 20_000_000;

/** Echoes everything. */
const ECHO_PROGRAM = `require('node:net').createServer((socket) => { socket.on('error', () => {}); socket.pipe(socket); }).listen(${ECHO_PORT}, () => console.log('ready'));`;

/** Asks for an echo so many times, then waits for SIGUSR1 and asks once more. */
const TALKER_PROGRAM = `
  const [address, port, localPort, rounds] = process.argv.slice(1);
  let left = Number(rounds), isAsking = false;
  const socket = require('node:net').connect({ host: address, port: Number(port), localPort: Number(localPort) }, () => socket.write('x'));
  socket.on('error', (error) => { console.log('error ' + error.code); process.exit(1); });
  socket.on('data', () => {
    if (isAsking) { console.log('echoed again'); socket.end(); return; }
    if (--left > 0) socket.write('x');
    else console.log('idle');
  });
  process.on('SIGUSR1', () => { isAsking = true; socket.write('again'); });
`;

/** Datagrams to the far end as long as it lives, ten every 5 ms, whatever comes back. */
const FLOOD_PROGRAM = `
  const [address, port, localPort] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('error', () => {});
  socket.bind(Number(localPort), () => setInterval(() => { for (let i = 0; i < 10; i++) socket.send('x', Number(port), address, () => {}); }, 5));
`;

interface Context { lab: Multiwan; echo: Process }

let lastPort = 4300;

async function flowOf(lab: Multiwan, port: number): Promise<FlowStatus | undefined> {
  const { flows } = await lab.weir.api<FlowPage>(`flows?port=${port}`);
  return flows[0];
}

const status = (lab: Multiwan): Promise<RouterStatus> => lab.weir.api<RouterStatus>('status');

/** Frames a device of a host has received so far. */
function received(lab: Multiwan, device: string): number {
  const [stats] = JSON.parse(lab.gateway.ip('-s', '-j', 'link', 'show', device)) as { stats64: { rx: { packets: number } } }[];
  return stats.stats64.rx.packets;
}

/** The queueing disciplines of the router's devices. */
const disciplines = (lab: Multiwan): string => lab.router.runNow(['tc', 'qdisc', 'show']).stdout;

/** Weir forwards, the kernel by itself does not, for this reason. */
async function worksWithout(lab: Multiwan, reason: RegExp): Promise<void> {
  assert.equal((await steadyFlow(lab.pc1, SERVER, 100, 700)).error, null);
  const { offload } = await status(lab);
  assert.match(offload.reason ?? '', reason);
  assert.equal([offload.flows, offload.packets], [0, 0]);
  const { links } = await lab.weir.api<LinkList>('links');
  for (const { flowOffload, flowOffloadReason } of links) assert.ok(!flowOffload && reason.test(flowOffloadReason ?? ''), flowOffloadReason ?? 'no reason');
}

/** Frames the router's devices had no room for so far. */
function dropped(lab: Multiwan): number {
  const devices = JSON.parse(lab.router.ip('-s', '-j', 'link', 'show')) as { stats64: { rx: { dropped: number }; tx: { dropped: number } } }[];
  return devices.reduce((total, { stats64: { rx, tx } }) => total + rx.dropped + tx.dropped, 0);
}

/** A flow of datagrams that the kernel has taken over. */
async function flood(lab: Multiwan): Promise<{ started: Process; port: number }> {
  const port = lastPort++;
  const started = lab.pc1.spawn('flood', [process.execPath, '-e', FLOOD_PROGRAM, SERVER, String(FLOOD_PORT), String(port)]);
  await waitFor(async () => (await flowOf(lab, port))?.offloaded === true, LIMIT_MS, 'the datagrams to be offloaded');
  return { started, port };
}

for (const form of ['raw', 'tap'] satisfies Form[]) {
  const offload = suite<Context>(`offload, ${form}`);

  offload.before(telling(async (context) => {
    context.lab = await Multiwan.up({ form, weights: [1, 0], judged: ['lan', 'wan1'], start: false });
    const { lab } = context;
    // A host link's stack would answer for ports that nobody has.
    const configuration = parse(readFileSync(lab.weir.configFile, 'utf8')) as { links: Record<string, unknown> };
    delete configuration.links.host;
    writeFileSync(lab.weir.configFile, stringify(configuration));
    await lab.start();
    context.echo = lab.server.spawn('echo', [process.execPath, '-e', ECHO_PROGRAM]);
    await context.echo.waitForOutput(/^ready$/m, LIMIT_MS);
  }));
  offload.after((context) => context.lab?.close());

  offload('every Ethernet link can', async ({ lab }) => {
    const { links } = await lab.weir.api<LinkList>('links');
    assert.equal(links.map(({ name, flowOffload, flowOffloadReason }) => [name, flowOffload, flowOffloadReason]), [['lan', true, null], ['wan1', true, null], ['wan2', true, null]]);
  });

  offload('a bulk flow is forwarded by the kernel, clean on both wires, and counted to the packet', async ({ lab }) => {
    const recordings = await Promise.all([lab.cables.wan1.capture(), lab.cables.lan.capture()]);
    const before = await status(lab);
    const droppedBefore = dropped(lab);
    const { sentBytes, receivedBytes } = await bulkTcp(lab.pc1, lab.server, SERVER, { bytes: BULK_BYTES });
    // iperf's receiver stops counting when its sender says so, with the last bytes still under way: full buffers of both, when the CPUs are busy.
    assert.ok(sentBytes >= BULK_BYTES && receivedBytes > BULK_BYTES / 2, `${sentBytes} bytes sent, ${receivedBytes} received`);
    const flows = await waitFor(async () => {
      const { flows: listed } = await lab.weir.api<FlowPage>(`flows?port=${IPERF_PORT}`);
      // A server that closes with bytes still unread resets.
      return listed.length === 2 && listed.every(({ state, offloaded }) => (state === 'time-wait' || state === 'reset') && !offloaded) ? listed : null;
    }, LIMIT_MS, 'both of iperf\'s flows to be over');
    // Not sooner: their last segments are counted, too.
    const files = await Promise.all(recordings.map((recording) => recording.stop()));
    let outside: readonly Frame[] = [];
    for (const [i, file] of files.entries()) {
      const { seen, good } = await assertWireClean(file, i === 0 ? { never: INSIDE } : {});
      assert.ok(good.tcp > receivedBytes / 1500, `${good.tcp} TCP segments judged`);
      if (i === 0) outside = seen;
    }
    const after = await status(lab);
    assert.ok(after.offload.bytes - before.offload.bytes > receivedBytes * 0.8, `${after.offload.bytes - before.offload.bytes} bytes went by the kernel`);
    // Neither the sender's nor anybody's segments were joined on a judged wire: one frame there is one packet here.
    const frames = outside.filter(({ tcpPorts }) => tcpPorts.includes(String(IPERF_PORT)));
    const sent = (from: string): number => frames.filter(({ sources }) => sources[0] === from).length;
    const sum = (of: (flow: FlowStatus) => number): number => flows.reduce((total, flow) => total + of(flow), 0);
    // A server that resets answers all that is still under way to it with resets, and of those the router lets one through.
    const resets = frames.filter(({ sources, isReset }) => isReset && sources[0] === SERVER).length;
    // What a TAP device or a bridge had no room for, when the CPUs are busy, was forwarded all the same.
    const lost = dropped(lab) - droppedBefore;
    const [out, back] = [sum((flow) => flow.originalPackets) - sent(WAN1), sum((flow) => flow.replyPackets) - sent(SERVER)];
    assert.ok(out >= 0 && back >= -resets && out + Math.max(0, back) <= lost, `${out} and ${back} more were counted than were on the wire, which had ${resets} resets and lost ${lost}`);
    for (const host of [lab.pc1, lab.server, lab.gateway]) assert.equal([...checksumErrors(host)], []);
  });

  offload('what comes back is what was sent, also in small segments, and both FINs close it', async ({ lab }) => {
    await lab.service();
    const before = await status(lab);
    assert.equal((await steadyFlow(lab.pc1, SERVER, 400, 700)).error, null);
    await waitFor(async () => (await flowOf(lab, TCP_PORT))?.state === 'time-wait', LIMIT_MS, 'the flow to be closed by both');
    assert.ok((await status(lab)).offload.packets - before.offload.packets > 400, 'most of it went by the kernel');
  });

  offload('an offloaded connection: forged resets from both sides do nothing', async ({ lab }) => {
    const port = lastPort++;
    const talker = lab.pc1.spawn('talker', [process.execPath, '-e', TALKER_PROGRAM, SERVER, String(ECHO_PORT), String(port), '100']);
    await talker.waitForOutput(/idle/, LIMIT_MS);
    assert.ok((await flowOf(lab, port))?.offloaded, 'it is offloaded');
    const dropped = async (): Promise<number> => {
      const { drops } = await lab.weir.api<DropList>('drops');
      return drops.filter((row) => row.name === 'TCP_OUT_OF_WINDOW').reduce((sum, row) => sum + row.packets, 0);
    };
    const before = await dropped();
    const forge = ['hping3', '-q', '-i', 'u2000', '-c', String(FORGED), '-R', '-k'];
    await lab.gateway.run([...forge, '-a', SERVER, '-s', String(ECHO_PORT), '-p', String(port), WAN1], { check: false, timeoutMs: 60_000 });
    await lab.pc1.run([...forge, '-s', String(port), '-p', String(ECHO_PORT), SERVER], { check: false, timeoutMs: 60_000 });
    await waitFor(async () => (await dropped()) - before > 2 * FORGED - 10, LIMIT_MS, 'the forged resets to be refused');
    signal(talker.pid, 'SIGUSR1');
    await talker.waitForOutput(/echoed again/, LIMIT_MS);
    await waitFor(async () => (await flowOf(lab, port))?.state === 'time-wait', LIMIT_MS, 'the flow to be closed by both');
  });

  offload('a real reset ends it', async ({ lab, echo }) => {
    const port = lastPort++;
    const talker = lab.pc1.spawn('talker', [process.execPath, '-e', TALKER_PROGRAM, SERVER, String(ECHO_PORT), String(port), '50']);
    await talker.waitForOutput(/idle/, LIMIT_MS);
    assert.ok((await flowOf(lab, port))?.offloaded, 'it is offloaded');
    // The server dies; whoever writes to it then is told so.
    await echo.stop('SIGKILL');
    lab.server.runNow(['ss', '-K', 'dst', WAN1], { check: false });
    signal(talker.pid, 'SIGUSR1');
    await waitFor(async () => {
      const flow = await flowOf(lab, port);
      return flow !== undefined && !flow.offloaded && ['reset', 'time-wait'].includes(flow.state);
    }, LIMIT_MS, 'the flow to have ended');
  });

  offload('a pulled uplink: its flows are taken back, and nothing more is sent by it', async ({ lab }) => {
    const { started, port } = await flood(lab);
    lab.cables.wan1.cut();
    await waitFor(async () => (await flowOf(lab, port))?.offloaded === false, LIMIT_MS, 'the flow to be taken back');
    const link = async (): Promise<number> => (await lab.weir.api<LinkList>('links')).links.find(({ name }) => name === 'wan1')!.txPackets;
    const before = await link();
    const refused = async (): Promise<number> => (await lab.weir.api<DropList>('drops')).drops.find(({ name }) => name === 'UPLINK_DOWN')?.packets ?? 0;
    const count = await refused();
    await waitFor(async () => (await refused()) > count + 100, LIMIT_MS, 'its packets to be refused');
    assert.is(await link(), before);
    lab.cables.wan1.plug();
    await waitFor(async () => (await flowOf(lab, port))?.offloaded === true, LIMIT_MS, 'the flow to be offloaded again');
    await started.stop();
  });

  offload('after kill -9 nothing is forwarded any more, and the next start finds nothing in its way', async ({ lab }) => {
    const { started } = await flood(lab);
    await lab.weir.stop('SIGKILL');
    // Whatever goes on being forwarded comes by this port; silence for as long as two looks are apart is silence.
    await waitFor(async () => {
      const before = received(lab, 'port1');
      await started.waitForOutput(/^/, 100);
      await lab.pc1.run(['sleep', '0.5']);
      return received(lab, 'port1') - before < 20;
    }, LIMIT_MS, 'the programs to fall silent');
    await started.stop();
    await lab.start();
    await flood(lab);
    const exit = await lab.weir.stop();
    assert.equal(exit, { code: 0, signal: null }, lab.weir.log());
    assert.not.match(disciplines(lab), /clsact/);
  });

  offload('switched off: what a killed run has left at the devices is cleared away, and every packet goes through weir', async ({ lab }) => {
    await lab.start();
    await lab.weir.stop('SIGKILL');
    // A TAP device has gone with its process, and what was on it.
    if (form === 'raw') assert.match(disciplines(lab), /clsact/, 'it is left');
    lab.weir.dropIn('60-off', { limits: { offloadedFlows: 0 } });
    await lab.start();
    assert.not.match(disciplines(lab), /clsact/);
    await worksWithout(lab, /^limits\.offloadedFlows is 0$/);
    assert.match(await lab.weir.ask('status'), /offload {2}off: limits\.offloadedFlows is 0/);
    await lab.weir.stop();
    lab.weir.dropIn('60-off', {});
  });

  offload('without the right to load programs weir runs, and says what it misses', async ({ lab }) => {
    const unprivileged = ['setpriv', '--bounding-set=-bpf,-sys_admin'];
    await lab.weir.start(...unprivileged);
    await worksWithout(lab, /^BPF needs CAP_BPF and CAP_NET_ADMIN/);
    assert.not.match(disciplines(lab), /clsact/);
    const { stdout } = await lab.router.run([...unprivileged, WEIR, 'doctor'], { check: false });
    assert.match(stdout, /CAP_BPF.*not held; needed for the offload of established flows/);
    assert.match(stdout, /weir works without, but every packet goes through it/);
    await lab.weir.stop();
  });

  offload.run();
}
