/**
 * How many clients come to another server than the one they had, by what has happened in between: the figures schedulers state in `moves` and
 * docs/schedulers.md shows.
 *
 * CLIENTS clients come once each, in an order drawn from a seed; their flows live until all have come and are gone before anything happens. Then they
 * come again, in another order. Ten servers have the same weight and room for all. What a client is, the scheduler's `by` says: with destinations
 * it is a destination.
 */
import { finish, mix } from '../../src/base/hash.js';
import { Random } from '../../src/base/random.js';
import { Pool } from '../../src/balance/pool.js';
import type { Moves, Scheduler, SchedulerOptions, SchedulerType } from '../../src/balance/scheduler/scheduler.js';
import type { Target } from '../../src/balance/target.js';

export const SERVERS = 10;
/** Fewer than lblc and lblcr remember. */
export const CLIENTS = 4000;
/** So much that nobody is overloaded in the eyes of lblc, and ovf fills a few of them. */
const WEIGHT = 1000;
const NONE = -1;

export function options(fallBack = true, seed = 1, nowMs: () => number = () => 0): SchedulerOptions {
  return { fallBack, random: new Random(seed), nowMs };
}

/** A target like the owners of pools make them; the same number gives the same key. */
export function target(number: number, weight: number): Target {
  return { weight, isUsable: true, chosen: 0, active: 0, inactive: 0, key: finish(mix(7, number)) };
}

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Each client's server by its key, or NONE. */
function visit(pool: Pool, scheduler: Scheduler, random: Random): number[] {
  const servers = new Array<number>(CLIENTS).fill(NONE);
  for (const client of shuffled(CLIENTS, random)) {
    const place = scheduler.pick(finish(mix(3, client)));
    if (place === NONE) continue;
    servers[client] = pool.targets[place].key;
    pool.targets[place].active++;
  }
  for (const one of pool.targets) one.active = 0;
  return servers;
}

/** What has happened, in the order of the table. */
export const EVENTS: readonly (keyof Moves)[] = ['again', 'down', 'back', 'added', 'removed', 'halved'];

/** Clients in a hundred that have moved. */
export function moved(type: SchedulerType, event: keyof Moves): number {
  const numbers = Array.from({ length: SERVERS }, (_, i) => i);
  const random = new Random(11);
  const pool = new Pool(numbers.map((number) => target(number, WEIGHT)));
  const scheduler = type.create(pool, options());
  const [first] = pool.targets;
  if (event === 'back') pool.set(first, { isUsable: false });
  const before = visit(pool, scheduler, random);
  if (event === 'down') pool.set(first, { isUsable: false });
  if (event === 'back') pool.set(first, { isUsable: true });
  if (event === 'halved') pool.set(first, { weight: WEIGHT / 2 });
  let after: number[];
  if (event === 'added' || event === 'removed') {
    const changed = new Pool((event === 'added' ? [...numbers, SERVERS] : numbers.slice(1)).map((number) => target(number, WEIGHT)));
    after = visit(changed, type.create(changed, options()), random);
  } else {
    after = visit(pool, scheduler, random);
  }
  return (after.filter((server, client) => server !== before[client]).length * 100) / CLIENTS;
}

/** The least part of the clients a split by weight has to move. */
export const LEAST: Moves = {
  again: 0, down: 100 / SERVERS, back: 100 / SERVERS, added: 100 / (SERVERS + 1), removed: 100 / SERVERS, halved: 100 / SERVERS - 50 / (SERVERS - 0.5),
};
