/**
 * Flows that last, against server.ts. A JSON line for everything that happens to them, until SIGTERM.
 *
 *     lasting.ts crowd ADDRESS PORT COUNT PERIOD_MS     TCP flows, each asking for an echo again and again, every fourth one silent after its greeting;
 *                                                       one that is lost is opened anew at once. SIGUSR1: all are closed and opened anew
 *     lasting.ts tunnel ADDRESS PORT LOCAL_PORT         one UDP flow of a fixed port, as a tunnel makes it: a datagram every 100 ms whether or not the last
 *                                                       was answered, deaf to ICMP errors. SIGUSR1: goes on from the next port
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect } from 'node:net';

/** What a flow that could not be opened waits before it tries again. */
const RETRY_MS = 50;
const TUNNEL_PERIOD_MS = 100;
const MESSAGE = 'are you there\n';

/**
 * - open: connected and greeted; `peer` is our address as the server saw it, `beganAtMs` when it was asked for.
 * - failed: could not be opened. - lost: was open and has ended with an error, or was closed by the far end. - closed: given up for another (SIGUSR1).
 * - echo: an answer came; of a tunnel with the number of the datagram and when it was sent (`beganAtMs`).
 * Times are Unix time.
 */
export interface LastingEvent {
  event: 'open' | 'failed' | 'lost' | 'closed' | 'echo';
  atMs: number;
  localPort: number;
  beganAtMs?: number;
  peer?: string;
  peerPort?: number;
  error?: string;
  number?: number;
}

const tell = (event: LastingEvent): void => console.log(JSON.stringify(event));

/** One flow of the crowd, and those that come after it. Returns what closes the present one and opens the next. */
function slot(address: string, port: number, periodMs: number): () => void {
  let abandon = (): void => {};
  const open = (): void => {
    const beganAtMs = Date.now();
    const socket = connect({ host: address, port, noDelay: true });
    let localPort = 0, greeting = '', isOpen = false, isOver = false;
    let asking: NodeJS.Timeout | undefined, again: NodeJS.Timeout | undefined;
    const end = (): void => {
      isOver = true;
      clearInterval(asking);
      socket.destroy();
    };
    abandon = () => {
      if (isOpen && !isOver) tell({ event: 'closed', atMs: Date.now(), localPort });
      clearTimeout(again);
      end();
    };
    const fail = (error: string): void => {
      if (isOver) return;
      end();
      tell({ event: isOpen ? 'lost' : 'failed', atMs: Date.now(), localPort, beganAtMs, error });
      again = setTimeout(open, isOpen ? 0 : RETRY_MS);
    };
    socket.on('connect', () => { localPort = socket.localPort ?? 0; });
    socket.on('data', (data) => {
      if (isOver) return;
      if (isOpen) return tell({ event: 'echo', atMs: Date.now(), localPort });
      greeting += data.toString('latin1');
      if (!greeting.endsWith('\n')) return;
      const [peer, peerPort] = greeting.trim().split(' ');
      isOpen = true;
      tell({ event: 'open', atMs: Date.now(), localPort, beganAtMs, peer, peerPort: Number(peerPort) });
      if (periodMs > 0) asking = setInterval(() => socket.write(MESSAGE), periodMs);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.on('close', () => fail('closed'));
  };
  open();
  return () => {
    abandon();
    open();
  };
}

function crowd(address: string, port: number, count: number, periodMs: number): void {
  const renew = Array.from({ length: count }, (_, i) => slot(address, port, i % 4 === 3 ? 0 : periodMs));
  process.on('SIGUSR1', () => { for (const one of renew) one(); });
}

function tunnel(address: string, port: number, firstPort: number): void {
  let localPort = firstPort, number = 0;
  const open = (): UdpSocket => {
    const ownPort = localPort++;
    const made = createSocket('udp4', (message) => {
      const [answered, beganAtMs] = message.toString('latin1').split(' ').map(Number);
      tell({ event: 'echo', atMs: Date.now(), localPort: ownPort, number: answered, beganAtMs });
    });
    made.bind(ownPort);
    return made;
  };
  let socket = open();
  process.on('SIGUSR1', () => {
    socket.close();
    socket = open();
  });
  // An error of the network is not the tunnel's business: it goes on sending.
  setInterval(() => socket.send(`${++number} ${Date.now()}`, port, address, () => {}), TUNNEL_PERIOD_MS);
}

const [mode, address, ...rest] = process.argv.slice(2);
const [port, first, second] = rest.map(Number);
process.on('SIGTERM', () => process.exit(0));
if (mode === 'crowd') crowd(address, port, first, second);
else if (mode === 'tunnel') tunnel(address, port, first);
else {
  console.error(`unknown mode ${mode}`);
  process.exitCode = 2;
}
