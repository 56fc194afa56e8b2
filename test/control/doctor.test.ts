/** What the doctor says of bridges, of the store, asked of real Redis servers, and of virtual routers that were looked at twice. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Plan, RedisPlan, SharePlan } from '../../src/base/plan.js';
import type { VirtualRouterStatus } from '../../src/control/api/share-types.js';
import { examineBridges, examineDevices, examineStore, examineVrrp } from '../../src/control/doctor.js';
import { VRRP_WORDS } from '../../src/control/vrrp-event.js';
import { bridgedFramesMeetRules } from '../../src/link/bridge-rules.js';
import { MemoryStore } from '../../src/share/memory.js';
import { FakeView } from '../support/fake-view.js';
import { RedisServer } from '../support/redis.js';

const SHARE: SharePlan = { store: 'redis', instance: 'gw1', require: false, flushMs: 5, holdMs: 200, leaseMs: 600_000, portBlock: 1024, aliveMs: 3000 };
const planOf = (redis: RedisPlan): Plan => ({ share: { ...SHARE, redis } }) as Plan;

test('bridges: nothing without one, fine where frames are only bridged, a warning where rules of the box see them', () => {
  const planWith = (...links: { bridge?: string; netns?: string }[]): Plan => ({ links }) as Plan;
  assert.equal(examineBridges(planWith({}, { bridge: 'br-far', netns: 'far' }), () => true), []);
  const two = planWith({ bridge: 'br-lan' }, { bridge: 'br-wan' }, { bridge: 'br-lan' });
  assert.equal(examineBridges(two, () => false), [{ name: 'bridges: br-lan, br-wan', ok: true, detail: 'frames pass no rules of the box', advice: null }]);
  const [warned] = examineBridges(two, () => true);
  assert.equal([warned!.name, warned!.ok, warned!.isWarning], ['bridges: br-lan, br-wan', true, true]);
  assert.match(warned!.advice!, /sysctl -w net\.bridge\.bridge-nf-call-iptables=0$/);
});

test('devices: raw links need theirs, every link its namespace; none of both is told of where there is none to need', () => {
  const planWith = (...links: { name: string; type: string; device: string; netns?: string }[]): Plan => ({ links }) as Plan;
  const box: Record<string, string[] | null> = { own: ['lo', 'eth0', 'eth1'], '/run/netns/far': ['lo'], '/run/netns/none': null };
  const list = (netns: string | null): string[] | null => box[netns ?? 'own'];
  const lan = { name: 'lan', type: 'raw', device: 'eth0' };
  assert.equal(examineDevices(planWith({ name: 'lan', type: 'tap', device: 'weir-lan' }), list), []);
  assert.equal(examineDevices(planWith(lan, { name: 'wan', type: 'raw', device: 'eth1' }), list), [{ name: 'devices: eth0, eth1', ok: true, detail: 'are there', advice: null }]);
  const wrong = examineDevices(planWith(lan, { name: 'wan', type: 'raw', device: 'eth7' }, { ...lan, name: 'far', netns: 'far' }, { name: 'made', type: 'tap', device: 't0', netns: 'none' }), list);
  assert.equal(wrong.map(({ name, ok, detail, advice }) => [name, ok, detail, advice]), [
    ['link wan', false, "there is no device 'eth7'", 'there are eth0, eth1'],
    ['link far', false, "there is no device 'eth0' in namespace far", 'there is none at all'],
    ['link made', false, "there is no network namespace 'none'", 'make it (ip netns add none), or name another: ip netns lists them'],
  ]);
  const denied = Object.assign(new Error('denied'), { code: 'EPERM', errno: -1, syscall: 'setns' });
  assert.equal(examineDevices(planWith({ name: 'made', type: 'tap', device: 't0', netns: 'far' }), () => { throw denied; }), []);
  // The kernel itself.
  assert.match(examineDevices(planWith({ name: 'wan', type: 'raw', device: 'weir-no-such' }))[0].detail, /^there is no device 'weir-no-such'$/);
  assert.is(examineDevices(planWith({ name: 'wan', type: 'raw', device: 'lo' }))[0].ok, true);
  assert.match(examineDevices(planWith({ name: 'wan', type: 'raw', device: 'lo', netns: 'weir-no-such' }))[0].detail, /no network namespace/);
});

test('what the kernel says of bridged frames: 1, 0, and nothing where br_netfilter is not loaded', () => {
  const root = mkdtempSync(join(tmpdir(), 'weir-proc-'));
  try {
    assert.is(bridgedFramesMeetRules(root), false);
    mkdirSync(join(root, 'sys/net/bridge'), { recursive: true });
    for (const [value, meets] of [['1\n', true], ['0\n', false]] as const) {
      writeFileSync(join(root, 'sys/net/bridge/bridge-nf-call-iptables'), value);
      assert.is(bridgedFramesMeetRules(root), meets);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('nothing is shared: nothing is said', async () => {
  assert.equal(await examineStore({ share: { ...SHARE, store: 'memory' } } as Plan), []);
});

test('a store that can be used, and one that is slow', async () => {
  let nowMs = 0;
  const good = await examineStore(planOf({} as RedisPlan), async () => new MemoryStore(), () => nowMs++ / 2);
  assert.equal(good, [
    { name: 'share: store', ok: true, detail: 'can be used; nobody leases ports', advice: null },
    { name: 'share: latency', ok: true, isWarning: false, detail: '0.50 ms to answer, 0.50 ms at most of 20', advice: null },
  ]);
  const slow = await examineStore(planOf({} as RedisPlan), async () => new MemoryStore(), () => nowMs += 30);
  assert.equal([slow[1]!.ok, slow[1]!.isWarning, slow[1]!.detail], [true, true, '30.00 ms to answer, 30.00 ms at most of 20']);
  assert.match(slow[1]!.advice!, /put the store nearer/);
});

test('what is dangerous in a store\'s settings is told with an advice of its own each', async () => {
  class Warning extends MemoryStore {
    override async open(): Promise<void> {
      await super.open();
      this.onState({ isUsable: true, error: null, server: 'one', warnings: [{ detail: 'it forgets', advice: 'give it a memory' }, { detail: 'it talks', advice: 'close the door' }] });
    }
  }
  const found = (await examineStore(planOf({} as RedisPlan), async () => new Warning())).filter(({ name }) => name === 'share: settings');
  assert.equal(found.map(({ ok, isWarning, detail, advice }) => [ok, isWarning, detail, advice]), [[true, true, 'it forgets', 'give it a memory'], [true, true, 'it talks', 'close the door']]);
});

test('a real server: as it should be, one that evicts, a wrong password, one that is gone', async () => {
  const server = await RedisServer.start();
  try {
    const sound = await examineStore(planOf(server.plan()));
    assert.equal(sound.map(({ name, ok, isWarning = false }) => [name, ok, isWarning]), [['share: store', true, false], ['share: latency', true, sound[1]!.isWarning]]);
    assert.match(sound[1]!.detail, /^\d+\.\d\d ms to answer, \d+\.\d\d ms at most of 20$/);
    server.ask('CONFIG', 'SET', 'maxmemory', '100mb');
    server.ask('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    const evicting = (await examineStore(planOf(server.plan()))).at(-1)!;
    assert.equal([evicting.name, evicting.ok, evicting.isWarning], ['share: settings', true, true]);
    assert.match(evicting.detail, /allkeys-lru/);
    assert.match(evicting.advice!, /noeviction/);
    server.ask('CONFIG', 'SET', 'requirepass', 'sesame');
    const [refused] = await examineStore(planOf({ ...server.plan(), password: 'geheim' }));
    assert.equal([refused!.name, refused!.ok], ['share: store', false]);
    assert.match(refused!.detail, /^refuses the user or the password: /);
    assert.not.match(JSON.stringify(refused), /geheim|sesame/);
  } finally {
    await server.stop();
  }
  const [gone] = await examineStore(planOf(server.plan()));
  assert.match(gone!.detail, /^cannot be reached: /);
  assert.match(gone!.advice!, /see that Redis runs/);
});

const [MASTER, BACKUP] = new FakeView({ share: true }).vrrp() as [VirtualRouterStatus, VirtualRouterStatus];
const SOUND = { ...BACKUP, trouble: null };

test('virtual routers that are as they should be', () => {
  assert.equal(examineVrrp([MASTER, SOUND], [{ ...MASTER, sent: 109_000 }, { ...SOUND, received: 109_000 }]), [
    { name: 'vrrp: lan-side', ok: true, detail: 'master; priority 200', advice: null },
    { name: 'vrrp: wan-side', ok: true, detail: 'backup, 198.51.100.3 is master; priority 100 of 150', advice: null },
  ]);
});

test('two masters, adverts that do not fit, and those that stand aside', () => {
  const one = (before: VirtualRouterStatus, after: VirtualRouterStatus) => examineVrrp([before], [after])[0]!;
  const deaf = one(MASTER, { ...MASTER, received: MASTER.received + 3 });
  assert.equal([deaf.ok, deaf.detail], [false, 'two masters: this one is, and another router tells of itself as well']);
  assert.match(deaf.advice!, /does not reach the other one/);
  const unlike = one(MASTER, { ...MASTER, refused: MASTER.refused + 3, trouble: BACKUP.trouble });
  assert.equal([unlike.ok, unlike.detail], [false, 'two masters: this one is, and 198.51.100.9 tells of itself as well with adverts that do not fit (a wrong checksum)']);
  assert.match(one(BACKUP, BACKUP).detail, /^adverts of 198\.51\.100\.9 do not fit: /);
  assert.is(one(BACKUP, BACKUP).ok, false);
  // Who became master in between may have heard the one before.
  assert.is(one(SOUND, { ...MASTER, received: 9_999_999 }).ok, true);
  const aside = (reason: string): VirtualRouterStatus => ({ ...SOUND, state: 'init', reason, master: null });
  const drained = one(aside(VRRP_WORDS.drained), aside(VRRP_WORDS.drained));
  assert.equal([drained.ok, drained.isWarning, drained.advice], [true, true, 'weir undrain']);
  assert.is(one(aside(VRRP_WORDS.linkDown), aside(VRRP_WORDS.linkDown)).ok, false);
});

test.run();
