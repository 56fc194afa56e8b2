/** UDP headers (RFC 768). */
export const UDP_HEADER = 8;
export const UDP_CHECKSUM_OFFSET = 6;

export function length(view: DataView, at: number): number { return view.getUint16(at + 4); }
