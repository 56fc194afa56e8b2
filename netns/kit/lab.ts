/**
 * A lab: hosts (network namespaces), cables (veth pairs straight from one namespace to another, so no device of a lab is ever
 * seen outside it) and bridges. Everything has a name of its own, `weir-SCENARIO-PID-HOST`, so labs run side by side.
 *
 * Clean-up always happens: on close(), when the process ends or throws, on SIGINT, SIGTERM and SIGHUP. What a lab left that was
 * killed with SIGKILL is removed by the next one: only names of this form whose process no longer exists.
 *
 *     building ──open()──▶ open ──close() | exit | signal──▶ processes ended, namespaces and directory removed
 *                            └──────kill -9──────▶ left over ──next open()──▶ removed
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, runNow, type RunOptions, type RunResult } from './command.js';
import { isAlive, Process, signal, startTicks } from './process.js';
import { Capture } from './capture.js';

const PREFIX = 'weir';
const NAMESPACE = /^weir-([a-z0-9]+)-(\d+)-([a-z0-9]+)$/;
const DIRECTORY = /^weir-lab-([a-z0-9]+)-(\d+)$/;
/** What processes get to end by themselves when a lab closes. */
const GRACE_MS = 3000;
/** Echo requests: the pause between two, and what the answer to the last may take. */
const PING_INTERVAL_S = 0.02;
const ANSWER_S = 2;

/** Settings of every host: quiet wires, bridges that are only bridges, sources judged by the router under test only, no ICMP rate limit in the way of a test. */
const SYSCTLS = {
  'net.ipv6.conf.all.disable_ipv6': 1,
  'net.ipv6.conf.default.disable_ipv6': 1,
  'net.bridge.bridge-nf-call-iptables': 0,
  'net.bridge.bridge-nf-call-arptables': 0,
  'net.ipv4.conf.all.rp_filter': 0,
  'net.ipv4.conf.default.rp_filter': 0,
  'net.ipv4.icmp_ratelimit': 0,
  'net.ipv4.icmp_msgs_per_sec': 1_000_000,
  'net.core.somaxconn': 4096,
  'net.ipv4.tcp_max_syn_backlog': 4096,
  // Caches what one test learned of a path for the next.
  'net.ipv4.tcp_no_metrics_save': 1,
};

const open = new Set<Lab>();
let watching = false;

/** Closes every lab of this process when it ends, however it does. */
function watchForTheEnd(): void {
  if (watching) return;
  watching = true;
  const closeAll = (): void => { for (const lab of open) lab.close(); };
  process.on('exit', closeAll);
  for (const [name, number] of [['SIGINT', 2], ['SIGTERM', 15], ['SIGHUP', 1]] as const) {
    process.on(name, () => {
      closeAll();
      process.exit(128 + number);
    });
  }
}

/** Blocks this thread; only where nothing can be awaited. */
function pauseNow(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function namespaces(): string[] {
  return runNow(['ip', 'netns', 'list']).stdout.split('\n').map((line) => line.split(' ')[0]).filter((name) => name !== '');
}

/** Ends processes: asked first, then killed. */
function endProcesses(pids: readonly number[]): void {
  for (const pid of pids) signal(pid, 'SIGTERM');
  const deadlineMs = performance.now() + GRACE_MS;
  while (pids.some(isAlive) && performance.now() < deadlineMs) pauseNow(10);
  for (const pid of pids) if (isAlive(pid)) signal(pid, 'SIGKILL');
}

/** Deletes a namespace of ours, its devices with it, and ends whatever still runs inside. */
function removeNamespace(name: string): void {
  const inside = runNow(['ip', 'netns', 'pids', name], { check: false }).stdout.split('\n').map(Number).filter((pid) => pid > 0 && pid !== process.pid);
  endProcesses(inside);
  runNow(['ip', 'netns', 'del', name], { check: false });
}

function directoryOf(scenario: string, pid: number): string { return join(tmpdir(), `${PREFIX}-lab-${scenario}-${pid}`); }

/** Whether the process that made a lab is gone; an id that has been given to another process since does not fool it. */
function isLeftOver(scenario: string, pid: number): boolean {
  const ticks = startTicks(pid);
  if (ticks === null) return true;
  try {
    return readFileSync(join(directoryOf(scenario, pid), 'owner'), 'utf8') !== ticks;
  } catch {
    return false;
  }
}

/** Removes what labs left whose process was killed. Returns the names of the namespaces removed. */
export function sweep(): string[] {
  const removed: string[] = [];
  for (const name of namespaces()) {
    const match = NAMESPACE.exec(name);
    if (match === null || !isLeftOver(match[1], Number(match[2]))) continue;
    removeNamespace(name);
    removed.push(name);
  }
  for (const entry of readdirSync(tmpdir())) {
    const match = DIRECTORY.exec(entry);
    if (match !== null && isLeftOver(match[1], Number(match[2]))) rmSync(join(tmpdir(), entry), { recursive: true, force: true });
  }
  return removed;
}

export class Lab {
  readonly scenario: string;
  /** For configuration, sockets, logs and captures; removed with the lab. */
  readonly directory: string;
  readonly hosts: Host[] = [];
  readonly processes: Process[] = [];

  private constructor(scenario: string) {
    this.scenario = scenario;
    this.directory = directoryOf(scenario, process.pid);
  }

  /** A new, empty lab. A second one of the same scenario in one process gets a name with a number. */
  static open(scenario: string): Lab {
    if (process.geteuid?.() !== 0) throw Object.assign(new Error('a lab needs root: it makes network namespaces'), { code: 'EPERM' });
    watchForTheEnd();
    sweep();
    let name = scenario.replaceAll(/[^a-z0-9]/g, '');
    for (let number = 2; [...open].some((lab) => lab.scenario === name); number++) name = `${scenario}x${number}`;
    const lab = new Lab(name);
    rmSync(lab.directory, { recursive: true, force: true });
    mkdirSync(lab.directory, { mode: 0o755 });
    writeFileSync(join(lab.directory, 'owner'), startTicks(process.pid) ?? '');
    open.add(lab);
    return lab;
  }

  host(name: string): Host {
    const host = new Host(this, name, `${PREFIX}-${this.scenario}-${process.pid}-${name}`);
    this.hosts.push(host);
    return host;
  }

  cable(name: string, a: CableEnd, b: CableEnd, options: CableOptions = {}): Cable { return new Cable(this, name, a, b, options); }

  /** Ends every process, deletes every namespace and the directory. Does not throw: what is gone already is as it should be. */
  close(): void {
    if (!open.delete(this)) return;
    endProcesses(this.processes.filter((started) => started.exit === null).map((started) => started.pid).reverse());
    for (const host of this.hosts) removeNamespace(host.namespace);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A host of the lab: one network namespace. */
export class Host {
  readonly lab: Lab;
  readonly name: string;
  readonly namespace: string;
  #started = 0;

  constructor(lab: Lab, name: string, namespace: string) {
    this.lab = lab;
    this.name = name;
    this.namespace = namespace;
    runNow(['ip', 'netns', 'add', namespace]);
    this.sysctl(SYSCTLS);
    this.ip('link', 'set', 'lo', 'up');
  }

  /** The command line that runs `argv` on this host. */
  inside(argv: readonly string[]): string[] { return ['ip', 'netns', 'exec', this.namespace, ...argv]; }

  /** `ip …` on this host, at once. */
  ip(...args: string[]): string { return runNow(['ip', '-n', this.namespace, ...args]).stdout; }

  sysctl(settings: Record<string, string | number>): void {
    // -e: a setting this kernel does not have per namespace is not needed either.
    runNow(this.inside(['sysctl', '-qew', ...Object.entries(settings).map(([key, value]) => `${key}=${value}`)]));
  }

  run(argv: readonly string[], options?: RunOptions): Promise<RunResult> { return run(this.inside(argv), options); }
  runNow(argv: readonly string[], options?: RunOptions): RunResult { return runNow(this.inside(argv), options); }

  /** Starts a program that runs until it is stopped or the lab closes. `ip netns exec` becomes the program, so the id is its own. */
  spawn(name: string, argv: readonly string[], cwd?: string): Process {
    const started = new Process(`${name} on ${this.name}`, this.inside(argv), join(this.lab.directory, `${this.name}-${name}-${++this.#started}`), cwd);
    this.lab.processes.push(started);
    return started;
  }

  /** A bridge, up, without spanning tree: nothing of its own on the wire. */
  bridge(device: string, address?: string): void {
    this.ip('link', 'add', device, 'type', 'bridge', 'stp_state', '0', 'mcast_snooping', '0');
    if (address !== undefined) this.ip('address', 'add', address, 'dev', device);
    this.ip('link', 'set', device, 'up');
  }

  /**
   * Sends so many echo requests, 20 ms apart, and counts the answers to them.
   *
   * Once one has been answered, ping waits for the last only as long as twice the slowest took, or one interval if that is longer, whatever its -W says: an
   * answer that a busy machine holds up for more than 20 ms would be called lost. Given a deadline (-w) it asks on at the same pace until as many answers
   * have come as there were to be requests; those to what it asks beyond them do not count, so that a lost one stays lost.
   */
  async ping(address: string, count = 3, args: readonly string[] = []): Promise<{ sent: number; received: number; output: string }> {
    const patience = count === 1 ? ['-W', String(ANSWER_S)] : ['-w', String(ANSWER_S + Math.ceil(count * PING_INTERVAL_S))];
    const { stdout } = await this.run(['ping', '-n', '-i', String(PING_INTERVAL_S), '-c', String(count), ...patience, ...args, address], { check: false, timeoutMs: 10_000 + count * 100 });
    const answered = new Set([...stdout.matchAll(/^\d+ bytes from .* icmp_seq=(\d+) /gm)].map(([, sequence]) => Number(sequence)).filter((sequence) => sequence <= count));
    return { sent: Number(/^(\d+) packets transmitted/m.exec(stdout)?.[1] ?? 0) && count, received: answered.size, output: stdout };
  }

  /** Names of the devices, loopback aside. */
  devices(): string[] {
    return (JSON.parse(this.ip('-j', 'link', 'show')) as { ifname: string }[]).map((device) => device.ifname).filter((name) => name !== 'lo');
  }
}

export interface CableEnd {
  host: Host;
  device: string;
  /** With its prefix length. */
  address?: string;
  /** Joins this bridge of its host. */
  bridge?: string;
}

export interface CableOptions {
  /**
   * Every frame on the cable is as on a real wire: no partial checksums, no super-segments, so a capture can be judged. Both
   * ends' transmit checksum offload is turned off, with which the kernel finishes sums and segments before the frame is sent
   * (and before a capture sees it). What a program hands to a packet socket or a TAP behind such an end is finished likewise,
   * from the metadata the program gave: a wrong pseudo-header sum or offset comes out as a wrong checksum.
   */
  judged?: boolean;
  mtuBytes?: number;
}

/** A cable between two hosts. */
export class Cable {
  readonly lab: Lab;
  readonly name: string;
  readonly a: CableEnd;
  readonly b: CableEnd;
  readonly judged: boolean;
  #captures = 0;

  constructor(lab: Lab, name: string, a: CableEnd, b: CableEnd, options: CableOptions) {
    this.lab = lab;
    this.name = name;
    this.a = a;
    this.b = b;
    this.judged = options.judged ?? false;
    a.host.ip('link', 'add', 'name', a.device, 'type', 'veth', 'peer', 'name', b.device, 'netns', b.host.namespace);
    for (const { host, device, address, bridge } of [a, b]) {
      if (this.judged) host.runNow(['ethtool', '-K', device, 'tx', 'off']);
      if (options.mtuBytes !== undefined) host.ip('link', 'set', device, 'mtu', String(options.mtuBytes));
      if (bridge !== undefined) host.ip('link', 'set', device, 'master', bridge);
      if (address !== undefined) host.ip('address', 'add', address, 'dev', device);
      host.ip('link', 'set', device, 'up');
    }
  }

  /** The end to pull: a bridge's port where there is one, as pulling it takes no addresses or routes away. */
  get #pulled(): CableEnd { return this.a.bridge !== undefined && this.b.bridge === undefined ? this.a : this.b; }

  /** Pulls the cable: the end named `b` (or the end in a bridge) goes down, the other loses its carrier. */
  cut(): void { this.#pulled.host.ip('link', 'set', this.#pulled.device, 'down'); }
  plug(): void { this.#pulled.host.ip('link', 'set', this.#pulled.device, 'up'); }

  /** Records everything on the cable from now on, seen from end b. */
  capture(): Promise<Capture> {
    const file = join(this.lab.directory, `${this.name}-${++this.#captures}.pcap`);
    return Capture.start(this.b.host, this.b.device, file);
  }
}
