/** The neighbour table's walk through its states, the clock turned by hand. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ManualClock } from '../../src/base/clock.js';
import { FAILED, INCOMPLETE, NEIGHBOUR_STATES, NeighbourTable, neighbourTableBytes, PROBE, REACHABLE, readNeighbours, STALE } from '../../src/table/neighbour.js';
import { check } from '../support/oracle/property.js';

const NONE = -1;
const V4 = 0xffff;
const REACHABLE_MS = 30_000;
const STALE_MS = 60_000;
const MAC = { high: 0x0200, low: 0x11223344 };
const OTHER = { high: 0x0200, low: 0x55667788 };
const GATEWAY = 0x0a000001;

type Asked = { atMs: number; link: number; address: number } & ({ unicast: false } | { unicast: true; high: number; low: number });

class Bench {
  readonly clock = new ManualClock(1_000_000);
  readonly asked: Asked[] = [];
  readonly answered: number[] = [];
  readonly failed: number[] = [];
  readonly memory: SharedArrayBuffer;
  readonly table: NeighbourTable;
  readonly capacity: number;

  constructor(capacity = 4) {
    this.capacity = capacity;
    this.memory = new SharedArrayBuffer(neighbourTableBytes(capacity));
    this.table = new NeighbourTable(this.memory, capacity, 7, REACHABLE_MS, STALE_MS, {
      solicit: (link, address, unicast, high, low) => {
        const atMs = this.clock.nowMs() - 1_000_000;
        this.asked.push(unicast ? { atMs, link, address, unicast, high, low } : { atMs, link, address, unicast });
      },
      answered: (entry) => { this.answered.push(entry); },
      failed: (entry) => { this.failed.push(entry); },
      changed: () => undefined,
    });
  }

  find(address = GATEWAY, link = 0): number { return this.table.find(link, 0, 0, V4, address); }
  solicit(address = GATEWAY, link = 0): number { return this.table.solicit(link, 0, 0, V4, address, this.clock.nowMs()); }
  use(entry: number): boolean { return this.table.use(entry, this.clock.nowMs()); }
  /** An answer to a question of ours. */
  answer(address = GATEWAY, mac = MAC, link = 0): void { this.table.learn(link, address, mac.high, mac.low, true, true, V4, this.clock.nowMs()); }
  /** A request somebody makes: of us, or of someone else. */
  overhear(address = GATEWAY, mac = MAC, isForUs = false, link = 0): void { this.table.learn(link, address, mac.high, mac.low, false, isForUs, V4, this.clock.nowMs()); }
  /** Something sent by way of it has been answered. */
  confirm(address = GATEWAY, link = 0): void { this.table.confirm(link, 0, 0, V4, address, this.clock.nowMs()); }
  /** Let time pass in steps as turns do. */
  pass(ms: number, stepMs = 100): void {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left));
      this.table.tick(this.clock.nowMs());
    }
  }
  state(address = GATEWAY, link = 0): string {
    const entry = this.find(address, link);
    return entry === NONE ? 'none' : NEIGHBOUR_STATES[this.table.state(entry)];
  }
}

test('asked, answered: the waiting packets go and the MAC address is there', () => {
  const b = new Bench();
  assert.is(b.find(), NONE);
  const entry = b.solicit();
  assert.equal(b.asked, [{ atMs: 0, link: 0, address: GATEWAY, unicast: false }]);
  assert.is(b.state(), 'incomplete');
  assert.not(b.use(entry));
  assert.is(b.asked.length, 1, 'packets that follow do not ask again');
  b.pass(300);
  b.answer();
  assert.equal(b.answered, [entry]);
  assert.ok(b.use(entry));
  assert.equal([b.table.macHigh(entry), b.table.macLow(entry), b.table.address(entry), b.table.link(entry), b.table.state(entry)], [MAC.high, MAC.low, GATEWAY, 0, REACHABLE]);
  b.pass(10_000);
  assert.equal([b.asked.length, b.failed.length], [1, 0], 'an answer ends the asking');
});

test('no answer: three broadcasts a second apart, then failed, and refused for three seconds', () => {
  const b = new Bench();
  const entry = b.solicit();
  b.pass(2900);
  assert.equal(b.asked.map((a) => [a.atMs, a.unicast]), [[0, false], [1000, false], [2000, false]]);
  assert.equal([b.state(), b.failed.length], ['incomplete', 0]);
  b.pass(100);
  assert.equal([b.state(), b.failed], ['failed', [entry]]);
  b.pass(2900);
  assert.not(b.use(entry));
  assert.is(b.state(), 'failed');
  assert.is(b.asked.length, 3);
});

test('a failed neighbour is asked for again by the first packet after that, whenever it comes', () => {
  for (const waitMs of [3000, 3100, 20_000, 50_000]) {
    const b = new Bench();
    const entry = b.solicit();
    b.pass(3000 + waitMs);
    assert.is(b.state(), 'failed', `${waitMs} ms`);
    assert.not(b.use(entry));
    assert.is(b.state(), 'incomplete', `${waitMs} ms`);
    assert.is(b.asked.length, 4);
    b.answer();
    assert.ok(b.use(entry));
    assert.equal(b.answered, [entry]);
  }
});

test('a failed neighbour nobody asks for is forgotten; one that speaks up is reachable at once', () => {
  const b = new Bench();
  b.solicit();
  b.pass(STALE_MS + 7000);
  assert.is(b.state(), 'none');
  const c = new Bench();
  const entry = c.solicit();
  c.pass(4000);
  assert.is(c.state(), 'failed');
  c.overhear();
  assert.is(c.state(), 'reachable');
  assert.equal(c.answered, [entry]);
});

test('reachable for its time, then stale; the next packet goes out and is checked by unicast', () => {
  const b = new Bench();
  const entry = b.solicit();
  b.answer();
  b.pass(REACHABLE_MS - 100);
  assert.is(b.state(), 'reachable');
  b.pass(100);
  assert.is(b.state(), 'stale');
  assert.is(b.asked.length, 1, 'nobody is asked without need');
  assert.ok(b.use(entry));
  assert.is(b.state(), 'probe');
  assert.equal(b.asked[1], { atMs: REACHABLE_MS, link: 0, address: GATEWAY, unicast: true, ...MAC });
  assert.ok(b.use(entry));
  assert.is(b.asked.length, 2);
  b.answer();
  assert.equal([b.state(), b.answered.length], ['reachable', 1], 'nothing waited this time');
  b.pass(REACHABLE_MS - 100);
  assert.is(b.state(), 'reachable', 'its time starts anew');
});

test('a stale neighbour that does not answer three unicasts a second apart has failed', () => {
  const b = new Bench();
  const entry = b.solicit();
  b.answer();
  b.pass(REACHABLE_MS);
  b.use(entry);
  b.pass(2900);
  assert.equal(b.asked.slice(1).map((a) => [a.atMs - REACHABLE_MS, a.unicast]), [[0, true], [1000, true], [2000, true]]);
  assert.ok(b.use(entry), 'packets go on meanwhile');
  b.pass(100);
  assert.is(b.state(), 'failed');
  assert.not(b.use(entry));
});

test('an answer to what went by way of a neighbour confirms it: the question that fell into its silence does no harm', () => {
  const b = new Bench();
  const entry = b.solicit();
  b.answer();
  b.pass(REACHABLE_MS);
  b.use(entry);
  b.pass(2900);
  assert.is(b.state(), 'probe');
  b.confirm();
  assert.is(b.state(), 'reachable');
  b.pass(REACHABLE_MS - 100);
  assert.equal([b.state(), b.failed.length, b.asked.length], ['reachable', 0, 4], 'it neither fails nor is asked for again before its time');
  b.pass(100);
  assert.is(b.state(), 'stale');
  b.confirm();
  assert.is(b.state(), 'reachable', 'nor need a stale one be asked for');
});

test('no answer confirms a neighbour that is not known or that has failed', () => {
  const b = new Bench();
  b.confirm();
  assert.is(b.state(), 'none');
  b.solicit();
  b.confirm();
  assert.is(b.state(), 'incomplete', 'whose MAC address is not known');
  b.pass(3000);
  b.confirm();
  assert.equal([b.state(), b.answered.length], ['failed', 0]);
});

test('a stale neighbour nobody uses is forgotten, one in use is not', () => {
  const b = new Bench();
  b.solicit();
  b.answer();
  b.pass(REACHABLE_MS + STALE_MS - 100);
  assert.is(b.state(), 'stale');
  b.pass(100);
  assert.is(b.state(), 'none');
  const c = new Bench();
  const entry = c.solicit();
  c.answer();
  for (let i = 0; i < 20; i++) {
    c.pass(REACHABLE_MS);
    assert.ok(c.use(entry));
    c.answer();
  }
  assert.is(c.find(), entry);
});

test('only what is for us makes an entry, and it is stale until checked (RFC 826)', () => {
  const b = new Bench();
  b.overhear(GATEWAY, MAC, false);
  assert.is(b.state(), 'none');
  b.overhear(GATEWAY, MAC, true);
  assert.is(b.state(), 'stale');
  assert.equal([b.asked.length, b.answered.length], [0, 0]);
  const entry = b.find();
  assert.ok(b.use(entry));
  assert.equal(b.asked, [{ atMs: 0, link: 0, address: GATEWAY, unicast: true, ...MAC }]);
});

test('what is overheard answers for those that wait, and neither prolongs nor unsettles what is known', () => {
  const b = new Bench();
  const entry = b.solicit();
  b.overhear();
  assert.equal([b.state(), b.answered], ['reachable', [entry]]);
  b.pass(REACHABLE_MS / 2);
  b.overhear();
  b.pass(REACHABLE_MS / 2);
  assert.is(b.state(), 'stale', 'the same again is no confirmation');
  b.use(entry);
  b.overhear();
  assert.is(b.state(), 'probe');
});

test('a changed MAC address is taken over; unless it answered us it has to be checked', () => {
  const b = new Bench();
  const entry = b.solicit();
  b.answer();
  b.overhear(GATEWAY, OTHER);
  assert.equal([b.state(), b.table.macHigh(entry), b.table.macLow(entry)], ['stale', OTHER.high, OTHER.low]);
  assert.ok(b.use(entry));
  assert.equal(b.asked[1], { atMs: 0, link: 0, address: GATEWAY, unicast: true, ...OTHER });
  b.answer(GATEWAY, MAC);
  assert.equal([b.state(), b.table.macLow(entry)], ['reachable', MAC.low]);
});

test('the same address on another link is another neighbour', () => {
  const b = new Bench();
  const one = b.solicit(GATEWAY, 0), two = b.solicit(GATEWAY, 1);
  assert.is.not(one, two);
  b.answer(GATEWAY, MAC, 1);
  assert.equal([b.state(GATEWAY, 0), b.state(GATEWAY, 1)], ['incomplete', 'reachable']);
  assert.ok(b.table.is(two, 1, 0, 0, V4, GATEWAY));
  assert.not(b.table.is(two, 0, 0, 0, V4, GATEWAY));
  assert.not(b.table.is(two, 1, 0, 1, V4, GATEWAY));
  assert.not(b.table.is(two, 1, 0, 0, V4, GATEWAY + 1));
});

test('flush forgets a link’s neighbours and gives up what waits for them', () => {
  const b = new Bench();
  const waits = b.solicit(1), idle = b.solicit(2), elsewhere = b.solicit(3, 1);
  b.table.addQueued(waits, 2);
  b.answer(2);
  b.table.flush(0);
  assert.equal(b.failed, [waits]);
  assert.equal([b.state(1), b.state(2), b.state(3, 1)], ['none', 'none', 'incomplete']);
  assert.not(b.table.is(idle, 0, 0, 0, V4, 2), 'no hint leads to what is forgotten');
  assert.is(b.find(3, 1), elsewhere);
});

test('after a flush an entry is nobody else’s while packets of the old one still wait', () => {
  const b = new Bench(2);
  const old = b.solicit(1);
  b.table.addQueued(old, 1);
  const other = b.solicit(2);
  b.table.addQueued(other, 1);
  b.table.flush(0);
  assert.is(b.solicit(3), NONE, 'no room until they have been given up');
  b.table.addQueued(old, -1);
  assert.is(b.solicit(3), old);
  assert.is(b.table.queued(old), 0);
});

test('a full table makes room by forgetting the stale or failed one longest out of use, and no other', () => {
  const b = new Bench(3);
  const entries = [1, 2, 3].map((address) => {
    const entry = b.solicit(address);
    b.answer(address);
    b.pass(1000);
    return entry;
  });
  assert.is(b.solicit(4), NONE, 'all are reachable');
  // The first was confirmed before the others, but is used after them.
  b.pass(20_000);
  assert.ok(b.use(entries[0]));
  b.pass(REACHABLE_MS);
  assert.equal([1, 2, 3].map((address) => b.state(address)), ['stale', 'stale', 'stale']);
  assert.is.not(b.solicit(4), NONE);
  assert.equal([1, 2, 3, 4].map((address) => b.state(address)), ['stale', 'none', 'stale', 'incomplete']);
  b.table.addQueued(entries[2], 1);
  assert.is.not(b.solicit(5), NONE);
  assert.equal([1, 3, 4, 5].map((address) => b.state(address)), ['none', 'stale', 'incomplete', 'incomplete']);
  assert.is(b.solicit(6), NONE);
  b.overhear(7, MAC, true);
  assert.is(b.state(7), 'none');
  b.table.addQueued(entries[2], -1);
  b.use(entries[2]);
  assert.is(b.solicit(6), NONE, 'one that is being checked stays');
  b.pass(3000);
  assert.equal([b.state(3), b.state(4), b.state(5)], ['failed', 'failed', 'failed']);
  assert.is.not(b.solicit(6), NONE);
});

test('the table says when it wants to be called, and is not late', () => {
  const b = new Bench();
  assert.is(b.table.nextDueMs, Infinity);
  b.solicit();
  const start = b.clock.nowMs();
  assert.is(b.table.nextDueMs, start + 1000);
  b.table.tick(start + 999);
  assert.is(b.asked.length, 1);
  // Called just when it says, it does all it has to.
  const seen: string[] = [];
  for (let i = 0; i < 20 && b.table.nextDueMs < Infinity; i++) {
    b.clock.advance(Math.max(0, b.table.nextDueMs - b.clock.nowMs()));
    b.table.tick(b.clock.nowMs());
    seen.push(`${b.clock.nowMs() - start} ${b.state()}`);
  }
  assert.equal(seen, ['1000 incomplete', '2000 incomplete', '3000 failed', '6000 failed', '60000 none']);
});

test('rows for the control plane', () => {
  const b = new Bench();
  b.solicit(1);
  const entry = b.solicit(2, 1);
  b.table.addQueued(entry, 3);
  b.pass(500);
  b.answer(1);
  const at = b.clock.nowMs();
  assert.equal(readNeighbours(b.memory, b.capacity), [
    { link: 0, address: 1, macHigh: MAC.high, macLow: MAC.low, state: REACHABLE, queued: 0, confirmedAtMs: at },
    { link: 1, address: 2, macHigh: 0, macLow: 0, state: INCOMPLETE, queued: 3, confirmedAtMs: at - 500 },
  ]);
  assert.equal([INCOMPLETE, REACHABLE, STALE, PROBE, FAILED].map((state) => NEIGHBOUR_STATES[state]), ['incomplete', 'reachable', 'stale', 'probe', 'failed']);
});

type Step = { do: 'send' | 'answer' | 'overhear' | 'request' | 'flush'; address: number; link: number; mac: number } | { do: 'pass'; ms: number };

const who = { address: fc.integer({ min: 1, max: 4 }), link: fc.integer({ min: 0, max: 1 }), mac: fc.integer({ min: 1, max: 2 }) };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('send' as const, 'answer' as const, 'overhear' as const, 'request' as const), ...who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flush' as const), ...who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.oneof(fc.integer({ min: 1, max: 1500 }), fc.constantFrom(3000, 29_000, 61_000)) }) });

test('whatever comes, in whatever order: entries are few enough, found by their address alone, and questions are paced', () => {
  check(fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const b = new Bench(3);
    for (const s of steps) {
      switch (s.do) {
        case 'pass': b.pass(s.ms, 250); break;
        case 'flush': b.table.flush(s.link); break;
        case 'answer': b.answer(s.address, { high: s.mac, low: s.mac }, s.link); break;
        case 'overhear': b.overhear(s.address, { high: s.mac, low: s.mac }, false, s.link); break;
        case 'request': b.overhear(s.address, { high: s.mac, low: s.mac }, true, s.link); break;
        case 'send': {
          const entry = b.find(s.address, s.link) === NONE ? b.solicit(s.address, s.link) : b.find(s.address, s.link);
          if (entry !== NONE && b.use(entry)) assert.ok(b.table.macLow(entry) > 0, 'a MAC address that may be used is one');
          break;
        }
      }
      const rows = readNeighbours(b.memory, b.capacity);
      assert.ok(rows.length <= 3);
      assert.is(new Set(rows.map((row) => `${row.link} ${row.address}`)).size, rows.length);
      for (const row of rows) {
        const entry = b.find(row.address, row.link);
        assert.is.not(entry, NONE);
        assert.equal([b.table.address(entry), b.table.link(entry), b.table.state(entry)], [row.address, row.link, row.state]);
        if (row.state === REACHABLE || row.state === STALE || row.state === PROBE) assert.ok(row.macLow > 0);
      }
      assert.is((b.table as unknown as { count: number }).count, rows.length);
      assert.is((b.table as unknown as { index: { size: number } }).index.size, rows.length);
    }
    // Nobody is asked for by broadcast twice within a second, unless it was forgotten in between: flushed, or evicted for want of room.
    const names = new Set(steps.flatMap((s) => (s.do === 'pass' ? [] : [`${s.link} ${s.address}`])));
    if (names.size <= 3 && !steps.some((s) => s.do === 'flush')) {
      for (const name of names) {
        const times = b.asked.filter((a) => !a.unicast && `${a.link} ${a.address}` === name).map((a) => a.atMs);
        times.slice(1).forEach((atMs, i) => assert.ok(atMs - times[i] >= 1000, `${name} asked at ${times[i]} and ${atMs} ms`));
      }
    }
  }), 300);
});

// conforms: arp-static
test('a neighbour that was configured neither ages nor learns, survives its link and is shown as permanent', () => {
  const bench = new Bench(2);
  assert.ok(bench.table.fix(0, GATEWAY, MAC.high, MAC.low, V4, bench.clock.nowMs()));
  const entry = bench.find();
  const isAsItWas = (): void => {
    assert.is(bench.state(), 'reachable');
    assert.is(bench.table.macLow(entry), MAC.low);
    assert.ok(bench.use(entry));
  };
  isAsItWas();
  bench.pass(REACHABLE_MS + STALE_MS + 60_000, 5000);
  isAsItWas();
  bench.answer(GATEWAY, OTHER);
  bench.overhear(GATEWAY, OTHER, true);
  isAsItWas();
  bench.table.flush(0);
  isAsItWas();
  // Nor does who comes and goes push it out.
  for (let host = 2; host < 9; host++) bench.solicit(0x0a000000 + host);
  bench.pass(30_000);
  bench.solicit(0x0a000063);
  isAsItWas();
  assert.equal(bench.asked.filter(({ address }) => address === GATEWAY), []);
  assert.equal(readNeighbours(bench.memory, 2).filter(({ address }) => address === GATEWAY).map(({ state }) => NEIGHBOUR_STATES[state]), ['permanent']);
});

test.run();
