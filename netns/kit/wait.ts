/** Waiting for a condition instead of for time: asks again and again until it holds, and says what it waited for when it does not. */
import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 20;

/** The first value of `condition` that is neither false, null nor undefined. What it throws on the way counts as not yet; the last reason is told. */
export async function waitFor<T>(condition: () => T | Promise<T>, timeoutMs: number, what: string): Promise<Exclude<T, false | null | undefined>> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    let reason = '';
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined) return value as Exclude<T, false | null | undefined>;
    } catch (error) {
      reason = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() >= deadlineMs) throw new Error(`waited ${timeoutMs / 1000} s for ${what}${reason}`);
    await pause(POLL_MS);
  }
}
