/** What the main thread knows of virtual routers: their counters in shared memory, and the last trouble with the adverts of others. */
import type { Plan } from '../base/plan.js';
import type { VrrpNotice } from '../stage/election.js';
import type { Counters } from '../table/counters.js';
import { NOW_MS, UPLINK_USABLE, VIRTUAL_UP } from '../table/counters.js';
import { readVrrp } from '../vrrp/status.js';
import { parseIpv4 } from '../wire/address.js';
import type { VirtualRouterStatus, VirtualRouterTrouble } from './api/share-types.js';
import type { Problem } from './api/types.js';
import { VRRP_WORDS } from './vrrp-event.js';

/** A trouble is shown for so long after it was last told. */
const TROUBLE_MS = 600_000;

/** What keeps a virtual router out for a reason that is as it should be. */
const WANTED_REASONS: readonly string[] = [VRRP_WORDS.drained, VRRP_WORDS.notReady];

export class VrrpView {
  readonly #plan: Plan;
  readonly #counters: Counters;
  readonly #isLinkUp: (link: number) => boolean;
  readonly #troubles: (VirtualRouterTrouble | null)[];

  constructor(plan: Plan, counters: Counters, isLinkUp: (link: number) => boolean) {
    this.#plan = plan;
    this.#counters = counters;
    this.#isLinkUp = isLinkUp;
    this.#troubles = plan.vrrp.map(() => null);
  }

  /** The data plane has told of adverts that do not fit. */
  note({ virtualRouter, trouble, from, detail }: Extract<VrrpNotice, { event: 'vrrpTrouble' }>): void {
    this.#troubles[virtualRouter] = { kind: trouble, from, detail, atMs: Date.now() };
  }

  list(): VirtualRouterStatus[] {
    const { links, uplinks, virtualServers, vrrp } = this.#plan;
    const nowMs = this.#counters.getRouter(NOW_MS);
    const unixMs = Date.now();
    const things = { link: links, uplink: uplinks, virtualServer: virtualServers };
    return vrrp.map((plan) => {
      const { state, reason, sinceMs, ...rest } = readVrrp(this.#counters, plan, nowMs);
      const trouble = this.#troubles[plan.index];
      return {
        name: plan.name, link: links[plan.link].name, id: plan.id, version: plan.version,
        addresses: plan.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`), syncGroup: plan.syncGroup ?? null,
        state, reason: VRRP_WORDS[reason], sinceMs: Math.round(unixMs - sinceMs),
        priority: rest.priority, effectivePriority: rest.effectivePriority, master: rest.master, masterPriority: rest.masterPriority,
        advertIntervalMs: plan.advertIntervalMs, preempt: plan.preempt,
        track: plan.track.map(({ kind, index, weight }) => ({ kind, name: things[kind][index].name, weight, isDown: !this.#isUp(kind, index) })),
        trouble: trouble === null || unixMs - trouble.atMs > TROUBLE_MS ? null : trouble,
        sent: rest.sent, received: rest.received, refused: rest.refused, transitions: rest.transitions,
      };
    });
  }

  /** Addresses (int32) of virtual routers of which this one is not master. */
  addressesElsewhere(): Set<number> {
    const nowMs = this.#counters.getRouter(NOW_MS);
    return new Set(this.#plan.vrrp.flatMap((plan) => (readVrrp(this.#counters, plan, nowMs).state === 'master' ? [] : plan.addresses.map(({ address }) => parseIpv4(address)))));
  }

  #isUp(kind: 'link' | 'uplink' | 'virtualServer', index: number): boolean {
    if (kind === 'link') return this.#isLinkUp(index);
    return kind === 'uplink' ? this.#counters.uplink(index, UPLINK_USABLE) === 1 : this.#counters.virtualServer(index, VIRTUAL_UP) === 1;
  }
}

/** What a person should be told on the first screen. */
export function vrrpProblems({ name, state, reason, trouble, track }: VirtualRouterStatus): Problem[] {
  const subject = `vrrp ${name}`;
  const problems: Problem[] = [];
  if (state === 'init' && !WANTED_REASONS.includes(reason)) {
    const down = track.filter(({ weight, isDown }) => isDown && weight === 0).map((row) => row.name);
    problems.push({ severity: 'error', subject, message: `does not take part: ${reason}${down.length === 0 ? '' : ` (${down.join(', ')})`}` });
  }
  if (trouble !== null) problems.push({ severity: 'warning', subject, message: `adverts of ${trouble.from} do not fit: ${trouble.detail}` });
  return problems;
}
