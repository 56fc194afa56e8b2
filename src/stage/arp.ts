/**
 * ARP as the router speaks it (RFC 826, RFC 5227): answers for our addresses on the link they belong to and on no other, learns from
 * answers, asks on behalf of the neighbour table, announces our addresses, notices who else claims them. `ingress` hands every ARP
 * frame here; nothing of it goes further.
 *
 * Bounded per link: a flood of requests costs no more than ARP_PER_SECOND of them, and no answer to a question of ours is lost to it, since there
 * are never more of those than questions.
 *
 * Drops: ARP_MALFORMED ARP_IGNORED ARP_CONFLICT ARP_LIMIT.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { NOT_OURS, VIRTUAL_MAC_HIGH } from '../table/elected.js';
import { formatIpv4, formatMac, V4_MAPPED } from '../wire/address.js';
import * as arp from '../wire/arp.js';
import * as ethernet from '../wire/ethernet.js';
import type { Packet } from '../wire/packet.js';
import { VNET_LENGTH } from '../wire/vnet.js';
import type { Link, Router } from './router.js';

/** Frames are padded to what Ethernet asks for at least, without the FCS (IEEE 802.3 §3.2.8). */
const FRAME_MIN = 60;
/** ARP looked at per second and link, and at once: what the hosts of a large flat network ask after a power cut, not what a flood does. */
const ARP_PER_SECOND = 1000;
/** RFC 5227 §2.4: an address is defended at most once in this time. */
const DEFEND_INTERVAL_MS = 10_000;

/** An ARP frame at p.ipAt. */
export function receiveArp(p: Packet, r: Router): Verdict {
  const { view, ipAt: at } = p;
  const link = r.links[p.link];
  if (p.end - at < arp.ARP_LENGTH || !arp.isArpOverEthernet(view, at)) return V.ARP_MALFORMED;
  const operation = arp.operation(view, at);
  const senderHigh = arp.senderHigh(view, at), senderLow = arp.senderLow(view, at);
  const sender = arp.senderIp(view, at), target = arp.targetIp(view, at);
  if (operation !== arp.ARP_REQUEST && operation !== arp.ARP_REPLY) return V.ARP_MALFORMED;
  // A group address cannot be anyone's own, and the frame must come from who it says (RFC 1812 §3.3.2).
  if (senderHigh & 0x0100 || (senderHigh === 0 && senderLow === 0)) return V.ARP_MALFORMED;

  const isForUs = link.answersFor(target);
  const isAwaited = isForUs && operation === arp.ARP_REPLY && (r.neighbours.isAsked(p.link, 0, 0, V4_MAPPED, sender) || r.probes.asksByArp(p.link, sender));
  if (!isAwaited && !isWithinLimit(link, r.nowMs)) return V.ARP_LIMIT;

  if (link.answersFor(sender)) {
    if (senderHigh === link.macHigh && senderLow === link.macLow) return V.ARP_IGNORED;
    // Another router of the virtual router, which does not know yet that it is not the master any more: the election tells it.
    if (link.elected !== null && link.elected.isMacOf(sender, senderHigh, senderLow)) return V.ARP_IGNORED;
    defend(r, link, sender, senderHigh, senderLow);
    return V.ARP_CONFLICT;
  }
  // Sender 0.0.0.0 is a probe (RFC 5227 §2.1.1): answered, never learned from. Nor is a sender of a foreign subnet.
  if (sender !== 0 && link.isOnLink(sender)) {
    const isAnswer = operation === arp.ARP_REPLY && isForUs;
    r.neighbours.learn(p.link, sender, senderHigh, senderLow, isAnswer, isForUs, V4_MAPPED, r.nowMs);
  } else if (sender !== 0 && operation === arp.ARP_REPLY && isForUs && r.neighbours.find(p.link, 0, 0, V4_MAPPED, sender) >= 0) {
    // A far gateway, outside of our subnets, that we have asked for.
    r.neighbours.learn(p.link, sender, senderHigh, senderLow, true, true, V4_MAPPED, r.nowMs);
  }
  if (operation === arp.ARP_REPLY) {
    if (!isForUs) return V.ARP_IGNORED;
    r.probes.takeArp(p.link, sender);
    return V.TAKEN;
  }
  if (!isForUs) return V.ARP_IGNORED;
  send(r, link, senderHigh, senderLow, arp.ARP_REPLY, target, senderHigh, senderLow, sender);
  return V.TAKEN;
}

/** Take one of the link's tokens, topped up by the time that has passed. */
function isWithinLimit(link: Link, nowMs: number): boolean {
  link.arpTokens = Math.min(ARP_PER_SECOND, link.arpTokens + ((nowMs - link.arpFilledAtMs) / 1000) * ARP_PER_SECOND);
  link.arpFilledAtMs = nowMs;
  if (link.arpTokens < 1) return false;
  link.arpTokens--;
  return true;
}

/** Ask who has `address`; straight to a MAC address when we only want to know whether it is still there. */
export function solicit(r: Router, linkIndex: number, address: number, unicast: boolean, macHigh: number, macLow: number): void {
  const link = r.links[linkIndex];
  if (!link.isUp) return;
  const from = link.addressTowards(address);
  // Without an address that is ours at the moment there is nobody to ask as.
  if (from === 0 && link.elected !== null) return;
  if (unicast) send(r, link, macHigh, macLow, arp.ARP_REQUEST, from, macHigh, macLow, address);
  else send(r, link, ethernet.BROADCAST_HIGH, ethernet.BROADCAST_LOW, arp.ARP_REQUEST, from, 0, 0, address);
}

/** Tell everybody on a link where its addresses are now (RFC 5227 §3: an announcement is a request for one's own address). Those of virtual routers the election announces. */
export function announce(r: Router, link: Link): void {
  if (!link.hasEthernet) return;
  for (const address of link.claimed) if (!link.isElected(address)) announceAddress(r, link, address);
}

/** Ask whether somebody has one of a link's addresses, without saying that we want it (RFC 5227 §2.1.1: the sender is 0.0.0.0). Those of a virtual router somebody is meant to have. */
export function probeAddresses(r: Router, link: Link): void {
  for (const address of link.claimed) if (!link.isElected(address)) send(r, link, ethernet.BROADCAST_HIGH, ethernet.BROADCAST_LOW, arp.ARP_REQUEST, 0, 0, 0, address);
}

/** The same of one address that is ours; false when there was no room for it in this turn. */
export function announceAddress(r: Router, link: Link, address: number): boolean {
  return send(r, link, ethernet.BROADCAST_HIGH, ethernet.BROADCAST_LOW, arp.ARP_REQUEST, address, 0, 0, address);
}

/** Someone else claims our address: say so, and defend it once in a while (RFC 5227 §2.4 b). */
function defend(r: Router, link: Link, address: number, macHigh: number, macLow: number): void {
  if (r.nowMs - (link.defendedAtMs.get(address) ?? -Infinity) < DEFEND_INTERVAL_MS) return;
  link.defendedAtMs.set(address, r.nowMs);
  announceAddress(r, link, address);
  r.notify({ event: 'addressConflict', link: link.name, address: formatIpv4(address), mac: formatMac(macHigh, macLow) });
}

function send(
  r: Router, link: Link, toHigh: number, toLow: number, operation: number, fromIp: number, targetHigh: number, targetLow: number, targetIp: number,
): boolean {
  const { exchange } = r;
  // RFC 9568 §8.1.2: whoever hears a virtual router's address hears its MAC address with it, in the packet and in the frame, and never the link's own.
  const virtualLow = link.virtualMacOf(fromIp);
  if (virtualLow === NOT_OURS) return false;
  const fromHigh = virtualLow === 0 ? link.macHigh : VIRTUAL_MAC_HIGH;
  const fromLow = virtualLow === 0 ? link.macLow : virtualLow;
  const at = exchange.allocate(FRAME_MIN - ethernet.ETHERNET_LENGTH);
  if (at < 0) return false;
  const frameAt = at - ethernet.ETHERNET_LENGTH;
  exchange.u8.fill(0, frameAt - VNET_LENGTH, frameAt + FRAME_MIN);
  ethernet.writeEthernet(exchange.view, frameAt, toHigh, toLow, fromHigh, fromLow, ethernet.ETHERTYPE_ARP);
  arp.writeArp(exchange.view, at, operation, fromHigh, fromLow, fromIp, targetHigh, targetLow, targetIp);
  exchange.send(link.index, frameAt, FRAME_MIN);
  r.countSent(link.index, FRAME_MIN);
  return true;
}
