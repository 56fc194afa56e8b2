/**
 * Names in targets, resolved over the same way the check itself takes: a resolver bound to the same local address asks the box's name servers
 * (or those given). An answer is good for its TTL, within bounds. When resolving fails, the last good answer serves on, for a name server that is
 * down must not take down what it is not: and the result says so when the check fails.
 */
import { Resolver } from 'node:dns';
import { isIP } from 'node:net';
import { systemClock } from '../../base/clock.js';
import type { Clock } from '../../base/clock.js';
import { failed, TIMED_OUT } from './attempt.js';
import type { Attempts, Finish } from './attempt.js';
import type { CheckContext, ProbeResult } from './check.js';
import { phraseOf } from './reason.js';

/** An answer is asked for anew after its TTL, but no sooner and no later than this. */
const TTL_LEAST_MS = 1_000;
const TTL_MOST_MS = 300_000;
/** While an older answer is at hand, this part of the time limit may go into getting a newer one. */
const REFRESH_PART = 1 / 2;

export interface Resolved {
  /** Null: none was ever found. */
  address: string | null;
  /** Why resolving failed this time, one phrase; null when it did not, or was not needed. */
  reason: string | null;
}

/** A resolver as one question wants it: bound, asked once, with its own time limit and nothing remembered (c-ares keeps answers and adapts its limits). */
export function resolverFor(servers: readonly string[] | undefined, localAddress: string | undefined, timeoutMs: number): Resolver {
  const resolver = new Resolver({ timeout: Math.max(1, Math.ceil(timeoutMs)), tries: 1 });
  if (servers !== undefined) resolver.setServers(servers);
  if (localAddress !== undefined && isIP(localAddress) === 4) resolver.setLocalAddress(localAddress);
  return resolver;
}

export class Name {
  readonly host: string;
  private readonly context: CheckContext;
  private readonly clock: Clock;
  private address: string | null = null;
  private freshUntilMs = -Infinity;

  constructor(host: string, context: CheckContext, clock: Clock = systemClock) {
    this.host = host;
    this.context = context;
    this.clock = clock;
    if (isIP(host) !== 0) {
      this.address = host;
      this.freshUntilMs = Infinity;
    }
  }

  /** Calls back once, perhaps at once; the function given back stops it, after which nothing is called. */
  resolve(timeoutMs: number, found: (resolved: Resolved) => void): () => void {
    if (this.clock.nowMs() < this.freshUntilMs) {
      found({ address: this.address, reason: null });
      return () => {};
    }
    let isOver = false;
    const limitMs = this.address === null ? timeoutMs : timeoutMs * REFRESH_PART;
    const resolver = resolverFor(this.context.nameServers, this.context.localAddress, limitMs);
    const end = (reason: string | null): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      resolver.cancel();
      found({ address: this.address, reason });
    };
    // Several servers are asked one after the other, each with the resolver's limit; this is the limit of them all.
    const timer = setTimeout(() => { end(TIMED_OUT); }, limitMs);
    resolver.resolve4(this.host, { ttl: true }, (error, records) => {
      if (isOver) return;
      if (error === null && records.length > 0) {
        // The one of before is kept while it is among them: what is checked should not change with the order of an answer.
        const same = records.find(({ address }) => address === this.address) ?? records[0];
        this.address = same.address;
        this.freshUntilMs = this.clock.nowMs() + Math.min(Math.max(same.ttl * 1000, TTL_LEAST_MS), TTL_MOST_MS);
      }
      end(error === null ? null : phraseOf(error));
    });
    return () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      resolver.cancel();
    };
  }
}

/** An attempt at a host by name or address: `begin` gets the address to try. The reason says when it was the resolving that failed, and what of. */
export function attemptByName(
  attempts: Attempts, name: Name, timeoutMs: number, signal: AbortSignal, begin: (address: string, finish: Finish) => () => void,
): Promise<ProbeResult> {
  let resolved: Resolved | null = null;
  const told = (reason: string): string => {
    if (resolved === null) return `resolving ${name.host} failed: ${reason}`;
    return resolved.reason === null ? reason : `${reason} (by its last known address ${resolved.address}, for resolving ${name.host} failed: ${resolved.reason})`;
  };
  return attempts.run(timeoutMs, signal, (finish) => {
    let undo = (): void => {};
    const stopResolving = name.resolve(timeoutMs, (answer) => {
      if (answer.address === null) {
        finish(failed(told(answer.reason ?? 'no address')));
        return;
      }
      resolved = answer;
      undo = begin(answer.address, (result) => { finish(result.reason === null ? result : { ...result, reason: told(result.reason) }); });
    });
    return () => {
      stopResolving();
      undo();
    };
  }, () => told(TIMED_OUT));
}
