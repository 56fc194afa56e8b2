/**
 * An uplink fails under live traffic, and everything else goes on: its gateway falls silent while the carrier stays, only what lies beyond the gateway breaks,
 * its cable is pulled, all uplinks fail. Judged by the stacks at both ends and by every wire: who was reset and when, when new flows, a tunnel and a ping got
 * through again, that no other uplink's flow was touched, and that no packet ever bore another uplink's address. Times are those of weir's own events
 * and of the recordings.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LastingEvent } from '../../netns/kit/traffic.js';
import { tally, tcpFlows } from '../../netns/kit/traffic.js';
import { ICMP, TCP, UDP, type Sighting } from '../../netns/kit/recording.js';
import { waitFor } from '../../netns/kit/wait.js';
import type { Told } from '../../netns/kit/weir.js';
import { FailoverLab, FALL, INTERVAL_MS, ISP1, ISP2, ISP3, PC, RISE, SERVER, TIMEOUT_MS, WAIT_MS, WAYS } from './failover-lab.js';
import { telling } from './telling.js';

interface Context { lab: FailoverLab }

/** With interval 200ms and fall 3 (`issues`: a silent gateway is left within 1 s). */
const GOAL_MS = 1000;
/** What a machine that others keep busy may be late by where the order is what matters. */
const SLACK_MS = 1000;
const PING_PERIOD_MS = 100;
/** New flows looked at after a change. */
const NEW_FLOWS = 60;
/** Three of four flows of the crowd talk. */
const TALKING = 9;

const failover = suite<Context>('failover: an uplink fails under live traffic');
failover.before(telling(async (context) => { context.lab = await FailoverLab.up(); }));
failover.after((context) => context.lab?.close());

/** A ping that runs on. `answers`: Unix time of each answer, by its number. */
function ping(lab: FailoverLab): { answers: () => { atMs: number; number: number }[]; output: () => string; stop: () => Promise<unknown> } {
  const started = lab.pc.spawn('ping', ['ping', '-n', '-D', '-i', String(PING_PERIOD_MS / 1000), SERVER]);
  return {
    answers: () => [...started.output().matchAll(/^\[(\d+\.\d+)\] \d+ bytes from .* icmp_seq=(\d+) /gm)].map(([, at, number]) => ({ atMs: Number(at) * 1000, number: Number(number) })),
    output: () => started.output(),
    stop: () => started.stop('SIGINT'),
  };
}

/** How long the machine kept the questions waiting beyond their interval: what no router can be blamed for. */
function stalledMs(requests: readonly number[]): number {
  return requests.slice(1).reduce((sum, atMs, i) => sum + Math.max(0, atMs - requests[i] - INTERVAL_MS * 1.1), 0);
}

/** What the crowd has lost since. */
const lostSince = (events: readonly LastingEvent[], sinceMs: number): LastingEvent[] => events.filter(({ event, atMs }) => event === 'lost' && atMs >= sinceMs);

/** New flows begun since, once there are enough of them. */
async function newFlows(lab: FailoverLab, sinceMs: number): Promise<{ peer: string | null; ok: boolean; error: string | null; atMs: number }[]> {
  return waitFor(() => {
    const flows = lab.watch.results().filter(({ atMs }) => atMs > sinceMs);
    return flows.length >= NEW_FLOWS ? flows.slice(0, NEW_FLOWS) : null;
  }, WAIT_MS, `${NEW_FLOWS} new flows`);
}

/**
 * isp1 fails, and is mended when `hindered` returns. `isAsked`: by its check, which its link still carries. Everything that must hold while it fails, when
 * it is left, and when it is back.
 */
async function failsAndReturns({ lab }: Context, isAsked: boolean, hindered: (body: () => Promise<void>) => Promise<void>): Promise<void> {
  await lab.renew();
  const pinging = ping(lab);
  await waitFor(() => pinging.answers().length > 2, WAIT_MS, 'pings to be answered');
  const known = lab.monitor.events.length;
  const before = lab.crowd.open;
  const [there, elsewhere] = [before.filter(({ peer }) => peer === ISP1.own), before.filter(({ peer }) => peer !== ISP1.own)];
  const forwardedBefore = lab.forwarded.map(({ open }) => open);
  assert.ok(there.length > 0 && elsewhere.length > 0, `the crowd is on both: ${JSON.stringify([...tally(before.map(({ peer }) => peer ?? null))])}`);
  const tunnelPort = lab.tunnel.events.at(-1)!.localPort;
  const heldMs = Date.now();
  let down!: Told;

  await hindered(async () => {
    down = await lab.monitor.next(known, 'uplink.down', 'isp1');
    const summary = await lab.monitor.next(known, 'uplink.failover', 'isp1');

    // When it was left: by the questions and answers on its wire.
    if (isAsked) {
      assert.match(down.reason ?? '', /icmp 198\.18\.0\.10: timed out/);
      // The wire is read by another program, which may be behind the event.
      await waitFor(() => lab.asked(ISP1).requests.some((atMs) => atMs > down.atMs), WAIT_MS, 'the next question of the check');
      const { requests, replies } = lab.asked(ISP1);
      const lastAnswerMs = Math.max(...replies.filter((atMs) => atMs < down.atMs));
      const unanswered = requests.filter((atMs) => atMs > lastAnswerMs && atMs <= down.atMs);
      assert.ok(unanswered.length >= FALL && unanswered.length <= FALL + 1, `left after ${unanswered.length} unanswered questions`);
      const lateMs = stalledMs([lastAnswerMs, ...unanswered]) + Math.max(0, down.atMs - unanswered[FALL - 1] - TIMEOUT_MS);
      assert.ok(down.atMs - lastAnswerMs <= GOAL_MS + lateMs, `left ${down.atMs - lastAnswerMs} ms after its last answer, of which the machine took ${lateMs} ms`);
    } else {
      assert.match(down.reason ?? '', /carrier/);
    }

    // Old flows: all of isp1's are reset, in the turn in which it is left; no other one is.
    await waitFor(() => lostSince(lab.crowd.events, heldMs).length >= there.length, WAIT_MS, `${there.length} flows to be reset`);
    const lost = lostSince(lab.crowd.events, heldMs);
    assert.equal(lost.map(({ localPort, error }) => `${localPort} ${error}`).sort(), there.map(({ localPort }) => `${localPort} ECONNRESET`).sort());
    const resets = lab.resets(heldMs);
    const firstResets = there.map(({ localPort }) => Math.min(...resets.get(localPort) ?? [NaN]));
    assert.ok(firstResets.every((atMs) => Math.abs(atMs - down.atMs) < SLACK_MS), `resets on the wire ${firstResets.map((atMs) => (atMs - down.atMs).toFixed(1)).join(', ')} ms after the event`);
    assert.ok(Math.max(...firstResets) - Math.min(...firstResets) < 100, 'all resets in one turn');
    assert.ok(lost.every(({ atMs }) => atMs >= Math.floor(Math.min(...firstResets)) && atMs - down.atMs < SLACK_MS), 'their programs know at once');
    assert.ok(summary.reset! >= there.length && summary.tookMs! < 250, JSON.stringify(summary));

    // Flows that came in by isp1 are ended on the inside; those that came in by isp2 are not touched.
    await waitFor(() => lab.inside.broken().filter(({ address, port }) => address === SERVER && forwardedBefore[0].some(({ localPort }) => localPort === port)).length >= forwardedBefore[0].length,
      WAIT_MS, 'the forwarded flows of isp1 to be reset on the inside');
    const told = lab.monitor.events.slice(known).filter(({ event }) => event === 'flow.reset');
    assert.ok(told.length >= there.length && told.every(({ subject, reason }) => subject === 'isp1' && typeof reason === 'string'), 'each has an event with a reason');

    // New flows succeed at once.
    const flows = await newFlows(lab, down.atMs);
    assert.equal(flows.filter(({ ok }) => !ok), [], 'flows begun after it was left all succeed');
    assert.equal([...tally(flows.map(({ peer }) => peer)).keys()], [ISP2.own]);
    // The tunnel resumes by itself, from the same port.
    const resumed = await waitFor(() => {
      const echoes = lab.tunnel.events.filter(({ event, beganAtMs }) => event === 'echo' && beganAtMs! > down.atMs);
      return echoes.length >= 5 ? echoes : null;
    }, WAIT_MS, 'the tunnel to resume');
    assert.ok(resumed[0].beganAtMs! - down.atMs < 100 + SLACK_MS, `the tunnel got through ${resumed[0].beganAtMs! - down.atMs} ms after`);
    assert.equal(resumed.map(({ number }) => number! - resumed[0].number!), resumed.map((_, i) => i), 'and no datagram was lost from then on');
    assert.ok(resumed.every(({ localPort }) => localPort === tunnelPort));
    // So does the ping.
    await waitFor(() => pinging.answers().filter(({ atMs }) => atMs > down.atMs).length >= 3, WAIT_MS, 'pings to be answered again');
    const answers = pinging.answers();
    const next = answers.findIndex(({ atMs }) => atMs > down.atMs);
    assert.ok(answers[next].atMs - down.atMs < 2 * PING_PERIOD_MS + SLACK_MS, `a ping was answered ${answers[next].atMs - down.atMs} ms after it was left`);
    const gaps = answers.slice(1).filter(({ number }, i) => number !== answers[i].number + 1);
    assert.ok(gaps.length <= 1, `pings were lost once: ${pinging.output()}`);

    if (isAsked) {
      const asked = lab.asked(ISP1).requests.length;
      await waitFor(() => lab.asked(ISP1).requests.length > asked + 1, WAIT_MS, 'the check to ask on while it is down');
    }
  });

  // Back: after `rise` answers, and without a herd.
  const mended = lab.monitor.events.length;
  const up = await lab.monitor.next(known, 'uplink.up', 'isp1');
  await waitFor(() => lab.asked(ISP1).requests.some((atMs) => atMs > up.atMs), WAIT_MS, 'the next question of the check');
  const { requests, replies } = lab.asked(ISP1);
  const answered = replies.filter((atMs) => atMs > down.atMs && atMs <= up.atMs);
  assert.ok(answered.length >= RISE && answered.length <= RISE + 2, `back after ${answered.length} answers`);
  const lateMs = stalledMs(requests.filter((atMs) => atMs >= answered[0] - INTERVAL_MS && atMs <= up.atMs));
  assert.ok(up.atMs - answered[0] <= RISE * INTERVAL_MS + TIMEOUT_MS + lateMs + SLACK_MS, `back ${up.atMs - answered[0]} ms after its first answer`);
  const flows = await newFlows(lab, up.atMs);
  assert.equal(flows.filter(({ ok }) => !ok), []);
  const share = (tally(flows.map(({ peer }) => peer)).get(ISP1.own) ?? 0) / flows.length;
  assert.ok(share > 0.4 && share < 0.9, `isp1 takes ${share} of the new flows, two of three by weight`);
  assert.equal(lostSince(lab.crowd.events, up.atMs), [], 'flows stay where they are');
  assert.equal(lab.monitor.events.slice(mended).filter(({ event }) => event.startsWith('flow.')), []);
  // Those of other uplinks have lived through it all.
  for (const { localPort } of elsewhere) assert.ok(lab.crowd.open.some((flow) => flow.localPort === localPort), `the flow of port ${localPort} lives`);
  for (const { localPort } of forwardedBefore[1]) assert.ok(lab.forwarded[1].open.some((flow) => flow.localPort === localPort), `the forwarded flow of port ${localPort} lives`);
  const echoing = new Set(lab.crowd.events.filter(({ event, atMs }) => event === 'echo' && atMs > up.atMs).map(({ localPort }) => localPort));
  assert.ok(echoing.size > TALKING / 2, `${echoing.size} flows of the crowd have had echoes since`);
  await pinging.stop();
  console.log(`    left ${Math.round(down.atMs - heldMs)} ms after the beginning, back ${up.atMs - Math.round(answered[0])} ms after the first answer`);
}

failover('a gateway that falls silent while its carrier stays is left within a second', (context) =>
  failsAndReturns(context, true, (body) => context.lab.hindered('netdev', `ingress device ${ISP1.port}`, ['drop'], body)));

failover('a path that breaks beyond the gateway, which itself answers on, is left within a second', (context) =>
  failsAndReturns(context, true, (body) => context.lab.hindered('ip', 'forward', [`ip saddr ${ISP1.own} drop`], body)));

failover('a pulled cable is left at once', (context) => failsAndReturns(context, false, async (body) => {
  context.lab.cables[0].cut();
  try {
    await body();
  } finally {
    context.lab.cables[0].plug();
  }
}));

failover('all fail: clients are told at once, no flow is killed, and the first uplink back serves again by itself', async ({ lab }) => {
  const broken = ({ own }: { own: string }): string => `ip saddr ${own} drop`;
  let known = lab.monitor.events.length;
  let survivors: LastingEvent[] = [];
  await lab.hindered('ip', 'forward', [ISP1, ISP2].map(broken), async () => {
    for (const name of ['isp1', 'isp2']) await lab.monitor.next(known, 'uplink.down', name);
    await lab.renewClients(ISP3);
    survivors = lab.crowd.open;
    assert.equal([...tally(survivors.map(({ peer }) => peer ?? null)).keys()], [ISP3.own], 'the backup serves');
    const pinging = ping(lab);
    await waitFor(() => pinging.answers().length > 0, WAIT_MS, 'a ping by the backup to be answered');
    known = lab.monitor.events.length;
    const heldMs = Date.now();

    await lab.hindered('netdev', `ingress device ${ISP3.port}`, ['drop'], async () => {
      const down = await lab.monitor.next(known, 'uplink.down', 'isp3');
      await lab.monitor.next(known, 'uplink.failover', 'isp3');
      // Everybody is told at once: the programs of new TCP flows and of the ping; Linux goes on trying for those of open flows (RFC 1122 §4.2.3.9) and UDP.
      const refused = await tcpFlows(lab.pc, SERVER, 10);
      assert.equal([...tally(refused.map(({ error }) => error)).keys()].filter((error) => error !== 'EHOSTUNREACH' && error !== 'ENETUNREACH'), [], JSON.stringify(refused));
      await waitFor(() => /From 10\.0\.1\.1 icmp_seq=\d+ Destination (Net|Host) Unreachable/.test(pinging.output()), WAIT_MS, 'the ping to be told unreachable');
      const quotes = (protocol: number): Sighting[] => lab.lanWire.frames.filter((one) => one.atMs > down.atMs && one.destination === PC
        && one.protocol === ICMP && one.icmpType === 3 && (one.icmpCode === 0 || one.icmpCode === 1) && one.payload[9] === protocol);
      for (const protocol of [TCP, UDP, ICMP]) {
        await waitFor(() => quotes(protocol).length > 0, WAIT_MS, `an answer to a packet of protocol ${protocol}`);
        assert.ok(quotes(protocol)[0].atMs - down.atMs < SLACK_MS, `protocol ${protocol} was told ${quotes(protocol)[0].atMs - down.atMs} ms after`);
      }
      // Every wire is asked on.
      const asked = WAYS.map((way) => lab.asked(way).requests.length);
      await waitFor(() => WAYS.every((way, i) => lab.asked(way).requests.length > asked[i] + 1), WAIT_MS, 'every uplink to be asked on');
      for (const { name } of WAYS) assert.is((await lab.status(name)).state, 'down');
      assert.equal(lostSince(lab.crowd.events, heldMs), [], 'no flow is killed');
      assert.equal(lab.monitor.events.slice(known).filter(({ event }) => event.startsWith('flow.')), []);
      await pinging.stop();
    });

    // The backup is back: what waited goes on, and new flows have a way.
    const up = await lab.monitor.next(known, 'uplink.up', 'isp3');
    const flows = await newFlows(lab, up.atMs);
    assert.equal(flows.filter(({ ok }) => !ok), []);
    assert.equal([...tally(flows.map(({ peer }) => peer)).keys()], [ISP3.own]);
    const talking = survivors.filter(({ localPort }) => lab.crowd.events.some((one) => one.event === 'echo' && one.localPort === localPort && one.atMs < heldMs));
    assert.ok(talking.length > 0);
    await waitFor(() => talking.every(({ localPort }) => lab.crowd.events.some((one) => one.event === 'echo' && one.localPort === localPort && one.atMs > up.atMs)),
      WAIT_MS, 'every flow that waited to have echoes again');
    await waitFor(() => lab.tunnel.events.some(({ beganAtMs }) => (beganAtMs ?? 0) > up.atMs), WAIT_MS, 'the tunnel to resume');
  });
  for (const name of ['isp1', 'isp2']) await lab.monitor.next(known, 'uplink.up', name);
  assert.equal(lab.crowd.open.map(({ localPort }) => localPort).sort(), survivors.map(({ localPort }) => localPort).sort(), 'not one has been lost from first to last');
});

// conforms: fwd-loss
failover('in all this no wire has carried another link\'s address, and the router stops in good order', async ({ lab }) => {
  await lab.assertSourcesRight();
  assert.equal(await lab.daemon.stop(), { code: 0, signal: null }, lab.daemon.log());
});
failover.run();
