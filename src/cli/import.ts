/** `weir import`: another balancer's configuration as one of weir's, and what of it is otherwise or could not be had. */
import { readFile } from 'node:fs/promises';
import { Argument, InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { ConfigErrors, EXIT_FAILED, EXIT_OK, EXIT_USAGE, isSystemError } from '../base/error.js';
import { IMPORT_FORMATS, type CommandFile, type ImportRequest } from './command.js';
import { CliFailure } from './failure.js';
import { includeReader } from './include.js';

/** A file that is longer is not one of these. */
const BYTES_MAX = 16 * 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = { ENOENT: 'no such file', EACCES: 'a file that may not be read', EISDIR: 'a directory' };

type Link = ImportRequest['links'][number];
type Mark = ImportRequest['marks'][number];

/** A mistake of the file as a whole. */
function whole(file: string, found: string, allowed: string): ConfigErrors {
  return new ConfigErrors([{ file, line: 0, column: 0, path: '', found, allowed }], []);
}

async function readInput(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > BYTES_MAX) break;
  }
  return Buffer.concat(chunks);
}

async function read(file: string, name: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = file === '-' ? await readInput() : await readFile(file);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw whole(name, `${REASONS[error.code] ?? 'a file that cannot be read'} (${error.code})`, 'a file that can be read, or - for standard input');
  }
  if (bytes.length > BYTES_MAX) throw whole(name, `more than ${BYTES_MAX} bytes`, `at most ${BYTES_MAX} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw whole(name, 'bytes that are not UTF-8', 'text');
  }
}

/** NAME=DEVICE or NAME=DEVICE,ADDRESS/LENGTH,… */
function readLink(text: string, links: readonly Link[] = []): Link[] {
  const match = /^([^=,\s]+)=([^=,\s/]+)((?:,[\d.]+\/\d{1,2})*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('It must be NAME=DEVICE or NAME=DEVICE,ADDRESS/LENGTH,…');
  if (links.some(({ name }) => name === match[1])) throw new InvalidArgumentError(`${match[1]} is given twice.`);
  return [...links, { name: match[1], device: match[2], addresses: match[3].split(',').slice(1) }];
}

/** NUMBER=LISTEN,… */
function readMark(text: string, marks: readonly Mark[] = []): Mark[] {
  const match = /^(\d{1,10})=([^,\s]+(?:,[^,\s]+)*)$/.exec(text);
  const mark = Number(match?.[1]);
  if (match === null || !(mark >= 1 && mark <= 0xffff_ffff)) throw new InvalidArgumentError('It must be MARK=ADDRESS:PORT/PROTOCOL,…');
  if (marks.some((other) => other.mark === mark)) throw new InvalidArgumentError(`${mark} is given twice.`);
  return [...marks, { mark, listens: match[2].split(',') }];
}

export const command: CommandFile = {
  define(command: Command): void {
    command
      .addArgument(new Argument('<format>', 'what the file is of').choices(IMPORT_FORMATS))
      .argument('<file>', 'what ipvsadm -Sn printed, a keepalived.conf, or a bng.conf; - is standard input')
      .option('--link <name=device>', 'ipvsadm, keepalived: a link, as NAME=DEVICE,ADDRESS/LENGTH,…; bng: the device that is to be an interface, as INTERFACE=DEVICE; may be repeated', readLink)
      .option('--gateway <address>', 'ipvsadm, keepalived: the gateway to everybody else, on the network of a link')
      .option('--mark <mark=listen>', 'ipvsadm, keepalived: what a firewall mark stands for, as MARK=ADDRESS:PORT/PROTOCOL,…; may be repeated', readMark)
      .option('--into <file>', 'ipvsadm, keepalived: the configuration that is to get the result as a drop-in, and has the links')
      .option('--instance <name>', 'keepalived: which of several boxes this is: lines that begin with @NAME are its own')
      .addHelpText('after', `
Prints a configuration that weir check accepts to standard output, and to standard error one line for everything that is not in it as it was:
FILE:LINE:COLUMN: left out (or changed, or guessed): what it was: why, and what to do instead. docs/coming-from.md has every word of the old
configurations and what it has become. Changes nothing and needs no privileges.

Examples:
  ipvsadm -Sn > rules
  weir import ipvsadm rules --link wan=eth0,202.103.106.5/24 --link lan=eth1,172.16.0.1/24 --gateway 202.103.106.1 > weir.yaml
  weir import ipvsadm rules --into /etc/weir/weir.yaml > /etc/weir/weir.yaml.d/virtual-servers.yaml
  weir import keepalived /etc/keepalived/keepalived.conf --link wan=eth0,203.0.113.2/24 --link lan=eth1,10.0.1.2/24 > weir.yaml
  weir import bng /etc/bng.conf --link eth0=enp1s0 > weir.yaml

Exit codes: 0 all of it was taken, 1 something was left out, changed or guessed (the configuration is printed all the same), 2 usage,
78 the file has mistakes (each is told with its place, and nothing is printed).`);
  },
  async run({ io, actions }, given, [format, file]): Promise<number> {
    const { link = [], mark = [], gateway, into, instance } = given as { link?: Link[]; mark?: Mark[]; gateway?: string; into?: string; instance?: string };
    for (const [name, value] of [['--gateway', gateway], ['--mark', given['mark']], ['--into', into]] as const) {
      if (value !== undefined && format === 'bng') throw new CliFailure(EXIT_USAGE, `${name} is for ipvsadm and keepalived; a bng.conf is a whole configuration`);
    }
    if (instance !== undefined && format !== 'keepalived') throw new CliFailure(EXIT_USAGE, '--instance is for keepalived: no other file is for several boxes');
    if (into !== undefined && (link.length > 0 || gateway !== undefined)) throw new CliFailure(EXIT_USAGE, '--into goes without --link and --gateway: the configuration it names has them');
    const name = file === '-' ? 'standard input' : file;
    const { yaml, remarks } = await actions.import({
      format: format as ImportRequest['format'], name, text: await read(file, name), links: link, marks: mark,
      ...(gateway === undefined ? {} : { gateway }), ...(into === undefined ? {} : { into }),
      ...(instance === undefined ? {} : { instance }), ...(format === 'keepalived' ? { include: includeReader(BYTES_MAX) } : {}),
    });
    await io.write(yaml);
    for (const line of remarks) io.writeError(`${line}\n`);
    return remarks.length === 0 ? EXIT_OK : EXIT_FAILED;
  },
};
