/**
 * `weir selftest`: the scenario `multiwan` with real stacks at both ends, and of the rows of docs/conformance.md those that such stacks can show,
 * measured on this very machine. Prints every row as measured, shown by a test of the checkout, or not offered. Ends with 0 when no measured row
 * failed, with 1 otherwise. Every wait is bounded, and so is the whole.
 */
import { parseArgs } from 'node:util';
import { rows, tags } from '../scripts/generate-conformance.js';
import type { Row } from '../scripts/generate-conformance.js';
import { judge, readFrames, type Capture } from './kit/capture.js';
import { run } from './kit/command.js';
import type { Host } from './kit/lab.js';
import { bulkTcp, checksumErrors, tally, tcpFlows, TCP_PORT, TrafficServer, UDP_PORT, udpEchoes } from './kit/traffic.js';
import { program } from './kit/program.js';
import { waitFor } from './kit/wait.js';
import { GATEWAY, INSIDE, Multiwan, PC1, ROUTER, SERVER, SPLIT_TOLERANCE, WAN1, WAN2 } from './multiwan.js';

/** Everything together; a lab that hangs is as bad as one that fails. */
const LIMIT_MS = 58_000;
/** MTU of the uplinks as weir is told, and, for a while, of the link behind the gateway. */
const WAN_MTU = 1400, FAR_MTU = 1300;
/** More addresses of the server, so that one port asks several destinations. */
const SERVERS = [SERVER, '203.0.113.11', '203.0.113.12', '203.0.113.13', '203.0.113.14', '203.0.113.15'];
const PORT = 40_001, MAPPED_PORT = 40_003, HALF_PORT = 7002, FORWARDED_PORT = 8080, DEAD_PORT = 9;
const DATAGRAM_BYTES = [1, 1372, 1373, 4000, 60_000];
/** New flows of which each of two uplinks is sure to get some: the scheduler lets neither run more than 9 ahead. */
const TEACHING_FLOWS = 24;

/** One thing looked at: the rows it shows, and what was seen. Throws when it is not as the rows say. */
interface Check { rows: readonly string[]; look(lab: Multiwan, wires: Wires): Promise<string> }
interface Wires { wan1: Capture; wan2: Capture; inside: TrafficServer }
interface Measured { ok: boolean; detail: string }

function hold(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new Error(reason);
}

async function probe<T>(host: Host, ...args: string[]): Promise<T> {
  return JSON.parse((await host.run([...program('probe'), ...args], { timeoutMs: 20_000 })).stdout) as T;
}
interface Asked { port: number; answers: (string | null)[] }

const hops = (output: string): string[] => output.split('\n').map((line) => /^\s*\d+[:?]*\s+(\S+)/.exec(line)?.[1]).filter((hop) => hop !== undefined && hop !== '[LOCALHOST]') as string[];

const CHECKS: readonly Check[] = [
  { rows: ['icmp-echo', 'frag-order'], async look(lab) {
    for (const address of [ROUTER, GATEWAY, SERVER]) {
      for (const bytes of [56, 1472, 9000]) {
        const { sent, received } = await lab.pc1.ping(address, 2, ['-M', 'dont', '-s', String(bytes)]);
        hold(received === sent, `ping of ${bytes} bytes to ${address}: ${received} of ${sent} answered`);
      }
    }
    return 'pings of up to 9000 bytes answered by router, gateway and server';
  } },
  { rows: ['nat-eim', 'nat-preserve', 'nat-parity', 'nat-port-range'], async look(lab) {
    const service = await lab.service();
    const before = service.arrivals('udp').length;
    await lab.pc1.run([...program('probe'), 'send', String(PORT), ...SERVERS.map((address) => `${address}:${UDP_PORT}`)]);
    const seen = await waitFor(() => {
      const arrivals = service.arrivals('udp').slice(before);
      return arrivals.length === SERVERS.length ? arrivals : null;
    }, 5000, 'every datagram to arrive');
    const ends = [...new Set(seen.map(({ address, port }) => `${address}:${port}`))];
    hold(ends.every((text) => text === `${WAN1}:${PORT}` || text === `${WAN2}:${PORT}`), `seen as ${ends.join(', ')}`);
    return `one port, ${SERVERS.length} destinations: seen as ${ends.join(' and ')}`;
  } },
  { rows: ['nat-filtering', 'hairpin'], async look(lab) {
    const service = await lab.service();
    const before = service.arrivals('udp').length;
    const inside = lab.pc1.spawn('echo', [...program('probe'), 'echo', String(MAPPED_PORT), `${SERVER}:${UDP_PORT}`]);
    await inside.waitForOutput(/^ready$/m, 10_000);
    const mapping = await waitFor(() => service.arrivals('udp')[before], 5000, 'the mapping to be made');
    const external = `${mapping.address}:${mapping.port}`;
    const stranger = await probe<Asked>(lab.server, 'ask', '0', external);
    hold(stranger.answers[0] === external, `a stranger's datagram to ${external} was answered by ${stranger.answers[0]}`);
    const neighbour = await probe<Asked>(lab.pc1, 'ask', '0', external);
    hold(neighbour.answers[0] === external, `from inside ${external} was answered by ${neighbour.answers[0]}`);
    await inside.stop();
    const seen = inside.output().split('\n').filter((line) => line.startsWith('from ')).map((line) => line.split(' ')[1]);
    hold(seen.includes(mapping.address) && !seen.some((address) => address.startsWith(INSIDE)), `the mapped host saw ${seen.join(', ')}`);
    return `${external} let a stranger in, and an inside host that is seen as ${mapping.address}`;
  } },
  { rows: ['hairpin-same-subnet'], async look(lab, { inside }) {
    for (const host of [lab.server, lab.pc1]) {
      const results = await tcpFlows(host, WAN1, 4, { port: FORWARDED_PORT });
      hold(results.every((flow) => flow.ok), `to the forwarded port from ${host.name}: ${results.find((flow) => !flow.ok)?.error}`);
    }
    const seen = [...tally(inside.arrivals('tcp').map(({ address }) => address)).keys()];
    hold(seen.includes(SERVER) && !seen.includes(PC1), `the forwarded server saw ${seen.join(', ')}`);
    return `a forwarded port answers outside and inside, which is seen as ${seen.filter((address) => address !== SERVER).join(', ')}`;
  } },
  { rows: ['frag-output'], async look(lab) {
    // Stacks send datagrams with DF until they are told of the path's MTU: the first ones are lost to teach both ends. The server learns it for
    // each uplink's address by itself, so there must be flows enough to take both.
    await udpEchoes(lab.pc1, SERVER, TEACHING_FLOWS, [WAN_MTU - 20]);
    const results = await udpEchoes(lab.pc1, SERVER, 2, DATAGRAM_BYTES);
    const bad = results.filter((result) => !result.echoed);
    hold(bad.length === 0, `datagrams of ${bad.map(({ bytes }) => bytes).join(', ')} bytes did not come back`);
    return `datagrams of up to ${DATAGRAM_BYTES.at(-1)} bytes came back over an MTU of ${WAN_MTU}`;
  } },
  { rows: ['tcp-half-close'], async look(lab) {
    const server = lab.server.spawn('half', [...program('probe'), 'half-serve', String(HALF_PORT)]);
    await server.waitForOutput(/^ready$/m, 10_000);
    const { bytes, wanted, error } = await probe<{ bytes: number; wanted: number; error: string | null }>(lab.pc1, 'half-ask', `${SERVER}:${HALF_PORT}`);
    hold(error === null && bytes === wanted, `${bytes} of ${wanted} bytes after the client's FIN, ${error ?? 'closed'}`);
    return `${bytes} bytes came after the client's FIN`;
  } },
  { rows: ['fwd-split'], async look(lab) {
    const { flows, sources, share, off } = await lab.split();
    hold(flows.every((flow) => flow.ok), `${flows.filter((flow) => !flow.ok).length} of ${flows.length} flows failed`);
    hold([...sources.keys()].every((address) => address === WAN1 || address === WAN2), `sources seen: ${[...sources.keys()].join(', ')}`);
    hold(off <= SPLIT_TOLERANCE, `share of wan1 ${share}, wanted ${lab.wantedShare}`);
    return `${flows.length} flows, ${(share * 100).toFixed(1)} % by wan1, ${(lab.wantedShare * 100).toFixed(0)} % wanted`;
  } },
  { rows: ['icmp-inward'], async look(lab) {
    const [datagram] = await udpEchoes(lab.pc1, SERVER, 1, [10], DEAD_PORT);
    hold(datagram.error === 'ECONNREFUSED', `UDP to a dead port: ${datagram.error}`);
    const [flow] = await tcpFlows(lab.pc1, SERVER, 1, { port: DEAD_PORT });
    hold(flow.error === 'ECONNREFUSED', `TCP to a dead port: ${flow.error}`);
    return 'a dead port outside is told inside: port unreachable for UDP, a reset for TCP';
  } },
  { rows: ['error-traceroute', 'error-ttl', 'fwd-ttl'], async look(lab) {
    for (const kind of ['-U', '-I']) {
      const { stdout } = await lab.pc1.run(['traceroute', '-n', kind, '-q', '1', '-w', '2', '-m', '6', SERVER], { timeoutMs: 20_000 });
      hold(hops(stdout).join(' ') === `${ROUTER} ${GATEWAY} ${SERVER}`, `traceroute ${kind}: ${hops(stdout).join(' ')}`);
    }
    return `${ROUTER}, ${GATEWAY}, ${SERVER}`;
  } },
  { rows: ['error-too-big', 'mtu-links'], async look(lab) {
    const { stdout } = await lab.pc1.run(['tracepath', '-n', '-m', '6', SERVER]);
    hold(new RegExp(`Resume: pmtu ${WAN_MTU} hops 3`).test(stdout), `tracepath: ${stdout.trim().split('\n').at(-1)}`);
    return `path MTU ${WAN_MTU} learned from the router`;
  } },
  { rows: ['icmp-middle', 'icmp-inward'], async look(lab) {
    lab.gateway.ip('link', 'set', 'eth0', 'mtu', String(FAR_MTU));
    try {
      const { stdout } = await lab.pc1.run(['tracepath', '-n', '-m', '6', SERVER]);
      hold(new RegExp(`Resume: pmtu ${FAR_MTU} hops 3`).test(stdout), `tracepath: ${stdout.trim().split('\n').at(-1)}`);
    } finally {
      lab.gateway.ip('link', 'set', 'eth0', 'mtu', '1500');
      lab.pc1.ip('route', 'flush', 'cache');
    }
    return `path MTU ${FAR_MTU} learned from a router beyond the NAT`;
  } },
  { rows: ['csum-partial'], async look(lab) {
    for (const reverse of [false, true]) {
      const bulk = await bulkTcp(lab.pc1, lab.server, SERVER, { bytes: 5_000_000, reverse });
      hold(bulk.receivedBytes > 0, 'nothing got through');
    }
    for (const host of [lab.pc1, lab.server]) hold(checksumErrors(host).size === 0, `${host.name} refused packets: ${[...checksumErrors(host)].join(', ')}`);
    return 'bulk TCP both ways from an offloading link: no stack saw a wrong checksum';
  } },
  { rows: ['csum-incremental', 'mss-clamp'], async look(_, { wan1, wan2 }) {
    const found: string[] = [];
    for (const [wire, address] of [[wan1, WAN1], [wan2, WAN2]] as const) {
      const file = await wire.stop();
      const frames = await readFrames(file);
      const faults = judge(frames, { never: INSIDE });
      hold(faults.length === 0, `${faults.length} faults on the wire of ${address}: ${faults[0]}`);
      const strange = frames.filter((frame) => frame.sources[0]?.startsWith('192.168.201.') && frame.sources[0] !== address && frame.sources[0] !== GATEWAY);
      hold(strange.length === 0, `${strange.length} frames with a strange source, the first from ${strange[0]?.sources[0]}`);
      const { stdout } = await run(['tshark', '-n', '-r', file, '-Y', `tcp.flags.syn == 1 && ip.src == ${address}`, '-T', 'fields', '-e', 'tcp.options.mss_val']);
      const most = Math.max(0, ...stdout.split('\n').filter((line) => line !== '').map(Number));
      hold(most <= WAN_MTU - 40, `an MSS of ${most} over an MTU of ${WAN_MTU}`);
      found.push(`${frames.length} frames`);
    }
    return `${found.join(' and ')} on the uplinks' wires: every checksum right, no inside address, MSS clamped`;
  } },
  { rows: ['fwd-loss', 'fwd-return'], async look(lab) {
    const service = await lab.service();
    lab.cables.wan1.cut();
    const before = service.arrivals('tcp').length;
    await waitFor(async () => (await tcpFlows(lab.pc1, SERVER, 8)).every((flow) => flow.ok && flow.peer === WAN2), 10_000, 'all flows to leave by wan2');
    hold(service.arrivals('tcp').length > before, 'nothing arrived');
    lab.cables.wan1.plug();
    await waitFor(async () => (await tcpFlows(lab.pc1, SERVER, 16)).some((flow) => flow.ok && flow.peer === WAN1), 10_000, 'wan1 to be used again');
    return 'the cable of wan1 pulled: all by wan2; plugged in: wan1 has its share again';
  } },
  { rows: ['fwd-all-down'], async look(lab) {
    lab.cables.wan1.cut();
    lab.cables.wan2.cut();
    try {
      await waitFor(async () => /Destination Net Unreachable/i.test((await lab.pc1.ping(SERVER, 1)).output), 8000, 'the sender to be told');
    } finally {
      lab.cables.wan1.plug();
      lab.cables.wan2.plug();
    }
    await waitFor(async () => (await lab.pc1.ping(SERVER, 1)).received === 1, 10_000, 'the way out to be back');
    return 'both cables pulled: network unreachable; back afterwards';
  } },
];

/** Runs every check; one that fails does not stop the others. */
async function measure(tell: (text: string) => void): Promise<Map<string, Measured>> {
  const measured = new Map<string, Measured>();
  const startMs = performance.now();
  const lab = await Multiwan.up({ form: 'raw', weights: [3, 1], judged: ['wan1', 'wan2'], start: false });
  try {
    lab.weir.dropIn('60-selftest', {
      links: { wan1: { mtu: WAN_MTU }, wan2: { mtu: WAN_MTU } },
      portForwards: { selftest: { uplink: 'isp1', listen: `${FORWARDED_PORT}/tcp`, to: `${PC1}:${TCP_PORT}` } },
    });
    for (const device of ['port1', 'port2', 'br0']) lab.gateway.ip('link', 'set', device, 'mtu', String(WAN_MTU));
    for (const address of SERVERS.slice(1)) lab.server.ip('address', 'add', `${address}/24`, 'dev', 'eth0');
    const [wan1, wan2] = await Promise.all([lab.cables.wan1.capture(), lab.cables.wan2.capture()]);
    await lab.start();
    const [inside] = await Promise.all([TrafficServer.start(lab.pc1), lab.service()]);
    tell(`the lab is up after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    for (const check of CHECKS) {
      let outcome: Measured;
      const leftMs = LIMIT_MS - (performance.now() - startMs);
      try {
        hold(leftMs > 0, 'no time was left');
        let limit: NodeJS.Timeout | undefined;
        const tooLate = new Promise<never>((_, reject) => { limit = setTimeout(() => reject(new Error('no time was left')), leftMs); });
        try {
          outcome = { ok: true, detail: await Promise.race([check.look(lab, { wan1, wan2, inside }), tooLate]) };
        } finally {
          clearTimeout(limit);
        }
      } catch (error) {
        outcome = { ok: false, detail: (error as Error).message.split('\n')[0] };
      }
      tell(`${outcome.ok ? 'ok    ' : 'FAILED'} ${outcome.detail}`);
      for (const id of check.rows) if (measured.get(id)?.ok !== false) measured.set(id, outcome);
    }
  } finally {
    lab.close();
  }
  return measured;
}

type Standing = 'measured' | 'FAILED' | 'test' | 'partial' | 'no';

function standing(row: Row, outcome: Measured | undefined): Standing {
  if (outcome !== undefined) return outcome.ok ? 'measured' : 'FAILED';
  return row.answer === 'yes' ? 'test' : row.answer;
}

async function main(args: string[]): Promise<number> {
  let json: boolean;
  try {
    json = parseArgs({ args, options: { json: { type: 'boolean', short: 'j', default: false } } }).values.json;
  } catch (error) {
    console.error(`selftest: ${(error as Error).message}\nusage: weir selftest [-j]`);
    return 2;
  }
  const startMs = performance.now();
  const measured = await measure((text) => { if (!json) console.log(text); });
  const table = rows();
  const unknown = [...measured.keys()].filter((id) => !table.some((row) => row.id === id));
  if (unknown.length > 0) throw new Error(`no row is called ${unknown.join(', ')}`);
  const tagged = tags();
  const results = table.map((row) => {
    const outcome = measured.get(row.id);
    const shown = tagged.filter(({ ids }) => ids.includes(row.id));
    const is = standing(row, outcome);
    const detail = outcome?.detail ?? (is === 'test' ? `${shown[0].file}${shown.length > 1 ? ` and ${shown.length - 1} more` : ''}` : row.why);
    return { id: row.id, group: row.group, requirement: row.says, law: row.law, answer: row.answer, standing: is, detail };
  });
  const count = (is: Standing): number => results.filter((result) => result.standing === is).length;
  const failed = count('FAILED');
  if (json) {
    console.log(JSON.stringify({ ok: failed === 0, rows: results }));
    return failed === 0 ? 0 : 1;
  }
  const label: Record<Standing, string> = { measured: 'measured', FAILED: 'FAILED', test: 'by test', partial: 'in part', no: 'not here' };
  const width = Math.max(...results.map(({ id }) => id.length));
  for (const group of new Set(results.map((result) => result.group))) {
    console.log(`\n${group}`);
    for (const { id, requirement, standing: is, detail } of results.filter((result) => result.group === group)) {
      console.log(`  ${label[is].padEnd(8)}  ${id.padEnd(width)}  ${requirement}\n${' '.repeat(width + 14)}${detail}`);
    }
  }
  console.log(`\n${results.length} requirements: ${count('measured')} measured here, ${count('test')} shown by tests, ${count('partial')} in part, ${count('no')} not offered, ${failed} failed; ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`selftest: ${(error as Error).message}`);
  process.exitCode = (error as NodeJS.ErrnoException).code === 'EPERM' ? 77 : 1;
}
