/**
 * NAT rules and filters as real stacks meet them: port forwards by each uplink, hairpin, 1:1, reject against drop, a rate. The lab is
 * `multiwan` with a drop-in; both ends of every connection are the kernel's.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Capture } from '../../netns/kit/capture.js';
import type { Host } from '../../netns/kit/lab.js';
import { SYN, TCP } from '../../netns/kit/recording.js';
import { checksumErrors, tally, tcpFlows, TrafficServer, udpEchoes } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { Multiwan, PC1, ROUTER, SERVER, WAN1, WAN2 } from '../../netns/multiwan.js';
import type { FilterList, FlowPage } from '../../src/control/api/types.js';
import { telling } from './telling.js';

const EXTERNAL = '192.168.201.50';
const WEB_PORT = 8080;
/** Ports of the forwards to PC1's echo servers, TCP and UDP. */
const ECHO_PORTS = { tcp: 7100, udp: 7101 };
const REJECTED = 2525, DROPPED = 1190, REJECTED_UDP = 4444;
const BURST = 5;
/** Exit codes of curl. */
const REFUSED = 7, TIMED_OUT = 28;
const CONNECTIONS = 12;

const RULES = {
  portForwards: {
    web1: { uplink: 'isp1', listen: `${WEB_PORT}/tcp`, to: `${PC1}:80` },
    web2: { uplink: 'isp2', listen: `${WEB_PORT}/tcp`, to: `${PC1}:80` },
    echo: { uplink: 'isp1', listen: `${ECHO_PORTS.tcp}-${ECHO_PORTS.udp}/both`, to: `${PC1}:7000-7001` },
  },
  oneToOne: { pc1: { uplink: 'isp2', external: EXTERNAL, internal: PC1 } },
  filters: {
    'no-mail': { action: 'reject', in: 'lan', protocol: 'tcp', ports: REJECTED },
    'no-news': { action: 'drop', in: 'lan', protocol: 'tcp', ports: DROPPED },
    'no-datagrams': { action: 'reject', in: 'lan', protocol: 'udp', ports: REJECTED_UDP },
    'not-too-many': { action: 'reject', in: 'lan', out: ['wan1', 'wan2'], protocol: 'tcp', ports: 80, over: { rate: '1/h', burst: BURST, by: 'source' } },
  },
};

interface Context { lab: Multiwan; inside: TrafficServer; wires: Capture[] }

/** What curl says and how it ends. */
async function curl(host: Host, address: string, port: number, limitSeconds = 10): Promise<{ code: number; body: string }> {
  const { code, stdout } = await host.run(['curl', '-s', '--max-time', String(limitSeconds), `http://${address}:${port}/`], { check: false, timeoutMs: 30_000 });
  return { code, body: stdout.trim() };
}

const rules = suite<Context>('rules: forwards, 1:1, filters');

rules.before(telling(async (context) => {
  context.lab = await Multiwan.up({ form: 'raw', weights: [1, 1], judged: ['wan1', 'wan2'], start: false });
  const { lab } = context;
  lab.weir.dropIn('60-rules', RULES);
  context.wires = await Promise.all([lab.cables.wan1.capture(), lab.cables.wan2.capture()]);
  await lab.start();
  await lab.service();
  context.inside = await TrafficServer.start(lab.pc1);
}));
rules.after((context) => context.lab?.close());

rules('a port forward by each uplink: the server inside sees the client, the client hears from whom it asked', async ({ lab, wires }) => {
  for (const address of [WAN1, WAN2]) {
    for (let i = 0; i < CONNECTIONS; i++) assert.equal(await curl(lab.server, address, WEB_PORT), { code: 0, body: SERVER }, address);
  }
  const answers = (wire: number, source: string): number =>
    wires[wire].recording.frames.filter((one) => one.source === source && one.protocol === TCP && one.sourcePort === WEB_PORT && (one.tcpFlags & SYN) !== 0).length;
  for (const [wire, own, other] of [[0, WAN1, WAN2], [1, WAN2, WAN1]] as const) {
    await waitFor(() => answers(wire, own) >= CONNECTIONS, 10_000, `the answers of ${own} on its wire`);
    assert.is(answers(wire, other), 0, `no answer of ${other} on the wire of ${own}`);
  }
  const { flows } = await lab.weir.askJson<FlowPage>('flows', '--port', String(WEB_PORT));
  for (const [uplink, inLink, address] of [['isp1', 'wan1', WAN1], ['isp2', 'wan2', WAN2]]) {
    const seen = flows.filter((flow) => flow.uplink === uplink);
    assert.ok(seen.length >= CONNECTIONS);
    for (const flow of seen) {
      assert.equal([flow.inLink, flow.outLink], [inLink, 'lan']);
      assert.equal([flow.original.destination, flow.original.destinationPort, flow.reply.source, flow.reply.sourcePort], [address, WEB_PORT, PC1, 80]);
    }
  }
});

rules('a forwarded range carries TCP and UDP, datagrams in fragments too', async ({ lab, inside }) => {
  const flows = await tcpFlows(lab.server, WAN1, CONNECTIONS, { port: ECHO_PORTS.tcp });
  assert.equal(flows.filter((flow) => !flow.ok), []);
  assert.equal([...tally(flows.map((flow) => flow.peer)).keys()], [SERVER], 'the client’s address is kept');
  const echoes = await udpEchoes(lab.server, WAN1, 3, [1, 1472, 1473, 9000], ECHO_PORTS.udp);
  assert.equal(echoes.filter((echo) => !echo.echoed), []);
  assert.ok(inside.arrivals('udp').every((arrival) => arrival.address === SERVER));
});

rules('hairpin: PC1 reaches itself by an external address and is seen by an external one', async ({ lab }) => {
  assert.equal(await curl(lab.pc1, WAN1, WEB_PORT), { code: 0, body: WAN1 });
  assert.equal(await curl(lab.pc1, WAN2, WEB_PORT), { code: 0, body: EXTERNAL });
  assert.equal(await curl(lab.pc1, EXTERNAL, 80), { code: 0, body: EXTERNAL });
});

rules('1:1: every port and ping come in, and what PC1 sends by that uplink bears the external address', async ({ lab }) => {
  assert.equal(await curl(lab.server, EXTERNAL, 80), { code: 0, body: SERVER });
  assert.is((await lab.server.ping(EXTERNAL, 3)).received, 3);
  assert.is((await lab.server.ping(EXTERNAL, 2, ['-s', '4000'])).received, 2);
  const path = (await lab.server.run(['tracepath', '-n', '-m', '8', EXTERNAL])).stdout;
  assert.match(path, /Resume: pmtu 1500 hops 3 back 3/, path);
  const flows = await tcpFlows(lab.pc1, SERVER, 60);
  assert.equal(flows.filter((flow) => !flow.ok), []);
  assert.equal([...new Set(flows.map((flow) => flow.peer))].sort(), [WAN1, EXTERNAL].sort());
  // The gateway has learned the address from the second uplink, whose link it belongs to.
  const macOf = (address: string): string | undefined => / lladdr (\S+)/.exec(lab.gateway.ip('neigh', 'show', address))?.[1];
  assert.is(macOf(EXTERNAL), macOf(WAN2));
  assert.ok(macOf(EXTERNAL) !== undefined && macOf(EXTERNAL) !== macOf(WAN1));
});

rules('reject is told at once, drop only by the client’s own patience', async ({ lab }) => {
  assert.is((await curl(lab.pc1, SERVER, REJECTED)).code, REFUSED);
  assert.is((await curl(lab.pc1, SERVER, DROPPED, 2)).code, TIMED_OUT);
  const { stdout } = await lab.pc1.run(['traceroute', '-n', '-U', '-p', String(REJECTED_UDP), '-q', '1', '-m', '4', SERVER]);
  assert.match(stdout, new RegExp(` ${ROUTER.replaceAll('.', '\\.')} .*!X`), stdout);
});

rules('a rate per source: a burst gets through, what exceeds it is refused', async ({ lab }) => {
  const codes: number[] = [];
  for (let i = 0; i < CONNECTIONS; i++) codes.push((await curl(lab.pc1, SERVER, 80)).code);
  assert.equal(codes, codes.map((_, i) => (i < BURST ? 0 : REFUSED)));
  // Other flows, and what comes the other way, are not counted.
  assert.equal(await curl(lab.server, WAN1, WEB_PORT), { code: 0, body: SERVER });
});

rules('weir filters counts what each has decided', async ({ lab }) => {
  const { filters } = await lab.weir.askJson<FilterList>('filters');
  const packets = Object.fromEntries(filters.map((filter) => [filter.name, filter.packets]));
  assert.equal(Object.keys(packets), Object.keys(RULES.filters), 'in the order of the file');
  assert.is(packets['no-mail'], 1);
  assert.ok(packets['no-news'] >= 1);
  assert.ok(packets['no-datagrams'] >= 1);
  assert.is(packets['not-too-many'], CONNECTIONS - BURST);
  assert.match(await lab.weir.ask('filters'), /not-too-many +reject +new .*burst 5 by source +in lan out wan1,wan2 protocol tcp ports 80\n/);
});

rules('no stack has seen a wrong checksum', ({ lab }) => {
  for (const host of [lab.pc1, lab.server]) assert.equal(Object.fromEntries(checksumErrors(host)), {});
});

rules.run();
