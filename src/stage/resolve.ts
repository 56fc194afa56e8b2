/**
 * resolve — which MAC address? The neighbour table knows, or a copy of the packet waits for the answer and `resume` sends it on.
 *
 * Reads: outLink, next address, the flow's hint. Writes: neighbour, the flow's NEIGHBOUR. Stops with HELD.
 * Drops: NEIGHBOUR_FAILED NEIGHBOUR_QUEUE NEIGHBOUR_LIMIT HELD_LIMIT.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { NEIGHBOUR, SERIAL } from '../table/flow.js';
import { FAILED } from '../table/neighbour.js';
import type { Packet } from '../wire/packet.js';
import type { Router } from './router.js';

const NONE = -1;

export function resolve(p: Packet, r: Router): Verdict {
  const link = r.links[p.outLink];
  if (!link.hasEthernet) return 0;
  const { neighbours } = r;
  const hintAt = p.flow === NONE || p.isRelated ? NONE : r.flows.at(p.flow) + NEIGHBOUR + p.direction;
  let entry = hintAt === NONE ? NONE : r.flows.words[hintAt];
  if (entry === NONE || !neighbours.is(entry, p.outLink, p.next0, p.next1, p.next2, p.next3)) {
    entry = neighbours.find(p.outLink, p.next0, p.next1, p.next2, p.next3);
    if (entry === NONE) {
      entry = neighbours.solicit(p.outLink, p.next0, p.next1, p.next2, p.next3, r.nowMs);
      if (entry === NONE) return V.NEIGHBOUR_LIMIT;
    }
    if (hintAt !== NONE) r.flows.words[hintAt] = entry;
  }
  p.neighbour = entry;
  if (neighbours.use(entry, r.nowMs)) return 0;
  if (neighbours.state(entry) === FAILED) return V.NEIGHBOUR_FAILED;
  return hold(p, r, entry);
}

function hold(p: Packet, r: Router, entry: number): Verdict {
  const { limits } = r.plan;
  if (r.neighbours.queued(entry) >= limits.neighbourQueue) return V.NEIGHBOUR_QUEUE;
  if (r.heldCount >= limits.heldPackets || !r.held.put(entry, p, serialOf(p, r))) return V.HELD_LIMIT;
  r.heldCount++;
  r.neighbours.addQueued(entry, 1);
  return V.HELD;
}

/** Which of the flows that have had its entry is the packet's. */
function serialOf(p: Packet, r: Router): number { return p.flow === NONE ? 0 : r.flows.words[r.flows.at(p.flow) + SERIAL]; }

/** Take the first packet waiting for a neighbour back into the arena; false when none is left, or no room for it in this turn. */
export function release(p: Packet, r: Router, entry: number): boolean {
  const length = r.held.firstLength(entry);
  if (length === NONE) return false;
  const at = r.exchange.allocate(length);
  if (at < 0) return false;
  const serial = r.held.load(entry, p, at);
  if (serialOf(p, r) !== serial) {
    p.flow = NONE;
    p.isOrphan = true;
  }
  r.held.drop(entry);
  r.counters.addVerdict(p.link, V.HELD, -p.frames);
  r.heldCount--;
  r.neighbours.addQueued(entry, -1);
  p.neighbour = entry;
  return true;
}
