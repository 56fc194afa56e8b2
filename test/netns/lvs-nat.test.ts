/**
 * The page of the Linux Virtual Server project with real ends: its table of addresses, ports and weights with nginx, curl, vsftpd and lftp, and its
 * example of rewriting byte for byte on the wires. The kernel is held to the same rows, but for FTP, as a control of the test.
 */
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, readFrames, type Capture } from '../../netns/kit/capture.js';
import { fetchFtp, FTP_MODES, FTP_PORT } from '../../netns/kit/ftp.js';
import { ICMP } from '../../netns/kit/recording.js';
import { checksumErrors, tally } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { FILE_BYTES, readAnswer, splitTest } from '../../netns/kit/web.js';
import { CLIENT, INSIDE, LvsNat, ROUTER, SPLIT_TOLERANCE, VIRTUAL, WEB1, WEB2, type CableName } from '../../netns/lvs-nat.js';
import type { VirtualServerList } from '../../src/control/api/types.js';
import { hex, rewritten, tcpPackets } from './rewriting.js';
import { telling } from './telling.js';
import { CHANCE, WAIT_MS } from './virtual-servers.js';

/** The page's example. */
const EXAMPLE_CLIENT = `${CLIENT}:3456`;
const EXAMPLE_VIRTUAL = `${VIRTUAL}:80`;
const EXAMPLE_REAL = `${WEB2}:8000`;

interface Context { lab: LvsNat; wires: Record<'wan' | 'web1' | 'web2', Capture> }

const curl = (...args: string[]): string[] => ['curl', '-sS', '--fail', '-m', '20', ...args];

function page(peer: 'weir' | 'kernel'): void {
  const rows = suite<Context>(`lvs-nat, ${peer}: wires judged`);
  rows.before(telling(async (context) => {
    context.lab = await LvsNat.up({ peer, judged: ['wan', 'lan', 'web1', 'web2'] });
    const { cables } = context.lab;
    const [wan, web1, web2] = await Promise.all((['wan', 'web1', 'web2'] as CableName[]).map((name) => cables[name].capture()));
    context.wires = { wan, web1, web2 };
  }));
  rows.after((context) => context.lab?.close());

  rows('300 requests are split over 172.16.0.2:80 and 172.16.0.3:8000 as 1 to 2, and each server sees who asks', async ({ lab }) => {
    for (const server of Object.values(lab.web)) server.forget();
    const parts = await lab.split();
    assert.is(parts.reduce((sum, { count }) => sum + count, 0), 300);
    for (const { server, share, wanted } of parts) assert.ok(Math.abs(share - wanted) <= SPLIT_TOLERANCE, `${server} has ${share}, should have ${wanted}`);
    assert.ok(splitTest(parts).pValue >= CHANCE, JSON.stringify(parts));
    for (const { server, count } of parts) {
      const visits = lab.web[server as 'web1' | 'web2'].visits();
      assert.is(visits.length, count);
      assert.equal([...tally(visits.map(({ client }) => client)).keys()], [CLIENT]);
    }
  });

  // conforms: vs-rewriting
  rows("the page's example of rewriting, byte for byte", async ({ lab, wires }) => {
    await lab.untilWeb1();
    const answer = readAnswer((await lab.client.run(curl('--interface', CLIENT, '--local-port', '3456', lab.url))).stdout);
    assert.equal({ at: answer.at, client: `${answer.client}:${answer.clientPort}` }, { at: EXAMPLE_REAL, client: EXAMPLE_CLIENT });
    // Handshake, request and answer, the end of both sides: whoever closes first, each way has four packets at least.
    const [asked, forwarded, replied, returned] = await waitFor(() => {
      const seen = [
        tcpPackets(wires.wan.file, EXAMPLE_CLIENT, EXAMPLE_VIRTUAL), tcpPackets(wires.web2.file, EXAMPLE_CLIENT, EXAMPLE_REAL),
        tcpPackets(wires.web2.file, EXAMPLE_REAL, EXAMPLE_CLIENT), tcpPackets(wires.wan.file, EXAMPLE_VIRTUAL, EXAMPLE_CLIENT),
      ];
      return seen[0].length === seen[1].length && seen[2].length === seen[3].length && Math.min(...seen.map(({ length }) => length)) >= 4 ? seen : null;
    }, WAIT_MS, 'the flow to be in both recordings');
    assert.equal(hex(forwarded), hex(asked.map((packet) => rewritten(packet, { destination: EXAMPLE_REAL }))));
    assert.equal(hex(returned), hex(replied.map((packet) => rewritten(packet, { source: EXAMPLE_VIRTUAL }))));
    assert.equal(await readFrames(wires.web1.file, 'tcp.port == 3456'), [], 'no packet of it went to the other server');
  });

  rows('a file comes whole from each of them', async ({ lab }) => {
    const out = join(lab.lab.directory, 'fetched');
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) {
      await lab.client.run(curl('-o', out, `${lab.url}file`));
      const content = readFileSync(out);
      assert.is(content.length, FILE_BYTES);
      const server = content.toString('latin1', 0, 4);
      assert.ok(content.equals(Buffer.alloc(FILE_BYTES, `${server} `)));
      seen.add(server);
    }
    assert.equal([...seen].sort(), ['web1', 'web2']);
    assert.equal([...checksumErrors(lab.client), ...checksumErrors(lab.hosts.web1), ...checksumErrors(lab.hosts.web2)], []);
  });

  // conforms: vs-known-flows
  rows('what a real server sends of its own accord bears the outside address', async ({ lab, wires }) => {
    for (const host of Object.values(lab.hosts)) assert.is((await host.ping(CLIENT, 3)).received, 3);
    const echoes = await waitFor(() => {
      const seen = wires.wan.recording.frames.filter((one) => one.protocol === ICMP && one.icmpType === 8 && one.destination === CLIENT);
      return tally(seen.map(({ source, icmpId, icmpSequence }) => `${source} ${icmpId} ${icmpSequence}`)).size >= 6 ? seen : null;
    }, WAIT_MS, 'the echo requests to be in the recording');
    assert.equal([...tally(echoes.map(({ source }) => source)).keys()], [VIRTUAL]);
  });

  if (peer === 'weir') {
    rows('a port of the address that is no virtual server is refused, after the pause of RFC 5382 REQ-4, and the address is the router\'s own', async ({ lab }) => {
      const { code, stderr } = await lab.client.run(['curl', '-sS', '-m', '10', `http://${VIRTUAL}:81/`], { check: false });
      assert.is(code, 7, stderr);
      assert.match(stderr, /refused|Couldn't connect/);
      assert.is((await lab.client.ping(VIRTUAL, 3)).received, 3);
      for (const host of Object.values(lab.hosts)) assert.is((await host.ping(ROUTER, 3)).received, 3);
    });

    for (const mode of FTP_MODES) {
      // conforms: vs-ftp
      rows(`FTP ${mode.name}: the data follow to 172.16.0.3 and come from the virtual address`, async ({ lab, wires }) => {
        assert.is(await fetchFtp(lab.client, VIRTUAL, mode, 2), lab.ftpHash);
        assert.equal(await readFrames(wires.web1.file, `tcp.port == ${FTP_PORT}`), [], 'web1 has no part in it');
        assert.equal((await readFrames(wires.wan.file, 'ftp contains "172,16,0,3" || ftp contains "172.16.0.3"')).map(({ info }) => info), [], 'no inside address in the text');
      });
    }

    rows('weir servers is the page\'s table', async ({ lab }) => {
      const { virtualServers } = await lab.weir.askJson<VirtualServerList>('servers');
      const table = virtualServers.flatMap(({ name, addresses, protocols, ports, scheduler, realServers }) =>
        realServers.map((real) => `${protocols.join()} ${addresses.join()}:${ports.first} ${scheduler.name} ${name}/${real.name} ${real.address}:${real.port} ${real.weight} ${real.state}`));
      assert.equal(table, [
        `tcp ${VIRTUAL}:80 wlc web/web1 ${WEB1}:80 1 up`,
        `tcp ${VIRTUAL}:80 wlc web/web2 ${WEB2}:8000 2 up`,
        `tcp ${VIRTUAL}:21 wrr ftp/ftp1 ${WEB2}:21 1 up`,
      ]);
    });
  }

  rows('no wire carried a wrong checksum, nor the one outside an inside address', async ({ wires }) => {
    const { good } = await assertWireClean(await wires.wan.stop(), { never: INSIDE });
    assert.ok(good.tcp > 3000 && good.icmp > 0, `judged outside: ${JSON.stringify(good)}`);
    for (const wire of [wires.web1, wires.web2]) {
      const inside = await assertWireClean(await wire.stop());
      assert.ok(inside.good.tcp > 500, `judged inside: ${JSON.stringify(inside.good)}`);
    }
  });
  rows.run();
}

page('kernel');
page('weir');
