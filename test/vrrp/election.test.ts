/** The election's state machine: a row for every transition of RFC 9568 §6.4, and what goes beyond it. Times are milliseconds, adverts come every second unless said otherwise. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtualRouter } from '../../src/vrrp/election.js';
import type { Effects, HeardAdvert, VirtualRouterOptions } from '../../src/vrrp/election.js';

const SECOND = 1000;
/** 3 × interval + skew of priority 100. */
const DOWN_100 = 3 * SECOND + (156 * SECOND) / 256;
const SKEW_100 = (156 * SECOND) / 256;

/** A virtual router, and what it has asked for and told of since the last look. */
class Watched implements Effects {
  readonly router: VirtualRouter;
  private log: string[] = [];

  constructor(options: Partial<VirtualRouterOptions> = {}) {
    this.router = new VirtualRouter({ version: 3, priority: 100, intervalMs: SECOND, preempt: true, preemptDelayMs: 0, ...options }, this);
  }

  advertise(_router: VirtualRouter, priority: number): void { this.log.push(`advert ${priority}`); }
  changed({ state, reason }: VirtualRouter): void { this.log.push(`${state} ${reason}`); }
  asserted(): void { this.log.push('announce'); }

  get happened(): string[] {
    const { log } = this;
    this.log = [];
    return log;
  }

  /** Able to take part from now on. */
  able(nowMs = 0): this {
    this.router.setObstacle(null, nowMs);
    return this;
  }

  hear(priority: number, nowMs: number, more: Partial<HeardAdvert> = {}): void {
    this.router.hear({ priority, intervalMs: SECOND, sender: 0x0a000003, isHigher: true, ...more }, nowMs);
  }

  /** Every timer up to this moment. */
  until(nowMs: number): this {
    for (let i = 0; this.router.dueMs <= nowMs; i++) {
      assert.ok(i < 10_000, 'timers end');
      this.router.tick(this.router.dueMs);
    }
    return this;
  }
}

/** One that has become master at DOWN_100, and has been looked at. */
function master(options: Partial<VirtualRouterOptions> = {}): Watched {
  const watched = new Watched(options).able().until(DOWN_100);
  assert.equal(watched.happened, ['backup started', 'master noMaster', `advert ${watched.router.priority}`]);
  return watched;
}

function backup(options: Partial<VirtualRouterOptions> = {}): Watched {
  const watched = new Watched(options).able();
  assert.equal(watched.happened, ['backup started']);
  return watched;
}

test('init: nothing is heard, nothing is due', () => {
  const watched = new Watched();
  watched.hear(200, 10);
  watched.hear(0, 20);
  assert.is(watched.router.dueMs, Infinity);
  assert.equal(watched.happened, []);
  assert.is(watched.router.state, 'init');
});

// conforms: vrrp-states
test('init → master: the owner does not wait (§6.4.1)', () => {
  const watched = new Watched({ priority: 255 }).able(5);
  assert.equal(watched.happened, ['master owner', 'advert 255']);
  assert.is(watched.router.dueMs, 5 + SECOND);
});

// conforms: vrrp-states
test('init → backup → master: after master-down time, not before (§6.4.1, §6.4.2)', () => {
  const watched = backup();
  assert.is(watched.router.dueMs, DOWN_100);
  watched.router.tick(DOWN_100 - 1);
  assert.equal(watched.happened, []);
  watched.router.tick(DOWN_100);
  assert.equal(watched.happened, ['master noMaster', 'advert 100']);
  assert.is(watched.router.dueMs, DOWN_100 + SECOND);
});

test('version 2: skew is a part of a second whatever the interval (RFC 3768 §6.1)', () => {
  const watched = backup({ version: 2, intervalMs: 2 * SECOND });
  assert.is(watched.router.dueMs, 6 * SECOND + SKEW_100);
  watched.hear(200, 100, { intervalMs: 2 * SECOND });
  assert.is(watched.router.dueMs, 100 + 6 * SECOND + SKEW_100);
});

// conforms: vrrp-states
test('backup: a better or equal master is followed, at the interval it tells (§6.4.2)', () => {
  for (const priority of [100, 101, 255]) {
    const watched = backup();
    watched.hear(priority, 500, { intervalMs: 200 });
    assert.is(watched.router.dueMs, 500 + 3 * 200 + (156 * 200) / 256, `priority ${priority}`);
    assert.is(watched.router.master, 0x0a000003);
    assert.is(watched.router.masterPriority, priority);
    assert.equal(watched.happened, []);
  }
});

test('backup: the address does not matter among equals (§6.4.2)', () => {
  const watched = backup();
  watched.hear(100, 500, { isHigher: false });
  assert.is(watched.router.dueMs, 500 + DOWN_100);
});

// conforms: vrrp-states
test('backup: priority 0 leaves skew time (§6.4.2)', () => {
  const watched = backup();
  watched.hear(200, 500);
  watched.hear(0, 700);
  assert.is(watched.router.dueMs, 700 + SKEW_100);
  assert.is(watched.router.master, 0);
  assert.equal(watched.until(700 + SKEW_100).happened, ['master resigned', 'advert 100']);
});

test('backup: priority 0 again and again postpones nothing', () => {
  const watched = backup();
  watched.hear(200, 500);
  for (let at = 700; at < 700 + SKEW_100; at += 100) watched.hear(0, at);
  assert.is(watched.router.dueMs, 700 + SKEW_100);
});

// conforms: vrrp-states
test('backup: a worse master is not listened to when it may preempt (§6.4.2)', () => {
  const watched = backup();
  for (let at = 0; at < DOWN_100; at += SECOND) watched.hear(99, at);
  assert.is(watched.router.dueMs, DOWN_100);
  assert.equal(watched.until(DOWN_100).happened, ['master preempted', 'advert 100']);
});

test('backup: a worse master is followed when it may not', () => {
  const watched = backup({ preempt: false });
  watched.hear(99, 3000);
  assert.is(watched.router.dueMs, 3000 + DOWN_100);
  assert.is(watched.router.masterPriority, 99);
  watched.hear(0, 3500);
  assert.equal(watched.until(3500 + SKEW_100).happened, ['master resigned', 'advert 100'], 'but not when it resigns');
});

test('backup → init: standing aside says nothing', () => {
  const watched = backup();
  watched.router.setObstacle('linkDown', 100);
  assert.equal(watched.happened, ['init linkDown']);
  assert.is(watched.router.dueMs, Infinity);
  watched.able(200);
  assert.is(watched.router.dueMs, 200 + DOWN_100, 'and it begins anew');
});

test('master → init: priority 0 (§6.4.3)', () => {
  const watched = master();
  watched.router.setObstacle('drained', 9000);
  assert.equal(watched.happened, ['advert 0', 'init drained']);
  assert.is(watched.router.dueMs, Infinity);
});

test('master: an advert each interval (§6.4.3)', () => {
  const watched = master();
  watched.until(DOWN_100 + 3 * SECOND);
  assert.equal(watched.happened, ['advert 100', 'advert 100', 'advert 100']);
});

test('master: somebody resigns: an advert at once, and the timer begins anew (§6.4.3)', () => {
  const watched = master();
  watched.hear(0, DOWN_100 + 400);
  assert.equal(watched.happened, ['advert 100']);
  assert.is(watched.router.dueMs, DOWN_100 + 400 + SECOND);
});

// conforms: vrrp-states
test('master → backup: a better one, or an equal one of a higher address (§6.4.3)', () => {
  for (const [priority, isHigher] of [[101, false], [100, true]] as const) {
    const watched = master();
    watched.hear(priority, 5000, { isHigher, intervalMs: 200 });
    assert.equal(watched.happened, ['backup better']);
    assert.is(watched.router.dueMs, 5000 + 600 + (156 * 200) / 256, 'at its interval');
    assert.is(watched.router.master, 0x0a000003);
  }
});

// conforms: vrrp-states
test('master: a worse one, or an equal one of a lower address, is told so (§6.4.3)', () => {
  for (const [priority, isHigher] of [[99, true], [100, false]] as const) {
    const watched = master();
    watched.hear(priority, 4000, { isHigher });
    assert.equal(watched.happened, ['advert 100', 'announce']);
    watched.hear(priority, 4050, { isHigher });
    assert.equal(watched.happened, [], 'not more often than ten times an interval');
    watched.hear(priority, 4100, { isHigher });
    assert.equal(watched.happened, ['advert 100', 'announce']);
    assert.is(watched.router.state, 'master');
  }
});

test('an owner yields only to another owner of a higher address', () => {
  const watched = new Watched({ priority: 255 }).able();
  void watched.happened;
  watched.hear(254, 100);
  assert.equal(watched.happened, ['advert 255', 'announce']);
  watched.router.setPriority(10, 200);
  assert.is(watched.router.priority, 255, 'nothing is taken off it');
  watched.hear(255, 300);
  assert.equal(watched.happened, ['backup better']);
});

// conforms: vrrp-states
test('preempt delay: from its start', () => {
  const watched = backup({ preemptDelayMs: 10_000 });
  for (let at = 500; at < 10_000; at += SECOND) watched.until(at).hear(50, at);
  assert.equal(watched.happened, [], 'a worse master goes on');
  assert.is(watched.router.dueMs, 9500 + DOWN_100);
  for (let at = 10_500; at < 9500 + DOWN_100; at += SECOND) watched.until(at).hear(50, at);
  assert.equal(watched.until(9500 + DOWN_100).happened, ['master preempted', 'advert 100']);
});

test('preempt delay: from when a better master is heard no more', () => {
  const watched = backup({ preemptDelayMs: 10_000 });
  watched.hear(200, 20_000 - DOWN_100);
  watched.hear(50, 20_000);
  watched.hear(50, 22_000);
  watched.hear(50, 29_999);
  assert.is(watched.router.dueMs, 29_999 + DOWN_100);
  watched.hear(50, 30_001);
  assert.is(watched.router.dueMs, 29_999 + DOWN_100, 'from here on it is not listened to');
});

test('preempt delay does not hold up the replacement of a dead master', () => {
  const watched = backup({ preemptDelayMs: 3_600_000 });
  watched.hear(50, 500);
  assert.equal(watched.until(500 + DOWN_100).happened, ['master noMaster', 'advert 100']);
});

test('priority at run time: a master tells at once, a backup goes by it from the next advert on', () => {
  const watched = master();
  watched.router.setPriority(60, 4000);
  assert.equal(watched.happened, ['advert 60']);
  watched.hear(61, 4500);
  assert.equal(watched.happened, ['backup better']);
  assert.is(watched.router.dueMs, 4500 + 3000 + (196 * SECOND) / 256);
  watched.router.setPriority(100, 4600);
  assert.equal(watched.happened, []);
  const due = watched.router.dueMs;
  watched.hear(61, 5500);
  assert.is(watched.router.dueMs, due, 'now the other is the worse one');
});

test('a master that stood still listens first, and yields to whoever has taken over meanwhile', () => {
  const watched = master();
  const wokeAt = DOWN_100 + 60_000;
  watched.router.stoodStill(60_000, wokeAt);
  watched.router.tick(wokeAt);
  assert.equal(watched.happened, [], 'no advert before an interval has passed');
  watched.hear(50, wokeAt + 300);
  assert.equal(watched.happened, ['backup stalled']);
});

test('a master that stood still and hears nobody goes on', () => {
  const watched = master();
  const wokeAt = DOWN_100 + 60_000;
  watched.router.stoodStill(60_000, wokeAt);
  assert.equal(watched.until(wokeAt + SECOND).happened, ['advert 100']);
  watched.hear(50, wokeAt + SECOND + 1);
  assert.is(watched.router.state, 'master', 'who comes later is the worse one');
});

test('relieved is who a better one follows, and not one that may have been followed before without knowing', () => {
  const stood = (forMs: number): VirtualRouter => {
    const { router } = master();
    router.stoodStill(forMs, 5000);
    router.hear({ priority: 200, intervalMs: SECOND, sender: 0x0a000003, isHigher: true }, 5010);
    assert.is(router.state, 'backup');
    return router;
  };
  assert.is(stood(3 * SECOND).isRelieved, true);
  assert.is(stood(3 * SECOND + 1).isRelieved, false);
  assert.is(stood(60_000).isRelieved, false);
  const watched = master();
  watched.router.stoodStill(60_000, 5000);
  watched.until(5000 + 2 * SECOND).hear(200, 5000 + 2 * SECOND);
  assert.is(watched.router.isRelieved, true, 'nobody else was heard for an interval, so nobody else was master');
});

test('relieved together: one of a sync group that is in doubt makes all of it doubt', () => {
  const [a, b] = group({}, { intervalMs: 100 });
  for (const one of [a, b]) one.able().until(DOWN_100);
  for (const { router } of [a, b]) router.stoodStill(500, 5000);
  a.hear(200, 5010);
  assert.equal([a.router.isRelieved, b.router.isRelieved], [false, false]);
});

test('a short pause changes nothing', () => {
  const watched = master();
  watched.router.stoodStill(4 * SECOND, DOWN_100 + 4 * SECOND);
  watched.hear(50, DOWN_100 + 4 * SECOND);
  assert.is(watched.router.state, 'master');
});

function group(...options: Partial<VirtualRouterOptions>[]): Watched[] {
  const members = options.map((one) => new Watched(one));
  VirtualRouter.join(members.map(({ router }) => router));
  return members;
}

test('sync group: nobody takes part before all can', () => {
  const [a, b] = group({}, {});
  a.able(0);
  assert.equal([a.happened, b.happened], [['init groupAside'], []]);
  b.able(100);
  assert.equal([a.happened, b.happened], [['backup started'], ['backup started']]);
});

test('sync group: master together, when the last one’s time has come', () => {
  const [a, b] = group({}, {});
  a.able();
  b.able();
  b.hear(200, 2000);
  void a.happened;
  void b.happened;
  a.until(DOWN_100);
  assert.equal([a.happened, b.happened], [[], []], 'there is a master on the other link');
  assert.is(a.router.state, 'backup');
  b.until(2000 + DOWN_100);
  assert.equal([a.happened, b.happened], [['master noMaster', 'advert 100'], ['master noMaster', 'advert 100']]);
});

test('sync group: one that hears a master again is not willing any more', () => {
  const [a, b] = group({}, {});
  a.able();
  b.able();
  b.hear(200, 2000);
  a.until(DOWN_100);
  a.hear(200, DOWN_100 + 10);
  void a.happened;
  b.until(2000 + DOWN_100);
  assert.is(b.router.state, 'backup');
  assert.is(a.router.state, 'backup');
});

test('sync group: one yields, all yield, and tell the others’ links', () => {
  const [a, b, c] = group({}, {}, {});
  for (const one of [a, b, c]) one.able();
  for (const one of [a, b, c]) one.until(DOWN_100);
  for (const one of [a, b, c]) void one.happened;
  a.hear(200, 5000);
  assert.equal(a.happened, ['backup better']);
  for (const one of [b, c]) assert.equal(one.happened, ['advert 0', 'backup groupBackup']);
});

test('sync group: one stands aside, all do', () => {
  const [a, b] = group({}, {});
  for (const one of [a, b]) one.able();
  for (const one of [a, b]) one.until(DOWN_100);
  for (const one of [a, b]) void one.happened;
  b.router.setObstacle('linkDown', 5000);
  assert.equal([a.happened, b.happened], [['advert 0', 'init groupAside'], ['advert 0', 'init linkDown']]);
});

test('sync group: owners of all addresses do not wait', () => {
  const [a, b] = group({ priority: 255 }, { priority: 255 });
  a.able();
  b.able();
  assert.is(a.router.state, 'master');
  assert.is(b.router.state, 'master');
});

test.run();
