/**
 * What a router may change of a packet and what not: the TTL, the addresses and ports it translates, and the checksums over them. Sums are made from
 * nothing here, so that one kept right by adding differences is held against them.
 */
import { readBytes } from '../../netns/kit/capture.js';

const ETHERNET = 14, ETHERTYPE_IPV4 = 0x0800, TCP = 6;

/** An address and a TCP port: '172.16.0.3:8000'. */
export type Endpoint = string;

const bytesOf = (address: string): Buffer => Buffer.from(address.split('.').map(Number));
const split = (endpoint: Endpoint): { address: Buffer; port: number } => {
  const [address, port] = endpoint.split(':');
  return { address: bytesOf(address), port: Number(port) };
};
const text = (packet: Buffer, addressAt: number, portAt: number): Endpoint => `${[...packet.subarray(addressAt, addressAt + 4)].join('.')}:${packet.readUInt16BE(portAt)}`;

/** The sum of RFC 1071 over words, of which the last may be half. */
function sum(...parts: Buffer[]): number {
  let total = 0;
  for (const part of parts) for (let at = 0; at < part.length; at += 2) total += part[at] * 256 + (part[at + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return 0xffff - total;
}

/** The TCP packets of a recording from one endpoint to another: IP header on, without what pads the frame. */
export function tcpPackets(file: string, from: Endpoint, to: Endpoint): Buffer[] {
  return readBytes(file).filter((frame) => frame.readUInt16BE(12) === ETHERTYPE_IPV4).map((frame) => frame.subarray(ETHERNET, ETHERNET + frame.readUInt16BE(ETHERNET + 2)))
    .filter((packet) => packet[9] === TCP && text(packet, 12, headerOf(packet)) === from && text(packet, 16, headerOf(packet) + 2) === to);
}

const headerOf = (packet: Buffer): number => (packet[0] & 15) * 4;

/** The packet as it must come out of one router: a hop older, with other ends where they are given. */
export function rewritten(packet: Buffer, ends: { source?: Endpoint; destination?: Endpoint }): Buffer {
  const out = Buffer.from(packet);
  const tcp = headerOf(out);
  out[8]--;
  for (const [endpoint, addressAt, portAt] of [[ends.source, 12, tcp], [ends.destination, 16, tcp + 2]] as const) {
    if (endpoint === undefined) continue;
    const { address, port } = split(endpoint);
    address.copy(out, addressAt);
    out.writeUInt16BE(port, portAt);
  }
  out.writeUInt16BE(0, 10);
  out.writeUInt16BE(sum(out.subarray(0, tcp)), 10);
  out.writeUInt16BE(0, tcp + 16);
  const length = out.length - tcp;
  out.writeUInt16BE(sum(out.subarray(12, 20), Buffer.from([0, TCP, length >> 8, length & 255]), out.subarray(tcp)), tcp + 16);
  return out;
}

/** In no order but their own: the packet that completes a handshake may be overtaken by the first that the kernel forwards by itself (docs/decisions/0007). */
export const hex = (packets: readonly Buffer[]): string[] => packets.map((packet) => packet.toString('hex')).sort();
