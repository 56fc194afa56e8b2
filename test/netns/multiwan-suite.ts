/**
 * What `multiwan` must do, whoever routes: the rows that the raw form, the tap form and, as a control of the tests themselves,
 * the kernel's own routing are held to. The uplink wires are recorded from the first packet on and judged at the end.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, type Capture, type Frame } from '../../netns/kit/capture.js';
import { TCP } from '../../netns/kit/recording.js';
import { bulkTcp, checksumErrors, recovery, steadyFlow, tally, tcpFlows, TrafficServer, udpEchoes, Watch } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { GATEWAY, INSIDE, Multiwan, PC1, ROUTER, SERVER, SPLIT_TOLERANCE, WAN1, WAN2, type Form } from '../../netns/multiwan.js';
import type { RouterStatus, UplinkStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';

/** Sizes around the edges: small, the largest whole datagram, one byte more, several fragments, the most UDP can carry nearly. */
const DATAGRAM_BYTES = [1, 100, 1472, 1473, 4000, 60_000];
const BULK_BYTES = 10_000_000;
const FAILOVER_LIMIT_MS = 15_000;
const DEAD_PORT = 9;
const BOX_PORTS = { tcp: 2200, udp: 2201, http: 2280 };

interface Context { lab: Multiwan; wires: Capture[]; closed: boolean }

/** Counters by name, as plain data that a failed assertion can print. */
const plain = (counts: ReadonlyMap<string, number>): Record<string, number> => Object.fromEntries(counts);

/** Addresses of the hops, in order; '*' where none answered. */
function hops(output: string): string[] {
  return output.split('\n').map((line) => /^\s*\d+[:?]*\s+(\S+)/.exec(line)?.[1]).filter((hop) => hop !== undefined && hop !== '[LOCALHOST]') as string[];
}

export function multiwanSuite(form: Form, peer: 'weir' | 'kernel'): void {
  const title = peer === 'kernel' ? `kernel, ${form}` : form;
  const wan = suite<Context>(`multiwan ${title}: uplink wires judged`);

  wan.before(telling(async (context) => {
    context.lab = await Multiwan.up({ form, peer, weights: [3, 1], judged: ['wan1', 'wan2'] });
    context.wires = await Promise.all([context.lab.cables.wan1.capture(), context.lab.cables.wan2.capture()]);
  }));
  wan.after((context) => context.lab?.close());

  wan('pings of every size are answered by the router, the gateway and the server', async ({ lab }) => {
    for (const address of [ROUTER, GATEWAY, SERVER]) {
      for (const bytes of [0, 56, 1472, 1473, 9000]) {
        const { sent, received, output } = await lab.pc1.ping(address, 3, ['-s', String(bytes)]);
        assert.is(received, sent, `${bytes} bytes to ${address}:\n${output}${received === sent || peer === 'kernel' ? '' : await lab.weir.ask('drops')}`);
      }
    }
  });

  if (peer === 'weir') {
    wan('pinging the gateway from PC1 uses both links', async ({ lab }) => {
      const service = (await lab.pc1.run(['sh', '-c', `for i in $(seq 64); do ping -n -c 1 -W 5 ${GATEWAY} & done; wait`])).stdout;
      assert.is([...service.matchAll(/1 received/g)].length, 64);
    });
  }

  wan('TCP flows all connect, are split by weight and come from their own link\'s address', async ({ lab }) => {
    const { flows, sources, share, off } = await lab.split();
    assert.equal(flows.filter((flow) => !flow.ok), []);
    assert.equal([...sources.keys()].sort(), [WAN1, WAN2]);
    assert.ok(off <= SPLIT_TOLERANCE, `share of wan1 ${share}`);
  });

  wan('a flow of many segments stays on one wire', async ({ lab, wires }) => {
    const marks: { peer: string; port: number }[] = [];
    for (let i = 0; i < 6; i++) {
      const flow = await steadyFlow(lab.pc1, SERVER, 100, 700);
      assert.is(flow.error, null);
      marks.push({ peer: flow.peer!, port: flow.peerPort! });
    }
    for (const { peer, port } of marks) {
      // The last segment of a flow may still be on its way into the file.
      const seen = await waitFor(() => {
        const counts = wires.map(({ recording }) => recording.frames.filter((one) => one.protocol === TCP && one.payload.length > 0
          && (one.source === peer || one.destination === peer) && (one.sourcePort === port || one.destinationPort === port)).length);
        return counts[0] + counts[1] >= 200 ? counts : null;
      }, 10_000, 'both directions of the flow to be in the recordings');
      assert.is(Math.min(...seen), 0, `segments of port ${port} by wire: ${seen}`);
      assert.is(seen.findIndex((count) => count > 0), peer === WAN1 ? 0 : 1, 'it is on the wire of its source address');
    }
  });

  wan('datagrams of every size come back, in fragments where they must', async ({ lab }) => {
    await lab.service();
    const results = await udpEchoes(lab.pc1, SERVER, 4, DATAGRAM_BYTES);
    assert.equal(results.filter((result) => !result.echoed), []);
    assert.is(results.length, 4 * DATAGRAM_BYTES.length);
  });

  wan('bulk TCP gets through whole, both ways', async ({ lab }) => {
    for (const [streams, reverse] of [[1, false], [4, false], [1, true], [4, true]] as const) {
      const bulk = await bulkTcp(lab.pc1, lab.server, SERVER, { streams, reverse, bytes: BULK_BYTES });
      assert.ok(bulk.sentBytes >= BULK_BYTES, `${bulk.sentBytes} bytes sent`);
      assert.ok(bulk.receivedBytes > 0);
    }
    assert.equal(plain(checksumErrors(lab.pc1)), {});
    assert.equal(plain(checksumErrors(lab.server)), {});
  });

  wan('tracepath and traceroute see the router, then the gateway, then the server', async ({ lab }) => {
    const path = (await lab.pc1.run(['tracepath', '-n', '-m', '8', SERVER])).stdout;
    assert.match(path, /Resume: pmtu 1500 hops 3 back 3/);
    assert.equal([...new Set(hops(path))], [ROUTER, GATEWAY, SERVER], path);
    for (const kind of ['-U', '-I', '-T']) {
      const { stdout } = await lab.pc1.run(['traceroute', '-n', kind, '-q', '2', '-w', '2', '-m', '8', SERVER], { timeoutMs: 60_000 });
      assert.equal(hops(stdout), [ROUTER, GATEWAY, SERVER], stdout);
    }
  });

  wan('a dead port is told to the sender: ICMP for UDP, a reset for TCP', async ({ lab }) => {
    const [datagram] = await udpEchoes(lab.pc1, SERVER, 1, [10], DEAD_PORT);
    assert.is(datagram.error, 'ECONNREFUSED');
    const [flow] = await tcpFlows(lab.pc1, SERVER, 1, { port: DEAD_PORT });
    assert.is(flow.error, 'ECONNREFUSED');
  });

  if (peer === 'weir') {
    wan('the box\'s own curl leaves by weight, from the link\'s address', async ({ lab }) => {
      await lab.service();
      const { stdout } = await lab.router.run(['sh', '-c', `for i in $(seq 40); do curl -sS -m 5 http://${SERVER}/ || exit; done`], { timeoutMs: 60_000 });
      const sources = tally(stdout.trim().split('\n'));
      assert.is(stdout.trim().split('\n').length, 40);
      assert.equal([...sources.keys()].sort(), [WAN1, WAN2]);
      const ping = await lab.router.ping(SERVER, 3);
      assert.is(ping.received, 3, ping.output);
    });

    wan('a connection from the LAN to the router\'s address reaches a server on the box', async ({ lab }) => {
      const service = await TrafficServer.start(lab.router, BOX_PORTS);
      const results = await tcpFlows(lab.pc1, ROUTER, 20, { port: BOX_PORTS.tcp });
      assert.equal(results.filter((result) => !result.ok), []);
      assert.equal([...new Set(service.arrivals('tcp').map((arrival) => arrival.address))], [PC1], 'the box sees who connects');
      const long = await steadyFlow(lab.pc1, ROUTER, 200, 1200, BOX_PORTS.tcp);
      assert.is(long.error, null);
      const datagrams = await udpEchoes(lab.pc1, ROUTER, 2, [100, 5000], BOX_PORTS.udp);
      assert.equal(datagrams.filter((datagram) => !datagram.echoed), []);
    });
  }

  wan('no uplink wire carried a wrong checksum, an inside address or another link\'s source', async ({ lab, wires }) => {
    const gatewayMac = (JSON.parse(lab.gateway.ip('-j', 'link', 'show', 'br0')) as { address: string }[])[0].address;
    for (const [i, address] of [WAN1, WAN2].entries()) {
      const file = await wires[i].stop();
      const { seen, good } = await assertWireClean(file, { never: INSIDE });
      assert.ok(good.tcp > 1000 && good.udp > 0 && good.icmp > 0, `judged on wan${i + 1}: ${JSON.stringify(good)}`);
      const outbound = seen.filter(({ sources, sourceMac }) => sources.length > 0 && sourceMac !== gatewayMac);
      assert.ok(outbound.length > 0);
      // That resets keep to it is weir's promise alone: the kernel routes one that conntrack calls invalid by itself, over any of its paths.
      const strange = outbound.filter((frame: Frame) => frame.sources[0] !== address && (peer === 'weir' || !frame.info.includes('[RST')));
      assert.equal(strange.slice(0, 5).map((frame) => `${frame.sources[0]}: ${frame.info}`), [], `wan${i + 1} carries only packets from ${address}`);
      const echoes = outbound.filter((frame) => frame.destinations[0] === GATEWAY && frame.info.startsWith('Echo (ping) request'));
      if (peer === 'weir') assert.ok(echoes.length > 0, `echo requests to the gateway were seen on wan${i + 1}`);
    }
  });

  wan.run();

  const lan = suite<Context>(`multiwan ${title}: LAN wire judged, offloads on the uplinks`);
  lan.before(telling(async (context) => { context.lab = await Multiwan.up({ form, peer, weights: [3, 1], judged: ['lan'] }); }));
  lan.after((context) => context.lab?.close());

  lan('bulk TCP, flows and datagrams arrive with right checksums, and the LAN sees no uplink address', async ({ lab }) => {
    const wire = await lab.cables.lan.capture();
    await lab.service();
    for (const reverse of [false, true]) await bulkTcp(lab.pc1, lab.server, SERVER, { bytes: BULK_BYTES, reverse });
    assert.equal((await tcpFlows(lab.pc1, SERVER, 50)).filter((flow) => !flow.ok), []);
    assert.equal((await udpEchoes(lab.pc1, SERVER, 2, DATAGRAM_BYTES)).filter((result) => !result.echoed), []);
    assert.is((await lab.pc1.ping(SERVER, 3, ['-s', '3000'])).received, 3);
    assert.is((await udpEchoes(lab.pc1, SERVER, 1, [10], DEAD_PORT))[0].error, 'ECONNREFUSED');
    const { good } = await assertWireClean(await wire.stop(), { never: '192.168.201.' });
    assert.ok(good.tcp > 10_000 && good.udp > 0 && good.icmp > 0, JSON.stringify(good));
    assert.equal(plain(checksumErrors(lab.pc1)), {});
    assert.equal(plain(checksumErrors(lab.server)), {});
  });

  const losses: { what: string; pull: (lab: Multiwan) => void; plug: (lab: Multiwan) => void }[] = [
    { what: 'a pulled cable', pull: (lab) => lab.cables.wan1.cut(), plug: (lab) => lab.cables.wan1.plug() },
    // On a bridge the TAP itself can be taken down as well, while the cable is well.
    ...(form === 'tap' ? [{ what: 'a device set down', pull: (lab: Multiwan) => { lab.router.ip('link', 'set', 'weir-wan1', 'down'); }, plug: (lab: Multiwan) => { lab.router.ip('link', 'set', 'weir-wan1', 'up'); } }] : []),
  ];
  for (const { what, pull, plug } of losses) {
    lan(`${what} moves new flows to the other uplink, and the first gets its share again when it is back`, async ({ lab }) => {
      const stateOfWan1 = async (): Promise<string | undefined> => (await lab.weir.api<RouterStatus>('status')).uplinks.find((uplink: UplinkStatus) => uplink.link === 'wan1')?.state;
      const watch = await Watch.start(lab.pc1, SERVER, 100_000);
      await waitFor(() => { const peers = tally(watch.results().map((result) => result.peer)); return peers.has(WAN1) && peers.has(WAN2); }, FAILOVER_LIMIT_MS, 'flows on both uplinks');
      pull(lab);
      // The next whole millisecond: a flow that began while it was being pulled may well have gone by the first uplink.
      const pulledAtMs = Date.now() + 1;
      const { firstGoodMs } = await waitFor(() => recovery(watch.results(), pulledAtMs), FAILOVER_LIMIT_MS, 'new flows to succeed again');
      const moved = watch.results().filter((result) => result.ok && result.atMs >= pulledAtMs + firstGoodMs);
      const sources = plain(tally(moved.map((result) => result.peer)));
      // The kernel may send a repeated SYN of a flow bound to the first uplink by the second, with the first one's address; weir never does.
      if (peer === 'weir') assert.equal(sources, { [WAN2]: moved.length });
      else assert.ok(WAN2 in sources, JSON.stringify(sources));
      if (peer === 'weir') {
        await waitFor(async () => await stateOfWan1() === 'down', FAILOVER_LIMIT_MS, 'weir to call the uplink down');
        assert.is((await lab.weir.api<RouterStatus>('status')).state, 'degraded');
      }
      const pluggedAtMs = Date.now();
      plug(lab);
      await waitFor(() => watch.results().some((result) => result.ok && result.atMs >= pluggedAtMs && result.peer === WAN1), FAILOVER_LIMIT_MS, 'new flows to use wan1 again');
      await waitFor(() => recovery(watch.results(), pluggedAtMs), FAILOVER_LIMIT_MS, 'every new flow to succeed');
      await watch.stop();
      if (peer === 'weir') {
        await waitFor(async () => await stateOfWan1() === 'up', FAILOVER_LIMIT_MS, 'weir to call the uplink up');
        assert.is((await lab.weir.api<RouterStatus>('status')).state, 'up');
      }
    });
  }

  lan.run();
}
