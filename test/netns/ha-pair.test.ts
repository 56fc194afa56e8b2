/**
 * Two gateways that serve as one, with flows that must outlive either of them: a TCP flow through SNAT and one through a virtual server, in which both sides
 * speak all the time and hold every byte against what the other must have said; a UDP flow of fixed ports, numbered both ways; files by FTP. The master is
 * killed, comes back, is drained, loses a cable, and hangs and wakes up. How long nothing got through is read from the wires of both ends.
 *
 * All that is done without the offload to the kernel first: there the programs of a daemon that was killed go on forwarding the flows they know for two
 * seconds, which hides how soon another one has taken over. Then once with it, as it is by default.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Capture } from '../../netns/kit/capture.js';
import { Dialogue, missing } from '../../netns/kit/dialogue.js';
import { FTP_MODES } from '../../netns/kit/ftp.js';
import { UDP, type Sighting } from '../../netns/kit/recording.js';
import { waitFor } from '../../netns/kit/wait.js';
import { FTP_BYTES, HaPair, PC, SERVER, TALK_PORT, VIRTUAL_INSIDE, VIRTUAL_OUTSIDE, type HaPairOptions, type Talk } from '../../netns/ha-pair.js';
import { telling } from './telling.js';

interface Context { lab: HaPair; wires: Record<'pc1' | 'server', Capture>; talk: Talk }

const WAIT_MS = 30_000;
/** Of the issue, with adverts every 100 ms. */
const GOAL_MS = 1000;
/** RFC 9568 §7.3. */
const VIRTUAL_MAC = { [VIRTUAL_INSIDE]: '00:00:5e:00:01:33' };

function pair(title: string, options: HaPairOptions): ReturnType<typeof suite<Context>> {
  const made = suite<Context>(title);
  made.before(telling(async (context) => {
    context.lab = await HaPair.up(options);
    const { cables } = context.lab;
    const [pc1, server] = await Promise.all([cables.pc1.capture(), cables.server.capture()]);
    context.wires = { pc1, server };
  }));
  made.after((context) => context.lab?.close());
  return made;
}

/** Both ways of the UDP flow as the far end's wire has it: what was delivered. */
function delivered({ wires }: Context, sinceMs: number): { outward: Sighting[]; inward: Sighting[] } {
  const of = (wire: Capture, source: string, destination: string): Sighting[] =>
    wire.recording.frames.filter((one) => one.atMs >= sinceMs && one.protocol === UDP && one.source === source && one.destination === destination);
  return { outward: of(wires.server, VIRTUAL_OUTSIDE, SERVER), inward: of(wires.pc1, SERVER, PC) };
}

/** The longest time between two datagrams that came. */
const longestGapMs = (frames: readonly Sighting[]): number => Math.max(...frames.slice(1).map(({ atMs }, i) => atMs - frames[i].atMs));

/** Waits until both wires have seen datagrams of the UDP flow again after that moment, and gives the longest silence since shortly before it, each way. */
async function gaps(context: Context, atMs: number): Promise<{ outward: number; inward: number }> {
  const frames = await waitFor(() => {
    const { outward, inward } = delivered(context, atMs - 1000);
    return [outward, inward].every((list) => list.filter((one) => one.atMs > atMs + GOAL_MS).length > 10) ? { outward, inward } : null;
  }, WAIT_MS, 'datagrams to be delivered both ways');
  return { outward: longestGapMs(frames.outward), inward: longestGapMs(frames.inward) };
}

/** gw1 is killed under all kinds of flows, and gw2 has them within a second. */
async function killed(context: Context): Promise<void> {
  const { lab } = context;
  const talk = context.talk = await lab.talk();
  const fetches = FTP_MODES.filter(({ name }) => name === 'passive, PASV' || name === 'active, PORT').map((mode) => lab.fetch(mode));
  await waitFor(() => fetches.every((fetching) => fetching.bytes() > FTP_BYTES / 10), WAIT_MS, 'both transfers to be under way');
  // What begins in the very moment before, and is not written yet, would be lost.
  await lab.gateways.gw1.told();
  const killedAtMs = Date.now();
  await lab.gateways.gw1.kill();
  await lab.comesToBeMaster('gw2');
  await talk.goesOn();
  const gap = await gaps(context, killedAtMs);
  assert.ok(gap.outward < GOAL_MS && gap.inward < GOAL_MS, `nothing was delivered for ${gap.outward.toFixed(0)} ms outward, ${gap.inward.toFixed(0)} ms inward`);
  for (const fetching of fetches) assert.is(await fetching.hash, lab.ftpHash, fetching.mode.name);
  // Who asks is told of the virtual router's own MAC address, before and after.
  const answers = context.wires.pc1.recording.frames.filter(({ kind, source }) => kind === 'arp' && source === VIRTUAL_INSIDE);
  assert.ok(answers.some(({ atMs }) => atMs > killedAtMs), 'the new master has announced itself');
  assert.equal([...new Set(answers.map(({ sourceMac }) => sourceMac))], [VIRTUAL_MAC[VIRTUAL_INSIDE]]);
}

const rows = pair('ha-pair: flows outlive the gateway they went by', { more: { both: { limits: { offloadedFlows: 0 } } } });
const KILLED = 'the master is killed: TCP through SNAT and to a virtual server, UDP, and FTP with its control connection go on, within a second';
rows(KILLED, killed);

// conforms: ha-takeover ha-loaded-first
rows('the killed one comes back, knows every flow before it takes over, and the same flows go on', async (context) => {
  const { lab, talk } = context;
  await lab.returns('gw1');
  const { load } = await lab.gateways.gw1.share();
  assert.ok(load !== null && load.isDone && load.records > 0, JSON.stringify(load));
  await lab.comesToBeMaster('gw1');
  await lab.comesToBe('gw2', 'backup');
  const backAtMs = Date.now();
  await talk.goesOn();
  const gap = await gaps(context, backAtMs - 1000);
  assert.ok(gap.outward < GOAL_MS && gap.inward < GOAL_MS, `nothing was delivered for ${gap.outward.toFixed(0)} ms outward, ${gap.inward.toFixed(0)} ms inward`);
});

rows('a master that is drained loses no packet, nor does the other when the better one takes over again', async ({ lab, talk }) => {
  const quick = await Dialogue.start(lab.pc1, 'udp', SERVER, TALK_PORT, { periodMs: 4, localPort: 41_000 });
  await lab.gateways.gw1.daemon.ask('drain');
  await lab.comesToBeMaster('gw2');
  const drainedAtMs = Date.now();
  await Promise.all([quick.heardSince(drainedAtMs, 100), talk.goesOn()]);
  const far = lab.outside.events.findLast(({ event, protocol }) => event === 'open' && protocol === 'udp')!.far;
  const lost = (): unknown => ({ inward: missing(quick.events), outward: missing(lab.outside.events, far) });
  assert.equal(lost(), { inward: [], outward: [] }, 'drained');
  await lab.gateways.gw1.daemon.ask('undrain');
  await lab.comesToBeMaster('gw1');
  const undrainedAtMs = Date.now();
  await Promise.all([quick.heardSince(undrainedAtMs, 100), talk.goesOn()]);
  assert.equal(lost(), { inward: [], outward: [] }, 'preempted');
  await quick.stop(lab.outside);
});

rows('a master that has lost one cable is master of neither side', async ({ lab, talk }) => {
  lab.gateways.gw1.cables.wan.cut();
  try {
    await lab.comesToBeMaster('gw2');
    await talk.goesOn();
  } finally {
    lab.gateways.gw1.cables.wan.plug();
  }
  await lab.comesToBeMaster('gw1');
  await talk.goesOn();
});

// conforms: ha-fencing
rows('a master that hangs and wakes up: its late writes are refused, it stands back, learns what has happened, and every flow goes on', async ({ lab, talk }) => {
  const { gw1 } = lab.gateways;
  const before = (await gw1.share()).counts.fenced;
  const monitor = await gw1.daemon.monitor({ flows: false });
  const known = monitor.events.length;
  // Something to write when it wakes up: flows that begin while it hangs are on their way to it until the wire has learned of the other.
  gw1.freeze();
  try {
    await lab.comesToBeMaster('gw2');
    await talk.goesOn();
    // For longer than the four intervals after which it knows by itself that somebody else must be master (src/vrrp/election.ts).
    const sent = (await lab.standing('gw2')).map((one) => one.sent);
    await waitFor(async () => (await lab.standing('gw2')).every((one, i) => one.sent >= sent[i]! + 5), WAIT_MS, 'gw2 to have been master for five adverts');
  } finally {
    gw1.thaw();
  }
  await waitFor(() => monitor.events.slice(known).some(({ event }) => event === 'vrrp.backup'), WAIT_MS, 'gw1 to stand back').catch((error: unknown) => { throw new Error(`${String(error)}\n${monitor.story}`); });
  const status = await gw1.shares('to have been fenced', ({ counts, phase }) => counts.fenced > before && phase === 'running');
  assert.ok(status.load?.isDone, JSON.stringify(status.load));
  await lab.comesToBeMaster('gw1');
  await lab.comesToBe('gw2', 'backup');
  await talk.goesOn();
});

rows('all flows end whole', async ({ lab, talk }) => {
  await talk.stop();
  assert.equal([...new Set((await lab.standing('gw1')).map(({ state }) => state))], ['master']);
  assert.equal([...new Set((await lab.standing('gw2')).map(({ state }) => state))], ['backup']);
});
rows.run();

const offloaded = pair('ha-pair: with flows offloaded to the kernel', {});
offloaded(KILLED, async (context) => {
  await killed(context);
  await context.talk.stop();
});
offloaded('what the lab shows: handed over, taken back, killed and come back in a row, with a transfer going on all the while', async ({ lab }) => {
  await lab.returns('gw1');
  await lab.comesToBeMaster('gw1');
  assert.match(await lab.show(), /^5\. The transfer by FTP that went on meanwhile is whole\.$/m);
});
offloaded.run();
