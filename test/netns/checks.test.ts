/**
 * Health checks in the lab, both uplinks by every kind there is: each question leaves by the uplink under test with its address, as the wires show, and goes
 * on doing so while that uplink is down. Then the ways in which an uplink fails while its carrier stays: a gateway gone silent, a path broken beyond
 * it, a path that loses a third of all packets.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Capture } from '../../netns/kit/capture.js';
import type { Host } from '../../netns/kit/lab.js';
import type { Process } from '../../netns/kit/process.js';
import { ICMP, SYN, TCP, UDP, type Sighting } from '../../netns/kit/recording.js';
import { program } from '../../netns/kit/program.js';
import { tally, tcpFlows } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { GATEWAY, Multiwan, SERVER, WAN1, WAN2 } from '../../netns/multiwan.js';
import type { UplinkList, UplinkStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';

const INTERVAL_MS = 200;
const FALL = 3;
const RISE = 3;
const USUAL = { interval: `${INTERVAL_MS}ms`, fall: FALL, rise: RISE, damping: 'off' };
const WAIT_MS = 30_000;
/** Destination of the datagrams whose hops are counted out, and their first hop is the gateway. */
const HOP_PORT = 33_434;

interface Event { atMs: number; event: string; subject: string; message: string; reason: string | null; uplink?: string }
interface Context {
  lab: Multiwan;
  wires: readonly Capture[];
  /** Of the router's devices, by way. */
  macs: readonly string[];
  names: Process;
}

interface Way { uplink: string; own: string; device: string }
const WAYS: readonly Way[] = [{ uplink: 'isp1', own: WAN1, device: 'eth1' }, { uplink: 'isp2', own: WAN2, device: 'eth2' }];

/** What the daemon has told, as its log has it. */
function events(lab: Multiwan): Event[] {
  const text = lab.weir.process?.errors() ?? '';
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Event & { time: string; msg: string })
    .filter(({ event }) => event !== undefined)
    .map((row) => ({ ...row, message: row.msg, atMs: Date.parse(row.time) }));
}

async function uplink(lab: Multiwan, name: string): Promise<UplinkStatus> {
  const { uplinks } = await lab.weir.api<UplinkList>('uplinks');
  return uplinks.find((row) => row.name === name)!;
}

async function comesTo(lab: Multiwan, name: string, state: UplinkStatus['state']): Promise<UplinkStatus> {
  return waitFor(async () => {
    const status = await uplink(lab, name);
    return status.state === state ? status : null;
  }, WAIT_MS, `uplink ${name} to be ${state}`).catch((error: unknown) => { throw new Error(`${String(error)}\n${events(lab).map(({ message }) => message).join('\n')}`); });
}

/** The last event of a kind since the first `known`: a status may be asked for before the log's line has come through its pipe. */
async function told(lab: Multiwan, known: number, event: string, subject: string): Promise<Event> {
  return waitFor(() => events(lab).slice(known).findLast((one) => one.event === event && one.subject === subject) ?? null, WAIT_MS, `${event} of ${subject} to be told`);
}

/** Frames a wire has seen from the router's own device. */
function framesFrom(context: Context, way: Way, which: (one: Sighting) => boolean): Sighting[] {
  const mac = context.macs[WAYS.indexOf(way)];
  return context.wires[WAYS.indexOf(way)].recording.frames.filter((one) => one.sourceMac === mac && which(one));
}

/** A chain of nftables on a host for the time of `run`. */
async function hindered<T>(host: Host, family: string, type: string, rule: string, body: () => Promise<T>): Promise<T> {
  host.runNow(['nft', '-f', '-'], { input: `table ${family} hindrance { chain c { type filter hook ${type} priority -10;\n${rule}\n}\n}\n` });
  try {
    return await body();
  } finally {
    host.runNow(['nft', 'delete', 'table', family, 'hindrance']);
  }
}

/** What a lab's uplinks are to be asked; a drop-in for both. */
function checked(lab: Multiwan, checks: Record<string, object>): void {
  lab.weir.dropIn('60-checks', { uplinks: Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, { check }])) });
}

async function up(context: Context, configure: (lab: Multiwan) => void): Promise<void> {
  context.lab = await Multiwan.up({ form: 'raw', weights: [1, 1], judged: ['wan1', 'wan2'], start: false });
  const { lab } = context;
  configure(lab);
  context.macs = WAYS.map(({ device }) => (JSON.parse(lab.router.ip('-j', 'link', 'show', device)) as { address: string }[])[0].address);
  context.wires = await Promise.all([lab.cables.wan1.capture(), lab.cables.wan2.capture()]);
  context.names = lab.server.spawn('names', [...program('name-server'), '53', '192.0.2.80']);
  await Promise.all([context.names.waitForOutput(/^ready$/m, 20_000), lab.service(), lab.start()]);
  for (const { uplink: name } of WAYS) await comesTo(lab, name, 'up');
}

// ---- every kind ------------------------------------------------------------------------------------------------------------

const kinds = suite<Context>('checks: every kind by its uplink');

/** By the name of a target: what its question looks like on the wire. */
const QUESTIONS: Record<string, (one: Sighting) => boolean> = {
  [`icmp ${SERVER}`]: (one) => one.protocol === ICMP && one.icmpType === 8 && one.destination === SERVER,
  [`arp ${GATEWAY}`]: (one) => one.arpOperation === 1 && one.destination === GATEWAY,
  [`udp ${SERVER}:${HOP_PORT}`]: (one) => one.protocol === UDP && one.destinationPort === HOP_PORT && one.ttl === 1 && one.destination === SERVER,
  [`tcp ${SERVER}:7000`]: (one) => one.protocol === TCP && one.destinationPort === 7000 && (one.tcpFlags & SYN) !== 0 && one.destination === SERVER,
  [`http://${SERVER}/`]: (one) => one.protocol === TCP && one.destinationPort === 80 && /^GET [^]*user-agent: [^\r]*weir/i.test(one.payload.toString('latin1')),
  [`dns www.example.net at ${SERVER}`]: (one) => one.protocol === UDP && one.destinationPort === 53 && one.destination === SERVER && (one.payload[2] & 0x80) === 0,
  script: (one) => one.protocol === TCP && one.destinationPort === 80 && /^GET [^]*user-agent: [^\r]*curl/i.test(one.payload.toString('latin1')),
};

kinds.before(telling((context) => up(context, (lab) => {
  const script = join(lab.lab.directory, 'ask');
  writeFileSync(script, `#!/bin/sh\nexec curl -sf --max-time 1 --interface "$WEIR_LOCAL_ADDRESS" -o /dev/null "http://${SERVER}/"\n`);
  chmodSync(script, 0o755);
  const check = {
    icmp: SERVER, arp: 'gateway', udp: { target: SERVER, ttl: 1 }, tcp: `${SERVER}:7000`, http: `http://${SERVER}/`,
    dns: { server: SERVER, name: 'www.example.net', address: '192.0.2.80' }, script: { command: script, user: 'root' },
    need: 7, ...USUAL, interval: '300ms',
  };
  checked(lab, { isp1: check, isp2: check });
})));
kinds.after((context) => context.lab?.close());

/** Every question asked again on both wires from now on, each with the address of its own wire alone. */
async function allAskRightly(context: Context): Promise<void> {
  const { names } = context;
  /** Rounds so far, as the far name server has them. */
  const rounds = (own: string): number => names.output().split('\n').filter((line) => line.startsWith(`dns ${own} `)).length;
  const counts = (): Map<string, number> => {
    const found = new Map<string, number>();
    for (const way of WAYS) {
      for (const [target, isAsked] of Object.entries(QUESTIONS)) {
        const sources = tally(framesFrom(context, way, isAsked).map(({ source }) => source));
        assert.equal([...sources.keys()].filter((source) => source !== way.own), [], `${target} on the wire of ${way.own}`);
        found.set(`${way.own} ${target}`, sources.get(way.own) ?? 0);
      }
    }
    return found;
  };
  const before = counts();
  const begun = WAYS.map(({ own }) => rounds(own));
  await waitFor(() => WAYS.every(({ own }, i) => rounds(own) > begun[i] + 1), WAIT_MS, 'two more rounds by each uplink');
  await waitFor(() => {
    const now = counts();
    const missing = [...before].filter(([question, count]) => (now.get(question) ?? 0) <= count).map(([question]) => question);
    if (missing.length > 0) throw new Error(`not asked: ${missing.join(', ')}`);
    return true;
  }, WAIT_MS, 'every question to be asked on both wires');
}

// conforms: fwd-probes
kinds('each asks by the uplink under test with its address, and all have their answers', async (context) => {
  const { lab } = context;
  for (const { uplink: name } of WAYS) {
    const status = await waitFor(async () => {
      const { health } = await uplink(lab, name);
      const failing = health?.targets.filter(({ isOk }) => isOk !== true) ?? [];
      if (health?.isUp !== true || failing.length > 0) throw new Error(JSON.stringify(health));
      return health;
    }, WAIT_MS, `all targets by ${name} to answer`);
    assert.equal(status.targets.map(({ target }) => target.replace(/^script .*/, 'script')).sort(), Object.keys(QUESTIONS).sort());
    for (const { target, latencyMs } of status.targets) assert.ok(latencyMs !== null && latencyMs > 0 && latencyMs < 1000, `${target}: ${latencyMs}`);
    assert.equal([status.isUp, status.lossRatio !== null, status.latencyMs !== null], [true, true, true]);
  }
  await allAskRightly(context);
});

kinds('no pinned address and no inside one is seen on a wire', ({ wires }) => {
  const isInside = (address: string): boolean => address.startsWith('169.254.') || /^100\.64\.0\.[0-3]$/.test(address);
  for (const { recording } of wires) assert.equal(recording.frames.filter(({ source, destination }) => isInside(source) || isInside(destination)), []);
});

// conforms: fwd-probes fwd-all-down
kinds('also while an uplink is down, and while both are', async (context) => {
  const { lab } = context;
  // Echo requests to the far end are lost beyond the gateway, so one of the seven targets fails; the others answer on.
  for (const [sources, down] of [[WAN1, ['isp1']], [`{ ${WAN1}, ${WAN2} }`, ['isp1', 'isp2']]] as const) {
    await hindered(lab.gateway, 'ip', 'forward', `ip saddr ${sources} icmp type echo-request drop`, async () => {
      for (const name of down) {
        // What it went down for may be another target on a busy machine; this one fails in either case.
        const { reason } = await comesTo(lab, name, 'down');
        assert.match(reason ?? '', /timed out/);
        await waitFor(async () => {
          const { health } = await uplink(lab, name);
          return health?.targets.some((one) => one.target === `icmp ${SERVER}` && one.reason === 'timed out') === true ? true : null;
        }, WAIT_MS, `the echo requests of ${name} to be lost`);
      }
      await allAskRightly(context);
    });
    for (const { uplink: name } of WAYS) await comesTo(lab, name, 'up');
  }
  for (const fate of ['does not answer as it should: timed out', 'answers again']) {
    const message = `icmp ${SERVER} by uplink isp1 ${fate}`;
    await waitFor(() => events(lab).some((one) => one.event === 'health.target' && one.message === message), WAIT_MS, `it to be told that ${message}`);
  }
});

kinds('it stops at once and in good order in the midst of its questions', async ({ lab }) => {
  assert.equal(await lab.weir.stop(), { code: 0, signal: null }, lab.weir.log());
  assert.equal((JSON.parse(lab.router.ip('-j', 'rule', 'show')) as { protocol?: string }[]).filter(({ protocol }) => protocol === '87'), []);
  assert.is(lab.router.runNow(['ss', '-Htnp', 'src', '169.254.119.0/24', 'state', 'established'], { check: false }).stdout, '');
});
kinds.run();

// ---- ways to fail ------------------------------------------------------------------------------------------------------------

const failures = suite<Context>('checks: an uplink that fails behind its carrier');

failures.before(telling((context) => up(context, (lab) => {
  // Both suffer the same loss; only the second has a threshold for it. Its questions have time besides: it is to stay up while the first one fails, and a
  // machine that stalls is no failing uplink.
  checked(lab, {
    isp1: { icmp: SERVER, ...USUAL, window: 12 },
    isp2: { icmp: SERVER, ...USUAL, interval: '500ms', timeout: '500ms', loss: { fail: '25%', recover: '10%' }, window: 12 },
  });
})));
failures.after((context) => context.lab?.close());

/** Each test begins with both uplinks up and no loss in the window, whatever the one before it, or a start on a busy machine, has left. */
failures.before.each(async ({ lab }) => {
  for (const { uplink: name } of WAYS) {
    await waitFor(async () => {
      const { state, health } = await uplink(lab, name);
      if (state !== 'up' || health?.lossRatio !== 0) throw new Error(`${state}, ${JSON.stringify(health)}`);
      return true;
    }, WAIT_MS, `${name} to be up without loss`);
  }
});

/** Echo requests of the router on the wire of isp1 and the answers to them, by time. */
function asked(context: Context): { requests: number[]; replies: number[] } {
  const requests = framesFrom(context, WAYS[0], (one) => one.protocol === ICMP && one.icmpType === 8 && one.destination === SERVER && one.source === WAN1);
  const replies = context.wires[0].recording.frames.filter((one) => one.protocol === ICMP && one.icmpType === 0 && one.source === SERVER && one.destination === WAN1);
  return { requests: requests.map(({ atMs }) => atMs), replies: replies.map(({ atMs }) => atMs) };
}

/** Fails isp1 in a way, and judges when it was left, by the questions on the wire and the events. */
async function leftInTime(context: Context, family: string, type: string, rule: string): Promise<void> {
  const { lab } = context;
  const known = events(lab).length;
  await hindered(lab.gateway, family, type, rule, async () => {
    await comesTo(lab, 'isp1', 'down');
    const down = await told(lab, known, 'uplink.down', 'isp1');
    assert.match(down.reason ?? '', /icmp 203\.0\.113\.10: timed out/);
    assert.equal(events(lab).slice(known).filter(({ event, subject }) => event === 'uplink.down' && subject === 'isp2'), []);
    const { requests, replies } = await waitFor(() => {
      const seen = asked(context);
      return seen.requests.some((atMs) => atMs > down.atMs) ? seen : null;
    }, WAIT_MS, 'the wire to show the questions after the fall');
    const lastAnswer = Math.max(...replies.filter((atMs) => atMs < down.atMs));
    const unanswered = requests.filter((atMs) => atMs > lastAnswer && atMs <= down.atMs);
    // The last one asked may still have had its time.
    assert.ok(unanswered.length >= FALL && unanswered.length <= FALL + 1, `left after ${unanswered.length} unanswered questions`);
    // 2 intervals and a time limit at rest; the second is the goal, and machines that stall for as long again are none to judge by.
    assert.ok(down.atMs - unanswered[0] <= 2000, `left ${down.atMs - unanswered[0]} ms after the first unanswered question`);
    const flows = await tcpFlows(lab.pc1, SERVER, 40);
    assert.equal(flows.filter((flow) => !flow.ok), [], 'new flows succeed at once');
    assert.equal([...tally(flows.map((flow) => flow.peer)).keys()], [WAN2]);
  });
  const back = Date.now();
  await comesTo(lab, 'isp1', 'up');
  const up = await told(lab, known, 'uplink.up', 'isp1');
  const { replies } = await waitFor(() => {
    const seen = asked(context);
    return seen.replies.some((atMs) => atMs > up.atMs) ? seen : null;
  }, WAIT_MS, 'the wire to show the answers after the return');
  const answered = replies.filter((atMs) => atMs > back - INTERVAL_MS && atMs <= up.atMs);
  assert.ok(answered.length >= RISE && answered.length <= RISE + 2, `back after ${answered.length} answers`);
  const flows = await tcpFlows(lab.pc1, SERVER, 60);
  assert.equal(flows.filter((flow) => !flow.ok), []);
  assert.equal([...tally(flows.map((flow) => flow.peer)).keys()].sort(), [WAN1, WAN2]);
}

failures('a path broken beyond the gateway, which itself answers on', (context) =>
  leftInTime(context, 'ip', 'forward', `ip saddr ${WAN1} drop`));

failures('a gateway that falls silent while its carrier stays', (context) =>
  leftInTime(context, 'netdev', 'ingress device port1', 'drop'));

failures('a path that loses a third: left by the threshold for it, and only where there is one', async ({ lab }) => {
  const known = events(lab).length;
  await hindered(lab.gateway, 'ip', 'forward', `ip saddr ${WAN1} icmp type echo-request numgen inc mod 3 0 drop\nip saddr ${WAN2} icmp type echo-request numgen inc mod 3 0 drop`, async () => {
    const { reason } = await comesTo(lab, 'isp2', 'down');
    assert.match(reason ?? '', /loss \d+(\.\d)? %/);
    // On a machine that stalls three in a row may be late, and that counts; its loss never does.
    await waitFor(async () => {
      const { state, health } = await uplink(lab, 'isp1');
      return state === 'up' && (health?.lossRatio ?? 0) > 0.25;
    }, WAIT_MS, 'isp1 to be up with a loss it knows of, which is as great');
  });
  const { health } = await comesTo(lab, 'isp2', 'up');
  assert.ok((health?.lossRatio ?? 1) <= 0.1, JSON.stringify(health));
  assert.equal(events(lab).slice(known).filter(({ event, subject, reason }) => event === 'uplink.down' && subject === 'isp1' && !/timed out/.test(reason ?? '')), []);
});

failures('a pulled cable counts at once, without waiting for a question', async (context) => {
  const { lab } = context;
  const known = events(lab).length;
  lab.cables.wan1.cut();
  try {
    await comesTo(lab, 'isp1', 'down');
    const down = await told(lab, known, 'uplink.down', 'isp1');
    const story = events(lab).slice(known).filter(({ event, subject }) => (subject === 'isp1' && event === 'uplink.down') || (subject === 'wan1' && event === 'link.down'));
    assert.equal(story.map(({ event }) => event), ['link.down', 'uplink.down'], 'the cause is told first');
    assert.match(down.reason ?? '', /carrier/);
  } catch (error) {
    lab.cables.wan1.plug();
    throw error;
  }
  const pulled = asked(context).requests.length;
  lab.cables.wan1.plug();
  await comesTo(lab, 'isp1', 'up');
  const { requests } = asked(context);
  assert.ok(requests.length - pulled >= RISE, 'it is asked before it is trusted again');
});

failures('what a person wants of an uplink is done at once: drained, given no weight, its affinity forgotten', async ({ lab }) => {
  for (const [begin, end] of [[['drain', 'uplink', 'isp1'], ['undrain', 'uplink', 'isp1']], [['weight', 'uplink', 'isp1', '0'], ['weight', 'uplink', 'isp1', '1']]]) {
    await lab.weir.ask(...begin);
    assert.is((await uplink(lab, 'isp1')).state, 'drained');
    // The data plane has its mail by the time a flow that began after the answer gets through.
    await waitFor(async () => [...tally((await tcpFlows(lab.pc1, SERVER, 20)).map((flow) => flow.peer)).keys()].join() === WAN2, WAIT_MS, `new flows to keep off isp1 after ${begin.join(' ')}`);
    assert.is((await uplink(lab, 'isp1')).health?.isUp, true, 'it is checked on');
    await lab.weir.ask(...end);
    await waitFor(async () => tally((await tcpFlows(lab.pc1, SERVER, 40)).map((flow) => flow.peer)).size === 2, WAIT_MS, `isp1 to serve again after ${end.join(' ')}`);
  }
  assert.ok(events(lab).some(({ event, subject }) => event === 'uplink.drained' && subject === 'isp1'));
});
failures.run();
