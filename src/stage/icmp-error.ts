/**
 * The packet an ICMP error quotes: reading its tuple, and translating it together with the error (RFC 5508 §4). Used by `track`, `dnat` and
 * `snat`. The quote may be cut short after 8 bytes of transport header (RFC 792) and may carry IP options.
 */
import { delta16, delta32, update } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { TCP_CHECKSUM_OFFSET } from '../wire/tcp.js';
import type { Tuple } from '../wire/tuple.js';
import { UDP_CHECKSUM_OFFSET } from '../wire/udp.js';

/** Transport bytes a quote holds at least (RFC 792). */
const QUOTED_L4 = 8;

/** Read the quoted packet's tuple; false when it is no IPv4 header with a right checksum, or too short to name a flow. */
export function quotedTuple(view: DataView, at: number, end: number, into: Tuple): boolean {
  if (end - at < ip.IPV4_HEADER || view.getUint8(at) >> 4 !== 4) return false;
  const header = ip.headerLength(view, at);
  if (header < ip.IPV4_HEADER || at + header > end || !ip.checksumIsRight(view, at, header)) return false;
  const protocol = ip.protocol(view, at);
  const l4At = at + header;
  let ports = 0;
  // A later fragment has no transport header; only the first one names a flow by ports.
  if ((ip.fragmentWord(view, at) & ip.OFFSET_MASK) !== 0) return false;
  if (protocol === ip.PROTOCOL_TCP || protocol === ip.PROTOCOL_UDP) {
    if (end - l4At < QUOTED_L4) return false;
    ports = view.getInt32(l4At);
  } else if (protocol === ip.PROTOCOL_ICMP) {
    if (end - l4At < QUOTED_L4) return false;
    const type = icmp.type(view, l4At);
    if (icmp.isError(type)) return false;
    ports = icmp.isRequest(type) ? icmp.identifier(view, l4At) << 16 : icmp.identifier(view, l4At);
  }
  into.setV4(ip.source(view, at), ip.destination(view, at), ports, protocol);
  return true;
}

/**
 * Make the quote look as the quoted packet did before we translated it: source and destination of `want`. Its IP checksum, its transport
 * checksum (when the quote reaches that far) and the ICMP checksum around it are mended.
 */
export function translateQuote(p: Packet, have: Tuple, want: Tuple): void {
  const { view } = p;
  const at = p.l4At + icmp.ICMP_HEADER;
  const l4At = at + ip.headerLength(view, at);
  const addressDelta = delta32(have.s3, want.s3) + delta32(have.d3, want.d3);
  view.setInt32(at + 12, want.s3);
  view.setInt32(at + 16, want.d3);
  view.setUint16(at + 10, update(view.getUint16(at + 10), addressDelta));
  const portDelta = delta16(have.sourcePort, want.sourcePort) + delta16(have.destinationPort, want.destinationPort);
  switch (have.protocol) {
    case ip.PROTOCOL_TCP:
      view.setInt32(l4At, want.ports);
      if (l4At + TCP_CHECKSUM_OFFSET + 2 <= p.end) {
        const checksumAt = l4At + TCP_CHECKSUM_OFFSET;
        view.setUint16(checksumAt, update(view.getUint16(checksumAt), addressDelta + portDelta));
      }
      break;
    case ip.PROTOCOL_UDP: {
      view.setInt32(l4At, want.ports);
      const checksumAt = l4At + UDP_CHECKSUM_OFFSET;
      const stored = view.getUint16(checksumAt);
      if (stored !== 0) view.setUint16(checksumAt, update(stored, addressDelta + portDelta) || 0xffff);
      break;
    }
    case ip.PROTOCOL_ICMP: {
      const id = icmp.isRequest(icmp.type(view, l4At)) ? want.sourcePort : want.destinationPort;
      const idAt = l4At + icmp.ICMP_ID_OFFSET;
      const checksumAt = l4At + icmp.ICMP_CHECKSUM_OFFSET;
      view.setUint16(checksumAt, update(view.getUint16(checksumAt), delta16(view.getUint16(idAt), id)));
      view.setUint16(idAt, id);
      break;
    }
  }
  icmp.writeChecksum(view, p.l4At, p.end - p.l4At);
}
