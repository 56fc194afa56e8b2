/**
 * How checks of other balancers run, in weir's terms. BalanceNG gives two numbers of seconds: how often something is asked, and how long it may have
 * been without a good answer until it is down. weir counts bad rounds, so the two are taken apart: after `fall` rounds without an answer, the last
 * of which was waited for as long as `timeout`, exactly that time has gone by since the last round that was answered began. keepalived asks again
 * more quickly once an answer was bad, `retry` times; here rounds stay as far apart as they are, so it is the time of these that counts.
 */

export interface Pace { interval: string; timeout: string; fall: number; rise: number }

const SECONDS_MAX = 3600;
const FALL_MAX = 1000;

/** 'I,T' in whole seconds; undefined when it is something else. */
export function readPace(text: string): { intervalSeconds: number; downSeconds: number } | undefined {
  const match = /^(\d{1,4}),(\d{1,4})$/.exec(text);
  if (match === null) return undefined;
  const [intervalSeconds, downSeconds] = [Number(match[1]), Number(match[2])];
  const fits = [intervalSeconds, downSeconds].every((seconds) => seconds >= 1 && seconds <= SECONDS_MAX);
  return fits ? { intervalSeconds, downSeconds } : undefined;
}

/** The rounds and the timeout by which something silent is down after `downSeconds`; a first bad round is the least there can be. */
export function paceOf(intervalSeconds: number, downSeconds: number): Pace {
  const fall = Math.max(1, Math.ceil(downSeconds / intervalSeconds) - 1);
  const timeoutSeconds = Math.min(intervalSeconds, Math.max(1, downSeconds - fall * intervalSeconds));
  return { interval: `${intervalSeconds}s`, timeout: `${timeoutSeconds}s`, fall, rise: 1 };
}

/**
 * keepalived's way: after a bad answer it asks `retries` times more, each `waitSeconds` after the one before. As many rounds until it is down as
 * take at least that long; a single one where it does not ask again.
 */
export function paceOfRetries(intervalSeconds: number, retries: number, waitSeconds: number): number {
  return retries === 0 ? 1 : Math.min(FALL_MAX, 1 + Math.max(1, Math.ceil((retries * waitSeconds) / intervalSeconds)));
}
