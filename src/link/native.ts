/**
 * The only import of the addon, and its contract. Every failing call throws a Node-shaped system error:
 * `code` ('EPERM'), `errno` (negative, as in Node), `syscall` ('ioctl TUNSETIFF') and `message`.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A feature the kernel refused while a device was opened; kept for `weir doctor`. */
export interface Refusal { feature: string; code: string; errno: number; syscall: string }

/** An opened device. The fd is valid in every thread of the process; close it once. */
export interface OpenedDevice {
  fd: number;
  /** The name the kernel gave it (a pattern like 'tap%d' is filled in). */
  name: string;
  ifindex: number;
  /** True when records carry a virtio-net header on the wire to the kernel; otherwise the addon writes and skips zeroes. */
  vnet: boolean;
  /** OFFLOAD_* bits (link/batch.ts). */
  offloads: number;
  refused: Refusal[];
}

export interface TunOptions {
  /** 'tap' carries Ethernet frames, 'tun' bare IP packets. */
  kind: 'tap' | 'tun';
  /** Device name or pattern ('weir%d'), at most 15 bytes. */
  name: string;
  /** Path of a network namespace (/run/netns/NAME) to open the device in; the calling thread returns to its own. */
  netns?: string;
  /** False: neither virtio-net header nor offloads are asked for. */
  offload: boolean;
}

export interface PacketOptions {
  name: string;
  netns?: string;
  offload: boolean;
  /** Receive and send buffer, bytes, per socket (SO_RCVBUFFORCE, SO_SNDBUFFORCE). */
  bufferBytes: number;
  /** Receive frames for every MAC address, not only the device's own. */
  promiscuous: boolean;
}

/** Kernel counters of a packet socket since the last call (PACKET_STATISTICS). */
export interface PacketStatistics { packets: number; drops: number }

/** One data plane's I/O: the arena, the descriptors, the devices of its links. Belongs to the thread that made it. */
export interface NativeIo {
  /** Attach a device as link `index`. */
  attach(index: number, fd: number, kind: number, vnet: boolean): void;
  detach(index: number): void;
  /**
   * Send tx[0 .. txCount), then wait up to timeoutMs (0 = do not wait) and receive. Returns the number of receive descriptors
   * filled. The wake-up eventfd ends a wait early and is drained.
   */
  turn(txCount: number, timeoutMs: number): number;
  /** Send tx[0 .. txCount) now, without receiving. Returns how many failed. */
  flush(txCount: number): number;
  close(): void;
}

/** A netlink socket (any protocol), opened in a network namespace. */
export interface NetlinkSocket {
  /** Send one or more netlink messages and collect every reply until each one is acknowledged, done or failed. Replies whole, in order. */
  request(messages: Uint8Array): Uint8Array;
  /** Call back with the bytes of each datagram that arrives on the joined groups. `null` = the kernel dropped some (ENOBUFS): resync. */
  watch(onMessages: (messages: Uint8Array | null) => void): void;
  close(): void;
}

export interface Native {
  openTun(options: TunOptions): OpenedDevice;
  openPacket(options: PacketOptions): OpenedDevice;
  /** Frames to this MAC address (6 bytes) reach the packet socket as well, for as long as it is open; no bytes = every frame does. */
  hearMac(fd: number, ifindex: number, mac: Uint8Array): void;
  packetStatistics(fd: number): PacketStatistics;
  closeFd(fd: number): void;
  eventfd(): number;
  /** Add 1 to the eventfd. */
  wake(fd: number): void;
  /** arena: at least ARENA_LENGTH bytes. rx: BATCH_MAX × RX_WORDS. tx: TX_MAX × TX_WORDS. */
  createIo(arena: Uint8Array, rx: Int32Array, tx: Int32Array, wakeFd: number): NativeIo;
  /** Ask the kernel to back a large array with huge pages (MADV_HUGEPAGE); false when it does not. */
  useHugePages(array: Int32Array | Float64Array | Uint8Array): boolean;
  /** protocol: NETLINK_ROUTE 0, NETLINK_NETFILTER 12. groups: multicast groups to join (numbers, not a mask). */
  openNetlink(protocol: number, groups: number[], netns?: string): NetlinkSocket;
  /** A BPF map's descriptor. kind: BPF_MAP_TYPE_*. */
  bpfMap(options: { kind: number; name: string; keyBytes: number; valueBytes: number; entries: number; flags: number }): number;
  /** Memory of an array map made with BPF_F_MMAPABLE; whole pages. */
  bpfMemory(fd: number, bytes: number): ArrayBuffer;
  /** A loaded program's descriptor. type: BPF_PROG_TYPE_*. The error of a refused one ends with the verifier's last words. */
  bpfProgram(options: { type: number; name: string; license: string; instructions: Uint8Array }): number;
  /**
   * Run a program so many times on a copy of a frame, for tests and the bench. context: a struct __sk_buff as it is to be seen. `length` bytes of the
   * frame are left; a run took `nanoseconds` on average.
   */
  bpfRun(fd: number, frame: Uint8Array, context: Uint8Array, times: number): { result: number; frame: Uint8Array; length: number; context: Uint8Array; nanoseconds: number };
  /** The socket receives only what the program (of type socket filter) lets through. */
  attachFilter(socket: number, program: number): void;
  /** Capabilities of this process: bit masks of the effective set, low and high 32 bits. */
  capabilities(): { low: number; high: number };
  /** What the calling thread has had of a CPU so far, milliseconds. */
  threadCpuMs(): number;
  /** Programs that the calling thread starts from now on get none of its capabilities, whoever they run as; it keeps its own. */
  dropAmbient(): void;
  /** The numbers of native/batch.h, for the test that compares them with link/batch.ts. */
  layout: Record<string, number>;
}

let loaded: Native | undefined;

/** The addon, loaded on first use so that `weir check` and `--help` work where it was never built. */
export function native(): Native {
  if (loaded === undefined) {
    const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
    const require = createRequire(import.meta.url);
    loaded = (require('node-gyp-build') as (dir: string) => Native)(root);
  }
  return loaded;
}
