/**
 * Both ends of flows in which both sides speak, each at its own pace, and both hold what they hear against what the other must have said. A JSON line for
 * everything that happens. The near ends end at SIGTERM, in good order: what has been said is all heard first.
 *
 *     dialogue.ts serve PORT PERIOD_MS                      by TCP and by UDP, with whoever comes
 *     dialogue.ts tcp ADDRESS PORT PERIOD_MS LOCAL_PORT     one TCP flow; local port 0 = any
 *     dialogue.ts udp ADDRESS PORT PERIOD_MS LOCAL_PORT     one UDP flow: numbered datagrams, deaf to ICMP errors
 *
 * What TCP carries is a text without end that both know: chunks of changing length from it, so that a byte lost, changed, doubled or out of order is
 * found at its place.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';

/** A prime, so that no chunk's or segment's length divides it. */
const TEXT_BYTES = 65_521;
const LONGEST_CHUNK = 160;
/** After everything was said, the other end may take so long to close. */
const GOODBYE_MS = 20_000;

/**
 * - open: the flow stands. - heard: so many bytes so far, or the datagram of this number. - fault: what came is not what was said.
 * - end: it is over; `said` and `heard` are all bytes, or the number of datagrams said and heard. - lost: it has ended with an error.
 * `far` is the other end's address and port. Times are Unix time.
 */
export interface DialogueEvent {
  event: 'open' | 'heard' | 'fault' | 'end' | 'lost';
  protocol: 'tcp' | 'udp';
  far: string;
  atMs: number;
  heard?: number;
  said?: number;
  error?: string;
}

const tell = (event: Omit<DialogueEvent, 'atMs'>): void => console.log(JSON.stringify({ ...event, atMs: Date.now() }));

/** The text: xorshift from a fixed seed. */
const text = Buffer.alloc(TEXT_BYTES);
for (let i = 0, x = 0x2545f491; i < TEXT_BYTES; i++) {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  text[i] = x & 0xff;
}

/** So many bytes of the text from a place on. */
function excerpt(at: number, length: number): Buffer {
  const from = at % TEXT_BYTES;
  return from + length <= TEXT_BYTES ? text.subarray(from, from + length) : Buffer.concat([text.subarray(from), text.subarray(0, from + length - TEXT_BYTES)]);
}

/** One end of a TCP flow that stands. Returns what says goodbye. */
function converse(socket: Socket, periodMs: number): () => void {
  const far = `${socket.remoteAddress}:${socket.remotePort}`;
  const protocol = 'tcp' as const;
  let said = 0, heard = 0, isOver = false;
  tell({ event: 'open', protocol, far });
  const speaking = setInterval(() => {
    const length = 1 + (said * 31 + 7) % LONGEST_CHUNK;
    socket.write(excerpt(said, length));
    said += length;
  }, periodMs);
  const finish = (error: string | null): void => {
    if (isOver) return;
    isOver = true;
    clearInterval(speaking);
    tell({ event: error === null ? 'end' : 'lost', protocol, far, said, heard, ...(error === null ? {} : { error }) });
    socket.destroy();
  };
  const goodbye = (): void => {
    clearInterval(speaking);
    socket.end();
  };
  socket.on('data', (chunk: Buffer) => {
    if (isOver) return;
    if (!chunk.equals(excerpt(heard, chunk.length))) {
      const right = excerpt(heard, chunk.length);
      const wrong = chunk.findIndex((byte, i) => byte !== right[i]);
      tell({ event: 'fault', protocol, far, error: `byte ${heard + wrong} is not what was said` });
      finish('a fault');
      return;
    }
    heard += chunk.length;
    tell({ event: 'heard', protocol, far, heard });
  });
  socket.on('end', () => {
    goodbye();
    socket.once('close', () => finish(null));
  });
  socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  return goodbye;
}

function serve(port: number, periodMs: number): void {
  const tcp = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => { converse(socket, periodMs); });
  const speakers = new Map<string, { said: number; timer: NodeJS.Timeout }>();
  const udp = createSocket('udp4', (message, { address, port: farPort }) => {
    const far = `${address}:${farPort}`;
    const number = Number(message.toString('latin1'));
    if (number < 0) {
      const speaker = speakers.get(far);
      clearInterval(speaker?.timer);
      return;
    }
    if (!speakers.has(far)) {
      tell({ event: 'open', protocol: 'udp', far });
      const speaker = { said: 0, timer: setInterval(() => udp.send(String(++speaker.said), farPort, address, () => {}), periodMs) };
      speakers.set(far, speaker);
    }
    tell({ event: 'heard', protocol: 'udp', far, heard: number });
  });
  udp.on('error', () => { /* A refusal by ICMP: it goes on. */ });
  tcp.listen(port, '0.0.0.0', 4096, () => udp.bind(port, '0.0.0.0', () => console.log('ready')));
  process.on('SIGTERM', () => process.exit(0));
}

function speakTcp(address: string, port: number, periodMs: number, localPort: number): void {
  const socket = connect({ host: address, port, noDelay: true, allowHalfOpen: true, ...(localPort === 0 ? {} : { localPort }) });
  const far = `${address}:${port}`;
  let isEnding = false;
  let goodbye = (): void => { isEnding = true; };
  const refused = (error: NodeJS.ErrnoException): void => tell({ event: 'lost', protocol: 'tcp', far, said: 0, heard: 0, error: error.code ?? error.message });
  socket.once('error', refused);
  socket.once('connect', () => {
    socket.off('error', refused);
    goodbye = converse(socket, periodMs);
    if (isEnding) goodbye();
  });
  process.on('SIGTERM', () => {
    goodbye();
    setTimeout(() => {
      tell({ event: 'lost', protocol: 'tcp', far, error: 'the other end does not close' });
      process.exit(1);
    }, GOODBYE_MS).unref();
  });
}

function speakUdp(address: string, port: number, periodMs: number, localPort: number): void {
  const far = `${address}:${port}`;
  let said = 0, heard = 0;
  const socket = createSocket('udp4', (message) => {
    heard++;
    tell({ event: 'heard', protocol: 'udp', far, heard: Number(message.toString('latin1')) });
  });
  socket.on('error', () => { /* A refusal by ICMP: it goes on. */ });
  socket.bind(localPort, () => {
    tell({ event: 'open', protocol: 'udp', far });
    const speaking = setInterval(() => socket.send(String(++said), port, address, () => {}), periodMs);
    process.on('SIGTERM', () => {
      clearInterval(speaking);
      // Tells the other end to be silent.
      socket.send('-1', port, address, () => {
        tell({ event: 'end', protocol: 'udp', far, said, heard });
        socket.close();
      });
    });
  });
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'serve') serve(Number(rest[0]), Number(rest[1]));
else if (mode === 'tcp') speakTcp(rest[0], Number(rest[1]), Number(rest[2]), Number(rest[3]));
else if (mode === 'udp') speakUdp(rest[0], Number(rest[1]), Number(rest[2]), Number(rest[3]));
else {
  console.error(`unknown mode ${mode}`);
  process.exitCode = 2;
}
