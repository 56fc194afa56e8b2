/**
 * `npm run demo`: the scenario `multiwan` with weights 3:1 and real traffic, one step after the other, each told in a line.
 * Ends with 0 when every step was as it should be, with 1 and the reason when one was not. Every wait is bounded.
 */
import { parseArgs } from 'node:util';
import { percent, table } from './kit/text.js';
import { bulkTcp, Lasting, recovery, tally, Watch, type WatchResult } from './kit/traffic.js';
import { waitFor } from './kit/wait.js';
import { GATEWAY, Multiwan, ROUTER, SERVER, SPLIT_TOLERANCE, WAN1, WAN2 } from './multiwan.js';

const WEIGHTS = [3, 1] as const;
const BULK_SECONDS = 2;
const FAILOVER_LIMIT_MS = 15_000;
const BOX_FETCHES = 40;
/** Flows that are open when the gateway falls silent. */
const CROWD = 24;
const CHECK = { icmp: SERVER, interval: '200ms', timeout: '160ms', fall: 3, rise: 3, damping: 'off' };
/** New flows watched after an uplink is back. */
const BACK_FLOWS = 100;

/** A step that was not as it should be. */
class DemoError extends Error {}

function expect(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new DemoError(reason);
}

let steps = 0;
function step(text: string): void { console.log(`\n${String(++steps).padStart(2)}. ${text}`); }
function tell(text: string): void { console.log(text.trimEnd().replaceAll(/^(?=.)/gm, '    ')); }

const gigabits = (bps: number): string => `${(bps / 1e9).toFixed(2)} Gbit/s`;

async function play(lab: Multiwan): Promise<void> {
  step(`Ping from PC1: the router ${ROUTER}, the gateway ${GATEWAY} that both uplinks share, the server ${SERVER} behind it.`);
  for (const address of [ROUTER, GATEWAY, SERVER]) {
    const { sent, received, output } = await lab.pc1.ping(address, 5);
    expect(received === sent, `${sent - received} of ${sent} pings to ${address} were not answered:\n${output}`);
    tell(`${address.padEnd(15)} ${received} of ${sent} answered, ${/= ([\d./]+) ms/.exec(output)?.[1] ?? '?'} ms (min/avg/max/mdev)`);
  }

  step('400 TCP flows from PC1 to the server, which writes down from whom each one comes.');
  const { flows, sources, off } = await lab.split();
  const failures = flows.filter((flow) => !flow.ok);
  expect(failures.length === 0, `${failures.length} of ${flows.length} flows failed, the first with: ${failures[0]?.error}`);
  const strangers = [...sources.keys()].filter((address) => address !== WAN1 && address !== WAN2);
  expect(strangers.length === 0, `the server saw flows from ${strangers.join(', ')}, which is no uplink's address`);
  if (flows.length > 400) tell(`400 happened to stray from the weights, so ${flows.length - 400} more were drawn.`);
  tell(table([['uplink', 'source seen', 'weight', 'flows', 'share', 'wanted'], ...[WAN1, WAN2].map((address, i) => {
    const count = sources.get(address) ?? 0;
    return [`wan${i + 1}`, address, WEIGHTS[i], count, percent(count / flows.length), percent(WEIGHTS[i] / (WEIGHTS[0] + WEIGHTS[1]))];
  })]));
  expect(off <= SPLIT_TOLERANCE, `the split is more than ${SPLIT_TOLERANCE * 100} points from the weights`);

  step(`Bulk TCP from PC1 to the server with iperf3, ${BULK_SECONDS} s each.`);
  for (const [streams, reverse] of [[1, false], [4, false], [1, true]] as const) {
    const bulk = await bulkTcp(lab.pc1, lab.server, SERVER, { streams, reverse, seconds: BULK_SECONDS });
    expect(bulk.receivedBytes > 0, `iperf3 with ${streams} streams got nothing through`);
    tell(`${streams} stream${streams === 1 ? ', ' : 's,'} ${reverse ? 'server to PC1' : 'PC1 to server'}  ${gigabits(bulk.receivedBps).padStart(13)}  ${bulk.retransmits} retransmits`);
  }

  if (lab.daemon !== null) {
    step('What the router says: weir uplinks.');
    tell(await lab.weir.ask('uplinks'));
    step('And weir flows, its first rows.');
    const lines = (await lab.weir.ask('flows')).trimEnd().split('\n');
    tell(lines.slice(0, 8).join('\n'));
    if (lines.length > 8) tell(`… and ${lines.length - 8} more lines`);
  }

  step('The cable of wan1 is pulled while PC1 opens a new flow every 20 ms.');
  const watch = await Watch.start(lab.pc1, SERVER, 100_000);
  lab.cables.wan1.cut();
  // The next whole millisecond: a flow that began while the cable was being pulled may still have gone through it.
  const cutAtMs = Date.now() + 1;
  const failover = await waitFor(() => recovery(watch.results(), cutAtMs), FAILOVER_LIMIT_MS, 'new flows to succeed again');
  tell(failover.failed === 0 ? 'Not one new flow failed.' : `${failover.failed} new flows failed; all succeed again ${failover.firstGoodMs} ms after the cut.`);
  const during = tally(watch.results().filter((result) => result.ok && result.atMs >= cutAtMs + failover.firstGoodMs).map((result) => result.peer));
  expect(!during.has(WAN1), `${during.get(WAN1)} flows came from ${WAN1} although its cable is pulled`);
  tell(`${during.get(WAN2) ?? 0} flows since, all from ${WAN2}.`);

  step('The cable is plugged back.');
  const plugAtMs = Date.now();
  lab.cables.wan1.plug();
  const backMs = await waitFor(() => watch.results().find((result) => result.ok && result.atMs >= plugAtMs && result.peer === WAN1)?.atMs ?? null, FAILOVER_LIMIT_MS, 'new flows to use wan1 again') - plugAtMs;
  tell(`New flows use wan1 again ${backMs} ms after that.`);
  const steadied = await waitFor(() => recovery(watch.results(), plugAtMs), FAILOVER_LIMIT_MS, 'every new flow to succeed');
  tell(steadied.failed === 0 ? 'None failed meanwhile.' : `${steadied.failed} failed meanwhile.`);

  if (lab.daemon !== null) await fallSilent(lab, watch);
  await watch.stop();

  if (lab.daemon !== null) {
    step(`The box's own traffic: curl on the router itself, ${BOX_FETCHES} times, through weir's host link.`);
    const { stdout } = await lab.router.run(['sh', '-c', `for i in $(seq ${BOX_FETCHES}); do curl -sS -m 5 http://${SERVER}/ || exit; done`], { timeoutMs: 30_000 });
    const own = tally(stdout.trim().split('\n'));
    tell([...own].map(([address, count]) => `${address.padEnd(15)} ${count} times`).join('\n'));
    expect(own.size > 0 && [...own.keys()].every((address) => address === WAN1 || address === WAN2), "the box's own traffic came from an address that is no uplink's");
    expect(own.size === 2, `all ${BOX_FETCHES} fetches left by one uplink`);
  }
}

/** wan1's gateway takes nothing in any more while its carrier stays: only a check finds that out. `watch` opens new flows all the while. */
async function fallSilent(lab: Multiwan, watch: Watch): Promise<void> {
  const crowd = await Lasting.crowd(lab.pc1, SERVER, CROWD, { periodMs: 100 });
  const old = crowd.open.filter(({ peer }) => peer === WAN1);
  step(`The gateway falls silent on wan1 while the carrier stays. ${CROWD} flows are open, ${old.length} of them by wan1; the check asks every 200 ms, fall 3.`);
  const monitor = await lab.weir.monitor({ last: 1, flows: false });
  const known = monitor.events.length;
  const since = (atMs: number): WatchResult[] => watch.results().filter((result) => result.atMs > atMs);

  const mend = lab.silence('port1');
  const silentAtMs = Date.now();
  const down = await monitor.next(known, 'uplink.down', 'isp1', FAILOVER_LIMIT_MS);
  tell(`Left after     ${String(down.atMs - silentAtMs).padStart(4)} ms: ${down.message}.`);
  const lost = await waitFor(() => {
    const events = crowd.events.filter(({ event, atMs }) => event === 'lost' && atMs >= silentAtMs);
    return events.length >= old.length ? events : null;
  }, FAILOVER_LIMIT_MS, 'the old flows of wan1 to be reset');
  expect(lost.length === old.length && lost.every(({ error }) => error === 'ECONNRESET'), `${lost.length} flows ended, not the ${old.length} of wan1: ${lost.map(({ error }) => error).join(', ')}`);
  await waitFor(() => crowd.open.length === CROWD, FAILOVER_LIMIT_MS, 'the old flows to be opened anew');
  const anew = crowd.open.filter(({ beganAtMs }) => beganAtMs! >= silentAtMs);
  expect(anew.every(({ peer }) => peer === WAN2), `flows opened anew came from ${[...tally(anew.map(({ peer }) => peer ?? null)).keys()].join(', ')}`);
  tell(`Old flows      ${String(Math.max(0, ...lost.map(({ atMs }) => atMs)) - silentAtMs).padStart(4)} ms: all ${lost.length} of wan1 were reset, and no other; after ${Math.max(...anew.map(({ atMs }) => atMs)) - silentAtMs} ms each was open again by wan2.`);
  const failover = await waitFor(() => recovery(watch.results(), silentAtMs), FAILOVER_LIMIT_MS, 'new flows to succeed again');
  const late = since(down.atMs).filter(({ ok }) => !ok);
  expect(late.length === 0, `${late.length} flows failed that began after it was left, the first with: ${late[0]?.error}`);
  tell(`New flows      ${String(failover.firstGoodMs).padStart(4)} ms: all succeed from here on; of those begun before, ${failover.failed} failed.`);

  const spokeAtMs = Date.now();
  mend();
  const up = await monitor.next(known, 'uplink.up', 'isp1', FAILOVER_LIMIT_MS);
  tell(`Back after     ${String(up.atMs - spokeAtMs).padStart(4)} ms: it speaks again, and has answered 3 times in a row.`);
  const flows = await waitFor(() => since(up.atMs).length >= BACK_FLOWS ? since(up.atMs) : null, FAILOVER_LIMIT_MS, 'new flows');
  expect(flows.every(({ ok }) => ok), `${flows.filter(({ ok }) => !ok).length} new flows failed after that`);
  expect(anew.every(({ localPort }) => crowd.open.some((flow) => flow.localPort === localPort)), 'flows did not stay where they were');
  tell(`Since then     ${percent((tally(flows.map(({ peer }) => peer)).get(WAN1) ?? 0) / flows.length)} of ${flows.length} new flows go by wan1; the open ones stay where they are.`);
  await crowd.stop();
}

async function main(): Promise<number> {
  const { values: { form, peer } } = parseArgs({ options: { form: { type: 'string', default: 'raw' }, peer: { type: 'string', default: 'weir' } } });
  if ((form !== 'raw' && form !== 'tap') || (peer !== 'weir' && peer !== 'kernel')) {
    console.error('usage: demo [--form tap|raw] [--peer weir|kernel]');
    return 2;
  }
  const startMs = performance.now();
  console.log(`weir demo: one LAN, two uplinks of weights ${WEIGHTS.join(':')} on one subnet with one gateway address.`);
  step(peer === 'weir' ? `The lab comes up in network namespaces, with weir as the router (${form} form).` : 'The lab comes up in network namespaces, with the kernel as the router.');
  const lab = await Multiwan.up({ form, peer, weights: WEIGHTS, start: false });
  try {
    if (lab.daemon !== null) lab.weir.dropIn('60-checks', { uplinks: { isp1: { check: CHECK }, isp2: { check: CHECK } } });
    await lab.start();
    console.log(lab.drawing.trimEnd());
    tell(`Up after ${((performance.now() - startMs) / 1000).toFixed(1)} s.`);
    await play(lab);
    step('The daemon is asked to stop, and the lab is removed.');
    if (lab.daemon !== null) {
      const exit = await lab.weir.stop();
      expect(exit.code === 0, `weir ended with ${exit.signal ?? `exit code ${exit.code}`}\n${lab.weir.log()}`);
    }
  } catch (error) {
    if (lab.daemon !== null) console.error(`\nThe daemon's log ends with:\n${lab.weir.log()}`);
    throw error;
  } finally {
    lab.close();
  }
  console.log(`\nAll as it should be, in ${((performance.now() - startMs) / 1000).toFixed(0)} s.`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`\ndemo: ${(error as Error).message}`);
  process.exitCode = (error as NodeJS.ErrnoException).code === 'EPERM' ? 77 : 1;
}
