/** What every check owes its prober; runs over each one in the registry. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbeKind, ProbePlan } from '../../src/base/plan.js';
import type { Check, CheckContext } from '../../src/health/check/check.js';
import { createCheck } from '../../src/health/check/registry.js';
import { until } from './until.js';

/** Something to ask: a target that answers well, one that refuses, one that never says a word. */
export interface Scene { probe: ProbePlan; context: CheckContext; close: () => Promise<void> }
export type Mood = 'ok' | 'refused' | 'silent';
export interface Fixture { kind: ProbeKind; /** What the reason of a refusal says. */ refusal: RegExp; set(mood: Mood): Promise<Scene> }

export const noContext: CheckContext = {
  localAddress: undefined, uplink: 0,
  ask: () => { throw new Error('the data plane was asked'); },
};

/** Long enough for any loopback. */
const AMPLE_MS = 10_000;
const SHORT_MS = 150;

/** How many of each kind of thing keep the process busy, but for what the runner itself keeps. */
function open(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) if (name !== 'Immediate' && name !== 'TickObject') counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** What there is more of than before. */
function opened(before: Map<string, number>): string[] {
  return [...open()].filter(([name, count]) => count > (before.get(name) ?? 0)).map(([name]) => name);
}

/** Runs `use` with a check of a scene, and holds the check to leaving nothing open when it has been closed. */
export async function withCheck(scene: Scene, use: (check: Check) => Promise<void>): Promise<void> {
  try {
    const before = open();
    const check = createCheck(scene.probe, scene.context);
    assert.equal(opened(before), [], 'making a check opens nothing');
    try {
      await use(check);
    } finally {
      check.close();
    }
    await until('nothing left open', () => opened(before).length === 0).catch((error: Error) => { throw new Error(`${error.message}, but ${opened(before).join(', ')}`); });
  } finally {
    await scene.close();
  }
}

export const never = (): AbortSignal => new AbortController().signal;

export function checkSuite({ kind, refusal, set }: Fixture): void {
  const named = (name: string, run: () => Promise<void>): void => { test(`${kind}: ${name}`, run); };

  named('a target that answers is good, with a latency, as often as it is asked', async () => {
    await withCheck(await set('ok'), async (check) => {
      for (let i = 0; i < 5; i++) {
        const result = await check.probe(AMPLE_MS, never());
        assert.is(result.reason, null);
        assert.is(result.isOk, true);
        assert.ok(result.latencyMs !== null && result.latencyMs >= 0 && result.latencyMs < AMPLE_MS, `${result.latencyMs}`);
        assert.is(result.weight, undefined);
      }
    });
  });

  named('a target that refuses is not, at once, and says how in one phrase', async () => {
    await withCheck(await set('refused'), async (check) => {
      const result = await check.probe(AMPLE_MS, never());
      assert.is(result.isOk, false);
      assert.match(result.reason as string, refusal);
      assert.not.match(result.reason as string, /\n|Error|undefined/);
    });
  });

  named('a silent target is given up on after the time limit', async () => {
    await withCheck(await set('silent'), async (check) => {
      const startMs = performance.now();
      const result = await check.probe(SHORT_MS, never());
      assert.equal([result.isOk, result.latencyMs], [false, null]);
      assert.match(result.reason as string, /timed out/);
      assert.ok(performance.now() - startMs >= SHORT_MS - 2, 'and not before');
    });
  });

  named('an abort ends it at once', async () => {
    await withCheck(await set('silent'), async (check) => {
      const controller = new AbortController();
      const result = check.probe(AMPLE_MS, controller.signal);
      const startMs = performance.now();
      controller.abort();
      assert.equal(await result, { isOk: false, latencyMs: null, reason: 'stopped' });
      assert.ok(performance.now() - startMs < AMPLE_MS / 2);
      assert.is((await check.probe(AMPLE_MS, controller.signal)).reason, 'stopped');
    });
  });

  named('an abort in the midst of it leaves nothing behind', async () => {
    await withCheck(await set('silent'), async (check) => {
      const controller = new AbortController();
      const result = check.probe(AMPLE_MS, controller.signal);
      setTimeout(() => { controller.abort(); }, 40);
      assert.is((await result).reason, 'stopped');
    });
  });

  named('closing ends it, and a closed one begins nothing', async () => {
    await withCheck(await set('silent'), async (check) => {
      const result = check.probe(AMPLE_MS, never());
      check.close();
      assert.is((await result).reason, 'stopped');
      assert.is((await check.probe(AMPLE_MS, never())).reason, 'stopped');
      check.close();
    });
  });

  named('its signal is let go of: nothing listens to it afterwards', async () => {
    await withCheck(await set('ok'), async (check) => {
      const controller = new AbortController();
      const { signal } = controller;
      let listeners = 0;
      const add = signal.addEventListener.bind(signal), remove = signal.removeEventListener.bind(signal);
      signal.addEventListener = (...args: Parameters<typeof add>) => { listeners++; add(...args); };
      signal.removeEventListener = (...args: Parameters<typeof remove>) => { listeners--; remove(...args); };
      assert.is((await check.probe(AMPLE_MS, signal)).isOk, true);
      assert.is(listeners, 0);
    });
  });
}
