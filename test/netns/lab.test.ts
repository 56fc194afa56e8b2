/** The lab itself: it cleans up whatever happens, and its judge of wires finds what it is there to find. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, judge, readFrames } from '../../netns/kit/capture.js';
import { runNow } from '../../netns/kit/command.js';
import { Lab, sweep, type Cable, type Host } from '../../netns/kit/lab.js';
import { bulkTcp } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { scenarios } from '../../netns/registry.js';
import { LOADER } from '../support/loader.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LATE = join(ROOT, 'netns/traffic/late.py');
const LEFT = '10.9.0.1';
const RIGHT = '10.9.0.2';

function namespaces(prefix: string): string[] {
  return runNow(['ip', 'netns', 'list']).stdout.split('\n').map((line) => line.split(' ')[0]).filter((name) => name.startsWith(prefix));
}

/** Two hosts and one cable. */
function pair(judged: boolean): { lab: Lab; left: Host; right: Host; cable: Cable } {
  const lab = Lab.open('pair');
  const left = lab.host('left');
  const right = lab.host('right');
  const cable = lab.cable('wire', { host: left, device: 'eth0', address: `${LEFT}/24` }, { host: right, device: 'eth0', address: `${RIGHT}/24` }, { judged });
  return { lab, left, right, cable };
}

/** A raw IPv4 payload of the given protocol, as it is: the kernel adds only the IP header. */
async function sendRaw(from: Host, to: string, protocol: number, payload: Buffer): Promise<void> {
  const file = join(from.lab.directory, 'payload');
  writeFileSync(file, payload);
  await from.run(['socat', '-u', `OPEN:${file}`, `IP4-SENDTO:${to}:${protocol}`]);
}

test('two labs of one name run side by side, a cable can be pulled and plugged, and closing leaves nothing', async () => {
  const one = pair(false);
  const two = pair(false);
  assert.is.not(one.left.namespace, two.left.namespace);
  for (const { lab, left, cable } of [one, two]) {
    assert.is((await left.ping(RIGHT, 3)).received, 3);
    cable.cut();
    assert.is((await left.ping(RIGHT, 1, ['-W', '1'])).received, 0);
    cable.plug();
    await waitFor(async () => (await left.ping(RIGHT, 1, ['-W', '1'])).received === 1, 10_000, 'the plugged cable to carry');
    left.spawn('sleeper', ['tail', '-f', '/dev/null']);
    const { directory, processes } = lab;
    assert.ok(existsSync(directory));
    lab.close();
    await processes[0].exited;
    assert.not(existsSync(directory));
  }
  assert.equal(namespaces(`weir-pair-${process.pid}-`), []);
  assert.equal(namespaces(`weir-pairx2-${process.pid}-`), []);
});

test('an answer to a ping that comes late is waited for, also the last one\'s, and one that never comes is missed', async () => {
  const { lab, left, right } = pair(false);
  try {
    right.sysctl({ 'net.ipv4.icmp_echo_ignore_all': 1 });
    for (const [unanswered, answers] of [[[], 3], [['2'], 2], [['3'], 2]] as const) {
      const late = right.spawn('late', ['python3', LATE, ...unanswered]);
      await late.waitForOutput(/ready/, 10_000);
      const { sent, received, output } = await left.ping(RIGHT, 3);
      assert.equal([sent, received], [3, answers], output);
      await late.stop();
    }
  } finally {
    lab.close();
  }
});

test('devices of a lab are never seen outside it', () => {
  const before = runNow(['ip', '-o', 'link', 'show', 'type', 'veth']).stdout;
  const { lab, left } = pair(false);
  try {
    assert.equal(left.devices(), ['eth0']);
    assert.is(runNow(['ip', '-o', 'link', 'show', 'type', 'veth']).stdout, before);
  } finally {
    lab.close();
  }
});

test('without a name the lab lists what there is, and a name it does not know is told with those it does', () => {
  const lab = (...args: string[]): ReturnType<typeof runNow> => runNow([process.execPath, ...LOADER, 'netns/lab.ts', ...args], { check: false, cwd: ROOT });
  const list = lab();
  assert.is(list.code, 0);
  assert.equal([...list.stdout.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map(([, name]) => name), scenarios.map(({ name }) => name));
  const unknown = lab('multi');
  assert.is(unknown.code, 2);
  assert.ok(unknown.stderr.startsWith(`lab: no scenario is called multi; there is: ${scenarios.map(({ name }) => name).join(', ')}\n`), unknown.stderr);
  const option = lab('one-arm', '--snat', 'never');
  assert.equal([option.code, option.stderr.split('\n')[0]], [2, 'lab: one-arm has no --snat; it has: --peer weir|kernel']);
});

/** A lab in a process of its own, up. */
async function elsewhere(): Promise<{ pid: number; exited: Promise<number | null>; prefix: string; directory: string }> {
  const child = spawn(process.execPath, [...LOADER, 'netns/lab.ts', 'multiwan', '--peer', 'kernel'], { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text; });
  const exited = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
  const pid = child.pid!;
  await waitFor(() => output.includes('Running until interrupted'), 30_000, 'the other lab to come up');
  return { pid, exited, prefix: `weir-multiwan-${pid}-`, directory: join(tmpdir(), `weir-lab-multiwan-${pid}`) };
}

for (const [name, code] of [['SIGTERM', 143], ['SIGINT', 130], ['SIGHUP', 129]] as const) {
  test(`a lab interrupted by ${name} leaves nothing`, async () => {
    const other = await elsewhere();
    assert.is(namespaces(other.prefix).length, 4);
    process.kill(other.pid, name);
    assert.is(await other.exited, code);
    assert.equal(namespaces(other.prefix), []);
    assert.not(existsSync(other.directory));
  });
}

test('what a killed lab left is removed by the next, what lives or is not ours is kept', async () => {
  const killed = await elsewhere();
  const living = pair(false);
  const foreign = `wt-${process.pid}-weir-pair-1-left`;
  runNow(['ip', 'netns', 'add', foreign]);
  try {
    process.kill(killed.pid, 'SIGKILL');
    await killed.exited;
    assert.is(namespaces(killed.prefix).length, 4);
    const inside = namespaces(killed.prefix).flatMap((name) => runNow(['ip', 'netns', 'pids', name]).stdout.split('\n')).filter((pid) => pid !== '');
    assert.ok(inside.length > 0, 'its traffic server still runs');
    sweep();
    assert.equal(namespaces(killed.prefix), []);
    assert.not(existsSync(killed.directory));
    await waitFor(() => inside.every((pid) => !existsSync(`/proc/${pid}`)), 10_000, 'the processes it left to be gone');
    assert.is((await living.left.ping(RIGHT, 1)).received, 1);
    assert.is(namespaces(foreign).length, 1);
  } finally {
    runNow(['ip', 'netns', 'del', foreign]);
    living.lab.close();
  }
});

test('a left-over whose process id was given to another process is told by the start time', () => {
  const name = `weir-reused-${process.pid}-left`;
  const directory = join(tmpdir(), `weir-lab-reused-${process.pid}`);
  runNow(['ip', 'netns', 'add', name]);
  try {
    // No record of who made it, and its process id is alive: it may be a lab that is just being made.
    sweep();
    assert.is(namespaces(name).length, 1);
    mkdirSync(directory);
    writeFileSync(join(directory, 'owner'), '1');
    assert.ok(sweep().includes(name));
    assert.not(existsSync(directory));
  } finally {
    if (namespaces(name).length > 0) runNow(['ip', 'netns', 'del', name]);
  }
});

test('the judge passes a clean wire, and every kind of checksum was validated on it', async () => {
  const { lab, left, right, cable } = pair(true);
  try {
    const capture = await cable.capture();
    await left.ping(RIGHT, 3);
    await bulkTcp(left, right, RIGHT, { bytes: 2_000_000 });
    await bulkTcp(left, right, RIGHT, { bytes: 2_000_000, reverse: true });
    // An echo that comes in three fragments.
    await left.ping(RIGHT, 2, ['-s', '4000']);
    // A datagram whose checksum the kernel makes, sent to a dead port and quoted in the answer.
    await left.run(['sh', '-c', `echo hello | nc -u -w1 ${RIGHT} 9`], { check: false });
    const { frames, good } = await assertWireClean(await capture.stop(), { never: '192.168.0.' });
    assert.ok(good.tcp > 2000, `${good.tcp} TCP segments were judged`);
    assert.ok(good.icmp >= 10, `${good.icmp} ICMP messages were judged`);
    assert.ok(good.udp >= 1);
    assert.ok(frames >= good.ip);
  } finally {
    lab.close();
  }
});

test('the judge finds a wrong checksum, an inside address and what cannot be judged', async () => {
  const { lab, left, cable } = pair(true);
  try {
    const wrong = Buffer.from([0x30, 0x39, 0x00, 0x09, 0x00, 0x0c, 0xde, 0xad, 1, 2, 3, 4]);
    const absent = Buffer.from(wrong);
    absent.writeUInt16BE(0, 6);
    const capture = await cable.capture();
    await sendRaw(left, RIGHT, 17, wrong);
    await sendRaw(left, RIGHT, 17, absent);
    const file = await capture.stop();
    const frames = await readFrames(file, 'udp && !icmp');
    assert.equal(frames.map((frame) => frame.bad), [['udp'], []]);
    assert.equal(frames.map((frame) => frame.good), [['ip'], ['ip']]);
    const faults = judge(frames);
    assert.is(faults.length, 1);
    assert.match(faults[0], /wrong checksum of udp/);
    assert.ok(judge(frames, { never: '10.9.0.' }).some((fault) => fault.includes('the inside address 10.9.0.1 is seen here')));
    let thrown: Error | null = null;
    await assertWireClean(file).catch((error: Error) => { thrown = error; });
    assert.match(String(thrown), /1 faults on the wire/);
  } finally {
    lab.close();
  }
  const plain = pair(false);
  try {
    const capture = await plain.cable.capture();
    await bulkTcp(plain.left, plain.right, RIGHT, { bytes: 2_000_000 });
    assert.ok(judge(await readFrames(await capture.stop())).length > 0, 'a cable with offloads on carries partial sums and super-segments');
  } finally {
    plain.lab.close();
  }
});

test('a TCP sum of all ones is right where zero would be, and wrong elsewhere', async () => {
  const { lab, left, cable } = pair(true);
  try {
    const words = [40_000, 7, 0, 1, 0, 0, 0x5010, 1000, 0, 0];
    const segment = (fill: number, sum: number): Buffer => {
      const bytes = Buffer.alloc(22);
      words.forEach((word, i) => bytes.writeUInt16BE(word, 2 * i));
      bytes.writeUInt16BE(sum, 16);
      bytes.writeUInt16BE(fill, 20);
      return bytes;
    };
    // The sum without the payload: both addresses, the protocol, the length, the header. The payload makes it all ones.
    const rest = [0x0a09, 1, 0x0a09, 2, 6, 22, ...words].reduce((sum, word) => sum + word, 0);
    const fill = 0xffff - ((rest & 0xffff) + (rest >>> 16));
    const capture = await cable.capture();
    for (const bytes of [segment(fill, 0), segment(fill, 0xffff), segment(fill - 1, 0xffff)]) await sendRaw(left, RIGHT, 6, bytes);
    const frames = (await readFrames(await capture.stop(), 'tcp.dstport == 7'));
    assert.equal(frames.map((frame) => frame.bad), [[], [], ['tcp']]);
  } finally {
    lab.close();
  }
});

test('waiting ends with what it waited for and the last reason', async () => {
  let asked = 0;
  assert.is(await waitFor(() => ++asked === 3 ? 'third' : null, 5000, 'the third'), 'third');
  let message = '';
  await waitFor(() => { throw new Error('no such thing'); }, 50, 'a thing').catch((error: Error) => { message = error.message; });
  assert.is(message, 'waited 0.05 s for a thing: no such thing');
});

test.run();
