/** Servers on loopback for checks to ask: ones that answer, ones that refuse, ones that keep silent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { until } from './until.js';

export interface Served { port: number; close(): Promise<void> }

const fixture = (name: string): Buffer => readFileSync(new URL(`fixtures/${name}`, import.meta.url));

async function listening(server: Server): Promise<Served> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    // What nobody reads would hide that the other side has closed.
    socket.resume();
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => {
      server.close(() => { resolve(); });
      for (const socket of sockets) socket.destroy();
    }),
  };
}

/** Accepts, and keeps silent. */
export async function startTcp(onConnection: (socket: Socket) => void = () => {}): Promise<Served> {
  return listening(createServer(onConnection));
}

export async function startHttp(listener: RequestListener): Promise<Served> {
  return listening(createHttp(listener));
}

/** With a certificate for www.weir.test by the authority of fixtures/ca.pem. `onName` hears the SNI of each client. */
export async function startHttps(listener: RequestListener, onName: (name: string) => void = () => {}): Promise<Served> {
  const server = createHttps({ key: fixture('server.key'), cert: fixture('server.pem') }, listener);
  server.on('secureConnection', (socket) => { onName(String(socket.servername || '')); });
  server.on('tlsClientError', () => {});
  return listening(server as unknown as Server);
}

/** A port nobody listens on: one that was free a moment ago. */
export async function closedPort(): Promise<number> {
  const server = await startTcp();
  await server.close();
  return server.port;
}

/** Listens and never accepts, its queue full: to a client it looks like a host that is gone. */
export async function startDeaf(): Promise<Served> {
  const child = spawn(process.execPath, ['-e', "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => process.stdout.write(`${s.address().port}\\n`))"], { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = (): void => { child.kill('SIGKILL'); };
  process.once('exit', kill);
  const port = Number(String((await once(child.stdout, 'data'))[0]));
  child.kill('SIGSTOP');
  await until('the child is stopped', () => / T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')));
  // On loopback the kernel has dealt with a SYN when connect(2) returns: these fill a queue of one, and whoever comes next is not let in.
  const filling = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await once(filling[0], 'connect');
  return {
    port,
    async close() {
      for (const socket of filling) socket.destroy();
      const exited = once(child, 'exit');
      kill();
      await exited;
      process.off('exit', kill);
    },
  };
}
