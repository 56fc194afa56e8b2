/** A leased port pool against lists: what may be handed out while blocks come and go, what stays, and what it counts for the share worker. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import { boardBytes, LeaseBoard } from '../../src/table/lease-board.js';
import { PortPool } from '../../src/table/port-pool.js';
import type { PortRules } from '../../src/table/port-pool.js';
import { Tuple } from '../../src/wire/tuple.js';
import { anySeed, check } from '../support/oracle/property.js';

const NONE = -1;
const BLOCK = 64;
const BLOCKS = 65536 / BLOCK;
const ROW = 1;
const COLUMN = 2;
const PLAIN: PortRules = { hasServices: false, keepsParity: false, quarantine: 0 };

function tupleOf(address: number, port: number, far = 0x08080808): Tuple {
  const tuple = new Tuple();
  tuple.setV4(address, far, (port << 16) | 53, 17);
  return tuple;
}

function made(first: number, last: number, rules: PortRules = PLAIN, seed = 1): { pool: PortPool; board: LeaseBoard } {
  const board = new LeaseBoard(new SharedArrayBuffer(boardBytes(2, BLOCKS)), BLOCKS);
  return { pool: new PortPool(first, last, new Random(seed), rules, { board, row: ROW, column: COLUMN }), board };
}

const take = (pool: PortPool, address: number, port: number, preserve = true, tick = 0): number => {
  const tuple = tupleOf(address, port);
  const got = pool.pick(port, address, preserve, tick);
  if (got !== NONE) pool.take(got, tuple, false, 0);
  return got;
};

interface Mapped { key: string; address: number; port: number; users: number; isUnclean: boolean; /** NONE = it lives. */ freedAt: number }

/** The same by lists: slow, and plain to see. */
class SlowPool {
  readonly mapped = new Map<number, Mapped>();
  /** Resting ports, oldest first. */
  resting: number[] = [];
  readonly usable = new Set<number>();
  readonly shared = new Map<number, number>();
  private readonly first: number;
  private readonly last: number;
  private readonly rules: PortRules;
  private readonly fixed: ReadonlySet<number>;

  constructor(first: number, last: number, rules: PortRules, fixed: readonly number[]) {
    this.first = first;
    this.last = last;
    this.rules = rules;
    this.fixed = new Set(fixed);
  }

  get isWithServices(): boolean { return this.rules.hasServices && this.first >= 1024; }
  isInRange(port: number): boolean { return (port >= this.first && port <= this.last) || (this.isWithServices && port >= 512 && port < 1024); }
  canBeHad(port: number): boolean { return this.isInRange(port) && !this.fixed.has(port) && !this.mapped.has(port) && this.usable.has(Math.floor(port / BLOCK)); }

  free(first: number, last: number): number[] {
    const found: number[] = [];
    for (let port = first; port <= last; port++) if (this.canBeHad(port)) found.push(port);
    return found;
  }

  get ordinary(): number[] { return this.free(this.first, this.last); }

  sweep(tick: number, budget: number): void {
    for (let i = 0; i < budget && this.resting.length > 0 && tick - (this.mapped.get(this.resting[0]) as Mapped).freedAt >= this.rules.quarantine; i++) {
      this.mapped.delete(this.resting.shift() as number);
    }
  }

  /** Ports one of which a new mapping of `internal` must get; none = none. */
  allowed(internal: number, preserve: boolean): number[] {
    const among = (free: number[]): number[] => {
      const same = this.rules.keepsParity ? free.filter((port) => (port & 1) === (internal & 1)) : [];
      return same.length > 0 ? same : free;
    };
    const isService = this.isWithServices && internal < 1024;
    const services = isService ? this.free(512, 1023) : [];
    if (preserve && services.includes(internal)) return [internal];
    if (services.length > 0) return among(services);
    if (preserve && internal >= this.first && internal <= this.last && this.canBeHad(internal)) return [internal];
    return among(this.ordinary);
  }
}

const anyStep = fc.record({
  kind: fc.constantFrom('acquire', 'acquire', 'acquire', 'acquire', 'release', 'release', 'block', 'block', 'claim', 'time', 'share'),
  address: fc.integer({ min: 1, max: 6 }), port: fc.oneof(fc.integer({ min: 1010, max: 1300 }), fc.integer({ min: 500, max: 660 })),
  at: fc.nat(), flag: fc.boolean(),
});

test('ports of usable blocks only, whatever comes and goes; what lives or rests stays what it is; every count right', () => {
  check(fc.property(anySeed, fc.constantFrom(1024, 1040, 1100), fc.integer({ min: 0, max: 200 }), fc.boolean(), fc.boolean(), fc.array(anyStep, { maxLength: 150 }),
    (seed, first, more, hasServices, keepsParity, steps) => {
      const last = first + more;
      const rules: PortRules = { hasServices, keepsParity, quarantine: 5 };
      const { pool, board } = made(first, last, rules, seed);
      const fixed = [first + 1, 600, 40_000];
      // A port forward to the endpoint 9:9000 each.
      for (const port of fixed) pool.fix(9, 9000 + port, port, 1);
      const slow = new SlowPool(first, last, rules, fixed);
      const blocks = [8, 9, 16, 17, 18, 19, 20];
      let tick = 0;
      for (const s of steps) {
        const key = `${s.address}:${s.port}`;
        const tuple = tupleOf(s.address, s.port);
        if (s.kind === 'acquire') {
          const known = [...slow.mapped].find(([, m]) => m.key === key);
          const found = pool.find(tuple, false);
          assert.is(found, known === undefined ? NONE : known[0], `${key} is mapped to`);
          if (known !== undefined && known[1].freedAt === NONE) {
            pool.retain(found, 0);
            known[1].users++;
          } else if (known !== undefined && slow.usable.has(Math.floor(known[0] / BLOCK))) {
            assert.ok(pool.isUsable(found));
            pool.retain(found, 0);
            slow.resting = slow.resting.filter((port) => port !== known[0]);
            Object.assign(known[1], { users: 1, isUnclean: true, freedAt: NONE });
          } else if (known === undefined) {
            slow.sweep(tick, 4);
            let allowed = slow.allowed(s.port, s.flag);
            const got = take(pool, s.address, s.port, s.flag, tick);
            if (allowed.length === 0) {
              slow.sweep(tick, Infinity);
              allowed = slow.allowed(s.port, s.flag);
            }
            if (allowed.length === 0) assert.is(got, NONE, `nothing can be had for ${key}`);
            else assert.ok(allowed.includes(got), `${key} got ${got}, allowed ${allowed.slice(0, 20).join()}`);
            if (got !== NONE) slow.mapped.set(got, { key, address: s.address, port: s.port, users: 1, isUnclean: false, freedAt: NONE });
          } else {
            assert.not.ok(pool.isUsable(found), 'a resting port of a lost block is nobody’s to revive');
          }
        } else if (s.kind === 'release') {
          const live = [...slow.mapped].filter(([, m]) => m.freedAt === NONE);
          if (live.length > 0) {
            const [port, mapping] = live[s.at % live.length];
            if (!s.flag) mapping.isUnclean = true;
            assert.is(pool.release(port, tick, s.flag), --mapping.users === 0);
            if (mapping.users === 0) {
              if (mapping.isUnclean && !fixed.includes(port)) {
                mapping.freedAt = tick;
                slow.resting.push(port);
              } else slow.mapped.delete(port);
            }
          }
        } else if (s.kind === 'block') {
          const block = blocks[s.at % blocks.length];
          pool.setUsable(block, s.flag);
          if (s.flag) slow.usable.add(block);
          else slow.usable.delete(block);
        } else if (s.kind === 'claim') {
          // What another instance has mapped: any port there is.
          const port = [s.port, first + (s.at % (more + 1)), 50_000][s.at % 3];
          const had = slow.mapped.get(port);
          const elsewhere = [...slow.mapped].some(([other, m]) => m.key === key && other !== port);
          // One endpoint has one mapping (endpoint-independent): who claims a second one claims it for nothing.
          if (!elsewhere) {
            const claimed = pool.claim(port, tuple, false, 0);
            if (had !== undefined && had.freedAt === NONE) {
              assert.is(claimed, had.key === key ? 1 : 0, `${key} claims ${port}, which is ${had.key}'s`);
              if (had.key === key) had.users++;
            } else {
              assert.is(claimed, 2);
              slow.resting = slow.resting.filter((other) => other !== port);
              slow.mapped.set(port, { key, address: s.address, port: s.port, users: 1, isUnclean: had?.key === key, freedAt: NONE });
            }
          }
        } else if (s.kind === 'time') {
          tick += s.at % 4;
        } else {
          const port = pool.any(s.port, s.flag);
          const isService = slow.isWithServices && s.port < 1024;
          if (port !== NONE) {
            assert.ok(slow.usable.has(Math.floor(port / BLOCK)), `${port} is shared out of a block that is not ours`);
            assert.ok(isService ? port >= 512 && port < 1024 : port >= first && port <= last);
            assert.not(fixed.includes(port));
            pool.countShared(port, 1);
            slow.shared.set(port, (slow.shared.get(port) ?? 0) + 1);
          }
        }
        const ordinary = slow.ordinary.length;
        const services = slow.isWithServices ? slow.free(512, 1023).length : 0;
        assert.is(pool.free, ordinary, 'free ordinary ports of usable blocks');
        assert.is(board.free(ROW), ordinary, 'and so on the board');
        assert.is(pool.size - pool.occupied, ordinary + services);
        const live = [...slow.mapped].filter(([, m]) => m.freedAt === NONE);
        assert.is(pool.used, live.length);
        assert.is(pool.quarantined, slow.resting.length);
        for (const block of [...blocks, 781]) {
          const inside = [...slow.mapped.keys()].filter((port) => Math.floor(port / BLOCK) === block).length;
          const shared = [...slow.shared].filter(([port]) => Math.floor(port / BLOCK) === block).length;
          assert.is(board.used(ROW, block), inside, `used in block ${block}`);
          assert.is(board.isEmpty(ROW, block), inside === 0 && shared === 0, `block ${block} is empty`);
        }
      }
      // The other address of the board, and the other protocols of this one, have seen nothing of it.
      assert.is(board.free(0), Infinity);
      for (const block of blocks) assert.ok(board.isEmpty(0, block));
    }), 400);
});

test('without a usable block nothing can be had: neither mapped, nor shared, nor set aside', () => {
  const { pool } = made(1024, 65535, { hasServices: true, keepsParity: true, quarantine: 0 });
  assert.equal([take(pool, 1, 5000), take(pool, 1, 600), pool.any(5000, true), pool.any(600, true), pool.reserve(0)], [NONE, NONE, NONE, NONE, NONE]);
  assert.is(pool.free, 0);
  pool.setUsable(20, true);
  const reserved = pool.reserve(0);
  assert.ok(reserved >= 1280 && reserved < 1344);
});

test('every port of the usable blocks can be had, each once, and evenly among them', () => {
  const { pool, board } = made(1024, 65535, { hasServices: true, keepsParity: false, quarantine: 0 });
  const blocks = [16, 300, 301, 1023];
  for (const block of blocks) pool.setUsable(block, true);
  const seen = new Map<number, number>();
  for (let i = 0; i < 4 * BLOCK; i++) {
    const port = take(pool, 100 + i, 30_000 + i, false);
    assert.not(seen.has(port));
    seen.set(port, i);
  }
  assert.equal([...new Set([...seen.keys()].map((port) => Math.floor(port / BLOCK)))].sort((a, b) => a - b), blocks);
  assert.is(take(pool, 1, 1), NONE);
  assert.is(pool.free, 0);
  for (const block of blocks) assert.is(board.used(ROW, block), BLOCK);
  // Of half-empty blocks each is drawn about as often: the first ones by number have no advantage.
  for (const port of seen.keys()) pool.release(port, 0, true);
  const counts = new Map<number, number>();
  for (let i = 0; i < 4000; i++) {
    const port = take(pool, 100, 30_000, false);
    counts.set(Math.floor(port / BLOCK), (counts.get(Math.floor(port / BLOCK)) ?? 0) + 1);
    pool.release(port, 0, true);
  }
  for (const block of blocks) assert.ok((counts.get(block) as number) > 850 && (counts.get(block) as number) < 1150, `block ${block}: ${counts.get(block)} of 4000`);
});

test('a service’s port comes of a services’ block while there is one, else it is an ordinary one, and that one was wanted is told', () => {
  const { pool, board } = made(1024, 65535, { hasServices: true, keepsParity: false, quarantine: 0 });
  pool.setUsable(40, true);
  assert.ok(take(pool, 1, 600) >= 2560);
  assert.is(board.servicesWanted(ROW), 1);
  assert.is(pool.free, BLOCK - 1);
  pool.setUsable(8, true);
  assert.is(take(pool, 2, 520), 520, 'preserved');
  const other = take(pool, 3, 600);
  assert.ok(other >= 512 && other < 576, 'another one of its block');
  assert.is(board.servicesWanted(ROW), 1);
  assert.is(pool.free, BLOCK - 1, 'services’ ports are no ordinary ones');
  assert.ok(take(pool, 4, 3000) >= 2560, 'nor has an ordinary endpoint one');
});

test('a port forward’s endpoint has its port whosever blocks there are', () => {
  const { pool } = made(1024, 65535);
  pool.fix(7, 25, 2525, 1);
  assert.is(take(pool, 7, 25), 2525);
  assert.is(take(pool, 7, 26), NONE);
  pool.setUsable(Math.floor(2525 / BLOCK), true);
  assert.is(pool.free, BLOCK - 1);
  pool.release(2525, 0, false);
  assert.is(pool.free, BLOCK - 1, 'it is nobody’s when it is free');
});

test('running low is told of only when no more blocks are to be had', () => {
  const { pool } = made(1024, 65535);
  pool.setUsable(16, true);
  for (let i = 0; i < 60; i++) take(pool, 1, 2000 + i);
  assert.is(pool.reached(0), 0, 'more may come');
  pool.setGrows(false);
  assert.is(pool.reached(0), 80);
  assert.is(pool.reached(0), 0, 'once');
  pool.setUsable(17, true);
  assert.is(pool.reached(0), 0);
  for (let i = 0; i < 50; i++) take(pool, 2, 2000 + i);
  assert.equal([pool.occupied, pool.size], [110, 128]);
  assert.is(pool.reached(0), 80, 'again, of more blocks');
  for (let i = 0; i < 14; i++) take(pool, 3, 2000 + i);
  assert.is(pool.reached(0), 95);
});

test.run();
