/**
 * The kernel's side of the offload: the maps, a program for each link that can, the hooks they sit at, and what the data plane reaches them by.
 * What cannot be had leaves a reason and nothing else: every packet goes through the pipeline then.
 *
 *     raw link   tc ingress: the program; packet socket, which sees frames before tc: a filter that drops what the program will forward
 *     tap link   tc egress of the device, which is where the kernel sends into it: the program
 *
 * A program hands a frame to another device of its own network namespace only; links of different namespaces are not offloaded
 * towards each other. Hooks are undone by the host's journal; the maps end with the last of hooks and descriptors.
 */
import { randomInt } from 'node:crypto';
import { isSystemError } from './base/error.js';
import type { Plan, VrrpPlan } from './base/plan.js';
import { OFFLOAD_CSUM, OFFLOAD_TSO4 } from './link/batch.js';
import { MAP_ARRAY, MAP_MMAPABLE, PROGRAM_SCHED_CLS, PROGRAM_SOCKET_FILTER, REDIRECT_INGRESS } from './link/bpf.js';
import { netnsPath } from './link/host.js';
import type { Host } from './link/host.js';
import type { OpenedLink } from './link/link.js';
import { native } from './link/native.js';
import { SOCKET_MARK } from './link/nftables.js';
import { BUCKET_BYTES, bucketsFor } from './table/offload-index.js';
import { forwarder, socketFilter } from './table/offload-program.js';
import { BEAT_SHIFT, CONTROL_WORDS, SLOT_BYTES } from './table/offload-slot.js';
import type { OffloadDevice, OffloadWay } from './table/offload.js';
import { parseMac } from './wire/address.js';

/** The programs use no helper that asks for more. */
const LICENSE = 'Apache-2.0';
const PAGE_BYTES = 4096;
const BEAT_NS = 2 ** BEAT_SHIFT;

/** Descriptors of the maps, good in every thread, for how many flows they are, and the seed of the index. */
export interface OffloadMaps { index: number; slots: number; control: number; capacity: number; seed: number }

/** What a link has of it. */
export interface LinkOffload { way: OffloadWay | null; /** Why not; null when it has a way. */ reason: string | null }

/** Makes the maps for so many flows. Throws a system error when the kernel does not give them. */
export function createMaps(capacity: number, seed = randomInt(2 ** 32)): OffloadMaps {
  const { bpfMap, closeFd } = native();
  const made: number[] = [];
  const make = (name: string, valueBytes: number, entries: number): number => {
    const fd = bpfMap({ kind: MAP_ARRAY, name, keyBytes: 4, valueBytes, entries, flags: MAP_MMAPABLE });
    made.push(fd);
    return fd;
  };
  try {
    return {
      capacity, seed,
      index: make('weir_index', BUCKET_BYTES, bucketsFor(capacity)),
      slots: make('weir_slots', SLOT_BYTES, capacity),
      control: make('weir_control', CONTROL_WORDS * 4, 1),
    };
  } catch (error) {
    for (const fd of made) closeFd(fd);
    throw error;
  }
}

export function closeMaps({ index, slots, control }: OffloadMaps): void {
  for (const fd of [index, slots, control]) native().closeFd(fd);
}

/** The maps as the data plane uses them, in the thread that calls. */
export class MapDevice implements OffloadDevice {
  readonly slots: ArrayBuffer;
  readonly index: ArrayBuffer;
  readonly control: ArrayBuffer;
  readonly seed: number;

  constructor({ slots, index, control, capacity, seed }: OffloadMaps) {
    const memoryOf = (fd: number, bytes: number): ArrayBuffer => native().bpfMemory(fd, Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
    this.slots = memoryOf(slots, capacity * SLOT_BYTES);
    this.index = memoryOf(index, bucketsFor(capacity) * BUCKET_BYTES);
    this.control = memoryOf(control, PAGE_BYTES);
    this.seed = seed;
  }

  beat(): number {
    const [seconds, nanoseconds] = process.hrtime();
    return Math.floor((seconds * 1e9 + nanoseconds) / BEAT_NS);
  }
}

/** The programs of a running daemon. */
export class KernelOffload {
  /** Null: nothing is offloaded. */
  readonly maps: OffloadMaps | null = null;
  /** Why nothing is; null when something may be. */
  readonly reason: string | null = null;
  /** By link index. */
  readonly links: LinkOffload[];
  private readonly host: Host;
  private readonly virtualRouters: readonly VrrpPlan[];

  constructor(plan: Plan, links: readonly OpenedLink[], host: Host) {
    this.host = host;
    this.virtualRouters = plan.vrrp;
    const obstacles = links.map((link) => obstacle(link, links));
    this.links = obstacles.map((reason) => ({ way: null, reason }));
    const capacity = plan.limits.offloadedFlows;
    if (capacity === 0) this.reason = 'limits.offloadedFlows is 0';
    else if (obstacles.every((reason) => reason !== null)) this.reason = 'no two links can be reached from each other';
    if (this.reason === null) {
      try {
        this.maps = createMaps(capacity);
      } catch (error) {
        this.reason = wordsOf(error);
      }
    }
    const { maps } = this;
    links.forEach((link, i) => {
      if (obstacles[i] === null) this.links[i] = maps === null ? { way: null, reason: this.reason } : this.attach(link, maps, links);
    });
    if (maps === null || this.links.some(({ way }) => way !== null)) return;
    this.reason = this.links.find((_, i) => obstacles[i] === null)!.reason;
    this.maps = null;
    closeMaps(maps);
  }

  /** When the links are closed, and with them the hooks are gone. */
  close(): void { if (this.maps !== null) closeMaps(this.maps); }

  /**
   * Frames for a veth device whose far end is in another namespace can be received there at once, without a queue in between; a far end in our
   * own namespace they must not be handed to. They arrive as they are, super-frames and unfinished checksums included: only where the device itself
   * would send such.
   */
  hasPeer(link: OpenedLink): boolean {
    if (link.plan.type !== 'raw' || (link.offloads & (OFFLOAD_CSUM | OFFLOAD_TSO4)) !== (OFFLOAD_CSUM | OFFLOAD_TSO4)) return false;
    const device = this.host.rtnetlink(netnsPath(link.plan.netns)).findDevice(link.device);
    return device !== null && device.kind === 'veth' && device.isWiredElsewhere;
  }

  private attach(link: OpenedLink, maps: OffloadMaps, links: readonly OpenedLink[]): LinkOffload {
    const isRaw = link.plan.type === 'raw';
    const mac = parseMac(link.mac as string);
    const virtualRouters = this.virtualRouters.filter((one) => one.link === link.plan.index && one.virtualMac);
    const options = { link: link.plan.index, macHigh: mac.high, macLow: mac.low, virtualRouters, ...maps };
    try {
      withProgram(PROGRAM_SCHED_CLS, forwarder(options), (program) => {
        this.host.addFilter(link.plan.name, netnsPath(link.plan.netns), link.device, isRaw ? 'ingress' : 'egress', program);
      });
      if (isRaw) withProgram(PROGRAM_SOCKET_FILTER, socketFilter(options), (program) => native().attachFilter(link.fd, program));
    } catch (error) {
      return { way: null, reason: wordsOf(error) };
    }
    const namespace = links.findIndex((other) => other.plan.netns === link.plan.netns);
    return { reason: null, way: { namespace, ifindex: link.ifindex, redirect: isRaw ? 0 : REDIRECT_INGRESS, mark: isRaw ? SOCKET_MARK : 0, isIngress: isRaw, hasPeer: this.hasPeer(link) } };
  }
}

/** A loaded program lives as long as it is used; what uses it holds it. */
export function withProgram(type: number, instructions: Uint8Array, use: (program: number) => void): void {
  const program = native().bpfProgram({ type, name: 'weir', license: LICENSE, instructions });
  try {
    use(program);
  } finally {
    native().closeFd(program);
  }
}

/** Why a link cannot have a program at all, or null. */
function obstacle(link: OpenedLink, links: readonly OpenedLink[]): string | null {
  if (link.mac === null) return 'a tun link has no Ethernet frames';
  const others = links.filter((other) => other !== link && other.mac !== null);
  return others.some((other) => other.plan.netns === link.plan.netns) ? null : 'no other link is in its network namespace';
}

function wordsOf(error: unknown): string {
  if (!isSystemError(error)) throw error;
  if (error.code === 'EPERM') return `BPF needs CAP_BPF and CAP_NET_ADMIN (${error.message})`;
  return error.message;
}
