/**
 * TFTP (RFC 1350): the client asks at the server's port 69, and the server answers from a port of its own choosing (§4), which for a router is
 * a new flow, opened by the server towards the very endpoint the request came from. No text holds an address, so nothing is replaced.
 *
 * Every request expects anew: a client may send it again, or ask for one file after the other from one port.
 */
import type { AlgCounts, AlgHost, Conversation, DatagramAlg } from './alg.js';
import { PROTOCOL_UDP } from '../wire/ipv4.js';

const NONE = -1;
/** RFC 1350 §5: read request and write request. */
const RRQ = 1;
const WRQ = 2;

export const tftp: DatagramAlg = {
  kind: 'datagram',
  name: 'tftp',
  protocol: PROTOCOL_UDP,
  read(c: Conversation, direction: number, bytes: Uint8Array, from: number, to: number, host: AlgHost, counts: AlgCounts): void {
    // Opcode, file name, 0, mode, 0: six bytes at the least.
    if (direction !== 0 || to - from < 6 || bytes[from] !== 0) return;
    const opcode = bytes[from + 1];
    if (opcode !== RRQ && opcode !== WRQ) return;
    if (host.expect(c, 1, c.clientPort) === NONE) counts.refused++;
    else counts.announced++;
  },
};
