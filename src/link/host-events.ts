/**
 * Tells when a link can carry traffic and when not, and why not: from the kernel's notices about devices, one watch per
 * namespace. Runs on the control plane's event loop.
 */
import { netnsPath, type Host } from './host.js';
import type { OpenedLink } from './link.js';
import type { DeviceInfo, Rtnetlink } from './rtnetlink.js';

/** index: the link's number in the plan. reason: one phrase, null while up. */
export type OnLink = (index: number, isUp: boolean, reason: string | null) => void;

export interface HostWatch { close(): void }

/** The devices of one namespace, kept current. */
class Devices {
  private readonly rtnetlink: Rtnetlink;
  private readonly watch: { close(): void };
  private byIndex = new Map<number, DeviceInfo>();

  constructor(rtnetlink: Rtnetlink, onChange: () => void) {
    this.rtnetlink = rtnetlink;
    // Watching begins before the first listing, so that no change falls between the two.
    this.watch = rtnetlink.watch({
      onDevice: ({ gone, device }) => {
        if (gone) this.byIndex.delete(device.ifindex);
        else this.byIndex.set(device.ifindex, device);
        onChange();
      },
      onAddress: onChange,
      onLost: () => {
        this.list();
        onChange();
      },
    });
    this.list();
  }

  private list(): void {
    this.byIndex = new Map(this.rtnetlink.devices().map((device) => [device.ifindex, device]));
  }

  get(ifindex: number): DeviceInfo | undefined {
    return this.byIndex.get(ifindex);
  }

  portsOf(bridge: DeviceInfo): DeviceInfo[] {
    return [...this.byIndex.values()].filter((device) => device.master === bridge.ifindex);
  }

  hasAddress(device: DeviceInfo): boolean {
    return this.rtnetlink.addresses(device.ifindex).length > 0;
  }

  close(): void {
    this.watch.close();
  }
}

/**
 * Why a bridged link cannot reach anyone, or null. Our own port always has carrier, so the other ports decide; on a
 * bridge that has none, the box itself may be the neighbour, if the bridge has an address.
 */
function bridgeTrouble(devices: Devices, bridge: DeviceInfo, ifindex: number): string | null {
  if (!bridge.up) return `bridge ${bridge.name} is down`;
  const others = devices.portsOf(bridge).filter((port) => port.ifindex !== ifindex);
  if (others.some((port) => port.carrier)) return null;
  if (others.length === 0 && devices.hasAddress(bridge)) return null;
  return `no other port of bridge ${bridge.name} has carrier`;
}

function troubleOf(devices: Devices, link: OpenedLink): string | null {
  const device = devices.get(link.ifindex);
  if (device === undefined) return 'device gone';
  if (!device.up) return 'device down';
  if (!device.carrier) return 'no carrier';
  const bridge = link.plan.type === 'tap' && device.master !== null ? devices.get(device.master) : undefined;
  return bridge?.kind === 'bridge' ? bridgeTrouble(devices, bridge, link.ifindex) : null;
}

/** Calls back with the state of every link before it returns, then whenever a link's state or reason changes. */
export function hostEvents(host: Host, links: readonly OpenedLink[], onLink: OnLink): HostWatch {
  const namespaces = new Map<string | null, Devices>();
  const reasons = new Map<OpenedLink, string | null>();

  const refresh = (): void => {
    for (const link of links) {
      const devices = namespaces.get(netnsPath(link.plan.netns));
      // Closed, by an earlier callback of this very round.
      if (devices === undefined) return;
      const reason = troubleOf(devices, link);
      if (reasons.get(link) === reason) continue;
      reasons.set(link, reason);
      onLink(link.plan.index, reason === null, reason);
    }
  };
  const close = (): void => {
    for (const devices of namespaces.values()) devices.close();
    namespaces.clear();
  };

  try {
    for (const link of links) {
      const netns = netnsPath(link.plan.netns);
      if (!namespaces.has(netns)) namespaces.set(netns, new Devices(host.rtnetlink(netns), refresh));
    }
    refresh();
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
