/**
 * TAP links: an Ethernet device of our own, with the kernel (or a bridge) on its far end. The device and all that hangs
 * on it vanish with the file descriptor, unless someone made it persistent before us; then what we change is undone.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { LinkPlan } from '../base/plan.js';
import { KIND_TAP } from './batch.js';
import { netnsPath, type Host } from './host.js';
import type { OpenedLink } from './link.js';
import { native } from './native.js';
import { DEVCONF_ARP_IGNORE } from './rtnetlink.js';

/** Frames the device holds for us while a turn runs; the kernel's own 500 to 1000 is less than a burst of small packets. */
export const TX_QUEUE_PACKETS = 4096;
/** arp_ignore: answer only for addresses of the device the question came in on. */
const ARP_IGNORE_OTHER_DEVICES = 1;

function textOfFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** The namespace a link lives in, told apart from others of this machine: its name, or its inode when it is ours but not the machine's. */
function namespaceIdentity(netns: string | undefined): string {
  if (netns !== undefined) return netns;
  try {
    const own = statSync('/proc/self/ns/net').ino;
    return own === statSync('/proc/1/ns/net').ino ? 'host' : `inode ${own}`;
  } catch {
    // Without a look at process 1 we are in a container, which has its own machine-id.
    return 'host';
  }
}

/**
 * Our address on a TAP link: locally administered, the same after every restart, different for every device, namespace and
 * machine, so that two gateways on one wire do not share one. `kernelMac` is what the kernel's end has and ours must not be.
 */
export function deriveMac(device: string, netns: string | undefined, kernelMac: string | null): string {
  const seed = [textOfFile('/etc/machine-id'), namespaceIdentity(netns), device].join('\0');
  for (let attempt = 0; ; attempt++) {
    const digest = createHash('sha256').update(`${seed}\0${attempt}`).digest();
    // The two lowest bits of the first byte: locally administered, not a group.
    digest[0] = (digest[0] & 0xfc) | 0x02;
    const mac = [...digest.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
    if (mac !== kernelMac) return mac;
  }
}

/** Undo what was done for a link, then close its device, which goes with it unless it was there before. Returns what could not be undone. */
export function letGo(host: Host, name: string, fd: number): ReturnType<OpenedLink['close']> {
  const errors = host.undoOf(name);
  native().closeFd(fd);
  return errors;
}

export function openTap(plan: LinkPlan, host: Host): OpenedLink {
  const netns = netnsPath(plan.netns);
  const rtnetlink = host.rtnetlink(netns);
  const persistent = rtnetlink.findDevice(plan.device) !== null;
  const bridge = plan.bridge === undefined ? null : host.bridge(netns, plan.bridge);
  const device = native().openTun({ kind: 'tap', name: plan.device, offload: plan.offload, ...(netns === null ? {} : { netns }) });
  const close = (): ReturnType<OpenedLink['close']> => letGo(host, plan.name, device.fd);
  try {
    if (persistent) {
      if (plan.mtu !== undefined) host.setMtu(plan.name, netns, device.name, plan.mtu);
      if (bridge !== null) host.setMaster(plan.name, netns, device.name, bridge);
      host.setDevconf(plan.name, netns, device.name, DEVCONF_ARP_IGNORE, ARP_IGNORE_OTHER_DEVICES);
      host.setUp(plan.name, netns, device.name);
    } else {
      host.quietIpv6(netns, device.ifindex);
      rtnetlink.setTxQueueLength(device.ifindex, TX_QUEUE_PACKETS);
      if (plan.mtu !== undefined) rtnetlink.setMtu(device.ifindex, plan.mtu);
      if (bridge !== null) {
        // A bridge takes the lowest MAC address among its ports: with the highest first byte ours never becomes the box's own.
        rtnetlink.setMac(device.ifindex, `fe${deriveMac(device.name, plan.netns, null).slice(2)}`);
        rtnetlink.setMaster(device.ifindex, bridge.ifindex);
      }
      rtnetlink.setDevconf(device.ifindex, DEVCONF_ARP_IGNORE, ARP_IGNORE_OTHER_DEVICES);
      rtnetlink.setUp(device.ifindex, true);
    }
    // The box has our addresses too when a host link is there, on another device; unasked it would answer ARP for them here.
    if (bridge !== null) host.setDevconf(null, netns, bridge.name, DEVCONF_ARP_IGNORE, ARP_IGNORE_OTHER_DEVICES);
    const now = rtnetlink.findDevice(device.name);
    return {
      plan, fd: device.fd, kind: KIND_TAP, vnet: device.vnet, device: device.name, ifindex: device.ifindex,
      mac: plan.mac ?? deriveMac(device.name, plan.netns, now?.mac ?? null),
      mtu: now?.mtu ?? plan.mtu ?? 1500,
      offloads: device.offloads, refused: device.refused,
      // A TAP device is handed every frame the kernel sends into it.
      hear: () => [], close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
