/** `weir links`: the devices at the edges of the router, what went through them and what they refused. */
import type { LinkList, LinkStatus } from '../control/api/types.js';
import { linkColumns } from './columns.js';
import { listing } from './listing.js';

export const command = listing<LinkList, LinkStatus>({
  resource: 'links',
  rows: (answer) => answer.links,
  columns(nowMs) {
    const c = linkColumns(nowMs);
    return [c.name, c.type, c.device, c.state, c.since, c.mtu, c.rxPackets, c.rx, c.txPackets, c.tx, c.offloadedRx, c.offloadedTx, c.drops, c.errors, c.kernelDrops, c.mac, c.offloads, c.addresses, c.reason];
  },
  help: `DEVICE is the kernel's device, with @NETNS where it lives in a network namespace. FOR is how long the link has been in its
state. DROPS are frames weir refused (weir drops says why), TX ERRORS frames the kernel would not send, KERNEL DROPS frames
lost before weir could read them. OFFLOADED RX and TX are the part of RX and TX that the kernel forwarded by itself; a dash where
it cannot (-j says why: flowOffloadReason). OFFLOADS are those in use; weir doctor and -j tell which the kernel refused.`,
});
