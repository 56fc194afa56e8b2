/**
 * TCP between two kernels through weir: resets from both sides, half-close, forged resets against an idle connection, and a simultaneous open, whose
 * first SYN from outside is held (RFC 5382 REQ-2, REQ-4). The lab is `multiwan` on one uplink, without a link to the box: its stack would
 * answer for ports that nobody has.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, stringify } from 'yaml';
import { signal, type Process } from '../../netns/kit/process.js';
import { waitFor } from '../../netns/kit/wait.js';
import { Multiwan, SERVER, WAN1 } from '../../netns/multiwan.js';
import type { DropList, FlowPage } from '../../src/control/api/types.js';
import { telling } from './telling.js';

const PORT = 7300;
const TEXT_BYTES = 1_000_000;
const FORGED = 200;
const LIMIT_MS = 15_000;

/** The first letter a client sends says what happens: e = echo, r = reset, h = when the client has closed its half, send much and close. */
const SERVER_PROGRAM = `
  require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
    const port = socket.remotePort;
    socket.on('error', (error) => console.log('error ' + error.code + ' ' + port));
    let what = '';
    socket.on('data', (data) => {
      what ||= String(data)[0];
      if (what === 'e') socket.write(data);
      if (what === 'r') socket.resetAndDestroy();
    });
    socket.on('end', () => {
      if (what === 'h') socket.write(Buffer.alloc(${TEXT_BYTES}, 'y'));
      socket.end();
    });
  }).listen(${PORT}, () => console.log('ready'));
`;

/** Connects from a port of its own, sends a letter, and does what the word says; 'hold' waits for SIGUSR1 and then asks for an echo once more. */
const CLIENT_PROGRAM = `
  const [address, port, localPort, letter, word] = process.argv.slice(1);
  let bytes = 0, isAsking = false;
  const socket = require('node:net').connect({ host: address, port: Number(port), localPort: Number(localPort), allowHalfOpen: true }, () => {
    socket.write(letter);
    if (word === 'half') socket.end();
  });
  socket.on('error', (error) => { console.log('error ' + error.code); process.exit(1); });
  socket.on('data', (data) => {
    bytes += data.length;
    if (word === 'reset') { socket.resetAndDestroy(); console.log('done'); }
    if (word !== 'hold') return;
    if (!isAsking) return console.log('idle');
    console.log('echoed ' + data);
    socket.end();
  });
  socket.on('end', () => { console.log('end ' + bytes); socket.end(); });
  process.on('SIGUSR1', () => { isAsking = true; socket.write('again'); });
`;

/** Connects from its own port to the other's, as the other does to it, and says its name. */
const PEER_PROGRAM = `
  const [address, port, localPort, name] = process.argv.slice(1);
  const socket = require('node:net').connect({ host: address, port: Number(port), localPort: Number(localPort) }, () => { console.log('open'); socket.write(name); });
  socket.on('error', (error) => { console.log('error ' + error.code); process.exit(1); });
  socket.on('data', (data) => { console.log('heard ' + data); socket.end(); });
`;

interface Context { lab: Multiwan; server: Process }

const tcp = suite<Context>('TCP: resets, half-close, simultaneous open');

tcp.before(telling(async (context) => {
  context.lab = await Multiwan.up({ form: 'raw', weights: [1, 0], start: false });
  const { lab } = context;
  const configuration = parse(readFileSync(lab.weir.configFile, 'utf8')) as { links: Record<string, unknown> };
  delete configuration.links.host;
  writeFileSync(lab.weir.configFile, stringify(configuration));
  await lab.start();
  context.server = lab.server.spawn('tcp-server', [process.execPath, '-e', SERVER_PROGRAM]);
  await context.server.waitForOutput(/^ready$/m, LIMIT_MS);
}));
tcp.after((context) => context.lab?.close());

let lastPort = 4100;

function client(lab: Multiwan, letter: string, word: string): { started: Process; port: number } {
  const port = lastPort++;
  return { started: lab.pc1.spawn('tcp-client', [process.execPath, '-e', CLIENT_PROGRAM, SERVER, String(PORT), String(port), letter, word]), port };
}

async function stateOf(lab: Multiwan, port: number): Promise<string | undefined> {
  const { flows } = await lab.weir.api<FlowPage>(`flows?port=${port}`);
  return flows.find((flow) => flow.protocol === 'tcp')?.state;
}

/** Packets dropped for a reason so far, on all links. */
async function dropped(lab: Multiwan, reason: string): Promise<number> {
  const { drops } = await lab.weir.api<DropList>('drops');
  return drops.filter((row) => row.name === reason).reduce((sum, row) => sum + row.packets, 0);
}

tcp('the client resets: the server hears it, and the flow knows', async ({ lab, server }) => {
  const { started, port } = client(lab, 'e', 'reset');
  await started.waitForOutput(/done/, LIMIT_MS);
  await server.waitForOutput(new RegExp(`error ECONNRESET ${port}`), LIMIT_MS);
  assert.is(await stateOf(lab, port), 'reset');
});

tcp('the server resets: the client hears it, and the flow knows', async ({ lab }) => {
  const { started, port } = client(lab, 'r', 'wait');
  await started.waitForOutput(/error ECONNRESET/, LIMIT_MS);
  assert.is(await stateOf(lab, port), 'reset');
});

tcp('nobody listens: the refusal arrives at once', async ({ lab }) => {
  const { stdout } = await lab.pc1.run([process.execPath, '-e', CLIENT_PROGRAM, SERVER, '7399', '4999', 'e', 'wait'], { check: false, timeoutMs: LIMIT_MS });
  assert.match(stdout, /error ECONNREFUSED/);
  assert.is(await stateOf(lab, 7399), 'reset');
});

tcp('half-close: all the data still comes the other way', async ({ lab }) => {
  const { started, port } = client(lab, 'h', 'half');
  await started.waitForOutput(new RegExp(`end ${TEXT_BYTES}`), LIMIT_MS);
  await waitFor(async () => (await stateOf(lab, port)) === 'time-wait', LIMIT_MS, 'the flow to be closed by both');
});

tcp('forged resets from both sides do not break an idle connection', async ({ lab }) => {
  const { started, port } = client(lab, 'e', 'hold');
  await started.waitForOutput(/idle/, LIMIT_MS);
  const before = await dropped(lab, 'TCP_OUT_OF_WINDOW');
  // Random sequence numbers, as someone blind would have to send: as the server from outside, and as the client from inside.
  const forge = ['hping3', '-q', '-i', 'u2000', '-c', String(FORGED), '-R', '-k'];
  await lab.gateway.run([...forge, '-a', SERVER, '-s', String(PORT), '-p', String(port), WAN1], { check: false, timeoutMs: 60_000 });
  await lab.pc1.run([...forge, '-s', String(port), '-p', String(PORT), SERVER], { check: false, timeoutMs: 60_000 });
  // One in a thousand may hit a window of 4 MB by chance, and is then one that challenges.
  const refused = await waitFor(async () => {
    const count = (await dropped(lab, 'TCP_OUT_OF_WINDOW')) - before;
    return count > 2 * FORGED - 10 ? count : null;
  }, LIMIT_MS, 'the forged resets to be refused');
  assert.ok(refused <= 2 * FORGED);
  signal(started.pid, 'SIGUSR1');
  await started.waitForOutput(/echoed again/, LIMIT_MS);
  await waitFor(async () => (await stateOf(lab, port)) === 'time-wait', LIMIT_MS, 'the flow to be closed by both');
});

tcp('a SYN from outside that nothing asked for is held, then told port unreachable', async ({ lab }) => {
  const peer = lab.server.spawn('tcp-unasked', [process.execPath, '-e', PEER_PROGRAM, WAN1, '4700', '7500', 'outside']);
  // ICMP errors are soft while a Linux client opens; nothing it was told in the first six seconds may have ended it.
  await waitFor(async () => (await dropped(lab, 'SYN_UNSOLICITED')) > 0, LIMIT_MS, 'the SYN to be given up');
  await peer.waitForOutput(/error (ECONNREFUSED|ETIMEDOUT)/, 60_000);
});

tcp('simultaneous open: the held SYN is not answered, and both ends are connected to each other', async ({ lab }) => {
  const outside = lab.server.spawn('tcp-outside', [process.execPath, '-e', PEER_PROGRAM, WAN1, '4800', '7600', 'outside']);
  // Its SYN is on the way as soon as it waits for an answer.
  await waitFor(() => lab.server.runNow(['ss', '-Htn', 'state', 'syn-sent']).stdout.includes(':7600'), LIMIT_MS, 'the outside to have sent its SYN');
  const inside = lab.pc1.spawn('tcp-inside', [process.execPath, '-e', PEER_PROGRAM, SERVER, '7600', '4800', 'inside']);
  await inside.waitForOutput(/heard outside/, LIMIT_MS);
  await outside.waitForOutput(/heard inside/, LIMIT_MS);
  await waitFor(async () => (await dropped(lab, 'SYN_CROSSED')) > 0, LIMIT_MS, 'the held SYN to be let go in silence');
});

tcp.run();
