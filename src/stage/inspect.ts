/**
 * inspect — flows whose packets carry addresses: an ALG reads them, replaces what has to be replaced and expects the flows they announce.
 * Which ALG, if any, is decided once, when the flow is confirmed (`attach`): by the port the client or the server knows the server by.
 *
 * Reads: the flow's ALG, tuples and state; the packet's payload. Writes: the payload, TCP's numbers; expectations; the source of a flow that a
 * server inside was expected to open.
 * Drops: CONTROL_GAP NO_BUFFER NO_PORT SOURCE_PORTS.
 *
 * Before `snat`, so that an answer's text is changed when its destination has been and its source has not; after `hop`, which judged the
 * packet as its sender sent it. For every other flow it costs one load and one test.
 */
import type { Verdict } from '../base/verdict.js';
import type { Conversation, StreamAlg } from '../alg/alg.js';
import { carry, quote } from '../alg/rewrite.js';
import { CONTROL_FLOWS_UNWATCHED } from '../table/counters.js';
import { ALG, ORIGINAL_TUPLE, REPLY_TUPLE, STATE } from '../table/flow.js';
import { isOver, STATE_MASK, TCP_ANSWERED, TCP_OPENING } from '../table/tcp-state.js';
import * as icmp from '../wire/icmp.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { SYN } from '../wire/tcp.js';
import { sourceOfExpected, withdraw } from './expected.js';
import type { Router } from './router.js';

export function inspect(p: Packet, r: Router): Verdict {
  if (p.flow === NONE) return 0;
  if (p.isNew) return p.expected === NONE ? 0 : sourceOfExpected(p, r);
  const at = r.flows.at(p.flow);
  const place = r.flows.words[at + ALG];
  return place < 0 ? 0 : look(p, r, r.watch.at(place), r.flows.words[at + STATE]);
}

function look(p: Packet, r: Router, c: Conversation, state: number): Verdict {
  const alg = r.watch.algs[c.alg];
  if (p.isRelated) {
    if (alg.kind === 'stream') mendQuote(p, c);
    return 0;
  }
  if (alg.kind === 'datagram') {
    alg.read(c, p.direction, p.u8, p.payloadAt(), p.end, r.expecting, r.watch.counts[c.alg]);
    return 0;
  }
  return lookAtSegment(p, r, c, alg, state);
}

function lookAtSegment(p: Packet, r: Router, c: Conversation, alg: StreamAlg, state: number): Verdict {
  const phase = state & STATE_MASK;
  const isOpening = phase === TCP_OPENING || phase === TCP_ANSWERED;
  const verdict = carry(p, c, alg, isOpening, r.links[p.outLink].mtu, r.exchange, r.expecting, r.watch.counts[c.alg]);
  // Whoever has closed the control connection wants no data connection any more.
  if (isOver(state)) withdraw(r, c);
  if (r.journal !== null && r.replicas !== null) r.replicas.tellStream(c, r.flows.at(p.flow), r.journal);
  return verdict;
}

/** An ICMP error is judged by its receiver by the sequence number it quotes (RFC 5927 §4.1): that has to be the receiver's own. */
function mendQuote(p: Packet, c: Conversation): void {
  const quoteAt = p.l4At + icmp.ICMP_HEADER;
  const seqAt = quoteAt + ip.headerLength(p.view, quoteAt) + 4;
  if (p.protocol === ip.PROTOCOL_ICMP && !p.partial && seqAt + 4 <= p.end) quote(p, c, seqAt, p.l4At + icmp.ICMP_CHECKSUM_OFFSET);
}

/** A flow has been confirmed: does an ALG watch it? One that was picked up in its middle cannot be read. */
export function attach(p: Packet, r: Router): void {
  if (p.isLocal || (p.protocol === ip.PROTOCOL_TCP && (p.tcpFlags & SYN) === 0)) return;
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  const alg = r.watch.find(p.protocol, words[at + ORIGINAL_TUPLE + 8] & 0xffff, words[at + REPLY_TUPLE + 8] >>> 16);
  if (alg === NONE) return;
  r.quoted.load(words, at + ORIGINAL_TUPLE);
  r.spare.load(words, at + REPLY_TUPLE);
  const place = r.watch.open(p.flow, alg, r.quoted, r.spare);
  words[at + ALG] = place;
  if (place === NONE) {
    r.counters.addRouter(CONTROL_FLOWS_UNWATCHED, 1);
    return;
  }
  // A datagram has its say at once; a SYN's numbers are learned from the answer to it.
  if (r.watch.algs[alg].kind === 'datagram') look(p, r, r.watch.at(place), words[at + STATE]);
}

/** A flow has ended, and with it what it expected. */
export function detach(r: Router, flow: number): void {
  const place = r.flows.words[r.flows.at(flow) + ALG];
  if (place < 0) return;
  withdraw(r, r.watch.at(place));
  r.watch.close(place);
}
