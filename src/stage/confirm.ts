/**
 * confirm — a new flow enters the table, both tuples final. From here on its answers are known.
 *
 * Reads: the packet as it leaves. Writes: the flow table, counters.
 * Drops: FLOW_CLASH.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { UPLINK_FLOWS, UPLINK_NEW_FLOWS } from '../table/counters.js';
import { STATE } from '../table/flow.js';
import type { Packet } from '../wire/packet.js';
import type { Router } from './router.js';
import { timeoutOf } from './timeout.js';

const NONE = -1;

export function confirm(p: Packet, r: Router): Verdict {
  if (!p.isNew) return 0;
  const { flows } = r;
  const state = flows.words[flows.at(p.flow) + STATE];
  if (!flows.confirm(p.flow, p.tuple, r.tick, timeoutOf(p.protocol, state, r.plan.timeouts))) {
    if (p.mapping !== NONE) r.releasePort(p.mapping, p.uplink);
    return V.FLOW_CLASH;
  }
  flows.account(p.flow, 0, p.end - p.ipAt);
  if (p.uplink !== NONE) {
    r.counters.addUplink(p.uplink, UPLINK_FLOWS, 1);
    r.counters.addUplink(p.uplink, UPLINK_NEW_FLOWS, 1);
  }
  return 0;
}
