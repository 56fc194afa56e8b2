/**
 * Both ends of datagrams that tell who answers. Ends at SIGTERM, or by itself after two minutes.
 *
 *     datagrams.ts serve NAME PORT                      answers every datagram with NAME and what it said
 *     datagrams.ts ask ADDRESS PORT LOCAL PER-SECOND    numbered ones from one port at a steady rate, a JSON line for each answer
 */
import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';

const MOST_MS = 120_000;

/** `atMs`: wall clock when it was sent. */
export interface DatagramAnswer { atMs: number; number: number; server: string }

let isEnding = false;
process.on('SIGTERM', () => { isEnding = true; });

function serve(name: string, port: number): void {
  const socket = createSocket('udp4', (message, peer) => socket.send(`${name} ${message.toString('latin1')}`, peer.port, peer.address));
  socket.bind(port, () => console.log('ready'));
  process.on('SIGTERM', () => process.exit());
  setTimeout(() => process.exit(), MOST_MS);
}

async function ask(address: string, port: number, local: number, perSecond: number): Promise<void> {
  const sentAtMs: number[] = [];
  const socket = createSocket('udp4', (message) => {
    const [server, number] = message.toString('latin1').split(' ');
    console.log(JSON.stringify({ atMs: sentAtMs[Number(number)], number: Number(number), server } satisfies DatagramAnswer));
  });
  // A refusal (ICMP) is an error of the socket, and the next datagram is sent all the same.
  socket.on('error', () => {});
  await new Promise<void>((resolve) => { socket.bind(local, resolve); });
  for (const startMs = performance.now(); !isEnding && performance.now() - startMs < MOST_MS;) {
    socket.send(String(sentAtMs.push(Date.now()) - 1), port, address);
    await pause(1000 / perSecond);
  }
  socket.close();
}

const [mode, where, ...rest] = process.argv.slice(2);
const numbers = rest.map(Number);
if (mode === 'serve') serve(where, numbers[0]);
else await ask(where, numbers[0], numbers[1], numbers[2]);
