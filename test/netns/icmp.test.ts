/**
 * What kernels at both ends make of weir's ICMP, fragments and MSS: traceroute and tracepath from inside and from outside to a forwarded port,
 * path MTU discovery through a narrow link beyond weir, before it and at it, datagrams of 60 kB both ways.
 *
 *   office ──── pc1 ──── router (weir) ──── gateway ──── server
 *   10.5.0.2    forwards     wan1 192.168.201.11         203.0.113.10
 *
 * That is `multiwan` with all weight on wan1, PC1 as a router of the inside, and a host behind it that ports of WAN1 lead to.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, type Capture } from '../../netns/kit/capture.js';
import { run } from '../../netns/kit/command.js';
import type { Host } from '../../netns/kit/lab.js';
import { bulkTcp, checksumErrors, tcpFlows, TrafficServer, udpEchoes } from '../../netns/kit/traffic.js';
import { GATEWAY, INSIDE, Multiwan, PC1, ROUTER, SERVER, WAN1 } from '../../netns/multiwan.js';
import { telling } from './telling.js';

const OFFICE = '10.5.0.2';
const OFFICE_ROUTER = '10.5.0.1';
/** The gateway as the server sees it. */
const NET = '203.0.113.1';
/** Ports of WAN1 that lead to the office's traffic server, and a range that leads to nothing there: tracepath tries one port after the other. */
const FORWARDED = { tcp: 8080, udp: 8081, dead: 8090 };
const DEAD_RANGE = '8090-8199';
const WAN_MTU = 1400;
const BEYOND_MTU = 1300;
const BEFORE_MTU = 1280;
const DATAGRAM_BYTES = [1300, 1373, 1473, 4000, 60_000];
const BULK_BYTES = 3_000_000;

interface Context { lab: Multiwan; office: Host }

/** Addresses of the hops, in order, each once in a row. */
function hops(output: string): string[] {
  return output.split('\n').map((line) => /^\s*\d+[:?]*\s+(\S+)/.exec(line)?.[1]).filter((hop) => hop !== undefined && hop !== '[LOCALHOST]') as string[];
}

async function up(wanMtu: number | null): Promise<Context> {
  const lab = await Multiwan.up({ form: 'raw', weights: [1, 0], judged: ['lan', 'wan1', 'wan2'], start: false });
  try {
    const office = lab.lab.host('office');
    lab.lab.cable('inner', { host: lab.pc1, device: 'eth1', address: `${OFFICE_ROUTER}/24` }, { host: office, device: 'eth0', address: `${OFFICE}/24` });
    office.ip('route', 'add', 'default', 'via', OFFICE_ROUTER);
    lab.pc1.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.send_redirects': 0 });
    lab.weir.dropIn('60-icmp', {
      ...(wanMtu === null ? {} : { links: { wan1: { mtu: wanMtu } } }),
      routes: { office: { to: '10.5.0.0/24', via: PC1, link: 'lan' } },
      portForwards: {
        tcp: { uplink: 'isp1', listen: `${FORWARDED.tcp}/tcp`, to: `${OFFICE}:7000` },
        udp: { uplink: 'isp1', listen: `${FORWARDED.udp}/udp`, to: `${OFFICE}:7001` },
        dead: { uplink: 'isp1', listen: `${DEAD_RANGE}/both`, to: `${OFFICE}:${DEAD_RANGE}` },
      },
    });
    // The far side of a narrow uplink is as narrow.
    if (wanMtu !== null) lab.gateway.ip('route', 'add', `${WAN1}/32`, 'dev', 'br0', 'mtu', 'lock', String(wanMtu));
    await lab.start();
    return { lab, office };
  } catch (error) {
    lab.close();
    throw error;
  }
}

/** Makes a router believe that a link of its is narrower than it is: it forwards nothing larger there. */
function narrow(router: Host, prefix: string, device: string, mtu: number): void {
  router.ip('route', 'replace', prefix, 'dev', device, 'mtu', 'lock', String(mtu));
}

/** The MTU a host has learned of the way to an address. */
function learned(host: Host, address: string): number | null {
  const mtu = /\bmtu (\d+)/.exec(host.ip('route', 'get', address))?.[1];
  return mtu === undefined ? null : Number(mtu);
}

/** A field of every frame of a recording that has it and that the filter takes. */
async function fieldOf(file: string, filter: string, field: string): Promise<string[]> {
  const { stdout } = await run(['tshark', '-n', '-r', file, '-Y', filter, '-T', 'fields', '-e', field], { timeoutMs: 60_000 });
  return stdout.split('\n').filter((line) => line !== '');
}

/** The MSS of every SYN that the filter takes. */
async function mssOf(file: string, filter: string): Promise<number[]> {
  return (await fieldOf(file, `tcp.flags.syn == 1 && ${filter}`, 'tcp.options.mss_val')).map(Number);
}

/** A recording is clean: every checksum right, also of and in ICMP errors, and no inside address outside. */
async function clean(wire: Capture, never: string): Promise<void> {
  const { good } = await assertWireClean(await wire.stop(), { never });
  assert.ok(good.icmp > 0, JSON.stringify(good));
}

const path = suite<Context>('icmp: paths shown');
path.before(telling(async (context) => { Object.assign(context, await up(null)); }));
path.after((context) => context.lab?.close());

path('traceroute -U, -I, -T and tracepath from inside show every router, then the server', async ({ lab, office }) => {
  const wire = await lab.cables.wan1.capture();
  const wanted = [OFFICE_ROUTER, ROUTER, GATEWAY, SERVER];
  for (const kind of ['-U', '-I', '-T']) {
    const { stdout } = await office.run(['traceroute', '-n', kind, '-q', '2', '-w', '2', '-m', '8', SERVER], { timeoutMs: 60_000 });
    assert.equal(hops(stdout), wanted, stdout);
  }
  const { stdout } = await office.run(['tracepath', '-n', '-m', '8', SERVER]);
  assert.match(stdout, /Resume: pmtu 1500 hops 4 back 4/);
  assert.equal([...new Set(hops(stdout))], wanted, stdout);
  await clean(wire, '10.5.0.');
});

path('traceroute -U, -T and tracepath from outside to a forwarded port: weir, and what is behind it under its address', async ({ lab, office }) => {
  const wire = await lab.cables.wan1.capture();
  await TrafficServer.start(office);
  // weir itself, the router inside, the host inside.
  const wanted = [NET, WAN1, WAN1, WAN1];
  for (const args of [['-T', '-p', String(FORWARDED.tcp)], ['-T', '-p', String(FORWARDED.dead)], ['-U', '-p', String(FORWARDED.dead)]]) {
    const { stdout } = await lab.server.run(['traceroute', '-n', ...args, '-q', '2', '-w', '2', '-m', '8', WAN1], { timeoutMs: 60_000 });
    assert.equal(hops(stdout), wanted, `${args.join(' ')}\n${stdout}`);
  }
  const echo = (await lab.server.run(['traceroute', '-n', '-I', '-q', '2', '-w', '2', '-m', '8', WAN1])).stdout;
  assert.equal(hops(echo), [NET, WAN1], echo);
  await clean(wire, '10.5.0.');
});

path('a dead port behind a forward is told to the outside, by a reset and by ICMP', async ({ lab }) => {
  assert.is((await tcpFlows(lab.server, WAN1, 1, { port: FORWARDED.dead }))[0].error, 'ECONNREFUSED');
  assert.is((await udpEchoes(lab.server, WAN1, 1, [10], FORWARDED.dead))[0].error, 'ECONNREFUSED');
});

path('path MTU discovery through a narrow link beyond weir: the error reaches the sender inside', async ({ lab, office }) => {
  narrow(lab.gateway, '203.0.113.0/24', 'eth0', BEYOND_MTU);
  const wire = await lab.cables.lan.capture();
  const { stdout } = await office.run(['tracepath', '-n', '-m', '8', SERVER]);
  assert.match(stdout, new RegExp(`Resume: pmtu ${BEYOND_MTU} hops 4`));
  assert.is(learned(office, SERVER), BEYOND_MTU);
  assert.is(learned(lab.pc1, SERVER), null);
  await clean(wire, '192.168.201.11');
  const bulkWire = await lab.cables.lan.capture();
  const bulk = await bulkTcp(lab.pc1, lab.server, SERVER, { bytes: BULK_BYTES });
  assert.ok(bulk.receivedBytes > 0);
  assert.is(learned(lab.pc1, SERVER), BEYOND_MTU, 'TCP has learned it by itself');
  // tshark judges the checksum of a quote that is cut as if it were whole: what counts is that it is the one PC1 sent.
  const file = await bulkWire.stop();
  const sent = new Set(await fieldOf(file, `tcp && !icmp && ip.src == ${PC1}`, 'tcp.checksum'));
  const quoted = await fieldOf(file, 'icmp.type == 3 && icmp.code == 4 && tcp', 'tcp.checksum');
  assert.ok(quoted.length > 0, 'errors were quoted');
  assert.equal(quoted.filter((checksum) => !sent.has(checksum)), []);
});

path('path MTU discovery through a narrow link before weir: the error of the router inside reaches the server, in weir\'s name', async ({ lab, office }) => {
  narrow(lab.pc1, '10.5.0.0/24', 'eth1', BEFORE_MTU);
  const wire = await lab.cables.wan1.capture();
  const { stdout } = await lab.server.run(['tracepath', '-n', '-m', '8', '-p', String(FORWARDED.dead), WAN1]);
  assert.match(stdout, new RegExp(`pmtu ${BEFORE_MTU}`), stdout);
  assert.is(learned(lab.server, WAN1), BEFORE_MTU);
  const bulk = await bulkTcp(office, lab.server, SERVER, { bytes: BULK_BYTES, reverse: true });
  assert.ok(bulk.receivedBytes > 0);
  await clean(wire, '10.5.0.');
});

path.run();

const narrowUplink = suite<Context>('icmp: a narrow uplink');
narrowUplink.before(telling(async (context) => { Object.assign(context, await up(WAN_MTU)); }));
narrowUplink.after((context) => context.lab?.close());

narrowUplink('weir\'s own fragmentation needed: tracepath from both sides finds the MTU of the uplink', async ({ lab, office }) => {
  const { stdout } = await office.run(['tracepath', '-n', '-m', '8', SERVER]);
  assert.match(stdout, new RegExp(`Resume: pmtu ${WAN_MTU} hops 4 back 4`));
  assert.is(learned(office, SERVER), WAN_MTU);
  const outside = (await lab.server.run(['tracepath', '-n', '-m', '8', '-p', String(FORWARDED.dead), WAN1])).stdout;
  assert.match(outside, new RegExp(`pmtu ${WAN_MTU}`), outside);
});

narrowUplink('the MSS on both wires, of both sides, fits the uplink: no segment needs an error', async ({ lab, office }) => {
  await lab.service();
  await TrafficServer.start(office);
  const wires = await Promise.all([lab.cables.lan.capture(), lab.cables.wan1.capture()]);
  assert.ok((await tcpFlows(lab.pc1, SERVER, 2)).every((flow) => flow.ok));
  assert.ok((await tcpFlows(lab.server, WAN1, 2, { port: FORWARDED.tcp })).every((flow) => flow.ok));
  const [lan, wan] = await Promise.all(wires.map(async (wire) => wire.stop()));
  // The inside host asks for 1,460; what has passed weir, either way, is clamped. The server's side may know the MTU by now.
  const asked = await mssOf(lan, `ip.src == ${PC1}`);
  assert.ok(asked.length >= 2 && asked.every((value) => value === 1460), `asked: ${asked.join(' ')}`);
  for (const [file, filter] of [[lan, `ip.src == ${SERVER}`], [wan, `ip.src == ${WAN1}`]]) {
    const values = await mssOf(file, filter);
    assert.ok(values.length >= 4 && values.every((value) => value <= WAN_MTU - 40), `${filter}: ${values.join(' ')}`);
    assert.ok(values.includes(WAN_MTU - 40), `${filter}: ${values.join(' ')}`);
  }
});

narrowUplink('datagrams up to 60 kB and pings of 60,000 bytes come back, both ways, with right checksums', async ({ lab, office }) => {
  await lab.service();
  const wire = await lab.cables.wan1.capture();
  for (const host of [office, lab.pc1]) {
    // The first datagram that is too large is the price of learning how large it may be.
    await udpEchoes(host, SERVER, 1, [1400]);
    assert.is(learned(host, SERVER), WAN_MTU);
    const results = await udpEchoes(host, SERVER, 2, DATAGRAM_BYTES);
    assert.equal(results.filter((result) => !result.echoed), []);
    const ping = await host.ping(SERVER, 3, ['-s', '60000']);
    assert.is(ping.received, 3, ping.output);
  }
  await udpEchoes(lab.server, WAN1, 1, [1400], FORWARDED.udp);
  assert.is(learned(lab.server, WAN1), WAN_MTU);
  const forwarded = await udpEchoes(lab.server, WAN1, 2, DATAGRAM_BYTES, FORWARDED.udp);
  assert.equal(forwarded.filter((result) => !result.echoed), []);
  const ping = await lab.server.ping(WAN1, 3, ['-s', '60000']);
  assert.is(ping.received, 3, ping.output);
  await clean(wire, INSIDE);
  for (const host of [office, lab.pc1, lab.server]) assert.equal(Object.fromEntries(checksumErrors(host)), {});
});

narrowUplink.run();
