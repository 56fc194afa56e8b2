/**
 * IPv4 packets built and judged the plain way, with Buffers and nothing of src/: what the codecs and the packet view are compared with.
 */
import { internetChecksum, onesSum } from './checksum.js';

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;

export interface IpHeader {
  source: number; destination: number; protocol: number;
  id?: number; fragment?: number; ttl?: number; tos?: number;
  /** A multiple of four bytes, at most 40. */
  options?: Uint8Array;
}

export function ipv4(header: IpHeader, payload: Uint8Array): Buffer {
  const options = header.options ?? new Uint8Array(0);
  const length = 20 + options.length;
  const packet = Buffer.alloc(length + payload.length);
  packet[0] = 0x40 | (length / 4);
  packet[1] = header.tos ?? 0;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(header.id ?? 0, 4);
  packet.writeUInt16BE(header.fragment ?? 0, 6);
  packet[8] = header.ttl ?? 64;
  packet[9] = header.protocol;
  packet.writeInt32BE(header.source, 12);
  packet.writeInt32BE(header.destination, 16);
  packet.set(options, 20);
  packet.writeUInt16BE(internetChecksum(packet.subarray(0, length)), 10);
  packet.set(payload, length);
  return packet;
}

/** How the transport checksum is filled in: right, the pseudo-header's sum only (offload), or absent (UDP 0). */
export type ChecksumForm = 'complete' | 'partial' | 'absent';

export interface TcpHeader { ports: number; sequence?: number; acknowledgement?: number; flags?: number; window?: number; options?: Uint8Array }

export function tcp(header: TcpHeader, payload: Uint8Array): Buffer {
  const options = header.options ?? new Uint8Array(0);
  const segment = Buffer.alloc(20 + options.length + payload.length);
  segment.writeInt32BE(header.ports, 0);
  segment.writeInt32BE(header.sequence ?? 0, 4);
  segment.writeInt32BE(header.acknowledgement ?? 0, 8);
  segment[12] = (5 + options.length / 4) << 4;
  segment[13] = header.flags ?? 0;
  segment.writeUInt16BE(header.window ?? 0xffff, 14);
  segment.set(options, 20);
  segment.set(payload, 20 + options.length);
  return segment;
}

export function udp(ports: number, payload: Uint8Array): Buffer {
  const datagram = Buffer.alloc(8 + payload.length);
  datagram.writeInt32BE(ports, 0);
  datagram.writeUInt16BE(datagram.length, 4);
  datagram.set(payload, 8);
  return datagram;
}

/** An ICMP message; its checksum is right, for no address enters into it. */
export function icmp(type: number, code: number, identifier: number, payload: Uint8Array): Buffer {
  const message = Buffer.alloc(8 + payload.length);
  message[0] = type;
  message[1] = code;
  message.writeUInt16BE(identifier, 4);
  message.set(payload, 8);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

export function pseudoHeader(source: number, destination: number, protocol: number, length: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeInt32BE(source, 0);
  bytes.writeInt32BE(destination, 4);
  bytes[9] = protocol;
  bytes.writeUInt16BE(length, 10);
  return bytes;
}

export function headerLength(packet: Uint8Array): number { return (packet[0] & 15) * 4; }

/** Byte of a transport header its checksum stands at; -1 for a protocol without one that covers addresses. */
export function checksumOffset(protocol: number): number { return protocol === TCP ? 16 : protocol === UDP ? 6 : -1; }

/** A whole packet round a TCP segment or UDP datagram, its checksum in the given form. */
export function transport(header: IpHeader, segment: Buffer, form: ChecksumForm): Buffer {
  const packet = ipv4(header, segment);
  const at = headerLength(packet) + checksumOffset(header.protocol);
  packet.writeUInt16BE(0, at);
  const pseudo = onesSum(pseudoHeader(header.source, header.destination, header.protocol, segment.length));
  if (form === 'partial') packet.writeUInt16BE(pseudo, at);
  if (form === 'complete') {
    const value = internetChecksum(packet.subarray(headerLength(packet)), pseudo);
    packet.writeUInt16BE(header.protocol === UDP && value === 0 ? 0xffff : value, at);
  }
  return packet;
}

/** True when the header's checksum and that of TCP, UDP or ICMP are right (UDP 0: none claimed). */
export function checksumsAreRight(packet: Buffer): boolean {
  const header = headerLength(packet);
  if (onesSum(packet.subarray(0, header)) !== 0xffff) return false;
  const protocol = packet[9];
  const segment = packet.subarray(header, packet.readUInt16BE(2));
  if (protocol === ICMP) return onesSum(segment) === 0xffff;
  const at = checksumOffset(protocol);
  if (at < 0) return true;
  if (protocol === UDP && segment.readUInt16BE(at) === 0) return true;
  const pseudo = pseudoHeader(packet.readInt32BE(12), packet.readInt32BE(16), protocol, segment.length);
  return onesSum(segment, onesSum(pseudo)) === 0xffff;
}

/** Put fragments together, whatever their order, checking that they touch and do not overlap (RFC 791 §3.2). The header is the first one's. */
export function reassemble(fragments: readonly Buffer[]): Buffer {
  const sorted = [...fragments].sort((a, b) => (a.readUInt16BE(6) & 0x1fff) - (b.readUInt16BE(6) & 0x1fff));
  let expected = 0;
  const payloads: Buffer[] = [];
  sorted.forEach((fragment, i) => {
    const word = fragment.readUInt16BE(6);
    const payload = fragment.subarray(headerLength(fragment), fragment.readUInt16BE(2));
    if ((word & 0x1fff) * 8 !== expected) throw new Error(`fragment ${i} begins at ${(word & 0x1fff) * 8}, not at ${expected}`);
    const isLast = (word & 0x2000) === 0;
    if (isLast !== (i === sorted.length - 1)) throw new Error(`fragment ${i} of ${sorted.length} has the wrong MF`);
    expected += payload.length;
    payloads.push(payload);
  });
  const first = sorted[0];
  const header = Buffer.from(first.subarray(0, headerLength(first)));
  header.writeUInt16BE(header.length + expected, 2);
  header.writeUInt16BE(first.readUInt16BE(6) & 0x4000, 6);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, ...payloads]);
}
