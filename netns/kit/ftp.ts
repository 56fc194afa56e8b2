/** FTP with real ends: vsftpd on a host of a lab, fetched from by lftp and curl, active and passive, in the old and the extended form. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './lab.js';
import { waitFor } from './wait.js';

export const FTP_PORT = 21;
export const FTP_MODES = [
  { name: 'active, PORT', passive: false, extended: false },
  { name: 'active, EPRT', passive: false, extended: true },
  { name: 'passive, PASV', passive: true, extended: false },
  { name: 'passive, EPSV', passive: true, extended: true },
] as const;
export type FtpMode = (typeof FTP_MODES)[number];

/** What a test fetches: so many bytes of which no block is like the next, and their hash. */
export function ftpContent(bytes: number): { content: Buffer; hash: string } {
  const content = Buffer.alloc(bytes, 'weir ');
  for (let i = 0; i + 4 <= bytes; i += 4096) content.writeUInt32BE(i, i);
  return { content, hash: createHash('sha256').update(content).digest('hex') };
}

/** vsftpd on a host, serving a file called `file` without a password, as fast as it can or at a rate. */
export async function serveFtp(host: Host, content: Buffer, bytesPerSecond = 0): Promise<void> {
  const directory = join(host.lab.directory, `${host.name}-ftp`);
  const empty = join(host.lab.directory, `${host.name}-empty`);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  mkdirSync(empty, { recursive: true, mode: 0o755 });
  writeFileSync(join(directory, 'file'), content, { mode: 0o644 });
  const config = join(host.lab.directory, `${host.name}-vsftpd.conf`);
  writeFileSync(config, `${Object.entries({
    listen: 'YES', background: 'NO', anonymous_enable: 'YES', no_anon_password: 'YES', anon_root: directory, ftp_username: 'daemon', nopriv_user: 'nobody',
    secure_chroot_dir: empty, connect_from_port_20: 'YES', seccomp_sandbox: 'NO', isolate: 'NO', isolate_network: 'NO', xferlog_enable: 'NO', anon_max_rate: bytesPerSecond,
  }).map(([key, value]) => `${key}=${value}`).join('\n')}\n`);
  const server = host.spawn('vsftpd', ['vsftpd', config]);
  await waitFor(() => {
    if (server.exit !== null) throw new Error(`vsftpd ended: ${server.errors()}${server.output()}`);
    return host.runNow(['ss', '-Hltn', `sport = :${FTP_PORT}`]).stdout.trim() !== '';
  }, 10_000, 'vsftpd to listen');
}

/** Where a file goes that nothing else was said of. */
const fetchedFile = (host: Host): string => join(host.lab.directory, `${host.name}-fetched`);

/** A fetch that takes a while: what has come so far, and in the end the hash. */
export interface Fetching { readonly mode: FtpMode; bytes(): number; readonly hash: Promise<string> }

/** Begins a fetch; several may go on at once. */
export function beginFetch(host: Host, address: string, mode: FtpMode): Fetching {
  const out = `${fetchedFile(host)}-${mode.name.slice(-4).toLowerCase()}`;
  rmSync(out, { force: true });
  const hash = fetchFtp(host, address, mode, 1, out);
  // It is waited for later, and then it tells what went wrong.
  hash.catch(() => {});
  return { mode, hash, bytes: () => existsSync(out) ? statSync(out).size : 0 };
}

/** Fetch the file several times over one control connection; its hash. Throws when that fails, or was done in another mode. lftp says EPRT only for IPv6, so there it is curl. */
export async function fetchFtp(host: Host, address: string, mode: FtpMode, times = 1, out = fetchedFile(host)): Promise<string> {
  const speak = async (argv: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await host.run(argv, { check: false, timeoutMs: 60_000 });
    if (code !== 0) throw new Error(`${mode.name}: exit code ${code}\n${stderr}${stdout}`);
    // It did what it was asked to do, and not the other mode after a failure.
    const spoken = [...stderr.matchAll(/^(?:--->|>) (PORT|EPRT|PASV|EPSV)/gm)].map((match) => match[1]);
    if (spoken.length < times || spoken.some((word) => word !== mode.name.slice(-4))) throw new Error(`${mode.name}: it spoke ${spoken.join(', ') || 'none of them'}\n${stderr}`);
    // The control connection, too, came to its end: it said of all that was asked for that it was sent (RFC 959 §4.2).
    const asked = stderr.match(/^(?:--->|>) (?:RETR|LIST|NLST|MLSD)/gm)?.length ?? 0, sent = stderr.match(/^<(?:---)? 226/gm)?.length ?? 0;
    if (asked < times || sent < asked) throw new Error(`${mode.name}: ${asked} files and lists were asked for, ${sent} told to be sent\n${stderr}`);
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
