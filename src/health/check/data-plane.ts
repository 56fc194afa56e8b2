/** What icmp, arp and udp share: the data plane sends the probe and says what came of it; here is only the waiting. */
import { Attempts, failed } from './attempt.js';
import type { Check, CheckContext, DataPlaneProbe } from './check.js';
import { phraseOf } from './reason.js';

/** The data plane keeps the time limit itself; this much later it is given up on, so that a round ends even when its thread is gone. */
const GRACE_MS = 250;

export type Question = Omit<DataPlaneProbe, 'uplink' | 'timeoutMs'>;

export function dataPlaneCheck(question: Question, context: CheckContext): Check {
  const attempts = new Attempts();
  return {
    probe(timeoutMs, signal) {
      return attempts.run(timeoutMs + GRACE_MS, signal, (finish) => {
        context.ask({ uplink: context.uplink, ...question, timeoutMs }).then(finish, (error: unknown) => { finish(failed(phraseOf(error))); });
        // What was sent cannot be called back; its answer finds nobody waiting.
        return () => {};
      });
    },
    close() { attempts.close(); },
  };
}
