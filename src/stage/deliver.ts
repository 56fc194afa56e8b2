/**
 * deliver — packets for the router's own addresses. Echo requests are answered here; the rest goes on to the box's own stack when there is
 * a link to it (SSH to the gateway keeps working), else the sender is told that nothing listens; one from outside that opens a TCP connection
 * is told later (stage/syn-hold.ts).
 *
 * Reads: isLocal, outLink. Writes: an echo reply into the outbox. Stops with TAKEN, HELD.
 * Drops: MIDSTREAM MIDSTREAM_SILENT HELD_LIMIT PORT_CLOSED PROTOCOL_UNKNOWN NOT_ACCEPTED STRAY_REPLY STRAY_ERROR ICMP_CHECKSUM NO_BUFFER; SYN_UNSOLICITED SYN_CROSSED later.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { endHere, isTakenUp } from './midstream.js';
import { backNexthop } from './route.js';
import type { Router } from './router.js';
import { holdSyn, isUnsolicited } from './syn-hold.js';

const NONE = -1;

export function deliver(p: Packet, r: Router): Verdict {
  if (!p.isLocal) return 0;
  if (p.protocol === ip.PROTOCOL_ICMP && p.icmpType === icmp.ECHO_REQUEST) return r.unaccepted.has(p.tuple.d3) ? V.NOT_ACCEPTED : answerEcho(p, r);
  if (p.outLink !== NONE) return 0;
  switch (p.protocol) {
    case ip.PROTOCOL_TCP:
      if (isTakenUp(p)) return endHere(p, r);
      return isUnsolicited(p, r) && !r.onlyVirtual.has(p.tuple.d3) ? holdSyn(p, r) : V.PORT_CLOSED;
    case ip.PROTOCOL_UDP: return V.PORT_CLOSED;
    case ip.PROTOCOL_ICMP: return icmp.isError(p.icmpType) ? V.STRAY_ERROR : V.STRAY_REPLY;
    default: return V.PROTOCOL_UNKNOWN;
  }
}

/** RFC 1122 §3.2.2.6: the same data back, from the address that was asked. */
function answerEcho(p: Packet, r: Router): Verdict {
  if (!icmp.checksumIsRight(p.view, p.l4At, p.end - p.l4At)) return V.ICMP_CHECKSUM;
  const { exchange } = r;
  const length = ip.IPV4_HEADER + (p.end - p.l4At);
  const at = exchange.allocate(length);
  if (at < 0) return V.NO_BUFFER;
  const view = exchange.view;
  ip.writeIpv4(view, at, length, r.nextIpId(), 0, 64, ip.PROTOCOL_ICMP, p.tuple.d3, p.tuple.s3, view.getUint8(p.ipAt + 1));
  exchange.u8.copyWithin(at + ip.IPV4_HEADER, p.l4At, p.end);
  view.setUint8(at + ip.IPV4_HEADER, icmp.ECHO_REPLY);
  icmp.writeChecksum(view, at + ip.IPV4_HEADER, length - ip.IPV4_HEADER);
  r.outbox.push({ ipAt: at, end: at + length, nexthop: backNexthop(p, r) });
  return V.TAKEN;
}
