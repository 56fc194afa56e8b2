/**
 * Builders of frames, written apart from src/wire so that the two can contradict each other. Each layer is a function of its
 * fields and of what it carries; every checksum is right unless the fields ask otherwise. Addresses and MAC addresses are text.
 */

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, gre: 47 } as const;
export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';

/** 'wrong' is off by a fixed amount, 'partial' is the sum of the pseudo-header (left to a device to finish), 'none' is 0. */
export type Checksum = 'right' | 'wrong' | 'partial' | 'none';

/** A transport layer: it needs the addresses of the packet around it for its pseudo-header. */
export interface Transport { protocol: number; build(source: Buffer, destination: Buffer): Buffer }

export function mac(text: string): Buffer { return Buffer.from(text.replaceAll(':', ''), 'hex'); }
export function address(text: string): Buffer { return Buffer.from(text.split('.').map(Number)); }
export function formatMac(bytes: Buffer): string { return bytes.toString('hex').replace(/..(?=.)/g, '$&:'); }
export function formatAddress(bytes: Buffer): string { return [...bytes].join('.'); }

/** One's complement sum of big-endian words, folded; an odd byte counts as the high half of a word (RFC 1071). */
export function onesSum(...parts: Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i] * 256 : bytes[i];
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

export function pseudoHeader(source: Buffer, destination: Buffer, protocol: number, length: number): Buffer {
  return Buffer.concat([source, destination, Buffer.from([0, protocol, length >> 8, length & 255])]);
}

/** `length` bytes that differ from place to place. */
export function filler(length: number, start = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) + start) & 255));
}

export function ethernet(fields: { source: string; destination: string; type?: number | undefined }, carried: Buffer): Buffer {
  const type = fields.type ?? ETHERTYPE.ipv4;
  return Buffer.concat([mac(fields.destination), mac(fields.source), Buffer.from([type >> 8, type & 255]), carried]);
}

export interface ArpFields { operation: 'request' | 'reply'; senderMac: string; sender: string; targetMac?: string; target: string }

export function arp(fields: ArpFields): Buffer {
  return Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, fields.operation === 'request' ? 1 : 2]), mac(fields.senderMac), address(fields.sender),
    mac(fields.targetMac ?? '00:00:00:00:00:00'), address(fields.target),
  ]);
}

export interface Ipv4Fields {
  source: string; destination: string; ttl?: number; id?: number; tos?: number; dontFragment?: boolean; moreFragments?: boolean;
  /** Fragment offset, bytes. */
  offset?: number;
  /** A multiple of 4 bytes. */
  options?: Buffer;
  /** For what is not made by one of the transports below. */
  protocol?: number;
  /** Overrides of what would be right. */
  version?: number; headerWords?: number; totalLength?: number; checksum?: 'wrong';
}

/** An IPv4 packet around a transport layer or plain bytes. */
export function ipv4(fields: Ipv4Fields, carried: Transport | Buffer): Buffer {
  const source = address(fields.source), destination = address(fields.destination);
  const payload = Buffer.isBuffer(carried) ? carried : carried.build(source, destination);
  const options = fields.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = ((fields.version ?? 4) << 4) | (fields.headerWords ?? header.length / 4);
  header[1] = fields.tos ?? 0;
  header.writeUInt16BE(fields.totalLength ?? header.length + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 0x1234, 4);
  header.writeUInt16BE((fields.dontFragment ? 0x4000 : 0) | (fields.moreFragments ? 0x2000 : 0) | ((fields.offset ?? 0) >> 3), 6);
  header[8] = fields.ttl ?? 64;
  header[9] = fields.protocol ?? (Buffer.isBuffer(carried) ? 0 : carried.protocol);
  source.copy(header, 12);
  destination.copy(header, 16);
  options.copy(header, 20);
  const right = ~onesSum(header) & 0xffff;
  header.writeUInt16BE(fields.checksum === 'wrong' ? right ^ 0x0101 : right, 10);
  return Buffer.concat([header, payload]);
}

function seal(bytes: Buffer, at: number, protocol: number, source: Buffer, destination: Buffer, checksum: Checksum): Buffer {
  const pseudo = pseudoHeader(source, destination, protocol, bytes.length);
  const right = (~onesSum(pseudo, bytes) & 0xffff) || (protocol === PROTOCOL.udp ? 0xffff : 0);
  const stored = { right, wrong: right ^ 0x0101, partial: onesSum(pseudo), none: 0 }[checksum];
  bytes.writeUInt16BE(stored, at);
  return bytes;
}

export const FLAG = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 } as const;

export interface TcpFields {
  sourcePort: number; destinationPort: number; sequence?: number; acknowledgement?: number;
  /** Letters of FLAG. */
  flags?: string; options?: Buffer; payload?: Buffer; checksum?: Checksum;
  /** As it stands in the header, unscaled. */
  window?: number;
}

export function tcp(fields: TcpFields): Transport {
  return {
    protocol: PROTOCOL.tcp,
    build: (source, destination) => {
      const options = fields.options ?? Buffer.alloc(0);
      const header = Buffer.alloc(20);
      header.writeUInt16BE(fields.sourcePort, 0);
      header.writeUInt16BE(fields.destinationPort, 2);
      header.writeUInt32BE(fields.sequence ?? 1000, 4);
      header.writeUInt32BE(fields.acknowledgement ?? 0, 8);
      header[12] = ((20 + options.length) / 4) << 4;
      for (const letter of fields.flags ?? 'S') header[13] |= FLAG[letter as keyof typeof FLAG];
      header.writeUInt16BE(fields.window ?? 0xfaf0, 14);
      return seal(Buffer.concat([header, options, fields.payload ?? Buffer.alloc(0)]), 16, PROTOCOL.tcp, source, destination, fields.checksum ?? 'right');
    },
  };
}

export interface UdpFields { sourcePort: number; destinationPort: number; payload?: Buffer; checksum?: Checksum; length?: number }

export function udp(fields: UdpFields): Transport {
  return {
    protocol: PROTOCOL.udp,
    build: (source, destination) => {
      const payload = fields.payload ?? filler(16);
      const header = Buffer.alloc(8);
      header.writeUInt16BE(fields.sourcePort, 0);
      header.writeUInt16BE(fields.destinationPort, 2);
      header.writeUInt16BE(fields.length ?? 8 + payload.length, 4);
      return seal(Buffer.concat([header, payload]), 6, PROTOCOL.udp, source, destination, fields.checksum ?? 'right');
    },
  };
}

/** Any ICMP message: type, code, the four bytes after the checksum, the rest. */
export function icmp(fields: { type: number; code?: number; word?: number; checksum?: 'right' | 'wrong' | undefined }, rest: Buffer): Transport {
  const bytes = Buffer.alloc(8 + rest.length);
  bytes[0] = fields.type;
  bytes[1] = fields.code ?? 0;
  bytes.writeUInt32BE(fields.word ?? 0, 4);
  rest.copy(bytes, 8);
  const right = ~onesSum(bytes) & 0xffff;
  bytes.writeUInt16BE(fields.checksum === 'wrong' ? right ^ 0x0101 : right, 2);
  return { protocol: PROTOCOL.icmp, build: () => bytes };
}

export interface EchoFields { id: number; sequence?: number; payload?: Buffer; checksum?: 'right' | 'wrong' }

export function echoRequest(fields: EchoFields): Transport {
  return icmp({ ...fields, type: 8, word: fields.id * 65536 + (fields.sequence ?? 1) }, fields.payload ?? filler(32));
}

export function echoReply(fields: EchoFields): Transport {
  return icmp({ ...fields, type: 0, word: fields.id * 65536 + (fields.sequence ?? 1) }, fields.payload ?? filler(32));
}

/** The virtio-net header of a frame (virtio 1.2 §5.1.6): offsets are from the frame's first byte. */
export interface VnetFields {
  needsChecksum?: boolean; gso?: 'tcp' | 'udp' | undefined; ecn?: boolean; headerLength?: number; segmentBytes?: number; checksumStart?: number; checksumOffset?: number;
}

export function vnet(fields: VnetFields): Buffer {
  const bytes = Buffer.alloc(10);
  bytes[0] = fields.needsChecksum ? 1 : 0;
  bytes[1] = (fields.gso === 'tcp' ? 1 : fields.gso === 'udp' ? 5 : 0) | (fields.ecn ? 0x80 : 0);
  bytes.writeUInt16LE(fields.headerLength ?? 0, 2);
  bytes.writeUInt16LE(fields.segmentBytes ?? 0, 4);
  bytes.writeUInt16LE(fields.checksumStart ?? 0, 6);
  bytes.writeUInt16LE(fields.checksumOffset ?? 0, 8);
  return bytes;
}

/** The packet cut into IP fragments at the given payload offsets (multiples of 8), in order. `packet` has no options. */
export function fragments(packet: Buffer, cuts: number[]): Buffer[] {
  const payload = packet.subarray(20);
  const edges = [0, ...cuts, payload.length];
  return edges.slice(0, -1).map((from, i) => {
    const piece = Buffer.concat([packet.subarray(0, 20), payload.subarray(from, edges[i + 1])]);
    piece.writeUInt16BE(piece.length, 2);
    piece.writeUInt16BE((packet.readUInt16BE(6) & 0x4000) | (edges[i + 1] < payload.length ? 0x2000 : 0) | (from >> 3), 6);
    piece.writeUInt16BE(0, 10);
    piece.writeUInt16BE(~onesSum(piece.subarray(0, 20)) & 0xffff, 10);
    return piece;
  });
}
