/** A data plane's I/O for tests, and frames by hand: what the tests of the addon send and look for. */
import {
  ARENA_LENGTH, BATCH_MAX, RX_FRAME_AT, RX_LENGTH_BYTES, RX_LINK, RX_VLAN_TCI, RX_WORDS, SCRATCH_AT, TX_ERRNO, TX_FRAME_AT,
  TX_LENGTH_BYTES, TX_LINK, TX_MAX, TX_WORDS,
} from '../../src/link/batch.js';
import { native, type NativeIo } from '../../src/link/native.js';
import { VNET_LENGTH } from '../../src/wire/vnet.js';

export interface Received { link: number; frameAt: number; length: number; vlanTci: number; vnet: Buffer; frame: Buffer }

export interface Bench {
  io: NativeIo; arena: Buffer; rx: Int32Array; tx: Int32Array; wakeFd: number;
  /** Put a frame (and its virtio-net header, zero unless given) into send slot `slot`. */
  stage(slot: number, link: number, frame: Uint8Array, vnet?: Uint8Array): void;
  /** Errno of a send slot. */
  errno(slot: number): number;
  /** Copies of what a turn received. */
  turn(txCount: number, timeoutMs: number): Received[];
  /** Turns until one of the received frames passes, 5 s at most. */
  receiveUntil(accept: (received: Received) => boolean): Received;
  close(): void;
}

const SLOT_BYTES = 70_000;

export function bench(): Bench {
  const arena = Buffer.from(new SharedArrayBuffer(ARENA_LENGTH));
  const rx = new Int32Array(new SharedArrayBuffer(BATCH_MAX * RX_WORDS * 4));
  const tx = new Int32Array(new SharedArrayBuffer(TX_MAX * TX_WORDS * 4));
  const wakeFd = native().eventfd();
  // What came in the same turn as the frame that receiveUntil() was asked for, behind it.
  let backlog: Received[] = [];
  const io = native().createIo(arena, rx, tx, wakeFd);
  const turn = (txCount: number, timeoutMs: number): Received[] => {
    const count = io.turn(txCount, timeoutMs);
    const all: Received[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * RX_WORDS;
      const frameAt = rx[at + RX_FRAME_AT];
      const length = rx[at + RX_LENGTH_BYTES];
      all.push({
        link: rx[at + RX_LINK], frameAt, length, vlanTci: rx[at + RX_VLAN_TCI],
        vnet: Buffer.from(arena.subarray(frameAt - VNET_LENGTH, frameAt)),
        frame: Buffer.from(arena.subarray(frameAt, frameAt + Math.max(length, 0))),
      });
    }
    return all;
  };
  return {
    io, arena, rx, tx, wakeFd, turn,
    stage: (slot, link, frame, vnet) => {
      const frameAt = SCRATCH_AT + (slot % 64) * SLOT_BYTES + VNET_LENGTH;
      arena.fill(0, frameAt - VNET_LENGTH, frameAt);
      if (vnet !== undefined) arena.set(vnet, frameAt - VNET_LENGTH);
      arena.set(frame, frameAt);
      tx.set([link, frameAt, frame.length, -1], slot * TX_WORDS);
    },
    errno: (slot) => tx[slot * TX_WORDS + TX_ERRNO],
    receiveUntil: (accept) => {
      const deadline = performance.now() + 5000;
      do {
        const found = backlog.findIndex(accept);
        if (found >= 0) return backlog.splice(0, found + 1)[found];
        backlog = turn(0, 50);
      } while (performance.now() < deadline);
      throw new Error('the frame never came');
    },
    close: () => {
      io.close();
      native().closeFd(wakeFd);
    },
  };
}

export { TX_FRAME_AT, TX_LENGTH_BYTES, TX_LINK, TX_WORDS };

const bytesOf = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
const ipOf = (address: string): Buffer => Buffer.from(address.split('.').map(Number));

export function ethernet(to: string, from: string, type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([bytesOf(to), bytesOf(from), Buffer.from([type >> 8, type & 255]), payload]);
}

export function arpRequest(fromMac: string, fromAddress: string, toAddress: string): Buffer {
  return ethernet('ff:ff:ff:ff:ff:ff', fromMac, 0x0806, Buffer.concat([
    Buffer.from('0001080006040001', 'hex'), bytesOf(fromMac), ipOf(fromAddress), Buffer.alloc(6), ipOf(toAddress),
  ]));
}

/** True for an ARP reply that tells where `address` is. */
export function isArpReply(frame: Buffer, address: string): boolean {
  return frame.length >= 42 && frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2 && frame.subarray(28, 32).equals(ipOf(address));
}

/** The one's complement sum of 16-bit words, not inverted. */
export function sum(bytes: Uint8Array, start = 0): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

export function ipv4(protocol: number, from: string, to: string, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(0x4000, 6);
  header.writeUInt8(64, 8);
  header.writeUInt8(protocol, 9);
  ipOf(from).copy(header, 12);
  ipOf(to).copy(header, 16);
  header.writeUInt16BE(~sum(header) & 0xffff, 10);
  return Buffer.concat([header, payload]);
}

function pseudoSum(protocol: number, from: string, to: string, length: number): number {
  return sum(Buffer.concat([ipOf(from), ipOf(to), Buffer.from([0, protocol, length >> 8, length & 255])]));
}

/** A UDP datagram in an IPv4 packet; `partial` leaves the checksum at the pseudo-header's sum. */
export function udp(from: string, fromPort: number, to: string, toPort: number, data: Uint8Array, partial = false): Buffer {
  const segment = Buffer.alloc(8 + data.length);
  segment.writeUInt16BE(fromPort, 0);
  segment.writeUInt16BE(toPort, 2);
  segment.writeUInt16BE(segment.length, 4);
  segment.set(data, 8);
  const pseudo = pseudoSum(17, from, to, segment.length);
  segment.writeUInt16BE(partial ? pseudo : ~sum(segment, pseudo) & 0xffff, 6);
  return ipv4(17, from, to, segment);
}

/** ICMP echo request. */
export function echo(from: string, to: string, id: number): Buffer {
  const message = Buffer.alloc(16);
  message.writeUInt8(8, 0);
  message.writeUInt16BE(id, 4);
  message.writeUInt16BE(~sum(message) & 0xffff, 2);
  return ipv4(1, from, to, message);
}

/** A virtio-net header. */
export function vnetHeader(flags: number, gsoType: number, headerLength: number, gsoSize: number, csumStart: number, csumOffset: number): Buffer {
  const header = Buffer.alloc(VNET_LENGTH);
  header.writeUInt8(flags, 0);
  header.writeUInt8(gsoType, 1);
  header.writeUInt16LE(headerLength, 2);
  header.writeUInt16LE(gsoSize, 4);
  header.writeUInt16LE(csumStart, 6);
  header.writeUInt16LE(csumOffset, 8);
  return header;
}
