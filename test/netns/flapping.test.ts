/**
 * An uplink that is neither up nor down, under live traffic: its cable comes and goes every two seconds until damping takes it out, and its path loses
 * 30 % of all packets. No other uplink's flow is touched, whoever is on it moves on when it is left, and it is back when it is well and still.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tally } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import type { Told } from '../../netns/kit/weir.js';
import { FailoverLab, INTERVAL_MS, ISP1, ISP2, RISE, SERVER, WAIT_MS } from './failover-lab.js';
import { telling } from './telling.js';

interface Context { lab: FailoverLab }

const HALF_PERIOD_MS = 1000;
const FLAPS_MOST = 6;
const FLAPS_WHILE_DAMPED = 2;
/** What a machine that others keep busy may be late by. */
const SLACK_MS = 1500;
const NEW_FLOWS = 40;

const flapping = suite<Context>('flapping and lossy uplinks under live traffic');
flapping.before(telling(async (context) => {
  context.lab = await FailoverLab.up({
    // Two seconds apart, falls count 1, 1.7 and 2.2.
    isp1: { window: 10, loss: { fail: '25%', recover: '10%' }, damping: { halfLife: '4s', suppress: 2.1, reuse: 1, most: '5s' } },
  });
}));
flapping.after((context) => context.lab?.close());

/** Flows of the crowd that were lost between two moments, with the uplink each was on. */
function lost(lab: FailoverLab, fromMs: number, toMs: number): { peer: string; error: string }[] {
  const { events } = lab.crowd;
  const peers = new Map(events.filter(({ event }) => event === 'open').map((one) => [`${one.localPort} ${one.beganAtMs}`, one.peer!]));
  return events.filter(({ event, atMs }) => event === 'lost' && atMs >= fromMs && atMs <= toMs)
    .map((one) => ({ peer: peers.get(`${one.localPort} ${one.beganAtMs}`)!, error: one.error! }));
}

flapping('a cable that comes and goes every two seconds is left alone by damping, until it is still', async ({ lab }) => {
  await lab.renew();
  const known = lab.monitor.events.length;
  const beganAtMs = Date.now();
  const news = (event: string): Told[] => lab.monitor.events.slice(known).filter((one) => one.event === event && one.subject === 'isp1');
  /** When the cable was cut, and when its loss had been told of. */
  const cuts: { atMs: number; toldAtMs: number }[] = [];
  const flap = async (): Promise<void> => {
    const [startMs, downs] = [Date.now(), lab.monitor.events.length];
    lab.cables[0].cut();
    const { atMs } = await lab.monitor.next(downs, 'link.down', 'wan1');
    cuts.push({ atMs: startMs, toldAtMs: atMs });
    await pause(Math.max(0, startMs + HALF_PERIOD_MS - Date.now()));
    lab.cables[0].plug();
    await pause(HALF_PERIOD_MS);
    const isDamped = news('uplink.damped').length > 0;
    await waitFor(() => isDamped || news('uplink.up').length === cuts.length, WAIT_MS, 'isp1 to be back or damped');
  };
  while (news('uplink.damped').length === 0) {
    assert.ok(cuts.length < FLAPS_MOST, `not damped by ${cuts.length} falls\n${lab.monitor.story}`);
    await flap();
  }
  const [damped] = news('uplink.damped');
  assert.ok(cuts.length >= 3, `damped by fall ${cuts.length}`);
  assert.match((await lab.status('isp1')).reason ?? '', /damped/);
  const before = lab.crowd.open.map(({ localPort }) => localPort).sort();
  for (let i = 0; i < FLAPS_WHILE_DAMPED; i++) await flap();

  // Until it was damped, each fall ended the flows of isp1 alone; from then on nobody noticed anything.
  const stillMs = Date.now();
  const untilMs = (await lab.status('isp1')).health!.suppressedUntilMs!;
  const early = lost(lab, beganAtMs, damped.atMs + SLACK_MS);
  assert.equal([...tally(early.map(({ peer, error }) => `${peer} ${error}`)).keys()], [`${ISP1.own} ECONNRESET`]);
  assert.equal(lost(lab, damped.atMs + SLACK_MS, stillMs), []);
  assert.equal(lab.crowd.open.map(({ localPort }) => localPort).sort(), before, 'the crowd stays where it is while isp1 is damped');
  assert.ok(lab.forwarded[1].events.every(({ event, atMs }) => event !== 'lost' || atMs < beganAtMs), 'what came in by isp2 lives');

  // Back once the penalty has decayed, and the rounds are good.
  const up = await waitFor(() => news('uplink.up').find(({ atMs }) => atMs > damped.atMs), WAIT_MS, 'isp1 to be back').catch((error: unknown) => {
    throw new Error(`${(error as Error).message}\n${lab.monitor.story}`);
  });
  assert.ok(untilMs > damped.untilMs!, 'falls while it was damped have prolonged it');
  assert.ok(up.atMs >= untilMs - 100 && up.atMs <= untilMs + (RISE + 1) * INTERVAL_MS + SLACK_MS, `back ${up.atMs - untilMs} ms after damping ended\n${lab.monitor.story}`);
  assert.is(news('uplink.up').filter(({ atMs }) => atMs >= damped.atMs).length, 1, lab.monitor.story);
  const flows = await waitFor(() => {
    const since = lab.watch.results().filter(({ atMs }) => atMs > up.atMs);
    return since.length >= NEW_FLOWS ? since : null;
  }, WAIT_MS, 'new flows');
  assert.equal([...tally(flows.map(({ peer }) => peer)).keys()].sort(), [ISP1.own, ISP2.own]);

  // A new flow fails only if the cable went from under it.
  const failed = lab.watch.results().filter(({ ok, atMs }) => !ok && atMs >= beganAtMs && !cuts.some((cut) => atMs >= cut.atMs - SLACK_MS && atMs <= cut.toldAtMs));
  assert.equal(failed, [], JSON.stringify(cuts));
  await waitFor(() => lab.tunnel.events.some(({ beganAtMs: sentMs }) => (sentMs ?? 0) > up.atMs), WAIT_MS, 'the tunnel to go on');
});

flapping('a path that loses 30 % both ways is left for its loss, and taken back when it is mended', async ({ lab }) => {
  await lab.renew();
  const known = lab.monitor.events.length;
  const before = lab.crowd.open;
  const tunnelPort = lab.tunnel.events.at(-1)!.localPort;
  const beganAtMs = Date.now();
  const dropped = ['iifname', 'oifname'].map((side) => `${side} ${ISP1.port} numgen random mod 100 < 30 drop`);
  let down!: Told;
  await lab.hindered('ip', 'forward', dropped, async () => {
    down = await lab.monitor.next(known, 'uplink.down', 'isp1');
    assert.match(down.reason ?? '', /loss \d+(\.\d)? %|timed out/);
    const mine = before.filter(({ peer }) => peer === ISP1.own);
    assert.ok(mine.length > 0);
    await waitFor(() => lost(lab, beganAtMs, Infinity).length >= mine.length, WAIT_MS, 'the flows of isp1 to be reset');
    assert.equal([...tally(lost(lab, beganAtMs, Infinity).map(({ peer, error }) => `${peer} ${error}`)).keys()], [`${ISP1.own} ECONNRESET`]);
    const flows = await waitFor(() => {
      const since = lab.watch.results().filter(({ atMs }) => atMs > down.atMs);
      return since.length >= NEW_FLOWS ? since : null;
    }, WAIT_MS, 'new flows');
    assert.equal(flows.filter(({ ok }) => !ok), [], 'new flows lose nothing');
    assert.equal([...tally(flows.map(({ peer }) => peer)).keys()], [ISP2.own]);
    const echoes = await waitFor(() => {
      const since = lab.tunnel.events.filter(({ beganAtMs: sentMs }) => (sentMs ?? 0) > down.atMs);
      return since.length >= 10 ? since : null;
    }, WAIT_MS, 'the tunnel to resume');
    assert.equal(echoes.map(({ number }) => number! - echoes[0].number!), echoes.map((_, i) => i), 'the tunnel loses nothing any more');
    assert.ok(echoes.every(({ localPort }) => localPort === tunnelPort));
  });
  const up = await lab.monitor.next(known, 'uplink.up', 'isp1');
  const { health } = await lab.status('isp1');
  assert.ok((health?.lossRatio ?? 1) <= 0.1, JSON.stringify(health));
  assert.equal(lost(lab, up.atMs, Infinity), []);
  assert.ok(lab.forwarded[1].events.every(({ event, atMs }) => event !== 'lost' || atMs < beganAtMs), 'what came in by isp2 lives');
  const { sent, received } = await lab.pc.ping(SERVER, 5);
  assert.is(received, sent);
});

// conforms: fwd-loss
flapping('in all this no wire has carried another link\'s address, and the router stops in good order', async ({ lab }) => {
  await lab.assertSourcesRight([ISP1, ISP2]);
  assert.equal(await lab.daemon.stop(), { code: 0, signal: null }, lab.daemon.log());
});
flapping.run();
