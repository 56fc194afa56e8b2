/**
 * Recording a wire with tcpdump and judging the recording with tshark, which validates every checksum.
 *
 * A recording is judged only where its frames are as on a real wire (a cable made with `judged`): elsewhere the kernel leaves
 * checksums to an offload that never happens between namespaces.
 */
import { readFileSync } from 'node:fs';
import { waitFor } from './wait.js';
import { run } from './command.js';
import { signal, type Process } from './process.js';
import type { Host } from './lab.js';
import { Recording } from './recording.js';

/** Longest frame kept: a whole Ethernet frame of a judged wire. Slots of this size keep tcpdump's ring many frames deep. */
const SNAP_BYTES = 1600;
const RING_KIB = 32 * 1024;

export class Capture {
  readonly file: string;
  /** What has been seen so far; cheap to look at again and again. */
  readonly recording: Recording;
  readonly #tcpdump: Process;

  private constructor(file: string, tcpdump: Process) {
    this.file = file;
    this.recording = new Recording(file);
    this.#tcpdump = tcpdump;
  }

  /** Returns once frames are being recorded. */
  static async start(host: Host, device: string, file: string): Promise<Capture> {
    const tcpdump = host.spawn(`tcpdump-${device}`, ['tcpdump', '-i', device, '-n', '-p', '-U', '-Z', 'root', '--immediate-mode', '-s', String(SNAP_BYTES), '-B', String(RING_KIB), '-w', file]);
    await tcpdump.waitForOutput(/listening on/, 10_000);
    return new Capture(file, tcpdump);
  }

  /** Ends the recording once every frame seen so far is in the file. Throws when the kernel dropped any. */
  async stop(): Promise<string> {
    // tcpdump answers SIGUSR1 with its counters: what was seen and what was written.
    await waitFor(() => {
      signal(this.#tcpdump.pid, 'SIGUSR1');
      const counts = [...this.#tcpdump.errors().matchAll(/(\d+) packets captured, (\d+) packets received by filter/g)].pop();
      return counts !== undefined && Number(counts[1]) >= Number(counts[2]);
    }, 15_000, 'tcpdump to write what it has seen');
    await this.#tcpdump.stop('SIGINT');
    const dropped = /(\d+) packets dropped by kernel\n*$/.exec(this.#tcpdump.errors());
    if (dropped === null || Number(dropped[1]) > 0) throw new Error(`recording ${this.file}: ${this.#tcpdump.errors()}`);
    return this.file;
  }
}

/** One frame as tshark reads it. Lists hold the outer value first, then that of a packet quoted in an ICMP error. */
export interface Frame {
  number: number;
  lengthBytes: number;
  capturedBytes: number;
  sourceMac: string;
  sources: string[];
  destinations: string[];
  arpSource: string;
  arpTarget: string;
  tcpStream: string;
  /** Source's, then destination's. */
  tcpPorts: string[];
  isReset: boolean;
  tcpPayloadBytes: number;
  /** Names of the protocols whose checksum is wrong, and of those whose checksum was validated and right. */
  bad: string[];
  good: string[];
  info: string;
}

const CHECKED = ['ip', 'icmp', 'udp', 'tcp'];
const FIELDS = ['frame.number', 'frame.len', 'frame.cap_len', 'eth.src', 'ip.src', 'ip.dst', 'arp.src.proto_ipv4', 'arp.dst.proto_ipv4', 'tcp.stream', 'tcp.len', 'tcp.checksum.ffff', ...CHECKED.map((protocol) => `${protocol}.checksum.status`), 'tcp.srcport', 'tcp.dstport', 'tcp.flags.reset', '_ws.col.Info'];
const BAD = '0';
const GOOD = '1';

/** Every frame of a recording, checksums validated, those of reassembled datagrams too. */
export async function readFrames(file: string, filter?: string): Promise<Frame[]> {
  const { stdout } = await run(['tshark', '-n', '-r', file, ...(filter === undefined ? [] : ['-Y', filter]),
    '-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE', '-o', 'ip.defragment:TRUE',
    '-o', 'tcp.analyze_sequence_numbers:FALSE', '-o', 'tcp.desegment_tcp_streams:FALSE',
    '-T', 'fields', '-E', 'occurrence=a', '-E', 'aggregator=,', '-E', 'separator=/t', ...FIELDS.flatMap((field) => ['-e', field])], { timeoutMs: 120_000 });
  return stdout.split('\n').filter((line) => line !== '').map((line) => {
    const value = line.split('\t');
    const list = (text: string): string[] => text === '' ? [] : text.split(',');
    const status = CHECKED.map((protocol, i) => ({ protocol, values: list(value[11 + i]) }));
    // All ones and zero are one value in ones' complement, so a TCP sum of 0xffff where tshark would write 0 is right for every
    // receiver. The kernel itself writes it when it finishes a partial sum.
    if (value[10] !== '') status[3].values = [GOOD];
    return {
      number: Number(value[0]), lengthBytes: Number(value[1]), capturedBytes: Number(value[2]), sourceMac: value[3],
      sources: list(value[4]), destinations: list(value[5]), arpSource: value[6], arpTarget: value[7], tcpStream: value[8], tcpPayloadBytes: Number(value[9] || 0),
      tcpPorts: [...list(value[15]), ...list(value[16])], isReset: value[17] === '1',
      bad: status.filter(({ values }) => values.includes(BAD)).map(({ protocol }) => protocol),
      good: status.filter(({ values }) => values.includes(GOOD)).map(({ protocol }) => protocol),
      info: value[18] ?? '',
    };
  });
}

/** File header and packet header of a recording. */
const PCAP_HEADER = 24, PCAP_RECORD = 16, PCAP_MAGIC = 0xa1b2c3d4;

/** The bytes of every frame of a recording that tcpdump has written. */
export function readBytes(file: string): Buffer[] {
  const bytes = readFileSync(file);
  const isLittle = bytes.readUInt32LE(0) === PCAP_MAGIC;
  if (!isLittle && bytes.readUInt32BE(0) !== PCAP_MAGIC) throw new Error(`${file} is no recording in pcap form`);
  const frames: Buffer[] = [];
  for (let at = PCAP_HEADER; at + PCAP_RECORD <= bytes.length;) {
    const length = isLittle ? bytes.readUInt32LE(at + 8) : bytes.readUInt32BE(at + 8);
    frames.push(bytes.subarray(at + PCAP_RECORD, at + PCAP_RECORD + length));
    at += PCAP_RECORD + length;
  }
  return frames;
}

/** What a wire is held to. */
export interface WireRule {
  /** First bytes of addresses that must not be seen here, not even quoted or asked for: '192.168.0.'. */
  never?: string;
}

/** What is wrong on a wire, one sentence a frame; empty when it is clean. */
export function judge(frames: readonly Frame[], rule: WireRule = {}): string[] {
  const faults: string[] = [];
  for (const frame of frames) {
    const place = `frame ${frame.number} (${frame.sources[0] ?? frame.arpSource} > ${frame.destinations[0] ?? frame.arpTarget}, ${frame.lengthBytes} bytes, ${frame.info})`;
    if (frame.capturedBytes < frame.lengthBytes) faults.push(`${place}: longer than a frame of a judged wire, so its checksum was not judged`);
    if (frame.bad.length > 0) faults.push(`${place}: wrong checksum of ${frame.bad.join(', ')}`);
    const { never } = rule;
    if (never !== undefined) {
      const leaked = [...frame.sources, ...frame.destinations, frame.arpSource, frame.arpTarget].find((address) => address.startsWith(never));
      if (leaked !== undefined) faults.push(`${place}: the inside address ${leaked} is seen here`);
    }
  }
  return faults;
}

/** What was seen, how many frames that were, and how many of them had a checksum that was validated and right, by protocol. */
export interface WireCounts { seen: readonly Frame[]; frames: number; good: Record<string, number> }

/** Throws unless the wire is clean; says how much was judged, so that a test can tell a clean wire from an empty one. */
export async function assertWireClean(file: string, rule: WireRule = {}): Promise<WireCounts> {
  const frames = await readFrames(file);
  const faults = judge(frames, rule);
  if (faults.length > 0) throw new Error(`${faults.length} faults on the wire in ${file}:\n${faults.slice(0, 10).join('\n')}`);
  const good: Record<string, number> = {};
  for (const protocol of CHECKED) good[protocol] = frames.filter((frame) => frame.good.includes(protocol)).length;
  return { seen: frames, frames: frames.length, good };
}
