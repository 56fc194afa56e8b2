/** Ethernet II frames: destination (6), source (6), type (2). */

export const ETHERNET_LENGTH = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_QINQ = 0x88a8;

export const BROADCAST_HIGH = 0xffff;
export const BROADCAST_LOW = -1;

export function destinationHigh(view: DataView, at: number): number { return view.getUint16(at); }
export function destinationLow(view: DataView, at: number): number { return view.getInt32(at + 2); }
export function sourceHigh(view: DataView, at: number): number { return view.getUint16(at + 6); }
export function sourceLow(view: DataView, at: number): number { return view.getInt32(at + 8); }
export function etherType(view: DataView, at: number): number { return view.getUint16(at + 12); }

export function writeEthernet(view: DataView, at: number, toHigh: number, toLow: number, fromHigh: number, fromLow: number, type: number): void {
  view.setUint16(at, toHigh);
  view.setInt32(at + 2, toLow);
  view.setUint16(at + 6, fromHigh);
  view.setInt32(at + 8, fromLow);
  view.setUint16(at + 12, type);
}
