/**
 * confirm — a new flow enters the table, both tuples final. From here on its answers are known, and it counts for what it holds.
 *
 * Reads: the packet as it leaves. Writes: the flow table, mappings, counters; another source port when the first one's answers are taken.
 * Drops: MIDSTREAM SOURCE_FLOWS FLOW_CLASH.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { UPLINK_NEW_FLOWS } from '../table/counters.js';
import { STATE, WINDOW } from '../table/flow.js';
import { PROTOCOL_TCP } from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { publish } from './adopt.js';
import { useExpectation } from './expected.js';
import { attach } from './inspect.js';
import { hold, mayOpen, remap, undo } from './mapping.js';
import { isTakenUp, keepsMapping } from './midstream.js';
import type { Router } from './router.js';
import { timeoutOf } from './timeout.js';
import { enlist } from './virtual-server.js';

const NONE = -1;

export function confirm(p: Packet, r: Router): Verdict {
  if (!p.isNew) return 0;
  const { flows } = r;
  const timeout = timeoutOf(p.protocol, flows.words[flows.at(p.flow) + STATE], r.timeouts);
  const takenUp = isTakenUp(p);
  if (takenUp && !keepsMapping(p, r)) {
    undo(p, r);
    return V.MIDSTREAM;
  }
  if (!mayOpen(p, r)) {
    undo(p, r);
    return V.SOURCE_FLOWS;
  }
  if (!flows.confirm(p.flow, p.tuple, r.tick, timeout) && (takenUp || !(remap(p, r) && flows.confirm(p.flow, p.tuple, r.tick, timeout)))) {
    undo(p, r);
    return V.FLOW_CLASH;
  }
  hold(p, r);
  if (p.protocol === PROTOCOL_TCP) takeWindow(p, r);
  if (!r.virtualServers.isEmpty) enlist(p, r);
  if (p.expected !== NONE) useExpectation(p, r);
  if (r.watch.algs.length > 0) attach(p, r);
  flows.account(p.flow, 0, p.end - p.ipAt);
  if (r.journal !== null) publish(p, r, r.journal);
  // Only what left by it was given to it: what came in by it, or turned back inside, says nothing of how flows are shared.
  if (p.uplink !== NONE) r.counters.addUplink(p.uplink, UPLINK_NEW_FLOWS, 1);
  return 0;
}

/** A flow has ended: its window is free again. */
export function giveWindow(r: Router, flow: number): void {
  const window = r.flows.words[r.flows.at(flow) + WINDOW];
  if (window !== NONE) r.windows.give(window);
}

/** The window `track` has lent the flow is its own now, if there was one left. */
function takeWindow(p: Packet, r: Router): void {
  if (r.flows.words[r.flows.at(p.flow) + WINDOW] === NONE) r.windows.exhausted++;
  else r.windows.take();
}
