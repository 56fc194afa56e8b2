/**
 * The daemon as its operator meets it, in both forms: it stops clean, comes back after kill -9, refuses a wrong configuration with
 * every mistake named, says which privilege is missing, and answers every reading command.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../netns/kit/command.js';
import type { Host } from '../../netns/kit/lab.js';
import { tcpFlows, udpEchoes } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { weir, WEIR } from '../../netns/kit/weir.js';
import { GATEWAY, Multiwan, PC1, ROUTER, SERVER, WAN1, WAN2, type Form } from '../../netns/multiwan.js';
import type { DropStatus, FlowPage, LinkStatus, NeighbourStatus, RouterStatus, RouteStatus, UplinkStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';

interface Context { lab: Multiwan }

/** Everything of a host's network that a router might change, as text that is the same when nothing changed. */
function traces(host: Host): string {
  type Device = { ifname: string; flags: string[]; master?: string; mtu: number; promiscuity?: number; allmulti?: number; address: string; addr_info: { local: string; prefixlen: number }[] };
  const devices = (JSON.parse(host.ip('-j', '-d', 'address', 'show')) as Device[])
    .map(({ ifname, flags, master, mtu, promiscuity, allmulti, address, addr_info: addresses }) => ({
      ifname, up: flags.includes('UP'), promiscuous: flags.includes('PROMISC'), master, mtu, promiscuity, allmulti, address,
      addresses: addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    }))
    .sort((a, b) => a.ifname < b.ifname ? -1 : 1);
  return [
    ...devices.map((device) => JSON.stringify(device)),
    host.ip('rule', 'show'),
    host.ip('route', 'show', 'table', 'all'),
    host.runNow(['nft', 'list', 'ruleset']).stdout,
    host.runNow(['tc', 'qdisc', 'show']).stdout,
    ...devices.map(({ ifname }) => `${host.runNow(['tc', 'filter', 'show', 'dev', ifname, 'ingress'], { check: false }).stdout}${host.runNow(['ethtool', '-k', ifname], { check: false }).stdout}`),
  ].join('\n');
}

async function forwards(lab: Multiwan): Promise<void> {
  await lab.service();
  const flows = await tcpFlows(lab.pc1, SERVER, 40);
  assert.equal(flows.filter((flow) => !flow.ok), []);
  assert.equal([...new Set(flows.map((flow) => flow.peer))].sort(), [WAN1, WAN2]);
}

for (const form of ['raw', 'tap'] satisfies Form[]) {
  const life = suite<Context>(`daemon, ${form}`);
  life.before(telling(async (context) => { context.lab = await Multiwan.up({ form, start: false }); }));
  life.after((context) => context.lab?.close());

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    life(`${signal} stops it with exit code 0 and leaves nothing`, async ({ lab }) => {
      const before = traces(lab.router);
      await lab.start();
      await forwards(lab);
      assert.is.not(traces(lab.router), before);
      const exit = await lab.weir.stop(signal);
      assert.equal(exit, { code: 0, signal: null }, lab.weir.log());
      assert.is(traces(lab.router), before);
      assert.not(existsSync(lab.weir.socket));
      assert.is((await weir(lab.weir.socket, 'status')).code, 3);
    });
  }

  life('after kill -9 it starts again as if nothing had been, and then leaves nothing', async ({ lab }) => {
    const before = traces(lab.router);
    await lab.start();
    await forwards(lab);
    assert.is((await lab.weir.stop('SIGKILL')).signal, 'SIGKILL');
    await lab.start();
    await forwards(lab);
    assert.equal(await lab.weir.stop(), { code: 0, signal: null }, lab.weir.log());
    assert.is(traces(lab.router), before);
  });

  life('a HUP, which asks others to read their configuration again, is told of and ends nothing', async ({ lab }) => {
    await lab.start();
    process.kill(lab.weir.process!.pid, 'SIGHUP');
    await waitFor(() => /SIGHUP.*counts from the next start on/.test(lab.weir.log()), 10_000, 'the log to speak of it');
    await forwards(lab);
    assert.equal(await lab.weir.stop(), { code: 0, signal: null }, lab.weir.log());
  });

  life('USR1, on which Node opens a debugger, opens none, and USR2 does not end it', async ({ lab }) => {
    await lab.start();
    const listening = async (): Promise<string> => (await lab.router.run(['ss', '-Hltn'])).stdout;
    const before = await listening();
    for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
      process.kill(lab.weir.process!.pid, signal);
      await waitFor(() => new RegExp(`${signal}.*does nothing`).test(lab.weir.log()), 10_000, 'the log to speak of it');
    }
    await forwards(lab);
    assert.is(await listening(), before);
    assert.not.match(lab.weir.log(), /Debugger/);
    assert.equal(await lab.weir.stop(), { code: 0, signal: null }, lab.weir.log());
  });

  life('a second daemon on the same socket and devices is refused, the first goes on', async ({ lab }) => {
    await lab.start();
    const second = await lab.router.run([WEIR, 'run', '-c', lab.weir.configFile], { check: false, timeoutMs: 20_000 });
    assert.ok(second.code > 0, `exit code ${second.code}`);
    assert.not.match(second.stderr + second.stdout, /^\s+at .*:\d+:\d+\)?$/m, 'a sentence, not a stack');
    await forwards(lab);
    // Nor with a socket of its own: every packet would be forwarded twice.
    const other = join(lab.lab.directory, 'second.yaml');
    copyFileSync(lab.weir.configFile, other);
    mkdirSync(`${other}.d`);
    writeFileSync(join(`${other}.d`, 'socket.yaml'), `control: { socket: ${lab.weir.socket}2 }\n`);
    const third = await lab.router.run([WEIR, 'run', '-c', other], { check: false, timeoutMs: 20_000 });
    assert.is(third.code, 71, third.stderr);
    assert.match(third.stderr, /weir: link \w+: device '\w[\w-]*' is (taken over already, by another weir|in use)/);
    await forwards(lab);
    await lab.weir.stop();
  });

  life.run();
}

const ask = suite<Context>('daemon: what it answers');
ask.before(telling(async (context) => {
  context.lab = await Multiwan.up({ weights: [3, 1] });
  await forwards(context.lab);
  await context.lab.pc1.ping(GATEWAY, 3);
}));
ask.after((context) => context.lab?.close());

ask('status says up, with every link and uplink', async ({ lab }) => {
  const status = await lab.weir.askJson<RouterStatus>('status');
  assert.is(status.state, 'up', JSON.stringify(status.problems));
  assert.equal(status.links.map((link) => link.name).sort(), ['host', 'lan', 'wan1', 'wan2']);
  assert.equal(status.links.map((link) => link.state), ['up', 'up', 'up', 'up']);
  assert.equal(status.uplinks.map((uplink) => [uplink.link, uplink.weight, uplink.state]), [['wan1', 3, 'up'], ['wan2', 1, 'up']]);
  assert.is(status.pid, lab.weir.process?.pid);
  assert.is((await weir(lab.weir.socket, 'status')).code, 0);
});

/** A listing's rows: the value of its one property that is a list. */
async function rows<T>(lab: Multiwan, command: string): Promise<T[]> {
  const answer = await lab.weir.askJson<Record<string, unknown>>(command);
  assert.type(answer.schemaVersion, 'number');
  const list = Object.values(answer).find(Array.isArray);
  assert.ok(list, `${command} -j holds a list`);
  return list as T[];
}

ask('every table is printed and has its JSON', async ({ lab }) => {
  for (const command of ['links', 'uplinks', 'routes', 'neighbours', 'flows', 'drops']) assert.ok((await lab.weir.ask(command)).trim().length > 0, command);
  const uplinks = await rows<UplinkStatus>(lab, 'uplinks');
  assert.equal(uplinks.map((uplink) => uplink.snat), [[WAN1], [WAN2]]);
  assert.ok(uplinks.every((uplink) => uplink.newFlows > 0 && uplink.txBytes > 0 && uplink.rxBytes > 0 && uplink.portsUsed > 0), JSON.stringify(uplinks));
  assert.equal(uplinks.map((uplink) => uplink.wantedShare), [0.75, 0.25]);
  const links = await rows<LinkStatus>(lab, 'links');
  assert.ok(links.filter((link) => link.type === 'raw').every((link) => link.rxPackets > 0 && link.txPackets > 0), JSON.stringify(links));
  const routes = await rows<RouteStatus>(lab, 'routes');
  assert.ok(routes.some((route) => route.kind === 'static' && route.to === '0.0.0.0/0' && route.group === 'internet'), JSON.stringify(routes));
  assert.ok(routes.some((route) => route.kind === 'connected' && route.to === '192.168.0.0/24' && route.link === 'lan'), JSON.stringify(routes));
  const neighbours = await rows<NeighbourStatus>(lab, 'neighbours');
  const pc1Mac = (JSON.parse(lab.pc1.ip('-j', 'link', 'show', 'eth0')) as { address: string }[])[0].address;
  assert.is(neighbours.find((neighbour) => neighbour.address === PC1)?.mac, pc1Mac);
  assert.is(neighbours.filter((neighbour) => neighbour.address === GATEWAY).length, 2, 'one gateway address on two links is two neighbours');
  await rows<DropStatus>(lab, 'drops');
});

ask('flows name their uplink and both tuples, and can be filtered', async ({ lab }) => {
  const { flows } = await lab.weir.askJson<FlowPage>('flows');
  const tcp = flows.filter((flow) => flow.protocol === 'tcp' && flow.original.source === PC1);
  assert.ok(tcp.length > 0, JSON.stringify(flows.slice(0, 3)));
  for (const flow of tcp) {
    assert.is(flow.original.destination, SERVER);
    assert.is(flow.reply.source, SERVER);
    assert.is(flow.reply.destination, flow.uplink === lab.weir.uplinkOn.get('wan1') ? WAN1 : WAN2);
    assert.ok(flow.originalPackets > 0 && flow.replyPackets > 0);
  }
  const icmp = await lab.weir.askJson<FlowPage>('flows', '--protocol', 'icmp');
  assert.ok(icmp.flows.length > 0);
  assert.ok(icmp.flows.every((flow) => flow.protocol === 'icmp'));
});

ask('what it refuses is counted with a reason, and the sender is told', async ({ lab }) => {
  const ttl = await lab.pc1.run(['ping', '-n', '-c', '1', '-t', '1', '-W', '2', SERVER], { check: false });
  assert.match(ttl.stdout, /From 192\.168\.0\.1 .*Time to live exceeded/);
  await waitFor(async () => (await rows<DropStatus>(lab, 'drops')).some((drop) => drop.packets > 0), 5000, 'the drop to be counted');
  const [datagram] = await udpEchoes(lab.pc1, ROUTER, 1, [10], 9);
  assert.is(datagram.error, 'ECONNREFUSED', 'a dead port of the router itself');
});

ask('a mistyped command is a usage error', async ({ lab }) => {
  assert.is((await weir(lab.weir.socket, 'statsu')).code, 2);
});
ask.run();

const refuse = suite<Context>('daemon: what it refuses to start with');
refuse.before(telling(async (context) => { context.lab = await Multiwan.up({ start: false }); }));
refuse.after((context) => context.lab?.close());

refuse('a missing privilege is named, exit code 77', async ({ lab }) => {
  // The user stays, its capabilities go: a checkout that only root may read is no obstacle.
  const { code, stderr } = await lab.router.run(['setpriv', '--bounding-set=-all', '--inh-caps=-all', WEIR, 'run', '-c', lab.weir.configFile], { check: false });
  assert.is(code, 77, stderr);
  assert.match(stderr, /CAP_NET_ADMIN|root/);
  assert.not.match(stderr, /^\s+at /m);
});

refuse('every mistake of a wrong configuration is told with its place, exit code 78', async ({ lab }) => {
  const file = `${lab.lab.directory}/wrong.yaml`;
  writeFileSync(file, `links:
  lan: { type: raw, device: eth0, addresses: [192.168.0.300/24] }
  wan: { type: row, device: eth1, addresses: [192.168.201.11/24] }
nonsense: 1
uplinks:
  isp1: { link: nowhere, gateway: 192.168.201.1, weight: -3 }
`);
  for (const argv of [['check', '-c', file], ['run', '-c', file]]) {
    const { code, stdout, stderr } = argv[0] === 'run' ? await lab.router.run([WEIR, ...argv], { check: false }) : await run([WEIR, ...argv], { check: false });
    const said = stdout + stderr;
    assert.is(code, 78, said);
    for (const [line, what] of [[2, '192.168.0.300/24'], [3, 'row'], [4, 'nonsense'], [6, '-3']] as const) {
      assert.ok(said.split('\n').some((text) => text.includes(`${file}:${line}:`) && text.includes(what)), `${argv[0]} tells line ${line}, ${what}:\n${said}`);
    }
  }
  assert.is((await run([WEIR, 'check', '-c', lab.weir.configFile], { check: false })).code, 0);
});

refuse('a device that does not exist is a sentence and an exit code', async ({ lab }) => {
  lab.weir.dropIn('60-missing', { links: { wan1: { device: 'eth9' } } });
  const { code, stderr, stdout } = await lab.router.run([WEIR, 'run', '-c', lab.weir.configFile], { check: false, timeoutMs: 20_000 });
  assert.ok(code === 69 || code === 71, `exit code ${code}: ${stderr}`);
  assert.match(stderr + stdout, /eth9/);
  assert.not.match(stderr + stdout, /^\s+at /m);
});
refuse.run();
