/**
 * Tells when a link can carry traffic and when not, and why not: from the kernel's notices about devices, one watch per
 * namespace. Runs on the control plane's event loop.
 */
import { netnsPath } from './host.js';
import type { OpenedLink } from './link.js';
import { Rtnetlink, type DeviceInfo } from './rtnetlink.js';

export interface LinkState {
  link: OpenedLink;
  up: boolean;
  /** Why it is down, one phrase; null while up. */
  reason: string | null;
}

export interface HostEvents {
  /** The state of each link now, in the order given. */
  states(): LinkState[];
  close(): void;
}

/** The devices of one namespace, kept current. */
class Devices {
  readonly rtnetlink: Rtnetlink;
  private byIndex = new Map<number, DeviceInfo>();

  constructor(netns: string | null, onChange: () => void) {
    this.rtnetlink = new Rtnetlink(netns ?? undefined);
    try {
      // Watching begins before the first listing, so that no change falls between the two.
      this.rtnetlink.watch({
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
    } catch (error) {
      this.rtnetlink.close();
      throw error;
    }
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
}

/**
 * Why a bridged link cannot reach anyone, or null. Our own port always has carrier, so the other ports decide; on a
 * bridge that has none, the box itself may be the neighbour, if the bridge has an address.
 */
function bridgeTrouble(devices: Devices, bridge: DeviceInfo, ifindex: number): string | null {
  if (!bridge.up) return `bridge ${bridge.name} is down`;
  const others = devices.portsOf(bridge).filter((port) => port.ifindex !== ifindex);
  if (others.some((port) => port.carrier)) return null;
  if (others.length === 0 && devices.rtnetlink.addresses(bridge.ifindex).length > 0) return null;
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

/** Calls back whenever the state or the reason of a link changes, never with the state it begins with. */
export function hostEvents(links: readonly OpenedLink[], onChange: (state: LinkState) => void): HostEvents {
  const namespaces = new Map<string, Devices>();
  const states = new Map<OpenedLink, LinkState>();
  const devicesOf = (link: OpenedLink): Devices | undefined => namespaces.get(netnsPath(link.plan.netns) ?? '');

  const evaluate = (link: OpenedLink): LinkState => {
    const devices = devicesOf(link);
    const reason = devices === undefined ? 'device gone' : troubleOf(devices, link);
    return { link, up: reason === null, reason };
  };
  const refresh = (): void => {
    for (const [link, before] of states) {
      const now = evaluate(link);
      if (now.reason === before.reason) continue;
      states.set(link, now);
      onChange(now);
    }
  };
  const close = (): void => {
    states.clear();
    for (const devices of namespaces.values()) devices.rtnetlink.close();
    namespaces.clear();
  };

  try {
    for (const link of links) {
      const netns = netnsPath(link.plan.netns);
      if (!namespaces.has(netns ?? '')) namespaces.set(netns ?? '', new Devices(netns, refresh));
      states.set(link, evaluate(link));
    }
  } catch (error) {
    close();
    throw error;
  }
  return { states: () => [...states.values()], close };
}
