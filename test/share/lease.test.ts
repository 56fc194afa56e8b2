/** Leased ports over whole routers: two instances never bear one external port, whatever becomes of the store and of them. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { leaseRow } from '../../src/share/lease-row.js';
import { anySeed, check } from '../support/oracle/property.js';
import { ethernet, expect, icmpError, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, GATEWAY, LAN, PC1, PC2, WAN1 } from '../support/rig.js';
import { COMMON, Lab } from './lease-rig.js';
import type { LabOptions, Side } from './lease-rig.js';

const FAR = '198.51.100.8';
const far = (i: number): string => `198.51.100.${1 + (i % 250)}`;
/** Ordinary ports of so many blocks of 64. */
const ports = (blocks: number, more: LabOptions = {}): LabOptions => ({ ...more, rig: { ...more.rig, limits: { snatPortFirst: 6400, snatPortLast: 6400 + blocks * 64 - 1, ...more.rig?.limits } } });
const refusing = { uplink: { whenExhausted: 'refuse' } } as const;

/** Open flows until there is no port any more; the ports. */
function exhaust(side: Side, source: string, most = 5000): number[] {
  const got: number[] = [];
  for (let i = 0; i < most; i++) {
    const port = side.open(source, 2000 + i, FAR);
    if (port === null) return got;
    got.push(port);
  }
  throw new Error(`still ports after ${most}`);
}

test('two blocks at rest, and ports of one’s own blocks only', async () => {
  const lab = new Lab();
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  assert.equal([a.held.length, b.held.length], [2, 2]);
  assert.equal([a.usable, b.usable], [a.held, b.held]);
  for (let i = 0; i < 60; i++) {
    const [one, other] = [a.open(PC1, 5000 + i, FAR), b.open(PC1, 5000 + i, FAR)];
    assert.ok(one !== null && a.held.includes(one >> 6), `${one} is of a's`);
    assert.ok(other !== null && b.held.includes(other >> 6), `${other} is of b's`);
  }
  lab.checkUnique();
});

test('a rush: blocks come faster than ports are used up', async () => {
  const lab = new Lab({ share: { portBlock: 1024 }, rig: { ...refusing, limits: { flows: 32_768 } } });
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  // 50 flows a millisecond, as 50 000 a second are; the journal is read every 5 ms, and the store takes 1 ms.
  for (let ms = 0; ms < 150; ms++) {
    for (let i = 0; i < 50; i++) assert.is.not(a.open(`192.168.0.${4 + (i % 2)}`, 1024 + ((ms * 25 + (i >> 1)) % 60_000), far(ms)), null, `after ${ms} ms`);
    await lab.timers.advance(1);
    if (ms % 20 === 0) a.manager.tick(lab.timers.nowMs());
    if (ms % 5 === 0) a.step(5);
  }
  assert.is(a.externals.length, 7500);
  assert.ok(a.held.length >= 8 && a.held.length <= 20, `${a.held.length} blocks for 7500 flows`);
  assert.is(b.held.length, 2);
  lab.checkUnique();
});

test('all blocks leased: who has none left is refused with 3/13, what is mapped goes on, and it is told', async () => {
  const lab = new Lab(ports(8, { rig: refusing }));
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  const got: (number | null)[] = [];
  for (let i = 0; i < 6 * 64; i++) {
    got.push(a.open(PC1, 2000 + i, FAR));
    if (i % 10 === 0) await lab.pass(20);
  }
  assert.is(got.filter((port) => port !== null).length, 6 * 64, 'a has every block that b has not');
  assert.is(a.held.length, 6);
  await lab.pass(40);
  const refused = a.rig.refused('NO_PORT', 'lan', make.ipv4({ source: PC2, destination: FAR }, make.udp({ sourcePort: 7, destinationPort: 53 })));
  expect(refused[0].frame, ethernet(), ipv4({ source: LAN, destination: PC2 }), icmpError({ type: 3, code: 13 }), ipv4({ source: PC2, destination: FAR }), udp({ sourcePort: 7 }));
  assert.equal(a.words, ['low']);
  assert.ok(a.rig.notices.some((notice) => notice.event === 'portsLow' && notice.percent === 95 && notice.total === 384), 'now that there is no more to be had, it is told');
  assert.is.not(a.open(PC1, 2000, '198.51.100.9'), null, 'a mapping that is there serves on');
  assert.equal(exhaust(b, PC1).length, 128);
  lab.checkUnique();
});

test('a shared port is of an own block, and its block stays ours while anybody bears it', async () => {
  const lab = new Lab(ports(4, { rig: { limits: { portsPerSource: 0 } } }));
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  for (const side of [a, b]) {
    for (let i = 0; i < 128; i++) side.open(PC1, 2000 + i, FAR);
    for (let i = 0; i < 40; i++) {
      const port = side.open(PC2, 9000 + i, far(100 + i));
      assert.ok(port !== null && side.held.includes(port >> 6), `${side.name} shares ${port}`);
    }
    assert.is(side.externals.filter(({ isShared }) => isShared).length, 40);
  }
  lab.checkUnique();
  const { board } = a.leases;
  // The mappings end and have rested; the sharing flows are kept alive.
  for (let s = 0; s < 500; s += 100) {
    await lab.pass(100_000, 10_000);
    for (let i = 0; i < 40; i++) a.open(PC2, 9000 + i, far(100 + i));
  }
  assert.is(a.externals.length, 40);
  assert.ok(a.held.every((block) => board.used(0, block) === 0));
  assert.ok(a.held.some((block) => !board.isEmpty(0, block)), 'a block that is shared of is not empty');
  await lab.pass(600_000, 10_000);
  assert.ok(a.held.every((block) => board.isEmpty(0, block)), 'and is when they have ended');
});

test('ICMP identifiers are leased like ports', async () => {
  const lab = new Lab(ports(8, { rig: refusing }));
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  for (const side of [a, b]) {
    for (let i = 0; i < 64; i++) {
      const [sent] = side.rig.from('lan', make.ipv4({ source: PC1, destination: FAR }, make.echoRequest({ id: 100 + i })));
      assert.ok(side.held.includes(sent.packet.readUInt16BE(24) >> 6));
    }
  }
  lab.checkUnique();
});

test('services’ ports are leased when one is wanted, and given back when none is', async () => {
  const lab = new Lab({ rig: refusing });
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  assert.ok(a.open(PC1, 123, FAR) as number >= 1024, 'at first there is none');
  await lab.pass(60);
  const port = a.open(PC2, 123, FAR) as number;
  assert.ok(port >= 512 && port < 1024, `${port}`);
  assert.is(a.held.filter((block) => block < 16).length, 1);
  b.open(PC1, 123, FAR);
  await lab.pass(60);
  assert.ok(b.open(PC2, 123, FAR) as number < 1024);
  assert.is(new Set([...a.held, ...b.held]).size, a.held.length + b.held.length);
  lab.checkUnique();
  await lab.pass(600_000, 500);
  assert.equal([a.held.filter((block) => block < 16), b.held.filter((block) => block < 16)], [[], []]);
});

test('blocks go back when they are not needed, emptied first, and not to and fro', async () => {
  const lab = new Lab(ports(32, { rig: { ...refusing, limits: { flows: 4096 } } }));
  const a = await lab.begin('a');
  const asked: string[] = [];
  for (const name of ['lease', 'release'] as const) {
    const real = a.store[name].bind(a.store) as (...args: unknown[]) => Promise<unknown>;
    Object.assign(a.store, {
      [name]: (...args: unknown[]) => {
        asked.push(name);
        if (name === 'release') for (const block of args[1] as number[]) assert.ok(a.leases.board.isEmpty(0, block) && !a.usable.includes(block), `block ${block} is given back empty, and closed`);
        return real(...args);
      },
    });
  }
  for (let i = 0; i < 1000; i++) {
    assert.is.not(a.open(PC1, 2000 + i, FAR), null);
    if (i % 20 === 0) await lab.pass(20);
  }
  const most = a.held.length;
  assert.ok(most >= 16 && most <= 22, `${most} blocks`);
  const asks = asked.length;
  // 200 of them go on, the others end and rest: ports are free in every block, but few blocks are empty.
  for (let s = 0; s < 1200; s += 20) {
    for (let i = 0; i < 200; i++) assert.is.not(a.open(PC1, 2000 + i * 5, FAR), null);
    await lab.pass(20_000, 500);
  }
  assert.is(a.externals.length, 200);
  assert.ok(a.usable.length <= 6, `200 ports are left, and ${a.usable.length} blocks are handed out of`);
  assert.is(asked.slice(asks).filter((name) => name === 'lease').length, 0, 'nothing was asked for meanwhile');
  // A steady load asks for nothing, and gives nothing back.
  const before = asked.length;
  for (let s = 0; s < 300; s += 20) {
    for (let i = 0; i < 200; i++) a.open(PC1, 2000 + i * 5, FAR);
    await lab.pass(20_000, 500);
  }
  assert.equal(asked.slice(before), []);
  await lab.pass(1_200_000, 1000);
  assert.is(a.held.length, 2, 'and at last two are left');
});

test('the store is away: ports of held blocks until their time, then none; known flows go on; then all is well again', async () => {
  const lab = new Lab({ rig: refusing });
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  const known = a.open(PC1, 5000, FAR) as number;
  // Right behind a renewal, so that the whole life is before us.
  for (let i = 0; i < 2000 && lab.space.leases.get(`${COMMON} ${a.held[0]}`)?.endsAtMs !== lab.timers.nowMs() + 60_000; i++) await lab.pass(20);
  a.cut();
  const cutAtMs = lab.timers.nowMs();
  let lastMs = 0;
  for (let i = 0; lab.timers.nowMs() - cutAtMs < 59_900; i++) {
    await lab.pass(100, 20);
    if (i % 100 === 0) a.open(PC1, 5000, FAR);
    if (i % 10 === 0 && a.open(PC2, 3000 + i / 10, FAR) !== null) lastMs = lab.timers.nowMs() - cutAtMs;
  }
  assert.ok(lastMs > 50_000 && lastMs <= 54_100, `the last new flow was ${lastMs} ms after the store had gone: up to a margin of 6 s before the end of 60 s`);
  assert.equal(a.words, ['ending', 'ended']);
  assert.equal(a.usable, []);
  a.rig.refused('NO_PORT', 'lan', make.ipv4({ source: PC2, destination: FAR }, make.udp({ sourcePort: 999, destinationPort: 53 })));
  assert.is(a.open(PC1, 5000, FAR), known, 'a known flow goes on');
  const [answer] = a.rig.from('wan1', make.ipv4({ source: FAR, destination: COMMON }, make.udp({ sourcePort: 53, destinationPort: known })));
  expect(answer.frame, ethernet(), ipv4({ source: FAR, destination: PC1 }), udp({ destinationPort: 5000 }));
  await lab.pass(30_000, 500);
  const had = [...new Set(a.externals.map(({ port }) => port >> 6))];
  // b needs many blocks: those a has lost come last.
  for (let i = 0; i < 600; i++) {
    b.open(PC1, 2000 + i, FAR);
    if (i % 20 === 0) await lab.pass(20);
  }
  assert.not(b.held.some((block) => had.includes(block)), 'there are others');
  lab.checkUnique();
  await a.mend();
  await lab.pass(200);
  assert.equal(a.words, ['ending', 'ended', 'renewed']);
  assert.ok(had.every((block) => a.held.includes(block)), 'it has the very blocks again that it had');
  assert.is.not(a.open(PC2, 999, FAR), null);
  lab.checkUnique();
});

test('a short absence of the store changes nothing', async () => {
  const lab = new Lab({ rig: refusing });
  const a = await lab.begin('a');
  const held = a.held;
  for (let i = 0; i < 10; i++) {
    a.cut();
    await lab.pass(15_000, 100);
    assert.is.not(a.open(PC1, 5000 + i, FAR), null);
    await a.mend();
    await lab.pass(15_000, 100);
  }
  assert.equal([a.held, a.words], [held, []]);
});

test('another of our name has come in our place: its blocks are left to it at once, and given back to nobody', async () => {
  const lab = new Lab({ rig: refusing });
  const a = await lab.begin('a');
  const known = a.open(PC1, 5000, FAR) as number;
  const held = [...a.held];
  a.cut();
  a.manager.onLost();
  await lab.pass(40);
  assert.equal([a.held, a.usable, a.words], [[], [], ['ended']]);
  a.rig.refused('NO_PORT', 'lan', make.ipv4({ source: PC2, destination: FAR }, make.udp({ sourcePort: 3333, destinationPort: 53 })));
  assert.is(a.open(PC1, 5000, FAR), known, 'a known flow goes on');
  assert.equal([...lab.space.leases.values()].filter(({ endsAtMs }) => endsAtMs > lab.timers.nowMs()).length, held.length);
  a.manager.onLost();
  assert.equal(a.words, ['ended'], 'told once');
  // It has gone, and what it had is ours again.
  await a.mend();
  await lab.pass(200);
  assert.equal([...a.held].sort(), held.sort());
  assert.is.not(a.open(PC2, 3333, FAR), null);
});

test('after a crash: the same instance has its blocks back at once, and hands out none of them before all flows are loaded', async () => {
  const lab = new Lab();
  const first = await lab.begin('a');
  for (let i = 0; i < 300; i++) {
    first.open(PC1, 2000 + i, FAR);
    if (i % 20 === 0) await lab.pass(20);
  }
  await lab.pass(200);
  const held = first.held;
  assert.ok(held.length >= 5);
  const adopted = first.externals;
  lab.crash(first);
  const again = await lab.begin('a', false);
  again.isLoaded = false;
  await again.connect();
  await lab.pass(500);
  assert.equal([again.held, again.usable], [[], []]);
  // What the store knew is adopted: those ports are taken, though no block is ours yet.
  const { mappings, uplinks } = again.rig.router;
  const pool = mappings.pool(mappings.poolOf(make.address(COMMON).readInt32BE(0), 17));
  const inside = again.rig.router.spare;
  for (const { port, inside: endpoint } of adopted) {
    const [address, internal] = endpoint.split(':').map(Number);
    inside.setV4(address, 0, internal << 16, 17);
    assert.is(pool.claim(port, inside, false, uplinks[0].index), 2);
  }
  again.isLoaded = true;
  await lab.pass(100);
  assert.ok(held.every((block) => again.held.includes(block)));
  assert.ok(again.held.length <= held.length + 1, `${again.held.length} blocks, and had ${held.length}: what was adopted is no rush`);
  const mine = new Set(adopted.map(({ port }) => port));
  for (let i = 0; i < held.length * 64 - 300; i++) {
    const port = again.open(PC2, 2000 + i, FAR) as number;
    assert.not(mine.has(port), `${port} is an adopted flow's`);
    mine.add(port);
  }
});

test('a share worker that crashes leaves the data plane its blocks; the next one prolongs them, unless their time is over before', async () => {
  for (const awayMs of [10_000, 80_000]) {
    const lab = new Lab();
    const a = await lab.begin('a');
    const held = a.held;
    a.store.cut('unreachable', 'cut');
    a.restartWorker();
    assert.equal([a.held, a.usable], [held, held]);
    await lab.pass(awayMs, 500);
    assert.equal(a.held, awayMs < 50_000 ? held : []);
    await a.mend();
    await lab.pass(100);
    assert.equal([a.held, a.usable], [held, held], 'the store has them under our name');
    await lab.pass(100_000, 500);
    assert.equal(a.usable, held);
  }
});

test('orders of a share worker that crashed are told from those of the next one; one that was lost with it holds nobody up', async () => {
  const lab = new Lab();
  const a = await lab.begin('a', false);
  a.isDeaf = true;
  await a.connect();
  await lab.pass(200);
  const before = a.given.length;
  assert.ok(before > 0);
  a.store.cut('unreachable', 'cut');
  a.restartWorker();
  await a.mend();
  await lab.pass(200);
  assert.ok(a.given.length > before);
  assert.is(new Set(a.given).size, a.given.length, a.given.join(' '));
  // Nothing is left that the next one would begin with an order of its own for: neither here nor in the store.
  a.loseOrders();
  a.isDeaf = false;
  lab.space.empty();
  a.restartWorker();
  lab.space.recover();
  await a.connect();
  await lab.pass(10_000);
  assert.ok(a.held.length >= 2);
  assert.equal(a.usable, [...a.held].sort((x, y) => x - y));
  assert.is(new Set(a.given).size, a.given.length, a.given.join(' '));
});

test('the blocks of an instance that crashed are another’s when their life is over, and not before', async () => {
  const lab = new Lab(ports(4, { rig: refusing }));
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  for (let i = 0; i < 128; i++) a.open(PC1, 2000 + i, FAR);
  lab.crash(a);
  for (let i = 0; i < 128; i++) b.open(PC1, 2000 + i, FAR);
  await lab.pass(30_000, 500);
  assert.is(b.held.length, 2);
  b.rig.refused('NO_PORT', 'lan', make.ipv4({ source: PC2, destination: FAR }, make.udp({ sourcePort: 999, destinationPort: 53 })));
  for (let s = 0; s < 40; s += 5) {
    await lab.pass(5000, 500);
    for (let i = 0; i < 128; i++) b.open(PC1, 2000 + i, FAR);
  }
  assert.ok(b.held.length > 2);
  assert.is.not(b.open(PC2, 999, FAR), null);
});

test('an instance that ends gives its empty blocks back; the others end with it', async () => {
  const lab = new Lab(ports(4, { rig: refusing }));
  const a = await lab.begin('a');
  const port = a.open(PC1, 5000, FAR) as number;
  const held = a.held;
  const released = a.manager.release(false);
  await lab.pass(100, 5);
  await released;
  const left = [...lab.space.leases.keys()];
  assert.equal(left, [`${COMMON} ${port >> 6}`]);
  assert.equal([a.held, a.usable], [[], []], 'and hands out no more');
  const resigned = a.store.resign();
  await lab.pass(5, 1);
  await resigned;
  const b = await lab.begin('b');
  assert.is(b.held.length, 2);
  assert.not(b.held.includes(port >> 6), 'an ended block comes last');
  assert.is(held.length, 2);
});

test('a block that somebody else has meanwhile is closed, and it is told', async () => {
  const lab = new Lab();
  const a = await lab.begin('a');
  const [lost, kept] = a.held;
  lab.space.leases.set(`${COMMON} ${lost}`, { instance: 'c', generation: 99, endsAtMs: Infinity });
  await lab.pass(21_000, 100);
  assert.ok(a.held.includes(kept) && !a.held.includes(lost) && !a.usable.includes(lost));
  assert.equal(a.words, ['ended']);
  assert.is(a.held.length, 2, 'there is another one for it');
});

test('a port that rests in a lost block is not its endpoint’s to have back', async () => {
  const lab = new Lab({ rig: { timeouts: { udp: 5, udpReplied: 5, portQuarantine: 1000 } } });
  const a = await lab.begin('a');
  const port = a.open(PC1, 5000, FAR) as number;
  await lab.pass(8000, 500);
  assert.is(a.externals.length, 0);
  assert.is(a.open(PC1, 5000, FAR), port, 'in a block of ours it is');
  await lab.pass(8000, 500);
  lab.space.leases.set(`${COMMON} ${port >> 6}`, { instance: 'c', generation: 99, endsAtMs: Infinity });
  await lab.pass(20_000, 500);
  const other = a.open(PC1, 5000, FAR) as number;
  assert.is.not(other >> 6, port >> 6);
});

test('blocks leased later do not prolong the ones before', async () => {
  const lab = new Lab({ rig: refusing });
  const a = await lab.begin('a');
  const first = a.held;
  const endsAtMs = (block: number): number => (lab.space.leases.get(`${COMMON} ${block}`) as { endsAtMs: number }).endsAtMs;
  await lab.pass(15_000, 100);
  for (let i = 0; i < 200; i++) {
    a.open(PC1, 2000 + i, FAR);
    if (i % 20 === 0) await lab.pass(20);
  }
  assert.ok(a.held.some((block) => endsAtMs(block) > endsAtMs(first[0])), 'some end later');
  a.cut();
  await lab.pass(endsAtMs(first[0]) - lab.timers.nowMs() - 1000, 100);
  assert.equal(a.usable, [], 'all are closed when the first of them end');
});

test('an order that comes late closes what its time has closed', async () => {
  const lab = new Lab();
  const a = await lab.begin('a');
  a.isDeaf = true;
  await lab.pass(50_000, 500);
  assert.equal(a.usable.length, 2, 'renewals wait in the ring; the first order is still good');
  await lab.pass(10_000, 500);
  assert.equal(a.usable, [], 'nobody has told it anything, and yet it stops');
  a.cut();
  await lab.pass(120_000, 500);
  a.isDeaf = false;
  a.step(10);
  assert.equal(a.usable, [], 'what waited has long ended');
});

test('a store that begins anew gives everybody’s blocks back before it gives new ones', async () => {
  const lab = new Lab({ rig: refusing });
  const sides = [await lab.begin('a'), await lab.begin('b')];
  for (const side of sides) for (let i = 0; i < 200; i++) { side.open(PC1, 2000 + i, FAR); if (i % 20 === 0) await lab.pass(20); }
  const held = sides.map((side) => side.held);
  lab.space.empty();
  lab.space.recover();
  for (const side of sides) side.cut();
  await sides[1].mend();
  for (let i = 0; i < 200; i++) sides[1].open(PC2, 2000 + i, FAR);
  await lab.pass(3000, 100);
  await sides[0].mend();
  await lab.pass(4000, 100);
  assert.equal(sides.map((side, i) => held[i].every((block) => side.held.includes(block))), [true, true]);
  for (const side of sides) for (let i = 0; i < 50; i++) side.open(PC2, 4000 + i, FAR);
  lab.checkUnique();
});

const anyStep = fc.record({
  kind: fc.constantFrom('flows', 'flows', 'flows', 'flows', 'time', 'time', 'cut', 'mend', 'crash', 'empty', 'longTime'),
  side: fc.nat({ max: 2 }), count: fc.integer({ min: 1, max: 150 }), at: fc.nat({ max: 5000 }),
});

test('three instances, whatever happens: no two flows bear one external port', async () => {
  const runs: { seed: number; steps: { kind: string; side: number; count: number; at: number }[] }[] = [];
  check(fc.property(anySeed, fc.array(anyStep, { minLength: 20, maxLength: 60 }), (seed, steps) => { runs.push({ seed, steps }); }), 10);
  for (const { seed, steps } of runs) {
    const lab = new Lab({ rig: { limits: { flows: 8192 }, timeouts: { udp: 40, udpReplied: 40, portQuarantine: 20 } } }, seed);
    for (const name of ['a', 'b', 'c']) await lab.begin(name);
    const isDown = new Set<string>();
    let opened = 0;
    try {
      for (const { kind, side: number, count, at } of steps) {
        const side = lab.sides[number];
        switch (kind) {
          case 'flows':
            for (let i = 0; i < count; i++) {
              const n = at + i * 3;
              // All instances have the same hosts behind them, and few far ends: what can clash will.
              if (side.open(n & 1 ? PC1 : PC2, 1024 + (n % 400), far(n % 3)) !== null) opened++;
              if (i % 25 === 24) await lab.pass(20);
            }
            break;
          case 'time': await lab.pass(at, 50); break;
          case 'longTime': await lab.pass(at * 20, 500); break;
          case 'cut':
            side.cut(count & 1 ? 'unreachable' : 'slow');
            isDown.add(side.name);
            break;
          case 'mend':
            if (isDown.delete(side.name)) await side.mend();
            break;
          case 'crash': {
            lab.crash(side);
            isDown.delete(side.name);
            const again = await lab.begin(side.name);
            lab.sides.splice(lab.sides.indexOf(again), 1);
            lab.sides.splice(number, 0, again);
            break;
          }
          case 'empty':
            // Everybody is cut off by it, and comes back within the time the store waits for them.
            lab.space.empty();
            lab.space.recover();
            for (const one of lab.sides) one.cut();
            await lab.pass(at % 1000, 50);
            for (const one of lab.sides) await one.mend();
            isDown.clear();
            await lab.pass(100);
            break;
        }
        lab.checkUnique();
      }
      assert.ok(opened > 0);
    } catch (error) {
      throw new Error(`seed ${seed}, steps ${JSON.stringify(steps)}`, { cause: error });
    }
  }
});

test('protocols without ports, the box’s own flows and probes bear the link’s own address', async () => {
  const lab = new Lab({ rig: { host: true } });
  const a = await lab.begin('a');
  const { rig } = a;
  const gre = make.ipv4({ source: PC1, destination: FAR, protocol: 47 }, Buffer.alloc(16));
  const sourceOf = (packet: Buffer): string => make.formatAddress(packet.subarray(12, 16));
  assert.equal(rig.from('lan', gre).map(({ packet }) => sourceOf(packet)), [WAN1]);
  assert.equal(rig.from('host', make.ipv4({ source: BOX, destination: FAR }, make.udp({ sourcePort: 5000, destinationPort: 53 }))).map(({ packet }) => sourceOf(packet)), [WAN1]);
  const [answer] = rig.from('wan1', make.ipv4({ source: FAR, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 5000 })));
  assert.is(answer.link, 'host');
  assert.is(make.formatAddress(answer.packet.subarray(16, 20)), BOX);
  rig.router.probes.ask(1, { uplink: 0, kind: 'icmp', target: make.address(GATEWAY).readInt32BE(0), port: 0, ttl: 64, timeoutMs: 1000 });
  assert.equal(rig.run().filter(({ isArp }) => !isArp).map(({ packet }) => sourceOf(packet)), [WAN1]);
});

test('what is leased can be listed: blocks, their ports, whose they are, and how full ours are', async () => {
  const lab = new Lab();
  const a = await lab.begin('a');
  const b = await lab.begin('b');
  const port = a.open(PC1, 2000, FAR) as number;
  const leases = a.store.leases();
  await lab.pass(5, 1);
  const { plan } = a.rig.router;
  const board = a.leases.board.words.buffer as SharedArrayBuffer;
  const rows = (await leases).map((lease) => leaseRow(plan, board, lease)).sort((x, y) => x.block - y.block);
  assert.equal(rows.map(({ block, isOurs }) => [block, isOurs]), [...a.held.map((block) => [block, true]), ...b.held.map((block) => [block, false])].sort((x, y) => (x[0] as number) - (y[0] as number)));
  const row = rows.find(({ block }) => block === port >> 6);
  assert.ok(row !== undefined && row.leftMs > 30_000 && row.leftMs <= 60_000);
  assert.equal({ ...row, leftMs: 0, generation: 0 }, { address: COMMON, block: port >> 6, firstPort: port & ~63, lastPort: port | 63, instance: 'a', generation: 0, isOurs: true, leftMs: 0, used: 1, free: 63 });
  assert.equal(leaseRow(plan, board, { address: COMMON, block: 8, instance: 'b', generation: 1, leftMs: 1 }).firstPort, 512);
  assert.equal(rows.filter(({ isOurs }) => !isOurs).map(({ used, free }) => [used, free]), [[null, null], [null, null]]);
});

test.run();
