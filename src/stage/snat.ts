/**
 * snat — the source. A new flow that leaves by an uplink gets the uplink's address and an external port; a known flow keeps what it was
 * given, and the answers of a DNATed flow get their virtual address back.
 *
 * Reads: uplink, the flow's tuples. Writes: source address and port, every checksum; the flow's UPLINK and MAPPING.
 * Drops: NO_PORT.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { UPLINK_PORTS_USED } from '../table/counters.js';
import { FLAG_DNAT, FLAG_SNAT, FLAGS, MAPPING, UPLINK } from '../table/flow.js';
import { finish, mix } from '../base/hash.js';
import type { Packet } from '../wire/packet.js';
import { TUPLE_WORDS } from '../wire/tuple.js';
import type { Router } from './router.js';

const NONE = -1;

export function snat(p: Packet, r: Router): Verdict {
  if (p.flow === NONE) return 0;
  if (p.isNew) return p.uplink === NONE ? 0 : map(p, r);
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  if ((words[at + FLAGS] & (p.direction === 0 ? FLAG_SNAT : FLAG_DNAT)) === 0 && !(p.isRelated && leavesTranslated(p, r))) return 0;
  const other = at + (1 - p.direction) * TUPLE_WORDS;
  // An ICMP error bears the address its flow's packets bear, whoever sent it (RFC 5508 REQ-5).
  p.rewriteSource(words[other + 7], p.isRelated ? 0 : words[other + 8] & 0xffff);
  return 0;
}

/** True for what leaves by an uplink that translates: an error about a flow that ends at the box must not show who made it either. */
function leavesTranslated(p: Packet, r: Router): boolean {
  return p.uplink !== NONE && r.uplinks[p.uplink].snat.length > 0;
}

/** First packet: an address of the uplink (always the same for one inside host, RFC 4787 REQ-2) and a port of its pool. */
function map(p: Packet, r: Router): Verdict {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  words[at + UPLINK] = p.uplink;
  const { snat: addresses } = r.uplinks[p.uplink];
  if (addresses.length === 0) return 0;
  const { s0, s1, s2, s3 } = p.tuple;
  const address = addresses.length === 1 ? addresses[0] : addresses[(finish(mix(r.plan.seed, s3)) >>> 0) % addresses.length];
  const number = r.poolOf(address, p.protocol);
  if (number === NONE) {
    p.rewriteSource(address, 0);
    return 0;
  }
  const pool = r.pool(number);
  const before = pool.used;
  const port = pool.acquire(s0, s1, s2, s3, p.tuple.sourcePort);
  if (port === NONE) return V.NO_PORT;
  r.counters.addUplink(p.uplink, UPLINK_PORTS_USED, pool.used - before);
  p.mapping = (number << 16) | port;
  p.rewriteSource(address, port);
  words[at + MAPPING] = p.mapping;
  return 0;
}
