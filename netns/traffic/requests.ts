/**
 * HTTP requests at a steady rate: `requests.ts ADDRESS PORT PER-SECOND LIMIT-MS`, each over a connection of its own, started when it is due whatever
 * became of those before. One JSON line each as it ends. SIGTERM: starts no more, ends when the last has ended; without one it ends by itself after
 * two minutes.
 */
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const MOST_MS = 120_000;
const TURN_MS = 5;

/** `atMs`: wall clock when it was started. `server`: the name in the answer. `hung`: it neither was answered nor failed in time. */
export interface RequestResult { atMs: number; tookMs: number; ok: boolean; hung: boolean; error: string | null; server: string | null; client: string | null }

function request(address: string, port: number, limitMs: number): Promise<RequestResult> {
  return new Promise((resolve) => {
    const atMs = Date.now();
    const startMs = performance.now();
    let answer = '';
    const socket = connect({ host: address, port, noDelay: true });
    const finish = (error: string | null, hung = false): void => {
      clearTimeout(limit);
      socket.destroy();
      const [head, body] = answer.split('\r\n\r\n');
      const ok = error === null && head.startsWith('HTTP/1.1 200') && (body ?? '').endsWith('\n');
      const [server, , client] = ok ? body.trim().split(' ') : [null, null, null];
      resolve({ atMs, tookMs: performance.now() - startMs, ok, hung, error: ok ? null : error ?? 'cut short', server, client });
    };
    const limit = setTimeout(() => finish(`no end within ${limitMs} ms`, true), limitMs);
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(`GET / HTTP/1.1\r\nHost: ${address}\r\nConnection: close\r\n\r\n`));
    socket.on('data', (text: string) => { answer += text; });
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.on('end', () => finish(null));
  });
}

const [address, ...numbers] = process.argv.slice(2);
const [port, perSecond, limitMs] = numbers.map(Number);
let isEnding = false;
process.on('SIGTERM', () => { isEnding = true; });

const pending = new Set<Promise<void>>();
const startMs = performance.now();
let started = 0;
while (!isEnding && performance.now() - startMs < MOST_MS) {
  for (const due = (performance.now() - startMs) * perSecond / 1000; started < due; started++) {
    const one = request(address, port, limitMs).then((result) => console.log(JSON.stringify(result)));
    pending.add(one);
    void one.finally(() => pending.delete(one));
  }
  await pause(TURN_MS);
}
await Promise.all(pending);
