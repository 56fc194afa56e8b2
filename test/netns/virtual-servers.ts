/** What the tests of the scenarios with virtual servers share: what the daemon tells, how its servers stand, and judging requests under a steady load. */
import * as assert from 'uvu/assert';
import type { Daemon } from '../../netns/kit/weir.js';
import type { RequestResult } from '../../netns/kit/web.js';
import { waitFor } from '../../netns/kit/wait.js';

export const WAIT_MS = 30_000;
/** A split that chance makes less often than this is none. */
export const CHANCE = 0.001;

export interface Event { atMs: number; event: string; subject: string; message: string; reason: string | null }

/** What the daemon has told, as its log has it. */
export function events(weir: Daemon): Event[] {
  const text = weir.process?.errors() ?? '';
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Event & { time: string; msg: string })
    .filter(({ event }) => event !== undefined)
    .map((row) => ({ ...row, message: row.msg, atMs: Date.parse(row.time) }));
}

/** The next event of this kind about this subject after so many known ones. */
export function told(weir: Daemon, known: number, event: string, subject: string): Promise<Event> {
  return waitFor(() => events(weir).slice(known).find((one) => one.event === event && one.subject === subject), WAIT_MS, `${event} of ${subject}`)
    .catch((error: unknown) => { throw new Error(`${String(error)}\n${events(weir).slice(known).map(({ event: name, message }) => `${name}: ${message}`).join('\n')}`); });
}

/** Waits until so many requests that were started after a moment have ended. */
export function ended(requests: { results(): RequestResult[] }, sinceMs: number, count: number): Promise<RequestResult[]> {
  return waitFor(() => {
    const after = requests.results().filter(({ atMs }) => atMs > sinceMs);
    return after.length >= count ? after : null;
  }, WAIT_MS, `${count} more requests to end`);
}

/** No request hung: each was answered or failed within the limit. */
export function noneHung(results: readonly RequestResult[]): void {
  assert.equal(results.filter(({ hung }) => hung), []);
}

export function noneFailed(results: readonly RequestResult[], what: string): void {
  assert.equal(results.filter(({ ok }) => !ok).slice(0, 5), [], what);
}
