/**
 * FTP with real ends, vsftpd and lftp: the client behind weir and the server behind weir, active and passive, in the old and the extended form.
 * Both ends are strict: vsftpd takes data connections only from the address the control connection came from, and connects only
 * to that; lftp likewise.
 *
 * In the lab of netns/multiwan.ts `pc1` is the host inside and `server` the one outside.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWireClean, readFrames } from '../../netns/kit/capture.js';
import type { Host } from '../../netns/kit/lab.js';
import { checksumErrors } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { INSIDE, Multiwan, PC1, SERVER, WAN1 } from '../../netns/multiwan.js';
import type { MultiwanOptions } from '../../netns/multiwan.js';
import { telling } from './telling.js';

const FTP = 21;
const FILE_BYTES = 3_000_000;
const MODES = [
  { name: 'active, PORT', passive: false, extended: false },
  { name: 'active, EPRT', passive: false, extended: true },
  { name: 'passive, PASV', passive: true, extended: false },
  { name: 'passive, EPSV', passive: true, extended: true },
] as const;
type Mode = (typeof MODES)[number];

interface Context { lab: Multiwan; hash: string; file: string }

/** vsftpd on a host, serving a file called `file` without a password. */
async function serve(host: Host, content: Buffer): Promise<void> {
  const directory = join(host.lab.directory, `${host.name}-ftp`);
  const empty = join(host.lab.directory, `${host.name}-empty`);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  mkdirSync(empty, { recursive: true, mode: 0o755 });
  writeFileSync(join(directory, 'file'), content, { mode: 0o644 });
  const config = join(host.lab.directory, `${host.name}-vsftpd.conf`);
  writeFileSync(config, `${Object.entries({
    listen: 'YES', background: 'NO', anonymous_enable: 'YES', no_anon_password: 'YES', anon_root: directory, ftp_username: 'daemon', nopriv_user: 'nobody',
    secure_chroot_dir: empty, connect_from_port_20: 'YES', seccomp_sandbox: 'NO', isolate: 'NO', isolate_network: 'NO', xferlog_enable: 'NO',
  }).map(([key, value]) => `${key}=${value}`).join('\n')}\n`);
  const server = host.spawn('vsftpd', ['vsftpd', config]);
  await waitFor(() => {
    if (server.exit !== null) throw new Error(`vsftpd ended: ${server.errors()}${server.output()}`);
    return host.runNow(['ss', '-Hltn', `sport = :${FTP}`]).stdout.trim() !== '';
  }, 10_000, 'vsftpd to listen');
}

/** Fetch the file several times over one control connection; its hash. lftp says EPRT only for IPv6, so there it is curl. */
async function fetch(host: Host, address: string, mode: Mode, times = 1): Promise<string> {
  const out = join(host.lab.directory, `${host.name}-fetched`);
  const speak = async (argv: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await host.run(argv, { check: false, timeoutMs: 60_000 });
    assert.is(code, 0, `${mode.name}:\n${stderr}${stdout}`);
    // It did what it was asked to do, and not the other mode after a failure.
    const spoken = [...stderr.matchAll(/^(?:--->|>) (PORT|EPRT|PASV|EPSV)/gm)].map((match) => match[1]);
    assert.equal([...new Set(spoken)], [mode.name.slice(-4)], stderr);
    assert.ok(spoken.length >= times, stderr);
  };
  const hash = (): string => createHash('sha256').update(readFileSync(out)).digest('hex');
  if (mode.name === 'active, EPRT') {
    const url = `ftp://${address}/file`;
    await speak(['curl', '-sS', '-v', '-m', '30', '-P', '-', ...Array.from({ length: times }, () => ['-o', out, url]).flat()]);
    return hash();
  }
  const settings = {
    'ftp:passive-mode': mode.passive ? 'on' : 'off', 'ftp:prefer-epsv': mode.extended ? 'on' : 'off', 'ftp:ssl-allow': 'no', 'ftp:verify-address': 'yes', 'ftp:fix-pasv-address': 'no',
    'net:timeout': '8', 'net:max-retries': '1', 'xfer:clobber': 'yes', 'cmd:fail-exit': 'yes', 'dns:order': 'inet',
  };
  const commands = [
    ...Object.entries(settings).map(([key, value]) => `set ${key} ${value}`), `open ftp://${address}`,
    ...Array.from({ length: times }, () => `cls -l; get file -o ${out}`), 'bye',
  ];
  await speak(['lftp', '-d', '-c', commands.join('; ')]);
  return hash();
}

function ftp(title: string, options: MultiwanOptions, configure: object): ReturnType<typeof suite<Context>> {
  const rows = suite<Context>(title);
  rows.before(telling(async (context) => {
    const content = Buffer.alloc(FILE_BYTES, 'weir ');
    for (let i = 0; i < FILE_BYTES; i += 4096) content.writeUInt32BE(i, i);
    context.hash = createHash('sha256').update(content).digest('hex');
    context.lab = await Multiwan.up({ ...options, start: false });
    context.lab.weir.dropIn('60-ftp', configure);
    await context.lab.start();
    await Promise.all([serve(context.lab.server, content), serve(context.lab.pc1, content)]);
  }));
  rows.after((context) => context.lab?.close());
  return rows;
}

const STRICT = { filtering: 'address-and-port-dependent' };

const client = ftp('FTP, client inside: two uplinks, strict filtering, uplink wires judged', { judged: ['wan1', 'wan2'] }, { uplinks: { isp1: STRICT, isp2: STRICT } });
for (const mode of MODES) {
  client(mode.name, async ({ lab, hash }) => {
    const wires = await Promise.all([lab.cables.wan1.capture(), lab.cables.wan2.capture()]);
    // Each fetch is a new control connection; with two uplinks they take either one, and the data must follow.
    for (let i = 0; i < 4; i++) assert.is(await fetch(lab.pc1, SERVER, mode, 2), hash);
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
  uplinks: { isp1: STRICT, isp2: STRICT }, portForwards: { ftp: { uplink: 'isp1', listen: `${FTP}/tcp`, to: PC1 } },
});
for (const mode of MODES) {
  server(mode.name, async ({ lab, hash }) => {
    for (let i = 0; i < 3; i++) assert.is(await fetch(lab.server, WAN1, mode, 2), hash);
    assert.equal([...checksumErrors(lab.pc1)], []);
    assert.equal([...checksumErrors(lab.server)], []);
  });
}
server('a client inside by the external address (hairpin), in every mode', async ({ lab, hash }) => {
  for (const mode of MODES) assert.is(await fetch(lab.pc1, WAN1, mode), hash);
});
server.run();

const off = ftp('FTP with the ALG off: what it is for', {}, { algs: { ftp: 'off' }, uplinks: { isp1: STRICT, isp2: STRICT } });
off('active from inside fails', async ({ lab }) => {
  const { code } = await lab.pc1.run(['lftp', '-c', `set ftp:passive-mode off; set ftp:ssl-allow no; set net:timeout 3; set net:max-retries 1; open ftp://${SERVER}; get file -o ${join(lab.lab.directory, 'none')}`], { check: false, timeoutMs: 30_000 });
  assert.is.not(code, 0);
});
off.run();
