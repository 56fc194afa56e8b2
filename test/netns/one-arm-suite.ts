/**
 * The example of BalanceNG's site with real ends, to the letter of its addresses and timers: two networks on one wire, two web servers behind the old
 * one's address, all checked. The kernel is held to the same rows, but for the checks, as a control of the test.
 */
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, judge, readFrames, type Capture } from '../../netns/kit/capture.js';
import type { Host } from '../../netns/kit/lab.js';
import { ACK, ICMP, SYN, TCP, type Sighting } from '../../netns/kit/recording.js';
import { checksumErrors, tally } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { FILE_BYTES, readAnswer, Requests, splitTest } from '../../netns/kit/web.js';
import {
  CLIENT, GATEWAY, INSIDE, INSIDE_REAL, INSIDE_VIRTUAL, OneArm, OUTSIDE_REAL, OUTSIDE_VIRTUAL, PC, SERVER, SPLIT_TOLERANCE, TARGET1, TARGET2, type OneArmOptions,
} from '../../netns/one-arm.js';
import type { UplinkList, VirtualServerList } from '../../src/control/api/types.js';
import { hex, rewritten, tcpPackets } from './rewriting.js';
import { telling } from './telling.js';
import { CHANCE, ended, events, noneFailed, noneHung, told, WAIT_MS } from './virtual-servers.js';

const CLIENT_PORT = 4040;
/** The virtual router's, by its id. */
const VIRTUAL_MAC = '00:00:5e:00:01:01';
const REQUESTS = 100;
/** `ping 3,8`, `tcpopen 80,3,10` and `tcpopen 80,2,10`: every so many seconds; silent for so long, and it is down. */
const PING = { intervalMs: 3000, downMs: 8000 };
const OPEN1 = { intervalMs: 3000, downMs: 10_000 };
const OPEN2 = { intervalMs: 2000, downMs: 10_000 };

interface Context { lab: OneArm; wires: Record<'gateway' | 'pc' | 'target1' | 'target2', Capture> }

/** The MAC address of a host's device. */
function macOf(host: Host): string { return (JSON.parse(host.ip('-j', 'link', 'show', 'eth0')) as { address: string }[])[0].address; }

/** When the balancer asked something by one of its addresses on a network, as a wire has it so far. */
function asked(wire: Capture, from: string, to: string, isQuestion: (sighting: Sighting) => boolean): number[] {
  const network = from.slice(0, from.lastIndexOf('.') + 1);
  return wire.recording.frames.filter((one) => one.kind === 'ip' && one.source.startsWith(network) && one.destination === to && isQuestion(one)).map(({ atMs }) => atMs);
}
const pings = (wire: Capture): number[] => asked(wire, OUTSIDE_REAL, GATEWAY, ({ protocol, icmpType }) => protocol === ICMP && icmpType === 8);
const opens = (wire: Capture, target: string): number[] => asked(wire, INSIDE_REAL, target, ({ protocol, tcpFlags }) => protocol === TCP && (tcpFlags & (SYN | ACK)) === SYN);

/** The questions of a check come this often: by their mean, for a machine that stalls makes one late and the next early. */
function asksEvery(atMs: readonly number[], intervalMs: number, what: string): void {
  assert.ok(atMs.length >= 3, `${what}: ${atMs.length} questions`);
  const meanMs = (atMs.at(-1)! - atMs[0]) / (atMs.length - 1);
  assert.ok(meanMs > intervalMs * 0.8 && meanMs < intervalMs * 1.4, `${what}: asked every ${meanMs} ms`);
}

/** @param name of the suite. */
export function oneArm(name: string, options: OneArmOptions): void {
  const rows = suite<Context>(`one-arm, ${name}: wires judged`);
  rows.before(telling(async (context) => {
    context.lab = await OneArm.up({ ...options, judged: ['gateway', 'pc', 'balancer', 'target1', 'target2'] });
    const { cables } = context.lab;
    const [gateway, pc, target1, target2] = await Promise.all((['gateway', 'pc', 'target1', 'target2'] as const).map((cable) => cables[cable].capture()));
    context.wires = { gateway, pc, target1, target2 };
  }));
  rows.after((context) => context.lab?.close());

  rows('one device answers for the real and the virtual addresses of both networks, and for the server', async ({ lab }) => {
    for (const address of [OUTSIDE_REAL, OUTSIDE_VIRTUAL]) assert.is((await lab.pc.ping(address, 3)).received, 3, address);
    for (const address of [INSIDE_REAL, INSIDE_VIRTUAL]) assert.is((await lab.hosts.target1.ping(address, 3)).received, 3, address);
    await lab.pc.run(['curl', '-sS', '--fail', '-m', '10', lab.url]);
    const mac = macOf(lab.balancer);
    // The virtual ones bear the virtual router's MAC address, which goes with them from box to box; the kernel knows no such thing.
    const virtual = options.peer === 'kernel' ? mac : VIRTUAL_MAC;
    const neighbours = (host: Host): Map<string, string> => new Map((JSON.parse(host.ip('-j', 'neigh', 'show')) as { dst: string; lladdr?: string }[]).map(({ dst, lladdr }) => [dst, lladdr ?? '']));
    for (const [address, owner] of [[OUTSIDE_REAL, mac], [OUTSIDE_VIRTUAL, virtual], [SERVER, virtual]]) assert.is(neighbours(lab.pc).get(address), owner, address);
    for (const [address, owner] of [[INSIDE_REAL, mac], [INSIDE_VIRTUAL, virtual]]) assert.is(neighbours(lab.hosts.target1).get(address), owner, address);
  });

  rows('both targets have half, from beyond the gateway and from the wire itself, and see who asks', async ({ lab }) => {
    for (const [host, address] of [[lab.client, CLIENT], [lab.pc, PC]] as const) {
      for (const server of Object.values(lab.web)) server.forget();
      const parts = await lab.split(host, REQUESTS);
      for (const { server, share, wanted, count } of parts) {
        assert.ok(Math.abs(share - wanted) <= SPLIT_TOLERANCE, `${server} has ${share} of the requests of ${address}`);
        assert.equal([...tally(lab.web[server as 'target1' | 'target2'].visits().map(({ client }) => client))], [[address, count]]);
      }
      assert.ok(splitTest(parts).pValue >= CHANCE, JSON.stringify(parts));
    }
  });

  rows('a flow byte for byte: in and out by the one wire', async ({ lab, wires }) => {
    const { stdout } = await lab.client.run(['curl', '-sS', '--fail', '-m', '10', '--local-port', String(CLIENT_PORT), lab.url]);
    const answer = readAnswer(stdout);
    const target = wires[answer.server as 'target1' | 'target2'].file;
    const client = `${CLIENT}:${CLIENT_PORT}`, server = `${SERVER}:80`;
    assert.equal(`${answer.client}:${answer.clientPort}`, client);
    const [asked, forwarded, replied, returned] = await waitFor(() => {
      const seen = [tcpPackets(wires.gateway.file, client, server), tcpPackets(target, client, answer.at), tcpPackets(target, answer.at, client), tcpPackets(wires.gateway.file, server, client)];
      return seen[0].length === seen[1].length && seen[2].length === seen[3].length && Math.min(...seen.map(({ length }) => length)) >= 4 ? seen : null;
    }, WAIT_MS, 'the flow to be in both recordings');
    assert.equal(hex(forwarded), hex(asked.map((packet) => rewritten(packet, { destination: answer.at }))));
    assert.equal(hex(returned), hex(replied.map((packet) => rewritten(packet, { source: server }))));
  });

  rows('a file comes whole from each of them', async ({ lab }) => {
    const out = join(lab.lab.directory, 'fetched');
    const seen = new Set<string>();
    for (const host of [lab.client, lab.client, lab.pc, lab.pc]) {
      await host.run(['curl', '-sS', '--fail', '-m', '20', '-o', out, `${lab.url}file`]);
      const content = readFileSync(out);
      const server = content.toString('latin1', 0, 7);
      assert.ok(content.equals(Buffer.alloc(FILE_BYTES, `${server} `)), `${content.length} bytes of ${server}`);
      seen.add(server);
    }
    assert.equal([...seen].sort(), ['target1', 'target2']);
    for (const host of [lab.client, lab.pc, ...Object.values(lab.hosts)]) assert.equal([...checksumErrors(host)], []);
  });

  rows('what a target sends of its own accord leaves with the virtual address outside', async ({ lab, wires }) => {
    for (const host of Object.values(lab.hosts)) for (const address of [CLIENT, PC]) assert.is((await host.ping(address, 3)).received, 3, `${host.name} to ${address}`);
    for (const [wire, address] of [[wires.gateway, CLIENT], [wires.pc, PC]] as const) {
      const echoes = await waitFor(() => {
        const seen = wire.recording.frames.filter((one) => one.protocol === ICMP && one.icmpType === 8 && one.destination === address);
        return tally(seen.map(({ source, icmpId, icmpSequence }) => `${source} ${icmpId} ${icmpSequence}`)).size >= 6 ? seen : null;
      }, WAIT_MS, 'the echo requests to be in the recording');
      assert.equal([...tally(echoes.map(({ source }) => source)).keys()], [OUTSIDE_VIRTUAL]);
    }
  });

  if (options.peer !== 'kernel') checks(rows);

  rows('no wire carried a wrong checksum, nor was anything inside said to the gateway or the PC', async ({ lab, wires }) => {
    for (const wire of Object.values(wires)) {
      const { good } = await assertWireClean(await wire.stop());
      assert.ok(good.tcp > 200, `judged: ${JSON.stringify(good)}`);
    }
    // The wire is one, so what is asked by broadcast is heard by all.
    for (const [wire, host] of [[wires.gateway, lab.gateway], [wires.pc, lab.pc]] as const) {
      const frames = await readFrames(wire.file, `eth.dst == ${macOf(host)} && eth.src in {${macOf(lab.balancer)}, ${VIRTUAL_MAC}}`);
      assert.ok(frames.length > 200);
      assert.equal(judge(frames, { never: INSIDE }), []);
    }
  });
  rows.run();
}

/** What weir makes of `ping` and `tcpopen`. */
function checks(rows: ReturnType<typeof suite<Context>>): void {
  rows('target2 and the gateway fall silent: each is down after its time, nobody else is, and all come back', async ({ lab, wires }) => {
    const { virtualServers: [web] } = await lab.weir.api<VirtualServerList>('servers');
    const { uplinks: [uplink] } = await lab.weir.api<UplinkList>('uplinks');
    const named = (address: string): string => `${web.name}/${web.realServers.find((real) => real.address === address)!.name}`;
    assert.equal([web.addresses, web.protocols, web.ports, web.scheduler.name], [[SERVER], ['tcp'], { first: 80, last: 80 }, 'rr']);
    assert.equal(web.realServers.map(({ address, port, state }) => `${address}:${port} ${state}`), [`${TARGET1}:80 up`, `${TARGET2}:80 up`]);
    assert.equal([uplink.gateway, uplink.state], [GATEWAY, 'up']);

    // The gateway's and target2's are counted before they fail: after that, who is silent is asked for by ARP.
    const [toGateway, , toTarget2] = await waitFor(() => {
      const questions = [pings(wires.gateway), opens(wires.target1, TARGET1), opens(wires.target2, TARGET2)];
      return questions.every(({ length }) => length >= 3) ? questions : null;
    }, WAIT_MS, 'three questions to each');
    asksEvery(toGateway, PING.intervalMs, 'the gateway');
    asksEvery(toTarget2, OPEN2.intervalMs, 'target2');

    const known = events(lab.weir).length;
    const requests = await Requests.start(lab.pc, SERVER, 80, { perSecond: 50, limitMs: 20_000 });
    noneFailed(await ended(requests, 0, 50), 'before');
    const failedAtMs = Date.now();
    lab.cables.target2.cut();
    lab.cables.gateway.cut();
    const [target, gateway] = await Promise.all([told(lab.weir, known, 'server.down', named(TARGET2)), told(lab.weir, known, 'uplink.down', uplink.name)]);
    for (const [{ atMs, reason }, { intervalMs, downMs }] of [[target, OPEN2], [gateway, PING]] as const) {
      // The last answer may be an interval older than the failure, and what is refused need not be waited for.
      assert.ok(atMs - failedAtMs >= downMs - 2 * intervalMs && atMs - failedAtMs <= downMs + 2 * intervalMs, `${reason}: after ${atMs - failedAtMs} ms`);
    }
    const bothAtMs = Math.max(target.atMs, gateway.atMs);
    const during = await ended(requests, bothAtMs, 100);
    lab.cables.target2.plug();
    lab.cables.gateway.plug();
    await Promise.all([told(lab.weir, known, 'server.up', named(TARGET2)), told(lab.weir, known, 'uplink.up', uplink.name)]);
    await waitFor(() => requests.results().some(({ atMs, server }) => atMs > bothAtMs && server === 'target2'), WAIT_MS, 'target2 to serve again');
    const results = await requests.stop();
    noneHung(results);
    noneFailed(results.filter(({ atMs }) => atMs > target.atMs), 'after detection');
    assert.equal([...tally(during.map(({ server }) => server)).keys()], ['target1']);
    assert.equal(events(lab.weir).slice(known).filter(({ event, subject }) => event === 'server.down' && subject !== named(TARGET2)), []);

    asksEvery(opens(wires.target1, TARGET1), OPEN1.intervalMs, 'target1');
  });
}
