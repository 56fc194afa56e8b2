/**
 * What `weir doctor` finds out about the things a configuration names: the devices its links take over; the bridges of its tap links; the store several instances share by, which is asked the way the
 * daemon asks it and left as it was; and the virtual routers of a running weir, which are looked at twice.
 */
import { isPermissionError, isSystemError } from '../base/error.js';
import type { Plan } from '../base/plan.js';
import { BRIDGE_RULES_SETTING, bridgedFramesMeetRules } from '../link/bridge-rules.js';
import { netnsPath } from '../link/host.js';
import { Rtnetlink } from '../link/rtnetlink.js';
import { createStore } from '../share/registry.js';
import { StoreError } from '../share/store.js';
import type { Store, StoreState, StoreTrouble, StoreWarning } from '../share/store.js';
import type { VrrpTrouble } from '../stage/election.js';
import type { VirtualRouterStatus } from './api/share-types.js';
import { TROUBLES } from './share-view.js';
import { VRRP_WORDS } from './vrrp-event.js';

/** As link/probe.ts gives them; a warning is nothing wrong, but worth knowing. */
export interface Examined { name: string; ok: boolean; isWarning?: boolean; detail: string; advice: string | null }

/** Questions the latency is taken from. */
const ROUNDS = 20;
/** Above this, a flow's first packets may be older than what others know of it when they take over. */
const LATENCY_WARNS_MS = 20;

const STORE_ADVICE: Readonly<Partial<Record<StoreTrouble, string>>> = {
  unreachable: 'see that Redis runs and listens where share.redis says, and that the box reaches it by another way than through weir itself',
  slow: 'see what else the server does (redis-cli --latency, SLOWLOG), or give share.redis.timeout more',
  full: 'give the server more memory (maxmemory), or it can take no new flows',
  'read-only': 'share.redis must lead to the master: this is a replica, or a server that has lost its replicas or its disk',
  'failing-over': 'wait until the failover is over; sentinels find the new master by themselves',
  loading: 'wait until the server has read its data',
  'wrong-password': 'set share.redis.username and password, or passwordFile',
  'no-permission': 'give the user what docs/sharing.md lists (ACL SETUSER)',
  'wrong-version': 'Redis 6.2 or newer is needed',
};

const VRRP_ADVICE: Readonly<Record<VrrpTrouble, string>> = {
  addresses: 'give the virtual router the same addresses in all its routers', interval: 'give it the same interval in all its routers', version: 'give it the same version in all its routers',
  authentication: 'give it the same password in all its routers, or none', checksum: 'the adverts are damaged on their way, or the other router is not what it says',
  hops: 'adverts came through a router: they must be sent on the wire itself', peer: 'name each router as the other one\'s peer, or none as anybody\'s',
  owner: 'only one router can own the addresses: give all others a priority below 255',
};

/** The names of a namespace's devices (a path; null = our own); null when there is no such namespace. */
function devicesOf(netns: string | null): string[] | null {
  let rtnetlink: Rtnetlink;
  try {
    rtnetlink = new Rtnetlink(netns ?? undefined);
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENOENT') return null;
    throw error;
  }
  try {
    return rtnetlink.devices().map(({ name }) => name);
  } finally {
    rtnetlink.close();
  }
}

/** Whether what the links need is there: the namespaces of all, the devices of raw ones, which weir does not make. */
export function examineDevices({ links }: Plan, list: (netns: string | null) => string[] | null = devicesOf): Examined[] {
  const wrong: Examined[] = [];
  for (const { name, type, device, netns } of links) {
    let found: string[] | null;
    try {
      found = list(netnsPath(netns));
    } catch (error) {
      // Without the right to look into a namespace nothing is known of it, and the privileges have been told of.
      if (isPermissionError(error)) continue;
      throw error;
    }
    const place = netns === undefined ? '' : ` in namespace ${netns}`;
    if (found === null) {
      wrong.push({ name: `link ${name}`, ok: false, detail: `there is no network namespace '${netns}'`, advice: `make it (ip netns add ${netns}), or name another: ip netns lists them` });
    } else if (type === 'raw' && !found.includes(device)) {
      const others = found.filter((other) => other !== 'lo');
      wrong.push({ name: `link ${name}`, ok: false, detail: `there is no device '${device}'${place}`, advice: others.length === 0 ? 'there is none at all' : `there are ${others.join(', ')}` });
    }
  }
  const raw = links.filter(({ type }) => type === 'raw');
  if (wrong.length > 0 || raw.length === 0) return wrong;
  return [{ name: `devices: ${raw.map(({ device }) => device).join(', ')}`, ok: true, detail: raw.length === 1 ? 'is there' : 'are there', advice: null }];
}

/** Bridged tap links of the box's own namespace; nothing when there are none. */
export function examineBridges({ links }: Plan, meetRules: () => boolean = bridgedFramesMeetRules): Examined[] {
  const bridges = [...new Set(links.flatMap(({ bridge, netns }) => (bridge === undefined || netns !== undefined ? [] : [bridge])))];
  if (bridges.length === 0) return [];
  const name = `bridges: ${bridges.join(', ')}`;
  if (!meetRules()) return [{ name, ok: true, detail: 'frames pass no rules of the box', advice: null }];
  return [{
    name, ok: true, isWarning: true, detail: `frames also pass the box's own filter rules (${BRIDGE_RULES_SETTING})`,
    advice: `a forward policy of drop, as container software sets one, drops them, and every packet costs more; unless you filter on bridges: sysctl -w ${BRIDGE_RULES_SETTING}=0`,
  }];
}

/** The store of a plan; nothing when nothing is shared. */
export async function examineStore({ share }: Plan, create: (plan: Plan['share']) => Promise<Store> = createStore, nowMs: () => number = () => performance.now()): Promise<Examined[]> {
  if (share.store === 'memory') return [];
  const store = await create(share);
  let warnings: readonly StoreWarning[] = [];
  store.onState = (state: StoreState) => { warnings = state.warnings; };
  try {
    await store.open();
    const tookMs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const beganMs = nowMs();
      await store.fetch(new Uint8Array([0]));
      tookMs.push(nowMs() - beganMs);
    }
    tookMs.sort((a, b) => a - b);
    const typicalMs = tookMs[ROUNDS >> 1];
    const isSlow = typicalMs > LATENCY_WARNS_MS;
    const leases = await store.leases();
    const holders = [...new Set(leases.map(({ instance }) => instance))];
    return [
      { name: 'share: store', ok: true, detail: `can be used; ${holders.length === 0 ? 'nobody leases ports' : `ports are leased by ${holders.join(', ')}`}`, advice: null },
      {
        name: 'share: latency', ok: true, isWarning: isSlow, detail: `${typicalMs.toFixed(2)} ms to answer, ${tookMs[ROUNDS - 1].toFixed(2)} ms at most of ${ROUNDS}`,
        advice: isSlow ? 'changes are that much older for the others; put the store nearer, or see what else it does' : null,
      },
      ...warnings.map(({ detail, advice }): Examined => ({ name: 'share: settings', ok: true, isWarning: true, detail, advice })),
    ];
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [{ name: 'share: store', ok: false, detail: `${TROUBLES[error.trouble]}: ${error.message}`, advice: STORE_ADVICE[error.trouble] ?? null }];
  } finally {
    await store.close();
  }
}

/** Virtual routers as they stood, and as they stand some adverts later. */
export function examineVrrp(before: readonly VirtualRouterStatus[], after: readonly VirtualRouterStatus[]): Examined[] {
  return after.map((row): Examined => {
    const name = `vrrp: ${row.name}`;
    const earlier = before.find((one) => one.name === row.name);
    const heard = earlier === undefined ? 0 : row.received - earlier.received + row.refused - earlier.refused;
    const advice = row.trouble === null ? null : VRRP_ADVICE[row.trouble.kind];
    if (row.state === 'master' && earlier?.state === 'master' && heard > 0) {
      const who = row.trouble === null ? 'another router' : row.trouble.from;
      return {
        name, ok: false, detail: `two masters: this one is, and ${who} tells of itself as well${row.trouble === null ? '' : ` with adverts that do not fit (${row.trouble.detail})`}`,
        advice: advice ?? 'what this router sends does not reach the other one: look for a filter or a switch that keeps 224.0.0.18 (protocol 112) from it, or name peers',
      };
    }
    if (row.trouble !== null) return { name, ok: false, detail: `adverts of ${row.trouble.from} do not fit: ${row.trouble.detail}`, advice };
    if (row.state === 'init') {
      const isWanted = row.reason === VRRP_WORDS.drained || row.reason === VRRP_WORDS.notReady;
      return { name, ok: isWanted, isWarning: isWanted, detail: `does not take part: ${row.reason}`, advice: row.reason === VRRP_WORDS.drained ? 'weir undrain' : null };
    }
    const state = row.state === 'master' ? 'master' : `backup, ${row.master ?? 'nobody'} is master`;
    return { name, ok: true, detail: `${state}; priority ${row.effectivePriority === row.priority ? row.priority : `${row.effectivePriority} of ${row.priority}`}`, advice: null };
  });
}
