/**
 * A device without a device: every turn it lays a full batch of frames of a traffic mix into the arena, with no allocation and no copy of
 * payload, and forgets what is sent. What a turn costs above it is the pipeline's own cost.
 *
 * Flow f is spoken between an inside endpoint (one of HOSTS addresses, a port no other endpoint has) and one of several servers outside. The
 * port of an endpoint is unique, so port preservation keeps it and the answers' tuples can be computed instead of looked up: the
 * harness touches no memory that grows with the flows but one byte each (which uplink the flow was given).
 *
 * A frame is a template of 16 words (virtio-net, Ethernet, IPv4 and TCP header) and three stamped fields. Flows are visited in strides
 * of about the golden ratio of their number: each once a round, neighbours in time far apart in every table.
 */
import { BATCH_MAX, HEADROOM, RECORD_MAX, RX_AT, RX_FRAME_AT, RX_LENGTH, RX_LENGTH_BYTES, RX_LINK, RX_VLAN_TCI, RX_WORDS } from '../../src/link/batch.js';
import type { BatchDevice, Exchange } from '../../src/link/exchange.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { fold } from '../../src/wire/checksum.js';
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, writeEthernet } from '../../src/wire/ethernet.js';
import { FLAG_DF, IPV4_HEADER, PROTOCOL_TCP, writeIpv4 } from '../../src/wire/ipv4.js';
import { ACK, SYN, TCP_HEADER } from '../../src/wire/tcp.js';
import { GSO_TCPV4, VNET_F_NEEDS_CSUM } from '../../src/wire/vnet.js';

/** Inside endpoints, and hosts they are spread over. With more flows than endpoints each endpoint talks to several servers. */
export const ENDPOINTS = 32768;
export const HOSTS = 200;
const FIRST_PORT = 1024;
const SERVER_PORT = 443;
const FIRST_HOST = parseIpv4('10.0.0.10');
const FIRST_SERVER = parseIpv4('198.18.0.1');
/** A TCP segment of Ethernet with timestamps. */
const SEGMENT_BYTES = 1448;

/** Words of a template, and how far before the IP header it begins. */
const WORDS = 16;
const LEAD = 24;

/** A port of the router as the ring's frames see it: its number and the two MAC addresses on it. */
export interface Port { link: number; macHigh: number; macLow: number; farHigh: number; farLow: number; /** Our address there, int32. */ address: number }

/** What the frames are. */
export interface Mix {
  /** Bytes of a frame without FCS; above the MTU it is a GSO super-frame. */
  frameBytes: number;
  flows: number;
}

/** What part of its flows' lives the ring plays. */
export type Phase = 'open' | 'answer' | 'establish' | 'both ways';

class Template {
  readonly words = new Int32Array(WORDS);
  /** Sum of the IP header without addresses and checksum. */
  readonly sum: number;

  constructor(frameBytes: number, flags: number, port: Port) {
    const view = new DataView(this.words.buffer);
    const isSuper = frameBytes > ETHERNET_LENGTH + 1500;
    const ipAt = LEAD;
    const frameAt = ipAt - ETHERNET_LENGTH;
    if (isSuper) {
      view.setUint8(0, VNET_F_NEEDS_CSUM);
      view.setUint8(1, GSO_TCPV4);
      view.setUint16(2, ETHERNET_LENGTH + IPV4_HEADER + TCP_HEADER, true);
      view.setUint16(4, SEGMENT_BYTES, true);
      view.setUint16(6, ETHERNET_LENGTH + IPV4_HEADER, true);
      view.setUint16(8, 16, true);
    }
    writeEthernet(view, frameAt, port.macHigh, port.macLow, port.farHigh, port.farLow, ETHERTYPE_IPV4);
    writeIpv4(view, ipAt, frameBytes - ETHERNET_LENGTH, 1, FLAG_DF, 64, PROTOCOL_TCP, 0, 0);
    this.sum = ~view.getUint16(ipAt + 10) & 0xffff;
    // Numbers a handshake would have; what is said afterwards is said over and over.
    view.setUint32(ipAt + IPV4_HEADER + 4, (flags & SYN) === 0 ? 1 : 0);
    view.setUint32(ipAt + IPV4_HEADER + 8, (flags & ACK) === 0 ? 0 : 1);
    view.setUint16(ipAt + IPV4_HEADER + 12, ((TCP_HEADER / 4) << 12) | flags);
    view.setUint16(ipAt + IPV4_HEADER + 14, 65535);
  }
}

function gcd(a: number, b: number): number { return b === 0 ? a : gcd(b, a % b); }

export class FlowRing implements BatchDevice {
  /** Frames sent to it, and bytes, since the last reset. */
  sent = 0;
  private readonly rx: Int32Array;
  private readonly words: Int32Array;
  private readonly view: DataView;
  private readonly lan: Port;
  private readonly wans: readonly Port[];
  private readonly flows: number;
  private readonly slotBytes: number;
  private readonly frameBytes: number;
  readonly batch: number;
  /** Which of the two uplinks a flow was given. */
  readonly uplinkOf: Uint8Array;
  private readonly stride: number;
  private at = 0;
  /** Frames still to be laid out in this phase. */
  private left = 0;
  private phase: Phase = 'open';
  private readonly syn: Template;
  private readonly outward: Template;
  private readonly synAck: readonly Template[];
  private readonly inward: readonly Template[];
  private flip = 0;

  constructor(exchange: Exchange, lan: Port, wans: readonly Port[], mix: Mix) {
    this.rx = exchange.rx;
    this.view = exchange.view;
    this.words = new Int32Array(exchange.arena);
    this.lan = lan;
    this.wans = wans;
    this.flows = mix.flows;
    this.frameBytes = mix.frameBytes;
    // As the addon packs them: back to back, and no more records than fit when each might be the longest.
    this.slotBytes = (HEADROOM - ETHERNET_LENGTH + mix.frameBytes + 3) & ~3;
    this.batch = Math.min(BATCH_MAX, Math.floor((RX_LENGTH - RECORD_MAX) / this.slotBytes) + 1);
    this.uplinkOf = new Uint8Array(mix.flows);
    let stride = Math.max(1, Math.floor(mix.flows * 0.6180339887));
    while (gcd(stride, mix.flows) !== 1) stride++;
    this.stride = stride;
    this.syn = new Template(60, SYN, lan);
    this.outward = new Template(mix.frameBytes, ACK, lan);
    this.synAck = wans.map((wan) => new Template(60, SYN | ACK, wan));
    this.inward = wans.map((wan) => new Template(mix.frameBytes, ACK, wan));
  }

  /** Lay out `packets` frames of a phase in the turns that follow. */
  play(phase: Phase, packets: number): void {
    this.phase = phase;
    this.left = packets;
  }

  /** Go back by so many flows. */
  rewind(flows: number): void { this.at = (((this.at - flows * this.stride) % this.flows) + this.flows) % this.flows; }

  get isDone(): boolean { return this.left === 0; }

  turn(txCount: number): number {
    this.sent += txCount;
    const count = this.left < this.batch ? this.left : this.batch;
    this.left -= count;
    for (let i = 0; i < count; i++) this.lay(i);
    return count;
  }

  flush(txCount: number): number {
    this.sent += txCount;
    return 0;
  }

  private lay(i: number): void {
    let outward = true;
    if (this.phase === 'both ways') outward = (this.flip ^= 1) === 0;
    else if (this.phase === 'answer') outward = false;
    // Both packets of a pair belong to different flows: the second one does not find its entry warm.
    const f = this.at;
    const next = f + this.stride;
    this.at = next >= this.flows ? next - this.flows : next;

    const uplink = this.uplinkOf[f];
    const wan = this.wans[uplink];
    const isControl = this.phase === 'open' || this.phase === 'answer';
    const template = outward ? (this.phase === 'open' ? this.syn : this.outward) : isControl ? this.synAck[uplink] : this.inward[uplink];
    const frameBytes = isControl ? 60 : this.frameBytes;

    const ipAt = RX_AT + i * this.slotBytes + HEADROOM;
    const { words, view } = this;
    const from = template.words;
    const to = (ipAt - LEAD) >> 2;
    for (let w = 0; w < WORDS; w++) words[to + w] = from[w];

    const endpoint = f & (ENDPOINTS - 1);
    const inside = outward ? FIRST_HOST + (endpoint % HOSTS) : wan.address;
    const server = FIRST_SERVER + (f >>> 15);
    const port = FIRST_PORT + endpoint;
    const source = outward ? inside : server;
    const destination = outward ? server : inside;
    view.setInt32(ipAt + 12, source);
    view.setInt32(ipAt + 16, destination);
    view.setUint16(ipAt + 10, ~fold(template.sum + (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff)) & 0xffff);
    view.setInt32(ipAt + IPV4_HEADER, outward ? (port << 16) | SERVER_PORT : (SERVER_PORT << 16) | port);

    const at = i * RX_WORDS;
    this.rx[at + RX_LINK] = outward ? this.lan.link : wan.link;
    this.rx[at + RX_FRAME_AT] = ipAt - ETHERNET_LENGTH;
    this.rx[at + RX_LENGTH_BYTES] = frameBytes;
    this.rx[at + RX_VLAN_TCI] = -1;
  }

  /** The flow of an inside port and a server's address: the way back from a flow table's entry. */
  static flowOf(port: number, server: number): number { return ((server - FIRST_SERVER) << 15) | (port - FIRST_PORT); }
}
