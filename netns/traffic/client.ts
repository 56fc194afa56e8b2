/**
 * The near end of a lab's traffic, against server.ts. Every mode is bounded in time and ends with what happened as JSON.
 *
 *     client.ts flows ADDRESS PORT COUNT CONCURRENCY [LOCAL FIRST-PORT]
 *                                                          so many TCP flows, each: connect, greeting, echo, close; each from a port of its own from the
 *                                                          given first one on, where there is one
 *     client.ts steady ADDRESS PORT SEGMENTS BYTES         one TCP flow that sends segment after segment, each after its echo
 *     client.ts udp ADDRESS PORT COUNT BYTES [BYTES …]     COUNT datagrams of each size, each from a new port, echoed
 *     client.ts watch ADDRESS PORT SECONDS TIMEOUT_MS      a new TCP flow every 20 ms until SIGTERM; a JSON line each as it ends
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

/** For one flow to do all it does. */
const FLOW_TIMEOUT_MS = 10_000;
const DATAGRAM_TIMEOUT_MS = 3000;
const WATCH_INTERVAL_MS = 20;

/** `peer`: our address as the server saw it. */
export interface FlowResult { ok: boolean; error: string | null; peer: string | null; peerPort: number | null; localPort: number | null; connectMs: number | null; totalMs: number }

/** One TCP flow: the greeting, then each message after the echo of the one before it, then a close in good order. */
function flow(address: string, port: number, messages: readonly Buffer[], timeoutMs: number, from: { localAddress?: string; localPort?: number } = {}): Promise<FlowResult> {
  return new Promise((resolve) => {
    const startMs = performance.now();
    const result: FlowResult = { ok: false, error: null, peer: null, peerPort: null, localPort: null, connectMs: null, totalMs: 0 };
    const socket = connect({ host: address, port, noDelay: true, ...from });
    let received: Buffer = Buffer.alloc(0);
    let sent = -1;
    const finish = (error: string | null): void => {
      clearTimeout(limit);
      result.error ??= error;
      result.ok = result.error === null;
      result.totalMs = performance.now() - startMs;
      socket.destroy();
      resolve(result);
    };
    const limit = setTimeout(() => finish(`no answer within ${timeoutMs} ms`), timeoutMs);
    socket.on('connect', () => {
      result.connectMs = performance.now() - startMs;
      result.localPort = socket.localPort ?? null;
    });
    const next = (): void => {
      sent++;
      if (sent < messages.length) socket.write(messages[sent]);
      else socket.end();
    };
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (sent < 0) {
        const end = received.indexOf(10);
        if (end < 0) return;
        const [peer, peerPort] = received.toString('latin1', 0, end).split(' ');
        result.peer = peer;
        result.peerPort = Number(peerPort);
        received = received.subarray(end + 1);
        next();
      } else if (sent < messages.length && received.length >= messages[sent].length) {
        if (!received.equals(messages[sent])) finish(`segment ${sent} came back changed`);
        else {
          received = Buffer.alloc(0);
          next();
        }
      }
    });
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.on('end', () => { if (sent < messages.length) finish('the server closed early'); });
    socket.on('close', () => finish(sent < messages.length ? 'closed early' : null));
  });
}

async function flows(address: string, port: number, count: number, concurrency: number, localAddress?: string, firstPort = 0): Promise<void> {
  const results: FlowResult[] = [];
  let started = 0;
  const lane = async (): Promise<void> => {
    while (started < count) {
      const from = localAddress === undefined ? {} : { localAddress, localPort: firstPort + started };
      started++;
      results.push(await flow(address, port, [randomBytes(64)], FLOW_TIMEOUT_MS, from));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  console.log(JSON.stringify(results));
}

async function steady(address: string, port: number, segments: number, bytes: number): Promise<void> {
  const messages = Array.from({ length: segments }, () => randomBytes(bytes));
  console.log(JSON.stringify(await flow(address, port, messages, FLOW_TIMEOUT_MS * 3)));
}

/** `echoed`: it came back, byte for byte. */
export interface DatagramResult { bytes: number; echoed: boolean; error: string | null; localPort: number }

function datagram(address: string, port: number, bytes: number): Promise<DatagramResult> {
  return new Promise((resolve) => {
    const message = randomBytes(bytes);
    const socket = createSocket({ type: 'udp4', recvBufferSize: 1024 * 1024, sendBufferSize: 1024 * 1024 });
    let localPort = 0;
    const finish = (echoed: boolean, error: string | null): void => {
      clearTimeout(limit);
      socket.close();
      resolve({ bytes, echoed, error, localPort });
    };
    const limit = setTimeout(() => finish(false, `no answer within ${DATAGRAM_TIMEOUT_MS} ms`), DATAGRAM_TIMEOUT_MS);
    socket.on('message', (answer) => finish(answer.equals(message), answer.equals(message) ? null : `${answer.length} bytes came back changed`));
    socket.on('error', (error: NodeJS.ErrnoException) => finish(false, error.code ?? error.message));
    // Connected, so that an ICMP error comes back as an error of the socket.
    socket.connect(port, address, () => {
      localPort = socket.address().port;
      socket.send(message);
    });
  });
}

async function udp(address: string, port: number, count: number, sizes: readonly number[]): Promise<void> {
  const results: DatagramResult[] = [];
  for (const bytes of sizes) for (let i = 0; i < count; i++) results.push(await datagram(address, port, bytes));
  console.log(JSON.stringify(results));
}

/** `atMs`: wall clock when the flow was started, so that it can be held against what the lab did. */
export interface WatchResult extends FlowResult { atMs: number }

async function watch(address: string, port: number, limitMs: number, timeoutMs: number): Promise<void> {
  let ending = false;
  process.on('SIGTERM', () => { ending = true; });
  const endMs = performance.now() + limitMs;
  const pending = new Set<Promise<void>>();
  while (!ending && performance.now() < endMs) {
    const atMs = Date.now();
    const one = flow(address, port, [], timeoutMs).then((result) => console.log(JSON.stringify({ atMs, ...result })));
    pending.add(one);
    void one.finally(() => pending.delete(one));
    await pause(WATCH_INTERVAL_MS);
  }
  await Promise.all(pending);
}

const [mode, address, portText, ...rest] = process.argv.slice(2);
const port = Number(portText);
const numbers = rest.map(Number);
if (mode === 'flows') await flows(address, port, numbers[0], numbers[1], rest[2], numbers[3]);
else if (mode === 'steady') await steady(address, port, numbers[0], numbers[1]);
else if (mode === 'udp') await udp(address, port, numbers[0], numbers.slice(1));
else if (mode === 'watch') await watch(address, port, numbers[0] * 1000, numbers[1]);
else {
  console.error(`unknown mode ${mode}`);
  process.exitCode = 2;
}
