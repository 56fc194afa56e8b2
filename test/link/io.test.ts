/** The addon's turn against real kernels: TAP, TUN and packet sockets in throw-away namespaces. */
import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { suite, type Test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ARENA_LENGTH, BATCH_MAX, FRAME_MAX, KIND_PACKET, KIND_TAP, KIND_TUN, OFFLOAD_CSUM, OFFLOAD_TSO4, OFFLOAD_USO, RX_WORDS, TX_MAX,
} from '../../src/link/batch.js';
import { native, type OpenedDevice } from '../../src/link/native.js';
import { GSO_NONE, GSO_TCPV4, GSO_UDP_L4, VNET_F_NEEDS_CSUM, VNET_LENGTH } from '../../src/wire/vnet.js';
import {
  TX_FRAME_AT, TX_LENGTH_BYTES, TX_LINK, TX_WORDS, arpRequest, bench, echo, ethernet, ipv4, isArpReply, sum, udp, vnetHeader, type Bench, type Received,
} from './frames.js';
import { namespace, until, type Namespace } from './namespace.js';

const OUR_MAC = '02:00:00:00:00:01';
const OURS = '10.9.0.1';
const THEIRS = '10.9.0.2';
const { EIO, EINVAL, ENODEV, ENETDOWN } = constants.errno;

interface Wire { ns: Namespace; bench: Bench; device: OpenedDevice; theirMac: string; close(): void }

/** A TAP or TUN device in a namespace of its own, the kernel with THEIRS on the far side, attached as link 3. */
function wire(kind: 'tap' | 'tun', offload = true): Wire {
  const ns = namespace();
  const device = native().openTun({ kind, name: 'wt%d', netns: ns.path, offload });
  ns.run('sysctl', '-qw', `net.ipv6.conf.${device.name}.disable_ipv6=1`);
  ns.ip('addr', 'add', `${THEIRS}/24`, 'dev', device.name);
  ns.ip('link', 'set', device.name, 'up');
  if (kind === 'tap') ns.ip('neigh', 'add', OURS, 'lladdr', OUR_MAC, 'dev', device.name);
  const b = bench();
  b.io.attach(3, device.fd, kind === 'tap' ? KIND_TAP : KIND_TUN, device.vnet);
  const theirMac = String(ns.ipJson('link', 'show', device.name)[0].address);
  return {
    ns, bench: b, device, theirMac,
    close: () => {
      b.close();
      native().closeFd(device.fd);
      ns.remove();
    },
  };
}

const isEchoReply = (ip: Buffer, id: number): boolean => ip.length >= 28 && ip[9] === 1 && ip[20] === 0 && ip.readUInt16BE(24) === id;
const isPortUnreachable = (ip: Buffer): boolean => ip.length >= 28 && ip[9] === 1 && ip[20] === 3 && ip[21] === 3;

/** Runs a program of ours inside a namespace; it counts as failed unless it ends with 0. */
function script(ns: Namespace, text: string): { done(): boolean; lines(): string[]; stop(): void } {
  const child = spawn('ip', ['netns', 'exec', ns.name, process.execPath, '-e', text], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let ended = false;
  child.stdout.setEncoding('utf8').on('data', (part: string) => { output += part; });
  child.on('close', () => { ended = true; });
  return { done: () => ended, lines: () => output.split('\n').filter((line) => line !== ''), stop: () => { if (!ended) child.kill('SIGKILL'); } };
}

function withWire(test: Test, name: string, kind: 'tap' | 'tun', body: (w: Wire) => void | Promise<void>, offload = true): void {
  test(name, async () => {
    const w = wire(kind, offload);
    try {
      await body(w);
    } finally {
      w.close();
    }
  });
}

// ---- TAP -----------------------------------------------------------------------------------------------------------

const tap = suite('tap');

withWire(tap, 'an ARP request is answered by the kernel, and what arrives has its IP header aligned', 'tap', ({ bench: b, theirMac }) => {
  b.stage(0, 3, arpRequest(OUR_MAC, OURS, THEIRS));
  const first = b.turn(1, 1000);
  assert.is(b.errno(0), 0);
  const reply = first.find(({ frame }) => isArpReply(frame, THEIRS)) ?? b.receiveUntil(({ frame }) => isArpReply(frame, THEIRS));
  assert.is(reply.link, 3);
  assert.is(reply.frame.subarray(6, 12).toString('hex'), theirMac.replaceAll(':', ''));
  assert.is(reply.vlanTci, -1);
  assert.is((reply.frameAt + 14) % 4, 0);
});

withWire(tap, 'every offload of this kernel is on, and the header is there', 'tap', ({ device }) => {
  assert.is(device.vnet, true);
  assert.is(device.offloads & (OFFLOAD_CSUM | OFFLOAD_TSO4), OFFLOAD_CSUM | OFFLOAD_TSO4);
  const refused = device.refused.map((refusal) => refusal.feature);
  assert.is((device.offloads & OFFLOAD_USO) !== 0, !refused.includes('uso'), 'what is not on was refused');
});

withWire(tap, 'an unfinished checksum is finished by the kernel only when the header says so', 'tap', ({ bench: b, theirMac }) => {
  const frame = (data: string): Buffer => ethernet(theirMac, OUR_MAC, 0x0800, udp(OURS, 4000, THEIRS, 9, Buffer.from(data), true));
  // The same bytes without the flag carry a wrong checksum: the kernel drops them and answers nothing.
  b.stage(0, 3, frame('unmarked'));
  b.stage(1, 3, frame('marked'), vnetHeader(VNET_F_NEEDS_CSUM, GSO_NONE, 42, 0, 34, 6));
  const answers: Received[] = b.turn(2, 1000);
  assert.equal([b.errno(0), b.errno(1)], [0, 0]);
  const answer = answers.find(({ frame: f }) => isPortUnreachable(f.subarray(14))) ?? b.receiveUntil(({ frame: f }) => isPortUnreachable(f.subarray(14)));
  assert.ok(answer.frame.includes(Buffer.from('marked')));
  assert.not.ok(answer.frame.includes(Buffer.from('unmarked')));
});

withWire(tap, 'a UDP super-frame is cut into datagrams on the other side', 'tap', async ({ bench: b, ns, theirMac, device }) => {
  if ((device.offloads & OFFLOAD_USO) === 0) return;
  const receiver = script(ns, `
    const s = require('node:dgram').createSocket('udp4'); let n = 0;
    s.on('message', (m) => { console.log(m.length + ' ' + m.toString('latin1', 0, 1)); if (++n === 4) process.exit(0); });
    s.bind(9000, () => console.log('ready'));`);
  try {
    await until('the receiver listens', () => receiver.lines().includes('ready'));
    const data = Buffer.concat(['a', 'b', 'c', 'd'].map((letter, i) => Buffer.alloc(i === 3 ? 300 : 1000, letter)));
    const packet = udp(OURS, 4000, THEIRS, 9000, data, true);
    b.stage(0, 3, ethernet(theirMac, OUR_MAC, 0x0800, packet), vnetHeader(VNET_F_NEEDS_CSUM, GSO_UDP_L4, 42, 1000, 34, 6));
    b.io.turn(1, 0);
    assert.is(b.errno(0), 0);
    await until('four datagrams', () => receiver.done());
    assert.equal(receiver.lines(), ['ready', '1000 a', '1000 b', '1000 c', '300 d']);
  } finally {
    receiver.stop();
  }
});

/** Plays a TCP server for one connection: answers the SYN and leaves the rest unanswered. */
function synAck(syn: Buffer, theirMac: string): Buffer {
  const segment = Buffer.alloc(24);
  segment.writeUInt16BE(syn.readUInt16BE(36), 0);
  segment.writeUInt16BE(syn.readUInt16BE(34), 2);
  segment.writeUInt32BE(1000, 4);
  segment.writeUInt32BE(syn.readUInt32BE(38) + 1, 8);
  segment.set([0x60, 0x12, 0xff, 0xff], 12);
  segment.set([2, 4, 0x05, 0xb4], 20);
  const pseudo = sum(Buffer.concat([syn.subarray(30, 34), syn.subarray(26, 30), Buffer.from([0, 6, 0, segment.length])]));
  segment.writeUInt16BE(~sum(segment, pseudo) & 0xffff, 16);
  return ethernet(theirMac, OUR_MAC, 0x0800, ipv4(6, OURS, THEIRS, segment));
}

withWire(tap, 'a TCP super-frame arrives whole, with its segment size and an unfinished checksum', 'tap', async ({ bench: b, ns, theirMac }) => {
  const sender = script(ns, `const s = require('node:net').connect(80, '${OURS}', () => s.write(Buffer.alloc(60000))); s.on('error', () => {});`);
  try {
    const isTcp = (frame: Buffer): boolean => frame.length >= 54 && frame.readUInt16BE(12) === 0x0800 && frame[23] === 6;
    const syn = b.receiveUntil(({ frame }) => isTcp(frame) && (frame[47] & 0x12) === 0x02);
    b.stage(0, 3, synAck(syn.frame, theirMac));
    b.io.flush(1);
    assert.is(b.errno(0), 0);
    const bulk = b.receiveUntil(({ frame, length }) => isTcp(frame) && length > 1514);
    assert.is(bulk.vnet[1] & 0x7f, GSO_TCPV4);
    assert.is(bulk.vnet[0] & VNET_F_NEEDS_CSUM, VNET_F_NEEDS_CSUM);
    assert.is(bulk.vnet.readUInt16LE(4), 1460);
    assert.is(bulk.vnet.readUInt16LE(6), 34);
    // Unfinished: the field holds exactly the pseudo-header's sum.
    const tcpLength = bulk.length - 34;
    const pseudo = sum(Buffer.concat([bulk.frame.subarray(26, 34), Buffer.from([0, 6, tcpLength >> 8, tcpLength & 255])]));
    assert.is(bulk.frame.readUInt16BE(50), pseudo);
  } finally {
    sender.stop();
  }
});

withWire(tap, 'without offload there is no header to the kernel and a zeroed one in the arena', 'tap', ({ bench: b, device, theirMac }) => {
  assert.is(device.vnet, false);
  assert.is(device.offloads, 0);
  b.arena.fill(0xff, 0, 4096);
  b.stage(0, 3, ethernet(theirMac, OUR_MAC, 0x0800, echo(OURS, THEIRS, 77)), Buffer.alloc(VNET_LENGTH, 0xff));
  const reply = b.turn(1, 1000).find(({ frame }) => isEchoReply(frame.subarray(14), 77)) ?? b.receiveUntil(({ frame }) => isEchoReply(frame.subarray(14), 77));
  assert.equal(reply.vnet, Buffer.alloc(VNET_LENGTH));
}, false);

withWire(tap, 'a device that is down refuses frames with EIO; a link that is not attached with ENODEV', 'tap', ({ bench: b, ns, device }) => {
  ns.ip('link', 'set', device.name, 'down');
  b.stage(0, 3, arpRequest(OUR_MAC, OURS, THEIRS));
  b.stage(1, 4, arpRequest(OUR_MAC, OURS, THEIRS));
  assert.is(b.io.flush(2), 2);
  assert.equal([b.errno(0), b.errno(1)], [EIO, ENODEV]);
});

withWire(tap, 'a header that contradicts the frame is refused with EINVAL and the frames behind it still go out', 'tap', ({ bench: b }) => {
  b.stage(0, 3, arpRequest(OUR_MAC, OURS, THEIRS), vnetHeader(VNET_F_NEEDS_CSUM, 99, 42, 1000, 34, 6));
  b.stage(1, 3, arpRequest(OUR_MAC, OURS, THEIRS));
  assert.is(b.io.flush(2), 1);
  assert.equal([b.errno(0), b.errno(1)], [EINVAL, 0]);
  b.receiveUntil(({ frame }) => isArpReply(frame, THEIRS));
});

withWire(tap, 'a device deleted under us gives one negative length, and the next turn waits again', 'tap', ({ bench: b, ns, device }) => {
  ns.ip('link', 'del', device.name);
  const [trouble, ...more] = b.turn(0, 1000);
  assert.ok(trouble.length < 0, `length ${trouble.length}`);
  assert.is(trouble.link, 3);
  assert.is(more.length, 0);
  let turns = 0;
  const end = performance.now() + 300;
  while (performance.now() < end) {
    b.turn(0, 1000);
    turns++;
  }
  assert.ok(turns < 20, `${turns} turns in 300 ms: the link makes poll spin`);
});

// ---- TUN -----------------------------------------------------------------------------------------------------------

const tun = suite('tun');

withWire(tun, 'an echo request is answered, as a bare IP packet on a multiple of 4', 'tun', ({ bench: b }) => {
  b.stage(0, 3, echo(OURS, THEIRS, 5));
  const reply = b.turn(1, 1000).find(({ frame }) => isEchoReply(frame, 5)) ?? b.receiveUntil(({ frame }) => isEchoReply(frame, 5));
  assert.is(reply.frameAt % 4, 0);
  assert.is(reply.frame[0], 0x45);
  assert.is(reply.length, 36);
});

// ---- packet sockets --------------------------------------------------------------------------------------------------

const packet = suite('packet');

/** A veth between two namespaces: a packet socket on ours, the kernel with THEIRS on the other. */
function cable(): Wire & { near: Namespace } {
  const near = namespace();
  const ns = namespace();
  near.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far', 'netns', ns.name);
  near.ip('link', 'set', 'near', 'up');
  ns.ip('addr', 'add', `${THEIRS}/24`, 'dev', 'far');
  ns.ip('link', 'set', 'far', 'up');
  const device = native().openPacket({ name: 'near', netns: near.path, offload: true, bufferBytes: 1 << 20, promiscuous: true });
  const b = bench();
  b.io.attach(3, device.fd, KIND_PACKET, device.vnet);
  const theirMac = String(ns.ipJson('link', 'show', 'far')[0].address);
  return {
    near, ns, bench: b, device, theirMac,
    close: () => {
      b.close();
      native().closeFd(device.fd);
      near.remove();
      ns.remove();
    },
  };
}

function withCable(name: string, body: (w: ReturnType<typeof cable>) => void | Promise<void>): void {
  packet(name, async () => {
    const w = cable();
    try {
      await body(w);
    } finally {
      w.close();
    }
  });
}

withCable('an ARP request is answered, and our own frames do not come back', ({ bench: b, ns }) => {
  for (let i = 0; i < 5; i++) b.stage(i, 3, arpRequest(OUR_MAC, OURS, THEIRS));
  const all = b.turn(5, 1000);
  assert.equal([0, 1, 2, 3, 4].map((slot) => b.errno(slot)), [0, 0, 0, 0, 0]);
  const reply = all.find(({ frame }) => isArpReply(frame, THEIRS)) ?? b.receiveUntil(({ frame }) => isArpReply(frame, THEIRS));
  assert.is((reply.frameAt + 14) % 4, 0);
  const ours = Buffer.from(OUR_MAC.replaceAll(':', ''), 'hex');
  assert.not.ok(all.some(({ frame }) => frame.subarray(6, 12).equals(ours)));
  assert.ok(ns.ip('neigh').includes(OUR_MAC), 'the far kernel has learned us');
});

withCable('many frames leave in order in one turn, and one that is refused does not stop the others', async ({ bench: b, ns, theirMac }) => {
  const receiver = script(ns, `
    const s = require('node:dgram').createSocket('udp4');
    s.on('message', (m) => { console.log(m.toString()); if (String(m) === 'end') process.exit(0); });
    s.bind(9000, () => console.log('ready'));`);
  try {
    await until('the receiver listens', () => receiver.lines().includes('ready'));
    for (let i = 0; i < 63; i++) {
      const text = i === 62 ? 'end' : `n${i}`;
      // Number 20 claims a checksum far outside the frame.
      const header = i === 20 ? vnetHeader(VNET_F_NEEDS_CSUM, GSO_NONE, 42, 0, 9000, 6) : undefined;
      b.stage(i, 3, ethernet(theirMac, OUR_MAC, 0x0800, udp(OURS, 4000, THEIRS, 9000, Buffer.from(text))), header);
    }
    assert.is(b.io.flush(63), 1);
    assert.is(b.errno(20), EINVAL);
    await until('the last one', () => receiver.done());
    const expected = Array.from({ length: 62 }, (_, i) => `n${i}`).filter((_, i) => i !== 20);
    assert.equal(receiver.lines(), ['ready', ...expected, 'end']);
  } finally {
    receiver.stop();
  }
});

withCable('a VLAN tag the kernel took off is told', ({ bench: b, ns }) => {
  // A second packet socket plays the tagging neighbour: not every kernel has VLAN devices, but every one takes tags off.
  const far = native().openPacket({ name: 'far', netns: ns.path, offload: true, bufferBytes: 1 << 20, promiscuous: false });
  try {
    b.io.attach(5, far.fd, KIND_PACKET, far.vnet);
    const plain = arpRequest(OUR_MAC, '10.7.0.2', '10.7.0.1');
    const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from('8100a007', 'hex'), plain.subarray(12)]);
    b.stage(0, 5, tagged);
    b.stage(1, 5, plain);
    assert.is(b.io.flush(2), 0);
    const first = b.receiveUntil(({ link, frame }) => link === 3 && frame.subarray(0, plain.length).equals(plain));
    assert.is(first.vlanTci, 0xa007);
    const second = b.receiveUntil(({ link, frame }) => link === 3 && frame.subarray(0, plain.length).equals(plain));
    assert.is(second.vlanTci, -1);
  } finally {
    b.io.detach(5);
    native().closeFd(far.fd);
  }
});

withCable('partial checksums of the neighbour are seen as such', ({ bench: b, ns }) => {
  ns.ip('neigh', 'add', OURS, 'lladdr', OUR_MAC, 'dev', 'far');
  const sender = script(ns, `const s = require('node:dgram').createSocket('udp4'); s.send('hello', 9, '${OURS}', () => s.close());`);
  try {
    const received = b.receiveUntil(({ frame }) => frame.includes(Buffer.from('hello')));
    assert.is(received.vnet[0] & VNET_F_NEEDS_CSUM, VNET_F_NEEDS_CSUM);
    assert.is(received.vnet.readUInt16LE(6), 34);
    assert.is(received.vnet.readUInt16LE(8), 6);
  } finally {
    sender.stop();
  }
});

withCable('a device that is down refuses frames with ENETDOWN; the kernel counts what it gave us', ({ bench: b, near, device }) => {
  b.stage(0, 3, arpRequest(OUR_MAC, OURS, THEIRS));
  b.io.flush(1);
  b.receiveUntil(({ frame }) => isArpReply(frame, THEIRS));
  assert.ok(native().packetStatistics(device.fd).packets >= 1);
  assert.is(native().packetStatistics(device.fd).drops, 0);
  near.ip('link', 'set', 'near', 'down');
  assert.is(b.io.flush(1), 1);
  assert.is(b.errno(0), ENETDOWN);
  assert.ok(b.turn(0, 1000).some(({ length }) => length === -ENETDOWN));
});

packet('offloads switched off on the device are not offered', () => {
  const ns = namespace();
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    ns.run('ethtool', '-K', 'near', 'tso', 'off');
    const device = native().openPacket({ name: 'near', netns: ns.path, offload: true, bufferBytes: 65536, promiscuous: false });
    native().closeFd(device.fd);
    assert.is(device.offloads & OFFLOAD_CSUM, OFFLOAD_CSUM);
    assert.is(device.offloads & OFFLOAD_TSO4, 0);
    assert.ok(device.refused.some((refusal) => refusal.feature === 'tso4' && refusal.code === 'EOPNOTSUPP'));
  } finally {
    ns.remove();
  }
});

// ---- the turn itself -------------------------------------------------------------------------------------------------

const turns = suite('turn');

withWire(turns, 'with nothing waiting it returns 0', 'tap', ({ bench: b }) => {
  while (b.io.turn(0, 50) > 0) { /* What the kernel says of its own accord. */ }
  assert.is(b.io.turn(0, 0), 0);
});

withWire(turns, 'a busy link does not keep a quiet one waiting, nothing is lost and the order is kept', 'tun', async ({ bench: b, ns }) => {
  const quiet = native().openTun({ kind: 'tun', name: 'quiet', netns: ns.path, offload: true });
  try {
    ns.ip('addr', 'add', '10.8.0.2/24', 'dev', 'quiet');
    ns.ip('link', 'set', 'quiet', 'up');
    b.io.attach(4, quiet.fd, KIND_TUN, quiet.vnet);
    const sender = script(ns, `
      const s = require('node:dgram').createSocket('udp4'); let left = 300;
      const next = () => left-- > 0 ? s.send('n' + (299 - left), 9, '${OURS}', next) : s.send('quiet', 9, '10.8.0.1', () => s.close());
      next();`);
    await until('all is sent', () => sender.done());
    const first = b.turn(0, 1000);
    assert.ok(first.some(({ link }) => link === 4), 'the quiet link is served in the first turn');
    const texts = first.filter(({ link }) => link === 3).map(({ frame }) => frame.toString('latin1', 28));
    let largest = 0;
    for (let more = b.turn(0, 100); more.length > 0; more = b.turn(0, 100)) {
      largest = Math.max(largest, more.length);
      texts.push(...more.filter(({ link }) => link === 3).map(({ frame }) => frame.toString('latin1', 28)));
    }
    assert.equal(texts.filter((text) => /^n\d+$/.test(text)), Array.from({ length: 300 }, (_, i) => `n${i}`));
    assert.is(largest, BATCH_MAX, 'batches grow to their limit');
  } finally {
    native().closeFd(quiet.fd);
  }
});

withWire(turns, 'records lie back to back and do not overlap', 'tun', async ({ bench: b, ns }) => {
  const sender = script(ns, `
    const s = require('node:dgram').createSocket('udp4'); let left = 200;
    const next = () => left-- > 0 ? s.send(Buffer.alloc(1 + (left * 37) % 1400, 1), 9, '${OURS}', next) : s.close();
    next();`);
  await until('all is sent', () => sender.done());
  let compared = 0;
  for (let all = b.turn(0, 1000); all.length > 0; all = b.turn(0, 50)) {
    for (let i = 1; i < all.length; i++) {
      const end = all[i - 1].frameAt + all[i - 1].length;
      const gap = all[i].frameAt - end;
      assert.ok(gap >= 40 && gap < 44, `gap of ${gap} bytes`);
      compared++;
    }
  }
  assert.ok(compared > 100);
});

withWire(turns, 'descriptors that lead outside are refused before anything is sent', 'tap', ({ bench: b }) => {
  const good = arpRequest(OUR_MAC, OURS, THEIRS);
  const spoil = (word: number, value: number): void => {
    b.stage(0, 3, good);
    b.stage(1, 3, good);
    b.tx[TX_WORDS + word] = value;
    assert.throws(() => b.io.turn(2, 0), (error: Error) => error instanceof RangeError);
    assert.throws(() => b.io.flush(2), (error: Error) => error instanceof RangeError);
    assert.is(b.errno(0), -1, 'the good one before it was not sent either');
  };
  spoil(TX_LINK, -1);
  spoil(TX_LINK, 256);
  spoil(TX_LENGTH_BYTES, 0);
  spoil(TX_LENGTH_BYTES, -5);
  spoil(TX_LENGTH_BYTES, FRAME_MAX + 1);
  spoil(TX_FRAME_AT, VNET_LENGTH - 1);
  spoil(TX_FRAME_AT, -100);
  spoil(TX_FRAME_AT, ARENA_LENGTH - good.length + 1);
  spoil(TX_FRAME_AT, 0x7fffffff);
  for (const count of [-1, TX_MAX + 1, 1.5, Number.NaN]) assert.throws(() => b.io.turn(count, 0), (error: Error) => error instanceof RangeError);
  assert.throws(() => b.io.turn(0, -1), (error: Error) => error instanceof RangeError);
  assert.throws(() => b.io.turn('1' as unknown as number, 0), (error: Error) => error instanceof TypeError);
});

turns('buffers that are too small, links out of range and strangers are refused', () => {
  const addon = native();
  const arena = new Uint8Array(ARENA_LENGTH);
  const rx = new Int32Array(BATCH_MAX * RX_WORDS);
  const tx = new Int32Array(TX_MAX * TX_WORDS);
  const fd = addon.eventfd();
  const range = (error: Error): boolean => error instanceof RangeError;
  const type = (error: Error): boolean => error instanceof TypeError;
  try {
    assert.throws(() => addon.createIo(arena.subarray(1), rx, tx, fd), range);
    assert.throws(() => addon.createIo(arena, rx.subarray(1), tx, fd), range);
    assert.throws(() => addon.createIo(arena, rx, tx.subarray(1), fd), range);
    assert.throws(() => addon.createIo(rx as unknown as Uint8Array, rx, tx, fd), type);
    const io = addon.createIo(arena, rx, tx, fd);
    assert.throws(() => io.attach(256, 0, KIND_TAP, true), range);
    assert.throws(() => io.attach(0, 0, 9, true), range);
    assert.throws(() => io.detach(0), range);
    assert.throws(() => io.turn.call({} as never, 0, 0), type);
    const netlink = addon.openNetlink(0, []);
    assert.throws(() => io.turn.call(netlink as never, 0, 0), type);
    netlink.close();
    io.close();
    assert.throws(() => io.turn(0, 0), type);
  } finally {
    addon.closeFd(fd);
  }
});

turns('a wake before the wait ends it, once', () => {
  const b = bench();
  try {
    native().wake(b.wakeFd);
    native().wake(b.wakeFd);
    const start = performance.now();
    assert.is(b.io.turn(0, 10_000), 0);
    assert.ok(performance.now() - start < 9000, 'the wait ended early');
    const again = performance.now();
    assert.is(b.io.turn(0, 30), 0);
    assert.ok(performance.now() - again >= 25, 'the wake was used up');
  } finally {
    b.close();
  }
});

turns('the addon works in a worker, whose wait another thread ends', async () => {
  const fd = native().eventfd();
  const state = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(`
    const { workerData: d } = require('node:worker_threads');
    const addon = require('node-gyp-build')(d.root);
    const io = addon.createIo(new Uint8Array(d.arena), new Int32Array(${BATCH_MAX * RX_WORDS}), new Int32Array(${TX_MAX * TX_WORDS}), d.fd);
    const watched = addon.openNetlink(0, [1]); watched.watch(() => {});
    Atomics.store(d.state, 0, 1);
    const start = Date.now();
    io.turn(0, 20000);
    Atomics.store(d.state, 0, Date.now() - start < 15000 ? 2 : 3);`,
  { eval: true, workerData: { root: new URL('../..', import.meta.url).pathname, arena: new SharedArrayBuffer(ARENA_LENGTH), fd, state } });
  const exited = new Promise<number>((resolve, reject) => { worker.on('exit', resolve).on('error', reject); });
  try {
    await until('the worker waits', () => Atomics.load(state, 0) === 1);
    native().wake(fd);
    assert.is(await exited, 0);
    assert.is(Atomics.load(state, 0), 2);
  } finally {
    await worker.terminate();
    native().closeFd(fd);
  }
});

// ---- opening ---------------------------------------------------------------------------------------------------------

const opening = suite('opening');

opening('a device opens in a named namespace and the thread comes back, also after errors', () => {
  const ns = namespace();
  const home = readlinkSync('/proc/thread-self/ns/net');
  const addon = native();
  try {
    const device = addon.openTun({ kind: 'tap', name: 'inside', netns: ns.path, offload: true });
    assert.is(readlinkSync('/proc/thread-self/ns/net'), home);
    assert.is(ns.ipJson('link', 'show', 'inside')[0].ifindex, device.ifindex);
    addon.closeFd(device.fd);
    const code = (expected: string, syscall: string) => (error: Error & { code?: string; errno?: number; syscall?: string }): boolean =>
      error.code === expected && error.syscall === syscall && error.errno === -(constants.errno as Record<string, number>)[expected] && error.message.startsWith(`${expected}: `);
    assert.throws(() => addon.openPacket({ name: 'absent', netns: ns.path, offload: true, bufferBytes: 1, promiscuous: false }), code('ENODEV', 'if_nametoindex'));
    assert.is(readlinkSync('/proc/thread-self/ns/net'), home);
    assert.throws(() => addon.openTun({ kind: 'tap', name: 'lo', netns: ns.path, offload: true }), code('EINVAL', 'ioctl TUNSETIFF'));
    assert.is(readlinkSync('/proc/thread-self/ns/net'), home);
    assert.throws(() => addon.openTun({ kind: 'tap', name: 'x', netns: `${ns.path}-absent`, offload: true }), code('ENOENT', 'open'));
    assert.throws(() => addon.openNetlink(0, [], '/dev/null'), code('EINVAL', 'setns'));
    assert.is(readlinkSync('/proc/thread-self/ns/net'), home);
    assert.throws(() => addon.openTun({ kind: 'tap', name: 'sixteen-letters!', offload: true }), (error: Error) => error instanceof RangeError);
    assert.throws(() => addon.openTun({ kind: 'top' as 'tap', name: 'x', offload: true }), (error: Error) => error instanceof TypeError);
    assert.throws(() => addon.closeFd(1_000_000), code('EBADF', 'close'));
  } finally {
    ns.remove();
  }
});

for (const test of [tap, tun, packet, turns, opening]) test.run();
