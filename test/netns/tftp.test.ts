/**
 * TFTP with real ends, tftp-hpa and its daemon, client behind weir and server behind weir, with filtering that lets in nothing by itself: the
 * daemon answers from another port than was asked.
 *
 * In the lab of netns/multiwan.ts `pc1` is the host inside and `server` the one outside.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean } from '../../netns/kit/capture.js';
import type { Host } from '../../netns/kit/lab.js';
import { waitFor } from '../../netns/kit/wait.js';
import { INSIDE, Multiwan, PC1, SERVER, WAN1 } from '../../netns/multiwan.js';
import { telling } from './telling.js';

const TFTP = 69;
const CONTENT = Buffer.alloc(200_000, 'weir tftp ');
const STRICT = { filtering: 'address-and-port-dependent', mapping: 'address-and-port-dependent' };

interface Context { lab: Multiwan }

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The daemon on a host, with a file to fetch and one to be written. */
async function serve(host: Host): Promise<void> {
  const directory = directoryOf(host);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  writeFileSync(join(directory, 'file'), CONTENT, { mode: 0o644 });
  writeFileSync(join(directory, 'upload'), '');
  chmodSync(join(directory, 'upload'), 0o666);
  const server = host.spawn('tftpd', ['in.tftpd', '--foreground', '--ipv4', '--address', `0.0.0.0:${TFTP}`, '--secure', '--user', 'nobody', directory]);
  await waitFor(() => {
    if (server.exit !== null) throw new Error(`in.tftpd ended: ${server.errors()}${server.output()}`);
    return host.runNow(['ss', '-Hlun', `sport = :${TFTP}`]).stdout.trim() !== '';
  }, 10_000, 'in.tftpd to listen');
}

function directoryOf(host: Host): string { return join(host.lab.directory, `${host.name}-tftp`); }

/** Fetch the file; what came, or null. */
async function get(host: Host, address: string): Promise<string | null> {
  const out = join(host.lab.directory, `${host.name}-fetched`);
  rmSync(out, { force: true });
  await host.run(['tftp', '-m', 'binary', address, '-c', 'get', 'file', out], { check: false, timeoutMs: 60_000 });
  return existsSync(out) ? hashOf(readFileSync(out)) : null;
}

async function up(context: Context, algs: object): Promise<void> {
  context.lab = await Multiwan.up({ judged: ['wan1', 'wan2'], start: false });
  context.lab.weir.dropIn('60-tftp', { uplinks: { isp1: STRICT, isp2: STRICT }, algs, portForwards: { tftp: { uplink: 'isp1', listen: `${TFTP}/udp`, to: PC1 } } });
  await context.lab.start();
  await Promise.all([serve(context.lab.server), serve(context.lab.pc1)]);
}

const on = suite<Context>('TFTP: strict mapping and filtering, both sides, uplink wires judged');
on.before(telling((context) => up(context, { tftp: 'on' })));
on.after((context) => context.lab?.close());

on('a client inside fetches, again and again, over either uplink', async ({ lab }) => {
  const wires = await Promise.all([lab.cables.wan1.capture(), lab.cables.wan2.capture()]);
  for (let i = 0; i < 6; i++) assert.is(await get(lab.pc1, SERVER), hashOf(CONTENT));
  let frames = 0;
  for (const wire of wires) frames += (await assertWireClean(await wire.stop(), { never: INSIDE })).frames;
  assert.ok(frames > 4000, `${frames} frames judged`);
});

on('a client inside writes', async ({ lab }) => {
  const file = join(lab.lab.directory, 'mine');
  writeFileSync(file, CONTENT);
  await lab.pc1.run(['tftp', '-m', 'binary', SERVER, '-c', 'put', file, 'upload'], { timeoutMs: 60_000 });
  assert.is(hashOf(readFileSync(join(directoryOf(lab.server), 'upload'))), hashOf(CONTENT));
});

on('a client outside fetches from the server inside, behind a port forward', async ({ lab }) => {
  for (let i = 0; i < 3; i++) assert.is(await get(lab.server, WAN1), hashOf(CONTENT));
});

on.run();

const off = suite<Context>('TFTP with the ALG off, as it is by default: what it is for');
off.before(telling((context) => up(context, {})));
off.after((context) => context.lab?.close());

off('the answer to a client inside does not get in', async ({ lab }) => {
  // The client gives up by itself only after long: a few seconds show that nothing comes, as one file takes a fraction of one.
  const out = join(lab.lab.directory, 'none');
  await lab.pc1.run(['timeout', '4', 'tftp', '-m', 'binary', SERVER, '-c', 'get', 'file', out], { check: false, timeoutMs: 20_000 });
  assert.is(existsSync(out) ? readFileSync(out).length : 0, 0);
});

off.run();
