/**
 * What the main thread knows of sharing: the worker's last word, aged by the time since, and what of it a person should be told first.
 */
import type { Plan } from '../base/plan.js';
import { leaseRow } from '../share/lease-row.js';
import type { ShareStatus } from '../share/status.js';
import type { Lease, StoreTrouble } from '../share/store.js';
import type { LeaseStatus, ShareReport } from './api/share-types.js';
import type { Problem } from './api/types.js';

/** What is wrong with a store, in words. */
export const TROUBLES: Readonly<Record<StoreTrouble, string>> = {
  unreachable: 'cannot be reached', slow: 'answers too slowly', full: 'is full', 'read-only': 'takes no writes', 'failing-over': 'is failing over', loading: 'is still loading its data',
  'wrong-password': 'refuses the user or the password', 'no-permission': 'forbids this user what is needed', 'wrong-version': 'is of a version that will not do', fenced: 'has let another instance take over from this one',
  namesake: 'has another living instance of this name',
  settling: 'gives no leases yet', closed: 'was closed', other: 'fails',
};

/** Of what may wait to be written: from here on it is told. */
const QUEUE_WARNS = 0.8;
/** An address with so little time left on all it has leased is told of. */
const LEASE_WARNS_MS = 30_000;

const seconds = (ms: number): string => (ms < 60_000 ? `${Math.round(ms / 1000)} s` : ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`);

export class ShareView {
  readonly #plan: Plan;
  readonly #nowMs: () => number;
  readonly #board: SharedArrayBuffer | null;
  #status: ShareStatus | null = null;
  #toldAtMs = 0;
  /** This instance was drained by hand. */
  isDrained = false;

  /** @param board ports of leased addresses (table/lease-board.ts); null = there are none. */
  constructor(plan: Plan, nowMs: () => number, board: SharedArrayBuffer | null = null) {
    this.#plan = plan;
    this.#nowMs = nowMs;
    this.#board = board;
  }

  /** The share worker's word on how it stands. */
  set(status: ShareStatus): void {
    this.#status = status;
    this.#toldAtMs = this.#nowMs();
  }

  report(): ShareReport {
    const { store, instance } = this.#plan.share;
    return { store, instance, isDrained: this.isDrained, status: this.#aged() };
  }

  /** Why nothing can be written now, one phrase; null = it can. */
  whyUnusable(): string | null {
    const status = this.#status;
    if (status === null) return 'the store has not been reached yet';
    if (status.trouble !== null) return `the store ${TROUBLES[status.trouble.kind]}: ${status.trouble.message}`;
    return status.isUsable ? null : `the store is not in use (${status.phase})`;
  }

  /** Our own leases, as far as they are known without the store. */
  ownLeases(): LeaseStatus[] {
    const { instance } = this.#plan.share;
    const status = this.#aged();
    if (status === null) return [];
    return status.leases.flatMap(({ address, held, leftMs }) => held.map((block) => this.leaseOf({ address, block, instance, generation: status.generation ?? 0, leftMs: leftMs ?? 0 })));
  }

  /** A lease, its ports, and how full the block is. */
  leaseOf(lease: Lease): LeaseStatus { return { ...leaseRow(this.#plan, this.#board, lease), leftMs: Math.round(lease.leftMs) }; }

  /** What a person should be told on the first screen. */
  problems(): Problem[] {
    const problems: Problem[] = [];
    if (this.isDrained) problems.push({ severity: 'warning', subject: 'instance', message: 'drained by hand: it stands aside in every election until weir undrain' });
    const status = this.#aged();
    if (status === null) {
      if (this.#plan.share.store === 'redis') problems.push({ severity: 'error', subject: 'share', message: 'not connected to the store yet' });
      return problems;
    }
    problems.push(...phaseProblems(status));
    for (const warning of status.warnings) problems.push({ severity: 'warning', subject: 'share', message: warning });
    if (status.queue > status.queueLimit * QUEUE_WARNS) problems.push({ severity: 'warning', subject: 'share', message: `${status.queue} of ${status.queueLimit} changes wait to be written (limits.sharedChanges)` });
    for (const { address, held, leftMs } of status.leases) {
      if (held.length === 0) problems.push({ severity: 'error', subject: 'share', message: `no ports of ${address} are leased: new flows cannot be translated to it` });
      else if (leftMs !== null && leftMs < LEASE_WARNS_MS) problems.push({ severity: 'warning', subject: 'share', message: `the leased ports of ${address} may be used for ${seconds(leftMs)} more` });
    }
    return problems;
  }

  /** The worker's last word as of now: what lasts has lasted longer since. */
  #aged(): ShareStatus | null {
    const status = this.#status;
    if (status === null) return null;
    const passedMs = Math.max(0, Math.round(this.#nowMs() - this.#toldAtMs));
    const less = (ms: number | null): number | null => (ms === null ? null : Math.max(0, ms - passedMs));
    return {
      ...status, forMs: status.forMs + passedMs,
      trouble: status.trouble === null ? null : { ...status.trouble, forMs: status.trouble.forMs + passedMs, nextTryMs: less(status.trouble.nextTryMs) },
      peers: status.peers.map((peer) => ({ ...peer, ageMs: peer.ageMs + passedMs })),
      leases: status.leases.map((lease) => ({ ...lease, leftMs: less(lease.leftMs) })),
    };
  }
}

function phaseProblems({ isUsable, phase, trouble, load, forMs }: ShareStatus): Problem[] {
  const error = (message: string): Problem[] => [{ severity: 'error', subject: 'share', message }];
  if (trouble !== null) return error(`the store ${TROUBLES[trouble.kind]}, for ${seconds(trouble.forMs)}: ${trouble.message}; flows go on but are not shared`);
  if (isUsable || phase === 'stopping') return [];
  if (phase === 'loading') {
    const part = load === null || load.total === 0 ? '' : `: ${load.records} of about ${load.total} records`;
    return [{ severity: 'warning', subject: 'share', message: `what others have written is being loaded${part}` }];
  }
  // It has been reached; after another instance has taken over from this one that is a matter of moments.
  if (phase === 'registering') return [{ severity: 'warning', subject: 'share', message: 'this instance registers with the store' }];
  return error(`not connected to the store, for ${seconds(forMs)}`);
}
