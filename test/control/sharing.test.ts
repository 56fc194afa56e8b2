/** What the main thread knows of sharing and election, what it says first, and what it does when a person drains the instance. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Plan } from '../../src/base/plan.js';
import type { ShareOrders } from '../../src/control/instance.js';
import { Instance } from '../../src/control/instance.js';
import { ShareView } from '../../src/control/share-view.js';
import { vrrpProblems, VrrpView } from '../../src/control/vrrp-view.js';
import type { Lease } from '../../src/share/store.js';
import { VRRP_REASONS } from '../../src/stage/election.js';
import type { VrrpReason } from '../../src/stage/election.js';
import {
  Counters, countersBytes, countersShape, NOW_MS, UPLINK_USABLE, VRRP_MASTER, VRRP_MASTER_PRIORITY, VRRP_PRIORITY, VRRP_REASON, VRRP_RECEIVED, VRRP_SENT, VRRP_SINCE_MS, VRRP_STATE, VRRP_TRANSITIONS,
} from '../../src/table/counters.js';
import { VRRP_STATES } from '../../src/vrrp/status.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { compile } from './config/support.js';
import { FakeView } from '../support/fake-view.js';

const CONFIG = `links:
  lan: { type: tap, device: d1, addresses: [10.0.0.1/24] }
  wan: { type: raw, device: d2, addresses: [192.0.2.2/24] }
uplinks:
  isp: { link: wan, gateway: 192.0.2.1, snat: 192.0.2.9 }
groups:
  out: { uplinks: [isp] }
routes:
  default: { to: 0.0.0.0/0, group: out }
vrrp:
  inside: { link: lan, id: 1, addresses: [10.0.0.254], priority: 200, track: [{ name: isp, weight: 150 }, { name: wan, kind: link, weight: 0 }] }
  outside: { link: wan, id: 2, addresses: [192.0.2.254] }
share: { store: redis, instance: gw1, redis: { url: "redis://a" } }
limits: { snatPortFirst: 1500, snatPortLast: 3000 }
`;
const planOf = (text = CONFIG): Plan => {
  const { plan, errors } = compile(text);
  assert.equal(errors, []);
  return plan!;
};
const STATUS = new FakeView({ share: true }).share().status!;
const AWAY = new FakeView({ share: 'away' }).share().status!;

test('what lasts has lasted longer since it was told', () => {
  let nowMs = 1000;
  const view = new ShareView(planOf(), () => nowMs);
  assert.equal(view.report(), { store: 'redis', instance: 'gw1', isDrained: false, status: null });
  assert.equal(view.problems(), [{ severity: 'error', subject: 'share', message: 'not connected to the store yet' }]);
  view.set(AWAY);
  nowMs = 3500;
  const { status } = view.report();
  assert.equal([status!.forMs, status!.trouble!.forMs, status!.trouble!.nextTryMs, status!.peers[0]!.ageMs, status!.leases[0]!.leftMs], [14_500, 14_500, 0, 2900, 587_500]);
  // What was counted has not changed.
  assert.is(status!.counts, AWAY.counts);
});

test('what is wrong with sharing is said first', () => {
  let nowMs = 0;
  const view = new ShareView(planOf(), () => nowMs);
  const after = (status: typeof STATUS): string[] => {
    view.set(status);
    return view.problems().map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`);
  };
  assert.equal(after(STATUS), []);
  assert.equal(after(AWAY), ['error share: the store cannot be reached, for 12 s: connect ECONNREFUSED 10.0.9.1:6379; flows go on but are not shared']);
  nowMs = 180_000;
  assert.match(view.problems()[0]!.message, /for 3 min: /);
  assert.equal(after({ ...STATUS, phase: 'loading', isUsable: false, load: { isDone: false, records: 500, total: 2000, tookMs: 10 } }), ['warning share: what others have written is being loaded: 500 of about 2000 records']);
  assert.equal(after({ ...STATUS, phase: 'registering', isUsable: false, forMs: 40 }), ['warning share: this instance registers with the store'], 'another one has taken over from it a moment ago');
  assert.equal(after({ ...STATUS, phase: 'away', isUsable: false, trouble: { kind: 'namesake', message: 'another instance has the name gw1 too', forMs: 4000, attempts: 3, nextTryMs: 900 } }),
    ['error share: the store has another living instance of this name, for 4 s: another instance has the name gw1 too; flows go on but are not shared']);
  assert.equal(after({ ...STATUS, phase: 'connecting', isUsable: false, forMs: 4000 }), ['error share: not connected to the store, for 4 s']);
  assert.equal(after({ ...STATUS, queue: 250_000 }), ['warning share: 250000 of 262144 changes wait to be written (limits.sharedChanges)']);
  assert.equal(after({ ...STATUS, leases: [{ ...STATUS.leases[0]!, held: [], leftMs: null }] }), ['error share: no ports of 203.0.113.20 are leased: new flows cannot be translated to it']);
  assert.equal(after({ ...STATUS, leases: [{ ...STATUS.leases[0]!, leftMs: 20_000 }] }), ['warning share: the leased ports of 203.0.113.20 may be used for 20 s more']);
  assert.equal(after({ ...STATUS, warnings: ['Redis throws keys away when it is full.'] }), ['warning share: Redis throws keys away when it is full.']);
  view.isDrained = true;
  assert.equal(after(STATUS), ['warning instance: drained by hand: it stands aside in every election until weir undrain']);
  assert.equal(new ShareView(planOf(CONFIG.replace('store: redis', 'store: memory')), () => 0).problems(), []);
});

/** Virtual routers as the data plane would leave them in shared memory. */
function elections(plan = planOf()): { counters: Counters; view: VrrpView; links: boolean[]; set: (router: number, state: string, reason: VrrpReason, priority: number, master?: string) => void } {
  const counters = new Counters(new SharedArrayBuffer(countersBytes(countersShape(plan))), countersShape(plan));
  const links = plan.links.map(() => true);
  const set = (router: number, state: string, reason: VrrpReason, priority: number, master?: string): void => {
    counters.setVrrp(router, VRRP_STATE, VRRP_STATES.indexOf(state as 'init'));
    counters.setVrrp(router, VRRP_REASON, VRRP_REASONS.indexOf(reason));
    counters.setVrrp(router, VRRP_PRIORITY, priority);
    counters.setVrrp(router, VRRP_MASTER, master === undefined ? 0 : parseIpv4(master) >>> 0);
    counters.setVrrp(router, VRRP_MASTER_PRIORITY, master === undefined ? 0 : 120);
  };
  return { counters, links, set, view: new VrrpView(plan, counters, (link) => links[link]!) };
}

test('virtual routers as the data plane counts them', () => {
  const { counters, view, links, set } = elections();
  counters.setRouter(NOW_MS, 50_000);
  counters.setVrrp(0, VRRP_SINCE_MS, 45_000);
  counters.setVrrp(0, VRRP_SENT, 7);
  counters.setVrrp(0, VRRP_TRANSITIONS, 3);
  counters.setUplink(0, UPLINK_USABLE, 1);
  set(0, 'master', 'resigned', 200);
  set(1, 'backup', 'better', 100, '192.0.2.3');
  const [inside, outside] = view.list();
  assert.equal([inside!.name, inside!.link, inside!.id, inside!.addresses, inside!.state, inside!.reason, inside!.priority, inside!.effectivePriority, inside!.master, inside!.masterPriority, inside!.sent, inside!.transitions],
    ['inside', 'lan', 1, ['10.0.0.254/24'], 'master', 'the master has resigned', 200, 200, null, null, 7, 3]);
  assert.ok(Math.abs(Date.now() - 5000 - inside!.sinceMs) < 2000);
  assert.equal(inside!.track, [{ kind: 'uplink', name: 'isp', weight: 150, isDown: false }, { kind: 'link', name: 'wan', weight: 0, isDown: false }]);
  assert.equal([outside!.state, outside!.master, outside!.masterPriority, outside!.trouble], ['backup', '192.0.2.3', 120, null]);
  assert.equal(view.list().flatMap(vrrpProblems), []);
  counters.setUplink(0, UPLINK_USABLE, 0);
  links[1] = false;
  set(0, 'init', 'tracked', 0);
  view.note({ event: 'vrrpTrouble', virtualRouter: 1, trouble: 'interval', from: '192.0.2.7', detail: 'an interval of 2000 ms instead of 1000 ms' });
  assert.equal(view.list().flatMap(vrrpProblems), [
    { severity: 'error', subject: 'vrrp inside', message: 'does not take part: something it tracks is down (wan)' },
    { severity: 'warning', subject: 'vrrp outside', message: 'adverts of 192.0.2.7 do not fit: an interval of 2000 ms instead of 1000 ms' },
  ]);
  assert.equal(view.list()[0]!.track.map(({ isDown }) => isDown), [true, true]);
  // What is as somebody wants it is no trouble.
  set(0, 'init', 'drained', 0);
  set(1, 'init', 'notReady', 0);
  assert.equal(view.list().flatMap(vrrpProblems).filter(({ severity }) => severity === 'error'), []);
});

interface Setup { instance: Instance; said: string[]; sharing: ShareView; set: ReturnType<typeof elections>['set'] }
/** A virtual router's new state, and whether another master was heard. */
type Change = (router: number, state: string, isHeard: boolean) => void;

/** An instance whose share worker answers `flushes` in turn; `onResign` is what the elections make of it. */
function setup(flushes: (string | null)[], onResign: (change: Change, isDrained: boolean) => void, leases: () => Promise<readonly Lease[]> = () => Promise.resolve([])): Setup {
  const plan = planOf();
  const { view, set, counters } = elections(plan);
  const change: Change = (router, state, isHeard) => {
    set(router, state, state === 'init' ? 'drained' : 'noMaster', 200);
    if (isHeard) counters.addVrrp(router, VRRP_RECEIVED, 1);
  };
  const said: string[] = [];
  const sharing = new ShareView(plan, () => 0);
  sharing.set(STATUS);
  const share: ShareOrders = {
    flush: (withinMs) => { said.push(`flush ${withinMs > 0}`); return Promise.resolve(flushes.shift() ?? null); },
    drain: (isDrained) => { said.push(`drain ${isDrained}`); },
    leases,
  };
  const instance = new Instance({ view: { sharing, elections: view }, share: () => share, resign: (isDrained) => { said.push(`resign ${isDrained}`); onResign(change, isDrained); } });
  return { instance, said, sharing, set };
}

test('draining: written first, then resigned, then another master is heard, then what was left is written', async () => {
  const { instance, said, sharing, set } = setup([null, null], (change) => {
    change(0, 'init', false);
    setTimeout(() => change(0, 'init', true), 30);
  });
  set(0, 'master', 'noMaster', 200);
  set(1, 'backup', 'better', 100);
  const { isFlushed, flushError, unclaimed, tookMs } = await instance.drain(true);
  assert.equal([isFlushed, flushError, unclaimed, sharing.isDrained], [true, null, [], true]);
  assert.ok(tookMs >= 20, String(tookMs));
  assert.equal(said, ['drain true', 'flush true', 'resign true', 'flush true']);
  assert.equal(await instance.drain(false), { isFlushed: null, flushError: null, unclaimed: [], tookMs: 0 });
  assert.equal([said.slice(4), sharing.isDrained], [['resign false', 'drain false'], false]);
});

test('draining where nobody takes over says so, in time', async () => {
  const { instance, set } = setup([null, null], (change) => change(0, 'init', false));
  set(0, 'master', 'noMaster', 200);
  const { unclaimed, tookMs } = await instance.drain(true);
  assert.equal(unclaimed, ['inside']);
  assert.ok(tookMs < 9000, String(tookMs));
});

test('draining a backup writes once, and a store that is away does not keep it from standing aside', async () => {
  const { instance, said, sharing, set } = setup(['not all was written in time'], () => undefined);
  set(0, 'backup', 'better', 200);
  assert.equal(await instance.drain(true).then(({ isFlushed, flushError }) => [isFlushed, flushError, sharing.isDrained]), [false, 'not all was written in time', true]);
  assert.equal(said, ['drain true', 'flush true', 'resign true']);
  // Nothing waits, but what the store had may be gone with it.
  sharing.set(AWAY);
  assert.is((await instance.drain(true)).flushError, 'the store cannot be reached: connect ECONNREFUSED 10.0.9.1:6379');
  sharing.set({ ...STATUS, isUsable: false, phase: 'loading' });
  assert.is((await instance.drain(true)).flushError, 'the store is not in use (loading)');
});

test('orders are carried out one after the other', async () => {
  const { instance, said, set } = setup([], (change, isDrained) => { setTimeout(() => change(0, isDrained ? 'init' : 'master', true), 20); });
  set(0, 'master', 'noMaster', 200);
  await Promise.all([instance.drain(true), instance.drain(false)]);
  assert.equal(said, ['drain true', 'flush true', 'resign true', 'flush true', 'resign false', 'drain false']);
});

test('leases: everybody\'s by the store, our own without it', async () => {
  const lease: Lease = { address: '192.0.2.9', block: 1, instance: 'gw2', generation: 3, leftMs: 1234.5 };
  const { instance } = setup([], () => undefined, () => Promise.resolve([lease, { ...lease, block: 2, instance: 'gw1' }]));
  assert.equal(await instance.leases(), {
    // Blocks end where the ports of source translation do.
    leases: [{ address: '192.0.2.9', block: 1, instance: 'gw2', generation: 3, leftMs: 1235, firstPort: 1500, lastPort: 2047, isOurs: false, used: null, free: null }, { address: '192.0.2.9', block: 2, instance: 'gw1', generation: 3, leftMs: 1235, firstPort: 2048, lastPort: 3000, isOurs: true, used: null, free: null }],
    reason: null,
  });
  const away = setup([], () => undefined, () => Promise.reject(new Error('the store is away')));
  away.sharing.set({ ...STATUS, leases: [{ address: '192.0.2.9', blocks: 2, held: [2], leftMs: 500 }] });
  assert.equal(await away.instance.leases(), { leases: [{ address: '192.0.2.9', block: 2, instance: 'gw1', generation: 12, leftMs: 500, firstPort: 2048, lastPort: 3000, isOurs: true, used: null, free: null }], reason: 'the store is away' });
});

test.run();
