/** A name server on loopback that answers by a table, and writes down who asked from where. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

export interface Answer { rcode?: number; addresses?: readonly string[]; ttl?: number }

export const NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5;

export interface NameServer {
  port: number;
  /** By name, lower case; null = keeps silent. A name that is missing does not exist (NXDOMAIN). */
  names: Map<string, Answer | null>;
  asked: { name: string; from: string }[];
  close(): Promise<void>;
}

const HEADER_BYTES = 12;

/** RFC 1035 §4.1: header, the question as it came, answers that point to its name. */
function reply(query: Buffer, questionEndAt: number, { rcode = NOERROR, addresses = [], ttl = 60 }: Answer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | rcode, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) => {
    const record = Buffer.alloc(16);
    record.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
    record.writeUInt16BE(1, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(ttl, 6);
    record.writeUInt16BE(4, 10);
    Buffer.from(address.split('.').map(Number)).copy(record, 12);
    return record;
  });
  return Buffer.concat([header, query.subarray(HEADER_BYTES, questionEndAt), ...records]);
}

export async function startNameServer(names: Record<string, Answer | null> = {}): Promise<NameServer> {
  const socket = createSocket('udp4');
  const server: NameServer = {
    port: 0, names: new Map(Object.entries(names)), asked: [],
    close: () => new Promise((resolve) => { socket.close(() => { resolve(); }); }),
  };
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (; query[at] !== 0; at += query[at] + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    const name = labels.join('.').toLowerCase();
    server.asked.push({ name, from: from.address });
    const answer = server.names.has(name) ? server.names.get(name) : { rcode: NXDOMAIN };
    if (answer !== null && answer !== undefined) socket.send(reply(query, at + 5, answer), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  server.port = (socket.address() as AddressInfo).port;
  return server;
}
