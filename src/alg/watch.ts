/**
 * The control flows under watch: which ports the plan has watched, and what the ALGs know of each flow, in a pool that grows up to WATCHED_MAX
 * and is used again ever after.
 */
import type { AlgPlan } from '../base/plan.js';
import type { Tuple } from '../wire/tuple.js';
import { AlgCounts, Conversation } from './alg.js';
import type { Alg } from './alg.js';
import { ALGS } from './registry.js';

const NONE = -1;

/** Control flows watched at once, about 2 KB each when used; more pass unwatched and are counted. */
const WATCHED_MAX = 8192;

export class Watch {
  readonly algs: readonly Alg[];
  /** By ALG, in the plan's order. */
  readonly counts: readonly AlgCounts[];
  /** Ports watched: protocol << 16 | port, and the ALG of each. */
  private readonly keys: Int32Array;
  private readonly places: Int32Array;
  private readonly conversations: Conversation[] = [];
  private readonly free: number[] = [];

  constructor(plan: readonly AlgPlan[]) {
    this.algs = plan.map(({ name }) => ALGS[name]);
    this.counts = plan.map(() => new AlgCounts());
    const watched = plan.flatMap(({ ports }, place) => ports.map((port) => ({ key: (this.algs[place].protocol << 16) | port, place })));
    this.keys = Int32Array.from(watched, ({ key }) => key);
    this.places = Int32Array.from(watched, ({ place }) => place);
  }

  /** The ALG that watches flows to either of two ports (as the client and as the server knows it), or NONE. A few ports at most: no table. */
  find(protocol: number, port: number, otherPort: number): number {
    const { keys } = this;
    const key = (protocol << 16) | port;
    const otherKey = (protocol << 16) | otherPort;
    for (let i = 0; i < keys.length; i++) if (keys[i] === key || keys[i] === otherKey) return this.places[i];
    return NONE;
  }

  /** Watch a flow with these two tuples; its place, or NONE when there are too many. */
  open(flow: number, alg: number, original: Tuple, reply: Tuple): number {
    let place = this.free.pop();
    if (place === undefined) {
      if (this.conversations.length === WATCHED_MAX) {
        this.counts[alg].unwatched++;
        return NONE;
      }
      place = this.conversations.push(new Conversation()) - 1;
    }
    this.counts[alg].watched++;
    this.conversations[place].open(flow, alg, original, reply);
    return place;
  }

  at(place: number): Conversation { return this.conversations[place]; }

  close(place: number): void {
    this.counts[this.conversations[place].alg].watched--;
    this.free.push(place);
  }
}
