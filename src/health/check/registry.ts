/** Every kind of check there is. Add one: a file beside this one, a line here, its plan in base/plan.ts; the shared suite runs over it. */
import type { ProbeKind, ProbePlan } from '../../base/plan.js';
import { arp } from './arp.js';
import type { Check, CheckContext, CheckType } from './check.js';
import { dns } from './dns.js';
import { http } from './http.js';
import { icmp } from './icmp.js';
import { script } from './script.js';
import { tcp } from './tcp.js';
import { udp } from './udp.js';

export const CHECKS: { readonly [K in ProbeKind]: CheckType<K> } = { icmp, arp, udp, tcp, http, dns, script };

/** The check a plan's probe calls for. It opens nothing before it is asked. */
export function createCheck(probe: ProbePlan, context: CheckContext): Check {
  // The plan's kind picks the type made for it; the compiler cannot follow one to the other.
  const type = CHECKS[probe.kind] as unknown as CheckType<ProbeKind>;
  return type.create(probe, context);
}
