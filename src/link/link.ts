/**
 * The contract of a link: a device opened for the data plane, and the way back. Each type is one file that makes one of
 * these from a plan; registry.ts lists them.
 */
import type { SystemError } from '../base/error.js';
import type { LinkPlan } from '../base/plan.js';
import type { Host } from './host.js';
import type { Refusal } from './native.js';

export interface OpenedLink {
  plan: LinkPlan;
  /** To be attached to the data plane's I/O with `kind` and `vnet`. */
  fd: number;
  /** KIND_* of batch.ts. */
  kind: number;
  /** True when the device speaks virtio-net headers. */
  vnet: boolean;
  /** The kernel's name for the device. */
  device: string;
  ifindex: number;
  /** Our MAC address on the link; null where frames have none (tun). */
  mac: string | null;
  /** Bytes of an IP packet. */
  mtu: number;
  /** OFFLOAD_* of batch.ts: frames that may be sent besides plain ones. What is received may always be a super-frame. */
  offloads: number;
  refused: Refusal[];
  /** Have frames to these MAC addresses as well, until it is closed; what could not be had that way, and was had another. Throws a system error when it could not be had at all. */
  hear(macs: readonly string[]): Refusal[];
  /** Undo on the host what opening did and close the device. Detach it from the I/O first. Returns what could not be undone. */
  close(): SystemError[];
}

/** Opens one type of link. Throws a system error, and has then undone what it had begun. */
export type OpenLink = (plan: LinkPlan, host: Host) => OpenedLink;
