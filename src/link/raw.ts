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
import { KIND_PACKET } from './batch.js';
import { netnsPath, type Host } from './host.js';
import type { OpenedLink } from './link.js';
import { native } from './native.js';

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
      `link ${plan.name}: there is no device '${plan.device}'${place}; ${names.length === 0 ? 'there is none at all' : `there are ${names.join(', ')}`}`);
  }
  // Silence comes first: between taking the device up and taking it over the host must not answer.
  const silenced = host.silence(netns).silence(plan.device);
  let fd = -1;
  const close = (): ReturnType<OpenedLink['close']> => {
    const errors = host.undoOf(plan.name);
    if (fd >= 0) native().closeFd(fd);
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
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
