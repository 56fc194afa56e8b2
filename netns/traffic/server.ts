/**
 * The far end of a lab's traffic: `server.ts TCP-PORT UDP-PORT HTTP-PORT` on all addresses.
 * - TCP: greets with the peer's address and port as it sees them, one line, then echoes.
 * - UDP: echoes the datagram.
 * - HTTP: answers with the peer's address, one line.
 * Prints `ready` once all listen, one line `PROTOCOL ADDRESS PORT` a flow or datagram, and one `tcp ADDRESS PORT ERROR` a flow that ends badly, so what
 * arrives can be judged from here.
 */
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';

const [tcpPort, udpPort, httpPort] = process.argv.slice(2).map(Number);

const tcp = createServer({ noDelay: true }, (socket) => {
  const line = `${socket.remoteAddress} ${socket.remotePort}`;
  console.log(`tcp ${line}`);
  socket.on('error', (error: NodeJS.ErrnoException) => {
    console.log(`tcp ${line} ${error.code}`);
    socket.destroy();
  });
  socket.write(`${line}\n`);
  socket.pipe(socket);
});
const udp = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024, sendBufferSize: 4 * 1024 * 1024 }, (message, peer) => {
  console.log(`udp ${peer.address} ${peer.port}`);
  udp.send(message, peer.port, peer.address);
});
const http = createHttpServer((request, response) => {
  const { remoteAddress, remotePort } = request.socket;
  console.log(`http ${remoteAddress} ${remotePort}`);
  response.writeHead(200, { 'content-type': 'text/plain', connection: 'close' }).end(`${remoteAddress}\n`);
});

await Promise.all([
  new Promise<void>((resolve) => { tcp.listen(tcpPort, '0.0.0.0', 4096, resolve); }),
  new Promise<void>((resolve) => { udp.bind(udpPort, '0.0.0.0', resolve); }),
  new Promise<void>((resolve) => { http.listen(httpPort, '0.0.0.0', resolve); }),
]);
console.log('ready');
