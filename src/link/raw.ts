/**
 * Raw links: an existing device (a NIC, one end of a veth) through a packet socket, with the host's own stack kept off it.
 * The host's addresses on the device stay where they are; its stack just neither hears nor sends anything there.
 *
 * The socket always speaks virtio-net headers: a frame from another namespace or from a NIC that joins segments may come
 * as a super-frame or with an unfinished checksum whether or not we asked. `offload: false` therefore only means that we
 * send none of those.
 */
import { systemError } from './netlink.js';
import { constants } from 'node:os';
import type { LinkPlan } from '../base/plan.js';
import { isSystemError } from '../base/error.js';
import { bytesOfMac } from '../wire/address.js';
import { KIND_PACKET } from './batch.js';
import { netnsPath, type Host } from './host.js';
import type { OpenedLink } from './link.js';
import { native, type Refusal } from './native.js';

/** Receive and send buffer of the socket. A 64 KiB super-frame counts about 70 KiB against it. */
const BUFFER_BYTES = 16 * 1024 * 1024;

export function openRaw(plan: LinkPlan, host: Host): OpenedLink {
  const netns = netnsPath(plan.netns);
  const rtnetlink = host.rtnetlink(netns);
  const found = rtnetlink.findDevice(plan.device);
  if (found === null) {
    const names = rtnetlink.devices().filter((device) => !device.loopback).map((device) => device.name);
    const place = plan.netns === undefined ? '' : ` in namespace ${plan.netns}`;
    throw systemError(constants.errno.ENODEV, 'RTM_GETLINK',
      `there is no device '${plan.device}'${place}; ${names.length === 0 ? 'there is none at all' : `there are ${names.join(', ')}`}`);
  }
  // Silence comes first: between taking the device up and taking it over the host must not answer.
  const silenced = host.silence(netns).silence(plan.device);
  let fd = -1;
  const close = (): ReturnType<OpenedLink['close']> => {
    // First, while the device is up: one that is down keeps listening for more than its own address when nobody wants it to any more.
    if (fd >= 0) native().closeFd(fd);
    const errors = host.undoOf(plan.name);
    silenced.end();
    return errors;
  };
  try {
    const device = native().openPacket({
      name: plan.device, offload: true, bufferBytes: BUFFER_BYTES, promiscuous: false, ...(netns === null ? {} : { netns }),
    });
    fd = device.fd;
    if (plan.mtu !== undefined) host.setMtu(plan.name, netns, plan.device, plan.mtu);
    host.setUp(plan.name, netns, plan.device);
    return {
      plan, fd, kind: KIND_PACKET, vnet: device.vnet, device: plan.device, ifindex: device.ifindex,
      mac: found.mac, mtu: plan.mtu ?? found.mtu,
      offloads: plan.offload ? device.offloads : 0, refused: [...device.refused, ...silenced.refused],
      hear: (macs) => hear(fd, device.ifindex, macs), close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** A device that will not listen for one more address is made to hear all of them: what is for others is let go of by the pipeline. */
function hear(fd: number, ifindex: number, macs: readonly string[]): Refusal[] {
  const refused: Refusal[] = [];
  for (const mac of macs) {
    try {
      native().hearMac(fd, ifindex, bytesOfMac(mac));
    } catch (error) {
      if (!isSystemError(error)) throw error;
      refused.push({ feature: `a filter for ${mac}, and hears everything`, code: error.code, errno: error.errno, syscall: error.syscall });
      native().hearMac(fd, ifindex, new Uint8Array(0));
      break;
    }
  }
  return refused;
}
