/**
 * A SYN from outside to an external address, for which there is neither a mapping nor a rule nor a stack (RFC 5382 REQ-4): asked by
 * `deliver`, it waits in silence for timeouts.synHold, and `turn` then has its sender told that nobody was there. An inside host that opens the
 * same connection meanwhile makes a flow of it, so that both ends' simultaneous open (REQ-2) succeeds: then nothing is said. Not a stage
 * of the path.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import { refuse } from './refuse.js';
import type { Router } from './router.js';

const NONE = -1;

/** True for an opening that came in by an uplink; what comes from inside is answered at once. */
export function isUnsolicited(p: Packet, r: Router): boolean {
  return p.protocol === ip.PROTOCOL_TCP && (p.tcpFlags & (SYN | ACK | RST)) === SYN && r.links[p.link].uplinks.length > 0;
}

/** HELD; HELD_LIMIT when too many wait. */
export function holdSyn(p: Packet, r: Router): Verdict {
  return r.synHold.put(p, r.nowMs + r.plan.timeouts.synHold * 1000) === 'full' ? V.HELD_LIMIT : V.HELD;
}

/** Answer those whose time is up. They were counted as HELD, and end as what came of them. */
export function expireSyns(p: Packet, r: Router): void {
  const { synHold } = r;
  for (let entry = synHold.due(r.nowMs); entry !== NONE; entry = synHold.due(r.nowMs)) {
    const link = synHold.link(entry);
    const frames = synHold.frames(entry);
    synHold.loadTuple(entry, r.spare);
    const verdict = r.flows.find(r.spare) === NONE ? V.SYN_UNSOLICITED : V.SYN_CROSSED;
    if (verdict === V.SYN_UNSOLICITED) {
      const at = r.exchange.allocate(synHold.length(entry));
      // With the scratch region used up the rest is answered in the next turn.
      if (at < 0) return;
      synHold.load(entry, p, at);
      refuse(p, r, verdict);
    }
    r.counters.addVerdict(link, V.HELD, -frames);
    r.counters.addVerdict(link, verdict, frames);
    synHold.dropFirst(r.spare);
  }
}
