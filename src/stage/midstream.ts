/**
 * TCP segments of no known flow, by plan.tcpMidstream: refused in silence, answered by a reset as a host without the connection would (RFC 9293
 * §3.10.7.1), or taken up: a flow is opened in the middle. Asked by `track`, `deliver` and `confirm`. Not a stage of the path.
 *
 * A connection is taken up only where its far end goes on seeing the same address and port: where nothing or a rule translates it, where its
 * inside endpoint has a mapping already, or where its port is kept, as it would have been before. Elsewhere it is reset, for the far end
 * would not know it; never does it leave untranslated.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { FLAG_SHARED, FLAGS, ORIGINAL_TUPLE } from '../table/flow.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import type { Router } from './router.js';

/** 0 when a flow may be opened in its middle by this segment, else what is said about it. */
export function midstream(p: Packet, r: Router): Verdict {
  const isSpoken = (p.tcpFlags & (SYN | ACK | RST)) === ACK;
  const host = r.hostLink;
  // The box's stack may know it from before we came (SSH to a gateway taken over goes on).
  if (isSpoken && host !== null && host.index !== p.link && r.isOwnAddress(p.tuple.d3)) return 0;
  switch (r.plan.tcpMidstream) {
    case 'drop': return V.MIDSTREAM_SILENT;
    case 'reset': return V.MIDSTREAM;
    case 'pickup': return isSpoken ? 0 : V.MIDSTREAM;
  }
}

/** True for a new flow that was opened in its middle. */
export function isTakenUp(p: Packet): boolean {
  return p.protocol === ip.PROTOCOL_TCP && (p.tcpFlags & SYN) === 0;
}

/** What is said about one that ends at an external address: nothing to a far end whose inside host may yet speak and be taken up. */
export function endHere(p: Packet, r: Router): Verdict {
  return r.links[p.link].translates ? V.MIDSTREAM_SILENT : V.MIDSTREAM;
}

/** True when a flow taken up leaves with the address and port it must have had before. */
export function keepsMapping(p: Packet, r: Router): boolean {
  if (p.mapping === NONE) return (r.flows.words[r.flows.at(p.flow) + FLAGS] & FLAG_SHARED) === 0;
  const pool = r.mappings.pool(p.mapping >>> 16);
  const port = p.mapping & 0xffff;
  if (pool.users(port) > 1) return true;
  const isOnlyAddress = r.uplinks[pool.owner(port)].snat.length === 1;
  return isOnlyAddress && port === r.flows.words[r.flows.at(p.flow) + ORIGINAL_TUPLE + 8] >>> 16;
}
