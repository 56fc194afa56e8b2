/**
 * Single endpoints that a NAT is judged by: each mode binds a port of its own, is bounded in time and tells what it saw.
 *
 *     probe.ts echo PORT ADDRESS:PORT           sends one datagram there (which opens a mapping), then echoes what comes, from whomever, until
 *                                               SIGTERM; a line `from ADDRESS PORT` each
 *     probe.ts send PORT ADDRESS:PORT …         one datagram to each from one and the same port
 *     probe.ts ask PORT ADDRESS:PORT …          one datagram to each from one and the same port (0 = any); from whom each was answered
 *     probe.ts half-serve PORT                  TCP: once the peer has closed its side, sends BYTES and closes; until SIGTERM
 *     probe.ts half-ask ADDRESS:PORT            TCP: closes its side at once and counts what still comes
 *     probe.ts talk ADDRESS:PORT                TCP: one segment after the echo of the other until SIGTERM, then a close in good order; how many, as whom
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const ANSWER_MS = 2000;
const BYTES = 200_000;

interface End { address: string; port: number }
const end = (text: string): End => ({ address: text.split(':')[0], port: Number(text.split(':')[1]) });

function echo(port: number, first: End): void {
  const socket = createSocket('udp4', (message, from) => {
    console.log(`from ${from.address} ${from.port}`);
    if (message.toString() !== 'opening') socket.send(message, from.port, from.address);
  });
  socket.bind(port, () => socket.send('opening', first.port, first.address, () => console.log('ready')));
  process.on('SIGTERM', () => socket.close());
}

async function ask(port: number, targets: readonly End[]): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => { socket.bind(port, resolve); });
  const answers: (string | null)[] = [];
  for (const { address, port: targetPort } of targets) {
    answers.push(await new Promise<string | null>((resolve) => {
      const limit = setTimeout(() => resolve(null), ANSWER_MS);
      socket.once('message', (_, from) => {
        clearTimeout(limit);
        resolve(`${from.address}:${from.port}`);
      });
      socket.send('question', targetPort, address);
    }));
    socket.removeAllListeners('message');
  }
  console.log(JSON.stringify({ port: socket.address().port, answers }));
  socket.close();
}

async function send(port: number, targets: readonly End[]): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => { socket.bind(port, resolve); });
  for (const target of targets) await new Promise<void>((resolve) => { socket.send('one', target.port, target.address, () => resolve()); });
  socket.close();
}

function halfServe(port: number): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.resume();
    socket.on('end', () => socket.end(Buffer.alloc(BYTES, 'x')));
  });
  server.listen(port, () => console.log('ready'));
  process.on('SIGTERM', () => process.exit(0));
}

function halfAsk({ address, port }: End): void {
  let bytes = 0;
  const socket = connect({ host: address, port, allowHalfOpen: true }, () => socket.end());
  const finish = (error: string | null): void => {
    console.log(JSON.stringify({ bytes, wanted: BYTES, error }));
    process.exit(0);
  };
  socket.on('data', (chunk) => { bytes += chunk.length; });
  socket.on('end', () => finish(null));
  socket.on('error', (error) => finish(error.message));
  socket.setTimeout(5000, () => finish('nothing came any more'));
}

/** Against server.ts, which greets with our address and port as it sees them and then echoes. */
function talk({ address, port }: End): void {
  const message = Buffer.alloc(100, 'talk');
  let segments = 0, waiting = 0, isEnding = false, peer = '', greeting = '';
  const socket = connect({ host: address, port, noDelay: true });
  const finish = (error: string | null): void => {
    console.log(JSON.stringify({ segments, peer, error }));
    process.exit(0);
  };
  const next = (): void => {
    if (isEnding) socket.end();
    else {
      waiting = message.length;
      socket.write(message);
    }
  };
  socket.on('data', (chunk) => {
    if (peer === '') {
      greeting += chunk.toString();
      if (!greeting.endsWith('\n')) return;
      peer = greeting.trim();
      console.log('ready');
      next();
      return;
    }
    waiting -= chunk.length;
    if (waiting > 0) return;
    segments++;
    next();
  });
  socket.on('error', (error) => finish(error.message));
  socket.on('close', () => finish(isEnding ? null : 'closed early'));
  socket.setTimeout(10_000, () => finish('no answer'));
  process.on('SIGTERM', () => { isEnding = true; });
}

const [mode, first, ...rest] = process.argv.slice(2);
if (mode === 'echo') echo(Number(first), end(rest[0]));
else if (mode === 'send') await send(Number(first), rest.map(end));
else if (mode === 'ask') await ask(Number(first), rest.map(end));
else if (mode === 'talk') talk(end(first));
else if (mode === 'half-serve') halfServe(Number(first));
else if (mode === 'half-ask') halfAsk(end(first));
else {
  console.error(`unknown mode ${mode}`);
  process.exitCode = 2;
}
