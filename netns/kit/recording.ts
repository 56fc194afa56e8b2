/**
 * Reads a recording while it grows, in this process: a file of libpcap's classic format (microseconds, little-endian, Ethernet), only what has been
 * added since it was last read. It is for questions such as "has this been on the wire, and when", asked again and again; checksums and whole protocols are
 * judged by tshark (capture.ts).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MAGIC_US = 0xa1b2c3d4;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
/** TCP flags (RFC 9293 §3.1). */
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;

/** A frame of ARP or IPv4. What a frame does not have is 0, '' or empty. */
export interface Sighting {
  /** Unix time, with microseconds. */
  atMs: number;
  sourceMac: string;
  kind: 'arp' | 'ip';
  /** Of ARP: sender and target, and 1 for a question. */
  source: string;
  destination: string;
  arpOperation: number;
  protocol: number;
  ttl: number;
  /** Ports of UDP and TCP; type and code of ICMP. */
  sourcePort: number;
  destinationPort: number;
  icmpType: number;
  icmpCode: number;
  /** Of an echo: who asks, and the number of the question. */
  icmpId: number;
  icmpSequence: number;
  tcpFlags: number;
  /** Behind the header of UDP, TCP or ICMP. */
  payload: Buffer;
}

const address = (bytes: Buffer, at: number): string => `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;

/** One frame; null for what is neither ARP nor whole IPv4. */
function sight(frame: Buffer, atMs: number): Sighting | null {
  if (frame.length < 14) return null;
  const sighting: Sighting = {
    atMs, sourceMac: frame.toString('hex', 6, 12).replaceAll(/\B(?=(..)+$)/g, ':'), kind: 'ip', source: '', destination: '', arpOperation: 0, protocol: 0, ttl: 0,
    sourcePort: 0, destinationPort: 0, icmpType: 0, icmpCode: 0, icmpId: 0, icmpSequence: 0, tcpFlags: 0, payload: Buffer.alloc(0),
  };
  const type = frame.readUInt16BE(12);
  if (type === ETHERTYPE_ARP && frame.length >= 42) {
    return { ...sighting, kind: 'arp', arpOperation: frame.readUInt16BE(20), source: address(frame, 28), destination: address(frame, 38) };
  }
  if (type !== ETHERTYPE_IPV4 || frame.length < 34) return null;
  const l4 = 14 + (frame[14] & 0xf) * 4;
  // A short frame is padded behind the datagram.
  const end = Math.min(frame.length, 14 + frame.readUInt16BE(16));
  Object.assign(sighting, { ttl: frame[22], protocol: frame[23], source: address(frame, 26), destination: address(frame, 30) });
  // A later fragment has no header of its own (RFC 791 §3.1).
  if ((frame.readUInt16BE(20) & 0x1fff) !== 0 || end < l4 + 8) return sighting;
  if (sighting.protocol === ICMP) Object.assign(sighting, { icmpType: frame[l4], icmpCode: frame[l4 + 1], icmpId: frame.readUInt16BE(l4 + 4), icmpSequence: frame.readUInt16BE(l4 + 6), payload: frame.subarray(l4 + 8, end) });
  if (sighting.protocol === UDP || sighting.protocol === TCP) Object.assign(sighting, { sourcePort: frame.readUInt16BE(l4), destinationPort: frame.readUInt16BE(l4 + 2) });
  if (sighting.protocol === UDP) sighting.payload = frame.subarray(l4 + 8, end);
  if (sighting.protocol === TCP && end >= l4 + 20) Object.assign(sighting, { tcpFlags: frame[l4 + 13], payload: frame.subarray(l4 + (frame[l4 + 12] >> 4) * 4, end) });
  return sighting;
}

export class Recording {
  readonly file: string;
  readonly #seen: Sighting[] = [];
  /** Bytes of the file that have been read as whole frames. */
  #at = 0;

  constructor(file: string) { this.file = file; }

  /** Everything seen so far, oldest first. */
  get frames(): readonly Sighting[] {
    this.#read();
    return this.#seen;
  }

  #read(): void {
    const file = openSync(this.file, 'r');
    let bytes: Buffer;
    try {
      bytes = Buffer.alloc(fstatSync(file).size - this.#at);
      bytes = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, this.#at));
    } finally {
      closeSync(file);
    }
    let at = 0;
    if (this.#at === 0) {
      if (bytes.length < FILE_HEADER_BYTES) return;
      if (bytes.readUInt32LE(0) !== MAGIC_US) throw new Error(`${this.file} is not a recording in microseconds`);
      at = FILE_HEADER_BYTES;
    }
    while (bytes.length - at >= RECORD_HEADER_BYTES) {
      const length = bytes.readUInt32LE(at + 8);
      const end = at + RECORD_HEADER_BYTES + length;
      if (end > bytes.length) break;
      const frame = sight(bytes.subarray(at + RECORD_HEADER_BYTES, end), bytes.readUInt32LE(at) * 1000 + bytes.readUInt32LE(at + 4) / 1000);
      if (frame !== null) this.#seen.push(frame);
      at = end;
    }
    this.#at += at;
  }
}
