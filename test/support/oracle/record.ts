/** Packets in an arena: records laid down as a link would, and read back as bytes. */
import { Packet } from '../../../src/wire/packet.js';
import { VNET_LENGTH } from '../../../src/wire/vnet.js';

export interface Vnet { flags: number; gsoType: number; headerLength: number; gsoSize: number; csumStart: number; csumOffset: number }

export const PLAIN: Vnet = { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };

export function packet(bytes = 1024 * 1024): Packet { return new Packet(new ArrayBuffer(bytes)); }

export function writeVnet(p: Packet, frameAt: number, vnet: Vnet): void {
  const at = frameAt - VNET_LENGTH;
  p.view.setUint8(at, vnet.flags);
  p.view.setUint8(at + 1, vnet.gsoType);
  [vnet.headerLength, vnet.gsoSize, vnet.csumStart, vnet.csumOffset].forEach((value, i) => p.view.setUint16(at + 2 + i * 2, value, true));
}

export function readVnet(p: Packet, frameAt: number): Vnet {
  const at = frameAt - VNET_LENGTH;
  const field = (i: number): number => p.view.getUint16(at + 2 + i * 2, true);
  return { flags: p.view.getUint8(at), gsoType: p.view.getUint8(at + 1), headerLength: field(0), gsoSize: field(1), csumStart: field(2), csumOffset: field(3) };
}

/** Lay an IP packet down at `ipAt` behind a link header of `linkHeader` bytes, and parse it as the path does. True when it parses. */
export function place(p: Packet, bytes: Uint8Array, ipAt = 64, linkHeader = 0, vnet = PLAIN): boolean {
  const frameAt = ipAt - linkHeader;
  writeVnet(p, frameAt, vnet);
  p.u8.set(bytes, ipAt);
  p.load(0, frameAt, linkHeader + bytes.length, linkHeader);
  p.loadVnet();
  p.parseIp();
  return p.parseL4();
}

/** The packet's bytes as they stand now. */
export function bytesAt(p: Packet, ipAt = p.ipAt, end = p.end): Buffer { return Buffer.from(p.u8.slice(ipAt, end)); }
