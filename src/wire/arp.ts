/**
 * ARP for IPv4 over Ethernet (RFC 826): hardware type 1, protocol 0x0800, lengths 6 and 4, operation, then sender
 * MAC and IP, target MAC and IP. 28 bytes.
 */
export const ARP_LENGTH = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

export function isArpOverEthernet(view: DataView, at: number): boolean {
  return view.getUint16(at) === 1 && view.getUint16(at + 2) === 0x0800 && view.getUint16(at + 4) === 0x0604;
}

export function operation(view: DataView, at: number): number { return view.getUint16(at + 6); }
export function senderHigh(view: DataView, at: number): number { return view.getUint16(at + 8); }
export function senderLow(view: DataView, at: number): number { return view.getInt32(at + 10); }
export function senderIp(view: DataView, at: number): number { return view.getInt32(at + 14); }
export function targetIp(view: DataView, at: number): number { return view.getInt32(at + 24); }

export function writeArp(
  view: DataView, at: number, op: number, fromHigh: number, fromLow: number, fromIp: number, toHigh: number, toLow: number, toIp: number,
): void {
  view.setUint16(at, 1);
  view.setUint16(at + 2, 0x0800);
  view.setUint16(at + 4, 0x0604);
  view.setUint16(at + 6, op);
  view.setUint16(at + 8, fromHigh);
  view.setInt32(at + 10, fromLow);
  view.setInt32(at + 14, fromIp);
  view.setUint16(at + 18, toHigh);
  view.setInt32(at + 20, toLow);
  view.setInt32(at + 24, toIp);
}
