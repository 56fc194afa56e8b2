/**
 * The map: the whole path of a packet, one stage a line, in netfilter's order and words. Each stage is a file in stage/.
 */
import { isDrop, V } from './base/verdict.js';
import type { Verdict } from './base/verdict.js';
import { RX_FRAME_AT, RX_LENGTH_BYTES, RX_LINK, RX_VLAN_TCI, RX_WORDS } from './link/batch.js';
import { confirm } from './stage/confirm.js';
import { deliver } from './stage/deliver.js';
import { dnat } from './stage/dnat.js';
import { egress } from './stage/egress.js';
import { releaseFetched } from './stage/fetch.js';
import { filter } from './stage/filter.js';
import { fit, hop } from './stage/hop.js';
import { ingress } from './stage/ingress.js';
import { expireFragments, reassemble } from './stage/reassemble.js';
import { inspect } from './stage/inspect.js';
import { refuse } from './stage/refuse.js';
import { release, resolve } from './stage/resolve.js';
import { recheck, route } from './stage/route.js';
import type { Made, Router } from './stage/router.js';
import { ownSource, snat } from './stage/snat.js';
import { expireSyns } from './stage/syn-hold.js';
import { track } from './stage/track.js';
import { validate } from './stage/validate.js';
import { RX_PACKETS } from './table/counters.js';
import type { HeldFetches } from './table/held-fetch.js';
import { ETHERNET_LENGTH } from './wire/ethernet.js';
import { NONE } from './wire/packet.js';
import type { Packet } from './wire/packet.js';

/** A frame from a link. 0 = it left on egress; otherwise why it stopped (base/verdict.ts). */
export function receive(p: Packet, r: Router): Verdict {
  return ingress(p, r)     // Ethernet: for us? ARP feeds the neighbour table and stops here
      || validate(p, r)    // IP header sane, no martians                              RFC 1812 §5.2.2
      || reassemble(p, r)  // fragments wait for their datagram                        RFC 791, 4787 REQ-14
      || track(p, r)       // find the flow, or open one; which direction              table/flow, tcp-state
      || dnat(p, r)        // destination: a virtual server's real one, a rule's; undo of a SNAT   balance/
      || route(p, r)       // policies, FIB → uplink pick → nexthop and out link, or LOCAL
      || filter(p, r)      // accept or drop
      || deliver(p, r)     // for the router itself: echo; else on
      || hop(p, r)         // TTL, MTU and DF — judged on the packet as received, before SNAT
      || inspect(p, r)     // ALGs: addresses in payloads, and the flows they announce  table/expectation
      || snat(p, r)        // source: the uplink's address and a port, or undo of a DNAT
      || confirm(p, r)     // a new flow enters the table, both tuples final
      || resolve(p, r)     // nexthop → MAC, or wait for the neighbour
      || egress(p, r);     // Ethernet header, cut up if it must be, queue on the link
}

/** Packets the router makes itself: ICMP errors, resets, echo replies. */
export function originate(p: Packet, r: Router): Verdict {
  return route(p, r)
      || ownSource(p, r)
      || fit(p, r)
      || resolve(p, r)
      || egress(p, r);
}

/** Packets whose neighbour has answered. */
export function resume(p: Packet, r: Router): Verdict {
  return egress(p, r);
}

/** Packets whose flow the store has been asked for: the rest of `receive`, written out as it is there (test/architecture.test.ts holds the two together). */
export function retry(p: Packet, r: Router): Verdict {
  return track(p, r)
      || dnat(p, r)
      || route(p, r)
      || filter(p, r)
      || deliver(p, r)
      || hop(p, r)
      || inspect(p, r)
      || snat(p, r)
      || confirm(p, r)
      || resolve(p, r)
      || egress(p, r);
}

/** Flows looked at per turn for expiry. */
const EXPIRE_BUDGET = 256;

/** One bounded turn: send the last batch, receive the next, run each packet, expire what is due. Returns the packets received. */
export function turn(r: Router, timeoutMs: number): number {
  const { exchange, packet: p, counters } = r;
  const count = exchange.turn(r.idleMs(timeoutMs));
  r.readClock();
  r.offload.takeEnded();
  const { rx } = exchange;
  for (let i = 0; i < count; i++) {
    const at = i * RX_WORDS;
    const link = rx[at + RX_LINK];
    const length = rx[at + RX_LENGTH_BYTES];
    if (length < 0) {
      r.deviceError(link, -length);
      continue;
    }
    counters.countFrame(link, RX_PACKETS, length);
    p.load(link, rx[at + RX_FRAME_AT], length, r.links[link].hasEthernet ? ETHERNET_LENGTH : 0);
    p.vlanTci = rx[at + RX_VLAN_TCI];
    settle(p, r, receive(p, r));
  }
  housekeep(r);
  return count;
}

/** What is due besides packets: neighbours, announcements, expiry; and sending what all of that made. */
export function housekeep(r: Router): void {
  r.neighbours.tick(r.nowMs);
  r.askGateways();
  r.claims.tick();
  r.announceDue();
  r.election?.tick();
  if (r.replicas !== null) r.replicas.take();
  if (r.fetches !== null && r.fetches.count > 0) sendFetched(r, r.fetches);
  if (!r.virtualServers.isEmpty) r.virtualServers.tick(r.nowMs, r.tick, EXPIRE_BUDGET);
  r.fates.sweep();
  r.probes.tick();
  sendWaiting(r);
  if (r.fragments.count > 0) expireFragments(r.packet, r);
  if (r.synHold.count > 0) expireSyns(r.packet, r);
  r.offload.tick();
  r.isBehind = !r.flows.expire(r.tick, EXPIRE_BUDGET);
  r.expectations.expire(r.tick, EXPIRE_BUDGET);
  // Indexed, for a packet of ours may itself be refused; nothing it makes is refused again (refuse() answers only what came by a link).
  for (let i = 0; i < r.outbox.length; i++) sendMade(r, r.outbox[i]);
  r.outbox.length = 0;
}

/** Count how a packet ended and tell its sender when it was refused. */
function settle(p: Packet, r: Router, verdict: Verdict): void {
  r.counters.addVerdict(p.link, verdict, p.frames);
  if (isDrop[verdict]) refuse(p, r, verdict);
}

function sendMade(r: Router, made: Made): void {
  const p = r.packet;
  p.load(NONE, made.ipAt, made.end - made.ipAt, 0);
  p.parseIp();
  p.parseL4();
  p.nexthop = made.nexthop;
  p.bearsFlowsSource = made.bearsFlowsSource ?? false;
  settle(p, r, originate(p, r));
}

/** Packets whose neighbour has answered go on; those whose neighbour never will are refused. */
function sendWaiting(r: Router): void {
  const p = r.packet;
  for (const entry of r.answered) while (release(p, r, entry)) settle(p, r, recheck(p, r) || resume(p, r));
  for (const entry of r.unanswered) while (release(p, r, entry)) settle(p, r, V.NEIGHBOUR_FAILED);
  // With the scratch region used up the rest goes on in the next turn.
  keepWaiting(r, r.answered);
  keepWaiting(r, r.unanswered);
}

/** Packets whose flow is known now, or will not be, go on. */
function sendFetched(r: Router, fetches: HeldFetches): void {
  fetches.isReleasing = true;
  while (releaseFetched(r.packet, r, fetches)) settle(r.packet, r, retry(r.packet, r));
  fetches.isReleasing = false;
}

/** Leave only those neighbours in a list for which packets still wait. */
function keepWaiting(r: Router, entries: number[]): void {
  let kept = 0;
  for (const entry of entries) if (r.held.has(entry)) entries[kept++] = entry;
  entries.length = kept;
}
