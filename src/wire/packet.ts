/**
 * The packet under way: a view of one record in the arena, its parsed fields, and what the stages have decided about it.
 *
 * There is one Packet per data plane; `load` points it at the next record. Fields hold what the header says *now*:
 * whoever rewrites the bytes rewrites the field (`rewrite*` below do both). All integers are host order, addresses and ports are
 * signed 32-bit words (a uint32 above 2³¹ in a field would be boxed).
 *
 * Offload metadata (virtio-net header) travels in fields and is written out again by `storeVnet`: a record may be a GSO super-frame
 * whose checksum is partial. `csumAt` is where the unfinished checksum starts, relative to the IP header, so that
 * it stays true whichever link header goes before it.
 */
import { V4_MAPPED } from './address.js';
import { delta16, delta32, update, updatePartial } from './checksum.js';
import * as icmp from './icmp.js';
import * as ip from './ipv4.js';
import * as tcp from './tcp.js';
import { Tuple } from './tuple.js';
import * as udp from './udp.js';
import { GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_UDP_L4, VNET_F_NEEDS_CSUM, VNET_LENGTH } from './vnet.js';

/** No flow, no link, no nexthop: every index field uses -1 for none. */
export const NONE = -1;

export class Packet {
  readonly u8: Uint8Array;
  readonly view: DataView;

  // --- the record
  frameAt = 0;
  frameLength = 0;
  ipAt = 0;
  /** First byte after the IP packet. */
  end = 0;
  l4At = 0;

  // --- offload metadata
  gsoType = GSO_NONE;
  /** Payload bytes per segment of a GSO super-frame. */
  gsoSize = 0;
  /** Where the checksum to be finished starts and where it is stored, relative to ipAt and to that start; NONE = the checksum is complete. */
  csumAt = NONE;
  csumOffset = 0;
  /** True when that partial checksum is this packet's own transport checksum (not one inside a tunnel). */
  partial = false;

  // --- IP and transport
  /** As the packet stands now: who it is from and to. Rewriting changes it. */
  readonly tuple = new Tuple();
  protocol = 0;
  /** Flags and offset word of the IP header. */
  fragment = 0;
  tcpFlags = 0;
  icmpType = 0;

  // --- where it came from
  link = NONE;
  /** Frames received that it stands for: more than one when it was put together from fragments. */
  frames = 1;
  /** VLAN tag the kernel took off the frame, or NONE. */
  vlanTci = NONE;

  // --- what the stages have decided
  flow = NONE;
  /** 0 ORIGINAL, 1 REPLY. */
  direction = 0;
  /** Opens a flow that `confirm` has yet to enter. */
  isNew = false;
  /** An ICMP error about `flow`. */
  isRelated = false;
  /** The expectation this new flow meets (table/expectation.ts), or NONE. */
  expected = NONE;
  /** For the router itself, or through it to the box. */
  isLocal = false;
  nexthop = NONE;
  outLink = NONE;
  /** Low word of the virtual router's MAC address it leaves from, or 0: the out link's own. */
  virtualMac = 0;
  /** Address the frame goes to on the out link, v4-mapped words. */
  next0 = 0; next1 = 0; next2 = 0; next3 = 0;
  /** External port mapping this new flow holds, or NONE. */
  mapping = NONE;
  /** Uplink it leaves by, or NONE. */
  uplink = NONE;
  /** Uplink whose external address a new flow from inside was sent to and turned back at, or NONE. */
  hairpin = NONE;
  /** Neighbour the frame goes to, or NONE on a link without any. */
  neighbour = NONE;
  /** Hops taken off its TTL here. */
  hops = 0;
  /** The MSS its SYN came with, when `hop` has lowered it; else 0. */
  mssBefore = 0;
  /** Its flow ended while it waited for its neighbour. */
  isOrphan = false;
  /** Made by the router with the source its flow's packets bear. */
  bearsFlowsSource = false;
  /** Larger than the out link's MTU and allowed to be fragmented. */
  mustFragment = false;
  /** Largest fragment a reassembled datagram came in, bytes of IP packet; 0 = it was whole. */
  fragmentSize = 0;
  /** Largest packet the out link takes, set when `hop` refuses one that is too big. */
  mtu = 0;

  constructor(arena: ArrayBuffer) {
    this.u8 = new Uint8Array(arena);
    this.view = new DataView(arena);
  }

  /** Point at a received or made record. `ipOffset` is the length of the link header before the IP packet. */
  load(link: number, frameAt: number, frameLength: number, ipOffset: number): void {
    this.link = link;
    this.frames = 1;
    this.vlanTci = NONE;
    this.frameAt = frameAt;
    this.frameLength = frameLength;
    this.ipAt = frameAt + ipOffset;
    this.end = frameAt + frameLength;
    this.l4At = this.ipAt;
    this.gsoType = GSO_NONE;
    this.gsoSize = 0;
    this.csumAt = NONE;
    this.csumOffset = 0;
    this.partial = false;
    this.protocol = 0;
    this.fragment = 0;
    this.tcpFlags = 0;
    this.icmpType = 0;
    this.flow = NONE;
    this.direction = 0;
    this.isNew = false;
    this.isRelated = false;
    this.expected = NONE;
    this.isLocal = false;
    this.nexthop = NONE;
    this.outLink = NONE;
    this.mapping = NONE;
    this.uplink = NONE;
    this.hairpin = NONE;
    this.neighbour = NONE;
    this.hops = 0;
    this.mssBefore = 0;
    this.isOrphan = false;
    this.bearsFlowsSource = false;
    this.mustFragment = false;
    this.fragmentSize = 0;
  }

  /** Read the virtio-net header before the frame. */
  loadVnet(): void {
    const at = this.frameAt - VNET_LENGTH;
    const word = this.view.getInt32(at, true);
    if (word === 0) return;
    this.gsoType = (word >>> 8) & 255;
    // GSO_UDP is a datagram still to be fragmented: which is what happens to any packet larger than the MTU.
    if (this.gsoType === GSO_UDP) this.gsoType = GSO_NONE;
    if (this.gsoType !== GSO_NONE) this.gsoSize = this.view.getUint16(at + 4, true);
    if (this.gsoSize === 0) this.gsoType = GSO_NONE;
    if (word & VNET_F_NEEDS_CSUM) {
      this.csumAt = this.view.getUint16(at + 6, true) - (this.ipAt - this.frameAt);
      this.csumOffset = this.view.getUint16(at + 8, true);
    }
  }

  /** Write the virtio-net header before the frame. */
  storeVnet(): void {
    const at = this.frameAt - VNET_LENGTH;
    const view = this.view;
    if (this.gsoType === GSO_NONE && this.csumAt === NONE) {
      view.setInt32(at, 0);
      view.setInt32(at + 4, 0);
      view.setUint16(at + 8, 0);
      return;
    }
    const ipOffset = this.ipAt - this.frameAt;
    view.setUint8(at, this.csumAt === NONE ? 0 : VNET_F_NEEDS_CSUM);
    view.setUint8(at + 1, this.gsoType);
    view.setUint16(at + 2, this.gsoType === GSO_NONE ? 0 : this.payloadAt() - this.frameAt, true);
    view.setUint16(at + 4, this.gsoSize, true);
    view.setUint16(at + 6, this.csumAt === NONE ? 0 : this.csumAt + ipOffset, true);
    view.setUint16(at + 8, this.csumOffset, true);
  }

  /** First byte after the transport header. */
  payloadAt(): number {
    if (this.protocol === ip.PROTOCOL_TCP) return this.l4At + tcp.dataOffset(this.view, this.l4At);
    if (this.protocol === ip.PROTOCOL_UDP) return this.l4At + udp.UDP_HEADER;
    return this.l4At;
  }

  /** Bytes of the IP packet. */
  get lengthBytes(): number { return this.end - this.ipAt; }

  /** Bytes of the largest packet that leaves when a super-frame is cut up; the packet's own length when it is none. */
  get wireLengthBytes(): number {
    const whole = this.end - this.ipAt;
    return this.gsoType === GSO_NONE ? whole : Math.min(whole, this.payloadAt() - this.ipAt + this.gsoSize);
  }

  /** Take addresses and protocol from the IP header (already checked). */
  parseIp(): void {
    const { view, ipAt, tuple } = this;
    this.protocol = ip.protocol(view, ipAt);
    this.fragment = ip.fragmentWord(view, ipAt);
    this.l4At = ipAt + ip.headerLength(view, ipAt);
    tuple.setV4(ip.source(view, ipAt), ip.destination(view, ipAt), 0, this.protocol);
  }

  /**
   * Take ports, flags and types from the transport header. False when it is cut short or contradicts itself. An ICMP query's identifier
   * is the requester's port; an ICMP error and every other protocol have no ports.
   */
  parseL4(): boolean {
    const { view, l4At, tuple } = this;
    const length = this.end - l4At;
    switch (this.protocol) {
      case ip.PROTOCOL_TCP: {
        if (length < tcp.TCP_HEADER) return false;
        const offset = tcp.dataOffset(view, l4At);
        if (offset < tcp.TCP_HEADER || offset > length) return false;
        tuple.ports = view.getInt32(l4At);
        this.tcpFlags = tcp.flags(view, l4At);
        break;
      }
      case ip.PROTOCOL_UDP: {
        if (length < udp.UDP_HEADER) return false;
        const declared = udp.length(view, l4At);
        // A UDP super-frame's length field covers one segment or all of it, by kernel; both are bounded by the record.
        if (declared < udp.UDP_HEADER || declared > length) return false;
        tuple.ports = view.getInt32(l4At);
        break;
      }
      case ip.PROTOCOL_ICMP: {
        if (length < icmp.ICMP_HEADER) return false;
        const type = icmp.type(view, l4At);
        this.icmpType = type;
        tuple.ports = icmp.isRequest(type) ? icmp.identifier(view, l4At) << 16 : icmp.isReply(type) ? icmp.identifier(view, l4At) : 0;
        break;
      }
      default:
        tuple.ports = 0;
    }
    this.checkOffload();
    return true;
  }

  /** Offload metadata comes from whoever sent the frame: what points out of the transport part or fits no such protocol counts for nothing. */
  private checkOffload(): void {
    const { protocol } = this;
    const type = this.gsoType & ~GSO_ECN;
    if (type !== GSO_NONE && !(type === GSO_TCPV4 && protocol === ip.PROTOCOL_TCP) && !(type === GSO_UDP_L4 && protocol === ip.PROTOCOL_UDP)) {
      this.gsoType = GSO_NONE;
      this.gsoSize = 0;
    }
    if (this.csumAt === NONE) {
      this.partial = false;
      return;
    }
    const l4Offset = this.l4At - this.ipAt;
    if (this.csumAt < l4Offset || this.ipAt + this.csumAt + this.csumOffset + 2 > this.end) this.csumAt = NONE;
    const own = protocol === ip.PROTOCOL_TCP ? tcp.TCP_CHECKSUM_OFFSET : protocol === ip.PROTOCOL_UDP ? udp.UDP_CHECKSUM_OFFSET
      : protocol === ip.PROTOCOL_ICMP ? icmp.ICMP_CHECKSUM_OFFSET : NONE;
    this.partial = this.csumAt === l4Offset && this.csumOffset === own;
  }

  /** New source address and port (or ICMP identifier), every checksum mended. IPv4. */
  rewriteSource(address: number, port: number): void {
    const tuple = this.tuple;
    const delta = tuple.s3 === address ? 0 : delta32(tuple.s3, address);
    this.rewrite(12, address, delta, 0, tuple.ports >>> 16, port);
    tuple.s3 = address;
    tuple.ports = (port << 16) | (tuple.ports & 0xffff);
  }

  /** New destination address and port (or ICMP identifier), every checksum mended. IPv4. */
  rewriteDestination(address: number, port: number): void {
    const tuple = this.tuple;
    const delta = tuple.d3 === address ? 0 : delta32(tuple.d3, address);
    this.rewrite(16, address, delta, 2, tuple.ports & 0xffff, port);
    tuple.d3 = address;
    tuple.ports = (tuple.ports & ~0xffff) | port;
  }

  private rewrite(addressOffset: number, address: number, addressDelta: number, portOffset: number, portBefore: number, port: number): void {
    const { view, ipAt, l4At } = this;
    view.setInt32(ipAt + addressOffset, address);
    if (addressDelta !== 0) view.setUint16(ipAt + 10, update(view.getUint16(ipAt + 10), addressDelta));
    switch (this.protocol) {
      case ip.PROTOCOL_TCP: {
        const at = l4At + tcp.TCP_CHECKSUM_OFFSET;
        if (this.partial) {
          view.setUint16(at, updatePartial(view.getUint16(at), addressDelta));
        } else {
          view.setUint16(at, update(view.getUint16(at), addressDelta + delta16(portBefore, port)));
        }
        view.setUint16(l4At + portOffset, port);
        break;
      }
      case ip.PROTOCOL_UDP: {
        const at = l4At + udp.UDP_CHECKSUM_OFFSET;
        const stored = view.getUint16(at);
        if (this.partial) {
          view.setUint16(at, updatePartial(stored, addressDelta));
        } else if (stored !== 0) {
          // RFC 768: a computed 0 is sent as 0xffff, since 0 says "no checksum".
          view.setUint16(at, update(stored, addressDelta + delta16(portBefore, port)) || 0xffff);
        }
        view.setUint16(l4At + portOffset, port);
        break;
      }
      case ip.PROTOCOL_ICMP: {
        // No pseudo-header: only the identifier counts, and only on the side that bears it.
        if (portBefore === port || icmp.isError(this.icmpType)) break;
        const at = l4At + icmp.ICMP_CHECKSUM_OFFSET;
        // An echo reply may come out as all zeroes, whose checksum is 0xffff; for any other message 0xffff is as right as 0.
        if (!this.partial) view.setUint16(at, update(view.getUint16(at), delta16(portBefore, port)) || 0xffff);
        view.setUint16(l4At + icmp.ICMP_ID_OFFSET, port);
        break;
      }
    }
  }

  /** The address the frame goes to on its out link, as IPv4. */
  setNext(address: number): void {
    this.next0 = 0;
    this.next1 = 0;
    this.next2 = V4_MAPPED;
    this.next3 = address;
  }
}
