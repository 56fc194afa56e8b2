/**
 * egress — last on the path: Ethernet header, virtio-net header, onto the link's queue. The one place where a packet is cut up: a GSO
 * super-frame for a link that cannot take it or whose MTU its segments exceed, and a datagram larger than the MTU.
 *
 * What bears an address of the router's own, which it shares with others, gets an identification of that address's (table/ip-id.ts), unless it is
 * atomic: with DF and whole, the identification means nothing (RFC 6864 §4.1) and the sender's stays.
 *
 * What bears an address of a virtual router on the out link leaves from its MAC address, and only while this router is its master: from nobody else may that
 * pair of addresses be seen.
 *
 * Reads: outLink, neighbour, mustFragment, offload metadata. Writes: the identification; the frame; counters; datagrams sent.
 * Drops: NO_BUFFER NOT_MASTER.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_USO } from '../link/batch.js';
import { UPLINK_TX_PACKETS } from '../table/counters.js';
import { NOT_OURS, VIRTUAL_MAC_HIGH } from '../table/elected.js';
import { SERIAL } from '../table/flow.js';
import * as ethernet from '../wire/ethernet.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { finishChecksum, segmentCount, segmentLength, writeFragment, writeSegment } from '../wire/segment.js';
import { GSO_ECN, GSO_NONE, GSO_UDP_L4, VNET_LENGTH } from '../wire/vnet.js';
import type { Link, Router } from './router.js';

export function egress(p: Packet, r: Router): Verdict {
  const link = r.links[p.outLink];
  const { elected } = link;
  const virtualLow = elected === null ? 0 : elected.macOf(p.tuple.s3);
  if (virtualLow === NOT_OURS) return V.NOT_MASTER;
  p.virtualMac = virtualLow;
  if (p.uplink !== NONE) {
    r.counters.countUplinkPacket(p.uplink, UPLINK_TX_PACKETS, p.end - p.ipAt);
  }
  if ((p.fragment & ip.FLAG_DF) === 0 || p.mustFragment) identify(p, r);
  if (p.gsoType !== GSO_NONE && (p.mustFragment || !takes(link, p.gsoType))) return cutIntoSegments(p, r, link);
  if (p.csumAt !== NONE && (p.mustFragment || (link.offloads & OFFLOAD_CSUM) === 0)) finishChecksum(p);
  if (p.mustFragment) return cutIntoFragments(p, r, link, p.ipAt, p.end);
  if (link.hasEthernet) {
    p.frameAt = p.ipAt - ethernet.ETHERNET_LENGTH;
    writeHeader(p, r, link, p.frameAt);
  } else {
    p.frameAt = p.ipAt;
  }
  p.storeVnet();
  queue(r, link, p.frameAt, p.end);
  return V.SENT;
}

/** A new identification where the address is ours, one for each segment of a super-frame; errors about it find the flow and the old one again. */
function identify(p: Packet, r: Router): void {
  const { s3: source, d3: destination } = p.tuple;
  const isOurs = r.isOwnAddress(source);
  if (!isOurs && !p.mustFragment) return;
  const count = segmentCount(p);
  const before = ip.identification(p.view, p.ipAt);
  const id = isOurs ? r.ipIds.take(source, destination, p.protocol, count) : before;
  if (isOurs) ip.setWord(p.view, p.ipAt, ip.ID_OFFSET, id);
  if (p.flow === NONE || p.isRelated) return;
  const serial = r.flows.words[r.flows.at(p.flow) + SERIAL];
  for (let i = 0; i < count; i++) r.sentDatagrams.note(source, destination, p.protocol, (id + i) & 0xffff, (before + i) & 0xffff, p.flow, serial, p.direction);
}

/** True when the link's device takes super-frames of this type. */
function takes(link: Link, gsoType: number): boolean {
  if (gsoType === GSO_UDP_L4) return (link.offloads & OFFLOAD_USO) !== 0;
  const needed = gsoType & GSO_ECN ? OFFLOAD_TSO4 | OFFLOAD_ECN : OFFLOAD_TSO4;
  return (link.offloads & needed) === needed;
}

function cutIntoSegments(p: Packet, r: Router, link: Link): Verdict {
  const count = segmentCount(p);
  for (let i = 0; i < count; i++) {
    const length = segmentLength(p, i);
    const at = r.exchange.allocate(length);
    if (at < 0) return V.NO_BUFFER;
    writeSegment(p, i, at);
    if (p.mustFragment && length > p.fragmentSize) {
      const verdict = cutIntoFragments(p, r, link, at, at + length);
      if (verdict !== V.SENT) return verdict;
    } else {
      sendPlain(p, r, link, at, at + length);
    }
  }
  return V.SENT;
}

function cutIntoFragments(p: Packet, r: Router, link: Link, ipAt: number, end: number): Verdict {
  const payload = end - ipAt - ip.headerLength(p.view, ipAt);
  for (let offset = 0; offset < payload;) {
    const at = r.exchange.allocate(p.fragmentSize);
    if (at < 0) return V.NO_BUFFER;
    const length = writeFragment(p, ipAt, end, offset, p.fragmentSize, at);
    offset += length - ip.headerLength(p.view, at);
    sendPlain(p, r, link, at, at + length);
  }
  return V.SENT;
}

/** Send a whole, finished IP packet that lies in the scratch region. */
function sendPlain(p: Packet, r: Router, link: Link, ipAt: number, end: number): void {
  const frameAt = link.hasEthernet ? ipAt - ethernet.ETHERNET_LENGTH : ipAt;
  p.u8.fill(0, frameAt - VNET_LENGTH, frameAt);
  if (link.hasEthernet) writeHeader(p, r, link, frameAt);
  queue(r, link, frameAt, end);
}

function writeHeader(p: Packet, r: Router, link: Link, at: number): void {
  const { neighbours } = r;
  const isVirtual = p.virtualMac !== 0;
  ethernet.writeEthernet(
    p.view, at, neighbours.macHigh(p.neighbour), neighbours.macLow(p.neighbour), isVirtual ? VIRTUAL_MAC_HIGH : link.macHigh, isVirtual ? p.virtualMac : link.macLow,
    ethernet.ETHERTYPE_IPV4);
}

function queue(r: Router, link: Link, frameAt: number, end: number): void {
  r.exchange.send(link.index, frameAt, end - frameAt);
  r.countSent(link.index, end - frameAt);
}
