/** TCP headers (RFC 9293 §3.1). */
export const TCP_HEADER = 20;
export const TCP_CHECKSUM_OFFSET = 16;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const CWR = 128;

export function sequence(view: DataView, at: number): number { return view.getInt32(at + 4); }
export function acknowledgement(view: DataView, at: number): number { return view.getInt32(at + 8); }
export function dataOffset(view: DataView, at: number): number { return (view.getUint8(at + 12) >> 4) * 4; }
export function flags(view: DataView, at: number): number { return view.getUint8(at + 13); }

/** Write a header without options; the checksum field is left 0. */
export function writeTcp(view: DataView, at: number, ports: number, seq: number, ack: number, bits: number, window: number): void {
  view.setInt32(at, ports);
  view.setInt32(at + 4, seq);
  view.setInt32(at + 8, ack);
  view.setUint16(at + 12, 0x5000 | bits);
  view.setUint16(at + 14, window);
  view.setInt32(at + 16, 0);
}
