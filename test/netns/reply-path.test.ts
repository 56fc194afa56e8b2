/**
 * The reply path with real ends, with the addresses of WebMux's article: a client on the real server's own network is not answered, is with the
 * article's routes and with those that `weir check` names, and is without a word to the server when its source is translated. The kernel is
 * held to the same rows as a control of the test: the trouble is none of weir's making.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, type Capture } from '../../netns/kit/capture.js';
import { run } from '../../netns/kit/command.js';
import type { Host } from '../../netns/kit/lab.js';
import { RST, TCP, type Sighting } from '../../netns/kit/recording.js';
import { tally } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { readAnswer } from '../../netns/kit/web.js';
import { WEIR } from '../../netns/kit/weir.js';
import { CLIENT, ReplyPath, ROUTER, SERVER, VIRTUAL, VISITOR } from '../../netns/reply-path.js';
import { hex, rewritten, tcpPackets } from './rewriting.js';
import { telling } from './telling.js';
import { WAIT_MS } from './virtual-servers.js';

/** For a connection that never comes about; those that do take milliseconds. */
const NEVER_SECONDS = 2;
const SOON_SECONDS = 10;
const CLIENT_PORT = 5055;

interface Context { lab: ReplyPath; wires: Record<'client' | 'server' | 'outside', Capture> }

/** As whom the server saw each of the three, null for who was not answered. */
async function seen(lab: ReplyPath, answered: readonly Host[]): Promise<Record<string, string | null>> {
  const rows: Record<string, string | null> = {};
  for (const host of [lab.visitor, lab.client, lab.server]) rows[host.name] = (await lab.ask(host, answered.includes(host) ? SOON_SECONDS : NEVER_SECONDS))?.client ?? null;
  return rows;
}

/** TCP packets on the client's wire of its flows to port 80 and back. */
function onClientWire(wires: Context['wires']): Sighting[] {
  return wires.client.recording.frames.filter((one) => one.protocol === TCP && (one.sourcePort === 80 || one.destinationPort === 80) && (one.source === CLIENT || one.destination === CLIENT));
}
/** Who to whom, how often. */
const endsOnClientWire = (wires: Context['wires']): Map<string, number> => tally(onClientWire(wires).map(({ source, destination }) => `${source} > ${destination}`));

function article(peer: 'weir' | 'kernel'): void {
  const rows = suite<Context>(`reply-path, ${peer}: wires judged`);
  rows.before(telling(async (context) => {
    context.lab = await ReplyPath.up({ peer, judged: ['outside', 'router', 'server', 'client'] });
    const { cables } = context.lab;
    const [client, server, outside] = await Promise.all((['client', 'server', 'outside'] as const).map((name) => cables[name].capture()));
    context.wires = { client, server, outside };
  }));
  rows.after((context) => context.lab?.close());

  rows("the trouble: the server answers the client as one it never asked, and nobody on the server's network gets a connection", async ({ lab, wires }) => {
    assert.is(lab.snat, 'never');
    assert.equal(await seen(lab, [lab.visitor]), { visitor: VISITOR, client: null, server: null });
    const ends = await waitFor(() => {
      const found = endsOnClientWire(wires);
      return found.size === 3 ? found : null;
    }, WAIT_MS, "the client's wire to show who asked and who answered");
    assert.equal([...ends.keys()], [`${CLIENT} > ${VIRTUAL}`, `${SERVER} > ${CLIENT}`, `${CLIENT} > ${SERVER}`]);
    const refused = onClientWire(wires).filter(({ tcpFlags, source, destination }) => (tcpFlags & RST) !== 0 && source === CLIENT && destination === SERVER);
    assert.ok(refused.length > 0, 'the client refuses what the stranger sends');
  });

  rows("the article's cure: with its routes the server answers by the router, and the client is answered as itself", async ({ lab }) => {
    lab.cure();
    try {
      assert.equal(await seen(lab, [lab.visitor, lab.client]), { visitor: VISITOR, client: CLIENT, server: null });
    } finally {
      lab.uncure();
    }
    assert.is(await lab.ask(lab.client, NEVER_SECONDS), null, 'without them it is as before');
  });

  if (peer === 'weir') {
    // conforms: vs-same-subnet
    rows('weir check names the clients that get no answer and the commands for the servers, and these cure it too', async ({ lab }) => {
      const { stderr } = await run([WEIR, 'check', '-c', lab.weir.configFile]);
      const warning = stderr.split('\n').find((line) => line.includes('virtualServers.web.snat')) ?? '';
      assert.match(warning, /clients on 192\.168\.1\.0\/24 /);
      const commands = /give those: (.*)$/.exec(warning)?.[1].split('; ') ?? [];
      assert.equal(commands, ['ip route replace 192.168.1.1/32 dev DEVICE', 'ip route replace 192.168.1.0/24 via 192.168.1.1']);
      for (const command of commands) lab.server.runNow(command.replace('DEVICE', 'eth2').split(' '));
      try {
        assert.equal(await seen(lab, [lab.visitor, lab.client]), { visitor: VISITOR, client: CLIENT, server: null });
      } finally {
        lab.server.ip('route', 'replace', '192.168.1.0/24', 'dev', 'eth2', 'src', SERVER);
        lab.server.ip('route', 'del', `${ROUTER}/32`, 'dev', 'eth2');
      }
    });
  }

  // conforms: vs-same-subnet
  rows("ours, snat: auto: the client is answered and so is the server by its own virtual address; who comes from outside is seen as itself", async ({ lab }) => {
    await lab.change('auto');
    assert.equal(await seen(lab, [lab.visitor, lab.client, lab.server]), { visitor: VISITOR, client: ROUTER, server: ROUTER });
    if (peer === 'kernel') return;
    const { stderr } = await run([WEIR, 'check', '-c', lab.weir.configFile]);
    assert.not.match(stderr, /virtualServers/);
  });

  rows('a flow of the client, byte for byte: both ends rewritten on the way there, both on the way back', async ({ lab, wires }) => {
    const { stdout } = await lab.client.run(['curl', '-sS', '-m', String(SOON_SECONDS), '--local-port', String(CLIENT_PORT), lab.url]);
    const answer = readAnswer(stdout);
    assert.equal([answer.server, answer.client], ['server', ROUTER]);
    const client = `${CLIENT}:${CLIENT_PORT}`, virtual = `${VIRTUAL}:80`, router = `${ROUTER}:${answer.clientPort}`, server = `${SERVER}:80`;
    const [asked, forwarded, replied, returned] = await waitFor(() => {
      const found = [tcpPackets(wires.client.file, client, virtual), tcpPackets(wires.server.file, router, server), tcpPackets(wires.server.file, server, router), tcpPackets(wires.client.file, virtual, client)];
      return found[0].length === found[1].length && found[2].length === found[3].length && Math.min(...found.map(({ length }) => length)) >= 4 ? found : null;
    }, WAIT_MS, 'the flow to be in both recordings');
    assert.equal(hex(forwarded), hex(asked.map((packet) => rewritten(packet, { source: router, destination: server }))));
    assert.equal(hex(returned), hex(replied.map((packet) => rewritten(packet, { source: virtual, destination: client }))));
  });

  rows('a hundred at once from the client: each has a port of its own', async ({ lab }) => {
    lab.web.forget();
    await lab.client.run(['curl', '-sS', '--fail', '--no-progress-meter', '-m', '30', '-Z', '--parallel-max', '50', '-H', 'Connection: close', `${lab.url}?[1-100]`]);
    const visits = lab.web.visits();
    assert.equal([visits.length, new Set(visits.map(({ clientPort }) => clientPort)).size], [100, 100]);
    assert.equal([...tally(visits.map(({ client }) => client))], [[ROUTER, 100]]);
  });

  rows('snat: always: all are seen as the router', async ({ lab }) => {
    await lab.change('always');
    assert.equal(await seen(lab, [lab.visitor, lab.client, lab.server]), { visitor: ROUTER, client: ROUTER, server: ROUTER });
  });

  rows('no wire carried a wrong checksum', async ({ wires }) => {
    for (const wire of Object.values(wires)) {
      const { good } = await assertWireClean(await wire.stop());
      assert.ok(good.tcp > 20, `judged: ${JSON.stringify(good)}`);
    }
  });
  rows.run();
}

article('kernel');
article('weir');
