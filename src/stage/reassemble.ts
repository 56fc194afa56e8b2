/**
 * reassemble — fragments wait for the rest of their datagram, which then goes on as one packet (RFC 791 §3.2, RFC 4787 REQ-14). `egress`
 * cuts it up again, in pieces no larger than it came in.
 *
 * Reads: the fragment word. Writes: the whole packet, when it completes a datagram. Stops with HELD.
 * Drops: FRAGMENT_BAD FRAGMENT_OVERLAP FRAGMENT_COPY FRAGMENT_TINY FRAGMENT_LIMIT L4_TRUNCATED NO_BUFFER SPOOFED_SOURCE MARTIAN_SOURCE; FRAGMENT_TIMEOUT later.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { Assembly } from '../table/fragment.js';
import * as ip from '../wire/ipv4.js';
import type { Packet } from '../wire/packet.js';
import { TCP_HEADER } from '../wire/tcp.js';
import { UDP_HEADER } from '../wire/udp.js';
import { refuse } from './refuse.js';
import type { Router } from './router.js';
import { checkSource } from './source-check.js';

export function reassemble(p: Packet, r: Router): Verdict {
  if ((p.fragment & (ip.FLAG_MF | ip.OFFSET_MASK)) === 0) return 0;
  const verdict = checkSource(p, r);
  if (verdict !== 0) return verdict;
  const more = (p.fragment & ip.FLAG_MF) !== 0;
  const offset = (p.fragment & ip.OFFSET_MASK) * 8;
  const header = p.l4At - p.ipAt;
  const length = p.end - p.l4At;
  if (length === 0 || (more && (length & 7) !== 0) || header + offset + length > 65535) return V.FRAGMENT_BAD;
  // RFC 1858 §3 and §4: neither a first fragment without its transport header nor one that begins inside of it.
  const least = p.protocol === ip.PROTOCOL_TCP ? TCP_HEADER : UDP_HEADER;
  if ((offset === 0 && length < least) || (offset === 8 && p.protocol === ip.PROTOCOL_TCP)) return V.FRAGMENT_TINY;
  const { fragments } = r;
  const result = fragments.add(
    p.u8, p.ipAt, p.end, header, p.tuple.s3, p.tuple.d3, p.protocol, ip.identification(p.view, p.ipAt), offset, more, p.link, r.nowMs);
  switch (result) {
    case 'held': return V.HELD;
    case 'copy': return V.FRAGMENT_COPY;
    case 'overlap':
      takeBack(p, r, fragments.lost);
      return V.FRAGMENT_OVERLAP;
    case 'bad':
      takeBack(p, r, fragments.lost);
      return V.FRAGMENT_BAD;
    case 'limit': return V.FRAGMENT_LIMIT;
    case 'complete': return join(p, r, fragments.current);
  }
}

/** Lay the pieces into the scratch region as one datagram and point the packet at it. */
function join(p: Packet, r: Router, number: number): Verdict {
  const { fragments } = r;
  const assembly = fragments.assembly(number);
  const first = assembly.offsets.indexOf(0);
  const header = assembly.headers[first];
  const before = assembly.slots.length - 1;
  takeBack(p, r, before);
  const at = header + assembly.totalBytes > 65535 ? -1 : r.exchange.allocate(header + assembly.totalBytes);
  if (at < 0) {
    fragments.discard(number);
    return V.NO_BUFFER;
  }
  p.u8.set(fragments.piece(assembly, first).subarray(0, header), at);
  copyPayload(p.u8, at + header, r, assembly);
  const largest = assembly.largest;
  const link = assembly.link;
  fragments.discard(number);
  const length = header + assembly.totalBytes;
  const hadDf = ip.fragmentWord(p.view, at) & ip.FLAG_DF;
  p.view.setUint16(at + 2, length);
  p.view.setUint16(at + 6, hadDf);
  ip.writeChecksum(p.view, at);
  p.load(link, at, length, 0);
  p.frames = 1 + before;
  p.fragmentSize = largest;
  p.parseIp();
  return p.parseL4() ? 0 : V.L4_TRUNCATED;
}

/** Pieces that were counted as HELD end as the packet now under way does. */
function takeBack(p: Packet, r: Router, pieces: number): void {
  p.frames = 1 + pieces;
  r.counters.addVerdict(p.link, V.HELD, -pieces);
}

function copyPayload(u8: Uint8Array, to: number, r: Router, assembly: Assembly): void {
  for (let i = 0; i < assembly.slots.length; i++) {
    const header = assembly.headers[i];
    u8.set(r.fragments.piece(assembly, i).subarray(header, header + assembly.lengths[i]), to + assembly.offsets[i]);
  }
}

/** Give up datagrams whose rest did not come; the sender is told when the first fragment did (RFC 792, code 1). */
export function expireFragments(p: Packet, r: Router): void {
  for (const number of r.fragments.expired(r.nowMs)) {
    const assembly = r.fragments.assembly(number);
    const first = assembly.offsets.indexOf(0);
    const link = assembly.link;
    if (first >= 0) {
      const bytes = r.fragments.piece(assembly, first);
      const length = assembly.headers[first] + assembly.lengths[first];
      const at = r.exchange.allocate(length);
      if (at >= 0) {
        p.u8.set(bytes.subarray(0, length), at);
        p.load(link, at, length, 0);
        p.parseIp();
        // Only to learn what it is: a cut datagram is shorter than its transport header says.
        p.parseL4();
        refuse(p, r, V.FRAGMENT_TIMEOUT);
      }
    }
    r.counters.addVerdict(link, V.HELD, -assembly.slots.length);
    r.counters.addVerdict(link, V.FRAGMENT_TIMEOUT, assembly.slots.length);
    r.fragments.discard(number);
  }
}
