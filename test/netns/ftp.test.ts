/**
 * FTP with real ends, vsftpd and lftp: the client behind weir and the server behind weir, active and passive, in the old and the extended form.
 * Both ends are strict: vsftpd takes data connections only from the address the control connection came from, and connects only
 * to that; lftp likewise.
 *
 * In the lab of netns/multiwan.ts `pc1` is the host inside and `server` the one outside.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, readFrames } from '../../netns/kit/capture.js';
import { fetchFtp, FTP_MODES, FTP_PORT, ftpContent, serveFtp } from '../../netns/kit/ftp.js';
import { checksumErrors } from '../../netns/kit/traffic.js';
import { INSIDE, Multiwan, PC1, SERVER, WAN1 } from '../../netns/multiwan.js';
import type { MultiwanOptions } from '../../netns/multiwan.js';
import { telling } from './telling.js';

const FILE_BYTES = 3_000_000;

interface Context { lab: Multiwan; hash: string; file: string }

function ftp(title: string, options: MultiwanOptions, configure: object): ReturnType<typeof suite<Context>> {
  const rows = suite<Context>(title);
  rows.before(telling(async (context) => {
    const { content, hash } = ftpContent(FILE_BYTES);
    context.hash = hash;
    context.lab = await Multiwan.up({ ...options, start: false });
    context.lab.weir.dropIn('60-ftp', configure);
    await context.lab.start();
    await Promise.all([serveFtp(context.lab.server, content), serveFtp(context.lab.pc1, content)]);
  }));
  rows.after((context) => context.lab?.close());
  return rows;
}

const STRICT = { filtering: 'address-and-port-dependent' };

const client = ftp('FTP, client inside: two uplinks, strict filtering, uplink wires judged', { judged: ['wan1', 'wan2'] }, { uplinks: { isp1: STRICT, isp2: STRICT } });
for (const mode of FTP_MODES) {
  client(mode.name, async ({ lab, hash }) => {
    const wires = await Promise.all([lab.cables.wan1.capture(), lab.cables.wan2.capture()]);
    // Each fetch is a new control connection; with two uplinks they take either one, and the data must follow.
    for (let i = 0; i < 4; i++) assert.is(await fetchFtp(lab.pc1, SERVER, mode, 2), hash);
    let frames = 0;
    for (const wire of wires) {
      const file = await wire.stop();
      const wireCounts = await assertWireClean(file, { never: INSIDE });
      frames += wireCounts.frames;
      if (!mode.passive) assert.equal((await readFrames(file, 'ftp contains "192,168,0,4" || ftp contains "192.168.0.4"')).map((frame) => frame.info), [], 'no inside address in the text');
    }
    assert.ok(frames > 1000, `${frames} frames judged`);
    assert.equal([...checksumErrors(lab.pc1)], []);
    assert.equal([...checksumErrors(lab.server)], []);
  });
}
client.run();

const server = ftp('FTP, server inside behind a port forward, strict filtering, offloads on', { judged: [] }, {
  uplinks: { isp1: STRICT, isp2: STRICT }, portForwards: { ftp: { uplink: 'isp1', listen: `${FTP_PORT}/tcp`, to: PC1 } },
});
for (const mode of FTP_MODES) {
  server(mode.name, async ({ lab, hash }) => {
    for (let i = 0; i < 3; i++) assert.is(await fetchFtp(lab.server, WAN1, mode, 2), hash);
    assert.equal([...checksumErrors(lab.pc1)], []);
    assert.equal([...checksumErrors(lab.server)], []);
  });
}
server('a client inside by the external address (hairpin), in every mode', async ({ lab, hash }) => {
  for (const mode of FTP_MODES) assert.is(await fetchFtp(lab.pc1, WAN1, mode), hash);
});
server.run();

const off = ftp('FTP with the ALG off: what it is for', {}, { algs: { ftp: 'off' }, uplinks: { isp1: STRICT, isp2: STRICT } });
off('active from inside fails', async ({ lab }) => {
  const { code } = await lab.pc1.run(['lftp', '-c', `set ftp:passive-mode off; set ftp:ssl-allow no; set net:timeout 3; set net:max-retries 1; open ftp://${SERVER}; get file -o ${join(lab.lab.directory, 'none')}`], { check: false, timeoutMs: 30_000 });
  assert.is.not(code, 0);
});
off.run();
