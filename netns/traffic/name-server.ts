/**
 * A name server for labs: `name-server.ts PORT ADDRESS` answers every question for an IPv4 address (RFC 1035 §4.1) with that address, over UDP. Prints
 * `ready` once it listens, and a line `dns ADDRESS PORT NAME` a question.
 */
import { createSocket } from 'node:dgram';

const HEADER = 12;
const [port, address] = [Number(process.argv[2]), process.argv[3]];

/** The end of the question that starts after the header, and the name it asks for; null when it is none. */
function question(message: Buffer): { end: number; name: string } | null {
  const labels: string[] = [];
  for (let at = HEADER; at < message.length;) {
    const length = message[at++];
    if (length === 0) return at + 4 <= message.length ? { end: at + 4, name: labels.join('.') } : null;
    labels.push(message.toString('latin1', at, at + length));
    at += length;
  }
  return null;
}

const socket = createSocket('udp4', (message, peer) => {
  const asked = message.length >= HEADER ? question(message) : null;
  if (asked === null) return;
  console.log(`dns ${peer.address} ${peer.port} ${asked.name}`);
  const header = Buffer.from(message.subarray(0, HEADER));
  // An answer, recursion available; one question, one answer, nothing else.
  header.writeUInt16BE(0x8180, 2);
  [1, 1, 0, 0].forEach((count, i) => header.writeUInt16BE(count, 4 + 2 * i));
  const answer = Buffer.from([0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split('.').map(Number)]);
  socket.send(Buffer.concat([header, message.subarray(HEADER, asked.end), answer]), peer.port, peer.address);
});
socket.bind(port, () => console.log('ready'));
process.on('SIGTERM', () => socket.close());
