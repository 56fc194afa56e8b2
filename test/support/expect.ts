/**
 * Composable assertions about a frame: `expect(frame, ethernet({...}), ipv4({ source, ttl: 63 }), tcp({ destinationPort }))`. Only the fields
 * named are compared, but every checksum is verified, named or not, unless the matcher says what else it is to be; so are
 * the lengths. Nothing of src/wire is used.
 */
import * as assert from 'uvu/assert';
import { FLAG, PROTOCOL, formatAddress, formatMac, onesSum, pseudoHeader } from './frames.js';
import type { Checksum } from './frames.js';

/** What a matcher works on: the bytes from its layer on, and what has been verified or is excused. */
export interface Cursor {
  bytes: Buffer;
  at: number;
  /** End of the IP packet. */
  end: number;
  source: Buffer;
  destination: Buffer;
  protocol: number;
  /** A quote may end anywhere and its transport checksum is nobody's business. */
  isQuote: boolean;
  /** The transport layer has been looked at. */
  isTransportSeen: boolean;
  isFragment: boolean;
}

export type Matcher = (cursor: Cursor) => void;

function compare(layer: string, have: Record<string, unknown>, want: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(want)) {
    if (value === undefined || name === 'checksum') continue;
    assert.equal(have[name], value, `${layer}.${name}: expected ${show(value)}, got ${show(have[name])}`);
  }
}

function show(value: unknown): string { return Buffer.isBuffer(value) ? value.toString('hex') : String(value); }

export interface EthernetWant { source?: string; destination?: string; type?: number }

export function ethernet(want: EthernetWant = {}): Matcher {
  return (c) => {
    assert.ok(c.bytes.length - c.at >= 14, 'ethernet: runt');
    compare('ethernet', {
      destination: formatMac(c.bytes.subarray(c.at, c.at + 6)), source: formatMac(c.bytes.subarray(c.at + 6, c.at + 12)), type: c.bytes.readUInt16BE(c.at + 12),
    }, { ...want });
    c.at += 14;
  };
}

export interface ArpWant { operation?: 'request' | 'reply'; senderMac?: string; sender?: string; targetMac?: string; target?: string }

export function arp(want: ArpWant = {}): Matcher {
  return (c) => {
    const b = c.bytes.subarray(c.at);
    assert.is(b.subarray(0, 6).toString('hex'), '000108000604', 'arp: Ethernet and IPv4');
    compare('arp', {
      operation: b.readUInt16BE(6) === 1 ? 'request' : 'reply', senderMac: formatMac(b.subarray(8, 14)), sender: formatAddress(b.subarray(14, 18)),
      targetMac: formatMac(b.subarray(18, 24)), target: formatAddress(b.subarray(24, 28)),
    }, { ...want });
    c.isTransportSeen = true;
  };
}

export interface Ipv4Want {
  source?: string; destination?: string; ttl?: number; id?: number; tos?: number; dontFragment?: boolean; moreFragments?: boolean; offset?: number;
  options?: Buffer; totalLength?: number; protocol?: number; checksum?: 'wrong';
}

export function ipv4(want: Ipv4Want = {}): Matcher {
  return (c) => {
    const b = c.bytes.subarray(c.at);
    assert.ok(b.length >= 20, 'ipv4: too short');
    assert.is(b[0] >> 4, 4, 'ipv4: version');
    const header = (b[0] & 15) * 4;
    const word = b.readUInt16BE(6);
    compare('ipv4', {
      source: formatAddress(b.subarray(12, 16)), destination: formatAddress(b.subarray(16, 20)), ttl: b[8], id: b.readUInt16BE(4), tos: b[1],
      dontFragment: (word & 0x4000) !== 0, moreFragments: (word & 0x2000) !== 0, offset: (word & 0x1fff) * 8,
      options: b.subarray(20, header), totalLength: b.readUInt16BE(2), protocol: b[9],
    }, { ...want, ...(want.options === undefined ? {} : { options: Buffer.from(want.options) }) });
    assert.is(onesSum(b.subarray(0, header)) === 0xffff, want.checksum !== 'wrong', 'ipv4: header checksum');
    if (!c.isQuote) assert.is(b.readUInt16BE(2), b.length, 'ipv4: total length is the length of the frame');
    c.source = b.subarray(12, 16);
    c.destination = b.subarray(16, 20);
    c.protocol = b[9];
    c.isFragment = (word & 0x3fff) !== 0;
    c.end = Math.min(c.at + b.readUInt16BE(2), c.bytes.length);
    c.at += header;
  };
}

/** The state of a transport checksum, from its bytes alone. */
function checksumState(c: Cursor, offset: number): Checksum | 'unknown' {
  const b = c.bytes.subarray(c.at, c.end);
  if (b.length < offset + 2) return 'unknown';
  const stored = b.readUInt16BE(offset);
  if (c.protocol === PROTOCOL.icmp) return onesSum(b) === 0xffff ? 'right' : 'wrong';
  if (c.protocol === PROTOCOL.udp && stored === 0) return 'none';
  const pseudo = pseudoHeader(c.source, c.destination, c.protocol, b.length);
  if (onesSum(pseudo, b) === 0xffff) return 'right';
  return stored === onesSum(pseudo) ? 'partial' : 'wrong';
}

const CHECKSUM_OFFSET: Record<number, number> = { [PROTOCOL.tcp]: 16, [PROTOCOL.udp]: 6, [PROTOCOL.icmp]: 2 };

function checkTransport(c: Cursor, want: Checksum = 'right'): void {
  c.isTransportSeen = true;
  const offset = CHECKSUM_OFFSET[c.protocol];
  if (offset === undefined || c.isQuote || c.isFragment) return;
  assert.is(checksumState(c, offset), want, 'transport checksum');
}

export interface TcpWant {
  sourcePort?: number; destinationPort?: number; sequence?: number; acknowledgement?: number; flags?: string; payload?: Buffer; checksum?: Checksum;
}

export function tcp(want: TcpWant = {}): Matcher {
  return (c) => {
    assert.is(c.protocol, PROTOCOL.tcp, 'protocol is TCP');
    const b = c.bytes.subarray(c.at, c.end);
    const isWhole = b.length >= 20;
    compare('tcp', {
      sourcePort: b.readUInt16BE(0), destinationPort: b.readUInt16BE(2), sequence: b.readUInt32BE(4),
      ...(isWhole ? {
        acknowledgement: b.readUInt32BE(8), flags: Object.entries(FLAG).filter(([, bit]) => b[13] & bit).map(([letter]) => letter).join(''),
        payload: b.subarray((b[12] >> 4) * 4),
      } : {}),
    }, { ...want });
    checkTransport(c, want.checksum);
  };
}

export interface UdpWant { sourcePort?: number; destinationPort?: number; payload?: Buffer; length?: number; checksum?: Checksum }

export function udp(want: UdpWant = {}): Matcher {
  return (c) => {
    assert.is(c.protocol, PROTOCOL.udp, 'protocol is UDP');
    const b = c.bytes.subarray(c.at, c.end);
    compare('udp', { sourcePort: b.readUInt16BE(0), destinationPort: b.readUInt16BE(2), length: b.readUInt16BE(4), payload: b.subarray(8) }, { ...want });
    checkTransport(c, want.checksum);
  };
}

export interface EchoWant { type?: 'request' | 'reply'; id?: number; sequence?: number; payload?: Buffer; checksum?: Checksum }

export function echo(want: EchoWant = {}): Matcher {
  return (c) => {
    assert.is(c.protocol, PROTOCOL.icmp, 'protocol is ICMP');
    const b = c.bytes.subarray(c.at, c.end);
    compare('echo', {
      type: b[0] === 8 ? 'request' : b[0] === 0 ? 'reply' : b[0], id: b.readUInt16BE(4), sequence: b.readUInt16BE(6), payload: b.subarray(8),
    }, { ...want });
    checkTransport(c, want.checksum);
  };
}

export interface IcmpErrorWant { type: number; code: number; /** The low half of the word after the checksum (RFC 1191). */ mtu?: number }

/** An ICMP error; matchers after it look at the quote. */
export function icmpError(want: IcmpErrorWant): Matcher {
  return (c) => {
    assert.is(c.protocol, PROTOCOL.icmp, 'protocol is ICMP');
    const b = c.bytes.subarray(c.at, c.end);
    compare('icmp', { type: b[0], code: b[1], mtu: b.readUInt16BE(6) }, { ...want });
    checkTransport(c);
    c.at += 8;
    c.isQuote = true;
  };
}

/** The quote (or what else is left) is exactly the beginning of these bytes. */
export function bytes(want: Buffer): Matcher {
  return (c) => {
    const have = c.bytes.subarray(c.at, c.end);
    assert.ok(have.length > 0 && have.length <= want.length, `bytes: ${have.length} of ${want.length}`);
    assert.is(have.toString('hex'), want.subarray(0, have.length).toString('hex'), 'bytes');
    c.isTransportSeen = true;
  };
}

/** Apply the matchers layer by layer. The first one says where to begin: at an Ethernet header or at an IP packet. */
export function expect(frame: Buffer, ...layers: Matcher[]): void {
  const none = Buffer.alloc(4);
  const cursor: Cursor = {
    bytes: frame, at: 0, end: frame.length, source: none, destination: none, protocol: -1, isQuote: false, isTransportSeen: false, isFragment: false,
  };
  for (const layer of layers) layer(cursor);
  if (cursor.protocol >= 0 && !cursor.isTransportSeen) checkTransport(cursor);
}
