/**
 * What a person may ask of this instance as a whole: to stand aside so that another one takes over without a loss, to take part again, and who has
 * which ports. In order, for standing aside: the store gets all it has not got yet, the elections are resigned, other routers are heard in this one's place,
 * and what has happened meanwhile is written as well; each step has its time, and what did not come about in it is said.
 */
import type { Lease } from '../share/store.js';
import type { InstanceOutcome, LeaseReport } from './api/share-types.js';
import type { ShareView } from './share-view.js';
import type { VrrpView } from './vrrp-view.js';

/** What may be asked of the share worker. */
export interface ShareOrders {
  /** Write what waits. Gives null, or why not all was written in time. */
  flush(withinMs: number): Promise<string | null>;
  /** Tell the others that this instance stands aside, or does not any more. */
  drain(isDrained: boolean): void;
  /** Everything that is leased, by everyone. Rejects when the store cannot be asked. */
  leases(): Promise<readonly Lease[]>;
}

export interface InstanceOptions {
  view: { readonly sharing: ShareView; readonly elections: VrrpView };
  /** Null where nothing is shared. */
  share: () => ShareOrders | null;
  /** Tell the election. */
  resign: (isDrained: boolean) => void;
}

/** Together less than a client waits for an answer. */
const FLUSH_MS = 3000;
const TAKEN_MS = 4000;
const LAST_FLUSH_MS = 1500;
/** Between two looks at the elections. */
const LOOK_MS = 10;

export class Instance {
  readonly #view: InstanceOptions['view'];
  readonly #share: () => ShareOrders | null;
  readonly #resign: (isDrained: boolean) => void;
  /** Orders are carried out one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ view, share, resign }: InstanceOptions) {
    this.#view = view;
    this.#share = share;
    this.#resign = resign;
  }

  drain(isDrained: boolean): Promise<InstanceOutcome> {
    const done = this.#last.then(() => (isDrained ? this.#standAside() : this.#takePart()));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async leases(): Promise<LeaseReport> {
    const share = this.#share();
    if (share === null) return { leases: [], reason: null };
    try {
      return { leases: (await share.leases()).map((lease) => this.#view.sharing.leaseOf(lease)), reason: null };
    } catch (error) {
      return { leases: this.#view.sharing.ownLeases(), reason: error instanceof Error ? error.message : String(error) };
    }
  }

  async #standAside(): Promise<InstanceOutcome> {
    const startedAtMs = performance.now();
    const share = this.#share();
    share?.drain(true);
    let flushError = share === null ? null : await this.#flush(share, FLUSH_MS);
    // By name: the adverts taken until now. The next one is another master's.
    const masters = new Map(this.#view.elections.list().flatMap(({ name, state, received }) => (state === 'master' ? [[name, received]] : [])));
    this.#view.sharing.isDrained = true;
    this.#resign(true);
    const unclaimed = await this.#untilTaken(masters);
    if (share !== null && masters.size > 0) flushError = await this.#flush(share, LAST_FLUSH_MS);
    return { isFlushed: share === null ? null : flushError === null, flushError, unclaimed, tookMs: Math.round(performance.now() - startedAtMs) };
  }

  /** Null, or why the others do not have all that is ours. */
  async #flush(share: ShareOrders, withinMs: number): Promise<string | null> {
    const error = await share.flush(withinMs);
    // Nothing may wait, and yet a store that is away may have forgotten what it had.
    return error ?? this.#view.sharing.whyUnusable();
  }

  #takePart(): Promise<InstanceOutcome> {
    this.#view.sharing.isDrained = false;
    this.#resign(false);
    this.#share()?.drain(false);
    return Promise.resolve({ isFlushed: null, flushError: null, unclaimed: [], tookMs: 0 });
  }

  /** Wait until another master is heard in each of these virtual routers; gives those where none was in time. */
  async #untilTaken(masters: ReadonlyMap<string, number>): Promise<string[]> {
    const unclaimed = (): string[] => this.#view.elections.list()
      .flatMap(({ name, state, received }) => (masters.has(name) && (state === 'master' || received === masters.get(name)) ? [name] : []));
    for (const endMs = performance.now() + TAKEN_MS; unclaimed().length > 0 && performance.now() < endMs;) {
      await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
    }
    return unclaimed();
  }
}
