/**
 * What this machine offers weir, for `weir doctor`: each check tries the real thing on a device made for it and taken away
 * again, and says what to do when it fails.
 */
import { accessSync, constants } from 'node:fs';
import { isSystemError } from '../base/error.js';
import { Assembler, KTIME_GET_COARSE_NS, MAP_ARRAY, MAP_MMAPABLE, PROGRAM_SCHED_CLS, R0, TC_UNSPECIFIED } from './bpf.js';
import { native, type OpenedDevice } from './native.js';
import { Silence } from './nftables.js';
import { TrafficControl } from './traffic-control.js';

export interface Check {
  name: string;
  ok: boolean;
  /** What was found. */
  detail: string;
  /** What to do about it; null when nothing needs doing. */
  advice: string | null;
}

const CAPABILITIES = [
  { name: 'CAP_NET_ADMIN', bit: 12, use: 'devices, addresses, routes and nf_tables' },
  { name: 'CAP_NET_RAW', bit: 13, use: 'raw links' },
  { name: 'CAP_BPF', bit: 39, use: 'the offload of established flows' },
  { name: 'CAP_SYS_ADMIN', bit: 21, use: 'devices in other network namespaces only' },
] as const;

const OFFLOADS = ['csum', 'tso4', 'tso6', 'ecn', 'uso'] as const;
const PROBE_DEVICE = 'weirprobe%d';

function describe(error: unknown): string {
  if (error instanceof Error) return error.message;
  return String(error);
}

function checkCapabilities(): Check[] {
  const { low, high } = native().capabilities();
  return CAPABILITIES.map(({ name, bit, use }) => {
    const ok = (((bit < 32 ? low : high) >>> (bit & 31)) & 1) === 1;
    return {
      name, ok, detail: ok ? `held; for ${use}` : `not held; needed for ${use}`,
      advice: ok ? null : `run weir as root or give it ${name} (systemd: AmbientCapabilities=${name})`,
    };
  });
}

function checkTunDevice(): Check {
  const name = '/dev/net/tun';
  try {
    accessSync(name, constants.R_OK | constants.W_OK);
    return { name, ok: true, detail: 'can be opened', advice: null };
  } catch (error) {
    const missing = isSystemError(error) && error.code === 'ENOENT';
    return {
      name, ok: false, detail: describe(error),
      advice: missing ? 'load the module (modprobe tun), or let the container have the device (--device /dev/net/tun)' : 'run weir as a user who may open it',
    };
  }
}

function offloadDetail(device: OpenedDevice): string {
  const accepted = OFFLOADS.filter((_, bit) => ((device.offloads >>> bit) & 1) === 1);
  const refused = device.refused.map((refusal) => `${refusal.feature} refused (${refusal.code}, ${refusal.syscall})`);
  return [accepted.length === 0 ? 'none accepted' : `${accepted.join(', ')} accepted`, ...refused].join('; ');
}

/** Opens a TAP device for as long as `use` runs. */
function withTap<T>(use: (device: OpenedDevice) => T): T {
  const device = native().openTun({ kind: 'tap', name: PROBE_DEVICE, offload: true });
  try {
    return use(device);
  } finally {
    native().closeFd(device.fd);
  }
}

function checkTunOffloads(): Check {
  const name = 'TAP and TUN offloads';
  try {
    return withTap((device) => ({
      name, ok: device.refused.length === 0, detail: offloadDetail(device),
      advice: device.refused.length === 0 ? null : 'none needed: weir does in software what is refused; a newer kernel does it faster (uso: Linux 6.2)',
    }));
  } catch (error) {
    return { name, ok: false, detail: describe(error), advice: 'see the checks of CAP_NET_ADMIN and /dev/net/tun' };
  }
}

function checkPacketSocket(): Check {
  const name = 'packet socket with virtio-net header';
  try {
    const device = native().openPacket({ name: 'lo', offload: true, bufferBytes: 65536, promiscuous: false });
    native().closeFd(device.fd);
    if (device.vnet) return { name, ok: true, detail: 'opened on lo', advice: null };
    return { name, ok: false, detail: offloadDetail(device), advice: 'raw links would mistake unfinished checksums for wrong ones: use tap links, or a newer kernel' };
  } catch (error) {
    return { name, ok: false, detail: describe(error), advice: 'see the check of CAP_NET_RAW; the kernel needs CONFIG_PACKET and Linux 4.20' };
  }
}

function checkSilence(): Check {
  const name = 'nf_tables owned table with ingress and egress';
  try {
    return withTap((device) => {
      const silence = new Silence(`weir-probe-${process.pid}`);
      try {
        const { refused } = silence.silence(device.name);
        if (refused.length === 0) return { name, ok: true, detail: 'both hooks work', advice: null };
        return {
          name, ok: false, detail: `ingress works; egress refused (${refused.map((refusal) => refusal.code).join(', ')})`,
          advice: 'on raw links the host may still send on its own account; Linux 5.16 with CONFIG_NETFILTER_EGRESS stops that',
        };
      } finally {
        silence.close();
      }
    });
  } catch (error) {
    return { name, ok: false, detail: describe(error), advice: 'raw links cannot be used: the kernel needs CONFIG_NF_TABLES_NETDEV and Linux 5.12, weir needs CAP_NET_ADMIN' };
  }
}

/** A program that lets everything pass, at the hook where programs of tap links sit. */
function checkOffload(): Check {
  const name = 'offload of established flows (BPF at tc hooks)';
  try {
    return withTap((device) => {
      const { bpfMap, bpfProgram, closeFd } = native();
      const opened: number[] = [];
      const control = new TrafficControl();
      try {
        opened.push(bpfMap({ kind: MAP_ARRAY, name: 'weir_probe', keyBytes: 4, valueBytes: 8, entries: 1, flags: MAP_MMAPABLE }));
        const instructions = new Assembler().call(KTIME_GET_COARSE_NS).move(R0, TC_UNSPECIFIED).exit().finish();
        opened.push(bpfProgram({ type: PROGRAM_SCHED_CLS, name: 'weir_probe', license: 'Apache-2.0', instructions }));
        control.addClsact(device.ifindex);
        control.setFilter(device.ifindex, 'egress', opened[1]);
        return { name, ok: true, detail: 'a map, a program and its hook work', advice: null };
      } finally {
        control.close();
        for (const fd of opened) closeFd(fd);
      }
    });
  } catch (error) {
    return {
      name, ok: false, detail: describe(error),
      advice: 'weir works without, but every packet goes through it: the kernel needs CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT and Linux 5.11, weir CAP_BPF and CAP_NET_ADMIN',
    };
  }
}

/** Every check, in the order a person would go through them. */
export function probe(): Check[] {
  return [...checkCapabilities(), checkTunDevice(), checkTunOffloads(), checkPacketSocket(), checkSilence(), checkOffload()];
}
